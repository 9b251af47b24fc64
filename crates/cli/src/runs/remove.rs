//! `infermark runs rm` and `infermark runs prune`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};
use infermark_run::RunError;
use infermark_run::catalogue::{self, Entry, Standing};
use jiff::{SignedDuration, Timestamp};

use super::filter::{self, Filter};
use super::list::files;
use super::run_argument;
use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::{place, print, say};

/// The arguments of `rm`.
pub(super) fn rm_command() -> Command {
    Command::new("rm")
        .about("Removes runs with everything in their directories, and asks before")
        .after_help(EXIT_CODES)
        .arg(run_argument().num_args(1..))
        .arg(yes("Do not ask"))
}

/// The arguments of `prune`.
pub(super) fn prune_command() -> Command {
    Command::new("prune")
        .about("Says which runs are old or were cut short, and with --yes removes them")
        .long_about(
            "Says which runs are old or were cut short, and with --yes removes them.\n\n\
             Runs that are being measured, and those that cannot be read, are never removed.",
        )
        .after_help(EXIT_CODES)
        .args(filter::arguments())
        .arg(
            Arg::new("keep")
                .long("keep")
                .value_name("N")
                .value_parser(value_parser!(u32))
                .help("Remove all but the newest N"),
        )
        .arg(
            Arg::new("older")
                .long("older")
                .value_name("DURATION")
                .value_parser(filter::duration)
                .help("Remove what began longer ago, such as `30d`"),
        )
        .arg(
            Arg::new("partial")
                .long("partial")
                .action(ArgAction::SetTrue)
                .help("Remove what was cut short"),
        )
        .group(ArgGroup::new("which").args(["keep", "older", "partial"]).required(true))
        .arg(yes("Remove them; without, nothing is"))
}

fn yes(help: &'static str) -> Arg {
    Arg::new("yes").long("yes").short('y').action(ArgAction::SetTrue).help(help)
}

/// Removes runs.
pub(super) fn rm(matches: &ArgMatches) -> Result<Exit, Failure> {
    let mut dirs = place::records(matches, "run")?;
    dirs.sort();
    dirs.dedup();
    if !matches.get_flag("yes") && !agreed(&dirs)? {
        say("nothing was removed\n");
        return Ok(Exit::Done);
    }
    remove(&dirs)
}

/// Asks whoever is at the terminal.
fn agreed(dirs: &[PathBuf]) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        let error = anyhow!("nobody is there to be asked");
        return Err(Failure::usage(error).hint("`--yes` removes without a question"));
    }
    for dir in dirs {
        say(&format!("{}\n", dir.display()));
    }
    let what = if dirs.len() == 1 { "this run".to_owned() } else { format!("{} runs", dirs.len()) };
    say(&format!("remove {what} with {}? [y/N] ", held(dirs)?));
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer).context("cannot read the answer");
    let _: usize = read.map_err(Failure::internal)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Says how much directories hold.
fn held(dirs: &[PathBuf]) -> Result<String, Failure> {
    let mut bytes = 0;
    for dir in dirs {
        bytes += files(dir)?.iter().map(|(_, size)| size).sum::<u64>();
    }
    Ok(format!("{:.1} MB", bytes as f64 / 1e6))
}

fn remove(dirs: &[PathBuf]) -> Result<Exit, Failure> {
    for dir in dirs {
        catalogue::remove(dir).map_err(RunError::from)?;
        let _: Exit = print(&format!("{}\n", dir.display()))?;
    }
    Ok(Exit::Done)
}

/// Removes what is old or was cut short, or says what that is.
pub(super) fn prune(matches: &ArgMatches) -> Result<Exit, Failure> {
    let root = place::root(matches);
    let now = Timestamp::now();
    let filter = Filter::of(matches, now)?;
    let mut entries = place::list(&root)?;
    entries.retain(|entry| {
        filter.holds(entry) && matches!(entry.state, Standing::Complete | Standing::Partial)
    });
    place::newest_first(&mut entries);
    let which = if let Some(keep) = matches.get_one::<u32>("keep") {
        Which::Beyond(*keep as usize)
    } else if let Some(older) = matches.get_one::<SignedDuration>("older") {
        Which::Before(now.checked_sub(*older).unwrap_or(Timestamp::MIN))
    } else {
        Which::Partial
    };
    let chosen = which.of(&entries);
    let dirs: Vec<PathBuf> = chosen.iter().map(|entry| root.join(&entry.name)).collect();
    if matches.get_flag("yes") {
        return remove(&dirs);
    }
    for dir in &dirs {
        let _: Exit = print(&format!("{}\n", dir.display()))?;
    }
    let (count, held) = (dirs.len(), held(&dirs)?);
    say(&format!("{count} would be removed, with {held}: `--yes` removes them\n"));
    Ok(Exit::Done)
}

/// Which runs are pruned, of those that are there, the newest first.
enum Which {
    /// All but so many.
    Beyond(usize),
    /// Those that began before.
    Before(Timestamp),
    /// Those that were cut short.
    Partial,
}

impl Which {
    fn of<'a>(&self, newest_first: &'a [Entry]) -> Vec<&'a Entry> {
        let chosen = newest_first.iter().enumerate().filter(|(place, entry)| match self {
            Self::Beyond(keep) => place >= keep,
            Self::Before(when) => place::began(entry).is_some_and(|began| began < *when),
            Self::Partial => entry.state == Standing::Partial,
        });
        chosen.map(|(_, entry)| entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pruned_is_old_or_surplus_or_was_cut_short() {
        let entry = |name: &str, day: &str, state| Entry {
            name: name.into(),
            created: format!("2026-11-{day}T00:00:00Z"),
            state,
            ..Entry::default()
        };
        let mut entries = vec![
            entry("a", "01", Standing::Complete),
            entry("c", "03", Standing::Partial),
            entry("b", "02", Standing::Complete),
            entry("undated", "x", Standing::Complete),
        ];
        place::newest_first(&mut entries);
        let chosen = |which: Which| -> Vec<String> {
            which.of(&entries).iter().map(|entry| entry.name.clone()).collect()
        };
        assert_eq!(chosen(Which::Beyond(1)), ["b", "a", "undated"]);
        assert_eq!(chosen(Which::Beyond(9)), Vec::<String>::new());
        let when = "2026-11-02T00:00:00Z".parse().unwrap();
        assert_eq!(chosen(Which::Before(when)), ["a"]);
        assert_eq!(chosen(Which::Partial), ["c"]);
    }
}
