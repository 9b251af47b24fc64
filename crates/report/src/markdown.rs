//! A report as Markdown, for a merge request or a wiki: the verdict, the answer, the latencies.
//!
//! Foreign text is made harmless ([`plain`]): it makes no link, no emphasis and no element.

use infermark_measure::{Estimate, Point};

use crate::document::{date, facts, title};
use crate::figure::{ABSENT, count, figure};
use crate::ledger::verdict;
use crate::objectives;
use crate::points::{Column, columns};
use crate::subject::{Load, Subject, names, series};
use crate::text::clean;

/// The latencies that are shown, by the names that people give them.
type Shown = (&'static str, fn(&Point) -> Option<Estimate>);
const SHOWN: [Shown; 5] = [
    ("TTFT", |p| p.latency.ttft_ms),
    ("TPOT", |p| p.latency.tpot_ms),
    ("ITL", |p| p.latency.itl_ms),
    ("ICL", |p| p.latency.icl_ms.filter(|_| p.latency.itl_ms.is_none())),
    ("E2E", |p| p.latency.e2e_ms),
];

/// Returns the report on one subject, or on several, as Markdown.
pub fn markdown(subjects: &[Subject]) -> String {
    let mut lines = vec![format!("## {}", plain(&title(subjects))), String::new()];
    lines.extend(facts(subjects).iter().map(|fact| format!("> **{}**\n", plain(fact))));
    lines.extend(points(subjects));
    lines.extend(["", "### Latency, ms", ""].map(str::to_owned));
    lines.extend(latencies(subjects));
    for subject in subjects {
        lines.extend(
            subject
                .findings
                .iter()
                .map(|(name, finding)| format!("\n**{}**: {}", plain(name), plain(finding))),
        );
        for ruling in subject.points.iter().flat_map(|point| &point.slo) {
            let (verdict, said) = (objectives::name(ruling.verdict), objectives::said(ruling));
            lines.push(format!("\n**{verdict}**: {}", plain(&said)));
        }
    }
    lines.extend(["", "### Trust", ""].map(str::to_owned));
    lines.extend(doubts(subjects));
    lines.extend(["", "### How it was measured", ""].map(str::to_owned));
    lines.extend(subjects.iter().map(setup));
    lines.join("\n") + "\n"
}

/// Returns a line for each point.
fn points(subjects: &[Subject]) -> Vec<String> {
    let (load, columns) = (Load::of(subjects), columns(subjects));
    let mut heads = vec![String::new(), load.title().to_owned()];
    heads.extend(columns.iter().map(Column::head));
    let mut rows = Vec::new();
    for one in series(subjects, load) {
        for placed in &one.points {
            let saturated = if placed.point.saturated { ", saturated" } else { "" };
            let mut row = vec![one.name.clone(), format!("{}{saturated}", placed.label())];
            row.extend(
                columns
                    .iter()
                    .map(|column| column.cell(placed.point).unwrap_or_else(|| ABSENT.to_owned())),
            );
            rows.push(row);
        }
    }
    table(&heads, &rows)
}

/// Returns a table whose first column is words, and whose others are figures.
fn table(heads: &[String], rows: &[Vec<String>]) -> Vec<String> {
    let line = |cells: &[String]| {
        let cells: Vec<_> = cells.iter().map(|cell| plain(cell)).collect();
        format!("| {} |", cells.join(" | "))
    };
    let rule: String = "|---|".to_owned() + &"--:|".repeat(heads.len().saturating_sub(1));
    [line(heads), rule].into_iter().chain(rows.iter().map(|row| line(row))).collect()
}

fn latencies(subjects: &[Subject]) -> Vec<String> {
    let heads = ["point", "figure", "n", "mean", "p50", "p90", "p95", "p99", "p99.9", "max"];
    let single = subjects.len() == 1;
    let optional = |value: Option<f64>| value.map_or(ABSENT.to_owned(), figure);
    let mut rows = Vec::new();
    for (subject, name) in subjects.iter().zip(names(subjects)) {
        for (index, point) in subject.points.iter().enumerate() {
            let label = subject.label(index);
            let label = if single { label } else { format!("{name}, {label}") };
            for (figure_name, latency) in SHOWN {
                let Some(e) = latency(point) else { continue };
                let cells = [e.p90, e.p95, e.p99, e.p999].map(optional);
                let head = [label.clone(), figure_name.to_owned(), count(e.n)];
                let middle = [figure(e.mean), figure(e.p50)];
                rows.push([&head[..], &middle, &cells, &[figure(e.max)]].concat());
            }
        }
    }
    table(&heads.map(str::to_owned), &rows)
}

/// Returns each point's verdict, with its caveats and their remedies.
fn doubts(subjects: &[Subject]) -> Vec<String> {
    let mut lines = Vec::new();
    for (subject, name) in subjects.iter().zip(names(subjects)) {
        for (index, point) in subject.points.iter().enumerate() {
            let label = subject.label(index);
            let saturated = if point.saturated { ", saturated" } else { "" };
            let word = verdict(point.trust.verdict);
            lines.push(format!("- {}, {}: **{word}**{saturated}", plain(&name), plain(&label)));
            lines.extend(point.trust.caveats.iter().map(|caveat| {
                let (detail, hint) = (plain(&caveat.detail), plain(&caveat.hint));
                format!("  - {:?}: {detail}. Hint: {hint}", caveat.code)
            }));
        }
    }
    lines
}

/// Returns where and how a subject was measured, on one line.
fn setup(subject: &Subject) -> String {
    let who = [Some(&subject.target), Some(&subject.model), subject.server.as_ref()];
    let who = who.into_iter().chain([subject.gpus.as_ref()]).flatten().cloned();
    let asked =
        subject.asked.iter().chain(&subject.setup).map(|(key, value)| format!("{key} {value}"));
    let parts = who.chain([date(&subject.created)]).chain(asked).filter(|part| !part.is_empty());
    let parts: Vec<_> = parts.map(|part| plain(&part)).collect();
    format!("- {}: {}", plain(&subject.id), parts.join(" · "))
}

/// Makes foreign text harmless, in a cell of a table too.
pub(crate) fn plain(text: &str) -> String {
    let mut safe = String::new();
    for c in clean(text).chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '#' => safe.extend(['\\', c]),
            c => safe.push(c),
        }
    }
    safe
}
