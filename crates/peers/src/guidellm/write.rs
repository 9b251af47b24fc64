//! Writing the report.

use serde_json::{Map, Value, json};

use super::{FIGURES, RATES};
use crate::point::Point;
use crate::record::{Fate, Load, Record, Request};
use crate::stats::Stats;
use crate::view::{View, Weighed, weighted};

/// GuideLLM's version whose report this is.
const LIKE: &str = "0.8.1";

/// The percentiles of a distribution, by GuideLLM's names.
const PERCENTILES: [(&str, f64); 11] = [
    ("p001", 0.1),
    ("p01", 1.0),
    ("p05", 5.0),
    ("p10", 10.0),
    ("p25", 25.0),
    ("p50", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p95", 95.0),
    ("p99", 99.0),
    ("p999", 99.9),
];

/// Writes the report of a record.
pub(crate) fn write(record: &Record) -> Vec<u8> {
    let facts = &record.facts;
    let report = json!({
        "metadata": {
            "version": 2,
            "guidellm_version": LIKE,
            "python_version": "",
            "platform": format!("infermark {}", facts.version),
        },
        "config": {
            "spec": {
                "backend": backend(record),
                "profile": profile(facts.load),
                "data": [{ "kind": "synthetic_text", "prompt_tokens": 1, "output_tokens": 1 }],
                "outputs": [],
            },
        },
        "benchmarks": [benchmark(record)],
    });
    report.to_string().into_bytes()
}

fn backend(record: &Record) -> Value {
    let format = match record.facts.api.as_str() {
        "chat" => "/v1/chat/completions",
        _ => "/v1/completions",
    };
    json!({
        "kind": "openai_http",
        "target": record.facts.url,
        "model": record.facts.model,
        "request_format": format,
    })
}

fn profile(load: Load) -> Value {
    match load {
        Load { rate: Some(rate), burstiness: Some(1.0), .. } => {
            json!({ "kind": "poisson", "rate": [rate] })
        }
        Load { rate: Some(rate), .. } => json!({ "kind": "constant", "rate": [rate] }),
        Load { concurrency: Some(slots), .. } => {
            json!({ "kind": "concurrent", "streams": [slots] })
        }
        Load { .. } => json!({ "kind": "throughput" }),
    }
}

fn strategy(load: Load) -> Value {
    match load {
        Load { rate: Some(rate), burstiness: Some(1.0), .. } => {
            json!({ "type_": "poisson", "rate": rate, "max_concurrency": load.concurrency })
        }
        Load { rate: Some(rate), .. } => {
            json!({ "type_": "constant", "rate": rate, "max_concurrency": load.concurrency })
        }
        Load { concurrency: Some(slots), .. } => json!({
            "type_": "concurrent", "worker_count": slots, "max_concurrency": slots,
            "streams": slots,
        }),
        Load { .. } => json!({ "type_": "throughput" }),
    }
}

fn benchmark(record: &Record) -> Value {
    let point = View::Guidellm.measure(record);
    let begin = record.facts.created.parse::<jiff::Timestamp>().unwrap_or_default();
    let epoch = begin.as_nanosecond() as f64 / 1e9;
    let starts = record.requests.iter().map(|request| request.start);
    let start = epoch + starts.fold(f64::MAX, f64::min);
    let duration = record.duration();
    let end = start + duration;
    let counts = point.counts;
    let made = json!({
        "successful": counts.completed, "errored": counts.failed,
        "incomplete": counts.incomplete, "total": record.requests.len(),
    });
    json!({
        "type_": "generative_benchmark",
        "config": {
            "run_id": record.facts.id,
            "run_index": 0,
            "strategy": strategy(record.facts.load),
            "constraints": {},
            "profile": profile(record.facts.load),
            "requests": {},
            "backend": backend(record),
            "environment": {},
        },
        "scheduler_state": {
            "start_time": start, "end_time": end,
            "created_requests": record.requests.len(),
            "processed_requests": record.requests.len(),
            "successful_requests": counts.completed, "errored_requests": counts.failed,
            "cancelled_requests": counts.incomplete,
        },
        "scheduler_metrics": scheduler(record, &made, (start, end)),
        "metrics": metrics(record, &point, &made),
        "requests": requests(record, epoch),
        "start_time": start,
        "end_time": end,
        "duration": duration,
        "warmup_duration": 0.0,
        "cooldown_duration": 0.0,
    })
}

fn scheduler(record: &Record, made: &Value, (start, end): (f64, f64)) -> Value {
    let n = record.requests.len() as f64;
    let average = |of: fn(&Request) -> f64| record.requests.iter().map(of).sum::<f64>() / n;
    let lag = average(|request| request.start - request.due);
    let time = average(|request| request.end - request.start);
    json!({
        "start_time": start, "request_start_time": start, "measure_start_time": start,
        "measure_end_time": end, "request_end_time": end, "end_time": end,
        "requests_made": made,
        "queued_time_avg": 0.0, "resolve_start_delay_avg": 0.0,
        "resolve_targeted_start_delay_avg": lag, "request_start_delay_avg": 0.0,
        "request_targeted_start_delay_avg": lag, "request_time_avg": time,
        "resolve_end_delay_avg": 0.0, "resolve_time_avg": time, "finalized_delay_avg": 0.0,
        "processed_delay_avg": 0.0,
    })
}

/// What a request adds to a rate: instants, and how much at each.
type Events = fn(&Request) -> Vec<(f64, f64)>;

fn metrics(record: &Record, point: &Point, made: &Value) -> Value {
    let mut metrics = Map::new();
    for (name, ..) in FIGURES {
        let figure = point.figure(name).map(|figure| &figure.stats);
        metrics.extend([(name.to_owned(), of_status(figure))]);
    }
    let events: [Events; 4] = [
        |request| vec![(request.end, 1.0)],
        |request| vec![(request.first.unwrap_or(request.end), request.input as f64)],
        outputs,
        |request| {
            let input = [(request.first.unwrap_or(request.end), request.input as f64)];
            input.into_iter().chain(outputs(request)).collect()
        },
    ];
    for ((name, _), events) in RATES.into_iter().zip(events) {
        let mut stats = summary(&rates(record, events));
        // Rounding aside it is this: what the others only spread over time.
        if let Some(stats) = &mut stats {
            stats.mean = point.rate(name).or(stats.mean);
        }
        metrics.extend([(name.to_owned(), of_status(stats.as_ref()))]);
    }
    let flying = summary(&concurrencies(record));
    let per_chunk: Vec<_> = record
        .answered()
        .filter(|request| request.chunks > 0)
        .map(|request| (request.output as f64 / f64::from(request.chunks), 1.0))
        .collect();
    let chunks: Vec<_> =
        record.answered().map(|request| (f64::from(request.chunks), 1.0)).collect();
    metrics.extend([
        ("request_totals".to_owned(), made.clone()),
        ("request_concurrency".to_owned(), of_status(flying.as_ref())),
        ("request_streaming_iterations_count".to_owned(), of_status(summary(&chunks).as_ref())),
        ("output_tokens_per_iteration".to_owned(), of_status(summary(&per_chunk).as_ref())),
    ]);
    // What infermark does not observe, and GuideLLM insists on.
    for name in
        ["time_to_last_round_trip_ms", "avg_round_trip_time_ms", "iter_tokens_per_iteration"]
    {
        metrics.extend([(name.to_owned(), of_status(None))]);
    }
    for (kind, parts) in MODALITIES {
        let parts = parts.iter().map(|part| ((*part).to_owned(), modality()));
        metrics.extend([(kind.to_owned(), Value::Object(parts.collect()))]);
    }
    Value::Object(metrics)
}

/// Kinds of content and how each is counted.
const MODALITIES: [(&str, &[&str]); 5] = [
    ("text", &["tokens", "words", "characters"]),
    ("image", &["tokens", "images", "pixels", "bytes"]),
    ("video", &["tokens", "frames", "seconds", "bytes"]),
    ("audio", &["tokens", "samples", "seconds", "bytes"]),
    ("tool_call", &["tokens", "mixed_tokens", "count"]),
];

/// Nothing was observed of a kind of content.
fn modality() -> Value {
    let names = ["input", "output", "total"].into_iter().flat_map(|side| {
        ["", "_per_second", "_concurrency"].map(|of| (format!("{side}{of}"), Value::Null))
    });
    Value::Object(names.collect())
}

/// Chunks as output tokens: the first is one token, the rest are spread evenly over the others.
fn outputs(request: &Request) -> Vec<(f64, f64)> {
    let Some(first) = request.first else { return vec![(request.end, request.output as f64)] };
    let rest = request.output.saturating_sub(1) as f64 / request.gaps.len().max(1) as f64;
    let mut at = first;
    let others = request.gaps.iter().map(|gap| {
        at += gap;
        (at, rest)
    });
    [(first, 1.0)].into_iter().chain(others.collect::<Vec<_>>()).collect()
}

/// Rates over time, each weighted by how long it held: events ÷ the time halfway to the
/// neighbouring events, as `rate_distribution_from_timings` has it.
fn rates(record: &Record, events: Events) -> Vec<Weighed> {
    let starts = record.requests.iter().map(|request| request.start);
    let start = starts.fold(f64::MAX, f64::min);
    let mut all = vec![(start, 0.0), (start + record.duration(), 0.0)];
    all.extend(record.answered().flat_map(events));
    let all = merged(all);
    let held = |place: usize| {
        let before = place.checked_sub(1).map_or(all[place].0, |left| all[left].0);
        let after = all.get(place + 1).map_or(all[place].0, |right| right.0);
        ((after - before) / 2.0).max(1e-6)
    };
    all.iter().enumerate().map(|(place, (_, count))| (count / held(place), held(place))).collect()
}

/// Requests in flight, each number weighted by how long it held.
fn concurrencies(record: &Record) -> Vec<Weighed> {
    let changes = record.answered().flat_map(|r| [(r.start, 1.0), (r.end, -1.0)]);
    let changes = merged(changes.collect());
    let mut flying = 0.0;
    let held = changes.windows(2).map(|pair| {
        flying += pair[0].1;
        (flying, pair[1].0 - pair[0].0)
    });
    held.collect()
}

/// Sorts events and merges those that are within 0.1 ms of one another.
fn merged(mut events: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    const TOGETHER: f64 = 1e-4;
    events.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    let mut merged: Vec<(f64, f64)> = Vec::new();
    for (at, count) in events {
        match merged.last_mut() {
            Some(last) if at - last.0 <= TOGETHER => last.1 += count,
            _ => merged.push((at, count)),
        }
    }
    merged
}

fn summary(seen: &[Weighed]) -> Option<Stats> {
    weighted(seen, &PERCENTILES.map(|(_, percentage)| percentage))
}

/// Writes a distribution of what was answered; of the rest nothing is known, and all is the same.
fn of_status(stats: Option<&Stats>) -> Value {
    match stats {
        None => json!({}),
        Some(stats) => {
            let stats = distribution(stats);
            json!({ "successful": stats, "total": stats })
        }
    }
}

fn distribution(stats: &Stats) -> Value {
    let (mean, std) = (stats.mean.unwrap_or(0.0), stats.std.unwrap_or(0.0));
    let count = stats.count.unwrap_or(0);
    let percentiles: Map<_, _> = PERCENTILES
        .into_iter()
        .map(|(name, percentage)| (name.to_owned(), json!(stats.percentile(percentage))))
        .collect();
    json!({
        "mean": mean,
        "median": stats.percentile(50.0),
        // Of continuous observations each is as frequent as any.
        "mode": stats.min,
        "variance": std * std,
        "std_dev": std,
        "min": stats.min,
        "max": stats.max,
        "count": count,
        "total_sum": mean * count as f64,
        "percentiles": percentiles,
        "pdf": null,
    })
}

fn requests(record: &Record, epoch: f64) -> Value {
    let of = |wanted: fn(&Fate) -> bool| -> Vec<Value> {
        let chosen = record.requests.iter().enumerate().filter(|(_, r)| wanted(&r.fate));
        chosen.map(|(place, one)| request(record, place, one, epoch)).collect()
    };
    json!({
        "successful": of(|fate| *fate == Fate::Answered),
        "errored": of(|fate| matches!(fate, Fate::Failed(_))),
        "incomplete": of(|fate| *fate == Fate::Cut),
        "total": null,
    })
}

fn request(record: &Record, place: usize, one: &Request, epoch: f64) -> Value {
    let id = format!("{}-{place}", record.facts.id);
    let wall = |at: Option<f64>| at.map(|at| epoch + at);
    let (status, error) = match &one.fate {
        Fate::Answered => ("completed", None),
        Fate::Failed(why) => ("errored", Some(why.as_str())),
        Fate::Cut => ("cancelled", None),
    };
    json!({
        "type_": "generative_request_stats",
        "request_id": id,
        "info": {
            "request_id": id,
            "status": status,
            "error": error,
            "timings": {
                "targeted_start": epoch + one.due,
                "resolve_start": epoch + one.start,
                "request_start": epoch + one.start,
                "first_request_iteration": wall(one.first),
                "first_token_iteration": wall(one.first),
                "first_output_token_iteration": wall(one.first_answer),
                "last_token_iteration": wall(one.last),
                "last_request_iteration": wall(one.last),
                "request_iterations": one.chunks,
                "token_iterations": one.chunks,
                "request_end": epoch + one.end,
                "resolve_end": epoch + one.end,
            },
        },
        "input_metrics": { "text_tokens": one.input },
        "output_metrics": { "text_tokens": one.answered().then_some(one.output) },
    })
}
