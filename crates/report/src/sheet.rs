//! What a page about one run needs to know.
//!
//! The texts may come from anywhere: they are made safe where they are written.

use std::path::Path;

use infermark_measure::Point;

/// One run, as far as a page shows it.
#[derive(Clone, Copy, Debug)]
pub struct Sheet<'a> {
    /// Whom it measured: a URL, or `sim:` and what follows.
    pub target: &'a str,
    /// The embedded engine's latencies, where it was the target; absent for a real server.
    pub embedded: Option<&'a str>,
    /// Whether the server's certificate was checked.
    pub verification: Verification,
    /// The model that was asked.
    pub model: &'a str,
    /// The API that was spoken, such as `chat`.
    pub api: &'a str,
    /// The server's name and version, where it told.
    pub server: Option<&'a str>,
    /// What was asked for, as labels and values: load, bounds, lengths, tokenizer, seed.
    pub asked: &'a [(&'a str, String)],
    /// Whether the run came to its end.
    pub state: State,
    /// The directory that holds the record.
    pub record: &'a Path,
    /// What was measured.
    pub point: &'a Point,
}

/// Whether the server's certificate was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// It was, or the target has none.
    Full,
    /// It was not (`--insecure`).
    Off,
}

/// Whether the run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It did.
    Complete,
    /// It was interrupted or killed; the figures are over what was recorded.
    Partial,
}
