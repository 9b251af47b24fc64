//! Serving TGI's API.

use serde::Deserialize;
use serde_json::json as value;

use infermark_terms::{FinishReason, Prompt};

use crate::dialect::{Api, Delivery, UsageFields};
use crate::server::{Answer, Asked, End, Part, Refusal, Role, fields, frame, to_vec};

pub(crate) struct Tgi;

#[derive(Deserialize)]
struct Fields {
    inputs: String,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Default, Deserialize)]
struct Parameters {
    max_new_tokens: Option<u32>,
}

/// Says whether a body sent to `/generate` has TGI's shape.
pub(crate) fn is_asked(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Shape {
        inputs: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_slice::<Shape>(body).is_ok_and(|shape| shape.inputs.is_some())
}

impl Role for Tgi {
    fn parse(&self, _api: Api, body: &[u8]) -> Result<Asked, Refusal> {
        let Fields { inputs, parameters } = fields(body)?;
        let plain = Asked::plain(Prompt::Text(inputs), Delivery::Streamed, UsageFields::Final);
        Ok(Asked { max_tokens: parameters.max_new_tokens, ..plain })
    }

    fn part(&self, answer: &mut Answer, out: &mut Vec<u8>, part: &Part<'_>) {
        tokens(answer, out, part, None);
    }

    fn last(&self, answer: &mut Answer, out: &mut Vec<u8>, part: &Part<'_>, end: &End<'_>) {
        tokens(answer, out, part, Some(end));
    }

    fn whole(&self, _answer: &Answer, out: &mut Vec<u8>, text: &str, end: &End<'_>) {
        let body = value!({ "generated_text": text, "details": details(end) });
        out.extend_from_slice(&to_vec(&body));
    }

    fn refusal(&self, refusal: &Refusal) -> Vec<u8> {
        let kind = match refusal.status {
            429 | 503 => "overloaded",
            500.. => "generation",
            _ => "validation",
        };
        to_vec(&value!({ "error": refusal.message, "error_type": kind }))
    }
}

/// Writes one event for each token; the last tells the whole text and the details.
fn tokens(answer: &mut Answer, out: &mut Vec<u8>, part: &Part<'_>, end: Option<&End<'_>>) {
    let mut start = 0;
    for (place, (&stop, &id)) in part.ends.iter().zip(part.ids).enumerate() {
        let text = &part.text[start..stop];
        start = stop;
        answer.said.push_str(text);
        answer.number += 1;
        let end = end.filter(|_| place + 1 == part.ends.len());
        let event = value!({
            "index": answer.number,
            "token": { "id": id, "text": text, "logprob": -0.5, "special": false },
            "generated_text": end.map(|_| answer.said.as_str()),
            "details": end.map(details),
        });
        frame(answer.api, out, &to_vec(&event));
    }
}

fn details(end: &End<'_>) -> serde_json::Value {
    let reason = if *end.finish == FinishReason::Length { "length" } else { "eos_token" };
    let mut details = value!({ "finish_reason": reason, "seed": null, "prefill": [] });
    if let Some(usage) = end.usage {
        details["generated_tokens"] = usage.completion_tokens.into();
        details["input_length"] = usage.prompt_tokens.into();
    }
    details
}
