//! Operating points as rows of figures, for spreadsheets and scripts.
//!
//! # Invariants
//!
//! - A column's key is the figure's place in `run.json` (the ends of an interval are `_low` and
//!   `_high`), and its figure is that one, to the last digit.
//! - Every report has the same columns, whatever was observed: what was not is empty.
//! - Text that a spreadsheet would take for a formula does not begin as one.

use infermark_measure::{Cost, Estimate, LoadPlan, Point, Rates};
use infermark_terms::Trust;

use crate::subject::{Subject, names};
use crate::text::clean;
use crate::{Origin, State};

/// One figure, or what stands in its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Absent,
    Text(String),
    Count(u64),
    /// Milliseconds, rates, means.
    Figure(f64),
    /// From 0 to 1.
    Share(f64),
    /// In the currency of its row.
    Money(f64),
}

/// A column of a point: its key, and how its figure is got.
type Column = (&'static str, fn(&Point) -> Cell);

/// Every figure of a point but its latencies, in the order of `run.json`.
pub(crate) const FIGURES: [Column; 54] = [
    ("load.kind", |p| {
        word(match p.load {
            LoadPlan::Closed { .. } => "closed",
            LoadPlan::Open { .. } => "open",
            LoadPlan::Trace { .. } => "trace",
        })
    }),
    ("load.concurrency", |p| match p.load {
        LoadPlan::Closed { concurrency } => Cell::Count(concurrency.into()),
        LoadPlan::Open { .. } | LoadPlan::Trace { .. } => Cell::Absent,
    }),
    ("load.rate_rps", |p| match p.load {
        LoadPlan::Open { rate_rps, .. } => Cell::Figure(rate_rps),
        LoadPlan::Trace { rate_rps, .. } => rate_rps.map_or(Cell::Absent, Cell::Figure),
        LoadPlan::Closed { .. } => Cell::Absent,
    }),
    ("load.arrivals", |p| match p.load {
        LoadPlan::Open { arrivals, .. } => Cell::Text(arrivals.to_string()),
        LoadPlan::Closed { .. } | LoadPlan::Trace { .. } => Cell::Absent,
    }),
    ("window.start_s", |p| Cell::Figure(p.window.start_s)),
    ("window.end_s", |p| Cell::Figure(p.window.end_s)),
    ("counts.due", |p| Cell::Count(p.counts.due)),
    ("counts.success", |p| Cell::Count(p.counts.success)),
    ("counts.failed", |p| Cell::Count(p.counts.failed)),
    ("counts.failure_rate", |p| share(p.counts.failure_rate)),
    ("counts.finished", |p| Cell::Count(p.counts.finished)),
    ("counts.refused", |p| Cell::Count(p.counts.refused)),
    ("counts.severed", |p| Cell::Count(p.counts.severed)),
    ("counts.garbled", |p| Cell::Count(p.counts.garbled)),
    ("counts.errored", |p| Cell::Count(p.counts.errored)),
    ("counts.expired", |p| Cell::Count(p.counts.expired)),
    ("counts.shed", |p| Cell::Count(p.counts.shed)),
    ("counts.abandoned", |p| Cell::Count(p.counts.abandoned)),
    ("rates.requests_per_s", |p| rate(p, |r| Some(r.requests_per_s))),
    ("rates.requests_per_s_ci95_low", |p| rate(p, |r| Some(r.requests_per_s_ci95?[0]))),
    ("rates.requests_per_s_ci95_high", |p| rate(p, |r| Some(r.requests_per_s_ci95?[1]))),
    ("rates.input_tokens_per_s", |p| rate(p, |r| r.input_tokens_per_s)),
    ("rates.output_tokens_per_s", |p| rate(p, |r| Some(r.output_tokens_per_s))),
    ("rates.output_tokens_per_s_ci95_low", |p| rate(p, |r| Some(r.output_tokens_per_s_ci95?[0]))),
    ("rates.output_tokens_per_s_ci95_high", |p| rate(p, |r| Some(r.output_tokens_per_s_ci95?[1]))),
    ("rates.total_tokens_per_s", |p| rate(p, |r| r.total_tokens_per_s)),
    ("rates.output_tokens_per_s_per_user", |p| rate(p, |r| r.output_tokens_per_s_per_user)),
    ("rates.output_tokens_per_s_per_gpu", |p| rate(p, |r| r.output_tokens_per_s_per_gpu)),
    ("rates.goodput_rps", |p| rate(p, |r| r.goodput_rps)),
    ("rates.goodput_output_tokens_per_s", |p| rate(p, |r| r.goodput_output_tokens_per_s)),
    ("rates.good_share", |p| share(p.rates.and_then(|r| r.good_share))),
    ("concurrency.mean", |p| number(p.concurrency.map(|c| c.mean))),
    ("concurrency.peak", |p| whole(p.concurrency.map(|c| c.peak))),
    ("tokens.input_mean", |p| number(p.tokens.input_mean)),
    ("tokens.output_mean", |p| number(p.tokens.output_mean)),
    ("tokens.input_total", |p| whole(p.tokens.input_total)),
    ("tokens.output_total", |p| Cell::Count(p.tokens.output_total)),
    ("tokens.cached_share", |p| share(p.tokens.cached_share)),
    ("cost.currency", |p| p.cost.map_or(Cell::Absent, |c| word(c.currency.code()))),
    ("cost.per_hour", |p| money(p, |c| Some(c.per_hour))),
    ("cost.per_1m_output", |p| money(p, |c| c.per_1m_output)),
    ("cost.per_1m_input", |p| money(p, |c| c.per_1m_input)),
    ("cost.per_1m_total", |p| money(p, |c| c.per_1m_total)),
    ("cost.per_1m_good", |p| money(p, |c| c.per_1m_good)),
    ("server.waiting_max", |p| whole(p.server.and_then(|s| s.waiting_max))),
    ("server.kv_usage_max", |p| share(p.server.and_then(|s| s.kv_usage_max))),
    ("server.prefix_hit_rate", |p| share(p.server.and_then(|s| s.prefix_hit_rate))),
    ("server.running_mean", |p| number(p.server.and_then(|s| s.running_mean))),
    ("server.preemptions", |p| whole(p.server.and_then(|s| s.preemptions))),
    ("energy.joules", |p| number(p.energy.map(|e| e.joules))),
    ("energy.joules_per_output_token", |p| {
        number(p.energy.and_then(|e| e.joules_per_output_token))
    }),
    ("saturated", |p| word(if p.saturated { "true" } else { "false" })),
    ("trust.verdict", |p| word(verdict(p.trust.verdict))),
    ("trust.caveats", |p| {
        let codes: Vec<_> = p.trust.caveats.iter().map(|c| format!("{:?}", c.code)).collect();
        Cell::Text(codes.join(" "))
    }),
];

/// A latency: its key, and how it is got.
type Latency = (&'static str, fn(&Point) -> Option<Estimate>);

/// Every latency, in the order of `run.json`.
pub(crate) const LATENCIES: [Latency; 12] = [
    ("latency.ttft_ms", |p| p.latency.ttft_ms),
    ("latency.service_ttft_ms", |p| p.latency.service_ttft_ms),
    ("latency.ttfa_ms", |p| p.latency.ttfa_ms),
    ("latency.tpot_ms", |p| p.latency.tpot_ms),
    ("latency.itl_ms", |p| p.latency.itl_ms),
    ("latency.icl_ms", |p| p.latency.icl_ms),
    ("latency.e2e_ms", |p| p.latency.e2e_ms),
    ("latency.service_e2e_ms", |p| p.latency.service_e2e_ms),
    ("latency.lag_ms", |p| p.latency.lag_ms),
    ("latency.stall_ms", |p| p.latency.stall_ms),
    ("connect_ms", |p| p.connect_ms),
    ("read_delay_ms", |p| p.read_delay_ms),
];

/// A statistic: its key, and how it is got.
type Statistic = (&'static str, fn(&Estimate) -> Cell);

/// Every statistic of a latency.
pub(crate) const STATISTICS: [Statistic; 19] = [
    ("n", |e| Cell::Count(e.n)),
    ("mean", |e| Cell::Figure(e.mean)),
    ("mean_ci95_low", |e| number(e.mean_ci95.map(|ends| ends[0]))),
    ("mean_ci95_high", |e| number(e.mean_ci95.map(|ends| ends[1]))),
    ("min", |e| Cell::Figure(e.min)),
    ("p50", |e| Cell::Figure(e.p50)),
    ("p50_ci95_low", |e| number(e.p50_ci95.map(|ends| ends[0]))),
    ("p50_ci95_high", |e| number(e.p50_ci95.map(|ends| ends[1]))),
    ("p90", |e| number(e.p90)),
    ("p90_ci95_low", |e| number(e.p90_ci95.map(|ends| ends[0]))),
    ("p90_ci95_high", |e| number(e.p90_ci95.map(|ends| ends[1]))),
    ("p95", |e| number(e.p95)),
    ("p95_ci95_low", |e| number(e.p95_ci95.map(|ends| ends[0]))),
    ("p95_ci95_high", |e| number(e.p95_ci95.map(|ends| ends[1]))),
    ("p99", |e| number(e.p99)),
    ("p99_ci95_low", |e| number(e.p99_ci95.map(|ends| ends[0]))),
    ("p99_ci95_high", |e| number(e.p99_ci95.map(|ends| ends[1]))),
    ("p999", |e| number(e.p999)),
    ("max", |e| Cell::Figure(e.max)),
];

fn word(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

fn whole(count: Option<u64>) -> Cell {
    count.map_or(Cell::Absent, Cell::Count)
}

fn number(figure: Option<f64>) -> Cell {
    figure.map_or(Cell::Absent, Cell::Figure)
}

fn share(share: Option<f64>) -> Cell {
    share.map_or(Cell::Absent, Cell::Share)
}

fn rate(point: &Point, of: fn(&Rates) -> Option<f64>) -> Cell {
    number(point.rates.as_ref().and_then(of))
}

fn money(point: &Point, of: fn(&Cost) -> Option<f64>) -> Cell {
    point.cost.as_ref().and_then(of).map_or(Cell::Absent, Cell::Money)
}

/// Returns a verdict's name, as in `run.json`.
pub(crate) fn verdict(trust: Trust) -> &'static str {
    match trust {
        Trust::Sound => "sound",
        Trust::Doubtful => "doubtful",
        Trust::Void => "void",
    }
}

/// What tells points apart.
pub(crate) const WHO: [&str; 10] =
    ["run", "name", "point", "created", "target", "model", "server", "gpus", "origin", "state"];

/// One operating point, as a row.
pub(crate) struct Row<'a> {
    /// Cells of [`WHO`].
    pub(crate) who: Vec<Cell>,
    pub(crate) point: &'a Point,
}

/// Returns a row for each operating point.
pub(crate) fn rows(subjects: &[Subject]) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for (subject, name) in subjects.iter().zip(names(subjects)) {
        for (index, point) in subject.points.iter().enumerate() {
            let optional = |text: &Option<String>| text.clone().unwrap_or_default();
            let who = [
                subject.id.clone(),
                name.clone(),
                subject.label(index),
                subject.created.clone(),
                subject.target.clone(),
                subject.model.clone(),
                optional(&subject.server),
                optional(&subject.gpus),
                origin(subject.origin).to_owned(),
                if subject.state == State::Partial { "partial" } else { "complete" }.to_owned(),
            ];
            rows.push(Row { who: who.into_iter().map(Cell::Text).collect(), point });
        }
    }
    rows
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Server => "server",
        Origin::Embedded => "embedded",
        Origin::Predicted => "predicted",
    }
}

/// Returns text as it may stand in a spreadsheet: what would be read as a formula, or as the
/// beginning of one in a sloppy reader, is led by an apostrophe.
pub fn harmless(text: &str) -> String {
    let text = clean(text);
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text }
}

/// Returns the operating points of these subjects as CSV (RFC 4180): a line of keys, then one
/// line a point with every figure, in full precision.
///
/// # Panics
///
/// Never: writing to memory does not fail.
pub fn csv(subjects: &[Subject]) -> String {
    let mut lines = csv::Writer::from_writer(Vec::new());
    let estimates = LATENCIES.iter().flat_map(|(figure, _)| {
        STATISTICS.iter().map(move |(statistic, _)| format!("{figure}.{statistic}"))
    });
    let keys = WHO.iter().chain(FIGURES.iter().map(|(key, _)| key)).map(|&key| key.to_owned());
    lines.write_record(keys.chain(estimates)).expect("memory takes every record");
    for Row { who, point } in rows(subjects) {
        let figures = FIGURES.iter().map(|(_, figure)| figure(point));
        let estimates = LATENCIES.iter().flat_map(|(_, latency)| {
            let estimate = latency(point);
            STATISTICS.iter().map(move |(_, statistic)| estimate.as_ref().map(statistic))
        });
        let estimates = estimates.map(|cell| cell.unwrap_or(Cell::Absent));
        let cells = who.into_iter().chain(figures).chain(estimates);
        lines.write_record(cells.map(|cell| plain(&cell))).expect("every row has every column");
    }
    let bytes = lines.into_inner().expect("memory takes every record");
    String::from_utf8(bytes).expect("it was made of text")
}

fn plain(cell: &Cell) -> String {
    match cell {
        Cell::Absent => String::new(),
        Cell::Text(text) => harmless(text),
        Cell::Count(count) => count.to_string(),
        Cell::Figure(value) | Cell::Share(value) | Cell::Money(value) => value.to_string(),
    }
}

#[cfg(test)]
mod tests;
