//! What is deployed: a model, on which GPUs, split how, with which limits; and whether it fits.

use std::fmt;

use crate::efficiency::{Efficiency, Overhead, Stack};
use crate::hardware::{Family, Gpu};
use crate::model::{Attention, Dtype, Embeddings, FeedForward, ModelShape};

/// A deployment of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// The model.
    pub model: ModelShape,
    /// The GPU, of which there are [`Deployment::gpus`].
    pub gpu: Gpu,
    /// How the model is split, and how often it is there.
    pub parallel: Parallel,
    /// The format of the weights.
    pub weights: Dtype,
    /// The format of the KV cache.
    pub kv: Dtype,
    /// The scheduler's limits.
    pub limits: Limits,
    /// How kernels are launched.
    pub launch: Launch,
    /// Which engine.
    pub stack: Stack,
    /// Who gets which request, where there are replicas.
    pub router: Router,
    /// Whether prompts and answers are computed on different replicas.
    pub split: Split,
    /// Guessing ahead.
    pub speculation: Option<Speculation>,
    /// Share of a GPU's memory that the engine may use.
    pub memory_share: f64,
    /// What the GPU's design reaches.
    pub efficiency: Efficiency,
    /// What the engine's CPU side costs.
    pub overhead: Overhead,
}

/// How a model is split over GPUs, and how often it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parallel {
    /// GPUs that share each layer.
    pub tensor: u32,
    /// Stages of consecutive layers.
    pub pipeline: u32,
    /// Ranks that share experts but each attend for their own requests. For a dense model they
    /// are replicas by another name.
    pub data: u32,
    /// How experts lie on the GPUs.
    pub experts: ExpertPlacement,
    /// Independent copies of all that, behind a router.
    pub replicas: u32,
}

/// How experts lie on the GPUs of a tensor group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpertPlacement {
    /// A slice of every expert on every GPU.
    Sliced,
    /// Whole experts, each on one GPU.
    Whole,
}

/// The scheduler's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most sequences in a batch.
    pub max_num_seqs: u32,
    /// The most tokens in a step.
    pub max_num_batched_tokens: u32,
    /// The longest sequence; absent: as long as the model and the memory allow.
    pub max_model_len: Option<u32>,
    /// Tokens of a KV block.
    pub block_size: u32,
    /// Whether prompts may be computed in pieces.
    pub chunked_prefill: Chunking,
    /// Whether KV blocks are kept for requests that begin alike.
    pub prefix_cache: PrefixCache,
    /// Who goes first.
    pub policy: Policy,
    /// The most requests in the queue; absent: no limit.
    pub max_queue: Option<u32>,
}

/// Whether prompts may be computed in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunking {
    /// A prompt fills what is left of a step's budget, and goes on in the next.
    Pieces,
    /// A prompt waits until a step can take it whole.
    Whole,
}

/// Whether KV blocks are kept for requests that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixCache {
    /// Kept until their memory is needed, the least recently used first to go.
    Kept,
    /// Not kept.
    Off,
}

/// Who goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// First come, first served.
    Fcfs,
    /// By priority, then first come, first served.
    Priority,
}

/// How kernels are launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launch {
    /// Recorded graphs for small batches, compiled pieces for large ones.
    Graphs,
    /// One by one (`--enforce-eager`).
    Eager,
}

/// Who gets which request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Router {
    /// Each replica in turn.
    RoundRobin,
    /// The one with the fewest requests.
    LeastLoaded,
    /// The one that holds most of the prompt already, unless it is much busier.
    PrefixAware,
}

/// Whether prompts and answers are computed on different replicas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Split {
    /// Every replica does both.
    Together,
    /// This many replicas only compute prompts; the others take over their KV.
    Apart {
        /// Replicas for prompts, at least 1 and fewer than all.
        prefill: u32,
        /// Bytes per second from one replica to another.
        bandwidth: f64,
    },
}

/// Guessing ahead: a draft proposes tokens, one step of the model checks them all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speculation {
    /// Tokens proposed for each step.
    pub tokens: u32,
    /// The chance that a proposed token is accepted if all before it were.
    pub acceptance: f64,
    /// Layers of the draft, as wide as the model's: 1 for EAGLE and MTP, 0 for n-grams.
    pub draft_layers: u32,
}

impl Deployment {
    /// Returns a deployment of one GPU with the engine's own defaults.
    pub fn new(model: ModelShape, gpu: Gpu) -> Self {
        let large = gpu.memory >= 70.0 * 1024.0 * 1024.0 * 1024.0;
        // vLLM V1's defaults for its server: large GPUs other than the A100 get more.
        let recent = matches!(gpu.family, Family::Hopper | Family::Blackwell | Family::Cdna3);
        let (max_num_seqs, max_num_batched_tokens) =
            if large && recent { (1024, 8192) } else { (256, 2048) };
        Self {
            weights: model.weights,
            kv: Dtype::Bf16,
            parallel: Parallel {
                tensor: 1,
                pipeline: 1,
                data: 1,
                experts: ExpertPlacement::Sliced,
                replicas: 1,
            },
            limits: Limits {
                max_num_seqs,
                max_num_batched_tokens,
                max_model_len: None,
                block_size: 16,
                chunked_prefill: Chunking::Pieces,
                prefix_cache: PrefixCache::Kept,
                policy: Policy::Fcfs,
                max_queue: None,
            },
            launch: Launch::Graphs,
            stack: Stack::Vllm,
            router: Router::LeastLoaded,
            split: Split::Together,
            speculation: None,
            memory_share: 0.9,
            efficiency: Efficiency::of(gpu.family),
            overhead: Overhead::of(Stack::Vllm),
            model,
            gpu,
        }
    }

    /// Returns the same on another engine.
    #[must_use]
    pub fn on_stack(mut self, stack: Stack) -> Self {
        self.stack = stack;
        self.overhead = Overhead::of(stack);
        self
    }

    /// Returns how many GPUs one replica takes.
    pub fn gpus_per_replica(&self) -> u32 {
        self.parallel.tensor * self.parallel.pipeline * self.parallel.data
    }

    /// Returns how many GPUs it takes in all.
    pub fn gpus(&self) -> u32 {
        self.gpus_per_replica() * self.parallel.replicas
    }

    /// Returns how many ways routed experts are divided.
    pub fn expert_ways(&self) -> f64 {
        f64::from(self.parallel.tensor * self.parallel.data)
    }

    /// Returns the bytes of KV that one token occupies on one GPU.
    pub fn kv_bytes_per_token(&self) -> f64 {
        let layers = f64::from(self.model.layers) / f64::from(self.parallel.pipeline);
        layers * self.model.kv_bytes_per_layer(self.kv) / self.kv_ways()
    }

    /// Returns how many ways a token's KV is divided within a tensor group.
    pub fn kv_ways(&self) -> f64 {
        match self.model.attention {
            Attention::Grouped { kv_heads, .. } => f64::from(self.parallel.tensor.min(kv_heads)),
            // One compressed vector serves all heads: every GPU holds all of it.
            Attention::Latent { .. } => 1.0,
        }
    }

    /// Works out where the memory of each GPU goes.
    ///
    /// # Errors
    ///
    /// When weights, working memory and the least KV do not fit, with the sum that shows it; or
    /// when the split makes no sense for the model.
    pub fn memory(&self) -> Result<MemoryPlan, DeploymentError> {
        self.check_split()?;
        let usable = self.gpu.memory * self.memory_share;
        let weights = self.weights_per_gpu();
        let working = self.working_memory();
        let block = self.kv_bytes_per_token() * f64::from(self.limits.block_size);
        let least_tokens = self.limits.max_model_len.unwrap_or(LEAST_CONTEXT);
        let least_blocks = f64::from(least_tokens.div_ceil(self.limits.block_size));
        let plan = MemoryPlan {
            usable,
            weights,
            working,
            kv: usable - weights - working,
            kv_least: least_blocks * block,
            blocks: 0,
        };
        if plan.kv < plan.kv_least {
            return Err(DeploymentError::DoesNotFit { gpu: self.gpu.name, plan });
        }
        let blocks = (plan.kv / block).min(MOST_BLOCKS) as u32;
        Ok(MemoryPlan { blocks: blocks.saturating_mul(self.parallel.data), ..plan })
    }

    fn check_split(&self) -> Result<(), DeploymentError> {
        let Parallel { tensor, pipeline, data, replicas, .. } = self.parallel;
        let bad = |reason: String| Err(DeploymentError::BadSplit { reason });
        if tensor == 0 || pipeline == 0 || data == 0 || replicas == 0 {
            return bad("every degree of parallelism is at least 1".to_owned());
        }
        if !self.model.heads.is_multiple_of(tensor) {
            return bad(format!("{} heads cannot be shared by {tensor} GPUs", self.model.heads));
        }
        if pipeline > self.model.layers {
            return bad(format!("{pipeline} stages are more than {} layers", self.model.layers));
        }
        if let Split::Apart { prefill, .. } = self.split
            && (prefill == 0 || prefill >= replicas)
        {
            return bad(format!("{prefill} of {replicas} replicas for prompts leaves none"));
        }
        Ok(())
    }

    /// Weights of one GPU: body by tensor and pipeline, experts by data too, embeddings by tensor
    /// on the stages at the ends.
    fn weights_per_gpu(&self) -> f64 {
        let model = &self.model;
        let tensor = f64::from(self.parallel.tensor);
        let stages = f64::from(self.parallel.pipeline);
        let embeddings = model.head_params() * Dtype::Bf16.bytes();
        let routed = match model.feed_forward {
            FeedForward::Dense { .. } => 0.0,
            FeedForward::Experts { experts, .. } => {
                let all = model.expert_layers() * f64::from(experts) * model.expert_params();
                all * self.weights.bytes()
            }
        };
        let both = match model.embeddings {
            Embeddings::Tied => embeddings,
            Embeddings::Separate => 2.0 * embeddings,
        };
        let body = model.weight_bytes(self.weights) - both - routed;
        // With stages, the first holds the input table and the last the output table.
        let table = if self.parallel.pipeline > 1 { embeddings } else { both };
        (body / stages + table) / tensor + routed / stages / self.expert_ways()
    }

    /// Memory for the CUDA context, collectives and the widest step's activations.
    fn working_memory(&self) -> f64 {
        let context = match (self.gpu.family, self.parallel.tensor) {
            (Family::Cpu, _) => 0.0,
            (_, 1) => 0.8 * GIB,
            (_, _) => 1.6 * GIB,
        };
        let tokens = f64::from(self.limits.max_num_batched_tokens);
        let width = match self.model.feed_forward {
            FeedForward::Dense { intermediate } => f64::from(intermediate),
            FeedForward::Experts { active, intermediate, .. } => {
                f64::from(active) * f64::from(intermediate + self.model.hidden)
            }
        };
        let per_token =
            6.0 * f64::from(self.model.hidden) + 3.0 * width / f64::from(self.parallel.tensor);
        let activations = tokens * per_token * 2.0;
        // Logits of the widest batch in 32 bits, twice: once as they come, once sampled.
        let logits = f64::from(self.limits.max_num_seqs.min(self.limits.max_num_batched_tokens))
            * f64::from(self.model.vocab)
            * 8.0;
        context + activations.max(logits)
    }
}

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;
/// Tokens of KV without which a deployment is refused when no context length is asked for.
const LEAST_CONTEXT: u32 = 2_048;
/// The most KV blocks of a GPU; beyond this, memory is never what limits.
const MOST_BLOCKS: f64 = 100e6;

/// Where the memory of each GPU goes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryPlan {
    /// What the engine may use.
    pub usable: f64,
    /// Weights.
    pub weights: f64,
    /// Context, collectives, activations.
    pub working: f64,
    /// What is left for KV; negative where nothing is.
    pub kv: f64,
    /// The least KV with which the engine starts.
    pub kv_least: f64,
    /// KV blocks of one replica.
    pub blocks: u32,
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "weights {:.2} GiB + working memory {:.2} GiB + KV of at least {:.2} GiB = {:.2} GiB \
             of {:.2} GiB usable",
            self.weights / GIB,
            self.working / GIB,
            self.kv_least / GIB,
            (self.weights + self.working + self.kv_least) / GIB,
            self.usable / GIB,
        )
    }
}

/// Why a deployment cannot be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DeploymentError {
    /// The memory of a GPU does not suffice.
    #[error("the model does not fit on each `{gpu}`: {plan}")]
    DoesNotFit {
        /// The GPU.
        gpu: &'static str,
        /// The sum.
        plan: MemoryPlan,
    },
    /// The split makes no sense for the model.
    #[error("the split is impossible: {reason}")]
    BadSplit {
        /// Why.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hardware, model::registry};

    fn deployment(model: &str, gpu: &str) -> Deployment {
        Deployment::new(registry::find(model).unwrap(), hardware::find(gpu).unwrap())
    }

    #[test]
    fn a_model_that_does_not_fit_is_refused_with_the_sum() {
        let error = deployment("llama-3.1-70b", "h100").memory().unwrap_err().to_string();
        assert!(error.contains("does not fit on each `h100-sxm`: weights 131."), "{error}");
        assert!(error.ends_with("of 71.64 GiB usable"), "{error}");
        let mut spread = deployment("llama-3.1-70b", "h100");
        spread.parallel.tensor = 4;
        assert!(spread.memory().is_ok());
    }

    #[test]
    fn kv_memory_is_near_what_the_engine_reports() {
        // vLLM's own log lines: Llama-3.1-8B on an H100 80 GB at 0.9: 55 to 56 GiB of KV.
        let plan = deployment("llama-3.1-8b", "h100").memory().unwrap();
        let kv = f64::from(plan.blocks) * 16.0 * 131_072.0 / GIB;
        assert!((53.0..57.0).contains(&kv), "{kv}");
    }

    #[test]
    fn an_explicit_context_must_fit() {
        let mut small = deployment("mistral-7b", "a100-mig-20gb");
        assert!(small.memory().is_ok());
        small.limits.max_model_len = Some(32_768);
        assert!(matches!(small.memory(), Err(DeploymentError::DoesNotFit { .. })));
    }

    #[test]
    fn heads_and_layers_bound_the_split() {
        let mut odd = deployment("qwen2.5-14b", "h100");
        odd.parallel.tensor = 3;
        assert!(matches!(odd.memory(), Err(DeploymentError::BadSplit { .. })));
    }
}
