//! What a listing takes from a header.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Entry, Standing};
use crate::{RunFile, StoreError};

/// Settings that say which load was asked for, and what stands before their text.
const LOADS: [(&str, &str); 4] =
    [("concurrency", "concurrency "), ("rate", "rate "), ("ramp", "ramp "), ("trace", "trace ")];

/// Verdicts, from bad to good.
const VERDICTS: [&str; 3] = ["void", "doubtful", "sound"];

/// Returns the entry of a header in the directory `name`.
pub(super) fn entry(name: &str, header: &RunFile) -> Entry {
    let target = &header.target;
    let figure = |path: &str| match &header.points[..] {
        [point] => point.pointer(path).and_then(Value::as_f64),
        _ => None,
    };
    let sum = |path: &str| {
        let counts = header.points.iter().filter_map(|point| point.pointer(path)?.as_u64());
        counts.reduce(|one, other| one + other)
    };
    let is_saturated = header.points.iter().any(|point| point["saturated"] == true);
    let said = |verdict: &&&str| {
        header.points.iter().any(|point| point["trust"]["verdict"].as_str() == Some(**verdict))
    };
    // A search for capacity and a suite say themselves how far the points that count are trusted.
    let found = ["capacity", "validation"].iter().find_map(|key| header.rest.get(*key));
    let found = found.and_then(|found| text(&found["trust"]));
    let worst = VERDICTS.iter().find(said).map(|verdict| (*verdict).to_owned());
    Entry {
        name: name.to_owned(),
        id: header.id.clone(),
        kind: text(&header.rest.get("kind").cloned().unwrap_or_default())
            .unwrap_or_else(|| "run".to_owned()),
        created: header.created.clone(),
        state: if header.partial { Standing::Partial } else { Standing::Complete },
        model: text(&target["model"]),
        target: text(&target["url"]),
        server: server(&target["server"]),
        gpu: gpu(header),
        load: load(header),
        tags: tags(&header.scenario["tags"]),
        definitions: header.definitions.clone(),
        points: header.points.len() as u64,
        requests: sum("/counts/due"),
        failed: sum("/counts/failed"),
        output_tokens_per_s: figure("/rates/output_tokens_per_s"),
        // Latencies of a saturated point are no result.
        ttft_ms_p50: figure("/latency/ttft_ms/p50").filter(|_| !is_saturated),
        itl_ms_p50: figure("/latency/itl_ms/p50").filter(|_| !is_saturated),
        trust: found.or(worst),
        problem: None,
    }
}

/// Returns the entry of a directory whose header cannot be read.
pub(super) fn unreadable(name: &str, error: &StoreError) -> Entry {
    Entry {
        name: name.to_owned(),
        id: name.to_owned(),
        state: Standing::Unreadable,
        problem: Some(error.to_string()),
        ..Entry::default()
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn server(server: &Value) -> Option<String> {
    let name = server["name"].as_str()?;
    let version = server["version"].as_str().unwrap_or_default();
    Some(format!("{name} {version}").trim_end().to_owned())
}

/// Returns the text of a setting that was asked for.
fn setting<'a>(header: &'a RunFile, key: &str) -> Option<&'a str> {
    let values = header.scenario["values"].as_array()?;
    values.iter().find(|value| value["key"] == key)?["text"].as_str()
}

/// Returns what the user said of the server's hardware, else what the target did.
fn gpu(header: &RunFile) -> Option<String> {
    let hardware = &header.target["hardware"];
    let known = || {
        let count = hardware["count"].as_u64()?;
        Some(format!("{count}x{}", hardware["gpu"].as_str()?))
    };
    setting(header, "gpus").map(str::to_owned).or_else(known)
}

fn load(header: &RunFile) -> Option<String> {
    // Points of these have loads of their own.
    let kind = header.rest.get("kind").and_then(Value::as_str);
    if kind.is_some_and(|kind| ["capacity", "sweep", "validate"].contains(&kind)) {
        return None;
    }
    if setting(header, "throughput") == Some("yes") {
        return Some("throughput".to_owned());
    }
    let asked =
        |(key, before): &(&str, &str)| setting(header, key).map(|text| format!("{before}{text}"));
    LOADS.iter().find_map(asked)
}

fn tags(tags: &Value) -> BTreeMap<String, String> {
    let pairs = tags.as_object().into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect()
}
