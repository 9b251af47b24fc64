//! The listener's `/metrics`: vLLM's names, in the Prometheus text format.
//!
//! Durations are in the engine's time, as the engine would see them.
//!
//! Deliberately not here: metrics of parts that the simulator does not have (adapters, multi-modal
//! caches, KV transfer), and those of Python's process.

use std::fmt::{Display, Write as _};

use infermark_terms::{FinishReason, Nanos, Stamp};

use crate::engine::{EngineEvent, EventKind, Gauges};

/// The boundaries of vLLM 0.32 (`vllm/v1/metrics/buckets.py`).
const LATENCY: &[f64] = &[
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
];
const FIRST_TOKEN: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];
const INTER_TOKEN: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
];
const ITERATION: &[f64] =
    &[1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0];

/// A Prometheus histogram.
#[derive(Clone, Debug)]
struct Histogram {
    name: &'static str,
    help: &'static str,
    bounds: Vec<f64>,
    /// One more than bounds: the last is above all of them.
    counts: Vec<u64>,
    sum: f64,
}

/// The histograms, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    PromptTokens,
    GenerationTokens,
    Iteration,
    MaxTokens,
    FirstToken,
    InterToken,
    PerOutputToken,
    EndToEnd,
    Queue,
    Inference,
    Prefill,
    Decode,
}

/// Each histogram with its name, what it says of itself, and its boundaries; none stands for
/// those of lengths, which depend on the model.
const FIGURES: [(Figure, &str, &str, &[f64]); 12] = [
    (
        Figure::PromptTokens,
        "vllm:request_prompt_tokens",
        "Number of prefill tokens processed.",
        &[],
    ),
    (
        Figure::GenerationTokens,
        "vllm:request_generation_tokens",
        "Number of generation tokens processed.",
        &[],
    ),
    (
        Figure::Iteration,
        "vllm:iteration_tokens_total",
        "Histogram of number of tokens per engine_step.",
        ITERATION,
    ),
    (
        Figure::MaxTokens,
        "vllm:request_params_max_tokens",
        "Histogram of the max_tokens request parameter.",
        &[],
    ),
    (
        Figure::FirstToken,
        "vllm:time_to_first_token_seconds",
        "Histogram of time to first token in seconds.",
        FIRST_TOKEN,
    ),
    (
        Figure::InterToken,
        "vllm:inter_token_latency_seconds",
        "Histogram of inter-token latency in seconds.",
        INTER_TOKEN,
    ),
    (
        Figure::PerOutputToken,
        "vllm:request_time_per_output_token_seconds",
        "Histogram of time_per_output_token_seconds per request.",
        INTER_TOKEN,
    ),
    (
        Figure::EndToEnd,
        "vllm:e2e_request_latency_seconds",
        "Histogram of e2e request latency in seconds.",
        LATENCY,
    ),
    (
        Figure::Queue,
        "vllm:request_queue_time_seconds",
        "Histogram of time spent in WAITING phase for request.",
        LATENCY,
    ),
    (
        Figure::Inference,
        "vllm:request_inference_time_seconds",
        "Histogram of time spent in RUNNING phase for request.",
        LATENCY,
    ),
    (
        Figure::Prefill,
        "vllm:request_prefill_time_seconds",
        "Histogram of time spent in PREFILL phase for request.",
        LATENCY,
    ),
    (
        Figure::Decode,
        "vllm:request_decode_time_seconds",
        "Histogram of time spent in DECODE phase for request.",
        LATENCY,
    ),
];

/// Everything that is counted here; the engine counts the rest.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    model: String,
    /// As in [`FIGURES`].
    histograms: Vec<Histogram>,
    /// The step that is being counted, and its tokens.
    step: Option<(Stamp, u64)>,
    /// How many jobs ended, as in [`JobEnd::WORDS`].
    ends: [u64; 4],
}

/// What the metrics need to know of a job: its milestones in the engine's time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Course {
    pub(crate) arrival: Stamp,
    pub(crate) scheduled: Option<Stamp>,
    pub(crate) first_token: Option<Stamp>,
    pub(crate) last_token: Option<Stamp>,
    pub(crate) prompt_tokens: u32,
    pub(crate) generated: u32,
    pub(crate) max_tokens: u32,
}

/// How a job ended, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobEnd {
    Stopped,
    Limited,
    Aborted,
    Failed,
}

impl JobEnd {
    const WORDS: [&str; 4] = ["stop", "length", "abort", "error"];

    pub(crate) fn of(reason: &FinishReason) -> Self {
        if *reason == FinishReason::Length { Self::Limited } else { Self::Stopped }
    }
}

impl Metrics {
    pub(crate) fn new(model: &str, max_model_len: u32) -> Self {
        let lengths = one_two_five(max_model_len);
        let histogram = |(_, name, help, bounds): (Figure, _, _, &[f64])| {
            Histogram::new(name, help, if bounds.is_empty() { &lengths } else { bounds })
        };
        Self {
            model: model.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"),
            histograms: FIGURES.map(histogram).into(),
            step: None,
            ends: [0; 4],
        }
    }

    fn observe(&mut self, figure: Figure, value: f64) {
        self.histograms[figure as usize].observe(value);
    }

    fn record(&mut self, figure: Figure, span: Nanos) {
        self.observe(figure, span.as_secs_f64());
    }

    /// Counts an event of a job.
    pub(crate) fn event(&mut self, event: &EngineEvent, course: &mut Course) {
        let at = event.at;
        match event.kind {
            EventKind::FirstScheduled { .. } => {
                course.scheduled = Some(at);
                self.record(Figure::Queue, at.since(course.arrival));
            }
            EventKind::Tokens { count } => {
                let mut tokens = u64::from(count);
                if let Some(last) = course.last_token {
                    self.record(Figure::InterToken, at.since(last));
                } else {
                    tokens += u64::from(course.prompt_tokens);
                    course.first_token = Some(at);
                    self.record(Figure::FirstToken, at.since(course.arrival));
                }
                course.last_token = Some(at);
                course.generated += count;
                self.step_tokens(at, tokens);
            }
            EventKind::Preempted | EventKind::Finished | EventKind::Rejected { .. } => {}
        }
    }

    /// Adds to the step at this instant. A prompt counts in the step that ends its prefill.
    fn step_tokens(&mut self, at: Stamp, tokens: u64) {
        match &mut self.step {
            Some((instant, sum)) if *instant == at => *sum += tokens,
            step => {
                if let Some((_, sum)) = step.replace((at, tokens)) {
                    self.observe(Figure::Iteration, sum as f64);
                }
            }
        }
    }

    /// Counts a job that ended.
    pub(crate) fn ended(&mut self, course: &Course, end: JobEnd) {
        self.ends[end as usize] += 1;
        self.observe(Figure::PromptTokens, f64::from(course.prompt_tokens));
        self.observe(Figure::GenerationTokens, f64::from(course.generated));
        self.observe(Figure::MaxTokens, f64::from(course.max_tokens));
        let (Some(first), Some(last)) = (course.first_token, course.last_token) else { return };
        let scheduled = course.scheduled.unwrap_or(course.arrival);
        self.record(Figure::EndToEnd, last.since(course.arrival));
        self.record(Figure::Inference, last.since(scheduled));
        self.record(Figure::Prefill, first.since(scheduled));
        self.record(Figure::Decode, last.since(first));
        if course.generated > 1 {
            let gaps = f64::from(course.generated - 1);
            self.observe(Figure::PerOutputToken, last.since(first).as_secs_f64() / gaps);
        }
    }

    /// Returns everything as text.
    pub(crate) fn text(&self, gauges: &Gauges) -> String {
        let mut page = Page { out: String::new(), model: &self.model };
        let g = gauges;
        for (name, help, value) in [
            ("num_requests_running", "Number of requests in model execution batches.", g.running),
            ("num_requests_waiting", "Number of requests waiting to be processed.", g.waiting),
        ] {
            page.single("gauge", name, help, value);
        }
        let help = "KV-cache usage. 1 means 100 percent usage.";
        page.single("gauge", "kv_cache_usage_perc", help, g.kv_usage);
        let queries = "Prefix cache queries, in terms of number of queried tokens.";
        let hits = "Prefix cache hits, in terms of number of cached tokens.";
        let preemptions = "Cumulative number of preemption from the engine.";
        for (name, help, value) in [
            ("prefix_cache_queries_total", queries, g.prefix_queries),
            ("prefix_cache_hits_total", hits, g.prefix_hits),
            ("num_preemptions_total", preemptions, g.preemptions),
            ("prompt_tokens_total", "Number of prefill tokens processed.", g.prompt_tokens),
            (
                "generation_tokens_total",
                "Number of generation tokens processed.",
                g.generation_tokens,
            ),
        ] {
            page.single("counter", name, help, value);
        }
        let success = "vllm:request_success_total";
        page.header("counter", success, "Count of successfully processed requests.");
        for (reason, count) in JobEnd::WORDS.iter().zip(self.ends) {
            page.sample(success, &format!(",finished_reason=\"{reason}\""), count);
        }
        for histogram in &self.histograms {
            page.histogram(histogram);
        }
        page.out
    }
}

impl Histogram {
    fn new(name: &'static str, help: &'static str, bounds: &[f64]) -> Self {
        let counts = vec![0; bounds.len() + 1];
        Self { name, help, bounds: bounds.to_vec(), counts, sum: 0.0 }
    }

    fn observe(&mut self, value: f64) {
        self.counts[self.bounds.partition_point(|&bound| bound < value)] += 1;
        self.sum += value;
    }
}

/// Returns 1, 2, 5, 10, 20, 50, … up to `max`.
fn one_two_five(max: u32) -> Vec<f64> {
    let powers = (0..=9).map(|power| 10_u64.pow(power));
    let all = powers.flat_map(|power| [1, 2, 5].map(|digit| digit * power));
    all.take_while(|&bound| bound <= u64::from(max)).map(|bound| bound as f64).collect()
}

/// A page in the Prometheus text format.
struct Page<'a> {
    out: String,
    /// Escaped for a label.
    model: &'a str,
}

impl Page<'_> {
    fn header(&mut self, kind: &str, name: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn single(&mut self, kind: &str, name: &str, help: &str, value: impl Display) {
        let name = format!("vllm:{name}");
        self.header(kind, &name, help);
        self.sample(&name, "", value);
    }

    /// `labels` are those beside the model's, each with a comma in front.
    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let model = self.model;
        self.line(format_args!("{name}{{engine=\"0\"{labels},model_name=\"{model}\"}} {value}\n"));
    }

    fn histogram(&mut self, histogram: &Histogram) {
        let Histogram { name, help, bounds, counts, sum } = histogram;
        self.header("histogram", name, help);
        let bucket = format!("{name}_bucket");
        let mut total = 0;
        for (at, count) in counts.iter().enumerate() {
            total += count;
            let label = match bounds.get(at) {
                Some(bound) => format!(",le=\"{bound:?}\""),
                None => ",le=\"+Inf\"".to_owned(),
            };
            self.sample(&bucket, &label, total);
        }
        self.sample(&format!("{name}_count"), "", total);
        self.sample(&format!("{name}_sum"), "", sum);
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        self.out.write_fmt(text).expect("writing to memory does not fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::JobId;

    #[test]
    fn each_figure_is_found_at_its_place() {
        for (place, (figure, ..)) in FIGURES.iter().enumerate() {
            assert_eq!(*figure as usize, place);
        }
    }

    #[test]
    fn a_jobs_course_is_counted_once_in_each_histogram() {
        let mut metrics = Metrics::new("a\"b", 100);
        let arrival = Stamp(1_000_000_000);
        let mut course = Course { arrival, prompt_tokens: 10, max_tokens: 3, ..Course::default() };
        let mut event = |millis, kind| {
            let at = arrival + Nanos::from_millis(millis);
            metrics.event(&EngineEvent { at, id: JobId(1), kind }, &mut course);
        };
        event(5, EventKind::FirstScheduled { cached_tokens: 0 });
        event(50, EventKind::Tokens { count: 1 });
        event(70, EventKind::Tokens { count: 2 });
        event(70, EventKind::Finished);
        metrics.ended(&course, JobEnd::Limited);
        let text = metrics.text(&Gauges { running: 4, ..Gauges::default() });
        let model = "model_name=\"a\\\"b\"";
        let label = format!("engine=\"0\",{model}");
        let bucket = |le, count| {
            let name = "vllm:time_to_first_token_seconds_bucket";
            format!("{name}{{engine=\"0\",le=\"{le}\",{model}}} {count}")
        };
        for line in [
            format!("vllm:num_requests_running{{{label}}} 4"),
            format!("vllm:time_to_first_token_seconds_sum{{{label}}} 0.05"),
            format!("vllm:inter_token_latency_seconds_sum{{{label}}} 0.02"),
            format!("vllm:request_time_per_output_token_seconds_sum{{{label}}} 0.01"),
            format!("vllm:request_queue_time_seconds_sum{{{label}}} 0.005"),
            format!("vllm:request_generation_tokens_sum{{{label}}} 3"),
            // The first step: ten tokens of prompt and one of answer.
            format!("vllm:iteration_tokens_total_sum{{{label}}} 11"),
            bucket("0.04", 0),
            bucket("0.06", 1),
            bucket("+Inf", 1),
            format!(
                "vllm:request_success_total{{engine=\"0\",finished_reason=\"length\",{model}}} 1"
            ),
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
    }

    #[test]
    fn length_boundaries_stop_at_the_models_context() {
        assert_eq!(one_two_five(100), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
    }
}
