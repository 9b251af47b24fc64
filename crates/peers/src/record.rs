//! What a peer would have known of a run: its requests, in seconds and as floats.
//!
//! A peer's client counts every request that it sends after its warm-up, and times it from the
//! instant of sending. So a record holds the requests due in the measured window, whatever became
//! of them, in the order in which they were due.
//!
//! Deliberately not here: how a run is stored, and infermark's own figures.

use std::collections::BTreeMap;

use infermark_measure::output_tokens;
use infermark_terms::{ChunkRow, Outcome, RequestId, RequestRow, Stamp};

/// A run as a peer's client would have known it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// What was measured, and how.
    pub facts: Facts,
    /// The requests due in the window, in the order in which they were due.
    pub requests: Vec<Request>,
}

/// What was measured, and how. What is not known is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The run's name.
    pub id: String,
    /// When the run's epoch was on the wall clock, in RFC 3339.
    pub created: String,
    /// The version of infermark that measured.
    pub version: String,
    /// The target's base URL.
    pub url: String,
    /// The model's name.
    pub model: String,
    /// The API: `chat` or `completions`.
    pub api: String,
    /// The tokenizer, as it was named.
    pub tokenizer: Option<String>,
    /// The load.
    pub load: Load,
}

/// The load, in the words that peers have for it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// The most requests in flight; absent without a limit.
    pub concurrency: Option<u32>,
    /// Arrivals per second of an open loop; absent in a closed one.
    pub rate: Option<f64>,
    /// The shape of the gamma law of the gaps, 1 for Poisson; absent without a rate.
    pub burstiness: Option<f64>,
}

/// One request. Instants are seconds since the run's epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// When the schedule said that it should leave.
    pub due: f64,
    /// When it was sent; when it was due if it never was.
    pub start: f64,
    /// When the first chunk arrived.
    pub first: Option<f64>,
    /// When the first chunk of answer text arrived.
    pub first_answer: Option<f64>,
    /// When the last chunk arrived.
    pub last: Option<f64>,
    /// When it was over.
    pub end: f64,
    /// The times between successive chunks.
    pub gaps: Vec<f64>,
    /// Chunks.
    pub chunks: u32,
    /// Input tokens by the server's count, else those asked for.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a request, as far as peers tell such things apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was answered.
    Answered,
    /// It failed, for this reason.
    Failed(String),
    /// It was cut off by the client's own end.
    Cut,
}

impl Request {
    /// Says whether it was answered.
    pub fn answered(&self) -> bool {
        self.fate == Fate::Answered
    }

    /// Returns why it was not answered; empty if it was.
    pub(crate) fn error(&self) -> String {
        match &self.fate {
            Fate::Answered => String::new(),
            Fate::Failed(why) if !why.is_empty() => why.clone(),
            Fate::Failed(_) => "failed".to_owned(),
            Fate::Cut => "cut off".to_owned(),
        }
    }

    /// Returns the seconds from sending to the first chunk.
    pub(crate) fn ttft(&self) -> Option<f64> {
        self.first.map(|first| first - self.start)
    }

    /// Returns the seconds from sending to the last chunk, or to the end of an answer that was not
    /// streamed.
    pub(crate) fn latency(&self) -> f64 {
        self.last.unwrap_or(self.end) - self.start
    }

    /// Returns the seconds per output token after the first.
    pub(crate) fn tpot(&self) -> Option<f64> {
        let (first, last) = (self.first?, self.last?);
        (self.output > 1).then(|| (last - first) / (self.output - 1) as f64)
    }
}

impl Record {
    /// Makes the record of the requests due in `[start, end)`. `chunks` come in the order of their
    /// arrival within each request; those of other requests are passed over.
    pub fn new(
        facts: Facts,
        rows: &[RequestRow],
        window: (Stamp, Stamp),
        chunks: impl IntoIterator<Item = ChunkRow>,
    ) -> Self {
        let mut due: Vec<_> =
            rows.iter().filter(|row| row.due >= window.0 && row.due < window.1).collect();
        due.sort_unstable_by_key(|row| (row.due, row.id));
        let places: BTreeMap<RequestId, usize> =
            due.iter().enumerate().map(|(place, row)| (row.id, place)).collect();
        let mut requests: Vec<_> = due.iter().map(|row| request(row)).collect();
        let mut latest: Vec<Option<Stamp>> = vec![None; requests.len()];
        for chunk in chunks {
            let Some(&place) = places.get(&chunk.request) else { continue };
            if let Some(before) = latest[place].replace(chunk.at) {
                requests[place].gaps.push(chunk.at.since(before).as_secs_f64());
            }
        }
        Self { facts, requests }
    }

    /// Returns the requests that were answered.
    pub fn answered(&self) -> impl Iterator<Item = &Request> + Clone {
        self.requests.iter().filter(|request| request.answered())
    }

    /// Returns the seconds from the first sending to the last end, of all requests.
    pub fn duration(&self) -> f64 {
        let start = self.requests.iter().map(|request| request.start).fold(f64::MAX, f64::min);
        let end = self.requests.iter().map(|request| request.end).fold(f64::MIN, f64::max);
        (end - start).max(0.0)
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Fate) -> bool) -> u64 {
        self.requests.iter().filter(|request| wanted(&request.fate)).count() as u64
    }
}

fn request(row: &RequestRow) -> Request {
    let seconds = |at: Option<Stamp>| at.map(Stamp::as_secs_f64);
    let asked = row.asked_input.map_or(0, u64::from);
    let output = u64::from(output_tokens(row).0);
    Request {
        due: row.due.as_secs_f64(),
        start: row.sent.unwrap_or(row.due).as_secs_f64(),
        first: seconds(row.first_token),
        first_answer: seconds(row.first_answer),
        last: seconds(row.last_token),
        end: row.end.as_secs_f64(),
        gaps: Vec::new(),
        chunks: row.chunks,
        input: row.usage.map_or(asked, |usage| u64::from(usage.prompt_tokens)),
        output,
        fate: fate(&row.outcome, output),
    }
}

fn fate(outcome: &Outcome, output: u64) -> Fate {
    match outcome {
        Outcome::Finished { .. } if output > 0 => Fate::Answered,
        Outcome::Finished { .. } => Fate::Failed("empty answer".to_owned()),
        Outcome::Refused { status, message } => Fate::Failed(format!("{status} {message}")),
        Outcome::Severed { phase, fault } => Fate::Failed(format!("{fault} while {phase}")),
        Outcome::Garbled { fault } => Fate::Failed(fault.to_string()),
        Outcome::Errored { message } => Fate::Failed(message.to_string()),
        Outcome::Expired { phase, limit } => Fate::Failed(format!("{limit} passed while {phase}")),
        Outcome::Shed { .. } => Fate::Failed("not sent".to_owned()),
        Outcome::Abandoned => Fate::Cut,
    }
}
