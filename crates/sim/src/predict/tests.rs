//! Laws of predictions, and the stories that the calibration data tell.

use std::collections::BTreeMap;

use infermark_terms::Seed;

use super::*;
use crate::deployment::Deployment;
use crate::engine::Fleet;

/// A workload for tests: fixed lengths, with a shared beginning.
#[derive(Clone, Copy)]
struct Asked {
    requests: u64,
    input: u32,
    shared: u32,
    output: u32,
}

fn deployment(line: &str) -> Deployment {
    line.parse().unwrap()
}

fn drive(deployment: &Deployment, load: Load, asked: Asked, seed: u64, watch: &mut dyn Watch) {
    let seed = Seed(seed);
    let mut fleet = Fleet::new(deployment, seed).unwrap();
    let mut stream = Stream::new(load, asked.requests, seed);
    let mut ask = |due: Due| {
        let lengths = (Lengths::Fixed(asked.input), Lengths::Fixed(asked.output));
        let mut job = Lengths::job(lengths.0, lengths.1, seed, due.id);
        job.blocks = (0..asked.shared / 16).map(|index| seed.at(index.into()).0).collect();
        job
    };
    predict(&mut fleet, &mut stream, &mut ask, Horizon::default(), watch);
}

fn figures(line: &str, load: Load, asked: Asked, seed: u64) -> Figures {
    let mut summary = Summary::default();
    drive(&deployment(line), load, asked, seed, &mut summary);
    summary.figures().unwrap()
}

/// Keeps everything.
#[derive(Default)]
struct Record {
    requests: Vec<RequestRow>,
    chunks: Vec<ChunkRow>,
}

impl Watch for Record {
    fn request(&mut self, row: RequestRow) {
        self.requests.push(row);
    }
    fn chunk(&mut self, row: ChunkRow) {
        self.chunks.push(row);
    }
    fn sample(&mut self, _at: Stamp, _gauges: Gauges) {}
}

const CHAT: Asked = Asked { requests: 300, input: 300, shared: 0, output: 60 };

#[test]
fn more_load_does_not_lower_the_mean_ttft() {
    for line in ["llama-3.1-8b@h100", "qwen3-30b-a3b@a100", "qwen2.5-3b@l40s"] {
        for seed in 1..4 {
            let ttft = |rate| figures(line, Load::Poisson { rate }, CHAT, seed).ttft_mean;
            let means: Vec<_> = [0.5, 4.0, 16.0, 64.0].map(ttft).into();
            assert!(means.is_sorted(), "{line}, seed {seed}: {means:?}");
        }
    }
}

#[test]
fn prefix_hits_lower_ttft_and_do_not_raise_tpot() {
    for seed in 1..4 {
        let asked = |shared| Asked { requests: 200, input: 2_000, shared, output: 40 };
        let run =
            |shared| figures("llama-3.1-8b@h100", Load::Poisson { rate: 8.0 }, asked(shared), seed);
        let (cold, warm) = (run(0), run(1_600));
        assert!(warm.ttft_mean < 0.8 * cold.ttft_mean, "{} {}", warm.ttft_mean, cold.ttft_mean);
        assert!(warm.tpot_mean <= cold.tpot_mean);
    }
}

#[test]
fn a_larger_token_budget_trades_the_worst_gap_for_throughput() {
    let longest_gap = |budget: u32| {
        let line = format!("llama-3.1-8b@h100,batched={budget}");
        let mut record = Record::default();
        let asked = Asked { requests: 150, input: 3_000, shared: 0, output: 60 };
        drive(&deployment(&line), Load::Closed { concurrency: 32 }, asked, 1, &mut record);
        let mut last = BTreeMap::new();
        let gaps = record.chunks.iter().filter_map(|chunk| {
            last.insert(chunk.request, chunk.at).map(|before: Stamp| chunk.at.since(before))
        });
        let worst = gaps.max().unwrap();
        let end = record.requests.iter().map(|row| row.end).max().unwrap();
        (worst, end)
    };
    let ((small_gap, small_end), (large_gap, large_end)) = (longest_gap(512), longest_gap(8_192));
    assert!(large_gap > small_gap, "{large_gap} {small_gap}");
    assert!(large_end < small_end, "{large_end:?} {small_end:?}");
}

#[test]
fn littles_law_holds_exactly() {
    let mut record = Record::default();
    drive(&deployment("llama-3.1-8b@h100"), Load::Poisson { rate: 12.0 }, CHAT, 5, &mut record);
    // The integral of requests in flight, from a sweep over arrivals and ends …
    let mut changes: Vec<(u64, i64)> =
        record.requests.iter().flat_map(|row| [(row.due.0, 1), (row.end.0, -1)]).collect();
    changes.sort_unstable();
    let (mut area, mut level, mut before) = (0_i128, 0_i128, 0_u64);
    for (at, change) in changes {
        area += level * i128::from(at - before);
        level += i128::from(change);
        before = at;
    }
    // … is the sum of the times that they took, to the nanosecond.
    let times: i128 = record.requests.iter().map(|r| i128::from(r.end.since(r.due).0)).sum();
    assert_eq!((area, level), (times, 0));
}

#[test]
fn the_same_seed_gives_the_same_rows() {
    let rows = |seed| {
        let mut record = Record::default();
        let line = "llama-3.1-8b@h100,replicas=2,speculate=3:0.6:1";
        drive(&deployment(line), Load::Poisson { rate: 20.0 }, CHAT, seed, &mut record);
        format!("{:?}{:?}", record.requests, record.chunks)
    };
    assert_eq!(rows(1), rows(1));
    assert_ne!(rows(1), rows(2));
}

#[test]
fn rows_are_whole_and_in_order() {
    let mut record = Record::default();
    drive(&deployment("qwen3-8b@h100"), Load::Closed { concurrency: 8 }, CHAT, 1, &mut record);
    assert_eq!(record.requests.len(), 300);
    for row in &record.requests {
        let (first, last) = (row.first_token.unwrap(), row.last_token.unwrap());
        assert!(row.due <= row.sent.unwrap() && row.due < first && first < last);
        assert_eq!(last, row.end);
        assert_eq!(row.usage.unwrap().completion_tokens, 60);
    }
    let tokens: u32 = record.chunks.iter().map(|chunk| chunk.tokens.unwrap()).sum();
    assert_eq!(tokens, 300 * 60);
    assert!(record.chunks.is_sorted_by_key(|chunk| chunk.at));
}

#[test]
fn what_the_horizon_cuts_off_is_abandoned_and_nothing_is_lost() {
    let mut fleet = Fleet::new(&deployment("llama-3.1-8b@h100"), Seed(1)).unwrap();
    let mut stream = Stream::new(Load::Burst, 50, Seed(1));
    let long = Lengths::Fixed(500);
    let mut ask = |due: Due| Lengths::job(long, long, Seed(1), due.id);
    let horizon = Horizon { until: Stamp(2_000_000_000), ..Horizon::default() };
    let mut record = Record::default();
    predict(&mut fleet, &mut stream, &mut ask, horizon, &mut record);
    assert_eq!(record.requests.len(), 50);
    assert!(record.requests.iter().all(|row| row.outcome == Outcome::Abandoned));
    assert!(!record.chunks.is_empty());
}

#[test]
fn a_prediction_says_when_it_does_not_know() {
    use crate::validate::Figure;
    let line = "llama-3.1-8b@h100";
    let of = |line: &str, rate, figure| {
        let figures = figures(line, Load::Poisson { rate }, CHAT, 1);
        uncertainty(&deployment(line), &figures, figure)
    };
    assert!(matches!(of(line, 2.0, Figure::Ttft), Uncertainty::Within(share) if share < 1.0));
    assert_eq!(of(line, 500.0, Figure::Ttft), Uncertainty::Unknown);
    let (calm, busy) = (of(line, 2.0, Figure::Tpot), of(line, 500.0, Figure::Tpot));
    let foreign = of("llama-3.1-8b@mi300x", 2.0, Figure::Tpot);
    let share = |uncertainty| match uncertainty {
        Uncertainty::Within(share) => share,
        Uncertainty::Unknown => f64::INFINITY,
    };
    assert!(share(busy) > share(calm) && share(foreign) > share(calm));
}

/// The Azure study's three profiles on 8 × H100, with the cache hits that it reports.
const PROFILES: [(&str, Asked, f64); 3] = [
    ("chat", Asked { requests: 1_600, input: 350, shared: 256, output: 200 }, 4.2),
    ("classification", Asked { requests: 800, input: 8_000, shared: 7_920, output: 50 }, 5.2),
    ("code generation", Asked { requests: 600, input: 4_500, shared: 0, output: 50 }, 1.9),
];

#[test]
fn eight_replicas_of_a_small_model_beat_one_over_eight_gpus() {
    for (name, asked, published) in PROFILES {
        let rate = |line| figures(line, Load::Closed { concurrency: 512 }, asked, 1).output_rate;
        let ratio = rate("llama-3.1-8b@h100,replicas=8") / rate("llama-3.1-8b@h100,tp=8");
        let off = ratio / published;
        assert!((0.65..1.35).contains(&off), "{name}: {ratio:.2}, published {published}");
    }
}

#[test]
fn cards_without_peer_access_prefer_stages_for_long_prompts() {
    let asked = Asked { requests: 20, input: 23_000, shared: 0, output: 100 };
    let run = |split: &str| {
        let line = format!("qwen3-32b-fp8@4070-ti-super,kv=fp8,{split}");
        figures(&line, Load::Closed { concurrency: 10 }, asked, 1)
    };
    let (whole, staged) = (run("tp=8"), run("tp=4,pp=2"));
    assert!(staged.output_rate > 1.1 * whole.output_rate);
    assert!(staged.ttft_mean < whole.ttft_mean);
}
