//! Tests of all dialects together: what one role writes, the other reads.

use infermark_terms::{
    Ask, ChunkKind, FinishReason, Message, Outcome, OutputPolicy, Prompt, RequestId, Usage,
};
use proptest::prelude::*;

use super::*;
use crate::exchange::{Ended, Exchange, Keep, Progress};
use crate::http1::{end_chunked, start_chunked, write_chunk, write_response};
use crate::laws::{cases, cut, cuts};
use crate::server::{Answer, End, Endpoint, Part, Refusal};

/// The dialects that both roles speak.
fn spoken() -> impl Iterator<Item = Api> {
    Api::ALL.into_iter().filter(|api| api.streams())
}

fn dialect(api: Api, delivery: Delivery) -> Dialect {
    Dialect {
        api,
        delivery,
        model: "m".to_owned(),
        length: LengthFields::IgnoreEosAndMinTokens,
        usage: UsageFields::Continuous,
    }
}

fn ask(prompt: Prompt) -> Ask {
    Ask {
        id: RequestId(0),
        prompt,
        input_tokens: None,
        output_tokens: Some(9),
        output_policy: OutputPolicy::Exact,
    }
}

fn text(text: &str) -> Prompt {
    Prompt::Text(text.to_owned())
}

#[test]
fn a_path_names_the_model_where_the_api_wants_it_there() {
    let named = path(Api::Triton, Delivery::Streamed, "org/a b");
    assert_eq!(named, "/v2/models/org%2Fa%20b/generate_stream");
    assert_eq!(path(Api::Kserve, Delivery::Whole, "m"), "/v2/models/m/infer");
    assert_eq!(path(Api::Tgi, Delivery::Whole, "m"), "/generate");
}

#[test]
fn what_a_dialect_asks_its_server_understands() {
    for api in spoken() {
        for delivery in [Delivery::Streamed, Delivery::Whole] {
            let dialect = dialect(api, delivery);
            let body = dialect.body(&ask(text("hi"))).unwrap();
            let target = dialect.path();
            let endpoint = Endpoint::of(&target).unwrap_or_else(|| panic!("{api}"));
            let (found, asked) = endpoint.parse(&body).unwrap();
            // The path and the fields that matter are the same for both of Triton's backends.
            let found = if api == Api::Trtllm { Api::Trtllm } else { found };
            assert_eq!((found, asked.delivery), (api, delivery));
            assert_eq!(asked.max_tokens, Some(9), "{api}");
            let said = match asked.prompt {
                Prompt::Text(text) => text,
                Prompt::Messages(all) => all[0].content.clone(),
                Prompt::Tokens(_) => panic!("{api}: text was asked"),
            };
            assert_eq!(said, "hi", "{api}");
            let exact = asked.ignore_eos || asked.min_tokens == 9;
            assert_eq!(exact, api.orders_length(), "{api}");
        }
    }
}

#[test]
fn prompts_go_in_the_forms_that_an_api_takes() {
    let said = |role: &str, content: &str| Message { role: role.into(), content: content.into() };
    let talk = Prompt::Messages(vec![said("system", "s"), said("user", "u")]);
    for api in Api::ALL {
        let dialect = dialect(api, Delivery::Whole);
        let tokens = dialect.body(&ask(Prompt::Tokens(vec![1, 2])));
        assert_eq!(tokens.is_ok(), api.takes_token_ids(), "{api}");
        assert_eq!(dialect.body(&ask(talk.clone())).is_ok(), api.is_chat(), "{api}");
        assert!(dialect.body(&ask(text("a"))).is_ok(), "{api}");
    }
    let body = dialect(Api::Anthropic, Delivery::Whole).body(&ask(talk)).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["system"], "s");
    assert_eq!(body["messages"][0]["content"], "u");
}

#[test]
fn a_reranker_gets_the_lines_as_query_and_documents() {
    let rerank = |prompt| -> serde_json::Value {
        let body = dialect(Api::Rerank, Delivery::Whole).body(&ask(text(prompt))).unwrap();
        serde_json::from_slice(&body).unwrap()
    };
    let body = rerank("q\n\nd1\nd2\n");
    assert_eq!(body["query"], "q");
    assert_eq!(body["documents"], serde_json::json!(["d1", "d2"]));
    let halves = rerank("the man, and the time");
    assert_eq!(
        (&halves["query"], &halves["documents"][0]),
        (&"the man,".into(), &" and the time".into())
    );
    assert_eq!(rerank("q")["documents"], serde_json::json!(["q"]));
}

/// What came of a response.
#[derive(Debug, PartialEq)]
struct Seen {
    ended: Ended,
    chunks: Vec<(ChunkKind, Option<u32>, String)>,
    usage: Option<Usage>,
}

fn exchange(api: Api, delivery: Delivery, bytes: &[u8], lengths: &[usize]) -> Seen {
    let mut exchange = Exchange::new(api, delivery);
    let (mut chunks, mut end) = (Vec::new(), None);
    for piece in cut(bytes, lengths) {
        let progress = exchange.receive(piece, &mut |chunk| {
            let mut text = Vec::new();
            chunk.text.append_to(&mut text);
            chunks.push((chunk.kind, chunk.tokens, String::from_utf8(text).unwrap()));
        });
        if let Progress::Ended(ended) = progress {
            end = Some(ended);
            break;
        }
    }
    let ended = end.unwrap_or_else(|| exchange.closed());
    if let Some(text) = exchange.output_text() {
        let text = String::from_utf8(text.to_vec()).unwrap();
        chunks.push((ChunkKind::Answer, None, text));
    }
    Seen { ended, chunks, usage: exchange.usage() }
}

fn answer(api: Api) -> Answer {
    let body = dialect(api, Delivery::Streamed).body(&ask(text("hi"))).unwrap();
    let target = path(api, Delivery::Streamed, "m");
    let (_, asked) = Endpoint::of(&target).unwrap().parse(&body).unwrap();
    Answer::new(api, &asked, 7, "m \"x\"", 1)
}

fn counts(tokens: u32) -> Usage {
    Usage {
        prompt_tokens: 12,
        completion_tokens: tokens,
        cached_tokens: None,
        reasoning_tokens: None,
    }
}

/// Returns the events of an answer of these words, each a token and an event.
fn events(api: Api, words: &[String]) -> Vec<Vec<u8>> {
    let mut answer = answer(api);
    let mut opening = Vec::new();
    answer.opening(&mut opening, Some(counts(0)));
    let mut events = vec![opening];
    for (place, word) in words.iter().enumerate() {
        let usage = Some(counts(place as u32 + 1));
        let part = Part { text: word, ends: &[word.len()], ids: &[7], usage };
        let mut event = Vec::new();
        if place + 1 == words.len() {
            let end = End { finish: &FinishReason::Length, usage };
            answer.last(&mut event, &part, &end);
        } else {
            answer.part(&mut event, &part);
        }
        events.push(event);
    }
    events
}

fn stream(api: Api, events: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    start_chunked(&mut out, 200, &[("Content-Type", answer(api).content_type())]);
    for event in events.iter().filter(|event| !event.is_empty()) {
        write_chunk(&mut out, event);
    }
    end_chunked(&mut out);
    out
}

/// Whether the chunks' tokens are known.
fn tells_chunk_tokens(api: Api) -> bool {
    !matches!(api, Api::Responses | Api::Ollama | Api::OllamaGenerate | Api::Anthropic)
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn the_same_answer_is_the_same_in_every_dialect(
        words in prop::collection::vec("[a-zé\"\\\\\n 你]{1,6}", 1..6), lengths in cuts(),
    ) {
        for api in spoken() {
            let bytes = stream(api, &events(api, &words));
            let seen = exchange(api, Delivery::Streamed, &bytes, &lengths);
            let outcome = Outcome::Finished { reason: FinishReason::Length };
            prop_assert_eq!(&seen.ended.outcome, &outcome, "{}", api);
            prop_assert_eq!(seen.ended.connection, Keep::Reuse, "{}", api);
            let said: Vec<_> = seen.chunks.iter().map(|(_, _, text)| text.clone()).collect();
            prop_assert_eq!(&said, &words, "{}", api);
            let known = tells_chunk_tokens(api).then_some(1);
            prop_assert!(seen.chunks.iter().all(|(_, n, _)| *n == known), "{} {:?}", api, seen);
            let usage = seen.usage.map(|u| (u.prompt_tokens, u.completion_tokens));
            prop_assert_eq!(usage, Some((12, words.len() as u32)), "{}", api);
        }
    }

    #[test]
    fn an_answer_cut_short_is_severed_in_every_dialect_that_announces_its_end(
        words in prop::collection::vec("[a-z]{1,6}", 2..6), kept in 0_usize..100,
    ) {
        for api in spoken() {
            let events = events(api, &words);
            let kept = 1 + kept % (events.len() - 1);
            let bytes = stream(api, &events[..kept]);
            let seen = exchange(api, Delivery::Streamed, &bytes, &[usize::MAX]);
            let silent = matches!(api, Api::Triton | Api::Trtllm) && kept > 1;
            let finished = matches!(seen.ended.outcome, Outcome::Finished { .. });
            prop_assert_eq!(finished, silent, "{} {:?}", api, seen);
        }
    }
}

#[test]
fn a_whole_answer_is_read_in_every_dialect() {
    for api in spoken() {
        let (mut body, usage) = (Vec::new(), Some(counts(2)));
        let end = End { finish: &FinishReason::Length, usage };
        answer(api).whole(&mut body, "a \"b\"\n", &end);
        let mut bytes = Vec::new();
        write_response(&mut bytes, 200, &[("Content-Type", "application/json")], &body);
        let seen = exchange(api, Delivery::Whole, &bytes, &[3]);
        let outcome = Outcome::Finished { reason: FinishReason::Length };
        assert_eq!(seen.ended, Ended { outcome, connection: Keep::Reuse }, "{api}");
        assert_eq!(seen.chunks, [(ChunkKind::Answer, None, "a \"b\"\n".to_owned())], "{api}");
        let usage = seen.usage.map(|u| (u.prompt_tokens, u.completion_tokens));
        assert_eq!(usage, Some((12, 2)), "{api}");
    }
}

#[test]
fn faults_and_refusals_are_told_in_every_dialect() {
    for api in spoken() {
        let refusal = Refusal::internal("it died");
        let mut fault = Vec::new();
        answer(api).fault(&mut fault, &refusal);
        let mut all = events(api, &["a".to_owned(), "b".to_owned()]);
        all[2] = fault;
        let seen = exchange(api, Delivery::Streamed, &stream(api, &all), &[usize::MAX]);
        let message = infermark_terms::Excerpt::new("it died");
        assert_eq!(seen.ended.outcome, Outcome::Errored { message: message.clone() }, "{api}");

        let mut bytes = Vec::new();
        let json = [("Content-Type", "application/json")];
        write_response(&mut bytes, 500, &json, &refusal.body(api));
        let seen = exchange(api, Delivery::Streamed, &bytes, &[5]);
        assert_eq!(seen.ended.outcome, Outcome::Refused { status: 500, message }, "{api}");

        let mut garbage = Vec::new();
        answer(api).garbage(&mut garbage);
        all[2] = garbage;
        let seen = exchange(api, Delivery::Streamed, &stream(api, &all), &[usize::MAX]);
        assert_eq!(
            seen.ended.outcome,
            Outcome::Garbled { fault: infermark_terms::DecodeFault::Json },
            "{api}"
        );

        let mut comment = Vec::new();
        answer(api).comment(&mut comment);
        let mut all = events(api, &["a".to_owned(), "b".to_owned()]);
        all.insert(1, comment);
        let seen = exchange(api, Delivery::Streamed, &stream(api, &all), &[usize::MAX]);
        assert_eq!(seen.chunks.len(), 2, "{api}");
    }
}

#[test]
fn embeddings_are_an_answer_without_output() {
    let body = br#"{"object":"list","data":[{"index":0,"embedding":[0.1,-2e-3]}],"model":"m",
        "usage":{"prompt_tokens":8,"total_tokens":8}}"#;
    let ranks = br#"{"id":"r","results":[{"index":0,"relevance_score":0.5}],
        "usage":{"prompt_tokens":8,"total_tokens":8}}"#;
    for (api, body) in [
        (Api::Embeddings, body.as_slice()),
        (Api::Pooling, body.as_slice()),
        (Api::Rerank, ranks.as_slice()),
    ] {
        let mut bytes = Vec::new();
        write_response(&mut bytes, 200, &[("Content-Type", "application/json")], body);
        let seen = exchange(api, Delivery::Whole, &bytes, &[9]);
        let outcome = Outcome::Finished { reason: FinishReason::Unstated };
        assert_eq!(seen.ended.outcome, outcome, "{api}");
        let usage = seen.usage.map(|u| (u.prompt_tokens, u.completion_tokens));
        assert_eq!(usage, Some((8, 0)), "{api}");
    }
}

#[test]
fn the_inference_protocol_is_read_by_its_tensors() {
    let body = br#"{"model_name":"m","outputs":[
        {"name":"num_output_tokens","datatype":"UINT32","shape":[1],"data":[2]},
        {"name":"text_output","datatype":"BYTES","shape":[1],"data":["a b"]},
        {"name":"num_input_tokens","datatype":"UINT32","shape":[1],"data":[5]},
        {"name":"logits","datatype":"FP32","shape":[2],"data":[0.5,-1.5]}]}"#;
    let mut bytes = Vec::new();
    write_response(&mut bytes, 200, &[("Content-Type", "application/json")], body);
    let seen = exchange(Api::Kserve, Delivery::Whole, &bytes, &[usize::MAX]);
    assert_eq!(seen.chunks[0].2, "a b");
    assert_eq!(seen.usage.map(|u| (u.prompt_tokens, u.completion_tokens)), Some((5, 2)));
}
