//! A figure of which each request gives many observations: gaps between chunks, delays of reads.
//!
//! The observations of one request resemble each other, and so do those of requests that ran
//! side by side. Order statistics would take them for independent and give intervals many times
//! too narrow. So both intervals here come from batches of requests: the mean's directly; a
//! percentile's through the share of observations below it, whose interval is read off the
//! distribution (Woodruff 1952, J. Am. Stat. Assoc. 47:635).
//!
//! Memory is bounded. Up to [`EXACT_MAX`] observations are kept as they are; of more, durations
//! are rounded to [`COARSE_BITS`] binary digits, and equal observations are kept once with their
//! count (docs/metrics.md, section 5).

use crate::batches::{BATCHES, Batches, REQUESTS_MIN, more_for_width};
use crate::details::Curve;
use crate::estimate::Distribution;
use crate::percentile::Percentile;

const BATCH_BITS: u32 = BATCHES.next_power_of_two().trailing_zeros();
const TOKENS_BITS: u32 = 16;
const BATCH_MASK: u64 = (1 << BATCH_BITS) - 1;
const TOKENS_MASK: u64 = (1 << TOKENS_BITS) - 1;
/// The longest duration that an observation can hold: 2.4 hours, and anything longer counts so.
const NANOS_MAX: u64 = (1 << (64 - TOKENS_BITS - BATCH_BITS)) - 1;

/// The most observations that are kept as they are: 128 MB.
const EXACT_MAX: usize = 1 << 24;
/// The binary digits of a duration beyond that: it is off by at most 1 in 8,192.
const COARSE_BITS: u32 = 13;

/// One observation in 8 bytes, since there may be hundreds of millions. From the highest bit:
/// the duration in nanoseconds, the tokens that it brought (0: unknown), the batch of its
/// request; so the order of the integers is that of the durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Packed(u64);

impl Packed {
    fn new(nanos: u64, tokens: u64, batch: u8) -> Self {
        let high = nanos.min(NANOS_MAX) << TOKENS_BITS | tokens.min(TOKENS_MASK);
        Self(high << BATCH_BITS | u64::from(batch))
    }

    /// Rounds the duration to the nearest of [`COARSE_BITS`] digits.
    fn coarse(self) -> Self {
        let nanos = self.nanos();
        let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(COARSE_BITS);
        let half = 1 << shift >> 1;
        Self::new((nanos + half) >> shift << shift, self.tokens(), self.batch())
    }

    fn nanos(self) -> u64 {
        self.0 >> (TOKENS_BITS + BATCH_BITS)
    }

    fn tokens(self) -> u64 {
        self.0 >> BATCH_BITS & TOKENS_MASK
    }

    fn batch(self) -> u8 {
        (self.0 & BATCH_MASK) as u8
    }
}

/// One observation, or several that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Observation {
    pub(crate) nanos: u64,
    /// The tokens that it brought; 0: unknown.
    pub(crate) tokens: u64,
    /// The batch of its request.
    pub(crate) batch: u8,
    /// How many such there are.
    pub(crate) count: u64,
}

/// Observations of many requests, many from each.
#[derive(Debug)]
pub(crate) struct Pool {
    entries: Vec<Packed>,
    /// How many observations each entry is; empty while each is one.
    counts: Vec<u64>,
    /// What earlier entries were rounded and merged to: ascending, with their counts.
    merged: Vec<(Packed, u64)>,
    exact_max: usize,
    requests: u64,
}

impl Default for Pool {
    fn default() -> Self {
        Self::bounded(EXACT_MAX)
    }
}

impl Pool {
    /// Returns an empty pool, so many of which together keep as much as one alone.
    pub(crate) fn one_of(pools: usize) -> Self {
        Self::bounded(EXACT_MAX.div_ceil(pools))
    }

    /// Returns an empty pool that keeps at most so many observations as they are.
    fn bounded(exact_max: usize) -> Self {
        let (entries, counts, merged) = (Vec::new(), Vec::new(), Vec::new());
        Self { entries, counts, merged, exact_max, requests: 0 }
    }

    /// Adds an observation that brought so many tokens (0: unknown).
    pub(crate) fn push(&mut self, nanos: u64, tokens: u64, batch: u8) {
        if self.entries.len() == self.exact_max {
            self.merge();
        }
        self.entries.push(Packed::new(nanos, tokens, batch));
    }

    /// Rounds the entries and merges them with those before.
    fn merge(&mut self) {
        for entry in &mut self.entries {
            *entry = entry.coarse();
        }
        self.entries.sort_unstable();
        let mut before = std::mem::take(&mut self.merged).into_iter().peekable();
        let mut push = |entry: Packed, count: u64| match self.merged.last_mut() {
            Some((last, sum)) if *last == entry => *sum += count,
            _ => self.merged.push((entry, count)),
        };
        for entry in self.entries.drain(..) {
            while let Some((entry, count)) = before.next_if(|(earlier, _)| *earlier <= entry) {
                push(entry, count);
            }
            push(entry, 1);
        }
        before.for_each(|(entry, count)| push(entry, count));
    }

    /// Brings all entries into their order.
    fn sort(&mut self) {
        if !self.merged.is_empty() {
            self.merge();
            (self.entries, self.counts) = std::mem::take(&mut self.merged).into_iter().unzip();
        } else if self.counts.is_empty() {
            self.entries.sort_unstable();
        }
    }

    /// Returns each entry with its count.
    fn counted(&self) -> impl Iterator<Item = (Packed, u64)> + Clone + '_ {
        let counts = self.counts.iter().copied().chain(std::iter::repeat(1));
        self.entries.iter().copied().zip(counts).chain(self.merged.iter().copied())
    }

    /// Counts one request more that has contributed.
    pub(crate) fn count_request(&mut self) {
        self.requests += 1;
    }

    /// Returns the distribution of the observations, each counted once.
    pub(crate) fn observations(&mut self) -> Option<Sorted<'_>> {
        self.sorted(Weighing::Once)
    }

    /// Returns how many requests have contributed.
    pub(crate) fn requests(&self) -> u64 {
        self.requests
    }

    /// Returns each observation, in no particular order.
    pub(crate) fn each(&self) -> impl Iterator<Item = Observation> + '_ {
        self.counted().map(|(entry, count)| Observation {
            nanos: entry.nanos(),
            tokens: entry.tokens(),
            batch: entry.batch(),
            count,
        })
    }

    /// "`itl`: each gap divided by the tokens of the chunk that ends it, weighted by those
    /// tokens" (docs/metrics.md, section 3), rounded to the nanosecond. Gaps of unknown tokens
    /// are left out.
    pub(crate) fn per_token(&mut self) -> Option<Sorted<'_>> {
        let per_token = |entry: Packed| {
            let tokens = entry.tokens();
            Packed::new((entry.nanos() + tokens / 2) / tokens, tokens, entry.batch())
        };
        self.sort();
        if self.counts.is_empty() {
            self.entries.retain(|entry| entry.tokens() > 0);
            self.entries.iter_mut().for_each(|entry| *entry = per_token(*entry));
            self.entries.sort_unstable();
        } else {
            let known = self.counted().filter(|(entry, _)| entry.tokens() > 0);
            let mut known: Vec<_> = known.map(|(entry, count)| (per_token(entry), count)).collect();
            known.sort_unstable();
            (self.entries, self.counts) = known.into_iter().unzip();
        }
        self.sorted(Weighing::Tokens)
    }

    /// Draws the distribution of what was sorted last.
    pub(crate) fn curve(&self, weighing: Weighing) -> Option<Curve> {
        debug_assert!(self.entries.is_sorted());
        let weighed = self.counted().map(|(e, count)| (e.nanos(), weighing.of(e) * count));
        let n = self.counted().map(|(_, count)| count).sum();
        Curve::of(weighed).map(|curve| Curve { n, ..curve })
    }

    fn sorted(&mut self, weighing: Weighing) -> Option<Sorted<'_>> {
        self.sort();
        (!self.entries.is_empty()).then(|| Sorted::new(self, weighing))
    }
}

/// How often an observation counts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Weighing {
    Once,
    Tokens,
}

impl Weighing {
    fn of(self, entry: Packed) -> u64 {
        match self {
            Self::Once => 1,
            Self::Tokens => entry.tokens(),
        }
    }
}

/// Observations in ascending order; never none.
pub(crate) struct Sorted<'a> {
    pool: &'a Pool,
    weighing: Weighing,
    weight: u64,
    batches: Batches,
}

impl<'a> Sorted<'a> {
    fn new(pool: &'a Pool, weighing: Weighing) -> Self {
        let mut batches = Batches::default();
        let mut total = 0;
        for (entry, count) in pool.counted() {
            let weight = weighing.of(entry) * count;
            batches.add(entry.batch(), u128::from(entry.nanos()) * u128::from(weight), weight);
            total += weight;
        }
        Self { pool, weighing, weight: total, batches }
    }

    fn weighed(&self) -> impl Iterator<Item = (Packed, u64)> + '_ {
        self.pool.counted().map(|(entry, count)| (entry, self.weighing.of(entry) * count))
    }

    /// Returns the least value up to which the weights add up to `rank`.
    fn at_rank(&self, rank: u64) -> u64 {
        // Where each entry is one observation, its place is its rank.
        let is_plain = self.pool.counts.is_empty() && self.pool.merged.is_empty();
        if let (true, Weighing::Once) = (is_plain, self.weighing) {
            return self.pool.entries[rank as usize - 1].nanos();
        }
        let mut below = 0;
        let mut reaches = |weight: u64| {
            below += weight;
            below >= rank
        };
        let found = self.weighed().find(|(_, weight)| reaches(*weight));
        found.expect("a rank is at most the sum of the weights").0.nanos()
    }

    /// Returns half the width of the interval of the share that the first `count` entries are.
    fn share_half_width(&self, count: usize) -> f64 {
        let mut batches = Batches::default();
        for (index, (entry, weight)) in self.weighed().enumerate() {
            let within = if index < count { weight } else { 0 };
            batches.add(entry.batch(), u128::from(within), weight);
        }
        batches.half_width()
    }
}

impl Distribution for Sorted<'_> {
    fn size(&self) -> u64 {
        self.pool.counted().map(|(_, count)| count).sum()
    }

    fn extremes(&self) -> (u64, u64) {
        let entries = &self.pool.entries;
        (entries[0].nanos(), entries[entries.len() - 1].nanos())
    }

    fn mean(&self) -> f64 {
        self.batches.ratio()
    }

    fn mean_interval(&self) -> Option<[f64; 2]> {
        let half = self.batches.half_width();
        (self.pool.requests >= REQUESTS_MIN).then(|| [self.mean() - half, self.mean() + half])
    }

    fn percentile(&self, percentile: Percentile) -> u64 {
        self.at_rank(percentile.rank(self.weight))
    }

    /// Where many observations are equal to the percentile, the share below it and the share up
    /// to it differ; the wider of their intervals is taken.
    fn percentile_ends(&self, percentile: Percentile) -> [Option<u64>; 2] {
        if self.pool.requests < REQUESTS_MIN {
            return [None; 2];
        }
        let rank = percentile.rank(self.weight);
        let value = self.at_rank(rank);
        let below = self.pool.entries.partition_point(|entry| entry.nanos() < value);
        let within = self.pool.entries.partition_point(|entry| entry.nanos() <= value);
        let half = self.share_half_width(below).max(self.share_half_width(within));
        let (low, high) = (percentile.fraction() - half, percentile.fraction() + half);
        let nearest = |share: f64| ((share * self.weight as f64).ceil() as u64).max(1);
        let lower = (low > 0.0).then(|| nearest(low).min(rank));
        let upper = (high <= 1.0).then(|| nearest(high).min(self.weight).max(rank));
        [lower, upper].map(|rank| rank.map(|rank| self.at_rank(rank)))
    }

    fn requests(&self) -> u64 {
        self.pool.requests
    }

    /// The share within the limit has an interval of its own, which shrinks with the root of the
    /// number of requests.
    fn more_to_decide(&self, percentile: Percentile, limit: u64) -> Option<u64> {
        let count = self.pool.entries.partition_point(|entry| entry.nanos() <= limit);
        let distance = (1.0 - percentile.fraction() - self.share_beyond(limit)).abs();
        more_for_width(self.pool.requests, Some(self.share_half_width(count)), distance)
    }

    fn share_beyond(&self, limit: u64) -> f64 {
        let count = self.pool.entries.partition_point(|entry| entry.nanos() <= limit);
        let within: u64 = self.weighed().take(count).map(|(_, weight)| weight).sum();
        (self.weight - within) as f64 / self.weight as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Estimate;
    use crate::batches::batch_of;
    use crate::tests::Noise;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packing_keeps_each_part(
            nanos in 0..=NANOS_MAX,
            tokens in 0..=TOKENS_MASK,
            batch in 0_u8..20,
        ) {
            let packed = Packed::new(nanos, tokens, batch);
            prop_assert_eq!(packed.nanos(), nanos);
            prop_assert_eq!(packed.tokens(), tokens);
            prop_assert_eq!(packed.batch(), batch);
        }

        #[test]
        fn a_weight_counts_like_a_repetition(
            gaps in prop::collection::vec((0_u64..1000, 1_u64..9, 0_u8..20), 1..80),
        ) {
            let mut weighted = Pool { requests: 100, ..Pool::default() };
            let mut repeated = Pool { requests: 100, ..Pool::default() };
            for &(per_token, tokens, batch) in &gaps {
                weighted.push(per_token * tokens, tokens, batch);
                for _ in 0..tokens {
                    repeated.push(per_token, 1, batch);
                }
            }
            let weighted = Estimate::of(&weighted.per_token().unwrap());
            let repeated = Estimate::of(&repeated.per_token().unwrap());
            prop_assert_eq!(weighted.n, gaps.len() as u64);
            // Percentiles that need more gaps than there are differ in being absent.
            let shared = |of: Estimate| {
                let p90 = weighted.p90.and(of.p90).zip(of.p90_ci95);
                (of.mean, of.mean_ci95, of.min, of.max, of.p50, of.p50_ci95, p90)
            };
            prop_assert_eq!(shared(weighted), shared(repeated));
        }
    }

    proptest! {
        #[test]
        fn a_bounded_pool_gives_the_same_but_for_its_rounding(
            gaps in prop::collection::vec((0_u64..50_000_000, 0_u64..4, 0_u8..20), 1..300),
            exact_max in 1_usize..400,
        ) {
            let mut exact = Pool { requests: 100, ..Pool::default() };
            let mut bounded = Pool { requests: 100, ..Pool::bounded(exact_max) };
            for &(nanos, tokens, batch) in &gaps {
                exact.push(nanos, tokens, batch);
                bounded.push(nanos, tokens, batch);
                prop_assert!(bounded.entries.len() <= exact_max);
            }
            let counted: u64 = bounded.each().map(|observation| observation.count).sum();
            prop_assert_eq!(counted, gaps.len() as u64);
            let near = |one: Option<f64>, other: Option<f64>| match (one, other) {
                // And half a nanosecond, where gaps are divided by their tokens.
                (Some(one), Some(other)) => (one - other).abs() <= one / 8192.0 + 1e-6,
                (one, other) => one == other,
            };
            let check = |exact: Option<Sorted<'_>>, bounded: Option<Sorted<'_>>| {
                let (Some(exact), Some(bounded)) = (exact, bounded) else { return true };
                let (exact, bounded) = (Estimate::of(&exact), Estimate::of(&bounded));
                exact.n == bounded.n
                    && near(Some(exact.mean), Some(bounded.mean))
                    && near(Some(exact.min), Some(bounded.min))
                    && near(Some(exact.max), Some(bounded.max))
                    && near(Some(exact.p50), Some(bounded.p50))
                    && near(exact.p90, bounded.p90)
                    && near(exact.p99, bounded.p99)
            };
            prop_assert!(check(exact.observations(), bounded.observations()));
            let curves = (exact.curve(Weighing::Once), bounded.curve(Weighing::Once));
            prop_assert_eq!(curves.0.map(|c| (c.n, c.points.len())),
                curves.1.map(|c| (c.n, c.points.len())));
            prop_assert!(check(exact.per_token(), bounded.per_token()));
        }
    }

    #[test]
    fn however_many_observations_a_doubling_of_durations_takes_4096_entries_a_batch() {
        let mut noise = Noise::new(3);
        let mut pool = Pool::bounded(10_000);
        for index in 0..300_000 {
            let nanos = (1 << 23) + (noise.uniform() * f64::from(1 << 23)) as u64;
            pool.push(nanos, 1, (index % 2) as u8);
        }
        pool.sort();
        assert!((8_000..=2 * 4097).contains(&pool.entries.len()), "{}", pool.entries.len());
        assert_eq!(pool.counts.iter().sum::<u64>(), 300_000);
    }

    /// Counts how often the median's interval holds the truth where each of 100 requests has
    /// its own level, so that its 20 gaps are far from independent.
    #[test]
    fn intervals_allow_for_requests_that_differ() {
        let mut noise = Noise::new(11);
        let hits = (0..200)
            .filter(|_| {
                let mut pool = Pool { requests: 100, ..Pool::default() };
                for request in 0..100 {
                    let level = 1000.0 + 1000.0 * noise.uniform();
                    for _ in 0..20 {
                        let gap = level + 100.0 * (noise.uniform() - 0.5);
                        pool.push(gap as u64, 1, batch_of(request, 100));
                    }
                }
                let [low, high] = Estimate::of(&pool.observations().unwrap()).p50_ci95.unwrap();
                low <= 0.0015 && 0.0015 <= high
            })
            .count();
        assert!((181..=198).contains(&hits), "{hits} of 200");
    }

    #[test]
    fn gaps_of_unknown_tokens_count_for_chunks_only() {
        let mut pool = Pool::default();
        pool.push(10_000_000, 0, 0);
        pool.push(30_000_000, 3, 0);
        pool.count_request();
        assert_eq!(pool.observations().map(|o| (o.size(), o.mean() / 1e6)), Some((2, 20.0)));
        assert_eq!(pool.per_token().map(|o| (o.size(), o.mean() / 1e6)), Some((1, 10.0)));
    }
}
