//! Versioned, append-only run records.
//!
//! A run is a directory. While it goes, rows are appended to journals; when it ends, the journals
//! become Parquet tables and disappear. docs/record.md describes every file, key and column.
//!
//! ```text
//!            create            append, flush                       finish
//!  <run>/run.json (partial)    journal/requests.log  ──────▶  requests.parquet
//!                              journal/chunks.log    ──────▶  chunks.parquet
//!                              journal/telemetry.log ──────▶  telemetry.parquet
//!                              journal/text.log      ──────▶  (gone)
//!                                                             run.json (results)
//! ```
//!
//! # Invariants
//!
//! - Whatever was flushed before the process died can be read. A torn end is cut off and its
//!   length reported; nothing before it is lost.
//! - A file that is replaced is whole at every instant: it is written beside, synced, renamed.
//!   A table that exists is therefore complete, and is preferred to its journal.
//! - Both forms of a record give the same rows in the same order.
//! - A request whose row was flushed has all its chunks, if they were appended before it.
//! - What was ever written can be told from the run directories alone; the [`catalogue`] beside
//!   them is only for speed.
//!
//! Deliberately not here: clocks (the caller dates a run), what the header's values mean, and
//! anything derived from rows (`measure`).

pub mod catalogue;
mod cells;
mod chunks;
mod columnar;
mod encoding;
mod error;
mod files;
mod header;
mod hold;
mod journal;
mod read;
mod requests;
mod schema;
mod telemetry;
mod text;
mod write;

pub use error::StoreError;
pub use header::RunFile;
pub use hold::{Hold, is_held};
pub use read::{Rows, State, StoredRun, open};
pub use text::TextPiece;
pub use write::{KeepChunks, RunWriter};

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
