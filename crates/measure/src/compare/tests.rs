//! Comparisons against laws, and against what was planted.

use infermark_terms::{Nanos, OutputPolicy, RequestRow, Stamp, Usage};

use super::contrast::Totals;
use super::*;
use crate::tests::{Noise, row};
use crate::{Build, LoadPlan, PointPlan, WindowPlan, WindowSearch};

const QUICK: Settings = Settings {
    floor: 0.02,
    share_floor: 0.001,
    permutations: 499,
    alpha: 0.05,
    requests: Requests::Alike,
};

/// A closed loop of one whose answers of 11 tokens take as long as the noise says.
fn rows(count: u64, slowdown: f64, noise: &mut Noise) -> Vec<RequestRow> {
    let mut at = Stamp::ZERO;
    (0..count)
        .map(|id| {
            let ttft = Nanos((1e8 * (0.5 + noise.exponential())) as u64);
            let tpot = 1e7 * slowdown * (0.8 + 0.4 * noise.uniform());
            let first = at + ttft;
            let last = first + Nanos((10.0 * tpot) as u64);
            let usage = Usage {
                prompt_tokens: 8,
                completion_tokens: 11,
                cached_tokens: None,
                reasoning_tokens: None,
            };
            let made = RequestRow {
                due: at,
                sent: Some(at),
                first_token: Some(first),
                last_token: Some(last),
                end: last,
                usage: Some(usage),
                ..row(id)
            };
            at = last;
            made
        })
        .collect()
}

fn observed(rows: &[RequestRow]) -> Observations {
    Observations::of(&plan(), rows, [])
}

fn plan() -> PointPlan {
    PointPlan {
        load: LoadPlan::Closed { concurrency: 1 },
        window: WindowPlan::Whole { start: Stamp::ZERO },
        output_policy: OutputPolicy::Exact,
        build: Build::Release,
        gpus: None,
        slo: infermark_terms::Slo::default(),
        search: WindowSearch::Given,
    }
}

fn pair(seed: u64, count: u64, slowdown: f64) -> [Observations; 2] {
    let mut noise = Noise::new(seed);
    [1.0, slowdown].map(|slowdown| observed(&rows(count, slowdown, &mut noise)))
}

fn together(one: &[Observations], other: &[Observations]) -> Comparison {
    compare(&usual_figures(one, other), one, other, QUICK)
}

fn compared([one, other]: &[Observations; 2]) -> Vec<Finding> {
    together(std::slice::from_ref(one), std::slice::from_ref(other)).findings
}

fn of<'a>(findings: &'a [Finding], figure: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.figure.to_string() == figure).expect(figure)
}

#[test]
fn the_usual_figures_are_comparable_and_read_back() {
    let [one, other] = pair(8, 100, 1.0);
    let figures = usual_figures(&[one], &[other]);
    // The rows have no chunks: gaps between chunks stand in, and are not there either.
    assert_eq!(figures.len(), 5 * 4 + 3);
    for figure in figures {
        assert!(is_comparable(figure));
        assert_eq!(figure.to_string().parse(), Ok(figure));
    }
}

#[test]
fn a_point_is_the_same_as_itself() {
    let [one, _] = pair(1, 4000, 1.0);
    let findings = compared(&[one.clone(), one]);
    for finding in &findings {
        assert!((finding.baseline - finding.candidate).abs() < f64::EPSILON);
        assert!([Standing::Same, Standing::CannotTell].contains(&finding.verdict), "{finding:?}");
    }
    assert_eq!(of(&findings, "tpot:mean").verdict, Standing::Same);
    assert_eq!(of(&findings, "failure_rate").verdict, Standing::Same);
}

#[test]
fn what_was_planted_is_found_where_it_is_and_nowhere_else() {
    let findings = compared(&pair(2, 3000, 1.05));
    for figure in ["tpot:mean", "tpot:p50", "tpot:p90", "tpot:p99"] {
        let finding = of(&findings, figure);
        assert_eq!(finding.verdict, Standing::Worse, "{finding:?}");
        let [low, high] = finding.change_ci95.map(|end| end.unwrap());
        assert!(low < 0.05 && 0.05 < high && high - low < 0.08, "{finding:?}");
    }
    for figure in ["ttft:mean", "ttft:p99", "requests_per_s"] {
        assert_eq!(of(&findings, figure).verdict, Standing::CannotTell, "{figure}");
    }
}

#[test]
fn exchanging_the_sides_turns_each_finding_round() {
    let [one, other] = pair(3, 400, 1.10);
    let there = compared(&[one.clone(), other.clone()]);
    let back = compared(&[other, one]);
    for (there, back) in there.iter().zip(&back) {
        let turned = match back.verdict {
            Standing::Better => Standing::Worse,
            Standing::Worse => Standing::Better,
            same @ (Standing::Same | Standing::CannotTell) => same,
        };
        assert_eq!(there.verdict, turned, "{there:?} {back:?}");
        assert_eq!((there.baseline, there.candidate), (back.candidate, back.baseline));
    }
    assert_eq!(of(&there, "tpot:mean").verdict, Standing::Worse);
}

/// Counts how often a planted slowdown's interval holds it, and how often nothing is called
/// different where nothing is.
#[test]
fn all_intervals_hold_together_and_a_slowdown_is_found() {
    let (mut quiet, mut held, mut found) = (0, 0, 0);
    // Two percentiles of each latency less than usual, which are the slowest to compare.
    let is_quick =
        |figure: &Subject| !matches!(figure, Subject::Latency(_, Statistic::P90 | Statistic::P50));
    let compared = |[one, other]: [Observations; 2]| {
        let (one, other) = ([one], [other]);
        let figures: Vec<_> = usual_figures(&one, &other).into_iter().filter(is_quick).collect();
        compare(&figures, &one, &other, QUICK).findings
    };
    for seed in 0..20 {
        let findings = compared(pair(100 + seed, 300, 1.0));
        let called = |f: &&Finding| [Standing::Better, Standing::Worse].contains(&f.verdict);
        quiet += usize::from(!findings.iter().any(|f| called(&f)));
        let findings = compared(pair(500 + seed, 300, 1.05));
        let tpot = of(&findings, "tpot:mean");
        let [low, high] = tpot.change_ci95.map(|end| end.unwrap());
        held += usize::from(low <= 0.05 && 0.05 <= high);
        found += usize::from(tpot.verdict == Standing::Worse);
    }
    // 95 % of 20 is 19, less 2 standard deviations. A single figure's interval is wider.
    assert!(quiet >= 17 && held >= 19 && found >= 19, "{quiet} {held} {found}");
}

/// The rows of two runs that were asked the same: what a request takes is its own, and what each
/// run adds to it small.
fn same_requests(seed: u64, slowdown: f64) -> [Vec<RequestRow>; 2] {
    let mut noise = Noise::new(seed);
    let asked = rows(120, 1.0, &mut noise);
    [1.0, slowdown].map(|slowdown| {
        let mut answered = asked.clone();
        for row in &mut answered {
            let (first, last) = (row.first_token.unwrap(), row.last_token.unwrap());
            let took = last.since(first).0 as f64 * slowdown * (0.98 + 0.04 * noise.uniform());
            row.last_token = Some(first + Nanos(took as u64));
            row.end = first + Nanos(took as u64);
        }
        answered
    })
}

#[test]
fn the_same_requests_show_what_others_would_hide() {
    let same = Settings { requests: Requests::Same, ..QUICK };
    let figure: Vec<Subject> = vec!["tpot:mean".parse().unwrap()];
    let found = |[one, other]: &[Vec<RequestRow>; 2], settings| {
        compare(&figure, &[observed(one)], &[observed(other)], settings)
    };
    let (mut quiet, mut held) = (0, 0);
    for seed in 0..40 {
        let slower = same_requests(seed, 1.05);
        let paired = found(&slower, same);
        assert_eq!(paired.unit, Unit::Pairs);
        assert_eq!(paired.findings[0].verdict, Standing::Worse, "{:?}", paired.findings[0]);
        let [low, high] = paired.findings[0].change_ci95.map(|end| end.unwrap());
        assert!(high - low < 0.03, "{low} {high}");
        held += usize::from(low <= 0.05 && 0.05 <= high);
        let apart = found(&slower, QUICK).findings[0].change_ci95.map(|end| end.unwrap());
        assert!(apart[1] - apart[0] > 2.0 * (high - low), "{apart:?}");
        let none = found(&same_requests(1000 + seed, 1.0), same).findings[0].change_ci95;
        let [low, high] = none.map(|end| end.unwrap());
        quiet += usize::from(low <= 0.0 && 0.0 <= high);
    }
    // 95 % of 40 is 38, less 2 standard deviations.
    assert!(quiet >= 35 && held >= 35, "{quiet} {held}");
}

#[test]
fn a_point_paired_with_itself_is_the_same_to_the_last_digit() {
    let [one, _] = pair(1, 4000, 1.0);
    let same = Settings { requests: Requests::Same, ..QUICK };
    let one = std::slice::from_ref(&one);
    for finding in compare(&usual_figures(one, one), one, one, same).findings {
        assert_eq!(finding.verdict, Standing::Same, "{finding:?}");
    }
}

#[test]
fn observations_of_some_requests_are_theirs_alone() {
    let mut noise = Noise::new(11);
    let all = rows(100, 1.0, &mut noise);
    let these = due_in_window(&plan(), &all).into_iter().filter(|id| id.0 < 60).collect();
    let some = Observations::of_these(&plan(), &all, [], &these);
    assert_eq!(some.series[&LatencyFigure::Tpot].count, 60);
    assert!((Totals::total(&some.failures).weight - 60.0).abs() < 1e-9);
    assert_eq!(some.tokens, observed(&all).tokens, "a rate is that of the window");
}

#[test]
fn several_points_share_the_probability_to_be_wrong() {
    let [one, other] = pair(6, 400, 1.0);
    let (one, other) = (std::slice::from_ref(&one), std::slice::from_ref(&other));
    let width = |alpha| {
        let settings = Settings { alpha, ..QUICK };
        let found = compare(&["tpot:mean".parse().unwrap()], one, other, settings);
        let [low, high] = found.findings[0].change_ci95.map(|end| end.unwrap());
        high - low
    };
    // Student's t with 38 degrees of freedom: 3.0 against 2.0.
    let ratio = width(0.005) / width(0.05);
    assert!((1.3..1.7).contains(&ratio), "{ratio}");
}

#[test]
fn repeats_are_judged_by_how_they_differ_among_themselves() {
    // Each run is steady in itself, and lies somewhere else: batches would see a difference.
    let side = |levels: [f64; 3], seed| {
        let mut noise = Noise::new(seed);
        levels.map(|level| observed(&rows(300, level, &mut noise)))
    };
    let scattered = together(&side([1.0, 1.1, 1.2], 1), &side([1.15, 1.25, 1.3], 2));
    assert_eq!(scattered.unit, Unit::Runs);
    assert_eq!(of(&scattered.findings, "tpot:mean").verdict, Standing::CannotTell);
    let apart = together(&side([1.0, 1.0, 1.0], 3), &side([1.3, 1.3, 1.3], 4));
    assert_eq!(of(&apart.findings, "tpot:mean").verdict, Standing::Worse);
}

#[test]
fn failures_are_compared_as_shares() {
    let mut noise = Noise::new(9);
    let good = rows(400, 1.0, &mut noise);
    let mut bad = good.clone();
    for failed in bad.iter_mut().step_by(8) {
        failed.outcome = infermark_terms::Outcome::Abandoned;
    }
    let findings = compared(&[observed(&good), observed(&bad)]);
    let rate = of(&findings, "failure_rate");
    assert_eq!((rate.change, rate.verdict), (Some(0.125), Standing::Worse));
    let none = compared(&[observed(&good), observed(&good)]);
    assert_eq!(of(&none, "failure_rate").change_ci95, [Some(-0.0075), Some(0.0075)]);
}

#[test]
fn too_few_requests_are_not_compared() {
    let findings = compared(&pair(4, 39, 1.5));
    assert!(
        findings.iter().all(|finding| !finding.figure.to_string().contains(':')),
        "{findings:?}"
    );
    let findings = compared(&pair(4, 60, 1.5));
    assert!(
        !findings.iter().any(|finding| finding.figure.to_string().ends_with("p99")),
        "{findings:?}"
    );
}
