//! One connection of HTTP/2 and the requests on it, side by side.
//!
//! A stream ends without its connection: a request that expires or is refused costs the others
//! nothing. What ends the connection ends or gives back them all.
//!
//! Like a connection of HTTP/1.1 it is polled by its worker; nothing here waits.
//!
//! # Invariants
//!
//! - The stamp of a chunk is that of the read that completed it, whatever else came with it.
//! - A request is sent again without the user's wish only where the server has said that it did
//!   not look at it, or where it met the end of a connection that was idle.
//! - One that may be dead is given no more requests, and is closed with the last it has.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use infermark_terms::{DecodeFault, Excerpt, Outcome, Phase, Stamp, StampSource, TransportFault};
use infermark_wire::exchange::{Ended, Exchange, Progress};
use infermark_wire::http1::ResponseHead;
use infermark_wire::http2::{Client, Code, Ending, Head, Listener, Verdict};
use infermark_wire::{Api, Delivery};

use crate::carrier::{Batch, Errand};
use crate::clock::Arrival;
use crate::connection::Sight;
use crate::endpoint::Endpoint;
use crate::flight::{Flight, Terms};
use crate::pipe::{Pipe, Turned};
use crate::socket;
use crate::worker::Limits;

/// How often a request that the server gives back is sent again, beyond the user's wish.
const GIVEN_BACK_MAX: u32 = 5;

/// A connection.
pub(crate) struct Mux {
    pipe: Pipe,
    client: Client<Box<Call>>,
    /// How much of what the client has to say was encrypted and has not left.
    encrypted: usize,
    /// How its responses are read.
    speech: (Api, Delivery),
    /// Exchanges that wait for a request, with their buffers.
    spare: Vec<Exchange>,
    heard: Stamp,
    address: SocketAddr,
    /// How many requests have been put on it.
    carried: u64,
    /// How many reads there were.
    reads: u64,
    /// How many there had been when it was used again after it had been idle.
    idled: Option<u64>,
    /// When what was last read arrived.
    read_at: Stamp,
    /// A request expired without a sign that the connection lives.
    stale: bool,
    awaited: Option<u64>,
}

/// A request and its response.
struct Call {
    flight: Flight,
    exchange: Exchange,
    /// The connection was made for it.
    opener: bool,
    /// It came to a connection that had been used and was idle, and not been heard since.
    late: bool,
    /// The last read that brought a chunk of it.
    read: u64,
}

impl Call {
    fn phase(&self) -> Phase {
        self.flight.phase(self.exchange.phase())
    }
}

/// What became of requests when their connection was polled.
#[derive(Default)]
pub(crate) struct Toll {
    /// So many ended.
    pub(crate) landed: usize,
    /// These are to be sent again.
    pub(crate) again: Vec<Errand>,
    /// The answer to one is complete; the body's end is awaited.
    pub(crate) done: bool,
    /// The connection is of no further use.
    pub(crate) closed: bool,
}

impl Mux {
    /// Starts connecting.
    pub(crate) fn open(
        address: SocketAddr,
        endpoint: &Endpoint,
        speech: (Api, Delivery),
        now: Stamp,
    ) -> Result<Self, TransportFault> {
        Ok(Self {
            pipe: Pipe::open(address, endpoint, now)?,
            client: Client::new(),
            encrypted: 0,
            speech,
            spare: Vec::new(),
            heard: now,
            address,
            carried: 0,
            reads: 0,
            idled: None,
            read_at: Stamp::ZERO,
            stale: false,
            awaited: None,
        })
    }

    /// Returns the socket, to register it.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.pipe.fd()
    }

    /// Reads what is there, once.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> std::io::Result<socket::Received> {
        self.pipe.receive(buffer)
    }

    /// Says whether nothing waits to be read.
    pub(crate) fn is_quiet(&self) -> bool {
        self.pipe.is_quiet()
    }

    /// Says whether it wants to hear of being writable.
    pub(crate) fn wants_write(&self) -> bool {
        self.pipe.wants_write(self.client.unsent().len())
    }

    /// Returns an instant before which nothing that is still to be read can have arrived.
    pub(crate) fn heard(&self) -> Stamp {
        self.heard
    }

    /// Returns how many requests are on it.
    pub(crate) fn load(&self) -> usize {
        self.client.open_streams()
    }

    /// Says whether it can carry one more request, of at most so many.
    pub(crate) fn has_room(&self, most: usize) -> bool {
        !self.stale && self.client.room() > 0 && self.load() < most
    }

    /// Says whether it has no requests and may be given none.
    pub(crate) fn is_spent(&self) -> bool {
        self.load() == 0 && (self.stale || self.client.leaving().is_some())
    }

    /// Returns the session that goes on after the last request that ended on it.
    pub(crate) fn awaited(&self) -> Option<u64> {
        self.awaited
    }

    /// Puts a request on it; it leaves as soon as the connection is ready.
    pub(crate) fn put(
        &mut self,
        errand: Errand,
        terms: Terms,
        now: &dyn Fn() -> Stamp,
    ) -> Result<(), TransportFault> {
        let picked_up = now();
        let (mut flight, bytes) = Flight::new(errand, terms, picked_up);
        flight.row.address = Some(self.address);
        let ready = self.pipe.is_ready();
        flight.row.connected = ready.then_some(picked_up);
        let mut exchange =
            self.spare.pop().unwrap_or_else(|| Exchange::new(self.speech.0, self.speech.1));
        exchange.reset();
        let opener = self.carried == 0;
        if self.load() == 0 {
            self.idled = (!opener).then_some(self.reads);
        }
        let late = self.idled == Some(self.reads);
        self.carried += 1;
        let call = Box::new(Call { flight, exchange, opener, late, read: 0 });
        let _: u32 = self.client.open(bytes, call);
        if ready { self.write(now) } else { Ok(()) }
    }

    /// Goes on connecting or writing, once the socket is writable.
    pub(crate) fn writable(&mut self, now: &dyn Fn() -> Stamp) -> Result<(), TransportFault> {
        if !self.pipe.is_ready() {
            return match self.pipe.advance(now)? {
                Turned::Ready => self.ready(now),
                Turned::No => Ok(()),
            };
        }
        self.write(now)
    }

    /// The connection is ready: its requests leave.
    fn ready(&mut self, now: &dyn Fn() -> Stamp) -> Result<(), TransportFault> {
        let (at, phases) = (now(), self.pipe.phases());
        for (_, call) in self.client.held() {
            call.flight.connected(at, call.opener.then_some(phases));
            call.flight.since = at;
        }
        self.write(now)
    }

    /// Writes what waits, and stamps what has left.
    fn write(&mut self, now: &dyn Fn() -> Stamp) -> Result<(), TransportFault> {
        loop {
            let mut written = 0;
            if self.pipe.is_secure() && self.encrypted == 0 {
                self.pipe.encrypt(self.client.unsent());
                self.encrypted = self.client.unsent().len();
            }
            let all = self.pipe.write(self.client.unsent(), &mut written)?;
            if all && self.pipe.is_secure() {
                written = std::mem::take(&mut self.encrypted);
            }
            self.client.wrote(written);
            while let Some(call) = self.client.departed() {
                call.flight.sent(now());
            }
            if !all || self.client.unsent().is_empty() {
                return Ok(());
            }
        }
    }

    /// Takes what one read brought, and records what it means.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        plain: &mut Vec<u8>,
        arrival: Arrival,
        sight: &mut Sight<'_>,
    ) -> Result<Toll, TransportFault> {
        let mut over = false;
        let bytes = if self.pipe.is_ready() && !self.pipe.is_secure() {
            bytes
        } else {
            let heard = self.pipe.hear(bytes, plain, arrival.at)?;
            if heard.turned == Turned::Ready {
                self.ready(sight.now)?;
            }
            over = heard.over;
            plain.as_slice()
        };
        let mut toll = self.read(bytes, arrival, sight);
        if self.pipe.is_ready() {
            // If this fails, the next read says so.
            let _told = self.write(sight.now);
        }
        if over && !toll.closed {
            self.lose(None, arrival.at, sight.batch, &mut toll);
        }
        Ok(toll)
    }

    /// Reads frames.
    fn read(&mut self, bytes: &[u8], arrival: Arrival, sight: &mut Sight<'_>) -> Toll {
        if arrival.source == StampSource::Kernel {
            self.heard = arrival.at;
        }
        self.reads += 1;
        self.read_at = arrival.at;
        let mut toll = Toll::default();
        let Self { client, spare, awaited, reads, .. } = self;
        let mut hearer =
            Hearer { batch: sight.batch, arrival, read: *reads, toll: &mut toll, spare, awaited };
        if client.feed(bytes, &mut hearer).is_err() {
            for (mut call, _) in client.take_all() {
                let ended = call.exchange.broken(DecodeFault::Frames);
                hearer.land(*call, ended.outcome);
            }
            toll.closed = true;
        }
        toll.closed |= self.is_spent();
        toll
    }

    /// Gives all requests up, or back: the server sends no more, or the connection failed.
    pub(crate) fn lose(
        &mut self,
        fault: Option<&TransportFault>,
        at: Stamp,
        batch: &mut Batch,
        toll: &mut Toll,
    ) {
        let code = self.client.leaving().filter(|code| *code != Code::NO_ERROR);
        let said = code.map(|code| Excerpt::new(&format!("the server hung up: {code}")));
        let failed = fault.cloned().or(self.pipe.take_cut());
        let fault = said.map(TransportFault::Other).or(failed);
        let fault = fault.unwrap_or(TransportFault::ClosedEarly);
        for (mut call, order) in self.client.take_all() {
            let phase = call.phase();
            let retries = call.flight.retries;
            if call.flight.row.first_byte.is_none() && (call.late || retries > 0) {
                let retries = if call.late { retries } else { retries - 1 };
                toll.again.push(call.flight.errand(order, retries));
                continue;
            }
            let ended = call.exchange.closed();
            let outcome = told(ended, phase, &fault);
            let Call { flight, exchange, .. } = *call;
            let _: Option<u64> = flight.land(outcome, at, &exchange, batch);
            toll.landed += 1;
        }
        toll.closed = true;
    }

    /// Ends the requests whose time limit has passed, and returns how many did, and when the next
    /// one's will.
    pub(crate) fn sweep(
        &mut self,
        limits: &Limits,
        now: Stamp,
        clock: &dyn Fn() -> Stamp,
        batch: &mut Batch,
    ) -> (usize, Option<Stamp>) {
        let mut over = Vec::new();
        let mut next: Option<Stamp> = None;
        for (id, call) in self.client.held() {
            let (deadline, limit) = call.flight.deadline(limits);
            if now >= deadline {
                over.push((id, limit));
                self.stale |= !self.pipe.is_ready() || self.read_at <= call.flight.since;
            } else {
                next = Some(next.map_or(deadline, |next| next.min(deadline)));
            }
        }
        for &(id, limit) in &over {
            self.give_up(id, now, batch, &mut |_, phase| Outcome::Expired { phase, limit });
        }
        if self.pipe.is_ready() && !over.is_empty() {
            // If this fails, the next read says so.
            let _told = self.write(clock);
        }
        (over.len(), next)
    }

    /// Ends all requests with what `judge` says.
    pub(crate) fn abandon(
        &mut self,
        judge: &mut dyn FnMut(Stamp, Phase) -> Outcome,
        at: Stamp,
        batch: &mut Batch,
    ) {
        let all: Vec<_> = self.client.held().map(|(id, _)| id).collect();
        for id in all {
            self.give_up(id, at, batch, judge);
        }
    }

    /// Ends a request that the server has not ended. One whose answer is complete, and only the
    /// body's end is missing, ended when that came.
    fn give_up(
        &mut self,
        id: u32,
        at: Stamp,
        batch: &mut Batch,
        judge: &mut dyn FnMut(Stamp, Phase) -> Outcome,
    ) {
        let Some(mut call) = self.client.cancel(id) else { return };
        let phase = call.phase();
        let done = call.flight.done.filter(|_| call.exchange.is_done());
        let outcome = match done {
            Some(_) => call.exchange.finish().outcome,
            None => judge(call.flight.row.due, phase),
        };
        let Call { flight, exchange, .. } = *call;
        self.awaited = flight.land(outcome, done.unwrap_or(at), &exchange, batch);
    }
}

/// Returns the outcome of a stream that did not end as it should, with what ended it.
fn told(ended: Ended, phase: Phase, fault: &TransportFault) -> Outcome {
    if matches!(ended.outcome, Outcome::Severed { .. }) {
        return Outcome::Severed { phase, fault: fault.clone() };
    }
    ended.outcome
}

/// Hears what one read says of each request.
struct Hearer<'a> {
    batch: &'a mut Batch,
    arrival: Arrival,
    read: u64,
    toll: &'a mut Toll,
    spare: &'a mut Vec<Exchange>,
    awaited: &'a mut Option<u64>,
}

impl Hearer<'_> {
    fn land(&mut self, call: Call, outcome: Outcome) {
        let Call { flight, exchange, .. } = call;
        *self.awaited = flight.land(outcome, self.arrival.at, &exchange, self.batch);
        self.spare.push(exchange);
        self.toll.landed += 1;
    }

    /// Notes how far a request has come; its last piece was the whole answer if that ended it.
    fn weigh(&mut self, call: &mut Box<Call>, progress: Progress) -> Verdict {
        match progress {
            Progress::Open => {
                if call.exchange.is_done() && call.flight.done.is_none() {
                    call.flight.done = Some(self.arrival.at);
                    self.toll.done = true;
                }
                Verdict::Open
            }
            Progress::Ended(ended) => {
                call.flight.row.outcome = ended.outcome;
                Verdict::Over
            }
        }
    }
}

impl Listener<Box<Call>> for Hearer<'_> {
    fn head(&mut self, call: &mut Box<Call>, head: &Head<'_>, bytes: usize) -> Verdict {
        let _: Stamp = call.flight.hears(self.arrival);
        let head = ResponseHead { status: head.status, content: head.content() };
        let progress = call.exchange.head(head, bytes);
        self.weigh(call, progress)
    }

    fn body(&mut self, call: &mut Box<Call>, bytes: &[u8]) -> Verdict {
        let at = call.flight.hears(self.arrival);
        let Call { flight, exchange, read, .. } = call.as_mut();
        let mut ear = flight.ear(&mut self.batch.chunks, at, self.arrival.delay);
        ear.coalesced = *read == self.read;
        let progress = exchange.body(bytes, &mut |chunk| ear.hear(&chunk));
        if ear.coalesced {
            *read = self.read;
        }
        self.weigh(call, progress)
    }

    fn ended(&mut self, mut call: Box<Call>, ending: Ending) {
        let (phase, unheard) = (call.phase(), call.flight.row.first_byte.is_none());
        let ended = match ending {
            Ending::Refused(order) if call.flight.row.attempts <= GIVEN_BACK_MAX => {
                let retries = call.flight.retries;
                self.toll.again.push(call.flight.errand(order, retries));
                return;
            }
            Ending::Cancelled => {
                let outcome = call.flight.row.outcome.clone();
                return self.land(*call, outcome);
            }
            Ending::Complete => {
                let at = call.flight.hears(self.arrival);
                let Call { flight, exchange, read, .. } = call.as_mut();
                let mut ear = flight.ear(&mut self.batch.chunks, at, self.arrival.delay);
                ear.coalesced = *read == self.read;
                exchange.complete(&mut |chunk| ear.hear(&chunk)).outcome
            }
            Ending::Malformed => call.exchange.broken(DecodeFault::Frames).outcome,
            Ending::Refused(order) | Ending::Reset(_, order)
                if unheard && call.flight.retries > 0 =>
            {
                let retries = call.flight.retries - 1;
                self.toll.again.push(call.flight.errand(order, retries));
                return;
            }
            Ending::Refused(_) => reset(&mut call, phase, Code::REFUSED_STREAM),
            Ending::Reset(code, _) => reset(&mut call, phase, code),
        };
        self.land(*call, ended);
    }
}

/// Returns the outcome of a stream that the server reset.
fn reset(call: &mut Call, phase: Phase, code: Code) -> Outcome {
    let why = Excerpt::new(&format!("the server reset the stream: {code}"));
    told(call.exchange.closed(), phase, &TransportFault::Other(why))
}
