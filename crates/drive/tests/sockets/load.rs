//! Small loads, the record of what came of them, and the laws that hold for all of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use infermark_drive::{
    Batch, Capture, Carrier, Clock, Dispatcher, Endpoint, Limits, Order, Outbox, Reuse, Shared,
    Source, Stop, Worker, WorkerPlan, run,
};
use infermark_terms::{
    ChunkRow, Due, Effort, Nanos, Next, Outcome, Pacer, RequestId, RequestRow, Stamp, StampSource,
    Turn, Window,
};
use infermark_wire::{Api, Delivery};

/// Longer than any test takes: what reaches it has hung.
pub(crate) const LONG: Nanos = Nanos::from_secs(60);

/// A load, by default one streamed request with its texts captured.
pub(crate) struct Load {
    pub(crate) plan: WorkerPlan,
    pub(crate) requests: u64,
    pub(crate) slots: usize,
    /// The length of each request's body.
    pub(crate) body: usize,
    pub(crate) stop: Stop,
    /// Each request but the first waits for one of these.
    pub(crate) permits: Option<Receiver<()>>,
    pub(crate) window: Window,
}

impl Load {
    pub(crate) fn of(endpoint: Endpoint) -> Self {
        let plan = WorkerPlan {
            endpoints: vec![Arc::new(endpoint)],
            api: Api::Chat,
            delivery: Delivery::Streamed,
            shard: 0,
            reuse: Reuse::KeepAlive,
            streams_max: 100,
            limits: Limits {
                connect: LONG,
                header: None,
                first_token: None,
                idle: None,
                total: LONG,
            },
            retries: 0,
            capture: Capture::Text,
        };
        let window = Window { start: Stamp::ZERO, end: None };
        Self {
            plan,
            requests: 1,
            slots: 1,
            body: 100,
            stop: Stop::default(),
            permits: None,
            window,
        }
    }

    pub(crate) fn requests(self, requests: u64) -> Self {
        Self { requests, ..self }
    }

    pub(crate) fn slots(self, slots: usize) -> Self {
        Self { slots, ..self }
    }

    pub(crate) fn body(self, body: usize) -> Self {
        Self { body, ..self }
    }

    pub(crate) fn whole(mut self) -> Self {
        self.plan.delivery = Delivery::Whole;
        self
    }

    pub(crate) fn timeout(mut self, timeout: Nanos) -> Self {
        self.plan.limits.total = timeout;
        self
    }

    pub(crate) fn connect_timeout(mut self, timeout: Nanos) -> Self {
        self.plan.limits.connect = timeout;
        self
    }

    /// Runs to the end, and checks that every arrival has its one row.
    pub(crate) fn run(self) -> Record {
        let requests = self.requests;
        let stop = self.stop.clone();
        let record = self.run_shard(Clock::start(), &Shared::new(1, stop), 1);
        let ids = record.rows.iter().map(|row| row.id.0);
        assert!(ids.eq(0..requests), "each arrival has one row");
        record
    }

    /// Runs as one of so many shards.
    pub(crate) fn run_shard(self, clock: Clock, shared: &Shared, shards: u64) -> Record {
        let index = self.plan.shard;
        let pacer = Slots {
            free: std::iter::repeat_n(Stamp::ZERO, self.slots).collect(),
            last: Stamp::ZERO,
            next: RequestId(index.into()),
            stride: shards,
            left: self.requests,
        };
        let (path, body) = ("/v1/chat/completions", vec![b' '; self.body]);
        let bytes = self.plan.endpoints[0].request("POST", path, &[], Some(&body));
        let mut orders = Orders { bytes, permits: self.permits };
        let mut worker = Worker::new(self.plan, clock).unwrap();
        let (full, received) = sync_channel(1 << 16);
        let (_back, used) = sync_channel(1);
        let dispatcher = Dispatcher::new(Box::new(pacer), self.window, LONG);
        let outbox = Outbox::new(index, full, used);
        let report = run(&mut worker, dispatcher, &mut orders, outbox, shared);
        let record = Record {
            effort: report.effort,
            ..Record::of(received.try_iter().map(|(_, batch)| batch))
        };
        assert_eq!(report.sent + report.shed, record.rows.len() as u64);
        record.check();
        record
    }
}

/// Sends one request and waits for its row.
pub(crate) fn exchange(worker: &mut Worker, id: u64, batch: &mut Batch) {
    exchange_with(worker, id, 0, batch);
}

/// Sends one request to one of the servers and waits for its row.
pub(crate) fn exchange_with(worker: &mut Worker, id: u64, server: u32, batch: &mut Batch) {
    send(worker, Due::new(RequestId(id), worker.now()), Order { server, ..order() }, batch);
}

/// Sends one turn and waits for its row.
pub(crate) fn ask(worker: &mut Worker, turn: Option<Turn>, batch: &mut Batch) {
    send(worker, Due { turn, ..Due::new(RequestId(0), worker.now()) }, order(), batch);
}

/// Sends one turn of a session of so many, and waits for its row.
pub(crate) fn converse(worker: &mut Worker, turn: Turn, turns: u32, batch: &mut Batch) {
    let due = Due { turn: Some(turn), ..Due::new(RequestId(0), worker.now()) };
    send(worker, due, Order { goes_on: turn.index + 1 < turns, ..order() }, batch);
}

/// Returns an order, as HTTP/1.1 has it.
pub(crate) fn order() -> Order {
    let bytes = b"GET / HTTP/1.1\r\n\r\n".to_vec();
    Order { server: 0, goes_on: false, bytes, asked_input: None, asked_output: None, class: None }
}

/// Sends a request and waits for its row.
pub(crate) fn send(worker: &mut Worker, due: Due, order: Order, batch: &mut Batch) {
    worker.send(due, order);
    let known = batch.requests.len();
    while batch.requests.len() == known {
        worker.wait(Stamp::NEVER, batch);
    }
}

/// So many slots, each due again the moment it is free.
struct Slots {
    free: VecDeque<Stamp>,
    last: Stamp,
    next: RequestId,
    stride: u64,
    left: u64,
}

impl Pacer for Slots {
    fn poll(&mut self, now: Stamp) -> Next {
        let Some(&at) = self.free.front() else { return Next::AwaitCompletion };
        let at = at.max(self.last);
        match () {
            () if self.left == 0 => Next::Done,
            () if at > now => Next::Wait(at),
            () => {
                let _: Option<Stamp> = self.free.pop_front();
                let due = Due::new(self.next, at);
                (self.last, self.next.0) = (at, self.next.0 + self.stride);
                self.left -= 1;
                Next::Send(due)
            }
        }
    }

    fn completed(&mut self, _: RequestId, at: Stamp) {
        self.free.push_back(at);
    }

    fn take_held(&mut self, _: Stamp) -> Vec<Due> {
        Vec::new()
    }
}

struct Orders {
    bytes: Vec<u8>,
    permits: Option<Receiver<()>>,
}

impl Source for Orders {
    fn take(&mut self, due: Due) -> Option<Order> {
        if let Some(permits) = &self.permits
            && due.id.0 > 0
        {
            permits.try_recv().ok()?;
        }
        Some(Order {
            server: 0,
            goes_on: false,
            bytes: self.bytes.clone(),
            asked_input: Some(9),
            asked_output: Some(3),
            class: None,
        })
    }
}

/// What came of a load, in the order of ids.
pub(crate) struct Record {
    pub(crate) rows: Vec<RequestRow>,
    pub(crate) chunks: Vec<ChunkRow>,
    pub(crate) texts: BTreeMap<RequestId, String>,
    /// What it took over the window.
    pub(crate) effort: Option<Effort>,
}

impl Record {
    fn of(batches: impl Iterator<Item = Batch>) -> Self {
        let (mut rows, mut chunks, mut texts) = (Vec::new(), Vec::new(), BTreeMap::new());
        for batch in batches {
            rows.extend(batch.requests);
            chunks.extend(batch.chunks);
            for (id, text) in batch.texts {
                let other = texts.insert(id, String::from_utf8(text).unwrap());
                assert_eq!(other, None, "one text for each request");
            }
        }
        rows.sort_by_key(|row: &RequestRow| row.id);
        Self { rows, chunks, texts, effort: None }
    }

    /// Returns the one outcome.
    pub(crate) fn outcome(&self) -> &Outcome {
        assert_eq!(self.rows.len(), 1);
        &self.rows[0].outcome
    }

    /// Returns the text of a request.
    pub(crate) fn text(&self, id: u64) -> &str {
        self.texts.get(&RequestId(id)).map_or("", String::as_str)
    }

    /// Says whether every request finished.
    pub(crate) fn all_finished(&self) -> bool {
        self.rows.iter().all(|row| matches!(row.outcome, Outcome::Finished { .. }))
    }

    /// Checks what holds whatever happened.
    fn check(&self) {
        for row in &self.rows {
            let between =
                [row.connected, row.sent, row.first_byte, row.first_token, row.last_token];
            let instants: Vec<_> = [Some(row.due)]
                .into_iter()
                .chain(between)
                .chain([Some(row.end)])
                .flatten()
                .collect();
            assert!(instants.is_sorted(), "{row:?}");
            assert!(row.first_answer.is_none_or(|at| Some(at) >= row.first_token));
            assert_eq!(row.bytes > 0, row.first_byte.is_some(), "{row:?}");
            let chunks: Vec<_> = self.chunks.iter().filter(|c| c.request == row.id).collect();
            assert_eq!(chunks.len(), row.chunks as usize);
            let coalesced = chunks.iter().filter(|chunk| chunk.coalesced);
            assert_eq!(coalesced.count(), row.coalesced as usize);
            assert_eq!(chunks.first().map(|chunk| chunk.at), row.first_token);
            assert_eq!(chunks.last().map(|chunk| chunk.at), row.last_token);
            for pair in chunks.windows(2) {
                assert!(pair[0].at <= pair[1].at);
                // Coalesced chunks share their instant; a new read begins uncoalesced.
                assert!(!pair[1].coalesced || pair[0].at == pair[1].at);
            }
            assert!(chunks.first().is_none_or(|chunk| !chunk.coalesced));
            if row.stamps == StampSource::Kernel {
                let longest = row.read_delay_max.expect("kernel stamps have a delay");
                assert!(chunks.iter().all(|chunk| chunk.read_delay <= longest));
            }
        }
        let known = |id| self.rows.iter().any(|row| row.id == id);
        assert!(self.chunks.iter().all(|chunk| known(chunk.request)), "no chunk without a row");
    }
}
