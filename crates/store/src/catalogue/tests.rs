//! The laws of the catalogue.

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::{KeepChunks, RunWriter, samples};

fn header(id: &str) -> RunFile {
    RunFile {
        id: id.into(),
        target: json!({
            "url": "http://host:8000", "model": "m",
            "server": { "name": "vllm", "version": "0.32.0" },
            "hardware": { "gpu": "H100", "count": 8 },
        }),
        scenario: json!({
            "values": [{ "key": "throughput", "text": "no" }, { "key": "rate", "text": "12/s" }],
            "tags": { "team": "a" },
        }),
        points: vec![json!({
            "counts": { "due": 40, "failed": 2 },
            "rates": { "output_tokens_per_s": 81.5 },
            "latency": { "ttft_ms": { "p50": 28.25 }, "itl_ms": { "p50": 4.5 } },
            "trust": { "verdict": "doubtful" },
        })],
        ..samples::header()
    }
}

fn keep(root: &Path, name: &str, header: &RunFile) {
    let writer = RunWriter::create(&root.join(name), header).unwrap();
    writer.finish(header, KeepChunks::Drop).unwrap();
}

/// A directory with three runs: complete, cut short, unreadable.
fn three() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    keep(root.path(), "a", &header("first"));
    drop(RunWriter::create(&root.path().join("b"), &header("second")).unwrap());
    fs::create_dir(root.path().join("c")).unwrap();
    fs::write(root.path().join("c/run.json"), "{").unwrap();
    fs::create_dir(root.path().join("no-run")).unwrap();
    root
}

/// Lists, and says how many headers had to be read.
fn listed(root: &Path) -> (Vec<Entry>, usize) {
    let mut read = 0;
    let entries = list(root, &mut |count, _| read = count).unwrap();
    (entries, read)
}

fn file(root: &Path) -> PathBuf {
    root.join(files::CATALOGUE)
}

#[test]
fn a_listing_tells_of_every_run_what_tells_it_from_others() {
    let root = three();
    let (entries, _) = listed(root.path());
    let some = |text: &str| Some(text.to_owned());
    let expected = Entry {
        name: "a".into(),
        id: "first".into(),
        kind: "run".into(),
        created: "2026-01-02T03:04:05Z".into(),
        state: Standing::Complete,
        model: some("m"),
        target: some("http://host:8000"),
        server: some("vllm 0.32.0"),
        gpu: some("8xH100"),
        load: some("rate 12/s"),
        tags: [("team".to_owned(), "a".to_owned())].into(),
        definitions: "1".into(),
        points: 1,
        requests: Some(40),
        failed: Some(2),
        output_tokens_per_s: Some(81.5),
        ttft_ms_p50: Some(28.25),
        itl_ms_p50: Some(4.5),
        trust: some("doubtful"),
        problem: None,
    };
    assert_eq!(entries[0], expected);
    let states: Vec<_> = entries.iter().map(|entry| (&*entry.name, entry.state)).collect();
    let expected =
        [("a", Standing::Complete), ("b", Standing::Partial), ("c", Standing::Unreadable)];
    assert_eq!(states, expected);
    let problem = entries[2].problem.as_deref().unwrap();
    assert!(problem.ends_with("run.json` is not a valid run header"), "{problem}");
}

#[test]
fn a_study_adds_up_its_points_and_is_trusted_as_the_worst_of_them() {
    let root = tempfile::tempdir().unwrap();
    let mut study = header("s");
    let _: Option<serde_json::Value> = study.rest.insert("kind".into(), json!("sweep"));
    study.points.push(json!({ "counts": { "due": 2 }, "trust": { "verdict": "void" } }));
    study.begin(&root.path().join("s")).unwrap();
    let (entries, _) = listed(root.path());
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((&*entry.kind, entry.points, entry.requests), ("sweep", 2, Some(42)));
    assert_eq!((entry.output_tokens_per_s, entry.trust.as_deref()), (None, Some("void")));
    assert_eq!(entry.load, None, "each point has its own");
}

#[test]
fn a_search_for_capacity_and_a_suite_are_trusted_as_the_points_are_that_count() {
    for key in ["capacity", "validation"] {
        let root = tempfile::tempdir().unwrap();
        let mut study = header("s");
        study.rest.extend([(key.to_owned(), json!({ "trust": "sound" }))]);
        study.points.push(json!({ "trust": { "verdict": "void" } }));
        study.begin(&root.path().join("s")).unwrap();
        assert_eq!(listed(root.path()).0[0].trust.as_deref(), Some("sound"));
    }
}

#[test]
fn a_header_is_read_once_and_again_when_it_changes() {
    let root = three();
    assert_eq!(listed(root.path()).1, 3);
    assert_eq!(listed(root.path()).1, 0);
    // Copied in, changed and deleted by hand.
    fs::create_dir(root.path().join("d")).unwrap();
    let copied = fs::copy(root.path().join("a/run.json"), root.path().join("d/run.json"));
    assert!(copied.is_ok());
    header("changed").replace(&root.path().join("b")).unwrap();
    fs::remove_dir_all(root.path().join("c")).unwrap();
    let (entries, read) = listed(root.path());
    let ids: Vec<_> = entries.iter().map(|entry| (&*entry.name, &*entry.id)).collect();
    assert_eq!(ids, [("a", "first"), ("b", "changed"), ("d", "first")]);
    assert_eq!(read, 2);
    assert_eq!(listed(root.path()), (entries, 0));
}

#[test]
fn whatever_becomes_of_the_file_the_listing_is_the_same() {
    let root = three();
    let path = file(root.path());
    let (expected, _) = listed(root.path());
    let whole = fs::read(&path).unwrap();
    let mut spoilt = vec![Vec::new(), b"no database".to_vec(), vec![0xff; 8192]];
    spoilt.push(whole[..whole.len() / 2].to_vec());
    for at in (0..whole.len()).step_by(997) {
        let mut changed = whole.clone();
        changed[at..(at + 40).min(whole.len())].fill(0x5a);
        spoilt.push(changed);
    }
    for content in spoilt {
        fs::write(&path, content).unwrap();
        let (entries, _) = listed(root.path());
        let names = |entries: &[Entry]| -> Vec<_> {
            entries.iter().map(|entry| (entry.name.clone(), entry.state)).collect()
        };
        assert_eq!(names(&entries), names(&expected));
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(listed(root.path()), (expected, 3));
}

#[test]
fn a_file_of_another_version_is_made_anew() {
    let root = three();
    let (expected, _) = listed(root.path());
    for version in [VERSION_BEFORE, VERSION_AFTER] {
        let connection = rusqlite::Connection::open(file(root.path())).unwrap();
        connection.execute_batch("ALTER TABLE runs RENAME COLUMN model TO other").unwrap();
        connection.pragma_update(None, "user_version", version).unwrap();
        drop(connection);
        assert_eq!(listed(root.path()), (expected.clone(), 3));
        assert_eq!(listed(root.path()).1, 0);
    }
}

const VERSION_BEFORE: i64 = -1;
const VERSION_AFTER: i64 = 1000;

#[test]
fn where_the_file_cannot_be_written_it_is_done_without() {
    let root = three();
    fs::create_dir(file(root.path())).unwrap();
    assert_eq!(listed(root.path()).0.len(), 3);
    assert_eq!(listed(root.path()).1, 3);
}

#[test]
fn a_run_that_ends_is_noted_and_need_not_be_read_again() {
    let root = three();
    let _: (Vec<Entry>, usize) = listed(root.path());
    keep(root.path(), "d", &header("fourth"));
    note(&root.path().join("d"));
    let (entries, read) = listed(root.path());
    assert_eq!((entries.len(), read), (4, 0));
}

#[test]
fn a_run_under_way_is_told_from_one_that_was_cut_short_and_is_not_removed() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("a");
    let writer = RunWriter::create(&dir, &header("a")).unwrap();
    assert_eq!(listed(root.path()).0[0].state, Standing::Running);
    assert!(matches!(remove(&dir), Err(StoreError::Held { .. })));
    drop(writer);
    assert_eq!(listed(root.path()).0[0].state, Standing::Partial);
    remove(&dir).unwrap();
    assert!(!dir.exists());
    assert_eq!(listed(root.path()), (Vec::new(), 0));
}

#[test]
fn only_runs_are_removed_and_links_to_runs_as_links() {
    let root = three();
    assert!(matches!(remove(&root.path().join("no-run")), Err(StoreError::NotARun { .. })));
    let link = root.path().join("link");
    std::os::unix::fs::symlink(root.path().join("a"), &link).unwrap();
    remove(&link).unwrap();
    assert!(!link.exists() && root.path().join("a/run.json").is_file());
}

#[test]
fn a_name_is_meant_by_its_beginning_or_end_where_only_one_has_it() {
    let root = tempfile::tempdir().unwrap();
    for name in ["20260101-aa", "20260102-bb", "2026", "x-2026"] {
        keep(root.path(), name, &header(name));
    }
    let meant = |text: &str| find(root.path(), text).unwrap();
    let one = |name: &str| Meant::One(root.path().join(name));
    assert_eq!(meant("20260101"), one("20260101-aa"));
    assert_eq!(meant("bb"), one("20260102-bb"));
    assert_eq!(meant("2026"), one("2026"), "a whole name is that name");
    let several = ["20260101-aa", "20260102-bb"].map(str::to_owned).to_vec();
    assert_eq!(meant("202601"), Meant::Several(several));
    assert_eq!((meant("y"), meant("")), (Meant::Nothing, Meant::Nothing));
    assert_eq!(find(&root.path().join("nowhere"), "y").unwrap(), Meant::Nothing);
}
