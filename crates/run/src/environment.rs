//! What the client ran on, for the record.

use std::fs;

use infermark_measure::Build;
use serde::{Deserialize, Serialize};

/// The client's machine and binary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The machine's name.
    pub client_host: String,
    /// The processor's name, where the system tells.
    pub cpu: Option<String>,
    /// Processors that this process may use.
    pub cpus: usize,
    /// The kernel's release.
    pub kernel: String,
    /// infermark's version.
    pub version: String,
    /// `release` or `debug`.
    pub build: String,
    /// Host and port of the proxy that led to the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
}

impl Environment {
    /// Looks at the present machine.
    pub fn observe() -> Self {
        let text = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let cpuinfo = text("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
        Self {
            client_host: text("/proc/sys/kernel/hostname"),
            cpu: model.map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned()),
            cpus: cpus(),
            kernel: text("/proc/sys/kernel/osrelease"),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build: if build() == Build::Debug { "debug" } else { "release" }.to_owned(),
            proxy: None,
        }
    }
}

/// Returns how many processors this process may use.
pub(crate) fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Returns how this binary was built.
pub(crate) const fn build() -> Build {
    if cfg!(debug_assertions) { Build::Debug } else { Build::Release }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_something_about_itself() {
        let found = Environment::observe();
        assert!(found.cpus >= 1 && !found.kernel.is_empty() && !found.version.is_empty());
    }
}
