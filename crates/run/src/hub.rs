//! Datasets and tokenizers by their names on a hub, as files on this machine.
//!
//! ```text
//!  hf:ORG/NAME:FILE ─▶ the hub's own cache ─ there ─────────────▶ file
//!                            │ not there
//!                            ▼
//!                  which commit, which files? ─▶ download ─▶ cache ─▶ file
//! ```
//!
//! The cache is laid out as the hub's own client lays it out, so that each finds what the other
//! fetched: `datasets--ORG--NAME/refs/main` names a commit, `snapshots/COMMIT/FILE` is the file.
//!
//! # Invariants
//!
//! - Nothing is asked of a hub but what a scenario names. A file that is there is not asked for;
//!   only which one it is, where none was named.
//! - A file in the cache is whole: it is put there by renaming. What was begun is gone on with, as
//!   a commit's files never change.
//! - One process at a time fetches a file: it holds a lock on what has come of it. Where the file
//!   system knows no locks, each fetches into a file of its own.
//! - The token goes to the hub alone, not to where it redirects.
//!
//! Deliberately not here: uploads, other kinds of repositories, deleting what was fetched.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use infermark_drive::{
    CallError, Endpoint, EndpointError, FetchError, Opening, Proxies, Roots, Route, call, fetch,
    shown,
};
use infermark_scenario::intent::{HubName, Load, PromptSource, Scenario, TokenizerChoice};
use infermark_terms::Nanos;
use infermark_workload::Traces;
use nix::errno::Errno;
use serde::Deserialize;
use thiserror::Error;

use crate::load::Secrets;

/// The hub, unless `HF_ENDPOINT` names another.
const HUB: &str = "https://huggingface.co";

/// How long the hub may take to say what is there, and to hand a file over.
const ASK_LIMIT: Nanos = Nanos::from_secs(30);
const FETCH_LIMIT: Nanos = Nanos::from_secs(6 * 3600);

/// The folder of a repository in the cache that has one folder for each commit.
const SNAPSHOTS: &str = "snapshots";

/// The most redirects that are followed.
const REDIRECTS_MAX: usize = 8;

/// The most files of a repository that are looked through.
const FILES_MAX: usize = 10_000;

/// How much is fetched before it is told again.
const TELL_EVERY: u64 = 16 << 20;

/// What a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Dataset,
    Model,
}

impl Kind {
    fn plural(self) -> &'static str {
        match self {
            Self::Dataset => "datasets",
            Self::Model => "models",
        }
    }

    /// Returns what the path of a repository begins with: those of models with nothing.
    fn prefix(self) -> &'static str {
        match self {
            Self::Dataset => "/datasets",
            Self::Model => "",
        }
    }

    /// Says whether a file may be the one that is meant where none is named.
    fn is_content(self, file: &str) -> bool {
        let extension = file.rsplit_once('.').map(|(_, extension)| extension);
        match self {
            Self::Dataset => {
                extension.is_some_and(|e| ["jsonl", "csv", "parquet", "json"].contains(&e))
            }
            Self::Model => file == "tokenizer.json",
        }
    }
}

/// Why a name on a hub cannot be used.
#[derive(Debug, Error)]
pub enum HubError {
    /// The hub cannot be got to.
    #[error("cannot reach the hub {hub}")]
    Unreachable {
        /// Its URL.
        hub: String,
        /// Why not.
        #[source]
        source: Box<EndpointError>,
    },
    /// The hub did not answer.
    #[error("no answer from the hub {hub}")]
    Silent {
        /// Its URL.
        hub: String,
        /// Why not.
        #[source]
        source: Box<CallError>,
    },
    /// The hub refused.
    #[error("the hub answers {status} to {asked}")]
    Refused {
        /// What was asked for.
        asked: String,
        /// The status.
        status: u16,
    },
    /// The hub's answer says nothing that is known.
    #[error("the hub's answer about {repo} cannot be read")]
    Odd {
        /// The repository.
        repo: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The repository has no such file, or several where none was named.
    #[error("{repo} has no {wanted}; it has: {}", files.join(", "))]
    NoFile {
        /// The repository.
        repo: String,
        /// What was looked for.
        wanted: String,
        /// What is there, at most [`HubError::FILES_SHOWN`].
        files: Vec<String>,
    },
    /// The file could not be fetched.
    #[error("{file} was not fetched whole")]
    Cut {
        /// The file.
        file: String,
        /// What went wrong.
        #[source]
        source: Box<FetchError>,
    },
    /// A redirect leads nowhere.
    #[error("the hub redirects {file} to `{location}`")]
    Lost {
        /// The file.
        file: String,
        /// Where it leads.
        location: String,
    },
    /// It is not in the cache, and the hub must not be asked.
    #[error("{name} is not in {}, and HF_HUB_OFFLINE is set", cache.display())]
    Offline {
        /// The name.
        name: String,
        /// The cache.
        cache: PathBuf,
    },
    /// The cache cannot be used.
    #[error("cannot use the cache {}", path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl HubError {
    /// The greatest number of files that are listed.
    const FILES_SHOWN: usize = 20;

    /// Returns what to do about it, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } => {
                Some("name a mirror in HF_ENDPOINT, a proxy in HTTPS_PROXY, or give a file")
            }
            Self::Refused { status: 401 | 403, .. } => {
                Some("give a token that may read it in HF_TOKEN; a gated one must be asked for")
            }
            Self::Refused { status: 404, .. } => Some("see whether the name is right"),
            Self::NoFile { .. } => Some("name the file, as in `hf:ORG/NAME:FILE`"),
            Self::Cut { .. } => Some("try again: what has come is kept and gone on with"),
            Self::Offline { .. } => Some("unset HF_HUB_OFFLINE to fetch it"),
            Self::Cache { .. } => Some("name another place in HF_HOME"),
            Self::Refused { .. } | Self::Odd { .. } | Self::Lost { .. } => None,
        }
    }
}

/// Returns the scenario with files in place of names on a hub. What is not on this machine is
/// fetched; `tell` hears of that, now and then, in words.
///
/// # Errors
///
/// If a named file cannot be had.
pub fn localised(
    scenario: &Scenario,
    shelf: &Shelf,
    secrets: &Secrets<'_>,
    tell: &mut dyn FnMut(&str),
) -> Result<Scenario, HubError> {
    let mut scenario = scenario.clone();
    for (kind, path) in files(&mut scenario) {
        if let Some(name) = HubName::of(path) {
            *path = shelf.file(kind, path, || Hub::of(secrets).file(kind, &name, tell))?;
        }
    }
    Ok(scenario)
}

/// What a command has at hand: each name on a hub is looked up once, and each trace read once,
/// however many runs use them. Clones are the same shelf.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    named: Arc<Mutex<BTreeMap<(Kind, PathBuf), PathBuf>>>,
    pub(crate) traces: Traces,
}

impl Shelf {
    /// Returns the file of a name, found the first time.
    fn file(
        &self,
        kind: Kind,
        name: &Path,
        find: impl FnOnce() -> Result<PathBuf, HubError>,
    ) -> Result<PathBuf, HubError> {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (kind, name.to_owned());
        if let Some(path) = named.get(&name) {
            return Ok(path.clone());
        }
        let path = find()?;
        let _: Option<PathBuf> = named.insert(name, path.clone());
        Ok(path)
    }
}

/// Returns what each name on a hub was when it was localised: the commit and the file in it, as
/// `COMMIT/FILE`.
pub(crate) fn snapshots(named: &Scenario, local: &Scenario) -> BTreeMap<String, String> {
    let (mut named, mut local) = (named.clone(), local.clone());
    let pairs = files(&mut named).into_iter().zip(files(&mut local));
    let on_hub = pairs.filter(|((_, name), _)| HubName::of(name).is_some());
    on_hub
        .map(|((_, name), (_, path))| {
            let parts = path.iter().map(|part| part.to_string_lossy());
            let parts = parts.skip_while(|part| part != SNAPSHOTS).skip(1);
            (name.display().to_string(), parts.collect::<Vec<_>>().join("/"))
        })
        .collect()
}

/// Returns what may be a name on a hub.
fn files(scenario: &mut Scenario) -> Vec<(Kind, &mut PathBuf)> {
    let sources = scenario.classes.iter_mut().map(|class| &mut class.workload.source);
    let sources = sources.chain([&mut scenario.workload.source]);
    let sources = sources.filter_map(|source| match source {
        PromptSource::File { path, .. } | PromptSource::Trace { path } => Some(path),
        PromptSource::Synthetic { .. } | PromptSource::Corpus { .. } => None,
    });
    let replayed = match &mut scenario.load {
        Load::Trace { path, .. } => Some(path),
        Load::Closed { .. } | Load::Open { .. } | Load::Throughput { .. } => None,
    };
    let datasets = sources.chain(replayed).map(|path| (Kind::Dataset, path));
    let tokenizer = match &mut scenario.tokenizer {
        TokenizerChoice::Path(path) => Some((Kind::Model, path)),
        TokenizerChoice::Server | TokenizerChoice::None => None,
    };
    datasets.chain(tokenizer).collect()
}

/// A hub, and what is here of it.
struct Hub {
    url: String,
    token: Option<String>,
    proxies: Proxies,
    cache: PathBuf,
    offline: bool,
}

/// What the hub says of a repository at a revision.
#[derive(Deserialize)]
struct Listing {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Hub {
    /// Reads what the hub's own client reads from the environment.
    fn of(secrets: &Secrets<'_>) -> Self {
        let url = secrets("HF_ENDPOINT").unwrap_or_else(|| HUB.to_owned());
        let home = || secrets("HOME").map_or_else(PathBuf::new, PathBuf::from);
        let caches = || secrets("XDG_CACHE_HOME").map_or_else(|| home().join(".cache"), Into::into);
        let hub_home =
            || secrets("HF_HOME").map_or_else(|| caches().join("huggingface"), Into::into);
        let token_file = || {
            let path =
                secrets("HF_TOKEN_PATH").map_or_else(|| hub_home().join("token"), Into::into);
            let text = fs::read_to_string(path).ok()?;
            Some(text.trim().to_owned()).filter(|token| !token.is_empty())
        };
        let yes = |text: String| ["1", "ON", "YES", "TRUE"].contains(&&*text.to_uppercase());
        Self {
            url: url.trim_end_matches('/').to_owned(),
            token: secrets("HF_TOKEN").or_else(token_file),
            proxies: Proxies::of_environment(secrets),
            cache: secrets("HF_HUB_CACHE").map_or_else(|| hub_home().join("hub"), Into::into),
            offline: secrets("HF_HUB_OFFLINE").is_some_and(yes),
        }
    }

    /// Returns the file of this name, fetched if need be.
    fn file(
        &self,
        kind: Kind,
        name: &HubName,
        tell: &mut dyn FnMut(&str),
    ) -> Result<PathBuf, HubError> {
        let folder = self.folder(kind, name);
        // A tokenizer is always the same file of its repository.
        let named = match kind {
            Kind::Dataset => name.file.clone(),
            Kind::Model => Some(name.file.clone().unwrap_or_else(|| "tokenizer.json".to_owned())),
        };
        if let Some(file) = &named
            && let Some(here) = cached(&folder, &name.revision, file)
        {
            return Ok(here);
        }
        if self.offline {
            return self.only_one_here(kind, name).ok_or_else(|| HubError::Offline {
                name: name.repo.clone(),
                cache: self.cache.clone(),
            });
        }
        let listing = match self.listing(kind, name) {
            Ok(listing) => listing,
            Err(why) => return self.only_one_here(kind, name).ok_or(why),
        };
        let file = choose(kind, name, named, &listing.siblings)?;
        if let Some(here) = cached(&folder, &listing.sha, &file) {
            return Ok(here);
        }
        tell(&format!("fetching {file} of {} from {}", name.repo, shown(&self.url)));
        let path = self.fetch(kind, name, &listing.sha, &file, tell)?;
        if name.revision != listing.sha {
            let reference = folder.join("refs").join(&name.revision);
            write(&reference, listing.sha.as_bytes()).map_err(failed(&reference))?;
        }
        Ok(path)
    }

    /// Returns where a repository lies in the cache.
    fn folder(&self, kind: Kind, name: &HubName) -> PathBuf {
        self.cache.join(format!("{}--{}", kind.plural(), name.repo.replace('/', "--")))
    }

    /// Returns the only file in the cache that may be meant, for want of a hub to ask.
    fn only_one_here(&self, kind: Kind, name: &HubName) -> Option<PathBuf> {
        let snapshot = snapshot(&self.folder(kind, name), &name.revision)?;
        let mut files = files_in(&snapshot).into_iter().filter(|path| {
            path.to_str().is_some_and(|path| kind.is_content(path)) && name.file.is_none()
        });
        files.next().filter(|_| files.next().is_none())
    }

    fn endpoint(&self, url: &str) -> Result<Endpoint, HubError> {
        let route = Route {
            proxies: self.proxies.clone(),
            ..Route::of(Roots::Trusted { extra: Vec::new() })
        };
        Endpoint::resolve(url, &route)
            .map_err(|why| HubError::Unreachable { hub: shown(url), source: why.into() })
    }

    fn authorization(&self) -> Vec<(String, String)> {
        let token = self.token.as_ref();
        let field = |token| ("Authorization".to_owned(), format!("Bearer {token}"));
        token.map(field).into_iter().collect()
    }

    /// Asks which commit a revision is, and which files it has.
    fn listing(&self, kind: Kind, name: &HubName) -> Result<Listing, HubError> {
        let HubName { repo, revision, .. } = name;
        let revision = revision.replace('/', "%2F");
        let path = format!("/api/{}/{repo}/revision/{revision}", kind.plural());
        let endpoint = self.endpoint(&self.url)?;
        let answer = call(&endpoint, "GET", &path, &self.authorization(), None, ASK_LIMIT);
        let answer =
            answer.map_err(|why| HubError::Silent { hub: shown(&self.url), source: why.into() })?;
        if answer.status != 200 {
            return Err(HubError::Refused { asked: repo.clone(), status: answer.status });
        }
        let mut listing: Listing = serde_json::from_slice(&answer.body)
            .map_err(|source| HubError::Odd { repo: repo.clone(), source })?;
        listing.siblings.truncate(FILES_MAX);
        Ok(listing)
    }

    /// Fetches a file of a commit into the cache, and returns where it is.
    fn fetch(
        &self,
        kind: Kind,
        name: &HubName,
        commit: &str,
        file: &str,
        tell: &mut dyn FnMut(&str),
    ) -> Result<PathBuf, HubError> {
        let folder = self.folder(kind, name);
        let place = folder.join(SNAPSHOTS).join(commit).join(file);
        let begun =
            folder.join("blobs").join(format!("{commit}-{}.incomplete", file.replace('/', "--")));
        let wait = || tell(&format!("waiting for another process that fetches {file}"));
        let mut kept =
            Kept::of_this_process(&begun, File::try_lock, wait).map_err(failed(&begun))?;
        if place.is_file() {
            return Ok(place);
        }
        let mut url =
            format!("{}{}/{}/resolve/{commit}/{file}", self.url, kind.prefix(), name.repo);
        for _ in 0..=REDIRECTS_MAX {
            let (base, path) = split(&url).ok_or_else(|| lost(file, &url))?;
            let mut headers =
                if same_server(base, &self.url) { self.authorization() } else { vec![] };
            if kept.bytes > 0 {
                headers.push(("Range".to_owned(), format!("bytes={}-", kept.bytes)));
            }
            let endpoint = self.endpoint(base)?;
            let mut take = |opening: Opening, bytes: &[u8]| kept.take(opening, bytes, tell);
            let fetched = fetch(&endpoint, path, &headers, FETCH_LIMIT, &mut take)
                .map_err(|why| HubError::Cut { file: file.to_owned(), source: why.into() })?;
            match (fetched.status, fetched.location) {
                (200 | 206, _) => return kept.finish(place),
                // There is nothing after what was kept: it was whole, or is of no use.
                (416, _) => kept.cut(0).map_err(failed(&begun))?,
                (300..400, Some(location)) => {
                    url = joined(base, &location).ok_or_else(|| lost(file, &location))?;
                }
                (status, _) => return Err(HubError::Refused { asked: file.to_owned(), status }),
            }
        }
        Err(lost(file, &url))
    }
}

/// Locks a file, if nobody else has.
type Lock = fn(&File) -> Result<(), TryLockError>;

/// Says whether a file system knows no locks, as some that are shared over a network do not.
fn lacks_locks(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(Errno::ENOLCK as i32)
}

/// What has come of a file so far.
struct Kept {
    file: File,
    path: PathBuf,
    bytes: u64,
    /// Whether what was kept is of what comes now.
    is_of_this: bool,
}

impl Kept {
    /// Opens what has come, locked until this value is gone; after `wait` was told where another
    /// process holds it.
    fn of_this_process(path: &Path, lock: Lock, wait: impl FnOnce()) -> io::Result<Self> {
        fs::create_dir_all(path.parent().expect("it lies in a folder"))?;
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        match lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                wait();
                file.lock()?;
            }
            Err(TryLockError::Error(error)) if lacks_locks(&error) => return Self::alone(path),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let bytes = file.metadata()?.len();
        Ok(Self { file, path: path.to_owned(), bytes, is_of_this: false })
    }

    /// Opens a file of this process' own, from which no other goes on.
    fn alone(path: &Path) -> io::Result<Self> {
        let own = RandomState::new().hash_one("the part of one process");
        let path = path.with_extension(format!("{own:016x}.incomplete"));
        let file = OpenOptions::new().create_new(true).append(true).open(&path)?;
        Ok(Self { file, path, bytes: 0, is_of_this: false })
    }

    /// Keeps only so many bytes.
    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)?;
        self.bytes = bytes;
        Ok(())
    }

    fn take(
        &mut self,
        opening: Opening,
        bytes: &[u8],
        tell: &mut dyn FnMut(&str),
    ) -> io::Result<()> {
        match (opening.status, opening.from) {
            (200 | 206, _) if self.is_of_this => {}
            // The server begins anew.
            (200, _) => self.cut(0)?,
            (206, Some(from)) if from <= self.bytes => self.cut(from)?,
            (206, _) => {
                // The next try begins anew.
                self.cut(0)?;
                let found = "the server goes on elsewhere than where what is here ends";
                return Err(io::Error::new(io::ErrorKind::InvalidData, found));
            }
            _ => return Ok(()),
        }
        self.is_of_this = true;
        self.file.write_all(bytes)?;
        let before = self.bytes;
        self.bytes += bytes.len() as u64;
        if before / TELL_EVERY != self.bytes / TELL_EVERY {
            tell(&format!("fetched {} MiB", self.bytes >> 20));
        }
        Ok(())
    }

    /// Puts the file into its place.
    fn finish(self, place: PathBuf) -> Result<PathBuf, HubError> {
        let parent = place.parent().expect("it lies in a folder");
        self.file.sync_all().map_err(failed(&self.path))?;
        fs::create_dir_all(parent).map_err(failed(parent))?;
        fs::rename(&self.path, &place).map_err(failed(&place))?;
        Ok(place)
    }
}

/// Returns the file that is meant.
fn choose(
    kind: Kind,
    name: &HubName,
    named: Option<String>,
    siblings: &[Sibling],
) -> Result<String, HubError> {
    let none = |wanted: String, files: Vec<&str>| {
        let shown = files.into_iter().take(HubError::FILES_SHOWN).map(str::to_owned).collect();
        HubError::NoFile { repo: name.repo.clone(), wanted, files: shown }
    };
    let all = || siblings.iter().map(|sibling| sibling.rfilename.as_str());
    if let Some(file) = named {
        let is_there = all().any(|other| other == file);
        return if is_there {
            Ok(file)
        } else {
            Err(none(format!("file `{file}`"), all().collect()))
        };
    }
    let content: Vec<_> = all().filter(|file| kind.is_content(file)).collect();
    match content[..] {
        [one] => Ok(one.to_owned()),
        [] => Err(none("data file".to_owned(), all().collect())),
        _ => Err(none("single data file".to_owned(), content)),
    }
}

/// Returns a file of a revision that is in the cache.
fn cached(folder: &Path, revision: &str, file: &str) -> Option<PathBuf> {
    Some(snapshot(folder, revision)?.join(file)).filter(|path| path.is_file())
}

/// Returns the snapshot of a revision: of a commit, or of what a branch or tag last was.
fn snapshot(folder: &Path, revision: &str) -> Option<PathBuf> {
    let of = |commit: &str| Some(folder.join(SNAPSHOTS).join(commit)).filter(|path| path.is_dir());
    let reference = fs::read_to_string(folder.join("refs").join(revision));
    reference.ok().and_then(|commit| of(commit.trim())).or_else(|| of(revision))
}

/// Returns all files below a folder, in order.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let below = |path: PathBuf| if path.is_dir() { files_in(&path) } else { vec![path] };
    paths.into_iter().flat_map(below).collect()
}

/// Splits a URL into its server and the path on it.
fn split(url: &str) -> Option<(&str, &str)> {
    let after = url.find("://")? + 3;
    let path = url[after..].find(['/', '?']).map_or(url.len(), |at| after + at);
    Some((&url[..path], if path == url.len() { "/" } else { &url[path..] }))
}

/// Returns where a redirect from a server leads; nothing where that is less safe, or no place.
fn joined(base: &str, location: &str) -> Option<String> {
    let is_safe = !base.starts_with("https://") || location.starts_with("https://");
    match location {
        _ if location.starts_with('/') && !location.starts_with("//") => {
            Some(format!("{base}{location}"))
        }
        _ if location.starts_with("http") && is_safe => Some(location.to_owned()),
        _ => None,
    }
}

/// Says whether this server is the hub's own.
fn same_server(base: &str, hub: &str) -> bool {
    split(hub).is_some_and(|(own, _)| own == base)
}

fn lost(file: &str, location: &str) -> HubError {
    // What it redirects to is often signed.
    HubError::Lost { file: file.to_owned(), location: shown(location) }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(path.parent().expect("it lies in a folder"))?;
    fs::write(path, bytes)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> HubError {
    |source| HubError::Cache { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
