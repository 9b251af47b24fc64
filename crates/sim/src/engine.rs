//! The interface between an engine and whoever moves its bytes.
//!
//! ```text
//!             submit(now, job), abort(now, id)
//!  listener ───────────────────────────────────▶ engine
//!  or predictor   step(now) ─▶ events             │
//!     ▲                                           │
//!     └────────── next_instant() ─────────────────┘
//! ```
//!
//! # Invariants
//!
//! - Events carry the instants at which they really happened, not those at which the engine was
//!   asked. Whoever asks late still learns the truth.
//! - Of each submitted job, one `Finished` or `Rejected` is the last event, unless it is aborted:
//!   an aborted job has no further events.
//! - The tokens of a job's `Tokens` events sum to its `output_tokens`.
//!
//! Deliberately not here: text, protocols, and faults; a listener adds those.

use infermark_terms::Stamp;

mod fleet;
mod front;
mod kv;
mod replica;

pub use fleet::Fleet;

#[cfg(test)]
mod tests;

/// A job's name, given by whoever submits it; unique among the jobs under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// What one request asks of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// Input tokens; 0 counts as 1.
    pub prompt_tokens: u32,
    /// Tokens to generate; 0 counts as 1.
    pub output_tokens: u32,
    /// A hash for each full KV block of the sequence from its first token on, each over all the
    /// tokens up to the end of its block. Blocks past the end of the list are like no other.
    /// Hashes past the end of the prompt name blocks of the answer, for a next turn to find.
    pub blocks: Vec<u64>,
    /// Lower goes first where the engine's policy is priority; else ignored.
    pub priority: i32,
}

/// Something that happened to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineEvent {
    /// When it happened.
    pub at: Stamp,
    /// To which job.
    pub id: JobId,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It joined the running batch for the first time.
    FirstScheduled {
        /// Input tokens that the prefix cache held already.
        cached_tokens: u32,
    },
    /// It gave up its memory and went back to the queue; its tokens so far stand.
    Preempted,
    /// New tokens of its answer.
    Tokens {
        /// How many, at least 1; more than 1 with speculative decoding.
        count: u32,
    },
    /// Its answer is complete. At the same instant as its last `Tokens`.
    Finished,
    /// It will never run.
    Rejected {
        /// Why not.
        reason: RejectReason,
    },
}

/// Why a job was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RejectReason {
    /// The waiting queue was at its limit.
    QueueFull,
    /// Prompt and answer together exceed the model's context or the whole KV memory.
    TooLong,
}

/// The engine's state and totals, as a server's own metrics would show them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gauges {
    /// Jobs in the running batch.
    pub running: u64,
    /// Jobs in the queue.
    pub waiting: u64,
    /// KV memory in use, 0 to 1; blocks that only the prefix cache keeps do not count.
    pub kv_usage: f64,
    /// Input tokens processed so far, those from the prefix cache included.
    pub prompt_tokens: u64,
    /// Output tokens so far.
    pub generation_tokens: u64,
    /// Input tokens looked up in the prefix cache so far.
    pub prefix_queries: u64,
    /// Input tokens found there.
    pub prefix_hits: u64,
    /// Preemptions so far.
    pub preemptions: u64,
}

/// An engine in virtual time.
///
/// # Contract
///
/// `now` never decreases from one call to the next, whichever the call. `step(now)` accounts for
/// everything up to and including `now`; a job submitted at `now` takes part from `now` on.
pub trait Engine: Send {
    /// Takes a job that arrives at `now`. Its first event comes from a later `step`.
    fn submit(&mut self, now: Stamp, job: Job);

    /// Forgets a job at `now`; unknown names are ignored.
    fn abort(&mut self, now: Stamp, id: JobId);

    /// Returns when something will next happen if nothing is submitted, or `None` if nothing
    /// will. May be in the past if `step` has not been called since.
    fn next_instant(&self) -> Option<Stamp>;

    /// Appends what happened up to `now`, in order of time.
    fn step(&mut self, now: Stamp, events: &mut Vec<EngineEvent>);

    /// Returns the engine's state and totals.
    fn gauges(&self) -> Gauges;
}
