//! Gates: whether a candidate may pass.
//!
//! A clause is kept when the whole interval lies inside its limit, and broken when it lies
//! outside; between, nobody can tell, and the gate says what becomes of that.

use std::fs;
use std::path::Path;

use anyhow::{Context, anyhow};
use infermark_measure::compare::{Figure, Finding, Standing, is_comparable};
use infermark_measure::{Decision, Ruling};
use infermark_report::{GateLine, Passed, change, change_interval};
use infermark_run::compare::Contrasted;
use infermark_scenario::gate::{Clause, Gate, Rule, Undecided, parse_gate};
use infermark_terms::slo::{self, Subject};

use crate::exit::Failure;

/// Reads a gate.
pub(super) fn read(path: &Path) -> Result<Gate, Failure> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the gate {}", path.display()))
        .map_err(Failure::usage)?;
    let gate = parse_gate(path, &text).map_err(|wrong| Failure::usage(anyhow!("{wrong}")))?;
    for clause in &gate.clauses {
        if compared(clause).is_some_and(|figure| !is_comparable(figure)) {
            let expected = "a mean or percentile of a latency, `output_tokens_per_s`, \
                            `requests_per_s` or `failure_rate`";
            let wrong = clause.problem("not a figure that can be compared", expected);
            return Err(Failure::usage(anyhow!("{wrong}")));
        }
    }
    Ok(gate)
}

/// Returns the figures that a gate compares.
pub(super) fn figures(gate: &Gate) -> impl Iterator<Item = Subject> {
    gate.clauses.iter().filter_map(compared)
}

fn compared(clause: &Clause) -> Option<Subject> {
    match clause.rule {
        Rule::NotWorse(figure) | Rule::Change { figure, .. } => Some(figure),
        Rule::Bound(_) => None,
    }
}

/// Judges a candidate at one load.
pub(super) fn judge(gate: &Gate, found: &Contrasted) -> Result<Vec<GateLine>, Failure> {
    let undecided = match gate.undecided {
        Undecided::Pass => Passed::Undecided,
        Undecided::Fail => Passed::No,
    };
    let bounds = gate.clauses.iter().filter_map(|clause| match clause.rule {
        Rule::Bound(bound) => Some(bound),
        Rule::NotWorse(_) | Rule::Change { .. } => None,
    });
    let mut ruled = found.rule(&bounds.collect::<Vec<_>>())?.into_iter();
    let mut lines = Vec::new();
    for clause in &gate.clauses {
        let finding = |figure| {
            let mut findings = found.comparison.findings.iter();
            findings.find(|finding| finding.figure == Figure::Ours(figure))
        };
        let (decision, detail) = match clause.rule {
            Rule::NotWorse(figure) => {
                finding(figure).map_or_else(|| untested(figure, found), not_worse)
            }
            Rule::Change { figure, limit } => finding(figure)
                .map_or_else(|| untested(figure, found), |finding| within(finding, limit)),
            Rule::Bound(_) => bounded(ruled.next().expect("each bound is ruled, in order")),
        };
        let passed = match decision {
            Decision::Met => Passed::Yes,
            Decision::Undecided => undecided,
            Decision::Missed => Passed::No,
        };
        lines.push(GateLine { clause: clause.text.clone(), passed, detail });
    }
    Ok(lines)
}

/// Judges a clause on a figure that was not compared. Where a load that the baseline carries
/// saturates the candidate, its latencies have no end: that is worse than any limit.
fn untested(figure: Subject, found: &Contrasted) -> (Decision, String) {
    let is_latency = matches!(figure, Subject::Latency(..));
    match found.saturated {
        [false, true] if is_latency => {
            (Decision::Missed, "the candidate is saturated, and the baseline is not".to_owned())
        }
        [true, _] if is_latency => (Decision::Undecided, "the baseline is saturated".to_owned()),
        [_, _] => (Decision::Undecided, "too few observations to compare".to_owned()),
    }
}

fn not_worse(found: &Finding) -> (Decision, String) {
    let decision = match found.verdict {
        Standing::Worse => Decision::Missed,
        Standing::Better | Standing::Same => Decision::Met,
        Standing::CannotTell => Decision::Undecided,
    };
    (decision, format!("{}: {}", found.verdict.words(), told(found)))
}

fn within(found: &Finding, limit: f64) -> (Decision, String) {
    let [low, high] = found.change_ci95;
    let (near, far) = match found.figure.side() {
        slo::Side::AtMost => (low.map(|low| low - limit), high.map(|high| high - limit)),
        slo::Side::AtLeast => (high.map(|high| limit - high), low.map(|low| limit - low)),
    };
    let decision = match (near, far) {
        (_, Some(far)) if far <= 0.0 => Decision::Met,
        (Some(near), _) if near > 0.0 => Decision::Missed,
        _ => Decision::Undecided,
    };
    (decision, told(found))
}

fn told(found: &Finding) -> String {
    let by = found.change.map_or("no change known".to_owned(), change);
    format!("{by} ({})", change_interval(found.change_ci95))
}

fn bounded(ruling: Option<Ruling>) -> (Decision, String) {
    let Some(ruling) = ruling else {
        return (Decision::Undecided, "not observed".to_owned());
    };
    let figure = |value: Option<f64>| value.map_or("?".to_owned(), |value| format!("{value:.4}"));
    let [low, high] = ruling.ci95;
    let detail = format!("{} ({} … {})", figure(ruling.value), figure(low), figure(high));
    (ruling.verdict, detail)
}
