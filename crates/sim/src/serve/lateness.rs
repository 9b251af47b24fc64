//! How late a listener was: a histogram of bounded size and relative precision.
//!
//! Deliberately not here: what lateness is; see [`super::Summary`].

use infermark_terms::Nanos;

/// Sub-buckets in each power of two: quantiles are at most 1/64 too high.
const PARTS: usize = 64;

/// A histogram of durations.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    max: Nanos,
}

/// The distribution of a listener's lateness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lateness {
    /// How many events it is over.
    pub count: u64,
    /// The median; like the next, at most 1/64 too high.
    pub p50: Nanos,
    /// The 99th percentile.
    pub p99: Nanos,
    /// The greatest, exactly.
    pub max: Nanos,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; (u64::BITS as usize - 5) * PARTS], max: Nanos::ZERO }
    }

    pub(crate) fn record(&mut self, span: Nanos) {
        self.counts[bucket(span.0)] += 1;
        self.max = self.max.max(span);
    }

    pub(crate) fn summary(&self) -> Lateness {
        let count = self.counts.iter().sum();
        let (p50, p99) = (self.quantile(count, 50), self.quantile(count, 99));
        Lateness { count, p50, p99, max: self.max }
    }

    /// Nearest rank, read as the bucket's upper end.
    fn quantile(&self, count: u64, percent: u64) -> Nanos {
        let rank = (count * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let at = self.counts.iter().position(|&n| {
            seen += n;
            seen >= rank
        });
        at.map_or(Nanos::ZERO, |at| Nanos(upper_end(at)).min(self.max))
    }
}

/// Values below `PARTS` have a bucket each; above, each power of two has `PARTS`.
fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - PARTS.ilog2() - 1).saturating_sub(value.leading_zeros());
    shift as usize * PARTS + (value >> shift) as usize
}

/// Returns the greatest value of a bucket.
fn upper_end(bucket: usize) -> u64 {
    let shift = (bucket / PARTS).saturating_sub(1);
    let lead = (bucket - shift * PARTS) as u64;
    (lead << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_lies_in_its_bucket_and_close_to_its_upper_end() {
        let mut value = 0_u64;
        while value < u64::MAX / 16 {
            let at = bucket(value);
            let top = upper_end(at);
            assert!(value <= top && top - value <= value / PARTS as u64, "{value} {top}");
            assert_eq!(bucket(top), at);
            assert_eq!(bucket(top + 1), at + 1);
            value = value * 9 / 8 + 1;
        }
        assert!(bucket(u64::MAX) < Histogram::new().counts.len());
    }

    #[test]
    fn quantiles_are_nearest_ranks() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.summary(), Lateness::default());
        for value in 1..=100 {
            histogram.record(Nanos(value));
        }
        let Lateness { count, p50, p99, max } = histogram.summary();
        assert_eq!((count, p50, p99, max), (100, Nanos(50), Nanos(99), Nanos(100)));
    }
}
