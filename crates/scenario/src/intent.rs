//! What a run intends, once validated. Every combination that a value of these types can hold
//! makes sense; contradictions are refused before one exists.

use std::path::{Path, PathBuf};

pub use infermark_terms::{Api, Delivery, HttpVersion};
use infermark_terms::{Nanos, OutputPolicy, Price, Seed, Slo};

/// What one run intends.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Whom to measure.
    pub target: Target,
    /// Other servers of the same, which share the load with it.
    pub replicas: Vec<Replica>,
    /// Which model to ask for; absent: the first that the server lists.
    pub model: Option<String>,
    /// Which API to speak; absent: the first that the server answers to.
    pub api: Option<Api>,
    /// Whether answers are streamed.
    pub delivery: Delivery,
    /// When requests are due.
    pub load: Load,
    /// What makes sessions of requests; absent where each stands alone.
    pub sessions: Option<Sessions>,
    /// What ends the run, and what surrounds the measured window.
    pub bounds: Bounds,
    /// What of the load is measured.
    pub window: WindowChoice,
    /// What the deployment is asked to achieve.
    pub slo: Slo,
    /// What is asked; where there are classes, each asks its own.
    pub workload: Workload,
    /// The classes that requests, or sessions, are of; empty where all are alike.
    pub classes: Vec<Class>,
    /// How tokens are counted on this side.
    pub tokenizer: TokenizerChoice,
    /// The root of every random choice.
    pub seed: Seed,
    /// How to reach the server.
    pub access: Access,
    /// What is asked how it fares, beside the load.
    pub metrics: Metrics,
    /// How many generator threads; absent: as many as the load needs and the machine has.
    pub threads: Option<u32>,
    /// What the target runs on, where stated.
    pub gpus: Option<Gpus>,
    /// What an hour of the target costs, where stated.
    pub price: Option<Price>,
    /// A table of prices to look `gpus` up in, instead of the one that is built in.
    pub prices: Option<PathBuf>,
}

/// What a target runs on, as its user states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpus {
    /// How many, at least 1.
    pub count: u32,
    /// Which, such as `H100`.
    pub name: String,
}

/// Whom to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A server's base URL, `http://` or `https://`, without a trailing slash.
    Url(String),
    /// The embedded engine, with what follows `sim:`.
    Sim(String),
}

/// A server that shares the load with the target.
#[derive(Clone, Debug, PartialEq)]
pub struct Replica {
    /// Its base URL, as of [`Target::Url`].
    pub url: String,
    /// How many requests it gets for one of the target's, above 0 and finite.
    pub weight: f64,
}

/// When requests are due.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// Closed loop: this many slots, each sending its next request the moment the last ended.
    Closed {
        /// Slots, at least 1.
        concurrency: u32,
    },
    /// Open loop: arrivals by their own law, whatever the server does.
    Open {
        /// The rate over time.
        rate: RateCurve,
        /// The law of arrivals.
        arrivals: Arrivals,
        /// The most requests in flight; held arrivals are charged to `lag` and `Shed`.
        max_concurrency: Option<u32>,
    },
    /// As fast as it goes: with a request bound, all are due at once; otherwise as many slots
    /// as `max_concurrency` are kept full.
    Throughput {
        /// The most requests in flight. Absent: every request of a request-bounded run, else
        /// [`Load::THROUGHPUT_SLOTS`].
        max_concurrency: Option<u32>,
    },
    /// Open loop: the arrivals of a recorded trace, at its own instants.
    Trace {
        /// The trace's file.
        path: PathBuf,
        /// How many times as fast as it was recorded, above 0.
        speed: f64,
        /// The most requests in flight, as of [`Load::Open`].
        max_concurrency: Option<u32>,
    },
}

impl Load {
    /// Slots of a throughput run that is bounded by duration alone and states no cap.
    pub const THROUGHPUT_SLOTS: u32 = 512;
}

/// Conversations of several turns. Each turn says what was said and answered before, and is due
/// when the one before it was answered and its user has thought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sessions {
    /// How many turns a session has.
    pub turns: TurnCount,
    /// From the end of an answer to the next turn.
    pub think_time: ThinkTime,
    /// What a closed loop's slots hold.
    pub counted: Counted,
    /// The most sessions that begin after the warm-up.
    pub limit: Option<u64>,
}

/// How many turns a session has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TurnCount {
    /// So many; of a dataset's conversation, as many as it has at most.
    Drawn(Distribution),
    /// All that the dataset's conversation has.
    All,
}

/// The time from the end of an answer to the next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThinkTime {
    /// Always this; it may be none.
    Fixed(Nanos),
    /// Each time from `min` to `max` alike.
    Uniform {
        /// The least.
        min: Nanos,
        /// The greatest.
        max: Nanos,
    },
    /// Exponential.
    Exponential {
        /// Its mean, above zero.
        mean: Nanos,
    },
}

/// What a closed loop's slots hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Sessions: a slot waits while its user thinks.
    Sessions,
    /// Requests: while a user thinks, the slot goes to another session.
    Requests,
}

/// The offered rate over time, in requests per second, above 0 and finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RateCurve {
    /// The same throughout.
    Steady(f64),
    /// From `from` to `to` in a straight line over the measured window; `from` before it,
    /// `to` after it.
    Linear {
        /// At the window's start.
        from: f64,
        /// At the window's end.
        to: f64,
    },
    /// From `from` to `to` by equal factors in equal times, likewise.
    Exponential {
        /// At the window's start.
        from: f64,
        /// At the window's end.
        to: f64,
    },
}

/// The law of open-loop arrivals. Gaps are drawn with mean 1 and stretched by the rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrivals {
    /// Equal gaps.
    Constant,
    /// Independent exponential gaps.
    Poisson,
    /// Independent gamma gaps with this coefficient of variation (1 is Poisson, above 1 bursty).
    Gamma {
        /// Standard deviation ÷ mean of the gaps, above 0.
        cv: f64,
    },
}

/// What ends the run, and what surrounds the measured window. At least one bound is set, unless
/// the load is a trace, which ends by itself, or sessions are bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The most requests due after the warm-up.
    pub requests: Option<u64>,
    /// The length of the measured window. With `requests` too, whichever ends first.
    pub duration: Option<Nanos>,
    /// Load before the window, not measured.
    pub warmup: Nanos,
    /// How long after the window's end its requests may still take.
    pub drain: Nanos,
}

/// What of the load after the warm-up is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowChoice {
    /// All of it.
    Given,
    /// The steady stretch of it.
    Detect,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Where prompts come from.
    pub source: PromptSource,
    /// Output length; absent: the dataset's own, or as the model likes.
    pub output_tokens: Option<Distribution>,
    /// Whether the output length is an order or a limit.
    pub output_policy: OutputPolicy,
    /// Whether prompts go as text or as token ids.
    pub form: PromptForm,
}

/// A class of requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// What it is called; no two have the same name.
    pub name: String,
    /// Its share of the requests is this ÷ the sum over all classes; above 0 and finite.
    pub weight: f64,
    /// Which model to ask for; absent: the run's.
    pub model: Option<String>,
    /// What its requests ask.
    pub workload: Workload,
    /// What the deployment is asked to achieve for it.
    pub slo: Slo,
}

/// Where prompts come from.
#[derive(Clone, Debug, PartialEq)]
pub enum PromptSource {
    /// Random words, of exact length.
    Synthetic {
        /// Input length, prefix and template included.
        input_tokens: Distribution,
        /// A beginning shared between requests.
        prefix: Option<SharedPrefix>,
    },
    /// Running English text from the built-in corpus, cut to exact length.
    Corpus {
        /// Input length, template included.
        input_tokens: Distribution,
    },
    /// A dataset file, in its own order.
    File {
        /// Where it is: here, or by its name on a hub.
        path: PathBuf,
        /// How it is laid out.
        layout: FileLayout,
    },
    /// Random words, in the lengths and with the shared beginnings of a recorded trace.
    Trace {
        /// The trace's file.
        path: PathBuf,
    },
}

/// A beginning that requests share, for prefix caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedPrefix {
    /// Its length.
    pub tokens: u32,
    /// How many different ones there are, at least 1.
    pub groups: u32,
}

/// How a dataset file is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileLayout {
    /// One JSON object a line; the prompt in this key.
    Jsonl {
        /// The key.
        column: String,
    },
    /// CSV with a header line.
    Csv {
        /// The prompt's column.
        column: String,
    },
    /// Parquet.
    Parquet {
        /// The prompt's column.
        column: String,
    },
    /// ShareGPT: `[{conversations: [{from, value}]}]`; the first human turn is asked, the answer
    /// that follows gives the output length.
    ShareGpt,
    /// inference-benchmarker: `[{id, conversations: [{role, content}]}]`; the conversation up to
    /// its first assistant turn is asked.
    Conversations,
    /// Whichever of these the file's extension and keys say.
    Found {
        /// The prompt's column or key, where it has columns.
        column: String,
    },
}

/// A file of a repository on a hub, as `hf:ORG/NAME:FILE` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubName {
    /// The repository, such as `org/name`.
    pub repo: String,
    /// The branch, tag or commit.
    pub revision: String,
    /// The file in it; absent: the only one of its kind there.
    pub file: Option<String>,
}

impl HubName {
    /// What a path begins with that is a name on a hub.
    pub const SCHEME: &'static str = "hf:";

    /// Reads a path; nothing if it is a file here, or no name that a hub can have.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.to_str()?.strip_prefix(Self::SCHEME)?;
        let (repo, file) = match name.split_once(':') {
            Some((repo, file)) => (repo, Some(file)),
            None => (name, None),
        };
        let (repo, revision) = repo.split_once('@').unwrap_or((repo, "main"));
        let is_word = |word: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            !word.is_empty() && !word.starts_with('.') && word.chars().all(known)
        };
        let words = |text: &str, most| {
            let words = text.split('/');
            words.clone().count() <= most && words.clone().all(is_word)
        };
        let file_stands = file.is_none_or(|file| {
            let plain = |part: &str| !part.is_empty() && !part.starts_with('.');
            file.split('/').all(plain) && !file.contains(['\\', '?', '#', '%', ' '])
        });
        (words(repo, 2) && words(revision, 8) && file_stands).then(|| Self {
            repo: repo.to_owned(),
            revision: revision.to_owned(),
            file: file.map(str::to_owned),
        })
    }
}

/// Whether prompts go as text or as token ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptForm {
    /// Text.
    Text,
    /// Token ids; only where the API takes them.
    TokenIds,
}

/// A distribution of lengths in tokens; every draw lies within its bounds, which are ≥ 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// Always this.
    Fixed(u32),
    /// Normal, rounded, redrawn until within the bounds.
    Normal {
        /// The mean before bounding.
        mean: f64,
        /// The standard deviation before bounding.
        sd: f64,
        /// The least.
        min: u32,
        /// The greatest.
        max: u32,
    },
    /// Each length from `min` to `max` alike, both included.
    Uniform {
        /// The least.
        min: u32,
        /// The greatest.
        max: u32,
    },
    /// Lognormal, rounded, redrawn until within the bounds.
    LogNormal {
        /// The mean of the lengths themselves (not of their logarithms) before bounding.
        mean: f64,
        /// The standard deviation of the lengths themselves before bounding.
        sd: f64,
        /// The least.
        min: u32,
        /// The greatest.
        max: u32,
    },
}

/// How tokens are counted on this side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenizerChoice {
    /// A `tokenizer.json`, or a folder that holds one; or the name of a model on a hub.
    Path(PathBuf),
    /// The server's `/tokenize`.
    Server,
    /// None: lengths are calibrated on the server's own usage by a short probe.
    None,
}

/// How to reach the server. Secrets are named here, never held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Headers of every call, as given.
    pub headers: Vec<(String, HeaderValue)>,
    /// Where the bearer token is.
    pub api_key: Option<Secret>,
    /// A file of PEM certificates to trust beside the system's.
    pub ca: Option<PathBuf>,
    /// What proves us to the server.
    pub identity: Option<Identity>,
    /// Whether the server's certificate is checked.
    pub verification: Verification,
    /// Which proxy leads to the server.
    pub proxy: ProxyChoice,
    /// What becomes of a connection after its request.
    pub connections: Connections,
    /// Which version of HTTP is spoken.
    pub http: HttpVersion,
    /// The most requests side by side on a connection of HTTP/2.
    pub http2_streams: u32,
    /// How long a request may take.
    pub timeouts: Timeouts,
    /// How often a request that failed before any of its answer came is sent again.
    pub retries: u32,
}

/// Which proxy leads to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyChoice {
    /// The one that the environment names, if it does.
    Environment,
    /// None.
    Direct,
    /// The one at this URL, for all that is asked.
    Url(String),
}

/// What becomes of a connection after its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// It carries the next.
    KeepAlive,
    /// It is closed.
    PerRequest,
    /// It carries the next turn of its session.
    PerSession,
}

/// The files that prove us to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// PEM certificates: ours, and those between it and its authority.
    pub cert: PathBuf,
    /// Its private key in PEM; it may be the same file.
    pub key: PathBuf,
}

/// How long a request may take, stage by stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For connecting.
    pub connect: Nanos,
    /// From sending to the response's first byte.
    pub header: Option<Nanos>,
    /// From sending to the first chunk.
    pub first_token: Option<Nanos>,
    /// For each silence after the first chunk.
    pub idle: Option<Nanos>,
    /// From sending to the end.
    pub total: Nanos,
}

/// The value of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// As written; it will stand in records.
    Plain(String),
    /// What stands elsewhere, and in no record.
    Secret(Secret),
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// In this environment variable.
    Env(String),
    /// In this file: all of its text, without white space around it.
    File(PathBuf),
}

/// Whether the server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Against the trusted roots.
    Full,
    /// Not at all (`--insecure`); every output says so.
    Off,
}

/// Which pages of metrics are read during a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// The pages; none of them where the user wants none.
    pub pages: Vec<MetricPage>,
    /// The time from one reading to the next.
    pub interval: Nanos,
}

/// A page of metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricPage {
    /// The target's own.
    Target,
    /// At this URL.
    Url(String),
}
