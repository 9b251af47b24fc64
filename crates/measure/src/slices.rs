//! How far a rate may be from what a longer window would have shown.
//!
//! The window is cut into [`BATCHES`] slices of equal length, and what happened is credited to
//! the slice in which it happened. Slices are batches of time: what varies between them is what
//! would vary between windows.

use crate::batches::{BATCHES, half_width_of_mean};
use crate::span::Span;

/// Amounts over the slices of a window that is not empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slices {
    window: Span,
    amounts: [f64; BATCHES],
}

impl Slices {
    /// Returns slices without amounts; nothing for an empty window.
    pub(crate) fn new(window: Span) -> Option<Self> {
        (window.nanos() > 0).then_some(Self { window, amounts: [0.0; BATCHES] })
    }

    /// Credits an amount evenly over a span, as far as it lies in the window; an empty span is an
    /// instant.
    pub(crate) fn add(&mut self, span: Span, amount: f64) {
        let width = self.window.nanos() as f64 / BATCHES as f64;
        let place = |nanos: u64| (nanos as f64 / width) as usize;
        if span.nanos() == 0 {
            if self.window.contains(span.start) {
                let slice = place(span.start.since(self.window.start).0).min(BATCHES - 1);
                self.amounts[slice] += amount;
            }
            return;
        }
        let within = span.overlap(self.window);
        let (from, to) = (
            within.start.since(self.window.start).0 as f64,
            within.end.since(self.window.start).0 as f64,
        );
        let density = amount / span.nanos() as f64;
        let last = (to / width).ceil() as usize;
        for slice in (from / width) as usize..last.min(BATCHES) {
            let (low, high) = (slice as f64 * width, (slice + 1) as f64 * width);
            self.amounts[slice] += density * (high.min(to) - low.max(from)).max(0.0);
        }
    }

    /// Returns what was credited to each slice.
    pub(crate) fn amounts(&self) -> &[f64] {
        &self.amounts
    }

    /// Returns half the width of the 95 % interval of the rate, per second: Student's t over the
    /// slices' rates.
    pub(crate) fn half_width(&self) -> f64 {
        let seconds = self.window.seconds().expect("the window is not empty");
        half_width_of_mean(&self.amounts) * BATCHES as f64 / seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use infermark_terms::Stamp;

    const WINDOW: Span = Span { start: Stamp(1000), end: Stamp(3000) };

    #[test]
    fn an_amount_is_credited_where_it_happened() {
        let mut slices = Slices::new(WINDOW).unwrap();
        slices.add(Span { start: Stamp(0), end: Stamp(1150) }, 1150.0);
        slices.add(Span { start: Stamp(2999), end: Stamp(2999) }, 7.0);
        slices.add(Span { start: Stamp(3000), end: Stamp(3000) }, 7.0);
        slices.add(Span { start: Stamp(4000), end: Stamp(5000) }, 7.0);
        let mut expected = [0; BATCHES];
        (expected[0], expected[1], expected[19]) = (100, 50, 7);
        assert_eq!(slices.amounts.map(|amount| amount.round() as u64), expected);
    }

    #[test]
    fn what_is_even_has_no_width() {
        let mut slices = Slices::new(WINDOW).unwrap();
        slices.add(Span { start: Stamp(500), end: Stamp(3500) }, 10.0);
        assert!(slices.half_width() < 1e-6);
        assert!(Slices::new(Span { end: WINDOW.start, ..WINDOW }).is_none());
    }
}
