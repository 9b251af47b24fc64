//! Statistics as peers compute them: NumPy's mean, standard deviation and percentiles, bit for bit,
//! and the other rules in use.
//!
//! Bit for bit matters: a result that we write must be the one that the peer would have written.
//! Deliberately not here: infermark's own percentiles and intervals (`measure`).

/// What a peer says of a sample. Whatever it does not say is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// How many observations.
    pub count: Option<u64>,
    /// The mean.
    pub mean: Option<f64>,
    /// The standard deviation, by the peer's own formula.
    pub std: Option<f64>,
    /// The least.
    pub min: Option<f64>,
    /// The greatest.
    pub max: Option<f64>,
    /// Percentiles, each with its percentage, in ascending order.
    pub percentiles: Vec<(f64, f64)>,
}

impl Stats {
    /// Returns the percentile of this percentage, where given.
    pub fn percentile(&self, percentage: f64) -> Option<f64> {
        self.percentiles.iter().find(|(p, _)| (p - percentage).abs() < 1e-9).map(|&(_, v)| v)
    }

    /// Returns all values times a factor: for a change of unit.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let by = |value: Option<f64>| value.map(|value| value * factor);
        Self {
            count: self.count,
            mean: by(self.mean),
            std: by(self.std),
            min: by(self.min),
            max: by(self.max),
            percentiles: self.percentiles.iter().map(|&(p, v)| (p, v * factor)).collect(),
        }
    }

    /// Describes a sample; absent where it is empty, since nothing was observed.
    pub(crate) fn of(sample: &[f64], rule: Rule, percentages: &[f64]) -> Option<Self> {
        let sorted = sorted(sample);
        let percentiles = percentages.iter().map(|&p| (p, rule.percentile(&sorted, p)));
        Some(Self {
            count: Some(sample.len() as u64),
            mean: Some(mean(sample)),
            std: Some(std(sample)),
            min: Some(*sorted.first()?),
            max: Some(*sorted.last()?),
            percentiles: percentiles.collect(),
        })
    }
}

/// How a percentile is taken from a sorted sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// NumPy's default: linear between the two nearest ranks.
    Linear,
    /// MLPerf's: the observation at floor(n·p), from 0.
    Floor,
}

impl Rule {
    fn percentile(self, sorted: &[f64], percentage: f64) -> f64 {
        match self {
            Self::Linear => linear(sorted, percentage),
            Self::Floor => {
                let at = (sorted.len() as f64 * percentage / 100.0) as usize;
                sorted[at.min(sorted.len() - 1)]
            }
        }
    }
}

pub(crate) fn sorted(sample: &[f64]) -> Vec<f64> {
    let mut sorted = sample.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// NumPy's mean; NaN of nothing.
pub(crate) fn mean(sample: &[f64]) -> f64 {
    pairwise_sum(sample) / sample.len() as f64
}

/// NumPy's standard deviation: of the population, not of a sample.
pub(crate) fn std(sample: &[f64]) -> f64 {
    let mean = mean(sample);
    let squares: Vec<_> = sample.iter().map(|value| (value - mean) * (value - mean)).collect();
    (pairwise_sum(&squares) / sample.len() as f64).sqrt()
}

/// NumPy's median: the mean of the middle two.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    match sorted.len() % 2 {
        0 => mean(&sorted[half - 1..=half]),
        _ => sorted[half],
    }
}

/// NumPy's `percentile` of a sorted sample that is not empty.
///
/// The interpolation starts from the nearer end, as NumPy's does: otherwise the last bit differs.
pub(crate) fn linear(sorted: &[f64], percentage: f64) -> f64 {
    let place = (sorted.len() - 1) as f64 * (percentage / 100.0);
    let low = place.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    let (share, gap) = (place - place.floor(), sorted[high] - sorted[low]);
    if share < 0.5 { sorted[low] + gap * share } else { sorted[high] - gap * (1.0 - share) }
}

/// NumPy's sum of a contiguous array: eight running sums within blocks of 128, halves above.
fn pairwise_sum(values: &[f64]) -> f64 {
    const BLOCK: usize = 128;
    let n = values.len();
    if n < 8 {
        return values.iter().sum();
    }
    if n > BLOCK {
        let half = n / 2;
        let (left, right) = values.split_at(half - half % 8);
        return pairwise_sum(left) + pairwise_sum(right);
    }
    let (body, rest) = values.split_at(n - n % 8);
    let mut sums = [0.0; 8];
    sums.copy_from_slice(&body[..8]);
    for eight in body[8..].chunks_exact(8) {
        for (sum, value) in sums.iter_mut().zip(eight) {
            *sum += value;
        }
    }
    let low = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    let whole = low + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    rest.iter().fold(whole, |sum, value| sum + value)
}

#[cfg(test)]
#[expect(clippy::unreadable_literal, reason = "figures stand as NumPy prints them")]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_numpys() {
        // numpy 2.3: np.percentile([.1, .2, .4, .8], [25, 50, 90, 99.9])
        let sample = [0.1, 0.2, 0.4, 0.8];
        let taken: Vec<_> = [25.0, 50.0, 90.0, 99.9].map(|p| linear(&sample, p)).into();
        assert_eq!(
            taken,
            [0.17500000000000002, 0.30000000000000004, 0.6800000000000002, 0.7988000000000002]
        );
        assert_eq!((median(&sample), median(&sample[..1])), (0.30000000000000004, 0.1));
        assert_eq!((median(&[1.0, 2.0, 9.0]), linear(&[7.0], 99.0)), (2.0, 7.0));
    }

    #[test]
    fn floor_takes_an_observation() {
        let stats = Stats::of(&[3.0, 1.0, 2.0, 4.0], Rule::Floor, &[50.0, 100.0]).unwrap();
        assert_eq!(stats.percentiles, [(50.0, 3.0), (100.0, 4.0)]);
        assert_eq!(Stats::of(&[], Rule::Floor, &[50.0]), None);
    }

    #[test]
    fn sums_are_in_numpys_order() {
        let sample: Vec<f64> = (0..1000).map(|i| f64::from(i % 37) / 7.3).collect();
        // numpy 2.3: b = (np.arange(1000) % 37) / 7.3; np.sum(b), np.std(b), np.mean(b[:100])
        assert_eq!(
            (pairwise_sum(&sample), std(&sample), mean(&sample[..100])),
            (2463.287671232877, 1.4639579067929858, 2.2698630136986298)
        );
    }
}
