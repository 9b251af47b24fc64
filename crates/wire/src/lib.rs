//! Bytes to protocol and back, without IO, in both roles.
//!
//! ```text
//!  client   Ask ──▶ Dialect::body ──▶ http1::request ──▶ bytes
//!           bytes ──▶ http1::ResponseDecoder ──▶ sse::SseDecoder ──▶ openai ──▶ chunks, outcome
//!                    └──────────────────── exchange::Exchange ────────────────────┘
//!  server   bytes ──▶ http1::RequestDecoder ──▶ openai::server::parse ──▶ Asked
//!           Answer ──▶ http1::write_chunk ──▶ bytes
//! ```
//!
//! # Invariants
//!
//! - However the bytes of a response are split into reads, its chunks and its end are the same.
//! - After warm-up, a streamed chunk costs no allocation on the client's side.
//! - What a server sends is never an `Err` of [`exchange`]: it is an `Outcome`.
//! - Everything that a peer can make us keep has a named limit.
//!
//! Not here: sockets, TLS, instants, retries.

pub mod exchange;
pub mod http1;
mod json;
pub mod openai;
pub mod sse;

pub use exchange::{Chunk, Ended, Exchange, Keep, Progress};
pub use openai::{Api, Delivery, Dialect, LengthFields, RawText, UnsupportedPrompt, UsageFields};

#[cfg(test)]
mod laws;
