//! Where runs are kept, and which of them a word on the command line means.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use anyhow::anyhow;
use clap::{Arg, ArgMatches, value_parser};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use infermark_run::RunError;
use infermark_run::catalogue::{self, Entry, Meant};
use jiff::Timestamp;

use crate::exit::Failure;

/// Where runs are kept unless somebody says otherwise.
const DEFAULT: &str = "infermark-runs";

/// The variable that says otherwise.
const VARIABLE: &str = "INFERMARK_RUNS";

/// The most names that a word which means several is answered with.
const NAMES_MAX: usize = 5;

/// What `--help` says of a run.
pub(crate) const RUN_HELP: &str = "Directories of runs, or their names, of which a beginning or \
                                   end that only one has will do; `latest` is the newest, \
                                   `latest~1` the one before";

/// The argument that says where runs are kept.
pub(crate) fn argument() -> Arg {
    Arg::new("runs_dir")
        .long("runs")
        .value_name("DIR")
        .value_parser(value_parser!(PathBuf))
        .help_heading("Output")
        .help(format!("Where runs are kept [env: {VARIABLE}] [default: {DEFAULT}]"))
}

/// Returns where runs are kept.
pub(crate) fn root(matches: &ArgMatches) -> PathBuf {
    let given = matches.get_one::<PathBuf>("runs_dir").cloned();
    let variable = || std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(Into::into);
    given.or_else(variable).unwrap_or_else(|| DEFAULT.into())
}

/// Enters a run or study that has ended into the catalogue, where it is kept with the others.
pub(crate) fn note(matches: &ArgMatches, dir: &Path) {
    if dir.parent() == Some(&root(matches)) {
        catalogue::note(dir);
    }
}

/// Returns the directories of the runs that an argument names.
pub(crate) fn records(matches: &ArgMatches, argument: &str) -> Result<Vec<PathBuf>, Failure> {
    let named = matches.get_many::<PathBuf>(argument).into_iter().flatten();
    named.map(|named| record(&root(matches), named)).collect()
}

/// Returns the directory of the study that is to be gone on with.
///
/// # Panics
///
/// If none is.
pub(crate) fn resumed(matches: &ArgMatches) -> Result<PathBuf, Failure> {
    let named = matches.get_one::<PathBuf>("resume").expect("the caller asks nothing new");
    record(&root(matches), named)
}

/// Returns the directory of a run that is named by its path or by its name below `root`.
fn record(root: &Path, named: &Path) -> Result<PathBuf, Failure> {
    let mut parts = named.components();
    let (Some(Component::Normal(name)), None) = (parts.next(), parts.next()) else {
        return Ok(named.to_owned());
    };
    if named.join("run.json").is_file() {
        return Ok(named.to_owned());
    }
    let text = OsStr::to_string_lossy(name);
    if let Some(back) = back_from_latest(&text) {
        return nth_newest(root, back);
    }
    match catalogue::find(root, &text).map_err(RunError::from)? {
        Meant::One(dir) => Ok(dir),
        Meant::Several(all) => {
            let first = all.iter().take(NAMES_MAX).map(String::as_str).collect::<Vec<_>>();
            let more = all.len().saturating_sub(NAMES_MAX);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            let error = anyhow!("`{text}` may be {}{more}", first.join(", "));
            Err(Failure::usage(error).hint("give as much of the name as tells them apart"))
        }
        // What is there instead is told by whoever opens it.
        Meant::Nothing if named.exists() => Ok(named.to_owned()),
        Meant::Nothing => {
            let error = anyhow!("there is no run `{text}`, neither here nor in {}", root.display());
            Err(Failure::usage(error).hint("`infermark runs ls` lists them"))
        }
    }
}

/// Reads how many runs before the newest `latest` or `latest~N` means.
fn back_from_latest(text: &str) -> Option<usize> {
    match text.strip_prefix("latest")? {
        "" => Some(0),
        rest => rest.strip_prefix('~')?.parse().ok(),
    }
}

fn nth_newest(root: &Path, back: usize) -> Result<PathBuf, Failure> {
    let mut entries = list(root)?;
    newest_first(&mut entries);
    entries.get(back).map(|entry| root.join(&entry.name)).ok_or_else(|| {
        let count = entries.len();
        let error = anyhow!("there are {count} runs in {}, none so far back", root.display());
        Failure::usage(error).hint("`infermark runs ls` lists them")
    })
}

/// Orders runs, which come in the order of their names, by when they began, the newest first; those
/// that do not say come last.
pub(crate) fn newest_first(entries: &mut [Entry]) {
    entries.reverse();
    // It is stable: of those that began at once, the last name is still the first.
    entries.sort_by_cached_key(|entry| Reverse(began(entry)));
}

/// Returns when a run began, where its header says so.
pub(crate) fn began(entry: &Entry) -> Option<Timestamp> {
    entry.created.parse().ok()
}

/// Lists all runs. Where that takes long because they are not catalogued yet, a terminal shows
/// how far it is.
pub(crate) fn list(root: &Path) -> Result<Vec<Entry>, Failure> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = "cataloguing {pos} of {len} runs {wide_bar}";
    bar.set_style(ProgressStyle::with_template(style).expect("a template of ours"));
    let listed = catalogue::list(root, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    Ok(listed.map_err(RunError::from)?)
}
