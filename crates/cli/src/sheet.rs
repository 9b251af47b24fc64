//! What the table of a run says about it, read from its header: the same for a run that just
//! ended and for one read back.

use infermark_report::{Colour, Sheet, table};
use infermark_run::Measured;
use serde_json::Value;

use crate::whom::Whom;

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
    let whom = Whom::of(header);
    let asked = asked(&header.scenario["values"]);
    table(
        &Sheet {
            target: &whom.target,
            source: whom.source(),
            verification: whom.verification,
            model: &whom.model,
            api: &whom.api,
            server: whom.server.as_deref(),
            asked: &asked,
            state: whom.state,
            beside: &[],
            record: Some(&measured.dir),
            point: &measured.point,
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
