//! Ollama's API: `/api/chat` and `/api/generate`, streamed as JSON lines.
//!
//! ```text
//! {"model", "created_at", "message": {"role": "assistant", "content": "The"}, "done": false}
//! {"model", "created_at", "response": "The", "thinking": "…", "done": false}
//! {…, "done": true, "done_reason": "length", "prompt_eval_count": 26, "eval_count": 8}
//! ```
//!
//! The length of an answer can be limited (`options.num_predict`), not ordered.

use infermark_terms::{Ask, ChunkKind, DecodeFault, Excerpt, FinishReason};
use serde::Serialize;

use crate::dialect::{Api, Dialect, Taken, Turn, UnsupportedPrompt, json};
use crate::event::{Choice, Counts, Event, Facts, object};
use crate::json::{Malformed, Reader};

pub(crate) mod server;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Turn<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    stream: bool,
    options: Options,
}

#[derive(Serialize)]
struct Options {
    #[serde(skip_serializing_if = "Option::is_none")]
    num_predict: Option<u32>,
}

pub(crate) fn body(dialect: &Dialect, ask: &Ask) -> Result<Vec<u8>, UnsupportedPrompt> {
    let (messages, prompt) = if dialect.api == Api::Ollama {
        (Some(dialect.api.turns(&ask.prompt)?), None)
    } else {
        (None, Some(dialect.api.text(&ask.prompt)?))
    };
    Ok(json(&Body {
        model: &dialect.model,
        messages,
        prompt,
        stream: dialect.is_streamed(),
        options: Options { num_predict: ask.output_tokens },
    }))
}

pub(crate) fn read(event: &[u8]) -> Result<Event<'_>, DecodeFault> {
    let (mut said, mut counts) = (Said::default(), Counts::default());
    let (mut done, mut finish) = (None, None);
    let reading = object(event, |json, key| {
        match key {
            b"message" => said.message(json)?,
            b"response" => said.take(json, ChunkKind::Answer)?,
            b"thinking" => said.take(json, ChunkKind::Reasoning)?,
            b"done" => done = json.flag()?,
            b"done_reason" => finish = json.string()?,
            b"prompt_eval_count" => counts.prompt = json.count()?,
            b"eval_count" => counts.completion = json.count()?,
            _ => json.skip()?,
        }
        Ok(())
    })?;
    let mut choice = said.choice;
    choice.finish = finish.map(|word| match &*word.decoded() {
        b"stop" => FinishReason::Stop,
        b"length" => FinishReason::Length,
        other => FinishReason::Other(Excerpt::from_bytes(other)),
    });
    reading.with(Facts {
        choice: (done.is_some() && said.seen).then_some(choice),
        counts,
        last: done == Some(true),
    })
}

/// What a line says.
#[derive(Default)]
struct Said<'a> {
    choice: Choice<'a>,
    seen: bool,
}

impl<'a> Said<'a> {
    fn message(&mut self, json: &mut Reader<'a>) -> Result<(), Malformed> {
        let _object = json.object(|json, key| match key {
            b"content" => self.take(json, ChunkKind::Answer),
            b"thinking" => self.take(json, ChunkKind::Reasoning),
            _ => json.skip(),
        })?;
        Ok(())
    }

    /// Takes generated text. A line carries one kind; should there be two, the answer counts.
    fn take(&mut self, json: &mut Reader<'a>, kind: ChunkKind) -> Result<(), Malformed> {
        let text = json.string()?;
        self.seen |= text.is_some();
        let said = Choice::said(kind, text);
        if said.kind.is_some() && self.choice.kind.is_none_or(|other| kind < other) {
            self.choice = said;
        }
        Ok(())
    }
}
