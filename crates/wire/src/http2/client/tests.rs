//! What a server can say, and what becomes of it.

use proptest::prelude::*;
use ringline_h2::HeaderField;

use super::*;
use crate::http1::RequestHead;
use crate::http2::{Last, request, start_response, write_data};
use crate::laws::{cases, cut, cuts};

/// What a listener heard, in words.
#[derive(Default)]
struct Diary {
    lines: Vec<String>,
    /// The stream of which no more is wanted once a piece of a body has come.
    enough: Option<&'static str>,
}

impl Diary {
    fn verdict(&self, stream: &str) -> Verdict {
        if self.enough == Some(stream) { Verdict::Over } else { Verdict::Open }
    }
}

impl Listener<&'static str> for Diary {
    fn head(&mut self, stream: &mut &'static str, head: &Head<'_>, _: usize) -> Verdict {
        self.lines.push(format!("{stream} {} {:?}", head.status, head.content()));
        Verdict::Open
    }

    fn body(&mut self, stream: &mut &'static str, bytes: &[u8]) -> Verdict {
        let text = std::str::from_utf8(bytes).unwrap();
        match self.lines.last_mut().filter(|line| line.starts_with(&format!("{stream} +"))) {
            Some(line) => line.push_str(text),
            None => self.lines.push(format!("{stream} +{text}")),
        }
        self.verdict(stream)
    }

    fn ended(&mut self, stream: &'static str, ending: Ending) {
        let ending = match ending {
            Ending::Refused(order) => format!("Refused({})", order.len()),
            Ending::Reset(code, order) => format!("Reset({code}, {})", order.len()),
            Ending::Complete | Ending::Cancelled | Ending::Malformed => format!("{ending:?}"),
        };
        self.lines.push(format!("{stream} {ending}"));
    }
}

fn order(body: &[u8]) -> Vec<u8> {
    let own = [("Connection", "close"), ("X-Key", "k\r\nInjected: 1"), ("host", "other")];
    let headers = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let head = RequestHead { method: "POST", path: "/v1/x", host: "h:1", headers: &headers };
    let content = (!body.is_empty()).then_some("application/json");
    request("http", &head, content, body)
}

/// Returns a client whose preface has gone, with these streams open.
fn client(streams: &[&'static str]) -> Client<&'static str> {
    let mut client = Client::new();
    for &stream in streams {
        let _: u32 = client.open(order(b"{}"), stream);
    }
    let _preface = written(&mut client);
    client
}

/// Writes all that waits, and returns its frames.
fn written(client: &mut Client<&'static str>) -> Vec<(Frame, Vec<u8>)> {
    let bytes = client.unsent().to_vec();
    client.wrote(bytes.len());
    let mut rest = bytes.strip_prefix(PREFACE).unwrap_or(&bytes);
    let mut frames = Vec::new();
    while let Some((begun, later)) = rest.split_first_chunk::<FRAME_HEAD>() {
        let frame = Frame::read(*begun);
        let (payload, later) = later.split_at(frame.length);
        frames.push((frame, payload.to_vec()));
        rest = later;
    }
    assert!(rest.is_empty());
    frames
}

/// Appends the settings with which a server begins.
fn settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    let payload: Vec<_> = settings.iter().flat_map(|&(id, value)| setting(id, value)).collect();
    push_frame(out, Kind::Settings, 0, 0, &payload);
}

fn heard(client: &mut Client<&'static str>, bytes: &[u8]) -> (Vec<String>, Result<(), Fault>) {
    let mut diary = Diary::default();
    let fed = client.feed(bytes, &mut diary);
    (diary.lines, fed)
}

const EVENTS: [(&str, &str); 1] = [("Content-Type", "text/event-stream")];

/// Two responses whose frames alternate, with all that may surround them.
fn two_responses() -> Vec<u8> {
    let mut out = Vec::new();
    settings(&mut out, &[(3, 7)]);
    start_response(&mut out, 1, 103, &[], Last::No);
    start_response(&mut out, 3, 200, &EVENTS, Last::No);
    push_frame(&mut out, Kind::Ping, 0, 0, b"12345678");
    // In two pieces, padded and with a priority.
    let (mut head, mut block) = (Vec::new(), Vec::new());
    start_response(&mut head, 1, 200, &[("content-type", "application/json")], Last::No);
    block.extend_from_slice(&[3, 0, 0, 0, 0, 7]);
    block.extend_from_slice(&head[FRAME_HEAD..FRAME_HEAD + 4]);
    block.extend_from_slice(&[0; 3]);
    push_frame(&mut out, Kind::Headers, flag::PADDED | flag::PRIORITY, 1, &block);
    push_frame(&mut out, Kind::Continuation, 0, 1, b"");
    push_frame(&mut out, Kind::Continuation, flag::END_HEADERS, 1, &head[FRAME_HEAD + 4..]);
    write_data(&mut out, 1, b"abc", Last::No);
    write_data(&mut out, 3, b"xy", Last::No);
    push_frame(&mut out, Kind::Data, flag::PADDED, 1, b"\x04def....");
    push_frame(&mut out, Kind::Data, flag::PADDED, 1, b"\x02..");
    write_data(&mut out, 3, b"", Last::No);
    push_frame(&mut out, Kind::Priority, 0, 1, &[0; 5]);
    push_frame(&mut out, Kind::Unknown, 0xff, 9, b"unknown");
    write_data(&mut out, 1, b"g", Last::Yes);
    write_data(&mut out, 3, b"z", Last::No);
    start_response(&mut out, 3, 200, &[], Last::Yes);
    out
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn however_the_bytes_are_split_the_same_is_heard(lengths in cuts()) {
        let mut client = client(&["a", "b"]);
        let mut diary = Diary::default();
        for piece in cut(&two_responses(), &lengths) {
            client.feed(piece, &mut diary).unwrap();
        }
        let expected = [
            "b 200 EventStream", "a 200 Json", "a +abc", "b +xy", "a +defg", "a Complete",
            "b +z", "b Complete",
        ];
        prop_assert_eq!(diary.lines, expected);
        prop_assert_eq!((client.open_streams(), client.room()), (0, 7));
        let answers: Vec<_> = written(&mut client).into_iter().map(|(f, _)| f.kind).collect();
        prop_assert_eq!(answers, [Kind::Settings, Kind::Ping]);
    }

    #[test]
    fn nothing_that_a_server_says_does_more_than_end_the_connection(
        noise in proptest::collection::vec((0_usize..600, any::<u8>()), 1..8),
        lengths in cuts(),
    ) {
        let mut client = client(&["a", "b"]);
        let mut bytes = two_responses();
        for (at, byte) in noise {
            let place = at % bytes.len();
            bytes[place] = byte;
        }
        let mut ended = 0;
        for piece in cut(&bytes, &lengths) {
            let (lines, fed) = {
                let mut diary = Quiet::default();
                let fed = client.feed(piece, &mut diary);
                (diary.0, fed)
            };
            ended += lines;
            if fed.is_err() {
                break;
            }
        }
        // Each stream ends once, by the server or with the connection.
        prop_assert_eq!(ended + client.take_all().count(), 2);
    }
}

/// Counts the streams that ended.
#[derive(Default)]
struct Quiet(usize);

impl Listener<&'static str> for Quiet {
    fn head(&mut self, _: &mut &'static str, _: &Head<'_>, _: usize) -> Verdict {
        Verdict::Open
    }

    fn body(&mut self, _: &mut &'static str, _: &[u8]) -> Verdict {
        Verdict::Open
    }

    fn ended(&mut self, _: &'static str, _: Ending) {
        self.0 += 1;
    }
}

#[test]
fn a_client_says_its_preface_and_opens_every_window() {
    let mut client = Client::<&'static str>::new();
    assert!(client.unsent().starts_with(PREFACE));
    let frames = written(&mut client);
    assert_eq!(frames[0].0.kind, Kind::Settings);
    assert_eq!(frames[0].1[6..12], setting(4, i32::MAX as u32));
    assert_eq!(frames[1].1, (i32::MAX as u32 - 65_535).to_be_bytes());
    assert_eq!((frames.len(), client.room()), (2, 100));
}

#[test]
fn a_request_has_no_fields_of_connections_and_needs_no_table() {
    let order = order(b"body");
    let block = u32::from_be_bytes(*order.first_chunk().unwrap()) as usize;
    assert_eq!(&order[4 + block..], b"body");
    // A server that forbids tables reads it too.
    let fields = Decoder::new(0).decode(&order[4..4 + block]).unwrap();
    let fields: Vec<_> = fields
        .iter()
        .map(|field| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            format!("{}={}", text(&field.name), text(&field.value))
        })
        .collect();
    let agent = format!("user-agent=infermark/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        fields,
        [
            ":method=POST",
            ":scheme=http",
            ":authority=other",
            ":path=/v1/x",
            "accept=*/*",
            &agent,
            "content-type=application/json",
            "x-key=k  Injected: 1",
            "content-length=4",
        ]
    );
}

#[test]
fn a_long_head_goes_in_pieces_and_an_empty_body_ends_with_it() {
    let long = [("x".to_owned(), "?".repeat(40_000))];
    let head = RequestHead { method: "GET", path: "", host: "h", headers: &long };
    let mut client = client(&[]);
    let id = client.open(request("https", &head, None, b"no body"), "a");
    let frames: Vec<_> = written(&mut client).into_iter().map(|(frame, _)| frame).collect();
    let flags: Vec<_> = frames.iter().map(|frame| (frame.kind, frame.flags)).collect();
    let last = (Kind::Continuation, flag::END_HEADERS);
    assert_eq!(flags, [(Kind::Headers, flag::END_STREAM), (Kind::Continuation, 0), last]);
    assert_eq!((id, client.departed().copied(), client.departed()), (1, Some("a"), None));
}

#[test]
fn a_body_goes_as_far_as_the_windows_let_it_and_departs_when_it_is_written() {
    let mut client = client(&[]);
    let _: u32 = client.open(order(&vec![b'x'; 100_000]), "large");
    let _: u32 = client.open(order(b"small"), "small");
    let lengths = |frames: &[(Frame, Vec<u8>)]| {
        let data = frames.iter().filter(|(frame, _)| frame.kind == Kind::Data);
        data.map(|(frame, _)| frame.length).collect::<Vec<_>>()
    };
    // The connection's window is all that everyone begins with.
    assert_eq!(lengths(&written(&mut client)), [16_384, 16_384, 16_384, 16_383]);
    assert_eq!(client.departed(), None);
    let mut said = Vec::new();
    settings(&mut said, &[(4, 90_000), (5, 20_000)]);
    push_frame(&mut said, Kind::WindowUpdate, 0, 0, &40_000_u32.to_be_bytes());
    assert_eq!(heard(&mut client, &said).1, Ok(()));
    let frames = written(&mut client);
    assert_eq!(lengths(&frames), [20_000, 4465, 5]);
    assert!(frames.last().unwrap().0.has(flag::END_STREAM));
    assert_eq!((client.departed().copied(), client.departed()), (Some("small"), None));
    let mut said = Vec::new();
    push_frame(&mut said, Kind::WindowUpdate, 0, 1, &20_000_u32.to_be_bytes());
    assert_eq!(heard(&mut client, &said).1, Ok(()));
    assert_eq!(lengths(&written(&mut client)), [10_000]);
    assert_eq!(client.departed().copied(), Some("large"));
}

#[test]
fn a_stream_whose_settings_shrink_sends_nothing_until_its_window_opens() {
    let mut client = client(&[]);
    let mut said = Vec::new();
    settings(&mut said, &[(4, 0), (3, 1)]);
    assert_eq!(heard(&mut client, &said).1, Ok(()));
    assert_eq!(client.room(), 1);
    let id = client.open(order(b"body"), "a");
    assert_eq!(client.room(), 0);
    let kinds: Vec<_> = written(&mut client).iter().map(|(frame, _)| frame.kind).collect();
    assert_eq!(kinds, [Kind::Settings, Kind::Headers]);
    // An answer that comes all the same ends the wait; the rest stays unsent.
    let mut said = Vec::new();
    start_response(&mut said, id, 413, &[], Last::Yes);
    assert_eq!(heard(&mut client, &said).0, ["a 413 Unstated", "a Complete"]);
    let (frame, payload) = written(&mut client).remove(0);
    assert_eq!((frame.kind, payload), (Kind::RstStream, Code::CANCEL.0.to_be_bytes().to_vec()));
    assert_eq!(client.departed(), None);
    assert_eq!(client.room(), 1);
}

#[test]
fn windows_are_opened_again_before_they_are_used_up() {
    let mut client = client(&["a"]);
    let mut said = Vec::new();
    settings(&mut said, &[]);
    start_response(&mut said, 1, 200, &[], Last::No);
    assert_eq!(heard(&mut client, &said).1, Ok(()));
    client.taken = WINDOW_REFILL - 3;
    client.streams.get_mut(&1).unwrap().taken = WINDOW_REFILL - 4;
    let _answers = written(&mut client);
    for (text, streams) in [("abc", &[0][..]), ("d", &[1]), ("e", &[])] {
        let mut said = Vec::new();
        write_data(&mut said, 1, text.as_bytes(), Last::No);
        assert_eq!(heard(&mut client, &said).1, Ok(()));
        let opened = written(&mut client);
        let opened: Vec<_> = opened
            .iter()
            .map(|(frame, payload)| {
                assert_eq!(payload[..], WINDOW_REFILL.to_be_bytes());
                frame.stream
            })
            .collect();
        assert_eq!(opened, streams, "{text}");
    }
}

#[test]
fn a_server_that_leaves_gives_back_what_it_has_not_looked_at() {
    let mut client = client(&["a", "b", "c"]);
    let mut said = Vec::new();
    settings(&mut said, &[]);
    push_frame(&mut said, Kind::Goaway, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]);
    start_response(&mut said, 1, 200, &[], Last::Yes);
    let refused = format!("Refused({})", order(b"{}").len());
    let (lines, fed) = heard(&mut client, &said);
    let expected =
        [&format!("b {refused}"), &format!("c {refused}"), "a 200 Unstated", "a Complete"];
    assert_eq!(lines, expected);
    assert_eq!((fed, client.room(), client.leaving()), (Ok(()), 0, Some(Code::NO_ERROR)));
}

#[test]
fn a_server_that_leaves_gives_back_nothing_that_it_has_begun_to_answer() {
    let mut client = client(&["a", "b"]);
    let _: u32 = client.open(order(&vec![b'x'; 100_000]), "half");
    let mut said = Vec::new();
    settings(&mut said, &[]);
    // Of a request that was written whole nothing is left to give back, of the other there is.
    for stream in [1, 5] {
        start_response(&mut said, stream, 200, &EVENTS, Last::No);
    }
    push_frame(&mut said, Kind::Goaway, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11]);
    let (half, small) = (order(&vec![b'x'; 100_000]).len(), order(b"{}").len());
    let expected = [
        "a 200 EventStream".to_owned(),
        "half 200 EventStream".to_owned(),
        "a Reset(ENHANCE_YOUR_CALM, 0)".to_owned(),
        format!("b Refused({small})"),
        format!("half Reset(ENHANCE_YOUR_CALM, {half})"),
    ];
    assert_eq!(heard(&mut client, &said), (expected.to_vec(), Ok(())));
}

#[test]
fn what_was_written_is_not_kept_while_more_waits() {
    const SIZE: usize = 8 << 20;
    let mut client = client(&[]);
    let mut said = Vec::new();
    settings(&mut said, &[(4, WINDOW_MAX)]);
    push_frame(&mut said, Kind::WindowUpdate, 0, 0, &(1_u32 << 30).to_be_bytes());
    assert_eq!(heard(&mut client, &said).1, Ok(()));
    let whole = order(&vec![b'x'; SIZE]);
    let _: u32 = client.open(whole, "large");
    let mut written = 0;
    while !client.unsent().is_empty() {
        assert_eq!(client.departed(), None);
        assert!(client.out.len() < 2 * OUT_MAX + 2 * FRAME_MAX, "{}", client.out.len());
        // A socket that takes a little at a time.
        let count = client.unsent().len().min(10_000);
        client.wrote(count);
        written += count;
    }
    assert!(written > SIZE);
    assert_eq!(client.departed().copied(), Some("large"));
}

#[test]
fn a_stream_that_is_refused_can_be_sent_again_and_one_that_is_reset_cannot() {
    let mut client = client(&["a", "b", "c", "d"]);
    let mut said = Vec::new();
    settings(&mut said, &[]);
    start_response(&mut said, 3, 200, &[], Last::No);
    for (stream, code) in [(1, 7_u32), (3, 7), (5, 2), (5, 2)] {
        push_frame(&mut said, Kind::RstStream, 0, stream, &code.to_be_bytes());
    }
    let length = order(b"{}").len();
    let (refused, reset) =
        (format!("a Refused({length})"), format!("c Reset(INTERNAL_ERROR, {length})"));
    let expected = ["b 200 Unstated", &refused, "b Reset(REFUSED_STREAM, 0)", &reset];
    assert_eq!(heard(&mut client, &said).0, expected);
    // Ours to end is "d"; what still comes of it is ignored.
    let _answers = written(&mut client);
    assert_eq!((client.cancel(7), client.cancel(7)), (Some("d"), None));
    assert_eq!(written(&mut client)[0].1, Code::CANCEL.0.to_be_bytes());
    let mut said = Vec::new();
    start_response(&mut said, 7, 200, &[], Last::No);
    write_data(&mut said, 7, b"late", Last::Yes);
    assert_eq!(heard(&mut client, &said), (Vec::new(), Ok(())));
}

#[test]
fn a_stream_of_which_no_more_is_wanted_is_cancelled() {
    let mut client = client(&["a", "b"]);
    let mut said = Vec::new();
    settings(&mut said, &[]);
    for stream in [1, 3] {
        start_response(&mut said, stream, 200, &[], Last::No);
        write_data(&mut said, stream, b"x", Last::No);
        write_data(&mut said, stream, b"y", Last::Yes);
    }
    let mut diary = Diary { enough: Some("a"), ..Diary::default() };
    client.feed(&said, &mut diary).unwrap();
    assert_eq!(diary.lines[1..], ["a +x", "a Cancelled", "b 200 Unstated", "b +xy", "b Complete"]);
    let frames = written(&mut client);
    assert_eq!((frames[1].0.kind, frames[1].0.stream), (Kind::RstStream, 1));
}

#[test]
fn responses_that_break_the_protocol_end_their_stream_alone() {
    let json = [("content-type", "application/json")];
    let cases: [fn(&mut Vec<u8>); 8] = [
        |out| write_data(out, 1, b"body before head", Last::No),
        |out| start_response(out, 1, 101, &[], Last::No),
        |out| start_response(out, 1, 100, &[], Last::Yes),
        |out| start_response(out, 1, 99, &[], Last::No),
        |out| start_response(out, 1, 200, &[("content-length", "x")], Last::No),
        |out| start_response(out, 1, 200, &[("content-length", "1")], Last::Yes),
        |out| {
            start_response(out, 1, 200, &[("content-length", "1")], Last::No);
            write_data(out, 1, b"two", Last::Yes);
        },
        |out| {
            start_response(out, 1, 200, &[], Last::No);
            start_response(out, 1, 200, &[], Last::No);
        },
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let mut client = client(&["a", "b"]);
        let mut said = Vec::new();
        settings(&mut said, &[]);
        case(&mut said);
        start_response(&mut said, 3, 200, &json, Last::Yes);
        let (lines, fed) = heard(&mut client, &said);
        assert_eq!(fed, Ok(()), "case {number}");
        let broken = lines.iter().filter(|line| *line == "a Malformed").count();
        assert_eq!((broken, lines.last().unwrap().as_str()), (1, "b Complete"), "case {number}");
        let reset = |(frame, _): &(Frame, _)| (frame.kind, frame.stream) == (Kind::RstStream, 1);
        assert!(written(&mut client).iter().any(reset), "case {number}");
    }
    // A status that has no body may say how long that would be.
    let mut client = client(&["a"]);
    let mut said = Vec::new();
    settings(&mut said, &[]);
    start_response(&mut said, 1, 304, &[("content-length", "9")], Last::Yes);
    assert_eq!(heard(&mut client, &said).0, ["a 304 Unstated", "a Complete"]);
}

#[test]
fn what_breaks_the_connection_is_told_by_its_code() {
    let frame = |kind, flags, stream, payload: &[u8]| {
        let mut out = Vec::new();
        push_frame(&mut out, kind, flags, stream, payload);
        out
    };
    let long = frame(Kind::Headers, 0, 1, &[0; 16_000]);
    let more = frame(Kind::Continuation, 0, 1, &[0; 16_000]);
    for (said, fault) in [
        (frame(Kind::Data, 0, 9, b""), Fault::Protocol),
        (frame(Kind::Data, 0, 2, b""), Fault::Protocol),
        (frame(Kind::Data, flag::PADDED, 1, b""), Fault::FrameSize),
        (frame(Kind::Data, flag::PADDED, 1, b"\x03.."), Fault::Protocol),
        (frame(Kind::Data, 0, 1, &vec![0; 16_385]), Fault::FrameSize),
        (frame(Kind::Headers, flag::PADDED, 1, b"\x03.."), Fault::Protocol),
        (frame(Kind::Headers, flag::PRIORITY, 1, b"..."), Fault::FrameSize),
        (frame(Kind::Headers, flag::END_HEADERS, 1, b"\xff\xff\xff"), Fault::Compression),
        (frame(Kind::Headers, flag::END_HEADERS, 5, b"\x88"), Fault::Protocol),
        (
            [frame(Kind::Headers, 0, 1, b""), frame(Kind::Ping, 0, 0, &[0; 8])].concat(),
            Fault::Protocol,
        ),
        ([long, more.repeat(4)].concat(), Fault::Excess),
        (frame(Kind::Continuation, 0, 1, b""), Fault::Protocol),
        (frame(Kind::PushPromise, 0, 1, &[0, 0, 0, 2]), Fault::Protocol),
        (frame(Kind::Settings, 0, 1, b""), Fault::Protocol),
        (frame(Kind::Settings, 0, 0, b"....."), Fault::FrameSize),
        (frame(Kind::Settings, flag::ACK, 0, b"......"), Fault::FrameSize),
        (frame(Kind::Settings, 0, 0, &setting(4, 1 << 31)), Fault::FlowControl),
        (frame(Kind::Settings, 0, 0, &setting(5, 100)), Fault::Protocol),
        (frame(Kind::Ping, 0, 0, b"short"), Fault::FrameSize),
        (frame(Kind::Ping, 0, 0, &[0; 8]).repeat(70_000), Fault::Excess),
        (frame(Kind::Goaway, 0, 0, b"short"), Fault::FrameSize),
        (frame(Kind::RstStream, 0, 1, b"short"), Fault::FrameSize),
        (frame(Kind::RstStream, 0, 0, &[0; 4]), Fault::Protocol),
        (frame(Kind::WindowUpdate, 0, 0, &[0; 4]), Fault::Protocol),
        (frame(Kind::WindowUpdate, 0, 1, &[0xff; 4]), Fault::FlowControl),
        (frame(Kind::WindowUpdate, 0, 0, b"short"), Fault::FrameSize),
    ] {
        let mut client = client(&["a"]);
        let mut begun = Vec::new();
        settings(&mut begun, &[]);
        assert_eq!(heard(&mut client, &begun).1, Ok(()));
        let begins = &said[..said.len().min(20)];
        assert_eq!(heard(&mut client, &said), (Vec::new(), Err(fault)), "{begins:?}");
        let (frame, payload) = written(&mut client).pop().unwrap();
        assert_eq!((frame.kind, &payload[4..]), (Kind::Goaway, &fault.code().0.to_be_bytes()[..]));
        assert_eq!(client.take_all().map(|(held, _)| held).collect::<Vec<_>>(), ["a"]);
    }
}

#[test]
fn a_server_of_another_protocol_is_told_apart_by_its_first_bytes() {
    for said in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"SSH-2.0-x\r\n"] {
        assert_eq!(heard(&mut client(&["a"]), said).1, Err(Fault::Preface));
    }
    let mut said = Vec::new();
    push_frame(&mut said, Kind::Settings, flag::ACK, 0, b"");
    assert_eq!(heard(&mut client(&["a"]), &said).1, Err(Fault::Preface));
}

#[test]
fn a_head_can_be_read_as_one_of_http_1() {
    let fields = [HeaderField::new(":status", "200"), HeaderField::new("date", "today")];
    let head = Head::of(&fields).unwrap();
    assert_eq!(
        head.to_http1(),
        b"HTTP/1.1 200 \r\ndate: today\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    for wrong in ["20", "2000", "abc", "099"] {
        assert!(Head::of(&[HeaderField::new(":status", wrong)]).is_none(), "{wrong}");
    }
    assert!(Head::of(&[]).is_none());
}
