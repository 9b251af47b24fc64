//! The knee of a curve: where latency begins to rise faster than throughput.
//!
//! It is the point of the greatest power, requests/s ÷ mean E2E (Kleinrock 1979, "Power and
//! deterministic rules of thumb for probabilistic problems in computer communications"). Points
//! whose power cannot be told from the greatest by the 95 % intervals of E2E may be the knee too;
//! and since the curve was looked at only where it was measured, the knee lies between the
//! neighbours of all these.

use infermark_measure::{LoadPlan, Point};
use serde::Serialize;

/// Where the knee is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Knee {
    /// The point of the greatest power, by its place on the curve.
    pub point: usize,
    /// Its load: requests per second, or concurrency.
    pub load: f64,
    /// The loads between which the knee lies; an end is absent where the curve has none beyond.
    pub between: [Option<f64>; 2],
    /// The first and the last point that may be the knee.
    pub candidates: [usize; 2],
}

/// Where a point lies on a curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Less load than the knee.
    Under,
    /// The knee, as far as can be told.
    At,
    /// More load than the knee.
    Over,
}

impl Knee {
    /// Returns the knee of a curve, whose points are in the order of their loads; `None` stands
    /// for a point whose latency is of no use. Absent where no point has a rate and a latency.
    pub fn of(points: &[Option<&Point>]) -> Option<Self> {
        let powers: Vec<_> = points.iter().map(|point| power((*point)?)).collect();
        let known = || powers.iter().enumerate().filter_map(|(i, p)| Some((i, (*p)?)));
        let (point, greatest) = known().max_by(|a, b| a.1.mean.total_cmp(&b.1.mean))?;
        let mut maybe = known().filter(|(_, power)| power.high >= greatest.low).map(|(i, _)| i);
        let first = maybe.next()?;
        let last = maybe.next_back().unwrap_or(first);
        let at = |index: usize| points.get(index).copied().flatten().map(|point| load(&point.load));
        let before = first.checked_sub(1).and_then(at);
        let load = at(point)?;
        Some(Self { point, load, between: [before, at(last + 1)], candidates: [first, last] })
    }

    /// Says on which side of the knee a point lies.
    pub fn side(&self, point: usize) -> Side {
        let [first, last] = self.candidates;
        match point {
            _ if point < first => Side::Under,
            _ if point > last => Side::Over,
            _ => Side::At,
        }
    }
}

/// Returns a load as a number: requests per second (of a trace, their mean), or concurrency.
pub fn load(plan: &LoadPlan) -> f64 {
    match *plan {
        LoadPlan::Closed { concurrency } => f64::from(concurrency),
        LoadPlan::Open { rate_rps, .. } => rate_rps,
        LoadPlan::Trace { rate_rps, .. } => rate_rps.unwrap_or_default(),
    }
}

#[derive(Clone, Copy)]
struct Power {
    low: f64,
    mean: f64,
    high: f64,
}

fn power(point: &Point) -> Option<Power> {
    let (rate, e2e) = (point.rates?.requests_per_s, point.latency.e2e_ms?);
    let [low, high] = e2e.mean_ci95.unwrap_or([e2e.mean; 2]);
    Some(Power { low: rate / high, mean: rate / e2e.mean, high: rate / low })
        .filter(|power| power.mean.is_finite() && low > 0.0)
}
