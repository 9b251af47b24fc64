//! One run, from the scenario to the finished record.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{channel, sync_channel};
use std::thread::{self, JoinHandle};

use infermark_drive::priority::{Granted, prefer_latency};
use infermark_drive::{
    Capture, Clock, Dispatcher, Limits, Outbox, Report, Reuse, Shared, Stop, Worker, WorkerPlan,
    keep_stamping, run as run_shard,
};
use infermark_measure::region::Regions;
use infermark_measure::{
    ArrivalLaw, ClassPlan, Client, LoadPlan, PointPlan, RateCourse, WindowPlan, WindowSearch,
};
use infermark_scenario::Resolved;
use infermark_scenario::intent::{
    Arrivals, Connections, Load, PromptSource, RateCurve, Scenario, Target, Timeouts,
    TokenizerChoice, WindowChoice,
};
use infermark_schedule::{TurnsOf, most_shards, window};
use infermark_sim::serve::Serving;
use infermark_store::{RunFile, RunWriter};
use infermark_terms::{HttpVersion, Nanos, Shard, Stamp, Window};
use infermark_wire::{Api, Delivery};
use infermark_workload::{Mix, Site, Tokenizer, Traces};
use serde_json::{Value, json};

use crate::calibration::Calibrated;
use crate::deal::Deal;
use crate::environment::{Environment, build, cpus};
use crate::feeder::{Building, Clerk, Feeder, Talk};
use crate::hub::{Shelf, localised, snapshots};
use crate::judge::{self, Measured, Plan};
use crate::physics::physics;
use crate::preflight::{self, Learned, Preflight, Usage};
use crate::price::price;
use crate::progress::{Planned, Watch};
use crate::recorder::Recorder;
use crate::target::{self, Reached};
use crate::telemetry::{Gathered, Observers};
use crate::timetable::Timetable;
use crate::{DEFINITIONS, RunError, context, limits};

/// Looks up an environment variable that holds a secret.
pub type Secrets<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// What a run needs beside its scenario.
pub struct Options<'a> {
    /// Where the record goes; must be empty or absent.
    pub dir: PathBuf,
    /// The run's name.
    pub id: String,
    /// Where secrets come from.
    pub secrets: &'a Secrets<'a>,
    /// How to stop it.
    pub stop: Stop,
    /// Where to see how it is doing.
    pub watch: Watch,
    /// Where this machine's generator is exact, where that is known.
    pub calibration: Option<Regions>,
    /// What the command has at hand.
    pub shelf: Shelf,
}

/// From the clock's epoch to the beginning of load: time for the threads to start.
const LEAD: Nanos = Nanos::from_millis(5);

/// Batches on their way to the recorder, for each shard.
const BATCHES_ON_THE_WAY: usize = 8;

/// Slots of a closed loop, and requests a second of an open one, that one thread carries before
/// another is started.
const LOAD_PER_THREAD: f64 = 256.0;

/// Orders that a shard has ready.
const ORDERS_AHEAD: (u64, u64) = (64, 4096);

/// Makes a run and measures it.
///
/// # Errors
///
/// If it cannot be made or recorded. What was recorded by then is in `options.dir`.
pub fn execute(resolved: &Resolved, options: &Options<'_>) -> Result<Measured, RunError> {
    Session::open(resolved, &options.shelf, options.secrets)?.run(resolved, options)
}

/// A target that was reached and has told how it counts, ready for one run after another.
pub struct Session {
    reached: Reached,
    learned: Learned,
    /// The scenario it was opened for, which says what was to be learned.
    scenario: Scenario,
}

impl Session {
    /// Reaches the scenario's target and learns how it counts.
    ///
    /// # Errors
    ///
    /// If this machine cannot carry the load, or the target does not answer as it should.
    pub fn open(
        resolved: &Resolved,
        shelf: &Shelf,
        secrets: &Secrets<'_>,
    ) -> Result<Self, RunError> {
        let scenario = &localised(&resolved.scenario, shelf, secrets, &mut |_| {})?;
        let _: u32 = claim(scenario)?;
        let reached = target::reach(scenario, secrets)?;
        if reached.addresses().len() > 1 {
            // Requests take turns at the addresses, so a slow one may hold more than its share.
            limits::make_room(connections_max(scenario)?, files_each(scenario) * 2)?;
        }
        let learned = preflight::learn(scenario, &reached)?;
        Ok(Self { reached, learned, scenario: resolved.scenario.clone() })
    }

    /// Says whether what was learned holds for this scenario: the target, the API and what says
    /// how lengths are counted are the same.
    pub fn suits(&self, resolved: &Resolved) -> bool {
        let kind = |scenario: &Scenario| match &scenario.workload.source {
            PromptSource::Synthetic { .. } | PromptSource::Trace { .. } => (0, None),
            PromptSource::Corpus { .. } => (1, None),
            PromptSource::File { path, layout } => (2, Some((path.clone(), layout.clone()))),
        };
        let (ours, theirs) = (&self.scenario, &resolved.scenario);
        let policy = |scenario: &Scenario| (scenario.workload.output_policy, scenario.delivery);
        // That tokenizer is a server's, and the embedded one does not outlast its run.
        if matches!(ours.target, Target::Sim(_)) && ours.tokenizer == TokenizerChoice::Server {
            return false;
        }
        (&ours.target, &ours.model, ours.api) == (&theirs.target, &theirs.model, theirs.api)
            && ours.replicas == theirs.replicas
            && (&ours.tokenizer, &ours.access) == (&theirs.tokenizer, &theirs.access)
            && ours.workload.form == theirs.workload.form
            && policy(ours) == policy(theirs)
            && kind(ours) == kind(theirs)
    }

    /// Returns what is known of the target, as a header holds it.
    pub(crate) fn target(&self) -> Value {
        json!(self.reached.report)
    }

    /// Makes a run and measures it. The scenario must be one that the session
    /// [`suits`](Self::suits); the embedded engine starts anew for each run.
    ///
    /// # Errors
    ///
    /// If it cannot be made or recorded. What was recorded by then is in `options.dir`.
    pub fn run(
        &mut self,
        resolved: &Resolved,
        options: &Options<'_>,
    ) -> Result<Measured, RunError> {
        let (scenario, traces) = (&self.local(resolved, options)?, &options.shelf.traces);
        let shards = claim(scenario)?;
        let (price, calibrated) = (price(scenario)?, calibrated(scenario, options)?);
        let timetable = Timetable::read(scenario, traces)?;
        // The kernel begins to stamp some time after it was first asked.
        let _stamping = keep_stamping();
        target::revive(&mut self.reached, scenario)?;
        let clerk = Arc::new(self.clerk(scenario, traces)?);
        let feeders = feeders(scenario, shards, &clerk, &options.stop)?;
        // Texts are kept only where the server does not count and we can.
        let Learned { ref dialect, usage, preflight, .. } = self.learned;
        let tokenizer = self.learned.tokenizer.clone();
        let tokenizer = tokenizer.filter(|t| usage == Usage::Missing && t.site() == Site::Local);
        let capture = capture(scenario, tokenizer.as_deref());
        let (api, delivery) = (dialect.api, dialect.delivery);

        let proxy = self.reached.endpoint.proxy().map(ToString::to_string);
        let environment = Environment { proxy, ..Environment::observe() };
        let mut observers = Observers::new(scenario, &self.reached)?;
        let baseline = observers.baseline();

        // The epoch: everything is ready but the record's files and the threads.
        let clock = Clock::start();
        let start = Stamp::ZERO + LEAD;
        let planned = window(&scenario.bounds, start);
        let mut plan = Plan {
            point: point_plan(scenario, &timetable, planned),
            requests: timetable.requests_max(scenario),
            stopped: None,
            engine_lateness: None,
            price,
            calibrated,
            client: None,
            preflight,
            physics: physics(scenario, &self.reached.report.model),
            shared_tokens: shared_tokens(scenario, &preflight),
            classes: class_plans(scenario),
            addresses: self.reached.addresses(),
        };
        let mut header = header(resolved, options, self.target(), &plan, &clock);
        header.environment = json!(environment);
        let snapshots = snapshots(&resolved.scenario, scenario);
        if !snapshots.is_empty() {
            header.scenario["snapshots"] = json!(snapshots);
        }
        let mut writer = RunWriter::create(&options.dir, &header)?;
        writer.append_telemetry(&baseline)?;
        let observing = observers.start(clock, scenario.metrics.interval)?;
        let gathered = observing.gathered();
        // Only the first run of a session has cost what it took to learn.
        let template_tokens = preflight.template_tokens;
        self.learned.preflight = Preflight { template_tokens, ..Preflight::default() };
        let shared = Shared::new(shards, options.stop.clone());
        let bench = Bench {
            scenario,
            timetable,
            api,
            delivery,
            capture,
            clock,
            start,
            planned,
            shared,
            gathered,
            turns: Arc::new(move |session| clerk.turns(session)),
        };
        options.watch.begin();
        let (mut writer, reports) = bench.run(&self.reached, feeders, writer, options)?;
        writer.append_telemetry(&observing.finish())?;
        writer.flush()?;
        let served = self.reached.embedded.take().map(Serving::stop);
        plan.engine_lateness = served.map(|summary| summary.lateness.p99);
        plan.stopped = reports.iter().filter_map(|report| report.stopped).min();
        plan.client = Some(client(scenario, &reports));
        options.watch.judge();
        judge::finish(writer, header, &plan, tokenizer.as_deref())
    }

    /// Returns the scenario with files in place of names on a hub, once it is known to fit the
    /// model's context.
    fn local(&self, resolved: &Resolved, options: &Options<'_>) -> Result<Scenario, RunError> {
        let (named, secrets) = (&resolved.scenario, options.secrets);
        let scenario = localised(named, &options.shelf, secrets, &mut |_| {})?;
        let template_tokens = self.learned.preflight.template_tokens;
        context::check(&scenario, &self.reached.report, template_tokens)?;
        Ok(scenario)
    }

    /// Returns who turns what is asked into the bytes that ask it.
    fn clerk(&self, scenario: &Scenario, traces: &Traces) -> Result<Clerk, RunError> {
        Ok(Clerk {
            kinds: self.learned.kinds(scenario, self.reached.report.context_tokens, traces)?,
            mix: Mix::of(&scenario.classes, scenario.seed),
            endpoints: self.reached.endpoints(),
            deal: Deal::by(&self.reached.weights()),
            headers: headers(scenario, &self.reached),
        })
    }
}

/// Returns what is kept of output texts: all of it where our tokenizer has to count, the answers
/// where sessions go on from them.
fn capture(scenario: &Scenario, tokenizer: Option<&dyn Tokenizer>) -> Capture {
    match (tokenizer.is_some(), scenario.sessions.is_some()) {
        (false, false) => Capture::Nothing,
        (true, false) => Capture::Text,
        (false, true) => Capture::Answer,
        (true, true) => Capture::TextAndAnswer,
    }
}

/// Returns the headers of the measured requests.
fn headers(scenario: &Scenario, reached: &Reached) -> Vec<(String, String)> {
    let close = ("Connection".to_owned(), "close".to_owned());
    let last = scenario.access.connections == Connections::PerRequest;
    reached.headers.fields.iter().cloned().chain(last.then_some(close)).collect()
}

/// Returns how far this machine was shown to be exact under such a load, where that is known.
fn calibrated(scenario: &Scenario, options: &Options<'_>) -> Result<Option<Calibrated>, RunError> {
    let regions = options.calibration.as_ref();
    Ok(regions.map(|regions| Calibrated::of(scenario, regions)).transpose()?.flatten())
}

/// Makes sure that this machine can carry the load, and returns how many threads it takes.
fn claim(scenario: &Scenario) -> Result<u32, RunError> {
    // While its user thinks a session may hold its connection beside those in flight.
    let held = scenario.access.connections == Connections::PerSession;
    let connections = connections_max(scenario)?;
    limits::make_room(connections.filter(|_| !held), files_each(scenario))?;
    if target::version(scenario) == HttpVersion::Http2 {
        // A server may take fewer requests on a connection than we should like.
        limits::make_room(None, files_each(scenario))?;
    }
    shards(scenario)
}

/// Returns how many descriptors a connection takes in this process.
fn files_each(scenario: &Scenario) -> u64 {
    if matches!(scenario.target, Target::Sim(_)) { 2 } else { 1 }
}

/// Returns what was seen of the generator.
fn client(scenario: &Scenario, reports: &[Report]) -> Client {
    Client {
        threads: reports.iter().filter_map(|report| report.effort).collect(),
        room_files: limits::room_files(files_each(scenario)),
        room_ports: limits::room_ports(),
    }
}

/// What all shards are started with.
struct Bench<'a> {
    scenario: &'a Scenario,
    timetable: Timetable,
    api: Api,
    delivery: Delivery,
    capture: Capture,
    clock: Clock,
    start: Stamp,
    planned: Window,
    shared: Shared,
    gathered: Gathered,
    turns: TurnsOf,
}

impl Bench<'_> {
    /// Runs every shard to its end, and returns the writer of what they recorded, and what they
    /// say of themselves.
    fn run(
        &self,
        reached: &Reached,
        feeders: Vec<(Feeder, Building)>,
        writer: RunWriter,
        options: &Options<'_>,
    ) -> Result<(RunWriter, Vec<Report>), RunError> {
        let count = feeders.len();
        let (full, batches) = sync_channel(BATCHES_ON_THE_WAY * count);
        let (back, used): (Vec<_>, Vec<_>) = (0..count).map(|_| channel()).unzip();
        let in_flight = Arc::clone(&self.shared.in_flight);
        let recorder = Recorder {
            writer,
            full: batches,
            used: back,
            veil: reached.headers.veil.clone(),
            telemetry: self.gathered.clone(),
            clock: self.clock,
            start: self.start,
            planned: Planned {
                length: self.planned.end.map(|end| end.since(self.start)),
                requests: self.scenario.bounds.requests,
            },
            stop: options.stop.clone(),
            watch: options.watch.clone(),
            in_flight: Box::new(move || in_flight.iter().map(|n| n.load(Ordering::Relaxed)).sum()),
        };
        let recording = spawn("record", move || recorder.record())?;
        let mut threads = Vec::new();
        let mut building = Vec::new();
        for (index, ((feeder, orders), used)) in (0..).zip(feeders.into_iter().zip(used)) {
            let part = Shard::new(index, count as u32).expect("each index is below their count");
            let outbox = Outbox::new(index, full.clone(), used);
            threads.push(self.start(part, reached, feeder, outbox)?);
            building.extend(orders);
        }
        drop(full);
        let shards: Vec<_> = threads.into_iter().map(join::<_, RunError>).collect();
        let (writer, written) = recording.join().expect("the recorder does not panic");
        written?;
        // Orders that cannot be made stop the shards, so their reason comes before the shards'.
        building.into_iter().try_for_each(join)?;
        Ok((writer, shards.into_iter().collect::<Result<_, _>>()?))
    }

    /// Starts one shard on a thread of its own.
    fn start(
        &self,
        part: Shard,
        reached: &Reached,
        mut feeder: Feeder,
        outbox: Outbox,
    ) -> Result<JoinHandle<Result<Report, RunError>>, RunError> {
        let Self { scenario, clock, ref shared, .. } = *self;
        let pacer = self.timetable.pacer(scenario, &self.turns, self.start, part);
        let dispatcher = Dispatcher::new(pacer, self.planned, scenario.bounds.drain);
        let plan = self.worker_plan(reached, part.index());
        let links = shared.clone();
        spawn("load", move || {
            let _: Granted = prefer_latency();
            let lost = |source| RunError::System { what: "event queue", source };
            let worker = Worker::new(plan, clock).map_err(lost);
            // The other shards must not go on without this one.
            let mut worker = worker.inspect_err(|_| links.stop.abort())?;
            Ok(run_shard(&mut worker, dispatcher, &mut feeder, outbox, &links))
        })
    }

    fn worker_plan(&self, reached: &Reached, shard: u32) -> WorkerPlan {
        let reuse = match self.scenario.access.connections {
            Connections::KeepAlive => Reuse::KeepAlive,
            Connections::PerRequest => Reuse::PerRequest,
            Connections::PerSession => Reuse::PerSession,
        };
        let Timeouts { connect, header, first_token, idle, total } = self.scenario.access.timeouts;
        WorkerPlan {
            endpoints: reached.endpoints(),
            api: self.api,
            delivery: self.delivery,
            shard,
            reuse,
            streams_max: self.scenario.access.http2_streams as usize,
            limits: Limits { connect, header, first_token, idle, total },
            retries: self.scenario.access.retries,
            capture: self.capture,
        }
    }
}

/// Starts building orders for every shard, and waits until the first of them are ready.
fn feeders(
    scenario: &Scenario,
    shards: u32,
    clerk: &Arc<Clerk>,
    stop: &Stop,
) -> Result<Vec<(Feeder, Building)>, RunError> {
    let (least, most) = ORDERS_AHEAD;
    let wanted = u64::from(in_flight_max(scenario).unwrap_or(0));
    let ahead = (wanted / u64::from(shards)).clamp(least, most);
    let total = scenario.bounds.requests.unwrap_or(u64::MAX);
    let limit = scenario.sessions.and_then(|sessions| sessions.limit);
    let total = total.min(limit.unwrap_or(u64::MAX));
    let talk = if scenario.sessions.is_some() { Talk::Sessions } else { Talk::Single };
    let start = |index| {
        let shard = Shard::new(index, shards).expect("each index is below their count");
        let first = shard.share(total).min(ahead);
        Feeder::start(clerk, talk, shard, ahead as usize, first, stop.clone())
            .map_err(|source| RunError::System { what: "thread", source })
    };
    (0..shards).map(start).collect()
}

pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, RunError> {
    let builder = thread::Builder::new().name(name.to_owned());
    builder.spawn(work).map_err(|source| RunError::System { what: "thread", source })
}

fn join<T, E>(thread: JoinHandle<Result<T, E>>) -> Result<T, RunError>
where
    RunError: From<E>,
{
    Ok(thread.join().expect("our threads do not panic")?)
}

/// Returns the most requests that can be in flight, where the load says.
pub(crate) fn in_flight_max(scenario: &Scenario) -> Option<u32> {
    let slots = most_shards(&scenario.load, &scenario.bounds);
    let requests = scenario.bounds.requests.filter(|_| scenario.bounds.warmup == Nanos::ZERO);
    let bound = requests.map_or(u32::MAX, |n| u32::try_from(n).unwrap_or(u32::MAX));
    (slots.min(bound) < u32::MAX).then_some(slots.min(bound))
}

/// Returns the most connections that it takes to carry the load, where that is known. Over HTTP/2
/// each thread fills its own, as far as the server lets it.
fn connections_max(scenario: &Scenario) -> Result<Option<u32>, RunError> {
    let shared = target::version(scenario) == HttpVersion::Http2
        && scenario.access.connections == Connections::KeepAlive;
    let Some(requests) = in_flight_max(scenario) else { return Ok(None) };
    if !shared {
        return Ok(Some(requests));
    }
    let threads = shards(scenario)?;
    Ok(Some(threads * requests.div_ceil(threads).div_ceil(scenario.access.http2_streams)))
}

/// Returns how many threads carry the load.
pub(crate) fn shards(scenario: &Scenario) -> Result<u32, RunError> {
    let slots = most_shards(&scenario.load, &scenario.bounds);
    if let Some(threads) = scenario.threads {
        return if threads <= slots {
            Ok(threads)
        } else {
            Err(RunError::Threads { threads, slots })
        };
    }
    let load = match scenario.load {
        Load::Closed { concurrency } => f64::from(concurrency),
        Load::Throughput { .. } => f64::from(slots),
        // One thread sends more than any recorded trace asks for at its own speed.
        Load::Trace { .. } => 1.0,
        Load::Open { rate, .. } => match rate {
            RateCurve::Steady(rate) => rate,
            RateCurve::Linear { from, to } | RateCurve::Exponential { from, to } => from.max(to),
        },
    };
    let wanted = (load / LOAD_PER_THREAD).ceil().max(1.0) as u32;
    Ok(wanted.min(cpus() as u32).min(slots))
}

/// Returns what it takes to measure the run.
pub(crate) fn point_plan(scenario: &Scenario, timetable: &Timetable, planned: Window) -> PointPlan {
    PointPlan {
        load: load_plan(scenario, timetable),
        window: match planned.end {
            Some(end) => WindowPlan::Span { start: planned.start, end },
            None => WindowPlan::Whole { start: planned.start },
        },
        output_policy: scenario.workload.output_policy,
        build: build(),
        gpus: scenario.gpus.as_ref().map(|gpus| gpus.count),
        slo: scenario.slo.clone(),
        search: match scenario.window {
            WindowChoice::Given => WindowSearch::Given,
            WindowChoice::Detect => WindowSearch::Detect,
        },
    }
}

fn load_plan(scenario: &Scenario, timetable: &Timetable) -> LoadPlan {
    let slots = most_shards(&scenario.load, &scenario.bounds);
    match scenario.load {
        Load::Closed { concurrency } => LoadPlan::Closed { concurrency },
        Load::Throughput { .. } => LoadPlan::Closed { concurrency: slots },
        Load::Trace { speed, .. } => timetable.plan(&scenario.bounds, speed),
        Load::Open { rate, arrivals, .. } => {
            let arrivals = match arrivals {
                Arrivals::Constant => ArrivalLaw::Constant,
                Arrivals::Poisson => ArrivalLaw::Poisson,
                Arrivals::Gamma { cv } => ArrivalLaw::Gamma { cv },
            };
            let (rate_rps, course) = match rate {
                RateCurve::Steady(rate) => (rate, RateCourse::Steady),
                RateCurve::Linear { from, to } => (f64::midpoint(from, to), RateCourse::Ramp),
                // The mean of an exponential between its ends: their logarithmic mean.
                RateCurve::Exponential { from, to } => {
                    let growth = (to / from).ln();
                    let flat = growth.abs() < 1e-9;
                    (if flat { from } else { (to - from) / growth }, RateCourse::Ramp)
                }
            };
            LoadPlan::Open { rate_rps, arrivals, course }
        }
    }
}

/// Returns what it takes to measure each class.
pub(crate) fn class_plans(scenario: &Scenario) -> Vec<ClassPlan> {
    let classes = scenario.classes.iter();
    classes.map(|class| ClassPlan { name: class.name.clone(), slo: class.slo.clone() }).collect()
}

/// Returns how many input tokens the prompts share by intent: a beginning and the chat template.
/// What a dataset's prompts, the turns of sessions and several classes share nobody knows.
fn shared_tokens(scenario: &Scenario, preflight: &Preflight) -> Option<u32> {
    let template = preflight.template_tokens.unwrap_or(0);
    if scenario.sessions.is_some() || !scenario.classes.is_empty() {
        return None;
    }
    match &scenario.workload.source {
        PromptSource::Synthetic { prefix, .. } => {
            Some(prefix.map_or(0, |prefix| prefix.tokens) + template)
        }
        PromptSource::Corpus { .. } => Some(template),
        PromptSource::Trace { .. } | PromptSource::File { .. } => None,
    }
}

/// The header of a run that begins.
fn header(
    resolved: &Resolved,
    options: &Options<'_>,
    target: Value,
    plan: &Plan,
    clock: &Clock,
) -> RunFile {
    let wall = i128::from(clock.wall_epoch_ns());
    let created = jiff::Timestamp::from_nanosecond(wall).unwrap_or_default();
    RunFile {
        id: options.id.clone(),
        created: created.to_string(),
        partial: true,
        definitions: DEFINITIONS.to_owned(),
        target,
        scenario: json!({ "values": resolved.values, "tags": resolved.tags }),
        plan: json!(plan),
        ..RunFile::default()
    }
}

#[cfg(test)]
mod tests {
    use infermark_scenario::settings::SETTINGS;
    use infermark_scenario::{Given, resolve};
    use infermark_terms::Seed;

    use super::*;

    #[test]
    fn requests_that_share_connections_take_fewer_of_them() {
        let most = |given: &[(&str, &str)]| {
            let setting = |key: &str| SETTINGS.iter().find(|setting| setting.key == key).unwrap();
            let load = [("target", "http://127.0.0.1:1"), ("threads", "2")];
            let given = load.iter().chain(given);
            let given = given.map(|(key, text)| Given::flag(setting(key), *text));
            let resolved = resolve(given.collect(), Seed(1)).unwrap();
            connections_max(&resolved.scenario).unwrap()
        };
        let (slots, two) = (("concurrency", "500"), ("http2", "yes"));
        assert_eq!(most(&[slots]), Some(500));
        // Two threads carry 250 each.
        assert_eq!(most(&[slots, two]), Some(6));
        assert_eq!(most(&[slots, two, ("http2_streams", "1")]), Some(500));
        assert_eq!(most(&[slots, two, ("connections", "per-request")]), Some(500));
        assert_eq!(most(&[("rate", "5/s"), ("duration", "10s"), two]), None);
    }
}
