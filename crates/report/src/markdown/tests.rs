//! Goldens of every kind of record, and the law that nothing foreign becomes markup.

use infermark_measure::{AddressShare, Part, diagnose};
use infermark_terms::slo::Slo;
use infermark_terms::{CaveatCode, Currency, Outcome, Phase, TransportFault};

use super::*;
use crate::document::tests::subject;
use crate::ledger::Cell;
use crate::tests::Run;
use crate::{ContestCell, Origin, Passed, Place, State, Verdict};

fn place(label: &str, curve: &str, mark: &str) -> Place {
    let (label, curve, mark) = (label.to_owned(), curve.to_owned(), mark.to_owned());
    Place { label, curve, mark, ..Place::default() }
}

fn caveat(code: CaveatCode, detail: &str) -> Caveat {
    let lowers_to = Trust::Doubtful;
    Caveat { code, lowers_to, detail: detail.to_owned(), hint: "ask `doctor`".to_owned() }
}

/// A run with everything that a single point can have.
pub(crate) fn a_run() -> Subject {
    let late = Outcome::Severed { phase: Phase::Stream, fault: TransportFault::ClosedEarly };
    let mut run = Run::open(600).fail(7, &late);
    run.plan.slo = "ttft:p99<=1s,failure_rate<=0.1%,ttft<=50ms".parse::<Slo>().unwrap();
    let mut one = subject(&run, "a");
    let point = &mut one.points[0];
    point.trust.verdict = Trust::Doubtful;
    point.trust.caveats.push(caveat(CaveatCode::OneReplica, "of 2 addresses 10.0.0.1:80 took all"));
    let address = |address: &str, requests| AddressShare {
        address: address.parse().unwrap(),
        requests,
        share: Some(requests as f64 / 600.0),
    };
    point.addresses = vec![address("10.0.0.1:80", 600), address("10.0.0.2:80", 0)];
    let part = |name: &str, slo: &str| {
        let mut run = Run::open(200);
        run.plan.slo = slo.parse::<Slo>().unwrap();
        let part = run.point();
        Part {
            name: name.to_owned(),
            counts: part.counts,
            latency: part.latency,
            tokens: part.tokens,
            rates: part.rates,
            slo: part.slo,
        }
    };
    point.classes = vec![part("chat", "ttft:p99<=10ms"), part("batch", "e2e:mean<=1m")];
    point.server = Some(infermark_measure::Telemetry {
        running_mean: Some(3.5),
        waiting_share: Some(1.0),
        waiting_mean: Some(5.0),
        ..Default::default()
    });
    point.diagnosis = diagnose(point, Some(infermark_measure::Engine::Sglang));
    (one.origin, one.state) = (Origin::Embedded, State::Partial);
    one
}

/// A study of three points: idle, the knee, and one that is saturated.
fn a_study() -> Subject {
    let mut study = subject(&Run::closed(400), "a");
    "infermark sweep".clone_into(&mut study.command);
    let first = study.points[0].clone();
    let mut last = first.clone();
    last.saturated = true;
    last.trust.verdict = Trust::Void;
    last.trust.caveats.push(caveat(CaveatCode::Saturated, "completions fall behind"));
    study.points = vec![first.clone(), first, last];
    study.places =
        vec![place("idle", "", ""), place("2 slots", "", "knee"), place("throughput", "", "")];
    study.findings = vec![("knee".to_owned(), "at 2, between 1 and 4".to_owned())];
    study.details = None;
    study
}

/// A suite of one workload on two targets, whose points have objectives.
fn a_suite() -> Subject {
    let mut suite = a_study();
    "infermark validate".clone_into(&mut suite.command);
    suite.places = ["vllm", "tgi", "tgi"].map(|target| place("concurrency 4", target, "")).to_vec();
    suite.findings = vec![("suite".to_owned(), "serving: engines side by side".to_owned())];
    let line = |passed, name: &str| Verdict {
        passed,
        name: name.to_owned(),
        rule: "ttft:p99<=1s".to_owned(),
        found: vec!["at concurrency 4: ttft:p99<=1s: 54.96 ms".to_owned(), "more".to_owned()],
    };
    suite.verdicts = vec![line(Passed::Yes, "vllm"), line(Passed::Undecided, "tgi")];
    let cell = |rate| {
        Some(ContestCell {
            output_tokens_per_s: rate,
            e2e_p50_ms: Some(2543.0),
            success_rate: 1.0,
            cost: Some((Currency::USD, 0.74)),
        })
    };
    suite.contests = vec![ContestTable {
        heading: String::new(),
        targets: ["vllm", "triton", "<b>|@tgi"].map(str::to_owned).to_vec(),
        loads: vec![("concurrency 4".to_owned(), vec![cell(560.7), cell(404.7), None])],
        outcome: vec!["winner: vllm, at its peak 1.39 × triton the output rate".to_owned()],
    }];
    suite
}

#[test]
fn a_run_tells_verdict_trust_and_answer_first() {
    insta::assert_snapshot!(markdown(&[a_run()]));
}

#[test]
fn a_study_strikes_out_what_is_no_result() {
    insta::assert_snapshot!(markdown(&[a_study()]));
}

#[test]
fn a_suite_tells_its_verdict_line_by_line() {
    insta::assert_snapshot!(markdown(&[a_suite()]));
}

#[test]
fn several_records_stand_side_by_side() {
    let named = |mut subject: Subject, name: &str| {
        name.clone_into(&mut subject.id);
        let _: Option<String> = subject.tags.insert("name".to_owned(), name.to_owned());
        subject
    };
    insta::assert_snapshot!(markdown(&[named(a_study(), "one"), named(a_suite(), "other")]));
}

#[test]
fn the_markdown_tells_what_the_page_tells() {
    let mut of_one_point = a_suite();
    of_one_point.points.truncate(1);
    of_one_point.places.truncate(1);
    for subject in [a_run(), a_study(), a_suite(), of_one_point] {
        let (page, text) = (crate::html(std::slice::from_ref(&subject)), markdown(&[subject]));
        for said in [
            "Doubtful",
            "Void",
            "UNDECIDED",
            "At the knee",
            "By address",
            "By class",
            "What was asked",
            "Side by side",
        ] {
            assert_eq!(page.contains(said), text.contains(said), "{said}: {text}");
        }
    }
}

#[test]
fn nothing_foreign_is_a_link_a_mention_or_an_element() {
    for (text, expected) in [
        ("see http://evil.example/a_b?c=1, now", "see `http://evil.example/a_b?c=1`, now"),
        ("thanks @admin (mail root@host)", "thanks `@admin` (mail `root@host`)"),
        ("WWW.evil.example", "`WWW.evil.example`"),
        ("a|@b`c http://x|y", "a\\|`@b`&#96;c `http://x`\\|y"),
        (
            "[x](http://y) <b> &amp; #12 ~~z~~",
            "\\[x\\](`http://y`) &lt;b&gt; &amp;amp; \\#12 \\~\\~z\\~\\~",
        ),
        ("", ""),
    ] {
        assert_eq!(plain(text), expected);
    }
    assert_eq!(prose("raise `--a_b` to *two*"), "raise `--a_b` to \\*two\\*");
    assert_eq!(prose("a ` b | c"), "a ` b   c`");
}

proptest::proptest! {
    #[test]
    fn no_text_leaves_its_cell(text in proptest::prelude::any::<String>()) {
        for shown in [plain(&text), prose(&text)] {
            let bars = shown.replace("\\\\", "").replace("\\|", "");
            proptest::prop_assert!(!bars.contains('|') && !shown.contains('\n'), "{}", shown);
            let outside: String = shown.split('`').step_by(2).collect();
            proptest::prop_assert!(!outside.contains(['<', '>', '@']), "{}", shown);
        }
    }
}

#[test]
fn latencies_of_the_classes_of_a_saturated_run_are_struck_out() {
    let mut run = a_run();
    let e2e = crate::figure::cell(run.points[0].classes[0].latency.e2e_ms.unwrap().p50);
    assert!(!markdown(std::slice::from_ref(&run)).contains(&format!("~~{e2e}~~ |")));
    run.points[0].saturated = true;
    let text = markdown(std::slice::from_ref(&run));
    let class = text.lines().find(|line| line.starts_with("| chat")).unwrap();
    assert!(class.ends_with(&format!("| ~~{e2e}~~ |")), "{class}");
    let page = crate::document::html(std::slice::from_ref(&run));
    assert!(page.contains(&format!("<td><s>{e2e}</s></td></tr>")), "{e2e}");
}

#[test]
fn what_a_study_of_one_point_found_stands_in_every_form() {
    let mut study = a_run();
    study.findings = ["12 to 13 requests/s", "9 runs"]
        .map(|line| ("capacity".to_owned(), line.to_owned()))
        .to_vec();
    let subjects = std::slice::from_ref(&study);
    let page = crate::document::html(subjects);
    for line in ["12 to 13 requests/s", "9 runs"] {
        assert!(page.contains(line) && markdown(subjects).contains(line), "{line}");
    }
    let both = crate::workbook::facts(&study).into_iter().find(|(key, _)| key == "capacity");
    assert_eq!(both.unwrap().1, Cell::Text("12 to 13 requests/s; 9 runs".to_owned()));
}

#[test]
fn nothing_is_vouched_for_where_nothing_was_measured() {
    let mut study = a_run();
    study.points.clear();
    let subjects = std::slice::from_ref(&study);
    assert!(!markdown(subjects).contains("Sound"));
    assert!(!crate::document::html(subjects).contains("Sound:"));
}
