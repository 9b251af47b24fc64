//! What carries requests to the server and back: the seam between the loop and the world.
//!
//! [`Worker`](crate::Worker) carries them over sockets in real time. Tests carry them through a
//! model in virtual time, so that the loop's logic needs neither a server nor patience.

use infermark_terms::{
    ChunkRow, Due, Effort, EventCounts, Outcome, Phase, RequestId, RequestRow, Stamp, StampSource,
    Turn,
};

/// One request, ready to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Which of the plan's servers it is for.
    pub server: u32,
    /// Whether its session goes on after it.
    pub goes_on: bool,
    /// The complete request, as [`Endpoint::request`](crate::Endpoint::request) writes it.
    pub bytes: Vec<u8>,
    /// The input tokens that the server is expected to count.
    pub asked_input: Option<u32>,
    /// The output tokens that are asked for.
    pub asked_output: Option<u32>,
    /// Which of the run's classes it is of.
    pub class: Option<u32>,
}

/// A request on its way to a connection, the first time or again.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) due: Due,
    pub(crate) order: Order,
    /// How often it has been tried, this time included.
    pub(crate) attempts: u32,
    /// How often it may still be sent again by the user's wish.
    pub(crate) retries: u32,
    /// Which of its server's addresses it failed at.
    pub(crate) shunned: Option<u32>,
}

/// Where orders come from. Filled by another thread, so that building prompts costs no lag.
pub trait Source: Send {
    /// Returns the order for this arrival, or nothing if it is not ready yet. Arrivals of a
    /// shard are asked for in the order of their ids.
    fn take(&mut self, due: Due) -> Option<Order>;

    /// Learns the answer to a turn, where answers are captured: the session's next turn goes on
    /// from it.
    fn answered(&mut self, _turn: Turn, _answer: Vec<u8>) {}

    /// Learns that a session ended with this turn, which brought no complete answer.
    fn broken_off(&mut self, _turn: Turn) {}

    /// Returns which of the run's classes an arrival is of that was never sent.
    fn class_of(&self, _due: Due) -> Option<u32> {
        None
    }
}

/// Rows on their way to the writer.
#[derive(Debug, Default)]
pub struct Batch {
    /// Requests that ended.
    pub requests: Vec<RequestRow>,
    /// Chunks, in order of arrival.
    pub chunks: Vec<ChunkRow>,
    /// Output texts of requests that ended, where they are captured.
    pub texts: Vec<(RequestId, Vec<u8>)>,
    /// Answers to turns that finished, where they are captured. They go to the source of the next
    /// turns, and no further.
    pub answers: Vec<(Turn, Vec<u8>)>,
}

impl Batch {
    /// Says whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.chunks.is_empty() && self.texts.is_empty()
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.requests.clear();
        self.chunks.clear();
        self.texts.clear();
        self.answers.clear();
    }
}

/// Carries requests to the server and back, and owns the clock.
pub trait Carrier {
    /// Returns the present instant.
    fn now(&self) -> Stamp;

    /// Starts a request. Whatever happens to it, [`wait`](Self::wait) yields its row one day.
    fn send(&mut self, due: Due, order: Order);

    /// Waits until something happened, or until `until`, and appends what arrived and ended.
    fn wait(&mut self, until: Stamp, batch: &mut Batch);

    /// Ends all that is in flight, each with the outcome that `judge` gives for its due instant
    /// and phase, and appends their rows.
    fn close(&mut self, judge: &mut dyn FnMut(Stamp, Phase) -> Outcome, batch: &mut Batch);

    /// Returns how many requests are in flight.
    fn in_flight(&self) -> usize;

    /// Returns what it took since the run's epoch; nothing where no thread is at work, as in
    /// virtual time.
    fn effort(&self) -> Option<Effort> {
        None
    }
}

/// Returns the row of an arrival of which only this much is known so far.
pub(crate) fn blank(due: Due, shard: u32, end: Stamp, outcome: Outcome) -> RequestRow {
    RequestRow {
        id: due.id,
        shard,
        turn: due.turn,
        class: None,
        due: due.at,
        connected: None,
        connect: None,
        sent: None,
        first_byte: None,
        first_token: None,
        first_answer: None,
        last_token: None,
        end,
        stamps: StampSource::Clock,
        outcome,
        asked_input: None,
        asked_output: None,
        usage: None,
        tokenized: None,
        chunks: 0,
        coalesced: 0,
        events: EventCounts::default(),
        bytes: 0,
        read_delay_max: None,
        address: None,
        attempts: 0,
    }
}
