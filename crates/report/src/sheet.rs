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
    /// What stands behind the figures.
    pub source: Source<'a>,
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
    /// What is known beside the figures: labels, and items or sentences.
    pub beside: &'a [(&'a str, Vec<String>)],
    /// The directory that holds the record, where there is one.
    pub record: Option<&'a Path>,
    /// What was measured.
    pub point: &'a Point,
}

/// What stands behind the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// A server was measured.
    Server,
    /// The embedded engine was measured, with this configuration.
    Embedded(&'a str),
    /// Nothing was measured: the engine of this configuration was asked in virtual time.
    Predicted(&'a str),
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
