//! Studies of the embedded engine over loopback, interrupted and resumed.

use std::cell::RefCell;

use infermark_scenario::Given;

use super::*;
use crate::embedded;

fn base() -> Resolved {
    let given = [
        (&settings::TARGET, "sim:ttft=2ms,itl=1ms"),
        (&settings::CONCURRENCY, "1"),
        (&settings::REQUESTS, "6"),
        (&settings::INPUT_TOKENS, "16"),
        (&settings::OUTPUT_TOKENS, "4"),
    ];
    resolve(given.map(|(setting, text)| Given::flag(setting, text)).to_vec(), Seed(5)).unwrap()
}

fn order(concurrency: u32) -> Order {
    Order {
        label: format!("concurrency {concurrency}"),
        changes: vec![(&settings::CONCURRENCY, concurrency.to_string())],
        early: Early::Never,
    }
}

fn options<'a>(stop: &Stop, tell: &'a dyn Fn(Event<'_>)) -> StudyOptions<'a> {
    StudyOptions {
        secrets: &|_| None,
        stop: stop.clone(),
        watch: Watch::default(),
        calibration: None,
        shelf: Shelf::default(),
        tell,
    }
}

fn create<'a>(dir: &Path, stop: &Stop, tell: &'a dyn Fn(Event<'_>)) -> Study<'a> {
    let plan = json!({ "concurrency": [1, 2, 3] });
    Study::create(dir, Kind::Sweep, plan, &base(), options(stop, tell)).unwrap()
}

#[test]
fn a_study_holds_its_points_and_each_is_a_record_of_its_own() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("study");
    let mut study = create(&dir, &Stop::default(), &|_| ());
    for concurrency in [1, 2] {
        let taken = study.take(&order(concurrency)).unwrap();
        assert_eq!((taken.point.counts.success, taken.ended), (6, Ended::Whole));
        assert!(RunFile::of(&dir).unwrap().partial, "until the search has ended");
    }
    let mut found = Map::new();
    let _: Option<Value> = found.insert("knee".to_owned(), json!(1));
    let made = study.finish(found).unwrap();
    assert!(!made.header.partial);
    assert_eq!(
        (&made.header.rest["kind"], &made.header.rest["knee"]),
        (&json!("sweep"), &json!(1))
    );
    let seeds: Vec<_> = made.header.points.iter().map(|point| point["seed"].clone()).collect();
    assert_ne!(seeds[0], seeds[1]);
    for (value, taken) in made.header.points.iter().zip(&made.points) {
        let record = dir.join(value["record"].as_str().unwrap());
        let alone = measure_again(&record).unwrap();
        assert_eq!(alone.point, taken.point);
        assert_eq!(alone.header.target["embedded"], true);
    }
    let again = read(&dir).unwrap();
    assert_eq!((again.header, again.points.len()), (made.header, 2));
}

#[test]
fn what_was_measured_before_an_interruption_is_kept_and_not_measured_again() {
    let root = tempfile::tempdir().unwrap();
    let stop = Stop::default();
    let halt = stop.clone();
    let tell = |event: Event<'_>| {
        if matches!(event, Event::Begins { index: 1, .. }) {
            halt.abort();
        }
    };
    let mut study = create(root.path(), &stop, &tell);
    drop(study.take(&order(1)).unwrap());
    let error = study.take(&order(2)).unwrap_err();
    assert!(matches!(error, RunError::Stopped { .. }));
    let early = Study::resume(root.path(), Kind::Sweep, options(&Stop::default(), &|_| ()));
    assert!(matches!(early.err(), Some(RunError::Store(StoreError::Held { .. }))));
    drop(study);
    let kept = read(root.path()).unwrap();
    assert!(kept.header.partial && kept.points[0].point.counts.success == 6);

    let told = RefCell::new(Vec::new());
    let tell = |event: Event<'_>| {
        told.borrow_mut().push(match event {
            Event::Begins { label, .. } => format!("begins {label}"),
            Event::Measured(taken) => format!("measured {}", taken.label),
            Event::Found(taken) => format!("found {}", taken.label),
        });
    };
    let mut study =
        Study::resume(root.path(), Kind::Sweep, options(&Stop::default(), &tell)).unwrap();
    assert_eq!(study.plan()["concurrency"], json!([1, 2, 3]));
    let first = study.take(&order(1)).unwrap();
    assert_eq!(first.point, kept.points[0].point);
    // The second was cut short, and the third never begun.
    for concurrency in [2, 3] {
        assert_eq!(study.take(&order(concurrency)).unwrap().point.counts.success, 6);
    }
    assert_eq!(study.finish(Map::new()).unwrap().points.len(), 3);
    assert_eq!(
        told.borrow()[..3],
        ["found concurrency 1", "begins concurrency 2", "measured concurrency 2"]
    );
}

#[test]
fn a_point_of_another_scenario_is_not_taken_for_the_same() {
    let root = tempfile::tempdir().unwrap();
    let mut study = create(root.path(), &Stop::default(), &|_| ());
    drop(study.take(&order(1)).unwrap());
    drop(study);
    let begun = RefCell::new(0);
    let tell = |event: Event<'_>| {
        *begun.borrow_mut() += u32::from(matches!(event, Event::Begins { .. }));
    };
    let mut study =
        Study::resume(root.path(), Kind::Sweep, options(&Stop::default(), &tell)).unwrap();
    drop(study.take(&order(4)).unwrap());
    assert_eq!(*begun.borrow(), 1);
}

#[test]
fn changes_that_contradict_each_other_are_refused() {
    let changes = vec![
        (&settings::CONCURRENCY, "2".to_owned()),
        (&settings::MAX_CONCURRENCY, "1".to_owned()),
    ];
    let order = Order { label: String::new(), changes, early: Early::Never };
    let error = scenario_of(&base(), &order, 0).unwrap_err();
    assert!(
        matches!(error, RunError::Point { .. }) && error.to_string().contains("max_concurrency")
    );
}

#[test]
fn a_single_run_is_no_study() {
    let root = tempfile::tempdir().unwrap();
    let mut study = create(root.path(), &Stop::default(), &|_| ());
    drop(study.take(&order(1)).unwrap());
    let run = root.path().join("points/000");
    assert!(matches!(read(&run).unwrap_err(), RunError::NotAStudy { .. }));
    let (stop, tell) = (Stop::default(), |_: Event<'_>| ());
    let refused = |dir: &Path, kind| {
        let study = Study::resume(dir, kind, options(&stop, &tell));
        match study.err() {
            Some(RunError::OtherKind { found, asked, .. }) => Some((found, asked)),
            _ => None,
        }
    };
    assert_eq!(refused(&run, Kind::Sweep), Some(("run", "sweep")));
    assert_eq!(refused(root.path(), Kind::Capacity), Some(("sweep", "capacity")));
    assert_eq!(refused(root.path(), Kind::Sweep), None);
}

#[test]
fn a_target_that_goes_away_ends_the_study_and_keeps_what_was_measured() {
    let root = tempfile::tempdir().unwrap();
    let target = embedded::configure("ttft=2ms,itl=1ms").unwrap();
    let engine = embedded::engine("", &target, Seed(1)).unwrap();
    let serving = embedded::serve(embedded::served(&target), engine).unwrap();
    let url = format!("http://{}", serving.address());
    let base = base().with(&[(&settings::TARGET, url)]).unwrap();
    let stop = Stop::default();
    let options = options(&stop, &|_| ());
    let mut study = Study::create(root.path(), Kind::Sweep, json!({}), &base, options).unwrap();
    drop(study.take(&order(1)).unwrap());
    drop(serving.stop());
    let error = study.take(&order(2)).unwrap_err();
    assert!(matches!(error, RunError::Unreachable { .. }), "{error}");
    drop(study);
    let kept = read(root.path()).unwrap();
    assert!(kept.header.partial);
    assert_eq!((kept.points.len(), kept.points[0].point.counts.success), (1, 6));
}
