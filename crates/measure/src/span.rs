//! Half-open spans of time: the measured window, and the whole run.

use infermark_terms::{RequestRow, Stamp};

use crate::WindowPlan;

/// From `start`, included, to `end`, excluded; empty where `end ≤ start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: Stamp,
    pub(crate) end: Stamp,
}

impl Span {
    /// Returns the measured window of the rows.
    ///
    /// A run bounded by its requests ends one nanosecond after the last end, since the window is
    /// half-open and must hold that event.
    pub(crate) fn measured(plan: WindowPlan, rows: &[RequestRow]) -> Self {
        match plan {
            WindowPlan::Span { start, end } => Self { start, end: end.max(start) },
            WindowPlan::Whole { start } => {
                let measured = || rows.iter().filter(|row| row.due >= start);
                let first = measured().map(|row| row.due).min().unwrap_or(start);
                let last = measured().map(|row| row.end).max();
                Self { start: first, end: last.map_or(first, |last| Stamp(last.0 + 1)) }
            }
        }
    }

    /// Returns the part of the measured span in which load went on: to the last request that was
    /// due in it.
    pub(crate) fn loaded(self, rows: &[RequestRow]) -> Self {
        let dues = rows.iter().map(|row| row.due).filter(|&due| self.contains(due));
        let end = dues.max().map_or(self.start, |last| Stamp(last.0 + 1));
        Self { start: self.start, end }
    }

    /// Returns an instant: a span without length.
    pub(crate) fn instant(at: Stamp) -> Self {
        Self { start: at, end: at }
    }

    /// Returns the whole run, from the first `sent` to the last `end`; nothing where nothing was
    /// sent.
    pub(crate) fn whole_run<'a>(
        rows: impl Iterator<Item = &'a RequestRow> + Clone,
    ) -> Option<Self> {
        let start = rows.clone().filter_map(|row| row.sent).min()?;
        let end = rows.map(|row| row.end).max()?;
        Some(Self { start, end: end.max(start) })
    }

    pub(crate) fn contains(self, at: Stamp) -> bool {
        self.start <= at && at < self.end
    }

    pub(crate) fn nanos(self) -> u64 {
        self.end.since(self.start).0
    }

    /// Returns the length in seconds; nothing for an empty span, over which there are no rates.
    pub(crate) fn seconds(self) -> Option<f64> {
        (self.nanos() > 0).then(|| self.nanos() as f64 / 1e9)
    }

    /// Returns what both spans share; empty where they do not meet.
    pub(crate) fn overlap(self, other: Self) -> Self {
        let start = self.start.max(other.start);
        Self { start, end: self.end.min(other.end).max(start) }
    }
}
