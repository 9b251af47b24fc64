//! Exit codes, which scripts rely on, and failures that lead to them.

use std::process::ExitCode;

use infermark_run::{Category, RunError};

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The result is there.
    Done = 0,
    /// This program or this machine failed.
    Internal = 1,
    /// The command line or the scenario is wrong.
    Usage = 2,
    /// An objective is missed, a gate is shut, or something that was examined fails.
    Missed = 3,
    /// The instrument cannot vouch for the result.
    Void = 4,
    /// The target is unreachable or refuses.
    Target = 5,
    /// Interrupted; the record is kept, marked partial.
    Interrupted = 130,
}

/// What `--help` says of exit codes.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    internal fault
  2    usage or scenario error
  3    an objective is missed, a gate is shut, or an examination failed
  4    result void: the instrument cannot vouch for it
  5    target unreachable or refused
  130  interrupted; the record is kept, marked partial";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why the program ends without a result.
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) error: anyhow::Error,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn internal(error: anyhow::Error) -> Self {
        Self { exit: Exit::Internal, error, hint: None }
    }

    pub(crate) fn usage(error: anyhow::Error) -> Self {
        Self { exit: Exit::Usage, error, hint: None }
    }

    /// Says what to do about it.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let exit = match error.category() {
            Category::Scenario => Exit::Usage,
            Category::Target => Exit::Target,
            Category::Internal => Exit::Internal,
            Category::Interrupted => Exit::Interrupted,
        };
        Self { exit, hint: error.hint(), error: error.into() }
    }
}
