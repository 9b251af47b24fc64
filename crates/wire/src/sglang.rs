//! `SGLang`'s own API: `/generate`.
//!
//! ```text
//! data: {"text": "all of it so far", "output_ids": […],
//!        "meta_info": {"prompt_tokens", "completion_tokens", "cached_tokens",
//!                      "finish_reason": null | {"type": "length", "length": 8}}}
//! data: [DONE]
//! ```
//!
//! The text of each event is cumulative; counts stand on every event.

use infermark_terms::{Ask, ChunkKind, DecodeFault, Excerpt, FinishReason};
use serde::Serialize;

use crate::dialect::{Dialect, Input, LengthFields, Taken, UnsupportedPrompt, json};
use crate::event::{Choice, Counts, Event, Facts, object};
use crate::json::{Malformed, RawString, Reader};
use crate::openai::finish_reason;

pub(crate) mod server;

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_ids: Option<&'a [u32]>,
    sampling_params: Sampling,
    stream: bool,
}

#[derive(Serialize)]
struct Sampling {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_new_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_new_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_eos: Option<bool>,
}

pub(crate) fn body(dialect: &Dialect, ask: &Ask) -> Result<Vec<u8>, UnsupportedPrompt> {
    let (text, input_ids) = match dialect.api.input(&ask.prompt)? {
        Input::Text(text) => (Some(text), None),
        Input::Tokens(ids) => (None, Some(ids)),
    };
    let length = dialect.length_of(ask);
    let least = length == LengthFields::IgnoreEosAndMinTokens;
    let sampling_params = Sampling {
        max_new_tokens: ask.output_tokens,
        min_new_tokens: ask.output_tokens.filter(|_| least),
        ignore_eos: (length != LengthFields::LimitOnly).then_some(true),
    };
    Ok(json(&Body { text, input_ids, sampling_params, stream: dialect.is_streamed() }))
}

pub(crate) fn read(event: &[u8]) -> Result<Event<'_>, DecodeFault> {
    let (mut text, mut finish, mut counts) = (None, None, Counts::default());
    let reading = object(event, |json, key| {
        match key {
            b"text" => text = json.string()?,
            b"meta_info" => meta(json, &mut counts, &mut finish)?,
            _ => json.skip()?,
        }
        Ok(())
    })?;
    let mut choice = Choice::said(ChunkKind::Answer, text);
    choice.finish = finish;
    reading.with(Facts { choice: text.map(|_| choice), counts, last: false })
}

fn meta(
    json: &mut Reader<'_>,
    counts: &mut Counts,
    finish: &mut Option<FinishReason>,
) -> Result<(), Malformed> {
    let _object = json.object(|json, key| {
        match key {
            b"prompt_tokens" => counts.prompt = json.count()?,
            b"completion_tokens" => counts.completion = json.count()?,
            b"cached_tokens" => counts.cached = json.count()?,
            b"finish_reason" => {
                let _reason = json.object(|json, key| {
                    match key {
                        b"type" => {
                            let word = json.string()?.map(RawString::decoded);
                            *finish = word.map(|word| match &*word {
                                b"abort" => FinishReason::Other(Excerpt::new("abort")),
                                word => finish_reason(word),
                            });
                        }
                        _ => json.skip()?,
                    }
                    Ok(())
                })?;
            }
            _ => json.skip()?,
        }
        Ok(())
    })?;
    Ok(())
}
