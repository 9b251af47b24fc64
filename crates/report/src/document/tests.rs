//! Laws of pages: nothing foreign becomes markup, nothing is fetched, nothing grows without bound.

use std::collections::BTreeMap;

use infermark_measure::details::{Trace, Traces};
use infermark_measure::{
    ArrivalLaw, Counts, Energy, Finding, Limit, LoadPlan, Part, Point, RateCourse, Telemetry,
    measure_in_detail,
};
use infermark_terms::slo::Slo;
use infermark_terms::{Currency, Excerpt, Outcome, Price};

use super::html;
use crate::subject::{Load, names};
use crate::tests::Run;
use crate::{Origin, Passed, Place, State, Subject, Verdict, Verification, svg_files};

const HOSTILE: &str =
    "</title><script>alert(1)</script><img src=x onerror=\"alert('2')\">&'\u{202e}";

/// Returns what a report tells of this run.
pub(crate) fn subject(run: &Run, name: &str) -> Subject {
    let (mut point, details) = measure_in_detail(&run.plan, &run.rows, run.chunks.iter().copied());
    point.price(Price::new(1.5, Currency::USD).unwrap());
    Subject {
        id: name.to_owned(),
        command: "infermark run".to_owned(),
        created: "2026-01-02T03:04:05.678Z".to_owned(),
        target: "http://127.0.0.1:8000".to_owned(),
        model: "tiny".to_owned(),
        server: Some("vLLM 0.32.0".to_owned()),
        gpus: None,
        origin: Origin::Server,
        state: State::Complete,
        verification: Verification::Full,
        version: "0.1.0".to_owned(),
        asked: vec![("rate".to_owned(), "20/s".to_owned())],
        setup: Vec::new(),
        tags: BTreeMap::from([("name".to_owned(), name.to_owned())]),
        findings: Vec::new(),
        points: vec![point],
        places: Vec::new(),
        verdicts: Vec::new(),
        contests: Vec::new(),
        details: Some(details),
        record: String::new(),
    }
}

fn hostile() -> Subject {
    let refused = Outcome::Refused { status: 400, message: Excerpt::new(HOSTILE) };
    let run = Run::open(200).fail(9, &refused);
    let mut subject = subject(&run, HOSTILE);
    let text = HOSTILE.to_owned();
    (subject.model, subject.target, subject.created) = (text.clone(), text.clone(), text.clone());
    (subject.server, subject.gpus) = (Some(text.clone()), Some(text.clone()));
    (subject.id, subject.version, subject.record) = (text.clone(), text.clone(), text.clone());
    subject.asked = vec![(text.clone(), text.clone())];
    subject.setup = vec![(text.clone(), text.clone())];
    subject.findings = vec![(text.clone(), text.clone())];
    subject.tags = BTreeMap::from([(text.clone(), text)]);
    for caveat in &mut subject.points[0].trust.caveats {
        HOSTILE.clone_into(&mut caveat.detail);
        HOSTILE.clone_into(&mut caveat.hint);
    }
    subject
}

#[test]
fn nothing_that_came_from_elsewhere_becomes_markup() {
    let (one, other) = (hostile(), hostile());
    let study = Subject { points: vec![one.points[0].clone(); 3], ..hostile() };
    for subjects in [vec![one.clone()], vec![study], vec![one, other]] {
        let page = html(&subjects);
        assert!(page.contains("&lt;script&gt;"));
        for mark in ["<script", "<img", "onerror=\"", "\u{202e}"] {
            assert!(!page.contains(mark), "{mark}");
        }
        for (name, file) in svg_files(&subjects) {
            for mark in ["<script", "<img", "onerror=\""] {
                assert!(!file.contains(mark), "{name}: {mark}");
            }
        }
    }
}

#[test]
fn a_page_refers_to_nothing_outside_itself() {
    let page = html(&[subject(&Run::open(300), "a")]);
    assert!(page.contains("default-src 'none'"));
    for mark in ["http://", "https://", "src=", "href=", "url(", "@import", "<script", "<link"] {
        let target = page.replace("http://127.0.0.1:8000", "");
        assert!(!target.contains(mark), "{mark}");
    }
}

/// Every element that is opened is closed, in order.
fn assert_balanced(page: &str) {
    let mut open = Vec::new();
    for piece in page.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').unwrap();
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{piece}");
        } else if !tag.ends_with('/') && !["!doctype", "meta"].contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_page_is_well_formed_whatever_the_run_was_like() {
    let late = Outcome::Severed {
        phase: infermark_terms::Phase::Stream,
        fault: infermark_terms::TransportFault::ClosedEarly,
    };
    let mut whole = Run::open(60);
    whole.chunks.clear();
    for row in &mut whole.rows {
        (row.first_token, row.first_answer, row.last_token) = (None, None, None);
        row.chunks = 0;
    }
    let mut bounded = Run::open(200);
    bounded.plan.slo = "ttft:p99<=1ms,e2e:mean<=10s,ttft<=50ms".parse::<Slo>().unwrap();
    let runs = [Run::open(0), Run::open(1), Run::open(500), Run::closed(9), bounded, whole];
    let runs = runs.into_iter().chain([Run::open(40).fail(1, &late), Run::open(90).fail(3, &late)]);
    let subjects: Vec<_> = runs.map(|run| subject(&run, "run")).collect();
    for one in &subjects {
        assert_balanced(&html(std::slice::from_ref(one)));
    }
    assert_balanced(&html(&subjects));
    for (_, file) in svg_files(&subjects) {
        assert_balanced(&file);
    }
}

#[test]
fn every_figure_of_the_run_is_on_its_page() {
    let run = Run::open(600);
    let subject = subject(&run, "a");
    let page = html(std::slice::from_ref(&subject));
    let ttft = subject.points[0].latency.ttft_ms.unwrap();
    for value in [ttft.p50, ttft.p90.unwrap(), ttft.p99.unwrap(), ttft.max] {
        assert!(page.contains(&crate::figure::figure(value)), "{value}");
    }
    for id in ["latency-distribution", "latency-percentiles", "timeline", "requests"] {
        assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
    }
    assert!(page.contains("first_token − due") && page.contains("per 1M output"));
}

#[test]
fn a_page_of_a_long_run_is_no_larger_than_that_of_a_short_one() {
    let size = |count| html(&[subject(&Run::open(count), "a")]).len();
    let (short, long) = (size(1_000), size(8_000));
    assert!(long < 700_000 && long < 2 * short, "{short} {long}");
}

#[test]
fn runs_of_one_server_under_several_loads_are_one_line() {
    let load = |slots| {
        let mut run = Run::closed(60);
        run.plan.load = infermark_measure::LoadPlan::Closed { concurrency: slots };
        let mut subject = subject(&run, "vllm");
        subject.details = None;
        subject
    };
    let names: Vec<_> =
        svg_files(&[load(1), load(4), load(16)]).into_iter().map(|file| file.0).collect();
    for name in ["dashboard", "throughput", "latency", "heatmap", "scaling", "cost"] {
        assert!(names.iter().any(|other| other == name), "{name} is not among {names:?}");
    }
    let page = html(&[load(1), load(4), load(16)]);
    assert!(page.contains("3 runs, 3 operating points"));
}

#[test]
fn servers_are_told_apart_by_their_addresses_where_nothing_else_does() {
    let at = |model: &str, target: &str| {
        let (model, target) = (model.to_owned(), target.to_owned());
        Subject { model, target, tags: BTreeMap::new(), ..subject(&Run::open(20), "") }
    };
    let alike = [at("a", "http://one"), at("a", "http://two"), at("b", "http://two")];
    assert_eq!(names(&alike), ["a · http://one", "a · http://two", "b"]);
    assert_eq!(names(&alike[..2]), ["http://one", "http://two"]);
    let tagged = Subject { tags: [("name".into(), "mine".into())].into(), ..alike[0].clone() };
    assert_eq!(names(&[tagged, alike[2].clone()])[0], "mine");
}

#[test]
fn what_others_said_stands_under_the_clients_own_course() {
    let mut subject = subject(&Run::open(300), "a");
    let alone = html(std::slice::from_ref(&subject));
    for absent in ["What limits the server", "server: KV", "GPU: power", "J per output token"] {
        assert!(!alone.contains(absent), "{absent}");
    }
    let details = subject.details.as_mut().unwrap();
    let trace: Trace = details.timeline.bins.iter().map(|_| Some(0.5)).collect();
    let gpu = || vec![("GPU-5f".to_owned(), trace.clone())];
    details.traces = Traces {
        running: trace.clone(),
        waiting: trace.clone(),
        kv_usage: trace.clone(),
        gpu_utilization: gpu(),
        gpu_power_watts: gpu(),
        client_cpu_share: trace.clone(),
    };
    let point = &mut subject.points[0];
    point.server = Some(Telemetry { running_mean: Some(3.5), ..Telemetry::default() });
    let joules_per_output_token = Some(0.125);
    point.energy = Some(Energy { joules: 900.0, joules_per_output_token, idle_watts: Some(70.0) });
    point.diagnosis = vec![Finding {
        limit: Limit::Queue,
        evidence: "5.0 requests waited".to_owned(),
        hint: "raise `--max-num-seqs`".to_owned(),
    }];
    let page = html(std::slice::from_ref(&subject));
    assert_balanced(&page);
    for said in [
        "What limits the server",
        "5.0 requests waited",
        "raise <code>--max-num-seqs</code>",
        "3.500 running",
        "0.1250",
        "J per output token",
        "server: requests",
        "server: KV memory in use, %",
        "GPU: busy, %",
        "GPU: power, W",
        "client: cores busy, %",
    ] {
        assert!(page.contains(said), "{said}");
    }
}

/// Whether a point is saturated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Saturated {
    Yes,
    No,
}

/// Three rates; the middle one is saturated where that is said, and its latencies are what they
/// are `times`.
fn at_three_rates(middle_is: Saturated, times: f64) -> Subject {
    let mut study = subject(&Run::open(120), "a");
    (study.details, study.places) = (None, Vec::new());
    let first = study.points[0].clone();
    study.points = [10.0, 20.0, 30.0].map(|rate| at_rate(first.clone(), rate)).to_vec();
    let middle = &mut study.points[1];
    middle.saturated = middle_is == Saturated::Yes;
    let latency = &mut middle.latency;
    for estimate in [&mut latency.ttft_ms, &mut latency.tpot_ms, &mut latency.e2e_ms] {
        let estimate = estimate.as_mut().unwrap();
        (estimate.mean, estimate.p50) = (estimate.mean * times, estimate.p50 * times);
        (estimate.mean_ci95, estimate.p50_ci95) = (None, None);
        estimate.p99 = estimate.p99.map(|p99| p99 * times);
    }
    study
}

fn at_rate(mut point: Point, rate: f64) -> Point {
    let (arrivals, course) = (ArrivalLaw::Poisson, RateCourse::Steady);
    point.load = LoadPlan::Open { rate_rps: rate, arrivals, course };
    point
}

#[test]
fn a_saturated_points_latencies_are_struck_out_and_stretch_no_axis() {
    let (sane, saturated) =
        (at_three_rates(Saturated::No, 1.0), at_three_rates(Saturated::Yes, 500.0));
    let page = html(std::slice::from_ref(&saturated));
    let ttft = saturated.points[1].latency.ttft_ms.unwrap();
    let struck = format!("<s>{}</s>", crate::figure::figure(ttft.p50));
    assert!(page.contains(&struck) && page.contains("no result"), "{struck}");
    assert!(!html(std::slice::from_ref(&sane)).contains("<s>"));
    let rate = crate::figure::figure(saturated.points[1].rates.unwrap().output_tokens_per_s);
    assert!(!page.contains(&format!("<s>{rate}</s>")), "a rate is a result");
    let words = |subject: &Subject, name: &str| -> Vec<String> {
        let files = svg_files(std::slice::from_ref(subject));
        let file = files.into_iter().find(|file| file.0 == name).unwrap().1;
        let texts = file.split("<text").skip(1);
        texts.map(|text| text.split(['>', '<']).nth(1).unwrap().to_owned()).collect()
    };
    for chart in ["throughput", "ttft", "tpot", "latency-throughput"] {
        assert_eq!(words(&sane, chart), words(&saturated, chart), "{chart}");
    }
}

#[test]
fn the_curves_of_a_saturated_run_say_that_they_are_no_result() {
    let mut run = subject(&Run::open(120), "a");
    let charts = ["latency-distribution", "latency-percentiles"];
    let marked = |run: &Subject| {
        let files = svg_files(std::slice::from_ref(run));
        let file = |chart| &files.iter().find(|file| file.0 == chart).unwrap().1;
        charts.map(|chart| {
            let svg = file(chart);
            [" · saturated, no result<", ">TTFT ×<"].map(|words| svg.contains(words))
        })
    };
    let note = "×: saturated, and no result.";
    assert_eq!(marked(&run), [[false; 2]; 2]);
    assert!(!html(std::slice::from_ref(&run)).contains(note));
    run.points[0].saturated = true;
    assert_eq!(marked(&run), [[true; 2]; 2]);
    let page = html(std::slice::from_ref(&run));
    assert_eq!(page.matches(note).count(), charts.len());
    assert!(
        page.contains("<th>TTFT ×: share of observations, % · saturated, no result<"),
        "its data say so too"
    );
}

#[test]
fn runs_of_one_load_each_share_a_heat_map_and_loads_have_four_digits() {
    let (fast, mut slow) = (subject(&Run::open(120), "a"), subject(&Run::open(120), "b"));
    slow.points[0] = at_rate(slow.points[0].clone(), 16.663_796);
    let both = [fast, slow];
    let page = html(&both);
    assert!(page.contains("<td>16.66</td>") && !page.contains("16.6638"));
    assert_eq!(page.matches("aria-label=\"E2E percentiles\"").count(), 2, "wide and narrow");
}

#[test]
fn many_runs_of_one_load_each_share_several_heat_maps_of_few_columns() {
    let run = subject(&Run::open(120), "run 0");
    let named = |index: usize| Subject {
        tags: BTreeMap::from([("name".to_owned(), format!("run {index}"))]),
        ..run.clone()
    };
    for (runs, expected) in [(6, vec![6]), (8, vec![4, 4]), (13, vec![5, 5, 3])] {
        let runs: Vec<_> = (0..runs).map(named).collect();
        let files = svg_files(&runs);
        let map = &files.iter().find(|file| file.0 == "heatmap").unwrap().1;
        let maps = map.split(">E2E, ms<").skip(1);
        let columns: Vec<_> = maps.map(|map| map.matches("<title>p50,").count()).collect();
        assert_eq!(columns, expected);
    }
}

#[test]
fn rates_of_sessions_are_sessions_a_second_everywhere() {
    let mut requests = at_three_rates(Saturated::No, 1.0);
    // What an idle target carried stands among the rates.
    requests.points[0].load = LoadPlan::Closed { concurrency: 1 };
    let point = requests.points[0].clone();
    let part = |turn: u64| Part {
        name: turn.to_string(),
        counts: Counts { due: 30, ..point.counts.clone() },
        latency: point.latency,
        tokens: point.tokens,
        rates: None,
        slo: Vec::new(),
    };
    let mut sessions = requests.clone();
    for point in &mut sessions.points {
        (point.counts.due, point.turns) = (120, (1..=4).map(part).collect());
    }
    let told = |subjects: &[Subject]| {
        let svg = svg_files(subjects).into_iter().find(|file| file.0 == "ttft").unwrap().1;
        [html(subjects), svg, crate::markdown(subjects)]
    };
    let titles = ["rate, requests/s", "rate, sessions/s", "requests in flight, mean"];
    let both = [requests.clone(), Subject { tags: BTreeMap::new(), ..sessions.clone() }];
    let [requests, sessions] = [[requests], [sessions]];
    for (subjects, expected) in [(&requests[..], 0), (&sessions, 1), (&both, 2)] {
        for text in told(subjects) {
            assert_eq!(titles.map(|title| text.contains(title)), [0, 1, 2].map(|i| i == expected));
        }
    }
    let first = |subjects| crate::subject::series(subjects, Load::of(subjects))[0].points[0].at;
    assert!((first(&requests) / first(&sessions) - 4.0).abs() < 1e-9, "turns of a session");
}

#[test]
fn colours_mean_the_same_in_all_heat_maps() {
    let (fast, mut slow) = (at_three_rates(Saturated::No, 1.0), at_three_rates(Saturated::No, 1.0));
    slow.tags = BTreeMap::from([("name".to_owned(), "b".to_owned())]);
    for point in &mut slow.points {
        let e2e = point.latency.e2e_ms.as_mut().unwrap();
        (e2e.p50, e2e.max) = (e2e.p50 * 40.0, e2e.max * 40.0);
    }
    let files = svg_files(&[fast, slow]);
    let map = &files.iter().find(|file| file.0 == "heatmap").unwrap().1;
    let medians = map.split("<rect").filter(|rect| rect.contains("<title>p50,"));
    let opacity = |rect: &str| -> f64 {
        rect.split("fill-opacity=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
    };
    let medians: Vec<_> = medians.map(opacity).collect();
    assert!(medians.len() == 6 && medians[..3].iter().all(|it| *it < medians[3]), "{medians:?}");
}

#[test]
fn curves_of_a_study_stand_apart_and_runs_of_one_load_side_by_side() {
    let mut study = at_three_rates(Saturated::No, 1.0);
    let place = |label: &str, curve: &str| Place {
        label: label.to_owned(),
        curve: curve.to_owned(),
        ..Place::default()
    };
    study.places = vec![place("x", "short"), place("y", "long"), place("z", "long")];
    study.places[2].mark = "knee".to_owned();
    let page = html(std::slice::from_ref(&study));
    assert_balanced(&page);
    for said in ["short", "long", "At the knee: z"] {
        assert!(page.contains(said), "{said}");
    }
    let said = "greatest power";
    assert!(!page.contains(said), "no knee of one curve is drawn among two");
    study.places.iter_mut().for_each(|place| place.curve = String::new());
    let knees = |study: &Subject| html(std::slice::from_ref(study)).contains(said);
    assert!(knees(&study), "it stands where the study found it");
    study.places[2].mark = String::new();
    assert!(!knees(&study), "and nowhere if it found none");
    let doubtful = |study: &Subject| html(std::slice::from_ref(study)).contains("1 of 3 points");
    study.points[0].trust.verdict = infermark_terms::Trust::Doubtful;
    assert!(doubtful(&study));
    study.places[0].doubts = Some(infermark_measure::Verdict::of(Vec::new()));
    assert!(!doubtful(&study), "the result does not rest on it");
    let runs = Subject {
        points: vec![study.points[0].clone(); 3],
        places: ["run 1", "run 2", "run 3"].map(|label| place(label, "")).to_vec(),
        ..study
    };
    let page = html(std::slice::from_ref(&runs));
    assert!(page.contains("id=\"latency-runs\"") && !page.contains("id=\"scaling\""));
}

#[test]
fn a_suites_verdicts_stand_on_top() {
    let mut suite = at_three_rates(Saturated::No, 1.0);
    let verdict = |passed, name: &str| Verdict {
        passed,
        name: name.to_owned(),
        rule: "ttft:p99<=200ms".to_owned(),
        found: vec![HOSTILE.to_owned()],
    };
    suite.verdicts = vec![verdict(Passed::Yes, "chat"), verdict(Passed::No, "batch")];
    let page = html(std::slice::from_ref(&suite));
    assert_balanced(&page);
    assert!(page.contains("FAIL</strong>: 1 passed, 1 failed, 0 undecided."));
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"));
}
