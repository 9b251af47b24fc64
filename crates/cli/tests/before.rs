//! What comes before a load is the same for every command that puts one on a target.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod asked;

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use infermark_run::Environment;
use serde_json::json;

use crate::asked::Asked;

/// The commands that put a load on a target, with what makes each of them small.
const COMMANDS: [(&str, &[&str]); 6] = [
    ("run", &["run", "--requests", "4", "--concurrency", "2"]),
    ("repeat", &["run", "--repeat", "2", "--requests", "4", "--concurrency", "2"]),
    ("sweep", &["sweep", "--concurrency", "2", "--requests", "4"]),
    ("capacity", &["capacity", "--slo", "e2e:p50<=1s"]),
    ("validate", &["validate", "--suite", "suite.yaml"]),
    ("doctor", &["doctor"]),
];

/// A suite that names its dataset itself.
const SUITE: &str = "\
suite: s
title: S
scenario: {DATASETrequests: 4}
workloads:
  - name: w
    loads: [{concurrency: 2}]
";

fn infermark(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_infermark"));
    let _ = command.current_dir(dir).args(words).stdin(Stdio::null());
    let _ = command.env("INFERMARK_CALIBRATION", dir.join("calibration.json"));
    let _ = command.env("INFERMARK_RUNS", dir.join("runs"));
    command
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A hub with one dataset.
fn hub() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let _: thread::JoinHandle<()> = thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let Some(asked) = Asked::read(&mut stream) else { continue };
            assert!(asked.body.is_empty(), "what is fetched is only asked for");
            let body = if asked.head.contains("/api/") {
                json!({ "sha": "a".repeat(40), "siblings": [{ "rfilename": "x.jsonl" }] })
                    .to_string()
            } else {
                "{\"prompt\": \"one two three\"}\n".repeat(8)
            };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n", body.len());
            let answer = format!("{head}connection: close\r\n\r\n{body}");
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    url
}

#[test]
fn every_command_warns_and_fetches_before_it_reaches_its_target() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let target = format!("https://{closed}");
    let suite = SUITE.replace("DATASET", "dataset: 'hf:o/n:x.jsonl', ");
    std::fs::write(dir.path().join("suite.yaml"), suite).unwrap();
    for (name, words) in COMMANDS {
        let mut command = infermark(dir.path(), words);
        let _ = command.args([&target, "--insecure"]);
        // The suite names it itself; `doctor` looks at none.
        if !["validate", "doctor"].contains(&name) {
            let _ = command.args(["--dataset", "hf:o/n:x.jsonl"]);
        }
        let _ = command.env("HF_ENDPOINT", &hub).env("HF_HOME", dir.path().join(name));
        let output = command.env("INFERMARK_TIMOUT", "9s").output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(5), "{name}: {said}");
        let strange = "warning: the variable `INFERMARK_TIMOUT` is none that is known";
        assert_eq!(said.matches(strange).count(), 1, "{name}: {said}");
        if name != "doctor" {
            let unchecked = "warning: the server's certificate is not checked";
            assert_eq!(said.matches(unchecked).count(), 1, "{name}: {said}");
            assert!(said.contains("fetching x.jsonl of o/n from"), "{name}: {said}");
        }
    }
}

#[test]
fn a_load_outside_the_calibration_is_warned_of_once_by_every_command_that_knows_it_before() {
    let dir = tempfile::tempdir().unwrap();
    let kept = json!({
        "schema": "infermark.calibration/1",
        "created": "2026-11-22T12:00:00Z",
        "machine": Environment::observe(),
        "client_core": 0,
        "server_core": 1,
        "findings": {
            "depth": "quick",
            "rows": [],
            "regions": { "plain": { "reaches": [{ "streams": 1, "tokens_per_s": 1e9 }] } },
        },
    });
    std::fs::write(dir.path().join("calibration.json"), kept.to_string()).unwrap();
    std::fs::write(dir.path().join("suite.yaml"), SUITE.replace("DATASET", "")).unwrap();
    for (name, words) in COMMANDS.iter().filter(|(name, _)| !["capacity", "doctor"].contains(name))
    {
        let engine = "sim:ttft=1ms,itl=100us";
        let output = infermark(dir.path(), words).arg(engine).output().unwrap();
        let said = said(&output);
        let warning = "warning: this machine's calibration ends before this load: 2 streams";
        assert_eq!(said.matches(warning).count(), 1, "{name}: {said}");
        let quiet = infermark(dir.path(), words).args([engine, "--quiet"]).output().unwrap();
        assert!(!self::said(&quiet).contains("calibration"), "{name}");
    }
}
