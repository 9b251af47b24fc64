//! The simplest engine: every latency is as given, whatever the load.
//!
//! Token `k` of a job that arrives at `a` with `n` input tokens appears at
//! `a + ttft + prefill·n + k·itl`, for `k` from 0. The schedule is absolute, so that a client's
//! figures can be checked against it exactly.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use infermark_terms::{Nanos, Stamp};

use crate::engine::{Engine, EngineEvent, EventKind, Gauges, Job, JobId};

/// Latencies that do not depend on load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedLatency {
    /// From arrival to the first token, for a prompt of no length.
    pub ttft: Nanos,
    /// From each token to the next.
    pub itl: Nanos,
    /// Added to `ttft` for each input token.
    pub prefill_per_token: Nanos,
}

impl Default for FixedLatency {
    fn default() -> Self {
        Self {
            ttft: Nanos::from_millis(50),
            itl: Nanos::from_millis(10),
            prefill_per_token: Nanos::ZERO,
        }
    }
}

impl FixedLatency {
    /// Returns how long after its arrival a job of `prompt_tokens` yields token `index`.
    pub fn offset(&self, prompt_tokens: u32, index: u32) -> Nanos {
        self.ttft + self.prefill_per_token * u64::from(prompt_tokens) + self.itl * u64::from(index)
    }
}

/// Why a text does not describe latencies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseLatencyError {
    /// A part is not `key=value`.
    #[error("`{part}` is not of the form `key=duration`")]
    NotAPair {
        /// The part.
        part: String,
    },
    /// A key that is not known.
    #[error("unknown key `{key}`; expected `ttft`, `itl` or `prefill`")]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// A key that appears twice.
    #[error("`{key}` is given twice")]
    Twice {
        /// The key.
        key: String,
    },
    /// A value that is no duration.
    #[error("`{value}` of `{key}` is not a duration such as `50ms` (units: ns, us, ms, s)")]
    NotADuration {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
}

impl FromStr for FixedLatency {
    type Err = ParseLatencyError;

    /// Reads what follows `sim:`, such as `ttft=50ms,itl=10ms,prefill=0.1ms`. What is not given
    /// is as in the default; nothing at all is the default.
    fn from_str(text: &str) -> Result<Self, ParseLatencyError> {
        let mut latency = Self::default();
        let mut seen = BTreeSet::new();
        if text.trim().is_empty() {
            return Ok(latency);
        }
        for part in text.split(',') {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| ParseLatencyError::NotAPair { part: part.trim().to_owned() })?;
            let (key, value) = (key.trim(), value.trim());
            let field = match key {
                "ttft" => &mut latency.ttft,
                "itl" => &mut latency.itl,
                "prefill" => &mut latency.prefill_per_token,
                _ => return Err(ParseLatencyError::UnknownKey { key: key.to_owned() }),
            };
            if !seen.insert(key) {
                return Err(ParseLatencyError::Twice { key: key.to_owned() });
            }
            *field = parse_duration(value).ok_or_else(|| ParseLatencyError::NotADuration {
                key: key.to_owned(),
                value: value.to_owned(),
            })?;
        }
        Ok(latency)
    }
}

/// The longest duration that a description may hold: beyond a day it is a slip of the pen.
const LONGEST: Nanos = Nanos::from_secs(86_400);

fn parse_duration(text: &str) -> Option<Nanos> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit_at);
    let scale = match unit {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    let span = Nanos::from_secs_f64(number.parse::<f64>().ok()? * scale);
    (span <= LONGEST).then_some(span)
}

/// An engine with fixed latencies and no limit on anything.
#[derive(Clone, Debug)]
pub struct FixedEngine {
    latency: FixedLatency,
    jobs: BTreeMap<JobId, Progress>,
    due: BTreeSet<(Stamp, JobId)>,
    gauges: Gauges,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    arrival: Stamp,
    prompt_tokens: u32,
    output_tokens: u32,
    done: u32,
}

impl FixedEngine {
    /// Returns an idle engine.
    pub fn new(latency: FixedLatency) -> Self {
        Self { latency, jobs: BTreeMap::new(), due: BTreeSet::new(), gauges: Gauges::default() }
    }

    fn next_token_of(&self, job: &Progress) -> Stamp {
        job.arrival + self.latency.offset(job.prompt_tokens, job.done)
    }
}

impl Engine for FixedEngine {
    fn submit(&mut self, now: Stamp, job: Job) {
        let progress = Progress {
            arrival: now,
            prompt_tokens: job.prompt_tokens,
            output_tokens: job.output_tokens.max(1),
            done: 0,
        };
        let first = self.due.insert((self.next_token_of(&progress), job.id));
        assert!(first && self.jobs.insert(job.id, progress).is_none(), "job names are unique");
    }

    fn abort(&mut self, _now: Stamp, id: JobId) {
        if let Some(job) = self.jobs.remove(&id) {
            let pending = self.due.remove(&(self.next_token_of(&job), id));
            assert!(pending, "a job under way always has a next token");
        }
    }

    fn next_instant(&self) -> Option<Stamp> {
        self.due.first().map(|&(at, _)| at)
    }

    fn step(&mut self, now: Stamp, events: &mut Vec<EngineEvent>) {
        while let Some(&(at, id)) = self.due.first()
            && at <= now
        {
            let _ = self.due.pop_first();
            let job = self.jobs.get_mut(&id).expect("every due token has its job");
            if job.done == 0 {
                self.gauges.prompt_tokens += u64::from(job.prompt_tokens);
                let kind = EventKind::FirstScheduled { cached_tokens: 0 };
                events.push(EngineEvent { at, id, kind });
            }
            job.done += 1;
            self.gauges.generation_tokens += 1;
            events.push(EngineEvent { at, id, kind: EventKind::Tokens { count: 1 } });
            let job = *job;
            if job.done < job.output_tokens {
                let _ = self.due.insert((self.next_token_of(&job), id));
            } else {
                let _ = self.jobs.remove(&id);
                events.push(EngineEvent { at, id, kind: EventKind::Finished });
            }
        }
    }

    fn gauges(&self) -> Gauges {
        Gauges { running: self.jobs.len() as u64, ..self.gauges }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: u64, prompt_tokens: u32, output_tokens: u32) -> Job {
        Job { id: JobId(id), prompt_tokens, output_tokens, blocks: Vec::new(), priority: 0 }
    }

    #[test]
    fn latencies_are_read_with_their_units_and_default_where_absent() {
        assert_eq!("".parse(), Ok(FixedLatency::default()));
        let given: FixedLatency = "ttft=0.2s, itl=7500us,prefill=0.1ms".parse().unwrap();
        assert_eq!(given.ttft, Nanos::from_millis(200));
        assert_eq!(given.itl, Nanos::from_micros(7_500));
        assert_eq!(given.prefill_per_token, Nanos::from_micros(100));
    }

    #[test]
    fn a_bad_description_names_the_part_at_fault() {
        let message = |text: &str| text.parse::<FixedLatency>().unwrap_err().to_string();
        assert_eq!(message("fast"), "`fast` is not of the form `key=duration`");
        assert_eq!(message("tpot=1ms"), "unknown key `tpot`; expected `ttft`, `itl` or `prefill`");
        assert_eq!(message("itl=1ms,itl=2ms"), "`itl` is given twice");
        for value in ["10", "10m", "-1ms", "1.2.3ms", "ms", "1e99s", "90000s"] {
            assert_eq!(
                message(&format!("itl={value}")),
                format!(
                    "`{value}` of `itl` is not a duration such as `50ms` (units: ns, us, ms, s)"
                )
            );
        }
    }

    #[test]
    fn tokens_appear_on_an_absolute_schedule_however_late_one_asks() {
        let latency: FixedLatency = "ttft=50ms,itl=10ms,prefill=1ms".parse().unwrap();
        let mut engine = FixedEngine::new(latency);
        engine.submit(Stamp(3), job(1, 20, 4));
        engine.submit(Stamp(5), job(2, 0, 2));
        let mut events = Vec::new();
        engine.step(Stamp(1_000_000_000), &mut events);
        for (id, arrival, prompt, count) in [(1, 3, 20, 4), (2, 5, 0, 2)] {
            let at: Vec<_> = events
                .iter()
                .filter(|e| e.id == JobId(id) && matches!(e.kind, EventKind::Tokens { .. }))
                .map(|e| e.at)
                .collect();
            let expected: Vec<_> =
                (0..count).map(|k| Stamp(arrival) + latency.offset(prompt, k)).collect();
            assert_eq!(at, expected);
        }
        assert!(events.is_sorted_by_key(|e| e.at));
        assert_eq!(engine.next_instant(), None);
        assert_eq!(engine.gauges().generation_tokens, 6);
    }

    #[test]
    fn an_aborted_job_has_no_further_events() {
        let mut engine = FixedEngine::new(FixedLatency::default());
        engine.submit(Stamp::ZERO, job(1, 1, 100));
        let mut events = Vec::new();
        engine.step(Stamp::ZERO + Nanos::from_millis(60), &mut events);
        assert_eq!(events.len(), 3);
        engine.abort(Stamp::ZERO + Nanos::from_millis(65), JobId(1));
        engine.step(Stamp::NEVER, &mut events);
        assert_eq!(events.len(), 3);
        assert_eq!(engine.gauges().running, 0);
    }
}
