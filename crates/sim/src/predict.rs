//! An engine under load in virtual time: what a run would have seen.
//!
//! The load comes from a [`Pacer`], as in a run, so that a prediction and a measurement are asked
//! the same things at the same instants; what comes of it are the rows that a run would have
//! recorded. There is no client and no network here: `sent` is `due`, and each event of the
//! engine is a chunk that arrives the instant it happens.

use infermark_terms::{
    ChunkKind, ChunkRow, Due, EventCounts, Excerpt, FinishReason, Nanos, Next, Outcome, Pacer,
    RequestId, RequestRow, Stamp, StampSource, Turn, Usage,
};

use crate::engine::{Engine, EngineEvent, EventKind, Gauges, Job, JobId, RejectReason};

mod load;
mod summary;
mod trust;

pub use load::{Lengths, Load, Stream};
pub use summary::{Figures, Summary};
#[cfg(test)]
pub(crate) use trust::RESIDUALS;
pub use trust::{Uncertainty, uncertainty, unfamiliar};

/// Receives what a prediction yields, in order of time.
pub trait Watch {
    /// A request ended, or was cut off.
    fn request(&mut self, row: RequestRow);

    /// A chunk arrived.
    fn chunk(&mut self, row: ChunkRow);

    /// The engine's state, once per sampling interval.
    fn sample(&mut self, at: Stamp, gauges: Gauges);
}

/// When a prediction stops, and how often the engine's state is sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// Requests still under way at this instant are abandoned.
    pub until: Stamp,
    /// The time from one sample of the engine's state to the next.
    pub sampling: Nanos,
}

impl Default for Horizon {
    fn default() -> Self {
        Self { until: Stamp::NEVER, sampling: Nanos::from_millis(100) }
    }
}

/// A request under way.
#[derive(Clone, Copy, Debug)]
struct Open {
    request: RequestId,
    turn: Option<Turn>,
    due: Stamp,
    prompt_tokens: u32,
    output_tokens: u32,
    cached_tokens: u32,
    tokens: u32,
    chunks: u32,
    first: Option<Stamp>,
    last: Stamp,
}

/// Drives `engine` with the arrivals of `pacer` until all requests have ended or the horizon is
/// reached. `ask` says what each request asks; the job's name is chosen here.
pub fn predict(
    engine: &mut dyn Engine,
    pacer: &mut dyn Pacer,
    ask: &mut dyn FnMut(Due) -> Job,
    horizon: Horizon,
    watch: &mut dyn Watch,
) {
    let mut desk = Desk { open: Vec::new(), free: Vec::new() };
    let mut events = Vec::new();
    let mut now = Stamp::ZERO;
    let mut sample_at = Stamp::ZERO;
    loop {
        let wake = loop {
            match pacer.poll(now) {
                Next::Send(due) => {
                    let job = desk.open(due, ask(due));
                    engine.submit(now, job);
                }
                Next::Wait(at) => break Some(at),
                Next::AwaitCompletion | Next::Done => break None,
            }
        };
        let next = match (engine.next_instant(), wake) {
            (Some(a), Some(b)) => a.min(b),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => break,
        };
        if next >= horizon.until {
            now = horizon.until;
            break;
        }
        while sample_at <= next {
            watch.sample(sample_at, engine.gauges());
            sample_at = sample_at + horizon.sampling;
        }
        now = now.max(next);
        engine.step(now, &mut events);
        for event in events.drain(..) {
            let is_refused = matches!(event.kind, EventKind::Rejected { .. });
            match desk.tell(event, watch) {
                Some(request) if is_refused => pacer.failed(request, event.at),
                Some(request) => pacer.completed(request, event.at),
                None => {}
            }
        }
    }
    desk.abandon(now, watch);
}

/// The requests under way; a job's name is its place here.
#[derive(Clone, Debug)]
struct Desk {
    open: Vec<Option<Open>>,
    free: Vec<u32>,
}

impl Desk {
    fn open(&mut self, due: Due, job: Job) -> Job {
        let Due { id: request, at: due, turn } = due;
        let open = Open {
            request,
            turn,
            due,
            prompt_tokens: job.prompt_tokens,
            output_tokens: job.output_tokens,
            cached_tokens: 0,
            tokens: 0,
            chunks: 0,
            first: None,
            last: due,
        };
        let place = self.free.pop().unwrap_or_else(|| {
            self.open.push(None);
            (self.open.len() - 1) as u32
        });
        self.open[place as usize] = Some(open);
        Job { id: JobId(u64::from(place)), ..job }
    }

    /// Records an event; returns the request if it was its last.
    fn tell(&mut self, event: EngineEvent, watch: &mut dyn Watch) -> Option<RequestId> {
        let place = event.id.0 as usize;
        let open = self.open[place].as_mut().expect("events are of jobs under way");
        let outcome = match event.kind {
            EventKind::FirstScheduled { cached_tokens } => {
                open.cached_tokens = cached_tokens;
                return None;
            }
            EventKind::Preempted => return None,
            EventKind::Tokens { count } => {
                open.tokens += count;
                open.chunks += 1;
                open.first = open.first.or(Some(event.at));
                open.last = event.at;
                watch.chunk(ChunkRow {
                    request: open.request,
                    at: event.at,
                    kind: ChunkKind::Answer,
                    tokens: Some(count),
                    text_bytes: 0,
                    coalesced: false,
                    read_delay: Nanos::ZERO,
                });
                return None;
            }
            EventKind::Finished => Outcome::Finished { reason: FinishReason::Length },
            EventKind::Rejected { reason } => refusal(reason),
        };
        let open = self.open[place].take().expect("it is there");
        self.free.push(place as u32);
        watch.request(row(&open, event.at, outcome));
        Some(open.request)
    }

    fn abandon(self, now: Stamp, watch: &mut dyn Watch) {
        for open in self.open.into_iter().flatten() {
            watch.request(row(&open, now, Outcome::Abandoned));
        }
    }
}

fn refusal(reason: RejectReason) -> Outcome {
    let (status, message) = match reason {
        RejectReason::QueueFull => (503, "the waiting queue is full"),
        RejectReason::TooLong => (400, "the request exceeds the context or the KV memory"),
    };
    Outcome::Refused { status, message: Excerpt::new(message) }
}

fn row(open: &Open, end: Stamp, outcome: Outcome) -> RequestRow {
    let finished = matches!(outcome, Outcome::Finished { .. });
    RequestRow {
        id: open.request,
        shard: 0,
        turn: open.turn,
        class: None,
        due: open.due,
        connected: Some(open.due),
        connect: None,
        sent: Some(open.due),
        first_byte: open.first,
        first_token: open.first,
        first_answer: open.first,
        last_token: open.first.map(|_| open.last),
        end,
        stamps: StampSource::Clock,
        outcome,
        asked_input: Some(open.prompt_tokens),
        asked_output: Some(open.output_tokens),
        usage: finished.then_some(Usage {
            prompt_tokens: open.prompt_tokens,
            completion_tokens: open.tokens,
            cached_tokens: Some(open.cached_tokens),
            reasoning_tokens: None,
        }),
        tokenized: None,
        chunks: open.chunks,
        coalesced: 0,
        events: EventCounts::default(),
        bytes: 0,
        read_delay_max: None,
        address: None,
        attempts: 0,
    }
}

#[cfg(test)]
mod tests;
