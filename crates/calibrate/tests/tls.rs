//! The exact server over TLS answers infermark's own client as it does without.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::io::{Read, Write};
use std::net::TcpStream;

use infermark_drive::{CallError, Endpoint, Roots, Route, call};
use infermark_sim::latency::{FixedEngine, FixedLatency};
use infermark_sim::serve::{ServePlan, Serving, Wire, start};
use infermark_terms::Nanos;
use serde_json::{Value, json};

const LIMIT: Nanos = Nanos::from_secs(20);

fn serve(wire: Wire) -> Serving {
    let latency: FixedLatency = "ttft=1ms,itl=10us".parse().unwrap();
    let plan = ServePlan { wire, ..ServePlan::new("exact") };
    start(plan, Box::new(FixedEngine::new(latency))).unwrap()
}

/// Asks for so many streamed tokens, and returns their texts.
fn tokens(serving: &Serving, scheme: &str, count: u32) -> Result<Vec<String>, CallError> {
    let url = format!("{scheme}://{}", serving.address());
    let endpoint = Endpoint::resolve(&url, &Route::of(Roots::Unverified)).unwrap();
    let body = json!({
        "model": "exact",
        "prompt": "one two ".repeat(5000),
        "max_tokens": count,
        "ignore_eos": true,
        "stream": true,
    });
    let body = body.to_string();
    let path = "/v1/completions";
    let response = call(&endpoint, "POST", path, &[], Some(body.as_bytes()), LIMIT)?;
    assert_eq!(response.status, 200);
    let text = String::from_utf8(response.body).unwrap();
    let events = text.lines().filter_map(|line| line.strip_prefix("data: {"));
    let events = events.map(|event| serde_json::from_str(&format!("{{{event}")).unwrap());
    Ok(events.map(|event: Value| event["choices"][0]["text"].as_str().unwrap().into()).collect())
}

#[test]
fn answers_are_the_same_over_tls() {
    let (plain, secure) = (serve(Wire::Plain), serve(Wire::Tls));
    // The longest takes many records, and more than one read at either end.
    for count in [1, 3, 400] {
        let expected = tokens(&plain, "http", count).unwrap();
        assert_eq!(expected.len(), count as usize);
        assert_eq!(tokens(&secure, "https", count).unwrap(), expected);
    }
    assert_eq!(secure.stop().requests, 3);
}

#[test]
fn who_does_not_speak_tls_is_hung_up_on() {
    let secure = serve(Wire::Tls);
    let mut stream = TcpStream::connect(secure.address()).unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: exact\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // A reset is an end, too.
    drop(stream.read_to_end(&mut answer));
    assert!(!answer.starts_with(b"HTTP"));
    // The others are served.
    assert_eq!(tokens(&secure, "https", 2).unwrap().len(), 2);
}
