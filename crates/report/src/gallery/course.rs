//! How a run went, over time: the client's own course, and what others said meanwhile.

use infermark_measure::details::{Bin, Course, Timeline, Trace, Traces};
use infermark_measure::{Details, Point};
use infermark_terms::OutcomeKind;

use super::{Chart, Span};
use crate::chart::{Axis, Draw, Flight, Ink, Mark, Plot, Scale, Waterfall, short};

/// The height of one panel of the timeline.
const PANEL: f64 = 150.0;

/// From this per cent on, a share is drawn on an axis of the whole.
const SHARE_MIN: f64 = 20.0;

/// A line of a panel: its name, and its value in each bin.
type Line = (String, Trace);

pub(super) fn charts(point: &Point, details: &Details) -> Vec<Chart> {
    let mut charts = Vec::new();
    if !details.timeline.bins.is_empty() {
        charts.push(timeline(point, details));
    }
    if details.timeline.bins.iter().any(|bin| bin.cached_tokens.is_some_and(|n| n > 0)) {
        charts.push(prefix_cache(point, &details.timeline));
    }
    if !details.courses.is_empty() {
        charts.push(waterfall(&details.courses));
    }
    charts
}

fn timeline(point: &Point, details: &Details) -> Chart {
    let timeline = &details.timeline;
    let mut panels = own_panels(point, timeline);
    let others = others_panels(point, timeline, &details.traces);
    let whose = if others.is_empty() { "What the client saw" } else { "Client, server and GPUs" };
    panels.extend(others);
    // One axis serves all panels: only the last says what it is, and the first what is shaded.
    let last = panels.len() - 1;
    for panel in &mut panels[..last] {
        panel.x.title.clear();
    }
    for mark in panels[1..].iter_mut().flat_map(|panel| &mut panel.marks) {
        if let Mark::Stretch { name, .. } = mark {
            name.clear();
        }
    }
    let parts = panels.into_iter().map(|panel| Box::new(panel) as Box<dyn Draw>).collect();
    Chart {
        key: "timeline",
        title: "The course of the run".to_owned(),
        note: format!(
            "{whose}, in bins of {} s on one axis. Shaded: outside the measured \
             window. Of TTFT, requests stand where they were due.",
            short(timeline.bin_s)
        ),
        span: Span::Full,
        parts,
    }
}

/// Returns what the client itself saw.
fn own_panels(point: &Point, timeline: &Timeline) -> Vec<Plot> {
    let line = |name: &str, value: &dyn Fn(&Bin) -> Option<f64>| -> Line {
        (name.to_owned(), timeline.bins.iter().map(value).collect())
    };
    let rate =
        |name: &str, count: fn(&Bin) -> f64| line(name, &|bin| Some(count(bin) / timeline.bin_s));
    let panel = |title: &str, lines| panel(point, timeline, title, lines);
    let mut panels = vec![
        panel("tokens/s", vec![rate("output", |bin| bin.output_tokens)]),
        panel("requests in flight", vec![line("in flight", &|bin| Some(bin.in_flight))]),
        panel(
            "requests/s",
            vec![rate("due", |bin| bin.due as f64), rate("finished", |bin| bin.finished as f64)],
        ),
        panel(
            "TTFT, ms",
            vec![line("p50", &|bin| bin.ttft_p50_ms), line("p99", &|bin| bin.ttft_p99_ms)],
        ),
        panel(
            "gaps between chunks, ms",
            vec![line("p50", &|bin| bin.gap_p50_ms), line("p99", &|bin| bin.gap_p99_ms)],
        ),
    ];
    if timeline.bins.iter().any(|bin| bin.failed > 0) {
        panels.push(panel("failures/s", vec![rate("failed", |bin| bin.failed as f64)]));
    }
    panels
}

/// Returns what servers, GPUs and the client's host said of themselves, where they did.
fn others_panels(point: &Point, timeline: &Timeline, traces: &Traces) -> Vec<Plot> {
    let line = |name: &str, trace: &Trace, factor: f64| -> Line {
        (name.to_owned(), trace.iter().map(|value| value.map(|v| v * factor)).collect())
    };
    let gpus = |traces: &[(String, Trace)], factor| -> Vec<Line> {
        let named = traces.iter().enumerate();
        named.map(|(index, (_, trace))| line(&format!("GPU {index}"), trace, factor)).collect()
    };
    let panels = [
        (
            "server: requests",
            vec![line("running", &traces.running, 1.0), line("waiting", &traces.waiting, 1.0)],
        ),
        ("server: KV memory in use, %", vec![line("KV memory", &traces.kv_usage, 100.0)]),
        ("GPU: busy, %", gpus(&traces.gpu_utilization, 100.0)),
        ("GPU: power, W", gpus(&traces.gpu_power_watts, 1.0)),
        ("client: cores busy, %", vec![line("cores", &traces.client_cpu_share, 100.0)]),
    ];
    let panels = panels.into_iter().filter_map(|(title, mut lines)| {
        lines.retain(|(_, trace)| !trace.is_empty());
        let mut panel = (!lines.is_empty()).then(|| panel(point, timeline, title, lines))?;
        // Shares are drawn of the whole, but for those that would lie along the axis.
        if title.ends_with('%') && highest(&panel) >= SHARE_MIN {
            panel.y.scale = Scale::exactly(0.0, 100.0);
        }
        Some(panel)
    });
    panels.collect()
}

/// Returns the greatest value of a panel's lines.
fn highest(panel: &Plot) -> f64 {
    let every = panel.marks.iter().flat_map(Mark::values);
    every.fold(0.0, f64::max)
}

fn panel(point: &Point, timeline: &Timeline, title: &str, lines: Vec<Line>) -> Plot {
    let end = timeline.start_s + timeline.bin_s * timeline.bins.len() as f64;
    let is_single = lines.len() == 1;
    let scale = Scale::from_zero(lines.iter().flat_map(|line| line.1.iter().copied().flatten()));
    let marks = lines.into_iter().enumerate().map(|(index, (name, values))| {
        let at = |place: usize| timeline.start_s + timeline.bin_s * (place as f64 + 0.5);
        let points = values.into_iter().enumerate().map(|(place, value)| (at(place), value));
        let (ink, points) = (Ink::Series(index), points.collect());
        if is_single { Mark::Area { name, ink, points } } else { Mark::Line { name, ink, points } }
    });
    Plot {
        label: format!("{title} over time"),
        height: PANEL,
        x: Axis::new("seconds since the run's epoch", Scale::exactly(timeline.start_s, end)),
        y: Axis::new(title, scale),
        beside: Some(64.0),
        marks: outside(point, timeline.start_s, end).into_iter().chain(marks).collect(),
    }
}

/// Shades what lies outside the measured window.
fn outside(point: &Point, start: f64, end: f64) -> Vec<Mark> {
    let stretch = |name: &str, from: f64, to: f64| {
        (to - from > (end - start) / 500.0).then(|| Mark::Stretch {
            name: name.to_owned(),
            from,
            to,
        })
    };
    let before = stretch("warm-up", start, point.window.start_s.min(end));
    let after = stretch("cool-down", point.window.end_s.max(start), end);
    before.into_iter().chain(after).collect()
}

fn prefix_cache(point: &Point, timeline: &Timeline) -> Chart {
    let share = timeline.bins.iter().map(|bin| {
        let cached = bin.cached_tokens?;
        (bin.input_tokens > 0).then(|| 100.0 * cached as f64 / bin.input_tokens as f64)
    });
    let share = ("from the prefix cache".to_owned(), share.collect());
    let mut plot = panel(point, timeline, "share of input tokens, %", vec![share]);
    plot.y.scale = Scale::exactly(0.0, 100.0);
    let note = "The share of input tokens that the server says it took from its prefix cache.";
    Chart::new("prefix-cache", "Prefix cache", note, plot).full()
}

fn waterfall(courses: &[Course]) -> Chart {
    let flights = courses.iter().map(|course| Flight {
        name: format!("request {}", course.id),
        due: course.due_s,
        sent: course.sent_s,
        first_token: course.first_token_s,
        end: course.end_s,
        failure: (course.outcome != OutcomeKind::Finished)
            .then(|| course.outcome.name().to_owned()),
    });
    let flights = flights.collect();
    let label = "Requests over time, one below another".to_owned();
    let note = "Requests that were due one after another, around the middle of the window.";
    Chart::new("requests", "A sample of requests", note, Waterfall { label, flights }).full()
}
