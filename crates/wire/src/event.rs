//! What one event of a stream, or one whole answer, says: the same for every dialect.
//!
//! Each dialect has a reader from an event's bytes to [`Event`]. Nothing is copied: the generated
//! text stays where it lies ([`RawText`]).

use infermark_terms::{ChunkKind, DecodeFault, FinishReason};

use crate::json::{Malformed, RawString, Reader};

/// What an event is.
#[derive(Clone, Debug)]
pub(crate) enum Event<'a> {
    /// A report of an error.
    Failed,
    /// A sign of life.
    Alive,
    /// A part of the answer.
    Part(Facts<'a>),
}

/// What a part of the answer says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts<'a> {
    /// The answer's own state. Nothing: the event speaks of counts alone.
    pub(crate) choice: Option<Choice<'a>>,
    /// The counts so far.
    pub(crate) counts: Counts,
    /// Nothing of the answer follows.
    pub(crate) last: bool,
}

/// What an event says of the answer itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choice<'a> {
    /// It names a role.
    pub(crate) role: bool,
    /// What its output is. An event with several kinds is of the one that comes first in
    /// [`ChunkKind`]. Nothing: it carries no output.
    pub(crate) kind: Option<ChunkKind>,
    /// Its output.
    pub(crate) text: RawText<'a>,
    /// How many tokens it carries, where it says so itself.
    pub(crate) tokens: Option<u32>,
    /// Why the model stopped.
    pub(crate) finish: Option<FinishReason>,
}

impl<'a> Choice<'a> {
    /// Returns a choice with this output; an empty one is none.
    pub(crate) fn said(kind: ChunkKind, text: Option<RawString<'a>>) -> Self {
        let text = text.map(RawText::of).unwrap_or_default();
        Self { kind: (text.len > 0).then_some(kind), text, ..Self::default() }
    }
}

/// The server's counts, each absent where it was not stated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Input tokens.
    pub(crate) prompt: Option<u32>,
    /// Output tokens so far, in all.
    pub(crate) completion: Option<u32>,
    /// Input tokens from a prefix cache.
    pub(crate) cached: Option<u32>,
    /// Output tokens that were reasoning.
    pub(crate) reasoning: Option<u32>,
}

impl Counts {
    /// Says whether nothing was stated.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns these counts, and the earlier ones where these say nothing.
    pub(crate) fn or(self, earlier: Self) -> Self {
        Self {
            prompt: self.prompt.or(earlier.prompt),
            completion: self.completion.or(earlier.completion),
            cached: self.cached.or(earlier.cached),
            reasoning: self.reasoning.or(earlier.reasoning),
        }
    }
}

/// Generated text as it lies in the event that carries it.
#[derive(Clone, Copy, Debug)]
pub struct RawText<'a> {
    /// The JSON that holds it.
    source: &'a [u8],
    /// Appends the text that `source` holds.
    write: fn(&[u8], &mut Vec<u8>),
    /// How many of its first bytes earlier events have carried already.
    skip: u32,
    len: u32,
}

impl Default for RawText<'_> {
    fn default() -> Self {
        Self { source: b"", write: |_, _| {}, skip: 0, len: 0 }
    }
}

impl<'a> RawText<'a> {
    /// Returns text of `len` bytes that `write` reads from `source`.
    pub(crate) fn new(source: &'a [u8], write: fn(&[u8], &mut Vec<u8>), len: u32) -> Self {
        Self { source, write, skip: 0, len }
    }

    /// Returns the text of a JSON string.
    pub(crate) fn of(string: RawString<'a>) -> Self {
        let write = |raw: &[u8], out: &mut Vec<u8>| RawString::trusted(raw).append_to(out);
        Self::new(string.raw(), write, string.len_utf8() as u32)
    }

    /// Returns what follows the first `shown` bytes.
    pub(crate) fn after(self, shown: u32) -> Self {
        let skip = self.len.min(shown);
        Self { skip: self.skip + skip, len: self.len - skip, ..self }
    }

    /// Returns its length in bytes of UTF-8.
    pub fn len_utf8(&self) -> u32 {
        self.len
    }

    /// Appends it, without JSON's escapes.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        let start = out.len();
        (self.write)(self.source, out);
        if self.skip > 0 {
            drop(out.drain(start..start + self.skip as usize));
        }
    }
}

/// Reads an event that is one JSON object, key by key, in any order. `null` stands for absence;
/// `member` must read or skip each value.
///
/// # Errors
///
/// [`DecodeFault::Json`] when it is not JSON; [`DecodeFault::Shape`] when it is no object or a
/// value is of another type than expected. An error report is told before either shape is judged.
pub(crate) fn object<'a>(
    event: &'a [u8],
    mut member: impl FnMut(&mut Reader<'a>, &[u8]) -> Result<(), Malformed>,
) -> Result<Reading, DecodeFault> {
    let mut json = Reader::new(event).map_err(|Malformed| DecodeFault::Json)?;
    let mut failed = false;
    let object = json
        .object(|json, key| match key {
            b"error" => {
                failed |= !json.skip_null()?;
                Ok(())
            }
            _ => member(json, key),
        })
        .and_then(|object| json.finish().map(|()| object))
        .map_err(|Malformed| DecodeFault::Json)?;
    match (failed, object) {
        (true, _) => Ok(Reading::Failed),
        (false, Some(())) if !json.is_misshapen() => Ok(Reading::Sound),
        (false, _) => Err(DecodeFault::Shape),
    }
}

/// What came of reading an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It reports an error.
    Failed,
    /// It is of the expected shape.
    Sound,
}

impl Reading {
    /// Returns the event, which holds these facts unless it reports an error. An event that says
    /// nothing that the dialect knows is not of its shape.
    pub(crate) fn with(self, facts: Facts<'_>) -> Result<Event<'_>, DecodeFault> {
        match self {
            Self::Failed => Ok(Event::Failed),
            Self::Sound if facts.choice.is_some() || !facts.counts.is_empty() || facts.last => {
                Ok(Event::Part(facts))
            }
            Self::Sound => Err(DecodeFault::Shape),
        }
    }
}
