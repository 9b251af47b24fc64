//! The page about a study: its points as lines of a table, from little load to much.

use std::path::Path;

use infermark_measure::{Point, Verdict};
use infermark_terms::{CaveatCode, Trust};

use crate::figure::{ABSENT, cell};
use crate::page::{COLUMNS, Colour, Page, ROOM, Tone};
use crate::text::{fit, flow, width, wrap};
use crate::{Source, State, Verification};

/// A study, as far as a page shows it.
#[derive(Clone, Copy, Debug)]
pub struct CurveSheet<'a> {
    /// The command that made it, such as `infermark sweep`.
    pub command: &'a str,
    /// Whom it measured: a URL, or `sim:` and what follows.
    pub target: &'a str,
    /// What stands behind the figures.
    pub source: Source<'a>,
    /// Whether the server's certificate was checked.
    pub verification: Verification,
    /// The model that was asked.
    pub model: &'a str,
    /// The server's name and version, where it told.
    pub server: Option<&'a str>,
    /// What was asked for, as labels and values.
    pub asked: &'a [(&'a str, String)],
    /// Whether the study came to its end.
    pub state: State,
    /// The points, in the order in which they are shown.
    pub dots: &'a [Dot<'a>],
    /// What is known beside the points: labels, and sentences.
    pub beside: &'a [(&'a str, Vec<String>)],
    /// The directory that holds the record, where there is one.
    pub record: Option<&'a Path>,
}

/// A point of a study.
#[derive(Clone, Copy, Debug)]
pub struct Dot<'a> {
    /// What a person calls it.
    pub label: &'a str,
    /// What was measured.
    pub point: &'a Point,
    /// What else stands beside it: one short word, such as `knee`.
    pub mark: &'a str,
    /// The doubts about it that concern what the study found.
    pub trust: &'a Verdict,
}

/// The width of the label's column, and of each other column.
const LABEL: usize = 17;
const CELL: usize = 7;
/// The width of the word beside a point.
const MARK: usize = 5;

/// The columns beside the label: headings and what they show.
type Column = (&'static str, fn(&Point) -> Option<f64>);
const COLUMNS_SHOWN: [Column; 7] = [
    ("req/s", |p| Some(p.rates?.requests_per_s)),
    ("tok/s", |p| Some(p.rates?.output_tokens_per_s)),
    ("/user", |p| p.rates?.output_tokens_per_s_per_user),
    ("TTFT", |p| Some(p.latency.ttft_ms?.p50)),
    ("p99", |p| p.latency.ttft_ms?.p99),
    ("TPOT", |p| Some(p.latency.tpot_ms?.mean)),
    ("E2E", |p| Some(p.latency.e2e_ms?.p50)),
];

/// Returns the page about a study, each line ended by a line feed.
pub fn curve(sheet: &CurveSheet<'_>, colour: Colour) -> String {
    let mut page = Page::new(colour);
    title(&mut page, sheet);
    page.gap();
    let asked = sheet.asked.iter().map(|(label, value)| format!("{label} {value}"));
    page.block("asked", Tone::Plain, flow(asked, ROOM));
    page.gap();
    points(&mut page, sheet.dots);
    notes(&mut page, sheet.dots);
    page.gap();
    for (label, items) in sheet.beside {
        page.block(label, Tone::Plain, items.iter().flat_map(|item| wrap(item, ROOM)));
    }
    trust(&mut page, sheet.dots);
    if let Some(record) = sheet.record {
        page.block("record", Tone::Plain, wrap(&record.display().to_string(), ROOM));
    }
    page.into_text()
}

/// Writes what was measured.
pub(crate) fn title(page: &mut Page, sheet: &CurveSheet<'_>) {
    let warning = match sheet.source {
        Source::Server => None,
        Source::Embedded(engine) => {
            Some(format!("embedded engine ({engine}): no real server was measured"))
        }
        Source::Predicted(engine) => Some(format!("predicted ({engine}): nothing was measured")),
    };
    for line in warning.iter().flat_map(|warning| wrap(warning, COLUMNS)) {
        page.line(Tone::Warning, &line);
    }
    let names = [sheet.command, sheet.model, sheet.target].map(str::to_owned);
    for line in flow(names.into_iter().chain(sheet.server.map(str::to_owned)), COLUMNS) {
        page.line(Tone::Strong, &line);
    }
    if sheet.state == State::Partial {
        page.line(Tone::Warning, "partial: the study did not come to its end");
    }
    if sheet.verification == Verification::Off {
        page.line(Tone::Warning, "insecure: the server's certificate was not checked");
    }
}

/// Writes a table of points.
pub(crate) fn points(page: &mut Page, dots: &[Dot<'_>]) {
    let headings = COLUMNS_SHOWN.map(|(heading, _)| heading.to_owned());
    page.line(Tone::Faint, &line("load", &headings, ""));
    for dot in dots {
        let marked = if dot.point.saturated { "!" } else { "" };
        let mark = [" ", marked, &fit(dot.mark, MARK)].concat();
        let cells = COLUMNS_SHOWN.map(|(_, figure)| figure(dot.point).map_or(ABSENT.into(), cell));
        let tone = if dot.point.saturated { Tone::Faint } else { Tone::Plain };
        page.line(tone, &line(dot.label, &cells, &mark));
    }
}

/// Says what the columns of such tables are.
pub(crate) fn notes(page: &mut Page, dots: &[Dot<'_>]) {
    let note = "ms: median and p99 of TTFT, mean TPOT, median E2E; /user: tok/s for each user";
    page.line(Tone::Faint, note);
    if dots.iter().any(|dot| dot.point.saturated) {
        let note = "! saturated: what waits grows, so these latencies say how long one looked";
        page.line(Tone::Faint, note);
    }
}

fn line(label: &str, cells: &[String; COLUMNS_SHOWN.len()], mark: &str) -> String {
    let label = fit(label, LABEL);
    let padding = LABEL - width(&label);
    let cells: Vec<_> = cells.iter().map(|cell| format!(" {cell:>CELL$}")).collect();
    let cells = cells.concat();
    format!("{label}{}{cells}{mark}", " ".repeat(padding)).trim_end().to_owned()
}

/// Writes the least trust of all points, and every doubt once, with the points that it is of.
pub(crate) fn trust<'a>(page: &mut Page, dots: &[Dot<'a>]) {
    let worst = dots.iter().map(|dot| dot.trust.verdict).max().unwrap_or(Trust::Sound);
    let (tone, verdict) = match worst {
        Trust::Sound => (Tone::Good, "sound: nothing is known against these figures"),
        Trust::Doubtful => (Tone::Warning, "doubtful: read the caveats first"),
        Trust::Void => (Tone::Bad, "void: the instrument cannot vouch for every point"),
    };
    page.block("trust", tone, [verdict.to_owned()]);
    let mut codes: Vec<CaveatCode> = Vec::new();
    for caveat in dots.iter().flat_map(|dot| &dot.trust.caveats) {
        if !codes.contains(&caveat.code) {
            codes.push(caveat.code);
        }
    }
    for code in codes {
        let of = |dot: &Dot<'a>| dot.trust.caveats.iter().find(|caveat| caveat.code == code);
        let mut same = dots.iter().filter_map(|dot| Some((dot, of(dot)?)));
        let (dot, first) = same.next().expect("it is the code of some point's caveat");
        let others = match same.count() {
            0 => String::new(),
            n => format!(" (and {n} like it)"),
        };
        let doubt = format!("{code:?}: at {}{others}: {}", dot.label, first.detail);
        page.block("", Tone::Plain, wrap(&doubt, ROOM));
        let hint = wrap(&format!("hint: {}", first.hint), ROOM - 2);
        page.block("", Tone::Faint, hint.into_iter().map(|line| format!("  {line}")));
    }
}
