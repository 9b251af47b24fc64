//! Open loop: arrivals by their own law, whatever the server does.
//!
//! Arrivals are computed, one at a time and in order, so a backlog needs no memory: whoever has
//! fallen behind merely asks later for what is next.

use std::iter::Peekable;

use infermark_scenario::intent::{Arrivals, Bounds, RateCurve};
use infermark_terms::{Due, Nanos, Next, Pacer, RequestId, Seed, Stamp};

use crate::curve::Curve;
use crate::gaps::Gaps;

/// A pacer of arrivals that are known beforehand, in order of their instants.
pub(crate) struct Open<I: Iterator<Item = Due>> {
    arrivals: Peekable<I>,
}

impl<I: Iterator<Item = Due>> Open<I> {
    pub(crate) fn new(arrivals: I) -> Self {
        Self { arrivals: arrivals.peekable() }
    }
}

impl<I: Iterator<Item = Due> + Send> Pacer for Open<I> {
    fn poll(&mut self, now: Stamp) -> Next {
        match self.arrivals.next_if(|due| due.at <= now) {
            Some(due) => Next::Send(due),
            None => self.arrivals.peek().map_or(Next::Done, |due| Next::Wait(due.at)),
        }
    }

    fn completed(&mut self, _id: RequestId, _at: Stamp) {}

    fn take_held(&mut self, _now: Stamp) -> Vec<Due> {
        Vec::new()
    }
}

/// The arrivals of the whole run, over all shards.
///
/// Each shard computes the arrivals of all and keeps its own. One costs from ten to a hundred
/// nanoseconds, by law and curve; in return no shard needs to know anything of another.
pub(crate) struct Sequence {
    gaps: Gaps,
    curve: Curve,
    /// When load begins.
    start: Stamp,
    /// When the warm-up ends.
    opens: Stamp,
    /// How many may still come at or after `opens`.
    left: u64,
    /// The next arrival's number.
    id: RequestId,
    /// The sum of the gaps up to the next arrival. Summed before any rate or rounding to
    /// nanoseconds, so that neither accumulates.
    sum: f64,
    /// The instant of the previous arrival.
    last: Stamp,
}

impl Sequence {
    pub(crate) fn new(
        rate: RateCurve,
        law: Arrivals,
        bounds: &Bounds,
        start: Stamp,
        seed: Seed,
    ) -> Self {
        let mut gaps = Gaps::new(law, seed.named("arrivals"));
        let sum = gaps.first();
        Self {
            gaps,
            curve: Curve::new(rate, bounds),
            start,
            opens: start + bounds.warmup,
            left: bounds.requests.unwrap_or(u64::MAX),
            id: RequestId(0),
            sum,
            last: start,
        }
    }
}

impl Iterator for Sequence {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        if self.left == 0 {
            return None;
        }
        // The curve rises, but its rounded value may fall by a bit where its pieces meet.
        let at = self.start + Nanos::from_secs_f64(self.curve.time_of(self.sum));
        let due = Due::new(self.id, at.max(self.last));
        self.left -= u64::from(due.at >= self.opens);
        self.id.0 += 1;
        self.sum += self.gaps.draw();
        self.last = due.at;
        Some(due)
    }
}
