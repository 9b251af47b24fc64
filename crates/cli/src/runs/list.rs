//! `infermark runs ls` and `infermark runs show`.

use std::fs;
use std::path::Path;

use anyhow::Context;
use clap::{Arg, ArgMatches, Command, value_parser};
use infermark_report::{Cell, columns, harmless};
use infermark_run::catalogue::{self, Entry, Standing};
use jiff::Timestamp;
use serde_json::json;

use super::filter::{self, Filter};
use super::run_argument;
use crate::arguments::output;
use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::report::{deliver, format, json};
use crate::{place, say};

/// The arguments of `ls`.
pub(super) fn ls_command() -> Command {
    Command::new("ls")
        .about("Lists runs and studies, the newest first")
        .after_help(EXIT_CODES)
        .args(filter::arguments())
        .arg(
            Arg::new("limit")
                .long("limit")
                .value_name("N")
                .value_parser(value_parser!(u32))
                .help_heading("Which runs")
                .help("At most so many, the newest"),
        )
        .args(output(&["table", "json", "csv"]))
}

/// The arguments of `show`.
pub(super) fn show_command() -> Command {
    Command::new("show")
        .about("Shows what a run is, and the files of its record")
        .long_about(
            "Shows what a run is, and the files of its record. What it measured is shown by \
             `infermark report`.",
        )
        .after_help(EXIT_CODES)
        .arg(run_argument())
        .args(output(&["table", "json"]))
}

/// Lists runs.
pub(super) fn ls(matches: &ArgMatches) -> Result<Exit, Failure> {
    let root = place::root(matches);
    let filter = Filter::of(matches, Timestamp::now())?;
    let all = place::list(&root)?;
    let count = all.len();
    let mut entries: Vec<Entry> = all.into_iter().filter(|entry| filter.holds(entry)).collect();
    place::newest_first(&mut entries);
    if let Some(limit) = matches.get_one::<u32>("limit") {
        entries.truncate(*limit as usize);
    }
    if entries.is_empty() {
        let which = if count == 0 { "no run".to_owned() } else { format!("none of {count} runs") };
        say(&format!("{which} in {}\n", root.display()));
    }
    for entry in &entries {
        if let Some(problem) = &entry.problem {
            say(&format!("note: {}: {problem}\n", entry.name));
        }
    }
    let text = match format(matches) {
        "json" => json(&entries),
        "csv" => csv(&entries)?,
        _ if entries.is_empty() => String::new(),
        _ => table(entries),
    };
    deliver(&text, matches)
}

const HEADINGS: [&str; 12] = [
    "NAME",
    "KIND",
    "BEGAN (UTC)",
    "STATE",
    "MODEL",
    "GPU",
    "LOAD",
    "REQUESTS",
    "OUT TOK/S",
    "TTFT P50 MS",
    "TRUST",
    "TAGS",
];

fn table(entries: Vec<Entry>) -> String {
    let rows: Vec<Vec<Cell>> = entries.into_iter().map(row).collect();
    columns(&HEADINGS, &rows)
}

fn row(entry: Entry) -> Vec<Cell> {
    let began = began(&entry);
    let tags = tags(&entry);
    let kind =
        if entry.points > 1 { format!("{} of {}", entry.kind, entry.points) } else { entry.kind };
    vec![
        entry.name.into(),
        Some(kind).filter(|kind| !kind.is_empty()).into(),
        began.into(),
        entry.state.name().into(),
        entry.model.into(),
        entry.gpu.into(),
        entry.load.into(),
        entry.requests.into(),
        entry.output_tokens_per_s.into(),
        entry.ttft_ms_p50.into(),
        entry.trust.into(),
        Some(tags).filter(|tags| !tags.is_empty()).into(),
    ]
}

/// Returns when a run began, to the minute in UTC.
fn began(entry: &Entry) -> Option<String> {
    let text = &entry.created;
    // As this program writes it, which needs no calendar.
    if let (Some(day), Some("T"), Some(time), true) =
        (text.get(..10), text.get(10..11), text.get(11..16), text.ends_with('Z'))
    {
        return Some(format!("{day} {time}"));
    }
    place::began(entry).map(|at| at.strftime("%Y-%m-%d %H:%M").to_string())
}

fn tags(entry: &Entry) -> String {
    let pairs: Vec<_> = entry.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(" ")
}

/// Writes entries as CSV, with the keys of their JSON as the header.
fn csv(entries: &[Entry]) -> Result<String, Failure> {
    let object = |entry: &Entry| json!(entry).as_object().cloned().expect("an entry has keys");
    let mut out = ::csv::Writer::from_writer(Vec::new());
    let keys: Vec<String> = object(&Entry::default()).keys().cloned().collect();
    let mut write = |record: Vec<String>| {
        out.write_record(record).context("cannot write CSV").map_err(Failure::internal)
    };
    write(keys.clone())?;
    for entry in entries {
        let object = object(entry);
        let cell = |key: &String| {
            let value = &object[key];
            match value.as_str() {
                Some(text) => harmless(text),
                None if value.is_null() => String::new(),
                None if value.is_object() => harmless(&tags(entry)),
                None => value.to_string(),
            }
        };
        write(keys.iter().map(cell).collect())?;
    }
    let bytes = out.into_inner().expect("memory can be written");
    Ok(String::from_utf8(bytes).expect("text was written"))
}

/// Shows what a run is.
pub(super) fn show(matches: &ArgMatches) -> Result<Exit, Failure> {
    let dirs = place::records(matches, "run")?;
    let dir = dirs.first().expect("clap requires it");
    let entry = catalogue::entry(dir);
    if !dir.join("run.json").exists() {
        let error = anyhow::anyhow!("`{}` is not a run directory", dir.display());
        return Err(Failure::usage(error).hint("`infermark runs ls` lists runs"));
    }
    let files = files(dir)?;
    let text = match format(matches) {
        "json" => {
            let mut shown = json!(entry);
            shown["dir"] = json!(dir);
            shown["files"] =
                files.iter().map(|(name, size)| json!({ "name": name, "bytes": size })).collect();
            json(&shown)
        }
        _ => page(dir, &entry, &files),
    };
    deliver(&text, matches)
}

fn page(dir: &Path, entry: &Entry, files: &[(String, u64)]) -> String {
    let state = match entry.state {
        Standing::Complete => "complete",
        Standing::Running => "running: it is being measured now",
        Standing::Partial => "partial: it was cut short; `infermark report` measures what is there",
        Standing::Unreadable => "unreadable",
    };
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let lines: [(&str, Cell); 16] = [
        ("name", entry.name.clone().into()),
        ("kind", text(&entry.kind).into()),
        ("state", state.into()),
        ("problem", entry.problem.clone().into()),
        ("began", text(&entry.created).into()),
        ("target", entry.target.clone().into()),
        ("model", entry.model.clone().into()),
        ("server", entry.server.clone().into()),
        ("gpu", entry.gpu.clone().into()),
        ("load", entry.load.clone().into()),
        ("tags", text(&tags(entry)).into()),
        ("definitions", text(&entry.definitions).into()),
        ("points", Some(entry.points).filter(|points| *points > 0).map(|n| n.to_string()).into()),
        ("requests", entry.requests.map(|n| n.to_string()).into()),
        ("trust", entry.trust.clone().into()),
        ("directory", dir.display().to_string().into()),
    ];
    let known = lines.into_iter().filter(|(_, cell)| *cell != Cell::Absent);
    let rows: Vec<_> = known.map(|(label, cell)| vec![label.into(), cell]).collect();
    let files: Vec<_> =
        files.iter().map(|(name, size)| vec![name.clone().into(), (*size).into()]).collect();
    format!("{}\n{}", columns(&["KEY", "VALUE"], &rows), columns(&["FILE", "BYTES"], &files))
}

/// Returns all files below a directory with their lengths, by name.
pub(super) fn files(dir: &Path) -> Result<Vec<(String, u64)>, Failure> {
    let failed = |path: &Path| format!("cannot read {}", path.display());
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| failed(&folder));
        for entry in entries.map_err(Failure::usage)? {
            let path = entry.with_context(|| failed(&folder)).map_err(Failure::usage)?.path();
            let met = path.symlink_metadata().with_context(|| failed(&path));
            let met = met.map_err(Failure::usage)?;
            if met.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).expect("it was found there");
                found.push((name.display().to_string(), met.len()));
            }
        }
    }
    found.sort();
    Ok(found)
}
