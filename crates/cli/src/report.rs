//! `infermark report`: a record read back and printed.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ArgMatches;
use infermark_measure::{Decision, Point};
use infermark_peers::{Point as PeerPoint, View, page};
use infermark_report::{Colour, Subject};
use infermark_run::study::{Found, open};
use infermark_run::{Measured, RunFile};
use infermark_terms::Trust;
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::progress::Waiting;
use crate::{place, print, runs, say, sheet, study, subject};

/// Reads records back and reports their results.
pub(crate) fn report(matches: &ArgMatches) -> Result<Exit, Failure> {
    let dirs = place::records(matches, "run")?;
    if let Some(name) = matches.get_one::<String>("view") {
        let view = View::named(name).expect("clap accepts no other");
        let [dir] = &dirs[..] else {
            return Err(Failure::usage(anyhow::anyhow!("`--view` shows one run at a time")));
        };
        return show_view(view, dir, matches);
    }
    let waiting = Waiting::begin(format!("measuring {}", names(&dirs)));
    let found = dirs.iter().map(|dir| open(dir)).collect::<Result<Vec<_>, _>>()?;
    drop(waiting);
    let done = match format(matches) {
        "markdown" => deliver(&infermark_report::markdown(&subjects(&found)?), matches),
        "csv" => deliver(&infermark_report::csv(&subjects(&found)?), matches),
        "xlsx" => workbook(&infermark_report::xlsx(&subjects(&found)?), matches),
        "html" => deliver(&infermark_report::html(&subjects(&found)?), matches),
        "svg" => files(infermark_report::svg_files(&subjects(&found)?), "svg", matches),
        "png" => files(infermark_report::png_files(&subjects(&found)?), "png", matches),
        "json" => match &found[..] {
            [one] => deliver(&json(header(one)), matches),
            _ => deliver(&json(&found.iter().map(header).collect::<Vec<_>>()), matches),
        },
        _ => {
            let pages = found.iter().map(|found| match found {
                Found::Run(run) => sheet::table_of(run, colour(matches)),
                Found::Study(studied) => study::page(studied, colour(matches)),
                Found::Adopted(header) => adopted_page(header),
            });
            deliver(&pages.collect::<Vec<_>>().join("\n"), matches)
        }
    }?;
    Ok(found.iter().fold(done, |done, found| match found {
        Found::Run(run) => vouch(&run.point, done),
        Found::Study(studied) => study::vouch(studied, done),
        Found::Adopted(_) => done,
    }))
}

/// Says which records these are, in few words.
fn names(dirs: &[PathBuf]) -> String {
    match dirs {
        [dir] => dir.display().to_string(),
        _ => format!("{} records", dirs.len()),
    }
}

fn subjects(found: &[Found]) -> Result<Vec<Subject>, Failure> {
    let subject = |found: &Found| match found {
        Found::Run(run) => Ok(subject::of(run)),
        Found::Study(studied) => Ok(subject::of_study(studied)),
        Found::Adopted(header) => {
            let error = anyhow::anyhow!("{} was imported: there is nothing to draw", header.id);
            Err(Failure::usage(error).hint("its figures can be had as `table` and `json`"))
        }
    };
    found.iter().map(subject).collect()
}

fn header(found: &Found) -> &RunFile {
    match found {
        Found::Run(run) => &run.header,
        Found::Study(studied) => &studied.header,
        Found::Adopted(header) => header,
    }
}

/// Writes files into the folder that the command line names.
fn files<C: AsRef<[u8]>>(
    files: Vec<(String, C)>,
    extension: &str,
    matches: &ArgMatches,
) -> Result<Exit, Failure> {
    let Some(folder) = file(matches) else {
        let error = anyhow::anyhow!("`--format {extension}` writes several files");
        return Err(Failure::usage(error).hint("name a folder for them with `--output`"));
    };
    let failed = |path: &Path| format!("cannot write {}", path.display());
    fs::create_dir_all(folder).with_context(|| failed(folder)).map_err(Failure::usage)?;
    for (name, content) in files {
        let path = folder.join(format!("{name}.{extension}"));
        fs::write(&path, content).with_context(|| failed(&path)).map_err(Failure::usage)?;
    }
    Ok(Exit::Done)
}

/// Writes a workbook, but not onto a terminal.
fn workbook(bytes: &[u8], matches: &ArgMatches) -> Result<Exit, Failure> {
    if file(matches).is_none() && std::io::stdout().is_terminal() {
        let error = anyhow::anyhow!("a workbook is no text for a terminal");
        return Err(Failure::usage(error).hint("write it to a file with `--output PATH`"));
    }
    deliver(bytes, matches)
}

/// Writes the page about a run or a study into its directory.
pub(crate) fn leave_page(dir: &Path, subject: Subject) {
    let path = dir.join("report.html");
    // The record is complete without it, and it can be made again.
    if let Err(error) = fs::write(&path, infermark_report::html(&[subject])) {
        say(&format!("warning: cannot write {}: {error}\n", path.display()));
    }
}

/// Prints a run by another tool's definitions.
fn show_view(view: View, dir: &Path, matches: &ArgMatches) -> Result<Exit, Failure> {
    let record = runs::record(dir)?;
    let point = view.measure(&record);
    let title = format!("{} · by the definitions of {}", record.facts.id, view.name());
    let text = match format(matches) {
        "json" => json(&point.to_json()),
        _ => page(&title, &point),
    };
    deliver(&text, matches)
}

/// Returns the page about a run that was imported: what its file said.
fn adopted_page(header: &RunFile) -> String {
    let model = header.target["model"].as_str().unwrap_or("model not stated");
    let title = format!("{} · {model} · imported: definitions {}", header.id, header.definitions);
    let pages = header.points.iter().map(|point| page(&title, &PeerPoint::from_json(point)));
    pages.collect::<Vec<_>>().join("\n")
}

/// Turns the exit into that of a void result, or else of a missed objective, where it is one.
pub(crate) fn vouch(point: &Point, printed: Exit) -> Exit {
    match (point.trust.verdict, point.decision()) {
        (Trust::Void, _) => Exit::Void,
        (_, Some(Decision::Missed)) => Exit::Missed,
        (_, Some(Decision::Met | Decision::Undecided) | None) => printed,
    }
}

/// Makes sure that the result can be written where the command line says, before it takes time
/// to get.
pub(crate) fn claim(matches: &ArgMatches) -> Result<(), Failure> {
    let Some(path) = file(matches) else { return Ok(()) };
    let opened = fs::OpenOptions::new().create(true).append(true).open(path);
    let opened = opened.with_context(|| format!("cannot write {}", path.display()));
    opened.map(drop).map_err(Failure::usage)
}

/// Prints a result as the command line asks.
pub(crate) fn show(measured: &Measured, matches: &ArgMatches) -> Result<Exit, Failure> {
    let text = match format(matches) {
        "json" => json(&measured.header),
        _ => sheet::table_of(measured, colour(matches)),
    };
    deliver(&text, matches)
}

/// Returns the format that was asked for.
pub(crate) fn format(matches: &ArgMatches) -> &str {
    matches.get_one::<String>("format").expect("it has a default")
}

/// Writes a result as JSON.
pub(crate) fn json(result: &impl Serialize) -> String {
    serde_json::to_string_pretty(result).expect("a result is plain data") + "\n"
}

/// Writes a result to where the command line says.
pub(crate) fn deliver(
    content: &(impl AsRef<[u8]> + ?Sized),
    matches: &ArgMatches,
) -> Result<Exit, Failure> {
    match file(matches) {
        None => print(content),
        Some(path) => fs::write(path, content)
            .with_context(|| format!("cannot write {}", path.display()))
            .map(|()| Exit::Done)
            .map_err(Failure::usage),
    }
}

fn file(matches: &ArgMatches) -> Option<&PathBuf> {
    matches.get_one::<PathBuf>("output").filter(|path| path.as_os_str() != "-")
}

/// Colour on a terminal where the result goes there, unless `NO_COLOR` is set (no-color.org).
#[expect(clippy::disallowed_methods, reason = "configuration enters here")]
pub(crate) fn colour(matches: &ArgMatches) -> Colour {
    let refused = std::env::var("NO_COLOR").is_ok_and(|value| !value.is_empty());
    let seen = file(matches).is_none() && std::io::stdout().is_terminal();
    if seen && !refused { Colour::Always } else { Colour::Never }
}
