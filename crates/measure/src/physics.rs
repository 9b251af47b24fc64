//! What no hardware exceeds, and results that seem to.
//!
//! Deliberately not here: which model and which GPUs there are; whoever knows them says what they
//! cannot exceed.

use infermark_terms::{Caveat, CaveatCode, Trust};
use serde::{Deserialize, Serialize};

use crate::Point;

/// What a deployment cannot exceed, whatever its engine does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Physics {
    /// The time in which its GPUs read the weights that one token needs, in milliseconds: no
    /// step takes less.
    pub step_ms_min: f64,
    /// The output tokens per second that their peak FLOP/s suffice for.
    pub output_tokens_per_s_max: f64,
}

impl Physics {
    /// Returns the doubt about a result that is better than can be: "TPOT below active weight
    /// bytes ÷ (GPUs × memory bandwidth), or rate above peak FLOP/s, when model and GPU are known"
    /// (docs/metrics.md, section 9).
    ///
    /// A chunk of several tokens may be what one step brought, as with speculative decoding, so
    /// that many TPOTs count as a step.
    pub fn doubt(&self, point: &Point) -> Option<Caveat> {
        let per_chunk = point.tokens.per_chunk_mean.unwrap_or(1.0).max(1.0);
        let step = point.latency.tpot_ms.map(|tpot| tpot.mean * per_chunk);
        let step = step.filter(|&step| step < self.step_ms_min).map(|step| {
            format!(
                "a step took {step:.3} ms in the mean, and the GPUs read the weights in {:.3} ms",
                self.step_ms_min
            )
        });
        let rate = point.rates.map(|rates| rates.output_tokens_per_s);
        let rate = rate.filter(|&rate| rate > self.output_tokens_per_s_max).map(|rate| {
            format!(
                "{rate:.0} output tokens/s, and the GPUs can compute {:.0}",
                self.output_tokens_per_s_max
            )
        });
        let found: Vec<String> = [step, rate].into_iter().flatten().collect();
        (!found.is_empty()).then(|| Caveat {
            code: CaveatCode::BelowPhysics,
            lowers_to: Trust::Doubtful,
            detail: found.join("; "),
            hint: "see whether model and GPUs are the stated ones, and whether something between \
                   holds answers back and passes them on at once; a server that speculates may \
                   be this fast where it sends each token alone"
                .to_owned(),
        })
    }
}
