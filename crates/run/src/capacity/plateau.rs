//! Where more requests in flight bring no more: the plateau of a closed loop.
//!
//! A closed loop asks no more than is answered, so it never saturates: past the plateau each
//! further slot only waits, and what it waits for the others grows in a straight line (Little's
//! law: slots = throughput × E2E, with the throughput constant). So from two runs there one can
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
        Some(Self { plateau, breaks: breaks(runs[runs.len() - 2], last) })
    }

    /// Says whether no bound gives way within reach.
    pub(super) fn is_all(&self, last: f64) -> bool {
        self.breaks.is_none_or(|(slots, _)| slots > AHEAD_MAX * last)
    }
}

/// Returns the first bound that the straight lines through two runs take to its limit, and where.
fn breaks(one: &Evidence, other: &Evidence) -> Option<(f64, Binding)> {
    let lines = one.levels.iter().filter_map(|&(bound, before)| {
        let (_, value) = *other.levels.iter().find(|level| level.0 == bound)?;
        let steps = left(bound, value) / (left(bound, before) - left(bound, value));
        let slots = other.load + steps * (other.load - one.load);
        (steps.is_finite() && steps >= 0.0).then_some((slots, Binding::Bound(bound)))
    });
    lines.min_by(|a, b| a.0.total_cmp(&b.0))
}

/// Returns how much is left of a bound.
fn left(Bound { subject, limit }: Bound, value: f64) -> f64 {
    match subject.side() {
        Side::AtMost => limit - value,
        Side::AtLeast => value - limit,
    }
}
