//! Records become estimates with intervals.
//!
//! [`measure`] is a pure function of a plan and of the rows of one run: measuring a stored record
//! again gives the same [`Point`]. Every figure is defined in docs/metrics.md; the definition is
//! quoted above the function that computes it.
//!
//! ```text
//!  requests ─▶ roster ─▶ population ─┬─▶ figures ─▶ sample ─┐              ┌─▶ ruling ─┐
//!  chunks ───────────▶ streams ──────┼─▶ pool ──────────────┼─▶ estimate ──┤           ├─▶ Point
//!                                    ├─▶ rates, goodput     │              └─▶ audit ──┘
//!                                    └─▶ concurrency ───────┘
//! ```
//!
//! # Invariants
//!
//! - The order of the request rows, and how the chunks of different requests interleave, change
//!   nothing. Only the chunks of one request must come in the order of their arrival.
//! - A figure that was not observed is absent: never 0, never NaN.
//! - The chunks are read once. Of each, at most 16 bytes are kept.
//!
//! [`repeats`] says what several runs of one point say together. [`observe`] adds what servers,
//! GPUs and hosts said beside, and says what limits the server.
//!
//! Not here: clocks, files, and how figures are printed.

mod arrivals;
mod audit;
mod batches;
mod client;
pub mod compare;
mod concurrency;
mod cost;
mod counts;
pub mod details;
mod diagnosis;
pub mod early;
mod engine;
mod estimate;
mod figures;
mod goodput;
mod observe;
mod parts;
mod percentile;
mod physics;
mod plan;
mod point;
mod pool;
mod population;
mod rates;
pub mod region;
pub mod repeats;
mod ruling;
mod sample;
mod saturation;
pub mod share;
mod slices;
mod span;
mod spread;
mod stays;
mod steady;
mod stimulus;
mod streams;
mod telemetry;
mod trend;

#[cfg(test)]
mod tests;

pub use client::{Client, ClientFigures, ThreadFigures, attest};
pub use concurrency::Concurrency;
pub use cost::Cost;
pub use counts::{Counts, Reason};
pub use details::Details;
pub use diagnosis::{Finding, Limit, diagnose};
pub use engine::Engine;
pub use estimate::{Estimate, Interval};
pub use figures::{TokenSource, output_tokens};
pub use observe::observe;
pub use parts::Part;
pub use physics::Physics;
pub use plan::{
    ArrivalLaw, Build, ClassPlan, LoadPlan, PointPlan, RateCourse, UnknownLaw, WindowPlan,
    WindowSearch,
};
pub use point::{
    Found, Latency, Point, Stamps, Tokens, Verdict, Window, measure, measure_in_detail, rulings,
};
pub use rates::{Rates, WholeRun};
pub use ruling::{Decision, Ruling};
pub use spread::{AddressShare, spread};
pub use stimulus::{GapsFit, Stimulus};
pub use telemetry::{ClientHost, Energy, Gpu, Observations, SourceReport, Telemetry};
