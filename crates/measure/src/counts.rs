//! How many requests ended how.

use std::collections::BTreeMap;

use infermark_terms::{Outcome, OutcomeKind, ShedReason};
use serde::{Deserialize, Serialize};

use crate::figures::Failure;
use crate::population::Population;

/// Arrivals due in the window, by outcome: the eight kinds add up to `due`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Arrivals due in the window.
    pub due: u64,
    /// Of these, successes: finished, with output, of the ordered length.
    pub success: u64,
    /// All others.
    pub failed: u64,
    /// Failures ÷ arrivals; absent where nothing was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_rate: Option<f64>,
    /// The response ended as the protocol says.
    pub finished: u64,
    /// The server said no.
    pub refused: u64,
    /// The connection failed.
    pub severed: u64,
    /// The server broke the protocol.
    pub garbled: u64,
    /// An error inside a response that had begun as a success.
    pub errored: u64,
    /// Our time limit passed.
    pub expired: u64,
    /// The generator did not send it.
    pub shed: u64,
    /// We stopped while it was under way.
    pub abandoned: u64,
    /// Of all of them, those that had to be sent again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sent_again: u64,
    /// Why requests failed: the most frequent reasons, at most [`Counts::REASONS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
}

/// Why some requests failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Their outcome.
    pub outcome: OutcomeKind,
    /// What happened, for people.
    pub reason: String,
    /// How many.
    pub count: u64,
}

impl Counts {
    /// The greatest number of reasons listed.
    pub const REASONS_MAX: usize = 16;

    /// "Exactly one for each arrival, also for those that could not be sent … Failure rate =
    /// failures ÷ arrivals due in the window." (docs/metrics.md, section 6)
    pub(crate) fn of(population: &Population<'_>) -> Self {
        let mut counts = Self { due: population.members().len() as u64, ..Self::default() };
        let mut reasons = BTreeMap::new();
        for member in population.members() {
            let kind = member.row.outcome.kind();
            *counts.of_kind(kind) += 1;
            counts.sent_again += u64::from(member.row.attempts > 1);
            match member.failure {
                None => counts.success += 1,
                Some(failure) => *reasons.entry((kind, reason(failure))).or_insert(0) += 1,
            }
        }
        counts.failed = counts.due - counts.success;
        counts.failure_rate = (counts.due > 0).then(|| counts.failed as f64 / counts.due as f64);
        counts.reasons = reasons
            .into_iter()
            .map(|((outcome, reason), count)| Reason { outcome, reason, count })
            .collect();
        // Stable, so that reasons of equal count keep the order of outcome and text.
        counts.reasons.sort_by_key(|reason| std::cmp::Reverse(reason.count));
        counts.reasons.truncate(Self::REASONS_MAX);
        counts
    }

    fn of_kind(&mut self, kind: OutcomeKind) -> &mut u64 {
        match kind {
            OutcomeKind::Finished => &mut self.finished,
            OutcomeKind::Refused => &mut self.refused,
            OutcomeKind::Severed => &mut self.severed,
            OutcomeKind::Garbled => &mut self.garbled,
            OutcomeKind::Errored => &mut self.errored,
            OutcomeKind::Expired => &mut self.expired,
            OutcomeKind::Shed => &mut self.shed,
            OutcomeKind::Abandoned => &mut self.abandoned,
        }
    }
}

/// Says why a request failed, in words that are the same for all requests of that reason.
fn reason(failure: Failure<'_>) -> String {
    let outcome = match failure {
        Failure::Empty => return "finished without output".to_owned(),
        Failure::WrongLength => return "another length than was ordered".to_owned(),
        Failure::Unfinished(outcome) => outcome,
    };
    match outcome {
        Outcome::Finished { .. } => "finished".to_owned(),
        Outcome::Refused { status, message } if message.as_str().is_empty() => {
            format!("HTTP {status}")
        }
        Outcome::Refused { status, message } => format!("HTTP {status}: {message}"),
        Outcome::Severed { phase, fault } => format!("{fault}, while {phase}"),
        Outcome::Garbled { fault } => fault.to_string(),
        Outcome::Errored { message } if message.as_str().is_empty() => {
            "an error without a message".to_owned()
        }
        Outcome::Errored { message } => message.to_string(),
        Outcome::Expired { phase, limit } => format!("no end within {limit}, while {phase}"),
        Outcome::Shed { reason: ShedReason::ConcurrencyCap } => {
            "held back by the concurrency cap until the run closed".to_owned()
        }
        Outcome::Shed { reason: ShedReason::Late } => {
            "the generator could not keep up until the run closed".to_owned()
        }
        Outcome::Abandoned => "the run was stopped".to_owned(),
    }
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
