//! What the table of a run says about it, read from its header: the same for a run that just
//! ended and for one read back.

use infermark_report::{Colour, Sheet, Source, State, Verification, table};
use infermark_run::Measured;
use serde_json::Value;

/// Settings that say what was asked, in the order in which they are shown.
const ASKED: [&str; 34] = [
    "replica",
    "concurrency",
    "rate",
    "ramp",
    "throughput",
    "trace",
    "time_scale",
    "arrivals",
    "max_concurrency",
    "concurrency_of",
    "requests",
    "sessions",
    "duration",
    "warmup",
    "window",
    "stream",
    "connections",
    "http2",
    "http2_streams",
    "retries",
    "profile",
    "dataset",
    "turns",
    "think_time",
    "input_tokens",
    "output_tokens",
    "output_length",
    "prefix_tokens",
    "prefix_groups",
    "classes",
    "tokenizer",
    "gpus",
    "price",
    "seed",
];

/// Prints a run as a table.
pub(crate) fn table_of(measured: &Measured, colour: Colour) -> String {
    let header = &measured.header;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let target = text(&header.target["url"]);
    let embedded = header.target["embedded"] == Value::Bool(true);
    let unverified = header.target["unverified"] == Value::Bool(true);
    let server = server(&header.target["server"]);
    let asked = asked(&header.scenario["values"]);
    let point = &measured.point;
    table(
        &Sheet {
            target: &target,
            source: if embedded { Source::Embedded(&target) } else { Source::Server },
            verification: if unverified { Verification::Off } else { Verification::Full },
            model: &text(&header.target["model"]),
            api: &text(&header.target["api"]),
            server: server.as_deref(),
            asked: &asked,
            state: if header.partial { State::Partial } else { State::Complete },
            beside: &[],
            record: Some(&measured.dir),
            point,
        },
        colour,
    )
}

/// Returns what was asked, as labels and values; what nobody chose and is off is left out.
pub(crate) fn asked(values: &Value) -> Vec<(&'static str, String)> {
    let values = values.as_array().map(Vec::as_slice).unwrap_or_default();
    let found = |key: &&'static str| {
        let given = values.iter().filter(|value| value["key"] == **key);
        let texts: Vec<_> = given.filter_map(|value| value["text"].as_str()).collect();
        let text = (!texts.is_empty()).then(|| texts.join(" | "))?;
        let idle = matches!(
            (*key, text.as_str()),
            ("throughput" | "http2", "no")
                | ("stream", "yes")
                | ("warmup" | "think_time", "0s")
                | ("window", "given")
                | ("connections", "keep-alive")
                | ("http2_streams", "100")
                | ("retries", "0")
        );
        (!idle).then_some((*key, text))
    };
    ASKED.iter().filter_map(found).collect()
}

/// Returns the server's name and version, as far as it told them.
pub(crate) fn server(server: &Value) -> Option<String> {
    let name = match server["name"].as_str()? {
        "vllm" => "vLLM",
        "sglang" => "SGLang",
        "llamacpp" => "llama.cpp",
        "ollama" => "Ollama",
        "tgi" => "TGI",
        "triton" => "Triton",
        "infermark" => "infermark",
        _ => return server["version"].as_str().map(|version| format!("version {version}")),
    };
    let version = server["version"].as_str();
    Some(version.map_or_else(|| name.to_owned(), |version| format!("{name} {version}")))
}
