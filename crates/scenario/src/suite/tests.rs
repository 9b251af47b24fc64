//! Suites as people write them, right and wrong.

use std::path::Path;

use super::*;

const GOOD: &str = "\
suite: mine
title: What ours must do
scenario:
  input_tokens: 512
  requests: 400
quick: {requests: 40, input_tokens: 64}
workloads:
  - name: chat
    scenario: {output_tokens: 'normal(256,32)'}
    loads:
      - concurrency: 4
      - {name: burst, rate: 4/s, arrivals: gamma(2)}
      - {sweep: 9, arrivals: constant}
      - {peak: 5%, duration: 600s}
    checks:
      - {name: quick answers, slo: 'ttft:p99<=200ms', at: any}
      - {name: tails, early_stopping: 'ttft:p99<=450ms,tpot:p99<=40ms', at: peak}
      - {name: long enough, min_duration: 600s, at: peak}
      - {name: no failures, slo: failure_rate<=0%}
references:
  - name: theirs
    tolerance: 20%
    claims:
      - {workload: chat, at: burst, figures: 'ttft:mean<=61.8ms,requests_per_s>=6.4'}
";

fn read(text: &str) -> Result<Suite, crate::Problems> {
    parse_suite(Path::new("suite.yaml"), text)
}

#[test]
fn a_suite_says_what_is_asked_and_what_must_hold() {
    let suite = read(GOOD).unwrap_or_else(|problems| panic!("{problems}"));
    let workload = &suite.workloads[0];
    let settings: Vec<_> = workload.settings.iter().map(|(s, text)| (s.key, &text[..])).collect();
    assert_eq!(
        settings,
        [("input_tokens", "512"), ("requests", "400"), ("output_tokens", "normal(256,32)")]
    );
    let labels: Vec<_> = workload.loads.iter().flat_map(Load::labels).collect();
    assert_eq!(labels, ["concurrency 4", "burst", IDLE, THROUGHPUT, PEAK]);
    let at: Vec<_> = workload.checks.iter().map(|check| check.at.clone()).collect();
    assert_eq!(at, [At::Any, At::Load(PEAK.into()), At::Load(PEAK.into()), At::Every]);
    assert!(matches!(&workload.checks[1].rule, Rule::EarlyStopping(tails) if tails.len() == 2));
    assert!((suite.references[0].tolerance - 0.2).abs() < 1e-12);
    assert_eq!(suite.references[0].claims[0].at, At::Load("burst".into()));
}

#[test]
fn a_profile_in_a_suite_is_the_lengths_that_it_stands_for() {
    let lengths = |suite: &str, workload: &str| {
        let text = GOOD.replace("  input_tokens: 512\n", suite);
        let text = text.replace("{output_tokens: 'normal(256,32)'}", workload);
        let suite = read(&text).unwrap_or_else(|problems| panic!("{problems}"));
        let changes = suite.workloads[0].settings.clone();
        let of = |key| {
            let mut found = changes.iter().filter(|(setting, _)| setting.key == key);
            let text = found.next().map(|(_, text)| text.clone());
            assert_eq!(found.next(), None, "{key} once");
            text.unwrap_or_default()
        };
        [of("profile"), of("input_tokens"), of("output_tokens")]
    };
    // A workload's profile takes the place of what its suite says, and its own lengths of that.
    let rag = ["", "normal(4096,512,2048..6144)", "normal(512,128,1..1024)"];
    assert_eq!(lengths("  input_tokens: 512\n", "{profile: rag}"), rag);
    assert_eq!(lengths("  profile: rag\n", "{profile: fixed}"), ["", "200", "800"]);
    let mixed = lengths("  profile: rag\n", "{output_tokens: 7, profile: fixed}");
    assert_eq!(mixed, ["", "200", "7"]);
    let wrong = GOOD.replace("  input_tokens: 512\n", "  profile: ragg\n");
    let told = read(&wrong).unwrap_err().to_string();
    assert!(told.contains("suite.yaml:4") && told.contains("did you mean `rag`?"), "{told}");
}

#[test]
fn each_mistake_has_its_line() {
    let wrong = |from: &str, to: &str| {
        let text = GOOD.replace(from, to);
        assert_ne!(text, GOOD, "{from} is there");
        let problems = read(&text).expect_err(to);
        let first = &problems.as_slice()[0];
        (first.places[0].position().map_or(0, |(_, line, _)| line), first.to_string())
    };
    for (from, to, line, part) in [
        ("suite: mine\n", "suit: mine\n", 1, "did you mean `suite`?"),
        ("title: What ours must do\n", "", 1, "no `title`"),
        ("input_tokens: 512\n", "input_tokens: lots\n", 4, "input_tokens `lots`"),
        ("input_tokens: 512\n", "input_tokns: 512\n", 4, "did you mean `input_tokens`?"),
        ("requests: 400\n", "target: x\n", 5, "no such setting of a suite"),
        ("requests: 40,", "requests: 0,", 6, "requests `0`"),
        ("normal(256,32)", "normal(256)", 9, "output_tokens"),
        ("- concurrency: 4", "- concurrency: none", 11, "concurrency `none`"),
        ("- concurrency: 4", "- 4", 11, "not a load"),
        ("- concurrency: 4", "- requests: 4", 11, "no load"),
        ("- concurrency: 4", "- {name: busy}", 11, "no load"),
        ("- concurrency: 4", "- concurency: 4", 11, "did you mean `concurrency`?"),
        ("name: burst", "name: any", 12, "but not `any` or `every`"),
        ("- {name: quick answers", "- {name: ''", 16, "no text"),
        ("  - name: chat", "  - chat\n  - name: chat", 8, "not a mapping"),
        ("- concurrency: 4", "- {concurrency: 4, rate: 1/s}", 11, "concurrency"),
        ("name: burst", "name: concurrency 4", 12, "a second load is called"),
        ("sweep: 9", "sweep: 0", 13, "not a sweep"),
        ("arrivals: constant", "arrivals: often", 13, "arrivals `often`"),
        ("sweep: 9", "sweep: 9 to all", 13, "`10 to 120%`"),
        ("peak: 5%", "peak: 5", 14, "not a share"),
        ("peak: 5%", "peak: 5%, sweep: 3", 14, "both a sweep and a peak"),
        ("ttft:p99<=200ms", "ttft:p99<=200", 16, "expected a duration"),
        ("at: any", "at: rate 5/s", 16, "no such load"),
        ("ttft:p99<=450ms", "itl:p99<=450ms", 17, "not percentiles of each request"),
        ("min_duration: 600s", "min_duration: 600", 18, "not a duration"),
        ("min_duration: 600s", "min_duratoin: 600s", 18, "did you mean `min_duration`?"),
        ("slo: failure_rate<=0%", "at: every", 19, "0 rules"),
        ("tolerance: 20%", "tolerance: 20", 22, "not a share"),
        ("workload: chat", "workload: talk", 24, "no such workload"),
        ("at: burst", "at: bursts", 24, "no such load"),
        ("figures: 'ttft:mean<=", "figures: 'ttft:meen<=", 24, "no such statistic"),
        ("figures: 'ttft:mean<=", "figures: 'ttft<=", 24, "`ttft<=61.8ms` is no figure"),
    ] {
        let (found, message) = wrong(from, to);
        assert!(message.contains(part), "{to}: {message}");
        assert_eq!(found, line, "{to}: {message}");
    }
}

#[test]
fn what_is_no_suite_at_all_is_refused() {
    for text in ["", "- a\n", "a", "suite: [", "suite: &x y\n", "suite: a\n---\nsuite: b\n"] {
        assert!(read(text).is_err(), "{text:?}");
    }
    let deep = format!("suite: {}", "[".repeat(10_000));
    assert!(read(&deep).is_err());
}

#[test]
fn a_flaw_in_published_figures_is_shown_where_they_stand() {
    let text =
        GOOD.replace("figures: 'ttft:mean<=61.8ms,requests", "figures: 'ttft<=61.8ms,requests");
    insta::assert_snapshot!(read(&text).expect_err("a bound of each request").to_string());
}

#[test]
fn one_mistake_is_one_problem() {
    for (from, to) in [
        ("  - name: chat", "  - chat\n  - name: chat"),
        ("- concurrency: 4", "- concurency: 4"),
        ("- {name: long enough, min_duration: 600s, at: peak}", "- long enough"),
        ("- {workload: chat, at: burst,", "- burst\n      - {workload: chat, at: burst,"),
    ] {
        let problems = read(&GOOD.replace(from, to)).expect_err(to);
        assert_eq!(problems.as_slice().len(), 1, "{to}: {problems}");
    }
}

#[test]
fn a_load_may_take_its_kind_from_its_workload() {
    let text = GOOD.replace("- concurrency: 4", "- {name: usual, requests: 9}");
    assert!(read(&text).is_err());
    let text = text.replace("{output_tokens:", "{concurrency: 3, output_tokens:");
    let alone = text.replace("      - {name: burst, rate: 4/s, arrivals: gamma(2)}\n", "");
    let alone = alone.replace("      - {sweep: 9, arrivals: constant}\n", "");
    let alone = alone.replace("      - {peak: 5%, duration: 600s}\n", "");
    let alone = alone.replace("at: peak", "at: usual").replace("at: burst", "at: usual");
    let suite = read(&alone).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(suite.workloads[0].loads[0].labels(), ["usual"]);
}
