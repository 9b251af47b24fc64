//! Append-only files of rows that survive the death of their writer at any instant.
//!
//! ```text
//! infermark.journal.chunks/1\n    the format, as one line
//! length u32 │ check u64 │ payload     a frame: little endian; XXH64 of the payload, seeded with
//! length u32 │ check u64 │ payload     the length; the payload is whole rows
//! length u32 │ che                     a torn end, ignored
//! ```
//!
//! Each frame decodes alone: a row's encoding may lean on the rows before it in the same frame,
//! never on an earlier frame.
//!
//! Deliberately not here: repair. What follows the first broken frame is reported, not guessed.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::marker::PhantomData;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use twox_hash::XxHash64;

use crate::StoreError;
use crate::encoding::Bytes;
use crate::schema::Schema;

/// A row that a journal can hold.
pub(crate) trait Row: Sized + 'static {
    /// The journal's format.
    const JOURNAL: Schema;

    /// What an encoding takes from the rows before it in the same frame.
    type Before: Default;

    /// Appends the row to `out`.
    fn put(&self, before: &mut Self::Before, out: &mut Vec<u8>);

    /// Reads the next row, or nothing if the bytes are not one.
    fn take(before: &mut Self::Before, from: &mut Bytes<'_>) -> Option<Self>;
}

/// The bytes before a frame's payload: its length and its check.
const FRAME_HEAD: usize = 4 + 8;

/// A frame is closed once its payload is this long. Small enough that a reader holds little, and
/// large enough that heads cost nothing.
const FRAME_BYTES: usize = 64 * 1024;

/// Frames are written out once there is this much of them, without waiting for a flush.
const RIPE_BYTES: usize = 4 * FRAME_BYTES;

/// The check of a frame. The length seeds it, so that a run of zeros is not a frame.
fn check(payload: &[u8]) -> u64 {
    XxHash64::oneshot(payload.len() as u64, payload)
}

/// The first line of a journal.
fn first_line(schema: Schema) -> String {
    format!("{schema}\n")
}

/// The writing end of a journal.
pub(crate) struct Journal<R: Row> {
    path: PathBuf,
    file: File,
    /// How much of the file is whole; the next write goes here. A write that failed half-way
    /// is thus written over by the next.
    written: u64,
    /// Closed frames, then the open one.
    pending: Vec<u8>,
    /// Where the open frame begins in `pending`.
    open: usize,
    before: R::Before,
}

impl<R: Row> Journal<R> {
    /// Begins a journal in a file that does not exist yet.
    pub(crate) fn create(path: PathBuf) -> Result<Self, StoreError> {
        let line = first_line(R::JOURNAL);
        let created = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = created
            .and_then(|mut file| {
                file.write_all(line.as_bytes())?;
                Ok(file)
            })
            .map_err(|source| StoreError::writing(&path, source))?;
        let written = line.len() as u64;
        let before = R::Before::default();
        Ok(Self { path, file, written, pending: Vec::new(), open: 0, before })
    }

    /// Returns where the journal is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns how many bytes of the file are whole.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Says whether enough is pending to be worth a write.
    pub(crate) fn is_ripe(&self) -> bool {
        self.pending.len() >= RIPE_BYTES
    }

    /// Takes a row over, in memory.
    pub(crate) fn append(&mut self, row: &R) {
        if self.pending.len() == self.open {
            self.pending.extend_from_slice(&[0; FRAME_HEAD]);
            self.before = R::Before::default();
        }
        row.put(&mut self.before, &mut self.pending);
        if self.pending.len() - self.open >= FRAME_HEAD + FRAME_BYTES {
            self.close_frame();
        }
    }

    /// Hands all rows to the kernel. After an error they are still held: the next flush tries
    /// again.
    pub(crate) fn flush(&mut self) -> Result<(), StoreError> {
        self.close_frame();
        if self.pending.is_empty() {
            return Ok(());
        }
        self.file
            .write_all_at(&self.pending, self.written)
            .map_err(|source| StoreError::writing(&self.path, source))?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        self.open = 0;
        Ok(())
    }

    fn close_frame(&mut self) {
        if let Some((head, payload)) = self.pending[self.open..].split_at_mut_checked(FRAME_HEAD) {
            let length = u32::try_from(payload.len()).expect("a frame and one row are far below");
            head[..4].copy_from_slice(&length.to_le_bytes());
            head[4..].copy_from_slice(&check(payload).to_le_bytes());
            self.open = self.pending.len();
        }
    }
}

/// How much of a journal can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Bytes from the beginning that are whole.
    pub(crate) whole: u64,
    /// Bytes after them, which are not.
    pub(crate) torn: u64,
}

/// Finds how much of a journal can be read, checking every frame.
pub(crate) fn extent<R: Row>(path: &Path) -> Result<Extent, StoreError> {
    let failed = |source| StoreError::reading(path, source);
    let end = path.metadata().map_err(failed)?.len();
    let Some(mut frames) = Frames::open(path, R::JOURNAL, end)? else {
        return Ok(Extent { whole: 0, torn: end });
    };
    while frames.read().map_err(failed)? {}
    Ok(Extent { whole: frames.at, torn: end - frames.at })
}

/// Reads the first `whole` bytes of a journal, as [`extent`] found them: the rows of one frame at
/// a time.
pub(crate) fn batches<R: Row>(path: &Path, whole: u64) -> Result<Batches<R>, StoreError> {
    let frames = if whole == 0 { None } else { Frames::open(path, R::JOURNAL, whole)? };
    Ok(Batches { path: path.to_path_buf(), frames, row: PhantomData })
}

/// The rows of a journal, one frame at a time. Ends after an error.
pub(crate) struct Batches<R> {
    path: PathBuf,
    frames: Option<Frames>,
    row: PhantomData<fn() -> R>,
}

impl<R: Row> Batches<R> {
    /// Decodes the payload that `frames` holds.
    fn decode(&self, payload: &[u8]) -> Result<Vec<R>, StoreError> {
        let mut rows = Vec::new();
        let mut before = R::Before::default();
        let mut from = Bytes(payload);
        while !from.is_empty() {
            let row = R::take(&mut before, &mut from);
            rows.push(row.ok_or_else(|| {
                StoreError::damaged(&self.path, "a frame that is whole holds something else")
            })?);
        }
        Ok(rows)
    }
}

impl<R: Row> Iterator for Batches<R> {
    type Item = Result<Vec<R>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut frames = self.frames.take_if(|frames| frames.at < frames.end)?;
        let batch = match frames.read() {
            Ok(true) => self.decode(&frames.payload),
            Ok(false) => Err(StoreError::damaged(&self.path, "it changed while it was read")),
            Err(source) => Err(StoreError::reading(&self.path, source)),
        };
        self.frames = batch.is_ok().then_some(frames);
        Some(batch)
    }
}

/// The frames of a journal, as bytes.
struct Frames {
    file: BufReader<File>,
    /// Where the next frame begins.
    at: u64,
    /// Where reading ends.
    end: u64,
    /// The payload of the frame read last.
    payload: Vec<u8>,
}

impl Frames {
    /// Opens the journal at `path` to read its first `end` bytes; nothing if its first line is
    /// torn, which leaves no frames.
    fn open(path: &Path, schema: Schema, end: u64) -> Result<Option<Self>, StoreError> {
        let failed = |source| StoreError::reading(path, source);
        let mut file = BufReader::new(File::open(path).map_err(failed)?);
        let line = first_line(schema);
        let mut found = vec![0; line.len().min(end as usize)];
        file.read_exact(&mut found).map_err(failed)?;
        if found == line.as_bytes() {
            let at = line.len() as u64;
            return Ok(Some(Self { file, at, end, payload: Vec::new() }));
        }
        if line.as_bytes().starts_with(&found) {
            return Ok(None);
        }
        let found = String::from_utf8_lossy(&found);
        schema.check(path, found.lines().next().unwrap_or_default(), None)?;
        Err(StoreError::damaged(path, "its first line is not that of a journal"))
    }

    /// Reads the next frame into `payload`; says no at the end and at what is not a whole frame.
    fn read(&mut self) -> io::Result<bool> {
        let Some(room) = (self.end - self.at).checked_sub(FRAME_HEAD as u64) else {
            return Ok(false);
        };
        let mut head = [0; FRAME_HEAD];
        if !fill(&mut self.file, &mut head)? {
            return Ok(false);
        }
        let (length, expected) = head.split_at(4);
        let length = u32::from_le_bytes(length.try_into().expect("split at 4"));
        let expected = u64::from_le_bytes(expected.try_into().expect("8 remain of 12"));
        if u64::from(length) > room {
            return Ok(false);
        }
        self.payload.resize(length as usize, 0);
        if !fill(&mut self.file, &mut self.payload)? || check(&self.payload) != expected {
            return Ok(false);
        }
        self.at += (FRAME_HEAD + self.payload.len()) as u64;
        Ok(true)
    }
}

/// Reads so many bytes; says no where the file ends before.
fn fill(file: &mut impl Read, into: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use infermark_terms::RequestId;

    use super::*;
    use crate::TextPiece;

    fn piece(id: u64, bytes: usize) -> TextPiece {
        TextPiece { request: RequestId(id), text: vec![b'x'; bytes] }
    }

    fn read(path: &Path) -> (Vec<TextPiece>, Extent) {
        let extent = extent::<TextPiece>(path).unwrap();
        let batches: Result<Vec<_>, _> = batches(path, extent.whole).unwrap().collect();
        (batches.unwrap().concat(), extent)
    }

    #[test]
    fn a_full_disk_loses_nothing_and_the_next_flush_tries_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text.log");
        let mut journal = Journal::create(path.clone()).unwrap();
        journal.append(&piece(1, 5));
        journal.flush().unwrap();

        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let disk = std::mem::replace(&mut journal.file, full);
        journal.append(&piece(2, 5));
        for _ in 0..2 {
            let error = journal.flush().unwrap_err();
            assert!(matches!(error, StoreError::StorageFull { .. }), "{error:?}");
        }
        journal.append(&piece(3, 5));

        // The disk took half of the frame before it was full.
        journal.file = disk;
        let whole = fs::metadata(&path).unwrap().len();
        journal.file.write_all_at(&journal.pending[..9], whole).unwrap();
        assert_eq!(read(&path), (vec![piece(1, 5)], Extent { whole, torn: 9 }));

        journal.flush().unwrap();
        let (rows, extent) = read(&path);
        assert_eq!(rows, [piece(1, 5), piece(2, 5), piece(3, 5)]);
        assert_eq!(extent.torn, 0);
    }

    #[test]
    fn frames_are_bounded_and_written_without_a_flush_when_there_are_many() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text.log");
        let mut journal = Journal::create(path.clone()).unwrap();
        let rows: Vec<_> = (0..40).map(|id| piece(id, 10_000)).collect();
        for row in &rows {
            assert!(!journal.is_ripe() || journal.pending.len() < RIPE_BYTES + 2 * FRAME_BYTES);
            journal.append(row);
            if journal.is_ripe() {
                journal.flush().unwrap();
            }
        }
        assert!(journal.written() > RIPE_BYTES as u64);
        journal.flush().unwrap();
        let frames: Vec<Vec<TextPiece>> =
            batches(&path, journal.written()).unwrap().map(Result::unwrap).collect();
        assert!(frames.iter().all(|frame| frame.len() <= FRAME_BYTES / 10_000 + 1));
        assert_eq!(frames.concat(), rows);
    }

    #[test]
    fn zeros_after_a_loss_of_power_are_no_frames() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text.log");
        let mut journal = Journal::create(path.clone()).unwrap();
        journal.append(&piece(1, 5));
        journal.flush().unwrap();
        let whole = journal.written();
        journal.file.set_len(whole + 4096).unwrap();
        assert_eq!(read(&path), (vec![piece(1, 5)], Extent { whole, torn: 4096 }));
    }

    #[test]
    fn a_journal_of_another_version_or_kind_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text.log");
        let opened = |line: &str| {
            fs::write(&path, line).unwrap();
            extent::<TextPiece>(&path).unwrap_err()
        };
        let newer = opened("infermark.journal.text/2\n");
        assert!(matches!(newer, StoreError::Newer { .. }), "{newer:?}");
        let foreign = opened("infermark.journal.requests/1\n");
        assert!(matches!(foreign, StoreError::Foreign { .. }), "{foreign:?}");
    }
}
