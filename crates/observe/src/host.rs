//! This host, from `/proc`: the generator's own cores, memory and network.
//!
//! The texts are read by pure functions; only [`Host::read`] touches the files. What cannot be
//! read is absent.

use infermark_terms::Metric;

use crate::Value;

/// This host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Host;

/// Clock ticks in a second, as `/proc` counts them: `USER_HZ` is 100 on every architecture that
/// Rust's standard library knows.
const TICKS_PER_SECOND: f64 = 100.0;

impl Host {
    /// Reads what the host does; nothing where there is no `/proc`.
    pub fn read(self) -> Vec<Value> {
        let text = |path| std::fs::read_to_string(path).unwrap_or_default();
        let mut values = cpu(&text("/proc/stat"));
        values.extend(memory(&text("/proc/meminfo")));
        values.extend(network(&text("/proc/net/dev")));
        values
    }
}

/// Reads `/proc/stat` (`proc_stat(5)`). Time of guests is in that of `user` and `nice` already.
fn cpu(text: &str) -> Vec<Value> {
    let mut lines = text.lines().filter(|line| line.starts_with("cpu"));
    let Some(all) = lines.next().and_then(|line| line.strip_prefix("cpu ")) else {
        return Vec::new();
    };
    let ticks: Vec<f64> = all.split_ascii_whitespace().filter_map(|t| t.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal
    let [user, nice, system, _, _, irq, softirq, ..] = ticks[..] else { return Vec::new() };
    let busy = (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
    let cores = lines.count() as f64;
    vec![Value::whole(Metric::CpuBusySeconds, busy), Value::whole(Metric::CpuCores, cores)]
}

/// Reads `/proc/meminfo` (`proc_meminfo(5)`), whose unit is KiB.
fn memory(text: &str) -> Vec<Value> {
    let of = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        Some(line.split_ascii_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
    };
    let (Some(total), Some(available)) = (of("MemTotal"), of("MemAvailable")) else {
        return Vec::new();
    };
    let used = Value::whole(Metric::MemoryUsed, total - available);
    vec![used, Value::whole(Metric::MemoryTotal, total)]
}

/// Reads `/proc/net/dev` (`proc_pid_net(5)`): bytes stand first of eight for each direction.
fn network(text: &str) -> Vec<Value> {
    let devices = text.lines().filter_map(|line| line.split_once(':'));
    let outside = devices.filter(|(name, _)| name.trim() != "lo");
    let bytes: Vec<(f64, f64)> = outside
        .filter_map(|(_, counts)| {
            let mut counts = counts.split_ascii_whitespace();
            Some((counts.next()?.parse().ok()?, counts.nth(7)?.parse().ok()?))
        })
        .collect();
    if bytes.is_empty() {
        return Vec::new();
    }
    let received = bytes.iter().map(|(received, _)| received).sum();
    let sent = bytes.iter().map(|(_, sent)| sent).sum();
    vec![Value::whole(Metric::NetworkReceived, received), Value::whole(Metric::NetworkSent, sent)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read_in_our_units() {
        let stat = "cpu  400 100 200 9000 50 10 20 7 30 0\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\n";
        let meminfo = "MemTotal:       2048 kB\nMemFree: 1 kB\nMemAvailable:   1024 kB\n";
        let dev = "Inter-|   Receive\n face |bytes    packets\n    lo: 99 1 0 0 0 0 0 0 99 1\n\
                   eth0: 1000 1 0 0 0 0 0 0 500 2 0 0 0 0 0 0\n  eth1:20 1 0 0 0 0 0 0 7 2\n";
        let found: Vec<_> = [cpu(stat), memory(meminfo), network(dev)].concat();
        let found: Vec<_> = found.iter().map(|value| (value.metric, value.value)).collect();
        let mib = 1_048_576.0;
        assert_eq!(
            found,
            [
                (Metric::CpuBusySeconds, 7.3),
                (Metric::CpuCores, 2.0),
                (Metric::MemoryUsed, mib),
                (Metric::MemoryTotal, 2.0 * mib),
                (Metric::NetworkReceived, 1020.0),
                (Metric::NetworkSent, 507.0),
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_absent() {
        for text in ["", "nonsense\n", "cpu  a b\n", "MemTotal: 5 kB\n", "eth0: x\n"] {
            assert_eq!([cpu(text), memory(text), network(text)].concat(), [], "{text}");
        }
    }

    #[test]
    fn this_host_has_cores_and_memory() {
        let values = Host.read();
        let of = |metric| values.iter().find(|v| v.metric == metric).map(|v| v.value);
        assert!(of(Metric::CpuCores) >= Some(1.0), "{values:?}");
        assert!(of(Metric::MemoryUsed) < of(Metric::MemoryTotal));
    }
}
