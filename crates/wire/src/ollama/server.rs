//! Serving Ollama's API.

use infermark_terms::{FinishReason, Message, Prompt};
use serde::Deserialize;
use serde_json::{Value, json as value};

use crate::dialect::{Api, Delivery, UsageFields};
use crate::openai::finish_word;
use crate::server::{
    Answer, Asked, End, Part, Refusal, Role, delivery, fields, frame, rfc3339, to_vec,
};

pub(crate) struct Ollama;

#[derive(Deserialize)]
struct Fields {
    model: Option<String>,
    messages: Option<Vec<Message>>,
    prompt: Option<String>,
    stream: Option<bool>,
    #[serde(default)]
    options: Options,
}

#[derive(Default, Deserialize)]
struct Options {
    num_predict: Option<i64>,
}

impl Role for Ollama {
    fn parse(&self, api: Api, body: &[u8]) -> Result<Asked, Refusal> {
        let Fields { model, messages, prompt, stream, options } = fields(body)?;
        let prompt = match (api, messages, prompt) {
            (Api::Ollama, Some(messages), _) if !messages.is_empty() => Prompt::Messages(messages),
            (Api::OllamaGenerate, _, Some(prompt)) => Prompt::Text(prompt),
            _ => return Err(Refusal::bad(None, "a prompt must be given.")),
        };
        // Streamed unless told otherwise.
        let delivery = delivery(stream, Delivery::Streamed);
        Ok(Asked {
            model,
            max_tokens: options.num_predict.and_then(|n| u32::try_from(n).ok()),
            ..Asked::plain(prompt, delivery, UsageFields::Final)
        })
    }

    fn part(&self, answer: &mut Answer, out: &mut Vec<u8>, part: &Part<'_>) {
        frame(answer.api, out, &to_vec(&line(answer, part.text, None)));
    }

    /// The last text comes as any other; a line without text ends the answer.
    fn last(&self, answer: &mut Answer, out: &mut Vec<u8>, part: &Part<'_>, end: &End<'_>) {
        self.part(answer, out, part);
        frame(answer.api, out, &to_vec(&line(answer, "", Some(end))));
    }

    fn whole(&self, answer: &Answer, out: &mut Vec<u8>, text: &str, end: &End<'_>) {
        out.extend_from_slice(&to_vec(&line(answer, text, Some(end))));
    }

    fn refusal(&self, refusal: &Refusal) -> Vec<u8> {
        to_vec(&value!({ "error": refusal.message }))
    }
}

fn line(answer: &Answer, text: &str, end: Option<&End<'_>>) -> Value {
    let model: Value = serde_json::from_slice(&answer.model).expect("the name is JSON");
    let created = rfc3339(answer.created);
    let mut line = value!({ "model": model, "created_at": created, "done": end.is_some() });
    if answer.api == Api::Ollama {
        line["message"] = value!({ "role": "assistant", "content": text });
    } else {
        line["response"] = text.into();
    }
    let Some(end) = end else { return line };
    line["done_reason"] = finish_word(end.finish).or(finish_word(&FinishReason::Stop)).into();
    if let Some(usage) = end.usage {
        line["prompt_eval_count"] = usage.prompt_tokens.into();
        line["eval_count"] = usage.completion_tokens.into();
    }
    line
}
