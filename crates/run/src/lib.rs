//! Composes one run from the parts: reach the target, learn how it counts, plan, send, record,
//! judge.
//!
//! ```text
//!  target ──▶ preflight ──▶ feeder ──▶ drive (one thread a shard) ──▶ recorder ──▶ judge
//!  (who?)    (how does it   (orders)                                  (rows)       (point)
//!             count?)
//! ```
//!
//! # Invariants
//!
//! - Nothing but the target is contacted, and the pages of metrics that the user names.
//! - What was recorded stays readable, whatever happens: the record is written as the run goes,
//!   and every error after its beginning leaves it marked partial.
//! - The results are a function of the record: [`measure_again`] on its directory gives the same.
//!
//! [`study`] makes several runs one after another in one directory, each a record of its own;
//! [`suite`] judges them line by line.
//! [`predict`] asks the embedded engine the same in virtual time: no clock, no socket, no record.
//!
//! Deliberately not here: words for people, progress bars, exit codes.

pub mod calibration;
pub mod capacity;
pub mod compare;
mod context;
mod deal;
pub mod doctor;
pub mod embedded;
mod environment;
mod error;
mod feeder;
pub mod hub;
mod judge;
pub mod knee;
mod limits;
mod load;
mod physics;
pub mod predict;
mod preflight;
mod price;
mod progress;
mod recall;
mod recorder;
pub mod repeat;
pub mod study;
pub mod suite;
pub mod sweep;
mod target;
mod telemetry;
mod timetable;
mod veil;

pub use environment::Environment;
pub use error::{Category, RunError};
pub use infermark_store::RunFile;
pub use infermark_store::catalogue;
pub use judge::{Measured, measure_again, rule};
pub use limits::make_room;
pub use load::{Options, Secrets, Session, execute};
pub use preflight::Preflight;
pub use progress::{Middle, Progress, ServerState, Stage, Watch};
pub use recall::{Foreign, adopt, recall};
pub use target::{ServerKind, TargetReport};
pub use timetable::preview;

/// The version of the figures' definitions, in every result.
pub const DEFINITIONS: &str = "infermark.metrics/1";
