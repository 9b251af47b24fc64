//! What a report draws of one operating point, beside its figures: distributions, the course of
//! the run, and a sample of its requests.
//!
//! # Invariants
//!
//! - Bounded, whatever the size of the run: at most [`BINS_MAX`] bins, [`Curve`]s of some hundred
//!   points, [`COURSES`] requests.
//! - Nothing here enters a figure or a verdict. Percentiles within bins come from histograms whose
//!   buckets are 3 % wide; curves are exact.

mod curve;
mod histogram;
mod timeline;

use infermark_terms::{Nanos, OutcomeKind, RequestRow, Stamp};
use serde::Serialize;

pub use self::curve::Curve;
pub use self::timeline::{Bin, Timeline};

pub(crate) use self::timeline::Sketch;

use crate::figures;
use crate::population::Population;
use crate::telemetry::Observations;

/// The most bins of a timeline.
pub const BINS_MAX: usize = 240;

/// The requests of a waterfall.
pub const COURSES: usize = 40;

/// What a report draws of one operating point.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Details {
    /// Distributions, each under its figure's key in results; only of what was observed.
    pub curves: Vec<(&'static str, Curve)>,
    /// The course of the whole run.
    pub timeline: Timeline,
    /// Requests that were due one after another, around the middle of the window.
    pub courses: Vec<Course>,
    /// What others said of themselves over the timeline; empty until [`Details::hear`].
    pub traces: Traces,
}

/// A value in each bin of the timeline, where one is known; empty where none is.
pub type Trace = Vec<Option<f64>>;

/// What servers, GPUs and the generator's host said of themselves, over the timeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Traces {
    /// Requests in the batch, over all servers.
    pub running: Trace,
    /// Requests in the queue, likewise.
    pub waiting: Trace,
    /// The share of KV memory in use, where it is greatest.
    pub kv_usage: Trace,
    /// Of each GPU, by its name, the share of time in which it ran anything.
    pub gpu_utilization: Vec<(String, Trace)>,
    /// Of each GPU, by its name, the power that it drew.
    pub gpu_power_watts: Vec<(String, Trace)>,
    /// The share of the client's cores that was busy.
    pub client_cpu_share: Trace,
}

/// When one request did what, in seconds since the run's epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Course {
    /// Which arrival.
    pub id: u64,
    /// When it should have left.
    pub due_s: f64,
    /// When it left.
    pub sent_s: Option<f64>,
    /// When its first chunk came.
    pub first_token_s: Option<f64>,
    /// When it ended.
    pub end_s: f64,
    /// How it ended.
    pub outcome: OutcomeKind,
}

impl Details {
    /// Draws what servers, GPUs and hosts said beside the client's own course.
    pub fn hear(&mut self, heard: &Observations) {
        self.traces = heard.traces(&self.timeline);
    }

    pub(crate) fn of(
        population: &Population<'_>,
        gaps: Option<(&'static str, Curve)>,
        timeline: Timeline,
    ) -> Self {
        let of_requests = |key, figure: fn(&RequestRow) -> Option<Nanos>| {
            let values = population.successes().filter_map(|member| figure(member.row));
            let mut values: Vec<u64> = values.map(|value| value.0).collect();
            values.sort_unstable();
            Curve::of(values.iter().map(|&value| (value, 1))).map(|curve| (key, curve))
        };
        let curves = [
            of_requests("ttft_ms", figures::ttft),
            of_requests("tpot_ms", figures::tpot),
            gaps,
            of_requests("e2e_ms", figures::e2e),
        ];
        let curves = curves.into_iter().flatten().collect();
        Self { curves, timeline, courses: courses(population), traces: Traces::default() }
    }
}

fn courses(population: &Population<'_>) -> Vec<Course> {
    let members = population.members();
    let first = members.len().saturating_sub(COURSES) / 2;
    members
        .iter()
        .skip(first)
        .take(COURSES)
        .map(|member| Course {
            id: member.row.id.0,
            due_s: member.row.due.as_secs_f64(),
            sent_s: member.row.sent.map(Stamp::as_secs_f64),
            first_token_s: member.row.first_token.map(Stamp::as_secs_f64),
            end_s: member.row.end.as_secs_f64(),
            outcome: member.row.outcome.kind(),
        })
        .collect()
}
