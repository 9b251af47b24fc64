//! GuideLLM's `benchmarks.json`, version 2 of the report (GuideLLM 0.7 and 0.8).
//!
//! What is written is what GuideLLM itself loads: every key that it insists on is there. Figures of
//! requests that failed are left empty, where GuideLLM would count a time of 0.

mod write;

pub(crate) use write::write;

use serde_json::Value;

use crate::PeersError;
use crate::import::{Import, Origin, number, stats, text};
use crate::point::{Counts, Point, Unit};
use crate::record::Load;

/// The distributions, with infermark's key where the definition is the same.
const FIGURES: [(&str, Option<&str>, Unit); 8] = [
    ("request_latency", None, Unit::Seconds),
    ("time_to_first_token_ms", Some("service_ttft_ms"), Unit::Milliseconds),
    ("time_to_first_output_token_ms", None, Unit::Milliseconds),
    ("time_per_output_token_ms", None, Unit::Milliseconds),
    ("inter_token_latency_ms", None, Unit::Milliseconds),
    ("prompt_token_count", None, Unit::Tokens),
    ("output_token_count", None, Unit::Tokens),
    ("total_token_count", None, Unit::Tokens),
];

/// The rates, of which the mean over time is kept.
const RATES: [(&str, &str); 4] = [
    ("requests_per_second", "requests_per_s"),
    ("prompt_tokens_per_second", "input_tokens_per_s"),
    ("output_tokens_per_second", "output_tokens_per_s"),
    ("tokens_per_second", "total_tokens_per_s"),
];

/// Reads a report: a point for each benchmark.
pub(crate) fn read(report: &Value) -> Result<Import, PeersError> {
    let missing = || PeersError::Missing { peer: "guidellm", key: "benchmarks".to_owned() };
    let benchmarks = report["benchmarks"].as_array().ok_or_else(missing)?;
    let first = benchmarks.first().unwrap_or(&Value::Null);
    let backend = &first["config"]["backend"];
    let begin = number(&first["start_time"]);
    let begin = begin.and_then(|s| jiff::Timestamp::from_millisecond((s * 1000.0) as i64).ok());
    Ok(Import {
        version: text(&report["metadata"]["guidellm_version"]),
        created: begin.map(|begin| begin.to_string()),
        url: text(&backend["target"]),
        model: text(&backend["model"]),
        points: benchmarks.iter().map(point).collect(),
        ..Import::new(Origin::Guidellm)
    })
}

fn point(benchmark: &Value) -> Point {
    let strategy = &benchmark["config"]["strategy"];
    let (metrics, kind) = (&benchmark["metrics"], text(&strategy["type_"]).unwrap_or_default());
    let rate = number(&strategy["rate"]);
    let slots = match kind.as_str() {
        "synchronous" => Some(1),
        _ => strategy["streams"].as_u64().or_else(|| strategy["max_concurrency"].as_u64()),
    };
    let level = rate.or(slots.map(|slots| slots as f64));
    let totals = &metrics["request_totals"];
    let mut point = Point {
        label: level.map_or_else(|| kind.clone(), |level| format!("{kind}@{level}")),
        load: Load {
            concurrency: slots.map(|slots| slots as u32),
            rate,
            burstiness: (kind == "poisson").then_some(1.0),
        },
        duration_s: number(&benchmark["duration"]),
        counts: Counts {
            completed: totals["successful"].as_u64(),
            failed: totals["errored"].as_u64(),
            incomplete: totals["incomplete"].as_u64(),
        },
        ..Point::default()
    };
    for (name, key) in RATES {
        point.push_rate(name, Some(key), number(&metrics[name]["successful"]["mean"]));
    }
    for (name, key, unit) in FIGURES {
        let said = stats(&metrics[name]["successful"]);
        // Of no observations GuideLLM says 0 throughout.
        let said = said.filter(|stats| stats.count != Some(0));
        point.push_figure(name, key, unit, said);
    }
    point
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{assert_same, record};
    use crate::view::View;

    #[test]
    fn guidellms_own_report_is_read() {
        let bytes = include_bytes!("../testdata/guidellm/benchmarks.json");
        let read = crate::import(bytes).unwrap();
        assert_eq!((read.origin, read.version.as_deref()), (Origin::Guidellm, Some("0.8.1")));
        assert_eq!(read.model.as_deref(), Some("org/tiny"));
        let labels: Vec<_> = read.points.iter().map(|point| point.label.as_str()).collect();
        assert_eq!(labels, ["concurrent@1", "concurrent@4"]);
        let file: Value = serde_json::from_slice(bytes).unwrap();
        let point = &read.points[1];
        let counts = Counts { completed: Some(7), failed: Some(1), incomplete: Some(0) };
        assert_eq!(point.counts, counts);
        let said = &file["benchmarks"][1]["metrics"]["time_to_first_token_ms"]["successful"];
        let ttft = &point.to_json()["latency"]["service_ttft_ms"];
        assert_eq!((&ttft["mean"], &ttft["p999"]), (&said["mean"], &said["percentiles"]["p999"]));
        let tpot = point.figure("time_per_output_token_ms").unwrap();
        assert_eq!(tpot.key, None, "it includes the first token");
    }

    /// GuideLLM's requests, as it stored them, lead to GuideLLM's figures.
    #[test]
    fn the_view_computes_guidellms_own_figures_from_its_requests() {
        let bytes = include_bytes!("../testdata/guidellm/benchmarks.json");
        let file: Value = serde_json::from_slice(bytes).unwrap();
        for benchmark in file["benchmarks"].as_array().unwrap() {
            let requests = benchmark["requests"]["successful"].as_array().unwrap();
            let record = crate::Record {
                facts: crate::Facts::default(),
                requests: requests.iter().map(request).collect(),
            };
            let view = View::Guidellm.measure(&record);
            for (name, ..) in FIGURES {
                let (said, found) = (
                    stats(&benchmark["metrics"][name]["successful"]).unwrap(),
                    &view.figure(name).unwrap().stats,
                );
                let pairs = [(said.mean, found.mean), (said.std, found.std), (said.max, found.max)];
                let percentiles = said.percentiles.iter();
                let percentiles = percentiles.map(|(p, v)| (Some(*v), found.percentile(*p)));
                for (said, found) in pairs.into_iter().chain(percentiles) {
                    let (said, found) = (said.unwrap(), found.unwrap());
                    assert!((said - found).abs() < 1e-6 * said.max(1.0), "{name}: {found}, {said}");
                }
            }
        }
    }

    fn request(said: &Value) -> crate::Request {
        let timings = &said["info"]["timings"];
        let at = |key: &str| timings[key].as_f64().unwrap();
        crate::Request {
            due: at("targeted_start"),
            start: at("request_start"),
            first: Some(at("first_token_iteration")),
            first_answer: Some(at("first_output_token_iteration")),
            last: Some(at("last_token_iteration")),
            end: at("request_end"),
            gaps: Vec::new(),
            chunks: 1,
            input: said["prompt_tokens"].as_u64().unwrap(),
            output: said["output_tokens"].as_u64().unwrap(),
            fate: crate::Fate::Answered,
        }
    }

    #[test]
    fn a_report_reads_back_as_the_view_of_its_record() {
        let read = crate::import(&write(&record())).unwrap();
        assert_eq!((read.origin, read.points.len()), (Origin::Guidellm, 1));
        assert_eq!(read.model.as_deref(), Some("org/tiny"));
        let view = View::Guidellm.measure(&record());
        assert_same(&read.points[0], &view);
        assert_eq!((read.points[0].counts, read.points[0].load), (view.counts, view.load));
        assert_eq!(read.points[0].figures.len(), FIGURES.len());
    }
}
