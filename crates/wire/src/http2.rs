//! HTTP/2 (RFC 9113), incrementally: the client's role, and what a server writes.
//!
//! ```text
//!  client   request ──▶ Client::open ──▶ unsent bytes
//!           bytes ──▶ Client::feed ──▶ Listener: head, pieces of the body, how it ended
//!  server   start_response, write_data ──▶ bytes
//! ```
//!
//! Frames, flow control and the lives of streams are ours, since the instants of what they bring
//! are what is measured; header blocks (RFC 7541) are read and written by `ringline-h2`.
//!
//! A client never makes its server wait: it opens every window as wide as the protocol lets it, and
//! opens it again long before it is used up. Its header blocks refer to no table that grows, so a
//! request is the same bytes on any connection and can be written ahead of time.
//!
//! # Invariants
//!
//! - However the bytes are split, the listener hears the same, but for the pieces of bodies.
//! - The bytes of a body are handed on as slices of what was read, never copied.
//! - A stream that was opened ends once: by the server, by [`Client::cancel`], or with the
//!   connection.
//!
//! Not here: server push, which is refused; priorities; the upgrade from HTTP/1.1; connections.

mod client;
mod frame;
mod head;
mod write;

pub use client::{Client, Ending, Fault, Listener, Verdict};
pub use frame::{Code, FRAME_HEAD, Frame, Kind, PREFACE, begins, flag, push_frame};
pub use head::{Head, request};
pub use write::{Last, start_response, write_data};

/// The streams that a server is expected to take before it has said how many [RFC 9113, section
/// 6.5.2, recommends that it takes no fewer].
pub const STREAMS_EXPECTED: u32 = 100;
