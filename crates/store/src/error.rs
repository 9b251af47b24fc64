//! What can go wrong with a record: each error names the file or directory.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;

use crate::catalogue::IndexError;

/// Why a record could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A run would be written over something.
    #[error("`{}` already exists and is not empty", dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
    },
    /// A run would be removed, or a study taken up, while it is being measured.
    #[error("`{}` is being measured", dir.display())]
    Held {
        /// The directory.
        dir: PathBuf,
    },
    /// A directory without a header.
    #[error("`{}` is not a run directory: it has no `run.json`", dir.display())]
    NotARun {
        /// The directory.
        dir: PathBuf,
    },
    /// The disk or the quota is full, or no file may be longer. What was complete can still be
    /// read.
    #[error("no space left to write `{}`", path.display())]
    StorageFull {
        /// The file being written.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The system refused to write, for another reason.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The system refused to read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The file's format is of a version that this build does not know.
    #[error(
        "`{}` has the format `{found}`{}; this build reads up to `{reads}`, so a newer infermark \
         is needed",
        path.display(),
        written_by(.writer.as_deref())
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: String,
        /// The newest format that this build reads.
        reads: String,
        /// The version of infermark that wrote it, where the file says.
        writer: Option<String>,
    },
    /// The file is something else than its name says.
    #[error("`{}` has the format `{found}` where `{expected}` was expected", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it says it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// The file's content contradicts its format.
    #[error("`{}` is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The header is not the JSON that its schema asks for.
    #[error("`{}` is not a valid run header", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The Parquet library could not write or read a table.
    #[error("the table `{}` cannot be written or read", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// The library's word.
        source: ParquetError,
    },
    /// There is no memory even for a catalogue that is not kept.
    #[error("the catalogue `{}` cannot be made", path.display())]
    Catalogue {
        /// Where it would be.
        path: PathBuf,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Names the writing version within a sentence, where it is known.
fn written_by(writer: Option<&str>) -> String {
    writer.map(|version| format!(" (written by infermark {version})")).unwrap_or_default()
}

impl StoreError {
    /// Wraps what the system said to a write.
    pub(crate) fn writing(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        let is_full = matches!(
            source.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
        );
        if is_full { Self::StorageFull { path, source } } else { Self::Write { path, source } }
    }

    /// Wraps what the system said to a read.
    pub(crate) fn reading(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_path_buf(), source }
    }

    /// Wraps what the Parquet library said to a write: the system's own error where there is one
    /// inside, so that a full disk is known as such.
    pub(crate) fn writing_table(path: &Path, source: ParquetError) -> Self {
        match system_error(&source) {
            Some(system) => Self::writing(path, system),
            None => Self::Table { path: path.to_path_buf(), source },
        }
    }

    /// Wraps what keeps a catalogue from being made.
    pub(crate) fn catalogue(path: &Path, source: IndexError) -> Self {
        Self::Catalogue { path: path.to_path_buf(), source: source.into() }
    }

    /// Says what is wrong with a file's content.
    pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_path_buf(), what: what.into() }
    }
}

/// Finds the system's error among the causes of `error`.
fn system_error(error: &(dyn Error + 'static)) -> Option<io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<io::Error>() {
            let code = found.raw_os_error();
            return Some(code.map_or_else(|| found.kind().into(), io::Error::from_raw_os_error));
        }
        cause = error.source();
    }
    None
}
