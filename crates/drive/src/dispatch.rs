//! What to do next: the driver's logic without its IO.
//!
//! A [`Dispatcher`] asks the pacer, counts what is in flight, and knows when the run is over:
//!
//! ```text
//!   warm-up        window                cool-down            drain limit
//!  ├──────────┼───────────────────┼─ load goes on until ─┤         │
//!             w0                  w1  all due in [w0,w1)  close     close at the latest
//! ```
//!
//! # Invariants
//!
//! - Load goes on unchanged after the window until every request due in it has ended, so that
//!   its last requests see the same load as its first.
//! - It reads no clock: the caller says what time it is, real or virtual.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use infermark_terms::{
    Due, Nanos, Next, Outcome, Pacer, Phase, RequestId, RequestRow, ShedReason, Stamp, Window,
};

/// What the caller has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this one now.
    Send(Due),
    /// Wait until this instant or the next completion, then ask again.
    Wait(Stamp),
    /// The run is over: close whatever is still in flight.
    Close,
}

/// How long a closed-loop slot rests after it could not even connect. Without it, a server that
/// went away turns the loop into a storm of connection attempts.
pub const REST_AFTER_CONNECT_FAILURE: Nanos = Nanos::from_millis(100);

/// Decides what to do next, given the time.
pub struct Dispatcher {
    pacer: Box<dyn Pacer>,
    window: Window,
    drain: Nanos,
    in_flight: u32,
    /// Those of them that were due in the window.
    window_in_flight: u32,
    /// When the last that was sent was due.
    last_due: Stamp,
    /// Slots that rest after a failure to connect.
    resting: BinaryHeap<Reverse<(Stamp, RequestId)>>,
    /// When the last arrival was sent, once there will be no more.
    exhausted: Option<Stamp>,
    window_done: bool,
}

impl Dispatcher {
    /// Plans a run: `drain` is how long requests may go on after the window's end, or after the
    /// last was sent.
    pub fn new(pacer: Box<dyn Pacer>, window: Window, drain: Nanos) -> Self {
        Self {
            pacer,
            window,
            drain,
            in_flight: 0,
            window_in_flight: 0,
            last_due: Stamp::ZERO,
            resting: BinaryHeap::new(),
            exhausted: None,
            window_done: false,
        }
    }

    /// Answers what to do at `now`. Call it until it no longer says [`Step::Send`].
    pub fn step(&mut self, now: Stamp) -> Step {
        if now >= self.limit() {
            return Step::Close;
        }
        self.wake(now);
        let mut until = Stamp::NEVER;
        let mut holding = false;
        if self.exhausted.is_none() {
            match self.pacer.poll(now) {
                Next::Send(due) => {
                    self.last_due = due.at;
                    self.in_flight += 1;
                    self.window_in_flight += u32::from(self.window.holds(due.at));
                    return Step::Send(due);
                }
                Next::Wait(at) => until = at,
                Next::AwaitCompletion => holding = true,
                Next::Done => self.exhausted = Some(now),
            }
        }
        if self.exhausted.is_some() && self.in_flight == 0 {
            self.window_done = true;
            return Step::Close;
        }
        if let Some(end) = self.window.end {
            // Nothing can join the window any more: all that was due has been sent, or what is
            // held back comes after something that was due past the end.
            let closed = now >= end && (!holding || self.last_due >= end);
            self.window_done |= closed && self.window_in_flight == 0;
            if now < end {
                until = until.min(end);
            }
        }
        if let Some(Reverse((at, _))) = self.resting.peek() {
            until = until.min(*at);
        }
        Step::Wait(until.min(self.limit()))
    }

    /// Learns that a request ended.
    pub fn ended(&mut self, row: &RequestRow) {
        self.in_flight -= 1;
        self.window_in_flight -= u32::from(self.window.holds(row.due));
        if matches!(row.outcome, Outcome::Severed { phase: Phase::Connect, .. }) {
            self.resting.push(Reverse((row.end + REST_AFTER_CONNECT_FAILURE, row.id)));
        } else if matches!(row.outcome, Outcome::Finished { .. }) {
            self.pacer.completed(row.id, row.end);
        } else {
            self.pacer.failed(row.id, row.end);
        }
    }

    /// Says whether every request due in the window has ended. Once true, it stays true.
    pub fn window_done(&self) -> bool {
        self.window_done
    }

    /// Sends nothing more; what is in flight may end within the drain limit.
    pub fn stop_sending(&mut self, now: Stamp) {
        let _: &mut Stamp = self.exhausted.get_or_insert(now);
    }

    /// Returns the arrivals that fell due but were never sent, when the run closes. What would
    /// have been due after sending was stopped is no arrival.
    pub fn take_unsent(&mut self, now: Stamp) -> Vec<(Due, ShedReason)> {
        let mut unsent = Vec::new();
        // Only a loop that was late to its own end leaves some of the window unasked for.
        if let (Some(end), None) = (self.window.end, self.exhausted) {
            let last = now.min(end - Nanos(1));
            while let Next::Send(due) = self.pacer.poll(last) {
                unsent.push((due, ShedReason::Late));
            }
        }
        let until = self.exhausted.map_or(now, |stopped| stopped.min(now));
        let held = self.pacer.take_held(until).into_iter();
        unsent.extend(held.map(|due| (due, ShedReason::ConcurrencyCap)));
        unsent
    }

    /// Returns the drain limit.
    pub fn drain(&self) -> Nanos {
        self.drain
    }

    /// Returns the window.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Tells the pacer of slots that have rested enough.
    fn wake(&mut self, now: Stamp) {
        while let Some(&Reverse((at, id))) = self.resting.peek() {
            if at > now {
                break;
            }
            let _: Option<_> = self.resting.pop();
            self.pacer.failed(id, at);
        }
    }

    /// Returns the instant at which the run closes whatever is still in flight.
    fn limit(&self) -> Stamp {
        let last = match (self.window.end, self.exhausted) {
            (Some(end), Some(at)) => end.min(at),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => return Stamp::NEVER,
        };
        last + self.drain
    }
}
