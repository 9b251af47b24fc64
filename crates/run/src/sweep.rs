//! A sweep: the same workload under more and more load.
//!
//! Along the rate: idle (one at a time), then as fast as it goes, then rates between the two in
//! equal steps, after GuideLLM. Along the concurrency: a ladder that is given, or doubling until
//! another doubling brings next to nothing. Several lengths make a matrix: one curve for each.

use infermark_measure::{LoadPlan, Point};
use infermark_scenario::intent::Scenario;
use infermark_scenario::settings::{self, Setting};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::RunError;
use crate::knee::{Knee, Side, load};
use crate::study::{Early, Order, Pace, Rig, Taken};

/// The greatest concurrency that doubling tries.
const CONCURRENCY_MAX: u32 = 4096;
/// A doubling that raises the output rate by less is the last.
pub(crate) const GAIN_MIN: f64 = 0.03;
/// Requests for each that is in flight, so that filling and emptying the loop weigh little.
const REQUESTS_PER_SLOT: u64 = 8;

/// What a sweep is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepPlan {
    /// How the load rises.
    pub axis: Axis,
    /// Input lengths, each with each output length; empty: the scenario's.
    pub input_tokens: Vec<String>,
    /// Output lengths, likewise.
    pub output_tokens: Vec<String>,
}

/// How the load rises.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Axis {
    /// Idle, as fast as it goes, and so many rates between.
    Rate {
        /// How many.
        between: u32,
    },
    /// These concurrencies.
    Ladder(Vec<u32>),
    /// Concurrency doubles until another doubling brings next to nothing.
    Doubling,
}

/// The points of one workload.
#[derive(Clone, Debug)]
pub struct Curve {
    /// In what the workload differs from the scenario's.
    pub changes: Vec<(&'static Setting, String)>,
    /// The points, in the order of their loads, and their places in the study.
    pub points: Vec<(usize, Taken)>,
    /// Where the knee is.
    pub knee: Option<Knee>,
}

/// Measures the points of a sweep.
///
/// # Errors
///
/// What the rig says; the points until then are the rig's to keep.
pub fn sweep(rig: &mut dyn Rig, plan: &SweepPlan) -> Result<Vec<Curve>, RunError> {
    let mut curves = Vec::new();
    let mut climb = Climb { rig, taken: 0 };
    for changes in workloads(plan) {
        let points = match &plan.axis {
            Axis::Rate { between } => climb.rates(&changes, *between)?,
            Axis::Ladder(rungs) => climb.ladder(&changes, rungs)?,
            Axis::Doubling => climb.doubling(&changes)?,
        };
        curves.push(curve(changes, points));
    }
    Ok(curves)
}

/// Returns the curve of these points, in the order of their loads. What was sent as fast as it
/// goes has the most.
fn curve(changes: Vec<(&'static Setting, String)>, mut points: Vec<(usize, Taken)>) -> Curve {
    let is_flood = |taken: &Taken| taken.pace == Pace::Flood;
    let rank = |taken: &Taken| (is_flood(taken), load(&taken.point.load));
    let is_rate = points.iter().any(|(_, taken)| is_open(&taken.point));
    points.sort_by(|(_, a), (_, b)| {
        let ((flood, a_load), (other, b_load)) = (rank(a), rank(b));
        let idle = |taken: &Taken| is_rate && !is_open(&taken.point);
        flood.cmp(&other).then(idle(b).cmp(&idle(a))).then(a_load.total_cmp(&b_load))
    });
    // Idle and flood are not on the axis of rates.
    let useful = |taken: &Taken| !taken.point.saturated && (!is_rate || is_open(&taken.point));
    let seen: Vec<_> =
        points.iter().map(|(_, taken)| useful(taken).then_some(&taken.point)).collect();
    let knee = Knee::of(&seen);
    Curve { changes, points, knee }
}

fn is_open(point: &Point) -> bool {
    matches!(point.load, LoadPlan::Open { .. })
}

/// The label of what is sent as fast as it goes.
const FLOOD: &str = "throughput";

/// Returns every combination of lengths, as changes.
fn workloads(plan: &SweepPlan) -> Vec<Vec<(&'static Setting, String)>> {
    let each = |setting: &'static Setting, texts: &[String]| -> Vec<_> {
        let given = texts.iter().map(|text| Some((setting, text.clone())));
        if texts.is_empty() { vec![None] } else { given.collect() }
    };
    let outputs = each(&settings::OUTPUT_TOKENS, &plan.output_tokens);
    let inputs = each(&settings::INPUT_TOKENS, &plan.input_tokens);
    inputs
        .iter()
        .flat_map(|input| {
            outputs.iter().map(move |output| input.iter().chain(output).cloned().collect())
        })
        .collect()
}

/// Takes points one after another.
struct Climb<'a> {
    rig: &'a mut dyn Rig,
    taken: usize,
}

type Points = Vec<(usize, Taken)>;
type Changes = [(&'static Setting, String)];

impl Climb<'_> {
    fn take(
        &mut self,
        workload: &Changes,
        name: &str,
        load: &Changes,
        early: Early,
    ) -> Result<(usize, Taken), RunError> {
        let lengths: Vec<_> = workload.iter().map(|(_, text)| text.as_str()).collect();
        let label = match lengths[..] {
            [] => name.to_owned(),
            _ => format!("{} {name}", lengths.join("/")),
        };
        let order = Order { label, changes: [workload, load].concat(), early };
        let taken = self.rig.take(&order)?;
        self.taken += 1;
        Ok((self.taken - 1, taken))
    }

    fn rates(&mut self, workload: &Changes, between: u32) -> Result<Points, RunError> {
        let idle = self.slots(workload, "idle", 1, &[])?;
        let flood = [(&settings::THROUGHPUT, "yes".to_owned())];
        let flood = self.take(workload, FLOOD, &flood, Early::Never)?;
        let turns = turns_per_session(&idle.1.point);
        let rate = |(_, taken): &(usize, Taken)| {
            taken.point.rates.map_or(0.0, |rates| rates.requests_per_s / turns)
        };
        let (least, most) = (rate(&idle), rate(&flood));
        let mut points = vec![idle, flood];
        // Not even one request finished: no rate lies between nothing and nothing.
        let steps = if most > 0.0 { between } else { 0 };
        for step in 1..=steps {
            let part = f64::from(step) / f64::from(between + 1);
            let text = format!("{}/s", short(least + (most - least).max(0.0) * part));
            let load = [(&settings::RATE, text.clone())];
            points.push(self.take(
                workload,
                &format!("rate {text}"),
                &load,
                Early::WhenSaturated,
            )?);
        }
        Ok(points)
    }

    fn ladder(&mut self, workload: &Changes, rungs: &[u32]) -> Result<Points, RunError> {
        let rung = |&slots: &u32| self.slots(workload, &format!("{slots} slots"), slots, &[]);
        rungs.iter().map(rung).collect()
    }

    fn doubling(&mut self, workload: &Changes) -> Result<Points, RunError> {
        let output = |(_, taken): &(usize, Taken)| {
            taken.point.rates.map_or(0.0, |rates| rates.output_tokens_per_s)
        };
        let Scenario { bounds, sessions, .. } = &self.rig.base().scenario;
        let asked = [
            (&settings::REQUESTS, bounds.requests),
            (&settings::SESSIONS, sessions.as_ref().and_then(|sessions| sessions.limit)),
        ];
        let mut points: Points = Vec::new();
        let mut slots = 1;
        while slots <= CONCURRENCY_MAX {
            let least = REQUESTS_PER_SLOT * u64::from(slots);
            let raised = asked
                .iter()
                .filter_map(|&(setting, count)| Some((setting, count?.max(least).to_string())));
            let raised: Vec<_> = raised.collect();
            points.push(self.slots(workload, &format!("{slots} slots"), slots, &raised)?);
            if let [.., before, last] = &points[..]
                && output(last) < output(before) * (1.0 + GAIN_MIN)
            {
                break;
            }
            slots *= 2;
        }
        Ok(points)
    }

    fn slots(
        &mut self,
        workload: &Changes,
        name: &str,
        slots: u32,
        bounds: &Changes,
    ) -> Result<(usize, Taken), RunError> {
        let slots = [(&settings::CONCURRENCY, slots.to_string())];
        self.take(workload, name, &[&slots, bounds].concat(), Early::Never)
    }
}

/// Returns how many arrivals of the load itself were due: of sessions, their first turns alone.
pub(crate) fn arrivals(point: &Point) -> u64 {
    match point.turns.first() {
        None => point.counts.due,
        Some(first) if first.name == "1" => first.counts.due,
        Some(_) => 0,
    }
}

/// Returns how many turns a session had, in the mean; 1 where there are no sessions. So many
/// requests a second are that of which a rate is one: it says how many sessions begin. Of an idle
/// target's point it is the best known, as there each session is led to its end before the next.
pub(crate) fn turns_per_session(point: &Point) -> f64 {
    (point.counts.due as f64 / arrivals(point).max(1) as f64).max(1.0)
}

/// Rounds to three significant digits, so that a person can ask for the same.
pub(crate) fn short(rate: f64) -> f64 {
    format!("{rate:.2e}").parse().expect("a number that was just printed")
}

/// Returns what a sweep found, under the keys of `run.json`.
pub fn found(curves: &[Curve]) -> Map<String, Value> {
    let curves: Vec<_> = curves.iter().map(described).collect();
    [("curves".to_owned(), Value::Array(curves))].into_iter().collect()
}

fn described(curve: &Curve) -> Value {
    let first = curve.points.first().and_then(|(_, taken)| output_per_load(taken));
    let points: Vec<_> = curve
        .points
        .iter()
        .enumerate()
        .map(|(place, (index, taken))| {
            let side = curve.knee.map_or(Side::Under, |knee| knee.side(place));
            let efficiency = first.and_then(|first| Some(output_per_load(taken)? / first));
            json!({ "point": index, "side": side, "scaling_efficiency": efficiency })
        })
        .collect();
    let changed: Map<_, _> =
        curve.changes.iter().map(|(setting, text)| (setting.key.into(), json!(text))).collect();
    let knee = curve.knee.map(|knee| {
        json!({
            "point": curve.points[knee.point].0,
            "load": knee.load,
            "between": knee.between,
            "by": "requests_per_s / e2e mean",
        })
    });
    json!({ "changed": changed, "points": points, "knee": knee })
}

/// Returns the output rate for each slot of a closed loop: what scaling efficiency compares.
fn output_per_load(taken: &Taken) -> Option<f64> {
    match taken.point.load {
        LoadPlan::Closed { concurrency } => {
            Some(taken.point.rates?.output_tokens_per_s / f64::from(concurrency))
        }
        LoadPlan::Open { .. } | LoadPlan::Trace { .. } => None,
    }
}

#[cfg(test)]
mod tests;
