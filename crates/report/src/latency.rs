//! The latencies as rows and columns, and the notes that explain them.

use infermark_measure::{Estimate, Interval, Latency, LoadPlan, Point};

use crate::figure::{ABSENT, cell, distance, short_count};
use crate::page::{COLUMNS, Page, Tone};
use crate::text::wrap;

/// Headings, and the width of each column with the gap before it.
const HEAD: [(&str, usize); 9] = [
    ("latency, ms", 12),
    ("n", 7),
    ("mean", 8),
    ("±", 8),
    ("p50", 8),
    ("p90", 8),
    ("p99", 8),
    ("−/+", 12),
    ("max", 8),
];

/// Stands above latencies that are no result.
const SATURATED: &str = "saturated: latencies hang on how long the load lasts, and are no result";

/// A row: its name, and what was observed.
type Row<'a> = (&'static str, Option<&'a Estimate>);

/// Writes the table and its notes.
pub(crate) fn write(page: &mut Page, point: &Point) {
    let (main, beside) = (main_rows(&point.latency), rows_beside(&point.latency));
    let observed: Vec<_> = main.iter().chain(&beside).filter_map(|row| row.1).collect();
    if observed.is_empty() {
        page.line(Tone::Plain, "latency: nothing was observed");
        return;
    }
    let (plain, faint) = if point.saturated {
        page.line(Tone::Warning, SATURATED);
        (Tone::Struck, Tone::Struck)
    } else {
        (Tone::Plain, Tone::Faint)
    };
    page.line(Tone::Strong, &aligned(HEAD.map(|(heading, _)| heading.to_owned())));
    // Without any success, a row of nothing for each figure would say less than the note does.
    let succeeded = main.iter().any(|row| row.1.is_some());
    for (name, estimate) in main.into_iter().filter(|_| succeeded) {
        page.line(plain, &line(name, estimate));
    }
    for (name, estimate) in beside {
        page.line(faint, &line(name, estimate));
    }
    for note in notes(point, &observed) {
        for line in wrap(&note, COLUMNS) {
            page.line(Tone::Faint, &line);
        }
    }
}

/// The rows that every reader looks for, observed or not. Where the tokens of chunks are unknown,
/// the gaps between chunks stand in for those between tokens.
fn main_rows(latency: &Latency) -> Vec<Row<'_>> {
    let gaps = match (&latency.itl_ms, &latency.icl_ms) {
        (None, Some(icl)) => ("ICL", Some(icl)),
        (itl, _) => ("ITL", itl.as_ref()),
    };
    vec![
        ("TTFT", latency.ttft_ms.as_ref()),
        ("TPOT", latency.tpot_ms.as_ref()),
        gaps,
        ("E2E", latency.e2e_ms.as_ref()),
    ]
}

/// The rows that explain the others, where they were observed and say something new.
fn rows_beside(latency: &Latency) -> Vec<Row<'_>> {
    let answer = latency.ttfa_ms.as_ref().filter(|_| latency.ttfa_ms != latency.ttft_ms);
    let rows = [
        ("service TTFT", latency.service_ttft_ms.as_ref()),
        ("TTFA", answer),
        ("lag", latency.lag_ms.as_ref()),
        ("stall", latency.stall_ms.as_ref()),
    ];
    rows.into_iter().filter(|row| row.1.is_some()).collect()
}

fn line(name: &str, estimate: Option<&Estimate>) -> String {
    let Some(e) = estimate else {
        let mut cells = HEAD.map(|_| ABSENT.to_owned());
        name.clone_into(&mut cells[0]);
        return aligned(cells);
    };
    let some_or_absent = |text: Option<String>| text.unwrap_or_else(|| ABSENT.to_owned());
    aligned([
        name.to_owned(),
        short_count(e.n),
        cell(e.mean),
        some_or_absent(e.mean_ci95.map(|[_, high]| format!("±{}%", distance(high, e.mean)))),
        cell(e.p50),
        some_or_absent(e.p90.map(cell)),
        some_or_absent(e.p99.map(cell)),
        some_or_absent(e.p99.zip(e.p99_ci95).map(|(p99, ends)| around(p99, ends))),
        cell(e.max),
    ])
}

/// Returns how far an interval reaches below and above its figure.
fn around(value: f64, [low, high]: Interval) -> String {
    format!("−{}/+{}%", distance(low, value), distance(high, value))
}

/// Sets the first cell to the left of its column and the others to the right.
fn aligned(cells: [String; 9]) -> String {
    let padded = cells.into_iter().zip(HEAD).enumerate().map(|(index, (cell, (_, width)))| {
        if index == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
    });
    padded.collect::<Vec<_>>().concat()
}

/// Returns what a reader must know of the rows.
fn notes(point: &Point, observed: &[&Estimate]) -> Vec<String> {
    let latency = &point.latency;
    let mut notes = Vec::new();
    if observed.iter().any(|e| e.mean_ci95.is_some() || e.p99_ci95.is_some()) {
        notes.push("± and −/+: the 95 % intervals of the mean and of p99".to_owned());
    }
    notes.extend(too_few(observed));
    let streamed = latency.ttft_ms.is_some();
    if point.counts.success == 0 {
        notes.push("no request succeeded: only the generator's own lag is known".to_owned());
    }
    if latency.itl_ms.is_none() && latency.icl_ms.is_some() {
        notes.push("ICL: gaps between chunks; no ITL, as their tokens are not known".to_owned());
    } else if latency.itl_ms.is_none() && streamed {
        notes.push("ITL: no gap between chunks was recorded".to_owned());
    }
    if latency.tpot_ms.is_none() && streamed {
        notes.push("TPOT: no answer had two tokens or more".to_owned());
    }
    if latency.e2e_ms.is_some() && !streamed {
        notes.push("answers came whole, not streamed: no TTFT, TPOT or ITL exists".to_owned());
    }
    notes.push(
        match point.load {
            LoadPlan::Closed { .. } => {
                "closed loop: no arrival schedule exists; latency is from when a slot was free"
            }
            LoadPlan::Trace { .. } => {
                "trace replay: latency is from when the trace had a request, however late it left"
            }
            LoadPlan::Open { .. } => {
                "open loop: latency is from when a request was due, however late it left"
            }
        }
        .to_owned(),
    );
    notes
}

/// Says how many observations a statistic would have needed that some row lacks
/// (docs/metrics.md, section 5).
fn too_few(observed: &[&Estimate]) -> Option<String> {
    let lacks = |is_absent: fn(&Estimate) -> bool| observed.iter().any(|e| is_absent(e));
    let needs = [
        (lacks(|e| e.p90.is_none()), "p90 10"),
        (lacks(|e| e.mean_ci95.is_none()), "± 40"),
        (lacks(|e| e.p99.is_none()), "p99 100"),
        (lacks(|e| e.p99_ci95.is_none()), "−/+ about 370, more where waits hang together"),
    ];
    let needs: Vec<_> = needs.iter().filter(|need| need.0).map(|need| need.1).collect();
    let needed = needs.join(", ");
    (!needs.is_empty()).then(|| format!("{ABSENT}: too few requests (needed: {needed})"))
}
