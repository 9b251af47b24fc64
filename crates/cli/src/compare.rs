//! `infermark compare`: better, worse, the same, or cannot tell.

mod gate;

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use infermark_measure::compare::{Comparison, Settings, is_comparable};
use infermark_report::{
    Compared, ComparisonSheet, Differing, GateLine, Passed, comparison_junit, comparison_markdown,
    comparison_table,
};
use infermark_run::compare::{Difference, Side, differences};
use infermark_terms::Trust;
use infermark_terms::slo::Subject;
use serde_json::{Value, json};

use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::report::{claim, colour, deliver, format, json};
use crate::{arguments, place, sheet};

/// Settings that say which load a run had.
const LOADS: [&str; 5] = ["concurrency", "rate", "ramp", "throughput", "dataset"];

/// The command's arguments.
pub(crate) fn command() -> Command {
    Command::new("compare")
        .about("Compares runs with the first of them: better, worse, the same, or cannot tell")
        .long_about(
            "Compares runs with the first of them: better, worse, the same, or cannot tell.\n\n\
             Each figure is tested on the raw observations of both runs, in batches, so that \
             requests that resemble their neighbours do not pass for evidence. All intervals of a \
             comparison hold together with 95 % confidence: where nothing changed, any figure is \
             called different in at most 5 of 100 comparisons. docs/statistics.md says how.",
        )
        .after_help(EXIT_CODES)
        .arg(
            Arg::new("runs")
                .value_name("RUN")
                .required(true)
                .num_args(2..)
                .value_parser(value_parser!(PathBuf))
                .help(place::RUN_HELP)
                .long_help(format!("{}; the baseline first", place::RUN_HELP)),
        )
        .arg(place::argument())
        .arg(
            Arg::new("figure")
                .long("figure")
                .value_name("FIGURE")
                .action(ArgAction::Append)
                .value_delimiter(',')
                .value_parser(figure)
                .help("What is compared, such as `tpot:mean` [default: the usual figures]")
                .long_help(
                    "What is compared, such as `tpot:mean`, `ttft:p99` or `output_tokens_per_s`; \
                     the usual figures where none is named. The fewer figures, the narrower their \
                     intervals, since they hold together.",
                ),
        )
        .arg(
            Arg::new("floor")
                .long("floor")
                .value_name("SHARE")
                .default_value("2%")
                .value_parser(share)
                .help("The least change that matters, of any figure but the failure rate"),
        )
        .arg(
            Arg::new("gate")
                .long("gate")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("What the candidates must hold: clauses in YAML; exit 3 where one does not")
                .long_help(
                    "What the candidates must hold, as clauses in a YAML file; exit 3 where one \
                     does not. `tpot:mean <= +3%` is relative to the baseline, `ttft:p99 <= 200ms` \
                     is not, and `e2e:p50` must not be worse. docs/statistics.md has the format.",
                ),
        )
        .args(arguments::output(&["table", "json", "markdown", "junit"]))
}

fn figure(text: &str) -> Result<Subject, String> {
    let figure: Subject = text.parse().map_err(|fault| format!("{fault}"))?;
    if is_comparable(figure) {
        return Ok(figure);
    }
    Err("not a figure that can be compared; expected a mean or percentile of a latency, \
         `output_tokens_per_s`, `requests_per_s` or `failure_rate`"
        .to_owned())
}

/// Reads a share in per cent.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').and_then(|percent| percent.trim().parse::<f64>().ok());
    percent
        .filter(|percent| (0.0..100.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or_else(|| "expected a share such as `2%`".to_owned())
}

/// One candidate, compared.
struct Pair<'a> {
    baseline: &'a Side,
    candidate: &'a Side,
    differences: Vec<Difference>,
    comparison: Comparison,
    gate: Vec<GateLine>,
}

/// Compares, and prints what was found.
pub(crate) fn compare(matches: &ArgMatches) -> Result<Exit, Failure> {
    claim(matches)?;
    let dirs = place::records(matches, "runs")?;
    let sides = dirs.iter().map(|dir| Side::open(dir)).collect::<Result<Vec<_>, _>>()?;
    let (baseline, candidates) = sides.split_first().expect("clap requires two");
    let gate = matches.get_one::<PathBuf>("gate").map(|path| gate::read(path)).transpose()?;
    let mut figures: Vec<Subject> =
        matches.get_many::<Subject>("figure").into_iter().flatten().copied().collect();
    for figure in gate.iter().flat_map(gate::figures) {
        if !figures.contains(&figure) {
            figures.push(figure);
        }
    }
    let floor = *matches.get_one::<f64>("floor").expect("it has a default");
    let settings = Settings { floor, ..Settings::default() };
    let mut pairs = Vec::new();
    for candidate in candidates {
        let comparison = baseline.compare(candidate, &figures, settings);
        if comparison.findings.is_empty() {
            let error = anyhow!("there is no figure of which both runs have 40 requests or more");
            return Err(
                Failure::usage(error).hint("longer runs, or other figures, can be compared")
            );
        }
        let gate = match &gate {
            Some(gate) => gate::judge(gate, &comparison, candidate)?,
            None => Vec::new(),
        };
        let differences = differences(&baseline.measured.header, &candidate.measured.header);
        pairs.push(Pair { baseline, candidate, differences, comparison, gate });
    }
    let text = match format(matches) {
        "json" => json(&json!({
            "settings": { "floor": floor, "share_floor": settings.share_floor },
            "comparisons": pairs.iter().map(value).collect::<Vec<_>>(),
        })),
        "markdown" => shown(&pairs, settings, |sheets| {
            sheets.iter().map(comparison_markdown).collect::<Vec<_>>().join("\n")
        }),
        "junit" => shown(&pairs, settings, comparison_junit),
        _ => shown(&pairs, settings, |sheets| {
            let page = |sheet| comparison_table(sheet, colour(matches));
            sheets.iter().map(page).collect::<Vec<_>>().join("\n")
        }),
    };
    let printed = deliver(&text, matches)?;
    let void = sides.iter().any(|side| side.measured.point.trust.verdict == Trust::Void);
    let shut = pairs.iter().any(|pair| pair.gate.iter().any(|line| line.passed == Passed::No));
    Ok(match (void, shut) {
        (true, _) => Exit::Void,
        (false, true) => Exit::Missed,
        (false, false) => printed,
    })
}

fn value(pair: &Pair<'_>) -> Value {
    let side = |side: &Side| {
        json!({
            "record": side.measured.dir,
            "id": side.measured.header.id,
            "trust": side.measured.point.trust.verdict,
        })
    };
    json!({
        "baseline": side(pair.baseline),
        "candidate": side(pair.candidate),
        "differs": pair.differences,
        "unit": pair.comparison.unit,
        "findings": pair.comparison.findings,
        "gate": pair.gate.iter().map(|line| json!({
            "clause": line.clause,
            "verdict": line.passed.word().to_lowercase(),
            "detail": line.detail,
        })).collect::<Vec<_>>(),
    })
}

/// Shows all pairs in one of the formats for people.
fn shown(
    pairs: &[Pair<'_>],
    settings: Settings,
    show: impl FnOnce(&[ComparisonSheet<'_>]) -> String,
) -> String {
    let names: Vec<[Vec<String>; 2]> =
        pairs.iter().map(|pair| [names(pair.baseline), names(pair.candidate)]).collect();
    let differing: Vec<Vec<Differing<'_>>> =
        pairs.iter().map(|pair| pair.differences.iter().map(differing).collect()).collect();
    let sheets: Vec<ComparisonSheet<'_>> = pairs
        .iter()
        .zip(&names)
        .zip(&differing)
        .map(|((pair, [one, other]), differing)| ComparisonSheet {
            baseline: compared(pair.baseline, one),
            candidate: compared(pair.candidate, other),
            differing,
            comparison: &pair.comparison,
            settings,
            gate: &pair.gate,
        })
        .collect();
    show(&sheets)
}

fn differing(difference: &Difference) -> Differing<'_> {
    (&difference.name, difference.baseline.as_deref(), difference.candidate.as_deref())
}

fn compared<'a>(side: &'a Side, names: &'a [String]) -> Compared<'a> {
    let trust = side.measured.point.trust.verdict;
    Compared { record: &side.measured.dir, names, trust }
}

/// Returns what tells a run apart.
fn names(side: &Side) -> Vec<String> {
    let header = &side.measured.header;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let load = sheet::asked(&header.scenario["values"]).into_iter();
    let load = load.filter(|(key, _)| LOADS.contains(key));
    [text(&header.target["model"]), text(&header.target["url"])]
        .into_iter()
        .flatten()
        .chain(load.map(|(key, value)| format!("{key} {value}")))
        .collect()
}
