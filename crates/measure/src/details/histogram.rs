//! A histogram of durations in buckets of equal ratio, for what is only drawn.

/// Bits of a value after its highest: buckets are 1/32 of their value wide.
const BITS: u32 = 5;
/// Buckets: values of up to 64 bits.
const BUCKETS: usize = (65 - BITS as usize) << BITS;

/// How many observations fell into each bucket.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    /// Empty until something is observed.
    counts: Vec<u32>,
    total: u64,
}

impl Histogram {
    pub(super) fn add(&mut self, value: u64) {
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS];
        }
        let count = &mut self.counts[bucket(value)];
        *count = count.saturating_add(1);
        self.total += 1;
    }

    /// Returns the middle of the bucket at which the share is reached; nothing without values.
    pub(super) fn at(&self, share: f64) -> Option<f64> {
        let rank = ((share * self.total as f64).ceil() as u64).max(1);
        let mut below = 0;
        let reached = |count: &u32| {
            below += u64::from(*count);
            below >= rank
        };
        self.counts.iter().position(reached).map(middle)
    }
}

fn bucket(value: u64) -> usize {
    let exponent = (u64::BITS - value.leading_zeros()).saturating_sub(BITS + 1);
    ((exponent as usize) << BITS) + (value >> exponent) as usize
}

fn middle(bucket: usize) -> f64 {
    let exponent = (bucket >> BITS).saturating_sub(1);
    let low = (bucket - (exponent << BITS)) as f64;
    let width = (exponent as f64).exp2();
    low * width + (width - 1.0) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_value_is_within_its_bucket(value in any::<u64>()) {
            let found = middle(bucket(value));
            let exact = value as f64;
            prop_assert!((found - exact).abs() <= exact / 32.0, "{} {}", exact, found);
        }

        #[test]
        fn percentiles_are_those_of_the_values(
            mut values in prop::collection::vec(0_u64..1_000_000, 1..200),
            share in 0.0..1.0_f64,
        ) {
            let mut histogram = Histogram::default();
            for &value in &values {
                histogram.add(value);
            }
            values.sort_unstable();
            let exact = values[((share * values.len() as f64).ceil() as usize).max(1) - 1] as f64;
            let found = histogram.at(share).unwrap();
            prop_assert!((found - exact).abs() <= exact / 32.0, "{} {}", exact, found);
        }
    }

    #[test]
    fn nothing_has_no_percentile() {
        assert_eq!(Histogram::default().at(0.5), None);
    }
}
