//! A request under way, and what is noted of its answer: the same whatever carries it.

use infermark_terms::{
    ChunkKind, ChunkRow, ConnectPhases, Due, Nanos, Outcome, Phase, RequestRow, Stamp, StampSource,
};
use infermark_wire::exchange::{Chunk, Exchange};

use crate::carrier::{Batch, Errand, Order, blank};
use crate::clock::Arrival;
use crate::worker::{Capture, Limits};

/// How long the body's end may take after `[DONE]`. It comes with it, or right after: a server
/// that leaves it out has answered all the same.
pub(crate) const GRACE_AFTER_DONE: Nanos = Nanos::from_millis(250);

/// What holds for every request of a run.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) shard: u32,
    pub(crate) capture: Capture,
}

/// A request under way.
pub(crate) struct Flight {
    pub(crate) row: RequestRow,
    /// Which server it is for.
    server: u32,
    /// Whether its session goes on after it.
    goes_on: bool,
    /// How often it may still be sent again by the user's wish.
    pub(crate) retries: u32,
    /// What is captured of the output; boxed, since most runs capture nothing.
    kept: Option<Box<Kept>>,
    /// When it was put on the connection; once that is ready, when it began to leave.
    pub(crate) since: Stamp,
    /// When the server was last heard.
    spoke: Stamp,
    /// When its answer was complete, although the body's end is still missing.
    pub(crate) done: Option<Stamp>,
}

impl Flight {
    /// Puts a request on a connection, and returns its bytes beside it.
    pub(crate) fn new(errand: Errand, terms: Terms, now: Stamp) -> (Self, Vec<u8>) {
        let Errand { due, order, attempts, retries, shunned: _ } = errand;
        let mut row = blank(due, terms.shard, now, Outcome::Abandoned);
        row.asked_input = order.asked_input;
        row.asked_output = order.asked_output;
        row.class = order.class;
        row.attempts = attempts;
        let flight = Self {
            row,
            server: order.server,
            goes_on: order.goes_on,
            retries,
            kept: Kept::new(terms.capture),
            since: now,
            spoke: now,
            done: None,
        };
        (flight, order.bytes)
    }

    /// The connection is ready, and this is what connecting took if it was for this request.
    pub(crate) fn connected(&mut self, at: Stamp, phases: Option<ConnectPhases>) {
        self.row.connected = Some(at);
        self.row.connect = phases;
    }

    /// All of it was written.
    pub(crate) fn sent(&mut self, now: Stamp) {
        // A server that answers before it has heard all has been asked by then.
        let first = self.row.first_byte;
        let _: &mut Stamp = self.row.sent.get_or_insert(first.map_or(now, |first| first.min(now)));
    }

    /// Says whether all of it was written.
    pub(crate) fn was_sent(&self) -> bool {
        self.row.sent.is_some()
    }

    /// Returns how far it has come, whose response has come so far.
    pub(crate) fn phase(&self, response: Phase) -> Phase {
        match (self.row.connected, self.row.sent) {
            (None, _) => Phase::Connect,
            (Some(_), None) => Phase::Send,
            (Some(_), Some(_)) => response,
        }
    }

    /// Returns when it expires, and by which limit, if it goes on as it is. The instant is never
    /// earlier than the least of the limits from now.
    pub(crate) fn deadline(&self, limits: &Limits) -> (Stamp, Nanos) {
        let Self { row, since, spoke, done, .. } = self;
        let after = |start: Stamp, limit: Nanos| (start + limit, limit);
        if row.connected.is_none() {
            return after(*since, limits.connect);
        }
        let silent = |seen: Option<Stamp>, limit: Option<Nanos>| match (seen, limit) {
            (None, Some(limit)) => Some(after(*since, limit)),
            (Some(_), _) | (None, None) => None,
        };
        let idle = row.first_token.and(limits.idle).map(|limit| after(*spoke, limit));
        let bounds = [
            silent(row.first_byte, limits.header),
            silent(row.first_token, limits.first_token),
            idle,
            done.map(|at| after(at, GRACE_AFTER_DONE)),
        ];
        bounds.into_iter().flatten().fold(after(*since, limits.total), std::cmp::Ord::min)
    }

    /// Notes that something of the answer came, and returns the instant that counts for it.
    pub(crate) fn hears(&mut self, arrival: Arrival) -> Stamp {
        let row = &mut self.row;
        if arrival.source == StampSource::Kernel {
            row.read_delay_max = row.read_delay_max.max(Some(arrival.delay));
        }
        // The kernel may stamp a response before we read the clock after connecting or writing,
        // and a stamp may come before an instant that had to be taken from the clock.
        let earlier = [row.connected, row.sent, row.first_byte, row.last_token];
        let at = earlier.into_iter().flatten().fold(arrival.at, Stamp::max);
        // One instant from the clock is enough to doubt the row's.
        if row.first_byte.is_none() || arrival.source == StampSource::Clock {
            row.stamps = arrival.source;
        }
        let _: &mut Stamp = row.first_byte.get_or_insert(at);
        self.spoke = at;
        at
    }

    /// Returns what notes the chunks of one read.
    pub(crate) fn ear<'a>(
        &'a mut self,
        chunks: &'a mut Vec<ChunkRow>,
        at: Stamp,
        delay: Nanos,
    ) -> Ear<'a> {
        let kept = self.kept.as_deref_mut();
        Ear { row: &mut self.row, kept, chunks, at, delay, coalesced: false }
    }

    /// Returns the request itself, to be sent again.
    pub(crate) fn errand(self, bytes: Vec<u8>, retries: u32) -> Errand {
        let Self { row, server, goes_on, .. } = self;
        let order = Order {
            server,
            goes_on,
            bytes,
            asked_input: row.asked_input,
            asked_output: row.asked_output,
            class: row.class,
        };
        let due = Due { id: row.id, at: row.due, turn: row.turn };
        Errand { due, order, attempts: row.attempts, retries, shunned: None }
    }

    /// Records how it ended; returns its session if that goes on.
    pub(crate) fn land(
        self,
        outcome: Outcome,
        at: Stamp,
        exchange: &Exchange,
        batch: &mut Batch,
    ) -> Option<u64> {
        let Self { mut row, goes_on, kept, .. } = self;
        let latest = [row.sent, row.first_byte, row.last_token].into_iter().flatten().max();
        row.end = latest.map_or(at, |latest| at.max(latest));
        let went_on = goes_on && matches!(outcome, Outcome::Finished { .. });
        let awaited = row.turn.filter(|_| went_on).map(|turn| turn.session);
        row.outcome = outcome;
        row.usage = exchange.usage();
        row.events = exchange.events();
        row.bytes = exchange.bytes();
        if let Some(mut kept) = kept {
            if let Some(whole) = exchange.output_text() {
                kept.take(whole);
            }
            kept.hand_over(&row, batch);
        }
        batch.requests.push(row);
        awaited
    }
}

/// Output text, as far as it is captured.
struct Kept {
    text: Option<Vec<u8>>,
    answer: Option<Vec<u8>>,
}

impl Kept {
    fn new(capture: Capture) -> Option<Box<Self>> {
        (capture != Capture::Nothing).then(|| {
            Box::new(Self {
                text: capture.keeps_text().then(Vec::new),
                answer: capture.keeps_answer().then(Vec::new),
            })
        })
    }

    fn hear(&mut self, chunk: &Chunk<'_>) {
        if let Some(text) = &mut self.text {
            chunk.text.append_to(text);
        }
        if let Some(answer) = &mut self.answer
            && chunk.kind == ChunkKind::Answer
        {
            chunk.text.append_to(answer);
        }
    }

    /// Takes an answer that came whole.
    fn take(&mut self, whole: &[u8]) {
        for kept in [&mut self.text, &mut self.answer].into_iter().flatten() {
            kept.extend_from_slice(whole);
        }
    }

    /// Hands over what was captured of a request that ended.
    fn hand_over(self, row: &RequestRow, batch: &mut Batch) {
        if let Some(text) = self.text.filter(|text| !text.is_empty()) {
            batch.texts.push((row.id, text));
        }
        if let (Some(turn), Some(answer), Outcome::Finished { .. }) =
            (row.turn, self.answer, &row.outcome)
        {
            batch.answers.push((turn, answer));
        }
    }
}

/// Notes the chunks of one read.
pub(crate) struct Ear<'a> {
    row: &'a mut RequestRow,
    kept: Option<&'a mut Kept>,
    chunks: &'a mut Vec<ChunkRow>,
    at: Stamp,
    delay: Nanos,
    /// Whether a chunk of this read came before.
    pub(crate) coalesced: bool,
}

impl Ear<'_> {
    pub(crate) fn hear(&mut self, chunk: &Chunk<'_>) {
        let (row, at) = (&mut *self.row, self.at);
        let _: &mut Stamp = row.first_token.get_or_insert(at);
        if chunk.kind == ChunkKind::Answer {
            let _: &mut Stamp = row.first_answer.get_or_insert(at);
        }
        row.last_token = Some(at);
        row.chunks += 1;
        row.coalesced += u32::from(self.coalesced);
        self.chunks.push(ChunkRow {
            request: row.id,
            at,
            kind: chunk.kind,
            tokens: chunk.tokens,
            text_bytes: chunk.text.len_utf8(),
            coalesced: self.coalesced,
            read_delay: self.delay,
        });
        self.coalesced = true;
        if let Some(kept) = &mut self.kept {
            kept.hear(chunk);
        }
    }
}
