//! What reports tell of a run or study, read from its header.

use std::collections::BTreeMap;
use std::path::Path;

use infermark_measure::{Details, LoadPlan, Point};
use infermark_report::{Place, Subject};
use infermark_run::capacity::doubts;
use infermark_run::repeat::outcome;
use infermark_run::study::{Studied, Taken};
use infermark_run::{Measured, RunFile};
use serde_json::Value;

use crate::sheet::asked;
use crate::whom::Whom;
use crate::{repeat, study, validate};

/// Facts about the client's machine that a report shows: keys of the header's environment, and
/// their names.
const SETUP: [(&str, &str); 6] = [
    ("version", "infermark"),
    ("client_host", "client"),
    ("cpu", "client's CPU"),
    ("cpus", "client's cores"),
    ("kernel", "client's kernel"),
    ("build", "build"),
];

/// Returns what reports tell of a run that was measured.
pub(crate) fn of(measured: &Measured) -> Subject {
    let points = vec![measured.point.clone()];
    let details = Some(measured.details.clone());
    told(&measured.header, points, details, Some(&measured.dir))
}

/// Returns what reports tell of a study.
pub(crate) fn of_study(studied: &Studied) -> Subject {
    let suite = validate::found(studied);
    let mut beside = study::beside(&studied.header.rest);
    let (mut verdicts, mut contests) = (Vec::new(), Vec::new());
    let known = match &suite {
        Some(suite) => {
            beside.extend(validate::facts(studied, suite));
            verdicts = validate::verdicts(suite);
            contests = validate::contests(studied, suite);
            validate::places(suite)
        }
        None => places(studied),
    };
    beside.extend(outcome(studied).as_ref().map(repeat::sentences).into_iter().flatten());
    let known = known.into_iter().filter_map(|(at, place)| Some((studied.points.get(at)?, place)));
    let (points, places) = known.map(|(taken, place)| (taken.point.clone(), place)).unzip();
    let findings = beside.into_iter();
    let findings =
        findings.flat_map(|(name, found)| found.into_iter().map(move |f| (name.to_owned(), f)));
    Subject {
        command: study::command(studied).to_owned(),
        asked: labelled(study::asked(studied)),
        places,
        findings: findings.collect(),
        verdicts,
        contests,
        ..told(&studied.header, points, None, Some(&studied.dir))
    }
}

fn labelled(asked: Vec<(&'static str, String)>) -> Vec<(String, String)> {
    asked.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Returns the points of a study in the order in which they are shown, and what is known of each.
fn places(studied: &Studied) -> Vec<(usize, Place)> {
    let label = |index: usize| studied.points.get(index).map(|taken| taken.label.clone());
    let spots = study::spots(&studied.header.rest);
    if spots.is_empty() {
        let all = studied.points.iter().enumerate();
        let (carried, mut doubts) = (carried(studied), doubts(studied).map(Vec::into_iter));
        let mut named = |index: usize, taken: &Taken| {
            let mark = if carried == Some(index) { "capacity" } else { "" };
            let (label, mark) = (taken.label.clone(), mark.to_owned());
            let doubts = doubts.as_mut().and_then(Iterator::next);
            Place { label, mark, doubts, ..Place::default() }
        };
        return all.map(|(index, taken)| (index, named(index, taken))).collect();
    }
    let places = spots.into_iter().map(|spot| {
        let label = label(spot.point).unwrap_or_default();
        // Where a curve has a heading of its own, its points need not say it again.
        let label = label.strip_prefix(&spot.lengths).unwrap_or(&label).trim().to_owned();
        let (curve, mark) = (spot.curve, spot.mark.to_owned());
        (spot.point, Place { label, curve, mark, ..Place::default() })
    });
    places.collect()
}

/// Returns the longest run at the highest load that a search found to be carried.
fn carried(studied: &Studied) -> Option<usize> {
    let met = studied.header.rest.get("capacity")?["met"].as_f64()?;
    let is_met = |load: &LoadPlan| {
        let offered = match *load {
            LoadPlan::Open { rate_rps, .. } => rate_rps,
            LoadPlan::Closed { concurrency } => f64::from(concurrency),
            LoadPlan::Trace { .. } => return false,
        };
        (offered - met).abs() <= 1e-9 * met
    };
    let all = studied.points.iter().enumerate().filter(|(_, taken)| is_met(&taken.point.load));
    all.max_by_key(|(_, taken)| taken.point.counts.due).map(|(index, _)| index)
}

/// Returns what reports tell of a run or study with this header.
fn told(
    header: &RunFile,
    points: Vec<Point>,
    details: Option<Details>,
    dir: Option<&Path>,
) -> Subject {
    let (whom, environment) = (Whom::of(header), &header.environment);
    let hardware = &header.target["hardware"];
    let values = &header.scenario["values"];
    let stated = |key: &str| {
        let value = values.as_array()?.iter().find(|value| value["key"] == key)?;
        value["text"].as_str().map(str::to_owned)
    };
    let known = || {
        let gpu = hardware["gpu"].as_str()?;
        Some(format!("{}x{gpu}", hardware["count"].as_u64()?))
    };
    Subject {
        id: header.id.clone(),
        command: "infermark run".to_owned(),
        created: header.created.clone(),
        target: whom.target,
        model: whom.model,
        server: whom.server,
        gpus: stated("gpus").or_else(known),
        origin: whom.origin,
        state: whom.state,
        verification: whom.verification,
        version: environment["version"].as_str().unwrap_or_default().to_owned(),
        asked: labelled(asked(values)),
        setup: setup(environment),
        tags: tags(&header.scenario["tags"]),
        findings: Vec::new(),
        points,
        places: Vec::new(),
        verdicts: Vec::new(),
        contests: Vec::new(),
        details,
        record: dir.map(|dir| dir.display().to_string()).unwrap_or_default(),
    }
}

fn setup(environment: &Value) -> Vec<(String, String)> {
    let shown = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let facts = SETUP.iter().filter_map(|(key, name)| Some((name, shown(&environment[*key])?)));
    facts.map(|(name, value)| ((*name).to_owned(), value)).collect()
}

fn tags(tags: &Value) -> BTreeMap<String, String> {
    let tags = tags.as_object().into_iter().flatten();
    tags.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
