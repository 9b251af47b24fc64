//! Laws of pages: nothing foreign becomes markup, nothing is fetched, nothing grows without bound.

use std::collections::BTreeMap;

use infermark_measure::measure_in_detail;
use infermark_terms::slo::Slo;
use infermark_terms::{Currency, Excerpt, Outcome, Price};

use super::html;
use crate::tests::Run;
use crate::{Origin, State, Subject, Verification, svg_files};

const HOSTILE: &str =
    "</title><script>alert(1)</script><img src=x onerror=\"alert('2')\">&'\u{202e}";

/// Returns what a report tells of this run.
pub(crate) fn subject(run: &Run, name: &str) -> Subject {
    let (mut point, details) = measure_in_detail(&run.plan, &run.rows, run.chunks.iter().copied());
    point.price(Price::new(1.5, Currency::USD).unwrap());
    Subject {
        id: name.to_owned(),
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
        labels: Vec::new(),
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
