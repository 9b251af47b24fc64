//! Reading the body of a request.

use infermark_terms::{Message, Prompt};
use serde::Deserialize;

use crate::dialect::{Api, Delivery, UsageFields};
use crate::server::{Asked, Refusal, delivery, fields};

/// Reads the body of a request of this API.
///
/// # Errors
///
/// When it is no JSON object, lacks a prompt, or contradicts itself: status 400, as vLLM says it.
pub(crate) fn parse(api: Api, body: &[u8]) -> Result<Asked, Refusal> {
    let fields: Fields = fields(body)?;
    let prompt =
        if api == Api::Chat { conversation(fields.messages)? } else { input(fields.prompt)? };
    let max_tokens = fields.max_completion_tokens.or(fields.max_tokens);
    let min_tokens = fields.min_tokens.unwrap_or(0);
    if max_tokens == Some(0) {
        let message = "max_tokens must be at least 1, got 0.";
        return Err(Refusal::bad(Some("max_tokens"), message));
    }
    if let Some(max) = max_tokens.filter(|&max| max < min_tokens) {
        let message =
            format!("min_tokens must be less than or equal to max_tokens={max}, got {min_tokens}.");
        return Err(Refusal::bad(Some("min_tokens"), message));
    }
    if fields.n.is_some_and(|n| n != 1) {
        return Err(Refusal::bad(Some("n"), "only one choice is served."));
    }
    let streamed = fields.stream.unwrap_or(false);
    if fields.stream_options.is_some() && !streamed {
        let message = "Stream options can only be defined when `stream=True`.";
        return Err(Refusal::bad(Some("stream_options"), message));
    }
    Ok(Asked {
        model: fields.model,
        prompt,
        max_tokens,
        min_tokens,
        ignore_eos: fields.ignore_eos.unwrap_or(false),
        delivery: delivery(fields.stream, Delivery::Whole),
        usage: fields.stream_options.map_or(UsageFields::None, StreamOptions::usage),
        return_token_ids: fields.return_token_ids.unwrap_or(false),
        priority: fields.priority.unwrap_or(0),
    })
}

fn conversation(messages: Option<Vec<Turn>>) -> Result<Prompt, Refusal> {
    match messages {
        Some(turns) if !turns.is_empty() => {
            Ok(Prompt::Messages(turns.into_iter().map(Turn::message).collect()))
        }
        _ => Err(Refusal::bad(Some("messages"), "`messages` must hold at least one message.")),
    }
}

fn input(prompt: Option<Input>) -> Result<Prompt, Refusal> {
    let one = |count: usize| {
        let refusal = Refusal::bad(Some("prompt"), "only one prompt is served in a request.");
        if count == 1 { Ok(()) } else { Err(refusal) }
    };
    match prompt {
        Some(Input::Text(text)) => Ok(Prompt::Text(text)),
        Some(Input::Tokens(ids)) if !ids.is_empty() => Ok(Prompt::Tokens(ids)),
        Some(Input::Texts(mut texts)) => {
            one(texts.len())?;
            Ok(Prompt::Text(texts.remove(0)))
        }
        Some(Input::TokenLists(mut lists)) => {
            one(lists.len())?;
            Ok(Prompt::Tokens(lists.remove(0)))
        }
        Some(Input::Tokens(_)) | None => {
            Err(Refusal::bad(Some("prompt"), "`prompt` must be given and not be empty."))
        }
    }
}

#[derive(Deserialize)]
struct Fields {
    model: Option<String>,
    prompt: Option<Input>,
    messages: Option<Vec<Turn>>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    min_tokens: Option<u32>,
    ignore_eos: Option<bool>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    return_token_ids: Option<bool>,
    priority: Option<i64>,
    n: Option<u32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Tokens(Vec<u32>),
    Texts(Vec<String>),
    TokenLists(Vec<Vec<u32>>),
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
    continuous_usage_stats: Option<bool>,
}

impl StreamOptions {
    /// Continuous usage is sent only where usage is asked for at all.
    fn usage(self) -> UsageFields {
        match (self.include_usage, self.continuous_usage_stats) {
            (Some(true), Some(true)) => UsageFields::Continuous,
            (Some(true), _) => UsageFields::Final,
            _ => UsageFields::None,
        }
    }
}

#[derive(Deserialize)]
struct Turn {
    role: String,
    content: Option<Content>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// A part of a message; one without text (an image) counts as empty.
#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

impl Turn {
    fn message(self) -> Message {
        let content = match self.content {
            None => String::new(),
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => parts.into_iter().map(|part| part.text).collect(),
        };
        Message { role: self.role, content }
    }
}
