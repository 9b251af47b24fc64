//! `infermark doctor`: what may stand in a run's way, and how to mend it.

use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};

use anyhow::anyhow;
use clap::{ArgMatches, Command};
use infermark_run::doctor::{Finding, State, Subject, machine, target};
use infermark_scenario::resolve;
use infermark_scenario::settings::{Group, SETTINGS, Setting};
use infermark_terms::Seed;
use serde::Serialize;

use crate::arguments;
use crate::before::variable;
use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::report::{deliver, format, json};
use crate::say;

/// Settings beside those of the target and of access that bear on what is examined.
const FURTHER: [&str; 2] = ["tokenizer", "output_length"];

/// The command's arguments.
pub(crate) fn command() -> Command {
    Command::new("doctor")
        .about("Examines this machine and a target, and says how to mend what is wrong")
        .long_about(
            "Examines this machine and a target, and says how to mend what is wrong.\n\n\
             The machine's limits, clock and scheduler; the target's name, TLS, key, model, API, \
             how its answers stream and what they count, the tokenizer, the prefix cache, the \
             metrics and the clock. A few short answers are generated. Without a target only this \
             machine is examined; `--api auto` finds the API by asking.\n\n\
             Exits with 3 if something is a failure, with 5 if the target cannot be reached.",
        )
        .after_help(EXIT_CODES)
        .args(settings().map(arguments::argument))
        .args(arguments::output(&["table", "json"]))
}

fn settings() -> impl Iterator<Item = &'static Setting> {
    let ours = |setting: &&Setting| {
        matches!(setting.group, Group::Target | Group::Access) || FURTHER.contains(&setting.key)
    };
    SETTINGS.iter().copied().filter(ours)
}

/// Examines, and prints what was found.
pub(crate) fn doctor(matches: &ArgMatches) -> Result<Exit, Failure> {
    let settings: Vec<_> = settings().collect();
    let given = arguments::given(&settings, matches)?;
    let named = given.iter().any(|given| given.setting().key == "target");
    let seed = Seed(RandomState::new().hash_one("seed") >> 32);
    let resolved = resolve(given, seed).map_err(|all| Failure::usage(anyhow!("{all}")))?;
    let mut findings = machine();
    if named {
        say("examining the target…\n");
        let fetching = &mut |words: &str| say(&format!("{words}\n"));
        target(&resolved, &variable, fetching, &mut |finding| findings.push(finding));
    }
    let text = match format(matches) {
        "json" => json(&Examined { schema: "infermark.doctor/1", findings: &findings }),
        _ => table(&findings),
    };
    let printed = deliver(&text, matches)?;
    Ok(verdict(&findings).unwrap_or(printed))
}

#[derive(Serialize)]
struct Examined<'a> {
    schema: &'static str,
    findings: &'a [Finding],
}

/// Returns how the program ends if something is a failure.
fn verdict(findings: &[Finding]) -> Option<Exit> {
    let failed = |finding: &&Finding| finding.state == State::Failure;
    let first = findings.iter().find(failed)?;
    let unreached = [Subject::Name, Subject::Connection, Subject::Access].contains(&first.subject);
    Some(if unreached { Exit::Target } else { Exit::Missed })
}

fn table(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let state = match finding.state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Failure => "FAILURE",
        };
        let subject = words(finding.subject);
        let _done = writeln!(text, "{state:<8} {subject:<14} {}", finding.found);
        if let Some(remedy) = &finding.remedy {
            let _done = writeln!(text, "{:<8} {:<14} hint: {remedy}", "", "");
        }
    }
    let count = |state, word: &str| {
        let count = findings.iter().filter(|finding| finding.state == state).count();
        format!("{count} {word}{}", if count == 1 { "" } else { "s" })
    };
    let (warnings, failures) = (count(State::Warning, "warning"), count(State::Failure, "failure"));
    let _done = writeln!(text, "\n{} looked at · {warnings} · {failures}", findings.len());
    text
}

fn words(subject: Subject) -> &'static str {
    match subject {
        Subject::Build => "build",
        Subject::OpenFiles => "open files",
        Subject::LocalPorts => "local ports",
        Subject::ClockSource => "clock source",
        Subject::CpuGovernor => "CPU governor",
        Subject::Processors => "processors",
        Subject::Memory => "memory",
        Subject::Scheduling => "scheduling",
        Subject::Name => "name",
        Subject::Connection => "connection",
        Subject::Access => "access",
        Subject::Model => "model",
        Subject::Server => "server",
        Subject::Api => "API",
        Subject::Streaming => "streaming",
        Subject::Usage => "usage",
        Subject::ChunkTokens => "chunk tokens",
        Subject::ExactLength => "exact length",
        Subject::Tokenizer => "tokenizer",
        Subject::PrefixCache => "prefix cache",
        Subject::Metrics => "metrics",
        Subject::ClockSkew => "clock skew",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(subject: Subject, state: State) -> Finding {
        Finding { subject, state, found: "so".to_owned(), remedy: Some("do".to_owned()) }
    }

    #[test]
    fn a_failure_ends_the_program_with_its_code() {
        assert_eq!(verdict(&[finding(Subject::Usage, State::Warning)]), None);
        let lost = finding(Subject::Connection, State::Failure);
        assert_eq!(verdict(&[lost]), Some(Exit::Target));
        let short = finding(Subject::ExactLength, State::Failure);
        assert_eq!(verdict(&[short]), Some(Exit::Missed));
    }

    #[test]
    fn each_line_says_how_a_thing_stands_and_what_to_do() {
        let text = table(&[finding(Subject::OpenFiles, State::Warning)]);
        assert_eq!(
            text,
            "warning  open files     so\n                        hint: do\n\n\
             1 looked at · 1 warning · 0 failures\n"
        );
    }
}
