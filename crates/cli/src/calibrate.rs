//! `infermark calibrate`: what this machine's client can measure, found and kept.

mod kept;
mod page;

use std::ffi::OsString;

use anyhow::{Context, anyhow};
use clap::{Arg, ArgAction, ArgMatches, Command};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use infermark_calibrate::machine::cores;
use infermark_calibrate::plan::Bench;
use infermark_calibrate::point::measure;
use infermark_calibrate::{CalibrateError, Depth, Event, Launch, client, server};
use infermark_measure::region::Regions;
use infermark_run::{Environment, RunError, make_room};
use serde::de::DeserializeOwned;

use self::kept::{Kept, SCHEMA};
use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::report::{claim, deliver, format, json};
use crate::say;

/// The most streams that are tried.
const STREAMS_MAX: u32 = 4096;

/// Descriptors that a process needs beside its streams.
const SPARE_FILES: u64 = 48;

/// The command's arguments.
pub(crate) fn command() -> Command {
    Command::new("calibrate")
        .about("Finds what this machine's client can measure, and keeps it for later runs")
        .long_about(
            "Finds what this machine's client can measure, and keeps it for later runs.\n\n\
             infermark's own client meets the embedded engine's exact server over loopback, each \
             on a core of its own where there are two, at one load after another. The result is \
             the region of streams and tokens/s in which the p99 of TTFT and of ITL stay within \
             1 % of what the server really did, what a token costs, how fast requests can be \
             sent, and the same over TLS. It takes two to three minutes; a quiet machine is \
             needed. It is kept in $XDG_STATE_HOME/infermark/calibration.json, or where \
             INFERMARK_CALIBRATION says; `run` warns when a load lies outside.",
        )
        .after_help(EXIT_CODES)
        .arg(
            Arg::new("quick")
                .long("quick")
                .action(ArgAction::SetTrue)
                .help("Half a minute: one pace, coarsely, without TLS"),
        )
        .args(crate::arguments::output(&["table", "json"]))
        .arg(Arg::new("role").long("role").num_args(2).hide(true))
}

/// Calibrates, or plays one of the roles of a calibration.
pub(crate) fn calibrate(matches: &ArgMatches) -> Result<Exit, Failure> {
    if let Some(mut words) = matches.get_many::<String>("role") {
        let (role, told) = (words.next(), words.next());
        return play(role.expect("clap counts"), told.expect("clap counts"));
    }
    claim(matches)?;
    let path = kept::place(&variable).ok_or_else(|| {
        Failure::usage(anyhow!("there is no place to keep a calibration"))
            .hint("name a file by the variable `INFERMARK_CALIBRATION`")
    })?;
    let depth = if matches.get_flag("quick") { Depth::Quick } else { Depth::Full };
    let environment = Environment::observe();
    if environment.build == "debug" {
        say("warning: this is a debug build, which measures far less than what is shipped\n");
    }
    let (client, server) = cores().map_err(internal)?;
    let found = find(depth)?;
    let kept = Kept {
        schema: SCHEMA.to_owned(),
        created: jiff::Timestamp::now().to_string(),
        machine: environment,
        client_core: client,
        server_core: server,
        findings: found,
    };
    kept::save(&path, &kept)
        .with_context(|| format!("cannot keep the calibration in {}", path.display()))
        .map_err(Failure::usage)?;
    say(&format!("kept in {}\n", path.display()));
    let text = match format(matches) {
        "json" => json(&kept),
        _ => page::page(&kept),
    };
    deliver(&text, matches)
}

/// Returns what is known of this machine, if it was calibrated.
pub(crate) fn known() -> Option<Regions> {
    let kept = kept::load(&kept::place(&variable)?)?;
    kept.fits(&Environment::observe()).then_some(kept.findings.regions)
}

/// Plays a role: what it is told is JSON from the process above.
fn play(role: &str, told: &str) -> Result<Exit, Failure> {
    fn read<T: DeserializeOwned>(told: &str) -> Result<T, Failure> {
        serde_json::from_str(told)
            .context("a role is played only for `infermark calibrate`")
            .map_err(Failure::usage)
    }
    let played = match role {
        server::ROLE => {
            make_room(None, 1)?;
            server::serve(&read(told)?)
        }
        client::ROLE => {
            make_room(None, 1)?;
            client::drive(&read(told)?).and_then(|said| infermark_calibrate::say(&said))
        }
        _ => return Err(Failure::usage(anyhow!("`{role}` is no role"))),
    };
    played.map(|()| Exit::Done).map_err(internal)
}

/// Measures one load after another with processes of this program.
fn find(depth: Depth) -> Result<infermark_calibrate::Findings, Failure> {
    let program = std::env::current_exe()
        .context("cannot find this program itself")
        .map_err(Failure::internal)?;
    let words = ["calibrate", "--role"].map(OsString::from).to_vec();
    let launch = Launch { program, words };
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template("{msg}").expect("a template of ours"));
    let mut count = 0;
    let mut watch = |event: Event<'_>| {
        if let Event::Begun(kind, scheme) = event {
            count += 1;
            bar.set_message(format!("{count}: {}", page::load(kind, scheme)));
            bar.tick();
        }
    };
    let bench: &mut Bench<'_> =
        &mut |load, window_s| measure(&launch, client::ROLE, load, window_s);
    let found = infermark_calibrate::calibrate(depth, streams_max()?, bench, &mut watch);
    bar.finish_and_clear();
    found.map_err(internal)
}

/// Returns the most streams that one process may hold.
fn streams_max() -> Result<u32, Failure> {
    match make_room(Some(STREAMS_MAX), 1) {
        Ok(()) => Ok(STREAMS_MAX),
        Err(RunError::OpenFiles { hard, .. }) if hard > SPARE_FILES => {
            Ok((hard - SPARE_FILES) as u32)
        }
        Err(error) => Err(error.into()),
    }
}

fn internal(error: CalibrateError) -> Failure {
    Failure::internal(error.into())
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
