//! Predictions for people: one point as the page of a run, a sweep as a table.

use std::fmt::Write;

use infermark_measure::{Estimate, Finding, LoadPlan};
use infermark_report::{Colour, Sheet, Source, State, Verification, table};
use infermark_run::predict::{Expected, Predicted, Prediction, Range};
use serde_json::Value;

use crate::sheet;

/// Prints one point as the page of a run, marked.
pub(super) fn one(prediction: &Prediction, colour: Colour) -> String {
    let header = &prediction.header;
    let predicted = &prediction.points[0];
    let (target, model) = names(&header.target);
    let mut asked = sheet::asked(&header.scenario["values"]);
    // No text is made, so nobody counts one.
    asked.retain(|(label, _)| *label != "tokenizer");
    let beside = [("expect", expected(&predicted.uncertainty))];
    table(
        &Sheet {
            target,
            source: Source::Predicted(target),
            verification: Verification::Full,
            model,
            api: "",
            server: None,
            asked: &asked,
            state: State::Complete,
            beside: &beside,
            record: None,
            point: &predicted.point,
        },
        colour,
    )
}

fn names(target: &Value) -> (&str, &str) {
    let text = |key: &str| target[key].as_str().unwrap_or_default();
    (text("url"), text("model"))
}

/// Says where the real figures lie.
fn expected(expected: &Expected) -> Vec<String> {
    let ranges = [
        ("TTFT", expected.ttft_ms, " ms"),
        ("TPOT", expected.tpot_ms, " ms"),
        ("output", expected.output_tokens_per_s, " tok/s"),
    ];
    let known: Vec<_> = ranges
        .into_iter()
        .filter_map(|(name, range, unit)| Some(format!("{name} {}{unit}", span(range?))))
        .collect();
    let known = (!known.is_empty()).then(|| format!("{} (mean; 9 in 10)", known.join(" · ")));
    known.into_iter().chain(expected.notes.iter().cloned()).collect()
}

/// Headings of a sweep's table, and the width of each column with the gap before it.
const HEAD: [(&str, usize); 9] = [
    ("load", 8),
    ("req/s", 8),
    ("tok/s", 8),
    ("TTFT p50", 10),
    ("TTFT p99", 10),
    ("TPOT", 8),
    ("9 in 10", 13),
    ("KV", 6),
    ("queue", 7),
];

/// Prints a sweep: a line for each load, and the knee.
pub(super) fn sweep(prediction: &Prediction) -> String {
    let (target, _) = names(&prediction.header.target);
    let mut text = format!("predicted ({target}): nothing was measured\n\n");
    let asked = sheet::asked(&prediction.header.scenario["values"]);
    let lengths = asked.iter().filter(|(label, _)| label.ends_with("_tokens") || *label == "seed");
    let lengths: Vec<_> = lengths.map(|(label, value)| format!("{label} {value}")).collect();
    writeln!(text, "asked     {}\n", lengths.join(" · ")).expect("a text takes all");
    text += &line(HEAD.map(|(heading, _)| heading.to_owned()), "");
    for (index, predicted) in prediction.points.iter().enumerate() {
        let knee = if prediction.knee == Some(index) { " *" } else { "" };
        text += &line(cells(predicted), &[knee, doubt(predicted)].concat());
    }
    text += "\nms; `*` the knee: the greatest requests/s ÷ E2E; `!` saturated; `?` requests queue, \
             so that\nnothing is known of TTFT\n";
    let knee = prediction.knee.and_then(|index| prediction.points[index].point.diagnosis.first());
    if let Some(Finding { limit, evidence, hint }) = knee {
        writeln!(text, "at the knee, {} limits: {evidence}\nhint: {hint}", limit.name())
            .expect("a text takes all");
    }
    let widened = prediction.points.iter().map(|p| p.uncertainty.widened).fold(1.0, f64::max);
    if widened > 1.0 {
        writeln!(
            text,
            "no published measurement is of this kind of GPU or engine: ranges {widened} times as \
             wide"
        )
        .expect("a text takes all");
    }
    text
}

fn cells(predicted: &Predicted) -> [String; 9] {
    let Predicted { point, uncertainty } = predicted;
    let server = point.server.unwrap_or_default();
    let load = match point.load {
        LoadPlan::Closed { concurrency } => concurrency.to_string(),
        LoadPlan::Open { rate_rps, .. } => format!("{rate_rps}/s"),
        LoadPlan::Trace { time_scale, .. } => format!("trace {time_scale}x"),
    };
    let cell = |value: Option<f64>| value.map_or("–".to_owned(), figure);
    let of = |estimate: Option<Estimate>, pick: fn(Estimate) -> Option<f64>| {
        cell(estimate.and_then(pick))
    };
    let ttft = point.latency.ttft_ms;
    [
        load,
        cell(point.rates.map(|rates| rates.requests_per_s)),
        cell(point.rates.map(|rates| rates.output_tokens_per_s)),
        of(ttft, |e| Some(e.p50)),
        of(ttft, |e| e.p99),
        of(point.latency.tpot_ms, |e| Some(e.mean)),
        uncertainty.tpot_ms.map_or("–".to_owned(), span),
        server.kv_usage_max.map_or("–".to_owned(), percent),
        server.waiting_max.map_or("–".to_owned(), |waiting| waiting.to_string()),
    ]
}

/// Returns the mark of a point whose latencies are not to be relied on.
fn doubt(predicted: &Predicted) -> &'static str {
    if predicted.point.saturated {
        " !"
    } else if predicted.uncertainty.queueing {
        " ?"
    } else {
        ""
    }
}

fn line(cells: [String; 9], marks: &str) -> String {
    let padded = cells.into_iter().zip(HEAD).map(|(cell, (_, width))| format!("{cell:>width$}"));
    padded.collect::<String>() + marks + "\n"
}

fn span([low, high]: Range) -> String {
    format!("{}–{}", figure(low), figure(high))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// Four significant digits at most, and no more than three after the point.
fn figure(value: f64) -> String {
    match value {
        v if v >= 999.5 => format!("{v:.0}"),
        v if v >= 99.95 => format!("{v:.1}"),
        v if v >= 9.995 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    }
}
