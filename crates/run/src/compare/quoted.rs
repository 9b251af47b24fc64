//! Figures that a point of `run.json` states, as quotes that two sides may share.

use infermark_measure::compare::{Figure, Quote};
use infermark_terms::slo::{Side, Subject};
use serde_json::Value;

/// Statistics that are compared, by their keys.
const STATISTICS: [&str; 6] = ["mean", "p50", "p90", "p95", "p99", "p999"];

/// Units of another tool's times, and how many milliseconds they are.
const TIMES: [(&str, f64); 2] = [("ms", 1.0), ("s", 1000.0)];

/// Whether both sides' figures are of the same tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tools {
    Same,
    Different,
}

impl Tools {
    /// Returns whether these definitions, such as `guidellm/0.8.1`, are of the same tool.
    pub(super) fn of(definitions: [&str; 2]) -> Self {
        let tool = |text: &str| text.split('/').next().unwrap_or_default().to_owned();
        if tool(definitions[0]) == tool(definitions[1]) { Self::Same } else { Self::Different }
    }
}

/// Returns the figures that all points of both sides have by one definition: infermark's, and the
/// tool's own where it is the same. Percentiles cannot be averaged, so they are there only where
/// each side has one point.
pub(super) fn quotes(sides: [&[Value]; 2], tools: Tools) -> Vec<Quote> {
    let single = sides.iter().all(|points| points.len() == 1);
    let Some(first) = sides[0].first() else { return Vec::new() };
    let named = stated(first, tools).into_iter().map(|(figure, _)| figure);
    let quote = |figure: Figure| {
        let value = |point: &Value| {
            let found = stated(point, tools).into_iter().find(|(known, _)| *known == figure);
            found.map(|(_, value)| value)
        };
        let values = |points: &[Value]| points.iter().map(value).collect::<Option<Vec<_>>>();
        Some(Quote { values: [values(sides[0])?, values(sides[1])?], figure })
    };
    named.filter(|figure| single || is_average(figure)).filter_map(quote).collect()
}

fn is_average(figure: &Figure) -> bool {
    let name = figure.to_string();
    !name.contains(':') || name.ends_with(":mean")
}

/// Returns what a point states: times and rates.
fn stated(point: &Value, tools: Tools) -> Vec<(Figure, f64)> {
    let entries = |value: &Value| -> Vec<(String, Value)> {
        let entries = value.as_object().into_iter().flatten();
        entries.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let mut stated = Vec::new();
    for (key, said) in entries(&point["latency"]) {
        let name = key.strip_suffix("_ms").unwrap_or(&key);
        for (statistic, value) in statistics(&said) {
            let subject: Option<Subject> = format!("{name}:{statistic}").parse().ok();
            stated.extend(subject.map(|subject| (Figure::Ours(subject), value)));
        }
    }
    if tools == Tools::Same {
        for (name, said) in entries(&point["peer"]["figures"]) {
            // What has a key of ours stands among the latencies.
            let time = TIMES.iter().find(|(unit, _)| said["unit"] == *unit);
            let Some((_, millis)) = time.filter(|_| !said["key"].is_string()) else { continue };
            for (statistic, value) in statistics(&said) {
                let name = format!("{name}:{statistic}");
                stated.push((Figure::Theirs { name, side: Side::AtMost }, value * millis));
            }
        }
    }
    for (key, said) in entries(&point["rates"]) {
        let subject = key.parse::<Subject>().ok().zip(said.as_f64());
        stated.extend(subject.map(|(subject, value)| (Figure::Ours(subject), value)));
    }
    stated
}

fn statistics(said: &Value) -> impl Iterator<Item = (&'static str, f64)> {
    STATISTICS.iter().filter_map(|key| Some((*key, said[*key].as_f64()?)))
}
