//! Whether what a scenario asks fits into the context that the server states, before it is sent.
//!
//! Judged is what the scenario itself says. Of a law with tails that is its mean: what its tails
//! ask beyond the context is refused by the server, which is an outcome.
//!
//! Deliberately not here: datasets and traces, of which some rows may not fit and the others do.

use infermark_scenario::intent::{self, Distribution, PromptSource, Scenario, TurnCount};
use infermark_terms::OutputPolicy;

use crate::RunError;
use crate::target::TargetReport;

/// Checks that requests fit, and conversations to their last turn where answers have exact
/// lengths. Classes with models of their own are not judged.
///
/// # Errors
///
/// If they do not.
pub(crate) fn check(
    scenario: &Scenario,
    report: &TargetReport,
    template_tokens: Option<u32>,
) -> Result<(), RunError> {
    let Some(context) = report.context_tokens else { return Ok(()) };
    let whole = scenario.classes.is_empty().then_some(&scenario.workload);
    let classes = scenario.classes.iter().filter(|class| class.model.is_none());
    let turns = match scenario.sessions.map(|sessions| sessions.turns) {
        Some(TurnCount::Drawn(turns)) => said(turns),
        Some(TurnCount::All) | None => 1,
    };
    for workload in whole.into_iter().chain(classes.map(|class| &class.workload)) {
        let exact = workload.output_policy == OutputPolicy::Exact;
        let turns = if exact { turns } else { 1 };
        let Some(tokens) = tokens(workload, turns, template_tokens.unwrap_or(0)) else { continue };
        if tokens > u64::from(context) {
            let kind = if turns > 1 { "conversations" } else { "requests" };
            return Err(RunError::TooLong { kind, tokens, model: report.model.clone(), context });
        }
    }
    Ok(())
}

/// Returns how long requests get, input and output, by so many turns; nothing where their lengths
/// are a file's.
fn tokens(workload: &intent::Workload, turns: u32, template: u32) -> Option<u64> {
    let input = match workload.source {
        PromptSource::Synthetic { input_tokens, .. } | PromptSource::Corpus { input_tokens } => {
            u64::from(said(input_tokens))
        }
        PromptSource::File { .. } | PromptSource::Trace { .. } => return None,
    };
    let output = u64::from(workload.output_tokens.map_or(0, said));
    let later = input.saturating_sub(template.into()) + output;
    Some(input + output + u64::from(turns - 1) * later)
}

/// Returns the greatest length that is said, or the mean of a law with tails.
fn said(law: Distribution) -> u32 {
    match law {
        Distribution::Fixed(length) => length,
        Distribution::Uniform { max, .. } => max,
        Distribution::Normal { mean, min, max, .. }
        | Distribution::LogNormal { mean, min, max, .. } => (mean.round() as u32).clamp(min, max),
    }
}

#[cfg(test)]
mod tests {
    use infermark_scenario::settings::Setting;
    use infermark_scenario::{Given, resolve};
    use infermark_terms::Seed;

    use super::*;
    use crate::target::{ServerKind, ServerReport};

    /// What is said against this scenario by a server with a context of 1000 tokens.
    fn refusal(given: &[(&str, &str)]) -> Option<String> {
        let setting = |key| Setting::by_key(key).unwrap();
        let given = given.iter().map(|(key, text)| Given::flag(setting(key), *text));
        let scenario = resolve(given.collect(), Seed(1)).unwrap().scenario;
        let report = TargetReport {
            url: "http://h".to_owned(),
            embedded: false,
            api: infermark_terms::Api::Chat,
            api_found: false,
            model: "m".to_owned(),
            context_tokens: Some(1000),
            server: ServerReport { name: ServerKind::Vllm, version: None },
            replicas: Vec::new(),
            unverified: false,
            http: infermark_terms::HttpVersion::Http1,
        };
        check(&scenario, &report, Some(10)).err().map(|error| error.to_string())
    }

    #[test]
    fn what_cannot_fit_is_refused_with_its_length() {
        let fixed = |input| [("input_tokens", input), ("output_tokens", "100")];
        assert_eq!(refusal(&fixed("900")), None);
        assert_eq!(
            refusal(&fixed("901")).unwrap(),
            "requests of 1001 tokens, input and output, do not fit into the context of `m`, which \
             holds 1000"
        );
        assert!(refusal(&fixed("uniform(1..901)")).is_some());
        // A tail may not fit; what is usual must.
        assert_eq!(refusal(&fixed("lognormal(900,300)")), None);
        assert!(refusal(&fixed("lognormal(901,300)")).is_some());
        assert_eq!(refusal(&[("dataset", "x.csv")]), None);
    }

    #[test]
    fn a_conversation_must_fit_to_its_last_turn() {
        let talk = |turns, length| {
            let lengths = [("input_tokens", "110"), ("output_tokens", "100")];
            refusal(&[&lengths[..], &[("turns", turns), ("output_length", length)]].concat())
        };
        // The template counts once: 210 + 3 × 200.
        assert_eq!(talk("4", "exact"), None);
        assert!(talk("5", "exact").unwrap().starts_with("conversations of 1010 tokens"));
        // How short answers are is the model's affair.
        assert_eq!(talk("5", "natural"), None);
    }
}
