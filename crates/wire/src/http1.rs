//! HTTP/1.1 messages (RFC 9112), incrementally, in both roles.
//!
//! | | client | server |
//! |---|---|---|
//! | writes | [`request`] | [`write_response`], or [`start_chunked`] and what follows it |
//! | reads | [`ResponseDecoder`] | [`RequestDecoder`] |
//!
//! Heads are read by `httparse`, bodies by us: by content length, by chunks (extensions and
//! trailers are skipped), or until the connection closes.
//!
//! # Invariants
//!
//! - However the bytes are split, the decoders say the same.
//! - The bytes of a body are handed on as slices of what was read, never copied.
//!
//! Not here: content codings (we never ask for one), upgrades, connections.

mod body;
mod fields;
mod request;
mod response;
mod write;

pub use fields::ContentType;
pub(crate) use fields::{content_of, whole_number};
pub use request::{Request, RequestDecoder, RequestFault};
pub use response::{BodySink, Collected, Message, ResponseDecoder, ResponseHead};
pub use write::{
    RequestHead, drop_body, end_chunked, request, start_chunked, write_chunk, write_response,
};

/// The longest head of a message, and the longest chunk extension or trailer, in bytes.
pub const HEAD_MAX: usize = 64 << 10;

/// The most header fields of a message.
pub const FIELDS_MAX: usize = 128;

/// The longest body that is kept whole, in bytes.
pub const BODY_MAX: usize = 64 << 20;

/// What becomes of the connection after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It may carry another request.
    Reuse,
    /// It must be closed.
    Close,
}

#[cfg(test)]
mod tests;
