//! Which percentiles are given, their nearest ranks, and the exact interval of ranks.

use statrs::function::gamma::ln_gamma;

/// The probability left out at each end of a 95 % interval.
pub(crate) const TAIL: f64 = 0.025;

/// A percentile that results give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Percentile {
    P50,
    P90,
    P95,
    P99,
    P999,
}

impl Percentile {
    /// Returns the percentile in thousandths.
    pub(crate) const fn permille(self) -> u64 {
        match self {
            Self::P50 => 500,
            Self::P90 => 900,
            Self::P95 => 950,
            Self::P99 => 990,
            Self::P999 => 999,
        }
    }

    /// Returns the percentile as a fraction.
    pub(crate) fn fraction(self) -> f64 {
        self.permille() as f64 / 1000.0
    }

    /// Returns the fewest observations for which the percentile is given: one of them is then
    /// expected to lie above it. "p99 of fewer than 100 samples is absent" (docs/metrics.md,
    /// section 5), and the others alike. The median is always given.
    pub(crate) const fn size_min(self) -> u64 {
        match self {
            Self::P50 => 1,
            Self::P90 => 10,
            Self::P95 => 20,
            Self::P99 => 100,
            Self::P999 => 1000,
        }
    }

    /// "Nearest rank on raw samples, no interpolation, so that every printed figure was
    /// observed" (docs/metrics.md, section 5): the least rank, from 1, that at least this
    /// fraction of a total `weight` does not exceed.
    pub(crate) fn rank(self, weight: u64) -> u64 {
        let scaled = u128::from(weight) * u128::from(self.permille());
        (scaled.div_ceil(1000) as u64).max(1)
    }

    /// Returns the lower of the ranks, from 1, between which the percentile lies with at least
    /// 95 % confidence in `n` independent observations: "a 95 % interval from order statistics
    /// (binomial, exact)" (docs/metrics.md, section 5).
    ///
    /// The number of observations below the true percentile is binomial, B(n, p). The lower rank
    /// is the greatest l with P(B < l) ≤ 2.5 %, the upper the least u with P(B ≥ u) ≤ 2.5 %
    /// (David and Nagaraja, Order Statistics, 3rd ed., section 7.1). Absent where the sample is
    /// too small to have it.
    pub(crate) fn lower_rank(self, n: u64) -> Option<u64> {
        Some(tail_count(n, self.fraction())? + 1)
    }

    /// Returns the upper of these ranks. Of a high percentile, it takes many more observations
    /// than the lower.
    pub(crate) fn upper_rank(self, n: u64) -> Option<u64> {
        Some(n - tail_count(n, 1.0 - self.fraction())?)
    }

    /// Returns how many observations more would decide whether this percentile lies within a
    /// limit, should the same share of them exceed it as of the `n` so far: the fewest with whose
    /// interval of ranks on one side of those within. Nothing where no number does.
    pub(crate) fn more_to_decide(self, n: u64, exceeding: u64) -> Option<u64> {
        let decides = |size: u64| {
            let above = (u128::from(size) * u128::from(exceeding) / u128::from(n)) as u64;
            let within = size - above;
            self.upper_rank(size).is_some_and(|rank| rank <= within)
                || self.lower_rank(size).is_some_and(|rank| rank > within)
        };
        more_until(n, decides)
    }
}

/// Returns how much more than `n` the least number is at which `decides` holds, if it does before
/// a thousand million; it should go on holding from there.
pub(crate) fn more_until(n: u64, decides: impl Fn(u64) -> bool) -> Option<u64> {
    const MOST: u64 = 1_000_000_000;
    let mut enough = n.max(1);
    while !decides(enough) {
        enough *= 2;
        if enough > MOST {
            return None;
        }
    }
    let mut short = enough / 2;
    while enough - short > 1 {
        let middle = u64::midpoint(short, enough);
        if decides(middle) { enough = middle } else { short = middle }
    }
    Some(enough.saturating_sub(n))
}

/// Returns the greatest k with P(B ≤ k) ≤ 2.5 % for B binomial in `n` and `p`; nothing where
/// even P(B = 0) is more.
///
/// The sum begins far enough below the mean for what it leaves out to vanish: 12 standard
/// deviations, and 30 more where the law is nearly Poisson.
fn tail_count(n: u64, p: f64) -> Option<u64> {
    let size = n as f64;
    let reach = 12.0 * (size * p * (1.0 - p)).sqrt() + 30.0;
    let start = (size * p - reach).floor().max(0.0);
    let ln_choose = ln_gamma(size + 1.0) - ln_gamma(start + 1.0) - ln_gamma(size - start + 1.0);
    let mut mass = (ln_choose + start * p.ln() + (size - start) * (1.0 - p).ln()).exp();
    let mut below = 0.0;
    let mut k = start;
    while k <= size {
        below += mass;
        if below > TAIL {
            break;
        }
        mass *= (size - k) / (k + 1.0) * p / (1.0 - p);
        k += 1.0;
    }
    (k >= 1.0).then(|| k as u64 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use statrs::distribution::{Binomial, DiscreteCDF};

    fn interval_ranks(percentile: Percentile, n: u64) -> Option<(u64, u64)> {
        Some((percentile.lower_rank(n)?, percentile.upper_rank(n)?))
    }

    const ALL: [Percentile; 5] =
        [Percentile::P50, Percentile::P90, Percentile::P95, Percentile::P99, Percentile::P999];

    #[test]
    fn a_percentile_needs_one_observation_above_it() {
        for percentile in &ALL[1..] {
            assert_eq!(percentile.size_min() * (1000 - percentile.permille()), 1000);
        }
    }

    #[test]
    fn the_median_of_six_lies_between_the_extremes() {
        // P(B = 0) = 1/64 ≤ 2.5 %, and with five observations 1/32 is more.
        assert_eq!(interval_ranks(Percentile::P50, 6), Some((1, 6)));
        assert_eq!(interval_ranks(Percentile::P50, 5), None);
        // P(B ≤ 39) = 1.8 % and P(B ≤ 40) = 2.8 % of 100, and symmetrically.
        assert_eq!(interval_ranks(Percentile::P50, 100), Some((40, 61)));
    }

    #[test]
    fn an_upper_rank_of_p99_exists_from_368_observations_on() {
        // 0.99^n ≤ 0.025 first at n = 368.
        assert_eq!(interval_ranks(Percentile::P99, 367), None);
        assert_eq!(interval_ranks(Percentile::P99, 368).map(|(_, upper)| upper), Some(368));
    }

    #[test]
    fn a_million_observations_agree_with_the_normal_limit() {
        let (lower, upper) = interval_ranks(Percentile::P50, 1_000_000).unwrap();
        assert!((499_019..=499_022).contains(&lower), "{lower}");
        assert!((500_979..=500_982).contains(&upper), "{upper}");
    }

    #[test]
    fn a_decision_takes_as_many_observations_as_its_distance_from_the_limit_asks() {
        // 368 observations within are the fewest that can show that 99 % are.
        assert_eq!(Percentile::P99.more_to_decide(100, 0), Some(268));
        assert_eq!(Percentile::P99.more_to_decide(368, 0), Some(0));
        // 1 % exceed: that is the limit itself.
        assert_eq!(Percentile::P99.more_to_decide(100, 1), None);
        let near = Percentile::P50.more_to_decide(100, 45).unwrap();
        let far = Percentile::P50.more_to_decide(100, 40).unwrap();
        assert!(far < near && near < 400, "{far} {near}");
    }

    proptest! {
        #[test]
        fn ranks_satisfy_their_definition(n in 1_u64..3000, which in 0_usize..5) {
            let percentile = ALL[which];
            let law = Binomial::new(percentile.fraction(), n).unwrap();
            let below = |rank: u64| if rank == 0 { 0.0 } else { law.cdf(rank - 1) };
            let slack = 1e-9;
            let Some((lower, upper)) = interval_ranks(percentile, n) else {
                prop_assert!(below(1) > TAIL - slack || below(n) < 1.0 - TAIL + slack);
                return Ok(());
            };
            prop_assert!(1 <= lower && lower < upper && upper <= n);
            prop_assert!(below(lower) <= TAIL + slack && below(lower + 1) > TAIL - slack);
            prop_assert!(below(upper) >= 1.0 - TAIL - slack);
            prop_assert!(below(upper - 1) < 1.0 - TAIL + slack);
            let rank = percentile.rank(n);
            prop_assert!(lower <= rank && rank <= upper);
        }
    }
}
