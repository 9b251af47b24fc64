//! The search for the steady state (docs/metrics.md, section 4): "the first stretch in which the
//! level and spread of TPOT and of concurrency show no trend (Mann–Kendall at 5 %, with the
//! Hamed–Rao correction) and batch means agree".
//!
//! The load is cut into [`SLICES`] slices of equal length, and a stretch reaches from the beginning
//! of one of them to the end of the load. It is judged by the means of [`PARTS`] equal parts, which
//! resemble their neighbours less than shorter ones do. Batch means agree where the first part's,
//! and the first quarter's, are no further from those of the second half than chance has them: a
//! trend test alone would accept a stretch with a transient at its beginning, and beside the whole
//! of the others a transient of several parts would hide among them.

use infermark_terms::{RequestRow, Stamp};

use crate::figures::{self, is_finished};
use crate::span::Span;
use crate::trend::mann_kendall;

/// So many places are tried for the beginning; the stretch begins within one of them.
const SLICES: usize = 100;
/// A stretch that begins later is too short to say that anything is steady.
const LATEST: usize = 60;
/// A trend as strong as this is found by chance in one of three steady series in one run of twenty:
/// 5 %, shared among them.
const TREND_P: f64 = 0.05 / 3.0;
/// Parts of a stretch whose means are compared.
const PARTS: usize = 20;
/// How many standard deviations of the second half's means the first part's may lie from theirs.
/// (Student's t of 10 parts at 99 %, since there are six such tests, for one more observation:
/// 3.250 · √(1 + 1/10).)
const PART_DEVIATIONS: f64 = 3.408;
/// The same of the mean of the first quarter, which is five parts: 3.250 · √(1/5 + 1/10).
const QUARTER_DEVIATIONS: f64 = 1.780;
/// The fewest requests: some for each slice.
const REQUESTS_MIN: usize = 3 * SLICES;

/// Returns where the steady stretch of a span begins; nothing where there is none, or where there
/// are too few requests to tell.
pub(crate) fn beginning(rows: &[&RequestRow], span: Span) -> Option<Stamp> {
    let ended = rows.iter().filter(|row| is_finished(row) && span.contains(row.end)).count();
    if ended < REQUESTS_MIN {
        return None;
    }
    let series = [concurrency(rows, span), level(rows, span), spread(rows, span)];
    let place = (0..=LATEST).find(|&from| series.iter().all(|series| is_steady(series, from)))?;
    Some(Stamp(span.start.0 + (span.nanos() as f64 * place as f64 / SLICES as f64) as u64))
}

/// Says whether what a series holds from a slice on is steady. Slices without a value do not
/// count; a series without values says nothing against it.
fn is_steady(series: &[Option<f64>], from: usize) -> bool {
    let known: Vec<f64> = series[from..].iter().flatten().copied().collect();
    let parts = parts(&known);
    agree(&parts) && mann_kendall(&parts) >= TREND_P
}

/// Returns the means of the parts of a series; nothing of one too short to have them.
fn parts(series: &[f64]) -> Vec<f64> {
    let edge = |part: usize| part * series.len() / PARTS;
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let parts = if series.len() < PARTS { 0 } else { PARTS };
    (0..parts).map(|part| mean(&series[edge(part)..edge(part + 1)])).collect()
}

/// Says whether the first of several means, and the first quarter of them, agree with the second
/// half.
fn agree(means: &[f64]) -> bool {
    let (first, half) = means.split_at(means.len() / 2);
    if first.is_empty() {
        return true;
    }
    let average = |means: &[f64]| means.iter().sum::<f64>() / means.len() as f64;
    let (mean, freedom) = (average(half), half.len() as f64 - 1.0);
    let deviation = (half.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / freedom).sqrt();
    // What is the same throughout differs by rounding.
    let rounding = 1e-9 * mean.abs();
    let quarter = average(&first[..first.len().div_ceil(2)]);
    (first[0] - mean).abs() <= PART_DEVIATIONS * deviation + rounding
        && (quarter - mean).abs() <= QUARTER_DEVIATIONS * deviation + rounding
}

/// Returns the mean number of requests in flight in each slice.
fn concurrency(rows: &[&RequestRow], span: Span) -> Vec<Option<f64>> {
    let width = span.nanos() as f64 / SLICES as f64;
    let mut areas = vec![0.0; SLICES];
    for row in rows {
        let Some(sent) = row.sent else { continue };
        let flight = Span { start: sent, end: row.end.max(sent) }.overlap(span);
        let (from, to) =
            (flight.start.since(span.start).0 as f64, flight.end.since(span.start).0 as f64);
        let last = ((to / width).ceil() as usize).min(SLICES);
        for (slice, area) in areas.iter_mut().enumerate().take(last).skip((from / width) as usize) {
            let (low, high) = (slice as f64 * width, (slice + 1) as f64 * width);
            *area += (high.min(to) - low.max(from)).max(0.0);
        }
    }
    areas.into_iter().map(|area| Some(area / width)).collect()
}

/// Returns the mean TPOT of the requests that ended in each slice.
fn level(rows: &[&RequestRow], span: Span) -> Vec<Option<f64>> {
    let mean = |tpots: &Vec<f64>| tpots.iter().sum::<f64>() / tpots.len() as f64;
    let slices = tpots(rows, span);
    slices.iter().map(|tpots| (!tpots.is_empty()).then(|| mean(tpots))).collect()
}

/// Returns the mean distance of their TPOT from its mean.
fn spread(rows: &[&RequestRow], span: Span) -> Vec<Option<f64>> {
    let distance = |tpots: &Vec<f64>| {
        let count = tpots.len() as f64;
        let mean = tpots.iter().sum::<f64>() / count;
        tpots.iter().map(|tpot| (tpot - mean).abs()).sum::<f64>() / count
    };
    let slices = tpots(rows, span);
    slices.iter().map(|tpots| (tpots.len() > 1).then(|| distance(tpots))).collect()
}

fn tpots(rows: &[&RequestRow], span: Span) -> Vec<Vec<f64>> {
    let mut slices = vec![Vec::new(); SLICES];
    for row in rows.iter().filter(|row| is_finished(row) && span.contains(row.end)) {
        if let Some(tpot) = figures::tpot(row) {
            let at = row.end.since(span.start).0 as f64 / span.nanos() as f64;
            slices[((at * SLICES as f64) as usize).min(SLICES - 1)].push(tpot.as_millis_f64());
        }
    }
    slices
}
