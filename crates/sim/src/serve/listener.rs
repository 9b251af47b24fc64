//! The event loop: sockets, the engine, and the timer between them, on one thread. What becomes
//! of a request for an answer is in `service`.
//!
//! Readiness is level-triggered and each readable socket is read once. After each socket, tokens
//! that have become due go first: no token waits for more than one read and one request.
//!
//! # Invariants
//!
//! - The engine is asked for everything up to a single present, and told of arrivals in order.
//! - A request's slot is free only after its record is made and its job has ended.

mod service;

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use infermark_terms::{Nanos, OutcomeKind, Seed, Stamp};
use infermark_wire::Api;
use infermark_wire::http1::{self, Keep, Request, RequestDecoder};
use infermark_wire::server::Refusal;
use nix::errno::Errno;
use nix::libc;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use rustls::ServerConfig;

use self::service::Service;
use super::Summary;
use super::clock::Clock;
use super::faults::FaultPlan;
use super::lateness::Histogram;
use super::metrics::{JobEnd, Metrics};
use super::outbox::{Afterwards, Outbox};
use super::reply::{self, Over, Scratch};
use super::routes::{Route, Served};
use super::tls::Session;
use super::truth::{Ending, SCHEMA, TruthHeader, TruthRecord, TruthSink};
use crate::engine::{Engine, EngineEvent, JobId};

/// Sockets handled before the event queue is asked again.
const EVENTS_PER_ROUND: usize = 64;

/// Connections accepted in a row.
const ACCEPTS_PER_ROUND: usize = 16;

/// How long before something is due the loop stops sleeping and looks at the clock instead: as
/// long as it takes a virtual machine to wake. Sleeping so shortly would cost as much.
const LEAD: Nanos = Nanos::from_micros(15);

/// The shared read buffer.
const READ_BYTES: usize = 64 << 10;

/// How much a client may send ahead while its request is under way.
const AHEAD_MAX: usize = 1 << 20;

const DOOR: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;
const STOP: u64 = u64::MAX - 2;

/// What the listener is to do; the rest of a plan was used up by starting it.
pub(super) struct Duty {
    pub(super) served: Served,
    pub(super) seed: Seed,
    pub(super) faults: FaultPlan,
    pub(super) truth: Option<Box<dyn TruthSink>>,
    pub(super) block_tokens: Option<u32>,
    /// Over TLS.
    pub(super) tls: Option<Arc<ServerConfig>>,
}

pub(super) struct Listener {
    duty: Duty,
    engine: Box<dyn Engine>,
    clock: Clock,
    epoll: Epoll,
    timer: TimerFd,
    /// The latest instant of which the engine has heard.
    past: Stamp,
    /// When the timer goes off.
    armed: Stamp,
    door: TcpListener,
    /// Whether the event queue knows of it.
    accepting: bool,
    stopping: bool,
    slots: Vec<Slot>,
    /// Slots without a connection.
    vacant: Vec<u32>,
    /// Connections whose outboxes are held, by when that ends.
    holds: BTreeSet<(Stamp, u64)>,
    /// Connections whose reply has ended: the next request may be there already.
    ready: Vec<u64>,
    events: Vec<EngineEvent>,
    buffer: Box<[u8]>,
    /// What the last read over TLS decrypted to.
    plain: Vec<u8>,
    scratch: Scratch,
    metrics: Metrics,
    lateness: Histogram,
    summary: Summary,
}

/// A place for a connection. The generation tells events of its former tenants apart.
#[derive(Default)]
struct Slot {
    connection: Option<Connection>,
    generation: u32,
}

struct Connection {
    outbox: Outbox,
    decoder: RequestDecoder,
    service: Option<Service>,
    /// What to do once everything is sent, outside of a service.
    parting: Afterwards,
    /// When a read brought the first byte of the next request.
    first_read: Option<Stamp>,
    /// When the last read was, or when the connection became free, if that was later.
    turn: Stamp,
    /// Bytes that came while a request was under way.
    ahead: usize,
    /// Whether the socket is registered for writability too.
    writing: bool,
}

impl Listener {
    pub(super) fn new(
        duty: Duty,
        engine: Box<dyn Engine>,
        clock: Clock,
        door: TcpListener,
        stop: &EventFd,
    ) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        // Edge-triggered: each expiry wakes once, and the timer need never be read.
        let edge = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        epoll.add(timer.as_fd(), EpollEvent::new(edge, TIMER))?;
        epoll.add(&door, EpollEvent::new(EpollFlags::EPOLLIN, DOOR))?;
        epoll.add(stop.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
        let metrics = Metrics::new(&duty.served.model, duty.served.max_model_len);
        Ok(Self {
            duty,
            engine,
            clock,
            epoll,
            timer,
            past: Stamp::ZERO,
            armed: Stamp::ZERO,
            door,
            accepting: true,
            stopping: false,
            slots: Vec::new(),
            vacant: Vec::new(),
            holds: BTreeSet::new(),
            ready: Vec::new(),
            events: Vec::new(),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            plain: Vec::new(),
            scratch: Scratch::default(),
            metrics,
            lateness: Histogram::new(),
            summary: Summary::default(),
        })
    }

    /// Serves until it is told to stop.
    pub(super) fn run(mut self) -> Summary {
        let header = TruthHeader {
            schema: SCHEMA.to_owned(),
            model: self.duty.served.model.clone(),
            seed: self.duty.seed.0,
            epoch_ns: self.clock.monotonic_ns(Stamp::ZERO),
            wall_offset_ns: self.clock.wall_offset_ns(),
        };
        if let Some(truth) = &mut self.duty.truth {
            truth.begin(header);
        }
        while !self.stopping {
            self.work();
            for token in std::mem::take(&mut self.ready) {
                self.take_turn(token);
            }
            self.wait();
        }
        for index in 0..self.slots.len() as u32 {
            self.hang_up(index, Ending::Stopped);
        }
        self.summary.lateness = self.lateness.summary();
        if let Some(truth) = self.duty.truth.take() {
            self.summary.truth_lost = truth.finish().err().map(|error| error.to_string());
        }
        self.summary
    }

    /// Does what is due: the engine's steps, and the ends of holds.
    fn work(&mut self) {
        let now = self.clock.now();
        let mut events = std::mem::take(&mut self.events);
        let present = self.engine_time(now);
        self.engine.step(present, &mut events);
        for event in events.drain(..) {
            self.event(&event, now);
        }
        self.events = events;
        while let Some(&(until, token)) = self.holds.first()
            && until <= now
        {
            let _ = self.holds.pop_first();
            if let Some(index) = self.index(token) {
                self.flush(index);
            }
        }
    }

    /// Returns the engine's time at a real instant, which for the engine never goes back.
    fn engine_time(&mut self, now: Stamp) -> Stamp {
        self.past = self.past.max(now);
        self.clock.engine_time(self.past)
    }

    /// Returns when something is next due.
    fn next_due(&self) -> Stamp {
        let engine = self.engine.next_instant().map(|at| self.clock.real_time(at));
        let hold = self.holds.first().map(|&(until, _)| until);
        engine.into_iter().chain(hold).min().unwrap_or(Stamp::NEVER)
    }

    /// Waits for sockets until something is due, and handles them.
    fn wait(&mut self) {
        let due = self.next_due();
        let timeout = if !self.ready.is_empty() || due <= self.clock.now() + LEAD {
            EpollTimeout::ZERO
        } else {
            self.arm(due - LEAD);
            EpollTimeout::NONE
        };
        let mut events = [EpollEvent::empty(); EVENTS_PER_ROUND];
        let count = match self.epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => panic!("waiting on our own event queue failed: {errno}"),
        };
        for event in &events[..count] {
            self.socket(*event);
            if self.next_due() <= self.clock.now() {
                self.work();
            }
        }
    }

    /// Sets the timer unless it already goes off then.
    fn arm(&mut self, at: Stamp) {
        if at != self.armed && at != Stamp::NEVER - LEAD {
            self.armed = at;
            let when = Duration::from_nanos(self.clock.monotonic_ns(at));
            let expiration = Expiration::OneShot(TimeSpec::from_duration(when));
            self.timer
                .set(expiration, TimerSetTimeFlags::TFD_TIMER_ABSTIME)
                .expect("an absolute time is always accepted");
        }
    }

    /// Handles one readiness event.
    fn socket(&mut self, event: EpollEvent) {
        match event.data() {
            TIMER => {}
            STOP => self.stopping = true,
            DOOR => self.accept(),
            token => {
                let flags = event.events();
                if let Some(index) = self.index(token)
                    && flags.intersects(EpollFlags::EPOLLOUT)
                {
                    self.flush(index);
                }
                if let Some(index) = self.index(token)
                    && flags.intersects(
                        EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR,
                    )
                {
                    self.read(index);
                }
            }
        }
    }

    /// Returns the slot that a token names, unless its tenant has left.
    fn index(&self, token: u64) -> Option<u32> {
        let index = token as u32;
        let slot = self.slots.get(index as usize)?;
        let current = slot.generation == (token >> 32) as u32 && slot.connection.is_some();
        current.then_some(index)
    }

    fn token(&self, index: u32) -> u64 {
        u64::from(self.slots[index as usize].generation) << 32 | u64::from(index)
    }

    fn connection(&mut self, index: u32) -> Option<&mut Connection> {
        self.slots[index as usize].connection.as_mut()
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPTS_PER_ROUND {
            match self.door.accept() {
                Ok((socket, _)) => self.welcome(socket),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if is_exhaustion(&error) => {
                    // Until a connection closes there is no use in asking again.
                    self.epoll.delete(&self.door).expect("the socket is registered");
                    self.accepting = false;
                    return;
                }
                // The client gave up before it was accepted.
                Err(_) => {}
            }
        }
    }

    fn welcome(&mut self, socket: TcpStream) {
        if socket.set_nonblocking(true).is_err() || socket.set_nodelay(true).is_err() {
            return;
        }
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let session = self.duty.tls.clone().map(Session::new).transpose();
        let Ok(session) = session else { return self.vacant.push(index) };
        let session = session.map(Box::new);
        let event = EpollEvent::new(EpollFlags::EPOLLIN, self.token(index));
        if self.epoll.add(&socket, event).is_err() {
            self.vacant.push(index);
            return;
        }
        self.slots[index as usize].connection = Some(Connection {
            outbox: Outbox::new(socket, session),
            decoder: RequestDecoder::new(),
            service: None,
            parting: Afterwards::Keep,
            first_read: None,
            turn: Stamp::ZERO,
            ahead: 0,
            writing: false,
        });
        self.summary.connections += 1;
    }

    fn read(&mut self, index: u32) {
        let Some(connection) = self.slots[index as usize].connection.as_mut() else { return };
        match connection.outbox.socket().read(&mut self.buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => self.hang_up(index, Ending::ClientClosed),
            Ok(count) => {
                let now = self.clock.now();
                let bytes = connection.outbox.open(&self.buffer[..count], &mut self.plain);
                let Ok(bytes) = bytes else {
                    return self.hang_up(index, Ending::ClientClosed);
                };
                if bytes.is_empty() {
                    return self.settle(index);
                }
                let _: &mut Stamp = connection.first_read.get_or_insert(now);
                connection.turn = now;
                connection.decoder.feed(bytes);
                if connection.service.is_none() {
                    self.next_requests(index);
                } else {
                    connection.ahead += bytes.len();
                    if connection.ahead > AHEAD_MAX {
                        self.hang_up(index, Ending::ClientClosed);
                    }
                }
            }
        }
    }

    /// Serves what has arrived while a connection was busy.
    fn take_turn(&mut self, token: u64) {
        let now = self.clock.now();
        let Some(index) = self.index(token) else { return };
        if let Some(connection) = self.connection(index) {
            connection.turn = now;
        }
        self.next_requests(index);
    }

    /// Serves the requests that have arrived, up to one that takes time.
    fn next_requests(&mut self, index: u32) {
        while let Some(connection) = self.connection(index) {
            if connection.service.is_some() || connection.parting != Afterwards::Keep {
                return;
            }
            connection.ahead = 0;
            match connection.decoder.next_request() {
                Ok(None) => return,
                Ok(Some(request)) => {
                    let first = connection.first_read.take().unwrap_or(connection.turn);
                    self.request(index, &request, first);
                }
                Err(fault) => {
                    let message = fault.to_string();
                    let refusal = Refusal { status: fault.status(), ..Refusal::bad(None, message) };
                    connection.parting = Afterwards::Close;
                    connection.outbox.put(&reply::refusal(Api::Chat, &refusal, Afterwards::Close));
                }
            }
            self.settle(index);
        }
    }

    fn request(&mut self, index: u32, request: &Request, first: Stamp) {
        let afterwards = match request.keep {
            Keep::Reuse => Afterwards::Keep,
            Keep::Close => Afterwards::Close,
        };
        let served = &self.duty.served;
        let page = match Route::of(&request.method, &request.path) {
            Ok(Route::Answer(api)) => return self.ask(index, api, request, first, afterwards),
            Ok(Route::Models) => Ok(served.models().to_string()),
            Ok(Route::Version) => Ok(served.version().to_string()),
            Ok(Route::Health) => Ok(String::new()),
            Ok(Route::Metrics) => Ok(self.metrics.text(&self.engine.gauges())),
            Ok(Route::Tokenize) => served.tokenize(request).map(|value| value.to_string()),
            Ok(Route::Detokenize) => served.detokenize(request).map(|value| value.to_string()),
            Err(refusal) => Err(refusal),
        };
        let metrics = request.path.starts_with("/metrics");
        let kind =
            if metrics { "text/plain; version=0.0.4; charset=utf-8" } else { "application/json" };
        let Some(connection) = self.connection(index) else { return };
        connection.parting = afterwards;
        let mut bytes = match page {
            Err(refusal) => reply::refusal(Api::Chat, &refusal, afterwards),
            Ok(body) => {
                let headers = [("Content-Type", kind), reply::connection(afterwards)];
                let mut bytes = Vec::new();
                http1::write_response(&mut bytes, 200, &headers, body.as_bytes());
                bytes
            }
        };
        if request.method == "HEAD" {
            http1::drop_body(&mut bytes);
        }
        connection.outbox.put(&bytes);
    }

    fn flush(&mut self, index: u32) {
        let now = self.clock.now();
        if let Some(connection) = self.connection(index) {
            connection.outbox.flush(now);
        }
        self.settle(index);
    }

    /// Draws the conclusions from what was put into an outbox or sent from it.
    fn settle(&mut self, index: u32) {
        let token = self.token(index);
        let Some(connection) = self.slots[index as usize].connection.as_mut() else { return };
        if connection.outbox.is_broken() {
            return self.hang_up(index, Ending::ClientClosed);
        }
        if let Some(until) = connection.outbox.held_until() {
            let _: bool = self.holds.insert((until, token));
        }
        if connection.outbox.wants_write() != connection.writing {
            connection.writing = !connection.writing;
            let mut flags = EpollFlags::EPOLLIN;
            flags.set(EpollFlags::EPOLLOUT, connection.writing);
            let mut event = EpollEvent::new(flags, token);
            let socket = connection.outbox.socket();
            self.epoll.modify(socket, &mut event).expect("the socket is registered");
        }
        if !connection.outbox.is_clear() {
            return;
        }
        let over = match &mut connection.service {
            None if connection.parting == Afterwards::Keep => return,
            None => return self.discard(index),
            Some(service) => {
                service.wrote(self.clock.monotonic_ns(self.clock.now()));
                service.reply.over()
            }
        };
        if let Some(Over { ending, afterwards }) = over {
            self.conclude(index, ending);
            match afterwards {
                Afterwards::Keep => self.ready.push(token),
                Afterwards::Close => self.discard(index),
                Afterwards::Reset => {
                    if let Some(connection) = self.connection(index) {
                        connection.outbox.reset_on_close();
                    }
                    self.discard(index);
                }
            }
        }
    }

    /// Closes a connection that is of no further use, whatever is on it.
    fn hang_up(&mut self, index: u32, ending: Ending) {
        let Some(connection) = self.slots[index as usize].connection.as_mut() else { return };
        if let Some(service) = &mut connection.service {
            if ending == Ending::Stopped {
                service.record.outcome = OutcomeKind::Severed;
            }
            if service.engaged {
                service.engaged = false;
                self.metrics.ended(&service.course, JobEnd::Aborted);
                let now = self.engine_time(self.clock.now());
                self.engine.abort(now, JobId(self.token(index)));
            }
            self.summary.cut_off += 1;
            self.conclude(index, ending);
        }
        self.discard(index);
    }

    /// Ends a service: its record is complete.
    fn conclude(&mut self, index: u32, ending: Ending) {
        let now = self.clock.now();
        let Some(connection) = self.slots[index as usize].connection.as_mut() else { return };
        let Some(Service { reply, mut record, .. }) = connection.service.take() else { return };
        record.told = reply.told();
        record.ending = ending;
        record.end_ns = self.clock.monotonic_ns(now);
        self.keep(record);
    }

    fn keep(&mut self, record: TruthRecord) {
        if let Some(truth) = &mut self.duty.truth {
            truth.record(record);
        }
    }

    /// Drops a connection; closing its socket takes it off the event queue.
    fn discard(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let Some(connection) = slot.connection.take() else { return };
        self.summary.bytes += connection.outbox.bytes();
        slot.generation = slot.generation.wrapping_add(1);
        self.vacant.push(index);
        drop(connection);
        if !self.accepting {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, DOOR);
            self.accepting = self.epoll.add(&self.door, event).is_ok();
        }
    }
}

/// Says whether this machine ran out of descriptors or memory for sockets.
fn is_exhaustion(error: &io::Error) -> bool {
    let limits = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error.raw_os_error().is_some_and(|code| limits.contains(&code))
}
