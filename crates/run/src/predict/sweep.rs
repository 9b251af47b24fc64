//! A sweep: from idle to saturation, and the knee between.
//!
//! Concurrency doubles until another doubling brings next to nothing. The request rate of that
//! plateau is about what the deployment can do; rates are then tried in tenths of it.

use infermark_measure::Point;
use infermark_scenario::intent::{Arrivals, Load, RateCurve, Scenario};

use super::{Predicted, Subject};
use crate::RunError;
use crate::knee::Knee;
use crate::sweep::{GAIN_MIN, short, turns_per_session};

/// Along which axis load rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Requests in flight, in a closed loop.
    Concurrency,
    /// Requests per second, in an open loop; where there are sessions, how many begin.
    Rate,
}

/// The greatest concurrency that is tried.
const CONCURRENCY_MAX: u32 = 4096;
/// Requests for each that is in flight, so that filling and emptying the loop weigh little.
const REQUESTS_PER_SLOT: u64 = 8;
/// Rates are tried in tenths of the plateau, and some beyond: filling and emptying the loop
/// lowers the plateau's rate somewhat.
const RATE_PARTS: u32 = 10;
const RATE_STEPS: u32 = 13;

/// Predicts the points of a sweep, and finds the knee.
pub(super) fn sweep(
    subject: &Subject<'_>,
    scenario: &Scenario,
    axis: Axis,
) -> Result<(Vec<Predicted>, Option<usize>), RunError> {
    let closed = by_concurrency(subject, scenario)?;
    let points = match axis {
        Axis::Concurrency => closed,
        Axis::Rate => by_rate(subject, scenario, &closed)?,
    };
    let seen: Vec<_> = points.iter().map(|predicted| Some(&predicted.point)).collect();
    let knee = Knee::of(&seen).map(|knee| knee.point);
    Ok((points, knee))
}

fn by_concurrency(subject: &Subject<'_>, scenario: &Scenario) -> Result<Vec<Predicted>, RunError> {
    let mut points: Vec<Predicted> = Vec::new();
    let mut concurrency = 1;
    while concurrency <= CONCURRENCY_MAX {
        points.push(subject.point(&loaded(scenario, Load::Closed { concurrency }, concurrency))?);
        if let [.., before, last] = &points[..]
            && output_rate(&last.point) < output_rate(&before.point) * (1.0 + GAIN_MIN)
        {
            break;
        }
        concurrency *= 2;
    }
    Ok(points)
}

fn by_rate(
    subject: &Subject<'_>,
    scenario: &Scenario,
    closed: &[Predicted],
) -> Result<Vec<Predicted>, RunError> {
    let rates = closed.iter().filter_map(|point| point.point.rates);
    let most = rates.map(|rates| rates.requests_per_s).fold(0.0, f64::max);
    let most = most / closed.first().map_or(1.0, |idle| turns_per_session(&idle.point));
    let in_flight = closed.last().and_then(|point| point.point.concurrency);
    let in_flight = in_flight.map_or(0, |concurrency| concurrency.peak as u32 / 2);
    // Not even one request finished: no rate is a part of nothing.
    let steps = if most > 0.0 { RATE_STEPS } else { 0 };
    (1..=steps)
        .map(|step| {
            let rate = short(most * f64::from(step) / f64::from(RATE_PARTS));
            let rate = RateCurve::Steady(rate);
            let load = Load::Open { rate, arrivals: Arrivals::Poisson, max_concurrency: None };
            subject.point(&loaded(scenario, load, in_flight))
        })
        .collect()
}

/// Returns the scenario under another load, with enough requests, and sessions, if so many are in
/// flight.
fn loaded(scenario: &Scenario, load: Load, in_flight: u32) -> Scenario {
    let least = REQUESTS_PER_SLOT * u64::from(in_flight);
    let mut scenario = Scenario { load, ..scenario.clone() };
    scenario.bounds.requests = scenario.bounds.requests.map(|count| count.max(least));
    if let Some(sessions) = &mut scenario.sessions {
        sessions.limit = sessions.limit.map(|count| count.max(least));
    }
    scenario
}

fn output_rate(point: &Point) -> f64 {
    point.rates.map_or(0.0, |rates| rates.output_tokens_per_s)
}
