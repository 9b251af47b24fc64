//! One response, from its first byte to its end: framing, events and dialect together. This is
//! all that a driver sees of the protocol.
//!
//! ```text
//!           ┌── 2xx, events or lines ▶ chunks … last one … end of body ─▶ Finished
//!  head ────┼── 2xx, JSON ──────────▶ end of body ──▶ Finished (one chunk if streaming was asked)
//!           ├── 2xx, anything else ─▶ Garbled
//!           └── other status ───────▶ end of body ──▶ Refused
//! ```
//!
//! A stream's last event is `[DONE]`, or the one that its dialect ends with. A stream has ended
//! properly when its body has and the last event or a finish reason was seen; after the last event
//! a closed connection will do too. Where a dialect announces no end, the body's is the answer's.
//! An error event ends the exchange at once, and so does everything malformed. What follows the
//! last event within the body is ignored.
//!
//! The answer is complete with its last event, the response only with its body, which many end
//! in a write of its own. To wait for that keeps the connection; a server that never gets there
//! must not turn its answer into a failure. So [`Exchange::is_done`] tells the one from the other,
//! and [`Exchange::finish`] ends the wait.
//!
//! # Invariants
//!
//! - However the bytes are split, the chunks, the counts and the end are the same. The exception
//!   are bytes after the end: they spoil the response only if they come with its last bytes.
//! - A chunk costs no allocation once the buffers have grown.
//!
//! Not here: when anything happened.

use infermark_terms::{
    ChunkKind, DecodeFault, EventCounts, Excerpt, FinishReason, Nanos, Outcome, Phase,
    TransportFault, Usage,
};

use crate::dialect::{Api, Delivery, Framing, Spoken as _};
use crate::event::{Counts, Event, Facts};
use crate::fault;
use crate::http1::{BODY_MAX, BodySink, ContentType, Message, ResponseDecoder, ResponseHead};
use crate::lines::LineDecoder;
use crate::sse::{Item, SseDecoder};

pub use crate::event::RawText;
pub use crate::http1::Keep;

/// How much of a refusal's body is kept, in bytes.
pub const REFUSAL_MAX: usize = 4 << 10;

/// A stream event that carries generated output.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// What it carries.
    pub kind: ChunkKind,
    /// Its tokens and those of events without text since the previous chunk, where the server
    /// says so with every chunk: by continuous usage, token ids or log-probabilities. It may be
    /// 0: text that a server had held back.
    pub tokens: Option<u32>,
    /// Its text.
    pub text: RawText<'a>,
}

/// Whether the response has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More is to come.
    Open,
    /// It has.
    Ended(Ended),
}

/// How the response ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How the request ended.
    pub outcome: Outcome,
    /// What becomes of the connection.
    pub connection: Keep,
}

/// Reads one response after another of one connection.
#[derive(Debug)]
pub struct Exchange {
    http: ResponseDecoder,
    answer: Answer,
    bytes: u64,
    ended: bool,
}

/// The answer within the response.
#[derive(Debug)]
struct Answer {
    api: Api,
    delivery: Delivery,
    mode: Mode,
    sse: SseDecoder,
    lines: LineDecoder,
    /// A body that is not a stream.
    body: Vec<u8>,
    /// The output of a whole answer.
    output: Vec<u8>,
    tally: Tally,
    /// The outcome, where it is known before the body's end.
    outcome: Option<Outcome>,
}

/// How the body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The head has not arrived.
    Head,
    /// As a stream of events.
    Events,
    /// As a stream of lines.
    Lines,
    /// As one JSON text, at its end.
    Json,
    /// As what the server says beside this status.
    Refusal(u16),
}

impl Exchange {
    /// Returns an exchange for responses of this API, asked for in this way.
    pub fn new(api: Api, delivery: Delivery) -> Self {
        Self {
            http: ResponseDecoder::new(),
            answer: Answer {
                api,
                delivery,
                mode: Mode::Head,
                sse: SseDecoder::new(),
                lines: LineDecoder::default(),
                body: Vec::new(),
                output: Vec::new(),
                tally: Tally::default(),
                outcome: None,
            },
            bytes: 0,
            ended: false,
        }
    }

    /// Gets ready for the next response; keeps the buffers.
    pub fn reset(&mut self) {
        self.http.reset();
        self.answer.mode = Mode::Head;
        self.answer.sse.reset();
        self.answer.lines.reset();
        self.answer.body.clear();
        self.answer.output.clear();
        self.answer.tally = Tally::default();
        self.answer.outcome = None;
        self.bytes = 0;
        self.ended = false;
    }

    /// Reads the next bytes and hands each chunk to `chunk` as it becomes complete.
    ///
    /// Bytes after the end, with the last ones or later, are `Garbled` by [`DecodeFault::Excess`].
    pub fn receive(&mut self, bytes: &[u8], chunk: &mut impl FnMut(Chunk<'_>)) -> Progress {
        self.bytes += bytes.len() as u64;
        if self.ended {
            return ended(garbled(DecodeFault::Excess), Keep::Close);
        }
        let fed = self.http.feed(bytes, &mut AnswerSink { answer: &mut self.answer, chunk });
        let progress = match (self.answer.outcome.take(), fed) {
            (Some(outcome), _) => ended(outcome, Keep::Close),
            (None, Ok(Message::Open)) => Progress::Open,
            (None, Ok(Message::Complete)) => {
                ended(self.answer.complete(self.phase(), chunk), self.http.keep())
            }
            (None, Err(fault)) => ended(self.answer.broken(fault), Keep::Close),
        };
        self.ended = progress != Progress::Open;
        progress
    }

    /// Takes the head of a response whose framing is not HTTP/1.1's, and how many bytes it took.
    pub fn head(&mut self, head: ResponseHead, bytes: usize) -> Progress {
        self.bytes += bytes as u64;
        self.answer.head(head);
        self.decided()
    }

    /// Takes a piece of its body, as [`receive`](Self::receive) does.
    pub fn body(&mut self, bytes: &[u8], chunk: &mut impl FnMut(Chunk<'_>)) -> Progress {
        self.bytes += bytes.len() as u64;
        self.answer.body(bytes, chunk);
        self.decided()
    }

    /// Learns that it is complete.
    pub fn complete(&mut self, chunk: &mut impl FnMut(Chunk<'_>)) -> Ended {
        self.ended = true;
        let outcome = self.answer.complete(self.phase(), chunk);
        Ended { outcome, connection: Keep::Reuse }
    }

    /// Learns that its framing is broken.
    pub fn broken(&mut self, fault: DecodeFault) -> Ended {
        self.ended = true;
        Ended { outcome: self.answer.broken(fault), connection: Keep::Close }
    }

    /// Ends the exchange if its outcome is known before its end.
    fn decided(&mut self) -> Progress {
        let decided = self.answer.outcome.take();
        self.ended = decided.is_some();
        decided.map_or(Progress::Open, |outcome| ended(outcome, Keep::Close))
    }

    /// Learns that the peer has closed the connection, which ends the response in any case.
    ///
    /// A body that only the close delimits may turn out to be complete. If it is a whole answer
    /// where a stream was asked for, its one chunk is not handed out: it has no instant of its
    /// own.
    pub fn closed(&mut self) -> Ended {
        self.ended = true;
        let phase = self.phase();
        let outcome = match (self.http.closed(), self.answer.mode) {
            (Message::Complete, _) | (Message::Open, Mode::Refusal(_)) => {
                self.answer.complete(phase, &mut |_| {})
            }
            (Message::Open, Mode::Events | Mode::Lines) if self.answer.tally.done => {
                self.answer.tally.finished()
            }
            (Message::Open, _) => severed(phase),
        };
        Ended { outcome, connection: Keep::Close }
    }

    /// Says whether the answer is complete though the response has not ended: its last event has
    /// been read, and the end of the body has not.
    pub fn is_done(&self) -> bool {
        self.answer.tally.done && !self.ended
    }

    /// Ends the wait for the end of the body of an answer that is complete. It is `Finished` as of
    /// the bytes that made [`is_done`](Self::is_done) true; the connection is of no further use.
    ///
    /// # Panics
    ///
    /// If the answer [is not done](Self::is_done).
    pub fn finish(&mut self) -> Ended {
        assert!(self.is_done(), "only an answer that is done can be finished");
        self.ended = true;
        Ended { outcome: self.answer.tally.finished(), connection: Keep::Close }
    }

    /// Returns how far the response has come.
    pub fn phase(&self) -> Phase {
        match (self.bytes, self.answer.tally.chunks) {
            (0, _) => Phase::Headers,
            (_, 0) => Phase::FirstToken,
            _ => Phase::Stream,
        }
    }

    /// Returns how long the server keeps the connection open after this response, where it says.
    pub fn idle(&self) -> Option<Nanos> {
        self.http.idle()
    }

    /// Returns the last usage that the server stated.
    pub fn usage(&self) -> Option<Usage> {
        self.answer.tally.usage()
    }

    /// Returns how many events were no chunks.
    pub fn events(&self) -> EventCounts {
        self.answer.tally.events
    }

    /// Returns how many bytes have been received, head included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the output of an answer that was asked for whole, once it has arrived. A streamed
    /// answer's output is in its chunks.
    pub fn output_text(&self) -> Option<&[u8]> {
        let whole = self.answer.delivery == Delivery::Whole && self.ended;
        whole.then_some(self.answer.output.as_slice())
    }
}

/// Brings the response to the answer.
struct AnswerSink<'a, F> {
    answer: &'a mut Answer,
    chunk: &'a mut F,
}

impl<F: FnMut(Chunk<'_>)> BodySink for AnswerSink<'_, F> {
    fn head(&mut self, head: ResponseHead) {
        self.answer.head(head);
    }

    fn body(&mut self, bytes: &[u8]) {
        self.answer.body(bytes, self.chunk);
    }
}

impl Answer {
    /// Decides by the head how the body is to be read.
    fn head(&mut self, head: ResponseHead) {
        let framing = self.api.framing();
        self.mode = match (head.status, head.content, self.delivery) {
            (..200 | 300.., _, _) => Mode::Refusal(head.status),
            // Some say only that lines of JSON are JSON.
            (_, ContentType::JsonLines | ContentType::Json | ContentType::Unstated, streamed)
                if framing == Framing::Lines && streamed == Delivery::Streamed =>
            {
                Mode::Lines
            }
            (_, ContentType::EventStream | ContentType::Unstated, Delivery::Streamed) => {
                Mode::Events
            }
            (_, ContentType::Json, _) | (_, ContentType::Unstated, Delivery::Whole) => Mode::Json,
            (_, ContentType::Other | ContentType::JsonLines, _)
            | (_, ContentType::EventStream, Delivery::Whole) => {
                self.outcome = Some(garbled(DecodeFault::ContentType));
                Mode::Head
            }
        };
    }

    fn body(&mut self, bytes: &[u8], chunk: &mut impl FnMut(Chunk<'_>)) {
        if self.outcome.is_some() {
            return;
        }
        match self.mode {
            Mode::Events => self.events(bytes, chunk),
            Mode::Lines => self.lines(bytes, chunk),
            Mode::Json if self.body.len() + bytes.len() > BODY_MAX => {
                self.outcome = Some(garbled(DecodeFault::Shape));
            }
            Mode::Json => self.body.extend_from_slice(bytes),
            Mode::Refusal(_) => {
                let room = REFUSAL_MAX - self.body.len();
                self.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Mode::Head => unreachable!("the head comes before the body"),
        }
    }

    fn events(&mut self, bytes: &[u8], chunk: &mut impl FnMut(Chunk<'_>)) {
        let Self { api, sse, tally, outcome, .. } = self;
        let fed = sse.feed(bytes, &mut |item| {
            if outcome.is_none() && !tally.done {
                *outcome = tally.item(*api, item, chunk).err();
            }
        });
        if let Err(fault) = fed
            && self.outcome.is_none()
        {
            self.outcome = Some(garbled(fault));
        }
    }

    fn lines(&mut self, bytes: &[u8], chunk: &mut impl FnMut(Chunk<'_>)) {
        let Self { api, lines, tally, outcome, .. } = self;
        let fed = lines.feed(bytes, &mut |line| {
            if outcome.is_none() && !tally.done {
                *outcome = tally.part(*api, line, chunk).err();
            }
        });
        if let Err(fault) = fed
            && self.outcome.is_none()
        {
            self.outcome = Some(garbled(fault));
        }
    }

    /// Takes a last line that lacks its end.
    fn last_line(&mut self, chunk: &mut impl FnMut(Chunk<'_>)) -> Result<(), Outcome> {
        let Self { api, lines, tally, .. } = self;
        let mut taken = Ok(());
        lines.finish(&mut |line| {
            if !tally.done {
                taken = tally.part(*api, line, chunk);
            }
        });
        taken
    }

    /// Ends the answer at the body's proper end.
    fn complete(&mut self, phase: Phase, chunk: &mut impl FnMut(Chunk<'_>)) -> Outcome {
        match self.mode {
            Mode::Lines => match self.last_line(chunk) {
                Ok(()) if self.has_ended() => self.tally.finished(),
                Ok(()) => severed(phase),
                Err(outcome) => outcome,
            },
            Mode::Events if self.has_ended() => self.tally.finished(),
            Mode::Events | Mode::Head => severed(phase),
            Mode::Json => self.whole(chunk).unwrap_or_else(|outcome| outcome),
            Mode::Refusal(status) => refused(status, &self.body),
        }
    }

    /// Says whether a stream whose body has ended was complete.
    fn has_ended(&self) -> bool {
        let Self { api, tally, .. } = self;
        tally.done || tally.finish.is_some() || (api.ends_with_body() && tally.parts > 0)
    }

    /// Ends the answer at a fault of the framing. A refusal stays one.
    fn broken(&mut self, fault: DecodeFault) -> Outcome {
        match self.mode {
            Mode::Refusal(status) => refused(status, &self.body),
            Mode::Head | Mode::Events | Mode::Lines | Mode::Json => garbled(fault),
        }
    }

    /// Reads an answer that came as one JSON text.
    fn whole(&mut self, chunk: &mut impl FnMut(Chunk<'_>)) -> Result<Outcome, Outcome> {
        let Self { api, delivery, body, output, tally, .. } = self;
        let facts = match api.read(body).map_err(garbled)? {
            Event::Failed => return Err(errored(body)),
            Event::Alive => return Err(garbled(DecodeFault::Shape)),
            Event::Part(facts) => facts,
        };
        let choice = facts.choice.as_ref().ok_or(garbled(DecodeFault::Shape))?;
        match delivery {
            Delivery::Whole => {
                choice.text.append_to(output);
                tally.note(&facts);
            }
            Delivery::Streamed => tally.event(*api, &facts, chunk),
        }
        Ok(tally.finished())
    }
}

/// What has been seen of an answer.
#[derive(Debug, Default)]
struct Tally {
    counts: Counts,
    events: EventCounts,
    /// Events that spoke of the answer.
    parts: u32,
    chunks: u32,
    finish: Option<FinishReason>,
    /// The last event was seen.
    done: bool,
    /// Of an answer whose events carry all the text so far, the bytes that were handed out.
    shown: u32,
    /// Tokens that the server has spoken of so far.
    told: u32,
    /// Those of them that went to a chunk.
    credited: u32,
    /// Some chunk came without its tokens: what comes later cannot be shared out any more.
    untold: bool,
}

impl Tally {
    /// Takes one item of the stream.
    fn item(
        &mut self,
        api: Api,
        item: Item<'_>,
        chunk: &mut impl FnMut(Chunk<'_>),
    ) -> Result<(), Outcome> {
        match item {
            Item::Event { name: Some(b"error"), data } => return Err(errored(data)),
            Item::Comment | Item::Event { data: b"", .. } => self.events.comments += 1,
            Item::Event { data, .. } if data.trim_ascii() == b"[DONE]" => self.done = true,
            Item::Event { data, .. } => self.part(api, data, chunk)?,
        }
        Ok(())
    }

    /// Takes one event's data, or one line.
    fn part(
        &mut self,
        api: Api,
        data: &[u8],
        chunk: &mut impl FnMut(Chunk<'_>),
    ) -> Result<(), Outcome> {
        match api.read(data).map_err(garbled)? {
            Event::Failed => return Err(errored(data)),
            Event::Alive => self.events.comments += 1,
            Event::Part(facts) => self.event(api, &facts, chunk),
        }
        Ok(())
    }

    /// Takes one event: as a chunk, or into the counts.
    fn event(&mut self, api: Api, facts: &Facts<'_>, chunk: &mut impl FnMut(Chunk<'_>)) {
        self.parts += 1;
        self.note(facts);
        match &facts.choice {
            Some(choice) => match (choice.kind, self.fresh(api, choice.text)) {
                (Some(kind), Some(text)) => {
                    let tokens = self.told.saturating_sub(self.credited);
                    self.credited = self.told;
                    self.chunks += 1;
                    let tokens = (!self.untold).then_some(tokens);
                    chunk(Chunk { kind, tokens, text });
                }
                _ if choice.role => self.events.role_only += 1,
                _ => self.events.empty += 1,
            },
            None if !facts.counts.is_empty() => self.events.usage_only += 1,
            None => self.events.empty += 1,
        }
        self.done |= facts.last;
    }

    /// Returns what of an event's text is new; nothing if none is.
    fn fresh<'a>(&mut self, api: Api, text: RawText<'a>) -> Option<RawText<'a>> {
        if !api.repeats_text() {
            return Some(text);
        }
        let text = text.after(self.shown);
        self.shown += text.len_utf8();
        (text.len_utf8() > 0).then_some(text)
    }

    /// Keeps what an event says beside its text.
    fn note(&mut self, facts: &Facts<'_>) {
        self.counts = facts.counts.or(self.counts);
        let choice = facts.choice.as_ref();
        let tokens = choice.and_then(|choice| choice.tokens);
        match (facts.counts.completion, tokens) {
            (Some(completion), _) => self.told = completion,
            (None, Some(tokens)) => self.told = self.told.saturating_add(tokens),
            (None, None) => self.untold |= choice.is_some_and(|choice| choice.kind.is_some()),
        }
        if let Some(reason) = choice.and_then(|choice| choice.finish.clone()) {
            self.finish = Some(reason);
        }
    }

    /// Returns the server's counts, if both are known. A server that states the tokens of each
    /// event has stated their sum.
    fn usage(&self) -> Option<Usage> {
        let Counts { prompt, completion, cached, reasoning } = self.counts;
        let summed = (!self.untold && self.told > 0).then_some(self.told);
        Some(Usage {
            prompt_tokens: prompt?,
            completion_tokens: completion.or(summed)?,
            cached_tokens: cached,
            reasoning_tokens: reasoning,
        })
    }

    fn finished(&mut self) -> Outcome {
        Outcome::Finished { reason: self.finish.take().unwrap_or(FinishReason::Unstated) }
    }
}

fn ended(outcome: Outcome, connection: Keep) -> Progress {
    Progress::Ended(Ended { outcome, connection })
}

fn garbled(fault: DecodeFault) -> Outcome {
    Outcome::Garbled { fault }
}

fn severed(phase: Phase) -> Outcome {
    Outcome::Severed { phase, fault: TransportFault::ClosedEarly }
}

fn refused(status: u16, body: &[u8]) -> Outcome {
    Outcome::Refused { status, message: fault::message(body) }
}

fn errored(said: &[u8]) -> Outcome {
    let message: Excerpt = fault::message(said);
    Outcome::Errored { message }
}

#[cfg(test)]
mod tests;
