//! Capacity: the highest load at which every objective is met.
//!
//! ```text
//!  idle, flood ─▶ steps until one load ─▶ line through ─▶ a load at the edge ─┐
//!  (is it met     looks met and another   all runs        of what is open     │
//!   at all?)      does not                    ▲                               │
//!                                             └───────── its evidence ◀───────┘
//! ```
//!
//! Near the capacity c, ln(value ÷ limit) of the bound that binds is nearly a straight line in
//! ln(load), and 0 at c. So a run says more than whether it met the limit: how far off it was, with
//! which error, points at c. The search keeps a weighted regression of that line over all runs and
//! reads off it which loads are under c and which over it (calibration by regression: Fieller 1954,
//! "Some problems in interval estimation"; as a search for a root, Lai & Robbins 1982, "Iterated
//! least squares in multiperiod control", and Wu 1986, "Maximum likelihood recursion and stochastic
//! approximation in sequential designs"). Probabilistic bisection (Horstein 1963; Waeber, Frazier &
//! Henderson 2013) keeps a belief about c likewise, but hears only on which side of c a run lay,
//! and so asks for several times the requests.
//!
//! Each new run lies half the wanted width under or over the present estimate, in turn, with a part
//! of the requests that the regression says are missing. The search ends when a load that was
//! measured lies below c, another above, both at 97.5 %, and they are no further apart than asked.
//! These two are the result: highest met, lowest missed.
//!
//! In a closed loop a bound may never break, since a loop asks no more than is answered. Doubling
//! ends where throughput no longer rises and no bound would give way within reach.
//!
//! Where no figure rises to the limit (a load that saturates while the bounds still hold, failures
//! that begin at once), the search halves the open stretch by verdicts.
//!
//! # Invariants
//!
//! - Both ends of a result were measured: whatever the line says between runs, at the ends there
//!   are some.
//! - The search is a function of what its rig told it, and so can be resumed.
//!
//! Deliberately not here: who measures ([`Rig`]), and what a bound's value is (`measure`).

mod evidence;
mod line;
mod plateau;
mod trust;

use infermark_measure::{Decision, Point};
use infermark_scenario::intent::{Counted, Scenario};
use infermark_scenario::settings::{self, Setting};
use infermark_terms::Trust;
use infermark_terms::slo::{Bound, Level, Slo, Statistic, Subject};
use serde::{Deserialize, Serialize};

use self::evidence::{Evidence, Plain, pace, requests_min, undecided};
use self::line::Line;
use self::plateau::Beyond;
pub use self::trust::doubts;

use crate::RunError;
use crate::study::{Early, Order, Rig, Taken};
use crate::sweep::turns_per_session;

/// What a search for capacity is told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CapacityPlan {
    /// Along which axis load rises.
    pub axis: LoadAxis,
    /// How far apart the ends may be: 0.05 is 5 % of the lower one.
    pub precision: f64,
    /// Requests of the first runs, at least.
    pub requests: u64,
    /// The most runs.
    pub runs_max: u32,
    /// The longest that all runs together may last, in seconds, about: how long the idle run and
    /// the one as fast as it goes take is not known before. Absent where nothing bounds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_max: Option<f64>,
}

/// Along which axis load rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoadAxis {
    /// Requests or sessions per second, in an open loop.
    Rate,
    /// Requests or sessions at a time, in a closed loop.
    Concurrency,
}

/// What a load is so many of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoadOf {
    /// Requests.
    #[default]
    Requests,
    /// Sessions, whose later turns come on top.
    Sessions,
}

impl LoadOf {
    /// Returns what a load along an axis is so many of.
    pub fn axis(axis: LoadAxis, scenario: &Scenario) -> Self {
        match (axis, scenario.sessions.map(|sessions| sessions.counted)) {
            (_, None) | (LoadAxis::Concurrency, Some(Counted::Requests)) => Self::Requests,
            (LoadAxis::Rate, Some(_)) | (LoadAxis::Concurrency, Some(Counted::Sessions)) => {
                Self::Sessions
            }
        }
    }
}

/// What a search found. Its keys in JSON are a contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// Along which axis.
    pub axis: LoadAxis,
    /// What the loads are so many of.
    #[serde(default)]
    pub of: LoadOf,
    /// The highest load that was measured and meets every bound; absent where none does, or none
    /// is known to.
    pub met: Option<f64>,
    /// The lowest load that was measured and does not; absent where none is known.
    pub missed: Option<f64>,
    /// The best single guess, where there is one between the two.
    pub estimate: Option<f64>,
    /// Its 95 % interval, by the regression through all runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_ci95: Option<[f64; 2]>,
    /// Up to the first of these loads every run looks met, and from the second on every run looks
    /// missed; of a search that ended before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear: Option<[f64; 2]>,
    /// Where throughput stops rising, of a closed loop that no load breaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plateau: Option<Plateau>,
    /// The most requests a second that were answered; of a search that the client ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<f64>,
    /// What gives way first.
    pub binds: Option<Binding>,
    /// Bounds of which the runs up to the highest load that meets the others cannot tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undecided: Vec<Bound>,
    /// How sure it is that the capacity lies between the two.
    pub confidence: f64,
    /// Why the search ended.
    pub reached: Reached,
    /// Runs that were made, the idle one and the one as fast as it goes included.
    pub runs: u32,
    /// Requests of all of them: those that finished, or were due in the window if those are more.
    pub requests: u64,
    /// What it would take to bring the ends as near as was asked; absent where they are, or where
    /// nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
    /// The places of the runs that this rests on, among all that were made.
    #[serde(default)]
    pub rests_on: Vec<u32>,
    /// The worst of the verdicts on these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
}

/// Where throughput stops rising.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// The least load at which it is as great as it gets, to a few per cent.
    pub from: f64,
    /// The greatest throughput.
    pub requests_per_s: f64,
}

/// What a search would still take, about.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Missing {
    /// So many requests.
    pub requests: u64,
    /// How long they take, in seconds.
    pub seconds: f64,
}

/// What gives way first as load rises.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Binding {
    /// This bound.
    Bound(Bound),
    /// None: beyond it, what waits only grows.
    Saturation,
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reached {
    /// The ends are as near as was asked.
    Precision,
    /// The objective is not even met at the lowest load.
    Nothing,
    /// The objective is met at the highest load that there is.
    Everything,
    /// The objective is met at every load up to the one at which throughput no longer rises, and
    /// beyond.
    Plateau,
    /// So many runs are as many as were allowed.
    Limit,
    /// Another run would have lasted longer than was allowed.
    Time,
    /// The client sends no more: run after run it, and not the target, was the limit.
    Client,
}

/// How far a search is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Between which loads the capacity seems to lie.
    pub between: [f64; 2],
    /// What it still takes.
    pub missing: Missing,
}

/// The confidence of the result.
const CONFIDENCE: f64 = 0.95;
/// New runs lie at this share of half the wanted width from the estimate, so that the estimate may
/// still move,
const EDGE: f64 = 0.95;
/// which is to be known to this share of that distance.
const WITHIN: f64 = 0.95;
/// A run gets this share of the requests that are missing: the next ones know better where to be.
const PART: f64 = 0.25;
/// And at least this share of all that are needed.
const PART_MIN: f64 = 0.1;
/// And at most so many times those of the longest so far: how runs scatter is only seen in several.
const GROWTH_MAX: f64 = 1.3;
/// And no run is shorter than this share of the longest.
const SHORTER_MIN: f64 = 0.5;
/// Where the target saturates before a bound gives way, so many requests ÷ the precision's square:
/// 24,000 for 5 %.
const JUMP_REQUESTS: f64 = 60.0;
/// A saturated run says that the load is too much where this share of the precision of what arrives
/// is not carried.
const BEHIND_SHARE: f64 = 0.25;
/// Runs that are shorter than this share of the longest do not count: a queue takes its time to
/// grow, and short runs near saturation look better than they should.
const LENGTH_MIN: f64 = 0.15;
/// The furthest from the estimate that a run is put, as a logarithm, and from runs that look alike;
/// twice as far from the estimate where time is short.
const AWAY_MAX: f64 = 0.05;
/// A run at a load that could not be decided is repeated with so many times the requests.
const VERDICT_GROWTH: u64 = 2;
/// So many runs that could not decide a load say that it is just at the limit.
const AT_LIMIT: usize = 4;
/// The greatest concurrency that is tried.
const CONCURRENCY_MAX: f64 = 4096.0;
/// Beyond what the target answers when flooded by this factor, no rate is tried. An engine that is
/// flooded may be slower than one whose requests come one by one.
const FLOOD_EXCESS: f64 = 4.0;
/// The first rate, as a share of that, and the first concurrency.
const FIRST_SHARE: f64 = 0.7;
const FIRST_SLOTS: f64 = 8.0;
/// The lowest rate, as a share of what a target does that is asked one at a time.
const BOTTOM_SHARE: f64 = 0.25;
/// Rates are rounded: so near to the highest or lowest is as good as there.
const ROUNDING: f64 = 0.01;
/// Requests of an idle target's run: enough for the 99th percentile to be plainly missed.
const IDLE_REQUESTS: u64 = 40;
/// The first steps of a rate and of a concurrency, as factors of the load.
const RATE_STEP: f64 = 1.5;
const SLOTS_STEP: f64 = 2.0;
/// Requests for each that is in flight: a closed loop's emptying weighs little then.
const REQUESTS_PER_SLOT: f64 = 16.0;
/// A run that there is not so much room for, as a share of its requests, is not begun.
const ROOM_MIN: f64 = 0.5;
/// Of so many runs in a row each shows that the client was the limit, and so many beyond all doubt:
/// then more of them would not tell anything else.
const CLIENT_RUNS: usize = 5;
const CLIENT_VOID: usize = 3;
/// The warm-up: so many times the E2E of the run before, and for rates at least this share of the
/// run's length.
const WARMUP_E2ES: f64 = 2.0;
const WARMUP_SHARE: f64 = 0.1;

/// Says whether an objective can bound a capacity.
///
/// # Errors
///
/// Why it cannot, and what to do.
pub fn check(slo: &Slo) -> Result<(), (String, &'static str)> {
    let judged = slo.bounds().iter().filter(|bound| !matches!(bound.subject, Subject::Each(_)));
    if judged.count() == 0 {
        let hint = "for example `--slo 'ttft:p99<=200ms,itl:p99<=50ms'`; bounds of each request \
                    need a share: `ttft<=200ms,good_share>=99%`";
        return Err(("nothing bounds the capacity".to_owned(), hint));
    }
    for bound in slo.bounds() {
        if is_easier_under_load(bound.subject) {
            let hint = "it bounds no capacity: leave it out, and compare it with the result";
            return Err((format!("`{bound}` is easier to meet under more load"), hint));
        }
        if let Subject::Latency(_, Statistic::Min | Statistic::Max) = bound.subject {
            let hint = "bound a percentile instead, such as p99 or p999";
            return Err((format!("`{bound}` depends on how long one looks"), hint));
        }
    }
    Ok(())
}

fn is_easier_under_load(subject: Subject) -> bool {
    let Subject::Level(level) = subject else { return false };
    match level {
        Level::FailureRate | Level::GoodShare | Level::OutputTokensPerSPerUser => false,
        Level::GoodputRps
        | Level::GoodputOutputTokensPerS
        | Level::RequestsPerS
        | Level::InputTokensPerS
        | Level::OutputTokensPerS
        | Level::TotalTokensPerS
        | Level::OutputTokensPerSPerGpu => true,
    }
}

/// Searches for the capacity under the scenario's objective, and tells between runs how far it is.
///
/// # Errors
///
/// What the rig says; the runs until then are the rig's to keep.
pub fn capacity(
    rig: &mut dyn Rig,
    plan: &CapacityPlan,
    tell: &dyn Fn(&Forecast),
) -> Result<Capacity, RunError> {
    let bounds = rig.base().scenario.slo.bounds().iter();
    let least = bounds.map(requests_min).max().unwrap_or_default();
    let mut search = Search {
        requests_min: plan.requests.max(least),
        plan: *plan,
        evidence: Vec::new(),
        runs: 0,
        requests: 0,
        seconds: 0.0,
        e2e: 0.0,
        turns: 1.0,
        range: [1.0, CONCURRENCY_MAX],
        rig,
    };
    search.sound()?;
    loop {
        let next = search.next();
        let missing = next.forecast.map(|forecast| forecast.missing);
        if let Some(reached) = search.reached() {
            return Ok(search.result(reached, missing));
        }
        let Some(requests) = search.affordable(&next) else {
            return Ok(search.result(Reached::Time, missing));
        };
        if let Some(forecast) = &next.forecast {
            tell(forecast);
        }
        search.run(next.load, requests)?;
    }
}

struct Search<'a> {
    rig: &'a mut dyn Rig,
    plan: CapacityPlan,
    /// The fewest requests of a run.
    requests_min: u64,
    evidence: Vec<Evidence>,
    /// All runs that were made, their requests, and how long they lasted.
    runs: u32,
    requests: u64,
    seconds: f64,
    /// Mean E2E of the last run that had any, in seconds.
    e2e: f64,
    /// How many requests come of an arrival: a session's turns.
    turns: f64,
    /// The least and the greatest load that is tried.
    range: [f64; 2],
}

/// The next run.
struct Next {
    load: f64,
    requests: u64,
    forecast: Option<Forecast>,
}

impl Search<'_> {
    /// Measures an idle target and, for rates, one that is asked as fast as it goes: the capacity
    /// lies between the two.
    fn sound(&mut self) -> Result<(), RunError> {
        let one = vec![(&settings::CONCURRENCY, "1".to_owned())];
        let idle = self.take("idle", one, IDLE_REQUESTS, Early::Never)?;
        self.turns = turns_per_session(&idle.point);
        let is_missed = Decision::of(&idle.point.slo) == Some(Decision::Missed);
        if is_missed || idle.point.counts.success == 0 {
            let load = match self.plan.axis {
                LoadAxis::Rate => pace(&idle) / self.turns,
                LoadAxis::Concurrency => 1.0,
            };
            self.range[0] = load;
            self.note(load, &idle, 0.0);
            self.evidence[0].plain = Plain::TooMuch;
            return Ok(());
        }
        if self.plan.axis == LoadAxis::Concurrency {
            return Ok(());
        }
        let flood = vec![(&settings::THROUGHPUT, "yes".to_owned())];
        let flood = self.take("throughput", flood, self.requests_min, Early::Never)?;
        let least = pace(&idle) / self.turns;
        let most = least.max(pace(&flood) / self.turns);
        self.range = [least * BOTTOM_SHARE, most * FLOOD_EXCESS];
        Ok(())
    }

    /// Says whether the search is over, and why.
    fn reached(&self) -> Option<Reached> {
        let [bottom, top] = self.range;
        let (low, high) = self.ends();
        match (sides(self.evidence.iter()), low, high) {
            ((None, Some(missed)), ..) if missed <= bottom * (1.0 + ROUNDING) => {
                Some(Reached::Nothing)
            }
            ((Some(met), None), ..) if met >= top * (1.0 - ROUNDING) => Some(Reached::Everything),
            (_, Some(low), Some(high)) if self.is_near(low, high) && self.is_long(low, high) => {
                Some(Reached::Precision)
            }
            ((Some(met), None), ..) if self.beyond().is_some_and(|beyond| beyond.is_all(met)) => {
                Some(Reached::Plateau)
            }
            _ if self.is_the_clients_limit() => Some(Reached::Client),
            _ if self.runs >= self.plan.runs_max => Some(Reached::Limit),
            _ => None,
        }
    }

    /// Says whether the last runs show no more than what the client can send.
    fn is_the_clients_limit(&self) -> bool {
        let Some(last) = self.evidence.last_chunk::<CLIENT_RUNS>() else { return false };
        let void = last.iter().filter(|one| one.strain == Trust::Void).count();
        void >= CLIENT_VOID && last.iter().all(|one| one.strain != Trust::Sound)
    }

    /// Decides on the next run.
    fn next(&self) -> Next {
        let next = self.aimed();
        let least = match self.plan.axis {
            LoadAxis::Rate => 0,
            LoadAxis::Concurrency => (REQUESTS_PER_SLOT * next.load.round()) as u64,
        };
        Next { requests: next.requests.max(least), ..next }
    }

    /// Returns a step up or down while all runs look alike, then a run that decides.
    fn aimed(&self) -> Next {
        let [bottom, top] = self.range;
        let step = match self.plan.axis {
            LoadAxis::Rate => RATE_STEP,
            LoadAxis::Concurrency => SLOTS_STEP,
        };
        let load = match sides(self.evidence.iter()) {
            (Some(_), Some(_)) => {
                return match self.line() {
                    Some(line) => self.by_line(line),
                    None => self.by_verdict(),
                };
            }
            (Some(met), None) => (met * step).min(top),
            (None, Some(missed)) => (missed / step).max(bottom),
            (None, None) => match self.plan.axis {
                LoadAxis::Rate => (top / FLOOD_EXCESS * FIRST_SHARE).max(bottom),
                LoadAxis::Concurrency => FIRST_SLOTS,
            },
        };
        Next { load, requests: self.requests_min, forecast: None }
    }

    /// Returns what the loads of a closed loop so far, none of which breaks the objective, say of
    /// greater ones.
    fn beyond(&self) -> Option<Beyond> {
        if self.plan.axis == LoadAxis::Rate {
            return None;
        }
        let mut climbed: Vec<_> = self.standing().collect();
        climbed.sort_by(|a, b| a.load.total_cmp(&b.load));
        Beyond::of(&climbed)
    }

    /// Returns how many of the next run's requests there is time for; nothing where that is too few
    /// to say much.
    fn affordable(&self, next: &Next) -> Option<u64> {
        let Some(most) = self.plan.seconds_max else { return Some(next.requests) };
        let warmup = self.warmup(next.load, next.requests);
        let room = (most - self.seconds - warmup).max(0.0) * self.pace_at(next.load);
        let least = (next.requests as f64 * ROOM_MIN).max(self.requests_min as f64);
        (room >= least).then(|| next.requests.min(room as u64))
    }

    /// Returns a load at an edge of what the line leaves open, and how many requests it gets.
    fn by_line(&self, line: Line) -> Next {
        let grown = (self.longest() * GROWTH_MAX).max(self.requests_min as f64);
        let is_jump = self.too_much().is_finite();
        let fewest = if is_jump { self.jump_requests().min(grown) } else { 0.0 };
        let Some((root, reach)) = line.root().zip(line.reach()) else {
            return Next { load: self.aside(), requests: grown as u64, forecast: None };
        };
        // While the slope is little known, runs further apart say more of it. Where the search may
        // end before its time, those at the edge of what is open are its ends.
        let (share, furthest) = match self.plan.seconds_max {
            None => (0.5, AWAY_MAX),
            Some(_) => (1.0, 2.0 * AWAY_MAX),
        };
        let away = if reach.is_finite() { share * reach } else { 0.0 };
        let away = away.clamp(self.half(), furthest.max(self.half()));
        let sign = if self.turn() { -1.0 } else { 1.0 };
        // Where the line crosses the limit far from any run, it is a guess.
        let loads = || self.counted().map(|one| one.load);
        let (least, most) = (loads().fold(f64::INFINITY, f64::min), loads().fold(0.0, f64::max));
        let apart = furthest.exp();
        let load = (root + sign * away).exp().clamp(least / apart, most * apart);
        if load >= self.too_much() {
            return Next { load: self.aside(), requests: grown as u64, forecast: None };
        }
        if reach.is_infinite() {
            return Next { load, requests: self.longest() as u64, forecast: None };
        }
        let counted = self.counted().map(|one| one.requests).sum::<u64>() as f64;
        let needed = counted * (reach / (WITHIN * self.half())).powi(2);
        let part = ((needed - counted) * PART).max(needed * PART_MIN).min(grown);
        let requests =
            part.max(self.longest() * SHORTER_MIN).max(fewest).max(self.requests_min as f64) as u64;
        let missing = ((needed - counted).max(0.0) as u64).max(requests);
        let missing =
            Missing { requests: missing, seconds: missing as f64 / self.pace_at(root.exp()) };
        let forecast = Forecast { between: between(root, reach), missing };
        Next { load, requests, forecast: Some(forecast) }
    }

    /// Returns a load where the line is of no help: within the stretch that is open by the looks of
    /// the runs that count, or beside them where they all look alike.
    fn aside(&self) -> f64 {
        match sides(self.counted()) {
            // A longer run says whether this was carried.
            (Some(floor), Some(ceiling)) if self.is_near(floor, ceiling) => floor,
            (Some(floor), Some(ceiling)) => (floor * ceiling).sqrt(),
            (Some(met), None) => met * AWAY_MAX.exp(),
            (None, Some(missed)) => missed / AWAY_MAX.exp(),
            (None, None) => self.range[0],
        }
    }

    /// Halves the open stretch by the verdicts of runs alone. At its ends longer runs decide, in
    /// turn with those beside them, should an end be just at the limit.
    fn by_verdict(&self) -> Next {
        let (floor, ceiling) = sides(self.standing());
        let (floor, ceiling) = (floor.unwrap_or(self.range[0]), ceiling.unwrap_or(self.range[1]));
        if !self.is_near(floor, ceiling) {
            let middle = (floor * ceiling).sqrt();
            let load = match self.plan.axis {
                LoadAxis::Rate => middle,
                LoadAxis::Concurrency => middle.round().clamp(floor + 1.0, ceiling - 1.0),
            };
            return Next {
                load,
                requests: self.requests_min,
                forecast: self.halvings([floor, ceiling]),
            };
        }
        let beside = match self.plan.axis {
            LoadAxis::Rate => floor * self.half(),
            LoadAxis::Concurrency => 1.0,
        };
        let is = |load: f64, wanted: Decision| {
            self.standing().any(|one| one.is_at(load) && one.verdict() == wanted)
        };
        let (at, aside, wanted) = if is(floor, Decision::Met) {
            (ceiling, ceiling + beside, Decision::Missed)
        } else {
            (floor, floor - beside, Decision::Met)
        };
        let in_turn = self.turn() && !is(aside, wanted);
        let load = if in_turn { aside } else { at };
        let longest = self.evidence.iter().filter(|one| one.is_at(load));
        let longest = longest.map(|one| one.requests).max().unwrap_or_default();
        let requests = (longest * VERDICT_GROWTH).max(self.requests_min);
        Next { load: load.max(self.range[0]), requests, forecast: None }
    }

    /// Returns what halving an open stretch of a closed loop takes until its ends are near, and the
    /// runs there.
    fn halvings(&self, [low, high]: [f64; 2]) -> Option<Forecast> {
        if self.plan.axis == LoadAxis::Rate {
            return None;
        }
        let near = (1.0 + self.plan.precision.max(1.0 / low)).ln();
        let runs = ((high / low).ln() / near).log2().ceil().max(1.0);
        let each = (self.requests_min as f64).max(REQUESTS_PER_SLOT * high);
        let missing = Missing {
            requests: (runs * each) as u64,
            seconds: runs * each / self.pace_at((low * high).sqrt()),
        };
        Some(Forecast { between: [low, high], missing })
    }

    /// Returns the longest run at each load.
    fn standing(&self) -> impl Iterator<Item = &Evidence> {
        let outdone = |at: usize| {
            let one = &self.evidence[at];
            let others = self.evidence.iter().enumerate().filter(|(_, o)| o.is_at(one.load));
            let rank = |at: usize, one: &Evidence| (one.requests, at);
            others.map(|(i, other)| rank(i, other)).any(|other| other > rank(at, one))
        };
        (0..self.evidence.len()).filter(move |at| !outdone(*at)).map(|at| &self.evidence[at])
    }

    /// Returns how far from the estimate runs are put, as a logarithm.
    fn half(&self) -> f64 {
        EDGE * self.plan.precision / 2.0
    }

    /// Returns the runs that are long enough to count.
    fn counted(&self) -> impl Iterator<Item = &Evidence> {
        let least = self.counted_min();
        self.evidence.iter().filter(move |one| one.requests as f64 >= least)
    }

    /// Returns the least length that counts.
    fn counted_min(&self) -> f64 {
        self.longest() * LENGTH_MIN
    }

    fn longest(&self) -> f64 {
        self.evidence.iter().map(|one| one.requests).max().unwrap_or_default() as f64
    }

    /// Returns the lowest load that is plainly too much.
    fn too_much(&self) -> f64 {
        let plain = self.counted().filter(|one| one.plain == Plain::TooMuch);
        plain.map(|one| one.load).fold(f64::INFINITY, f64::min)
    }

    /// Returns the lowest load that is plainly too much and at and above which no run says
    /// otherwise: on a machine that others use too, a load may be too much for a while.
    fn plainly_too_much(&self) -> f64 {
        let carried = self.counted().filter(|one| !one.looks_missed()).map(|one| one.load);
        let most = carried.fold(0.0, f64::max);
        let plain = self.counted().filter(|one| one.plain == Plain::TooMuch && one.load > most);
        plain.map(|one| one.load).fold(f64::INFINITY, f64::min)
    }

    /// Returns up to which load every run looks met, and from which on every run looks missed,
    /// where there are such loads.
    fn clear(&self) -> Option<[f64; 2]> {
        let looks = |missed: bool| {
            let all = self.evidence.iter().filter(move |one| one.looks_missed() == missed);
            all.map(|one| one.load)
        };
        let (least, most) =
            (looks(true).min_by(f64::total_cmp)?, looks(false).max_by(f64::total_cmp)?);
        let low = looks(false).filter(|load| *load < least).max_by(f64::total_cmp)?;
        let high = looks(true).filter(|load| *load > most).min_by(f64::total_cmp)?;
        Some([low, high])
    }

    /// Says whether runs were long enough to tell what is carried at all, where that decides: a
    /// load that is a little too much takes its time to look so.
    fn is_long(&self, low: f64, high: f64) -> bool {
        let under = self.evidence.iter().filter(|one| one.is_at(low));
        let longest = under.map(|one| one.requests).max().unwrap_or_default() as f64;
        high < self.too_much() || longest >= self.jump_requests()
    }

    fn jump_requests(&self) -> f64 {
        JUMP_REQUESTS / self.plan.precision.powi(2)
    }

    /// Returns the highest measured load that is met, and the lowest that is missed, both decided.
    fn ends(&self) -> (Option<f64>, Option<f64>) {
        match self.line() {
            Some(line) => ends_by_line(line, self.counted(), self.too_much()),
            None => ends_by_verdict(self.standing()),
        }
    }

    /// Returns what is known of the ends before they are near: of any load that was measured, what
    /// the line says there. While it says nothing yet, the verdicts of single runs do, as far as
    /// they agree with it: near saturation short runs look better than they should.
    fn known_ends(&self) -> (Option<f64>, Option<f64>) {
        let (met, missed) = ends_by_verdict(self.standing());
        let Some(line) = self.line() else { return (met, missed) };
        let (low, high) = ends_by_line(line, self.evidence.iter(), self.plainly_too_much());
        let root = line.root().map(f64::exp);
        let low = low.or(met.filter(|met| root.is_some_and(|root| *met < root)));
        (low, high.or(missed.filter(|missed| root.is_some_and(|root| root < *missed))))
    }

    fn is_near(&self, low: f64, high: f64) -> bool {
        let apart = high - low;
        let is_narrow = apart <= low * self.plan.precision * (1.0 + 1e-9);
        // Nothing lies between neighbours; and the one between two may be just at the limit.
        let between = || self.evidence.iter().filter(|one| one.load > low && one.load < high);
        let are_neighbours = || apart <= 1.0 || apart <= 2.0 && between().count() >= AT_LIMIT;
        is_narrow || self.plan.axis == LoadAxis::Concurrency && are_neighbours()
    }

    /// Returns the line through the runs that count; absent where there is none. Slots are whole
    /// numbers, and latency rises with them in steps: there is no line to speak of.
    fn line(&self) -> Option<Line> {
        if self.plan.axis == LoadAxis::Concurrency {
            return None;
        }
        let sights: Vec<_> = self.counted().filter_map(|one| one.sight).collect();
        Line::through(&sights)
    }

    /// Says whether the next run lies under what is looked for, or over it.
    fn turn(&self) -> bool {
        self.evidence.len().is_multiple_of(2)
    }

    /// Returns how many requests a second a load is about. That of more slots than were tried is a
    /// guess, which is too high beyond the plateau.
    fn pace_at(&self, load: f64) -> f64 {
        match self.plan.axis {
            LoadAxis::Rate => load * self.turns,
            LoadAxis::Concurrency => {
                let away = |one: &Evidence| (one.load / load).ln().abs();
                let answered = self.evidence.iter().filter(|one| one.pace > 0.0);
                let nearest = answered.min_by(|a, b| away(a).total_cmp(&away(b)));
                // Before there is any, each slot does what an idle target's only one does.
                load * nearest.map_or(1.0 / self.e2e, |one| one.pace / one.load)
            }
        }
    }

    /// Returns how long a run of so many requests warms up, in seconds.
    fn warmup(&self, load: f64, requests: u64) -> f64 {
        let warm = WARMUP_E2ES * self.e2e;
        match self.plan.axis {
            LoadAxis::Rate => warm.max(WARMUP_SHARE * requests as f64 / self.pace_at(load)),
            LoadAxis::Concurrency => warm,
        }
    }

    /// Makes one run on the axis.
    fn run(&mut self, load: f64, requests: u64) -> Result<(), RunError> {
        let (load, name, change, requests, early) = match self.plan.axis {
            LoadAxis::Rate => {
                let rate = rounded(load);
                let change = (&settings::RATE, format!("{rate}/s"));
                (rate, format!("rate {rate}/s"), change, requests, Early::WhenSaturated)
            }
            LoadAxis::Concurrency => {
                let slots = load.round();
                let change = (&settings::CONCURRENCY, slots.to_string());
                (slots, format!("{slots} slots"), change, requests, Early::Never)
            }
        };
        let mut changes: Vec<(&'static Setting, String)> = vec![change];
        if self.rig.base().scenario.bounds.warmup.0 == 0 {
            changes.push((&settings::WARMUP, format!("{:.3}s", self.warmup(load, requests))));
        }
        let taken = self.take(&name, changes, requests, early)?;
        self.note(load, &taken, self.plan.precision * BEHIND_SHARE);
        Ok(())
    }

    fn take(
        &mut self,
        name: &str,
        mut changes: Vec<(&'static Setting, String)>,
        requests: u64,
        early: Early,
    ) -> Result<Taken, RunError> {
        changes.push((&settings::REQUESTS, requests.to_string()));
        if self.rig.base().scenario.sessions.as_ref().is_some_and(|plan| plan.limit.is_some()) {
            // It is the requests that bound a run.
            changes.push((&settings::SESSIONS, requests.to_string()));
        }
        let taken = self.rig.take(&Order { label: name.to_owned(), changes, early })?;
        self.runs += 1;
        self.requests += requests_of(&taken.point);
        self.seconds += taken.point.window.whole_run.map_or(0.0, |whole| whole.end_s);
        self.e2e = taken.point.latency.e2e_ms.map_or(self.e2e, |e2e| e2e.mean / 1e3);
        Ok(taken)
    }

    /// Keeps what the last run says. Saturated counts as too much where more than a share `behind`
    /// is not carried.
    fn note(&mut self, load: f64, taken: &Taken, behind: f64) {
        let slo = &self.rig.base().scenario.slo;
        self.evidence.push(Evidence::of(load, self.runs - 1, taken, slo, behind));
    }

    fn result(self, reached: Reached, missing: Option<Missing>) -> Capacity {
        let looks = sides(self.evidence.iter());
        let (met, missed) = match reached {
            Reached::Nothing => (None, looks.1),
            Reached::Everything | Reached::Plateau => (looks.0, None),
            Reached::Precision => self.ends(),
            Reached::Limit | Reached::Time => self.known_ends(),
            Reached::Client => {
                ends_by_verdict(self.standing().filter(|one| one.strain == Trust::Sound))
            }
        };
        let is_clients = reached == Reached::Client;
        let is_early = matches!(reached, Reached::Limit | Reached::Time);
        let beyond = self.beyond().filter(|_| reached == Reached::Plateau);
        let breaks = beyond.and_then(|beyond| beyond.breaks);
        let (estimate, estimate_ci95) =
            if is_clients { (None, None) } else { self.estimate([met, missed]) };
        let first =
            self.evidence.iter().filter(|one| missed.is_some_and(|missed| one.is_at(missed)));
        // The figures of one run at that load may still look met: it is the line that says no.
        let first = first.max_by_key(|one| one.looks_missed());
        let up_to: Vec<_> =
            self.evidence.iter().filter(|one| met.is_some_and(|met| one.load <= met)).collect();
        let rests_on: Vec<_> = self.resting_on([met, missed], reached).collect();
        Capacity {
            axis: self.plan.axis,
            of: LoadOf::axis(self.plan.axis, &self.rig.base().scenario),
            met,
            missed,
            estimate: estimate.or(breaks.map(|(slots, _)| slots)).map(rounded),
            estimate_ci95,
            clear: self.clear().filter(|_| is_early),
            plateau: beyond.map(|beyond| beyond.plateau),
            binds: first.and_then(|one| one.binds).or(breaks.map(|(_, binds)| binds)),
            undecided: undecided(&up_to),
            confidence: CONFIDENCE,
            reached,
            runs: self.runs,
            requests: self.requests,
            missing: missing.filter(|_| is_early),
            carried: is_clients.then(|| rounded(self.most_answered())),
            trust: rests_on.iter().map(|one| one.trust).max(),
            rests_on: rests_on.iter().map(|one| one.place).collect(),
        }
    }

    /// Returns where the line crosses the limit, if that lies between the ends, and its interval.
    fn estimate(&self, [met, missed]: [Option<f64>; 2]) -> (Option<f64>, Option<[f64; 2]>) {
        let inside =
            |load: &f64| met.is_none_or(|met| *load >= met) && missed.is_none_or(|m| *load <= m);
        let Some(line) = self.line() else { return (None, None) };
        let root = line.root().filter(|root| inside(&root.exp()));
        let reach = line.reach().filter(|reach| reach.is_finite());
        (root.map(f64::exp), root.zip(reach).map(|(root, reach)| between(root, reach)))
    }

    /// Returns how many requests a second were answered at most.
    fn most_answered(&self) -> f64 {
        self.evidence.iter().map(|one| one.pace).fold(0.0, f64::max)
    }

    /// Returns the runs that a result with these ends rests on: all that the line goes through, and
    /// those at the ends; where the client is what was found, all that say so.
    fn resting_on(
        &self,
        ends: [Option<f64>; 2],
        reached: Reached,
    ) -> impl Iterator<Item = &Evidence> {
        let least = if self.line().is_some() { self.counted_min() } else { f64::INFINITY };
        let is_at_end = move |one: &Evidence| ends.iter().flatten().any(|end| one.is_at(*end));
        let tells = move |one: &Evidence| {
            if reached == Reached::Client {
                one.strain != Trust::Sound
            } else {
                one.requests as f64 >= least
            }
        };
        self.evidence.iter().filter(move |one| tells(one) || is_at_end(one))
    }
}

/// Returns the ends among these runs by the verdict of each alone.
fn ends_by_verdict<'a>(runs: impl Iterator<Item = &'a Evidence>) -> (Option<f64>, Option<f64>) {
    let (mut met, mut missed) = (Vec::new(), Vec::new());
    for one in runs {
        match one.verdict() {
            Decision::Met => met.push(one.load),
            Decision::Missed => missed.push(one.load),
            Decision::Undecided => {}
        }
    }
    let missed = missed.into_iter().min_by(f64::total_cmp);
    let met = met.into_iter();
    let met = met.filter(|load| missed.is_none_or(|missed| *load < missed));
    (met.max_by(f64::total_cmp), missed)
}

/// Returns the ends among the loads of these runs, by the line.
fn ends_by_line<'a>(
    line: Line,
    runs: impl Iterator<Item = &'a Evidence>,
    too_much: f64,
) -> (Option<f64>, Option<f64>) {
    let (mut low, mut high) = (None, None);
    for load in runs.map(|one| one.load) {
        let (height, reach) = line.at(load.ln());
        if load >= too_much || height - reach > 0.0 {
            high = Some(high.map_or(load, |least: f64| least.min(load)));
        } else if height + reach < 0.0 {
            low = Some(low.map_or(load, |most: f64| most.max(load)));
        }
    }
    (low, high)
}

/// Returns about between which loads the crossing lies, both given as logarithms.
fn between(root: f64, reach: f64) -> [f64; 2] {
    [(root - reach).exp(), (root + reach).exp()].map(rounded)
}

/// Returns the requests of a run: those that finished, or were due in the window if those are more.
fn requests_of(point: &Point) -> u64 {
    point.window.whole_run.map_or(0, |whole| whole.requests).max(point.counts.due)
}

/// Returns the highest load below which nothing looks missed, and the lowest that looks so, by the
/// figures of these runs alone.
fn sides<'a>(runs: impl Iterator<Item = &'a Evidence>) -> (Option<f64>, Option<f64>) {
    let (missed, met): (Vec<_>, Vec<_>) = runs.partition(|one| one.looks_missed());
    let missed = missed.iter().map(|one| one.load).min_by(f64::total_cmp);
    let met = met.iter().map(|one| one.load);
    let met = met.filter(|load| missed.is_none_or(|missed| *load < missed));
    (met.max_by(f64::total_cmp), missed)
}

/// Rounds to four significant digits: finer than any precision that may be asked for.
fn rounded(load: f64) -> f64 {
    format!("{load:.3e}").parse().expect("a number that was just printed")
}

#[cfg(test)]
mod tests;
