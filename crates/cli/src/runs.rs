//! `infermark runs`: the runs that are kept, and other tools' result files, both ways.

mod filter;
mod list;
mod remove;

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use infermark_measure::{ArrivalLaw, LoadPlan};
use infermark_peers::{Facts, Format, Import, Load, Origin, PeersError, Record, export, import};
use infermark_run::{Foreign, Measured, adopt, recall};
use infermark_terms::{Nanos, Stamp};
use serde_json::{Value, json};

use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::{place, print, say};

/// What `--help` says of the formats.
const FORMATS_HELP: &str = "\
Formats:
  vllm-json      the result of `vllm bench serve --save-detailed`
  vllm-summary   the same without the lists of single requests
  vllm-console   what `vllm bench serve` prints
  guidellm       GuideLLM's benchmarks.json, which GuideLLM loads
  hf             inference-benchmarker's results file
  compressa      compressa-perf's SQLite database
  compressa-list what `compressa-perf list --show-metrics --show-parameters` prints
  llm-d          Benchmark Report v0.2

Figures are those of the peer's own definitions, recomputed from the record.";

/// The command's arguments.
pub(crate) fn command() -> Command {
    Command::new("runs")
        .about("Lists, shows and removes runs; exports them for other tools, and imports theirs")
        .long_about(
            "Lists, shows and removes runs; exports them for other tools, and imports theirs.\n\n\
             What is listed stands in `catalogue.sqlite` beside the runs' directories. It is made \
             of them, and made anew whenever it is missing or of no use.",
        )
        .after_help(EXIT_CODES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(place::argument().global(true))
        .subcommand(list::ls_command())
        .subcommand(list::show_command())
        .subcommand(remove::rm_command())
        .subcommand(remove::prune_command())
        .subcommand(export_command())
        .subcommand(import_command())
}

fn export_command() -> Command {
    let names: Vec<_> = Format::ALL.iter().map(|format| format.name()).collect();
    Command::new("export")
        .about("Writes a run in another tool's result format")
        .after_help(FORMATS_HELP)
        .arg(run_argument())
        .arg(
            Arg::new("as")
                .long("as")
                .value_name("FORMAT")
                .required(true)
                .value_parser(PossibleValuesParser::new(names))
                .help("The format"),
        )
        .arg(
            Arg::new("output")
                .long("output")
                .short('o')
                .value_name("PATH")
                .value_parser(value_parser!(PathBuf))
                .help("Write to a file instead of standard output"),
        )
}

fn import_command() -> Command {
    Command::new("import")
        .about("Makes runs of other tools' result files")
        .long_about(
            "Makes runs of other tools' result files.\n\n\
             Read are results of vLLM's client, GuideLLM, AIPerf (profile_export_aiperf.json), \
             inference-perf (…_lifecycle_metrics.json), inference-benchmarker, compressa-perf's \
             database and llm-d's Benchmark Report in JSON. A run made so holds what the file says \
             and nothing else; its `definitions` name the tool.",
        )
        .after_help(EXIT_CODES)
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .required(true)
                .action(ArgAction::Append)
                .num_args(1..)
                .value_parser(value_parser!(PathBuf))
                .help("The result files"),
        )
        .arg(
            Arg::new("into")
                .long("into")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .help("Where the runs' directories are made [default: that of --runs]"),
        )
}

fn run_argument() -> Arg {
    Arg::new("run").value_name("RUN").required(true).value_parser(value_parser!(PathBuf)).help(
        "A run's directory, or its name, of which a beginning or end that only it has will do; \
             `latest` is the newest",
    )
}

/// Runs the subcommand that was given.
pub(crate) fn runs(matches: &ArgMatches) -> Result<Exit, Failure> {
    match matches.subcommand() {
        Some(("ls", matches)) => list::ls(matches),
        Some(("show", matches)) => list::show(matches),
        Some(("rm", matches)) => remove::rm(matches),
        Some(("prune", matches)) => remove::prune(matches),
        Some(("export", matches)) => export_run(matches),
        Some(("import", matches)) => import_files(matches),
        _ => unreachable!("clap accepts no other command"),
    }
}

fn export_run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let dirs = place::records(matches, "run")?;
    let dir = dirs.first().expect("clap requires it");
    let name = matches.get_one::<String>("as").expect("clap requires it");
    let format = Format::named(name).expect("clap accepts no other");
    let path = matches.get_one::<PathBuf>("output").filter(|path| path.as_os_str() != "-");
    if path.is_none() && format.is_binary() && io::stdout().is_terminal() {
        let found = anyhow!("--as {name}: a database is no text for a terminal");
        return Err(Failure::usage(found).hint("write it to a file with `--output PATH`"));
    }
    let bytes = export(&record(dir)?, format)
        .with_context(|| format!("cannot export {}", dir.display()))
        .map_err(Failure::usage)?;
    match path {
        Some(path) => fs::write(path, bytes)
            .with_context(|| format!("cannot write {}", path.display()))
            .map(|()| Exit::Done)
            .map_err(Failure::usage),
        None => match String::from_utf8(bytes) {
            Ok(text) => print(&(text.trim_end_matches('\n').to_owned() + "\n")),
            Err(binary) => print(binary.as_bytes()),
        },
    }
}

/// Reads a run back as another tool would have known it.
pub(crate) fn record(dir: &Path) -> Result<Record, Failure> {
    let made = recall(dir, |measured, rows, chunks| {
        let stamp = |seconds: f64| Stamp::ZERO + Nanos((seconds * 1e9).round() as u64);
        let window = &measured.point.window;
        let window = (stamp(window.start_s), stamp(window.end_s));
        Record::new(facts(measured), rows, window, chunks)
    });
    Ok(made?)
}

fn facts(measured: &Measured) -> Facts {
    let header = &measured.header;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let values = header.scenario["values"].as_array().map(Vec::as_slice).unwrap_or_default();
    let setting = |key: &str| {
        let value = values.iter().find(|value| value["key"] == key)?;
        value["text"].as_str().map(str::to_owned)
    };
    let tokenizer = setting("tokenizer").filter(|name| name != "none" && name != "server");
    let cap = setting("max_concurrency").and_then(|cap| cap.parse().ok());
    let load = match measured.point.load {
        LoadPlan::Closed { concurrency } => {
            Load { concurrency: Some(concurrency), rate: None, burstiness: None }
        }
        LoadPlan::Trace { rate_rps, .. } => {
            Load { concurrency: cap, rate: rate_rps, burstiness: None }
        }
        LoadPlan::Open { rate_rps, arrivals, .. } => {
            let shape = match arrivals {
                ArrivalLaw::Constant => f64::INFINITY,
                ArrivalLaw::Poisson => 1.0,
                // The shape of a gamma law is 1 ÷ cv².
                ArrivalLaw::Gamma { cv } => 1.0 / (cv * cv),
            };
            Load { concurrency: cap, rate: Some(rate_rps), burstiness: Some(shape) }
        }
    };
    Facts {
        id: header.id.clone(),
        created: header.created.clone(),
        version: text(&header.environment["version"]),
        url: text(&header.target["url"]),
        model: text(&header.target["model"]),
        api: text(&header.target["api"]),
        tokenizer,
        load,
    }
}

fn import_files(matches: &ArgMatches) -> Result<Exit, Failure> {
    let into = matches.get_one::<PathBuf>("into").cloned();
    let into = into.unwrap_or_else(|| place::root(matches));
    for file in matches.get_many::<PathBuf>("file").expect("clap requires one") {
        let read = foreign(file, "import")?;
        let dir = keep(&read, file, &into)?;
        let _: Exit = print(&format!("{}\n", dir.display()))?;
    }
    Ok(Exit::Done)
}

/// Reads another tool's result file, to do something with it.
pub(crate) fn foreign(file: &Path, doing: &str) -> Result<Import, Failure> {
    let named = || format!("cannot {doing} {}", file.display());
    let bytes = fs::read(file).with_context(named).map_err(Failure::usage)?;
    import(&bytes).map_err(|error| {
        let of_ours = file.with_file_name("run.json").is_file();
        let hint = match error {
            _ if of_ours => "a run of infermark's is named by its directory",
            PeersError::Unknown { .. } => "docs/peers.md says which files of each tool are read",
            PeersError::Json(_) => "the file may have been cut short",
            PeersError::Missing { .. } | PeersError::Sqlite(_) | PeersError::Nothing { .. } | _ => {
                "the tool may have changed its format; docs/peers.md says which is read"
            }
        };
        Failure::usage(anyhow::Error::new(error).context(named())).hint(hint)
    })
}

/// Returns whose definitions a result has, and in which version.
pub(crate) fn definitions(read: &Import) -> String {
    match (&read.version, read.origin) {
        // The report's version, not that of a tool's definitions.
        (Some(version), origin) if origin != Origin::Llmd => {
            format!("{}/{version}", origin.name())
        }
        _ => read.origin.name().to_owned(),
    }
}

/// Returns who was measured, as far as a result says.
pub(crate) fn target(read: &Import) -> Value {
    let known = [("url", &read.url), ("model", &read.model)];
    let known =
        known.into_iter().filter_map(|(key, text)| Some((key.to_owned(), json!(text.as_ref()?))));
    Value::Object(known.collect())
}

/// Writes what was read as a run of its own.
fn keep(read: &Import, file: &Path, into: &Path) -> Result<PathBuf, Failure> {
    let now = jiff::Timestamp::now();
    let begin = read.created.as_deref().and_then(|said| said.parse().ok()).unwrap_or(now);
    let origin = read.origin.name();
    let stem = begin.strftime("%Y%m%dT%H%M%S%3f");
    let ids = (0..).map(|n: u32| format!("{stem}-{origin}{}", suffix(n)));
    let free = ids.map(|id| (into.join(&id), id)).find(|(dir, _)| !dir.exists());
    let (dir, id) = free.expect("there is no end of numbers");
    if read.created.is_none() {
        say(&format!(
            "note: {} does not say when it was measured: the run is dated now\n",
            file.display()
        ));
    }
    adopt(
        &dir,
        Foreign {
            id,
            created: begin.to_string(),
            definitions: definitions(read),
            target: target(read),
            points: read.points.iter().map(infermark_peers::Point::to_json).collect(),
            file: file.display().to_string(),
        },
    )?;
    Ok(dir)
}

/// Tells runs of the same instant apart.
fn suffix(n: u32) -> String {
    if n == 0 { String::new() } else { format!("-{n}") }
}
