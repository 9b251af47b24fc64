//! `infermark sim predict`: what a run would measure, in virtual time.

mod page;

use anyhow::anyhow;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command};
use infermark_run::hub::Shelf;
use infermark_run::predict::{Axis, Loads, predict as predict_run};
use infermark_run::preview;
use infermark_scenario::settings::{self, Setting};
use infermark_scenario::{Given, Origin, Resolved, resolve};
use infermark_terms::Seed;

use crate::before::fetch_named;
use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::report::{colour, deliver, format, json, vouch};
use crate::sweep::refuse_replay;
use crate::{arguments, say};

/// The settings of a run that also say something to a prediction.
static SETTINGS: &[&Setting] = &[
    &settings::PRICE,
    &settings::PRICES,
    &settings::CONCURRENCY,
    &settings::RATE,
    &settings::RAMP,
    &settings::THROUGHPUT,
    &settings::ARRIVALS,
    &settings::TRACE,
    &settings::TIME_SCALE,
    &settings::CONCURRENCY_OF,
    &settings::SESSIONS,
    &settings::REQUESTS,
    &settings::DURATION,
    &settings::WARMUP,
    &settings::WINDOW,
    &settings::DRAIN,
    &settings::SLO,
    &settings::INPUT_TOKENS,
    &settings::OUTPUT_TOKENS,
    &settings::PREFIX_TOKENS,
    &settings::PREFIX_GROUPS,
    &settings::TURNS,
    &settings::THINK_TIME,
    &settings::SEED,
];

/// The loads, of which a sweep takes the place.
const LOADS: [&str; 7] =
    ["concurrency", "rate", "ramp", "throughput", "arrivals", "trace", "time_scale"];

/// Requests where neither their number nor a duration is given: enough for a 99th percentile,
/// and virtual time is cheap.
const REQUESTS: &str = "1000";

/// The seed where none is given: a prediction should not change from one call to the next.
const SEED: Seed = Seed(1);

/// A deployment's options: each also a key of the line that describes an engine. Name, value,
/// help.
const OPTIONS: [(&str, &str, &str); 21] = [
    ("tp", "N", "GPUs that share each layer"),
    ("pp", "N", "Stages of consecutive layers"),
    ("dp", "N", "Ranks that share experts and each attend for their own requests"),
    ("ep", "on|off", "Whether each expert lies whole on one GPU"),
    ("replicas", "N", "Independent copies of all that, behind a router"),
    ("router", "NAME", "Who gets a request: `round-robin`, `least-loaded` or `prefix-aware`"),
    ("prefill", "N", "Replicas that compute prompts only; the others take over their KV"),
    ("transfer", "GB/s", "How fast KV travels from one replica to another"),
    ("weights", "DTYPE", "Format of the weights: `bf16`, `fp8`, `int8`, `int4` or `mxfp4`"),
    ("kv", "DTYPE", "Format of the KV cache, likewise"),
    ("seqs", "N", "The most sequences in a batch (vLLM's `max_num_seqs`)"),
    ("batched", "N", "The most tokens in a step (vLLM's `max_num_batched_tokens`)"),
    ("context", "N", "The longest sequence (vLLM's `max_model_len`)"),
    ("memory", "SHARE", "The share of a GPU's memory that the engine may use"),
    ("stack", "ENGINE", "`vllm`, `vllm-VERSION`, `vllm-async`, `sglang` or `tensorrt-llm`"),
    ("launch", "graphs|eager", "How kernels are launched"),
    ("chunked", "on|off", "Whether prompts are computed in pieces"),
    ("prefix-cache", "on|off", "Whether KV is kept for prompts that begin alike"),
    ("policy", "NAME", "Who goes first: `fcfs` or `priority`"),
    ("queue", "N", "The most requests in the queue; more are refused"),
    ("speculate", "N:P:L", "Guess N tokens, each accepted with P, by a draft of L layers"),
];

/// The command's arguments.
pub(super) fn command() -> Command {
    let options = OPTIONS.map(|(name, value, help)| deployment(name, value, help));
    Command::new("predict")
        .about("Predicts what a run against a deployment would measure, in virtual time")
        .long_about(
            "Predicts what a run against a deployment would measure, in virtual time.\n\n\
             The engine is described by SPEC, by --model and --gpu, or by SPEC and options that \
             change it. The result is that of `infermark run`, marked predicted, with the ranges \
             in which the real figures lie nine times in ten, by the errors on published \
             measurements. The same seed gives the same bytes.",
        )
        .after_help(EXIT_CODES)
        .arg(super::spec())
        .arg(deployment("model", "NAME", "The model, such as `llama-3.1-8b`").requires("gpu"))
        .arg(deployment("gpu", "NAME", "The GPU, such as `h100`").requires("model"))
        .args(options)
        .args(SETTINGS.iter().map(|setting| setting_argument(setting)))
        .arg(
            Arg::new("sweep")
                .long("sweep")
                .value_name("AXIS")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("concurrency")
                .value_parser(PossibleValuesParser::new(["concurrency", "rate"]))
                .conflicts_with_all(LOADS)
                .help_heading(settings::Group::Load.title())
                .help("Raise the load from idle to saturation, along `concurrency` or `rate`"),
        )
        .args(arguments::output(&["table", "json"]))
}

fn deployment(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    let arg = Arg::new(name).long(name).value_name(value).help_heading("Deployment").help(help);
    if matches!(name, "model" | "gpu") { arg.conflicts_with("spec") } else { arg }
}

/// Two settings have another default here.
fn setting_argument(setting: &'static Setting) -> Arg {
    let arg = arguments::argument(setting);
    match setting.key {
        "requests" => arg.help(format!(
            "End after so many requests, those of the warm-up not counted [default: {REQUESTS}, \
             unless --duration, --sessions or --trace is given]"
        )),
        "duration" => arg.help("The length of the measured window, in place of --requests"),
        "seed" => arg.help(format!("The root of every random choice [default: {}]", SEED.0)),
        _ => arg,
    }
}

/// Predicts, and prints what comes of it.
pub(super) fn predict(matches: &ArgMatches) -> Result<Exit, Failure> {
    let resolved = scenario(matches)?;
    let loads = match matches.get_one::<String>("sweep").map(String::as_str) {
        None => Loads::One,
        Some("rate") => Loads::Sweep(Axis::Rate),
        Some(_) => Loads::Sweep(Axis::Concurrency),
    };
    if let Loads::Sweep(_) = loads {
        refuse_replay(&resolved)?;
    }
    let shelf = Shelf::default();
    let local = fetch_named(&resolved.scenario, &shelf, &say)?;
    if let Some(words) = preview(&local, &shelf)? {
        say(&format!("{words}\n"));
    }
    let prediction = predict_run(&Resolved { scenario: local, ..resolved }, loads, &shelf)?;
    let text = match (format(matches), loads) {
        ("json", _) => json(&prediction.header),
        (_, Loads::One) => page::one(&prediction, colour(matches)),
        (_, Loads::Sweep(_)) => page::sweep(&prediction),
    };
    let printed = deliver(&text, matches)?;
    Ok(match loads {
        Loads::One => vouch(&prediction.points[0].point, printed),
        Loads::Sweep(_) => printed,
    })
}

/// Makes the scenario that a run of the same words would have.
fn scenario(matches: &ArgMatches) -> Result<Resolved, Failure> {
    let mut given = arguments::given(SETTINGS, matches)?;
    let bounded = [&settings::REQUESTS, &settings::DURATION, &settings::SESSIONS, &settings::TRACE];
    let unbounded = !given.iter().any(|given| bounded.contains(&given.setting()));
    if unbounded {
        given.push(Given::flag(&settings::REQUESTS, REQUESTS));
    }
    given.push(Given::flag(&settings::TARGET, format!("sim:{}", line(matches)?)));
    let resolved = resolve(given, SEED);
    let mut resolved = resolved.map_err(|problems| Failure::usage(anyhow!("{problems}")))?;
    let ours = resolved.values.iter_mut().filter(|value| unbounded && value.key == "requests");
    ours.for_each(|value| value.origin = Origin::Default);
    Ok(resolved)
}

/// Writes the engine as one line: SPEC, or model and GPU, then the options.
fn line(matches: &ArgMatches) -> Result<String, Failure> {
    let text = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let mut line = match (text("model"), text("gpu")) {
        (Some(model), Some(gpu)) => format!("{model}@{gpu}"),
        _ => super::spec_of(matches).unwrap_or_default().to_owned(),
    };
    for (name, _, _) in OPTIONS {
        let Some(value) = text(name) else { continue };
        if !line.contains('@') {
            let found = anyhow!("--{name} `{value}`: the engine is not a model on a GPU");
            let hint = "name them: `--model llama-3.1-8b --gpu h100`, or `llama-3.1-8b@h100`";
            return Err(Failure::usage(found).hint(hint));
        }
        line.extend([",", name, "=", value]);
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use infermark_sim::deployment::Deployment;
    use infermark_sim::spec::SpecError;

    #[test]
    fn there_is_an_option_for_every_key_of_the_line_and_no_other() {
        let mut deployment: Deployment = "llama-3.1-8b@h100".parse().unwrap();
        let error = deployment.set("no such key", "").unwrap_err().to_string();
        let keys: Vec<_> = OPTIONS.iter().map(|option| option.0).collect();
        assert_eq!(error.split("one of ").nth(1), Some(keys.join(", ").as_str()));
        for key in keys {
            let error = deployment.set(key, "no such value").unwrap_err();
            assert!(matches!(error, SpecError::BadValue { .. }), "{key}");
        }
    }

    fn scenario_of(words: &str) -> Result<Resolved, Failure> {
        let words = std::iter::once("predict").chain(words.split_whitespace());
        scenario(&command().try_get_matches_from(words).unwrap())
    }

    fn target(words: &str) -> String {
        let resolved = scenario_of(words).unwrap_or_else(|failure| panic!("{}", failure.error));
        let found = resolved.values.iter().find(|value| value.key == "target");
        found.unwrap().text.clone()
    }

    #[test]
    fn options_and_line_say_the_same() {
        let whole = "sim:llama-3.1-8b@h100,tp=2,kv=fp8";
        assert_eq!(target("--model llama-3.1-8b --gpu h100 --tp 2 --kv fp8"), whole);
        assert_eq!(target("llama-3.1-8b@h100,tp=2 --kv fp8"), whole);
        assert_eq!(target("sim:llama-3.1-8b@h100 --tp 2 --kv fp8"), whole);
        assert_eq!(target(""), "sim:");
        let failure = scenario_of("ttft=1ms --tp 2").err().unwrap();
        assert_eq!(failure.error.to_string(), "--tp `2`: the engine is not a model on a GPU");
    }

    #[test]
    fn the_bound_that_nobody_gave_is_a_default() {
        let origin = |words| {
            let resolved = scenario_of(words).unwrap_or_else(|_| panic!("{words}"));
            let requests = resolved.values.into_iter().find(|value| value.key == "requests");
            requests.map(|value| (value.text, value.origin))
        };
        assert_eq!(origin(""), Some((REQUESTS.to_owned(), Origin::Default)));
        assert_eq!(origin("--requests 5"), Some(("5".to_owned(), Origin::Flag)));
        assert_eq!(origin("--duration 5s"), None);
    }
}
