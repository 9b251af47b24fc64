//! Writes what the shards hand over, on a thread of its own, and keeps count for whoever watches.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use infermark_drive::{Batch, Clock, Stop};
use infermark_store::{RunWriter, StoreError};
use infermark_terms::{Nanos, Stamp};

use crate::progress::{Planned, Tally, Watch};
use crate::telemetry::Gathered;
use crate::veil::Veil;

/// How often rows go to the kernel: what a killed run can lose.
const FLUSH_EVERY: Nanos = Nanos::from_millis(200);

/// The writing end of a run.
pub(crate) struct Recorder {
    pub(crate) writer: RunWriter,
    pub(crate) full: Receiver<(u32, Batch)>,
    /// The way back to each shard for used batches.
    pub(crate) used: Vec<Sender<Batch>>,
    /// What servers must not be heard repeating.
    pub(crate) veil: Veil,
    /// What servers, GPUs and hosts say of themselves.
    pub(crate) telemetry: Gathered,
    pub(crate) clock: Clock,
    /// When load began.
    pub(crate) start: Stamp,
    pub(crate) planned: Planned,
    pub(crate) stop: Stop,
    pub(crate) watch: Watch,
    pub(crate) in_flight: Box<dyn Fn() -> u32 + Send>,
}

impl Recorder {
    /// Writes until all shards are done. If writing fails the run is stopped, and the error is
    /// returned with the writer, which still holds what it could not write.
    pub(crate) fn record(mut self) -> (RunWriter, Result<(), StoreError>) {
        let mut tally = Tally::new(self.planned);
        let mut flushed = Stamp::ZERO;
        let mut result = Ok(());
        loop {
            match self.full.recv_timeout(Duration::from_nanos(FLUSH_EVERY.0)) {
                Ok((shard, mut batch)) => {
                    for row in &mut batch.requests {
                        self.veil.outcome(&mut row.outcome);
                    }
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
                let heard = self.telemetry.take();
                tally.hear(&heard);
                result = result
                    .and_then(|()| self.writer.append_telemetry(&heard))
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
