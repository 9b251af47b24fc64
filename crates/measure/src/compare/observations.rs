//! The raw observations of one operating point, dealt to batches.
//!
//! Requests, in the order in which they were due, fall into equal batches; rates are taken over
//! as many equal spans of the window.

use std::collections::{BTreeMap, BTreeSet};

use infermark_terms::slo::LatencyFigure;
use infermark_terms::{ChunkRow, Nanos, RequestId, RequestRow};

use super::contrast::Totals;
use crate::batches::{BATCHES, REQUESTS_MIN};
use crate::percentile::Percentile;
use crate::population::{Member, Population, Roster};
use crate::slices::Slices;
use crate::span::Span;
use crate::streams::Streams;
use crate::{PointPlan, figures, rates};

/// Gaps between chunks keep this many binary digits: 1/8192 of a value, so that hundreds of
/// millions of them take no more room than they have different values.
const GAP_BITS: u32 = 12;

/// The raw observations of one operating point.
#[derive(Clone, Debug)]
pub struct Observations {
    pub(super) series: BTreeMap<LatencyFigure, Series>,
    /// Failures and arrivals, by batch.
    pub(super) failures: Vec<Totals>,
    /// Requests finished and seconds, by span of the window.
    pub(super) requests: Vec<Totals>,
    /// Output tokens and seconds, alike.
    pub(super) tokens: Vec<Totals>,
}

/// Returns the requests that latencies are over: those due in the window.
pub fn due_in_window(plan: &PointPlan, requests: &[RequestRow]) -> BTreeSet<RequestId> {
    let window = Span::measured(plan.window, requests);
    requests.iter().filter(|row| window.contains(row.due)).map(|row| row.id).collect()
}

impl Observations {
    /// Takes the observations of one point, whose rows are as [`measure`](crate::measure) takes
    /// them.
    pub fn of(
        plan: &PointPlan,
        requests: &[RequestRow],
        chunks: impl IntoIterator<Item = ChunkRow>,
    ) -> Self {
        Self::of_these(plan, requests, chunks, &due_in_window(plan, requests))
    }

    /// As [`of`](Self::of), but latencies and failures are those of `these` requests alone. What
    /// happened in a second stays as it was, whichever request it was of.
    pub fn of_these(
        plan: &PointPlan,
        requests: &[RequestRow],
        chunks: impl IntoIterator<Item = ChunkRow>,
        these: &BTreeSet<RequestId>,
    ) -> Self {
        let window = Span::measured(plan.window, requests);
        let roster = Roster::new(requests);
        let population = Population::new(&roster, window, plan.output_policy);
        let population = population.part(|row| these.contains(&row.id));
        let streams = Streams::read(&roster, &population, window, chunks);
        let over = |figure: fn(&RequestRow) -> Option<Nanos>| {
            Series::of_requests(&population, |member| figure(member.row))
        };
        let taken = [
            (LatencyFigure::Ttft, over(figures::ttft)),
            (LatencyFigure::ServiceTtft, over(figures::service_ttft)),
            (LatencyFigure::Ttfa, over(figures::ttfa)),
            (LatencyFigure::Tpot, over(figures::tpot)),
            (LatencyFigure::Itl, Series::of_gaps(&streams, Weighing::Tokens)),
            (LatencyFigure::Icl, Series::of_gaps(&streams, Weighing::Once)),
            (LatencyFigure::E2e, over(figures::e2e)),
            (LatencyFigure::ServiceE2e, over(figures::service_e2e)),
            (
                LatencyFigure::Stall,
                Series::of_requests(&population, |member| streams.stall(member.place)),
            ),
        ];
        let series = taken.into_iter().filter_map(|(figure, one)| Some((figure, one?))).collect();
        let (requests, mut tokens) = over_time(&roster, window).unwrap_or_default();
        if let Some(rates) = rates::in_window(&roster, &streams, window) {
            fit(&mut tokens, rates.output_tokens_per_s);
        }
        Self { series, failures: failures(&population), requests, tokens }
    }
}

/// Counts failures by batch.
fn failures(population: &Population<'_>) -> Vec<Totals> {
    let mut batches = vec![Totals::default(); BATCHES];
    for (index, member) in population.members().iter().enumerate() {
        let failed = f64::from(u8::from(member.failure.is_some()));
        batches[usize::from(population.batch(index))].add(failed, 1.0);
    }
    batches
}

/// Counts finished requests and output tokens by span of the window; nothing if it is empty. The
/// tokens of an answer are spread evenly from its first to its last: over spans this long, that
/// is when they came.
fn over_time(roster: &Roster<'_>, window: Span) -> Option<(Vec<Totals>, Vec<Totals>)> {
    let (mut requests, mut tokens) = (Slices::new(window)?, Slices::new(window)?);
    for row in roster.rows() {
        let ended = Span { start: row.end, end: row.end };
        let first = row.first_token.unwrap_or(row.end);
        let came = Span { start: first, end: row.last_token.unwrap_or(first) };
        tokens.add(came, f64::from(figures::output_tokens(row).0));
        requests.add(ended, f64::from(u8::from(figures::is_finished(row))));
    }
    let weight = window.seconds()? / BATCHES as f64;
    let totals =
        |slices: Slices| slices.amounts().iter().map(|&sum| Totals { sum, weight }).collect();
    Some((totals(requests), totals(tokens)))
}

/// Scales the sums so that together they are the rate that the window has: an answer that was cut
/// by its edge did not come evenly to the token.
fn fit(spans: &mut [Totals], rate: f64) {
    let [sum, weight] = [|s: &Totals| s.sum, |s: &Totals| s.weight]
        .map(|part: fn(&Totals) -> f64| spans.iter().map(part).sum::<f64>());
    if sum > 0.0 {
        for span in spans {
            span.sum *= rate * weight / sum;
        }
    }
}

/// How often a gap counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weighing {
    Once,
    /// As often as it brought tokens, each of which took its part of the gap.
    Tokens,
}

/// The observations of one latency, in nanoseconds, by batch.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) batches: Vec<Batch>,
    /// Observations.
    pub(super) count: u64,
}

impl Series {
    /// Returns a figure of which each request gives one observation; nothing if too few do.
    fn of_requests(
        population: &Population<'_>,
        figure: impl Fn(&Member<'_>) -> Option<Nanos>,
    ) -> Option<Self> {
        let mut batches = vec![BTreeMap::new(); BATCHES];
        let mut count = 0;
        for (index, member) in population.members().iter().enumerate() {
            let value = figure(member).filter(|_| member.failure.is_none());
            if let Some(value) = value {
                *batches[usize::from(population.batch(index))].entry(value.0).or_insert(0) += 1;
                count += 1;
            }
        }
        (count >= REQUESTS_MIN).then(|| Self::new(batches, count))
    }

    /// Returns the gaps between chunks, or tokens; nothing if too few requests have any.
    fn of_gaps(streams: &Streams, weighing: Weighing) -> Option<Self> {
        let mut batches = vec![BTreeMap::new(); BATCHES];
        let mut count = 0;
        for gap in streams.gaps.each() {
            let (value, weight) = match weighing {
                Weighing::Once => (gap.nanos, 1),
                Weighing::Tokens if gap.tokens == 0 => continue,
                Weighing::Tokens => ((gap.nanos + gap.tokens / 2) / gap.tokens, gap.tokens),
            };
            *batches[usize::from(gap.batch)].entry(rounded(value)).or_insert(0) +=
                weight * gap.count;
            count += gap.count;
        }
        let enough = count > 0 && streams.gaps.requests() >= REQUESTS_MIN;
        enough.then(|| Self::new(batches, count))
    }

    fn new(batches: Vec<BTreeMap<u64, u64>>, count: u64) -> Self {
        Self { batches: batches.into_iter().map(Batch::new).collect(), count }
    }
}

/// Rounds to [`GAP_BITS`] binary digits.
fn rounded(nanos: u64) -> u64 {
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(GAP_BITS);
    ((nanos >> shift) << shift) + (1 << shift >> 1)
}

/// The observations of one batch.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// Different values, ascending.
    values: Vec<u64>,
    /// The weight up to each.
    up_to: Vec<u64>,
    /// The mean's.
    pub(super) totals: Totals,
}

impl Batch {
    fn new(weights: BTreeMap<u64, u64>) -> Self {
        let mut batch = Self {
            values: Vec::with_capacity(weights.len()),
            up_to: Vec::with_capacity(weights.len()),
            totals: Totals::default(),
        };
        let mut below = 0;
        for (value, weight) in weights {
            below += weight;
            batch.values.push(value);
            batch.up_to.push(below);
            batch.totals.add(value as f64 * weight as f64, weight as f64);
        }
        batch
    }

    /// Returns the weight of the values up to `limit`, in nanoseconds.
    pub(super) fn weight_up_to(&self, limit: f64) -> u64 {
        let within = self.values.partition_point(|&value| value as f64 <= limit);
        within.checked_sub(1).map_or(0, |last| self.up_to[last])
    }

    /// Returns the weight of all values.
    pub(super) fn weight(&self) -> u64 {
        self.up_to.last().copied().unwrap_or(0)
    }
}

/// Returns the percentile of several batches together, by nearest rank, in nanoseconds.
pub(super) fn percentile_of(batches: &[&Batch], percentile: Percentile) -> f64 {
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for batch in batches {
        let mut below = 0;
        for (&value, &up_to) in batch.values.iter().zip(&batch.up_to) {
            merged.push((value, up_to - below));
            below = up_to;
        }
    }
    merged.sort_unstable();
    let rank = percentile.rank(merged.iter().map(|&(_, weight)| weight).sum());
    let mut below = 0;
    let reached = merged.iter().find(|&&(_, weight)| {
        below += weight;
        below >= rank
    });
    reached.expect("a rank is at most the sum of the weights").0 as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rounding_moves_a_gap_by_less_than_a_four_thousandth(nanos in 0_u64..1 << 50) {
            let moved = rounded(nanos).abs_diff(nanos);
            prop_assert!(moved * 4096 <= nanos, "{nanos}: {moved}");
        }

        #[test]
        fn weights_up_to_a_limit_are_those_of_the_values_within(
            weights in prop::collection::btree_map(0_u64..100, 1_u64..9, 0..40),
            limit in 0_u64..110,
        ) {
            let within = weights.range(..=limit).map(|(_, weight)| weight).sum::<u64>();
            prop_assert_eq!(Batch::new(weights).weight_up_to(limit as f64), within);
        }
    }
}
