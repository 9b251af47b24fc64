//! One operating point measured several times: what runs say together.
//!
//! How runs differ among themselves no single one can show. So means and rates have Student's t
//! across runs; of percentiles "raw samples are pooled" (docs/metrics.md, section 5): the requests
//! of all runs become one population, run after run.
//!
//! Deliberately not here: how many runs there are, and their records.

use std::collections::BTreeMap;

use infermark_terms::slo::{Level, Statistic, Subject};
use infermark_terms::{ChunkRow, Nanos, RequestId, RequestRow, Stamp};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::{Estimate, Interval, Latency, Point, PointPlan, WindowPlan, WindowSearch, measure};

/// The levels whose mean over runs is given, as far as each run has them.
const LEVELS: [Level; 10] = [
    Level::RequestsPerS,
    Level::InputTokensPerS,
    Level::OutputTokensPerS,
    Level::TotalTokensPerS,
    Level::OutputTokensPerSPerUser,
    Level::OutputTokensPerSPerGpu,
    Level::GoodputRps,
    Level::GoodputOutputTokensPerS,
    Level::GoodShare,
    Level::FailureRate,
];

/// More runs than this are not forecast.
const RUNS_MAX: u64 = 10_000;

/// A figure of which each run gives one value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Across {
    /// Runs.
    pub runs: u64,
    /// The mean of their values.
    pub mean: f64,
    /// Its 95 % interval: Student's t; absent of a single run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci95: Option<Interval>,
}

impl Across {
    /// Returns the mean of these values and its interval; nothing without any.
    pub fn of(values: &[f64]) -> Option<Self> {
        let runs = values.len() as u64;
        let mean = values.iter().sum::<f64>() / runs as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let half = (runs > 1).then(|| {
            let variance = squares / (runs - 1) as f64;
            t_975(runs) * (variance / runs as f64).sqrt()
        });
        (runs > 0).then_some(Self { runs, mean, ci95: half.map(|h| [mean - h, mean + h]) })
    }

    /// Returns half the width of the interval as a share of the mean; absent where there is no
    /// interval, or the mean is 0.
    pub fn precision(&self) -> Option<f64> {
        let [low, high] = self.ci95.filter(|_| self.mean != 0.0)?;
        Some((high - low) / 2.0 / self.mean.abs())
    }

    /// Returns how many runs in all it takes for the interval to be so narrow, should runs go on
    /// to differ as they did. Nothing where no number up to 10,000 does, or nobody can know.
    pub fn runs_for(&self, precision: f64) -> Option<u64> {
        let spread = self.precision()? * (self.runs as f64).sqrt() / t_975(self.runs);
        (self.runs..=RUNS_MAX)
            .find(|&runs| t_975(runs) * spread / (runs as f64).sqrt() <= precision)
    }
}

/// The two-sided 95 % point of Student's t over so many runs, at least two.
fn t_975(runs: u64) -> f64 {
    let t = StudentsT::new(0.0, 1.0, (runs - 1) as f64).expect("there are at least two runs");
    t.inverse_cdf(0.975)
}

/// What several runs of one operating point say together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repeated {
    /// How many runs.
    pub runs: u64,
    /// Latencies: percentiles and extremes over the requests of all runs, means over the runs'.
    pub latency: Latency,
    /// Rates and shares by the names that objectives know them by: means over the runs'.
    pub levels: BTreeMap<String, Across>,
}

impl Repeated {
    /// Says what these points say together; `pooled` are the latencies over the requests of all.
    pub fn of(points: &[Point], pooled: Latency) -> Self {
        let mut latency = pooled;
        for (figure, estimate) in latency.each_mut() {
            *estimate = estimate.and_then(|pooled| {
                let across = across(points, Subject::Latency(figure, Statistic::Mean))?;
                let mean_ci95 = across.ci95.map(|ends| ends.map(|end| end.max(0.0)));
                Some(Estimate { mean: across.mean, mean_ci95, ..pooled })
            });
        }
        let levels = LEVELS.into_iter().map(Subject::Level);
        let levels = levels.filter_map(|level| Some((level.to_string(), across(points, level)?)));
        Self { runs: points.len() as u64, latency, levels: levels.collect() }
    }
}

/// Returns a figure over these points; nothing unless each has it.
pub fn across(points: &[Point], figure: Subject) -> Option<Across> {
    let values: Option<Vec<f64>> = points.iter().map(|point| point.value(figure)).collect();
    Across::of(&values?)
}

/// The requests of several runs as those of one.
#[derive(Clone, Debug, Default)]
pub struct Pooling {
    rows: Vec<RequestRow>,
    shifts: Vec<Shift>,
    /// Behind every request of the runs so far, those outside their windows too: their chunks come
    /// as well, and must not be taken for those of another run.
    next: Shift,
}

/// How the rows of one run were moved: behind those of the runs before it.
#[derive(Clone, Copy, Debug, Default)]
struct Shift {
    ids: u64,
    time: Nanos,
}

impl Shift {
    fn at(self, stamp: Stamp) -> Stamp {
        stamp + self.time
    }

    fn request(self, mut row: RequestRow) -> RequestRow {
        row.id = RequestId(row.id.0 + self.ids);
        (row.due, row.end) = (self.at(row.due), self.at(row.end));
        let stamps = [
            &mut row.connected,
            &mut row.sent,
            &mut row.first_byte,
            &mut row.first_token,
            &mut row.first_answer,
            &mut row.last_token,
        ];
        for stamp in stamps {
            *stamp = stamp.map(|stamp| self.at(stamp));
        }
        row
    }
}

impl Pooling {
    /// Adds the next run: of its rows those that were due in its window.
    pub fn add(&mut self, window: [Stamp; 2], requests: Vec<RequestRow>) {
        let shift = self.next;
        for row in &requests {
            self.next.ids = self.next.ids.max(shift.ids + row.id.0 + 1);
            self.next.time = self.next.time.max(shift.at(row.end).since(Stamp::ZERO));
        }
        let due = |row: &RequestRow| window[0] <= row.due && row.due < window[1];
        let rows = requests.into_iter().filter(due);
        self.rows.extend(rows.map(|row| shift.request(row)));
        self.shifts.push(shift);
    }

    /// Moves a chunk of a run, by its place among the runs that were added, as its request was.
    ///
    /// # Panics
    ///
    /// If there is no such run.
    pub fn chunk(&self, run: usize, mut chunk: ChunkRow) -> ChunkRow {
        let shift = self.shifts[run];
        chunk.request = RequestId(chunk.request.0 + shift.ids);
        chunk.at = shift.at(chunk.at);
        chunk
    }

    /// Returns the latencies over all requests that were added. `chunks` are theirs, run after
    /// run, as [`chunk`](Self::chunk) moved them; `plan` is that of any of the runs.
    pub fn latency(&self, plan: &PointPlan, chunks: impl IntoIterator<Item = ChunkRow>) -> Latency {
        let window = WindowPlan::Whole { start: Stamp::ZERO };
        let plan = PointPlan { window, search: WindowSearch::Given, ..plan.clone() };
        measure(&plan, &self.rows, chunks).latency
    }
}

#[cfg(test)]
mod tests {
    use infermark_terms::ChunkKind;

    use super::*;
    use crate::tests::{Noise, row};

    #[test]
    fn the_interval_across_runs_is_students() {
        let across = Across::of(&[10.0, 11.0, 11.5, 12.5, 15.0]).unwrap();
        let [low, high] = across.ci95.unwrap();
        let deviation = ((4.0 + 1.0 + 0.25 + 0.25 + 9.0) / 4.0_f64).sqrt();
        let half = 2.776_445 * deviation / 5_f64.sqrt();
        assert!((across.mean - 12.0).abs() < 1e-12);
        assert!((high - 12.0 - half).abs() < 1e-5 && (12.0 - low - half).abs() < 1e-5);
        assert!((across.precision().unwrap() - half / 12.0).abs() < 1e-6);
        assert_eq!(Across::of(&[3.0]).unwrap().ci95, None);
        assert_eq!(Across::of(&[]), None);
    }

    #[test]
    fn chunks_of_requests_outside_a_window_are_nobodys_in_the_runs_after_it() {
        let window = [Stamp::ZERO, Stamp(1_000)];
        let due = |id, at| RequestRow { due: Stamp(at), end: Stamp(at + 5_000), ..row(id) };
        let mut pooling = Pooling::default();
        for _ in 0..2 {
            pooling.add(window, vec![due(0, 0), due(1, 500), due(2, 2_000), due(3, 2_500)]);
        }
        let ids: Vec<_> = pooling.rows.iter().map(|row| row.id.0).collect();
        assert_eq!(ids, [0, 1, 4, 5]);
        let chunk = |request| ChunkRow {
            request: RequestId(request),
            at: Stamp(6_000),
            kind: ChunkKind::Answer,
            tokens: Some(1),
            text_bytes: 1,
            coalesced: false,
            read_delay: Nanos(0),
        };
        let owners = |run, request| pooling.chunk(run, chunk(request)).request.0;
        assert_eq!([0, 1, 2, 3].map(|id| owners(0, id)), [0, 1, 2, 3]);
        assert_eq!([0, 1, 2, 3].map(|id| owners(1, id)), [4, 5, 6, 7]);
        assert!(pooling.rows[2].due >= Stamp(7_500), "behind the end of the first run's last");
    }

    #[test]
    fn a_forecast_of_runs_is_the_least_that_suffices() {
        let across = Across::of(&[98.0, 99.0, 100.0, 101.0, 102.0]).unwrap();
        assert_eq!(across.runs_for(0.5), Some(5), "it is that narrow already");
        // s = 1.58 %: t₇·s/√8 = 1.322 %, t₈·s/√9 = 1.215 %.
        assert_eq!(across.runs_for(0.0125), Some(9));
        assert_eq!(across.runs_for(1e-9), None);
        assert_eq!(Across::of(&[5.0]).unwrap().runs_for(0.1), None);
        assert_eq!(Across::of(&[-1.0, 1.0]).unwrap().precision(), None);
    }

    #[test]
    fn intervals_across_runs_hold_the_truth_95_times_in_100() {
        let mut noise = Noise::new(5);
        let mut run = || 100.0 + (0..12).map(|_| noise.uniform()).sum::<f64>() - 6.0;
        let hits = (0..1000)
            .filter(|_| {
                let values: Vec<f64> = (0..5).map(|_| run()).collect();
                let [low, high] = Across::of(&values).unwrap().ci95.unwrap();
                low <= 100.0 && 100.0 <= high
            })
            .count();
        assert!((936..=964).contains(&hits), "{hits} of 1000");
    }
}
