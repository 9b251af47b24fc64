//! Secrets stand in nothing that infermark leaves: no file, no output, no argument of a process.
//!
//! Secrets are planted in every place that takes one, and the servers are hostile: they quote what
//! they were sent in every message that they can put into an answer. Then everything is searched.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod asked;
mod served;

use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use infermark_store::open;
use tempfile::TempDir;

use crate::asked::Asked;
use crate::served::Served;

/// The bearer token, from the environment.
const TOKEN: &str = "sk-planted-bearer-7f3a91";
/// A header's value, from the environment, with a word of its own before it.
const VARIABLE: &str = "Token planted-variable-55d0c2";
/// What servers quote of it.
const VARIABLE_WORD: &str = "planted-variable-55d0c2";
/// A header's value, from a file.
const FILE: &str = "planted-file-e81b07";
/// What somebody wrote into a URL, in place of a name and behind a question mark.
const USER: &str = "planted-user-42aa90";
const QUERY: &str = "planted-query-0c9d3e";

/// A proxy's password, and how it is sent with its user's name.
const PASSWORD: &str = "planted-password-91be44";
const PASSWORD_SENT: &str = "dXNlcjpwbGFudGVkLXBhc3N3b3JkLTkxYmU0NA==";

const PLANTED: [&str; 7] = [TOKEN, VARIABLE_WORD, FILE, USER, QUERY, PASSWORD, PASSWORD_SENT];

/// How a server abuses what it was sent.
#[derive(Clone, Copy)]
enum Abuse {
    /// It quotes it in a 401 to everything.
    Refusal,
    /// It quotes it on a page in HTML.
    Page,
    /// Its list of models is right; it quotes it in a 401 to every request.
    Trial,
    /// All is right until the load: then it quotes it in refusals, errors and finish reasons.
    Load,
}

/// Starts a hostile server; the receiver gets each request's head.
fn hostile(abuse: Abuse) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (heard, heads) = channel();
    let _: thread::JoinHandle<()> = thread::spawn(move || {
        for (turn, mut stream) in listener.incoming().flatten().enumerate() {
            if let Some(asked) = Asked::read(&mut stream) {
                drop(stream.write_all(answer(abuse, &asked, turn).as_bytes()));
                drop(heard.send(asked.head));
            }
        }
    });
    (url, heads)
}

fn answer(abuse: Abuse, asked: &Asked, turn: usize) -> String {
    let quoted: Vec<_> = asked.head.lines().skip(1).collect();
    let quoted = quoted.join("; ");
    let models = r#"{"object":"list","data":[{"id":"m"}]}"#;
    let is_list = asked.head.contains("/v1/models ");
    let is_load = asked.body.contains("\"max_tokens\":9");
    match abuse {
        Abuse::Page => response("200 OK", "text/html", &format!("<p>{quoted}</p>")),
        Abuse::Trial | Abuse::Load if is_list => response("200 OK", "application/json", models),
        Abuse::Refusal | Abuse::Trial => refusal(&quoted),
        Abuse::Load if asked.head.starts_with("GET ") => refusal(&quoted),
        Abuse::Load if !is_load => stream(r#""stop""#, ""),
        Abuse::Load => match turn % 3 {
            0 => refusal(&quoted),
            1 => stream("null", &format!("data: {{\"error\":{{\"message\":\"{quoted}\"}}}}\n\n")),
            _ => stream(&format!("\"{quoted}\""), ""),
        },
    }
}

fn response(status: &str, content: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

fn refusal(quoted: &str) -> String {
    let body = format!(r#"{{"error":{{"message":"not allowed: {quoted}"}}}}"#);
    response("401 Unauthorized", "application/json", &body)
}

/// A stream of one chunk that ends for this reason, and what comes before its end.
fn stream(reason: &str, more: &str) -> String {
    // Without counts nothing has to fit them.
    let choice = format!(r#"{{"index":0,"delta":{{"content":"a"}},"finish_reason":{reason}}}"#);
    let chunk = format!(r#"{{"choices":[{choice}]}}"#);
    response("200 OK", "text/event-stream", &format!("data: {chunk}\n\n{more}data: [DONE]\n\n"))
}

fn fresh() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    // Outside what is searched: it is where the user keeps the secret.
    std::fs::create_dir(dir.path().join("kept")).unwrap();
    std::fs::create_dir(dir.path().join("work")).unwrap();
    std::fs::write(dir.path().join("kept/secret"), format!("{FILE}\n")).unwrap();
    dir
}

fn infermark(dir: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_infermark"));
    let _: &mut Command = command
        .args(args)
        .env("INFERMARK_CALIBRATION", dir.path().join("no-calibration.json"))
        .env("OUR_TOKEN", TOKEN)
        .env("OUR_VARIABLE", VARIABLE)
        .current_dir(dir.path().join("work"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The arguments that send every secret.
const SENDING: [&str; 6] = [
    "--api-key-env",
    "OUR_TOKEN",
    "--header",
    "X-Variable: env:OUR_VARIABLE",
    "--header",
    "X-File: file:../kept/secret",
];

/// The load whose answers the hostile server abuses.
const LOAD: [&str; 4] = ["--requests=18", "--concurrency=2", "--output-tokens=9", "--metrics=none"];

/// Looks for every secret.
#[track_caller]
fn search(place: &str, bytes: &[u8], secrets: &[&str]) {
    for secret in secrets {
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        let text = String::from_utf8_lossy(bytes);
        assert!(!found, "`{secret}` stands in {place}: {text}");
    }
}

#[track_caller]
fn search_output(output: &Output, secrets: &[&str]) {
    search("standard output", &output.stdout, secrets);
    search("standard error", &output.stderr, secrets);
}

/// Looks through the parts of a workbook, which are compressed.
#[track_caller]
fn search_workbook(path: &Path, secrets: &[&str]) {
    let mut book = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut words = 0;
    for index in 0..book.len() {
        let mut part = book.by_index(index).unwrap();
        let mut bytes = Vec::new();
        let _: usize = part.read_to_end(&mut bytes).unwrap();
        words += String::from_utf8_lossy(&bytes).matches("concurrency").count();
        search(&format!("part {index} of {}", path.display()), &bytes, secrets);
    }
    assert!(words > 0, "else its text could not be read");
}

/// Looks through every file below a folder, and through every row of the record there.
#[track_caller]
fn search_files(folder: &Path, secrets: &[&str]) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            count += search_files(&path, secrets);
        } else {
            search(&path.display().to_string(), &std::fs::read(&path).unwrap(), secrets);
            count += 1;
        }
    }
    if folder.join("run.json").is_file() {
        search_rows(folder, secrets);
    }
    count
}

/// Looks through the rows of a record, which are compressed where they lie.
#[track_caller]
fn search_rows(record: &Path, secrets: &[&str]) {
    let run = open(record).unwrap();
    let look = |row: &dyn Debug| search("a row", format!("{row:?}").as_bytes(), secrets);
    run.requests().unwrap().iter().for_each(|row| look(row));
    run.chunks().unwrap().for_each(|row| look(&row.unwrap()));
    run.telemetry().unwrap().for_each(|row| look(&row.unwrap()));
    look(&run.header);
}

/// Asserts that the server was sent every secret: else there was nothing to find.
#[track_caller]
fn sent(heads: &Receiver<String>) {
    let head = heads.recv().unwrap();
    for secret in [TOKEN, VARIABLE, FILE] {
        assert!(head.contains(secret), "{head}");
    }
}

#[test]
fn nothing_that_a_run_leaves_holds_a_secret_though_the_server_quotes_all_of_them() {
    let dir = fresh();
    let (url, heads) = hostile(Abuse::Load);
    let arguments = [&["run", &url, "--record=r"][..], &SENDING, &LOAD].concat();
    let child = infermark(&dir, &arguments).spawn().unwrap();
    sent(&heads);
    let arguments = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    assert!(arguments.windows(9).any(|window| window == b"OUR_TOKEN"));
    search("the arguments", &arguments, &PLANTED);
    let output = child.wait_with_output().unwrap();
    search_output(&output, &PLANTED);
    let record = dir.path().join("work/r");
    assert!(record.is_dir(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<_> = open(&record).unwrap().requests().unwrap();
    let quoting = rows.iter().filter(|row| format!("{:?}", row.outcome).contains("[secret]"));
    assert_eq!(quoting.count(), 18);

    for format in ["table", "json", "markdown", "html", "csv"] {
        let report = infermark(&dir, &["report", "r", "--format", format]).output().unwrap();
        assert!(!report.stdout.is_empty());
        search_output(&report, &PLANTED);
    }
    let arguments = ["report", "r", "--format", "xlsx", "--output", "r.xlsx"];
    search_output(&infermark(&dir, &arguments).output().unwrap(), &PLANTED);
    search_workbook(&dir.path().join("work/r.xlsx"), &PLANTED);
    for format in ["vllm-json", "guidellm", "hf", "llm-d", "compressa"] {
        let file = format!("{format}.file");
        let arguments = ["runs", "export", "r", "--as", format, "--output", &file];
        search_output(&infermark(&dir, &arguments).output().unwrap(), &PLANTED);
    }
    assert!(search_files(&dir.path().join("work"), &PLANTED) > 5);
}

#[test]
fn a_proxys_credentials_stand_nowhere_and_its_name_in_the_record() {
    let dir = fresh();
    let (url, heads) = hostile(Abuse::Load);
    let proxy = url.replace("http://", &format!("http://user:{PASSWORD}@"));
    let target = "http://far.invalid:8000";
    for (command, load) in [("run", &["--record=r"][..]), ("doctor", &[])] {
        let load = if command == "run" { [load, &LOAD].concat() } else { Vec::new() };
        let mut command = infermark(&dir, &[&[command, target][..], &load].concat());
        let output = command.env("HTTP_PROXY", &proxy).env_remove("http_proxy").output().unwrap();
        let head = heads.try_iter().last().unwrap();
        assert!(head.contains(PASSWORD_SENT), "{head}");
        assert!(head.contains(" http://far.invalid:8000/"), "{head}");
        search_output(&output, &PLANTED);
    }
    assert!(search_files(&dir.path().join("work"), &PLANTED) > 3);
    let header = open(&dir.path().join("work/r")).unwrap().header;
    assert_eq!(header.environment["proxy"], url.trim_start_matches("http://"));
    let mut direct = infermark(&dir, &["run", target, "--proxy=none"]);
    let output = direct.env("HTTP_PROXY", &proxy).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot resolve host `far.invalid`"), "{said}");
}

#[test]
fn a_catalogued_run_of_the_embedded_engine_holds_no_secret() {
    let dir = fresh();
    let arguments = [&["run", "sim:ttft=1ms,itl=1ms", "--format=json"][..], &SENDING, &LOAD];
    let output = infermark(&dir, &arguments.concat()).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 4)));
    search_output(&output, &PLANTED);
    search_output(&infermark(&dir, &["runs", "ls", "--format=json"]).output().unwrap(), &PLANTED);
    let files = search_files(&dir.path().join("work"), &PLANTED);
    assert!(dir.path().join("work/infermark-runs/catalogue.sqlite").is_file() && files > 4);
}

#[test]
fn no_error_and_no_finding_quotes_a_secret() {
    for (abuse, words) in [
        (Abuse::Refusal, "answered 401: not allowed: "),
        (Abuse::Page, "<p>"),
        (Abuse::Trial, "a trial request"),
    ] {
        for command in [&["run"][..], &["run", "--tokenizer=server"], &["doctor", "--format=json"]]
        {
            let dir = fresh();
            let (url, heads) = hostile(abuse);
            let output = infermark(&dir, &[command, &[&url], &SENDING].concat()).output().unwrap();
            sent(&heads);
            search_output(&output, &PLANTED);
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert!(said.contains("[secret]"), "{said}");
            assert!(command != ["run"] || said.contains(words), "{said}");
            let _: usize = search_files(&dir.path().join("work"), &PLANTED);
        }
    }
}

#[test]
fn a_server_that_is_not_there_brings_no_secret_to_light() {
    let dir = fresh();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for command in ["run", "doctor"] {
        let url = format!("http://{port}");
        let output = infermark(&dir, &[&[command, &url], &SENDING[..]].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(5));
        search_output(&output, &PLANTED);
    }
}

#[test]
fn a_hubs_token_and_address_stand_in_no_error() {
    let dir = fresh();
    let (hub, heads) = hostile(Abuse::Refusal);
    for url in [hub.clone(), hub.replace("http://", &format!("http://{USER}:{PASSWORD}@"))] {
        let mut command = infermark(&dir, &["run", "sim:", "--dataset=hf:org/name:x.jsonl"]);
        let command = command.env("HF_TOKEN", TOKEN).env("HF_ENDPOINT", &url);
        let output = command.env("HF_HOME", dir.path().join("work/hub")).output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("the hub"), "{said}");
        search_output(&output, &PLANTED);
    }
    assert!(heads.try_iter().any(|head| head.contains(TOKEN)));
    let _: usize = search_files(&dir.path().join("work"), &PLANTED);
}

#[test]
fn what_somebody_wrote_into_a_url_is_not_quoted_in_its_refusal() {
    let dir = fresh();
    for url in [
        format!("http://{USER}:{QUERY}@127.0.0.1:1"),
        format!("https://127.0.0.1:1/v1?api_key={QUERY}"),
        format!("http://127.0.0.1:1/#{USER}"),
    ] {
        for arguments in [&["run"][..], &["doctor"], &["sweep"], &["validate", "--suite=profiles"]]
        {
            let output = infermark(&dir, &[arguments, &[&url]].concat()).output().unwrap();
            assert_eq!(output.status.code(), Some(2));
            search_output(&output, &PLANTED);
        }
        let output = infermark(&dir, &["run", "--metrics", &url]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        search_output(&output, &PLANTED);
    }
    assert_eq!(search_files(&dir.path().join("work"), &PLANTED), 0);
}

#[test]
fn a_client_key_stands_nowhere_but_in_its_file() {
    let dir = fresh();
    let served = Served::start(&["--tls"]);
    let made = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap();
    let key = made.signing_key.serialize_pem();
    std::fs::write(dir.path().join("kept/client.pem"), made.cert.pem() + &key).unwrap();
    let lines: Vec<_> = key.lines().filter(|line| !line.starts_with('-')).collect();
    assert!(lines.iter().all(|line| line.len() > 8) && lines.len() > 1);
    let identity = ["--insecure", "--cert=../kept/client.pem", "--format=json"];
    for command in [&["run"][..], &["doctor"]] {
        let load = if command == ["run"] { &LOAD[..] } else { &[] };
        let arguments = [command, &[&served.url], &identity, load].concat();
        let output = infermark(&dir, &arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(0 | 4)), "{said}");
        search_output(&output, &lines);
    }
    // A key that does not fit its certificate is refused with its path.
    let other = rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap();
    let other = other.signing_key.serialize_pem();
    std::fs::write(dir.path().join("kept/other.pem"), &other).unwrap();
    let identity = ["--insecure", "--cert=../kept/client.pem", "--key=../kept/other.pem"];
    let output =
        infermark(&dir, &[&["run", &served.url], &identity[..]].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let other: Vec<_> = other.lines().filter(|line| !line.starts_with('-')).collect();
    search_output(&output, &[lines.as_slice(), &other].concat());
    let work: PathBuf = dir.path().join("work");
    assert!(search_files(&work, &lines) > 0);
}
