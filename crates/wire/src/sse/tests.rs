//! Tests of `sse`.

use proptest::prelude::*;

use super::*;
use crate::laws::{cases, cut, cuts};

/// An item that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Event(Option<String>, String),
    Comment,
}

fn seen(item: Item<'_>) -> Seen {
    let owned = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match item {
        Item::Event { name, data } => Seen::Event(name.map(owned), owned(data)),
        Item::Comment => Seen::Comment,
    }
}

fn items(bytes: &[u8], lengths: &[usize]) -> (Vec<Seen>, bool) {
    let (mut decoder, mut items) = (SseDecoder::new(), Vec::new());
    for piece in cut(bytes, lengths) {
        decoder.feed(piece, &mut |item| items.push(seen(item))).unwrap();
    }
    (items, decoder.is_pending())
}

fn data(text: &str) -> Seen {
    Seen::Event(None, text.to_owned())
}

#[test]
fn the_grammar_is_whole() {
    let named = |name: &str, text: &str| Seen::Event(Some(name.to_owned()), text.to_owned());
    for (stream, expected) in [
        ("data: a\n\n", vec![data("a")]),
        ("data:a\n\n", vec![data("a")]),
        ("data:  a \n\n", vec![data(" a ")]),
        ("data: a\ndata:b\ndata: c\n\n", vec![data("a\nb\nc")]),
        ("data\n\n", vec![data("")]),
        ("data:\ndata\n\n", vec![data("\n")]),
        ("data: a\r\n\r\ndata: b\r\n\r\n", vec![data("a"), data("b")]),
        ("data: a\r\rdata: b\r\r", vec![data("a"), data("b")]),
        ("data: a\n\r\ndata: b\r\n\n", vec![data("a"), data("b")]),
        ("\u{feff}data: a\n\n", vec![data("a")]),
        ("\u{feff}\n\u{feff}data: a\n\n", vec![]),
        ("\n\n\ndata: a\n\n\n\n", vec![data("a")]),
        (
            ": ping\n\n:\ndata: a\n:pong\ndata: b\n\n",
            vec![Seen::Comment, Seen::Comment, Seen::Comment, data("a\nb")],
        ),
        ("event: error\ndata: x\n\ndata: y\n\n", vec![named("error", "x"), data("y")]),
        ("event: a\nevent: b\ndata: x\n\n", vec![named("b", "x")]),
        ("event: a\n\ndata: x\n\n", vec![data("x")]),
        ("id: 7\nretry: 10\ndatum: z\nData: z\ndata: a\n\n", vec![data("a")]),
        ("data: a:b: c\n\n", vec![data("a:b: c")]),
        ("data: a\n", vec![]),
        ("data: a", vec![]),
    ] {
        for lengths in [1, 2, 3, usize::MAX] {
            assert_eq!(items(stream.as_bytes(), &[lengths]).0, expected, "{stream:?}");
        }
    }
}

#[test]
fn an_event_without_its_blank_line_is_pending() {
    assert!(!items(b"data: a\n\n", &[9]).1);
    assert!(!items(b"data: a\n\n: x\nid: 1\n", &[99]).1);
    assert!(items(b"data: a\n\ndata: b\n", &[99]).1);
    assert!(items(b"data: a\n\ndat", &[99]).1);
}

#[test]
fn an_event_that_arrives_whole_is_borrowed() {
    let bytes = b"data: one\n\nevent: x\ndata: two\n\ndata: three\n\n";
    let mut count = 0;
    SseDecoder::new()
        .feed(bytes, &mut |item| {
            let Item::Event { data, .. } = item else { panic!("{item:?}") };
            assert!(bytes.as_ptr_range().contains(&data.as_ptr()));
            count += 1;
        })
        .unwrap();
    assert_eq!(count, 3);
}

#[test]
fn a_decoder_that_was_reset_is_as_new() {
    let mut decoder = SseDecoder::new();
    decoder.feed(b"event: x\ndata: a\ndata: b\r", &mut |_| {}).unwrap();
    decoder.reset();
    let mut all = Vec::new();
    decoder.feed(b"\n\xef\xbb\xbfdata: c\n\n", &mut |item| all.push(seen(item))).unwrap();
    assert_eq!(all, []);
    decoder.reset();
    decoder.feed(b"\xef\xbb\xbfdata: c\n\n", &mut |item| all.push(seen(item))).unwrap();
    assert_eq!(all, [data("c")]);
}

#[test]
fn lines_and_events_have_a_limit() {
    let longest = "x".repeat(EVENT_MAX - 6);
    let fits = format!("data: {longest}\n\n");
    let line = format!("data: {longest}yz");
    let event = format!("data: {longest}\ndata: {longest}\n\n");
    for lengths in [1000, usize::MAX] {
        let feed = |text: &str| {
            let mut decoder = SseDecoder::new();
            let lengths = [lengths];
            cut(text.as_bytes(), &lengths).try_for_each(|piece| decoder.feed(piece, &mut |_| {}))
        };
        assert_eq!(feed(&fits), Ok(()));
        assert_eq!(feed(&line), Err(DecodeFault::EventStream));
        assert_eq!(feed(&event), Err(DecodeFault::EventStream));
    }
}

fn stream() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        "data: ?[a-z:é]{0,6}",
        Just(String::new()),
        ":[a-z]{0,3}",
        "event: ?[a-z]{0,3}",
        "[a-z]{0,3}(:[a-z]{0,3})?",
    ];
    let end = prop::sample::select(vec!["\n", "\r", "\r\n"]);
    (prop::bool::ANY, prop::collection::vec((line, end), 0..20)).prop_map(|(mark, lines)| {
        let mark = if mark { "\u{feff}" } else { "" };
        lines.iter().fold(mark.to_owned(), |text, (line, end)| text + line + end)
    })
}

/// The grammar once more, in the plainest way: on the whole text, line by line.
fn oracle(stream: &str) -> Vec<Seen> {
    let stream = stream.strip_prefix('\u{feff}').unwrap_or(stream);
    let stream = stream.replace("\r\n", "\n").replace('\r', "\n");
    let (mut items, mut name, mut lines) = (Vec::new(), String::new(), Vec::new());
    let Some((whole, _)) = stream.rsplit_once('\n') else { return items };
    for line in whole.split('\n') {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if !line.is_empty() => items.push(Seen::Comment),
            "" => {
                let name = std::mem::take(&mut name);
                let lines = std::mem::take(&mut lines);
                if !lines.is_empty() {
                    let name = (!name.is_empty()).then_some(name);
                    items.push(Seen::Event(name, lines.join("\n")));
                }
            }
            "data" => lines.push(value),
            "event" => value.clone_into(&mut name),
            _ => {}
        }
    }
    items
}

proptest! {
    #![proptest_config(cases(250))]

    #[test]
    fn any_split_of_the_bytes_gives_the_same_items(stream in stream(), lengths in cuts()) {
        prop_assert_eq!(items(stream.as_bytes(), &lengths).0, oracle(&stream));
    }
}
