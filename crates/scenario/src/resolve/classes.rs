//! The classes of requests, each resolved as a scenario of its own: what it has of its own holds
//! before what the run says.

use super::{Resolved, resolve};
use crate::given::Given;
use crate::intent::Class;
use crate::problem::{Place, Problem, Problems};
use crate::settings::{CLASSES, SLO, Setting};
use crate::syntax::Named;

/// The most classes.
const CLASSES_MAX: usize = 64;

/// Returns the classes of a run.
///
/// # Errors
///
/// Whatever is wrong with a class, named by it; what no two classes may share or differ in.
pub(super) fn classes(run: &Resolved, named: &[Named]) -> Result<Vec<Class>, Problems> {
    if named.len() > CLASSES_MAX {
        return Err(refuse(None, &format!("more than {CLASSES_MAX}")).into());
    }
    let mut classes: Vec<Class> = Vec::new();
    for one in named {
        let class = class(run, one)?;
        if classes.iter().any(|other| other.name == class.name) {
            return Err(refuse(Some(&class.name), "the name stands twice").into());
        }
        let policy = class.workload.output_policy;
        if classes.first().is_some_and(|first| first.workload.output_policy != policy) {
            let found = "its output length is an order and another class's is not";
            let mut problem = refuse(Some(&class.name), found);
            problem.hint = Some("give all classes the same `output_length`".to_owned());
            return Err(problem.into());
        }
        classes.push(class);
    }
    Ok(classes)
}

fn class(run: &Resolved, named: &Named) -> Result<Class, Problems> {
    let kept = run.values.iter().filter(|value| value.origin.is_given());
    let kept = kept.filter_map(|value| {
        let setting = Setting::by_key(value.key).filter(|s| **s != CLASSES && **s != SLO)?;
        Some(Given::resolved(setting, value.text.clone(), value.origin.clone()))
    });
    let own = named.own.iter().map(|(setting, text)| Given::study(setting, text.clone()));
    let resolved = resolve(own.chain(kept).collect(), run.scenario.seed).map_err(|problems| {
        let first = &problems.as_slice()[0];
        let places: Vec<_> = first.places.iter().map(Place::name).collect();
        let found = format!("{}: {}", places.join(" and "), first.found);
        let (expected, hint) = (first.expected.clone(), first.hint.clone());
        Problem { expected, hint, ..refuse(Some(&named.name), &found) }
    })?;
    let scenario = resolved.scenario;
    Ok(Class {
        name: named.name.clone(),
        weight: named.weight,
        model: scenario.model,
        workload: scenario.workload,
        slo: scenario.slo,
    })
}

fn refuse(class: Option<&str>, found: &str) -> Problem {
    Problem {
        places: vec![Place::new("class", class, None)],
        found: found.to_owned(),
        expected: None,
        hint: None,
    }
}
