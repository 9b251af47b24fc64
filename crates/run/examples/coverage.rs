//! How often the 95 % intervals hold the truth, how often a load is called saturated, and where
//! the steady state is found: over seeded runs against the simulator in virtual time, where the
//! truth is known from a very long run. docs/statistics.md has the results.
//!
//! `cargo run --release -p infermark-run --example coverage -- TARGET RATE REQUESTS RUNS`

#![expect(clippy::print_stdout, reason = "an experiment prints what it found")]

use infermark_measure::{Estimate, Found, Point};
use infermark_run::hub::Shelf;
use infermark_run::predict::{Loads, predict};
use infermark_scenario::{Given, resolve, settings};
use infermark_terms::Seed;

/// A latency of a point.
type Figure = fn(&Point) -> Option<Estimate>;
/// A statistic of the truth, and its interval in a run.
type Statistic = (&'static str, Option<f64>, fn(&Estimate) -> Option<[f64; 2]>);

/// Requests of the run that stands for the truth.
const TRUTH: u64 = 400_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [target, rate, requests, runs] = &words[..] else {
        return Err("give TARGET RATE REQUESTS RUNS".into());
    };
    let given = |requests, seed| measured(target, rate, requests, "given", seed);
    let (requests, runs): (u64, u64) = (requests.parse()?, runs.parse()?);
    let truth = given(TRUTH, 0)?;
    let points: Vec<Point> =
        (1..=runs).map(|seed| given(requests, seed)).collect::<Result<_, _>>()?;
    println!("{target} at {rate}, {requests} requests, {runs} runs");
    let figures: [(&str, Figure); 3] = [
        ("TTFT", |point| point.latency.ttft_ms),
        ("TPOT", |point| point.latency.tpot_ms),
        ("E2E", |point| point.latency.e2e_ms),
    ];
    for (name, of) in figures {
        coverage(name, of, &truth, &points);
    }
    let has = |point: &&Point| point.saturated;
    println!("called saturated: {} of {runs}", points.iter().filter(has).count());
    let detected: Vec<Point> = (1..=runs)
        .map(|seed| measured(target, rate, requests, "detect", seed))
        .collect::<Result<_, _>>()?;
    steady(&detected);
    Ok(())
}

/// Prints how often the intervals of a latency hold the truth.
fn coverage(name: &str, of: Figure, truth: &Point, points: &[Point]) {
    let Some(true_) = of(truth) else { return };
    let statistics: [Statistic; 5] = [
        ("mean", Some(true_.mean), |e| e.mean_ci95),
        ("p50", Some(true_.p50), |e| e.p50_ci95),
        ("p90", true_.p90, |e| e.p90_ci95),
        ("p95", true_.p95, |e| e.p95_ci95),
        ("p99", true_.p99, |e| e.p99_ci95),
    ];
    for (statistic, value, interval) in statistics {
        let Some(value) = value else { continue };
        let ends: Vec<[f64; 2]> = points.iter().filter_map(|point| interval(&of(point)?)).collect();
        let hits = ends.iter().filter(|[low, high]| *low <= value && value <= *high).count();
        let below = ends.iter().filter(|[_, high]| *high < value).count();
        let width: f64 = ends.iter().map(|[low, high]| high - low).sum::<f64>() / value;
        println!(
            "{name} {statistic}: truth {value:.3} ms; {hits} of {} intervals hold it \
                 ({:.1} %), {below} lie below; width {:.1} % in the mean",
            ends.len(),
            100.0 * hits as f64 / ends.len() as f64,
            100.0 * width / ends.len() as f64,
        );
    }
}

/// Prints where the steady state was found.
fn steady(detected: &[Point]) {
    let found = |point: &&Point| point.window.found == Found::Detected;
    let mut starts: Vec<f64> =
        detected.iter().filter(found).map(|point| point.window.start_s).collect();
    starts.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| starts.get((share * starts.len() as f64) as usize).copied();
    println!(
        "steady state found in {} of {}, from {:.1?}, {:.1?}, {:.1?} s on (5 %, 50 %, 95 %)",
        starts.len(),
        detected.len(),
        at(0.05).unwrap_or(f64::NAN),
        at(0.5).unwrap_or(f64::NAN),
        at(0.95).unwrap_or(f64::NAN),
    );
}

/// Predicts one point.
fn measured(
    target: &str,
    rate: &str,
    requests: u64,
    window: &str,
    seed: u64,
) -> Result<Point, Box<dyn std::error::Error>> {
    let given = vec![
        Given::flag(&settings::TARGET, target),
        Given::flag(&settings::RATE, rate),
        Given::flag(&settings::REQUESTS, requests.to_string()),
        Given::flag(&settings::WINDOW, window),
        Given::flag(&settings::WARMUP, if window == "detect" { "0s" } else { "20s" }),
        Given::flag(&settings::INPUT_TOKENS, "lognormal(256,256)"),
        Given::flag(&settings::OUTPUT_TOKENS, "lognormal(64,32)"),
    ];
    let resolved = resolve(given, Seed(seed))?;
    let mut prediction = predict(&resolved, Loads::One, &Shelf::default())?;
    Ok(prediction.points.remove(0).point)
}
