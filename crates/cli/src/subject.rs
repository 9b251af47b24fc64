//! What reports tell of a run or study, read from its header.

use std::collections::BTreeMap;
use std::path::Path;

use infermark_measure::{Details, Point};
use infermark_report::{Dot, Origin, Saturated, State, Subject, Verification};
use infermark_run::study::Studied;
use infermark_run::{Measured, RunFile};
use serde_json::Value;

use crate::sheet::{asked, server};
use crate::study;

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
    let point = |dot: &Dot<'_>| {
        let saturated = dot.saturated == Saturated::Yes;
        Point { saturated, ..dot.point.clone() }
    };
    let dots = study::dots(studied);
    let points = dots.iter().map(point).collect();
    let found = study::beside(&studied.header.rest).into_iter();
    let findings =
        found.flat_map(|(name, found)| found.into_iter().map(move |f| (name.to_owned(), f)));
    Subject {
        labels: dots.iter().map(|dot| dot.label.to_owned()).collect(),
        findings: findings.collect(),
        ..told(&studied.header, points, None, Some(&studied.dir))
    }
}

/// Returns what reports tell of a run or study with this header.
fn told(
    header: &RunFile,
    points: Vec<Point>,
    details: Option<Details>,
    dir: Option<&Path>,
) -> Subject {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let is = |value: &Value| *value == Value::Bool(true);
    let (target, environment) = (&header.target, &header.environment);
    let values = &header.scenario["values"];
    let stated = |key: &str| {
        let value = values.as_array()?.iter().find(|value| value["key"] == key)?;
        value["text"].as_str().map(str::to_owned)
    };
    let known = || {
        let gpu = target["hardware"]["gpu"].as_str()?;
        Some(format!("{}x{gpu}", target["hardware"]["count"].as_u64()?))
    };
    Subject {
        id: header.id.clone(),
        created: header.created.clone(),
        target: text(&target["url"]),
        model: text(&target["model"]),
        server: server(&target["server"]),
        gpus: stated("gpus").or_else(known),
        origin: match (is(&target["predicted"]), is(&target["embedded"])) {
            (true, _) => Origin::Predicted,
            (false, true) => Origin::Embedded,
            (false, false) => Origin::Server,
        },
        state: if header.partial { State::Partial } else { State::Complete },
        verification: if is(&target["unverified"]) {
            Verification::Off
        } else {
            Verification::Full
        },
        version: text(&environment["version"]),
        asked: asked(values).into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        setup: setup(environment),
        tags: tags(&header.scenario["tags"]),
        findings: Vec::new(),
        points,
        labels: Vec::new(),
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
