//! Percentiles, and what each side says of a load.

use serde::{Deserialize, Serialize};

/// Percentiles of durations in nanoseconds, by nearest rank; zero over nothing.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) count: u64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        let rank = |percent: usize| (values.len() * percent).div_ceil(100).saturating_sub(1);
        let at = |percent| values.get(rank(percent)).copied().unwrap_or(0);
        let count = values.len() as u64;
        Self { count, p50: at(50), p99: at(99), max: at(100) }
    }
}

/// What the server really did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Truth {
    /// Tokens written in the window.
    pub(crate) tokens: u64,
    /// Its requests that arrived in the window: the client's number, and when the first token
    /// was written, in nanoseconds on `CLOCK_MONOTONIC`.
    pub(crate) firsts: Vec<(u64, u64)>,
    /// Gaps between their tokens.
    pub(crate) itl: Spread,
    /// How late their tokens were, by the server's own schedule.
    pub(crate) late: Spread,
}

/// What a client says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Said {
    /// Waits for something to happen, and reads, over the whole load.
    pub(crate) waits: u64,
    pub(crate) reads: u64,
    /// Requests due in the window: their numbers, and when they were handed to the kernel, which
    /// on a loopback interface is when they reached the server's socket.
    pub(crate) sent: Vec<(u64, u64)>,
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    /// From `due` to the first token, for requests due in the window.
    pub(crate) ttft: Spread,
    /// The same from `sent`.
    pub(crate) service_ttft: Spread,
    /// Gaps between their tokens.
    pub(crate) itl: Spread,
    /// From `due` to `sent`, less connecting.
    pub(crate) lag: Spread,
    pub(crate) read_delay: Spread,
    /// Chunks of theirs, and those that shared a read.
    pub(crate) chunks: u64,
    pub(crate) coalesced: u64,
    /// Resident memory before the load and at the window's beginning, in bytes.
    pub(crate) resident: (u64, u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let spread = Spread::of((1..=200).rev().collect());
        assert_eq!((spread.count, spread.p50, spread.p99, spread.max), (200, 100, 198, 200));
        assert_eq!(Spread::of(Vec::new()).p99, 0);
        assert_eq!(Spread::of(vec![7]).p50, 7);
    }
}
