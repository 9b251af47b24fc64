//! The simulator's own tokenizer and its answers' words.
//!
//! A token is a piece of text: at most one whitespace character, and then at most
//! [`PIECE_LETTERS`] others; a whitespace character that no word follows is a token by itself.
//! So ` hello` is one token, `hello world` two, and a long word several. Token counts add up
//! over texts that are joined where a word begins with its space.
//!
//! The vocabulary is [`VOCABULARY`] invented words of three syllables, such as ` bakedo`. An
//! answer consists of them, one token each. Any other piece has the id of its hash: ids decode to
//! a text of as many tokens, not to the text that they came from.
//!
//! Deliberately not here: special tokens in text. The chat template's tokens have ids past the
//! vocabulary and no text.

use infermark_terms::{Message, Seed};

/// The most letters in one token, its space not counted.
pub const PIECE_LETTERS: usize = 8;

/// The number of words, three syllables of five bits each.
pub const VOCABULARY: u32 = 1 << 15;

/// Tokens that the chat template adds to each conversation.
pub const CHAT_TOKENS: u32 = 5;

/// Tokens that the chat template adds for each message.
pub const MESSAGE_TOKENS: u32 = 3;

/// The bytes of a vocabulary word with its space.
pub const WORD_BYTES: usize = 7;

const CONSONANTS: &[u8; 8] = b"bdgklmnt";
const VOWELS: &[u8; 4] = b"aeio";

/// Returns the word with this id, its space in front. Ids past the vocabulary wrap around.
pub fn word(id: u32) -> [u8; WORD_BYTES] {
    let mut word = [b' '; WORD_BYTES];
    for (place, syllable) in word[1..].chunks_exact_mut(2).enumerate() {
        let bits = (id >> (5 * place)) as usize;
        syllable[0] = CONSONANTS[bits >> 2 & 7];
        syllable[1] = VOWELS[bits & 3];
    }
    word
}

/// Appends the ids of a text's tokens.
pub fn encode(text: &str, ids: &mut Vec<u32>) {
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(piece_bytes(rest));
        ids.push(id_of(piece));
        rest = tail;
    }
}

/// Returns how many tokens a text has.
pub fn count(text: &str) -> usize {
    let mut rest = text;
    let mut count = 0;
    while !rest.is_empty() {
        rest = &rest[piece_bytes(rest)..];
        count += 1;
    }
    count
}

/// Returns a text of these tokens.
pub fn decode(ids: &[u32]) -> String {
    ids.iter().flat_map(|&id| word(id)).map(char::from).collect()
}

/// Whether the template's opening of the answer follows a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The model is to answer.
    Answer,
    /// The conversation stands for itself.
    None,
}

/// Returns the ids of a conversation under the chat template: two tokens, then for each message
/// three and its text, and three that open the answer.
///
/// They are the three of an assistant's message, so that the next turn of a conversation begins
/// with the whole of this one, answer included.
pub fn encode_chat(messages: &[Message], opening: Opening) -> Vec<u32> {
    let mut ids = vec![VOCABULARY, VOCABULARY + 1];
    for message in messages {
        ids.extend_from_slice(&header(&message.role));
        encode(&message.content, &mut ids);
    }
    if opening == Opening::Answer {
        ids.extend_from_slice(&header("assistant"));
    }
    ids
}

/// The template's tokens in front of a message.
fn header(role: &str) -> [u32; MESSAGE_TOKENS as usize] {
    [VOCABULARY + 2, VOCABULARY + 4 + hash(role) % 1024, VOCABULARY + 3]
}

/// Returns the length of the first token of a text that is not empty.
fn piece_bytes(text: &str) -> usize {
    let mut letters = 0;
    for (at, char) in text.char_indices() {
        if char.is_whitespace() {
            if at > 0 {
                return at;
            }
        } else if letters == PIECE_LETTERS {
            return at;
        } else {
            letters += 1;
        }
    }
    text.len()
}

fn id_of(piece: &str) -> u32 {
    let letters = piece.trim_start();
    spelled(letters.as_bytes()).unwrap_or_else(|| hash(letters) % VOCABULARY)
}

/// Returns the id of a word of the vocabulary.
fn spelled(letters: &[u8]) -> Option<u32> {
    if letters.len() != WORD_BYTES - 1 {
        return None;
    }
    let mut id = 0;
    for (place, syllable) in letters.chunks_exact(2).enumerate() {
        let consonant = CONSONANTS.iter().position(|&letter| letter == syllable[0])?;
        let vowel = VOWELS.iter().position(|&letter| letter == syllable[1])?;
        id |= ((consonant << 2 | vowel) as u32) << (5 * place);
    }
    Some(id)
}

fn hash(text: &str) -> u32 {
    (Seed(0).named(text).0 >> 32) as u32
}

/// What a model would say to a prompt: it depends on nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voice(Seed);

/// The mean of the lengths at which answers end by themselves.
const NATURAL_MEAN: f64 = 256.0;

impl Voice {
    /// Returns the voice that answers this prompt.
    pub fn of(prompt: &[u32]) -> Self {
        Self(prompt.iter().fold(Seed(0).named("prompt"), |seed, &id| seed.at(u64::from(id))))
    }

    /// Returns the token at this place of the answer.
    pub fn token(self, place: u32) -> u32 {
        (self.0.named("answer").at(u64::from(place)).0 % u64::from(VOCABULARY)) as u32
    }

    /// Returns after how many tokens the answer ends by itself: exponentially distributed with a
    /// mean of 256, at least 1.
    pub fn natural_length(self) -> u32 {
        let uniform = self.0.named("length").unit_above_zero();
        (-uniform.ln() * NATURAL_MEAN).ceil().max(1.0) as u32
    }
}

/// Returns a hash for each full block of `block_tokens` of the prompt and the answer after it,
/// each over all tokens up to the block's end.
pub fn block_hashes(prompt: &[u32], voice: Voice, answer_tokens: u32, block: u32) -> Vec<u64> {
    let answer = (0..answer_tokens).map(|place| voice.token(place));
    let mut seed = Seed(0).named("blocks");
    let mut blocks = Vec::new();
    let mut filled = 0;
    for id in prompt.iter().copied().chain(answer) {
        seed = seed.at(u64::from(id));
        filled += 1;
        if filled == block {
            blocks.push(seed.0);
            filled = 0;
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids(text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        encode(text, &mut ids);
        ids
    }

    fn turn(role: &str, content: &str) -> Message {
        Message { role: role.to_owned(), content: content.to_owned() }
    }

    #[test]
    fn a_token_is_a_space_and_up_to_eight_letters() {
        for (text, tokens) in [
            ("", 0),
            ("hello", 1),
            (" hello", 1),
            ("hello world", 2),
            ("incomprehensible", 2),
            (" incomprehensibly!", 3),
            ("a  b\n\n", 5),
            ("überfüßig", 2),
        ] {
            assert_eq!(count(text), tokens, "{text:?}");
            assert_eq!(ids(text).len(), tokens);
        }
    }

    #[test]
    fn the_vocabulary_survives_decoding_and_encoding() {
        let all: Vec<u32> = (0..VOCABULARY).collect();
        assert_eq!(ids(&decode(&all)), all);
        // A client may trim the answer's first space.
        assert_eq!(ids(decode(&[77, 78]).trim_start()), [77, 78]);
    }

    #[test]
    fn the_chat_template_adds_five_tokens_and_three_for_each_message() {
        let messages = [turn("system", "be brief"), turn("user", "hello there friend")];
        let chat = encode_chat(&messages, Opening::Answer);
        assert_eq!(chat.len() as u32, CHAT_TOKENS + 2 * MESSAGE_TOKENS + 5);
        let bare = encode_chat(&messages, Opening::None);
        assert_eq!(chat[..bare.len()], bare);
    }

    #[test]
    fn the_next_turn_begins_with_the_blocks_of_this_one() {
        let first = [turn("user", "what is a block of tokens and why sixteen?")];
        let prompt = encode_chat(&first, Opening::Answer);
        let voice = Voice::of(&prompt);
        let answer: Vec<u32> = (0..40).map(|place| voice.token(place)).collect();
        let blocks = block_hashes(&prompt, voice, 40, 16);
        assert_eq!(blocks.len(), (prompt.len() + 40) / 16);
        let second = [first[0].clone(), turn("assistant", &decode(&answer)), turn("user", "why?")];
        let prompt = encode_chat(&second, Opening::Answer);
        let next = block_hashes(&prompt, Voice::of(&prompt), 0, 16);
        assert_eq!(next[..blocks.len()], blocks);
    }

    #[test]
    fn natural_lengths_have_the_stated_mean() {
        let lengths = (0..20_000).map(|id| f64::from(Voice::of(&[id]).natural_length()));
        let mean = lengths.sum::<f64>() / 20_000.0;
        // The mean of the ceiling is half a token more; five standard errors are 9.
        assert!((mean - NATURAL_MEAN - 0.5).abs() < 9.0, "{mean}");
    }

    proptest! {
        #[test]
        fn counts_add_up_where_a_word_begins(a in "\\PC{0,40}", b in "[a-z]{1,9}( \\PC{0,40})?") {
            let b = format!(" {b}");
            prop_assert_eq!(count(&a) + count(&b), count(&format!("{a}{b}")));
            prop_assert_eq!(ids(&a).len(), count(&a));
        }
    }
}
