//! How infermark gets to servers: several of them, and some that drop what they are sent.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod asked;
mod served;

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use crate::asked::Asked;
use crate::served::Served;

fn infermark(dir: &TempDir, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_infermark"))
        .args(args)
        .env("INFERMARK_CALIBRATION", dir.path().join("no-calibration.json"))
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn json(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"))
}

fn fresh() -> TempDir {
    tempfile::tempdir().unwrap()
}

const LOAD: [&str; 5] =
    ["--requests=60", "--concurrency=4", "--output-tokens=4", "--input-tokens=32", "--format=json"];

#[test]
fn replicas_share_the_load_by_weight_and_the_point_says_how() {
    let dir = fresh();
    let (one, two) = (Served::start(&[]), Served::start(&[]));
    let replica = format!("{},weight=2", two.url);
    let arguments = [&["run", &one.url, "--replica", &replica, "--record=r"][..], &LOAD].concat();
    let result = json(&infermark(&dir, &arguments));
    let point = &result["points"][0];
    assert_eq!(point["counts"]["success"], 60, "{point:#}");
    let share = |url: &str| {
        let shares = point["addresses"].as_array().unwrap();
        let address = url.trim_start_matches("http://");
        let one = shares.iter().find(|one| one["address"] == address).unwrap();
        one["requests"].as_u64().unwrap()
    };
    // Warm-up aside the shares are exact to within a few requests of 20 and 40.
    assert!((18..=22).contains(&share(&one.url)) && share(&one.url) + share(&two.url) == 60);
    assert_eq!(result["target"]["replicas"][0]["url"], two.url.as_str());
    assert_eq!(result["target"]["replicas"][0]["weight"], 2.0);
    // The pages of both are read: their totals are held against the client's.
    let sources: Vec<_> = point["telemetry"].as_array().unwrap().iter().collect();
    for url in [&one.url, &two.url] {
        let page = format!("{url}/metrics");
        assert!(sources.iter().any(|source| source["source"] == page.as_str()), "{sources:?}");
    }
    let doubts = point["trust"]["caveats"].to_string();
    assert!(!doubts.contains("CountsDisagree") && !doubts.contains("OneReplica"), "{doubts}");
    let table = infermark(&dir, &["report", "r"]).stdout;
    let table = String::from_utf8(table).unwrap();
    assert!(
        table.contains("spread    127.0.0.1:") && table.contains(&format!("replica {replica}"))
    );
}

#[test]
fn a_replica_that_is_not_there_is_named() {
    let dir = fresh();
    let one = Served::start(&[]);
    let shut = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = infermark(&dir, &["run", &one.url, "--replica", &format!("http://{shut}")]);
    assert_eq!(output.status.code(), Some(5));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("cannot reach http://{shut}/v1/models")), "{said}");
}

/// A server of single requests that drops each measured one the first time it comes.
fn dropping() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let _: thread::JoinHandle<()> = thread::spawn(move || {
        let mut drops = false;
        for mut stream in listener.incoming().flatten() {
            let Some(asked) = Asked::read(&mut stream) else { continue };
            if asked.body.contains("\"max_tokens\":9") {
                drops = !drops;
                if drops {
                    continue;
                }
            }
            drop(stream.write_all(answer(&asked.head).as_bytes()));
        }
    });
    url
}

fn answer(asked: &str) -> String {
    let (status, content, body) = if asked.starts_with("GET /v1/models ") {
        ("200 OK", "application/json", r#"{"data":[{"id":"m"}]}"#)
    } else if asked.starts_with("GET ") {
        ("404 Not Found", "application/json", "{}")
    } else {
        let chunk = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\
                     \"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n";
        ("200 OK", "text/event-stream", chunk)
    };
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

#[test]
fn a_dropped_request_fails_unless_it_may_be_sent_again_which_is_counted() {
    let load = ["--requests=6", "--output-tokens=9", "--output-length=natural", "--format=json"];
    let counts = |retries: &str| {
        let (dir, url) = (fresh(), dropping());
        let result = json(&infermark(&dir, &[&["run", &url, retries][..], &load].concat()));
        let counts = &result["points"][0]["counts"];
        let number = |key: &str| counts[key].as_u64().unwrap_or(0);
        (number("success"), number("severed"), number("sent_again"))
    };
    assert_eq!(counts("--retries=0"), (3, 3, 0));
    assert_eq!(counts("--retries=1"), (6, 0, 6));
}

#[test]
fn a_trial_request_that_is_put_off_is_sent_again_as_soon_as_the_server_says() {
    let put_off = |times: usize| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let _: thread::JoinHandle<()> = thread::spawn(move || {
            let mut left = times;
            for mut stream in listener.incoming().flatten() {
                let Some(asked) = Asked::read(&mut stream) else { continue };
                let said = if asked.head.starts_with("POST ") && left > 0 {
                    left -= 1;
                    "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0\r\n\
                     Connection: close\r\n\r\n"
                        .to_owned()
                } else {
                    answer(&asked.head)
                };
                drop(stream.write_all(said.as_bytes()));
            }
        });
        let load =
            ["--requests=2", "--output-tokens=9", "--output-length=natural", "--format=json"];
        infermark(&fresh(), &[&["run", &url][..], &load].concat())
    };
    let result = json(&put_off(3));
    assert_eq!(result["points"][0]["counts"]["success"], 2);
    let output = put_off(100);
    assert_eq!(output.status.code(), Some(5));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("a trial request") && said.contains("status 429"), "{said}");
}

#[test]
fn a_variable_that_is_nearly_ours_is_warned_of() {
    let dir = fresh();
    let mut command = Command::new(env!("CARGO_BIN_EXE_infermark"));
    let output = command
        .args(["doctor", "--format=json"])
        .env("INFERMARK_CONCURENCY", "sk-what-it-holds")
        .current_dir(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("`INFERMARK_CONCURENCY`"), "{said}");
    assert!(said.contains("did you mean `INFERMARK_CONCURRENCY`?"), "{said}");
    assert!(!said.contains("sk-what"), "{said}");
}

#[test]
fn http_1_can_be_asked_for_by_name_against_a_variable() {
    let dir = fresh();
    let served = Served::start(&[]);
    let asked = |more: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_infermark"))
            .args([&["run", &served.url, "--requests=4", "--format=json"], more].concat())
            .env("INFERMARK_HTTP2", "yes")
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let result = json(&asked(&["--http1"]));
    assert_eq!(result["target"]["http"], "1.1", "{result:#}");
    assert_eq!(result["points"][0]["counts"]["success"], 4, "{result:#}");
    // The server speaks nothing else, which is said before the load.
    assert_eq!(asked(&[]).status.code(), Some(5));
    assert_eq!(asked(&["--http1", "--http2"]).status.code(), Some(2));
}

#[test]
fn a_session_keeps_its_connection_and_another_has_its_own() {
    let dir = fresh();
    let served = Served::start(&[]);
    let load = ["--turns=3", "--sessions=5", "--concurrency=2", "--output-tokens=4"];
    let policy = ["--connections=per-session", "--format=json"];
    let result = json(&infermark(&dir, &[&["run", &served.url][..], &load, &policy].concat()));
    let point = &result["points"][0];
    assert_eq!(point["counts"]["success"], 15, "{point:#}");
    let opened = point["client"]["connections_opened"].as_u64().unwrap();
    assert_eq!(opened, 5, "{point:#}");
    let without = ["run", &served.url, "--connections=per-session"];
    let output = infermark(&dir, &without);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("there are no sessions"));
}
