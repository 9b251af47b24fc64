//! Shares of the window, and the doubts that they raise.

use infermark_terms::{Nanos, OutputPolicy, Slo, Stamp};

use super::*;
use crate::{Build, LoadPlan, PointPlan, WindowPlan, WindowSearch, measure};

/// A point without any request: its own doubts are `TooFewSamples` and nothing else.
fn point() -> Point {
    let plan = PointPlan {
        load: LoadPlan::Closed { concurrency: 1 },
        window: WindowPlan::Whole { start: Stamp::ZERO },
        output_policy: OutputPolicy::Natural,
        build: Build::Release,
        gpus: None,
        slo: Slo::default(),
        search: WindowSearch::Given,
    };
    let mut point = measure(&plan, &[], []);
    point.trust.caveats.clear();
    point.trust.verdict = Trust::Sound;
    point
}

/// A thread over ten seconds, of which it used so many milliseconds in each way.
fn thread(busy: u64, spun: u64, queued: Option<u64>) -> Effort {
    Effort {
        wall: Nanos::from_secs(10),
        cpu: Nanos::from_millis(busy + spun),
        spun: Nanos::from_millis(spun),
        queued: queued.map(Nanos::from_millis),
        waits: 100,
        reads: 150,
        opened: 3,
        connections: 4,
    }
}

fn attested(threads: Vec<Effort>) -> Point {
    let mut point = point();
    attest(&mut point, &Client { threads, room_files: Some(1000), room_ports: None });
    point
}

#[test]
fn each_figure_is_a_share_of_the_window() {
    let point = attested(vec![thread(2000, 500, Some(10)), thread(1000, 0, None)]);
    let client = point.client.unwrap();
    let [first, second] = client.threads[..] else { panic!("two threads") };
    assert_eq!((first.busy_share, first.spin_share), (0.2, 0.05));
    assert_eq!((first.queued_share, second.queued_share), (Some(0.001), None));
    assert_eq!(first.reads_per_wait, Some(1.5));
    assert_eq!((client.connections_peak, client.connections_opened), (8, 6));
    assert_eq!(client.room_files, Some(1000));
    assert_eq!(point.trust.verdict, Trust::Sound);
}

#[test]
fn a_thread_without_rest_is_the_bound_whether_it_works_or_waits_for_a_core() {
    for (threads, bound) in [
        (vec![thread(8400, 0, Some(0))], false),
        (vec![thread(8600, 0, Some(0))], true),
        (vec![thread(8600, 0, None)], true),
        (vec![thread(5000, 0, Some(3600))], true),
        // To be awake ahead of a send is no work.
        (vec![thread(5000, 4900, Some(0))], false),
        (vec![thread(1000, 0, Some(0)), thread(8600, 0, Some(0))], true),
    ] {
        let point = attested(threads.clone());
        let codes: Vec<_> = point.trust.caveats.iter().map(|caveat| caveat.code).collect();
        let expected: &[CaveatCode] = if bound { &[CaveatCode::ClientBound] } else { &[] };
        assert_eq!(codes, expected, "{threads:?}");
        assert_eq!(point.trust.verdict == Trust::Doubtful, bound);
    }
}

#[test]
fn the_hint_tells_a_want_of_threads_from_a_want_of_cores() {
    let hint = |threads| attested(threads).trust.caveats[0].hint.clone();
    assert!(hint(vec![thread(9000, 0, Some(10))]).contains("--threads"));
    assert!(hint(vec![thread(5000, 0, Some(4500))]).contains("other programs"));
}

#[test]
fn waiting_for_a_core_explains_lateness_and_comes_in_its_place() {
    let caveat = |code| Caveat {
        code,
        lowers_to: Trust::Doubtful,
        detail: "late".to_owned(),
        hint: String::new(),
    };
    let mut point = point();
    point.trust.caveats = [CaveatCode::ClientBound, CaveatCode::DebugBuild].map(caveat).to_vec();
    let threads = vec![thread(5000, 0, Some(4000))];
    attest(&mut point, &Client { threads, ..Client::default() });
    let codes: Vec<_> = point.trust.caveats.iter().map(|caveat| caveat.code).collect();
    let bound = CaveatCode::ClientBound;
    assert_eq!(codes, [bound, bound, CaveatCode::DebugBuild]);
    assert!(point.trust.caveats[0].detail.contains("waited for a core for 40.0 %"));
    assert_eq!(point.trust.caveats[2].detail, "late");
}

#[test]
fn where_nothing_was_watched_nothing_is_claimed() {
    assert_eq!(attested(Vec::new()).client, None);
    assert_eq!(attested(vec![Effort::default()]).client, None);
}
