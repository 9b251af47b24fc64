//! What the server, its GPUs and the generator's host said, over the window.
//!
//! Totals are read off between samples along a straight line, so that a window whose ends fall
//! between two samples still has its rate. A total that falls began anew: what it counts since is
//! added (as Prometheus' `increase` does), and the reset is reported.
//!
//! # Invariants
//!
//! - What was not sampled on both sides of an instant is not known at it: never 0.
//! - A source that failed is reported with its failure; its silence is no value.

mod traces;

use std::collections::BTreeMap;

use infermark_terms::{Metric, MetricKind, Stamp, TelemetryRow};
use serde::{Deserialize, Serialize};

use crate::span::Span;

/// The source of what the generator's own host says.
const CLIENT: &str = "client";

/// `nvmlClocksEventReasons`: software power cap, hardware slowdown, software and hardware thermal
/// slowdown, power brake.
const THROTTLED: u64 = 0x04 | 0x08 | 0x20 | 0x40 | 0x80;

/// The server's state and totals over the window. Each is absent where it was not reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Telemetry {
    /// Input tokens processed per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens_per_s: Option<f64>,
    /// Output tokens per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_tokens_per_s: Option<f64>,
    /// Requests in the running batch, averaged over the samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_mean: Option<f64>,
    /// The share of the samples at which a request waited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_share: Option<f64>,
    /// Requests in the queue, averaged over the samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_mean: Option<f64>,
    /// The longest queue at a sample; of several servers, the sum of theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_max: Option<u64>,
    /// The greatest share of KV memory in use at a sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_usage_max: Option<f64>,
    /// Input tokens found in the prefix cache ÷ those looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_hit_rate: Option<f64>,
    /// Requests that gave their memory up and began again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preemptions: Option<u64>,
    /// Draft tokens accepted ÷ proposed, with speculative decoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft_acceptance: Option<f64>,
}

/// One GPU over the window. Each figure is absent where it was not reported.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    /// Its UUID, or what else its reporter calls it.
    pub id: String,
    /// The share of time in which it ran anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilization_mean: Option<f64>,
    /// The most memory in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_used_max_bytes: Option<f64>,
    /// Power drawn, averaged over the samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_mean_watts: Option<f64>,
    /// The power that it may draw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_limit_watts: Option<f64>,
    /// The highest temperature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_max_celsius: Option<f64>,
    /// The mean clock of the multiprocessors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sm_clock_mean_hertz: Option<f64>,
    /// The share of samples at which power or heat lowered the clocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled_share: Option<f64>,
}

/// Energy over the window, of all GPUs whose power was read.
///
/// "Energy: power integrated (trapezoid) over the window ÷ output tokens, only where power was
/// measured; the idle level beside it." (docs/metrics.md, section 8)
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Energy {
    /// Joules over the window.
    pub joules: f64,
    /// Joules ÷ output tokens that arrived in the window; absent where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joules_per_output_token: Option<f64>,
    /// Power before the load, where it was sampled there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_watts: Option<f64>,
}

/// The generator's own host over the window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientHost {
    /// The share of all cores' time in which they were busy, with whatever it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_busy_share: Option<f64>,
    /// The most memory in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_used_max_bytes: Option<f64>,
    /// Bytes received per second, loopback not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_bytes_per_s: Option<f64>,
}

/// How well a source could be read, over the whole run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReport {
    /// Who: an endpoint's URL, `nvml`, or `client`.
    pub source: String,
    /// How often it was asked.
    pub scrapes: u64,
    /// How often it could not be read.
    pub failed: u64,
    /// Why not, the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_failure: Option<String>,
    /// How often its totals began anew.
    pub resets: u64,
}

/// The values of one metric from one source and instance, in the order of time.
#[derive(Clone, Debug)]
struct Series {
    kind: MetricKind,
    /// Of a counter: what it rose by since its first sample.
    points: Vec<(Stamp, f64)>,
    /// The value as it was reported last.
    reported: f64,
    resets: u64,
}

impl Series {
    fn new(kind: MetricKind, at: Stamp, value: f64) -> Self {
        let first = match kind {
            MetricKind::Gauge => value,
            MetricKind::Counter => 0.0,
        };
        Self { kind, points: vec![(at, first)], reported: value, resets: 0 }
    }

    fn push(&mut self, at: Stamp, value: f64) {
        let (last, total) = *self.points.last().expect("a series has its first sample");
        if at < last {
            return;
        }
        let point = match self.kind {
            MetricKind::Gauge => value,
            MetricKind::Counter if value < self.reported => {
                self.resets += 1;
                total + value
            }
            MetricKind::Counter => total + (value - self.reported),
        };
        self.points.push((at, point));
        self.reported = value;
    }

    /// Returns the value at an instant, along the straight line between the samples around it.
    fn at(&self, at: Stamp) -> Option<f64> {
        let after = self.points.partition_point(|(sampled, _)| *sampled < at);
        let (right, value) = *self.points.get(after)?;
        if right == at {
            return Some(value);
        }
        let (left, before) = *self.points.get(after.checked_sub(1)?)?;
        let share = at.since(left).as_secs_f64() / right.since(left).as_secs_f64();
        Some(before + share * (value - before))
    }

    fn rise(&self, span: Span) -> Option<f64> {
        Some(self.at(span.end)? - self.at(span.start)?)
    }

    fn within(&self, span: Span) -> impl Iterator<Item = f64> + Clone + '_ {
        let inside = self.points.iter().filter(move |(at, _)| span.contains(*at));
        inside.map(|(_, value)| *value)
    }

    fn mean(&self, span: Span) -> Option<f64> {
        mean(self.within(span))
    }

    fn max(&self, span: Span) -> Option<f64> {
        self.within(span).reduce(f64::max)
    }

    /// Integrates a gauge over a span by the trapezoid rule.
    fn integral(&self, span: Span) -> Option<f64> {
        let ends = [(span.start, self.at(span.start)?), (span.end, self.at(span.end)?)];
        let inside = self.points.iter().filter(|(at, _)| span.contains(*at)).copied();
        let knots: Vec<_> = [ends[0]].into_iter().chain(inside).chain([ends[1]]).collect();
        let trapezoid = |pair: &[(Stamp, f64)]| {
            let ((left, before), (right, after)) = (pair[0], pair[1]);
            f64::midpoint(before, after) * right.since(left).as_secs_f64()
        };
        Some(knots.windows(2).map(trapezoid).sum())
    }
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let count = values.clone().count();
    (count > 0).then(|| values.sum::<f64>() / count as f64)
}

/// Everything that servers, GPUs and hosts said of themselves in a run.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    series: BTreeMap<(Metric, String, String), Series>,
    sources: BTreeMap<String, SourceReport>,
    /// Whose names each source's metrics have, where an engine's.
    engines: BTreeMap<String, String>,
}

/// Whose metrics stand in front of those of the engines behind it.
const FRONT: &str = "dynamo";

impl Observations {
    /// Takes rows; those of one source come in the order of time.
    pub fn collect(rows: impl IntoIterator<Item = TelemetryRow>) -> Self {
        let mut all = Self::default();
        for row in rows {
            all.take(row);
        }
        for ((_, _, source), series) in &all.series {
            if let Some(report) = all.sources.get_mut(source) {
                report.resets = report.resets.max(series.resets);
            }
        }
        all
    }

    fn take(&mut self, row: TelemetryRow) {
        if row.metric == Metric::Up {
            return self.count(row);
        }
        if row.metric == Metric::Unknown {
            return;
        }
        let TelemetryRow { at, source, instance, metric, value, .. } = row;
        let of = self.series.entry((metric, instance, source));
        let _: &mut Series = of
            .and_modify(|series| series.push(at, value))
            .or_insert_with(|| Series::new(metric.kind(), at, value));
    }

    /// Counts a reading of a source.
    fn count(&mut self, row: TelemetryRow) {
        let TelemetryRow { source, value, detail, .. } = row;
        let report = self.sources.entry(source.clone()).or_default();
        report.source.clone_from(&source);
        report.scrapes += 1;
        if value < 1.0 {
            report.failed += 1;
            let _: &mut String = report.first_failure.get_or_insert(detail);
        } else if !detail.is_empty() {
            let _: Option<String> = self.engines.insert(source, detail);
        }
    }

    /// Returns the engine by its metrics, or the server's own name where none told.
    pub(crate) fn engine_or<'a>(&'a self, server: Option<&'a str>) -> Option<&'a str> {
        if self.engines.is_empty() { server } else { self.engine() }
    }

    /// Returns the engine whose names all servers' metrics have; nothing where they differ. A front
    /// end says nothing of the engines behind it, and nothing against them.
    fn engine(&self) -> Option<&str> {
        let mut behind = self.engines.values().filter(|engine| *engine != FRONT);
        let first = behind.next();
        match first {
            Some(one) => behind.all(|other| other == one).then_some(one.as_str()),
            None => self.engines.values().next().map(String::as_str),
        }
    }

    pub(crate) fn sources(&self) -> Vec<SourceReport> {
        self.sources.values().cloned().collect()
    }

    /// Returns the series of a metric of servers: not of the generator's own host.
    ///
    /// Where a front end and the engines behind it both tell, only one of them counts: the front
    /// end has counted each token once, and the engines know what runs and waits.
    fn of(&self, metric: Metric) -> impl Iterator<Item = &Series> {
        let all = move || {
            let all = self.series.iter().filter(move |((other, ..), _)| *other == metric);
            all.filter(|((_, _, source), _)| source != CLIENT)
        };
        let is_front = |source: &String| self.engines.get(source).is_some_and(|e| e == FRONT);
        let count =
            |front: bool| all().filter(|((.., source), _)| is_front(source) == front).count();
        let both = count(true) > 0 && count(false) > 0;
        let front_counts = metric.kind() == MetricKind::Counter;
        all()
            .filter(move |((.., source), _)| !both || is_front(source) == front_counts)
            .map(|(_, series)| series)
    }

    /// Sums what `pick` finds in the series of a metric; nothing where it finds nothing.
    fn sum(&self, metric: Metric, pick: impl Fn(&Series) -> Option<f64>) -> Option<f64> {
        self.of(metric).filter_map(pick).reduce(|sum, value| sum + value)
    }

    /// Returns what a total rose by over the whole run, if it was sampled from before `first` to
    /// after `last`.
    pub(crate) fn whole_rise(&self, metric: Metric, first: Stamp, last: Stamp) -> Option<f64> {
        let mut sum = None;
        for series in self.of(metric) {
            let ((begun, before), (ended, after)) =
                (series.points[0], *series.points.last().expect("a series has samples"));
            if begun > first || ended < last {
                return None;
            }
            sum = Some(sum.unwrap_or(0.0) + after - before);
        }
        sum
    }

    /// Returns the server's figures over a span; nothing where no server said anything.
    pub(crate) fn server(&self, span: Span) -> Option<Telemetry> {
        let seconds = span.seconds()?;
        let rise = |metric| self.sum(metric, |series| series.rise(span));
        let mean_of = |metric| self.sum(metric, |series| series.mean(span));
        let share = |part, whole| match (rise(part), rise(whole)) {
            (Some(part), Some(whole)) if whole > 0.0 => Some(part / whole),
            _ => None,
        };
        let told = || self.of(Metric::PrefixHitRate).find_map(|series| series.mean(span));
        let telemetry = Telemetry {
            prompt_tokens_per_s: rise(Metric::PromptTokens).map(|tokens| tokens / seconds),
            generation_tokens_per_s: rise(Metric::GenerationTokens).map(|tokens| tokens / seconds),
            running_mean: mean_of(Metric::RequestsRunning),
            waiting_share: self
                .of(Metric::RequestsWaiting)
                .filter_map(|series| mean(series.within(span).map(|n| n.clamp(0.0, 1.0))))
                .reduce(f64::max),
            waiting_mean: mean_of(Metric::RequestsWaiting),
            waiting_max: self
                .sum(Metric::RequestsWaiting, |series| series.max(span))
                .map(|waiting| waiting.round() as u64),
            kv_usage_max: self
                .of(Metric::KvUsage)
                .filter_map(|series| series.max(span))
                .reduce(f64::max),
            prefix_hit_rate: share(Metric::PrefixHitTokens, Metric::PrefixQueryTokens)
                .or_else(told),
            preemptions: rise(Metric::Preemptions).map(|count| count.round() as u64),
            draft_acceptance: share(Metric::AcceptedDraftTokens, Metric::DraftTokens),
        };
        (telemetry != Telemetry::default()).then_some(telemetry)
    }

    /// Returns each GPU that anybody reported, once.
    pub(crate) fn gpus(&self, span: Span) -> Vec<Gpu> {
        let ids = self.series.keys().filter(|(metric, ..)| is_of_gpu(*metric));
        let mut ids: Vec<_> = ids.map(|(_, id, _)| id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().map(|id| self.gpu(id, span)).collect()
    }

    fn gpu(&self, id: &str, span: Span) -> Gpu {
        let series = |metric| self.of_gpu(metric, id);
        let throttled = |series: &Series| {
            let lowered = |bits: f64| f64::from(u8::from(bits as u64 & THROTTLED != 0));
            mean(series.within(span).map(lowered))
        };
        Gpu {
            id: id.to_owned(),
            utilization_mean: series(Metric::GpuUtilization).and_then(|s| s.mean(span)),
            memory_used_max_bytes: series(Metric::GpuMemoryUsed).and_then(|s| s.max(span)),
            power_mean_watts: series(Metric::GpuPower).and_then(|s| s.mean(span)),
            power_limit_watts: series(Metric::GpuPowerLimit).and_then(|s| s.mean(span)),
            temperature_max_celsius: series(Metric::GpuTemperature).and_then(|s| s.max(span)),
            sm_clock_mean_hertz: series(Metric::GpuSmClock).and_then(|s| s.mean(span)),
            throttled_share: series(Metric::GpuThrottleReasons).and_then(throttled),
        }
    }

    /// Returns the GPUs of which anybody reported a metric, each once.
    fn gpu_ids(&self, metric: Metric) -> Vec<&str> {
        let keys = self.series.keys().filter(|(other, ..)| *other == metric);
        let mut ids: Vec<_> = keys.map(|(_, id, _)| id.as_str()).collect();
        ids.dedup();
        ids
    }

    /// Returns a metric of one GPU. Two sources that report the same GPU say the same.
    fn of_gpu(&self, metric: Metric, id: &str) -> Option<&Series> {
        let mut all = self.series.iter();
        all.find(|((other, gpu, _), _)| *other == metric && gpu == id).map(|(_, series)| series)
    }

    /// Returns the energy over a span, in which so many output tokens arrived; nothing where the
    /// power of a GPU that reports power is not known throughout.
    pub(crate) fn energy(&self, span: Span, tokens: Option<f64>) -> Option<Energy> {
        let ids = self.gpu_ids(Metric::GpuPower).into_iter();
        let powers: Vec<_> = ids.filter_map(|id| self.of_gpu(Metric::GpuPower, id)).collect();
        let all: Vec<f64> =
            powers.iter().map(|series| series.integral(span)).collect::<Option<_>>()?;
        if all.is_empty() {
            return None;
        }
        let joules: f64 = all.iter().sum();
        let idle = powers.iter().map(|series| {
            let (at, watts) = series.points[0];
            (at < span.start).then_some(watts)
        });
        Some(Energy {
            joules,
            joules_per_output_token: tokens.filter(|&n| n > 0.0).map(|tokens| joules / tokens),
            idle_watts: idle.sum(),
        })
    }

    /// Returns the generator's own host over a span.
    pub(crate) fn client_host(&self, span: Span) -> Option<ClientHost> {
        let seconds = span.seconds()?;
        let series = |metric| self.series.get(&(metric, String::new(), CLIENT.to_owned()));
        let rise = |metric| series(metric).and_then(|series| series.rise(span));
        let host = ClientHost {
            cpu_busy_share: self.client_busy(span),
            memory_used_max_bytes: series(Metric::MemoryUsed).and_then(|s| s.max(span)),
            received_bytes_per_s: rise(Metric::NetworkReceived).map(|bytes| bytes / seconds),
        };
        let known =
            host.cpu_busy_share.or(host.memory_used_max_bytes).or(host.received_bytes_per_s);
        known.map(|_| host)
    }

    /// Returns the share of the client's cores that was busy over a span.
    fn client_busy(&self, span: Span) -> Option<f64> {
        let series = |metric| self.series.get(&(metric, String::new(), CLIENT.to_owned()));
        let cores = series(Metric::CpuCores)?.reported;
        let busy = series(Metric::CpuBusySeconds)?.rise(span)? / (cores * span.seconds()?);
        // The kernel counts in hundredths of a second: no core is busy for longer than it is.
        Some(busy.min(1.0))
    }
}

fn is_of_gpu(metric: Metric) -> bool {
    (Metric::GpuUtilization..=Metric::GpuThrottleReasons).contains(&metric)
}

#[cfg(test)]
mod tests;
