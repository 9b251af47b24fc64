//! A hub on this machine, which redirects, breaks off and goes on.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use infermark_drive::Stop;
use infermark_scenario::settings::Setting;
use infermark_scenario::{Given, resolve};
use infermark_terms::Seed;
use serde_json::Value;

use super::*;
use crate::Watch;
use crate::study::{self, Early, Order, Rig, Study, StudyOptions};

const COMMIT: &str = "0123456789abcdef";
const ROWS: &str = "{\"prompt\":\"one\"}\n{\"prompt\":\"two\"}\n{\"prompt\":\"three\"}\n";

/// What the servers were asked: the request line, the range and the authorization.
type Asked = Arc<Mutex<Vec<(String, String, String)>>>;

/// A hub with one repository of these files, whose content is elsewhere.
struct Mirror {
    url: String,
    asked: Asked,
    home: tempfile::TempDir,
}

impl Mirror {
    /// `cuts` is how many times the content breaks off in the middle.
    fn of(files: &'static [&'static str], cuts: usize) -> Self {
        Self::holding(files, cuts, || ())
    }

    /// Calls `hold` before each answer that has content.
    fn holding(
        files: &'static [&'static str],
        cuts: usize,
        hold: impl Fn() + Send + 'static,
    ) -> Self {
        let asked = Asked::default();
        let cuts = Mutex::new(cuts);
        let elsewhere = serve(Arc::clone(&asked), move |path, range| {
            assert!(path.starts_with("/content?signature="), "{path}");
            hold();
            let rest = &ROWS[range..];
            let mut cuts = cuts.lock().unwrap();
            let sent = if *cuts > 0 { rest.len() / 2 } else { rest.len() };
            *cuts = cuts.saturating_sub(1);
            let (status, part) = match range {
                0 => ("200 OK", String::new()),
                _ => ("206 Partial Content", format!("Content-Range: bytes {range}-9/10\r\n")),
            };
            let length = rest.len();
            format!("HTTP/1.1 {status}\r\n{part}content-length: {length}\r\n\r\n{}", &rest[..sent])
        });
        let url = serve(Arc::clone(&asked), move |path, _| {
            let answer = |status: &str, field: &str, body: &str| {
                format!("HTTP/1.1 {status}\r\n{field}content-length: {}\r\n\r\n{body}", body.len())
            };
            if path.ends_with("/revision/main") {
                let names = files.iter().map(|file| format!("{{\"rfilename\":\"{file}\"}}"));
                let names = names.collect::<Vec<_>>().join(",");
                return answer(
                    "200 OK",
                    "",
                    &format!("{{\"sha\":\"{COMMIT}\",\"siblings\":[{names}]}}"),
                );
            }
            match path {
                "/moved" => {
                    let location = format!("location: {elsewhere}/content?signature=a%2Fb\r\n");
                    answer("302 Found", &location, "see elsewhere")
                }
                path if path.contains("/resolve/") => {
                    answer("307 Temporary Redirect", "Location: /moved\r\n", "")
                }
                _ => answer("404 Not Found", "", "{}"),
            }
        });
        Self { url, asked, home: tempfile::tempdir().unwrap() }
    }

    fn variables(&self) -> BTreeMap<&'static str, String> {
        let home = self.home.path().to_str().unwrap().to_owned();
        [("HF_ENDPOINT", self.url.clone()), ("HF_HOME", home), ("HF_TOKEN", "hf_x".into())].into()
    }

    fn localised(&self, key: &str, text: &str) -> Result<Scenario, HubError> {
        localised_with(&self.variables(), key, text)
    }

    fn asked(&self) -> Vec<(String, String, String)> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn scenario(key: &str, text: &str) -> Scenario {
    let given = vec![Given::flag(Setting::by_key(key).unwrap(), text)];
    resolve(given, Seed(1)).unwrap().scenario
}

fn localised_with(
    variables: &BTreeMap<&str, String>,
    key: &str,
    text: &str,
) -> Result<Scenario, HubError> {
    let secrets = |name: &str| variables.get(name).cloned();
    localised(&scenario(key, text), &Shelf::default(), &secrets, &mut |_| {})
}

/// Serves one answer a connection, made of the path and of where the range begins.
fn serve(asked: Asked, answer: impl Fn(&str, usize) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let _serving = thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            // Whoever only looks whether somebody listens asks for nothing.
            let Some(Ok(first)) = lines.next() else { continue };
            let (mut range, mut key) = (String::new(), String::new());
            for line in lines.map(Result::unwrap).take_while(|line| !line.is_empty()) {
                match line.split_once(": ").unwrap() {
                    ("Range", value) => value.clone_into(&mut range),
                    ("Authorization", value) => value.clone_into(&mut key),
                    _ => {}
                }
            }
            let path = first.split(' ').nth(1).unwrap();
            let from = range.trim_start_matches("bytes=").trim_end_matches('-').parse();
            let answer = answer(path, from.unwrap_or(0));
            asked.lock().unwrap().push((path.to_owned(), range, key));
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    format!("http://{address}")
}

fn file_of(scenario: &Scenario) -> PathBuf {
    let PromptSource::File { path, .. } = &scenario.workload.source else { panic!("no file") };
    path.clone()
}

#[test]
fn what_breaks_off_is_gone_on_with_and_what_is_there_is_not_asked_for() {
    let mirror = Mirror::of(&["README.md", "data/x.jsonl"], 2);
    for _ in 0..2 {
        let error = mirror.localised("dataset", "hf:o/n:data/x.jsonl").unwrap_err();
        assert!(matches!(error, HubError::Cut { .. }), "{error:?}");
    }
    let _: Vec<_> = mirror.asked();
    let here = file_of(&mirror.localised("dataset", "hf:o/n:data/x.jsonl").unwrap());
    let layout = format!("hub/datasets--o--n/snapshots/{COMMIT}/data/x.jsonl");
    assert_eq!(here, mirror.home.path().join(layout));
    assert_eq!(fs::read_to_string(&here).unwrap(), ROWS);
    let (key, name) = ("dataset", "hf:o/n:data/x.jsonl");
    let was = snapshots(&scenario(key, name), &mirror.localised(key, name).unwrap());
    assert_eq!(was, [(name.to_owned(), format!("{COMMIT}/data/x.jsonl"))].into());
    let reference = mirror.home.path().join("hub/datasets--o--n/refs/main");
    assert_eq!(fs::read_to_string(reference).unwrap(), COMMIT);
    // Half of it, and half of the rest, had come. The token stayed with the hub.
    let half = ROWS.len() / 2;
    let range = format!("bytes={}-", half + (ROWS.len() - half) / 2);
    let key = "Bearer hf_x".to_owned();
    let resolve = format!("/datasets/o/n/resolve/{COMMIT}/data/x.jsonl");
    assert_eq!(
        mirror.asked(),
        [
            ("/api/datasets/o/n/revision/main".to_owned(), String::new(), key.clone()),
            (resolve, range.clone(), key.clone()),
            ("/moved".to_owned(), range.clone(), key),
            ("/content?signature=a%2Fb".to_owned(), range, String::new()),
        ]
    );
    assert_eq!(file_of(&mirror.localised("dataset", "hf:o/n:data/x.jsonl").unwrap()), here);
    assert_eq!(mirror.asked(), []);
}

#[test]
fn of_two_who_fetch_a_file_at_once_one_waits_for_the_other() {
    let ((came, coming), (go, going)) = (channel(), channel());
    let mirror = Mirror::holding(&["x.jsonl"], 0, move || {
        came.send(()).unwrap();
        // Where nobody waits, the other asks too, and that is seen below.
        let _was_waited_for = going.recv_timeout(Duration::from_secs(5)).is_ok();
    });
    let variables = mirror.variables();
    let named = scenario("dataset", "hf:o/n:x.jsonl");
    let fetched = |tell: &mut dyn FnMut(&str)| {
        let secrets = |name: &str| variables.get(name).cloned();
        file_of(&localised(&named, &Shelf::default(), &secrets, tell).unwrap())
    };
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| fetched(&mut |_| {}));
        coming.recv().unwrap();
        let told = |words: &str| {
            if words.starts_with("waiting for another process") {
                go.send(()).unwrap();
            }
        };
        (fetched(&mut { told }), first.join().unwrap())
    });
    assert_eq!((&first, fs::read_to_string(&first).unwrap().as_str()), (&second, ROWS));
    let asked = mirror.asked();
    let content = asked.iter().filter(|(path, ..)| path.starts_with("/content"));
    assert_eq!(content.count(), 1, "{asked:?}");
}

#[test]
fn a_part_is_put_where_the_server_says_that_it_begins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.incomplete");
    let part = |from| Opening { status: 206, from };
    let kept = |opening| {
        fs::write(&path, "012345").unwrap();
        let mut kept = Kept::of_this_process(&path, File::try_lock, || ()).unwrap();
        let taken = kept.take(opening, b"ab", &mut |_| {});
        let again = taken.and_then(|()| kept.take(opening, b"c", &mut |_| {}));
        (again.is_ok(), fs::read_to_string(&path).unwrap())
    };
    assert_eq!(kept(part(Some(6))), (true, "012345abc".to_owned()));
    assert_eq!(kept(part(Some(2))), (true, "01abc".to_owned()));
    assert_eq!(kept(Opening { status: 200, from: None }), (true, "abc".to_owned()));
    // A gap, or nobody knows where: the next try begins anew.
    assert_eq!(kept(part(Some(7))), (false, String::new()));
    assert_eq!(kept(part(None)), (false, String::new()));
}

#[test]
fn without_locks_each_fetches_into_a_file_of_its_own() {
    let none: Lock = |_| Err(TryLockError::Error(io::ErrorKind::Unsupported.into()));
    let over: Lock =
        |_| Err(TryLockError::Error(io::Error::from_raw_os_error(Errno::ENOLCK as i32)));
    let folder = tempfile::tempdir().unwrap();
    let (path, place) = (folder.path().join("x.incomplete"), folder.path().join("x"));
    fs::write(&path, "another's").unwrap();
    let mut both = [none, over].map(|lock| Kept::of_this_process(&path, lock, || ()).unwrap());
    for words in [&b"one "[..], b"two"] {
        for kept in &mut both {
            kept.take(Opening { status: 200, from: None }, words, &mut |_| {}).unwrap();
        }
    }
    for kept in both {
        let whole = kept.finish(place.clone()).unwrap();
        assert_eq!(fs::read_to_string(whole).unwrap(), "one two");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "another's");
    let denied: Lock = |_| Err(TryLockError::Error(io::ErrorKind::PermissionDenied.into()));
    assert!(Kept::of_this_process(&path, denied, || ()).is_err());
}

#[test]
fn a_study_asks_the_hub_once_for_all_its_points() {
    let mirror = Mirror::of(&["x.jsonl"], 0);
    let variables = mirror.variables();
    let given = [
        ("target", "sim:ttft=2ms,itl=1ms"),
        ("dataset", "hf:o/n"),
        ("output_tokens", "2"),
        ("requests", "3"),
    ];
    let given = given.map(|(key, text)| Given::flag(Setting::by_key(key).unwrap(), text));
    let base = resolve(given.to_vec(), Seed(1)).unwrap();
    let options = StudyOptions {
        secrets: &|name| variables.get(name).cloned(),
        stop: Stop::default(),
        watch: Watch::default(),
        calibration: None,
        shelf: Shelf::default(),
        tell: &|_| (),
    };
    let dir = mirror.home.path().join("study");
    let mut study = Study::create(&dir, study::Kind::Sweep, Value::Null, &base, options).unwrap();
    for slots in ["1", "2", "3"] {
        let changes = vec![(Setting::by_key("concurrency").unwrap(), slots.to_owned())];
        let order = Order { label: slots.to_owned(), changes, early: Early::Never };
        assert_eq!(study.take(&order).unwrap().point.counts.success, 3);
    }
    // Which file is meant, where it is, and the file.
    assert_eq!(mirror.asked().len(), 4);
}

#[test]
fn a_trace_comes_from_a_hub_as_any_file_does() {
    let mirror = Mirror::of(&["x.jsonl"], 0);
    for (key, text) in [("trace", "hf:o/n:x.jsonl"), ("dataset", "trace:hf:o/n:x.jsonl")] {
        let scenario = mirror.localised(key, text).unwrap();
        let Load::Trace { path, .. } = &scenario.load else { panic!("{:?}", scenario.load) };
        assert_eq!(fs::read_to_string(path).unwrap(), ROWS);
        assert_eq!(scenario.workload.source, PromptSource::Trace { path: path.clone() });
    }
}

#[test]
fn where_no_file_is_named_the_only_one_is_meant() {
    let mirror = Mirror::of(&["README.md", "x.jsonl"], 0);
    let here = file_of(&mirror.localised("dataset", "hf:o/n").unwrap());
    assert!(here.ends_with("x.jsonl"));
    // Which one it is is asked again, and answered from here where the hub must not be asked.
    assert_eq!(file_of(&mirror.localised("dataset", "hf:o/n").unwrap()), here);
    assert_eq!(mirror.asked().len(), 5);
    let mut offline = mirror.variables();
    let _: Option<_> = offline.insert("HF_HUB_OFFLINE", "1".to_owned());
    assert_eq!(file_of(&localised_with(&offline, "dataset", "hf:o/n").unwrap()), here);
    let error = localised_with(&offline, "dataset", "hf:o/other").unwrap_err();
    assert!(matches!(error, HubError::Offline { .. }), "{error:?}");
    assert_eq!(mirror.asked(), []);

    let mirror = Mirror::of(&["a.parquet", "b.parquet"], 0);
    let error = mirror.localised("dataset", "hf:o/n").unwrap_err();
    assert_eq!(error.to_string(), "o/n has no single data file; it has: a.parquet, b.parquet");
    let error = mirror.localised("dataset", "hf:o/n:c.parquet").unwrap_err();
    assert_eq!(error.to_string(), "o/n has no file `c.parquet`; it has: a.parquet, b.parquet");
}

#[test]
fn a_models_tokenizer_is_fetched_likewise() {
    let mirror = Mirror::of(&["config.json", "tokenizer.json"], 0);
    let scenario = mirror.localised("tokenizer", "hf:o/m").unwrap();
    let TokenizerChoice::Path(path) = scenario.tokenizer else { panic!("it is a file") };
    let layout = format!("hub/models--o--m/snapshots/{COMMIT}/tokenizer.json");
    assert_eq!(path, mirror.home.path().join(layout));
    assert_eq!(mirror.asked()[1].0, format!("/o/m/resolve/{COMMIT}/tokenizer.json"));
}

#[test]
fn a_hub_that_refuses_or_is_not_there_says_so() {
    let mirror = Mirror::of(&[], 0);
    let error = mirror.localised("dataset", "hf:o/n@dev:x.csv").unwrap_err();
    assert_eq!(error.to_string(), "the hub answers 404 to o/n");
    assert_eq!(error.hint(), Some("see whether the name is right"));
    let mut nowhere = mirror.variables();
    let shut = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _: Option<_> = nowhere.insert("HF_ENDPOINT", format!("http://{shut}"));
    let error = localised_with(&nowhere, "dataset", "hf:o/n:x.csv").unwrap_err();
    assert!(matches!(error, HubError::Silent { .. }), "{error:?}");
}

#[test]
fn redirects_lead_to_servers_and_never_to_less_safe_ones() {
    let base = "https://h.co";
    assert_eq!(joined(base, "/a?b"), Some("https://h.co/a?b".to_owned()));
    assert_eq!(joined(base, "https://cdn.co/a"), Some("https://cdn.co/a".to_owned()));
    for wrong in ["http://cdn.co/a", "//cdn.co/a", "ftp://h", "a"] {
        assert_eq!(joined(base, wrong), None, "{wrong}");
    }
    assert_eq!(split("https://h.co:8/a/b?c=/d"), Some(("https://h.co:8", "/a/b?c=/d")));
    assert_eq!(split("http://h"), Some(("http://h", "/")));
    assert!(same_server("http://m:1", "http://m:1/hf") && !same_server("http://n", "http://m"));
}
