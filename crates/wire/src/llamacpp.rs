//! llama.cpp's own API: `/completion`.
//!
//! ```text
//! data: {"index", "content": " the", "tokens": [], "stop": false,
//!        "tokens_predicted": 3, "tokens_evaluated": 12}
//! data: {"content": "", "stop": true, "stop_type": "limit", "tokens_predicted": 8,
//!        "tokens_evaluated": 12, "timings": {"cache_n", …}, …}
//! ```
//!
//! Counts stand on every event; the event with `stop` is the last.

use infermark_terms::{Ask, ChunkKind, DecodeFault, Excerpt, FinishReason};
use serde::Serialize;

use crate::dialect::{Dialect, Input, LengthFields, Taken, UnsupportedPrompt, json};
use crate::event::{Choice, Counts, Event, Facts, object};

pub(crate) mod server;

#[derive(Serialize)]
struct Body<'a> {
    prompt: Input<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n_predict: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_eos: Option<bool>,
    stream: bool,
}

pub(crate) fn body(dialect: &Dialect, ask: &Ask) -> Result<Vec<u8>, UnsupportedPrompt> {
    let exact = dialect.length_of(ask) != LengthFields::LimitOnly;
    Ok(json(&Body {
        prompt: dialect.api.input(&ask.prompt)?,
        n_predict: ask.output_tokens,
        ignore_eos: exact.then_some(true),
        stream: dialect.is_streamed(),
    }))
}

pub(crate) fn read(event: &[u8]) -> Result<Event<'_>, DecodeFault> {
    let (mut text, mut stop, mut finish) = (None, None, None);
    let mut counts = Counts::default();
    let reading = object(event, |json, key| {
        match key {
            b"content" => text = json.string()?,
            b"stop" => stop = json.flag()?,
            b"stop_type" => finish = json.string()?,
            b"tokens_predicted" => counts.completion = json.count()?,
            b"tokens_evaluated" => counts.prompt = json.count()?,
            b"timings" => counts.cached = json.count_in(b"cache_n")?,
            _ => json.skip()?,
        }
        Ok(())
    })?;
    let mut choice = Choice::said(ChunkKind::Answer, text);
    choice.finish = finish.and_then(|word| match &*word.decoded() {
        b"none" => None,
        b"limit" => Some(FinishReason::Length),
        b"eos" | b"word" => Some(FinishReason::Stop),
        other => Some(FinishReason::Other(Excerpt::from_bytes(other))),
    });
    let last = stop == Some(true);
    reading.with(Facts { choice: text.map(|_| choice), counts, last })
}
