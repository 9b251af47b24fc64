//! Serving Anthropic's Messages API.

use infermark_terms::{FinishReason, Message, Prompt, Usage};
use serde::Deserialize;
use serde_json::{Value, json as value};

use crate::dialect::{Api, Delivery, UsageFields};
use crate::server::{Answer, Asked, End, Part, Refusal, Role, delivery, fields, named, to_vec};

pub(crate) struct Anthropic;

#[derive(Deserialize)]
struct Fields {
    model: String,
    max_tokens: u32,
    system: Option<Content>,
    messages: Vec<Turn>,
    stream: Option<bool>,
}

#[derive(Deserialize)]
struct Turn {
    role: String,
    content: Content,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Blocks(Vec<Block>),
}

#[derive(Deserialize)]
struct Block {
    #[serde(default)]
    text: String,
}

impl Content {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Blocks(blocks) => blocks.into_iter().map(|block| block.text).collect(),
        }
    }
}

impl Role for Anthropic {
    fn parse(&self, _api: Api, body: &[u8]) -> Result<Asked, Refusal> {
        let Fields { model, max_tokens, system, messages, stream } = fields(body)?;
        let system =
            system.map(|content| Message { role: "system".to_owned(), content: content.text() });
        let turns = messages
            .into_iter()
            .map(|turn| Message { role: turn.role, content: turn.content.text() });
        let turns: Vec<_> = system.into_iter().chain(turns).collect();
        let delivery = delivery(stream, Delivery::Whole);
        Ok(Asked {
            model: Some(model),
            max_tokens: Some(max_tokens),
            ..Asked::plain(Prompt::Messages(turns), delivery, UsageFields::Final)
        })
    }

    fn opening(&self, answer: &mut Answer, out: &mut Vec<u8>, _usage: Option<Usage>) {
        let mut message = message(answer, &value!([]));
        message["stop_reason"] = Value::Null;
        event(out, &value!({ "type": "message_start", "message": message }));
        let block = value!({ "type": "text", "text": "" });
        event(out, &value!({ "type": "content_block_start", "index": 0, "content_block": block }));
    }

    fn part(&self, _answer: &mut Answer, out: &mut Vec<u8>, part: &Part<'_>) {
        let delta = value!({ "type": "text_delta", "text": part.text });
        event(out, &value!({ "type": "content_block_delta", "index": 0, "delta": delta }));
    }

    fn last(&self, answer: &mut Answer, out: &mut Vec<u8>, part: &Part<'_>, end: &End<'_>) {
        self.part(answer, out, part);
        event(out, &value!({ "type": "content_block_stop", "index": 0 }));
        let delta = value!({ "stop_reason": stop_reason(end.finish), "stop_sequence": null });
        let mut told = value!({ "type": "message_delta", "delta": delta });
        if let Some(usage) = end.usage {
            told["usage"] = stated(usage);
        }
        event(out, &told);
        event(out, &value!({ "type": "message_stop" }));
    }

    fn whole(&self, answer: &Answer, out: &mut Vec<u8>, text: &str, end: &End<'_>) {
        let mut body = message(answer, &value!([{ "type": "text", "text": text }]));
        body["stop_reason"] = stop_reason(end.finish).into();
        if let Some(usage) = end.usage {
            body["usage"] = stated(usage);
        }
        out.extend_from_slice(&to_vec(&body));
    }

    fn refusal(&self, refusal: &Refusal) -> Vec<u8> {
        let kind = match refusal.status {
            404 => "not_found_error",
            429 => "rate_limit_error",
            503 => "overloaded_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        };
        to_vec(&value!({
            "type": "error",
            "error": { "type": kind, "message": refusal.message },
        }))
    }

    fn fault(&self, _api: Api, out: &mut Vec<u8>, fault: &Refusal) {
        named(out, "error", &self.refusal(fault));
    }
}

fn message(answer: &Answer, content: &Value) -> Value {
    let model: Value = serde_json::from_slice(&answer.model).expect("the name is JSON");
    value!({
        "id": answer.id, "type": "message", "role": "assistant", "content": content,
        "model": model, "stop_sequence": null,
    })
}

/// Input counts leave out what the cache gave.
fn stated(usage: Usage) -> Value {
    let cached = usage.cached_tokens.unwrap_or(0);
    value!({
        "input_tokens": usage.prompt_tokens.saturating_sub(cached),
        "cache_read_input_tokens": cached,
        "output_tokens": usage.completion_tokens,
    })
}

fn stop_reason(finish: &FinishReason) -> &'static str {
    if *finish == FinishReason::Length { "max_tokens" } else { "end_turn" }
}

/// Appends an event that is named as its type says.
fn event(out: &mut Vec<u8>, event: &Value) {
    let name = event["type"].as_str().expect("every event has a type");
    named(out, name, &to_vec(event));
}
