//! `infermark validate`: an acceptance suite, from the first load to the verdict.

mod mlperf;
mod page;
mod shipped;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use infermark_run::study::{Kind, Studied, Taken};
use infermark_run::suite::{self, Length, NamedTarget, Told, Validation, validate as conduct};
use infermark_run::{RunError, rule};
use infermark_scenario::intent::Scenario;
use infermark_scenario::settings::{self, Group, SETTINGS, Setting};
use infermark_scenario::suite::{Suite, Targets, parse_suite};
use infermark_scenario::{Given, Resolved};
use infermark_terms::Slo;
use serde_json::{Value, json};

use crate::arguments::{argument, output, quiet, record};
use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::run::settle;
use crate::study::{self, Asked};
use crate::{arguments, print, say};

pub(crate) use self::page::{contests, facts, page, places, verdicts};

/// What a user may say beside the suite, besides the target and the way to it.
const FURTHER: [&str; 8] = [
    settings::DATASET.key,
    settings::COLUMN.key,
    settings::TOKENIZER.key,
    settings::SEED.key,
    settings::THREADS.key,
    settings::TAG.key,
    settings::METRICS.key,
    settings::METRICS_INTERVAL.key,
];

/// Returns what a user may say beside the suite. What a suite sets too, the user overrides.
fn settings() -> Vec<&'static Setting> {
    let ours = |setting: &&Setting| {
        matches!(setting.group, Group::Target | Group::Access) || FURTHER.contains(&setting.key)
    };
    SETTINGS.iter().copied().filter(ours).collect()
}

/// Under these keys of `run.json` stands what was found.
const VALIDATION: &str = "validation";

/// The command's arguments.
pub(crate) fn command() -> Command {
    Command::new("validate")
        .about("Measures a suite, and says line by line whether what it asks holds")
        .long_about(
            "Measures a suite, and says line by line whether what it asks holds.\n\n\
             A suite is a file: workloads, the loads that each is measured under, objectives, and \
             published results to compare with. Some come with infermark (--list); --show prints \
             one, to begin your own with. Each line is PASS, FAIL or UNDECIDED by 95 % intervals; \
             the exit code is 3 where one fails. docs/suites.md says how suites are written.",
        )
        .after_help(EXIT_CODES)
        .args(settings().into_iter().map(argument))
        .arg(
            Arg::new("suite")
                .long("suite")
                .value_name("NAME|FILE")
                .required_unless_present_any(["list", "resume"])
                .help_heading("Suite")
                .help("A shipped suite's name, or a file"),
        )
        .arg(flag("list", "Print the names of the shipped suites"))
        .arg(flag("show", "Print the suite's text, and measure nothing").requires("suite"))
        .arg(flag("quick", "Take about a minute: cut every load short, and accept nothing by it"))
        .arg(
            Arg::new("reference")
                .long("reference")
                .value_name("NAME")
                .conflicts_with("quick")
                .help_heading("Suite")
                .help("Compare with these published results of the suite"),
        )
        .arg(
            Arg::new("named")
                .long("target")
                .value_name("NAME=TARGET")
                .action(ArgAction::Append)
                .conflicts_with(settings::TARGET.key)
                .help_heading(settings::Group::Target.title())
                .help("One of several targets, which a suite that compares takes"),
        )
        .args(record())
        .arg(
            Arg::new("resume")
                .long("resume")
                .value_name("RUN")
                .value_parser(value_parser!(PathBuf))
                .conflicts_with_all(settings().into_iter().map(|setting| setting.key))
                .conflicts_with_all(["suite", "quick", "reference", "named", "record"])
                .help_heading("Output")
                .help(study::RESUME_HELP),
        )
        .args(output(&["table", "json", "markdown"]))
        .arg(quiet())
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help_heading("Suite").help(help)
}

/// Measures a suite and prints what came of it.
pub(crate) fn validate(matches: &ArgMatches) -> Result<Exit, Failure> {
    if matches.get_flag("list") {
        return list();
    }
    if matches.contains_id("resume") {
        return measure(matches, None);
    }
    let (path, text) = suite_text(matches)?;
    let suite = parse_suite(&path, &text);
    let suite = suite.map_err(|problems| Failure::usage(anyhow!("{problems}")))?;
    if matches.get_flag("show") {
        return print(&text);
    }
    let told = told(matches, &suite, path, text)?;
    let base = scenario(matches, &told)?;
    measure(matches, Some(Asked { base, plan: json!(told) }))
}

fn measure(matches: &ArgMatches, asked: Option<Asked>) -> Result<Exit, Failure> {
    study::conduct(matches, Kind::Validate, asked, |rig, plan| {
        let told: Told = study::told(rig, plan)?;
        let suite = parse_suite(&told.path, &told.text);
        let suite = suite.map_err(|problems| RunError::Point { problems })?;
        let dir = rig.dir().to_owned();
        let judge = |taken: &Taken, slos: &[Slo]| {
            let record = taken.record.as_ref().expect("a study's points have records");
            rule(&dir.join(record), &taken.point, slos)
        };
        let validation = conduct(rig, &judge, &suite, &told)?;
        Ok([(VALIDATION.to_owned(), json!(validation))].into_iter().collect())
    })
}

/// Returns a scenario for each workload and load of the suite that a plan tells of, over what the
/// user says.
pub(crate) fn scenarios(base: &Resolved, plan: &Value) -> Result<Vec<Scenario>, Failure> {
    let told: Told = serde_json::from_value(plan.clone())
        .context("the study's plan cannot be read")
        .map_err(Failure::usage)?;
    let suite = parse_suite(&told.path, &told.text);
    let wrong = |problems| Failure::usage(anyhow!("{problems}"));
    let all = suite::scenarios(base, &suite.map_err(wrong)?, &told).map_err(wrong)?;
    Ok(all.into_iter().map(|resolved| resolved.scenario).collect())
}

/// Returns what came of a suite, if that is what this study measured and it came to its end.
pub(crate) fn found(studied: &Studied) -> Option<Validation> {
    serde_json::from_value(studied.header.rest.get(VALIDATION)?.clone()).ok()
}

/// Writes what belongs beside a suite's record, where the suite has a format of its own.
pub(crate) fn leave(studied: &Studied) {
    let summary = found(studied).and_then(|found| mlperf::summary(studied, &found));
    let Some(summary) = summary else { return };
    let path = studied.dir.join(mlperf::FILE);
    // The record is complete without it.
    match fs::write(&path, summary) {
        Ok(()) => say(&format!("summary: {}\n", path.display())),
        Err(error) => say(&format!("warning: cannot write {}: {error}\n", path.display())),
    }
}

fn list() -> Result<Exit, Failure> {
    let lines = shipped::names().into_iter().map(|name| {
        let text = shipped::text(&name).expect("it was just listed");
        let suite = parse_suite(Path::new(&name), &text).expect("shipped suites are tested");
        format!("{name:<32} {}\n", suite.title)
    });
    print(&lines.collect::<String>())
}

/// Returns a suite's text, and where it is from. A name is looked for among the shipped ones
/// first; `./NAME` is always a file.
fn suite_text(matches: &ArgMatches) -> Result<(PathBuf, String), Failure> {
    let name = matches.get_one::<String>("suite").expect("clap requires it");
    if let Some(text) = shipped::text(name) {
        return Ok((PathBuf::from(name), text));
    }
    let path = PathBuf::from(name);
    let text = fs::read_to_string(&path);
    let text = text.map_err(|error| {
        let is_there = error.kind() != io::ErrorKind::NotFound;
        let error = anyhow::Error::new(error).context(format!("cannot read the suite {name}"));
        if is_there {
            return Failure::usage(error);
        }
        let names = shipped::names();
        let known = names.iter().map(String::as_str);
        let near = infermark_scenario::closest(name, known, 3).join(", ");
        Failure::usage(error).hint(format!("shipped suites are listed by `--list`, such as {near}"))
    })?;
    Ok((path, text))
}

fn told(matches: &ArgMatches, suite: &Suite, path: PathBuf, text: String) -> Result<Told, Failure> {
    let reference = matches.get_one::<String>("reference").cloned();
    let known = || suite.references.iter().map(|known| known.name.as_str());
    if let Some(name) = &reference
        && !known().any(|known| known == name)
    {
        let all: Vec<_> = known().collect();
        let error = anyhow!("--reference `{name}`: the suite has no such published results");
        let hint = match all.len() {
            0 => "it has none".to_owned(),
            _ => format!("it has {}", all.join(", ")),
        };
        return Err(Failure::usage(error).hint(hint));
    }
    let named = matches.get_many::<String>("named").into_iter().flatten();
    let targets = named.map(|text| target(text)).collect::<Result<Vec<_>, _>>()?;
    if !targets.is_empty() && suite.targets == Targets::One {
        let error = anyhow!("--target NAME=TARGET: this suite takes one target");
        return Err(Failure::usage(error).hint("name it without the flag, as in `run`"));
    }
    let distinct: BTreeSet<_> = targets.iter().map(|target| &target.name).collect();
    if distinct.len() != targets.len() {
        return Err(Failure::usage(anyhow!("--target: two targets have the same name")));
    }
    let length = if matches.get_flag("quick") { Length::Quick } else { Length::Whole };
    Ok(Told { path, text, length, targets, reference })
}

fn target(text: &str) -> Result<NamedTarget, Failure> {
    match text.split_once('=') {
        Some((name, target)) if !name.trim().is_empty() && !target.trim().is_empty() => {
            Ok(NamedTarget { name: name.trim().to_owned(), target: target.trim().to_owned() })
        }
        Some(_) | None => {
            let error = anyhow!("--target `{text}`: not a name and a target");
            Err(Failure::usage(error).hint("for example `--target vllm=http://localhost:8000`"))
        }
    }
}

/// Makes the scenario that the suite's points change: what the user says, of the first target.
fn scenario(matches: &ArgMatches, told: &Told) -> Result<Resolved, Failure> {
    let mut given = arguments::given(&settings(), matches)?;
    if let Some(first) = told.targets.first() {
        given.retain(|given| *given.setting() != settings::TARGET);
        given.push(Given::flag(&settings::TARGET, &first.target));
    }
    settle(given)
}
