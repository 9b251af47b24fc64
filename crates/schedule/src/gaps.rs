//! The law of arrivals: independent gaps of mean 1, before any rate stretches them.
//!
//! Written out here rather than taken from a library of distributions, so that a seed gives the
//! same arrivals after every upgrade.

use std::f64::consts::TAU;

use infermark_scenario::intent::Arrivals;
use infermark_terms::Seed;
use rand_core::Rng;
use rand_pcg::Pcg64Mcg;

/// An endless stream of gaps.
pub(crate) struct Gaps {
    law: Arrivals,
    random: Pcg64Mcg,
}

impl Gaps {
    pub(crate) fn new(law: Arrivals, seed: Seed) -> Self {
        let state = u128::from(seed.at(0).0) << 64 | u128::from(seed.at(1).0);
        Self { law, random: Pcg64Mcg::new(state) }
    }

    /// Returns the gap from the start of the load to the first arrival.
    ///
    /// With equal gaps the first arrival is at the start itself: a window without a warm-up then
    /// holds as many as one after it, not one fewer. The other laws begin with a gap: for Poisson
    /// this is what makes every interval, the first included, hold as many as the rate says.
    pub(crate) fn first(&mut self) -> f64 {
        match self.law {
            Arrivals::Constant => 0.0,
            Arrivals::Poisson | Arrivals::Gamma { .. } => self.draw(),
        }
    }

    /// Returns the next gap.
    pub(crate) fn draw(&mut self) -> f64 {
        match self.law {
            Arrivals::Constant => 1.0,
            Arrivals::Poisson => -self.uniform().ln(),
            Arrivals::Gamma { cv } => self.gamma(cv * cv),
        }
    }

    /// Returns a gamma variate of mean 1 and this variance, that is, of shape 1/variance.
    ///
    /// A shape below 1 is reached from the shape above it by `G(a) = G(a + 1) · U^(1/a)`
    /// (Marsaglia and Tsang 2000, section 6); the factor restores the mean.
    fn gamma(&mut self, variance: f64) -> f64 {
        if variance <= 1.0 {
            return self.narrow_gamma(variance);
        }
        let above = self.narrow_gamma(variance / (1.0 + variance));
        above * self.uniform().powf(variance) * (1.0 + variance)
    }

    /// Likewise for a variance of at most 1, by Marsaglia and Tsang, "A simple method for
    /// generating gamma variables", ACM TOMS 26 (2000).
    ///
    /// Theirs is `d·v` with `d = shape − 1/3` and `c = 1/√(9d)`. Here `d·v` is divided by the
    /// shape, and written in the variance so that none of it overflows as the variance goes
    /// to 0.
    fn narrow_gamma(&mut self, variance: f64) -> f64 {
        let d = 1.0 / variance - 1.0 / 3.0;
        let d_over_shape = 1.0 - variance / 3.0;
        let c = (variance / (9.0 * d_over_shape)).sqrt();
        loop {
            let normal = self.normal();
            let chance = self.uniform();
            let v = (1.0 + c * normal).powi(3);
            let surely = chance < 1.0 - 0.0331 * normal.powi(4);
            let bound = 0.5 * normal * normal + d * (1.0 - v + v.ln());
            if v > 0.0 && (surely || chance.ln() < bound) {
                return d_over_shape * v;
            }
        }
    }

    /// Returns a standard normal variate (Box and Muller 1958; the second of the pair is not
    /// kept, so that each draw stands alone).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (TAU * self.uniform()).cos()
    }

    /// Returns a uniform variate, above 0 and below 1: the middle of one of 2⁵² equal cells.
    fn uniform(&mut self) -> f64 {
        ((self.random.next_u64() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::distribution::{ContinuousCDF, Gamma};

    const SAMPLE: usize = 20_000;

    fn sample(law: Arrivals, seed: u64) -> Vec<f64> {
        let mut gaps = Gaps::new(law, Seed(seed));
        (0..SAMPLE).map(|_| gaps.draw()).collect()
    }

    /// Returns √n times the greatest distance between the sample's distribution and the law
    /// (Kolmogorov and Smirnov). Above 1.63 in one sample of a hundred from the law itself.
    fn distance(mut sample: Vec<f64>, law: impl Fn(f64) -> f64) -> f64 {
        sample.sort_by(f64::total_cmp);
        let n = sample.len() as f64;
        let greatest = sample.iter().enumerate().map(|(i, &x)| {
            let (below, above) = (i as f64 / n, (i + 1) as f64 / n);
            (law(x) - below).max(above - law(x))
        });
        greatest.fold(0.0, f64::max) * n.sqrt()
    }

    #[test]
    fn poisson_gaps_are_exponential() {
        for seed in 0..5 {
            let found = distance(sample(Arrivals::Poisson, seed), |x| 1.0 - (-x).exp());
            assert!(found < 1.63, "seed {seed}: {found}");
        }
    }

    #[test]
    fn gamma_gaps_have_their_shape_and_mean_one() {
        for (seed, cv) in [0.1, 0.5, 1.0, 1.5, 3.0].into_iter().enumerate() {
            let shape = 1.0 / (cv * cv);
            let law = Gamma::new(shape, shape).unwrap();
            let found = distance(sample(Arrivals::Gamma { cv }, seed as u64), |x| law.cdf(x));
            assert!(found < 1.63, "cv {cv}: {found}");
        }
    }

    #[test]
    fn every_law_has_mean_one_and_its_own_variation() {
        let laws = [
            (Arrivals::Constant, 0.0),
            (Arrivals::Poisson, 1.0),
            (Arrivals::Gamma { cv: 0.3 }, 0.3),
            (Arrivals::Gamma { cv: 2.0 }, 2.0),
        ];
        for (law, cv) in laws {
            let gaps = sample(law, 7);
            let n = gaps.len() as f64;
            let mean = gaps.iter().sum::<f64>() / n;
            let sd = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / n).sqrt();
            // Four standard errors of the mean.
            assert!((mean - 1.0).abs() <= 4.0 * cv / n.sqrt(), "{law:?}: mean {mean}");
            assert!((sd - cv).abs() <= 0.05 * cv, "{law:?}: deviation {sd}");
        }
    }

    #[test]
    fn successive_gaps_are_independent() {
        let bound = 4.0 / (SAMPLE as f64).sqrt();
        for law in [Arrivals::Poisson, Arrivals::Gamma { cv: 0.5 }, Arrivals::Gamma { cv: 2.0 }] {
            let gaps = sample(law, 11);
            let covariance = |lag: usize| {
                gaps.windows(lag + 1).map(|w| (w[0] - 1.0) * (w[lag] - 1.0)).sum::<f64>()
            };
            for lag in 1..4 {
                let correlation = covariance(lag) / covariance(0);
                assert!(correlation.abs() < bound, "{law:?}, lag {lag}: {correlation}");
            }
        }
    }

    #[test]
    fn a_gap_is_never_negative_or_undefined() {
        for cv in [1e-200, 1e-3, 1.0, 30.0] {
            let gaps = sample(Arrivals::Gamma { cv }, 3);
            assert!(gaps.iter().all(|gap| gap.is_finite() && *gap >= 0.0), "cv {cv}");
        }
    }

    #[test]
    fn a_seed_gives_the_same_gaps_for_ever() {
        let nanos = |law| sample(law, 1)[..4].iter().map(|gap| (gap * 1e9).round()).collect();
        let poisson: Vec<f64> = nanos(Arrivals::Poisson);
        let gamma: Vec<f64> = nanos(Arrivals::Gamma { cv: 2.0 });
        assert_eq!(poisson, [1_805_849_245.0, 227_250_269.0, 367_810_590.0, 489_428_958.0]);
        assert_eq!(gamma, [875_548_094.0, 25_973_102.0, 401_542_146.0, 390.0]);
    }
}
