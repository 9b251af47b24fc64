//! End to end against a real vLLM that generates nothing, which somebody else started with
//! `scripts/engines/vllm/serve.sh … --runner pooling --convert embed`: its URL in
//! `INFERMARK_E2E_POOLING_URL`, the folder of the model in `INFERMARK_E2E_MODEL_DIR`.
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

const APIS: [&str; 3] = ["embeddings", "pooling", "rerank"];

fn infermark(dir: &Path, words: &str, more: &[&str]) -> Output {
    real::infermark("INFERMARK_E2E_POOLING_URL", dir, words, more)
}

#[test]
fn inputs_are_exact_and_agree_with_the_server() {
    let _turn = TURN.lock().unwrap();
    let model = variable("INFERMARK_E2E_MODEL_DIR");
    for (api, tokenizer) in APIS.iter().flat_map(|api| [(api, model.as_str()), (api, "server")]) {
        let dir = tempfile::tempdir().unwrap();
        let load = "run --requests 24 --concurrency 4 --input-tokens 48 --quiet";
        let more = ["--api", api, "--tokenizer", tokenizer, "--record", "here"];
        let page = page(&infermark(dir.path(), load, &more));
        let point = &page["points"][0];
        assert_eq!(page["target"]["server"]["name"], "vllm");
        assert_eq!(point["counts"]["success"], 24, "{api}: {}", point["counts"]);
        assert_eq!(point["tokens"]["input_mean"], 48.0, "{api}");
        assert_eq!(point["tokens"]["output_mean"], 0.0, "{api}");
        assert!(point["latency"]["ttft_ms"].is_null() && !point["latency"]["e2e_ms"].is_null());
        let rows = infermark_store::open(&dir.path().join("here")).unwrap().telemetry().unwrap();
        let prompts = rows.map(Result::unwrap).filter(|row| row.metric == Metric::PromptTokens);
        let totals: Vec<_> = prompts.map(|row| row.value).collect();
        let counted = totals.last().unwrap() - totals[0];
        assert!((counted - 24.0 * 48.0).abs() < 0.5, "{api}: {counted}");
    }
}

#[test]
fn an_unknown_model_is_refused_in_the_servers_words() {
    let _turn = TURN.lock().unwrap();
    let dir = tempfile::tempdir().unwrap();
    for api in APIS {
        let output = infermark(dir.path(), "run --model nobody --quiet", &["--api", api]);
        assert_eq!(output.status.code(), Some(5), "{api}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("The model `nobody` does not exist"), "{api}: {said}");
    }
}

#[test]
fn what_does_not_fit_into_the_context_is_said_before_it_is_sent() {
    let _turn = TURN.lock().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let output = infermark(dir.path(), "run --input-tokens 9000 --quiet", &["--api", "embeddings"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the context of `tiny`, which holds 8192"), "{said}");
}

#[test]
fn the_doctor_understands_every_line() {
    let _turn = TURN.lock().unwrap();
    let dir = tempfile::tempdir().unwrap();
    for api in APIS {
        let model = variable("INFERMARK_E2E_MODEL_DIR");
        let page = page(&infermark(dir.path(), "doctor --tokenizer", &[&model, "--api", api]));
        let findings = page["findings"].as_array().unwrap();
        assert!(findings.iter().all(|finding| finding["state"] != "failure"), "{api}: {page}");
    }
}
