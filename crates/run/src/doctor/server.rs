//! A target: from its name to how its answers come.

use infermark_drive::{Endpoint, EndpointError, Sighting, probe};
use infermark_observe::parse;
use infermark_scenario::intent::{Scenario, Target, TokenizerChoice, Verification};
use infermark_terms::{Ask, Delivery, Metric, Nanos, Outcome, OutputPolicy, Prompt, RequestId};

use super::{Finding, Subject};
use crate::hub::{Shelf, localised};
use crate::preflight::{Learned, Usage, learn};
use crate::target::{Asking, Headers, Reached, endpoint, reach, route};
use crate::{RunError, Secrets};

/// How long each call may take.
const LIMIT: Nanos = Nanos::from_secs(30);

/// Output tokens of the trial answer.
const TOKENS: u32 = 8;

/// Words of the prompt that is sent twice: more than a block of any cache.
const CACHED_WORDS: usize = 600;

/// Clocks that are further apart make logs hard to compare.
const SKEW_MAX_S: i64 = 2;

/// Takes findings as they are made.
type Each<'a> = &'a mut dyn FnMut(Finding);

pub(super) fn examine(
    scenario: &Scenario,
    secrets: &Secrets<'_>,
    tell: &mut dyn FnMut(&str),
    each: Each<'_>,
) {
    if let Target::Url(_) = scenario.target
        && !is_reachable(scenario, secrets, each)
    {
        return;
    }
    let reached = match reach(scenario, secrets) {
        Ok(reached) => reached,
        Err(error) => return each(failed(subject_of(&error), &error)),
    };
    identify(scenario, &reached, each);
    let shelf = &Shelf::default();
    let scenario = &match localised(scenario, shelf, secrets, tell).map_err(RunError::from) {
        Ok(scenario) => scenario,
        Err(error) => return each(failed(subject_of(&error), &error)),
    };
    match learn(scenario, &reached) {
        Err(error) => each(failed(subject_of(&error), &error)),
        Ok(learned) => {
            tokenizer(scenario, &learned, each);
            answers(&reached, &learned, each);
        }
    }
    metrics(&reached, each);
}

/// Looks at the name, the connection and the way in, which every call needs.
fn is_reachable(scenario: &Scenario, secrets: &Secrets<'_>, each: Each<'_>) -> bool {
    let found = route(&scenario.access, secrets);
    let endpoint = match found.and_then(|route| endpoint(scenario, None, &route)) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            each(failed(Subject::Name, &error));
            return false;
        }
    };
    let addresses: Vec<_> = endpoint.addresses().iter().map(ToString::to_string).collect();
    let (proxy, addresses) = (endpoint.proxy(), addresses.join(", "));
    each(Finding::ok(
        Subject::Name,
        match proxy {
            None => format!("{endpoint} is at {addresses}"),
            Some(proxy) => format!("{endpoint} is behind the proxy {proxy}, at {addresses}"),
        },
    ));
    let headers = match Headers::of(&scenario.access, secrets) {
        Ok(mut headers) => {
            headers.pass(&endpoint);
            headers
        }
        Err(error) => {
            each(failed(Subject::Access, &error));
            return false;
        }
    };
    let asking = Asking { endpoint: &endpoint, headers: &headers, limit: LIMIT };
    let response = match asking.get("/v1/models") {
        Ok(response) => response,
        Err(error) => {
            each(failed(Subject::Connection, &error));
            return false;
        }
    };
    each(trusted(scenario, &endpoint));
    match response.status {
        status @ (401 | 403) => {
            let found = format!("status {status}: {}", headers.stated(&response));
            let remedy =
                "give the key: `--api-key-env VARIABLE` or `--header 'NAME: env:VARIABLE'`";
            each(Finding::failure(Subject::Access, found, remedy));
            return false;
        }
        status => each(Finding::ok(Subject::Access, format!("status {status}"))),
    }
    each(skew(response.date.as_deref(), jiff::Timestamp::now()));
    true
}

fn trusted(scenario: &Scenario, endpoint: &Endpoint) -> Finding {
    let secure = endpoint.to_string().starts_with("https://");
    let over = format!("connected over {}", endpoint.version());
    match (secure, scenario.access.verification) {
        (false, _) => Finding::ok(Subject::Connection, format!("{over}, without TLS")),
        (true, Verification::Full) => {
            Finding::ok(Subject::Connection, format!("{over}; the certificate is trusted"))
        }
        (true, Verification::Off) => Finding::warning(
            Subject::Connection,
            format!("{over}; the certificate is not checked"),
            "give its authority with `--ca FILE` instead of `--insecure`",
        ),
    }
}

/// Compares the server's date with ours. It is told in whole seconds.
fn skew(date: Option<&str>, now: jiff::Timestamp) -> Finding {
    let told = date.and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
    let Some(told) = told else {
        return Finding::ok(Subject::ClockSkew, "the server does not tell its time");
    };
    let apart = now.as_second() - told.timestamp().as_second();
    if apart.abs() <= SKEW_MAX_S {
        return Finding::ok(Subject::ClockSkew, "the clocks agree to within 2 s");
    }
    let side = if apart > 0 { "behind" } else { "ahead of" };
    Finding::warning(
        Subject::ClockSkew,
        format!("the server's clock is {} s {side} this one", apart.abs()),
        "no figure depends on it, but logs will not line up: synchronise the clocks",
    )
}

/// Says who answers, as what, and by which API.
fn identify(scenario: &Scenario, reached: &Reached, each: Each<'_>) {
    let report = &reached.report;
    let version = report.server.version.as_deref().unwrap_or("of unknown version");
    each(Finding::ok(Subject::Server, format!("{} {version}", report.server.name)));
    each(Finding::ok(Subject::Model, report.model.clone()));
    let how = if scenario.api.is_none() { ", found by asking" } else { "" };
    each(Finding::ok(Subject::Api, format!("{}{how}", report.api)));
}

fn tokenizer(scenario: &Scenario, learned: &Learned, each: Each<'_>) {
    let template = learned.preflight.template_tokens;
    let template = template.map_or(String::new(), |n| format!("; the template adds {n} tokens"));
    each(match scenario.tokenizer {
        TokenizerChoice::None => Finding::warning(
            Subject::Tokenizer,
            "none: prompt lengths are calibrated, and come near",
            "give the model's with `--tokenizer PATH`, or `--tokenizer server`",
        ),
        TokenizerChoice::Path(_) | TokenizerChoice::Server => Finding::ok(
            Subject::Tokenizer,
            format!("agrees with the server on every probe{template}"),
        ),
    });
}

/// Looks at how a short answer comes.
fn answers(reached: &Reached, learned: &Learned, each: Each<'_>) {
    let prompt = "Count from one to one hundred, in words.".to_owned();
    let sighting = match send(reached, learned, prompt, TOKENS) {
        Ok(sighting) => sighting,
        Err(error) => return each(failed(Subject::Streaming, &error)),
    };
    if !matches!(sighting.outcome, Outcome::Finished { .. }) {
        let found = format!("a short answer ended as {:?}", sighting.outcome);
        return each(Finding::failure(
            Subject::Streaming,
            found,
            "see the server's log; try `--stream=no`",
        ));
    }
    each(streaming(reached, &sighting));
    if !reached.report.api.generates() {
        return;
    }
    each(usage(learned, &sighting));
    each(chunk_tokens(reached, &sighting));
    each(exact_length(learned, &sighting));
    prefix_cache(reached, learned, each);
}

fn streaming(reached: &Reached, sighting: &Sighting) -> Finding {
    if reached.delivery == Delivery::Whole {
        return Finding::ok(Subject::Streaming, "answers come whole: there is no TTFT");
    }
    let Sighting { chunks, events, .. } = sighting;
    let role = if events.role_only > 0 { "; the first event names a role only" } else { "" };
    if *chunks <= 1 {
        return Finding::warning(
            Subject::Streaming,
            format!("the answer came in {chunks} chunk{role}"),
            "a proxy may gather the stream (nginx: `proxy_buffering off`), or the server does",
        );
    }
    Finding::ok(Subject::Streaming, format!("{chunks} chunks for {TOKENS} tokens{role}"))
}

fn usage(learned: &Learned, sighting: &Sighting) -> Finding {
    match (&sighting.usage, learned.usage) {
        (Some(usage), Usage::Reported) => Finding::ok(
            Subject::Usage,
            format!("{} input and {} output tokens", usage.prompt_tokens, usage.completion_tokens),
        ),
        _ => Finding::warning(
            Subject::Usage,
            "the server does not count tokens",
            "give the model's tokenizer with `--tokenizer PATH`: outputs are counted after the run",
        ),
    }
}

fn chunk_tokens(reached: &Reached, sighting: &Sighting) -> Finding {
    let one_each = sighting.usage.is_some_and(|usage| usage.completion_tokens == sighting.chunks);
    if reached.delivery == Delivery::Whole {
        Finding::ok(Subject::ChunkTokens, "there are no chunks")
    } else if sighting.counted {
        Finding::ok(Subject::ChunkTokens, "each chunk says how many tokens it holds")
    } else if one_each {
        Finding::ok(Subject::ChunkTokens, "not told, but every chunk was one token")
    } else {
        Finding::warning(
            Subject::ChunkTokens,
            "a chunk does not say how many tokens it holds",
            "ITL is left out, ICL and TPOT stand; with vLLM continuous usage tells",
        )
    }
}

fn exact_length(learned: &Learned, sighting: &Sighting) -> Finding {
    if !learned.dialect.api.orders_length() {
        return Finding::warning(
            Subject::ExactLength,
            "this API limits the length of answers, but cannot order it",
            "compare runs by their rates of tokens, with `--output-length natural`",
        );
    }
    match sighting.usage.map(|usage| usage.completion_tokens) {
        Some(TOKENS) => {
            Finding::ok(Subject::ExactLength, format!("{TOKENS} asked, {TOKENS} given"))
        }
        Some(given) => Finding::failure(
            Subject::ExactLength,
            format!("{TOKENS} tokens asked, {given} given"),
            "the server does not know how to ignore the end of sequence: `--output-length natural`",
        ),
        None => Finding::warning(
            Subject::ExactLength,
            "cannot be seen: the server does not count tokens",
            "lengths are checked by the tokenizer after each run",
        ),
    }
}

/// Sends a long prompt twice, and looks whether the second was in the cache.
fn prefix_cache(reached: &Reached, learned: &Learned, each: Each<'_>) {
    let words = ["seven", "grey", "boats", "sail", "north"];
    let prompt: Vec<_> = words.into_iter().cycle().take(CACHED_WORDS).collect();
    let prompt = prompt.join(" ");
    let before = hits(reached);
    let sent = [0, 1].map(|_| send(reached, learned, prompt.clone(), 1));
    let Ok(second) = &sent[1] else { return };
    let told = second.usage.and_then(|usage| usage.cached_tokens).map(f64::from);
    let counted = hits(reached).zip(before).map(|(after, before)| after - before);
    each(match told.or(counted) {
        Some(tokens) if tokens > 0.0 => Finding::ok(
            Subject::PrefixCache,
            format!("on: {tokens:.0} tokens of a repeated prompt came from it"),
        ),
        Some(_) => Finding::ok(Subject::PrefixCache, "off, or a repeated prompt was not found"),
        None => Finding::ok(Subject::PrefixCache, "the server does not tell"),
    });
}

/// Returns the cached prompt tokens that the server has counted so far.
fn hits(reached: &Reached) -> Option<f64> {
    let page = page(reached)?;
    let reading = infermark_observe::read(&parse(&page).ok()?);
    let found = reading.values.iter().filter(|value| value.metric == Metric::PrefixHitTokens);
    let values: Vec<_> = found.map(|value| value.value).collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

fn metrics(reached: &Reached, each: Each<'_>) {
    let reading = page(reached).and_then(|page| {
        Some(infermark_observe::read(&parse(&page).ok()?).values.len()).filter(|&count| count > 0)
    });
    each(match reading {
        Some(count) => Finding::ok(Subject::Metrics, format!("/metrics has {count} known figures")),
        None => Finding::warning(
            Subject::Metrics,
            "no page of known metrics beside the API",
            "name it with `--metrics URL`: queue, KV cache and hit rates stand there",
        ),
    });
}

fn page(reached: &Reached) -> Option<String> {
    let asking = Asking { endpoint: &reached.endpoint, headers: &reached.headers, limit: LIMIT };
    let response = asking.get("/metrics").ok().filter(|response| response.status == 200)?;
    String::from_utf8(response.body).ok()
}

/// Asks for an answer of so many tokens.
fn send(
    reached: &Reached,
    learned: &Learned,
    prompt: String,
    tokens: u32,
) -> Result<Sighting, RunError> {
    let dialect = &learned.dialect;
    let policy =
        if dialect.api.orders_length() { OutputPolicy::Exact } else { OutputPolicy::Natural };
    let ask = Ask {
        id: RequestId::default(),
        prompt: Prompt::Text(prompt),
        input_tokens: None,
        output_tokens: Some(tokens),
        output_policy: policy,
    };
    let body = dialect.body(&ask)?;
    let (path, fields) = (dialect.path(), &reached.headers.fields);
    let bytes = reached.endpoint.request("POST", &path, fields, Some(&body));
    let sighting = probe(&reached.endpoint, &bytes, dialect.api, dialect.delivery, LIMIT);
    let mut sighting = sighting.map_err(|source| RunError::Unreachable {
        url: format!("{}{}", reached.endpoint, dialect.path()),
        source,
    })?;
    reached.headers.veil.outcome(&mut sighting.outcome);
    Ok(sighting)
}

/// Turns an error into a finding, with its causes and its hint.
fn failed(subject: Subject, error: &RunError) -> Finding {
    let mut found = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        found = format!("{found}: {cause}");
        source = cause.source();
    }
    let remedy = error.hint().unwrap_or_else(|| "see that the server runs and is reachable".into());
    Finding::failure(subject, found, remedy)
}

/// Returns what an error is about. What is about nothing else is about the connection.
fn subject_of(error: &RunError) -> Subject {
    let refused_model = |outcome: &Outcome| matches!(outcome, Outcome::Refused { status: 404, .. });
    if matches!(error, RunError::Endpoint(EndpointError::Name { .. })) {
        return Subject::Name;
    }
    if matches!(error, RunError::NoModel { .. } | RunError::NotTheApi { .. }) {
        return Subject::Model;
    }
    if let RunError::Trial { outcome, .. } = error {
        return if refused_model(outcome) { Subject::Model } else { Subject::Streaming };
    }
    if matches!(
        error,
        RunError::Probe(_) | RunError::Tokenizer(_) | RunError::ServerTokenizer { .. }
    ) {
        return Subject::Tokenizer;
    }
    if matches!(
        error,
        RunError::NoApi { .. } | RunError::NoExactLength { .. } | RunError::GeneratesNothing { .. }
    ) {
        return Subject::Api;
    }
    Subject::Connection
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn clocks_are_compared_by_the_date_that_the_server_tells() {
        let now: jiff::Timestamp = "1994-11-06T08:49:40Z".parse().unwrap();
        let date = |text| skew(Some(text), now);
        assert_eq!(date("Sun, 06 Nov 1994 08:49:38 GMT").state, State::Ok);
        let behind = date("Sun, 06 Nov 1994 08:48:40 GMT");
        assert_eq!(behind.state, State::Warning);
        assert!(behind.found.contains("60 s behind"), "{}", behind.found);
        assert_eq!(skew(None, now).state, State::Ok);
        assert_eq!(date("tomorrow").state, State::Ok);
    }
}
