//! What servers, GPUs and the generator's host said, drawn onto the bins of a run's timeline.

use infermark_terms::{Metric, Nanos, Stamp};

use super::{Observations, Series};
use crate::details::{Timeline, Trace, Traces};
use crate::span::Span;

/// The most GPUs that are drawn.
const GPUS_MAX: usize = 8;

impl Observations {
    /// Draws what was said onto the bins of a timeline.
    pub(crate) fn traces(&self, timeline: &Timeline) -> Traces {
        let bins = spans(timeline);
        let of = |value: &dyn Fn(Span) -> Option<f64>| -> Trace {
            let trace: Trace = bins.iter().map(|&bin| value(bin)).collect();
            if trace.iter().all(Option::is_none) { Vec::new() } else { trace }
        };
        let sum = |metric| of(&|bin| self.sum(metric, |series| series.level(bin)));
        let highest = |metric| {
            of(&|bin| self.of(metric).filter_map(|series| series.level(bin)).reduce(f64::max))
        };
        let of_gpus = |metric| -> Vec<(String, Trace)> {
            let ids = self.gpu_ids(metric).into_iter().take(GPUS_MAX);
            let series = ids.filter_map(|id| Some((id, self.of_gpu(metric, id)?)));
            let drawn = series.map(|(id, series)| (id.to_owned(), of(&|bin| series.level(bin))));
            drawn.filter(|(_, trace)| !trace.is_empty()).collect()
        };
        Traces {
            running: sum(Metric::RequestsRunning),
            waiting: sum(Metric::RequestsWaiting),
            kv_usage: highest(Metric::KvUsage),
            gpu_utilization: of_gpus(Metric::GpuUtilization),
            gpu_power_watts: of_gpus(Metric::GpuPower),
            client_cpu_share: of(&|bin| self.client_busy(bin)),
        }
    }
}

impl Series {
    /// Returns a gauge's mean over a span; where it was not sampled in it, its value in the middle,
    /// between the samples around.
    fn level(&self, span: Span) -> Option<f64> {
        self.mean(span).or_else(|| self.at(Stamp(span.start.0.midpoint(span.end.0))))
    }
}

fn spans(timeline: &Timeline) -> Vec<Span> {
    let nanos = |seconds: f64| Nanos((seconds * 1e9).round() as u64);
    let (start, bin) = (Stamp::ZERO + nanos(timeline.start_s), nanos(timeline.bin_s));
    let span = |place: u64| Span { start: start + bin * place, end: start + bin * (place + 1) };
    (0..timeline.bins.len() as u64).map(span).collect()
}
