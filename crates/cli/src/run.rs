//! `infermark run`: one operating point.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context, anyhow};
use clap::ArgMatches;
use infermark_drive::Stop;
use infermark_run::{Measured, Options, Watch, execute};
use infermark_scenario::settings::{SETTINGS, Setting};
use infermark_scenario::{Given, Resolved, parse_file, resolve};
use infermark_terms::{Caveat, CaveatCode, Seed};

use crate::before::{Before, Telling, variable};
use crate::exit::{Exit, Failure};
use crate::progress::{Live, wipe};
use crate::report::{claim, leave_page, show, vouch};
use crate::{arguments, place, repeat, say, subject};

/// Makes a run and prints its result.
pub(crate) fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    if repeat::is_asked(matches) {
        return repeat::run(matches);
    }
    let resolved = scenario(matches)?;
    let quiet = matches.get_flag("quiet");
    let id = id(resolved.scenario.seed);
    let record = matches.get_one::<PathBuf>("record");
    let dir = record.cloned().unwrap_or_else(|| place::root(matches).join(&id));
    claim(matches)?;
    let before = Before::new(Telling::of(matches));
    before.prepare(slice::from_ref(&resolved.scenario), &say)?;
    before.warn_of_load(&resolved.scenario, &say)?;
    let Before { calibration, shelf, .. } = before;
    let stop = Stop::default();
    let watch = Watch::default();
    listen_for_interrupts(stop.clone(), watch.clone())?;
    let live = (!quiet).then(|| Live::begin(watch.clone(), stop.clone()));
    let measured = execute(
        &resolved,
        &Options {
            dir,
            id,
            secrets: &variable,
            stop: stop.clone(),
            watch,
            calibration: calibration.clone(),
            shelf,
        },
    );
    drop(live);
    let measured = measured?;
    leave_page(&measured.dir, subject::of(&measured));
    place::note(matches, &measured.dir);
    let printed = show(&measured, matches)?;
    let bound = |caveat: &Caveat| caveat.code == CaveatCode::ClientBound;
    if !quiet && calibration.is_none() && measured.point.trust.caveats.iter().any(bound) {
        say("hint: `infermark calibrate` finds what this machine can measure\n");
    }
    Ok(exit(&measured, &stop, printed))
}

fn exit(measured: &Measured, stop: &Stop, printed: Exit) -> Exit {
    if stop.is_asked() { Exit::Interrupted } else { vouch(&measured.point, printed) }
}

/// Makes the scenario of flags, environment and file.
pub(crate) fn scenario(matches: &ArgMatches) -> Result<Resolved, Failure> {
    settle(given(SETTINGS, matches)?)
}

/// Returns what flags, environment and file give of these settings; the file, of any.
pub(crate) fn given(
    settings: &[&'static Setting],
    matches: &ArgMatches,
) -> Result<Vec<Given>, Failure> {
    let mut given = arguments::given(settings, matches)?;
    if let Some(path) = matches.get_one::<PathBuf>("scenario") {
        given.extend(file(path)?);
    }
    Ok(given)
}

/// Makes the scenario of what was given.
pub(crate) fn settle(given: Vec<Given>) -> Result<Resolved, Failure> {
    let seed = Seed(RandomState::new().hash_one("seed") >> 32);
    resolve(given, seed).map_err(|problems| Failure::usage(anyhow!("{problems}")))
}

fn file(path: &Path) -> Result<Vec<Given>, Failure> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the scenario {}", path.display()))
        .map_err(Failure::usage)?;
    parse_file(path, &text).map_err(|problems| Failure::usage(anyhow!("{problems}")))
}

/// Names a run by its time and seed: unique, and sorted as time goes.
pub(crate) fn id(seed: Seed) -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%3f");
    format!("{now}-{:04x}", seed.0 & 0xffff)
}

/// Ctrl-C once sends nothing more, twice ends what is in flight, thrice dies. The record stays
/// readable each time.
pub(crate) fn listen_for_interrupts(stop: Stop, watch: Watch) -> Result<(), Failure> {
    let count = AtomicU8::new(0);
    ctrlc::set_handler(move || match count.fetch_add(1, Ordering::Relaxed) {
        // Nothing is recorded yet.
        0 if !watch.has_begun() => die(),
        0 => {
            stop.drain();
            say("\nstopping: requests in flight may end; interrupt again to abandon them\n");
        }
        1 => stop.abort(),
        _ => die(),
    })
    .context("cannot listen for interrupts")
    .map_err(Failure::internal)
}

#[expect(clippy::exit, reason = "the third interrupt asks for just that")]
fn die() {
    wipe();
    std::process::exit(Exit::Interrupted as i32);
}
