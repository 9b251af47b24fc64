//! Who is measured: the embedded engine or a server, and what it says about itself.

mod headers;
mod listing;
mod probe;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use infermark_drive::{Endpoint, EndpointError, Identity, Proxies, Roots, Route};
use infermark_scenario::intent::{Access, ProxyChoice, Replica, Scenario, Target, Verification};
use infermark_sim::serve::{ServePlan, Serving};
use infermark_terms::{Api, Delivery, HttpVersion, Nanos, OutputPolicy, Seed};
use serde::{Deserialize, Serialize};

pub(crate) use self::headers::Headers;
pub(crate) use self::listing::Asking;
use crate::load::Secrets;
use crate::{RunError, embedded};

pub use self::listing::ServerKind;

/// How long a call outside the measured load may take.
pub(crate) const CALL_LIMIT: Nanos = Nanos::from_secs(30);

/// A target that answers.
pub(crate) struct Reached {
    pub(crate) endpoint: Arc<Endpoint>,
    /// Those who share the load with it, and their weights beside its 1.
    pub(crate) replicas: Vec<(Arc<Endpoint>, f64)>,
    /// How servers are got to.
    pub(crate) route: Route,
    pub(crate) headers: Headers,
    pub(crate) report: TargetReport,
    /// Whether answers are streamed.
    pub(crate) delivery: Delivery,
    /// Keeps the embedded engine going.
    pub(crate) embedded: Option<Serving>,
}

/// What is known of the target, for the record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetReport {
    /// As given: a URL, or `sim:…`.
    pub url: String,
    /// Whether it is the engine embedded in this program.
    pub embedded: bool,
    /// The API that is spoken.
    pub api: Api,
    /// Whether the API was found out, and not named.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub api_found: bool,
    /// The model that is asked.
    pub model: String,
    /// How many tokens the model's context holds, input and output, where the server says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u32>,
    /// What the server says it is.
    pub server: ServerReport,
    /// Those who share the load with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<ReplicaReport>,
    /// Whether the server's certificate was believed without a check.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unverified: bool,
    /// Which version of HTTP it was asked in.
    #[serde(default)]
    pub http: HttpVersion,
}

/// A server that shares the load with the target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicaReport {
    /// Its URL.
    pub url: String,
    /// How many requests it gets for one of the target's.
    pub weight: f64,
    /// What it says it is.
    pub server: ServerReport,
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

/// Reaches the target and finds out which model to ask.
pub(crate) fn reach(scenario: &Scenario, secrets: &Secrets<'_>) -> Result<Reached, RunError> {
    let access = &scenario.access;
    let mut headers = Headers::of(access, secrets)?;
    let (shown, embedded) = match &scenario.target {
        Target::Url(url) => (url.clone(), None),
        Target::Sim(text) => (format!("sim:{text}"), Some(embed(text, scenario.seed)?)),
    };
    let route = route(access, secrets)?;
    let endpoint = endpoint(scenario, embedded.as_ref(), &route)?;
    headers.pass(&endpoint);
    let limit = access.timeouts.total.min(CALL_LIMIT);
    let asking = Asking { endpoint: &endpoint, headers: &headers, limit };
    let listed = asking.models(scenario.model.as_deref())?;
    let model = scenario.model.clone().unwrap_or(listed.first);
    let api = scenario.api.map_or_else(|| probe::find(asking, &model), Ok)?;
    if scenario.api.is_none() && !api.generates() {
        return Err(RunError::GeneratesNothing { url: endpoint.to_string(), api });
    }
    let exact = scenario.workload.output_policy == OutputPolicy::Exact;
    if scenario.api.is_none() && exact && !api.orders_length() {
        return Err(RunError::NoExactLength { url: endpoint.to_string(), api });
    }
    let report = TargetReport {
        url: shown,
        embedded: embedded.is_some(),
        api,
        api_found: scenario.api.is_none(),
        model,
        context_tokens: listed.context,
        server: ServerReport { name: listed.kind, version: asking.version() },
        replicas: Vec::new(),
        unverified: access.verification == Verification::Off,
        http: endpoint.version(),
    };
    let delivery = if api.streams() { scenario.delivery } else { Delivery::Whole };
    let mut reached =
        Reached { endpoint, replicas: Vec::new(), route, headers, report, delivery, embedded };
    reached.join(&scenario.replicas, limit)?;
    reached.headers.speak(api);
    Ok(reached)
}

impl Reached {
    /// Reaches those who share the load, too. They are asked for the same model.
    fn join(&mut self, replicas: &[Replica], limit: Nanos) -> Result<(), RunError> {
        for Replica { url, weight } in replicas {
            let endpoint = Arc::new(Endpoint::resolve(url, &self.route)?);
            self.headers.pass(&endpoint);
            let asking = Asking { endpoint: &endpoint, headers: &self.headers, limit };
            let listed = asking.models(Some(&self.report.model))?;
            self.report.replicas.push(ReplicaReport {
                url: url.clone(),
                weight: *weight,
                server: ServerReport { name: listed.kind, version: asking.version() },
            });
            self.replicas.push((endpoint, *weight));
        }
        Ok(())
    }

    /// Returns all servers, the target first.
    pub(crate) fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        let replicas = self.replicas.iter().map(|(endpoint, _)| Arc::clone(endpoint));
        [Arc::clone(&self.endpoint)].into_iter().chain(replicas).collect()
    }

    /// Returns the weights of all servers, in the same order.
    pub(crate) fn weights(&self) -> Vec<f64> {
        [1.0].into_iter().chain(self.replicas.iter().map(|(_, weight)| *weight)).collect()
    }

    /// Returns every address that requests may go to.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.endpoints().iter().flat_map(|endpoint| endpoint.known().to_vec()).collect()
    }
}

/// Starts the embedded engine anew where it is the target and was stopped.
pub(crate) fn revive(reached: &mut Reached, scenario: &Scenario) -> Result<(), RunError> {
    let Target::Sim(text) = &scenario.target else { return Ok(()) };
    if reached.embedded.is_none() {
        let serving = embed(text, scenario.seed)?;
        reached.endpoint = endpoint(scenario, Some(&serving), &reached.route)?;
        reached.embedded = Some(serving);
    }
    Ok(())
}

/// Returns which version of HTTP carries the load. The embedded engine speaks HTTP/1.1 only.
pub(crate) fn version(scenario: &Scenario) -> HttpVersion {
    match scenario.target {
        Target::Url(_) => scenario.access.http,
        Target::Sim(_) => HttpVersion::Http1,
    }
}

/// Resolves where the target is.
pub(crate) fn endpoint(
    scenario: &Scenario,
    embedded: Option<&Serving>,
    route: &Route,
) -> Result<Arc<Endpoint>, RunError> {
    let endpoint = match (&scenario.target, embedded) {
        (_, Some(serving)) => {
            let url = format!("http://{}", serving.address());
            Endpoint::resolve(&url, &Route::of(route.roots.clone()))
        }
        (Target::Url(url), None) => Endpoint::resolve(url, route),
        (Target::Sim(_), None) => unreachable!("the embedded engine is served first"),
    };
    Ok(Arc::new(endpoint?))
}

/// Where OpenShift puts the certificate of the authority for the cluster's own services.
const SERVICE_CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/service-ca.crt";

/// Returns how to get to a server; in a cluster, its service CA is trusted too.
pub(crate) fn route(access: &Access, secrets: &Secrets<'_>) -> Result<Route, RunError> {
    let proxies = match &access.proxy {
        ProxyChoice::Environment => Proxies::of_environment(secrets),
        ProxyChoice::Direct => Proxies::none(),
        ProxyChoice::Url(url) => Proxies::named(url, "--proxy").map_err(EndpointError::from)?,
    };
    Ok(Route { proxies, ..route_in(access, Path::new(SERVICE_CA)) })
}

fn route_in(access: &Access, service_ca: &Path) -> Route {
    let roots = match access.verification {
        Verification::Full => {
            let found = service_ca.is_file().then(|| service_ca.to_owned());
            Roots::Trusted { extra: access.ca.iter().cloned().chain(found).collect() }
        }
        Verification::Off => Roots::Unverified,
    };
    let identity = access.identity.as_ref().map(|identity| Identity {
        certificates: identity.cert.clone(),
        key: identity.key.clone(),
    });
    Route { identity, version: access.http, ..Route::of(roots) }
}

/// Serves the embedded engine on a loopback port of its own.
fn embed(text: &str, seed: Seed) -> Result<Serving, RunError> {
    let target = embedded::configure(text)?;
    let engine = embedded::engine(text, &target, seed)?;
    embedded::serve(ServePlan { seed, ..embedded::served(&target) }, engine)
}

#[cfg(test)]
mod tests {
    use infermark_scenario::resolve;

    use super::*;

    #[test]
    fn the_clusters_service_ca_is_trusted_where_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let service_ca = folder.path().join("service-ca.crt");
        let mut access = resolve(Vec::new(), Seed(1)).unwrap().scenario.access;
        access.ca = Some("own.pem".into());
        let trusted = |access: &Access| match route_in(access, &service_ca).roots {
            Roots::Trusted { extra } => extra,
            Roots::Unverified => Vec::new(),
        };
        assert_eq!(trusted(&access), [Path::new("own.pem")]);
        std::fs::write(&service_ca, "").unwrap();
        assert_eq!(trusted(&access), [Path::new("own.pem"), &service_ca]);
        access.verification = Verification::Off;
        assert!(trusted(&access).is_empty());
    }
}
