//! What it took a load thread to carry its part of a run: counters that only rise.
//!
//! Deliberately not here: who counts (`drive`), and what follows from the counts (`measure`).

use serde::{Deserialize, Serialize};

use crate::Nanos;

/// What a load thread did over a span of time, or since the run's epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effort {
    /// The length of the span.
    pub wall: Nanos,
    /// CPU time, user and system.
    pub cpu: Nanos,
    /// How much of it went into looking at the clock, so as to be awake when something falls due.
    pub spun: Nanos,
    /// How long the thread was ready to run and waited for a core; absent where the system does
    /// not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<Nanos>,
    /// Waits for something to happen.
    pub waits: u64,
    /// Reads from sockets.
    pub reads: u64,
    /// Connections opened.
    pub opened: u64,
    /// The most connections that were open at once, since the run's epoch.
    pub connections: u32,
}

impl Effort {
    /// Returns what was done from `earlier` to `self`, both counted from the run's epoch.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        let queued = self.queued.zip(earlier.queued);
        Self {
            wall: self.wall.saturating_sub(earlier.wall),
            cpu: self.cpu.saturating_sub(earlier.cpu),
            spun: self.spun.saturating_sub(earlier.spun),
            queued: queued.map(|(now, then)| now.saturating_sub(then)),
            waits: self.waits - earlier.waits,
            reads: self.reads - earlier.reads,
            opened: self.opened - earlier.opened,
            connections: self.connections,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_told_apart_and_peaks_are_kept() {
        let then = Effort { wall: Nanos(10), cpu: Nanos(4), reads: 3, ..Effort::default() };
        let queued = Some(Nanos(7));
        let now =
            Effort { wall: Nanos(30), cpu: Nanos(9), reads: 5, connections: 2, queued, ..then };
        let between = now.since(then);
        assert_eq!((between.wall, between.cpu, between.reads), (Nanos(20), Nanos(5), 2));
        assert_eq!(between.connections, 2);
        assert_eq!(between.queued, None, "it was not known at both ends");
        let then = Effort { queued: Some(Nanos(2)), ..then };
        assert_eq!(now.since(then).queued, Some(Nanos(5)));
    }
}
