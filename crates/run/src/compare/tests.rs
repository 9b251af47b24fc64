//! Sides that are made up, so that it is known what belongs together; and studies of the embedded
//! engine over loopback.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use infermark_drive::Stop;
use infermark_measure::compare::{Settings, Standing, Unit};
use infermark_scenario::{Given, resolve, settings};
use infermark_store::RunFile;
use infermark_terms::Seed;
use serde_json::{Map, Value, json};

use super::side::Evidence;
use super::*;
use crate::Watch;
use crate::hub::Shelf;
use crate::study::{Early, Ended, Kind, Order, Rig, Study, StudyOptions};

fn spot(load: Load, telling: &[(&str, &str)]) -> Spot {
    let texts = |(key, text): &(&str, &str)| ((*key).to_owned(), (*text).to_owned());
    Spot {
        label: load.to_string(),
        load,
        evidence: Evidence::Quoted(Vec::new()),
        ended: Ended::Whole,
        saturated: false,
        telling: telling.iter().map(texts).collect(),
        facts: BTreeMap::new(),
    }
}

fn side(spots: Vec<Spot>) -> Side {
    Side { dir: PathBuf::new(), header: RunFile::default(), spots }
}

fn paired(one: Vec<Spot>, other: Vec<Spot>) -> (Vec<String>, [Vec<String>; 2]) {
    let (one, other) = (side(one), side(other));
    let found = pair(&one, &other);
    let label = |spot: &Spot| {
        let telling: Vec<_> = spot.telling.values().cloned().collect();
        [telling, vec![spot.label.clone()]].concat().join(" ")
    };
    let both = |[one, other]: &[&Spot; 2]| format!("{} = {}", label(one), label(other));
    (
        found.pairs.iter().map(both).collect(),
        found.unpaired.map(|spots| spots.into_iter().map(label).collect()),
    )
}

#[test]
fn points_are_paired_by_their_load() {
    let (pairs, [one, other]) = paired(
        vec![
            spot(Load::Closed(1), &[]),
            spot(Load::Throughput, &[]),
            spot(Load::Open(4.0), &[]),
            spot(Load::Open(8.0), &[]),
        ],
        vec![
            spot(Load::Open(4.02), &[]),
            spot(Load::Open(8.4), &[]),
            spot(Load::Throughput, &[]),
            spot(Load::Closed(1), &[]),
        ],
    );
    assert_eq!(
        pairs,
        ["concurrency 1 = concurrency 1", "throughput = throughput", "rate 4/s = rate 4.02/s"]
    );
    assert_eq!((one, other), (vec!["rate 8/s".to_owned()], vec!["rate 8.4/s".to_owned()]));
}

#[test]
fn what_is_the_same_throughout_a_side_pairs_in_any_case() {
    let rungs = |input: &'static str| {
        [1, 8].map(|slots| spot(Load::Closed(slots), &[("input_tokens", input)])).to_vec()
    };
    let (pairs, unpaired) = paired(rungs("512"), rungs("1024"));
    let expected =
        ["512 concurrency 1 = 1024 concurrency 1", "512 concurrency 8 = 1024 concurrency 8"];
    assert_eq!(pairs, expected);
    assert!(unpaired.iter().all(Vec::is_empty));
    // In a matrix of lengths it tells the points apart.
    let matrix = [rungs("512"), rungs("1024")].concat();
    let (pairs, [one, other]) = paired(matrix, rungs("1024"));
    let expected =
        ["1024 concurrency 1 = 1024 concurrency 1", "1024 concurrency 8 = 1024 concurrency 8"];
    assert_eq!(pairs, expected);
    assert_eq!((one.len(), other.len()), (2, 0));
    // Of single runs nothing varies.
    let (pairs, _) = paired(vec![spot(Load::Closed(4), &[])], vec![spot(Load::Open(2.0), &[])]);
    assert_eq!(pairs, ["concurrency 4 = rate 2/s"]);
}

/// Another tool's result of these loads, with times by its own definition and by ours.
fn foreign(definitions: &str, points: &[(u64, f64)]) -> Side {
    let point = |(slots, ttft): &(u64, f64)| {
        json!({
            "load": { "kind": "closed", "concurrency": slots },
            "latency": { "service_ttft_ms": { "mean": ttft, "p99": 2.0 * ttft } },
            "rates": { "output_tokens_per_s": 100.0 },
            "peer": { "label": "", "figures": {
                "ttft": { "unit": "s", "key": "service_ttft_ms", "mean": ttft / 1e3 },
                "itl": { "unit": "s", "mean": ttft / 1e4 },
                "prompt_len": { "unit": "tokens", "mean": 7.0 },
            } },
        })
    };
    let header = RunFile {
        definitions: definitions.to_owned(),
        points: points.iter().map(point).collect(),
        ..RunFile::default()
    };
    Side::of_quotes(Path::new("theirs.json"), header)
}

fn contrasted(one: &Side, other: &Side) -> Vec<Contrasted> {
    let pairs = pair(one, other).pairs;
    pairs.into_iter().map(|spots| contrast(spots, &[], Settings::default()).unwrap()).collect()
}

fn figures(found: &Contrasted) -> Vec<String> {
    found.comparison.findings.iter().map(|finding| finding.figure.to_string()).collect()
}

#[test]
fn one_tools_figures_are_compared_as_it_defines_them_and_judged_by_nobody() {
    let one = foreign("guidellm/0.8.1", &[(1, 20.0), (4, 30.0)]);
    let other = foreign("guidellm/0.8.2", &[(1, 40.0), (8, 30.0)]);
    let [found] = &contrasted(&one, &other)[..] else { panic!("one load in common") };
    let named = ["service_ttft:mean", "service_ttft:p99", "itl:mean", "output_tokens_per_s"];
    assert_eq!(figures(found), named);
    let itl = &found.comparison.findings[2];
    assert!((itl.baseline - 2.0).abs() < 1e-9 && itl.change == Some(1.0), "in ms: {itl:?}");
    assert!(found.comparison.findings.iter().all(|f| f.verdict == Standing::CannotTell));
    assert_eq!(found.comparison.unit, Unit::Nothing);
    let differs: Vec<_> = found.differences.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(differs, ["definitions"]);
    // A bound on a figure without an interval decides nothing.
    let bounds = ["service_ttft:mean<=10ms", "ttft:p50<=10ms"].map(|text| text.parse().unwrap());
    let [Some(ruling), None] = found.rule(&bounds).unwrap()[..] else { panic!("one is stated") };
    assert_eq!(
        (ruling.value, ruling.verdict),
        (Some(40.0), infermark_measure::Decision::Undecided)
    );
}

#[test]
fn two_tools_share_only_what_both_define_alike() {
    let one = foreign("guidellm/0.8.1", &[(1, 20.0)]);
    let other = foreign("vllm", &[(1, 20.0)]);
    let [found] = &contrasted(&one, &other)[..] else { panic!("one load") };
    let named = ["service_ttft:mean", "service_ttft:p99", "output_tokens_per_s"];
    assert_eq!(figures(found), named);
}

#[test]
fn repeats_of_another_tool_are_tested_by_their_means() {
    let repeats = |ttft: f64| foreign("vllm", &[(4, ttft), (4, ttft + 0.2), (4, ttft - 0.2)]);
    let [found] = &contrasted(&repeats(20.0), &repeats(30.0))[..] else { panic!("one load") };
    assert_eq!(found.comparison.unit, Unit::Runs);
    assert_eq!(figures(found), ["service_ttft:mean", "itl:mean", "output_tokens_per_s"]);
    assert_eq!(found.comparison.findings[0].verdict, Standing::Worse);
    assert_eq!(found.comparison.findings[2].verdict, Standing::Same);
}

/// Measures these concurrencies of an engine as a study in `dir`; `all` is all at once.
fn study(dir: &Path, engine: &str, kind: Kind, rungs: &[&str]) {
    let given = [
        (&settings::TARGET, engine),
        (&settings::INPUT_TOKENS, "16"),
        (&settings::OUTPUT_TOKENS, "6"),
        (&settings::REQUESTS, "44"),
        (&settings::SEED, "7"),
        (&settings::CONCURRENCY, "4"),
    ];
    let given = given.map(|(setting, text)| Given::flag(setting, text)).to_vec();
    let base = resolve(given, Seed(7)).unwrap();
    let options = StudyOptions {
        secrets: &|_| None,
        stop: Stop::default(),
        watch: Watch::default(),
        calibration: None,
        shelf: Shelf::default(),
        tell: &|_| (),
    };
    let mut study = Study::create(dir, kind, Value::Null, &base, options).unwrap();
    for slots in rungs {
        let changes = match *slots {
            "all" => vec![(&settings::THROUGHPUT, "yes".to_owned())],
            slots => vec![(&settings::CONCURRENCY, slots.to_owned())],
        };
        let label = format!("{slots} slots");
        let _ = study.take(&Order { label, changes, early: Early::Never }).unwrap();
    }
    let _ = study.finish(Map::new()).unwrap();
}

#[test]
fn studies_are_compared_point_by_point_and_repeats_as_runs() {
    let root = tempfile::tempdir().unwrap();
    let dir = |name: &str| root.path().join(name);
    study(&dir("a"), "sim:ttft=1ms,itl=2ms", Kind::Sweep, &["4", "2"]);
    study(&dir("b"), "sim:ttft=1ms,itl=6ms", Kind::Sweep, &["2", "8", "4"]);
    study(&dir("c"), "sim:ttft=1ms,itl=6ms", Kind::Repeat, &["4", "4", "4"]);
    study(&dir("d"), "sim:ttft=1ms,itl=2ms", Kind::Repeat, &["4", "4", "4"]);
    let open = |name: &str| Side::open(&dir(name)).unwrap();
    let (sweep, slower) = (open("a"), open("b"));

    let found = contrasted(&sweep, &slower);
    let labels: Vec<_> = found.iter().map(|found| found.labels[0].as_str()).collect();
    assert_eq!(labels, ["4 slots", "2 slots"]);
    assert_eq!(pair(&sweep, &slower).unpaired[1][0].label, "8 slots");
    let verdict = |found: &Contrasted, figure: &str| {
        let mut findings = found.comparison.findings.iter();
        findings.find(|finding| finding.figure.to_string() == figure).unwrap().verdict
    };
    for found in &found {
        assert_eq!(verdict(found, "tpot:mean"), Standing::Worse);
    }
    // The seeds of points follow their place in the study: the two were asked different things.
    assert_eq!(found[0].comparison.unit, Unit::Batches);

    let [found] = &contrasted(&open("d"), &open("c"))[..] else { panic!("one point each") };
    assert_eq!(found.comparison.unit, Unit::Runs);
    assert_eq!(verdict(found, "tpot:mean"), Standing::Worse);
    // One run of a study beside repeats: the same load, and batches are the units.
    let first = contrasted(&sweep, &open("c"));
    assert_eq!((first.len(), first[0].comparison.unit), (1, Unit::Batches));

    // The very same requests, one by one.
    study(&dir("e"), "sim:ttft=1ms,itl=6ms", Kind::Sweep, &["4", "2"]);
    let found = contrasted(&sweep, &open("e"));
    assert_eq!(found[0].comparison.unit, Unit::Pairs);
    assert_eq!(verdict(&found[0], "tpot:mean"), Standing::Worse);
    let counts = found[0].comparison.findings[0].n;
    assert_eq!(counts[0], counts[1], "of the requests that both have");
}

#[test]
fn latencies_of_floods_are_no_result_and_are_not_compared() {
    let root = tempfile::tempdir().unwrap();
    let dirs = ["a", "b"].map(|name| root.path().join(name));
    for dir in &dirs {
        study(dir, "sim:ttft=1ms,itl=2ms", Kind::Sweep, &["4", "all"]);
    }
    let [one, other] = dirs.each_ref().map(|dir| Side::open(dir).unwrap());
    let found = contrasted(&one, &other);
    assert_eq!(
        found.iter().map(|found| found.saturated).collect::<Vec<_>>(),
        [[false; 2], [true; 2]]
    );
    let figures = |found: &Contrasted| {
        let figures = found.comparison.findings.iter().map(|finding| finding.figure.to_string());
        figures.filter(|figure| figure.starts_with("ttft")).count()
    };
    assert!(figures(&found[0]) > 0 && figures(&found[1]) == 0);
    assert!(!found[1].comparison.findings.is_empty(), "rates are compared");
}
