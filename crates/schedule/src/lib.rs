//! When each request is due: a [`Pacer`] for each kind of load.
//!
//! ```text
//!  Load::Open ─────── gaps ──▶ curve ──▶ open ──▶ (capped) ─┐
//!                    (law)    (rate)   (arrivals)           │
//!  Load::Trace ────── instants ───────▶ open ──▶ (capped) ─┼─▶ Box<dyn Pacer>
//!  Load::Closed, Load::Throughput ─────▶ closed ────────────┤
//!  any but a trace, in sessions ───────▶ sessions ──────────┘
//! ```
//!
//! | module | idea |
//! |---|---|
//! | `gaps` | the law of arrivals: random gaps of mean 1 |
//! | `curve` | the rate over time: where a sum of such gaps lies in time |
//! | `open` | arrivals whatever the server does |
//! | `closed` | slots that send again the moment they are free |
//! | `sessions` | conversations: a turn follows the end of the one before it |
//! | `capped` | a limit on the requests in flight, around another pacer |
//!
//! # Invariants
//!
//! - Everything is a function of the arguments: load, bounds, start, seed and shard. No part
//!   reads a clock.
//! - Open loop: the shards' arrivals together are exactly the arrivals of the whole, with the
//!   same ids and instants, whatever the number of shards; no instant depends on when anyone
//!   polls or on rounding before it. Of sessions, that holds for their beginnings.
//! - Ids are dealt in turn: a shard yields only ids that [`Shard::owns`] gives it.
//!
//! Deliberately not here: what is asked (`workload`); when a run closes, and what happens to
//! those who come too late (`drive`).

mod capped;
mod closed;
mod curve;
mod gaps;
mod open;
mod sessions;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::sync::Arc;

use infermark_scenario::intent::{self, Bounds, Load};
use infermark_terms::{Due, Nanos, Pacer, RequestId, Seed, Shard, Stamp, Window};

use crate::capped::Capped;
use crate::closed::{Closed, Entry};
use crate::open::{Open, Sequence};
use crate::sessions::{Sessions, Starts};

pub use crate::sessions::TurnsOf;

/// Returns the window of a run whose load, warm-up included, begins at `start`.
///
/// Where requests bound the run too, they may all have ended before the planned end.
pub fn window(bounds: &Bounds, start: Stamp) -> Window {
    let opens = start + bounds.warmup;
    Window { start: opens, end: bounds.duration.map(|length| opens + length) }
}

/// Returns into how many shards this load can be dealt at most.
///
/// Slots and places under a cap are whole: more shards than those would leave some without.
pub fn most_shards(load: &Load, bounds: &Bounds) -> u32 {
    match *load {
        Load::Closed { concurrency } => concurrency,
        Load::Open { max_concurrency, .. } | Load::Trace { max_concurrency, .. } => {
            max_concurrency.unwrap_or(u32::MAX)
        }
        Load::Throughput { max_concurrency } => throughput_slots(max_concurrency, bounds),
    }
}

/// Returns the pacer of one shard of a run whose load, warm-up included, begins at `start`.
///
/// `seed` is the run's root. With `bounds.requests`, so many requests are due at or after the
/// end of the warm-up over all shards, then the pacer is done: in open loop exactly the first
/// ones of the whole sequence, in closed loop each shard's share. With `bounds.duration` alone
/// it is never done: load goes on through the cool-down until the driver stops asking.
///
/// # Panics
///
/// If there are more shards than [`most_shards`]; if a ramp has no duration (a scenario refuses
/// that); if the load is a trace, whose instants are not in the scenario: see [`replay`].
pub fn pacer(
    load: &Load,
    bounds: &Bounds,
    start: Stamp,
    seed: Seed,
    shard: Shard,
) -> Box<dyn Pacer> {
    assert!(shard.count() <= most_shards(load, bounds), "more shards than slots");
    match *load {
        Load::Closed { concurrency } => {
            Box::new(Closed::new(concurrency, Entry::InTurn, bounds, start, shard))
        }
        Load::Throughput { max_concurrency } => {
            let slots = throughput_slots(max_concurrency, bounds);
            Box::new(Closed::new(slots, Entry::Together, bounds, start, shard))
        }
        Load::Open { rate, arrivals, max_concurrency } => {
            let whole = Sequence::new(rate, arrivals, bounds, start, seed);
            open(whole, max_concurrency, shard)
        }
        Load::Trace { .. } => panic!("a trace is replayed from its instants"),
    }
}

/// Returns the pacer of one shard of a run that replays a trace, warm-up included, from `start`.
///
/// `instants` are when the trace's requests come since its beginning, in order; a request's id is
/// its place among them. The pacer is done after the last, or after the first
/// `bounds.requests` due at or after the end of the warm-up.
///
/// # Panics
///
/// If there are more shards than `max_concurrency`.
pub fn replay(
    instants: &Arc<[Nanos]>,
    max_concurrency: Option<u32>,
    bounds: &Bounds,
    start: Stamp,
    shard: Shard,
) -> Box<dyn Pacer> {
    assert!(shard.count() <= max_concurrency.unwrap_or(u32::MAX), "more shards than places");
    let warmup = instants.partition_point(|at| *at < bounds.warmup);
    let measured = bounds.requests.map_or(usize::MAX, |requests| requests as usize);
    let count = instants.len().min(warmup.saturating_add(measured));
    let instants = Arc::clone(instants);
    let whole = (0..count).map(move |id| Due::new(RequestId(id as u64), start + instants[id]));
    open(whole, max_concurrency, shard)
}

/// Returns the pacer of one shard of a run in sessions whose load, warm-up included, begins at
/// `start`. `turns` says how many turns each session has.
///
/// A closed loop's slots hold sessions or requests, as `plan` counts; an open loop's arrivals are
/// sessions. With `bounds.requests`, each shard's share of them is due at or after the end of the
/// warm-up, whatever sessions they belong to; with `plan.limit`, so many sessions begin then, and
/// the pacer is done when they are over.
///
/// # Panics
///
/// As [`pacer`].
pub fn sessions(
    load: &Load,
    bounds: &Bounds,
    plan: &intent::Sessions,
    turns: TurnsOf,
    start: Stamp,
    seed: Seed,
    shard: Shard,
) -> Box<dyn Pacer> {
    assert!(shard.count() <= most_shards(load, bounds), "more shards than slots");
    let slots = |slots, entry: Entry| {
        let free = entry.instants(slots, start, shard).map(Reverse).collect();
        Starts::Slots { free, counted: plan.counted }
    };
    let mut cap = None;
    let starts = match *load {
        Load::Closed { concurrency } => slots(concurrency, Entry::InTurn),
        Load::Throughput { max_concurrency } => {
            slots(throughput_slots(max_concurrency, bounds), Entry::Together)
        }
        Load::Open { rate, arrivals, max_concurrency } => {
            cap = max_concurrency;
            let bounds = Bounds { requests: plan.limit, ..*bounds };
            let whole = Sequence::new(rate, arrivals, &bounds, start, seed);
            let own: Box<dyn Iterator<Item = Due> + Send> =
                Box::new(whole.filter(move |due| shard.owns(due.id)));
            Starts::Arrivals(own.peekable())
        }
        Load::Trace { .. } => panic!("a trace's requests are no sessions"),
    };
    let sessions = Sessions::new(starts, plan, turns, bounds, start, seed, shard);
    match cap {
        None => Box::new(sessions),
        Some(cap) => Box::new(Capped::new(sessions, shard.share(cap.into()))),
    }
}

/// Returns the pacer of the shard's own of these arrivals.
fn open(
    whole: impl Iterator<Item = Due> + Send + 'static,
    max_concurrency: Option<u32>,
    shard: Shard,
) -> Box<dyn Pacer> {
    let open = Open::new(whole.filter(move |due| shard.owns(due.id)));
    match max_concurrency {
        None => Box::new(open),
        Some(cap) => Box::new(Capped::new(open, shard.share(cap.into()))),
    }
}

/// "As fast as it goes" is a closed loop with a slot for every request that may be in flight:
/// all of a request-bounded run, so that all are due at once.
fn throughput_slots(max_concurrency: Option<u32>, bounds: &Bounds) -> u32 {
    let all = |requests: u64| u32::try_from(requests).unwrap_or(u32::MAX);
    max_concurrency.or(bounds.requests.map(all)).unwrap_or(Load::THROUGHPUT_SLOTS)
}
