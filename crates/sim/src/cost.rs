//! What a step costs: a roofline over compute and memory traffic, plus what no roofline knows.
//!
//! ```text
//! stage  = Σ layers [ max(compute, weights) + attention + all-reduce + gaps ] (+ output matrix)
//! step   = stage₁ … stageₚ + scheduler   (or the slower of both where they overlap)
//! ```
//!
//! Each matrix product costs the smooth maximum of its operations and its weight traffic, so
//! that a batch near the ridge costs more than either alone, as kernels do. Weights are read
//! once a step whatever the batch; of routed experts only those that some token visits.
//!
//! Deliberately not here: which tokens make up a step ([`crate::engine`] decides), and the
//! constants ([`crate::efficiency`]).

use crate::deployment::{Deployment, ExpertPlacement, Launch};
use crate::efficiency::Overlap;
use crate::hardware::{Family, LinkKind};
use crate::model::{Attention, Dtype, FeedForward};

/// What a step has to do, summed over its sequences.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Sequences that take part.
    pub sequences: f64,
    /// New tokens, of prompts and answers.
    pub tokens: f64,
    /// Sequences of which a token is sampled; with speculation, all their checked tokens.
    pub sampled: f64,
    /// Σ over decoding sequences of the tokens whose KV they read.
    pub decode_kv: f64,
    /// The same in layers with a window.
    pub decode_kv_windowed: f64,
    /// Σ over decoding sequences of new tokens × KV tokens.
    pub decode_pairs: f64,
    /// Σ over prompt pieces of pairs (new token, token that it sees).
    pub prompt_pairs: f64,
    /// The same in layers with a window.
    pub prompt_pairs_windowed: f64,
}

impl Work {
    /// Adds a decoding sequence: `new` tokens that see `context` tokens before them.
    pub fn add_decode(&mut self, new: u32, context: u32, window: u32) {
        let (new, context) = (f64::from(new), f64::from(context));
        self.sequences += 1.0;
        self.tokens += new;
        self.sampled += new;
        self.decode_kv += context;
        self.decode_kv_windowed += context.min(f64::from(window));
        self.decode_pairs += new * context;
    }

    /// Adds a piece of a prompt: `new` tokens that come after `context` tokens.
    pub fn add_prompt(&mut self, new: u32, context: u32, window: u32, last: PromptPiece) {
        let (n, c, w) = (f64::from(new), f64::from(context), f64::from(window));
        self.sequences += 1.0;
        self.tokens += n;
        if last == PromptPiece::Last {
            self.sampled += 1.0;
        }
        self.prompt_pairs += n * c + n * (n + 1.0) / 2.0;
        // Token i sees min(c + i, w): below the window a ramp, beyond it a plateau.
        let ramp = (w - c).clamp(0.0, n);
        self.prompt_pairs_windowed += ramp * c + ramp * (ramp + 1.0) / 2.0 + (n - ramp) * w;
    }
}

/// Whether a piece of a prompt ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptPiece {
    /// More of the prompt follows in a later step.
    Inner,
    /// The prompt is complete: its first token is sampled.
    Last,
}

/// What a step costs, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepCost {
    /// Matrix products, the output matrix included.
    pub linear: f64,
    /// Attention.
    pub attention: f64,
    /// Collectives and transfers between stages.
    pub transfer: f64,
    /// Gaps between kernels, launches, sampling, drafts.
    pub fixed: f64,
    /// The scheduler's part on the CPU.
    pub scheduler: f64,
    /// Time that one stage of the pipeline is busy.
    pub stage: f64,
    /// Time from start to end of the step, when nothing is in its way.
    pub total: f64,
}

/// The cost of any step of a deployment. All constants are folded in when it is made.
#[derive(Clone, Debug)]
pub struct CostModel {
    layers: f64,
    stages: f64,
    tensor: f64,
    data: f64,
    window: u32,
    windowed_share: f64,
    dense: Product,
    head: Product,
    routed: Option<Routed>,
    kv_bytes: f64,
    kv_rate: f64,
    decode_flops: f64,
    prompt_flops: f64,
    attention_rate: f64,
    activation_seconds: f64,
    sampling_seconds: f64,
    layer_seconds: f64,
    launch_layer_seconds: f64,
    graph_tokens: f64,
    reduce: Option<Transfer>,
    hop: Option<Transfer>,
    draft: f64,
    scheduler: (f64, f64),
    overlap: Overlap,
}

/// A matrix product with fixed weights.
#[derive(Clone, Copy, Debug)]
struct Product {
    flops_per_token: f64,
    bytes: f64,
    flops_rate: f64,
    bytes_rate: f64,
}

impl Product {
    fn seconds(&self, tokens: f64) -> f64 {
        smooth_max(tokens * self.flops_per_token / self.flops_rate, self.bytes / self.bytes_rate)
    }

    fn read_seconds(&self) -> f64 {
        self.bytes / self.bytes_rate
    }
}

/// The routed experts of one layer.
#[derive(Clone, Copy, Debug)]
struct Routed {
    experts: f64,
    active: f64,
    share_of_layers: f64,
    /// One expert's part on one GPU.
    expert: Product,
    /// Seconds per token to send it to its experts and back.
    exchange: f64,
}

/// Something sent between GPUs: a latency and a time per token.
#[derive(Clone, Copy, Debug)]
struct Transfer {
    latency: f64,
    per_token: f64,
}

/// The cube root of the sum of cubes: within 26 % of the larger where both are equal, which is
/// what GEMM timings show at the ridge.
fn smooth_max(a: f64, b: f64) -> f64 {
    (a * a * a + b * b * b).cbrt()
}

impl CostModel {
    /// Folds a deployment's shape, hardware and constants.
    pub fn new(deployment: &Deployment) -> Self {
        let model = &deployment.model;
        let gpu = &deployment.gpu;
        let efficiency = &deployment.efficiency;
        let layers = f64::from(model.layers);
        let tensor = f64::from(deployment.parallel.tensor);
        let kernels = deployment.overhead.kernels;
        let body = model.body_dtype(deployment.weights);
        let dense_params = model.attention_params() + model.shared_feed_forward_params() / layers;
        let dense = Product {
            flops_per_token: 2.0 * dense_params / tensor,
            bytes: dense_params * body.bytes() / tensor,
            flops_rate: math_rate(deployment, body) * efficiency.dense * kernels,
            bytes_rate: gpu.bandwidth * efficiency.weights,
        };
        let head = Product {
            flops_per_token: 2.0 * model.head_params() / tensor,
            bytes: model.head_params() * Dtype::Bf16.bytes() / tensor,
            flops_rate: gpu.flops_16 * efficiency.dense * kernels,
            bytes_rate: gpu.bandwidth * efficiency.weights,
        };
        let (decode_flops, prompt_flops) = attention_flops(deployment);
        let routed = routed_of(deployment);
        let draft = draft_seconds(deployment, &dense, &head);
        let window = model.window;
        Self {
            layers,
            stages: f64::from(deployment.parallel.pipeline),
            tensor,
            data: f64::from(deployment.parallel.data),
            window: window.map_or(u32::MAX, |w| w.tokens),
            windowed_share: window.map_or(0.0, |w| f64::from(w.layers) / layers),
            dense,
            head,
            routed,
            kv_bytes: model.kv_bytes_per_layer(deployment.kv) / deployment.kv_ways(),
            kv_rate: gpu.bandwidth * efficiency.kv,
            decode_flops,
            prompt_flops,
            attention_rate: gpu.flops_16
                * kernels
                * match window {
                    Some(_) => efficiency.attention_windowed,
                    None => efficiency.attention,
                },
            activation_seconds: activation_bytes(deployment) / (gpu.bandwidth * efficiency.weights),
            sampling_seconds: SAMPLING_PASSES * 4.0 * f64::from(model.vocab)
                / (gpu.bandwidth * efficiency.weights),
            layer_seconds: layer_seconds(deployment),
            launch_layer_seconds: launch_layer_seconds(deployment),
            graph_tokens: match deployment.launch {
                Launch::Graphs => GRAPH_TOKENS,
                Launch::Eager => 0.0,
            },
            reduce: reduce_of(deployment),
            hop: hop_of(deployment),
            draft,
            scheduler: scheduler_of(deployment),
            overlap: deployment.overhead.overlap,
        }
    }

    /// Returns the width of the model's window, or the greatest number where it has none.
    pub fn window(&self) -> u32 {
        self.window
    }

    /// Returns what a step costs.
    pub fn step(&self, work: &Work) -> StepCost {
        if work.tokens <= 0.0 {
            return StepCost::default();
        }
        // Ranks of a data-parallel group share the work evenly; experts see all tokens.
        let tokens = work.tokens / self.data;
        let linear_layers = self.dense.seconds(tokens) + tokens * self.activation_seconds;
        let mut linear = self.layers * linear_layers;
        let mut transfer = 0.0;
        if let Some(routed) = &self.routed {
            let layers = self.layers * routed.share_of_layers;
            linear += layers * routed.seconds(work.tokens);
            transfer += layers * tokens * routed.exchange;
        }
        let output = self.head.seconds(work.sampled / self.data);
        let attention = self.layers * self.attention_seconds(work);
        if let Some(reduce) = &self.reduce {
            transfer += 2.0 * self.layers * (reduce.latency + tokens * reduce.per_token);
        }
        let gaps = self.layers * self.layer_seconds;
        let sampling = work.sampled / self.data * self.sampling_seconds / self.tensor;
        let mut fixed = gaps + sampling + self.draft;
        let busy = linear + attention + transfer + fixed;
        // Beyond the recorded graphs the CPU launches kernels one by one; it runs ahead of the
        // GPU, so that only a step shorter than its launches is held up.
        if tokens > self.graph_tokens {
            fixed += (self.layers * self.launch_layer_seconds - busy).max(0.0);
        }
        let body = linear + attention + transfer + fixed;
        let hop = self.hop.map_or(0.0, |hop| hop.latency + tokens * hop.per_token);
        let scheduler = self.scheduler.0 + self.scheduler.1 * work.sequences;
        let stage = body / self.stages + hop + output / self.stages;
        let gpu = stage * self.stages;
        let (stage, total) = match self.overlap {
            Overlap::None => (stage + scheduler / self.stages, gpu + scheduler),
            Overlap::Full => (stage.max(scheduler), gpu.max(scheduler)),
        };
        StepCost {
            linear: linear + output,
            attention,
            transfer: transfer + hop * self.stages,
            fixed,
            scheduler,
            stage,
            total,
        }
    }

    /// One layer's attention, averaged over layers with and without a window.
    fn attention_seconds(&self, work: &Work) -> f64 {
        let mix = |all: f64, windowed: f64| {
            ((1.0 - self.windowed_share) * all + self.windowed_share * windowed) / self.data
        };
        let read = mix(work.decode_kv, work.decode_kv_windowed) * self.kv_bytes / self.kv_rate;
        let seen = if work.decode_kv > 0.0 { work.decode_pairs / work.decode_kv } else { 0.0 };
        let decode_pairs = mix(work.decode_kv, work.decode_kv_windowed) * seen;
        let compute = decode_pairs * self.decode_flops / self.attention_rate;
        let prompt = mix(work.prompt_pairs, work.prompt_pairs_windowed) * self.prompt_flops
            / self.attention_rate;
        read.max(compute) + prompt
    }
}

impl Routed {
    /// One layer's experts for this many tokens.
    fn seconds(&self, tokens: f64) -> f64 {
        // Each token visits `active` of `experts`, drawn alike: an expert is left out by all
        // with the chance (1 − active/experts)^tokens.
        let touched = self.experts * (1.0 - (1.0 - self.active / self.experts).powf(tokens));
        smooth_max(
            tokens * self.active * self.expert.flops_per_token / self.expert.flops_rate,
            touched * self.expert.read_seconds(),
        )
    }
}

/// Batches up to this many tokens run from a recorded graph (vLLM's largest capture size).
const GRAPH_TOKENS: f64 = 512.0;
/// Passes over a row of logits: cast, penalties, softmax, draw.
const SAMPLING_PASSES: f64 = 6.0;

/// Operations per second in a format, of which large products reach the dense share. Where the
/// GPU has no such units, or only weights are in the format, the mathematics is in 16 bits.
fn math_rate(deployment: &Deployment, dtype: Dtype) -> f64 {
    let gpu = &deployment.gpu;
    let narrow = match dtype {
        Dtype::Fp8 => gpu.flops_fp8,
        Dtype::Int8 => gpu.flops_int8,
        Dtype::Bf16 | Dtype::Int4 | Dtype::Mxfp4 => None,
    };
    let gain = deployment.efficiency.narrow_gain;
    narrow.map_or(gpu.flops_16, |rate| gpu.flops_16 + gain * (rate - gpu.flops_16))
}

/// Operations of attention for one pair (query token, key token) on one GPU: decoding, prompts.
fn attention_flops(deployment: &Deployment) -> (f64, f64) {
    let heads = f64::from(deployment.model.heads) / f64::from(deployment.parallel.tensor);
    match deployment.model.attention {
        Attention::Grouped { head_dim, .. } => {
            let flops = 4.0 * heads * f64::from(head_dim);
            (flops, flops)
        }
        // Decoding works on the compressed vectors, prompts on expanded heads.
        Attention::Latent { kv_rank, rope_dim, nope_dim, value_dim, .. } => (
            2.0 * heads * f64::from(2 * kv_rank + rope_dim),
            2.0 * heads * f64::from(nope_dim + rope_dim + value_dim),
        ),
    }
}

fn routed_of(deployment: &Deployment) -> Option<Routed> {
    let model = &deployment.model;
    let FeedForward::Experts { experts, active, .. } = model.feed_forward else {
        return None;
    };
    let gpu = &deployment.gpu;
    let ways = deployment.expert_ways();
    let expert = Product {
        flops_per_token: 2.0 * model.expert_params() / ways,
        bytes: model.expert_params() * deployment.weights.bytes() / ways,
        flops_rate: gpu.flops_16 * deployment.efficiency.grouped * deployment.overhead.kernels,
        bytes_rate: gpu.bandwidth * deployment.efficiency.experts,
    };
    // Tokens travel to their experts and back only where ranks attend apart.
    let exchange = if deployment.parallel.data > 1 {
        let away = 1.0 - 1.0 / ways;
        let copies = match deployment.parallel.experts {
            ExpertPlacement::Whole => f64::from(active).min(ways),
            ExpertPlacement::Sliced => ways,
        };
        2.0 * copies * away * f64::from(model.hidden) * 2.0 / gpu.link.bandwidth
    } else {
        0.0
    };
    Some(Routed {
        experts: f64::from(experts),
        active: f64::from(active),
        share_of_layers: model.expert_layers() / f64::from(model.layers),
        expert,
        exchange,
    })
}

/// Bytes of activations that one token moves through memory in one layer.
fn activation_bytes(deployment: &Deployment) -> f64 {
    let model = &deployment.model;
    let inner = match model.feed_forward {
        FeedForward::Dense { intermediate } => f64::from(intermediate),
        FeedForward::Experts { active, intermediate, shared_intermediate, .. } => {
            f64::from(active * intermediate + shared_intermediate)
        }
    };
    // Norms and residuals on every GPU; the inner width is divided.
    2.0 * (8.0 * f64::from(model.hidden) + 4.0 * inner / f64::from(deployment.parallel.tensor))
}

fn layer_seconds(deployment: &Deployment) -> f64 {
    let efficiency = &deployment.efficiency;
    let quantized = match deployment.model.body_dtype(deployment.weights) {
        Dtype::Fp8 | Dtype::Int8 => efficiency.quantized_layer,
        Dtype::Bf16 | Dtype::Int4 | Dtype::Mxfp4 => 0.0,
    };
    let latent = match deployment.model.attention {
        Attention::Grouped { .. } => 0.0,
        Attention::Latent { .. } => efficiency.latent_layer,
    };
    let routed = deployment.model.expert_layers() / f64::from(deployment.model.layers);
    let plain = efficiency.layer * deployment.overhead.gaps;
    plain + quantized + latent + routed * efficiency.expert_layer
}

/// Seconds of the CPU to launch one layer's kernels.
fn launch_layer_seconds(deployment: &Deployment) -> f64 {
    match (deployment.gpu.family, deployment.launch) {
        (Family::Cpu, _) => 0.0,
        (_, Launch::Graphs) => 120e-6,
        (_, Launch::Eager) => 350e-6,
    }
}

/// One layer's all-reduce: a latency, and 2(t−1)/t of the activations over the link.
fn reduce_of(deployment: &Deployment) -> Option<Transfer> {
    let tensor = f64::from(deployment.parallel.tensor);
    if tensor < 2.0 {
        return None;
    }
    let bytes = f64::from(deployment.model.hidden) * 2.0 * 2.0 * (tensor - 1.0) / tensor;
    Some(Transfer {
        latency: link_latency(deployment.gpu.link.kind, tensor) * deployment.overhead.gaps,
        per_token: bytes / link_rate(deployment),
    })
}

/// The way of activations from one stage to the next.
fn hop_of(deployment: &Deployment) -> Option<Transfer> {
    (deployment.parallel.pipeline > 1).then(|| Transfer {
        latency: link_latency(deployment.gpu.link.kind, 2.0),
        per_token: f64::from(deployment.model.hidden) * 2.0 / link_rate(deployment),
    })
}

/// Seconds of a collective of so many ranks on a message of no length. Direct links reduce in
/// one shot; over PCI Express the message goes round a ring.
fn link_latency(kind: LinkKind, ranks: f64) -> f64 {
    match kind {
        LinkKind::Direct => 10e-6,
        LinkKind::Pcie => 12e-6 * (ranks - 1.0),
        LinkKind::PcieThroughHost => 28e-6 * (ranks - 1.0),
    }
}

/// Bytes per second that a collective reaches.
fn link_rate(deployment: &Deployment) -> f64 {
    let share = match deployment.gpu.link.kind {
        LinkKind::Direct => 0.65,
        LinkKind::Pcie => 0.45,
        // Every byte crosses the host's memory twice, and all cards share it.
        LinkKind::PcieThroughHost => 0.095,
    };
    deployment.gpu.link.bandwidth * share
}

/// One step of guessing: for each proposed token the draft's layers and the output matrix.
fn draft_seconds(deployment: &Deployment, dense: &Product, head: &Product) -> f64 {
    deployment.speculation.map_or(0.0, |speculation| {
        let layers = f64::from(speculation.draft_layers);
        if layers <= 0.0 {
            return 0.0;
        }
        let one = layers * (dense.read_seconds() + deployment.efficiency.layer)
            + head.read_seconds()
            + DRAFT_LAUNCH;
        f64::from(speculation.tokens) * one
    })
}

/// Seconds to launch one pass of a draft.
const DRAFT_LAUNCH: f64 = 100e-6;

/// The scheduler's seconds for a step and for each of its sequences.
fn scheduler_of(deployment: &Deployment) -> (f64, f64) {
    let overhead = &deployment.overhead;
    let workers = deployment.parallel.tensor * deployment.parallel.pipeline;
    let lockstep = if workers > 1 { overhead.workers } else { 0.0 };
    // Each data-parallel rank has its own scheduler.
    (overhead.step + lockstep, overhead.sequence / f64::from(deployment.parallel.data))
}

#[cfg(test)]
mod tests;
