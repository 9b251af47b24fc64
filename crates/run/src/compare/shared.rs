//! Which requests two sides have in common, so that each can be held against its own twin.
//!
//! # Invariant
//!
//! Requests of the same number are the same only where all that says what is asked, and when, is
//! equal: each setting in its order, each commit that a name on a hub stood for, and the seed.

use std::collections::{BTreeMap, BTreeSet};

use infermark_store::RunFile;
use infermark_terms::{RequestId, RequestRow};

/// Settings that say what is asked, and when: where all are equal, the requests are the same.
const ASKING: [&str; 26] = [
    "seed",
    "classes",
    "concurrency",
    "concurrency_of",
    "sessions",
    "turns",
    "think_time",
    "rate",
    "ramp",
    "throughput",
    "trace",
    "time_scale",
    "arrivals",
    "max_concurrency",
    "requests",
    "duration",
    "warmup",
    "dataset",
    "column",
    "input_tokens",
    "output_tokens",
    "output_length",
    "prefix_tokens",
    "prefix_groups",
    "prompt_form",
    "tokenizer",
];

/// What the requests of one record were.
pub(super) struct Requests<'a> {
    header: &'a RunFile,
    numbers: Numbers,
    /// Those that latencies are over.
    due: BTreeSet<RequestId>,
}

/// What a request's number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Numbers {
    /// What is asked.
    Planned,
    /// When it came: turns are numbered so, which hangs on when the answers before them ended.
    AsTheyCame,
}

impl<'a> Requests<'a> {
    pub(super) fn of(header: &'a RunFile, rows: &[RequestRow], due: BTreeSet<RequestId>) -> Self {
        let turned = rows.iter().any(|row| row.turn.is_some());
        let numbers = if turned { Numbers::AsTheyCame } else { Numbers::Planned };
        Self { header, numbers, due }
    }

    /// Says whether the numbers of both mean the same requests. Without a seed nobody can know.
    fn are_those_of(&self, other: &Self) -> bool {
        let ours = asked(self.header);
        let planned = [self, other].iter().all(|side| side.numbers == Numbers::Planned);
        planned && ours.contains_key("seed") && ours == asked(other.header)
    }
}

/// Returns what was asked, and when: settings, and what names on a hub stood for.
fn asked(header: &RunFile) -> BTreeMap<&str, Vec<&str>> {
    let values = header.scenario["values"].as_array().into_iter().flatten();
    let values = values.filter_map(|value| Some((value["key"].as_str()?, value["text"].as_str()?)));
    let snapshots = header.scenario["snapshots"].as_object().into_iter().flatten();
    let snapshots = snapshots.filter_map(|(name, was)| Some((name.as_str(), was.as_str()?)));
    let mut asked = BTreeMap::<_, Vec<_>>::new();
    for (key, text) in values.filter(|(key, _)| ASKING.contains(key)).chain(snapshots) {
        asked.entry(key).or_default().push(text);
    }
    asked
}

/// Returns the requests that the records of both sides have, pair by pair, where both were asked
/// the very same; else nothing.
pub(super) fn shared([ours, theirs]: &[Vec<Requests<'_>>; 2]) -> Option<Vec<BTreeSet<RequestId>>> {
    let same = |(one, other): (&Requests<'_>, &Requests<'_>)| {
        one.are_those_of(other).then(|| one.due.intersection(&other.due).copied().collect())
    };
    let pairs = ours.iter().zip(theirs);
    (ours.len() == theirs.len()).then(|| pairs.map(same).collect()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    type Values = [(&'static str, &'static str)];

    fn header(values: &Values, commit: &str) -> RunFile {
        let values: Vec<Value> =
            values.iter().map(|(key, text)| json!({ "key": key, "text": text })).collect();
        let snapshots = json!({ "hf:o/n": format!("{commit}/x.jsonl") });
        let scenario = json!({ "values": values, "snapshots": snapshots });
        RunFile { scenario, ..RunFile::default() }
    }

    fn requests<'a>(header: &'a RunFile, numbers: Numbers, due: &[u64]) -> Requests<'a> {
        Requests { header, numbers, due: due.iter().map(|id| RequestId(*id)).collect() }
    }

    /// Returns what two sides of one record each share.
    fn between(one: &RunFile, other: &RunFile) -> Option<Vec<u64>> {
        let side = |header, due: &[u64]| vec![requests(header, Numbers::Planned, due)];
        let shared = shared(&[side(one, &[1, 2, 3]), side(other, &[2, 3, 4])])?;
        Some(shared.iter().flatten().map(|id| id.0).collect())
    }

    const CHAT: (&str, &str) = ("classes", "name=chat,share=3");
    const CODE: (&str, &str) = ("classes", "name=code,share=1");
    const SEED: (&str, &str) = ("seed", "7");

    #[test]
    fn sides_that_were_asked_the_same_share_what_was_due_on_both() {
        let one = header(&[SEED, CHAT, CODE], "aa");
        assert_eq!(between(&one, &one), Some(vec![2, 3]));
        let unasked = header(&[SEED, CHAT, CODE, ("tag", "name=x")], "aa");
        assert_eq!(between(&one, &unasked), Some(vec![2, 3]), "a tag asks nothing");
    }

    #[test]
    fn whatever_says_what_is_asked_must_be_equal() {
        let one = header(&[SEED, CHAT, CODE], "aa");
        for (what, other) in [
            ("another seed", header(&[("seed", "8"), CHAT, CODE], "aa")),
            ("another share of a class", header(&[SEED, CHAT, ("classes", "name=code")], "aa")),
            ("one class fewer", header(&[SEED, CHAT], "aa")),
            ("classes in another order", header(&[SEED, CODE, CHAT], "aa")),
            ("another length", header(&[SEED, CHAT, CODE, ("input_tokens", "9")], "aa")),
            ("another commit of the dataset", header(&[SEED, CHAT, CODE], "bb")),
        ] {
            assert_eq!(between(&one, &other), None, "{what}");
        }
        let seedless = header(&[CHAT, CODE], "aa");
        assert_eq!(between(&seedless, &seedless), None, "nobody knows the seed");
    }

    #[test]
    fn turns_and_unequal_repeats_share_nothing() {
        let header = header(&[SEED], "aa");
        let planned = || requests(&header, Numbers::Planned, &[1]);
        let turned = || requests(&header, Numbers::AsTheyCame, &[1]);
        assert!(shared(&[vec![planned()], vec![planned()]]).is_some());
        assert!(shared(&[vec![turned()], vec![turned()]]).is_none());
        assert!(shared(&[vec![planned()], vec![turned()]]).is_none());
        assert!(shared(&[vec![planned(), planned()], vec![planned()]]).is_none());
    }
}
