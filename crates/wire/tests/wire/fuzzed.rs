//! What must hold for any bytes whatever: nothing panics, and how bytes are split into reads
//! changes nothing.
//!
//! Each function takes the bytes that a peer might send and asserts. The fuzz targets in `fuzz/`
//! include this file and feed it what libFuzzer makes up; the ordinary tests feed it the recorded
//! responses, spoilt.

use infermark_terms::{ChunkKind, DecodeFault, EventCounts, Outcome, Usage};
use infermark_wire::dialect::path;
use infermark_wire::http1::{
    Collected, Message, Request, RequestDecoder, RequestHead, ResponseDecoder, ResponseHead,
};
use infermark_wire::http2::{self, Client, Ending, Fault, Head, Listener, Verdict};
use infermark_wire::server::Endpoint;
use infermark_wire::sse::{Item, SseDecoder};
use infermark_wire::{Api, Delivery, Ended, Exchange, Progress};

/// Returns the lengths into which bytes are split beside none at all: one at a time, and one that
/// the bytes themselves determine.
fn splits(bytes: &[u8]) -> [usize; 3] {
    let drawn = bytes.iter().fold(7_usize, |sum, &byte| sum.wrapping_mul(31) + usize::from(byte));
    [usize::MAX, 1, 2 + drawn % 61]
}

/// Asserts that `read` says the same of bytes however they are split.
fn alike<T: PartialEq + std::fmt::Debug>(bytes: &[u8], read: impl Fn(&[u8], usize) -> T) {
    let [whole, others @ ..] = splits(bytes);
    let expected = read(bytes, whole);
    for length in others {
        assert_eq!(read(bytes, length), expected, "in reads of {length}");
    }
}

/// A response: its head and body, or what is wrong with it.
pub(crate) fn response(bytes: &[u8]) {
    alike(bytes, |bytes, length| {
        let (mut decoder, mut collected) = (ResponseDecoder::new(), Collected::default());
        let mut end = Ok(Message::Open);
        for piece in bytes.chunks(length) {
            end = decoder.feed(piece, &mut collected);
            if end != Ok(Message::Open) {
                break;
            }
        }
        // Bytes after the end spoil a response only if they come with its last ones.
        let end = if end == Err(DecodeFault::Excess) { Ok(Message::Complete) } else { end };
        let closed = end == Ok(Message::Open) && decoder.closed() == Message::Complete;
        (end, closed, collected.head, collected.body)
    });
}

/// Requests, one after another, up to the first that is wrong.
pub(crate) fn request(bytes: &[u8]) {
    alike(bytes, |bytes, length| {
        let (mut decoder, mut requests) = (RequestDecoder::new(), Vec::<Request>::new());
        for piece in bytes.chunks(length) {
            decoder.feed(piece);
            loop {
                match decoder.next_request() {
                    Ok(Some(request)) => requests.push(request),
                    Ok(None) => break,
                    Err(fault) => return (requests, Some(fault)),
                }
            }
        }
        (requests, None)
    });
}

/// An event stream: its items.
pub(crate) fn events(bytes: &[u8]) {
    alike(bytes, |bytes, length| {
        let (mut decoder, mut items) = (SseDecoder::new(), Vec::new());
        for piece in bytes.chunks(length) {
            let fed = decoder.feed(piece, &mut |item| {
                items.push(match item {
                    Item::Event { name, data } => Some((name.map(<[u8]>::to_vec), data.to_vec())),
                    Item::Comment => None,
                });
            });
            if fed.is_err() {
                return (items, fed);
            }
        }
        (items, Ok(()))
    });
}

/// What an exchange says of a response.
#[derive(Debug, PartialEq)]
struct Seen {
    outcome: Outcome,
    chunks: Vec<(ChunkKind, Option<u32>, Vec<u8>)>,
    usage: Option<Usage>,
    events: EventCounts,
}

fn read(api: Api, delivery: Delivery, bytes: &[u8], length: usize) -> Seen {
    let mut exchange = Exchange::new(api, delivery);
    let (mut chunks, mut end) = (Vec::new(), None);
    for piece in bytes.chunks(length) {
        let progress = exchange.receive(piece, &mut |chunk| {
            let mut text = Vec::new();
            chunk.text.append_to(&mut text);
            // SGLang repeats its text, and what is new begins where the last text was long.
            let whole = api == Api::Sglang || str::from_utf8(&text).is_ok();
            assert!(whole, "output is UTF-8");
            assert_eq!(chunk.text.len_utf8() as usize, text.len());
            chunks.push((chunk.kind, chunk.tokens, text));
        });
        if let Progress::Ended(ended) = progress {
            end = Some(ended);
            break;
        }
    }
    let Ended { outcome, .. } = end.unwrap_or_else(|| exchange.closed());
    Seen { outcome, chunks, usage: exchange.usage(), events: exchange.events() }
}

/// The API by which most ask, and one that the bytes themselves determine.
fn apis(bytes: &[u8]) -> [Api; 2] {
    let drawn = bytes.iter().fold(5_usize, |sum, &byte| sum.wrapping_mul(29) + usize::from(byte));
    [Api::Chat, Api::ALL[drawn % Api::ALL.len()]]
}

/// A response to a request for an answer.
pub(crate) fn exchange(bytes: &[u8]) {
    for api in apis(bytes) {
        for delivery in [Delivery::Streamed, Delivery::Whole] {
            let whole = read(api, delivery, bytes, usize::MAX);
            for length in splits(bytes).into_iter().skip(1) {
                let split = read(api, delivery, bytes, length);
                // What follows a complete response spoils it only if it comes with its end.
                let excess = Outcome::Garbled { fault: DecodeFault::Excess };
                if whole.outcome != excess && split.outcome != excess {
                    assert_eq!(split, whole, "in reads of {length}");
                }
            }
        }
    }
}

/// The data of one event, in an answer that is otherwise as it should be.
pub(crate) fn event(data: &[u8]) {
    let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: ".to_vec();
    bytes.extend(data);
    bytes.extend(b"\n\ndata: [DONE]\n\n");
    exchange(&bytes);
    let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n".to_vec();
    bytes.extend(data);
    exchange(&bytes);
}

/// The body of a request for an answer, as the server reads it.
pub(crate) fn asked(body: &[u8]) {
    for api in Api::ALL.into_iter().filter(|api| api.streams()) {
        let target = path(api, Delivery::Streamed, "m");
        let endpoint = Endpoint::of(&target).expect("it is served");
        if let Err(refusal) = endpoint.parse(body) {
            assert!((400..500).contains(&refusal.status), "{refusal:?}");
        }
    }
}

/// A request on a connection of HTTP/2, and what came of it.
pub(crate) struct Call {
    exchange: Exchange,
    chunks: Vec<Vec<u8>>,
    outcome: Option<Outcome>,
}

/// What came of each request: its outcome, the texts of its chunks and its tokens.
pub(crate) type Heard = Vec<(Option<Outcome>, Vec<Vec<u8>>, Option<u32>)>;

/// Keeps the requests that ended.
#[derive(Default)]
struct Ear(Vec<(u32, Call)>);

impl Ear {
    fn verdict(call: &mut Call, progress: Progress) -> Verdict {
        let Progress::Ended(ended) = progress else { return Verdict::Open };
        call.outcome = Some(ended.outcome);
        Verdict::Over
    }
}

impl Listener<(u32, Call)> for Ear {
    fn head(&mut self, (_, call): &mut (u32, Call), head: &Head<'_>, bytes: usize) -> Verdict {
        let head = ResponseHead { status: head.status, content: head.content() };
        let progress = call.exchange.head(head, bytes);
        Self::verdict(call, progress)
    }

    fn body(&mut self, (_, call): &mut (u32, Call), bytes: &[u8]) -> Verdict {
        let Call { exchange, chunks, .. } = call;
        let progress = exchange.body(bytes, &mut |chunk| {
            let mut text = Vec::new();
            chunk.text.append_to(&mut text);
            chunks.push(text);
        });
        Self::verdict(call, progress)
    }

    fn ended(&mut self, (number, mut call): (u32, Call), ending: Ending) {
        if let Ending::Refused(order) = &ending {
            assert!(!order.is_empty(), "what is given back can be sent again");
        }
        if call.outcome.is_none() {
            let ended = match ending {
                Ending::Complete => call.exchange.complete(&mut |_| {}),
                Ending::Malformed => call.exchange.broken(DecodeFault::Frames),
                Ending::Cancelled | Ending::Refused(_) | Ending::Reset(..) => {
                    call.exchange.closed()
                }
            };
            call.outcome = Some(ended.outcome);
        }
        self.0.push((number, call));
    }
}

/// Reads what a server says on a connection of HTTP/2 with three requests.
pub(crate) fn heard(bytes: &[u8], length: usize) -> (Heard, Option<Fault>) {
    let (mut client, mut ear) = (Client::new(), Ear::default());
    let head = RequestHead { method: "POST", path: "/", host: "h", headers: &[] };
    for number in 0..3 {
        let exchange = Exchange::new(Api::Chat, Delivery::Streamed);
        let call = Call { exchange, chunks: Vec::new(), outcome: None };
        let request = http2::request("http", &head, Some("application/json"), b"{}");
        let _: u32 = client.open(request, (number, call));
    }
    let fault = bytes.chunks(length).find_map(|piece| client.feed(piece, &mut ear).err());
    ear.0.extend(client.take_all().map(|(call, _)| call));
    ear.0.sort_by_key(|(number, _)| *number);
    let seen = ear.0.into_iter().map(|(_, call)| {
        let tokens = call.exchange.usage().map(|usage| usage.completion_tokens);
        (call.outcome, call.chunks, tokens)
    });
    (seen.collect(), fault)
}

/// All that a server says on a connection of HTTP/2.
pub(crate) fn streams(bytes: &[u8]) {
    alike(bytes, |bytes, length| {
        let (heard, fault) = heard(bytes, length);
        assert_eq!(heard.len(), 3, "each request ends once");
        (heard, fault)
    });
}
