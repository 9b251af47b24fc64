//! What one run says about an objective at its load.

use infermark_measure::{Decision, Point, Ruling, share};
use infermark_terms::Trust;
use infermark_terms::slo::{Bound, Level, Side, Slo, Statistic, Subject};

use super::Binding;
use super::line::{Kind, Sight};
use super::trust::{concerning, strain};
use crate::study::Taken;
use crate::sweep::arrivals;

/// What one run says.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    pub(super) load: f64,
    /// The run's place among all that were made.
    pub(super) place: u32,
    /// Arrivals that were due in the window.
    pub(super) requests: u64,
    /// Requests that were answered, a second.
    pub(super) pace: f64,
    /// The values of the bounds, as far as they were seen; of a bound of each request, the highest
    /// percentile of its figure.
    pub(super) levels: Vec<(Bound, f64)>,
    /// How far the bound that is nearest to being missed lies from its limit; absent where no
    /// figure says so.
    pub(super) sight: Option<Sight>,
    /// What that bound is, or what else gave way.
    pub(super) binds: Option<Binding>,
    /// Whether the load is too much without a look at the line.
    pub(super) plain: Plain,
    pub(super) rulings: Vec<Ruling>,
    /// How far the run can be trusted in what the search needs of it.
    pub(super) trust: Trust,
    /// How far it can be trusted not to show the client's limit in place of the target's.
    pub(super) strain: Trust,
}

/// What is plain without a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plain {
    /// Nothing: the figures say how far off they are.
    Open,
    /// It is too much: nothing succeeded, what waits only grows, or a share is refuted.
    TooMuch,
}

/// The standard normal deviate of a 95 % interval.
const DEVIATE: f64 = 1.96;
/// A share of which fewer exceptions than this are allowed in a run says nothing but its verdict.
const EXCEPTIONS_MIN: f64 = 4.0;

impl Evidence {
    /// Returns what the run at this place says. Saturated counts as too much where more than a
    /// share `behind` of what arrives is not carried: a calm queue too looks saturated at times.
    pub(super) fn of(load: f64, place: u32, taken: &Taken, slo: &Slo, behind: f64) -> Self {
        let rulings = taken.point.slo.clone();
        let requests = taken.point.counts.due;
        let seen = rulings.iter().filter_map(|r| Some((sight(load, r, requests)?, r.bound)));
        let nearest = seen.max_by(|a, b| a.0.ratio.total_cmp(&b.0.ratio));
        let refuted = rulings.iter().find(|ruling| {
            ruling.verdict == Decision::Missed && sight(load, ruling, requests).is_none()
        });
        // Where the figures say that a bound is missed they say more than a verdict would.
        let keeps = nearest.is_none_or(|(sight, _)| sight.ratio <= 1.0);
        let saturated = keeps && taken.point.saturated && fell_behind(load, &taken.point) > behind;
        let given_way = match refuted {
            Some(ruling) => Some(Binding::Bound(ruling.bound)),
            None if saturated || taken.point.counts.success == 0 => Some(Binding::Saturation),
            None => None,
        };
        Self {
            load,
            place,
            requests,
            pace: pace(taken),
            levels: levels(slo, &taken.point),
            sight: nearest.map(|(sight, _)| sight),
            binds: given_way.or(nearest.map(|(_, bound)| Binding::Bound(bound))),
            plain: if given_way.is_some() { Plain::TooMuch } else { Plain::Open },
            trust: concerning(&taken.point).verdict,
            strain: strain(&taken.point),
            rulings,
        }
    }

    /// Says whether it was at this very load.
    pub(super) fn is_at(&self, load: f64) -> bool {
        self.load.total_cmp(&load).is_eq()
    }

    /// Returns the verdict of the run alone.
    pub(super) fn verdict(&self) -> Decision {
        match self.plain {
            Plain::TooMuch => Decision::Missed,
            Plain::Open => Decision::of(&self.rulings).unwrap_or(Decision::Undecided),
        }
    }

    /// Says whether a bound looks missed, by the figures alone.
    pub(super) fn looks_missed(&self) -> bool {
        self.plain == Plain::TooMuch || self.sight.is_some_and(|sight| sight.ratio > 1.0)
    }
}

/// Returns how many requests a run answered a second.
pub(super) fn pace(taken: &Taken) -> f64 {
    taken.point.rates.map_or(0.0, |rates| rates.requests_per_s)
}

fn levels(slo: &Slo, point: &Point) -> Vec<(Bound, f64)> {
    let level = |bound: &Bound| {
        let ruling = point.slo.iter().find(|ruling| ruling.bound == *bound);
        let value = match bound.subject {
            Subject::Each(figure) => point.latency.of_figure(figure)?.tail().1,
            Subject::Latency(..) | Subject::Level(_) => ruling?.value?,
        };
        Some((*bound, value))
    };
    slo.bounds().iter().filter_map(level).collect()
}

/// Returns the bounds of which these runs together cannot say that they are met: those that were
/// never seen, and shares of which too few requests speak.
pub(super) fn undecided(runs: &[&Evidence]) -> Vec<Bound> {
    let Some(last) = runs.last() else { return Vec::new() };
    let bounds = last.rulings.iter().map(|ruling| ruling.bound);
    let is_open = |bound: &Bound| {
        let seen = runs.iter().filter_map(|run| {
            let ruling = run.rulings.iter().find(|ruling| ruling.bound == *bound)?;
            Some((ruling.value?, run.requests as f64))
        });
        let seen: Vec<_> = seen.collect();
        let requests: f64 = seen.iter().map(|(_, requests)| requests).sum();
        let share = |of: ShareOf, allowed: f64| {
            let count: f64 = seen.iter().map(|(value, requests)| of(*value) * requests).sum();
            share::interval(count.round(), requests)[1] > allowed
        };
        match exceptions(*bound) {
            // Limits that only one exception breaks are facts about each run.
            _ if seen.is_empty() => true,
            Some((of, allowed)) if allowed > 0.0 && allowed * least(&seen) < EXCEPTIONS_MIN => {
                share(of, allowed)
            }
            Some(_) | None => false,
        }
    };
    bounds.filter(is_open).collect()
}

fn least(seen: &[(f64, f64)]) -> f64 {
    seen.iter().map(|(_, requests)| *requests).fold(f64::INFINITY, f64::min)
}

/// The share of exceptions in a value.
type ShareOf = fn(f64) -> f64;

/// Returns the share of exceptions in a value, and how many are allowed; nothing for a figure that
/// is no share.
fn exceptions(bound: Bound) -> Option<(ShareOf, f64)> {
    match bound.subject {
        Subject::Level(Level::FailureRate) => Some((|value| value, bound.limit)),
        Subject::Level(Level::GoodShare) => Some((|value| 1.0 - value, 1.0 - bound.limit)),
        Subject::Each(_) | Subject::Latency(..) | Subject::Level(_) => None,
    }
}

/// Returns the share of observations that may lie beyond a percentile.
fn tail(statistic: Statistic) -> Option<f64> {
    match statistic {
        Statistic::P50 => Some(0.5),
        Statistic::P90 => Some(0.1),
        Statistic::P95 => Some(0.05),
        Statistic::P99 => Some(0.01),
        Statistic::P999 => Some(0.001),
        Statistic::Mean | Statistic::Min | Statistic::Max => None,
    }
}

/// Returns how many requests it takes until a bound says something.
pub(super) fn requests_min(bound: &Bound) -> u64 {
    let beyond = match bound.subject {
        Subject::Latency(_, statistic) => tail(statistic).unwrap_or(1.0),
        Subject::Level(Level::GoodShare) if bound.limit < 1.0 => 1.0 - bound.limit,
        Subject::Each(_) | Subject::Level(_) => 1.0,
    };
    (EXCEPTIONS_MIN / beyond).ceil() as u64
}

/// Returns the share of the time until the last end for which nothing arrived any more: of a queue
/// that only grows, the share of what arrives that is not carried.
fn fell_behind(load: f64, point: &Point) -> f64 {
    let span = point.window.end_s - point.window.start_s;
    1.0 - arrivals(point) as f64 / (load * span)
}

/// Returns the ratio of a bound's value to its limit. Of a percentile, and of a share, that is the
/// ratio of the exceptions to those that are allowed: the mean of many short runs' percentiles is
/// not that of one long run, but the mean of their shares is.
fn sight(load: f64, ruling: &Ruling, requests: u64) -> Option<Sight> {
    let Bound { subject, limit } = ruling.bound;
    let requests = requests as f64;
    let share = match subject {
        Subject::Latency(_, statistic) => ruling.beyond.zip(tail(statistic)),
        Subject::Each(_) | Subject::Level(_) => match exceptions(ruling.bound) {
            Some((of, allowed)) => Some((of(ruling.value?), allowed)),
            None => None,
        },
    };
    let at = load.ln();
    if let Some((share, allowed)) = share {
        let kind = Kind::Count { noise: (1.0 - allowed) / allowed };
        let sight = Sight { at, ratio: share / allowed, kind, requests };
        return (allowed * requests >= EXCEPTIONS_MIN).then_some(sight);
    }
    let ratio = |value: f64| match subject.side() {
        Side::AtMost => value / limit,
        Side::AtLeast => limit / value,
    };
    let value = ratio(ruling.value?);
    let ends = ruling.ci95.into_iter().flatten().map(|end| (ratio(end) - value).abs() / DEVIATE);
    let error = ends.filter(|error| error.is_finite()).min_by(f64::total_cmp);
    let kind = Kind::Level { noise: error.map(|error| error.powi(2) * requests) };
    value.is_finite().then_some(Sight { at, ratio: value, kind, requests })
}
