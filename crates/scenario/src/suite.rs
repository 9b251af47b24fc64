//! Suites: workloads under loads, what is asked of them, and published results to hold against.
//!
//! ```yaml
//! suite: my-service
//! title: What our chat service must do
//! scenario: {input_tokens: 512, output_tokens: 256, requests: 400}
//! quick: {requests: 40}
//! workloads:
//!   - name: chat
//!     loads: [{concurrency: 1}, {rate: 4/s}, {sweep: 9}, {peak: 5%}]
//!     checks:
//!       - {name: interactive, slo: "ttft:p99<=200ms,itl:p99<=50ms", at: any}
//!       - {name: steady, slo: failure_rate<=0.1%, at: every}
//! ```
//!
//! Settings have the keys and the texts of a scenario file. docs/suites.md has the whole format.
//!
//! # Invariants
//!
//! - Every workload under every load, quick or not, is a scenario that makes sense.
//! - A load that is named by a check or a claim is there, and no two of a workload are called
//!   alike.
//!
//! Deliberately not here: measuring and judging (`run::suite`), and the shipped suites' texts.

mod read;

use infermark_terms::Nanos;
use infermark_terms::slo::{LatencyFigure, Slo, Statistic};

use crate::settings::{self, Setting};

pub use self::read::parse_suite;

/// Settings and their texts, in the order in which they were written.
pub type Changes = Vec<(&'static Setting, String)>;

/// A suite.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// Its name.
    pub name: String,
    /// What it is about, in a line.
    pub title: String,
    /// Where it is from.
    pub source: Option<String>,
    /// What its reader must know: sentences.
    pub notes: Vec<String>,
    /// How many targets it takes.
    pub targets: Targets,
    /// What is asked; never none.
    pub workloads: Vec<Workload>,
    /// Published results.
    pub references: Vec<Reference>,
}

/// How many targets a suite takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// One.
    One,
    /// One or several, which it compares.
    Several,
}

/// What is asked, under which loads, and what must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Its name within the suite.
    pub name: String,
    /// What it sets, the suite's settings included.
    pub settings: Changes,
    /// What it sets instead where it must be quick.
    pub quick: Changes,
    /// The loads; never none.
    pub loads: Vec<Load>,
    /// What must hold.
    pub checks: Vec<Check>,
}

/// One load, or several that follow from each other.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// One point.
    Point {
        /// What a person calls it.
        label: String,
        /// What it sets.
        changes: Changes,
    },
    /// From little load to much.
    Sweep {
        /// Where its rates lie.
        rates: Rates,
        /// What each of its points sets beside its load.
        changes: Changes,
    },
    /// The highest rate at which the checks that are asked of it hold.
    Peak {
        /// How near the search comes, as a share of the rate.
        precision: f64,
        /// What the point at that rate sets beside its load.
        changes: Changes,
    },
}

/// Where the rates of a sweep lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rates {
    /// So many, equally apart between those of an idle target and of one that is asked as fast as
    /// it goes. Both are measured too.
    Between(u32),
    /// So many, equally apart from 0 up to this share of the rate of a target that is asked as
    /// fast as it goes, which is measured too.
    UpTo(u32, f64),
}

impl Rates {
    /// Returns how many rates there are.
    pub const fn count(self) -> u32 {
        match self {
            Self::Between(count) | Self::UpTo(count, _) => count,
        }
    }
}

/// A step of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// One request at a time.
    Idle,
    /// As fast as it goes.
    Throughput,
    /// This rate.
    Rate(&'a str),
}

impl Step<'_> {
    /// Returns the load that it sets.
    pub fn load(self) -> (&'static Setting, String) {
        match self {
            Self::Idle => (&settings::CONCURRENCY, "1".to_owned()),
            Self::Throughput => (&settings::THROUGHPUT, "yes".to_owned()),
            Self::Rate(rate) => (&settings::RATE, rate.to_owned()),
        }
    }

    /// Says whether a setting of the sweep is for this step too.
    pub fn takes(self, setting: &Setting) -> bool {
        match self {
            Self::Idle => *setting != settings::ARRIVALS && *setting != settings::MAX_CONCURRENCY,
            Self::Throughput => settings::ARRIVALS != *setting,
            Self::Rate(_) => true,
        }
    }
}

/// The label of a target that is asked one request at a time.
pub const IDLE: &str = "idle";
/// The label of a target that is asked as fast as it goes.
pub const THROUGHPUT: &str = "throughput";

/// The label of the highest rate at which checks hold.
pub const PEAK: &str = "peak";

impl Load {
    /// Returns the labels of its points, as far as they are known before it is measured.
    pub fn labels(&self) -> Vec<&str> {
        match self {
            Self::Point { label, .. } => vec![label],
            Self::Sweep { rates: Rates::Between(_), .. } => vec![IDLE, THROUGHPUT],
            Self::Sweep { rates: Rates::UpTo(..), .. } => vec![THROUGHPUT],
            Self::Peak { .. } => vec![PEAK],
        }
    }

    /// Returns what it sets; of several points, beside their loads.
    pub fn changes(&self) -> &Changes {
        match self {
            Self::Point { changes, .. }
            | Self::Sweep { changes, .. }
            | Self::Peak { changes, .. } => changes,
        }
    }
}

/// Something that must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What a person calls it.
    pub name: String,
    /// What must hold.
    pub rule: Rule,
    /// Where.
    pub at: At,
}

/// What must hold of a point.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// Bounds, by the intervals of their figures.
    Bounds(Slo),
    /// Percentiles of latencies, by `MLPerf`'s rule of early stopping.
    EarlyStopping(Vec<Tail>),
    /// The least length of the measured window.
    MinDuration(Nanos),
    /// The least number of requests.
    MinRequests(u64),
}

/// A bound on a percentile of a latency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tail {
    /// The latency.
    pub figure: LatencyFigure,
    /// The percentile: `P90` or above.
    pub statistic: Statistic,
    /// Its share: 0.99 of the 99th.
    pub share: f64,
    /// The limit in milliseconds.
    pub limit: f64,
}

/// Of which of a workload's points something must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// Of at least one.
    Any,
    /// Of each.
    Every,
    /// Of this one.
    Load(String),
}

/// Published results of one deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// Its name, such as `llama-3.1-8b@h100`.
    pub name: String,
    /// What was measured: model, hardware, server.
    pub about: Option<String>,
    /// By which share a figure may be worse.
    pub tolerance: f64,
    /// What was published.
    pub claims: Vec<Claim>,
}

/// Published figures of one point.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The workload.
    pub workload: String,
    /// Of which points.
    pub at: At,
    /// The figures, as bounds without tolerance.
    pub figures: Slo,
}

#[cfg(test)]
mod tests;
