//! One side of a comparison: what was measured at which loads.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use infermark_store::RunFile;
use serde_json::Value;

use super::differences::facts;
use crate::recall::is_adopted;
use crate::study::{Ended, ended, kind};
use crate::suite::Group;
use crate::{Measured, RunError, measure_again};

/// Settings that tell workloads and loads apart, where they vary within a side.
const TELLING: [&str; 21] = [
    "classes",
    "target",
    "api",
    "stream",
    "ramp",
    "trace",
    "time_scale",
    "arrivals",
    "max_concurrency",
    "dataset",
    "column",
    "input_tokens",
    "output_tokens",
    "output_length",
    "prefix_tokens",
    "prefix_groups",
    "prompt_form",
    "concurrency_of",
    "turns",
    "think_time",
    "model",
];

/// A run, a study, or another tool's result.
#[derive(Clone, Debug)]
pub struct Side {
    /// Where it is.
    pub dir: PathBuf,
    /// Its header.
    pub header: RunFile,
    /// What it measured, one for each load and workload.
    pub spots: Vec<Spot>,
}

/// What was measured at one load, once or repeatedly.
#[derive(Clone, Debug, PartialEq)]
pub struct Spot {
    /// What a person calls it.
    pub label: String,
    /// The load.
    pub load: Load,
    /// What there is to compare.
    pub evidence: Evidence,
    /// How it ended.
    pub(super) ended: Ended,
    /// Whether its study calls it saturated, whatever its record alone shows.
    pub(super) saturated: bool,
    /// The settings that may tell it from others.
    pub(super) telling: BTreeMap<String, String>,
    /// What is known of it beside its figures.
    pub(super) facts: BTreeMap<String, String>,
}

/// A load, as far as points are told apart by it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// So many requests in flight.
    Closed(u64),
    /// So many arrivals a second.
    Open(f64),
    /// As fast as it goes.
    Throughput,
    /// A trace or a ramp, or nobody says.
    Other,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(slots) => write!(f, "concurrency {slots}"),
            Self::Open(rate) => write!(f, "rate {rate}/s"),
            Self::Throughput => f.write_str("throughput"),
            Self::Other => f.write_str("load"),
        }
    }
}

/// What there is to compare of a spot.
#[derive(Clone, Debug, PartialEq)]
pub enum Evidence {
    /// Records, of which all observations are at hand; one for each repeat.
    Records(Vec<PathBuf>),
    /// Figures alone, as points of `run.json`.
    Quoted(Vec<Value>),
}

impl Side {
    /// Reads what a directory holds: a run's record, a study's, or an imported result.
    ///
    /// # Errors
    ///
    /// If there is none, or it cannot be read.
    pub fn open(dir: &Path) -> Result<Self, RunError> {
        let header = RunFile::of(dir)?;
        if is_adopted(&header) {
            return Ok(Self::of_quotes(dir, header));
        }
        let spots = match kind(&header) {
            Some(_) => of_study(dir, &header)?,
            None => vec![spot(dir, String::new(), &header)],
        };
        Ok(Self { dir: dir.to_owned(), header, spots: merged(spots) })
    }

    /// Returns what another tool's result says, whose header this is.
    pub fn of_quotes(path: &Path, header: RunFile) -> Self {
        let quoted = |point: &Value| {
            let load = load(&Value::Null, point);
            let own = point["peer"]["label"].as_str().filter(|label| !label.is_empty());
            let label = own.map_or_else(|| load.to_string(), str::to_owned);
            let mut facts = facts(&header);
            if load != Load::Other {
                let _: Option<String> = facts.insert("load".to_owned(), load.to_string());
            }
            let evidence = Evidence::Quoted(vec![point.clone()]);
            let telling = BTreeMap::new();
            Spot { label, load, evidence, ended: Ended::Whole, saturated: false, telling, facts }
        };
        let spots = merged(header.points.iter().map(quoted).collect());
        Self { dir: path.to_owned(), header, spots }
    }

    /// Says whether only figures are known of it.
    pub fn is_quoted(&self) -> bool {
        self.spots.iter().any(|spot| matches!(spot.evidence, Evidence::Quoted(_)))
    }

    /// Returns it with figures alone in place of its records, worked out by `by`.
    ///
    /// # Errors
    ///
    /// If a record cannot be read, or what `by` says.
    pub fn quoted_by<E: From<RunError>>(
        mut self,
        definitions: &str,
        by: impl Fn(&Measured) -> Result<Value, E>,
    ) -> Result<Self, E> {
        for spot in &mut self.spots {
            let Evidence::Records(dirs) = &spot.evidence else { continue };
            let point = |dir: &PathBuf| by(&measure_again(dir)?);
            spot.evidence = Evidence::Quoted(dirs.iter().map(point).collect::<Result<_, E>>()?);
            let definitions = definitions.to_owned();
            let _: Option<String> = spot.facts.insert("definitions".to_owned(), definitions);
            let _: Option<String> = spot.facts.insert("load".to_owned(), spot.load.to_string());
        }
        definitions.clone_into(&mut self.header.definitions);
        Ok(self)
    }
}

/// Returns the points of a study. Of a suite, those that its lines are about: the trials of a
/// search are none.
fn of_study(dir: &Path, header: &RunFile) -> Result<Vec<Spot>, RunError> {
    let groups = header.rest.get("validation").map(|found| found["groups"].clone());
    let groups: Option<Vec<Group>> = groups.and_then(|found| serde_json::from_value(found).ok());
    let counts =
        |place| groups.as_ref().is_none_or(|groups| groups.iter().any(|group| group.has(place)));
    let mut spots = Vec::new();
    for (index, point) in header.points.iter().enumerate() {
        if !counts(index) {
            continue;
        }
        let text = |key: &str| point[key].as_str().unwrap_or_default().to_owned();
        let record = dir.join(text("record"));
        let saturated = point["saturated"] == true;
        spots.push(Spot { saturated, ..spot(&record, text("label"), &RunFile::of(&record)?) });
    }
    Ok(spots)
}

/// Returns the only point of a record.
fn spot(dir: &Path, label: String, header: &RunFile) -> Spot {
    let values = &header.scenario["values"];
    let point = header.points.first().unwrap_or(&Value::Null);
    let load = load(values, point);
    let telling = TELLING.iter().filter_map(|key| {
        let given = values.as_array()?.iter().filter(|value| value["key"] == **key);
        let texts: Vec<_> = given.filter_map(|value| value["text"].as_str()).collect();
        (!texts.is_empty()).then(|| ((*key).to_owned(), texts.join(", ")))
    });
    Spot {
        label: if label.is_empty() { load.to_string() } else { label },
        load,
        evidence: Evidence::Records(vec![dir.to_owned()]),
        ended: ended(header),
        saturated: false,
        telling: telling.collect(),
        facts: facts(header),
    }
}

fn load(values: &Value, point: &Value) -> Load {
    let set = |key: &str, unless: &str| {
        let values = values.as_array().into_iter().flatten();
        values.clone().any(|value| value["key"] == key && value["text"] != unless)
    };
    if set("throughput", "no") {
        return Load::Throughput;
    }
    if set("ramp", "") || set("trace", "") {
        return Load::Other;
    }
    let load = &point["load"];
    match (load["concurrency"].as_u64(), load["rate_rps"].as_f64()) {
        (_, Some(rate)) => Load::Open(rate),
        (Some(slots), None) => Load::Closed(slots),
        (None, None) => Load::Other,
    }
}

/// Makes repeats of points of one load and one workload. A point that ended early is none beside
/// one that did not.
fn merged(spots: Vec<Spot>) -> Vec<Spot> {
    let mut merged: Vec<Spot> = Vec::new();
    for spot in spots {
        let same = |known: &&mut Spot| known.load == spot.load && known.telling == spot.telling;
        let Some(known) = merged.iter_mut().find(same) else {
            merged.push(spot);
            continue;
        };
        let label = known.load.to_string();
        match (known.ended, spot.ended) {
            (Ended::Saturated, Ended::Whole) => *known = spot,
            (Ended::Whole, Ended::Saturated) => {}
            (Ended::Whole, Ended::Whole) | (Ended::Saturated, Ended::Saturated) => {
                known.evidence.extend(spot.evidence);
                known.saturated |= spot.saturated;
                known.label = label;
            }
        }
    }
    merged
}

impl Evidence {
    fn extend(&mut self, more: Self) {
        match (self, more) {
            (Self::Records(dirs), Self::Records(more)) => dirs.extend(more),
            (Self::Quoted(points), Self::Quoted(more)) => points.extend(more),
            // A side has either.
            (Self::Records(_), Self::Quoted(_)) | (Self::Quoted(_), Self::Records(_)) => {}
        }
    }
}
