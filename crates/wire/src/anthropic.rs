//! Anthropic's Messages API: `/v1/messages`, which vLLM and llama.cpp speak too.
//!
//! ```text
//! event: message_start
//! data: {"type": "message_start", "message": {"role": "assistant",
//!        "usage": {"input_tokens", "cache_read_input_tokens", "output_tokens"}}}
//! data: {"type": "content_block_start", "content_block": {"type": "text", "text": ""}}
//! data: {"type": "content_block_delta",
//!        "delta": {"type": "text_delta", "text"} | {"type": "thinking_delta", "thinking"}
//!               | {"type": "input_json_delta", "partial_json"}}
//! data: {"type": "message_delta", "delta": {"stop_reason"}, "usage": {"output_tokens"}}
//! data: {"type": "message_stop"}
//! ```
//!
//! A whole answer is a message with its `content`, `stop_reason` and `usage`. The length of an
//! answer must be limited (`max_tokens`), and cannot be ordered. `input_tokens` leaves out what
//! was read from or written to a prompt cache; the input counts here include both.

use infermark_terms::{Ask, ChunkKind, DecodeFault, Excerpt, FinishReason};
use serde::Serialize;

use crate::dialect::{Dialect, Taken, Turn, UnsupportedPrompt, json};
use crate::event::{Choice, Counts, Event, Facts, RawText, object};
use crate::json::{Malformed, RawString, Reader};

pub(crate) mod server;

/// The limit where none is asked for: the API wants one.
const MAX_TOKENS: u32 = 4096;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<String>,
    messages: Vec<Turn<'a>>,
    stream: bool,
}

pub(crate) fn body(dialect: &Dialect, ask: &Ask) -> Result<Vec<u8>, UnsupportedPrompt> {
    let turns = dialect.api.turns(&ask.prompt)?;
    let (system, messages): (Vec<_>, Vec<_>) =
        turns.into_iter().partition(|turn| turn.role == "system");
    let system: Vec<_> = system.iter().map(|turn| turn.content).collect();
    Ok(json(&Body {
        model: &dialect.model,
        max_tokens: ask.output_tokens.unwrap_or(MAX_TOKENS),
        system: (!system.is_empty()).then(|| system.join("\n\n")),
        messages,
        stream: dialect.is_streamed(),
    }))
}

pub(crate) fn read(event: &[u8]) -> Result<Event<'_>, DecodeFault> {
    let mut seen = Seen::default();
    let reading = object(event, |json, key| {
        match key {
            b"type" => seen.name = json.string()?,
            b"message" => seen.message(json)?,
            b"delta" | b"content_block" => seen.delta(json)?,
            b"usage" => seen.counts = usage(json)?.or(seen.counts),
            b"content" => seen.content(json)?,
            b"stop_reason" => seen.finish = json.string()?,
            b"role" => seen.role |= json.string()?.is_some(),
            _ => json.skip()?,
        }
        Ok(())
    })?;
    seen.event(reading)
}

/// What an event says, before its name is known to be the one that makes sense of it.
#[derive(Default)]
struct Seen<'a> {
    name: Option<RawString<'a>>,
    role: bool,
    kind: Option<ChunkKind>,
    text: RawText<'a>,
    finish: Option<RawString<'a>>,
    counts: Counts,
}

impl<'a> Seen<'a> {
    fn event(self, reading: crate::event::Reading) -> Result<Event<'a>, DecodeFault> {
        let name = self.name.map(RawString::decoded);
        let name = name.as_deref().unwrap_or_default();
        if name == b"ping" {
            return Ok(Event::Alive);
        }
        if name == b"message_stop" {
            return reading.with(Facts { last: true, ..Facts::default() });
        }
        // Blocks begin and end without a word of the answer.
        let speaks = self.kind.is_some() || self.finish.is_some() || self.role;
        let choice = (speaks || name.starts_with(b"content_block_")).then(|| Choice {
            role: self.role,
            kind: self.kind,
            text: self.text,
            tokens: None,
            finish: self.finish.map(finish_reason),
        });
        reading.with(Facts { choice, counts: self.counts, last: name == b"message" })
    }

    /// Reads the message with which a stream begins.
    fn message(&mut self, json: &mut Reader<'a>) -> Result<(), Malformed> {
        let _object = json.object(|json, key| {
            match key {
                b"role" => self.role |= json.string()?.is_some(),
                b"usage" => self.counts = usage(json)?.or(self.counts),
                _ => json.skip()?,
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Reads a delta, or the beginning of a block.
    fn delta(&mut self, json: &mut Reader<'a>) -> Result<(), Malformed> {
        let _object = json.object(|json, key| {
            match key {
                b"text" => self.take(ChunkKind::Answer, json.string()?),
                b"thinking" => self.take(ChunkKind::Reasoning, json.string()?),
                b"partial_json" => self.take(ChunkKind::ToolCall, json.string()?),
                b"stop_reason" => self.finish = json.string()?,
                _ => json.skip()?,
            }
            Ok(())
        })?;
        Ok(())
    }

    fn take(&mut self, kind: ChunkKind, text: Option<RawString<'a>>) {
        let text = text.map(RawText::of).unwrap_or_default();
        if text.len_utf8() > 0 {
            (self.kind, self.text) = (Some(kind), text);
        }
    }

    /// Reads the blocks of a whole answer. Its text is that of its text blocks.
    fn content(&mut self, json: &mut Reader<'a>) -> Result<(), Malformed> {
        let (source, (length, kind)) = json.spanned(|json| blocks(json, None))?;
        if kind.is_some() {
            self.kind = kind;
            self.text = RawText::new(source, write_blocks, length);
        }
        Ok(())
    }
}

/// Appends the text of a list of blocks that was read before.
fn write_blocks(source: &[u8], out: &mut Vec<u8>) {
    let read = blocks(&mut Reader::trusted(source), Some(out));
    let _: (u32, Option<ChunkKind>) = read.expect("the blocks were read before");
}

/// Reads a list of blocks: the length of their text, and its kind.
fn blocks(
    json: &mut Reader<'_>,
    mut out: Option<&mut Vec<u8>>,
) -> Result<(u32, Option<ChunkKind>), Malformed> {
    let (mut length, mut kind) = (0, None::<ChunkKind>);
    let _count = json.array(|json| {
        let _block = json.object(|json, key| {
            let found = match key {
                b"text" => ChunkKind::Answer,
                b"thinking" => ChunkKind::Reasoning,
                _ => return json.skip(),
            };
            if let Some(text) = json.string()?.filter(|text| text.len_utf8() > 0) {
                length += text.len_utf8() as u32;
                kind = Some(kind.map_or(found, |other| other.min(found)));
                if let Some(out) = out.as_mut() {
                    text.append_to(out);
                }
            }
            Ok(())
        })?;
        Ok(())
    })?;
    Ok((length, kind))
}

fn usage(json: &mut Reader<'_>) -> Result<Counts, Malformed> {
    let (mut fresh, mut written, mut counts) = (None, None, Counts::default());
    let _object = json.object(|json, key| {
        match key {
            b"input_tokens" => fresh = json.count()?,
            b"output_tokens" => counts.completion = json.count()?,
            b"cache_read_input_tokens" => counts.cached = json.count()?,
            b"cache_creation_input_tokens" => written = json.count()?,
            _ => json.skip()?,
        }
        Ok(())
    })?;
    let cached = counts.cached.unwrap_or(0).saturating_add(written.unwrap_or(0));
    counts.prompt = fresh.map(|fresh| fresh.saturating_add(cached));
    Ok(counts)
}

fn finish_reason(word: RawString<'_>) -> FinishReason {
    match &*word.decoded() {
        b"end_turn" | b"stop_sequence" => FinishReason::Stop,
        b"max_tokens" => FinishReason::Length,
        b"tool_use" => FinishReason::ToolCalls,
        b"refusal" => FinishReason::ContentFilter,
        other => FinishReason::Other(Excerpt::from_bytes(other)),
    }
}
