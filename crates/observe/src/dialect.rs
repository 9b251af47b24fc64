//! From each reporter's names to the neutral vocabulary.
//!
//! An engine's page may carry a second engine's names (a Dynamo worker passes vLLM's through), so
//! of the engines the first in [`ENGINES`] that is found speaks for the page. GPU and host
//! exporters are read beside whichever engine there is.
//!
//! Sources of the names, as of the versions in testdata/README.md: vLLM `v1/metrics/loggers.py`,
//! SGLang `srt/metrics/collector.py`, TGI "Metrics", TensorRT-LLM `metrics/collector.py`,
//! `tensorrtllm_backend` "Triton Metrics", Dynamo "Metrics", llama.cpp `tools/server/README.md`,
//! DCGM exporter `dcp-metrics-included.csv`, node exporter's collectors `cpu`, `meminfo`, `netdev`.

use std::collections::BTreeSet;

use infermark_terms::Metric;

use crate::Value;
use crate::exposition::Sample;

/// What a page of metrics says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Which engine's names it has.
    pub engine: Option<&'static str>,
    /// Its values; what it does not say is not there.
    pub values: Vec<Value>,
}

/// How the samples of one name, which differ in their labels, become one value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fold {
    /// Their sum: of several engines, or of several causes.
    Sum,
    /// The greatest of them.
    Max,
}

/// Which samples make a metric.
struct Rule {
    metric: Metric,
    /// The name; where several rules have the same metric, the first that is found counts.
    name: &'static str,
    /// A label that must have this value.
    only: Option<(&'static str, &'static str)>,
    /// What the reporter's unit is multiplied by.
    scale: f64,
    fold: Fold,
}

impl Rule {
    const fn sum(metric: Metric, name: &'static str) -> Self {
        Self { metric, name, only: None, scale: 1.0, fold: Fold::Sum }
    }

    const fn max(metric: Metric, name: &'static str) -> Self {
        Self { metric, name, only: None, scale: 1.0, fold: Fold::Max }
    }

    const fn only(self, label: &'static str, value: &'static str) -> Self {
        Self { only: Some((label, value)), ..self }
    }

    const fn scaled(self, scale: f64) -> Self {
        Self { scale, ..self }
    }

    fn takes(&self, sample: &Sample<'_>) -> bool {
        sample.name == self.name
            && self.only.is_none_or(|(label, value)| sample.label(label) == Some(value))
    }

    /// Folds values; nothing of none.
    fn fold(&self, values: impl Iterator<Item = f64>) -> Option<f64> {
        let folded = match self.fold {
            Fold::Sum => values.reduce(|sum, value| sum + value),
            Fold::Max => values.reduce(f64::max),
        };
        folded.map(|value| value * self.scale)
    }
}

const ENGINES: [(&str, &[Rule]); 7] = [
    ("vllm", VLLM),
    ("sglang", SGLANG),
    ("trtllm", TRTLLM),
    ("tgi", TGI),
    ("llamacpp", LLAMACPP),
    ("triton", TRITON),
    ("dynamo", DYNAMO),
];

/// Current names first, then those of vLLM before 0.10.
const VLLM: &[Rule] = &[
    Rule::sum(Metric::RequestsRunning, "vllm:num_requests_running"),
    Rule::sum(Metric::RequestsWaiting, "vllm:num_requests_waiting"),
    Rule::max(Metric::KvUsage, "vllm:kv_cache_usage_perc"),
    Rule::max(Metric::KvUsage, "vllm:gpu_cache_usage_perc"),
    Rule::sum(Metric::PrefixQueryTokens, "vllm:prefix_cache_queries_total"),
    Rule::sum(Metric::PrefixQueryTokens, "vllm:gpu_prefix_cache_queries_total"),
    Rule::sum(Metric::PrefixHitTokens, "vllm:prefix_cache_hits_total"),
    Rule::sum(Metric::PrefixHitTokens, "vllm:gpu_prefix_cache_hits_total"),
    Rule::max(Metric::PrefixHitRate, "vllm:gpu_prefix_cache_hit_rate"),
    Rule::sum(Metric::Preemptions, "vllm:num_preemptions_total"),
    Rule::sum(Metric::PromptTokens, "vllm:prompt_tokens_total"),
    Rule::sum(Metric::GenerationTokens, "vllm:generation_tokens_total"),
    Rule::sum(Metric::QueueSeconds, "vllm:request_queue_time_seconds_sum"),
    Rule::sum(Metric::PrefillSeconds, "vllm:request_prefill_time_seconds_sum"),
    Rule::sum(Metric::DecodeSeconds, "vllm:request_decode_time_seconds_sum"),
    Rule::sum(Metric::DraftTokens, "vllm:spec_decode_num_draft_tokens_total"),
    Rule::sum(Metric::AcceptedDraftTokens, "vllm:spec_decode_num_accepted_tokens_total"),
];

/// SGLang looks up every prompt token in its prefix cache, and counts the hits alone.
const SGLANG: &[Rule] = &[
    Rule::sum(Metric::RequestsRunning, "sglang:num_running_reqs"),
    Rule::sum(Metric::RequestsWaiting, "sglang:num_queue_reqs"),
    Rule::max(Metric::KvUsage, "sglang:token_usage"),
    Rule::sum(Metric::PrefixHitTokens, "sglang:cached_tokens_total"),
    Rule::max(Metric::PrefixHitRate, "sglang:cache_hit_rate"),
    Rule::sum(Metric::Preemptions, "sglang:num_retracted_requests_total"),
    Rule::sum(Metric::PromptTokens, "sglang:prompt_tokens_total"),
    Rule::sum(Metric::GenerationTokens, "sglang:generation_tokens_total"),
    Rule::sum(Metric::QueueSeconds, "sglang:queue_time_seconds_sum"),
];

const TRTLLM: &[Rule] = &[
    Rule::sum(Metric::RequestsRunning, "trtllm_num_requests_running"),
    Rule::sum(Metric::RequestsWaiting, "trtllm_num_requests_waiting"),
    Rule::max(Metric::KvUsage, "trtllm_kv_cache_utilization"),
    Rule::max(Metric::PrefixHitRate, "trtllm_kv_cache_hit_rate"),
    Rule::sum(Metric::QueueSeconds, "trtllm_request_queue_time_seconds_sum"),
    Rule::sum(Metric::DraftTokens, "trtllm_spec_decode_num_draft_tokens_total"),
    Rule::sum(Metric::AcceptedDraftTokens, "trtllm_spec_decode_num_accepted_tokens_total"),
];

const TGI: &[Rule] = &[
    Rule::sum(Metric::RequestsRunning, "tgi_batch_current_size"),
    Rule::sum(Metric::RequestsWaiting, "tgi_queue_size"),
    Rule::sum(Metric::PromptTokens, "tgi_request_input_length_sum"),
    Rule::sum(Metric::GenerationTokens, "tgi_request_generated_tokens_sum"),
    Rule::sum(Metric::QueueSeconds, "tgi_request_queue_duration_sum"),
];

const LLAMACPP: &[Rule] = &[
    Rule::sum(Metric::RequestsRunning, "llamacpp:requests_processing"),
    Rule::sum(Metric::RequestsWaiting, "llamacpp:requests_deferred"),
    Rule::max(Metric::KvUsage, "llamacpp:kv_cache_usage_ratio"),
    Rule::sum(Metric::PromptTokens, "llamacpp:prompt_tokens_total"),
    Rule::sum(Metric::GenerationTokens, "llamacpp:tokens_predicted_total"),
    Rule::sum(Metric::PrefillSeconds, "llamacpp:prompt_seconds_total"),
    Rule::sum(Metric::DecodeSeconds, "llamacpp:tokens_predicted_seconds_total"),
    Rule::sum(Metric::DraftTokens, "llamacpp:spec_decode_num_draft_tokens_total"),
    Rule::sum(Metric::AcceptedDraftTokens, "llamacpp:spec_decode_num_accepted_tokens_total"),
];

/// How names begin that only Triton's TensorRT-LLM backend has.
const TRITON_TRTLLM: &str = "nv_trt_llm_";

/// Triton with its TensorRT-LLM backend. Triton alone knows requests, not tokens.
const TRITON: &[Rule] = &[
    Rule::sum(Metric::RequestsRunning, "nv_trt_llm_request_metrics").only("request_type", "active"),
    Rule::sum(Metric::RequestsWaiting, "nv_trt_llm_request_metrics")
        .only("request_type", "waiting"),
    Rule::sum(Metric::RequestsWaiting, "nv_inference_pending_request_count"),
    Rule::max(Metric::KvUsage, "nv_trt_llm_kv_cache_block_metrics")
        .only("kv_cache_block_type", "fraction"),
    Rule::sum(Metric::PromptTokens, "nv_llm_input_token_len_sum"),
    Rule::sum(Metric::GenerationTokens, "nv_llm_output_token_len_sum"),
    Rule::sum(Metric::QueueSeconds, "nv_inference_queue_duration_us").scaled(1e-6),
];

/// Dynamo's frontend and its router's statistics of the workers.
const DYNAMO: &[Rule] = &[
    Rule::sum(Metric::RequestsRunning, "dynamo_frontend_inflight_requests"),
    Rule::sum(Metric::RequestsWaiting, "dynamo_frontend_queued_requests"),
    Rule::max(Metric::KvUsage, "dynamo_component_kvstats_gpu_cache_usage_percent"),
    Rule::max(Metric::PrefixHitRate, "dynamo_component_kvstats_gpu_prefix_cache_hit_rate"),
    Rule::sum(Metric::PromptTokens, "dynamo_frontend_input_sequence_tokens_sum"),
    Rule::sum(Metric::GenerationTokens, "dynamo_frontend_output_tokens_total"),
    Rule::sum(Metric::GenerationTokens, "dynamo_frontend_output_sequence_tokens_sum"),
];

const MEBI: f64 = 1_048_576.0;

/// One value for each GPU: of a GPU that is cut in parts, the greatest.
const GPUS: &[Rule] = &[
    Rule::max(Metric::GpuUtilization, "DCGM_FI_DEV_GPU_UTIL").scaled(0.01),
    Rule::max(Metric::GpuUtilization, "DCGM_FI_PROF_GR_ENGINE_ACTIVE"),
    Rule::max(Metric::GpuUtilization, "nv_gpu_utilization"),
    Rule::max(Metric::GpuMemoryUsed, "DCGM_FI_DEV_FB_USED").scaled(MEBI),
    Rule::max(Metric::GpuMemoryUsed, "nv_gpu_memory_used_bytes"),
    Rule::max(Metric::GpuMemoryTotal, "DCGM_FI_DEV_FB_TOTAL").scaled(MEBI),
    Rule::max(Metric::GpuMemoryTotal, "nv_gpu_memory_total_bytes"),
    Rule::max(Metric::GpuPower, "DCGM_FI_DEV_POWER_USAGE"),
    Rule::max(Metric::GpuPower, "nv_gpu_power_usage"),
    Rule::max(Metric::GpuPowerLimit, "DCGM_FI_DEV_ENFORCED_POWER_LIMIT"),
    Rule::max(Metric::GpuPowerLimit, "DCGM_FI_DEV_POWER_MGMT_LIMIT"),
    Rule::max(Metric::GpuPowerLimit, "nv_gpu_power_limit"),
    Rule::max(Metric::GpuEnergy, "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION").scaled(1e-3),
    Rule::max(Metric::GpuEnergy, "nv_energy_consumption"),
    Rule::max(Metric::GpuTemperature, "DCGM_FI_DEV_GPU_TEMP"),
    Rule::max(Metric::GpuSmClock, "DCGM_FI_DEV_SM_CLOCK").scaled(1e6),
    Rule::max(Metric::GpuMemoryClock, "DCGM_FI_DEV_MEM_CLOCK").scaled(1e6),
    Rule::max(Metric::GpuThrottleReasons, "DCGM_FI_DEV_CLOCKS_EVENT_REASONS"),
    Rule::max(Metric::GpuThrottleReasons, "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS"),
];

/// The labels that name a GPU, the best first: DCGM's, then Triton's.
const GPU_LABELS: [&str; 3] = ["UUID", "gpu_uuid", "gpu"];

/// Reads the samples of a page.
pub fn read(samples: &[Sample<'_>]) -> Reading {
    let samples: Vec<_> = samples.iter().filter(|sample| is_observed(sample.value)).collect();
    let mut reading = Reading::default();
    for (engine, rules) in ENGINES {
        reading.values = engine_values(rules, &samples);
        if !reading.values.is_empty() {
            reading.engine = Some(engine);
            break;
        }
    }
    if reading.engine == Some("sglang") {
        count_queries(&mut reading.values);
    }
    if reading.engine == Some("triton")
        && samples.iter().any(|sample| sample.name.starts_with(TRITON_TRTLLM))
    {
        reading.engine = Some("triton_trtllm");
    }
    reading.values.extend(gpu_values(&samples));
    reading.values.extend(node_values(&samples));
    reading
}

/// Says whether a value was observed: DCGM writes a great number where it has none
/// (`dcgm_fields.h`, `DCGM_INT32_BLANK`, `DCGM_INT64_BLANK` and `DCGM_FP64_BLANK`, each with the
/// fifteen above it).
fn is_observed(value: f64) -> bool {
    const BLANKS: [(f64, f64); 2] =
        [(2_147_483_632.0, 2_147_483_647.0), (140_737_488_355_328.0, 140_737_488_355_343.0)];
    let blank = BLANKS.iter().any(|&(from, to)| (from..=to).contains(&value));
    value.is_finite() && !blank && value < 9.223_372_036_854_775e18
}

fn engine_values(rules: &[Rule], samples: &[&Sample<'_>]) -> Vec<Value> {
    let mut values: Vec<Value> = Vec::new();
    for rule in rules {
        if values.iter().any(|value| value.metric == rule.metric) {
            continue;
        }
        let taken = samples.iter().filter(|sample| rule.takes(sample)).map(|sample| sample.value);
        values.extend(rule.fold(taken).map(|value| Value::whole(rule.metric, value)));
    }
    values
}

/// Adds the queries of an engine that looks every prompt token up.
fn count_queries(values: &mut Vec<Value>) {
    let find = |metric| values.iter().find(|value| value.metric == metric);
    if let (Some(prompts), Some(_)) = (find(Metric::PromptTokens), find(Metric::PrefixHitTokens)) {
        let queries = prompts.value;
        values.push(Value::whole(Metric::PrefixQueryTokens, queries));
    }
}

fn gpu_values(samples: &[&Sample<'_>]) -> Vec<Value> {
    let gpu = |sample: &Sample<'_>| {
        GPU_LABELS.iter().find_map(|label| sample.label(label)).unwrap_or_default().to_owned()
    };
    let mut values: Vec<Value> = Vec::new();
    for rule in GPUS {
        let taken: Vec<_> = samples.iter().filter(|sample| rule.takes(sample)).collect();
        let gpus: BTreeSet<String> = taken.iter().map(|sample| gpu(sample)).collect();
        for instance in gpus {
            let known = |v: &Value| v.metric == rule.metric && v.instance == instance;
            if values.iter().any(known) {
                continue;
            }
            let own = taken.iter().filter(|sample| gpu(sample) == instance);
            let folded = rule.fold(own.map(|sample| sample.value));
            values.extend(folded.map(|value| Value { metric: rule.metric, instance, value }));
        }
    }
    values.extend(gpu_memory_totals(&values, samples, gpu));
    values
}

/// DCGM's usual set has used and free memory, and no total.
fn gpu_memory_totals(
    values: &[Value],
    samples: &[&Sample<'_>],
    gpu: impl Fn(&Sample<'_>) -> String,
) -> Vec<Value> {
    let has_total =
        |gpu: &str| values.iter().any(|v| v.metric == Metric::GpuMemoryTotal && v.instance == gpu);
    let used = values.iter().filter(|value| value.metric == Metric::GpuMemoryUsed);
    let lacking = used.filter(|value| !has_total(&value.instance));
    let total = lacking.filter_map(|used| {
        let mut free = samples.iter().filter(|sample| sample.name == "DCGM_FI_DEV_FB_FREE");
        let free = free.find(|sample| gpu(sample) == used.instance)?;
        let value = used.value + free.value * MEBI;
        Some(Value { metric: Metric::GpuMemoryTotal, instance: used.instance.clone(), value })
    });
    total.collect()
}

/// The node exporter's collectors, which count by mode and by device.
fn node_values(samples: &[&Sample<'_>]) -> Vec<Value> {
    let all = |name: &'static str| samples.iter().filter(move |sample| sample.name == name);
    let sum = |metric, values: Vec<f64>| {
        (!values.is_empty()).then(|| Value::whole(metric, values.iter().sum()))
    };
    let cpu = || all("node_cpu_seconds_total");
    let idle = |sample: &Sample<'_>| matches!(sample.label("mode"), Some("idle" | "iowait"));
    let busy = cpu().filter(|sample| !idle(sample)).map(|sample| sample.value).collect();
    let cores: BTreeSet<_> = cpu().filter_map(|sample| sample.label("cpu")).collect();
    let memory = |name| all(name).next().map(|sample| sample.value);
    let total = memory("node_memory_MemTotal_bytes");
    let used = total.zip(memory("node_memory_MemAvailable_bytes")).map(|(all, free)| all - free);
    let network = |name| {
        let outside = all(name).filter(|sample| sample.label("device") != Some("lo"));
        outside.map(|sample| sample.value).collect()
    };
    let cores = (!cores.is_empty()).then(|| Value::whole(Metric::CpuCores, cores.len() as f64));
    [
        sum(Metric::CpuBusySeconds, busy),
        cores,
        used.map(|value| Value::whole(Metric::MemoryUsed, value)),
        total.map(|value| Value::whole(Metric::MemoryTotal, value)),
        sum(Metric::NetworkReceived, network("node_network_receive_bytes_total")),
        sum(Metric::NetworkSent, network("node_network_transmit_bytes_total")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests;
