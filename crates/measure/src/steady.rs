//! The search for the steady state (docs/metrics.md, section 4): "the first stretch in which the
//! level and spread of TPOT and of concurrency show no trend (Mann–Kendall at 5 %, with the
//! Hamed–Rao correction) and batch means agree".
//!
//! The load is cut into [`SLICES`] slices of equal length, and a stretch reaches from the beginning
//! of one of them to the end of the load. Batch means agree where it cannot be cut in two, in its
//! first half, so that the means of both pieces lie further apart than chance has them; where it
//! can, the search goes on from the cut that tells the pieces apart best. So a transient that is
//! long and slight is found, and its end at once. What fades slowly makes the whole stretch look
//! like one long wave, which such a cut takes for chance: so means of the [`PARTS`] equal parts of
//! the stretch agree too, the first one's and the first quarter's with those of the second half.
//! Parts resemble their neighbours less than slices do, and the trend is that of theirs.
//!
//! A load that begins on an idle target fills it for as long as answers take, which no test need
//! find out: the search begins where it is full.

use infermark_terms::{Nanos, RequestRow, Stamp};

use crate::LoadPlan;
use crate::batches::{BATCHES, standard_error};
use crate::figures::{self, is_finished};
use crate::span::Span;
use crate::stays::stays;
use crate::trend::mann_kendall;

/// So many places are tried for the beginning; the stretch begins within one of them.
const SLICES: usize = 100;
/// A stretch that begins later is too short to say that anything is steady.
const LATEST: usize = 60;
/// A trend as strong as this is found by chance in one of three steady series in one run of twenty:
/// 5 %, shared among them.
const TREND_P: f64 = 0.05 / 3.0;
/// Parts of a stretch whose means are compared.
const PARTS: usize = BATCHES;
/// How many standard errors the means of two pieces may lie apart where the cut between them is the
/// one that sets them furthest apart. Chance exceeds it in 0.4 % of stretches whose slices are
/// independent, in 1.5 % where neighbours resemble each other by 0.4, and in 4 % by 0.8 (3,000
/// simulated series each). The statistic is Worsley's for a shift at an unknown place (1979, J. Am.
/// Stat. Assoc. 74:365).
const PIECE_ERRORS: f64 = 3.6;
/// How many standard deviations of the second half's means the first part's may lie from theirs.
/// (Student's t of 10 parts at 99 %, since there are six such tests, for one more observation:
/// 3.250 · √(1 + 1/10).)
const PART_DEVIATIONS: f64 = 3.408;
/// The same of the mean of the first quarter, which is five parts: 3.250 · √(1/5 + 1/10).
const QUARTER_DEVIATIONS: f64 = 1.780;
/// What share of the requests that are in flight in the end a target that is full has.
const FULL: f64 = 0.99;
/// The fewest requests: some for each slice.
const REQUESTS_MIN: usize = 3 * SLICES;

/// Returns where the steady stretch of a span begins; nothing where there is none, or where there
/// are too few requests to tell.
pub(crate) fn beginning(load: LoadPlan, rows: &[&RequestRow], span: Span) -> Option<Stamp> {
    let ended = rows.iter().filter(|row| is_finished(row) && span.contains(row.end)).count();
    if ended < REQUESTS_MIN {
        return None;
    }
    let series = [concurrency(rows, span), level(rows, span), spread(rows, span)];
    let filling = filling(load, rows, span).0 as f64 / span.nanos() as f64;
    let place = first_steady(&series, (filling * SLICES as f64).ceil() as usize)?;
    Some(Stamp(span.start.0 + (span.nanos() as f64 * place as f64 / SLICES as f64) as u64))
}

/// Returns how long the load still fills its target after the beginning of a span.
///
/// What is in flight t after the first arrival is the arrival rate times the mean of what is less,
/// t or the time that an arrival stays (of M/G/∞: Eick, Massey and Whitt 1993, Manage. Sci.
/// 39:241). A closed loop is full at once; there it is its first wave, which left all together.
fn filling(load: LoadPlan, rows: &[&RequestRow], span: Span) -> Nanos {
    let Some(first) = rows.iter().filter_map(|row| row.sent).min() else { return Nanos::ZERO };
    let finished = rows.iter().filter(|row| is_finished(row));
    let there =
        finished.filter_map(|row| Some((row.turn, Span { start: row.sent?, end: row.end })));
    let mut times: Vec<u64> = stays(load, there).iter().map(|stay| stay.nanos()).collect();
    times.sort_unstable();
    full_after(&times).saturating_sub(span.start.since(first))
}

/// Returns after how long those that stay so long, given in ascending order, are as many at a time
/// as they will be.
fn full_after(times: &[u64]) -> Nanos {
    let full = FULL * times.iter().map(|&time| time as f64).sum::<f64>();
    let (mut ended, mut left) = (0.0, times.len() as f64);
    for &time in times {
        let time = time as f64;
        if ended + left * time >= full {
            return Nanos(((full - ended) / left) as u64);
        }
        ended += time;
        left -= 1.0;
    }
    Nanos::ZERO
}

/// Returns the slice from which on all series are steady, at the earliest this one.
fn first_steady(series: &[Vec<Option<f64>>], earliest: usize) -> Option<usize> {
    let mut from = earliest;
    while from <= LATEST {
        if let Some(cut) = series.iter().filter_map(|series| cut(series, from)).min() {
            from = cut;
        } else if series.iter().all(|series| is_steady(series, from)) {
            return Some(from);
        } else {
            from += 1;
        }
    }
    None
}

/// Returns where a series is to be cut in two so that its pieces from a slice on differ most;
/// nothing where no two differ beyond chance. Slices without a value do not count.
fn cut(series: &[Option<f64>], from: usize) -> Option<usize> {
    let slices = series.iter().enumerate().skip(from);
    let (places, known): (Vec<usize>, Vec<f64>) =
        slices.filter_map(|(place, value)| Some((place, (*value)?))).unzip();
    if known.len() < BATCHES {
        return None;
    }
    let (count, total) = (known.len() as f64, known.iter().sum::<f64>());
    let mut before = 0.0;
    let gaps = known.iter().zip(1..=known.len() / 2).map(|(value, length)| {
        before += value;
        let size = length as f64;
        let means = [before / size, (total - before) / (count - size)];
        // What the variance of the whole owes to the means' being apart.
        let gain = (means[0] - means[1]).powi(2) * size * (count - size) / count;
        (gain, length, means)
    });
    let (gain, length, means) = gaps.max_by(|one, other| one.0.total_cmp(&other.0))?;
    let around = known.iter().enumerate();
    let around: Vec<f64> =
        around.map(|(at, value)| value - means[usize::from(at >= length)]).collect();
    // Parts know better how far waves reach that are longer than a slice, slices how alike
    // neighbours are: the mean is known no better than either says.
    let error = standard_error(&around).max(standard_error(&parts(&around)));
    // What is the same throughout differs by rounding.
    let rounding = 1e-9 * means[1].abs();
    let chance = PIECE_ERRORS.powi(2) * error.powi(2).max(rounding.powi(2)) * count;
    (gain > chance).then(|| places[length])
}

/// Says whether what a series holds from a slice on is steady, as far as its parts show it. Slices
/// without a value do not count; a series without values says nothing against it.
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
