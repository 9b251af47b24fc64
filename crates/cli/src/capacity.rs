//! `infermark capacity`: the highest load that meets objectives.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command, value_parser};
use infermark_report::count;
use infermark_run::RunError;
use infermark_run::capacity::{
    Binding, Capacity, CapacityPlan, Forecast, LoadAxis, LoadOf, Missing, Plateau, Reached,
    capacity as search, check,
};
use infermark_run::study::{Kind, Rig};
use infermark_scenario::settings::{self, Group, Setting};
use infermark_terms::Nanos;
use infermark_terms::notation::{self, DurationFault, duration};
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
        .arg(
            Arg::new("longest")
                .long("max-duration")
                .value_name("DURATION")
                .value_parser(length)
                .help_heading(Group::Bounds.title())
                .help(
                    "About how long all runs together may last, such as `5m`; the result is then \
                     as near as they came, and says what the rest would take where that is known",
                ),
        )
        .arg(scenario_file())
        .args(record())
        .arg(study::resume(&settings(), &["axis", "precision", "first", "longest"]))
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
        let unit = unit(plan.axis, LoadOf::axis(plan.axis, &Rig::base(rig).scenario));
        let tell = |forecast: &Forecast| {
            if !is_quiet {
                say(&(foretold(forecast, unit) + "\n"));
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
        seconds_max: matches.get_one::<Nanos>("longest").map(|span| span.as_secs_f64()),
    };
    Ok(Asked { base, plan: json!(plan) })
}

fn precision(text: &str) -> Result<f64, String> {
    notation::share(text)
        .filter(|share| (0.005..=0.5).contains(share))
        .ok_or_else(|| "expected a share from 0.5% to 50%, such as `5%`".to_owned())
}

fn length(text: &str) -> Result<Nanos, String> {
    let told = |fault: DurationFault| {
        [Some(fault.found.to_owned()), fault.hint].into_iter().flatten().collect::<Vec<_>>()
    };
    let span = duration(text).map_err(|fault| told(fault).join("; "))?;
    if span == Nanos(0) { Err("no time at all".to_owned()) } else { Ok(span) }
}

/// Says how far a search is.
fn foretold(forecast: &Forecast, unit: &str) -> String {
    let Forecast { between: [low, high], missing } = *forecast;
    let (low, high, missing) = (short(low, 3), short(high, 3), cost(missing));
    format!("capacity {low} to {high} {unit} so far; {missing}")
}

fn cost(Missing { requests, seconds }: Missing) -> String {
    format!("about {} more requests, {}", count(requests), clock(seconds))
}

const fn unit(axis: LoadAxis, of: LoadOf) -> &'static str {
    match (axis, of) {
        (LoadAxis::Rate, LoadOf::Requests) => "requests/s",
        (LoadAxis::Rate, LoadOf::Sessions) => "sessions/s",
        (LoadAxis::Concurrency, LoadOf::Requests) => "in flight",
        (LoadAxis::Concurrency, LoadOf::Sessions) => "sessions at a time",
    }
}

/// Says what a search found, in sentences.
pub(crate) fn sentences(found: &Capacity) -> Vec<String> {
    let open = found.undecided.iter().map(|bound| {
        format!("undecided: `{bound}`; so many requests cannot tell whether it is met")
    });
    let cost = format!("{} runs, {} requests", found.runs, count(found.requests));
    let told = [Some(ends(found)), binds(found)].into_iter().flatten();
    told.chain(open).chain(left(found)).chain([cost]).collect()
}

/// Says between which loads the capacity lies.
fn ends(found: &Capacity) -> String {
    let unit = unit(found.axis, found.of);
    match (found.reached, found.met, found.missed) {
        (Reached::Nothing, _, _) => "none: the objective is not met at the lowest load".to_owned(),
        (Reached::Plateau, Some(met), _) => {
            let plateau = found.plateau.map(|Plateau { from, requests_per_s }| {
                let most = short(requests_per_s, 3);
                format!(", and from {from} on throughput no longer rises ({most} requests/s)")
            });
            let plateau = plateau.unwrap_or_default();
            format!("at least {met} {unit}: no load up to there breaks the objective{plateau}")
        }
        (_, Some(met), Some(missed)) => format!(
            "{met} to {missed} {unit} ({} % confidence): met at the first, missed at the second",
            100.0 * found.confidence
        ),
        (_, Some(met), None) => format!("at least {met} {unit}: the objective is met there"),
        (_, None, Some(missed)) => format!("below {missed} {unit}: the objective is missed there"),
        (_, None, None) => "unknown: no load could be decided".to_owned(),
    }
}

/// Says what gives way first.
fn binds(found: &Capacity) -> Option<String> {
    Some(match (found.binds?, found.missed, found.reached) {
        (Binding::Bound(bound), Some(_), _) => format!("`{bound}` gives way first"),
        (Binding::Saturation, Some(_), _) => {
            "beyond it what waits only grows, before any bound gives way".to_owned()
        }
        (Binding::Bound(bound), None, Reached::Plateau) => {
            let (at, unit) = (short(found.estimate?, 2), unit(found.axis, found.of));
            format!("should waits grow on as they do, `{bound}` gives way at about {at} {unit}")
        }
        (_, None, _) => return None,
    })
}

/// Says why a search ended before the ends were as near as was asked, and what is known beside
/// them.
fn left(found: &Capacity) -> Vec<String> {
    let why = match found.reached {
        Reached::Limit => "it ended at its limit of runs, before the ends were as near as asked",
        Reached::Time => "it ended at --max-duration, before the ends were as near as asked",
        Reached::Everything => "no higher load was tried",
        Reached::Client => "it ended since run after run the client was the limit, not the target",
        Reached::Plateau | Reached::Precision | Reached::Nothing => return Vec::new(),
    };
    let carried = found.carried.map(|most| {
        format!("no more than about {} requests/s got through from here", short(most, 3))
    });
    let line = found.estimate_ci95.map(|[low, high]| {
        let (low, high, unit) = (short(low, 3), short(high, 3), unit(found.axis, found.of));
        format!("all runs together put it between {low} and {high} {unit} (95 %)")
    });
    let clear = found.clear.map(|[low, high]| {
        let unit = unit(found.axis, found.of);
        format!("every run up to {low} {unit} looks met, and every one from {high} on missed")
    });
    let missing = found.missing.map(|missing| format!("to be as near takes {}", cost(missing)));
    [Some(why.to_owned()), carried, line, clear, missing].into_iter().flatten().collect()
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
            of: LoadOf::Requests,
            met: Some(4.1),
            missed: Some(4.25),
            estimate: Some(4.2),
            estimate_ci95: Some([4.12, 4.24]),
            clear: None,
            plateau: None,
            carried: None,
            binds: Some(Binding::Bound(bound("ttft:p99<=200ms"))),
            undecided: Vec::new(),
            confidence: 0.95,
            reached: Reached::Precision,
            runs: 9,
            requests: 8123,
            missing: None,
            rests_on: Vec::new(),
            trust: None,
        }
    }

    #[test]
    fn the_result_is_told_with_what_gives_way_and_what_it_cost() {
        let told = sentences(&found()).join("; ");
        assert!(told.starts_with("4.1 to 4.25 requests/s (95 % confidence)"), "{told}");
        assert!(told.ends_with("`ttft:p99<=200ms` gives way first; 9 runs, 8,123 requests"));
        let told = sentences(&Capacity { of: LoadOf::Sessions, ..found() }).remove(0);
        assert!(told.starts_with("4.1 to 4.25 sessions/s"), "{told}");
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
    fn what_ended_early_says_what_is_known_and_what_the_rest_would_take() {
        let missing = Some(Missing { requests: 1200, seconds: 282.3 });
        let clear = Some([3.5, 5.0]);
        let told = Capacity { missing, clear, met: None, reached: Reached::Time, ..found() };
        assert_eq!(
            sentences(&told)[2..6],
            [
                "it ended at --max-duration, before the ends were as near as asked",
                "all runs together put it between 4.12 and 4.24 requests/s (95 %)",
                "every run up to 3.5 requests/s looks met, and every one from 5 on missed",
                "to be as near takes about 1,200 more requests, 5 min",
            ]
        );
        assert!(length("5m").is_ok() && length("0s").is_err());
        assert!(length("5").unwrap_err().contains("for seconds write `5s`"));
    }

    #[test]
    fn where_the_client_was_the_limit_it_says_how_much_that_carries() {
        let told = Capacity {
            reached: Reached::Client,
            carried: Some(812.34),
            met: Some(500.0),
            missed: None,
            estimate_ci95: None,
            ..found()
        };
        assert_eq!(
            sentences(&told)[..3],
            [
                "at least 500 requests/s: the objective is met there",
                "it ended since run after run the client was the limit, not the target",
                "no more than about 812 requests/s got through from here",
            ]
        );
    }

    #[test]
    fn a_plateau_is_a_lower_bound_and_says_where_throughput_stops_rising() {
        let told = Capacity {
            axis: LoadAxis::Concurrency,
            met: Some(64.0),
            missed: None,
            reached: Reached::Plateau,
            plateau: Some(Plateau { from: 16.0, requests_per_s: 71.23 }),
            estimate: Some(5600.0),
            ..found()
        };
        assert_eq!(
            sentences(&told)[..2],
            [
                "at least 64 in flight: no load up to there breaks the objective, and from 16 on \
                 throughput no longer rises (71.2 requests/s)",
                "should waits grow on as they do, `ttft:p99<=200ms` gives way at about 5,600 in \
                 flight",
            ]
        );
        assert_eq!(sentences(&Capacity { binds: None, ..told }).len(), 2);
    }

    #[test]
    fn a_forecast_says_between_which_loads_and_how_long() {
        let missing = Missing { requests: 1200, seconds: 282.3 };
        let forecast = Forecast { between: [4.0, 4.5], missing };
        assert_eq!(
            foretold(&forecast, "requests/s"),
            "capacity 4.00 to 4.50 requests/s so far; about 1,200 more requests, 5 min"
        );
    }
}
