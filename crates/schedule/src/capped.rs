//! A limit on the requests in flight, around any pacer.
//!
//! While the limit is reached, arrivals that fall due wait inside, first come, first served, and
//! leave with their own `due` as places become free: the wait is lag, and nothing hides it. The
//! inner pacer is itself the queue: held arrivals are those that it has not yet been asked for.

use infermark_terms::{Due, Next, Pacer, RequestId, Stamp};

/// A pacer with at most `cap` requests in flight.
pub(crate) struct Capped<P> {
    inner: P,
    cap: u64,
    in_flight: u64,
}

impl<P: Pacer> Capped<P> {
    pub(crate) fn new(inner: P, cap: u64) -> Self {
        Self { inner, cap, in_flight: 0 }
    }
}

impl<P: Pacer> Pacer for Capped<P> {
    fn poll(&mut self, now: Stamp) -> Next {
        if self.in_flight == self.cap {
            return Next::AwaitCompletion;
        }
        let next = self.inner.poll(now);
        self.in_flight += u64::from(matches!(next, Next::Send(_)));
        next
    }

    fn completed(&mut self, id: RequestId, at: Stamp) {
        assert!(self.in_flight > 0, "a request ends only once");
        self.in_flight -= 1;
        self.inner.completed(id, at);
    }

    fn failed(&mut self, id: RequestId, at: Stamp) {
        self.in_flight -= 1;
        self.inner.failed(id, at);
    }

    /// All arrivals due by `now` that were not sent, whether or not a place is free just now.
    fn take_held(&mut self, now: Stamp) -> Vec<Due> {
        let mut held = self.inner.take_held(now);
        while let Next::Send(due) = self.inner.poll(now) {
            held.push(due);
        }
        held
    }
}
