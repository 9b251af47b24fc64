//! Two operating points, figure by figure: is the second better, worse, or can nobody tell?
//!
//! ```text
//!  rows of A ─▶ Observations ─┐            ┌─▶ permutations of whole batches ─▶ critical values
//!  rows of B ─▶ Observations ─┴─▶ Contrast ┴─▶ inverted test ─▶ interval of the change ─▶ Finding
//! ```
//!
//! Each figure is tested on the raw observations: the ratio r by which B's would have to be
//! divided to be A's lies in the interval unless a test at r says otherwise. The test compares
//! means over batches, of the values for a mean, and for a percentile of the share of values
//! above the percentile of both samples together (the median test, carried to any percentile
//! and to batches: Mood 1954, Ann. Math. Stat. 25:514). It is studentised, so that it stays
//! valid where the two samples vary differently (Chung and Romano 2013, Ann. Stat. 41:484), and
//! its units are batches of neighbouring requests, so that autocorrelation does not pass for
//! evidence; where even the batches resemble their neighbours, intervals widen accordingly.
//!
//! Many figures of one pair are looked at together, so the intervals of all of them hold
//! together with 95 % confidence: the critical values come from permuting whole batches, the same
//! way for every figure at a time, and each figure has the same chance to be the one that is
//! wrong (Beran 1988, J. Am. Stat. Assoc. 83:679; Westfall and Young 1993, Resampling-Based
//! Multiple Testing). Of two points between which nothing changed, any figure at all is called
//! different in at most 5 of 100 comparisons.
//!
//! Where both sides were asked the very same requests, each batch is held against the other
//! side's batch of the same requests, and what the requests have in common no longer hides what
//! changed. Then the signs of the differences are dealt anew (Fisher 1935, The Design of
//! Experiments, section 21; studentised, Janssen 1999, Stat. Probab. Lett. 44:89), since a
//! difference is as likely one way as the other where nothing changed.
//!
//! Where both sides were repeated, runs take the place of batches, and Student's t with
//! Bonferroni's correction that of permutations, of which there would be too few.
//!
//! Of what another tool worked out there are no observations: see [`compare_quotes`].
//!
//! # Invariants
//!
//! - A comparison is a function of the rows: the permutations are drawn from a fixed seed.
//! - Exchanging the sides turns each finding round.
//!
//! Not here: which runs may be compared, what else differed between them, and gates.

mod contrast;
mod critical;
mod observations;
mod quotes;

use std::fmt;

use infermark_terms::Seed;
use infermark_terms::slo::{LatencyFigure, Level, Side, Statistic, Subject};
use serde::{Deserialize, Serialize};

use self::contrast::{Contrast, Units};
pub use self::observations::{Observations, due_in_window};
pub use self::quotes::{Quote, compare_quotes};

/// Where the permutations are drawn from.
const SEED: Seed = Seed(0x00c0_ffee);

/// The fewest repetitions on each side for runs to be the units.
const REPEATS_MIN: usize = 3;

/// The latencies that are compared where nobody names any; the gaps between chunks only where
/// those between tokens are not known.
const USUAL: [LatencyFigure; 5] = [
    LatencyFigure::Ttft,
    LatencyFigure::Tpot,
    LatencyFigure::Itl,
    LatencyFigure::Icl,
    LatencyFigure::E2e,
];

/// Returns the figures that are compared where nobody names any, in the order in which they are
/// shown.
pub fn usual_figures(baseline: &[Observations], candidate: &[Observations]) -> Vec<Subject> {
    let runs = || baseline.iter().chain(candidate);
    let itl = runs().all(|run| run.series.contains_key(&LatencyFigure::Itl));
    let wanted = USUAL.into_iter().filter(|&figure| figure != LatencyFigure::Icl || !itl);
    let statistics = [Statistic::Mean, Statistic::P50, Statistic::P90, Statistic::P99];
    let levels = [Level::OutputTokensPerS, Level::RequestsPerS, Level::FailureRate];
    wanted
        .flat_map(|figure| statistics.map(|statistic| Subject::Latency(figure, statistic)))
        .chain(levels.map(Subject::Level))
        .collect()
}

/// Says whether a figure can be compared at all: facts about single requests cannot.
pub fn is_comparable(figure: Subject) -> bool {
    match figure {
        Subject::Each(_) => false,
        Subject::Latency(figure, statistic) => {
            figure != LatencyFigure::Lag && !matches!(statistic, Statistic::Min | Statistic::Max)
        }
        Subject::Level(level) => {
            matches!(level, Level::OutputTokensPerS | Level::RequestsPerS | Level::FailureRate)
        }
    }
}

/// What a comparison holds a figure for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The candidate is better: its interval excludes no change, and the change reaches the
    /// floor.
    Better,
    /// The candidate is worse, alike.
    Worse,
    /// The whole interval lies within the floor.
    Same,
    /// Neither: there are too few observations for what changed, if anything did.
    CannotTell,
}

impl Standing {
    /// Returns it in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Same => "same",
            Self::CannotTell => "cannot tell",
        }
    }
}

/// What is compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(into = "String")]
pub enum Figure {
    /// A figure of docs/metrics.md.
    Ours(Subject),
    /// Another tool's, by its own definition.
    Theirs {
        /// What the tool calls it, and the statistic.
        name: String,
        /// What is better: less, or more.
        side: Side,
    },
}

impl Figure {
    /// Says whether it should be at most, or at least, what it was.
    pub const fn side(&self) -> Side {
        match self {
            Self::Ours(subject) => subject.side(),
            Self::Theirs { side, .. } => *side,
        }
    }

    /// Says whether it is a share, whose change is a plain difference.
    pub fn is_share(&self) -> bool {
        *self == Self::Ours(Subject::Level(Level::FailureRate))
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(subject) => write!(f, "{subject}"),
            Self::Theirs { name, .. } => f.write_str(name),
        }
    }
}

impl From<Figure> for String {
    fn from(figure: Figure) -> Self {
        figure.to_string()
    }
}

/// What was found of one figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The figure, as objectives name it, or as the tool does that worked it out.
    pub figure: Figure,
    /// Its value in the baseline, in milliseconds, units per second, or as a share.
    pub baseline: f64,
    /// Its value in the candidate.
    pub candidate: f64,
    /// How much more the candidate has, as a share of the baseline; of the failure rate, the
    /// plain difference. Absent where the baseline is 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<f64>,
    /// The interval of the change: it and those of all other figures of this comparison hold
    /// together with 95 % confidence. An end that is absent lies beyond what can be told.
    pub change_ci95: [Option<f64>; 2],
    /// What that comes to.
    pub verdict: Standing,
    /// How many observations each side has; of figures that were quoted, how many runs.
    pub n: [u64; 2],
}

/// Whether both sides were asked the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requests {
    /// Requests of the same lengths on the whole.
    Alike,
    /// The very same, one by one: the observations are of requests that both sides have.
    Same,
}

/// What of a comparison may be chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The least change that matters, as a share of the baseline.
    pub floor: f64,
    /// The least change of the failure rate that matters.
    pub share_floor: f64,
    /// How many permutations the critical values come from.
    pub permutations: usize,
    /// The probability that any interval is wrong. Where several points are compared, each has
    /// an equal part of it (Bonferroni), so that all intervals hold together.
    pub alpha: f64,
    /// What both sides were asked.
    pub requests: Requests,
}

impl Default for Settings {
    fn default() -> Self {
        let requests = Requests::Alike;
        Self { floor: 0.02, share_floor: 0.001, permutations: 9_999, alpha: 0.05, requests }
    }
}

/// What stands for one observation in the tests of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// A batch of neighbouring requests.
    Batches,
    /// The difference between two batches of the same requests.
    Pairs,
    /// A whole run: both sides were repeated.
    Runs,
    /// Nothing: another tool's figures stand alone, and nothing is tested.
    Nothing,
}

/// Two points, compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// What stood for one observation.
    pub unit: Unit,
    /// One finding for each figure that both sides have.
    pub findings: Vec<Finding>,
}

/// Compares these figures of two operating points, each measured once or repeatedly.
///
/// The fewer figures, the narrower their intervals: they hold together. A figure that either side
/// lacks, or has of fewer than 40 requests, is left out: there is nothing to test.
pub fn compare(
    figures: &[Subject],
    baseline: &[Observations],
    candidate: &[Observations],
    settings: Settings,
) -> Comparison {
    let unit = match settings.requests {
        _ if is_repeated(baseline.len(), candidate.len()) => Unit::Runs,
        Requests::Same if baseline.len() == candidate.len() => Unit::Pairs,
        Requests::Same | Requests::Alike => Unit::Batches,
    };
    let contrast = |figure| Some((figure, Contrast::new(figure, baseline, candidate, unit)?));
    let pairs: Vec<(Subject, Contrast)> = figures.iter().copied().filter_map(contrast).collect();
    let findings = pairs
        .iter()
        .zip(critical_values(&pairs, unit, settings))
        .map(|((figure, contrast), critical)| contrast.finding(*figure, critical, settings))
        .collect();
    Comparison { unit, findings }
}

/// Says whether there are so many runs on each side that they can be the units.
fn is_repeated(baseline: usize, candidate: usize) -> bool {
    baseline.min(candidate) >= REPEATS_MIN
}

/// Returns for each figure the value beyond which its test rejects.
fn critical_values(pairs: &[(Subject, Contrast)], unit: Unit, settings: Settings) -> Vec<f64> {
    let Settings { alpha, permutations, .. } = settings;
    let residuals: Vec<Units> = pairs.iter().map(|(_, contrast)| contrast.residuals()).collect();
    let widened = |values: Vec<f64>, series: &[Vec<Vec<f64>>]| -> Vec<f64> {
        let pairs = values.into_iter().zip(series);
        pairs.map(|(value, series)| value * critical::persistence(series)).collect()
    };
    match unit {
        Unit::Batches => {
            let series: Vec<_> = residuals.iter().map(Units::sums).collect();
            let drawn = critical::dealt(&residuals, permutations, SEED);
            widened(critical::together(&drawn, alpha).0, &series)
        }
        Unit::Pairs => {
            // Not the residuals: where nothing changed, either sign of a difference is as likely,
            // and the test is exact.
            let differences: Vec<Vec<f64>> =
                pairs.iter().map(|(_, contrast)| contrast.unchanged().differences()).collect();
            let drawn = critical::flipped(&differences, permutations, SEED);
            let (mut values, level) = critical::together(&drawn, alpha);
            for (value, differences) in values.iter_mut().zip(&differences) {
                // Where hardly a unit differs, signs say nothing of how far it could.
                let freedom = differences.len() as f64 - 1.0;
                *value = value.max(critical::two_sided_t(freedom, level));
            }
            let series: Vec<_> = residuals.iter().map(|units| vec![units.deviations()]).collect();
            widened(values, &series)
        }
        Unit::Runs | Unit::Nothing => {
            residuals.iter().map(|r| critical::student(r, alpha, residuals.len())).collect()
        }
    }
}

#[cfg(test)]
mod tests;
