//! One connection to the server and the request on it, from connecting to the last byte.
//!
//! ```text
//!  Connecting ─▶ Tunnelling ─▶ Handshaking ─▶ Ready ◀───────────┐
//!                (proxy)       (TLS)           │ order         │ ended, kept
//!                                              ▼               │
//!                                            Busy: writing, then reading
//! ```
//!
//! A connection is polled by its worker, which owns the socket's readiness and the clock; nothing
//! here waits.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use infermark_terms::{
    ChunkKind, ChunkRow, ConnectPhases, Due, Excerpt, Nanos, Outcome, Phase, RequestRow, Stamp,
    StampSource, TransportFault,
};
use infermark_wire::exchange::{Chunk, Exchange, Keep, Progress};

use crate::carrier::{Batch, Errand, Order, blank};
use crate::clock::Arrival;
use crate::endpoint::Endpoint;
use crate::socket;
use crate::tls::Session;
use crate::tunnel::Tunnel;
use crate::worker::{Capture, Limits};

/// A connection.
pub(crate) struct Connection {
    fd: OwnedFd,
    /// Boxed: it is large, and plain connections, of which there may be thousands, should lie
    /// close together.
    session: Option<Box<Session>>,
    /// What leads through a proxy, until it does.
    tunnel: Option<Box<Tunnel>>,
    stage: Stage,
    exchange: Exchange,
    /// The request, and how much of it has been written. It is kept until an answer begins, for
    /// as long as it may have to be sent again.
    outgoing: Vec<u8>,
    written: usize,
    /// The request on it.
    flight: Option<Flight>,
    /// Why nothing more can be written, while what the peer said before may still be read.
    cut: Option<TransportFault>,
    /// When it last heard from the kernel, or before the kernel can have heard anything.
    heard: Stamp,
    opened: Stamp,
    phases: ConnectPhases,
    address: SocketAddr,
    /// Whether it has carried a request before this one.
    used: bool,
    /// From when on the server may close it for want of a request.
    expires: Stamp,
    /// The session whose next turn it waits for.
    awaited: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Tunnelling,
    Handshaking,
    Ready,
}

/// A request under way.
struct Flight {
    row: RequestRow,
    /// Which server it is for.
    server: u32,
    /// Whether its session goes on after it.
    goes_on: bool,
    /// How often it may still be sent again by the user's wish.
    retries: u32,
    /// What is captured of the output; boxed, since most runs capture nothing.
    kept: Option<Box<Kept>>,
    /// When it was put on the connection; once that is ready, when it began to leave.
    since: Stamp,
    /// When the server was last heard.
    spoke: Stamp,
    /// When its answer was complete, although the body's end is still missing.
    done: Option<Stamp>,
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

/// How long the body's end may take after `[DONE]`. It comes with it, or right after: a server
/// that leaves it out has answered all the same.
pub(crate) const GRACE_AFTER_DONE: Nanos = Nanos::from_millis(250);

/// How long before a server closes an idle connection it is no longer used: a request and the
/// server's end of the connection must not pass each other on the way.
const CLOSING_MARGIN: Nanos = Nanos::from_secs(1);

/// What became of a connection after it was polled.
pub(crate) enum State {
    /// Its request goes on, or it waits for one.
    Open,
    /// Its answer is complete; the body's end is given [`GRACE_AFTER_DONE`].
    Done,
    /// Its request ended; it can carry another.
    Free,
    /// It is of no further use.
    Closed,
}

/// What holds for every request of a run.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) shard: u32,
    pub(crate) capture: Capture,
}

impl Connection {
    /// Starts connecting.
    pub(crate) fn open(
        address: SocketAddr,
        endpoint: &Endpoint,
        exchange: Exchange,
        now: Stamp,
    ) -> Result<Self, TransportFault> {
        let session = endpoint
            .secure()
            .map(|s| Session::new(s.config.clone(), s.name.clone()).map(Box::new))
            .transpose()
            .map_err(TransportFault::Tls)?;
        let fd = socket::open(address).map_err(|error| fault(&error))?;
        socket::stamp_receives(&fd);
        Ok(Self {
            fd,
            session,
            tunnel: Tunnel::to(endpoint).map(Box::new),
            stage: Stage::Connecting,
            exchange,
            outgoing: Vec::new(),
            written: 0,
            flight: None,
            cut: None,
            heard: now,
            opened: now,
            phases: ConnectPhases::default(),
            address,
            used: false,
            expires: Stamp::NEVER,
            awaited: None,
        })
    }

    /// Returns the socket, to register it.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Reads what is there, once.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<socket::Received> {
        socket::receive(&self.fd, buffer)
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
        socket::is_quiet(&self.fd)
    }

    /// Says whether it wants to hear of being writable.
    pub(crate) fn wants_write(&self) -> bool {
        match (self.stage, &self.session) {
            (Stage::Connecting, _) => true,
            _ if self.cut.is_some() => false,
            (Stage::Tunnelling, _) => {
                self.tunnel.as_ref().is_some_and(|tunnel| !tunnel.unsent().is_empty())
            }
            (_, Some(session)) => session.wants_write(),
            (_, None) => self.written < self.outgoing.len(),
        }
    }

    /// Returns an instant before which nothing that is still to be read can have arrived.
    pub(crate) fn heard(&self) -> Stamp {
        self.heard
    }

    /// Says whether a request is on it.
    pub(crate) fn is_busy(&self) -> bool {
        self.flight.is_some()
    }

    /// Returns when its request expires, and by which limit, if it goes on as it is. The instant
    /// is never earlier than the least of the limits from now.
    pub(crate) fn deadline(&self, limits: &Limits) -> Option<(Stamp, Nanos)> {
        let flight = self.flight.as_ref()?;
        let Flight { row, since, spoke, done, .. } = flight;
        let after = |start: Stamp, limit: Nanos| (start + limit, limit);
        if self.stage != Stage::Ready {
            return Some(after(*since, limits.connect));
        }
        let silent = |seen: Option<Stamp>, limit: Option<Nanos>| match (seen, limit) {
            (None, Some(limit)) => Some(after(*since, limit)),
            (Some(_), _) | (None, None) => None,
        };
        let idle = row.first_token.and(limits.idle).map(|limit| after(*spoke, limit));
        let bounds = [
            Some(after(*since, limits.total)),
            silent(row.first_byte, limits.header),
            silent(row.first_token, limits.first_token),
            idle,
            done.map(|at| after(at, GRACE_AFTER_DONE)),
        ];
        bounds.into_iter().flatten().min()
    }

    /// Puts a request on it; it leaves as soon as the connection is ready.
    pub(crate) fn put(
        &mut self,
        errand: Errand,
        terms: Terms,
        now: impl Fn() -> Stamp,
    ) -> Result<(), TransportFault> {
        let picked_up = now();
        let Errand { due, order, attempts, retries } = errand;
        let mut row = blank(due, terms.shard, picked_up, Outcome::Abandoned);
        row.asked_input = order.asked_input;
        row.asked_output = order.asked_output;
        row.class = order.class;
        row.address = Some(self.address);
        row.attempts = attempts;
        let ready = self.stage == Stage::Ready;
        row.connected = ready.then_some(picked_up);
        self.flight = Some(Flight {
            row,
            server: order.server,
            goes_on: order.goes_on,
            retries,
            kept: Kept::new(terms.capture),
            since: picked_up,
            spoke: picked_up,
            done: None,
        });
        self.heard = picked_up;
        self.exchange.reset();
        self.outgoing = order.bytes;
        self.written = 0;
        if ready { self.depart(now) } else { Ok(()) }
    }

    /// Goes on connecting or writing, once the socket is writable.
    pub(crate) fn writable(&mut self, now: impl Fn() -> Stamp) -> Result<(), TransportFault> {
        match self.stage {
            Stage::Connecting => {
                socket::connected(&self.fd).map_err(|error| fault(&error))?;
                self.phases.tcp = now().since(self.opened);
                self.stage = match (&self.tunnel, &self.session) {
                    (Some(_), _) => Stage::Tunnelling,
                    (None, Some(_)) => Stage::Handshaking,
                    (None, None) => return self.ready(now),
                };
                self.flush().map(drop).map_err(|error| fault(&error))
            }
            Stage::Tunnelling | Stage::Handshaking => {
                self.flush().map(drop).map_err(|error| fault(&error))
            }
            Stage::Ready => self.write(now),
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
        if self.stage == Stage::Tunnelling {
            return self.tunnelled(bytes, arrival.at);
        }
        let Some(session) = &mut self.session else {
            return Ok(self.read(bytes, arrival, sight));
        };
        plain.clear();
        let taken = session.take(bytes, plain);
        let handshaking = session.is_handshaking();
        let over = taken.map_err(|why| {
            // The alert that tells the server why; it may be too late for that.
            let _told = self.flush();
            TransportFault::Tls(why)
        })?;
        match self.stage {
            Stage::Handshaking if handshaking => {
                let _all: bool = self.flush().map_err(|error| fault(&error))?;
            }
            Stage::Handshaking => {
                self.phases.tls = arrival.at.since(self.opened + self.phases.tcp);
                self.ready(sight.now)?;
            }
            Stage::Connecting | Stage::Tunnelling | Stage::Ready => self.write(sight.now)?,
        }
        let state = if plain.is_empty() { State::Open } else { self.read(plain, arrival, sight) };
        if over {
            self.closed(arrival, sight.batch)?;
        }
        Ok(if over { State::Closed } else { state })
    }

    /// Takes what the proxy said; once there is a tunnel, TLS begins.
    fn tunnelled(&mut self, bytes: &[u8], at: Stamp) -> Result<State, TransportFault> {
        let tunnel = self.tunnel.as_mut().expect("a tunnel is being asked for");
        if tunnel.take(bytes).map_err(TransportFault::Other)? {
            self.tunnel = None;
            self.phases.tcp = at.since(self.opened);
            self.stage = Stage::Handshaking;
            let _all: bool = self.flush().map_err(|error| fault(&error))?;
        }
        Ok(State::Open)
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
        if self.stage == Stage::Ready && self.exchange.bytes() > 0 {
            let ended = self.exchange.closed();
            self.land(ended.outcome, arrival.at, batch);
            return Ok(());
        }
        Err(self.cut.take().unwrap_or(TransportFault::ClosedEarly))
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
        let Flight { row, server, goes_on, retries, .. } = flight;
        let order = Order {
            server,
            goes_on,
            bytes: std::mem::take(&mut self.outgoing),
            asked_input: row.asked_input,
            asked_output: row.asked_output,
            class: row.class,
        };
        let retries = if self.used { retries } else { retries - 1 };
        Some(Errand {
            due: Due { id: row.id, at: row.due, turn: row.turn },
            order,
            attempts: row.attempts,
            retries,
        })
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
        match self.stage {
            Stage::Connecting | Stage::Tunnelling | Stage::Handshaking => Phase::Connect,
            Stage::Ready if self.sent() => self.exchange.phase(),
            Stage::Ready => Phase::Send,
        }
    }

    fn sent(&self) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.row.sent.is_some())
    }

    /// The connection is ready: its request leaves.
    fn ready(&mut self, now: impl Fn() -> Stamp) -> Result<(), TransportFault> {
        self.stage = Stage::Ready;
        if let Some(flight) = &mut self.flight {
            flight.row.connected = Some(now());
            flight.row.connect = Some(self.phases);
            self.depart(now)?;
        }
        Ok(())
    }

    fn depart(&mut self, now: impl Fn() -> Stamp) -> Result<(), TransportFault> {
        if let Some(flight) = &mut self.flight {
            flight.since = now();
        }
        if let Some(session) = &mut self.session {
            session.put(&self.outgoing);
            self.written = self.outgoing.len();
        }
        self.write(now)
    }

    /// Writes what remains; stamps `sent` once nothing does.
    ///
    /// A peer that is gone may have said why before it went: what it said is read first, and
    /// decides. A server may refuse a request that it has only half read.
    fn write(&mut self, now: impl Fn() -> Stamp) -> Result<(), TransportFault> {
        if self.cut.is_some() {
            return Ok(());
        }
        match self.flush().map_err(|error| fault(&error)) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(TransportFault::Reset) => {
                self.cut = Some(TransportFault::Reset);
                return Ok(());
            }
            Err(fault) => return Err(fault),
        }
        if let Some(Flight { row, retries, .. }) = &mut self.flight
            && row.sent.is_none()
        {
            let repeatable = row.first_byte.is_none() && (*retries > 0 || self.used);
            // A server that answers before it has heard all has been asked by then.
            row.sent = Some(row.first_byte.map_or_else(&now, |first| first.min(now())));
            if !repeatable {
                self.outgoing = Vec::new();
                self.written = 0;
            }
        }
        Ok(())
    }

    /// Writes what waits; says whether all of it went.
    fn flush(&mut self) -> io::Result<bool> {
        if let Some(tunnel) = &mut self.tunnel {
            while !tunnel.unsent().is_empty() {
                match socket::send(&self.fd, tunnel.unsent()) {
                    Ok(count) => tunnel.sent(count),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
            return Ok(true);
        }
        if let Some(session) = &mut self.session {
            return session.flush(&mut Descriptor(&self.fd));
        }
        while self.written < self.outgoing.len() {
            match socket::send(&self.fd, &self.outgoing[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Reads a piece of the response.
    fn read(&mut self, bytes: &[u8], arrival: Arrival, sight: &mut Sight<'_>) -> State {
        let Some(flight) = &mut self.flight else { return State::Closed };
        let row = &mut flight.row;
        if arrival.source == StampSource::Kernel {
            self.heard = arrival.at;
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
        let (begins, row_sent) = (row.first_byte.is_none(), row.sent.is_some());
        let _: &mut Stamp = row.first_byte.get_or_insert(at);
        flight.spoke = at;
        let mut ear = Ear {
            row,
            kept: flight.kept.as_deref_mut(),
            chunks: &mut sight.batch.chunks,
            at,
            delay: arrival.delay,
            coalesced: false,
        };
        let progress = self.exchange.receive(bytes, &mut |chunk| ear.hear(&chunk));
        if begins && row_sent {
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
        let Some(Flight { mut row, goes_on, kept, .. }) = self.flight.take() else { return };
        self.outgoing = Vec::new();
        self.written = 0;
        let latest = [row.sent, row.first_byte, row.last_token].into_iter().flatten().max();
        row.end = latest.map_or(at, |latest| at.max(latest));
        let went_on = goes_on && matches!(outcome, Outcome::Finished { .. });
        self.awaited = row.turn.filter(|_| went_on).map(|turn| turn.session);
        row.outcome = outcome;
        row.usage = self.exchange.usage();
        row.events = self.exchange.events();
        row.bytes = self.exchange.bytes();
        if let Some(mut kept) = kept {
            if let Some(whole) = self.exchange.output_text() {
                kept.take(whole);
            }
            kept.hand_over(&row, batch);
        }
        batch.requests.push(row);
    }
}

/// What a read sees of its worker.
pub(crate) struct Sight<'a> {
    pub(crate) batch: &'a mut Batch,
    pub(crate) now: &'a dyn Fn() -> Stamp,
}

/// Notes the chunks of one read.
struct Ear<'a> {
    row: &'a mut RequestRow,
    kept: Option<&'a mut Kept>,
    chunks: &'a mut Vec<ChunkRow>,
    at: Stamp,
    delay: Nanos,
    /// Whether a chunk of this read came before.
    coalesced: bool,
}

impl Ear<'_> {
    fn hear(&mut self, chunk: &Chunk<'_>) {
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

/// Tells what failed below the protocol from the system's error.
pub(crate) fn fault(error: &io::Error) -> TransportFault {
    use io::ErrorKind as Kind;
    let words = || Excerpt::new(&error.to_string());
    let limits = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::EADDRNOTAVAIL];
    if error.raw_os_error().is_some_and(|code| limits.contains(&code)) {
        return TransportFault::LocalLimit(words());
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open: the rest are others")]
    match error.kind() {
        Kind::ConnectionRefused => TransportFault::ConnectionRefused,
        Kind::ConnectionReset | Kind::BrokenPipe | Kind::ConnectionAborted => TransportFault::Reset,
        Kind::UnexpectedEof => TransportFault::ClosedEarly,
        _ => TransportFault::Other(words()),
    }
}

/// A socket as something to write to.
struct Descriptor<'a>(&'a OwnedFd);

impl Write for Descriptor<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        socket::send(self.0, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
