//! Whether more arrives than is answered.
//!
//! "**Saturated**: concurrency and TTFT both rise through the window (slopes above 0 at 95 %), or
//! completions fall behind arrivals." (docs/metrics.md, section 7)
//!
//! A queue below saturation rises and falls too, and so both would be found in one calm run of
//! twenty. So neither counts unless chance is no explanation: unless the requests in flight grow,
//! through the second half of the load, by more than those of a calm server do. A closed loop asks
//! no more than is answered.

use infermark_terms::{RequestRow, Stamp};

use crate::LoadPlan;
use crate::batches::BATCHES;
use crate::figures;
use crate::population::{Population, Roster};
use crate::slices::Slices;
use crate::span::Span;
use crate::trend::rises;

/// Completions that fall behind arrivals by more than this share do so without a further sign.
const BEHIND_SHARE: f64 = 0.05;
/// Of L requests in flight, the change over a time longer than a request's varies by 2 L if
/// arrivals are Poisson (M/G/∞). Beyond so many standard deviations it is not chance.
const BEHIND_DEVIATIONS: f64 = 3.0;
/// The fewest arrivals of which anything can be said.
const ARRIVALS_MIN: usize = 40;

/// How far completions fell behind arrivals through the second half of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backlog {
    pub(crate) arrived: usize,
    pub(crate) ended: usize,
}

/// Returns the backlog of a saturated point; nothing for any other.
pub(crate) fn backlog(
    load: LoadPlan,
    roster: &Roster<'_>,
    population: &Population<'_>,
) -> Option<Backlog> {
    let LoadPlan::Open { .. } = load else { return None };
    let members = population.members();
    if members.len() < ARRIVALS_MIN {
        return None;
    }
    // Members are in the order of due.
    let due = |index: usize| members[index].row.due;
    let (from, to) = (due(members.len() / 2), due(members.len() - 1));
    let second = Span { start: from, end: to };
    let rows = roster.rows().iter();
    let arrived = rows.clone().filter(|row| second.contains(row.due)).count();
    let ended = rows.filter(|row| second.contains(row.end)).count();
    let behind = arrived.saturating_sub(ended) as f64;
    let first = Span { start: due(0), end: from };
    // One more, since of few there may be none for a while.
    let in_flight = 1.0 + in_flight_over(roster.rows(), first).iter().sum::<f64>() / BATCHES as f64;
    let chance = BEHIND_DEVIATIONS * (2.0 * in_flight).sqrt();
    let far = behind > BEHIND_SHARE * arrived as f64;
    let whole = Span { start: due(0), end: to };
    let rising = || rises(&waits(population)) && rises(&in_flight_over(roster.rows(), whole));
    (behind > chance && (far || rising())).then_some(Backlog { arrived, ended })
}

/// Returns the mean TTFT of each batch of arrivals that has any.
fn waits(population: &Population<'_>) -> Vec<f64> {
    let mut sums = [(0.0, 0.0); BATCHES];
    for (index, member) in population.members().iter().enumerate() {
        if let Some(ttft) = figures::ttft(member.row) {
            let (sum, count) = &mut sums[usize::from(population.batch(index))];
            *sum += ttft.as_millis_f64();
            *count += 1.0;
        }
    }
    let known = sums.into_iter().filter(|(_, count)| *count > 0.0);
    known.map(|(sum, count)| sum / count).collect()
}

/// Returns the mean number of requests in flight in each slice of a span.
fn in_flight_over(rows: &[&RequestRow], span: Span) -> Vec<f64> {
    let Some(mut slices) = Slices::new(span) else { return Vec::new() };
    for row in rows {
        let flight = Span { start: row.due, end: Stamp(row.end.0.max(row.due.0)) };
        slices.add(flight, flight.nanos() as f64);
    }
    let width = span.nanos() as f64 / BATCHES as f64;
    slices.amounts().iter().map(|area| area / width).collect()
}
