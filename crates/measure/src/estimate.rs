//! One figure over many observations: its mean, percentiles and intervals, in milliseconds.

use infermark_terms::slo::Statistic;
use serde::{Deserialize, Serialize};

use crate::percentile::Percentile;

/// A 95 % interval, `[low, high]`, in the unit of its figure.
pub type Interval = [f64; 2];

/// One figure over many observations, in milliseconds. There is at least one observation; a
/// statistic for which there are too few is absent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Observations.
    pub n: u64,
    /// The mean; of token gaps, over tokens.
    pub mean: f64,
    /// The mean's interval, from batch means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_ci95: Option<Interval>,
    /// The least.
    pub min: f64,
    /// The median.
    pub p50: f64,
    /// Its interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ci95: Option<Interval>,
    /// The 90th percentile, of at least 10 observations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90: Option<f64>,
    /// Its interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90_ci95: Option<Interval>,
    /// The 95th percentile, of at least 20 observations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95: Option<f64>,
    /// Its interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95_ci95: Option<Interval>,
    /// The 99th percentile, of at least 100 observations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
    /// Its interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ci95: Option<Interval>,
    /// The 99.9th percentile, of at least 1000 observations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p999: Option<f64>,
    /// The greatest.
    pub max: f64,
}

impl Estimate {
    pub(crate) fn of(sample: &impl Distribution) -> Self {
        let n = sample.size();
        let figure =
            |p: Percentile| (n >= p.size_min()).then(|| millis(sample.percentile(p) as f64));
        let interval = |p: Percentile| {
            let [low, high] = sample.percentile_interval(p).filter(|_| n >= p.size_min())?;
            Some([millis(low as f64), millis(high as f64)])
        };
        let (min, max) = sample.extremes();
        Self {
            n,
            mean: millis(sample.mean()),
            // No duration is below 0, and so no mean of them.
            mean_ci95: sample.mean_interval().map(|ends| ends.map(|end| millis(end.max(0.0)))),
            min: millis(min as f64),
            p50: millis(sample.percentile(Percentile::P50) as f64),
            p50_ci95: interval(Percentile::P50),
            p90: figure(Percentile::P90),
            p90_ci95: interval(Percentile::P90),
            p95: figure(Percentile::P95),
            p95_ci95: interval(Percentile::P95),
            p99: figure(Percentile::P99),
            p99_ci95: interval(Percentile::P99),
            p999: figure(Percentile::P999),
            max: millis(max as f64),
        }
    }

    /// Returns a statistic; nothing where there are too few observations for it.
    pub fn statistic(&self, statistic: Statistic) -> Option<f64> {
        match statistic {
            Statistic::Mean => Some(self.mean),
            Statistic::Min => Some(self.min),
            Statistic::P50 => Some(self.p50),
            Statistic::P90 => self.p90,
            Statistic::P95 => self.p95,
            Statistic::P99 => self.p99,
            Statistic::P999 => self.p999,
            Statistic::Max => Some(self.max),
        }
    }

    /// Returns the highest percentile up to the 99th for which there are enough observations,
    /// with its name.
    pub fn tail(&self) -> (&'static str, f64) {
        let higher = [("p99", self.p99), ("p95", self.p95), ("p90", self.p90)];
        higher
            .into_iter()
            .find_map(|(name, value)| value.map(|value| (name, value)))
            .unwrap_or(("p50", self.p50))
    }
}

/// Observations in nanoseconds, never none, of which an estimate is made.
pub(crate) trait Distribution {
    /// How many.
    fn size(&self) -> u64;
    /// The least and the greatest.
    fn extremes(&self) -> (u64, u64);
    fn mean(&self) -> f64;
    /// The mean's 95 % interval.
    fn mean_interval(&self) -> Option<[f64; 2]>;
    fn percentile(&self, percentile: Percentile) -> u64;
    /// The ends of the percentile's 95 % interval, as far as there are enough observations for
    /// each.
    fn percentile_ends(&self, percentile: Percentile) -> [Option<u64>; 2];
    /// The percentile's 95 % interval.
    fn percentile_interval(&self, percentile: Percentile) -> Option<[u64; 2]> {
        let [low, high] = self.percentile_ends(percentile);
        Some([low?, high?])
    }
    /// How many requests the observations are of.
    fn requests(&self) -> u64;
    /// How many more requests would decide whether the percentile lies within the limit, should
    /// what they show exceed it as often as so far. Nothing where no number does.
    fn more_to_decide(&self, percentile: Percentile, limit: u64) -> Option<u64>;
    /// The share of the observations that exceed a limit.
    fn share_beyond(&self, limit: u64) -> f64;
}

/// Converts nanoseconds to milliseconds.
pub(crate) fn millis(nanos: f64) -> f64 {
    nanos / 1e6
}
