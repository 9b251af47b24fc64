//! What one event, or one whole answer, says.
//!
//! ```text
//! { "choices": [{ "index", "finish_reason", "token_ids": […],
//!                 "logprobs": { "content": […] | "tokens": […] },
//!                 "text" | "delta" | "message": {
//!                   "role", "content", "refusal", "reasoning" | "reasoning_content",
//!                   "tool_calls": [{ "function": { "arguments" } }] } }],
//!   "usage": { "prompt_tokens", "completion_tokens",
//!              "prompt_tokens_details": { "cached_tokens" },
//!              "completion_tokens_details": { "reasoning_tokens" } },
//!   "error", "object" }
//! ```
//!
//! Only these keys are looked at, in any order; everything else is skipped. `null` stands for
//! absence everywhere. Only choice 0 counts, since one is asked for. Nothing is copied.

use infermark_terms::{ChunkKind, DecodeFault, Usage};

use super::Shape;
use crate::event::{self, Counts, RawText};
use crate::json::{Malformed, RawString, Reader};

/// What an event or a whole answer says.
#[derive(Clone, Debug)]
pub(crate) struct Facts<'a> {
    /// It reports an error.
    pub(crate) failed: bool,
    /// It has a list of choices, be it empty.
    pub(crate) has_choices: bool,
    /// Choice 0.
    pub(crate) choice: Option<Choice<'a>>,
    /// Its usage.
    pub(crate) usage: Option<Usage>,
}

/// What choice 0 says.
#[derive(Clone, Debug)]
pub(crate) struct Choice<'a> {
    /// It names a role.
    pub(crate) role: bool,
    /// What its output is. An event with several kinds is of the one that comes first in
    /// [`ChunkKind`]. Nothing: it carries no output.
    pub(crate) kind: Option<ChunkKind>,
    /// Its output.
    pub(crate) text: RawText<'a>,
    /// How many tokens it carries, from token ids, else from log-probabilities.
    pub(crate) tokens: Option<u32>,
    /// Its finish reason.
    pub(crate) finish: Option<RawString<'a>>,
}

/// Appends the output of a choice that was read before. It is read a second time: only a run that
/// counts tokens itself needs the text.
fn write_choice(shape: Shape, choice: &[u8], out: &mut Vec<u8>) {
    let mut walk = Walk::new(shape, Some(out));
    walk.choice(&mut Reader::trusted(choice)).expect("the choice was read before");
}

/// Returns how the output of a choice is read.
fn writer(shape: Shape) -> fn(&[u8], &mut Vec<u8>) {
    match shape {
        Shape::Chat => |choice, out| write_choice(Shape::Chat, choice, out),
        Shape::Completions => |choice, out| write_choice(Shape::Completions, choice, out),
    }
}

/// Reads an event or a whole answer, in the terms of all dialects.
pub(crate) fn event(shape: Shape, event: &[u8]) -> Result<event::Event<'_>, DecodeFault> {
    let facts = read(shape, event)?;
    if facts.failed {
        return Ok(event::Event::Failed);
    }
    let choice = facts.choice.map(|choice| event::Choice {
        role: choice.role,
        kind: choice.kind,
        text: choice.text,
        tokens: choice.tokens,
        finish: choice.finish.map(|word| super::finish_reason(&word.decoded())),
    });
    let counts = facts.usage.map_or_else(Counts::default, |usage| Counts {
        prompt: Some(usage.prompt_tokens),
        completion: Some(usage.completion_tokens),
        cached: usage.cached_tokens,
        reasoning: usage.reasoning_tokens,
    });
    Ok(event::Event::Part(event::Facts { choice, counts, last: false }))
}

/// Reads an event or a whole answer.
///
/// # Errors
///
/// [`DecodeFault::Json`] when it is not JSON; [`DecodeFault::Shape`] when it is, but neither an
/// error nor of the API's shape.
pub(crate) fn read(shape: Shape, event: &[u8]) -> Result<Facts<'_>, DecodeFault> {
    let mut json = Reader::new(event).map_err(|Malformed| DecodeFault::Json)?;
    let facts = facts(shape, &mut json).map_err(|Malformed| DecodeFault::Json)?;
    match facts {
        Some(facts) if facts.failed => Ok(facts),
        Some(facts) if !json.is_misshapen() && (facts.has_choices || facts.usage.is_some()) => {
            Ok(facts)
        }
        _ => Err(DecodeFault::Shape),
    }
}

fn facts<'a>(shape: Shape, json: &mut Reader<'a>) -> Result<Option<Facts<'a>>, Malformed> {
    let mut facts = Facts { failed: false, has_choices: false, choice: None, usage: None };
    let object = json.object(|json, key| {
        match key {
            b"choices" => facts.has_choices |= choices(shape, json, &mut facts.choice)?,
            b"usage" => facts.usage = usage(json)?,
            b"error" => facts.failed |= !json.skip_null()?,
            b"object" => {
                facts.failed |= json.string()?.is_some_and(|word| &*word.decoded() == b"error");
            }
            _ => json.skip()?,
        }
        Ok(())
    })?;
    json.finish()?;
    Ok(object.map(|()| facts))
}

/// Reads the list of choices and says whether there is one.
fn choices<'a>(
    shape: Shape,
    json: &mut Reader<'a>,
    found: &mut Option<Choice<'a>>,
) -> Result<bool, Malformed> {
    let count = json.array(|json| {
        let mut walk = Walk::new(shape, None);
        let (choice, ()) = json.spanned(|json| walk.choice(json))?;
        if walk.index.unwrap_or(0) == 0 && found.is_none() {
            *found = Some(Choice {
                role: walk.role,
                kind: walk.kind,
                text: RawText::new(choice, writer(shape), walk.len),
                tokens: walk.token_ids.or(walk.logprobs),
                finish: walk.finish,
            });
        }
        Ok(())
    })?;
    Ok(count.is_some())
}

/// A walk through one choice: gathers its facts, and its output where it is wanted.
struct Walk<'a, 'out> {
    shape: Shape,
    out: Option<&'out mut Vec<u8>>,
    index: Option<u32>,
    role: bool,
    kind: Option<ChunkKind>,
    len: u32,
    token_ids: Option<u32>,
    logprobs: Option<u32>,
    finish: Option<RawString<'a>>,
}

impl<'a, 'out> Walk<'a, 'out> {
    fn new(shape: Shape, out: Option<&'out mut Vec<u8>>) -> Self {
        Self {
            shape,
            out,
            index: None,
            role: false,
            kind: None,
            len: 0,
            token_ids: None,
            logprobs: None,
            finish: None,
        }
    }

    fn choice(&mut self, json: &mut Reader<'a>) -> Result<(), Malformed> {
        let object = json.object(|json, key| {
            match (key, self.shape) {
                (b"index", _) => self.index = json.count()?,
                (b"finish_reason", _) => self.finish = json.string()?,
                (b"token_ids", _) => self.token_ids = json.array(Reader::skip)?,
                (b"logprobs", _) => self.logprobs(json)?,
                (b"text", Shape::Completions) => self.output(json, ChunkKind::Answer)?,
                (b"delta" | b"message", Shape::Chat) => self.message(json)?,
                _ => json.skip()?,
            }
            Ok(())
        })?;
        if object.is_none() {
            json.mark_misshapen();
        }
        Ok(())
    }

    /// Counts the tokens of `logprobs`: `content` in chats, `tokens` in completions.
    fn logprobs(&mut self, json: &mut Reader<'a>) -> Result<(), Malformed> {
        let _object = json.object(|json, key| {
            match (key, self.shape) {
                (b"content", Shape::Chat) | (b"tokens", Shape::Completions) => {
                    self.logprobs = json.array(Reader::skip)?;
                }
                _ => json.skip()?,
            }
            Ok(())
        })?;
        Ok(())
    }

    fn message(&mut self, json: &mut Reader<'a>) -> Result<(), Malformed> {
        // Some servers send the same reasoning under both names.
        let mut reasoned = false;
        let _object = json.object(|json, key| {
            match key {
                b"role" => self.role |= json.string()?.is_some(),
                b"content" => self.output(json, ChunkKind::Answer)?,
                b"refusal" => self.output(json, ChunkKind::Refusal)?,
                b"reasoning" | b"reasoning_content" if !reasoned => {
                    let before = self.len;
                    self.output(json, ChunkKind::Reasoning)?;
                    reasoned = self.len > before;
                }
                b"tool_calls" => self.tool_calls(json)?,
                _ => json.skip()?,
            }
            Ok(())
        })?;
        Ok(())
    }

    fn tool_calls(&mut self, json: &mut Reader<'a>) -> Result<(), Malformed> {
        let _count = json.array(|json| {
            let _call = json.object(|json, key| {
                if key != b"function" {
                    return json.skip();
                }
                let _function = json.object(|json, key| match key {
                    b"arguments" => self.output(json, ChunkKind::ToolCall),
                    _ => json.skip(),
                })?;
                Ok(())
            })?;
            Ok(())
        })?;
        Ok(())
    }

    /// Takes generated text of one kind; an empty one is no output.
    fn output(&mut self, json: &mut Reader<'a>, kind: ChunkKind) -> Result<(), Malformed> {
        let Some(text) = json.string()? else {
            return Ok(());
        };
        let len = text.len_utf8() as u32;
        if len > 0 {
            self.kind = Some(self.kind.map_or(kind, |other| other.min(kind)));
            self.len += len;
            if let Some(out) = &mut self.out {
                text.append_to(out);
            }
        }
        Ok(())
    }
}

/// Reads usage. One without both counts is none: a count that was not stated is not 0.
fn usage(json: &mut Reader<'_>) -> Result<Option<Usage>, Malformed> {
    let (mut prompt, mut completion, mut cached, mut reasoning) = (None, None, None, None);
    let _object = json.object(|json, key| {
        match key {
            b"prompt_tokens" => prompt = json.count()?,
            b"completion_tokens" => completion = json.count()?,
            b"prompt_tokens_details" => cached = json.count_in(b"cached_tokens")?,
            b"completion_tokens_details" => reasoning = json.count_in(b"reasoning_tokens")?,
            _ => json.skip()?,
        }
        Ok(())
    })?;
    Ok(prompt.zip(completion).map(|(prompt_tokens, completion_tokens)| Usage {
        prompt_tokens,
        completion_tokens,
        cached_tokens: cached,
        reasoning_tokens: reasoning,
    }))
}

#[cfg(test)]
mod tests;
