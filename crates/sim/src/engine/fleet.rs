//! All replicas of a deployment behind a router: the [`Engine`] that listeners and predictions
//! drive.
//!
//! With prompts and answers apart, a job first runs on a prompt replica for one token; its KV then
//! travels, and an answer replica goes on from there.

use std::collections::BTreeMap;

use infermark_terms::{Nanos, Seed, Stamp};

use super::replica::{Part, Replica};
use super::{Engine, EngineEvent, EventKind, Gauges, Job, JobId};
use crate::deployment::{Deployment, DeploymentError, Router, Split};
use crate::model::FeedForward;

/// An engine with ground truth: every replica of a deployment, and their router.
#[derive(Clone, Debug)]
pub struct Fleet {
    replicas: Vec<Replica>,
    router: Router,
    /// How many replicas, the first ones, take requests.
    fronts: usize,
    next: usize,
    place: BTreeMap<JobId, usize>,
    /// Set where prompts and answers are computed apart.
    handover: Option<Handover>,
    told: Vec<EngineEvent>,
}

/// The way from prompt replicas to answer replicas.
#[derive(Clone, Debug)]
struct Handover {
    seconds_per_token: f64,
    /// Jobs on a prompt replica, as they were asked.
    asked: BTreeMap<JobId, Job>,
    /// KV under way, by the instant of its arrival.
    travelling: BTreeMap<(Stamp, JobId), Job>,
}

/// Seconds until the first byte of a job's KV arrives.
const HANDOVER_LATENCY: f64 = 2e-3;
/// How many more requests a replica may have before a cached prefix no longer draws others to it.
const PREFIX_IMBALANCE: usize = 16;

impl Fleet {
    /// Builds the replicas of a deployment. `seed` decides what is left to chance: which guesses
    /// of a draft are right.
    ///
    /// # Errors
    ///
    /// When a replica does not fit in its GPUs' memory, or the split is impossible.
    pub fn new(deployment: &Deployment, seed: Seed) -> Result<Self, DeploymentError> {
        let mut one = deployment.clone();
        // Data-parallel ranks of a dense model share nothing: they are replicas.
        let copies = match deployment.model.feed_forward {
            FeedForward::Dense { .. } => std::mem::replace(&mut one.parallel.data, 1),
            FeedForward::Experts { .. } => 1,
        };
        let count = deployment.parallel.replicas * copies;
        let replicas = (0..count)
            .map(|index| Replica::new(&one, seed.at(u64::from(index))))
            .collect::<Result<Vec<_>, _>>()?;
        let (fronts, handover) = match deployment.split {
            Split::Together => (replicas.len(), None),
            Split::Apart { prefill, bandwidth } => {
                let bytes = deployment.kv_bytes_per_token()
                    * deployment.kv_ways()
                    * f64::from(deployment.parallel.pipeline);
                let handover = Handover {
                    seconds_per_token: bytes / bandwidth,
                    asked: BTreeMap::new(),
                    travelling: BTreeMap::new(),
                };
                ((prefill * copies) as usize, Some(handover))
            }
        };
        Ok(Self {
            replicas,
            router: deployment.router,
            fronts,
            next: 0,
            place: BTreeMap::new(),
            handover,
            told: Vec::new(),
        })
    }

    /// Picks one of `candidates` for a job.
    fn route(&mut self, candidates: std::ops::Range<usize>, blocks: &[u64]) -> usize {
        let least = |replicas: &[Replica]| {
            candidates.clone().min_by_key(|&index| replicas[index].load()).unwrap_or(0)
        };
        match self.router {
            Router::RoundRobin => {
                self.next += 1;
                candidates.start + (self.next - 1) % candidates.len()
            }
            Router::LeastLoaded => least(&self.replicas),
            Router::PrefixAware => {
                let idlest = least(&self.replicas);
                let limit = self.replicas[idlest].load() + PREFIX_IMBALANCE;
                let best = candidates
                    .clone()
                    .filter(|&index| self.replicas[index].load() <= limit)
                    .max_by_key(|&index| {
                        let replica = &self.replicas[index];
                        (replica.found(blocks), std::cmp::Reverse(replica.load()))
                    });
                best.unwrap_or(idlest)
            }
        }
    }

    /// Steps every replica that is due at `at`, and hands over what prompt replicas finished.
    fn step_at(&mut self, at: Stamp, events: &mut Vec<EngineEvent>) {
        self.deliver(at);
        for index in 0..self.replicas.len() {
            if self.replicas[index].next_instant().is_none_or(|next| next > at) {
                continue;
            }
            self.told.clear();
            let mut told = std::mem::take(&mut self.told);
            self.replicas[index].step(at, &mut told);
            for event in &told {
                self.tell(*event, events);
            }
            self.told = told;
        }
    }

    /// Passes on an event, unless it is the end of a prompt replica's part of a job.
    fn tell(&mut self, event: EngineEvent, events: &mut Vec<EngineEvent>) {
        match event.kind {
            EventKind::Finished | EventKind::Rejected { .. } => {
                let _ = self.place.remove(&event.id);
            }
            EventKind::FirstScheduled { .. } | EventKind::Preempted | EventKind::Tokens { .. } => {}
        }
        if event.kind == EventKind::Finished
            && let Some(handover) = &mut self.handover
            && let Some(job) = handover.asked.remove(&event.id)
            && job.output_tokens > 1
        {
            let seconds =
                HANDOVER_LATENCY + handover.seconds_per_token * f64::from(job.prompt_tokens);
            let at = event.at + Nanos::from_secs_f64(seconds);
            let _ = handover.travelling.insert((at, event.id), job);
            return;
        }
        events.push(event);
    }

    /// Gives arrived KV to answer replicas.
    fn deliver(&mut self, at: Stamp) {
        while let Some(handover) = &mut self.handover
            && let Some(entry) = handover.travelling.first_entry()
            && entry.key().0 <= at
        {
            let ((arrival, id), job) = entry.remove_entry();
            let index = self.route(self.fronts..self.replicas.len(), &[]);
            let _ = self.place.insert(id, index);
            // The first token is out: the answer replica has it as the end of its prompt.
            let rest = Job {
                prompt_tokens: job.prompt_tokens + 1,
                output_tokens: job.output_tokens - 1,
                blocks: Vec::new(),
                ..job.clone()
            };
            self.replicas[index].submit(
                arrival,
                rest,
                Part::Answer { delivered: job.prompt_tokens },
            );
        }
    }
}

impl Engine for Fleet {
    fn submit(&mut self, now: Stamp, mut job: Job) {
        let index = self.route(0..self.fronts, &job.blocks);
        let _ = self.place.insert(job.id, index);
        let mut part = Part::Whole;
        if let Some(handover) = &mut self.handover {
            job.prompt_tokens = job.prompt_tokens.max(1);
            let _ = handover.asked.insert(job.id, job.clone());
            part = Part::Prompt { answer: job.output_tokens };
            job.output_tokens = 1;
        }
        self.replicas[index].submit(now, job, part);
    }

    fn abort(&mut self, now: Stamp, id: JobId) {
        if let Some(handover) = &mut self.handover {
            let _ = handover.asked.remove(&id);
            handover.travelling.retain(|&(_, other), _| other != id);
        }
        if let Some(index) = self.place.remove(&id) {
            self.replicas[index].abort(now, id);
        }
    }

    fn next_instant(&self) -> Option<Stamp> {
        let travelling = self
            .handover
            .as_ref()
            .and_then(|handover| handover.travelling.first_key_value())
            .map(|(&(at, _), _)| at);
        self.replicas.iter().filter_map(Replica::next_instant).chain(travelling).min()
    }

    fn step(&mut self, now: Stamp, events: &mut Vec<EngineEvent>) {
        while let Some(at) = self.next_instant()
            && at <= now
        {
            self.step_at(at, events);
        }
    }

    fn gauges(&self) -> Gauges {
        let mut sum = Gauges::default();
        for replica in &self.replicas {
            let one = replica.gauges();
            sum.running += one.running;
            sum.waiting += one.waiting;
            sum.kv_usage += one.kv_usage / self.replicas.len() as f64;
            sum.prompt_tokens += one.prompt_tokens;
            sum.generation_tokens += one.generation_tokens;
            sum.prefix_queries += one.prefix_queries;
            sum.prefix_hits += one.prefix_hits;
            sum.preemptions += one.preemptions;
        }
        sum
    }
}
