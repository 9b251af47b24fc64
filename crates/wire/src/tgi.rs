//! Text Generation Inference's own API: `/generate_stream` and `/generate`.
//!
//! ```text
//! data:{"index": 1, "token": {"id", "text", "logprob", "special"}, "generated_text": null,
//!       "details": null}
//! data:{…, "generated_text": "…",
//!       "details": {"finish_reason", "generated_tokens", "input_length"}}
//! ```
//!
//! Each event is one token; the last carries the whole text once more. A special token, such as
//! the end of sequence, is a token without text. The length of an answer can be limited, not
//! ordered. `input_length` is there since TGI 2.1; before it a streamed answer counts no input.

use infermark_terms::{Ask, ChunkKind, DecodeFault, FinishReason};
use serde::Serialize;

use crate::dialect::{Dialect, Taken, UnsupportedPrompt, json};
use crate::event::{Choice, Counts, Event, Facts, object};
use crate::json::{Malformed, RawString, Reader};

pub(crate) mod server;

#[derive(Serialize)]
struct Body<'a> {
    inputs: &'a str,
    parameters: Parameters,
}

#[derive(Serialize)]
struct Parameters {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_new_tokens: Option<u32>,
    details: bool,
}

pub(crate) fn body(dialect: &Dialect, ask: &Ask) -> Result<Vec<u8>, UnsupportedPrompt> {
    let inputs = dialect.api.text(&ask.prompt)?;
    let parameters = Parameters { max_new_tokens: ask.output_tokens, details: true };
    Ok(json(&Body { inputs, parameters }))
}

pub(crate) fn read(event: &[u8]) -> Result<Event<'_>, DecodeFault> {
    let (mut token, mut text, mut details) = (None, None, Details::default());
    let reading = object(event, |json, key| match key {
        b"token" => {
            token = Token::read(json)?;
            Ok(())
        }
        b"generated_text" => {
            text = json.string()?;
            Ok(())
        }
        b"details" => details.read(json),
        _ => json.skip(),
    })?;
    let streamed = token.is_some();
    let mut choice = match token {
        // Its text is no part of the answer.
        Some(Token { special: true, .. }) => Choice::default(),
        Some(Token { text, .. }) => Choice::said(ChunkKind::Answer, text),
        None => Choice::said(ChunkKind::Answer, text),
    };
    choice.tokens = streamed.then_some(1);
    choice.finish = details.finish;
    let answers = streamed || text.is_some();
    reading.with(Facts {
        choice: answers.then_some(choice),
        counts: details.counts,
        last: text.is_some(),
    })
}

/// One token.
struct Token<'a> {
    text: Option<RawString<'a>>,
    special: bool,
}

impl<'a> Token<'a> {
    fn read(json: &mut Reader<'a>) -> Result<Option<Self>, Malformed> {
        let mut token = Self { text: None, special: false };
        let object = json.object(|json, key| match key {
            b"text" => {
                token.text = json.string()?;
                Ok(())
            }
            b"special" => {
                token.special = json.flag()? == Some(true);
                Ok(())
            }
            _ => json.skip(),
        })?;
        Ok(object.map(|()| token))
    }
}

/// What stands in `details`.
#[derive(Default)]
struct Details {
    finish: Option<FinishReason>,
    counts: Counts,
}

impl Details {
    fn read(&mut self, json: &mut Reader<'_>) -> Result<(), Malformed> {
        let _object = json.object(|json, key| {
            match key {
                b"finish_reason" => self.finish = json.string()?.map(finish_reason),
                b"generated_tokens" => self.counts.completion = json.count()?,
                b"input_length" => self.counts.prompt = json.count()?,
                // Without `input_length`, the list of input tokens, where it was asked for.
                b"prefill" => {
                    let length = json.array(Reader::skip)?.filter(|&length| length > 0);
                    self.counts.prompt = self.counts.prompt.or(length);
                }
                _ => json.skip()?,
            }
            Ok(())
        })?;
        Ok(())
    }
}

fn finish_reason(word: RawString<'_>) -> FinishReason {
    match &*word.decoded() {
        b"length" => FinishReason::Length,
        b"eos_token" | b"stop_sequence" => FinishReason::Stop,
        other => FinishReason::Other(infermark_terms::Excerpt::from_bytes(other)),
    }
}
