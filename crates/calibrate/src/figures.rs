//! Percentiles, and what each side says of a load.

use serde::{Deserialize, Serialize};

/// Percentiles of durations in nanoseconds, by nearest rank; zero over nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// How many durations.
    pub count: u64,
    /// The median.
    pub p50: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The greatest.
    pub max: u64,
}

impl Spread {
    /// Takes the percentiles of these durations.
    pub fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        let rank = |percent: usize| (values.len() * percent).div_ceil(100).saturating_sub(1);
        let at = |percent| values.get(rank(percent)).copied().unwrap_or(0);
        let count = values.len() as u64;
        Self { count, p50: at(50), p99: at(99), max: at(100) }
    }
}

/// What the server really did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Tokens written in the window.
    pub tokens: u64,
    /// Its requests that arrived in the window: the client's number, and when the first token
    /// was written, in nanoseconds on `CLOCK_MONOTONIC`.
    pub firsts: Vec<(u64, u64)>,
    /// Gaps between their tokens.
    pub itl: Spread,
    /// How late their tokens were, by the server's own schedule.
    pub late: Spread,
}

/// What a client says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// Waits for something to happen, over the whole load.
    pub waits: u64,
    /// Reads, likewise.
    pub reads: u64,
    /// Requests due in the window: their numbers, and when they were handed to the kernel, which
    /// on a loopback interface is when they reached the server's socket.
    pub sent: Vec<(u64, u64)>,
    /// How many they are.
    pub requests: u64,
    /// Those of them that did not finish.
    pub failed: u64,
    /// From `due` to the first token, for requests due in the window.
    pub ttft: Spread,
    /// The same from `sent`.
    pub service_ttft: Spread,
    /// Gaps between their tokens.
    pub itl: Spread,
    /// From `due` to `sent`, less connecting.
    pub lag: Spread,
    /// From the kernel's receive stamp to the clock after the read.
    pub read_delay: Spread,
    /// Chunks of theirs.
    pub chunks: u64,
    /// Those that shared a read.
    pub coalesced: u64,
    /// Resident memory before the load and at the window's beginning, in bytes.
    pub resident: (u64, u64),
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
