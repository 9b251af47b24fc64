//! The maps against what reporters really say, and against what they are known to leave out.

use std::collections::BTreeMap;

use infermark_terms::Metric;

use super::*;
use crate::parse;

fn reading(text: &str) -> Reading {
    read(&parse(text).unwrap())
}

/// Returns the values by metric and instance.
fn table(reading: &Reading) -> BTreeMap<(Metric, &str), f64> {
    let values = reading.values.iter();
    let table: BTreeMap<_, _> =
        values.map(|v| ((v.metric, v.instance.as_str()), v.value)).collect();
    assert_eq!(table.len(), reading.values.len(), "each metric of an instance stands once");
    table
}

#[track_caller]
fn says(text: &str, engine: Option<&str>, expected: &[(Metric, &str, f64)]) {
    let reading = reading(text);
    assert_eq!(reading.engine, engine);
    let expected: BTreeMap<_, _> =
        expected.iter().map(|&(metric, instance, value)| ((metric, instance), value)).collect();
    let found = table(&reading);
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (key, value) in found {
        let off = (value - expected[&key]).abs();
        assert!(off <= 1e-12 * value.abs(), "{key:?}: {value} and not {}", expected[&key]);
    }
}

#[test]
fn vllm() {
    says(
        include_str!("../../testdata/vllm-0.32.0/metrics.txt"),
        Some("vllm"),
        &[
            (Metric::RequestsRunning, "", 2.0),
            (Metric::RequestsWaiting, "", 0.0),
            (Metric::KvUsage, "", 0.001_221_001_221_001_216_7),
            (Metric::PrefixQueryTokens, "", 23552.0),
            (Metric::PrefixHitTokens, "", 0.0),
            (Metric::Preemptions, "", 0.0),
            (Metric::PromptTokens, "", 23552.0),
            (Metric::GenerationTokens, "", 5765.0),
            (Metric::QueueSeconds, "", 0.296_657_319_975_565_77),
            (Metric::PrefillSeconds, "", 4.739_426_678_013_842),
            (Metric::DecodeSeconds, "", 49.899_036_287_992_2),
        ],
    );
}

#[test]
fn the_simulator_speaks_as_vllm_does() {
    says(
        include_str!("../../testdata/infermark-sim/metrics.txt"),
        Some("vllm"),
        &[
            (Metric::RequestsRunning, "", 4.0),
            (Metric::RequestsWaiting, "", 12.0),
            (Metric::KvUsage, "", 0.002_350_092_579_404_643_4),
            (Metric::PrefixQueryTokens, "", 11264.0),
            (Metric::PrefixHitTokens, "", 0.0),
            (Metric::Preemptions, "", 0.0),
            (Metric::PromptTokens, "", 11264.0),
            (Metric::GenerationTokens, "", 3464.0),
            (Metric::QueueSeconds, "", 65.699_214_621_999_99),
            (Metric::PrefillSeconds, "", 0.638_762_076_000_000_2),
            (Metric::DecodeSeconds, "", 24.811_948_541_999_996),
        ],
    );
}

#[test]
fn sglang() {
    says(
        include_str!("../../testdata/hand-written/sglang.txt"),
        Some("sglang"),
        &[
            (Metric::RequestsRunning, "", 162.0),
            (Metric::RequestsWaiting, "", 2826.0),
            (Metric::KvUsage, "", 0.28),
            (Metric::PrefixHitRate, "", 0.25),
            (Metric::PrefixHitTokens, "", 2_000_000.0),
            (Metric::PrefixQueryTokens, "", 8_000_000.0),
            (Metric::Preemptions, "", 3.0),
            (Metric::PromptTokens, "", 8_000_000.0),
            (Metric::GenerationTokens, "", 7_557_572.0),
            (Metric::QueueSeconds, "", 41.5),
        ],
    );
}

#[test]
fn text_generation_inference() {
    says(
        include_str!("../../testdata/hand-written/tgi.txt"),
        Some("tgi"),
        &[
            (Metric::RequestsRunning, "", 6.0),
            (Metric::RequestsWaiting, "", 4.0),
            (Metric::PromptTokens, "", 5120.0),
            (Metric::GenerationTokens, "", 2048.0),
            (Metric::QueueSeconds, "", 1.75),
        ],
    );
}

#[test]
fn tensorrt_llm() {
    says(
        include_str!("../../testdata/hand-written/trtllm.txt"),
        Some("trtllm"),
        &[
            (Metric::RequestsRunning, "", 8.0),
            (Metric::RequestsWaiting, "", 1.0),
            (Metric::KvUsage, "", 0.62),
            (Metric::PrefixHitRate, "", 0.1),
            (Metric::QueueSeconds, "", 0.5),
            (Metric::DraftTokens, "", 300.0),
            (Metric::AcceptedDraftTokens, "", 210.0),
        ],
    );
}

#[test]
fn triton_with_its_gpus() {
    says(
        include_str!("../../testdata/hand-written/triton.txt"),
        Some("triton_trtllm"),
        &[
            (Metric::RequestsRunning, "", 5.0),
            (Metric::RequestsWaiting, "", 2.0),
            (Metric::KvUsage, "", 0.4),
            (Metric::PromptTokens, "", 4096.0),
            (Metric::GenerationTokens, "", 1024.0),
            (Metric::QueueSeconds, "", 0.25),
            (Metric::GpuUtilization, "GPU-1", 0.93),
            (Metric::GpuMemoryUsed, "GPU-1", 70_000_000_000.0),
            (Metric::GpuMemoryTotal, "GPU-1", 85_520_809_984.0),
            (Metric::GpuPower, "GPU-1", 412.5),
            (Metric::GpuPowerLimit, "GPU-1", 700.0),
            (Metric::GpuEnergy, "GPU-1", 123_456.5),
        ],
    );
}

#[test]
fn dynamos_frontend() {
    says(
        include_str!("../../testdata/hand-written/dynamo.txt"),
        Some("dynamo"),
        &[
            (Metric::RequestsRunning, "", 9.0),
            (Metric::RequestsWaiting, "", 3.0),
            (Metric::KvUsage, "", 0.71),
            (Metric::PrefixHitRate, "", 0.2),
            (Metric::PromptTokens, "", 10_240.0),
            (Metric::GenerationTokens, "", 3_000.0),
        ],
    );
}

#[test]
fn llama_cpp() {
    says(
        include_str!("../../testdata/hand-written/llamacpp.txt"),
        Some("llamacpp"),
        &[
            (Metric::RequestsRunning, "", 2.0),
            (Metric::RequestsWaiting, "", 1.0),
            (Metric::PromptTokens, "", 1200.0),
            (Metric::GenerationTokens, "", 3400.0),
            (Metric::PrefillSeconds, "", 2.5),
            (Metric::DecodeSeconds, "", 70.5),
            (Metric::DraftTokens, "", 100.0),
            (Metric::AcceptedDraftTokens, "", 75.0),
        ],
    );
}

#[test]
fn dcgm_without_what_it_could_not_read() {
    let mib = 1_048_576.0;
    says(
        include_str!("../../testdata/hand-written/dcgm.txt"),
        None,
        &[
            (Metric::GpuUtilization, "GPU-a", 0.98),
            (Metric::GpuUtilization, "GPU-b", 0.0),
            (Metric::GpuMemoryUsed, "GPU-a", 70_000.0 * mib),
            (Metric::GpuMemoryTotal, "GPU-a", 81_000.0 * mib),
            (Metric::GpuPower, "GPU-a", 698.25),
            (Metric::GpuPower, "GPU-b", 71.5),
            (Metric::GpuPowerLimit, "GPU-a", 700.0),
            (Metric::GpuEnergy, "GPU-a", 1_000_000.0),
            (Metric::GpuTemperature, "GPU-a", 64.0),
            (Metric::GpuSmClock, "GPU-a", 1.62e9),
            (Metric::GpuMemoryClock, "GPU-a", 2.619e9),
            (Metric::GpuThrottleReasons, "GPU-a", 4.0),
        ],
    );
}

#[test]
fn a_node() {
    says(
        include_str!("../../testdata/hand-written/node.txt"),
        None,
        &[
            (Metric::CpuBusySeconds, "", 460.0),
            (Metric::CpuCores, "", 2.0),
            (Metric::MemoryUsed, "", 24e9),
            (Metric::MemoryTotal, "", 64e9),
            (Metric::NetworkReceived, "", 5e6),
            (Metric::NetworkSent, "", 7e6),
        ],
    );
}

#[test]
fn several_engines_of_one_server_are_added_and_the_fullest_memory_counts() {
    let text = "vllm:num_requests_running{engine=\"0\"} 3\n\
                vllm:num_requests_running{engine=\"1\"} 4\n\
                vllm:kv_cache_usage_perc{engine=\"0\"} 0.2\n\
                vllm:kv_cache_usage_perc{engine=\"1\"} 0.9\n";
    let expected = [(Metric::RequestsRunning, "", 7.0), (Metric::KvUsage, "", 0.9)];
    says(text, Some("vllm"), &expected);
}

#[test]
fn one_engine_speaks_for_a_page_with_the_names_of_two() {
    let text = "dynamo_frontend_output_tokens_total 10\nvllm:generation_tokens_total 11\n";
    says(text, Some("vllm"), &[(Metric::GenerationTokens, "", 11.0)]);
}

#[test]
fn names_of_older_versions_are_known_and_counted_once() {
    let old = "vllm:gpu_cache_usage_perc 0.5\nvllm:gpu_prefix_cache_hit_rate 0.25\n";
    let expected = [(Metric::KvUsage, "", 0.5), (Metric::PrefixHitRate, "", 0.25)];
    says(old, Some("vllm"), &expected);
    let both = "vllm:gpu_cache_usage_perc 0.4\nvllm:kv_cache_usage_perc 0.5\n";
    says(both, Some("vllm"), &[(Metric::KvUsage, "", 0.5)]);
}

#[test]
fn values_that_are_none_are_absent_and_never_zero() {
    let text = "vllm:kv_cache_usage_perc NaN\nvllm:num_requests_running +Inf\nother 1\n";
    assert_eq!(reading(text), Reading::default());
    assert_eq!(reading(""), Reading::default());
}
