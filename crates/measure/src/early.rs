//! `MLPerf`'s early stopping: how many requests it takes to say that a percentile lies within its
//! limit.
//!
//! Of n requests t were over the limit. Were the limit just the percentile p, so few or fewer
//! would be over it with probability `I_p(n − t, 1 + t)`, the regularised incomplete beta
//! function. That must be at most 1 % (`MLPerf` `LoadGen`, `early_stopping.cc`, tolerance 0).

use statrs::function::beta::beta_reg;

/// One minus the confidence.
const DOUBT: f64 = 0.01;
/// More requests than that decide nothing that fewer do not.
const REQUESTS_MAX: u64 = 1 << 40;

/// Returns the least number of requests that must be within a limit, if so many are over it, for
/// the percentile `share` to be within it with 99 % confidence.
///
/// # Panics
///
/// If `share` is not between 0 and 1.
pub fn within_min(over: u64, share: f64) -> u64 {
    assert!(share > 0.0 && share < 1.0, "{share} is the share of a percentile");
    let holds = |within: u64| beta_reg(within as f64, over as f64 + 1.0, share) <= DOUBT;
    let mut high = 1;
    while !holds(high) && high < REQUESTS_MAX {
        high *= 2;
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_numbers_are_those_of_the_published_table() {
        // Total queries by percentile, for 0, 1, 2, 5, 10 and 50 over the limit.
        for (share, totals) in [
            (0.90, [44, 64, 81, 127, 197, 681]),
            (0.95, [90, 130, 165, 259, 398, 1372]),
            (0.99, [459, 662, 838, 1307, 2010, 6898]),
            (0.999, [4603, 6636, 8403, 13105, 20140, 69058]),
        ] {
            let ours = [0, 1, 2, 5, 10, 50].map(|over| within_min(over, share) + over);
            assert_eq!(ours, totals, "{share}");
        }
    }
}
