//! A suite, measured and judged: every workload under every load, then line by line what holds.
//!
//! ```text
//!  Suite ─▶ take (orders, points) ─▶ Group ─▶ verdict (bounds, early stopping) ─▶ Line
//!  (scenario)    │ Rig                  └───▶ contest (several targets)          └▶ Validation
//! ```
//!
//! Measuring comes first and judging after it, on the records. So a line that is changed costs no
//! new measurement, and two use cases may bound the same figure differently.
//!
//! Deliberately not here: what the shipped suites are, and words for people.

mod contest;
mod script;
mod take;
mod verdict;

use std::path::PathBuf;

use infermark_measure::Ruling;
use infermark_scenario::suite::Suite;
use infermark_terms::{Slo, Trust};
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::study::{Rig, Taken};

pub use self::contest::{Cell, Clear, Contest, Row};
use self::script::Script;
pub use self::script::scenarios;
use self::take::Bench;
use self::verdict::lines;

/// What a validation is told: with it, it can be told again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Where the suite's text is from.
    pub path: PathBuf,
    /// The suite's text.
    pub text: String,
    /// How long it may take.
    pub length: Length,
    /// Targets by name, where there are several.
    #[serde(default)]
    pub targets: Vec<NamedTarget>,
    /// With whose published results it is compared.
    #[serde(default)]
    pub reference: Option<String>,
}

/// How long a validation may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Length {
    /// As long as the suite says.
    Whole,
    /// About a minute: each load is cut short, and nothing is accepted by it.
    Quick,
}

/// A target with a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedTarget {
    /// What a person calls it.
    pub name: String,
    /// As the setting `target` has it.
    pub target: String,
}

/// What came of a suite. Its keys in JSON are a contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// The suite's name.
    pub suite: String,
    /// Its title.
    pub title: String,
    /// Where it is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What its reader must know.
    pub notes: Vec<String>,
    /// How long it was allowed to take.
    pub length: Length,
    /// Settings of the suite that the user set otherwise.
    pub overridden: Vec<String>,
    /// The names of the published results that the suite knows.
    pub references: Vec<String>,
    /// The worst of all lines.
    pub verdict: Passed,
    /// The least trust of the points that the lines are about; absent where a workload came to
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
    /// What was asked, and whether it holds.
    pub lines: Vec<Line>,
    /// The points, by target and workload.
    pub groups: Vec<Group>,
    /// The targets side by side, one table for each workload; empty for a single target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contests: Vec<Contest>,
}

impl Validation {
    /// Says whether a point at this place in the study counts: one that the lines are about, so
    /// that a doubt about a trial before a peak is none about the suite. All count where a workload
    /// came to no point: why may stand at any.
    pub fn rests_on(&self, place: usize) -> bool {
        let is_whole = self.groups.iter().all(|group| !group.points.is_empty());
        !is_whole || self.groups.iter().any(|group| group.has(place))
    }
}

impl Group {
    /// Says whether the point at this place in the study is one of these.
    pub(crate) fn has(&self, place: usize) -> bool {
        self.points.iter().any(|(at, _)| *at == place)
    }
}

/// Whether what was asked holds, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Passed {
    /// It does.
    Pass,
    /// The measurement cannot tell.
    Undecided,
    /// It does not.
    Fail,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineKind {
    /// Something that the suite asks.
    Check,
    /// A published result, less the suite's tolerance.
    Reference,
}

/// One line of the verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// What it is.
    pub kind: LineKind,
    /// Of which target, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Of which workload.
    pub workload: String,
    /// What a person calls it.
    pub name: String,
    /// What must hold.
    pub rule: String,
    /// Of which points: `any`, `every`, or a load.
    pub at: String,
    /// Whether it holds.
    pub verdict: Passed,
    /// The point that decided: of `any` the greatest load at which it holds, else the one that is
    /// nearest to it; of `every` the worst. Absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<String>,
    /// What was found there.
    pub rulings: Vec<Ruling>,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The points of one workload on one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The target, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The workload.
    pub workload: String,
    /// The points' places in the study, and what their loads are called.
    pub points: Vec<(usize, String)>,
}

/// Judges a point by each of several objectives.
pub type Judge<'a> = dyn Fn(&Taken, &[Slo]) -> Result<Vec<Vec<Ruling>>, RunError> + 'a;

/// A point that was taken.
#[derive(Debug)]
struct Placed {
    /// Its place in the study.
    index: usize,
    /// What its load is called.
    label: String,
    taken: Taken,
}

/// The points of one workload on one target, with what they are.
#[derive(Debug)]
struct Batch<'a> {
    target: Option<&'a NamedTarget>,
    workload: &'a infermark_scenario::suite::Workload,
    points: Vec<Placed>,
}

/// Measures a suite and judges it.
///
/// # Errors
///
/// What the rig and the judge say; the points until then are the rig's to keep.
pub fn validate(
    rig: &mut dyn Rig,
    judge: &Judge<'_>,
    suite: &Suite,
    told: &Told,
) -> Result<Validation, RunError> {
    let script = Script::new(rig.base(), suite, told);
    let batches = Bench::new(rig, judge, &script).batches()?;
    let overridden = script.overridden();
    let chosen = suite.references.iter().find(|known| Some(&known.name) == told.reference.as_ref());
    let mut all = Vec::new();
    for batch in &batches {
        all.extend(lines(batch, chosen, judge, told.length)?);
    }
    Ok(Validation {
        suite: suite.name.clone(),
        title: suite.title.clone(),
        source: suite.source.clone(),
        notes: suite.notes.clone(),
        length: told.length,
        overridden,
        references: suite.references.iter().map(|known| known.name.clone()).collect(),
        // Nothing that was asked is nothing that could be missed.
        verdict: all.iter().map(|line| line.verdict).max().unwrap_or(Passed::Pass),
        lines: all,
        trust: trust(&batches),
        groups: batches.iter().map(group).collect(),
        contests: contest::contests(&batches),
    })
}

fn trust(batches: &[Batch<'_>]) -> Option<Trust> {
    let some = batches.iter().all(|batch| !batch.points.is_empty());
    let points = batches.iter().flat_map(|batch| &batch.points);
    points.map(|placed| placed.taken.point.trust.verdict).max().filter(|_| some)
}

fn group(batch: &Batch<'_>) -> Group {
    Group {
        target: batch.target.map(|target| target.name.clone()),
        workload: batch.workload.name.clone(),
        points: batch.points.iter().map(|placed| (placed.index, placed.label.clone())).collect(),
    }
}

#[cfg(test)]
mod tests;
