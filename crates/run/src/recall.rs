//! A record read back with its rows, and records that other tools' results become.

use std::path::Path;

use infermark_store::{KeepChunks, RunFile, RunWriter, open};
use infermark_terms::{ChunkRow, RequestRow};
use serde_json::{Value, json};

use crate::{Measured, RunError, measure_again};

/// Under this key of the header stands where an imported run is from.
const IMPORTED: &str = "imported";

/// Reads a record back and hands its result and its rows to `read`, chunks as they are wanted.
///
/// # Errors
///
/// [`RunError::Adopted`] for an imported run, which has no rows; or if the record cannot be read.
pub fn recall<T>(
    dir: &Path,
    read: impl FnOnce(&Measured, &[RequestRow], &mut dyn Iterator<Item = ChunkRow>) -> T,
) -> Result<T, RunError> {
    let run = open(dir)?;
    if is_adopted(&run.header) {
        return Err(RunError::Adopted { dir: dir.to_owned() });
    }
    let measured = measure_again(dir)?;
    let rows = run.requests()?;
    let mut failure = None;
    let mut chunks = run.chunks()?.map_while(|row| row.map_err(|error| failure = Some(error)).ok());
    let result = read(&measured, &rows, &mut chunks);
    drop(chunks);
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(result),
    }
}

/// Another tool's result.
#[derive(Clone, Debug)]
pub struct Foreign {
    /// The run's name.
    pub id: String,
    /// When it was measured, in RFC 3339.
    pub created: String,
    /// Whose definitions its figures have, and in which version.
    pub definitions: String,
    /// Who was measured, where the result says.
    pub target: Value,
    /// Its points: what the result says, and nothing else.
    pub points: Vec<Value>,
    /// The file that it was read from.
    pub file: String,
}

/// Writes another tool's result as a run, whose tables are empty.
///
/// # Errors
///
/// If there is something in `dir`, or it cannot be written.
pub fn adopt(dir: &Path, foreign: Foreign) -> Result<(), RunError> {
    let mut header = RunFile {
        id: foreign.id,
        created: foreign.created,
        definitions: foreign.definitions,
        target: foreign.target,
        points: foreign.points,
        ..RunFile::default()
    };
    let _: Option<Value> = header.rest.insert(IMPORTED.to_owned(), json!({ "file": foreign.file }));
    RunWriter::create(dir, &header)?.finish(&header, KeepChunks::Drop)?;
    Ok(())
}

/// Says whether a run was imported.
pub(crate) fn is_adopted(header: &RunFile) -> bool {
    header.rest.contains_key(IMPORTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_tools_result_becomes_a_run_that_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("run");
        let foreign = Foreign {
            id: "r".to_owned(),
            created: "2026-11-22T02:49:18Z".to_owned(),
            definitions: "vllm".to_owned(),
            target: json!({ "model": "m" }),
            points: vec![json!({ "counts": { "finished": 3 } })],
            file: "result.json".to_owned(),
        };
        adopt(&dir, foreign.clone()).unwrap();
        let header = RunFile::of(&dir).unwrap();
        assert!(is_adopted(&header));
        assert_eq!(header.definitions, "vllm");
        assert_eq!(header.points, foreign.points);
        assert_eq!(header.rest[IMPORTED]["file"], "result.json");
        assert!(!header.partial);
        assert!(open(&dir).unwrap().requests().unwrap().is_empty());
        let recalled = recall(&dir, |_, _, _| ());
        assert!(matches!(recalled, Err(RunError::Adopted { .. })));
        assert!(adopt(&dir, foreign).is_err(), "nothing is overwritten");
    }
}
