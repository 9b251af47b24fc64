//! Serving OpenAI's two older APIs, in the shapes of vLLM 0.32.

use std::io::Write as _;

use infermark_terms::{FinishReason, Usage};

use super::{asked, finish_word};
use crate::dialect::Api;
use crate::server::{Answer, Asked, End, Part, Refusal, Role, json};

pub(crate) struct OpenAi;

impl Role for OpenAi {
    fn parse(&self, api: Api, body: &[u8]) -> Result<Asked, Refusal> {
        asked::parse(api, body)
    }

    /// A chat begins with an event that names a role.
    fn opening(&self, answer: &mut Answer, out: &mut Vec<u8>, usage: Option<Usage>) {
        if answer.api == Api::Chat {
            event_head(answer, out);
            out.extend_from_slice(
                br#"{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"#,
            );
            out.extend_from_slice(br#""finish_reason":null}],"prompt_token_ids":null"#);
            event_tail(out, usage);
        }
    }

    fn part(&self, answer: &mut Answer, out: &mut Vec<u8>, part: &Part<'_>) {
        text(answer, out, part, None);
    }

    fn last(&self, answer: &mut Answer, out: &mut Vec<u8>, part: &Part<'_>, end: &End<'_>) {
        text(answer, out, part, Some(end.finish));
        if let Some(usage) = end.usage {
            event_head(answer, out);
            out.extend_from_slice(b"]");
            event_tail(out, Some(usage));
        }
        answer.done(out);
    }

    fn whole(&self, answer: &Answer, out: &mut Vec<u8>, text: &str, end: &End<'_>) {
        if answer.api == Api::Chat {
            head(answer, out, "chat.completion");
            out.extend_from_slice(br#"{"index":0,"message":{"role":"assistant","content":"#);
            json(out, text);
            out.extend_from_slice(br#"},"logprobs":null,"finish_reason":"#);
        } else {
            head(answer, out, "text_completion");
            out.extend_from_slice(br#"{"index":0,"text":"#);
            json(out, text);
            out.extend_from_slice(br#","logprobs":null,"finish_reason":"#);
        }
        json(out, finish_word(end.finish));
        out.extend_from_slice(br#","stop_reason":null,"token_ids":null}]"#);
        if let Some(usage) = end.usage {
            out.extend_from_slice(b",");
            write_usage(out, usage);
        }
        out.extend_from_slice(b"}");
    }
}

/// Appends an event with generated text.
fn text(answer: &Answer, out: &mut Vec<u8>, part: &Part<'_>, finish: Option<&FinishReason>) {
    let chat = answer.api == Api::Chat;
    event_head(answer, out);
    let before: &[u8] =
        if chat { br#"{"index":0,"delta":{"content":"# } else { br#"{"index":0,"text":"# };
    out.extend_from_slice(before);
    json(out, part.text);
    out.extend_from_slice(if chat { b"}" } else { b"" });
    out.extend_from_slice(br#","logprobs":null,"finish_reason":"#);
    json(out, finish.and_then(finish_word));
    out.extend_from_slice(match (chat, finish) {
        (true, None) => br#","token_ids":"#.as_slice(),
        (true, Some(_)) => br#","stop_reason":null,"token_ids":"#,
        (false, _) => br#","stop_reason":null,"prompt_token_ids":null,"token_ids":"#,
    });
    json(out, answer.token_ids.then_some(part.ids));
    out.extend_from_slice(b"}]");
    event_tail(out, part.usage);
}

fn event_head(answer: &Answer, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    let chat = answer.api == Api::Chat;
    head(answer, out, if chat { "chat.completion.chunk" } else { "text_completion" });
}

/// Writes what every answer begins with, up to its list of choices.
fn head(answer: &Answer, out: &mut Vec<u8>, object: &str) {
    let Answer { id, created, model, .. } = answer;
    write!(out, r#"{{"id":"{id}","object":"{object}","created":{created},"model":"#)
        .expect("writing to memory does not fail");
    out.extend_from_slice(model);
    out.extend_from_slice(br#","choices":["#);
}

fn event_tail(out: &mut Vec<u8>, usage: Option<Usage>) {
    if let Some(usage) = usage {
        out.extend_from_slice(b",");
        write_usage(out, usage);
    }
    out.extend_from_slice(b"}\n\n");
}

fn write_usage(out: &mut Vec<u8>, usage: Usage) {
    let Usage { prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens } = usage;
    let total = u64::from(prompt_tokens) + u64::from(completion_tokens);
    write!(out, r#""usage":{{"prompt_tokens":{prompt_tokens},"total_tokens":{total},"#)
        .and_then(|()| write!(out, r#""completion_tokens":{completion_tokens}"#))
        .expect("writing to memory does not fail");
    let details = [
        ("prompt_tokens_details", "cached_tokens", cached_tokens),
        ("completion_tokens_details", "reasoning_tokens", reasoning_tokens),
    ];
    for (object, key, count) in details {
        if let Some(count) = count {
            write!(out, r#","{object}":{{"{key}":{count}}}"#)
                .expect("writing to memory does not fail");
        }
    }
    out.extend_from_slice(b"}");
}
