//! End to end against a real `transformers serve` that somebody else started with
//! `scripts/engines/transformers`: its URL in `INFERMARK_E2E_TRANSFORMERS_URL`, the folder of the
//! model in `INFERMARK_E2E_MODEL_DIR`.
//!
//! It knows no field of an exact length and ends its streams without a `[DONE]`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod real;

use std::process::Output;
use std::sync::Mutex;

use self::real::{page, variable};

/// It generates for one request at a time, so one test at a time.
static TURN: Mutex<()> = Mutex::new(());

fn infermark(words: &str, more: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    real::infermark("INFERMARK_E2E_TRANSFORMERS_URL", dir.path(), words, more)
}

#[test]
fn inputs_are_exact_and_answers_end_at_their_limit() {
    let _turn = TURN.lock().unwrap();
    let model = variable("INFERMARK_E2E_MODEL_DIR");
    for (api, found) in [("auto", "chat"), ("completions", "completions")] {
        let load = "run --model tiny --requests 6 --concurrency 2 --input-tokens 32 --quiet";
        let more =
            ["--output-tokens", "6", "--output-length", "natural", "--api", api, "--tokenizer"];
        let page = page(&infermark(load, &[&more[..], &[&model]].concat()));
        let point = &page["points"][0];
        assert_eq!(page["target"]["api"], found);
        assert_eq!(point["counts"]["success"], 6, "{api}: {}", point["counts"]);
        assert_eq!(point["tokens"]["input_mean"], 32.0, "{api}");
        assert_eq!(point["tokens"]["source"], "server", "{api}");
        // The model may end an answer of itself, but not beyond the limit.
        let output = point["tokens"]["output_mean"].as_f64().unwrap();
        assert!(output > 0.0 && output <= 6.0, "{api}: {output}");
        assert!(!point["latency"]["ttft_ms"].is_null(), "{api}");
    }
}

#[test]
fn an_unknown_model_is_refused_in_the_servers_words() {
    let _turn = TURN.lock().unwrap();
    let output = infermark("run --model nobody --api chat --quiet", &[]);
    assert_eq!(output.status.code(), Some(5));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("requested 'nobody'"), "{said}");
}

#[test]
fn requests_that_outlive_the_drain_expire_and_are_counted() {
    let _turn = TURN.lock().unwrap();
    let words = "run --model tiny --api chat --concurrency 1 --duration 1s --drain 100ms --quiet";
    let page = page(&infermark(words, &["--input-tokens", "16", "--output-tokens", "1000"]));
    let counts = &page["points"][0]["counts"];
    assert_eq!((&counts["due"], &counts["expired"]), (&1.into(), &1.into()), "{counts}");
}

#[test]
fn the_doctor_understands_every_line() {
    let _turn = TURN.lock().unwrap();
    let page = page(&infermark("doctor --model tiny --api auto", &[]));
    let findings = page["findings"].as_array().unwrap();
    assert!(findings.iter().all(|finding| finding["state"] != "failure"), "{page}");
}
