//! What cannot be: the sanity checks that a measurement passes before it is believed.
//!
//! They are those of docs/metrics.md, section 9: the caveats `BelowPhysics` and
//! `IdentityBroken`. Each leaves room for rounding, and for means of unlike requests.

use super::Row;
use crate::deployment::Deployment;
use crate::model::Attention;
use crate::physics;
use crate::predict::Load;

/// Two figures that should be equal may differ by this much.
const SLACK: f64 = 0.1;

/// Returns every reason why a row cannot be true; none for a row that may be.
pub(super) fn impossible(row: &Row, deployment: &Deployment, load: Load) -> Vec<String> {
    let mut reasons = Vec::new();
    not_above_zero(row, &mut reasons);
    below_weight_reads(row, deployment, &mut reasons);
    above_peak_rate(row, deployment, &mut reasons);
    identities(row, load, &mut reasons);
    reasons
}

fn not_above_zero(row: &Row, reasons: &mut Vec<String>) {
    for (name, value) in [
        ("TTFT", row.ttft_mean_ms),
        ("TPOT", row.tpot_mean_ms),
        ("ITL", row.itl_mean_ms),
        ("E2E", row.e2e_mean_ms),
        ("the output rate", row.output_tok_s),
    ] {
        if value.is_some_and(|value| value <= 0.0) {
            reasons.push(format!("{name} is not above 0"));
        }
    }
}

fn below_weight_reads(row: &Row, deployment: &Deployment, reasons: &mut Vec<String>) {
    let floor = physics::step_seconds_min(deployment) * 1e3;
    for (name, value) in [("TPOT", row.tpot_mean_ms), ("ITL", row.itl_mean_ms)] {
        if let Some(value) = value.filter(|&value| value > 0.0 && value < floor) {
            reasons.push(format!(
                "{name} of {value} ms is below {floor:.2} ms, in which the GPUs read the weights"
            ));
        }
    }
}

fn above_peak_rate(row: &Row, deployment: &Deployment, reasons: &mut Vec<String>) {
    let Some(rate) = row.output_tok_s else { return };
    let model = &deployment.model;
    // Attention included at half the context; the prefix cache may spare the prompts.
    let width = match model.attention {
        Attention::Grouped { head_dim, .. } => f64::from(model.heads * head_dim),
        Attention::Latent { kv_rank, .. } => f64::from(kv_rank),
    };
    let flops = 2.0 * model.active_params()
        + 2.0 * width * f64::from(model.layers) * row.output_tokens / 2.0;
    let most = deployment.gpu.flops_max() * f64::from(deployment.gpus()) / flops;
    if rate > most {
        reasons.push(format!("{rate} tok/s is above the {most:.0} that the GPUs can compute"));
    }
}

fn identities(row: &Row, load: Load, reasons: &mut Vec<String>) {
    if let (Some(peak), Some(mean)) = (row.peak_output_tok_s, row.output_tok_s)
        && peak < mean
    {
        reasons.push(format!("the peak rate {peak} is below the mean {mean}"));
    }
    if let (Some(tail), Some(mean)) = (row.tpot_p99_ms, row.tpot_mean_ms)
        && tail < mean * (1.0 - SLACK)
    {
        reasons.push(format!("p99 of TPOT, {tail} ms, is below the mean, {mean} ms"));
    }
    if let (Some(e2e), Some(ttft)) = (row.e2e_mean_ms, row.ttft_mean_ms)
        && row.output_tokens > 1.0
    {
        let derived = (e2e - ttft) / (row.output_tokens - 1.0);
        for (name, value) in [("TPOT", row.tpot_mean_ms), ("ITL", row.itl_mean_ms)] {
            let Some(value) = value.filter(|&value| value > 0.0) else { continue };
            let ratio = derived / value;
            if (ratio - 1.0).abs() > SLACK {
                reasons.push(format!(
                    "(E2E − TTFT) / (n − 1) is {derived:.2} ms, {ratio:.2} times the {name} of \
                     {value} ms"
                ));
            }
        }
    }
    if let (Load::Closed { concurrency }, Some(tpot), Some(rate)) =
        (load, row.tpot_mean_ms, row.output_tok_s)
    {
        let most = f64::from(concurrency) * 1e3 / tpot;
        if rate > most * (1.0 + SLACK) {
            reasons.push(format!("{rate} tok/s is above {most:.0}, concurrency divided by TPOT"));
        }
    }
}
