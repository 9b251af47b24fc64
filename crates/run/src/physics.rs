//! What the target's hardware cannot exceed, where its model and GPUs are known.

use infermark_measure::Physics;
use infermark_scenario::intent::{Scenario, Target};
use infermark_sim::deployment::Deployment;
use infermark_sim::model::{Dtype, registry};
use infermark_sim::spec::SimTarget;
use infermark_sim::{hardware, physics as bounds};

use crate::embedded;

/// Returns the bounds of what is served; nothing where model or GPUs are not known. Of a server
/// they are known if the registries have the model that it serves and the GPUs that the scenario
/// states.
pub(crate) fn physics(scenario: &Scenario, model: &str) -> Option<Physics> {
    match &scenario.target {
        Target::Sim(text) => match embedded::configure(text).ok()? {
            SimTarget::Fixed(_) => None,
            SimTarget::Deployment(deployment) => Some(of_deployment(&deployment)),
        },
        Target::Url(_) => {
            let gpus = scenario.gpus.as_ref()?;
            let shape = registry::find(model)?;
            let gpu = hardware::find(&gpus.name)?;
            // A server may quantise on load what was published in 16 bits, and its name does not
            // say so.
            let weights = if shape.weights == Dtype::Bf16 { Dtype::Int4 } else { shape.weights };
            let bytes = bounds::active_weight_bytes(&shape, weights);
            let bandwidth = f64::from(gpus.count) * gpu.bandwidth;
            Some(Physics {
                step_ms_min: bytes / bandwidth * 1e3,
                output_tokens_per_s_max: bounds::tokens_per_s_max(&shape, &gpu, gpus.count),
            })
        }
    }
}

fn of_deployment(deployment: &Deployment) -> Physics {
    let (model, gpu) = (&deployment.model, &deployment.gpu);
    Physics {
        step_ms_min: bounds::step_seconds_min(deployment) * 1e3,
        output_tokens_per_s_max: bounds::tokens_per_s_max(model, gpu, deployment.gpus()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use infermark_scenario::{Given, resolve, settings};
    use infermark_terms::Seed;

    fn bounds_of(target: &str, gpus: Option<&str>, model: &str) -> Option<Physics> {
        let gpus = gpus.map(|gpus| Given::flag(&settings::GPUS, gpus));
        let given = [Some(Given::flag(&settings::TARGET, target)), gpus];
        let resolved = resolve(given.into_iter().flatten().collect(), Seed(0)).unwrap();
        physics(&resolved.scenario, model)
    }

    #[test]
    fn a_server_has_bounds_where_model_and_gpus_are_known() {
        let url = "http://127.0.0.1:1";
        let known = bounds_of(url, Some("1xH100"), "meta-llama/Llama-3.1-8B-Instruct").unwrap();
        // Four bits for each of 7.0 G parameters, two bytes for each of the output matrix.
        assert!((1.3..1.5).contains(&known.step_ms_min), "{}", known.step_ms_min);
        let two = bounds_of(url, Some("2xH100"), "llama-3.1-8b").unwrap();
        assert!((two.step_ms_min * 2.0 - known.step_ms_min).abs() < 1e-9);
        assert!(two.output_tokens_per_s_max > 1.9 * known.output_tokens_per_s_max);
        let fp8 = bounds_of(url, Some("1xH100"), "llama-3.1-8b-fp8").unwrap();
        assert!(fp8.step_ms_min > 1.5 * known.step_ms_min, "the name says its format");
        assert_eq!(bounds_of(url, None, "llama-3.1-8b"), None);
        assert_eq!(bounds_of(url, Some("1xabacus"), "llama-3.1-8b"), None);
        assert_eq!(bounds_of(url, Some("1xH100"), "llama-0"), None);
    }

    #[test]
    fn the_embedded_engine_has_the_bounds_of_its_deployment() {
        let known = bounds_of("sim:llama-3.1-8b@h100", None, "llama-3.1-8b").unwrap();
        assert!((4.4..4.6).contains(&known.step_ms_min), "{}", known.step_ms_min);
        assert_eq!(bounds_of("sim:ttft=10ms,itl=5ms", None, "embedded"), None);
    }
}
