//! Other tools' definitions and result formats, both ways.
//!
//! ```text
//!  rows ─▶ Record ─┬─▶ View::measure ─▶ Point (a peer's figures by the peer's definitions)
//!                  └─▶ export ────────▶ bytes (a peer's file)
//!  a peer's file ──▶ import ──────────▶ Import ─▶ points of run.json
//! ```
//!
//! # Invariants
//!
//! - What a file does not say is absent in what is read from it.
//! - A figure carries one of infermark's keys only if it is defined as that figure is.
//! - What is exported and imported again has the figures of the view of its record.
//! - Bytes in, bytes out: also a SQLite database is made and read in memory.
//!
//! Deliberately not here: files, the command line, and how runs are stored.

mod compressa;
mod export;
mod guidellm;
mod hf;
mod import;
mod llmd;
mod page;
mod point;
mod python;
mod record;
mod stats;
mod view;
mod vllm;

pub use compressa::listing;
pub use export::{Format, export};
pub use import::{Import, Origin, import};
pub use page::page;
pub use point::{Counts, Figure, Point, Rate, Unit};
pub use record::{Facts, Fate, Load, Record, Request};
pub use stats::Stats;
pub use view::View;

#[cfg(test)]
mod samples;

/// Why a file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeersError {
    /// No format is known that looks like this.
    #[error("not a result file of {known}")]
    Unknown {
        /// The peers whose files are known.
        known: String,
    },
    /// It is not valid JSON.
    #[error("not valid JSON")]
    Json(#[from] serde_json::Error),
    /// A key that every file of this peer has is not there.
    #[error("`{key}` is missing from a result of {peer}")]
    Missing {
        /// Whose file.
        peer: &'static str,
        /// Where it should be.
        key: String,
    },
    /// The SQLite library refuses.
    #[error("the database cannot be used")]
    Sqlite(#[from] rusqlite::Error),
    /// No request was sent, or none was answered where the peer's format needs one.
    #[error("a result of {peer} needs at least one answered request")]
    Nothing {
        /// Whose file.
        peer: &'static str,
    },
}
