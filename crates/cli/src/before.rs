//! What comes before a load, alike for every command that puts one on a target.
//!
//! - A certificate that is not checked is warned of.
//! - What is named on a hub is fetched, which is told.
//! - What a trace holds is told.
//! - This machine's calibration is looked up, and a load that lies outside it is warned of: of a
//!   run before it begins, of a study's points as each begins.
//!
//! Unknown variables are warned of where the environment is read (`arguments`).
//!
//! Deliberately not here: what is asked of the target before a load (`run`'s preflight).

use std::cell::RefCell;
use std::collections::BTreeSet;

use infermark_measure::region::Regions;
use infermark_run::calibration::{OUTSIDE_HINT, outside};
use infermark_run::hub::{Shelf, localised};
use infermark_run::{RunError, preview};
use infermark_scenario::intent::{Scenario, Verification};

use crate::calibrate;
use crate::exit::Failure;

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    /// What there is to know.
    All,
    /// Only what may surprise (`--quiet`).
    Surprises,
}

impl Telling {
    /// Reads what `--quiet` asks for.
    pub(crate) fn of(matches: &clap::ArgMatches) -> Self {
        if matches.get_flag("quiet") { Self::Surprises } else { Self::All }
    }
}

/// What comes before a load. It tells nothing twice.
pub(crate) struct Before {
    /// Where this machine's generator is exact, where that is known.
    pub(crate) calibration: Option<Regions>,
    /// What was fetched and read.
    pub(crate) shelf: Shelf,
    telling: Telling,
    told: RefCell<BTreeSet<String>>,
}

impl Before {
    /// Looks up what is known of this machine.
    pub(crate) fn new(telling: Telling) -> Self {
        let calibration = calibrate::known();
        Self { calibration, shelf: Shelf::default(), telling, told: RefCell::default() }
    }

    /// Makes everything ready for these scenarios, and `say`s what a person must know of that.
    pub(crate) fn prepare(
        &self,
        scenarios: &[Scenario],
        say: &dyn Fn(&str),
    ) -> Result<(), Failure> {
        for scenario in scenarios {
            if scenario.access.verification == Verification::Off {
                self.once(
                    "warning: the server's certificate is not checked (--insecure)\n".to_owned(),
                    say,
                );
            }
            let local = fetch_named(scenario, &self.shelf, say)?;
            if let Some(words) = preview(&local, &self.shelf)?
                && self.telling == Telling::All
            {
                self.once(format!("{words}\n"), say);
            }
        }
        Ok(())
    }

    /// Warns of a load that lies outside what this machine is known to measure.
    pub(crate) fn warn_of_load(
        &self,
        scenario: &Scenario,
        say: &dyn Fn(&str),
    ) -> Result<(), RunError> {
        let Some(regions) = self.calibration.as_ref().filter(|_| self.telling == Telling::All)
        else {
            return Ok(());
        };
        if let Some(outside) = outside(scenario, regions)? {
            let warning = format!(
                "warning: this machine's calibration ends before this load: {outside}\n\
                 hint: {OUTSIDE_HINT}\n"
            );
            self.once(warning, say);
        }
        Ok(())
    }

    fn once(&self, words: String, say: &dyn Fn(&str)) {
        let mut told = self.told.borrow_mut();
        if !told.contains(&words) {
            say(&words);
            let _: bool = told.insert(words);
        }
    }
}

/// Fetches what a scenario names on a hub and is not on this machine, and says so. Returns the
/// scenario with files in place of the names.
pub(crate) fn fetch_named(
    scenario: &Scenario,
    shelf: &Shelf,
    say: &dyn Fn(&str),
) -> Result<Scenario, Failure> {
    let local = localised(scenario, shelf, &variable, &mut |words| say(&format!("{words}\n")));
    local.map_err(|error| RunError::from(error).into())
}

/// Looks up a variable that holds something.
#[expect(clippy::disallowed_methods, reason = "configuration and secrets enter here")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
