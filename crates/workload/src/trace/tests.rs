//! Each layout's lines, each way in which one can be wrong, and what prompts share.

use std::sync::Arc;

use infermark_terms::OutputPolicy;

use super::*;
use crate::{Calibration, Outline, Workload, samples};
use infermark_scenario::intent::{self, PromptSource};

const MOON: &str = concat!(
    r#"{"timestamp":27000,"input_length":1100,"output_length":52,"#,
    r#""hash_ids":[46,47,48]}
{"timestamp": 27482, "input_length": 1030, "output_length": 7, "hash_ids": [46, 47, 50]}

{"timestamp": 30535, "input_length": 600, "output_length": 1, "hash_ids": [46, 51]}
"#
);

fn read(content: &str) -> Result<Trace, DatasetError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    std::fs::write(&path, content).unwrap();
    Trace::read(&path)
}

/// A request as milliseconds, input, output, blocks.
type Told = (u64, u32, u32, Vec<u64>);

fn told(content: &str) -> (TraceLayout, Vec<Told>) {
    let trace = read(content).unwrap();
    let requests = trace.requests.iter().map(|request| {
        let Recorded { at, input, output, ref blocks } = *request;
        (at.0 / 1_000_000, input, output, blocks.to_vec())
    });
    (trace.layout, requests.collect())
}

#[test]
fn each_layout_is_known_by_its_columns_and_begins_at_its_first_request() {
    let none = Vec::new;
    let mooncake = vec![
        (0, 1100, 52, vec![46, 47, 48]),
        (482, 1030, 7, vec![46, 47, 50]),
        (3535, 600, 1, vec![46, 51]),
    ];
    assert_eq!(told(MOON), (TraceLayout::Mooncake, mooncake));
    let bailian = r#"{"chat_id": 159, "parent_chat_id": -1, "timestamp": 61.114,"input_length": 521,
        "output_length": 132, "type": "text", "turn": 1, "hash_ids": [1, 2]}"#;
    let bailian = bailian.replace('\n', " ");
    assert_eq!(told(&bailian), (TraceLayout::Bailian, vec![(0, 521, 132, vec![1, 2])]));
    assert_eq!(read(&bailian).unwrap().block_tokens, 16);
    let azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n\
                 2023-11-16 18:15:46.6805900,374,44\n\
                 2023-11-16 18:15:50.9951690,396,109\n";
    let requests = vec![(0, 374, 44, none()), (4314, 396, 109, none())];
    assert_eq!(told(azure), (TraceLayout::Azure, requests));
    let azure_2024 = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n\
                      2024-05-10 02:00:00.5+02:00,9,3\r\n2024-05-10 00:00:00.25+00:00,8,2\r\n";
    let sorted = vec![(0, 8, 2, none()), (250, 9, 3, none())];
    assert_eq!(told(azure_2024), (TraceLayout::Azure, sorted));
    let burst = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
                 5,ChatGPT,472,18,490,Conversation log\n45.5,GPT-4,1087,0,1087,API log\n\
                 118,ChatGPT,417,276,693,Conversation log\n";
    let requests = vec![(0, 472, 18, none()), (113_000, 417, 276, none())];
    assert_eq!(told(burst), (TraceLayout::BurstGpt, requests));
    assert_eq!(read(burst).unwrap().skipped(), 1);
    let own = "{\"at_s\": 0.25, \"input_tokens\": 512, \"output_tokens\": 64,\"block_tokens\": 64, \
               \"blocks\": [7]}\n{\"at_s\": 1, \"input_tokens\": 9, \"output_tokens\": 1}\n";
    let requests = vec![(0, 512, 64, vec![7]), (750, 9, 1, none())];
    assert_eq!(told(own), (TraceLayout::Infermark, requests));
    assert_eq!(read(own).unwrap().block_tokens, 64);
}

#[test]
fn a_wrong_line_is_named() {
    let own = r#"{"at_s": 0, "input_tokens": 5, "output_tokens": 4, "block_tokens": 8}"#;
    let second = |line: &str| format!("{own}\n\n{line}\n");
    let azure = |row: &str| format!("TIMESTAMP,ContextTokens,GeneratedTokens\n{row}\n");
    let cases = [
        ("a,b\n1,2\n".to_owned(), "is no trace that is known; it has: a, b"),
        ("{\"prompt\": \"x\"}".to_owned(), "is no trace that is known; it has: prompt"),
        (
            second(r#"{"at_s": 1, "input_tokens": 5}"#),
            "line 3 of trace is not a request of a infermark trace: missing field `output_tokens`",
        ),
        (second(r#"{"at_s": 1, "input_tokens": 5, "output_tokens": 4, "x": 1}"#), "unknown field"),
        (second(r#"{"at_s": -1, "input_tokens": 5, "output_tokens": 4}"#), "the instant -1"),
        (
            second(r#"{"at_s": 1, "input_tokens": 99999999, "output_tokens": 4}"#),
            "99999999 tokens are more than",
        ),
        (
            second(r#"{"at_s": 1, "input_tokens": 5, "output_tokens": 4, "block_tokens": 9}"#),
            "`block_tokens` is not that of the first line",
        ),
        (azure("yesterday,1,2"), "line 2 of trace is not a request of a Azure trace: `yesterday`"),
        (azure("2023-11-16 18:15:46,many,2"), "`many` is not a number of tokens"),
        (azure("2023-11-16 18:15:46,1"), "is not valid CSV"),
        (azure("2023-11-16 18:15:46,0,5"), "holds no request; lines that ask for no token: 1"),
        (String::new(), "is no trace that is known"),
    ];
    for (content, expected) in cases {
        let error = read(&content).unwrap_err().to_string();
        let folder = error.split_whitespace().find(|word| word.ends_with("/trace"));
        let error = folder.map_or(error.clone(), |folder| error.replace(folder, "trace"));
        assert!(error.contains(expected), "{content}: {error}");
    }
}

fn workload(counter: Counter, template: Template) -> (Workload, Outline) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    std::fs::write(&path, MOON).unwrap();
    let intent = intent::Workload {
        source: PromptSource::Trace { path },
        output_tokens: None,
        output_policy: OutputPolicy::Exact,
        form: PromptForm::TokenIds,
    };
    let traces = Traces::default();
    let outline = Outline::new(&intent, None, &traces, Seed(5)).unwrap();
    // Whoever asks for it again gets what was read.
    std::fs::remove_file(folder.path().join("trace")).unwrap();
    (Workload::prepare(&intent, None, counter, template, &traces, Seed(5)).unwrap(), outline)
}

fn alike<T: PartialEq>(one: &[T], two: &[T]) -> usize {
    one.iter().zip(two).take_while(|(a, b)| a == b).count()
}

#[test]
fn prompts_have_the_traces_lengths_and_share_its_blocks() {
    let counter = Counter::by(Arc::clone(&samples::small()));
    let (workload, outline) = workload(counter, Template { overhead: 12 });
    let ask = |id| {
        let ask = workload.ask(RequestId(id)).unwrap();
        let Prompt::Tokens(ids) = ask.prompt else { panic!("token ids were asked for") };
        assert_eq!(ids.len() as u32 + 12, ask.input_tokens.unwrap());
        let sizes = outline.sizes(RequestId(id));
        assert_eq!((ask.input_tokens, ask.output_tokens), (Some(sizes.input), Some(sizes.output)));
        ids
    };
    let prompts: Vec<_> = (0..4).map(ask).collect();
    let blocks: Vec<_> = (0..4).map(|id| outline.blocks(RequestId(id), 16)).collect();
    assert_eq!(prompts[0].len(), 1100 - 12);
    // Two blocks of 512, the first of which begins with the template; then one.
    assert_eq!(alike(&prompts[0], &prompts[1]), 2 * 512 - 12);
    assert_eq!(alike(&blocks[0], &blocks[1]), 2 * 512 / 16);
    assert_eq!(alike(&prompts[0], &prompts[2]), 512 - 12);
    assert_eq!(alike(&blocks[0], &blocks[2]), 512 / 16);
    // The fourth is the first again, in other words.
    assert_eq!(prompts[3].len(), prompts[0].len());
    assert!(alike(&prompts[0], &prompts[3]) < 16);
    assert_eq!(alike(&blocks[0], &blocks[3]), 0);
}

#[test]
fn token_ids_of_a_trace_need_a_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    std::fs::write(&path, MOON).unwrap();
    let intent = |form| intent::Workload {
        source: PromptSource::Trace { path: path.clone() },
        output_tokens: None,
        output_policy: OutputPolicy::Exact,
        form,
    };
    let counter = Counter::Calibrated(Calibration::ASSUMED);
    let (template, traces) = (Template::default(), Traces::default());
    let prepare =
        |form| Workload::prepare(&intent(form), None, counter.clone(), template, &traces, Seed(1));
    assert!(matches!(prepare(PromptForm::TokenIds), Err(WorkloadError::IdsNeedTokenizer)));
    let ask = prepare(PromptForm::Text).unwrap().ask(RequestId(1)).unwrap();
    let Prompt::Text(text) = ask.prompt else { panic!("a text was asked for") };
    assert_eq!(text.split(' ').count(), 1030);
}
