//! Seeds, and the derivation of independent streams from one seed.
//!
//! Every random choice of a run descends from one [`Seed`], by name and by index, so that any
//! shard of the run, on any machine, draws the same numbers without having drawn the others.

use serde::{Deserialize, Serialize};

/// A seed of a random stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

impl Seed {
    /// Returns the seed of the stream with this name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        // FNV-1a over the name, then mixed with the seed: names differ in few bits.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(mix(self.0 ^ mix(hash)))
    }

    /// Returns the seed of the `index`-th member of this stream.
    #[must_use]
    pub fn at(self, index: u64) -> Self {
        Self(mix(self.0.wrapping_add(mix(index.wrapping_add(0x9e37_79b9_7f4a_7c15)))))
    }

    /// Returns a number from 0 up to but not 1, in steps of 2⁻⁵³.
    pub const fn unit(self) -> f64 {
        self.top() as f64 / STEPS
    }

    /// Returns a number above 0 and up to 1, in steps of 2⁻⁵³: one whose logarithm exists.
    pub const fn unit_above_zero(self) -> f64 {
        (self.top() + 1) as f64 / STEPS
    }

    /// Returns as many of its bits as a float holds exactly.
    const fn top(self) -> u64 {
        self.0 >> 11
    }
}

/// How many numbers from 0 to 1 a seed can stand for: 2⁵³.
const STEPS: f64 = (1_u64 << 53) as f64;

/// Mixes all bits of `x` (the finalizer of `SplitMix64`, Steele et al. 2014).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_stands_for_a_number_from_0_to_1() {
        assert_eq!((Seed(0).unit(), Seed(0).unit_above_zero()), (0.0, 1.0 / STEPS));
        let last = Seed(u64::MAX);
        assert_eq!((last.unit(), last.unit_above_zero()), (1.0 - 1.0 / STEPS, 1.0));
        assert_eq!(Seed(1 << 63).unit().to_bits(), 0.5_f64.to_bits());
    }

    #[test]
    fn streams_differ_by_name_and_by_index() {
        let root = Seed(1);
        let mut seen = BTreeSet::new();
        for name in ["arrivals", "prompts", "lengths"] {
            for index in 0..1000 {
                assert!(seen.insert(root.named(name).at(index)));
            }
        }
        assert_eq!(root.named("a").at(3), Seed(1).named("a").at(3));
    }
}
