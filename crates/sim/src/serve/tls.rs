//! TLS for the listener: a certificate made afresh that nobody vouches for, and sessions whose
//! bytes the listener itself moves.
//!
//! The certificate is good enough to encrypt with, which is what measuring a client over TLS
//! takes; it proves nothing, and clients have to be told not to check it. Its key lives and dies
//! with the listener.

use std::io::{self, Read, Write};
use std::sync::Arc;

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};

/// The algorithm identifier of Ed25519 (RFC 8410, section 3).
const ED25519: [u8; 7] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const UTC_TIME: u8 = 0x17;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// Makes a key and its certificate, and the configuration of a server that shows them.
pub(crate) fn self_signed() -> io::Result<Arc<ServerConfig>> {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .map_err(|_| io::Error::other("the system gives no random numbers"))?;
    let pair = Ed25519KeyPair::from_pkcs8(key.as_ref()).expect("a key that was just made is one");
    let key = PrivatePkcs8KeyDer::from(key.as_ref().to_vec());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate(&pair)], key.into())
        .map_err(io::Error::other)?;
    Ok(Arc::new(config))
}

/// Signs the key itself: the least certificate that is one (RFC 5280, section 4.1), without a
/// name, and valid in this century's first half.
fn certificate(pair: &Ed25519KeyPair) -> CertificateDer<'static> {
    let version = der(VERSION, &[&der(INTEGER, &[&[2]])]);
    let serial = der(INTEGER, &[&[1]]);
    let nobody = der(SEQUENCE, &[]);
    let validity =
        der(SEQUENCE, &[&der(UTC_TIME, &[b"000101000000Z"]), &der(UTC_TIME, &[b"491231235959Z"])]);
    let public = der(BIT_STRING, &[&[0], pair.public_key().as_ref()]);
    let public = der(SEQUENCE, &[&ED25519, &public]);
    let signed =
        der(SEQUENCE, &[&version, &serial, &ED25519, &nobody, &validity, &nobody, &public]);
    let signature = der(BIT_STRING, &[&[0], pair.sign(&signed).as_ref()]);
    der(SEQUENCE, &[&signed, &ED25519, &signature]).into()
}

/// Encodes one value: its tag, its length in one or two bytes, its parts (X.690, section 8.1).
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let parts = parts.concat();
    let length = u8::try_from(parts.len()).expect("a certificate of ours is short");
    let mut out = vec![tag];
    if length >= 0x80 {
        out.push(0x81);
    }
    out.push(length);
    out.extend(parts);
    out
}

/// One session. It moves bytes between memory and memory; sockets are the listener's.
#[derive(Debug)]
pub(crate) struct Session(ServerConnection);

impl Session {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        let mut connection = ServerConnection::new(config)?;
        connection.set_buffer_limit(None);
        Ok(Self(connection))
    }

    /// Takes bytes from the network and appends what they decrypt to.
    pub(crate) fn open(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) -> io::Result<()> {
        while !bytes.is_empty() {
            let taken = self.0.read_tls(&mut bytes)?;
            let state = self.0.process_new_packets().map_err(io::Error::other)?;
            let start = plain.len();
            plain.resize(start + state.plaintext_bytes_to_read(), 0);
            self.0.reader().read_exact(&mut plain[start..])?;
            if taken == 0 {
                // The client has announced that nothing more comes.
                return Ok(());
            }
        }
        Ok(())
    }

    /// Encrypts bytes, and appends to `sealed` what has to be sent, replies of the session
    /// itself included.
    pub(crate) fn seal(&mut self, bytes: &[u8], sealed: &mut Vec<u8>) {
        self.0.writer().write_all(bytes).expect("the buffer has no limit");
        while self.0.wants_write() {
            let _: usize = self.0.write_tls(sealed).expect("memory takes everything");
        }
    }
}
