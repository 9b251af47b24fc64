//! Lengths in tokens, drawn from a distribution for each request.
//!
//! Invariant: every draw lies within the distribution's bounds and at or above the floor.

use infermark_scenario::intent::Distribution;
use infermark_terms::{RequestId, Seed};

use crate::draw::Draws;

/// How often a draw outside the bounds is repeated before the last one is moved to the nearer
/// bound. Bounds that hold even 1 % of the distribution fail this often once in 23,000 draws.
const REDRAWS: u32 = 1000;

/// A distribution of lengths with its own random stream.
pub(crate) struct Lengths {
    law: Distribution,
    min: u32,
    max: u32,
    seed: Seed,
}

impl Lengths {
    /// Returns the lengths of `law` that are at least `floor`: the lower bound is raised to it.
    /// Nothing where even the greatest length lies below the floor.
    pub(crate) fn new(law: Distribution, floor: u32, seed: Seed) -> Option<Self> {
        let (min, max) = match law {
            Distribution::Fixed(tokens) => (tokens, tokens),
            Distribution::Normal { min, max, .. }
            | Distribution::Uniform { min, max }
            | Distribution::LogNormal { min, max, .. } => (min, max),
        };
        (floor <= max).then_some(Self { law, min: min.max(floor), max, seed })
    }

    /// Returns the length for this request.
    pub(crate) fn draw(&self, id: RequestId) -> u32 {
        let mut draws = Draws::new(self.seed.at(id.0));
        match self.law {
            Distribution::Fixed(tokens) => tokens,
            Distribution::Uniform { .. } => {
                self.min + draws.index((self.max - self.min) as usize + 1) as u32
            }
            Distribution::Normal { mean, sd, .. } => self.redraw(|| mean + sd * draws.normal()),
            Distribution::LogNormal { mean, sd, .. } => {
                let (mu, sigma) = log_moments(mean, sd);
                self.redraw(|| (mu + sigma * draws.normal()).exp())
            }
        }
    }

    /// Draws until the rounded length lies within the bounds.
    fn redraw(&self, mut draw: impl FnMut() -> f64) -> u32 {
        let (min, max) = (f64::from(self.min), f64::from(self.max));
        let mut drawn = draw().round();
        for _ in 0..REDRAWS {
            if (min..=max).contains(&drawn) {
                break;
            }
            drawn = draw().round();
        }
        drawn.clamp(min, max) as u32
    }
}

/// Returns mean and standard deviation of the logarithm of a lognormal variable whose own mean
/// and standard deviation are given: σ² = ln(1 + (sd ÷ mean)²), μ = ln(mean) − σ² ÷ 2.
fn log_moments(mean: f64, sd: f64) -> (f64, f64) {
    let variance = (1.0 + (sd / mean).powi(2)).ln();
    (mean.ln() - variance / 2.0, variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(law: Distribution, floor: u32) -> Vec<u32> {
        let lengths = Lengths::new(law, floor, Seed(3)).unwrap();
        (0..20_000).map(|id| lengths.draw(RequestId(id))).collect()
    }

    fn moments(sample: &[u32]) -> (f64, f64) {
        let n = sample.len() as f64;
        let mean = sample.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let variance = sample.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
        (mean, variance.sqrt())
    }

    #[test]
    fn wide_bounds_leave_mean_and_deviation_as_asked() {
        let (min, max) = (1, 1_000_000);
        for law in [
            Distribution::Normal { mean: 512.0, sd: 64.0, min, max },
            Distribution::LogNormal { mean: 512.0, sd: 64.0, min, max },
        ] {
            let (mean, sd) = moments(&sample(law, 1));
            assert!((mean - 512.0).abs() < 2.0, "{law:?}: mean {mean}");
            assert!((sd - 64.0).abs() < 2.0, "{law:?}: deviation {sd}");
        }
    }

    #[test]
    fn uniform_lengths_are_all_alike() {
        let drawn = sample(Distribution::Uniform { min: 3, max: 12 }, 1);
        for length in 3..=12 {
            let share = drawn.iter().filter(|&&x| x == length).count();
            assert!((1800..2200).contains(&share), "{length}: {share}");
        }
    }

    #[test]
    fn a_floor_raises_the_lower_bound_and_a_floor_above_all_is_refused() {
        let law = Distribution::Uniform { min: 1, max: 40 };
        assert_eq!(sample(law, 30).into_iter().min(), Some(30));
        assert!(Lengths::new(law, 41, Seed(1)).is_none());
        assert!(Lengths::new(Distribution::Fixed(9), 10, Seed(1)).is_none());
    }

    #[test]
    fn bounds_far_from_the_mean_are_reached_not_passed() {
        let law = Distribution::Normal { mean: 10.0, sd: 0.5, min: 500, max: 600 };
        let lengths = Lengths::new(law, 1, Seed(1)).unwrap();
        assert_eq!(lengths.draw(RequestId(0)), 500);
    }

    proptest! {
        #[test]
        fn every_draw_lies_within_its_bounds(
            mean in 1.0..5000.0_f64,
            sd in 0.0..5000.0_f64,
            min in 1..2000_u32,
            span in 0..2000_u32,
            id in any::<u64>(),
        ) {
            let max = min + span;
            for law in [
                Distribution::Normal { mean, sd, min, max },
                Distribution::LogNormal { mean, sd, min, max },
                Distribution::Uniform { min, max },
            ] {
                let length = Lengths::new(law, 1, Seed(9)).unwrap().draw(RequestId(id));
                prop_assert!((min..=max).contains(&length));
            }
        }
    }
}
