//! Predictions against laws, and against the latencies that the engine was given.

use infermark_scenario::settings::{self, Setting};
use infermark_scenario::{Given, Resolved, resolve};
use infermark_terms::{CaveatCode, Seed};

use infermark_measure::{Finding, Limit};

use super::*;

fn scenario(target: &str, given: &[(&'static Setting, &str)]) -> Resolved {
    let given = given.iter().map(|(setting, text)| Given::flag(setting, *text));
    let target = Given::flag(&settings::TARGET, format!("sim:{target}"));
    resolve(given.chain([target]).collect(), Seed(3)).unwrap()
}

fn one(target: &str, given: &[(&'static Setting, &str)]) -> Predicted {
    predict(&scenario(target, given), Loads::One).unwrap().points.remove(0)
}

const LLAMA: &str = "llama-3.1-8b@h100";

#[test]
fn given_latencies_are_predicted_exactly() {
    let lengths = (&settings::OUTPUT_TOKENS, "11");
    let fixed = "ttft=50ms,itl=10ms";
    for load in [(&settings::CONCURRENCY, "4"), (&settings::RATE, "20/s")] {
        let predicted = one(fixed, &[load, lengths, (&settings::REQUESTS, "120")]);
        let latency = &predicted.point.latency;
        assert_eq!(predicted.point.counts.success, 120);
        for (estimate, value) in
            [(latency.ttft_ms, 50.0), (latency.tpot_ms, 10.0), (latency.itl_ms, 10.0)]
        {
            let estimate = estimate.unwrap();
            assert_eq!((estimate.min, estimate.max), (value, value));
        }
        assert!(predicted.uncertainty.tpot_ms.is_none());
        assert!(latency.lag_ms.is_none() && predicted.point.stamps.is_none());
    }
}

#[test]
fn a_window_ends_the_load_and_all_that_was_due_in_it_is_measured() {
    let given = [(&settings::RATE, "50/s"), (&settings::DURATION, "2s"), (&settings::WARMUP, "4s")];
    let predicted = one("ttft=300ms,itl=10ms", &given);
    let counts = &predicted.point.counts;
    assert!(counts.due > 50 && counts.success == counts.due, "{counts:?}");
    assert_eq!((predicted.point.window.start_s, predicted.point.window.end_s), (4.0, 6.0));
    let in_flight = predicted.point.concurrency.unwrap().mean;
    // Little's law: 50/s × 2.85 s, whose arrivals are random.
    assert!((100.0..180.0).contains(&in_flight), "{in_flight}");
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let bytes = |seed: &str| {
        let given = [
            (&settings::RATE, "5/s"),
            (&settings::REQUESTS, "60"),
            (&settings::OUTPUT_TOKENS, "uniform(8..40)"),
            (&settings::SEED, seed),
        ];
        let prediction = predict(&scenario(LLAMA, &given), Loads::One).unwrap();
        serde_json::to_string(&prediction.header).unwrap()
    };
    assert_eq!(bytes("7"), bytes("7"));
    assert_ne!(bytes("7"), bytes("8"));
}

#[test]
fn a_shared_prefix_is_found_in_the_cache() {
    let given = [
        (&settings::CONCURRENCY, "4"),
        (&settings::REQUESTS, "40"),
        (&settings::OUTPUT_TOKENS, "4"),
    ];
    let alone = one(LLAMA, &given);
    let prefix = [(&settings::PREFIX_TOKENS, "256"), (&settings::PREFIX_GROUPS, "2")];
    let shared = one(LLAMA, &[&given[..], &prefix[..]].concat());
    assert!(alone.point.server.unwrap().prefix_hit_rate.unwrap_or(0.0) < 1e-9);
    let hits = shared.point.server.unwrap().prefix_hit_rate.unwrap();
    assert!((0.35..0.5).contains(&hits), "{hits}");
}

#[test]
fn saturation_is_said_and_its_ttft_is_unknown() {
    let at = |rate| {
        let given = [(&settings::RATE, rate), (&settings::REQUESTS, "120")];
        let more = [(&settings::OUTPUT_TOKENS, "128"), (&settings::INPUT_TOKENS, "2000")];
        one(LLAMA, &[&given[..], &more[..]].concat())
    };
    let saturated = |predicted: &Predicted| {
        predicted.point.trust.caveats.iter().any(|c| c.code == CaveatCode::Saturated)
    };
    let (calm, full) = (at("1/s"), at("50/s"));
    assert!(!saturated(&calm) && calm.uncertainty.ttft_ms.is_some());
    assert!(calm.uncertainty.output_tokens_per_s.is_none(), "the load sets it");
    assert!(saturated(&full) && full.uncertainty.ttft_ms.is_none());
    assert!(full.uncertainty.output_tokens_per_s.is_some());
    assert_eq!(full.point.trust.verdict, Trust::Doubtful);
}

#[test]
fn unfamiliar_hardware_widens_and_says_so() {
    let given = [(&settings::REQUESTS, "20"), (&settings::OUTPUT_TOKENS, "8")];
    let width = |target| {
        let expected = one(target, &given).uncertainty;
        let [low, high] = expected.tpot_ms.unwrap();
        (
            high / low,
            expected.notes.iter().any(|note| note.contains("guesses") && expected.widened > 1.0),
        )
    };
    let (known, unknown) = (width(LLAMA), width("llama-3.1-8b@mi300x"));
    assert!(unknown.0 > known.0 && unknown.1 && !known.1);
}

#[test]
fn a_sweep_ends_in_a_plateau_and_its_knee_lies_within() {
    let given = [(&settings::REQUESTS, "16"), (&settings::OUTPUT_TOKENS, "16")];
    let resolved = scenario("llama-3.1-8b@h100,seqs=8", &given);
    let swept = predict(&resolved, Loads::Sweep(Axis::Concurrency)).unwrap();
    let rate = |p: &Predicted| p.point.rates.unwrap().output_tokens_per_s;
    let (first, last) = (&swept.points[0], swept.points.last().unwrap());
    assert!(rate(last) > 3.0 * rate(first));
    let knee = swept.knee.unwrap();
    assert!(knee > 0 && knee < swept.points.len() - 1, "{knee} of {}", swept.points.len());
    assert_eq!(swept.header.rest["knee"]["point"], knee);

    let rates = predict(&resolved, Loads::Sweep(Axis::Rate)).unwrap();
    assert_eq!(rates.points.len(), 13);
    assert_eq!(rates.header.points.len(), 13);
}

#[test]
fn conversations_are_predicted_turn_by_turn() {
    let given = [
        (&settings::CONCURRENCY, "4"),
        (&settings::SESSIONS, "40"),
        (&settings::TURNS, "3"),
        (&settings::THINK_TIME, "1s"),
        (&settings::INPUT_TOKENS, "600"),
        (&settings::OUTPUT_TOKENS, "100"),
    ];
    let point = one(LLAMA, &given).point;
    assert_eq!(point.counts.success, 120);
    assert_eq!(point.turns.len(), 3);
    for (index, turn) in (0..).zip(&point.turns) {
        assert_eq!(turn.counts.success, 40);
        // All that was said before it, and its own words.
        let input = turn.tokens.input_mean.unwrap();
        assert!((input - (600.0 + f64::from(index) * 700.0)).abs() < 1e-9, "{input}");
        assert!(turn.latency.lag_ms.is_none() && turn.latency.ttft_ms.is_some());
    }
    // What was said is still in the prefix cache: of a later turn only its own words are computed.
    let ttft = |point: &Point, turn: usize| point.turns[turn].latency.ttft_ms.unwrap().mean;
    let cold = one(&format!("{LLAMA},prefix-cache=off"), &given).point;
    assert!(ttft(&point, 2) < 1.2 * ttft(&point, 0), "{}", ttft(&point, 2));
    assert!(ttft(&cold, 2) > 2.0 * ttft(&cold, 0), "{}", ttft(&cold, 2));
}

#[test]
fn only_the_embedded_engine_is_predicted() {
    let url = Given::flag(&settings::TARGET, "http://localhost:8000");
    let resolved = resolve(vec![url], Seed(1)).unwrap();
    let error = predict(&resolved, Loads::One).unwrap_err();
    assert!(matches!(error, RunError::NoPrediction { .. }));
}

/// What limits a deployment in closed loop of 64 with such lengths.
fn limit(target: &str, input: &str, output: &str) -> Vec<Finding> {
    let given = [
        (&settings::CONCURRENCY, "64"),
        (&settings::REQUESTS, "256"),
        (&settings::INPUT_TOKENS, input),
        (&settings::OUTPUT_TOKENS, output),
    ];
    one(target, &given).point.diagnosis
}

#[test]
fn the_diagnosis_names_the_limit_that_was_planted() {
    for (target, input, output, planted, flag) in [
        ("llama-3.1-8b@h100,seqs=8", "256", "128", Limit::Queue, "`--max-num-seqs`"),
        ("llama-3.1-8b@h100,memory=0.25", "2000", "8", Limit::KvMemory, "`--gpu-memory"),
        ("llama-3.1-8b@h100,memory=0.25", "64", "1500", Limit::Preemption, "`--max-num-seqs`"),
        ("llama-3.1-8b@h100", "8000", "8", Limit::Prefill, "`--max-num-batched-tokens`"),
        ("llama-3.1-8b@h100", "64", "512", Limit::DecodeBandwidth, "`--tensor-parallel-size`"),
    ] {
        let findings = limit(target, input, output);
        assert_eq!(findings[0].limit, planted, "{target} {input}:{output}: {findings:?}");
        assert!(findings[0].hint.contains(flag), "{findings:?}");
    }
    let seldom =
        [(&settings::RATE, "0.5/s"), (&settings::REQUESTS, "20"), (&settings::OUTPUT_TOKENS, "32")];
    let findings = one("llama-3.1-8b@h100", &seldom).point.diagnosis;
    assert_eq!(findings[0].limit, Limit::OfferedLoad, "{findings:?}");
}
