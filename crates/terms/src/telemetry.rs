//! What servers, GPUs and hosts say of themselves, in one vocabulary.
//!
//! docs/telemetry.md lists every metric with its meaning; a test holds the two together.

use crate::time::Stamp;

/// One value at one instant, as somebody reported it.
#[derive(Clone, Debug, PartialEq)]
pub struct TelemetryRow {
    /// The middle of the call that brought it.
    pub at: Stamp,
    /// Who reported it: an endpoint's URL, `nvml`, or `client` for the generator's own host.
    pub source: String,
    /// Which one of several, such as a GPU's UUID; empty where there is one.
    pub instance: String,
    /// What it is.
    pub metric: Metric,
    /// How much, in the metric's unit.
    pub value: f64,
    /// Of [`Metric::Up`] at 0: why nothing was read; at 1: the engine whose names a page has. Else
    /// empty.
    pub detail: String,
}

/// Whether a metric is a level or a running total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A level, as it is at the instant.
    Gauge,
    /// A total that only rises, except where its reporter began anew.
    Counter,
}

/// The neutral vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Whether the source could be read: 1 or 0. As a Prometheus server keeps it.
    Up,
    /// Requests in the running batch.
    RequestsRunning,
    /// Requests in the queue.
    RequestsWaiting,
    /// The share of KV memory in use; of several engines, the fullest.
    KvUsage,
    /// Input tokens looked up in the prefix cache.
    PrefixQueryTokens,
    /// Input tokens found there.
    PrefixHitTokens,
    /// The share that was found, where the server tells only that.
    PrefixHitRate,
    /// Requests that gave their memory up and began again.
    Preemptions,
    /// Input tokens processed, those from the prefix cache included.
    PromptTokens,
    /// Output tokens.
    GenerationTokens,
    /// Time that requests spent in the queue, over all of them.
    QueueSeconds,
    /// Time from leaving the queue to the first token, over all requests.
    PrefillSeconds,
    /// Time from the first to the last token, over all requests.
    DecodeSeconds,
    /// Tokens that speculative decoding proposed.
    DraftTokens,
    /// Those of them that were accepted.
    AcceptedDraftTokens,
    /// The share of time in which the GPU ran anything.
    GpuUtilization,
    /// GPU memory in use.
    GpuMemoryUsed,
    /// GPU memory that there is.
    GpuMemoryTotal,
    /// Power that the GPU draws.
    GpuPower,
    /// The power that it may draw.
    GpuPowerLimit,
    /// Energy that the GPU has drawn.
    GpuEnergy,
    /// The GPU's temperature.
    GpuTemperature,
    /// The clock of the multiprocessors.
    GpuSmClock,
    /// The clock of the memory.
    GpuMemoryClock,
    /// Why the clocks are lowered: NVML's bits, `nvmlClocksEventReasons`.
    GpuThrottleReasons,
    /// Time in which a core was busy, over all cores.
    CpuBusySeconds,
    /// Cores of the host.
    CpuCores,
    /// Memory that the host cannot give away.
    MemoryUsed,
    /// Memory of the host.
    MemoryTotal,
    /// Bytes received, loopback not counted.
    NetworkReceived,
    /// Bytes sent, likewise.
    NetworkSent,
    /// A name that this build does not know.
    Unknown,
}

/// All metrics with their names, which end in the unit, in the order of docs/telemetry.md.
const METRICS: [(Metric, &str, MetricKind); 32] = {
    use MetricKind::{Counter, Gauge};
    [
        (Metric::Up, "up", Gauge),
        (Metric::RequestsRunning, "requests_running", Gauge),
        (Metric::RequestsWaiting, "requests_waiting", Gauge),
        (Metric::KvUsage, "kv_usage_ratio", Gauge),
        (Metric::PrefixQueryTokens, "prefix_query_tokens", Counter),
        (Metric::PrefixHitTokens, "prefix_hit_tokens", Counter),
        (Metric::PrefixHitRate, "prefix_hit_ratio", Gauge),
        (Metric::Preemptions, "preemptions", Counter),
        (Metric::PromptTokens, "prompt_tokens", Counter),
        (Metric::GenerationTokens, "generation_tokens", Counter),
        (Metric::QueueSeconds, "queue_seconds", Counter),
        (Metric::PrefillSeconds, "prefill_seconds", Counter),
        (Metric::DecodeSeconds, "decode_seconds", Counter),
        (Metric::DraftTokens, "draft_tokens", Counter),
        (Metric::AcceptedDraftTokens, "accepted_draft_tokens", Counter),
        (Metric::GpuUtilization, "gpu_utilization_ratio", Gauge),
        (Metric::GpuMemoryUsed, "gpu_memory_used_bytes", Gauge),
        (Metric::GpuMemoryTotal, "gpu_memory_total_bytes", Gauge),
        (Metric::GpuPower, "gpu_power_watts", Gauge),
        (Metric::GpuPowerLimit, "gpu_power_limit_watts", Gauge),
        (Metric::GpuEnergy, "gpu_energy_joules", Counter),
        (Metric::GpuTemperature, "gpu_temperature_celsius", Gauge),
        (Metric::GpuSmClock, "gpu_sm_clock_hertz", Gauge),
        (Metric::GpuMemoryClock, "gpu_memory_clock_hertz", Gauge),
        (Metric::GpuThrottleReasons, "gpu_throttle_reasons_bits", Gauge),
        (Metric::CpuBusySeconds, "cpu_busy_seconds", Counter),
        (Metric::CpuCores, "cpu_cores", Gauge),
        (Metric::MemoryUsed, "memory_used_bytes", Gauge),
        (Metric::MemoryTotal, "memory_total_bytes", Gauge),
        (Metric::NetworkReceived, "network_received_bytes", Counter),
        (Metric::NetworkSent, "network_sent_bytes", Counter),
        (Metric::Unknown, "unknown", Gauge),
    ]
};

impl Metric {
    /// Returns every metric, in the order of docs/telemetry.md; [`Metric::Unknown`] is the last.
    pub fn all() -> impl Iterator<Item = Self> {
        METRICS.iter().map(|(metric, ..)| *metric)
    }

    /// Returns its name in tables.
    pub fn name(self) -> &'static str {
        METRICS[self as usize].1
    }

    /// Returns whether it is a level or a total.
    pub fn kind(self) -> MetricKind {
        METRICS[self as usize].2
    }

    /// Returns the metric of this name; a later build may know more of them.
    pub fn named(name: &str) -> Self {
        let known = METRICS.iter().find(|(_, other, _)| *other == name);
        known.map_or(Self::Unknown, |(metric, ..)| *metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_stands_at_its_place_and_is_found_by_its_name() {
        for (place, metric) in Metric::all().enumerate() {
            assert_eq!(metric as usize, place, "{metric:?}");
            assert_eq!(Metric::named(metric.name()), metric);
        }
        assert_eq!(Metric::named("of_a_later_build"), Metric::Unknown);
    }

    #[test]
    fn every_metric_is_documented_with_its_kind_in_its_order() {
        let page = include_str!("../../../docs/telemetry.md");
        let rows = page.lines().filter(|line| line.starts_with("| `"));
        let cells = rows.map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
        let listed = cells.filter(|cells| matches!(cells[2], "gauge" | "counter"));
        let documented: Vec<_> = listed
            .map(|cells| (cells[1].trim_matches('`').to_owned(), cells[2].to_owned()))
            .collect();
        let known = Metric::all().filter(|metric| *metric != Metric::Unknown).map(|metric| {
            let kind = match metric.kind() {
                MetricKind::Gauge => "gauge",
                MetricKind::Counter => "counter",
            };
            (metric.name().to_owned(), kind.to_owned())
        });
        assert_eq!(documented, known.collect::<Vec<_>>());
    }
}
