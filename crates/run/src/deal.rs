//! Which server an arrival goes to, where several share the load.
//!
//! A function of the arrival's number alone, so that shards need no master and a run can be made
//! again. The numbers' multiples of the golden section, taken modulo 1, lie as evenly as can be
//! however they are strided [Knuth, The Art of Computer Programming 3, section 6.4]; each server
//! owns a stretch of the unit interval as long as its share.

use infermark_terms::{RequestId, Seed};

/// 2^64 ÷ the golden section, rounded to an odd number.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Deals arrivals to servers.
pub(crate) struct Deal {
    /// Where each server's stretch ends; the last has no end.
    ends: Vec<f64>,
}

impl Deal {
    /// Deals by these weights, which are above 0 and finite; there is at least one.
    pub(crate) fn by(weights: &[f64]) -> Self {
        let sum: f64 = weights.iter().sum();
        let mut end = 0.0;
        let ends = weights.iter().map(|weight| {
            end += weight / sum;
            end
        });
        let mut ends: Vec<_> = ends.collect();
        let _last: Option<f64> = ends.pop();
        Self { ends }
    }

    /// Returns the server of an arrival.
    pub(crate) fn server(&self, id: RequestId) -> u32 {
        let at = Seed(id.0.wrapping_mul(GOLDEN)).unit();
        self.ends.partition_point(|&end| end <= at) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_gets_its_share_however_few_there_are_and_whichever_shard_asks() {
        for weights in [&[1.0][..], &[1.0, 1.0], &[1.0, 2.0, 0.5], &[1.0, 1000.0]] {
            let deal = Deal::by(weights);
            let sum: f64 = weights.iter().sum();
            for (stride, first) in [(1, 0), (2, 1), (3, 2), (8, 5)] {
                for count in [10, 100, 1000, 10_000] {
                    let mut shares = vec![0_u32; weights.len()];
                    for step in 0..count {
                        shares[deal.server(RequestId(first + step * stride)) as usize] += 1;
                    }
                    for (share, weight) in shares.into_iter().zip(weights) {
                        let off = f64::from(share) - count as f64 * weight / sum;
                        assert!(off.abs() < 5.0, "{weights:?} {stride} {count}: {off}");
                    }
                }
            }
        }
    }
}
