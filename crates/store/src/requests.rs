//! Request rows: their table, and their journal encoding, which follows from it.
//!
//! In the journal a row is the set of columns that it has, then their values in the table's order
//! ([`cells`]). So a column that is added raises the version of the journal, not that of the
//! table. Rows of the older version lack its bit and decode all the same.

use std::net::SocketAddr;

use infermark_terms::{EventCounts, Outcome, RequestId, RequestRow, Stamp, StampSource};

use crate::cells;
use crate::columnar::{Cell, Column, Columnar};
use crate::encoding::Bytes;
use crate::journal::Row;
use crate::schema::Schema;

impl Columnar for RequestRow {
    const TABLE: Schema = Schema::new("infermark.requests", 1);

    const COLUMNS: &'static [Column<Self>] = &[
        Column::integer("request_id", |r| r.id.0.cell(), |r, v| r.id.0.fill(v)),
        Column::integer("shard", |r| r.shard.cell(), |r, v| r.shard.fill(v)),
        Column::integer("due_ns", |r| r.due.cell(), |r, v| r.due.fill(v)),
        Column::maybe("connected_ns", |r| r.connected.cell(), |r, v| r.connected.fill(v)),
        Column::maybe(
            "connect_dns_ns",
            |r| r.connect?.dns.cell(),
            |r, v| r.connect.get_or_insert_default().dns.fill(v),
        ),
        Column::maybe(
            "connect_tcp_ns",
            |r| r.connect?.tcp.cell(),
            |r, v| r.connect.get_or_insert_default().tcp.fill(v),
        ),
        Column::maybe(
            "connect_tls_ns",
            |r| r.connect?.tls.cell(),
            |r, v| r.connect.get_or_insert_default().tls.fill(v),
        ),
        Column::maybe("sent_ns", |r| r.sent.cell(), |r, v| r.sent.fill(v)),
        Column::maybe("first_byte_ns", |r| r.first_byte.cell(), |r, v| r.first_byte.fill(v)),
        Column::maybe("first_token_ns", |r| r.first_token.cell(), |r, v| r.first_token.fill(v)),
        Column::maybe("first_answer_ns", |r| r.first_answer.cell(), |r, v| r.first_answer.fill(v)),
        Column::maybe("last_token_ns", |r| r.last_token.cell(), |r, v| r.last_token.fill(v)),
        Column::integer("end_ns", |r| r.end.cell(), |r, v| r.end.fill(v)),
        Column::text("stamp_source", |r| source_name(r.stamps).into(), set_source),
        Column::text("outcome", |r| r.outcome.kind().name().into(), |_, _| Some(())),
        Column::text("outcome_detail", |r| detail(&r.outcome).into(), set_outcome),
        Column::maybe("asked_input_tokens", |r| r.asked_input.cell(), |r, v| r.asked_input.fill(v)),
        Column::maybe(
            "asked_output_tokens",
            |r| r.asked_output.cell(),
            |r, v| r.asked_output.fill(v),
        ),
        Column::maybe(
            "usage_prompt_tokens",
            |r| r.usage?.prompt_tokens.cell(),
            |r, v| r.usage.get_or_insert_default().prompt_tokens.fill(v),
        ),
        Column::maybe(
            "usage_completion_tokens",
            |r| r.usage?.completion_tokens.cell(),
            |r, v| r.usage.get_or_insert_default().completion_tokens.fill(v),
        ),
        Column::maybe(
            "usage_cached_tokens",
            |r| r.usage?.cached_tokens.cell(),
            |r, v| r.usage.get_or_insert_default().cached_tokens.fill(v),
        ),
        Column::maybe(
            "usage_reasoning_tokens",
            |r| r.usage?.reasoning_tokens.cell(),
            |r, v| r.usage.get_or_insert_default().reasoning_tokens.fill(v),
        ),
        Column::maybe("tokenized_tokens", |r| r.tokenized.cell(), |r, v| r.tokenized.fill(v)),
        Column::integer("chunks", |r| r.chunks.cell(), |r, v| r.chunks.fill(v)),
        Column::integer("coalesced_chunks", |r| r.coalesced.cell(), |r, v| r.coalesced.fill(v)),
        Column::integer(
            "role_only_events",
            |r| r.events.role_only.cell(),
            |r, v| r.events.role_only.fill(v),
        ),
        Column::integer("empty_events", |r| r.events.empty.cell(), |r, v| r.events.empty.fill(v)),
        Column::integer(
            "usage_only_events",
            |r| r.events.usage_only.cell(),
            |r, v| r.events.usage_only.fill(v),
        ),
        Column::integer("comments", |r| r.events.comments.cell(), |r, v| r.events.comments.fill(v)),
        Column::integer("response_bytes", |r| r.bytes.cell(), |r, v| r.bytes.fill(v)),
        Column::maybe(
            "read_delay_max_ns",
            |r| r.read_delay_max.cell(),
            |r, v| r.read_delay_max.fill(v),
        ),
        Column::maybe(
            "session",
            |r| r.turn?.session.cell(),
            |r, v| r.turn.get_or_insert_default().session.fill(v),
        ),
        Column::maybe(
            "turn",
            |r| r.turn?.index.cell(),
            |r, v| r.turn.get_or_insert_default().index.fill(v),
        ),
        Column::maybe("class", |r| r.class.cell(), |r, v| r.class.fill(v)),
        Column::text("address", |r| address(r.address).into(), set_address),
        Column::integer("attempts", |r| r.attempts.cell(), |r, v| r.attempts.fill(v)),
    ];

    fn blank() -> Self {
        Self {
            id: RequestId(0),
            shard: 0,
            turn: None,
            class: None,
            due: Stamp::ZERO,
            connected: None,
            connect: None,
            sent: None,
            first_byte: None,
            first_token: None,
            first_answer: None,
            last_token: None,
            end: Stamp::ZERO,
            stamps: StampSource::Clock,
            outcome: Outcome::Abandoned,
            asked_input: None,
            asked_output: None,
            usage: None,
            tokenized: None,
            chunks: 0,
            coalesced: 0,
            events: EventCounts::default(),
            bytes: 0,
            read_delay_max: None,
            address: None,
            attempts: 0,
        }
    }
}

const fn source_name(source: StampSource) -> &'static str {
    match source {
        StampSource::Kernel => "kernel",
        StampSource::Clock => "clock",
    }
}

fn set_source(row: &mut RequestRow, name: &str) -> Option<()> {
    let sources = [StampSource::Kernel, StampSource::Clock];
    row.stamps = sources.into_iter().find(|&source| source_name(source) == name)?;
    Some(())
}

/// Returns an address with its port; of none, an empty text.
fn address(address: Option<SocketAddr>) -> String {
    address.map_or(String::new(), |address| address.to_string())
}

fn set_address(row: &mut RequestRow, text: &str) -> Option<()> {
    row.address = if text.is_empty() { None } else { Some(text.parse().ok()?) };
    Some(())
}

/// Returns the whole outcome as JSON, its kind included.
fn detail(outcome: &Outcome) -> String {
    serde_json::to_string(outcome).expect("an outcome has string keys and cannot fail")
}

fn set_outcome(row: &mut RequestRow, detail: &str) -> Option<()> {
    row.outcome = serde_json::from_str(detail).ok()?;
    Some(())
}

impl Row for RequestRow {
    const JOURNAL: Schema = Schema::new("infermark.journal.requests", 3);

    type Before = ();

    fn put(&self, (): &mut (), out: &mut Vec<u8>) {
        cells::put(self, out);
    }

    fn take((): &mut (), from: &mut Bytes<'_>) -> Option<Self> {
        cells::take(from)
    }
}
