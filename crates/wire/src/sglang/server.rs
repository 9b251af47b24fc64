//! Serving `SGLang`'s own API.

use infermark_terms::{FinishReason, Prompt, Usage};
use serde::Deserialize;
use serde_json::json as value;

use crate::dialect::{Api, Delivery, UsageFields};
use crate::openai::finish_word;
use crate::server::{Answer, Asked, End, Part, Refusal, Role, delivery, fields, frame, to_vec};

pub(crate) struct Sglang;

#[derive(Deserialize)]
struct Fields {
    text: Option<String>,
    input_ids: Option<Vec<u32>>,
    #[serde(default)]
    sampling_params: Sampling,
    stream: Option<bool>,
}

#[derive(Default, Deserialize)]
struct Sampling {
    max_new_tokens: Option<u32>,
    min_new_tokens: Option<u32>,
    #[serde(default)]
    ignore_eos: bool,
}

impl Role for Sglang {
    fn parse(&self, _api: Api, body: &[u8]) -> Result<Asked, Refusal> {
        let Fields { text, input_ids, sampling_params, stream } = fields(body)?;
        let prompt = match (text, input_ids) {
            (Some(text), None) => Prompt::Text(text),
            (None, Some(ids)) if !ids.is_empty() => Prompt::Tokens(ids),
            _ => {
                let message = "either `text` or `input_ids` must be given.";
                return Err(Refusal::bad(Some("text"), message));
            }
        };
        let delivery = delivery(stream, Delivery::Whole);
        Ok(Asked {
            // SGLang's own default.
            max_tokens: sampling_params.max_new_tokens.or(Some(128)),
            min_tokens: sampling_params.min_new_tokens.unwrap_or(0),
            ignore_eos: sampling_params.ignore_eos,
            ..Asked::plain(prompt, delivery, UsageFields::Continuous)
        })
    }

    fn part(&self, answer: &mut Answer, out: &mut Vec<u8>, part: &Part<'_>) {
        answer.said.push_str(part.text);
        frame(answer.api, out, &event(answer, &answer.said, part.usage, None));
    }

    fn last(&self, answer: &mut Answer, out: &mut Vec<u8>, part: &Part<'_>, end: &End<'_>) {
        answer.said.push_str(part.text);
        let event = event(answer, &answer.said, end.usage, Some(end.finish));
        frame(answer.api, out, &event);
        answer.done(out);
    }

    fn whole(&self, answer: &Answer, out: &mut Vec<u8>, text: &str, end: &End<'_>) {
        out.extend_from_slice(&event(answer, text, end.usage, Some(end.finish)));
    }

    fn refusal(&self, refusal: &Refusal) -> Vec<u8> {
        to_vec(&value!({ "error": { "message": refusal.message } }))
    }
}

fn event(
    answer: &Answer,
    text: &str,
    usage: Option<Usage>,
    finish: Option<&FinishReason>,
) -> Vec<u8> {
    let mut meta = value!({ "id": answer.id, "finish_reason": null });
    if let Some(word) = finish.and_then(finish_word) {
        meta["finish_reason"] = value!({ "type": word });
    }
    if let Some(usage) = usage {
        meta["prompt_tokens"] = usage.prompt_tokens.into();
        meta["completion_tokens"] = usage.completion_tokens.into();
        meta["cached_tokens"] = usage.cached_tokens.unwrap_or(0).into();
    }
    to_vec(&value!({ "text": text, "meta_info": meta }))
}
