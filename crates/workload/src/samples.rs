//! Tokenizers of every kind, trained on the built-in text, for this crate's tests.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};
use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::models::unigram::{Unigram, UnigramTrainerBuilder};
use tokenizers::models::wordpiece::{WordPiece, WordPieceTrainerBuilder};
use tokenizers::normalizers::{Prepend, Replace, Sequence};
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, NormalizerWrapper, Tokenizer as Library, TruncationParams};

use crate::tokenizer::{FileTokenizer, Site, TokenizeError, Tokenizer};

const TEXT: &str = include_str!("../corpus/eighty-days.txt");

/// What the text lacks and every real vocabulary has.
const DIGITS: &str = " 0 1 2 3 4 5 6 7 8 9";

type Shared = Arc<dyn Tokenizer>;

fn special() -> Vec<AddedToken> {
    ["<unk>", "<s>", "[UNK]"].map(|token| AddedToken::from(token, true)).into()
}

fn train<S: AsRef<str> + Send>(
    library: &mut Library,
    trainer: impl Into<TrainerWrapper>,
    lines: impl Iterator<Item = S> + Send,
) {
    let _ = library.train(&mut trainer.into(), lines).unwrap();
}

/// Writes the tokenizer and opens it again, as a user's file is opened.
fn opened(library: &Library) -> Shared {
    let folder = tempfile::tempdir().unwrap();
    library.save(folder.path().join("tokenizer.json"), false).unwrap();
    Arc::new(FileTokenizer::open(folder.path()).unwrap())
}

/// Byte-level BPE of 8192 entries, as GPT-2, Llama 3 and Qwen have it.
pub(crate) fn byte_level() -> Shared {
    static MADE: LazyLock<Shared> = LazyLock::new(|| byte_level_of(8192));
    Arc::clone(&MADE)
}

/// The same with 2048 entries, which costs these tests less.
pub(crate) fn small() -> Shared {
    static MADE: LazyLock<Shared> = LazyLock::new(|| byte_level_of(2048));
    Arc::clone(&MADE)
}

/// Single bytes, no merges.
pub(crate) fn bytes() -> Shared {
    static MADE: LazyLock<Shared> = LazyLock::new(|| byte_level_of(0));
    Arc::clone(&MADE)
}

fn byte_level_of(entries: usize) -> Shared {
    opened(&byte_level_library(entries))
}

fn byte_level_library(entries: usize) -> Library {
    let mut library = Library::new(BPE::default());
    let _ = library.with_pre_tokenizer(Some(ByteLevel::default().add_prefix_space(false)));
    let _ = library.with_decoder(Some(ByteLevelDecoder::default()));
    let trainer = BpeTrainerBuilder::new()
        .vocab_size(entries)
        .show_progress(false)
        .special_tokens(special())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    train(&mut library, trainer, TEXT.lines());
    library
}

/// Byte pair encodings as the library has them: one splits at spaces and adds special tokens
/// around a text, the other normalizes whole lines.
pub(crate) fn byte_pairs() -> [(&'static str, Library); 2] {
    let mut framed = byte_level_library(1024);
    let frame = TemplateProcessing::builder()
        .try_single("<s> $0 [UNK]")
        .unwrap()
        .special_tokens(vec![("<s>", 1), ("[UNK]", 2)])
        .build()
        .unwrap();
    let _ = framed.with_post_processor(Some(frame));
    let word = AddedToken::from("Reform Club", false).single_word(true).lstrip(true);
    let _ = framed.add_tokens([word]).unwrap();
    [("byte-level", framed), ("without pre-tokenizer", JOINED.clone())]
}

/// BPE over whole lines with spaces marked, no pre-tokenizer, as Llama 2 has it.
fn joined_bpe() -> Shared {
    static MADE: LazyLock<Shared> = LazyLock::new(|| opened(&JOINED));
    Arc::clone(&MADE)
}

static JOINED: LazyLock<Library> = LazyLock::new(|| {
    // Trained word by word: else most of the vocabulary would span words.
    let mut library = Library::new(BPE::default());
    let metaspace = Metaspace::new('▁', PrependScheme::Always, true);
    let _ = library.with_pre_tokenizer(Some(metaspace));
    let trainer = BpeTrainerBuilder::new()
        .vocab_size(2000)
        .show_progress(false)
        .special_tokens(special())
        .build();
    train(&mut library, trainer, TEXT.lines().chain([DIGITS]));
    let _ = library.with_pre_tokenizer(None::<Metaspace>);
    let marks: Vec<NormalizerWrapper> =
        vec![Prepend::new("▁".into()).into(), Replace::new(" ", "▁").unwrap().into()];
    let _ = library.with_normalizer(Some(Sequence::new(marks))).unwrap();
    library
});

/// The same, with tokens that span two of the first hundred words each.
pub(crate) fn spanning() -> Shared {
    static MADE: LazyLock<Shared> = LazyLock::new(|| {
        let mut json: Value = serde_json::from_str(&JOINED.to_string(false).unwrap()).unwrap();
        let vocabulary = json["model"]["vocab"].as_object().unwrap().clone();
        let lowercase = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase());
        let whole =
            |token: &&String| token.strip_prefix('▁').is_some_and(|w| w.len() > 2 && lowercase(w));
        let words: Vec<_> = vocabulary.keys().filter(whole).take(100).collect();
        for (one, two) in words.iter().flat_map(|one| words.iter().map(move |two| (one, two))) {
            let id = json["model"]["vocab"].as_object().unwrap().len();
            json["model"]["vocab"][format!("{one}{two}")] = id.into();
            json["model"]["merges"].as_array_mut().unwrap().push(json!([one, two]));
        }
        opened(&Library::from_bytes(json.to_string()).unwrap())
    });
    Arc::clone(&MADE)
}

/// Unigram with spaces marked, as T5 and Gemma have it.
fn unigram() -> Shared {
    static MADE: LazyLock<Shared> = LazyLock::new(|| {
        let mut library = Library::new(Unigram::default());
        let metaspace = Metaspace::new('▁', PrependScheme::Always, true);
        let _ = library.with_pre_tokenizer(Some(metaspace));
        let trainer = UnigramTrainerBuilder::default()
            .vocab_size(2000)
            .show_progress(false)
            .special_tokens(special())
            .unk_token(Some("<unk>".into()))
            .build()
            .unwrap();
        train(&mut library, trainer, TEXT.lines().take(150).chain([DIGITS]));
        opened(&library)
    });
    Arc::clone(&MADE)
}

/// `WordPiece`, as BERT has it.
fn word_piece() -> Shared {
    static MADE: LazyLock<Shared> = LazyLock::new(|| opened(&word_piece_library()));
    Arc::clone(&MADE)
}

fn word_piece_library() -> Library {
    let mut library = Library::new(WordPiece::default());
    let _ = library.with_pre_tokenizer(Some(BertPreTokenizer));
    let trainer = WordPieceTrainerBuilder::default()
        .vocab_size(2000)
        .show_progress(false)
        .special_tokens(special())
        .build();
    train(&mut library, trainer, TEXT.lines().chain([DIGITS]));
    library
}

/// A tokenizer whose file asks for truncation to two tokens.
pub(crate) fn truncating() -> Library {
    let mut library = word_piece_library();
    let truncation = TruncationParams { max_length: 2, ..TruncationParams::default() };
    let _ = library.with_truncation(Some(truncation)).unwrap();
    library
}

/// One of each kind that separates words.
pub(crate) fn all() -> [(&'static str, Shared); 5] {
    [
        ("byte-level BPE", small()),
        ("single bytes", bytes()),
        ("BPE without pre-tokenizer", joined_bpe()),
        ("unigram", unigram()),
        ("WordPiece", word_piece()),
    ]
}

/// A tokenizer behind a server: encodes, shows no vocabulary, and counts its calls.
pub(crate) struct Remote {
    inner: Shared,
    calls: AtomicU32,
}

impl Remote {
    pub(crate) fn of(inner: Shared) -> Self {
        Self { inner, calls: AtomicU32::new(0) }
    }

    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Tokenizer for Remote {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
        let _ = self.calls.fetch_add(1, Ordering::Relaxed);
        self.inner.encode(text)
    }

    fn site(&self) -> Site {
        Site::Remote
    }
}
