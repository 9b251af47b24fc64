//! What no engine exceeds on given hardware, however good it is.
//!
//! Bounds from published peaks alone: efficiencies and overheads, which [`crate::cost`] knows,
//! have no part in them.

use crate::deployment::Deployment;
use crate::hardware::Gpu;
use crate::model::{Dtype, FeedForward, ModelShape};

/// Returns the bytes of the weights that take part in one token's step: of a mixture of experts,
/// those that the token visits. Input embeddings are looked up, not read.
pub fn active_weight_bytes(model: &ModelShape, weights: Dtype) -> f64 {
    let routed = match model.feed_forward {
        FeedForward::Dense { .. } => 0.0,
        FeedForward::Experts { active, .. } => {
            model.expert_layers() * f64::from(active) * model.expert_params()
        }
    };
    let head = model.head_params();
    let body = model.active_params() - routed - head;
    body * model.body_dtype(weights).bytes() + routed * weights.bytes() + head * Dtype::Bf16.bytes()
}

/// Returns the seconds in which a deployment reads the weights that one token needs. Speculation
/// yields several tokens for one read, so that the floor is divided by the most that it can yield.
pub fn step_seconds_min(deployment: &Deployment) -> f64 {
    // Stages of a pipeline take their turns, and replicas do not share a step.
    let gpus = f64::from(deployment.parallel.tensor * deployment.parallel.data);
    let yields = deployment.speculation.map_or(1.0, |s| 1.0 + f64::from(s.tokens));
    let bytes = active_weight_bytes(&deployment.model, deployment.weights);
    bytes / (gpus * deployment.gpu.bandwidth) / yields
}

/// Returns the tokens per second that the GPUs' peak rate suffices for: two operations for each
/// parameter that takes part. Attention, which needs more the longer the context, is left out.
pub fn tokens_per_s_max(model: &ModelShape, gpu: &Gpu, gpus: u32) -> f64 {
    gpu.flops_max() * f64::from(gpus) / (2.0 * model.active_params())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardware;
    use crate::model::registry;

    #[test]
    fn eight_billion_parameters_take_five_milliseconds_of_an_h100() {
        let deployment: Deployment = "llama-3.1-8b@h100".parse().unwrap();
        // 7.5 G parameters of 2 bytes, embeddings not counted, over 3.35 TB/s.
        let milliseconds = step_seconds_min(&deployment) * 1e3;
        assert!((4.4..4.6).contains(&milliseconds), "{milliseconds}");
        let two: Deployment = "llama-3.1-8b@h100,tp=2".parse().unwrap();
        assert!((step_seconds_min(&two) * 2e3 - milliseconds).abs() < 1e-9);
    }

    #[test]
    fn a_token_visits_few_experts() {
        let model = registry::find("mixtral-8x7b").unwrap();
        let share = active_weight_bytes(&model, Dtype::Bf16) / model.weight_bytes(Dtype::Bf16);
        assert!((0.2..0.4).contains(&share), "2 of 8 experts, and what all visit: {share}");
        let gpu = hardware::find("h100").unwrap();
        let rate = tokens_per_s_max(&model, &gpu, 1);
        assert!((70e3..90e3).contains(&rate), "1979 T ÷ (2 × 12.9 G): {rate}");
    }
}
