//! Tests of `event`: against `serde_json`, on events of every make.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::laws::{Tree, cases, changes, mutated, space, text, tree, well_formed};

/// What is compared: facts that own their text.
#[derive(Debug, PartialEq)]
struct Seen {
    failed: bool,
    has_choices: bool,
    choice: Option<SeenChoice>,
    usage: Option<Usage>,
}

#[derive(Debug, PartialEq)]
struct SeenChoice {
    role: bool,
    kind: Option<ChunkKind>,
    /// The text's bytes in ascending order: `serde_json` does not keep the order of keys.
    text: Vec<u8>,
    tokens: Option<u32>,
    finish: Option<String>,
}

fn seen(shape: Shape, event: &[u8]) -> Result<Seen, DecodeFault> {
    let facts = read(shape, event)?;
    let choice = facts.choice.map(|choice| {
        let mut text = Vec::new();
        choice.text.append_to(&mut text);
        assert_eq!(text.len() as u32, choice.text.len_utf8());
        assert_eq!(text.is_empty(), choice.kind.is_none());
        text.sort_unstable();
        let finish = choice.finish.map(|word| String::from_utf8(word.decoded().into()).unwrap());
        let Choice { role, kind, tokens, .. } = choice;
        SeenChoice { role, kind, text, tokens, finish }
    });
    let Facts { failed, has_choices, usage, .. } = facts;
    Ok(Seen { failed, has_choices, choice, usage })
}

/// The same facts, taken from a parsed value. `Err` where a looked-at value has another type.
fn oracle(shape: Shape, event: &[u8]) -> Result<Seen, DecodeFault> {
    let event: Value = serde_json::from_slice(event).map_err(|_| DecodeFault::Json)?;
    let members = event.as_object().ok_or(DecodeFault::Shape)?;
    let object = typed(members.get("object"), Value::as_str);
    let failed = object == Ok(Some("error")) || members.get("error").is_some_and(|e| !e.is_null());
    let facts = || -> Result<Seen, ()> {
        let _object = object?;
        let choices = typed(members.get("choices"), Value::as_array)?;
        let read = choices.into_iter().flatten().map(|choice| oracle_choice(shape, choice));
        let read: Vec<_> = read.collect::<Result<_, _>>()?;
        let choice = read.into_iter().find(|(index, _)| *index == 0).map(|(_, choice)| choice);
        let usage = typed(members.get("usage"), Value::as_object)?;
        let stated = |key| usage.map_or(Ok(None), |usage| typed(usage.get(key), count));
        let detail = |outer, key| -> Result<Option<u32>, ()> {
            let details = usage.map_or(Ok(None), |u| typed(u.get(outer), Value::as_object))?;
            details.map_or(Ok(None), |details| typed(details.get(key), count))
        };
        let counts = stated("prompt_tokens")?.zip(stated("completion_tokens")?);
        let cached_tokens = detail("prompt_tokens_details", "cached_tokens")?;
        let reasoning_tokens = detail("completion_tokens_details", "reasoning_tokens")?;
        let usage = counts.map(|(prompt_tokens, completion_tokens)| Usage {
            prompt_tokens,
            completion_tokens,
            cached_tokens,
            reasoning_tokens,
        });
        Ok(Seen { failed, has_choices: choices.is_some(), choice, usage })
    };
    match facts() {
        Ok(facts) if failed || facts.has_choices || facts.usage.is_some() => Ok(facts),
        _ if failed => Ok(Seen { failed, has_choices: false, choice: None, usage: None }),
        _ => Err(DecodeFault::Shape),
    }
}

fn oracle_choice(shape: Shape, choice: &Value) -> Result<(u32, SeenChoice), ()> {
    let choice = choice.as_object().ok_or(())?;
    let index = typed(choice.get("index"), count)?.unwrap_or(0);
    let finish = typed(choice.get("finish_reason"), Value::as_str)?.map(str::to_owned);
    let ids = typed(choice.get("token_ids"), Value::as_array)?;
    let logprobs = typed(choice.get("logprobs"), Value::as_object)?;
    let key = if shape == Shape::Chat { "content" } else { "tokens" };
    let logprobs = logprobs.map_or(Ok(None), |l| typed(l.get(key), Value::as_array))?;
    let tokens = ids.or(logprobs).map(|all| all.len() as u32);
    let (mut role, mut texts) = (false, Vec::new());
    if shape == Shape::Completions {
        texts.push((ChunkKind::Answer, typed(choice.get("text"), Value::as_str)?));
    } else if let Some(message) = typed(choice.get("delta"), Value::as_object)? {
        let text = |key| typed(message.get(key), Value::as_str);
        role = text("role")?.is_some();
        texts.push((ChunkKind::Answer, text("content")?));
        texts.push((ChunkKind::Refusal, text("refusal")?));
        texts.push((ChunkKind::Reasoning, text("reasoning")?));
        let calls = typed(message.get("tool_calls"), Value::as_array)?;
        for call in calls.into_iter().flatten() {
            let call = typed(Some(call), Value::as_object)?;
            let function = call.map_or(Ok(None), |c| typed(c.get("function"), Value::as_object))?;
            let arguments = function.map_or(Ok(None), |f| typed(f.get("arguments"), Value::as_str));
            texts.push((ChunkKind::ToolCall, arguments?));
        }
    }
    let texts: Vec<_> = texts
        .into_iter()
        .filter_map(|(kind, text)| Some((kind, text.filter(|text| !text.is_empty())?)))
        .collect();
    let mut text: Vec<u8> = texts.iter().flat_map(|(_, text)| text.bytes()).collect();
    text.sort_unstable();
    let kind = texts.iter().map(|(kind, _)| *kind).min();
    Ok((index, SeenChoice { role, kind, text, tokens, finish }))
}

/// `null` stands for absence; another type is an error.
fn typed<'a, T>(
    value: Option<&'a Value>,
    read: impl FnOnce(&'a Value) -> Option<T>,
) -> Result<Option<T>, ()> {
    value.filter(|value| !value.is_null()).map(|value| read(value).ok_or(())).transpose()
}

fn count(value: &Value) -> Option<u32> {
    value.as_u64()?.try_into().ok()
}

/// Members with these keys and values, some left out, others thrown in, in any order. A value
/// may be `null` or something else altogether.
fn members(known: Vec<(&'static str, BoxedStrategy<Tree>)>) -> BoxedStrategy<Tree> {
    let known: Vec<_> = known
        .into_iter()
        .map(|(key, value)| {
            let value = prop_oneof![
                60 => value.prop_map(Some),
                20 => Just(None),
                20 => Just(Some(Tree::Null)),
                1 => tree().prop_map(Some),
            ];
            value.prop_map(move |value| value.map(|value| (key.to_owned(), value)))
        })
        .collect();
    let extra = prop::collection::vec(("x[a-z]{0,3}", tree()), 0..3);
    (known, extra)
        .prop_map(|(known, extra)| known.into_iter().flatten().chain(extra).collect::<Vec<_>>())
        .prop_shuffle()
        .prop_map(Tree::Members)
        .boxed()
}

fn words() -> BoxedStrategy<Tree> {
    text().prop_map(Tree::Text).boxed()
}

fn counts() -> BoxedStrategy<Tree> {
    (0_u64..5000).prop_map(Tree::Count).boxed()
}

fn lists(element: BoxedStrategy<Tree>) -> BoxedStrategy<Tree> {
    prop::collection::vec(element, 0..4).prop_map(Tree::List).boxed()
}

fn events() -> BoxedStrategy<Tree> {
    let function = members(vec![("name", words()), ("arguments", words())]);
    let delta = members(vec![
        ("role", words()),
        ("content", words()),
        ("refusal", words()),
        ("reasoning", words()),
        ("tool_calls", lists(members(vec![("function", function)]))),
    ]);
    let choice = members(vec![
        ("index", prop_oneof![9 => Just(0_u64), 1 => 0..3_u64].prop_map(Tree::Count).boxed()),
        ("delta", delta),
        ("text", words()),
        ("finish_reason", words()),
        ("token_ids", lists(counts())),
        ("logprobs", members(vec![("content", lists(counts())), ("tokens", lists(words()))])),
    ]);
    let details = || members(vec![("cached_tokens", counts()), ("reasoning_tokens", counts())]);
    let usage = members(vec![
        ("prompt_tokens", counts()),
        ("completion_tokens", counts()),
        ("prompt_tokens_details", details()),
        ("completion_tokens_details", details()),
    ]);
    let object = prop_oneof![9 => Just("chunk".to_owned()), 1 => Just("error".to_owned())];
    let error = prop_oneof![9 => Just(Tree::Null), 1 => tree()];
    members(vec![
        ("choices", lists(choice)),
        ("usage", usage),
        ("object", object.prop_map(Tree::Text).boxed()),
        ("error", error.boxed()),
    ])
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![Just(Shape::Chat), Just(Shape::Completions)]
}

/// Facts of an error do not matter beyond that it is one.
fn told(facts: Result<Seen, DecodeFault>) -> Result<Seen, DecodeFault> {
    facts.map(|facts| match facts {
        Seen { failed: true, .. } => {
            Seen { failed: true, has_choices: false, choice: None, usage: None }
        }
        facts => facts,
    })
}

proptest! {
    #![proptest_config(cases(120))]

    #[test]
    fn the_facts_are_those_that_serde_json_finds(
        event in events(), space in space(), shape in shape(),
    ) {
        let event = event.print(space);
        let text = String::from_utf8_lossy(&event).into_owned();
        prop_assert_eq!(told(seen(shape, &event)), told(oracle(shape, &event)), "{}", text);
    }

    #[test]
    fn damaged_events_are_told_as_serde_json_tells_them(
        event in events(), space in space(), shape in shape(), changes in changes(),
    ) {
        let event = mutated(event.print(space), &changes);
        if well_formed(&event).is_some() {
            let text = String::from_utf8_lossy(&event).into_owned();
            prop_assert_eq!(told(seen(shape, &event)), told(oracle(shape, &event)), "{}", text);
        }
    }
}

#[test]
fn texts_come_in_the_order_of_their_keys() {
    let event = br#"{"choices":[{"delta":{"reasoning":"a\n","content":"b\u00e9","tool_calls":[
        {"function":{"arguments":"{}"}},{"function":{"name":"f","arguments":"\"c\""}}]}}]}"#;
    let choice = read(Shape::Chat, event).unwrap().choice.unwrap();
    let mut text = b"> ".to_vec();
    choice.text.append_to(&mut text);
    assert_eq!(String::from_utf8(text).unwrap(), "> a\nbé{}\"c\"");
    assert_eq!(choice.kind, Some(ChunkKind::Answer));
}

#[test]
fn reasoning_under_two_names_counts_once() {
    let event = br#"{"choices":[{"delta":{"reasoning":"ab","reasoning_content":"ab"}}]}"#;
    let choice = read(Shape::Chat, event).unwrap().choice.unwrap();
    assert_eq!((choice.kind, choice.text.len_utf8()), (Some(ChunkKind::Reasoning), 2));
    let event = br#"{"choices":[{"delta":{"reasoning":"","reasoning_content":"ab"}}]}"#;
    assert_eq!(read(Shape::Chat, event).unwrap().choice.unwrap().text.len_utf8(), 2);
}

#[test]
fn a_function_name_is_no_output() {
    let event = br#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f"}}]}}]}"#;
    assert_eq!(read(Shape::Chat, event).unwrap().choice.unwrap().kind, None);
}

#[test]
fn json_of_another_shape_is_told_from_what_is_no_json() {
    for event in ["7", "[]", "{}", "null", "{\"choices\":7}", "{\"choices\":[7]}", "{\"usage\":{}}"]
    {
        assert_eq!(read(Shape::Chat, event.as_bytes()).err(), Some(DecodeFault::Shape), "{event}");
    }
    for event in ["", "{\"choices\":7", "{\"choices\":[]} x", "[DONE]"] {
        assert_eq!(read(Shape::Chat, event.as_bytes()).err(), Some(DecodeFault::Json), "{event}");
    }
}
