//! Closed loop: slots, each sending its next request the moment its last one ended.
//!
//! Slots are handed over one by one; nobody waits until all are free. The k-th request of shard
//! i of n has the id k·n + i, so no two shards ever share one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use infermark_scenario::intent::Bounds;
use infermark_terms::{Due, Nanos, Next, Pacer, RequestId, Shard, Stamp};

/// How slots begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// All at once: a batch.
    Together,
    /// One after another. Slots that begin together stay together as long as the server answers
    /// them alike, and a loop that was meant to be steady becomes a train of bursts.
    InTurn,
}

/// From one slot's beginning to the next's, unless that would take more than
/// [`ENTRY_MAX`] for all.
const ENTRY_GAP: Nanos = Nanos::from_millis(1);

/// The longest time for all slots to begin.
const ENTRY_MAX: Nanos = Nanos::from_secs(1);

impl Entry {
    /// Returns how long after the load's beginning a slot begins, of `slots` over all shards.
    fn delay(self, slot: u64, slots: u64) -> Nanos {
        match self {
            Self::Together => Nanos::ZERO,
            Self::InTurn => ENTRY_GAP.min(Nanos(ENTRY_MAX.0 / slots)) * slot,
        }
    }

    /// Returns when the shard's own of `slots` slots begin, of a load that begins at `start`.
    pub(crate) fn instants(
        self,
        slots: u32,
        start: Stamp,
        shard: Shard,
    ) -> impl Iterator<Item = Stamp> {
        let (index, count) = (u64::from(shard.index()), u64::from(shard.count()));
        let begins = move |slot| start + self.delay(slot * count + index, slots.into());
        (0..shard.share(slots.into())).map(begins)
    }
}

/// The pacer of one shard's share of the slots.
pub(crate) struct Closed {
    /// When each free slot became free, the earliest on top.
    ///
    /// A driver reports completions in the order in which it found them; sorting them gives
    /// each its own instant as `due` although these may not decrease.
    free: BinaryHeap<Reverse<Stamp>>,
    /// Slots of this shard, free or not.
    slots: u64,
    /// When the warm-up ends.
    opens: Stamp,
    /// How many requests may still be due at or after `opens`.
    left: u64,
    /// The next request's number.
    id: RequestId,
    /// From one request of this shard to its next.
    stride: u64,
    /// The previous `due`. A completion that is reported only after a later one has been handed
    /// over counts from here: its lag is then too small by as much as the report was late.
    last: Stamp,
}

impl Closed {
    pub(crate) fn new(
        slots: u32,
        entry: Entry,
        bounds: &Bounds,
        start: Stamp,
        shard: Shard,
    ) -> Self {
        Self {
            free: entry.instants(slots, start, shard).map(Reverse).collect(),
            slots: shard.share(slots.into()),
            opens: start + bounds.warmup,
            left: bounds.requests.map_or(u64::MAX, |requests| shard.share(requests)),
            id: RequestId(shard.index().into()),
            stride: shard.count().into(),
            last: start,
        }
    }
}

impl Pacer for Closed {
    fn poll(&mut self, now: Stamp) -> Next {
        let free = self.free.peek().map(|slot| slot.0.max(self.last));
        if self.left == 0 && free.unwrap_or(self.last) >= self.opens {
            return Next::Done;
        }
        let Some(at) = free else { return Next::AwaitCompletion };
        if at > now {
            return Next::Wait(at);
        }
        let due = Due::new(self.id, at);
        let _ = self.free.pop();
        self.left -= u64::from(at >= self.opens);
        self.id.0 += self.stride;
        self.last = at;
        Next::Send(due)
    }

    fn completed(&mut self, _id: RequestId, at: Stamp) {
        assert!((self.free.len() as u64) < self.slots, "a request ends only once");
        self.free.push(Reverse(at));
    }

    fn take_held(&mut self, _now: Stamp) -> Vec<Due> {
        Vec::new()
    }
}
