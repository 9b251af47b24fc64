//! `infermark compare`: better, worse, the same, or cannot tell.

mod gate;
mod sides;

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use infermark_measure::compare::{Settings, is_comparable};
use infermark_report::{
    Compared, ComparisonSheet, Differing, GateLine, Passed, PointSheet, comparison_junit,
    comparison_markdown, comparison_table,
};
use infermark_run::compare::{Contrasted, Difference, Side, Spot, contrast, pair};
use infermark_scenario::gate::Gate;
use infermark_terms::slo::Subject;
use infermark_terms::{Trust, notation};
use serde_json::{Value, json};

use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::report::{claim, colour, deliver, format, json};
use crate::{arguments, place};

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
                .long_help(format!(
                    "{}, or other tools' result files; the baseline first",
                    place::RUN_HELP
                )),
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
    notation::share(text)
        .filter(|share| *share < 1.0)
        .ok_or_else(|| "expected a share such as `2%`".to_owned())
}

/// A candidate, compared with the baseline.
struct Found {
    baseline: Side,
    candidate: Side,
    points: Vec<Point>,
    /// What else differed, at all points.
    differing: Vec<Difference>,
    /// The loads that only one side has.
    unpaired: [Vec<String>; 2],
}

/// One pair of points.
struct Point {
    /// What a person calls the load; absent where each side is but one point.
    load: Option<String>,
    contrasted: Contrasted,
    gate: Vec<GateLine>,
}

/// What is asked of a comparison.
struct Asked {
    figures: Vec<Subject>,
    gate: Option<Gate>,
    settings: Settings,
}

/// Compares, and prints what was found.
pub(crate) fn compare(matches: &ArgMatches) -> Result<Exit, Failure> {
    claim(matches)?;
    let sides = sides::open(matches)?;
    let (baseline, candidates) = sides.split_first().expect("clap requires two");
    let asked = asked(matches)?;
    let found = candidates.iter().map(|candidate| against(baseline, candidate, &asked));
    let found = found.collect::<Result<Vec<_>, _>>()?;
    let text = match format(matches) {
        "json" => json(&told(&found, asked.settings)),
        "markdown" => shown(&found, asked.settings, |sheets| {
            sheets.iter().map(comparison_markdown).collect::<Vec<_>>().join("\n")
        }),
        "junit" => shown(&found, asked.settings, comparison_junit),
        _ => shown(&found, asked.settings, |sheets| {
            let page = |sheet| comparison_table(sheet, colour(matches));
            sheets.iter().map(page).collect::<Vec<_>>().join("\n")
        }),
    };
    let printed = deliver(&text, matches)?;
    let mut points = found.iter().flat_map(|found| &found.points);
    let void = points.clone().any(|point| point.contrasted.trust.contains(&Some(Trust::Void)));
    let shut = points.any(|point| point.gate.iter().any(|line| line.passed == Passed::No));
    Ok(match (void, shut) {
        (true, _) => Exit::Void,
        (false, true) => Exit::Missed,
        (false, false) => printed,
    })
}

fn asked(matches: &ArgMatches) -> Result<Asked, Failure> {
    let gate = matches.get_one::<PathBuf>("gate").map(|path| gate::read(path)).transpose()?;
    let mut figures: Vec<Subject> =
        matches.get_many::<Subject>("figure").into_iter().flatten().copied().collect();
    for figure in gate.iter().flat_map(gate::figures) {
        if !figures.contains(&figure) {
            figures.push(figure);
        }
    }
    let floor = *matches.get_one::<f64>("floor").expect("it has a default");
    Ok(Asked { figures, gate, settings: Settings { floor, ..Settings::default() } })
}

/// Compares a candidate with the baseline, load by load.
fn against(baseline: &Side, candidate: &Side, asked: &Asked) -> Result<Found, Failure> {
    let [baseline, candidate] = sides::alike(baseline, candidate)?;
    let paired = pair(&baseline, &candidate);
    let unpaired = paired.unpaired.each_ref().map(|spots| labels(spots));
    if paired.pairs.is_empty() {
        let error = anyhow!("the sides have no load in common");
        let [one, other] = unpaired.map(|loads| loads.join(", "));
        let hint = format!("the baseline has {one}; the candidate has {other}");
        return Err(Failure::usage(error).hint(hint));
    }
    let alone = paired.pairs.len() == 1 && unpaired.iter().all(Vec::is_empty);
    let alpha = asked.settings.alpha / paired.pairs.len() as f64;
    let settings = Settings { alpha, ..asked.settings };
    let bar = progress(paired.pairs.len());
    let mut points = Vec::new();
    for spots in &paired.pairs {
        let contrasted = contrast(*spots, &asked.figures, settings)?;
        let gate = match &asked.gate {
            Some(gate) => gate::judge(gate, &contrasted)?,
            None => Vec::new(),
        };
        let load = (!alone).then(|| name(&contrasted.labels));
        points.push(Point { load, contrasted, gate });
        bar.inc(1);
    }
    bar.finish_and_clear();
    refuse_nothing(&points, &baseline)?;
    let differing = throughout(&points);
    Ok(Found { baseline, candidate, points, differing, unpaired })
}

fn progress(points: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(points as u64), ProgressDrawTarget::stderr());
    let style = "comparing point {pos} of {len} {wide_bar}";
    bar.set_style(ProgressStyle::with_template(style).expect("a template of ours"));
    bar
}

/// Refuses a comparison in which nothing could be compared.
fn refuse_nothing(points: &[Point], baseline: &Side) -> Result<(), Failure> {
    let is_nothing = |point: &Point| {
        point.contrasted.comparison.findings.is_empty() && point.contrasted.saturated == [false; 2]
    };
    if !points.iter().all(is_nothing) {
        return Ok(());
    }
    let (error, hint) = if baseline.is_quoted() {
        (
            anyhow!("there is no figure that both sides define alike"),
            "`infermark runs import` and `report` show what each file says",
        )
    } else {
        (
            anyhow!("there is no figure of which both runs have 40 requests or more"),
            "longer runs, or other figures, can be compared",
        )
    };
    Err(Failure::usage(error).hint(hint))
}

fn labels(spots: &[&Spot]) -> Vec<String> {
    spots.iter().map(|spot| spot.label.clone()).collect()
}

/// Returns what a pair is called: rates of two sweeps may differ by a little.
fn name([one, other]: &[String; 2]) -> String {
    if one == other { one.clone() } else { format!("{one} → {other}") }
}

/// Returns what else differed at every point in the same way.
fn throughout(points: &[Point]) -> Vec<Difference> {
    let Some((first, others)) = points.split_first() else { return Vec::new() };
    let everywhere = |difference: &&Difference| {
        others.iter().all(|point| point.contrasted.differences.contains(difference))
    };
    first.contrasted.differences.iter().filter(everywhere).cloned().collect()
}

fn told(found: &[Found], settings: Settings) -> Value {
    let comparisons =
        found.iter().flat_map(|found| found.points.iter().map(move |point| told_of(found, point)));
    let unpaired = found.iter().filter(|found| found.unpaired.iter().any(|only| !only.is_empty()));
    let unpaired = unpaired.map(|found| {
        let [baseline, candidate] = &found.unpaired;
        let sides = [&found.baseline.dir, &found.candidate.dir];
        json!({
            "baseline": { "record": sides[0], "loads": baseline },
            "candidate": { "record": sides[1], "loads": candidate },
        })
    });
    json!({
        "settings": { "floor": settings.floor, "share_floor": settings.share_floor },
        "comparisons": comparisons.collect::<Vec<_>>(),
        "unpaired": unpaired.collect::<Vec<_>>(),
    })
}

fn told_of(found: &Found, point: &Point) -> Value {
    let Point { load, contrasted, gate } = point;
    let side = |side: &Side, at: usize| {
        let mut value = json!({
            "record": side.dir,
            "id": side.header.id,
            "definitions": side.header.definitions,
            "saturated": contrasted.saturated[at],
        });
        if let Some(trust) = contrasted.trust[at] {
            value["trust"] = json!(trust);
        }
        if load.is_some() {
            value["load"] = json!(contrasted.labels[at]);
        }
        value
    };
    json!({
        "baseline": side(&found.baseline, 0),
        "candidate": side(&found.candidate, 1),
        "differs": contrasted.differences,
        "unit": contrasted.comparison.unit,
        "findings": contrasted.comparison.findings,
        "gate": gate.iter().map(|line| json!({
            "clause": line.clause,
            "verdict": line.passed.word().to_lowercase(),
            "detail": line.detail,
        })).collect::<Vec<_>>(),
    })
}

/// Shows all comparisons in one of the formats for people.
fn shown(
    found: &[Found],
    settings: Settings,
    show: impl FnOnce(&[ComparisonSheet<'_>]) -> String,
) -> String {
    let names: Vec<[Vec<String>; 2]> =
        found.iter().map(|found| [&found.baseline, &found.candidate].map(sides::names)).collect();
    let differing: Vec<Vec<Differing<'_>>> =
        found.iter().map(|found| found.differing.iter().map(differing).collect()).collect();
    let points: Vec<Vec<PointSheet<'_>>> =
        found.iter().map(|found| found.points.iter().map(point_sheet).collect()).collect();
    let sheets: Vec<ComparisonSheet<'_>> = found
        .iter()
        .enumerate()
        .map(|(at, found)| ComparisonSheet {
            baseline: Compared { record: &found.baseline.dir, names: &names[at][0] },
            candidate: Compared { record: &found.candidate.dir, names: &names[at][1] },
            differing: &differing[at],
            points: &points[at],
            unpaired: found.unpaired.each_ref().map(Vec::as_slice),
            settings,
        })
        .collect();
    show(&sheets)
}

fn point_sheet(point: &Point) -> PointSheet<'_> {
    PointSheet {
        load: point.load.as_deref(),
        trust: point.contrasted.trust,
        saturated: point.contrasted.saturated,
        comparison: &point.contrasted.comparison,
        gate: &point.gate,
    }
}

fn differing(difference: &Difference) -> Differing<'_> {
    (&difference.name, difference.baseline.as_deref(), difference.candidate.as_deref())
}
