//! `infermark sim serve`: the simulated engine as an OpenAI-compatible server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::channel;

use anyhow::{Context, anyhow};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use infermark_run::{embedded, make_room};
use infermark_sim::serve::{
    FaultPlan, JsonLines, Lateness, Reach, ServePlan, Serving, Summary, Wire,
};
use infermark_sim::spec::SimTarget;
use infermark_terms::{Nanos, Seed};

use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::say;

/// What `--help` says of misbehaviour.
const FAULTS_HELP: &str = "\
Misbehaviour: names, each with how often it strikes and what it needs, such as
  stall=0.1:500ms,reset=every20,status=0.05:503,crlf

How often is a probability, or `every` and a number; nothing means always. There are
  stall[=P[:1s]]        nothing for so long in mid-answer, then all that was held back
  headers[=P[:1s]]      the response begins so much later
  coalesce[=P[:4]]      so many tokens in each event
  role-only, empty, comments, crlf      more events and other line ends than vLLM's
  no-usage, lying-usage, split-utf8     usage left out or wrong; characters cut in two
  status[=P[:503[:1]]]  an error status, for so many requests in a row
  html                  a web page with status 200
  reset, truncate       the connection reset, or closed, in mid-answer
  error, garbage        in mid-answer an error event, or one that is no JSON

What a request gets depends on the seed and its number alone.";

/// The command's arguments.
pub(super) fn command() -> Command {
    Command::new("serve")
        .about("Serves a simulated engine as an OpenAI-compatible server, until it is interrupted")
        .long_about(
            "Serves a simulated engine as an OpenAI-compatible server, until it is interrupted.\n\n\
             It answers /v1/chat/completions, /v1/completions, /v1/models, /tokenize, /detokenize, \
             /health, /metrics and /version as vLLM does. Each token leaves when the engine has \
             it. Ctrl-C or SIGTERM ends it, with a summary.",
        )
        .after_help(EXIT_CODES)
        .arg(super::spec())
        .arg(
            Arg::new("address")
                .long("address")
                .value_name("HOST:PORT")
                .value_parser(value_parser!(SocketAddr))
                .default_value("127.0.0.1:8000")
                .help("Where to listen; port 0 takes a free one"),
        )
        .arg(
            Arg::new("allow-network")
                .long("allow-network")
                .action(ArgAction::SetTrue)
                .help("Accept an address that other machines can reach"),
        )
        .arg(
            Arg::new("tls")
                .long("tls")
                .action(ArgAction::SetTrue)
                .help("Serve over TLS, with a fresh certificate that nobody vouches for"),
        )
        .arg(Arg::new("model").long("model").value_name("NAME").help("The model's name"))
        .arg(
            Arg::new("max-model-len")
                .long("max-model-len")
                .value_name("N")
                .value_parser(value_parser!(u32).range(1..))
                .help("The most tokens of prompt and answer together [default: the model's own]"),
        )
        .arg(
            Arg::new("speed")
                .long("speed")
                .value_name("X")
                .value_parser(value_parser!(f64))
                .default_value("1")
                .help("How many times faster than real time the engine runs"),
        )
        .arg(
            Arg::new("seed")
                .long("seed")
                .value_name("N")
                .value_parser(value_parser!(u64))
                .default_value("0")
                .help("The root of every random choice"),
        )
        .arg(
            Arg::new("faults")
                .long("faults")
                .value_name("PLAN")
                .help("Misbehaviour, such as `stall=0.1:500ms,reset=every20`")
                .long_help(FAULTS_HELP),
        )
        .arg(
            Arg::new("truth")
                .long("truth")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Write what was really done to this file, a line of JSON for each request"),
        )
}

/// Serves until it is interrupted.
pub(super) fn serve(matches: &ArgMatches) -> Result<Exit, Failure> {
    let text = super::spec_of(matches).unwrap_or_default();
    let target = embedded::configure(text)?;
    let seed = Seed(*matches.get_one("seed").expect("it has a default"));
    let engine = embedded::engine(text, &target, seed)?;
    let plan = plan(matches, &target, seed)?;
    let model = plan.model.clone();
    let scheme = match plan.wire {
        Wire::Plain => "http",
        Wire::Tls => "https",
    };
    // Each connection takes a descriptor, and nobody knows how many will come.
    make_room(None, 1)?;
    let (interrupt, interrupted) = channel();
    // A second interrupt finds nobody listening, since the first has done its work.
    ctrlc::set_handler(move || interrupt.send(()).unwrap_or(()))
        .context("cannot listen for interrupts")
        .map_err(Failure::internal)?;
    let serving = start(plan, engine)?;
    say(&format!("serving `{model}` (sim:{text}) at {scheme}://{}\n", serving.address()));
    interrupted.recv().expect("the handler lives as long as the process");
    end(&serving.stop())
}

/// Reads the plan from the arguments, and creates the file for the truth.
fn plan(matches: &ArgMatches, target: &SimTarget, seed: Seed) -> Result<ServePlan, Failure> {
    let address: SocketAddr = *matches.get_one("address").expect("it has a default");
    let reach = if matches.get_flag("allow-network") { Reach::Network } else { Reach::Loopback };
    if reach == Reach::Loopback && !address.ip().is_loopback() {
        let found = anyhow!("--address `{address}`: other machines could reach it");
        return Err(Failure::usage(found).hint("allow that with `--allow-network`"));
    }
    let time_scale: f64 = *matches.get_one("speed").expect("it has a default");
    if !(time_scale.is_finite() && time_scale > 0.0) {
        return Err(Failure::usage(anyhow!("--speed `{time_scale}`: not a number above 0")));
    }
    let wire = if matches.get_flag("tls") { Wire::Tls } else { Wire::Plain };
    let mut plan = ServePlan { address, reach, seed, time_scale, wire, ..embedded::served(target) };
    if let Some(model) = matches.get_one::<String>("model") {
        plan.model.clone_from(model);
    }
    if let Some(&longest) = matches.get_one("max-model-len") {
        plan.max_model_len = longest;
    }
    if let Some(text) = matches.get_one::<String>("faults") {
        let faults = text.parse::<FaultPlan>();
        let wrong = |error| anyhow::Error::new(error).context(format!("--faults `{text}`"));
        plan.faults = faults.map_err(wrong).map_err(Failure::usage)?;
    }
    if let Some(path) = matches.get_one::<PathBuf>("truth") {
        let file = JsonLines::create(path);
        let wrong = || format!("--truth: cannot create {}", path.display());
        plan.truth = Some(Box::new(file.with_context(wrong).map_err(Failure::usage)?));
    }
    Ok(plan)
}

fn start(
    plan: ServePlan,
    engine: Box<dyn infermark_sim::engine::Engine>,
) -> Result<Serving, Failure> {
    let address = plan.address;
    embedded::serve(plan, engine).map_err(|error| {
        let wrong = anyhow::Error::new(error).context(format!("cannot listen at {address}"));
        Failure::usage(wrong)
            .hint("another address is given with `--address`; port 0 is a free one")
    })
}

/// Prints what was done.
fn end(summary: &Summary) -> Result<Exit, Failure> {
    say(&words(summary));
    match &summary.truth_lost {
        None => Ok(Exit::Done),
        Some(why) => Err(Failure::internal(anyhow!("some of the truth was not written: {why}"))),
    }
}

fn words(summary: &Summary) -> String {
    let Summary { connections, requests, cut_off, tokens, .. } = summary;
    let Lateness { p50, p99, max, .. } = summary.lateness;
    let micros = |span: Nanos| span.0.div_ceil(1000);
    format!(
        "\n{connections} connections · {requests} requests, {cut_off} cut off · {tokens} tokens\n\
         lateness of tokens: p50 {} us · p99 {} us · max {} us\n",
        micros(p50),
        micros(p99),
        micros(max),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_in_words() {
        let lateness = Lateness { count: 3, p50: Nanos(12_100), p99: Nanos(80_000), max: Nanos(1) };
        let summary =
            Summary { connections: 2, requests: 5, tokens: 40, lateness, ..Summary::default() };
        assert_eq!(
            words(&summary),
            "\n2 connections · 5 requests, 0 cut off · 40 tokens\n\
             lateness of tokens: p50 13 us · p99 80 us · max 1 us\n"
        );
    }
}
