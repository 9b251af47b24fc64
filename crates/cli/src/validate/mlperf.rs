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

#[cfg(test)]
mod tests {
    use infermark_measure::Ruling;
    use infermark_run::RunFile;
    use infermark_run::study::{Ended, Pace};
    use infermark_run::suite::{Group, Length, LineKind};
    use infermark_terms::Trust;
    use serde_json::{Value, json};

    use super::*;
    use crate::exit::Exit;
    use crate::study::vouch;

    /// An estimate whose figures can be told from each other, and from those of another base.
    fn estimate(base: f64) -> Value {
        json!({
            "n": 2000, "mean": base + 0.5, "mean_ci95": [base, base + 1.0], "stddev": 0.25,
            "min": base, "max": base + 9.0, "p50": base + 1.0, "p90": base + 2.0,
            "p95": base + 3.0, "p99": base + 4.0, "p999": base + 5.0,
        })
    }

    fn point() -> Value {
        json!({
            "load": { "kind": "open", "rate_rps": 16.5, "arrivals": "poisson", "course": "steady" },
            "window": { "start_s": 0.0, "end_s": 600.0, "found": "given" },
            "counts": {
                "due": 2000, "success": 2000, "failed": 0, "failure_rate": 0.0, "finished": 2000,
                "refused": 0, "severed": 0, "garbled": 0, "errored": 0, "expired": 0, "shed": 0,
                "abandoned": 0,
            },
            "latency": {
                "e2e_ms": estimate(3000.0), "ttft_ms": estimate(200.0), "tpot_ms": estimate(30.0),
            },
            "rates": {
                "requests_per_s": 16.25, "output_tokens_per_s": 2080.5, "elapsed_s": 600.0,
            },
            "tokens": { "input_total": 0, "output_total": 1, "source": "server" },
            "trust": { "verdict": "sound", "caveats": [] },
        })
    }

    fn studied(changed: &Value) -> Studied {
        let read = serde_json::from_value(point());
        let taken = Taken {
            label: "peak".to_owned(),
            point: read.unwrap_or_else(|error| panic!("{error}")),
            ended: Ended::Whole,
            pace: Pace::Given,
            record: None,
        };
        let header = RunFile {
            target: json!({ "model": "org/model" }),
            points: vec![json!({ "changed": changed, "seed": 42 })],
            ..RunFile::default()
        };
        Studied { dir: "study".into(), header, points: vec![taken] }
    }

    /// A line with a verdict, and with the limit that it is about where it is about one.
    fn line(name: &str, verdict: Passed, bound: Option<&str>) -> Line {
        let ruling = |bound: &str| Ruling {
            bound: bound.parse().unwrap(),
            value: None,
            ci95: [None; 2],
            beyond: None,
            verdict: if verdict == Passed::Fail { Decision::Missed } else { Decision::Met },
            margin: None,
            more_requests: None,
        };
        Line {
            kind: LineKind::Check,
            target: None,
            workload: "w".to_owned(),
            name: name.to_owned(),
            rule: String::new(),
            at: "peak".to_owned(),
            verdict,
            load: None,
            rulings: bound.map(ruling).into_iter().collect(),
            detail: bound.map(|bound| format!("{bound}: 3 of 2000 over the limit")),
        }
    }

    fn validation(suite: &str, verdict: Passed, lines: Vec<Line>) -> Validation {
        Validation {
            suite: suite.to_owned(),
            title: String::new(),
            source: None,
            notes: Vec::new(),
            length: Length::Whole,
            overridden: Vec::new(),
            references: Vec::new(),
            verdict,
            trust: None,
            lines,
            groups: vec![Group {
                target: None,
                workload: "w".to_owned(),
                points: vec![(0, "peak".to_owned())],
            }],
            contests: Vec::new(),
        }
    }

    #[test]
    fn a_trial_that_nobody_vouches_for_does_not_void_the_suite() {
        let mut studied = studied(&json!({}));
        let trial = Taken { label: "search".to_owned(), ..studied.points[0].clone() };
        studied.points.insert(0, trial);
        studied.points[0].point.trust.verdict = Trust::Void;
        let mut at = |points: &[usize]| {
            let points = points.iter().map(|place| (*place, "peak".to_owned())).collect();
            let mut found = validation("mlperf:m:server", Passed::Pass, Vec::new());
            found.groups[0].points = points;
            let _: Option<Value> = studied.header.rest.insert("validation".into(), json!(found));
            vouch(&studied, Exit::Done)
        };
        assert_eq!(at(&[1]), Exit::Done);
        assert_eq!(at(&[0, 1]), Exit::Void);
        assert_eq!(at(&[]), Exit::Void, "why there is no peak may stand at any point");
    }

    #[test]
    fn a_server_result_has_load_gens_fields_and_says_that_it_is_no_submission() {
        let lines = vec![
            line("time to first token", Passed::Pass, Some("ttft:p99<=2s")),
            line("time per output token", Passed::Pass, Some("tpot:p99<=100ms")),
            line("min duration", Passed::Pass, None),
            line("min queries", Passed::Pass, None),
        ];
        let changed = json!({ "rate": "16.5/s", "duration": "600s" });
        let all = validation("mlperf:llama3.1-8b:server", Passed::Pass, lines);
        insta::assert_snapshot!(summary(&studied(&changed), &all).unwrap());
    }

    #[test]
    fn a_server_result_beyond_a_limit_is_invalid() {
        let lines = vec![
            line("time to first token", Passed::Pass, Some("ttft:p99<=2s")),
            line("time per output token", Passed::Fail, Some("tpot:p99<=30ms")),
            line("min duration", Passed::Fail, None),
            line("min queries", Passed::Pass, None),
        ];
        let all = validation("mlperf:llama3.1-8b:interactive", Passed::Fail, lines);
        let text = summary(&studied(&json!({ "rate": "16.5/s" })), &all).unwrap();
        for words in [
            "Scenario : Server",
            "Result is : INVALID",
            "  Performance constraints satisfied : NO",
            "  Min duration satisfied : NO",
            "  Min queries satisfied : Yes",
            "  Early stopping satisfied : NO",
        ] {
            assert!(text.contains(words), "no `{words}` in {text}");
        }
    }

    #[test]
    fn an_offline_result_is_in_samples_and_has_no_limits() {
        let lines =
            vec![line("min duration", Passed::Fail, None), line("min queries", Passed::Pass, None)];
        let changed = json!({ "max_concurrency": "1024", "requests": "13368" });
        let all = validation("mlperf:llama3.1-8b:offline", Passed::Fail, lines);
        insta::assert_snapshot!(summary(&studied(&changed), &all).unwrap());
    }

    #[test]
    fn other_suites_and_studies_without_points_have_no_summary() {
        let other = validation("ai-factory", Passed::Pass, Vec::new());
        assert_eq!(summary(&studied(&json!({})), &other), None);
        let mut none = validation("mlperf:llama3.1-8b:server", Passed::Undecided, Vec::new());
        none.groups.clear();
        assert_eq!(summary(&studied(&json!({})), &none), None);
    }
}
