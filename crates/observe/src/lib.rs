//! What servers, GPUs and hosts say of themselves, in one vocabulary.
//!
//! ```text
//!  /metrics of an engine ─┐
//!  of a GPU exporter ─────┼─▶ exposition ─▶ dialect ─┐
//!  of a node exporter ────┘   (samples)    (maps)    ├─▶ Reading: metrics of docs/telemetry.md
//!  libnvidia-ml.so.1 ────────▶ nvml ─────────────────┤
//!  /proc of this host ───────▶ host ─────────────────┘
//! ```
//!
//! # Invariants
//!
//! - A value that was not reported is absent: never 0.
//! - Units are those of the vocabulary, whatever the reporter's are.
//! - The maps are data: a new engine is a table of names.
//!
//! Not here: who asks when and over which connection (`run`), what the values mean for a result
//! (`measure`).

pub mod dialect;
pub mod exposition;
pub mod host;
pub mod nvml;

pub use dialect::{Reading, read};
pub use exposition::{ExpositionError, Sample, parse};
pub use host::Host;
pub use nvml::Nvml;

use infermark_terms::Metric;

/// One value of the neutral vocabulary.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// What it is.
    pub metric: Metric,
    /// Which one of several; empty where there is one.
    pub instance: String,
    /// How much, in the metric's unit.
    pub value: f64,
}

impl Value {
    fn whole(metric: Metric, value: f64) -> Self {
        Self { metric, instance: String::new(), value }
    }
}
