//! One connection of HTTP/1.1 and the request on it, from connecting to the last byte.
//!
//! ```text
//!  pipe: Connecting ─▶ … ─▶ Ready ◀───────────┐
//!                            │ order         │ ended, kept
//!                            ▼               │
//!                          Busy: writing, then reading
//! ```
//!
//! A connection is polled by its worker, which owns the socket's readiness and the clock; nothing
//! here waits.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use infermark_terms::{Nanos, Outcome, Phase, Stamp, StampSource, TransportFault};
use infermark_wire::exchange::{Exchange, Keep, Progress};

use crate::carrier::{Batch, Errand};
use crate::clock::Arrival;
use crate::endpoint::Endpoint;
use crate::flight::{Flight, Terms};
use crate::pipe::{Pipe, Turned};
use crate::socket;
use crate::worker::Limits;

/// A connection.
pub(crate) struct Connection {
    pipe: Pipe,
    exchange: Exchange,
    /// The request, and how much of it has been written. It is kept until an answer begins, for
    /// as long as it may have to be sent again.
    outgoing: Vec<u8>,
    written: usize,
    /// The request on it.
    flight: Option<Flight>,
    /// When it last heard from the kernel, or before the kernel can have heard anything.
    heard: Stamp,
    address: SocketAddr,
    /// Whether it has carried a request before this one.
    used: bool,
    /// From when on the server may close it for want of a request.
    expires: Stamp,
    /// The session whose next turn it waits for.
    awaited: Option<u64>,
}

/// How long before a server closes an idle connection it is no longer used: a request and the
/// server's end of the connection must not pass each other on the way.
const CLOSING_MARGIN: Nanos = Nanos::from_secs(1);

/// What became of a connection after it was polled.
pub(crate) enum State {
    /// Its request goes on, or it waits for one.
    Open,
    /// Its answer is complete; the body's end is given
    /// [`GRACE_AFTER_DONE`](crate::flight::GRACE_AFTER_DONE).
    Done,
    /// Its request ended; it can carry another.
    Free,
    /// It is of no further use.
    Closed,
}

impl Connection {
    /// Starts connecting.
    pub(crate) fn open(
        address: SocketAddr,
        endpoint: &Endpoint,
        exchange: Exchange,
        now: Stamp,
    ) -> Result<Self, TransportFault> {
        Ok(Self {
            pipe: Pipe::open(address, endpoint, now)?,
            exchange,
            outgoing: Vec::new(),
            written: 0,
            flight: None,
            heard: now,
            address,
            used: false,
            expires: Stamp::NEVER,
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

    /// Returns from when on the server may close it for want of a request.
    pub(crate) fn expires(&self) -> Stamp {
        self.expires
    }

    /// Returns the session that goes on after the request that ended on it.
    pub(crate) fn awaited(&self) -> Option<u64> {
        self.awaited
    }

    /// Says whether an idle connection can carry another request.
    pub(crate) fn is_quiet(&self) -> bool {
        self.pipe.is_quiet()
    }

    /// Says whether it wants to hear of being writable.
    pub(crate) fn wants_write(&self) -> bool {
        self.pipe.wants_write(self.outgoing.len() - self.written)
    }

    /// Returns an instant before which nothing that is still to be read can have arrived.
    pub(crate) fn heard(&self) -> Stamp {
        self.heard
    }

    /// Says whether a request is on it.
    pub(crate) fn is_busy(&self) -> bool {
        self.flight.is_some()
    }

    /// Returns when its request expires, and by which limit, if it goes on as it is.
    pub(crate) fn deadline(&self, limits: &Limits) -> Option<(Stamp, Nanos)> {
        Some(self.flight.as_ref()?.deadline(limits))
    }

    /// Puts a request on it; it leaves as soon as the connection is ready.
    pub(crate) fn put(
        &mut self,
        errand: Errand,
        terms: Terms,
        now: impl Fn() -> Stamp,
    ) -> Result<(), TransportFault> {
        let picked_up = now();
        let (mut flight, bytes) = Flight::new(errand, terms, picked_up);
        flight.row.address = Some(self.address);
        let ready = self.pipe.is_ready();
        flight.row.connected = ready.then_some(picked_up);
        self.flight = Some(flight);
        self.heard = picked_up;
        self.exchange.reset();
        self.outgoing = bytes;
        self.written = 0;
        if ready { self.depart(now) } else { Ok(()) }
    }

    /// Goes on connecting or writing, once the socket is writable.
    pub(crate) fn writable(&mut self, now: impl Fn() -> Stamp) -> Result<(), TransportFault> {
        if self.pipe.is_ready() {
            return self.write(now);
        }
        match self.pipe.advance(&now)? {
            Turned::Ready => self.ready(now),
            Turned::No => Ok(()),
        }
    }

    /// Takes what one read brought, and records what it means.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        plain: &mut Vec<u8>,
        arrival: Arrival,
        sight: &mut Sight<'_>,
    ) -> Result<State, TransportFault> {
        if self.pipe.is_ready() && !self.pipe.is_secure() {
            return Ok(self.read(bytes, arrival, sight));
        }
        let heard = self.pipe.hear(bytes, plain, arrival.at)?;
        if heard.turned == Turned::Ready {
            self.ready(sight.now)?;
        } else if self.pipe.is_ready() {
            self.write(sight.now)?;
        }
        let state = if plain.is_empty() { State::Open } else { self.read(plain, arrival, sight) };
        if heard.over {
            self.closed(arrival, sight.batch)?;
        }
        Ok(if heard.over { State::Closed } else { state })
    }

    /// Learns that the peer sends no more.
    ///
    /// # Errors
    ///
    /// If it has said nothing to the request: what becomes of that is for the worker to say.
    pub(crate) fn closed(
        &mut self,
        arrival: Arrival,
        batch: &mut Batch,
    ) -> Result<(), TransportFault> {
        if self.pipe.is_ready() && self.exchange.bytes() > 0 {
            let ended = self.exchange.closed();
            self.land(ended.outcome, arrival.at, batch);
            return Ok(());
        }
        Err(self.pipe.take_cut().unwrap_or(TransportFault::ClosedEarly))
    }

    /// Takes its request back, to be sent again, if that may be: nothing of an answer has come,
    /// and either the user wishes so, or the connection had carried requests before. Then the
    /// server most likely closed it while the request was on its way, and has not seen that
    /// [RFC 9112, section 9.3.1].
    pub(crate) fn take_back(&mut self) -> Option<Errand> {
        let may = |flight: &Flight| {
            let unheard = flight.row.first_byte.is_none();
            unheard && (flight.retries > 0 || self.used)
        };
        let flight = self.flight.take_if(|flight| may(flight))?;
        let retries = if self.used { flight.retries } else { flight.retries - 1 };
        Some(flight.errand(std::mem::take(&mut self.outgoing), retries))
    }

    /// Ends its request because the connection failed.
    pub(crate) fn fail(&mut self, fault: &TransportFault, at: Stamp, batch: &mut Batch) {
        let phase = self.phase();
        self.land(Outcome::Severed { phase, fault: fault.clone() }, at, batch);
    }

    /// Ends its request because this time limit passed.
    pub(crate) fn expire(&mut self, limit: Nanos, at: Stamp, batch: &mut Batch) {
        if self.settle(batch) {
            return;
        }
        let phase = self.phase();
        self.land(Outcome::Expired { phase, limit }, at, batch);
    }

    /// Ends its request with what `judge` says.
    pub(crate) fn abandon(
        &mut self,
        judge: &mut dyn FnMut(Stamp, Phase) -> Outcome,
        at: Stamp,
        batch: &mut Batch,
    ) {
        if self.settle(batch) {
            return;
        }
        let phase = self.phase();
        if let Some(flight) = &self.flight {
            let outcome = judge(flight.row.due, phase);
            self.land(outcome, at, batch);
        }
    }

    /// Ends its request if its answer is complete and only the body's end is missing: it ended
    /// when `[DONE]` came.
    fn settle(&mut self, batch: &mut Batch) -> bool {
        let done = self.flight.as_ref().and_then(|flight| flight.done);
        let Some(at) = done.filter(|_| self.exchange.is_done()) else { return false };
        let ended = self.exchange.finish();
        self.land(ended.outcome, at, batch);
        true
    }

    fn phase(&self) -> Phase {
        let response = self.exchange.phase();
        self.flight.as_ref().map_or(response, |flight| flight.phase(response))
    }

    fn sent(&self) -> bool {
        self.flight.as_ref().is_some_and(Flight::was_sent)
    }

    /// The connection is ready: its request leaves.
    fn ready(&mut self, now: impl Fn() -> Stamp) -> Result<(), TransportFault> {
        let phases = self.pipe.phases();
        if let Some(flight) = &mut self.flight {
            flight.connected(now(), Some(phases));
            self.depart(now)?;
        }
        Ok(())
    }

    fn depart(&mut self, now: impl Fn() -> Stamp) -> Result<(), TransportFault> {
        if let Some(flight) = &mut self.flight {
            flight.since = now();
        }
        if self.pipe.is_secure() {
            self.pipe.encrypt(&self.outgoing);
            self.written = self.outgoing.len();
        }
        self.write(now)
    }

    /// Writes what remains; stamps `sent` once nothing does.
    fn write(&mut self, now: impl Fn() -> Stamp) -> Result<(), TransportFault> {
        if !self.pipe.write(&self.outgoing, &mut self.written)? {
            return Ok(());
        }
        if let Some(flight) = &mut self.flight
            && !flight.was_sent()
        {
            let unheard = flight.row.first_byte.is_none();
            let repeatable = unheard && (flight.retries > 0 || self.used);
            flight.sent(now());
            if !repeatable {
                self.outgoing = Vec::new();
                self.written = 0;
            }
        }
        Ok(())
    }

    /// Reads a piece of the response.
    fn read(&mut self, bytes: &[u8], arrival: Arrival, sight: &mut Sight<'_>) -> State {
        let Some(flight) = &mut self.flight else { return State::Closed };
        if arrival.source == StampSource::Kernel {
            self.heard = arrival.at;
        }
        let begins = flight.row.first_byte.is_none() && flight.was_sent();
        let at = flight.hears(arrival);
        let mut ear = flight.ear(&mut sight.batch.chunks, at, arrival.delay);
        let progress = self.exchange.receive(bytes, &mut |chunk| ear.hear(&chunk));
        if begins {
            // It need not be sent again.
            self.outgoing = Vec::new();
            self.written = 0;
        }
        match progress {
            Progress::Open if self.exchange.is_done() && flight.done.is_none() => {
                flight.done = Some(at);
                State::Done
            }
            Progress::Open => State::Open,
            Progress::Ended(ended) => {
                // A response that came before the request was sent leaves the rest unsent.
                let reuse = ended.connection == Keep::Reuse && self.sent();
                self.land(ended.outcome, at, sight.batch);
                self.used = true;
                self.expires = self.exchange.idle().map_or(Stamp::NEVER, |limit| {
                    at + limit - CLOSING_MARGIN.min(Nanos(limit.0 / 2))
                });
                if reuse { State::Free } else { State::Closed }
            }
        }
    }

    /// Records how the request ended.
    fn land(&mut self, outcome: Outcome, at: Stamp, batch: &mut Batch) {
        let Some(flight) = self.flight.take() else { return };
        self.outgoing = Vec::new();
        self.written = 0;
        self.awaited = flight.land(outcome, at, &self.exchange, batch);
    }
}

/// What a read sees of its worker.
pub(crate) struct Sight<'a> {
    pub(crate) batch: &'a mut Batch,
    pub(crate) now: &'a dyn Fn() -> Stamp,
}
