//! When requests are due: the interface between schedules and the driver.
//!
//! ```text
//!           poll(now)                    send
//!  Pacer ─────────────▶ Next::Send(due) ──────▶ drive ──▶ server
//!    ▲                                            │
//!    └────────────── completed(id, at) ───────────┘
//! ```
//!
//! Open loop, closed loop, ramps, sessions and replay differ only in *when*, so *when* is a
//! value without IO. The driver is written once.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Stamp;

/// The index of an arrival in the run's whole sequence, over all shards, from 0.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which turn of which session a request is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Turn {
    /// The session's index in the run's whole sequence of sessions, over all shards, from 0.
    pub session: u64,
    /// Which of its turns, from 0.
    pub index: u32,
}

/// One arrival: which request, and when it should leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Which arrival.
    pub id: RequestId,
    /// The instant at which the schedule says it should leave. Computed, never sampled.
    pub at: Stamp,
    /// Which turn it is; absent where requests belong to no sessions.
    pub turn: Option<Turn>,
}

impl Due {
    /// Returns an arrival that belongs to no session.
    pub const fn new(id: RequestId, at: Stamp) -> Self {
        Self { id, at, turn: None }
    }
}

/// The planned window: `[start, end)`, or from `start` to the last request of a run that is
/// bounded by their number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When the warm-up ends.
    pub start: Stamp,
    /// When the window ends; absent for a run bounded by its number of requests alone.
    pub end: Option<Stamp>,
}

impl Window {
    /// Says whether a request due at this instant belongs to the measured population.
    pub fn holds(&self, due: Stamp) -> bool {
        due >= self.start && self.end.is_none_or(|end| due < end)
    }
}

/// A pacer's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this one now; it was due at `Due::at`, which is never later than `now`.
    Send(Due),
    /// Nothing before this instant. A completion may change that: poll again after each.
    Wait(Stamp),
    /// Nothing until a request completes.
    AwaitCompletion,
    /// No further arrival, ever.
    Done,
}

/// Says when each request is due. Never sleeps, sends, or reads a clock.
///
/// # Contract
///
/// - Within one pacer, `Due::at` never decreases from one `Send` to the next.
/// - In open loop, `due` does not depend on when `poll` is called, so lateness stays visible.
/// - Ids are those of the whole run: a shard yields only ids that no other shard yields.
/// - `poll` with a `now` earlier than a previous one is allowed and changes nothing.
pub trait Pacer: Send {
    /// Answers what to do at `now`. Each `Send` counts as sent: the next poll moves on.
    fn poll(&mut self, now: Stamp) -> Next;

    /// Learns that request `id` ended at `at`, whatever its outcome.
    fn completed(&mut self, id: RequestId, at: Stamp);

    /// Learns likewise that it ended without a complete answer: a session has nothing to go on
    /// from, and ends with it.
    fn failed(&mut self, id: RequestId, at: Stamp) {
        self.completed(id, at);
    }

    /// Returns the arrivals that fell due by `now` but were held back (a concurrency cap), and
    /// forgets them: the driver is closing and records each as shed. Empty for a pacer that
    /// holds nothing back.
    fn take_held(&mut self, now: Stamp) -> Vec<Due>;
}

/// Which part of a run this is: part `index` of `count`.
///
/// Parts are computed from the run's seed alone, so each thread and each machine knows its own
/// without a master, and the parts' union is the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// The whole run as one part.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Returns part `index` of `count`, or nothing unless `index < count`.
    pub const fn new(index: u32, count: u32) -> Option<Self> {
        if index < count { Some(Self { index, count }) } else { None }
    }

    /// Which part, from 0.
    pub const fn index(self) -> u32 {
        self.index
    }

    /// Of how many.
    pub const fn count(self) -> u32 {
        self.count
    }

    /// Says whether the arrival belongs to this part: arrivals are dealt in turn.
    pub const fn owns(self, id: RequestId) -> bool {
        id.0 % self.count as u64 == self.index as u64
    }

    /// Returns this part's share of `total` things dealt in turn.
    pub const fn share(self, total: u64) -> u64 {
        let count = self.count as u64;
        total / count + if (self.index as u64) < total % count { 1 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_agree_with_ownership() {
        for count in 1..8 {
            for total in 0..40_u64 {
                let shards: Vec<_> = (0..count).map(|i| Shard::new(i, count).unwrap()).collect();
                assert_eq!(shards.iter().map(|s| s.share(total)).sum::<u64>(), total);
                for shard in shards {
                    let owned = (0..total).filter(|&i| shard.owns(RequestId(i))).count();
                    assert_eq!(owned as u64, shard.share(total));
                }
            }
        }
        assert!(Shard::new(2, 2).is_none());
    }
}
