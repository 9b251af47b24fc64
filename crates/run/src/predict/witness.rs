//! What is kept of a prediction while it goes: rows, chunks, the engine's state.

use infermark_measure::Telemetry;
use infermark_sim::engine::Gauges;
use infermark_sim::predict::{Figures, Summary, Watch};
use infermark_terms::{
    ChunkKind, ChunkRow, Nanos, Outcome, Phase, RequestId, RequestRow, Stamp, Window,
};

/// The most chunks that are kept, 16 bytes each. Of a longer prediction none are: ITL is then
/// absent, and rates are read off first and last tokens.
const CHUNKS_MAX: usize = 20_000_000;

/// Takes down what a prediction yields.
pub(crate) struct Witness {
    window: Window,
    drain: Nanos,
    rows: Vec<RequestRow>,
    chunks: Vec<Kept>,
    /// Chunks seen, kept or not.
    seen: usize,
    summary: Summary,
    gauges: Watched,
}

/// A chunk, as small as it goes.
#[derive(Clone, Copy)]
struct Kept {
    at: Stamp,
    request: u32,
    tokens: u32,
}

impl Witness {
    /// Returns a witness of a load with this window, whose requests may take until the drain
    /// limit after its end.
    pub(crate) fn new(window: Window, drain: Nanos) -> Self {
        Self {
            window,
            drain,
            rows: Vec::new(),
            chunks: Vec::new(),
            seen: 0,
            summary: Summary::default(),
            gauges: Watched::default(),
        }
    }

    /// Learns the engine's state at the end: its totals count to the last event where nothing
    /// else ends the window.
    pub(crate) fn close(&mut self, gauges: Gauges) {
        let end = self.rows.iter().map(|row| row.end).max();
        if let (None, Some(end)) = (self.window.end, end) {
            self.gauges.last = Some((end, gauges));
        }
    }

    /// Says of each request, by its number or its session's, which class it is of.
    pub(crate) fn classify(&mut self, class_of: impl Fn(u64) -> Option<u32>) {
        for row in &mut self.rows {
            row.class = class_of(row.turn.map_or(row.id.0, |turn| turn.session));
        }
    }

    pub(crate) fn rows(&self) -> &[RequestRow] {
        &self.rows
    }

    /// Returns the chunks, in the order of their arrival; none where there were too many.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = ChunkRow> + '_ {
        self.chunks.iter().map(|kept| ChunkRow {
            request: RequestId(u64::from(kept.request)),
            at: kept.at,
            kind: ChunkKind::Answer,
            tokens: Some(kept.tokens),
            text_bytes: 0,
            coalesced: false,
            read_delay: Nanos::ZERO,
        })
    }

    /// Returns the figures from which the simulator judges its own uncertainty.
    pub(crate) fn figures(&self) -> Option<Figures> {
        self.summary.clone().figures()
    }

    pub(crate) fn telemetry(&self) -> Telemetry {
        self.gauges.telemetry()
    }
}

impl Watch for Witness {
    fn request(&mut self, mut row: RequestRow) {
        self.summary.request(row.clone());
        if row.outcome == Outcome::Abandoned {
            // The horizon is the drain limit.
            let phase = row.first_token.map_or(Phase::FirstToken, |_| Phase::Stream);
            row.outcome = Outcome::Expired { phase, limit: self.drain };
        }
        self.rows.push(row);
    }

    fn chunk(&mut self, row: ChunkRow) {
        self.seen += 1;
        let kept = u32::try_from(row.request.0).ok().filter(|_| self.seen <= CHUNKS_MAX);
        match (kept, row.tokens) {
            (Some(request), Some(tokens)) => {
                self.chunks.push(Kept { at: row.at, request, tokens });
            }
            _ => self.chunks = Vec::new(),
        }
    }

    fn sample(&mut self, at: Stamp, gauges: Gauges) {
        self.summary.sample(at, gauges);
        if self.window.holds(at) {
            self.gauges.sample(at, gauges);
        }
    }
}

/// The engine's state and totals over the window, sampled ten times a second.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    first: Option<(Stamp, Gauges)>,
    last: Option<(Stamp, Gauges)>,
    samples: u64,
    running: u64,
    waiting: u64,
    /// Samples at which a request waited.
    queued: u64,
    waiting_max: u64,
    kv_max: f64,
}

impl Watched {
    fn sample(&mut self, at: Stamp, gauges: Gauges) {
        self.first = self.first.or(Some((at, gauges)));
        self.last = Some((at, gauges));
        self.samples += 1;
        self.running += gauges.running;
        self.waiting += gauges.waiting;
        self.queued += u64::from(gauges.waiting > 0);
        self.waiting_max = self.waiting_max.max(gauges.waiting);
        self.kv_max = self.kv_max.max(gauges.kv_usage);
    }

    fn telemetry(&self) -> Telemetry {
        let (Some((start, before)), Some((end, after))) = (self.first, self.last) else {
            return Telemetry::default();
        };
        let span = end.since(start).as_secs_f64();
        let rate = |from: u64, to: u64| (span > 0.0).then(|| (to - from) as f64 / span);
        let queries = after.prefix_queries - before.prefix_queries;
        let hits = after.prefix_hits - before.prefix_hits;
        let mean = |sum: u64| (self.samples > 0).then(|| sum as f64 / self.samples as f64);
        Telemetry {
            prompt_tokens_per_s: rate(before.prompt_tokens, after.prompt_tokens),
            generation_tokens_per_s: rate(before.generation_tokens, after.generation_tokens),
            running_mean: mean(self.running),
            waiting_share: mean(self.queued),
            waiting_mean: mean(self.waiting),
            waiting_max: Some(self.waiting_max),
            kv_usage_max: Some(self.kv_max),
            prefix_hit_rate: (queries > 0).then(|| hits as f64 / queries as f64),
            preemptions: Some(after.preemptions - before.preemptions),
            draft_acceptance: None,
        }
    }
}
