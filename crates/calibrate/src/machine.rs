//! Cores, clocks and memory of this machine.

use std::io;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};
use nix::unistd::Pid;

use crate::CalibrateError;

/// Returns the time on `CLOCK_MONOTONIC`, in nanoseconds: all processes agree on it.
///
/// # Panics
///
/// If the system has no such clock, which every Linux has.
pub fn now_ns() -> u64 {
    read(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock")
}

/// Returns the CPU time, user and system, that a process has used, in nanoseconds.
///
/// # Errors
///
/// If there is no such process.
pub fn cpu_ns(pid: u32) -> Result<u64, CalibrateError> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid.cast_signed()))?;
    Ok(read(clock)?)
}

fn read(clock: ClockId) -> nix::Result<u64> {
    let time = clock_gettime(clock)?;
    Ok(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

/// Sleeps until an instant on `CLOCK_MONOTONIC`.
pub(crate) fn sleep_until(at_ns: u64) {
    let at = TimeSpec::from_duration(std::time::Duration::from_nanos(at_ns));
    while now_ns() < at_ns {
        // A signal may wake it early: then it sleeps again.
        let _early =
            clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &at);
    }
}

/// Returns the first and the last core that this process may use: one for the client, one for
/// the server. They are the same where there is only one.
///
/// # Errors
///
/// If the system does not tell.
pub fn cores() -> Result<(usize, usize), CalibrateError> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    let usable = |core: &usize| set.is_set(*core).unwrap_or(false);
    let mut cores = (0..CpuSet::count()).filter(usable);
    let first = cores.next().unwrap_or(0);
    Ok((first, cores.next_back().unwrap_or(first)))
}

/// Starts something on one core only; processes keep the core that they were started on.
pub(crate) fn on_core<T>(core: usize, start: impl FnOnce() -> T) -> Result<T, CalibrateError> {
    let here = Pid::from_raw(0);
    let before = sched_getaffinity(here)?;
    let mut only = CpuSet::new();
    only.set(core)?;
    sched_setaffinity(here, &only)?;
    let started = start();
    sched_setaffinity(here, &before)?;
    Ok(started)
}

/// Returns the memory of this process that is resident, in bytes; 0 where the system does not
/// tell.
pub(crate) fn resident() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok());
    Ok(kib.unwrap_or(0) * 1024)
}
