//! A deployment in one line: `llama-3.1-8b@h100,tp=2,weights=fp8`.
//!
//! The same text stands after `sim:` on the command line, and in calibration data. A text without
//! `@` gives fixed latencies instead ([`crate::latency`]).

use std::str::FromStr;

use infermark_terms::Seed;

use crate::deployment::{
    Chunking, Deployment, DeploymentError, ExpertPlacement, Launch, Policy, PrefixCache, Router,
    Speculation, Split,
};
use crate::efficiency::Stack;
use crate::engine::{Engine, Fleet};
use crate::latency::{FixedEngine, FixedLatency, ParseLatencyError};
use crate::model::Dtype;
use crate::{hardware, model::registry};

/// What stands after `sim:`.
#[derive(Clone, Debug, PartialEq)]
pub enum SimTarget {
    /// Latencies as given.
    Fixed(FixedLatency),
    /// A model on hardware.
    Deployment(Box<Deployment>),
}

/// Why a text describes no deployment.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// The text gives latencies, and badly.
    #[error(transparent)]
    Latency(#[from] ParseLatencyError),
    /// There is no `@` between a model and a GPU.
    #[error("`{text}` is not of the form `model@gpu,key=value,…`")]
    NoGpu {
        /// The text.
        text: String,
    },
    /// The model is not in the registry.
    #[error("unknown model `{name}`")]
    UnknownModel {
        /// Its name.
        name: String,
    },
    /// The GPU is not in the table.
    #[error("unknown GPU `{name}`")]
    UnknownGpu {
        /// Its name.
        name: String,
    },
    /// A key that is not known, or a part that is no pair.
    #[error("unknown option `{key}`; expected one of {}", KEYS.join(", "))]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// A value that the key does not take.
    #[error("`{value}` is no value of `{key}`; expected {expected}")]
    BadValue {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
}

/// Every key, in the order in which they are listed.
const KEYS: [&str; 21] = [
    "tp",
    "pp",
    "dp",
    "ep",
    "replicas",
    "router",
    "prefill",
    "transfer",
    "weights",
    "kv",
    "seqs",
    "batched",
    "context",
    "memory",
    "stack",
    "launch",
    "chunked",
    "prefix-cache",
    "policy",
    "queue",
    "speculate",
];

impl FromStr for SimTarget {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        if text.contains('@') {
            Ok(Self::Deployment(Box::new(text.parse()?)))
        } else {
            Ok(Self::Fixed(text.parse()?))
        }
    }
}

impl SimTarget {
    /// Builds the engine that the text describes. `seed` decides what is left to chance.
    ///
    /// # Errors
    ///
    /// When a deployment does not fit on its GPUs, or its split is impossible.
    pub fn engine(&self, seed: Seed) -> Result<Box<dyn Engine>, DeploymentError> {
        Ok(match self {
            Self::Fixed(latency) => Box::new(FixedEngine::new(*latency)),
            Self::Deployment(deployment) => Box::new(Fleet::new(deployment, seed)?),
        })
    }
}

impl FromStr for Deployment {
    type Err = SpecError;

    /// Reads `model@gpu,key=value,…`.
    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut parts = text.split(',').map(str::trim);
        let (model, gpu) = parts
            .next()
            .and_then(|first| first.split_once('@'))
            .ok_or_else(|| SpecError::NoGpu { text: text.to_owned() })?;
        let shape = registry::find(model)
            .ok_or_else(|| SpecError::UnknownModel { name: model.to_owned() })?;
        let gpu =
            hardware::find(gpu).ok_or_else(|| SpecError::UnknownGpu { name: gpu.to_owned() })?;
        let mut deployment = Self::new(shape, gpu);
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            deployment.set(key.trim(), value.trim())?;
        }
        Ok(deployment)
    }
}

impl Deployment {
    /// Sets one option by its key.
    ///
    /// # Errors
    ///
    /// When the key is not known or does not take the value.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), SpecError> {
        let setting = Setting { key, value };
        match key {
            "tp" => self.parallel.tensor = setting.count()?,
            "pp" => self.parallel.pipeline = setting.count()?,
            "dp" => self.parallel.data = setting.count()?,
            "replicas" => self.parallel.replicas = setting.count()?,
            "ep" => self.parallel.experts = setting.one_of(&EXPERTS, "`on` or `off`")?,
            "router" => self.router = setting.one_of(&ROUTERS, ROUTERS_SHOWN)?,
            "prefill" | "transfer" => self.set_split(&setting)?,
            "weights" => self.weights = setting.dtype()?,
            "kv" => self.kv = setting.dtype()?,
            "seqs" => self.limits.max_num_seqs = setting.count()?,
            "batched" => self.limits.max_num_batched_tokens = setting.count()?,
            "context" => self.limits.max_model_len = Some(setting.count()?),
            "memory" => self.memory_share = setting.share()?,
            "stack" => {
                let stack = Stack::of_name(value).ok_or_else(|| {
                    setting.bad("`vllm`, `vllm-VERSION`, `vllm-async`, `sglang` or `tensorrt-llm`")
                })?;
                *self = self.clone().on_stack(stack);
            }
            "launch" => self.launch = setting.one_of(&LAUNCHES, "`graphs` or `eager`")?,
            "chunked" => {
                self.limits.chunked_prefill = setting.one_of(&CHUNKS, "`on` or `off`")?;
            }
            "prefix-cache" => {
                self.limits.prefix_cache = setting.one_of(&CACHES, "`on` or `off`")?;
            }
            "policy" => {
                self.limits.policy = setting.one_of(&POLICIES, "`fcfs` or `priority`")?;
            }
            "queue" => self.limits.max_queue = Some(setting.count()?),
            "speculate" => self.speculation = Some(setting.speculation()?),
            _ => return Err(SpecError::UnknownKey { key: key.to_owned() }),
        }
        Ok(())
    }

    fn set_split(&mut self, setting: &Setting<'_>) -> Result<(), SpecError> {
        let (mut count, mut rate) = match self.split {
            Split::Together => (1, DEFAULT_TRANSFER),
            Split::Apart { prefill, bandwidth } => (prefill, bandwidth),
        };
        if setting.key == "prefill" {
            count = setting.count()?;
        } else {
            rate = f64::from(setting.count()?) * 1e9;
        }
        self.split = Split::Apart { prefill: count, bandwidth: rate };
        Ok(())
    }
}

/// One 400 Gbit/s port.
const DEFAULT_TRANSFER: f64 = 50e9;
const EXPERTS: [(&str, ExpertPlacement); 2] =
    [("on", ExpertPlacement::Whole), ("off", ExpertPlacement::Sliced)];
const ROUTERS: [(&str, Router); 3] = [
    ("round-robin", Router::RoundRobin),
    ("least-loaded", Router::LeastLoaded),
    ("prefix-aware", Router::PrefixAware),
];
const ROUTERS_SHOWN: &str = "`round-robin`, `least-loaded` or `prefix-aware`";
const LAUNCHES: [(&str, Launch); 2] = [("graphs", Launch::Graphs), ("eager", Launch::Eager)];
const CHUNKS: [(&str, Chunking); 2] = [("on", Chunking::Pieces), ("off", Chunking::Whole)];
const CACHES: [(&str, PrefixCache); 2] = [("on", PrefixCache::Kept), ("off", PrefixCache::Off)];
const POLICIES: [(&str, Policy); 2] = [("fcfs", Policy::Fcfs), ("priority", Policy::Priority)];

/// A key and its value.
struct Setting<'a> {
    key: &'a str,
    value: &'a str,
}

impl Setting<'_> {
    fn bad(&self, expected: &'static str) -> SpecError {
        let (key, value) = (self.key.to_owned(), self.value.to_owned());
        SpecError::BadValue { key, value, expected }
    }

    fn count(&self) -> Result<u32, SpecError> {
        let bad = || self.bad("a whole number above 0");
        self.value.parse().ok().filter(|&n| n > 0).ok_or_else(bad)
    }

    fn share(&self) -> Result<f64, SpecError> {
        let bad = || self.bad("a number above 0 and at most 1");
        self.value.parse().ok().filter(|&x: &f64| x > 0.0 && x <= 1.0).ok_or_else(bad)
    }

    fn dtype(&self) -> Result<Dtype, SpecError> {
        Dtype::of_name(self.value)
            .ok_or_else(|| self.bad("`bf16`, `fp8`, `int8`, `int4` or `mxfp4`"))
    }

    fn one_of<T: Copy>(&self, names: &[(&str, T)], expected: &'static str) -> Result<T, SpecError> {
        let found = names.iter().find(|(name, _)| *name == self.value);
        found.map(|&(_, meant)| meant).ok_or_else(|| self.bad(expected))
    }

    /// `tokens:acceptance:layers`, such as `4:0.7:1`.
    fn speculation(&self) -> Result<Speculation, SpecError> {
        let parse = || {
            let mut parts = self.value.split(':');
            let tokens = parts.next()?.parse().ok().filter(|&n| n > 0)?;
            let acceptance = parts.next()?.parse().ok()?;
            let draft_layers = parts.next()?.parse().ok()?;
            let sane = (0.0..=1.0).contains(&acceptance) && parts.next().is_none();
            sane.then_some(Speculation { tokens, acceptance, draft_layers })
        };
        parse().ok_or_else(|| self.bad("`tokens:acceptance:layers`, such as `4:0.7:1`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_describes_a_deployment() {
        let line = "Qwen/Qwen3-32B-FP8@4070-ti-super,tp=4,pp=2,kv=fp8,batched=4096,\
                    stack=vllm-async,launch=eager,speculate=4:0.7:1,replicas=3,prefill=1";
        let deployment: Deployment = line.parse().unwrap();
        assert_eq!(deployment.gpus(), 24);
        assert_eq!((deployment.weights, deployment.kv), (Dtype::Fp8, Dtype::Fp8));
        assert_eq!(deployment.limits.max_num_batched_tokens, 4096);
        assert_eq!(deployment.speculation.unwrap().tokens, 4);
        assert!(matches!(deployment.split, Split::Apart { prefill: 1, .. }));
    }

    #[test]
    fn a_text_without_a_gpu_gives_latencies() {
        assert_eq!("".parse(), Ok(SimTarget::Fixed(FixedLatency::default())));
        assert!(matches!("llama-3.1-8b@h100".parse(), Ok(SimTarget::Deployment(_))));
    }

    #[test]
    fn a_target_becomes_its_engine() {
        for text in ["ttft=1ms", "llama-3.1-8b@h100"] {
            let target: SimTarget = text.parse().unwrap();
            assert_eq!(target.engine(Seed(1)).unwrap().next_instant(), None);
        }
        let large: SimTarget = "llama-3.1-405b@h100".parse().unwrap();
        assert!(large.engine(Seed(1)).is_err());
    }

    #[test]
    fn a_slip_is_named() {
        let message = |text: &str| text.parse::<SimTarget>().unwrap_err().to_string();
        assert_eq!(message("llama-9@h100"), "unknown model `llama-9`");
        assert_eq!(message("llama-3.1-8b@h9"), "unknown GPU `h9`");
        assert_eq!(
            message("llama-3.1-8b@h100,tp=0"),
            "`0` is no value of `tp`; expected a whole number above 0"
        );
        assert!(message("llama-3.1-8b@h100,fast").starts_with("unknown option `fast`; expected"));
        assert!(message("llama-3.1-8b@h100,speculate=4").contains("such as `4:0.7:1`"));
    }

    #[test]
    fn every_key_that_is_listed_is_known() {
        let mut deployment: Deployment = "llama-3.1-8b@h100".parse().unwrap();
        for key in KEYS {
            let error = deployment.set(key, "no such value").unwrap_err();
            assert!(matches!(error, SpecError::BadValue { .. }), "{key}");
        }
    }
}
