//! The front end: what a request passes before the scheduler sees it.
//!
//! One core parses, templates and tokenizes all requests at once, each getting an equal share:
//! processor sharing, as an event loop does. A fixed latency follows. So a single request waits
//! little, and a thousand that arrive together all wait for each other.

use std::collections::VecDeque;

use infermark_terms::Stamp;

/// The queue before the scheduler.
#[derive(Clone, Debug)]
pub(super) struct FrontEnd {
    /// Seconds on top, not shared.
    latency: f64,
    /// Work that each request in the core has received, had it been there from the start.
    served: f64,
    updated: Stamp,
    /// Requests in the core, each with the value of `served` at which it is done, lowest first.
    sharing: VecDeque<(f64, u32)>,
    /// Requests past the core, each with the instant at which it is ready.
    ready: VecDeque<(Stamp, u32)>,
}

impl FrontEnd {
    pub(super) fn new(latency: f64) -> Self {
        Self {
            latency,
            served: 0.0,
            updated: Stamp::ZERO,
            sharing: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    /// Takes a request that arrives at `now` and needs the core for `core` seconds.
    pub(super) fn push(&mut self, now: Stamp, slot: u32, core: f64) {
        self.advance(now);
        let done = self.served + core;
        let place = self.sharing.partition_point(|&(other, _)| other <= done);
        self.sharing.insert(place, (done, slot));
    }

    /// Returns when the next request is ready, if none arrives before.
    pub(super) fn next_instant(&self) -> Option<Stamp> {
        let ready = self.ready.front().map(|&(at, _)| at);
        let leaving = self.leaving().map(|at| at + seconds(self.latency));
        match (ready, leaving) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Returns the next request that is ready at `now`, oldest first.
    pub(super) fn pop(&mut self, now: Stamp) -> Option<u32> {
        self.advance(now);
        let &(at, slot) = self.ready.front()?;
        (at <= now).then(|| {
            let _ = self.ready.pop_front();
            slot
        })
    }

    /// Forgets a request; it is known to be here.
    pub(super) fn remove(&mut self, now: Stamp, slot: u32) {
        self.advance(now);
        self.sharing.retain(|&(_, other)| other != slot);
        self.ready.retain(|&(_, other)| other != slot);
    }

    /// Returns how many requests are here.
    pub(super) fn len(&self) -> usize {
        self.sharing.len() + self.ready.len()
    }

    /// When the first request leaves the core, if none arrives before.
    fn leaving(&self) -> Option<Stamp> {
        let &(done, _) = self.sharing.front()?;
        let left = (done - self.served).max(0.0) * self.sharing.len() as f64;
        Some(self.updated + seconds(left))
    }

    fn advance(&mut self, now: Stamp) {
        while let Some(at) = self.leaving()
            && at <= now
        {
            let (done, slot) = self.sharing.pop_front().expect("one is leaving");
            self.served = done;
            self.updated = at;
            self.ready.push_back((at + seconds(self.latency), slot));
        }
        if !self.sharing.is_empty() {
            self.served += now.since(self.updated).as_secs_f64() / self.sharing.len() as f64;
        }
        self.updated = self.updated.max(now);
    }
}

fn seconds(seconds: f64) -> infermark_terms::Nanos {
    infermark_terms::Nanos::from_secs_f64(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(front: &mut FrontEnd) -> Vec<(u64, u32)> {
        let mut out = Vec::new();
        while let Some(at) = front.next_instant() {
            while let Some(slot) = front.pop(at) {
                out.push((at.0, slot));
            }
        }
        out
    }

    #[test]
    fn one_request_waits_for_itself_and_many_wait_for_all() {
        let mut front = FrontEnd::new(0.005);
        front.push(Stamp::ZERO, 0, 0.010);
        assert_eq!(drain(&mut front), [(15_000_000, 0)]);
        for slot in 0..100 {
            front.push(Stamp(1_000_000_000), slot, 0.010);
        }
        let out = drain(&mut front);
        assert!(out.iter().all(|&(at, _)| at.abs_diff(2_005_000_000) < 200), "{out:?}");
        assert_eq!(out.len(), 100);
    }

    #[test]
    fn a_short_request_overtakes_a_long_one() {
        let mut front = FrontEnd::new(0.0);
        front.push(Stamp::ZERO, 0, 0.010);
        front.push(Stamp::ZERO, 1, 0.002);
        assert_eq!(drain(&mut front), [(4_000_000, 1), (12_000_000, 0)]);
    }

    #[test]
    fn without_a_cost_a_request_is_ready_at_once() {
        let mut front = FrontEnd::new(0.0);
        front.push(Stamp(5), 3, 0.0);
        assert_eq!(front.next_instant(), Some(Stamp(5)));
        assert_eq!(front.pop(Stamp(5)), Some(3));
        assert_eq!(front.next_instant(), None);
    }
}
