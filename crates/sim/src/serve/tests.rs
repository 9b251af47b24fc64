//! A plain client against the real listener. Nothing here depends on how long anything takes.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};

use infermark_terms::{Ask, ChunkKind, OutcomeKind, OutputPolicy, Prompt, RequestId, Usage};
use infermark_wire::dialect::path;
use infermark_wire::exchange::{Exchange, Keep, Progress};
use infermark_wire::{Api, Delivery, Dialect, LengthFields, UsageFields};
use serde_json::{Value, json};

use super::truth::{Ending, TruthHeader, TruthRecord};
use super::*;
use crate::engine::Fleet;
use crate::latency::{FixedEngine, FixedLatency};
use crate::spec::SimTarget;

/// Hands records to the test.
struct Kept(Sender<TruthRecord>);

impl TruthSink for Kept {
    fn begin(&mut self, _: TruthHeader) {}

    fn record(&mut self, record: TruthRecord) {
        // Not every test waits for the truth.
        drop(self.0.send(record));
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

/// A server that answers as fast as it can.
fn swift(faults: &str) -> (Serving, Receiver<TruthRecord>) {
    timed("ttft=0us,itl=0us", faults)
}

fn timed(latency: &str, faults: &str) -> (Serving, Receiver<TruthRecord>) {
    let (keep, kept) = channel();
    let plan = ServePlan {
        faults: faults.parse().unwrap(),
        truth: Some(Box::new(Kept(keep))),
        max_model_len: 65_536,
        ..ServePlan::new("toy")
    };
    let latency: FixedLatency = latency.parse().unwrap();
    (start(plan, Box::new(FixedEngine::new(latency))).unwrap(), kept)
}

fn connect(serving: &Serving) -> TcpStream {
    TcpStream::connect(serving.address()).unwrap()
}

fn post(path: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!("POST {path} HTTP/1.1\r\nHost: toy\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: toy\r\n\r\n").into_bytes()
}

/// Sends a request that asks the server to close, and reads everything.
fn raw(serving: &Serving, request: &[u8]) -> String {
    String::from_utf8_lossy(&raw_bytes(serving, request)).into_owned()
}

fn raw_bytes(serving: &Serving, request: &[u8]) -> Vec<u8> {
    let mut stream = connect(serving);
    let text = String::from_utf8(request.to_vec()).unwrap();
    let request = text.replacen("Host: toy\r\n", "Host: toy\r\nConnection: close\r\n", 1);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A reset comes after what was sent.
    drop(stream.read_to_end(&mut answer));
    answer
}

fn body(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// Undoes the chunked coding.
fn dechunk(answer: &[u8]) -> Vec<u8> {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let mut rest = &answer[head + 4..];
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 2 + size + 2..];
    }
    body
}

/// What a client of our own sees.
#[derive(Debug)]
struct Seen {
    outcome: OutcomeKind,
    keep: Keep,
    text: String,
    /// The tokens of each chunk, where stated.
    chunks: Vec<Option<u32>>,
    usage: Option<Usage>,
}

fn read_answer(stream: &mut TcpStream, api: Api, delivery: Delivery) -> Seen {
    let mut exchange = Exchange::new(api, delivery);
    let (mut text, mut chunks) = (Vec::new(), Vec::new());
    let mut buffer = [0; 16 << 10];
    let ended = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break exchange.closed(),
            Ok(count) => {
                let progress = exchange.receive(&buffer[..count], &mut |chunk| {
                    assert_eq!(chunk.kind, ChunkKind::Answer);
                    chunk.text.append_to(&mut text);
                    chunks.push(chunk.tokens);
                });
                if let Progress::Ended(ended) = progress {
                    break ended;
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
                break exchange.closed();
            }
        }
    };
    if let Some(whole) = exchange.output_text() {
        text.extend_from_slice(whole);
    }
    Seen {
        outcome: ended.outcome.kind(),
        keep: ended.connection,
        text: String::from_utf8(text).unwrap(),
        chunks,
        usage: exchange.usage(),
    }
}

fn ask(api: Api, tokens: u32, more: &Value) -> Vec<u8> {
    let mut fields = json!({ "model": "toy", "max_tokens": tokens, "ignore_eos": true });
    if api == Api::Chat {
        fields["messages"] = json!([{ "role": "user", "content": "hello there" }]);
    } else {
        fields["prompt"] = json!("hello there friend");
    }
    for (key, value) in more.as_object().unwrap() {
        fields[key] = value.clone();
    }
    post(&path(api, Delivery::Whole, "toy"), &fields)
}

/// Asks as this program's client does.
fn ask_in(api: Api, delivery: Delivery, tokens: u32) -> Vec<u8> {
    let dialect = Dialect {
        api,
        delivery,
        model: "toy".to_owned(),
        length: LengthFields::IgnoreEosAndMinTokens,
        usage: UsageFields::Final,
    };
    let ask = Ask {
        id: RequestId(0),
        prompt: Prompt::Text("hello there".to_owned()),
        input_tokens: None,
        output_tokens: Some(tokens),
        output_policy: OutputPolicy::Exact,
    };
    let body = dialect.body(&ask).unwrap();
    post(&dialect.path(), &serde_json::from_slice(&body).unwrap())
}

fn streamed() -> Value {
    json!({ "stream": true, "stream_options": { "include_usage": true } })
}

/// The prompt's tokens in [`ask`].
fn prompt_tokens(api: Api) -> u32 {
    if api == Api::Chat { 5 + 3 + 2 } else { 3 }
}

#[test]
fn the_small_endpoints_answer_as_vllm_does() {
    let (serving, _) = swift("");
    let models = body(&raw(&serving, &get("/v1/models")));
    assert_eq!(models["data"][0]["id"], "toy");
    assert_eq!(models["data"][0]["max_model_len"], 65_536);
    assert!(raw(&serving, &get("/health")).starts_with("HTTP/1.1 200 OK\r\n"));
    let version = body(&raw(&serving, &get("/version")));
    assert_eq!(version["version"], concat!("infermark-sim-", env!("CARGO_PKG_VERSION")));
    let tokens = body(&raw(&serving, &post("/tokenize", &json!({ "prompt": "hello there" }))));
    assert_eq!((&tokens["count"], &tokens["max_model_len"]), (&json!(2), &json!(65_536)));
    let text = body(&raw(&serving, &post("/detokenize", &json!({ "tokens": tokens["tokens"] }))));
    assert_eq!(words::count(text["prompt"].as_str().unwrap()), 2);
    let chat = json!({ "messages": [{ "role": "user", "content": "hello there" }] });
    assert_eq!(body(&raw(&serving, &post("/tokenize", &chat)))["count"], 10);
    let metrics = raw(&serving, &get("/metrics"));
    assert!(metrics.contains("vllm:num_requests_running{engine=\"0\",model_name=\"toy\"} 0\n"));
}

#[test]
fn a_head_request_gets_the_head_alone_and_leaves_the_connection_in_order() {
    let (serving, _) = swift("");
    let mut stream = connect(&serving);
    for target in ["HEAD /metrics", "HEAD /v2/models", "GET /health"] {
        let close = if target.starts_with("GET") { "Connection: close\r\n" } else { "" };
        let request = format!("{target} HTTP/1.1\r\nHost: toy\r\n{close}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
    }
    let mut answer = String::new();
    let _: usize = stream.read_to_string(&mut answer).unwrap();
    let statuses: Vec<_> = answer.lines().filter(|line| line.starts_with("HTTP/1.1")).collect();
    assert_eq!(statuses, ["HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found", "HTTP/1.1 200 OK"]);
    let length = |head: &str| head.split_once("Content-Length: ").unwrap().1.parse::<u32>();
    let heads: Vec<_> = answer.split_terminator("\r\n\r\n").collect();
    assert_eq!(heads.len(), 3, "{answer}");
    assert!(length(heads[0]).unwrap() > 0 && length(heads[1]).unwrap() > 0);
}

#[test]
fn bad_requests_are_refused_in_vllms_shapes() {
    let (serving, kept) = swift("");
    let chat = |fields: &Value| ask(Api::Chat, 4, fields);
    for (request, status, class, param) in [
        (get("/v2/models"), 404, "Not Found", json!(null)),
        (get("/v1/completions"), 405, "Method Not Allowed", json!(null)),
        (chat(&json!({ "model": "other" })), 404, "NotFoundError", json!("model")),
        (chat(&json!({ "max_tokens": 65_530 })), 400, "BadRequestError", json!("max_tokens")),
        (chat(&json!({ "messages": 7 })), 400, "BadRequestError", json!(null)),
        (post("/v1/completions", &json!("x")), 400, "BadRequestError", json!(null)),
        (post("/tokenize", &json!({})), 400, "BadRequestError", json!(null)),
        (b"NONSENSE\r\n\r\n".to_vec(), 400, "BadRequestError", json!(null)),
    ] {
        let answer = raw(&serving, &request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let error = &body(&answer)["error"];
        assert_eq!((error["type"].as_str(), &error["param"]), (Some(class), &param), "{answer}");
        assert_eq!(error["code"], status);
    }
    assert_eq!(serving.stop().requests, 4);
    let kept: Vec<_> = kept.into_iter().map(|record| (record.index, record.status)).collect();
    assert_eq!(kept, [(0, 404), (1, 400), (2, 400), (3, 400)]);
}

#[test]
fn a_streamed_chat_is_written_as_vllm_writes_it() {
    let (serving, kept) = swift("");
    let answer = raw_bytes(&serving, &ask(Api::Chat, 3, &streamed()));
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\
                Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(answer.starts_with(head.as_bytes()), "{}", String::from_utf8_lossy(&answer));
    drop(serving);
    let record = kept.recv().unwrap();
    let id = record.id.unwrap();
    let text = String::from_utf8(dechunk(&answer)).unwrap();
    let events: Vec<_> = text.split_terminator("\n\n").collect();
    let parsed: Vec<Value> = events[..5]
        .iter()
        .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
        .collect();
    assert!(parsed.iter().all(|event| event["id"] == id.as_str() && event["model"] == "toy"));
    assert_eq!(parsed[0]["choices"][0]["delta"], json!({ "role": "assistant", "content": "" }));
    for event in &parsed[1..4] {
        let word = event["choices"][0]["delta"]["content"].as_str().unwrap();
        assert_eq!(words::count(word), 1);
    }
    let finishes: Vec<_> = parsed[..4].iter().map(|e| &e["choices"][0]["finish_reason"]).collect();
    assert_eq!(finishes, [&json!(null), &json!(null), &json!(null), &json!("length")]);
    assert_eq!(parsed[4]["choices"], json!([]));
    assert_eq!(
        parsed[4]["usage"],
        json!({ "prompt_tokens": 10, "total_tokens": 13, "completion_tokens": 3 })
    );
    assert_eq!(events[5..], ["data: [DONE]"]);
}

#[test]
fn counts_are_exact_in_every_way_of_asking() {
    let (serving, kept) = swift("");
    let mut stream = connect(&serving);
    for api in [Api::Chat, Api::Completions] {
        for (delivery, more) in [
            (Delivery::Whole, json!({})),
            (Delivery::Streamed, streamed()),
            (
                Delivery::Streamed,
                json!({ "stream": true, "stream_options": {
                    "include_usage": true, "continuous_usage_stats": true } }),
            ),
            (
                Delivery::Streamed,
                json!({ "stream": true, "stream_options": { "include_usage": true },
                    "return_token_ids": true }),
            ),
        ] {
            for tokens in [1, 2, 37] {
                stream.write_all(&ask(api, tokens, &more)).unwrap();
                let seen = read_answer(&mut stream, api, delivery);
                assert_eq!((seen.outcome, seen.keep), (OutcomeKind::Finished, Keep::Reuse));
                assert_eq!(words::count(&seen.text), tokens as usize, "{}", seen.text);
                let usage = seen.usage.unwrap();
                assert_eq!(usage.prompt_tokens, prompt_tokens(api));
                assert_eq!(usage.completion_tokens, tokens);
                if delivery == Delivery::Streamed {
                    assert_eq!(seen.chunks.len(), tokens as usize);
                    assert!(seen.chunks.iter().all(|&known| known.is_none_or(|count| count == 1)));
                }
                let record = kept.recv().unwrap();
                assert_eq!(record.tokens.len(), tokens as usize);
                assert!(record.tokens.iter().all(|token| token.written_ns >= Some(token.due_ns)));
                assert_eq!(record.told, Some((prompt_tokens(api), tokens)));
                assert!(record.first_byte_ns <= record.arrival_ns);
                assert!(record.arrival_ns <= record.head_ns.unwrap());
                assert!(record.head_ns.unwrap() <= record.end_ns);
            }
        }
    }
    assert_eq!(serving.stop().connections, 1);
}

#[test]
fn tokens_are_due_as_the_engine_has_them_from_the_recorded_arrival() {
    let (serving, kept) = timed("ttft=3ms,itl=500us,prefill=10us", "");
    let mut stream = connect(&serving);
    for delivery in [Delivery::Whole, Delivery::Streamed] {
        let more = json!({ "stream": delivery == Delivery::Streamed });
        stream.write_all(&ask(Api::Completions, 8, &more)).unwrap();
        assert_eq!(read_answer(&mut stream, Api::Completions, delivery).usage.is_some(), {
            delivery == Delivery::Whole
        });
        let record = kept.recv().unwrap();
        let due: Vec<_> = record.tokens.iter().map(|t| t.due_ns - record.arrival_ns).collect();
        assert_eq!(due, (0..8).map(|k| 3_030_000 + k * 500_000).collect::<Vec<u64>>());
    }
}

#[test]
fn the_answer_is_the_same_however_it_is_delivered() {
    let (serving, _) = swift("");
    let text = |more: &Value, delivery| {
        let mut stream = connect(&serving);
        stream.write_all(&ask(Api::Chat, 50, more)).unwrap();
        read_answer(&mut stream, Api::Chat, delivery).text
    };
    let whole = text(&json!({}), Delivery::Whole);
    assert_eq!(text(&streamed(), Delivery::Streamed), whole);
}

#[test]
fn without_ignore_eos_the_model_stops_when_it_likes_but_within_its_bounds() {
    let (serving, kept) = swift("");
    for (max, min) in [(1, 0), (5, 5), (400, 0), (10_000, 4_000)] {
        let more = json!({ "ignore_eos": false, "min_tokens": min });
        let answer = body(&raw(&serving, &ask(Api::Chat, max, &more)));
        let record = kept.recv().unwrap();
        assert!((min.max(1)..=max).contains(&record.output_tokens));
        assert_eq!(answer["usage"]["completion_tokens"], record.output_tokens);
        let reason = if record.output_tokens == max { "length" } else { "stop" };
        assert_eq!(answer["choices"][0]["finish_reason"], reason);
    }
}

#[test]
fn token_ids_are_a_prompt_for_completions() {
    let (serving, _) = swift("");
    let request = ask(Api::Completions, 2, &json!({ "prompt": [1, 2, 3, 4, 70_000] }));
    let answer = body(&raw(&serving, &request));
    assert_eq!(answer["usage"]["prompt_tokens"], 5);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (serving, kept) = swift("");
    let mut stream = connect(&serving);
    let mut requests = ask(Api::Chat, 3, &streamed());
    requests.extend(get("/version"));
    requests.extend(ask(Api::Completions, 2, &json!({})));
    requests.extend(
        String::from_utf8(get("/health"))
            .unwrap()
            .replace("Host", "Connection: close\r\nHost")
            .into_bytes(),
    );
    stream.write_all(&requests).unwrap();
    let mut all = String::new();
    let _: usize = stream.read_to_string(&mut all).unwrap();
    let places = ["chat.completion.chunk", "{\"version\":", "text_completion", "Connection: close"]
        .map(|part| all.find(part).unwrap());
    assert!(places.is_sorted(), "{all}");
    assert_eq!(all.matches("HTTP/1.1 200 OK").count(), 4);
    drop(serving);
    assert_eq!(kept.into_iter().map(|record| record.index).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_client_that_leaves_aborts_its_job() {
    let (serving, kept) = timed("ttft=0us,itl=1s", "");
    let mut stream = connect(&serving);
    stream.write_all(&ask(Api::Chat, 1_000, &streamed())).unwrap();
    let mut some = [0; 512];
    let _: usize = stream.read(&mut some).unwrap();
    drop(stream);
    let record = kept.recv().unwrap();
    assert_eq!(record.ending, Ending::ClientClosed);
    assert!(record.tokens.len() < 1_000);
    let metrics = raw(&serving, &get("/metrics"));
    assert!(metrics.contains("num_requests_running{engine=\"0\",model_name=\"toy\"} 0\n"));
    assert!(metrics.contains("finished_reason=\"abort\",model_name=\"toy\"} 1\n"));
    assert_eq!(serving.stop().cut_off, 1);
}

#[test]
fn a_stop_closes_what_is_under_way_and_says_so() {
    let (serving, kept) = timed("ttft=0us,itl=1s", "");
    let mut stream = connect(&serving);
    stream.write_all(&ask(Api::Chat, 1_000, &streamed())).unwrap();
    let mut some = [0; 512];
    let _: usize = stream.read(&mut some).unwrap();
    assert_eq!(serving.stop().cut_off, 1);
    let seen = read_answer(&mut stream, Api::Chat, Delivery::Streamed);
    assert_ne!(seen.outcome, OutcomeKind::Finished);
    let record = kept.recv().unwrap();
    assert_eq!((record.ending, record.outcome), (Ending::Stopped, OutcomeKind::Severed));
}

#[test]
fn hundreds_of_streams_are_served_at_once() {
    const STREAMS: usize = 300;
    let (serving, kept) = timed("ttft=20ms,itl=1ms", "");
    let mut streams: Vec<_> = (0..STREAMS).map(|_| connect(&serving)).collect();
    for stream in &mut streams {
        stream.write_all(&ask(Api::Chat, 10, &streamed())).unwrap();
    }
    for stream in &mut streams {
        let seen = read_answer(stream, Api::Chat, Delivery::Streamed);
        assert_eq!((seen.outcome, seen.chunks.len()), (OutcomeKind::Finished, 10));
    }
    let summary = serving.stop();
    assert_eq!((summary.requests, summary.tokens), (STREAMS as u64, 10 * STREAMS as u64));
    assert_eq!(summary.lateness.count, 10 * STREAMS as u64);
    let mut indices: Vec<_> = kept.into_iter().map(|record| record.index).collect();
    indices.sort_unstable();
    assert_eq!(indices, (0..STREAMS as u64).collect::<Vec<_>>());
}

#[test]
fn a_client_that_does_not_read_delays_no_other_and_loses_nothing() {
    const TOKENS: u32 = 30_000;
    let (serving, kept) = timed("ttft=1ms,itl=0us", "");
    let mut lazy = connect(&serving);
    lazy.write_all(&ask(Api::Chat, TOKENS, &streamed())).unwrap();
    let mut other = connect(&serving);
    other.write_all(&ask(Api::Chat, 5, &streamed())).unwrap();
    let seen = read_answer(&mut other, Api::Chat, Delivery::Streamed);
    assert_eq!(seen.outcome, OutcomeKind::Finished);
    assert_eq!(kept.recv().unwrap().index, 1);
    let seen = read_answer(&mut lazy, Api::Chat, Delivery::Streamed);
    assert_eq!((seen.outcome, seen.chunks.len()), (OutcomeKind::Finished, TOKENS as usize));
    let record = kept.recv().unwrap();
    assert!(record.tokens.iter().all(|token| token.written_ns.is_some()));
}

#[test]
fn every_fault_ends_as_the_truth_says() {
    for faults in [
        "stall=1:1ms",
        "headers=1:1ms",
        "reset",
        "truncate",
        "status",
        "status=1:429",
        "error",
        "garbage",
        "html",
        "coalesce=1:4",
        "role-only",
        "empty",
        "comments",
        "crlf",
        "no-usage",
        "lying-usage",
        "split-utf8",
        "reset,coalesce=1:20",
        "crlf,comments,empty,split-utf8,coalesce=1:3,stall=1:1ms",
    ] {
        let (serving, kept) = timed("ttft=100us,itl=50us", faults);
        for api in Api::ALL.into_iter().filter(|api| api.streams()) {
            for delivery in [Delivery::Streamed, Delivery::Whole] {
                // One token is a case of its own in what comes before and after it.
                let counts: &[u32] = if api.is_chat() { &[1, 10] } else { &[10] };
                for &tokens in counts {
                    let mut stream = connect(&serving);
                    stream.write_all(&ask_in(api, delivery, tokens)).unwrap();
                    let seen = read_answer(&mut stream, api, delivery);
                    let record = kept.recv().unwrap();
                    let place = format!("{faults} {api:?} {delivery:?} {tokens}");
                    assert_eq!(seen.outcome, record.outcome, "{place}");
                    let told = seen.usage.map(|u| (u.prompt_tokens, u.completion_tokens));
                    assert_eq!(told, record.told, "{place}");
                    if seen.outcome == OutcomeKind::Finished {
                        let tokens = record.output_tokens as usize;
                        assert_eq!(words::count(&seen.text), tokens, "{place}");
                    }
                }
            }
        }
    }
}

/// The answer to a streamed chat of ten tokens under these faults.
fn spoilt(faults: &str) -> (Vec<u8>, TruthRecord) {
    let (serving, kept) = swift(faults);
    let answer = raw_bytes(&serving, &ask(Api::Chat, 10, &streamed()));
    (answer, kept.recv().unwrap())
}

#[test]
fn faults_that_end_an_answer_leave_their_marks() {
    let (answer, record) = spoilt("status=1:429");
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 429 Too Many Requests\r\n"));
    assert!(answer.contains("Retry-After: 1\r\n"));
    assert_eq!((record.status, record.tokens.len()), (429, 0));
    let (answer, _) = spoilt("html");
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"));
    let (answer, _) = spoilt("garbage");
    assert!(String::from_utf8(dechunk(&answer)).is_err());
    let (answer, _) = spoilt("error");
    let text = String::from_utf8(dechunk(&answer)).unwrap();
    let events: Vec<_> = text.split_terminator("\n\n").collect();
    assert_eq!(events.last(), Some(&"data: [DONE]"));
    assert!(events[events.len() - 2].starts_with("data: {\"error\":{\"message\":"));
    for (fault, ending) in [("reset", Ending::Reset), ("truncate", Ending::Truncated)] {
        let (answer, record) = spoilt(fault);
        let answer = String::from_utf8(answer).unwrap();
        assert!(!answer.contains("[DONE]") && !answer.ends_with("0\r\n\r\n"));
        assert_eq!(record.ending, ending);
        let written = record.tokens.iter().filter(|token| token.written_ns.is_some()).count();
        assert!((1..10).contains(&written));
        assert_eq!(answer.matches("\"content\":\" ").count(), written);
    }
}

#[test]
fn faults_that_spoil_an_answer_leave_their_marks() {
    let text = |faults: &str| String::from_utf8(dechunk(&spoilt(faults).0)).unwrap();
    let plain = text("");
    let count = |text: &str, part: &str| text.matches(part).count();
    let crlf = text("crlf");
    assert_eq!(crlf.replace("\r\n", "\n").len(), plain.len());
    assert_eq!(count(&crlf, "\n"), count(&crlf, "\r\n\r\n") * 2);
    assert_eq!(count(&text("comments"), ": keep-alive\n\n"), 11);
    assert_eq!(count(&text("empty"), "\"delta\":{\"content\":\"\"}"), 10);
    assert_eq!(count(&plain, "\"usage\":"), 1);
    assert_eq!(count(&text("no-usage"), "\"usage\":"), 0);
    assert!(text("lying-usage").contains("\"completion_tokens\":21"));
    let coalesced = text("coalesce=1:4");
    assert_eq!(count(&coalesced, "\"content\":\" "), 3);
    let (split, _) = spoilt("split-utf8");
    assert_eq!(count(&String::from_utf8(dechunk(&split)).unwrap(), "é"), 10);
    // Each é is cut by the end of a chunk.
    assert_eq!(split.windows(3).filter(|window| window == b"\xc3\r\n").count(), 10);
    let (early, _) = spoilt("role-only");
    let head_end = early.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let frame_end = early[head_end..].windows(4).position(|w| w == b"\r\n\r\n" || w == b"\n\n\r\n");
    let first = String::from_utf8_lossy(&early[head_end..head_end + frame_end.unwrap()]);
    assert!(first.contains("\"role\":\"assistant\"") && !first.contains("\"content\":\" "));
}

/// Everything of a record that is not an instant.
fn timeless(record: &TruthRecord) -> Value {
    let mut value = serde_json::to_value(record).unwrap();
    let fields = value.as_object_mut().unwrap();
    fields.retain(|key, _| !key.ends_with("_ns"));
    let counts = record.tokens.iter().map(|token| json!([token.count, token.written_ns.is_some()]));
    fields["tokens"] = counts.collect();
    value
}

#[test]
fn the_same_requests_have_the_same_truth() {
    let faults = "stall=0.2:1ms,reset=0.1,truncate=0.1,status=0.1:503:2,error=0.1,coalesce=0.3:3,\
                  empty=0.5,lying-usage=0.2,split-utf8=0.2,html=every7";
    let run = || {
        let (serving, kept) = swift(faults);
        let seen: Vec<_> = (1..40)
            .map(|tokens| {
                let mut stream = connect(&serving);
                stream.write_all(&ask(Api::Chat, tokens, &streamed())).unwrap();
                read_answer(&mut stream, Api::Chat, Delivery::Streamed).outcome
            })
            .collect();
        drop(serving);
        let records: Vec<_> = kept.into_iter().collect();
        let told: Vec<_> = records.iter().map(|record| record.outcome).collect();
        assert_eq!(told, seen);
        records.iter().map(timeless).collect::<Vec<_>>()
    };
    let first = run();
    assert_eq!(first, run());
    let mut kinds = BTreeMap::new();
    for record in &first {
        *kinds.entry(record["outcome"].to_string()).or_insert(0) += 1;
    }
    assert_eq!(kinds.len(), 5, "{kinds:?}");
}

#[test]
fn a_request_carries_its_own_name_into_the_truth() {
    let (serving, kept) = swift("");
    let request = String::from_utf8(ask(Api::Chat, 1, &json!({}))).unwrap();
    let request = request.replacen("Host", "X-Request-ID: mine\r\nHost", 1);
    let answer = body(&raw(&serving, request.as_bytes()));
    let record = kept.recv().unwrap();
    assert_eq!(record.x_request_id.as_deref(), Some("mine"));
    assert_eq!(answer["id"].as_str(), record.id.as_deref());
}

/// Where a test reads what a thread wrote.
#[derive(Clone, Default)]
struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_truth_is_a_header_and_a_line_for_each_request() {
    let file = Shared::default();
    let truth = JsonLines::new(file.clone()).unwrap();
    let plan = ServePlan { truth: Some(Box::new(truth)), ..ServePlan::new("toy") };
    let latency: FixedLatency = "ttft=0us,itl=0us".parse().unwrap();
    let serving = start(plan, Box::new(FixedEngine::new(latency))).unwrap();
    for tokens in 1..=3 {
        drop(raw(&serving, &ask(Api::Chat, tokens, &streamed())));
    }
    assert_eq!(serving.stop().truth_lost, None);
    let text = String::from_utf8(file.0.lock().unwrap().clone()).unwrap();
    let mut lines = text.lines();
    let header: TruthHeader = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!((header.schema.as_str(), header.model.as_str()), (truth::SCHEMA, "toy"));
    let records: Vec<TruthRecord> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.iter().map(|record| record.tokens.len()).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(records.iter().all(|record| record.first_byte_ns >= header.epoch_ns));
}

#[test]
fn truth_that_cannot_be_written_is_reported() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::other("no space"))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let truth = JsonLines::new(Full).unwrap();
    let plan = ServePlan { truth: Some(Box::new(truth)), ..ServePlan::new("toy") };
    let serving = start(plan, Box::new(FixedEngine::new(FixedLatency::default()))).unwrap();
    assert_eq!(serving.stop().truth_lost.as_deref(), Some("no space"));
}

#[test]
fn scaled_time_changes_nothing_but_time() {
    let plan = ServePlan { time_scale: 1_000.0, ..ServePlan::new("toy") };
    let latency: FixedLatency = "ttft=2s,itl=1s".parse().unwrap();
    let serving = start(plan, Box::new(FixedEngine::new(latency))).unwrap();
    let mut stream = connect(&serving);
    stream.write_all(&ask(Api::Chat, 20, &streamed())).unwrap();
    let seen = read_answer(&mut stream, Api::Chat, Delivery::Streamed);
    assert_eq!((seen.outcome, seen.chunks.len()), (OutcomeKind::Finished, 20));
    let metrics = raw(&serving, &get("/metrics"));
    let sum = "vllm:time_to_first_token_seconds_sum{engine=\"0\",model_name=\"toy\"} 2\n";
    assert!(metrics.contains(sum), "{metrics}");
}

#[test]
fn the_simulated_engine_finds_a_prompt_that_it_has_seen() {
    let SimTarget::Deployment(deployment) = "llama-3.1-8b@h100".parse().unwrap() else {
        panic!("a model on a GPU is a deployment");
    };
    let fleet = Fleet::new(&deployment, Seed(1)).unwrap();
    let plan = ServePlan { time_scale: 100.0, ..ServePlan::new("toy") };
    let serving = start(plan, Box::new(fleet)).unwrap();
    let long = json!({ "prompt": " word".repeat(100) });
    let usage = |()| body(&raw(&serving, &ask(Api::Completions, 4, &long)))["usage"].clone();
    let [first, second] = [(), ()].map(usage);
    assert_eq!(first["prompt_tokens"], 100);
    assert_eq!(first["prompt_tokens_details"], Value::Null);
    // Six full blocks of sixteen tokens.
    assert_eq!(second["prompt_tokens_details"]["cached_tokens"], 96);
    let metrics = raw(&serving, &get("/metrics"));
    assert!(metrics.contains("vllm:prefix_cache_hits_total{engine=\"0\",model_name=\"toy\"} 96\n"));
}

#[test]
fn plans_that_cannot_be_meant_are_refused() {
    let refused = |plan| {
        let engine = Box::new(FixedEngine::new(FixedLatency::default()));
        start(plan, engine).unwrap_err().to_string()
    };
    let open = SocketAddr::from(([0, 0, 0, 0], 0));
    let plan = || ServePlan::new("toy");
    let message = refused(ServePlan { address: open, ..plan() });
    assert_eq!(message, "`0.0.0.0` is not a loopback address");
    let message = refused(ServePlan { time_scale: 0.0, ..plan() });
    assert_eq!(message, "`0` is not a time scale above 0");
    let message = refused(ServePlan { block_tokens: Some(0), ..plan() });
    assert_eq!(message, "a block and a context need at least one token");
}
