//! The run's clock: the only place that reads time.
//!
//! Instants count from the run's epoch on `CLOCK_MONOTONIC`. The kernel stamps received segments
//! on `CLOCK_REALTIME`, so a [`Clock`] also knows the distance between the two. Both clocks are
//! slewed alike; only a step of the wall clock changes the distance, so it is measured again
//! every second, and whenever a stamp names an instant that cannot be.

use infermark_terms::{Nanos, Stamp, StampSource};
use nix::time::{ClockId, clock_gettime};

/// A handle on the run's clock. Copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The epoch on the monotonic clock.
    epoch_ns: u64,
    /// The epoch's wall-clock time, in nanoseconds since 1970.
    wall_epoch_ns: u64,
    /// Wall clock less monotonic clock, as last measured by this copy.
    offset_ns: i64,
    /// When it was last measured.
    measured: Stamp,
}

/// When something arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// The instant.
    pub(crate) at: Stamp,
    /// Where it comes from.
    pub(crate) source: StampSource,
    /// From then to our clock after the read.
    pub(crate) delay: Nanos,
}

/// How long a measured distance between the clocks is trusted.
const OFFSET_LIFETIME: Nanos = Nanos::from_secs(1);

impl Clock {
    /// Starts a clock: now is the epoch.
    pub fn start() -> Self {
        let epoch_ns = read(ClockId::CLOCK_MONOTONIC);
        let offset_ns = offset();
        let wall_epoch_ns = epoch_ns.wrapping_add_signed(offset_ns);
        Self { epoch_ns, wall_epoch_ns, offset_ns, measured: Stamp::ZERO }
    }

    /// Returns the present instant.
    pub fn now(&self) -> Stamp {
        Stamp(read(ClockId::CLOCK_MONOTONIC) - self.epoch_ns)
    }

    /// Returns the epoch's wall-clock time, in nanoseconds since 1970.
    pub fn wall_epoch_ns(&self) -> u64 {
        self.wall_epoch_ns
    }

    /// Returns the absolute time on `CLOCK_MONOTONIC` of an instant, for timers.
    pub fn monotonic(&self, at: Stamp) -> Nanos {
        Nanos(self.epoch_ns.saturating_add(at.0))
    }

    /// Translates a wall-clock time of the kernel, in nanoseconds since 1970.
    pub fn from_wall(&self, wall_ns: u64) -> Stamp {
        Stamp(wall_ns.saturating_add_signed(-self.offset_ns).saturating_sub(self.epoch_ns))
    }

    /// Measures the distance between the clocks anew if it is older than its lifetime.
    pub fn refresh(&mut self, now: Stamp) {
        if now.since(self.measured) >= OFFSET_LIFETIME {
            self.measure(now);
        }
    }

    /// Measures the distance between the clocks anew.
    fn measure(&mut self, now: Stamp) {
        self.offset_ns = offset();
        self.measured = now;
    }

    /// Says when bytes that were just read arrived: by the kernel's stamp where there is one,
    /// else now. They cannot have come before `since`, nor later than now; a stamp that says so
    /// means that the wall clock was set, and is not believed.
    pub(crate) fn arrival(&mut self, wall_ns: Option<u64>, since: Stamp) -> Arrival {
        let now = self.now();
        if let Some(at) = wall_ns.map(|wall| self.from_wall(wall)) {
            if at >= since && at <= now {
                return Arrival { at, source: StampSource::Kernel, delay: now.since(at) };
            }
            self.measure(now);
        }
        Arrival { at: now, source: StampSource::Clock, delay: Nanos::ZERO }
    }
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("both clocks exist on every Linux");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

/// Measures wall clock less monotonic clock: the tightest of a few brackets.
fn offset() -> i64 {
    let bracket = |_| {
        let before = read(ClockId::CLOCK_MONOTONIC);
        let wall = read(ClockId::CLOCK_REALTIME);
        let after = read(ClockId::CLOCK_MONOTONIC);
        (after - before, wall.cast_signed() - (before + (after - before) / 2).cast_signed())
    };
    (0..5).map(bracket).min().expect("five brackets were taken").1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_and_monotonic_time_name_the_same_instant() {
        let mut clock = Clock::start();
        clock.refresh(Stamp(u64::MAX));
        let before = clock.now();
        let wall = clock.from_wall(read(ClockId::CLOCK_REALTIME));
        let after = clock.now();
        let slack = Nanos::from_millis(1);
        assert!(wall + slack >= before && wall <= after + slack);
        assert_eq!(clock.monotonic(Stamp(5)).0 - clock.monotonic(Stamp::ZERO).0, 5);
    }

    #[test]
    fn a_wall_clock_that_was_set_spoils_no_instant() {
        for step in [-3_600_000_000_000, 3_600_000_000_000] {
            let mut clock = Clock::start();
            let since = clock.now();
            // The clock was set since the distance was measured.
            clock.offset_ns -= step;
            let arrival = clock.arrival(Some(read(ClockId::CLOCK_REALTIME)), since);
            assert_eq!((arrival.source, arrival.delay), (StampSource::Clock, Nanos::ZERO));
            assert!(arrival.at >= since && arrival.at <= clock.now());
            // The next stamp is believed again.
            let arrival = clock.arrival(Some(read(ClockId::CLOCK_REALTIME) - 50_000), Stamp::ZERO);
            assert_eq!(arrival.source, StampSource::Kernel);
        }
    }
}
