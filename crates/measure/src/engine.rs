//! The engines that advice can be given for: what each calls the settings that change a limit.
//!
//! An engine is known by the names of its metrics, else by what the target says it is. Where
//! neither tells, advice names no setting: another engine's would only mislead. So it is with
//! Dynamo's front end, whose workers may be any engine.
//!
//! Sources of the names: vLLM "Engine Arguments", SGLang "Server Arguments", TGI "Launcher
//! arguments", TensorRT-LLM `trtllm-serve` and "LLM Arguments", `tensorrtllm_backend` "Model
//! Configuration", llama.cpp `tools/server/README.md`, Ollama `docs/faq`.

/// An inference engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// vLLM, and the simulator, which has its scheduler.
    Vllm,
    /// `SGLang`.
    Sglang,
    /// Text Generation Inference.
    Tgi,
    /// TensorRT-LLM's own server.
    TensorRtLlm,
    /// Triton with its TensorRT-LLM backend.
    TritonTensorRtLlm,
    /// llama.cpp's server.
    Llamacpp,
    /// Ollama.
    Ollama,
}

/// What a setting of an engine changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Knob {
    /// Requests that run at once.
    Seats,
    /// Memory for keys and values.
    KvMemory,
    /// Bits of a key or value.
    KvBits,
    /// Tokens that a step computes.
    StepTokens,
    /// Bits of a weight.
    WeightBits,
    /// GPUs that a model is spread over.
    Gpus,
    /// Speculative decoding.
    Drafts,
    /// The prefix cache.
    PrefixCache,
}

#[cfg(test)]
impl Knob {
    pub(crate) const ALL: [Self; 8] = [
        Self::Seats,
        Self::KvMemory,
        Self::KvBits,
        Self::StepTokens,
        Self::WeightBits,
        Self::Gpus,
        Self::Drafts,
        Self::PrefixCache,
    ];
}

impl Engine {
    /// Every engine.
    pub const ALL: [Self; 7] = [
        Self::Vllm,
        Self::Sglang,
        Self::Tgi,
        Self::TensorRtLlm,
        Self::TritonTensorRtLlm,
        Self::Llamacpp,
        Self::Ollama,
    ];

    /// Returns the engine of this name, as metrics and targets are called in a record.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "vllm" => Some(Self::Vllm),
            "sglang" => Some(Self::Sglang),
            "tgi" => Some(Self::Tgi),
            "trtllm" => Some(Self::TensorRtLlm),
            "triton_trtllm" => Some(Self::TritonTensorRtLlm),
            "llamacpp" => Some(Self::Llamacpp),
            "ollama" => Some(Self::Ollama),
            _ => None,
        }
    }

    /// Returns what it calls a setting, as it is written; nothing where it has none, or where the
    /// model's file or the built engine decides.
    pub(crate) const fn setting(self, knob: Knob) -> Option<&'static str> {
        use Engine::{Llamacpp, Ollama, Sglang, TensorRtLlm, Tgi, TritonTensorRtLlm, Vllm};
        Some(match (knob, self) {
            (Knob::Seats, Vllm) => "--max-num-seqs",
            (Knob::Seats, Sglang) => "--max-running-requests",
            (Knob::Seats, Tgi) => "--max-batch-size",
            (Knob::Seats, TensorRtLlm) => "--max_batch_size",
            (Knob::Seats, TritonTensorRtLlm) => "max_batch_size",
            (Knob::Seats, Llamacpp) => "--parallel",
            (Knob::Seats, Ollama) => "OLLAMA_NUM_PARALLEL",
            (Knob::KvMemory, Vllm) => "--gpu-memory-utilization",
            (Knob::KvMemory, Sglang) => "--mem-fraction-static",
            (Knob::KvMemory, Tgi) => "--cuda-memory-fraction",
            (Knob::KvMemory, TensorRtLlm) => "--kv_cache_free_gpu_memory_fraction",
            (Knob::KvMemory, TritonTensorRtLlm) => "kv_cache_free_gpu_mem_fraction",
            (Knob::KvMemory, Llamacpp) => "--ctx-size",
            (Knob::KvBits, Vllm) => "--kv-cache-dtype fp8",
            (Knob::KvBits, Sglang) => "--kv-cache-dtype fp8_e5m2",
            (Knob::KvBits, Tgi) => "--kv-cache-dtype fp8_e4m3fn",
            (Knob::KvBits, TensorRtLlm) => "kv_cache_config: {dtype: fp8}",
            (Knob::KvBits, Llamacpp) => "--cache-type-k q8_0",
            (Knob::KvBits, Ollama) => "OLLAMA_KV_CACHE_TYPE=q8_0",
            (Knob::StepTokens, Vllm) => "--max-num-batched-tokens",
            (Knob::StepTokens, Sglang) => "--chunked-prefill-size",
            (Knob::StepTokens, Tgi) => "--max-batch-prefill-tokens",
            (Knob::StepTokens, TensorRtLlm) => "--max_num_tokens",
            (Knob::StepTokens, TritonTensorRtLlm) => "trtllm-build --max_num_tokens",
            (Knob::StepTokens, Llamacpp) => "--ubatch-size",
            (Knob::WeightBits, Vllm | Sglang) => "--quantization fp8",
            (Knob::WeightBits, Tgi) => "--quantize fp8",
            (Knob::Gpus, Vllm) => "--tensor-parallel-size",
            (Knob::Gpus, Sglang) => "--tp-size",
            (Knob::Gpus, Tgi) => "--num-shard",
            (Knob::Gpus, TensorRtLlm) => "--tp_size",
            (Knob::Gpus, Llamacpp) => "--tensor-split",
            (Knob::Drafts, Vllm) => "--speculative-config",
            (Knob::Drafts, Sglang) => "--speculative-algorithm",
            (Knob::Drafts, Tgi) => "--speculate",
            (Knob::Drafts, TensorRtLlm) => "speculative_config",
            (Knob::Drafts, Llamacpp) => "--model-draft",
            (Knob::PrefixCache, Vllm) => "--enable-prefix-caching",
            (Knob::PrefixCache, TensorRtLlm) => "kv_cache_config: {enable_block_reuse: true}",
            (Knob::PrefixCache, TritonTensorRtLlm) => "enable_kv_cache_reuse",
            // On unless it is turned off, or there is none.
            (Knob::PrefixCache, Sglang | Tgi | Llamacpp | Ollama)
            | (Knob::KvMemory | Knob::StepTokens | Knob::WeightBits | Knob::Gpus, Ollama)
            | (Knob::Drafts, Ollama | TritonTensorRtLlm)
            | (Knob::WeightBits, TensorRtLlm | TritonTensorRtLlm | Llamacpp)
            | (Knob::KvBits | Knob::Gpus, TritonTensorRtLlm) => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_documented() {
        let page = include_str!("../../../docs/telemetry.md");
        let (_, table) = page.split_once("| what | vLLM |").unwrap();
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let documented: Vec<Vec<_>> = rows
            .map(|row| {
                let cells = row.trim_matches('|').split('|').skip(1);
                cells.map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
            })
            .collect();
        let known = Knob::ALL.map(|knob| {
            Engine::ALL.map(|engine| engine.setting(knob).unwrap_or("–").to_owned()).to_vec()
        });
        assert_eq!(documented, known);
    }

    #[test]
    fn engines_are_known_by_their_names_and_others_are_not() {
        let names = ["vllm", "sglang", "tgi", "trtllm", "triton_trtllm", "llamacpp", "ollama"];
        assert_eq!(names.map(Engine::named), Engine::ALL.map(Some));
        for other in ["dynamo", "triton", "infermark", "unknown", ""] {
            assert_eq!(Engine::named(other), None, "{other}");
        }
    }
}
