//! The commands and their arguments, made from the table of settings.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, ValueParser};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::Shell;
use infermark_peers::View;
use infermark_scenario::settings::{Form, Group, HTTP2, SETTINGS, Setting};
use infermark_scenario::{Given, nearest};

use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::{
    calibrate, capacity, compare, doctor, place, print, repeat, runs, say, sim, sweep, validate,
};

/// The whole command line.
pub(crate) fn command() -> Command {
    with_http1(commands())
}

/// Gives every command that takes `--http2` its plain opposite.
fn with_http1(command: Command) -> Command {
    let takes = |id: &str| command.get_arguments().any(|arg| arg.get_id() == id);
    let (chooses, resumes) = (takes(HTTP2.key), takes("resume"));
    let command = command.mut_subcommands(with_http1);
    if !chooses {
        return command;
    }
    let arg = Arg::new(HTTP1)
        .long(HTTP1)
        .action(ArgAction::SetTrue)
        .conflicts_with(HTTP2.key)
        .help_heading(HTTP2.group.title())
        .help("Speak HTTP/1.1, whatever a variable or a file says: `--http2=no`");
    command.arg(if resumes { arg.conflicts_with("resume") } else { arg })
}

fn commands() -> Command {
    Command::new("infermark")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Measures LLM inference servers, and says how far the numbers can be trusted")
        .after_help(EXIT_CODES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(run())
        .subcommand(sweep::command())
        .subcommand(capacity::command())
        .subcommand(report())
        .subcommand(validate::command())
        .subcommand(compare::command())
        .subcommand(runs::command())
        .subcommand(sim::command())
        .subcommand(calibrate::command())
        .subcommand(doctor::command())
        .subcommand(shells())
}

fn run() -> Command {
    let settings = SETTINGS.iter().map(|setting| argument(setting));
    Command::new("run")
        .about("Measures one operating point of a server")
        .long_about(
            "Measures one operating point of a server.\n\n\
             Without a target the engine embedded in this program is measured over loopback, so \
             that the command works on any machine. Each option can also be given by its \
             environment variable or in a scenario file; a flag wins over a variable, a variable \
             over the file, the file over the default.",
        )
        .after_help(EXIT_CODES)
        .args(settings)
        .args(repeat::arguments())
        .arg(scenario_file())
        .args(record())
        .args(output(&["table", "json"]))
        .arg(quiet())
}

/// Names a scenario file.
pub(crate) fn scenario_file() -> Arg {
    Arg::new("scenario")
        .long("scenario")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help_heading(Group::Run.title())
        .help("A scenario file: YAML, TOML or JSON with the options' names as keys")
}

/// Say where the record goes.
pub(crate) fn record() -> [Arg; 2] {
    let record = Arg::new("record")
        .long("record")
        .value_name("DIR")
        .value_parser(value_parser!(PathBuf))
        .help_heading("Output")
        .help("Where the record goes [default: a directory of its own below --runs]");
    [record, place::argument()]
}

/// Says nothing but the result.
pub(crate) fn quiet() -> Arg {
    Arg::new("quiet")
        .long("quiet")
        .short('q')
        .action(ArgAction::SetTrue)
        .help_heading("Output")
        .help("No progress, no notes")
}

fn report() -> Command {
    Command::new("report")
        .about("Reads records of runs back, complete or partial, and reports their results")
        .long_about(
            "Reads records of runs back, complete or partial, and reports their results.\n\n\
             Of one run, `html` is a page with its verdict, figures and charts; of several, it \
             sets them side by side: throughput, latency, scaling and cost over the load. \
             `markdown` is for a merge request; `csv` has one line a point with every figure \
             under its key in run.json; `xlsx` is a workbook of the same. With `svg` or `png` \
             the charts go as files into the folder that --output names.",
        )
        .after_help(EXIT_CODES)
        .arg(
            Arg::new("run")
                .value_name("RUN")
                .required(true)
                .num_args(1..)
                .value_parser(value_parser!(PathBuf))
                .help(place::RUN_HELP),
        )
        .arg(place::argument())
        .arg(
            Arg::new("view")
                .long("view")
                .value_name("TOOL")
                .value_parser(PossibleValuesParser::new(View::ALL.map(View::name)))
                .help("The figures by another tool's own definitions, recomputed from the record"),
        )
        .args(output(&["table", "json", "markdown", "html", "csv", "xlsx", "svg", "png"]))
}

fn shells() -> Command {
    Command::new("completions").about("Prints completions for a shell").arg(
        Arg::new("shell").value_name("SHELL").required(true).value_parser(value_parser!(Shell)),
    )
}

/// How results are printed; the first format is the default.
pub(crate) fn output(formats: &'static [&'static str]) -> [Arg; 2] {
    [
        Arg::new("format")
            .long("format")
            .value_name("FORMAT")
            .value_parser(PossibleValuesParser::new(formats))
            .default_value(formats[0])
            .help_heading("Output")
            .help("How the result is printed"),
        Arg::new("output")
            .long("output")
            .short('o')
            .value_name("PATH")
            .value_parser(value_parser!(PathBuf))
            .help_heading("Output")
            .help("Write the result to a file instead of standard output; `-` for the latter"),
    ]
}

/// Makes the argument of a setting. Its value is text here: `scenario` reads it, wherever it
/// came from.
pub(crate) fn argument(setting: &'static Setting) -> Arg {
    let default = setting.default.map(|text| format!(" [default: {text}]")).unwrap_or_default();
    let help = format!("{}{default}", setting.help);
    let env = format!("[env: {}]", setting.env);
    let long = [help.as_str(), setting.more, &env].into_iter().filter(|part| !part.is_empty());
    let arg = Arg::new(setting.key)
        .value_name(setting.value_name)
        .value_parser(ValueParser::string())
        .help_heading(setting.group.title())
        .long_help(long.collect::<Vec<_>>().join("\n\n"))
        .help(help.clone());
    match setting.form {
        Form::Positional => arg,
        Form::Once => arg.long(setting.flag).allow_hyphen_values(true),
        Form::Switch => {
            arg.long(setting.flag).num_args(0..=1).require_equals(true).default_missing_value("yes")
        }
        Form::Repeated => arg.long(setting.flag).action(ArgAction::Append),
    }
}

/// Returns what the command line gave of these settings, and what the environment gives beside.
/// Variables that look like ours and are none are warned of.
pub(crate) fn given(
    settings: &[&'static Setting],
    matches: &ArgMatches,
) -> Result<Vec<Given>, Failure> {
    warn_of_strangers();
    let mut given = Vec::new();
    for setting in settings {
        if matches.value_source(setting.key) == Some(ValueSource::CommandLine) {
            let values = matches.get_many::<String>(setting.key).into_iter().flatten();
            given.extend(values.map(|text| Given::flag(setting, text)));
        }
        if *setting == &HTTP2 && matches.get_flag(HTTP1) {
            given.push(Given::flag(setting, "no"));
        }
        // An empty variable is one that was unset in passing.
        if let Some(text) = std::env::var_os(setting.env).filter(|text| !text.is_empty()) {
            let text = text.into_string().map_err(|_| {
                Failure::usage(anyhow::anyhow!("the variable `{}` is not UTF-8", setting.env))
            })?;
            given.push(Given::env(setting, text));
        }
    }
    Ok(given)
}

/// The opposite of `--http2`.
const HTTP1: &str = "http1";

/// What the names of our variables begin with.
const PREFIX: &str = "INFERMARK_";

/// Variables of ours that are no setting's.
const FURTHER: [&str; 2] = ["runs", "calibration"];

/// Warns of variables that look like ours and are none.
fn warn_of_strangers() {
    for warning in strangers(std::env::vars_os().map(|(name, _)| name)) {
        say(&warning);
    }
}

/// Returns a warning for each variable that looks like one of ours and is none. What it holds may
/// be a secret, and is not looked at.
fn strangers(names: impl Iterator<Item = OsString>) -> Vec<String> {
    let known = || SETTINGS.iter().map(|setting| setting.key).chain(FURTHER);
    let mut warnings = Vec::new();
    for name in names {
        let name = name.to_string_lossy();
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if known().any(|key| rest == key.to_uppercase()) {
            continue;
        }
        let hint = nearest(rest, known()).map_or(String::new(), |key| {
            format!("hint: did you mean `{PREFIX}{}`?\n", key.to_uppercase())
        });
        warnings.push(format!("warning: the variable `{name}` is none that is known\n{hint}"));
    }
    warnings
}

/// Prints completions for a shell.
pub(crate) fn completions(matches: &ArgMatches) -> Result<Exit, Failure> {
    let shell = *matches.get_one::<Shell>("shell").expect("clap requires it");
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "infermark", &mut script);
    print(&script)
}

/// Prints what clap has to say: help to standard output, errors to standard error.
pub(crate) fn explain(error: &clap::Error) -> Exit {
    if error.use_stderr() {
        say(&error.render().to_string());
        return Exit::Usage;
    }
    // Help that cannot be written is nobody's loss.
    drop(print(&error.render().to_string()));
    Exit::Done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_nearly_ours_is_warned_of_and_its_value_not_shown() {
        let of = |names: &[&str]| strangers(names.iter().map(OsString::from));
        let known = ["INFERMARK_RATE", "INFERMARK_RUNS", "INFERMARK_CALIBRATION", "PATH", "RAET"];
        assert!(of(&known).is_empty());
        assert_eq!(
            of(&["INFERMARK_TIMOUT", "INFERMARK_XYZZY"]),
            [
                "warning: the variable `INFERMARK_TIMOUT` is none that is known\n\
                 hint: did you mean `INFERMARK_TIMEOUT`?\n",
                "warning: the variable `INFERMARK_XYZZY` is none that is known\n",
            ]
        );
    }
}
