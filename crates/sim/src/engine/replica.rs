//! One engine instance: vLLM V1's scheduler over a KV pool, timed by the cost model.
//!
//! ```text
//!  front end ─▶ waiting ─▶ running ─▶ batch in flight ─▶ tokens
//!                  ▲          │
//!                  └──────────┘ preempted: KV given up, recomputed later
//! ```
//!
//! A step first serves running sequences in their order, each with what it lacks (one token when
//! decoding, the rest of its prompt otherwise) as far as the token budget and KV blocks go, then
//! admits waiting ones. When blocks run out, the sequence that came last gives up its own.
//!
//! With pipeline stages, as many batches as stages are in flight. A stage starts a batch when it
//! is free and the batch has left the stage before. Decoding sequences are spread evenly over the
//! batches; pieces of one prompt may follow each other through the stages.
//!
//! # Invariants
//!
//! - A sequence is in exactly one of: front end, `waiting`, `running`.
//! - A sequence never computes past its last token, and emits exactly its `output` tokens.

use std::collections::{BTreeMap, VecDeque};

use infermark_terms::{Nanos, Seed, Stamp};

use super::front::FrontEnd;
use super::kv::KvPool;
use super::{EngineEvent, EventKind, Gauges, Job, JobId, RejectReason};
use crate::cost::{CostModel, PromptPiece, Work};
use crate::deployment::{
    Chunking, Deployment, DeploymentError, Limits, Policy, PrefixCache, Speculation,
};
use crate::model::ChatFormat;

/// One engine instance.
#[derive(Clone, Debug)]
pub(super) struct Replica {
    cost: CostModel,
    limits: Limits,
    speculation: Option<Speculation>,
    seed: Seed,
    front: FrontEnd,
    kv: KvPool,
    sequences: Vec<Sequence>,
    unused: Vec<u32>,
    slots: BTreeMap<JobId, u32>,
    waiting: BTreeMap<QueueKey, u32>,
    running: Vec<u32>,
    in_flight: VecDeque<Batch>,
    spare: Vec<Vec<Item>>,
    stage_free: Vec<Stamp>,
    arrivals: u64,
    /// Seconds of the front end's core for a request, and for each token of its prompt.
    request_core: (f64, f64),
    /// Seconds of the front end's core to send one token.
    token_core: f64,
    /// When the front end has sent all that it was given.
    sent_until: Stamp,
    /// What the front end has still to send, in order of time.
    outbox: VecDeque<EngineEvent>,
    /// The latest instant that anybody told us of: nothing begins before it.
    clock: Stamp,
    /// Whether the last try found nothing to schedule; a change of any kind lifts it.
    blocked: Blocked,
    totals: Gauges,
}

/// Whether there is a point in trying to form a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blocked {
    No,
    UntilChange,
}

/// Which part of a request a replica computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// Its prompt and first token; an answer of `answer` tokens is computed elsewhere.
    Prompt {
        /// The length of the answer.
        answer: u32,
    },
    /// The rest of its answer; the KV of `delivered` tokens comes with it.
    Answer {
        /// Tokens whose KV comes along.
        delivered: u32,
    },
}

/// Who goes first: lowest priority value, then the earliest.
type QueueKey = (i32, u64);

#[derive(Clone, Debug, Default)]
struct Sequence {
    id: JobId,
    key: QueueKey,
    prompt: u32,
    output: u32,
    generated: u32,
    /// Tokens whose KV is there or will be when the batches in flight end.
    computed: u32,
    /// Batches in flight that hold it.
    in_flight: u32,
    /// Blocks that it uses, the shared ones included.
    blocks: u32,
    /// How many of them, the leading ones, are shared under `hashes`.
    shared: u32,
    hashes: Vec<u64>,
    /// The most tokens that it will ever hold, wherever.
    longest: u32,
    /// Tokens whose KV comes from another replica.
    delivered: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Fresh,
    Started,
    /// Aborted while in flight: nothing more of it is told.
    Dropped,
}

#[derive(Clone, Debug)]
struct Batch {
    done: Stamp,
    items: Vec<Item>,
}

/// A batch that is being put together.
#[derive(Debug)]
struct Forming {
    /// Tokens that may still be put in.
    budget: u32,
    items: Vec<Item>,
    work: Work,
}

/// A sequence's part in a batch.
#[derive(Clone, Copy, Debug)]
struct Item {
    slot: u32,
    /// Whether a token comes of it.
    yields: Yields,
}

/// What a sequence's new tokens are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its prompt, or what it has to compute again.
    Prompt,
    /// Its next token, and guesses.
    Decode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Yields {
    Nothing,
    Tokens,
}

impl Sequence {
    fn total(&self) -> u32 {
        self.prompt + self.generated
    }
}

impl Replica {
    pub(super) fn new(deployment: &Deployment, seed: Seed) -> Result<Self, DeploymentError> {
        let memory = deployment.memory()?;
        let data = deployment.parallel.data;
        let limits = Limits {
            // Each data-parallel rank has limits of its own.
            max_num_seqs: deployment.limits.max_num_seqs.saturating_mul(data).max(1),
            max_num_batched_tokens: deployment
                .limits
                .max_num_batched_tokens
                .saturating_mul(data)
                .max(1),
            ..deployment.limits
        };
        let overhead = &deployment.overhead;
        let core = match deployment.model.chat {
            ChatFormat::Template => overhead.template_core,
            ChatFormat::Native => overhead.native_core,
        };
        Ok(Self {
            cost: CostModel::new(deployment),
            limits,
            speculation: deployment.speculation,
            seed,
            front: FrontEnd::new(overhead.request),
            request_core: (core, overhead.tokenize_core),
            kv: KvPool::new(memory.blocks),
            sequences: Vec::new(),
            unused: Vec::new(),
            slots: BTreeMap::new(),
            waiting: BTreeMap::new(),
            running: Vec::new(),
            in_flight: VecDeque::new(),
            spare: Vec::new(),
            stage_free: vec![Stamp::ZERO; deployment.parallel.pipeline as usize],
            arrivals: 0,
            token_core: overhead.token_core,
            sent_until: Stamp::ZERO,
            outbox: VecDeque::new(),
            clock: Stamp::ZERO,
            blocked: Blocked::No,
            totals: Gauges::default(),
        })
    }

    /// Takes a job that arrives at `now`. The rest of an answer skips the front end.
    pub(super) fn submit(&mut self, now: Stamp, job: Job, part: Part) {
        self.notice(now);
        self.arrivals += 1;
        let (prompt, output) = (job.prompt_tokens.max(1), job.output_tokens.max(1));
        let (answer, delivered) = match part {
            Part::Whole => (output, 0),
            Part::Prompt { answer } => (answer, 0),
            Part::Answer { delivered } => (output, delivered),
        };
        let key = match self.limits.policy {
            Policy::Fcfs => (0, self.arrivals),
            Policy::Priority => (job.priority, self.arrivals),
        };
        let mut hashes = job.blocks;
        if self.limits.prefix_cache == PrefixCache::Off {
            hashes.clear();
        }
        let sequence = Sequence {
            id: job.id,
            key,
            prompt,
            output,
            longest: prompt.saturating_add(answer),
            hashes,
            delivered,
            ..Sequence::default()
        };
        let slot = if let Some(slot) = self.unused.pop() {
            self.sequences[slot as usize] = sequence;
            slot
        } else {
            self.sequences.push(sequence);
            (self.sequences.len() - 1) as u32
        };
        let earlier = self.slots.insert(job.id, slot);
        assert!(earlier.is_none(), "job names are unique among those under way");
        if delivered > 0 {
            let _ = self.waiting.insert(key, slot);
        } else {
            let (request, token) = self.request_core;
            self.front.push(now, slot, request + token * f64::from(prompt));
        }
    }

    /// Learns that it is `now`, and that something has changed.
    fn notice(&mut self, now: Stamp) {
        self.clock = self.clock.max(now);
        self.blocked = Blocked::No;
    }

    pub(super) fn abort(&mut self, now: Stamp, id: JobId) {
        self.notice(now);
        self.outbox.retain(|event| event.id != id);
        let Some(slot) = self.slots.remove(&id) else {
            return;
        };
        let key = self.sequences[slot as usize].key;
        if self.waiting.remove(&key).is_none() {
            if let Some(place) = self.running.iter().position(|&other| other == slot) {
                let _ = self.running.remove(place);
                self.give_up_blocks(slot);
            } else {
                self.front.remove(now, slot);
            }
        }
        let sequence = &mut self.sequences[slot as usize];
        sequence.state = State::Dropped;
        if sequence.in_flight == 0 {
            self.unused.push(slot);
        }
    }

    /// Returns how many requests are here, wherever.
    pub(super) fn load(&self) -> usize {
        self.front.len() + self.waiting.len() + self.running.len()
    }

    /// Returns how many of these leading blocks are here.
    pub(super) fn found(&self, hashes: &[u64]) -> u32 {
        self.kv.found(hashes)
    }

    pub(super) fn gauges(&self) -> Gauges {
        Gauges {
            running: self.running.len() as u64,
            waiting: (self.waiting.len() + self.front.len()) as u64,
            kv_usage: f64::from(self.kv.used()) / f64::from(self.kv.total().max(1)),
            ..self.totals
        }
    }

    /// Returns when something next happens: a batch ends, a request leaves the front end, or a
    /// stage becomes free for a batch that waits for it.
    pub(super) fn next_instant(&self) -> Option<Stamp> {
        let mut next = self.front.next_instant();
        let mut consider = |at: Stamp| next = Some(next.map_or(at, |other: Stamp| other.min(at)));
        if let Some(batch) = self.in_flight.front() {
            consider(batch.done);
        }
        if let Some(event) = self.outbox.front() {
            consider(event.at);
        }
        if self.could_launch() {
            consider(self.stage_free[0].max(self.clock));
        }
        next
    }

    /// Accounts for all that happens at the instant `now`; nothing earlier is left to do.
    pub(super) fn step(&mut self, now: Stamp, events: &mut Vec<EngineEvent>) {
        self.notice(now);
        while self.in_flight.front().is_some_and(|batch| batch.done <= now) {
            let batch = self.in_flight.pop_front().expect("there is one");
            self.finish(batch);
        }
        let due = self.outbox.iter().take_while(|event| event.at <= now).count();
        events.extend(self.outbox.drain(..due));
        while let Some(slot) = self.front.pop(now) {
            self.enqueue(now, slot, events);
        }
        while self.stage_free[0] <= now && self.could_launch() {
            if !self.launch(now, events) {
                self.blocked = Blocked::UntilChange;
            }
        }
    }

    /// Whether a batch could be formed, as far as one sees without trying.
    fn could_launch(&self) -> bool {
        if self.in_flight.len() >= self.stage_free.len() || self.blocked == Blocked::UntilChange {
            return false;
        }
        if self.in_flight.is_empty() {
            return !self.running.is_empty() || !self.waiting.is_empty();
        }
        let idle = |slot: &u32| {
            let sequence = &self.sequences[*slot as usize];
            sequence.computed < sequence.total()
        };
        !self.waiting.is_empty() || self.running.iter().any(idle)
    }

    fn enqueue(&mut self, now: Stamp, slot: u32, events: &mut Vec<EngineEvent>) {
        let sequence = &self.sequences[slot as usize];
        let longest = self.kv.total().saturating_mul(self.limits.block_size);
        let longest = self.limits.max_model_len.map_or(longest, |len| len.min(longest));
        let whole = self.limits.chunked_prefill == Chunking::Whole
            && sequence.prompt > self.limits.max_num_batched_tokens;
        let full = self.limits.max_queue.is_some_and(|limit| self.waiting.len() >= limit as usize);
        let reason = if whole || sequence.longest > longest {
            RejectReason::TooLong
        } else if full {
            RejectReason::QueueFull
        } else {
            let _ = self.waiting.insert(sequence.key, slot);
            return;
        };
        events.push(EngineEvent { at: now, id: sequence.id, kind: EventKind::Rejected { reason } });
        let _ = self.slots.remove(&sequence.id);
        self.unused.push(slot);
    }

    /// Forms a batch and sends it on its way; false if there is nothing to put in.
    fn launch(&mut self, now: Stamp, events: &mut Vec<EngineEvent>) -> bool {
        let mut forming = Forming {
            budget: self.limits.max_num_batched_tokens,
            items: self.spare.pop().unwrap_or_default(),
            work: Work::default(),
        };
        if self.serve_running(now, &mut forming, events) == 0 {
            self.admit(now, &mut forming, events);
        }
        let Forming { items, work, .. } = forming;
        if items.is_empty() {
            self.spare.push(items);
            return false;
        }
        let cost = self.cost.step(&work);
        let stage = Nanos::from_secs_f64(cost.stage);
        let mut at = now;
        for free in &mut self.stage_free {
            at = at.max(*free) + stage;
            *free = at;
        }
        if self.stage_free.len() == 1 {
            at = now + Nanos::from_secs_f64(cost.total);
            self.stage_free[0] = at;
        }
        self.in_flight.push_back(Batch { done: at, items });
        true
    }

    /// Serves running sequences in their order; returns how many had to give up their blocks.
    fn serve_running(
        &mut self,
        now: Stamp,
        forming: &mut Forming,
        events: &mut Vec<EngineEvent>,
    ) -> u32 {
        let mut preempted = 0;
        let stages = self.stage_free.len();
        let mut decodes_left = self.running.len().div_ceil(stages);
        let mut place = 0;
        while place < self.running.len() && forming.budget > 0 {
            let slot = self.running[place];
            let sequence = &self.sequences[slot as usize];
            let lacking = sequence.total() - sequence.computed;
            let decoding = lacking == 1 && sequence.generated > 0;
            if lacking == 0 || (decoding && decodes_left == 0) {
                place += 1;
                continue;
            }
            let wanted = if decoding { 1 + self.proposed(sequence) } else { lacking };
            let new = wanted.min(forming.budget);
            let upto = sequence.computed + new;
            match self.secure_blocks(now, place, upto, events) {
                Secured::Yes { victims } => preempted += victims,
                Secured::No { victims } => {
                    preempted += victims;
                    break;
                }
            }
            forming.budget -= new;
            let phase = if decoding { Phase::Decode } else { Phase::Prompt };
            decodes_left -= usize::from(decoding);
            self.schedule(slot, new, phase, forming);
            place += 1;
        }
        preempted
    }

    /// Tokens that a draft proposes for this sequence: none past its end.
    fn proposed(&self, sequence: &Sequence) -> u32 {
        let left = sequence.output - sequence.generated;
        self.speculation.map_or(0, |speculation| speculation.tokens.min(left - 1))
    }

    /// Gets blocks for the running sequence at `place` up to `upto` tokens, if need be from
    /// those that came last.
    fn secure_blocks(
        &mut self,
        now: Stamp,
        place: usize,
        upto: u32,
        events: &mut Vec<EngineEvent>,
    ) -> Secured {
        let slot = self.running[place] as usize;
        let needed = upto.div_ceil(self.limits.block_size);
        let more = needed.saturating_sub(self.sequences[slot].blocks);
        let mut victims = 0;
        while !self.kv.take(more) {
            let last = self.running.len() - 1;
            if self.sequences[self.running[last] as usize].in_flight > 0 {
                return Secured::No { victims };
            }
            self.preempt_last(now, events);
            victims += 1;
            if last == place {
                return Secured::No { victims };
            }
        }
        self.sequences[slot].blocks += more;
        Secured::Yes { victims }
    }

    fn preempt_last(&mut self, now: Stamp, events: &mut Vec<EngineEvent>) {
        let slot = self.running.pop().expect("there is a running sequence");
        let block_size = self.limits.block_size;
        let kept = self.limits.prefix_cache == PrefixCache::Kept;
        let seed = self.seed;
        let sequence = &mut self.sequences[slot as usize];
        if kept {
            // What it computed can be found again if nobody needs the memory before: blocks
            // without a hash get one that nobody else has.
            let full = (sequence.computed / block_size).min(sequence.blocks) as usize;
            let own = seed.named("own blocks").at(sequence.key.1);
            while sequence.hashes.len() < full {
                sequence.hashes.push(own.at(sequence.hashes.len() as u64).0);
            }
            while (sequence.shared as usize) < full {
                self.kv.publish(sequence.hashes[sequence.shared as usize]);
                sequence.shared += 1;
            }
        }
        let (id, key) = (sequence.id, sequence.key);
        self.give_up_blocks(slot);
        let sequence = &mut self.sequences[slot as usize];
        sequence.computed = 0;
        sequence.delivered = 0;
        let _ = self.waiting.insert(key, slot);
        self.totals.preemptions += 1;
        events.push(EngineEvent { at: now, id, kind: EventKind::Preempted });
    }

    fn give_up_blocks(&mut self, slot: u32) {
        let sequence = &mut self.sequences[slot as usize];
        let shared = sequence.shared as usize;
        self.kv.release(&sequence.hashes[..shared], sequence.blocks - sequence.shared);
        sequence.blocks = 0;
        sequence.shared = 0;
    }

    /// Admits waiting sequences while budget, places and blocks last.
    fn admit(&mut self, now: Stamp, forming: &mut Forming, events: &mut Vec<EngineEvent>) {
        while forming.budget > 0 && self.running.len() < self.limits.max_num_seqs as usize {
            let Some((&key, &slot)) = self.waiting.first_key_value() else {
                break;
            };
            let sequence = &self.sequences[slot as usize];
            let block_size = self.limits.block_size;
            // The last token is always computed: its logits are needed.
            let usable = (sequence.total() - 1) / block_size;
            let hashes = &sequence.hashes[..sequence.hashes.len().min(usable as usize)];
            let found = self.kv.found(hashes);
            let cached = (found * block_size).max(sequence.delivered.min(sequence.total() - 1));
            let lacking = sequence.total() - cached;
            let new = lacking.min(forming.budget);
            if new < lacking && self.limits.chunked_prefill == Chunking::Whole {
                break;
            }
            let more = (cached + new).div_ceil(block_size) - found;
            if !self.kv.could_take(more, &hashes[..found as usize]) {
                break;
            }
            self.kv.acquire(&hashes[..found as usize]);
            let taken = self.kv.take(more);
            assert!(taken, "there was room for them");
            let _ = self.waiting.remove(&key);
            let sequence = &mut self.sequences[slot as usize];
            sequence.computed = cached;
            sequence.shared = found;
            sequence.blocks = found + more;
            self.start(now, slot, events);
            forming.budget -= new;
            self.schedule(slot, new, Phase::Prompt, forming);
        }
    }

    /// Moves a sequence that has its blocks into the running batch.
    fn start(&mut self, now: Stamp, slot: u32, events: &mut Vec<EngineEvent>) {
        let sequence = &mut self.sequences[slot as usize];
        let cached = sequence.computed;
        if sequence.state == State::Fresh {
            sequence.state = State::Started;
            if sequence.delivered == 0 {
                self.totals.prompt_tokens += u64::from(sequence.prompt);
                if self.limits.prefix_cache == PrefixCache::Kept {
                    self.totals.prefix_queries += u64::from(sequence.prompt);
                    self.totals.prefix_hits += u64::from(cached);
                }
                let kind = EventKind::FirstScheduled { cached_tokens: cached };
                events.push(EngineEvent { at: now, id: sequence.id, kind });
            }
        }
        let key = sequence.key;
        match self.limits.policy {
            Policy::Fcfs => self.running.push(slot),
            Policy::Priority => {
                let sequences = &self.sequences;
                let place =
                    self.running.partition_point(|&other| sequences[other as usize].key <= key);
                self.running.insert(place, slot);
            }
        }
    }

    /// Puts `new` tokens of a sequence into the batch.
    fn schedule(&mut self, slot: u32, new: u32, phase: Phase, forming: &mut Forming) {
        let window = self.cost.window();
        let sequence = &mut self.sequences[slot as usize];
        let context = sequence.computed;
        sequence.computed += new;
        sequence.in_flight += 1;
        let whole = sequence.computed >= sequence.total();
        match phase {
            Phase::Decode => forming.work.add_decode(new, context, window),
            Phase::Prompt if whole => {
                forming.work.add_prompt(new, context, window, PromptPiece::Last);
            }
            Phase::Prompt => forming.work.add_prompt(new, context, window, PromptPiece::Inner),
        }
        forming
            .items
            .push(Item { slot, yields: if whole { Yields::Tokens } else { Yields::Nothing } });
        // Blocks that fill up with this step can be found from now on.
        let full = (sequence.computed.min(sequence.total()) / self.limits.block_size) as usize;
        let full = full.min(sequence.hashes.len());
        while (sequence.shared as usize) < full {
            self.kv.publish(sequence.hashes[sequence.shared as usize]);
            sequence.shared += 1;
        }
    }

    /// Ends a batch and hands its tokens to the front end, which sends them when its core has
    /// worked through them.
    fn finish(&mut self, batch: Batch) {
        let mut ended = false;
        let mut tokens = 0;
        let given = self.outbox.len();
        for item in &batch.items {
            let accepted = match item.yields {
                Yields::Tokens => self.accepted(item.slot),
                Yields::Nothing => 0,
            };
            let sequence = &mut self.sequences[item.slot as usize];
            sequence.in_flight -= 1;
            if sequence.state == State::Dropped {
                if sequence.in_flight == 0 {
                    self.unused.push(item.slot);
                }
                continue;
            }
            if accepted == 0 {
                continue;
            }
            sequence.generated += accepted;
            // Of the checked tokens, those not accepted were computed in vain.
            sequence.computed = sequence.total() - 1;
            self.totals.generation_tokens += u64::from(accepted);
            tokens += accepted;
            let (at, id) = (batch.done, sequence.id);
            self.outbox.push_back(EngineEvent {
                at,
                id,
                kind: EventKind::Tokens { count: accepted },
            });
            if sequence.generated >= sequence.output {
                self.outbox.push_back(EngineEvent { at, id, kind: EventKind::Finished });
                ended = true;
            }
        }
        let sending = Nanos::from_secs_f64(f64::from(tokens) * self.token_core);
        self.sent_until = self.sent_until.max(batch.done) + sending;
        for event in self.outbox.range_mut(given..) {
            event.at = self.sent_until;
        }
        if ended {
            self.remove_ended(&batch.items);
        }
        let mut items = batch.items;
        items.clear();
        self.spare.push(items);
    }

    /// How many tokens a sequence gains: one, and with speculation those accepted in a row.
    fn accepted(&self, slot: u32) -> u32 {
        let sequence = &self.sequences[slot as usize];
        let checked = sequence.computed.saturating_sub(sequence.total());
        let Some(speculation) = self.speculation else {
            return 1;
        };
        let draws = self.seed.named("accept").at(sequence.key.1).at(u64::from(sequence.generated));
        let lucky = |index: u32| draws.at(u64::from(index)).unit() < speculation.acceptance;
        1 + (0..checked).take_while(|&index| lucky(index)).count() as u32
    }

    fn remove_ended(&mut self, items: &[Item]) {
        for item in items {
            let sequence = &self.sequences[item.slot as usize];
            if sequence.state == State::Started && sequence.generated >= sequence.output {
                let _ = self.slots.remove(&sequence.id);
                self.give_up_blocks(item.slot);
                self.unused.push(item.slot);
            }
        }
        let sequences = &self.sequences;
        self.running.retain(|&slot| {
            let sequence = &sequences[slot as usize];
            sequence.generated < sequence.output
        });
    }
}

/// Whether blocks could be got, and how many sequences gave up theirs.
enum Secured {
    Yes { victims: u32 },
    No { victims: u32 },
}
