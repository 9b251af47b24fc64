//! Laws of the engine over random jobs and configurations.

use std::collections::BTreeMap;

use infermark_terms::{Nanos, Seed, Stamp};
use proptest::prelude::*;

use super::*;
use crate::deployment::Deployment;

fn fleet(line: &str) -> Fleet {
    let deployment: Deployment = line.parse().unwrap();
    Fleet::new(&deployment, Seed(7)).unwrap()
}

fn job(id: u64, prompt_tokens: u32, output_tokens: u32) -> Job {
    Job { id: JobId(id), prompt_tokens, output_tokens, blocks: Vec::new(), priority: 0 }
}

/// Runs until nothing more happens.
fn drain(engine: &mut dyn Engine) -> Vec<EngineEvent> {
    let mut events = Vec::new();
    engine.step(Stamp(u64::MAX / 2), &mut events);
    assert_eq!(engine.next_instant(), None);
    events
}

fn first_token(events: &[EngineEvent], id: u64) -> Stamp {
    let is = |e: &&EngineEvent| e.id.0 == id && matches!(e.kind, EventKind::Tokens { .. });
    events.iter().find(is).unwrap().at
}

fn finished(events: &[EngineEvent]) -> usize {
    events.iter().filter(|event| event.kind == EventKind::Finished).count()
}

/// A GPU so full that its KV holds few sequences.
const TIGHT: &str = "qwen2.5-14b@l40s,memory=0.78";

#[test]
fn when_kv_runs_out_the_last_to_come_is_preempted_and_still_finishes() {
    let mut engine = fleet(TIGHT);
    for id in 0..24 {
        engine.submit(Stamp::ZERO, job(id, 600, 1_200));
    }
    let events = drain(&mut engine);
    let preempted: Vec<_> =
        events.iter().filter(|e| e.kind == EventKind::Preempted).map(|e| e.id.0).collect();
    assert!(!preempted.is_empty(), "the test needs a tighter memory");
    assert!(!preempted.contains(&0), "the first to come never gives way");
    assert_eq!(finished(&events), 24);
    assert_eq!(engine.gauges().preemptions, preempted.len() as u64);
    assert_eq!(engine.gauges().kv_usage.to_bits(), 0.0_f64.to_bits());
}

#[test]
fn a_prompt_seen_before_is_not_computed_again() {
    let blocks: Vec<u64> = (0..125).collect();
    let ask = |id| Job { blocks: blocks.clone(), ..job(id, 2_000, 10) };
    let mut engine = fleet("llama-3.1-8b@h100");
    engine.submit(Stamp::ZERO, ask(1));
    let cold = first_token(&drain(&mut engine), 1).since(Stamp::ZERO);
    let start = Stamp(1_000_000_000_000);
    engine.submit(start, ask(2));
    let events = drain(&mut engine);
    let kind = EventKind::FirstScheduled { cached_tokens: 1_984 };
    assert_eq!(events[0].kind, kind, "all but the block of the last token");
    assert!(first_token(&events, 2).since(start) < cold);
    assert_eq!((engine.gauges().prefix_queries, engine.gauges().prefix_hits), (4_000, 1_984));

    let mut off = fleet("llama-3.1-8b@h100,prefix-cache=off");
    off.submit(Stamp::ZERO, ask(1));
    off.submit(Stamp::ZERO, ask(2));
    let _ = drain(&mut off);
    assert_eq!(off.gauges().prefix_hits, 0);
}

#[test]
fn by_priority_the_urgent_goes_first() {
    let mut engine = fleet("llama-3.1-8b@h100,policy=priority,seqs=1");
    for id in 0..5 {
        let priority = -i32::try_from(id).unwrap();
        engine.submit(Stamp::ZERO, Job { priority, ..job(id, 100, 5) });
    }
    let events = drain(&mut engine);
    let order: Vec<_> =
        events.iter().filter(|e| e.kind == EventKind::Finished).map(|e| e.id.0).collect();
    assert_eq!(order, [4, 3, 2, 1, 0]);
}

#[test]
fn beyond_the_queue_limit_and_the_context_jobs_are_rejected() {
    let mut engine = fleet("llama-3.1-8b@h100,queue=2,seqs=1,context=4000");
    for id in 0..5 {
        engine.submit(Stamp::ZERO, job(id, 100, 5));
    }
    engine.submit(Stamp::ZERO, job(9, 4_000, 5));
    let mut rejected = BTreeMap::new();
    for event in drain(&mut engine) {
        if let EventKind::Rejected { reason } = event.kind {
            let _ = rejected.insert(event.id.0, reason);
        }
    }
    assert_eq!(rejected.get(&9), Some(&RejectReason::TooLong));
    assert_eq!(rejected.values().filter(|r| **r == RejectReason::QueueFull).count(), 3);
}

#[test]
fn guesses_that_are_right_save_steps() {
    let span = |line: &str| {
        let mut engine = fleet(line);
        engine.submit(Stamp::ZERO, job(1, 100, 400));
        let events = drain(&mut engine);
        let steps = events.iter().filter(|e| matches!(e.kind, EventKind::Tokens { .. })).count();
        (steps, events.last().unwrap().at)
    };
    let (plain, plain_end) = span("qwen3-8b@h100");
    let (all, all_end) = span("qwen3-8b@h100,speculate=3:1:1");
    let (none, none_end) = span("qwen3-8b@h100,speculate=3:0:1");
    let (some, some_end) = span("qwen3-8b@h100,speculate=3:0.6:1");
    assert_eq!((plain, all, none), (400, 101, 400));
    assert!(all < some && some < none);
    assert!(all_end < some_end && some_end < plain_end && plain_end < none_end);
    // Mean tokens a step at acceptance a and k guesses: (1 − a^(k+1)) / (1 − a).
    let expected = 400.0 / ((1.0 - 0.6_f64.powi(4)) / 0.4);
    assert!((f64::from(u32::try_from(some).unwrap()) / expected - 1.0).abs() < 0.1);
}

#[test]
fn kv_that_travels_delays_the_second_token_only() {
    let tokens = |line: &str| {
        let mut engine = fleet(line);
        engine.submit(Stamp::ZERO, job(1, 4_000, 50));
        let events = drain(&mut engine);
        assert_eq!(finished(&events), 1);
        let at: Vec<_> = events
            .iter()
            .filter(|e| matches!(e.kind, EventKind::Tokens { .. }))
            .map(|e| e.at)
            .collect();
        assert_eq!(at.len(), 50);
        at
    };
    let together = tokens("llama-3.1-8b@h100,replicas=2");
    let apart = tokens("llama-3.1-8b@h100,replicas=2,prefill=1,transfer=10");
    assert_eq!(together[0], apart[0]);
    // 4,000 tokens × 131,072 bytes at 10 GB/s are 52 ms.
    let gap = apart[1].since(apart[0]).as_millis_f64();
    assert!((54.0..66.0).contains(&gap), "{gap}");
    let later = |at: &[Stamp]| at[49].since(at[1]);
    assert!(later(&apart).0.abs_diff(later(&together).0) < 1_000_000);
}

#[test]
fn a_router_that_knows_prefixes_keeps_groups_together() {
    let hits = |router: &str| {
        let mut engine = fleet(&format!("llama-3.1-8b@h100,replicas=4,router={router}"));
        for id in 0..64_u64 {
            let group = (id * 7) % 5;
            let blocks = (0..60).map(|index| Seed(group).at(index).0).collect();
            let at = Stamp::ZERO + Nanos::from_millis(200 * id);
            engine.step(at, &mut Vec::new());
            engine.submit(at, Job { blocks, ..job(id, 1_000, 20) });
        }
        let _ = drain(&mut engine);
        engine.gauges().prefix_hits
    };
    assert!(hits("prefix-aware") > hits("round-robin"));
}

const LINES: [&str; 8] = [
    "llama-3.1-8b@h100",
    "llama-3.1-8b@h100,seqs=4,batched=64",
    TIGHT,
    "qwen2.5-14b@l40s,memory=0.78,policy=priority",
    "qwen3-32b-fp8@4070-ti-super,tp=4,pp=2,kv=fp8,memory=0.95",
    "llama-3.1-8b@h100,replicas=3,prefill=1,speculate=2:0.5:0",
    "deepseek-r1@h200,tp=1,dp=8,ep=on",
    "llama-3.1-8b@h100,chunked=off,stack=sglang,speculate=4:0.7:1",
];

/// Arrival in milliseconds, prompt, output, group of shared prompts, priority.
type Drawn = (u64, u32, u32, u64, i32);

fn submit_all(engine: &mut Fleet, drawn: &[Drawn], stride: u64) -> Vec<EngineEvent> {
    let mut events = Vec::new();
    for (id, &(at, prompt, output, group, priority)) in drawn.iter().enumerate() {
        let at = Stamp::ZERO + Nanos::from_millis(at);
        // Asking in between, and late, must not change what happens.
        while stride > 0
            && let Some(late) = engine.next_instant().map(|next| next + Nanos(stride))
            && late < at
        {
            engine.step(late, &mut events);
        }
        engine.step(at, &mut events);
        let blocks = (0..prompt / 16).map(|index| Seed(group).at(index.into()).0).collect();
        let job = Job { blocks, priority, ..job(id as u64, prompt, output) };
        engine.submit(at, job);
    }
    events.extend(drain(engine));
    events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn every_job_ends_once_with_all_its_tokens(
        line in 0..LINES.len(),
        mut drawn in prop::collection::vec(
            (0..3_000_u64, 1..3_000_u32, 1..150_u32, 0..4_u64, -2..3_i32), 1..60),
    ) {
        drawn.sort_by_key(|job| job.0);
        let mut engine = fleet(LINES[line]);
        let events = submit_all(&mut engine, &drawn, 0);
        prop_assert!(events.is_sorted_by_key(|event| event.at));
        let mut tokens = vec![0; drawn.len()];
        let mut ends = vec![0; drawn.len()];
        for event in &events {
            let id = event.id.0 as usize;
            prop_assert!(ends[id] == 0, "nothing follows the end");
            prop_assert!(event.at >= Stamp::ZERO + Nanos::from_millis(drawn[id].0));
            match event.kind {
                EventKind::Tokens { count } => tokens[id] += count,
                EventKind::Finished => {
                    ends[id] += 1;
                    prop_assert_eq!(tokens[id], drawn[id].2);
                }
                EventKind::Rejected { .. } => ends[id] += 1,
                EventKind::FirstScheduled { .. } | EventKind::Preempted => {}
            }
        }
        prop_assert!(ends.iter().all(|&count| count == 1));
        let gauges = engine.gauges();
        prop_assert_eq!((gauges.running, gauges.waiting), (0, 0));
        prop_assert_eq!(gauges.kv_usage.to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn how_often_one_asks_changes_nothing(
        line in 0..LINES.len(),
        stride in 1..50_000_000_u64,
        mut drawn in prop::collection::vec(
            (0..2_000_u64, 1..2_000_u32, 1..60_u32, 0..3_u64, 0..1_i32), 1..30),
    ) {
        drawn.sort_by_key(|job| job.0);
        let rarely = submit_all(&mut fleet(LINES[line]), &drawn, 0);
        let often = submit_all(&mut fleet(LINES[line]), &drawn, stride);
        prop_assert_eq!(rarely, often);
    }

    #[test]
    fn an_aborted_job_leaves_nothing_behind(
        line in 0..LINES.len(),
        at in 0..3_000_u64,
        mut drawn in prop::collection::vec(
            (0..1_000_u64, 1..2_000_u32, 1..150_u32, 0..3_u64, 0..2_i32), 2..40),
    ) {
        drawn.sort_by_key(|job| job.0);
        let mut engine = fleet(LINES[line]);
        let mut events = Vec::new();
        for (id, &(_, prompt, output, _, priority)) in drawn.iter().enumerate() {
            engine.submit(Stamp::ZERO, Job { priority, ..job(id as u64, prompt, output) });
        }
        let at = Stamp::ZERO + Nanos::from_millis(at);
        engine.step(at, &mut events);
        for id in (0..drawn.len() as u64).step_by(2) {
            engine.abort(at, JobId(id));
        }
        let before = events.len();
        events.extend(drain(&mut engine));
        prop_assert!(events[before..].iter().all(|event| event.id.0 % 2 == 1));
        prop_assert_eq!((engine.gauges().running, engine.gauges().waiting), (0, 0));
        prop_assert_eq!(engine.gauges().kv_usage.to_bits(), 0.0_f64.to_bits());
    }
}
