//! The course of a run, in bins of equal length.

use infermark_terms::{ChunkRow, Nanos, Outcome, RequestRow, Stamp};
use serde::Serialize;

use super::BINS_MAX;
use super::histogram::Histogram;
use crate::figures::{is_finished, output_tokens, ttft};
use crate::population::Roster;
use crate::span::Span;

/// The lengths that a bin can have, in milliseconds: those that a reader counts in.
const LENGTHS_MS: [u64; 17] = [
    100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000,
    1_200_000, 1_800_000, 3_600_000, 7_200_000,
];

/// The most bins that are shorter than a second: many short ones would show noise.
const FINE_BINS_MAX: usize = 40;

/// The course of the whole run, from the first `due` to the last `end`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Timeline {
    /// Where the first bin begins, in seconds since the run's epoch.
    pub start_s: f64,
    /// How long a bin is, in seconds.
    pub bin_s: f64,
    /// One after another.
    pub bins: Vec<Bin>,
}

/// What happened in one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Bin {
    /// Requests that were due.
    pub due: u64,
    /// Requests that finished.
    pub finished: u64,
    /// Requests that ended otherwise, but for those that we abandoned at the run's end.
    pub failed: u64,
    /// Tokens of the prompts whose first token came, by the server's count.
    pub input_tokens: u64,
    /// Of these, tokens from a prefix cache, where the server says.
    pub cached_tokens: Option<u64>,
    /// Output tokens that arrived.
    pub output_tokens: f64,
    /// Requests in flight: the time average.
    pub in_flight: f64,
    /// TTFT of the requests that were due: the median, in milliseconds.
    pub ttft_p50_ms: Option<f64>,
    /// Likewise the 99th percentile, or the greatest of fewer than a hundred.
    pub ttft_p99_ms: Option<f64>,
    /// Gaps between chunks that ended: the median, in milliseconds.
    pub gap_p50_ms: Option<f64>,
    /// Likewise the 99th percentile, or the greatest of fewer than a hundred.
    pub gap_p99_ms: Option<f64>,
}

/// A timeline under construction.
pub(crate) struct Sketch<'a> {
    roster: &'a Roster<'a>,
    grid: Grid,
    bins: Vec<Bin>,
    gaps: Vec<Histogram>,
    /// When the last chunk of each request came, by its place in the roster.
    last: Vec<Option<Stamp>>,
}

/// Which instant falls into which bin.
#[derive(Clone, Copy)]
struct Grid {
    start: Stamp,
    bin: Nanos,
    count: usize,
}

impl Grid {
    /// Lays the shortest bins over the span of which [`BINS_MAX`] suffice.
    fn over(span: Span) -> Self {
        let enough = |ms: &&u64| {
            let bin = Nanos::from_millis(**ms).0;
            let most = if bin < 1_000_000_000 { FINE_BINS_MAX } else { BINS_MAX };
            span.end.0.div_ceil(bin) - span.start.0 / bin <= most as u64
        };
        let longest = LENGTHS_MS[LENGTHS_MS.len() - 1];
        let reach = Nanos::from_millis(longest).0 * (BINS_MAX as u64 - 1);
        let coarse = || longest * span.nanos().div_ceil(reach);
        let ms = LENGTHS_MS.iter().find(enough).copied().unwrap_or_else(coarse);
        let bin = Nanos::from_millis(ms);
        let start = Stamp(span.start.0 / bin.0 * bin.0);
        let count = (span.end.0.div_ceil(bin.0) - start.0 / bin.0).clamp(1, BINS_MAX as u64);
        Self { start, bin, count: count as usize }
    }

    /// Instants outside belong to the nearest bin.
    fn place(&self, at: Stamp) -> usize {
        ((at.since(self.start).0 / self.bin.0) as usize).min(self.count - 1)
    }

    /// Returns the end of a bin.
    fn end(&self, place: usize) -> Stamp {
        self.start + self.bin * (place as u64 + 1)
    }
}

impl<'a> Sketch<'a> {
    pub(crate) fn new(roster: &'a Roster<'a>) -> Self {
        let rows = roster.rows();
        let start = rows.iter().map(|row| row.due).min().unwrap_or(Stamp::ZERO);
        let end = rows.iter().map(|row| row.end).max().unwrap_or(start);
        let grid = Grid::over(Span { start, end });
        Self {
            roster,
            grid,
            bins: vec![Bin::default(); if rows.is_empty() { 0 } else { grid.count }],
            gaps: vec![Histogram::default(); grid.count],
            last: vec![None; rows.len()],
        }
    }

    /// Takes the next chunk. A chunk without a request row is left out.
    pub(crate) fn take(&mut self, chunk: &ChunkRow) {
        let Some(place) = self.roster.place(chunk.request) else { return };
        let bin = self.grid.place(chunk.at);
        let row = self.roster.rows()[place];
        let mean = || f64::from(output_tokens(row).0) / f64::from(row.chunks.max(1));
        self.bins[bin].output_tokens += chunk.tokens.map_or_else(mean, f64::from);
        if let Some(before) = self.last[place].filter(|_| !chunk.coalesced) {
            self.gaps[bin].add(chunk.at.since(before).0);
        }
        self.last[place] = Some(chunk.at);
    }

    pub(crate) fn finish(mut self) -> Timeline {
        let mut ttfts = vec![Histogram::default(); self.grid.count];
        for (place, row) in self.roster.rows().iter().enumerate() {
            self.count(row);
            if self.last[place].is_none() {
                self.spread(row);
            }
            if let Some(ttft) = ttft(row) {
                ttfts[self.grid.place(row.due)].add(ttft.0);
            }
        }
        self.in_flight();
        let millis = |nanos: f64| nanos / 1e6;
        for (bin, (ttfts, gaps)) in self.bins.iter_mut().zip(ttfts.iter().zip(&self.gaps)) {
            bin.ttft_p50_ms = ttfts.at(0.5).map(millis);
            bin.ttft_p99_ms = ttfts.at(0.99).map(millis);
            bin.gap_p50_ms = gaps.at(0.5).map(millis);
            bin.gap_p99_ms = gaps.at(0.99).map(millis);
        }
        Timeline {
            start_s: self.grid.start.as_secs_f64(),
            bin_s: self.grid.bin.as_secs_f64(),
            bins: self.bins,
        }
    }

    fn count(&mut self, row: &RequestRow) {
        self.bins[self.grid.place(row.due)].due += 1;
        let ended = &mut self.bins[self.grid.place(row.end)];
        if is_finished(row) {
            ended.finished += 1;
        } else if row.outcome != Outcome::Abandoned {
            ended.failed += 1;
        }
        if let Some(usage) = row.usage {
            let bin = &mut self.bins[self.grid.place(row.first_token.unwrap_or(row.end))];
            bin.input_tokens += u64::from(usage.prompt_tokens);
            if let Some(cached) = usage.cached_tokens {
                *bin.cached_tokens.get_or_insert(0) += u64::from(cached);
            }
        }
    }

    /// Spreads the tokens of a request whose chunks are not known evenly, from the first to the
    /// last: an estimate, as in the rates.
    fn spread(&mut self, row: &RequestRow) {
        let (from, to) = (row.first_token.unwrap_or(row.end), row.last_token.unwrap_or(row.end));
        let tokens = f64::from(output_tokens(row).0);
        let length = to.since(from).0.max(1) as f64;
        let (first, last) = (self.grid.place(from), self.grid.place(to));
        let mut at = from;
        for place in first..=last {
            let end = if place == last { to } else { self.grid.end(place) };
            let share = if first == last { 1.0 } else { end.since(at).0 as f64 / length };
            self.bins[place].output_tokens += tokens * share;
            at = end;
        }
    }

    /// Averages the requests in flight over each bin: whole bins are counted by differences, so
    /// that each request costs the same however long it took.
    fn in_flight(&mut self) {
        let mut areas = vec![0_f64; self.bins.len()];
        let mut steps = vec![0_i64; self.bins.len() + 1];
        for row in self.roster.rows() {
            let Some(sent) = row.sent else { continue };
            let (first, last) = (self.grid.place(sent), self.grid.place(row.end));
            if first == last {
                areas[first] += row.end.since(sent).0 as f64;
                continue;
            }
            areas[first] += self.grid.end(first).since(sent).0 as f64;
            areas[last] += row.end.since(self.grid.end(last - 1)).0 as f64;
            steps[first + 1] += 1;
            steps[last] -= 1;
        }
        let (mut whole, length) = (0, self.grid.bin.0 as f64);
        for (place, bin) in self.bins.iter_mut().enumerate() {
            whole += steps[place];
            bin.in_flight = whole as f64 + areas[place] / length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concurrency;
    use crate::tests::row;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    fn flight(id: u64, due: u64, length: u64) -> RequestRow {
        let mut row = row(id);
        (row.due, row.sent, row.end) = (Stamp(due), Some(Stamp(due)), Stamp(due + length));
        (row.first_token, row.last_token) = (Some(row.due), Some(row.end));
        row
    }

    proptest! {
        #[test]
        fn what_is_in_the_bins_is_what_was_in_the_run(
            flights in prop::collection::vec((0_u64..30_000 * MS, 1_u64..20_000 * MS), 1..60),
        ) {
            let rows: Vec<_> = (0..)
                .zip(&flights)
                .map(|(id, &(due, length))| flight(id, due, length))
                .collect();
            let roster = Roster::new(&rows);
            let timeline = Sketch::new(&roster).finish();
            let (start, end) = (
                rows.iter().map(|row| row.due).min().unwrap(),
                rows.iter().map(|row| row.end).max().unwrap(),
            );
            prop_assert!(timeline.bins.len() <= BINS_MAX);
            let due = timeline.bins.iter().map(|bin| bin.due).sum::<u64>();
            prop_assert_eq!(due, rows.len() as u64);
            let ended = timeline.bins.iter().map(|bin| bin.finished + bin.failed).sum::<u64>();
            prop_assert_eq!(ended, rows.len() as u64);
            let tokens: f64 = timeline.bins.iter().map(|bin| bin.output_tokens).sum();
            let all: u64 = rows.iter().map(|row| u64::from(output_tokens(row).0)).sum();
            prop_assert!((tokens - all as f64).abs() < 1e-6 * (1.0 + all as f64));
            let area: f64 = timeline.bins.iter().map(|b| b.in_flight * timeline.bin_s).sum();
            let exact = concurrency::sweep(roster.rows(), Span { start, end }).area as f64 / 1e9;
            prop_assert!((area - exact).abs() < 1e-6 * (1.0 + exact), "{} {}", area, exact);
        }

        #[test]
        fn any_span_has_bins_that_hold_it(start in 0_u64..1 << 50, length in 0_u64..1 << 58) {
            let span = Span { start: Stamp(start), end: Stamp(start + length) };
            let grid = Grid::over(span);
            prop_assert!(grid.count <= BINS_MAX);
            prop_assert!(grid.start <= span.start && grid.end(grid.count - 1) >= span.end);
        }
    }

    #[test]
    fn a_run_without_requests_has_no_course() {
        let rows = Vec::new();
        assert_eq!(Sketch::new(&Roster::new(&rows)).finish().bins, []);
    }
}
