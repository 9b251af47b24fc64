//! The loop's logic in virtual time: a model server answers after a fixed service time, and
//! minutes of load cost microseconds.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, sync_channel};

use infermark_drive::{
    Batch, Carrier, Dispatcher, Order, Outbox, Shared, Source, Stop, dispatch, run,
};
use infermark_terms::{
    ConnectPhases, Due, Effort, EventCounts, FinishReason, Nanos, Next, Outcome, OutcomeKind,
    Pacer, Phase, RequestId, RequestRow, ShedReason, Stamp, StampSource, TransportFault, Window,
};

const SECOND: u64 = 1_000_000_000;

/// A server in virtual time: each request ends `service` after it was sent.
struct Model {
    now: Stamp,
    service: Nanos,
    /// Requests sent from this instant on cannot connect.
    dead_from: Stamp,
    /// When each request ends.
    ends: BTreeMap<(Stamp, RequestId), Due>,
    /// How many were in flight after each send.
    levels: Vec<(Stamp, usize)>,
    /// Every wait that nothing cuts short ends so much too late.
    late: Nanos,
    /// Stops the run at this instant.
    stop_at: Option<(Stamp, Stop)>,
    /// What the loop reported of the window, once it has ended.
    effort: Option<Effort>,
}

impl Model {
    fn new(service: Nanos) -> Self {
        Self {
            now: Stamp::ZERO,
            service,
            dead_from: Stamp::NEVER,
            ends: BTreeMap::new(),
            levels: Vec::new(),
            late: Nanos::ZERO,
            stop_at: None,
            effort: None,
        }
    }
}

fn row(due: Due, sent: Stamp, end: Stamp, outcome: Outcome) -> RequestRow {
    RequestRow {
        id: due.id,
        shard: 0,
        turn: None,
        class: None,
        due: due.at,
        connected: Some(sent),
        connect: Some(ConnectPhases::default()),
        sent: Some(sent),
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

impl Carrier for Model {
    fn now(&self) -> Stamp {
        self.now
    }

    fn send(&mut self, due: Due, _: Order) {
        let end = if self.now >= self.dead_from { self.now } else { self.now + self.service };
        let clash = self.ends.insert((end, due.id), due);
        assert!(clash.is_none(), "an id was used twice");
        self.levels.push((self.now, self.ends.len()));
    }

    fn wait(&mut self, until: Stamp, batch: &mut Batch) {
        let next = self.ends.first_key_value().map_or(Stamp::NEVER, |(&(end, _), _)| end);
        let stop = self.stop_at.as_ref().map_or(Stamp::NEVER, |(at, _)| *at);
        let then = until.min(next).min(stop);
        assert_ne!(then, Stamp::NEVER, "the loop waits for nothing");
        self.now = self.now.max(if then == until { then + self.late } else { then });
        if self.now >= stop
            && let Some((_, stop)) = self.stop_at.take()
        {
            stop.drain();
        }
        while let Some((&(end, id), &due)) = self.ends.first_key_value()
            && end <= self.now
        {
            let _: Option<Due> = self.ends.remove(&(end, id));
            let outcome = if self.now >= self.dead_from {
                let fault = TransportFault::ConnectionRefused;
                Outcome::Severed { phase: Phase::Connect, fault }
            } else {
                Outcome::Finished { reason: FinishReason::Length }
            };
            batch.requests.push(row(due, due.at, end, outcome));
        }
    }

    fn close(&mut self, judge: &mut dyn FnMut(Stamp, Phase) -> Outcome, batch: &mut Batch) {
        for (_, due) in std::mem::take(&mut self.ends) {
            let outcome = judge(due.at, Phase::Stream);
            batch.requests.push(row(due, due.at, self.now, outcome));
        }
    }

    fn in_flight(&self) -> usize {
        self.ends.len()
    }

    fn effort(&self) -> Option<Effort> {
        let sends = self.levels.len() as u64;
        Some(Effort { wall: self.now.since(Stamp::ZERO), opened: sends, ..Effort::default() })
    }
}

/// Hands out empty orders, but makes the loop ask several times for each.
struct Slow {
    refusals: u32,
    left: u32,
}

impl Source for Slow {
    fn take(&mut self, _: Due) -> Option<Order> {
        if self.left > 0 {
            self.left -= 1;
            return None;
        }
        self.left = self.refusals;
        let (server, bytes) = (0, Vec::new());
        Some(Order {
            server,
            goes_on: false,
            bytes,
            asked_input: None,
            asked_output: None,
            class: None,
        })
    }
}

/// Arrivals at equal gaps, at most `cap` in flight, at most `count`.
struct Steady {
    gap: u64,
    next: u64,
    count: u64,
    in_flight: usize,
    cap: usize,
}

impl Steady {
    fn at(&self, index: u64) -> Due {
        Due::new(RequestId(index), Stamp(index * self.gap))
    }
}

impl Pacer for Steady {
    fn poll(&mut self, now: Stamp) -> Next {
        let due = self.at(self.next);
        match () {
            () if self.next >= self.count => Next::Done,
            () if due.at > now => Next::Wait(due.at),
            () if self.in_flight >= self.cap => Next::AwaitCompletion,
            () => {
                self.next += 1;
                self.in_flight += 1;
                Next::Send(due)
            }
        }
    }

    fn completed(&mut self, _: RequestId, _: Stamp) {
        self.in_flight -= 1;
    }

    fn take_held(&mut self, now: Stamp) -> Vec<Due> {
        let held = (self.next..self.count).map(|i| self.at(i)).take_while(|due| due.at <= now);
        held.collect()
    }
}

fn steady(rate: u64) -> Steady {
    Steady { gap: SECOND / rate, next: 0, count: u64::MAX, in_flight: 0, cap: usize::MAX }
}

fn seconds(start: u64, end: u64) -> Window {
    Window { start: Stamp(start * SECOND), end: Some(Stamp(end * SECOND)) }
}

/// Runs to the end; returns the rows and the model as it was left.
fn drive(model: Model, pacer: Steady, window: Window, drain: Nanos) -> (Vec<RequestRow>, Model) {
    drive_from(Slow { refusals: 0, left: 0 }, model, pacer, window, drain)
}

fn drive_from(
    mut source: Slow,
    mut model: Model,
    pacer: Steady,
    window: Window,
    drain: Nanos,
) -> (Vec<RequestRow>, Model) {
    let stop = model.stop_at.as_ref().map_or_else(Stop::default, |(_, stop)| stop.clone());
    let (full, received) = sync_channel(1 << 16);
    let (_back, used) = sync_channel(1);
    let dispatcher = Dispatcher::new(Box::new(pacer), window, drain);
    let outbox = Outbox::new(0, full, used);
    let report = run(&mut model, dispatcher, &mut source, outbox, &Shared::new(1, stop));
    model.effort = report.effort;
    let rows: Vec<_> = rows(&received);
    assert_eq!(report.sent + report.shed, rows.len() as u64);
    (rows, model)
}

fn rows(received: &Receiver<(u32, Batch)>) -> Vec<RequestRow> {
    received.try_iter().flat_map(|(_, batch)| batch.requests).collect()
}

fn count(rows: &[RequestRow], window: Window, kind: OutcomeKind) -> usize {
    rows.iter().filter(|r| window.holds(r.due) && r.outcome.kind() == kind).count()
}

#[test]
fn every_request_due_in_the_window_ends_under_unchanged_load() {
    let window = seconds(5, 65);
    let (rows, model) =
        drive(Model::new(Nanos::from_secs(3)), steady(10), window, Nanos::from_secs(30));
    assert_eq!(count(&rows, window, OutcomeKind::Finished), 600);
    // The last of the window is due at 64.9 s and ends at 67.9 s; until then load goes on.
    assert_eq!(model.now, Stamp(67_900_000_000));
    let full = model.levels.iter().filter(|(at, _)| *at >= Stamp(3 * SECOND));
    assert!(full.clone().all(|(_, level)| (30..=31).contains(level)));
    let abandoned = rows.iter().filter(|r| r.outcome == Outcome::Abandoned);
    assert!(abandoned.clone().all(|r| r.due >= Stamp(65 * SECOND)));
    assert_eq!(abandoned.count(), 30);
}

#[test]
fn what_outlives_the_drain_limit_is_expired_not_dropped() {
    let window = seconds(0, 10);
    let (rows, model) =
        drive(Model::new(Nanos::from_secs(8)), steady(1), window, Nanos::from_secs(4));
    assert_eq!(model.now, Stamp(14 * SECOND));
    assert_eq!(count(&rows, window, OutcomeKind::Finished), 7);
    let expired = Outcome::Expired { phase: Phase::Stream, limit: Nanos::from_secs(4) };
    assert_eq!(rows.iter().filter(|r| r.outcome == expired).count(), 3);
}

#[test]
fn a_request_bound_sends_exactly_so_many_and_waits_for_all() {
    let pacer = Steady { count: 64, ..steady(100) };
    let window = Window { start: Stamp::ZERO, end: None };
    let (rows, _) = drive(Model::new(Nanos::from_secs(2)), pacer, window, Nanos::from_secs(60));
    assert_eq!(rows.len(), 64);
    assert_eq!(count(&rows, window, OutcomeKind::Finished), 64);
}

#[test]
fn what_a_concurrency_cap_holds_back_is_shed_not_forgotten() {
    let pacer = Steady { cap: 2, ..steady(10) };
    let window = seconds(0, 10);
    let (rows, model) = drive(Model::new(Nanos::from_secs(1)), pacer, window, Nanos::from_secs(5));
    assert!(model.levels.iter().all(|(_, level)| *level <= 2));
    // Two slots of one second each serve 30 in 15 s, of the 100 that were due; the last of the
    // second slot, which began at 0.1 s, is still under way.
    assert_eq!(count(&rows, window, OutcomeKind::Finished), 29);
    assert_eq!(count(&rows, window, OutcomeKind::Expired), 1);
    assert_eq!(count(&rows, window, OutcomeKind::Shed), 70);
    let reason = ShedReason::ConcurrencyCap;
    assert!(rows.iter().any(|r| r.outcome == Outcome::Shed { reason }));
}

#[test]
fn arrivals_held_back_by_the_warm_up_still_belong_to_the_window() {
    let pacer = Steady { cap: 1, ..steady(1) };
    let window = seconds(1, 3);
    let (rows, _) = drive(Model::new(Nanos::from_secs(4)), pacer, window, Nanos::from_secs(30));
    assert_eq!(count(&rows, window, OutcomeKind::Finished), 2);
}

#[test]
fn an_order_that_is_late_delays_its_request_and_loses_none() {
    let window = seconds(0, 10);
    let source = Slow { refusals: 2, left: 2 };
    let model = Model::new(Nanos::from_secs(1));
    let (rows, model) = drive_from(source, model, steady(10), window, Nanos::from_secs(5));
    assert_eq!(count(&rows, window, OutcomeKind::Finished), 100);
    assert!(model.levels.iter().all(|(sent, _)| sent.0 % (SECOND / 10) == 300_000));
}

#[test]
fn a_generator_that_is_late_to_its_own_end_sheds_what_it_left() {
    let mut model = Model::new(Nanos::from_millis(1));
    model.late = Nanos::from_millis(350);
    let window = seconds(0, 10);
    let (rows, _) = drive(model, steady(10), window, Nanos::ZERO);
    let late = Outcome::Shed { reason: ShedReason::Late };
    assert!(rows.iter().any(|row| row.outcome == late));
    assert_eq!(rows.iter().filter(|row| window.holds(row.due)).count(), 100);
}

#[test]
fn a_burst_is_sent_in_rounds_between_which_answers_are_read() {
    let pacer = Steady { gap: 0, count: 1000, ..steady(1) };
    let window = Window { start: Stamp::ZERO, end: None };
    // Answers are there at once: none waits until all have been sent.
    let (rows, model) = drive(Model::new(Nanos::ZERO), pacer, window, Nanos::from_secs(1));
    assert_eq!(count(&rows, window, OutcomeKind::Finished), 1000);
    assert!(model.levels.iter().all(|(_, level)| *level <= 16));
}

#[test]
fn a_stop_drains_what_is_in_flight() {
    let mut model = Model::new(Nanos::from_secs(3));
    model.stop_at = Some((Stamp(9_950_000_000), Stop::default()));
    let window = seconds(0, 60);
    let (rows, model) = drive(model, steady(10), window, Nanos::from_secs(30));
    // The last to leave was due at 9.9 s.
    assert_eq!(model.now, Stamp(12_900_000_000));
    assert_eq!(count(&rows, window, OutcomeKind::Finished), rows.len());
    assert_eq!(rows.len(), 100);
}

#[test]
fn effort_is_counted_over_the_window_as_far_as_it_was_loaded() {
    let (window, drain) = (seconds(2, 5), Nanos::from_secs(30));
    let effort = |stop_at| {
        let mut model = Model::new(Nanos::from_millis(3_000));
        model.stop_at = stop_at;
        let (_, model) = drive(model, steady(10), window, drain);
        model.effort.map(|effort| (effort.wall, effort.opened))
    };
    assert_eq!(effort(None), Some((Nanos::from_secs(3), 30)));
    let at = |millis: u64| Some((Stamp(millis * 1_000_000), Stop::default()));
    assert_eq!(effort(at(4_050)), Some((Nanos::from_millis(2_050), 21)));
    assert_eq!(effort(at(1_000)), None, "the window was never reached");
}

#[test]
fn a_dead_server_does_not_cause_a_storm() {
    let mut model = Model::new(Nanos::from_millis(10));
    model.dead_from = Stamp(SECOND);
    // One slot, closed loop in effect: the next is due at once.
    let pacer = Steady { cap: 1, ..steady(10_000) };
    let (rows, _) = drive(model, pacer, seconds(0, 2), Nanos::from_secs(1));
    let refused = rows.iter().filter(|r| r.outcome.kind() == OutcomeKind::Severed).count() as u64;
    assert!(refused <= SECOND / dispatch::REST_AFTER_CONNECT_FAILURE.0 + 10);
    assert!(refused >= 8);
}
