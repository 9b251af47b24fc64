//! Tests of `server`: what is read, and that answers have the shape of vLLM's.

use infermark_terms::{Ask, Excerpt, Message, OutputPolicy, RequestId};
use serde_json::{Value, json};

use super::*;
use crate::dialect::{Dialect, LengthFields, path};

fn parse(api: Api, body: &[u8]) -> Result<Asked, Refusal> {
    let target = path(api, Delivery::Streamed, "m");
    let (found, asked) = Endpoint::of(&target).unwrap().parse(body)?;
    assert_eq!(found, api);
    Ok(asked)
}

fn answer(api: Api, id: u64) -> Answer {
    let asked = Asked::plain(Prompt::Text(String::new()), Delivery::Streamed, UsageFields::None);
    Answer::new(api, &asked, id, "m", 5)
}

#[test]
fn what_a_dialect_writes_is_read_back() {
    let message = Message { role: "user".to_owned(), content: "hi".to_owned() };
    for (api, prompt) in [
        (Api::Chat, Prompt::Messages(vec![message])),
        (Api::Completions, Prompt::Text("hi".to_owned())),
        (Api::Completions, Prompt::Tokens(vec![1, 2])),
    ] {
        let dialect = Dialect {
            api,
            delivery: Delivery::Streamed,
            model: "m".to_owned(),
            length: LengthFields::IgnoreEosAndMinTokens,
            usage: UsageFields::Continuous,
        };
        let ask = Ask {
            id: RequestId(0),
            prompt: prompt.clone(),
            input_tokens: None,
            output_tokens: Some(9),
            output_policy: OutputPolicy::Exact,
        };
        let expected = Asked {
            model: Some("m".to_owned()),
            prompt,
            max_tokens: Some(9),
            min_tokens: 9,
            ignore_eos: true,
            delivery: Delivery::Streamed,
            usage: UsageFields::Continuous,
            return_token_ids: false,
            priority: 0,
        };
        assert_eq!(parse(api, &dialect.body(&ask).unwrap()), Ok(expected));
    }
}

#[test]
fn requests_come_in_many_forms() {
    let chat = |body: Value| parse(Api::Chat, body.to_string().as_bytes()).unwrap();
    let completions = |body: Value| parse(Api::Completions, body.to_string().as_bytes()).unwrap();
    let asked = chat(json!({
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a"},
            {"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": null}],
        "max_tokens": 5, "max_completion_tokens": 7, "temperature": 0.5, "priority": -1,
    }));
    let said = |role: &str, content: &str| Message { role: role.into(), content: content.into() };
    assert_eq!(asked.prompt, Prompt::Messages(vec![said("user", "ab"), said("assistant", "")]));
    assert_eq!((asked.max_tokens, asked.priority), (Some(7), -1));
    assert_eq!((asked.model, asked.delivery), (None, Delivery::Whole));
    assert_eq!(completions(json!({"prompt": ["a"]})).prompt, Prompt::Text("a".into()));
    assert_eq!(completions(json!({"prompt": [[1, 2]]})).prompt, Prompt::Tokens(vec![1, 2]));
    let options = json!({"continuous_usage_stats": true});
    let asked = completions(json!({"prompt": "a", "stream": true, "stream_options": options}));
    assert_eq!(asked.usage, UsageFields::None);
}

#[test]
fn contradictions_are_refused_with_the_field_that_is_wrong() {
    for (body, param) in [
        (json!({"prompt": "a", "max_tokens": 0}), Some("max_tokens")),
        (json!({"prompt": "a", "max_tokens": 2, "min_tokens": 3}), Some("min_tokens")),
        (json!({"prompt": "a", "n": 2}), Some("n")),
        (json!({"prompt": "a", "stream_options": {}}), Some("stream_options")),
        (json!({"prompt": []}), Some("prompt")),
        (json!({"prompt": ["a", "b"]}), Some("prompt")),
        (json!({"prompt": 7}), None),
        (json!({}), Some("prompt")),
        (json!([]), None),
    ] {
        let refusal = parse(Api::Completions, body.to_string().as_bytes()).unwrap_err();
        assert_eq!((refusal.status, refusal.param), (400, param), "{body}");
    }
    let refusal = parse(Api::Chat, br#"{"messages": []}"#).unwrap_err();
    assert_eq!(refusal.param, Some("messages"));
}

#[test]
fn a_refusal_has_the_shape_of_vllm() {
    let body: Value = serde_json::from_slice(&Refusal::unknown_model("x").body(Api::Chat)).unwrap();
    let expected = json!({"error": {
        "message": "The model `x` does not exist.",
        "type": "NotFoundError", "param": "model", "code": 404,
    }});
    assert_eq!(body, expected);
}

fn usage(completion_tokens: u32) -> Usage {
    Usage { prompt_tokens: 7, completion_tokens, cached_tokens: None, reasoning_tokens: None }
}

fn events(out: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(out).unwrap();
    text.split_terminator("\n\n")
        .filter(|event| *event != "data: [DONE]")
        .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
        .collect()
}

#[test]
fn a_streamed_chat_has_the_shape_of_vllm() {
    let (mut answer, mut out) = (answer(Api::Chat, 1), Vec::new());
    answer.opening(&mut out, Some(usage(0)));
    let part = |text, usage| Part { text, ends: &[1], ids: &[3], usage };
    answer.part(&mut out, &part("a\"", Some(usage(1))));
    answer.token_ids = true;
    let total = Usage { cached_tokens: Some(4), reasoning_tokens: Some(1), ..usage(2) };
    let end = End { finish: &FinishReason::Length, usage: Some(total) };
    answer.last(&mut out, &part("b", None), &end);
    let event = |choices: Value| {
        json!({"id": "chatcmpl-00000000000000000000000000000001", "created": 5, "model": "m",
            "object": "chat.completion.chunk", "choices": choices})
    };
    let with = |mut event: Value, key: &str, value: Value| {
        event[key] = value;
        event
    };
    let counts =
        |n: u32| json!({"prompt_tokens": 7, "total_tokens": 7 + n, "completion_tokens": n});
    let role = event(json!([{"index": 0, "delta": {"role": "assistant", "content": ""},
        "logprobs": null, "finish_reason": null}]));
    let first = event(json!([{"index": 0, "delta": {"content": "a\""}, "logprobs": null,
        "finish_reason": null, "token_ids": null}]));
    let last = event(json!([{"index": 0, "delta": {"content": "b"}, "logprobs": null,
        "finish_reason": "length", "stop_reason": null, "token_ids": [3]}]));
    let total = with(counts(2), "prompt_tokens_details", json!({"cached_tokens": 4}));
    let total = with(total, "completion_tokens_details", json!({"reasoning_tokens": 1}));
    assert_eq!(
        events(&out),
        [
            with(with(role, "prompt_token_ids", Value::Null), "usage", counts(0)),
            with(first, "usage", counts(1)),
            last,
            with(event(json!([])), "usage", total),
        ]
    );
}

#[test]
fn a_streamed_completion_has_the_shape_of_vllm() {
    let (mut answer, mut out) = (answer(Api::Completions, 1), Vec::new());
    answer.token_ids = true;
    answer.opening(&mut out, None);
    let part = Part { text: "a", ends: &[0, 1], ids: &[3, 4], usage: None };
    answer.last(&mut out, &part, &End { finish: &FinishReason::Stop, usage: None });
    assert_eq!(
        events(&out),
        [json!({
            "id": "cmpl-00000000000000000000000000000001", "object": "text_completion",
            "created": 5, "model": "m",
            "choices": [{"index": 0, "text": "a", "logprobs": null, "finish_reason": "stop",
                "stop_reason": null, "prompt_token_ids": null, "token_ids": [3, 4]}],
        })]
    );
    assert!(out.ends_with(b"data: [DONE]\n\n"));
    out.clear();
    answer.fault(&mut out, &Refusal::internal("died"));
    assert_eq!(events(&out)[0]["error"]["message"], json!("died"));
    assert!(out.ends_with(b"data: [DONE]\n\n"));
}

#[test]
fn a_whole_answer_is_json_of_the_api() {
    for (api, object) in [(Api::Chat, "chat.completion"), (Api::Completions, "text_completion")] {
        let mut out = Vec::new();
        let reason = FinishReason::Other(Excerpt::new("abort"));
        let end = End { finish: &reason, usage: Some(usage(2)) };
        answer(api, 1).whole(&mut out, "a\n", &end);
        let body: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(body["object"], json!(object));
        assert_eq!(body["choices"][0]["finish_reason"], json!("abort"));
        let text = if api == Api::Chat { "/message/content" } else { "/text" };
        assert_eq!(body["choices"][0].pointer(text), Some(&json!("a\n")));
        assert_eq!(body["usage"]["total_tokens"], json!(9));
    }
}

#[test]
fn seconds_read_as_dates() {
    assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
    assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
    assert_eq!(rfc3339(1_767_225_599), "2025-12-31T23:59:59Z");
}
