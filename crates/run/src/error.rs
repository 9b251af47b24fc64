//! Why a run cannot be made, or cannot be vouched for.

use std::io;
use std::path::PathBuf;

use infermark_drive::{CallError, EndpointError, TlsFault, TrustError};
use infermark_scenario::Problems;
use infermark_store::StoreError;
use infermark_terms::{Excerpt, HttpVersion, Outcome};
use infermark_wire::UnsupportedPrompt;
use infermark_workload::{ProbeError, TokenizeError, TokenizerError, WorkloadError};
use thiserror::Error;

use crate::hub::HubError;

/// Why there is no result.
#[derive(Debug, Error)]
pub enum RunError {
    /// The target's address cannot be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The server could not be reached.
    #[error("cannot reach {url}")]
    Unreachable {
        /// The call's URL.
        url: String,
        /// Why.
        #[source]
        source: CallError,
    },
    /// The server said no.
    #[error("{url} answered {status}{}", said(.message))]
    Refused {
        /// The call's URL.
        url: String,
        /// The status.
        status: u16,
        /// What it said.
        message: Excerpt,
    },
    /// The server's answer is not what the API's would be.
    #[error("{url} does not answer as an OpenAI-compatible API: {found}")]
    NotTheApi {
        /// The call's URL.
        url: String,
        /// What came instead.
        found: String,
    },
    /// The server lists no model.
    #[error("{url} lists no model")]
    NoModel {
        /// The call's URL.
        url: String,
    },
    /// The server answers to no API that is known.
    #[error("{url} answers to none of the APIs that are tried")]
    NoApi {
        /// The base URL.
        url: String,
    },
    /// The API that was found cannot order an exact length, and one was asked for.
    #[error("{url} answers to `{api}`, by which no exact output length can be ordered")]
    NoExactLength {
        /// The base URL.
        url: String,
        /// The API.
        api: infermark_terms::Api,
    },
    /// The API that was found generates nothing, and the scenario says how long answers are.
    #[error("{url} answers to `{api}`, which generates nothing")]
    GeneratesNothing {
        /// The base URL.
        url: String,
        /// The API.
        api: infermark_terms::Api,
    },
    /// What is asked is longer than the model's context.
    #[error(
        "{kind} of {tokens} tokens, input and output, do not fit into the context of `{model}`, \
         which holds {context}"
    )]
    TooLong {
        /// What is too long: requests, or conversations.
        kind: &'static str,
        /// How long it gets.
        tokens: u64,
        /// The model.
        model: String,
        /// Its context, in tokens.
        context: u32,
    },
    /// A trial request failed.
    #[error("a trial request to {url} failed: {}", told(.outcome))]
    Trial {
        /// The call's URL.
        url: String,
        /// How it ended.
        outcome: Outcome,
    },
    /// The embedded engine's configuration is wrong.
    #[error("`sim:{text}` is not a configuration of the embedded engine: {reason}")]
    Engine {
        /// What follows `sim:`.
        text: String,
        /// What is wrong.
        reason: String,
        /// What to do about it.
        hint: String,
    },
    /// A prediction was asked for of something else than the embedded engine.
    #[error("`{target}` cannot be predicted: only the embedded engine can")]
    NoPrediction {
        /// The target.
        target: String,
    },
    /// A dataset or tokenizer cannot be had from a hub.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The tokenizer file cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The server's `/tokenize` cannot be used.
    #[error("the server's `/tokenize` cannot be used")]
    ServerTokenizer {
        /// Why.
        #[source]
        source: TokenizeError,
    },
    /// The tokenizer does not match the server.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// What is to be asked cannot be made.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// The API takes no prompts of this form.
    #[error(transparent)]
    Prompt(#[from] UnsupportedPrompt),
    /// A secret is not there.
    #[error("the environment variable `{name}`, named by `{setting}`, is not set")]
    Secret {
        /// The variable.
        name: String,
        /// Who names it.
        setting: String,
    },
    /// The file of a secret cannot be read.
    #[error("cannot read the secret in {}", path.display())]
    SecretFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A secret cannot stand in a header.
    #[error("the secret in {place} is not one line of ASCII text")]
    SecretText {
        /// Where it is.
        place: String,
    },
    /// A point of a study has no scenario that makes sense.
    #[error("{problems}")]
    Point {
        /// What is wrong with it.
        problems: Problems,
    },
    /// A directory that is no study was to be gone on with.
    #[error("`{}` holds one run and not a study", dir.display())]
    NotAStudy {
        /// The directory.
        dir: PathBuf,
    },
    /// What is to be gone on with is not of the kind that is asked for.
    #[error("`{}` is of kind `{found}` and not `{asked}`", dir.display())]
    OtherKind {
        /// The directory.
        dir: PathBuf,
        /// What it holds: `run`, or what its study is for.
        found: &'static str,
        /// What the study was to be for.
        asked: &'static str,
    },
    /// The requests of an imported run were asked for.
    #[error("`{}` was imported: it holds figures and no requests", dir.display())]
    Adopted {
        /// The directory.
        dir: PathBuf,
    },
    /// The study was stopped by the user's wish.
    #[error("stopped: what was measured is in `{}`", dir.display())]
    Stopped {
        /// The study.
        dir: PathBuf,
    },
    /// This machine's limit on open files is too low.
    #[error("{connections} connections need {needed} open files, and this process may have {hard}")]
    OpenFiles {
        /// How many connections the load may hold.
        connections: u32,
        /// What they need.
        needed: u64,
        /// The hard limit.
        hard: u64,
    },
    /// More threads than the load has slots.
    #[error("{threads} threads cannot share {slots} requests in flight")]
    Threads {
        /// As asked for.
        threads: u32,
        /// The most requests in flight.
        slots: u32,
    },
    /// The price table cannot be used.
    #[error("the price table {} cannot be used: {reason}", path.display())]
    Prices {
        /// The table.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The record could not be written or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record's header is not one of ours.
    #[error("the header of {} lacks what it takes to measure again", dir.display())]
    Header {
        /// The record.
        dir: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The system refused a thread, an event queue or a timer.
    #[error("the system gives no {what}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Its word.
        #[source]
        source: io::Error,
    },
}

/// Whose fault an error is: each has its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// The scenario asks what cannot be done.
    Scenario,
    /// The target is unreachable or refuses.
    Target,
    /// This program or this machine failed.
    Internal,
    /// The user wished so.
    Interrupted,
}

impl RunError {
    /// Says whose fault it is.
    pub fn category(&self) -> Category {
        match self {
            Self::Endpoint(EndpointError::Name { .. })
            | Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::NotTheApi { .. }
            | Self::NoModel { .. }
            | Self::NoApi { .. }
            | Self::Trial { .. } => Category::Target,
            Self::Endpoint(_)
            | Self::Engine { .. }
            | Self::NoPrediction { .. }
            | Self::Hub(_)
            | Self::NoExactLength { .. }
            | Self::GeneratesNothing { .. }
            | Self::TooLong { .. }
            | Self::Tokenizer(_)
            | Self::ServerTokenizer { .. }
            | Self::Probe(_)
            | Self::Workload(_)
            | Self::Prompt(_)
            | Self::Secret { .. }
            | Self::SecretFile { .. }
            | Self::SecretText { .. }
            | Self::OpenFiles { .. }
            | Self::Threads { .. }
            | Self::Prices { .. }
            | Self::Point { .. }
            | Self::NotAStudy { .. }
            | Self::OtherKind { .. }
            | Self::Adopted { .. }
            | Self::Store(
                StoreError::NotEmpty { .. }
                | StoreError::Held { .. }
                | StoreError::NotARun { .. }
                | StoreError::Newer { .. }
                | StoreError::Foreign { .. },
            ) => Category::Scenario,
            Self::Stopped { .. } => Category::Interrupted,
            // A record that is named and is not there.
            Self::Store(StoreError::Read { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Category::Scenario
            }
            Self::Store(_) | Self::Header { .. } | Self::System { .. } => Category::Internal,
        }
    }

    /// Returns what to do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Endpoint(EndpointError::Name { .. }) => "check the host's name",
            Self::Endpoint(EndpointError::Trust(error)) => trust_hint(error),
            Self::Unreachable { source, .. } => call_hint(source)?,
            Self::Endpoint(EndpointError::Proxy(_) | EndpointError::PlainHttp2 { .. }) => {
                "`--proxy none` does without"
            }
            Self::Refused { status: 401 | 403, .. }
            | Self::Trial { outcome: Outcome::Refused { status: 401 | 403, .. }, .. } => {
                "name the variable that holds the key with `--api-key-env VAR`"
            }
            Self::Refused { status: 404, .. } | Self::NotTheApi { .. } => {
                "give the base URL under which `/v1/models` is found"
            }
            Self::NoModel { .. } => "name one with `--model`",
            Self::NoApi { .. } => "is this the base URL? Name the API with `--api`",
            Self::NoExactLength { .. } => "give `--output-length natural`",
            Self::GeneratesNothing { api, .. } => return Some(format!("name it: `--api {api}`")),
            Self::TooLong { .. } => {
                "ask for less with `--input-tokens` or `--output-tokens`, or serve with a longer \
                 context (vLLM: `--max-model-len`)"
            }
            Self::Trial { outcome: Outcome::Refused { status: 404, .. }, .. } => {
                "is the model's name one that `/v1/models` lists, and does the server speak this \
                 `--api`?"
            }
            Self::Engine { hint, .. } => hint,
            Self::NoPrediction { .. } => "give what stands after `sim:`",
            Self::Hub(error) => error.hint()?,
            Self::OpenFiles { .. } => "raise the limit with `ulimit -n`, or lower the load",
            Self::Threads { .. } => "lower `--threads`",
            Self::Prices { .. } => "state the price itself with `--price 1.50/h`",
            Self::Tokenizer(error) => return error.hint(),
            Self::ServerTokenizer { .. } => "give the model's tokenizer with `--tokenizer PATH`",
            Self::Probe(error) => error.hint(),
            Self::Workload(error) => error.hint()?,
            Self::Store(StoreError::NotEmpty { .. }) => "name another directory with `--record`",
            Self::Store(StoreError::Held { .. }) => "let it end, or interrupt it",
            Self::Store(StoreError::StorageFull { .. }) => {
                "what was complete can still be read with `infermark report`"
            }
            Self::Endpoint(_)
            | Self::Refused { .. }
            | Self::Trial { .. }
            | Self::Secret { .. }
            | Self::SecretFile { .. }
            | Self::SecretText { .. }
            | Self::Prompt(_)
            | Self::Point { .. }
            | Self::Store(_)
            | Self::Header { .. }
            | Self::System { .. } => return None,
            Self::NotAStudy { .. } | Self::Adopted { .. } => "print it with `infermark report`",
            Self::OtherKind { asked, .. } => {
                return Some(format!("`infermark runs ls --kind {asked}` lists those that are"));
            }
            Self::Stopped { dir } => {
                return Some(format!("go on with `--resume {}`", dir.display()));
            }
        };
        Some(hint.to_owned())
    }
}

fn trust_hint(error: &TrustError) -> &'static str {
    match error {
        TrustError::NoRoots { .. } => {
            "install the system's certificates, or name a file of them with `--ca`"
        }
        TrustError::Certificates { .. } => "the file must hold certificates in PEM",
        TrustError::Key { .. } | TrustError::Identity { .. } => {
            "`--cert` and `--key` must name a certificate in PEM and its private key, unencrypted"
        }
    }
}

fn call_hint(error: &CallError) -> Option<&'static str> {
    match error {
        CallError::Connect { .. } => Some("is the server up, and is the port right?"),
        CallError::Tls { .. } => tls_hint(error.tls_fault()?),
        CallError::Tunnel { .. } => Some(
            "a proxy takes its credentials from the URL in `HTTPS_PROXY`; `--proxy none` does \
             without it",
        ),
        CallError::Late { .. } => Some("the server accepts connections but does not answer"),
        CallError::Encrypted { .. } => Some("begin its URL with `https://`"),
        CallError::Version { asked: HttpVersion::Http1, .. } => {
            Some("it speaks HTTP/2: give `--http2`")
        }
        CallError::Version { asked: HttpVersion::Http2, .. } => {
            Some("leave `--http2` out, and it is asked in HTTP/1.1")
        }
        CallError::Severed { .. } | CallError::Garbled { .. } => None,
    }
}

fn tls_hint(fault: TlsFault) -> Option<&'static str> {
    match fault {
        TlsFault::Untrusted => {
            Some("trust its authority, or the server's own certificate, with `--ca FILE`")
        }
        TlsFault::Dates => {
            Some("renew the certificate, or set the clocks right; `--insecure` does without")
        }
        TlsFault::Name => Some("use a name that the certificate is for; `--insecure` does without"),
        TlsFault::ClientCertificate => {
            Some("the server asks for a client certificate: `--cert FILE --key FILE`")
        }
        TlsFault::Plain => Some("does it speak TLS? Without, its URL begins with `http://`"),
        TlsFault::Version | TlsFault::Other => None,
    }
}

fn said(message: &Excerpt) -> String {
    if message.as_str().is_empty() { String::new() } else { format!(": {message}") }
}

/// Tells an outcome in words.
pub(crate) fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Finished { .. } => "it finished without a token".to_owned(),
        Outcome::Refused { status, message } => format!("status {status}{}", said(message)),
        Outcome::Severed { phase, fault } => format!("{fault}, while {phase}"),
        Outcome::Garbled { fault } => fault.to_string(),
        Outcome::Errored { message } => {
            format!("the server reported an error in the stream{}", said(message))
        }
        Outcome::Expired { phase, limit } => format!("no end within {limit}, while {phase}"),
        Outcome::Shed { .. } => "it was never sent".to_owned(),
        Outcome::Abandoned => "it was abandoned".to_owned(),
    }
}
