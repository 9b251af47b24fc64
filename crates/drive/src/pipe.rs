//! What carries the bytes of a connection: a socket, the way through a proxy, TLS.
//!
//! ```text
//!  Connecting ─▶ Tunnelling ─▶ Handshaking ─▶ Ready
//!                (proxy)       (TLS)
//! ```
//!
//! Not here: what the bytes mean, and when the socket is ready for them.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use infermark_terms::{ConnectPhases, Excerpt, HttpVersion, Stamp, TransportFault};

use crate::endpoint::Endpoint;
use crate::socket;
use crate::tls::Session;
use crate::tunnel::Tunnel;

/// A way to a server, and back.
pub(crate) struct Pipe {
    fd: OwnedFd,
    /// Boxed: it is large, and plain connections, of which there may be thousands, should lie
    /// close together.
    session: Option<Box<Session>>,
    /// What leads through a proxy, until it does.
    tunnel: Option<Box<Tunnel>>,
    stage: Stage,
    version: HttpVersion,
    opened: Stamp,
    phases: ConnectPhases,
    /// Why nothing more can be written, while what the peer said before may still be read.
    cut: Option<TransportFault>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Tunnelling,
    Handshaking,
    Ready,
}

/// Whether this was what made a pipe ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// It was: now bytes can be sent.
    Ready,
    /// It was not.
    No,
}

/// What a read brought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) turned: Turned,
    /// The peer has announced that nothing more will come.
    pub(crate) over: bool,
}

impl Pipe {
    /// Starts connecting.
    pub(crate) fn open(
        address: SocketAddr,
        endpoint: &Endpoint,
        now: Stamp,
    ) -> Result<Self, TransportFault> {
        let session = endpoint
            .secure()
            .map(|s| Session::new(s.config.clone(), s.name.clone()).map(Box::new))
            .transpose()
            .map_err(TransportFault::Tls)?;
        let fd = socket::open(address).map_err(|error| fault(&error))?;
        socket::stamp_receives(&fd);
        Ok(Self {
            fd,
            session,
            tunnel: Tunnel::to(endpoint).map(Box::new),
            stage: Stage::Connecting,
            version: endpoint.version(),
            opened: now,
            phases: ConnectPhases::default(),
            cut: None,
        })
    }

    /// Returns the socket, to register it.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Reads what is there, once.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<socket::Received> {
        socket::receive(&self.fd, buffer)
    }

    /// Says whether nothing waits to be read, and nothing will end it.
    pub(crate) fn is_quiet(&self) -> bool {
        socket::is_quiet(&self.fd)
    }

    /// Says whether bytes can be sent.
    pub(crate) fn is_ready(&self) -> bool {
        self.stage == Stage::Ready
    }

    /// Says whether bytes are encrypted on their way.
    pub(crate) fn is_secure(&self) -> bool {
        self.session.is_some()
    }

    /// Returns what connecting took.
    pub(crate) fn phases(&self) -> ConnectPhases {
        self.phases
    }

    /// Takes why nothing more can be written, if that is so.
    pub(crate) fn take_cut(&mut self) -> Option<TransportFault> {
        self.cut.take()
    }

    /// Says whether it wants to hear of being writable; so many plain bytes wait.
    pub(crate) fn wants_write(&self, waiting: usize) -> bool {
        match (self.stage, &self.session) {
            (Stage::Connecting, _) => true,
            _ if self.cut.is_some() => false,
            (Stage::Tunnelling, _) => {
                self.tunnel.as_ref().is_some_and(|tunnel| !tunnel.unsent().is_empty())
            }
            (_, Some(session)) => session.wants_write(),
            (_, None) => waiting > 0,
        }
    }

    /// Goes on connecting, once the socket is writable.
    pub(crate) fn advance(&mut self, now: impl Fn() -> Stamp) -> Result<Turned, TransportFault> {
        if self.stage == Stage::Connecting {
            socket::connected(&self.fd).map_err(|error| fault(&error))?;
            self.phases.tcp = now().since(self.opened);
            self.stage = match (&self.tunnel, &self.session) {
                (Some(_), _) => Stage::Tunnelling,
                (None, Some(_)) => Stage::Handshaking,
                (None, None) => Stage::Ready,
            };
        }
        if self.stage == Stage::Ready {
            return Ok(Turned::Ready);
        }
        self.shake().map_err(|error| fault(&error))?;
        Ok(Turned::No)
    }

    /// Takes what one read brought. Over TLS, `plain` then holds what it decrypts to; else the
    /// bytes are what they are. Nothing may be read from them before the pipe is ready.
    pub(crate) fn hear(
        &mut self,
        bytes: &[u8],
        plain: &mut Vec<u8>,
        at: Stamp,
    ) -> Result<Heard, TransportFault> {
        plain.clear();
        let mut heard = Heard { turned: Turned::No, over: false };
        if self.stage == Stage::Tunnelling {
            self.tunnelled(bytes, at)?;
            return Ok(heard);
        }
        let Some(session) = &mut self.session else {
            plain.extend_from_slice(bytes);
            return Ok(heard);
        };
        let taken = session.take(bytes, plain);
        let handshaking = session.is_handshaking();
        heard.over = taken.map_err(|why| {
            // The alert that tells the server why; it may be too late for that.
            let _told = self.shake();
            TransportFault::Tls(why)
        })?;
        if self.stage == Stage::Handshaking {
            if handshaking {
                self.shake().map_err(|error| fault(&error))?;
            } else {
                self.agree()?;
                self.phases.tls = at.since(self.opened + self.phases.tcp);
                self.stage = Stage::Ready;
                heard.turned = Turned::Ready;
            }
        }
        Ok(heard)
    }

    /// Checks that both sides mean the same protocol.
    fn agree(&self) -> Result<(), TransportFault> {
        let speaks = self.session.as_ref().is_some_and(|session| session.speaks_http2());
        if self.version == HttpVersion::Http2 && !speaks {
            return Err(TransportFault::Tls(Excerpt::new(NO_HTTP2)));
        }
        Ok(())
    }

    /// Takes what the proxy said; once there is a tunnel, TLS begins.
    fn tunnelled(&mut self, bytes: &[u8], at: Stamp) -> Result<(), TransportFault> {
        let tunnel = self.tunnel.as_mut().expect("a tunnel is being asked for");
        if tunnel.take(bytes).map_err(TransportFault::Other)? {
            self.tunnel = None;
            self.phases.tcp = at.since(self.opened);
            self.stage = Stage::Handshaking;
            self.shake().map_err(|error| fault(&error))?;
        }
        Ok(())
    }

    /// Writes what the proxy or TLS has to say of its own.
    fn shake(&mut self) -> io::Result<()> {
        if let Some(tunnel) = &mut self.tunnel {
            while !tunnel.unsent().is_empty() {
                match socket::send(&self.fd, tunnel.unsent()) {
                    Ok(count) => tunnel.sent(count),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        } else if let Some(session) = &mut self.session {
            let _all: bool = session.flush(&mut Descriptor(&self.fd))?;
        }
        Ok(())
    }

    /// Encrypts bytes of a pipe that is secure; they wait to be written.
    pub(crate) fn encrypt(&mut self, bytes: &[u8]) {
        if let Some(session) = &mut self.session {
            session.put(bytes);
        }
    }

    /// Writes what waits: what was encrypted, or else what of `plain` lies after `written`, which
    /// moves on. Says whether all of it went.
    ///
    /// A peer that is gone may have said why before it went: what it said is read first, and
    /// decides. A server may refuse a request that it has only half read.
    pub(crate) fn write(
        &mut self,
        plain: &[u8],
        written: &mut usize,
    ) -> Result<bool, TransportFault> {
        if self.cut.is_some() {
            return Ok(false);
        }
        match self.flush(plain, written).map_err(|error| fault(&error)) {
            Err(TransportFault::Reset) => {
                self.cut = Some(TransportFault::Reset);
                Ok(false)
            }
            flushed => flushed,
        }
    }

    fn flush(&mut self, plain: &[u8], written: &mut usize) -> io::Result<bool> {
        if let Some(session) = &mut self.session {
            return session.flush(&mut Descriptor(&self.fd));
        }
        while *written < plain.len() {
            match socket::send(&self.fd, &plain[*written..]) {
                Ok(count) => *written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// What TLS ended in where HTTP/2 was asked for and not agreed on.
pub(crate) const NO_HTTP2: &str = "the server does not agree to HTTP/2";

/// Tells what failed below the protocol from the system's error.
pub(crate) fn fault(error: &io::Error) -> TransportFault {
    use io::ErrorKind as Kind;
    let words = || Excerpt::new(&error.to_string());
    let limits = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::EADDRNOTAVAIL];
    if error.raw_os_error().is_some_and(|code| limits.contains(&code)) {
        return TransportFault::LocalLimit(words());
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open: the rest are others")]
    match error.kind() {
        Kind::ConnectionRefused => TransportFault::ConnectionRefused,
        Kind::ConnectionReset | Kind::BrokenPipe | Kind::ConnectionAborted => TransportFault::Reset,
        Kind::UnexpectedEof => TransportFault::ClosedEarly,
        _ => TransportFault::Other(words()),
    }
}

/// A socket as something to write to.
struct Descriptor<'a>(&'a OwnedFd);

impl Write for Descriptor<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        socket::send(self.0, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
