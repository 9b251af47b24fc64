//! Predictions against laws, and against the latencies that the engine was given.

use infermark_scenario::settings::{self, Setting};
use infermark_scenario::{Given, Resolved, resolve};
use infermark_terms::{CaveatCode, Nanos, Outcome, Seed};

use infermark_measure::{Finding, Limit};

use super::*;

fn scenario(target: &str, given: &[(&'static Setting, &str)]) -> Resolved {
    let given = given.iter().map(|(setting, text)| Given::flag(setting, *text));
    let target = Given::flag(&settings::TARGET, format!("sim:{target}"));
    resolve(given.chain([target]).collect(), Seed(3)).unwrap()
}

fn one(target: &str, given: &[(&'static Setting, &str)]) -> Predicted {
    predict(&scenario(target, given), Loads::One, &Shelf::default()).unwrap().points.remove(0)
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
        let prediction = predict(&scenario(LLAMA, &given), Loads::One, &Shelf::default()).unwrap();
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
    let swept = predict(&resolved, Loads::Sweep(Axis::Concurrency), &Shelf::default()).unwrap();
    let rate = |p: &Predicted| p.point.rates.unwrap().output_tokens_per_s;
    let (first, last) = (&swept.points[0], swept.points.last().unwrap());
    assert!(rate(last) > 3.0 * rate(first));
    let knee = swept.knee.unwrap();
    assert!(knee > 0 && knee < swept.points.len() - 1, "{knee} of {}", swept.points.len());
    assert_eq!(swept.header.rest["knee"]["point"], knee);

    let rates = predict(&resolved, Loads::Sweep(Axis::Rate), &Shelf::default()).unwrap();
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
fn a_sweep_of_conversations_offers_as_many_as_the_plateau_carries() {
    let given =
        [(&settings::REQUESTS, "64"), (&settings::OUTPUT_TOKENS, "16"), (&settings::TURNS, "4")];
    let resolved = scenario("llama-3.1-8b@h100,seqs=8", &given);
    let sweep = |axis| predict(&resolved, Loads::Sweep(axis), &Shelf::default()).unwrap().points;
    let carried = sweep(Axis::Concurrency).into_iter().map(|p| p.point.rates.unwrap());
    let most = carried.map(|rates| rates.requests_per_s).fold(0.0, f64::max);
    let last = crate::knee::load(&sweep(Axis::Rate).last().unwrap().point.load);
    let share = 4.0 * last / most;
    assert!((1.28..1.32).contains(&share), "{last} sessions/s of 4 turns, {most} requests/s");
}

#[test]
fn conversations_that_come_faster_than_they_end_saturate_though_their_turns_wait_for_answers() {
    // 23.7 of three turns a second is what it carries: requests fall behind by a third of what
    // conversations do.
    for (rate, saturated) in [("25.6/s", true), ("21/s", false)] {
        let given = [
            (&settings::RATE, rate),
            (&settings::WARMUP, "10s"),
            (&settings::DURATION, "100s"),
            (&settings::TURNS, "3"),
            (&settings::THINK_TIME, "50ms"),
            (&settings::INPUT_TOKENS, "32"),
            (&settings::OUTPUT_TOKENS, "8"),
        ];
        let point = one(LLAMA, &given).point;
        assert_eq!(point.saturated, saturated, "{rate}");
        let mut details = point.trust.caveats.iter().map(|caveat| &caveat.detail);
        assert_eq!(details.any(|said| said.contains(" sessions arrived")), saturated, "{rate}");
    }
}

#[test]
fn a_sweep_leads_enough_conversations_for_its_load() {
    let given =
        [(&settings::SESSIONS, "4"), (&settings::OUTPUT_TOKENS, "16"), (&settings::TURNS, "2")];
    let resolved = scenario("llama-3.1-8b@h100,seqs=8", &given);
    let loads = Loads::Sweep(Axis::Concurrency);
    let swept = predict(&resolved, loads, &Shelf::default()).unwrap();
    for Predicted { point, .. } in &swept.points {
        let most = point.concurrency.unwrap().peak;
        assert_eq!(most as u32, crate::knee::load(&point.load) as u32);
    }
    assert!(swept.points.len() > 4, "{}", swept.points.len());
}

#[test]
fn a_turn_that_is_refused_ends_its_conversation() {
    let given = [
        (&settings::RATE, "50/s"),
        (&settings::SESSIONS, "60"),
        (&settings::TURNS, "3"),
        (&settings::OUTPUT_TOKENS, "50"),
    ];
    let Rehearsal { requests, .. } =
        rehearse(&scenario(&format!("{LLAMA},seqs=2,queue=2"), &given)).unwrap();
    let (mut refused, mut later) = (0, 0);
    for session in 0..60 {
        let mut turns: Vec<_> =
            requests.iter().filter(|row| row.turn.unwrap().session == session).collect();
        turns.sort_by_key(|row| row.turn);
        let (last, before) = turns.split_last().unwrap();
        assert!(before.iter().all(|row| matches!(row.outcome, Outcome::Finished { .. })));
        let is_refused = matches!(last.outcome, Outcome::Refused { .. });
        assert!(is_refused || turns.len() == 3, "{last:?}");
        refused += u32::from(is_refused);
        later += u32::from(is_refused && !before.is_empty());
    }
    assert!(refused > 10 && refused < 60 && later > 0, "{refused} {later}");
}

#[test]
fn a_trace_is_predicted_at_its_instants_and_lengths_and_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.jsonl");
    let line = |(at, input, output)| {
        format!("{{\"at_s\":{at},\"input_tokens\":{input},\"output_tokens\":{output}}}\n")
    };
    let lines: String = [(10.0, 300, 4), (11.0, 200, 5), (13.5, 100, 6)].map(line).concat();
    std::fs::write(&path, lines).unwrap();
    let given = [(&settings::TRACE, path.to_str().unwrap()), (&settings::TIME_SCALE, "2x")];
    let resolved = scenario(LLAMA, &given);
    let asked = rehearse(&resolved).unwrap().requests.into_iter().map(|row| {
        assert!(matches!(row.outcome, Outcome::Finished { .. }));
        (row.due, row.asked_input, row.asked_output)
    });
    let told = [(0, 300, 4), (500, 200, 5), (1750, 100, 6)];
    let told = told.map(|(at, input, output)| {
        (Stamp::ZERO + Nanos::from_millis(at), Some(input), Some(output))
    });
    assert_eq!(asked.collect::<Vec<_>>(), told);
    // What was read for the words about it is not read again.
    let shelf = Shelf::default();
    let words = crate::preview(&resolved.scenario, &shelf).unwrap().unwrap();
    assert!(words.ends_with("3 requests within 1.8 s at 2x"), "{words}");
    std::fs::remove_file(path).unwrap();
    assert_eq!(predict(&resolved, Loads::One, &shelf).unwrap().points[0].point.counts.success, 3);
}

#[test]
fn a_conversation_is_of_one_class_from_its_first_turn_to_its_last() {
    let mut given: Vec<_> = [
        (&settings::CONCURRENCY, "4"),
        (&settings::SESSIONS, "30"),
        (&settings::TURNS, "3"),
        (&settings::OUTPUT_TOKENS, "8"),
    ]
    .map(|(setting, text)| Given::flag(setting, text))
    .to_vec();
    given.push(Given::flag(&settings::TARGET, format!("sim:{LLAMA}")));
    for class in ["name=long; input_tokens=400", "name=short; input_tokens=50; weight=2"] {
        given.push(Given::flag(&settings::CLASSES, class));
    }
    let resolved = resolve(given, Seed(3)).unwrap();
    let rows = rehearse(&resolved).unwrap().requests;
    assert_eq!(rows.len(), 90);
    for row in &rows {
        // All that was said before it, and its own words.
        let own = [400, 50][row.class.unwrap() as usize];
        let said = row.turn.unwrap().index * (own + 8);
        assert_eq!(row.asked_input, Some(said + own), "{row:?}");
    }
    let prediction = predict(&resolved, Loads::One, &Shelf::default()).unwrap();
    let point = &prediction.points[0].point;
    let counts: Vec<_> = point.classes.iter().map(|class| class.counts.success).collect();
    assert!(counts.iter().all(|count| *count > 0 && count % 3 == 0), "{counts:?}");
    assert_eq!(counts.iter().sum::<u64>(), 90);
}

#[test]
fn only_the_embedded_engine_is_predicted() {
    let url = Given::flag(&settings::TARGET, "http://localhost:8000");
    let resolved = resolve(vec![url], Seed(1)).unwrap();
    let error = predict(&resolved, Loads::One, &Shelf::default()).unwrap_err();
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
