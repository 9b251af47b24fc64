//! The line of ln(value ÷ limit) over ln(load): below 0 the bound is kept, above it is not.
//!
//! A regression with a logarithmic link by quasi-likelihood (Wedderburn 1974, "Quasi-likelihood
//! functions, generalized linear models, and the Gauss–Newton method"), fitted by reweighted least
//! squares. It is the mean of the ratios, and not of their logarithms, that follows the line: most
//! short runs near saturation look better than the mean does, and few look much worse.
//!
//! Runs weigh by their requests, and not by their own intervals: of two runs the luckier has the
//! lower value and the narrower interval, so such weights would pull the line down. The intervals
//! give the error of one request, pooled over all runs. Where the runs scatter about the line by
//! more than that, their scatter counts (Birge 1932, "The calculation of errors by the method of
//! least squares"), with Student's t for their small number. So intervals that are too narrow do
//! no harm. Whether a load lies under or over the crossing is read off the line's band there,
//! which is the test that Fieller's interval inverts (1954, "Some problems in interval
//! estimation").

use statrs::distribution::{ContinuousCDF, StudentsT};

/// What one run saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sight {
    /// ln(load).
    pub(super) at: f64,
    /// Value ÷ limit.
    pub(super) ratio: f64,
    pub(super) kind: Kind,
    /// Over so many requests.
    pub(super) requests: f64,
}

/// How the error of a ratio goes with it. The noise is the variance of one request's ratio at the
/// limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// A count of exceptions: the variance is in proportion to the ratio.
    Count { noise: f64 },
    /// A level: the error is. Its noise is absent where the run does not know it.
    Level { noise: Option<f64> },
}

/// A straight line through what runs saw, as near to its crossing of 0 as they were.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    /// The weighted mean of where the runs were,
    middle: f64,
    /// and its height.
    mean: f64,
    slope: f64,
    /// The sum of the weights, and of the weighted squares of the distances from the middle.
    total: f64,
    spread: f64,
    /// How far off heights may be, in standard errors of the weights.
    deviate: f64,
}

/// How far a curve may part from its tangent, as a share of the tangent's rise, for each unit of
/// ln(load) from the crossing: at 10 % from it, by 20 % of the rise there.
const CURVATURE: f64 = 2.0;
/// The share of cases that a band covers, with half of the others.
const COVERED: f64 = 0.975;
/// With fewer degrees of freedom runs may agree by chance, and nothing is said.
const FREEDOM_MIN: f64 = 2.0;
/// The noise of a level where no run knows it, and the least error of a run.
const NOISE: f64 = 1.0;
const ERROR_MIN: f64 = 1e-3;
/// How far one run may pull the line: as if its ratio were so many times the line's more.
const PULL_MAX: f64 = 9.0;
/// Heights beyond this are as high, or as low.
const HEIGHT_MAX: f64 = 8.0;
/// Weights depend on the crossing, and the crossing on them.
const ROUNDS: u32 = 8;

impl Line {
    /// Returns the regression through these sights; absent where all lie at one load.
    pub(super) fn through(sights: &[Sight]) -> Option<Self> {
        let noise = noise(sights);
        // At the limit the logarithm of a ratio is about the ratio less 1.
        let first = sights.iter().map(|sight| {
            let height = (sight.ratio - 1.0).min(PULL_MAX);
            (sight.at, height, weight(own(sight, noise, 0.0), 0.0))
        });
        let mut line = Self::fit(&first.collect::<Vec<_>>())?;
        for _ in 0..ROUNDS {
            let Some(root) = line.root() else { break };
            let linear = sights.iter().map(|sight| {
                let height = line.at(sight.at).0.clamp(-HEIGHT_MAX, HEIGHT_MAX);
                let pull = (sight.ratio * (-height).exp() - 1.0).min(PULL_MAX);
                let parting = CURVATURE * line.slope * (sight.at - root).powi(2);
                (sight.at, height + pull, weight(own(sight, noise, height), parting))
            });
            line = Self::fit(&linear.collect::<Vec<_>>())?;
        }
        Some(line)
    }

    /// Fits a line to places, heights and weights.
    fn fit(weighted: &[(f64, f64, f64)]) -> Option<Self> {
        let sum = |term: &dyn Fn(f64, f64) -> f64| -> f64 {
            weighted.iter().map(|&(at, height, weight)| weight * term(at, height)).sum()
        };
        let total = sum(&|_, _| 1.0);
        let (middle, mean) = (sum(&|at, _| at) / total, sum(&|_, height| height) / total);
        let spread = sum(&|at, _| (at - middle).powi(2));
        let slope = sum(&|at, height| (at - middle) * (height - mean)) / spread;
        if !slope.is_finite() {
            return None;
        }
        let misfit = sum(&|at, height| (height - mean - slope * (at - middle)).powi(2));
        // As many equal weights as these are worth, less the two that the line takes.
        let squares: f64 = weighted.iter().map(|(_, _, weight)| weight * weight).sum();
        let freedom = total * total / squares - 2.0;
        let deviate = if freedom < FREEDOM_MIN {
            f64::INFINITY
        } else {
            let student = StudentsT::new(0.0, 1.0, freedom).ok()?;
            (misfit / freedom).max(1.0).sqrt() * student.inverse_cdf(COVERED)
        };
        Some(Self { middle, mean, slope, total, spread, deviate })
    }

    /// Returns the height at a place and how far off it may be, at 95 %; infinitely far where
    /// there are too few runs to see how they scatter.
    pub(super) fn at(&self, place: f64) -> (f64, f64) {
        let away = place - self.middle;
        let height = self.mean + self.slope * away;
        (height, self.deviate * (1.0 / self.total + away * away / self.spread).sqrt())
    }

    /// Returns where the line crosses 0; absent where it does not rise.
    pub(super) fn root(&self) -> Option<f64> {
        (self.slope > 0.0).then(|| self.middle - self.mean / self.slope)
    }

    /// Returns about how far off the root may be, at 95 %.
    pub(super) fn reach(&self) -> Option<f64> {
        Some(self.at(self.root()?).1 / self.slope)
    }
}

/// Returns the variance of a run's height, where the line has this height.
fn own(sight: &Sight, level: f64, height: f64) -> f64 {
    let one = match sight.kind {
        Kind::Count { noise } => noise * (-height).exp(),
        Kind::Level { .. } => level,
    };
    (one / sight.requests).max(ERROR_MIN * ERROR_MIN)
}

fn weight(own: f64, parting: f64) -> f64 {
    1.0 / (own + parting * parting)
}

/// Returns the noise of levels, pooled over the runs that know it.
fn noise(sights: &[Sight]) -> f64 {
    let known = sights.iter().filter_map(|sight| match sight.kind {
        Kind::Count { .. } => None,
        Kind::Level { noise } => Some((noise? * sight.requests, sight.requests)),
    });
    let (squares, requests) = known.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    if requests > 0.0 { squares / requests } else { NOISE }
}

#[cfg(test)]
mod tests {
    use infermark_terms::Seed;

    use super::*;

    fn normal(seed: Seed, index: u64) -> f64 {
        let uniform = |i| seed.at(2 * index + i).unit();
        (-2.0 * (1.0 - uniform(0)).ln()).sqrt() * (std::f64::consts::TAU * uniform(1)).cos()
    }

    fn sight(at: f64, height: f64, error: f64) -> Sight {
        let kind = Kind::Level { noise: Some(error * error * 100.0) };
        Sight { at, ratio: height.exp(), kind, requests: 100.0 }
    }

    /// Of 2000 lines through 12 noisy sights, how many hold the crossing within their band.
    fn covered(noise: f64, told: f64) -> usize {
        let holds = |seed: &u64| {
            let place = |i: u32| 1.0 + 0.03 * (f64::from(i) - 5.5) / 5.5;
            let height =
                |i: u32| 6.0 * (place(i) - 1.0) + noise * normal(Seed(*seed), u64::from(i));
            let sights: Vec<_> = (0..12).map(|i| sight(place(i), height(i), told)).collect();
            let (height, reach) = Line::through(&sights).unwrap().at(1.0);
            height.abs() < reach
        };
        (0..2000).filter(holds).count()
    }

    #[test]
    fn the_band_of_a_line_holds_its_crossing() {
        // Of 95 %, 1900 hold it, with a standard deviation of 10.
        let (right, narrow, wide) = (covered(0.05, 0.05), covered(0.1, 0.05), covered(0.05, 0.1));
        assert!(right >= 1880, "{right}");
        assert!((1870..=1930).contains(&narrow), "twice as far off as they say: {narrow}");
        assert!(wide >= right, "half as far off as they say: {wide}");
    }

    #[test]
    fn a_curve_far_away_does_not_bend_the_line() {
        let height = |at: f64| 5.0 * (at - 1.0) + 8.0 * (at - 1.0) * (at - 1.0);
        let places = [0.6, 0.8, 0.97, 0.98, 1.0, 1.01, 1.02, 1.03, 1.4];
        let line = Line::through(&places.map(|at| sight(at, height(at), 0.01))).unwrap();
        let root = line.root().unwrap();
        assert!((root - 1.0).abs() < 0.003, "{root}");
        assert!(line.reach().unwrap() < 0.01, "{line:?}");
    }

    #[test]
    fn what_does_not_rise_has_heights_and_no_crossing() {
        let falling = Line::through(&[0.0, 1.0].map(|at| sight(at, -1.0 - at, 0.1))).unwrap();
        assert_eq!(falling.root(), None);
        let wavering =
            [0.0, 0.2, 0.4, 0.6, 0.8, 1.0].map(|at| sight(at, -1.0 - 0.1 * at * at, 0.1));
        let (height, reach) = Line::through(&wavering).unwrap().at(0.5);
        assert!(height + reach < 0.0, "plainly under: {height} ± {reach}");
    }

    #[test]
    fn few_runs_say_nothing_of_how_they_scatter_and_one_load_says_nothing() {
        let few = [-0.05, 0.0, 0.05].map(|at| sight(at, 6.0 * at, 0.1));
        assert!(Line::through(&few).unwrap().reach().unwrap().is_infinite());
        assert_eq!(Line::through(&[sight(1.0, 0.5, 0.1), sight(1.0, 0.4, 0.1)]), None);
    }

    #[test]
    fn the_mean_of_counts_follows_the_line_and_not_that_of_their_logarithms() {
        // At each load four runs without any exception and one with five times the mean.
        let at = |place: f64| (0..5).map(move |run| (place, run));
        let sights: Vec<_> = [-0.05, 0.0, 0.05]
            .into_iter()
            .flat_map(at)
            .map(|(place, run)| {
                let ratio = if run == 0 { 5.0 * (20.0 * place).exp() } else { 0.0 };
                let kind = Kind::Count { noise: 99.0 };
                Sight { at: place, ratio, kind, requests: 400.0 }
            })
            .collect();
        let root = Line::through(&sights).unwrap().root().unwrap();
        assert!(root.abs() < 0.01, "{root}");
    }
}
