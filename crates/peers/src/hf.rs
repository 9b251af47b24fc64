//! Hugging Face inference-benchmarker's results file (`src/writers.rs`, 1.1).

use serde_json::{Value, json};

use crate::PeersError;
use crate::import::{Import, Origin, number, stats, text};
use crate::point::{Counts, Point, Unit};
use crate::record::{Load, Record};
use crate::view::View;

/// The distributions of a result, as both its file and its view name them.
const FIGURES: [(&str, Option<&str>); 3] = [
    ("time_to_first_token_ms", Some("service_ttft_ms")),
    ("inter_token_latency_ms", None),
    ("e2e_latency_ms", None),
];

/// Writes the results file of a record.
///
/// # Errors
///
/// [`PeersError::Nothing`] if no request was answered: the format has no word for that.
pub(crate) fn write(record: &Record) -> Result<Vec<u8>, PeersError> {
    let point = View::Hf.measure(record);
    let nothing = PeersError::Nothing { peer: "hf" };
    let facts = &record.facts;
    let Load { concurrency, rate, .. } = facts.load;
    let (id, executor, kind) = match rate {
        Some(rate) => (format!("constant@{rate:.2}req/s"), "ConstantArrivalRate", "Rate"),
        None => ("throughput".to_owned(), "ConstantVUs", "Throughput"),
    };
    let seconds = point.duration_s.unwrap_or(0.0);
    let slots = concurrency.map_or(record.requests.len() as u64, u64::from);
    let (input, output) = record
        .answered()
        .fold((0, 0), |(input, output), request| (input + request.input, output + request.output));
    let mut result = json!({
        "id": id,
        "executor_type": executor,
        "config": { "max_vus": slots, "duration_secs": seconds.round() as u64, "rate": rate },
        "total_requests": record.requests.len(),
        "total_tokens": output,
        "token_throughput_secs": point.rate("token_throughput_secs"),
        "duration_ms": (seconds * 1000.0) as u64,
        "failed_requests": record.requests.len() as u64 - record.answered().count() as u64,
        "successful_requests": record.answered().count(),
        "request_rate": point.rate("request_rate"),
        "total_tokens_sent": input,
    });
    for (name, _) in FIGURES {
        let stats = point.figure(name).map(|figure| &figure.stats);
        let Some(stats) = stats else { return Err(nothing) };
        let percentiles =
            stats.percentiles.iter().map(|(p, value)| (format!("p{p}"), json!(value)));
        let average = [("avg".to_owned(), json!(stats.mean))];
        result[name] = Value::Object(percentiles.chain(average).collect());
    }
    let begin = facts.created.parse::<jiff::Timestamp>().unwrap_or_default();
    let end = record.requests.iter().map(|request| request.end).fold(0.0, f64::max);
    let end = begin + jiff::SignedDuration::from_secs_f64(end);
    let report = json!({
        "config": {
            "max_vus": slots,
            "duration_secs": seconds.round() as u64,
            "benchmark_kind": kind,
            "warmup_duration_secs": 0,
            "rates": rate.map(|rate| [rate]),
            "num_rates": u8::from(rate.is_some()),
            "prompt_options": null,
            "decode_options": null,
            "tokenizer": facts.tokenizer.as_deref().unwrap_or(&facts.model),
            "model_name": facts.model,
            "profile": null,
            "meta": { "generator": format!("infermark {}", facts.version) },
            "run_id": facts.id,
        },
        "results": [result],
        "start_time": begin.to_string(),
        "end_time": end.to_string(),
        "system": {
            "cpu": [], "memory": "", "os_name": "", "os_version": "", "kernel": "", "hostname": "",
        },
    });
    Ok(report.to_string().into_bytes())
}

/// Reads a results file. The warm-up is no operating point.
pub(crate) fn read(report: &Value) -> Result<Import, PeersError> {
    let missing = || PeersError::Missing { peer: "hf", key: "results".to_owned() };
    let results = report["results"].as_array().ok_or_else(missing)?;
    Ok(Import {
        created: text(&report["start_time"]),
        model: text(&report["config"]["model_name"]),
        points: results.iter().filter(|result| result["id"] != "warmup").map(point).collect(),
        ..Import::new(Origin::Hf)
    })
}

fn point(result: &Value) -> Point {
    let config = &result["config"];
    let rate = number(&config["rate"]);
    let mut point = Point {
        label: text(&result["id"]).unwrap_or_default(),
        load: Load {
            concurrency: config["max_vus"].as_u64().map(|slots| slots as u32),
            rate,
            // Its arrivals are evenly spaced: a gamma law of infinite shape.
            burstiness: rate.map(|_| f64::INFINITY),
        },
        duration_s: number(&result["duration_ms"]).map(|millis| millis / 1000.0),
        counts: Counts {
            completed: result["successful_requests"].as_u64(),
            failed: result["failed_requests"].as_u64(),
            incomplete: None,
        },
        ..Point::default()
    };
    for (name, key) in
        [("request_rate", "requests_per_s"), ("token_throughput_secs", "output_tokens_per_s")]
    {
        point.push_rate(name, Some(key), number(&result[name]));
    }
    for (name, key) in FIGURES {
        point.push_figure(name, key, Unit::Milliseconds, stats(&result[name]));
    }
    point
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{assert_same, record};

    #[test]
    fn a_result_reads_back_as_the_view_of_its_record() {
        let bytes = write(&record()).unwrap();
        let read = crate::import(&bytes).unwrap();
        assert_eq!((read.origin, read.model.as_deref()), (Origin::Hf, Some("org/tiny")));
        assert_eq!(read.created.as_deref(), Some("2026-11-22T02:12:55.058Z"));
        assert_same(&read.points[0], &View::Hf.measure(&record()));
        // Cut off is a failure here.
        assert_eq!(read.points[0].counts.failed, Some(2));
    }

    #[test]
    fn the_warm_up_is_no_point_and_a_rate_is_an_open_loop() {
        let mut record = record();
        record.facts.load = Load { rate: Some(2.5), ..Load::default() };
        let mut report: Value = serde_json::from_slice(&write(&record).unwrap()).unwrap();
        let mut warmup = report["results"][0].clone();
        warmup["id"] = "warmup".into();
        report["results"].as_array_mut().unwrap().insert(0, warmup);
        let read = read(&report).unwrap();
        let [point] = &read.points[..] else { panic!("one point") };
        assert_eq!((point.label.as_str(), point.load.rate), ("constant@2.50req/s", Some(2.5)));
    }

    #[test]
    fn a_record_without_answers_has_no_result() {
        let mut record = record();
        record.requests.retain(|request| !request.answered());
        assert!(matches!(write(&record), Err(PeersError::Nothing { .. })));
    }
}
