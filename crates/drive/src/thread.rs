//! What the kernel says of the calling thread: how long it ran, and how long it waited to.

use std::fs;

use infermark_terms::Nanos;
use nix::time::{ClockId, clock_gettime};

/// Returns the CPU time, user and system, that the calling thread has used.
pub(crate) fn cpu_time() -> Nanos {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every Linux has this clock");
    Nanos(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

/// Returns how long the calling thread was ready to run and waited for a core, where the kernel
/// keeps count.
pub(crate) fn queued_time() -> Option<Nanos> {
    queued(&fs::read_to_string("/proc/thread-self/schedstat").ok()?)
}

/// Reads `schedstat`: nanoseconds on a core, nanoseconds waiting for one, turns. A kernel that
/// keeps no count says `0 0 0`, which cannot be true of a thread that runs.
fn queued(schedstat: &str) -> Option<Nanos> {
    let mut figures = schedstat.split_ascii_whitespace().map(str::parse::<u64>);
    let (ran, waited) = (figures.next()?.ok()?, figures.next()?.ok()?);
    (ran > 0).then_some(Nanos(waited))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_works_uses_cpu_time() {
        let before = cpu_time();
        while cpu_time() == before {}
        assert!(cpu_time() > before);
    }

    #[test]
    fn a_kernel_that_keeps_no_count_says_nothing() {
        assert_eq!(queued("276301 57857 2\n"), Some(Nanos(57857)));
        assert_eq!(queued("276301 0 2\n"), Some(Nanos::ZERO));
        for nothing in ["0 0 0\n", "", "17", "x y z"] {
            assert_eq!(queued(nothing), None, "{nothing:?}");
        }
    }
}
