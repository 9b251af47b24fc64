//! Laws of rows: every figure is the one of `run.json`, and no text is a formula.

use serde_json::Value;

use super::*;
use crate::Place;
use crate::document::tests::subject;
use crate::markdown::markdown;
use crate::tests::Run;
use crate::workbook::xlsx;

fn records(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let record = |record: Result<csv::StringRecord, csv::Error>| {
        record.unwrap().iter().map(str::to_owned).collect()
    };
    reader.records().map(record).collect()
}

/// Finds a figure in a point as it stands in `run.json`.
fn found<'a>(point: &'a Value, key: &str) -> &'a Value {
    let (key, end) = match (key.strip_suffix("_low"), key.strip_suffix("_high")) {
        (Some(key), _) => (key, Some(0)),
        (_, Some(key)) => (key, Some(1)),
        _ => (key, None),
    };
    let value = key.split('.').fold(point, |value, part| &value[part]);
    end.map_or(value, |end| &value[end])
}

#[test]
fn every_column_is_the_figure_that_its_key_names() {
    for run in [Run::open(1200), Run::closed(40), Run::open(0)] {
        let subject = subject(&run, "a");
        let point = serde_json::to_value(&subject.points[0]).unwrap();
        let lines = records(&csv(std::slice::from_ref(&subject)));
        assert_eq!((lines.len(), lines[0].len()), (2, lines[1].len()));
        let mut figures = 0;
        for (key, cell) in lines[0].iter().zip(&lines[1]).skip(WHO.len()) {
            match found(&point, key) {
                Value::Null if key == "saturated" => assert_eq!(cell, "false"),
                Value::Null => assert_eq!(cell, "", "{key}"),
                Value::Number(number) => {
                    assert_eq!(number.as_f64(), cell.parse().ok(), "{key}");
                    figures += 1;
                }
                Value::Array(caveats) => {
                    let codes: Vec<_> =
                        caveats.iter().map(|c| c["code"].as_str().unwrap()).collect();
                    assert_eq!(*cell, codes.join(" "), "{key}");
                }
                other @ (Value::Bool(_) | Value::String(_) | Value::Object(_)) => {
                    assert_eq!(*cell, other.to_string().trim_matches('"'), "{key}");
                }
            }
        }
        assert!(figures > 10, "{figures}");
    }
}

#[test]
fn no_text_is_a_formula_and_no_text_breaks_a_row() {
    let mut hostile = subject(&Run::open(40), "a");
    hostile.model = "=cmd|' /C calc'!A1".to_owned();
    hostile.target = "a\",\nb".to_owned();
    let lines = records(&csv(&[hostile]));
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1][4..6], ["a\", b", "'=cmd|' /C calc'!A1"]);
}

#[test]
fn a_study_is_a_row_for_each_point_under_its_label() {
    let one = subject(&Run::closed(40), "a");
    let points = vec![one.points[0].clone(), one.points[0].clone()];
    let place = |label: &str| Place { label: label.to_owned(), ..Place::default() };
    let places = vec![place("idle"), place("full")];
    let study = Subject { points, places, details: None, ..one };
    let lines = records(&csv(std::slice::from_ref(&study)));
    let labels: Vec<_> = lines[1..].iter().map(|line| line[2].as_str()).collect();
    assert_eq!(labels, ["idle", "full"]);
    let page = markdown(&[study]);
    assert!(page.contains("| idle | TTFT |") && page.contains("- a, full: "), "{page}");
}

#[test]
fn a_workbook_is_a_function_of_its_subjects() {
    let subjects = [subject(&Run::open(200), "a"), subject(&Run::closed(40), "b")];
    let book = xlsx(&subjects);
    // A container of the ZIP kind (APPNOTE.TXT, 4.3.7).
    assert!(book.starts_with(b"PK\x03\x04"));
    assert_eq!(book, xlsx(&subjects));
    assert_ne!(book, xlsx(&subjects[..1]));
}
