//! Several operating points, measured one after another, in one directory.
//!
//! ```text
//!  search ──▶ Rig::take(order) ──▶ Taken (point)          <dir>/run.json    the study: points[]
//!  (sweep,       │                                        <dir>/points/000  a run's record
//!   capacity,    ├─ Study: a target, in real time         <dir>/points/001  likewise
//!   …)           └─ Virtual: the simulator
//! ```
//!
//! A search decides what to measure next and knows nothing of directories: it asks a [`Rig`]. So
//! the same search runs against a server and, in virtual time, against a simulator whose truth is
//! known.
//!
//! # Invariants
//!
//! - Each point is a complete, ordinary record, which can be read alone.
//! - The study's `run.json` is written after each point, and is partial until the search ended.
//!   Whatever ends it early keeps the points that were measured.
//! - Each point has a seed of its own, derived from the study's and the point's number, so that no
//!   prompt is asked twice and no cache is warm by mistake.
//! - A search is a function of what it is told. To resume, it runs again from the beginning, and
//!   points that stand in the directory with the very same scenario are read instead of measured.
//!
//! Deliberately not here: what to measure (the searches).

mod early;
mod virtual_time;

use std::fs;
use std::path::{Path, PathBuf};

use infermark_drive::Stop;
use infermark_measure::Point;
use infermark_measure::region::Regions;
use infermark_scenario::intent::Scenario;
use infermark_scenario::settings::{self, Setting};
use infermark_scenario::{Resolved, parse_file, resolve};
use infermark_store::{Hold, RunFile, StoreError, is_held};
use infermark_terms::Seed;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use self::early::Sentry;
use crate::hub::Shelf;
use crate::load::{Options, Secrets, Session};
use crate::recall::is_adopted;
use crate::{DEFINITIONS, Environment, Measured, RunError, Watch, measure_again};

pub use self::early::Early;
pub use self::virtual_time::Virtual;

/// The directory of the points within a study's.
const POINTS: &str = "points";

/// What a study is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Load from idle to saturation, or a matrix of loads and lengths.
    Sweep,
    /// The highest load that meets objectives.
    Capacity,
    /// A suite of checks.
    Validate,
    /// The same point several times.
    Repeat,
}

impl Kind {
    /// Returns its name, as in `run.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Capacity => "capacity",
            Self::Validate => "validate",
            Self::Repeat => "repeat",
        }
    }
}

/// One operating point that is to be measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// What a person calls it, such as `rate 4/s`.
    pub label: String,
    /// In what its scenario differs from the study's. A seed need not be among them.
    pub changes: Vec<(&'static Setting, String)>,
    /// Whether it may end before its bounds.
    pub early: Early,
}

/// How a point ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// As its bounds say.
    Whole,
    /// Early, since it was plainly saturated.
    Saturated,
}

/// A point that was measured.
#[derive(Clone, Debug)]
pub struct Taken {
    /// What a person calls it.
    pub label: String,
    /// What was measured.
    pub point: Point,
    /// How it ended.
    pub ended: Ended,
    /// How fast it was sent.
    pub pace: Pace,
    /// Where its record is, within the study's directory; absent in virtual time.
    pub record: Option<String>,
}

/// How fast a point of a study was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As its load or the user's says.
    Given,
    /// As fast as it goes, to learn how much the target does: how long its requests waited for one
    /// another says how many there were.
    Flood,
}

impl Pace {
    /// Returns the pace of a point that differs so from its study: keys of settings and texts.
    fn of<'a>(mut changes: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        if changes.any(|change| change == (settings::THROUGHPUT.key, "yes")) {
            Self::Flood
        } else {
            Self::Given
        }
    }
}

/// What operating points are measured on.
pub trait Rig {
    /// Returns the scenario that points change.
    fn base(&self) -> &Resolved;

    /// Measures one operating point.
    ///
    /// # Errors
    ///
    /// If it has no scenario that makes sense, or cannot be measured; [`RunError::Stopped`] where
    /// the user wished so, and then no other should be asked for.
    fn take(&mut self, order: &Order) -> Result<Taken, RunError>;
}

/// What happens in a study, for whoever watches.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A point begins.
    Begins {
        /// Its number, from 0.
        index: usize,
        /// What a person calls it.
        label: &'a str,
        /// What is asked.
        scenario: &'a Scenario,
    },
    /// A point was measured.
    Measured(&'a Taken),
    /// A point was read from an earlier, interrupted study.
    Found(&'a Taken),
}

/// What a study needs beside its scenario.
pub struct StudyOptions<'a> {
    /// Where secrets come from.
    pub secrets: &'a Secrets<'a>,
    /// How to stop it.
    pub stop: Stop,
    /// Where to see how the present point is doing.
    pub watch: Watch,
    /// Where this machine's generator is exact, where that is known.
    pub calibration: Option<Regions>,
    /// What the command has at hand.
    pub shelf: Shelf,
    /// Told of every point.
    pub tell: &'a dyn Fn(Event<'_>),
}

/// A study under way against a target, in real time.
pub struct Study<'a> {
    dir: PathBuf,
    header: RunFile,
    base: Resolved,
    options: StudyOptions<'a>,
    session: Option<Session>,
    _hold: Hold,
}

/// A study that was made or read back.
#[derive(Clone, Debug)]
pub struct Studied {
    /// Where it is.
    pub dir: PathBuf,
    /// Its header, with all points and results.
    pub header: RunFile,
    /// Its points, in the order in which they were measured.
    pub points: Vec<Taken>,
}

/// Returns the kind of study that a header is of; nothing for a single run's.
pub fn kind(header: &RunFile) -> Option<Kind> {
    serde_json::from_value(header.rest.get("kind")?.clone()).ok()
}

/// Returns the scenario of a study's point: the changes, and a seed of its own unless they give
/// one.
///
/// # Errors
///
/// Where the changes do not go with the rest.
pub fn scenario_of(base: &Resolved, order: &Order, index: usize) -> Result<Resolved, RunError> {
    let mut changes = order.changes.clone();
    if !changes.iter().any(|(setting, _)| **setting == settings::SEED) {
        let Seed(seed) = base.scenario.seed.named("points of a study").at(index as u64);
        changes.push((&settings::SEED, (seed >> 32).to_string()));
    }
    base.with(&changes).map_err(|problems| RunError::Point { problems })
}

impl<'a> Study<'a> {
    /// Reaches the target and begins a study in `dir`, which must be empty or absent. `plan` is
    /// what the search was told, so that it can be told again.
    ///
    /// # Errors
    ///
    /// If the target does not answer, or the directory cannot be written.
    pub fn create(
        dir: &Path,
        kind: Kind,
        plan: Value,
        base: &Resolved,
        options: StudyOptions<'a>,
    ) -> Result<Self, RunError> {
        let session = Session::open(base, &options.shelf, options.secrets)?;
        let mut rest = Map::new();
        let _: Option<Value> = rest.insert("kind".to_owned(), json!(kind));
        let header = RunFile {
            id: dir.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            created: jiff::Timestamp::now().to_string(),
            partial: true,
            definitions: DEFINITIONS.to_owned(),
            target: session.target(),
            scenario: json!({ "values": base.values, "tags": base.tags }),
            environment: json!(Environment::observe()),
            plan,
            rest,
            ..RunFile::default()
        };
        header.begin(dir)?;
        options.watch.begin();
        let (dir, base) = (dir.to_owned(), base.clone());
        let hold = Hold::take(&dir);
        Ok(Self { dir, header, base, options, session: Some(session), _hold: hold })
    }

    /// Takes up a study that was interrupted. The search is to be told what [`plan`](Self::plan)
    /// says, and asks again for all its points.
    ///
    /// # Errors
    ///
    /// If there is none of this kind in `dir`, it is being measured, or it has no scenario that can
    /// be read.
    ///
    /// # Panics
    ///
    /// Never: what was read as a header can be written as one.
    pub fn resume(dir: &Path, asked: Kind, options: StudyOptions<'a>) -> Result<Self, RunError> {
        let mut header = RunFile::of(dir)?;
        let found = kind(&header);
        if found != Some(asked) {
            let (found, asked) = (found.map_or("run", Kind::name), asked.name());
            return Err(RunError::OtherKind { dir: dir.to_owned(), found, asked });
        }
        if is_held(dir) {
            return Err(StoreError::Held { dir: dir.to_owned() }.into());
        }
        let path = dir.join("run.json");
        let text = serde_json::to_string(&header).expect("a header is plain data");
        let given = parse_file(&path, &text).and_then(|given| resolve(given, Seed(0)));
        let base = given.map_err(|problems| RunError::Point { problems })?;
        header.points.clear();
        header.partial = true;
        let (hold, dir) = (Hold::take(dir), dir.to_owned());
        Ok(Self { dir, header, base, options, session: None, _hold: hold })
    }

    /// Returns where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns what the search was told.
    pub fn plan(&self) -> &Value {
        &self.header.plan
    }

    /// Returns what the study is for.
    pub fn kind(&self) -> Option<Kind> {
        kind(&self.header)
    }

    /// Ends the study, with what the search found under these keys of `run.json`.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn finish(mut self, found: Map<String, Value>) -> Result<Studied, RunError> {
        self.header.rest.extend(found);
        self.header.partial = false;
        self.header.replace(&self.dir)?;
        read(&self.dir)
    }

    /// Returns the point in a record of an earlier, interrupted study, if it is whole and of the
    /// very same scenario.
    fn found(dir: &Path, resolved: &Resolved) -> Option<(Measured, Ended)> {
        let measured = measure_again(dir).ok()?;
        let said = |value: &Value| (value["key"].clone(), value["text"].clone());
        let stored = measured.header.scenario["values"].as_array()?.iter().map(said);
        let asked = resolved.values.iter().map(|value| (json!(value.key), json!(value.text)));
        let ended = ended(&measured.header);
        let whole = !measured.header.partial || ended == Ended::Saturated;
        let same = stored.eq(asked);
        (same && whole && measured.point.counts.success > 0).then_some((measured, ended))
    }

    fn session(&self, resolved: &Resolved) -> Result<Session, RunError> {
        Session::open(resolved, &self.options.shelf, self.options.secrets)
    }

    /// Measures a point whose record goes into `dir`.
    fn measure(
        &mut self,
        dir: &Path,
        resolved: &Resolved,
        early: Early,
    ) -> Result<(Measured, Ended), RunError> {
        if !self.session.as_ref().is_some_and(|session| session.suits(resolved)) {
            self.session = Some(self.session(resolved)?);
        }
        let session = self.session.as_mut().expect("it was just opened");
        let stop = self.options.stop.of_part();
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let options = Options {
            dir: dir.to_owned(),
            id: format!("{}-{name}", self.header.id),
            secrets: self.options.secrets,
            stop: stop.clone(),
            watch: self.options.watch.clone(),
            calibration: self.options.calibration.clone(),
            shelf: self.options.shelf.clone(),
        };
        self.options.watch.begin();
        let sentry = Sentry::post(early, self.options.watch.clone(), stop)?;
        let measured = session.run(resolved, &options);
        let ended = sentry.relieve();
        let mut measured = measured?;
        if ended == Ended::Saturated {
            let key = "ended".to_owned();
            let _: Option<Value> = measured.header.rest.insert(key, json!(ended));
            measured.header.replace(dir)?;
        }
        if measured.point.counts.success == 0 {
            // A server that went away fails every request. Is it still there?
            self.session = Some(self.session(resolved)?);
        }
        Ok((measured, ended))
    }

    /// Adds a point to the study's header.
    fn note(&mut self, taken: &Taken, order: &Order, resolved: &Resolved) -> Result<(), RunError> {
        let mut value = json!(taken.point);
        let changed: Map<String, Value> =
            order.changes.iter().map(|(setting, text)| (setting.key.into(), json!(text))).collect();
        value["record"] = json!(taken.record);
        value["label"] = json!(taken.label);
        value["ended"] = json!(taken.ended);
        value["seed"] = json!(resolved.scenario.seed);
        value["changed"] = Value::Object(changed);
        self.header.points.push(value);
        Ok(self.header.replace(&self.dir)?)
    }
}

impl Studied {
    /// Returns what the study is for.
    pub fn kind(&self) -> Option<Kind> {
        kind(&self.header)
    }
}

impl Taken {
    /// Returns what was taken to this order.
    pub(crate) fn to_order(
        order: &Order,
        point: Point,
        ended: Ended,
        record: Option<String>,
    ) -> Self {
        let changes = order.changes.iter().map(|(setting, text)| (setting.key, text.as_str()));
        Self::new(order.label.clone(), point, ended, Pace::of(changes), record)
    }

    /// Says once for every table, page and file whether the point's latencies are no result:
    /// beside what its record shows, because it was stopped early or flooded the target.
    fn new(
        label: String,
        mut point: Point,
        ended: Ended,
        pace: Pace,
        record: Option<String>,
    ) -> Self {
        point.saturated |= ended == Ended::Saturated || pace == Pace::Flood;
        Self { label, point, ended, pace, record }
    }
}

impl Rig for Study<'_> {
    fn base(&self) -> &Resolved {
        &self.base
    }

    fn take(&mut self, order: &Order) -> Result<Taken, RunError> {
        let stopped = || RunError::Stopped { dir: self.dir.clone() };
        if self.options.stop.is_asked() {
            return Err(stopped());
        }
        let index = self.header.points.len();
        let resolved = scenario_of(&self.base, order, index)?;
        let record = format!("{POINTS}/{index:03}");
        let dir = self.dir.join(&record);
        let earlier = Self::found(&dir, &resolved);
        let is_found = earlier.is_some();
        let (measured, ended) = if let Some(found) = earlier {
            found
        } else {
            clear(&dir)?;
            let (label, scenario) = (&order.label, &resolved.scenario);
            (self.options.tell)(Event::Begins { index, label, scenario });
            self.measure(&dir, &resolved, order.early)?
        };
        let taken = Taken::to_order(order, measured.point, ended, Some(record));
        self.note(&taken, order, &resolved)?;
        let event = if is_found { Event::Found(&taken) } else { Event::Measured(&taken) };
        (self.options.tell)(event);
        if self.options.stop.is_asked() {
            return Err(RunError::Stopped { dir: self.dir.clone() });
        }
        Ok(taken)
    }
}

/// Makes room for a point: what an interrupted study left half measured there goes.
fn clear(dir: &Path) -> Result<(), RunError> {
    if !dir.exists() {
        return Ok(());
    }
    fs::remove_dir_all(dir)
        .map_err(|source| RunError::System { what: "room for a point's record", source })
}

/// Returns how a point's record ended, by its header.
pub(crate) fn ended(header: &RunFile) -> Ended {
    let said = header.rest.get("ended").and_then(|said| serde_json::from_value(said.clone()).ok());
    said.unwrap_or(Ended::Whole)
}

/// What stands in a directory.
#[derive(Clone, Debug)]
pub enum Found {
    /// One run's record.
    Run(Box<Measured>),
    /// A study.
    Study(Box<Studied>),
    /// Another tool's result, which was imported: its header.
    Adopted(Box<RunFile>),
}

/// Reads back whatever record is in `dir`, and measures it again.
///
/// # Errors
///
/// If there is none, or it cannot be read.
pub fn open(dir: &Path) -> Result<Found, RunError> {
    let header = RunFile::of(dir)?;
    if is_adopted(&header) {
        return Ok(Found::Adopted(Box::new(header)));
    }
    match kind(&header) {
        Some(_) => read(dir).map(|studied| Found::Study(Box::new(studied))),
        None => measure_again(dir).map(|measured| Found::Run(Box::new(measured))),
    }
}

/// Reads a study back, and measures every point's record again.
///
/// # Errors
///
/// If there is none in `dir`, or a point's record cannot be read.
pub fn read(dir: &Path) -> Result<Studied, RunError> {
    let mut header = RunFile::of(dir)?;
    if kind(&header).is_none() {
        return Err(RunError::NotAStudy { dir: dir.to_owned() });
    }
    let mut points = Vec::new();
    for value in &mut header.points {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let (record, label) = (text("record"), text("label"));
        let changed = value["changed"].as_object().into_iter().flatten();
        let pace = Pace::of(changed.filter_map(|(key, text)| Some((key.as_str(), text.as_str()?))));
        let measured = measure_again(&dir.join(&record))?;
        let ended = ended(&measured.header);
        let taken = Taken::new(label, measured.point, ended, pace, Some(record));
        let fresh = json!(taken.point);
        for (key, figure) in fresh.as_object().into_iter().flatten() {
            value[key] = figure.clone();
        }
        points.push(taken);
    }
    Ok(Studied { dir: dir.to_owned(), header, points })
}

#[cfg(test)]
mod tests;
