//! Laws of rows: every figure is the one of `run.json`, and no text is a formula.

use infermark_measure::{ClientFigures, Energy, Gpu, ThreadFigures};
use serde_json::Value;

use super::*;
use crate::Place;
use crate::document::tests::subject;
use crate::markdown::markdown;
use crate::markdown::tests::a_run;
use crate::tests::Run;
use crate::workbook::{is_result, lines, xlsx};

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

/// Returns the key of every number in a point, and the number.
fn numbers(key: &str, value: &Value, found: &mut Vec<(String, f64)>) {
    let below = |part: &str| format!("{key}{}{part}", if key.is_empty() { "" } else { "." });
    match value {
        Value::Number(number) => found.push((key.to_owned(), number.as_f64().unwrap())),
        Value::Object(parts) => {
            parts.iter().for_each(|(part, value)| numbers(&below(part), value, found));
        }
        Value::Array(ends) if key.ends_with("ci95") => {
            numbers(&format!("{key}_low"), &ends[0], found);
            numbers(&format!("{key}_high"), &ends[1], found);
        }
        Value::Array(items) => {
            let each = items.iter().enumerate();
            each.for_each(|(index, value)| numbers(&below(&index.to_string()), value, found));
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[test]
fn every_number_of_a_point_stands_in_its_row() {
    let mut rich = a_run();
    let point = &mut rich.points[0];
    (point.turns, point.counts.sent_again) = (point.classes.clone(), 3);
    let gpu = |id: usize| Gpu {
        id: format!("GPU-{id}"),
        power_mean_watts: Some(600.0 + id as f64),
        ..Gpu::default()
    };
    point.gpus = (0..11).map(gpu).collect();
    point.energy =
        Some(Energy { joules: 1.5, joules_per_output_token: Some(0.25), idle_watts: Some(70.0) });
    let thread = ThreadFigures {
        busy_share: 0.25,
        spin_share: 0.125,
        queued_share: Some(0.5),
        reads: 77,
        reads_per_wait: Some(1.5),
    };
    point.client = Some(ClientFigures {
        threads: vec![thread, thread],
        connections_peak: 9,
        connections_opened: 10,
        room_files: Some(1000),
        room_ports: Some(28_000),
    });
    let mut expected = Vec::new();
    numbers("", &serde_json::to_value(&*point).unwrap(), &mut expected);
    let lines = records(&csv(std::slice::from_ref(&rich)));
    let cell = |key: &str| {
        let column = lines[0].iter().position(|other| other == key);
        lines[1][column.unwrap_or_else(|| panic!("no column {key}"))].parse().ok()
    };
    for (key, number) in &expected {
        assert_eq!(cell(key), Some(*number), "{key}");
    }
    for part in [
        "stimulus.",
        "client.",
        "gpus.10.",
        "classes.1.",
        "turns.0.",
        "addresses.1.",
        "server.",
        "energy.",
        "counts.sent_again",
        "tokens.per_chunk_mean",
        "slo.0.",
    ] {
        assert!(expected.iter().any(|(key, _)| key.starts_with(part)), "{part}");
    }
    let gpus: Vec<_> = lines[0].iter().filter(|key| key.ends_with(".power_mean_watts")).collect();
    assert_eq!((gpus[2].as_str(), gpus.len()), ("gpus.2.power_mean_watts", 11));
    // The columns that every report has are the first, and the same.
    let plain = records(&csv(&[subject(&Run::closed(40), "a")]));
    let fixed = WHO.len() + FIGURES.len() + LATENCIES.len() * STATISTICS.len();
    assert_eq!(plain[0][..fixed], lines[0][..fixed]);
}

#[test]
fn what_is_saturated_is_so_in_every_report() {
    let mut full = subject(&Run::open(400), "a");
    for (saturated, cell) in [(false, "false"), (true, "true")] {
        full.points[0].saturated = saturated;
        let all = std::slice::from_ref(&full);
        let lines = records(&csv(all));
        let column = lines[0].iter().position(|key| key == "saturated").unwrap();
        assert_eq!(lines[1][column], cell);
        assert_eq!(markdown(all).contains("~~"), saturated);
        assert_eq!(crate::html(all).contains("<s>"), saturated);
        let run = serde_json::to_value(&full.points[0]).unwrap();
        assert_eq!(run["saturated"].as_bool().unwrap_or(false), saturated);
    }
}

#[test]
fn a_workbooks_latencies_of_a_saturated_point_are_marked_and_struck_out() {
    let mut study = subject(&Run::open(400), "a");
    let floods = Point { saturated: true, ..study.points[0].clone() };
    study.points.push(floods);
    let all = lines(&rows(std::slice::from_ref(&study)));
    let said: Vec<_> = all
        .iter()
        .map(|line| {
            let [_, _, _, Cell::Text(figure), Cell::Text(saturated)] = &line.head else {
                panic!("{:?}", line.head)
            };
            assert!(line.statistics[0].1, "how many there were is so in any case");
            (figure.as_str(), saturated.as_str(), line.statistics[1].1)
        })
        .collect();
    for figure in ["ttft_ms", "tpot_ms", "itl_ms", "e2e_ms"] {
        assert!(said.contains(&(figure, "false", true)), "{figure}: {said:?}");
        assert!(said.contains(&(figure, "true", false)), "{figure}: {said:?}");
    }
    assert!(said.contains(&("lag_ms", "true", true)), "the client's own lateness: {said:?}");
    assert_eq!(all[0].statistics.len(), STATISTICS.len());
}

#[test]
fn a_workbooks_latencies_of_a_saturated_points_parts_are_struck_out() {
    let mut parted = a_run();
    parted.points[0].turns = parted.points[0].classes.clone();
    for saturated in [false, true] {
        parted.points[0].saturated = saturated;
        let rows = rows(std::slice::from_ref(&parted));
        let columns = others(&rows);
        let struck: Vec<_> = columns
            .iter()
            .map(|(key, _)| key)
            .filter(|key| !is_result(&rows[0].figures, key))
            .collect();
        if !saturated {
            assert!(struck.is_empty(), "{struck:?}");
            continue;
        }
        for part in ["classes.0", "classes.1", "turns.0"] {
            for figure in ["ttft_ms.p50", "tpot_ms.mean", "e2e_ms.max", "e2e_ms.mean_ci95_low"] {
                let key = format!("{part}.latency.{figure}");
                assert!(struck.contains(&&key), "{key} is not among {struck:?}");
            }
        }
        assert!(struck.iter().all(|key| key.contains(".latency.")), "{struck:?}");
        let is_no_latency =
            |key: &str| key.contains(".lag_ms.") || key.rsplit('.').next() == Some("n");
        assert!(!struck.iter().any(|key| is_no_latency(key)), "{struck:?}");
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
    assert!(page.contains("| idle | TTFT |") && page.contains("full"), "{page}");
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
