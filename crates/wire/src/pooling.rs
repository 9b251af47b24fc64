//! APIs that generate nothing: OpenAI `embeddings`, and vLLM's `pooling` and `rerank`.
//!
//! ```text
//! {"object": "list", "data": [{"embedding": […]}], "usage": {"prompt_tokens", "total_tokens"}}
//! {"id", "results": [{"index", "relevance_score"}], "usage": {"prompt_tokens", "total_tokens"}}
//! ```
//!
//! An answer counts as complete when it lists a result; its output is 0 tokens. To `rerank`, the
//! first line of a prompt is the query and each further one a document. A prompt of one line is
//! asked in halves: the server counts query and document, and together they are as long as it.

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
    let documents: Vec<_> = lines.collect();
    if !documents.is_empty() {
        return Ok(json(&Rerank { model, query, documents }));
    }
    let (query, document) = halves(query);
    Ok(json(&Rerank { model, query, documents: vec![document] }))
}

/// Splits a line between two words, near its middle. The space stays with the second half, so that
/// both together have the tokens of the whole. A single word is both halves.
fn halves(line: &str) -> (&str, &str) {
    let spaces = line.match_indices(' ').map(|(at, _)| at).filter(|&at| at > 0);
    let middle = spaces.min_by_key(|at| at.abs_diff(line.len() / 2));
    middle.map_or((line, line), |at| line.split_at(at))
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
