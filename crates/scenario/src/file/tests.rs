//! Scenario files: the three formats agree, and each mistake has its place.

use std::fmt::Write as _;

use infermark_terms::Seed;
use proptest::prelude::*;

use super::*;
use crate::given::Given;
use crate::resolve::resolve;

fn pairs(name: &str, text: &str) -> Vec<(&'static str, String)> {
    let given = parse_file(Path::new(name), text).unwrap_or_else(|problems| panic!("{problems}"));
    given.into_iter().map(|given| (given.setting.key, given.text)).collect()
}

#[test]
fn the_formats_say_the_same() {
    let yaml = "# a comment\nrate: 12/s\nrequests: 64   # another\nstream: no\n\
                model: 'a \"b\" c'\nheader:\n  - \"X-A: 1\"\n  - 'X-B: 2'\n";
    let toml = "# a comment\nrate = \"12/s\"\nrequests = 64 # another\nstream = 'no'\n\
                model = 'a \"b\" c'\nheader = [\"X-A: 1\", \"X-B: 2\"]\n";
    let json = "{\n\t\"rate\": \"12/s\",\n\t\"requests\": 64, \"stream\": \"no\",\n\
                \"model\": \"a \\\"b\\\" c\", \"header\": [\"X-A: 1\", \"X-B: 2\"]}\n";
    let expected = pairs("f.yaml", yaml);
    assert_eq!(expected.len(), 6);
    assert_eq!(pairs("f.YML", yaml), expected);
    assert_eq!(pairs("f.toml", toml), expected);
    assert_eq!(pairs("f.json", json), expected);
}

#[test]
fn a_file_may_say_nothing() {
    for (name, text) in
        [("f.yaml", ""), ("f.yaml", "---\n"), ("f.yaml", "# c\n"), ("f.toml", ""), ("f.json", "{}")]
    {
        assert_eq!(pairs(name, text), []);
    }
}

#[test]
fn values_know_their_place() {
    let given = parse_file(Path::new("f.yaml"), "model: ä\n\"rate\" :  'ö'\n").unwrap();
    let place = given[1].place(crate::syntax::Echo::Shown);
    assert_eq!(place.position(), Some((Path::new("f.yaml"), 2, 11)));
}

#[test]
fn a_runs_record_gives_what_was_given_to_the_run_and_its_seed() {
    let text = r#"{"id": "x", "schema": "infermark.run/1", "scenario": {"tags": {}, "values": [
  {"key": "rate", "text": "12/s", "origin": {"layer": "flag"}},
  {"key": "arrivals", "text": "poisson", "origin": {"layer": "default"}},
  {"key": "model", "text": "\u00e4 \"b\"", "origin": {"layer": "file", "path": "f", "line": 1}},
  {"key": "tag", "text": "a=b", "origin": {"layer": "env"}},
  {"key": "tag", "text": "c=d", "origin": {"layer": "env"}},
  {"key": "seed", "text": "7", "origin": {"layer": "default"}}]}}"#;
    let expected =
        [("rate", "12/s"), ("model", "ä \"b\""), ("tag", "a=b"), ("tag", "c=d"), ("seed", "7")];
    assert_eq!(pairs("run.json", text), expected.map(|(key, text)| (key, text.to_owned())));
    let given = parse_file(Path::new("run.json"), text).unwrap();
    let place = given[1].place(crate::syntax::Echo::Shown);
    assert_eq!(place.position(), Some((Path::new("run.json"), 4, 28)));
}

#[test]
fn mistakes_in_records_are_shown_in_place() {
    let record = |scenario: &str| {
        format!("{{\"schema\": \"infermark.run/1\",\n\"scenario\": {scenario}}}\n")
    };
    let value = |key: &str, text: &str| {
        record(&format!(
            "{{\"values\": [\n{{\"key\": \"{key}\", \"text\": {text}, \
             \"origin\": {{\"layer\": \"flag\"}}}}]}}"
        ))
    };
    let files = [
        value("rate", "\"5\""),
        value("temperature", "\"5\""),
        value("rate", "5"),
        record("{\"load\": 5}"),
        record("{\"values\": [{\"key\": \"rate\"}]}"),
        "{\"schema\": \"infermark.run/1\"}".to_owned(),
        "{\"schema\": \"other/1\"}".to_owned(),
    ];
    let files: Vec<_> = files.iter().map(|text| ("run.json", text.as_str())).collect();
    insta::assert_snapshot!(shown(&files));
}

/// Shows what is wrong with each file, also what only its values' meaning shows.
fn shown(files: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, file) in files {
        let problems = parse_file(Path::new(name), file)
            .and_then(|given| resolve(given, Seed(7)).map(|_| ()))
            .expect_err("each of these is wrong");
        write!(text, "{problems}\n\n----\n").unwrap();
    }
    text
}

#[test]
fn mistakes_in_yaml_are_shown_in_place() {
    let shown = shown(&[
        ("f.yaml", "rate: 12\n"),
        ("f.yaml", "model: m\nrate: 0/s # none\n"),
        ("f.yaml", "concurrancy: 8\nmax-concurrency: 8\ntemperature: 0.7\nrate: 1/s\n"),
        ("f.yaml", "rate: 5/s\nmodel: m\nrate: 6/s\n"),
        ("f.yaml", "rate: 5/s\nmodel: m\nconcurrency: 6\n"),
        ("f.yaml", "rate: [5/s]\nmodel:\nload:\n  rate: 5/s\ninput_tokens: {mean: 5}\n"),
        ("f.yaml", "tag: [a=b, [c=d]]\n"),
        ("f.yaml", "tag: {a: b}\n"),
        ("f.yaml", "tag:\n  - a: b\n"),
        ("f.yaml", "tag: [a]\n"),
        ("f.yaml", "header: X-A: 1\n"),
        ("f.yaml", "header:\n  - X-A: 1\n"),
        ("f.yaml", "rate: &r 5/s\n"),
        ("f.yaml", "rate: *r\n"),
        ("f.yaml", "rate: !rate 5/s\n"),
        ("f.yaml", "<<: {rate: 5/s}\n"),
        ("f.yaml", "? [a]\n: b\n"),
        ("f.yaml", "- rate: 5/s\n"),
        ("f.yaml", "just text\n"),
        ("f.yaml", "rate: 5/s\n---\nrate: 6/s\n"),
        ("f.yaml", "rate: \"5/s\nmodel: m\n"),
        ("f.yaml", "model: |\n  a\n  b\nseed: -1\n"),
        ("f.yaml", "a: 1\nwarmup: 5\ndrain: 1 day\nduration: 0s\n"),
        ("f.yaml", "{rate: 5, requests: many, modle: m}\n"),
        ("f.ini", "rate = 5"),
    ]);
    insta::assert_snapshot!(shown);
}

#[test]
fn mistakes_in_toml_and_json_are_shown_in_place() {
    let shown = shown(&[
        ("f.toml", "rate = 12\nrequests = 0x10\nseed = 1.5\n"),
        ("f.toml", "rate = 5/s\n"),
        ("f.toml", "rate = \"5/s\"\nrate = \"6/s\"\n"),
        ("f.toml", "[load]\nrate = \"5/s\"\n"),
        ("f.toml", "model = 1979-05-27\nthreads = [1, [2]]\nstream = maybe\n"),
        ("f.toml", "model = 1979-05-27\nthreads = [1, [2]]\nstream = \"maybe\"\n"),
        ("f.json", "{\"rate\": \"12/s\",\n \"requests\": 1e3,\n \"model\": null}\n"),
        ("f.toml", "tag = {a = \"b\"}\n"),
        ("f.json", "{\"tag\": {\"a\": \"b\"}}\n"),
        ("f.json", "{\"rate\": \"12/s\", \"rate\": \"13/s\"}\n"),
        ("f.json", "{\"rate\": \"12/s\",\n}\n"),
        ("f.json", "{\"rate\": \"12\", \"stream\": true, \"load\": {\"a\": [1]}}"),
        ("f.json", "[1]"),
        ("f.json", "rate: 5/s\n"),
        ("f.json", ""),
    ]);
    insta::assert_snapshot!(shown);
}

#[test]
fn what_may_be_a_secret_is_not_shown() {
    let files = [
        ("f.yaml", "header: \"Authorization: Bearer s3cr3t\"\n"),
        ("f.yaml", "header:\n  - \"X-A: 1\"\n  - \"Authorization: Bearer s3cr3t\"\n"),
        ("f.yaml", "header: Authorization: Bearer s3cr3t\n"),
        ("f.yaml", "header: {Authorization: Bearer s3cr3t}\n"),
        ("f.yaml", "header: \"Authorization s3cr3t\"\n"),
        ("f.yaml", "header: &a \"Authorization: s3cr3t\"\n"),
        ("f.yaml", "api_key: s3cr3t\n"),
        ("f.yaml", "api_key_env: sk-s3cr3t\n"),
        ("f.yaml", "target: http://user:s3cr3t@host\n"),
        ("f.toml", "target = \"http://host/?key=s3cr3t\"\n"),
        ("f.json", "{\"api-key\": \"s3cr3t\"}"),
        ("f.json", "{\"header\": [\"api-key: s3cr3t\"]}"),
    ];
    let shown = shown(&files);
    assert!(!shown.contains("s3cr3t"), "{shown}");
    insta::assert_snapshot!(shown);
}

#[test]
fn a_file_and_its_lists_have_a_greatest_size() {
    let problems = parse_file(Path::new("f.yaml"), &" ".repeat(FILE_BYTES_MAX + 1)).unwrap_err();
    let expected = "error: f.yaml: the file has 1048577 bytes; expected at most 1048576";
    assert_eq!(problems.to_string(), expected);
    let long = format!("tag: [{}]", "a=b,".repeat(LIST_MAX + 1));
    let problems = parse_file(Path::new("f.yaml"), &long).unwrap_err();
    assert!(problems.to_string().contains("tag: 257 values"), "{problems}");
}

#[test]
fn of_very_many_problems_the_first_are_shown() {
    let text = "k: 1\n".repeat(100_000);
    let problems = parse_file(Path::new("f.yaml"), &text).unwrap_err();
    assert_eq!(problems.as_slice().len(), PROBLEMS_MAX);
}

#[test]
fn the_hinted_list_of_a_repeated_setting_works() {
    let odd = [
        ("f.yaml", "KEY: {a: b}\n"),
        ("f.toml", "KEY = {a = \"b\"}\n"),
        ("f.json", "{\"KEY\": {\"a\": 5}}"),
    ];
    for setting in SETTINGS.iter().filter(|setting| setting.form == Form::Repeated) {
        for (name, text) in odd {
            let text = text.replace("KEY", setting.key);
            let problems = parse_file(Path::new(name), &text).unwrap_err();
            let hint = problems.as_slice()[0].hint.as_deref().unwrap();
            let line = hint.split('`').nth(1).unwrap();
            let file = if name == "f.json" { format!("{{{line}}}") } else { line.to_owned() };
            let mut given = parse_file(Path::new(name), &file).unwrap();
            // The embedded engine has no replicas.
            given.push(Given::flag(&crate::settings::TARGET, "http://target"));
            assert!(resolve(given, Seed(7)).is_ok(), "{hint}");
        }
    }
}

/// Texts that look like scenario files from afar.
fn texts() -> impl Strategy<Value = String> {
    let pieces = [
        "rate",
        "model",
        "header",
        "tag",
        ":",
        ": ",
        "=",
        " = ",
        "\n",
        "  ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\"",
        "'",
        "&a ",
        "*a",
        "!t ",
        "|",
        ">",
        "#",
        "---\n",
        "...",
        "?",
        "<<",
        "\t",
        "\r\n",
        "ä",
        "\u{feff}",
        "5/s",
        "null",
        "~",
        "1e3",
        "\\",
        "\\u00e4",
        "a=b",
        "%YAML 1.2\n",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..24)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_panics(near in texts(), far in any::<String>()) {
        for name in ["f.yaml", "f.toml", "f.json"] {
            for text in [&near, &far] {
                let result = parse_file(Path::new(name), text)
                    .and_then(|given| resolve(given, Seed(7)));
                if let Err(problems) = result {
                    prop_assert!(!problems.to_string().is_empty());
                }
            }
        }
    }
}
