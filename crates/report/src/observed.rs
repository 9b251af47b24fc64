//! What servers and GPUs said of themselves, and what limits the server.

use infermark_measure::{Finding, Gpu, Point, SourceReport, Telemetry};

use crate::figure::{count, figure, percent};
use crate::page::{Page, ROOM, Tone};
use crate::text::{flow, wrap};

/// The most GPUs that are shown one by one.
pub(crate) const GPUS_MAX: usize = 8;

/// Writes what was observed beside the client's own record; nothing where nothing was.
pub(crate) fn write(page: &mut Page, point: &Point) {
    if let Some(server) = &point.server {
        page.block("server", Tone::Plain, flow(server_items(server), ROOM));
    }
    let (shown, rest) = point.gpus.split_at(point.gpus.len().min(GPUS_MAX));
    for (index, gpu) in shown.iter().enumerate() {
        let label = if index == 0 { "GPU" } else { "" };
        page.block(label, Tone::Plain, flow(gpu_items(gpu), ROOM));
    }
    if !rest.is_empty() {
        page.block("", Tone::Plain, [format!("and {} more", rest.len())]);
    }
    if let Some(energy) = &point.energy {
        let items = [
            Some(format!("{} J over the window", figure(energy.joules))),
            energy.joules_per_output_token.map(|j| format!("{} J per output token", figure(j))),
            energy.idle_watts.map(|watts| format!("{} W before the load", figure(watts))),
        ];
        page.block("energy", Tone::Plain, flow(items.into_iter().flatten(), ROOM));
    }
    for report in point.telemetry.iter().filter(|report| report.failed > 0) {
        page.block("metrics", Tone::Warning, wrap(&failure(report), ROOM));
    }
    for (index, finding) in point.diagnosis.iter().enumerate() {
        let Finding { limit, evidence, hint } = finding;
        let label = if index == 0 { "limit" } else { "" };
        let line = format!("{}: {evidence}", limit.name());
        page.block(label, Tone::Plain, wrap(&line, ROOM));
        let hint = wrap(&format!("hint: {hint}"), ROOM - 2);
        page.block("", Tone::Faint, hint.into_iter().map(|line| format!("  {line}")));
    }
    let is_empty = point.server.is_none() && point.gpus.is_empty() && point.diagnosis.is_empty();
    if !is_empty || point.telemetry.iter().any(|report| report.failed > 0) {
        page.gap();
    }
}

/// The figures of the Azure study's tables, in its order, then the rest.
pub(crate) fn server_items(server: &Telemetry) -> Vec<String> {
    let items = [
        server.prompt_tokens_per_s.map(|rate| format!("prompt {} tok/s", figure(rate))),
        server.generation_tokens_per_s.map(|rate| format!("generation {} tok/s", figure(rate))),
        server.waiting_max.map(|waiting| format!("{} waiting at most", count(waiting))),
        server.kv_usage_max.map(|kv| format!("KV memory {} at most", percent(kv))),
        server.prefix_hit_rate.map(|hits| format!("prefix hits {}", percent(hits))),
        server.running_mean.map(|running| format!("{} running", figure(running))),
        server.preemptions.map(|preemptions| format!("{} preemptions", count(preemptions))),
        server.draft_acceptance.map(|share| format!("{} of drafts accepted", percent(share))),
    ];
    items.into_iter().flatten().collect()
}

pub(crate) fn gpu_items(gpu: &Gpu) -> Vec<String> {
    let power = gpu.power_mean_watts.map(|watts| {
        let limit = gpu.power_limit_watts.map(|limit| format!(" of {}", figure(limit)));
        format!("{}{} W", figure(watts), limit.unwrap_or_default())
    });
    let items = [
        Some(gpu.id.clone()),
        gpu.utilization_mean.map(|share| format!("{} busy", percent(share))),
        gpu.memory_used_max_bytes.map(|bytes| format!("{} GB used", figure(bytes / 1e9))),
        power,
        gpu.temperature_max_celsius.map(|celsius| format!("{} °C at most", figure(celsius))),
        gpu.sm_clock_mean_hertz.map(|hertz| format!("{} MHz", figure(hertz / 1e6))),
        gpu.throttled_share
            .filter(|&share| share > 0.0)
            .map(|share| format!("clocks lowered {}", percent(share))),
    ];
    items.into_iter().flatten().collect()
}

pub(crate) fn failure(report: &SourceReport) -> String {
    let SourceReport { source, scrapes, failed, first_failure, .. } = report;
    let why = first_failure.as_deref().unwrap_or("no reason was given");
    format!("{source}: {} of {} readings failed: {why}", count(*failed), count(*scrapes))
}
