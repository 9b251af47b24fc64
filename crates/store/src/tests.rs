//! The laws of a record, through its public face.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use infermark_terms::{ChunkRow, RequestId, RequestRow, TelemetryRow};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::columnar::{Access, Columnar, Presence};
use crate::encoding::Bytes;
use crate::journal::Row;
use crate::{
    KeepChunks, RunFile, RunWriter, State, StoreError, StoredRun, TextPiece, open, samples,
};

const WHOLE: State = State::Partial { torn_bytes: 0 };

/// A record in a directory of its own.
struct Fixture {
    root: TempDir,
    writer: RunWriter,
}

fn begin() -> Fixture {
    let root = tempfile::tempdir().unwrap();
    let writer = RunWriter::create(&root.path().join("run"), &samples::header()).unwrap();
    Fixture { root, writer }
}

impl Fixture {
    fn dir(&self) -> PathBuf {
        self.root.path().join("run")
    }
}

fn chunks(run: &StoredRun) -> Vec<ChunkRow> {
    run.chunks().unwrap().map(Result::unwrap).collect()
}

fn telemetry(run: &StoredRun) -> Vec<TelemetryRow> {
    run.telemetry().unwrap().map(Result::unwrap).collect()
}

fn texts(run: &StoredRun) -> Vec<TextPiece> {
    run.texts().unwrap().map(Result::unwrap).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap().path();
        let to = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy(&entry, &to);
        } else {
            assert!(fs::copy(&entry, to).is_ok());
        }
    }
}

/// One call of the writer.
#[derive(Clone, Debug)]
enum Call {
    Requests(Vec<RequestRow>),
    Chunks(Vec<ChunkRow>),
    Telemetry(Vec<TelemetryRow>),
    Text(u64, Vec<u8>),
    Flush,
}

fn any_call() -> impl Strategy<Value = Call> {
    prop_oneof![
        vec(samples::any_request(12), 0..6).prop_map(Call::Requests),
        vec(samples::any_chunk(), 0..20).prop_map(Call::Chunks),
        vec(samples::any_telemetry(), 0..20).prop_map(Call::Telemetry),
        (0..4_u64, any::<Vec<u8>>()).prop_map(|(id, text)| Call::Text(id, text)),
        Just(Call::Flush),
    ]
}

/// What a record holds.
type Kept = (Vec<RequestRow>, Vec<ChunkRow>, Vec<TelemetryRow>, Vec<TextPiece>);

/// What the calls should leave: a later request of the same id replaces the earlier.
fn model(calls: &[Call]) -> Kept {
    let (mut requests, mut chunks, mut texts) = (Vec::<RequestRow>::new(), vec![], vec![]);
    let mut telemetry = vec![];
    for call in calls {
        match call.clone() {
            Call::Requests(rows) => {
                for row in rows {
                    requests.retain(|earlier| earlier.id != row.id);
                    requests.push(row);
                }
            }
            Call::Chunks(rows) => chunks.extend(rows),
            Call::Telemetry(rows) => telemetry.extend(rows),
            Call::Text(id, text) if !text.is_empty() => {
                texts.push(TextPiece { request: RequestId(id), text });
            }
            Call::Text(..) | Call::Flush => (),
        }
    }
    (requests, chunks, telemetry, texts)
}

proptest! {
    // Each case syncs several files. The encodings themselves are tried more often below.
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn journals_and_tables_give_back_what_was_appended(calls in vec(any_call(), 0..30)) {
        let mut run = begin();
        for call in &calls {
            match call {
                Call::Requests(rows) => run.writer.append_requests(rows).unwrap(),
                Call::Chunks(rows) => run.writer.append_chunks(rows).unwrap(),
                Call::Telemetry(rows) => run.writer.append_telemetry(rows).unwrap(),
                Call::Text(id, text) => run.writer.append_text(RequestId(*id), text).unwrap(),
                Call::Flush => run.writer.flush().unwrap(),
            }
        }
        run.writer.flush().unwrap();
        let (dir, expected) = (run.dir(), model(&calls));

        let living = open(&dir).unwrap();
        prop_assert_eq!(living.state, WHOLE);
        let header = RunFile { partial: true, ..samples::header() };
        prop_assert_eq!(&living.header, &header);
        let (requests, said) = (living.requests().unwrap(), telemetry(&living));
        let found = (requests, chunks(&living), said, texts(&living));
        prop_assert_eq!(&found, &expected);

        run.writer.finish(&samples::header(), KeepChunks::Keep).unwrap();
        let finished = open(&dir).unwrap();
        prop_assert_eq!(finished.state, State::Complete);
        prop_assert_eq!(&finished.header, &samples::header());
        let found = (finished.requests().unwrap(), chunks(&finished), telemetry(&finished));
        prop_assert_eq!(found, (expected.0, expected.1, expected.2));
        prop_assert_eq!(texts(&finished), vec![]);
        let left: Vec<_> = fs::read_dir(&dir).unwrap().collect();
        prop_assert_eq!(left.len(), 4);
    }
}

fn encoded<R: Row>(rows: &[R]) -> Vec<u8> {
    let (mut before, mut out) = (R::Before::default(), vec![]);
    for row in rows {
        row.put(&mut before, &mut out);
    }
    out
}

fn decoded<R: Row>(bytes: &[u8]) -> Option<Vec<R>> {
    let (mut before, mut from, mut rows) = (R::Before::default(), Bytes(bytes), vec![]);
    while !from.is_empty() {
        rows.push(R::take(&mut before, &mut from)?);
    }
    Some(rows)
}

proptest! {
    #[test]
    fn the_journals_encodings_are_faithful(
        requests in vec(samples::any_request(99), 0..4),
        chunks in vec(samples::any_chunk(), 0..20),
        telemetry in vec(samples::any_telemetry(), 0..20),
    ) {
        prop_assert_eq!(decoded(&encoded(&requests)), Some(requests));
        prop_assert_eq!(decoded(&encoded(&chunks)), Some(chunks));
        prop_assert_eq!(decoded(&encoded(&telemetry)), Some(telemetry));
    }

    #[test]
    fn any_bytes_are_rows_or_refused(bytes: Vec<u8>) {
        let (requests, chunks) = (decoded::<RequestRow>(&bytes), decoded::<ChunkRow>(&bytes));
        prop_assert!(requests.is_none_or(|rows| rows.len() <= bytes.len()));
        prop_assert!(chunks.is_none_or(|rows| rows.len() <= bytes.len()));
        let telemetry = decoded::<TelemetryRow>(&bytes);
        prop_assert!(telemetry.is_none_or(|rows| rows.len() <= bytes.len()));
    }
}

/// Appends three flushes to each journal, and returns for each journal its name and how many rows
/// it has at each whole length.
fn three_flushes(run: &mut Fixture) -> Vec<(&'static str, Vec<(u64, usize)>)> {
    let names = ["requests.log", "chunks.log", "telemetry.log", "text.log"];
    let mut steps = names.map(|name| (name, vec![]));
    for step in 0..4_u64 {
        for (name, lengths) in &mut steps {
            let path = run.dir().join("journal").join(name);
            lengths.push((fs::metadata(path).unwrap().len(), 2 * step as usize));
        }
        if step < 3 {
            let id = 2 * step;
            run.writer.append_text(RequestId(id), b"hello").unwrap();
            run.writer.append_text(RequestId(id + 1), b"world").unwrap();
            let rows = [samples::chunk(id, 10 * id), samples::chunk(id + 1, 10 * id + 1)];
            run.writer.append_chunks(&rows).unwrap();
            let rows = [samples::telemetry(id), samples::telemetry(id + 1)];
            run.writer.append_telemetry(&rows).unwrap();
            let rows = [samples::request(id), samples::request(id + 1)];
            run.writer.append_requests(&rows).unwrap();
            run.writer.flush().unwrap();
        }
    }
    steps.into()
}

/// How many rows of the journal `name` a record gives.
fn rows_of(run: &StoredRun, name: &str) -> usize {
    let requests = run.requests().unwrap();
    let chunks = chunks(run);
    let texts = texts(run);
    let telemetry = telemetry(run);
    assert!(telemetry.iter().map(|row| row.at.0).eq(0..telemetry.len() as u64));
    assert!(requests.iter().map(|row| row.id.0).eq(0..requests.len() as u64));
    assert!(chunks.iter().map(|row| row.request.0).eq(0..chunks.len() as u64));
    assert!(texts.iter().map(|row| row.request.0).eq(0..texts.len() as u64));
    match name {
        "requests.log" => requests.len(),
        "chunks.log" => chunks.len(),
        "telemetry.log" => telemetry.len(),
        _ => texts.len(),
    }
}

#[test]
fn a_journal_cut_at_any_byte_gives_all_that_was_complete() {
    let mut run = begin();
    for (name, lengths) in three_flushes(&mut run) {
        let path = run.dir().join("journal").join(name);
        let file = File::options().write(true).open(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in (0..=whole.len() as u64).rev() {
            file.set_len(cut).unwrap();
            let found = open(&run.dir()).unwrap();
            let kept = lengths.iter().rev().find(|(length, _)| *length <= cut);
            let (length, rows) = kept.copied().unwrap_or((0, 0));
            assert_eq!(rows_of(&found, name), rows, "{name} cut at {cut}");
            assert_eq!(found.state, State::Partial { torn_bytes: cut - length });
        }
        file.write_all_at(&whole, 0).unwrap();
    }
}

#[test]
fn a_changed_byte_is_found_wherever_it_is() {
    let mut run = begin();
    for (name, lengths) in three_flushes(&mut run) {
        let path = run.dir().join("journal").join(name);
        let file = File::options().write(true).open(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() as u64 {
            let byte = whole[at as usize];
            file.write_all_at(&[byte ^ 0x10], at).unwrap();
            let found = open(&run.dir());
            file.write_all_at(&[byte], at).unwrap();
            if at < lengths[0].0 {
                assert!(found.is_err(), "{name} changed at {at}");
                continue;
            }
            let (length, _) = lengths.iter().rev().find(|(length, _)| *length <= at).unwrap();
            let torn_bytes = whole.len() as u64 - length;
            assert_eq!(found.unwrap().state, State::Partial { torn_bytes });
        }
    }
}

#[test]
fn a_request_that_is_there_has_its_chunks_even_without_a_flush() {
    let mut run = begin();
    // Request rows are the larger: theirs is the journal that is written out first.
    for id in 0..5_000 {
        run.writer.append_chunks(&[samples::chunk(id, id)]).unwrap();
        run.writer.append_requests(&[samples::request(id)]).unwrap();
    }
    let found = open(&run.dir()).unwrap();
    let ended = found.requests().unwrap().len();
    assert!(ended > 0 && ended < 5_000);
    assert_eq!(chunks(&found).len(), ended);
}

#[test]
fn a_finish_that_fails_half_way_leaves_the_partial_record() {
    let mut run = begin();
    drop(three_flushes(&mut run));
    let dir = run.dir();
    // The requests' table can be written, the chunks' cannot.
    fs::create_dir(dir.join("chunks.parquet.tmp")).unwrap();
    let results = RunFile { points: vec![], ..samples::header() };
    let error = run.writer.finish(&results, KeepChunks::Keep).unwrap_err();
    assert!(matches!(error, StoreError::Write { .. }), "{error:?}");
    assert!(dir.join("requests.parquet").exists());
    let found = open(&dir).unwrap();
    assert_eq!(found.state, WHOLE);
    assert_eq!(found.header, RunFile { partial: true, ..samples::header() });
    assert_eq!(found.requests().unwrap().len(), 6);
    assert_eq!(chunks(&found).len(), 6);
    assert_eq!(found.text(RequestId(3)).unwrap(), b"world");
}

#[test]
fn a_finish_killed_before_its_last_step_is_complete() {
    let mut run = begin();
    drop(three_flushes(&mut run));
    let (dir, saved) = (run.dir(), run.root.path().join("saved"));
    copy(&dir.join("journal"), &saved);
    run.writer.finish(&samples::header(), KeepChunks::Keep).unwrap();
    let finished = open(&dir).unwrap();
    copy(&saved, &dir.join("journal"));
    let killed = open(&dir).unwrap();
    assert_eq!(killed.state, State::Complete);
    assert_eq!(killed.requests().unwrap(), finished.requests().unwrap());
    assert_eq!(chunks(&killed), chunks(&finished));
}

#[test]
fn an_interrupted_run_can_be_finished_as_partial() {
    let mut run = begin();
    drop(three_flushes(&mut run));
    let dir = run.dir();
    let header = RunFile { partial: true, ..samples::header() };
    run.writer.finish(&header, KeepChunks::Keep).unwrap();
    let found = open(&dir).unwrap();
    assert_eq!(found.state, WHOLE);
    assert_eq!(found.requests().unwrap().len(), 6);
    assert!(!dir.join("journal").exists());
}

#[test]
fn chunks_that_are_not_kept_are_none_and_the_record_says_so() {
    let mut run = begin();
    drop(three_flushes(&mut run));
    let dir = run.dir();
    assert_eq!(open(&dir).unwrap().keeps_chunks(), KeepChunks::Keep);
    run.writer.finish(&samples::header(), KeepChunks::Drop).unwrap();
    let found = open(&dir).unwrap();
    assert_eq!(found.keeps_chunks(), KeepChunks::Drop);
    assert_eq!(chunks(&found), []);
    assert_eq!(found.requests().unwrap().len(), 6);
}

#[test]
fn a_record_never_replaces_anything() {
    let run = begin();
    let again = RunWriter::create(&run.dir(), &samples::header());
    assert!(matches!(again.err(), Some(StoreError::NotEmpty { .. })));
    let empty = run.root.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(RunWriter::create(&empty, &samples::header()).is_ok());
}

#[test]
fn a_header_of_a_later_version_is_named_with_the_build_that_wrote_it() {
    let run = begin();
    let path = run.dir().join("run.json");
    let later = r#"{"schema": "infermark.run/2", "environment": {"version": "3.1.0"}}"#;
    fs::write(&path, later).unwrap();
    let error = open(&run.dir()).unwrap_err();
    let StoreError::Newer { found, reads, writer, .. } = &error else { panic!("{error:?}") };
    assert_eq!((&**found, &**reads), ("infermark.run/2", "infermark.run/1"));
    assert_eq!(writer.as_deref(), Some("3.1.0"));
}

#[test]
fn a_broken_header_is_told_from_a_missing_one() {
    let run = begin();
    fs::write(run.dir().join("run.json"), r#"{"schema": "infermark.run/1"}"#).unwrap();
    assert!(matches!(open(&run.dir()), Err(StoreError::Header { .. })));
    fs::remove_file(run.dir().join("run.json")).unwrap();
    assert!(matches!(open(&run.dir()), Err(StoreError::NotARun { .. })));
    let nowhere = open(&run.root.path().join("nowhere"));
    assert!(matches!(nowhere, Err(StoreError::Read { .. })));
}

#[test]
fn the_journals_encodings_are_pinned() {
    let chunks = encoded(&[samples::chunk(3, 1_000), samples::chunk(2, 1_700)]);
    let delay = [0xa0, 0x9c, 0x01];
    let expected = [&[0x0f, 6, 0xd0, 0x0f, 2, 9], &delay[..], &[0x0f, 1, 0xf8, 0x0a, 2, 9], &delay];
    assert_eq!(chunks, expected.concat());

    let row = TelemetryRow { instance: String::new(), ..samples::telemetry(3) };
    let telemetry = encoded(&[row]);
    let watts = 350.5_f64.to_le_bytes();
    let (url, name): (&[u8], &[u8]) = (b"http://h/metrics", b"gpu_power_watts");
    let set: &[u8] = &[0x3f, 0, 0, 0, 0, 0, 0, 0];
    let expected: [&[u8]; 7] = [set, &[3, 16], url, &[0, 15], name, &watts, &[0]];
    assert_eq!(telemetry, expected.concat());

    let request = encoded(&[samples::request(1)]);
    let head = [0x87, 0xf0, 0x80, 0x3f, 12, 0, 0, 0, 1, 0, 0xe8, 7, 0xed, 7, 0xec, 0x0e, 5];
    let detail = br#"{"kind":"finished","reason":"length"}"#;
    let expected: [&[u8]; 7] = [
        &head,
        b"clock",
        &[8],
        b"finished",
        &[detail.len() as u8],
        detail,
        &[2, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    assert_eq!(request, expected.concat());
}

/// Lists a table's columns as docs/record.md shows them: name, type, nullable.
fn columns<R: Columnar>() -> Vec<(String, String, String)> {
    let describe = |column: &crate::columnar::Column<R>| {
        let kind = match column.access {
            Access::Integer { .. } => "integer",
            Access::Real { .. } => "real",
            Access::Flag { .. } => "boolean",
            Access::Text { .. } => "string",
        };
        let absent = if column.presence == Presence::Maybe { "yes" } else { "" };
        (column.name.to_owned(), kind.to_owned(), absent.to_owned())
    };
    R::COLUMNS.iter().map(describe).collect()
}

#[test]
fn every_column_is_documented_in_its_order() {
    let page = include_str!("../../../docs/record.md");
    let documented = |heading: &str| -> Vec<(String, String, String)> {
        let section = page
            .split("\n#")
            .find(|part| part.trim_start_matches(['#', ' ']).starts_with(heading))
            .unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        let cells = rows.map(|line| line.split('|').map(str::trim).skip(1).collect::<Vec<_>>());
        cells.map(|c| (c[0].replace('`', ""), c[1].to_owned(), c[2].to_owned())).collect()
    };
    assert_eq!(documented("`requests.parquet`"), columns::<RequestRow>());
    assert_eq!(documented("`chunks.parquet`"), columns::<ChunkRow>());
    assert_eq!(documented("`telemetry.parquet`"), columns::<TelemetryRow>());
}
