//! Chunk rows: their journal encoding and their table.
//!
//! In the journal a row begins with a byte of flags, then differences to the row before it, so
//! that a usual row takes about 10 bytes:
//!
//! ```text
//! flags u8: kind (bits 0–1), coalesced (2), tokens known (3)
//! request − before, at − before, [tokens], text_bytes, read_delay
//! ```

use infermark_terms::{ChunkKind, ChunkRow, Nanos, RequestId, Stamp};

use crate::columnar::{Cell, Column, Columnar};
use crate::encoding::{Bytes, put_difference, put_varint};
use crate::journal::Row;
use crate::schema::Schema;

/// All kinds with their names; the position is the code in the journal.
const KINDS: [(ChunkKind, &str); 4] = [
    (ChunkKind::Answer, "answer"),
    (ChunkKind::Reasoning, "reasoning"),
    (ChunkKind::ToolCall, "tool_call"),
    (ChunkKind::Refusal, "refusal"),
];

const KIND_BITS: u8 = 0b0011;
const COALESCED: u8 = 0b0100;
const TOKENS_KNOWN: u8 = 0b1000;

/// Returns a kind's place in [`KINDS`].
const fn code(kind: ChunkKind) -> u8 {
    match kind {
        ChunkKind::Answer => 0,
        ChunkKind::Reasoning => 1,
        ChunkKind::ToolCall => 2,
        ChunkKind::Refusal => 3,
    }
}

impl Row for ChunkRow {
    const JOURNAL: Schema = Schema::new("infermark.journal.chunks", 1);

    type Before = (RequestId, Stamp);

    fn put(&self, before: &mut Self::Before, out: &mut Vec<u8>) {
        let coalesced = if self.coalesced { COALESCED } else { 0 };
        let tokens_known = if self.tokens.is_some() { TOKENS_KNOWN } else { 0 };
        out.push(code(self.kind) | coalesced | tokens_known);
        put_difference(self.request.0, before.0.0, out);
        put_difference(self.at.0, before.1.0, out);
        if let Some(tokens) = self.tokens {
            put_varint(u64::from(tokens), out);
        }
        put_varint(u64::from(self.text_bytes), out);
        put_varint(self.read_delay.0, out);
        *before = (self.request, self.at);
    }

    fn take(before: &mut Self::Before, from: &mut Bytes<'_>) -> Option<Self> {
        let flags = from.take_byte()?;
        if flags & !(KIND_BITS | COALESCED | TOKENS_KNOWN) != 0 {
            return None;
        }
        let request = RequestId(from.take_difference(before.0.0)?);
        let at = Stamp(from.take_difference(before.1.0)?);
        let tokens = if flags & TOKENS_KNOWN == 0 { None } else { Some(from.take_varint_u32()?) };
        let text_bytes = from.take_varint_u32()?;
        let read_delay = Nanos(from.take_varint()?);
        let (kind, _) = KINDS[usize::from(flags & KIND_BITS)];
        let coalesced = flags & COALESCED != 0;
        *before = (request, at);
        Some(Self { request, at, kind, tokens, text_bytes, coalesced, read_delay })
    }
}

impl Columnar for ChunkRow {
    const TABLE: Schema = Schema::new("infermark.chunks", 1);

    const COLUMNS: &'static [Column<Self>] = &[
        Column::integer(
            "request_id",
            |row| row.request.0.cell(),
            |row, value| row.request.0.fill(value),
        ),
        Column::integer("at_ns", |row| row.at.cell(), |row, value| row.at.fill(value)),
        Column::text(
            "kind",
            |row| KINDS[usize::from(code(row.kind))].1.into(),
            |row, value| {
                row.kind = KINDS.iter().find(|(_, name)| *name == value)?.0;
                Some(())
            },
        ),
        Column::maybe("tokens", |row| row.tokens.cell(), |row, value| row.tokens.fill(value)),
        Column::integer(
            "text_bytes",
            |row| row.text_bytes.cell(),
            |row, value| row.text_bytes.fill(value),
        ),
        Column::flag("coalesced", |row| row.coalesced, |row, value| row.coalesced = value),
        Column::integer(
            "read_delay_ns",
            |row| row.read_delay.cell(),
            |row, value| row.read_delay.fill(value),
        ),
    ];

    fn blank() -> Self {
        Self {
            request: RequestId(0),
            at: Stamp::ZERO,
            kind: ChunkKind::Answer,
            tokens: None,
            text_bytes: 0,
            coalesced: false,
            read_delay: Nanos::ZERO,
        }
    }
}
