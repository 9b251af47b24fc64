//! The names within a run directory and beside it, and files that are replaced whole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::StoreError;

/// The header.
pub(crate) const RUN: &str = "run.json";
/// The table of requests.
pub(crate) const REQUESTS: &str = "requests.parquet";
/// The table of chunks.
pub(crate) const CHUNKS: &str = "chunks.parquet";
/// The table of telemetry.
pub(crate) const TELEMETRY: &str = "telemetry.parquet";
/// The directory of the journals, there only until the run is finished.
pub(crate) const JOURNAL: &str = "journal";
/// The journal of requests.
pub(crate) const REQUESTS_JOURNAL: &str = "journal/requests.log";
/// The journal of chunks.
pub(crate) const CHUNKS_JOURNAL: &str = "journal/chunks.log";
/// The journal of telemetry.
pub(crate) const TELEMETRY_JOURNAL: &str = "journal/telemetry.log";
/// The journal of output text.
pub(crate) const TEXT_JOURNAL: &str = "journal/text.log";

/// The catalogue, beside run directories.
pub(crate) const CATALOGUE: &str = "catalogue.sqlite";

/// What a file must outlast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlasts {
    /// The death of this process: nobody waits for the disk.
    Process,
    /// A loss of power too.
    Power,
}

/// Writes the file at `path` anew: at every instant it holds either all of its old content or all
/// of the new. On an error nothing has changed.
pub(crate) fn replace(
    path: &Path,
    outlasts: Outlasts,
    write: impl FnOnce(&mut File) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let sync = outlasts == Outlasts::Power;
    let beside = beside(path);
    let failed = |source| StoreError::writing(path, source);
    let mut file = File::create(&beside).map_err(failed)?;
    let written = write(&mut file)
        .and_then(|()| if sync { file.sync_all().map_err(failed) } else { Ok(()) })
        .and_then(|()| fs::rename(&beside, path).map_err(failed));
    if written.is_err() {
        // It may be what fills the disk. That it cannot be removed adds nothing to the error.
        drop(fs::remove_file(&beside));
        return written;
    }
    if sync { sync_directory(path.parent().unwrap_or(Path::new(""))) } else { Ok(()) }
}

/// Makes the names in a directory outlast a loss of power.
pub(crate) fn sync_directory(dir: &Path) -> Result<(), StoreError> {
    // A relative path of one name has an empty parent.
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|source| StoreError::writing(dir, source))
}

/// Returns where the new content of `path` is written.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use super::*;

    #[test]
    fn a_failed_replacement_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, b"old").unwrap();
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = replace(&path, Outlasts::Power, |file| {
            file.write_all(b"new").unwrap();
            Err(StoreError::writing(&path, full))
        });
        assert!(matches!(error, Err(StoreError::StorageFull { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
