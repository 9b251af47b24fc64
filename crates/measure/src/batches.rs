//! Intervals that autocorrelation does not shrink: batch means.
//!
//! Requests, in the order in which they were due, are cut into [`BATCHES`] runs of equal number.
//! Neighbours that resemble each other fall into the same batch, so what varies between batches
//! is what would vary between repetitions. A ratio of sums over batches (a mean: sum ÷ number; a
//! share: number below ÷ number) then has the standard error of a ratio of cluster totals.

/// How many batches (docs/metrics.md, section 5). Schmeiser (1982, Operations
/// Research 30:556) shows that more than 30 gain next to nothing and cost independence.
pub(crate) const BATCHES: usize = 20;

/// The fewest requests for an interval from batches: two in each.
pub(crate) const REQUESTS_MIN: u64 = 2 * BATCHES as u64;

/// The 97.5 % point of Student's t with `BATCHES − 1` degrees of freedom.
const T_975: f64 = 2.093_024_054_408_263;

/// The same of the normal law.
const Z_975: f64 = 1.959_963_984_540_054;

/// Returns the batch of the `index`-th of `count` requests in the order of `due`.
pub(crate) fn batch_of(index: usize, count: usize) -> u8 {
    (index * BATCHES / count) as u8
}

/// Sums over each batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Batches([Totals; BATCHES]);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Totals {
    sum: u128,
    weight: u64,
}

impl Batches {
    /// Adds to one batch; what it adds counts `weight` times in the ratio's denominator.
    pub(crate) fn add(&mut self, batch: u8, sum: u128, weight: u64) {
        let totals = &mut self.0[usize::from(batch)];
        totals.sum += sum;
        totals.weight += weight;
    }

    /// Returns Σ sums ÷ Σ weights. Some weight must have been added.
    pub(crate) fn ratio(&self) -> f64 {
        self.0.iter().map(|t| t.sum).sum::<u128>() as f64 / self.weight()
    }

    /// Returns half the width of the ratio's 95 % interval: t · se, with
    /// se² = B/(B−1) · Σ (sum − ratio · weight)² ÷ (Σ weight)²
    /// over the B batches (Cochran, Sampling Techniques, 3rd ed., chapter 6, for cluster totals).
    /// With equal weights this is the classical interval of batch means.
    pub(crate) fn half_width(&self) -> f64 {
        let ratio = self.ratio();
        let residuals = self.0.map(|t| t.sum as f64 - ratio * t.weight as f64);
        T_975 * (BATCHES as f64 * variance(&residuals)).sqrt() / self.weight()
    }

    /// Returns of how many independent observations the share that this ratio is would be known as
    /// well as it is from these `size`: at most `size`, at least 1.
    ///
    /// The share's variance between batches, over that of independent observations, is the design
    /// effect; size ÷ effect takes the place of the size in exact intervals, less the part that
    /// pays for an effect known from so few batches (Korn and Graubard 1998, Survey Methodology
    /// 24:193).
    pub(crate) fn effective_size(&self, size: u64) -> u64 {
        let share = self.ratio();
        let independent = share * (1.0 - share) / size as f64;
        if independent <= 0.0 {
            return size;
        }
        // half² ÷ T² is the variance, and T² ÷ Z² what few batches cost.
        let effect = (self.half_width() / Z_975).powi(2) / independent;
        ((size as f64 / effect.max(1.0)).round() as u64).max(1)
    }

    fn weight(&self) -> f64 {
        self.0.iter().map(|t| t.weight).sum::<u64>() as f64
    }
}

/// Returns how many more requests would shrink the half-width of an interval over `requests` to
/// `distance`: it shrinks with the root of their number. Without a half-width, as many as it takes
/// to have one. Nothing where no number does.
pub(crate) fn more_for_width(requests: u64, half: Option<f64>, distance: f64) -> Option<u64> {
    const MOST: f64 = 1e9;
    let Some(half) = half.filter(|_| requests >= REQUESTS_MIN) else {
        return Some(REQUESTS_MIN.saturating_sub(requests).max(1));
    };
    let needed = requests as f64 * (half / distance).powi(2);
    (needed <= MOST).then(|| (needed.ceil() as u64).saturating_sub(requests))
}

/// Returns half the width of the 95 % interval of the mean of values that stand for batches:
/// t · s ÷ √B.
pub(crate) fn half_width_of_mean(values: &[f64; BATCHES]) -> f64 {
    T_975 * standard_error(values)
}

/// Returns the standard error of the mean of values of which each stands for a batch: s ÷ √B.
pub(crate) fn standard_error(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let residuals: Vec<f64> = values.iter().map(|value| value - mean).collect();
    (variance(&residuals) / count).sqrt()
}

/// Returns the variance of batches from their residuals, in their order in time: what it would be
/// were they independent.
///
/// Batches shorter than the memory of a queue resemble their neighbours. If their correlation
/// dies out as that of a first-order autoregression, the mean's variance is (1 + ρ) ÷ (1 − ρ)
/// times that of independent ones (Law and Kelton, Simulation Modeling and Analysis, section 4.4).
/// ρ is the residuals' correlation with their neighbours, less its bias of −1/B; below 0 it counts
/// as none, so that it never narrows an interval, and above 1 − 4/B as that: of B batches no
/// greater correlation can be told from a trend.
fn variance(residuals: &[f64]) -> f64 {
    let count = residuals.len() as f64;
    let squares: f64 = residuals.iter().map(|r| r.powi(2)).sum();
    if squares <= 0.0 {
        return 0.0;
    }
    let products: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
    let likeness = (products / squares + 1.0 / count).clamp(0.0, 1.0 - 4.0 / count);
    squares / (count - 1.0) * (1.0 + likeness) / (1.0 - likeness)
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::distribution::{ContinuousCDF, StudentsT};

    #[test]
    fn the_t_quantile_belongs_to_the_number_of_batches() {
        let t = StudentsT::new(0.0, 1.0, (BATCHES - 1) as f64).unwrap().inverse_cdf(0.975);
        assert!((t - T_975).abs() < 1e-9, "{t}");
    }

    /// Values of which neighbours do not resemble each other.
    fn zigzag(batch: u8) -> u128 {
        u128::from(if batch.is_multiple_of(2) { batch } else { 30 - batch })
    }

    #[test]
    fn neighbours_that_resemble_each_other_widen_the_interval() {
        let width = |value: fn(u8) -> u128| {
            let mut batches = Batches::default();
            (0..BATCHES as u8).for_each(|b| batches.add(b, value(b), 1));
            batches.half_width()
        };
        let drifting = width(u128::from);
        assert!(drifting > 2.0 * width(|b| u128::from(b * 7 % 20)), "{drifting}");
    }

    #[test]
    fn equal_batches_give_the_classical_interval_of_batch_means() {
        let mut batches = Batches::default();
        for b in 0..BATCHES as u8 {
            batches.add(b, zigzag(b) * 10, 5);
        }
        let means: Vec<f64> = (0..BATCHES as u8).map(|b| zigzag(b) as f64 * 2.0).collect();
        let mean = means.iter().sum::<f64>() / 20.0;
        let variance = means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / 19.0;
        assert!((batches.ratio() - mean).abs() < 1e-12);
        assert!((batches.half_width() - T_975 * (variance / 20.0).sqrt()).abs() < 1e-12);
        let means: [f64; BATCHES] = means.try_into().unwrap();
        assert!((batches.half_width() - half_width_of_mean(&means)).abs() < 1e-12);
    }

    #[test]
    fn a_width_shrinks_with_the_root_of_the_number() {
        assert_eq!(more_for_width(100, Some(2.0), 1.0), Some(300));
        assert_eq!(more_for_width(100, Some(1.0), 2.0), Some(0));
        assert_eq!(more_for_width(100, Some(1.0), 0.0), None);
        assert_eq!(more_for_width(30, None, 1.0), Some(10));
    }

    #[test]
    fn batches_differ_in_size_by_at_most_one() {
        for count in [20, 40, 57, 1000] {
            let mut sizes = [0_usize; BATCHES];
            for index in 0..count {
                sizes[usize::from(batch_of(index, count))] += 1;
            }
            assert!(sizes.iter().all(|&s| s == count / 20 || s == count.div_ceil(20)));
        }
    }
}
