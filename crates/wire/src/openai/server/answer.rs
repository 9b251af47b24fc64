//! Writing answers.

use std::io::Write as _;

use infermark_terms::{FinishReason, Usage};

use super::Refusal;
use crate::openai::{Api, finish_word};

/// Writes one answer, streamed or whole. Everything is appended to the caller's buffer; the
/// events are complete server-sent events.
///
/// A streamed answer is, in this order: [`Answer::role`] (chats only), [`Answer::text`] for each
/// step, the last with its finish reason, [`Answer::usage`] if asked for, [`Answer::done`].
#[derive(Clone, Debug)]
pub struct Answer {
    api: Api,
    id: String,
    /// The model's name as a JSON string.
    model: Vec<u8>,
    created: u64,
}

impl Answer {
    /// Begins an answer. `id` is the request's, `created` in seconds since 1970.
    ///
    /// # Panics
    ///
    /// Never: strings always serialize.
    pub fn new(api: Api, id: u64, model: &str, created: u64) -> Self {
        let prefix = match api {
            Api::Chat => "chatcmpl",
            Api::Completions => "cmpl",
        };
        let model = serde_json::to_vec(model).expect("strings always serialize");
        Self { api, id: format!("{prefix}-{id:032x}"), model, created }
    }

    /// Appends the event with which a chat begins, and nothing for completions. `usage` where it
    /// is asked for on every event.
    pub fn role(&self, out: &mut Vec<u8>, usage: Option<Usage>) {
        if self.api == Api::Chat {
            self.event_head(out);
            out.extend_from_slice(
                br#"{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"#,
            );
            out.extend_from_slice(br#""finish_reason":null}],"prompt_token_ids":null"#);
            event_tail(out, usage);
        }
    }

    /// Appends an event with generated text, which may be empty. `token_ids` where they are asked
    /// for, `finish` on the last one, `usage` where it is asked for on every event.
    pub fn text(
        &self,
        out: &mut Vec<u8>,
        text: &str,
        token_ids: Option<&[u32]>,
        finish: Option<&FinishReason>,
        usage: Option<Usage>,
    ) {
        self.event_head(out);
        match self.api {
            Api::Chat => {
                out.extend_from_slice(br#"{"index":0,"delta":{"content":"#);
                json(out, text);
                out.extend_from_slice(br#"},"logprobs":null,"finish_reason":"#);
            }
            Api::Completions => {
                out.extend_from_slice(br#"{"index":0,"text":"#);
                json(out, text);
                out.extend_from_slice(br#","logprobs":null,"finish_reason":"#);
            }
        }
        json(out, finish.and_then(finish_word));
        out.extend_from_slice(match (self.api, finish) {
            (Api::Chat, None) => br#","token_ids":"#.as_slice(),
            (Api::Chat, Some(_)) => br#","stop_reason":null,"token_ids":"#,
            (Api::Completions, _) => br#","stop_reason":null,"prompt_token_ids":null,"token_ids":"#,
        });
        json(out, token_ids);
        out.extend_from_slice(b"}]");
        event_tail(out, usage);
    }

    /// Appends the event that carries nothing but usage.
    pub fn usage(&self, out: &mut Vec<u8>, usage: Usage) {
        self.event_head(out);
        out.extend_from_slice(b"]");
        event_tail(out, Some(usage));
    }

    /// Appends the end of a stream.
    pub fn done(out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    /// Appends an event that reports a fault in a stream that has begun.
    pub fn fault(out: &mut Vec<u8>, fault: &Refusal) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&fault.body());
        out.extend_from_slice(b"\n\n");
    }

    /// Appends the body of an answer that is not streamed.
    pub fn whole(&self, out: &mut Vec<u8>, text: &str, finish: &FinishReason, usage: Usage) {
        match self.api {
            Api::Chat => {
                self.head(out, "chat.completion");
                out.extend_from_slice(br#"{"index":0,"message":{"role":"assistant","content":"#);
                json(out, text);
                out.extend_from_slice(br#"},"logprobs":null,"finish_reason":"#);
            }
            Api::Completions => {
                self.head(out, "text_completion");
                out.extend_from_slice(br#"{"index":0,"text":"#);
                json(out, text);
                out.extend_from_slice(br#","logprobs":null,"finish_reason":"#);
            }
        }
        json(out, finish_word(finish));
        out.extend_from_slice(br#","stop_reason":null,"token_ids":null}],"#);
        write_usage(out, usage);
        out.extend_from_slice(b"}");
    }

    fn event_head(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        self.head(
            out,
            match self.api {
                Api::Chat => "chat.completion.chunk",
                Api::Completions => "text_completion",
            },
        );
    }

    /// Writes what every answer begins with, up to its list of choices.
    fn head(&self, out: &mut Vec<u8>, object: &str) {
        let Self { id, created, .. } = self;
        write!(out, r#"{{"id":"{id}","object":"{object}","created":{created},"model":"#)
            .expect("writing to memory does not fail");
        out.extend_from_slice(&self.model);
        out.extend_from_slice(br#","choices":["#);
    }
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

fn json(out: &mut Vec<u8>, value: impl serde::Serialize) {
    serde_json::to_writer(out, &value).expect("strings and numbers always serialize");
}
