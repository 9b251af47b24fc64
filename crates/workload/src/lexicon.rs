//! Pieces of text whose token counts are known, so that sums of pieces are exact.
//!
//! A tokenizer splits text at spaces first, practically always; then the tokens of "one two" are
//! those of "one" and those of " two", and a prompt of *n* tokens is a walk over words whose
//! tokens sum to *n*. The words are measured many at a time: written between marks
//! (`7 one 7 two 7`), encoded at once, and cut apart at the marks' tokens. So even a tokenizer
//! behind a server needs only a few calls.
//!
//! # Invariants
//!
//! - A word is of letters alone: a chat template's line end or bracket cannot merge with it.
//! - An opener has the same length with and without a space before it, wherever such words can
//!   be found, because what precedes the prompt is the template's business.
//!
//! Not here: whether the sums really are exact, which [`crate::compose`] checks on samples.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::thread;

use crate::corpus;
use crate::draw::Draws;
use crate::tokenizer::Tokenizer;
use crate::workload::WorkloadError;

/// Common words that practically every English vocabulary holds as one token each.
const COMMON: &str = include_str!("../corpus/words.txt");

/// The mark between words. No word and no chunk of the corpus contains it.
const MARK: &str = "7";

/// Words in one call of the tokenizer: a text that fits the context of every served model.
const BATCH: usize = 512;

/// As many words of one token each make a lexicon; with fewer, longer ones are used too.
const ENOUGH_SINGLES: usize = 300;

/// As many openers make prompts unlike; with fewer, words are measured alone.
const ENOUGH_OPENERS: usize = 64;

/// How many words are measured alone at the most, one call each.
const MEASURED_ALONE: usize = 200;

/// A word of more tokens is not used.
const WORD_TOKENS: usize = 16;

/// Remainders below this are checked for being a sum of words; greater ones all are, unless all
/// words' lengths share a divisor.
const HORIZON: usize = 64;

/// Words that are dealt where they cannot be counted: each prompt then holds nearly the same mix
/// of words, so that equal numbers of words have nearly equal numbers of tokens.
pub(crate) const DECK: usize = 32;

/// A piece of text and its tokens when a space precedes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The text, without the space.
    pub(crate) text: Box<str>,
    /// Its tokens; none where there is no tokenizer.
    pub(crate) ids: Box<[u32]>,
    /// How many tokens; 1 for each word where there is no tokenizer.
    pub(crate) tokens: u32,
}

/// Where in a prompt words are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At its beginning.
    Opening,
    /// After other text.
    Within,
}

/// How words are picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Picking {
    /// Each alike, whatever came before.
    Drawn,
    /// From a shuffled deck of [`DECK`], and another when it is used up.
    Dealt,
}

/// Words to draw from.
pub(crate) struct Lexicon {
    openers: Vec<Piece>,
    words: Vec<Piece>,
    picking: Picking,
    /// Which small remainders words can fill.
    fillable: [bool; HORIZON],
}

impl Lexicon {
    /// Returns the built-in words, each counted as one.
    pub(crate) fn uncounted() -> Self {
        let words: Vec<_> = common().map(uncounted).take(DECK).collect();
        Self { picking: Picking::Dealt, ..Self::new(words.clone(), words) }
    }

    /// Returns the words of this tokenizer with their tokens.
    ///
    /// # Errors
    /// When the tokenizer fails, or does not separate words.
    pub(crate) fn measured(tokenizer: &dyn Tokenizer) -> Result<Self, WorkloadError> {
        let candidates = candidates(tokenizer);
        let texts: Vec<_> = candidates.iter().map(String::as_str).collect();
        let (spaced, lined) = thread::scope(|scope| {
            let lined = scope.spawn(|| Measured::take(tokenizer, "\n", &texts));
            (Measured::take(tokenizer, " ", &texts), lined.join())
        });
        let spaced = spaced?;
        // A vocabulary with line ends inside tokens tells nothing: then words are measured alone.
        let lined = match lined.unwrap_or_else(|fault| resume_unwind(fault)) {
            Err(WorkloadError::NoWords) => Measured { groups: Vec::new(), mark_tokens: 0 },
            taken => taken?,
        };

        // Words with the same tokens as another are what the vocabulary does not know.
        let mut bearers: BTreeMap<&[u32], u32> = BTreeMap::new();
        for ids in &spaced.groups {
            *bearers.entry(ids).or_default() += 1;
        }
        let (mut words, mut openers) = (Vec::new(), Vec::new());
        for (at, (text, ids)) in texts.iter().zip(&spaced.groups).enumerate() {
            if ids.is_empty() || ids.len() > WORD_TOKENS || bearers[&ids[..]] > 1 {
                continue;
            }
            let word = piece(text, ids);
            // The mark is a line end and one token: what is left of the group is the word.
            let after_line = lined.groups.get(at).map(Vec::len);
            if after_line.is_some_and(|tokens| tokens + 1 == ids.len() + lined.mark_tokens) {
                openers.push(word.clone());
            }
            words.push(word);
        }
        if words.iter().filter(|word| word.tokens == 1).count() >= ENOUGH_SINGLES {
            words.retain(|word| word.tokens == 1);
            openers.retain(|word| word.tokens == 1);
        }
        if openers.len() < ENOUGH_OPENERS {
            openers = measured_alone(tokenizer, &words)?;
        }
        if words.is_empty() || openers.is_empty() {
            return Err(WorkloadError::NoWords);
        }
        Ok(Self::new(openers, words))
    }

    fn new(openers: Vec<Piece>, words: Vec<Piece>) -> Self {
        let mut fillable = [false; HORIZON];
        fillable[0] = true;
        let lengths: BTreeSet<usize> = words.iter().map(|word| word.tokens as usize).collect();
        for tokens in 1..HORIZON {
            fillable[tokens] =
                lengths.iter().any(|&length| length <= tokens && fillable[tokens - length]);
        }
        Self { openers, words, picking: Picking::Drawn, fillable }
    }

    /// Says whether words after other text can sum to exactly so many tokens.
    pub(crate) fn can_fill(&self, tokens: u32) -> bool {
        self.fillable.get(tokens as usize).copied().unwrap_or(true)
    }

    /// Draws words of exactly `tokens` tokens in sum and appends them to `pieces`.
    ///
    /// # Errors
    /// When no words sum to it.
    pub(crate) fn fill<'a>(
        &'a self,
        draws: &mut Draws,
        place: Place,
        tokens: u32,
        pieces: &mut Vec<&'a Piece>,
    ) -> Result<(), WorkloadError> {
        if self.picking == Picking::Dealt {
            self.deal(draws, tokens as usize, pieces);
            return Ok(());
        }
        let mut pool = match place {
            Place::Opening => &self.openers,
            Place::Within => &self.words,
        };
        let mut left = tokens;
        while left > 0 {
            let fits =
                |word: &&Piece| left.checked_sub(word.tokens).is_some_and(|l| self.can_fill(l));
            let mut word = &pool[draws.index(pool.len())];
            if !fits(&word) {
                let fitting: Vec<_> = pool.iter().filter(fits).collect();
                if fitting.is_empty() {
                    return Err(WorkloadError::Unfillable { tokens });
                }
                word = fitting[draws.index(fitting.len())];
            }
            left -= word.tokens;
            pieces.push(word);
            pool = &self.words;
        }
        Ok(())
    }

    /// Deals so many words from shuffled decks (Fisher and Yates).
    fn deal<'a>(&'a self, draws: &mut Draws, count: usize, pieces: &mut Vec<&'a Piece>) {
        let mut deck: Vec<_> = self.words.iter().collect();
        for dealt in 0..count {
            let at = dealt % deck.len();
            let other = at + draws.index(deck.len() - at);
            deck.swap(at, other);
            pieces.push(deck[at]);
        }
    }

    /// Returns how many words there are to draw from.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }
}

/// Measures each of these chunks of text, with a space before it.
///
/// # Errors
/// When the tokenizer fails, or does not separate words.
pub(crate) fn measure(
    tokenizer: &dyn Tokenizer,
    chunks: &[&str],
) -> Result<Vec<Piece>, WorkloadError> {
    let measured = Measured::take(tokenizer, " ", chunks)?;
    Ok(chunks.iter().zip(&measured.groups).map(|(text, ids)| piece(text, ids)).collect())
}

/// Returns a piece that counts as one.
pub(crate) fn uncounted(text: &str) -> Piece {
    Piece { text: text.into(), ids: Box::default(), tokens: 1 }
}

fn piece(text: &str, ids: &[u32]) -> Piece {
    Piece { text: text.into(), ids: ids.into(), tokens: ids.len() as u32 }
}

fn common() -> impl Iterator<Item = &'static str> {
    COMMON.split_ascii_whitespace()
}

/// Returns different words that are worth measuring: the vocabulary's own where it can be seen,
/// else the built-in ones.
fn candidates(tokenizer: &dyn Tokenizer) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let own = tokenizer.words().into_iter();
    let mut words: Vec<_> = own.filter(|word| seen.insert(word.clone())).collect();
    if words.len() < 2 * ENOUGH_SINGLES {
        let built_in = common().map(str::to_owned).chain(corpus::words());
        words.extend(built_in.filter(|word| seen.insert(word.clone())));
    }
    words
}

/// Measures words as the beginning of a text, one call each: for tokenizers to which a word at
/// the beginning is always shorter than one after a space, such as those of single bytes.
fn measured_alone(tokenizer: &dyn Tokenizer, words: &[Piece]) -> Result<Vec<Piece>, WorkloadError> {
    let letters = ('a'..='z').map(String::from);
    let texts = words.iter().map(|word| word.text.to_string()).take(MEASURED_ALONE);
    let mut alone = Vec::new();
    for text in letters.chain(texts) {
        let ids = tokenizer.encode(&text)?;
        alone.push(piece(&text, &ids));
    }
    Ok(alone)
}

/// The tokens of words, cut out of a longer text.
struct Measured {
    /// The tokens of each word, those of the gap before it included.
    groups: Vec<Vec<u32>>,
    /// How many tokens a mark has, those of the gap before it included.
    mark_tokens: usize,
}

impl Measured {
    fn take(tokenizer: &dyn Tokenizer, gap: &str, words: &[&str]) -> Result<Self, WorkloadError> {
        let first = tokenizer.encode(MARK)?;
        let both = tokenizer.encode(&format!("{MARK}{gap}{MARK}"))?;
        let mark = both.strip_prefix(&first[..]).filter(|mark| !mark.is_empty());
        let mark = mark.ok_or(WorkloadError::NoWords)?;
        let mut groups = Vec::with_capacity(words.len());
        for batch in words.chunks(BATCH) {
            let ids = tokenizer.encode(&between_marks(gap, batch))?;
            let mut rest = ids.strip_prefix(&first[..]).ok_or(WorkloadError::NoWords)?;
            for _ in batch {
                let end = rest.windows(mark.len()).position(|window| window == mark);
                let end = end.ok_or(WorkloadError::NoWords)?;
                groups.push(rest[..end].to_vec());
                rest = &rest[end + mark.len()..];
            }
            if !rest.is_empty() {
                return Err(WorkloadError::NoWords);
            }
        }
        Ok(Self { groups, mark_tokens: mark.len() })
    }
}

fn between_marks(gap: &str, words: &[&str]) -> String {
    let mut text = MARK.to_owned();
    for word in words {
        for part in [gap, word, gap, MARK] {
            text.push_str(part);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use crate::tokenizer::TokenizeError;
    use infermark_terms::Seed;

    #[test]
    fn the_common_words_are_lowercase_different_and_many() {
        let words: BTreeSet<_> = common().collect();
        assert_eq!(words.len(), common().count());
        assert!(words.len() >= 400, "{}", words.len());
        assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase())));
    }

    #[test]
    fn uncounted_words_are_dealt_in_equal_measure() {
        let lexicon = Lexicon::uncounted();
        let mut pieces = Vec::new();
        lexicon
            .fill(&mut Draws::new(Seed(1)), Place::Opening, 5 * DECK as u32, &mut pieces)
            .unwrap();
        for word in &lexicon.words {
            assert_eq!(pieces.iter().filter(|piece| **piece == word).count(), 5);
        }
        assert_ne!(pieces[..DECK], pieces[DECK..2 * DECK]);
    }

    #[test]
    fn measured_words_have_the_length_that_their_tokenizer_says() {
        for (name, tokenizer) in samples::all() {
            let lexicon = Lexicon::measured(&*tokenizer).unwrap();
            for word in lexicon.words.iter().take(300) {
                let after = tokenizer.count(&format!("it {}", word.text)).unwrap();
                let before = tokenizer.count("it").unwrap();
                assert_eq!(after - before, word.tokens, "{name}: {word:?}");
            }
            for word in lexicon.openers.iter().take(300) {
                assert_eq!(tokenizer.count(&word.text).unwrap(), word.tokens, "{name}: {word:?}");
            }
        }
    }

    #[test]
    fn a_vocabulary_of_8192_gives_a_thousand_words_of_one_token() {
        let lexicon = Lexicon::measured(&*samples::byte_level()).unwrap();
        assert!(lexicon.len() >= 1000, "{}", lexicon.len());
        assert!(lexicon.words.iter().all(|word| word.tokens == 1));
        assert!(lexicon.openers.len() >= ENOUGH_OPENERS);
    }

    #[test]
    fn a_tokenizer_behind_a_server_is_called_a_few_times() {
        let remote = samples::Remote::of(samples::byte_level());
        let lexicon = Lexicon::measured(&remote).unwrap();
        assert!(lexicon.len() >= 1000, "{}", lexicon.len());
        assert!(remote.calls() <= 20, "{} calls", remote.calls());
    }

    /// A tokenizer to which a digit and a line end are one token.
    struct LineJoiner(std::sync::Arc<dyn Tokenizer>);

    impl Tokenizer for LineJoiner {
        fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
            let joined = self.0.encode("7\n")?;
            let mut ids = self.0.encode(text)?;
            while let Some(at) = ids.windows(2).position(|pair| pair == joined) {
                let _ = ids.splice(at..at + 2, [u32::MAX]);
            }
            Ok(ids)
        }
    }

    #[test]
    fn where_line_ends_join_tokens_openers_are_measured_alone() {
        let tokenizer = LineJoiner(samples::small());
        let lexicon = Lexicon::measured(&tokenizer).unwrap();
        assert!(lexicon.len() >= ENOUGH_SINGLES);
        assert!(lexicon.openers.len() >= ENOUGH_OPENERS);
        for word in &lexicon.openers {
            assert_eq!(tokenizer.count(&word.text).unwrap(), word.tokens, "{word:?}");
        }
    }

    #[test]
    fn what_words_cannot_sum_to_is_refused() {
        let two = |text: &str| Piece { text: text.into(), ids: [1, 2].into(), tokens: 2 };
        let lexicon = Lexicon::new(vec![two("ab")], vec![two("cd")]);
        let mut pieces = Vec::new();
        let draws = &mut Draws::new(Seed(1));
        lexicon.fill(draws, Place::Opening, 6, &mut pieces).unwrap();
        assert_eq!(pieces.len(), 3);
        let error = lexicon.fill(draws, Place::Opening, 7, &mut pieces).unwrap_err();
        assert!(matches!(error, WorkloadError::Unfillable { tokens: 7 }));
    }
}
