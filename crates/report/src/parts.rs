//! The parts of a point beside one another: one row for each class, and for each turn.
//!
//! The same rows stand in a run's table and on its page.

use infermark_measure::{Part, Point};

use crate::figure::{ABSENT, cell, percent, short_count};
use crate::page::{COLUMNS, Page, Tone};
use crate::text::{clean, fit, wrap};

/// Headings, and the width of each column with the gap before it.
const HEAD: [(&str, usize); 10] = [
    ("", 12),
    ("due", 7),
    ("failed", 7),
    ("input", 8),
    ("cached", 7),
    ("TTFT p50", 9),
    ("p99", 8),
    ("TPOT", 7),
    ("ITL", 7),
    ("E2E p50", 8),
];

/// The first column of latencies.
const LATENCIES: usize = 5;

/// The most rows of a kind in a run's table.
const ROWS_MAX: usize = 12;

/// Parts of one kind.
pub(crate) struct Kind<'a> {
    /// What they are, in one word.
    pub(crate) name: &'static str,
    /// What a reader must know of them.
    pub(crate) note: &'static str,
    pub(crate) parts: &'a [Part],
}

/// Returns the kinds of parts that a point has.
pub(crate) fn kinds(point: &Point) -> Vec<Kind<'_>> {
    let turns = Kind {
        name: "turn",
        note: "input: all that was said before, too. TPOT, ITL: means. Later turns are due when \
               the answer before them has ended and its user has thought",
        parts: &point.turns,
    };
    let classes = Kind { name: "class", note: "TPOT, ITL: means", parts: &point.classes };
    [classes, turns].into_iter().filter(|kind| !kind.parts.is_empty()).collect()
}

/// Writes the tables.
pub(crate) fn write(page: &mut Page, point: &Point) {
    for kind in kinds(point) {
        page.gap();
        page.line(Tone::Strong, &aligned(&heads(kind.name)));
        for part in kind.parts.iter().take(ROWS_MAX) {
            page.line(Tone::Plain, &aligned(&row(part)));
        }
        let more = kind.parts.len().saturating_sub(ROWS_MAX);
        let more = (more > 0).then(|| format!("{more} more are in run.json"));
        let saturated = "saturated: these latencies say how long one looked, and are no result";
        let saturated = point.saturated.then(|| saturated.to_owned());
        for note in more.into_iter().chain(saturated).chain([kind.note.to_owned()]) {
            for line in wrap(&note, COLUMNS) {
                page.line(Tone::Faint, &line);
            }
        }
    }
}

/// Says whether a cell of a part of this point is a result: latencies of a saturated one are not.
pub(crate) fn is_result(point: &Point, column: usize) -> bool {
    !point.saturated || column < LATENCIES
}

/// Returns the headings of a kind's table.
pub(crate) fn heads(kind: &str) -> Vec<String> {
    let mut heads: Vec<_> = HEAD.iter().map(|(head, _)| (*head).to_owned()).collect();
    heads[0] = format!("{kind}, ms");
    heads
}

/// Returns the cells of a part.
pub(crate) fn row(part: &Part) -> Vec<String> {
    let shown = |value: Option<f64>| value.map_or(ABSENT.to_owned(), cell);
    let ttft = part.latency.ttft_ms;
    vec![
        clean(&part.name),
        short_count(part.counts.due),
        short_count(part.counts.failed),
        shown(part.tokens.input_mean),
        part.tokens.cached_share.map_or(ABSENT.to_owned(), percent),
        shown(ttft.map(|ttft| ttft.p50)),
        shown(ttft.and_then(|ttft| ttft.p99)),
        shown(part.latency.tpot_ms.map(|tpot| tpot.mean)),
        shown(part.latency.itl_ms.map(|itl| itl.mean)),
        shown(part.latency.e2e_ms.map(|e2e| e2e.p50)),
    ]
}

/// Sets the first cell to the left of its column and the others to the right.
fn aligned(cells: &[String]) -> String {
    let padded = cells.iter().zip(HEAD).enumerate().map(|(index, (cell, (_, width)))| {
        let cell = fit(cell, width - 1);
        if index == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
    });
    padded.collect::<Vec<_>>().concat()
}
