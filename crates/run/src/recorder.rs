//! Writes what the shards hand over, on a thread of its own, and keeps count for whoever watches.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use infermark_drive::{Batch, Clock, Stop};
use infermark_store::{RunWriter, StoreError};
use infermark_terms::{Nanos, OutcomeKind, Stamp};

use crate::telemetry::Gathered;

/// How often rows go to the kernel: what a killed run can lose.
const FLUSH_EVERY: Nanos = Nanos::from_millis(200);

/// First-token times that the median so far is taken over.
const RECENT_TTFTS: usize = 1000;

/// How far back the token rate so far looks.
const RATE_SPAN: Nanos = Nanos::from_secs(2);

/// How a run is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Time since load began.
    pub elapsed: Nanos,
    /// Requests that ended as they should.
    pub finished: u64,
    /// Requests that ended otherwise.
    pub failed: u64,
    /// Requests under way.
    pub in_flight: u32,
    /// Output tokens a second, over the last two seconds.
    pub tokens_per_s: f64,
    /// Median time to first token of the last thousand requests.
    pub ttft_p50: Option<Nanos>,
}

/// The latest progress, shared with whoever watches.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Mutex<Progress>>, Arc<AtomicBool>);

impl Watch {
    /// Returns the latest progress.
    pub fn latest(&self) -> Progress {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether the load has begun: before, there is nothing to lose.
    pub fn has_begun(&self) -> bool {
        self.1.load(Ordering::Acquire)
    }

    pub(crate) fn begin(&self) {
        self.set(Progress::default());
        self.1.store(true, Ordering::Release);
    }

    fn set(&self, progress: Progress) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }
}

/// The writing end of a run.
pub(crate) struct Recorder {
    pub(crate) writer: RunWriter,
    pub(crate) full: Receiver<(u32, Batch)>,
    /// The way back to each shard for used batches.
    pub(crate) used: Vec<Sender<Batch>>,
    /// What servers, GPUs and hosts say of themselves.
    pub(crate) telemetry: Gathered,
    pub(crate) clock: Clock,
    /// When load began.
    pub(crate) start: Stamp,
    pub(crate) stop: Stop,
    pub(crate) watch: Watch,
    pub(crate) in_flight: Box<dyn Fn() -> u32 + Send>,
}

impl Recorder {
    /// Writes until all shards are done. If writing fails the run is stopped, and the error is
    /// returned with the writer, which still holds what it could not write.
    pub(crate) fn record(mut self) -> (RunWriter, Result<(), StoreError>) {
        let mut tally = Tally::default();
        let mut flushed = Stamp::ZERO;
        let mut result = Ok(());
        loop {
            match self.full.recv_timeout(Duration::from_nanos(FLUSH_EVERY.0)) {
                Ok((shard, mut batch)) => {
                    tally.add(&batch);
                    result = result.and_then(|()| append(&mut self.writer, &batch));
                    batch.clear();
                    // A shard that is done needs no batch back.
                    drop(self.used[shard as usize].send(batch));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = self.clock.now();
            if now.since(flushed) >= FLUSH_EVERY {
                flushed = now;
                result = result
                    .and_then(|()| self.writer.append_telemetry(&self.telemetry.take()))
                    .and_then(|()| self.writer.flush());
                self.watch.set(tally.progress(now, self.start, (self.in_flight)()));
            }
            if result.is_err() {
                self.stop.abort();
            }
        }
        let result = result.and_then(|()| self.writer.flush());
        self.watch.set(tally.progress(self.clock.now(), self.start, 0));
        (self.writer, result)
    }
}

/// Chunks go first: a request whose row is there has all its chunks there.
fn append(writer: &mut RunWriter, batch: &Batch) -> Result<(), StoreError> {
    writer.append_chunks(&batch.chunks)?;
    for (id, text) in &batch.texts {
        writer.append_text(*id, text)?;
    }
    writer.append_requests(&batch.requests)
}

/// Counts so far.
#[derive(Default)]
struct Tally {
    finished: u64,
    failed: u64,
    ttfts: VecDeque<Nanos>,
    /// Instants and tokens of what arrived lately.
    tokens: VecDeque<(Stamp, u32)>,
}

impl Tally {
    fn add(&mut self, batch: &Batch) {
        for row in &batch.requests {
            if row.outcome.kind() == OutcomeKind::Finished {
                self.finished += 1;
            } else {
                self.failed += 1;
            }
            if let Some(first) = row.first_token {
                if self.ttfts.len() == RECENT_TTFTS {
                    let _: Option<Nanos> = self.ttfts.pop_front();
                }
                self.ttfts.push_back(first.since(row.due));
            }
        }
        if let Some(last) = batch.chunks.last() {
            let count = batch.chunks.iter().map(|chunk| chunk.tokens.unwrap_or(1)).sum();
            self.tokens.push_back((last.at, count));
        }
    }

    fn progress(&mut self, now: Stamp, start: Stamp, in_flight: u32) -> Progress {
        while self.tokens.front().is_some_and(|(at, _)| now.since(*at) > RATE_SPAN) {
            let _: Option<_> = self.tokens.pop_front();
        }
        let count: u64 = self.tokens.iter().map(|(_, count)| u64::from(*count)).sum();
        let elapsed = now.since(start);
        let span = elapsed.min(RATE_SPAN).as_secs_f64();
        let mut ttfts: Vec<_> = self.ttfts.iter().copied().collect();
        let middle = ttfts.len().saturating_sub(1) / 2;
        let ttft_p50 = (!ttfts.is_empty()).then(|| *ttfts.select_nth_unstable(middle).1);
        Progress {
            elapsed,
            finished: self.finished,
            failed: self.failed,
            in_flight,
            tokens_per_s: if span > 0.0 { count as f64 / span } else { 0.0 },
            ttft_p50,
        }
    }
}
