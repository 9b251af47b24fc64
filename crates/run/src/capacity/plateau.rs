//! Where more requests in flight bring no more: the plateau of a closed loop.
//!
//! A closed loop asks no more than is answered, so it never saturates: past the plateau each
//! further slot only waits, and what it waits for the others grows in a straight line (Little's
//! law: slots = throughput × E2E, with the throughput constant). So from the runs there one can
//! tell at how many slots a latency would reach its limit. Where that is far off, or nothing
//! grows, more doubling buys nothing: the objective holds wherever the server gives more.

use infermark_terms::slo::{Bound, Side};

use super::evidence::Evidence;
use super::{Binding, Plateau};
use crate::sweep::GAIN_MIN;

/// So many doublings in a row must bring less than [`GAIN_MIN`] together: one may by chance.
const DOUBLINGS: usize = 2;
/// A bound that would give way at up to so many times the slots of the last run is looked for.
const AHEAD_MAX: f64 = 8.0;

/// What the last runs say lies beyond them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Beyond {
    /// Where throughput stops rising.
    pub(super) plateau: Plateau,
    /// Which bound would give way first, should waits grow on as they do, and at how many slots;
    /// absent where none grows.
    pub(super) breaks: Option<(f64, Binding)>,
}

impl Beyond {
    /// Returns what lies beyond runs in the order of their slots; nothing where throughput still
    /// rises.
    pub(super) fn of(runs: &[&Evidence]) -> Option<Self> {
        let last = runs.last()?;
        let before = runs.len().checked_sub(DOUBLINGS + 1)?;
        let most = |runs: &[&Evidence]| runs.iter().map(|run| run.pace).fold(0.0, f64::max);
        let until = most(&runs[..=before]);
        let greatest = most(runs);
        if greatest >= until * (1.0 + GAIN_MIN) {
            return None;
        }
        let first = runs.iter().find(|run| run.pace * (1.0 + GAIN_MIN) >= greatest)?;
        let plateau = Plateau { from: first.load, requests_per_s: greatest };
        let flat: Vec<_> = runs.iter().filter(|run| run.load >= first.load).copied().collect();
        Some(Self { plateau, breaks: breaks(&flat, last.load) })
    }

    /// Says whether no bound gives way within reach.
    pub(super) fn is_all(&self, last: f64) -> bool {
        self.breaks.is_none_or(|(slots, _)| slots > AHEAD_MAX * last)
    }
}

/// Returns the first bound that the straight line through these runs takes to its limit, and where:
/// at the last load at the earliest, since there it is still met.
fn breaks(runs: &[&Evidence], last: f64) -> Option<(f64, Binding)> {
    let bounds = runs.last()?.levels.iter().map(|level| level.0);
    let lines = bounds.filter_map(|bound| {
        let seen = runs.iter().filter_map(|run| {
            let (_, value) = *run.levels.iter().find(|level| level.0 == bound)?;
            Some((run.load, left(bound, value)))
        });
        let slots = crossing(&seen.collect::<Vec<_>>())?;
        Some((slots.max(last), Binding::Bound(bound)))
    });
    lines.min_by(|a, b| a.0.total_cmp(&b.0))
}

/// Returns where the least-squares line through these falls to 0; nothing where it does not fall.
fn crossing(seen: &[(f64, f64)]) -> Option<f64> {
    let mean = |of: fn(&(f64, f64)) -> f64| seen.iter().map(of).sum::<f64>() / seen.len() as f64;
    let (middle, height) = (mean(|one| one.0), mean(|one| one.1));
    let spread: f64 = seen.iter().map(|one| (one.0 - middle).powi(2)).sum();
    let falls: f64 = seen.iter().map(|one| (one.0 - middle) * (height - one.1)).sum();
    (falls > 0.0).then(|| middle + height * spread / falls)
}

/// Returns how much is left of a bound.
fn left(Bound { subject, limit }: Bound, value: f64) -> f64 {
    match subject.side() {
        Side::AtMost => limit - value,
        Side::AtLeast => value - limit,
    }
}
