//! Running English text, in chunks whose tokens are known.
//!
//! A chunk is what stands between two spaces, punctuation included. Like a word of the
//! [`crate::lexicon`] it is measured apart, so that any stretch of chunks has a known length.
//! The text and its provenance lie in `corpus/`.

use std::collections::{BTreeMap, BTreeSet};

use crate::lexicon::{self, Piece};
use crate::tokenizer::Tokenizer;
use crate::workload::WorkloadError;

/// A novel's first part, one paragraph a line.
const TEXT: &str = include_str!("../corpus/eighty-days.txt");

/// The built-in text.
pub(crate) struct Corpus {
    /// The different chunks.
    chunks: Vec<Piece>,
    /// The text, as indices into `chunks`.
    text: Vec<u32>,
    /// Where in `text` sentences begin.
    sentences: Vec<u32>,
}

impl Corpus {
    /// Returns the text, each chunk counted as one.
    pub(crate) fn uncounted() -> Self {
        Self::of(distinct().iter().map(|chunk| lexicon::uncounted(chunk)).collect())
    }

    /// Returns the text with the tokens of each chunk.
    ///
    /// # Errors
    /// When the tokenizer fails, or does not separate words.
    pub(crate) fn measured(tokenizer: &dyn Tokenizer) -> Result<Self, WorkloadError> {
        Ok(Self::of(lexicon::measure(tokenizer, &distinct())?))
    }

    fn of(chunks: Vec<Piece>) -> Self {
        let index: BTreeMap<&str, u32> = chunks.iter().map(|c| &*c.text).zip(0..).collect();
        let text: Vec<_> = TEXT.split_ascii_whitespace().map(|chunk| index[chunk]).collect();
        let mut sentences = vec![0];
        for (at, chunk) in TEXT.split_ascii_whitespace().enumerate() {
            if ends_sentence(chunk) && at + 1 < text.len() {
                sentences.push(at as u32 + 1);
            }
        }
        Self { chunks, text, sentences }
    }

    /// Returns how many sentences there are.
    pub(crate) fn sentences(&self) -> usize {
        self.sentences.len()
    }

    /// Returns the text from this sentence on, round and round without end.
    pub(crate) fn starting_at(&self, sentence: usize) -> impl Iterator<Item = &Piece> {
        let start = self.sentences[sentence] as usize;
        let round = self.text[start..].iter().chain(&self.text[..start]).cycle();
        round.map(|&chunk| &self.chunks[chunk as usize])
    }
}

/// Returns the different words of the text, of two lowercase letters or more.
pub(crate) fn words() -> impl Iterator<Item = String> {
    distinct()
        .into_iter()
        .filter(|word| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase()))
        .map(str::to_owned)
}

fn distinct() -> Vec<&'static str> {
    TEXT.split_ascii_whitespace().collect::<BTreeSet<_>>().into_iter().collect()
}

fn ends_sentence(chunk: &str) -> bool {
    chunk.trim_end_matches('"').ends_with(['.', '?', '!']) && !matches!(chunk, "Mr." | "Mrs.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_plain_ascii_without_digits_and_of_some_size() {
        assert!(TEXT.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_digit()));
        assert!((100_000..200_000).contains(&TEXT.len()));
        assert!(words().count() > 2000);
    }

    #[test]
    fn the_text_goes_round_from_any_sentence() {
        let corpus = Corpus::uncounted();
        assert!(corpus.sentences() > 500);
        let length = TEXT.split_ascii_whitespace().count();
        for sentence in [0, 1, corpus.sentences() - 1] {
            let twice: Vec<_> = corpus.starting_at(sentence).take(2 * length).collect();
            assert_eq!(twice[..length], twice[length..]);
        }
        let whole: Vec<_> = corpus.starting_at(0).take(length).map(|c| &*c.text).collect();
        assert_eq!(whole, TEXT.split_ascii_whitespace().collect::<Vec<_>>());
    }
}
