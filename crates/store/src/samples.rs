//! Rows and headers for tests: one plain sample of each, and strategies for all of them.

use std::net::SocketAddr;

use infermark_terms::{
    ChunkKind, ChunkRow, ConnectPhases, DecodeFault, EventCounts, Excerpt, FinishReason, Metric,
    Nanos, Outcome, Phase, RequestId, RequestRow, ShedReason, Stamp, StampSource, TelemetryRow,
    TransportFault, Turn, Usage,
};
use proptest::option;
use proptest::prelude::*;
use serde_json::json;

use crate::RunFile;
use crate::columnar::Columnar;

/// A header with something under each key.
pub(crate) fn header() -> RunFile {
    RunFile {
        schema: "infermark.run/1".into(),
        id: "r1".into(),
        created: "2026-01-02T03:04:05Z".into(),
        partial: false,
        definitions: "1".into(),
        target: json!({"url": "http://host:8000"}),
        scenario: json!({"load": {"rate": 2.5}}),
        environment: json!({"version": "0.1.0"}),
        plan: json!({"window": [0, 1_000_000_000]}),
        points: vec![json!({"counts": {"due": 3}})],
        rest: [("tags".to_owned(), json!({"k": "v"}))].into_iter().collect(),
    }
}

/// A chunk of request `id` that arrived at `at`.
pub(crate) fn chunk(id: u64, at: u64) -> ChunkRow {
    ChunkRow {
        request: RequestId(id),
        at: Stamp(at),
        kind: ChunkKind::Refusal,
        tokens: Some(2),
        text_bytes: 9,
        coalesced: true,
        read_delay: Nanos(20_000),
    }
}

/// Request `id`, finished.
pub(crate) fn request(id: u64) -> RequestRow {
    RequestRow {
        id: RequestId(id),
        due: Stamp(1_000 * id),
        sent: Some(Stamp(1_000 * id + 5)),
        end: Stamp(1_000 * id + 900),
        outcome: Outcome::Finished { reason: FinishReason::Length },
        chunks: 2,
        ..RequestRow::blank()
    }
}

pub(crate) fn any_chunk() -> impl Strategy<Value = ChunkRow> {
    let kinds = [ChunkKind::Answer, ChunkKind::Reasoning, ChunkKind::ToolCall, ChunkKind::Refusal];
    let kind = prop::sample::select(kinds.to_vec());
    (any::<(u64, u64)>(), kind, any::<(Option<u32>, u32, bool, u64)>()).prop_map(
        |((request, at), kind, (tokens, text_bytes, coalesced, read_delay))| ChunkRow {
            request: RequestId(request),
            at: Stamp(at),
            kind,
            tokens,
            text_bytes,
            coalesced,
            read_delay: Nanos(read_delay),
        },
    )
}

fn any_excerpt() -> impl Strategy<Value = Excerpt> {
    any::<String>().prop_map(|text| Excerpt::new(&text))
}

fn any_phase() -> impl Strategy<Value = Phase> {
    prop::sample::select(
        &[Phase::Connect, Phase::Send, Phase::Headers, Phase::FirstToken, Phase::Stream][..],
    )
}

fn any_reason() -> impl Strategy<Value = FinishReason> {
    prop_oneof![
        Just(FinishReason::Stop),
        Just(FinishReason::Length),
        Just(FinishReason::ToolCalls),
        Just(FinishReason::ContentFilter),
        any_excerpt().prop_map(FinishReason::Other),
        Just(FinishReason::Unstated),
    ]
}

fn any_transport_fault() -> impl Strategy<Value = TransportFault> {
    prop_oneof![
        Just(TransportFault::NameUnknown),
        Just(TransportFault::ConnectionRefused),
        Just(TransportFault::Reset),
        Just(TransportFault::ClosedEarly),
        any_excerpt().prop_map(TransportFault::Tls),
        any_excerpt().prop_map(TransportFault::LocalLimit),
        any_excerpt().prop_map(TransportFault::Other),
    ]
}

fn any_decode_fault() -> impl Strategy<Value = DecodeFault> {
    prop::sample::select(
        &[
            DecodeFault::Head,
            DecodeFault::Framing,
            DecodeFault::ContentType,
            DecodeFault::EventStream,
            DecodeFault::Json,
            DecodeFault::Shape,
            DecodeFault::Excess,
            DecodeFault::Frames,
        ][..],
    )
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    let shed = prop::sample::select(&[ShedReason::ConcurrencyCap, ShedReason::Late][..]);
    prop_oneof![
        any_reason().prop_map(|reason| Outcome::Finished { reason }),
        (any::<u16>(), any_excerpt())
            .prop_map(|(status, message)| Outcome::Refused { status, message }),
        (any_phase(), any_transport_fault())
            .prop_map(|(phase, fault)| Outcome::Severed { phase, fault }),
        any_decode_fault().prop_map(|fault| Outcome::Garbled { fault }),
        any_excerpt().prop_map(|message| Outcome::Errored { message }),
        (any_phase(), any::<u64>())
            .prop_map(|(phase, limit)| Outcome::Expired { phase, limit: Nanos(limit) }),
        shed.prop_map(|reason| Outcome::Shed { reason }),
        Just(Outcome::Abandoned),
    ]
}

/// Any request of an id below `ids`, so that some ids come twice.
pub(crate) fn any_request(ids: u64) -> impl Strategy<Value = RequestRow> {
    let stamp = || option::of(any::<u64>().prop_map(Stamp));
    let connect = any::<(u64, u64, u64)>().prop_map(|(dns, tcp, tls)| ConnectPhases {
        dns: Nanos(dns),
        tcp: Nanos(tcp),
        tls: Nanos(tls),
    });
    let usage =
        any::<(u32, u32, Option<u32>, Option<u32>)>().prop_map(|(prompt, done, cached, reason)| {
            Usage {
                prompt_tokens: prompt,
                completion_tokens: done,
                cached_tokens: cached,
                reasoning_tokens: reason,
            }
        });
    let events =
        any::<(u32, u32, u32, u32)>().prop_map(|(role_only, empty, usage_only, comments)| {
            EventCounts { role_only, empty, usage_only, comments }
        });
    let source = prop::sample::select(&[StampSource::Kernel, StampSource::Clock][..]);
    let part = any::<(Option<(u64, u32)>, Option<u32>)>();
    let way = any::<(Option<SocketAddr>, u32)>();
    let head = (0..ids, any::<u32>(), any::<(u64, u64)>(), option::of(connect), source, part, way);
    let stamps = [stamp(), stamp(), stamp(), stamp(), stamp(), stamp()];
    let ended = (any_outcome(), option::of(usage), events);
    let counts = any::<(Option<u32>, Option<u32>, Option<u32>, u32, u32, u64, Option<u64>)>();
    (head, stamps, ended, counts).prop_map(|(head, stamps, ended, counts)| {
        let (id, shard, (due, end), connect, source, part, (address, attempts)) = head;
        let (turn, class) = part;
        let [connected, sent, first_byte, first_token, first_answer, last_token] = stamps;
        let (outcome, usage, events) = ended;
        let (asked_input, asked_output, tokenized, chunks, coalesced, bytes, delay) = counts;
        RequestRow {
            id: RequestId(id),
            shard,
            turn: turn.map(|(session, index)| Turn { session, index }),
            class,
            due: Stamp(due),
            connected,
            connect,
            sent,
            first_byte,
            first_token,
            first_answer,
            last_token,
            end: Stamp(end),
            stamps: source,
            outcome,
            asked_input,
            asked_output,
            usage,
            tokenized,
            chunks,
            coalesced,
            events,
            bytes,
            read_delay_max: delay.map(Nanos),
            // A text holds neither the zone of an address nor its flow.
            address: address.map(|address| SocketAddr::new(address.ip(), address.port())),
            attempts,
        }
    })
}

/// A value of an endpoint's at `at`.
pub(crate) fn telemetry(at: u64) -> TelemetryRow {
    TelemetryRow {
        at: Stamp(at),
        source: "http://h/metrics".to_owned(),
        instance: "GPU-1".to_owned(),
        metric: Metric::GpuPower,
        value: 350.5,
        detail: String::new(),
    }
}

pub(crate) fn any_telemetry() -> impl Strategy<Value = TelemetryRow> {
    let metric = prop::sample::select(Metric::all().collect::<Vec<_>>());
    let value = prop::num::f64::NORMAL | prop::num::f64::ZERO;
    (any::<(u64, String, String, String)>(), metric, value).prop_map(
        |((at, source, instance, detail), metric, value)| TelemetryRow {
            at: Stamp(at),
            source,
            instance,
            metric,
            value,
            detail,
        },
    )
}
