//! The limit on open files, which caps the connections a run can hold.

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::RunError;

/// Files that are open besides connections: the record, event queues, timers, standard streams.
const SPARE: u64 = 48;

/// Makes room for so many connections by raising the soft limit as far as the hard one allows.
///
/// `each` is how many descriptors a connection takes in this process: 2 where the server is
/// embedded. Without a known number of connections the soft limit is raised to the hard one.
///
/// # Errors
///
/// If even the hard limit leaves no room for them.
pub fn make_room(connections: Option<u32>, each: u64) -> Result<(), RunError> {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    let needed = connections.map_or(hard, |count| u64::from(count) * each + SPARE);
    if needed > hard {
        let connections = connections.unwrap_or(u32::MAX);
        return Err(RunError::OpenFiles { connections, needed, hard });
    }
    if needed > soft && setrlimit(Resource::RLIMIT_NOFILE, needed, hard).is_err() {
        let connections = connections.unwrap_or(u32::MAX);
        return Err(RunError::OpenFiles { connections, needed, hard: soft });
    }
    widen(needed);
    Ok(())
}

/// Returns how many connections the present limit on open files has room for.
pub(crate) fn room_files(each: u64) -> Option<u64> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    Some(soft.saturating_sub(SPARE) / each)
}

/// Returns how many connections to one address the range of local ports has room for, where the
/// system tells.
pub(crate) fn room_ports() -> Option<u64> {
    ports(&std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?)
}

/// Counts the ports of a range such as `32768 60999`.
fn ports(range: &str) -> Option<u64> {
    let mut ends = range.split_ascii_whitespace().map(str::parse::<u64>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    Some((last + 1).saturating_sub(first))
}

/// The widest that the table of descriptors is made in advance.
const WIDTH_MAX: u64 = 64 * 1024;

/// Makes the table of descriptors as wide as it will need to be. Later, with several threads,
/// the kernel would stop the one that opens the 129th, the 257th and so on for 10 ms or more,
/// to wait until no other looks at the old table.
fn widen(needed: u64) {
    let highest = needed.min(WIDTH_MAX) as i32 - 1;
    if let Ok(copy) = fcntl(std::io::stderr(), FcntlArg::F_DUPFD_CLOEXEC(highest)) {
        // The copy has served its purpose; a failure to close it costs one descriptor.
        let _closed = nix::unistd::close(copy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_ports_includes_both_ends() {
        assert_eq!(ports("32768\t60999\n"), Some(28_232));
        assert_eq!((ports(""), ports("1024")), (None, None));
    }

    #[test]
    fn more_connections_than_the_hard_limit_are_refused_with_the_figures() {
        make_room(Some(4), 1).unwrap();
        let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { panic!("no limit") };
        if hard < u64::from(u32::MAX) {
            let error = make_room(Some(u32::MAX), 1).unwrap_err();
            assert!(matches!(error, RunError::OpenFiles { hard: found, .. } if found == hard));
        }
    }
}
