//! The laws of every pacer, in virtual time against a server that is a function.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use infermark_scenario::intent::{Arrivals, Bounds, Load, RateCurve};
use infermark_terms::{Due, Nanos, Next, Pacer, RequestId, Seed, Shard, Stamp};
use proptest::prelude::*;

use super::*;

const START: Stamp = Stamp(5_000_000);
const SECOND: Nanos = Nanos::from_secs(1);

/// A run that is bounded by so many requests, so much time, or both.
fn bounds(requests: Option<u64>, secs: Option<u64>, warmup_secs: u64) -> Bounds {
    Bounds {
        requests,
        duration: secs.map(Nanos::from_secs),
        warmup: Nanos::from_secs(warmup_secs),
        drain: Nanos::ZERO,
    }
}

fn open(rate: RateCurve, arrivals: Arrivals, max_concurrency: Option<u32>) -> Load {
    Load::Open { rate, arrivals, max_concurrency }
}

fn whole(load: &Load, bounds: &Bounds) -> Box<dyn Pacer> {
    pacer(load, bounds, START, Seed(1), Shard::WHOLE)
}

/// What a driver saw of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    due: Due,
    sent: Stamp,
    end: Stamp,
}

/// What a driver saw of a run.
struct Trip {
    seen: Vec<Seen>,
    /// The most requests in flight at once.
    peak: usize,
    /// Whether the pacer was done before the driver stopped.
    done: bool,
}

impl Trip {
    fn dues(&self) -> Vec<Due> {
        self.seen.iter().map(|seen| seen.due).collect()
    }

    fn due_from(&self, instant: Stamp) -> u64 {
        self.seen.iter().filter(|seen| seen.due.at >= instant).count() as u64
    }
}

/// Drives a pacer until `stop`, as a driver that is never late: against a server that answers
/// request `id` after `service(id)`, jumping from event to event.
fn drive(pacer: &mut dyn Pacer, stop: Stamp, service: impl Fn(RequestId) -> Nanos) -> Trip {
    let mut now = Stamp::ZERO;
    let mut ends = BinaryHeap::new();
    let mut trip = Trip { seen: Vec::new(), peak: 0, done: false };
    loop {
        let next = pacer.poll(now);
        let wake = match next {
            Next::Send(due) => {
                assert!(due.at <= now, "{due:?} sent early at {now:?}");
                let end = now + service(due.id);
                trip.seen.push(Seen { due, sent: now, end });
                ends.push(Reverse((end, due.id)));
                trip.peak = trip.peak.max(ends.len());
                continue;
            }
            Next::Wait(until) => {
                assert!(until > now, "told to wait for the past");
                until
            }
            Next::AwaitCompletion => {
                assert!(!ends.is_empty(), "told to wait for nothing");
                Stamp::NEVER
            }
            Next::Done => {
                trip.done = true;
                break;
            }
        };
        assert_eq!(pacer.poll(now), next, "a poll that sends nothing changes nothing");
        let end = ends.peek().map_or(Stamp::NEVER, |Reverse((end, _))| *end);
        now = wake.min(end);
        if now > stop {
            break;
        }
        if now == end {
            let Reverse((at, id)) = ends.pop().unwrap();
            pacer.completed(id, at);
        }
    }
    assert!(trip.seen.is_sorted_by_key(|seen| seen.due.at), "due decreased");
    trip
}

/// Between 0 and 100 ms, differing from request to request.
fn uneven(id: RequestId) -> Nanos {
    Nanos(Seed(9).at(id.0).0 % 100_000_000)
}

fn arrivals_until(load: &Load, bounds: &Bounds, shard: Shard, stop: Stamp) -> Vec<Due> {
    let mut pacer = pacer(load, bounds, START, Seed(1), shard);
    drive(&mut *pacer, stop, |_| Nanos::ZERO).dues()
}

fn shards(count: u32) -> impl Iterator<Item = Shard> {
    (0..count).map(move |index| Shard::new(index, count).unwrap())
}

fn rates() -> impl Strategy<Value = RateCurve> {
    prop_oneof![
        (1.0..300.0).prop_map(RateCurve::Steady),
        (1.0..300.0, 1.0..300.0).prop_map(|(from, to)| RateCurve::Linear { from, to }),
        (1.0..300.0, 1.0..300.0).prop_map(|(from, to)| RateCurve::Exponential { from, to }),
    ]
}

fn laws() -> impl Strategy<Value = Arrivals> {
    prop_oneof![
        Just(Arrivals::Constant),
        Just(Arrivals::Poisson),
        (0.1..3.0).prop_map(|cv| Arrivals::Gamma { cv }),
    ]
}

fn spans() -> impl Strategy<Value = Bounds> {
    (prop::option::of(1_u64..300), 1_u64..4, 0_u64..3)
        .prop_map(|(requests, secs, warmup)| bounds(requests, Some(secs), warmup))
}

proptest! {
    #[test]
    fn the_shards_of_an_open_load_are_the_whole(
        rate in rates(), law in laws(), bounds in spans(), count in 1_u32..9,
    ) {
        let load = open(rate, law, None);
        let stop = START + SECOND * 6;
        let mut dealt = Vec::new();
        for shard in shards(count) {
            let part = arrivals_until(&load, &bounds, shard, stop);
            prop_assert!(part.iter().all(|due| shard.owns(due.id)));
            dealt.extend(part);
        }
        dealt.sort_by_key(|due| due.id);
        prop_assert_eq!(dealt, arrivals_until(&load, &bounds, Shard::WHOLE, stop));
    }

    #[test]
    fn due_in_open_loop_does_not_depend_on_when_one_polls(
        rate in rates(), law in laws(), bounds in spans(),
        naps in prop::collection::vec(0_u64..400_000_000, 1..60),
    ) {
        let load = open(rate, law, None);
        let mut sleepy = whole(&load, &bounds);
        let (mut now, mut found) = (START, Vec::new());
        for nap in naps {
            now = now + Nanos(nap);
            while let Next::Send(due) = sleepy.poll(now) {
                found.push(due);
            }
            // An earlier instant is allowed and changes nothing.
            prop_assert!(!matches!(sleepy.poll(START), Next::Send(_)));
        }
        prop_assert_eq!(found, arrivals_until(&load, &bounds, Shard::WHOLE, now));
    }

    #[test]
    fn an_open_load_bounded_by_requests_is_the_unbounded_one_cut_off(
        rate in rates(), law in laws(), requests in 1_u64..200, warmup in 0_u64..3,
    ) {
        let load = open(rate, law, None);
        let stop = START + SECOND * 1_000_000;
        let bounded = bounds(Some(requests), Some(2), warmup);
        let cut = drive(&mut *whole(&load, &bounded), stop, |_| Nanos::ZERO);
        prop_assert!(cut.done);
        prop_assert_eq!(cut.due_from(window(&bounded, START).start), requests);
        let last = cut.seen.last().unwrap().due.at;
        let mut endless = arrivals_until(&load, &bounds(None, Some(2), warmup), Shard::WHOLE, last);
        endless.truncate(cut.seen.len());
        prop_assert_eq!(cut.dues(), endless);
    }

    #[test]
    fn a_closed_loop_keeps_its_slots_full_and_no_fuller(
        slots in 1_u32..40, count in 1_u32..6, warmup in 0_u64..2,
    ) {
        let count = count.min(slots);
        let load = Load::Closed { concurrency: slots };
        let bounds = bounds(None, Some(2), warmup);
        let mut peaks = 0;
        for shard in shards(count) {
            let mut pacer = pacer(&load, &bounds, START, Seed(1), shard);
            let trip = drive(&mut *pacer, START + SECOND, uneven);
            prop_assert!(!trip.done);
            prop_assert!(trip.seen.iter().all(|seen| shard.owns(seen.due.id)));
            let own = shard.share(slots.into()) as usize;
            prop_assert_eq!(trip.peak, own);
            // Slots begin a millisecond after one another, and are handed over without
            // draining: a request is due and sent at the very instant at which one began or
            // ended.
            let index = u64::from(shard.index());
            let begins = |slot| START + Nanos::from_millis(slot * u64::from(count) + index);
            let ends = trip.seen.iter().map(|seen| seen.end);
            let mut free: Vec<_> = (0..own as u64).map(begins).chain(ends).collect();
            free.sort();
            for (seen, free) in trip.seen.iter().zip(free) {
                prop_assert_eq!((seen.due.at, seen.sent), (free, free));
            }
            peaks += trip.peak;
        }
        prop_assert_eq!(peaks, slots as usize);
    }

    #[test]
    fn a_closed_loop_sends_exactly_the_requests_that_bound_it(
        slots in 1_u32..40, count in 1_u32..6, requests in 1_u64..200, warmup in 0_u64..2,
    ) {
        let load = Load::Closed { concurrency: slots };
        let bounds = bounds(Some(requests), None, warmup);
        let opens = window(&bounds, START).start;
        let (mut ids, mut measured) = (Vec::new(), 0);
        for shard in shards(count.min(slots)) {
            let mut pacer = pacer(&load, &bounds, START, Seed(1), shard);
            let trip = drive(&mut *pacer, Stamp::NEVER, uneven);
            prop_assert!(trip.done);
            measured += trip.due_from(opens);
            ids.extend(trip.seen.iter().map(|seen| seen.due.id.0));
        }
        prop_assert_eq!(measured, requests);
        ids.sort_unstable();
        prop_assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "an id came twice");
        if warmup == 0 {
            prop_assert_eq!(ids, (0..requests).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_cap_holds_and_loses_nothing(
        rate in rates(), law in laws(), bounds in spans(), cap in 1_u32..20, count in 1_u32..4,
    ) {
        let stop = START + SECOND * 3;
        for shard in shards(count.min(cap)) {
            let load = open(rate, law, Some(cap));
            let mut pacer = pacer(&load, &bounds, START, Seed(1), shard);
            let trip = drive(&mut *pacer, stop, |id| uneven(id) * 3);
            prop_assert!(trip.peak as u64 <= shard.share(cap.into()));
            let free = open(rate, law, None);
            let mut found = trip.dues();
            found.extend(pacer.take_held(stop));
            prop_assert_eq!(found, arrivals_until(&free, &bounds, shard, stop));
            prop_assert_eq!(pacer.take_held(stop), []);
        }
    }
}

/// The instants of a trace, in milliseconds.
fn trace(millis: &[u64]) -> Arc<[Nanos]> {
    millis.iter().map(|&at| Nanos::from_millis(at)).collect()
}

fn replayed(instants: &Arc<[Nanos]>, bounds: &Bounds, cap: Option<u32>, shard: Shard) -> Trip {
    let mut pacer = replay(instants, cap, bounds, START, shard);
    drive(&mut *pacer, Stamp::NEVER, |id| uneven(id) * 3)
}

proptest! {
    #[test]
    fn a_trace_is_replayed_at_its_own_instants_whatever_the_shards(
        gaps in prop::collection::vec(0_u64..50, 1..80), count in 1_u32..5,
    ) {
        let sum = |at: &mut u64, gap: u64| { *at += gap; Some(*at) };
        let millis: Vec<u64> = gaps.into_iter().scan(0, sum).collect();
        let mut dealt = Vec::new();
        for shard in shards(count) {
            let trip = replayed(&trace(&millis), &bounds(None, None, 0), None, shard);
            prop_assert!(trip.done);
            prop_assert!(trip.seen.iter().all(|seen| seen.sent == seen.due.at));
            dealt.extend(trip.dues());
        }
        dealt.sort_by_key(|due| due.id);
        let own = (0..).zip(&millis);
        let own = own.map(|(id, &at)| {
            Due::new(RequestId(id), START + Nanos::from_millis(at))
        });
        prop_assert_eq!(dealt, own.collect::<Vec<_>>());
    }
}

#[test]
fn a_replay_ends_after_the_requests_that_bound_it_and_holds_back_what_a_cap_does() {
    let instants = trace(&[0, 400, 1000, 1000, 1900, 2000]);
    let whole = |bounds: &Bounds| replayed(&instants, bounds, None, Shard::WHOLE).seen.len();
    assert_eq!(whole(&bounds(None, Some(1), 0)), 6, "load goes on after the window");
    assert_eq!(whole(&bounds(Some(3), None, 0)), 3);
    assert_eq!(whole(&bounds(Some(3), None, 1)), 5, "two in the warm-up");
    assert_eq!(whole(&bounds(Some(9), None, 1)), 6);
    let capped = replayed(&instants, &bounds(None, None, 0), Some(1), Shard::WHOLE);
    assert_eq!((capped.peak, capped.seen.len()), (1, 6));
    let load = |max_concurrency| Load::Trace { path: "t".into(), speed: 1.0, max_concurrency };
    assert_eq!(most_shards(&load(Some(3)), &bounds(None, None, 0)), 3);
    assert_eq!(most_shards(&load(None), &bounds(None, None, 0)), u32::MAX);
}

#[test]
fn constant_arrivals_do_not_drift() {
    let load = open(RateCurve::Steady(7.0), Arrivals::Constant, None);
    let mut pacer = whole(&load, &bounds(Some(1_000_000), None, 0));
    for k in 0..1_000_000_u64 {
        let Next::Send(due) = pacer.poll(Stamp::NEVER) else { panic!("ended at {k}") };
        let exact = START + Nanos(k * 1_000_000_000 / 7);
        assert_eq!(due.id, RequestId(k));
        assert!(due.at.0.abs_diff(exact.0) <= 1, "{due:?} is not at {exact:?}");
    }
    assert_eq!(pacer.poll(Stamp::NEVER), Next::Done);
}

#[test]
fn constant_arrivals_fill_a_window_exactly() {
    let load = open(RateCurve::Steady(5.0), Arrivals::Constant, None);
    let bounds = bounds(None, Some(30), 10);
    let Window { start, end: Some(end) } = window(&bounds, START) else { panic!("open") };
    let dues = arrivals_until(&load, &bounds, Shard::WHOLE, START + SECOND * 60);
    assert_eq!(dues.iter().filter(|due| start <= due.at && due.at < end).count(), 150);
    assert_eq!(dues[0].at, START);
}

#[test]
fn a_ramp_sends_what_the_area_under_it_says() {
    // Expected by second 2, 4, … of a run: 4 s of warm-up, 8 s of window, 4 s of cool-down.
    let linear = |t: f64| {
        let (ramp, after) = ((t - 4.0).clamp(0.0, 8.0), (t - 12.0).max(0.0));
        10.0 * t.min(4.0) + 10.0 * ramp + 0.5 * (90.0 / 8.0) * ramp * ramp + 100.0 * after
    };
    let exponential = |t: f64| {
        let (ramp, after) = ((t - 4.0).clamp(0.0, 8.0), (t - 12.0).max(0.0));
        let growth = 10.0_f64.ln() / 8.0;
        10.0 * t.min(4.0) + 10.0 * ((growth * ramp).exp() - 1.0) / growth + 100.0 * after
    };
    let (from, to) = (10.0, 100.0);
    let ramps: [(RateCurve, &dyn Fn(f64) -> f64); 2] = [
        (RateCurve::Linear { from, to }, &linear),
        (RateCurve::Exponential { from, to }, &exponential),
    ];
    for (rate, expected) in ramps {
        for law in [Arrivals::Constant, Arrivals::Poisson] {
            let load = open(rate, law, None);
            let bounds = bounds(None, Some(8), 4);
            let dues = arrivals_until(&load, &bounds, Shard::WHOLE, START + SECOND * 16);
            for t in (2..=16).step_by(2) {
                let found = dues.iter().filter(|due| due.at < START + SECOND * t).count() as f64;
                let expected = expected(t as f64);
                let slack = if law == Arrivals::Constant { 1.0 } else { 3.0 * expected.sqrt() };
                assert!((found - expected).abs() <= slack, "{rate:?} {law:?} by {t} s: {found}");
            }
        }
    }
}

#[test]
fn poisson_counts_vary_as_much_as_their_mean() {
    let load = open(RateCurve::Steady(20.0), Arrivals::Poisson, None);
    let dues =
        arrivals_until(&load, &bounds(None, Some(1), 0), Shard::WHOLE, START + SECOND * 1000);
    let mut counts = vec![0.0_f64; 1000];
    for due in dues.iter().filter(|due| due.at < START + SECOND * 1000) {
        counts[(due.at.since(START).0 / SECOND.0) as usize] += 1.0;
    }
    let mean = counts.iter().sum::<f64>() / 1000.0;
    let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 999.0;
    // Three standard errors: √(20/1000) of the mean, √(2/1000) of the dispersion.
    assert!((mean - 20.0).abs() < 3.0 * 0.1415, "{mean}");
    assert!((variance / mean - 1.0).abs() < 3.0 * 0.0448, "{variance}");
}

#[test]
fn a_seed_gives_the_same_arrivals_for_ever() {
    let load = open(RateCurve::Linear { from: 1.0, to: 9.0 }, Arrivals::Poisson, None);
    let dues = arrivals_until(&load, &bounds(Some(5), Some(3), 1), Shard::WHOLE, Stamp::NEVER);
    let instants: Vec<_> = dues.iter().map(|due| due.at.0).collect();
    // Two in the warm-up, then the five that bound the run.
    let golden = [
        56_698_431,
        561_516_318,
        1_829_417_739,
        2_510_211_238,
        2_601_983_315,
        3_269_266_148,
        3_402_104_393,
    ];
    assert_eq!(instants, golden);
    let other = pacer(&load, &bounds(Some(5), Some(3), 1), START, Seed(2), Shard::WHOLE)
        .poll(START + SECOND * 100);
    assert_ne!(other, Next::Send(dues[0]));
}

#[test]
fn completions_in_any_order_give_each_slot_its_own_instant() {
    let load = Load::Throughput { max_concurrency: Some(3) };
    let mut pacer = whole(&load, &bounds(None, Some(9), 0));
    for id in 0..3 {
        assert_eq!(pacer.poll(START), Next::Send(Due::new(RequestId(id), START)));
    }
    assert_eq!(pacer.poll(START), Next::AwaitCompletion);
    let at = |nanos| START + Nanos(nanos);
    pacer.completed(RequestId(2), at(30));
    pacer.completed(RequestId(0), at(10));
    assert_eq!(pacer.poll(at(9)), Next::Wait(at(10)));
    assert_eq!(pacer.poll(at(40)), Next::Send(Due::new(RequestId(3), at(10))));
    assert_eq!(pacer.poll(at(40)), Next::Send(Due::new(RequestId(4), at(30))));
    // Found only after a later one was handed over: counted from there.
    pacer.completed(RequestId(1), at(20));
    assert_eq!(pacer.poll(at(40)), Next::Send(Due::new(RequestId(5), at(30))));
}

#[test]
fn a_throughput_run_of_so_many_requests_has_all_due_at_once() {
    let load = Load::Throughput { max_concurrency: None };
    let trip = drive(&mut *whole(&load, &bounds(Some(700), None, 0)), Stamp::NEVER, uneven);
    assert!(trip.done && trip.seen.iter().all(|seen| seen.due.at == START));
    assert_eq!((trip.seen.len(), trip.peak), (700, 700));
}

#[test]
fn a_throughput_run_without_a_request_bound_keeps_its_slots_full() {
    let timed = bounds(None, Some(1), 0);
    for (max_concurrency, slots) in [(None, 512), (Some(9), 9)] {
        let load = Load::Throughput { max_concurrency };
        let trip = drive(&mut *whole(&load, &timed), START + SECOND, uneven);
        assert_eq!(trip.peak, slots);
        assert_eq!(most_shards(&load, &timed), slots as u32);
    }
}

#[test]
fn a_held_arrival_leaves_with_its_own_due() {
    let load = open(RateCurve::Steady(1000.0), Arrivals::Constant, Some(1));
    let mut pacer = whole(&load, &bounds(None, Some(9), 0));
    let at = |millis| START + Nanos::from_millis(millis);
    let due = |id| Due::new(RequestId(id), at(id));
    assert_eq!(pacer.poll(at(0)), Next::Send(due(0)));
    assert_eq!(pacer.poll(at(5)), Next::AwaitCompletion);
    pacer.completed(RequestId(0), at(6));
    assert_eq!(pacer.poll(at(6)), Next::Send(due(1)));
    assert_eq!(pacer.take_held(at(4)), [due(2), due(3), due(4)]);
    pacer.completed(RequestId(1), at(7));
    assert_eq!(pacer.poll(at(4)), Next::Wait(at(5)));
}

#[test]
fn the_window_follows_the_warmup() {
    let start = START + SECOND * 2;
    let end = Some(start + SECOND * 3);
    assert_eq!(window(&bounds(Some(1), Some(3), 2), START), Window { start, end });
    assert_eq!(window(&bounds(Some(1), None, 2), START), Window { start, end: None });
}
