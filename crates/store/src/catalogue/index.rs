//! The catalogue's file: one SQLite table, whose columns docs/record.md names.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Row, params};

use super::{Entry, Mark, Standing};

/// The table's version. A file of another is made anew: there is nothing in it that is not
/// elsewhere.
const VERSION: i64 = 1;

/// How long to wait for another process that writes.
const PATIENCE: Duration = Duration::from_secs(5);

const TABLE: &str = "
CREATE TABLE runs (
    name TEXT PRIMARY KEY NOT NULL,
    modified_ns INTEGER NOT NULL,
    size INTEGER NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    created TEXT NOT NULL,
    state TEXT NOT NULL,
    model TEXT,
    target TEXT,
    server TEXT,
    gpu TEXT,
    load TEXT,
    tags TEXT NOT NULL,
    definitions TEXT NOT NULL,
    points INTEGER NOT NULL,
    requests INTEGER,
    failed INTEGER,
    output_tokens_per_s REAL,
    ttft_ms_p50 REAL,
    itl_ms_p50 REAL,
    trust TEXT,
    problem TEXT
)";

const SELECT: &str = "
SELECT name, modified_ns, size, id, kind, created, state, model, target, server, gpu, load, tags,
    definitions, points, requests, failed, output_tokens_per_s, ttft_ms_p50, itl_ms_p50, trust,
    problem
FROM runs";

const REPLACE: &str = "
REPLACE INTO runs (name, modified_ns, size, id, kind, created, state, model, target, server, gpu,
    load, tags, definitions, points, requests, failed, output_tokens_per_s, ttft_ms_p50,
    itl_ms_p50, trust, problem)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Why the file is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    /// What SQLite says.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// It is of another version, or holds what was never written.
    #[error("it is of another version or damaged")]
    Foreign,
}

impl IndexError {
    /// Says whether a new file in its place would do. While another process writes, or where
    /// nothing can be written, it would not.
    pub(super) fn is_of_the_file(&self) -> bool {
        use ErrorCode::{CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, ReadOnly};
        match self {
            Self::Foreign => true,
            Self::Sqlite(error) => !matches!(
                error.sqlite_error_code(),
                Some(DatabaseBusy | DatabaseLocked | ReadOnly | CannotOpen | DiskFull)
            ),
        }
    }
}

/// The open file.
pub(super) struct Index(Connection);

impl Index {
    /// Opens the file at `path`, which is made if need be.
    pub(super) fn open(path: &Path) -> Result<Self, IndexError> {
        Self::begin(Connection::open(path)?)
    }

    /// Makes an index that nobody else sees.
    pub(super) fn in_memory() -> Result<Self, IndexError> {
        Self::begin(Connection::open_in_memory()?)
    }

    fn begin(mut connection: Connection) -> Result<Self, IndexError> {
        connection.busy_timeout(PATIENCE)?;
        // What a loss of power may tear is made anew.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let version = |connection: &Connection| {
            connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
        };
        match version(&connection)? {
            VERSION => return Ok(Self(connection)),
            0 => {}
            _ => return Err(IndexError::Foreign),
        }
        let making =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        // Another process may have made it meanwhile.
        if version(&making)? != VERSION {
            making.execute_batch(TABLE)?;
            making.pragma_update(None, "user_version", VERSION)?;
        }
        making.commit()?;
        Ok(Self(connection))
    }

    /// Returns all entries.
    pub(super) fn entries(&self) -> Result<Vec<(Mark, Entry)>, IndexError> {
        let mut statement = self.0.prepare(SELECT)?;
        let mut rows = statement.query([])?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            entries.push(entry(row)?);
        }
        Ok(entries)
    }

    /// Enters these, and forgets the ones of these names.
    pub(super) fn change(
        &mut self,
        fresh: &[(Mark, Entry)],
        gone: &[String],
    ) -> Result<(), IndexError> {
        if fresh.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let change = self.0.transaction()?;
        {
            let mut forget = change.prepare("DELETE FROM runs WHERE name = ?")?;
            for name in gone {
                let _: usize = forget.execute([name])?;
            }
            let mut replace = change.prepare(REPLACE)?;
            for (mark, entry) in fresh {
                enter(&mut replace, *mark, entry)?;
            }
        }
        Ok(change.commit()?)
    }
}

/// Removes a file that is of no use, and what SQLite may have left beside it. One that stays is
/// found again when it is opened.
pub(super) fn discard(path: &Path) {
    drop(fs::remove_file(path));
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    drop(fs::remove_file(journal));
}

fn entry(row: &Row<'_>) -> Result<(Mark, Entry), IndexError> {
    let state: String = row.get(6)?;
    let states = [Standing::Complete, Standing::Partial, Standing::Unreadable];
    let state = states.into_iter().find(|known| known.name() == state);
    let tags: String = row.get(12)?;
    let entry = Entry {
        name: row.get(0)?,
        id: row.get(3)?,
        kind: row.get(4)?,
        created: row.get(5)?,
        state: state.ok_or(IndexError::Foreign)?,
        model: row.get(7)?,
        target: row.get(8)?,
        server: row.get(9)?,
        gpu: row.get(10)?,
        load: row.get(11)?,
        tags: serde_json::from_str(&tags).map_err(|_| IndexError::Foreign)?,
        definitions: row.get(13)?,
        points: count(row, 14)?.ok_or(IndexError::Foreign)?,
        requests: count(row, 15)?,
        failed: count(row, 16)?,
        output_tokens_per_s: row.get(17)?,
        ttft_ms_p50: row.get(18)?,
        itl_ms_p50: row.get(19)?,
        trust: row.get(20)?,
        problem: row.get(21)?,
    };
    Ok((Mark { modified_ns: row.get(1)?, size: row.get(2)? }, entry))
}

fn count(row: &Row<'_>, index: usize) -> Result<Option<u64>, IndexError> {
    let stored: Option<i64> = row.get(index)?;
    stored.map(|count| u64::try_from(count).map_err(|_| IndexError::Foreign)).transpose()
}

fn enter(
    replace: &mut rusqlite::Statement<'_>,
    mark: Mark,
    entry: &Entry,
) -> Result<(), IndexError> {
    let tags = serde_json::to_string(&entry.tags).expect("a map of text is plain data");
    let stored = |count: Option<u64>| count.map(u64::cast_signed);
    let _: usize = replace.execute(params![
        entry.name,
        mark.modified_ns,
        mark.size,
        entry.id,
        entry.kind,
        entry.created,
        entry.state.name(),
        entry.model,
        entry.target,
        entry.server,
        entry.gpu,
        entry.load,
        tags,
        entry.definitions,
        entry.points.cast_signed(),
        stored(entry.requests),
        stored(entry.failed),
        entry.output_tokens_per_s,
        entry.ttft_ms_p50,
        entry.itl_ms_p50,
        entry.trust,
        entry.problem,
    ])?;
    Ok(())
}
