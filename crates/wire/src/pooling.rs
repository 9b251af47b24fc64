//! APIs that generate nothing: OpenAI `embeddings`, and vLLM's `pooling` and `rerank`.
//!
//! ```text
//! {"object": "list", "data": [{"embedding": […]}], "usage": {"prompt_tokens", "total_tokens"}}
//! {"id", "results": [{"index", "relevance_score"}], "usage": {"prompt_tokens", "total_tokens"}}
//! ```
//!
//! An answer counts as complete when it lists a result; its output is 0 tokens. To `rerank`, the
//! first line of a prompt is the query and each further one a document; a prompt of one line is
//! both.

use infermark_terms::{Ask, DecodeFault, FinishReason};
use serde::Serialize;

use crate::dialect::{Api, Dialect, Input, Taken, UnsupportedPrompt, json};
use crate::event::{Choice, Counts, Event, Facts, object};
use crate::json::Reader;

#[derive(Serialize)]
struct Embed<'a> {
    model: &'a str,
    input: Input<'a>,
}

#[derive(Serialize)]
struct Rerank<'a> {
    model: &'a str,
    query: &'a str,
    documents: Vec<&'a str>,
}

pub(crate) fn body(dialect: &Dialect, ask: &Ask) -> Result<Vec<u8>, UnsupportedPrompt> {
    let model = dialect.model.as_str();
    if dialect.api != Api::Rerank {
        let input = dialect.api.input(&ask.prompt)?;
        return Ok(json(&Embed { model, input }));
    }
    let text = dialect.api.text(&ask.prompt)?;
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let query = lines.next().unwrap_or_default();
    let mut documents: Vec<_> = lines.collect();
    if documents.is_empty() {
        documents.push(query);
    }
    Ok(json(&Rerank { model, query, documents }))
}

pub(crate) fn read(event: &[u8]) -> Result<Event<'_>, DecodeFault> {
    let (mut results, mut counts) = (None, Counts::default());
    let reading = object(event, |json, key| {
        match key {
            b"data" | b"results" => results = json.array(Reader::skip)?,
            b"usage" => counts.prompt = json.count_in(b"prompt_tokens")?,
            _ => json.skip()?,
        }
        Ok(())
    })?;
    counts.completion = counts.prompt.map(|_| 0);
    let choice = Choice { finish: Some(FinishReason::Unstated), ..Choice::default() };
    let answers = results.is_some_and(|results| results > 0);
    reading.with(Facts { choice: answers.then_some(choice), counts, last: answers })
}
