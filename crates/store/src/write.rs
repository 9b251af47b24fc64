//! The writing end of a record.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use infermark_terms::{ChunkRow, RequestId, RequestRow, TelemetryRow};

use crate::columnar::{self, Columnar};
use crate::files::Outlasts;
use crate::journal::{self, Journal, Row};
use crate::read::latest_requests;
use crate::{Hold, RunFile, StoreError, TextPiece, files};

/// Whether a finished record keeps its chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepChunks {
    /// In `chunks.parquet`.
    Keep,
    /// Not at all: a result that another tool measured has none.
    Drop,
}

/// Writes one run's record, as the run goes.
///
/// Rows are taken over in memory and reach the kernel when there are many, or at [`flush`]. What
/// was flushed survives the death of this process; [`finish`] makes the record survive a loss of
/// power too.
///
/// After an error, such as a full disk, the rows are still held and what was complete stays
/// readable: the next flush tries again.
///
/// [`flush`]: RunWriter::flush
/// [`finish`]: RunWriter::finish
pub struct RunWriter {
    dir: PathBuf,
    requests: Journal<RequestRow>,
    chunks: Journal<ChunkRow>,
    telemetry: Journal<TelemetryRow>,
    text: Journal<TextPiece>,
    _hold: Hold,
}

impl RunWriter {
    /// Begins a record in `dir`, which is made if need be. Its header is `header`, marked partial.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotEmpty`] if there is something in `dir`; otherwise what the system says.
    pub fn create(dir: &Path, header: &RunFile) -> Result<Self, StoreError> {
        claim(dir)?;
        let journal = dir.join(files::JOURNAL);
        fs::create_dir(&journal).map_err(|source| StoreError::writing(&journal, source))?;
        let writer = Self {
            dir: dir.to_path_buf(),
            requests: Journal::create(dir.join(files::REQUESTS_JOURNAL))?,
            chunks: Journal::create(dir.join(files::CHUNKS_JOURNAL))?,
            telemetry: Journal::create(dir.join(files::TELEMETRY_JOURNAL))?,
            text: Journal::create(dir.join(files::TEXT_JOURNAL))?,
            _hold: Hold::take(dir),
        };
        // Last: where there is a header, there is a record. Nobody waits for the disk yet: the
        // load is about to begin, and its first requests must not be late.
        RunFile { partial: true, ..header.clone() }.write(dir, Outlasts::Process)?;
        Ok(writer)
    }

    /// Returns where the record is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Takes over requests that have ended. A later row of the same id replaces the earlier one,
    /// in a place of its own: so a count made after the run can be added.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub fn append_requests(&mut self, rows: &[RequestRow]) -> Result<(), StoreError> {
        for row in rows {
            self.requests.append(row);
        }
        self.flush_if_ripe()
    }

    /// Takes over chunks. Those of a request belong before the request's own row.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub fn append_chunks(&mut self, rows: &[ChunkRow]) -> Result<(), StoreError> {
        for row in rows {
            self.chunks.append(row);
        }
        self.flush_if_ripe()
    }

    /// Takes over what servers, GPUs and hosts said of themselves.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub fn append_telemetry(&mut self, rows: &[TelemetryRow]) -> Result<(), StoreError> {
        for row in rows {
            self.telemetry.append(row);
        }
        self.flush_if_ripe()
    }

    /// Takes over output text of a request, whole or the next piece of it. It is kept until the
    /// run is finished: [`open`](crate::open) the directory to read it before.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub fn append_text(&mut self, request: RequestId, text: &[u8]) -> Result<(), StoreError> {
        for text in text.chunks(TextPiece::BYTES_MAX) {
            self.text.append(&TextPiece { request, text: text.to_vec() });
        }
        self.flush_if_ripe()
    }

    /// Hands all rows to the kernel.
    ///
    /// # Errors
    ///
    /// [`StoreError::StorageFull`] or what else the system says. No row is lost: the next flush
    /// tries again.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.text.flush()?;
        self.telemetry.flush()?;
        self.chunks.flush()?;
        // Last, so that a request that is there has its chunks.
        self.requests.flush()
    }

    /// Ends the record: writes the tables, then `header` as it is, then removes the journals. It
    /// is `header` that says whether the run was cut short (`partial`).
    ///
    /// # Errors
    ///
    /// [`StoreError::StorageFull`] or what else the system or the Parquet library says. The record
    /// then remains as it was after the last flush, with the header of its beginning.
    pub fn finish(self, header: &RunFile, chunks: KeepChunks) -> Result<(), StoreError> {
        self.finish_amended(header, chunks, &mut |_| ())
    }

    /// Ends the record as [`finish`](Self::finish) does; each chunk goes through `amend` first,
    /// in the order in which they were taken over.
    ///
    /// # Errors
    ///
    /// As [`finish`](Self::finish).
    pub fn finish_amended(
        mut self,
        header: &RunFile,
        chunks: KeepChunks,
        amend: &mut dyn FnMut(&mut ChunkRow),
    ) -> Result<(), StoreError> {
        self.flush()?;
        let requests = latest_requests(self.requests.path(), self.requests.written())?;
        columnar::write(&self.dir.join(files::REQUESTS), requests)?;
        match chunks {
            KeepChunks::Keep => tabulate(&self.chunks, &self.dir.join(files::CHUNKS), amend)?,
            KeepChunks::Drop => (),
        }
        tabulate(&self.telemetry, &self.dir.join(files::TELEMETRY), &mut |_| ())?;
        header.write(&self.dir, Outlasts::Power)?;
        // The tables are preferred to the journals from here on; these only take up room.
        let journal = self.dir.join(files::JOURNAL);
        fs::remove_dir_all(&journal).map_err(|source| StoreError::writing(&journal, source))
    }

    fn flush_if_ripe(&mut self) -> Result<(), StoreError> {
        let rows = self.requests.is_ripe() || self.chunks.is_ripe();
        let ripe = rows || self.telemetry.is_ripe() || self.text.is_ripe();
        if ripe { self.flush() } else { Ok(()) }
    }
}

/// Makes `dir` if it is not there, and refuses it if it holds anything.
pub(crate) fn claim(dir: &Path) -> Result<(), StoreError> {
    match fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            Some(_) => Err(StoreError::NotEmpty { dir: dir.to_path_buf() }),
            None => Ok(()),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(dir).map_err(|source| StoreError::writing(dir, source))
        }
        Err(error) => Err(StoreError::reading(dir, error)),
    }
}

/// Writes the table of a journal's rows, amended.
fn tabulate<R: Row + Columnar>(
    journal: &Journal<R>,
    path: &Path,
    amend: &mut dyn FnMut(&mut R),
) -> Result<(), StoreError> {
    let batches = journal::batches::<R>(journal.path(), journal.written())?;
    let amended = batches.map(|rows| {
        let mut rows = rows?;
        rows.iter_mut().for_each(&mut *amend);
        Ok(rows)
    });
    columnar::write(path, amended)
}
