//! `infermark run --repeat` and `--precision`: one operating point, several times.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Arg, ArgMatches, value_parser};
use infermark_measure::Estimate;
use infermark_measure::repeats::Across;
use infermark_report::count;
use infermark_run::repeat::{
    Forecast, Outcome, Precision, RUNS_MAX, RUNS_MIN, Reached, RepeatPlan, found, is_repeatable,
    repeat, usual_figure,
};
use infermark_run::study::Kind;
use infermark_scenario::Resolved;
use infermark_scenario::settings::{Group, SETTINGS};
use infermark_terms::slo::Subject;
use serde_json::json;

use crate::compare::share;
use crate::exit::{Exit, Failure};
use crate::progress::clock;
use crate::run::scenario;
use crate::say;
use crate::study::{self, Asked};

/// The arguments that `run` has for it.
pub(crate) fn arguments() -> [Arg; 4] {
    [
        Arg::new("repeat")
            .long("repeat")
            .value_name("N")
            .value_parser(value_parser!(u32).range(1..=1000))
            .help_heading(Group::Bounds.title())
            .help("So many runs of the same point, each from a fresh seed, judged together"),
        Arg::new("precision")
            .long("precision")
            .value_name("SHARE")
            .value_parser(share)
            .help_heading(Group::Bounds.title())
            .help("Repeats until a figure is known so precisely, such as `2%`")
            .long_help(format!(
                "Repeats until the 95 % interval of a figure across runs reaches no further than \
                 this share of it to either side, such as `2%`: at least {RUNS_MIN} runs, and at \
                 most --repeat or {RUNS_MAX}. Between runs it says how long that would take."
            )),
        Arg::new("precision_figure")
            .long("precision-figure")
            .value_name("FIGURE")
            .requires("precision")
            .value_parser(figure)
            .help_heading(Group::Bounds.title())
            .help(
                "The figure, such as `tpot:mean` [default: `output_tokens_per_s`; of an open loop, \
                 which sets its rate itself, `e2e:mean`]",
            ),
        study::resume(SETTINGS, &["repeat", "precision", "precision_figure"]),
    ]
}

fn figure(text: &str) -> Result<Subject, String> {
    let figure: Subject = text.parse().map_err(|fault| format!("{fault}"))?;
    if is_repeatable(figure) {
        return Ok(figure);
    }
    Err("runs do not give one value each; expected a mean such as `ttft:mean` or a rate such as \
         `output_tokens_per_s`"
        .to_owned())
}

/// Says whether several runs are asked for.
pub(crate) fn is_asked(matches: &ArgMatches) -> bool {
    ["repeat", "precision", "resume"].iter().any(|name| matches.contains_id(name))
}

/// Makes the runs and prints what they say together.
pub(crate) fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let asked = match matches.get_one::<PathBuf>("resume") {
        Some(_) => None,
        None => Some(asked(matches)?),
    };
    let quiet = matches.get_flag("quiet");
    study::conduct(matches, Kind::Repeat, asked, |rig, plan| {
        let plan: RepeatPlan = study::told(rig, plan)?;
        let tell = |forecast: &Forecast| {
            if !quiet {
                say(&(foretold(forecast, plan.runs) + "\n"));
            }
        };
        let taken = repeat(rig, &plan, &tell)?;
        found(rig.dir(), &plan, &taken)
    })
}

fn asked(matches: &ArgMatches) -> Result<Asked, Failure> {
    let base: Resolved = scenario(matches)?;
    let share = matches.get_one::<f64>("precision").copied();
    let named = matches.get_one::<Subject>("precision_figure").copied();
    let figure = named.unwrap_or_else(|| usual_figure(&base.scenario.load));
    let precision = share.map(|share| Precision { figure, share });
    let runs = matches.get_one::<u32>("repeat").copied().unwrap_or(RUNS_MAX);
    if precision.is_some_and(|precision| precision.share <= 0.0) {
        let error = anyhow!("--precision 0%: no number of runs is that precise");
        return Err(Failure::usage(error).hint("for example `--precision 2%`"));
    }
    if precision.is_some() && runs < RUNS_MIN {
        let error = anyhow!("--repeat {runs}: a precision takes at least {RUNS_MIN} runs");
        return Err(Failure::usage(error).hint("leave one of --repeat and --precision out"));
    }
    Ok(Asked { base, plan: json!(RepeatPlan { runs, precision }) })
}

/// Says how far a precision is.
fn foretold(forecast: &Forecast, runs_max: u32) -> String {
    let Forecast { asked, across, runs, seconds } = forecast;
    let now = format!("{} {} after {} runs", asked.figure, spread(across), across.runs);
    let goal = percent(asked.share);
    match (runs, seconds) {
        (Some(runs), Some(seconds)) => {
            let long = clock(*seconds);
            let beyond = if *runs > u64::from(runs_max) {
                format!("; it ends after {runs_max}")
            } else {
                String::new()
            };
            format!("{now}: {goal} takes about {runs} in all, another {long}{beyond}")
        }
        _ => format!("{now}: nobody can say how many it takes for {goal}"),
    }
}

/// Says what runs found together, as lines beside the table of the runs.
pub(crate) fn sentences(outcome: &Outcome) -> Vec<(&'static str, Vec<String>)> {
    let repeated = &outcome.repeated;
    let latencies = [
        ("TTFT", repeated.latency.ttft_ms),
        ("TPOT", repeated.latency.tpot_ms),
        ("ITL", repeated.latency.itl_ms),
        ("E2E", repeated.latency.e2e_ms),
    ];
    let known = || latencies.iter().filter_map(|(name, figure)| Some((*name, figure.as_ref()?)));
    let levels = ["output_tokens_per_s", "requests_per_s", "goodput_rps"];
    let levels = levels.iter().filter_map(|name| {
        let across = repeated.levels.get(*name)?;
        Some(format!("{name} {} {}", short(across.mean, 4), spread(across)))
    });
    let means = known().map(|(name, estimate)| {
        let across = Across { runs: repeated.runs, mean: estimate.mean, ci95: estimate.mean_ci95 };
        format!("{name} mean {} ms {}", short(estimate.mean, 4), spread(&across))
    });
    let pooled = known().map(|(name, estimate)| percentiles(name, estimate));
    let precision = outcome.precision.as_ref().map(|reached| vec![ended(reached, repeated.runs)]);
    let mut lines = vec![("together", levels.chain(means).collect()), ("pooled", pooled.collect())];
    lines.extend(precision.map(|precision| ("precision", precision)));
    lines
}

fn percentiles(name: &str, estimate: &Estimate) -> String {
    let all = [("p50", Some(estimate.p50)), ("p90", estimate.p90), ("p99", estimate.p99)];
    let known =
        all.iter().filter_map(|(rank, value)| Some(format!("{rank} {}", short((*value)?, 4))));
    format!("{name} {} ms, of {}", known.collect::<Vec<_>>().join(", "), count(estimate.n))
}

/// Says what was reached of a precision.
fn ended(reached: &Reached, runs: u64) -> String {
    let Precision { figure, share } = reached.asked;
    let goal = percent(share);
    match (reached.reached, reached.runs_needed) {
        (Some(found), _) if found <= share => {
            format!("{figure} is known to {}: {goal} was asked for", percent(found))
        }
        (Some(found), Some(needed)) => format!(
            "{figure} is known to {} after {runs} runs: {goal} would take about {needed}",
            percent(found)
        ),
        (Some(found), None) => {
            format!("{figure} is known to {} after {runs} runs, not to {goal}", percent(found))
        }
        (None, _) => format!("not every run has {figure}: nothing is known of its precision"),
    }
}

fn spread(across: &Across) -> String {
    across.precision().map_or("± unknown".to_owned(), |share| format!("± {}", percent(share)))
}

fn percent(share: f64) -> String {
    format!("{} %", short(100.0 * share, 2))
}

/// Writes a number with so many significant digits at least, and no exponent.
pub(crate) fn short(value: f64, digits: i32) -> String {
    let before = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    let after = usize::try_from(digits - 1 - before).unwrap_or(0);
    if before > 2 && after == 0 {
        return count(value.round() as u64);
    }
    format!("{value:.after$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use infermark_terms::slo::Level;

    #[test]
    fn numbers_have_the_digits_that_matter() {
        assert_eq!(short(1234.567, 4), "1,235");
        assert_eq!(short(12.3456, 4), "12.35");
        assert_eq!(short(0.012_345, 2), "0.012");
        assert_eq!(short(0.0, 3), "0.00");
        assert_eq!(percent(0.0213), "2.1 %");
    }

    #[test]
    fn a_forecast_says_how_long_and_when_it_ends() {
        let asked = Precision { figure: Subject::Level(Level::OutputTokensPerS), share: 0.02 };
        let across = Across::of(&[96.0, 98.0, 100.0, 102.0, 104.0]).unwrap();
        let forecast = Forecast { asked, across, runs: Some(12), seconds: Some(420.0) };
        assert_eq!(
            foretold(&forecast, 30),
            "output_tokens_per_s ± 3.9 % after 5 runs: 2.0 % takes about 12 in all, another 7 min"
        );
        assert!(foretold(&forecast, 10).ends_with("; it ends after 10"));
        let unknown = Forecast { runs: None, seconds: None, ..forecast };
        assert!(foretold(&unknown, 30).ends_with("nobody can say how many it takes for 2.0 %"));
    }

    #[test]
    fn only_figures_of_whole_runs_have_a_precision() {
        for figure in ["tpot:mean", "requests_per_s", "output_tokens_per_s"] {
            assert!(super::figure(figure).is_ok(), "{figure}");
        }
        for figure in ["ttft:p99", "ttft", "failure_rate", "speed"] {
            assert!(super::figure(figure).is_err(), "{figure}");
        }
    }
}
