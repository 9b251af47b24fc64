//! One shard's loop: ask the dispatcher, send, wait, hand rows over; generic over what carries
//! the requests, so that it runs over sockets in real time and over a model in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};

use infermark_terms::{Due, Effort, Nanos, Outcome, ShedReason, Stamp, Window};

use crate::carrier::{Batch, Carrier, Source, blank};
use crate::dispatch::{Dispatcher, Step};

/// How often rows are handed over, so that a killed run loses no more than this.
pub const HAND_OVER_EVERY: Nanos = Nanos::from_millis(100);

/// Chunk rows in a batch before it is handed over early.
const BATCH_CHUNKS: usize = 16 * 1024;

/// Chunk rows kept while the writer is behind, before the loop waits for it: 48 MiB.
const BACKLOG_CHUNKS: usize = 1024 * 1024;

/// Requests sent before what arrived meanwhile is looked at: a burst must not delay the reads.
const SENDS_PER_ROUND: usize = 16;

/// How long to wait for an order that is not ready yet: long enough to sleep, since whoever builds
/// it may need this core.
const ORDER_RETRY: Nanos = Nanos::from_micros(150);

/// The shard's end of the way to the writer, and of the way back for used batches.
pub struct Outbox {
    full: SyncSender<(u32, Batch)>,
    used: Receiver<Batch>,
    shard: u32,
    batch: Batch,
    handed_over: Stamp,
}

impl Outbox {
    /// Connects a shard to a writer, which receives batches of all shards on one channel and
    /// returns each, cleared, on the channel whose other end is `used`.
    pub fn new(shard: u32, full: SyncSender<(u32, Batch)>, used: Receiver<Batch>) -> Self {
        Self { full, used, shard, batch: Batch::default(), handed_over: Stamp::ZERO }
    }

    /// Hands the batch over when it is old or large enough. Never waits unless the writer is
    /// very far behind.
    fn offer(&mut self, now: Stamp) {
        let due = now.since(self.handed_over) >= HAND_OVER_EVERY;
        if (due || self.batch.chunks.len() >= BATCH_CHUNKS) && !self.batch.is_empty() {
            self.handed_over = now;
            let next = self.used.try_recv().unwrap_or_default();
            let filled = (self.shard, std::mem::replace(&mut self.batch, next));
            match self.full.try_send(filled) {
                // A writer that died says why itself; the run is being stopped.
                Ok(()) | Err(TrySendError::Disconnected(_)) => {}
                Err(TrySendError::Full((_, kept))) if kept.chunks.len() < BACKLOG_CHUNKS => {
                    self.batch = kept;
                }
                Err(TrySendError::Full((_, late))) => self.give(late),
            }
        }
    }

    /// Hands the rest over, waiting for the writer.
    fn finish(mut self) {
        let rest = std::mem::take(&mut self.batch);
        if !rest.is_empty() {
            self.give(rest);
        }
    }

    fn give(&self, batch: Batch) {
        // A writer that died says why itself.
        drop(self.full.send((self.shard, batch)));
    }
}

/// Holds the load up until every shard's window has ended.
#[derive(Clone, Debug)]
pub struct Gate(Arc<AtomicU32>);

impl Gate {
    /// Returns a gate for this many shards.
    pub fn new(shards: u32) -> Self {
        Self(Arc::new(AtomicU32::new(shards)))
    }

    fn arrive(&self) {
        let _: u32 = self.0.fetch_sub(1, Ordering::AcqRel);
    }

    fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

/// The user's wish to stop, shared by all shards.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    asked: Arc<AtomicU8>,
    /// The wish to stop more than this: it counts here too.
    above: Option<Arc<AtomicU8>>,
}

impl Stop {
    /// Sends nothing more; what is in flight may end.
    pub fn drain(&self) {
        let _: u8 = self.asked.fetch_max(1, Ordering::AcqRel);
    }

    /// Ends everything now.
    pub fn abort(&self) {
        let _: u8 = self.asked.fetch_max(2, Ordering::AcqRel);
    }

    /// Says whether any stop was asked for.
    pub fn is_asked(&self) -> bool {
        self.level() > 0
    }

    fn is_abort(&self) -> bool {
        self.level() > 1
    }

    /// Returns a stop of a part: it can be asked for alone, and is when the whole is stopped.
    #[must_use]
    pub fn of_part(&self) -> Self {
        Self { asked: Arc::default(), above: Some(Arc::clone(&self.asked)) }
    }

    fn level(&self) -> u8 {
        let asked = |wish: &AtomicU8| wish.load(Ordering::Acquire);
        asked(&self.asked).max(self.above.as_deref().map_or(0, asked))
    }
}

/// What all shards of a run share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Holds the load up until every shard's window has ended.
    pub gate: Gate,
    /// The user's wish to stop.
    pub stop: Stop,
    /// Requests in flight, by shard, for whoever watches.
    pub in_flight: Arc<[AtomicU32]>,
}

impl Shared {
    /// Returns what so many shards share.
    pub fn new(shards: u32, stop: Stop) -> Self {
        let in_flight = (0..shards).map(|_| AtomicU32::new(0)).collect();
        Self { gate: Gate::new(shards), stop, in_flight }
    }
}

/// What a shard says about itself when it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// Arrivals sent.
    pub sent: u64,
    /// Arrivals never sent.
    pub shed: u64,
    /// When it stopped sending because it was asked to.
    pub stopped: Option<Stamp>,
    /// What it took over the window, as far as that was loaded; absent where the carrier does not
    /// tell, or the window was never reached.
    pub effort: Option<Effort>,
}

/// Looks at the carrier's effort at both ends of the window.
struct Gauge {
    window: Window,
    start: Option<Effort>,
    end: Option<Effort>,
}

impl Gauge {
    fn look(&mut self, now: Stamp, carrier: &impl Carrier) {
        if self.end.is_none() && self.start.is_none() && now >= self.window.start {
            self.start = carrier.effort();
        }
        if self.end.is_none() && self.window.end.is_some_and(|end| now >= end) {
            self.end = carrier.effort();
        }
    }

    /// The load ends here, if the window has not.
    fn close(&mut self, carrier: &impl Carrier) {
        self.end = self.end.or_else(|| carrier.effort());
    }

    fn over_window(&self) -> Option<Effort> {
        Some(self.end?.since(self.start?))
    }
}

/// Runs one shard to its end.
pub fn run<C: Carrier>(
    carrier: &mut C,
    dispatcher: Dispatcher,
    source: &mut dyn Source,
    mut outbox: Outbox,
    shared: &Shared,
) -> Report {
    let Shared { gate, stop, in_flight } = shared;
    let in_flight = &in_flight[outbox.shard as usize];
    let report = Report::default();
    let mut looping =
        Loop { carrier, dispatcher, source, shard: outbox.shard, waiting: None, report };
    let mut gauge = Gauge { window: looping.dispatcher.window(), start: None, end: None };
    let mut arrived = false;
    loop {
        let now = looping.carrier.now();
        gauge.look(now, looping.carrier);
        if stop.is_asked() {
            gauge.close(looping.carrier);
            looping.dispatcher.stop_sending(now);
            let _: &mut Stamp = looping.report.stopped.get_or_insert(now);
        }
        let until = looping.send_due(now);
        if looping.dispatcher.window_done() && !arrived {
            arrived = true;
            gate.arrive();
        }
        let over = until.is_none() || (arrived && gate.is_open() && looping.window_is_timed());
        if over || stop.is_abort() {
            break;
        }
        let known = outbox.batch.requests.len();
        looping.carrier.wait(until.unwrap_or(Stamp::NEVER), &mut outbox.batch);
        in_flight.store(looping.carrier.in_flight() as u32, Ordering::Relaxed);
        looping.learn(&mut outbox.batch, known);
        outbox.offer(looping.carrier.now());
    }
    gauge.close(looping.carrier);
    looping.report.effort = gauge.over_window();
    looping.close(&mut outbox.batch, stop);
    if !arrived {
        gate.arrive();
    }
    let report = looping.report;
    outbox.finish();
    report
}

struct Loop<'a, C> {
    carrier: &'a mut C,
    dispatcher: Dispatcher,
    source: &'a mut dyn Source,
    shard: u32,
    /// An arrival whose order is not ready yet.
    waiting: Option<Due>,
    report: Report,
}

impl<C: Carrier> Loop<'_, C> {
    /// Sends what is due; returns until when to wait, or nothing when the run is over.
    fn send_due(&mut self, now: Stamp) -> Option<Stamp> {
        for _ in 0..SENDS_PER_ROUND {
            let due = match self.waiting.take() {
                Some(due) => due,
                None => match self.dispatcher.step(now) {
                    Step::Send(due) => due,
                    Step::Wait(until) => return Some(until),
                    Step::Close => return None,
                },
            };
            let Some(order) = self.source.take(due) else {
                self.waiting = Some(due);
                return Some(now + ORDER_RETRY);
            };
            self.report.sent += 1;
            self.carrier.send(due, order);
        }
        Some(now)
    }

    /// Tells of the requests that ended, which are those from the `known`-th on, and of what they
    /// brought for the turns after them.
    fn learn(&mut self, batch: &mut Batch, known: usize) {
        for row in &batch.requests[known..] {
            self.dispatcher.ended(row);
            let finished = matches!(row.outcome, Outcome::Finished { .. });
            if let Some(turn) = row.turn.filter(|_| !finished) {
                self.source.broken_off(turn);
            }
        }
        for (turn, answer) in batch.answers.drain(..) {
            self.source.answered(turn, answer);
        }
    }

    fn window_is_timed(&self) -> bool {
        self.dispatcher.window().end.is_some()
    }

    /// Gives an outcome to everything that has none yet.
    fn close(&mut self, batch: &mut Batch, stop: &Stop) {
        let now = self.carrier.now();
        let window = self.dispatcher.window();
        let limit = self.dispatcher.drain();
        let mut judge = |due: Stamp, phase| {
            if window.holds(due) && !stop.is_asked() {
                Outcome::Expired { phase, limit }
            } else {
                Outcome::Abandoned
            }
        };
        self.carrier.close(&mut judge, batch);
        let late = self.waiting.take().map(|due| (due, ShedReason::Late));
        for (due, reason) in late.into_iter().chain(self.dispatcher.take_unsent(now)) {
            self.report.shed += 1;
            let mut row = blank(due, self.shard, now, Outcome::Shed { reason });
            row.class = self.source.class_of(due);
            batch.requests.push(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_stops_alone_and_with_the_whole() {
        let whole = Stop::default();
        let (one, other) = (whole.of_part(), whole.of_part());
        one.drain();
        assert!(one.is_asked() && !other.is_asked() && !whole.is_asked());
        whole.abort();
        assert!(other.is_abort() && one.is_abort());
    }
}
