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
}

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
