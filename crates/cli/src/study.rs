//! Studies for people: several points as one page, and what happens while they are measured.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, value_parser};
use infermark_drive::Stop;
use infermark_measure::{Decision, Verdict};
use infermark_report::{Colour, CurveSheet, Dot, KNEE, count, curve, markdown};
use infermark_run::capacity::{Capacity, doubts};
use infermark_run::knee::load;
use infermark_run::repeat::outcome;
use infermark_run::study::{Event, Kind, Rig, Studied, Study, StudyOptions, Taken, read};
use infermark_run::suite::Passed;
use infermark_run::{RunError, Watch};
use infermark_scenario::Resolved;
use infermark_scenario::intent::Scenario;
use infermark_scenario::settings::{self, Setting};
use infermark_terms::Trust;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::before::{Before, Telling, variable};
use crate::exit::{Exit, Failure};
use crate::progress::Live;
use crate::report::{claim, colour, deliver, format, json, leave_page};
use crate::run::{id, listen_for_interrupts};
use crate::sweep::LOADS;
use crate::whom::Whom;
use crate::{capacity, place, repeat, say, sheet, subject, validate};

/// What a new study was asked for.
pub(crate) struct Asked {
    /// The scenario that its points change.
    pub(crate) base: Resolved,
    /// What its search is told.
    pub(crate) plan: Value,
}

/// What `--help` says of going on.
pub(crate) const RESUME_HELP: &str = "Go on with an interrupted study, as its record says it was \
                                      asked: its directory, its name or `latest`";

/// Names an interrupted study to go on with.
pub(crate) fn resume(settings: &[&'static Setting], others: &[&'static str]) -> Arg {
    let keys = settings.iter().map(|setting| setting.key);
    Arg::new("resume")
        .long("resume")
        .value_name("RUN")
        .value_parser(value_parser!(PathBuf))
        .conflicts_with_all(keys.chain(others.iter().copied()).chain(["scenario", "record"]))
        .help_heading("Output")
        .help(RESUME_HELP)
}

/// Reads what a search is told.
pub(crate) fn told<T: DeserializeOwned>(rig: &Study<'_>, plan: Value) -> Result<T, RunError> {
    serde_json::from_value(plan)
        .map_err(|source| RunError::Header { dir: rig.dir().to_owned(), source })
}

/// Conducts a study, new or resumed, and prints it. What was measured is printed whatever ends
/// it.
pub(crate) fn conduct(
    matches: &ArgMatches,
    kind: Kind,
    asked: Option<Asked>,
    search: impl FnOnce(&mut Study<'_>, Value) -> Result<Map<String, Value>, RunError>,
) -> Result<Exit, Failure> {
    let quiet = matches.get_flag("quiet");
    claim(matches)?;
    let (stop, watch) = (Stop::default(), Watch::default());
    listen_for_interrupts(stop.clone(), watch.clone())?;
    let live = (!quiet).then(|| Live::begin(watch.clone(), stop.clone()));
    let before = Before::new(Telling::of(matches));
    let options = StudyOptions {
        secrets: &variable,
        stop,
        watch,
        calibration: before.calibration.clone(),
        shelf: before.shelf.clone(),
        tell: &|event| {
            if !quiet {
                say(&told_of(event));
            }
            if let Event::Begins { scenario, .. } = event {
                // What cannot be told now ends the point.
                drop(before.warn_of_load(scenario, &say));
            }
        },
    };
    let prepare =
        |base: &Resolved, plan: &Value| before.prepare(&scenarios(kind, base, plan)?, &say);
    let mut study = if let Some(asked) = asked {
        prepare(&asked.base, &asked.plan)?;
        create(matches, kind, &asked, options)?
    } else {
        let study = Study::resume(&place::resumed(matches)?, kind, options)?;
        prepare(study.base(), study.plan())?;
        study
    };
    let dir = study.dir().to_owned();
    let plan = study.plan().clone();
    let found = search(&mut study, plan);
    if let Some(live) = &live {
        live.end();
    }
    match found {
        Ok(found) => {
            let studied = study.finish(found)?;
            leave_page(&studied.dir, subject::of_study(&studied));
            validate::leave(&studied);
            place::note(matches, &studied.dir);
            let printed = show(&studied, matches)?;
            Ok(vouch(&studied, printed))
        }
        Err(error) => {
            // What there is; that it could not be printed too is the lesser evil.
            if let Ok(studied) = read(&dir)
                && !studied.points.is_empty()
            {
                drop(show(&studied, matches));
            }
            Err(error.into())
        }
    }
}

fn show(studied: &Studied, matches: &ArgMatches) -> Result<Exit, Failure> {
    let text = match format(matches) {
        "json" => json(&studied.header),
        "markdown" => markdown(&[subject::of_study(studied)]),
        _ => page(studied, colour(matches)),
    };
    deliver(&text, matches)
}

/// Returns what a study will ask, as far as it is known before.
fn scenarios(kind: Kind, base: &Resolved, plan: &Value) -> Result<Vec<Scenario>, Failure> {
    match kind {
        Kind::Validate => validate::scenarios(base, plan),
        Kind::Sweep | Kind::Capacity | Kind::Repeat => Ok(vec![base.scenario.clone()]),
    }
}

fn create<'a>(
    matches: &ArgMatches,
    kind: Kind,
    asked: &Asked,
    options: StudyOptions<'a>,
) -> Result<Study<'a>, Failure> {
    let default = || place::root(matches).join(id(asked.base.scenario.seed));
    let dir = matches.get_one::<PathBuf>("record").cloned().unwrap_or_else(default);
    Ok(Study::create(&dir, kind, asked.plan.clone(), &asked.base, options)?)
}

/// Tells what happens in a study.
fn told_of(event: Event<'_>) -> String {
    let end = |taken: &Taken| {
        let rates = taken.point.rates;
        let output = rates.map_or(0.0, |rates| rates.output_tokens_per_s);
        came_of(output, taken.point.latency.ttft_ms.map(|ttft| ttft.p50))
    };
    match event {
        Event::Begins { index, label, .. } => format!("point {index}: {label} …\n"),
        Event::Measured(taken) => format!("  {}\n", end(taken)),
        Event::Found(taken) => format!("{}: measured before · {}\n", taken.label, end(taken)),
    }
}

/// Says in short what came of a point: output tokens a second, and the median of TTFT.
fn came_of(output_tokens_per_s: f64, ttft_ms: Option<f64>) -> String {
    let ttft = ttft_ms.map(|ttft| format!(" · TTFT p50 {ttft:.1} ms"));
    let rate = count(output_tokens_per_s.round() as u64);
    format!("{rate} tok/s{}", ttft.unwrap_or_default())
}

/// Turns the exit into that of a void result, where a point is, or else of a suite that failed or
/// of a repeated run that missed an objective. Where nothing succeeds a search for capacity has
/// learnt that the load is too much.
pub(crate) fn vouch(studied: &Studied, printed: Exit) -> Exit {
    let is_search = studied.kind() == Some(Kind::Capacity);
    let doubts = doubts(studied);
    let suite = validate::found(studied);
    let is_void = |(place, taken): (usize, &Taken)| {
        let nothing = is_search && taken.point.counts.success == 0;
        let counts = suite.as_ref().is_none_or(|suite| suite.rests_on(place));
        let trust = doubts.as_ref().map_or(&taken.point.trust, |doubts| &doubts[place]);
        trust.verdict == Trust::Void && counts && !nothing
    };
    let is_missed = |taken: &Taken| taken.point.decision() == Some(Decision::Missed);
    let is_repeated = studied.kind() == Some(Kind::Repeat);
    let failed = || suite.as_ref().is_some_and(|found| found.verdict == Passed::Fail);
    match studied.points.iter().enumerate().any(is_void) {
        true => Exit::Void,
        false if failed() || is_repeated && studied.points.iter().any(is_missed) => Exit::Missed,
        false => printed,
    }
}

/// Returns what was asked of all points, as labels and values.
pub(crate) fn asked(studied: &Studied) -> Vec<(&'static str, String)> {
    let mut asked = sheet::asked(&studied.header.scenario["values"]);
    if studied.kind() != Some(Kind::Repeat) {
        // Each point has its own.
        asked.retain(|(label, _)| !LOADS.iter().any(|setting| setting.key == *label));
    }
    if studied.kind() == Some(Kind::Capacity) {
        asked.retain(|(label, _)| *label != settings::DURATION.key);
    }
    asked
}

/// Prints a study as a page.
pub(crate) fn page(studied: &Studied, colour: Colour) -> String {
    if let Some(found) = validate::found(studied) {
        return validate::page(studied, &found, colour);
    }
    let header = &studied.header;
    let whom = Whom::of(header);
    let asked = asked(studied);
    let doubts = doubts(studied);
    let dots = dots(studied, doubts.as_deref());
    let together = outcome(studied).as_ref().map(repeat::sentences);
    let beside = together.unwrap_or_else(|| beside(&header.rest));
    let sheet = CurveSheet {
        command: command(studied),
        target: &whom.target,
        source: whom.source(),
        verification: whom.verification,
        model: &whom.model,
        server: whom.server.as_deref(),
        asked: &asked,
        state: whom.state,
        dots: &dots,
        beside: &beside,
        record: Some(&studied.dir),
    };
    curve(&sheet, colour)
}

/// Returns the points curve by curve, as far as the study came. `doubts` are those about each point
/// that concern what the study found, where not all do.
fn dots<'a>(studied: &'a Studied, doubts: Option<&'a [Verdict]>) -> Vec<Dot<'a>> {
    let sorted = spots(&studied.header.rest);
    let places = if sorted.is_empty() {
        by_load(studied)
    } else {
        sorted.into_iter().map(|spot| (spot.point, spot.mark)).collect()
    };
    let known = places.into_iter().filter_map(|(place, mark)| {
        let taken = studied.points.get(place)?;
        let trust = doubts.map_or(&taken.point.trust, |doubts| &doubts[place]);
        Some(Dot { mark, trust, ..dot(taken) })
    });
    known.collect()
}

/// Returns a point as a page shows it.
pub(crate) fn dot(taken: &Taken) -> Dot<'_> {
    let (label, point) = (&taken.label, &taken.point);
    Dot { label, point, mark: "", trust: &point.trust }
}

/// Returns the points in the order of their loads, each with its verdict.
fn by_load(studied: &Studied) -> Vec<(usize, &'static str)> {
    let mut places: Vec<_> = (0..studied.points.len()).collect();
    let rank = |place: &usize| load(&studied.points[*place].point.load);
    if studied.kind() == Some(Kind::Capacity) {
        places.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
    }
    let mark = |place: usize| match studied.points[place].point.decision() {
        Some(Decision::Met) => "met",
        Some(Decision::Missed) => "miss",
        Some(Decision::Undecided) => "?",
        None => "",
    };
    places.into_iter().map(|place| (place, mark(place))).collect()
}

/// Where a sweep's point stands.
pub(crate) struct Spot {
    /// Its place in the study.
    pub(crate) point: usize,
    /// The lengths of its curve, as its label has them; empty where there is one curve.
    pub(crate) lengths: String,
    /// The same for people.
    pub(crate) curve: String,
    /// The word that stands beside it.
    pub(crate) mark: &'static str,
}

/// Returns the points of all curves in order; none of a study without curves.
pub(crate) fn spots(results: &Map<String, Value>) -> Vec<Spot> {
    let curves = results.get("curves").and_then(Value::as_array).into_iter().flatten();
    let spots = curves.flat_map(|curve| {
        let points = curve["points"].as_array().into_iter().flatten();
        points.map(move |point| Spot {
            point: point["point"].as_u64().unwrap_or(u64::MAX) as usize,
            lengths: lengths(curve),
            curve: lengths_named(curve),
            mark: match point["side"].as_str() {
                _ if point["point"] == curve["knee"]["point"] => KNEE,
                Some("over") => "over",
                _ => "",
            },
        })
    });
    spots.collect()
}

/// Returns in what a curve differs from the others, as its points' labels have it.
fn lengths(curve: &Value) -> String {
    let changed = curve["changed"].as_object().into_iter().flatten();
    changed.filter_map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("/")
}

/// Returns the same with what each length is of, such as `input 128 · output 32`.
fn lengths_named(curve: &Value) -> String {
    let changed = curve["changed"].as_object().into_iter().flatten();
    let named = changed.filter_map(|(key, text)| {
        Some(format!("{} {}", key.trim_end_matches("_tokens"), text.as_str()?))
    });
    named.collect::<Vec<_>>().join(" · ")
}

/// Says what the search found.
pub(crate) fn beside(results: &Map<String, Value>) -> Vec<(&'static str, Vec<String>)> {
    let curves = results.get("curves").and_then(Value::as_array).into_iter().flatten();
    let knees = curves.filter_map(|curve| {
        let knee = curve.get("knee").filter(|knee| knee.is_object())?;
        let lengths = lengths_named(curve);
        let end = |end: &Value| end.as_f64().map(|end| end.to_string());
        let between = match (end(&knee["between"][0]), end(&knee["between"][1])) {
            (Some(low), Some(high)) => format!(", between {low} and {high}"),
            (Some(low), None) => format!(", above {low}: the curve ends before it is passed"),
            (None, Some(high)) => format!(", below {high}"),
            (None, None) => String::new(),
        };
        let of = if lengths.is_empty() { String::new() } else { lengths + ": " };
        let load = end(&knee["load"])?;
        Some(format!("{of}at {load}{between} (greatest requests/s ÷ E2E)"))
    });
    let knees: Vec<_> = knees.collect();
    let found = results.get("capacity").and_then(|found| Capacity::deserialize(found).ok());
    let capacity = found.map(|found| ("capacity", capacity::sentences(&found)));
    let knees = (!knees.is_empty()).then_some(("knee", knees));
    capacity.into_iter().chain(knees).collect()
}

/// Returns the command that made a study.
pub(crate) fn command(studied: &Studied) -> &'static str {
    match studied.kind() {
        Some(Kind::Sweep) => "infermark sweep",
        Some(Kind::Capacity) => "infermark capacity",
        Some(Kind::Validate) => "infermark validate",
        Some(Kind::Repeat) | None => "infermark run",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_a_point_has_its_thousands_apart() {
        assert_eq!(came_of(81_233.6, Some(12.34)), "81,234 tok/s · TTFT p50 12.3 ms");
        assert_eq!(came_of(0.0, None), "0 tok/s");
    }
}
