//! What else differed between two runs, beside the figures.

use std::collections::BTreeMap;

use infermark_store::RunFile;
use serde::Serialize;
use serde_json::Value;

/// Settings that say nothing of what was asked: they differ between any two runs.
const IDLE: [&str; 1] = ["seed"];

/// Something, beside the figures, in which two runs differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What: a setting, or a part of the target or the environment.
    pub name: String,
    /// As it was in the baseline; absent where it had none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// As it was in the candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<String>,
}

/// Lists what differed beside the figures: scenario, target, environment, definitions.
pub fn differences(baseline: &RunFile, candidate: &RunFile) -> Vec<Difference> {
    differing(&facts(baseline), &facts(candidate))
}

/// Lists the names whose values differ.
pub(super) fn differing(
    one: &BTreeMap<String, String>,
    other: &BTreeMap<String, String>,
) -> Vec<Difference> {
    let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
    names
        .filter(|name| one.get(*name) != other.get(*name))
        .map(|name| Difference {
            name: name.clone(),
            baseline: one.get(name).cloned(),
            candidate: other.get(name).cloned(),
        })
        .collect()
}

/// Returns what is known of a run beside its figures, by name.
pub(super) fn facts(header: &RunFile) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let settings = header.scenario["values"].as_array().map(Vec::as_slice).unwrap_or_default();
    for setting in settings {
        if let (Some(key), Some(text)) = (setting["key"].as_str(), setting["text"].as_str())
            && !IDLE.contains(&key)
        {
            let all: &mut String = facts.entry(key.to_owned()).or_default();
            // Some settings are given several times.
            if !all.is_empty() {
                all.push_str(", ");
            }
            all.push_str(text);
        }
    }
    // What names on a hub stood for: the same name may be another commit later.
    collect(&mut facts, "snapshot", &header.scenario["snapshots"]);
    collect(&mut facts, "target", &header.target);
    collect(&mut facts, "client", &header.environment);
    // The setting says it already.
    let _: Option<String> = facts.remove("target.url");
    let _: Option<String> = facts.insert("definitions".to_owned(), header.definitions.clone());
    facts
}

/// Takes in each leaf of a value under its path.
fn collect(facts: &mut BTreeMap<String, String>, path: &str, value: &Value) {
    let text = match value {
        Value::Null => return,
        Value::Object(fields) => {
            for (key, value) in fields {
                collect(facts, &format!("{path}.{key}"), value);
            }
            return;
        }
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.to_string(),
    };
    let _: Option<String> = facts.insert(path.to_owned(), text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_differs_is_named_with_both_values() {
        let run = |version: &str, seed: &str, rate: &str| RunFile {
            target: json!({ "url": "http://x", "server": { "name": "vllm", "version": version } }),
            scenario: json!({ "values": [
                { "key": "seed", "text": seed },
                { "key": "rate", "text": rate },
            ] }),
            environment: json!({ "cpus": 2 }),
            ..RunFile::default()
        };
        let listed = differences(&run("0.31", "1", "2/s"), &run("0.32", "2", "3/s"));
        let listed: Vec<_> = listed
            .iter()
            .map(|d| (d.name.as_str(), d.baseline.as_deref(), d.candidate.as_deref()))
            .collect();
        assert_eq!(
            listed,
            [
                ("rate", Some("2/s"), Some("3/s")),
                ("target.server.version", Some("0.31"), Some("0.32")),
            ]
        );
        let absent = RunFile { environment: json!({}), ..run("0.31", "1", "2/s") };
        let listed = differences(&absent, &run("0.31", "1", "2/s"));
        assert_eq!((listed.len(), listed[0].baseline.as_deref()), (1, None));
    }

    fn asked(values: &[(&str, &str)], snapshots: &Value) -> RunFile {
        let values: Vec<_> =
            values.iter().map(|(key, text)| json!({ "key": key, "text": text })).collect();
        let scenario = json!({ "values": values, "snapshots": snapshots });
        RunFile { scenario, ..RunFile::default() }
    }

    #[test]
    fn another_commit_of_a_dataset_of_the_same_name_is_a_difference() {
        let run = |commit: &str| {
            let was = format!("{commit}/data.jsonl");
            asked(&[("dataset", "hf:o/n")], &json!({ "hf:o/n": was }))
        };
        let [found] = &differences(&run("aaaa"), &run("bbbb"))[..] else { panic!("one") };
        assert_eq!(found.name, "snapshot.hf:o/n");
        assert_eq!(found.baseline.as_deref(), Some("aaaa/data.jsonl"));
        assert_eq!(found.candidate.as_deref(), Some("bbbb/data.jsonl"));
        assert!(differences(&run("aaaa"), &run("aaaa")).is_empty());
    }

    #[test]
    fn a_setting_that_is_given_several_times_is_one_difference_with_all_its_values() {
        let chat = "name=chat,share=3";
        let one = asked(&[("classes", chat), ("classes", "name=code,share=1")], &Value::Null);
        let other = asked(&[("classes", chat), ("classes", "name=code,share=2")], &Value::Null);
        let [found] = &differences(&one, &other)[..] else { panic!("one") };
        assert_eq!(found.name, "classes");
        assert_eq!(found.baseline.as_deref(), Some("name=chat,share=3, name=code,share=1"));
        assert_eq!(found.candidate.as_deref(), Some("name=chat,share=3, name=code,share=2"));
        let turned = asked(&[("classes", "name=code,share=1"), ("classes", chat)], &Value::Null);
        assert_eq!(differences(&one, &turned).len(), 1, "their order tells requests apart");
    }
}
