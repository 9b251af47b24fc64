//! Tests of `http1`.

use infermark_terms::DecodeFault;
use proptest::prelude::*;

use super::*;
use crate::laws::{cases, cut, cuts};

fn read(bytes: &[u8], lengths: &[usize]) -> (Result<Message, DecodeFault>, Collected, Keep) {
    read_with(ResponseDecoder::new(), bytes, lengths)
}

fn read_with(
    mut decoder: ResponseDecoder,
    bytes: &[u8],
    lengths: &[usize],
) -> (Result<Message, DecodeFault>, Collected, Keep) {
    let mut collected = Collected::default();
    let mut result = Ok(Message::Open);
    for piece in cut(bytes, lengths) {
        result = decoder.feed(piece, &mut collected);
        if result.is_err() {
            break;
        }
    }
    (result, collected, decoder.keep())
}

fn fault(response: &str) -> Option<DecodeFault> {
    let whole = read(response.as_bytes(), &[usize::MAX]).0.err();
    for length in [1, 7] {
        assert_eq!(read(response.as_bytes(), &[length]).0.err(), whole, "{response:?}");
    }
    whole
}

fn response() -> impl Strategy<Value = (u16, Vec<Vec<u8>>, bool)> {
    let status = prop::sample::select(vec![200_u16, 201, 400, 404, 500]);
    let pieces = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6);
    (status, pieces, any::<bool>())
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn a_written_response_is_read_back_however_it_is_split(
        (status, pieces, chunked) in response(), lengths in cuts(),
    ) {
        let mut bytes = Vec::new();
        let headers = [("Content-Type", "application/json; charset=utf-8")];
        if chunked {
            start_chunked(&mut bytes, status, &headers);
            for piece in &pieces {
                write_chunk(&mut bytes, piece);
            }
            end_chunked(&mut bytes);
        } else {
            write_response(&mut bytes, status, &headers, &pieces.concat());
        }
        let (message, collected, keep) = read(&bytes, &lengths);
        prop_assert_eq!(message, Ok(Message::Complete));
        prop_assert_eq!(keep, Keep::Reuse);
        let head = ResponseHead { status, content: ContentType::Json };
        prop_assert_eq!(collected, Collected { head: Some(head), body: pieces.concat() });
    }

    #[test]
    fn written_requests_are_read_back_however_they_are_split(
        bodies in prop::collection::vec(
            prop::option::of(prop::collection::vec(any::<u8>(), 0..40)), 1..4),
        lengths in cuts(),
    ) {
        let headers = [("X-Name".to_owned(), "a value".to_owned())];
        let head = RequestHead { method: "POST", path: "/a?b", host: "h:1", headers: &headers };
        let bytes: Vec<u8> = bodies
            .iter()
            .flat_map(|body| match body {
                Some(body) => request(&head, Some("application/json"), body),
                None => request(&head, None, b""),
            })
            .collect();
        let (mut decoder, mut read) = (RequestDecoder::new(), Vec::new());
        for piece in cut(&bytes, &lengths) {
            decoder.feed(piece);
            while let Some(request) = decoder.next_request().unwrap() {
                read.push(request);
            }
        }
        let expected: Vec<_> = bodies.into_iter().map(Option::unwrap_or_default).collect();
        for request in &read {
            prop_assert_eq!(&request.method, "POST");
            prop_assert_eq!(&request.path, "/a?b");
            prop_assert_eq!(request.header("host"), Some("h:1"));
            prop_assert_eq!(request.header("x-name"), Some("a value"));
            prop_assert_eq!(request.keep, Keep::Reuse);
        }
        prop_assert_eq!(read.into_iter().map(|r| r.body).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200), lengths in cuts(),
        begin in prop::sample::select(vec![
            "", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        ]),
    ) {
        let bytes = [begin.as_bytes(), &bytes].concat();
        let split = read(&bytes, &lengths);
        prop_assert_eq!(split, read(&bytes, &[usize::MAX]));
        let mut decoder = RequestDecoder::new();
        decoder.feed(&bytes);
        let _request = decoder.next_request();
    }
}

#[test]
fn chunk_extensions_and_trailers_are_skipped() {
    let response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        3;a=\"b\"\r\nabc\r\n002 \r\nde\r\n0;x\r\nTrailer: t\r\nAnother: u\r\n\r\n";
    for length in [1, 2, 5, usize::MAX] {
        let (message, collected, keep) = read(response.as_bytes(), &[length]);
        assert_eq!(message, Ok(Message::Complete));
        assert_eq!(collected.body, b"abcde");
        assert_eq!(keep, Keep::Reuse);
    }
}

#[test]
fn a_body_without_a_length_lasts_until_the_connection_closes() {
    let mut decoder = ResponseDecoder::new();
    let mut collected = Collected::default();
    let bytes = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nabc";
    assert_eq!(decoder.feed(bytes, &mut collected), Ok(Message::Open));
    assert_eq!(decoder.closed(), Message::Complete);
    assert_eq!(decoder.keep(), Keep::Close);
    assert_eq!(collected.body, b"abc");
    assert_eq!(collected.head.unwrap().content, ContentType::EventStream);
}

#[test]
fn a_closed_connection_completes_nothing_else() {
    for cut_off in [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ] {
        let mut decoder = ResponseDecoder::new();
        let fed = decoder.feed(cut_off.as_bytes(), &mut Collected::default());
        assert_eq!(fed, Ok(Message::Open), "{cut_off:?}");
        assert_eq!(decoder.closed(), Message::Open, "{cut_off:?}");
    }
}

#[test]
fn some_responses_have_no_body_whatever_their_head_says() {
    for status in ["204 No Content", "304 Not Modified"] {
        let response = format!("HTTP/1.1 {status}\r\ncontent-length: 5\r\n\r\n");
        assert_eq!(read(response.as_bytes(), &[1]).0, Ok(Message::Complete));
    }
    let response = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    assert_eq!(read(response, &[1]).0, Ok(Message::Open));
    assert_eq!(read_with(ResponseDecoder::for_head(), response, &[1]).0, Ok(Message::Complete));
    let empty = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(read(empty, &[usize::MAX]).0, Ok(Message::Complete));
}

#[test]
fn interim_responses_are_skipped() {
    let response = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n\
        HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx";
    for length in [1, 40, usize::MAX] {
        let (message, collected, _) = read(response, &[length]);
        assert_eq!(message, Ok(Message::Complete));
        assert_eq!(collected.head.unwrap().status, 200);
        assert_eq!(collected.body, b"x");
    }
}

#[test]
fn broken_responses_are_told_by_what_is_broken() {
    let chunked =
        |rest: &str| format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{rest}");
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
    for (response, expected) in [
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), DecodeFault::Head),
        ("HTTP/2 200\r\n\r\n".to_owned(), DecodeFault::Head),
        ("HTTP/1.1 099 x\r\n\r\n".to_owned(), DecodeFault::Head),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(), DecodeFault::Head),
        (head("no colon"), DecodeFault::Head),
        (head("content-length: 1\r\ncontent-length: 2"), DecodeFault::Framing),
        (head("content-length: +1"), DecodeFault::Framing),
        (head("content-length:"), DecodeFault::Framing),
        (head("transfer-encoding: gzip, chunked"), DecodeFault::Framing),
        (chunked("x\r\n"), DecodeFault::Framing),
        (chunked("\r\n"), DecodeFault::Framing),
        (chunked("3\r\nabcd"), DecodeFault::Framing),
        (chunked("3\n"), DecodeFault::Framing),
        (chunked("3;a\n"), DecodeFault::Framing),
        (chunked("10000000000000000\r\n"), DecodeFault::Framing),
        (chunked("0\r\n folded"), DecodeFault::Framing),
        (chunked("0\r\n\r\nx"), DecodeFault::Excess),
        (head("content-length: 1") + "xy", DecodeFault::Excess),
    ] {
        assert_eq!(fault(&response), Some(expected), "{response:?}");
    }
}

#[test]
fn heads_extensions_and_trailers_have_a_limit() {
    let long = "x".repeat(HEAD_MAX + 1);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (response, expected) in [
        (format!("HTTP/1.1 200 OK\r\na: {long}"), DecodeFault::Head),
        (format!("HTTP/1.1 200 OK\r\na: {long}\r\n\r\n"), DecodeFault::Head),
        (format!("{chunked}1;{long}"), DecodeFault::Framing),
        (format!("{chunked}0\r\n{}", "a: b\r\n".repeat(HEAD_MAX / 4 + 1)), DecodeFault::Framing),
    ] {
        for length in [5000, usize::MAX] {
            assert_eq!(read(response.as_bytes(), &[length]).0, Err(expected));
        }
    }
}

#[test]
fn a_connection_is_kept_as_its_version_and_its_fields_say() {
    for (head, expected) in [
        ("HTTP/1.1 200 OK\r\n", Keep::Reuse),
        ("HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\n", Keep::Reuse),
        ("HTTP/1.1 200 OK\r\nConnection: x, CLOSE\r\n", Keep::Close),
        ("HTTP/1.0 200 OK\r\n", Keep::Close),
        ("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n", Keep::Reuse),
    ] {
        let response = format!("{head}content-length: 2\r\n\r\nok");
        assert_eq!(read(response.as_bytes(), &[usize::MAX]).2, expected, "{head}");
        let open = &response[..response.len() - 1];
        assert_eq!(read(open.as_bytes(), &[usize::MAX]).2, Keep::Close, "{head}");
    }
}

#[test]
fn content_types_are_told_apart() {
    for (field, expected) in [
        ("content-type: text/event-stream; charset=utf-8", ContentType::EventStream),
        ("Content-Type: Application/JSON", ContentType::Json),
        ("content-type: application/problem+json", ContentType::Json),
        ("content-type: text/html", ContentType::Other),
        ("content-type: application/json\r\ncontent-encoding: gzip", ContentType::Other),
        ("content-encoding: identity", ContentType::Unstated),
    ] {
        let response = format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n");
        let head = read(response.as_bytes(), &[usize::MAX]).1.head.unwrap();
        assert_eq!(head.content, expected, "{field}");
    }
}

#[test]
fn a_decoder_reads_one_response_after_another() {
    let mut decoder = ResponseDecoder::new();
    for body in ["one", "three"] {
        let (mut bytes, mut collected) = (Vec::new(), Collected::default());
        write_response(&mut bytes, 200, &[], body.as_bytes());
        assert_eq!(decoder.feed(&bytes, &mut collected), Ok(Message::Complete));
        assert_eq!(collected.body, body.as_bytes());
        decoder.reset();
    }
}

#[test]
fn a_request_is_written_in_full() {
    let headers = [
        ("Authorization".to_owned(), "Bearer a\r\nb\n".to_owned()),
        ("user-agent".to_owned(), "mine".to_owned()),
    ];
    let head = RequestHead { method: "POST", path: "/v1", host: "h", headers: &headers };
    assert_eq!(
        String::from_utf8(request(&head, Some("application/json"), b"{}")).unwrap(),
        "POST /v1 HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nAuthorization: Bearer a  b\r\n\
         user-agent: mine\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    );
    let head = RequestHead { method: "GET", headers: &[], ..head };
    assert_eq!(
        String::from_utf8(request(&head, None, b"")).unwrap(),
        format!(
            "GET /v1 HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nUser-Agent: infermark/{}\r\n\r\n",
            env!("CARGO_PKG_VERSION")
        )
    );
}

#[test]
fn requests_that_cannot_be_read_are_told_with_a_status() {
    let long = "x".repeat(HEAD_MAX + 1);
    for (request, expected, status) in [
        ("nonsense\r\n\r\n".to_owned(), RequestFault::Head, 400),
        (format!("GET / HTTP/1.1\r\na: {long}"), RequestFault::HeadTooLong, 431),
        (format!("GET / HTTP/1.1\r\na: {long}\r\n\r\n"), RequestFault::HeadTooLong, 431),
        (
            format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200)),
            RequestFault::HeadTooLong,
            431,
        ),
        ("GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n".to_owned(), RequestFault::Framing, 400),
        (
            "GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nx".to_owned(),
            RequestFault::Framing,
            400,
        ),
        (
            format!("GET / HTTP/1.1\r\ncontent-length: {}\r\n\r\n", BODY_MAX + 1),
            RequestFault::BodyTooLong,
            413,
        ),
    ] {
        let mut decoder = RequestDecoder::new();
        decoder.feed(request.as_bytes());
        assert_eq!(decoder.next_request(), Err(expected));
        assert_eq!(expected.status(), status);
    }
}

#[test]
fn a_chunked_request_is_read() {
    let mut decoder = RequestDecoder::new();
    decoder.feed(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n");
    assert_eq!(decoder.next_request(), Ok(None));
    decoder.feed(b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
    let request = decoder.next_request().unwrap().unwrap();
    assert_eq!(request.body, b"abc");
    assert_eq!(request.keep, Keep::Close);
}

#[test]
fn how_long_an_idle_connection_is_kept_is_read_where_it_is_said() {
    let kept = |field: &str| {
        let mut decoder = ResponseDecoder::new();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{field}\r\n\r\n");
        let fed = decoder.feed(head.as_bytes(), &mut Collected::default());
        assert_eq!(fed, Ok(Message::Complete));
        let kept = decoder.idle();
        decoder.reset();
        assert_eq!(decoder.idle(), None);
        kept.map(|length| length.0 / 1_000_000_000)
    };
    for (field, seconds) in [
        ("Keep-Alive: timeout=5, max=100", Some(5)),
        ("keep-alive: max=1,Timeout=7", Some(7)),
        ("Keep-Alive: timeout=0", Some(0)),
        ("Keep-Alive: timeout=soon", None),
        ("Keep-Alive: timeout=-1", None),
        ("Keep-Alive: max=5", None),
        ("Keep-Alive: timeout=18446744073709551615", None),
        ("X: timeout=5", None),
    ] {
        assert_eq!(kept(field), seconds, "{field}");
    }
}
