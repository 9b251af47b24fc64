//! The highest load that holds, by doubling and halving, then between what held and what did not.

/// A search for the greatest number that holds. It is asked what to try next and told how that
/// went; it assumes that what is below a number that holds, holds.
#[derive(Clone, Debug)]
pub struct Search {
    next: u32,
    ceiling: u32,
    tolerance: f64,
    held: Option<u32>,
    failed: Option<u32>,
}

/// How a try went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It held.
    Held,
    /// It did not.
    Failed,
}

impl Search {
    /// Begins at `start`, and never tries more than `ceiling`. The search ends once what failed
    /// is within `tolerance`, as a share, of what held.
    pub fn new(start: u32, ceiling: u32, tolerance: f64) -> Self {
        let next = start.clamp(1, ceiling.max(1));
        Self { next, ceiling, tolerance, held: None, failed: None }
    }

    /// Returns what to try next; nothing once the search has ended.
    pub fn next(&self) -> Option<u32> {
        match (self.held, self.failed) {
            (None, None) => Some(self.next),
            (None, Some(failed)) => (failed > 1).then_some(failed / 2),
            (Some(held), None) => {
                (held < self.ceiling).then_some(held.saturating_mul(2).min(self.ceiling))
            }
            (Some(held), Some(failed)) => {
                let (low, high) = (f64::from(held), f64::from(failed));
                let middle = (low * high).sqrt().round() as u32;
                let open = high > low * (1.0 + self.tolerance);
                (open && held < middle && middle < failed).then_some(middle)
            }
        }
    }

    /// Learns how a try went.
    pub fn tell(&mut self, number: u32, tried: Tried) {
        match tried {
            Tried::Held => self.held = self.held.max(Some(number)),
            Tried::Failed => {
                self.failed = Some(self.failed.map_or(number, |failed| failed.min(number)));
            }
        }
    }

    /// Returns the greatest number that held.
    pub fn held(&self) -> Option<u32> {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches for `limit`, and returns what was found after how many tries.
    fn found(mut search: Search, limit: u32) -> (Option<u32>, u32) {
        let mut tries = 0;
        while let Some(number) = search.next() {
            tries += 1;
            assert!(number >= 1 && tries < 40);
            search.tell(number, if number <= limit { Tried::Held } else { Tried::Failed });
        }
        (search.held(), tries)
    }

    #[test]
    fn every_limit_is_found_within_the_tolerance() {
        for limit in (1..200).chain((200..9000).step_by(37)) {
            for (start, tolerance) in [(1024, 0.1), (1, 0.1), (8000, 0.25)] {
                let (held, _) = found(Search::new(start, 16_384, tolerance), limit);
                let held = held.expect("every limit is at least one");
                let next = f64::from(held) * (1.0 + tolerance);
                assert!(held <= limit, "{held} of {limit}");
                // Of small numbers, the next one is further away than the tolerance.
                assert!(f64::from(limit) < next.max(f64::from(held + 1)), "{held} of {limit}");
            }
        }
    }

    #[test]
    fn near_its_start_a_search_takes_few_tries() {
        assert!((900..4000).all(|limit| found(Search::new(1024, 8192, 0.1), limit).1 <= 7));
    }

    #[test]
    fn the_ceiling_ends_a_search_and_so_does_nothing() {
        assert_eq!(found(Search::new(4096, 4096, 0.1), u32::MAX), (Some(4096), 1));
        assert_eq!(found(Search::new(9000, 4096, 0.1), u32::MAX), (Some(4096), 1));
        assert_eq!(found(Search::new(1024, 5000, 0.1), u32::MAX).0, Some(5000));
        assert_eq!(found(Search::new(8, 5000, 0.1), 0).0, None);
    }
}
