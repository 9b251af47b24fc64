//! Bytes to protocol and back, without IO, in both roles.
//!
//! ```text
//!  client   Ask ──▶ Dialect::body ──▶ http1::request ──▶ bytes
//!           bytes ──▶ http1::ResponseDecoder ──▶ sse, lines ──▶ Api::read ──▶ chunks, outcome
//!                    └──────────────────── exchange::Exchange ──────────────────────┘
//!  server   bytes ──▶ http1::RequestDecoder ──▶ server::parse ──▶ Asked
//!           server::Answer ──▶ http1::write_chunk ──▶ bytes
//! ```
//!
//! Over HTTP/2 `http2` stands in `http1`'s place; the rest is the same.
//!
//! Every dialect is one module: `openai`, `responses`, `pooling`, `tgi`, `triton`, `sglang`,
//! `llamacpp`, `ollama`, `anthropic`. What they share is in [`dialect`] (who speaks what) and
//! `event` (what an event can say).
//!
//! # Invariants
//!
//! - However the bytes of a response are split into reads, its chunks and its end are the same.
//! - After warm-up, a streamed chunk costs no allocation on the client's side.
//! - What a server sends is never an `Err` of [`exchange`]: it is an `Outcome`.
//! - Everything that a peer can make us keep has a named limit.
//!
//! Not here: sockets, TLS, instants, retries.

mod anthropic;
pub mod dialect;
mod event;
pub mod exchange;
mod fault;
pub mod http1;
pub mod http2;
mod json;
pub mod lines;
mod llamacpp;
mod ollama;
mod openai;
mod pooling;
mod responses;
pub mod server;
mod sglang;
pub mod sse;
mod tgi;
mod triton;

pub use dialect::{Api, Delivery, Dialect, LengthFields, UnsupportedPrompt, UsageFields};
pub use exchange::{Chunk, Ended, Exchange, Keep, Progress, RawText};
pub use fault::message as stated;

#[cfg(test)]
mod laws;
