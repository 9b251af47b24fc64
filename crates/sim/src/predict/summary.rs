//! What a prediction says in a few figures.

use infermark_terms::{ChunkRow, Outcome, RequestRow, Stamp};

use super::Watch;
use crate::engine::Gauges;

/// Collects a prediction into [`Figures`].
#[derive(Clone, Debug, Default)]
pub struct Summary {
    ttft: Vec<f64>,
    tpot: Vec<f64>,
    tokens: u64,
    input_tokens: u64,
    finished: u64,
    failed: u64,
    first_due: Option<Stamp>,
    last_end: Stamp,
    in_flight_seconds: f64,
    kv_peak: f64,
    waiting_peak: u64,
    preemptions: u64,
}

/// The figures of a prediction, over the whole of it. Seconds; percentiles by nearest rank.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Requests that finished.
    pub finished: u64,
    /// Requests that did not.
    pub failed: u64,
    /// From the first `due` to the last `end`.
    pub duration: f64,
    /// Mean time to the first token.
    pub ttft_mean: f64,
    /// Its median.
    pub ttft_p50: f64,
    /// Its 99th percentile.
    pub ttft_p99: f64,
    /// Mean over requests of the time per output token after the first; 0 if none had two.
    pub tpot_mean: f64,
    /// Its median.
    pub tpot_p50: f64,
    /// Its 99th percentile.
    pub tpot_p99: f64,
    /// Output tokens per second.
    pub output_rate: f64,
    /// Input tokens per second.
    pub input_rate: f64,
    /// Requests per second.
    pub request_rate: f64,
    /// Requests in flight, averaged over time.
    pub concurrency: f64,
    /// The greatest share of KV memory in use at a sample.
    pub kv_peak: f64,
    /// The longest queue at a sample.
    pub waiting_peak: u64,
    /// Preemptions until the last sample.
    pub preemptions: u64,
}

impl Watch for Summary {
    fn request(&mut self, row: RequestRow) {
        self.first_due = Some(self.first_due.map_or(row.due, |first| first.min(row.due)));
        self.last_end = self.last_end.max(row.end);
        self.in_flight_seconds += row.end.since(row.due).as_secs_f64();
        if !matches!(row.outcome, Outcome::Finished { .. }) {
            self.failed += 1;
            return;
        }
        self.finished += 1;
        let usage = row.usage.unwrap_or_default();
        self.tokens += u64::from(usage.completion_tokens);
        self.input_tokens += u64::from(usage.prompt_tokens);
        if let (Some(first), Some(last)) = (row.first_token, row.last_token) {
            self.ttft.push(first.since(row.due).as_secs_f64());
            if usage.completion_tokens > 1 {
                let span = last.since(first).as_secs_f64();
                self.tpot.push(span / f64::from(usage.completion_tokens - 1));
            }
        }
    }

    fn chunk(&mut self, _row: ChunkRow) {}

    fn sample(&mut self, _at: Stamp, gauges: Gauges) {
        self.kv_peak = self.kv_peak.max(gauges.kv_usage);
        self.waiting_peak = self.waiting_peak.max(gauges.waiting);
        self.preemptions = gauges.preemptions;
    }
}

impl Summary {
    /// Returns the figures of what was seen, or `None` if no request finished.
    pub fn figures(mut self) -> Option<Figures> {
        let duration = self.last_end.since(self.first_due?).as_secs_f64();
        if self.ttft.is_empty() || duration <= 0.0 {
            return None;
        }
        self.ttft.sort_by(f64::total_cmp);
        self.tpot.sort_by(f64::total_cmp);
        Some(Figures {
            finished: self.finished,
            failed: self.failed,
            duration,
            ttft_mean: mean(&self.ttft),
            ttft_p50: rank(&self.ttft, 0.5),
            ttft_p99: rank(&self.ttft, 0.99),
            tpot_mean: mean(&self.tpot),
            tpot_p50: rank(&self.tpot, 0.5),
            tpot_p99: rank(&self.tpot, 0.99),
            output_rate: self.tokens as f64 / duration,
            input_rate: self.input_tokens as f64 / duration,
            request_rate: self.finished as f64 / duration,
            concurrency: self.in_flight_seconds / duration,
            kv_peak: self.kv_peak,
            waiting_peak: self.waiting_peak,
            preemptions: self.preemptions,
        })
    }
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// The smallest value that a share `q` of the sorted values does not exceed; 0 of none.
fn rank(sorted: &[f64], q: f64) -> f64 {
    let place = (q * sorted.len() as f64).ceil().max(1.0) as usize - 1;
    sorted.get(place).copied().unwrap_or(0.0)
}
