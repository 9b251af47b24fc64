//! What is asked: prompts of exact length, rows of a dataset, and how tokens are counted.
//!
//! ```text
//!  Counter ──▶ probes ──▶ (the server's usage) ──▶ fit ──▶ Counter, Template
//!                                                              │
//!  scenario's intent, seed ───────────────────────────▶ Workload::prepare
//!                                                              │
//!  RequestId ─────────────────────────────────────────▶ Workload::ask ──▶ Ask
//! ```
//!
//! # Invariants
//!
//! - [`Workload::ask`] is a function of the seed and the request's id alone: any shard, in any
//!   order, asks the same.
//! - A prompt made here has exactly the length that was drawn for it, as its tokenizer counts.
//! - No two made prompts begin alike, unless the scenario shares a prefix between them.
//!
//! | module | idea |
//! |---|---|
//! | [`tokenizer`] | [`Tokenizer`]: text to tokens; [`FileTokenizer`]: from a `tokenizer.json` |
//! | [`probe`] | what the chat template costs, and tokens per word without a tokenizer |
//! | [`Mix`] | which class a request is of |
//! | [`workload`] | [`Workload`]: id to ask; [`Outline`]: the same in lengths alone |
//! | [`trace`] | requests of recorded traces: when, how long, and what they share |
//! | [`dataset`] | rows of JSON Lines, CSV, Parquet, `ShareGPT` and conversation files |
//! | [`mod@recount`] | tokens of each chunk of an answer, after the run |
//!
//! Not here: when it is asked (`schedule`), the protocol (`wire`), and any network: a tokenizer
//! behind a server is the caller's implementation of [`Tokenizer`].

mod compose;
mod corpus;
pub mod dataset;
mod draw;
mod lengths;
mod lexicon;
mod mix;
mod outline;
pub mod probe;
pub mod recount;
pub mod tokenizer;
pub mod trace;
pub mod workload;

pub use dataset::{Census, DatasetError};
pub use mix::Mix;
pub use outline::{Outline, Sizes};
pub use probe::{Probe, ProbeError, Reading, fit, probes};
pub use recount::recount;
pub use tokenizer::{FileTokenizer, Site, TokenizeError, Tokenizer, TokenizerError};
pub use trace::{Trace, TraceLayout, Traces};
pub use workload::{
    Calibration, Counter, FollowUp, Template, Workload, WorkloadError, Yardstick, said,
};

#[cfg(test)]
mod samples;
