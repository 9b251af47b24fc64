//! Reading a peer's result file: which peer's it is, and what it says.

use serde_json::Value;

use crate::point::{Counts, Point, Unit};
use crate::record::Load;
use crate::stats::Stats;
use crate::{PeersError, compressa, guidellm, hf, llmd, vllm};

/// Who wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// vLLM's `bench serve`, and its clients in other languages.
    Vllm,
    /// GuideLLM.
    Guidellm,
    /// NVIDIA AIPerf.
    Aiperf,
    /// inference-perf.
    InferencePerf,
    /// Hugging Face inference-benchmarker.
    Hf,
    /// compressa-perf.
    Compressa,
    /// llm-d's Benchmark Report.
    Llmd,
}

impl Origin {
    const ALL: [Self; 7] = [
        Self::Vllm,
        Self::Guidellm,
        Self::Aiperf,
        Self::InferencePerf,
        Self::Hf,
        Self::Compressa,
        Self::Llmd,
    ];

    /// Returns the name that `definitions` has.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vllm => "vllm",
            Self::Guidellm => "guidellm",
            Self::Aiperf => "aiperf",
            Self::InferencePerf => "inference-perf",
            Self::Hf => "hf",
            Self::Compressa => "compressa-perf",
            Self::Llmd => "llm-d",
        }
    }

    /// Returns what people call the tool.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Vllm => "vLLM's client",
            Self::Guidellm => "GuideLLM",
            Self::Aiperf => "AIPerf",
            Self::InferencePerf => "inference-perf",
            Self::Hf => "inference-benchmarker",
            Self::Compressa => "compressa-perf",
            Self::Llmd => "llm-d",
        }
    }
}

/// What a file says.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    /// Who wrote it.
    pub origin: Origin,
    /// The writer's version, where the file says.
    pub version: Option<String>,
    /// When it was measured, in RFC 3339.
    pub created: Option<String>,
    /// The target's URL.
    pub url: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// One for each operating point.
    pub points: Vec<Point>,
}

impl Import {
    pub(crate) fn new(origin: Origin) -> Self {
        Self { origin, version: None, created: None, url: None, model: None, points: Vec::new() }
    }
}

/// Reads a peer's result file.
///
/// # Errors
///
/// [`PeersError::Unknown`] for bytes that are no known peer's, otherwise what is wrong with them.
pub fn import(bytes: &[u8]) -> Result<Import, PeersError> {
    let is_json = bytes.trim_ascii_start().starts_with(b"{");
    let mut import = if bytes.starts_with(b"SQLite format 3\0") {
        compressa::read(bytes)?
    } else if is_json {
        json(bytes)?
    } else {
        return Err(unknown());
    };
    import.created = import.created.and_then(|said| wall(&said));
    Ok(import)
}

/// Refuses what is nobody's result.
pub(crate) fn unknown() -> PeersError {
    let known: Vec<_> = Origin::ALL.iter().map(|origin| origin.title()).collect();
    PeersError::Unknown { known: known.join(", ") }
}

fn json(bytes: &[u8]) -> Result<Import, PeersError> {
    let texts = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    let results: Vec<Value> = texts.collect::<Result<_, _>>()?;
    let first = results.first().ok_or_else(unknown)?;
    match origin(first).ok_or_else(unknown)? {
        Origin::Vllm => vllm_results(&results),
        Origin::Guidellm => guidellm::read(first),
        Origin::Aiperf => Ok(aiperf(first)),
        Origin::InferencePerf => Ok(inference_perf(first)),
        Origin::Hf => hf::read(first),
        Origin::Llmd => llmd::read(first),
        Origin::Compressa => Err(unknown()),
    }
}

/// Turns a date of any peer into RFC 3339. Where it has no zone, UTC is assumed.
fn wall(said: &str) -> Option<String> {
    if let Ok(at) = said.parse::<jiff::Timestamp>() {
        return Some(at.to_string());
    }
    let civil = said
        .parse::<jiff::civil::DateTime>()
        .or_else(|_| jiff::civil::DateTime::strptime("%Y%m%d-%H%M%S", said));
    let zoned = civil.ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().to_string())
}

/// Returns whose result this is, by keys that no other peer has together.
fn origin(result: &Value) -> Option<Origin> {
    let has = |keys: &[&str]| keys.iter().all(|key| !result[*key].is_null());
    [
        (Origin::Vllm, &["completed", "request_throughput", "duration"][..]),
        (Origin::Guidellm, &["metadata", "benchmarks"]),
        (Origin::Aiperf, &["aiperf_version", "request_latency"]),
        (Origin::InferencePerf, &["load_summary", "successes"]),
        (Origin::Hf, &["config", "results", "start_time"]),
        (Origin::Llmd, &["version", "run", "results"]),
    ]
    .into_iter()
    .find(|(_, keys)| has(keys))
    .map(|(origin, _)| origin)
}

/// Reads vLLM's results: one, or with `--append-result` one after another.
fn vllm_results(results: &[Value]) -> Result<Import, PeersError> {
    let first = &results[0];
    Ok(Import {
        created: text(&first["date"]),
        model: text(&first["model_id"]),
        points: results.iter().map(vllm::read).collect::<Result<_, _>>()?,
        ..Import::new(Origin::Vllm)
    })
}

/// AIPerf's `profile_export_aiperf.json`, schema 1.
fn aiperf(result: &Value) -> Import {
    let average = |key: &str| number(&result[key]["avg"]);
    let phases = &result["input_config"]["phases"];
    let phase = phases.as_array().and_then(|phases| phases.last());
    let load = phase.map_or_else(Load::default, |phase| Load {
        concurrency: phase["concurrency"].as_u64().map(|slots| slots as u32),
        rate: number(&phase["rate"]).or_else(|| number(&phase["request_rate"])),
        burstiness: None,
    });
    let mut point = Point {
        load,
        duration_s: average("benchmark_duration"),
        counts: Counts {
            completed: average("request_count").map(|count| count as u64),
            failed: Some(average("error_request_count").unwrap_or(0.0) as u64),
            incomplete: None,
        },
        ..Point::default()
    };
    for (name, key) in [
        ("request_throughput", Some("requests_per_s")),
        ("input_token_throughput", Some("input_tokens_per_s")),
        ("output_token_throughput", Some("output_tokens_per_s")),
        ("total_token_throughput", Some("total_tokens_per_s")),
        ("goodput", None),
    ] {
        point.push_rate(name, key, average(name));
    }
    for (name, key) in [
        ("time_to_first_token", Some("service_ttft_ms")),
        ("request_latency", Some("service_e2e_ms")),
        ("inter_token_latency", Some("tpot_ms")),
        ("inter_chunk_latency", Some("icl_ms")),
        ("time_to_second_token", None),
        ("time_to_first_output_token", None),
    ] {
        point.push_figure(name, key, Unit::Milliseconds, stats(&result[name]));
    }
    for name in ["input_sequence_length", "output_sequence_length"] {
        point.push_figure(name, None, Unit::Tokens, stats(&result[name]));
    }
    Import {
        version: text(&result["aiperf_version"]),
        created: text(&result["start_time"]),
        url: text(&result["input_config"]["endpoint"]["urls"][0]),
        model: text(&result["input_config"]["models"]["items"][0]["name"]),
        points: vec![point],
        ..Import::new(Origin::Aiperf)
    }
}

/// inference-perf's `summary_lifecycle_metrics.json`, or one of a stage.
fn inference_perf(result: &Value) -> Import {
    let (load, answered) = (&result["load_summary"], &result["successes"]);
    let mut point = Point {
        load: Load {
            concurrency: load["concurrency"].as_u64().map(|slots| slots as u32),
            rate: number(&load["requested_rate"]),
            burstiness: None,
        },
        duration_s: number(&result["benchmark_time_seconds"]),
        counts: Counts {
            completed: answered["count"].as_u64(),
            failed: result["failures"]["count"].as_u64(),
            incomplete: None,
        },
        ..Point::default()
    };
    for (name, key) in [
        ("requests_per_sec", "requests_per_s"),
        ("input_tokens_per_sec", "input_tokens_per_s"),
        ("output_tokens_per_sec", "output_tokens_per_s"),
        ("total_tokens_per_sec", "total_tokens_per_s"),
    ] {
        point.push_rate(name, Some(key), number(&answered["throughput"][name]));
    }
    for (name, key) in [
        ("request_latency", None),
        ("normalized_time_per_output_token", None),
        ("time_per_output_token", Some("tpot_ms")),
        ("time_to_first_token", Some("service_ttft_ms")),
        // Chunks of several tokens have gaps of 0 within them there.
        ("inter_token_latency", None),
    ] {
        point.push_figure(name, key, Unit::Seconds, stats(&answered["latency"][name]));
    }
    for name in ["prompt_len", "output_len"] {
        point.push_figure(name, None, Unit::Tokens, stats(&answered[name]));
    }
    Import { points: vec![point], ..Import::new(Origin::InferencePerf) }
}

/// Reads a distribution in any peer's spelling; absent without a mean.
///
/// `mean` or `avg`, `median` or `p50`, `std`, `std_dev` or `stddev`, `count`; percentiles beside
/// them or in an object `percentiles`.
pub(crate) fn stats(value: &Value) -> Option<Stats> {
    let any = |keys: &[&str]| keys.iter().find_map(|key| number(&value[*key]));
    let mean = any(&["mean", "avg"])?;
    let beside = value.as_object()?.iter();
    let within = value["percentiles"].as_object().into_iter().flatten();
    let mut percentiles: Vec<_> = beside
        .chain(within)
        .filter_map(|(key, value)| Some((percentage(key)?, number(value)?)))
        .collect();
    percentiles.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    percentiles.dedup_by_key(|(percentage, _)| *percentage);
    Some(Stats {
        count: any(&["count", "n"]).map(|count| count as u64),
        mean: Some(mean),
        std: any(&["std", "std_dev", "stddev"]),
        min: any(&["min"]),
        max: any(&["max"]),
        percentiles,
    })
}

/// Reads `p99`, `p99.9`, `p99p9` and `p999`, `p0.1`, `p0p1` and `p001`, `median`.
fn percentage(key: &str) -> Option<f64> {
    if key == "median" {
        return Some(50.0);
    }
    let digits = key.strip_prefix('p')?.replace('p', ".");
    match digits.len() {
        3 if !digits.contains('.') => digits.parse::<f64>().ok().map(|tenths| tenths / 10.0),
        _ => digits.parse().ok(),
    }
}

/// Reads a finite number.
pub(crate) fn number(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| number.is_finite())
}

/// Reads a text that says something.
pub(crate) fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_read_in_every_spelling() {
        for (key, expected) in [
            ("p50", Some(50.0)),
            ("p05", Some(5.0)),
            ("p999", Some(99.9)),
            ("p001", Some(0.1)),
            ("p99.9", Some(99.9)),
            ("p99p9", Some(99.9)),
            ("p0p1", Some(0.1)),
            ("median", Some(50.0)),
            ("percentiles", None),
            ("pdf", None),
        ] {
            assert_eq!(percentage(key), expected, "{key}");
        }
    }

    #[test]
    fn every_peers_date_is_read() {
        for (said, expected) in [
            ("20261122-024918", "2026-11-22T02:49:18Z"),
            ("2026-11-22 02:12:55", "2026-11-22T02:12:55Z"),
            ("2026-11-22T02:48:17.358874", "2026-11-22T02:48:17.358874Z"),
            ("2026-11-22T03:48:17+01:00", "2026-11-22T02:48:17Z"),
        ] {
            assert_eq!(wall(said).as_deref(), Some(expected));
        }
        assert_eq!(wall("yesterday"), None);
    }

    #[test]
    fn aiperfs_own_file_is_read() {
        let bytes = include_bytes!("../testdata/aiperf/profile_export_aiperf.json");
        let read = import(bytes).unwrap();
        assert_eq!((read.origin, read.version.as_deref()), (Origin::Aiperf, Some("0.13.0")));
        assert_eq!(read.model.as_deref(), Some("org/tiny"));
        let [point] = &read.points[..] else { panic!("one point") };
        assert_eq!((point.counts.completed, point.load.concurrency), (Some(11), Some(4)));
        assert_eq!(point.counts.failed, Some(1));
        let file: Value = serde_json::from_slice(bytes).unwrap();
        for figure in &point.figures {
            let said = &file[&figure.name];
            assert_eq!(figure.stats.mean, said["avg"].as_f64(), "{}", figure.name);
            assert_eq!(figure.stats.percentile(99.0), said["p99"].as_f64());
        }
        let json = point.to_json();
        assert_eq!(json["latency"]["tpot_ms"]["mean"], file["inter_token_latency"]["avg"]);
        assert_eq!(json["latency"]["itl_ms"], Value::Null);
    }

    #[test]
    fn inference_perfs_own_stage_is_read() {
        let bytes = include_bytes!("../testdata/inference-perf/stage_0_lifecycle_metrics.json");
        let read = import(bytes).unwrap();
        assert_eq!((read.origin, &read.created), (Origin::InferencePerf, &None));
        let json = read.points[0].to_json();
        assert_eq!(json["counts"], serde_json::json!({ "due": 15, "failed": 2, "finished": 13 }));
        assert_eq!(json["load"], serde_json::json!({ "kind": "open", "rate_rps": 5.0 }));
        let file: Value = serde_json::from_slice(bytes).unwrap();
        let said = &file["successes"]["latency"]["time_to_first_token"];
        let ttft = &json["latency"]["service_ttft_ms"];
        let in_ms = |key: &str| said[key].as_f64().map(|seconds| seconds * 1000.0);
        assert_eq!((ttft["mean"].as_f64(), ttft["p999"].as_f64()), (in_ms("mean"), in_ms("p99.9")));
        assert_eq!(ttft["p50"].as_f64(), in_ms("median"));
        let rate = &file["successes"]["throughput"]["requests_per_sec"];
        assert_eq!(&json["rates"]["requests_per_s"], rate);
    }

    #[test]
    fn what_is_no_peers_file_is_said_to_be_none() {
        for bytes in [&b"{}"[..], b"[1]", b"", b"not json", b"a,b\n1,2\n"] {
            let error = import(bytes).unwrap_err();
            assert!(error.to_string().contains("GuideLLM"), "{error}");
        }
        assert!(matches!(import(b" {\"cut"), Err(PeersError::Json(_))));
    }
}
