//! Who is measured: the embedded engine or a server, and what it says about itself.

use std::sync::Arc;

use infermark_drive::{Endpoint, Response, Roots, call};
use infermark_scenario::intent::{Access, HeaderValue, Scenario, Target, Verification};
use infermark_sim::serve::{ServePlan, Serving};
use infermark_terms::{Excerpt, Nanos, Seed};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::load::Secrets;
use crate::{RunError, embedded};

/// How long a call outside the measured load may take.
pub(crate) const CALL_LIMIT: Nanos = Nanos::from_secs(30);

/// A target that answers.
pub(crate) struct Reached {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) report: TargetReport,
    /// Keeps the embedded engine going.
    pub(crate) embedded: Option<Serving>,
}

/// What is known of the target, for the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetReport {
    /// As given: a URL, or `sim:…`.
    pub url: String,
    /// Whether it is the engine embedded in this program.
    pub embedded: bool,
    /// The model that is asked.
    pub model: String,
    /// What the server says it is.
    pub server: ServerReport,
    /// Whether the server's certificate was believed without a check.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unverified: bool,
}

/// What a server says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerReport {
    /// Which software, where it can be told.
    pub name: ServerKind,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The software that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerKind {
    /// vLLM, or something that says it is.
    Vllm,
    /// infermark's own simulator.
    Infermark,
    /// It does not say.
    Unknown,
}

/// Reaches the target and finds out which model to ask.
pub(crate) fn reach(scenario: &Scenario, secrets: &Secrets<'_>) -> Result<Reached, RunError> {
    let access = &scenario.access;
    let headers = headers(access, secrets)?;
    let (shown, embedded) = match &scenario.target {
        Target::Url(url) => (url.clone(), None),
        Target::Sim(text) => (format!("sim:{text}"), Some(embed(text, scenario.seed)?)),
    };
    let endpoint = endpoint(scenario, embedded.as_ref())?;
    let listed =
        models(&endpoint, &headers, scenario.model.as_deref(), access.timeout.min(CALL_LIMIT))?;
    let version = version(&endpoint, &headers);
    let report = TargetReport {
        url: shown,
        embedded: embedded.is_some(),
        model: scenario.model.clone().unwrap_or(listed.first),
        server: ServerReport { name: listed.kind, version },
        unverified: access.verification == Verification::Off,
    };
    Ok(Reached { endpoint, headers, report, embedded })
}

/// Starts the embedded engine anew where it is the target and was stopped.
pub(crate) fn revive(reached: &mut Reached, scenario: &Scenario) -> Result<(), RunError> {
    let Target::Sim(text) = &scenario.target else { return Ok(()) };
    if reached.embedded.is_none() {
        let serving = embed(text, scenario.seed)?;
        reached.endpoint = endpoint(scenario, Some(&serving))?;
        reached.embedded = Some(serving);
    }
    Ok(())
}

/// Resolves where the target is.
fn endpoint(scenario: &Scenario, embedded: Option<&Serving>) -> Result<Arc<Endpoint>, RunError> {
    let url = match (&scenario.target, embedded) {
        (_, Some(serving)) => format!("http://{}", serving.address()),
        (Target::Url(url), None) => url.clone(),
        (Target::Sim(_), None) => unreachable!("the embedded engine is served first"),
    };
    Ok(Arc::new(Endpoint::resolve(&url, &roots(&scenario.access))?))
}

/// Returns which certificates are believed.
pub(crate) fn roots(access: &Access) -> Roots {
    match access.verification {
        Verification::Full => Roots::Trusted { extra: access.ca.clone() },
        Verification::Off => Roots::Unverified,
    }
}

/// Serves the embedded engine on a loopback port of its own.
fn embed(text: &str, seed: Seed) -> Result<Serving, RunError> {
    let target = embedded::configure(text)?;
    let engine = embedded::engine(text, &target, seed)?;
    embedded::serve(ServePlan { seed, ..embedded::served(&target) }, engine)
}

/// Returns the headers of every call, with their secrets.
fn headers(access: &Access, secrets: &Secrets<'_>) -> Result<Vec<(String, String)>, RunError> {
    let secret = |name: &str, setting: &str| {
        secrets(name)
            .ok_or_else(|| RunError::Secret { name: name.to_owned(), setting: setting.to_owned() })
    };
    let mut headers = Vec::new();
    if let Some(name) = &access.api_key_env {
        let key = secret(name, "--api-key-env")?;
        headers.push(("Authorization".to_owned(), format!("Bearer {}", key.trim())));
    }
    for (name, value) in &access.headers {
        let value = match value {
            HeaderValue::Plain(text) => text.clone(),
            HeaderValue::Env(variable) => secret(variable, "--header")?,
        };
        headers.push((name.clone(), value));
    }
    Ok(headers)
}

struct Listed {
    first: String,
    kind: ServerKind,
}

/// Asks for the list of models. Without one the run goes on only if it knows its model.
fn models(
    endpoint: &Endpoint,
    headers: &[(String, String)],
    asked: Option<&str>,
    limit: Nanos,
) -> Result<Listed, RunError> {
    const PATH: &str = "/v1/models";
    let url = format!("{endpoint}{PATH}");
    let response = call(endpoint, "GET", PATH, headers, None, limit)
        .map_err(|source| RunError::Unreachable { url: url.clone(), source })?;
    match (response.status, asked) {
        (200, _) => {}
        (404 | 405, Some(model)) => {
            return Ok(Listed { first: model.to_owned(), kind: ServerKind::Unknown });
        }
        (status, _) => {
            return Err(RunError::Refused { url, status, message: stated(&response) });
        }
    }
    let body: Option<Value> = serde_json::from_slice(&response.body).ok();
    let Some(list) = body.as_ref().and_then(|body| body.get("data")).and_then(Value::as_array)
    else {
        let found = format!("`{}`", Excerpt::from_bytes(&response.body));
        return Err(RunError::NotTheApi { url, found });
    };
    let text = |model: &Value, key: &str| model.get(key).and_then(Value::as_str).map(str::to_owned);
    let kind = match list.first().and_then(|model| text(model, "owned_by")).as_deref() {
        Some("vllm") => ServerKind::Vllm,
        Some("infermark") => ServerKind::Infermark,
        Some(_) | None => ServerKind::Unknown,
    };
    match (list.first().and_then(|model| text(model, "id")), asked) {
        (Some(first), _) => Ok(Listed { first, kind }),
        (None, Some(model)) => Ok(Listed { first: model.to_owned(), kind }),
        (None, None) => Err(RunError::NoModel { url }),
    }
}

/// Asks for the server's version, which not every server tells.
fn version(endpoint: &Endpoint, headers: &[(String, String)]) -> Option<String> {
    let response = call(endpoint, "GET", "/version", headers, None, CALL_LIMIT).ok()?;
    let body: Value = serde_json::from_slice(&response.body).ok()?;
    Some(Excerpt::new(body.get("version")?.as_str()?).to_string())
}

/// Returns what a server says beside a status: the message of its JSON error, else the
/// beginning of the body.
pub(crate) fn stated(response: &Response) -> Excerpt {
    infermark_wire::openai::stated(&response.body)
}
