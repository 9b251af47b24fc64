//! Tests of `exchange`: every outcome by its name, and the law that splits do not matter.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::http1::{end_chunked, start_chunked, write_chunk, write_response};
use crate::laws::{cases, cut, cuts};

const EVENTS: [(&str, &str); 1] = [("content-type", "text/event-stream; charset=utf-8")];
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// What came of a response: its chunks, its end, and what else was counted.
#[derive(Debug, PartialEq)]
struct Seen {
    chunks: Vec<(ChunkKind, Option<u32>, String)>,
    progress: Progress,
    usage: Option<Usage>,
    events: EventCounts,
}

impl Seen {
    fn outcome(&self) -> &Outcome {
        match &self.progress {
            Progress::Ended(ended) => &ended.outcome,
            Progress::Open => panic!("it has not ended: {self:?}"),
        }
    }

    fn keep(&self) -> Keep {
        match &self.progress {
            Progress::Ended(ended) => ended.connection,
            Progress::Open => panic!("it has not ended: {self:?}"),
        }
    }

    fn tokens(&self) -> Vec<Option<u32>> {
        self.chunks.iter().map(|(_, tokens, _)| *tokens).collect()
    }
}

/// Brings `bytes` in pieces until the response ends, or the close if it has not by then.
fn exchange(api: Api, delivery: Delivery, bytes: &[u8], lengths: &[usize]) -> Seen {
    let mut exchange = Exchange::new(api, delivery);
    let (mut chunks, mut progress) = (Vec::new(), Progress::Open);
    for piece in cut(bytes, lengths) {
        progress = exchange.receive(piece, &mut |chunk| {
            let mut text = Vec::new();
            chunk.text.append_to(&mut text);
            chunks.push((chunk.kind, chunk.tokens, String::from_utf8(text).unwrap()));
        });
        if progress != Progress::Open {
            break;
        }
    }
    if progress == Progress::Open {
        assert_eq!(exchange.bytes(), bytes.len() as u64);
        progress = Progress::Ended(exchange.closed());
    }
    Seen { chunks, progress, usage: exchange.usage(), events: exchange.events() }
}

/// What came of a response to a streamed chat, whole and byte by byte.
fn chat(bytes: &[u8]) -> Seen {
    let seen = exchange(Api::Chat, Delivery::Streamed, bytes, &[usize::MAX]);
    assert_eq!(exchange(Api::Chat, Delivery::Streamed, bytes, &[1]), seen);
    seen
}

/// A chunked event stream of these events.
fn stream(events: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    start_chunked(&mut out, 200, &EVENTS);
    for event in events {
        let event = event.replace('\n', "");
        write_chunk(&mut out, format!("data: {event}\n\n").as_bytes());
    }
    end_chunked(&mut out);
    out
}

fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_response(&mut out, status, headers, body.as_bytes());
    out
}

const ROLE: &str = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#;
const HI: &str = r#"{"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}"#;
const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}"#;
const ERROR: &str = r#"{"error":{"message":"out of\nmemory","code":500}}"#;
const WHOLE: &str = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},
    "finish_reason":"length"}],"usage":{"prompt_tokens":5,"completion_tokens":2}}"#;

fn finished(reason: FinishReason) -> Outcome {
    Outcome::Finished { reason }
}

fn answer(tokens: Option<u32>) -> (ChunkKind, Option<u32>, String) {
    (ChunkKind::Answer, tokens, "hi".to_owned())
}

#[test]
fn a_stream_that_ends_with_done_is_finished() {
    let seen = chat(&stream(&[ROLE, HI, HI, STOP, USAGE, "[DONE]"]));
    assert_eq!(*seen.outcome(), finished(FinishReason::Stop));
    assert_eq!(seen.keep(), Keep::Reuse);
    assert_eq!(seen.chunks, [answer(None), answer(None)]);
    assert_eq!(seen.usage.unwrap().completion_tokens, 2);
    let events = EventCounts { role_only: 1, empty: 1, usage_only: 1, comments: 0 };
    assert_eq!(seen.events, events);
}

#[test]
fn comments_and_empty_events_are_signs_of_life() {
    let mut bytes = Vec::new();
    start_chunked(&mut bytes, 200, &EVENTS);
    let body = format!(": ping\n\ndata:\n\nevent: ping\ndata:\n\ndata: {HI}\n\ndata: [DONE]\n\n");
    write_chunk(&mut bytes, body.as_bytes());
    end_chunked(&mut bytes);
    let seen = chat(&bytes);
    assert_eq!(seen.events, EventCounts { comments: 3, ..EventCounts::default() });
    assert_eq!(*seen.outcome(), finished(FinishReason::Unstated));
}

#[test]
fn a_stream_without_done_is_finished_if_a_finish_reason_came() {
    let seen = chat(&stream(&[HI, STOP]));
    assert_eq!(*seen.outcome(), finished(FinishReason::Stop));
    assert_eq!(seen.keep(), Keep::Reuse);
}

#[test]
fn a_stream_without_done_or_reason_is_severed_where_it_stands() {
    let early = |phase| Outcome::Severed { phase, fault: TransportFault::ClosedEarly };
    assert_eq!(*chat(&stream(&[ROLE, HI])).outcome(), early(Phase::Stream));
    assert_eq!(*chat(&stream(&[ROLE])).outcome(), early(Phase::FirstToken));
    assert_eq!(*chat(&stream(&[])).outcome(), early(Phase::FirstToken));
    assert_eq!(*chat(b"").outcome(), early(Phase::Headers));
    assert_eq!(*chat(b"HTTP/1.1 2").outcome(), early(Phase::FirstToken));
}

#[test]
fn a_connection_closed_in_mid_stream_severs_it_even_after_a_reason() {
    let whole = stream(&[HI, STOP, "[DONE]"]);
    let end = whole.len() - "13\r\ndata: [DONE]\n\n\r\n0\r\n\r\n".len();
    let seen = chat(&whole[..end]);
    let fault = TransportFault::ClosedEarly;
    assert_eq!(*seen.outcome(), Outcome::Severed { phase: Phase::Stream, fault });
    assert_eq!(seen.keep(), Keep::Close);
}

#[test]
fn a_connection_closed_right_after_done_is_no_failure() {
    let whole = stream(&[HI, STOP, "[DONE]"]);
    let seen = chat(&whole[..whole.len() - "0\r\n\r\n".len()]);
    assert_eq!(*seen.outcome(), finished(FinishReason::Stop));
    assert_eq!(seen.keep(), Keep::Close);
}

#[test]
fn the_last_http_chunk_is_awaited_after_done() {
    let whole = stream(&[HI, "[DONE]"]);
    let mut exchange = Exchange::new(Api::Chat, Delivery::Streamed);
    let (before, last) = whole.split_at(whole.len() - 1);
    assert_eq!(exchange.receive(before, &mut |_| {}), Progress::Open);
    assert_ne!(exchange.receive(last, &mut |_| {}), Progress::Open);
}

#[test]
fn an_answer_whose_body_goes_on_after_done_can_be_finished() {
    let mut bytes = stream(&[HI, STOP, "[DONE]"]);
    bytes.truncate(bytes.len() - "0\r\n\r\n".len());
    for more in 0..2 {
        let mut exchange = Exchange::new(Api::Chat, Delivery::Streamed);
        assert_eq!(exchange.receive(&bytes, &mut |_| {}), Progress::Open);
        for _ in 0..more {
            let mut comment = Vec::new();
            write_chunk(&mut comment, b": still here\n\n");
            assert_eq!(exchange.receive(&comment, &mut |_| {}), Progress::Open);
        }
        let outcome = finished(FinishReason::Stop);
        assert_eq!(exchange.finish(), Ended { outcome, connection: Keep::Close });
        assert!(!exchange.is_done());
        let excess = ended(garbled(DecodeFault::Excess), Keep::Close);
        assert_eq!(exchange.receive(b"0\r\n\r\n", &mut |_| {}), excess);
        exchange.reset();
        assert!(!exchange.is_done());
    }
}

#[test]
fn an_answer_is_done_from_the_end_of_done_to_the_end_of_the_body() {
    let bytes = stream(&[ROLE, HI, STOP, "[DONE]"]);
    let end = bytes.len();
    let done = end - "\r\n0\r\n\r\n".len();
    let mut exchange = Exchange::new(Api::Chat, Delivery::Streamed);
    for (before, byte) in bytes.iter().enumerate() {
        let _ = exchange.receive(&[*byte], &mut |_| {});
        let read = before + 1;
        assert_eq!(exchange.is_done(), (done..end).contains(&read), "after {read} bytes");
    }
}

#[test]
fn what_has_no_done_is_never_done() {
    for bytes in [stream(&[HI, STOP]), stream(&[ERROR, "[DONE]"]), response(200, &JSON, WHOLE)] {
        let mut exchange = Exchange::new(Api::Chat, Delivery::Streamed);
        for byte in bytes {
            let _ = exchange.receive(&[byte], &mut |_| {});
            assert!(!exchange.is_done());
        }
    }
}

#[test]
#[should_panic(expected = "only an answer that is done")]
fn an_answer_that_is_not_done_cannot_be_finished() {
    let mut exchange = Exchange::new(Api::Chat, Delivery::Streamed);
    let _ = exchange.receive(&stream(&[HI])[..40], &mut |_| {});
    let _ = exchange.finish();
}

#[test]
fn a_stream_that_the_close_delimits_is_finished_if_it_ended_properly() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let body = |events: &[&str]| {
        let events = events.iter().fold(head.to_owned(), |mut text, event| {
            write!(text, "data: {event}\r\n\r\n").unwrap();
            text
        });
        chat(events.as_bytes())
    };
    assert_eq!(*body(&[HI, STOP]).outcome(), finished(FinishReason::Stop));
    assert_eq!(*body(&[HI, "[DONE]"]).outcome(), finished(FinishReason::Unstated));
    assert_eq!(body(&[HI, STOP]).keep(), Keep::Close);
    assert_eq!(body(&[HI]).outcome().kind(), infermark_terms::OutcomeKind::Severed);
}

#[test]
fn an_error_event_is_errored_with_what_it_says() {
    let expected = Outcome::Errored { message: Excerpt::new("out of memory") };
    let seen = chat(&stream(&[HI, ERROR, "[DONE]"]));
    assert_eq!((seen.outcome(), seen.keep()), (&expected, Keep::Close));
    assert_eq!(seen.chunks.len(), 1);
    let legacy = r#"{"object":"error","message":"out of memory"}"#;
    assert_eq!(*chat(&stream(&[legacy])).outcome(), expected);
    let mut bytes = Vec::new();
    start_chunked(&mut bytes, 200, &EVENTS);
    write_chunk(&mut bytes, b"event: error\ndata: out of memory\n\n");
    assert_eq!(*chat(&bytes).outcome(), expected);
}

#[test]
fn a_status_that_is_no_success_is_refused_with_what_it_says() {
    for (status, body, message) in [
        (404, r#"{"error":{"message":"no such model"}}"#, "no such model"),
        (429, "slow\r\ndown", "slow down"),
        (302, "", ""),
    ] {
        let seen = chat(&response(status, &[("content-type", "text/html")], body));
        let message = Excerpt::new(message);
        assert_eq!(*seen.outcome(), Outcome::Refused { status, message });
        assert_eq!(seen.keep(), Keep::Reuse);
    }
}

#[test]
fn a_refusal_stays_one_when_its_body_is_cut_off_broken_or_long() {
    let cut_off = b"HTTP/1.1 503 x\r\ncontent-length: 99\r\n\r\nbusy";
    let broken = b"HTTP/1.1 503 x\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbusy!";
    let long = response(503, &[], &"busy ".repeat(REFUSAL_MAX));
    for bytes in [cut_off.as_slice(), broken, &long] {
        let seen = chat(bytes);
        let Outcome::Refused { status: 503, message } = seen.outcome() else {
            panic!("{seen:?}");
        };
        assert!(message.as_str().starts_with("busy"));
    }
    assert_eq!(chat(&long).keep(), Keep::Reuse);
    assert_eq!(chat(cut_off).keep(), Keep::Close);
}

#[test]
fn what_breaks_the_protocol_is_garbled_by_what_it_breaks() {
    let html = response(200, &[("content-type", "text/html")], "<html>");
    let framing = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
        transfer-encoding: chunked\r\n\r\nzz\r\n";
    let long = format!("{{\"a\":\"{}", "x".repeat(crate::sse::EVENT_MAX));
    for (bytes, fault) in [
        (b"220 smtp.example ESMTP\r\n".to_vec(), DecodeFault::Head),
        (framing.to_vec(), DecodeFault::Framing),
        (html, DecodeFault::ContentType),
        (stream(&[HI, "{\"choices\":["]), DecodeFault::Json),
        (stream(&["garbage"]), DecodeFault::Json),
        (stream(&["{}"]), DecodeFault::Shape),
        (stream(&["{\"choices\":[{\"delta\":{\"content\":7}}]}"]), DecodeFault::Shape),
        (response(200, &JSON, "{"), DecodeFault::Json),
        (response(200, &JSON, "{\"choices\":[]}"), DecodeFault::Shape),
    ] {
        let seen = chat(&bytes);
        assert_eq!(*seen.outcome(), Outcome::Garbled { fault });
    }
    let seen = exchange(Api::Chat, Delivery::Streamed, &stream(&[&long]), &[usize::MAX]);
    assert_eq!(*seen.outcome(), Outcome::Garbled { fault: DecodeFault::EventStream });
    let mut invalid = stream(&[HI]);
    let place = invalid.windows(2).position(|pair| pair == b"hi").unwrap();
    invalid[place] = 0xff;
    assert_eq!(*chat(&invalid).outcome(), Outcome::Garbled { fault: DecodeFault::Json });
}

#[test]
fn bytes_after_the_end_are_garbled() {
    let bytes = [stream(&[HI, "[DONE]"]), b"HTTP".to_vec()].concat();
    let excess = garbled(DecodeFault::Excess);
    let seen = exchange(Api::Chat, Delivery::Streamed, &bytes, &[usize::MAX]);
    assert_eq!((seen.outcome(), seen.keep()), (&excess, Keep::Close));
    let mut exchange = Exchange::new(Api::Chat, Delivery::Streamed);
    assert_ne!(exchange.receive(&bytes[..bytes.len() - 4], &mut |_| {}), Progress::Open);
    assert_eq!(exchange.receive(b"HTTP", &mut |_| {}), ended(excess, Keep::Close));
}

#[test]
fn what_follows_done_within_the_body_is_ignored() {
    let seen = chat(&stream(&[HI, STOP, "[DONE]", HI, "garbage", "[DONE]"]));
    assert_eq!(*seen.outcome(), finished(FinishReason::Stop));
    assert_eq!(seen.chunks.len(), 1);
}

#[test]
fn a_whole_answer_to_a_streamed_request_is_one_chunk() {
    let seen = chat(&response(200, &JSON, WHOLE));
    assert_eq!(*seen.outcome(), finished(FinishReason::Length));
    assert_eq!(seen.chunks, [answer(Some(2))]);
    let seen = chat(&response(200, &JSON, ERROR));
    assert_eq!(*seen.outcome(), Outcome::Errored { message: Excerpt::new("out of memory") });
}

#[test]
fn an_answer_asked_for_whole_has_text_and_usage_and_no_chunks() {
    let completion = r#"{"choices":[{"text":"hi","finish_reason":"length"}],
        "usage":{"prompt_tokens":5,"completion_tokens":2}}"#;
    for (api, body) in [(Api::Chat, WHOLE), (Api::Completions, completion)] {
        let mut exchange = Exchange::new(api, Delivery::Whole);
        let bytes = response(200, &JSON, body);
        let progress = exchange.receive(&bytes, &mut |_| panic!("no chunk"));
        let outcome = finished(FinishReason::Length);
        assert_eq!(progress, ended(outcome, Keep::Reuse));
        assert_eq!(exchange.output_text(), Some(b"hi".as_slice()));
        assert_eq!(exchange.usage().unwrap().prompt_tokens, 5);
    }
    let seen = exchange(Api::Chat, Delivery::Whole, &stream(&[HI]), &[usize::MAX]);
    assert_eq!(*seen.outcome(), Outcome::Garbled { fault: DecodeFault::ContentType });
}

#[test]
fn chunks_of_every_kind_are_told_apart() {
    let delta = |delta: &str| format!(r#"{{"choices":[{{"delta":{{{delta}}}}}]}}"#);
    let seen = chat(&stream(&[
        &delta(r#""reasoning_content":"a""#),
        &delta(r#""tool_calls":[{"function":{"name":"f","arguments":""}}]"#),
        &delta(r#""tool_calls":[{"function":{"arguments":"{}"}}]"#),
        &delta(r#""refusal":"b""#),
        &delta(r#""reasoning":"c","content":"d""#),
        "[DONE]",
    ]));
    let kinds: Vec<_> = seen.chunks.iter().map(|(kind, _, text)| (*kind, text.as_str())).collect();
    assert_eq!(
        kinds,
        [
            (ChunkKind::Reasoning, "a"),
            (ChunkKind::ToolCall, "{}"),
            (ChunkKind::Refusal, "b"),
            (ChunkKind::Answer, "cd"),
        ]
    );
}

#[test]
fn tokens_of_events_without_text_go_to_the_next_chunk() {
    let usage = |text: &str, tokens: u32| {
        format!(
            r#"{{"choices":[{{"delta":{{"content":"{text}"}}}}],
            "usage":{{"prompt_tokens":5,"completion_tokens":{tokens}}}}}"#
        )
    };
    let events = [usage("", 0), usage("a", 1), usage("", 2), usage("b", 4), usage("c", 4)];
    let events: Vec<_> = events.iter().map(String::as_str).collect();
    assert_eq!(chat(&stream(&events)).tokens(), [Some(1), Some(3), Some(0)]);
    let ids = |text: &str, ids: &str| {
        format!(r#"{{"choices":[{{"delta":{{"content":"{text}"}},"token_ids":{ids}}}]}}"#)
    };
    let events = [ids("a", "[7]"), ids("", "[8]"), ids("b", "[9,10]"), ids("c", "[]")];
    let events: Vec<_> = events.iter().map(String::as_str).collect();
    assert_eq!(chat(&stream(&events)).tokens(), [Some(1), Some(3), Some(0)]);
}

#[test]
fn usage_on_the_last_chunk_alone_is_not_that_chunks_own() {
    let last = r#"{"choices":[{"delta":{"content":"x"}}],
        "usage":{"prompt_tokens":5,"completion_tokens":64}}"#;
    assert_eq!(chat(&stream(&[HI, HI, last])).tokens(), [None, None, None]);
}

#[test]
fn an_exchange_that_was_reset_is_as_new() {
    let bytes = stream(&[ROLE, HI, STOP, USAGE, "[DONE]"]);
    let mut exchange = Exchange::new(Api::Chat, Delivery::Streamed);
    let spoiled = response(200, &JSON, WHOLE);
    for first in [&bytes[..40], &bytes[..bytes.len() - 30], &spoiled, b"nonsense\r\n\r\n"] {
        let _progress = exchange.receive(first, &mut |_| {});
        exchange.reset();
        assert_eq!((exchange.bytes(), exchange.phase()), (0, Phase::Headers));
        assert_eq!((exchange.usage(), exchange.events()), (None, EventCounts::default()));
        let mut chunks = 0;
        let progress = exchange.receive(&bytes, &mut |_| chunks += 1);
        assert_eq!(progress, ended(finished(FinishReason::Stop), Keep::Reuse));
        assert_eq!((chunks, exchange.events().role_only), (1, 1));
        exchange.reset();
    }
}

/// Streams of every make: events, faults, ends, framings, line ends.
fn streams() -> impl Strategy<Value = (Api, Vec<u8>)> {
    let event = prop_oneof![
        8 => "[a-zé\"\n]{0,5}".prop_map(|text| {
            let text = serde_json::to_string(&text).unwrap();
            format!(r#"data: {{"choices":[{{"text":{text},"delta":{{"content":{text}}}}}]}}"#)
        }),
        2 => (0_u32..9).prop_map(|tokens| format!(
            r#"data:{{"choices":[],"usage":{{"prompt_tokens":1,"completion_tokens":{tokens}}}}}"#
        )),
        2 => Just(": comment".to_owned()),
        1 => Just(r#"data: {"choices":[{"finish_reason":"stop"}]}"#.to_owned()),
        1 => prop::sample::select(vec![ERROR, "{}", "{", "[DONE]"])
            .prop_map(|data| format!("data: {data}")),
    ];
    let api = prop::sample::select(Api::ALL.to_vec());
    let end = prop::sample::select(vec!["\n\n", "\r\n\r\n", "\r\r"]);
    let events = prop::collection::vec(event, 0..12);
    let framing = 0..4_u8;
    (api, events, end, framing, 1_usize..80).prop_map(|(api, events, end, framing, piece)| {
        let body = events.iter().fold(String::new(), |body, event| body + event + end);
        let mut out = Vec::new();
        match framing {
            0 => write_response(&mut out, 200, &EVENTS, body.as_bytes()),
            1 => {
                out.extend_from_slice(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
                );
                out.extend_from_slice(body.as_bytes());
            }
            _ => {
                start_chunked(&mut out, 200, &EVENTS);
                body.as_bytes().chunks(piece).for_each(|bytes| write_chunk(&mut out, bytes));
                if framing == 2 {
                    end_chunked(&mut out);
                }
            }
        }
        (api, out)
    })
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn any_split_of_the_bytes_gives_the_same_chunks_and_the_same_end(
        (api, bytes) in streams(), lengths in cuts(),
    ) {
        let whole = exchange(api, Delivery::Streamed, &bytes, &[usize::MAX]);
        prop_assert_eq!(exchange(api, Delivery::Streamed, &bytes, &lengths), whole);
    }
}
