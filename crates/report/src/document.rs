//! A report as one HTML file: readable without a network and without scripts, light and dark,
//! on a telephone and on paper.
//!
//! # Invariants
//!
//! - The file refers to nothing outside itself; its policy forbids scripts and requests.
//! - Whatever did not come from this program's source is escaped ([`Html`]).
//! - Its size is bounded, whatever the size of the run: charts are drawn from bounded details.
//! - Verdict first, then the answer, then the evidence; every chart comes with its data.

mod answer;
mod latency;
mod limits;
mod points;
mod trust;

use std::fmt::Write as _;

use infermark_measure::Point;

use crate::chart::svg;
use crate::definitions;
use crate::figure::{count, figure, money, percent};
use crate::gallery::{self, Chart, Span};
use crate::html::Html;
use crate::subject::{Load, Origin, Subject, names, series};
use crate::{State, Verification, parts, spread};

pub(crate) use self::answer::{all_sought as sought, all_tiles as tiles, findings_heading};
pub(crate) use self::limits::said_of_themselves;

/// What stands before everything: the policy is the page's own promise.
const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
<meta http-equiv=\"Content-Security-Policy\" \
content=\"default-src 'none';style-src 'unsafe-inline'\">\
<meta name=\"generator\" content=\"infermark\"><style>";

/// The widths at which charts are drawn: for a wide page, and for a narrow one.
const FULL: f64 = 1080.0;
const HALF: f64 = 526.0;
const NARROW: f64 = 358.0;

/// Returns the report on one subject, or on several beside one another, as an HTML file.
pub fn html(subjects: &[Subject]) -> String {
    let mut page = Html::default();
    let title = title(subjects);
    let _: &mut Html = page.markup(HEAD).markup(include_str!("document/page.css"));
    let _: &mut Html = page.markup("</style>").element("title", &[], &title);
    let _: &mut Html = page.markup("</head><body><main>");
    match subjects {
        [subject] => one(&mut page, subject),
        _ => several(&mut page, subjects, &title),
    }
    definitions(&mut page);
    let _: &mut Html = page.open("footer", &[]).text("Made by infermark");
    let versions: Vec<_> = subjects.iter().map(|subject| &subject.version).collect();
    if let Some(version) = versions.first().filter(|v| versions.iter().all(|other| other == *v)) {
        let _: &mut Html = page.text(" ").text(version);
    }
    let _: &mut Html = page.text(". This page needs no network and no scripts; the raw record is ");
    let _: &mut Html = page.text("beside it.").close("footer").markup("</main></body></html>\n");
    page.into_string()
}

/// Returns what a report on these subjects is called.
pub(crate) fn title(subjects: &[Subject]) -> String {
    if let [subject] = subjects {
        if let Some(contest) = subject.contests.first() {
            return contest.targets.join(" against ");
        }
        if subject.origin == Origin::Embedded {
            return format!("{}: the embedded engine", subject.model);
        }
        let server = subject.server.as_ref().map(|server| format!(" on {server}"));
        return format!("{}{}", subject.model, server.unwrap_or_default());
    }
    let mut names = names(subjects);
    names.sort();
    names.dedup();
    match names.len() {
        0..=4 => names.join(" against "),
        _ => format!("{} runs compared", subjects.len()),
    }
}

fn one(page: &mut Html, subject: &Subject) {
    let _: &mut Html = page.element("p", &[("class", "kind")], &subject.command);
    let _: &mut Html = page.element("h1", &[], &title(std::slice::from_ref(subject)));
    whereabouts(page, subject);
    banners(page, std::slice::from_ref(subject));
    match subject.only_point() {
        Some(point) => alone(page, subject, point),
        None => study(page, subject),
    }
    heading(page, "How it was measured");
    setup(page, subject);
}

/// Writes what there is to tell of one point.
fn alone(page: &mut Html, subject: &Subject, point: &Point) {
    trust::write(page, subject);
    answer::tiles(page, point);
    answer::findings(page, subject);
    answer::objectives(page, point);
    answer::ends(page, point);
    latency::write(page, point);
    parts(page, point);
    addresses(page, point);
    limits::write(page, point);
    if let Some(details) = &subject.details {
        heading(page, "Charts");
        figures(page, &gallery::of_run(point, details));
    }
}

/// Writes what there is to tell of a study.
fn study(page: &mut Html, subject: &Subject) {
    let subjects = std::slice::from_ref(subject);
    answer::tally(page, subject);
    if !subject.points.is_empty() {
        trust::summary(page, subjects);
    }
    answer::verdicts(page, subject);
    answer::contests(page, subject);
    answer::sought(page, subject);
    answer::findings(page, subject);
    if subject.points.is_empty() {
        return;
    }
    heading(page, "Points");
    points::write(page, subjects);
    heading(page, "Curves");
    figures(page, &gallery::of_points(subjects));
}

fn several(page: &mut Html, subjects: &[Subject], title: &str) {
    let _: &mut Html = page.element("p", &[("class", "kind")], "comparison");
    let _: &mut Html = page.element("h1", &[], title);
    let load = Load::of(subjects);
    let series = series(subjects, load);
    let points: usize = series.iter().map(|series| series.points.len()).sum();
    let words = format!("{} runs, {points} operating points", subjects.len());
    let _: &mut Html = page.element("p", &[("class", "where")], &words);
    banners(page, subjects);
    trust::summary(page, subjects);
    heading(page, "Side by side");
    points::write(page, subjects);
    heading(page, "Charts");
    figures(page, &gallery::of_points(subjects));
    for subject in subjects {
        heading(page, &format!("How {} was measured", subject.id));
        setup(page, subject);
    }
}

fn heading(page: &mut Html, text: &str) {
    let _: &mut Html = page.element("h2", &[], text);
}

/// Writes whom, when and how.
fn whereabouts(page: &mut Html, subject: &Subject) {
    let mut parts = vec![subject.target.clone()];
    parts.extend(subject.gpus.clone());
    parts.push(date(&subject.created));
    parts.push(format!("run {}", subject.id));
    parts.retain(|part| !part.is_empty());
    let _: &mut Html = page.element("p", &[("class", "where")], &parts.join(" · "));
}

/// Returns a date and time to the second, as people read it.
pub(crate) fn date(created: &str) -> String {
    let second = created.get(..19).filter(|_| created.ends_with('Z'));
    second.map_or_else(|| created.to_owned(), |text| text.replace('T', " ") + " UTC")
}

/// What a reader must not overlook, of whom it holds, and how it is said.
type Fact = (fn(&Subject) -> bool, &'static str);

/// Writes what a reader must not overlook.
fn banners(page: &mut Html, subjects: &[Subject]) {
    for fact in facts(subjects) {
        let _: &mut Html = page.element("div", &[("class", "banner")], &fact);
    }
}

/// Returns what a reader must not overlook.
pub(crate) fn facts(subjects: &[Subject]) -> Vec<String> {
    let facts: [Fact; 4] = [
        (|s| s.origin == Origin::Embedded, "The embedded engine was measured: no real server."),
        (|s| s.origin == Origin::Predicted, "A prediction: nothing was measured."),
        (
            |s| s.state == State::Partial,
            "Partial: the run did not come to its end; the figures are over its record.",
        ),
        (
            |s| s.verification == Verification::Off,
            "Insecure: the server's certificate was not checked.",
        ),
    ];
    let said = facts.iter().filter_map(|(holds, text)| {
        let concerned: Vec<_> = subjects.iter().filter(|subject| holds(subject)).collect();
        if concerned.is_empty() {
            return None;
        }
        let ids: Vec<_> = concerned.iter().map(|subject| subject.id.as_str()).collect();
        let whom = if ids.len() == subjects.len() {
            String::new()
        } else {
            format!(" ({})", ids.join(", "))
        };
        Some(format!("{text}{whom}"))
    });
    said.collect()
}

/// Writes charts, each twice: for wide pages and for narrow ones, so that text is never small.
fn figures(page: &mut Html, charts: &[Chart]) {
    let _: &mut Html = page.open("div", &[("class", "charts")]);
    for chart in charts {
        let (class, width) = match chart.span {
            Span::Full => ("full", FULL),
            Span::Half => ("half", HALF),
        };
        let _: &mut Html = page.open("figure", &[("class", class), ("id", chart.key)]);
        let _: &mut Html = page.open("figcaption", &[]).element("h3", &[], &chart.title);
        let _: &mut Html = page.element("p", &[], &chart.note).close("figcaption");
        for (class, width) in [("wide", width), ("narrow", NARROW)] {
            let _: &mut Html = page.open("div", &[("class", class)]);
            for part in &chart.parts {
                let _: &mut Html = page.piece(&svg::inline(&part.draw(width)));
            }
            let _: &mut Html = page.close("div");
        }
        let _: &mut Html = page.open("details", &[]).element("summary", &[], "Data");
        for (heads, rows) in chart.data() {
            table(page, &heads, &rows);
        }
        let _: &mut Html = page.close("details").close("figure");
    }
    let _: &mut Html = page.close("div");
}

/// Writes the parts of a point.
fn parts(page: &mut Html, point: &Point) {
    for kind in parts::kinds(point) {
        heading(page, &format!("By {}", kind.name));
        let rows: Vec<_> = kind.parts.iter().map(parts::row).collect();
        let is_result = |column| parts::is_result(point, column);
        struck_table(page, &parts::heads(kind.name), &rows, &is_result);
        let _: &mut Html = page.element("p", &[("class", "faint")], kind.note);
    }
}

/// Writes what each address took, where there were several.
fn addresses(page: &mut Html, point: &Point) {
    if point.addresses.is_empty() {
        return;
    }
    heading(page, "By address");
    table(page, &spread::heads(), &spread::rows(point));
    for warning in spread::warnings(point) {
        let _: &mut Html = page.open("p", &[]).element("strong", &[], warning).close("p");
    }
}

/// Writes a table of plain text.
fn table(page: &mut Html, heads: &[String], rows: &[Vec<String>]) {
    struck_table(page, heads, rows, &|_| true);
}

/// Writes a table in which the columns that are no result are struck out.
fn struck_table(
    page: &mut Html,
    heads: &[String],
    rows: &[Vec<String>],
    is_result: &dyn Fn(usize) -> bool,
) {
    let _: &mut Html = page.markup("<div class=\"scroll\"><table><thead><tr>");
    for head in heads {
        let _: &mut Html = page.element("th", &[], head);
    }
    let _: &mut Html = page.markup("</tr></thead><tbody>");
    for row in rows {
        let _: &mut Html = page.markup("<tr>");
        for (column, cell) in row.iter().enumerate() {
            if is_result(column) {
                let _: &mut Html = page.element("td", &[], cell);
            } else {
                let _: &mut Html = page.open("td", &[]).element("s", &[], cell).close("td");
            }
        }
        let _: &mut Html = page.markup("</tr>");
    }
    let _: &mut Html = page.markup("</tbody></table></div>");
}

/// Writes a name with its definition at hand.
fn defined(page: &mut Html, name: &str) {
    match definitions::of(name) {
        Some(definition) => {
            let title = format!("{}: {}", definition.long, definition.quote);
            let _: &mut Html = page.element("abbr", &[("title", &title)], name);
        }
        None => {
            let _: &mut Html = page.text(name);
        }
    }
}

/// Says why figures are struck out.
fn struck_out(page: &mut Html) {
    let _: &mut Html = page.markup("<p class=\"faint\">Struck out: ");
    defined(page, "saturated");
    let why = ". What waits grows for as long as one looks, so those latencies are no result.";
    let _: &mut Html = page.text(why).close("p");
}

/// Writes what was asked, where, and with what.
fn setup(page: &mut Html, subject: &Subject) {
    let tags = subject.tags.iter().map(|(key, value)| (format!("tag {key}"), value.clone()));
    let record =
        (!subject.record.is_empty()).then(|| ("record".to_owned(), subject.record.clone()));
    let began = date(&subject.created);
    let who = [("target", Some(&subject.target)), ("model", Some(&subject.model))];
    let who = who.into_iter().chain([
        ("server", subject.server.as_ref()),
        ("GPUs", subject.gpus.as_ref()),
        ("began", Some(&began)),
    ]);
    let who = who.filter_map(|(name, value)| Some((name.to_owned(), value?.clone())));
    let rows = who
        .chain(subject.asked.iter().cloned())
        .chain(subject.setup.iter().cloned())
        .chain(tags)
        .chain(record);
    let _: &mut Html = page.markup("<dl class=\"facts\">");
    for (name, value) in rows {
        let _: &mut Html = page.markup("<div>").element("dt", &[], &name);
        let _: &mut Html = page.element("dd", &[], &value).markup("</div>");
    }
    let _: &mut Html = page.markup("</dl>");
}

fn definitions(page: &mut Html) {
    let _: &mut Html = page.open("section", &[("class", "definitions")]);
    heading(page, "Definitions");
    let _: &mut Html = page.markup("<details><summary>What each figure means</summary><dl>");
    for definition in &definitions::ALL {
        let _: &mut Html = page.open("dt", &[]).text(definition.name).text(": ");
        let _: &mut Html = page.text(definition.long).close("dt");
        let _: &mut Html = page.element("dd", &[], definition.quote);
    }
    let _: &mut Html = page.markup("</dl></details></section>");
}

/// Writes a value and its interval, both in the same unit.
fn interval([low, high]: [f64; 2]) -> String {
    let mut text = String::new();
    write!(text, "{} to {}", figure(low), figure(high)).expect("a string takes any text");
    text
}

#[cfg(test)]
pub(crate) mod tests;
