//! The table of engines in the README is true: it is made here, of what the code says of each API,
//! of the recorded responses that the decoder is tested with, and of the metrics that are read.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use infermark_terms::Api;
use serde_json::Value;

/// Engines, and the APIs that were made for each or were recorded of it. Most of them speak `chat`
/// and `completions` too.
const ENGINES: [(&str, &[Api]); 8] = [
    (
        "vLLM",
        &[
            Api::Chat,
            Api::Completions,
            Api::Responses,
            Api::Anthropic,
            Api::Embeddings,
            Api::Pooling,
            Api::Rerank,
        ],
    ),
    ("SGLang", &[Api::Sglang]),
    ("TGI", &[Api::Tgi]),
    ("Triton, vLLM backend", &[Api::Triton, Api::Kserve]),
    ("Triton, TensorRT-LLM", &[Api::Trtllm]),
    ("llama.cpp", &[Api::Llamacpp]),
    ("Ollama", &[Api::Ollama, Api::OllamaGenerate]),
    ("transformers", &[Api::Chat, Api::Completions]),
];

/// The folder of what was written after documentation.
const WRITTEN: &str = "hand-written";

/// What the recorded responses in one folder show of an API.
#[derive(Clone, Debug, Default)]
struct Shown {
    usage: bool,
    chunk_tokens: bool,
    /// Whether an exact length was asked for and refused.
    refuses_length: bool,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().parent().unwrap()
}

fn recordings() -> BTreeMap<(Api, String), Shown> {
    let mut shown = BTreeMap::<(Api, String), Shown>::new();
    let testdata = root().join("crates/wire/testdata");
    for folder in fs::read_dir(testdata).unwrap().map(Result::unwrap) {
        if !folder.path().is_dir() {
            continue;
        }
        let name = folder.file_name().into_string().unwrap();
        for file in fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()) {
            let is_facts = file.extension().is_some_and(|extension| extension == "json")
                && file.with_extension("http").exists();
            if !is_facts {
                continue;
            }
            let facts: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            let Some(Ok(api)) = facts["api"].as_str().map(str::parse::<Api>) else { continue };
            let entry = shown.entry((api, name.clone())).or_default();
            entry.usage |= facts["usage"].is_object();
            let chunks = facts["chunks"].as_array().into_iter().flatten();
            entry.chunk_tokens |= chunks.into_iter().any(|chunk| chunk[1].is_u64());
            let stem = file.file_stem().unwrap().to_string_lossy();
            entry.refuses_length |= stem.ends_with("-refused-exact-length");
        }
    }
    shown
}

/// Returns what is shown of an engine's API, and in which folder: its own recordings, else what was
/// written after its documentation.
fn shown_of(
    engine: &str,
    api: Api,
    recordings: &BTreeMap<(Api, String), Shown>,
) -> (Option<String>, Shown) {
    let name = engine.to_lowercase().replace('.', "");
    let own = |folder: &str| folder.split_once('-').is_some_and(|(own, _)| name.starts_with(own));
    let mut of_api = recordings.iter().filter(|((other, _), _)| *other == api);
    let found = of_api
        .clone()
        .find(|((_, folder), _)| folder != WRITTEN && own(folder))
        .or_else(|| of_api.find(|((_, folder), _)| folder == WRITTEN));
    found.map_or_else(
        || (None, Shown::default()),
        |((_, folder), shown)| (Some(folder.clone()), shown.clone()),
    )
}

/// Says what the decoder was tested with: a real engine's recording, or bodies written after its
/// documentation.
fn tested(folder: Option<&str>) -> String {
    match folder {
        None => "a body written after its documentation".to_owned(),
        Some(WRITTEN) => "bodies written after its documentation".to_owned(),
        Some(folder) => {
            let (name, version) = folder.split_once('-').unwrap();
            let name = match name {
                "vllm" => "vLLM",
                "triton" => "Triton",
                "llamacpp" => "llama.cpp, in xllamacpp",
                "transformers" => "transformers",
                other => panic!("{other} has no name yet"),
            };
            format!("recordings and runs of {name} {version}")
        }
    }
}

/// Returns the word for a thing that is so, or not.
const fn word(index: usize) -> &'static str {
    ["no", "yes"][index]
}

fn table() -> String {
    let recordings = recordings();
    let telemetry = fs::read_to_string(root().join("docs/telemetry.md")).unwrap();
    let (_, known) = telemetry.split_once("Known are").expect("it says whose pages are known");
    let (pages, _) = known.split_once("Which names").expect("and then whose names stand for what");
    let mut text = String::from(
        "| engine | `--api` | streams | exact length | usage | tokens per chunk | metrics | \
         tested with |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for (engine, apis) in ENGINES {
        let known = pages.contains(engine.split(',').next().unwrap());
        for &api in apis {
            let (folder, shown) = shown_of(engine, api, &recordings);
            let chunks = match (api.streams(), shown.chunk_tokens) {
                (false, _) => "–",
                (true, true) => "told",
                (true, false) => "not told",
            };
            let length = match (api.generates(), api.orders_length()) {
                (false, _) => "–",
                (true, ordered) => word(usize::from(ordered && !shown.refuses_length)),
            };
            // Bodies that the tests of the dialect spell out have usage where it generates.
            let usage = folder.is_none() || shown.usage;
            writeln!(
                text,
                "| {engine} | `{api}` | {} | {length} | {} | {chunks} | {} | {} |",
                word(usize::from(api.streams())),
                word(usize::from(usage)),
                word(usize::from(known)),
                tested(folder.as_deref()),
            )
            .unwrap();
        }
    }
    text
}

#[test]
fn the_readmes_table_of_engines_is_what_the_code_and_the_recordings_say() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("<!-- engines -->\n").expect("the table has a beginning");
    let (found, _) = rest.split_once("<!-- /engines -->").expect("the table has an end");
    assert_eq!(found, table(), "the README should have:\n{}", table());
}
