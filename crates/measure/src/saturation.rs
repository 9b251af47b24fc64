//! Whether more arrives than is answered.
//!
//! "**Saturated**: completions fall behind arrivals, and chance is no explanation"
//! (docs/metrics.md, section 7)
//!
//! A queue below saturation rises and falls too, the nearer to it the further. So two things that
//! chance does are ruled out: that requests in flight vary as those of a calm server do, and that
//! a server which just keeps up had more to do for a while. The first is looked for in the second
//! half of the load, when a loop that fills at its beginning is full; the second, which takes
//! longer to tell, in its last three quarters. A trace's bursts are no chance but its own: one at
//! its end leaves a queue behind at any server. So of a trace the backlog must also have grown
//! through both of its last quarters. Where it is sessions that arrive, it is they that are
//! counted: their later turns wait for answers, and so never fall behind by as much. A closed loop
//! asks no more than is answered.

use infermark_terms::{RequestRow, Stamp};

use crate::LoadPlan;
use crate::population::{Population, Roster};
use crate::span::Span;
use crate::stays::stays;

/// Of L requests in flight, the change over a time longer than a request's varies by 2 L if
/// arrivals are Poisson (M/G/∞). Beyond so many standard deviations it is not chance.
const CALM_DEVIATIONS: f64 = 3.0;
/// A arrivals of a Poisson process vary by A, and what a busy server answers meanwhile by about
/// half as much, since answers differ in length. Beyond so many standard deviations, one in 300,
/// a server that just keeps up is no explanation.
const BUSY_DEVIATIONS: f64 = 2.7;
const BUSY_VARIANCE: f64 = 1.5;
/// Of what a trace's load left behind through its second half of time, each quarter brought at
/// least this share.
const QUARTER_SHARE: f64 = 0.1;
/// The fewest arrivals of which anything can be said.
const ARRIVALS_MIN: usize = 40;

/// How far completions fell behind arrivals through the second half of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// What is counted: requests, or sessions.
    pub(crate) what: &'static str,
    pub(crate) arrived: usize,
    pub(crate) ended: usize,
}

/// Returns the backlog of a saturated point; nothing for any other.
pub(crate) fn backlog(
    load: LoadPlan,
    roster: &Roster<'_>,
    population: &Population<'_>,
) -> Option<Backlog> {
    if let LoadPlan::Closed { .. } = load {
        return None;
    }
    let (Some(first), Some(last)) = (population.members().first(), population.members().last())
    else {
        return None;
    };
    // Members are in the order of due.
    let (first, last) = (first.row.due, last.row.due);
    let there = |row: &RequestRow| Span { start: row.due, end: row.end.max(row.due) };
    let stays = stays(load, roster.rows().iter().map(|row| (row.turn, there(row))));
    let starts = stays.iter().map(|stay| stay.start);
    let mut dues: Vec<Stamp> = starts.filter(|due| (first..=last).contains(due)).collect();
    dues.sort_unstable();
    if dues.len() < ARRIVALS_MIN {
        return None;
    }
    let has_turns = roster.rows().iter().any(|row| row.turn.is_some());
    let what = if has_turns { "sessions" } else { "requests" };
    let due = |index: usize| dues[index];
    let through = |from: Stamp| {
        let span = Span { start: from, end: last };
        let count =
            |at: fn(&Span) -> Stamp| stays.iter().filter(|stay| span.contains(at(stay))).count();
        Backlog { what, arrived: count(|stay| stay.start), ended: count(|stay| stay.end) }
    };
    let middle = due(dues.len() / 2);
    let (half, most) = (through(middle), through(due(dues.len() / 4)));
    // One more, since of few there may be none for a while.
    let in_flight = 1.0 + in_flight(&stays, Span { start: due(0), end: middle });
    let calm = CALM_DEVIATIONS * (2.0 * in_flight).sqrt();
    let busy = BUSY_DEVIATIONS * (BUSY_VARIANCE * most.arrived as f64).sqrt();
    let is_lasting = match load {
        LoadPlan::Trace { .. } => grows_through(due(0), last, through),
        LoadPlan::Open { .. } | LoadPlan::Closed { .. } => true,
    };
    (half.behind() > calm && most.behind() > busy && is_lasting).then_some(half)
}

/// Says whether each of the last two quarters of the time brought its part of the backlog.
fn grows_through(first: Stamp, last: Stamp, through: impl Fn(Stamp) -> Backlog) -> bool {
    let length = last.since(first).0;
    let at = |quarter: u64| Stamp(first.0 + length / 4 * quarter);
    let (both, later) = (through(at(2)).behind(), through(at(3)).behind());
    later.min(both - later) > QUARTER_SHARE * both
}

impl Backlog {
    /// Returns how many more arrived than ended; below 0 where fewer did.
    fn behind(self) -> f64 {
        self.arrived as f64 - self.ended as f64
    }
}

/// Returns how many were there in the mean over a span.
fn in_flight(stays: &[Span], span: Span) -> f64 {
    let area: u64 = stays.iter().map(|stay| stay.overlap(span).nanos()).sum();
    if span.nanos() == 0 { 0.0 } else { area as f64 / span.nanos() as f64 }
}
