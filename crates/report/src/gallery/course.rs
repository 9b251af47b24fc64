//! How a run went, over time.

use infermark_measure::details::{Bin, Course, Timeline};
use infermark_measure::{Details, Point};
use infermark_terms::OutcomeKind;

use super::{Chart, Span};
use crate::chart::{Axis, Draw, Flight, Ink, Mark, Plot, Scale, Waterfall, short};

/// The height of one panel of the timeline.
const PANEL: f64 = 150.0;

/// A line of a panel: its name, and its value in each bin.
type Line = (&'static str, fn(&Bin) -> Option<f64>);

/// Whether a bin's value is a number of events, to be shown as a rate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    PerSecond,
    AsIs,
}

pub(super) fn charts(point: &Point, details: &Details) -> Vec<Chart> {
    let mut charts = Vec::new();
    if !details.timeline.bins.is_empty() {
        charts.push(timeline(point, &details.timeline));
    }
    if details.timeline.bins.iter().any(|bin| bin.cached_tokens.is_some_and(|n| n > 0)) {
        charts.push(prefix_cache(point, &details.timeline));
    }
    if !details.courses.is_empty() {
        charts.push(waterfall(&details.courses));
    }
    charts
}

fn timeline(point: &Point, timeline: &Timeline) -> Chart {
    let bin = timeline.bin_s;
    let panel =
        |title: &str, lines: &[Line], unit: Unit| panel(point, timeline, title, lines, unit);
    let mut parts = vec![
        panel("tokens/s", &[("output", |bin| Some(bin.output_tokens))], Unit::PerSecond),
        panel("requests in flight", &[("in flight", |bin| Some(bin.in_flight))], Unit::AsIs),
        panel(
            "requests/s",
            &[("due", |b| Some(b.due as f64)), ("finished", |b| Some(b.finished as f64))],
            Unit::PerSecond,
        ),
        panel("TTFT, ms", &[("p50", |b| b.ttft_p50_ms), ("p99", |b| b.ttft_p99_ms)], Unit::AsIs),
        panel(
            "gaps between chunks, ms",
            &[("p50", |b| b.gap_p50_ms), ("p99", |b| b.gap_p99_ms)],
            Unit::AsIs,
        ),
    ];
    if timeline.bins.iter().any(|bin| bin.failed > 0) {
        parts.push(panel(
            "failures/s",
            &[("failed", |bin| Some(bin.failed as f64))],
            Unit::PerSecond,
        ));
    }
    // One axis serves all panels: only the last says what it is.
    let last = parts.len() - 1;
    for panel in &mut parts[..last] {
        panel.x.title.clear();
    }
    let parts = parts.into_iter().map(|panel| Box::new(panel) as Box<dyn Draw>).collect();
    Chart {
        key: "timeline",
        title: "The run, second by second".to_owned(),
        note: format!(
            "Bins of {} s on one axis. Shaded: outside the measured window. Of TTFT, requests \
             stand where they were due.",
            short(bin)
        ),
        span: Span::Full,
        parts,
    }
}

fn panel(point: &Point, timeline: &Timeline, title: &str, lines: &[Line], unit: Unit) -> Plot {
    let end = timeline.start_s + timeline.bin_s * timeline.bins.len() as f64;
    let unit = if unit == Unit::PerSecond { timeline.bin_s } else { 1.0 };
    let marks: Vec<_> = (0..)
        .zip(lines)
        .map(|(index, (name, value))| {
            let at = |place: usize| timeline.start_s + timeline.bin_s * (place as f64 + 0.5);
            let points = timeline.bins.iter().enumerate();
            let points = points.map(|(place, bin)| (at(place), value(bin).map(|v| v / unit)));
            let (name, ink, points) = ((*name).to_owned(), Ink::Series(index), points.collect());
            if lines.len() == 1 {
                Mark::Area { name, ink, points }
            } else {
                Mark::Line { name, ink, points }
            }
        })
        .collect();
    let every = timeline.bins.iter().flat_map(|bin| lines.iter().filter_map(|line| line.1(bin)));
    let scale = Scale::from_zero(every.map(|value| value / unit));
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
    let share: Line = ("from the prefix cache", |bin| {
        let cached = bin.cached_tokens?;
        (bin.input_tokens > 0).then(|| 100.0 * cached as f64 / bin.input_tokens as f64)
    });
    let mut plot = panel(point, timeline, "share of input tokens, %", &[share], Unit::AsIs);
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
