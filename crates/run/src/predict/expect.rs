//! How far reality may lie from a prediction: ranges from the errors on published measurements,
//! and the figures of which nothing can be said.

use infermark_measure::{Estimate, LoadPlan, Point};
use infermark_sim::predict::{Figures, Uncertainty, uncertainty, unfamiliar};
use infermark_sim::spec::SimTarget;
use infermark_sim::validate::Figure;
use serde::Serialize;

/// From where to where the real mean lies, nine times in ten.
pub type Range = [f64; 2];

/// Where the real means may lie. A range is absent where nothing can be said.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Expected {
    /// Of TTFT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft_ms: Option<Range>,
    /// Of TPOT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpot_ms: Option<Range>,
    /// Of the output rate; absent also where the load sets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens_per_s: Option<Range>,
    /// Whether requests queue: there a small error in capacity is any error in TTFT.
    pub queueing: bool,
    /// How many times as wide as usual the ranges are, because no published measurement is of
    /// this kind of GPU or engine; 1 where some are.
    pub widened: f64,
    /// What a reader must know of these, in sentences.
    pub notes: Vec<String>,
}

impl Expected {
    /// Returns what is to be expected of this point. `figures` are those of the whole prediction;
    /// absent where nothing finished.
    pub(crate) fn of(target: &SimTarget, point: &Point, figures: Option<Figures>) -> Self {
        let SimTarget::Deployment(deployment) = target else {
            return Self::noting("the engine's latencies are as given: nothing is uncertain");
        };
        let Some(figures) = figures else {
            return Self::noting("nothing finished, so nothing is known");
        };
        let mean = |estimate: Option<Estimate>| estimate.map(|e| e.mean);
        let around = |figure, predicted: Option<f64>| {
            range(predicted?, uncertainty(deployment, &figures, figure))
        };
        let open = !matches!(point.load, LoadPlan::Closed { .. });
        let rate = point.rates.map(|rates| rates.output_tokens_per_s);
        let queueing = point.saturated
            || uncertainty(deployment, &figures, Figure::Ttft) == Uncertainty::Unknown;
        let widened = unfamiliar(deployment);
        let ttft = mean(point.latency.ttft_ms).filter(|_| !queueing);
        Self {
            ttft_ms: around(Figure::Ttft, ttft),
            tpot_ms: around(Figure::Tpot, mean(point.latency.tpot_ms)),
            output_tokens_per_s: around(
                Figure::OutputRate,
                rate.filter(|_| point.saturated || !open),
            ),
            queueing,
            widened,
            notes: [
                queueing.then_some(QUEUEING.to_owned()),
                (widened > 1.0).then(|| guessed(widened)),
            ]
            .into_iter()
            .flatten()
            .collect(),
        }
    }

    fn noting(note: &str) -> Self {
        Self {
            ttft_ms: None,
            tpot_ms: None,
            output_tokens_per_s: None,
            queueing: false,
            widened: 1.0,
            notes: vec![note.to_owned()],
        }
    }
}

const QUEUEING: &str =
    "TTFT unknown: requests queue, and there a small error in capacity is any error in latency";

fn guessed(widened: f64) -> String {
    format!(
        "no published measurement is of this kind of GPU or engine: its constants are guesses, \
         and the ranges {widened} times as wide"
    )
}

/// Errors are predicted ÷ measured − 1. If that lies within ±r, what is measured lies from
/// predicted ÷ (1 + r) to predicted ÷ (1 − r), which from r = 1 on says nothing.
fn range(predicted: f64, uncertainty: Uncertainty) -> Option<Range> {
    match uncertainty {
        Uncertainty::Within(r) if r < 1.0 => Some([predicted / (1.0 + r), predicted / (1.0 - r)]),
        Uncertainty::Within(_) | Uncertainty::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_what_would_have_been_measured() {
        let [low, high] = range(100.0, Uncertainty::Within(0.25)).unwrap();
        assert!((100.0 / low - 1.25).abs() < 1e-12 && (100.0 / high - 0.75).abs() < 1e-12);
        assert_eq!(range(100.0, Uncertainty::Within(1.1)), None);
        assert_eq!(range(100.0, Uncertainty::Unknown), None);
    }
}
