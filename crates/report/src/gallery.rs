//! The charts of a report: which there are, and what they show.

mod course;
mod latency;
mod series;

use infermark_measure::{Details, Point};

use crate::chart::{Draw, Picture, png, svg};
use crate::document;
use crate::subject::{Load, Subject, series};

/// How much of a page's width a chart takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    Half,
    Full,
}

/// Headings, and rows of as many cells.
type Table = (Vec<String>, Vec<Vec<String>>);

/// One chart of a report.
pub(crate) struct Chart {
    /// Its name as a file.
    pub(crate) key: &'static str,
    pub(crate) title: String,
    /// How to read it.
    pub(crate) note: String,
    pub(crate) span: Span,
    pub(crate) parts: Vec<Box<dyn Draw>>,
}

impl Chart {
    fn new(key: &'static str, title: &str, note: &str, draw: impl Draw + 'static) -> Self {
        let (title, note) = (title.to_owned(), note.to_owned());
        Self { key, title, note, span: Span::Half, parts: vec![Box::new(draw)] }
    }

    /// Gives it the whole width.
    fn full(self) -> Self {
        Self { span: Span::Full, ..self }
    }

    /// Returns its data; parts over the same places share a table.
    pub(crate) fn data(&self) -> Vec<Table> {
        let mut tables: Vec<Table> = Vec::new();
        for (heads, rows) in self.parts.iter().map(|part| part.data()) {
            let first = |rows: &[Vec<String>]| -> Vec<String> {
                rows.iter().filter_map(|row| row.first().cloned()).collect()
            };
            match tables.last_mut().filter(|last| first(&last.1) == first(&rows)) {
                Some((all, lines)) => {
                    // Of panels over one axis only the last says what that is.
                    all[0].clone_from(&heads[0]);
                    all.extend(heads.into_iter().skip(1));
                    for (line, row) in lines.iter_mut().zip(rows) {
                        line.extend(row.into_iter().skip(1));
                    }
                }
                None => tables.push((heads, rows)),
            }
        }
        tables
    }

    /// Draws it as one picture, its parts one below another.
    pub(crate) fn draw(&self, width: f64) -> Picture {
        let mut whole = Picture::new(width, 0.0, &self.title);
        for part in &self.parts {
            let part = part.draw(width);
            let height = part.height;
            let place = [0.0, whole.height];
            whole.place(part, place);
            whole.height += height;
        }
        whole
    }
}

/// Returns the charts of one operating point whose rows were read.
pub(crate) fn of_run(point: &Point, details: &Details) -> Vec<Chart> {
    let mut charts = latency::charts(point, details);
    charts.extend(course::charts(point, details));
    charts
}

/// Returns the charts of several operating points: of a study, or of several runs.
pub(crate) fn of_points(subjects: &[Subject]) -> Vec<Chart> {
    let load = Load::of(subjects);
    series::charts(&series(subjects, load), load)
}

/// Returns the charts of a report on these subjects, as SVG files: names and contents. The first
/// shows all of them.
pub fn svg_files(subjects: &[Subject]) -> Vec<(String, String)> {
    let files = pictures(subjects).into_iter();
    files.map(|(name, picture)| (name.to_owned(), svg::file(&picture))).collect()
}

/// Returns the same charts as PNG files.
pub fn png_files(subjects: &[Subject]) -> Vec<(String, Vec<u8>)> {
    let files = pictures(subjects).into_iter();
    files.map(|(name, picture)| (name.to_owned(), png::file(&picture))).collect()
}

/// Returns the charts of a report on these subjects, drawn as files.
fn pictures(subjects: &[Subject]) -> Vec<(&'static str, Picture)> {
    const WIDTH: f64 = 760.0;
    let charts = match subjects {
        [Subject { points, details: Some(details), .. }] if points.len() == 1 => {
            of_run(&points[0], details)
        }
        _ => of_points(subjects),
    };
    let board = dashboard(&document::title(subjects), &charts);
    let each = charts.iter().map(|chart| {
        let mut titled = Picture::new(WIDTH, 40.0, &chart.title);
        titled.heading([10.0, 24.0], &chart.title, 16.0);
        let picture = chart.draw(WIDTH - 20.0);
        titled.height += picture.height + 8.0;
        titled.place(picture, [10.0, 40.0]);
        (chart.key, titled)
    });
    std::iter::once(("dashboard", board)).chain(each).collect()
}

/// Puts charts side by side under one heading.
fn dashboard(title: &str, charts: &[Chart]) -> Picture {
    const WIDTH: f64 = 1160.0;
    const MARGIN: f64 = 24.0;
    let column = (WIDTH - 3.0 * MARGIN) / 2.0;
    let mut board = Picture::new(WIDTH, 0.0, title);
    board.heading([MARGIN, 36.0], title, 20.0);
    let (mut heights, mut next) = ([64.0_f64; 2], 0);
    for chart in charts {
        let width = if chart.span == Span::Full { WIDTH - 2.0 * MARGIN } else { column };
        let picture = chart.draw(width);
        if chart.span == Span::Full {
            next = 0;
            heights = [heights[0].max(heights[1]); 2];
        }
        let (x, y) = (MARGIN + next as f64 * (column + MARGIN), heights[next]);
        board.heading([x, y + 8.0], &chart.title, 14.0);
        let below = y + 20.0 + picture.height + 28.0;
        board.place(picture, [x, y + 20.0]);
        heights[next] = below;
        if chart.span == Span::Full {
            heights = [below; 2];
        } else {
            next = 1 - next;
        }
    }
    board.height = heights[0].max(heights[1]);
    board
}
