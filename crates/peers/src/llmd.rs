//! llm-d's Benchmark Report v0.2 (`analysis/benchmark_report/schema_v0_2.py`).
//!
//! Written as JSON, which every reader of YAML reads. The schema wants what a benchmark cannot know
//! of a server (its accelerators, its arguments), so the report has no stack.

use serde_json::{Map, Value, json};

use crate::PeersError;
use crate::import::{Import, Origin, number, stats, text};
use crate::point::{Counts, Point, Unit};
use crate::record::{Fate, Load, Record};
use crate::stats::{Rule, Stats};
use crate::view::View;

const PERCENTAGES: [f64; 11] = [0.1, 1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9];

/// The distributions, as inference-perf, whose definitions the report takes, names them; with the
/// report's unit and infermark's key.
const LATENCIES: [(&str, &str, Option<&str>); 5] = [
    ("time_to_first_token", "s", Some("service_ttft_ms")),
    ("normalized_time_per_output_token", "s/token", None),
    ("time_per_output_token", "s/token", Some("tpot_ms")),
    ("inter_token_latency", "s/token", None),
    ("request_latency", "s", None),
];

/// The rates: the report's name, inference-perf's, infermark's.
const RATES: [(&str, &str, &str); 4] = [
    ("input_token_rate", "input_tokens_per_sec", "input_tokens_per_s"),
    ("output_token_rate", "output_tokens_per_sec", "output_tokens_per_s"),
    ("total_token_rate", "total_tokens_per_sec", "total_tokens_per_s"),
    ("request_rate", "requests_per_sec", "requests_per_s"),
];

/// Writes the report of a record.
///
/// # Errors
///
/// [`PeersError::Nothing`] if no request was answered: every statistic there has a mean.
pub(crate) fn write(record: &Record) -> Result<Vec<u8>, PeersError> {
    let point = View::InferencePerf.measure(record);
    let lengths = |of: fn(&crate::Request) -> u64| {
        let lengths: Vec<_> = record.answered().map(|request| of(request) as f64).collect();
        let stats = Stats::of(&lengths, Rule::Linear, &PERCENTAGES);
        stats.ok_or(PeersError::Nothing { peer: "llm-d" })
    };
    let (input, output) = (lengths(|request| request.input)?, lengths(|request| request.output)?);
    let mut latency = Map::new();
    for (name, unit, _) in LATENCIES {
        let described = point.figure(name).map(|figure| statistics(&figure.stats, unit));
        latency.extend(described.map(|described| (name.to_owned(), described)));
    }
    let mut throughput = Map::new();
    for (name, own, _) in RATES {
        let unit = if name == "request_rate" { "queries/s" } else { "tokens/s" };
        let said = point.rate(own).map(|value| json!({ "units": unit, "mean": value }));
        throughput.extend(said.map(|said| (name.to_owned(), said)));
    }
    let facts = &record.facts;
    let begin = facts.created.parse::<jiff::Timestamp>().unwrap_or_default();
    let at = |seconds: f64| (begin + jiff::SignedDuration::from_secs_f64(seconds)).to_string();
    let start = record.requests.iter().map(|request| request.start).fold(f64::MAX, f64::min);
    let Load { concurrency, rate, .. } = facts.load;
    let mut load = json!({
        "tool": "infermark",
        "tool_version": facts.version,
        "source": "unknown",
        "input_seq_len": { "distribution": "other", "value": input.mean },
        "output_seq_len": { "distribution": "other", "value": output.mean },
    });
    if let Some(rate) = rate {
        load["rate_qps"] = rate.into();
    }
    if let Some(slots) = concurrency {
        load["concurrency"] = slots.into();
    }
    let report = json!({
        "version": "0.2",
        "run": {
            "uid": facts.id,
            "time": {
                "start": at(start),
                "end": at(start + record.duration()),
                "duration": format!("PT{}S", record.duration()),
            },
        },
        "scenario": {
            "load": {
                "metadata": { "schema_version": "0.0.1" },
                "standardized": load,
                "native": { "config": { "target": facts.url, "model": facts.model } },
            },
        },
        "results": { "request_performance": { "aggregate": {
            "requests": {
                "total": record.requests.len(),
                "failures": record.count(|fate| matches!(fate, Fate::Failed(_))),
                "incomplete": record.count(|fate| *fate == Fate::Cut),
                "input_length": statistics(&input, "count"),
                "output_length": statistics(&output, "count"),
            },
            "latency": latency,
            "throughput": throughput,
        } } },
    });
    Ok(report.to_string().into_bytes())
}

fn statistics(stats: &Stats, unit: &str) -> Value {
    let mut map = Map::new();
    let known =
        [("mean", stats.mean), ("stddev", stats.std), ("min", stats.min), ("max", stats.max)];
    let known = known.map(|(name, value)| (name.to_owned(), value));
    let percentiles = stats.percentiles.iter();
    let percentiles =
        percentiles.map(|(p, value)| (format!("p{p}").replace('.', "p"), Some(*value)));
    for (name, value) in known.into_iter().chain(percentiles) {
        map.extend(value.map(|value| (name, value.into())));
    }
    let _: Option<Value> = map.insert("units".to_owned(), unit.into());
    Value::Object(map)
}

/// Reads a report in JSON.
pub(crate) fn read(report: &Value) -> Result<Import, PeersError> {
    let aggregate = &report["results"]["request_performance"]["aggregate"];
    if aggregate.is_null() {
        let key = "results.request_performance.aggregate".to_owned();
        return Err(PeersError::Missing { peer: "llm-d", key });
    }
    let (requests, load) = (&aggregate["requests"], &report["scenario"]["load"]["standardized"]);
    let total = requests["total"].as_u64();
    let (failed, incomplete) = (requests["failures"].as_u64(), requests["incomplete"].as_u64());
    let lost = failed.unwrap_or(0) + incomplete.unwrap_or(0);
    let mut point = Point {
        load: Load {
            concurrency: load["concurrency"].as_u64().map(|slots| slots as u32),
            rate: number(&load["rate_qps"]),
            burstiness: None,
        },
        counts: Counts { completed: total.map(|total| total - lost), failed, incomplete },
        ..Point::default()
    };
    for (name, own, key) in RATES {
        point.push_rate(own, Some(key), number(&aggregate["throughput"][name]["mean"]));
    }
    for (name, _, key) in LATENCIES {
        let said = &aggregate["latency"][name];
        let millis = said["units"].as_str().is_some_and(|unit| unit.starts_with("ms"));
        let unit = if millis { Unit::Milliseconds } else { Unit::Seconds };
        point.push_figure(name, key, unit, stats(said));
    }
    let native = &report["scenario"]["load"]["native"]["config"];
    let model = &report["scenario"]["stack"][0]["standardized"]["model"]["name"];
    Ok(Import {
        version: text(&report["version"]),
        created: text(&report["run"]["time"]["start"]),
        url: text(&native["target"]),
        model: text(model).or_else(|| text(&native["model"])),
        points: vec![point],
        ..Import::new(Origin::Llmd)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{assert_same, record};

    #[test]
    fn a_report_reads_back_as_the_view_of_its_record() {
        let read = crate::import(&write(&record()).unwrap()).unwrap();
        assert_eq!((read.origin, read.version.as_deref()), (Origin::Llmd, Some("0.2")));
        assert_eq!(read.created.as_deref(), Some("2026-11-22T02:12:56.068Z"));
        let view = View::InferencePerf.measure(&record());
        assert_same(&read.points[0], &view);
        assert_eq!((read.points[0].counts, read.points[0].load), (view.counts, view.load));
        assert_eq!(read.points[0].figures.len(), LATENCIES.len());
    }

    #[test]
    fn units_are_read_as_they_are_said() {
        let mut report: Value = serde_json::from_slice(&write(&record()).unwrap()).unwrap();
        let aggregate = &mut report["results"]["request_performance"]["aggregate"];
        aggregate["latency"]["time_to_first_token"] = json!({ "units": "ms", "mean": 250.0 });
        let point = &read(&report).unwrap().points[0];
        assert_eq!(point.to_json()["latency"]["service_ttft_ms"]["mean"], 250.0);
    }
}
