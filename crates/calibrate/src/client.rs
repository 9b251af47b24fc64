//! infermark's own loop as a process: dispatcher, worker and outbox on one thread, and a second
//! thread that takes the rows, as in a run.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};

use infermark_drive::priority::{Granted, prefer_latency};
use infermark_drive::{
    Batch, Capture, Carrier, Clock, Dispatcher, Endpoint, Limits, Order, Outbox, Report, Reuse,
    Roots, Route, Shared, Source, Stop, Worker, WorkerPlan, run,
};
use infermark_scenario::intent::{self, Arrivals, Bounds, RateCurve};
use infermark_schedule::{pacer, window};
use infermark_terms::{ConnectPhases, Due, Effort, Nanos, OutcomeKind, Seed, Shard, Stamp, Window};
use infermark_wire::{Api, Delivery};
use memchr::memmem;

use crate::CalibrateError;
use crate::figures::{Said, Spread};
use crate::machine::resident;
use crate::point::{Begun, Job, NUMBER};

/// The word that asks a program for this role.
pub const ROLE: &str = "drive";

/// From the clock's epoch to the load.
const LEAD: Nanos = Nanos::from_millis(5);

/// The same order each time, but for its number.
struct Same {
    bytes: Vec<u8>,
    /// Where the number is.
    number_at: usize,
    tokens: u32,
}

impl Source for Same {
    fn take(&mut self, due: Due) -> Option<Order> {
        let mut bytes = self.bytes.clone();
        let number = format!("{:0width$}", due.id.0, width = NUMBER.len());
        bytes[self.number_at..self.number_at + NUMBER.len()].copy_from_slice(number.as_bytes());
        let asked_output = Some(self.tokens);
        Some(Order {
            server: 0,
            goes_on: false,
            bytes,
            asked_input: None,
            asked_output,
            class: None,
        })
    }
}

/// Drives the load to its end, and returns what was observed.
///
/// # Errors
///
/// If the server's address does not resolve, or the system gives no event queue.
///
/// # Panics
///
/// If taking the rows does.
pub fn drive(job: &Job) -> Result<Said, CalibrateError> {
    let endpoint = Endpoint::resolve(&job.url(), &Route::of(Roots::Unverified))?;
    let plan = WorkerPlan {
        endpoints: vec![Arc::new(endpoint)],
        api: Api::Chat,
        delivery: Delivery::Streamed,
        shard: 0,
        reuse: Reuse::KeepAlive,
        streams_max: 1,
        limits: Limits {
            connect: Nanos::from_secs(10),
            header: None,
            first_token: None,
            idle: None,
            total: Nanos::from_secs(60),
        },
        retries: 0,
        capture: Capture::Nothing,
    };
    let bounds = Bounds {
        requests: None,
        duration: Some(Nanos(job.window_ns)),
        warmup: Nanos(job.load.warmup_ns),
        drain: Nanos::from_secs(60),
    };
    let bytes = job.request();
    let number_at = memmem::find(&bytes, NUMBER.as_bytes()).expect("each request has a number");
    let mut source = Same { bytes, number_at, tokens: job.load.tokens };
    let clock = Clock::start();
    let start = Stamp::ZERO + LEAD;
    let planned = window(&bounds, start);
    let pacer = pacer(&load(job), &bounds, start, Seed(1), Shard::WHOLE);
    let dispatcher = Dispatcher::new(pacer, planned, bounds.drain);
    let (full, batches) = sync_channel(8);
    let (back, used) = channel();
    let keeper = std::thread::spawn(move || keep(&batches, &back, planned));
    let _: Granted = prefer_latency();
    let lost = |source| CalibrateError::System { what: "event queue", source };
    let mut worker = Worker::new(plan, clock).map_err(lost)?;
    let shared = Shared::new(1, Stop::default());
    crate::say(&Begun { start_ns: clock.monotonic(start).0 })?;
    let outbox = Outbox::new(0, full, used);
    let _: Report = run(&mut worker, dispatcher, &mut source, outbox, &shared);
    let Effort { waits, reads, .. } = worker.effort().expect("a worker counts");
    let lost = |source| CalibrateError::System { what: "figure of this process's memory", source };
    let mut said = keeper.join().expect("the keeper does not panic").map_err(lost)?;
    for (_, sent) in &mut said.sent {
        *sent = clock.monotonic(Stamp(*sent)).0;
    }
    Ok(Said { waits, reads, ..said })
}

fn load(job: &Job) -> intent::Load {
    if job.load.streams > 0 {
        intent::Load::Closed { concurrency: job.load.streams }
    } else {
        let rate = RateCurve::Steady(job.load.rate);
        intent::Load::Open { rate, arrivals: Arrivals::Poisson, max_concurrency: None }
    }
}

/// Takes batches; keeps what belongs to the window.
fn keep(
    batches: &Receiver<(u32, Batch)>,
    back: &Sender<Batch>,
    window: Window,
) -> io::Result<Said> {
    let idle = resident()?;
    let mut loaded = idle;
    let mut kept = Batch::default();
    for (_, mut batch) in batches {
        let last = batch.chunks.last().map_or(Stamp::ZERO, |chunk| chunk.at);
        if last >= window.start {
            kept.chunks.append(&mut batch.chunks);
        } else if !batch.chunks.is_empty() {
            loaded = resident()?;
        }
        kept.requests.append(&mut batch.requests);
        batch.clear();
        drop(back.send(batch));
    }
    let mut said = judge(&kept, window);
    said.resident = (idle, loaded);
    Ok(said)
}

/// Takes percentiles over the requests due in the window.
fn judge(kept: &Batch, window: Window) -> Said {
    let mut said = Said::default();
    let mut due = std::collections::BTreeSet::new();
    let (mut ttft, mut service, mut lag) = (Vec::new(), Vec::new(), Vec::new());
    for row in kept.requests.iter().filter(|row| window.holds(row.due)) {
        let _: bool = due.insert(row.id);
        said.requests += 1;
        said.failed += u64::from(row.outcome.kind() != OutcomeKind::Finished);
        ttft.extend(row.first_token.map(|at| at.since(row.due).0));
        service.extend(row.first_token.zip(row.sent).map(|(at, sent)| at.since(sent).0));
        let connecting = row.connect.map_or(Nanos::ZERO, ConnectPhases::total);
        said.sent.extend(row.sent.map(|sent| (row.id.0, sent.0)));
        lag.extend(row.sent.map(|sent| sent.since(row.due + connecting).0));
        said.chunks += u64::from(row.chunks);
        said.coalesced += u64::from(row.coalesced);
    }
    let mut chunks: Vec<_> =
        kept.chunks.iter().filter(|chunk| due.contains(&chunk.request)).collect();
    chunks.sort_by_key(|chunk| chunk.request);
    let pairs = chunks.windows(2).filter(|pair| pair[0].request == pair[1].request);
    let gaps = pairs.filter(|pair| !pair[1].coalesced).map(|pair| pair[1].at.since(pair[0].at).0);
    said.itl = Spread::of(gaps.collect());
    said.read_delay = Spread::of(chunks.iter().map(|chunk| chunk.read_delay.0).collect());
    [said.ttft, said.service_ttft, said.lag] = [ttft, service, lag].map(Spread::of);
    said
}
