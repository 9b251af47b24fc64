//! The scheduler's favour for threads whose lateness would be measured as the server's.
//!
//! A load thread works for microseconds and waits for milliseconds. On a machine that it shares
//! with busy neighbours, the server among them, a fair scheduler may let it wait its turn for
//! tens of milliseconds, and where sessions or control groups compete, for hundreds.

use std::io;
use std::mem;

/// How long a turn of a fair thread is: the shortest that the kernel takes.
const SLICE_NS: u64 = 100_000;

/// What the kernel granted, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// The lowest real-time priority: the thread runs as soon as it has something to do. The
    /// kernel keeps some of each second for the others, even if the thread never rests.
    RealTime,
    /// Short turns among equals (Linux 6.12 and later).
    ShortTurns,
    /// Nothing.
    Nothing,
}

/// Asks the kernel to run the calling thread, and those that it starts from now on, as soon as
/// they have something to do: with a real-time priority where the process may have one, else by
/// short turns, which anybody may ask for.
///
/// Without either the run goes on; its lag and read delay tell.
pub fn prefer_latency() -> Granted {
    if set(libc::SCHED_RR, 1, 0).is_ok() {
        Granted::RealTime
    } else if set(libc::SCHED_OTHER, 0, SLICE_NS).is_ok() {
        Granted::ShortTurns
    } else {
        Granted::Nothing
    }
}

#[expect(unsafe_code, reason = "no safe wrapper knows the length of a turn")]
fn set(policy: i32, priority: u32, slice_ns: u64) -> io::Result<()> {
    // SAFETY: `sched_attr` is a C struct of integers, for which all zeroes is a value.
    let mut attributes: libc::sched_attr = unsafe { mem::zeroed() };
    attributes.size = mem::size_of::<libc::sched_attr>() as u32;
    attributes.sched_policy = policy.cast_unsigned();
    attributes.sched_priority = priority;
    attributes.sched_runtime = slice_ns;
    // SAFETY: the call reads `attributes`, which outlives it and states its own size; thread 0
    // is the calling one, and no flags are given.
    let done = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the calling thread's policy (`proc_pid_stat(5)`, field 41).
    fn policy() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let rest = stat.rsplit_once(')').unwrap().1.to_owned();
        rest.split_whitespace().nth(38).unwrap().parse().unwrap()
    }

    #[test]
    fn threads_started_later_inherit_what_was_granted() {
        let preferred = std::thread::spawn(|| {
            let granted = prefer_latency();
            (granted, policy(), std::thread::spawn(policy).join().unwrap())
        });
        let (granted, own, inherited) = preferred.join().unwrap();
        assert_eq!(own, inherited);
        assert_eq!(granted == Granted::RealTime, own == libc::SCHED_RR);
    }
}
