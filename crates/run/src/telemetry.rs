//! Asks servers, GPUs and this host how they fare, beside the load and on its clock.
//!
//! ```text
//!  before the load   during it                 after it
//!  baseline          every interval, in step   at once, and when the server has counted
//! ```
//!
//! Each source has a thread of its own, none of them a load thread's, so that one that hangs holds
//! up nobody.
//!
//! # Invariants
//!
//! - What could not be read is a row that says so ([`Metric::Up`] at 0), never a value.
//! - The target's headers go to the target alone.

use std::net::{IpAddr, TcpListener};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use infermark_drive::{Clock, Endpoint, Route, call};
use infermark_observe::{Host, Nvml, Reading, Value, parse, read};
use infermark_scenario::intent::{MetricPage, Scenario, Target};
use infermark_terms::{HttpVersion, Metric, Nanos, Stamp, TelemetryRow};

use crate::RunError;
use crate::load::spawn;
use crate::target::Reached;

/// How long one reading may take.
const READ_LIMIT: Nanos = Nanos::from_secs(2);

/// A server shows what it counted a moment after it answered.
const SETTLE: Duration = Duration::from_millis(100);

/// Where a target's metrics are; the second is where `trtllm-serve` has them.
const TARGET_PATHS: [&str; 2] = ["/metrics", "/prometheus/metrics"];

/// What is asked, before the load begins.
pub(crate) struct Observers(Vec<Source>);

struct Source {
    /// What its rows say as their source.
    name: String,
    reader: Reader,
}

enum Reader {
    Page(Page),
    Nvml(Nvml),
    Host(Host),
}

/// A page of metrics.
struct Page {
    endpoint: Arc<Endpoint>,
    path: &'static str,
    headers: Vec<(String, String)>,
}

/// What was read.
struct Said {
    values: Vec<Value>,
    /// Whose names they have, where an engine's.
    engine: Option<&'static str>,
}

impl From<Vec<Value>> for Said {
    fn from(values: Vec<Value>) -> Self {
        Self { values, engine: None }
    }
}

/// Why nothing was read.
struct Unread {
    why: String,
    course: Course,
}

/// Whether it may be otherwise the next time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Course {
    Passing,
    Lasting,
}

impl Observers {
    /// Finds out what there is to ask.
    pub(crate) fn new(scenario: &Scenario, reached: &Reached) -> Result<Self, RunError> {
        let mut sources = vec![Source { name: "client".to_owned(), reader: Reader::Host(Host) }];
        let here = reached.embedded.is_none() && is_here(reached.endpoint.addresses()[0].ip());
        let nvml = if here { Nvml::open() } else { None };
        sources.extend(
            nvml.map(|nvml| Source { name: "nvml".to_owned(), reader: Reader::Nvml(nvml) }),
        );
        for page in &scenario.metrics.pages {
            match page {
                MetricPage::Target => sources.extend(target_pages(reached)),
                MetricPage::Url(url) => sources.push(other_page(url, scenario, reached)?),
            }
        }
        Ok(Self(sources))
    }

    /// Asks everybody once, when the load is ready to begin: the rows bear the epoch. Who has
    /// nothing to say, now or later, is not asked again.
    pub(crate) fn baseline(&mut self) -> Vec<TelemetryRow> {
        let mut rows = Vec::new();
        self.0.retain(|source| {
            let said = source.read();
            let lasting = matches!(&said, Err(unread) if unread.course == Course::Lasting);
            rows.extend(source.rows(Stamp::ZERO, said));
            !lasting
        });
        rows
    }

    /// Goes on asking, each source on a thread of its own.
    pub(crate) fn start(self, clock: Clock, interval: Nanos) -> Result<Observing, RunError> {
        let gathered = Gathered::default();
        let mut watchers = Vec::new();
        for source in self.0 {
            let (over, quit) = channel();
            let gathered = gathered.clone();
            let thread = spawn("observe", move || {
                watch(&source, clock, interval, &quit, &gathered);
            })?;
            watchers.push((over, thread));
        }
        Ok(Observing { gathered, watchers })
    }
}

/// Rows on their way to whoever writes them.
#[derive(Clone, Default)]
pub(crate) struct Gathered(Arc<Mutex<Vec<TelemetryRow>>>);

impl Gathered {
    /// Takes what there is.
    pub(crate) fn take(&self) -> Vec<TelemetryRow> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, rows: Vec<TelemetryRow>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(rows);
    }
}

/// Everybody who is being asked. Whoever drops it lets them be.
pub(crate) struct Observing {
    gathered: Gathered,
    watchers: Vec<(Sender<()>, JoinHandle<()>)>,
}

impl Observing {
    /// Returns where the rows are.
    pub(crate) fn gathered(&self) -> Gathered {
        self.gathered.clone()
    }

    /// Asks everybody once the load is over, and once more, and returns what nobody took yet.
    pub(crate) fn finish(self) -> Vec<TelemetryRow> {
        let told = self.watchers.into_iter().map(|(over, thread)| {
            // One that has ended has panicked, which joining shows.
            let _: Option<()> = over.send(()).ok();
            thread
        });
        let threads: Vec<_> = told.collect();
        for thread in threads {
            thread.join().expect("our threads do not panic");
        }
        self.gathered.take()
    }
}

/// Asks one source in step with the clock until it is told that the load is over.
fn watch(source: &Source, clock: Clock, interval: Nanos, quit: &Receiver<()>, gathered: &Gathered) {
    let sample = || {
        let before = clock.now();
        let said = source.read();
        let middle = Stamp(before.0.midpoint(clock.now().0));
        gathered.add(source.rows(middle, said));
    };
    let mut due = Stamp::ZERO + interval;
    loop {
        let wait = due.since(clock.now());
        match quit.recv_timeout(Duration::from_nanos(wait.0)) {
            Err(RecvTimeoutError::Timeout) => {
                sample();
                // What is overdue by then is left out, so that readings stay in step.
                while due <= clock.now() {
                    due = due + interval;
                }
            }
            Ok(()) => {
                sample();
                // Nobody says more: this waits.
                let _: Option<()> = quit.recv_timeout(SETTLE).ok();
                sample();
                return;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl Source {
    fn read(&self) -> Result<Said, Unread> {
        let said = match &self.reader {
            Reader::Page(page) => page.read()?,
            Reader::Nvml(nvml) => nvml.read().into(),
            Reader::Host(host) => host.read().into(),
        };
        if said.values.is_empty() {
            let why = "none of what it says is known".to_owned();
            return Err(Unread { why, course: Course::Lasting });
        }
        Ok(said)
    }

    fn rows(&self, at: Stamp, said: Result<Said, Unread>) -> Vec<TelemetryRow> {
        let row = |metric, instance, value, detail| TelemetryRow {
            at,
            source: self.name.clone(),
            instance,
            metric,
            value,
            detail,
        };
        match said {
            Err(Unread { why, .. }) => vec![row(Metric::Up, String::new(), 0.0, why)],
            Ok(Said { values, engine }) => {
                let engine = engine.unwrap_or_default().to_owned();
                let up = row(Metric::Up, String::new(), 1.0, engine);
                let values = values.into_iter().map(|Value { metric, instance, value }| {
                    row(metric, instance, value, String::new())
                });
                [up].into_iter().chain(values).collect()
            }
        }
    }
}

impl Page {
    fn read(&self) -> Result<Said, Unread> {
        let Self { endpoint, path, headers } = self;
        let response = call(endpoint, "GET", path, headers, None, READ_LIMIT).map_err(|error| {
            let cause = std::error::Error::source(&error);
            let cause = cause.map_or(String::new(), |cause| format!(": {cause}"));
            Unread { why: format!("{error}{cause}"), course: Course::Passing }
        })?;
        let lasting = |why| Unread { why, course: Course::Lasting };
        match response.status {
            200 => {}
            status @ 500.. => {
                let why = format!("it answered {status}");
                return Err(Unread { why, course: Course::Passing });
            }
            status => return Err(lasting(format!("it answered {status}"))),
        }
        let text = String::from_utf8_lossy(&response.body);
        let samples = parse(&text).map_err(|error| lasting(error.to_string()))?;
        let Reading { engine, values } = read(&samples);
        Ok(Said { values, engine })
    }
}

/// Returns the target's own pages: one for each address of it and of those who share its load.
fn target_pages(reached: &Reached) -> Vec<Source> {
    let mut pages = Vec::new();
    for endpoint in reached.endpoints() {
        // Behind a proxy the addresses are the proxy's.
        let addresses = endpoint.addresses();
        if addresses.len() == 1 || endpoint.proxy().is_some() {
            pages.push(target_page(reached, &endpoint, &endpoint.to_string()));
            continue;
        }
        for &address in addresses {
            let one = Arc::new(Endpoint::clone(&endpoint).at(vec![address]));
            pages.push(target_page(reached, &one, &format!("{address} of {endpoint}")));
        }
    }
    pages
}

/// Returns a server's own page: the first place where there is one.
fn target_page(reached: &Reached, endpoint: &Arc<Endpoint>, name: &str) -> Source {
    let source = |path: &'static str| Source {
        name: format!("{name}{path}"),
        reader: Reader::Page(Page {
            endpoint: Arc::clone(endpoint),
            path,
            headers: reached.headers.fields.clone(),
        }),
    };
    let lacks = |page: &Source| matches!(page.read(), Err(u) if u.course == Course::Lasting);
    let [first, second] = TARGET_PATHS.map(source);
    if lacks(&first) && second.read().is_ok() { second } else { first }
}

fn other_page(url: &str, scenario: &Scenario, reached: &Reached) -> Result<Source, RunError> {
    let target = match &scenario.target {
        Target::Url(target) => Some(target),
        Target::Sim(_) => None,
    };
    let servers = target.into_iter().chain(scenario.replicas.iter().map(|replica| &replica.url));
    let own = servers.into_iter().any(|server| origin(server) == origin(url));
    // Who else serves a page may not know what the measured servers speak.
    let version = if own { reached.route.version } else { HttpVersion::Http1 };
    let route = Route { version, ..reached.route.clone() };
    let page = Page {
        endpoint: Arc::new(Endpoint::resolve(url, &route)?),
        path: "",
        headers: if own { reached.headers.fields.clone() } else { Vec::new() },
    };
    Ok(Source { name: url.to_owned(), reader: Reader::Page(page) })
}

/// Returns scheme, host and port of a URL.
fn origin(url: &str) -> &str {
    let begin = url.find("://").map_or(0, |at| at + "://".len());
    url[begin..].find('/').map_or(url, |end| &url[..begin + end])
}

/// Says whether an address is one of this machine's: only those can be listened on.
fn is_here(address: IpAddr) -> bool {
    address.is_loopback() || TcpListener::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests;
