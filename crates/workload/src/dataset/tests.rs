//! Each layout's rows, and each way in which a file can be wrong.

use std::error::Error;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, LargeStringArray, RecordBatch, StringArray};
use infermark_terms::Message;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::*;

fn read(layout: &FileLayout, content: impl AsRef<[u8]>) -> Result<Dataset, DatasetError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set");
    std::fs::write(&path, content).unwrap();
    Dataset::read(&path, layout, Keep::Whole)
}

/// The error without its folder, and its source.
fn refusal(layout: &FileLayout, content: impl AsRef<[u8]>) -> String {
    let error = read(layout, content).err().unwrap();
    let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    let words = format!("{error}{source}");
    let place = |word: &str| {
        if word.starts_with('/') {
            word.rsplit('/').next().unwrap().to_owned()
        } else {
            word.into()
        }
    };
    words.split(' ').map(place).collect::<Vec<_>>().join(" ")
}

fn texts(dataset: &Dataset) -> Vec<&str> {
    dataset
        .rows
        .iter()
        .map(|row| match &row.prompt {
            Prompt::Text(text) => text.as_str(),
            Prompt::Tokens(_) | Prompt::Messages(_) => panic!("not text"),
        })
        .collect()
}

fn jsonl() -> FileLayout {
    FileLayout::Jsonl { column: "prompt".into() }
}

fn csv() -> FileLayout {
    FileLayout::Csv { column: "prompt".into() }
}

fn parquet() -> FileLayout {
    FileLayout::Parquet { column: "prompt".into() }
}

fn parquet_of(name: &str, column: ArrayRef) -> Vec<u8> {
    compressed_parquet_of(name, column, Compression::UNCOMPRESSED)
}

fn compressed_parquet_of(name: &str, column: ArrayRef, by: Compression) -> Vec<u8> {
    let properties = WriterProperties::builder().set_compression(by).build();
    let ids: ArrayRef = Arc::new(Int64Array::from_value(0, column.len()));
    let batch = RecordBatch::try_from_iter([("id", ids), (name, column)]).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    let _ = writer.close().unwrap();
    bytes
}

#[test]
fn parquet_is_read_however_it_is_compressed() {
    let rows = ["one ".repeat(500), "two".to_owned()];
    for by in [
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::GZIP(GzipLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
    ] {
        let column: ArrayRef = Arc::new(StringArray::from(rows.to_vec()));
        let bytes = compressed_parquet_of("prompt", column, by);
        assert!(bytes.len() < 1500, "{by}: {} bytes", bytes.len());
        assert_eq!(texts(&read(&parquet(), bytes).unwrap()), rows, "{by}");
    }
}

#[cfg(unix)]
#[test]
fn a_text_may_come_through_a_pipe_which_is_read_once() {
    use std::io::Write;
    use std::os::fd::AsRawFd;

    // Longer than what is looked at first.
    let first = "one".repeat(5000);
    let csv = format!("\u{feff}prompt\n{first}\ntwo\n");
    let lines = format!("{{\"prompt\":\"{first}\"}}\n{{\"prompt\":\"two\"}}\n");
    for (layout, content) in [(FileLayout::Csv { column: "prompt".into() }, csv), (jsonl(), lines)]
    {
        let (out, mut into) = std::io::pipe().unwrap();
        into.write_all(content.as_bytes()).unwrap();
        drop(into);
        let path = format!("/dev/fd/{}", out.as_raw_fd());
        let dataset = Dataset::read(Path::new(&path), &layout, Keep::Whole).unwrap();
        let asked: Vec<_> = dataset.rows.iter().map(|row| row.prompt.clone()).collect();
        assert_eq!(asked, [first.as_str(), "two"].map(|text| Prompt::Text(text.into())));
    }
}

#[test]
fn rows_come_in_the_files_order_and_then_again() {
    let dataset = read(&jsonl(), "{\"prompt\":\"one\"}\n\n{\"x\":1,\"prompt\":\"two\"}").unwrap();
    let asked: Vec<_> = (0..5).map(|id| dataset.row(RequestId(id)).prompt.clone()).collect();
    let text = |text: &str| Prompt::Text(text.into());
    assert_eq!(asked, ["one", "two", "one", "two", "one"].map(text));
    assert!(!dataset.census().repeats(2));
    assert!(dataset.census().repeats(3));
}

#[test]
fn rows_without_a_prompt_are_skipped_and_counted() {
    let lines = "{\"prompt\":\" \"}\n{\"prompt\":null}\n{\"prompt\":\"x\"}\n";
    let census = read(&jsonl(), lines).unwrap().census();
    assert_eq!(census, Census { rows: 1, skipped: 2, beyond: 0 });
}

#[test]
fn rows_beyond_the_bound_are_counted_and_the_first_are_kept() {
    let mut rows = Rows::keeping(10);
    for text in ["12345", "123", "1234567", "1", ""] {
        rows.push(Row::alone(text.into()));
    }
    assert_eq!(rows.census, Census { rows: 2, skipped: 1, beyond: 2 });
}

#[test]
fn a_byte_order_mark_is_no_part_of_what_follows() {
    for (layout, content) in [
        (jsonl(), "{\"prompt\":\"x\"}\n"),
        (csv(), "prompt\nx\n"),
        (FileLayout::ShareGpt, r#"[{"conversations": [{"from": "human", "value": "x"}]}]"#),
    ] {
        let marked = read(&layout, format!("\u{feff}{content}")).unwrap();
        assert_eq!(texts(&marked), ["x"], "{layout:?}");
    }
    // Two bytes of it are none.
    assert!(read(&jsonl(), b"\xef\xbb{\"prompt\":\"x\"}\n").is_err());
}

#[test]
fn csv_fields_may_hold_commas_quotes_and_lines() {
    let content = "id,prompt\n1,\"a, \"\"b\"\"\nc\"\n2,\n3,d\n";
    let dataset = read(&csv(), content).unwrap();
    assert_eq!(texts(&dataset), ["a, \"b\"\nc", "d"]);
    assert_eq!(dataset.census().skipped, 1);
}

#[test]
fn parquet_strings_are_read_whatever_arrow_called_them() {
    let rows = vec![Some("one"), None, Some("two")];
    let columns: [ArrayRef; 2] =
        [Arc::new(StringArray::from(rows.clone())), Arc::new(LargeStringArray::from(rows))];
    for column in columns {
        let dataset = read(&parquet(), parquet_of("prompt", column)).unwrap();
        assert_eq!(texts(&dataset), ["one", "two"]);
        assert_eq!(dataset.census().skipped, 1);
    }
}

#[test]
fn share_gpt_asks_the_first_human_turn_and_keeps_its_answer() {
    let content = r#"[
        {"id": "a", "conversations": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": "Why?"},
            {"from": "gpt", "value": "Because."},
            {"from": "human", "value": "Really?"}]},
        {"conversations": [{"from": "gpt", "value": "Unasked."}]},
        {"id": "c"},
        {"conversations": [{"from": "user", "value": "How?"}, {"from": "user", "value": "Eh?"}]}
    ]"#;
    let dataset = read(&FileLayout::ShareGpt, content).unwrap();
    assert_eq!(texts(&dataset), ["Why?", "How?"]);
    assert_eq!(dataset.rows[0].answer.as_deref(), Some("Because."));
    assert_eq!(dataset.rows[1].answer, None);
    assert_eq!(dataset.census().skipped, 2);
}

#[test]
fn conversations_are_asked_up_to_the_first_answer() {
    let content = r#"[{"id": "a", "conversations": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "Because."},
        {"role": "user", "content": "Really?"}]}]"#;
    let dataset = read(&FileLayout::Conversations, content).unwrap();
    let message =
        |role: &str, content: &str| Message { role: role.into(), content: content.into() };
    let expected = vec![message("system", "Be brief."), message("user", "Why?")];
    assert_eq!(dataset.rows[0].prompt, Prompt::Messages(expected));
}

#[test]
fn a_conversation_goes_on_turn_by_turn() {
    let turn = |said: &[&str], answer: Option<&str>| Later {
        messages: said
            .iter()
            .map(|said| Message { role: "user".into(), content: (*said).into() })
            .collect(),
        answer: answer.map(str::to_owned),
    };
    let later = [turn(&["Really?"], Some("Yes.")), turn(&["Oh.", "Well."], None)];
    let content = r#"[{"conversations": [
        {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."},
        {"role": "user", "content": "Really?"}, {"role": "assistant", "content": "Yes."},
        {"role": "assistant", "content": "Twice."},
        {"role": "user", "content": "Oh."}, {"role": "user", "content": "Well."}]}]"#;
    let unanswered = later.clone().map(|turn| Later { answer: None, ..turn });
    assert_eq!(read(&FileLayout::Conversations, content).unwrap().rows[0].later, unanswered);
    let share_gpt = content.replace("assistant", "gpt").replace("user", "human");
    let share_gpt = share_gpt.replace("role", "from").replace("content", "value");
    assert_eq!(read(&FileLayout::ShareGpt, share_gpt).unwrap().rows[0].later, later);
}

#[test]
fn a_wrong_json_line_is_named_by_its_number() {
    let good = "{\"prompt\":\"x\"}\n";
    assert_eq!(
        refusal(&jsonl(), format!("{good}[1]\n")),
        "line 2 of set is not a JSON object: invalid type: sequence, expected a map at line 1 \
         column 0"
    );
    assert!(
        refusal(&jsonl(), format!("{good}\n{{\"prompt\n"))
            .starts_with("line 3 of set is not a JSON object: control character")
    );
    assert_eq!(
        refusal(&jsonl(), format!("{good}{{\"b\":1,\"a\":2}}")),
        "no key `prompt` in line 2 of set; there is: a, b"
    );
    assert_eq!(
        refusal(&jsonl(), "{\"prompt\":[1]}"),
        "column `prompt` in row 1 of set is not text but a list"
    );
}

#[test]
fn a_wrong_csv_says_what_it_has_and_where_it_breaks() {
    assert_eq!(refusal(&csv(), "a,b\n1,2\n"), "no column `prompt` in set; there is: a, b");
    assert_eq!(
        refusal(&csv(), "id,prompt\n1,x\n2\n"),
        "set is not valid CSV: CSV error: record 2 (line: 3, byte: 14): found record with 1 \
         fields, but the previous record has 2 fields"
    );
}

#[test]
fn a_wrong_parquet_says_what_it_has() {
    let column: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    assert_eq!(
        refusal(&parquet(), parquet_of("text", column)),
        "no column `prompt` in set; there is: id, text"
    );
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    assert_eq!(
        refusal(&parquet(), parquet_of("prompt", numbers)),
        "column `prompt` in row 1 of set is not text but Int64"
    );
    assert!(refusal(&parquet(), "no parquet").starts_with("set cannot be read as Parquet: "));
}

#[test]
fn a_wrong_conversation_is_named_by_line_and_column() {
    assert_eq!(
        refusal(&FileLayout::ShareGpt, "{}"),
        "set is not a list of ShareGPT conversations: invalid type: map, expected a list of \
         conversations at line 1 column 1"
    );
    assert_eq!(
        refusal(&FileLayout::Conversations, "[\n{\"conversations\": [{\"role\": \"user\"}]}]"),
        "set is not a list of role-and-content conversations: missing field `content` at line 2 \
         column 35"
    );
    assert!(refusal(&FileLayout::ShareGpt, "[] x").contains("trailing characters"));
}

#[test]
fn a_file_without_prompts_and_no_file_are_refused() {
    assert_eq!(refusal(&jsonl(), ""), "set holds no prompt; rows without one: 0");
    assert_eq!(
        refusal(&jsonl(), "{\"prompt\":\"\"}\n"),
        "set holds no prompt; rows without one: 1"
    );
    assert_eq!(refusal(&FileLayout::ShareGpt, "[]"), "set holds no prompt; rows without one: 0");
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path(), &folder.path().join("absent")] {
        let error = Dataset::read(path, &jsonl(), Keep::Opening).err().unwrap();
        assert!(matches!(error, DatasetError::Unreadable { .. }), "{error}");
    }
}

#[test]
fn a_files_layout_is_found_by_its_name_and_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let layout = FileLayout::Found { column: "prompt".into() };
        Dataset::read(&path, &layout, Keep::Whole).map(|dataset| dataset.rows[0].prompt.clone())
    };
    let text = |text: &str| Prompt::Text(text.into());
    assert_eq!(read("a.jsonl", "{\"prompt\": \"x\"}").unwrap(), text("x"));
    assert_eq!(read("a.csv", "prompt\nx\n").unwrap(), text("x"));
    let share_gpt = r#"[{"conversations": [{"from": "human", "value": "x"}]}]"#;
    assert_eq!(read("a.json", share_gpt).unwrap(), text("x"));
    let roles = r#"[{"conversations": [{"role": "user", "content": "x"}]}]"#;
    assert!(matches!(read("a.json", roles).unwrap(), Prompt::Messages(_)));
    for (name, content) in [("a.json", "[1]"), ("a.txt", "x")] {
        let error = read(name, content).unwrap_err();
        assert!(matches!(error, DatasetError::UnknownLayout { .. }), "{error:?}");
    }
}
