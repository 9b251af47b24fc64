//! Carries one shard's requests over sockets: an event loop on one thread.
//!
//! Every readable socket is read once per round, into one buffer that all connections share; a
//! connection keeps only what a read left unfinished. Readiness is edge-triggered, since the
//! kernel would else look at each socket twice for each read: what a read may have left is asked
//! for again ([`Worker::remind`]). Waiting ends by a timer descriptor, whose resolution is the
//! kernel's, not a millisecond.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use infermark_terms::{
    Due, Effort, HttpVersion, Nanos, Outcome, Phase, Stamp, TransportFault, Turn,
};
use infermark_wire::exchange::Exchange;
use infermark_wire::{Api, Delivery};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::carrier::{Batch, Carrier, Errand, Order, blank};
use crate::clock::{Arrival, Clock};
use crate::connection::{Connection, Sight, State};
use crate::endpoint::Endpoint;
use crate::flight::{GRACE_AFTER_DONE, Terms};
use crate::mux::{Mux, Toll};
use crate::pipe::fault;
use crate::rota::Rota;
use crate::{socket, thread};

/// Events taken from the kernel at a time, and handled in a round that begins late: some 100 µs
/// of work. Other rounds end as soon as something is due.
const EVENTS_PER_ROUND: usize = 16;

/// The shared read buffer. Larger than what arrives between two rounds.
const READ_BYTES: usize = 64 * 1024;

/// Reads of what an idle connection said, before it is given up.
const IDLE_READS_MAX: usize = 8;

/// How often time limits are looked at, at most.
const SWEEP_EVERY: Nanos = Nanos::from_millis(10);

/// The longest wait, so that a wish to stop is heard.
const WAIT_MAX: Nanos = Nanos::from_millis(50);

/// How long before something is due the loop stops sleeping and looks at the clock instead: as
/// long as it takes a virtual machine to wake, which would otherwise be lag.
const LEAD: Nanos = Nanos::from_micros(50);

/// The event number of the timer.
const TIMER: u64 = u64::MAX;

/// What is kept of output texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    /// Nothing: the server counts.
    Nothing,
    /// All of it, to count its tokens after the run.
    Text,
    /// The answers, without reasoning and the like, from which sessions go on.
    Answer,
    /// Both.
    TextAndAnswer,
}

impl Capture {
    /// Says whether all text is kept.
    pub(crate) fn keeps_text(self) -> bool {
        matches!(self, Self::Text | Self::TextAndAnswer)
    }

    /// Says whether answers are kept.
    pub(crate) fn keeps_answer(self) -> bool {
        matches!(self, Self::Answer | Self::TextAndAnswer)
    }
}

/// What a worker needs to know.
#[derive(Clone, Debug)]
pub struct WorkerPlan {
    /// The servers, in the order by which [`Order::server`] names them; never none.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// The API that responses speak.
    pub api: Api,
    /// Whether they are streamed.
    pub delivery: Delivery,
    /// Which shard this is.
    pub shard: u32,
    /// What becomes of a connection after its request.
    pub reuse: Reuse,
    /// The most requests side by side on a connection of HTTP/2, if the server lets us.
    pub streams_max: usize,
    /// How long a request may take.
    pub limits: Limits,
    /// How often a request that failed before any of its answer came is sent again.
    pub retries: u32,
    /// What is kept of output texts.
    pub capture: Capture,
}

/// What becomes of a connection after its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// It carries the next, if the server will.
    KeepAlive,
    /// It is closed.
    PerRequest,
    /// It carries the next turn of the session; it is closed where that does not go on.
    PerSession,
}

/// How long a request may take, stage by stage. One that takes longer is `Expired`, and says by
/// which limit and how far it had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For connecting: TCP, a proxy, TLS.
    pub connect: Nanos,
    /// From when it begins to leave to the first byte of the response.
    pub header: Option<Nanos>,
    /// From when it begins to leave to the first chunk.
    pub first_token: Option<Nanos>,
    /// For each silence of the server after the first chunk.
    pub idle: Option<Nanos>,
    /// From when it begins to leave to the end.
    pub total: Nanos,
}

impl Limits {
    /// Returns the least of them: nothing that is yet to begin expires earlier.
    fn least(&self) -> Nanos {
        let stages = [self.header, self.first_token, self.idle];
        stages.into_iter().flatten().fold(self.connect.min(self.total), Nanos::min)
    }
}

/// An event loop over the connections of one shard.
pub struct Worker {
    plan: WorkerPlan,
    /// What it counts itself; the rest is asked of the kernel.
    counted: Effort,
    /// Since when it looks at the clock instead of sleeping.
    looking: Option<Stamp>,
    clock: Clock,
    epoll: Epoll,
    timer: TimerFd,
    /// Keeps the kernel stamping what it receives.
    _stamping: OwnedFd,
    /// When the timer goes off.
    armed: Stamp,
    slots: Vec<Slot>,
    /// Slots without a connection.
    vacant: Vec<u32>,
    /// The ways to each server.
    servers: Vec<Rota<Lane>>,
    /// Slots whose connection waits for the next turn of a session.
    held: BTreeMap<u64, u32>,
    busy: usize,
    next_sweep: Stamp,
    events: [EpollEvent; EVENTS_PER_ROUND],
    /// Those of them that are still to be handled.
    pending: Range<usize>,
    /// When the last read returned.
    read_at: Stamp,
    buffer: Box<[u8]>,
    plain: Vec<u8>,
    /// What ended while it was being sent, until the next wait.
    early: Batch,
}

/// A way to a server: one of its addresses.
struct Lane {
    address: SocketAddr,
    /// Slots whose connection can carry a request, the most recently used last. One of HTTP/2 stays
    /// here for as long as it lives, however many it carries.
    idle: Vec<u32>,
}

/// Which lane: the server's index, and the lane's among its lanes.
#[derive(Clone, Copy, Default)]
struct Way {
    server: u32,
    lane: u32,
}

/// A place for a connection. The generation tells events of its former tenants apart.
#[derive(Default)]
struct Slot {
    line: Line,
    way: Way,
    generation: u32,
}

/// A connection, of either kind.
#[expect(clippy::large_enum_variant, reason = "of the large one there may be thousands")]
#[derive(Default)]
enum Line {
    #[default]
    Vacant,
    /// Of HTTP/1.1. It lies here itself, close to the others.
    One(Connection),
    /// Of HTTP/2.
    Many(Box<Mux>),
}

impl Line {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Vacant => None,
            Self::One(connection) => Some(connection.fd()),
            Self::Many(mux) => Some(mux.fd()),
        }
    }

    /// Says whether an idle connection can carry another request.
    fn is_quiet(&self) -> Option<bool> {
        match self {
            Self::Vacant => None,
            Self::One(connection) => Some(connection.is_quiet()),
            Self::Many(mux) => Some(mux.is_quiet()),
        }
    }
}

impl Slot {
    /// Returns the registration of its connection, under this index.
    fn event(&self, index: u32) -> EpollEvent {
        let flags = EpollFlags::EPOLLIN
            | EpollFlags::EPOLLOUT
            | EpollFlags::EPOLLRDHUP
            | EpollFlags::EPOLLET;
        EpollEvent::new(flags, u64::from(self.generation) << 32 | u64::from(index))
    }
}

impl Worker {
    /// Prepares a worker for the calling thread.
    ///
    /// # Errors
    ///
    /// If the system gives no event queue, timer or socket.
    pub fn new(plan: WorkerPlan, clock: Clock) -> std::io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        // Edge-triggered: each expiry wakes once, and the timer need never be read.
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        epoll.add(timer.as_fd(), EpollEvent::new(flags, TIMER))?;
        let servers = plan.endpoints.iter().map(|endpoint| lanes(endpoint, plan.shard)).collect();
        Ok(Self {
            plan,
            counted: Effort::default(),
            looking: None,
            clock,
            epoll,
            timer,
            _stamping: socket::keep_stamping()?,
            armed: Stamp::ZERO,
            slots: Vec::new(),
            vacant: Vec::new(),
            servers,
            held: BTreeMap::new(),
            busy: 0,
            next_sweep: Stamp::ZERO,
            events: [EpollEvent::empty(); EVENTS_PER_ROUND],
            pending: 0..0,
            read_at: Stamp::ZERO,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            plain: Vec::new(),
            early: Batch::default(),
        })
    }

    fn terms(&self) -> Terms {
        Terms { shard: self.plan.shard, capture: self.plan.capture }
    }

    /// Returns a slot whose connection can carry a request: an idle one, else a new one.
    fn find(&mut self, way: Way) -> Result<u32, TransportFault> {
        if self.shares(way) {
            return self.join(way);
        }
        while let Some(index) = self.lane(way).idle.pop() {
            if self.is_usable(index) {
                return Ok(index);
            }
        }
        self.open(way)
    }

    /// Returns a slot whose connection of HTTP/2 can carry one more request: the first that has
    /// room, so that there are as few as can be; else a new one.
    fn join(&mut self, way: Way) -> Result<u32, TransportFault> {
        let most = self.plan.streams_max;
        let mut place = 0;
        while let Some(&index) = self.lane(way).idle.get(place) {
            let found = self.mux(index).map(|mux| (mux.has_room(most), mux.load()));
            if let Some((true, load)) = found
                && (load > 0 || self.is_usable(index))
            {
                return Ok(index);
            }
            // One that was of no use any more has left its place to the next.
            place += usize::from(self.lane(way).idle.get(place) == Some(&index));
        }
        self.open(way)
    }

    /// Returns the way of a server's next request: its addresses are taken one after another, but
    /// for the one where the request has just failed, if there is another.
    fn way(&mut self, server: u32, shunned: Option<u32>) -> Way {
        let lanes = &mut self.servers[server as usize];
        let mut lane = lanes.next();
        if shunned == Some(lane) {
            lane = lanes.next();
        }
        Way { server, lane }
    }

    /// Says whether requests share connections there.
    fn shares(&self, way: Way) -> bool {
        self.endpoint(way).version() == HttpVersion::Http2
    }

    fn endpoint(&self, way: Way) -> &Arc<Endpoint> {
        &self.plan.endpoints[way.server as usize]
    }

    fn lane(&mut self, way: Way) -> &mut Lane {
        self.servers[way.server as usize].item(way.lane)
    }

    /// Forgets that a slot's connection can carry a request.
    fn engage(&mut self, index: u32) {
        let way = self.slots[index as usize].way;
        self.lane(way).idle.retain(|&other| other != index);
        self.held.retain(|_, other| *other != index);
    }

    /// Keeps a connection whose request ended, for what it can carry next, if there is anything.
    fn keep(&mut self, index: u32) {
        let slot = &self.slots[index as usize];
        let session = match &slot.line {
            Line::Vacant => None,
            Line::One(connection) => connection.awaited(),
            Line::Many(mux) => mux.awaited(),
        };
        match (self.plan.reuse, session) {
            (Reuse::KeepAlive, _) => {
                let way = slot.way;
                self.lane(way).idle.push(index);
            }
            (Reuse::PerSession, Some(session)) => {
                let _: Option<u32> = self.held.insert(session, index);
            }
            (Reuse::PerSession, None) | (Reuse::PerRequest, _) => {
                self.discard(index);
            }
        }
    }

    /// Returns the slot whose connection waits for this turn, if it still can carry it.
    fn held(&mut self, turn: Option<Turn>) -> Option<u32> {
        let index = self.held.remove(&turn?.session)?;
        self.is_usable(index).then_some(index)
    }

    /// Puts a request on a connection; over HTTP/1.1 on none but a new one if it failed on another.
    fn start(&mut self, mut errand: Errand, batch: &mut Batch) {
        let (clock, terms) = (self.clock, self.terms());
        loop {
            // A turn on its session's own connection does not count among those of the addresses.
            let held = self.held(errand.due.turn);
            let way = match held {
                Some(index) => self.slots[index as usize].way,
                None => self.way(errand.order.server, errand.shunned),
            };
            let found = match held {
                Some(index) => Ok(index),
                None if errand.attempts > 0 && !self.shares(way) => self.open(way),
                None => self.find(way),
            };
            errand.attempts += 1;
            let fault = match found {
                Ok(index) => {
                    self.busy += 1;
                    let put = match &mut self.slots[index as usize].line {
                        Line::Vacant => Ok(()),
                        Line::One(connection) => connection.put(errand, terms, || clock.now()),
                        Line::Many(mux) => mux.put(errand, terms, &|| clock.now()),
                    };
                    if let Err(fault) = put {
                        self.sever(index, &fault, batch);
                    }
                    return;
                }
                Err(fault) => fault,
            };
            if errand.retries == 0 {
                let outcome = Outcome::Severed { phase: Phase::Connect, fault };
                let mut row = blank(errand.due, terms.shard, clock.now(), outcome);
                row.asked_input = errand.order.asked_input;
                row.asked_output = errand.order.asked_output;
                row.class = errand.order.class;
                row.address = Some(self.lane(way).address);
                row.attempts = errand.attempts;
                batch.requests.push(row);
                return;
            }
            errand.retries -= 1;
            errand.shunned = Some(way.lane);
        }
    }

    /// Says whether a connection that was idle can carry a request; drops it if it cannot.
    fn is_usable(&mut self, index: u32) -> bool {
        let expires = self.connection(index).map_or(Stamp::NEVER, |c| c.expires());
        if expires != Stamp::NEVER && self.clock.now() >= expires {
            self.discard(index);
            return false;
        }
        // It has no request, so there are no rows.
        let mut none = Batch::default();
        for _ in 0..IDLE_READS_MAX {
            match self.slots[index as usize].line.is_quiet() {
                Some(true) => return true,
                // Over TLS it may have spoken of keys and tickets only, over HTTP/2 of itself.
                Some(false) => self.read(index, &mut none),
                None => return false,
            }
        }
        if !matches!(self.slots[index as usize].line, Line::Vacant) {
            self.discard(index);
        }
        false
    }

    /// Opens a connection in a vacant slot.
    fn open(&mut self, way: Way) -> Result<u32, TransportFault> {
        let address = self.lane(way).address;
        let (now, speech) = (self.clock.now(), (self.plan.api, self.plan.delivery));
        let endpoint = self.endpoint(way);
        let line = match endpoint.version() {
            HttpVersion::Http1 => {
                let exchange = Exchange::new(speech.0, speech.1);
                Line::One(Connection::open(address, endpoint, exchange, now)?)
            }
            HttpVersion::Http2 => Line::Many(Box::new(Mux::open(address, endpoint, speech, now)?)),
        };
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[index as usize];
        let fd = line.fd().expect("there is a connection");
        if let Err(errno) = self.epoll.add(fd, slot.event(index)) {
            self.vacant.push(index);
            return Err(fault(&errno.into()));
        }
        slot.line = line;
        slot.way = way;
        let open = self.slots.len() - self.vacant.len();
        self.counted.connections = self.counted.connections.max(open as u32);
        self.counted.opened += 1;
        if self.mux(index).is_some() && self.plan.reuse == Reuse::KeepAlive {
            self.lane(way).idle.push(index);
        }
        Ok(index)
    }

    fn connection(&mut self, index: u32) -> Option<&mut Connection> {
        match &mut self.slots[index as usize].line {
            Line::One(connection) => Some(connection),
            Line::Vacant | Line::Many(_) => None,
        }
    }

    fn mux(&mut self, index: u32) -> Option<&mut Mux> {
        match &mut self.slots[index as usize].line {
            Line::Many(mux) => Some(mux),
            Line::Vacant | Line::One(_) => None,
        }
    }

    /// Drops a connection; closing its socket takes it off the event queue.
    fn discard(&mut self, index: u32) {
        if self.mux(index).is_some() {
            self.engage(index);
        }
        let slot = &mut self.slots[index as usize];
        slot.line = Line::Vacant;
        slot.generation = slot.generation.wrapping_add(1);
        self.vacant.push(index);
    }

    /// Gives a connection up that failed. Its request is sent again, if that may be; else it ends
    /// with the failure.
    fn sever(&mut self, index: u32, fault: &TransportFault, batch: &mut Batch) {
        let now = self.clock.now();
        if let Some(mux) = self.mux(index) {
            let mut toll = Toll::default();
            mux.lose(Some(fault), now, batch, &mut toll);
            return self.settle(index, toll, batch);
        }
        let Some(connection) = self.connection(index) else { return };
        if !connection.is_busy() {
            self.engage(index);
            return self.discard(index);
        }
        let again = connection.take_back();
        if again.is_none() {
            connection.fail(fault, now, batch);
        }
        let again: Vec<_> = again.into_iter().collect();
        let landed = usize::from(again.is_empty());
        self.settle(index, Toll { landed, again, closed: true, done: false }, batch);
    }

    /// Does what follows from what became of a connection's requests.
    fn settle(&mut self, index: u32, toll: Toll, batch: &mut Batch) {
        let Toll { landed, again, done, closed } = toll;
        self.busy -= landed + again.len();
        if done {
            self.next_sweep = self.next_sweep.min(self.read_at + GRACE_AFTER_DONE);
        }
        let Way { lane, .. } = self.slots[index as usize].way;
        let empty = self.mux(index).is_some_and(|mux| mux.load() == 0);
        if closed {
            self.discard(index);
        } else if landed + again.len() > 0 && empty && self.plan.reuse != Reuse::KeepAlive {
            self.keep(index);
        }
        for mut errand in again {
            errand.shunned = closed.then_some(lane);
            self.start(errand, batch);
        }
    }

    /// Has the event queue say again, in the next round, what a connection is ready for.
    fn remind(&mut self, index: u32) {
        let slot = &self.slots[index as usize];
        if let Some(fd) = slot.line.fd() {
            let mut event = slot.event(index);
            self.epoll.modify(fd, &mut event).expect("the socket is registered");
        }
    }

    /// Handles one readiness event.
    fn handle(&mut self, event: EpollEvent, batch: &mut Batch) {
        let token = event.data();
        let index = token as u32;
        let current = |slot: &Slot| slot.generation == (token >> 32) as u32;
        if token == TIMER || !self.slots.get(index as usize).is_some_and(current) {
            return;
        }
        let flags = event.events();
        if flags.intersects(EpollFlags::EPOLLOUT | EpollFlags::EPOLLERR) {
            let clock = self.clock;
            let written = match &mut self.slots[index as usize].line {
                Line::One(connection) if connection.wants_write() => {
                    connection.writable(|| clock.now())
                }
                Line::Many(mux) if mux.wants_write() => mux.writable(&|| clock.now()),
                Line::Vacant | Line::One(_) | Line::Many(_) => Ok(()),
            };
            if let Err(fault) = written {
                return self.sever(index, &fault, batch);
            }
        }
        let over = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        if flags.intersects(EpollFlags::EPOLLIN | over) {
            self.read(index, batch);
            // The end comes after the last bytes, and is not announced a second time.
            if flags.intersects(over) && self.slots.get(index as usize).is_some_and(current) {
                self.remind(index);
            }
        }
    }

    /// Reads once from a socket, and returns how much came and when, if something did.
    fn receive(&mut self, index: u32, batch: &mut Batch) -> Option<(usize, Arrival)> {
        self.counted.reads += 1;
        let (received, heard) = match &self.slots[index as usize].line {
            Line::Vacant => return None,
            Line::One(connection) => {
                prefetch(connection);
                (connection.receive(&mut self.buffer), connection.heard())
            }
            Line::Many(mux) => (mux.receive(&mut self.buffer), mux.heard()),
        };
        let received = match received {
            Ok(received) => received,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {
                self.remind(index);
                return None;
            }
            Err(error) => {
                self.sever(index, &fault(&error), batch);
                return None;
            }
        };
        let arrival = self.clock.arrival(received.wall_ns, heard);
        self.read_at = arrival.at + arrival.delay;
        Some((received.len, arrival))
    }

    /// Takes what a readable socket brings.
    fn read(&mut self, index: u32, batch: &mut Batch) {
        let Some((length, arrival)) = self.receive(index, batch) else { return };
        let full = length == self.buffer.len();
        let clock = self.clock;
        let mut sight = Sight { batch, now: &|| clock.now() };
        match &mut self.slots[index as usize].line {
            Line::Vacant => {}
            Line::One(connection) => {
                let carried = usize::from(connection.is_busy());
                let bytes = &self.buffer[..length];
                let state = if length == 0 {
                    connection.closed(arrival, sight.batch).map(|()| State::Closed)
                } else {
                    connection.take(bytes, &mut self.plain, arrival, &mut sight)
                };
                match state {
                    Ok(state) => self.move_on(index, &state, carried, arrival),
                    Err(fault) => return self.sever(index, &fault, batch),
                }
            }
            Line::Many(mux) => {
                let toll = if length == 0 {
                    let mut toll = Toll::default();
                    mux.lose(None, arrival.at, sight.batch, &mut toll);
                    Ok(toll)
                } else {
                    mux.take(&self.buffer[..length], &mut self.plain, arrival, &mut sight)
                };
                match toll {
                    Ok(toll) => self.settle(index, toll, batch),
                    Err(fault) => return self.sever(index, &fault, batch),
                }
            }
        }
        if full {
            self.remind(index);
        }
    }

    /// Does what follows from what became of a connection of HTTP/1.1 that carried so many
    /// requests.
    fn move_on(&mut self, index: u32, state: &State, carried: usize, arrival: Arrival) {
        match state {
            State::Open => {}
            State::Done => {
                self.next_sweep = self.next_sweep.min(arrival.at + GRACE_AFTER_DONE);
            }
            State::Free => {
                self.busy -= 1;
                self.keep(index);
            }
            State::Closed => {
                self.busy -= carried;
                if carried == 0 {
                    self.engage(index);
                }
                self.discard(index);
            }
        }
    }

    /// Expires requests whose time limit passed, and plans the next sweep: touching every
    /// connection costs too much to do it without need.
    fn sweep(&mut self, now: Stamp, batch: &mut Batch) {
        let limits = self.plan.limits;
        let mut earliest = now + limits.least();
        let clock = self.clock;
        for index in 0..self.slots.len() as u32 {
            match &mut self.slots[index as usize].line {
                Line::Vacant => {}
                Line::One(connection) => match connection.deadline(&limits) {
                    Some((deadline, limit)) if now >= deadline => {
                        connection.expire(limit, now, batch);
                        self.busy -= 1;
                        self.discard(index);
                    }
                    Some((deadline, _)) => earliest = earliest.min(deadline),
                    None => {}
                },
                Line::Many(mux) => {
                    let (landed, next) = mux.sweep(&limits, now, &|| clock.now(), batch);
                    earliest = next.map_or(earliest, |next| earliest.min(next));
                    let closed = landed > 0 && mux.is_spent();
                    self.settle(index, Toll { landed, closed, ..Toll::default() }, batch);
                }
            }
        }
        self.next_sweep = earliest.max(now + SWEEP_EVERY);
    }

    /// Hands over what ended while it was being sent.
    fn take_early(&mut self, batch: &mut Batch) {
        batch.requests.append(&mut self.early.requests);
        batch.chunks.append(&mut self.early.chunks);
        batch.texts.append(&mut self.early.texts);
        batch.answers.append(&mut self.early.answers);
    }

    /// Waits until sockets are ready, or until `due`: sleeps for most of the time, and looks at
    /// the clock for the last of it.
    fn listen(&mut self, now: Stamp, due: Stamp) {
        let timeout = if due <= now + LEAD {
            self.looking = (due > now).then_some(now);
            EpollTimeout::ZERO
        } else {
            let chores = if self.busy > 0 { self.next_sweep } else { Stamp::NEVER };
            self.arm(now, Stamp(due.0 - LEAD.0).min(chores).min(now + WAIT_MAX));
            EpollTimeout::NONE
        };
        self.counted.waits += 1;
        let count = match self.epoll.wait(&mut self.events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => panic!("waiting on our own event queue failed: {errno}"),
        };
        self.pending = 0..count;
        if count > 0 {
            self.stop_looking();
        }
    }

    /// Counts the time since it last looked at the clock in vain. Longer than it ever looks ahead
    /// it was kept from its core.
    fn stop_looking(&mut self) {
        if let Some(since) = self.looking.take() {
            self.counted.spun += self.clock.now().since(since).min(LEAD);
        }
    }

    /// Sees to it that the timer goes off by then. One that goes off earlier is left alone: a
    /// needless turn of the loop now and then costs less than setting the timer at each wait.
    fn arm(&mut self, now: Stamp, at: Stamp) {
        if self.armed <= now || self.armed > at {
            self.armed = at;
            let Nanos(absolute) = self.clock.monotonic(at);
            let when = std::time::Duration::from_nanos(absolute);
            self.timer
                .set(
                    Expiration::OneShot(TimeSpec::from_duration(when)),
                    TimerSetTimeFlags::TFD_TIMER_ABSTIME,
                )
                .expect("an absolute time is always accepted");
        }
    }
}

/// Returns the ways to a server. Shards begin with different ones.
fn lanes(endpoint: &Endpoint, shard: u32) -> Rota<Lane> {
    let lane = |&address: &SocketAddr| Lane { address, idle: Vec::new() };
    Rota::new(endpoint.addresses().iter().map(lane).collect(), shard)
}

/// Has the state of a connection fetched while the kernel reads from its socket: with thousands of
/// streams it is in no cache, and fetching it line by line as it is needed takes as long as
/// parsing.
#[expect(unsafe_code, reason = "the prefetch instruction has no safe form")]
fn prefetch(connection: &Connection) {
    #[cfg(target_arch = "x86_64")]
    for offset in (0..size_of::<Connection>()).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the address is within `connection`, and nothing is read or written there: the
        // instruction is a hint.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(connection).byte_add(offset).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _no_instruction_in_stable_rust = connection;
}

impl Carrier for Worker {
    fn now(&self) -> Stamp {
        self.clock.now()
    }

    fn send(&mut self, due: Due, order: Order) {
        self.stop_looking();
        let mut early = std::mem::take(&mut self.early);
        self.start(
            Errand { due, order, attempts: 0, retries: self.plan.retries, shunned: None },
            &mut early,
        );
        self.early = early;
    }

    fn wait(&mut self, until: Stamp, batch: &mut Batch) {
        self.stop_looking();
        let now = self.clock.now();
        self.clock.refresh(now);
        // What ended early is handed over without waiting for anything else.
        let latest = if self.early.is_empty() { until } else { now };
        self.take_early(batch);
        if self.pending.is_empty() {
            self.listen(now, latest);
        }
        while let Some(next) = self.pending.next() {
            self.handle(self.events[next], batch);
            if until > now && self.read_at >= until {
                break;
            }
        }
        if self.busy > 0 && now >= self.next_sweep {
            self.sweep(now, batch);
        }
    }

    fn close(&mut self, judge: &mut dyn FnMut(Stamp, Phase) -> Outcome, batch: &mut Batch) {
        let now = self.clock.now();
        self.take_early(batch);
        for slot in &mut self.slots {
            match &mut slot.line {
                Line::Vacant => {}
                Line::One(connection) => connection.abandon(judge, now, batch),
                Line::Many(mux) => mux.abandon(judge, now, batch),
            }
        }
        self.slots.clear();
        self.vacant.clear();
        self.servers.iter_mut().flat_map(Rota::items).for_each(|lane| lane.idle.clear());
        self.held.clear();
        self.busy = 0;
    }

    fn in_flight(&self) -> usize {
        self.busy
    }

    fn effort(&self) -> Option<Effort> {
        let wall = self.clock.now().since(Stamp::ZERO);
        let (cpu, queued) = (thread::cpu_time(), thread::queued_time());
        Some(Effort { wall, cpu, queued, ..self.counted })
    }
}
