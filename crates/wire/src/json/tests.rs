//! Tests of `json`.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::laws::{cases, changes, mutated, space, text, tree, well_formed};

fn read(text: &[u8]) -> Result<(), Malformed> {
    let mut json = Reader::new(text)?;
    json.skip()?;
    json.finish()
}

fn read_string(text: &[u8]) -> Vec<u8> {
    let string = Reader::new(text).unwrap().string().unwrap().unwrap();
    let mut appended = Vec::new();
    string.append_to(&mut appended);
    assert_eq!(string.len_utf8(), appended.len());
    assert_eq!(*string.decoded(), appended);
    appended
}

proptest! {
    #![proptest_config(cases(120))]

    #[test]
    fn every_value_is_well_formed(value in tree(), space in space()) {
        prop_assert_eq!(read(&value.print(space)), Ok(()));
    }

    #[test]
    fn it_accepts_what_serde_json_accepts(value in tree(), space in space(), changes in changes()) {
        let text = mutated(value.print(space), &changes);
        if let Some(well_formed) = well_formed(&text) {
            prop_assert_eq!(read(&text).is_ok(), well_formed, "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn strings_read_as_they_were_written(text in text()) {
        let plain = serde_json::to_vec(&text).unwrap();
        prop_assert_eq!(read_string(&plain), text.as_bytes());
        let escaped = text.encode_utf16().fold(String::new(), |mut escaped, unit| {
            write!(escaped, "\\u{unit:04x}").unwrap();
            escaped
        });
        prop_assert_eq!(read_string(format!("\"{escaped}\"").as_bytes()), text.as_bytes());
    }

    #[test]
    fn a_string_ends_where_a_plain_search_finds_its_end(
        bytes in prop::collection::vec(any::<u8>(), 0..40), at in 0_usize..40,
    ) {
        let at = at.min(bytes.len());
        let stops = |&byte: &u8| byte == b'"' || byte == b'\\' || byte < 0x20;
        let end = bytes[at..].iter().position(stops).map_or(bytes.len(), |found| at + found);
        prop_assert_eq!(string_stop(&bytes, at), end);
    }
}

#[test]
fn malformed_texts_are_told() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "'a'",
        "\"a",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\u12\"",
        "\"a\nb\"",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "nul",
        "truee",
        "1 2",
        "[1 2]",
        "{\"a\":1 \"b\":2}",
        "[",
        "[1",
        "{\"a\":1",
    ] {
        assert_eq!(read(text.as_bytes()), Err(Malformed), "{text}");
        assert_eq!(well_formed(text.as_bytes()), Some(false), "{text}");
    }
    assert_eq!(read(b"\"\xff\""), Err(Malformed));
}

#[test]
fn nesting_has_the_same_limit_as_serde_json() {
    for depth in [1, DEPTH_MAX as usize, DEPTH_MAX as usize + 1, 100_000] {
        let text = "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(read(text.as_bytes()).is_ok(), depth <= DEPTH_MAX as usize);
        assert_eq!(well_formed(text.as_bytes()), Some(depth <= DEPTH_MAX as usize));
    }
}

#[test]
fn half_a_surrogate_pair_reads_as_the_replacement_character() {
    assert_eq!(read_string(br#""a\ud83db""#), "a\u{fffd}b".as_bytes());
    assert_eq!(read_string(br#""\ude00\ud83d""#), "\u{fffd}\u{fffd}".as_bytes());
    assert_eq!(read_string(br#""\ud83d\n""#), "\u{fffd}\n".as_bytes());
    assert_eq!(read_string(br#""\ud83d\ude00\ud83d\u0041""#), "😀\u{fffd}A".as_bytes());
}

#[test]
fn a_value_of_another_type_is_skipped_and_noted_but_null_is_not() {
    for (text, misshapen) in [("null", false), ("[1]", true), ("\"a\"", true), ("-1", true)] {
        let mut json = Reader::new(text.as_bytes()).unwrap();
        assert_eq!(json.count(), Ok(None), "{text}");
        assert_eq!(json.is_misshapen(), misshapen, "{text}");
        assert_eq!(json.finish(), Ok(()), "{text}");
    }
}

#[test]
fn counts_are_whole_and_fit() {
    let count = |text: &str| Reader::new(text.as_bytes()).unwrap().count().unwrap();
    assert_eq!(count("0"), Some(0));
    assert_eq!(count("4294967295"), Some(u32::MAX));
    for text in ["4294967296", "99999999999999999999", "-0", "1.0", "1e3"] {
        assert_eq!(count(text), None, "{text}");
    }
}

#[test]
fn keys_are_compared_without_their_escapes() {
    let mut seen = Vec::new();
    let mut json = Reader::new(br#"{"te\u0078t": 1, "": 2}"#).unwrap();
    let object = json.object(|json, key| {
        seen.push(key.to_vec());
        json.skip()
    });
    assert_eq!(object, Ok(Some(())));
    assert_eq!(seen, [b"text".to_vec(), b"".to_vec()]);
}
