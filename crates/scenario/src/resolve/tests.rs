//! Layers, defaults, contradictions, and the round trip through a written file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use infermark_terms::{HttpVersion, Nanos};
use proptest::prelude::*;

use super::*;
use crate::file::parse_file;
use crate::intent::{
    Arrivals, Connections, Counted, HeaderValue, HubName, Load, MetricPage, Metrics, ProxyChoice,
    RateCurve, Secret, Sessions, ThinkTime, TurnCount, WindowChoice,
};
use crate::settings::Setting;

const FRESH: Seed = Seed(7);

fn setting(key: &str) -> &'static Setting {
    Setting::by_key(key).unwrap_or_else(|| panic!("`{key}` is a setting"))
}

/// Reads `key=value` words as flags.
fn flags(words: &[&str]) -> Vec<Given> {
    let pair = |word: &&str| {
        let (key, text) = word.split_once('=').unwrap();
        Given::flag(setting(key), text)
    };
    words.iter().map(pair).collect()
}

fn resolved(words: &[&str]) -> Resolved {
    resolve(flags(words), FRESH).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn nothing_given_is_one_slot_for_thirty_seconds_on_the_embedded_engine() {
    let resolved = resolved(&[]);
    let expected = Scenario {
        sessions: None,
        classes: Vec::new(),
        target: Target::Sim(String::new()),
        replicas: Vec::new(),
        model: None,
        api: Some(Api::Chat),
        delivery: Delivery::Streamed,
        load: Load::Closed { concurrency: 1 },
        window: WindowChoice::Given,
        slo: Slo::default(),
        bounds: Bounds {
            requests: None,
            duration: Some(Nanos::from_secs(30)),
            warmup: Nanos::ZERO,
            drain: Nanos::from_secs(600),
        },
        workload: Workload {
            source: PromptSource::Synthetic {
                input_tokens: Distribution::Fixed(512),
                prefix: None,
            },
            output_tokens: Some(Distribution::Fixed(256)),
            output_policy: OutputPolicy::Exact,
            form: PromptForm::Text,
        },
        tokenizer: TokenizerChoice::None,
        seed: FRESH,
        access: Access {
            headers: Vec::new(),
            api_key: None,
            ca: None,
            identity: None,
            verification: Verification::Full,
            proxy: ProxyChoice::Environment,
            connections: Connections::KeepAlive,
            http: HttpVersion::Http1,
            http2_streams: 100,
            timeouts: Timeouts {
                connect: Nanos::from_secs(10),
                header: None,
                first_token: None,
                idle: None,
                total: Nanos::from_secs(600),
            },
            retries: 0,
        },
        metrics: Metrics { pages: vec![MetricPage::Target], interval: Nanos::from_secs(1) },
        threads: None,
        gpus: None,
        price: None,
        prices: None,
    };
    assert_eq!(resolved.scenario, expected);
    insta::assert_snapshot!(resolved.to_yaml());
}

#[test]
fn a_flag_is_stronger_than_the_environment_and_that_than_the_file() {
    let text = "rate: 1/s\nrequests: 1\nmodel: file\nheader: [\"A: 1\", \"B: 2\"]\n";
    let file = || parse_file(Path::new("f.yaml"), text).unwrap();
    let env = || {
        let lines = "C: 3\n\n  D: 4  \n";
        let given = [("rate", "2/s"), ("requests", "2"), ("header", lines)];
        given.map(|(key, text)| Given::env(setting(key), text))
    };
    let flag = || Given::flag(setting("rate"), "3/s");
    let given: Vec<_> = file().into_iter().chain(env()).chain([flag()]).collect();
    let forward = resolve(given.clone(), FRESH).unwrap();
    // The order in which the layers come does not matter, only that within one.
    let turned: Vec<_> = [flag()].into_iter().chain(env()).chain(file()).collect();
    assert_eq!(resolve(turned, FRESH).unwrap(), forward);

    let of = |key: &str| {
        let values = forward.values.iter().filter(|value| value.key == key);
        values.map(|value| (value.text.clone(), value.origin.clone())).collect::<Vec<_>>()
    };
    let place = Origin::File { path: "f.yaml".into(), line: 3, column: 8 };
    assert_eq!(of("rate"), [("3/s".to_owned(), Origin::Flag)]);
    assert_eq!(of("requests"), [("2".to_owned(), Origin::Env)]);
    assert_eq!(of("model"), [("file".to_owned(), place)]);
    assert_eq!(of("arrivals"), [("poisson".to_owned(), Origin::Default)]);
    let headers = ["C: 3", "D: 4"].map(|header| (header.to_owned(), Origin::Env));
    assert_eq!(of("header"), headers);
}

#[test]
fn pages_of_metrics_are_the_targets_own_others_or_none() {
    let metrics = |words| resolved(words).scenario.metrics;
    let url = |url: &str| MetricPage::Url(url.to_owned());
    let words = ["metrics=target", "metrics=http://GPU:9400/", "metrics=https://n/p/metrics"];
    let expected = [MetricPage::Target, url("http://gpu:9400/metrics"), url("https://n/p/metrics")];
    assert_eq!(metrics(&words).pages, expected);
    let seldom = metrics(&["metrics=none", "metrics_interval=10s"]);
    assert_eq!(seldom, Metrics { pages: vec![], interval: Nanos::from_secs(10) });
    let again = resolved(&words).to_yaml();
    let given = parse_file(Path::new("f.yaml"), &again).unwrap();
    assert_eq!(resolve(given, FRESH).unwrap().scenario.metrics.pages, expected);
    let refused = |words: &[&str]| resolve(flags(words), FRESH).unwrap_err().to_string();
    let both = refused(&["metrics=none", "metrics=target"]);
    assert!(both.contains("`none` and a page contradict each other"), "{both}");
    let often = refused(&["metrics_interval=99ms"]);
    assert!(often.contains("to read that often would be a load of its own"), "{often}");
    let nothing = refused(&["metrics=nowhere/"]);
    assert!(nothing.contains("`target` or `none`"), "{nothing}");
}

#[test]
fn each_kind_of_load_has_its_words() {
    let load = |words| resolved(words).scenario.load;
    assert_eq!(load(&["concurrency=8"]), Load::Closed { concurrency: 8 });
    assert_eq!(load(&["concurrency=8", "throughput=no"]), Load::Closed { concurrency: 8 });
    assert_eq!(
        load(&["rate=30/min", "arrivals=gamma(2)", "max_concurrency=4"]),
        Load::Open {
            rate: RateCurve::Steady(0.5),
            arrivals: Arrivals::Gamma { cv: 2.0 },
            max_concurrency: Some(4)
        }
    );
    assert_eq!(
        load(&["ramp=linear(1/s..20/s)"]),
        Load::Open {
            rate: RateCurve::Linear { from: 1.0, to: 20.0 },
            arrivals: Arrivals::Poisson,
            max_concurrency: None
        }
    );
    assert_eq!(
        load(&["throughput=yes", "max_concurrency=64"]),
        Load::Throughput { max_concurrency: Some(64) }
    );
}

#[test]
fn a_trace_is_a_load_a_dataset_or_both() {
    let asked = |words: &[&str]| {
        let Scenario { load, workload, bounds, .. } = resolved(words).scenario;
        (load, workload, bounds)
    };
    let replay =
        |speed, max_concurrency| Load::Trace { path: "t.jsonl".into(), speed, max_concurrency };
    let lengths = PromptSource::Trace { path: "t.jsonl".into() };
    for word in ["trace=t.jsonl", "dataset=trace:t.jsonl"] {
        let (load, workload, bounds) = asked(&[word]);
        assert_eq!((load, &workload.source), (replay(1.0, None), &lengths));
        assert_eq!((workload.output_tokens, workload.output_policy), (None, OutputPolicy::Exact));
        assert_eq!((bounds.requests, bounds.duration), (None, None), "it ends by itself");
        let scaled = asked(&[word, "time_scale=2.5x", "max_concurrency=9", "duration=5s"]);
        assert_eq!(scaled.0, replay(2.5, Some(9)));
        assert_eq!(scaled.2.duration, Some(Nanos::from_secs(5)));
    }
    let (load, workload, _) = asked(&["dataset=trace:t.jsonl", "rate=2/s"]);
    assert!(matches!(load, Load::Open { .. }) && workload.source == lengths);
    let (load, workload, _) = asked(&["dataset=corpus", "trace=t.jsonl"]);
    assert_eq!(load, replay(1.0, None));
    assert!(matches!(workload.source, PromptSource::Corpus { .. }));
    assert_eq!(workload.output_tokens, Some(Distribution::Fixed(256)));
    // Under another load, a study's say, no trace is left over.
    let rate = [(Setting::by_key("rate").unwrap(), "3/s".to_owned())];
    let changed = resolved(&["dataset=trace:t.jsonl"]).with(&rate).unwrap();
    assert!(matches!(changed.scenario.load, Load::Open { .. }));
    assert!(!changed.values.iter().any(|value| value.key == "trace"));
    let again = parse_file(Path::new("f.yaml"), &resolved(&["trace=t.jsonl"]).to_yaml()).unwrap();
    assert_eq!(resolve(again, FRESH).unwrap().scenario, resolved(&["trace=t.jsonl"]).scenario);
}

#[test]
fn what_does_not_go_with_a_trace_is_refused() {
    let refused = |words: &[&str]| resolve(flags(words), FRESH).unwrap_err().to_string();
    let said = [
        (&["trace=t", "rate=1/s"][..], "a run has one kind of load"),
        (&["trace=t", "arrivals=constant"], "only a rate or a ramp has a law of arrivals"),
        (&["rate=1/s", "time_scale=2x"], "only a trace has a time to scale"),
        (&["time_scale=2x"], "only a trace has a time to scale"),
        (&["trace=t", "input_tokens=9"], "a file's prompts have their own lengths"),
        (&["trace=t", "time_scale=2"], "write `2x`"),
        (&["trace=t", "time_scale=0x"], "the time scale is out of bounds"),
        (&["trace=t", "time_scale=fast"], "not a time scale"),
        (&["dataset=trace:"], "no path"),
    ];
    for (words, expected) in said {
        let found = refused(words);
        assert!(found.contains(expected), "{words:?}: {found}");
    }
}

/// Resolves what a file, the environment and flags say together.
fn layered(file: &str, env: &[(&str, &str)], words: &[&str]) -> Result<Resolved, Problems> {
    let mut given = parse_file(Path::new("f.yaml"), file).unwrap();
    given.extend(env.iter().map(|(key, text)| Given::env(setting(key), *text)));
    given.extend(flags(words));
    resolve(given, FRESH)
}

#[test]
fn a_stronger_layers_kind_of_load_replaces_a_weaker_ones() {
    let load = |file: &str, env: &[(&str, &str)], words: &[&str]| match layered(file, env, words) {
        Ok(resolved) => resolved.scenario.load,
        Err(problems) => panic!("{problems}"),
    };
    let open = |arrivals, max_concurrency| Load::Open {
        rate: RateCurve::Steady(5.0),
        arrivals,
        max_concurrency,
    };
    let poisson = open(Arrivals::Poisson, None);
    let constant = open(Arrivals::Constant, Some(4));
    assert_eq!(load("", &[("concurrency", "3")], &["rate=5/s"]), poisson);
    assert_eq!(load("concurrency: 3\n", &[], &["rate=5/s"]), poisson);
    assert_eq!(load("throughput: yes\nmax_concurrency: 4\n", &[], &["rate=5/s"]), poisson);
    assert_eq!(load("ramp: linear(1/s..2/s)\n", &[("rate", "5/s")], &[]), poisson);
    // What a layer says beside no kind, or the same, holds where it goes with the one that holds.
    let shapes = "arrivals: constant\nmax_concurrency: 4\n";
    assert_eq!(load(shapes, &[], &["rate=5/s"]), constant);
    assert_eq!(load(&format!("rate: 9/s\n{shapes}"), &[], &["rate=5/s"]), constant);
    let between = [("concurrency", "3")];
    assert_eq!(load(&format!("rate: 9/s\n{shapes}"), &between, &["rate=5/s"]), constant);
    assert_eq!(load(shapes, &[], &["concurrency=2"]), Load::Closed { concurrency: 2 });
    let capped = Load::Throughput { max_concurrency: Some(4) };
    assert_eq!(load(shapes, &[], &["throughput=yes"]), capped);
    // A word that asks for no kind replaces none.
    assert_eq!(load(&format!("rate: 5/s\n{shapes}"), &[], &["throughput=no"]), constant);
    let one = Load::Closed { concurrency: 1 };
    assert_eq!(load("throughput: yes\n", &[], &["throughput=no"]), one);
}

#[test]
fn bounds_do_not_depend_on_the_layer_of_the_load() {
    let resolved = layered("concurrency: 3\nrequests: 9\n", &[], &["rate=5/s", "duration=2s"]);
    let bounds = resolved.unwrap().scenario.bounds;
    assert_eq!((bounds.requests, bounds.duration), (Some(9), Some(Nanos::from_secs(2))));
}

#[test]
fn what_a_replaced_load_says_leaves_no_trace_in_the_values() {
    let file = "throughput: yes\nmax_concurrency: 4\n";
    let resolved = layered(file, &[("concurrency", "3")], &["rate=5/s"]).unwrap();
    let load = resolved.values.iter().filter(|value| {
        setting(value.key).group == settings::Group::Load && value.origin != Origin::Default
    });
    assert_eq!(load.map(|value| value.key).collect::<Vec<_>>(), ["rate"]);
}

#[test]
fn mistakes_in_a_replaced_load_are_mistakes() {
    let mistakes = [
        ("rate: 5/s\nconcurrency: 3\n", &["ramp=linear(1/s..2/s)"]),
        ("rate: 5\n", &["concurrency=3"]),
        ("concurrency: 3\nmax_concurrency: many\n", &["rate=5/s"]),
        ("arrivals: constant\n", &["throughput=maybe"]),
    ];
    let mut shown = String::new();
    for (file, words) in mistakes {
        write!(shown, "{}\n\n", layered(file, &[], words).unwrap_err()).unwrap();
    }
    // A stronger shape does not ask for a kind, so it still has to go with the one that holds.
    let problems = layered("concurrency: 3\n", &[], &["arrivals=constant"]).unwrap_err();
    writeln!(shown, "{problems}").unwrap();
    insta::assert_snapshot!(shown);
}

#[test]
fn a_file_asks_for_what_it_holds() {
    let workload = resolved(&["dataset=sharegpt:x.json"]).scenario.workload;
    assert_eq!(workload.output_tokens, None);
    assert_eq!(workload.output_policy, OutputPolicy::Natural);
    let workload = resolved(&["dataset=x.csv"]).scenario.workload;
    let layout = FileLayout::Csv { column: "prompt".to_owned() };
    assert_eq!(workload.source, PromptSource::File { path: "x.csv".into(), layout });
    let words = ["dataset=sharegpt:x.json", "tokenizer=m", "output_length=exact"];
    assert_eq!(resolved(&words).scenario.workload.output_policy, OutputPolicy::Exact);
}

#[test]
fn secrets_are_named_and_tags_kept() {
    let words = ["target=https://h", "header=Authorization: env:KEY", "header=X-A: b", "tag=a=b=c"];
    let resolved = resolved(&words);
    let headers = [
        ("Authorization".to_owned(), HeaderValue::Secret(Secret::Env("KEY".to_owned()))),
        ("X-A".to_owned(), HeaderValue::Plain("b".to_owned())),
    ];
    assert_eq!(resolved.scenario.access.headers, headers);
    assert_eq!(resolved.tags, [("a".to_owned(), "b=c".to_owned())].into());
}

/// Shows what is wrong with each list of flags.
fn shown(lists: &[&[&str]]) -> String {
    let mut text = String::new();
    for words in lists {
        match resolve(flags(words), FRESH) {
            Ok(_) => panic!("{words:?} is wrong"),
            Err(problems) => write!(text, "{problems}\n\n").unwrap(),
        }
    }
    text
}

#[test]
fn malformed_values_say_what_is_expected() {
    let shown = shown(&[
        &["rate=0"],
        &["rate=0/s"],
        &["rate=12"],
        &["rate=12/d"],
        &["rate=-1/s"],
        &["rate=1e3/s"],
        &["rate=9999999/s"],
        &["rate=0.0000000001/s"],
        &["rate=fast"],
        &["ramp=5/s"],
        &["ramp=cubic(1/s..2/s)"],
        &["ramp=linear(1/s,2/s)"],
        &["ramp=linear(1/s)"],
        &["ramp=linear(1..2/s)"],
        &["rate=1/s", "arrivals=uniform"],
        &["rate=1/s", "arrivals=gamma"],
        &["rate=1/s", "arrivals=gamma(1,2)"],
        &["rate=1/s", "arrivals=gamma(x)"],
        &["rate=1/s", "arrivals=gamma(0)"],
        &["concurrency=0"],
        &["concurrency=many"],
        &["concurrency=99999999999999999999"],
        &["requests=0"],
        &["duration=0s"],
        &["duration=30"],
        &["duration=30 sec"],
        &["duration=long"],
        &["duration=1.2.3s"],
        &["duration=0.5ns"],
        &["duration=9000h"],
        &["duration=1000000000000000000000s"],
        &["input_tokens=0"],
        &["input_tokens=gauss(1,2)"],
        &["input_tokens=normal(512)"],
        &["input_tokens=normal(512,128,1024..2048)"],
        &["input_tokens=normal(512,128,1..2048,3)"],
        &["input_tokens=normal(0,1)"],
        &["input_tokens=normal(a,1)"],
        &["input_tokens=uniform(9..1)"],
        &["input_tokens=uniform(9)"],
        &["input_tokens=many"],
        &["api=chta"],
        &["api=grpc"],
        &["stream=maybe"],
        &["output_length=exactly"],
        &["prompt_form=ids"],
        &["dataset=x.json"],
        &["dataset=csv:"],
        &["dataset=sharegtp:x.json"],
        &["dataset=words"],
        &["dataset="],
        &["model="],
        &["model=a\u{1b}[31mb"],
        &["tag=a"],
        &["tag=a b=c"],
        &["tag=a=b\u{1}"],
        &["tag=a=b", "tag=a=c"],
        &["rate=1/s", "rate=2/s"],
    ]);
    insta::assert_snapshot!(shown);
}

#[test]
fn targets_that_are_none_say_why() {
    let shown = shown(&[
        &["target=localhost:8000"],
        &["target=sim"],
        &["target=/x"],
        &["target=ftp://host"],
        &["target=http://"],
        &["target=http://host:0"],
        &["target=http://host:+80"],
        &["target=http://host:99999"],
        &["target=http://ho st"],
        &["target=http://[::1"],
        &["target=http://[::g]"],
        &["target=http://[::1]x"],
        &["target=http://host/ä"],
        &["target=http://host/#x"],
        &["target=http://host/v1/chat/completions"],
        &["target=http://a", "replica=http://b,weight=0"],
        &["target=http://a", "replica=http://b,weight=1e2"],
        &["target=http://a", "replica=sim:"],
        &["target=http://a", "replica=http://b", "replica=http://A/v1"],
        &["replica=http://b"],
        &["target=http://a", "connections=per-session"],
    ]);
    insta::assert_snapshot!(shown);
}

#[test]
fn what_may_be_a_secret_is_refused_without_being_shown() {
    let shown = shown(&[
        &["target=http://user:s3cr3t@host"],
        &["target=http://host?key=s3cr3t"],
        &["target=s3cr3t@host"],
        &["header=Authorization: s3cr3t"],
        &["header=X-Api-Key: s3cr3t"],
        &["header=X-Mine: Bearer s3cr3t"],
        &["header=X-Mine: env:sk-s3cr3t"],
        &["header=s3cr3t"],
        &["header=s3cr3t s3cr3t: x"],
        &["header=X-A: s3cr3t\r\nX-B: c"],
        &["header=Content-Length: 5"],
        &["api_key_env=sk-s3cr3t"],
        &["api_key_env=A", "header=authorization: env:B"],
        &["api_key_env=A", "api_key_file=b"],
    ]);
    assert!(!shown.contains("s3cr3t"), "{shown}");
    insta::assert_snapshot!(shown);
}

#[test]
fn contradictions_name_both_sides() {
    let shown = shown(&[
        &["rate=5/s", "concurrency=8"],
        &["rate=5/s", "ramp=linear(1/s..2/s)", "throughput=yes", "concurrency=1"],
        &["throughput=yes", "concurrency=8"],
        &["arrivals=constant"],
        &["arrivals=gamma(2)", "throughput=yes"],
        &["max_concurrency=8"],
        &["max_concurrency=8", "concurrency=8"],
        &["ramp=linear(1/s..2/s)", "requests=5"],
        &["prefix_tokens=512"],
        &["prefix_tokens=10", "input_tokens=uniform(10..20)"],
        &["prefix_groups=2"],
        &["prefix_tokens=10", "dataset=corpus"],
        &["prefix_groups=2", "prefix_tokens=10", "dataset=x.csv"],
        &["column=text", "dataset=corpus"],
        &["column=text", "dataset=sharegpt:x.json"],
        &["column=text"],
        &["input_tokens=5", "dataset=x.csv"],
        &["output_length=exact", "dataset=x.csv"],
        &["output_length=exact", "dataset=sharegpt:x.json"],
        &["prompt_form=token-ids"],
        &["prompt_form=token-ids", "api=completions"],
        &["dataset=conversations:x.json", "api=completions"],
        &["insecure=yes", "target=http://h"],
        &["ca=x.pem", "target=http://h"],
        &["ca=x.pem"],
        &["ca=x.pem", "insecure=yes", "target=https://h"],
        &["key=x.pem", "target=https://h"],
        &["cert=x.pem", "target=http://h"],
        &["idle_timeout=5s", "first_token_timeout=5s", "stream=no"],
    ]);
    insta::assert_snapshot!(shown);
}

#[test]
fn a_client_certificates_key_is_in_its_own_file_or_in_the_same() {
    let identity = |words: &[&str]| resolved(words).scenario.access.identity.unwrap();
    let apart = identity(&["cert=a.pem", "key=b.pem", "target=https://h"]);
    assert_eq!((apart.cert, apart.key), ("a.pem".into(), "b.pem".into()));
    let together = identity(&["cert=a.pem", "target=https://h"]);
    assert_eq!((&together.cert, &together.key), (&"a.pem".into(), &"a.pem".into()));
}

#[test]
fn places_of_several_layers_are_told_apart() {
    let mut given = parse_file(Path::new("f.yaml"), "model: m\nprompt_form: token-ids\n").unwrap();
    given.push(Given::env(setting("api"), "chat"));
    given.push(Given::flag(setting("target"), "ftp://h"));
    given.push(Given::env(setting("seed"), "x"));
    insta::assert_snapshot!(resolve(given, FRESH).unwrap_err().to_string());
}

#[test]
fn what_could_not_be_read_contradicts_nothing() {
    let problems = resolve(flags(&["rate=5", "concurrency=8", "arrivals=x"]), FRESH).unwrap_err();
    assert_eq!(problems.as_slice().len(), 2, "{problems}");
    let problems = resolve(flags(&["prompt_form=token-ids", "api=x"]), FRESH).unwrap_err();
    assert_eq!(problems.as_slice().len(), 2, "{problems}");
}

#[test]
fn a_wrong_value_is_wrong_even_where_a_stronger_one_holds() {
    let mut given = parse_file(Path::new("f.yaml"), "rate: 5\n").unwrap();
    given.push(Given::flag(setting("rate"), "5/s"));
    assert!(resolve(given, FRESH).is_err());
}

/// Writes what a run's record holds of its scenario.
fn record(resolved: &Resolved) -> String {
    let scenario = serde_json::json!({ "values": resolved.values, "tags": resolved.tags });
    let record = serde_json::json!({
        "schema": "infermark.run/1", "id": "x", "scenario": scenario, "clocks": {"a": [1, null]},
    });
    serde_json::to_string_pretty(&record).unwrap()
}

/// Draws values for most settings, in any order. Most draws contradict themselves.
fn words() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let texts: &[(&str, &[&str])] = &[
        ("target", &["https://h:1/a", "sim:x y", "http://[::1]"]),
        ("model", &["m", "null", "a: \"b\" # c", "- ü\u{feff}\u{2028}", "~", "yes", "{", "12"]),
        ("api", &["completions"]),
        ("stream", &["no"]),
        ("concurrency", &["8"]),
        ("rate", &["7/min", "1000/s"]),
        ("ramp", &["linear(1/s..20/s)", "exponential(0.1/h..7/min)"]),
        ("throughput", &["yes", "no"]),
        ("arrivals", &["constant", "gamma(0.3)"]),
        ("max_concurrency", &["9"]),
        ("requests", &["64"]),
        ("duration", &["1.5s"]),
        ("warmup", &["3m"]),
        (
            "dataset",
            &[
                "hf:o/n@v1:a/b.json",
                "jsonl:hf:o/n",
                "corpus",
                "x.csv",
                "sharegpt:ä b: c.json",
                "conversations:#x",
            ],
        ),
        ("column", &["a: b"]),
        ("classes", &["name=a; weight=0.5; output_tokens=7", "name=b; slo=ttft<=1s"]),
        ("turns", &["4", "uniform(2..6)", "all"]),
        ("think_time", &["2s", "exponential(1.5s)", "uniform(0s..1m)"]),
        ("concurrency_of", &["sessions", "requests"]),
        ("sessions", &["7"]),
        ("input_tokens", &["normal(512,128)", "uniform(90..1024)", "77"]),
        ("output_tokens", &["lognormal(51.5,12)"]),
        ("output_length", &["natural", "exact"]),
        ("prefix_tokens", &["64"]),
        ("prefix_groups", &["3"]),
        ("prompt_form", &["token-ids"]),
        ("tokenizer", &["hf:o/m", "server", "dir/m"]),
        ("api_key_env", &["KEY"]),
        ("header", &["X-A:  b: c", "Authorization: env:KEY", "X-B:", "X-C: file:/k e"]),
        ("ca", &["ca.pem"]),
        ("insecure", &["yes"]),
        ("proxy", &["none", "http://P:1/"]),
        ("retries", &["0", "3"]),
        ("seed", &["0", "18446744073709551615"]),
        ("threads", &["4"]),
        ("gpus", &["8xH100", "1 x A100 MIG 20GB"]),
        ("price", &["1.5/h", "0.02 EUR/h"]),
        ("prices", &["prices.toml"]),
        ("tag", &["a=b c", "k="]),
    ];
    let draws = texts.iter().map(|(key, texts)| {
        let texts: Vec<_> = texts.iter().map(|text| (*key, (*text).to_owned())).collect();
        proptest::option::weighted(0.7, proptest::sample::select(texts))
    });
    draws
        .collect::<Vec<_>>()
        .prop_map(|words| words.into_iter().flatten().collect::<Vec<_>>())
        .prop_shuffle()
}

/// Takes in one word after the other, and leaves out each that contradicts those before.
fn consistent(words: Vec<(&'static str, String)>) -> Vec<Given> {
    let mut given = Vec::new();
    for (key, text) in words {
        given.push(Given::flag(setting(key), text));
        if resolve(given.clone(), FRESH).is_err() {
            let _ = given.pop();
        }
    }
    given
}

proptest! {
    #[test]
    fn a_written_scenario_resolves_to_itself(words in words()) {
        let first = resolve(consistent(words), FRESH).unwrap();
        let text = first.to_yaml();
        let given = parse_file(Path::new("f.yaml"), &text);
        let given = given.unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        let second = resolve(given, Seed(8));
        let second = second.unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        prop_assert_eq!(&second.scenario, &first.scenario);
        prop_assert_eq!(&second.tags, &first.tags);
        prop_assert_eq!(second.to_yaml(), text);
    }

    #[test]
    fn a_runs_record_resolves_to_the_scenario_of_the_run(words in words()) {
        let first = resolve(consistent(words), FRESH).unwrap();
        let given = parse_file(Path::new("run.json"), &record(&first)).unwrap();
        let second = resolve(given, Seed(8)).unwrap();
        prop_assert_eq!(&second.scenario, &first.scenario);
        prop_assert_eq!(&second.tags, &first.tags);
        prop_assert_eq!(second.to_yaml(), first.to_yaml());
        // Defaults stay defaults; a second record says the same.
        let is_default = |value: &&Value| value.origin == Origin::Default && value.key != "seed";
        let defaults = |resolved: &Resolved| resolved.values.iter().filter(is_default).count();
        prop_assert_eq!(defaults(&second), defaults(&first));
        let third = resolve(parse_file(Path::new("run.json"), &record(&second)).unwrap(), FRESH);
        prop_assert_eq!(third.unwrap().scenario, first.scenario);
    }

    #[test]
    fn any_one_line_text_survives_a_written_file(model in "[^\\p{Cc}]{1,20}") {
        let model = model.trim();
        if !model.is_empty() {
            let first = resolve(vec![Given::flag(setting("model"), model)], FRESH).unwrap();
            let given = parse_file(Path::new("f.yaml"), &first.to_yaml()).unwrap();
            prop_assert_eq!(resolve(given, FRESH).unwrap().scenario, first.scenario);
        }
    }
}

#[test]
fn objectives_of_one_layer_hold_together() {
    let both = resolved(&["slo=ttft:p99<=200ms,itl:p99<=50ms", "slo=failure_rate<=0.1%"]);
    let text = "ttft:p99<=200ms,itl:p99<=50ms,failure_rate<=0.1%";
    assert_eq!(both.scenario.slo.to_string(), text);
    let twice = resolve(flags(&["slo=ttft<=1s", "slo=ttft<=2s"]), FRESH).unwrap_err();
    assert!(twice.to_string().contains("`ttft` is bounded twice"), "{twice}");
    let text = "slo: ttft:p99<=200ms,itl:p98<=50ms\n";
    let wrong = resolve(parse_file(Path::new("a.yaml"), text).unwrap(), FRESH).unwrap_err();
    assert_eq!(wrong.as_slice()[0].places[0].position(), Some((Path::new("a.yaml"), 1, 26)));
    let typo = resolve(flags(&["slo=ttft:p99<=1s,tfft<=1s"]), FRESH).unwrap_err().to_string();
    assert!(typo.starts_with("error: --slo `tfft`: no such figure"), "{typo}");
    assert!(typo.ends_with("hint: did you mean `ttft`?"), "{typo}");
}

#[test]
fn a_points_scenario_differs_from_its_studys_in_what_was_changed_and_says_so() {
    let base = resolved(&["rate=3/s", "arrivals=constant"]);
    let with = |key, text: &str| base.with(&[(setting(key), text.to_owned())]).unwrap();
    let faster = with("rate", "4/s");
    let rate = RateCurve::Steady(4.0);
    let arrivals = Arrivals::Constant;
    assert_eq!(faster.scenario.load, Load::Open { rate, arrivals, max_concurrency: None });
    assert_eq!(faster.scenario.seed, FRESH);
    let origin = |key| faster.values.iter().find(|v| v.key == key).map(|v| v.origin.clone());
    assert_eq!(origin("rate"), Some(Origin::Study));
    assert_eq!(origin("arrivals"), Some(Origin::Flag));
    assert_eq!(origin("duration"), Some(Origin::Default));
    let slots = with("concurrency", "8");
    assert_eq!(slots.scenario.load, Load::Closed { concurrency: 8 });
    let same = base.with(&[]).unwrap();
    assert_eq!((same.scenario, same.values), (base.scenario, base.values));
}

#[test]
fn a_profile_says_lengths_unless_they_are_said_as_strongly() {
    let lengths = |resolved: &Resolved| {
        let of = |key| resolved.values.iter().find(|value| value.key == key).unwrap();
        ["input_tokens", "output_tokens"].map(|key| (of(key).text.clone(), of(key).origin.clone()))
    };
    let said = |text: &str, origin| (text.to_owned(), origin);
    let rag_in = || said("normal(4096,512,2048..6144)", Origin::Profile);
    let rag_out = || said("normal(512,128,1..1024)", Origin::Profile);
    let rag = resolved(&["profile=rag"]);
    assert_eq!(lengths(&rag), [rag_in(), rag_out()]);
    let short = resolved(&["output_tokens=5", "profile=rag"]);
    assert_eq!(lengths(&short), [rag_in(), said("5", Origin::Flag)]);

    // A flag's profile is stronger than a file's lengths, and weaker than a point's.
    let file = parse_file(Path::new("f.yaml"), "input_tokens: 7\nprofile: chat\n").unwrap();
    let both = file.into_iter().chain(flags(&["profile=rag"])).collect();
    let both = resolve(both, FRESH).unwrap();
    assert_eq!(lengths(&both), [rag_in(), rag_out()]);
    let point = both.with(&[(setting("input_tokens"), "9".to_owned())]).unwrap();
    assert_eq!(lengths(&point), [said("9", Origin::Study), rag_out()]);
    let other = both.with(&[(setting("profile"), "fixed".to_owned())]).unwrap();
    let fixed = ["200", "800"].map(|text| said(text, Origin::Profile));
    assert_eq!(lengths(&other), fixed);

    // Written down, the lengths stay, whatever becomes of the profile.
    let again = parse_file(Path::new("f.yaml"), &rag.to_yaml()).unwrap();
    assert_eq!(resolve(again, FRESH).unwrap().scenario, rag.scenario);

    let wrong = |words| resolve(flags(words), FRESH).unwrap_err().to_string();
    let typo = wrong(&["profile=chatt"]);
    assert!(typo.contains("--profile `chatt`: no such profile; expected chat, rag"), "{typo}");
    assert!(typo.ends_with("hint: did you mean `chat`?"), "{typo}");
    let file = wrong(&["profile=chat", "dataset=a.jsonl"]);
    assert!(file.contains("--profile `chat`") && file.contains("their own lengths"), "{file}");
}

#[test]
fn every_profile_is_well_formed_and_a_class_may_have_its_own() {
    for name in ["chat", "rag", "code-generation", "classification", "summarization", "fixed"] {
        let _ = resolved(&[&format!("profile={name}")]);
    }
    let mixed = resolved(&["classes=name=talk; profile=chat", "classes=name=look-up; profile=rag"]);
    let sources = mixed.scenario.classes.iter().map(|class| class.workload.source.clone());
    let alone = |name| resolved(&[name]).scenario.workload.source;
    assert_eq!(sources.collect::<Vec<_>>(), [alone("profile=chat"), alone("profile=rag")]);
}

#[test]
fn turns_make_sessions_of_what_has_turns() {
    let plain = resolved(&["turns=4"]);
    let expected = Sessions {
        turns: TurnCount::Drawn(Distribution::Fixed(4)),
        think_time: ThinkTime::Fixed(Nanos::ZERO),
        counted: Counted::Sessions,
        limit: None,
    };
    assert_eq!(plain.scenario.sessions, Some(expected));
    assert_eq!(plain.scenario.bounds.duration, Some(Nanos::from_secs(30)));
    let told = ["dataset=conversations:c.json", "turns=all", "think_time=exponential(2s)"];
    let told = resolved(&[&told[..], &["concurrency_of=requests", "sessions=9"]].concat());
    let mean = Nanos::from_secs(2);
    let expected = Sessions {
        turns: TurnCount::All,
        think_time: ThinkTime::Exponential { mean },
        counted: Counted::Requests,
        limit: Some(9),
    };
    assert_eq!(told.scenario.sessions, Some(expected));
    assert_eq!(told.scenario.bounds.duration, None);
    for (words, found) in [
        (&["think_time=2s"][..], "there are no sessions"),
        (&["turns=all"], "this dataset has no conversations"),
        (&["turns=4", "dataset=a.jsonl"], "this dataset's rows have one turn each"),
        (&["turns=4", "api=completions"], "this API takes one text, not a conversation"),
        (&["turns=4", "trace=t.csv"], "a trace says itself when each request is due"),
        (&["turns=4", "rate=2/s", "concurrency_of=requests"], "only the slots of a closed loop"),
        (&["turns=0"], "too small"),
        (&["turns=20000"], "more than 10000 turns"),
        (&["turns=4", "think_time=uniform(5s..1s)"], "the bounds are the wrong way round"),
        (&["turns=4", "sessions=9", "ramp=linear(1/s..2/s)"], "a ramp needs a duration"),
    ] {
        let problems = resolve(flags(words), FRESH).unwrap_err().to_string();
        assert!(problems.contains(found), "{words:?}: {problems}");
    }
}

#[test]
fn classes_are_scenarios_with_something_of_their_own() {
    let yaml = "model: m\noutput_tokens: 9\nslo: failure_rate<=1%\nclasses:\n  - name: chat\n    \
                weight: 3\n    input_tokens: normal(512,128)\n    slo: ttft:p99<=1s,e2e<=9s\n  \
                - {name: long, model: adapter, output_tokens: 700, prefix_tokens: 20}\n";
    let toml = "model = \"m\"\noutput_tokens = 9\nslo = [\"failure_rate<=1%\"]\n\
                [[classes]]\nname = \"chat\"\nweight = 3\ninput_tokens = \"normal(512,128)\"\n\
                slo = \"ttft:p99<=1s,e2e<=9s\"\n\
                [[classes]]\nname = \"long\"\nmodel = \"adapter\"\noutput_tokens = 700\n\
                prefix_tokens = 20\n";
    let read = |name: &str, text: &str| {
        let given =
            parse_file(Path::new(name), text).unwrap_or_else(|problems| panic!("{problems}"));
        resolve(given, FRESH).unwrap_or_else(|problems| panic!("{problems}"))
    };
    let resolved = read("f.yaml", yaml);
    assert_eq!(read("f.toml", toml).scenario, resolved.scenario);
    assert_eq!(read("g.yaml", &resolved.to_yaml()).scenario, resolved.scenario);
    let [chat, long] = &resolved.scenario.classes[..] else { panic!("there are two") };
    assert_eq!((chat.name.as_str(), chat.weight, long.weight), ("chat", 3.0, 1.0));
    assert_eq!((chat.model.as_deref(), long.model.as_deref()), (Some("m"), Some("adapter")));
    assert_eq!(chat.slo.to_string(), "ttft:p99<=1s,e2e<=9s");
    assert_eq!(long.slo, Slo::default());
    assert_eq!(chat.workload.output_tokens, Some(Distribution::Fixed(9)));
    assert_eq!(long.workload.output_tokens, Some(Distribution::Fixed(700)));
    let prefix = Some(SharedPrefix { tokens: 20, groups: 1 });
    let input_tokens = Distribution::Fixed(512);
    assert_eq!(long.workload.source, PromptSource::Synthetic { input_tokens, prefix });
}

#[test]
fn what_is_wrong_with_a_class_is_said_of_it() {
    for (words, found) in [
        (&["classes=weight=2"][..], "no `name`"),
        (&["classes=name=a; wieght=2"], "did you mean `weight`?"),
        (&["classes=name=a; weight=0"], "the weight `0` is no number above 0"),
        (&["classes=name=a; output_tokens=x"], "class `a`: output_tokens `x`"),
        (&["classes=name=a", "classes=name=a"], "class `a`: the name stands twice"),
        (&["classes=name=a; seed=2"], "a class has no `seed` of its own"),
        (
            &["classes=name=a", "classes=name=b; output_length=natural"],
            "its output length is an order and another class's is not",
        ),
        (&["turns=2", "classes=name=a; dataset=x.jsonl"], "this dataset's rows have one turn each"),
    ] {
        let problems = resolve(flags(words), FRESH).unwrap_err().to_string();
        assert!(problems.contains(found), "{words:?}: {problems}");
    }
}

#[test]
fn names_on_a_hub_are_read_and_checked_before_anything_is_fetched() {
    let name = |text: &str| HubName::of(Path::new(text));
    let full = name("hf:o/n@v1.0:data/x.jsonl").unwrap();
    assert_eq!((full.repo.as_str(), full.revision.as_str()), ("o/n", "v1.0"));
    assert_eq!(full.file.as_deref(), Some("data/x.jsonl"));
    assert_eq!(name("hf:gpt2").unwrap().revision, "main");
    for wrong in [
        "x.jsonl",
        "hf:",
        "hf:a/b/c",
        "hf:a/../b",
        "hf:a/b:",
        "hf:a/b:../c",
        "hf:a/b:c?d",
        "hf:a b",
    ] {
        assert_eq!(name(wrong), None, "{wrong}");
    }
    let source = |text: &str| resolved(&[text]).scenario.workload.source;
    let found = |column: &str| FileLayout::Found { column: column.to_owned() };
    let path = PathBuf::from("hf:o/n:x.json");
    let expected = PromptSource::File { path: path.clone(), layout: found("prompt") };
    assert_eq!(source("dataset=hf:o/n:x.json"), expected);
    let expected = PromptSource::File { path, layout: FileLayout::ShareGpt };
    assert_eq!(source("dataset=sharegpt:hf:o/n:x.json"), expected);
    for wrong in ["dataset=hf:../x", "dataset=csv:hf:", "tokenizer=hf:a/b/c"] {
        let problems = resolve(flags(&[wrong]), FRESH).unwrap_err().to_string();
        assert!(problems.contains("not a name on a hub"), "{wrong}: {problems}");
    }
}
