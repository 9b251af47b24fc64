//! The share of requests of which something is true, with its exact interval.

use statrs::function::beta::beta_reg;

use crate::percentile::{TAIL, more_until};

/// So many halvings find a share to the last bit.
const HALVINGS: u32 = 60;

/// Returns the 95 % interval of a probability of which `count` out of `size` independent trials
/// succeeded: Clopper and Pearson (1934, Biometrika 26:404), from the tails of the binomial law.
pub fn interval(count: f64, size: f64) -> [f64; 2] {
    // P(B ≥ k) = I_p(k, n − k + 1) rises with p, P(B ≤ k) = 1 − I_p(k + 1, n − k) falls.
    let low =
        if count > 0.0 { root(|p| beta_reg(count, size - count + 1.0, p), TAIL) } else { 0.0 };
    let high = if count < size {
        root(|p| beta_reg(count + 1.0, size - count, p), 1.0 - TAIL)
    } else {
        1.0
    };
    [low, high]
}

/// Returns where a function that rises from 0 to 1 over the unit interval takes a value.
fn root(rising: impl Fn(f64) -> f64, value: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if rising(middle) < value { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// Returns how many more trials would decide on which side of a limit the probability lies,
/// should the same share of them succeed. Nothing where no number does.
pub(crate) fn more_to_decide(count: u64, size: u64, limit: f64) -> Option<u64> {
    let share = count as f64 / size as f64;
    more_until(size, |more| {
        let [low, high] = interval(share * more as f64, more as f64);
        high <= limit || low > limit
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables() {
        let near = |[low, high]: [f64; 2], expected: [f64; 2]| {
            (low - expected[0]).abs() < 5e-5 && (high - expected[1]).abs() < 5e-5
        };
        // R: binom.test(1, 10), binom.test(50, 100)
        assert!(near(interval(1.0, 10.0), [0.0025, 0.4450]));
        assert!(near(interval(50.0, 100.0), [0.3983, 0.6017]));
        // Without any failure: 1 − 0.025^(1/n).
        let none = 1.0 - 0.025_f64.powf(1.0 / 368.0);
        assert!(near(interval(0.0, 368.0), [0.0, none]));
        assert!(near(interval(368.0, 368.0), [1.0 - none, 1.0]));
    }

    #[test]
    fn a_decision_needs_trials() {
        assert_eq!(more_to_decide(0, 100, 0.01), Some(268));
        assert_eq!(more_to_decide(50, 100, 0.01), Some(0));
        assert_eq!(more_to_decide(1, 100, 0.01), None);
    }
}
