//! What a connection has still to send.
//!
//! Bytes go to the kernel at once. Those that it does not take, or that are held back on
//! purpose, wait here in order, and the rest queue behind them. A full socket therefore delays
//! its own connection and no other. Over TLS bytes are encrypted when they are put, so that what
//! waits is what the kernel will get.

use std::io::{self, ErrorKind, Write};
use std::net::TcpStream;

use infermark_terms::Stamp;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

use super::tls::Session;

/// The most bytes that may wait for a client that does not read, beyond which it is given up.
const WAITING_MAX: usize = 16 << 20;

/// What encryption adds to a short piece of text.
const SEAL_ROOM: usize = 64;

/// The write side of a connection.
#[derive(Debug)]
pub(crate) struct Outbox {
    socket: TcpStream,
    waiting: Vec<u8>,
    /// How much of `waiting` the kernel has.
    taken: usize,
    held_until: Option<Stamp>,
    broken: bool,
    bytes: u64,
    /// Over TLS; boxed, since it is large.
    session: Option<Box<Session>>,
}

/// What becomes of a connection once everything is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// It waits for the next request.
    Keep,
    /// It is closed.
    Close,
    /// It is reset.
    Reset,
}

impl Outbox {
    /// Returns the write side of a socket that does not block.
    pub(crate) fn new(socket: TcpStream, session: Option<Box<Session>>) -> Self {
        let waiting = Vec::new();
        Self { socket, waiting, taken: 0, held_until: None, broken: false, bytes: 0, session }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Returns what bytes from the socket mean: themselves, or over TLS what they decrypt to,
    /// which may be nothing.
    pub(crate) fn open<'a>(
        &mut self,
        bytes: &'a [u8],
        plain: &'a mut Vec<u8>,
    ) -> io::Result<&'a [u8]> {
        let Some(session) = &mut self.session else { return Ok(bytes) };
        plain.clear();
        session.open(bytes, plain)?;
        // What a handshake answers.
        self.put(b"");
        Ok(plain)
    }

    /// Sends bytes, as soon as may be.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        match &mut self.session {
            None => self.pass_on(bytes),
            Some(session) => {
                let mut sealed = Vec::with_capacity(bytes.len() + SEAL_ROOM);
                session.seal(bytes, &mut sealed);
                self.pass_on(&sealed);
            }
        }
    }

    fn pass_on(&mut self, bytes: &[u8]) {
        let sent = if self.is_clear() { self.write(bytes) } else { 0 };
        if sent < bytes.len() && !self.broken {
            self.waiting.extend_from_slice(&bytes[sent..]);
            self.broken = self.waiting.len() - self.taken > WAITING_MAX;
        }
    }

    /// Holds back what is put from now on until this instant, and what waits already.
    pub(crate) fn hold(&mut self, until: Stamp) {
        self.held_until = self.held_until.max(Some(until));
    }

    /// Returns the instant until which everything is held back.
    pub(crate) fn held_until(&self) -> Option<Stamp> {
        self.held_until
    }

    /// Sends what waits, unless it is held back.
    pub(crate) fn flush(&mut self, now: Stamp) {
        if self.held_until.is_some_and(|until| until > now) {
            return;
        }
        self.held_until = None;
        let waiting = std::mem::take(&mut self.waiting);
        self.taken += self.write(&waiting[self.taken..]);
        self.waiting = waiting;
        if self.taken == self.waiting.len() {
            self.waiting.clear();
            self.taken = 0;
        }
    }

    /// Says whether everything has been handed to the kernel and nothing is held back.
    pub(crate) fn is_clear(&self) -> bool {
        self.waiting.is_empty() && self.held_until.is_none()
    }

    /// Says whether it waits for the socket to become writable.
    pub(crate) fn wants_write(&self) -> bool {
        !self.waiting.is_empty() && self.held_until.is_none()
    }

    /// Says whether the connection is of no further use.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Returns how many bytes the kernel has taken.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the socket reset the connection when it is closed.
    pub(crate) fn reset_on_close(&self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&self.socket, sockopt::Linger, &linger).expect("a socket can always linger");
    }

    /// Returns how many bytes the kernel took.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() && !self.broken {
            match (&self.socket).write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.broken = true,
            }
        }
        self.bytes += sent as u64;
        sent
    }
}
