//! What has to be learned of the server before the load: how it counts prompts, how long its
//! template is, which fields it takes.
//!
//! Where the server offers `/tokenize` and there is a tokenizer on this side, that is enough and
//! nothing is generated. Otherwise a few short requests are, and the record says how many
//! tokens they took.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use infermark_drive::{Endpoint, Sighting, call, probe};
use infermark_scenario::intent::{PromptSource, Scenario, TokenizerChoice};
use infermark_terms::{Api, Ask, Nanos, Outcome, OutputPolicy, Prompt, RequestId};
use infermark_wire::{Dialect, LengthFields, UsageFields};
use infermark_workload::{
    Calibration, Counter, FileTokenizer, Mix, Probe, ProbeError, Reading, Site, Template,
    TokenizeError, Tokenizer, Traces, Workload, fit, probes,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::RunError;
use crate::feeder::Kind;
use crate::target::{CALL_LIMIT, Headers, Reached, ServerKind};

/// How long a trial request may take: its server may be loading.
const TRIAL_LIMIT: Nanos = Nanos::from_secs(120);

/// How often a trial request that is put off is sent again, after what time where the server does
/// not say, and after how long at the most.
const TRIAL_WAITS: u32 = 5;
const TRIAL_WAIT: Nanos = Nanos::from_secs(1);
const TRIAL_WAIT_MAX: Nanos = Nanos::from_secs(10);

/// Output tokens of a trial request: enough to see whether an exact length is honoured.
const TRIAL_TOKENS: u32 = 4;

/// What was learned, for the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preflight {
    /// Trial requests that generated tokens.
    pub requests: u32,
    /// Their input tokens, as the server counted.
    pub input_tokens: u64,
    /// Their output tokens.
    pub output_tokens: u64,
    /// Tokens that the chat template or a begin-of-sequence token adds to each prompt.
    pub template_tokens: Option<u32>,
}

/// What was learned of the server, and how to ask it.
pub(crate) struct Learned {
    pub(crate) dialect: Dialect,
    pub(crate) tokenizer: Option<Arc<dyn Tokenizer>>,
    /// Whether the server reports usage.
    pub(crate) usage: Usage,
    pub(crate) preflight: Preflight,
    counter: Counter,
    template: Template,
}

impl Learned {
    /// Prepares what is asked: of each class, or of all requests where there are none. Classes
    /// that ask for a model of their own are counted as the run's is. `context` is that of the
    /// run's model, in tokens, where it is known.
    pub(crate) fn kinds(
        &self,
        scenario: &Scenario,
        context: Option<u32>,
        traces: &Traces,
    ) -> Result<Vec<Kind>, RunError> {
        let Scenario { workload, sessions, seed, classes, .. } = scenario;
        let prepared = |workload, seed| {
            let (counter, template) = (self.counter.clone(), self.template);
            Workload::prepare(workload, sessions.as_ref(), counter, template, traces, seed)
        };
        if classes.is_empty() {
            let (workload, dialect) = (prepared(workload, *seed)?, self.dialect.clone());
            return Ok(vec![Kind { workload, dialect, context }]);
        }
        let each = classes.iter().enumerate().map(|(index, class)| {
            let mut dialect = self.dialect.clone();
            if let Some(model) = &class.model {
                dialect.model.clone_from(model);
            }
            let workload = prepared(&class.workload, Mix::seed_of(*seed, index))?;
            Ok(Kind { workload, dialect, context: context.filter(|_| class.model.is_none()) })
        });
        each.collect()
    }
}

/// Whether the server is known to report usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// It does.
    Reported,
    /// It does not: the tokenizer counts outputs after the run.
    Missing,
}

/// Learns how the server counts.
pub(crate) fn learn(scenario: &Scenario, reached: &Reached) -> Result<Learned, RunError> {
    let mut scout = Scout {
        endpoint: &reached.endpoint,
        headers: &reached.headers,
        dialect: dialect(scenario, reached),
        limit: scenario.access.timeouts.total,
        settled: matches!(reached.report.server.name, ServerKind::Vllm | ServerKind::Infermark),
        usage: Usage::Reported,
        preflight: Preflight::default(),
    };
    let counter = match &scenario.tokenizer {
        TokenizerChoice::Path(path) => Counter::by(Arc::new(FileTokenizer::open(path)?)),
        TokenizerChoice::Server => Counter::by(Arc::new(scout.server_tokenizer()?)),
        TokenizerChoice::None => Counter::Calibrated(Calibration::ASSUMED),
    };
    let tokenizer = match &counter {
        Counter::Tokenizer(yardstick) => Some(Arc::clone(yardstick.tokenizer())),
        Counter::Calibrated(_) => None,
    };
    let workload = &scenario.workload;
    let probes = probes(&workload.source, workload.form, &counter, scenario.seed)?;
    let readings = scout.readings(&probes, tokenizer.as_deref())?;
    let (counter, template) = match (readings, &workload.source) {
        (Some(readings), PromptSource::File { .. }) => {
            // A dataset's prompts are sent as they are: without a tokenizer no length is claimed.
            fit(&counter, &readings).or_else(|error| match error {
                ProbeError::Unsteady { .. } => Ok((counter, Template::default())),
                ProbeError::Mismatch { .. } => Err(error),
            })?
        }
        (Some(readings), _) => fit(&counter, &readings)?,
        (None, _) => (counter, Template::default()),
    };
    let known = scout.usage == Usage::Reported;
    scout.preflight.template_tokens = known.then_some(template.overhead);
    let Scout { dialect, usage, preflight, .. } = scout;
    Ok(Learned { dialect, tokenizer, usage, preflight, counter, template })
}

/// Returns the dialect to begin with: all that the best servers know.
fn dialect(scenario: &Scenario, reached: &Reached) -> Dialect {
    let length = match scenario.workload.output_policy {
        OutputPolicy::Exact => LengthFields::IgnoreEosAndMinTokens,
        OutputPolicy::Natural | OutputPolicy::Nothing => LengthFields::LimitOnly,
    };
    Dialect {
        api: reached.report.api,
        delivery: reached.delivery,
        model: reached.report.model.clone(),
        length,
        usage: UsageFields::Continuous,
    }
}

/// Sends what it takes to learn.
struct Scout<'a> {
    endpoint: &'a Arc<Endpoint>,
    headers: &'a Headers,
    dialect: Dialect,
    /// The user's limit on a request.
    limit: Nanos,
    /// Whether the server is known to take the dialect as it is.
    settled: bool,
    usage: Usage,
    preflight: Preflight,
}

impl Scout<'_> {
    /// Returns the server's count for each probe, or nothing if it counts nothing.
    fn readings(
        &mut self,
        probes: &[Probe],
        tokenizer: Option<&dyn Tokenizer>,
    ) -> Result<Option<Vec<Reading>>, RunError> {
        // Of query and document, `/tokenize` says nothing; to ask for a rank generates nothing.
        let told = self.dialect.api != Api::Rerank;
        if tokenizer.is_some() && self.settled && told {
            let readings: Option<Vec<_>> = probes.iter().map(|p| self.tokenized(p)).collect();
            if readings.is_some() {
                return Ok(readings);
            }
        }
        let mut readings = Vec::new();
        for probe in probes {
            let sighting = self.generate(probe)?;
            let Some(usage) = sighting.usage else {
                self.usage = Usage::Missing;
                return Ok(None);
            };
            readings.push(Reading { units: probe.units, prompt_tokens: usage.prompt_tokens });
        }
        Ok(Some(readings))
    }

    /// Asks the server's `/tokenize` how it would count a probe, template included.
    fn tokenized(&self, probe: &Probe) -> Option<Reading> {
        let model = &self.dialect.model;
        let body = match (&probe.prompt, self.dialect.api.is_chat()) {
            (Prompt::Text(text), true) => {
                json!({"model": model, "messages": [{"role": "user", "content": text}]})
            }
            (Prompt::Text(text), false) => json!({"model": model, "prompt": text}),
            // Token ids are taken as they are.
            (Prompt::Tokens(ids), _) => {
                return Some(Reading { units: probe.units, prompt_tokens: ids.len() as u32 });
            }
            (Prompt::Messages(_), _) => return None,
        };
        let answer = tokenize(self.endpoint, self.headers, &body).ok()?;
        let prompt_tokens = u32::try_from(answer.get("count")?.as_u64()?).ok()?;
        Some(Reading { units: probe.units, prompt_tokens })
    }

    /// Sends a trial request, asking for less if the server does not take it.
    fn generate(&mut self, probe: &Probe) -> Result<Sighting, RunError> {
        let mut waits = 0;
        loop {
            let sighting = self.send(probe)?;
            // Too many requests, or not yet ready: what the server asks for is patience.
            if let Outcome::Refused { status: 429 | 503, .. } = sighting.outcome
                && waits < TRIAL_WAITS
            {
                waits += 1;
                pause(patience(&sighting));
                continue;
            }
            let url = format!("{}{}", self.endpoint, self.dialect.path());
            if let Outcome::Finished { .. } = sighting.outcome {
                self.settled = true;
                let usage = sighting.usage.unwrap_or_default();
                self.preflight.requests += 1;
                self.preflight.input_tokens += u64::from(usage.prompt_tokens);
                self.preflight.output_tokens += u64::from(usage.completion_tokens);
                return Ok(sighting);
            }
            let too_much = matches!(sighting.outcome, Outcome::Refused { status: 400 | 422, .. });
            if self.settled || !too_much || !self.ask_less() {
                return Err(RunError::Trial { url, outcome: sighting.outcome });
            }
        }
    }

    /// Gives up a field that not every server knows; says whether there was one left.
    fn ask_less(&mut self) -> bool {
        match (self.dialect.usage, self.dialect.length) {
            (UsageFields::Continuous, _) => self.dialect.usage = UsageFields::Final,
            (_, LengthFields::IgnoreEosAndMinTokens) => {
                self.dialect.length = LengthFields::IgnoreEos;
            }
            (_, LengthFields::IgnoreEos) => self.dialect.length = LengthFields::LimitOnly,
            (UsageFields::Final, _) => self.dialect.usage = UsageFields::None,
            (UsageFields::None, LengthFields::LimitOnly) => return false,
        }
        true
    }

    fn send(&self, probe_prompt: &Probe) -> Result<Sighting, RunError> {
        let ask = Ask {
            id: RequestId::default(),
            prompt: probe_prompt.prompt.clone(),
            input_tokens: None,
            output_tokens: Some(TRIAL_TOKENS),
            output_policy: OutputPolicy::Exact,
        };
        let body = self.dialect.body(&ask)?;
        let (path, fields) = (self.dialect.path(), &self.headers.fields);
        let bytes = self.endpoint.request("POST", &path, fields, Some(&body));
        let Dialect { api, delivery, .. } = self.dialect;
        let limit = self.limit.min(TRIAL_LIMIT);
        let sighting = probe(self.endpoint, &bytes, api, delivery, limit);
        let mut sighting = sighting.map_err(|source| {
            let url = format!("{}{}", self.endpoint, self.dialect.path());
            RunError::Unreachable { url, source }
        })?;
        self.headers.veil.outcome(&mut sighting.outcome);
        Ok(sighting)
    }

    fn server_tokenizer(&self) -> Result<ServerTokenizer, RunError> {
        let tokenizer = ServerTokenizer {
            endpoint: Arc::clone(self.endpoint),
            headers: self.headers.clone(),
            model: self.dialect.model.clone(),
        };
        let _: Vec<u32> = tokenizer
            .encode("one two three")
            .map_err(|source| RunError::ServerTokenizer { source })?;
        Ok(tokenizer)
    }
}

#[expect(clippy::disallowed_methods, reason = "there is nothing to wait for but the time")]
fn pause(length: Nanos) {
    thread::sleep(Duration::from_nanos(length.0));
}

/// The server's own tokenizer, over `/tokenize`.
struct ServerTokenizer {
    endpoint: Arc<Endpoint>,
    headers: Headers,
    model: String,
}

impl Tokenizer for ServerTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
        let failed = |reason: &str| TokenizeError::Failed { reason: reason.to_owned() };
        // vLLM and SGLang read the first of each pair, llama.cpp the second; none minds the other.
        let body = json!({
            "model": self.model,
            "prompt": text, "content": text,
            "add_special_tokens": false, "add_special": false,
        });
        let answer =
            tokenize(&self.endpoint, &self.headers, &body).map_err(|reason| failed(&reason))?;
        let ids = answer.get("tokens").and_then(Value::as_array);
        let ids = ids.ok_or_else(|| failed("the answer has no `tokens`"))?;
        let id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
        ids.iter().map(|found| id(found).ok_or_else(|| failed("a token is no number"))).collect()
    }

    fn site(&self) -> Site {
        Site::Remote
    }
}

fn tokenize(endpoint: &Endpoint, headers: &Headers, body: &Value) -> Result<Value, String> {
    let body = body.to_string();
    let (fields, body) = (&headers.fields, Some(body.as_bytes()));
    let response = call(endpoint, "POST", "/tokenize", fields, body, CALL_LIMIT)
        .map_err(|error| error.to_string())?;
    if response.status != 200 {
        let message = headers.stated(&response);
        return Err(format!("status {}: {message}", response.status));
    }
    serde_json::from_slice(&response.body).map_err(|error| format!("not JSON: {error}"))
}

/// Returns how long a server that puts a request off wishes to be left alone. It says so in seconds
/// or by a date [RFC 9110, section 10.2.3], which is held against the date of its own clock.
fn patience(sighting: &Sighting) -> Nanos {
    let date = |text: &Option<String>| jiff::fmt::rfc2822::parse(text.as_deref()?).ok();
    let seconds = sighting.retry_after.as_ref().and_then(|text| text.parse::<u32>().ok());
    let until = || {
        let (then, now) = (date(&sighting.retry_after)?, date(&sighting.date)?);
        let seconds = then.timestamp().as_second() - now.timestamp().as_second();
        Some(u32::try_from(seconds).unwrap_or(0))
    };
    let wish = seconds.or_else(until).map(|seconds| Nanos::from_secs(seconds.into()));
    wish.unwrap_or(TRIAL_WAIT).min(TRIAL_WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use infermark_terms::EventCounts;

    use super::*;

    #[test]
    fn a_server_is_left_alone_for_as_long_as_it_wishes_within_bounds() {
        let wished = |retry_after: Option<&str>, date: Option<&str>| {
            patience(&Sighting {
                outcome: Outcome::Abandoned,
                usage: None,
                chunks: 0,
                counted: false,
                events: EventCounts::default(),
                retry_after: retry_after.map(str::to_owned),
                date: date.map(str::to_owned),
            })
            .0 / 1_000_000_000
        };
        let (six, soon) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:34 GMT");
        assert_eq!([wished(Some("0"), None), wished(Some("7"), None)], [0, 7]);
        assert_eq!([wished(Some("3600"), None), wished(None, Some(six))], [10, 1]);
        assert_eq!([wished(Some(six), Some(soon)), wished(Some(soon), Some(six))], [3, 0]);
        // A date that cannot be held against the server's own says nothing.
        assert_eq!([wished(Some(six), None), wished(Some("later"), Some(six))], [1, 1]);
    }
}
