//! One pass over the chunks: the gaps between them, and when their tokens arrived.
//!
//! # Coalesced chunks
//!
//! Chunks that one read returned share an instant, so the gaps between them are not
//! observations. What one observed gap brought is then the whole read: its tokens are those of
//! the chunk that ends the gap and of all that are coalesced with it.
//!
//! ```text
//!  chunk     A         B C        D
//!  instant   0        30 30      40 ms
//!  icl            30        10          two gaps; B–C is none
//!  itl          30/(B+C)   10/D         weighted by B+C and by D
//! ```

use std::collections::BTreeMap;

use infermark_terms::{ChunkRow, Nanos, RequestRow, Stamp, StampSource};

use crate::batches::batch_of;
use crate::figures::{TokenSource, output_tokens};
use crate::parts::turn_slot;
use crate::pool::Pool;
use crate::population::{Population, Roster};
use crate::span::Span;

/// What the chunks of a run say.
pub(crate) struct Streams {
    by_place: Vec<Stream>,
    /// Gaps of the successes that were due in the window.
    pub(crate) gaps: Pool,
    /// Those of each turn; of a run without sessions none.
    pub(crate) turns: Vec<Pool>,
    /// Delays between the kernel's stamp and ours, of each read of a request due in the window.
    pub(crate) delays: Pool,
    /// Tokens of chunks whose request has no row, as in the record of a run that was killed.
    pub(crate) orphans: Orphans,
}

/// Tokens of chunks without a request row; a chunk of unknown tokens counts as one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Orphans {
    pub(crate) in_window: u64,
    pub(crate) in_run: u64,
}

impl Streams {
    /// Reads all chunks. Those of one request come in the order of their arrival.
    pub(crate) fn read(
        roster: &Roster<'_>,
        population: &Population<'_>,
        window: Span,
        chunks: impl IntoIterator<Item = ChunkRow>,
    ) -> Self {
        let mut all = Self {
            by_place: roster.rows().iter().map(|row| Stream::new(row)).collect(),
            gaps: Pool::default(),
            turns: Vec::new(),
            delays: Pool::default(),
            orphans: Orphans::default(),
        };
        for (index, member) in population.members().iter().enumerate() {
            let stream = &mut all.by_place[member.place];
            stream.batch = population.batch(index);
            stream.part = if member.failure.is_none() { Part::Success } else { Part::Failure };
        }
        all.tell_turns_apart(population);
        for chunk in chunks {
            all.take(roster, &chunk, window);
        }
        all.close(roster);
        all
    }

    /// Gives each turn a pool, all of them together as large as the one of all gaps, and each of
    /// its requests a batch among its own.
    fn tell_turns_apart(&mut self, population: &Population<'_>) {
        let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
        for slot in population.members().iter().filter_map(|member| turn_slot(member.row)) {
            *sizes.entry(slot).or_insert(0) += 1;
        }
        let pools = sizes.last_key_value().map_or(0, |(last, _)| last + 1);
        self.turns = (0..pools).map(|_| Pool::one_of(pools)).collect();
        let mut seen = vec![0; pools];
        for member in population.members() {
            if let Some(slot) = turn_slot(member.row) {
                self.by_place[member.place].turn = Some((slot, batch_of(seen[slot], sizes[&slot])));
                seen[slot] += 1;
            }
        }
    }

    fn take(&mut self, roster: &Roster<'_>, chunk: &ChunkRow, window: Span) {
        let Some(place) = roster.place(chunk.request) else {
            let tokens = u64::from(chunk.tokens.unwrap_or(1));
            self.orphans.in_run += tokens;
            self.orphans.in_window += if window.contains(chunk.at) { tokens } else { 0 };
            return;
        };
        let stream = &mut self.by_place[place];
        stream.observe_delay(chunk, &mut self.delays);
        stream.observe_gap(chunk, &mut self.gaps, &mut self.turns);
        stream.credit(chunk, window);
        stream.seen += 1;
        stream.last = chunk.at;
    }

    /// Closes the last gap of each stream, and takes the delays of the responses whose chunks
    /// have no rows: there the longest of each is all that is known.
    fn close(&mut self, roster: &Roster<'_>) {
        for (stream, row) in self.by_place.iter_mut().zip(roster.rows()) {
            stream.close_gap(&mut self.gaps, &mut self.turns);
            if stream.longest.is_some() && stream.part == Part::Success {
                self.gaps.count_request();
                if let Some((slot, _)) = stream.turn {
                    self.turns[slot].count_request();
                }
            }
            if stream.part == Part::Outside || !stream.kernel {
                continue;
            }
            if stream.seen > 0 {
                self.delays.count_request();
            } else if let Some(delay) = row.read_delay_max {
                self.delays.push(delay.0, 1, stream.batch);
                self.delays.count_request();
            }
        }
    }

    /// "`stall`: the longest gap: averages hide stalls" (docs/metrics.md, section 3).
    pub(crate) fn stall(&self, place: usize) -> Option<Nanos> {
        self.by_place[place].longest
    }

    /// Returns the output tokens of all requests that arrived in the window.
    pub(crate) fn tokens_in(&self, roster: &Roster<'_>, window: Span) -> f64 {
        let credited: f64 = self
            .by_place
            .iter()
            .zip(roster.rows())
            .map(|(stream, row)| stream.tokens_in(row, window))
            .sum();
        credited + self.orphans.in_window as f64
    }
}

/// What a request is to the population.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Not due in the window.
    Outside,
    Success,
    Failure,
}

/// What is known of one request's chunks so far.
#[derive(Clone, Debug)]
struct Stream {
    part: Part,
    batch: u8,
    /// Of a turn, its pool and its batch there.
    turn: Option<(usize, u8)>,
    /// Whether arrival instants are the kernel's, so that delays are known.
    kernel: bool,
    unstated: Unstated,
    /// Who counted the output. Tokens of chunks that our tokenizer counted are estimates: good
    /// for rates, not for gaps.
    source: TokenSource,
    /// Whether the tokens of all chunks so far are known.
    counted: bool,
    seen: u32,
    last: Stamp,
    open: Option<OpenGap>,
    longest: Option<Nanos>,
    /// All chunks so far.
    arrived: Arrived,
    /// Those that arrived in the window.
    arrived_within: Arrived,
}

/// What a chunk that does not say its tokens is taken to carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unstated {
    /// One token: the whole output was counted, and has as many tokens as chunks.
    One,
    /// One token, for want of any count: the chunks are what was counted.
    Stopgap,
    /// An unknown number of tokens.
    Unknown,
}

/// Chunks that have arrived.
#[derive(Clone, Copy, Debug, Default)]
struct Arrived {
    /// Tokens of the chunks whose tokens are known.
    tokens: u64,
    /// The other chunks.
    uncounted: u32,
    /// Their bytes of text.
    uncounted_bytes: u64,
}

impl Arrived {
    fn add(&mut self, tokens: Option<u32>, text_bytes: u32) {
        self.tokens += u64::from(tokens.unwrap_or(0));
        if tokens.is_none() {
            self.uncounted += 1;
            self.uncounted_bytes += u64::from(text_bytes);
        }
    }
}

/// A gap that has ended, while chunks that share the instant of its end may still come.
#[derive(Clone, Copy, Debug)]
struct OpenGap {
    length: Nanos,
    tokens: u64,
}

impl Stream {
    fn new(row: &RequestRow) -> Self {
        let (tokens, source) = output_tokens(row);
        Self {
            part: Part::Outside,
            batch: 0,
            turn: None,
            kernel: row.stamps == StampSource::Kernel,
            unstated: if source == TokenSource::Chunks {
                Unstated::Stopgap
            } else if tokens == row.chunks {
                Unstated::One
            } else {
                Unstated::Unknown
            },
            source,
            counted: true,
            seen: 0,
            last: Stamp::ZERO,
            open: None,
            longest: None,
            arrived: Arrived::default(),
            arrived_within: Arrived::default(),
        }
    }

    /// A read that returned several chunks is one observation.
    fn observe_delay(&self, chunk: &ChunkRow, delays: &mut Pool) {
        if self.part != Part::Outside && self.kernel && !chunk.coalesced {
            delays.push(chunk.read_delay.0, 1, self.batch);
        }
    }

    /// "`icl`: each gap between successive, non-coalesced chunks." (docs/metrics.md, section 3)
    fn observe_gap(&mut self, chunk: &ChunkRow, gaps: &mut Pool, turns: &mut [Pool]) {
        if self.part != Part::Success {
            return;
        }
        let known = chunk.tokens.filter(|_| self.source != TokenSource::Tokenized);
        let tokens = known.or((self.unstated == Unstated::One).then_some(1));
        let shares_read = chunk.coalesced || self.seen == 0;
        if !shares_read {
            self.close_gap(gaps, turns);
            let length = chunk.at.since(self.last);
            self.longest = self.longest.max(Some(length));
            self.open = Some(OpenGap { length, tokens: 0 });
        }
        self.counted &= tokens.is_some();
        if let Some(gap) = &mut self.open {
            gap.tokens += u64::from(tokens.unwrap_or(0));
        }
    }

    /// "`itl`: only when chunk tokens are `known`, or every chunk is one token" (docs/metrics.md,
    /// section 3): after a chunk of unknown tokens, later counts may include some of its own, so
    /// no later gap of the request has a known number of tokens.
    fn close_gap(&mut self, gaps: &mut Pool, turns: &mut [Pool]) {
        if let Some(gap) = self.open.take() {
            let tokens = if self.counted { gap.tokens } else { 0 };
            gaps.push(gap.length.0, tokens, self.batch);
            if let Some((slot, batch)) = self.turn {
                turns[slot].push(gap.length.0, tokens, batch);
            }
        }
    }

    fn credit(&mut self, chunk: &ChunkRow, window: Span) {
        let tokens = chunk.tokens.or((self.unstated != Unstated::Unknown).then_some(1));
        self.arrived.add(tokens, chunk.text_bytes);
        if window.contains(chunk.at) {
            self.arrived_within.add(tokens, chunk.text_bytes);
        }
    }

    /// "output tokens/s = tokens of chunks that arrived in the window ÷ (w1 − w0), whichever
    /// request they belong to" (docs/metrics.md, section 4): returns this request's.
    ///
    /// Known tokens are credited as they arrived. The rest is spread over the other chunks by
    /// their bytes of text: an estimate. Tokens for which there is no chunk (a stop token without
    /// text; an answer that was not streamed) are credited at `end`, when the server had told of
    /// them. Where the record holds not all chunks, the tokens are spread evenly from the first
    /// to the last: an estimate too.
    fn tokens_in(&self, row: &RequestRow, window: Span) -> f64 {
        let tokens = u64::from(output_tokens(row).0);
        if let (Some(start), Some(end), true) =
            (row.first_token, row.last_token, self.seen != row.chunks)
        {
            return tokens as f64 * share_within(Span { start, end }, window);
        }
        let (all, within) = (self.arrived, self.arrived_within);
        let rest = tokens.saturating_sub(all.tokens) as f64;
        let share = if all.uncounted_bytes > 0 {
            within.uncounted_bytes as f64 / all.uncounted_bytes as f64
        } else if all.uncounted > 0 {
            f64::from(within.uncounted) / f64::from(all.uncounted)
        } else {
            share_within(Span { start: row.end, end: row.end }, window)
        };
        within.tokens as f64 + rest * share
    }
}

/// Returns the share of a span that lies within the window; an empty span is an instant.
fn share_within(span: Span, window: Span) -> f64 {
    match span.nanos() {
        0 => f64::from(u8::from(window.contains(span.start))),
        length => span.overlap(window).nanos() as f64 / length as f64,
    }
}
