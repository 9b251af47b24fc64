//! A figure of which each request gives one observation.
//!
//! Requests that ran side by side resemble each other, most of all in the tail: a queue delays
//! whoever is in it. So percentiles have the exact interval of order statistics, but for as many
//! observations as those at hand are worth: the share of observations up to the percentile varies
//! between batches of requests more than between independent ones, and by so much less are they
//! worth. The interval of the mean comes from the batches directly.
//!
//! Few observations lie beyond the 99th percentile, and in a short run they may happen to lie
//! apart: a run that saw no long queue looks as if there were none. The 95th, which more
//! observations lie beyond, knows better how long those in the tail resemble each other. So higher
//! percentiles have both ends of an interval only where a sample that is worth no more than it is
//! for the 95th has them too. Lower ones would not do: the median of E2E drifts with the load,
//! while its tail is long answers, each by itself.

use crate::batches::{BATCHES, Batches, REQUESTS_MIN, batch_of};
use crate::estimate::Distribution;
use crate::percentile::{Percentile, more_until};

const BATCH_BITS: u32 = BATCHES.next_power_of_two().trailing_zeros();
const BATCH_MASK: u64 = (1 << BATCH_BITS) - 1;
/// The longest duration that an observation can hold: 18 years.
const NANOS_MAX: u64 = u64::MAX >> BATCH_BITS;

/// One observation in nanoseconds from each request; never none.
pub(crate) struct Sample {
    /// Ascending. The lowest bits of each hold the batch of its request.
    entries: Vec<u64>,
    batches: Batches,
    /// What the observations are worth for the share up to each of [`GIVEN`].
    worths: [u64; GIVEN.len()],
}

/// All percentiles, ascending.
const GIVEN: [Percentile; 5] =
    [Percentile::P50, Percentile::P90, Percentile::P95, Percentile::P99, Percentile::P999];

impl Sample {
    /// Takes the observations in the order in which their requests were due; nothing without any.
    pub(crate) fn new(mut in_order: Vec<u64>) -> Option<Self> {
        let count = in_order.len();
        let mut batches = Batches::default();
        for (index, value) in in_order.iter_mut().enumerate() {
            let batch = batch_of(index, count);
            batches.add(batch, u128::from(*value), 1);
            *value = (*value).min(NANOS_MAX) << BATCH_BITS | u64::from(batch);
        }
        in_order.sort_unstable();
        if count == 0 {
            return None;
        }
        let mut sample = Self { entries: in_order, batches, worths: [count as u64; GIVEN.len()] };
        sample.worths = sample.worths_of_shares(GIVEN.map(|p| sample.within(sample.percentile(p))));
        Some(sample)
    }

    fn at_rank(&self, rank: u64) -> u64 {
        self.entries[rank as usize - 1] >> BATCH_BITS
    }

    /// Returns how many observations are at most so long.
    fn within(&self, nanos: u64) -> usize {
        self.entries.partition_point(|entry| entry >> BATCH_BITS <= nanos)
    }

    /// Returns what the observations are worth for this percentile.
    fn worth(&self, percentile: Percentile) -> u64 {
        self.capped(percentile, self.worths[percentile as usize])
    }

    /// Returns what they are worth for a percentile, where they are worth so much for the share up
    /// to it: as little as for the 95th, where that leaves the interval open.
    fn capped(&self, percentile: Percentile, own: u64) -> u64 {
        if percentile.permille() <= Percentile::P95.permille() {
            return own;
        }
        let capped = own.min(self.worths[Percentile::P95 as usize]);
        if percentile.upper_rank(capped).is_some() { own } else { capped }
    }

    /// Returns what the observations are worth for the shares that the first so many are, given in
    /// ascending order. Too few to tell are taken for independent.
    fn worths_of_shares<const N: usize>(&self, counts: [usize; N]) -> [u64; N] {
        if self.size() < REQUESTS_MIN {
            return [self.size(); N];
        }
        let (mut seen, mut of_batch) = (0, [0_u64; BATCHES]);
        let mut first = |count: usize| {
            for entry in &self.entries[seen..count] {
                of_batch[(entry & BATCH_MASK) as usize] += 1;
            }
            seen = count;
            of_batch
        };
        let parts = counts.map(&mut first);
        let whole = first(self.entries.len());
        parts.map(|part| {
            let mut batches = Batches::default();
            for (batch, (part, whole)) in (0..).zip(part.into_iter().zip(whole)) {
                batches.add(batch, u128::from(part), whole);
            }
            batches.effective_size(self.size())
        })
    }

    /// Returns the percentile's interval of ranks in a sample of the worth of this one, as ranks
    /// in this one: rounded outwards.
    fn ranks(&self, percentile: Percentile) -> [Option<u64>; 2] {
        let size = self.size();
        let worth = self.worth(percentile);
        let lower = percentile.lower_rank(worth).map(|rank| (rank * size / worth).max(1));
        let upper = percentile.upper_rank(worth).map(|rank| (rank * size).div_ceil(worth));
        [lower, upper]
    }
}

impl Distribution for Sample {
    fn size(&self) -> u64 {
        self.entries.len() as u64
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
        self.ranks(percentile).map(|rank| rank.map(|rank| self.at_rank(rank)))
    }

    fn requests(&self) -> u64 {
        self.size()
    }

    fn more_to_decide(&self, percentile: Percentile, limit: u64) -> Option<u64> {
        let within = self.within(limit);
        let [own] = self.worths_of_shares([within]);
        let (size, capped) = (self.size(), self.capped(percentile, own));
        let requests = |more: u64, worth: u64| (more as f64 * size as f64 / worth as f64).ceil();
        let decided = |worth: u64| {
            let exceeding = (size - within as u64) as f64 * worth as f64 / size as f64;
            let more = percentile.more_to_decide(worth, exceeding.round() as u64)?;
            Some(requests(more, worth))
        };
        // The interval is that of the own worth once the capped one closes it.
        let closed = more_until(capped, |worth| percentile.upper_rank(worth).is_some());
        let closed = closed.map(|more| requests(more, capped));
        let later = decided(own).zip(closed).map(|(one, other)| one.max(other));
        let soonest = decided(capped).into_iter().chain(later).min_by(f64::total_cmp)?;
        Some(soonest as u64)
    }

    fn share_beyond(&self, limit: u64) -> f64 {
        (self.size() - self.within(limit) as u64) as f64 / self.size() as f64
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
                let [low, high] = sample.percentile_ends(percentile);
                low.is_none_or(|low| low as f64 <= truth)
                    && high.is_none_or(|high| truth <= high as f64)
            });
            // 95 % of 500, less 2 standard deviations; conservative, but not absurdly so.
            assert!((465..=496).contains(&hits), "{percentile:?}: {hits} of 500");
        }
    }

    #[test]
    fn what_is_open_for_its_tail_alone_is_decided_once_the_interval_is_closed() {
        // 4,000 requests: two whole batches are slow, and one of 200 is slowest, everywhere.
        let value = |index: u64| match (index / 200, index % 200) {
            (_, 13) => 9_000,
            (5 | 13, within) => 5_000 + within,
            (_, within) => 1_000 + within,
        };
        let sample = Sample::new((0..4_000).map(value).collect()).unwrap();
        let [low, high] = sample.percentile_ends(Percentile::P99);
        assert!(low.is_some() && high.is_none(), "{low:?} {high:?}");
        let more = sample.more_to_decide(Percentile::P99, 8_000).unwrap();
        let worth = sample.worths[Percentile::P95 as usize];
        let closed = (368 - worth) * 4_000 / worth;
        assert!((closed..closed + 40).contains(&more), "{more} {closed}");
    }

    #[test]
    fn no_mean_of_durations_may_lie_below_zero() {
        let mut values = vec![0; 200];
        values[7] = 1_000_000_000;
        let sample = Sample::new(values).unwrap();
        assert!(sample.mean_interval().unwrap()[0] < 0.0);
        assert!(Estimate::of(&sample).mean_ci95.unwrap()[0] >= 0.0);
    }

    #[test]
    fn intervals_of_the_mean_hold_the_truth_95_times_in_100() {
        let hits = coverage(|sample| {
            let [low, high] = sample.mean_interval().unwrap();
            low <= 1e9 && 1e9 <= high
        });
        assert!((462..=485).contains(&hits), "{hits} of 500");
    }

    /// Sojourn times in a stationary queue of Poisson arrivals and exponential service (M/M/1):
    /// exponential, of mean 1 s, and alike for customers who share a busy period.
    fn sojourns(noise: &mut Noise, load: f64, count: usize) -> Vec<u64> {
        // The mean is 1 ÷ (μ − λ), and load = λ ÷ μ.
        let service = 1.0 - load;
        let mut sojourn = noise.exponential();
        (0..count)
            .map(|_| {
                let gap = noise.exponential() * service / load;
                sojourn = (sojourn - gap).max(0.0) + noise.exponential() * service;
                (sojourn * 1e9) as u64
            })
            .collect()
    }

    #[test]
    fn intervals_hold_the_truth_of_a_queue_92_to_98_times_in_100() {
        let mut noise = Noise::new(3);
        let samples: Vec<_> =
            (0..200).map(|_| Sample::new(sojourns(&mut noise, 0.6, 4000)).unwrap()).collect();
        let hits = |holds: &dyn Fn(&Sample) -> bool| samples.iter().filter(|s| holds(s)).count();
        let mean = hits(&|sample| {
            let [low, high] = sample.mean_interval().unwrap();
            low <= 1e9 && 1e9 <= high
        });
        assert!((184..=196).contains(&mean), "mean: {mean} of 200");
        for (percentile, truth) in [
            (Percentile::P50, 2_f64.ln()),
            (Percentile::P90, 10_f64.ln()),
            (Percentile::P99, 100_f64.ln()),
        ] {
            let truth = (truth * 1e9) as u64;
            let found = hits(&|sample| {
                let [low, high] = sample.percentile_ends(percentile);
                low.is_none_or(|low| low <= truth) && high.is_none_or(|high| truth <= high)
            });
            assert!((184..=197).contains(&found), "{percentile:?}: {found} of 200");
        }
    }

    #[test]
    fn what_a_sample_is_worth_is_the_same_for_all_shares_at_once_and_one_by_one() {
        let mut noise = Noise::new(5);
        let sample = Sample::new(sojourns(&mut noise, 0.6, 4000)).unwrap();
        let each = GIVEN.map(|p| {
            let share = sample.within(sample.percentile(p));
            let mut batches = Batches::default();
            for (index, entry) in sample.entries.iter().enumerate() {
                batches.add((entry & BATCH_MASK) as u8, u128::from(index < share), 1);
            }
            batches.effective_size(4000)
        });
        assert_eq!(sample.worths, each);
        assert!(each[0] < 4000, "neighbours resemble each other: {each:?}");
    }

    #[test]
    fn a_run_too_short_for_its_queue_gives_no_interval_of_a_high_percentile() {
        // Some ten busy periods: where the tail looks calm it was not seen.
        let mut noise = Noise::new(3);
        let truth = (100_f64.ln() * 1e9) as u64;
        let misses = (0..200).filter(|_| {
            let sample = Sample::new(sojourns(&mut noise, 0.7, 4000)).unwrap();
            let interval = sample.percentile_interval(Percentile::P99);
            interval.is_some_and(|[low, high]| truth < low || high < truth)
        });
        assert!(misses.count() <= 2);
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
