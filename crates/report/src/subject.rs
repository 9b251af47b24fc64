//! What a report is about: one run, or one study of several points.

use std::collections::BTreeMap;

use infermark_measure::{Details, LoadPlan, Point};

use crate::{State, Verification};

/// One run or study, as reports tell of it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its own name, as in its record.
    pub id: String,
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
    /// What a person calls each point; empty where nobody named them.
    pub labels: Vec<String>,
    /// What is drawn of a run of one point, where its rows were read.
    pub details: Option<Details>,
    /// Where its record is; empty if there is none.
    pub record: String,
}

impl Subject {
    /// Returns what a person calls a point: its label, else its load.
    pub(crate) fn label(&self, index: usize) -> String {
        let load = || match self.points[index].load {
            LoadPlan::Closed { concurrency } => format!("concurrency {concurrency}"),
            LoadPlan::Open { rate_rps, .. } => format!("rate {rate_rps}/s"),
            LoadPlan::Trace { time_scale, .. } => format!("trace {time_scale}x"),
        };
        self.labels.get(index).cloned().unwrap_or_else(load)
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
    pub(crate) points: Vec<(f64, &'a Point)>,
}

/// What the loads of a comparison have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Concurrency,
    Rate,
    /// Of both kinds: what both have is a number of requests in flight.
    InFlight,
}

impl Load {
    pub(crate) fn of(subjects: &[Subject]) -> Self {
        let points = || subjects.iter().flat_map(|subject| &subject.points);
        if points().all(|point| matches!(point.load, LoadPlan::Closed { .. })) {
            Self::Concurrency
        } else if points().all(|point| matches!(point.load, LoadPlan::Open { .. })) {
            Self::Rate
        } else {
            Self::InFlight
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Concurrency => "concurrency",
            Self::Rate => "offered rate, requests/s",
            Self::InFlight => "requests in flight, mean",
        }
    }

    fn value(self, point: &Point) -> f64 {
        let in_flight = || point.concurrency.map_or(0.0, |concurrency| concurrency.mean);
        match (self, point.load) {
            (Self::Concurrency, LoadPlan::Closed { concurrency }) => f64::from(concurrency),
            (Self::Rate, LoadPlan::Open { rate_rps, .. }) => rate_rps,
            (Self::Concurrency | Self::Rate | Self::InFlight, _) => in_flight(),
        }
    }
}

/// Groups the points of all subjects by what they were measured on.
///
/// A subject is named by its tag `name` where it has one, else by whatever of server, model,
/// target and GPUs is not the same for all.
pub(crate) fn series<'a>(subjects: &'a [Subject], load: Load) -> Vec<Series<'a>> {
    let mut series: Vec<Series<'a>> = Vec::new();
    for (subject, name) in subjects.iter().zip(names(subjects)) {
        let points = subject.points.iter().map(|point| (load.value(point), point));
        match series.iter_mut().find(|series| series.name == name) {
            Some(series) => series.points.extend(points),
            None => series.push(Series { name, points: points.collect() }),
        }
    }
    for series in &mut series {
        series.points.sort_by(|one, other| one.0.total_cmp(&other.0));
    }
    series
}

/// Returns what to call each subject beside the others.
pub(crate) fn names(subjects: &[Subject]) -> Vec<String> {
    type Trait = fn(&Subject) -> String;
    let traits: [Trait; 4] = [
        |s| s.server.clone().unwrap_or_default(),
        |s| s.model.clone(),
        |s| s.gpus.clone().unwrap_or_default(),
        |s| s.target.clone(),
    ];
    let differs = |of: &Trait| subjects.iter().any(|subject| of(subject) != of(&subjects[0]));
    // The target's address says least, and only where nothing else tells two apart.
    let telling: Vec<_> = traits[..3].iter().filter(|of| differs(of)).collect();
    let name = |subject: &Subject| {
        if let Some(name) = subject.tags.get("name") {
            return name.clone();
        }
        let parts: Vec<_> = telling.iter().map(|of| of(subject)).collect();
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        match parts.is_empty() {
            false => parts.join(" · "),
            true if differs(&traits[3]) => subject.target.clone(),
            true => subject.server.clone().unwrap_or_else(|| subject.model.clone()),
        }
    };
    subjects.iter().map(name).collect()
}
