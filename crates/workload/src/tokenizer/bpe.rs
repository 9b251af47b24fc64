//! A fast way to read the `tokenizer.json` of a byte pair encoding, as most models ship it.
//!
//! The tokenizers library reads a model by way of a general JSON tree, since it must find out of
//! what kind it is. Here vocabulary and merges go from the text into the model at once, each on
//! a thread of its own; everything else is small, and is read by the library's own types.
//!
//! Invariant: what is read here tokenizes as the library's own reading does; what is not
//! understood is left to the library.
//!
//! Not here: other models, and truncation and padding, which are never applied.

use std::panic::resume_unwind;
use std::{fmt, thread};

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
    Tokenizer,
};

/// The format's only version.
const VERSION: &str = "1.0";

/// A file.
#[derive(Deserialize)]
struct Parts<'a> {
    version: Option<String>,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    normalizer: Option<NormalizerWrapper>,
    pre_tokenizer: Option<PreTokenizerWrapper>,
    post_processor: Option<PostProcessorWrapper>,
    decoder: Option<DecoderWrapper>,
    #[serde(borrow)]
    model: Model<'a>,
}

/// Its model.
#[derive(Deserialize)]
struct Model<'a> {
    #[serde(rename = "type")]
    kind: Kind,
    dropout: Option<f32>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    fuse_unk: Option<bool>,
    byte_fallback: Option<bool>,
    ignore_merges: Option<bool>,
    #[serde(borrow)]
    vocab: &'a RawValue,
    #[serde(borrow)]
    merges: &'a RawValue,
}

/// The kinds that are read here.
#[derive(Deserialize)]
enum Kind {
    #[serde(rename = "BPE")]
    BytePairs,
}

/// Two tokens that become one: `["a", "b"]`, or `"a b"` in older files.
struct Merge(String, String);

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MergeVisitor)
    }
}

struct MergeVisitor;

impl<'de> Visitor<'de> for MergeVisitor {
    type Value = Merge;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("two tokens")
    }

    fn visit_str<E: Error>(self, line: &str) -> Result<Merge, E> {
        let pair = line.split_once(' ').filter(|(_, second)| !second.contains(' '));
        let (first, second) = pair.ok_or_else(|| E::custom("a merge is not of two tokens"))?;
        Ok(Merge(first.to_owned(), second.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Merge, A::Error> {
        let mut token = |place| {
            let token = pair.next_element()?;
            token.ok_or_else(|| A::Error::invalid_length(place, &self))
        };
        Ok(Merge(token(0)?, token(1)?))
    }
}

/// Returns the tokenizer, or nothing where the library has to look at the file.
pub(super) fn read(json: &[u8]) -> Option<Tokenizer> {
    let parts: Parts<'_> = serde_json::from_slice(json).ok()?;
    if parts.version.is_some_and(|version| version != VERSION) {
        return None;
    }
    let mut tokenizer = Tokenizer::new(model(parts.model)?);
    let _ = tokenizer.with_normalizer(parts.normalizer).ok()?;
    let _ = tokenizer
        .with_pre_tokenizer(parts.pre_tokenizer)
        .with_post_processor(parts.post_processor)
        .with_decoder(parts.decoder);
    let _ = tokenizer.add_tokens(parts.added_tokens).ok()?;
    Some(tokenizer)
}

fn model(model: Model<'_>) -> Option<BPE> {
    let Model { kind: Kind::BytePairs, vocab, merges, .. } = model;
    let (vocab, merges) = thread::scope(|scope| {
        let merges = scope.spawn(|| serde_json::from_str::<Vec<Merge>>(merges.get()));
        let vocab = serde_json::from_str::<Vocab>(vocab.get());
        (vocab, merges.join().unwrap_or_else(|fault| resume_unwind(fault)))
    });
    let (vocab, merges) = (vocab.ok()?, merges.ok()?);
    let merges = merges.into_iter().map(|Merge(first, second)| (first, second)).collect();
    let mut builder = BPE::builder()
        .vocab_and_merges(vocab, merges)
        .fuse_unk(model.fuse_unk.unwrap_or_default())
        .byte_fallback(model.byte_fallback.unwrap_or_default())
        .ignore_merges(model.ignore_merges.unwrap_or_default());
    if let Some(dropout) = model.dropout {
        builder = builder.dropout(dropout);
    }
    if let Some(token) = model.unk_token {
        builder = builder.unk_token(token);
    }
    if let Some(prefix) = model.continuing_subword_prefix {
        builder = builder.continuing_subword_prefix(prefix);
    }
    if let Some(suffix) = model.end_of_word_suffix {
        builder = builder.end_of_word_suffix(suffix);
    }
    builder.build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use serde_json::{Value, json};

    /// Texts that part along words, signs, special tokens and bytes of several scripts.
    const TEXTS: [&str; 6] = [
        "",
        "Phileas Fogg was a member of the Reform Club, and that was all.",
        "<s>one <unk> two<s> [UNK]</s>",
        "  leading, trailing \n\n\tand 1,234,567.89 between  ",
        "naïve café — 東京 🚂 Größe",
        "aaaaaaaaaaaaaaaaaaaaaaaa",
    ];

    fn ids(tokenizer: &Tokenizer) -> Vec<Vec<(u32, (usize, usize))>> {
        let encode = |text| tokenizer.encode(text, true).unwrap();
        let told = |text| {
            let encoding = encode(text);
            let ids = encoding.get_ids().iter().copied();
            ids.zip(encoding.get_offsets().iter().copied()).collect()
        };
        TEXTS.into_iter().map(told).collect()
    }

    #[test]
    fn the_librarys_reading_and_ours_tokenize_alike() {
        for (name, library) in samples::byte_pairs() {
            let file = library.to_string(false).unwrap();
            let ours = read(file.as_bytes()).unwrap();
            let theirs = Tokenizer::from_bytes(&file).unwrap();
            assert_eq!(ids(&ours), ids(&theirs), "{name}");
            assert_eq!(ours.to_string(false).unwrap(), file, "{name}");
        }
    }

    #[test]
    fn merges_of_older_files_are_read_alike() {
        let (_, library) = samples::byte_pairs().into_iter().next().unwrap();
        let file = library.to_string(false).unwrap();
        let mut json: Value = serde_json::from_str(&file).unwrap();
        for merge in json["model"]["merges"].as_array_mut().unwrap() {
            *merge =
                format!("{} {}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap()).into();
        }
        let ours = read(json.to_string().as_bytes()).unwrap();
        assert_eq!(ids(&ours), ids(&library));
        assert_eq!(ours.to_string(false).unwrap(), file);
    }

    #[test]
    fn every_setting_of_the_model_is_kept() {
        let file = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
            "model": {
                "type": "BPE", "dropout": 0.5, "unk_token": "<unk>",
                "continuing_subword_prefix": "##", "end_of_word_suffix": "</w>", "fuse_unk": true,
                "byte_fallback": true, "ignore_merges": true,
                "vocab": {"<unk>": 0, "a": 1, "##b": 2, "ab": 3}, "merges": [["a", "##b"]],
            },
        });
        let read = read(file.to_string().as_bytes()).unwrap().to_string(false).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&read).unwrap(), file);
    }

    #[test]
    fn what_is_not_understood_is_left_to_the_library() {
        let model = |kind: &str, merges: Value| {
            let vocab = json!({"a": 0, "b": 1, "ab": 2});
            json!({"version": "1.0", "model": {"type": kind, "vocab": vocab, "merges": merges}})
        };
        let is_read = |file: &Value| read(file.to_string().as_bytes()).is_some();
        assert!(is_read(&model("BPE", json!(["a b"]))));
        for merges in [json!(["a b c"]), json!(["ab"]), json!([["a"]]), json!(["a c"])] {
            assert!(!is_read(&model("BPE", merges)));
        }
        assert!(!is_read(&model("WordPiece", json!([]))));
        let mut other = model("BPE", json!([]));
        other["version"] = "2.0".into();
        assert!(!is_read(&other));
    }
}
