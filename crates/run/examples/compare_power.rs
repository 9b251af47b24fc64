//! How often a comparison cries wolf, and how often it finds what was planted.
//!
//! ```text
//! cargo run --release -p infermark-run --example compare_power [PAIRS]
//! ```
//!
//! For each load, pairs of runs of the simulator in virtual time that differ in nothing but
//! their seeds; then the same pairs, the second of which had every gap between its chunks
//! stretched by 5 % in the record. Then pairs of one seed, which were asked the same requests:
//! there each run gets noise of its own, since the simulator has none. docs/statistics.md has
//! the results.

#![expect(clippy::print_stdout, reason = "an example prints its figures")]

use std::collections::BTreeMap;
use std::error::Error;

use infermark_measure::compare::{
    Finding, Observations, Requests, Settings, Standing, compare, usual_figures,
};
use infermark_run::predict::{Rehearsal, rehearse};
use infermark_scenario::settings::{self, Setting};
use infermark_scenario::{Given, resolve};
use infermark_terms::slo::{LatencyFigure, Statistic, Subject};
use infermark_terms::{Nanos, RequestId, Seed, Stamp};

const SLOWDOWN: f64 = 1.05;
/// The noise of a run beside one of the same requests: of each answer's gaps and of each TTFT, as
/// shares of the standard deviation,
const NOISE: f64 = 0.10;
/// and of the machine's own pace, which drifts
const DRIFT: f64 = 0.01;
/// and resembles itself from one request to the next.
const LIKENESS: f64 = 0.95;
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
            tally.count([run(load, 2 * pair)?, run(load, 2 * pair + 1)?], Requests::Alike);
        }
        tally.print(load.name, pairs);
        let mut tally = Tally::default();
        for pair in 0..pairs {
            let asked = run(load, pair)?;
            let noisy = |side: u64| {
                let mut run = asked.clone();
                disturb(&mut run, Seed(pair).named("noise").at(side));
                run
            };
            tally.count([noisy(0), noisy(1)], Requests::Same);
        }
        tally.print(&format!("{}, the same requests", load.name), pairs);
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

/// How an answer's instants move: what came before its first chunk, and what came after.
#[derive(Clone, Copy)]
struct Stretch {
    wait: f64,
    gaps: f64,
}

/// Moves the instants of each answer.
fn stretch(run: &mut Rehearsal, mut of: impl FnMut(RequestId) -> Stretch) {
    let times = |span: Nanos, factor: f64| Nanos((span.0 as f64 * factor).round() as u64);
    let mut moved: BTreeMap<RequestId, (Stamp, Stamp, f64)> = BTreeMap::new();
    for row in &mut run.requests {
        if let (Some(first), Some(last)) = (row.first_token, row.last_token) {
            let Stretch { wait, gaps } = of(row.id);
            let new = row.due + times(first.since(row.due), wait);
            let _: Option<_> = moved.insert(row.id, (first, new, gaps));
            row.first_token = Some(new);
            row.last_token = Some(new + times(last.since(first), gaps));
            row.end = new + times(row.end.since(first), gaps);
        }
    }
    for chunk in &mut run.chunks {
        if let Some(&(first, new, gaps)) = moved.get(&chunk.request) {
            chunk.at = new + times(chunk.at.since(first), gaps);
        }
    }
}

/// Stretches all gaps between chunks, each answer from its first chunk on.
fn slow(run: &mut Rehearsal) {
    stretch(run, |_| Stretch { wait: 1.0, gaps: SLOWDOWN });
}

/// Gives a run the noise that tells it from another of the same requests.
fn disturb(run: &mut Rehearsal, seed: Seed) {
    let mut drift = 0.0;
    stretch(run, |id| {
        let seed = seed.at(id.0);
        drift = LIKENESS * drift + (1.0_f64 - LIKENESS * LIKENESS).sqrt() * normal(seed.at(0));
        let factor = |own: f64| (1.0 + DRIFT * drift) * (1.0 + NOISE * own).max(0.1);
        Stretch { wait: factor(normal(seed.at(1))), gaps: factor(normal(seed.at(2))) }
    });
}

/// Draws from the standard normal law, but for its tails: twelve uniform numbers less six.
fn normal(seed: Seed) -> f64 {
    (0..12).map(|turn| seed.at(turn).0 as f64 / u64::MAX as f64).sum::<f64>() - 6.0
}

fn compared(
    alone: Option<Subject>,
    [one, other]: &[Rehearsal; 2],
    requests: Requests,
) -> Vec<Finding> {
    let [one, other] =
        [one, other].map(|run| Observations::of(&run.plan, &run.requests, run.chunks.clone()));
    let (one, other) = ([one], [other]);
    let figures = alone.map_or_else(|| usual_figures(&one, &other), |figure| vec![figure]);
    compare(&figures, &one, &other, Settings { requests, ..Settings::default() }).findings
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
    /// Compares a pair in which nothing changed, and again with the second slowed.
    fn count(&mut self, mut pair: [Rehearsal; 2], requests: Requests) {
        self.same(&compared(None, &pair, requests));
        slow(&mut pair[1]);
        self.planted(&compared(None, &pair, requests));
        self.planted_alone(&compared(Some(TPOT), &pair, requests));
    }

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
