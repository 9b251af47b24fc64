//! The laws of sessions, in virtual time against a server that is a function.

use std::collections::BTreeSet;

use infermark_scenario::intent::{Arrivals, Distribution, Load, RateCurve, TurnCount};
use proptest::prelude::*;

use super::*;
use crate::{pacer, sessions};

const START: Stamp = Stamp(5_000_000);

/// How a turn ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Answered,
    Failed,
}

/// A run in sessions of four turns, whose users think for a second.
struct Talk {
    load: Load,
    plan: intent::Sessions,
    bounds: Bounds,
    shard: Shard,
}

impl Talk {
    fn of(load: Load) -> Self {
        let plan = intent::Sessions {
            turns: TurnCount::Drawn(Distribution::Fixed(4)),
            think_time: ThinkTime::Fixed(Nanos::from_secs(1)),
            counted: Counted::Sessions,
            limit: None,
        };
        let bounds =
            Bounds { requests: None, duration: None, warmup: Nanos::ZERO, drain: Nanos::ZERO };
        Self { load, plan, bounds, shard: Shard::WHOLE }
    }

    fn closed(concurrency: u32) -> Self {
        Self::of(Load::Closed { concurrency })
    }

    fn open(rate: f64) -> Self {
        let rate = RateCurve::Steady(rate);
        Self::of(Load::Open { rate, arrivals: Arrivals::Poisson, max_concurrency: None })
    }

    fn pacer(&self) -> Box<dyn Pacer> {
        let turns: TurnsOf = Arc::new(|_| 4);
        sessions(&self.load, &self.bounds, &self.plan, turns, START, Seed(1), self.shard)
    }

    /// Drives it for so many seconds against a server that answers as `service` says.
    fn run(&self, secs: u64, service: impl Fn(Due) -> (Nanos, End)) -> Trip {
        let mut pacer = self.pacer();
        let stop = START + Nanos::from_secs(secs);
        let mut now = Stamp::ZERO;
        let mut ends = BinaryHeap::new();
        let mut trip = Trip::default();
        loop {
            let wake = match pacer.poll(now) {
                Next::Send(due) => {
                    assert!(due.at <= now);
                    let (time, end) = service(due);
                    ends.push(Reverse((now + time, due.id, end == End::Answered)));
                    trip.seen.push((due, now + time));
                    trip.peak = trip.peak.max(ends.len());
                    continue;
                }
                Next::Wait(until) => until,
                Next::AwaitCompletion => Stamp::NEVER,
                Next::Done => {
                    trip.done = true;
                    break;
                }
            };
            let next = ends.peek().map_or(Stamp::NEVER, |Reverse((at, ..))| *at);
            now = wake.min(next);
            if now >= stop {
                break;
            }
            if next <= now {
                let Reverse((at, id, answered)) = ends.pop().unwrap();
                if answered { pacer.completed(id, at) } else { pacer.failed(id, at) }
            }
        }
        trip
    }
}

#[derive(Default)]
struct Trip {
    /// What was due, and when it ended.
    seen: Vec<(Due, Stamp)>,
    peak: usize,
    done: bool,
}

impl Trip {
    fn turn(&self, session: u64, index: u32) -> Option<(Due, Stamp)> {
        self.seen.iter().copied().find(|(due, _)| due.turn == Some(Turn { session, index }))
    }

    fn sessions(&self) -> BTreeSet<u64> {
        self.seen.iter().map(|(due, _)| due.turn.unwrap().session).collect()
    }
}

/// Times that differ from turn to turn.
fn uneven(due: Due) -> (Nanos, End) {
    (Nanos::from_millis(200 + 37 * (due.id.0 % 11)), End::Answered)
}

#[test]
fn a_turn_is_due_when_the_one_before_it_ended_and_its_user_has_thought() {
    for talk in [Talk::closed(5), Talk::open(2.0)] {
        let trip = talk.run(60, uneven);
        let followed = trip.seen.iter().filter(|(due, _)| due.turn.unwrap().index > 0);
        let mut count = 0;
        for (due, _) in followed {
            let Turn { session, index } = due.turn.unwrap();
            let (_, ended) = trip.turn(session, index - 1).unwrap();
            assert_eq!(due.at, ended + Nanos::from_secs(1));
            count += 1;
        }
        assert!(count > 100, "{count}");
    }
}

#[test]
fn a_slot_of_sessions_begins_the_next_when_its_last_is_over() {
    let trip = Talk::closed(1).run(60, uneven);
    let (_, ended) = trip.turn(0, 3).unwrap();
    assert_eq!(trip.turn(1, 0).unwrap().0.at, ended);
    assert_eq!((trip.turn(0, 4), trip.peak), (None, 1));
}

#[test]
fn slots_of_requests_are_never_idle_while_users_think() {
    let mut talk = Talk::closed(4);
    talk.plan.counted = Counted::Requests;
    let trip = talk.run(60, uneven);
    assert_eq!(trip.peak, 4);
    // Each end frees a slot whose next request is due at that instant.
    let ends: BTreeSet<_> = trip.seen.iter().map(|(_, end)| *end).collect();
    let later = trip.seen.iter().filter(|(due, _)| due.at > START + Nanos::from_secs(1));
    assert!(later.clone().count() > 300);
    assert!(later.into_iter().all(|(due, _)| ends.contains(&due.at)));
    assert!(trip.turn(0, 3).is_some() && trip.sessions().len() > 50);
}

#[test]
fn in_open_loop_sessions_begin_when_requests_would_whatever_the_server_does() {
    let talk = Talk::open(3.0);
    let begins = |trip: Trip| -> Vec<_> {
        let firsts = trip.seen.into_iter().filter(|(due, _)| due.turn.unwrap().index == 0);
        firsts.map(|(due, _)| (due.turn.unwrap().session, due.at)).collect()
    };
    let slow = begins(talk.run(30, |_| (Nanos::from_secs(20), End::Answered)));
    assert_eq!(slow, begins(talk.run(30, uneven)));
    let mut alone = pacer(&talk.load, &talk.bounds, START, Seed(1), Shard::WHOLE);
    for (session, at) in slow {
        assert_eq!(alone.poll(at), Next::Send(Due::new(RequestId(session), at)));
    }
}

#[test]
fn a_turn_that_fails_is_its_sessions_last_and_frees_its_slot() {
    let third = |due: Due| match due.turn.unwrap() {
        Turn { session: 0, index: 2 } => (Nanos::from_millis(10), End::Failed),
        Turn { .. } => uneven(due),
    };
    let trip = Talk::closed(1).run(60, third);
    let (_, failed) = trip.turn(0, 2).unwrap();
    assert_eq!(trip.turn(0, 3), None);
    assert_eq!(trip.turn(1, 0).unwrap().0.at, failed);
}

#[test]
fn so_many_sessions_are_led_to_their_end_and_then_it_is_done() {
    for counted in [Counted::Sessions, Counted::Requests] {
        for mut talk in [Talk::closed(3), Talk::open(2.0)] {
            talk.plan = intent::Sessions { limit: Some(7), counted, ..talk.plan };
            let trip = talk.run(1000, uneven);
            assert!(trip.done);
            assert_eq!(trip.seen.len(), 28);
            assert_eq!(trip.sessions(), (0..7).collect());
        }
    }
}

#[test]
fn shards_begin_as_many_sessions_as_asked_whatever_the_warm_up_took() {
    for warmup in 1..12 {
        let mut begun = BTreeSet::new();
        for index in 0..3 {
            let mut talk = Talk::open(2.0);
            talk.plan.limit = Some(7);
            talk.bounds.warmup = Nanos::from_secs(warmup);
            talk.shard = Shard::new(index, 3).unwrap();
            let trip = talk.run(1000, uneven);
            assert!(trip.done);
            let opens = START + talk.bounds.warmup;
            let first = |(due, _): &(Due, Stamp)| due.at >= opens && due.turn.unwrap().index == 0;
            let sessions = trip.seen.iter().filter(|turn| first(turn));
            begun.extend(sessions.map(|(due, _)| due.turn.unwrap().session));
        }
        assert_eq!(begun.len(), 7, "after {warmup} s");
    }
}

#[test]
fn a_bound_on_requests_counts_turns_that_are_due_after_the_warm_up() {
    for mut talk in [Talk::closed(3), Talk::open(2.0)] {
        talk.bounds.requests = Some(20);
        talk.bounds.warmup = Nanos::from_secs(4);
        let trip = talk.run(1000, uneven);
        let opens = START + Nanos::from_secs(4);
        assert!(trip.done);
        assert_eq!(trip.seen.iter().filter(|(due, _)| due.at >= opens).count(), 20);
    }
}

#[test]
fn shards_share_sessions_and_ids_without_a_master() {
    let mut ids = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for index in 0..3 {
        let mut talk = Talk::open(4.0);
        talk.shard = Shard::new(index, 3).unwrap();
        for (due, _) in talk.run(30, uneven).seen {
            assert!(ids.insert(due.id) && talk.shard.owns(due.id));
            let turn = due.turn.unwrap();
            assert_eq!(turn.session % 3, u64::from(index));
            let _: bool = numbers.insert(turn.session);
        }
    }
    assert_eq!(numbers, Talk::open(4.0).run(30, uneven).sessions());
}

#[test]
fn think_times_have_the_law_that_was_asked_for() {
    let mut talk = Talk::closed(1);
    let mut times = |think_time| -> Vec<f64> {
        talk.plan.think_time = think_time;
        let bounds = &talk.bounds;
        let starts = Starts::Slots { free: BinaryHeap::new(), counted: Counted::Sessions };
        let turns: TurnsOf = Arc::new(|_| 4);
        let all = Sessions::new(starts, &talk.plan, turns, bounds, START, Seed(1), Shard::WHOLE);
        let turn = |session| Turn { session, index: 1 };
        (0..20_000).map(|session| all.think(turn(session)).as_secs_f64()).collect()
    };
    let mean = |times: &[f64]| times.iter().sum::<f64>() / times.len() as f64;
    let exponential = times(ThinkTime::Exponential { mean: Nanos::from_secs(2) });
    assert!((mean(&exponential) - 2.0).abs() < 0.05);
    // Of an exponential law a share of 1/e lies above the mean.
    let above = exponential.iter().filter(|&&time| time > 2.0).count() as f64 / 20_000.0;
    assert!((above - (-1.0_f64).exp()).abs() < 0.01);
    let (min, max) = (Nanos::from_secs(1), Nanos::from_secs(5));
    let uniform = times(ThinkTime::Uniform { min, max });
    assert!((mean(&uniform) - 3.0).abs() < 0.05);
    assert!(uniform.iter().all(|time| (1.0..=5.0).contains(time)));
}

proptest! {
    #[test]
    fn whatever_comes_dues_never_decrease_and_no_turn_comes_twice(
        slots in 1_u32..6,
        by_requests in any::<bool>(),
        times in proptest::collection::vec((1_u64..3000, any::<bool>()), 1..20),
    ) {
        let mut talk = Talk::closed(slots);
        talk.plan.counted = if by_requests { Counted::Requests } else { Counted::Sessions };
        let trip = talk.run(40, |due| {
            let (millis, answered) = times[due.id.0 as usize % times.len()];
            let end = if answered { End::Answered } else { End::Failed };
            (Nanos::from_millis(millis), end)
        });
        prop_assert!(trip.seen.is_sorted_by_key(|(due, _)| due.at));
        let turns: BTreeSet<_> = trip.seen.iter().map(|(due, _)| due.turn).collect();
        prop_assert_eq!(turns.len(), trip.seen.len());
        prop_assert!(trip.peak <= slots as usize);
    }
}
