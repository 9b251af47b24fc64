//! What a report is about: one run, or one study of several points.

use std::collections::{BTreeMap, BTreeSet};

use infermark_measure::{Details, LoadPlan, Point};

use crate::chart::short;
use crate::figure::figure;
use crate::{ContestTable, Passed, State, Verification};

/// One run or study, as reports tell of it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its own name, as in its record.
    pub id: String,
    /// The command that made it, such as `infermark sweep`.
    pub command: String,
    /// When it began, in RFC 3339.
    pub created: String,
    /// Who was measured.
    pub target: String,
    /// Which model was asked for.
    pub model: String,
    /// The server's name and version, where known.
    pub server: Option<String>,
    /// The GPUs of the target, where known.
    pub gpus: Option<String>,
    /// Where its figures come from.
    pub origin: Origin,
    /// Whether it came to its end.
    pub state: State,
    /// Whether the server's certificate was checked.
    pub verification: Verification,
    /// The version of infermark that measured it.
    pub version: String,
    /// What was asked: settings and their values.
    pub asked: Vec<(String, String)>,
    /// Where and with what it was measured.
    pub setup: Vec<(String, String)>,
    /// What it is filed under.
    pub tags: BTreeMap<String, String>,
    /// What a study found, such as its knee: names and findings.
    pub findings: Vec<(String, String)>,
    /// Its operating points; of a study several, in the order of their loads.
    pub points: Vec<Point>,
    /// What is known of each point beside its figures; empty where nothing is.
    pub places: Vec<Place>,
    /// What was asked of a suite's points, line by line.
    pub verdicts: Vec<Verdict>,
    /// A suite's targets side by side.
    pub contests: Vec<ContestTable>,
    /// What is drawn of a run of one point, where its rows were read.
    pub details: Option<Details>,
    /// Where its record is; empty if there is none.
    pub record: String,
}

/// The word beside a curve's knee.
pub const KNEE: &str = "knee";

/// What is known of a point of a study beside its figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// What a person calls it, such as `rate 4/s`.
    pub label: String,
    /// The curve that it belongs to, such as a workload; empty where the study has one curve.
    pub curve: String,
    /// One short word beside it, such as `knee`; empty where there is none.
    pub mark: String,
    /// The doubts about it that concern what the study found; absent where all do.
    pub doubts: Option<infermark_measure::Verdict>,
}

/// One line of what a suite asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it holds.
    pub passed: Passed,
    /// What a person calls it.
    pub name: String,
    /// What must hold.
    pub rule: String,
    /// What was found, in sentences.
    pub found: Vec<String>,
}

impl Subject {
    fn curve(&self, index: usize) -> &str {
        self.places.get(index).map_or("", |place| &place.curve)
    }

    /// Returns what a person calls a point: its label, else its load.
    pub(crate) fn label(&self, index: usize) -> String {
        let load = || match self.points[index].load {
            LoadPlan::Closed { concurrency } => format!("concurrency {concurrency}"),
            LoadPlan::Open { rate_rps, .. } => format!("rate {rate_rps}/s"),
            LoadPlan::Trace { time_scale, .. } => format!("trace {time_scale}x"),
        };
        self.places.get(index).map_or_else(load, |place| place.label.clone())
    }

    /// Returns the doubts about a point that concern what is reported.
    pub(crate) fn doubts(&self, index: usize) -> &infermark_measure::Verdict {
        let known = self.places.get(index).and_then(|place| place.doubts.as_ref());
        known.unwrap_or(&self.points[index].trust)
    }

    /// Returns its point where it is all that there is to tell: a suite asks something of its only
    /// point, too.
    pub(crate) fn only_point(&self) -> Option<&Point> {
        match &self.points[..] {
            [point] if self.verdicts.is_empty() => Some(point),
            _ => None,
        }
    }

    /// Returns its label with the curve that it is on, where there are several.
    pub(crate) fn full_label(&self, index: usize) -> String {
        match self.curve(index) {
            "" => self.label(index),
            curve => format!("{curve}, {}", self.label(index)),
        }
    }
}

/// Where figures come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A server was measured.
    Server,
    /// The embedded engine was.
    Embedded,
    /// Nothing was: the figures are a prediction.
    Predicted,
}

/// Points that belong together: the same server under different loads.
#[derive(Clone, Debug)]
pub(crate) struct Series<'a> {
    pub(crate) name: String,
    /// By load, the lowest first.
    pub(crate) points: Vec<Placed<'a>>,
}

impl Series<'_> {
    /// Places points that have no rate of their own at the sessions a second that were carried:
    /// requests a second ÷ turns of a session. Those are known best where sessions were led to
    /// their end, elsewhere they look fewer.
    fn place_by_sessions(&mut self) {
        let turns = self.points.iter().map(|placed| {
            let counts = &placed.point.counts;
            let begun = placed.point.turns.iter().find(|turn| turn.name == "1");
            begun.map_or(1.0, |first| counts.due as f64 / first.counts.due.max(1) as f64)
        });
        let turns = turns.fold(1.0, f64::max);
        for placed in self.points.iter_mut().filter(|placed| !is_open(placed.point)) {
            placed.at /= turns;
        }
    }
}

/// A point of a series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed<'a> {
    /// Its load, or where else it lies on the level axis.
    pub(crate) at: f64,
    pub(crate) point: &'a Point,
    /// What else is known of it.
    pub(crate) place: Option<&'a Place>,
}

impl Placed<'_> {
    /// Says whether its study found the knee there.
    pub(crate) fn is_knee(&self) -> bool {
        self.place.is_some_and(|place| place.mark == KNEE)
    }

    /// Returns what a person calls it beside the others of its series.
    pub(crate) fn label(&self) -> String {
        self.place.map_or_else(|| self.load(), |place| place.label.clone())
    }

    /// Returns its load, as that of a measured rate in four digits.
    pub(crate) fn load(&self) -> String {
        let shown = short(self.at);
        let digits = shown.chars().filter(char::is_ascii_digit).count();
        if digits > 4 && self.at.fract() != 0.0 { figure(self.at) } else { shown }
    }
}

/// What the loads of a comparison have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Concurrency,
    /// Of open loops, but for a few: those stand at the rate that they had.
    Rate,
    /// The same of sessions, whose later turns come on top.
    Sessions,
    /// Of both kinds: what both have is a number of requests in flight.
    InFlight,
    /// The same load again and again: points differ in which run they are, from 1.
    Run,
}

impl Load {
    pub(crate) fn of(subjects: &[Subject]) -> Self {
        let points = || subjects.iter().flat_map(|subject| &subject.points);
        if is_repeated(subjects) {
            Self::Run
        } else if points().all(|point| matches!(point.load, LoadPlan::Closed { .. })) {
            Self::Concurrency
        } else if points().filter(|point| is_open(point)).count() * 2 < points().count() {
            Self::InFlight
        } else {
            // A point in which nothing was due says nothing of it.
            let known = || points().filter(|point| point.counts.due > 0);
            let of_sessions = |point: &Point| !point.turns.is_empty();
            match (known().any(of_sessions), known().all(of_sessions)) {
                (false, _) => Self::Rate,
                (true, true) => Self::Sessions,
                // A session is more than one request.
                (true, false) => Self::InFlight,
            }
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Concurrency => "concurrency",
            Self::Rate => "rate, requests/s",
            Self::Sessions => "rate, sessions/s",
            Self::InFlight => "requests in flight, mean",
            Self::Run => "run",
        }
    }

    fn value(self, index: usize, point: &Point) -> f64 {
        let in_flight = || point.concurrency.map_or(0.0, |concurrency| concurrency.mean);
        match (self, point.load) {
            (Self::Concurrency, LoadPlan::Closed { concurrency }) => f64::from(concurrency),
            (Self::Rate | Self::Sessions, LoadPlan::Open { rate_rps, .. }) => rate_rps,
            (Self::Rate | Self::Sessions, _) => {
                point.rates.map_or(0.0, |rates| rates.requests_per_s)
            }
            (Self::Run, _) => index as f64 + 1.0,
            (Self::Concurrency | Self::InFlight, _) => in_flight(),
        }
    }
}

fn is_open(point: &Point) -> bool {
    matches!(point.load, LoadPlan::Open { .. })
}

/// Says whether some curve is one load several times, and the others are too, or one point.
fn is_repeated(subjects: &[Subject]) -> bool {
    let pairs = || {
        subjects.iter().flat_map(|subject| {
            let pairs = subject.points.windows(2).enumerate();
            pairs.filter(|(index, _)| subject.curve(*index) == subject.curve(index + 1))
        })
    };
    pairs().next().is_some() && pairs().all(|(_, pair)| pair[0].load == pair[1].load)
}

/// Groups the points of all subjects by what they were measured on, and by their curve.
///
/// A subject is named by its tag `name` where it has one, else by whatever of server, model,
/// target and GPUs is not the same for all.
pub(crate) fn series<'a>(subjects: &'a [Subject], load: Load) -> Vec<Series<'a>> {
    let mut series: Vec<Series<'a>> = Vec::new();
    for (subject, name) in subjects.iter().zip(names(subjects)) {
        for (index, point) in subject.points.iter().enumerate() {
            let name = match (subjects.len(), subject.curve(index)) {
                (_, "") => name.clone(),
                (1, curve) => curve.to_owned(),
                (_, curve) => format!("{name}, {curve}"),
            };
            let (at, place) = (load.value(index, point), subject.places.get(index));
            let placed = Placed { at, point, place };
            match series.iter_mut().find(|series| series.name == name) {
                Some(series) => series.points.push(placed),
                None => series.push(Series { name, points: vec![placed] }),
            }
        }
    }
    for series in &mut series {
        if load == Load::Sessions {
            series.place_by_sessions();
        }
        series.points.sort_by(|one, other| one.at.total_cmp(&other.at));
    }
    series
}

/// Returns what to call each subject beside the others.
pub(crate) fn names(subjects: &[Subject]) -> Vec<String> {
    type Trait = fn(&Subject) -> String;
    let traits: [Trait; 3] = [
        |s| s.server.clone().unwrap_or_default(),
        |s| s.model.clone(),
        |s| s.gpus.clone().unwrap_or_default(),
    ];
    let differs = |of: &&Trait| subjects.iter().any(|subject| of(subject) != of(&subjects[0]));
    let telling: Vec<_> = traits.iter().filter(differs).collect();
    let plain = |subject: &Subject| {
        let parts: Vec<_> = telling.iter().map(|of| of(subject)).collect();
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(" · ")
    };
    // The target's address says least, and only where nothing else tells two apart.
    let mut addresses: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for subject in subjects {
        let _: bool = addresses.entry(plain(subject)).or_default().insert(&subject.target);
    }
    let name = |subject: &Subject| {
        if let Some(name) = subject.tags.get("name") {
            return name.clone();
        }
        let plain = plain(subject);
        let has_several = addresses[&plain].len() > 1;
        match (plain.is_empty(), has_several) {
            (true, false) => subject.server.clone().unwrap_or_else(|| subject.model.clone()),
            (true, true) => subject.target.clone(),
            (false, false) => plain,
            (false, true) => format!("{plain} · {}", subject.target),
        }
    };
    subjects.iter().map(name).collect()
}
