//! The simulator's commands as people use them: served, predicted, and checked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use infermark_terms::{Metric, Outcome};
use serde_json::Value;
use tempfile::TempDir;

fn infermark(dir: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_infermark"));
    let _: &mut Command = command.current_dir(dir.path()).stdin(Stdio::null());
    command
}

fn fresh() -> TempDir {
    tempfile::tempdir().expect("a directory can be made")
}

fn sim(words: &str) -> Output {
    let dir = fresh();
    infermark(&dir).arg("sim").args(words.split_whitespace()).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is text")
}

fn done(words: &str) -> String {
    let output = sim(words);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn fails(words: &str, parts: &[&str]) {
    let output = sim(words);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(output.stdout.is_empty() && errors.starts_with("error: "), "{errors}");
    for part in parts {
        assert!(errors.contains(part), "no `{part}` in: {errors}");
    }
}

/// A `sim serve` that is running.
struct Served {
    child: Child,
    errors: BufReader<ChildStderr>,
    url: String,
}

impl Served {
    fn start(dir: &TempDir, args: &[&str]) -> Self {
        let mut child = infermark(dir)
            .args(["sim", "serve", "--address", "127.0.0.1:0"])
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut errors = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut line = String::new();
        let _: usize = errors.read_line(&mut line).expect("it speaks text");
        let url = line.trim().rsplit(" at ").next().expect("a split has a part").to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{line}");
        Self { child, errors, url }
    }

    /// Interrupts it and returns its last words.
    fn stop(mut self, signal: &str) -> String {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args([signal, &pid]).status();
        assert!(killed.expect("there is a `kill`").success());
        let mut words = String::new();
        let _: usize = self.errors.read_to_string(&mut words).expect("it speaks text");
        let ended = self.child.wait().expect("it has a parent");
        assert_eq!(ended.code(), Some(0), "{words}");
        words
    }
}

#[test]
fn the_telemetrys_token_totals_equal_the_clients_sums() {
    let dir = fresh();
    let served = Served::start(&dir, &["llama-3.1-8b@h100,seqs=4"]);
    let output = infermark(&dir)
        .args(["run", &served.url, "--requests", "24", "--concurrency", "8", "--seed", "3"])
        .args(["--input-tokens", "uniform(32..96)", "--output-tokens", "uniform(8..24)"])
        .args(["--tokenizer", "server", "--metrics-interval", "100ms"])
        .args(["--format", "json", "--record", "record"])
        .output()
        .unwrap();
    drop(served.stop("-INT"));
    let result: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    let point = &result["points"][0];
    let run = infermark_store::open(&dir.path().join("record")).unwrap();
    let rows: Vec<_> = run.telemetry().unwrap().map(Result::unwrap).collect();
    let rise = |metric| {
        let own = rows.iter().filter(|row| row.metric == metric);
        let values: Vec<f64> = own.map(|row| row.value).collect();
        values[values.len() - 1] - values[0]
    };
    let tokens = &point["tokens"];
    assert_eq!(tokens["input_total"].as_f64(), Some(rise(Metric::PromptTokens)), "{point:#}");
    assert_eq!(tokens["output_total"].as_f64(), Some(rise(Metric::GenerationTokens)));
    let sources: Vec<_> = point["telemetry"].as_array().unwrap().iter().collect();
    let page = format!("{}/metrics", result["target"]["url"].as_str().unwrap());
    assert_eq!(sources[1]["source"], page);
    assert!(sources.iter().all(|source| source["failed"] == 0), "{sources:?}");
    let caveats = point["trust"]["caveats"].as_array().unwrap();
    assert!(caveats.iter().all(|caveat| caveat["code"] != "CountsDisagree"), "{caveats:?}");
}

/// What one side says of requests that ended alike: how many, and of how many output tokens.
type Tally = BTreeMap<String, (u64, u64)>;

fn add(tally: &mut Tally, outcome: &str, tokens: u64) {
    let (count, sum) = tally.entry(outcome.to_owned()).or_default();
    *count += 1;
    // What was cut off on its way reached the one side and not the other.
    *sum += if outcome == "finished" { tokens } else { 0 };
}

/// Every misbehaviour there is.
const FAULTS: &str = "stall=0.1:20ms,headers=0.1:20ms,coalesce=0.1:3,role-only=0.1,empty=0.1,\
                      comments=0.1,crlf=0.2,no-usage=0.1,lying-usage=0.1,split-utf8=0.1,\
                      status=0.05:503:2,html=0.05,reset=0.05,truncate=0.05,error=0.05,garbage=0.05";

#[test]
fn under_every_misbehaviour_each_request_ends_as_the_truth_says_and_none_is_lost() {
    let dir = fresh();
    let engine = ["ttft=2ms,itl=1ms", "--seed", "11", "--truth", "truth.jsonl"];
    let served = Served::start(&dir, &[&engine[..], &["--faults", FAULTS]].concat());
    let output = infermark(&dir)
        .args(["run", &served.url, "--requests", "400", "--concurrency", "16", "--seed", "3"])
        .args(["--input-tokens", "32", "--output-tokens", "12", "--tokenizer", "server"])
        .args(["--format", "json", "--record", "record"])
        .output()
        .unwrap();
    let words = served.stop("-INT");
    let result: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", text(&output.stderr)));

    let truth = std::fs::read_to_string(dir.path().join("truth.jsonl")).unwrap();
    let mut records: Vec<Value> =
        truth.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(words.contains(&format!("{} requests", records.len())), "{words}");
    records.sort_by_key(|record| record["index"].as_u64());
    let trials = result["plan"]["preflight"]["requests"].as_u64().unwrap() as usize;
    let records = &records[trials..];
    assert_eq!(records.len(), 400);
    let mut struck: Vec<_> = records
        .iter()
        .flat_map(|record| record["faults"].as_array().unwrap())
        .map(|fault| fault.as_str().unwrap().split(':').next().unwrap())
        .collect();
    struck.sort_unstable();
    struck.dedup();
    assert_eq!(struck.len(), 16, "every misbehaviour struck: {struck:?}");

    let (mut told, mut seen) = (Tally::new(), Tally::new());
    for record in records {
        let tokens = record["told"][1].as_u64().unwrap_or(0);
        add(&mut told, record["outcome"].as_str().unwrap(), tokens);
    }
    for row in infermark_store::open(&dir.path().join("record")).unwrap().requests().unwrap() {
        let tokens = row.usage.map_or(0, |usage| usage.completion_tokens);
        add(&mut seen, row.outcome.kind().name(), u64::from(tokens));
        if matches!(row.outcome, Outcome::Finished { .. }) {
            assert!(row.first_token.is_some() && row.end >= row.due);
        }
    }
    assert_eq!(seen, told);
    let counts = &result["points"][0]["counts"];
    assert_eq!(counts["due"], 400);
    for (outcome, (count, _)) in &told {
        assert_eq!(counts[outcome], *count, "{outcome}");
    }
}

#[test]
fn sigterm_ends_a_server_with_its_summary() {
    let dir = fresh();
    let served = Served::start(&dir, &["llama-3.1-8b@h100", "--model", "mine", "--speed", "20"]);
    let output = infermark(&dir)
        .args(["run", &served.url, "--requests", "5", "--output-tokens", "8"])
        .args(["--input-tokens", "64", "--format", "json"])
        .output()
        .unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["target"]["model"], "mine");
    assert_eq!(result["points"][0]["counts"]["success"], 5);
    let words = served.stop("-TERM");
    assert!(words.contains("connections") && words.contains("lateness of tokens: p50"), "{words}");
}

const CHAT: &str = "predict llama-3.1-8b@h100 --requests 40 --output-tokens 16 --input-tokens 128";

#[test]
fn a_prediction_has_the_form_of_a_run_and_the_same_bytes_again() {
    let json = done(&format!("{CHAT} --rate 4/s --format json"));
    assert_eq!(json, done(&format!("{CHAT} --rate 4/s --format json")));
    let result: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(result["schema"], "infermark.run/1");
    assert_eq!(
        (&result["predicted"], &result["target"]["predicted"]),
        (&true.into(), &true.into())
    );
    assert_eq!(result["target"]["hardware"]["count"], 1);
    let point = &result["points"][0];
    assert_eq!(point["counts"]["success"], 40);
    for key in ["kv_usage_max", "waiting_max", "preemptions", "running_mean"] {
        assert!(point["server"][key].is_number(), "{key}: {point:#}");
    }
    let mean = point["latency"]["tpot_ms"]["mean"].as_f64().unwrap();
    let range = &point["uncertainty"]["tpot_ms"];
    assert!(range[0].as_f64().unwrap() < mean && mean < range[1].as_f64().unwrap());
}

#[test]
fn a_predicted_table_says_so_first() {
    let table = done(&format!("{CHAT} --concurrency 2"));
    let first = table.lines().next().unwrap();
    assert_eq!(first, "predicted (sim:llama-3.1-8b@h100): nothing was measured");
    for part in ["TTFT", "KV memory", "expect", "9 in 10"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let whole = "predict --model llama-3.1-8b --gpu h100 --requests 40 --output-tokens 16 \
                 --input-tokens 128 --concurrency 2";
    assert_eq!(done(whole), table);
}

#[test]
fn a_sweep_has_a_line_for_each_load_and_one_knee() {
    let words = "predict llama-3.1-8b@h100 --seqs 4 --requests 16 --output-tokens 8 \
                 --input-tokens 64 --sweep";
    let table = done(words);
    assert!(table.starts_with("predicted "), "{table}");
    let loads: Vec<_> =
        table.lines().filter(|line| line.trim_start().starts_with(char::is_numeric)).collect();
    assert!(loads.len() >= 4, "{table}");
    assert_eq!(loads.iter().filter(|line| line.contains('*')).count(), 1, "{table}");
    let result: Value = serde_json::from_str(&done(&format!("{words} --format json"))).unwrap();
    assert_eq!(result["points"].as_array().unwrap().len(), loads.len());
    assert!(result["knee"]["load"]["concurrency"].is_number());
}

#[test]
fn a_sweep_replays_no_trace_and_a_prediction_tells_of_its_own() {
    let dir = fresh();
    let trace = "{\"at_s\":0,\"input_tokens\":64,\"output_tokens\":2}\n";
    std::fs::write(dir.path().join("t.jsonl"), trace).unwrap();
    let predict = |more: &[&str]| {
        let words = ["sim", "predict", "llama-3.1-8b@h100"];
        let mut command = infermark(&dir);
        let _: &mut Command = command.env("INFERMARK_TRACE", "t.jsonl").args(words).args(more);
        let output = command.output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let (code, errors) = predict(&["--sweep"]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("trace `t.jsonl`") && errors.contains("hint: "), "{errors}");
    let (code, told) = predict(&["--time-scale", "2x"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("t.jsonl: a trace as infermark's, 1 requests within"), "{told}");
}

/// Two rows: one that may be, one that cannot.
const ROWS: &str = "row,deployment,load,requests,input_tokens,input_cv,shared_tokens,\
output_tokens,output_cv,ttft_mean_ms,ttft_p50_ms,tpot_mean_ms,tpot_p50_ms,tpot_p99_ms,\
itl_mean_ms,e2e_mean_ms,output_tok_s,peak_output_tok_s,source,note
good,qwen3-8b@h100,closed:4,20,128,0,0,32,0,,,7.38,,,,,500,,ours,
bad,qwen3-8b@h100,closed:4,20,128,0,0,32,0,,,0.1,,,,,,,ours,
";

#[test]
fn measurements_are_compared_and_impossible_ones_rejected() {
    let dir = fresh();
    std::fs::write(dir.path().join("rows.csv"), ROWS).unwrap();
    let validate = |format: &str| {
        let output = infermark(&dir)
            .args(["sim", "validate", "rows.csv", "--format", format])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let table = validate("table");
    assert!(table.contains("rejected: bad") && table.contains("read the weights"), "{table}");
    let result: Value = serde_json::from_str(&validate("json")).unwrap();
    assert_eq!(result["comparisons"].as_array().unwrap().len(), 2);
    assert_eq!(result["rejected"][0]["row"], "bad");
    assert_eq!(result["errors"][0]["rows"], 1);
    let csv = validate("csv");
    assert_eq!(csv.lines().next(), Some("row,figure,measured,predicted,error"));
    assert_eq!(csv.lines().count(), 3);
}

#[test]
fn an_unusable_line_of_measurements_is_named() {
    let dir = fresh();
    std::fs::write(dir.path().join("rows.csv"), format!("{ROWS}x,y\n")).unwrap();
    let output = infermark(&dir).args(["sim", "validate", "rows.csv"]).output().unwrap();
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    for part in ["rows.csv", "line 4", "hint: docs/simulator.md"] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    fails("validate nowhere.csv", &["cannot read nowhere.csv"]);
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    fails("predict llama-9-8b@h100", &["unknown model `llama-9-8b`", "near names", "llama-3.1-8b"]);
    fails("predict llama-3.1-8b@h10", &["unknown GPU `h10`", "h100-sxm"]);
    fails("predict llama-3.1-70b@h100", &["weights 131.", "GiB usable", "hint: more GPUs"]);
    fails("predict --tp 2", &["--tp `2`", "--model llama-3.1-8b --gpu h100"]);
    fails("predict --model llama-3.1-8b --gpu h100 --tp x", &["`x` is no value of `tp`"]);
    fails("predict --rate 5", &["--rate `5`", "`5/s`"]);
    fails("predict --sweep --rate 5/s", &["--sweep"]);
    fails("serve ttft=fast", &["`ttft`", "hint: for example"]);
    fails("serve --faults melt", &["--faults `melt`", "unknown fault `melt`"]);
    fails("serve --address 0.0.0.0:0", &["other machines", "--allow-network"]);
    fails("serve --address 203.0.113.7:9 --allow-network", &["cannot listen at", "--address"]);
    fails("serve --speed 0", &["--speed `0`"]);
    let nowhere = Path::new("no/such/folder/truth.jsonl").display().to_string();
    fails(&format!("serve --truth {nowhere}"), &["--truth: cannot create no/such/folder"]);
}

#[test]
fn help_is_worth_reading() {
    let serve = done("serve --help");
    for part in ["/v1/chat/completions", "llama-3.1-70b@h100,tp=4", "reset, truncate", "--truth"] {
        assert!(serve.contains(part), "{part}");
    }
    let predict = done("predict --help");
    for part in ["--tp <N>", "--sweep", "nine times in ten", "--speculate"] {
        assert!(predict.contains(part), "{part}");
    }
    assert!(done("validate --help").contains("DATA.csv"));
}
