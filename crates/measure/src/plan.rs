//! What `measure` must know of the plan: it cannot be read off the rows.
//!
//! The plan is stored with the record, so that a record can be measured again.

use std::fmt;

use infermark_terms::{Nanos, OutputPolicy, Slo, Stamp};
use serde::{Deserialize, Serialize};

/// What was planned for one operating point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointPlan {
    /// The load that was asked for.
    pub load: LoadPlan,
    /// The measured window.
    pub window: WindowPlan,
    /// Whether that is what is measured, or the steady stretch in it.
    #[serde(default)]
    pub search: WindowSearch,
    /// Whether the output length was an order or a limit.
    pub output_policy: OutputPolicy,
    /// How the generator was built.
    pub build: Build,
    /// How many GPUs the deployment has, where stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<u32>,
    /// What the deployment is asked to achieve.
    #[serde(default, skip_serializing_if = "Slo::is_empty")]
    pub slo: Slo,
}

/// What it takes to measure one class of requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassPlan {
    /// What it is called.
    pub name: String,
    /// What the deployment is asked to achieve for it.
    #[serde(default, skip_serializing_if = "Slo::is_empty")]
    pub slo: Slo,
}

/// The load that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum LoadPlan {
    /// So many slots, each sending its next request the moment the last ended.
    Closed {
        /// Slots.
        concurrency: u32,
    },
    /// Arrivals by their own law, whatever the server does.
    Open {
        /// Requests per second; of a ramp, the mean over the window.
        rate_rps: f64,
        /// The law of the gaps between arrivals.
        arrivals: ArrivalLaw,
        /// Whether the rate was the same throughout.
        course: RateCourse,
    },
    /// The arrivals of a recorded trace, whatever the server does.
    Trace {
        /// Requests that the trace has in the window.
        requests: u64,
        /// Their mean rate over the planned window, or from its start to the last of them.
        /// Absent where all come at its start.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rate_rps: Option<f64>,
        /// How many times as fast as it was recorded the trace is replayed.
        time_scale: f64,
        /// When each tenth of those requests has come: of `requests` in order, the first, the
        /// last, and nine between, in seconds since the window's start.
        deciles_s: [f64; 11],
    },
}

impl LoadPlan {
    /// Returns the plan of replaying a trace whose requests in the window come at these instants
    /// since its start, in order. `length` is that of the window, where it has one.
    pub fn trace(instants: &[Nanos], time_scale: f64, length: Option<Nanos>) -> Self {
        let at_s = |rank: usize| instants.get(rank).map_or(0.0, |at| at.as_secs_f64());
        let last = instants.len().saturating_sub(1);
        let tenth_s = |tenth| at_s(tenth_rank(tenth as u64, last as u64) as usize);
        let length_s = length.map_or(at_s(last), Nanos::as_secs_f64);
        Self::Trace {
            requests: instants.len() as u64,
            rate_rps: (length_s > 0.0).then(|| instants.len() as f64 / length_s),
            time_scale,
            deciles_s: std::array::from_fn(tenth_s),
        }
    }
}

/// Returns the rank, from 0, of the request at so many tenths of those up to the rank `last`.
pub(crate) fn tenth_rank(tenth: u64, last: u64) -> u64 {
    (tenth * last + 5) / 10
}

/// Whether the offered rate was the same throughout the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RateCourse {
    /// The same throughout.
    Steady,
    /// Rising or falling.
    Ramp,
}

/// The law of open-loop arrivals. In results: `constant`, `poisson` or `gamma(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum ArrivalLaw {
    /// Equal gaps.
    Constant,
    /// Independent exponential gaps.
    Poisson,
    /// Independent gamma gaps.
    Gamma {
        /// Standard deviation ÷ mean of the gaps, above 0.
        cv: f64,
    },
}

impl fmt::Display for ArrivalLaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant => f.write_str("constant"),
            Self::Poisson => f.write_str("poisson"),
            Self::Gamma { cv } => write!(f, "gamma({cv})"),
        }
    }
}

impl From<ArrivalLaw> for String {
    fn from(law: ArrivalLaw) -> Self {
        law.to_string()
    }
}

impl TryFrom<String> for ArrivalLaw {
    type Error = UnknownLaw;

    fn try_from(text: String) -> Result<Self, UnknownLaw> {
        let cv = match text.as_str() {
            "constant" => return Ok(Self::Constant),
            "poisson" => return Ok(Self::Poisson),
            other => other.strip_prefix("gamma(").and_then(|rest| rest.strip_suffix(')')),
        };
        match cv.and_then(|cv| cv.parse::<f64>().ok()) {
            Some(cv) if cv.is_finite() && cv > 0.0 => Ok(Self::Gamma { cv }),
            _ => Err(UnknownLaw(text)),
        }
    }
}

/// A text that names no law of arrivals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLaw(String);

impl fmt::Display for UnknownLaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not `constant`, `poisson` or `gamma(cv)`", self.0)
    }
}

impl std::error::Error for UnknownLaw {}

/// The measured window, as it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum WindowPlan {
    /// From `start`, included, to `end`, excluded.
    Span {
        /// Its first instant.
        start: Stamp,
        /// The first instant after it.
        end: Stamp,
    },
    /// A run bounded by its requests: from the first request due at or after the end of the
    /// warm-up to the last end.
    Whole {
        /// The end of the warm-up.
        start: Stamp,
    },
}

/// Whether the given window is measured as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowSearch {
    /// It is.
    #[default]
    Given,
    /// The steady stretch in it is, if there is one.
    Detect,
}

/// How the generator was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Build {
    /// Without optimisation.
    Debug,
    /// Optimised.
    Release,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_law_reads_back_as_it_is_written() {
        for law in [ArrivalLaw::Constant, ArrivalLaw::Poisson, ArrivalLaw::Gamma { cv: 2.5 }] {
            assert_eq!(ArrivalLaw::try_from(law.to_string()), Ok(law));
        }
        for wrong in ["", "Poisson", "gamma", "gamma()", "gamma(0)", "gamma(-1)", "gamma(inf)"] {
            assert!(ArrivalLaw::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
