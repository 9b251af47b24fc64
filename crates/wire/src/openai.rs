//! The OpenAI dialect: `chat/completions` and `completions`, as vLLM and its peers speak it.
//!
//! This file writes requests, `event` reads what comes back, `asked` and `server` are the other
//! role.
//!
//! Not here: framing ([`crate::http1`], [`crate::sse`]), the course of a response
//! ([`crate::exchange`]).

use infermark_terms::{Ask, FinishReason};
use serde::Serialize;

use crate::dialect::{
    Api, Dialect, Input, LengthFields, Taken, Turn, UnsupportedPrompt, UsageFields, json,
};

mod asked;
pub(crate) mod event;
pub(crate) mod server;

/// Which of OpenAI's two older APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
}

pub(crate) fn body(dialect: &Dialect, ask: &Ask) -> Result<Vec<u8>, UnsupportedPrompt> {
    let (messages, prompt) = if dialect.api == Api::Chat {
        (Some(dialect.api.turns(&ask.prompt)?), None)
    } else {
        (None, Some(dialect.api.input(&ask.prompt)?))
    };
    let length = dialect.length_of(ask);
    let streamed = dialect.is_streamed();
    let stream_options =
        (streamed && dialect.usage != UsageFields::None).then_some(StreamOptions {
            include_usage: true,
            continuous_usage_stats: (dialect.usage == UsageFields::Continuous).then_some(true),
        });
    Ok(json(&Body {
        model: &dialect.model,
        messages,
        prompt,
        max_tokens: ask.output_tokens,
        min_tokens: ask.output_tokens.filter(|_| length == LengthFields::IgnoreEosAndMinTokens),
        ignore_eos: (length != LengthFields::LimitOnly).then_some(true),
        stream: streamed,
        stream_options,
    }))
}

/// The body of a request.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Turn<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<Input<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_eos: Option<bool>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    continuous_usage_stats: Option<bool>,
}

/// Reads a `finish_reason`.
pub(crate) fn finish_reason(word: &[u8]) -> FinishReason {
    match word {
        b"stop" => FinishReason::Stop,
        b"length" => FinishReason::Length,
        b"tool_calls" | b"function_call" => FinishReason::ToolCalls,
        b"content_filter" => FinishReason::ContentFilter,
        other => FinishReason::Other(infermark_terms::Excerpt::from_bytes(other)),
    }
}

/// Writes a `finish_reason`; nothing stands for `null`.
pub(crate) fn finish_word(reason: &FinishReason) -> Option<&str> {
    match reason {
        FinishReason::Stop => Some("stop"),
        FinishReason::Length => Some("length"),
        FinishReason::ToolCalls => Some("tool_calls"),
        FinishReason::ContentFilter => Some("content_filter"),
        FinishReason::Other(word) => Some(word.as_str()),
        FinishReason::Unstated => None,
    }
}

#[cfg(test)]
mod tests;
