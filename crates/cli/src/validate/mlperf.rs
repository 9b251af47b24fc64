//! What came of a suite after `MLPerf`'s rules, in the fields of `LoadGen`'s
//! `mlperf_log_summary.txt`, so that what reads those can read these.
//!
//! Absent fields are those of which nothing is known here, such as `LoadGen`'s own seeds.

use infermark_measure::{Decision, Estimate, Point};
use infermark_run::study::{Studied, Taken};
use infermark_run::suite::{Line, Passed, Validation};
use infermark_terms::notation::duration;

/// The file's name, in the study's directory.
pub(super) const FILE: &str = "mlperf_log_summary.txt";

const RULE: &str = "================================================";

/// Writes the summary of a suite after `MLPerf`; nothing for another.
pub(super) fn summary(studied: &Studied, validation: &Validation) -> Option<String> {
    let scenario = validation.suite.strip_prefix("mlperf:")?.split(':').nth(1)?;
    let (place, _) = validation.groups.first()?.points.last()?;
    let taken = studied.points.get(*place)?;
    let mut lines = head(studied, taken, scenario, validation);
    lines.extend(["", RULE, "Additional Stats", RULE].map(str::to_owned));
    lines.extend(stats(&taken.point));
    lines.extend(["", RULE, "Test Parameters Used", RULE].map(str::to_owned));
    lines.extend(parameters(studied, *place, validation));
    Some(lines.join("\n") + "\n")
}

fn head(studied: &Studied, taken: &Taken, scenario: &str, validation: &Validation) -> Vec<String> {
    let point = &taken.point;
    let rates = point.rates.unwrap_or_default();
    let is_offline = scenario == "offline";
    let model = studied.header.target["model"].as_str().unwrap_or("unknown");
    let valid = if validation.verdict == Passed::Pass { "VALID" } else { "INVALID" };
    let mut lines = vec![
        RULE.to_owned(),
        "MLPerf Results Summary (no official submission: written by infermark)".to_owned(),
        RULE.to_owned(),
        format!("SUT name : {model}"),
        format!("Scenario : {}", if is_offline { "Offline" } else { "Server" }),
        "Mode     : PerformanceOnly".to_owned(),
    ];
    lines.push(if is_offline {
        format!("Samples per second: {}", rates.requests_per_s)
    } else {
        format!("Completed samples per second    : {}", rates.requests_per_s)
    });
    lines.push(if is_offline {
        format!("Tokens per second: {}", rates.output_tokens_per_s)
    } else {
        format!("Completed tokens per second: {}", rates.output_tokens_per_s)
    });
    lines.push(format!("Result is : {valid}"));
    let tails: Vec<&Line> =
        validation.lines.iter().filter(|line| line.name.starts_with("time ")).collect();
    let missed = tails.iter().flat_map(|line| &line.rulings);
    let missed = missed.filter(|ruling| ruling.verdict == Decision::Missed).count();
    let kept = if missed == 0 { Passed::Pass } else { Passed::Fail };
    if !is_offline {
        lines.push(said("Performance constraints satisfied", kept));
    }
    for name in ["min duration", "min queries"] {
        let line = validation.lines.iter().find(|line| line.name == name);
        let what = name.replacen('m', "M", 1);
        let passed = line.map_or(Passed::Undecided, |line| line.verdict);
        lines.push(said(&format!("{what} satisfied"), passed));
    }
    if !is_offline {
        let worst = tails.iter().map(|line| line.verdict).max().unwrap_or(Passed::Undecided);
        lines.push(said("Early stopping satisfied", worst));
    }
    for (name, line) in ["TTFT", "TPOT"].iter().zip(tails) {
        lines.push(format!("{name} Early Stopping Result:"));
        lines.extend(line.detail.iter().map(|detail| format!(" * {detail}")));
    }
    lines
}

fn said(what: &str, passed: Passed) -> String {
    format!("  {what} : {}", if passed == Passed::Pass { "Yes" } else { "NO" })
}

/// Writes latencies in nanoseconds, as `LoadGen` does; latency counts from the scheduled time.
fn stats(point: &Point) -> Vec<String> {
    let latency = &point.latency;
    let kinds = [
        ("latency", latency.e2e_ms),
        ("first token latency", latency.ttft_ms),
        ("time per output token", latency.tpot_ms),
    ];
    kinds.into_iter().filter_map(|(name, figure)| Some((name, figure?))).flat_map(stat).collect()
}

fn stat((name, e): (&'static str, Estimate)) -> Vec<String> {
    let figures = [
        (format!("Min {name} (ns)"), Some(e.min)),
        (format!("Max {name} (ns)"), Some(e.max)),
        (format!("Mean {name} (ns)"), Some(e.mean)),
        (format!("50.00 percentile {name} (ns)"), Some(e.p50)),
        (format!("90.00 percentile {name} (ns)"), e.p90),
        (format!("95.00 percentile {name} (ns)"), e.p95),
        (format!("99.00 percentile {name} (ns)"), e.p99),
        (format!("99.90 percentile {name} (ns)"), e.p999),
    ];
    let known = figures.into_iter().filter_map(|(name, ms)| Some((name, ms?)));
    known.map(|(name, ms)| format!("{name:<46} : {:.0}", ms * 1e6)).collect()
}

fn parameters(studied: &Studied, place: usize, validation: &Validation) -> Vec<String> {
    let changed = &studied.header.points[place]["changed"];
    let text = |key: &str| changed[key].as_str().map(str::to_owned);
    let limit = |name: &str| {
        let line = validation.lines.iter().find(|line| line.name == name)?;
        Some(format!("{:.0}", line.rulings.first()?.bound.limit * 1e6))
    };
    let seed = studied.header.points[place]["seed"].as_u64().map(|seed| seed.to_string());
    let known = [
        ("target_qps", text("rate").map(|rate| rate.trim_end_matches("/s").to_owned())),
        ("ttft_latency (ns)", limit("time to first token")),
        ("tpot_latency (ns)", limit("time per output token")),
        ("max_async_queries", text("max_concurrency")),
        ("min_duration (ms)", text("duration").and_then(|text| millis(&text))),
        ("min_query_count", text("requests")),
        ("schedule_rng_seed", seed),
    ];
    let known = known.into_iter().filter_map(|(name, value)| Some((name, value?)));
    known.map(|(name, value)| format!("{name} : {value}")).collect()
}

/// Returns a duration's text in milliseconds.
fn millis(text: &str) -> Option<String> {
    Some((duration(text).ok()?.0 / 1_000_000).to_string())
}
