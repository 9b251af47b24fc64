//! Calibrations as people meet them: the processes that measure, and what a run makes of the
//! result. How exact anything was depends on the machine, so nothing here asks for that.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use infermark_calibrate::point::measure;
use infermark_calibrate::server::Scheme;
use infermark_calibrate::{Launch, Load, client};
use infermark_run::Environment;
use serde_json::{Value, json};

/// A small load: a few streams for a moment.
fn load(scheme: Scheme) -> Load {
    Load {
        streams: 4,
        rate: 0.0,
        tokens: 10,
        ttft_ns: 5_000_000,
        itl_ns: 1_000_000,
        warmup_ns: 100_000_000,
        scheme,
    }
}

#[test]
fn a_load_is_measured_by_processes_of_this_program_with_and_without_tls() {
    let program = env!("CARGO_BIN_EXE_infermark").into();
    let words = ["calibrate", "--role"].map(OsString::from).to_vec();
    let launch = Launch { program, words };
    for scheme in [Scheme::Http, Scheme::Https] {
        let outcome = measure(&launch, client::ROLE, load(scheme), 0.2).unwrap();
        let (said, truth) = (&outcome.said, &outcome.truth);
        assert!(said.requests > 0 && said.failed == 0, "{said:?}");
        assert!(truth.tokens > 0 && truth.itl.count > 0);
        // Both sides speak of the same requests.
        let answered: BTreeSet<u64> = truth.firsts.iter().map(|first| first.0).collect();
        assert!(said.sent.iter().any(|(number, _)| answered.contains(number)));
        assert!(outcome.true_ttft.p50 >= 5_000_000);
    }
}

#[test]
fn a_role_is_not_played_for_anybody_else() {
    for words in [["sing", "{}"], ["drive", "{}"]] {
        let mut command = infermark(Path::new("none.json"));
        let output = command.args(["calibrate", "--role"]).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
    }
}

fn infermark(calibration: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_infermark"));
    let _ = command.stdin(Stdio::null()).env("INFERMARK_CALIBRATION", calibration);
    command
}

/// Runs a small load beside a calibration of this machine that found so many streams exact.
fn run_beside(dir: &Path, machine: &Environment, streams: u32) -> Output {
    let kept = json!({
        "schema": "infermark.calibration/1",
        "created": "2026-11-22T12:00:00Z",
        "machine": machine,
        "client_core": 0,
        "server_core": 1,
        "findings": {
            "depth": "quick",
            "rows": [],
            "regions": { "plain": { "reaches": [{ "streams": streams, "tokens_per_s": 1e9 }] } },
        },
    });
    let path = dir.join("calibration.json");
    std::fs::write(&path, kept.to_string()).unwrap();
    let record = dir.join(format!("run-{streams}-{}", machine.cpus));
    infermark(&path)
        .args(["run", "sim:ttft=2ms,itl=1ms", "--concurrency", "4", "--requests", "40"])
        .args(["--threads", "1", "--format", "json", "--record"])
        .arg(record)
        .output()
        .unwrap()
}

fn doubts(result: &[u8]) -> Vec<String> {
    let result: Value = serde_json::from_slice(result).unwrap();
    let caveats = result["points"][0]["trust"]["caveats"].as_array().unwrap().clone();
    caveats.iter().map(|caveat| caveat["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_run_outside_the_calibrated_region_is_warned_of_and_doubted() {
    let dir = tempfile::tempdir().unwrap();
    let here = Environment::observe();
    let warned = |output: &Output| {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        errors.contains("warning: this machine's calibration ends before this load: 4 streams")
    };
    let doubted = |output: &Output| doubts(&output.stdout).contains(&"OutsideCalibration".into());

    let outside = run_beside(dir.path(), &here, 1);
    assert!(warned(&outside) && doubted(&outside));
    // The record is judged alike when it is read back, wherever that is.
    let report = infermark(Path::new("none.json"))
        .args(["report", "--format", "json"])
        .arg(dir.path().join(format!("run-1-{}", here.cpus)))
        .output()
        .unwrap();
    assert!(doubted(&report));

    let inside = run_beside(dir.path(), &here, 4);
    assert!(!warned(&inside) && !doubted(&inside));

    let elsewhere = Environment { cpus: here.cpus + 1, ..here };
    let other = run_beside(dir.path(), &elsewhere, 1);
    assert!(!warned(&other) && !doubted(&other), "another machine's calibration says nothing");
}
