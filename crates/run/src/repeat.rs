//! The same operating point several times, each time from a fresh seed: as often as was asked, or
//! until a figure is known as precisely as was asked.
//!
//! To go on until an interval is narrow favours runs that happen to look alike, so that it holds
//! the truth a little less often than 95 times in 100; after five runs at least, the loss is small
//! (docs/statistics.md).

use std::path::Path;

use infermark_measure::repeats::{Across, Pooling, Repeated, across};
use infermark_measure::{Latency, Point};
use infermark_scenario::intent::Load;
use infermark_store::open;
use infermark_terms::slo::{LatencyFigure, Level, Statistic, Subject};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::RunError;
use crate::judge::plan_of;
use crate::study::{Early, Order, Rig, Studied, Taken};

/// The fewest runs before a precision can be reached.
pub const RUNS_MIN: u32 = 5;
/// The most runs for the sake of a precision, where nobody says how many.
pub const RUNS_MAX: u32 = 30;

/// What repeating is told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RepeatPlan {
    /// How many runs; where a precision is asked for, at most.
    pub runs: u32,
    /// How precisely a figure is to be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
}

/// How precisely a figure is to be known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Precision {
    /// The figure.
    pub figure: Subject,
    /// Half the width of its interval, as a share of the mean: at most.
    pub share: f64,
}

/// How far a precision is, between one run and the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// What is asked for.
    pub asked: Precision,
    /// What the runs so far say.
    pub across: Across,
    /// How many runs it takes in all, should they go on to differ as they did.
    pub runs: Option<u64>,
    /// How long those to come take.
    pub seconds: Option<f64>,
}

impl Forecast {
    /// Returns what these runs foretell; nothing where one of them lacks the figure.
    fn of(taken: &[Taken], asked: Precision) -> Option<Self> {
        let points = points(taken);
        let across = across(&points, asked.figure)?;
        let runs = across.runs_for(asked.share);
        let lengths = points.iter().map(|point| Some(point.window.whole_run?.end_s));
        let length = lengths.sum::<Option<f64>>().map(|sum| sum / points.len() as f64);
        let seconds = runs.zip(length).map(|(runs, each)| (runs - across.runs) as f64 * each);
        Some(Self { asked, across, runs, seconds })
    }

    fn is_reached(&self) -> bool {
        self.across.precision().is_some_and(|share| share <= self.asked.share)
    }
}

/// Says whether runs give one value of a figure each, so that a precision can be asked of it.
pub fn is_repeatable(figure: Subject) -> bool {
    match figure {
        Subject::Each(_) => false,
        Subject::Latency(_, statistic) => statistic == Statistic::Mean,
        Subject::Level(level) => !matches!(level, Level::FailureRate | Level::GoodShare),
    }
}

/// Returns the figure whose precision is asked for where nobody names one: what the load leaves
/// open. An open loop sets its rate itself, and so does a trace.
pub fn usual_figure(load: &Load) -> Subject {
    match load {
        Load::Open { .. } | Load::Trace { .. } => {
            Subject::Latency(LatencyFigure::E2e, Statistic::Mean)
        }
        Load::Closed { .. } | Load::Throughput { .. } => Subject::Level(Level::OutputTokensPerS),
    }
}

/// Measures the rig's own scenario again and again, and tells between runs how far the precision
/// is.
///
/// # Errors
///
/// What the rig says; the runs until then are the rig's to keep.
pub fn repeat(
    rig: &mut dyn Rig,
    plan: &RepeatPlan,
    tell: &dyn Fn(&Forecast),
) -> Result<Vec<Taken>, RunError> {
    let mut taken = Vec::new();
    while taken.len() < plan.runs as usize {
        if let Some(asked) = plan.precision.filter(|_| taken.len() >= RUNS_MIN as usize) {
            let Some(forecast) = Forecast::of(&taken, asked) else { break };
            if forecast.is_reached() {
                break;
            }
            tell(&forecast);
        }
        let label = format!("run {}", taken.len() + 1);
        let order = Order { label, changes: Vec::new(), early: Early::Never };
        taken.push(rig.take(&order)?);
    }
    Ok(taken)
}

/// What was reached of a precision that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reached {
    /// What was asked for.
    #[serde(flatten)]
    pub asked: Precision,
    /// What there is; absent where a run lacks the figure, or there is one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<f64>,
    /// How many runs it takes in all; absent where no number up to 10,000 does, or nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs_needed: Option<u64>,
}

/// What repeating found, as `run.json` has it under `repeat`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What the runs say together.
    #[serde(flatten)]
    pub repeated: Repeated,
    /// What was reached of the precision, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<Reached>,
}

/// Returns what the runs of a study in `dir` found, under the keys of `run.json`.
///
/// # Errors
///
/// If a run's record cannot be read.
pub fn found(
    dir: &Path,
    plan: &RepeatPlan,
    taken: &[Taken],
) -> Result<Map<String, Value>, RunError> {
    let points = points(taken);
    let repeated = Repeated::of(&points, pooled(dir, taken)?);
    let precision = plan.precision.map(|asked| {
        let across = across(&points, asked.figure);
        let reached = across.and_then(|across| across.precision());
        let runs_needed = across.and_then(|across| across.runs_for(asked.share));
        Reached { asked, reached, runs_needed }
    });
    let outcome = json!(Outcome { repeated, precision });
    Ok([("repeat".to_owned(), outcome)].into_iter().collect())
}

/// Returns what repeating found, from the header of its study; nothing of any other.
pub fn outcome(studied: &Studied) -> Option<Outcome> {
    serde_json::from_value(studied.header.rest.get("repeat")?.clone()).ok()
}

fn points(taken: &[Taken]) -> Vec<Point> {
    taken.iter().map(|taken| taken.point.clone()).collect()
}

/// Returns the latencies over the requests of all runs.
fn pooled(dir: &Path, taken: &[Taken]) -> Result<Latency, RunError> {
    let (mut pooling, mut runs, mut plan) = (Pooling::default(), Vec::new(), None);
    for one in taken {
        let Some(record) = &one.record else { continue };
        let dir = dir.join(record);
        let run = open(&dir)?;
        plan = Some(plan_of(&dir, &run.header, &one.point)?);
        pooling.add(one.point.window.span(), run.requests()?);
        runs.push(run);
    }
    let Some(plan) = plan else { return Ok(Latency::default()) };
    let mut chunks = Vec::new();
    for (place, run) in runs.iter().enumerate() {
        chunks.push(run.chunks()?.map(move |row| (place, row)));
    }
    let mut failure = None;
    let chunks = chunks.into_iter().flatten().map_while(|(place, row)| {
        let row = row.map_err(|error| failure = Some(error)).ok()?;
        Some(pooling.chunk(place, row))
    });
    let latency = pooling.latency(&plan, chunks);
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(latency),
    }
}

#[cfg(test)]
mod tests;
