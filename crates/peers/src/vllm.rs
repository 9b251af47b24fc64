//! `vllm bench serve`: its result JSON and its console block, byte for byte; and reading results.
//!
//! Formulas, keys, their order and all labels are those of `vllm/benchmarks/serve.py`, 0.32. Times
//! in lists are seconds, aggregates milliseconds.

use serde_json::Value;

use crate::PeersError;
use crate::import::{number, text};
use crate::point::{Counts, Figure, Point, Rate, Unit};
use crate::python::Json;
use crate::record::{Load, Record, Request};
use crate::stats::{Stats, linear, mean, median, sorted, std};

/// The metrics: what JSON keys end in, what labels say, the heading, and infermark's key.
const METRICS: [(&str, &str, &str, &str); 4] = [
    ("ttft", "TTFT", "Time to First Token", "service_ttft_ms"),
    ("tpot", "TPOT", "Time per Output Token (excl. 1st token)", "tpot_ms"),
    ("itl", "ITL", "Inter-token Latency", "icl_ms"),
    ("e2el", "E2EL", "End-to-end Latency", "service_e2e_ms"),
];

/// The percentiles that we write, as `--metric-percentiles` would ask for them.
const PERCENTAGES: [f64; 4] = [50.0, 90.0, 95.0, 99.0];

/// Whether the lists of single requests are written, as with `--save-detailed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Aggregates, `latencies` and `queue_times`.
    Summary,
    /// Everything.
    Requests,
}

/// Writes the result JSON of a record.
pub(crate) fn json(record: &Record, detail: Detail) -> Vec<u8> {
    let mut entries = head(record);
    entries.extend(Run::of(record).entries(detail));
    Json::Object(entries).dump()
}

/// Writes the console block of a record.
pub(crate) fn console(record: &Record) -> String {
    Run::of(record).console(record.facts.load)
}

/// Returns what vLLM writes of its arguments.
fn head(record: &Record) -> Vec<(String, Json)> {
    let facts = &record.facts;
    let backend = if facts.api == "chat" { "openai-chat" } else { "openai" };
    let date = facts.created.parse::<jiff::Timestamp>().unwrap_or_default();
    let tokenizer = facts.tokenizer.as_deref().unwrap_or(&facts.model);
    let Load { concurrency, rate, burstiness } = facts.load;
    let entries = [
        ("date", Json::Text(date.strftime("%Y%m%d-%H%M%S").to_string())),
        ("endpoint_type", Json::text(backend)),
        ("backend", Json::text(backend)),
        ("label", Json::Null),
        ("model_id", Json::text(&facts.model)),
        ("tokenizer_id", Json::text(tokenizer)),
        ("num_prompts", Json::Int(record.requests.len() as u64)),
        ("request_rate", rate.map_or_else(|| Json::text("inf"), Json::Float)),
        // Infinite, for equal gaps, is no JSON; Python writes and reads it as `Infinity`, others
        // do not.
        ("burstiness", burstiness.map_or(Json::Float(1.0), Json::finite)),
        ("max_concurrency", concurrency.map_or(Json::Null, |slots| Json::Int(slots.into()))),
    ];
    entries.map(|(key, value)| (key.to_owned(), value)).into()
}

/// What vLLM's client holds when its load is over: lists over all requests, in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
struct Run {
    duration: f64,
    /// Good requests per second, where there was something to be good at.
    goodput: Option<f64>,
    input_lens: Vec<u64>,
    output_lens: Vec<u64>,
    ttfts: Vec<f64>,
    itls: Vec<Vec<f64>>,
    latencies: Vec<f64>,
    start_times: Vec<f64>,
    queue_times: Vec<f64>,
    texts: Vec<String>,
    /// Empty for a request that was answered.
    errors: Vec<String>,
    percentages: Vec<f64>,
}

impl Run {
    fn of(record: &Record) -> Self {
        let all = &record.requests;
        let list = |of: &dyn Fn(&Request) -> f64| -> Vec<f64> {
            all.iter().map(|request| if request.answered() { of(request) } else { 0.0 }).collect()
        };
        Self {
            duration: record.duration(),
            goodput: None,
            input_lens: all.iter().map(|request| request.input).collect(),
            output_lens: all
                .iter()
                .map(|request| if request.answered() { request.output } else { 0 })
                .collect(),
            ttfts: list(&|request| request.ttft().unwrap_or(0.0)),
            itls: all
                .iter()
                .map(|request| if request.answered() { request.gaps.clone() } else { Vec::new() })
                .collect(),
            latencies: list(&Request::latency),
            start_times: all.iter().map(|request| request.start).collect(),
            queue_times: all.iter().map(|request| request.start - request.due).collect(),
            texts: vec![String::new(); all.len()],
            errors: all.iter().map(Request::error).collect(),
            percentages: PERCENTAGES.to_vec(),
        }
    }

    fn answered(&self) -> impl Iterator<Item = usize> + Clone {
        (0..self.errors.len()).filter(|&index| self.errors[index].is_empty())
    }

    fn total_input(&self) -> u64 {
        self.answered().map(|index| self.input_lens[index]).sum()
    }

    fn total_output(&self) -> u64 {
        self.output_lens.iter().sum()
    }

    /// Returns the observations of a metric, in vLLM's order.
    fn sample(&self, metric: &str) -> Vec<f64> {
        let answered = self.answered();
        match metric {
            "ttft" => answered.map(|index| self.ttfts[index]).collect(),
            "itl" => answered.flat_map(|index| self.itls[index].iter().copied()).collect(),
            "e2el" => answered.map(|index| self.latencies[index]).collect(),
            _ => answered
                .filter(|&index| self.output_lens[index] > 1)
                .map(|index| {
                    let after_first = self.latencies[index] - self.ttfts[index];
                    after_first / (self.output_lens[index] - 1) as f64
                })
                .collect(),
        }
    }

    /// Returns a metric's mean, median, deviation and percentiles, in milliseconds. Of an empty
    /// sample vLLM says 0.
    fn aggregate(&self, metric: &str) -> [Vec<(String, f64)>; 2] {
        let mut sample = self.sample(metric);
        if sample.is_empty() {
            sample.push(0.0);
        }
        let ascending = sorted(&sample);
        let three =
            [("mean", mean(&sample)), ("median", median(&ascending)), ("std", std(&sample))];
        let percentile = |&p: &f64| (format!("p{p}"), linear(&ascending, p) * 1000.0);
        [
            three.map(|(name, value)| (name.to_owned(), value * 1000.0)).into(),
            self.percentages.iter().map(percentile).collect(),
        ]
    }

    /// Returns the most chunks in a second and the most requests under way in one, by vLLM's
    /// buckets of a second.
    fn peaks(&self) -> (f64, u64) {
        let spans = || self.answered().map(|i| (i, self.start_times[i], self.latencies[i]));
        let begin = spans().map(|(_, start, _)| start).fold(f64::MAX, f64::min);
        let end = spans().map(|(_, start, latency)| start + latency).fold(f64::MIN, f64::max);
        if begin > end {
            return (0.0, 0);
        }
        let seconds = (end - begin).ceil() as usize + 1;
        let (mut chunks, mut requests) = (vec![0.0_f64; seconds], vec![0_u64; seconds]);
        for (index, start, latency) in spans() {
            let mut at = start + self.ttfts[index];
            let mut arrive = |at: f64| {
                if let Some(bucket) = chunks.get_mut((at - begin) as usize) {
                    *bucket += 1.0;
                }
            };
            arrive(at);
            for gap in &self.itls[index] {
                at += gap;
                arrive(at);
            }
            let (from, to) = ((start - begin) as usize, (start + latency - begin) as usize);
            for bucket in &mut requests[from..=to] {
                *bucket += 1;
            }
        }
        (chunks.into_iter().fold(0.0, f64::max), requests.into_iter().max().unwrap_or(0))
    }

    fn entries(&self, detail: Detail) -> Vec<(String, Json)> {
        let completed = self.answered().count() as u64;
        let (input, output) = (self.total_input(), self.total_output());
        let per_second = |total: u64| Json::Float(total as f64 / self.duration);
        let (peak_tokens, peak_requests) = self.peaks();
        let texts = |texts: &[String]| Json::List(texts.iter().map(|t| Json::text(t)).collect());
        let itls = self.itls.iter().map(|gaps| Json::floats(gaps.iter().copied()));
        let all = [
            ("duration", Json::Float(self.duration)),
            ("completed", Json::Int(completed)),
            ("failed", Json::Int(self.errors.len() as u64 - completed)),
            ("total_input_tokens", Json::Int(input)),
            ("total_output_tokens", Json::Int(output)),
            ("request_throughput", per_second(completed)),
            ("request_goodput", self.goodput.map_or(Json::Null, Json::Float)),
            ("output_throughput", per_second(output)),
            ("total_token_throughput", per_second(input + output)),
            ("input_lens", Json::ints(self.input_lens.iter().copied())),
            ("output_lens", Json::ints(self.output_lens.iter().copied())),
            ("ttfts", Json::floats(self.ttfts.iter().copied())),
            ("itls", Json::List(itls.collect())),
            ("latencies", Json::floats(self.latencies.iter().copied())),
            ("start_times", Json::floats(self.start_times.iter().copied())),
            ("queue_times", Json::floats(self.queue_times.iter().copied())),
            ("generated_texts", texts(&self.texts)),
            ("errors", texts(&self.errors)),
            ("max_output_tokens_per_s", Json::Float(peak_tokens)),
            ("max_concurrent_requests", Json::Int(peak_requests)),
            ("rtfx", Json::Float(0.0)),
        ];
        let kept = |key: &str| detail == Detail::Requests || !DETAILS.contains(&key);
        let all = all.into_iter().filter(|(key, _)| kept(key));
        let mut entries: Vec<_> = all.map(|(key, value)| (key.to_owned(), value)).collect();
        for (metric, ..) in METRICS {
            let values = self.aggregate(metric).into_iter().flatten();
            entries.extend(values.map(|(name, v)| (format!("{name}_{metric}_ms"), Json::Float(v))));
        }
        entries
    }

    fn console(&self, load: Load) -> String {
        let completed = self.answered().count();
        let (input, output) = (self.total_input(), self.total_output());
        let per_second = |total: u64| decimals(total as f64 / self.duration);
        let (peak_tokens, peak_requests) = self.peaks();
        let mut rows = vec![
            format!("{:=^50}", " Serving Benchmark Result "),
            row("Successful requests:", &completed.to_string()),
            row("Failed requests:", &(self.errors.len() - completed).to_string()),
        ];
        let slots = load.concurrency.map(|slots| slots.to_string());
        rows.extend(slots.map(|slots| row("Maximum request concurrency:", &slots)));
        rows.extend(load.rate.map(|rate| row("Request rate configured (RPS):", &decimals(rate))));
        rows.extend([
            row("Benchmark duration (s):", &decimals(self.duration)),
            row("Total input tokens:", &input.to_string()),
            row("Total generated tokens:", &output.to_string()),
            row("Request throughput (req/s):", &per_second(completed as u64)),
        ]);
        let goodput = self.goodput.map(|rate| row("Request goodput (req/s):", &decimals(rate)));
        rows.extend(goodput);
        rows.extend([
            row("Output token throughput (tok/s):", &per_second(output)),
            row("Peak output token throughput (tok/s):", &decimals(peak_tokens)),
            row("Peak concurrent requests:", &decimals(peak_requests as f64)),
            row("Total token throughput (tok/s):", &per_second(input + output)),
        ]);
        for (metric, label, heading, _) in METRICS {
            rows.push(format!("{heading:-^50}"));
            let [three, percentiles] = self.aggregate(metric);
            let shown = [("Mean", three[0].1), ("Median", three[1].1)];
            rows.extend(shown.map(|(name, v)| row(&format!("{name} {label} (ms):"), &decimals(v))));
            rows.extend(percentiles.iter().map(|(name, value)| {
                let name = name.to_uppercase();
                row(&format!("{name} {label} (ms):"), &decimals(*value))
            }));
        }
        rows.push("=".repeat(50));
        rows.join("\n") + "\n"
    }
}

/// The lists that are left out of a summary.
const DETAILS: [&str; 7] =
    ["input_lens", "output_lens", "start_times", "ttfts", "itls", "generated_texts", "errors"];

fn row(label: &str, value: &str) -> String {
    format!("{label:<40} {value:<10}")
}

fn decimals(value: f64) -> String {
    format!("{value:.2}")
}

/// Reads one result object.
pub(crate) fn read(result: &Value) -> Result<Point, PeersError> {
    let missing = |key: &'static str| PeersError::Missing { peer: "vllm", key: key.to_owned() };
    let of = |key: &str| number(&result[key]);
    let completed = result["completed"].as_u64().ok_or_else(|| missing("completed"))?;
    let slots = result["max_concurrency"].as_u64().map(|slots| slots as u32);
    let mut point = Point {
        label: text(&result["label"]).unwrap_or_default(),
        load: Load {
            concurrency: slots,
            rate: of("request_rate"),
            burstiness: of("request_rate").and(of("burstiness")),
        },
        duration_s: of("duration"),
        counts: Counts {
            completed: Some(completed),
            failed: result["failed"].as_u64(),
            incomplete: None,
        },
        ..Point::default()
    };
    let input = of("total_input_tokens").zip(of("duration"));
    for (name, key, value) in [
        ("request_throughput", Some("requests_per_s"), of("request_throughput")),
        ("request_goodput", None, of("request_goodput")),
        ("input_throughput", Some("input_tokens_per_s"), input.map(|(total, s)| total / s)),
        ("output_throughput", Some("output_tokens_per_s"), of("output_throughput")),
        ("total_token_throughput", Some("total_tokens_per_s"), of("total_token_throughput")),
        ("max_output_tokens_per_s", None, of("max_output_tokens_per_s")),
        ("max_concurrent_requests", None, of("max_concurrent_requests")),
    ] {
        point.rates.extend(value.map(|value| Rate { name: name.to_owned(), key, value }));
    }
    for (metric, _, _, key) in METRICS {
        let stats = aggregates(result, metric);
        let figure = |stats| Figure {
            name: metric.to_owned(),
            key: Some(key),
            unit: Unit::Milliseconds,
            stats,
        };
        point.figures.extend(stats.map(figure));
    }
    Ok(point)
}

/// Reads `mean_ttft_ms` and its like; absent if there is no mean.
fn aggregates(result: &Value, metric: &str) -> Option<Stats> {
    let of = |name: &str| number(&result[format!("{name}_{metric}_ms")]);
    let mean = of("mean")?;
    let ending = format!("_{metric}_ms");
    let percentile = |(key, value): (&String, &Value)| {
        let percentage = key.strip_prefix('p')?.strip_suffix(&ending)?.parse::<f64>().ok()?;
        Some((percentage, number(value)?))
    };
    let mut percentiles: Vec<_> = result.as_object()?.iter().filter_map(percentile).collect();
    let has_median = percentiles.iter().any(|(p, _)| (p - 50.0).abs() < 1e-9);
    if let Some(median) = of("median").filter(|_| !has_median) {
        percentiles.push((50.0, median));
    }
    percentiles.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    Some(Stats { mean: Some(mean), std: of("std"), percentiles, ..Stats::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::record;
    use crate::view::View;

    const DETAILED: &str = include_str!("../testdata/vllm/detailed.json");
    const CONSOLE: &str = include_str!("../testdata/vllm/console.txt");

    /// Reads what vLLM's client held when it wrote its detailed result.
    fn run(result: &Value) -> Run {
        let floats = |key: &str| -> Vec<f64> {
            result[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
        };
        let ints = |key: &str| -> Vec<u64> {
            result[key].as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).collect()
        };
        let texts = |key: &str| -> Vec<String> {
            result[key].as_array().unwrap().iter().map(|v| v.as_str().unwrap().into()).collect()
        };
        let itls = result["itls"].as_array().unwrap().iter();
        Run {
            duration: result["duration"].as_f64().unwrap(),
            goodput: result["request_goodput"].as_f64(),
            input_lens: ints("input_lens"),
            output_lens: ints("output_lens"),
            ttfts: floats("ttfts"),
            itls: itls
                .map(|gaps| gaps.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect())
                .collect(),
            latencies: floats("latencies"),
            start_times: floats("start_times"),
            queue_times: floats("queue_times"),
            texts: texts("generated_texts"),
            errors: texts("errors"),
            percentages: vec![50.0, 90.0, 99.0, 99.9],
        }
    }

    #[test]
    fn from_vllms_observations_come_vllms_bytes() {
        let result: Value = serde_json::from_str(DETAILED).unwrap();
        let run = run(&result);
        let written = Json::Object(run.entries(Detail::Requests)).dump();
        let written = String::from_utf8(written).unwrap();
        let begins = DETAILED.find("\"duration\"").unwrap();
        assert_eq!(&written[1..], DETAILED[begins..].trim_end());
        let load = Load { concurrency: Some(4), rate: Some(40.0), burstiness: Some(1.0) };
        let block = CONSOLE.find("============ Serving").unwrap();
        assert_eq!(run.console(load), CONSOLE[block..]);
    }

    #[test]
    fn vllms_summary_is_read_and_so_are_two_in_a_file() {
        let plain = include_str!("../testdata/vllm/plain.json");
        let read = crate::import(format!("{plain}\n{DETAILED}").as_bytes()).unwrap();
        assert_eq!(read.origin, crate::Origin::Vllm);
        assert_eq!(read.created.as_deref(), Some("2026-11-22T02:49:18Z"));
        let [first, second] = &read.points[..] else { panic!("two points") };
        assert_eq!((first.load.concurrency, first.load.rate), (None, None));
        assert_eq!((second.load.concurrency, second.load.rate), (Some(4), Some(40.0)));
        let said: Value = serde_json::from_str(plain).unwrap();
        let itl = &first.figure("itl").unwrap().stats;
        assert_eq!(itl.percentile(50.0), said["median_itl_ms"].as_f64());
        assert_eq!(itl.percentile(99.0), said["p99_itl_ms"].as_f64());
        assert_eq!(
            second.figure("e2el").unwrap().stats.percentile(99.9).map(f64::round),
            Some(115.0)
        );
    }

    #[test]
    fn the_head_has_vllms_keys_in_vllms_order() {
        let ours = String::from_utf8(json(&record(), Detail::Requests)).unwrap();
        let keys = |text: &str| -> Vec<String> {
            let parts: Vec<_> = text.split('"').collect();
            let is_key = |pair: &&[&str]| pair[1].starts_with(": ");
            let keys = parts.windows(2).filter(is_key).map(|pair| pair[0].to_owned());
            keys.filter(|key| !["tp", "gpu"].contains(&key.as_str())).collect()
        };
        let percentile = |key: &String| key.starts_with('p') && key.ends_with("_ms");
        let plain = |text: &str| -> Vec<_> {
            keys(text).into_iter().filter(|key| !percentile(key)).collect()
        };
        assert_eq!(plain(&ours), plain(DETAILED));
        assert!(ours.starts_with(r#"{"date": "20261122-021255", "endpoint_type": "openai-chat","#));
        assert!(
            ours.contains(r#""request_rate": "inf", "burstiness": 1.0, "max_concurrency": 2,"#)
        );
    }

    #[test]
    fn a_result_reads_back_as_the_view_of_its_record() {
        let result = serde_json::from_slice(&json(&record(), Detail::Summary)).unwrap();
        let (read, view) = (read(&result).unwrap(), View::Vllm.measure(&record()));
        assert_eq!(read.load, view.load);
        // Python's client has no word for what was cut off: it waits for everything.
        assert_eq!(read.counts.failed, Some(2));
        for figure in &view.figures {
            let found = &read.figure(&figure.name).unwrap().stats;
            let close = |one: Option<f64>, other: Option<f64>| {
                assert!((one.unwrap() - other.unwrap()).abs() < 1e-9, "{}", figure.name);
            };
            close(found.mean, figure.stats.mean);
            close(found.std, figure.stats.std);
            for (percentage, value) in &figure.stats.percentiles {
                close(found.percentile(*percentage), Some(*value));
            }
        }
        for rate in &view.rates {
            assert!((read.rate(&rate.name).unwrap() - rate.value).abs() < 1e-9, "{}", rate.name);
        }
    }
}
