//! When the requests of a replayed trace are due; empty where the load is no trace.
//!
//! Not here: what they ask (`workload`), and every other kind of load (`schedule`).

use std::path::Path;
use std::sync::Arc;

use infermark_measure::LoadPlan;
use infermark_scenario::intent::{Bounds, Load, PromptSource, Scenario};
use infermark_schedule::{TurnsOf, pacer, replay, sessions};
use infermark_terms::{Nanos, Pacer, Shard, Stamp};
use infermark_workload::{Trace, Traces, WorkloadError};

use crate::RunError;
use crate::hub::Shelf;

/// The arrivals of a trace since the load's beginning, at the speed of the replay.
pub(crate) struct Timetable(Arc<[Nanos]>);

impl Timetable {
    /// Reads the trace that the scenario replays, if it does.
    ///
    /// # Errors
    ///
    /// If the trace cannot be read.
    pub(crate) fn read(scenario: &Scenario, traces: &Traces) -> Result<Self, RunError> {
        let Load::Trace { path, speed, .. } = &scenario.load else {
            return Ok(Self(Arc::default()));
        };
        let scaled = |at: Nanos| Nanos::from_secs_f64(at.as_secs_f64() / speed);
        Ok(Self(read(path, traces)?.instants().map(scaled).collect()))
    }

    /// Returns the pacer of one shard of the scenario's load; `turns` says how many each session
    /// has, where there are any.
    pub(crate) fn pacer(
        &self,
        scenario: &Scenario,
        turns: &TurnsOf,
        start: Stamp,
        shard: Shard,
    ) -> Box<dyn Pacer> {
        let Scenario { load, bounds, seed, .. } = scenario;
        if let Some(plan) = &scenario.sessions {
            return sessions(load, bounds, plan, Arc::clone(turns), start, *seed, shard);
        }
        match load {
            Load::Trace { max_concurrency, .. } => {
                replay(&self.0, *max_concurrency, bounds, start, shard)
            }
            Load::Closed { .. } | Load::Open { .. } | Load::Throughput { .. } => {
                pacer(load, bounds, start, *seed, shard)
            }
        }
    }

    /// Returns the most requests due in the window, where that is known: those that bound the
    /// run, or all that a trace still has after the warm-up.
    pub(crate) fn requests_max(&self, scenario: &Scenario) -> Option<u64> {
        match scenario.load {
            Load::Trace { .. } => {
                let bound = scenario.bounds.requests.unwrap_or(u64::MAX);
                Some(bound.min(self.after(scenario.bounds.warmup).len() as u64))
            }
            Load::Closed { .. } | Load::Open { .. } | Load::Throughput { .. } => {
                scenario.bounds.requests
            }
        }
    }

    /// Returns the plan of the replay.
    pub(crate) fn plan(&self, bounds: &Bounds, speed: f64) -> LoadPlan {
        let after = self.after(bounds.warmup).iter();
        let since = after.map(|at| at.saturating_sub(bounds.warmup));
        let within = since.take_while(|at| bounds.duration.is_none_or(|length| *at < length));
        let most = bounds.requests.map_or(usize::MAX, |requests| requests as usize);
        let instants: Vec<Nanos> = within.take(most).collect();
        LoadPlan::trace(&instants, speed, bounds.duration)
    }

    fn after(&self, warmup: Nanos) -> &[Nanos] {
        &self.0[self.0.partition_point(|at| *at < warmup)..]
    }
}

fn read(path: &Path, traces: &Traces) -> Result<Arc<Trace>, RunError> {
    traces.read(path).map_err(|error| WorkloadError::from(error).into())
}

/// Says what was found in the traces that a scenario replays or takes its lengths from; nothing
/// where it names none. They stay on the shelf.
///
/// # Errors
///
/// If one cannot be read.
pub fn preview(scenario: &Scenario, shelf: &Shelf) -> Result<Option<String>, RunError> {
    let (path, speed) = match (&scenario.load, &scenario.workload.source) {
        (Load::Trace { path, speed, .. }, _) => (path, Some(*speed)),
        (_, PromptSource::Trace { path }) => (path, None),
        _ => return Ok(None),
    };
    let trace = read(path, &shelf.traces)?;
    let span = trace.instants().last().unwrap_or_default();
    let time = match speed {
        Some(speed) => format!(" within {:.1} s at {speed}x", span.as_secs_f64() / speed),
        None => format!(" of {:.1} s, for their lengths", span.as_secs_f64()),
    };
    let skipped = match trace.skipped() {
        0 => String::new(),
        lines => format!("; {lines} lines ask for no token and are left out"),
    };
    let (path, layout, count) = (path.display(), trace.layout(), trace.instants().len());
    Ok(Some(format!("{path}: a trace as {layout}'s, {count} requests{time}{skipped}")))
}
