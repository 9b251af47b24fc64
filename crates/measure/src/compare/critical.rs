//! How far a studentised difference may lie from 0 by chance.

use infermark_terms::Seed;
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::contrast::{Ratio, Totals, Units, studentised};

/// Correlations above are not told from a trend, whose end no number of batches shows.
const PERSISTENCE_MAX: f64 = 0.9;

/// Returns for each figure the value beyond which its test rejects, so that with probability
/// 1 − `alpha` none of them does where nothing changed, and each has the same share in the rest.
///
/// `drawn` has each figure's absolute statistics under the same permutations. A statistic is
/// ranked among its figure's own; what is held to `alpha` is the least of the ranks. With the
/// values comes the probability with which each figure alone exceeds its own.
pub(super) fn together(drawn: &[Vec<f64>], alpha: f64) -> (Vec<f64>, f64) {
    let count = drawn.first().map_or(0, Vec::len);
    if count == 0 {
        return (Vec::new(), alpha);
    }
    let sorted: Vec<Vec<f64>> = drawn
        .iter()
        .map(|drawn| {
            let mut sorted = drawn.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            sorted
        })
        .collect();
    // How many permutations give a figure at least its value in this one; the least of them all.
    let at_least = |figure: usize, turn: usize| {
        let value = drawn[figure][turn];
        count - sorted[figure].partition_point(|&other| other < value)
    };
    let mut least: Vec<usize> = (0..count)
        .map(|turn| (0..drawn.len()).map(|f| at_least(f, turn)).min().unwrap_or(count))
        .collect();
    least.sort_unstable();
    // In at most `alpha · count` permutations the least rank is up to this.
    let allowed = least[(alpha * count as f64) as usize].saturating_sub(1);
    let critical = sorted.iter().map(|sorted| sorted[count - 1 - allowed.min(count - 1)]).collect();
    (critical, allowed.max(1) as f64 / count as f64)
}

/// Returns the absolute statistics of each figure: the residuals of both sides are thrown
/// together and dealt out anew, the same way for all figures, `count` times.
pub(super) fn dealt(figures: &[Units], count: usize, seed: Seed) -> Vec<Vec<f64>> {
    let Some(first) = figures.first() else { return Vec::new() };
    let (split, size) = (first.baseline.len(), first.baseline.len() + first.candidate.len());
    let pooled: Vec<Vec<Moments>> = figures
        .iter()
        .map(|f| f.baseline.iter().chain(&f.candidate).map(Moments::of).collect())
        .collect();
    let totals: Vec<Moments> = pooled.iter().map(|units| Moments::total(units)).collect();
    let mut order: Vec<usize> = (0..size).collect();
    let mut drawn = vec![Vec::with_capacity(count); figures.len()];
    for turn in 0..count {
        shuffle(&mut order, seed.at(turn as u64));
        for ((units, total), drawn) in pooled.iter().zip(&totals).zip(&mut drawn) {
            let mut one = Moments::default();
            for &place in &order[..split] {
                one.add(&units[place]);
            }
            let other = total.less(&one);
            drawn.push(one.ratio(split).studentised(other.ratio(size - split)).abs());
        }
    }
    drawn
}

/// Returns the absolute statistics of each figure whose differences between counterparts these
/// are: their signs are drawn anew, the same way for all figures, `count` times.
pub(super) fn flipped(figures: &[Vec<f64>], count: usize, seed: Seed) -> Vec<Vec<f64>> {
    let squares: Vec<f64> =
        figures.iter().map(|each| each.iter().map(|d| d * d).sum::<f64>()).collect();
    let mut drawn = vec![Vec::with_capacity(count); figures.len()];
    for turn in 0..count {
        let seed = seed.at(turn as u64);
        let sign = |place: usize| if seed.at(place as u64).0 & 1 == 1 { -1.0 } else { 1.0 };
        let signs: Vec<f64> = (0..figures.first().map_or(0, Vec::len)).map(sign).collect();
        for ((each, squares), drawn) in figures.iter().zip(&squares).zip(&mut drawn) {
            let signed = each.iter().zip(&signs).map(|(difference, sign)| difference * sign);
            let (sum, n) = (signed.sum::<f64>(), each.len() as f64);
            let variance = n / (n - 1.0) * (squares - sum * sum / n).max(0.0);
            drawn.push(studentised(sum, variance).abs());
        }
    }
    drawn
}

/// Sums over units, of which a ratio and its variance are made: of sum, weight, sum², sum ·
/// weight, weight².
#[derive(Clone, Copy, Default)]
struct Moments([f64; 5]);

impl Moments {
    fn of(unit: &Totals) -> Self {
        let Totals { sum, weight } = *unit;
        Self([sum, weight, sum * sum, sum * weight, weight * weight])
    }

    fn total(units: &[Self]) -> Self {
        let mut total = Self::default();
        for unit in units {
            total.add(unit);
        }
        total
    }

    fn add(&mut self, other: &Self) {
        for index in 0..5 {
            self.0[index] += other.0[index];
        }
    }

    fn less(mut self, other: &Self) -> Self {
        for index in 0..5 {
            self.0[index] -= other.0[index];
        }
        self
    }

    /// As [`Ratio::of`], multiplied out.
    fn ratio(self, units: usize) -> Ratio {
        let [sum, weight, squares, products, weights] = self.0;
        let (value, n) = (sum / weight, units as f64);
        let residuals = squares - value * (2.0 * products - value * weights);
        Ratio { value, variance: n / (n - 1.0) * residuals.max(0.0) / (weight * weight) }
    }
}

/// Returns by how much the standard error of a difference is greater than independent batches
/// would have it: √((1 + ρ) ÷ (1 − ρ)) for the correlation ρ of neighbours, where that is
/// positive.
///
/// Batches of a queue that is seldom empty resemble their neighbours, however long they are; what
/// is left of that falls off geometrically, as in an autoregressive process of the first order
/// (Steiger et al. 2005, "ASAP3", ACM Trans. Model. Comput. Simul. 15:39). An estimate from n
/// batches is too low by (1 + 3ρ) ÷ n (Marriott and Pope 1954, Biometrika 41:390), which is
/// added.
///
/// `series` are the residuals in their order in time: one series, or one for each side.
pub(super) fn persistence(series: &[Vec<f64>]) -> f64 {
    let squares: f64 = series.iter().flatten().map(|residual| residual * residual).sum();
    if squares == 0.0 {
        return 1.0;
    }
    let products = |each: &Vec<f64>| -> f64 { each.windows(2).map(|pair| pair[0] * pair[1]).sum() };
    let seen = series.iter().map(products).sum::<f64>() / squares;
    let n = series.iter().map(Vec::len).sum::<usize>() as f64 / series.len() as f64;
    let rho = (seen + (1.0 + 3.0 * seen) / n).clamp(0.0, PERSISTENCE_MAX);
    ((1.0 + rho) / (1.0 - rho)).sqrt()
}

/// Shuffles (Fisher and Yates; Knuth, The Art of Computer Programming, algorithm 3.4.2P).
fn shuffle(order: &mut [usize], seed: Seed) {
    for last in (1..order.len()).rev() {
        let draw = seed.at(last as u64).0;
        // The high bits of a product: no place is preferred by more than 1 in 2^57.
        let chosen = ((u128::from(draw) * (last as u128 + 1)) >> 64) as usize;
        order.swap(last, chosen);
    }
}

/// Returns the point of Student's t that `figures` tests together exceed with probability
/// `alpha` at most (Bonferroni), with Welch and Satterthwaite's degrees of freedom (1947,
/// Biometrika 34:28).
pub(super) fn student(residuals: &Units, alpha: f64, figures: usize) -> f64 {
    let sides = [&residuals.baseline, &residuals.candidate];
    let parts = sides.map(|side| (Ratio::of(side).variance, side.len() as f64 - 1.0));
    let variance: f64 = parts.iter().map(|part| part.0).sum();
    let spread: f64 = parts.iter().map(|(variance, freedom)| variance * variance / freedom).sum();
    // Where nothing varies, any difference is one.
    let least = parts[0].1.min(parts[1].1);
    let freedom = if spread > 0.0 { (variance * variance / spread).max(least) } else { least };
    two_sided_t(freedom, alpha / figures as f64)
}

/// Returns the value that the absolute of Student's t exceeds with this probability.
pub(super) fn two_sided_t(freedom: f64, probability: f64) -> f64 {
    let t = StudentsT::new(0.0, 1.0, freedom).expect("there are at least two units");
    t.inverse_cdf(1.0 - probability / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn moments_give_the_ratio_that_the_units_give(
            units in prop::collection::vec((-100.0..100.0_f64, 1.0..50.0_f64), 2..30),
        ) {
            let units: Vec<Totals> =
                units.into_iter().map(|(sum, weight)| Totals { sum, weight }).collect();
            let plain = Ratio::of(&units);
            let moments: Vec<Moments> = units.iter().map(Moments::of).collect();
            let other = Moments::total(&moments).ratio(units.len());
            prop_assert!((plain.value - other.value).abs() < 1e-9);
            prop_assert!((plain.variance - other.variance).abs() < 1e-9 * (1.0 + plain.variance));
        }
    }

    #[test]
    fn a_single_figure_is_held_to_the_level_itself() {
        let unit =
            |index: u64| Totals { sum: (index * index * 389 % 101) as f64 - 50.0, weight: 1.0 };
        let units = Units {
            baseline: (0..20).map(unit).collect(),
            candidate: (20..40).map(unit).collect(),
        };
        let of = |drawn: Vec<Vec<f64>>| together(&drawn, 0.05).0[0];
        let critical = of(dealt(std::slice::from_ref(&units), 1999, Seed(1)));
        // Student's t with 38 degrees of freedom: 2.024.
        assert!((critical - 2.024).abs() < 0.15, "{critical}");
        let critical = of(flipped(&[units.differences()], 1999, Seed(1)));
        // With 19: 2.093.
        assert!((critical - 2.093).abs() < 0.2, "{critical}");
        assert!(together(&[], 0.05).0.is_empty());
    }

    #[test]
    fn repeats_are_held_to_students_t() {
        let side = |values: [f64; 3]| values.map(|sum| Totals { sum, weight: 1.0 }).to_vec();
        let units = Units { baseline: side([-1.0, 0.0, 1.0]), candidate: side([1.0, -1.0, 0.0]) };
        // Four degrees of freedom, two tests: the 98.75 % point.
        assert!((student(&units, 0.05, 2) - 3.495).abs() < 0.001);
    }
}
