//! `infermark sweep`: the same workload under more and more load.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Arg, ArgMatches, Command, value_parser};
use infermark_run::study::Kind;
use infermark_run::sweep::{Axis, SweepPlan, found, sweep as climb};
use infermark_scenario::settings::{self, Group, SETTINGS, Setting};
use infermark_scenario::{Given, Resolved, Value};
use serde_json::json;

use crate::arguments::{argument, output, quiet, record, scenario_file};
use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::run::{given, settle};
use crate::study::{self, Asked};

/// Rates between idle and as fast as it goes.
const BETWEEN: &str = "10";

/// Settings of the load, in whose place a study sets its own.
pub(crate) static LOADS: [&Setting; 6] = [
    &settings::CONCURRENCY,
    &settings::RATE,
    &settings::RAMP,
    &settings::THROUGHPUT,
    &settings::TRACE,
    &settings::TIME_SCALE,
];

/// The settings that a study takes.
pub(crate) fn study_settings() -> Vec<&'static Setting> {
    SETTINGS.iter().copied().filter(|setting| !LOADS.contains(setting)).collect()
}

/// Returns the scenario of a study that sets its own loads.
///
/// # Errors
///
/// As [`settle`] and [`refuse_replay`].
pub(crate) fn settle_study(given: Vec<Given>) -> Result<Resolved, Failure> {
    let base = settle(given)?;
    refuse_replay(&base)?;
    Ok(base)
}

/// Refuses to replay a trace where other loads take its place: no flag may ask for it there, but
/// a file or a variable can.
///
/// # Errors
///
/// If one is asked for.
pub(crate) fn refuse_replay(base: &Resolved) -> Result<(), Failure> {
    let replays = |value: &Value| value.key == settings::TRACE.key && value.origin.is_given();
    match base.values.iter().find(|value| replays(value)) {
        None => Ok(()),
        Some(trace) => {
            let found = anyhow!("trace `{}`: a search sets its own arrivals", trace.text);
            let hint = "for a trace's lengths give `--dataset trace:FILE`; \
                        `infermark run --trace FILE --time-scale 2x` replays its arrivals";
            Err(Failure::usage(found).hint(hint))
        }
    }
}

/// The command's arguments.
pub(crate) fn command() -> Command {
    Command::new("sweep")
        .about("Measures a server under more and more load, and finds the knee")
        .long_about(
            "Measures a server under more and more load, and finds the knee.\n\n\
             Without --concurrency: one request at a time, then as fast as it goes, then rates \
             between the two in equal steps. The bounds (--requests, --duration) are those of \
             each point. A rate that is plainly too much ends early. What was measured is kept \
             whatever happens, and --resume goes on.",
        )
        .after_help(EXIT_CODES)
        .args(study_settings().into_iter().map(listed))
        .arg(
            Arg::new("points")
                .long("points")
                .value_name("N")
                .value_parser(value_parser!(u32).range(1..=1000))
                .default_value(BETWEEN)
                .conflicts_with("ladder")
                .help_heading(Group::Load.title())
                .help("How many rates between idle and as fast as it goes"),
        )
        .arg(
            Arg::new("ladder")
                .long("concurrency")
                .value_name("N,N,…|auto")
                .conflicts_with(settings::ARRIVALS.key)
                .conflicts_with(settings::MAX_CONCURRENCY.key)
                .help_heading(Group::Load.title())
                .help("Closed loops of so many slots in place of rates; `auto` doubles them"),
        )
        .arg(scenario_file())
        .args(record())
        .arg(study::resume(&study_settings(), &["points", "ladder"]))
        .args(output(&["table", "json"]))
        .arg(quiet())
}

/// Lengths may be lists here.
fn listed(setting: &'static Setting) -> Arg {
    let arg = argument(setting);
    if *setting == settings::INPUT_TOKENS || *setting == settings::OUTPUT_TOKENS {
        return arg.help(format!("{}; a list makes a curve for each", setting.help));
    }
    arg
}

/// Measures the points and prints the curve.
pub(crate) fn sweep(matches: &ArgMatches) -> Result<Exit, Failure> {
    let asked = match matches.get_one::<PathBuf>("resume") {
        Some(_) => None,
        None => Some(asked(matches)?),
    };
    study::conduct(matches, Kind::Sweep, asked, |rig, plan| {
        let plan: SweepPlan = study::told(rig, plan)?;
        climb(rig, &plan).map(|curves| found(&curves))
    })
}

fn asked(matches: &ArgMatches) -> Result<Asked, Failure> {
    let mut given = given(&study_settings(), matches)?;
    let plan = SweepPlan {
        axis: axis(matches)?,
        input_tokens: take_list(&mut given, &settings::INPUT_TOKENS),
        output_tokens: take_list(&mut given, &settings::OUTPUT_TOKENS),
    };
    let base = settle_study(given)?;
    Ok(Asked { base, plan: json!(plan) })
}

fn axis(matches: &ArgMatches) -> Result<Axis, Failure> {
    let Some(text) = matches.get_one::<String>("ladder") else {
        let between = *matches.get_one("points").expect("it has a default");
        return Ok(Axis::Rate { between });
    };
    if text == "auto" {
        return Ok(Axis::Doubling);
    }
    let rung = |part: &str| part.trim().parse().ok().filter(|&slots: &u32| slots > 0);
    let rungs: Option<Vec<u32>> = text.split(',').map(rung).collect();
    rungs.map(Axis::Ladder).ok_or_else(|| {
        let found = anyhow!("--concurrency `{text}`: not a list of whole numbers above 0");
        Failure::usage(found).hint("for example `--concurrency 1,4,8,16`, or `auto`")
    })
}

/// Takes the strongest layer's list for a setting out of what was given, and leaves its first
/// member, with which the scenario is checked. A single length is no list.
fn take_list(given: &mut [Given], setting: &'static Setting) -> Vec<String> {
    let Some(place) = given.iter().position(|given| given.setting() == setting) else {
        return Vec::new();
    };
    let members = split(given[place].text());
    if members.len() < 2 {
        return Vec::new();
    }
    given[place] = Given::flag(setting, members[0].clone());
    members
}

/// Splits at commas that stand outside parentheses.
fn split(text: &str) -> Vec<String> {
    let mut depth = 0_i32;
    let parts = text.split(|c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    });
    parts.map(|part| part.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis_of(words: &str) -> Result<Axis, Failure> {
        let words = std::iter::once("sweep").chain(words.split_whitespace());
        axis(&command().try_get_matches_from(words).unwrap())
    }

    #[test]
    fn lists_split_outside_parentheses() {
        assert_eq!(
            split("512, normal(512,128),uniform(1..4)"),
            ["512", "normal(512,128)", "uniform(1..4)"]
        );
        let mut given = vec![Given::flag(&settings::INPUT_TOKENS, "normal(512,128)")];
        assert!(take_list(&mut given, &settings::INPUT_TOKENS).is_empty());
        given = vec![Given::flag(&settings::INPUT_TOKENS, "1024,4096")];
        assert_eq!(take_list(&mut given, &settings::INPUT_TOKENS), ["1024", "4096"]);
        assert_eq!(given[0].text(), "1024");
    }

    #[test]
    fn the_axis_is_rates_a_ladder_or_doubling() {
        assert_eq!(axis_of("").ok(), Some(Axis::Rate { between: 10 }));
        assert_eq!(axis_of("--points 3").ok(), Some(Axis::Rate { between: 3 }));
        assert_eq!(axis_of("--concurrency auto").ok(), Some(Axis::Doubling));
        assert_eq!(axis_of("--concurrency 1,4").ok(), Some(Axis::Ladder(vec![1, 4])));
        for wrong in ["0", "1,,2", "few"] {
            assert!(axis_of(&format!("--concurrency {wrong}")).is_err(), "{wrong}");
        }
    }
}
