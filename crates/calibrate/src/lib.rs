//! What this machine's client can measure: infermark's own loop against the embedded engine's
//! exact server, over a ladder of loads, each process on a core of its own where there are two.
//!
//! ```text
//!  this process ──▶ server (last core): token k at arrival + TTFT + k · ITL, keeps the truth
//!       │ └───────▶ client (first core): the run's own loop, without a record on disk
//!       ▼
//!   what the client says ÷ what the server did − 1;  CPU time of the client ÷ tokens
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`plan`] | which loads are measured, and what comes of them |
//! | [`search`] | the highest load that holds |
//! | [`point`] | one load with its processes |
//! | [`server`], [`client`] | the processes, as roles that a program plays when it is told to |
//! | [`figures`] | percentiles, and what each side says |
//! | [`machine`] | cores, clocks and memory |
//!
//! # Invariants
//!
//! - The truth is the server's: instants at which its writes had returned, on the same clock.
//! - A load holds only if it was measured and both errors stayed below the bound; what lies
//!   between two loads is not guessed.
//!
//! Not here: words for people, the file that keeps the result (`cli`), and what a run makes of
//! the region (`measure`, `run`).

pub mod client;
mod error;
pub mod figures;
pub mod machine;
pub mod plan;
pub mod point;
pub mod search;
pub mod server;

pub use error::CalibrateError;
pub use plan::{Depth, Event, Findings, Kind, Row, calibrate};
pub use point::{Launch, Load, Outcome};

use std::io::Write;

/// Writes a line that the process above reads.
///
/// # Errors
///
/// If nobody reads any more.
///
/// # Panics
///
/// If the value is not plain data.
pub fn say(value: &impl serde::Serialize) -> Result<(), CalibrateError> {
    let text = serde_json::to_string(value).expect("plain data") + "\n";
    let mut out = std::io::stdout().lock();
    let said = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    said.map_err(|source| CalibrateError::System { what: "standard output", source })
}
