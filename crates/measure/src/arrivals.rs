//! Whether gaps between arrivals follow the law that was asked for.

use statrs::function::gamma::gamma_lr;

use crate::ArrivalLaw;

/// Below this, in seconds, gaps are not told apart: instants are whole nanoseconds, and a bursty
/// law has many gaps below one (of `gamma(3)` at 200/s, one in seven).
const GRAIN_S: f64 = 1e-6;

/// How a sample of gaps compares with the law that was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fit {
    /// The greatest distance between the sample's distribution and the law's.
    pub(crate) distance: f64,
    /// How probable so great a distance is where the law holds.
    pub(crate) p: f64,
}

/// Tests gaps in seconds against the law at a rate: the one-sample Kolmogorov–Smirnov test, with
/// the law fully given beforehand. Distances are taken from the grain upwards, which can only
/// spare a law. Absent for constant gaps, whose distribution is one step, and without gaps.
pub(crate) fn fit(mut gaps: Vec<f64>, law: ArrivalLaw, rate_rps: f64) -> Option<Fit> {
    let shape = match law {
        ArrivalLaw::Constant => return None,
        ArrivalLaw::Poisson => 1.0,
        ArrivalLaw::Gamma { cv } => cv.powi(-2),
    };
    // Gaps of mean 1 ÷ rate: the gamma law of this shape at the scale 1 ÷ (shape · rate).
    let below = |gap: f64| if gap > 0.0 { gamma_lr(shape, gap * shape * rate_rps) } else { 0.0 };
    gaps.sort_unstable_by(f64::total_cmp);
    let count = gaps.len() as f64;
    if gaps.is_empty() {
        return None;
    }
    let tied = gaps.partition_point(|&gap| gap < GRAIN_S);
    let at_grain = (tied as f64 / count - below(GRAIN_S)).abs();
    let distance = gaps
        .iter()
        .enumerate()
        .skip(tied)
        .map(|(index, &gap)| {
            let (at, index) = (below(gap), index as f64);
            (at - index / count).max((index + 1.0) / count - at)
        })
        .fold(at_grain, f64::max);
    Some(Fit { distance, p: kolmogorov(distance, count) })
}

/// Returns the probability of a Kolmogorov–Smirnov distance of at least `distance` between a law
/// and `count` draws from it: Kolmogorov's limit with the correction of Stephens (1970, J. R.
/// Stat. Soc. B 32:115), good to two digits from four draws on.
fn kolmogorov(distance: f64, count: f64) -> f64 {
    let lambda = (count.sqrt() + 0.12 + 0.11 / count.sqrt()) * distance;
    // Below this the probability is 1 to ten digits, and the series is slow.
    if lambda < 0.2 {
        return 1.0;
    }
    let term = |k: f64| (-2.0 * (k * lambda).powi(2)).exp();
    let series: f64 = (1..=20).map(|k| 2.0 * term(f64::from(k)) * SIGN[(k % 2) as usize]).sum();
    series.clamp(0.0, 1.0)
}

/// The sign of each term of Kolmogorov's series, by its parity: even, odd.
const SIGN: [f64; 2] = [-1.0, 1.0];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Noise;

    #[test]
    fn the_probabilities_are_those_of_the_table() {
        // Critical values of Kolmogorov's limit: 1.358 at 5 %, 1.628 at 1 %, 1.949 at 0.1 %.
        for (lambda, p) in [(1.358, 0.05), (1.628, 0.01), (1.949, 0.001)] {
            let got = kolmogorov(lambda / 1e4, 1e8);
            assert!((got / p - 1.0).abs() < 0.01, "{lambda}: {got}");
        }
        assert!(kolmogorov(1e-9, 100.0) >= 1.0);
    }

    #[test]
    fn a_true_law_is_rarely_refused_and_a_false_one_always() {
        let mut noise = Noise::new(3);
        let mut refused = 0;
        for _ in 0..200 {
            let gaps: Vec<f64> = (0..200).map(|_| noise.exponential() / 5.0).collect();
            refused += usize::from(fit(gaps.clone(), ArrivalLaw::Poisson, 5.0).unwrap().p < 0.05);
            assert!(fit(gaps.clone(), ArrivalLaw::Gamma { cv: 3.0 }, 5.0).unwrap().p < 1e-3);
            assert!(fit(gaps, ArrivalLaw::Poisson, 10.0).unwrap().p < 1e-3);
        }
        assert!((4..=18).contains(&refused), "{refused} of 200 at 5 %");
    }

    #[test]
    fn a_bursty_law_in_whole_nanoseconds_is_rarely_refused_and_a_false_one_always() {
        let mut noise = Noise::new(11);
        let law = |cv| ArrivalLaw::Gamma { cv };
        let mut refused = 0;
        for _ in 0..100 {
            let mut at = 0.0;
            let dues: Vec<u64> = (0..=2000)
                .map(|_| {
                    at += noise.gamma(3.0) / 200.0;
                    (at * 1e9) as u64
                })
                .collect();
            let gaps: Vec<f64> =
                dues.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e9).collect();
            assert!(gaps.contains(&0.0));
            refused += usize::from(fit(gaps.clone(), law(3.0), 200.0).unwrap().p < 0.05);
            assert!(fit(gaps.clone(), law(2.0), 200.0).unwrap().p < 1e-3);
            assert!(fit(gaps, ArrivalLaw::Poisson, 200.0).unwrap().p < 1e-3);
        }
        assert!(refused <= 11, "{refused} of 100 at 5 %");
        assert_eq!(fit(Vec::new(), law(3.0), 200.0), None);
    }

    #[test]
    fn the_gamma_law_of_coefficient_one_is_the_poisson_law() {
        let gaps: Vec<f64> = (1..100).map(|i| f64::from(i) / 50.0).collect();
        let (poisson, gamma) = (
            fit(gaps.clone(), ArrivalLaw::Poisson, 1.0).unwrap(),
            fit(gaps.clone(), ArrivalLaw::Gamma { cv: 1.0 }, 1.0).unwrap(),
        );
        assert!((poisson.distance - gamma.distance).abs() < 1e-12);
        assert_eq!(fit(gaps, ArrivalLaw::Constant, 1.0), None);
    }
}
