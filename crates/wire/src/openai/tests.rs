//! Tests of `openai`: what is asked, and what failures say.

use infermark_terms::{Excerpt, Message, OutputPolicy, Prompt, RequestId};
use serde_json::{Value, json};

use super::*;
use crate::dialect::Delivery;
use crate::fault;

fn dialect(api: Api) -> Dialect {
    Dialect {
        api,
        delivery: Delivery::Streamed,
        model: "m \"x\"".to_owned(),
        length: LengthFields::IgnoreEosAndMinTokens,
        usage: UsageFields::Continuous,
    }
}

fn ask(prompt: Prompt) -> Ask {
    Ask {
        id: RequestId(0),
        prompt,
        input_tokens: None,
        output_tokens: Some(64),
        output_policy: OutputPolicy::Exact,
    }
}

fn body(dialect: &Dialect, ask: &Ask) -> Value {
    serde_json::from_slice(&dialect.body(ask).unwrap()).unwrap()
}

#[test]
fn a_text_becomes_the_one_message_of_a_chat() {
    assert_eq!(
        body(&dialect(Api::Chat), &ask(Prompt::Text("a\n\"é".to_owned()))),
        json!({
            "model": "m \"x\"",
            "messages": [{"role": "user", "content": "a\n\"é"}],
            "max_tokens": 64, "min_tokens": 64, "ignore_eos": true,
            "stream": true,
            "stream_options": {"include_usage": true, "continuous_usage_stats": true},
        })
    );
    assert_eq!(dialect(Api::Chat).path(), "/v1/chat/completions");
}

#[test]
fn completions_take_text_and_token_ids() {
    let completions = Dialect { usage: UsageFields::Final, ..dialect(Api::Completions) };
    let asked = body(&completions, &ask(Prompt::Tokens(vec![1, 70_000])));
    assert_eq!(asked["prompt"], json!([1, 70_000]));
    assert_eq!(asked["stream_options"], json!({"include_usage": true}));
    assert_eq!(body(&completions, &ask(Prompt::Text("a".to_owned())))["prompt"], json!("a"));
    assert_eq!(completions.path(), "/v1/completions");
}

#[test]
fn a_conversation_goes_as_it_is() {
    let messages = [("system", "s"), ("user", "u")]
        .map(|(role, content)| Message { role: role.to_owned(), content: content.to_owned() });
    assert_eq!(
        body(&dialect(Api::Chat), &ask(Prompt::Messages(messages.to_vec())))["messages"],
        json!([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}])
    );
}

#[test]
fn prompts_that_an_api_does_not_take_are_errors() {
    let tokens = dialect(Api::Chat).body(&ask(Prompt::Tokens(vec![1])));
    assert_eq!(tokens, Err(UnsupportedPrompt::Tokens(Api::Chat)));
    let messages = dialect(Api::Completions).body(&ask(Prompt::Messages(Vec::new())));
    assert_eq!(messages, Err(UnsupportedPrompt::Messages(Api::Completions)));
}

#[test]
fn length_and_usage_are_ordered_in_the_fields_that_the_server_knows() {
    let text = || Prompt::Text("a".to_owned());
    let keys = |dialect: &Dialect, ask: &Ask| {
        let asked = body(dialect, ask);
        let of_interest = ["ignore_eos", "max_tokens", "min_tokens", "stream_options"];
        of_interest.into_iter().filter(|key| asked.get(key).is_some()).collect::<Vec<_>>()
    };
    let full = dialect(Api::Chat);
    let ignoring = Dialect { length: LengthFields::IgnoreEos, ..full.clone() };
    let plain =
        Dialect { length: LengthFields::LimitOnly, usage: UsageFields::None, ..full.clone() };
    let whole = Dialect { delivery: Delivery::Whole, ..full.clone() };
    let natural = Ask { output_policy: OutputPolicy::Natural, ..ask(text()) };
    let unbounded = Ask { output_tokens: None, ..ask(text()) };
    assert_eq!(keys(&ignoring, &ask(text())), ["ignore_eos", "max_tokens", "stream_options"]);
    assert_eq!(keys(&plain, &ask(text())), ["max_tokens"]);
    assert_eq!(keys(&whole, &ask(text())), ["ignore_eos", "max_tokens", "min_tokens"]);
    assert_eq!(body(&whole, &ask(text()))["stream"], json!(false));
    assert_eq!(keys(&full, &natural), ["max_tokens", "stream_options"]);
    assert_eq!(keys(&full, &unbounded), ["stream_options"]);
}

#[test]
fn what_a_failed_server_says_is_found_in_every_shape() {
    for (body, expected) in [
        (r#"{"error":{"message":"no","type":"x","code":404}}"#, "no"),
        (r#"{"object":"error","message":"no","code":400}"#, "no"),
        (r#"{"error":"no","error_type":"overloaded"}"#, "no"),
        (r#"{"error":null,"detail":"Not Found"}"#, "Not Found"),
        (r#"{"detail":[{"loc":["a"]}]}"#, r#"[{"loc":["a"]}]"#),
        (r#"{"error":{"code":7}}"#, r#"{"code":7}"#),
        ("<html>\n no</html>", "<html> no</html>"),
        (r#"{"unheard": "of"}"#, r#"{"unheard": "of"}"#),
    ] {
        assert_eq!(fault::message(body.as_bytes()), Excerpt::new(expected), "{body}");
    }
}

#[test]
fn finish_reasons_read_as_they_are_written() {
    for word in ["stop", "length", "tool_calls", "content_filter", "abort"] {
        assert_eq!(finish_word(&finish_reason(word.as_bytes())), Some(word));
    }
    assert_eq!(finish_word(&FinishReason::Unstated), None);
}
