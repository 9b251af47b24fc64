//! Serving llama.cpp's own API.

use infermark_terms::{FinishReason, Prompt, Usage};
use serde::Deserialize;
use serde_json::json as value;

use crate::dialect::{Api, Delivery, UsageFields};
use crate::server::{Answer, Asked, End, Part, Refusal, Role, delivery, fields, frame, to_vec};

pub(crate) struct LlamaCpp;

#[derive(Deserialize)]
struct Fields {
    prompt: Input,
    n_predict: Option<i64>,
    #[serde(default)]
    ignore_eos: bool,
    stream: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Tokens(Vec<u32>),
}

impl Role for LlamaCpp {
    fn parse(&self, _api: Api, body: &[u8]) -> Result<Asked, Refusal> {
        let Fields { prompt, n_predict, ignore_eos, stream } = fields(body)?;
        let prompt = match prompt {
            Input::Text(text) => Prompt::Text(text),
            Input::Tokens(ids) => Prompt::Tokens(ids),
        };
        let delivery = delivery(stream, Delivery::Whole);
        Ok(Asked {
            // A negative number means no limit.
            max_tokens: n_predict.and_then(|n| u32::try_from(n).ok()),
            ignore_eos,
            ..Asked::plain(prompt, delivery, UsageFields::Continuous)
        })
    }

    fn part(&self, answer: &mut Answer, out: &mut Vec<u8>, part: &Part<'_>) {
        let mut event = value!({ "index": 0, "content": part.text, "tokens": [], "stop": false });
        count(&mut event, part.usage);
        frame(answer.api, out, &to_vec(&event));
    }

    /// The last text comes as any other; an event without text ends the answer.
    fn last(&self, answer: &mut Answer, out: &mut Vec<u8>, part: &Part<'_>, end: &End<'_>) {
        self.part(answer, out, part);
        frame(answer.api, out, &to_vec(&stopped(answer, "", end)));
    }

    fn whole(&self, answer: &Answer, out: &mut Vec<u8>, text: &str, end: &End<'_>) {
        out.extend_from_slice(&to_vec(&stopped(answer, text, end)));
    }

    fn refusal(&self, refusal: &Refusal) -> Vec<u8> {
        let kind = if refusal.status < 500 { "invalid_request_error" } else { "server_error" };
        let Refusal { status, message, .. } = refusal;
        to_vec(&value!({ "error": { "code": status, "message": message, "type": kind } }))
    }
}

fn stopped(answer: &Answer, text: &str, end: &End<'_>) -> serde_json::Value {
    let kind = if *end.finish == FinishReason::Length { "limit" } else { "eos" };
    let model: serde_json::Value =
        serde_json::from_slice(&answer.model).expect("the name was written as JSON");
    let mut event = value!({
        "index": 0, "content": text, "tokens": [], "id_slot": 0, "stop": true, "model": model,
        "truncated": false, "stop_type": kind, "stopping_word": "",
    });
    count(&mut event, end.usage);
    if let Some(usage) = end.usage {
        event["timings"] = value!({ "cache_n": usage.cached_tokens.unwrap_or(0) });
    }
    event
}

fn count(event: &mut serde_json::Value, usage: Option<Usage>) {
    if let Some(usage) = usage {
        event["tokens_predicted"] = usage.completion_tokens.into();
        event["tokens_evaluated"] = usage.prompt_tokens.into();
    }
}
