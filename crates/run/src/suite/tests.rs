//! Suites against the embedded engine over loopback, whose latencies are known.

use std::path::Path;

use infermark_drive::Stop;
use infermark_measure::{Decision, LoadPlan, Verdict};
use infermark_scenario::suite::parse_suite;
use infermark_scenario::{Given, Resolved, resolve, settings};
use infermark_terms::{Seed, Trust};
use serde_json::json;

use super::*;
use crate::hub::Shelf;
use crate::study::{Kind, Order, Study, StudyOptions, Virtual};
use crate::{Watch, rule};

/// 20 ms to the first token, and about 90 ms for an answer: so slow that only a machine that stalls
/// for seconds changes which of two loads gets more done.
const ENGINE: &str = "sim:ttft=20ms,itl=10ms";

/// The least and the greatest value are facts: they are decided however busy this machine is.
const SUITE: &str = "\
suite: small
title: Small
targets: several
scenario: {input_tokens: 16, output_tokens: 8, requests: 40}
workloads:
  - name: one
    loads: [{concurrency: 1, requests: 12}, {concurrency: 4}]
    checks:
      - {name: within, slo: 'ttft:min<=1s,e2e:min<=5s', at: any}
      - {name: beyond, slo: 'ttft:max<=1ms', at: any}
      - {name: unknown, slo: 'ttft:p99<=1s', at: concurrency 1}
      - {name: all, slo: failure_rate<=0%}
      - {name: many, min_requests: 40, at: concurrency 4}
      - {name: not so many, min_requests: 40, at: every}
      - {name: long, min_duration: 1h, at: concurrency 4}
      - {name: early, early_stopping: 'e2e:p90<=5s', at: concurrency 1}
      - {name: late, early_stopping: 'e2e:p90<=1ms', at: concurrency 1}
references:
  - name: theirs
    tolerance: 50%
    claims:
      - {workload: one, at: concurrency 4, figures: 'ttft:max<=1.2ms'}
      - {workload: one, at: concurrency 4, figures: 'ttft:min<=1s'}
";

fn told(targets: &[(&str, &str)], reference: Option<&str>, length: Length) -> Told {
    let named = |(name, target): &(&str, &str)| NamedTarget {
        name: (*name).to_owned(),
        target: (*target).to_owned(),
    };
    Told {
        path: PathBuf::from("small.yaml"),
        text: SUITE.to_owned(),
        length,
        targets: targets.iter().map(named).collect(),
        reference: reference.map(str::to_owned),
    }
}

/// A study whose points are trusted so far, however busy this machine was, and saturated above a
/// rate; below 0 nothing finishes at all.
struct Trusted<'a>(Study<'a>, Trust, f64);

impl Rig for Trusted<'_> {
    fn base(&self) -> &Resolved {
        self.0.base()
    }

    fn take(&mut self, order: &Order) -> Result<Taken, RunError> {
        let mut taken = self.0.take(order)?;
        if self.2 < 0.0 {
            taken.point.rates = None;
        }
        taken.point.saturated |= rate(order).is_some_and(|rate| rate > self.2);
        taken.point.trust = Verdict { verdict: self.1, caveats: Vec::new() };
        Ok(taken)
    }
}

fn outcome(told: &Told, users: &[Given], trust: Trust) -> (Validation, Vec<serde_json::Value>) {
    outcome_up_to(f64::INFINITY, told, users, trust)
}

/// Returns the rate that is asked for.
fn rate(order: &Order) -> Option<f64> {
    let (_, text) = order.changes.iter().find(|(setting, _)| **setting == settings::RATE)?;
    text.trim_end_matches("/s").parse().ok()
}

/// As [`outcome`], of a target that is called saturated above this rate.
fn outcome_up_to(
    capacity: f64,
    told: &Told,
    users: &[Given],
    trust: Trust,
) -> (Validation, Vec<serde_json::Value>) {
    let root = tempfile::tempdir().unwrap();
    let suite = parse_suite(Path::new("small.yaml"), &told.text).unwrap();
    let target = Given::flag(&settings::TARGET, ENGINE);
    let base = resolve([users, &[target]].concat(), Seed(3)).unwrap();
    let options = StudyOptions {
        secrets: &|_| None,
        stop: Stop::default(),
        watch: Watch::default(),
        calibration: None,
        shelf: Shelf::default(),
        tell: &|_| (),
    };
    let dir = root.path().join("study");
    let study = Study::create(&dir, Kind::Validate, json!(told), &base, options).unwrap();
    let mut study = Trusted(study, trust, capacity);
    let judge = |taken: &Taken, slos: &[Slo]| {
        rule(&dir.join(taken.record.as_ref().unwrap()), &taken.point, slos)
    };
    let validation = validate(&mut study, &judge, &suite, told).unwrap();
    let studied = study.0.finish(serde_json::Map::new()).unwrap();
    (validation, studied.header.points)
}

#[test]
fn every_kind_of_line_passes_fails_or_stays_undecided() {
    let (validation, points) =
        outcome(&told(&[], Some("theirs"), Length::Whole), &[], Trust::Sound);
    let verdicts: Vec<_> =
        validation.lines.iter().map(|line| (line.name.as_str(), line.verdict)).collect();
    assert_eq!(
        verdicts,
        [
            ("within", Passed::Pass),
            ("beyond", Passed::Fail),
            ("unknown", Passed::Undecided),
            ("all", Passed::Pass),
            ("many", Passed::Pass),
            ("not so many", Passed::Fail),
            ("long", Passed::Fail),
            // 12 are within the limit, and 44 must be.
            ("early", Passed::Undecided),
            ("late", Passed::Fail),
            ("theirs", Passed::Fail),
            ("theirs", Passed::Pass),
        ]
    );
    assert_eq!(validation.verdict, Passed::Fail);
    let line = |name: &str| validation.lines.iter().find(|line| line.name == name).unwrap();
    // Four slots do more than one, so that is the greatest load at which it holds.
    assert_eq!(line("within").load.as_deref(), Some("concurrency 4"));
    assert_eq!(line("not so many").load.as_deref(), Some("concurrency 1"));
    assert_eq!(line("early").rulings[0].more_requests, Some(32));
    let labels: Vec<_> = points.iter().map(|point| point["label"].clone()).collect();
    assert_eq!(labels, ["concurrency 1", "concurrency 4"]);
    assert_eq!(points[0]["changed"]["input_tokens"], "16");
    let again: Validation = serde_json::from_value(json!(validation)).unwrap();
    assert_eq!(json!(again), json!(validation), "what was written is what is read");
}

#[test]
fn of_points_that_nobody_vouches_for_nothing_can_be_said() {
    let (validation, _) = outcome(&told(&[], None, Length::Quick), &[], Trust::Void);
    assert!(validation.lines.iter().all(|line| line.verdict == Passed::Undecided));
    assert!(validation.lines[0].detail.as_ref().unwrap().contains("void"));
}

#[test]
fn what_the_user_says_takes_the_place_of_what_the_suite_says() {
    let users = [Given::flag(&settings::OUTPUT_TOKENS, "3")];
    let (validation, points) = outcome(&told(&[], None, Length::Quick), &users, Trust::Sound);
    assert_eq!(validation.overridden, ["output_tokens"]);
    assert_eq!(points[0]["tokens"]["output_mean"], 3.0);
    assert_eq!(points[0]["changed"]["drain"], "30s", "since it is quick");
    assert!(validation.lines.iter().all(|line| line.kind == LineKind::Check));
}

#[test]
fn what_a_suite_says_of_quickness_takes_the_place_of_what_is_cut_short_otherwise() {
    let text = SUITE
        .replace("{concurrency: 4}", "{concurrency: 4, duration: 1m}, {throughput: yes}")
        .replace("workloads:", "quick: {duration: 5s, drain: 2m, warmup: 1s}\nworkloads:");
    let told = Told { text, ..told(&[], None, Length::Quick) };
    let suite = parse_suite(Path::new("small.yaml"), &told.text).unwrap();
    let base = resolve(vec![Given::flag(&settings::TARGET, ENGINE)], Seed(3)).unwrap();
    for resolved in scenarios(&base, &suite, &told).unwrap() {
        let bounds = resolved.scenario.bounds;
        let spans = [bounds.duration, Some(bounds.drain), Some(bounds.warmup)];
        assert_eq!(spans.map(|span| span.unwrap().0 / 1_000_000_000), [5, 120, 1]);
    }
}

#[test]
fn what_the_user_says_instead_of_a_load_or_a_quick_setting_is_told_too() {
    let text = SUITE.replace("{concurrency: 4}", "{concurrency: 4, stream: yes}");
    let text = text.replace("workloads:", "quick: {tokenizer: none}\nworkloads:");
    let overridden = |length| {
        let told = Told { text: text.clone(), ..told(&[], None, length) };
        let suite = parse_suite(Path::new("small.yaml"), &told.text).unwrap();
        let given = [
            Given::flag(&settings::TARGET, ENGINE),
            Given::flag(&settings::STREAM, "no"),
            Given::flag(&settings::TOKENIZER, "none"),
            Given::flag(&settings::THREADS, "1"),
        ];
        Script::new(&resolve(given.to_vec(), Seed(3)).unwrap(), &suite, &told).overridden()
    };
    assert_eq!(overridden(Length::Whole), ["stream"], "the quick settings are not in play");
    assert_eq!(overridden(Length::Quick), ["stream", "tokenizer"]);
}

#[test]
fn the_faster_of_two_targets_wins() {
    let targets = [("slow", "sim:ttft=2ms,itl=40ms"), ("fast", ENGINE)];
    let (validation, points) = outcome(&told(&targets, None, Length::Whole), &[], Trust::Sound);
    assert_eq!(points.len(), 4);
    assert_eq!(points[3]["label"], "fast · concurrency 4");
    let contest = &validation.contests[0];
    assert_eq!(contest.winner, Some(1));
    assert!(contest.peaks[1] > contest.peaks[0]);
    assert_eq!(contest.rows.len(), 2);
    let both = contest.rows.iter().all(|row| row.cells.iter().all(Option::is_some));
    assert!(both, "every target under every load");
    assert_eq!(validation.lines.len(), 18);
}

/// A suite that searches: answers within a limit that any engine keeps, or none does.
/// Returns what came of it, and the rates of the trials.
fn peak(limit: &str, capacity: f64) -> (Validation, Vec<f64>) {
    let text = format!(
        "suite: p\ntitle: P\nscenario: {{input_tokens: 16, output_tokens: 4, duration: 1s}}\n\
         quick: {{requests: 10}}\nworkloads:\n  - name: w\n    loads: [{{peak: 50%}}]\n    \
         checks:\n      - {{name: within, slo: 'e2e:max<={limit}', at: peak}}\n      \
         - {{name: long, min_duration: 1h, at: peak}}\n"
    );
    let told = Told { text, ..told(&[], None, Length::Quick) };
    let (validation, points) = outcome_up_to(capacity, &told, &[], Trust::Sound);
    let labels: Vec<_> = points.iter().map(|p| p["label"].as_str().unwrap().to_owned()).collect();
    assert_eq!(labels[0], "search at throughput");
    let searched = labels[1..labels.len() - 1].iter();
    let rate = |label: &String| label.strip_prefix("search at ")?.strip_suffix("/s")?.parse().ok();
    let rates = searched.map(|label| rate(label).expect("a trial at a rate"));
    assert!(labels.last().is_some_and(|label| label.starts_with("peak at ")));
    assert!(validation.groups[0].points.len() == 1, "trials are not the workload's points");
    (validation, rates.collect())
}

#[test]
fn a_search_ends_at_the_highest_rate_that_holds() {
    let (easy, rates) = peak("100s", f64::INFINITY);
    let verdicts: Vec<_> = easy.lines.iter().map(|line| line.verdict).collect();
    // That it was too short is no reason for a lower rate, and of a quick one no failure.
    assert_eq!(verdicts, [Passed::Pass, Passed::Undecided]);
    assert!(easy.lines[1].detail.as_ref().unwrap().ends_with("quick, cut short"));
    // Nothing gave way at the rate of what was asked for at once, so the rate went up.
    assert!(rates.len() > 1 && rates.windows(2).all(|pair| pair[1] > 1.9 * pair[0]), "{rates:?}");
    let (hard, rates) = peak("1ns", f64::INFINITY);
    assert_ne!(hard.lines[0].verdict, Passed::Pass);
    assert!(rates.windows(2).all(|pair| pair[1] < pair[0]), "{rates:?}");
}

#[test]
fn where_nothing_finishes_no_peak_is_asked_for_and_its_lines_stay_undecided() {
    let text = "suite: p\ntitle: P\nscenario: {input_tokens: 16, output_tokens: 4}\n\
                workloads:\n  - name: w\n    loads: [{peak: 50%, requests: 10}]\n    \
                checks:\n      - {name: within, slo: 'e2e:max<=1s', at: peak}\n";
    let told = Told { text: text.to_owned(), ..told(&[], None, Length::Quick) };
    let (validation, points) = outcome_up_to(-1.0, &told, &[], Trust::Sound);
    let labels: Vec<_> = points.iter().map(|point| &point["label"]).collect();
    assert_eq!(labels, ["search at throughput"]);
    let line = &validation.lines[0];
    assert_eq!((line.verdict, line.load.as_deref()), (Passed::Undecided, None));
    assert_eq!(line.detail.as_deref(), Some("no such point was measured"));
}

/// A rig that keeps the labels of what is ordered.
struct Labelled(Virtual, Vec<String>);

impl Rig for Labelled {
    fn base(&self) -> &Resolved {
        self.0.base()
    }

    fn take(&mut self, order: &Order) -> Result<Taken, RunError> {
        self.1.push(order.label.clone());
        self.0.take(order)
    }
}

/// Searches for a peak in virtual time where trials hold up to 50/s. Of whole runs at a rate,
/// `whole` says what becomes of the bound, and what share lies beyond it. Returns the rates of the
/// whole runs, and what came of it.
fn lowered(whole: fn(f64) -> (Decision, f64), length: Length) -> (Vec<f64>, Validation) {
    let text = "suite: p\ntitle: P\n\
                scenario: {input_tokens: 16, output_tokens: 4, requests: 2000}\n\
                quick: {requests: 60}\nworkloads:\n  - name: w\n    loads: [{peak: 10%}]\n    \
                checks:\n      - {name: within, slo: 'e2e:p99<=1s', at: peak}\n";
    let told = Told { text: text.to_owned(), ..told(&[], None, length) };
    let suite = parse_suite(Path::new("p.yaml"), text).unwrap();
    let target = Given::flag(&settings::TARGET, "sim:llama-3.1-8b@h100");
    let mut rig = Labelled(Virtual::new(resolve(vec![target], Seed(3)).unwrap()), Vec::new());
    let judge = |taken: &Taken, slos: &[Slo]| {
        let LoadPlan::Open { rate_rps, .. } = taken.point.load else { panic!("{taken:?}") };
        let (verdict, beyond) = match (taken.label.starts_with("peak"), rate_rps <= 50.0) {
            (true, _) => whole(rate_rps),
            (false, true) => (Decision::Met, 0.0),
            (false, false) => (Decision::Missed, 0.0),
        };
        let ruling = |slo: &Slo| Ruling {
            bound: slo.bounds()[0],
            value: None,
            ci95: [None; 2],
            beyond: Some(beyond),
            verdict,
            margin: None,
            more_requests: None,
        };
        Ok(slos.iter().map(|slo| vec![ruling(slo)]).collect())
    };
    let validation = validate(&mut rig, &judge, &suite, &told).unwrap();
    let rate = |label: &String| label.strip_prefix("peak at ")?.strip_suffix("/s")?.parse().ok();
    (rig.1.iter().filter_map(rate).collect(), validation)
}

#[test]
fn a_peak_that_does_not_hold_for_as_long_as_is_asked_is_lowered() {
    let up_to_37 = |rate| if rate <= 37.0 { (Decision::Met, 0.0) } else { (Decision::Missed, 0.1) };
    let (rates, validation) = lowered(up_to_37, Length::Whole);
    let (found, tried) = rates.split_last().unwrap();
    assert!((1..=3).contains(&tried.len()) && tried.iter().all(|&rate| rate > 37.0), "{rates:?}");
    assert!(33.0 < *found && *found <= 37.0, "{rates:?}");
    let [(place, label)] = &validation.groups[0].points[..] else { panic!("{validation:?}") };
    assert_eq!((label.as_str(), validation.verdict), ("peak", Passed::Pass));
    assert!(validation.rests_on(*place) && !validation.rests_on(0));
    assert!(validation.trust.is_some());
    let runs = |found, length| lowered(found, length).0.len();
    assert_eq!(runs(|_| (Decision::Missed, 0.1), Length::Whole), 4);
    assert_eq!(runs(|_| (Decision::Undecided, 0.009), Length::Whole), 4);
    // Fewer requests decide no better.
    assert_eq!(runs(|_| (Decision::Undecided, 0.0), Length::Whole), 1);
    // What is quick proves nothing, so that there is nothing to prove.
    assert_eq!(runs(|_| (Decision::Missed, 0.1), Length::Quick), 1);
}

#[test]
fn a_trial_that_ends_saturated_holds_nothing() {
    let (_, rates) = peak("100s", 0.0);
    assert!(rates.windows(2).all(|pair| pair[1] < pair[0]), "{rates:?}");
}
