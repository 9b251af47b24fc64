//! How often a comparison cries wolf, and how often it finds what was planted.
//!
//! ```text
//! cargo run --release -p infermark-run --example compare_power [PAIRS]
//! ```
//!
//! For each load, pairs of runs of the simulator in virtual time that differ in nothing but
//! their seeds; then the same pairs, the second of which had every gap between its chunks
//! stretched by 5 % in the record. docs/statistics.md has the results.

#![expect(clippy::print_stdout, reason = "an example prints its figures")]

use std::collections::BTreeMap;
use std::error::Error;

use infermark_measure::compare::{
    Finding, Observations, Settings, Standing, compare, usual_figures,
};
use infermark_run::predict::{Rehearsal, rehearse};
use infermark_scenario::settings::{self, Setting};
use infermark_scenario::{Given, resolve};
use infermark_terms::slo::{LatencyFigure, Statistic, Subject};
use infermark_terms::{Nanos, RequestId, Seed, Stamp};

const SLOWDOWN: f64 = 1.05;
const TPOT: Subject = Subject::Latency(LatencyFigure::Tpot, Statistic::Mean);

/// A load, and how many requests it has.
struct Load {
    name: &'static str,
    given: &'static [(&'static Setting, &'static str)],
}

const LOADS: [Load; 5] = [
    Load {
        name: "closed loop of 8, 1,000 requests",
        given: &[(&settings::CONCURRENCY, "8"), (&settings::REQUESTS, "1000")],
    },
    Load {
        name: "closed loop of 32, 2,000 requests",
        given: &[(&settings::CONCURRENCY, "32"), (&settings::REQUESTS, "2000")],
    },
    Load {
        name: "Poisson 4/s, 400 requests",
        given: &[(&settings::RATE, "4/s"), (&settings::REQUESTS, "400")],
    },
    Load {
        name: "Poisson 16/s, 4,000 requests",
        given: &[(&settings::RATE, "16/s"), (&settings::REQUESTS, "4000")],
    },
    Load {
        name: "Poisson 24/s, 4,000 requests",
        given: &[(&settings::RATE, "24/s"), (&settings::REQUESTS, "4000")],
    },
];

fn main() -> Result<(), Box<dyn Error>> {
    let pairs: u64 = std::env::args().nth(1).map_or(Ok(200), |text| text.parse())?;
    for load in &LOADS {
        let mut tally = Tally::default();
        for pair in 0..pairs {
            let [one, mut other] = [run(load, 2 * pair)?, run(load, 2 * pair + 1)?];
            tally.same(&compared(None, &one, &other));
            stretch(&mut other);
            tally.planted(&compared(None, &one, &other));
            tally.planted_alone(&compared(Some(TPOT), &one, &other));
        }
        tally.print(load.name, pairs);
    }
    Ok(())
}

fn run(load: &Load, seed: u64) -> Result<Rehearsal, Box<dyn Error>> {
    let others = [
        (&settings::WARMUP, "20s"),
        (&settings::TARGET, "sim:llama-3.1-8b@h100"),
        (&settings::INPUT_TOKENS, "lognormal(512,256)"),
        (&settings::OUTPUT_TOKENS, "lognormal(128,64)"),
    ];
    let given = load.given.iter().chain(&others);
    let given = given.map(|(setting, text)| Given::flag(setting, *text)).collect();
    Ok(rehearse(&resolve(given, Seed(seed))?)?)
}

/// Stretches all gaps between chunks, each answer from its first chunk on.
fn stretch(run: &mut Rehearsal) {
    let mut firsts: BTreeMap<RequestId, Stamp> = BTreeMap::new();
    let late = |first: Stamp, at: Stamp| {
        first + Nanos((at.since(first).0 as f64 * SLOWDOWN).round() as u64)
    };
    for row in &mut run.requests {
        if let (Some(first), Some(last)) = (row.first_token, row.last_token) {
            let _: Option<Stamp> = firsts.insert(row.id, first);
            row.last_token = Some(late(first, last));
            row.end = late(first, row.end);
        }
    }
    for chunk in &mut run.chunks {
        if let Some(&first) = firsts.get(&chunk.request) {
            chunk.at = late(first, chunk.at);
        }
    }
}

fn compared(alone: Option<Subject>, one: &Rehearsal, other: &Rehearsal) -> Vec<Finding> {
    let [one, other] =
        [one, other].map(|run| Observations::of(&run.plan, &run.requests, run.chunks.clone()));
    let (one, other) = ([one], [other]);
    let figures = alone.map_or_else(|| usual_figures(&one, &other), |figure| vec![figure]);
    compare(&figures, &one, &other, Settings::default()).findings
}

#[derive(Default)]
struct Tally {
    /// Of each figure: how often it was compared, called different, and its interval missed 0.
    figures: BTreeMap<String, [u64; 3]>,
    alarmed: u64,
    missed: u64,
    /// Of the slowed figures: how often found, and held by the interval.
    found: BTreeMap<String, [u64; 2]>,
    /// How often TPOT's mean is found to be slower where it is all that is asked for.
    found_alone: u64,
}

fn differs(finding: &Finding) -> bool {
    matches!(finding.verdict, Standing::Better | Standing::Worse)
}

fn holds(finding: &Finding, truth: f64) -> bool {
    let [low, high] = finding.change_ci95;
    low.is_none_or(|low| low <= truth) && high.is_none_or(|high| truth <= high)
}

impl Tally {
    fn same(&mut self, findings: &[Finding]) {
        for finding in findings {
            let counts = self.figures.entry(finding.figure.to_string()).or_default();
            counts[0] += 1;
            counts[1] += u64::from(differs(finding));
            counts[2] += u64::from(!holds(finding, 0.0));
        }
        self.alarmed += u64::from(findings.iter().any(differs));
        self.missed += u64::from(findings.iter().any(|finding| !holds(finding, 0.0)));
    }

    fn planted(&mut self, findings: &[Finding]) {
        let slowed = |finding: &&Finding| {
            let figure = finding.figure.to_string();
            figure.starts_with("tpot") || figure.starts_with("itl")
        };
        for finding in findings.iter().filter(slowed) {
            let counts = self.found.entry(finding.figure.to_string()).or_default();
            counts[0] += u64::from(finding.verdict == Standing::Worse);
            counts[1] += u64::from(holds(finding, SLOWDOWN - 1.0));
        }
    }

    fn planted_alone(&mut self, findings: &[Finding]) {
        let worse = |finding: &&Finding| finding.verdict == Standing::Worse;
        self.found_alone += findings.iter().filter(worse).count() as u64;
    }

    fn print(&self, name: &str, pairs: u64) {
        let share = |count: u64, of: u64| 100.0 * count as f64 / of as f64;
        let sum = |which: usize| self.figures.values().map(|counts| counts[which]).sum::<u64>();
        println!("{name}: {pairs} pairs");
        println!(
            "  same:    {:.2} % of {} figures called different; any figure in {:.1} % of pairs",
            share(sum(1), sum(0)),
            sum(0),
            share(self.alarmed, pairs)
        );
        println!(
            "           {:.2} % of intervals miss 0; any in {:.1} % of pairs",
            share(sum(2), sum(0)),
            share(self.missed, pairs)
        );
        let worst = self.figures.iter().max_by_key(|(_, counts)| counts[2]);
        if let Some((figure, counts)) = worst {
            println!("           most often {figure}: {:.1} %", share(counts[2], counts[0]));
        }
        for (figure, [found, held]) in &self.found {
            let (found, held) = (share(*found, pairs), share(*held, pairs));
            println!("  slower:  {figure:<9} found in {found:.1} %, interval holds in {held:.1} %");
        }
        println!("  slower:  tpot:mean alone found in {:.1} %", share(self.found_alone, pairs));
    }
}
