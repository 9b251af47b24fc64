//! A request, as a test's own server reads it.

use std::io::Read;
use std::net::TcpStream;

/// The request's head and body.
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Asked {
    /// Reads a request to its end; nothing where the stream ends before.
    pub(crate) fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut request = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let read = stream.read(&mut piece).ok().filter(|&read| read > 0)?;
            request.extend_from_slice(&piece[..read]);
            let text = String::from_utf8_lossy(&request).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.to_ascii_lowercase();
            let length = length
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(Self { head: head.to_owned(), body: body.to_owned() });
            }
        }
    }
}
