//! The calibration as a file, one for a machine.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use infermark_calibrate::Findings;
use infermark_run::Environment;
use serde::{Deserialize, Serialize};

/// The name of the file's form.
pub(crate) const SCHEMA: &str = "infermark.calibration/1";

/// A calibration and what it was made on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// [`SCHEMA`].
    pub(crate) schema: String,
    /// When it was made.
    pub(crate) created: String,
    /// What it was made on.
    pub(crate) machine: Environment,
    /// The core that the client had.
    pub(crate) client_core: usize,
    /// The core that the exact server had.
    pub(crate) server_core: usize,
    /// What was found.
    pub(crate) findings: Findings,
}

impl Kept {
    /// Says whether it speaks of this machine: the same processor, as many of them to use, and
    /// a program built alike.
    pub(crate) fn fits(&self, here: &Environment) -> bool {
        let key =
            |machine: &Environment| (machine.cpu.clone(), machine.cpus, machine.build.clone());
        key(&self.machine) == key(here)
    }
}

/// Returns where calibrations are kept: where `INFERMARK_CALIBRATION` says, else with the
/// user's other state (XDG Base Directory Specification).
pub(crate) fn place(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let named = variable("INFERMARK_CALIBRATION").map(PathBuf::from);
    named.or_else(|| {
        let state = variable("XDG_STATE_HOME").map(PathBuf::from);
        let state = state.filter(|path| path.is_absolute());
        let state = state.or_else(|| Some(Path::new(&variable("HOME")?).join(".local/state")));
        Some(state?.join("infermark/calibration.json"))
    })
}

/// Writes a calibration in place of the one before.
pub(crate) fn save(path: &Path, kept: &Kept) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    fs::write(&fresh, crate::report::json(kept))?;
    fs::rename(&fresh, path)
}

/// Reads a calibration; nothing if there is none, or none that this version can read.
pub(crate) fn load(path: &Path) -> Option<Kept> {
    let kept: Kept = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (kept.schema == SCHEMA).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::page::tests::kept;

    #[test]
    fn a_calibration_is_kept_where_the_environment_says() {
        let place = |variables: &'static [(&str, &str)]| {
            let found = |name: &str| {
                let found = variables.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| OsString::from(value))
            };
            place(&found).map(|path| path.display().to_string())
        };
        let home = ("HOME", "/home/u");
        let file = "infermark/calibration.json";
        assert_eq!(place(&[]), None);
        assert_eq!(place(&[("HOME", "/home/u")]), Some(format!("/home/u/.local/state/{file}")));
        assert_eq!(place(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]), Some(format!("/s/{file}")));
        // A relative path is to be ignored, says the specification.
        assert_eq!(
            place(&[("XDG_STATE_HOME", "s"), ("HOME", "/h")]),
            Some(format!("/h/.local/state/{file}"))
        );
        assert_eq!(place(&[("INFERMARK_CALIBRATION", "here.json")]), Some("here.json".into()));
        assert_eq!(home.1, "/home/u");
    }

    #[test]
    fn what_is_kept_is_read_back_unless_it_is_something_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/calibration.json");
        assert_eq!(load(&path), None);
        save(&path, &kept()).unwrap();
        assert_eq!(load(&path), Some(kept()));
        fs::write(&path, crate::report::json(&kept()).replace("calibration/1", "calibration/9"))
            .unwrap();
        assert_eq!(load(&path), None);
        fs::write(&path, "{").unwrap();
        assert_eq!(load(&path), None);
    }

    #[test]
    fn a_calibration_fits_the_machine_that_it_was_made_on() {
        let kept = kept();
        let here = &kept.machine;
        assert!(kept.fits(here));
        assert!(kept.fits(&Environment { kernel: "9".to_owned(), ..here.clone() }));
        assert!(!kept.fits(&Environment { cpus: here.cpus + 1, ..here.clone() }));
        assert!(!kept.fits(&Environment { cpu: None, ..here.clone() }));
        assert!(!kept.fits(&Environment { build: "debug".to_owned(), ..here.clone() }));
    }
}
