//! A figure of which each request gives one observation.

use crate::batches::{Batches, REQUESTS_MIN, batch_of};
use crate::estimate::Distribution;
use crate::percentile::Percentile;

/// One observation in nanoseconds from each request; never none.
///
/// Percentiles take the requests for independent, as docs/metrics.md, section 5, defines their
/// interval; the mean's interval does not.
pub(crate) struct Sample {
    ascending: Vec<u64>,
    batches: Batches,
}

impl Sample {
    /// Takes the observations in the order in which their requests were due; nothing without any.
    pub(crate) fn new(mut in_order: Vec<u64>) -> Option<Self> {
        let count = in_order.len();
        let mut batches = Batches::default();
        for (index, &value) in in_order.iter().enumerate() {
            batches.add(batch_of(index, count), u128::from(value), 1);
        }
        in_order.sort_unstable();
        (count > 0).then_some(Self { ascending: in_order, batches })
    }

    fn at_rank(&self, rank: u64) -> u64 {
        self.ascending[rank as usize - 1]
    }
}

impl Distribution for Sample {
    fn size(&self) -> u64 {
        self.ascending.len() as u64
    }

    fn extremes(&self) -> (u64, u64) {
        (self.at_rank(1), self.at_rank(self.size()))
    }

    fn mean(&self) -> f64 {
        self.batches.ratio()
    }

    fn mean_interval(&self) -> Option<[f64; 2]> {
        let half = self.batches.half_width();
        (self.size() >= REQUESTS_MIN).then(|| [self.mean() - half, self.mean() + half])
    }

    fn percentile(&self, percentile: Percentile) -> u64 {
        self.at_rank(percentile.rank(self.size()))
    }

    fn percentile_ends(&self, percentile: Percentile) -> [Option<u64>; 2] {
        let ranks = [percentile.lower_rank(self.size()), percentile.upper_rank(self.size())];
        ranks.map(|rank| rank.map(|rank| self.at_rank(rank)))
    }

    fn requests(&self) -> u64 {
        self.size()
    }

    fn more_to_decide(&self, percentile: Percentile, limit: u64) -> Option<u64> {
        let within = self.ascending.partition_point(|&value| value <= limit) as u64;
        percentile.more_to_decide(self.size(), self.size() - within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Estimate;
    use crate::tests::Noise;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_percentile_is_the_least_value_that_enough_do_not_exceed(
            values in prop::collection::vec(0_u64..50, 1..300),
        ) {
            let sample = Sample::new(values.clone()).unwrap();
            for percentile in [Percentile::P50, Percentile::P90, Percentile::P99] {
                let enough = |v: u64| {
                    let within = values.iter().filter(|&&x| x <= v).count() as u64;
                    within * 1000 >= percentile.permille() * values.len() as u64
                };
                let least = values.iter().copied().filter(|&v| enough(v)).min().unwrap();
                prop_assert_eq!(sample.percentile(percentile), least);
            }
        }
    }

    /// Counts how often intervals over 150 fresh exponential observations hold the truth.
    fn coverage(holds: impl Fn(&Sample) -> bool) -> usize {
        let mut noise = Noise::new(7);
        (0..500)
            .filter(|_| {
                let values = (0..150).map(|_| (noise.exponential() * 1e9) as u64).collect();
                holds(&Sample::new(values).unwrap())
            })
            .count()
    }

    #[test]
    fn intervals_of_percentiles_hold_the_truth_at_least_95_times_in_100() {
        for (percentile, truth) in
            [(Percentile::P50, 2_f64.ln() * 1e9), (Percentile::P90, 10_f64.ln() * 1e9)]
        {
            let hits = coverage(|sample| {
                let [low, high] = sample.percentile_interval(percentile).unwrap();
                low as f64 <= truth && truth <= high as f64
            });
            // 95 % of 500, less 2 standard deviations; conservative, but not absurdly so.
            assert!((465..=493).contains(&hits), "{percentile:?}: {hits} of 500");
        }
    }

    #[test]
    fn intervals_of_the_mean_hold_the_truth_95_times_in_100() {
        let hits = coverage(|sample| {
            let [low, high] = sample.mean_interval().unwrap();
            low <= 1e9 && 1e9 <= high
        });
        assert!((462..=485).contains(&hits), "{hits} of 500");
    }

    #[test]
    fn autocorrelation_widens_the_interval_of_the_mean() {
        // The same 1000 values, once with like beside like and once dealt out in turn.
        let clustered: Vec<u64> = (0..1000).collect();
        let dealt: Vec<u64> = (0..1000).map(|i| (i * 389) % 1000).collect();
        let width = |values: Vec<u64>| {
            let [low, high] = Sample::new(values).unwrap().mean_interval().unwrap();
            high - low
        };
        assert!(width(clustered) > 5.0 * width(dealt));
    }

    fn estimate(in_order: Vec<u64>) -> Estimate {
        Estimate::of(&Sample::new(in_order).unwrap())
    }

    #[test]
    fn too_few_observations_have_no_intervals() {
        assert!(Sample::new(Vec::new()).is_none());
        let few = estimate((1..=39).collect());
        assert_eq!((few.mean_ci95, few.p99, few.p999), (None, None, None));
        assert!(few.p50_ci95.is_some() && few.p95.is_some());
        assert_eq!(few.p95_ci95, None);
        let least = estimate(vec![3_000_000]);
        assert_eq!((least.n, least.mean, least.p50, least.p90), (1, 3.0, 3.0, None));
    }
}
