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

/// How a response began, for whoever takes its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The status.
    pub status: u16,
    /// Where in the whole a part begins, in bytes, where the response says (`Content-Range`,
    /// RFC 9110, section 14.4).
    pub from: Option<u64>,
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

/// Asks for `path` and hands the body of the response to `take` as it comes, each time with how
/// the response began.
///
/// # Errors
///
/// If no complete response comes within `limit`, or `take` fails. What had come by then was taken.
pub fn fetch(
    endpoint: &Endpoint,
    path: &str,
    headers: &[(String, String)],
    limit: Nanos,
    take: &mut dyn FnMut(Opening, &[u8]) -> io::Result<()>,
) -> Result<Fetched, FetchError> {
    let request = endpoint.request("GET", path, headers, None);
    let mut decoder = ResponseDecoder::new();
    let mut pour = Pour { opening: None, head: Vec::new(), take, failure: None };
    let mut fault = None;
    converse(endpoint, &request, limit, |piece| {
        let bytes = match piece {
            Piece::Bytes(bytes) => bytes,
            Piece::End if decoder.closed() == Message::Complete => return ControlFlow::Break(()),
            Piece::End => return ControlFlow::Continue(()),
        };
        if pour.opening.is_none() {
            pour.head.extend_from_slice(&bytes[..bytes.len().min(HEAD_MAX)]);
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
    match (pour.opening, fault) {
        (Some(Opening { status, .. }), None) => {
            Ok(Fetched { status, location: field(&pour.head, "location") })
        }
        (_, fault) => {
            let fault = fault.unwrap_or(DecodeFault::Head);
            Err(CallError::Garbled { fault }.into())
        }
    }
}

/// Pours a body out.
struct Pour<'a> {
    opening: Option<Opening>,
    /// What came up to the end of the head, and perhaps more.
    head: Vec<u8>,
    take: &'a mut dyn FnMut(Opening, &[u8]) -> io::Result<()>,
    failure: Option<io::Error>,
}

impl BodySink for Pour<'_> {
    fn head(&mut self, head: ResponseHead) {
        let range = field(&self.head, "content-range");
        self.opening =
            Some(Opening { status: head.status, from: range.as_deref().and_then(begin) });
    }

    fn body(&mut self, bytes: &[u8]) {
        if let (Some(opening), None) = (self.opening, &self.failure) {
            self.failure = (self.take)(opening, bytes).err();
        }
    }
}

/// Returns where a part begins that is `bytes 5-9/10`.
fn begin(range: &str) -> Option<u64> {
    range.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}
