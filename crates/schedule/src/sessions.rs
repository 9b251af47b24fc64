//! Sessions: conversations whose turns follow one another.
//!
//! ```text
//!  session ─▶ turn 0 ─▶ answer ─ think ─▶ turn 1 ─▶ answer ─ think ─▶ turn 2 ─▶ answer
//!             due                         due = end of the answer + think time
//! ```
//!
//! Sessions begin by arrivals of their own, or in slots. A slot that holds a session is free when
//! the session is over; one that holds a request is free when that ends, and takes the turn that
//! has waited longest, else begins another session.
//!
//! # Invariants
//!
//! - A session's turns are due one after another, each after the end of the one before it. One that
//!   fails is its session's last.
//! - Sessions are dealt in turn to the shards; how many turns one has and how long its user thinks
//!   follow from the seed and its number.
//!
//! Deliberately not here: what a turn says.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::iter::Peekable;
use std::sync::Arc;

use infermark_scenario::intent::{self, Bounds, Counted, ThinkTime};
use infermark_terms::{Due, Nanos, Next, Pacer, RequestId, Seed, Shard, Stamp, Turn};

/// Says how many turns a session has; at least 1.
pub type TurnsOf = Arc<dyn Fn(u64) -> u32 + Send + Sync>;

/// The longest that a user thinks, so that no instant overflows: 30 days.
const THINK_MAX: Nanos = Nanos::from_secs(30 * 24 * 3600);

/// What lets sessions begin.
pub(crate) enum Starts {
    /// Arrivals, whatever the server does; the id is the session's number. There are no more of
    /// them than sessions may begin.
    Arrivals(Peekable<Box<dyn Iterator<Item = Due> + Send>>),
    /// Slots, each from when it is free.
    Slots { free: BinaryHeap<Reverse<Stamp>>, counted: Counted },
}

/// The pacer of one shard's sessions.
pub(crate) struct Sessions {
    starts: Starts,
    /// Turns whose users think, or wait for a slot, by when they are ready.
    thinking: BinaryHeap<Reverse<(Stamp, Turn)>>,
    under_way: BTreeMap<RequestId, Turn>,
    turns: TurnsOf,
    think_time: ThinkTime,
    seed: Seed,
    /// When the warm-up ends.
    opens: Stamp,
    /// How many requests may still be due at or after `opens`.
    left: u64,
    /// How many sessions may still begin then.
    to_begin: u64,
    /// The next session's number, in slots.
    session: u64,
    id: RequestId,
    /// From one request or session of this shard to its next.
    stride: u64,
    /// The previous `due`, before which none that is learned of late can be.
    last: Stamp,
}

/// What is due next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    Begin,
    GoOn,
}

impl Sessions {
    pub(crate) fn new(
        starts: Starts,
        plan: &intent::Sessions,
        turns: TurnsOf,
        bounds: &Bounds,
        start: Stamp,
        seed: Seed,
        shard: Shard,
    ) -> Self {
        let own = |total: Option<u64>| total.map_or(u64::MAX, |total| shard.share(total));
        let to_begin = match starts {
            // Which sessions of the whole are a shard's own depends on how many the warm-up took.
            Starts::Arrivals(_) => u64::MAX,
            Starts::Slots { .. } => own(plan.limit),
        };
        Self {
            starts,
            thinking: BinaryHeap::new(),
            under_way: BTreeMap::new(),
            turns,
            think_time: plan.think_time,
            seed: seed.named("think time"),
            opens: start + bounds.warmup,
            left: own(bounds.requests),
            to_begin,
            session: shard.index().into(),
            id: RequestId(shard.index().into()),
            stride: shard.count().into(),
            last: start,
        }
    }

    /// Returns what is due next and when; nothing before something ends.
    fn upcoming(&mut self) -> Option<(Stamp, Move)> {
        let ready = self.thinking.peek().map(|Reverse((at, _))| *at);
        let (begins, slot) = match &mut self.starts {
            Starts::Arrivals(arrivals) => (arrivals.peek().map(|due| due.at), None),
            Starts::Slots { free, counted } => {
                let slot = free.peek().map(|Reverse(at)| *at);
                (slot, (*counted == Counted::Requests).then_some(slot))
            }
        };
        let spent = self.to_begin == 0 && begins.is_some_and(|at| at >= self.opens);
        let begins = begins.filter(|_| !spent);
        let (at, what) = match (slot, ready, begins) {
            // Every request needs a slot, and none is free.
            (Some(None), _, _) => return None,
            (Some(Some(slot)), Some(ready), begins) if ready <= slot || begins.is_none() => {
                (ready.max(slot), Move::GoOn)
            }
            (None, Some(ready), begins) if begins.is_none_or(|at| ready <= at) => {
                (ready, Move::GoOn)
            }
            (_, _, Some(at)) => (at, Move::Begin),
            (_, _, None) => return None,
        };
        Some((at.max(self.last), what))
    }

    /// Takes the turn that is due at `at`.
    fn take(&mut self, at: Stamp, what: Move) -> Turn {
        let begun = match (&mut self.starts, what) {
            (Starts::Arrivals(_), Move::GoOn) => None,
            (Starts::Arrivals(arrivals), Move::Begin) => arrivals.next().map(|due| due.id.0),
            (Starts::Slots { free, counted }, _) => {
                if what == Move::Begin || *counted == Counted::Requests {
                    let _: Option<Reverse<Stamp>> = free.pop();
                }
                (what == Move::Begin).then_some(self.session)
            }
        };
        let Some(session) = begun else {
            let Reverse((_, turn)) = self.thinking.pop().expect("a turn was due");
            return turn;
        };
        self.session = session + self.stride;
        self.to_begin = self.to_begin.saturating_sub(u64::from(at >= self.opens));
        Turn { session, index: 0 }
    }

    /// Frees what the request held, and returns which turn it was.
    fn release(&mut self, id: RequestId, at: Stamp, goes_on: impl Fn(&Self, Turn) -> bool) {
        let turn = self.under_way.remove(&id).expect("a request ends only once");
        let goes_on = goes_on(self, turn);
        if goes_on {
            let next = Turn { index: turn.index + 1, ..turn };
            self.thinking.push(Reverse((at + self.think(next), next)));
        }
        if let Starts::Slots { free, counted } = &mut self.starts
            && (*counted == Counted::Requests || !goes_on)
        {
            free.push(Reverse(at));
        }
    }

    /// Returns how long the user thinks before this turn.
    fn think(&self, turn: Turn) -> Nanos {
        // Above 0, so that its logarithm exists.
        let share = self.seed.at(turn.session).at(turn.index.into()).unit_above_zero();
        let time = match self.think_time {
            ThinkTime::Fixed(time) => time,
            ThinkTime::Uniform { min, max } => {
                min + Nanos((max.saturating_sub(min).0 as f64 * share) as u64)
            }
            ThinkTime::Exponential { mean } => {
                Nanos::from_secs_f64(mean.as_secs_f64() * -share.ln())
            }
        };
        time.min(THINK_MAX)
    }
}

impl Pacer for Sessions {
    fn poll(&mut self, now: Stamp) -> Next {
        let next = self.upcoming();
        let earliest = next.map_or(self.last, |(at, _)| at);
        if self.left == 0 && earliest >= self.opens {
            return Next::Done;
        }
        let Some((at, what)) = next else {
            return if self.under_way.is_empty() { Next::Done } else { Next::AwaitCompletion };
        };
        if at > now {
            return Next::Wait(at);
        }
        let turn = self.take(at, what);
        let due = Due { id: self.id, at, turn: Some(turn) };
        let _: Option<Turn> = self.under_way.insert(due.id, turn);
        self.left -= u64::from(at >= self.opens);
        self.id.0 += self.stride;
        self.last = at;
        Next::Send(due)
    }

    fn completed(&mut self, id: RequestId, at: Stamp) {
        self.release(id, at, |all, turn| turn.index + 1 < (all.turns)(turn.session));
    }

    fn failed(&mut self, id: RequestId, at: Stamp) {
        self.release(id, at, |_, _| false);
    }

    fn take_held(&mut self, _now: Stamp) -> Vec<Due> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
