//! The listener's clock: real time, and the engine's, which may run faster or slower.

use infermark_terms::Stamp;
use nix::time::{ClockId, clock_gettime};

/// Reads time. Instants count from the start of the listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch_ns: u64,
    wall_epoch_ns: u64,
    scale: f64,
}

impl Clock {
    /// Starts a clock whose engine time passes `scale` times as fast as real time.
    pub(crate) fn start(scale: f64) -> Self {
        let epoch_ns = read(ClockId::CLOCK_MONOTONIC);
        Self { epoch_ns, wall_epoch_ns: read(ClockId::CLOCK_REALTIME), scale }
    }

    /// Returns the present instant in real time.
    pub(crate) fn now(&self) -> Stamp {
        Stamp(read(ClockId::CLOCK_MONOTONIC) - self.epoch_ns)
    }

    /// Returns the engine's time at a real instant.
    pub(crate) fn engine_time(&self, real: Stamp) -> Stamp {
        if self.is_unscaled() { real } else { Stamp((real.0 as f64 * self.scale) as u64) }
    }

    /// Returns the real instant of a time of the engine, rounded up, so that the engine is never
    /// asked too early.
    pub(crate) fn real_time(&self, engine: Stamp) -> Stamp {
        if self.is_unscaled() {
            engine
        } else {
            Stamp((engine.0 as f64 / self.scale).ceil() as u64)
        }
    }

    /// Returns the time of an instant on `CLOCK_MONOTONIC`, in nanoseconds.
    pub(crate) fn monotonic_ns(&self, at: Stamp) -> u64 {
        self.epoch_ns.saturating_add(at.0)
    }

    /// Returns the wall-clock time of an instant, in seconds since 1970.
    pub(crate) fn wall_secs(&self, at: Stamp) -> u64 {
        self.wall_epoch_ns.saturating_add(at.0) / 1_000_000_000
    }

    /// Returns wall-clock time less `CLOCK_MONOTONIC` at the start, in nanoseconds.
    pub(crate) fn wall_offset_ns(&self) -> i64 {
        self.wall_epoch_ns.wrapping_sub(self.epoch_ns).cast_signed()
    }

    fn is_unscaled(&self) -> bool {
        self.scale.to_bits() == 1.0_f64.to_bits()
    }
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("both clocks exist on every Linux");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_never_asked_too_early() {
        for scale in [0.1, 0.3, 1.0, 1.7, 10.0, 100.0] {
            let clock = Clock { epoch_ns: 7, wall_epoch_ns: 9, scale };
            for engine in [0, 1, 3, 999, 1_000_003, 86_400_000_000_001] {
                let real = clock.real_time(Stamp(engine));
                // A nanosecond short by rounding costs one more round of the loop.
                assert!(clock.engine_time(real).0 + 1 >= engine, "{scale} {engine}");
                let ideal = engine as f64 / scale;
                assert!(real.0 as f64 <= ideal + 1.0 + ideal * 1e-15);
            }
        }
    }
}
