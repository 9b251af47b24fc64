//! Accelerators: peak rates and memory as their makers publish them.
//!
//! Rates are dense (never "with sparsity"), in operations per second; memory is what the driver
//! reports as total; links are bytes per second in one direction for one GPU. How much of a peak
//! an engine reaches is not here but in [`crate::efficiency`], by [`Family`].

/// GPUs that share a design, and therefore efficiencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// T4.
    Turing,
    /// A100 and its slices.
    Ampere,
    /// A10 and RTX 30: Ampere without HBM.
    AmpereGraphics,
    /// L40S and RTX 40.
    Ada,
    /// H100, H200.
    Hopper,
    /// B200, GB200.
    Blackwell,
    /// MI250.
    Cdna2,
    /// MI300X.
    Cdna3,
    /// A server's CPUs.
    Cpu,
}

/// How GPUs of one host talk to each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// What it is.
    pub kind: LinkKind,
    /// Bytes per second in one direction.
    pub bandwidth: f64,
}

/// Kinds of links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkKind {
    /// `NVLink` or Infinity Fabric: direct.
    Direct,
    /// PCI Express between data-centre cards, peer to peer.
    Pcie,
    /// PCI Express between cards whose driver allows no peer access: through host memory.
    PcieThroughHost,
}

/// An accelerator.
#[derive(Clone, Debug, PartialEq)]
pub struct Gpu {
    /// Its short name.
    pub name: &'static str,
    /// Its design.
    pub family: Family,
    /// Total memory in bytes.
    pub memory: f64,
    /// Memory bandwidth in bytes per second.
    pub bandwidth: f64,
    /// 16-bit operations per second.
    pub flops_16: f64,
    /// 8-bit float operations per second; absent where the GPU has none.
    pub flops_fp8: Option<f64>,
    /// 8-bit integer operations per second.
    pub flops_int8: Option<f64>,
    /// The link to other GPUs of the host.
    pub link: Link,
    /// Thermal design power in watts.
    pub watts: f64,
    /// Where the figures come from.
    pub source: &'static str,
}

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;
const T: f64 = 1e12;

const fn nvlink(gigabytes: f64) -> Link {
    Link { kind: LinkKind::Direct, bandwidth: gigabytes * 1e9 }
}

const fn pcie(gigabytes: f64) -> Link {
    Link { kind: LinkKind::Pcie, bandwidth: gigabytes * 1e9 }
}

const fn through_host(gigabytes: f64) -> Link {
    Link { kind: LinkKind::PcieThroughHost, bandwidth: gigabytes * 1e9 }
}

/// Every accelerator that is known.
pub const ALL: [Gpu; 30] = [
    Gpu {
        name: "t4",
        family: Family::Turing,
        memory: 14.75 * GIB,
        bandwidth: 0.320 * T,
        flops_16: 65.0 * T,
        flops_fp8: None,
        flops_int8: Some(130.0 * T),
        link: pcie(16.0),
        watts: 70.0,
        source: "NVIDIA T4 datasheet (2019)",
    },
    Gpu {
        name: "a10",
        family: Family::AmpereGraphics,
        memory: 22.5 * GIB,
        bandwidth: 0.600 * T,
        flops_16: 125.0 * T,
        flops_fp8: None,
        flops_int8: Some(250.0 * T),
        link: pcie(32.0),
        watts: 150.0,
        source: "NVIDIA A10 datasheet (2021)",
    },
    Gpu {
        name: "rtx-a6000",
        family: Family::AmpereGraphics,
        memory: 47.5 * GIB,
        bandwidth: 0.768 * T,
        flops_16: 154.8 * T,
        flops_fp8: None,
        flops_int8: Some(309.7 * T),
        link: pcie(32.0),
        watts: 300.0,
        source: "NVIDIA RTX A6000 datasheet (2021), dense",
    },
    Gpu {
        name: "rtx-3090",
        family: Family::AmpereGraphics,
        memory: 24.0 * GIB,
        bandwidth: 0.936 * T,
        flops_16: 71.2 * T,
        flops_fp8: None,
        flops_int8: Some(284.0 * T),
        link: through_host(32.0),
        watts: 350.0,
        source: "NVIDIA GA102 whitepaper, table 2 (16-bit with 32-bit accumulate)",
    },
    a100("a100-40gb", 39.4, 1.555, 400.0),
    a100("a100-80gb", 79.2, 2.039, 400.0),
    Gpu { link: pcie(32.0), ..a100("a100-pcie-80gb", 79.2, 1.935, 300.0) },
    a100_slice("a100-40gb-1g.5gb", 4.75, 1.555 / 8.0, 1.0),
    a100_slice("a100-40gb-2g.10gb", 9.75, 1.555 / 4.0, 2.0),
    a100_slice("a100-40gb-3g.20gb", 19.6, 1.555 / 2.0, 3.0),
    a100_slice("a100-80gb-1g.10gb", 9.5, 2.039 / 8.0, 1.0),
    a100_slice("a100-80gb-2g.20gb", 19.5, 2.039 / 4.0, 2.0),
    a100_slice("a100-80gb-3g.40gb", 39.2, 2.039 / 2.0, 3.0),
    Gpu {
        name: "l40s",
        family: Family::Ada,
        memory: 44.4 * GIB,
        bandwidth: 0.864 * T,
        flops_16: 362.0 * T,
        flops_fp8: Some(733.0 * T),
        flops_int8: Some(733.0 * T),
        link: pcie(32.0),
        watts: 350.0,
        source: "NVIDIA L40S datasheet (2023), dense",
    },
    Gpu {
        name: "l4",
        family: Family::Ada,
        memory: 22.5 * GIB,
        bandwidth: 0.300 * T,
        flops_16: 121.0 * T,
        flops_fp8: Some(242.0 * T),
        flops_int8: Some(242.0 * T),
        link: pcie(32.0),
        watts: 72.0,
        source: "NVIDIA L4 datasheet (2023), dense",
    },
    Gpu {
        name: "rtx-4090",
        family: Family::Ada,
        memory: 23.6 * GIB,
        bandwidth: 1.008 * T,
        flops_16: 165.2 * T,
        flops_fp8: Some(330.3 * T),
        flops_int8: Some(660.6 * T),
        link: through_host(32.0),
        watts: 450.0,
        source: "NVIDIA Ada whitepaper, appendix A (32-bit accumulate)",
    },
    Gpu {
        name: "rtx-4070-ti-super",
        family: Family::Ada,
        memory: 15.6 * GIB,
        bandwidth: 0.672 * T,
        flops_16: 88.2 * T,
        flops_fp8: Some(176.4 * T),
        flops_int8: Some(353.0 * T),
        link: through_host(32.0),
        watts: 285.0,
        source: "NVIDIA Ada whitepaper scaled by cores × boost clock (8448 × 2.61 GHz)",
    },
    hopper("h100-sxm", 79.6, 3.35, nvlink(450.0), 700.0),
    Gpu {
        flops_16: 756.0 * T,
        flops_fp8: Some(1513.0 * T),
        flops_int8: Some(1513.0 * T),
        ..hopper("h100-pcie", 79.6, 2.0, pcie(64.0), 350.0)
    },
    Gpu {
        flops_16: 835.0 * T,
        flops_fp8: Some(1671.0 * T),
        flops_int8: Some(1671.0 * T),
        ..hopper("h100-nvl", 93.1, 3.9, nvlink(300.0), 400.0)
    },
    hopper("h200", 139.8, 4.8, nvlink(450.0), 700.0),
    Gpu {
        flops_16: 148.0 * T,
        flops_fp8: Some(296.0 * T),
        flops_int8: Some(296.0 * T),
        source: "NVIDIA H20 product brief, dense",
        ..hopper("h20", 95.6, 4.0, nvlink(450.0), 400.0)
    },
    blackwell("b200", 178.4, 8.0, 2250.0, 1000.0),
    blackwell("gb200", 184.3, 8.0, 2500.0, 1200.0),
    Gpu {
        name: "mi250",
        family: Family::Cdna2,
        memory: 64.0 * GIB,
        bandwidth: 1.638 * T,
        flops_16: 181.0 * T,
        flops_fp8: None,
        flops_int8: Some(181.0 * T),
        link: nvlink(100.0),
        watts: 280.0,
        source: "AMD MI250 datasheet; one of the two dies that the driver shows",
    },
    Gpu {
        name: "mi300x",
        family: Family::Cdna3,
        memory: 191.0 * GIB,
        bandwidth: 5.3 * T,
        flops_16: 1307.0 * T,
        flops_fp8: Some(2615.0 * T),
        flops_int8: Some(2615.0 * T),
        link: nvlink(448.0),
        watts: 750.0,
        source: "AMD MI300X datasheet (2023)",
    },
    cpu("cpu-epyc-9334", 0.461, 12.0, 1152.0),
    cpu("cpu-epyc-9v33x", 0.780, 36.0, 768.0),
    cpu("cpu-xeon-8480", 0.307, 40.0, 512.0),
    cpu("cpu-laptop", 0.060, 0.5, 16.0),
];

const fn a100(name: &'static str, gib: f64, terabytes: f64, watts: f64) -> Gpu {
    Gpu {
        name,
        family: Family::Ampere,
        memory: gib * GIB,
        bandwidth: terabytes * T,
        flops_16: 312.0 * T,
        flops_fp8: None,
        flops_int8: Some(624.0 * T),
        link: nvlink(300.0),
        watts,
        source: "NVIDIA A100 datasheet (2021), dense",
    }
}

/// A slice of an A100: so many sevenths of its multiprocessors.
const fn a100_slice(name: &'static str, gib: f64, terabytes: f64, sevenths: f64) -> Gpu {
    Gpu {
        flops_16: 312.0 * T * sevenths / 7.0,
        flops_int8: Some(624.0 * T * sevenths / 7.0),
        link: pcie(32.0),
        source: "NVIDIA MIG user guide, A100 profiles: eighths of memory, sevenths of compute",
        ..a100(name, gib, terabytes, 400.0 * sevenths / 7.0)
    }
}

const fn hopper(name: &'static str, gib: f64, terabytes: f64, link: Link, watts: f64) -> Gpu {
    Gpu {
        name,
        family: Family::Hopper,
        memory: gib * GIB,
        bandwidth: terabytes * T,
        flops_16: 989.0 * T,
        flops_fp8: Some(1979.0 * T),
        flops_int8: Some(1979.0 * T),
        link,
        watts,
        source: "NVIDIA H100 and H200 datasheets, dense",
    }
}

const fn blackwell(name: &'static str, gib: f64, terabytes: f64, tera: f64, watts: f64) -> Gpu {
    Gpu {
        name,
        family: Family::Blackwell,
        memory: gib * GIB,
        bandwidth: terabytes * T,
        flops_16: tera * T,
        flops_fp8: Some(2.0 * tera * T),
        flops_int8: Some(2.0 * tera * T),
        link: nvlink(900.0),
        watts,
        source: "NVIDIA DGX B200 and GB200 NVL72 datasheets, per GPU, dense",
    }
}

/// A CPU host: one socket's memory channels, 16-bit matrix units where it has them.
const fn cpu(name: &'static str, terabytes: f64, tera: f64, gib: f64) -> Gpu {
    Gpu {
        name,
        family: Family::Cpu,
        memory: gib * GIB,
        bandwidth: terabytes * T,
        flops_16: tera * T,
        flops_fp8: None,
        flops_int8: Some(2.0 * tera * T),
        link: through_host(40.0),
        watts: 300.0,
        source: "memory channels × transfer rate of one socket; cores × clock × vector width",
    }
}

impl Gpu {
    /// Returns the operations per second of its fastest format.
    pub fn flops_max(&self) -> f64 {
        self.flops_16.max(self.flops_fp8.unwrap_or(0.0)).max(self.flops_int8.unwrap_or(0.0))
    }
}

/// Names that people use, and what they mean here.
const ALIASES: [(&str, &str); 31] = [
    ("h100-80gb-hbm3", "h100-sxm"),
    ("h100-sxm-80gb", "h100-sxm"),
    ("h100-nvl-94gb", "h100-nvl"),
    ("h200-141gb", "h200"),
    ("a100-sxm4-80gb", "a100-80gb"),
    ("a100-sxm4-40gb", "a100-40gb"),
    ("a100-80gb-pcie", "a100-pcie-80gb"),
    ("h100", "h100-sxm"),
    ("h100-80gb", "h100-sxm"),
    ("h100-80gb-sxm", "h100-sxm"),
    ("h100-sxm5", "h100-sxm"),
    ("h100l", "h100-nvl"),
    ("h100-94gb", "h100-nvl"),
    ("h200-sxm", "h200"),
    ("a100", "a100-80gb"),
    ("a100-sxm", "a100-80gb"),
    ("a100-sxm-80gb", "a100-80gb"),
    ("a100-80gb-sxm", "a100-80gb"),
    ("a100-40g", "a100-40gb"),
    ("a100-mig-20gb", "a100-40gb-3g.20gb"),
    ("a100-mig", "a100-40gb-3g.20gb"),
    ("3090", "rtx-3090"),
    ("rtx3090", "rtx-3090"),
    ("4090", "rtx-4090"),
    ("rtx4090", "rtx-4090"),
    ("4070-ti-super", "rtx-4070-ti-super"),
    ("4070-s-ti", "rtx-4070-ti-super"),
    ("rtx4070tisuper", "rtx-4070-ti-super"),
    ("mi300", "mi300x"),
    ("mi250x", "mi250"),
    ("cpu", "cpu-epyc-9334"),
];

/// Returns the accelerator of this name, such as `h100` or `NVIDIA L40S`, or `None`.
pub fn find(name: &str) -> Option<Gpu> {
    let name = name.to_ascii_lowercase().replace([' ', '_'], "-");
    let name = name.strip_prefix("nvidia-").or(name.strip_prefix("amd-")).unwrap_or(&name);
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, meant)| meant);
    ALL.into_iter().find(|gpu| gpu.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alias_and_every_name_is_found() {
        for (alias, meant) in ALIASES {
            assert_eq!(find(alias).map(|gpu| gpu.name), Some(meant));
        }
        for gpu in ALL {
            assert_eq!(find(gpu.name).as_ref(), Some(&gpu));
        }
        assert_eq!(find("NVIDIA L40S").map(|gpu| gpu.name), Some("l40s"));
        assert_eq!(find("abacus"), None);
    }

    #[test]
    fn figures_are_of_the_right_order() {
        for gpu in ALL {
            let ridge = gpu.flops_16 / gpu.bandwidth;
            assert!((5.0..700.0).contains(&ridge), "{}: {ridge} operations a byte", gpu.name);
            assert!(gpu.flops_fp8.is_none_or(|rate| rate > 1.8 * gpu.flops_16), "{}", gpu.name);
            assert!(gpu.memory / gpu.bandwidth > 0.01, "{}", gpu.name);
        }
    }
}
