//! One pair of points, compared.

use std::collections::BTreeSet;
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
use super::shared::{self, shared};
use super::side::{Evidence, Spot};
use crate::judge::{plan_of, rule};
use crate::{Measured, RunError, measure_again};

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
            let saturated = pair.map(|spot| spot.saturated);
            observed([ours, theirs], saturated, figures, settings)?
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
    /// Judges the candidate by bounds of one's own: whether each is kept, and what was found. Of
    /// repeats, the worst decides. A figure that was only quoted has no interval, and so decides
    /// nothing; one that was not even quoted has no ruling.
    ///
    /// # Errors
    ///
    /// If a record cannot be read.
    ///
    /// # Panics
    ///
    /// Never: a bound reads back as it is written.
    pub fn rule(&self, bounds: &[Bound]) -> Result<Vec<Option<Ruling>>, RunError> {
        let dirs = match &self.candidate {
            Evidence::Quoted(points) => {
                let stated = quotes([points, points], Tools::Different);
                let ruled = bounds.iter().map(|bound| {
                    let figure = Figure::Ours(bound.subject);
                    let found = stated.iter().find(|quote| quote.figure == figure)?;
                    found.values[0].first().map(|&value| undecided(*bound, value))
                });
                return Ok(ruled.collect());
            }
            Evidence::Records(_) if bounds.is_empty() => return Ok(Vec::new()),
            Evidence::Records(dirs) => dirs,
        };
        let slo = |bound: &Bound| bound.to_string().parse();
        let slos: Result<Vec<Slo>, _> = bounds.iter().map(slo).collect();
        let slos = slos.expect("a bound reads back as it is written");
        let mut worst = vec![None; bounds.len()];
        for dir in dirs {
            let measured = measure_again(dir)?;
            let ruled = rule(dir, &measured.point, &slos)?;
            for (worst, ruled) in worst.iter_mut().zip(ruled) {
                // An objective of one bound has one ruling.
                let all = worst.take().into_iter().chain(ruled);
                *worst = all.max_by_key(|ruling: &Ruling| ruling.verdict);
            }
        }
        Ok(worst)
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

/// Compares records; of sides whose studies call them saturated, like those whose records show it.
fn observed(
    sides: [&[PathBuf]; 2],
    called: [bool; 2],
    figures: &[Subject],
    settings: Settings,
) -> Result<Found, RunError> {
    let read = |dirs: &[PathBuf]| -> Result<Vec<Record>, RunError> {
        dirs.iter().map(|dir| Record::read(dir)).collect()
    };
    let sides = [read(sides[0])?, read(sides[1])?];
    let shared = shared(&sides.each_ref().map(|side| side.iter().map(Record::requests).collect()));
    let observations = |side: &[Record]| -> Result<Vec<Observations>, RunError> {
        let these = |at: usize| shared.as_ref().map(|shared| &shared[at]);
        side.iter().enumerate().map(|(at, record)| record.observations(these(at))).collect()
    };
    let [one, other] = [observations(&sides[0])?, observations(&sides[1])?];
    let shown = sides.each_ref().map(|side| side.iter().any(Record::is_saturated));
    let saturated = [called[0] || shown[0], called[1] || shown[1]];
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
        self.measured.point.saturated
    }

    fn requests(&self) -> shared::Requests<'_> {
        let due = due_in_window(&self.plan, &self.rows);
        shared::Requests::of(&self.measured.header, &self.rows, due)
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
}
