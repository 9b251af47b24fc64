//! `infermark report`: a record read back and printed.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ArgMatches;
use infermark_measure::{Decision, Point};
use infermark_peers::{Point as PeerPoint, View, page};
use infermark_report::Colour;
use infermark_run::study::{Found, open};
use infermark_run::{Measured, RunFile};
use infermark_terms::Trust;
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::{print, runs, sheet, study};

/// Reads a record back and prints its result.
pub(crate) fn report(matches: &ArgMatches) -> Result<Exit, Failure> {
    let dir = matches.get_one::<PathBuf>("run").expect("clap requires it");
    if let Some(name) = matches.get_one::<String>("view") {
        let view = View::named(name).expect("clap accepts no other");
        return show_view(view, dir, matches);
    }
    match open(dir)? {
        Found::Run(measured) => {
            let printed = show(&measured, matches)?;
            Ok(vouch(&measured.point, printed))
        }
        Found::Study(studied) => study::show(&studied, matches),
        Found::Adopted(header) => show_adopted(&header, matches),
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

/// Prints a run that was imported: what its file said.
fn show_adopted(header: &RunFile, matches: &ArgMatches) -> Result<Exit, Failure> {
    if format(matches) == "json" {
        return deliver(&json(header), matches);
    }
    let model = header.target["model"].as_str().unwrap_or("model not stated");
    let title = format!("{} · {model} · imported: definitions {}", header.id, header.definitions);
    let pages = header.points.iter().map(|point| page(&title, &PeerPoint::from_json(point)));
    deliver(&pages.collect::<Vec<_>>().join("\n"), matches)
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
pub(crate) fn deliver(text: &str, matches: &ArgMatches) -> Result<Exit, Failure> {
    match file(matches) {
        None => print(text),
        Some(path) => fs::write(path, text)
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
