//! How often a search for capacity brackets the truth, and what it costs beside a sweep of the
//! same resolution. docs/statistics.md has the results.
//!
//! The truth is found by brute force: long runs on a fine grid of loads. Virtual time throughout.
//!
//! `cargo run --release -p infermark-run --example capacity -- [SEARCHES] [REQUESTS]`

#![expect(clippy::print_stdout, reason = "an experiment prints what it found")]

use infermark_measure::Point;
use infermark_run::capacity::{Capacity, CapacityPlan, LoadAxis, Reached, capacity};
use infermark_run::study::{Early, Order, Rig, Virtual};
use infermark_scenario::settings::{self, Setting};
use infermark_scenario::{Given, Resolved, resolve};
use infermark_terms::Seed;

/// Engine, objective and axis.
const CASES: [(&str, &str, LoadAxis); 5] = [
    ("llama-3.1-8b@h100,seqs=8", "ttft:mean<=100ms", LoadAxis::Rate),
    ("llama-3.1-8b@h100,seqs=8", "e2e<=150ms,good_share>=95%", LoadAxis::Rate),
    ("llama-3.1-8b@h100,seqs=8", "ttft:p99<=300ms", LoadAxis::Rate),
    ("llama-3.1-8b@h100", "tpot:mean<=7.2ms", LoadAxis::Rate),
    ("llama-3.1-8b@h100", "tpot:mean<=7.5ms", LoadAxis::Concurrency),
];
const PRECISION: f64 = 0.05;
/// The seed of the runs that stand for the truth.
const TRUTH: u64 = 1_000_000;
/// Into so many runs the requests of one are parted to see how they scatter.
const PARTS: u64 = 20;
/// The standard normal deviates of a 95 % interval, and of 95 cases in 100 on one side.
const DEVIATES: f64 = 1.96 + 1.645;
/// Points of the sweep that the search is held against.
const SWEEP: f64 = 10.0;

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|text| text.parse::<u64>().ok());
    let searches = arguments.next().unwrap_or(100);
    let long = arguments.next().unwrap_or(200_000);
    for (engine, slo, axis) in CASES {
        Case { engine, slo, axis, long }.report(searches);
    }
}

struct Case {
    engine: &'static str,
    slo: &'static str,
    axis: LoadAxis,
    /// Requests of a run that stands for the truth.
    long: u64,
}

struct Truth {
    /// The highest load that meets the objective, and the lowest that does not; in an open loop the
    /// same.
    met: f64,
    missed: f64,
    /// Requests after which a run at half a precision from the capacity is decided in 95 of 100
    /// cases: what each point of a sweep of that resolution takes.
    needed: f64,
}

impl Case {
    fn report(&self, searches: u64) {
        let found: Vec<Capacity> = (1..=searches).map(|seed| self.search(seed)).collect();
        let middle = |one: &Capacity| Some((one.met? * one.missed?).sqrt());
        let guesses: Vec<f64> = found.iter().filter_map(middle).collect();
        let truth = self.truth(mean(&guesses));
        let holds = found.iter().filter(|one| {
            one.met.is_some_and(|met| met <= truth.met)
                && one.missed.is_some_and(|missed| missed >= truth.missed)
        });
        let widths = found.iter().filter_map(|one| Some(one.missed? / one.met? - 1.0));
        let ended = found.iter().filter(|one| one.reached == Reached::Precision).count();
        let of = |value: fn(&Capacity) -> f64| mean(&found.iter().map(value).collect::<Vec<_>>());
        println!(
            "{} {}: capacity {:.4}; {} of {searches} searches bracket it, {ended} reached the \
             precision, widest {:.1} %; {:.1} runs and {:.0} requests each; \
             the sweep {:.0} requests",
            self.engine,
            self.slo,
            truth.met,
            holds.count(),
            100.0 * widths.fold(0.0, f64::max),
            of(|one| f64::from(one.runs)),
            of(|one| one.requests as f64),
            SWEEP * truth.needed,
        );
    }

    fn search(&self, seed: u64) -> Capacity {
        let plan = CapacityPlan {
            axis: self.axis,
            precision: PRECISION,
            requests: 400,
            runs_max: 60,
            seconds_max: None,
        };
        let mut rig = Virtual::new(self.scenario(seed));
        capacity(&mut rig, &plan, &|_| ()).expect("the simulator answers")
    }

    /// Finds where the value crosses the limit, near a guess: the grid's steps are 1 %, or slots.
    fn truth(&self, guess: f64) -> Truth {
        let load = |step: i32| match self.axis {
            LoadAxis::Rate => guess * (1.0 + 0.01 * f64::from(step)),
            LoadAxis::Concurrency => guess.round() + f64::from(step),
        };
        let grid: Vec<(f64, f64)> =
            (-3..=3).map(|step| (load(step), self.height(load(step), self.long, TRUTH))).collect();
        let of =
            |value: &dyn Fn(&(f64, f64)) -> f64| mean(&grid.iter().map(value).collect::<Vec<_>>());
        // A straight line through seven long runs.
        let (x, y) = (of(&|(load, _)| load.ln()), of(&|(_, height)| *height));
        let slope = of(&|(load, height)| (load.ln() - x) * (height - y))
            / of(&|(load, _)| (load.ln() - x).powi(2));
        let root = (x - y / slope).exp();
        let needed = self.spread(root).powi(2) / (slope * PRECISION / 2.0 / DEVIATES).powi(2);
        match self.axis {
            LoadAxis::Rate => Truth { met: root, missed: root, needed },
            LoadAxis::Concurrency => {
                let under = grid.iter().take_while(|(_, height)| *height <= 0.0);
                let met = under.last().expect("the guess is near").0;
                Truth { met, missed: met + 1.0, needed }
            }
        }
    }

    /// Returns the standard deviation of one request's share in a long run's value, as shorter
    /// runs show it.
    fn spread(&self, load: f64) -> f64 {
        let requests = self.long / PARTS;
        let load = if self.axis == LoadAxis::Concurrency { load.round() } else { load };
        let heights: Vec<f64> =
            (1..=PARTS).map(|part| self.height(load, requests, TRUTH + part)).collect();
        let middle = mean(&heights);
        let squares = heights.iter().map(|height| (height - middle).powi(2)).sum::<f64>();
        (requests as f64 * squares / (PARTS - 1) as f64).sqrt()
    }

    fn height(&self, load: f64, requests: u64, seed: u64) -> f64 {
        let load: (&'static Setting, String) = match self.axis {
            LoadAxis::Rate => (&settings::RATE, format!("{load:.4}/s")),
            LoadAxis::Concurrency => (&settings::CONCURRENCY, load.to_string()),
        };
        let changes = vec![
            load,
            (&settings::REQUESTS, requests.to_string()),
            (&settings::WARMUP, "60s".to_owned()),
        ];
        let order = Order { label: String::new(), changes, early: Early::Never };
        let mut rig = Virtual::new(self.scenario(seed));
        height(&rig.take(&order).expect("the simulator answers").point)
    }

    fn scenario(&self, seed: u64) -> Resolved {
        let given = [
            (&settings::TARGET, format!("sim:{}", self.engine)),
            (&settings::SLO, self.slo.to_owned()),
            (&settings::INPUT_TOKENS, "64".to_owned()),
            (&settings::OUTPUT_TOKENS, "8".to_owned()),
            (&settings::SEED, seed.to_string()),
        ];
        let given = given.map(|(setting, text)| Given::flag(setting, text));
        resolve(given.to_vec(), Seed(0)).unwrap_or_else(|problems| panic!("{problems}"))
    }
}

/// Returns ln(value ÷ limit), of a share of good requests that of the others.
fn height(point: &Point) -> f64 {
    let ruling = point.slo.last().expect("there is an objective");
    let value = ruling.value.expect("a long run has all figures");
    if ruling.bound.limit < 1.0 {
        ((1.0 - value) / (1.0 - ruling.bound.limit)).ln()
    } else {
        (value / ruling.bound.limit).ln()
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
