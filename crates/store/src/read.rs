//! The reading end: a record in either form.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::vec;

use infermark_terms::{ChunkRow, RequestId, RequestRow, TelemetryRow};

use crate::columnar::{self, Columnar};
use crate::journal::{self, Extent, Row};
use crate::write::KeepChunks;
use crate::{RunFile, StoreError, TextPiece, files};

/// A record as it was when it was opened. Rows that a living run adds later are not seen.
#[derive(Debug)]
pub struct StoredRun {
    /// What the run is, and its results where it is finished.
    pub header: RunFile,
    /// Whether the run came to its end.
    pub state: State,
    requests: Form,
    chunks: Option<Form>,
    telemetry: Option<Form>,
    text: Option<Form>,
}

/// Whether a run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It did.
    Complete,
    /// It is still going, or was cut short.
    Partial {
        /// How many bytes at the end of its journals are not whole and were left out: a write
        /// that was under way, or damage.
        torn_bytes: u64,
    },
}

/// Where rows are.
#[derive(Debug)]
enum Form {
    Table(PathBuf),
    Journal(PathBuf, Extent),
}

/// Opens the record in `dir`.
///
/// # Errors
///
/// [`StoreError::NotARun`] without a header, [`StoreError::Newer`] for a record of a later
/// version, otherwise what the system says or what is wrong with a file.
pub fn open(dir: &Path) -> Result<StoredRun, StoreError> {
    let header = RunFile::read(dir)?;
    // Requests before chunks: of a living run, what is found of the later one is the more.
    let requests = find::<RequestRow>(dir, files::REQUESTS, files::REQUESTS_JOURNAL)?;
    let chunks = find::<ChunkRow>(dir, files::CHUNKS, files::CHUNKS_JOURNAL)?;
    let telemetry = find::<TelemetryRow>(dir, files::TELEMETRY, files::TELEMETRY_JOURNAL)?;
    let text = journal_at::<TextPiece>(dir.join(files::TEXT_JOURNAL))?;
    let requests = requests.ok_or_else(|| {
        StoreError::damaged(dir, "it has neither a table nor a journal of requests")
    })?;
    let forms = [Some(&requests), chunks.as_ref(), telemetry.as_ref(), text.as_ref()];
    let torn_bytes = forms.into_iter().flatten().map(Form::torn_bytes).sum();
    let state = if header.partial { State::Partial { torn_bytes } } else { State::Complete };
    Ok(StoredRun { header, state, requests, chunks, telemetry, text })
}

/// Finds the table of some rows, else their journal.
fn find<R: Row>(dir: &Path, table: &str, journal: &str) -> Result<Option<Form>, StoreError> {
    let table = dir.join(table);
    if exists(&table)? { Ok(Some(Form::Table(table))) } else { journal_at::<R>(dir.join(journal)) }
}

fn journal_at<R: Row>(path: PathBuf) -> Result<Option<Form>, StoreError> {
    if !exists(&path)? {
        return Ok(None);
    }
    let extent = journal::extent::<R>(&path)?;
    Ok(Some(Form::Journal(path, extent)))
}

fn exists(path: &Path) -> Result<bool, StoreError> {
    path.try_exists().map_err(|source| StoreError::reading(path, source))
}

impl Form {
    fn torn_bytes(&self) -> u64 {
        match self {
            Self::Table(_) => 0,
            Self::Journal(_, extent) => extent.torn,
        }
    }
}

impl StoredRun {
    /// Returns all requests that ended, in the order in which their rows were taken over.
    ///
    /// # Errors
    ///
    /// What the system says, or what is wrong with the file.
    pub fn requests(&self) -> Result<Vec<RequestRow>, StoreError> {
        match &self.requests {
            Form::Table(path) => Rows::new(columnar::read(path)?).collect(),
            Form::Journal(path, extent) => {
                Rows::new(latest_requests(path, extent.whole)?).collect()
            }
        }
    }

    /// Says whether the record has chunks at all.
    pub fn keeps_chunks(&self) -> KeepChunks {
        if self.chunks.is_some() { KeepChunks::Keep } else { KeepChunks::Drop }
    }

    /// Reads all chunks, in the order in which they were taken over; none if they were not kept.
    ///
    /// # Errors
    ///
    /// What the system says, or what is wrong with the file.
    pub fn chunks(&self) -> Result<Rows<ChunkRow>, StoreError> {
        rows(self.chunks.as_ref())
    }

    /// Reads what servers, GPUs and hosts said of themselves, in the order in which it was taken
    /// over; nothing of a record that an older build made.
    ///
    /// # Errors
    ///
    /// What the system says, or what is wrong with the file.
    pub fn telemetry(&self) -> Result<Rows<TelemetryRow>, StoreError> {
        rows(self.telemetry.as_ref())
    }

    /// Reads all output text in the order in which it was taken over; none once the run is
    /// finished.
    ///
    /// # Errors
    ///
    /// What the system says, or what is wrong with the file.
    pub fn texts(&self) -> Result<Rows<TextPiece>, StoreError> {
        Ok(match &self.text {
            Some(Form::Journal(path, extent)) => Rows::new(journal::batches(path, extent.whole)?),
            Some(Form::Table(_)) | None => Rows::none(),
        })
    }

    /// Returns one request's output text; empty if there is none. Reads all text: for more than a
    /// few requests, go through [`texts`](Self::texts) once.
    ///
    /// # Errors
    ///
    /// What the system says, or what is wrong with the file.
    pub fn text(&self, request: RequestId) -> Result<Vec<u8>, StoreError> {
        let mut whole = Vec::new();
        for piece in self.texts()? {
            let piece = piece?;
            if piece.request == request {
                whole.extend(piece.text);
            }
        }
        Ok(whole)
    }
}

/// Reads rows from wherever they are; none from nowhere.
fn rows<R: Row + Columnar>(form: Option<&Form>) -> Result<Rows<R>, StoreError> {
    Ok(match form {
        Some(Form::Table(path)) => Rows::new(columnar::read(path)?),
        Some(Form::Journal(path, extent)) => Rows::new(journal::batches(path, extent.whole)?),
        None => Rows::none(),
    })
}

/// Reads a journal's requests, without those that a later row of the same id replaces.
pub(crate) fn latest_requests(
    path: &Path,
    whole: u64,
) -> Result<impl Iterator<Item = Result<Vec<RequestRow>, StoreError>> + Send + use<>, StoreError> {
    let mut latest = BTreeMap::new();
    for (place, row) in (0_u64..).zip(Rows::new(journal::batches::<RequestRow>(path, whole)?)) {
        let _earlier: Option<u64> = latest.insert(row?.id, place);
    }
    let mut place = 0;
    let mut is_latest = move |id: RequestId| {
        let is_latest = latest.get(&id) == Some(&place);
        place += 1;
        is_latest
    };
    Ok(journal::batches::<RequestRow>(path, whole)?.map(move |batch| {
        let mut rows = batch?;
        rows.retain(|row| is_latest(row.id));
        Ok(rows)
    }))
}

/// Rows, read some at a time. Ends after an error.
pub struct Rows<R> {
    batches: Box<dyn Iterator<Item = Result<Vec<R>, StoreError>> + Send>,
    batch: vec::IntoIter<R>,
}

impl<R: 'static> Rows<R> {
    fn new(batches: impl Iterator<Item = Result<Vec<R>, StoreError>> + Send + 'static) -> Self {
        Self { batches: Box::new(batches), batch: Vec::new().into_iter() }
    }

    fn none() -> Self {
        Self::new(std::iter::empty())
    }
}

impl<R> Iterator for Rows<R> {
    type Item = Result<R, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.batch.next() {
                return Some(Ok(row));
            }
            match self.batches.next()? {
                Ok(batch) => self.batch = batch.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
