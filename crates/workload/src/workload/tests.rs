//! What the ask says about its prompt, and what is refused.

use infermark_scenario::intent::{FileLayout, SharedPrefix};
use infermark_terms::Nanos;

use super::*;
use crate::samples;

fn synthetic(input_tokens: Distribution) -> intent::Workload {
    intent::Workload {
        source: PromptSource::Synthetic { input_tokens, prefix: None },
        output_tokens: Some(Distribution::Uniform { min: 8, max: 16 }),
        output_policy: OutputPolicy::Exact,
        form: PromptForm::Text,
    }
}

fn prepare(intent: &intent::Workload, counter: Counter, overhead: u32) -> Workload {
    Workload::prepare(intent, None, counter, Template { overhead }, &Traces::default(), Seed(2))
        .unwrap()
}

fn refusal(intent: &intent::Workload, counter: Counter, overhead: u32) -> String {
    let prepared = Workload::prepare(
        intent,
        None,
        counter,
        Template { overhead },
        &Traces::default(),
        Seed(2),
    );
    let error = prepared.err().unwrap();
    assert!(error.hint().is_some());
    error.to_string()
}

fn tokenizer() -> Counter {
    Counter::by(samples::small())
}

fn count(text: &str) -> u32 {
    samples::small().count(text).unwrap()
}

fn text(ask: &Ask) -> &str {
    match &ask.prompt {
        Prompt::Text(text) => text,
        Prompt::Tokens(_) | Prompt::Messages(_) => panic!("not text"),
    }
}

fn file(content: &str, layout: FileLayout) -> (tempfile::TempDir, intent::Workload) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.json");
    std::fs::write(&path, content).unwrap();
    let intent = intent::Workload {
        source: PromptSource::File { path, layout },
        output_tokens: None,
        output_policy: OutputPolicy::Natural,
        form: PromptForm::Text,
    };
    (folder, intent)
}

#[test]
fn prompt_and_template_sum_to_the_length_that_was_drawn() {
    let law = Distribution::Uniform { min: 20, max: 90 };
    let workload = prepare(&synthetic(law), tokenizer(), 11);
    let server = samples::small();
    for id in 0..100 {
        let ask = workload.ask(RequestId(id)).unwrap();
        let counted = server.count(text(&ask)).unwrap() + 11;
        assert_eq!(ask.input_tokens, Some(counted));
        assert!((20..=90).contains(&counted));
        assert!((8..=16).contains(&ask.output_tokens.unwrap()));
        assert_eq!((ask.id, ask.output_policy), (RequestId(id), OutputPolicy::Exact));
    }
    assert!(workload.census().is_none());
}

#[test]
fn asks_depend_on_seed_and_id_alone() {
    let intent = synthetic(Distribution::LogNormal { mean: 40.0, sd: 20.0, min: 5, max: 200 });
    let asks = |seed, ids: &mut dyn Iterator<Item = u64>| -> Vec<Ask> {
        let (template, traces) = (Template::default(), Traces::default());
        let workload = Workload::prepare(&intent, None, tokenizer(), template, &traces, seed);
        let workload = workload.unwrap();
        ids.map(|id| workload.ask(RequestId(id)).unwrap()).collect()
    };
    let whole = asks(Seed(1), &mut (0..40));
    let mut shards = asks(Seed(1), &mut (0..40).filter(|id| id % 2 == 1));
    shards.extend(asks(Seed(1), &mut (0..40).filter(|id| id % 2 == 0)));
    shards.sort_by_key(|ask| ask.id);
    assert_eq!(whole, shards);
    assert_ne!(whole, asks(Seed(2), &mut (0..40)));
}

#[test]
fn a_workload_can_be_asked_from_many_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Workload>();
}

#[test]
fn token_ids_are_those_of_the_text() {
    let mut intent = synthetic(Distribution::Fixed(64));
    let texts = prepare(&intent, tokenizer(), 0);
    intent.form = PromptForm::TokenIds;
    let ids = prepare(&intent, tokenizer(), 0);
    for id in (0..10).map(RequestId) {
        let Prompt::Tokens(ids) = ids.ask(id).unwrap().prompt else { panic!("not ids") };
        assert_eq!(ids.len(), 64);
        // The first word's id is that of the word after a space.
        let text = texts.ask(id).unwrap();
        let encoded = samples::small().encode(super::tests::text(&text)).unwrap();
        assert_eq!(ids[1..], encoded[1..]);
    }
}

#[test]
fn without_a_tokenizer_words_stand_for_tokens() {
    let counter = Counter::Calibrated(Calibration { tokens_per_word: 1.5 });
    let workload = prepare(&synthetic(Distribution::Fixed(130)), counter, 10);
    let ask = workload.ask(RequestId(0)).unwrap();
    assert_eq!(text(&ask).split(' ').count(), 80);
    assert_eq!(ask.input_tokens, Some(130));
}

#[test]
fn lengths_without_room_for_a_word_are_not_drawn_or_refused() {
    let wide = synthetic(Distribution::Uniform { min: 1, max: 40 });
    let workload = prepare(&wide, tokenizer(), 30);
    let shortest =
        (0..200).filter_map(|id| workload.ask(RequestId(id)).unwrap().input_tokens).min();
    assert_eq!(shortest, Some(31));

    let mut tight = synthetic(Distribution::Fixed(60));
    tight.source = PromptSource::Synthetic {
        input_tokens: Distribution::Fixed(60),
        prefix: Some(SharedPrefix { tokens: 40, groups: 1 }),
    };
    assert_eq!(
        refusal(&tight, tokenizer(), 20),
        "inputs of at most 60 tokens leave no room: the chat template takes 20 and the shared \
         prefix 40"
    );
    let workload = prepare(&tight, tokenizer(), 19);
    let ask = workload.ask(RequestId(0)).unwrap();
    assert_eq!(samples::small().count(text(&ask)).unwrap(), 41);
}

#[test]
fn token_ids_without_the_tokenizer_they_need_are_refused() {
    let mut intent = synthetic(Distribution::Fixed(60));
    intent.form = PromptForm::TokenIds;
    let calibrated = Counter::Calibrated(Calibration::ASSUMED);
    assert_eq!(refusal(&intent, calibrated, 0), "prompts as token ids need a tokenizer");

    let layout = FileLayout::Jsonl { column: "q".into() };
    let (_folder, mut intent) = file("{\"q\":\"the man\"}", layout);
    intent.form = PromptForm::TokenIds;
    let remote = || Counter::by(Arc::new(samples::Remote::of(samples::small())));
    assert!(refusal(&intent, remote(), 0).contains("need a tokenizer file"));
    let ask = prepare(&intent, tokenizer(), 3).ask(RequestId(0)).unwrap();
    assert_eq!(ask.prompt, Prompt::Tokens(samples::small().encode("the man").unwrap()));
    assert_eq!(ask.input_tokens, Some(count("the man") + 3));
}

#[test]
fn rows_are_counted_where_there_is_a_tokenizer() {
    let content = r#"[{"conversations": [
        {"from": "human", "value": "the man"},
        {"from": "gpt", "value": "the man and the time"}]}]"#;
    let (_folder, mut intent) = file(content, FileLayout::ShareGpt);
    let ask = prepare(&intent, tokenizer(), 3).ask(RequestId(9)).unwrap();
    let counted = (Some(count("the man") + 3), Some(count("the man and the time")));
    assert_eq!(text(&ask), "the man");
    assert_eq!((ask.input_tokens, ask.output_tokens), counted);

    let uncounted = Counter::Calibrated(Calibration::ASSUMED);
    let workload = prepare(&intent, uncounted, 3);
    let ask = workload.ask(RequestId(9)).unwrap();
    assert_eq!((ask.input_tokens, ask.output_tokens), (None, None));
    assert_eq!(workload.census(), Some(Census { rows: 1, skipped: 0, beyond: 0 }));

    intent.output_tokens = Some(Distribution::Fixed(7));
    let ask = prepare(&intent, tokenizer(), 3).ask(RequestId(9)).unwrap();
    assert_eq!(ask.output_tokens, Some(7));
}

/// Counts, but for what is an answer.
struct AskedOnly(Arc<dyn Tokenizer>);

impl Tokenizer for AskedOnly {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
        assert!(!text.contains("time"), "`{text}` need not be counted");
        self.0.encode(text)
    }

    fn site(&self) -> Site {
        Site::Local
    }
}

#[test]
fn a_datasets_answers_are_not_counted_where_the_length_is_said() {
    let content = r#"[{"conversations": [
        {"from": "human", "value": "the man"}, {"from": "gpt", "value": "the time"},
        {"from": "human", "value": "the man"}, {"from": "gpt", "value": "the time"}]}]"#;
    let (_folder, mut intent) = file(content, FileLayout::ShareGpt);
    intent.output_tokens = Some(Distribution::Fixed(7));
    let counter = Counter::by(Arc::new(AskedOnly(samples::small())));
    let all = intent::Sessions {
        turns: TurnCount::All,
        think_time: intent::ThinkTime::Fixed(Nanos::ZERO),
        counted: intent::Counted::Sessions,
        limit: None,
    };
    let (template, traces) = (Template::default(), Traces::default());
    let prepared = Workload::prepare(&intent, Some(&all), counter, template, &traces, Seed(2));
    let workload = prepared.unwrap();
    assert_eq!(workload.ask(RequestId(0)).unwrap().output_tokens, Some(7));
    let turn = Turn { session: 0, index: 1 };
    assert_eq!(workload.follow_up(turn).unwrap().output_tokens, Some(7));
}

#[test]
fn a_conversation_is_asked_as_messages_and_not_counted() {
    let content = r#"[{"conversations": [{"role": "user", "content": "the man"}]}]"#;
    let (_folder, mut intent) = file(content, FileLayout::Conversations);
    let ask = prepare(&intent, tokenizer(), 3).ask(RequestId(0)).unwrap();
    assert!(matches!(ask.prompt, Prompt::Messages(ref messages) if messages.len() == 1));
    assert_eq!(ask.input_tokens, None);
    intent.form = PromptForm::TokenIds;
    let error = prepare(&intent, tokenizer(), 3).ask(RequestId(0)).unwrap_err();
    assert_eq!(error.to_string(), "a conversation cannot be sent as token ids");
}
