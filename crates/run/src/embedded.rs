//! The embedded engine: its configuration read, its engine made, its server started.
//!
//! Here errors get what a person needs: the names that are near a mistyped one, and what to
//! change where a deployment does not fit.

use std::thread;

use infermark_drive::priority::{Granted, prefer_latency};
use infermark_scenario::closest;
use infermark_sim::deployment::DeploymentError;
use infermark_sim::engine::Engine;
use infermark_sim::hardware;
use infermark_sim::model::registry;
use infermark_sim::serve::{self, ServePlan, Serving};
use infermark_sim::spec::{SimTarget, SpecError};
use infermark_terms::Seed;

use crate::RunError;

/// Near names that a hint lists.
const NEAR_NAMES: usize = 6;

/// Reads what stands after `sim:`.
///
/// # Errors
///
/// If it describes neither latencies nor a deployment, with the names that are near.
pub fn configure(text: &str) -> Result<SimTarget, RunError> {
    text.parse().map_err(|error| RunError::Engine {
        text: text.to_owned(),
        reason: format!("{error}"),
        hint: hint(&error),
    })
}

/// Makes the engine that `text` was read as.
///
/// # Errors
///
/// If the deployment does not fit on its GPUs, with the sum, or its split is impossible.
pub fn engine(text: &str, target: &SimTarget, seed: Seed) -> Result<Box<dyn Engine>, RunError> {
    target.engine(seed).map_err(|error| RunError::Engine {
        text: text.to_owned(),
        reason: error.to_string(),
        hint: match error {
            DeploymentError::DoesNotFit { .. } => {
                "more GPUs (`tp=`, `pp=`), smaller weights (`weights=fp8`), a shorter `context=` \
                 or a larger share of `memory=` make room"
            }
            DeploymentError::BadSplit { .. } => "change `tp=`, `pp=`, `replicas=` or `prefill=`",
        }
        .to_owned(),
    })
}

/// Returns the name and the greatest context of what is served.
pub fn served(target: &SimTarget) -> ServePlan {
    match target {
        SimTarget::Fixed(_) => ServePlan::new("embedded"),
        SimTarget::Deployment(deployment) => {
            let model = &deployment.model;
            let longest = deployment.limits.max_model_len.unwrap_or(model.max_context);
            ServePlan { max_model_len: longest, ..ServePlan::new(&model.name) }
        }
    }
}

/// Starts to serve, from a thread of its own, whose favour the engine's thread inherits.
///
/// # Errors
///
/// If the address cannot be had, or the system gives no thread, timer or event queue.
///
/// # Panics
///
/// If starting the engine does.
pub fn serve(plan: ServePlan, engine: Box<dyn Engine>) -> Result<Serving, RunError> {
    let favoured = thread::spawn(move || {
        let _: Granted = prefer_latency();
        serve::start(plan, engine)
    });
    let outcome = favoured.join().expect("starting the engine does not panic");
    outcome.map_err(|source| RunError::System { what: "socket for the embedded engine", source })
}

fn hint(error: &SpecError) -> String {
    let near = |kind: &str, wrong: &str, names: &mut dyn Iterator<Item = &str>| {
        format!("{kind} of near names are {}", closest(wrong, names, NEAR_NAMES).join(", "))
    };
    match error {
        SpecError::UnknownModel { name } => {
            let known = registry::all();
            near("models", name, &mut known.iter().map(|shape| shape.name.as_str()))
        }
        SpecError::UnknownGpu { name } => {
            near("GPUs", name, &mut hardware::ALL.iter().map(|gpu| gpu.name))
        }
        SpecError::Latency(_) => {
            "for example `sim:ttft=50ms,itl=10ms`, or `sim:llama-3.1-8b@h100` for a model on a GPU"
                .to_owned()
        }
        SpecError::NoGpu { .. } | SpecError::UnknownKey { .. } | SpecError::BadValue { .. } => {
            "for example `sim:llama-3.1-70b@h100,tp=4,weights=fp8`".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint_of(text: &str) -> String {
        let made = configure(text).and_then(|target| engine(text, &target, Seed(1)));
        made.err().and_then(|error| error.hint()).unwrap_or_default()
    }

    #[test]
    fn a_wrong_configuration_comes_with_what_to_do() {
        assert!(hint_of("llama-3.3-8b@h100").contains("llama-3.1-8b"));
        assert!(hint_of("llama-3.1-8b@h10").contains("h100-sxm"));
        assert!(hint_of("llama-3.1-70b@h100").contains("`tp=`"));
        assert!(hint_of("ttft=fast").contains("sim:ttft=50ms"));
        assert_eq!(hint_of("llama-3.1-8b@h100,tp=2"), "");
    }

    #[test]
    fn a_deployment_is_served_under_its_own_name_and_context() {
        let plan = served(&configure("llama-3.1-8b@h100,context=4096").unwrap());
        assert_eq!((plan.model.as_str(), plan.max_model_len), ("llama-3.1-8b", 4096));
    }
}
