//! Examines this machine and a target, line by line, and says how to mend what is wrong.
//!
//! Nothing is measured, and as little as possible generated: two short answers, and two of one
//! token to see a prefix cache at work.
//!
//! Not here: how the lines look, and exit codes.

mod machine;
mod server;

use infermark_scenario::Resolved;
use serde::Serialize;

use crate::Secrets;

/// What one look found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub subject: Subject,
    /// How it stands.
    pub state: State,
    /// What was found, in one line.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How a thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Runs work, with a restriction.
    Warning,
    /// Runs will fail, or mislead.
    Failure,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// How this program was built.
    Build,
    /// The limit on open files.
    OpenFiles,
    /// The range of local ports.
    LocalPorts,
    /// The clock that the kernel reads.
    ClockSource,
    /// The frequency governor.
    CpuGovernor,
    /// The processors that this process may use.
    Processors,
    /// The memory that this process may use.
    Memory,
    /// The scheduler's favour.
    Scheduling,
    /// Whether the target's name has an address.
    Name,
    /// Whether the target answers, and over TLS whom it is believed to be.
    Connection,
    /// Whether the target lets us in.
    Access,
    /// The model that is asked for.
    Model,
    /// What the target is.
    Server,
    /// The API.
    Api,
    /// How answers come.
    Streaming,
    /// Whether tokens are counted.
    Usage,
    /// Whether the tokens of a chunk are known.
    ChunkTokens,
    /// Whether an exact length is honoured.
    ExactLength,
    /// Whether the tokenizer on this side agrees with the server's.
    Tokenizer,
    /// Whether prompts are cached.
    PrefixCache,
    /// The page of metrics.
    Metrics,
    /// How far the clocks are apart.
    ClockSkew,
}

impl Finding {
    fn ok(subject: Subject, found: impl Into<String>) -> Self {
        Self { subject, state: State::Ok, found: found.into(), remedy: None }
    }

    fn warning(subject: Subject, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { subject, state: State::Warning, found: found.into(), remedy }
    }

    fn failure(subject: Subject, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { subject, state: State::Failure, found: found.into(), remedy }
    }
}

/// Examines this machine.
pub fn machine() -> Vec<Finding> {
    machine::examine()
}

/// Examines a target. Each finding goes to `each` as soon as it is made; what cannot be looked at
/// because something before it failed is left out. `tell` hears of what is fetched, in words.
pub fn target(
    resolved: &Resolved,
    secrets: &Secrets<'_>,
    tell: &mut dyn FnMut(&str),
    each: &mut dyn FnMut(Finding),
) {
    server::examine(&resolved.scenario, secrets, tell, each);
}
