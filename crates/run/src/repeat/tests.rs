//! The laws of repeating, and one study of repeats on the embedded engine.

use std::cell::RefCell;

use infermark_scenario::{Given, Resolved, resolve, settings};
use infermark_terms::Seed;

use super::*;
use crate::hub::Shelf;
use crate::study::{Ended, Kind, Study, StudyOptions, Virtual};
use crate::{Watch, study};

fn base(target: &str, requests: &str) -> Resolved {
    let given = vec![
        Given::flag(&settings::TARGET, target),
        Given::flag(&settings::CONCURRENCY, "2"),
        Given::flag(&settings::REQUESTS, requests),
        Given::flag(&settings::INPUT_TOKENS, "32"),
        Given::flag(&settings::OUTPUT_TOKENS, "3"),
    ];
    resolve(given, Seed(7)).unwrap()
}

/// Runs whose output rates are these, in turn.
struct Scripted {
    base: Resolved,
    point: Point,
    rates: Vec<f64>,
    taken: usize,
}

impl Scripted {
    fn new(rates: &[f64]) -> Self {
        let mut rig = Virtual::new(base("sim:ttft=2ms,itl=1ms", "6"));
        let order = Order { label: String::new(), changes: Vec::new(), early: Early::Never };
        let point = rig.take(&order).unwrap().point;
        Self { base: rig.base().clone(), point, rates: rates.to_vec(), taken: 0 }
    }
}

impl Rig for Scripted {
    fn base(&self) -> &Resolved {
        &self.base
    }

    fn take(&mut self, order: &Order) -> Result<Taken, RunError> {
        let mut point = self.point.clone();
        let rates = point.rates.as_mut().unwrap();
        rates.output_tokens_per_s = self.rates[self.taken % self.rates.len()];
        point.window.whole_run.as_mut().unwrap().end_s = 10.0;
        self.taken += 1;
        Ok(Taken::to_order(order, point, Ended::Whole, None))
    }
}

fn precise(share: f64) -> RepeatPlan {
    let figure = Subject::Level(Level::OutputTokensPerS);
    RepeatPlan { runs: RUNS_MAX, precision: Some(Precision { figure, share }) }
}

fn repeated(rates: &[f64], plan: &RepeatPlan) -> (usize, Vec<Forecast>) {
    let told = RefCell::new(Vec::new());
    let tell = |forecast: &Forecast| told.borrow_mut().push(*forecast);
    let taken = repeat(&mut Scripted::new(rates), plan, &tell).unwrap();
    (taken.len(), told.into_inner())
}

#[test]
fn as_many_runs_are_made_as_were_asked_for() {
    let plan = RepeatPlan { runs: 3, precision: None };
    assert_eq!(repeated(&[100.0, 200.0], &plan), (3, Vec::new()));
}

#[test]
fn a_precision_is_reached_by_the_runs_that_were_foretold() {
    // Alike at once: five runs are the least.
    assert_eq!(repeated(&[100.0, 100.1], &precise(0.02)), (RUNS_MIN as usize, Vec::new()));
    let (runs, told) = repeated(&[98.0, 102.0, 100.0, 97.0, 103.0], &precise(0.015));
    let first = told[0];
    assert_eq!((first.across.runs, first.across.mean), (5, 100.0));
    let foretold = first.runs.unwrap();
    assert!(runs as u64 <= foretold + 2 && runs as u64 + 2 >= foretold, "{runs}, {foretold}");
    assert_eq!(first.seconds, Some(10.0 * (foretold - 5) as f64));
    // What no number of runs that are allowed brings is told, and the runs end.
    let (runs, told) = repeated(&[50.0, 150.0], &precise(0.02));
    assert_eq!(runs, RUNS_MAX as usize);
    assert!(told[0].runs.unwrap() > 2_000);
}

#[test]
fn a_figure_that_runs_lack_ends_them() {
    let figure = Subject::Level(Level::OutputTokensPerSPerGpu);
    let plan = RepeatPlan { runs: 30, precision: Some(Precision { figure, share: 0.02 }) };
    assert_eq!(repeated(&[1.0], &plan).0, RUNS_MIN as usize);
}

#[test]
fn the_precision_is_of_what_the_load_leaves_open() {
    let closed = base("sim:ttft=2ms,itl=1ms", "6");
    assert_eq!(usual_figure(&closed.scenario.load).to_string(), "output_tokens_per_s");
    let open = vec![Given::flag(&settings::RATE, "5/s"), Given::flag(&settings::REQUESTS, "9")];
    let open = resolve(open, Seed(0)).unwrap();
    assert_eq!(usual_figure(&open.scenario.load).to_string(), "e2e:mean");
    for load in [&closed, &open] {
        assert!(is_repeatable(usual_figure(&load.scenario.load)));
    }
    assert!(!is_repeatable("ttft:p99".parse().unwrap()), "percentiles are pooled");
}

#[test]
fn runs_are_one_study_whose_percentiles_are_over_all_requests() {
    let root = tempfile::tempdir().unwrap();
    let plan = RepeatPlan { runs: 2, precision: None };
    let options = StudyOptions {
        secrets: &|_| None,
        stop: infermark_drive::Stop::default(),
        watch: Watch::default(),
        calibration: None,
        shelf: Shelf::default(),
        tell: &|_| (),
    };
    let base = base("sim:ttft=2ms,itl=1ms", "60");
    let mut rig = Study::create(root.path(), Kind::Repeat, json!(plan), &base, options).unwrap();
    let taken = repeat(&mut rig, &plan, &|_| ()).unwrap();
    let results = found(root.path(), &plan, &taken).unwrap();
    let studied = rig.finish(results).unwrap();
    assert_eq!(studied.kind(), Some(Kind::Repeat));
    let Outcome { repeated, precision } = outcome(&studied).unwrap();
    assert_eq!((repeated.runs, precision), (2, None));
    let own: Vec<_> = taken.iter().map(|t| t.point.latency.ttft_ms.unwrap()).collect();
    let pooled = repeated.latency.ttft_ms.unwrap();
    assert_eq!(pooled.n, own[0].n + own[1].n);
    assert!(pooled.p99.is_some() && own[0].p99.is_none(), "120 observations have one, 60 do not");
    assert!((pooled.min - own[0].min.min(own[1].min)).abs() < 1e-12);
    assert!((pooled.mean - f64::midpoint(own[0].mean, own[1].mean)).abs() < 1e-12);
    let gaps: u64 = taken.iter().map(|t| t.point.latency.itl_ms.map_or(0, |itl| itl.n)).sum();
    assert_eq!(repeated.latency.itl_ms.map_or(0, |itl| itl.n), gaps, "chunks are pooled too");
    assert_eq!(repeated.levels["requests_per_s"].runs, 2);
    let seeds: Vec<_> = studied.header.points.iter().map(|point| &point["seed"]).collect();
    assert_ne!(seeds[0], seeds[1]);
    assert_eq!(outcome(&study::read(root.path()).unwrap()), outcome(&studied));
}
