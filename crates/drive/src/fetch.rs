//! A file over HTTP, handed on as it comes: the way to what is too large to hold.
//!
//! Deliberately not here: where it comes from and where it goes; redirects are the caller's.

use std::io;
use std::ops::ControlFlow;

use infermark_terms::{DecodeFault, Nanos};
use infermark_wire::http1::{BodySink, HEAD_MAX, Message, ResponseDecoder, ResponseHead};
use thiserror::Error;

use crate::call::{CallError, Piece, converse, field};
use crate::endpoint::Endpoint;

/// What the response said before its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The status.
    pub status: u16,
    /// Where a redirect leads.
    pub location: Option<String>,
}

/// Why a file could not be fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    /// No complete response came.
    #[error(transparent)]
    Call(#[from] CallError),
    /// What came could not be taken.
    #[error("what was fetched cannot be kept")]
    Kept(#[source] io::Error),
}

/// Asks for `path` and hands the body of the response to `take` as it comes, each time with the
/// status.
///
/// # Errors
///
/// If no complete response comes within `limit`, or `take` fails. What had come by then was taken.
pub fn fetch(
    endpoint: &Endpoint,
    path: &str,
    headers: &[(String, String)],
    limit: Nanos,
    take: &mut dyn FnMut(u16, &[u8]) -> io::Result<()>,
) -> Result<Fetched, FetchError> {
    let request = endpoint.request("GET", path, headers, None);
    let mut decoder = ResponseDecoder::new();
    let mut pour = Pour { status: None, take, failure: None };
    let (mut head, mut fault) = (Vec::new(), None);
    converse(endpoint, &request, limit, |piece| {
        let bytes = match piece {
            Piece::Bytes(bytes) => bytes,
            Piece::End if decoder.closed() == Message::Complete => return ControlFlow::Break(()),
            Piece::End => return ControlFlow::Continue(()),
        };
        if pour.status.is_none() {
            head.extend_from_slice(&bytes[..bytes.len().min(HEAD_MAX)]);
        }
        match decoder.feed(bytes, &mut pour) {
            Ok(Message::Open) if pour.failure.is_none() => return ControlFlow::Continue(()),
            Ok(Message::Open | Message::Complete) => {}
            Err(found) => fault = Some(found),
        }
        ControlFlow::Break(())
    })?;
    if let Some(failure) = pour.failure {
        return Err(FetchError::Kept(failure));
    }
    match (pour.status, fault) {
        (Some(status), None) => Ok(Fetched { status, location: field(&head, "location") }),
        (_, fault) => {
            let fault = fault.unwrap_or(DecodeFault::Head);
            Err(CallError::Garbled { fault }.into())
        }
    }
}

/// Pours a body out.
struct Pour<'a> {
    status: Option<u16>,
    take: &'a mut dyn FnMut(u16, &[u8]) -> io::Result<()>,
    failure: Option<io::Error>,
}

impl BodySink for Pour<'_> {
    fn head(&mut self, head: ResponseHead) {
        self.status = Some(head.status);
    }

    fn body(&mut self, bytes: &[u8]) {
        if let (Some(status), None) = (self.status, &self.failure) {
            self.failure = (self.take)(status, bytes).err();
        }
    }
}
