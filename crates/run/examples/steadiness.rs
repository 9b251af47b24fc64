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
//! 20 s were slowed in the record, so that it is known when the steady state begins.

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
    let given = load.iter().chain(&others);
    let given = given.map(|(setting, text)| Given::flag(setting, *text)).collect();
    Ok(rehearse(&resolve(given, Seed(seed))?)?)
}

fn point(run: &Rehearsal, search: WindowSearch) -> Point {
    let plan = infermark_measure::PointPlan { search, ..run.plan.clone() };
    measure(&plan, &run.requests, run.chunks.iter().copied())
}

/// Plants a transient in each run and prints where the steady state is found, in seconds from the
/// beginning of the window.
fn transients(runs: &[Rehearsal], slowdown: f64) {
    let mut starts = Vec::new();
    for run in runs {
        let [begin, _] = point(run, WindowSearch::Given).window.span();
        let mut run = run.clone();
        slow(&mut run, begin + TRANSIENT, slowdown);
        let window = point(&run, WindowSearch::Detect).window;
        if window.found == Found::Detected {
            starts.push(window.start_s - begin.as_secs_f64());
        }
    }
    starts.sort_unstable_by(f64::total_cmp);
    let end = TRANSIENT.as_secs_f64();
    let near = starts.iter().filter(|start| (**start - end).abs() <= 10.0).count();
    let at = |share: f64| starts.get((share * starts.len() as f64) as usize).copied();
    println!(
        "a transient of {end} s, {slowdown} times as slow: found in {} of {}, from {:.0?}, {:.0?}, \
         {:.0?} s on (5 %, 50 %, 95 %), within 10 s in {near}",
        starts.len(),
        runs.len(),
        at(0.05).unwrap_or(f64::NAN),
        at(0.5).unwrap_or(f64::NAN),
        at(0.95).unwrap_or(f64::NAN),
    );
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
