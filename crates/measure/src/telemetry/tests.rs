//! Laws of series and of what is read off them, and the doubts that follow.

use infermark_terms::{CaveatCode, Outcome, Phase, TransportFault, Trust};
use proptest::prelude::*;

use super::*;
use crate::details::{Bin, Timeline};
use crate::tests::{a_point, small_rows};
use crate::{Details, Limit, Point, observe};

fn secs(seconds: f64) -> Stamp {
    Stamp((seconds * 1e9).round() as u64)
}

fn span(start: f64, end: f64) -> Span {
    Span { start: secs(start), end: secs(end) }
}

fn said(source: &str, instance: &str, metric: Metric, values: &[(f64, f64)]) -> Vec<TelemetryRow> {
    let row = |&(at, value): &(f64, f64)| TelemetryRow {
        at: secs(at),
        source: source.to_owned(),
        instance: instance.to_owned(),
        metric,
        value,
        detail: String::new(),
    };
    values.iter().map(row).collect()
}

fn server(metric: Metric, values: &[(f64, f64)]) -> Vec<TelemetryRow> {
    said("http://s/metrics", "", metric, values)
}

fn collect(rows: impl IntoIterator<Item = Vec<TelemetryRow>>) -> Observations {
    Observations::collect(rows.into_iter().flatten())
}

#[test]
fn the_azure_studys_figures_are_read_off_the_samples() {
    let all = collect([
        server(Metric::PromptTokens, &[(0.0, 100.0), (1.0, 300.0), (2.0, 700.0), (4.0, 900.0)]),
        server(Metric::GenerationTokens, &[(0.0, 0.0), (4.0, 40.0)]),
        server(Metric::RequestsRunning, &[(0.0, 9.0), (1.0, 2.0), (2.0, 4.0), (4.0, 9.0)]),
        server(Metric::RequestsWaiting, &[(1.0, 0.0), (2.0, 7.0)]),
        server(Metric::KvUsage, &[(1.0, 0.5), (2.0, 0.25)]),
        server(Metric::PrefixQueryTokens, &[(0.0, 0.0), (4.0, 400.0)]),
        server(Metric::PrefixHitTokens, &[(0.0, 0.0), (4.0, 100.0)]),
        server(Metric::Preemptions, &[(0.0, 5.0), (1.0, 5.0), (2.0, 8.0), (4.0, 8.0)]),
        server(Metric::DraftTokens, &[(0.0, 0.0), (4.0, 8.0)]),
        server(Metric::AcceptedDraftTokens, &[(0.0, 0.0), (4.0, 6.0)]),
    ]);
    // At 0.5 s 100 of the prompt tokens were counted, at 3 s 700: in between along the line.
    let expected = Telemetry {
        prompt_tokens_per_s: Some((700.0 - 100.0) / 2.5),
        generation_tokens_per_s: Some(10.0),
        running_mean: Some(3.0),
        waiting_share: Some(0.5),
        waiting_mean: Some(3.5),
        waiting_max: Some(7),
        kv_usage_max: Some(0.5),
        prefix_hit_rate: Some(0.25),
        preemptions: Some(3),
        draft_acceptance: Some(0.75),
    };
    assert_eq!(all.server(span(0.5, 3.0)), Some(expected));
}

#[test]
fn what_was_not_sampled_on_both_sides_is_absent_and_never_zero() {
    let all = collect([
        server(Metric::PromptTokens, &[(1.0, 5.0), (2.0, 9.0)]),
        server(Metric::RequestsRunning, &[(9.0, 4.0)]),
    ]);
    for window in [span(0.5, 1.5), span(1.5, 2.5), span(3.0, 4.0), span(1.5, 1.5)] {
        assert_eq!(all.server(window), None, "{window:?}");
    }
    assert_eq!(collect([]).server(span(0.0, 1.0)), None);
    assert!(all.gpus(span(0.0, 9.0)).is_empty() && all.client_host(span(0.0, 9.0)).is_none());
    assert_eq!(all.energy(span(0.0, 9.0), Some(1.0)), None);
}

#[test]
fn a_server_that_began_anew_counts_on_and_is_reported() {
    let source = "http://s/metrics";
    let values = [(0.0, 90.0), (1.0, 100.0), (2.0, 5.0), (3.0, 25.0)];
    let up = [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (3.0, 1.0)];
    let all = collect([
        said(source, "", Metric::Up, &up),
        said(source, "", Metric::GenerationTokens, &values),
    ]);
    assert_eq!(all.whole_rise(Metric::GenerationTokens, secs(0.0), secs(3.0)), Some(35.0));
    assert_eq!(all.sources()[0].resets, 1);
    let mut point = a_point();
    observe(&mut point, &[], &collect([said(source, "", Metric::Up, &up)]), None, None);
    assert_eq!(point.trust.caveats.len(), a_point().trust.caveats.len());
    let rows = [said(source, "", Metric::Up, &up), server(Metric::GenerationTokens, &values)];
    observe(&mut point, &small_rows(), &collect(rows), None, None);
    let doubt = point.trust.caveats.last().unwrap();
    assert_eq!((doubt.code, doubt.lowers_to), (CaveatCode::CountsDisagree, Trust::Doubtful));
    assert!(doubt.detail.contains("fell 1 times"), "{doubt:?}");
}

#[test]
fn a_source_that_fails_is_reported_with_its_first_reason() {
    let mut rows = said("http://s/metrics", "", Metric::Up, &[(0.0, 1.0), (1.0, 0.0), (2.0, 0.0)]);
    rows[1].detail = "refused".to_owned();
    rows[2].detail = "late".to_owned();
    let report = SourceReport {
        source: "http://s/metrics".to_owned(),
        scrapes: 3,
        failed: 2,
        first_failure: Some("refused".to_owned()),
        resets: 0,
    };
    assert_eq!(collect([rows]).sources(), [report]);
}

#[test]
fn servers_are_added_and_each_gpu_counts_once_whoever_reports_it() {
    let running = |source, value| said(source, "", Metric::RequestsRunning, &[(1.0, value)]);
    let kv = |source, value| said(source, "", Metric::KvUsage, &[(1.0, value)]);
    let power = |source, gpu| said(source, gpu, Metric::GpuPower, &[(0.0, 100.0), (2.0, 300.0)]);
    let all = collect([
        running("a", 3.0),
        running("b", 4.0),
        kv("a", 0.9),
        kv("b", 0.1),
        power("http://dcgm", "GPU-1"),
        power("nvml", "GPU-1"),
        power("nvml", "GPU-2"),
        said("client", "", Metric::CpuBusySeconds, &[(0.0, 10.0), (2.0, 13.0)]),
        said("client", "", Metric::CpuCores, &[(0.0, 2.0), (2.0, 2.0)]),
    ]);
    let window = span(0.5, 1.5);
    let server = all.server(window).unwrap();
    assert_eq!((server.running_mean, server.kv_usage_max), (Some(7.0), Some(0.9)));
    let gpus: Vec<_> = all.gpus(window).into_iter().map(|gpu| gpu.id).collect();
    assert_eq!(gpus, ["GPU-1", "GPU-2"]);
    // A straight line from 150 W to 250 W, twice, for a second; 100 W each before the load.
    let energy = all.energy(window, Some(50.0)).unwrap();
    assert_eq!((energy.joules, energy.idle_watts), (400.0, Some(200.0)));
    assert_eq!(energy.joules_per_output_token, Some(8.0));
    assert_eq!(all.client_host(window).unwrap().cpu_busy_share, Some(0.75));
}

proptest! {
    #[test]
    fn a_totals_rise_is_the_sum_of_the_rises_of_its_parts(
        steps in prop::collection::vec(0.0..50.0_f64, 2..20),
        cut in 0.0..1.0_f64,
    ) {
        let mut total = 0.0;
        let values: Vec<_> = (0..).zip(&steps).map(|(at, step)| {
            total += step;
            (f64::from(at), total)
        }).collect();
        let end = values.len() as f64 - 1.0;
        let all = collect([server(Metric::PromptTokens, &values)]);
        let series = &all.of(Metric::PromptTokens).next().unwrap();
        let rise = |from, to| series.rise(span(from, to)).unwrap();
        let parts = rise(0.0, cut * end) + rise(cut * end, end);
        prop_assert!((parts - rise(0.0, end)).abs() < 1e-6);
        prop_assert!((rise(0.0, end) - (total - steps[0])).abs() < 1e-6);
    }

    #[test]
    fn constant_power_integrates_to_power_times_time(
        watts in 1.0..1000.0_f64,
        at in prop::collection::vec(0.0..10.0_f64, 0..10),
        (from, to) in (0.0..5.0_f64, 5.0..10.0_f64),
    ) {
        let mut at = [vec![0.0, 10.0], at].concat();
        at.sort_by(f64::total_cmp);
        let values: Vec<_> = at.into_iter().map(|at| (at, watts)).collect();
        let all = collect([said("nvml", "g", Metric::GpuPower, &values)]);
        let joules = all.energy(span(from, to), None).unwrap().joules;
        prop_assert!((joules / (watts * (to - from)) - 1.0).abs() < 1e-6);
    }
}

/// Observes the small run with totals that rise by so much, from before it to after it.
fn compared(prompts: f64, outputs: f64) -> Point {
    let mut point = a_point();
    let total = |metric, rise| server(metric, &[(0.0, 7.0), (100.0, 7.0 + rise)]);
    let rows = [total(Metric::PromptTokens, prompts), total(Metric::GenerationTokens, outputs)];
    observe(&mut point, &small_rows(), &collect(rows), None, None);
    point
}

fn disagreement(point: &Point) -> Option<String> {
    let caveats = &point.trust.caveats;
    let found = caveats.iter().find(|caveat| caveat.code == CaveatCode::CountsDisagree);
    found.map(|caveat| caveat.detail.clone())
}

#[test]
fn counts_that_differ_by_more_than_half_a_percent_disagree() {
    let usage = |pick: fn(&infermark_terms::Usage) -> u32| -> f64 {
        small_rows().iter().filter_map(|row| row.usage).map(|usage| f64::from(pick(&usage))).sum()
    };
    let (prompts, outputs) = (usage(|u| u.prompt_tokens), usage(|u| u.completion_tokens));
    assert_eq!(disagreement(&compared(prompts, outputs)), None);
    assert_eq!(disagreement(&compared(prompts * 1.004, outputs * 0.996)), None);
    assert!(disagreement(&compared(prompts * 1.02, outputs)).unwrap().contains("input tokens"));
    assert!(disagreement(&compared(prompts, outputs * 0.98)).unwrap().contains("output tokens"));
    assert_eq!(compared(prompts, outputs * 0.98).trust.verdict, Trust::Doubtful);
}

#[test]
fn counts_are_not_compared_where_the_client_cannot_know_them() {
    let mut rows = small_rows();
    rows[0].outcome = Outcome::Severed { phase: Phase::Stream, fault: TransportFault::Reset };
    let mut point = a_point();
    let totals = server(Metric::PromptTokens, &[(0.0, 0.0), (100.0, 1e9)]);
    observe(&mut point, &rows, &collect([totals]), None, None);
    assert_eq!(disagreement(&point), None);
    // Nor where the samples do not cover the run.
    let mut point = a_point();
    let late = server(Metric::PromptTokens, &[(50.0, 0.0), (100.0, 1e9)]);
    observe(&mut point, &small_rows(), &collect([late]), None, None);
    assert_eq!(disagreement(&point), None);
}

#[test]
fn a_cache_that_finds_more_than_prompts_share_is_contaminated() {
    let contaminated = |hits: f64, shared: Option<u32>| {
        let mut point = a_point();
        point.tokens.input_mean = Some(100.0);
        let rows = [
            server(Metric::PrefixQueryTokens, &[(0.0, 0.0), (100.0, 100.0)]),
            server(Metric::PrefixHitTokens, &[(0.0, 0.0), (100.0, hits)]),
        ];
        observe(&mut point, &small_rows(), &collect(rows), shared, None);
        point.trust.caveats.iter().any(|caveat| caveat.code == CaveatCode::CacheContaminated)
    };
    assert!(!contaminated(0.0, Some(0)) && !contaminated(1.9, Some(0)));
    assert!(contaminated(2.1, Some(0)));
    assert!(!contaminated(51.0, Some(50)) && contaminated(53.0, Some(50)));
    assert!(!contaminated(99.0, None), "a dataset's prompts may share anything");
}

#[test]
fn an_observed_point_says_what_limits_its_server() {
    let mut point = a_point();
    let rows = [
        server(Metric::RequestsRunning, &[(1.0, 4.0), (2.0, 4.0)]),
        server(Metric::RequestsWaiting, &[(1.0, 12.0), (2.0, 12.0)]),
    ];
    observe(&mut point, &small_rows(), &collect(rows), None, None);
    assert_eq!(point.diagnosis[0].limit, Limit::Queue, "{:?}", point.diagnosis);
}

#[test]
fn traces_lie_on_the_bins_of_the_timeline() {
    let source = "http://s/metrics";
    let all = collect([
        said(source, "0", Metric::RequestsWaiting, &[(0.0, 0.0), (2.0, 4.0), (4.0, 8.0)]),
        said(source, "1", Metric::RequestsWaiting, &[(0.0, 1.0), (2.0, 1.0), (4.0, 1.0)]),
        said("nvml", "GPU-b", Metric::GpuPower, &[(0.0, 100.0), (4.0, 100.0)]),
        said("nvml", "GPU-a", Metric::GpuPower, &[(0.0, 300.0), (4.0, 300.0)]),
        said("client", "", Metric::CpuCores, &[(0.0, 2.0)]),
        said("client", "", Metric::CpuBusySeconds, &[(0.0, 50.0), (4.0, 54.0)]),
    ]);
    let bins = vec![Bin::default(); 6];
    let timeline = Timeline { start_s: 0.0, bin_s: 1.0, bins };
    let mut details = Details { timeline, ..Details::default() };
    details.hear(&all);
    let traces = details.traces;
    // Sampled in the first, third and fifth bin; read off between, and unknown after the last.
    let waiting = [1.0, 4.0, 5.0, 8.0, 9.0].map(Some);
    assert_eq!(traces.waiting, [&waiting[..], &[None]].concat());
    let names: Vec<_> = traces.gpu_power_watts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["GPU-a", "GPU-b"]);
    assert_eq!(traces.gpu_power_watts[0].1[1], Some(300.0));
    let busy = Some(0.5);
    assert_eq!(traces.client_cpu_share, [busy, busy, busy, busy, None, None]);
    assert!(traces.running.is_empty() && traces.gpu_utilization.is_empty());
}

/// A reading of a page that has an engine's names.
fn up(source: &str, engine: &str) -> Vec<TelemetryRow> {
    let mut rows = said(source, "", Metric::Up, &[(0.0, 1.0)]);
    engine.clone_into(&mut rows[0].detail);
    rows
}

#[test]
fn a_front_end_and_its_workers_are_not_counted_twice() {
    let tokens = |source, n| said(source, "", Metric::GenerationTokens, &[(0.0, 0.0), (4.0, n)]);
    let waiting = |source, n| said(source, "", Metric::RequestsWaiting, &[(1.0, n), (2.0, n)]);
    let front = [up("front", "dynamo"), tokens("front", 80.0), waiting("front", 9.0)];
    let worker = |name| [up(name, "vllm"), tokens(name, 40.0), waiting(name, 2.0)];
    let told = |rows: Vec<[Vec<TelemetryRow>; 3]>| {
        let server = collect(rows.into_iter().flatten()).server(span(0.0, 4.0)).unwrap();
        (server.generation_tokens_per_s, server.waiting_max)
    };
    let [one, other] = [worker("one"), worker("other")];
    assert_eq!(told(vec![front.clone()]), (Some(20.0), Some(9)));
    assert_eq!(told(vec![one.clone(), other.clone()]), (Some(20.0), Some(4)));
    assert_eq!(told(vec![front, one, other]), (Some(20.0), Some(4)));
}

#[test]
fn an_engine_is_known_where_all_pages_have_its_names() {
    let engine = |pages: &[(&str, &str)]| {
        let rows = pages.iter().map(|(source, engine)| up(source, engine));
        collect(rows).engine_or(Some("its own word")).map(str::to_owned)
    };
    let some = |name: &str| Some(name.to_owned());
    assert_eq!(engine(&[("a", "vllm"), ("b", "vllm"), ("gpus", "")]), some("vllm"));
    assert_eq!(engine(&[("a", "vllm"), ("b", "sglang")]), None);
    assert_eq!(engine(&[("a", "dynamo"), ("b", "sglang")]), some("sglang"));
    assert_eq!(engine(&[("a", "dynamo")]), some("dynamo"));
    assert_eq!(engine(&[("gpus", "")]), some("its own word"));
}

#[test]
fn advice_is_for_the_engine_that_its_metrics_name_else_for_the_target() {
    let hint = |engine: &str, server: Option<&str>| {
        let mut point = a_point();
        let queue = [(1.1, 6.0), (1.2, 6.0), (1.3, 6.0)];
        let rows = [up("s", engine), said("s", "", Metric::RequestsWaiting, &queue)];
        observe(&mut point, &[], &collect(rows), None, server);
        point.diagnosis[0].hint.clone()
    };
    assert!(hint("sglang", Some("vllm")).contains("`--max-running-requests`"));
    assert!(hint("", Some("vllm")).contains("`--max-num-seqs`"));
    assert!(!hint("dynamo", Some("unknown")).contains('`'));
}
