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
    /// Share of the bandwidth when the weights of scattered experts are read.
    pub experts: f64,
    /// Share of peak operations of products grouped by expert.
    pub grouped: f64,
    /// Seconds of every layer that no roofline explains: gaps, norms, small kernels.
    pub layer: f64,
    /// Seconds per layer on top with experts: routing, sorting, scattering.
    pub expert_layer: f64,
    /// Seconds per layer on top when activations are quantized on the fly.
    pub quantized_layer: f64,
}

impl Efficiency {
    /// Returns the constants of a family.
    pub const fn of(family: Family) -> Self {
        let hopper = Self {
            weights: 0.80,
            kv: 0.45,
            dense: 0.55,
            attention: 0.50,
            experts: 0.55,
            grouped: 0.30,
            layer: 12e-6,
            expert_layer: 40e-6,
            quantized_layer: 20e-6,
        };
        match family {
            Family::Hopper => hopper,
            Family::Blackwell => Self { dense: 0.50, grouped: 0.25, ..hopper },
            Family::Ampere => Self { dense: 0.60, kv: 0.50, layer: 15e-6, ..hopper },
            Family::AmpereGraphics | Family::Ada => {
                Self { weights: 0.85, kv: 0.60, dense: 0.60, layer: 15e-6, ..hopper }
            }
            Family::Turing => Self { dense: 0.35, attention: 0.20, kv: 0.40, ..hopper },
            Family::Cdna2 => Self { weights: 0.60, kv: 0.35, dense: 0.40, ..hopper },
            Family::Cdna3 => Self { weights: 0.65, kv: 0.40, dense: 0.40, ..hopper },
            Family::Cpu => Self { weights: 0.70, kv: 0.50, dense: 0.40, layer: 30e-6, ..hopper },
        }
    }
}

/// Which engine is simulated. All are modelled as one scheduler; they differ in overheads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stack {
    /// vLLM V1: the GPU waits while the CPU schedules.
    Vllm,
    /// vLLM V1 with asynchronous scheduling: the CPU schedules while the GPU works.
    VllmAsync,
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
    /// Seconds from a request's arrival to the queue, and from its token to the client, on an
    /// idle server.
    pub request: f64,
    /// Seconds of the front end's one core for every request.
    pub request_core: f64,
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
            step: 0.6e-3,
            sequence: 12e-6,
            workers: 0.5e-3,
            overlap: Overlap::None,
            request: 25e-3,
            request_core: 10e-3,
        };
        match stack {
            Stack::Vllm => vllm,
            Stack::Sglang => {
                Self { overlap: Overlap::Full, request: 10e-3, request_core: 4e-3, ..vllm }
            }
            Stack::VllmAsync | Stack::TensorRt => Self { overlap: Overlap::Full, ..vllm },
        }
    }
}

impl Stack {
    /// Returns the name in options and results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vllm => "vllm",
            Self::VllmAsync => "vllm-async",
            Self::Sglang => "sglang",
            Self::TensorRt => "tensorrt-llm",
        }
    }

    /// Returns the engine of this name, or `None`.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Vllm, Self::VllmAsync, Self::Sglang, Self::TensorRt]
            .into_iter()
            .find(|stack| stack.name() == name)
    }
}
