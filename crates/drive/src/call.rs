//! One call to the server, outside the measured load: discovery, tokenizing, probes.
//!
//! It waits, and opens a connection of its own. The protocol code is the same as on the hot
//! path, so what a call sees is what the run will see.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::time::Duration;

use infermark_terms::{
    DecodeFault, EventCounts, Excerpt, HttpVersion, Nanos, Outcome, Stamp, Usage,
};
use infermark_wire::exchange::{Exchange, Progress};
use infermark_wire::http1::{Collected, Message, ResponseDecoder};
use infermark_wire::http2;
use infermark_wire::{Api, Delivery};
use rustls::{ClientConnection, StreamOwned};
use thiserror::Error;

use crate::clock::Clock;
use crate::endpoint::Endpoint;
use crate::tls::ALPN_HTTP2;
use crate::trust::TlsFault;
use crate::tunnel::Tunnel;

mod over_http2;

/// Why a call brought no response.
#[derive(Debug, Error)]
pub enum CallError {
    /// No connection to any of the server's addresses.
    #[error("cannot connect to {address}")]
    Connect {
        /// The last address that was tried.
        address: SocketAddr,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// TLS failed.
    #[error("cannot agree on TLS with {address}")]
    Tls {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The proxy gives no tunnel to the server.
    #[error("no way through the proxy at {address}: {why}")]
    Tunnel {
        /// The proxy's address.
        address: SocketAddr,
        /// Why.
        why: Excerpt,
    },
    /// The server took too long.
    #[error("no complete response within {limit}")]
    Late {
        /// The limit.
        limit: Nanos,
    },
    /// The connection failed in the middle.
    #[error("the connection failed before the response was complete")]
    Severed {
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// The server speaks TLS, and was asked without.
    #[error("the server at {address} speaks TLS")]
    Encrypted {
        /// Its address.
        address: SocketAddr,
    },
    /// The server speaks another version of HTTP than it was asked in.
    #[error("the server at {address} does not speak {asked}")]
    Version {
        /// Its address.
        address: SocketAddr,
        /// What it was asked in.
        asked: HttpVersion,
    },
    /// The response is not HTTP.
    #[error("{fault}")]
    Garbled {
        /// What is wrong with it.
        fault: DecodeFault,
    },
}

impl CallError {
    /// Returns why TLS failed, if it did.
    pub fn tls_fault(&self) -> Option<TlsFault> {
        let Self::Tls { source, .. } = self else { return None };
        Some(fault_of(source).map_or(TlsFault::Other, TlsFault::of))
    }
}

/// Returns what TLS itself says in an error of the stream.
fn fault_of(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// A response, kept whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// The date that the server gave it, as it stands there.
    pub date: Option<String>,
}

/// What a probe of the API brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// How it ended.
    pub outcome: Outcome,
    /// The server's counts.
    pub usage: Option<Usage>,
    /// Chunks that came.
    pub chunks: u32,
    /// Whether each of them said how many tokens it holds.
    pub counted: bool,
    /// Events that were no chunks.
    pub events: EventCounts,
    /// When the server wishes to be asked again, as it says it.
    pub retry_after: Option<String>,
    /// The date that it gave the response, as it stands there.
    pub date: Option<String>,
}

/// Makes a call: `body` is JSON.
///
/// # Errors
///
/// If no complete response comes within `limit`.
pub fn call(
    endpoint: &Endpoint,
    method: &str,
    path: &str,
    headers: &[(String, String)],
    body: Option<&[u8]>,
    limit: Nanos,
) -> Result<Response, CallError> {
    let bytes = endpoint.request(method, path, headers, body);
    let mut decoder = ResponseDecoder::new();
    let mut collected = Collected::default();
    let (mut fault, mut date) = (None, None);
    converse(endpoint, &bytes, limit, |piece| match piece {
        Piece::Bytes(bytes) => {
            if collected.head.is_none() {
                date = field(bytes, "date");
            }
            match decoder.feed(bytes, &mut collected) {
                Ok(Message::Open) => ControlFlow::Continue(()),
                Ok(Message::Complete) => ControlFlow::Break(()),
                Err(found) => {
                    fault = Some(found);
                    ControlFlow::Break(())
                }
            }
        }
        Piece::End if decoder.closed() == Message::Complete => ControlFlow::Break(()),
        Piece::End => ControlFlow::Continue(()),
    })?;
    match (fault, collected.head) {
        (Some(fault), _) => Err(CallError::Garbled { fault }),
        (None, None) => Err(CallError::Garbled { fault: DecodeFault::Head }),
        (None, Some(head)) => Ok(Response { status: head.status, body: collected.body, date }),
    }
}

/// Returns the field of this name of a head that is there whole, as heads come.
pub(crate) fn field(bytes: &[u8], name: &str) -> Option<String> {
    let lines = bytes.split(|&byte| byte == b'\n').take_while(|line| !line.trim_ascii().is_empty());
    let mut fields = lines.filter_map(|line| line.split_at_checked(name.len()));
    let (_, rest) = fields.find(|(found, rest)| {
        found.eq_ignore_ascii_case(name.as_bytes()) && rest.starts_with(b":")
    })?;
    Some(String::from_utf8_lossy(rest[1..].trim_ascii()).into_owned())
}

/// Sends one complete request of the measured API and says how it went.
///
/// # Errors
///
/// If the connection cannot be made, or fails, or is too slow. What the server itself does
/// wrong is in the outcome.
pub fn probe(
    endpoint: &Endpoint,
    request: &[u8],
    api: Api,
    delivery: Delivery,
    limit: Nanos,
) -> Result<Sighting, CallError> {
    let mut exchange = Exchange::new(api, delivery);
    let (mut chunks, mut counted) = (0, true);
    let mut outcome = Outcome::Abandoned;
    let (mut retry_after, mut date) = (None, None);
    converse(endpoint, request, limit, |piece| {
        let ended = match piece {
            Piece::Bytes(bytes) => {
                if exchange.bytes() == 0 {
                    retry_after = field(bytes, "retry-after");
                    date = field(bytes, "date");
                }
                let progress = exchange.receive(bytes, &mut |chunk| {
                    chunks += 1;
                    counted &= chunk.tokens.is_some();
                });
                match progress {
                    Progress::Open => return ControlFlow::Continue(()),
                    Progress::Ended(ended) => ended,
                }
            }
            Piece::End => exchange.closed(),
        };
        outcome = ended.outcome;
        ControlFlow::Break(())
    })?;
    Ok(Sighting {
        outcome,
        usage: exchange.usage(),
        chunks,
        counted: counted && chunks > 0,
        events: exchange.events(),
        retry_after,
        date,
    })
}

/// What a conversation hands to its listener.
pub(crate) enum Piece<'a> {
    Bytes(&'a [u8]),
    End,
}

/// Sends `request` and hands what comes back to `listen` until it has heard enough.
pub(crate) fn converse(
    endpoint: &Endpoint,
    request: &[u8],
    limit: Nanos,
    mut listen: impl FnMut(Piece<'_>) -> ControlFlow<()>,
) -> Result<(), CallError> {
    let (mut stream, address) = Stream::connect(endpoint, limit)?;
    let failed = |source: io::Error| match fault_of(&source) {
        _ if is_late(&source) => CallError::Late { limit },
        // Whether our own certificate will do, a server says after the handshake.
        Some(_) => CallError::Tls { address, source },
        None => CallError::Severed { source },
    };
    if endpoint.version() == HttpVersion::Http2 {
        return over_http2::converse(&mut stream, request, address, failed, listen);
    }
    stream.write_all(request).and_then(|()| stream.flush()).map_err(failed)?;
    let mut buffer = vec![0; 16 * 1024];
    let mut first = true;
    loop {
        let read = match stream.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // A TLS peer that closes without saying so.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(error) => return Err(failed(error)),
        };
        if std::mem::take(&mut first) {
            recognise(&buffer[..read], address)?;
        }
        let piece = if read == 0 { Piece::End } else { Piece::Bytes(&buffer[..read]) };
        match listen(piece) {
            ControlFlow::Break(()) => return Ok(()),
            ControlFlow::Continue(()) if read == 0 => {
                return Err(failed(io::ErrorKind::UnexpectedEof.into()));
            }
            ControlFlow::Continue(()) => {}
        }
    }
}

/// What TLS begins with where it says no: an alert, and a version of it [RFC 8446, section 5.1].
const TLS_ALERT: [u8; 2] = [21, 3];

/// Refuses what begins as another protocol than HTTP/1.1 does.
fn recognise(bytes: &[u8], address: SocketAddr) -> Result<(), CallError> {
    if bytes.starts_with(&TLS_ALERT) {
        return Err(CallError::Encrypted { address });
    }
    if http2::begins(bytes) {
        return Err(CallError::Version { address, asked: HttpVersion::Http1 });
    }
    Ok(())
}

/// A socket that waits, but no longer than until an instant.
struct Timed {
    socket: TcpStream,
    clock: Clock,
    until: Stamp,
}

impl Timed {
    /// Returns how long it may still wait.
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.until.since(self.clock.now()) {
            Nanos::ZERO => Err(io::ErrorKind::TimedOut.into()),
            Nanos(left) => Ok(Some(Duration::from_nanos(left))),
        }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        self.socket.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_late(error: &io::Error) -> bool {
    [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&error.kind())
}

/// A connection that waits.
enum Stream {
    Plain(Timed),
    Secure(Box<StreamOwned<ClientConnection, Timed>>),
}

impl Stream {
    /// Connects to the first address that answers. The limit holds for each of them, and then
    /// anew for all that follows.
    fn connect(endpoint: &Endpoint, limit: Nanos) -> Result<(Self, SocketAddr), CallError> {
        let timeout = Duration::from_nanos(limit.0.max(1));
        let mut failure = None;
        for &address in endpoint.addresses() {
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(socket) => {
                    let stream = Self::prepare(endpoint, address, socket, limit)?;
                    return Ok((stream, address));
                }
                Err(source) => failure = Some(CallError::Connect { address, source }),
            }
        }
        Err(failure.expect("an endpoint has an address"))
    }

    fn prepare(
        endpoint: &Endpoint,
        address: SocketAddr,
        socket: TcpStream,
        limit: Nanos,
    ) -> Result<Self, CallError> {
        socket.set_nodelay(true).map_err(|source| CallError::Connect { address, source })?;
        let clock = Clock::start();
        let mut timed = Timed { socket, clock, until: clock.now() + limit };
        if let Some(tunnel) = Tunnel::to(endpoint) {
            dig(tunnel, &mut timed, address, limit)?;
        }
        let Some(secure) = endpoint.secure() else { return Ok(Self::Plain(timed)) };
        let refused = |source: io::Error| match fault_of(&source).map(TlsFault::of) {
            _ if is_late(&source) => CallError::Late { limit },
            Some(TlsFault::Version) => CallError::Version { address, asked: HttpVersion::Http2 },
            Some(_) | None => CallError::Tls { address, source },
        };
        let mut connection = ClientConnection::new(secure.config.clone(), secure.name.clone())
            .map_err(|error| refused(io::Error::other(error)))?;
        while connection.is_handshaking() {
            let _: (usize, usize) = connection.complete_io(&mut timed).map_err(refused)?;
        }
        let agreed = connection.alpn_protocol() == Some(ALPN_HTTP2);
        if endpoint.version() == HttpVersion::Http2 && !agreed {
            return Err(CallError::Version { address, asked: HttpVersion::Http2 });
        }
        Ok(Self::Secure(Box::new(StreamOwned::new(connection, timed))))
    }
}

/// Gets through a proxy.
fn dig(
    mut tunnel: Tunnel,
    socket: &mut Timed,
    address: SocketAddr,
    limit: Nanos,
) -> Result<(), CallError> {
    let failed = |source: io::Error| {
        if is_late(&source) { CallError::Late { limit } } else { CallError::Severed { source } }
    };
    socket.write_all(tunnel.unsent()).map_err(failed)?;
    let mut buffer = [0; 1024];
    loop {
        let read = match socket.read(&mut buffer) {
            Ok(0) => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        if tunnel.take(&buffer[..read]).map_err(|why| CallError::Tunnel { address, why })? {
            return Ok(());
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Secure(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Secure(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Secure(stream) => stream.flush(),
        }
    }
}
