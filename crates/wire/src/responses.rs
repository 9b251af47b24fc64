//! OpenAI's Responses API: `/v1/responses`.
//!
//! ```text
//! event: response.output_text.delta
//! data: {"type": "response.output_text.delta", "delta": " the", "sequence_number": 7, …}
//! data: {"type": "response.completed" | "response.incomplete" | "response.failed",
//!        "response": {"status", "incomplete_details": {"reason"},
//!                     "usage": {"input_tokens", "output_tokens",
//!                               "input_tokens_details": {"cached_tokens"},
//!                               "output_tokens_details": {"reasoning_tokens"}}}}
//! ```
//!
//! A whole answer is the `response` itself, with its `output`: items with `content` parts. Of the
//! events between, those that carry a delta are chunks and all others are empty.

use infermark_terms::{Ask, ChunkKind, DecodeFault, Excerpt, FinishReason, Prompt};
use serde::Serialize;

use crate::dialect::{Dialect, LengthFields, Taken, Turn, UnsupportedPrompt, json};
use crate::event::{Choice, Counts, Event, Facts, RawText, Reading, object};
use crate::json::{Malformed, RawString, Reader};

pub(crate) mod server;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: Input<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_eos: Option<bool>,
    stream: bool,
    /// Nothing is to be kept for a later turn.
    store: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Input<'a> {
    Text(&'a str),
    Turns(Vec<Turn<'a>>),
}

pub(crate) fn body(dialect: &Dialect, ask: &Ask) -> Result<Vec<u8>, UnsupportedPrompt> {
    let input = match &ask.prompt {
        Prompt::Text(text) => Input::Text(text),
        other @ (Prompt::Messages(_) | Prompt::Tokens(_)) => {
            Input::Turns(dialect.api.turns(other)?)
        }
    };
    let exact = dialect.length_of(ask) != LengthFields::LimitOnly;
    Ok(json(&Body {
        model: &dialect.model,
        input,
        max_output_tokens: ask.output_tokens,
        ignore_eos: exact.then_some(true),
        stream: dialect.is_streamed(),
        store: false,
    }))
}

pub(crate) fn read(event: &[u8]) -> Result<Event<'_>, DecodeFault> {
    let (mut name, mut delta) = (None, None);
    let (mut kind_of_object, mut response) = (None, Response::default());
    let reading = object(event, |json, key| {
        match key {
            b"type" => name = json.string()?,
            b"delta" => delta = json.text()?,
            b"object" => kind_of_object = json.string()?,
            b"response" => {
                let _object = json.object(|json, key| response.member(json, key))?;
            }
            _ => response.member(json, key)?,
        }
        Ok(())
    })?;
    let name = name.map(RawString::decoded);
    let name = name.as_deref().unwrap_or_default();
    let whole = kind_of_object.is_some_and(|word| &*word.decoded() == b"response");
    if reading == Reading::Failed
        || name == b"error"
        || name == b"response.failed"
        || response.failed()
    {
        return Ok(Event::Failed);
    }
    if !whole && !name.starts_with(b"response.") {
        return Err(DecodeFault::Shape);
    }
    let last = whole || matches!(name, b"response.completed" | b"response.incomplete");
    let choice = match chunk_kind(name) {
        Some(kind) => Choice::said(kind, delta),
        None if whole => response.choice(),
        None => Choice::default(),
    };
    let finish = if last { Some(response.finish()) } else { None };
    // The response is told again when it begins, with usage that is not there yet.
    let counts = if last { response.counts } else { Counts::default() };
    let speaks = !last || whole || choice.kind.is_some();
    let choice = Choice { finish, ..choice };
    reading.with(Facts { choice: (speaks || last).then_some(choice), counts, last })
}

/// Returns what the delta of this event is.
fn chunk_kind(name: &[u8]) -> Option<ChunkKind> {
    match name {
        b"response.output_text.delta" => Some(ChunkKind::Answer),
        b"response.reasoning_text.delta" | b"response.reasoning_summary_text.delta" => {
            Some(ChunkKind::Reasoning)
        }
        b"response.function_call_arguments.delta" | b"response.mcp_call_arguments.delta" => {
            Some(ChunkKind::ToolCall)
        }
        b"response.refusal.delta" => Some(ChunkKind::Refusal),
        _ => None,
    }
}

/// What a response says of itself.
#[derive(Default)]
struct Response<'a> {
    status: Option<RawString<'a>>,
    reason: Option<RawString<'a>>,
    counts: Counts,
    /// The list of its items, the length of their text, and its kind.
    output: Option<(&'a [u8], u32, Option<ChunkKind>)>,
    error: bool,
}

impl<'a> Response<'a> {
    fn member(&mut self, json: &mut Reader<'a>, key: &[u8]) -> Result<(), Malformed> {
        match key {
            b"status" => self.status = json.string()?,
            b"error" => self.error |= !json.skip_null()?,
            b"incomplete_details" => {
                let _details = json.object(|json, key| match key {
                    b"reason" => {
                        self.reason = json.string()?;
                        Ok(())
                    }
                    _ => json.skip(),
                })?;
            }
            b"usage" => self.counts = usage(json)?,
            b"output" => {
                let (source, (length, kind)) = json.spanned(|json| items(json, None))?;
                self.output = Some((source, length, kind));
            }
            _ => json.skip()?,
        }
        Ok(())
    }

    fn failed(&self) -> bool {
        self.error || self.status.is_some_and(|word| &*word.decoded() == b"failed")
    }

    fn choice(&self) -> Choice<'a> {
        let Some((source, length, kind)) = self.output else { return Choice::default() };
        Choice { kind, text: RawText::new(source, write_items, length), ..Choice::default() }
    }

    fn finish(&self) -> FinishReason {
        match self.reason.map(RawString::decoded).as_deref() {
            None => FinishReason::Stop,
            Some(b"max_output_tokens") => FinishReason::Length,
            Some(b"content_filter") => FinishReason::ContentFilter,
            Some(other) => FinishReason::Other(Excerpt::from_bytes(other)),
        }
    }
}

/// Appends the text of a list of items that was read before.
fn write_items(source: &[u8], out: &mut Vec<u8>) {
    let read = items(&mut Reader::trusted(source), Some(out));
    let _: (u32, Option<ChunkKind>) = read.expect("the items were read before");
}

/// Reads a list of items: the length of the text of their parts, and its kind.
fn items(
    json: &mut Reader<'_>,
    mut out: Option<&mut Vec<u8>>,
) -> Result<(u32, Option<ChunkKind>), Malformed> {
    let (mut length, mut kind) = (0, None::<ChunkKind>);
    let _items = json.array(|json| {
        let mut reasons = false;
        let _item = json.object(|json, key| match key {
            b"type" => {
                reasons = json.string()?.is_some_and(|word| &*word.decoded() == b"reasoning");
                Ok(())
            }
            b"content" => {
                let _parts = json.array(|json| {
                    let _part = json.object(|json, key| {
                        if key != b"text" && key != b"refusal" {
                            return json.skip();
                        }
                        let text = json.string()?.filter(|text| text.len_utf8() > 0);
                        if let Some(text) = text {
                            let found = match key {
                                b"refusal" => ChunkKind::Refusal,
                                _ if reasons => ChunkKind::Reasoning,
                                _ => ChunkKind::Answer,
                            };
                            kind = Some(kind.map_or(found, |other| other.min(found)));
                            length += text.len_utf8() as u32;
                            if let Some(out) = out.as_mut() {
                                text.append_to(out);
                            }
                        }
                        Ok(())
                    })?;
                    Ok(())
                })?;
                Ok(())
            }
            _ => json.skip(),
        })?;
        Ok(())
    })?;
    Ok((length, kind))
}

fn usage(json: &mut Reader<'_>) -> Result<Counts, Malformed> {
    let mut counts = Counts::default();
    let _object = json.object(|json, key| {
        match key {
            b"input_tokens" => counts.prompt = json.count()?,
            b"output_tokens" => counts.completion = json.count()?,
            b"input_tokens_details" => counts.cached = json.count_in(b"cached_tokens")?,
            b"output_tokens_details" => counts.reasoning = json.count_in(b"reasoning_tokens")?,
            _ => json.skip()?,
        }
        Ok(())
    })?;
    Ok(counts)
}
