//! How a run is doing, for whoever watches: counts so far, and figures of the last moments.
//!
//! Not here: results. What is shown is of what was just written, over samples of it, so that
//! watching costs the same however large the load is; results are measured from the whole record.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use infermark_drive::Batch;
use infermark_terms::{
    ChunkRow, Metric, Nanos, OutcomeKind, RequestId, RequestRow, Stamp, TelemetryRow,
};

/// Times that percentiles so far are taken over.
const RECENT: usize = 1000;

/// How far back rates so far look.
const RATE_SPAN: Nanos = Nanos::from_secs(2);

/// Streams whose gaps are looked at.
const STREAMS: usize = 32;

/// What is shown of a server.
const WATCHED: [Metric; 3] = [Metric::RequestsRunning, Metric::RequestsWaiting, Metric::KvUsage];

/// How a run is doing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Time since load began.
    pub elapsed: Nanos,
    /// How long the load is to last, where that is planned.
    pub planned: Option<Nanos>,
    /// After how many requests it ends, where that is planned.
    pub requests: Option<u64>,
    /// Requests that ended as they should.
    pub finished: u64,
    /// Requests that ended otherwise.
    pub failed: u64,
    /// How those ended.
    pub failures: BTreeMap<OutcomeKind, u64>,
    /// Requests under way.
    pub in_flight: u32,
    /// Requests that finished a second, over the last two seconds.
    pub requests_per_s: f64,
    /// Output tokens a second, likewise.
    pub tokens_per_s: f64,
    /// Time to first token, of the last thousand requests.
    pub ttft: Option<Middle>,
    /// Gaps between chunks, the last thousand of a sample of streams.
    pub icl: Option<Middle>,
    /// What the server last said of itself.
    pub server: ServerState,
}

/// What is being done in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Requests are sent and answered.
    #[default]
    Load,
    /// The load is over, and its record is measured.
    Judgement,
}

/// Where most of the latest values lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Middle {
    /// The median.
    pub p50: Nanos,
    /// The 99th percentile, or the greatest of fewer than a hundred.
    pub p99: Nanos,
}

/// What servers last said of themselves: absent where none does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServerState {
    /// Requests in the batch, over all servers.
    pub running: Option<f64>,
    /// Requests in the queue, likewise.
    pub waiting: Option<f64>,
    /// The share of KV memory in use, where it is greatest.
    pub kv_usage: Option<f64>,
}

/// The latest progress, shared with whoever watches.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Mutex<Progress>>, Arc<AtomicBool>);

impl Watch {
    /// Returns the latest progress.
    pub fn latest(&self) -> Progress {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says whether the load has begun: before, there is nothing to lose.
    pub fn has_begun(&self) -> bool {
        self.1.load(Ordering::Acquire)
    }

    pub(crate) fn begin(&self) {
        self.set(Progress::default());
        self.1.store(true, Ordering::Release);
    }

    /// Says that the load is over; its counts stay.
    pub(crate) fn judge(&self) {
        let latest = self.latest();
        self.set(Progress { stage: Stage::Judgement, ..latest });
    }

    pub(crate) fn set(&self, progress: Progress) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }
}

/// How long a load is to last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Planned {
    /// From its beginning.
    pub(crate) length: Option<Nanos>,
    pub(crate) requests: Option<u64>,
}

/// Counts so far.
#[derive(Default)]
pub(crate) struct Tally {
    planned: Planned,
    finished: u64,
    failures: BTreeMap<OutcomeKind, u64>,
    ends: Lately,
    tokens: Lately,
    ttfts: Recent,
    gaps: Recent,
    /// When the last chunk came, of the streams that are looked at.
    streams: BTreeMap<RequestId, Stamp>,
    /// The latest level of each metric by each source and instance.
    levels: BTreeMap<(Metric, String, String), f64>,
}

impl Tally {
    pub(crate) fn new(planned: Planned) -> Self {
        Self { planned, ..Self::default() }
    }

    /// Counts what a shard handed over.
    pub(crate) fn add(&mut self, batch: &Batch) {
        for chunk in &batch.chunks {
            self.follow(chunk);
        }
        if let Some(last) = batch.chunks.last() {
            let count = batch.chunks.iter().map(|chunk| u64::from(chunk.tokens.unwrap_or(1)));
            self.tokens.add(last.at, count.sum());
        }
        for row in &batch.requests {
            self.end(row);
        }
    }

    fn follow(&mut self, chunk: &ChunkRow) {
        if let Some(last) = self.streams.get_mut(&chunk.request) {
            if !chunk.coalesced {
                self.gaps.add(chunk.at.since(*last));
            }
            *last = chunk.at;
        } else if self.streams.len() < STREAMS {
            let _: Option<Stamp> = self.streams.insert(chunk.request, chunk.at);
        }
    }

    fn end(&mut self, row: &RequestRow) {
        let _: Option<Stamp> = self.streams.remove(&row.id);
        let kind = row.outcome.kind();
        if kind == OutcomeKind::Finished {
            self.finished += 1;
            self.ends.add(row.end, 1);
        } else {
            *self.failures.entry(kind).or_insert(0) += 1;
        }
        if let Some(first) = row.first_token {
            self.ttfts.add(first.since(row.due));
        }
    }

    /// Takes in what servers said of themselves. Of one that cannot be read nothing is known.
    pub(crate) fn hear(&mut self, rows: &[TelemetryRow]) {
        for row in rows {
            if row.metric == Metric::Up && row.value <= 0.0 {
                self.levels.retain(|(_, source, _), _| *source != row.source);
            } else if WATCHED.contains(&row.metric) {
                let key = (row.metric, row.source.clone(), row.instance.clone());
                let _: Option<f64> = self.levels.insert(key, row.value);
            }
        }
    }

    /// Returns how the run is doing.
    pub(crate) fn progress(&mut self, now: Stamp, start: Stamp, in_flight: u32) -> Progress {
        let elapsed = now.since(start);
        Progress {
            stage: Stage::Load,
            elapsed,
            planned: self.planned.length,
            requests: self.planned.requests,
            finished: self.finished,
            failed: self.failures.values().sum(),
            failures: self.failures.clone(),
            in_flight,
            requests_per_s: self.ends.rate(now, elapsed),
            tokens_per_s: self.tokens.rate(now, elapsed),
            ttft: self.ttfts.middle(),
            icl: self.gaps.middle(),
            server: self.server(),
        }
    }

    fn server(&self) -> ServerState {
        let levels = |metric| {
            let of = self.levels.iter().filter(move |((other, ..), _)| *other == metric);
            of.map(|(_, level)| *level)
        };
        let sum = |metric| levels(metric).reduce(|one, other| one + other);
        ServerState {
            running: sum(Metric::RequestsRunning),
            waiting: sum(Metric::RequestsWaiting),
            kv_usage: levels(Metric::KvUsage).reduce(f64::max),
        }
    }
}

/// Events of the last seconds: when, and how many.
#[derive(Default)]
struct Lately(VecDeque<(Stamp, u64)>);

impl Lately {
    fn add(&mut self, at: Stamp, count: u64) {
        self.0.push_back((at, count));
    }

    fn rate(&mut self, now: Stamp, elapsed: Nanos) -> f64 {
        while self.0.front().is_some_and(|(at, _)| now.since(*at) > RATE_SPAN) {
            let _: Option<_> = self.0.pop_front();
        }
        let count: u64 = self.0.iter().map(|(_, count)| count).sum();
        let span = elapsed.min(RATE_SPAN).as_secs_f64();
        if span > 0.0 { count as f64 / span } else { 0.0 }
    }
}

/// The latest values.
#[derive(Default)]
struct Recent(VecDeque<Nanos>);

impl Recent {
    fn add(&mut self, value: Nanos) {
        if self.0.len() == RECENT {
            let _: Option<Nanos> = self.0.pop_front();
        }
        self.0.push_back(value);
    }

    fn middle(&self) -> Option<Middle> {
        let mut values: Vec<_> = self.0.iter().copied().collect();
        values.sort_unstable();
        let rank = |percent: usize| (values.len() * percent).div_ceil(100).checked_sub(1);
        Some(Middle { p50: values[rank(50)?], p99: values[rank(99)?] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Stamp {
        Stamp::ZERO + Nanos::from_millis(millis)
    }

    #[test]
    fn rates_look_back_two_seconds_and_no_further() {
        let mut tokens = Lately::default();
        for second in 1..=10 {
            tokens.add(at(1000 * second), 100);
        }
        // Those of the eighth, ninth and tenth second, over two.
        let rate = tokens.rate(at(10_000), Nanos::from_secs(10));
        assert!((rate - 150.0).abs() < 1e-9, "{rate}");
        assert!(Lately::default().rate(at(0), Nanos::ZERO).abs() < 1e-9);
    }

    #[test]
    fn the_middle_is_of_the_latest_values_by_nearest_rank() {
        let mut recent = Recent::default();
        assert_eq!(recent.middle(), None);
        for value in 0..1100 {
            recent.add(Nanos(value));
        }
        assert_eq!(recent.middle(), Some(Middle { p50: Nanos(599), p99: Nanos(1089) }));
    }

    #[test]
    fn gaps_are_of_one_stream_each_and_of_a_bounded_number_of_streams() {
        let chunk = |id, millis| ChunkRow {
            request: RequestId(id),
            at: at(millis),
            kind: infermark_terms::ChunkKind::Answer,
            tokens: Some(1),
            text_bytes: 1,
            coalesced: false,
            read_delay: Nanos::ZERO,
        };
        let mut tally = Tally::default();
        let streams = || (0..).take(STREAMS + 8);
        let chunks: Vec<_> = streams().map(|id| chunk(id, 10 + id)).collect();
        let later = streams().map(|id| chunk(id, 40 + id));
        let chunks = chunks.into_iter().chain(later).collect();
        tally.add(&Batch { chunks, ..Batch::default() });
        let progress = tally.progress(at(1000), at(0), 40);
        let gap = Nanos::from_millis(30);
        assert_eq!(progress.icl, Some(Middle { p50: gap, p99: gap }));
        assert_eq!((tally.gaps.0.len(), progress.tokens_per_s), (STREAMS, 80.0));
    }

    #[test]
    fn of_a_server_that_cannot_be_read_nothing_is_known() {
        let row = |source: &str, metric, value| TelemetryRow {
            at: at(0),
            source: source.to_owned(),
            instance: String::new(),
            metric,
            value,
            detail: String::new(),
        };
        let mut tally = Tally::default();
        tally.hear(&[
            row("a", Metric::RequestsWaiting, 3.0),
            row("b", Metric::RequestsWaiting, 4.0),
            row("a", Metric::KvUsage, 0.2),
            row("b", Metric::KvUsage, 0.5),
        ]);
        let known = tally.server();
        assert_eq!((known.waiting, known.kv_usage, known.running), (Some(7.0), Some(0.5), None));
        tally.hear(&[row("b", Metric::Up, 0.0)]);
        assert_eq!((tally.server().waiting, tally.server().kv_usage), (Some(3.0), Some(0.2)));
    }
}
