//! How much was done in a second.

use infermark_terms::RequestRow;
use serde::{Deserialize, Serialize};

use crate::Interval;
use crate::batches::REQUESTS_MIN;
use crate::figures::{is_finished, is_whole, output_tokens};
use crate::goodput::Goodput;
use crate::population::Roster;
use crate::slices::Slices;
use crate::span::Span;
use crate::streams::Streams;

/// Rates over a span of time, in units per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Requests that finished.
    pub requests_per_s: f64,
    /// Its 95 % interval, from slices of the window; absent for the whole run, and of fewer than
    /// 40 requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_s_ci95: Option<Interval>,
    /// Input tokens; absent where the server counted none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens_per_s: Option<f64>,
    /// Output tokens.
    pub output_tokens_per_s: f64,
    /// Its 95 % interval, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens_per_s_ci95: Option<Interval>,
    /// Input and output tokens; absent with the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_tokens_per_s: Option<f64>,
    /// Output tokens for each user: 1 ÷ mean TPOT; absent with TPOT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens_per_s_per_user: Option<f64>,
    /// Output tokens for each GPU of the deployment, where their number is stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens_per_s_per_gpu: Option<f64>,
    /// Good requests due in the window, per second, where an objective tells good from bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goodput_rps: Option<f64>,
    /// Their output tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goodput_output_tokens_per_s: Option<f64>,
    /// The share of all arrivals due in the window that were good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_share: Option<f64>,
}

/// Rates over everything from the first `sent` to the last `end`, warm-up and drain included,
/// "since that is what peers print" (docs/metrics.md, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WholeRun {
    /// The first `sent`, in seconds since the run's epoch.
    pub start_s: f64,
    /// The last `end`.
    pub end_s: f64,
    /// Requests that finished.
    pub requests: u64,
    /// Input tokens by the server's count; absent where it counted none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Output tokens, of failures too.
    pub output_tokens: u64,
    /// The rates; absent where no time passed.
    #[serde(flatten)]
    pub rates: Option<Rates>,
}

/// Returns the rates over the window; absent where it is empty.
///
/// "**Rates** credit events by their own instant: output tokens/s = tokens of chunks that
/// arrived in the window ÷ (w1 − w0), whichever request they belong to; requests/s = requests
/// whose `end` fell in the window ÷ (w1 − w0); input tokens/s = prompt tokens of requests whose
/// `first_token` fell in the window ÷ (w1 − w0)." (docs/metrics.md, section 4)
///
/// `end` is the instant at which a response was complete, so requests that did not finish have
/// none. The prompt of an answer that was not streamed is credited at its `end`.
pub(crate) fn in_window(roster: &Roster<'_>, streams: &Streams, window: Span) -> Option<Rates> {
    let rows = roster.rows();
    let finished = rows.iter().filter(|row| is_finished(row) && window.contains(row.end)).count();
    let read = |row: &RequestRow| row.first_token.or(is_whole(row).then_some(row.end));
    let prompts = rows.iter().filter(|row| read(row).is_some_and(|at| window.contains(at)));
    let input = any_usage(rows).then(|| sum_input(prompts.copied()) as f64);
    let output = streams.tokens_in(roster, window);
    window.seconds().map(|seconds| Rates::over(seconds, finished as u64, input, output))
}

/// Returns the totals and rates of the whole run; absent where nothing was sent.
pub(crate) fn in_whole_run(
    roster: &Roster<'_>,
    streams: &Streams,
    run: Option<Span>,
) -> Option<WholeRun> {
    let run = run?;
    let rows = roster.rows();
    let requests = rows.iter().filter(|row| is_finished(row)).count() as u64;
    let input = any_usage(rows).then(|| sum_input(rows.iter().copied()));
    let of_rows: u64 = rows.iter().map(|row| u64::from(output_tokens(row).0)).sum();
    let output = of_rows + streams.orphans.in_run;
    Some(WholeRun {
        start_s: run.start.as_secs_f64(),
        end_s: run.end.as_secs_f64(),
        requests,
        input_tokens: input,
        output_tokens: output,
        rates: run.seconds().map(|seconds| {
            Rates::over(seconds, requests, input.map(|input| input as f64), output as f64)
        }),
    })
}

impl Rates {
    fn over(seconds: f64, requests: u64, input: Option<f64>, output: f64) -> Self {
        Self {
            requests_per_s: requests as f64 / seconds,
            input_tokens_per_s: input.map(|input| input / seconds),
            output_tokens_per_s: output / seconds,
            total_tokens_per_s: input.map(|input| (input + output) / seconds),
            ..Self::default()
        }
    }

    /// Adds the intervals.
    pub(crate) fn with_spread(mut self, spread: Option<Spread>) -> Self {
        let around = |rate: f64, half: f64| [(rate - half).max(0.0), rate + half];
        self.requests_per_s_ci95 = spread.map(|s| around(self.requests_per_s, s.requests));
        self.output_tokens_per_s_ci95 = spread.map(|s| around(self.output_tokens_per_s, s.output));
        self
    }

    /// Adds "**Goodput** = good requests due in the window ÷ window; also as output tokens/s and
    /// as a share of *all* arrivals" (docs/metrics.md, section 7).
    pub(crate) fn with_goodput(mut self, goodput: Option<&Goodput>, seconds: f64) -> Self {
        self.goodput_rps = goodput.map(|good| good.requests as f64 / seconds);
        self.goodput_output_tokens_per_s = goodput.map(|good| good.output_tokens as f64 / seconds);
        self.good_share = goodput.and_then(Goodput::share);
        self
    }

    /// Adds "`tokens/s/user` = 1 / mean `tpot`; `tokens/s/gpu` = output tokens/s ÷ GPUs of the
    /// deployment, where stated" (docs/metrics.md, section 5).
    pub(crate) fn shared(mut self, tpot_mean_ms: Option<f64>, gpus: Option<u32>) -> Self {
        self.output_tokens_per_s_per_user = tpot_mean_ms.map(|tpot| 1000.0 / tpot);
        self.output_tokens_per_s_per_gpu =
            gpus.filter(|&gpus| gpus > 0).map(|gpus| self.output_tokens_per_s / f64::from(gpus));
        self
    }
}

/// Half the width of the 95 % interval of each rate over the window, per second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) requests: f64,
    pub(crate) input: f64,
    pub(crate) output: f64,
    pub(crate) total: f64,
}

impl Spread {
    /// Credits what the rates count to slices of the window. Output tokens are spread evenly from
    /// the first to the last of an answer: good enough for a width. Absent where fewer than 40
    /// requests ended in the window.
    pub(crate) fn of(roster: &Roster<'_>, window: Span) -> Option<Self> {
        let slices = Slices::new(window)?;
        let [mut requests, mut input, mut output, mut total] = [slices; 4];
        let mut finished = 0;
        for row in roster.rows() {
            let end = Span::instant(row.end);
            if is_finished(row) && window.contains(row.end) {
                requests.add(end, 1.0);
                finished += 1;
            }
            let read = row.first_token.map_or(end, Span::instant);
            let prompt = row.usage.map_or(0.0, |usage| f64::from(usage.prompt_tokens));
            let written = match (row.first_token, row.last_token) {
                (Some(first), Some(last)) => Span { start: first, end: last.max(first) },
                _ => end,
            };
            let tokens = f64::from(output_tokens(row).0);
            input.add(read, prompt);
            output.add(written, tokens);
            total.add(read, prompt);
            total.add(written, tokens);
        }
        (finished >= REQUESTS_MIN).then(|| Self {
            requests: requests.half_width(),
            input: input.half_width(),
            output: output.half_width(),
            total: total.half_width(),
        })
    }
}

fn any_usage(rows: &[&RequestRow]) -> bool {
    rows.iter().any(|row| row.usage.is_some())
}

fn sum_input<'a>(rows: impl Iterator<Item = &'a RequestRow>) -> u64 {
    rows.filter_map(|row| row.usage).map(|usage| u64::from(usage.prompt_tokens)).sum()
}
