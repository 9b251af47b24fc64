//! Scripted servers on loopback ports, one thread for each connection, and what they say.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use infermark_drive::{Endpoint, Roots, Route};
use infermark_terms::{FinishReason, Prompt, Usage};
use infermark_wire::http1::{
    Request, RequestDecoder, end_chunked, start_chunked, write_chunk, write_response,
};
use infermark_wire::server::{Answer, Asked, End, Part};
use infermark_wire::{Api, Delivery, UsageFields};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrIn, bind, getsockname,
    listen, setsockopt, socket, sockopt,
};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A server; it stops listening when it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves each connection by the script.
    pub(crate) fn plain(script: impl Fn(Peer) + Send + Sync + 'static) -> Self {
        Self::start(None, script)
    }

    /// The same over TLS.
    pub(crate) fn secure(
        config: Arc<ServerConfig>,
        script: impl Fn(Peer) + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(config), script)
    }

    fn start(
        config: Option<Arc<ServerConfig>>,
        script: impl Fn(Peer) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // The kernel ignores those who find the queue full, for a second.
        listen(&listener, Backlog::new(1024).unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, stopping) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, stop, script) = (accepted.clone(), stopping.clone(), Arc::new(script));
        let listening = std::thread::spawn(move || {
            for socket in listener.incoming() {
                if stop.load(Ordering::Acquire) {
                    break;
                }
                let peer = Peer::new(
                    count.fetch_add(1, Ordering::AcqRel),
                    socket.unwrap(),
                    config.clone(),
                );
                let script = script.clone();
                drop(std::thread::spawn(move || script(peer)));
            }
        });
        Self { address, accepted, stopping, listening: Some(listening) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how many connections were made.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Acquire)
    }

    /// Returns where it is, without TLS.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::resolve(&format!("http://{}", self.address), &Route::of(Roots::Unverified))
            .unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        let _wakes = TcpStream::connect(self.address);
        self.listening.take().unwrap().join().unwrap();
    }
}

/// The client, as a script sees it. A client that is gone is no failure of the script.
pub(crate) struct Peer {
    /// Which connection this is, from 0.
    pub(crate) number: usize,
    wire: Wire,
    decoder: RequestDecoder,
}

enum Wire {
    Plain(TcpStream),
    Secure(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Peer {
    fn new(number: usize, socket: TcpStream, config: Option<Arc<ServerConfig>>) -> Self {
        socket.set_nodelay(true).unwrap();
        let wire = match config {
            None => Wire::Plain(socket),
            Some(config) => {
                let session = ServerConnection::new(config).unwrap();
                Wire::Secure(Box::new(StreamOwned::new(session, socket)))
            }
        };
        Self { number, wire, decoder: RequestDecoder::new() }
    }

    /// Reads something; nothing once the client is gone.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> usize {
        let read = match &mut self.wire {
            Wire::Plain(socket) => socket.read(buffer),
            Wire::Secure(session) => session.read(buffer),
        };
        read.unwrap_or(0)
    }

    /// Returns the next request, or nothing once the client is gone.
    pub(crate) fn request(&mut self) -> Option<Request> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if let Some(request) = self.decoder.next_request().unwrap() {
                return Some(request);
            }
            let count = self.read(&mut buffer);
            if count == 0 {
                return None;
            }
            self.decoder.feed(&buffer[..count]);
        }
    }

    pub(crate) fn say(&mut self, bytes: &[u8]) {
        let _heard = self.is_heard(bytes);
    }

    /// Says something; tells whether the client is still there.
    pub(crate) fn is_heard(&mut self, bytes: &[u8]) -> bool {
        let said = match &mut self.wire {
            Wire::Plain(socket) => socket.write_all(bytes),
            Wire::Secure(session) => session.write_all(bytes).and_then(|()| session.flush()),
        };
        said.is_ok()
    }

    /// Says that nothing more will come, and waits until the client is gone too.
    pub(crate) fn finish(mut self) {
        let _gone = self.socket().shutdown(std::net::Shutdown::Write);
        self.await_end();
    }

    /// Waits until the client is gone.
    pub(crate) fn await_end(&mut self) {
        let mut buffer = [0; 1024];
        while self.read(&mut buffer) > 0 {}
    }

    /// Carries what either side says to the other, until one of them is gone.
    pub(crate) fn relay(mut self, to: SocketAddr) {
        let upstream = TcpStream::connect(to).unwrap();
        let client = self.socket().try_clone().unwrap();
        let pass = |mut from: TcpStream, mut to: TcpStream| {
            move || {
                let _gone = std::io::copy(&mut from, &mut to);
                let _gone = to.shutdown(std::net::Shutdown::Both);
            }
        };
        let (from, back) = (upstream.try_clone().unwrap(), client.try_clone().unwrap());
        let returning = std::thread::spawn(pass(from, back));
        pass(client, upstream)();
        returning.join().unwrap();
    }

    /// Resets the connection.
    pub(crate) fn reset(mut self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(self.socket(), sockopt::Linger, &linger).unwrap();
    }

    /// Returns the client's address.
    pub(crate) fn client(&mut self) -> SocketAddr {
        self.socket().peer_addr().unwrap()
    }

    fn socket(&mut self) -> &TcpStream {
        match &mut self.wire {
            Wire::Plain(socket) => socket,
            Wire::Secure(session) => &session.sock,
        }
    }

    /// Returns the TLS session.
    pub(crate) fn session(&mut self) -> &mut ServerConnection {
        match &mut self.wire {
            Wire::Plain(_) => panic!("a plain connection has no session"),
            Wire::Secure(session) => &mut session.conn,
        }
    }
}

/// Returns an address that is taken, but where nobody listens.
pub(crate) fn shut() -> (OwnedFd, SocketAddr) {
    let flags = SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Inet, SockType::Stream, flags, SockProtocol::Tcp).unwrap();
    bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    let bound: SockaddrIn = getsockname(fd.as_raw_fd()).unwrap();
    (fd, SocketAddr::V4(bound.into()))
}

/// Answers every request on a connection alike.
pub(crate) fn always(response: Vec<u8>) -> impl Fn(Peer) + Send + Sync + 'static {
    move |mut peer| {
        while peer.request().is_some() {
            peer.say(&response);
        }
    }
}

/// Reads one request, says this, and closes.
pub(crate) fn once(said: impl Into<Vec<u8>>) -> impl Fn(Peer) + Send + Sync + 'static {
    let said = said.into();
    move |mut peer| {
        if peer.request().is_some() {
            peer.say(&said);
        }
    }
}

fn answer() -> Answer {
    let asked = Asked::plain(Prompt::Text(String::new()), Delivery::Streamed, UsageFields::Final);
    Answer::new(Api::Chat, &asked, 7, "model", 1)
}

/// Returns the head of a streamed answer.
pub(crate) fn head() -> Vec<u8> {
    let mut out = Vec::new();
    start_chunked(&mut out, 200, &[("content-type", "text/event-stream")]);
    out
}

/// Returns an event of this text, framed as a chunk.
pub(crate) fn event(text: &str) -> Vec<u8> {
    framed(&bare_event(text))
}

/// Returns an event of this text.
pub(crate) fn bare_event(text: &str) -> Vec<u8> {
    let mut event = Vec::new();
    answer().part(&mut event, &Part { text, ends: &[text.len()], ids: &[1], usage: None });
    event
}

/// Returns bytes framed as a chunk.
pub(crate) fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_chunk(&mut out, bytes);
    out
}

/// Returns what ends a streamed answer.
pub(crate) fn tail() -> Vec<u8> {
    let mut out = framed(&bare_tail());
    end_chunked(&mut out);
    out
}

/// Returns the events that end a streamed answer.
pub(crate) fn bare_tail() -> Vec<u8> {
    let (mut event, usage) = (Vec::new(), Usage { completion_tokens: 3, ..Usage::default() });
    let part = Part { text: "", ends: &[], ids: &[], usage: None };
    let end = End { finish: &FinishReason::Length, usage: Some(usage) };
    answer().last(&mut event, &part, &end);
    event
}

/// Returns a whole streamed answer.
pub(crate) fn streamed(texts: &[&str]) -> Vec<u8> {
    let mut out = head();
    out.extend(texts.iter().flat_map(|text| event(text)));
    out.extend(tail());
    out
}

/// Returns an answer that is not streamed.
pub(crate) fn whole(text: &str) -> Vec<u8> {
    let (mut out, mut body) = (Vec::new(), Vec::new());
    let usage = Usage { prompt_tokens: 5, completion_tokens: 3, ..Usage::default() };
    let end = End { finish: &FinishReason::Stop, usage: Some(usage) };
    answer().whole(&mut body, text, &end);
    write_response(&mut out, 200, &[("content-type", "application/json")], &body);
    out
}

/// Returns a refusal.
pub(crate) fn refusal(status: u16, message: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let body = format!(r#"{{"error":{{"message":"{message}"}}}}"#);
    write_response(&mut out, status, &[("content-type", "application/json")], body.as_bytes());
    out
}
