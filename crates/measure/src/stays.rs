//! How long what arrives stays: a request until it ends, a session until its last turn does.
//!
//! In an open loop of sessions it is sessions that arrive by themselves; their later turns only
//! follow. In a closed loop nothing does, and each request stands for itself.

use std::collections::BTreeMap;

use infermark_terms::Turn;

use crate::LoadPlan;
use crate::span::Span;

/// Returns from when to when each arrival was there, in no particular order; `requests` are turns
/// and how long each was there.
pub(crate) fn stays(
    load: LoadPlan,
    requests: impl Iterator<Item = (Option<Turn>, Span)>,
) -> Vec<Span> {
    let is_open = !matches!(load, LoadPlan::Closed { .. });
    let (mut sessions, mut alone) = (BTreeMap::<u64, Span>::new(), Vec::new());
    for (turn, stay) in requests {
        match turn.filter(|_| is_open) {
            Some(turn) => {
                let whole = sessions.entry(turn.session).or_insert(stay);
                let (start, end) = (whole.start.min(stay.start), whole.end.max(stay.end));
                *whole = Span { start, end };
            }
            None => alone.push(stay),
        }
    }
    alone.extend(sessions.into_values());
    alone
}
