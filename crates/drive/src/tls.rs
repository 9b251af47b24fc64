//! TLS over a socket that never waits.
//!
//! Bytes are read by the caller, so that their kernel stamp stays with them, and handed in here.

use std::io::{self, Read, Write};
use std::sync::Arc;

use infermark_terms::Excerpt;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// What HTTP/2 is called where TLS agrees on a protocol [RFC 9113, section 3.2].
pub(crate) const ALPN_HTTP2: &[u8] = b"h2";

/// One TLS session.
pub(crate) struct Session(ClientConnection);

impl Session {
    /// Prepares a session; its first flight waits to be written.
    pub(crate) fn new(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, Excerpt> {
        let mut connection = ClientConnection::new(config, name).map_err(|e| reason(&e))?;
        connection.set_buffer_limit(None);
        Ok(Self(connection))
    }

    /// Says whether the handshake is still going on.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Says whether both sides agreed to speak HTTP/2.
    pub(crate) fn speaks_http2(&self) -> bool {
        self.0.alpn_protocol() == Some(ALPN_HTTP2)
    }

    /// Says whether something waits to be written.
    pub(crate) fn wants_write(&self) -> bool {
        self.0.wants_write()
    }

    /// Takes bytes from the network and appends what they decrypt to. Says whether the peer has
    /// announced that nothing more will come.
    pub(crate) fn take(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) -> Result<bool, Excerpt> {
        while !bytes.is_empty() {
            let taken = self.0.read_tls(&mut bytes).map_err(|e| Excerpt::new(&e.to_string()))?;
            let state = self.0.process_new_packets().map_err(|e| reason(&e))?;
            let start = plain.len();
            let ready = state.plaintext_bytes_to_read();
            plain.resize(start + ready, 0);
            if ready > 0 {
                let read = self.0.reader().read_exact(&mut plain[start..]);
                read.map_err(|e| Excerpt::new(&e.to_string()))?;
            }
            // It takes nothing more once the peer has announced the end.
            if state.peer_has_closed() || taken == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Encrypts bytes; they wait to be written.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.0.writer().write_all(bytes).expect("the buffer has no limit");
    }

    /// Writes what waits; says whether all of it went.
    pub(crate) fn flush(&mut self, socket: &mut impl Write) -> io::Result<bool> {
        while self.0.wants_write() {
            match self.0.write_tls(socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

fn reason(error: &rustls::Error) -> Excerpt {
    Excerpt::new(&error.to_string())
}
