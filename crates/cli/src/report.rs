//! `infermark report`: a record read back and printed.

use std::fs;
use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Context;
use clap::ArgMatches;
use infermark_report::Colour;
use infermark_run::{Measured, measure_again};

use crate::exit::{Exit, Failure};
use crate::{print, sheet};

/// Reads a record back and prints its result.
pub(crate) fn report(matches: &ArgMatches) -> Result<Exit, Failure> {
    let dir = matches.get_one::<PathBuf>("run").expect("clap requires it");
    show(&measure_again(dir)?, matches)
}

/// Prints a result as the command line asks.
pub(crate) fn show(measured: &Measured, matches: &ArgMatches) -> Result<Exit, Failure> {
    let format = matches.get_one::<String>("format").map(String::as_str);
    let path = matches.get_one::<PathBuf>("output").filter(|path| path.as_os_str() != "-");
    let text = match format {
        Some("json") => {
            let json = serde_json::to_string_pretty(&measured.header);
            json.expect("a header is plain data") + "\n"
        }
        _ => sheet::table_of(measured, if path.is_none() { colour() } else { Colour::Never }),
    };
    match path {
        None => print(&text),
        Some(path) => fs::write(path, text)
            .with_context(|| format!("cannot write {}", path.display()))
            .map(|()| Exit::Done)
            .map_err(Failure::internal),
    }
}

/// Colour on a terminal, unless `NO_COLOR` is set (no-color.org).
#[expect(clippy::disallowed_methods, reason = "configuration enters here")]
fn colour() -> Colour {
    let refused = std::env::var("NO_COLOR").is_ok_and(|value| !value.is_empty());
    if std::io::stdout().is_terminal() && !refused { Colour::Always } else { Colour::Never }
}
