//! Whether a series has a trend.

use statrs::distribution::{ContinuousCDF, Normal};

/// Returns the probability of so strong a trend, up or down, in a series that has none: the test
/// of Mann and Kendall, with the variance for an autocorrelated series of Hamed and Rao (1998,
/// Journal of Hydrology 204:182). A series of fewer than ten values shows no trend.
pub(crate) fn mann_kendall(series: &[f64]) -> f64 {
    const LEAST: usize = 10;
    if series.len() < LEAST {
        return 1.0;
    }
    score(series, inflation(series))
}

/// Returns the probability of Kendall's score, whose variance autocorrelation inflates.
fn score(series: &[f64], inflation: f64) -> f64 {
    let count = series.len() as f64;
    let score: f64 = pairs(series).map(|(_, early, late)| sign(late - early)).sum();
    let variance = count * (count - 1.0) * (2.0 * count + 5.0) / 18.0 * inflation;
    let deviations = (score.abs() - 1.0).max(0.0) / variance.sqrt();
    2.0 * Normal::standard().sf(deviations)
}

/// Returns by which factor autocorrelation raises the variance of the score: from the significant
/// autocorrelations of the ranks of the series without its trend. Never below 1.
fn inflation(series: &[f64]) -> f64 {
    let count = series.len() as f64;
    let slope = median(pairs(series).map(|(gap, early, late)| (late - early) / gap).collect());
    let flat: Vec<f64> =
        series.iter().enumerate().map(|(place, value)| value - slope * place as f64).collect();
    let ranks = ranks(&flat);
    let mean = f64::midpoint(count, 1.0);
    let spread: f64 = ranks.iter().map(|rank| (rank - mean).powi(2)).sum();
    if spread <= 0.0 {
        return 1.0;
    }
    let significant = 1.96 / count.sqrt();
    let sum: f64 = (1..series.len().saturating_sub(2))
        .map(|lag| {
            let products = ranks.iter().zip(&ranks[lag..]);
            let likeness: f64 =
                products.map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / spread;
            let left = count - lag as f64;
            let weight = left * (left - 1.0) * (left - 2.0);
            if likeness.abs() > significant { weight * likeness } else { 0.0 }
        })
        .sum();
    (1.0 + 2.0 / (count * (count - 1.0) * (count - 2.0)) * sum).max(1.0)
}

/// Returns each pair of values, with how far apart they stand.
fn pairs(series: &[f64]) -> impl Iterator<Item = (f64, f64, f64)> + '_ {
    series.iter().enumerate().flat_map(move |(at, &early)| {
        (1..).zip(&series[at + 1..]).map(move |(gap, &late)| (f64::from(gap), early, late))
    })
}

fn sign(value: f64) -> f64 {
    match value {
        v if v > 0.0 => 1.0,
        v if v < 0.0 => -1.0,
        _ => 0.0,
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// Returns the rank of each value, from 1; equal ones share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    for tied in order.chunk_by(|&a, &b| values[a].total_cmp(&values[b]).is_eq()) {
        let below = order.iter().position(|place| place == &tied[0]).unwrap_or(0) as f64;
        for &place in tied {
            ranks[place] = below + f64::midpoint(tied.len() as f64, 1.0);
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Noise;

    /// A series whose values carry over this part of their deviation to the next.
    fn autoregression(noise: &mut Noise, carried: f64, trend: f64) -> Vec<f64> {
        let mut deviation = 0.0;
        (0..60)
            .map(|place| {
                let fresh = (0..12).map(|_| noise.uniform()).sum::<f64>() - 6.0;
                deviation = carried * deviation + fresh;
                deviation + trend * f64::from(place)
            })
            .collect()
    }

    fn share(carried: f64, trend: f64, found: fn(&[f64]) -> bool) -> f64 {
        let mut noise = Noise::new(5);
        let hits = (0..200).filter(|_| found(&autoregression(&mut noise, carried, trend))).count();
        hits as f64 / 200.0
    }

    #[test]
    fn a_trend_is_found_and_noise_is_none() {
        let trending: fn(&[f64]) -> bool = |series| mann_kendall(series) < 0.05;
        assert!(share(0.0, 0.0, trending) < 0.09);
        assert!(share(0.0, 0.04, trending) > 0.95);
        assert!(share(0.0, -0.04, trending) > 0.95);
        let corrected = share(0.7, 0.0, trending);
        let naive = share(0.7, 0.0, |series| score(series, 1.0) < 0.05);
        assert!(corrected < 0.75 * naive, "{corrected} {naive}");
        assert!(mann_kendall(&[1.0; 50]) > 0.99);
    }

    #[test]
    fn ties_share_their_ranks() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]).map_to_halves(), [7, 2, 7, 4]);
    }

    trait Halves {
        fn map_to_halves(&self) -> Vec<i64>;
    }

    impl Halves for Vec<f64> {
        fn map_to_halves(&self) -> Vec<i64> {
            self.iter().map(|rank| (2.0 * rank) as i64).collect()
        }
    }
}
