//! End to end against a real llama.cpp that somebody else started with `scripts/engines/llamacpp`:
//! its URL in `INFERMARK_E2E_LLAMACPP_URL`, the folder of the model in `INFERMARK_E2E_MODEL_DIR`.
//!
//! What the client counts is held against what was asked and against the server's own counters.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod real;

use std::path::Path;
use std::process::Output;
use std::sync::Mutex;

use infermark_terms::Metric;

use self::real::{page, variable};

/// The server's counters are shared, so one test at a time.
static TURN: Mutex<()> = Mutex::new(());

fn infermark(dir: &Path, words: &str, more: &[&str]) -> Output {
    real::infermark("INFERMARK_E2E_LLAMACPP_URL", dir, words, more)
}

/// Returns what a total rose by in a run's telemetry, from its first sample to its last.
fn rise(record: &Path, metric: Metric) -> f64 {
    let rows = infermark_store::open(record).and_then(|run| run.telemetry()).unwrap();
    let values: Vec<_> =
        rows.map(Result::unwrap).filter(|row| row.metric == metric).map(|row| row.value).collect();
    values.last().unwrap() - values[0]
}

#[test]
fn every_api_gives_exact_lengths_and_the_counts_of_the_server() {
    let _turn = TURN.lock().unwrap();
    let model = variable("INFERMARK_E2E_MODEL_DIR");
    for (api, tokenizer, found) in [
        ("llamacpp", model.as_str(), "llamacpp"),
        ("chat", "server", "chat"),
        ("completions", model.as_str(), "completions"),
        ("auto", model.as_str(), "chat"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let load = "run --requests 24 --concurrency 4 --input-tokens 48 --output-tokens 12 --quiet";
        let more = ["--api", api, "--tokenizer", tokenizer, "--record", "here"];
        let page = page(&infermark(dir.path(), load, &more));
        let point = &page["points"][0];
        assert_eq!(page["target"]["api"], found);
        assert_eq!(page["target"]["server"]["name"], "llamacpp");
        assert_eq!(point["counts"]["success"], 24, "{api}: {}", point["counts"]);
        assert_eq!(point["tokens"]["input_mean"], 48.0, "{api}");
        assert_eq!(point["tokens"]["output_mean"], 12.0, "{api}");
        let generated = rise(&dir.path().join("here"), Metric::GenerationTokens);
        assert!((generated - 24.0 * 12.0).abs() < 0.5, "{api}: {generated}");
    }
}

#[test]
fn requests_that_outlive_the_drain_expire_and_are_counted() {
    let _turn = TURN.lock().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let words = "run --concurrency 4 --duration 2s --drain 100ms --output-tokens 8000 --quiet";
    let page = page(&infermark(dir.path(), words, &["--api", "llamacpp"]));
    let counts = &page["points"][0]["counts"];
    assert_eq!((&counts["due"], &counts["expired"]), (&4.into(), &4.into()), "{counts}");
}

#[test]
fn the_doctor_understands_every_line() {
    let _turn = TURN.lock().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let page = page(&infermark(dir.path(), "doctor --api auto", &["--tokenizer", "server"]));
    let findings = page["findings"].as_array().unwrap();
    assert!(findings.iter().all(|finding| finding["state"] != "failure"), "{page}");
}
