//! The embedded engine under a scenario's load in virtual time: what a run would measure, before
//! anyone pays for the hardware.
//!
//! ```text
//!  scenario ─▶ pacer (schedule) ─┐                      ┌─▶ rows, chunks ─▶ measure ─▶ Point
//!           ─▶ outline (workload)┴─▶ sim::predict ──────┼─▶ gauges ─────────────────▶ Telemetry
//!                                    (virtual time)     └─▶ figures ─▶ residuals ───▶ Expected
//! ```
//!
//! The same pacer and the same lengths as in a run, request for request, and the same measure
//! over what comes of them; so a prediction and a run of one scenario can stand side by side.
//!
//! # Invariants
//!
//! - A prediction is a function of the scenario: the same seed gives the same bytes, on any
//!   machine. It bears no date, and names no host.
//! - Whatever would say something of a generator (its lag, its stamps) is absent: there is none.
//!
//! Deliberately not here: what the figures look like (`report`, `cli`).

mod expect;
mod sweep;
mod witness;

use std::collections::BTreeSet;
use std::sync::Arc;

use infermark_measure::{Build, Engine, Latency, Part, Point, PointPlan, diagnose, measure};
use infermark_scenario::Resolved;
use infermark_scenario::intent::{Class, Scenario, Target};
use infermark_schedule::{TurnsOf, window};
use infermark_sim::engine::{Job, JobId};
use infermark_sim::predict::{Horizon, predict as drive};
use infermark_sim::spec::SimTarget;
use infermark_store::RunFile;
use infermark_terms::{
    ChunkRow, Due, Next, Pacer, RequestId, RequestRow, Shard, Stamp, Trust, Window,
};
use infermark_workload::{Mix, Outline, Sizes, Traces};
use serde::Serialize;
use serde_json::{Map, Value, json};

use self::witness::Witness;
use crate::hub::Shelf;
use crate::load::{class_plans, point_plan};
use crate::price::price;
use crate::timetable::Timetable;
use crate::{DEFINITIONS, RunError, embedded};

pub use self::expect::{Expected, Range};
pub use self::sweep::Axis;

/// Which loads are predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loads {
    /// The scenario's.
    One,
    /// From idle to saturation along this axis, in place of the scenario's.
    Sweep(Axis),
}

/// A prediction.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// What a run would have as its `run.json`, marked predicted.
    pub header: RunFile,
    /// The operating points, in the order of their loads.
    pub points: Vec<Predicted>,
    /// Of a sweep, the point with the greatest power: requests/s ÷ mean E2E (Kleinrock 1979,
    /// "Power and deterministic rules of thumb for probabilistic problems in computer
    /// communications").
    pub knee: Option<usize>,
}

/// One operating point, predicted. Its keys in JSON are those of a measured one, and more.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Predicted {
    /// What measuring the predicted rows gives.
    #[serde(flatten)]
    pub point: Point,
    /// How far reality may lie from the prediction.
    pub uncertainty: Expected,
}

/// Predicts what a run of this scenario would measure. Its traces are the shelf's.
///
/// # Errors
///
/// If the target is not the embedded engine or its configuration is wrong; if the scenario asks
/// what only a real run can (prompts from a file).
pub fn predict(resolved: &Resolved, loads: Loads, shelf: &Shelf) -> Result<Prediction, RunError> {
    let scenario = &resolved.scenario;
    let subject = Subject::of(resolved, shelf)?;
    let (points, knee) = match loads {
        Loads::One => (vec![subject.point(scenario)?], None),
        Loads::Sweep(axis) => sweep::sweep(&subject, scenario, axis)?,
    };
    Ok(Prediction { header: header(resolved, &subject, &points, knee), points, knee })
}

/// The rows that a run would have recorded, and what it takes beside to measure them.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// What was planned.
    pub plan: PointPlan,
    /// One row for each request.
    pub requests: Vec<RequestRow>,
    /// One row for each chunk, in the order of their arrival.
    pub chunks: Vec<ChunkRow>,
}

/// Predicts the rows that a run of this scenario would record.
///
/// # Errors
///
/// As [`predict`].
pub fn rehearse(resolved: &Resolved) -> Result<Rehearsal, RunError> {
    let (plan, witness) = Subject::of(resolved, &Shelf::default())?.witness(&resolved.scenario)?;
    let (requests, chunks) = (witness.rows().to_vec(), witness.chunks().collect());
    Ok(Rehearsal { plan, requests, chunks })
}

/// Who is asked what.
struct Subject<'a> {
    text: &'a str,
    target: SimTarget,
    /// One for each class; one where there are none.
    outlines: Arc<[Outline]>,
    mix: Option<Mix>,
    traces: &'a Traces,
}

impl<'a> Subject<'a> {
    fn of(resolved: &'a Resolved, shelf: &'a Shelf) -> Result<Self, RunError> {
        let scenario = &resolved.scenario;
        let text = match &scenario.target {
            Target::Sim(text) => text,
            Target::Url(url) => return Err(RunError::NoPrediction { target: url.clone() }),
        };
        let Scenario { workload, sessions, seed, classes, .. } = scenario;
        let sessions = sessions.as_ref();
        let traces = &shelf.traces;
        let each = |(index, class): (usize, &Class)| {
            Outline::new(&class.workload, sessions, traces, Mix::seed_of(*seed, index))
        };
        let outlines: Vec<_> = match &classes[..] {
            [] => vec![Outline::new(workload, sessions, traces, *seed)?],
            some => some.iter().enumerate().map(each).collect::<Result<_, _>>()?,
        };
        let mix = Mix::of(classes, *seed);
        let outlines = outlines.into();
        Ok(Self { text, target: embedded::configure(text)?, outlines, mix, traces })
    }

    /// Predicts one operating point.
    fn point(&self, scenario: &Scenario) -> Result<Predicted, RunError> {
        let (plan, witness) = self.witness(scenario)?;
        let mut point = measure(&plan, witness.rows(), witness.chunks());
        for (index, class) in (0..).zip(&class_plans(scenario)) {
            let (rows, chunks) = (witness.rows(), witness.chunks());
            let mut part = Part::of_class(index, class, &plan, &point, rows, chunks);
            forget_sends(&mut part.latency);
            point.classes.push(part);
        }
        for part in &mut point.turns {
            forget_sends(&mut part.latency);
        }
        let uncertainty = Expected::of(&self.target, &point, witness.figures());
        forget_the_generator(&mut point);
        if let Some(price) = price(scenario)? {
            point.price(price);
        }
        point.server = Some(witness.telemetry());
        point.diagnosis = diagnose(&point, Some(Engine::Vllm));
        Ok(Predicted { point, uncertainty })
    }

    /// Runs one operating point in virtual time.
    fn witness(&self, scenario: &Scenario) -> Result<(PointPlan, Witness), RunError> {
        let planned = window(&scenario.bounds, Stamp::ZERO);
        let (bounds, seed) = (&scenario.bounds, scenario.seed);
        let timetable = Timetable::read(scenario, self.traces)?;
        let mut engine = embedded::engine(self.text, &self.target, seed)?;
        let mut pacer = Settling {
            inner: timetable.pacer(scenario, &self.turns(), Stamp::ZERO, Shard::WHOLE),
            window: planned,
            awaited: BTreeSet::new(),
        };
        let until = planned.end.map_or(Stamp::NEVER, |end| end + bounds.drain);
        let mut witness = Witness::new(planned, bounds.drain);
        let mut ask = |due| self.job(due);
        let horizon = Horizon { until, ..Horizon::default() };
        drive(engine.as_mut(), &mut pacer, &mut ask, horizon, &mut witness);
        witness.close(engine.gauges());
        witness.classify(|number| self.class_of(number));

        // How this binary was built changes no prediction.
        let plan = PointPlan { build: Build::Release, ..point_plan(scenario, &timetable, planned) };
        Ok((PointPlan { gpus: self.gpus(), ..plan }, witness))
    }

    /// What a request asks of the engine. The whole blocks that its prompt shares by intent are
    /// those of all requests that share them.
    fn job(&self, due: Due) -> Job {
        let (request, block) = (due.id, self.block_tokens());
        let outline = self.outline(due.turn.map_or(request.0, |turn| turn.session));
        let (Sizes { input, output }, blocks) = if let Some(turn) = due.turn {
            (outline.turn_sizes(turn), outline.turn_blocks(turn, block))
        } else {
            (outline.sizes(request), outline.blocks(request, block))
        };
        Job {
            id: JobId(request.0),
            prompt_tokens: input,
            output_tokens: output,
            blocks,
            priority: 0,
        }
    }

    /// Returns how many turns each session has.
    fn turns(&self) -> TurnsOf {
        let (outlines, mix) = (Arc::clone(&self.outlines), self.mix.clone());
        Arc::new(move |session| {
            let class = mix.as_ref().map_or(0, |mix| mix.class_of(session));
            outlines[class].turns(session)
        })
    }

    /// Returns what the request, or the session, of this number asks.
    fn outline(&self, number: u64) -> &Outline {
        &self.outlines[self.class_of(number).unwrap_or(0) as usize]
    }

    /// Returns which class the request, or the session, of this number is of.
    fn class_of(&self, number: u64) -> Option<u32> {
        self.mix.as_ref().map(|mix| mix.class_of(number) as u32)
    }

    fn block_tokens(&self) -> u32 {
        match &self.target {
            SimTarget::Fixed(_) => u32::MAX,
            SimTarget::Deployment(deployment) => deployment.limits.block_size,
        }
    }

    fn gpus(&self) -> Option<u32> {
        match &self.target {
            SimTarget::Fixed(_) => None,
            SimTarget::Deployment(deployment) => Some(deployment.gpus()),
        }
    }
}

/// Takes away what hangs on when a generator sent.
fn forget_sends(latency: &mut Latency) {
    (latency.lag_ms, latency.service_ttft_ms, latency.service_e2e_ms) = (None, None, None);
}

/// Takes away what no generator was there to show, and sums the verdict up again.
fn forget_the_generator(point: &mut Point) {
    forget_sends(&mut point.latency);
    (point.stamps, point.read_delay_ms, point.connect_ms) = (None, None, None);
    point.stimulus = None;
    let worst = point.trust.caveats.iter().map(|caveat| caveat.lowers_to).max();
    point.trust.verdict = worst.unwrap_or(Trust::Sound);
}

/// Ends a load that only its window bounds, as a run does: it goes on unchanged until every
/// request due in the window has ended.
struct Settling {
    inner: Box<dyn Pacer>,
    window: Window,
    /// The requests due in the window that are under way, where it has an end.
    awaited: BTreeSet<RequestId>,
}

impl Settling {
    /// Says whether nothing that is due from `at` on is needed any more.
    fn settled(&self, at: Stamp) -> bool {
        self.awaited.is_empty() && self.window.end.is_some_and(|end| at >= end)
    }
}

impl Pacer for Settling {
    fn poll(&mut self, now: Stamp) -> Next {
        let next = self.inner.poll(now);
        match next {
            Next::Send(Due { at, .. }) | Next::Wait(at) if self.settled(at) => return Next::Done,
            Next::Send(due) if self.window.end.is_some() && self.window.holds(due.at) => {
                let _: bool = self.awaited.insert(due.id);
            }
            Next::Send(_) | Next::Wait(_) | Next::AwaitCompletion | Next::Done => {}
        }
        next
    }

    fn completed(&mut self, id: RequestId, at: Stamp) {
        let _: bool = self.awaited.remove(&id);
        self.inner.completed(id, at);
    }

    fn failed(&mut self, id: RequestId, at: Stamp) {
        let _: bool = self.awaited.remove(&id);
        self.inner.failed(id, at);
    }

    fn take_held(&mut self, now: Stamp) -> Vec<Due> {
        self.inner.take_held(now)
    }
}

/// Returns the header of a prediction. Its clock is a virtual one, which began at the epoch.
fn header(
    resolved: &Resolved,
    subject: &Subject<'_>,
    points: &[Predicted],
    knee: Option<usize>,
) -> RunFile {
    let scenario = &resolved.scenario;
    let mut rest = Map::new();
    let _: Option<Value> = rest.insert("predicted".to_owned(), Value::Bool(true));
    if let Some(index) = knee {
        let load = points[index].point.load;
        let knee = json!({ "point": index, "load": load, "by": "requests_per_s / e2e mean" });
        let _: Option<Value> = rest.insert("knee".to_owned(), knee);
    }
    RunFile {
        schema: "infermark.run/1".to_owned(),
        id: format!("predicted-{:04x}", scenario.seed.0 & 0xffff),
        created: "1970-01-01T00:00:00Z".to_owned(),
        partial: false,
        definitions: DEFINITIONS.to_owned(),
        target: json!({
            "url": format!("sim:{}", subject.text),
            "embedded": true,
            "predicted": true,
            "model": embedded::served(&subject.target).model,
            "hardware": hardware(&subject.target),
        }),
        scenario: json!({ "values": resolved.values, "tags": resolved.tags }),
        environment: json!({ "version": env!("CARGO_PKG_VERSION") }),
        points: points.iter().map(|point| json!(point)).collect(),
        rest,
        ..RunFile::default()
    }
}

fn hardware(target: &SimTarget) -> Value {
    match target {
        SimTarget::Fixed(_) => Value::Null,
        SimTarget::Deployment(deployment) => {
            json!({ "gpu": deployment.gpu.name, "count": deployment.gpus() })
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod wires;
