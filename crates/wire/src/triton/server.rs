//! Serving Triton's generate extension.

use infermark_terms::{FinishReason, Prompt, Usage};
use serde::Deserialize;
use serde_json::json as value;

use crate::dialect::{Api, Delivery, UsageFields};
use crate::openai::finish_word;
use crate::server::{Answer, Asked, End, Part, Refusal, Role, fields, frame, to_vec};

pub(crate) struct Triton;

#[derive(Deserialize)]
struct Fields {
    text_input: String,
    #[serde(default)]
    parameters: Sampling,
    #[serde(flatten)]
    sampling: Sampling,
    #[serde(default)]
    return_num_input_tokens: bool,
}

#[derive(Default, Deserialize)]
struct Sampling {
    max_tokens: Option<u32>,
    min_tokens: Option<u32>,
    min_length: Option<u32>,
    #[serde(default)]
    ignore_eos: bool,
}

impl Role for Triton {
    fn parse(&self, _api: Api, body: &[u8]) -> Result<Asked, Refusal> {
        let Fields { text_input, parameters, sampling, return_num_input_tokens } = fields(body)?;
        let counted = return_num_input_tokens;
        let usage = if counted { UsageFields::Continuous } else { UsageFields::None };
        let least = [parameters.min_tokens, sampling.min_tokens, sampling.min_length];
        let plain = Asked::plain(Prompt::Text(text_input), Delivery::Streamed, usage);
        Ok(Asked {
            max_tokens: parameters.max_tokens.or(sampling.max_tokens),
            min_tokens: least.into_iter().flatten().next().unwrap_or(0),
            ignore_eos: parameters.ignore_eos || sampling.ignore_eos,
            ..plain
        })
    }

    fn part(&self, answer: &mut Answer, out: &mut Vec<u8>, part: &Part<'_>) {
        let tokens = fresh(answer, part.usage);
        frame(answer.api, out, &event(answer, part.text, tokens, part.usage, None));
    }

    fn last(&self, answer: &mut Answer, out: &mut Vec<u8>, part: &Part<'_>, end: &End<'_>) {
        let tokens = fresh(answer, end.usage);
        frame(answer.api, out, &event(answer, part.text, tokens, end.usage, Some(end.finish)));
    }

    fn whole(&self, answer: &Answer, out: &mut Vec<u8>, text: &str, end: &End<'_>) {
        let tokens = end.usage.map_or(0, |usage| usage.completion_tokens);
        out.extend_from_slice(&event(answer, text, tokens, end.usage, Some(end.finish)));
    }

    fn refusal(&self, refusal: &Refusal) -> Vec<u8> {
        to_vec(&value!({ "error": refusal.message }))
    }
}

/// Returns how many tokens are told with this event: those that no event has told before.
fn fresh(answer: &mut Answer, usage: Option<Usage>) -> u32 {
    let total = usage.map_or(answer.number, |usage| usage.completion_tokens);
    total.saturating_sub(std::mem::replace(&mut answer.number, total))
}

fn event(
    answer: &Answer,
    text: &str,
    tokens: u32,
    usage: Option<Usage>,
    finish: Option<&FinishReason>,
) -> Vec<u8> {
    let model: serde_json::Value =
        serde_json::from_slice(&answer.model).expect("the name was written as JSON");
    let mut event = value!({ "model_name": model, "model_version": "1", "text_output": text });
    if let Some(usage) = usage {
        event["num_input_tokens"] = usage.prompt_tokens.into();
        event["num_output_tokens"] = tokens.into();
        event["finish_reason"] = finish.and_then(finish_word).unwrap_or("None").into();
    }
    to_vec(&event)
}
