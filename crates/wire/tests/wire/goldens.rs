//! Recorded responses: whatever lies under `testdata`, with the facts that its recorder found.
//! `testdata/README.md` describes both.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use infermark_terms::{ChunkKind, Excerpt, FinishReason, Outcome, Usage};
use infermark_wire::http1::{Collected, Keep, Message, ResponseDecoder};
use infermark_wire::{Api, Delivery, Ended, Exchange, Progress};
use serde::Deserialize;

/// The facts beside a response.
#[derive(Debug, Deserialize)]
struct Facts {
    api: Option<String>,
    delivery: Option<String>,
    status: Option<u16>,
    keep: bool,
    body: Option<String>,
    outcome: Option<String>,
    message: Option<String>,
    finish_reason: Option<String>,
    usage: Option<Usage>,
    events: Option<BTreeMap<String, u32>>,
    #[serde(default)]
    chunks: Vec<(String, Option<u32>)>,
    text: Option<BTreeMap<String, String>>,
}

/// What the exchange says of a response.
#[derive(Debug, PartialEq)]
struct Seen {
    ended: Ended,
    chunks: Vec<(&'static str, Option<u32>)>,
    text: BTreeMap<&'static str, String>,
    whole: Option<String>,
    usage: Option<Usage>,
    without_output: u32,
    usage_only: u32,
}

fn kind_name(kind: ChunkKind) -> &'static str {
    match kind {
        ChunkKind::Answer => "content",
        ChunkKind::Reasoning => "reasoning",
        ChunkKind::ToolCall => "tool_arguments",
        ChunkKind::Refusal => "refusal",
    }
}

fn read(api: Api, delivery: Delivery, bytes: &[u8], length: usize) -> Seen {
    let mut exchange = Exchange::new(api, delivery);
    let (mut chunks, mut text, mut end) = (Vec::new(), BTreeMap::<_, Vec<u8>>::new(), None);
    for piece in bytes.chunks(length) {
        let progress = exchange.receive(piece, &mut |chunk| {
            chunks.push((kind_name(chunk.kind), chunk.tokens));
            chunk.text.append_to(text.entry(kind_name(chunk.kind)).or_default());
        });
        if let Progress::Ended(ended) = progress {
            end = Some(ended);
            break;
        }
    }
    let ended = end.unwrap_or_else(|| exchange.closed());
    let utf8 = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let events = exchange.events();
    Seen {
        ended,
        chunks,
        text: text.into_iter().map(|(kind, text)| (kind, utf8(text))).collect(),
        whole: exchange.output_text().map(|text| utf8(text.to_vec())),
        usage: exchange.usage(),
        without_output: events.role_only + events.empty,
        usage_only: events.usage_only,
    }
}

/// The reason in the server's word, which is how the facts have it.
fn reason_word(reason: &FinishReason) -> Option<&str> {
    match reason {
        FinishReason::Stop => Some("stop"),
        FinishReason::Length => Some("length"),
        FinishReason::ToolCalls => Some("tool_calls"),
        FinishReason::ContentFilter => Some("content_filter"),
        FinishReason::Other(word) => Some(word.as_str()),
        FinishReason::Unstated => None,
    }
}

fn check(name: &str, facts: &Facts, seen: &Seen) {
    let Ended { outcome, connection } = &seen.ended;
    assert_eq!(Some(outcome.kind().name()), facts.outcome.as_deref(), "{name}: {outcome:?}");
    let said = facts.message.as_deref().map(Excerpt::new);
    match outcome {
        Outcome::Finished { reason } => {
            assert_eq!(reason_word(reason), facts.finish_reason.as_deref(), "{name}");
        }
        Outcome::Refused { status, message } => {
            assert_eq!((Some(*status), Some(message)), (facts.status, said.as_ref()), "{name}");
        }
        Outcome::Errored { message } => assert_eq!(Some(message), said.as_ref(), "{name}"),
        Outcome::Severed { .. } => {}
        Outcome::Garbled { .. }
        | Outcome::Expired { .. }
        | Outcome::Shed { .. }
        | Outcome::Abandoned => panic!("{name}: no recording ends so"),
    }
    if matches!(outcome, Outcome::Finished { .. } | Outcome::Refused { .. }) {
        assert_eq!(*connection == Keep::Reuse, facts.keep, "{name}");
    }
    assert_eq!(seen.usage, facts.usage, "{name}");
    let chunks: Vec<_> = facts.chunks.iter().map(|(kind, n)| (kind.as_str(), *n)).collect();
    assert_eq!(seen.chunks, chunks, "{name}");
    if let Some(events) = &facts.events {
        assert_eq!(seen.without_output, events["without_output"], "{name}");
        assert_eq!(seen.usage_only, events["usage_only"], "{name}");
    }
    let Some(text) = &facts.text else { return };
    if let Some(whole) = &seen.whole {
        // All kinds in one, in the order of the message's keys.
        let mut expected: Vec<char> = text.values().flat_map(|text| text.chars()).collect();
        let mut found: Vec<char> = whole.chars().collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{name}");
        for part in text.values() {
            assert!(whole.contains(part), "{name}: {part}");
        }
    } else {
        let text: BTreeMap<_, _> = text
            .iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(kind, text)| (kind.as_str(), text.clone()))
            .collect();
        assert_eq!(seen.text, text, "{name}");
    }
}

/// A call that is no generation: its status and body.
fn check_call(name: &str, facts: &Facts, bytes: &[u8], length: usize) {
    let (mut decoder, mut collected) = (ResponseDecoder::new(), Collected::default());
    let mut message = Message::Open;
    for piece in bytes.chunks(length) {
        message = decoder.feed(piece, &mut collected).unwrap();
    }
    assert_eq!(message, Message::Complete, "{name}");
    assert_eq!(collected.head.map(|head| head.status), facts.status, "{name}");
    assert_eq!(String::from_utf8(collected.body).ok(), facts.body, "{name}");
    assert_eq!(decoder.keep() == Keep::Reuse, facts.keep, "{name}");
}

fn responses(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(responses(&path));
        } else if path.extension().is_some_and(|extension| extension == "http") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn recorded_responses_say_what_their_recorder_found_however_they_are_split() {
    let all = responses(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata"));
    assert!(!all.is_empty());
    for path in all {
        let name = path.display().to_string();
        let bytes = fs::read(&path).unwrap();
        let facts = fs::read(path.with_extension("json")).unwrap();
        let facts: Facts = serde_json::from_slice(&facts).unwrap_or_else(|e| panic!("{name}: {e}"));
        let api = match facts.api.as_deref() {
            Some(name) => name.parse().ok(),
            None => None,
        };
        for length in [usize::MAX, 1, 2, 3, 7, 100, 1000] {
            let Some(api) = api else {
                check_call(&name, &facts, &bytes, length);
                continue;
            };
            let delivery = match facts.delivery.as_deref() {
                Some("streamed") => Delivery::Streamed,
                _ => Delivery::Whole,
            };
            check(&name, &facts, &read(api, delivery, &bytes, length));
        }
    }
}
