//! Each peer's own definitions, recomputed from the raw record (docs/metrics.md, section 10).
//!
//! A peer is a table: how it takes percentiles, which it prints, and for each figure the formula
//! over one request. Everything else follows from the table.
//!
//! Known limits: the record keeps no instants of events that are no chunks, so a peer that times
//! an empty role event is shown with the first chunk instead; servers send the two together.

use crate::point::{Counts, Point, Unit};
use crate::record::{Fate, Record, Request};
use crate::stats::{Rule, Stats};

/// Whose definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// vLLM's `bench serve`.
    Vllm,
    /// GuideLLM.
    Guidellm,
    /// NVIDIA AIPerf.
    Aiperf,
    /// inference-perf.
    InferencePerf,
    /// MLPerf LoadGen, the Server scenario.
    Mlperf,
    /// Hugging Face inference-benchmarker.
    Hf,
}

impl View {
    /// All views.
    pub const ALL: [Self; 6] =
        [Self::Vllm, Self::Guidellm, Self::Aiperf, Self::InferencePerf, Self::Mlperf, Self::Hf];

    /// Returns its name on the command line and in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vllm => "vllm",
            Self::Guidellm => "guidellm",
            Self::Aiperf => "aiperf",
            Self::InferencePerf => "inference-perf",
            Self::Mlperf => "mlperf",
            Self::Hf => "hf",
        }
    }

    /// Returns the view of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.name() == name)
    }

    /// Measures a record by this peer's definitions.
    pub fn measure(self, record: &Record) -> Point {
        let table = self.table();
        let answered: Vec<_> = record.answered().collect();
        let counts = Counts {
            completed: Some(answered.len() as u64),
            failed: Some(record.count(|fate| matches!(fate, Fate::Failed(_)))),
            incomplete: Some(record.count(|fate| *fate == Fate::Cut)),
        };
        let seconds = (table.seconds)(record);
        let mut point = Point {
            load: record.facts.load,
            duration_s: Some(seconds),
            counts,
            ..Point::default()
        };
        let input: u64 = answered.iter().map(|request| request.input).sum();
        let output: u64 = answered.iter().map(|request| request.output).sum();
        let totals = [answered.len() as u64, input, output, input + output];
        for (name, total) in table.rates.iter().zip(totals) {
            let rate = (seconds > 0.0).then(|| total as f64 / seconds);
            let RateName { name, key } = name;
            point.push_rate(name, *key, rate);
        }
        for formula in table.figures {
            let stats = table.describe(formula, &answered);
            point.push_figure(formula.name, formula.key, formula.unit, stats);
        }
        point
    }

    fn table(self) -> &'static Table {
        match self {
            Self::Vllm => &VLLM,
            Self::Guidellm => &GUIDELLM,
            Self::Aiperf => &AIPERF,
            Self::InferencePerf => &INFERENCE_PERF,
            Self::Mlperf => &MLPERF,
            Self::Hf => &HF,
        }
    }
}

/// A peer's definitions.
struct Table {
    percentiles: Percentiles,
    percentages: &'static [f64],
    /// The time that rates are over.
    seconds: fn(&Record) -> f64,
    /// Requests, input, output and all tokens per second.
    rates: [RateName; 4],
    figures: &'static [Formula],
}

/// How percentiles are taken.
enum Percentiles {
    Plain(Rule),
    /// Observations have weights; a percentile is where the weight below reaches its share.
    Weighted,
}

struct RateName {
    name: &'static str,
    key: Option<&'static str>,
}

const fn rate(name: &'static str, key: &'static str) -> RateName {
    RateName { name, key: Some(key) }
}

/// One figure: what each request observes, in seconds.
struct Formula {
    name: &'static str,
    /// infermark's key, if the definition is the same.
    key: Option<&'static str>,
    unit: Unit,
    observe: fn(&Request, &mut Vec<Weighed>),
}

/// An observation and its weight.
pub(crate) type Weighed = (f64, f64);

impl Table {
    /// Statistics are taken first and change their unit after, as peers do.
    fn describe(&self, formula: &Formula, requests: &[&Request]) -> Option<Stats> {
        let mut seen = Vec::new();
        for request in requests {
            (formula.observe)(request, &mut seen);
        }
        let stats = match self.percentiles {
            Percentiles::Plain(rule) => {
                let values: Vec<_> = seen.iter().map(|(value, _)| *value).collect();
                Stats::of(&values, rule, self.percentages)
            }
            Percentiles::Weighted => weighted(&seen, self.percentages),
        };
        let factor = if formula.unit == Unit::Milliseconds { 1000.0 } else { 1.0 };
        stats.map(|stats| stats.scaled(factor))
    }
}

/// GuideLLM's statistics: the mean, and the least value up to which the weights reach a share.
pub(crate) fn weighted(seen: &[Weighed], percentages: &[f64]) -> Option<Stats> {
    let total: f64 = seen.iter().map(|(_, weight)| weight).sum();
    if total <= 0.0 {
        return None;
    }
    let mean = seen.iter().map(|(value, weight)| value * weight).sum::<f64>() / total;
    let spread = seen.iter().map(|(value, weight)| (value - mean).powi(2) * weight).sum::<f64>();
    let mut ascending: Vec<_> = seen.iter().filter(|(_, weight)| *weight > 0.0).collect();
    ascending.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    let mut below = 0.0;
    let reached: Vec<_> = ascending
        .iter()
        .map(|(value, weight)| {
            below += weight / total;
            (below, *value)
        })
        .collect();
    let (first, last) = (reached.first()?.1, reached.last()?.1);
    let at = |percentage: f64| {
        // Sums of shares fall short of the share by rounding.
        let share = percentage / 100.0 - 1e-9;
        reached.iter().find(|(below, _)| *below >= share).map_or(last, |(_, value)| *value)
    };
    Some(Stats {
        count: Some(seen.len() as u64),
        mean: Some(mean),
        std: Some((spread / total).sqrt()),
        min: Some(first),
        max: Some(last),
        percentiles: percentages.iter().map(|&p| (p, at(p))).collect(),
    })
}

fn push(value: Option<f64>, seen: &mut Vec<Weighed>) {
    seen.extend(value.map(|value| (value, 1.0)));
}

fn gaps(request: &Request, seen: &mut Vec<Weighed>) {
    seen.extend(request.gaps.iter().map(|&gap| (gap, 1.0)));
}

/// From the first sending to the last end.
fn whole(record: &Record) -> f64 {
    record.duration()
}

/// From the first sending to the last end of the answered.
fn whole_of_answered(record: &Record) -> f64 {
    let start = record.answered().map(|request| request.start).fold(f64::MAX, f64::min);
    let end = record.answered().map(|request| request.end).fold(f64::MIN, f64::max);
    (end - start).max(0.0)
}

/// From the first arrival that was due to the last completion.
fn from_first_due(record: &Record) -> f64 {
    let start = record.requests.iter().map(|request| request.due).fold(f64::MAX, f64::min);
    let end = record.answered().map(|request| request.end).fold(f64::MIN, f64::max);
    (end - start).max(0.0)
}

/// From the start of the first to the end of the last, in the order of completion.
fn first_to_last_completed(record: &Record) -> f64 {
    let by_end = |one: &&Request, other: &&Request| one.end.total_cmp(&other.end);
    let first = record.requests.iter().min_by(by_end);
    let last = record.requests.iter().max_by(by_end);
    first.zip(last).map_or(0.0, |(first, last)| (last.end - first.start).max(0.0))
}

const TTFT: Formula = Formula {
    name: "time_to_first_token",
    key: Some("service_ttft_ms"),
    unit: Unit::Milliseconds,
    observe: |request, seen| push(request.ttft(), seen),
};
const TPOT: Formula = Formula {
    name: "time_per_output_token",
    key: Some("tpot_ms"),
    unit: Unit::Milliseconds,
    observe: |request, seen| push(request.tpot(), seen),
};
const GAPS: Formula = Formula {
    name: "inter_token_latency",
    key: Some("icl_ms"),
    unit: Unit::Milliseconds,
    observe: gaps,
};
const LATENCY: Formula = Formula {
    name: "request_latency",
    key: Some("service_e2e_ms"),
    unit: Unit::Milliseconds,
    observe: |request, seen| push(Some(request.latency()), seen),
};

/// `vllm bench serve`, `calculate_metrics` in `vllm/benchmarks/serve.py`, 0.32.
static VLLM: Table = Table {
    percentiles: Percentiles::Plain(Rule::Linear),
    percentages: &[50.0, 90.0, 95.0, 99.0],
    seconds: whole,
    rates: [
        rate("request_throughput", "requests_per_s"),
        rate("input_throughput", "input_tokens_per_s"),
        rate("output_throughput", "output_tokens_per_s"),
        rate("total_token_throughput", "total_tokens_per_s"),
    ],
    figures: &[
        Formula { name: "ttft", ..TTFT },
        Formula { name: "tpot", ..TPOT },
        Formula { name: "itl", ..GAPS },
        Formula { name: "e2el", ..LATENCY },
    ],
};

/// GuideLLM 0.8, `schemas/base/request_stats.py` and `benchmark/schemas/metrics.py`.
static GUIDELLM: Table = Table {
    percentiles: Percentiles::Weighted,
    percentages: &[0.1, 1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9],
    seconds: whole,
    rates: [
        rate("requests_per_second", "requests_per_s"),
        rate("prompt_tokens_per_second", "input_tokens_per_s"),
        rate("output_tokens_per_second", "output_tokens_per_s"),
        rate("tokens_per_second", "total_tokens_per_s"),
    ],
    figures: &[
        Formula {
            name: "request_latency",
            key: None,
            unit: Unit::Seconds,
            observe: |request, seen| push(Some(request.end - request.start), seen),
        },
        Formula { name: "time_to_first_token_ms", ..TTFT },
        Formula {
            name: "time_to_first_output_token_ms",
            key: None,
            unit: Unit::Milliseconds,
            observe: |request, seen| {
                push(request.first_answer.map(|first| first - request.start), seen);
            },
        },
        Formula {
            // From the request's start, and over all tokens.
            name: "time_per_output_token_ms",
            key: None,
            unit: Unit::Milliseconds,
            observe: |request, seen| {
                let tokens = request.output as f64;
                seen.push((request.latency() / tokens, tokens));
            },
        },
        Formula {
            // The mean of a request, which counts as often as it has gaps between tokens.
            name: "inter_token_latency_ms",
            key: None,
            unit: Unit::Milliseconds,
            observe: |request, seen| {
                seen.extend(request.tpot().map(|tpot| (tpot, (request.output - 1) as f64)));
            },
        },
        Formula {
            name: "prompt_token_count",
            key: None,
            unit: Unit::Tokens,
            observe: |request, seen| push(Some(request.input as f64), seen),
        },
        Formula {
            name: "output_token_count",
            key: None,
            unit: Unit::Tokens,
            observe: |request, seen| push(Some(request.output as f64), seen),
        },
        Formula {
            name: "total_token_count",
            key: None,
            unit: Unit::Tokens,
            observe: |request, seen| push(Some((request.input + request.output) as f64), seen),
        },
    ],
};

/// AIPerf 0.13, `metrics/types`.
static AIPERF: Table = Table {
    percentiles: Percentiles::Plain(Rule::Linear),
    percentages: &[1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0],
    seconds: whole_of_answered,
    rates: [
        rate("request_throughput", "requests_per_s"),
        rate("input_token_throughput", "input_tokens_per_s"),
        rate("output_token_throughput", "output_tokens_per_s"),
        rate("total_token_throughput", "total_tokens_per_s"),
    ],
    figures: &[
        TTFT,
        LATENCY,
        // (latency − TTFT) ÷ (tokens − 1): what others call TPOT.
        Formula { name: "inter_token_latency", ..TPOT },
        Formula { name: "inter_chunk_latency", ..GAPS },
    ],
};

/// inference-perf 0.5, `reportgen/base.py`.
static INFERENCE_PERF: Table = Table {
    percentiles: Percentiles::Plain(Rule::Linear),
    percentages: &[0.1, 1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9],
    seconds: whole_of_answered,
    rates: [
        rate("requests_per_sec", "requests_per_s"),
        rate("input_tokens_per_sec", "input_tokens_per_s"),
        rate("output_tokens_per_sec", "output_tokens_per_s"),
        rate("total_tokens_per_sec", "total_tokens_per_s"),
    ],
    figures: &[
        Formula {
            name: "request_latency",
            key: None,
            unit: Unit::Seconds,
            observe: |request, seen| push(Some(request.end - request.start), seen),
        },
        Formula {
            name: "normalized_time_per_output_token",
            key: None,
            unit: Unit::Seconds,
            observe: |request, seen| {
                push(Some((request.end - request.start) / request.output as f64), seen);
            },
        },
        Formula { unit: Unit::Seconds, ..TPOT },
        Formula { unit: Unit::Seconds, ..TTFT },
        // There, tokens that came in one chunk have gaps of 0 between them, by re-tokenizing.
        Formula { key: None, unit: Unit::Seconds, ..GAPS },
    ],
};

/// MLPerf LoadGen's Server scenario: times count from when a sample was due.
static MLPERF: Table = Table {
    percentiles: Percentiles::Plain(Rule::Floor),
    percentages: &[50.0, 90.0, 95.0, 97.0, 99.0, 99.9],
    seconds: from_first_due,
    rates: [
        rate("completed_samples_per_second", "requests_per_s"),
        rate("input_tokens_per_second", "input_tokens_per_s"),
        rate("completed_tokens_per_second", "output_tokens_per_s"),
        rate("total_tokens_per_second", "total_tokens_per_s"),
    ],
    figures: &[
        Formula {
            name: "latency",
            key: Some("e2e_ms"),
            unit: Unit::Milliseconds,
            observe: |request, seen| {
                push(Some(request.last.unwrap_or(request.end) - request.due), seen);
            },
        },
        Formula {
            name: "first_token_latency",
            key: Some("ttft_ms"),
            unit: Unit::Milliseconds,
            observe: |request, seen| push(request.first.map(|first| first - request.due), seen),
        },
        TPOT,
    ],
};

/// Hugging Face inference-benchmarker 1.1, `src/results.rs`.
static HF: Table = Table {
    percentiles: Percentiles::Plain(Rule::Linear),
    percentages: &[50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 99.0],
    seconds: first_to_last_completed,
    rates: [
        rate("request_rate", "requests_per_s"),
        rate("input_tokens_per_sec", "input_tokens_per_s"),
        rate("token_throughput_secs", "output_tokens_per_s"),
        rate("total_tokens_per_sec", "total_tokens_per_s"),
    ],
    figures: &[
        TTFT_MS,
        Formula {
            // The mean gap of a request: gaps after the first token ÷ (tokens − 1).
            name: "inter_token_latency_ms",
            key: None,
            unit: Unit::Milliseconds,
            observe: |request, seen| push(request.tpot(), seen),
        },
        Formula {
            name: "e2e_latency_ms",
            key: None,
            unit: Unit::Milliseconds,
            observe: |request, seen| push(Some(request.end - request.start), seen),
        },
    ],
};

const TTFT_MS: Formula = Formula { name: "time_to_first_token_ms", ..TTFT };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::record;

    #[test]
    fn the_same_record_has_other_figures_by_other_definitions() {
        let record = record();
        let mean = |view: View, name: &str| view.measure(&record).figure(name)?.stats.mean;
        // Sent 10 ms after it was due, first of 4 tokens 100 ms later, then gaps of 10, 20, 30 ms.
        let close = |found: Option<f64>, expected: f64| {
            assert!((found.unwrap() - expected).abs() < 1e-6, "{found:?} is not {expected}");
        };
        close(mean(View::Vllm, "ttft"), 100.0);
        close(mean(View::Mlperf, "first_token_latency"), 110.0);
        close(mean(View::Vllm, "tpot"), 20.0);
        close(mean(View::Guidellm, "time_per_output_token_ms"), 40.0);
        close(mean(View::Guidellm, "inter_token_latency_ms"), 20.0);
        close(mean(View::InferencePerf, "request_latency"), 0.165);
        close(mean(View::InferencePerf, "normalized_time_per_output_token"), 0.041_25);
        close(mean(View::Mlperf, "latency"), 170.0);
    }

    #[test]
    fn percentiles_differ_by_rule() {
        let record = record();
        let p90 = |view: View, name: &str| {
            view.measure(&record).figure(name).unwrap().stats.percentile(90.0).unwrap()
        };
        assert!((p90(View::Vllm, "itl") - 30.0).abs() < 1e-6);
        assert!((p90(View::Mlperf, "latency") - 170.0).abs() < 1e-6);
    }

    #[test]
    fn failures_are_counted_and_not_timed() {
        for view in View::ALL {
            let point = view.measure(&record());
            let Counts { completed, failed, incomplete } = point.counts;
            assert_eq!((completed, failed, incomplete), (Some(2), Some(1), Some(1)), "{view:?}");
            for figure in &point.figures {
                let expected = if figure.name.contains("inter") || figure.name == "itl" {
                    [Some(2), Some(6)]
                } else {
                    [Some(2); 2]
                };
                assert!(expected.contains(&figure.stats.count), "{view:?} {}", figure.name);
            }
        }
    }

    #[test]
    fn a_weighted_percentile_is_an_observation() {
        let seen = [(3.0, 1.0), (1.0, 7.0), (2.0, 2.0)];
        let stats = weighted(&seen, &[50.0, 70.0, 90.0, 95.0]).unwrap();
        let values: Vec<_> = stats.percentiles.iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [1.0, 1.0, 2.0, 3.0]);
        assert_eq!(stats.mean, Some(1.4));
    }
}
