//! Random draws from a seed: indices, unit reals, standard normals.
//!
//! The generator is named (PCG64), so that a seed draws the same on every machine and after
//! every upgrade. Not here: which stream a draw belongs to; that is the seed's name.

use std::f64::consts::TAU;

use infermark_terms::Seed;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// A stream of draws.
pub(crate) struct Draws(Pcg64);

impl Draws {
    /// Returns the stream of this seed.
    pub(crate) fn new(seed: Seed) -> Self {
        Self(Pcg64::seed_from_u64(seed.0))
    }

    /// Draws from `0..below`, each alike up to 2⁻⁶⁴ × `below` (Lemire's multiplication).
    pub(crate) fn index(&mut self, below: usize) -> usize {
        assert!(below > 0, "there is something to draw from");
        ((u128::from(self.0.next_u64()) * below as u128) >> 64) as usize
    }

    /// Draws from (0, 1], in steps of 2⁻⁵³; never 0, so that its logarithm exists.
    pub(crate) fn unit(&mut self) -> f64 {
        Seed(self.0.next_u64()).unit_above_zero()
    }

    /// Draws from the standard normal distribution (Box and Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        radius * (TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_numbers_for_ever() {
        let mut draws = Draws::new(Seed(7));
        let numbers: Vec<_> = (0..6).map(|_| draws.index(1000)).collect();
        assert_eq!(numbers, [0, 231, 901, 835, 491, 591]);
    }

    #[test]
    fn normal_draws_have_mean_0_and_variance_1() {
        let mut draws = Draws::new(Seed(1));
        let numbers: Vec<_> = (0..40_000).map(|_| draws.normal()).collect();
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        let variance =
            numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / numbers.len() as f64;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.03, "{variance}");
    }
}
