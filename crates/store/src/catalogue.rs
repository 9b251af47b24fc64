//! The catalogue: every run and study directly below a directory, found without reading them all.
//!
//! What a listing shows of each stands in `catalogue.sqlite` beside them. The directories alone
//! are the truth: each listing compares the size and time of every header with what it had when
//! it was read, reads those that differ, and forgets those that are gone. So a run that was
//! copied in, changed or deleted by hand is noticed, and the file may be deleted at any time.
//!
//! # Invariants
//!
//! - The file is never the only holder of anything: one that is missing, damaged or of another
//!   version is made anew, one that cannot be written is done without.
//! - One broken record does not hide the others.
//!
//! Deliberately not here: which runs somebody wants to see.

mod digest;
mod index;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io, thread};

use serde::Serialize;

use self::index::Index;
pub(crate) use self::index::IndexError;
use crate::hold::is_held;
use crate::{RunFile, StoreError, files};

/// How many threads look for headers, at most: each call waits for the disk or for the kernel.
const THREADS_MAX: usize = 8;

/// The fewest directories that are worth a thread.
const SHARE_MIN: usize = 1000;

/// What a listing says of a run or study. A figure is absent where there is not exactly one point
/// that has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Entry {
    /// Its directory's name, which tells it from the others.
    pub name: String,
    /// Its own name.
    pub id: String,
    /// `run`, or what a study is for.
    pub kind: String,
    /// When it began, in RFC 3339.
    pub created: String,
    /// How it stands.
    pub state: Standing,
    /// The model that was measured.
    pub model: Option<String>,
    /// Where it was.
    pub target: Option<String>,
    /// The server's name and version.
    pub server: Option<String>,
    /// The server's accelerators, such as `8xh100`.
    pub gpu: Option<String>,
    /// The load that was asked for.
    pub load: Option<String>,
    /// What the user noted.
    pub tags: BTreeMap<String, String>,
    /// Whose definitions its figures have.
    pub definitions: String,
    /// How many operating points have results.
    pub points: u64,
    /// Requests due in the windows of all points.
    pub requests: Option<u64>,
    /// Those of them that did not succeed.
    pub failed: Option<u64>,
    /// Output tokens a second.
    pub output_tokens_per_s: Option<f64>,
    /// Median time to first token, in milliseconds.
    pub ttft_ms_p50: Option<f64>,
    /// Median time between tokens, in milliseconds.
    pub itl_ms_p50: Option<f64>,
    /// The instrument's worst verdict on itself.
    pub trust: Option<String>,
    /// Why its header cannot be read.
    pub problem: Option<String>,
}

/// How a run or study stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It came to its end.
    #[default]
    Complete,
    /// It is being measured now.
    Running,
    /// It was cut short.
    Partial,
    /// Its header cannot be read.
    Unreadable,
}

impl Standing {
    /// Returns its name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Running => "running",
            Self::Partial => "partial",
            Self::Unreadable => "unreadable",
        }
    }
}

/// What a header was when it was read: another file has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    /// When it was changed last, in nanoseconds of the wall clock.
    modified_ns: i64,
    /// Its length in bytes.
    size: i64,
}

/// Lists all runs and studies directly below `root`, in the order of their names; none where
/// there is no such directory. `watch` is told how many headers have been read, of how many that
/// have to be.
///
/// # Errors
///
/// What the system says if `root` cannot be read.
///
/// # Panics
///
/// Never: a thread that looks for headers does not.
pub fn list(root: &Path, watch: &mut dyn FnMut(usize, usize)) -> Result<Vec<Entry>, StoreError> {
    let path = root.join(files::CATALOGUE);
    let known = || Index::open(&path).and_then(Known::read);
    // What is there and what is known of it are looked up side by side. Where nothing is there, no
    // file is made.
    let (found, before) = thread::scope(|scope| {
        let finding = scope.spawn(|| scan(root));
        let before = path.exists().then(known);
        (finding.join().expect("it only looks"), before)
    });
    let found = found?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let mut listed =
        before.unwrap_or_else(known).and_then(|known| renew(known, root, &found, watch));
    if listed.as_ref().is_err_and(IndexError::is_of_the_file) {
        index::discard(&path);
        listed = known().and_then(|known| renew(known, root, &found, watch));
    }
    let in_memory = || Known::read(Index::in_memory()?);
    let listed = listed.or_else(|_| renew(in_memory()?, root, &found, watch));
    let mut entries = listed.map_err(|error| StoreError::catalogue(&path, error))?;
    for entry in entries.iter_mut().filter(|entry| entry.state == Standing::Partial) {
        let dir = root.join(&entry.name);
        entry.look_for_its_writer(&dir);
    }
    Ok(entries)
}

/// An index, and what stands in it.
struct Known {
    index: Index,
    entries: Vec<(Mark, Entry)>,
}

impl Known {
    fn read(index: Index) -> Result<Self, IndexError> {
        let entries = index.entries()?;
        Ok(Self { index, entries })
    }
}

/// Enters a run or study that has ended into the catalogue beside it. It is only for speed, so
/// nobody hears of a failure: the next listing finds what is missing.
pub fn note(dir: &Path) {
    let (Some(root), Some(name)) = (dir.parent(), dir.file_name().and_then(|name| name.to_str()))
    else {
        return;
    };
    if let Ok(mark) = mark(&dir.join(files::RUN)) {
        let noted = Index::open(&root.join(files::CATALOGUE))
            .and_then(|mut index| index.change(&[(mark, read(dir, name))], &[]));
        // Said above.
        drop(noted);
    }
}

/// A run directory's name, and what its header is.
type Found = (String, Mark);

/// Finds the header of each run directory below `root`, in the order of their names.
fn scan(root: &Path) -> Result<Vec<Found>, StoreError> {
    let failed = |source| StoreError::reading(root, source);
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        // A name that is not UTF-8 cannot be typed as an id either: it needs its path.
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    names.sort_unstable();
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let share = names.len().div_ceil(threads).max(SHARE_MIN);
    Ok(thread::scope(|scope| {
        let look = |names| scope.spawn(move || marked(root, names));
        let looking: Vec<_> = names.chunks(share).map(look).collect();
        let found = looking.into_iter().map(|share| share.join().expect("it only looks"));
        found.flatten().collect()
    }))
}

/// Returns those of these names that are run directories.
fn marked(root: &Path, names: &[String]) -> Vec<Found> {
    let found = |name: &String| Some((name.clone(), mark(&root.join(name).join(files::RUN)).ok()?));
    names.iter().filter_map(found).collect()
}

fn mark(header: &Path) -> io::Result<Mark> {
    let header = fs::metadata(header)?;
    let modified_ns = header.mtime() * 1_000_000_000 + header.mtime_nsec();
    Ok(Mark { modified_ns, size: header.size().cast_signed() })
}

/// Brings an index up to date with what was found, and returns all of it.
fn renew(
    known: Known,
    root: &Path,
    found: &[Found],
    watch: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Entry>, IndexError> {
    let Known { mut index, entries: mut known } = known;
    known.sort_unstable_by(|(_, one), (_, other)| one.name.cmp(&other.name));
    let mut known = known.into_iter().peekable();
    let (mut kept, mut missing, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for (name, mark) in found {
        while let Some((_, entry)) = known.next_if(|(_, entry)| entry.name < *name) {
            gone.push(entry.name);
        }
        match known.next_if(|(_, entry)| entry.name == *name) {
            Some((read, entry)) if read == *mark => kept.push(entry),
            Some(_) | None => missing.push((name, *mark)),
        }
    }
    gone.extend(known.map(|(_, entry)| entry.name));
    let total = missing.len();
    let mut fresh = Vec::with_capacity(total);
    for (count, (name, mark)) in (1..).zip(missing) {
        fresh.push((mark, read(&root.join(name), name)));
        watch(count, total);
    }
    index.change(&fresh, &gone)?;
    kept.extend(fresh.into_iter().map(|(_, entry)| entry));
    kept.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(kept)
}

/// Reads a header as it is to be kept: whether somebody is writing there is not.
fn read(dir: &Path, name: &str) -> Entry {
    match RunFile::of(dir) {
        Ok(header) => digest::entry(name, &header),
        Err(error) => digest::unreadable(name, &error),
    }
}

/// Returns the entry of the run or study in `dir`, wherever that is, without the catalogue.
pub fn entry(dir: &Path) -> Entry {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let mut entry = read(dir, &name);
    entry.look_for_its_writer(dir);
    entry
}

impl Entry {
    fn look_for_its_writer(&mut self, dir: &Path) {
        if self.state == Standing::Partial && is_held(dir) {
            self.state = Standing::Running;
        }
    }
}

/// What a name that somebody typed means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// This run or study.
    One(PathBuf),
    /// Any of these names.
    Several(Vec<String>),
    /// None.
    Nothing,
}

/// Finds the run or study below `root` whose name is `text`, or else the only one whose name
/// begins or ends so.
///
/// # Errors
///
/// What the system says if `root` cannot be read.
pub fn find(root: &Path, text: &str) -> Result<Meant, StoreError> {
    let found = scan(root)?;
    if text.is_empty() {
        return Ok(Meant::Nothing);
    }
    let names = || found.iter().map(|(name, _)| name);
    if names().any(|name| name == text) {
        return Ok(Meant::One(root.join(text)));
    }
    let meant = |name: &&String| name.starts_with(text) || name.ends_with(text);
    let names: Vec<&String> = names().filter(meant).collect();
    Ok(match names[..] {
        [] => Meant::Nothing,
        [name] => Meant::One(root.join(name)),
        _ => Meant::Several(names.into_iter().cloned().collect()),
    })
}

/// Removes a run or study with all that its directory holds, the header last: until all is gone
/// there is something to remove again.
///
/// # Errors
///
/// [`StoreError::NotARun`] without a header, [`StoreError::Held`] while it is being measured,
/// otherwise what the system says.
pub fn remove(dir: &Path) -> Result<(), StoreError> {
    let header = dir.join(files::RUN);
    if !header.is_file() {
        return Err(StoreError::NotARun { dir: dir.to_path_buf() });
    }
    if is_held(dir) {
        return Err(StoreError::Held { dir: dir.to_path_buf() });
    }
    let failed = |source| StoreError::writing(dir, source);
    if dir.is_symlink() {
        return fs::remove_file(dir).map_err(failed);
    }
    for entry in fs::read_dir(dir).map_err(|source| StoreError::reading(dir, source))? {
        let path = entry.map_err(failed)?.path();
        let is_folder = path.is_dir() && !path.is_symlink();
        if is_folder {
            fs::remove_dir_all(&path).map_err(failed)?;
        } else if path != header {
            fs::remove_file(&path).map_err(failed)?;
        }
    }
    fs::remove_file(&header).and_then(|()| fs::remove_dir(dir)).map_err(failed)
}

#[cfg(test)]
mod tests;
