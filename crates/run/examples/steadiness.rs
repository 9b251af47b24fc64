//! How often a load is called saturated, and where the steady state is found, on the simulated
//! engine in virtual time. docs/statistics.md has the results.
//!
//! ```text
//! cargo run --release -p infermark-run --example steadiness -- TARGET RUNS
//! ```
//!
//! The capacity is found by brute force: the highest rate that the engine carries for 1,000 s.
//! (What it does as fast as it can is less where a closed loop runs in waves.) Then seeded runs
//! at shares of it, Poisson arrivals, 60 s after 20 s of warm-up. Then runs of 100 s whose first
//! 20 s were slowed in the record, so that it is known when the steady state begins. Last, long
//! answers on a target that is empty at first: the steady state begins where the mean of all runs
//! says that it is full.

#![expect(clippy::print_stdout, reason = "an experiment prints what it found")]

use infermark_measure::{Found, Point, WindowSearch, measure};
use infermark_run::predict::{Rehearsal, rehearse};
use infermark_scenario::settings::{self, Setting};
use infermark_scenario::{Given, resolve};
use infermark_terms::{Nanos, Seed, Stamp};

/// Shares of the capacity that an engine carries, and that it does not.
const LOADS: [f64; 9] = [0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.5, 2.0];
/// How long a rate is carried that the capacity is held to be above, and what share of its
/// arrivals are answered meanwhile.
const CARRIED: (&str, f64) = ("1000s", 0.99);
/// How precisely the capacity is found.
const PRECISION: f64 = 0.01;
/// How long a planted transient takes.
const TRANSIENT: Nanos = Nanos::from_secs(20);
/// By how much the gaps of its answers are longer; not at all, to see what is given away where
/// there is no transient.
const SLOWDOWNS: [f64; 4] = [1.0, 1.25, 1.5, 2.0];
/// Long answers of which so many a second come to an empty target, and how long that lasts.
const FILLING: (&str, &str) = ("5/s", "lognormal(1000,300)");
const FILLED: [&str; 2] = ["100s", "300s"];
/// What share of the requests that are in flight in the end a target that is full has.
const FULL: f64 = 0.95;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [target, runs] = &words[..] else { return Err("give TARGET RUNS".into()) };
    let runs: u64 = runs.parse()?;
    let capacity = capacity(target)?;
    println!("{target} carries {capacity:.2} requests/s");
    for share in LOADS {
        let rate = format!("{:.3}/s", share * capacity);
        let load: [(_, &str); 3] =
            [(&settings::RATE, &rate), (&settings::WARMUP, "20s"), (&settings::DURATION, "60s")];
        let mut called = 0;
        for seed in 1..=runs {
            let run = rehearsed(target, &load, seed)?;
            called += u64::from(point(&run, WindowSearch::Given).saturated);
        }
        println!("{:.0} % ({rate}): called saturated {called} of {runs}", 100.0 * share);
    }
    let rate = format!("{:.3}/s", 0.6 * capacity);
    let load: [(_, &str); 3] =
        [(&settings::RATE, &rate), (&settings::WARMUP, "20s"), (&settings::DURATION, "100s")];
    let steady = (1..=runs).map(|seed| rehearsed(target, &load, seed));
    let steady = steady.collect::<Result<Vec<_>, _>>()?;
    for slowdown in SLOWDOWNS {
        transients(&steady, slowdown);
    }
    for duration in FILLED {
        let load: [(_, &str); 4] = [
            (&settings::RATE, FILLING.0),
            (&settings::WARMUP, "0s"),
            (&settings::DURATION, duration),
            (&settings::OUTPUT_TOKENS, FILLING.1),
        ];
        let filling = (1..=runs).map(|seed| rehearsed(target, &load, seed));
        fillings(&filling.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(())
}

/// Bisects for the highest rate that is carried.
fn capacity(target: &str) -> Result<f64, Failure> {
    let is_carried = |rate: f64| -> Result<bool, Failure> {
        let text = format!("{rate:.3}/s");
        let load: [(_, &str); 3] = [
            (&settings::RATE, &text),
            (&settings::WARMUP, "20s"),
            (&settings::DURATION, CARRIED.0),
        ];
        let rates = point(&rehearsed(target, &load, 0)?, WindowSearch::Given).rates;
        Ok(rates.is_some_and(|rates| rates.requests_per_s >= CARRIED.1 * rate))
    };
    let mut low = 1.0;
    while is_carried(2.0 * low)? {
        low *= 2.0;
    }
    let mut high = 2.0 * low;
    while high - low > PRECISION * low {
        let middle = f64::midpoint(low, high);
        if is_carried(middle)? {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

fn rehearsed(
    target: &str,
    load: &[(&'static Setting, &str)],
    seed: u64,
) -> Result<Rehearsal, Failure> {
    let others = [
        (&settings::TARGET, target),
        (&settings::INPUT_TOKENS, "lognormal(256,256)"),
        (&settings::OUTPUT_TOKENS, "lognormal(64,32)"),
    ];
    let others = others.iter().filter(|(other, _)| load.iter().all(|(one, _)| one != other));
    let given = load.iter().chain(others);
    let given = given.map(|(setting, text)| Given::flag(setting, *text)).collect();
    Ok(rehearse(&resolve(given, Seed(seed))?)?)
}

fn point(run: &Rehearsal, search: WindowSearch) -> Point {
    let plan = infermark_measure::PointPlan { search, ..run.plan.clone() };
    measure(&plan, &run.requests, run.chunks.iter().copied())
}

/// Plants a transient in each run and prints where the steady state is found.
fn transients(runs: &[Rehearsal], slowdown: f64) {
    let slowed = runs.iter().map(|run| {
        let [begin, _] = point(run, WindowSearch::Given).window.span();
        let mut run = run.clone();
        slow(&mut run, begin + TRANSIENT, slowdown);
        run
    });
    let end = if slowdown > 1.0 { TRANSIENT.as_secs_f64() } else { 0.0 };
    println!("a transient of {end} s, {slowdown} times as slow: {}", found(slowed, end, 10.0));
}

/// Prints where the steady state of a target is found that is empty at first, and where it is.
fn fillings(runs: &[Rehearsal]) {
    let [begin, end] = point(&runs[0], WindowSearch::Given).window.span();
    let seconds = end.since(begin).as_secs_f64() as u64;
    let in_flight = |second: u64| {
        let at = begin + Nanos::from_secs(second);
        let rows = runs.iter().flat_map(|run| &run.requests);
        rows.filter(|row| row.sent.is_some_and(|sent| sent <= at) && at < row.end).count() as f64
    };
    let half = seconds / 2;
    let full = (half..seconds).map(in_flight).sum::<f64>() / (seconds - half) as f64;
    let filled = (0..seconds).find(|&second| in_flight(second) >= FULL * full).unwrap_or(seconds);
    let found = found(runs.iter().cloned(), filled as f64, 0.1 * seconds as f64);
    println!("a load of {seconds} s on an empty target, {FULL} full after {filled} s: {found}");
}

/// Says where the steady state is found, in seconds from the beginning of the window, and how often
/// that is near enough to its true beginning.
fn found(runs: impl ExactSizeIterator<Item = Rehearsal>, truth: f64, near: f64) -> String {
    let count = runs.len();
    let mut starts = Vec::new();
    for run in runs {
        let [begin, _] = point(&run, WindowSearch::Given).window.span();
        let window = point(&run, WindowSearch::Detect).window;
        if window.found == Found::Detected {
            starts.push(window.start_s - begin.as_secs_f64());
        }
    }
    starts.sort_unstable_by(f64::total_cmp);
    let within = starts.iter().filter(|start| (**start - truth).abs() <= near).count();
    let at = |share: f64| starts.get((share * starts.len() as f64) as usize).copied();
    let [low, median, high] = [0.05, 0.5, 0.95].map(|share| at(share).unwrap_or(f64::NAN));
    format!(
        "found in {} of {count}, from {low:.0}, {median:.0}, {high:.0} s on (5 %, 50 %, 95 %), \
         within {near:.0} s in {within}",
        starts.len(),
    )
}

/// Stretches the answers of all requests due before `until`.
fn slow(run: &mut Rehearsal, until: Stamp, slowdown: f64) {
    let late = |first: Stamp, at: Stamp| {
        first + Nanos((at.since(first).0 as f64 * slowdown).round() as u64)
    };
    for row in run.requests.iter_mut().filter(|row| row.due < until) {
        if let (Some(first), Some(last)) = (row.first_token, row.last_token) {
            row.last_token = Some(late(first, last));
            row.end = late(first, row.end);
        }
    }
}
