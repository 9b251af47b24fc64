//! `infermark sim`: the engine simulator as a server, as a prediction, and against measurements.
//!
//! Each command describes its engine by the same line that stands after `sim:` in a target.

mod predict;
mod serve;
mod validate;

use clap::{Arg, ArgMatches, Command};

use crate::exit::{EXIT_CODES, Exit, Failure};

/// What `--help` says of the line that describes an engine.
const SPEC_HELP: &str = "\
The engine, as after `sim:` in a target:
  ttft=50ms,itl=10ms,prefill=20us       latencies as given; all may be left out
  llama-3.1-8b@h100                     a model on a GPU, with vLLM's defaults
  llama-3.1-70b@h100,tp=4,weights=fp8   the same, and options

The options are tp, pp, dp, ep, replicas, router, prefill, transfer, weights, kv, seqs,
batched, context, memory, stack, launch, chunked, prefix-cache, policy, queue and
speculate; `infermark sim predict --help` says what each means.";

/// The commands of the simulator.
pub(crate) fn command() -> Command {
    Command::new("sim")
        .about("Simulates an inference engine: serves it, predicts with it, checks it")
        .after_help(EXIT_CODES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(serve::command())
        .subcommand(predict::command())
        .subcommand(validate::command())
}

/// Runs one of them.
pub(crate) fn sim(matches: &ArgMatches) -> Result<Exit, Failure> {
    match matches.subcommand() {
        Some(("serve", matches)) => serve::serve(matches),
        Some(("predict", matches)) => predict::predict(matches),
        Some(("validate", matches)) => validate::validate(matches),
        _ => unreachable!("clap accepts no other command"),
    }
}

/// The argument that describes the engine.
fn spec() -> Arg {
    Arg::new("spec")
        .value_name("SPEC")
        .help("The engine, as after `sim:` in a target [default: latencies of a fixed length]")
        .long_help(SPEC_HELP)
}

/// Returns the line that describes the engine, without the `sim:` that some will write.
fn spec_of(matches: &ArgMatches) -> Option<&str> {
    let text = matches.get_one::<String>("spec")?;
    Some(text.strip_prefix("sim:").unwrap_or(text))
}
