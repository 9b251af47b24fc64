//! How many requests were in flight.

use infermark_terms::RequestRow;
use serde::{Deserialize, Serialize};

use crate::span::Span;

/// Requests in flight over the window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Concurrency {
    /// The time average.
    pub mean: f64,
    /// The most at one instant.
    pub peak: u64,
}

/// "**Concurrency** = time average over the window of requests in flight (`sent` to `end`); its
/// peak is given too." (docs/metrics.md, section 4) Absent where the window is empty.
pub(crate) fn in_window(rows: &[&RequestRow], window: Span) -> Option<Concurrency> {
    let sweep = sweep(rows, window);
    (window.nanos() > 0)
        .then(|| Concurrency { mean: sweep.area as f64 / window.nanos() as f64, peak: sweep.peak })
}

/// The step function of requests in flight, summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sweep {
    /// Its integral, in request-nanoseconds.
    pub(crate) area: u128,
    /// Its maximum.
    pub(crate) peak: u64,
}

/// Sums the step function up within a span.
pub(crate) fn sweep(rows: &[&RequestRow], span: Span) -> Sweep {
    let mut sum = Sweep { area: 0, peak: 0 };
    walk(rows, span, |in_flight, nanos| {
        sum.area += u128::from(in_flight) * u128::from(nanos);
        sum.peak = sum.peak.max(in_flight);
    });
    sum
}

/// Returns for how long within a span at least `level` requests, one or more, were in flight.
pub(crate) fn nanos_at_least(level: u64, rows: &[&RequestRow], span: Span) -> u64 {
    let mut sum = 0;
    walk(rows, span, |in_flight, nanos| sum += if in_flight >= level { nanos } else { 0 });
    sum
}

/// Walks through the step function within a span, exactly, from one instant at which it changes
/// to the next: how many were in flight, and for how many nanoseconds. At one instant, requests
/// leave before others come. After the last has ended there are no more steps.
fn walk(rows: &[&RequestRow], span: Span, mut step: impl FnMut(u64, u64)) {
    let (mut starts, mut ends): (Vec<u64>, Vec<u64>) = rows
        .iter()
        .filter_map(|row| Some(Span { start: row.sent?, end: row.end }.overlap(span)))
        .filter(|flight| flight.nanos() > 0)
        .map(|flight| (flight.start.0, flight.end.0))
        .unzip();
    starts.sort_unstable();
    ends.sort_unstable();
    let (mut in_flight, mut ended, mut now) = (0_u64, 0, span.start.0);
    for start in starts {
        while ends[ended] <= start {
            step(in_flight, ends[ended] - now);
            now = ends[ended];
            in_flight -= 1;
            ended += 1;
        }
        step(in_flight, start - now);
        now = start;
        in_flight += 1;
    }
    for &end in &ends[ended..] {
        step(in_flight, end - now);
        now = end;
        in_flight -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::row;
    use infermark_terms::Stamp;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_sweep_agrees_with_counting_every_instant(
            flights in prop::collection::vec((0_u64..40, 0_u64..20), 0..30),
            start in 0_u64..30,
            length in 1_u64..30,
        ) {
            let rows: Vec<_> = flights
                .iter()
                .map(|&(sent, length)| {
                    let mut row = row(0);
                    row.sent = Some(Stamp(sent));
                    row.end = Stamp(sent + length);
                    row
                })
                .collect();
            let span = Span { start: Stamp(start), end: Stamp(start + length) };
            let counts: Vec<u64> = (start..start + length)
                .map(|at| flights.iter().filter(|f| f.0 <= at && at < f.0 + f.1).count() as u64)
                .collect();
            let sweep = sweep(&rows.iter().collect::<Vec<_>>(), span);
            prop_assert_eq!(sweep.area, u128::from(counts.iter().sum::<u64>()));
            prop_assert_eq!(sweep.peak, counts.iter().copied().max().unwrap());
            for level in 1..5 {
                let within = counts.iter().filter(|&&count| count >= level).count() as u64;
                let rows: Vec<_> = rows.iter().collect();
                prop_assert_eq!(nanos_at_least(level, &rows, span), within);
            }
        }
    }
}
