//! A report as an Excel workbook: three sheets of real numbers, which formulas can work with.
//!
//! # Invariant
//!
//! The same subjects make the same bytes: the workbook bears the instant of the first run, not
//! that of its writing.

use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, Workbook, Worksheet};

use crate::document::title;
use crate::ledger::{Cell, FIGURES, Figures, Kind, LATENCIES, Row, STATISTICS, WHO};
use crate::ledger::{harmless, others, rows};
use crate::subject::{Subject, names};

/// The most columns of a sheet (Excel's own limit). Thousands of classes and GPUs are in the CSV.
const COLUMNS_MAX: usize = 16_384;

/// Why writing does not fail: sheets have room for a million rows, cells for 32,767 characters.
const ROOM: &str = "rows are few and texts are short";

/// Returns the report on these subjects as an Excel workbook. Its sheets are `summary` (whom,
/// where and how, one column a run), `points` (one row a point) and `latency` (one row for each
/// point and figure, in milliseconds). Latencies are struck out where the point is saturated, as
/// a column of either sheet says.
///
/// # Panics
///
/// Never: what is written has room in a sheet.
pub fn xlsx(subjects: &[Subject]) -> Vec<u8> {
    let mut book = Workbook::new();
    let created = subjects.first().map(|subject| subject.created.trim_end_matches('Z'));
    let created = created.and_then(|text| ExcelDateTime::parse_from_str(text).ok());
    let fallback = || ExcelDateTime::from_ymd(2000, 1, 1).expect("there was that day");
    let named = DocProperties::new().set_title(harmless(&title(subjects)));
    let _: &mut Workbook =
        book.set_properties(&named.set_creation_datetime(&created.unwrap_or_else(fallback)));
    let formats = Formats::of(&Format::new());
    summary(book.add_worksheet(), subjects, &formats);
    let rows = rows(subjects);
    points(book.add_worksheet(), &rows, &formats);
    latency(book.add_worksheet(), &rows, &formats);
    book.save_to_buffer().expect("memory takes every workbook")
}

/// How cells are shown.
struct Formats {
    head: Format,
    count: Format,
    figure: Format,
    share: Format,
    money: Format,
}

impl Formats {
    fn of(base: &Format) -> Self {
        let number = |format: &str| base.clone().set_num_format(format);
        Self {
            head: base.clone().set_bold(),
            count: number("#,##0"),
            figure: number("#,##0.000"),
            share: number("0.00%"),
            money: number("#,##0.0000"),
        }
    }
}

/// Writes a cell; text never as a formula.
fn put(sheet: &mut Worksheet, row: u32, column: u16, cell: &Cell, formats: &Formats) {
    let written = match cell {
        Cell::Absent => return,
        Cell::Text(text) => sheet.write_string(row, column, harmless(text)),
        Cell::Count(n) => sheet.write_number_with_format(row, column, *n as f64, &formats.count),
        Cell::Figure(v) => sheet.write_number_with_format(row, column, *v, &formats.figure),
        Cell::Share(v) => sheet.write_number_with_format(row, column, *v, &formats.share),
        Cell::Money(v) => sheet.write_number_with_format(row, column, *v, &formats.money),
    };
    let _: &mut Worksheet = written.expect(ROOM);
}

/// Names a sheet, and writes its headings, which stay in sight.
fn begin<'a>(
    sheet: &mut Worksheet,
    name: &str,
    heads: impl IntoIterator<Item = &'a str>,
    formats: &Formats,
) {
    let _: &mut Worksheet = sheet.set_name(name).expect("a name of ours");
    for (column, head) in (0..).zip(heads) {
        let written = sheet.write_string_with_format(0, column, head, &formats.head);
        let _: &mut Worksheet = written.expect(ROOM);
    }
    let _: &mut Worksheet = sheet.set_freeze_panes(1, 1).expect(ROOM);
}

fn summary(sheet: &mut Worksheet, subjects: &[Subject], formats: &Formats) {
    let names: Vec<_> = names(subjects).iter().map(|name| harmless(name)).collect();
    begin(sheet, "summary", std::iter::once("").chain(names.iter().map(String::as_str)), formats);
    let mut keys: Vec<String> = Vec::new();
    for (column, subject) in (1..).zip(subjects) {
        for (key, value) in facts(subject) {
            let place = keys.iter().position(|other| *other == key).unwrap_or_else(|| {
                keys.push(key.clone());
                keys.len() - 1
            });
            put(sheet, place as u32 + 1, column, &value, formats);
        }
    }
    for (row, key) in (1..).zip(keys) {
        put(sheet, row, 0, &Cell::Text(key), formats);
    }
    let _: &mut Worksheet = sheet.autofit();
}

/// Returns what is to be known of a subject beside its figures.
pub(crate) fn facts(subject: &Subject) -> Vec<(String, Cell)> {
    let text = |key: &str, value: &str| (key.to_owned(), Cell::Text(value.to_owned()));
    let optional = |value: &Option<String>| value.clone().unwrap_or_default();
    let mut facts = vec![
        text("run", &subject.id),
        text("created", &subject.created),
        text("target", &subject.target),
        text("model", &subject.model),
        text("server", &optional(&subject.server)),
        text("GPUs", &optional(&subject.gpus)),
        ("points".to_owned(), Cell::Count(subject.points.len() as u64)),
    ];
    // Several lines may stand under one name.
    for group in subject.findings.chunk_by(|one, other| one.0 == other.0) {
        let lines: Vec<_> = group.iter().map(|(_, line)| line.as_str()).collect();
        facts.push(text(&group[0].0, &lines.join("; ")));
    }
    let more = subject.asked.iter().chain(&subject.setup);
    facts.extend(more.map(|(key, value)| text(key, value)));
    facts.extend(subject.tags.iter().map(|(key, value)| text(&format!("tag {key}"), value)));
    facts.push(text("record", &subject.record));
    facts
}

fn points(sheet: &mut Worksheet, rows: &[Row], formats: &Formats) {
    let figures = FIGURES.iter().map(|(key, kind)| ((*key).to_owned(), *kind));
    let columns: Vec<_> = figures.chain(others(rows)).take(COLUMNS_MAX - WHO.len()).collect();
    let keys = columns.iter().map(|(key, _)| key.as_str());
    begin(sheet, "points", WHO.into_iter().chain(keys), formats);
    let struck = struck_out();
    for (place, Row { who, figures }) in (1..).zip(rows) {
        for (column, cell) in (0..).zip(who) {
            put(sheet, place, column, cell, formats);
        }
        for (column, (key, kind)) in (WHO.len() as u16..).zip(&columns) {
            let formats = if is_result(figures, key) { formats } else { &struck };
            put(sheet, place, column, &figures.cell(key, *kind), formats);
        }
    }
    let _: &mut Worksheet = sheet.autofit();
}

/// Returns how latencies that are no results are shown.
fn struck_out() -> Formats {
    Formats::of(&Format::new().set_font_strikethrough())
}

fn latency(sheet: &mut Worksheet, rows: &[Row], formats: &Formats) {
    let keys = HEAD.into_iter().chain(STATISTICS.iter().map(|(key, _)| *key));
    begin(sheet, "latency", keys, formats);
    let struck = struck_out();
    for (place, Line { head, statistics }) in (1..).zip(lines(rows)) {
        for (column, cell) in (0..).zip(&head) {
            put(sheet, place, column, cell, formats);
        }
        for (column, (cell, is_result)) in (HEAD.len() as u16..).zip(&statistics) {
            let formats = if *is_result { formats } else { &struck };
            put(sheet, place, column, cell, formats);
        }
    }
    let _: &mut Worksheet = sheet.autofit();
}

/// What stands before the statistics of a latency.
const HEAD: [&str; 5] = ["run", "name", "point", "figure", "saturated"];

/// Says whether a figure of a point, or of one of its parts, is a result. Latencies of a saturated
/// point say how long one looked, and are none: but the generator's own lateness is one under any
/// load, and how many there were is so in any case.
pub(crate) fn is_result(figures: &Figures, key: &str) -> bool {
    let is_latency = key.starts_with("latency.") || key.contains(".latency.");
    let is_own = key.contains("latency.lag_ms.");
    let is_count = key.rsplit('.').next() == Some("n");
    let saturated = || figures.cell("saturated", Kind::Word) == Cell::Text(true.to_string());
    !is_latency || is_own || is_count || !saturated()
}

/// A latency of a point.
pub(crate) struct Line {
    /// Cells of [`HEAD`].
    pub(crate) head: [Cell; HEAD.len()],
    /// Cells of [`STATISTICS`], and whether each is a result.
    pub(crate) statistics: Vec<(Cell, bool)>,
}

/// Returns the latencies that were observed.
pub(crate) fn lines(rows: &[Row]) -> Vec<Line> {
    let mut lines = Vec::new();
    for Row { who, figures } in rows {
        let saturated = figures.cell("saturated", Kind::Word);
        for name in LATENCIES {
            let cell = |(key, kind): &(&str, _)| {
                let key = format!("{name}.{key}");
                (figures.cell(&key, *kind), is_result(figures, &key))
            };
            let statistics: Vec<_> = STATISTICS.iter().map(cell).collect();
            if statistics[0].0 == Cell::Absent {
                continue;
            }
            let figure = Cell::Text(name.trim_start_matches("latency.").to_owned());
            let [run, called, point] = [0, 1, 2].map(|column: usize| who[column].clone());
            lines.push(Line { head: [run, called, point, figure, saturated.clone()], statistics });
        }
    }
    lines
}
