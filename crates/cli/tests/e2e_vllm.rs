//! End to end against a real vLLM that somebody else started: its URL in
//! `INFERMARK_E2E_VLLM_URL`, the folder of the model it serves in `INFERMARK_E2E_MODEL_DIR`.
//!
//! What the client counts is held against what was asked and against the server's own counters.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;

use infermark_terms::Metric;
use serde_json::Value;

/// The server's counters are shared, so one test at a time.
static TURN: Mutex<()> = Mutex::new(());

#[expect(clippy::disallowed_methods, reason = "whoever started the server says where it is")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} says nothing"))
}

fn url() -> String {
    variable("INFERMARK_E2E_VLLM_URL")
}

fn run(dir: &tempfile::TempDir, args: &[&str]) -> Output {
    let record = dir.path().join("run");
    Command::new(env!("CARGO_BIN_EXE_infermark"))
        .args(["run", &url(), "--format", "json", "--record"])
        .arg(record)
        .args(args)
        .output()
        .expect("the binary runs")
}

fn result(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    serde_json::from_slice(&output.stdout).expect("the result is JSON")
}

/// Returns the sum over all labels of one of the server's counters.
fn counter(name: &str) -> f64 {
    let address = url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).expect("the server listens");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the server reads");
    let mut text = String::new();
    let _: usize = stream.read_to_string(&mut text).expect("the metrics are text");
    let samples = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Returns what a total rose by in a run's telemetry, from its first sample to its last.
fn rise(record: &Path, metric: Metric) -> f64 {
    let rows = infermark_store::open(record).and_then(|run| run.telemetry()).expect("a record");
    let rows = rows.map(|row| row.expect("telemetry is whole"));
    let values: Vec<_> = rows.filter(|row| row.metric == metric).map(|row| row.value).collect();
    values.last().expect("it was sampled") - values[0]
}

fn counters() -> (f64, f64) {
    (counter("vllm:prompt_tokens_total"), counter("vllm:generation_tokens_total"))
}

fn exact_counts(api: &str) {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let dir = tempfile::tempdir().expect("a directory can be made");
    let model = variable("INFERMARK_E2E_MODEL_DIR");
    let before = counters();
    let result = result(&run(
        &dir,
        &[
            "--api",
            api,
            "--concurrency",
            "8",
            "--requests",
            "64",
            "--input-tokens",
            "128",
            "--output-tokens",
            "64",
            "--tokenizer",
            &model,
        ],
    ));
    let after = counters();
    let point = &result["points"][0];
    assert_eq!(point["counts"]["due"], 64, "{point:#}");
    assert_eq!(point["counts"]["finished"], 64);
    assert_eq!(point["counts"]["success"], 64);
    assert_eq!(point["tokens"]["input_mean"], 128.0);
    assert_eq!(point["tokens"]["output_mean"], 64.0);
    assert_eq!(point["tokens"]["source"], "server");
    let client = (&point["tokens"]["input_total"], &point["tokens"]["output_total"]);
    assert_eq!(client.0.as_f64(), Some(after.0 - before.0), "prompt tokens");
    assert_eq!(client.1.as_f64(), Some(after.1 - before.1), "generation tokens");
    let rise = |metric| rise(&dir.path().join("run"), metric);
    assert_eq!(client.0.as_f64(), Some(rise(Metric::PromptTokens)), "telemetry's prompt tokens");
    assert_eq!(client.1.as_f64(), Some(rise(Metric::GenerationTokens)), "and generation tokens");
    assert!(!has_caveat(point, "CountsDisagree") && !has_caveat(point, "CacheContaminated"));
    assert_eq!(result["target"]["server"]["name"], "vllm");
    assert_eq!(result["partial"], false);
}

#[test]
fn chat_counts_are_exact_and_agree_with_the_server() {
    exact_counts("chat");
}

#[test]
fn completions_counts_are_exact_and_agree_with_the_server() {
    exact_counts("completions");
}

#[test]
fn token_id_prompts_count_exactly() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let model = variable("INFERMARK_E2E_MODEL_DIR");
    let result = result(&run(
        &dir,
        &[
            "--api",
            "completions",
            "--prompt-form",
            "token-ids",
            "--requests",
            "8",
            "--concurrency",
            "4",
            "--input-tokens",
            "uniform(32..96)",
            "--output-tokens",
            "8",
            "--tokenizer",
            &model,
        ],
    ));
    let point = &result["points"][0];
    assert_eq!(point["counts"]["success"], 8, "{point:#}");
    assert!(!has_caveat(point, "PromptLengthOff"), "{point:#}");
}

#[test]
fn the_servers_own_tokenizer_and_none_at_all_hit_the_length_too() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for tokenizer in ["server", "none"] {
        let dir = tempfile::tempdir().unwrap();
        let output = run(
            &dir,
            &[
                "--requests",
                "8",
                "--concurrency",
                "4",
                "--input-tokens",
                "200",
                "--output-tokens",
                "8",
                "--tokenizer",
                tokenizer,
            ],
        );
        let result = result(&output);
        let mean = result["points"][0]["tokens"]["input_mean"].as_f64().expect("it was counted");
        let slack = if tokenizer == "server" { 0.0 } else { 4.0 };
        assert!((mean - 200.0).abs() <= slack, "{tokenizer}: {mean}");
    }
}

#[test]
fn an_open_loop_arrives_as_asked() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let model = variable("INFERMARK_E2E_MODEL_DIR");
    let result = result(&run(
        &dir,
        &[
            "--rate",
            "5/s",
            "--arrivals",
            "poisson",
            "--duration",
            "20s",
            "--input-tokens",
            "64",
            "--output-tokens",
            "16",
            "--tokenizer",
            &model,
            "--seed",
            "7",
        ],
    ));
    let point = &result["points"][0];
    let due = point["counts"]["due"].as_u64().expect("a count");
    // The arrivals follow from the seed alone: the law's own scatter, never the server's.
    assert!((70..=130).contains(&due), "{due} arrivals");
    assert_eq!(point["counts"]["success"], due, "{point:#}");
    assert!(!has_caveat(point, "StimulusOff"), "{point:#}");
}

#[test]
fn a_whole_answer_has_no_first_token() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let result = result(&run(
        &dir,
        &["--stream=no", "--requests", "4", "--input-tokens", "64", "--output-tokens", "8"],
    ));
    let point = &result["points"][0];
    assert_eq!(point["counts"]["success"], 4, "{point:#}");
    assert_eq!(point["tokens"]["output_mean"], 8.0);
    assert!(point["latency"]["ttft_ms"].is_null() && !point["latency"]["e2e_ms"].is_null());
}

#[test]
fn a_completion_without_a_limit_goes_on_beyond_the_servers_own() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let rows = dir.path().join("rows.jsonl");
    std::fs::write(&rows, "{\"prompt\": \"hello there\"}\n").unwrap();
    let lengths = ["--dataset", rows.to_str().unwrap(), "--output-length", "natural"];
    let load = ["--api", "completions", "--requests", "1", "--timeout", "5s"];
    let output = run(&dir, &[&lengths[..], &load[..]].concat());
    let result: Value = serde_json::from_slice(&output.stdout).expect("the result is JSON");
    // Left out, `max_tokens` would be 16. This model does not end of itself.
    let tokens = result["points"][0]["tokens"]["output_total"].as_u64().expect("it was counted");
    assert!(tokens > 32, "{tokens}");
}

#[test]
fn an_unknown_model_is_refused_in_the_servers_words() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let output = run(&dir, &["--model", "nobody", "--requests", "2"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{errors}");
    assert!(errors.contains("The model `nobody` does not exist"), "{errors}");
}

#[test]
fn a_tokenizer_of_another_model_is_noticed() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("tokenizer.json");
    let letters: serde_json::Map<String, Value> = std::iter::once(("[UNK]".to_owned(), 0.into()))
        .chain(
            (b'a'..=b'z').zip(1..).map(|(letter, id)| (char::from(letter).to_string(), id.into())),
        )
        .collect();
    let tokenizer = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": words(letters), "unk_token": "[UNK]"},
    });
    std::fs::write(&other, tokenizer.to_string()).unwrap();
    let output = run(&dir, &["--tokenizer", other.to_str().unwrap(), "--requests", "2"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("the tokenizer is not the model's"), "{errors}");
}

/// A vocabulary of whole words that a real tokenizer takes apart.
fn words(mut vocabulary: serde_json::Map<String, Value>) -> serde_json::Map<String, Value> {
    for first in b'a'..=b'z' {
        for second in b'a'..=b'z' {
            let word = format!("{0}{1}{0}zq{1}", char::from(first), char::from(second));
            let id = vocabulary.len();
            let _: Option<Value> = vocabulary.insert(word, id.into());
        }
    }
    vocabulary
}

fn has_caveat(point: &Value, code: &str) -> bool {
    let caveats = point["trust"]["caveats"].as_array().expect("a list");
    caveats.iter().any(|caveat| caveat["code"] == code)
}
