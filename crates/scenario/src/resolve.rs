//! From given values to one scenario: which value wins, which defaults hold, what contradicts
//! what.
//!
//! A stronger layer's value replaces a weaker one's; so does its kind of load as a whole.
//!
//! Every mistake is looked for, also in values that a stronger layer overrides: a file with a
//! wrong value is a wrong file.

mod classes;
mod desk;
mod load;
mod sessions;
mod yaml;

use std::collections::BTreeMap;

use infermark_terms::{Nanos, OutputPolicy, Seed, Slo};
use serde::Serialize;

use self::classes::classes;
use self::desk::Desk;
use self::load::load;
use self::sessions::sessions;
use crate::given::{Given, Origin};
use crate::intent::{
    Access, Api, Bounds, Connections, Delivery, Distribution, FileLayout, HeaderValue, Identity,
    Load, MetricPage, Metrics, PromptForm, PromptSource, Replica, Scenario, Secret, Sessions,
    SharedPrefix, Target, Timeouts, TokenizerChoice, Verification, Workload,
};
use crate::problem::Problems;
use crate::settings::{self, Setting};
use crate::syntax::{self, Dataset, FileKind, count};

/// The most requests in flight that can be asked for.
const IN_FLIGHT_MAX: u64 = 1_000_000;
/// The most requests of a run.
const REQUESTS_MAX: u64 = 1_000_000_000_000;
/// The most generator threads.
const THREADS_MAX: u64 = 1024;
/// The most times that a request is sent again.
const RETRIES_MAX: u64 = 10;

/// More requests on one connection than anybody lets us have.
const STREAMS_MAX: u64 = 1_000_000;
/// The longest shared prefix, and the most of them.
const PREFIX_MAX: u64 = 10_000_000;

/// The shortest time from one reading of the metrics to the next.
const METRICS_INTERVAL_MIN: Nanos = Nanos::from_millis(100);

/// A scenario, and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// What the run intends.
    pub scenario: Scenario,
    /// Every setting that holds, defaults included, in the table's order; one entry for each
    /// value of a repeated setting.
    pub values: Vec<Value>,
    /// What the run is filed under.
    pub tags: BTreeMap<String, String>,
}

/// One setting's value and its origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Value {
    /// The setting.
    pub key: &'static str,
    /// The value as the table's syntax writes it.
    pub text: String,
    /// Where it came from.
    pub origin: Origin,
}

impl Resolved {
    /// Writes a scenario file in YAML that resolves to the same scenario, seed included.
    pub fn to_yaml(&self) -> String {
        yaml::write(&self.values)
    }

    /// Returns the same scenario with these values in place of its own. They are the strongest
    /// layer, so a load replaces a load; what follows from defaults follows anew.
    ///
    /// # Errors
    ///
    /// As [`resolve()`], where a value does not go with the rest.
    pub fn with(&self, changes: &[(&'static Setting, String)]) -> Result<Self, Problems> {
        let kept = self.values.iter().filter(|value| value.origin.is_given());
        let kept = kept.filter_map(|value| {
            let setting = Setting::by_key(value.key)?;
            Some(Given::resolved(setting, value.text.clone(), value.origin.clone()))
        });
        let changes = changes.iter().map(|(setting, text)| Given::study(setting, text.clone()));
        resolve(changes.chain(kept).collect(), self.scenario.seed)
    }
}

/// Makes one scenario of what was given by flags, environment and file, in any order. Without a
/// `seed` among them, `fresh_seed` is taken.
///
/// # Errors
///
/// Every malformed value and every contradiction, each with its places.
pub fn resolve(given: Vec<Given>, fresh_seed: Seed) -> Result<Resolved, Problems> {
    let mut desk = Desk::new(unfold(given));
    let _ = desk.one(&settings::PROFILE, &syntax::PROFILE);
    let target = desk.one_or_default(&settings::TARGET, &syntax::TARGET);
    let api = desk.one_or_default(&settings::API, &syntax::API);
    let tokenizer = desk.one_or_default(&settings::TOKENIZER, &syntax::TOKENIZER);
    let delivery = delivery(&mut desk, api);
    let dataset = desk.one(&settings::DATASET, &syntax::DATASET);
    let load = load(&mut desk, dataset.as_ref());
    let dataset = dataset.unwrap_or_else(|| unsaid_dataset(&mut desk, &load));
    let seed = match desk.one(&settings::SEED, &count::<0, { u64::MAX }>()) {
        Some(seed) => seed,
        None => desk.fall_back(&settings::SEED, &count::<0, { u64::MAX }>(), fresh_seed.0),
    };
    let sessions = sessions(&mut desk, &load, &dataset, api);
    let named = desk.all(&settings::CLASSES, &syntax::CLASS);
    let scenario = Scenario {
        classes: Vec::new(),
        sessions,
        replicas: replicas(&mut desk, &target),
        model: desk.one(&settings::MODEL, &syntax::LINE),
        delivery,
        bounds: bounds(&mut desk, &load),
        window: desk.one_or_default(&settings::WINDOW, &syntax::WINDOW),
        slo: objectives(&mut desk),
        workload: workload(&mut desk, dataset, api, &tokenizer),
        access: access(&mut desk, &target, delivery, sessions.as_ref()),
        metrics: metrics(&mut desk),
        threads: desk.one(&settings::THREADS, &count::<1, THREADS_MAX>()).map(|n| n as u32),
        gpus: desk.one(&settings::GPUS, &syntax::GPUS),
        price: desk.one(&settings::PRICE, &syntax::PRICE),
        prices: desk.one(&settings::PRICES, &syntax::PATH),
        seed: Seed(seed),
        target,
        api,
        load,
        tokenizer,
    };
    let tags = tags(&mut desk);
    let mut resolved = Resolved { scenario, values: desk.finish()?, tags };
    resolved.scenario.classes = classes(&resolved, &named)?;
    // It decides which answers are of the right length, and is the same for all classes.
    if let Some(class) = resolved.scenario.classes.first() {
        resolved.scenario.workload.output_policy = class.workload.output_policy;
    }
    Ok(resolved)
}

/// Adds to what was given what its profiles stand for.
fn unfold(mut given: Vec<Given>) -> Vec<Given> {
    let unfolded: Vec<_> = given.iter().filter_map(unfolded).flatten().collect();
    given.extend(unfolded);
    given
}

/// Returns what a value stands for, if it is a profile.
pub(crate) fn unfolded(given: &Given) -> Option<[Given; 2]> {
    let is_profile = *given.setting() == settings::PROFILE;
    let profile = is_profile.then(|| (syntax::PROFILE.parse)(given.text().trim()).ok())??;
    Some(profile.settings().map(|(setting, text)| Given::profile(setting, text, given)))
}

/// Returns where prompts come from when nobody says: a trace's own, where one is replayed.
fn unsaid_dataset(desk: &mut Desk, load: &Load) -> Dataset {
    match load {
        Load::Trace { path, .. } => {
            let dataset = Dataset::File { kind: FileKind::Trace, path: path.clone() };
            desk.fall_back(&settings::DATASET, &syntax::DATASET, dataset)
        }
        Load::Closed { .. } | Load::Open { .. } | Load::Throughput { .. } => {
            desk.default_of(&settings::DATASET, &syntax::DATASET)
        }
    }
}

fn bounds(desk: &mut Desk, load: &Load) -> Bounds {
    let requests = desk.one(&settings::REQUESTS, &count::<1, REQUESTS_MAX>());
    let mut duration = desk.one(&settings::DURATION, &syntax::DURATION);
    let ends = [&settings::REQUESTS, &settings::SESSIONS, &settings::DURATION];
    let unbounded = !ends.iter().any(|setting| desk.is_given(setting));
    if unbounded && !matches!(load, Load::Trace { .. }) {
        duration = Some(desk.default_of(&settings::DURATION, &syntax::DURATION));
    }
    for bound in [&settings::REQUESTS, &settings::SESSIONS] {
        if !desk.is_given(&settings::DURATION) && desk.is_given(bound) {
            let found = "a ramp needs a duration to change over";
            desk.rule_out(&settings::RAMP, bound, found, "give `duration` too");
        }
    }
    Bounds {
        requests,
        duration,
        warmup: desk.one_or_default(&settings::WARMUP, &syntax::SPAN),
        drain: desk.one_or_default(&settings::DRAIN, &syntax::SPAN),
    }
}

fn replicas(desk: &mut Desk, target: &Target) -> Vec<Replica> {
    let replicas = desk.all(&settings::REPLICA, &syntax::REPLICA);
    match target {
        Target::Sim(_) => {
            let found = "the embedded engine shares its load with nobody";
            desk.rule_out(&settings::REPLICA, &settings::TARGET, found, "leave it out");
        }
        Target::Url(url) => {
            let mut urls: Vec<_> = replicas.iter().map(|replica| &replica.url).collect();
            urls.push(url);
            urls.sort_unstable();
            if urls.windows(2).any(|pair| pair[0] == pair[1]) {
                let found = "a server stands there twice";
                let hint = "give it once, with `,weight=N`";
                desk.refuse(&[&settings::REPLICA, &settings::TARGET], found, hint);
            }
        }
    }
    replicas
}

/// Joins what the strongest layer's texts say.
fn objectives(desk: &mut Desk) -> Slo {
    let mut joined = Slo::default();
    for slo in desk.all(&settings::SLO, &syntax::SLO) {
        match joined.clone().join(slo) {
            Ok(both) => joined = both,
            Err(subject) => {
                let found = format!("`{subject}` is bounded twice");
                desk.refuse(&[&settings::SLO], &found, "keep one of them");
            }
        }
    }
    joined
}

fn delivery(desk: &mut Desk, api: Option<Api>) -> Delivery {
    if api.is_none_or(Api::streams) {
        return desk.one_or_default(&settings::STREAM, &syntax::DELIVERY);
    }
    let asked = desk.one(&settings::STREAM, &syntax::DELIVERY);
    if asked == Some(Delivery::Streamed) {
        let found = "this API does not stream";
        desk.rule_out(&settings::STREAM, &settings::API, found, "leave it out");
    }
    desk.fall_back(&settings::STREAM, &syntax::DELIVERY, Delivery::Whole)
}

fn workload(
    desk: &mut Desk,
    dataset: Dataset,
    api: Option<Api>,
    tokenizer: &TokenizerChoice,
) -> Workload {
    let is_file = matches!(dataset, Dataset::File { .. });
    let is_trace = matches!(dataset, Dataset::File { kind: FileKind::Trace, .. });
    let generates = api.is_none_or(Api::generates);
    let mut output_tokens = desk.one(&settings::OUTPUT_TOKENS, &syntax::LENGTHS);
    if !generates {
        let found = "this API generates nothing";
        desk.rule_out(&settings::OUTPUT_TOKENS, &settings::API, found, "leave it out");
        desk.rule_out(&settings::OUTPUT_LENGTH, &settings::API, found, "leave it out");
    } else if !is_file && output_tokens.is_none() {
        output_tokens = Some(desk.default_of(&settings::OUTPUT_TOKENS, &syntax::LENGTHS));
    }
    let policy = desk.one(&settings::OUTPUT_LENGTH, &syntax::OUTPUT_POLICY).unwrap_or_else(|| {
        let ordered = (!is_file || is_trace) && api.is_none_or(Api::orders_length);
        let policy = match (generates, ordered) {
            (false, _) => OutputPolicy::Nothing,
            (true, false) => OutputPolicy::Natural,
            (true, true) => OutputPolicy::Exact,
        };
        desk.fall_back(&settings::OUTPUT_LENGTH, &syntax::OUTPUT_POLICY, policy)
    });
    let is_share_gpt = matches!(dataset, Dataset::File { kind: FileKind::ShareGpt, .. });
    let has_answers = is_trace || is_share_gpt && *tokenizer != TokenizerChoice::None;
    if policy == OutputPolicy::Nothing && generates {
        let found = "this API generates something";
        desk.rule_out(&settings::OUTPUT_LENGTH, &settings::API, found, "give `exact` or `natural`");
    }
    if policy == OutputPolicy::Exact && output_tokens.is_none() && !has_answers {
        let found = "an exact length must be known";
        let hint = "give `output_tokens`; `sharegpt` with a `tokenizer` has lengths of its own";
        desk.rule_out(&settings::OUTPUT_LENGTH, &settings::DATASET, found, hint);
    }
    let is_conversation = matches!(dataset, Dataset::File { kind: FileKind::Conversations, .. });
    if is_conversation && api.is_some_and(|api| !api.is_chat()) {
        let found = "this API takes one text, not a conversation";
        desk.rule_out(&settings::DATASET, &settings::API, found, "give `api` `chat`");
    }
    let form = desk.one_or_default(&settings::PROMPT_FORM, &syntax::PROMPT_FORM);
    if form == PromptForm::TokenIds && api.is_some_and(|api| !api.takes_token_ids()) {
        let found = "this API does not take token ids";
        desk.rule_out(&settings::PROMPT_FORM, &settings::API, found, "give `api` `completions`");
    }
    if form == PromptForm::TokenIds {
        let found = "a conversation goes as text";
        desk.rule_out(&settings::TURNS, &settings::PROMPT_FORM, found, "leave one of them out");
    }
    if form == PromptForm::TokenIds && *tokenizer == TokenizerChoice::None {
        let found = "token ids come from a tokenizer";
        desk.rule_out(&settings::PROMPT_FORM, &settings::TOKENIZER, found, "give `tokenizer`");
    }
    Workload { source: source(desk, dataset), output_tokens, output_policy: policy, form }
}

fn source(desk: &mut Desk, dataset: Dataset) -> PromptSource {
    let input_tokens = desk.one(&settings::INPUT_TOKENS, &syntax::LENGTHS);
    let prefix_tokens = desk.one(&settings::PREFIX_TOKENS, &count::<1, PREFIX_MAX>());
    let prefix_groups = desk.one(&settings::PREFIX_GROUPS, &count::<1, PREFIX_MAX>());
    let column = desk.one(&settings::COLUMN, &syntax::LINE);
    check_source(desk, &dataset);
    let lengths = |desk: &mut Desk| {
        input_tokens.unwrap_or_else(|| desk.default_of(&settings::INPUT_TOKENS, &syntax::LENGTHS))
    };
    match dataset {
        Dataset::Synthetic => {
            let input_tokens = lengths(desk);
            let prefix = prefix_tokens.map(|tokens| {
                let groups = prefix_groups.unwrap_or_else(|| {
                    desk.default_of(&settings::PREFIX_GROUPS, &count::<1, PREFIX_MAX>())
                });
                SharedPrefix { tokens: tokens as u32, groups: groups as u32 }
            });
            if prefix.is_some_and(|prefix| prefix.tokens >= least(&input_tokens)) {
                let found = "the prefix is not shorter than every input";
                let hint = "shorten it, or raise the least input length";
                desk.rule_out(&settings::PREFIX_TOKENS, &settings::INPUT_TOKENS, found, hint);
            }
            PromptSource::Synthetic { input_tokens, prefix }
        }
        Dataset::Corpus => PromptSource::Corpus { input_tokens: lengths(desk) },
        Dataset::File { kind, path } => {
            let mut column = || {
                column.clone().unwrap_or_else(|| desk.default_of(&settings::COLUMN, &syntax::LINE))
            };
            let layout = match kind {
                FileKind::Jsonl => FileLayout::Jsonl { column: column() },
                FileKind::Csv => FileLayout::Csv { column: column() },
                FileKind::Parquet => FileLayout::Parquet { column: column() },
                FileKind::ShareGpt => FileLayout::ShareGpt,
                FileKind::Conversations => FileLayout::Conversations,
                FileKind::Found => FileLayout::Found { column: column() },
                FileKind::Trace => return PromptSource::Trace { path },
            };
            PromptSource::File { path, layout }
        }
    }
}

/// Refuses what does not go with the dataset.
fn check_source(desk: &mut Desk, dataset: &Dataset) {
    let (has_lengths, has_columns) = match dataset {
        Dataset::Synthetic | Dataset::Corpus => (false, false),
        Dataset::File { kind, .. } => match kind {
            FileKind::Jsonl | FileKind::Csv | FileKind::Parquet | FileKind::Found => (true, true),
            FileKind::ShareGpt | FileKind::Conversations | FileKind::Trace => (true, false),
        },
    };
    if has_lengths {
        let found = "a file's prompts have their own lengths";
        desk.rule_out(&settings::INPUT_TOKENS, &settings::DATASET, found, "leave it out");
    }
    if !has_columns {
        let found = "this dataset has no columns";
        desk.rule_out(&settings::COLUMN, &settings::DATASET, found, "leave it out");
    }
    if *dataset != Dataset::Synthetic {
        let found = "only synthetic prompts share a prefix";
        let hint = "leave it out, or `dataset` out";
        desk.rule_out(&settings::PREFIX_TOKENS, &settings::DATASET, found, hint);
        desk.rule_out(&settings::PREFIX_GROUPS, &settings::DATASET, found, hint);
    } else if desk.is_given(&settings::PREFIX_GROUPS) && !desk.is_given(&settings::PREFIX_TOKENS) {
        let found = "there is no prefix to share";
        desk.refuse(&[&settings::PREFIX_GROUPS], found, "give `prefix_tokens`");
    }
}

/// Returns the least length that can be drawn.
fn least(lengths: &Distribution) -> u32 {
    match lengths {
        Distribution::Fixed(tokens) => *tokens,
        Distribution::Normal { min, .. }
        | Distribution::Uniform { min, .. }
        | Distribution::LogNormal { min, .. } => *min,
    }
}

fn access(
    desk: &mut Desk,
    target: &Target,
    delivery: Delivery,
    sessions: Option<&Sessions>,
) -> Access {
    let headers = desk.all(&settings::HEADER, &syntax::HEADER);
    let api_key = api_key(desk, &headers);
    let ca = desk.one(&settings::CA, &syntax::PATH);
    let identity = identity(desk);
    let verification = desk.one_or_default(&settings::INSECURE, &syntax::INSECURITY);
    let is_insecure = verification == Verification::Off;
    if !matches!(target, Target::Url(url) if url.starts_with("https://")) {
        let (found, hint) = ("this target is not spoken to over TLS", "leave it out");
        for setting in [&settings::CA, &settings::CERT, &settings::KEY] {
            desk.rule_out(setting, &settings::TARGET, found, hint);
        }
        if is_insecure {
            desk.rule_out(&settings::INSECURE, &settings::TARGET, found, hint);
        }
    } else if is_insecure {
        let found = "certificates to trust are of no use where none is checked";
        desk.rule_out(&settings::CA, &settings::INSECURE, found, "keep one of them");
    }
    let proxy = desk.one_or_default(&settings::PROXY, &syntax::PROXY);
    let connections = desk.one_or_default(&settings::CONNECTIONS, &syntax::CONNECTIONS);
    if connections == Connections::PerSession && sessions.is_none() {
        let found = "there are no sessions";
        desk.refuse(&[&settings::CONNECTIONS], found, "give `turns`, or `keep-alive`");
    }
    let http = desk.one_or_default(&settings::HTTP2, &syntax::HTTP2);
    let http2_streams =
        desk.one_or_default(&settings::HTTP2_STREAMS, &count::<1, STREAMS_MAX>()) as u32;
    let timeouts = timeouts(desk, delivery);
    let retries = desk.one_or_default(&settings::RETRIES, &count::<0, RETRIES_MAX>()) as u32;
    Access {
        headers,
        api_key,
        ca,
        identity,
        verification,
        proxy,
        connections,
        http,
        http2_streams,
        timeouts,
        retries,
    }
}

fn api_key(desk: &mut Desk, headers: &[(String, HeaderValue)]) -> Option<Secret> {
    let variable = desk.one(&settings::API_KEY_ENV, &syntax::ENV_NAME);
    let file = desk.one(&settings::API_KEY_FILE, &syntax::PATH);
    if headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
        let found = "a `header` gives `Authorization` already";
        for setting in [&settings::API_KEY_ENV, &settings::API_KEY_FILE] {
            desk.rule_out(setting, &settings::HEADER, found, "keep one of them");
        }
    }
    if desk.is_given(&settings::API_KEY_ENV) {
        let found = "there are two API keys";
        desk.rule_out(&settings::API_KEY_FILE, &settings::API_KEY_ENV, found, "keep one of them");
    }
    variable.map(Secret::Env).or(file.map(Secret::File))
}

fn identity(desk: &mut Desk) -> Option<Identity> {
    let cert = desk.one(&settings::CERT, &syntax::PATH);
    let key = desk.one(&settings::KEY, &syntax::PATH);
    if !desk.is_given(&settings::CERT) && desk.is_given(&settings::KEY) {
        desk.refuse(&[&settings::KEY], "there is no certificate to this key", "give `cert` too");
    }
    cert.map(|cert| Identity { key: key.unwrap_or_else(|| cert.clone()), cert })
}

fn timeouts(desk: &mut Desk, delivery: Delivery) -> Timeouts {
    let timeouts = Timeouts {
        connect: desk.one_or_default(&settings::CONNECT_TIMEOUT, &syntax::DURATION),
        header: desk.one(&settings::HEADER_TIMEOUT, &syntax::DURATION),
        first_token: desk.one(&settings::FIRST_TOKEN_TIMEOUT, &syntax::DURATION),
        idle: desk.one(&settings::IDLE_TIMEOUT, &syntax::DURATION),
        total: desk.one_or_default(&settings::TIMEOUT, &syntax::DURATION),
    };
    if delivery == Delivery::Whole {
        let found = "an answer that is not streamed comes at once";
        for setting in [&settings::FIRST_TOKEN_TIMEOUT, &settings::IDLE_TIMEOUT] {
            desk.rule_out(setting, &settings::STREAM, found, "give `timeout`");
        }
    }
    timeouts
}

fn metrics(desk: &mut Desk) -> Metrics {
    let mut given = desk.all(&settings::METRICS, &syntax::METRIC_PAGE);
    if given.is_empty() {
        given.push(desk.default_of(&settings::METRICS, &syntax::METRIC_PAGE));
    }
    if given.len() > 1 && given.contains(&None) {
        let found = "`none` and a page contradict each other";
        desk.refuse(&[&settings::METRICS], found, "keep one of them");
    }
    let interval = desk.one_or_default(&settings::METRICS_INTERVAL, &syntax::DURATION);
    if interval < METRICS_INTERVAL_MIN {
        let found = "to read that often would be a load of its own";
        desk.refuse(&[&settings::METRICS_INTERVAL], found, "give `100ms` or more");
    }
    let pages: Vec<MetricPage> = given.into_iter().flatten().collect();
    Metrics { pages, interval }
}

fn tags(desk: &mut Desk) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    for (key, value) in desk.all(&settings::TAG, &syntax::TAG) {
        if tags.insert(key.clone(), value).is_some() {
            let found = format!("the key `{key}` is given twice");
            desk.refuse(&[&settings::TAG], &found, "keep one of them");
        }
    }
    tags
}

#[cfg(test)]
mod tests;
