//! Triton's generate extension: `/v2/models/<model>/generate_stream` and `/generate`, with the
//! fields of its vLLM backend or of `TensorRT-LLM`'s ensemble.
//!
//! ```text
//! data: {"model_name", "model_version", "text_output": " the",
//!        "finish_reason", "num_input_tokens", "num_output_tokens"}
//! ```
//!
//! `num_output_tokens` counts the tokens of its event. It, `num_input_tokens` and `finish_reason`
//! are asked for; backends that do not know them (vLLM's before 24.12) leave them out, and then
//! nothing tells the answer's end but the end of the body. An exact length is ordered by
//! `ignore_eos` and `min_tokens` from vLLM, by `min_tokens` and its older name `min_length` from
//! `TensorRT-LLM`.

use infermark_terms::{Ask, ChunkKind, DecodeFault};
use serde::Serialize;

use crate::dialect::{Api, Dialect, LengthFields, Taken, UnsupportedPrompt, json};
use crate::event::{Choice, Counts, Event, Facts, object};
use crate::json::RawString;
use crate::openai::finish_reason;

pub(crate) mod infer;
pub(crate) mod server;

#[derive(Serialize)]
struct Body<'a> {
    text_input: &'a str,
    stream: bool,
    #[serde(flatten)]
    told: Told,
    #[serde(flatten)]
    backend: Backend,
}

/// What is to be told beside the text.
#[derive(Serialize)]
struct Told {
    return_num_input_tokens: bool,
    return_num_output_tokens: bool,
    return_finish_reason: bool,
}

/// What differs between backends.
#[derive(Serialize)]
#[serde(untagged)]
enum Backend {
    Vllm {
        exclude_input_in_output: bool,
        parameters: Sampling,
    },
    Trtllm {
        #[serde(skip_serializing_if = "Option::is_none")]
        max_tokens: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        min_tokens: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        min_length: Option<u32>,
        bad_words: &'static str,
        stop_words: &'static str,
    },
}

/// Sampling parameters of vLLM.
#[derive(Debug, Serialize)]
pub(crate) struct Sampling {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_eos: Option<bool>,
}

impl Sampling {
    /// Returns the parameters that order this ask's length.
    pub(crate) fn of(dialect: &Dialect, ask: &Ask) -> Self {
        let length = dialect.length_of(ask);
        let least = length == LengthFields::IgnoreEosAndMinTokens;
        Self {
            max_tokens: ask.output_tokens,
            min_tokens: ask.output_tokens.filter(|_| least),
            ignore_eos: (length != LengthFields::LimitOnly).then_some(true),
        }
    }
}

pub(crate) fn body(dialect: &Dialect, ask: &Ask) -> Result<Vec<u8>, UnsupportedPrompt> {
    let text_input = dialect.api.text(&ask.prompt)?;
    let Sampling { max_tokens, min_tokens, ignore_eos } = Sampling::of(dialect, ask);
    let backend = if dialect.api == Api::Trtllm {
        let least = ask.output_tokens.filter(|_| ignore_eos.is_some());
        Backend::Trtllm {
            max_tokens,
            min_tokens: least,
            min_length: least,
            bad_words: "",
            stop_words: "",
        }
    } else {
        Backend::Vllm {
            exclude_input_in_output: true,
            parameters: Sampling { max_tokens, min_tokens, ignore_eos },
        }
    };
    Ok(json(&Body {
        text_input,
        stream: dialect.is_streamed(),
        told: Told {
            return_num_input_tokens: true,
            return_num_output_tokens: true,
            return_finish_reason: true,
        },
        backend,
    }))
}

pub(crate) fn read(event: &[u8]) -> Result<Event<'_>, DecodeFault> {
    let (mut text, mut finish, mut tokens, mut counts) = (None, None, None, Counts::default());
    let reading = object(event, |json, key| {
        match key {
            b"text_output" => text = json.string()?,
            b"finish_reason" => finish = json.string()?,
            b"num_output_tokens" => tokens = json.count()?,
            b"num_input_tokens" => counts.prompt = json.count()?,
            _ => json.skip()?,
        }
        Ok(())
    })?;
    let mut choice = Choice::said(ChunkKind::Answer, text);
    choice.tokens = tokens;
    // A tensor of strings has no null: "None" and "null" stand for it.
    let words = finish.map(RawString::decoded);
    let stated = words.filter(|word| !matches!(&**word, b"" | b"None" | b"null"));
    choice.finish = stated.map(|word| finish_reason(&word));
    reading.with(Facts { choice: text.map(|_| choice), counts, last: false })
}
