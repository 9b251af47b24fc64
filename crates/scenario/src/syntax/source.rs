//! Datasets and tokenizers: words that name what is built in, and paths.

use std::path::{Path, PathBuf};

use super::{Codec, Fault, parse_line, print_path};
use crate::intent::{HubName, TokenizerChoice};
use crate::nearest::nearest;

/// Where prompts come from, before the column is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dataset {
    Synthetic,
    Corpus,
    File { kind: FileKind, path: PathBuf },
}

/// How a dataset file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Jsonl,
    Csv,
    Parquet,
    ShareGpt,
    Conversations,
    Trace,
    /// Whichever the file turns out to be.
    Found,
}

const KINDS: [(&str, FileKind); 6] = [
    ("jsonl", FileKind::Jsonl),
    ("csv", FileKind::Csv),
    ("parquet", FileKind::Parquet),
    ("sharegpt", FileKind::ShareGpt),
    ("conversations", FileKind::Conversations),
    ("trace", FileKind::Trace),
];

/// A dataset.
pub(crate) const DATASET: Codec<Dataset> = Codec { parse: parse_dataset, print: print_dataset };

fn parse_dataset(text: &str) -> Result<Dataset, Fault> {
    let fault = |found| {
        Fault::new(
            found,
            "`synthetic`, `corpus`, or a file as `jsonl:PATH`, `csv:PATH`, `parquet:PATH`, \
             `sharegpt:PATH`, `conversations:PATH`, `trace:PATH` or `hf:ORG/NAME:FILE`",
        )
    };
    match parse_line(text)? {
        "synthetic" => return Ok(Dataset::Synthetic),
        "corpus" => return Ok(Dataset::Corpus),
        _ => {}
    }
    if let Some((word, path)) = text.split_once(':')
        && let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == word)
    {
        let path = path.trim();
        if path.starts_with(HubName::SCHEME) {
            let _: HubName = on_hub(path)?;
        }
        return match path {
            "" => Err(fault("no path")),
            path => Ok(Dataset::File { kind: *kind, path: PathBuf::from(path) }),
        };
    }
    if text.starts_with(HubName::SCHEME) {
        let _: HubName = on_hub(text)?;
        return Ok(Dataset::File { kind: FileKind::Found, path: PathBuf::from(text) });
    }
    let path = PathBuf::from(text);
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    let kind = match extension.to_ascii_lowercase().as_str() {
        "jsonl" => FileKind::Jsonl,
        "csv" => FileKind::Csv,
        "parquet" => FileKind::Parquet,
        "json" if misspelt(text).is_none() => {
            return Err(fault("a `.json` file may be laid out in several ways")
                .hint(format!("write `sharegpt:{text}` or `conversations:{text}`")));
        }
        _ => {
            let fault = fault("neither a known dataset nor a known file extension");
            return Err(match misspelt(text) {
                Some(guess) => fault.hint(format!("did you mean `{guess}`?")),
                None => fault,
            });
        }
    };
    Ok(Dataset::File { kind, path })
}

/// A recorded trace.
pub(crate) const TRACE: Codec<PathBuf> = Codec {
    parse: |text| match parse_line(text)? {
        name if name.starts_with(HubName::SCHEME) => on_hub(name).map(|_| PathBuf::from(name)),
        path => Ok(PathBuf::from(path)),
    },
    print: |path| print_path(path),
};

/// Reads a name on a hub.
fn on_hub(text: &str) -> Result<HubName, Fault> {
    let fault = || {
        Fault::new(
            "not a name on a hub",
            "`hf:ORG/NAME`, `hf:ORG/NAME:FILE` or `hf:ORG/NAME@REVISION:FILE`",
        )
    };
    HubName::of(Path::new(text)).ok_or_else(fault)
}

/// Returns `text` with the layout's name as it was probably meant.
fn misspelt(text: &str) -> Option<String> {
    let (word, path) = text.split_once(':')?;
    let name = nearest(word, KINDS.iter().map(|(name, _)| *name))?;
    Some(format!("{name}:{path}"))
}

fn print_dataset(dataset: &Dataset) -> String {
    match dataset {
        Dataset::Synthetic => "synthetic".to_owned(),
        Dataset::Corpus => "corpus".to_owned(),
        Dataset::File { kind: FileKind::Found, path } => print_path(path),
        Dataset::File { kind, path } => {
            let (name, _) = KINDS.iter().find(|(_, other)| other == kind).expect("all are named");
            format!("{name}:{}", print_path(path))
        }
    }
}

/// A tokenizer.
pub(crate) const TOKENIZER: Codec<TokenizerChoice> = Codec {
    parse: |text| match parse_line(text)? {
        "server" => Ok(TokenizerChoice::Server),
        "none" => Ok(TokenizerChoice::None),
        name if name.starts_with(HubName::SCHEME) => {
            on_hub(name).map(|_| TokenizerChoice::Path(PathBuf::from(name)))
        }
        path => Ok(TokenizerChoice::Path(PathBuf::from(path))),
    },
    print: |tokenizer| match tokenizer {
        TokenizerChoice::Path(path) => print_path(path),
        TokenizerChoice::Server => "server".to_owned(),
        TokenizerChoice::None => "none".to_owned(),
    },
};
