//! Serving OpenAI's Responses API.

use infermark_terms::{FinishReason, Message, Prompt, Usage};
use serde::Deserialize;
use serde_json::{Value, json as value};

use crate::dialect::{Api, Delivery, UsageFields};
use crate::server::{Answer, Asked, End, Part, Refusal, Role, delivery, fields, named, to_vec};

pub(crate) struct Responses;

#[derive(Deserialize)]
struct Fields {
    model: Option<String>,
    input: Input,
    max_output_tokens: Option<u32>,
    #[serde(default)]
    ignore_eos: bool,
    stream: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Turns(Vec<Message>),
}

impl Role for Responses {
    fn parse(&self, _api: Api, body: &[u8]) -> Result<Asked, Refusal> {
        let Fields { model, input, max_output_tokens, ignore_eos, stream } = fields(body)?;
        let prompt = match input {
            Input::Text(content) => {
                Prompt::Messages(vec![Message { role: "user".to_owned(), content }])
            }
            Input::Turns(turns) => Prompt::Messages(turns),
        };
        Ok(Asked {
            model,
            max_tokens: max_output_tokens,
            ignore_eos,
            ..Asked::plain(prompt, delivery(stream, Delivery::Whole), UsageFields::Final)
        })
    }

    fn opening(&self, answer: &mut Answer, out: &mut Vec<u8>, _usage: Option<Usage>) {
        let response = response(answer, None, None);
        event(answer, out, value!({ "type": "response.created", "response": response }));
        event(answer, out, value!({ "type": "response.in_progress", "response": response }));
        let item = value!({ "type": "message", "role": "assistant", "content": [] });
        event(
            answer,
            out,
            value!({ "type": "response.output_item.added", "output_index": 0, "item": item }),
        );
        let part = value!({ "type": "output_text", "text": "" });
        event(
            answer,
            out,
            value!({
                "type": "response.content_part.added", "output_index": 0, "content_index": 0,
                "part": part,
            }),
        );
    }

    fn part(&self, answer: &mut Answer, out: &mut Vec<u8>, part: &Part<'_>) {
        answer.said.push_str(part.text);
        let delta = value!({
            "type": "response.output_text.delta", "output_index": 0, "content_index": 0,
            "delta": part.text,
        });
        event(answer, out, delta);
    }

    fn last(&self, answer: &mut Answer, out: &mut Vec<u8>, part: &Part<'_>, end: &End<'_>) {
        self.part(answer, out, part);
        let text = std::mem::take(&mut answer.said);
        let done = value!({
            "type": "response.output_text.done", "output_index": 0, "content_index": 0,
            "text": text,
        });
        event(answer, out, done);
        let response = response(answer, Some(&text), Some(end));
        let name = format!("response.{}", status(Some(end)));
        event(answer, out, value!({ "type": name, "response": response }));
    }

    fn whole(&self, answer: &Answer, out: &mut Vec<u8>, text: &str, end: &End<'_>) {
        out.extend_from_slice(&to_vec(&response(answer, Some(text), Some(end))));
    }

    fn fault(&self, _api: Api, out: &mut Vec<u8>, fault: &Refusal) {
        let Refusal { message, status, .. } = fault;
        let event = value!({ "type": "error", "code": status.to_string(), "message": message });
        named(out, "error", &to_vec(&event));
    }
}

fn status(end: Option<&End<'_>>) -> &'static str {
    match end {
        None => "in_progress",
        Some(End { finish: FinishReason::Length, .. }) => "incomplete",
        Some(_) => "completed",
    }
}

/// Returns the response as it stands, or as it ended.
fn response(answer: &Answer, text: Option<&str>, end: Option<&End<'_>>) -> Value {
    let model: Value = serde_json::from_slice(&answer.model).expect("the name is JSON");
    let part = |text| value!({ "type": "output_text", "text": text, "annotations": [] });
    let item = |text| value!({ "type": "message", "role": "assistant", "content": [part(text)] });
    let status = status(end);
    let reason = (status == "incomplete").then(|| value!({ "reason": "max_output_tokens" }));
    let usage = end.and_then(|end| end.usage).map(|usage| {
        value!({
            "input_tokens": usage.prompt_tokens,
            "input_tokens_details": { "cached_tokens": usage.cached_tokens.unwrap_or(0) },
            "output_tokens": usage.completion_tokens,
            "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": u64::from(usage.prompt_tokens) + u64::from(usage.completion_tokens),
        })
    });
    value!({
        "id": answer.id, "object": "response", "created_at": answer.created, "model": model,
        "status": status, "incomplete_details": reason, "error": null,
        "output": text.map(item).into_iter().collect::<Vec<_>>(), "usage": usage,
    })
}

/// Appends an event that is named as its type says, with its number.
fn event(answer: &mut Answer, out: &mut Vec<u8>, mut event: Value) {
    event["sequence_number"] = answer.number.into();
    answer.number += 1;
    let name = event["type"].as_str().expect("every event has a type").to_owned();
    named(out, &name, &to_vec(&event));
}
