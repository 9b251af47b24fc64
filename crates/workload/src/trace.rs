//! Recorded traces: when requests came, how long they were, and which beginnings they shared.
//!
//! ```text
//!  file ──▶ layout, by its columns ──▶ requests, in the order of their instants ──▶ Trace
//!                                         │ instants: the schedule's
//!                                         └ lengths and blocks: the prompts'
//! ```
//!
//! | layout | file | instant | a block |
//! |---|---|---|---|
//! | Mooncake | JSON Lines: `timestamp`, `input_length`, `output_length`, `hash_ids` | ms | 512 |
//! | Bailian | the same, and `chat_id` | s | 16 |
//! | Azure | CSV: `TIMESTAMP`, `ContextTokens`, `GeneratedTokens` | a date | – |
//! | `BurstGPT` | CSV: `Timestamp`, `Request tokens`, `Response tokens` | s | – |
//! | ours | JSON Lines: `at_s`, `input_tokens`, `output_tokens`, `blocks`, … | s | 512 |
//!
//! # Invariants
//!
//! - Instants count from the earliest request's, and never decrease.
//! - Prompts that begin with the same blocks begin with the same words, block by block, and part
//!   where their blocks do. A trace that is used up begins again with other words.
//! - The chat template counts as the beginning of the first block.
//!
//! Not here: when requests are sent (`schedule`).

mod layouts;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use infermark_scenario::intent::PromptForm;
use infermark_terms::{Nanos, Prompt, RequestId, Seed};

use crate::compose::{Composer, Matter, Part};
use crate::dataset::{DatasetError, open_text};
use crate::outline::Sizes;
use crate::workload::{Counter, Template, WorkloadError};

/// The most requests of a trace.
const REQUESTS_MAX: usize = 10_000_000;

/// How a trace is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceLayout {
    /// Mooncake's (Qin et al., FAST 2025).
    Mooncake,
    /// Bailian's, of Qwen (Wang et al., ATC 2025).
    Bailian,
    /// Azure's of 2023 and 2024 (Patel et al., ISCA 2024).
    Azure,
    /// `BurstGPT`'s (Wang et al., 2024).
    BurstGpt,
    /// Our own.
    Infermark,
}

impl fmt::Display for TraceLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mooncake => "Mooncake",
            Self::Bailian => "Bailian",
            Self::Azure => "Azure",
            Self::BurstGpt => "BurstGPT",
            Self::Infermark => "infermark",
        })
    }
}

/// A trace in memory; never empty.
#[derive(Debug)]
pub struct Trace {
    layout: TraceLayout,
    requests: Vec<Recorded>,
    block_tokens: u32,
    skipped: u64,
}

/// Traces, each read the first time that it is asked for. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Traces(Arc<Mutex<BTreeMap<PathBuf, Arc<Trace>>>>);

impl Traces {
    /// Returns the trace in a file.
    ///
    /// # Errors
    /// As [`Trace::read`].
    pub fn read(&self, path: &Path) -> Result<Arc<Trace>, DatasetError> {
        let mut traces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(trace) = traces.get(path) {
            return Ok(Arc::clone(trace));
        }
        let trace = Arc::new(Trace::read(path)?);
        let _: Option<Arc<Trace>> = traces.insert(path.to_owned(), Arc::clone(&trace));
        Ok(trace)
    }
}

/// One request of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Recorded {
    /// Since the trace's first request.
    at: Nanos,
    /// At least 1.
    input: u32,
    /// At least 1.
    output: u32,
    /// The blocks of tokens that its prompt consists of, or begins with.
    blocks: Box<[u64]>,
}

impl Trace {
    /// Reads a file and finds its layout by its columns or keys.
    ///
    /// # Errors
    /// When it cannot be read, its columns are unknown, a line is malformed, or no line asks for
    /// a token.
    pub fn read(path: &Path) -> Result<Self, DatasetError> {
        let unreadable = |source| DatasetError::Unreadable { path: path.to_path_buf(), source };
        let mut reader = BufReader::new(open_text(path)?);
        let begins = reader.fill_buf().map_err(unreadable)?;
        let is_json = begins.trim_ascii_start().starts_with(b"{");
        let mut trace =
            if is_json { layouts::json_lines(path, reader)? } else { layouts::csv(path, reader)? };
        if trace.requests.is_empty() {
            let skipped = trace.skipped;
            return Err(DatasetError::EmptyTrace { path: path.to_path_buf(), skipped });
        }
        trace.requests.sort_by_key(|request| request.at);
        let first = trace.requests[0].at;
        for request in &mut trace.requests {
            request.at = request.at.saturating_sub(first);
        }
        Ok(trace)
    }

    /// Returns how it is laid out.
    pub fn layout(&self) -> TraceLayout {
        self.layout
    }

    /// Returns when each request came, since the first.
    pub fn instants(&self) -> impl ExactSizeIterator<Item = Nanos> + '_ {
        self.requests.iter().map(|request| request.at)
    }

    /// Returns how many lines asked for no token, and are not replayed.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Returns what request `id` asks, in numbers.
    pub(crate) fn sizes(&self, id: RequestId) -> Sizes {
        let Recorded { input, output, .. } = *self.request(id);
        Sizes { input, output }
    }

    /// Returns the names of the whole blocks of `block_tokens` tokens that the request's own
    /// blocks consist of.
    pub(crate) fn blocks(&self, id: RequestId, block_tokens: u32, seed: Seed) -> Vec<u64> {
        let mut names = Vec::new();
        for (seed, tokens) in self.stretches(id, seed) {
            names.extend((0..tokens / block_tokens).map(|at| seed.at(u64::from(at)).0));
        }
        names
    }

    /// Returns the stretches of the request's prompt that others may share: where each has its
    /// words from, and how many tokens it is long.
    fn stretches(&self, id: RequestId, seed: Seed) -> impl Iterator<Item = (Seed, u32)> + '_ {
        let request = self.request(id);
        let seed = seed.named("trace blocks").at(id.0 / self.requests.len() as u64);
        let mut left = request.input;
        request.blocks.iter().map_while(move |block| {
            let tokens = self.block_tokens.min(left);
            left -= tokens;
            (tokens > 0).then(|| (seed.at(*block), tokens))
        })
    }

    fn request(&self, id: RequestId) -> &Recorded {
        &self.requests[(id.0 % self.requests.len() as u64) as usize]
    }

    /// Takes the next request as it was recorded.
    fn push(&mut self, path: &Path, recorded: Recorded) -> Result<(), DatasetError> {
        if recorded.input == 0 || recorded.output == 0 {
            self.skipped += 1;
            return Ok(());
        }
        if self.requests.len() == REQUESTS_MAX {
            let limit = REQUESTS_MAX;
            return Err(DatasetError::TraceTooLong { path: path.to_path_buf(), limit });
        }
        self.requests.push(recorded);
        Ok(())
    }
}

/// Makes prompts of a trace's lengths, alike where the trace's were.
pub(crate) struct Player {
    trace: Arc<Trace>,
    composer: Composer,
    counter: Counter,
    template: Template,
    seed: Seed,
}

impl Player {
    pub(crate) fn new(
        trace: Arc<Trace>,
        counter: Counter,
        template: Template,
        seed: Seed,
    ) -> Result<Self, WorkloadError> {
        let composer = Composer::new(Matter::Words(None), &counter, seed)?;
        Ok(Self { trace, composer, counter, template, seed })
    }

    /// Returns what request `id` asks. An input that leaves no room beside the chat template is
    /// one token longer than that.
    pub(crate) fn ask(
        &self,
        id: RequestId,
        form: PromptForm,
    ) -> Result<(Prompt, Sizes), WorkloadError> {
        let sizes = self.trace.sizes(id);
        let mut template = self.template.overhead;
        let input = sizes.input.max(template + 1);
        let mut left = input - template;
        let mut parts = Vec::new();
        for (seed, tokens) in self.trace.stretches(id, self.seed) {
            let covered = template.min(tokens);
            template -= covered;
            let tokens = left.min(tokens - covered);
            left -= tokens;
            if tokens > 0 {
                parts.push(Part { seed, tokens: self.counter.units(tokens) });
            }
        }
        if left > 0 {
            let seed = self.composer.own_words(id);
            parts.push(Part { seed, tokens: self.counter.units(left) });
        }
        Ok((self.composer.joined(&parts, form)?, Sizes { input, ..sizes }))
    }
}
