//! The binary as people use it: against the embedded engine, and against servers that do
//! everything wrong.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

/// An embedded engine that is quick.
const QUICK: &str = "sim:ttft=2ms,itl=1ms";

fn infermark(dir: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_infermark"));
    // Whether this machine was calibrated must not matter.
    let uncalibrated = dir.path().join("no-calibration.json");
    let _ = command.env("INFERMARK_CALIBRATION", uncalibrated);
    let _: &mut Command = command.current_dir(dir.path()).stdin(Stdio::null());
    command
}

fn run(dir: &TempDir, args: &[&str]) -> Output {
    infermark(dir).arg("run").args(args).output().expect("the binary runs")
}

fn fresh() -> TempDir {
    tempfile::tempdir().expect("a directory can be made")
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("errors are text")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", errors(output)))
}

/// A server that answers each connection's first request with `answer(path)`, then closes.
fn server(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let _: thread::JoinHandle<()> = thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            serve(stream, &answer);
        }
    });
    url
}

/// Reads one request to its end and answers it. Clients that go away are their own business.
fn serve(mut stream: TcpStream, answer: &impl Fn(&str) -> Vec<u8>) {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    let complete = |request: &[u8]| {
        let text = String::from_utf8_lossy(request).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
        });
        (body.len() >= length.unwrap_or(0)).then(|| head.split(' ').nth(1).unwrap_or("").to_owned())
    };
    let path = loop {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&piece[..read]),
        }
        if let Some(path) = complete(&request) {
            break path;
        }
    };
    drop(stream.write_all(&answer(&path)));
}

fn respond(status: &str, content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

fn models() -> Vec<u8> {
    respond("200 OK", "application/json", r#"{"object":"list","data":[{"id":"m"}]}"#)
}

/// A server whose list of models is right and whose answers are `stream`.
fn streaming(stream: &'static str) -> String {
    server(move |path| match path {
        "/v1/models" => models(),
        "/v1/chat/completions" => {
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{stream}").into()
        }
        _ => respond("404 Not Found", "application/json", r#"{"detail":"Not Found"}"#),
    })
}

/// Asserts that there is a result. On a machine that is busy with other tests the instrument
/// may well refuse to vouch for it.
#[track_caller]
fn ran(output: &Output) {
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", errors(output));
}

#[track_caller]
fn fails(output: &Output, code: i32, words: &[&str]) {
    let errors = errors(output);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    assert!(output.stdout.is_empty(), "an error is no result");
    for word in words {
        assert!(errors.contains(word), "no `{word}` in: {errors}");
    }
    assert!(errors.starts_with("error: ") && !errors.contains("panicked"), "{errors}");
}

#[test]
fn a_run_of_the_embedded_engine_says_so_first_and_leaves_a_record() {
    let dir = fresh();
    let args = ["--requests", "12", "--concurrency", "4", "--input-tokens", "64"];
    let output = run(&dir, &[&[QUICK, "--output-tokens", "8"], &args[..]].concat());
    ran(&output);
    let table = String::from_utf8(output.stdout).unwrap();
    let first = table.lines().next().unwrap();
    assert!(first.contains("embedded engine") && first.contains("no real server"), "{first}");
    assert!(table.contains("client    1 thread, "), "{table}");
    let record = only_record(&dir);
    for file in ["run.json", "requests.parquet", "chunks.parquet"] {
        assert!(record.join(file).is_file(), "{file}");
    }
    let relative = record.strip_prefix(dir.path()).unwrap();
    let again = infermark(&dir).arg("report").arg(relative).output().unwrap();
    assert_eq!(String::from_utf8(again.stdout).unwrap(), table);
}

#[test]
fn a_run_leaves_its_page_and_several_are_reported_side_by_side() {
    let dir = fresh();
    for (record, slots) in [("one", "1"), ("four", "4")] {
        let options = ["--requests", "12", "--output-tokens", "4", "--price", "2/h"];
        ran(&run(
            &dir,
            &[&[QUICK, "--record", record, "--concurrency", slots], &options[..]].concat(),
        ));
        let page = std::fs::read_to_string(dir.path().join(record).join("report.html")).unwrap();
        assert!(page.contains("id=\"timeline\"") && page.contains("per 1M output"));
    }
    let report = |options: &[&str]| {
        infermark(&dir).args(["report", "one", "four"]).args(options).output().unwrap()
    };
    let page = report(&["--format", "html"]);
    ran(&page);
    assert!(String::from_utf8(page.stdout).unwrap().contains("2 runs, 2 operating points"));
    fails(&report(&["--format", "svg"]), 2, &["several files", "--output"]);
    ran(&report(&["--format", "svg", "--output", "charts"]));
    for name in ["dashboard", "throughput", "latency", "heatmap", "scaling", "cost"] {
        let file = dir.path().join("charts").join(format!("{name}.svg"));
        assert!(std::fs::read_to_string(file).unwrap().starts_with("<svg"), "{name}");
    }
    ran(&report(&["--format", "png", "--output", "pictures"]));
    let picture = std::fs::read(dir.path().join("pictures/dashboard.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
    assert_eq!(json(&report(&["--format", "json"])).as_array().map(Vec::len), Some(2));
}

#[test]
fn a_report_goes_to_spreadsheets_and_merge_requests() {
    let dir = fresh();
    ran(&run(&dir, &[QUICK, "--record", "r", "--requests", "12", "--output-tokens", "4"]));
    let report = |options: &[&str]| {
        infermark(&dir).args(["report", "r", "--format"]).args(options).output().unwrap()
    };
    let text = |output: Output| {
        ran(&output);
        String::from_utf8(output.stdout).unwrap()
    };
    let table = text(report(&["csv"]));
    let mut table = csv::Reader::from_reader(table.as_bytes());
    let keys = table.headers().unwrap().clone();
    let lines: Vec<_> = table.records().map(Result::unwrap).collect();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(keys.iter().any(|key| key == "latency.ttft_ms.p50"));
    let point = json(&report(&["json"]))["points"][0].clone();
    let place = keys.iter().position(|key| key == "rates.output_tokens_per_s").unwrap();
    let rate: f64 = line[place].parse().unwrap();
    assert_eq!(Some(rate), point["rates"]["output_tokens_per_s"].as_f64());
    let page = text(report(&["markdown"]));
    assert!(page.starts_with("## ") && page.contains("| TTFT | 12 |"), "{page}");
    ran(&report(&["xlsx", "--output", "r.xlsx"]));
    assert!(std::fs::read(dir.path().join("r.xlsx")).unwrap().starts_with(b"PK"));
}

#[test]
fn counts_and_lengths_are_exact() {
    let dir = fresh();
    for (api, delivery) in [("chat", "yes"), ("completions", "yes"), ("chat", "no")] {
        let record = format!("{api}-{delivery}");
        let stream = format!("--stream={delivery}");
        let output = run(
            &dir,
            &[
                QUICK,
                "--api",
                api,
                &stream,
                "--requests",
                "20",
                "--concurrency",
                "6",
                "--input-tokens",
                "100",
                "--output-tokens",
                "9",
                "--format",
                "json",
                "--record",
                &record,
            ],
        );
        let result = json(&output);
        let point = &result["points"][0];
        assert_eq!(point["counts"]["success"], 20, "{point:#}");
        assert_eq!(point["tokens"]["input_mean"], 100.0);
        assert_eq!(point["tokens"]["output_mean"], 9.0);
        assert_eq!(result["schema"], "infermark.run/1");
        assert_eq!(result["partial"], false);
        assert_eq!(result["target"]["embedded"], true);
    }
}

#[test]
fn a_trace_is_replayed_at_its_instants_with_its_lengths() {
    let dir = fresh();
    let line = |k: u32| {
        let (at_s, output) = (f64::from(k) * 0.02, 1 + k % 3);
        format!("{{\"at_s\": {at_s}, \"input_tokens\": 40, \"output_tokens\": {output}}}\n")
    };
    std::fs::write(dir.path().join("t.jsonl"), (0..25).map(line).collect::<String>()).unwrap();
    let sim = ["sim:ttft=5ms,itl=1ms", "--trace", "t.jsonl", "--time-scale", "2x"];
    let output = run(&dir, &[&sim[..], &["--format", "json"]].concat());
    ran(&output);
    let said = "t.jsonl: a trace as infermark's, 25 requests within 0.2 s at 2x";
    assert!(errors(&output).contains(said), "{}", errors(&output));
    let point = &json(&output)["points"][0];
    assert_eq!(point["counts"]["success"], 25, "{point}");
    let load = &point["load"];
    assert_eq!((&load["kind"], &load["requests"]), (&"trace".into(), &25.into()));
    assert_eq!(load["deciles_s"][10], 0.24);
    assert_eq!(
        point["tokens"]["output_mean"],
        (0..25).map(|k| 1 + k % 3).sum::<u32>() as f64 / 25.0
    );
    let wrong = run(&dir, &["--trace", "absent.csv"]);
    fails(&wrong, 2, &["cannot read the dataset absent.csv"]);
}

#[test]
fn conversations_grow_by_what_was_said_and_answered() {
    let dir = fresh();
    let sim = ["sim:ttft=5ms,itl=1ms", "--turns", "3", "--sessions", "4", "--concurrency", "2"];
    let lengths = ["--input-tokens", "20", "--output-tokens", "10", "--tokenizer", "server"];
    let asked = [&sim[..], &lengths, &["--think-time", "exponential(5ms)"]].concat();
    let output = run(&dir, &[&asked[..], &["--format", "json"]].concat());
    ran(&output);
    let point = &json(&output)["points"][0];
    assert_eq!(point["counts"]["success"], 12, "{point}");
    let turns = point["turns"].as_array().unwrap();
    // The engine's template adds five tokens and three for each message: a turn adds its own
    // twelve words and the ten of the answer before it.
    let input: Vec<_> = turns.iter().map(|turn| turn["tokens"]["input_mean"].clone()).collect();
    assert_eq!(input, [20.0, 48.0, 76.0]);
    assert!(turns.iter().all(|turn| turn["counts"]["due"] == 4), "{point}");
    fails(&run(&dir, &["--think-time", "2s"]), 2, &["there are no sessions", "give `turns` too"]);
}

#[test]
fn classes_are_drawn_by_weight_and_judged_by_their_own_objectives() {
    let dir = fresh();
    let file = "target: 'sim:ttft=5ms,itl=1ms'\nrequests: 60\nconcurrency: 4\ninput_tokens: 20\n\
                seed: 5\ntokenizer: server\nclasses:\n  - {name: short, weight: 3, \
                output_tokens: 2, slo: 'e2e:max<=1ms'}\n  - {name: long, input_tokens: 40, \
                output_tokens: 9}\n";
    std::fs::write(dir.path().join("f.yaml"), file).unwrap();
    let output = run(&dir, &["--scenario", "f.yaml", "--format", "json"]);
    // On a busy machine the instrument may refuse to vouch for it first.
    assert!(matches!(output.status.code(), Some(3 | 4)), "{}", errors(&output));
    let point = &json(&output)["points"][0];
    assert_eq!(point["counts"]["success"], 60, "{point}");
    let classes = point["classes"].as_array().unwrap();
    let of = |key: &str| -> Vec<_> {
        classes.iter().map(|class| class["tokens"][key].as_f64().unwrap()).collect()
    };
    assert_eq!((of("input_mean"), of("output_mean")), (vec![20.0, 40.0], vec![2.0, 9.0]));
    let due = |class: &Value| class["counts"]["due"].as_u64().unwrap();
    assert_eq!(due(&classes[0]) + due(&classes[1]), 60);
    assert!(due(&classes[0]) > due(&classes[1]), "{point}");
    assert!(classes[1]["latency"]["itl_ms"].is_object() && classes[1]["slo"].is_null());
    assert_eq!(classes[0]["slo"][0]["verdict"], "missed", "{point}");
}

#[test]
fn a_stored_scenario_runs_again() {
    let dir = fresh();
    std::fs::write(
        dir.path().join("f.yaml"),
        "target: 'sim:ttft=2ms,itl=1ms'\nrequests: 5\nconcurrency: 2\ninput_tokens: 32\n\
         output_tokens: 4\nseed: 3\n",
    )
    .unwrap();
    let output = run(&dir, &["--scenario", "f.yaml", "--format", "json", "--requests", "6"]);
    let result = json(&output);
    assert_eq!(result["points"][0]["counts"]["success"], 6);
    let values = result["scenario"]["values"].as_array().unwrap();
    let origin = |key: &str| &values.iter().find(|v| v["key"] == key).unwrap()["origin"];
    assert_eq!(origin("requests")["layer"], "flag");
    assert_eq!(origin("concurrency")["layer"], "file");
    assert_eq!(origin("concurrency")["line"], 3);
    assert_eq!(origin("api")["layer"], "default");
}

#[test]
fn a_closed_port_is_unreachable() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = run(&fresh(), &[&format!("http://{port}")]);
    fails(&output, 5, &["cannot reach http://127.0.0.1", "refused", "hint: is the server up"]);
}

#[test]
fn an_unknown_host_is_named() {
    let output = run(&fresh(), &["http://nobody.invalid:8000"]);
    fails(&output, 5, &["cannot resolve host `nobody.invalid`", "hint: "]);
}

#[test]
fn a_wrong_path_is_a_404() {
    let url = server(|_| respond("404 Not Found", "application/json", r#"{"detail":"Not Found"}"#));
    let output = run(&fresh(), &[&format!("{url}/wrong")]);
    fails(&output, 5, &["/wrong/v1/models answered 404: Not Found", "hint: give the base URL"]);
}

#[test]
fn a_401_asks_for_the_key() {
    let url = server(|_| respond("401 Unauthorized", "application/json", r#"{"error":"no key"}"#));
    let output = run(&fresh(), &[&url]);
    fails(&output, 5, &["answered 401: no key", "--api-key-env"]);
}

#[test]
fn a_web_page_is_no_api() {
    let url = server(|_| respond("200 OK", "text/html", "<html><body>Welcome</body></html>"));
    let output = run(&fresh(), &[&url]);
    fails(&output, 5, &["does not answer as an OpenAI-compatible API", "Welcome"]);
}

#[test]
fn an_unknown_model_is_refused_in_the_servers_words() {
    let url = server(|path| match path {
        "/v1/models" => models(),
        _ => respond(
            "404 Not Found",
            "application/json",
            r#"{"error":{"message":"The model `x` does not exist."}}"#,
        ),
    });
    let output = run(&fresh(), &[&url, "--model", "x"]);
    fails(&output, 5, &["status 404: The model `x` does not exist.", "hint: "]);
}

#[test]
fn a_server_that_closes_in_mid_stream_is_named() {
    let url = streaming("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n");
    let output = run(&fresh(), &[&url]);
    fails(
        &output,
        5,
        &["a trial request", "closed the connection before the response was complete"],
    );
}

#[test]
fn a_stream_of_garbage_is_named() {
    let url = streaming("data: \u{1}\u{2}{{{garbage\n\n");
    let output = run(&fresh(), &[&url]);
    fails(&output, 5, &["a trial request", "not valid JSON"]);
}

#[test]
fn an_error_inside_a_stream_is_named() {
    let url = streaming("data: {\"error\":{\"message\":\"out of memory\"}}\n\n");
    let output = run(&fresh(), &[&url]);
    fails(&output, 5, &["the server reported an error in the stream: out of memory"]);
}

#[test]
fn a_rate_of_zero_is_no_rate() {
    let output = run(&fresh(), &["--rate", "0"]);
    fails(&output, 2, &["error: --rate `0`: no requests at all", "`12/s`"]);
    let output = run(&fresh(), &["--rate", "0/s"]);
    fails(&output, 2, &["--rate `0/s`"]);
}

#[test]
fn a_broken_scenario_is_pointed_at() {
    let dir = fresh();
    std::fs::write(dir.path().join("f.yaml"), "requests: 5\nconcurency: 4\nduration: 10\n")
        .unwrap();
    let output = run(&dir, &["--scenario", "f.yaml"]);
    fails(&output, 2, &["f.yaml:2:1", "concurency", "concurrency"]);
    let output = run(&dir, &["--scenario", "missing.yaml"]);
    fails(&output, 2, &["cannot read the scenario missing.yaml"]);
}

#[test]
fn a_missing_tokenizer_is_named() {
    let output = run(&fresh(), &[QUICK, "--tokenizer", "nowhere.json"]);
    fails(&output, 2, &["nowhere.json"]);
}

#[test]
fn a_missing_key_is_named_and_never_a_value() {
    let url = server(|_| models());
    let output = run(&fresh(), &[&url, "--api-key-env", "NO_SUCH_VARIABLE_OF_OURS"]);
    fails(&output, 2, &["`NO_SUCH_VARIABLE_OF_OURS`", "--api-key-env", "is not set"]);
}

#[test]
fn too_few_open_files_are_refused_with_the_figures() {
    let dir = fresh();
    let script = "ulimit -n 64 && exec \"$0\" run sim: --concurrency 500 --requests 500";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_infermark")])
        .current_dir(dir.path())
        .output()
        .unwrap();
    fails(&output, 2, &["500 connections need 1048 open files", "may have 64", "ulimit -n"]);
}

#[test]
fn a_wrong_embedded_engine_is_explained() {
    let output = run(&fresh(), &["sim:ttft=fast"]);
    fails(&output, 2, &["`sim:ttft=fast`", "hint: for example"]);
}

#[test]
fn a_directory_that_is_no_record_is_named() {
    let dir = fresh();
    let output = infermark(&dir).args(["report", "."]).output().unwrap();
    fails(&output, 2, &["error: "]);
}

#[test]
fn nothing_but_failures_makes_a_void_result() {
    // The trial request succeeds, every other is refused.
    let first = std::sync::atomic::AtomicBool::new(true);
    let answer = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\
                  \"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n";
    let url = server(move |path| match path {
        "/v1/models" => models(),
        "/v1/chat/completions" if first.swap(false, std::sync::atomic::Ordering::SeqCst) => {
            respond("200 OK", "text/event-stream", answer)
        }
        "/v1/chat/completions" => respond("503 Service Unavailable", "text/plain", "overloaded"),
        _ => respond("404 Not Found", "text/plain", ""),
    });
    let output = run(&fresh(), &[&url, "--requests", "5", "--format", "json"]);
    assert_eq!(output.status.code(), Some(4), "{}", errors(&output));
    let result = json(&output);
    assert_eq!(result["points"][0]["counts"]["refused"], 5);
    assert_eq!(result["points"][0]["trust"]["verdict"], "void");
}

#[test]
fn a_missed_objective_ends_with_3_and_report_says_the_same() {
    let dir = fresh();
    let load = [QUICK, "--requests", "60", "--input-tokens", "64", "--output-tokens", "4"];
    let judged = |slo: &str, code: i32, verdict: &str| {
        let output = run(&dir, &[&load[..], &["--slo", slo, "--format", "json"]].concat());
        assert_eq!(output.status.code(), Some(code), "{}", errors(&output));
        let result = json(&output);
        assert_eq!(result["points"][0]["slo"][0]["verdict"], verdict, "{result}");
        let record = dir.path().join("infermark-runs").join(result["id"].as_str().unwrap());
        let mut report = infermark(&dir);
        let again = report.arg("report").arg(record).args(["--format", "json"]).output().unwrap();
        assert_eq!(again.status.code(), Some(code), "{}", errors(&again));
        assert_eq!(json(&again)["points"], result["points"]);
    };
    judged("e2e:mean<=10s,ttft<=1ms", 0, "met");
    judged("ttft:p50<=1ms", 3, "missed");
    judged("failure_rate<=0.1%", 0, "undecided");
    let output = run(&dir, &[QUICK, "--slo", "ttft:p98<=1s"]);
    fails(&output, 2, &["--slo `p98`", "no such statistic", "p99"]);
}

#[test]
fn a_killed_run_leaves_all_that_had_ended() {
    let dir = fresh();
    let mut child = long_run(&dir);
    let record = wait_for_rows(&dir, &mut child);
    child.kill().unwrap();
    let _: std::process::ExitStatus = child.wait().unwrap();
    let output =
        infermark(&dir).args(["report", "--format", "json"]).arg(&record).output().unwrap();
    let result = json(&output);
    assert_eq!(result["partial"], true);
    let point = &result["points"][0];
    assert!(point["counts"]["success"].as_u64().unwrap() > 0, "{point:#}");
}

#[test]
fn an_interrupted_run_is_kept_and_marked() {
    let dir = fresh();
    let mut child = long_run(&dir);
    let record = wait_for_rows(&dir, &mut child);
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", errors(&output));
    let result = json(&output);
    assert_eq!(result["partial"], true);
    assert!(record.join("requests.parquet").is_file());
}

/// A terminal of this width, which never ends below: what is on it after some output.
struct Screen {
    width: usize,
    lines: Vec<Vec<char>>,
    at: [usize; 2],
}

impl Screen {
    fn after(output: &str, width: usize) -> Self {
        let mut screen = Self { width, lines: Vec::new(), at: [0; 2] };
        let mut rest = output.chars();
        while let Some(c) = rest.next() {
            let [line, column] = screen.at;
            screen.at = match c {
                '\r' => [line, 0],
                '\n' => [line + 1, column],
                '\x1b' => {
                    let (order, _) = rest.as_str().split_once(char::is_alphabetic).unwrap();
                    let end = rest.nth(order.len()).unwrap();
                    screen.obey(order.strip_prefix('[').unwrap(), end)
                }
                c => screen.put(c),
            };
        }
        screen
    }

    /// Obeys a control sequence (ECMA-48, 8.3), and returns where the cursor is then.
    fn obey(&mut self, order: &str, end: char) -> [usize; 2] {
        let [line, column] = self.at;
        let count = order.parse().unwrap_or(1);
        match (end, order) {
            ('A', _) => [line.saturating_sub(count), column],
            ('B', _) => [line + count, column],
            ('K', "2") => {
                self.lines.get_mut(line).into_iter().for_each(Vec::clear);
                self.at
            }
            ('m', _) => self.at,
            _ => panic!("`{order}{end}` is new"),
        }
    }

    fn put(&mut self, c: char) -> [usize; 2] {
        let [line, column] = self.at;
        // A full line goes on in the next one.
        let [line, column] = if column == self.width { [line + 1, 0] } else { [line, column] };
        self.lines.resize(self.lines.len().max(line + 1), Vec::new());
        let cells = &mut self.lines[line];
        cells.resize(cells.len().max(column + 1), ' ');
        cells[column] = c;
        [line, column + 1]
    }

    fn text(&self) -> String {
        let lines = self.lines.iter().map(|line| line.iter().collect::<String>());
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn an_interrupted_run_leaves_nothing_of_its_live_view_on_a_terminal() {
    let dir = fresh();
    let binary = env!("CARGO_BIN_EXE_infermark");
    let line = format!(
        "stty rows 200 cols 100 && exec {binary} run {QUICK} --duration 60s --output-tokens 4"
    );
    // util-linux's `script` has a pseudo-terminal.
    let mut script = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .current_dir(dir.path())
        .env("INFERMARK_CALIBRATION", dir.path().join("no-calibration.json"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = script.stdout.take().unwrap();
    let (mut shown, mut piece) = (Vec::new(), [0; 4096]);
    let mut is_interrupted = false;
    loop {
        match output.read(&mut piece).unwrap() {
            0 => break,
            read => shown.extend_from_slice(&piece[..read]),
        }
        let is_drawn = String::from_utf8_lossy(&shown).contains("TTFT p50");
        // Between two drawings the cursor rests at the beginning of a line.
        if !is_interrupted && is_drawn && shown.ends_with(b"\r") {
            // As a person does it.
            script.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
            is_interrupted = true;
        }
    }
    assert_eq!(script.wait().unwrap().code(), Some(130));
    let shown = String::from_utf8(shown).unwrap();
    let screen = Screen::after(&shown, 100).text();
    assert!(screen.contains("stopping: requests in flight may end"), "{screen}");
    for line in ["╌  ", "load      ", "finished · ", "latency   TTFT"] {
        assert!(shown.contains(line) && !screen.contains(line), "{line}:\n{screen}");
    }
}

/// Runs the binary with these arguments, which must succeed.
fn done(dir: &TempDir, args: &[&str]) -> Output {
    let output = infermark(dir).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", errors(&output));
    output
}

#[test]
fn a_run_goes_into_every_peers_format_and_comes_back() {
    let dir = fresh();
    let output = run(&dir, &[QUICK, "--requests=20", "--output-tokens=4", "--record=r", "-q"]);
    ran(&output);
    for (format, view, figure) in [
        ("vllm-json", "vllm", "ttft"),
        ("vllm-summary", "vllm", "e2el"),
        ("guidellm", "guidellm", "time_per_output_token_ms"),
        ("hf", "hf", "inter_token_latency_ms"),
        ("llm-d", "inference-perf", "normalized_time_per_output_token"),
        ("compressa", "", ""),
    ] {
        let file = format!("{format}.file");
        let _: Output = done(&dir, &["runs", "export", "r", "--as", format, "-o", &file]);
        let imported = done(&dir, &["runs", "import", &file, "--into", "imported"]);
        let imported = String::from_utf8(imported.stdout).unwrap();
        let header = json(&done(&dir, &["report", imported.trim(), "--format=json"]));
        assert_ne!(header["definitions"], "infermark.metrics/1");
        let point = &header["points"][0];
        assert_eq!(point["counts"]["finished"], 20, "{format}");
        assert_eq!(point["load"], serde_json::json!({ "kind": "closed", "concurrency": 1 }));
        if view.is_empty() {
            continue;
        }
        let viewed = json(&done(&dir, &["report", "r", "--view", view, "--format=json"]));
        let mean = |point: &Value| point["peer"]["figures"][figure]["mean"].as_f64().unwrap();
        assert!((mean(point) - mean(&viewed)).abs() < 1e-6, "{format}");
        let page = done(&dir, &["report", imported.trim()]).stdout;
        assert!(String::from_utf8(page).unwrap().contains(figure), "{format}");
    }
}

#[test]
fn text_for_people_is_exported_to_standard_output() {
    let dir = fresh();
    ran(&run(&dir, &[QUICK, "--requests=5", "--output-tokens=4", "--record=r", "-q"]));
    let block = done(&dir, &["runs", "export", "r", "--as=vllm-console"]).stdout;
    let block = String::from_utf8(block).unwrap();
    assert!(block.starts_with("============ Serving Benchmark Result ============\n"), "{block}");
    assert!(block.contains("Successful requests:                     5         \n"), "{block}");
    let list = done(&dir, &["runs", "export", "r", "--as=compressa-list"]).stdout;
    assert!(String::from_utf8(list).unwrap().contains("| THROUGHPUT_OUTPUT_TOKENS: "));
    let page = done(&dir, &["report", "r", "--view=mlperf"]).stdout;
    assert!(String::from_utf8(page).unwrap().contains("first_token_latency, ms"));
}

#[test]
fn a_file_of_no_peer_is_refused_by_name() {
    let dir = fresh();
    std::fs::write(dir.path().join("x.json"), "{}").unwrap();
    let output = infermark(&dir).args(["runs", "import", "x.json"]).output().unwrap();
    fails(&output, 2, &["cannot import x.json", "GuideLLM"]);
    assert!(!dir.path().join("infermark-runs").exists());
}

fn runs(dir: &TempDir, args: &[&str]) -> Output {
    infermark(dir).arg("runs").args(args).output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", errors(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Makes a run of four requests below `infermark-runs` and returns its name.
fn catalogued(dir: &TempDir, tag: &str) -> String {
    let load = ["--requests", "4", "--output-tokens", "2", "--quiet", "--format", "json"];
    let output = run(dir, &[&[QUICK, "--tag", tag], &load[..]].concat());
    json(&output)["id"].as_str().unwrap().to_owned()
}

#[test]
fn runs_are_listed_shown_found_by_name_and_removed() {
    let dir = fresh();
    assert_eq!((text(&runs(&dir, &["ls"])), records(&dir).len()), (String::new(), 0));
    let first = catalogued(&dir, "team=a");
    let second = catalogued(&dir, "team=b");
    assert!(dir.path().join("infermark-runs/catalogue.sqlite").is_file());

    let listed = json(&runs(&dir, &["ls", "--format", "json"]));
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|run| &run["name"]).collect();
    assert_eq!(names, [&second, &first], "the newest first");
    assert_eq!((&listed[0]["requests"], &listed[0]["state"]), (&4.into(), &"complete".into()));
    let table = text(&runs(&dir, &["ls", "--tag", "team=a"]));
    assert!(table.contains(&first) && !table.contains(&second), "{table}");
    assert_eq!(text(&runs(&dir, &["ls", "--limit", "1", "--format", "csv"])).lines().count(), 2);

    // Both have the same beginning; their ends are their own.
    let end = &first[first.len() - 8..];
    assert!(text(&runs(&dir, &["show", end])).contains("requests.parquet"));
    let reported = infermark(&dir).args(["report", "--format", "json", end]).output().unwrap();
    assert_eq!(json(&reported)["id"], *first);
    for (word, meant) in [("latest", &second), ("latest~1", &first)] {
        let reported = infermark(&dir).args(["report", "--format", "json", word]).output().unwrap();
        assert_eq!(json(&reported)["id"], **meant);
    }
    fails(&runs(&dir, &["show", "latest~2"]), 2, &["there are 2 runs", "none so far back"]);
    fails(&runs(&dir, &["show", "2"]), 2, &["`2` may be", &first, &second, "hint: "]);
    fails(&runs(&dir, &["show", "x"]), 2, &["there is no run `x`", "`infermark runs ls`"]);
    let elsewhere = runs(&dir, &["--runs", "elsewhere", "show", end]);
    fails(&elsewhere, 2, &["there is no run", "elsewhere"]);

    fails(&runs(&dir, &["rm", end]), 2, &["`--yes`"]);
    let pruned = runs(&dir, &["prune", "--keep", "1"]);
    assert!(text(&pruned).contains(&first) && errors(&pruned).contains("1 would be removed"));
    assert_eq!(records(&dir).len(), 2, "nothing is removed unasked");
    assert!(text(&runs(&dir, &["prune", "--keep", "1", "--yes"])).contains(&first));
    assert!(text(&runs(&dir, &["rm", "--yes", &second])).contains(&second));
    assert_eq!(text(&runs(&dir, &["ls"])), "");
}

#[test]
fn a_run_under_way_is_listed_as_running_and_never_removed() {
    let dir = fresh();
    let mut child = long_run(&dir);
    let record = wait_for_rows(&dir, &mut child);
    let state = || json(&runs(&dir, &["ls", "--format", "json"]))[0]["state"].clone();
    assert_eq!(state(), "running");
    let name = record.file_name().unwrap().to_str().unwrap();
    fails(&runs(&dir, &["rm", "--yes", name]), 2, &["is being measured", "hint: "]);
    assert_eq!(text(&runs(&dir, &["prune", "--partial", "--yes"])), "");
    child.kill().unwrap();
    let _: std::process::ExitStatus = child.wait().unwrap();
    assert_eq!(state(), "partial");
    assert!(text(&runs(&dir, &["prune", "--partial", "--yes"])).contains(name));
    assert!(!record.exists());
}

#[test]
fn a_full_disk_ends_a_run_and_keeps_what_was_complete() {
    let dir = fresh();
    // A limit of the shell on the size of files stands in for the disk: 1024 bytes a block.
    let script = "trap '' XFSZ; ulimit -f 256; exec \"$0\" \"$@\"";
    let output = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_infermark"), "run", QUICK, "--quiet"])
        .args(["--duration", "10m", "--concurrency", "16", "--input-tokens", "32"])
        // Short answers: some end before the space does.
        .args(["--output-tokens", "4"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let record = only_record(&dir);
    fails(&output, 1, &["no space left to write", "hint: ", "infermark report"]);
    let kept = infermark(&dir).args(["report", "--format", "json"]).arg(&record).output().unwrap();
    let result = json(&kept);
    assert_eq!(result["partial"], true);
    assert!(result["points"][0]["counts"]["success"].as_u64().unwrap() > 0);
}

#[test]
fn a_record_of_a_later_version_is_refused_with_what_is_there_and_kept() {
    let dir = fresh();
    let name = catalogued(&dir, "a=b");
    let header = dir.path().join("infermark-runs").join(&name).join("run.json");
    let later = std::fs::read_to_string(&header).unwrap();
    let later = later.replace("infermark.run/1", "infermark.run/2");
    std::fs::write(&header, later.replace("\"0.1.0\"", "\"9.0.0\"")).unwrap();
    let words = ["infermark.run/2", "written by infermark 9.0.0", "newer infermark is needed"];
    let report = infermark(&dir).args(["report", &name]).output().unwrap();
    assert_eq!(report.status.code(), Some(2), "{}", errors(&report));
    for said in [errors(&report), errors(&runs(&dir, &["ls"]))] {
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
    assert_eq!(text(&runs(&dir, &["prune", "--keep", "0", "--yes"])), "");
    assert!(header.is_file());
}

#[test]
fn help_and_completions_are_there() {
    let dir = fresh();
    let help = infermark(&dir).args(["run", "--help"]).output().unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    for word in ["--concurrency", "--rate", "--tokenizer", "Exit codes:", "INFERMARK_RATE"] {
        assert!(text.contains(word), "{word}");
    }
    let script = infermark(&dir).args(["completions", "bash"]).output().unwrap();
    assert!(String::from_utf8(script.stdout).unwrap().contains("--concurrency"));
}

fn long_run(dir: &TempDir) -> Child {
    infermark(dir)
        .args(["run", QUICK, "--duration", "10m", "--concurrency", "4", "--output-tokens", "4"])
        .args(["--input-tokens", "32", "--format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until the run's journal holds requests.
fn wait_for_rows(dir: &TempDir, child: &mut Child) -> PathBuf {
    loop {
        assert!(child.try_wait().unwrap().is_none(), "the run ended by itself");
        if let Some(record) = records(dir).pop()
            && report_succeeds(dir, &record)
        {
            return record;
        }
        thread::yield_now();
    }
}

fn report_succeeds(dir: &TempDir, record: &Path) -> bool {
    let output = infermark(dir).args(["report", "--format", "json"]).arg(record).output().unwrap();
    let result: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    result.is_some_and(|r| r["points"][0]["counts"]["success"].as_u64() > Some(0))
}

fn records(dir: &TempDir) -> Vec<PathBuf> {
    let found = std::fs::read_dir(dir.path().join("infermark-runs"));
    let found = found.into_iter().flatten().flatten().map(|entry| entry.path());
    found.filter(|path| path.is_dir()).collect()
}

fn only_record(dir: &TempDir) -> PathBuf {
    let mut found = records(dir);
    assert_eq!(found.len(), 1);
    found.remove(0)
}

/// Makes a run of the embedded engine and returns its record.
fn recorded(dir: &TempDir, name: &str, target: &str) -> String {
    let load = ["--throughput", "--requests", "60", "--output-tokens", "8", "--record", name];
    let output = run(dir, &[&[target, "--quiet"], &load[..]].concat());
    assert!(output.status.success() || output.status.code() == Some(4), "{}", errors(&output));
    name.to_owned()
}

#[test]
fn a_slower_engine_compares_as_worse_and_a_record_with_itself_as_no_different() {
    let dir = fresh();
    let (a, b) = (
        recorded(&dir, "a", "sim:ttft=20ms,itl=4ms"),
        recorded(&dir, "b", "sim:ttft=20ms,itl=12ms"),
    );
    let compared = |one: &str, other: &str| {
        let args = ["compare", one, other, "--format", "json"];
        json(&infermark(&dir).args(args).output().unwrap())["comparisons"][0].clone()
    };
    let verdict = |comparison: &Value, figure: &str| {
        let findings = comparison["findings"].as_array().unwrap();
        let finding = findings.iter().find(|finding| finding["figure"] == *figure).unwrap();
        finding["verdict"].as_str().unwrap().to_owned()
    };
    let slower = compared(&a, &b);
    assert_eq!(verdict(&slower, "tpot:mean"), "worse");
    assert_eq!(slower["differs"][0]["name"], "target");
    assert_eq!(verdict(&compared(&b, &a), "tpot:mean"), "better");
    let none = compared(&a, &a);
    for finding in none["findings"].as_array().unwrap() {
        assert!(["same", "cannot_tell"].contains(&finding["verdict"].as_str().unwrap()));
    }
    let gated = |clauses: &str, other: &str| {
        std::fs::write(dir.path().join("gate.yaml"), clauses).unwrap();
        let args = ["compare", "a", other, "--gate", "gate.yaml", "--format", "junit"];
        let output = infermark(&dir).args(args).output().unwrap();
        (
            output.status.code(),
            format!("{}{}", String::from_utf8_lossy(&output.stdout), errors(&output)),
        )
    };
    let (code, text) = gated("clauses:\n- tpot:mean <= +50%\n- ttft:p50 <= 1s\n", "b");
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("failures=\"1\"") && text.contains("tpot:mean &lt;= +50%"), "{text}");
    let (code, text) = gated("clauses: [tpot:mean <= +50%, ttft:p50 <= 1s]\n", "a");
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = gated("clauses:\n- e2e:p50\n- ttft:max\n", "b");
    assert!(code == Some(2) && text.contains("gate.yaml:3"), "{text}");
    let refused = |args: &[&str], part: &str| {
        let output = infermark(&dir).arg("compare").args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(errors(&output).contains(part), "{}", errors(&output));
    };
    refused(&["a", "nowhere"], "nowhere");
    refused(&["a", "b", "--figure", "ttft:max"], "not a figure that can be compared");
    refused(&["a", "b", "--figure", "tpot"], "not a figure that can be compared");
    refused(&["a", "b", "--floor", "2"], "expected a share such as `2%`");
}

#[test]
fn studies_and_other_tools_files_are_compared_load_by_load() {
    let dir = fresh();
    let sweep = |name: &str, engine: &str, rungs: &str| {
        let words = ["sweep", engine, "--concurrency", rungs, "--requests", "48", "--record", name];
        let lengths = ["--input-tokens", "16", "--output-tokens", "6", "--seed", "3", "--quiet"];
        ran(&infermark(&dir).args(words).args(lengths).output().unwrap());
    };
    sweep("a", "sim:ttft=1ms,itl=2ms", "2,4");
    sweep("b", "sim:ttft=1ms,itl=6ms", "2,4,8");
    std::fs::write(dir.path().join("gate.yaml"), "clauses: [tpot:mean <= +50%]\n").unwrap();
    let compare = |args: &[&str]| infermark(&dir).arg("compare").args(args).output().unwrap();
    let output = compare(&["a", "b", "--gate", "gate.yaml"]);
    let table = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(matches!(output.status.code(), Some(3 | 4)), "{table}{}", errors(&output));
    assert!(table.contains("only in   candidate: 8 slots"), "{table}");
    assert_eq!(table.matches("FAIL · tpot:mean <= +50%").count(), 2, "{table}");
    assert!(table.contains("the same requests"), "one seed: {table}");
    let output = compare(&["a", "b", "--gate", "gate.yaml", "--format", "junit"]);
    let junit = String::from_utf8(output.stdout).unwrap();
    assert!(
        junit.contains("<testsuite name=\"b · 2 slots\" tests=\"1\" failures=\"1\""),
        "{junit}"
    );
    let told = json(&compare(&["a", "b", "--format", "json"]));
    assert_eq!(told["comparisons"].as_array().unwrap().len(), 2);
    assert_eq!(told["comparisons"][1]["candidate"]["load"], "4 slots");
    assert_eq!(told["unpaired"][0]["candidate"]["loads"][0], "8 slots");

    let peers = concat!(env!("CARGO_MANIFEST_DIR"), "/../peers/testdata/");
    let file = |name: &str| format!("{peers}{name}");
    let (vllm, guide) = (file("vllm/plain.json"), file("guidellm/benchmarks.json"));
    let told = json(&compare(&[&vllm, &file("vllm/detailed.json"), "--format", "json"]));
    let theirs = &told["comparisons"][0];
    assert_eq!(
        (&theirs["unit"], &theirs["baseline"]["definitions"]),
        (&"nothing".into(), &"vllm".into())
    );
    let verdicts = theirs["findings"].as_array().unwrap().iter().map(|f| &f["verdict"]);
    assert!(verdicts.clone().count() > 10 && verdicts.into_iter().all(|v| v == "cannot_tell"));
    // A run of ours beside a file: by that tool's definitions.
    let ours = recorded(&dir, "ours", "sim:ttft=2ms,itl=2ms");
    let output = compare(&[&ours, &guide]);
    assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
    assert!(errors(&output).contains("no load in common"), "{}", errors(&output));
    let told = json(&compare(&[&vllm, &ours, "--format", "json"]));
    let found = &told["comparisons"][0];
    assert_eq!(found["candidate"]["definitions"], "vllm");
    let figures = found["findings"].as_array().unwrap().iter().map(|f| f["figure"].as_str());
    let figures: Vec<_> = figures.flatten().collect();
    assert!(figures.contains(&"service_ttft:mean") && figures.contains(&"tpot:p99"), "{figures:?}");
    assert_eq!(found["baseline"]["definitions"], "vllm");
}

/// Every tool's file is compared with another of its own, and with a run, by its definitions.
#[test]
fn every_tools_files_are_compared_by_its_own_definitions() {
    let dir = fresh();
    let (ours, other) = (
        recorded(&dir, "ours", "sim:ttft=2ms,itl=2ms"),
        recorded(&dir, "other", "sim:ttft=6ms,itl=2ms"),
    );
    let peers = concat!(env!("CARGO_MANIFEST_DIR"), "/../peers/testdata/");
    let aiperf = format!("{peers}aiperf/profile_export_aiperf.json");
    let stage = format!("{peers}inference-perf/stage_0_lifecycle_metrics.json");
    let exported = |run: &str, format: &str| {
        let file = format!("{run}.{format}");
        drop(done(&dir, &["runs", "export", run, "--as", format, "--output", &file]));
        file
    };
    // Of whose definitions there is a view, the run is measured again by them; else the figures
    // that both define alike are left.
    for (tool, format, own, view) in [
        ("aiperf/0.13.0", "", "time_to_first_output_token:mean", "aiperf"),
        ("inference-perf", "", "inter_token_latency:p99", "inference-perf"),
        ("hf", "hf", "e2e_latency_ms:p90", "hf"),
        ("compressa-perf", "compressa", "LATENCY:p95", "infermark.metrics/1"),
        ("llm-d", "llm-d", "inter_token_latency:mean", "infermark.metrics/1"),
    ] {
        let files = match tool {
            "aiperf/0.13.0" => [aiperf.clone(), aiperf.clone()],
            "inference-perf" => [stage.clone(), stage.clone()],
            _ => [exported("ours", format), exported("other", format)],
        };
        let compare = |sides: [&str; 2]| {
            let output = done(&dir, &["compare", sides[0], sides[1], "--format=json"]);
            json(&output)["comparisons"][0].clone()
        };
        let figures = |found: &Value| -> Vec<String> {
            let all = found["findings"].as_array().unwrap().iter();
            all.map(|finding| finding["figure"].as_str().unwrap().to_owned()).collect()
        };
        let theirs = compare([&files[0], &files[1]]);
        assert_eq!(theirs["baseline"]["definitions"], tool);
        assert_eq!(theirs["candidate"]["definitions"], tool);
        assert!(figures(&theirs).iter().any(|figure| figure == own), "{:?}", figures(&theirs));
        let mut verdicts = theirs["findings"].as_array().unwrap().iter().map(|f| &f["verdict"]);
        assert!(verdicts.all(|verdict| verdict == "cannot_tell"), "{theirs}");
        let mixed = compare([&files[0], &other]);
        assert_eq!(mixed["candidate"]["definitions"], view, "{tool}");
        let shared = figures(&mixed);
        assert!(shared.iter().any(|figure| figure == "service_ttft:mean"), "{tool}: {shared:?}");
        let page = done(&dir, &["compare", &files[0], &ours]).stdout;
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains(&format!("by the definitions of {tool}")), "{page}");
        assert!(page.contains("by the tools' own definitions"), "{page}");
    }
}

#[test]
fn a_file_of_nobodys_is_refused_with_what_can_be_compared() {
    let dir = fresh();
    let ours = recorded(&dir, "ours", "sim:ttft=2ms,itl=2ms");
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("x.csv", "a,b\n");
    write("x.json", "{\"a\": 1}");
    write("empty", "");
    write("cut.json", "{\"completed\": 1, ");
    let nobodys = "not a result file of vLLM's client, GuideLLM, AIPerf, inference-perf, \
                   inference-benchmarker, compressa-perf, llm-d";
    for (file, words) in [
        ("x.csv", [nobodys, "hint: docs/peers.md says which files"]),
        ("x.json", [nobodys, "hint: docs/peers.md says which files"]),
        ("empty", [nobodys, "hint: docs/peers.md says which files"]),
        ("cut.json", ["not valid JSON", "hint: the file may have been cut short"]),
        ("ours/run.json", [nobodys, "hint: a run of infermark's is named by its directory"]),
        ("ours/requests.parquet", [nobodys, "named by its directory"]),
    ] {
        let output = infermark(&dir).args(["compare", &ours, file]).output().unwrap();
        fails(&output, 2, &[&[&*format!("cannot compare {file}")], &words[..]].concat());
    }
}

#[test]
fn a_sweep_prints_its_curve_and_goes_on_where_it_was_interrupted() {
    let dir = fresh();
    let words = ["sweep", QUICK, "--concurrency", "1,2", "--requests", "8", "--record", "s"];
    let lengths = ["--input-tokens", "16,24", "--output-tokens", "4", "--format", "json"];
    let output = infermark(&dir).args(words).args(lengths).output().unwrap();
    ran(&output);
    let swept = json(&output);
    assert_eq!((&swept["kind"], &swept["partial"]), (&"sweep".into(), &false.into()));
    let labels: Vec<_> = swept["points"].as_array().unwrap().iter().map(|p| &p["label"]).collect();
    assert_eq!(labels, ["16 1 slots", "16 2 slots", "24 1 slots", "24 2 slots"]);
    assert_eq!(swept["curves"].as_array().unwrap().len(), 2);

    let again = infermark(&dir).args(["report", "s"]).output().unwrap();
    let table = String::from_utf8(again.stdout).unwrap();
    assert!(table.contains("infermark sweep") && table.contains("24 2 slots"), "{table}");

    // As if it had been killed in its last point.
    let last = dir.path().join("s/points/003");
    std::fs::remove_dir_all(&last).unwrap();
    let words = ["sweep", "--resume", "s", "--format", "json"];
    let resumed = infermark(&dir).args(words).output().unwrap();
    ran(&resumed);
    let told = errors(&resumed);
    assert_eq!(told.matches("measured before").count(), 3, "{told}");
    assert_eq!(json(&resumed)["points"][2]["latency"], swept["points"][2]["latency"]);
    assert!(last.join("run.json").is_file());
}

#[test]
fn the_study_to_go_on_with_is_named_as_runs_are_and_must_be_of_the_commands_kind() {
    let dir = fresh();
    let words = ["sweep", QUICK, "--concurrency", "1,2", "--requests", "4", "--output-tokens", "2"];
    let swept = infermark(&dir).args(words).args(["--format", "json"]).output().unwrap();
    ran(&swept);
    let id = json(&swept)["id"].as_str().unwrap().to_owned();
    let resume = |command: &str, word: &str| {
        infermark(&dir).args([command, "--resume", word, "--format", "json"]).output().unwrap()
    };
    let goes_on = |word: &str| {
        let resumed = resume("sweep", word);
        ran(&resumed);
        assert_eq!((json(&resumed)["id"].as_str(), records(&dir).len()), (Some(&*id), 1));
    };
    goes_on("latest");
    goes_on(&id[id.len() - 8..]);
    let other = resume("capacity", "latest");
    let words = [&*id, "is of kind `sweep` and not `capacity`", "runs ls --kind capacity"];
    fails(&other, 2, &words);

    let run = catalogued(&dir, "team=a");
    let between = resume("sweep", "latest");
    fails(&between, 2, &[&run, "is of kind `run` and not `sweep`", "runs ls --kind sweep"]);
    ran(&resume("sweep", "latest~1"));
    fails(&resume("sweep", "latest~2"), 2, &["there are 2 runs", "none so far back"]);
}

#[test]
fn what_floods_a_target_is_saturated_in_every_report() {
    let dir = fresh();
    let words = ["sweep", QUICK, "--points", "1", "--requests", "40", "--record", "s"];
    let output = infermark(&dir).args(words).args(["--format", "json"]).output().unwrap();
    ran(&output);
    let swept = json(&output);
    let flood = |swept: &Value| {
        let points = swept["points"].as_array().unwrap().iter();
        let mut floods = points.filter(|point| point["label"] == "throughput");
        floods.next().unwrap()["saturated"] == true
    };
    assert!(flood(&swept), "{swept}");
    let report = |format: &str| {
        let args = ["report", "s", "--format", format];
        let output = infermark(&dir).args(args).output().unwrap();
        ran(&output);
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(flood(&serde_json::from_str(&report("json")).unwrap()));
    let table = report("table");
    let line = table.lines().find(|line| line.starts_with("throughput"));
    assert!(line.unwrap().contains('!'), "{table}");
    let page = report("markdown");
    let line = page.lines().find(|line| line.contains("| throughput,")).unwrap();
    assert!(line.contains("saturated |") && line.contains("~~"), "{line}");
    let html = report("html");
    assert!(html.contains("<small class=\"mark\">saturated</small>") && html.contains("<s>"));
    let text = report("csv");
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let keys = rows.headers().unwrap().clone();
    let cell = |row: &csv::StringRecord, key: &str| {
        row.get(keys.iter().position(|other| other == key).unwrap()).unwrap().to_owned()
    };
    let flood = rows.records().flatten().find(|row| cell(row, "point") == "throughput").unwrap();
    assert_eq!(cell(&flood, "saturated"), "true");
}

#[test]
fn a_wrong_ladder_is_refused() {
    let output = infermark(&fresh()).args(["sweep", "--concurrency", "1,many"]).output().unwrap();
    fails(&output, 2, &["--concurrency `1,many`", "hint: for example"]);
}

#[test]
fn a_search_for_a_load_replays_no_trace() {
    let dir = fresh();
    let at = dir.path().join("s.yaml");
    std::fs::write(&at, "trace: recorded.jsonl\nslo: ttft:p99<=1s\n").unwrap();
    for command in ["sweep", "capacity"] {
        let output = infermark(&dir).args([command, "--scenario", "s.yaml"]).output().unwrap();
        fails(&output, 2, &["trace `recorded.jsonl`", "hint: ", "--dataset trace:"]);
    }
}

/// A suite of one point, with a line that holds and one that does not.
const SUITE: &str = "\
suite: ours
title: What ours must do
scenario: {input_tokens: 16, output_tokens: 4, requests: 12}
workloads:
  - name: only
    loads: [{concurrency: 2}]
    checks:
      - {name: soon, slo: 'ttft:p50<=10s'}
      - {name: at once, slo: 'ttft:max<=1us'}
";

#[test]
fn a_suite_ends_in_a_verdict_which_its_record_keeps() {
    let dir = fresh();
    std::fs::write(dir.path().join("ours.yaml"), SUITE).unwrap();
    let words = ["validate", QUICK, "--suite", "ours.yaml", "--record", "v", "--format", "json"];
    let output = infermark(&dir).args(words).output().unwrap();
    // Void, where this machine was too busy to be exact.
    assert!([Some(3), Some(4)].contains(&output.status.code()), "{}", errors(&output));
    let header = json(&output);
    assert_eq!((&header["kind"], &header["partial"]), (&"validate".into(), &false.into()));
    let lines = header["validation"]["lines"].as_array().unwrap();
    let names: Vec<_> = lines.iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["soon", "at once"]);

    let again = infermark(&dir).args(["report", "v"]).output().unwrap();
    assert_eq!(again.status.code(), output.status.code());
    let table = String::from_utf8(again.stdout).unwrap();
    for part in ["infermark validate · ours", "What ours must do", "soon · at every load"] {
        assert!(table.contains(part), "{table}");
    }
    let words = ["validate", "--resume", "v", "--format", "markdown"];
    let resumed = infermark(&dir).args(words).output().unwrap();
    assert!(errors(&resumed).contains("measured before"), "{}", errors(&resumed));
    let text = String::from_utf8(resumed.stdout).unwrap();
    assert!(text.contains("| verdict | what | rule | found |"), "{text}");
}

#[test]
fn a_wrong_suite_is_refused_with_its_line() {
    let dir = fresh();
    std::fs::write(dir.path().join("ours.yaml"), SUITE.replace("p50<=10s", "p50<=10")).unwrap();
    let refused = |args: &[&str], parts: &[&str]| {
        let output = infermark(&dir).arg("validate").args(args).output().unwrap();
        fails(&output, 2, parts);
    };
    refused(&["--suite", "ours.yaml"], &["ours.yaml:8", "expected a duration"]);
    refused(&["--suite", "ai-factori"], &["cannot read the suite", "ai-factory"]);
    refused(&["--suite", "ai-factory", "--reference", "x"], &["qwen2.5-3b@l40s"]);
    refused(&["--suite", "ai-factory", "--target", "a=sim:"], &["takes one target"]);
    refused(&["--suite", "serving-comparison", "--target", "a"], &["not a name and a target"]);
    let twice = ["--suite", "serving-comparison", "--target", "a=sim:", "--target", "a=sim:"];
    refused(&twice, &["two targets have the same name"]);
    let listed = infermark(&dir).args(["validate", "--list"]).output().unwrap();
    assert!(String::from_utf8(listed.stdout).unwrap().starts_with("ai-factory "));
    let shown = ["validate", "--suite", "ai-factory", "--show"];
    let shown = infermark(&dir).args(shown).output().unwrap();
    assert!(String::from_utf8(shown.stdout).unwrap().contains("suite: ai-factory"));
}
