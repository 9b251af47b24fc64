//! What goes out, and in which order it comes to be known.

use infermark_drive::{Roots, Route};
use infermark_scenario::intent::{
    self, Counted, Distribution, FileLayout, PromptForm, PromptSource, Sessions, ThinkTime,
    TurnCount,
};
use infermark_terms::{Nanos, OutputPolicy, Seed, Stamp};
use infermark_wire::{Api, Delivery, LengthFields, UsageFields};
use infermark_workload::{Calibration, Counter, Template, Traces};
use serde_json::Value;

use super::*;

/// Returns who asks in sessions of `turns` turns.
fn clerk(source: PromptSource, turns: TurnCount) -> Arc<Clerk> {
    let intent = intent::Workload {
        source,
        output_tokens: Some(Distribution::Fixed(5)),
        output_policy: OutputPolicy::Exact,
        form: PromptForm::Text,
    };
    let think_time = ThinkTime::Fixed(Nanos::ZERO);
    let sessions = Sessions { turns, think_time, counted: Counted::Sessions, limit: None };
    let counter = Counter::Calibrated(Calibration::ASSUMED);
    let (template, traces) = (Template::default(), Traces::default());
    let workload = Workload::prepare(&intent, Some(&sessions), counter, template, &traces, Seed(3));
    let dialect = Dialect {
        api: Api::Chat,
        delivery: Delivery::Streamed,
        model: "m".to_owned(),
        length: LengthFields::LimitOnly,
        usage: UsageFields::Continuous,
    };
    let endpoint = Endpoint::resolve("http://127.0.0.1:9", &Route::of(Roots::Unverified));
    Arc::new(Clerk {
        kinds: vec![Kind { workload: workload.unwrap(), dialect, context: None }],
        mix: None,
        endpoints: vec![Arc::new(endpoint.unwrap())],
        deal: Deal::by(&[1.0]),
        headers: Vec::new(),
    })
}

fn synthetic(turns: u32) -> Arc<Clerk> {
    let input_tokens = Distribution::Fixed(6);
    let turns = TurnCount::Drawn(Distribution::Fixed(turns));
    clerk(PromptSource::Synthetic { input_tokens, prefix: None }, turns)
}

fn feeder(clerk: &Arc<Clerk>, talk: Talk) -> (Feeder, Building) {
    Feeder::start(clerk, talk, Shard::WHOLE, 4, 1, Stop::default()).unwrap()
}

/// Waits for an order.
fn order(feeder: &mut Feeder, turn: Option<Turn>, id: u64) -> Order {
    let due = Due { turn, ..Due::new(RequestId(id), Stamp::ZERO) };
    loop {
        match feeder.take(due) {
            Some(order) => break order,
            None => thread::yield_now(),
        }
    }
}

/// Waits for an order and returns the messages in it, each as its role and text.
fn messages(feeder: &mut Feeder, session: u64, index: u32) -> Vec<(String, String)> {
    let order = order(feeder, Some(Turn { session, index }), 100);
    let text = String::from_utf8(order.bytes).unwrap();
    let body: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((order.asked_output, &body["max_tokens"]), (Some(5), &5.into()), "{body}");
    let said = body["messages"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    said.map(|message| (text(&message["role"]), text(&message["content"]))).collect()
}

#[test]
fn each_turn_says_what_was_said_before_and_the_servers_own_answers() {
    let clerk = synthetic(3);
    let (mut feeder, building) = feeder(&clerk, Talk::Sessions);
    let mut said = messages(&mut feeder, 1, 0);
    assert_eq!(said.len(), 1);
    for (index, answer) in [(0, "one \"answer\"\n"), (1, "an\u{f6}ther")] {
        feeder.answered(Turn { session: 1, index }, answer.as_bytes().to_vec());
        let next = messages(&mut feeder, 1, index + 1);
        said.push(("assistant".to_owned(), answer.to_owned()));
        assert_eq!(next[..said.len()], said);
        assert_eq!(next.len(), said.len() + 1);
        let (role, words) = next.last().unwrap();
        assert_eq!((role.as_str(), words.split(' ').count()), ("user", 6));
        assert!(!said.iter().any(|(_, text)| text == words), "{words} is said twice");
        said = next;
    }
    drop(feeder);
    for thread in building {
        thread.join().unwrap().unwrap();
    }
}

#[test]
fn the_first_turns_are_what_requests_without_sessions_ask() {
    let clerk = synthetic(3);
    let (mut alone, _building) = feeder(&clerk, Talk::Single);
    let (mut feeder, _building) = feeder(&clerk, Talk::Sessions);
    for number in 0..9 {
        let first = order(&mut feeder, Some(first_turn(number)), 50);
        assert_eq!(first, order(&mut alone, None, number));
    }
}

#[test]
fn a_datasets_conversation_goes_on_with_its_own_words_and_the_servers_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.json");
    let content = r#"[{"conversations": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "Because."}, {"role": "user", "content": "Really?"},
        {"role": "assistant", "content": "Yes."}]}]"#;
    std::fs::write(&path, content).unwrap();
    let clerk =
        clerk(PromptSource::File { path, layout: FileLayout::Conversations }, TurnCount::All);
    assert_eq!(clerk.turns(7), 2);
    let (mut feeder, _building) = feeder(&clerk, Talk::Sessions);
    let _: Vec<_> = messages(&mut feeder, 0, 0);
    feeder.answered(Turn { session: 0, index: 0 }, b"No idea.".to_vec());
    let said = messages(&mut feeder, 0, 1);
    let texts: Vec<_> = said.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["Be brief.", "Why?", "No idea.", "Really?"]);
}

#[test]
fn completions_without_a_limit_get_what_is_left_of_the_context() {
    let mut clerk = Arc::into_inner(synthetic(1)).unwrap();
    let kind = &mut clerk.kinds[0];
    let asked_by = |output_policy, kind: &Kind, input_tokens, output_tokens| {
        let prompt = Prompt::Text("a".repeat(100));
        let id = RequestId(0);
        let ask = Ask { id, prompt, input_tokens, output_tokens, output_policy };
        let body: Value = serde_json::from_slice(&kind.body(&ask).unwrap()).unwrap();
        body.get("max_tokens").and_then(Value::as_u64)
    };
    let asked = |kind: &Kind, input, output| asked_by(OutputPolicy::Natural, kind, input, output);
    kind.dialect.api = Api::Completions;
    assert_eq!(asked(kind, None, None), None);
    kind.context = Some(1000);
    // Counted, or a token a byte; and a few for what the server puts before it.
    assert_eq!(asked(kind, Some(40), None), Some(1000 - 40 - 16));
    assert_eq!(asked(kind, None, None), Some(1000 - 100 - 16));
    assert_eq!(asked(kind, None, Some(7)), Some(7));
    // A dataset's row without an answer is not ordered to fill the context.
    assert_eq!(asked_by(OutputPolicy::Exact, kind, None, None), None);
    // Nothing is left, as far as is known: the server is to judge.
    kind.context = Some(100);
    assert_eq!(asked(kind, None, None), None);
    (kind.context, kind.dialect.api) = (Some(1000), Api::Chat);
    assert_eq!(asked(kind, None, None), None);
}
