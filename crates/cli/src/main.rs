//! The command line: from words to a scenario, from results to words.
//!
//! Results go to standard output, everything else to standard error. Only here are flags, the
//! environment and exit codes known.

mod arguments;
mod before;
mod calibrate;
mod capacity;
mod compare;
mod doctor;
mod exit;
mod place;
mod progress;
mod repeat;
mod report;
mod run;
mod runs;
mod sheet;
mod sim;
mod study;
mod subject;
mod sweep;
mod validate;
mod whom;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::exit::{Exit, Failure};

fn main() -> ExitCode {
    let matches = match arguments::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return arguments::explain(&error).into(),
    };
    let done = match matches.subcommand() {
        Some(("run", matches)) => run::run(matches),
        Some(("capacity", matches)) => capacity::capacity(matches),
        Some(("sweep", matches)) => sweep::sweep(matches),
        Some(("report", matches)) => report::report(matches),
        Some(("validate", matches)) => validate::validate(matches),
        Some(("compare", matches)) => compare::compare(matches),
        Some(("runs", matches)) => runs::runs(matches),
        Some(("sim", matches)) => sim::sim(matches),
        Some(("calibrate", matches)) => calibrate::calibrate(matches),
        Some(("doctor", matches)) => doctor::doctor(matches),
        Some(("completions", matches)) => arguments::completions(matches),
        _ => unreachable!("clap accepts no other command"),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            complain(&failure);
            failure.exit.into()
        }
    }
}

/// Prints an error as people need it: what, why, and what to do.
fn complain(failure: &Failure) {
    let mut shown = failure.error.to_string();
    // A scenario's problems are several, and each says that it is one.
    let first = shown.strip_prefix("error: ").unwrap_or(&shown);
    let mut text = format!("error: {}\n", first.trim_end());
    for cause in failure.error.chain().skip(1) {
        let cause = cause.to_string();
        // Libraries that put their source into their own text would say it twice.
        if !shown.contains(&cause) {
            text.extend(["  caused by: ", &cause, "\n"]);
            shown = cause;
        }
    }
    if let Some(hint) = &failure.hint {
        text.extend(["\nhint: ", hint, "\n"]);
    }
    say(&text);
}

/// Writes to standard error, above what is drawn there. Nobody may be listening, which is their
/// choice.
fn say(text: &str) {
    progress::above(|| drop(io::stderr().write_all(text.as_bytes())));
}

/// Writes a result to standard output. A reader that has seen enough is no error.
fn print(content: &(impl AsRef<[u8]> + ?Sized)) -> Result<Exit, Failure> {
    match io::stdout().write_all(content.as_ref()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::internal(anyhow::Error::new(error).context("cannot write the result")))
        }
        Ok(()) | Err(_) => Ok(Exit::Done),
    }
}
