//! How far a prediction can be trusted: from the errors on published rows, and from how near to
//! saturation it is.

use super::Figures;
use crate::deployment::Deployment;
use crate::efficiency::Stack;
use crate::hardware::Family;
use crate::validate::Figure;

/// How far a predicted figure may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Uncertainty {
    /// By this share of itself, nine times in ten.
    Within(f64),
    /// Nothing can be said: near saturation a small error in capacity is any error in latency.
    Unknown,
}

/// The 90th percentile of absolute errors on the published vLLM rows; tests compare them with
/// what the rows give.
pub(crate) const RESIDUALS: [(Figure, f64); 3] =
    [(Figure::Tpot, 0.22), (Figure::OutputRate, 0.20), (Figure::Ttft, 0.55)];

/// A first token that takes this many times as long at the 99th percentile as at the median
/// says that requests queue.
const QUEUEING: f64 = 4.0;
/// Where the median wait is longer than this share of a request, the queue sets it.
const WAITING: f64 = 0.25;

/// Returns how far `figure` of a prediction may be off.
pub fn uncertainty(deployment: &Deployment, figures: &Figures, figure: Figure) -> Uncertainty {
    let residual = RESIDUALS
        .into_iter()
        .find(|(known, _)| *known == figure)
        .map_or(f64::INFINITY, |(_, residual)| residual);
    let service = figures.ttft_p50 + figures.tpot_mean * mean_answer(figures);
    let waiting = figures.ttft_p50 > WAITING * service;
    let queueing = figures.ttft_p99 > QUEUEING * figures.ttft_p50 || waiting;
    match (figure, queueing) {
        (Figure::Ttft, true) => Uncertainty::Unknown,
        (Figure::Tpot, true) => Uncertainty::Within(1.5 * residual * unfamiliar(deployment)),
        (Figure::Tpot | Figure::OutputRate | Figure::Ttft, _) => {
            Uncertainty::Within(residual * unfamiliar(deployment))
        }
    }
}

fn mean_answer(figures: &Figures) -> f64 {
    figures.output_rate * figures.duration / figures.finished.max(1) as f64
}

/// Returns how many times further off a prediction may be because no published row is of its
/// GPU's family or its engine; 1 where some are.
pub fn unfamiliar(deployment: &Deployment) -> f64 {
    let gpu = match deployment.gpu.family {
        Family::Hopper | Family::Ampere | Family::Ada => 1.0,
        Family::AmpereGraphics | Family::Blackwell => 1.5,
        Family::Turing | Family::Cdna2 | Family::Cdna3 | Family::Cpu => 2.0,
    };
    let engine = match deployment.stack {
        Stack::Vllm | Stack::VllmAsync | Stack::VllmFused => 1.0,
        Stack::Sglang | Stack::TensorRt => 1.5,
    };
    gpu * engine
}
