//! Laws of every syntax: what is printed reads back, and nothing panics.

use std::fmt::Debug;

use infermark_terms::Nanos;
use proptest::prelude::*;

use super::lengths::TOKENS_MAX;
use super::*;
use crate::intent::{
    Arrivals, Distribution, HeaderValue, RateCurve, Secret, Target, TokenizerChoice,
};

#[track_caller]
fn reads_back<T: PartialEq + Debug>(codec: &Codec<T>, value: &T) {
    let text = (codec.print)(value);
    match (codec.parse)(&text) {
        Ok(read) => assert_eq!(read, *value, "{text}"),
        Err(fault) => panic!("`{text}`: {fault:?}"),
    }
}

/// What can be read can be printed and read again.
fn is_stable<T: PartialEq + Debug>(codec: &Codec<T>, text: &str) {
    if let Ok(value) = (codec.parse)(text) {
        reads_back(codec, &value);
    }
}

fn all_are_stable(text: &str) {
    is_stable(&TARGET, text);
    is_stable(&PROXY, text);
    is_stable(&REPLICA, text);
    is_stable(&REPLICA, &format!("{text},weight=2.50"));
    is_stable(&RATE, text);
    is_stable(&RAMP, text);
    is_stable(&ARRIVALS, text);
    is_stable(&TIME_SCALE, text);
    is_stable(&SLO, text);
    is_stable(&GPUS, text);
    is_stable(&LENGTHS, text);
    is_stable(&CLASS, text);
    is_stable(&TURNS, text);
    is_stable(&THINK_TIME, text);
    is_stable(&COUNTED, text);
    is_stable(&DURATION, text);
    is_stable(&SPAN, text);
    is_stable(&DATASET, text);
    is_stable(&TOKENIZER, text);
    is_stable(&HEADER, text);
    is_stable(&ENV_NAME, text);
    is_stable(&TAG, text);
    is_stable(&LINE, text);
    is_stable(&PATH, text);
    is_stable(&YES_NO, text);
    is_stable(&DELIVERY, text);
    is_stable(&INSECURITY, text);
    is_stable(&API, text);
    is_stable(&PROMPT_FORM, text);
    is_stable(&OUTPUT_POLICY, text);
    is_stable(&count::<1, 1000>(), text);
}

fn rates() -> impl Strategy<Value = f64> {
    prop_oneof![1e-6..1e6_f64, (1_u32..1000).prop_map(f64::from)]
}

fn distributions() -> impl Strategy<Value = Distribution> {
    let lengths = 1..=TOKENS_MAX as u32;
    let bounds = (lengths.clone(), lengths.clone()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let spread = (bounds.clone(), 0.0..=1.0_f64, 0.0..1e6_f64).prop_map(|((min, max), at, sd)| {
        let (low, high) = (f64::from(min), f64::from(max));
        ((low + at * (high - low)).clamp(low, high), sd, min, max)
    });
    prop_oneof![
        lengths.prop_map(Distribution::Fixed),
        bounds.prop_map(|(min, max)| Distribution::Uniform { min, max }),
        spread.clone().prop_map(|(mean, sd, min, max)| Distribution::Normal { mean, sd, min, max }),
        spread.prop_map(|(mean, sd, min, max)| Distribution::LogNormal { mean, sd, min, max }),
    ]
}

/// Texts close enough to the syntaxes to come past their first checks.
fn near_texts() -> impl Strategy<Value = String> {
    let pieces = [
        "normal",
        "lognormal",
        "uniform",
        "linear",
        "exponential",
        "gamma",
        "fixed",
        "(",
        ")",
        ",",
        "..",
        "0",
        "1",
        "12",
        "0.5",
        "1e9",
        "99999999999999999999999",
        "/s",
        "/min",
        "s",
        "ms",
        ".",
        "-",
        " ",
        ":",
        "=",
        "http",
        "https",
        "://",
        "sim",
        "h",
        "[::1]",
        "[",
        "]",
        "@",
        "?",
        "#",
        "/v1",
        "/",
        "env",
        "X",
        "jsonl",
        "sharegpt",
        "ä",
        "\u{0}",
        "\n",
        "%",
        "_",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..12)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_duration_reads_back(nanos in 0..=365 * 86_400 * 1_000_000_000_u64) {
        reads_back(&SPAN, &Nanos(nanos));
    }

    #[test]
    fn any_rate_ramp_and_law_read_back(from in rates(), to in rates(), cv in 0.01..20.0_f64) {
        reads_back(&RATE, &from);
        reads_back(&RAMP, &RateCurve::Linear { from, to });
        reads_back(&RAMP, &RateCurve::Exponential { from, to });
        reads_back(&ARRIVALS, &Arrivals::Gamma { cv });
    }

    #[test]
    fn any_distribution_reads_back(lengths in distributions()) {
        reads_back(&LENGTHS, &lengths);
    }

    #[test]
    fn any_file_tokenizer_header_and_tag_read_back(
        path in "[ -~äß日]{0,20}[a-z]",
        name in "X-[A-Za-z0-9]{1,8}",
        value in "([!-~][ -~]{0,20})?[a-z0-9]",
        variable in "[A-Z_][A-Z0-9_]{0,10}",
        key in "[a-z0-9ä_./-]{1,8}",
    ) {
        let kinds = [
            FileKind::Jsonl,
            FileKind::Csv,
            FileKind::Parquet,
            FileKind::ShareGpt,
            FileKind::Conversations,
        ];
        for kind in kinds {
            let path = path.trim().into();
            reads_back(&DATASET, &Dataset::File { kind, path });
        }
        reads_back(&TOKENIZER, &TokenizerChoice::Path(format!("./{path}").into()));
        reads_back(&TAG, &(key, value.clone()));
        reads_back(&HEADER, &(name.clone(), HeaderValue::Secret(Secret::Env(variable))));
        let file = Secret::File(format!("./{}", path.trim()).into());
        reads_back(&HEADER, &(name.clone(), HeaderValue::Secret(file)));
        // Some names and values look like secrets or name a variable; they have their own tests.
        is_stable(&HEADER, &format!("{name}: {value}"));
    }

    #[test]
    fn whatever_can_be_read_reads_back(text in near_texts(), other in any::<String>()) {
        all_are_stable(&text);
        all_are_stable(&other);
    }
}

#[test]
fn durations_are_exact_and_written_in_the_longest_unit_that_divides_them() {
    let shown = |text| (SPAN.parse)(text).map(|span| (SPAN.print)(&span)).unwrap();
    let texts = ["0s", "0.1s", "90s", "120s", "1.5h", "1.5s", "1000ms", "1us", "0.25us", "8760h"];
    assert_eq!(
        texts.map(shown),
        ["0s", "100ms", "90s", "2m", "90m", "1500ms", "1s", "1us", "250ns", "8760h"]
    );
}

#[test]
fn rates_count_per_second() {
    for text in ["30/min", "1800/h", "0.5 / s"] {
        assert_eq!((RATE.parse)(text).map(|rate| (RATE.print)(&rate)).unwrap(), "0.5/s");
    }
}

#[test]
fn lengths_without_bounds_reach_to_eight_means() {
    let lengths = (LENGTHS.parse)("normal(512, 128)").unwrap();
    assert_eq!(lengths, Distribution::Normal { mean: 512.0, sd: 128.0, min: 1, max: 4096 });
    assert_eq!((LENGTHS.parse)("fixed(7)").unwrap(), Distribution::Fixed(7));
}

#[test]
fn a_url_loses_what_the_apis_paths_begin_with() {
    let read = |text| (TARGET.parse)(text).map(|target| (TARGET.print)(&target)).unwrap();
    assert_eq!(read("HTTP://Host:8000/v1/"), "http://host:8000");
    assert_eq!(read("https://host/a/B/v1"), "https://host/a/B");
    assert_eq!(read("http://[0:0::1]:80/"), "http://[::1]:80");
    assert_eq!(read("sim:llama@h100"), "sim:llama@h100");
    assert_eq!((TARGET.parse)("sim:").unwrap(), Target::Sim(String::new()));
}

#[test]
fn a_path_says_its_layout_by_its_extension() {
    let read = |text| (DATASET.parse)(text).map(|dataset| (DATASET.print)(&dataset)).unwrap();
    assert_eq!(read("a/b.JSONL"), "jsonl:a/b.JSONL");
    assert_eq!(read("c:d.csv"), "csv:c:d.csv");
    assert_eq!(read("sharegpt: x.json"), "sharegpt:x.json");
}
