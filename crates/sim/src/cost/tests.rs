//! Laws of the cost of a step.

use proptest::prelude::*;

use super::*;

fn model(line: &str) -> CostModel {
    CostModel::new(&line.parse().unwrap())
}

/// A step in which `batch` sequences decode behind `context` tokens.
fn decoding(batch: u32, context: u32) -> Work {
    let mut work = Work::default();
    for _ in 0..batch {
        work.add_decode(1, context, u32::MAX);
    }
    work
}

#[test]
fn narrow_weights_about_halve_weight_traffic() {
    let read = |line: &str| model(line).step(&decoding(1, 0)).linear;
    for name in ["llama-3.1-8b", "qwen3-32b", "llama-3.1-70b"] {
        let ratio = read(&format!("{name}-fp8@h200")) / read(&format!("{name}@h200"));
        assert!((0.48..0.60).contains(&ratio), "{name}: {ratio}");
    }
}

#[test]
fn at_an_equal_batch_tensor_parallelism_lowers_tpot_but_not_cost_per_token() {
    for name in ["llama-3.1-8b", "qwen3-32b", "llama-3.1-70b", "mixtral-8x7b"] {
        for batch in [1, 8, 64, 256] {
            let steps: Vec<f64> = [1, 2, 4, 8]
                .map(|tp| model(&format!("{name}@h200,tp={tp}")).step(&decoding(batch, 1_000)))
                .map(|cost| cost.total)
                .into();
            for (index, pair) in steps.windows(2).enumerate() {
                assert!(2.0 * pair[1] > pair[0], "{name} at {batch}: {steps:?}");
                // From 4 GPUs to 8, a small model has nothing left to gain.
                assert!(index == 2 || pair[1] < pair[0] * 1.02, "{name} at {batch}: {steps:?}");
            }
        }
    }
}

#[test]
fn eager_launches_hold_up_only_what_is_shorter_than_they_are() {
    let total = |line: &str, work: &Work| model(line).step(work).total;
    let (graphs, eager) = ("llama-3.2-1b@h100", "llama-3.2-1b@h100,launch=eager");
    assert!(total(eager, &decoding(1, 100)) > 1.5 * total(graphs, &decoding(1, 100)));
    let mut prompt = Work::default();
    prompt.add_prompt(8_192, 0, u32::MAX, PromptPiece::Last);
    let ratio = total(eager, &prompt) / total(graphs, &prompt);
    assert!((ratio - 1.0).abs() < 1e-9, "{ratio}");
}

#[test]
fn a_batch_reads_only_the_experts_that_it_visits() {
    let routed = |batch| {
        let cost = model("qwen3-235b-a22b@h200,tp=8,weights=bf16");
        cost.routed.unwrap().seconds(batch) / cost.routed.unwrap().expert.read_seconds()
    };
    assert!((routed(1.0) - 8.0).abs() < 0.1, "{}", routed(1.0));
    assert!((routed(16.0) - 128.0 * (1.0 - 0.9375_f64.powi(16))).abs() < 1.0);
    assert!(routed(64.0) < 140.0);
}

#[test]
fn pairs_of_a_windowed_prompt_are_those_that_counting_gives() {
    for (new, context, window) in [(10, 0, 4), (10, 3, 8), (5, 100, 8), (7, 0, 100), (1, 0, 1)] {
        let mut work = Work::default();
        work.add_prompt(new, context, window, PromptPiece::Inner);
        let counted: u32 = (1..=new).map(|i| (context + i).min(window)).sum();
        assert!((work.prompt_pairs_windowed - f64::from(counted)).abs() < 1e-9);
        let counted: u32 = (1..=new).map(|i| context + i).sum();
        assert!((work.prompt_pairs - f64::from(counted)).abs() < 1e-9);
    }
}

#[test]
fn a_step_is_never_faster_than_its_weights_can_be_read() {
    for line in ["llama-3.1-8b@h100", "llama-3.1-70b@h200,tp=8", "mistral-7b@a10", "qwen3-8b@t4"] {
        let deployment: Deployment = line.parse().unwrap();
        let model = &deployment.model;
        let bytes = (model.active_params()) * 2.0 / f64::from(deployment.parallel.tensor);
        let floor = bytes / deployment.gpu.bandwidth;
        assert!(CostModel::new(&deployment).step(&decoding(1, 1)).total > floor, "{line}");
    }
}

const LINES: [&str; 6] = [
    "llama-3.1-8b@h100",
    "gpt-oss-120b@a100,tp=2",
    "deepseek-r1@h200,tp=8,stack=sglang",
    "deepseek-r1@h200,tp=1,dp=8,ep=on",
    "qwen3-32b-fp8@4070-ti-super,tp=4,pp=2",
    "gemma-3-27b@mi300x",
];

proptest! {
    #[test]
    fn more_work_never_costs_less(
        line in 0..LINES.len(),
        batch in 1..300_u32,
        context in 0..20_000_u32,
        prompt in 1..8_000_u32,
    ) {
        let cost = model(LINES[line]);
        let window = cost.window();
        let mut work = decoding(batch, context);
        let alone = cost.step(&work).total;
        work.add_decode(1, context, window);
        let more = cost.step(&work).total;
        prop_assert!(more >= alone);
        work.add_prompt(prompt, context, window, PromptPiece::Last);
        prop_assert!(cost.step(&work).total >= more);
    }

    #[test]
    fn a_longer_context_never_costs_less(line in 0..LINES.len(), context in 0..30_000_u32) {
        let cost = model(LINES[line]);
        let total = |context| cost.step(&decoding(32, context)).total;
        prop_assert!(total(context + 1_000) >= total(context));
    }
}
