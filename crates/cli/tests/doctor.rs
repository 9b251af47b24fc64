//! `infermark doctor`, and the API that is found by asking, against the embedded engine and a
//! served one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod served;

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::served::Served;

fn infermark(args: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_infermark"));
    command
        .args(args)
        .env("INFERMARK_CALIBRATION", dir.path().join("none.json"))
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn findings(output: &Output) -> Vec<(String, String)> {
    let page: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(page["schema"], "infermark.doctor/1");
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let all = page["findings"].as_array().unwrap();
    all.iter().map(|found| (word(&found["subject"]), word(&found["state"]))).collect()
}

#[test]
fn a_sound_target_is_understood_from_its_name_to_its_clock() {
    let served = Served::start(&[]);
    let output = infermark(&["doctor", &served.url, "--tokenizer", "server", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0));
    let found = findings(&output);
    for subject in [
        "name",
        "connection",
        "access",
        "server",
        "model",
        "api",
        "streaming",
        "usage",
        "chunk_tokens",
        "exact_length",
        "tokenizer",
        "metrics",
    ] {
        assert!(found.contains(&(subject.to_owned(), "ok".to_owned())), "{subject}: {found:?}");
    }
}

#[test]
fn an_api_that_cannot_order_a_length_is_a_warning() {
    let served = Served::start(&[]);
    let output = infermark(&["doctor", &served.url, "--api", "tgi", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0));
    let found = findings(&output);
    assert!(found.contains(&("exact_length".to_owned(), "warning".to_owned())), "{found:?}");
}

#[test]
fn a_closed_port_is_a_failure_of_the_target() {
    let output = infermark(&["doctor", "http://127.0.0.1:1", "--format", "json"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(findings(&output).contains(&("connection".to_owned(), "failure".to_owned())));
}

#[test]
fn every_streaming_api_is_run_against_the_embedded_engine() {
    let apis = [
        "chat",
        "completions",
        "responses",
        "tgi",
        "triton",
        "trtllm",
        "sglang",
        "llamacpp",
        "ollama",
        "ollama-generate",
        "anthropic",
        "auto",
    ];
    for api in apis {
        let output = infermark(&[
            "run",
            "sim:ttft=1ms,itl=100us",
            "--api",
            api,
            "--requests",
            "4",
            "--concurrency",
            "2",
            "--input-tokens",
            "32",
            "--output-tokens",
            "8",
            "--format",
            "json",
            "--quiet",
        ]);
        let page: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{api}: {}", String::from_utf8_lossy(&output.stderr)));
        let point = &page["points"][0];
        assert_eq!(point["counts"]["success"], 4, "{api}");
        assert_eq!(point["tokens"]["input_mean"], 32.0, "{api}");
        assert_eq!(point["tokens"]["source"], "server", "{api}");
        let found = if api == "auto" { "chat" } else { api };
        assert_eq!(page["target"]["api"], found);
    }
}
