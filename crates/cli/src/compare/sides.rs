//! The sides of a comparison: runs and studies of ours, and other tools' result files.

use std::path::Path;

use clap::ArgMatches;
use infermark_peers::View;
use infermark_run::compare::Side;
use infermark_run::{Measured, RunFile};
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::{place, runs, sheet};

/// Settings that say which load a run had.
const LOADS: [&str; 5] = ["concurrency", "rate", "ramp", "throughput", "dataset"];

/// Opens whatever the command line names.
pub(super) fn open(matches: &ArgMatches) -> Result<Vec<Side>, Failure> {
    let paths = place::records(matches, "runs")?;
    let side = |path: &Path| {
        if path.is_file() { foreign(path) } else { Ok(Side::open(path)?) }
    };
    paths.iter().map(|path| side(path)).collect()
}

/// Reads another tool's result file.
fn foreign(path: &Path) -> Result<Side, Failure> {
    let read = runs::foreign(path, "compare")?;
    let header = RunFile {
        id: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        definitions: runs::definitions(&read),
        target: runs::target(&read),
        points: read.points.iter().map(infermark_peers::Point::to_json).collect(),
        ..RunFile::default()
    };
    Ok(Side::of_quotes(path, header))
}

/// Makes two sides comparable: where only one has observations, figures by the other's
/// definitions take their place.
pub(super) fn alike(baseline: &Side, candidate: &Side) -> Result<[Side; 2], Failure> {
    let sides = [baseline.clone(), candidate.clone()];
    Ok(match (baseline.is_quoted(), candidate.is_quoted()) {
        (true, true) | (false, false) => sides,
        (true, false) => {
            let [baseline, candidate] = sides;
            let definitions = baseline.header.definitions.clone();
            [baseline, by_definitions(candidate, &definitions)?]
        }
        (false, true) => {
            let [baseline, candidate] = sides;
            let definitions = candidate.header.definitions.clone();
            [by_definitions(baseline, &definitions)?, candidate]
        }
    })
}

/// Returns a side of ours in the words of another tool. Of a tool without a view, only those
/// figures are there that are defined as ours are.
fn by_definitions(side: Side, definitions: &str) -> Result<Side, Failure> {
    let tool = definitions.split('/').next().unwrap_or_default();
    let Some(view) = View::named(tool) else {
        let own = side.header.definitions.clone();
        return side.quoted_by(&own, |measured| Ok(whole_run(measured)));
    };
    side.quoted_by(tool, |measured| {
        let record = runs::record(&measured.dir)?;
        Ok::<Value, Failure>(view.measure(&record).to_json())
    })
}

/// Returns a point's latencies and its rates over the whole run, which are what peers state.
fn whole_run(measured: &Measured) -> Value {
    json!({
        "latency": measured.point.latency,
        "rates": measured.point.window.whole_run.and_then(|run| run.rates),
    })
}

/// Returns what tells a side apart.
pub(super) fn names(side: &Side) -> Vec<String> {
    let header = &side.header;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let target = [text(&header.target["model"]), text(&header.target["url"])];
    let load = match side.spots.len() {
        1 => {
            let load = sheet::asked(&header.scenario["values"]).into_iter();
            let load = load.filter(|(key, _)| LOADS.contains(key));
            load.map(|(key, value)| format!("{key} {value}")).collect()
        }
        count => vec![format!("{count} points")],
    };
    let quoted = side.is_quoted().then(|| format!("by the definitions of {}", header.definitions));
    target.into_iter().flatten().chain(load).chain(quoted).collect()
}
