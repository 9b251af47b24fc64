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
//! Where both sides were repeated, runs take the place of batches, and Student's t with
//! Bonferroni's correction that of permutations, of which there would be too few.
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

use infermark_terms::Seed;
use infermark_terms::slo::{LatencyFigure, Level, Statistic, Subject};
use serde::{Deserialize, Serialize};

use self::contrast::{Contrast, Units};
pub use self::observations::Observations;

/// The probability that any interval of a comparison is wrong.
const ALPHA: f64 = 0.05;

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

/// What was found of one figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The figure, as objectives name it.
    pub figure: Subject,
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
    /// How many observations each side has.
    pub n: [u64; 2],
}

impl Finding {
    /// Says whether the figure is a share, whose change is a plain difference.
    pub fn is_share(&self) -> bool {
        self.figure == Subject::Level(Level::FailureRate)
    }
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
}

impl Default for Settings {
    fn default() -> Self {
        Self { floor: 0.02, share_floor: 0.001, permutations: 9_999 }
    }
}

/// What stands for one observation in the tests of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// A batch of neighbouring requests.
    Batches,
    /// A whole run: both sides were repeated.
    Runs,
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
    let repeated = baseline.len().min(candidate.len()) >= REPEATS_MIN;
    let unit = if repeated { Unit::Runs } else { Unit::Batches };
    let contrast = |figure| Some((figure, Contrast::new(figure, baseline, candidate, unit)?));
    let pairs: Vec<(Subject, Contrast)> = figures.iter().copied().filter_map(contrast).collect();
    let residuals: Vec<Units> = pairs.iter().map(|(_, contrast)| contrast.residuals()).collect();
    let critical: Vec<f64> = match unit {
        Unit::Batches => {
            critical::permuted(&residuals, ALPHA, settings.permutations, Seed(0x00c0_ffee))
                .into_iter()
                .zip(&residuals)
                .map(|(critical, residuals)| critical * critical::persistence(residuals))
                .collect()
        }
        Unit::Runs => residuals.iter().map(|r| critical::student(r, ALPHA, pairs.len())).collect(),
    };
    let findings = pairs
        .iter()
        .zip(critical)
        .map(|((figure, contrast), critical)| contrast.finding(*figure, critical, settings))
        .collect();
    Comparison { unit, findings }
}

#[cfg(test)]
mod tests;
