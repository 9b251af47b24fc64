//! The OpenAI dialect: `chat/completions` and `completions`, as vLLM and its peers speak it.
//!
//! This file writes requests. `event` reads what comes back, `fault` what a server says when it
//! fails, and [`server`] is the other role.
//!
//! Not here: framing ([`crate::http1`], [`crate::sse`]), the course of a response
//! ([`crate::exchange`]).

use infermark_terms::{Ask, FinishReason, Message, OutputPolicy, Prompt};
use serde::Serialize;

pub(crate) mod event;
pub(crate) mod fault;
pub mod server;

pub use event::RawText;

/// Which API is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
}

impl Api {
    /// Returns the path under the server's base URL.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
        }
    }
}

/// Whether answers are streamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Server-sent events, chunk by chunk.
    Streamed,
    /// One body at the end.
    Whole,
}

/// Which fields order an exact output length, beside `max_tokens`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthFields {
    /// `ignore_eos` and `min_tokens` (vLLM, `SGLang`).
    IgnoreEosAndMinTokens,
    /// `ignore_eos` (`llama.cpp`, `TensorRT-LLM`).
    IgnoreEos,
    /// None: servers that refuse fields beyond OpenAI's own.
    LimitOnly,
}

/// Which usage a streamed answer is asked to carry. A whole one carries it unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageFields {
    /// None.
    None,
    /// On an event at the end (`stream_options.include_usage`).
    Final,
    /// On every event (`stream_options.continuous_usage_stats`).
    Continuous,
}

/// How to put an ask to one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Which API.
    pub api: Api,
    /// Whether answers are streamed.
    pub delivery: Delivery,
    /// The model's name, as the server lists it.
    pub model: String,
    /// How an exact output length is ordered.
    pub length: LengthFields,
    /// What usage is asked for.
    pub usage: UsageFields,
}

/// A prompt in a form that the API does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedPrompt {
    /// Token ids for `chat/completions`.
    #[error("`chat/completions` takes no token ids as a prompt")]
    TokensInChat,
    /// A conversation for `completions`.
    #[error("`completions` takes no conversation as a prompt")]
    MessagesInCompletions,
}

impl Dialect {
    /// Returns the path to post to, under the server's base URL.
    pub fn path(&self) -> &'static str {
        self.api.path()
    }

    /// Returns the request's body. Sampling is left to the server's defaults.
    ///
    /// # Errors
    ///
    /// When the API does not take prompts of this form.
    ///
    /// # Panics
    ///
    /// Never: strings and numbers always serialize.
    pub fn body(&self, ask: &Ask) -> Result<Vec<u8>, UnsupportedPrompt> {
        let (messages, prompt) = match (self.api, &ask.prompt) {
            (Api::Chat, Prompt::Text(text)) => {
                (Some(vec![Turn { role: "user", content: text }]), None)
            }
            (Api::Chat, Prompt::Messages(all)) => {
                (Some(all.iter().map(Turn::from).collect()), None)
            }
            (Api::Completions, Prompt::Text(text)) => (None, Some(Input::Text(text))),
            (Api::Completions, Prompt::Tokens(ids)) => (None, Some(Input::Tokens(ids))),
            (Api::Chat, Prompt::Tokens(_)) => return Err(UnsupportedPrompt::TokensInChat),
            (Api::Completions, Prompt::Messages(_)) => {
                return Err(UnsupportedPrompt::MessagesInCompletions);
            }
        };
        let exact = ask.output_policy == OutputPolicy::Exact && ask.output_tokens.is_some();
        let length = if exact { self.length } else { LengthFields::LimitOnly };
        let streamed = self.delivery == Delivery::Streamed;
        let stream_options =
            (streamed && self.usage != UsageFields::None).then_some(StreamOptions {
                include_usage: true,
                continuous_usage_stats: (self.usage == UsageFields::Continuous).then_some(true),
            });
        let body = Body {
            model: &self.model,
            messages,
            prompt,
            max_tokens: ask.output_tokens,
            min_tokens: ask.output_tokens.filter(|_| length == LengthFields::IgnoreEosAndMinTokens),
            ignore_eos: (length != LengthFields::LimitOnly).then_some(true),
            stream: streamed,
            stream_options,
        };
        Ok(serde_json::to_vec(&body).expect("strings and numbers always serialize"))
    }
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
struct Turn<'a> {
    role: &'a str,
    content: &'a str,
}

impl<'a> From<&'a Message> for Turn<'a> {
    fn from(message: &'a Message) -> Self {
        Self { role: &message.role, content: &message.content }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Input<'a> {
    Text(&'a str),
    Tokens(&'a [u32]),
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    continuous_usage_stats: Option<bool>,
}

/// Returns what a server that failed said: the message of its JSON error, in the shapes that
/// servers use, else the beginning of the body.
pub fn stated(body: &[u8]) -> infermark_terms::Excerpt {
    fault::message(body)
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
