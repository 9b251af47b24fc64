//! One request under way: what to send for each step of the engine.
//!
//! ```text
//!  head ─▶ (opening) ─▶ text ─▶ text ─▶ … ─▶ the last text and what ends the stream
//!     ↑ held back?         ↑ stall?  ↑ cut short by a fault?
//! ```
//!
//! A stream's usual event is laid out once; for each token only its letters are changed, so that
//! a token costs one copy of six bytes and one write. Events of changing length (usage on each,
//! several tokens in one) and spoilt ones are written out each time.
//!
//! Deliberately not here: sockets beyond [`Outbox`], and instants beyond those that it is given.

use infermark_terms::{FinishReason, Stamp, Usage};
use infermark_wire::http1;
use infermark_wire::server::{Answer, End, Part, Refusal};
use infermark_wire::{Api, Delivery, UsageFields};

use super::faults::{Drawn, EndFault, Fault};
use super::outbox::{Afterwards, Outbox};
use super::truth::Ending;
use super::words::{self, Voice, WORD_BYTES};

/// What a request is to get.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) api: Api,
    pub(crate) delivery: Delivery,
    pub(crate) usage: UsageFields,
    pub(crate) voice: Voice,
    pub(crate) prompt_tokens: u32,
    pub(crate) output_tokens: u32,
    pub(crate) finish: FinishReason,
    pub(crate) faults: Drawn,
    /// What the client and the request's framing leave of the connection.
    pub(crate) afterwards: Afterwards,
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Reply {
    order: Order,
    answer: Answer,
    head_put: bool,
    /// Tokens that the engine has generated.
    generated: u32,
    /// Those of them that are in an event.
    said: u32,
    cached_tokens: u32,
    stall_at: Option<u32>,
    end_at: Option<u32>,
    template: Option<Template>,
    told: Option<(u32, u32)>,
    over: Option<Over>,
}

/// How a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Over {
    pub(crate) ending: Ending,
    pub(crate) afterwards: Afterwards,
}

/// What became of a step's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// They, and those kept before, were put into the outbox: so many in all.
    All { tokens: u32 },
    /// They are kept for a later event.
    Later,
    /// They will never be sent: the answer was cut short.
    Never,
}

/// An event whose words alone change: all have the same length.
#[derive(Debug)]
struct Template {
    frame: Vec<u8>,
    letters_at: usize,
}

/// Where in an answer an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Within,
    Last,
}

/// Buffers that replies share: nothing is allocated for a token.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    text: String,
    ends: Vec<usize>,
    ids: Vec<u32>,
    events: Vec<u8>,
    frame: Vec<u8>,
}

const RETRY_AFTER: (&str, &str) = ("Retry-After", "1");
const JSON: (&str, &str) = ("Content-Type", "application/json");

impl Reply {
    pub(crate) fn new(order: Order, answer: Answer) -> Self {
        let (faults, tokens) = (&order.faults, order.output_tokens);
        let stall_at = faults.stall().map(|_| faults.stalls_after(tokens));
        let end_at = faults.end().map(|_| faults.ends_after(tokens));
        Self {
            order,
            answer,
            head_put: false,
            generated: 0,
            said: 0,
            cached_tokens: 0,
            stall_at,
            end_at,
            template: None,
            told: None,
            over: None,
        }
    }

    pub(crate) fn order(&self) -> &Order {
        &self.order
    }

    /// Returns how it ended, once it has.
    pub(crate) fn over(&self) -> Option<Over> {
        self.over
    }

    /// Returns the last usage that the client was told.
    pub(crate) fn told(&self) -> Option<(u32, u32)> {
        self.told
    }

    /// Says whether anything of the response was put into the outbox.
    pub(crate) fn has_begun(&self) -> bool {
        self.head_put
    }

    /// Learns how much of the prompt was cached.
    pub(crate) fn scheduled(&mut self, cached_tokens: u32) {
        self.cached_tokens = cached_tokens;
    }

    /// Begins the response where that does not wait for the answer: a stream's head, as vLLM
    /// sends it when it takes the request.
    pub(crate) fn begin(&mut self, out: &mut Outbox, scratch: &mut Scratch, now: Stamp) {
        if self.head_put || self.over.is_some() {
            return;
        }
        if self.order.faults.end() == Some(EndFault::Html) {
            return self.html(out, now);
        }
        if self.order.delivery == Delivery::Streamed {
            self.stream_head(out, scratch, now);
        }
    }

    /// Refuses the request. If a stream has begun, the refusal is an event in it.
    pub(crate) fn refuse(
        &mut self,
        refusal: &Refusal,
        out: &mut Outbox,
        scratch: &mut Scratch,
        now: Stamp,
    ) {
        if self.head_put {
            return self.fault_event(refusal, out, scratch);
        }
        self.hold_head(out, now);
        out.put(&self::refusal(self.order.api, refusal, self.order.afterwards));
        self.complete();
    }

    /// Takes tokens that the engine generated.
    pub(crate) fn tokens(
        &mut self,
        count: u32,
        out: &mut Outbox,
        scratch: &mut Scratch,
        now: Stamp,
    ) -> Said {
        self.generated += count;
        let last = self.generated >= self.order.output_tokens;
        if self.order.delivery == Delivery::Whole {
            if !last {
                return Said::Later;
            }
            return self.whole(out, scratch, now);
        }
        if !last && self.generated - self.said < self.order.faults.tokens_per_event() {
            return Said::Later;
        }
        self.stream_head(out, scratch, now);
        // Events of several tokens may step over the place where a fault is to strike.
        let reached = |at: u32| last || self.said >= at;
        if self.end_at.is_some_and(reached) {
            self.cut_short(out, scratch);
            return Said::Never;
        }
        if self.stall_at.is_some_and(reached) {
            self.stall_at = None;
            out.hold(now + self.order.faults.stall().expect("a stall has a length"));
        }
        let tokens = self.generated - self.said;
        if last {
            self.last_event(out, scratch);
        } else {
            self.event(out, scratch);
        }
        Said::All { tokens }
    }

    fn complete(&mut self) {
        let afterwards = self.order.afterwards;
        self.over = Some(Over { ending: Ending::Complete, afterwards });
    }

    /// Delays the head if it is to be late.
    fn hold_head(&mut self, out: &mut Outbox, now: Stamp) {
        self.head_put = true;
        if let Some(span) = self.order.faults.headers() {
            out.hold(now + span);
        }
    }

    fn stream_head(&mut self, out: &mut Outbox, scratch: &mut Scratch, now: Stamp) {
        if self.head_put {
            return;
        }
        self.hold_head(out, now);
        let Scratch { events, frame, .. } = scratch;
        frame.clear();
        let headers =
            [("Content-Type", self.answer.content_type()), connection(self.order.afterwards)];
        http1::start_chunked(frame, 200, &headers);
        events.clear();
        if self.order.faults.has(Fault::Comments) {
            self.answer.comment(events);
        }
        if self.order.faults.has(Fault::RoleOnly) {
            let usage = self.usage_on_each(0);
            self.answer.opening(events, usage);
        }
        self.end_lines(events);
        http1::write_chunk(frame, events);
        out.put(frame);
    }

    /// Sends the usual event: all tokens that have not been said.
    fn event(&mut self, out: &mut Outbox, scratch: &mut Scratch) {
        let first = self.said == 0;
        if !first && self.generated - self.said == 1 && self.is_uniform() {
            let id = self.order.voice.token(self.said);
            self.said = self.generated;
            if self.template.is_none() {
                self.template = Some(self.lay_out(scratch));
            }
            let template = self.template.as_mut().expect("it was just laid out");
            let letters = template.letters_at..template.letters_at + WORD_BYTES - 1;
            template.frame[letters].copy_from_slice(&words::word(id)[1..]);
            return out.put(&template.frame);
        }
        scratch.events.clear();
        self.write_text(Place::Within, scratch);
        self.send(out, scratch, b"");
    }

    /// Sends the last event and everything after it.
    fn last_event(&mut self, out: &mut Outbox, scratch: &mut Scratch) {
        scratch.events.clear();
        self.write_text(Place::Last, scratch);
        self.send(out, scratch, LAST_CHUNK);
        self.complete();
    }

    /// Appends the event of all tokens that have not been said, with what comes in front of it,
    /// and behind the last.
    fn write_text(&mut self, at: Place, scratch: &mut Scratch) {
        let Scratch { text, ends, ids, events, .. } = scratch;
        text.clear();
        ends.clear();
        ids.clear();
        let first = self.said == 0;
        for place in self.said..self.generated {
            let id = self.order.voice.token(place);
            ids.push(id);
            self.spell(id, text);
            ends.push(text.len());
        }
        self.said = self.generated;
        if first && !self.order.faults.has(Fault::RoleOnly) {
            let usage = self.usage_on_each(0);
            self.answer.opening(events, usage);
        }
        let usage = self.usage_on_each(self.said);
        self.precede(events, usage);
        let part = Part { text, ends, ids, usage };
        let told = match at {
            Place::Within => {
                self.answer.part(events, &part);
                usage
            }
            Place::Last => {
                let told =
                    self.order.usage != UsageFields::None && !self.order.faults.has(Fault::NoUsage);
                let end = End { finish: &self.order.finish, usage: told.then(|| self.usage()) };
                self.answer.last(events, &part, &end);
                end.usage
            }
        };
        if let Some(usage) = told {
            self.tell(usage);
        }
    }

    /// Appends what faults put in front of an event.
    fn precede(&mut self, events: &mut Vec<u8>, usage: Option<Usage>) {
        if self.order.faults.has(Fault::Comments) {
            self.answer.comment(events);
        }
        if self.order.faults.has(Fault::Empty) {
            // The counts of an event without tokens are those of the event before.
            let usage = usage.filter(|_| !self.answer.counts_each());
            self.answer.part(events, &Part { text: "", ends: &[], ids: &[], usage });
        }
    }

    /// Sends the events in `scratch` as one chunk; as two if a character is to be cut. `tail`
    /// goes with the last.
    fn send(&self, out: &mut Outbox, scratch: &mut Scratch, tail: &[u8]) {
        let Scratch { events, frame, .. } = scratch;
        self.end_lines(events);
        let mut rest = events.as_slice();
        if self.order.faults.has(Fault::SplitUtf8)
            && let Some(lead) = rest.iter().position(|byte| !byte.is_ascii())
        {
            let (first, second) = rest.split_at(lead + 1);
            rest = second;
            frame.clear();
            http1::write_chunk(frame, first);
            out.put(frame);
        }
        frame.clear();
        http1::write_chunk(frame, rest);
        frame.extend_from_slice(tail);
        out.put(frame);
    }

    /// Says whether all usual events have the same length and differ in their letters alone.
    fn is_uniform(&self) -> bool {
        self.answer.is_uniform()
            && self.order.usage != UsageFields::Continuous
            && !self.order.faults.has(Fault::SplitUtf8)
    }

    /// Lays out the usual event: it is written with two words that share no letter, and where
    /// the results differ are the letters.
    fn lay_out(&mut self, scratch: &mut Scratch) -> Template {
        let [frame, other] = [0, words::VOCABULARY - 1].map(|id| {
            let Scratch { text, events, .. } = &mut *scratch;
            events.clear();
            self.precede(events, None);
            text.clear();
            self.spell(id, text);
            self.answer.part(events, &Part { text, ends: &[text.len()], ids: &[id], usage: None });
            self.end_lines(events);
            let mut frame = Vec::new();
            http1::write_chunk(&mut frame, events);
            frame
        });
        let differing = frame.iter().zip(&other).position(|(a, b)| a != b);
        Template { frame, letters_at: differing.expect("the two words share no letter") }
    }

    fn spell(&self, id: u32, text: &mut String) {
        let word = words::word(id);
        text.push_str(std::str::from_utf8(&word).expect("words are ASCII"));
        if self.order.faults.has(Fault::SplitUtf8) {
            text.push('é');
        }
    }

    fn end_lines(&self, events: &mut Vec<u8>) {
        if self.order.faults.has(Fault::Crlf) {
            // JSON has no raw line ends: all that are there end lines.
            let lines = events.split(|&byte| byte == b'\n').collect::<Vec<_>>();
            *events = lines.join(b"\r\n".as_slice());
        }
    }

    /// Returns what the client is told of usage by now.
    fn usage(&self) -> Usage {
        let lying = self.order.faults.has(Fault::LyingUsage);
        let completion_tokens = if lying { 2 * self.said + 1 } else { self.said };
        Usage {
            prompt_tokens: self.order.prompt_tokens,
            completion_tokens,
            cached_tokens: (self.cached_tokens > 0).then_some(self.cached_tokens),
            reasoning_tokens: None,
        }
    }

    /// Returns the usage of an event, where each carries it.
    fn usage_on_each(&self, said: u32) -> Option<Usage> {
        let wanted =
            self.order.usage == UsageFields::Continuous && !self.order.faults.has(Fault::NoUsage);
        wanted.then(|| Usage {
            completion_tokens: if said == 0 { 0 } else { self.usage().completion_tokens },
            ..self.usage()
        })
    }

    fn tell(&mut self, usage: Usage) {
        self.told = Some((usage.prompt_tokens, usage.completion_tokens));
    }

    /// Ends a stream before its time, as its fault wants.
    fn cut_short(&mut self, out: &mut Outbox, scratch: &mut Scratch) {
        match self.order.faults.end() {
            Some(EndFault::Reset) => self.break_off(Ending::Reset),
            Some(EndFault::Truncate) => self.break_off(Ending::Truncated),
            Some(EndFault::Garbage) => {
                scratch.events.clear();
                self.answer.garbage(&mut scratch.events);
                self.close_stream(out, scratch);
            }
            _ => self.fault_event(&broken_engine(), out, scratch),
        }
    }

    fn break_off(&mut self, ending: Ending) {
        let reset = ending == Ending::Reset;
        let afterwards = if reset { Afterwards::Reset } else { Afterwards::Close };
        self.over = Some(Over { ending, afterwards });
    }

    fn fault_event(&mut self, refusal: &Refusal, out: &mut Outbox, scratch: &mut Scratch) {
        scratch.events.clear();
        self.answer.fault(&mut scratch.events, refusal);
        self.close_stream(out, scratch);
    }

    /// Sends the events in `scratch` and ends the stream properly.
    fn close_stream(&mut self, out: &mut Outbox, scratch: &mut Scratch) {
        self.end_lines(&mut scratch.events);
        scratch.frame.clear();
        http1::write_chunk(&mut scratch.frame, &scratch.events);
        http1::end_chunked(&mut scratch.frame);
        out.put(&scratch.frame);
        self.complete();
    }

    fn html(&mut self, out: &mut Outbox, now: Stamp) {
        self.hold_head(out, now);
        let mut bytes = Vec::new();
        let headers = [("Content-Type", "text/html"), connection(self.order.afterwards)];
        http1::write_response(&mut bytes, 200, &headers, HTML);
        out.put(&bytes);
        self.complete();
    }

    /// Sends an answer that is not streamed.
    fn whole(&mut self, out: &mut Outbox, scratch: &mut Scratch, now: Stamp) -> Said {
        self.hold_head(out, now);
        let end = self.order.faults.end();
        let body = match end {
            Some(EndFault::Error) => broken_engine().body(self.order.api),
            Some(EndFault::Garbage) => GARBAGE.to_vec(),
            _ => self.whole_body(scratch),
        };
        scratch.frame.clear();
        let headers = [JSON, connection(self.order.afterwards)];
        http1::write_response(&mut scratch.frame, 200, &headers, &body);
        let middle = scratch.frame.len() - body.len() / 2;
        let (first, second) = scratch.frame.split_at(middle);
        match end {
            Some(EndFault::Reset) => self.break_off(Ending::Reset),
            Some(EndFault::Truncate) => self.break_off(Ending::Truncated),
            _ => self.complete(),
        }
        if self.over.is_some_and(|over| over.ending != Ending::Complete) {
            out.put(first);
            // Usage is in the half that is missing.
            self.told = None;
            return Said::Never;
        }
        if let Some(span) = self.order.faults.stall() {
            out.put(first);
            out.hold(now + span);
            out.put(second);
        } else {
            out.put(&scratch.frame);
        }
        if end.is_some() { Said::Never } else { Said::All { tokens: self.generated } }
    }

    fn whole_body(&mut self, scratch: &mut Scratch) -> Vec<u8> {
        scratch.text.clear();
        for place in 0..self.generated {
            self.spell(self.order.voice.token(place), &mut scratch.text);
        }
        self.said = self.generated;
        let told = (!self.order.faults.has(Fault::NoUsage)).then(|| self.usage());
        let mut body = Vec::new();
        let end = End { finish: &self.order.finish, usage: told };
        self.answer.whole(&mut body, &scratch.text, &end);
        if let Some(usage) = told {
            self.tell(usage);
        }
        body
    }
}

/// Returns a refusal as a response of its own.
pub(crate) fn refusal(api: Api, refusal: &Refusal, afterwards: Afterwards) -> Vec<u8> {
    let mut headers = vec![JSON, connection(afterwards)];
    if matches!(refusal.status, 429 | 503) {
        headers.push(RETRY_AFTER);
    }
    let mut bytes = Vec::new();
    http1::write_response(&mut bytes, refusal.status, &headers, &refusal.body(api));
    bytes
}

/// Returns the header that says what becomes of the connection.
pub(crate) fn connection(afterwards: Afterwards) -> (&'static str, &'static str) {
    match afterwards {
        Afterwards::Keep => ("Connection", "keep-alive"),
        Afterwards::Close | Afterwards::Reset => ("Connection", "close"),
    }
}

fn broken_engine() -> Refusal {
    Refusal::internal("EngineCore encountered an issue, on request.")
}

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
const GARBAGE: &[u8] = b"data: {\"id\":\xff\xfe{]\n\n";
const HTML: &[u8] = b"<!DOCTYPE html>\n<html><body><h1>It works!</h1></body></html>\n";
