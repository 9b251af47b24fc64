//! Rows of a dataset file, in the file's own order.
//!
//! Files are read once, as a stream, before the run. What is kept is bounded
//! ([`KEPT_BYTES`]); rows beyond the bound are counted and not asked. Rows without a prompt are
//! skipped and counted. When the rows are used up, they are used again from the first.

mod columns;
mod threads;

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::vec::Drain;

use infermark_scenario::intent::FileLayout;
use infermark_terms::{Message, Prompt, RequestId};
use thiserror::Error;

use crate::trace::TraceLayout;

/// The most text of a dataset that is kept, in bytes.
pub const KEPT_BYTES: usize = 512 << 20;

/// The longest row of a JSON Lines file, in bytes.
const ROW_BYTES: u64 = 64 << 20;

/// What was found in a dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Rows that are asked, in turn.
    pub rows: u64,
    /// Rows without a prompt.
    pub skipped: u64,
    /// Rows beyond what is kept.
    pub beyond: u64,
}

impl Census {
    /// Says whether so many requests ask some row again.
    pub const fn repeats(self, requests: u64) -> bool {
        requests > self.rows
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// What is asked: text or messages.
    pub(crate) prompt: Prompt,
    /// The dataset's own answer, where it says how long one is to be.
    pub(crate) answer: Option<String>,
    /// What the conversation goes on with, turn by turn.
    pub(crate) later: Vec<Later>,
}

/// A turn of a conversation after its first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Later {
    /// What is said, never nothing.
    pub(crate) messages: Vec<Message>,
    /// The dataset's own answer, where it says how long one is to be.
    pub(crate) answer: Option<String>,
}

/// How much of a conversation is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Its first turn.
    Opening,
    /// All its turns.
    Whole,
}

/// A dataset in memory; never empty.
pub(crate) struct Dataset {
    rows: Vec<Row>,
    census: Census,
}

impl Dataset {
    /// Reads a file.
    pub(crate) fn read(path: &Path, layout: &FileLayout, keep: Keep) -> Result<Self, DatasetError> {
        let mut rows = Rows::keeping(KEPT_BYTES);
        match layout {
            FileLayout::Jsonl { column } => {
                columns::jsonl(path, BufReader::new(open_text(path)?), column, &mut rows)?;
            }
            FileLayout::Csv { column } => columns::csv(path, open_text(path)?, column, &mut rows)?,
            FileLayout::Parquet { column } => {
                columns::parquet(path, open(path)?, column, &mut rows)?;
            }
            FileLayout::ShareGpt => threads::share_gpt(path, open_text(path)?, keep, &mut rows)?,
            FileLayout::Conversations => {
                threads::conversations(path, open_text(path)?, keep, &mut rows)?;
            }
            FileLayout::Found { column } => return Self::read(path, &found(path, column)?, keep),
        }
        let Rows { kept: rows, census, .. } = rows;
        if rows.is_empty() {
            let skipped = census.skipped;
            return Err(DatasetError::Empty { path: path.to_path_buf(), skipped });
        }
        Ok(Self { rows, census })
    }

    /// Returns the row of this request.
    pub(crate) fn row(&self, id: RequestId) -> &Row {
        &self.rows[(id.0 % self.rows.len() as u64) as usize]
    }

    /// Returns what was found.
    pub(crate) fn census(&self) -> Census {
        self.census
    }
}

/// What some programs write before UTF-8: the byte-order mark, which is no part of the text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// How much of a text is looked at where it is opened.
const BEGINNING_BYTES: u64 = 8 << 10;

fn open(path: &Path) -> Result<File, DatasetError> {
    let unreadable = |source| DatasetError::Unreadable { path: path.to_path_buf(), source };
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(unreadable(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    Ok(file)
}

/// Opens a text for reading, behind its byte-order mark if it has one. A pipe is a text too: it is
/// read once, from its beginning to its end.
pub(crate) fn open_text(path: &Path) -> Result<impl Read, DatasetError> {
    let unreadable = |source| DatasetError::Unreadable { path: path.to_path_buf(), source };
    let mut file = open(path)?;
    let mut begins = Vec::new();
    let beginning = file.by_ref().take(BEGINNING_BYTES).read_to_end(&mut begins);
    let _: usize = beginning.map_err(unreadable)?;
    if begins.starts_with(BYTE_ORDER_MARK) {
        let _: Drain<'_, u8> = begins.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(Cursor::new(begins).chain(file))
}

/// How much of a JSON file is looked at for its keys.
const LOOK_BYTES: u64 = 1 << 20;

/// Finds how a file is laid out: by its extension, and JSON by which key of a turn comes first.
fn found(path: &Path, column: &str) -> Result<FileLayout, DatasetError> {
    let unreadable = |source| DatasetError::Unreadable { path: path.to_path_buf(), source };
    let column = column.to_owned();
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    match extension.to_ascii_lowercase().as_str() {
        "jsonl" => return Ok(FileLayout::Jsonl { column }),
        "csv" => return Ok(FileLayout::Csv { column }),
        "parquet" => return Ok(FileLayout::Parquet { column }),
        "json" => {}
        _ => return Err(DatasetError::UnknownLayout { path: path.to_path_buf() }),
    }
    let mut beginning = Vec::new();
    let _: usize =
        open_text(path)?.take(LOOK_BYTES).read_to_end(&mut beginning).map_err(unreadable)?;
    let beginning = String::from_utf8_lossy(&beginning);
    let at = |key: &str| beginning.find(key).unwrap_or(usize::MAX);
    match at("\"role\"").cmp(&at("\"from\"")) {
        Ordering::Less => Ok(FileLayout::Conversations),
        Ordering::Greater => Ok(FileLayout::ShareGpt),
        Ordering::Equal => Err(DatasetError::UnknownLayout { path: path.to_path_buf() }),
    }
}

/// Hands each line of a JSON Lines file to `take`, with its number from 1; blank lines are none.
pub(crate) fn each_line(
    path: &Path,
    mut reader: impl BufRead,
    mut take: impl FnMut(u64, &[u8]) -> Result<(), DatasetError>,
) -> Result<(), DatasetError> {
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let read = reader.by_ref().take(ROW_BYTES + 1).read_until(b'\n', &mut bytes);
        let read =
            read.map_err(|source| DatasetError::Unreadable { path: path.to_path_buf(), source })?;
        if read == 0 {
            break;
        }
        if read as u64 > ROW_BYTES {
            let limit = ROW_BYTES;
            return Err(DatasetError::LineTooLong { path: path.to_path_buf(), line, limit });
        }
        if !bytes.trim_ascii().is_empty() {
            take(line, &bytes)?;
        }
    }
    Ok(())
}

impl Row {
    /// A prompt that stands alone.
    fn alone(text: String) -> Self {
        Self { prompt: Prompt::Text(text), answer: None, later: Vec::new() }
    }
}

/// Collects rows up to a bound.
struct Rows {
    kept: Vec<Row>,
    census: Census,
    /// Bytes of text that may still be kept.
    room: usize,
}

impl Rows {
    fn keeping(bytes: usize) -> Self {
        Self { kept: Vec::new(), census: Census::default(), room: bytes }
    }

    /// Takes the next row. Once one did not fit, none is kept, so that those kept are the first.
    fn push(&mut self, row: Row) {
        let Row { prompt, answer, later } = &row;
        let said = |messages: &[Message]| messages.iter().map(|m| m.content.len()).sum::<usize>();
        let bytes = match prompt {
            Prompt::Text(text) if text.trim().is_empty() => 0,
            Prompt::Text(text) => text.len(),
            Prompt::Messages(messages) => said(messages),
            Prompt::Tokens(ids) => size_of_val(&ids[..]),
        };
        if bytes == 0 {
            self.census.skipped += 1;
            return;
        }
        let answered = |answer: &Option<String>| answer.as_ref().map_or(0, String::len);
        let after = later.iter().map(|turn| said(&turn.messages) + answered(&turn.answer));
        let bytes = bytes + answered(answer) + after.sum::<usize>();
        if self.census.beyond > 0 || bytes > self.room {
            self.census.beyond += 1;
            return;
        }
        self.room -= bytes;
        self.census.rows += 1;
        self.kept.push(row);
    }
}

/// Why a dataset cannot be used.
#[derive(Debug, Error)]
pub enum DatasetError {
    /// The file is missing or cannot be read.
    #[error("cannot read the dataset {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A line of a JSON Lines file is not a JSON object.
    #[error("line {line} of {} is not a JSON object", path.display())]
    NotAnObject {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What was found.
        #[source]
        source: serde_json::Error,
    },
    /// A line of a JSON Lines file is longer than is taken.
    #[error("line {line} of {} is longer than {limit} bytes", path.display())]
    LineTooLong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The limit.
        limit: u64,
    },
    /// The file is not a JSON list of conversations.
    #[error("{} is not a list of {layout} conversations", path.display())]
    NotConversations {
        /// The file.
        path: PathBuf,
        /// The layout that was expected.
        layout: &'static str,
        /// What was found, and where.
        #[source]
        source: serde_json::Error,
    },
    /// The file is not CSV.
    #[error("{} is not valid CSV", path.display())]
    NotCsv {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        #[source]
        source: csv::Error,
    },
    /// The file is not Parquet.
    #[error("{} cannot be read as Parquet", path.display())]
    NotParquet {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A line of a JSON Lines file lacks the prompt's key.
    #[error("no key `{key}` in line {line} of {}; there is: {}", path.display(), keys.join(", "))]
    NoKey {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The key that was asked for.
        key: String,
        /// The keys that are there.
        keys: Vec<String>,
    },
    /// The prompt's column is not there.
    #[error("no column `{column}` in {}; there is: {}", path.display(), names.join(", "))]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The column that was asked for.
        column: String,
        /// The columns that are there.
        names: Vec<String>,
    },
    /// The prompt's column holds something else than text.
    #[error("column `{column}` in row {row} of {} is not text but {found}", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// The row, from 1.
        row: u64,
        /// The column.
        column: String,
        /// What it holds.
        found: String,
    },
    /// Neither its name nor its beginning says how the file is laid out.
    #[error("{} is laid out in no way that is known", path.display())]
    UnknownLayout {
        /// The file.
        path: PathBuf,
    },
    /// The columns or keys are those of no trace that is known.
    #[error("{} is no trace that is known; it has: {}", path.display(), names.join(", "))]
    UnknownTrace {
        /// The file.
        path: PathBuf,
        /// The columns or keys that are there.
        names: Vec<String>,
    },
    /// A line of a trace is not a request.
    #[error("line {line} of {} is not a request of a {layout} trace: {reason}", path.display())]
    NotRecorded {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The trace's layout.
        layout: TraceLayout,
        /// What is wrong.
        reason: String,
    },
    /// A trace has more requests than are kept.
    #[error("{} holds more than {limit} requests", path.display())]
    TraceTooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// No line of a trace asks for a token.
    #[error("{} holds no request; lines that ask for no token: {skipped}", path.display())]
    EmptyTrace {
        /// The file.
        path: PathBuf,
        /// Lines that were skipped.
        skipped: u64,
    },
    /// No row has a prompt.
    #[error("{} holds no prompt; rows without one: {skipped}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// Rows that were skipped.
        skipped: u64,
    },
}

impl DatasetError {
    /// Returns what to do about it, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoKey { .. } | Self::NoColumn { .. } | Self::NotText { .. } => {
                Some("name the column that holds the prompts")
            }
            Self::NotAnObject { .. } | Self::NotConversations { .. } => {
                Some("check the dataset's layout: one object a line, or one list of conversations")
            }
            Self::UnknownTrace { .. } => Some(
                "known are Mooncake (timestamp, input_length, output_length, hash_ids), Bailian \
                 (the same and chat_id), Azure (TIMESTAMP, ContextTokens, GeneratedTokens), \
                 BurstGPT (Timestamp, Request tokens, Response tokens) and our own (at_s, \
                 input_tokens, output_tokens, blocks)",
            ),
            Self::UnknownLayout { .. } => Some(
                "known are .jsonl, .csv, .parquet, and JSON lists of `sharegpt` and \
                 `conversations`; name the layout as in `sharegpt:PATH`",
            ),
            Self::TraceTooLong { .. } => Some("cut out the part that is to be replayed"),
            Self::EmptyTrace { .. }
            | Self::NotRecorded { .. }
            | Self::Unreadable { .. }
            | Self::LineTooLong { .. }
            | Self::NotCsv { .. }
            | Self::NotParquet { .. }
            | Self::Empty { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
