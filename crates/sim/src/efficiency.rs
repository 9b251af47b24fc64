//! How much of a peak an engine reaches: the calibrated constants, by GPU family and by engine.
//!
//! There is one set per family and one per engine, never one per data point, model or load.
//! docs/simulator.md says from which data each was found.

use crate::hardware::Family;

/// What a GPU family reaches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Efficiency {
    /// Share of the bandwidth when weights are read.
    pub weights: f64,
    /// Share of the bandwidth when paged KV is read by decode attention.
    pub kv: f64,
    /// Share of peak operations of large dense matrix products.
    pub dense: f64,
    /// Share of peak operations of attention over prompts.
    pub attention: f64,
    /// The same for models with windows and sinks, for which not every family has its kernels.
    pub attention_windowed: f64,
    /// Share of the bandwidth when the weights of scattered experts are read.
    pub experts: f64,
    /// Share of peak operations of products grouped by expert, in 16 bits whatever the format:
    /// narrower formats save traffic here, not time.
    pub grouped: f64,
    /// How much of what 8-bit units add over 16-bit ones is gained, quantization included.
    pub narrow_gain: f64,
    /// Seconds of every layer that no roofline explains: gaps, norms, small kernels.
    pub layer: f64,
    /// Seconds per layer on top with experts: routing, sorting, scattering.
    pub expert_layer: f64,
    /// Seconds per layer on top when activations are quantized on the fly.
    pub quantized_layer: f64,
    /// Seconds per layer on top with latent attention, which is many small products.
    pub latent_layer: f64,
}

impl Efficiency {
    /// Returns the constants of a family.
    pub const fn of(family: Family) -> Self {
        let hopper = Self {
            weights: 0.92,
            kv: 0.54,
            dense: 0.41,
            attention: 0.47,
            attention_windowed: 0.45,
            experts: 0.90,
            grouped: 0.22,
            narrow_gain: 0.42,
            layer: 44e-6,
            expert_layer: 30e-6,
            quantized_layer: 45e-6,
            latent_layer: 135e-6,
        };
        match family {
            Family::Hopper => hopper,
            // No data yet: Hopper's, with less of a peak that is harder to reach.
            Family::Blackwell => Self { dense: 0.37, grouped: 0.20, ..hopper },
            Family::Ampere => Self {
                weights: 0.81,
                kv: 0.36,
                dense: 0.45,
                attention_windowed: 0.12,
                experts: 0.56,
                grouped: 0.40,
                layer: 31e-6,
                expert_layer: 28e-6,
                ..hopper
            },
            Family::AmpereGraphics | Family::Ada => Self {
                weights: 0.79,
                dense: 0.38,
                attention_windowed: 0.30,
                experts: 0.60,
                layer: 35e-6,
                ..hopper
            },
            // No data of its own: from what is known of their kernels.
            Family::Turing => Self {
                weights: 0.75,
                dense: 0.30,
                attention: 0.20,
                attention_windowed: 0.10,
                experts: 0.60,
                ..hopper
            },
            Family::Cdna2 => Self { weights: 0.60, kv: 0.35, dense: 0.33, experts: 0.50, ..hopper },
            Family::Cdna3 => Self { weights: 0.65, kv: 0.40, dense: 0.33, experts: 0.50, ..hopper },
            Family::Cpu => Self { weights: 0.70, dense: 0.40, experts: 0.60, ..hopper },
        }
    }
}

/// Which engine is simulated. All are modelled as one scheduler; they differ in overheads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stack {
    /// vLLM V1 before 0.14: the GPU waits while the CPU schedules.
    Vllm,
    /// The same with `--async-scheduling`: the CPU schedules while the GPU works.
    VllmAsync,
    /// vLLM from 0.14 on: asynchronous by default, with fused norms and reductions.
    VllmFused,
    /// `SGLang`, which overlaps both too.
    Sglang,
    /// TensorRT-LLM.
    TensorRt,
}

/// What the CPU side of an engine costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overhead {
    /// Seconds of the scheduler for every step.
    pub step: f64,
    /// Seconds of the scheduler for every sequence of a step.
    pub sequence: f64,
    /// Seconds for every step on top where several processes work in lockstep.
    pub workers: f64,
    /// Whether the CPU's part overlaps the GPU's.
    pub overlap: Overlap,
    /// Share of [`Efficiency::layer`] and of a collective's latency that its fused kernels leave.
    pub gaps: f64,
    /// Factor on what products and attention reach of peak operations, for its newer kernels.
    pub kernels: f64,
    /// Seconds from a request's arrival to the queue on an idle server, what its one core does
    /// not count.
    pub request: f64,
    /// Seconds of the front end's one core for every request whose chat is a template.
    pub template_core: f64,
    /// The same for a model with an encoder of its own.
    pub native_core: f64,
    /// Seconds of the front end's one core for each token of a prompt.
    pub tokenize_core: f64,
    /// Seconds of the front end's one core to turn a token into text and send it.
    pub token_core: f64,
}

/// Whether the CPU's part of a step overlaps the GPU's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// One after the other.
    None,
    /// Side by side; the slower of the two counts.
    Full,
}

impl Overhead {
    /// Returns the constants of an engine.
    pub const fn of(stack: Stack) -> Self {
        let vllm = Self {
            step: 0.65e-3,
            sequence: 16e-6,
            workers: 0.5e-3,
            overlap: Overlap::None,
            gaps: 1.0,
            kernels: 1.0,
            request: 24e-3,
            template_core: 14e-3,
            native_core: 1.7e-3,
            tokenize_core: 1.2e-6,
            token_core: 60e-6,
        };
        match stack {
            Stack::Vllm => vllm,
            Stack::VllmAsync => Self { overlap: Overlap::Full, ..vllm },
            Stack::VllmFused => Self {
                overlap: Overlap::Full,
                gaps: 0.15,
                kernels: 1.4,
                request: 2e-3,
                template_core: 2e-3,
                ..vllm
            },
            Stack::Sglang => {
                Self { overlap: Overlap::Full, request: 11e-3, template_core: 2e-3, ..vllm }
            }
            Stack::TensorRt => Self { overlap: Overlap::Full, template_core: 4e-3, ..vllm },
        }
    }
}

impl Stack {
    /// Returns the name in options and results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vllm => "vllm",
            Self::VllmAsync => "vllm-async",
            Self::VllmFused => "vllm-0.14",
            Self::Sglang => "sglang",
            Self::TensorRt => "tensorrt-llm",
        }
    }

    /// Returns the engine of this name, or `None`. A version after `vllm-`, such as
    /// `vllm-0.15.1`, gives the engine as it was then.
    pub fn of_name(name: &str) -> Option<Self> {
        let known = [Self::Vllm, Self::VllmAsync, Self::VllmFused, Self::Sglang, Self::TensorRt];
        known.into_iter().find(|stack| stack.name() == name).or_else(|| {
            let mut version = name.strip_prefix("vllm-")?.trim_start_matches('v').split('.');
            let major: u32 = version.next()?.parse().ok()?;
            let minor: u32 = version.next()?.parse().ok()?;
            Some(if (major, minor) >= (0, 14) { Self::VllmFused } else { Self::Vllm })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_of_vllm_gives_the_engine_as_it_was() {
        assert_eq!(Stack::of_name("vllm-0.11.0"), Some(Stack::Vllm));
        assert_eq!(Stack::of_name("vllm-v0.15.1"), Some(Stack::VllmFused));
        assert_eq!(Stack::of_name("vllm-1.0"), Some(Stack::VllmFused));
        assert_eq!(Stack::of_name("vllm-latest"), None);
    }
}
