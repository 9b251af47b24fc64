//! Operating points as rows of figures, for spreadsheets and scripts.
//!
//! # Invariants
//!
//! - A column's key is the figure's place in `run.json` (the ends of an interval are `_low` and
//!   `_high`), and its figure is that one, to the last digit.
//! - Nothing in a point of `run.json` is without a column but the words of its caveats.
//! - The columns that every report has stand first, whatever was observed: what was not is empty.
//!   Behind them stands what there are several of, numbered from 0: `gpus.0.power_mean_watts`.
//! - Text that a spreadsheet would take for a formula does not begin as one.

use std::collections::BTreeMap;

use infermark_measure::Point;
use infermark_terms::Trust;
use serde_json::Value;

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

/// What a column holds, which says how a spreadsheet shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Word,
    Count,
    Figure,
    Share,
    Money,
}

/// The figures of a point that every report has a column for, but its latencies: keys and kinds, in
/// the order of `run.json`.
pub(crate) const FIGURES: [(&str, Kind); 76] = [
    ("load.kind", Kind::Word),
    ("load.concurrency", Kind::Count),
    ("load.rate_rps", Kind::Figure),
    ("load.arrivals", Kind::Word),
    ("window.start_s", Kind::Figure),
    ("window.end_s", Kind::Figure),
    ("window.found", Kind::Word),
    ("counts.due", Kind::Count),
    ("counts.success", Kind::Count),
    ("counts.failed", Kind::Count),
    ("counts.failure_rate", Kind::Share),
    ("counts.finished", Kind::Count),
    ("counts.refused", Kind::Count),
    ("counts.severed", Kind::Count),
    ("counts.garbled", Kind::Count),
    ("counts.errored", Kind::Count),
    ("counts.expired", Kind::Count),
    ("counts.shed", Kind::Count),
    ("counts.abandoned", Kind::Count),
    ("counts.sent_again", Kind::Count),
    ("rates.requests_per_s", Kind::Figure),
    ("rates.requests_per_s_ci95_low", Kind::Figure),
    ("rates.requests_per_s_ci95_high", Kind::Figure),
    ("rates.input_tokens_per_s", Kind::Figure),
    ("rates.output_tokens_per_s", Kind::Figure),
    ("rates.output_tokens_per_s_ci95_low", Kind::Figure),
    ("rates.output_tokens_per_s_ci95_high", Kind::Figure),
    ("rates.total_tokens_per_s", Kind::Figure),
    ("rates.output_tokens_per_s_per_user", Kind::Figure),
    ("rates.output_tokens_per_s_per_gpu", Kind::Figure),
    ("rates.goodput_rps", Kind::Figure),
    ("rates.goodput_output_tokens_per_s", Kind::Figure),
    ("rates.good_share", Kind::Share),
    ("concurrency.mean", Kind::Figure),
    ("concurrency.peak", Kind::Count),
    ("stimulus.sent", Kind::Count),
    ("stimulus.sent_share", Kind::Share),
    ("stimulus.rate_share", Kind::Share),
    ("stimulus.in_flight_share", Kind::Share),
    ("stimulus.plateau_share", Kind::Share),
    ("tokens.input_mean", Kind::Figure),
    ("tokens.output_mean", Kind::Figure),
    ("tokens.per_chunk_mean", Kind::Figure),
    ("tokens.source", Kind::Word),
    ("tokens.input_total", Kind::Count),
    ("tokens.output_total", Kind::Count),
    ("tokens.cached_share", Kind::Share),
    ("tokens.coalesced_share", Kind::Share),
    ("cost.currency", Kind::Word),
    ("cost.per_hour", Kind::Money),
    ("cost.per_1m_output", Kind::Money),
    ("cost.per_1m_input", Kind::Money),
    ("cost.per_1m_total", Kind::Money),
    ("cost.per_1m_good", Kind::Money),
    ("server.prompt_tokens_per_s", Kind::Figure),
    ("server.generation_tokens_per_s", Kind::Figure),
    ("server.running_mean", Kind::Figure),
    ("server.waiting_share", Kind::Share),
    ("server.waiting_mean", Kind::Figure),
    ("server.waiting_max", Kind::Count),
    ("server.kv_usage_max", Kind::Share),
    ("server.prefix_hit_rate", Kind::Share),
    ("server.preemptions", Kind::Count),
    ("server.draft_acceptance", Kind::Share),
    ("energy.joules", Kind::Figure),
    ("energy.joules_per_output_token", Kind::Figure),
    ("energy.idle_watts", Kind::Figure),
    ("client_host.cpu_busy_share", Kind::Share),
    ("client_host.memory_used_max_bytes", Kind::Figure),
    ("client_host.received_bytes_per_s", Kind::Figure),
    ("client.connections_peak", Kind::Count),
    ("client.connections_opened", Kind::Count),
    ("stamps", Kind::Word),
    ("saturated", Kind::Word),
    ("trust.verdict", Kind::Word),
    ("trust.caveats", Kind::Word),
];

/// The latencies that every report has columns for, in the order of `run.json`.
pub(crate) const LATENCIES: [&str; 12] = [
    "latency.ttft_ms",
    "latency.service_ttft_ms",
    "latency.ttfa_ms",
    "latency.tpot_ms",
    "latency.itl_ms",
    "latency.icl_ms",
    "latency.e2e_ms",
    "latency.service_e2e_ms",
    "latency.lag_ms",
    "latency.stall_ms",
    "connect_ms",
    "read_delay_ms",
];

/// Every statistic of a latency.
pub(crate) const STATISTICS: [(&str, Kind); 19] = [
    ("n", Kind::Count),
    ("mean", Kind::Figure),
    ("mean_ci95_low", Kind::Figure),
    ("mean_ci95_high", Kind::Figure),
    ("min", Kind::Figure),
    ("p50", Kind::Figure),
    ("p50_ci95_low", Kind::Figure),
    ("p50_ci95_high", Kind::Figure),
    ("p90", Kind::Figure),
    ("p90_ci95_low", Kind::Figure),
    ("p90_ci95_high", Kind::Figure),
    ("p95", Kind::Figure),
    ("p95_ci95_low", Kind::Figure),
    ("p95_ci95_high", Kind::Figure),
    ("p99", Kind::Figure),
    ("p99_ci95_low", Kind::Figure),
    ("p99_ci95_high", Kind::Figure),
    ("p999", Kind::Figure),
    ("max", Kind::Figure),
];

/// The figures of a point by their keys, in the order of `run.json`.
pub(crate) struct Figures(Vec<(String, Value)>);

impl Figures {
    fn of(point: &Point) -> Self {
        let mut all = Self(Vec::new());
        let mut value = serde_json::to_value(point).expect("a point is plain data");
        // Their words are long and are told by every other report.
        value["trust"]["caveats"] = codes(point).into();
        // Absent where it is not so.
        value["saturated"] = point.saturated.into();
        all.flatten(String::new(), value);
        all.0.sort_by(|one, other| one.0.cmp(&other.0));
        all
    }

    fn flatten(&mut self, key: String, value: Value) {
        let below = |part: &str| {
            if key.is_empty() { part.to_owned() } else { format!("{key}.{part}") }
        };
        match value {
            Value::Null => {}
            Value::Object(parts) => {
                parts.into_iter().for_each(|(part, value)| self.flatten(below(&part), value));
            }
            Value::Array(ends) if key.ends_with("ci95") => {
                for (end, value) in ["low", "high"].iter().zip(ends) {
                    self.flatten(format!("{key}_{end}"), value);
                }
            }
            Value::Array(items) => {
                for (index, value) in items.into_iter().enumerate() {
                    self.flatten(below(&index.to_string()), value);
                }
            }
            leaf @ (Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                self.0.push((key, leaf));
            }
        }
    }

    fn get(&self, key: &str) -> Option<&Value> {
        let found = self.0.binary_search_by(|(other, _)| other.as_str().cmp(key));
        found.ok().map(|place| &self.0[place].1)
    }

    /// Returns the cell of a column.
    pub(crate) fn cell(&self, key: &str, kind: Kind) -> Cell {
        match self.get(key) {
            None => Cell::Absent,
            Some(Value::Number(number)) => {
                let figure = number.as_f64().unwrap_or(f64::NAN);
                match (kind, number.as_u64()) {
                    (Kind::Count, Some(count)) => Cell::Count(count),
                    (Kind::Share, _) => Cell::Share(figure),
                    (Kind::Money, _) => Cell::Money(figure),
                    (Kind::Word | Kind::Count | Kind::Figure, _) => Cell::Figure(figure),
                }
            }
            Some(Value::String(text)) => Cell::Text(text.clone()),
            Some(other) => Cell::Text(other.to_string()),
        }
    }
}

/// Returns the codes of a point's caveats, in one cell.
fn codes(point: &Point) -> String {
    let codes = point.trust.caveats.iter().map(|caveat| format!("{:?}", caveat.code));
    codes.collect::<Vec<_>>().join(" ")
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
pub(crate) struct Row {
    /// Cells of [`WHO`].
    pub(crate) who: Vec<Cell>,
    pub(crate) figures: Figures,
}

/// Returns a row for each operating point.
pub(crate) fn rows(subjects: &[Subject]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (subject, name) in subjects.iter().zip(names(subjects)) {
        for (index, point) in subject.points.iter().enumerate() {
            let optional = |text: &Option<String>| text.clone().unwrap_or_default();
            let who = [
                subject.id.clone(),
                name.clone(),
                subject.full_label(index),
                subject.created.clone(),
                subject.target.clone(),
                subject.model.clone(),
                optional(&subject.server),
                optional(&subject.gpus),
                origin(subject.origin).to_owned(),
                if subject.state == State::Partial { "partial" } else { "complete" }.to_owned(),
            ];
            let who = who.into_iter().map(Cell::Text).collect();
            rows.push(Row { who, figures: Figures::of(point) });
        }
    }
    rows
}

/// Returns the columns that only some reports have, with their kinds: what there are several of,
/// such as GPUs, classes and turns, and what else has no column of its own.
pub(crate) fn others(rows: &[Row]) -> Vec<(String, Kind)> {
    let is_known = |key: &str| {
        let latency = || LATENCIES.iter().any(|figure| key.starts_with(&format!("{figure}.")));
        FIGURES.iter().any(|(known, _)| *known == key) || latency()
    };
    let mut others: BTreeMap<Vec<String>, (String, Kind)> = BTreeMap::new();
    for (key, value) in rows.iter().flat_map(|row| &row.figures.0) {
        if !is_known(key) {
            let kind = match value {
                Value::Number(number) if number.is_u64() => Kind::Count,
                Value::Number(_) => Kind::Figure,
                Value::String(_)
                | Value::Bool(_)
                | Value::Null
                | Value::Array(_)
                | Value::Object(_) => Kind::Word,
            };
            // The tenth comes after the second.
            let order = key.split('.').map(|part| match part.parse::<u32>() {
                Ok(number) => format!("{number:010}"),
                Err(_) => part.to_owned(),
            });
            let _: &mut (String, Kind) =
                others.entry(order.collect()).or_insert_with(|| (key.clone(), kind));
        }
    }
    others.into_values().collect()
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
    let rows = rows(subjects);
    let latencies = LATENCIES.iter().flat_map(|figure| {
        STATISTICS.iter().map(move |(statistic, kind)| (format!("{figure}.{statistic}"), *kind))
    });
    let figures = FIGURES.iter().map(|(key, kind)| ((*key).to_owned(), *kind));
    let columns: Vec<_> = figures.chain(latencies).chain(others(&rows)).collect();
    let mut lines = csv::Writer::from_writer(Vec::new());
    let keys = columns.iter().map(|(key, _)| key.as_str());
    lines.write_record(WHO.into_iter().chain(keys)).expect("memory takes every record");
    for Row { who, figures } in &rows {
        let cells = columns.iter().map(|(key, kind)| plain(&figures.cell(key, *kind)));
        let record = who.iter().map(plain).chain(cells);
        lines.write_record(record).expect("every row has every column");
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
