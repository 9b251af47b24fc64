//! One pair of points, compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use infermark_measure::compare::{
    Comparison, Figure, Observations, Requests, Settings, Unit, compare, compare_quotes,
    due_in_window, usual_figures,
};
use infermark_measure::{Decision, PointPlan, Ruling};
use infermark_store::{StoredRun, open};
use infermark_terms::slo::{Bound, Subject};
use infermark_terms::{RequestId, RequestRow, Slo, Trust};
use serde_json::Value;

use super::differences::{Difference, differing};
use super::quoted::{Tools, quotes};
use super::side::{Evidence, Spot};
use crate::judge::{plan_of, rule};
use crate::study::{Ended, ended};
use crate::{Measured, RunError, measure_again};

/// Settings that say what is asked, and when: where all are equal, the requests are the same.
const ASKING: [&str; 26] = [
    "seed",
    "classes",
    "concurrency",
    "concurrency_of",
    "sessions",
    "turns",
    "think_time",
    "rate",
    "ramp",
    "throughput",
    "trace",
    "time_scale",
    "arrivals",
    "max_concurrency",
    "requests",
    "duration",
    "warmup",
    "dataset",
    "column",
    "input_tokens",
    "output_tokens",
    "output_length",
    "prefix_tokens",
    "prefix_groups",
    "prompt_form",
    "tokenizer",
];

/// One pair of points, compared.
#[derive(Clone, Debug)]
pub struct Contrasted {
    /// What a person calls them.
    pub labels: [String; 2],
    /// What was found.
    pub comparison: Comparison,
    /// What else differed.
    pub differences: Vec<Difference>,
    /// How far each side can be trusted; absent where nobody knows.
    pub trust: [Option<Trust>; 2],
    /// Which sides are saturated, so that latencies are not compared.
    pub saturated: [bool; 2],
    /// What the candidate is ruled by.
    candidate: Evidence,
}

/// Compares two points that belong together; the usual figures if none are named.
///
/// # Errors
///
/// If a record cannot be read.
pub fn contrast(
    pair: [&Spot; 2],
    figures: &[Subject],
    settings: Settings,
) -> Result<Contrasted, RunError> {
    let [one, other] = pair;
    let (comparison, trust, saturated) = match (&one.evidence, &other.evidence) {
        (Evidence::Records(ours), Evidence::Records(theirs)) => {
            observed([ours, theirs], figures, settings)?
        }
        (Evidence::Quoted(ours), Evidence::Quoted(theirs)) => {
            (quoted(pair, [ours, theirs], figures, settings), [None, None], [false; 2])
        }
        (Evidence::Records(_), Evidence::Quoted(_))
        | (Evidence::Quoted(_), Evidence::Records(_)) => {
            (Comparison { unit: Unit::Nothing, findings: Vec::new() }, [None, None], [false; 2])
        }
    };
    Ok(Contrasted {
        labels: pair.map(|spot| spot.label.clone()),
        comparison,
        differences: between(pair),
        trust,
        saturated,
        candidate: other.evidence.clone(),
    })
}

impl Contrasted {
    /// Judges the candidate by a bound of one's own: whether it is kept, and what was found. Of
    /// repeats, the worst decides. A figure that was only quoted has no interval, and so decides
    /// nothing.
    ///
    /// # Errors
    ///
    /// If a record cannot be read.
    ///
    /// # Panics
    ///
    /// Never: a bound reads back as it is written.
    pub fn rule(&self, bound: Bound) -> Result<Option<Ruling>, RunError> {
        let dirs = match &self.candidate {
            Evidence::Quoted(points) => {
                let stated = quotes([points, points], Tools::Different).into_iter();
                let wanted = |figure: &Figure| *figure == Figure::Ours(bound.subject);
                let found = stated.into_iter().find(|quote| wanted(&quote.figure));
                let value = found.and_then(|quote| quote.values[0].first().copied());
                return Ok(value.map(|value| undecided(bound, value)));
            }
            Evidence::Records(dirs) => dirs,
        };
        let slo: Slo = bound.to_string().parse().expect("a bound reads back as it is written");
        let mut rulings = Vec::new();
        for dir in dirs {
            let measured = measure_again(dir)?;
            let ruled = rule(dir, &measured.point, std::slice::from_ref(&slo))?;
            rulings.extend(ruled.into_iter().flatten());
        }
        Ok(rulings.into_iter().max_by_key(|ruling| ruling.verdict))
    }
}

fn undecided(bound: Bound, value: f64) -> Ruling {
    Ruling {
        bound,
        value: Some(value),
        ci95: [None, None],
        beyond: None,
        verdict: Decision::Undecided,
        margin: None,
        more_requests: None,
    }
}

/// Lists what else differed. Of what another tool measured little is known, so there only what
/// both sides tell can differ.
fn between([one, other]: [&Spot; 2]) -> Vec<Difference> {
    let is_quoted = |spot: &Spot| matches!(spot.evidence, Evidence::Quoted(_));
    let all = differing(&one.facts, &other.facts);
    let known =
        |difference: &Difference| difference.baseline.is_some() && difference.candidate.is_some();
    let both = is_quoted(one) || is_quoted(other);
    all.into_iter().filter(|difference| !both || known(difference)).collect()
}

fn quoted(
    pair: [&Spot; 2],
    sides: [&[Value]; 2],
    figures: &[Subject],
    settings: Settings,
) -> Comparison {
    let tool = |spot: &Spot| spot.facts.get("definitions").cloned().unwrap_or_default();
    let tools = pair.map(tool);
    let mut quotes = quotes(sides, Tools::of(tools.each_ref().map(String::as_str)));
    if !figures.is_empty() {
        quotes.retain(|quote| match quote.figure {
            Figure::Ours(subject) => figures.contains(&subject),
            Figure::Theirs { .. } => false,
        });
    }
    compare_quotes(&quotes, settings)
}

type Found = (Comparison, [Option<Trust>; 2], [bool; 2]);

fn observed(
    sides: [&[PathBuf]; 2],
    figures: &[Subject],
    settings: Settings,
) -> Result<Found, RunError> {
    let read = |dirs: &[PathBuf]| -> Result<Vec<Record>, RunError> {
        dirs.iter().map(|dir| Record::read(dir)).collect()
    };
    let sides = [read(sides[0])?, read(sides[1])?];
    let shared = shared(&sides);
    let observations = |side: &[Record]| -> Result<Vec<Observations>, RunError> {
        let these = |at: usize| shared.as_ref().map(|shared| &shared[at]);
        side.iter().enumerate().map(|(at, record)| record.observations(these(at))).collect()
    };
    let [one, other] = [observations(&sides[0])?, observations(&sides[1])?];
    let saturated = sides.each_ref().map(|side| side.iter().any(Record::is_saturated));
    let trusts = |side: &Vec<Record>| side.iter().map(|r| r.measured.point.trust.verdict).max();
    let mut figures =
        if figures.is_empty() { usual_figures(&one, &other) } else { figures.to_vec() };
    if saturated.contains(&true) {
        figures.retain(|figure| matches!(figure, Subject::Level(_)));
    }
    let requests = if shared.is_some() { Requests::Same } else { Requests::Alike };
    let comparison = compare(&figures, &one, &other, Settings { requests, ..settings });
    Ok((comparison, sides.each_ref().map(trusts), saturated))
}

/// A record, read for a comparison.
struct Record {
    measured: Measured,
    run: StoredRun,
    plan: PointPlan,
    rows: Vec<RequestRow>,
}

impl Record {
    fn read(dir: &Path) -> Result<Self, RunError> {
        let measured = measure_again(dir)?;
        let run = open(dir)?;
        let plan = plan_of(dir, &run.header, &measured.point)?;
        let rows = run.requests()?;
        Ok(Self { measured, run, plan, rows })
    }

    fn is_saturated(&self) -> bool {
        self.measured.point.saturated || ended(&self.measured.header) == Ended::Saturated
    }

    /// Returns the requests that latencies are over.
    fn due(&self) -> BTreeSet<RequestId> {
        due_in_window(&self.plan, &self.rows)
    }

    /// Returns the observations, of `these` requests where any are named.
    fn observations(&self, these: Option<&BTreeSet<RequestId>>) -> Result<Observations, RunError> {
        let mut failure = None;
        let chunks = self.run.chunks()?;
        let chunks = chunks.map_while(|row| row.map_err(|error| failure = Some(error)).ok());
        let (plan, rows) = (&self.plan, &self.rows);
        let observations = match these {
            Some(these) => Observations::of_these(plan, rows, chunks, these),
            None => Observations::of(plan, rows, chunks),
        };
        failure.map_or(Ok(observations), |error| Err(error.into()))
    }

    /// Returns what was asked, and when.
    fn asked(&self) -> BTreeMap<&str, Vec<&str>> {
        let values = self.measured.header.scenario["values"].as_array().into_iter().flatten();
        let asking = values.filter_map(|value| Some((value["key"].as_str()?, value)));
        let asking = asking.filter(|(key, _)| ASKING.contains(key));
        let mut asked = BTreeMap::<_, Vec<_>>::new();
        for (key, value) in asking {
            asked.entry(key).or_default().extend(value["text"].as_str());
        }
        asked
    }
}

/// Returns the requests that the records of both sides have, pair by pair, where both were asked
/// the very same; else nothing.
fn shared([ours, theirs]: &[Vec<Record>; 2]) -> Option<Vec<BTreeSet<RequestId>>> {
    let same = |(one, other): (&Record, &Record)| {
        let asked = one.asked();
        let equal = asked == other.asked() && asked.contains_key("seed");
        // Turns are numbered as they come, which hangs on when the answers before them ended.
        let equal = equal && one.rows.iter().all(|row| row.turn.is_none());
        equal.then(|| one.due().intersection(&other.due()).copied().collect())
    };
    let pairs = ours.iter().zip(theirs);
    (ours.len() == theirs.len()).then(|| pairs.map(same).collect()).flatten()
}
