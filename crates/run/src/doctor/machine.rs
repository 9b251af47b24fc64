//! This machine: what limits or distorts a run before any server is asked.

use std::fs;
use std::thread;

use infermark_drive::priority::{Granted, prefer_latency};
use infermark_measure::Build;
use nix::sys::resource::{Resource, getrlimit};

use super::{Finding, Subject};
use crate::environment::{build, cpus};
use crate::limits::room_ports;

/// Connections that a run may well open.
const FILES_WANTED: u64 = 4096;

/// Ports that a run may well use, those of closed connections included, which rest for a minute.
const PORTS_WANTED: u64 = 16_384;

/// Clocks that a process reads without entering the kernel.
const CLOCKS: [&str; 4] = ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"];

pub(super) fn examine() -> Vec<Finding> {
    let text = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let clock = text("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let governor = text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    let mut findings = vec![built(build()), open_files()];
    findings.extend(room_ports().map(ports));
    findings.extend(clock.as_deref().map(clock_source));
    findings.push(cpu_governor(governor.as_deref()));
    findings.push(processors(cpus(), text("/sys/fs/cgroup/cpu.max").as_deref()));
    findings.extend(text("/sys/fs/cgroup/memory.max").as_deref().and_then(memory));
    // Asked for on a thread of its own, so that nothing else here is favoured.
    findings.extend(thread::spawn(prefer_latency).join().ok().map(scheduling));
    findings
}

fn built(build: Build) -> Finding {
    let version = env!("CARGO_PKG_VERSION");
    match build {
        Build::Release => Finding::ok(Subject::Build, format!("infermark {version}, optimised")),
        Build::Debug => Finding::warning(
            Subject::Build,
            format!("infermark {version}, without optimisation"),
            "measure with a release build: `cargo build --release`",
        ),
    }
}

fn open_files() -> Finding {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((_, hard)) if hard >= FILES_WANTED => {
            Finding::ok(Subject::OpenFiles, format!("up to {hard} files may be open"))
        }
        Ok((_, hard)) => Finding::warning(
            Subject::OpenFiles,
            format!("only {hard} files may be open, and each connection is one"),
            "raise the hard limit: `ulimit -Hn`, `LimitNOFILE=` or `--ulimit nofile=`",
        ),
        Err(error) => Finding::warning(
            Subject::OpenFiles,
            format!("the limit on open files cannot be read: {error}"),
            "see whether the container hides it",
        ),
    }
}

fn ports(count: u64) -> Finding {
    let found = format!("{count} local ports for connections to one address");
    if count >= PORTS_WANTED {
        return Finding::ok(Subject::LocalPorts, found);
    }
    Finding::warning(
        Subject::LocalPorts,
        found,
        "widen the range: `sysctl net.ipv4.ip_local_port_range='1024 65535'`",
    )
}

fn clock_source(name: &str) -> Finding {
    let found = format!("the kernel's clock is {name}");
    if CLOCKS.contains(&name) {
        return Finding::ok(Subject::ClockSource, found);
    }
    Finding::warning(
        Subject::ClockSource,
        format!("{found}, which is slow to read"),
        "see why the processor's own counter is not trusted (`dmesg | grep -i tsc`)",
    )
}

fn cpu_governor(name: Option<&str>) -> Finding {
    match name {
        None => Finding::ok(Subject::CpuGovernor, "none: the processor's speed is not ours to set"),
        Some("performance") => Finding::ok(Subject::CpuGovernor, "performance"),
        Some(other) => Finding::warning(
            Subject::CpuGovernor,
            format!("{other}: an idle processor is slow to wake up"),
            "choose `performance`: `cpupower frequency-set -g performance`",
        ),
    }
}

/// `quota` is the control group's `cpu.max`: how many µs of each period may be used.
fn processors(cpus: usize, quota: Option<&str>) -> Finding {
    let shares = quota.and_then(|text| {
        let (quota, period) = text.split_once(' ')?;
        Some(quota.parse::<f64>().ok()? / period.trim().parse::<f64>().ok()?)
    });
    match shares {
        Some(shares) if shares < cpus as f64 => Finding::warning(
            Subject::Processors,
            format!("{cpus}, of which the container may use {shares:.1} on average"),
            "a thread that used up its share stands still for tens of milliseconds: lift the CPU \
             limit, or pin whole processors",
        ),
        Some(_) | None => Finding::ok(Subject::Processors, format!("{cpus}, without a quota")),
    }
}

fn memory(limit: &str) -> Option<Finding> {
    let bytes: u64 = limit.parse().ok()?;
    let gib = bytes as f64 / f64::from(1 << 30);
    let found = format!("the container may use {gib:.1} GiB");
    if gib >= 1.0 {
        return Some(Finding::ok(Subject::Memory, found));
    }
    let remedy = "raise the memory limit to 1 GiB for runs of thousands of connections";
    Some(Finding::warning(Subject::Memory, found, remedy))
}

fn scheduling(granted: Granted) -> Finding {
    let remedy = "grant CAP_SYS_NICE or `ulimit -r 1`, so that a busy neighbour cannot delay sends";
    match granted {
        Granted::RealTime => {
            Finding::ok(Subject::Scheduling, "load threads may have a real-time priority")
        }
        Granted::ShortTurns => Finding::warning(
            Subject::Scheduling,
            "load threads get short turns, but no real-time priority",
            remedy,
        ),
        Granted::Nothing => {
            Finding::warning(Subject::Scheduling, "load threads are scheduled as any other", remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn a_quota_below_the_processors_is_a_warning() {
        assert_eq!(processors(4, Some("max 100000")).state, State::Ok);
        assert_eq!(processors(4, Some("400000 100000")).state, State::Ok);
        assert_eq!(processors(4, None).state, State::Ok);
        let found = processors(4, Some("150000 100000"));
        assert_eq!(found.state, State::Warning);
        assert!(found.found.contains("may use 1.5"), "{}", found.found);
    }

    #[test]
    fn what_is_not_as_it_should_be_has_a_remedy() {
        let all = [
            built(Build::Debug),
            ports(100),
            clock_source("hpet"),
            cpu_governor(Some("powersave")),
            scheduling(Granted::Nothing),
            memory("104857600").unwrap(),
        ];
        for finding in all {
            assert_eq!(finding.state, State::Warning, "{finding:?}");
            assert!(finding.remedy.is_some(), "{finding:?}");
        }
        assert_eq!(memory("max"), None);
        assert!(examine().iter().any(|finding| finding.subject == Subject::Processors));
    }
}
