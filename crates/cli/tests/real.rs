//! The binary against a real server that somebody else started and named in a variable.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Returns what a variable says.
#[expect(clippy::disallowed_methods, reason = "whoever started the server says where it is")]
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} says nothing"))
}

/// Runs a command on the server that the variable `server` names: its name and arguments, then
/// more of them.
pub(crate) fn infermark(server: &str, dir: &Path, words: &str, more: &[&str]) -> Output {
    let (command, words) = words.split_once(' ').unwrap();
    Command::new(env!("CARGO_BIN_EXE_infermark"))
        .arg(command)
        .arg(variable(server))
        .args(words.split(' '))
        .args(more)
        .args(["--format", "json"])
        .current_dir(dir)
        .output()
        .unwrap()
}

/// Reads the result.
pub(crate) fn page(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}
