//! One figure of two points: the test at a given ratio, and the interval of all ratios that it
//! does not reject.

use infermark_terms::slo::{Level, Side, Statistic, Subject};

use super::observations::{Batch, Observations, Series, percentile_of};
use super::{Figure, Finding, Settings, Standing, Unit};
use crate::percentile::Percentile;

/// The end of an interval is sought from the estimate outwards: first by this factor, then by its
/// square, and so on,
const FIRST_STEP: f64 = 1.02;
/// as far as this; an end beyond cannot be told.
const RATIO_MAX: f64 = 100.0;
/// How often the stretch in which an end lies is halved.
const HALVINGS: usize = 20;

/// What one unit contributes to a ratio of sums.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Totals {
    pub(super) sum: f64,
    pub(super) weight: f64,
}

impl Totals {
    pub(super) fn add(&mut self, sum: f64, weight: f64) {
        self.sum += sum;
        self.weight += weight;
    }

    pub(super) fn total<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut total = Self::default();
        for one in all {
            total.add(one.sum, one.weight);
        }
        total
    }
}

/// The units of both sides.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Units {
    pub(super) baseline: Vec<Totals>,
    pub(super) candidate: Vec<Totals>,
}

/// A ratio of sums, and its variance over the units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ratio {
    pub(super) value: f64,
    pub(super) variance: f64,
}

impl Ratio {
    /// Estimates Σ sum ÷ Σ weight, with the variance n/(n−1) · Σ (sum − ratio · weight)² ÷
    /// (Σ weight)² (Cochran, Sampling Techniques, 3rd ed., chapter 6, for cluster totals).
    pub(super) fn of<'a>(
        units: impl IntoIterator<Item = &'a Totals, IntoIter: Clone + ExactSizeIterator>,
    ) -> Self {
        let units = units.into_iter();
        let n = units.len() as f64;
        let total = Totals::total(units.clone());
        let value = total.sum / total.weight;
        let squares: f64 = units.map(|unit| (unit.sum - value * unit.weight).powi(2)).sum();
        Self { value, variance: n / (n - 1.0) * squares / (total.weight * total.weight) }
    }

    /// Returns this less the other, in standard errors of the difference.
    pub(super) fn studentised(self, other: Self) -> f64 {
        studentised(self.value - other.value, self.variance + other.variance)
    }
}

/// Returns a difference in standard errors.
pub(super) fn studentised(difference: f64, variance: f64) -> f64 {
    if difference == 0.0 { 0.0 } else { difference / variance.sqrt() }
}

impl Units {
    /// Takes from each unit what its side's ratio explains.
    fn centred(mut self) -> Self {
        for side in [&mut self.baseline, &mut self.candidate] {
            let ratio = Ratio::of(&*side).value;
            for unit in side.iter_mut() {
                unit.sum -= ratio * unit.weight;
            }
        }
        self
    }

    /// Returns what each unit adds to its side's sum, side by side.
    pub(super) fn sums(&self) -> Vec<Vec<f64>> {
        let sums = |side: &Vec<Totals>| side.iter().map(|unit| unit.sum).collect();
        [&self.baseline, &self.candidate].map(sums).to_vec()
    }

    /// Returns what each unit of the baseline adds to the difference of the ratios, less what
    /// its counterpart does. Together they are that difference.
    pub(super) fn differences(&self) -> Vec<f64> {
        let difference = Ratio::of(&self.baseline).value - Ratio::of(&self.candidate).value;
        let each = difference / self.baseline.len() as f64;
        self.deviations().into_iter().map(|deviation| each + deviation).collect()
    }

    /// Returns by how much each of the [`differences`](Self::differences) is more than their mean.
    pub(super) fn deviations(&self) -> Vec<f64> {
        let influence = |side: &[Totals]| -> Vec<f64> {
            let (ratio, weight) = (Ratio::of(side).value, Totals::total(side).weight);
            side.iter().map(|unit| (unit.sum - ratio * unit.weight) / weight).collect()
        };
        let (one, other) = (influence(&self.baseline), influence(&self.candidate));
        one.iter().zip(&other).map(|(one, other)| one - other).collect()
    }

    /// Returns the variance of the difference of the ratios.
    fn variance(&self, unit: Unit) -> f64 {
        match unit {
            Unit::Batches | Unit::Runs | Unit::Nothing => {
                Ratio::of(&self.baseline).variance + Ratio::of(&self.candidate).variance
            }
            Unit::Pairs => {
                let n = self.baseline.len() as f64;
                n / (n - 1.0) * self.deviations().iter().map(|d| d * d).sum::<f64>()
            }
        }
    }

    /// Returns the baseline's ratio less the candidate's, in standard errors of the difference.
    fn statistic(&self, unit: Unit) -> f64 {
        let difference = Ratio::of(&self.baseline).value - Ratio::of(&self.candidate).value;
        studentised(difference, self.variance(unit))
    }
}

/// One figure of two points.
pub(super) struct Contrast {
    form: Form,
    /// What stands for one observation.
    unit: Unit,
    /// Figures, in the unit of results.
    values: [f64; 2],
    /// Observations.
    counts: [u64; 2],
}

/// What the test looks at.
enum Form {
    /// Sums over units: a mean, or a rate; ratios are tested.
    Sums(Units),
    /// Shares over units; their plain difference is tested.
    Shares(Units),
    /// A percentile of what each unit holds.
    Percentile { percentile: Percentile, sides: [Vec<Vec<Batch>>; 2], values: [f64; 2] },
}

impl Contrast {
    /// Makes the contrast of a figure; nothing where a side lacks it.
    pub(super) fn new(
        figure: Subject,
        baseline: &[Observations],
        candidate: &[Observations],
        unit: Unit,
    ) -> Option<Self> {
        let sides = [baseline, candidate];
        let sums = |of: fn(&Observations) -> &Vec<Totals>| {
            let [baseline, candidate] = sides.map(|side| merged(side.iter().map(of), unit));
            Units { baseline, candidate }
        };
        match figure {
            Subject::Latency(latency, statistic) => {
                let [one, other]: [Option<Vec<_>>; 2] =
                    sides.map(|side| side.iter().map(|run| run.series.get(&latency)).collect());
                Self::of_series([one?, other?], statistic, unit)
            }
            Subject::Level(Level::OutputTokensPerS) => {
                Self::of_rates(sums(|run| &run.tokens), unit)
            }
            Subject::Level(Level::RequestsPerS) => Self::of_rates(sums(|run| &run.requests), unit),
            Subject::Level(Level::FailureRate) => Self::of_shares(sums(|run| &run.failures), unit),
            Subject::Each(_)
            | Subject::Level(
                Level::GoodShare
                | Level::GoodputRps
                | Level::GoodputOutputTokensPerS
                | Level::InputTokensPerS
                | Level::TotalTokensPerS
                | Level::OutputTokensPerSPerUser
                | Level::OutputTokensPerSPerGpu,
            ) => None,
        }
    }

    fn of_series(sides: [Vec<&Series>; 2], statistic: Statistic, unit: Unit) -> Option<Self> {
        let count = |side: &Vec<&Series>| side.iter().map(|series| series.count).sum();
        let counts: [u64; 2] = [count(&sides[0]), count(&sides[1])];
        let percentile = match statistic {
            Statistic::Mean => return Self::of_means(&sides, counts, unit),
            Statistic::Min | Statistic::Max => return None,
            Statistic::P50 => Percentile::P50,
            Statistic::P90 => Percentile::P90,
            Statistic::P95 => Percentile::P95,
            Statistic::P99 => Percentile::P99,
            Statistic::P999 => Percentile::P999,
        };
        if counts.iter().any(|&count| count < percentile.size_min()) {
            return None;
        }
        let values = [0, 1].map(|side| {
            let all: Vec<&Batch> = sides[side].iter().flat_map(|run| &run.batches).collect();
            percentile_of(&all, percentile)
        });
        let sides = sides.map(|side| {
            let runs = side.into_iter().map(|series| series.batches.clone());
            match unit {
                Unit::Runs | Unit::Nothing => runs.collect(),
                Unit::Batches | Unit::Pairs => runs.flatten().map(|batch| vec![batch]).collect(),
            }
        });
        let form = Form::Percentile { percentile, sides, values };
        Some(Self { form, unit, values: values.map(|nanos| nanos / 1e6), counts })
    }

    fn of_means(sides: &[Vec<&Series>; 2], counts: [u64; 2], unit: Unit) -> Option<Self> {
        let units = |side: &[&Series]| {
            let totals = |series: &&Series| series.batches.iter().map(|b| b.totals).collect();
            let runs: Vec<Vec<Totals>> = side.iter().map(totals).collect();
            merged(runs.iter(), unit)
        };
        let units = Units { baseline: units(&sides[0]), candidate: units(&sides[1]) };
        Self::of_sums(units, unit, counts, 1e6)
    }

    fn of_rates(units: Units, unit: Unit) -> Option<Self> {
        let counts = [&units.baseline, &units.candidate].map(|s| Totals::total(s).sum as u64);
        Self::of_sums(units, unit, counts, 1.0)
    }

    /// Compares sums in a unit of which one of the results' is so many.
    pub(super) fn of_sums(units: Units, unit: Unit, counts: [u64; 2], scale: f64) -> Option<Self> {
        let values = units.values()?.map(|value| value / scale);
        let positive = values.iter().all(|&value| value > 0.0);
        positive.then_some(Self { form: Form::Sums(units), unit, values, counts })
    }

    fn of_shares(units: Units, unit: Unit) -> Option<Self> {
        let counts = [&units.baseline, &units.candidate].map(|s| Totals::total(s).weight as u64);
        Some(Self { values: units.values()?, form: Form::Shares(units), unit, counts })
    }

    /// Returns what is left of each unit once the sides are made alike: what permutations mix.
    pub(super) fn residuals(&self) -> Units {
        self.at(self.ratio()).centred()
    }

    /// Returns the units as they are: what is dealt anew where nothing changed.
    pub(super) fn unchanged(&self) -> Units {
        self.at(1.0)
    }

    fn ratio(&self) -> f64 {
        self.values[1] / self.values[0]
    }

    /// Returns the units of the test that the candidate's values ÷ `ratio` are distributed as
    /// the baseline's.
    fn at(&self, ratio: f64) -> Units {
        match &self.form {
            Form::Shares(units) => units.clone(),
            Form::Sums(units) => {
                let divided = |unit: &Totals| Totals { sum: unit.sum / ratio, ..*unit };
                Units {
                    baseline: units.baseline.clone(),
                    candidate: units.candidate.iter().map(divided).collect(),
                }
            }
            Form::Percentile { percentile, sides: [one, other], values } => {
                let limit = joint(*percentile, [one, other], *values, ratio);
                Units { baseline: above(one, limit), candidate: above(other, limit * ratio) }
            }
        }
    }

    /// Returns what was found, given the value beyond which the test rejects.
    pub(super) fn finding(&self, figure: Subject, critical: f64, settings: Settings) -> Finding {
        self.finding_of(Figure::Ours(figure), critical, settings)
    }

    /// As [`finding`](Self::finding), of any figure.
    pub(super) fn finding_of(&self, figure: Figure, critical: f64, settings: Settings) -> Finding {
        let [baseline, candidate] = self.values;
        let (change, change_ci95, floor) = match &self.form {
            Form::Shares(units) => {
                let change = candidate - baseline;
                let ends = units.difference_interval(change, critical, self.unit);
                (Some(change), ends, settings.share_floor)
            }
            Form::Sums(_) | Form::Percentile { .. } => {
                let ends = self.ratio_interval(critical).map(|end| end.map(|ratio| ratio - 1.0));
                (Some(self.ratio() - 1.0), ends, settings.floor)
            }
        };
        let verdict = standing(&figure, change, change_ci95, floor);
        Finding { figure, baseline, candidate, change, change_ci95, verdict, n: self.counts }
    }

    /// Returns the ratios next to the estimate at which the test begins to reject. For sums that
    /// is Fieller's interval (1954, J. R. Stat. Soc. B 16:175).
    fn ratio_interval(&self, critical: f64) -> [Option<f64>; 2] {
        let rejects = |ratio: f64| self.at(ratio).statistic(self.unit).abs() > critical;
        [1.0 / FIRST_STEP, FIRST_STEP].map(|step| {
            let (mut inside, mut outside, mut reach) = (self.ratio(), self.ratio(), step);
            while !rejects(outside) {
                if !(1.0 / RATIO_MAX..=RATIO_MAX).contains(&reach) {
                    return None;
                }
                (inside, outside) = (outside, self.ratio() * reach);
                reach *= reach;
            }
            for _ in 0..HALVINGS {
                let middle = f64::midpoint(inside, outside);
                if rejects(middle) {
                    outside = middle;
                } else {
                    inside = middle;
                }
            }
            Some(inside)
        })
    }
}

impl Units {
    /// Returns both sides' ratios; nothing where a side has no weight.
    fn values(&self) -> Option<[f64; 2]> {
        let sides = [&self.baseline, &self.candidate];
        let weighty = sides.iter().all(|side| Totals::total(*side).weight > 0.0);
        weighty.then(|| sides.map(|side| Ratio::of(side).value))
    }

    /// Returns the interval of the difference of two shares, candidate − baseline.
    ///
    /// Where neither side has any, up to 3 in as many as were seen can hide at 95 % (Hanley and
    /// Lippman-Hand 1983, J. Am. Med. Assoc. 249:1743).
    fn difference_interval(&self, difference: f64, critical: f64, unit: Unit) -> [Option<f64>; 2] {
        let [one, other] = [&self.baseline, &self.candidate];
        if Totals::total(one).sum + Totals::total(other).sum == 0.0 {
            let hidden = |side: &[Totals]| (3.0 / Totals::total(side).weight).min(1.0);
            return [Some(-hidden(one)), Some(hidden(other))];
        }
        let half = critical * self.variance(unit).sqrt();
        [Some((difference - half).max(-1.0)), Some((difference + half).min(1.0))]
    }
}

/// Judges a change by its interval: see [`Standing`].
fn standing(figure: &Figure, change: Option<f64>, ends: [Option<f64>; 2], floor: f64) -> Standing {
    let [low, high] = [ends[0].unwrap_or(f64::NEG_INFINITY), ends[1].unwrap_or(f64::INFINITY)];
    let Some(change) = change else { return Standing::CannotTell };
    if (low > 0.0 || high < 0.0) && change.abs() >= floor {
        return match (figure.side(), change > 0.0) {
            (Side::AtMost, true) | (Side::AtLeast, false) => Standing::Worse,
            (Side::AtMost, false) | (Side::AtLeast, true) => Standing::Better,
        };
    }
    let within = low >= -floor && high <= floor;
    if within { Standing::Same } else { Standing::CannotTell }
}

/// Deals the batches of several runs to units, in order.
fn merged<'a>(runs: impl Iterator<Item = &'a Vec<Totals>>, unit: Unit) -> Vec<Totals> {
    match unit {
        Unit::Batches | Unit::Pairs => runs.flatten().copied().collect(),
        Unit::Runs | Unit::Nothing => runs.map(Totals::total).collect(),
    }
}

/// Counts the weight above a limit in each unit.
fn above(units: &[Vec<Batch>], limit: f64) -> Vec<Totals> {
    let share = |unit: &Vec<Batch>| {
        let mut totals = Totals::default();
        for batch in unit {
            let weight = batch.weight();
            totals.add((weight - batch.weight_up_to(limit)) as f64, weight as f64);
        }
        totals
    };
    units.iter().map(share).collect()
}

/// Returns the percentile of the baseline's values and the candidate's ÷ `ratio` together, to
/// half a nanosecond. It lies between those of the two.
fn joint(
    percentile: Percentile,
    [one, other]: [&Vec<Vec<Batch>>; 2],
    values: [f64; 2],
    ratio: f64,
) -> f64 {
    let weight = |side: &[Vec<Batch>]| side.iter().flatten().map(Batch::weight).sum::<u64>();
    let rank = percentile.rank(weight(one) + weight(other));
    let within = |side: &[Vec<Batch>], limit: f64| {
        side.iter().flatten().map(|batch| batch.weight_up_to(limit)).sum::<u64>()
    };
    let reached = |limit: f64| within(one, limit) + within(other, limit * ratio) >= rank;
    let candidate = values[1] / ratio;
    let (mut low, mut high) = (values[0].min(candidate), values[0].max(candidate));
    if reached(low) {
        return low;
    }
    while high - low > 0.5_f64.max(1e-9 * high) {
        let middle = f64::midpoint(low, high);
        if reached(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}
