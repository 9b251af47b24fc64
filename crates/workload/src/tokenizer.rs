//! Text to tokens: the trait that all counting goes through, and tokenizers from files.
//!
//! Invariant: no special token is ever added. What a server adds (a chat template, a
//! begin-of-sequence token) is measured by [`crate::probe`], not assumed.
//!
//! Not here: tokenizers behind a server. Whoever owns the network implements [`Tokenizer`].

use std::io;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use thiserror::Error;

mod bpe;

/// The most words that [`Tokenizer::words`] of a file offers: the commonest, enough to draw from.
const WORDS_OFFERED: usize = 6000;

/// Letters of a word that is offered. Single letters and long compounds read least like text.
const WORD_LETTERS: std::ops::RangeInclusive<usize> = 2..=14;

/// Turns text into tokens.
pub trait Tokenizer: Send + Sync {
    /// Returns the tokens of `text`, without special tokens.
    ///
    /// # Errors
    /// When the text cannot be tokenized.
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizeError>;

    /// Returns how many tokens `text` has, without special tokens.
    ///
    /// # Errors
    /// When the text cannot be tokenized.
    fn count(&self, text: &str) -> Result<u32, TokenizeError> {
        Ok(self.encode(text)?.len() as u32)
    }

    /// Returns, for each token of `text`, the byte at which it ends.
    ///
    /// # Errors
    /// When the text cannot be tokenized, or this tokenizer does not tell.
    fn ends(&self, _text: &str) -> Result<Vec<usize>, TokenizeError> {
        Err(TokenizeError::Untold { what: "where tokens end" })
    }

    /// Says where the tokenizer runs.
    fn site(&self) -> Site {
        Site::Local
    }

    /// Returns words that the vocabulary is likely to hold whole, commonest first; none where
    /// the vocabulary is not to be seen.
    fn words(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Where a tokenizer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// In this process: may be called for each prompt.
    Local,
    /// Elsewhere: called a few times with much text before the run, never during it.
    Remote,
}

/// Why a text could not be tokenized.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenizeError {
    /// The tokenizer, or the way to it, failed.
    #[error("cannot tokenize: {reason}")]
    Failed {
        /// In its own words.
        reason: String,
    },
    /// The tokenizer does not offer this.
    #[error("this tokenizer does not tell {what}")]
    Untold {
        /// What was asked of it.
        what: &'static str,
    },
}

/// A tokenizer from a `tokenizer.json`, as models ship it. Truncation and padding are off.
pub struct FileTokenizer(tokenizers::Tokenizer);

impl FileTokenizer {
    /// Opens a `tokenizer.json`, or the one in a model's folder.
    ///
    /// # Errors
    /// When there is none, or it is not a tokenizer.
    pub fn open(path: &Path) -> Result<Self, TokenizerError> {
        let file = if path.is_dir() { file_in(path)? } else { path.to_path_buf() };
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(source) => return Err(TokenizerError::Unreadable { path: file, source }),
        };
        if let Some(tokenizer) = bpe::read(&bytes) {
            return Ok(Self(tokenizer));
        }
        if let Err(source) = serde_json::from_slice::<IgnoredAny>(&bytes) {
            return Err(TokenizerError::NotJson { path: file, source });
        }
        let not_a_tokenizer = |reason: tokenizers::Error| TokenizerError::NotATokenizer {
            path: file.clone(),
            reason: reason.to_string(),
        };
        let mut tokenizer = tokenizers::Tokenizer::from_bytes(&bytes).map_err(not_a_tokenizer)?;
        let _ = tokenizer.with_truncation(None).map_err(not_a_tokenizer)?;
        let _ = tokenizer.with_padding(None);
        Ok(Self(tokenizer))
    }
}

impl Tokenizer for FileTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
        let encoding = self.0.encode_fast(text, false).map_err(|e| failed(e.as_ref()))?;
        Ok(encoding.get_ids().to_vec())
    }

    fn ends(&self, text: &str) -> Result<Vec<usize>, TokenizeError> {
        let encoding = self.0.encode(text, false).map_err(|e| failed(e.as_ref()))?;
        Ok(encoding.get_offsets().iter().map(|&(_, end)| end).collect())
    }

    /// Ids are given out by frequency in practically every vocabulary, so the first are taken.
    fn words(&self) -> Vec<String> {
        let added = self.0.get_added_tokens_decoder();
        // Few vocabularies leave ids out, and then only some.
        let ids = 0..2 * self.0.get_vocab_size(false) as u32;
        let ordinary = || {
            ids.clone().filter(|id| !added.contains_key(id)).filter_map(|id| self.0.id_to_token(id))
        };
        let marked = ordinary().any(|token| token.starts_with(SPACE_MARKS));
        ordinary()
            .filter_map(|token| match token.strip_prefix(SPACE_MARKS) {
                Some(word) => Some(word.to_owned()),
                None => (!marked).then_some(token),
            })
            .filter(|word| WORD_LETTERS.contains(&word.len()))
            .filter(|word| word.bytes().all(|byte| byte.is_ascii_alphabetic()))
            .take(WORDS_OFFERED)
            .collect()
    }
}

/// How vocabularies write a leading space: byte-level ones and `SentencePiece`.
const SPACE_MARKS: [char; 2] = ['Ġ', '▁'];

/// Returns the error in the library's own words.
fn failed(error: &(dyn std::error::Error + Send + Sync)) -> TokenizeError {
    TokenizeError::Failed { reason: error.to_string() }
}

/// Returns the path of the folder's `tokenizer.json`.
fn file_in(folder: &Path) -> Result<PathBuf, TokenizerError> {
    let file = folder.join("tokenizer.json");
    if file.is_file() {
        return Ok(file);
    }
    let others = ["tokenizer.model", "tekken.json", "tiktoken.model", "vocab.json", "vocab.txt"];
    let found = others.into_iter().find(|name| folder.join(name).is_file());
    Err(TokenizerError::NoneInFolder { path: folder.to_path_buf(), found })
}

/// Why a tokenizer could not be opened.
#[derive(Debug, Error)]
pub enum TokenizerError {
    /// The file is missing or cannot be read.
    #[error("cannot read the tokenizer {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A folder without `tokenizer.json`.
    #[error("the folder {} holds no tokenizer.json", path.display())]
    NoneInFolder {
        /// The folder.
        path: PathBuf,
        /// A tokenizer of another format that it holds.
        found: Option<&'static str>,
    },
    /// The file is not JSON.
    #[error("{} is not JSON", path.display())]
    NotJson {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        #[source]
        source: serde_json::Error,
    },
    /// JSON, but not a tokenizer's.
    #[error("{} is not a tokenizer: {reason}", path.display())]
    NotATokenizer {
        /// The file.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
}

impl TokenizerError {
    /// Returns what to do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoneInFolder { found: Some(found), .. } => Some(format!(
                "the folder holds {found}, which is another format: convert it by saving the \
                 model's fast tokenizer, or let the server count with `--tokenizer server`"
            )),
            Self::NoneInFolder { found: None, .. } | Self::Unreadable { .. } => Some(
                "give a tokenizer.json or the model's folder, or `--tokenizer server`".to_owned(),
            ),
            Self::NotJson { .. } | Self::NotATokenizer { .. } => {
                Some("give the tokenizer.json that the model ships with".to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_file_and_its_folder_open_alike_without_truncation_or_special_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokenizer.json");
        samples::truncating().save(&file, false).unwrap();
        for path in [file.as_path(), folder.path()] {
            let tokenizer = FileTokenizer::open(path).unwrap();
            assert_eq!(tokenizer.count("one two three four").unwrap(), 4);
        }
    }

    #[test]
    fn what_cannot_be_opened_is_said_with_its_place_and_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("text"), "hello").unwrap();
        std::fs::write(path("other.json"), "{\"a\": 1}").unwrap();
        let message = |path: &Path| {
            let error = FileTokenizer::open(path).err().unwrap();
            assert!(error.hint().is_some());
            let place = format!("{}/", folder.path().display());
            error.to_string().replace(&place, "")
        };
        assert_eq!(message(&path("absent")), "cannot read the tokenizer absent");
        assert_eq!(message(&path("text")), "text is not JSON");
        assert!(message(&path("other.json")).starts_with("other.json is not a tokenizer: "));
        assert!(message(folder.path()).ends_with("holds no tokenizer.json"));
        std::fs::write(path("tokenizer.model"), "x").unwrap();
        let hint = FileTokenizer::open(folder.path()).err().unwrap().hint().unwrap();
        assert!(hint.contains("tokenizer.model"), "{hint}");
    }

    #[test]
    fn a_byte_level_vocabulary_of_8192_offers_a_thousand_words() {
        let words = samples::byte_level().words();
        assert!(words.len() >= 1000, "{}", words.len());
        assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_alphabetic())));
    }
}
