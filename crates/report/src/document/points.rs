//! The table of operating points: one line each, under two rows of headings, so that it fits the
//! page.

use super::{Html, Load, Subject, defined, series};
use crate::figure::ABSENT;
use crate::points::{Column, Kind, are_single, columns};
use crate::subject::{Placed, Series};

/// Writes a line for each point.
pub(super) fn write(page: &mut Html, subjects: &[Subject]) {
    let load = Load::of(subjects);
    let (columns, series) = (columns(subjects), series(subjects, load));
    let named = series.len() > 1 && are_single(&series);
    let _: &mut Html = page.markup("<div class=\"scroll\"><table class=\"points\">");
    heads(page, &columns, load.title(), if named { 2 } else { 1 });
    let _: &mut Html = page.markup("<tbody>");
    for one in &series {
        if series.len() > 1 && !named {
            let span = (columns.len() + 1).to_string();
            let _: &mut Html = page.markup("<tr class=\"curve\">");
            let _: &mut Html = page.element("th", &[("colspan", &span)], &one.name).close("tr");
        }
        for placed in &one.points {
            line(page, &columns, placed, named.then_some(one));
        }
    }
    let _: &mut Html = page.markup("</tbody></table></div>");
    if series.iter().any(|one| one.points.iter().any(|placed| placed.point.saturated)) {
        super::struck_out(page);
    }
}

/// Writes the headings: figures over their statistics.
fn heads(page: &mut Html, columns: &[Column], load: &str, words: usize) {
    let _: &mut Html = page.markup("<thead><tr>");
    for word in [load, ""].iter().take(words).rev() {
        let _: &mut Html = page.open("th", &[("rowspan", "2")]).text(word).close("th");
    }
    for group in columns.chunk_by(|one, other| is_grouped(one) && one.figure == other.figure) {
        if is_grouped(&group[0]) {
            let span = group.len().to_string();
            let _: &mut Html = page.open("th", &[("colspan", &span)]);
            defined(page, group[0].figure);
            let _: &mut Html = page.text(", ms").close("th");
        } else {
            let _: &mut Html = page.open("th", &[("rowspan", "2")]);
            defined(page, group[0].name);
            let _: &mut Html = page.close("th");
        }
    }
    let _: &mut Html = page.markup("</tr><tr>");
    for column in columns.iter().filter(|column| is_grouped(column)) {
        let _: &mut Html = page.element("th", &[], column.name);
    }
    let _: &mut Html = page.markup("</tr></thead>");
}

fn is_grouped(column: &Column) -> bool {
    !column.figure.is_empty()
}

fn line(page: &mut Html, columns: &[Column], placed: &Placed<'_>, named: Option<&Series<'_>>) {
    let point = placed.point;
    let _: &mut Html = page.markup("<tr>");
    if let Some(series) = named {
        let _: &mut Html = page.element("td", &[("class", "words")], &series.name);
    }
    let _: &mut Html = page.markup("<td>").text(&placed.label());
    let mark = placed.place.map(|place| place.mark.as_str()).filter(|mark| !mark.is_empty());
    for mark in mark.into_iter().chain(point.saturated.then_some("saturated")) {
        let _: &mut Html = page.text(" ").element("small", &[("class", "mark")], mark);
    }
    let _: &mut Html = page.markup("</td>");
    for column in columns {
        let cell = column.cell(point);
        let word = cell.as_deref().unwrap_or(ABSENT);
        match column.kind {
            Kind::Latency if point.saturated && cell.is_some() => {
                let _: &mut Html = page.markup("<td>").element("s", &[], word).markup("</td>");
            }
            Kind::Word => {
                let _: &mut Html = page.markup("<td>").element("span", &[("class", word)], word);
                let _: &mut Html = page.markup("</td>");
            }
            Kind::Latency | Kind::Level => {
                let _: &mut Html = page.element("td", &[], word);
            }
        }
    }
    let _: &mut Html = page.markup("</tr>");
}
