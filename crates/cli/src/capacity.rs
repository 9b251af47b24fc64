//! `infermark capacity`: the highest load that meets objectives.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command, value_parser};
use infermark_run::RunError;
use infermark_run::capacity::{
    Binding, Capacity, CapacityPlan, Forecast, LoadAxis, Reached, capacity as search, check,
};
use infermark_run::study::Kind;
use infermark_scenario::settings::{self, Group, Setting};
use infermark_terms::notation;
use serde_json::json;

use crate::arguments::{argument, output, quiet, record, scenario_file};
use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::progress::clock;
use crate::repeat::short;
use crate::run::given;
use crate::say;
use crate::study::{self, Asked};
use crate::sweep::{settle_study, study_settings};

/// The most runs of a search.
const RUNS_MAX: u32 = 60;

/// Every setting but the load's and the bounds', which the search sets itself.
fn settings() -> Vec<&'static Setting> {
    let own = [&settings::REQUESTS, &settings::DURATION];
    study_settings().into_iter().filter(|setting| !own.contains(setting)).collect()
}

/// The command's arguments.
pub(crate) fn command() -> Command {
    Command::new("capacity")
        .about("Finds the highest load that meets objectives")
        .long_about(
            "Finds the highest load that meets objectives.\n\n\
             The result is an interval: the highest load that was measured and meets every bound \
             of --slo, and the lowest that does not. Runs are put where they decide most, with as \
             many requests as that takes. What was measured is kept whatever happens, and \
             --resume goes on. Code 3 says that not even the lowest load meets the objectives.",
        )
        .after_help(EXIT_CODES)
        .args(settings().into_iter().map(argument))
        .arg(
            Arg::new("axis")
                .long("axis")
                .value_name("AXIS")
                .value_parser(PossibleValuesParser::new(["rate", "concurrency"]))
                .default_value("rate")
                .help_heading(Group::Load.title())
                .help("Whether load is a request rate or a number of requests in flight"),
        )
        .arg(
            Arg::new("precision")
                .long("precision")
                .value_name("SHARE")
                .value_parser(precision)
                .default_value("5%")
                .help_heading(Group::Bounds.title())
                .help(
                    "How far apart the ends of the result may be: half as far takes four times \
                       the requests",
                ),
        )
        .arg(
            Arg::new("first")
                .long("requests")
                .value_name("N")
                .value_parser(value_parser!(u64).range(100..=1_000_000))
                .default_value("400")
                .help_heading(Group::Bounds.title())
                .help("Requests of the first runs; later ones have as many as they need"),
        )
        .arg(scenario_file())
        .args(record())
        .arg(study::resume(&settings(), &["axis", "precision", "first"]))
        .args(output(&["table", "json"]))
        .arg(quiet())
}

/// Searches and prints what it found.
pub(crate) fn capacity(matches: &ArgMatches) -> Result<Exit, Failure> {
    let asked = match matches.get_one::<PathBuf>("resume") {
        Some(_) => None,
        None => Some(asked(matches)?),
    };
    let is_quiet = matches.get_flag("quiet");
    let mut reached = None;
    let printed = study::conduct(matches, Kind::Capacity, asked, |rig, plan| {
        let plan: CapacityPlan = study::told(rig, plan)?;
        let tell = |forecast: &Forecast| {
            if !is_quiet {
                say(&(foretold(forecast, plan.axis) + "\n"));
            }
        };
        let found = search(rig, &plan, &tell)?;
        reached = Some(found.reached);
        Ok::<_, RunError>([("capacity".to_owned(), json!(found))].into_iter().collect())
    })?;
    let missed = reached == Some(Reached::Nothing) && printed == Exit::Done;
    Ok(if missed { Exit::Missed } else { printed })
}

fn asked(matches: &ArgMatches) -> Result<Asked, Failure> {
    let base = settle_study(given(&settings(), matches)?)?;
    check(&base.scenario.slo)
        .map_err(|(found, hint)| Failure::usage(anyhow!("--slo: {found}")).hint(hint))?;
    let axis: &String = matches.get_one("axis").expect("it has a default");
    let plan = CapacityPlan {
        axis: if axis == "concurrency" { LoadAxis::Concurrency } else { LoadAxis::Rate },
        precision: *matches.get_one("precision").expect("it has a default"),
        requests: *matches.get_one("first").expect("it has a default"),
        runs_max: RUNS_MAX,
    };
    Ok(Asked { base, plan: json!(plan) })
}

fn precision(text: &str) -> Result<f64, String> {
    notation::share(text)
        .filter(|share| (0.005..=0.5).contains(share))
        .ok_or_else(|| "expected a share from 0.5% to 50%, such as `5%`".to_owned())
}

/// Says how far a search is.
fn foretold(forecast: &Forecast, axis: LoadAxis) -> String {
    let Forecast { between: [low, high], requests, seconds } = *forecast;
    format!(
        "capacity {} to {} {} so far; about {requests} more requests, {}",
        short(low, 3),
        short(high, 3),
        unit(axis),
        clock(seconds)
    )
}

fn unit(axis: LoadAxis) -> &'static str {
    match axis {
        LoadAxis::Rate => "requests/s",
        LoadAxis::Concurrency => "in flight",
    }
}

/// Says what a search found, in sentences.
pub(crate) fn sentences(found: &Capacity) -> Vec<String> {
    let unit = unit(found.axis);
    let first = match (found.reached, found.met, found.missed) {
        (Reached::Nothing, _, _) => "none: the objective is not met at the lowest load".to_owned(),
        (_, Some(met), Some(missed)) => format!(
            "{met} to {missed} {unit} ({} % confidence): met at the first, missed at the second",
            100.0 * found.confidence
        ),
        (_, Some(met), None) => format!("at least {met} {unit}: the objective is met there"),
        (_, None, Some(missed)) => format!("below {missed} {unit}: the objective is missed there"),
        (_, None, None) => "unknown: no load could be decided".to_owned(),
    };
    let binds = found.binds.filter(|_| found.missed.is_some()).map(|binds| match binds {
        Binding::Bound(bound) => format!("`{bound}` gives way first"),
        Binding::Saturation => {
            "beyond it what waits only grows, before any bound gives way".to_owned()
        }
    });
    let open = found.undecided.iter().map(|bound| {
        format!("undecided: `{bound}`; so many requests cannot tell whether it is met")
    });
    let ended = match found.reached {
        Reached::Limit => {
            Some("it ended at its limit of runs, before the ends were as near as asked".to_owned())
        }
        Reached::Everything => Some("no higher load was tried".to_owned()),
        Reached::Precision | Reached::Nothing => None,
    };
    let cost = format!("{} runs, {} requests", found.runs, found.requests);
    [Some(first), binds].into_iter().flatten().chain(open).chain(ended).chain([cost]).collect()
}

#[cfg(test)]
mod tests {
    use infermark_terms::slo::{Bound, Slo};

    use super::*;

    #[test]
    fn precision_is_a_share_in_per_cent() {
        assert_eq!(precision("5%"), Ok(0.05));
        assert_eq!(precision("2.5 %"), Ok(0.025));
        assert!(["5", "0%", "80%", "x%"].iter().all(|text| precision(text).is_err()));
    }

    fn bound(text: &str) -> Bound {
        text.parse::<Slo>().unwrap().bounds()[0]
    }

    fn found() -> Capacity {
        Capacity {
            axis: LoadAxis::Rate,
            met: Some(4.1),
            missed: Some(4.25),
            estimate: Some(4.2),
            binds: Some(Binding::Bound(bound("ttft:p99<=200ms"))),
            undecided: Vec::new(),
            confidence: 0.95,
            reached: Reached::Precision,
            runs: 9,
            requests: 8123,
        }
    }

    #[test]
    fn the_result_is_told_with_what_gives_way_and_what_it_cost() {
        let told = sentences(&found()).join("; ");
        assert!(told.starts_with("4.1 to 4.25 requests/s (95 % confidence)"), "{told}");
        assert!(told.ends_with("`ttft:p99<=200ms` gives way first; 9 runs, 8123 requests"));
        let undecided = vec![bound("failure_rate<=0.1%")];
        let told = sentences(&Capacity { undecided, ..found() });
        assert!(told[2].starts_with("undecided: `failure_rate<=0.1%`"), "{told:?}");
    }

    #[test]
    fn what_was_not_decided_is_not_claimed() {
        let first = |met, missed, reached| {
            sentences(&Capacity { met, missed, reached, ..found() }).remove(0)
        };
        assert!(first(None, Some(2.0), Reached::Nothing).starts_with("none:"));
        assert!(first(None, Some(2.0), Reached::Limit).starts_with("below 2 requests/s"));
        assert!(first(Some(2.0), None, Reached::Limit).starts_with("at least 2 requests/s"));
        assert!(first(None, None, Reached::Limit).starts_with("unknown"));
    }

    #[test]
    fn a_forecast_says_between_which_loads_and_how_long() {
        let forecast = Forecast { between: [4.0, 4.5], requests: 1200, seconds: 282.3 };
        assert_eq!(
            foretold(&forecast, LoadAxis::Rate),
            "capacity 4.00 to 4.50 requests/s so far; about 1200 more requests, 5 min"
        );
    }
}
