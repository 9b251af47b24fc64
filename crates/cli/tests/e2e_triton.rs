//! End to end against a real Triton that somebody else started with `scripts/engines/triton`: its
//! URL in `INFERMARK_E2E_TRITON_URL`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::process::{Command, Output};

use serde_json::Value;

#[expect(clippy::disallowed_methods, reason = "whoever started the server says where it is")]
fn url() -> String {
    std::env::var("INFERMARK_E2E_TRITON_URL").expect("INFERMARK_E2E_TRITON_URL says nothing")
}

fn infermark(args: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_infermark"));
    command.args(args).current_dir(dir.path()).output().unwrap()
}

fn result(args: &[&str]) -> Value {
    let output = infermark(args);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn lengths_are_exact_and_every_token_is_a_chunk() {
    let url = url();
    for api in ["triton", "auto"] {
        let page = result(&[
            "run",
            &url,
            "--api",
            api,
            "--requests",
            "32",
            "--concurrency",
            "4",
            "--input-tokens",
            "32",
            "--output-tokens",
            "16",
            "--quiet",
            "--format",
            "json",
        ]);
        let point = &page["points"][0];
        assert_eq!(page["target"]["api"], "triton");
        assert_eq!(page["target"]["server"]["name"], "triton");
        assert_eq!(point["counts"]["success"], 32);
        assert_eq!(point["tokens"]["input_mean"], 32.0);
        assert_eq!(point["tokens"]["output_mean"], 16.0);
        assert_eq!(point["tokens"]["per_chunk_mean"], 1.0);
    }
}

#[test]
fn an_unknown_model_is_refused_in_tritons_words() {
    let output = infermark(&["run", &url(), "--api", "triton", "--model", "nobody", "--quiet"]);
    assert_eq!(output.status.code(), Some(5));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("unknown model: 'nobody'"), "{said}");
}

#[test]
fn requests_that_outlive_the_drain_expire_and_are_counted() {
    let page = result(&[
        "run",
        &url(),
        "--api",
        "triton",
        "--concurrency",
        "4",
        "--duration",
        "2s",
        "--drain",
        "100ms",
        "--output-tokens",
        "2000",
        "--quiet",
        "--format",
        "json",
    ]);
    let counts = &page["points"][0]["counts"];
    assert_eq!(counts["due"], counts["expired"]);
    assert_eq!(counts["due"], 4);
}

#[test]
fn the_doctor_understands_every_line() {
    let page = result(&["doctor", &url(), "--api", "auto", "--format", "json"]);
    let findings = page["findings"].as_array().unwrap();
    assert!(findings.iter().all(|finding| finding["state"] != "failure"), "{page}");
}
