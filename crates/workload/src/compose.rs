//! Prompts of exact length from pieces of known length.
//!
//! A prompt is random words; or six tokens of random words, so that no two begin alike, then
//! running text, and a word or a few at the end to make the sum exact. Where requests share a
//! prefix, the prefix is drawn for its group and the rest for the request.
//!
//! Whether sums of pieces are exact for a tokenizer is checked on samples when a composer is
//! made. Where they are not (a vocabulary with tokens across spaces), each prompt is counted
//! whole and mended, which needs the tokenizer at hand.

use std::sync::Arc;

use infermark_scenario::intent::{PromptForm, SharedPrefix};
use infermark_terms::{Prompt, RequestId, Seed};

use crate::corpus::Corpus;
use crate::draw::Draws;
use crate::lexicon::{Lexicon, Piece, Place};
use crate::tokenizer::{Site, Tokenizer};
use crate::workload::{Counter, WorkloadError};

/// Tokens of random words before running text.
const OPENING: u32 = 6;

/// How many prompts are draft to see whether sums are exact, and of how many tokens after
/// the prefix: five thousand neighbours.
const SAMPLES: u64 = 5;
const SAMPLE_TOKENS: u32 = 1000;

/// How often a prompt is counted and mended before we give up.
const MENDS: u32 = 64;

/// What a prompt is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matter {
    /// Random words, behind a shared prefix if there is one.
    Words(Option<SharedPrefix>),
    /// Running text.
    Prose,
}

/// A stretch of a prompt with random words of its own: alike wherever the seed is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) seed: Seed,
    /// Its length, in the composer's units; at least 1.
    pub(crate) tokens: u32,
}

/// A prompt before it takes a form.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Draft {
    /// The text.
    text: String,
    /// Its tokens; none where there is no tokenizer.
    ids: Vec<u32>,
}

impl Draft {
    fn into_prompt(self, form: PromptForm) -> Prompt {
        match form {
            PromptForm::Text => Prompt::Text(self.text),
            PromptForm::TokenIds => Prompt::Tokens(self.ids),
        }
    }
}

/// Makes prompts.
pub(crate) struct Composer {
    lexicon: Arc<Lexicon>,
    corpus: Option<Corpus>,
    prefix: Option<SharedPrefix>,
    seed: Seed,
    /// Present where each prompt must be counted whole.
    mender: Option<Arc<dyn Tokenizer>>,
}

impl Composer {
    /// Returns a composer for this counter.
    ///
    /// # Errors
    /// When the tokenizer fails, does not separate words, or joins words and is not at hand.
    pub(crate) fn new(
        matter: Matter,
        counter: &Counter,
        seed: Seed,
    ) -> Result<Self, WorkloadError> {
        let (lexicon, corpus) = match (counter, matter) {
            (Counter::Tokenizer(by), Matter::Words(_)) => (by.lexicon()?, None),
            (Counter::Tokenizer(by), Matter::Prose) => {
                (by.lexicon()?, Some(Corpus::measured(&**by.tokenizer())?))
            }
            (Counter::Calibrated(_), Matter::Words(_)) => (Arc::new(Lexicon::uncounted()), None),
            (Counter::Calibrated(_), Matter::Prose) => {
                (Arc::new(Lexicon::uncounted()), Some(Corpus::uncounted()))
            }
        };
        let prefix = match matter {
            Matter::Words(prefix) => prefix,
            Matter::Prose => None,
        };
        let mut composer = Self { lexicon, corpus, prefix, seed, mender: None };
        if let Counter::Tokenizer(by) = counter
            && let tokenizer = by.tokenizer()
            && !composer.sums_are_exact(&**tokenizer)?
        {
            match tokenizer.site() {
                Site::Local => composer.mender = Some(Arc::clone(tokenizer)),
                Site::Remote => return Err(WorkloadError::JoinsWords),
            }
        }
        Ok(composer)
    }

    /// Returns the prompt of this request in this form, `tokens` long.
    ///
    /// # Errors
    /// As [`Self::compose`].
    pub(crate) fn prompt(
        &self,
        id: RequestId,
        tokens: u32,
        form: PromptForm,
    ) -> Result<Prompt, WorkloadError> {
        Ok(self.compose(id, tokens)?.into_prompt(form))
    }

    /// Returns the prompt of these parts in this form; there is at least one.
    ///
    /// # Errors
    /// As [`Self::compose`].
    pub(crate) fn joined(&self, parts: &[Part], form: PromptForm) -> Result<Prompt, WorkloadError> {
        Ok(self.join(parts)?.into_prompt(form))
    }

    /// Returns the prompt of this request, `tokens` long.
    ///
    /// # Errors
    /// When no words sum to the length, or a tokenizer that joins words fails.
    fn compose(&self, id: RequestId, tokens: u32) -> Result<Draft, WorkloadError> {
        let prefix = self.prefix.map(|prefix| {
            let group = group_of(self.seed, prefix, id);
            Part { seed: self.seed.named("prefixes").at(group), tokens: prefix.tokens }
        });
        // Counted in words, a prefix can round to the whole; a word must tell requests apart.
        let rest = tokens.saturating_sub(prefix.map_or(0, |prefix| prefix.tokens)).max(1);
        let own = Part { seed: self.own_words(id), tokens: rest };
        match prefix {
            Some(prefix) => self.join(&[prefix, own]),
            None => self.join(&[own]),
        }
    }

    /// Returns where the words come from that no other request has.
    pub(crate) fn own_words(&self, id: RequestId) -> Seed {
        self.seed.named("prompts").at(id.0)
    }

    /// Writes the parts one after another.
    fn join(&self, parts: &[Part]) -> Result<Draft, WorkloadError> {
        let mut pieces = Vec::new();
        let mut draws = Draws::new(self.seed);
        for part in parts {
            draws = Draws::new(part.seed);
            self.write(&mut draws, part.tokens, &mut pieces)?;
        }
        match &self.mender {
            Some(tokenizer) => {
                let tokens = parts.iter().map(|part| part.tokens).sum();
                self.mend(&**tokenizer, pieces, tokens, &mut draws)
            }
            None => Ok(Draft { text: text_of(&pieces), ids: ids_of(&pieces) }),
        }
    }

    /// Writes `tokens` tokens after what is there.
    fn write<'a>(
        &'a self,
        draws: &mut Draws,
        tokens: u32,
        pieces: &mut Vec<&'a Piece>,
    ) -> Result<(), WorkloadError> {
        let place = if pieces.is_empty() { Place::Opening } else { Place::Within };
        let Some(corpus) = &self.corpus else {
            return self.lexicon.fill(draws, place, tokens, pieces);
        };
        let mut left = tokens;
        let long = left > OPENING && self.lexicon.can_fill(left - OPENING);
        let opening = if long { OPENING } else { left };
        self.lexicon.fill(draws, place, opening, pieces)?;
        left -= opening;
        for chunk in corpus.starting_at(draws.index(corpus.sentences())) {
            // A word comes last: punctuation could merge with what a template puts after it.
            match left.checked_sub(chunk.tokens) {
                Some(after) if after > 0 && self.lexicon.can_fill(after) => {
                    pieces.push(chunk);
                    left = after;
                }
                _ => break,
            }
        }
        self.lexicon.fill(draws, Place::Within, left, pieces)
    }

    /// Adds and takes away words until the whole has the length.
    fn mend<'a>(
        &'a self,
        tokenizer: &dyn Tokenizer,
        mut pieces: Vec<&'a Piece>,
        tokens: u32,
        draws: &mut Draws,
    ) -> Result<Draft, WorkloadError> {
        for _ in 0..MENDS {
            let text = text_of(&pieces);
            let ids = tokenizer.encode(&text)?;
            let found = ids.len() as u32;
            if found == tokens {
                return Ok(Draft { text, ids });
            }
            let excess = found.saturating_sub(tokens);
            let mut taken = 0;
            while taken < excess
                && let Some(piece) = pieces.pop()
            {
                taken += piece.tokens;
            }
            let missing = (tokens + taken).saturating_sub(found);
            let place = if pieces.is_empty() { Place::Opening } else { Place::Within };
            if self.lexicon.can_fill(missing) {
                self.lexicon.fill(draws, place, missing, &mut pieces)?;
            } else {
                let _ = pieces.pop();
            }
        }
        Err(WorkloadError::Unfillable { tokens })
    }

    /// Composes samples and says whether each has the length that its pieces sum to.
    fn sums_are_exact(&self, tokenizer: &dyn Tokenizer) -> Result<bool, WorkloadError> {
        let tokens = SAMPLE_TOKENS.saturating_add(self.prefix.map_or(0, |prefix| prefix.tokens));
        for sample in 0..SAMPLES {
            // From the far end of the ids, which no run reaches.
            let draft = self.compose(RequestId(u64::MAX - sample), tokens)?;
            if tokenizer.count(&draft.text)? != tokens {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Returns which of the shared prefixes this request begins with.
pub(crate) fn group_of(seed: Seed, prefix: SharedPrefix, id: RequestId) -> u64 {
    Draws::new(seed.named("groups").at(id.0)).index(prefix.groups as usize) as u64
}

fn text_of(pieces: &[&Piece]) -> String {
    let mut text = String::with_capacity(pieces.iter().map(|p| p.text.len() + 1).sum());
    for (at, piece) in pieces.iter().enumerate() {
        if at > 0 {
            text.push(' ');
        }
        text.push_str(&piece.text);
    }
    text
}

fn ids_of(pieces: &[&Piece]) -> Vec<u32> {
    pieces.iter().flat_map(|piece| piece.ids.iter().copied()).collect()
}

#[cfg(test)]
mod tests;
