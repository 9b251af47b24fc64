//! HTTP/2: many requests on a connection, each with its own end.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use infermark_drive::{
    Batch, CallError, Carrier, Clock, Endpoint, EndpointError, Order, Proxies, Reuse, Roots, Route,
    Worker, WorkerPlan, call, probe,
};
use infermark_terms::{
    DecodeFault, Due, FinishReason, HttpVersion, Nanos, Outcome, OutcomeKind, Phase, RequestId,
    Stamp, TransportFault, Turn,
};
use infermark_wire::http1::write_response;
use infermark_wire::http2::{
    Code, FRAME_HEAD, Frame, Kind, Last, PREFACE, flag, push_frame, start_response, write_data,
};
use infermark_wire::{Api, Delivery};
use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};

use crate::load::{LONG, Load, Record, order, send};
use crate::server::{Peer, Server, always, bare_event, bare_tail, streamed};
use crate::tls::Authority;

/// A client of HTTP/2, as a script sees it.
pub(crate) struct Talk {
    pub(crate) peer: Peer,
    input: Vec<u8>,
    /// Streams that the client gave up.
    cancelled: Vec<u32>,
}

impl Talk {
    /// Hears the client's preface, and says these settings and that bodies of any size may come.
    pub(crate) fn new(peer: Peer, settings: &[(u16, u32)]) -> Self {
        let mut talk = Self { peer, input: Vec::new(), cancelled: Vec::new() };
        let id_and_value =
            |&(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
        let settings: Vec<u8> = settings.iter().flat_map(id_and_value).collect();
        let mut out = Vec::new();
        push_frame(&mut out, Kind::Settings, 0, 0, &settings);
        push_frame(&mut out, Kind::WindowUpdate, 0, 0, &(1_u32 << 30).to_be_bytes());
        talk.peer.say(&out);
        while talk.input.len() < PREFACE.len() && talk.hear() {}
        let _preface: Vec<u8> = talk.input.drain(..PREFACE.len().min(talk.input.len())).collect();
        talk
    }

    /// Reads something; says whether the client is still there.
    fn hear(&mut self) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        let count = self.peer.read(&mut buffer);
        self.input.extend_from_slice(&buffer[..count]);
        count > 0
    }

    /// Returns the next frame; nothing once the client is gone.
    fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(begun) = self.input.first_chunk::<FRAME_HEAD>() {
                let frame = Frame::read(*begun);
                if self.input.len() >= FRAME_HEAD + frame.length {
                    drop(self.input.drain(..FRAME_HEAD + frame.length));
                    return Some(frame);
                }
            }
            if !self.hear() {
                return None;
            }
        }
    }

    /// Waits for a request, and returns its stream; nothing once the client is gone.
    pub(crate) fn request(&mut self) -> Option<u32> {
        loop {
            let frame = self.frame()?;
            let asks = matches!(frame.kind, Kind::Headers | Kind::Data);
            if asks && frame.has(flag::END_STREAM) {
                return Some(frame.stream);
            }
            if frame.kind == Kind::RstStream {
                self.cancelled.push(frame.stream);
            }
        }
    }

    pub(crate) fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        write(&mut out);
        self.peer.say(&out);
    }
}

/// Longer than any test takes: what is waited for until then does not come.
const HUNG: Duration = Duration::from_mins(1);

const EVENTS: [(&str, &str); 1] = [("content-type", "text/event-stream")];

pub(crate) fn begin(out: &mut Vec<u8>, stream: u32) {
    start_response(out, stream, 200, &EVENTS, Last::No);
}

pub(crate) fn chunk(out: &mut Vec<u8>, stream: u32, text: &str) {
    write_data(out, stream, &bare_event(text), Last::No);
}

pub(crate) fn end(out: &mut Vec<u8>, stream: u32) {
    write_data(out, stream, &bare_tail(), Last::Yes);
}

fn answer(out: &mut Vec<u8>, stream: u32, texts: &[&str]) {
    begin(out, stream);
    for text in texts {
        chunk(out, stream, text);
    }
    end(out, stream);
}

fn reset(out: &mut Vec<u8>, stream: u32, code: Code) {
    push_frame(out, Kind::RstStream, 0, stream, &code.0.to_be_bytes());
}

fn goaway(out: &mut Vec<u8>, last: u32, code: Code) {
    push_frame(out, Kind::Goaway, 0, 0, &[last.to_be_bytes(), code.0.to_be_bytes()].concat());
}

/// Answers every request alike.
fn answering(texts: &'static [&'static str]) -> impl Fn(Peer) + Send + Sync + 'static {
    move |peer| {
        let mut talk = Talk::new(peer, &[]);
        while let Some(stream) = talk.request() {
            talk.say(|out| answer(out, stream, texts));
        }
    }
}

fn route(roots: Roots) -> Route {
    Route { version: HttpVersion::Http2, ..Route::of(roots) }
}

pub(crate) fn endpoint(server: &Server) -> Endpoint {
    let url = format!("http://{}", server.address());
    Endpoint::resolve(&url, &route(Roots::Unverified)).unwrap()
}

/// Runs one request, which is met like this once it is there whole.
fn one(act: impl Fn(&mut Talk, u32) + Send + Sync + 'static) -> Record {
    let server = Server::plain(move |peer| {
        let mut talk = Talk::new(peer, &[]);
        if let Some(stream) = talk.request() {
            act(&mut talk, stream);
        }
        // A socket that is dropped with something unread is reset.
        talk.peer.finish();
    });
    Load::of(endpoint(&server)).run()
}

fn severed(phase: Phase, fault: TransportFault) -> Outcome {
    Outcome::Severed { phase, fault }
}

fn other(why: &str) -> TransportFault {
    TransportFault::Other(infermark_terms::Excerpt::new(why))
}

#[test]
fn a_streamed_answer_is_what_it_is_over_http_1() {
    let texts = ["one", " two", " three"];
    let server = Server::plain(move |peer| {
        let mut talk = Talk::new(peer, &[]);
        let Some(stream) = talk.request() else { return };
        talk.say(|out| begin(out, stream));
        for text in texts {
            // Two frames, of which the second completes the event.
            let event = bare_event(text);
            let (first, second) = event.split_at(7);
            talk.say(|out| write_data(out, stream, first, Last::No));
            talk.say(|out| write_data(out, stream, second, Last::No));
        }
        talk.say(|out| end(out, stream));
        talk.peer.await_end();
    });
    let two = Load::of(endpoint(&server)).run();
    let one = Load::of(Server::plain(always(streamed(&texts))).endpoint()).run();
    assert_eq!(two.outcome(), one.outcome());
    assert_eq!(*two.outcome(), Outcome::Finished { reason: FinishReason::Length });
    assert_eq!((two.text(0), two.rows[0].chunks), (one.text(0), one.rows[0].chunks));
    assert_eq!((two.rows[0].usage, two.rows[0].events), (one.rows[0].usage, one.rows[0].events));
    let lengths = |record: &Record| {
        let lengths =
            record.chunks.iter().map(|chunk| (chunk.kind, chunk.tokens, chunk.text_bytes));
        lengths.collect::<Vec<_>>()
    };
    assert_eq!(lengths(&two), lengths(&one));
    let row = &two.rows[0];
    assert!(row.connect.is_some() && row.sent.is_some() && row.address == Some(server.address()));
}

#[test]
fn chunks_that_share_a_read_are_coalesced_each_with_those_of_its_own_request() {
    // Two requests whose chunks come in one write, and mostly in one read.
    let server = Server::plain(|peer| {
        let mut talk = Talk::new(peer, &[]);
        while let (Some(a), Some(b)) = (talk.request(), talk.request()) {
            talk.say(|out| {
                for stream in [a, b] {
                    begin(out, stream);
                    chunk(out, stream, "x");
                    chunk(out, stream, "y");
                }
                end(out, a);
                end(out, b);
            });
        }
    });
    let record = Load::of(endpoint(&server)).requests(40).slots(2).run();
    assert!(record.all_finished() && server.accepted() == 1);
    assert!(record.rows.iter().all(|row| row.chunks == 2));
    let firsts = record.chunks.iter().filter(|chunk| !chunk.coalesced).count();
    assert!((40..80).contains(&firsts), "{firsts}");
}

/// Sends so many requests at once and waits until all have ended.
fn at_once(plan: WorkerPlan, course: &[usize]) -> Batch {
    let endpoint = plan.endpoints[0].clone();
    let mut worker = Worker::new(plan, Clock::start()).unwrap();
    let mut batch = Batch::default();
    for &count in course {
        for _ in 0..count {
            let bytes = endpoint.request("POST", "/", &[], Some(b"{}"));
            let due = Due::new(RequestId(0), worker.now());
            worker.send(due, Order { bytes, ..order() });
        }
        while worker.in_flight() > 0 {
            worker.wait(Stamp::NEVER, &mut batch);
        }
    }
    batch
}

/// Answers requests once so many have come on its connection, with the connection's number.
fn gathering(
    settings: &'static [(u16, u32)],
    counts: &'static [&'static [usize]],
) -> impl Fn(Peer) + Send + Sync + 'static {
    move |peer| {
        let text = peer.number.to_string();
        let counts = counts[peer.number];
        let mut talk = Talk::new(peer, settings);
        for &count in counts {
            let streams: Vec<_> = (0..count).map_while(|_| talk.request()).collect();
            for stream in streams {
                talk.say(|out| answer(out, stream, &[&text]));
            }
        }
        talk.peer.await_end();
    }
}

#[test]
fn requests_go_side_by_side_as_far_as_the_server_and_the_user_let_them() {
    let texts = |batch: Batch| {
        let texts = batch.texts.into_iter().map(|(_, text)| String::from_utf8(text).unwrap());
        let mut texts: Vec<_> = texts.collect();
        texts[1..].sort();
        texts.concat()
    };
    // The first connection is known to take three when five requests come, and then seven.
    let server = Server::plain(gathering(&[(3, 3)], &[&[1, 3, 3], &[2, 3], &[1]]));
    let batch = at_once(Load::of(endpoint(&server)).plan, &[1, 5, 7]);
    assert_eq!((texts(batch), server.accepted()), ("0000000111112".to_owned(), 3));
    // A server that sets no limit is not sent more than the user wishes.
    let server = Server::plain(gathering(&[], &[&[1, 2], &[2], &[1]]));
    let mut plan = Load::of(endpoint(&server)).plan;
    plan.streams_max = 2;
    assert_eq!((texts(at_once(plan, &[1, 5])), server.accepted()), ("000112".to_owned(), 3));
}

#[test]
fn requests_that_wait_for_one_connection_leave_together() {
    let server = Server::plain(gathering(&[], &[&[20]]));
    let batch = at_once(Load::of(endpoint(&server)).plan, &[20]);
    assert_eq!((batch.requests.len(), server.accepted()), (20, 1));
    let made = batch.requests.iter().filter(|row| row.connect.is_some()).count();
    assert_eq!(made, 1);
    assert!(batch.requests.iter().all(|row| row.connected.is_some()));
}

#[test]
fn a_policy_of_connections_holds_over_http_2_too() {
    let server = Server::plain(answering(&["one"]));
    let mut load = Load::of(endpoint(&server)).requests(6).slots(2);
    load.plan.reuse = Reuse::PerRequest;
    assert!(load.run().all_finished());
    assert_eq!(server.accepted(), 6);
    let server = Server::plain(gathering(&[], &[&[1, 1, 1], &[1, 1], &[1]]));
    let mut plan = Load::of(endpoint(&server)).plan;
    let bytes = plan.endpoints[0].request("POST", "/", &[], Some(b"{}"));
    plan.reuse = Reuse::PerSession;
    let mut worker = Worker::new(plan, Clock::start()).unwrap();
    let mut batch = Batch::default();
    let course = [(1, 0), (2, 0), (1, 1), (3, 0), (1, 2), (2, 1)];
    for (session, index) in course {
        let due = Due::new(RequestId(0), worker.now());
        let due = Due { turn: Some(Turn { session, index }), ..due };
        let order = Order { goes_on: session != 3, bytes: bytes.clone(), ..order() };
        send(&mut worker, due, order, &mut batch);
    }
    let heard: Vec<_> = batch.texts.iter().flat_map(|(_, text)| text.clone()).collect();
    assert_eq!(heard, b"010201");
}

#[test]
fn a_request_that_is_given_back_leaves_no_connection_behind() {
    // Where a connection carries one request, the next goes on another.
    let (gone, heard) = channel();
    let server = Server::plain(move |peer| {
        let number = peer.number;
        let mut talk = Talk::new(peer, &[]);
        let Some(stream) = talk.request() else { return };
        talk.say(|out| match number {
            0 => reset(out, stream, Code::REFUSED_STREAM),
            _ => answer(out, stream, &["one"]),
        });
        talk.peer.await_end();
        gone.send(number).unwrap();
    });
    let mut plan = Load::of(endpoint(&server)).plan;
    plan.reuse = Reuse::PerRequest;
    let bytes = plan.endpoints[0].request("POST", "/", &[], Some(b"{}"));
    let mut worker = Worker::new(plan, Clock::start()).unwrap();
    let mut batch = Batch::default();
    let due = Due::new(RequestId(0), worker.now());
    send(&mut worker, due, Order { bytes, ..order() }, &mut batch);
    assert_eq!((batch.requests[0].attempts, server.accepted()), (2, 2));
    let mut numbers = [0; 2].map(|_| heard.recv_timeout(HUNG).unwrap());
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1]);
    drop(worker);
    // Where it carries a session, the next attempt goes on the same.
    let server = Server::plain(|peer| {
        let mut talk = Talk::new(peer, &[]);
        for turn in 0.. {
            let Some(stream) = talk.request() else { return };
            talk.say(|out| match turn {
                1 => reset(out, stream, Code::REFUSED_STREAM),
                _ => answer(out, stream, &["one"]),
            });
        }
    });
    let mut plan = Load::of(endpoint(&server)).plan;
    plan.reuse = Reuse::PerSession;
    let bytes = plan.endpoints[0].request("POST", "/", &[], Some(b"{}"));
    let mut worker = Worker::new(plan, Clock::start()).unwrap();
    let mut batch = Batch::default();
    for index in 0..3 {
        let due = Due::new(RequestId(0), worker.now());
        let due = Due { turn: Some(Turn { session: 1, index }), ..due };
        let order = Order { goes_on: index < 2, bytes: bytes.clone(), ..order() };
        send(&mut worker, due, order, &mut batch);
    }
    let attempts: Vec<_> = batch.requests.iter().map(|row| row.attempts).collect();
    assert_eq!((attempts, server.accepted()), (vec![1, 2, 1], 1));
}

#[test]
fn a_connection_that_ends_severs_each_request_in_its_phase() {
    let early = || TransportFault::ClosedEarly;
    let outcome = |record: Record| record.outcome().clone();
    assert_eq!(outcome(one(|_, _| ())), severed(Phase::Headers, early()));
    let begun = one(|talk, stream| talk.say(|out| begin(out, stream)));
    assert_eq!(outcome(begun), severed(Phase::FirstToken, early()));
    let amid = one(|talk, stream| {
        talk.say(|out| {
            begin(out, stream);
            chunk(out, stream, "one");
            chunk(out, stream, "two");
            out.truncate(out.len() - 20);
        });
    });
    assert_eq!(amid.rows[0].chunks, 1);
    assert_eq!(outcome(amid), severed(Phase::Stream, early()));
    // Its last event is all that an answer needs.
    let done = one(|talk, stream| {
        talk.say(|out| {
            begin(out, stream);
            chunk(out, stream, "one");
            write_data(out, stream, &bare_tail(), Last::No);
        });
    });
    assert!(done.all_finished());
    let told = one(|talk, stream| {
        talk.say(|out| {
            begin(out, stream);
            goaway(out, stream, Code::ENHANCE_YOUR_CALM);
        });
    });
    let fault = other("the server hung up: ENHANCE_YOUR_CALM");
    assert_eq!(outcome(told), severed(Phase::FirstToken, fault));
}

#[test]
fn a_stream_that_is_reset_is_severed_with_the_reason_and_spares_the_others() {
    let server = Server::plain(|peer| {
        let mut talk = Talk::new(peer, &[]);
        for turn in 0.. {
            let Some(stream) = talk.request() else { return };
            talk.say(|out| match turn {
                0 => reset(out, stream, Code(2)),
                1 => {
                    begin(out, stream);
                    reset(out, stream, Code::CANCEL);
                }
                2 => {
                    begin(out, stream);
                    chunk(out, stream, "one");
                    reset(out, stream, Code(99));
                }
                _ => answer(out, stream, &["one"]),
            });
        }
    });
    let record = Load::of(endpoint(&server)).requests(5).run();
    let why = |name: &str| other(&format!("the server reset the stream: {name}"));
    let outcomes: Vec<_> = record.rows.iter().map(|row| row.outcome.clone()).collect();
    assert_eq!(outcomes[0], severed(Phase::Headers, why("INTERNAL_ERROR")));
    assert_eq!(outcomes[1], severed(Phase::FirstToken, why("CANCEL")));
    assert_eq!(outcomes[2], severed(Phase::Stream, why("code 99")));
    assert!(outcomes[3..].iter().all(|outcome| outcome.kind() == OutcomeKind::Finished));
    assert_eq!(server.accepted(), 1);
}

#[test]
fn what_the_server_has_not_looked_at_is_sent_again() {
    // The first connection ends before the second request, or refuses it.
    let ways: [fn(&mut Vec<u8>, u32); 2] = [
        |out, stream| goaway(out, stream - 2, Code::NO_ERROR),
        |out, stream| reset(out, stream, Code::REFUSED_STREAM),
    ];
    for (act, connections) in ways.into_iter().zip([2, 1]) {
        let server = Server::plain(move |peer| {
            let first = peer.number == 0;
            let mut talk = Talk::new(peer, &[]);
            for turn in 0.. {
                let Some(stream) = talk.request() else { return };
                talk.say(|out| {
                    if first && turn == 1 { act(out, stream) } else { answer(out, stream, &["x"]) }
                });
            }
        });
        let record = Load::of(endpoint(&server)).requests(4).run();
        assert!(record.all_finished());
        let attempts: Vec<_> = record.rows.iter().map(|row| row.attempts).collect();
        assert_eq!(attempts, [1, 2, 1, 1]);
        assert_eq!(server.accepted(), connections);
    }
    // One that is always refused is given up some time.
    let server = Server::plain(|peer| {
        let mut talk = Talk::new(peer, &[]);
        while let Some(stream) = talk.request() {
            talk.say(|out| reset(out, stream, Code::REFUSED_STREAM));
        }
    });
    for (retries, attempts) in [(0, 6), (2, 8)] {
        let mut load = Load::of(endpoint(&server));
        load.plan.retries = retries;
        let record = load.run();
        let why = other("the server reset the stream: REFUSED_STREAM");
        assert_eq!(*record.outcome(), severed(Phase::Headers, why));
        assert_eq!(record.rows[0].attempts, attempts);
    }
}

#[test]
fn what_the_server_has_begun_to_answer_is_not_sent_again() {
    // It denies what it has shown: that it looked at the request.
    let denied = one(|talk, stream| {
        talk.say(|out| {
            begin(out, stream);
            chunk(out, stream, "one");
            goaway(out, 0, Code::NO_ERROR);
        });
        talk.peer.await_end();
    });
    let why = other("the server reset the stream: NO_ERROR");
    assert_eq!(*denied.outcome(), severed(Phase::Stream, why));
    assert_eq!((denied.rows[0].attempts, denied.rows[0].chunks), (1, 1));
}

#[test]
fn all_that_meet_the_end_of_an_idle_connection_are_sent_again() {
    let server = Server::plain(|peer| {
        let first = peer.number == 0;
        let mut talk = Talk::new(peer, &[]);
        let mut requests = 0;
        while let Some(stream) = talk.request() {
            requests += 1;
            if !first || requests == 1 {
                talk.say(|out| answer(out, stream, &["one"]));
            } else if requests == 3 {
                return talk.peer.reset();
            }
        }
    });
    let batch = at_once(Load::of(endpoint(&server)).plan, &[1, 2]);
    let attempts: Vec<_> = batch.requests.iter().map(|row| row.attempts).collect();
    assert_eq!((attempts, server.accepted()), (vec![1, 2, 2], 2));
    let finished = |kind: OutcomeKind| kind == OutcomeKind::Finished;
    assert!(batch.requests.iter().all(|row| finished(row.outcome.kind())), "{batch:?}");
}

/// Sends a request to a server's root.
fn ask(worker: &mut Worker, endpoint: &Endpoint) {
    let bytes = endpoint.request("POST", "/", &[], Some(b"{}"));
    worker.send(Due::new(RequestId(0), worker.now()), Order { bytes, ..order() });
}

#[test]
fn a_connection_that_does_not_become_ready_is_given_no_more_once_a_request_expired_on_it() {
    // It is asked for TLS, and says nothing.
    let server = Server::plain(|mut peer| peer.await_end());
    let url = format!("https://{}", server.address());
    let endpoint = Endpoint::resolve(&url, &route(Roots::Unverified)).unwrap();
    let mut plan = Load::of(endpoint.clone()).plan;
    let limit = Nanos::from_millis(40);
    plan.limits.connect = limit;
    let mut worker = Worker::new(plan, Clock::start()).unwrap();
    let mut batch = Batch::default();
    ask(&mut worker, &endpoint);
    let half = worker.now() + Nanos::from_millis(20);
    while worker.now() < half {
        worker.wait(half, &mut batch);
    }
    ask(&mut worker, &endpoint);
    // The second still waits where the first has expired.
    while batch.requests.is_empty() {
        worker.wait(Stamp::NEVER, &mut batch);
    }
    ask(&mut worker, &endpoint);
    while worker.in_flight() > 0 {
        worker.wait(Stamp::NEVER, &mut batch);
    }
    let expired = Outcome::Expired { phase: Phase::Connect, limit };
    assert!(batch.requests.iter().all(|row| row.outcome == expired), "{batch:?}");
    assert_eq!((batch.requests.len(), server.accepted()), (3, 2));
}

#[test]
fn a_connection_that_falls_silent_is_left_and_closed_with_the_last_request_on_it() {
    let (gone, closed) = channel();
    let server = Server::plain(move |peer| {
        let first = peer.number == 0;
        let mut talk = Talk::new(peer, &[]);
        let mut streams = Vec::new();
        while let Some(stream) = talk.request() {
            streams.push(stream);
            if !first || streams.len() == 1 {
                talk.say(|out| answer(out, stream, &["one"]));
            }
        }
        if first {
            gone.send(streams.len()).unwrap();
        }
    });
    let endpoint = endpoint(&server);
    let mut plan = Load::of(endpoint.clone()).plan;
    let limit = Nanos::from_millis(40);
    plan.limits.first_token = Some(limit);
    let mut worker = Worker::new(plan, Clock::start()).unwrap();
    let mut batch = Batch::default();
    for _ in 0..4 {
        ask(&mut worker, &endpoint);
        while worker.in_flight() > 0 {
            worker.wait(Stamp::NEVER, &mut batch);
        }
    }
    let kinds: Vec<_> = batch.requests.iter().map(|row| row.outcome.kind()).collect();
    let (finished, expired) = (OutcomeKind::Finished, OutcomeKind::Expired);
    assert_eq!(kinds, [finished, expired, finished, finished]);
    assert_eq!((server.accepted(), closed.recv_timeout(HUNG)), (2, Ok(2)));
}

#[test]
fn a_request_that_failed_before_its_answer_is_sent_again_as_often_as_the_user_wishes() {
    let ways: [fn(&mut Talk, u32) -> bool; 2] = [
        |talk, stream| {
            talk.say(|out| reset(out, stream, Code(2)));
            true
        },
        |_, _| false,
    ];
    for (fail, connections) in ways.into_iter().zip([1, 2]) {
        for retries in [0, 1] {
            let server = Server::plain(move |peer| {
                let mut fails = peer.number == 0;
                let mut talk = Talk::new(peer, &[]);
                while let Some(stream) = talk.request() {
                    if !std::mem::take(&mut fails) {
                        talk.say(|out| answer(out, stream, &["one"]));
                    } else if !fail(&mut talk, stream) {
                        return;
                    }
                }
            });
            let mut load = Load::of(endpoint(&server));
            load.plan.retries = retries;
            let record = load.run();
            assert_eq!(
                (record.all_finished(), record.rows[0].attempts),
                (retries == 1, retries + 1)
            );
            assert_eq!(server.accepted(), if retries == 1 { connections } else { 1 });
        }
    }
}

#[test]
fn a_stream_that_goes_on_while_the_server_leaves_is_answered() {
    let server = Server::plain(|peer| {
        let mut talk = Talk::new(peer, &[]);
        let Some(stream) = talk.request() else { return };
        talk.say(|out| {
            begin(out, stream);
            chunk(out, stream, "one");
            goaway(out, stream, Code::NO_ERROR);
        });
        talk.say(|out| chunk(out, stream, " two"));
        talk.say(|out| end(out, stream));
        talk.peer.await_end();
    });
    let record = Load::of(endpoint(&server)).requests(3).run();
    assert!(record.all_finished());
    assert_eq!((record.text(2), server.accepted()), ("one two", 3));
}

#[test]
fn what_breaks_http_2_is_garbled() {
    let frames = Outcome::Garbled { fault: DecodeFault::Frames };
    let ways: [fn(&mut Vec<u8>, u32); 4] = [
        |out, stream| write_data(out, stream, b"body before head", Last::No),
        |out, stream| {
            start_response(out, stream, 200, &[("content-length", "3")], Last::No);
            write_data(out, stream, b"four", Last::Yes);
        },
        |out, _| push_frame(out, Kind::PushPromise, 0, 1, &[0; 4]),
        |out, _| out.extend_from_slice(b"garbage that is no frame at all"),
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let record = one(move |talk, stream| {
            talk.say(|out| way(out, stream));
            talk.peer.await_end();
        });
        assert_eq!(*record.outcome(), frames, "way {number}");
    }
    // A server of HTTP/1.1 says so, but not in frames.
    let mut said = Vec::new();
    write_response(&mut said, 400, &[], b"no");
    let server = Server::plain(move |mut peer| {
        peer.say(&said);
        peer.await_end();
    });
    assert_eq!(*Load::of(endpoint(&server)).run().outcome(), frames);
}

#[test]
fn refusals_errors_and_pages_are_what_they_are_over_http_1() {
    let refused = one(|talk, stream| {
        let json = [("content-type", "application/json")];
        talk.say(|out| {
            start_response(out, stream, 103, &[], Last::No);
            start_response(out, stream, 429, &json, Last::No);
            write_data(out, stream, br#"{"error":{"message":"slow down"}}"#, Last::Yes);
        });
        talk.peer.await_end();
    });
    let Outcome::Refused { status: 429, message } = refused.outcome() else { panic!() };
    assert_eq!(message.as_str(), "slow down");
    // Of what has an outcome before its end, no more is wanted.
    for (content, body, kind) in [
        ("text/html", "<html>", OutcomeKind::Garbled),
        ("text/event-stream", "event: error\ndata: {\"message\":\"x\"}\n\n", OutcomeKind::Errored),
        ("text/event-stream", "data: {}}\n\n", OutcomeKind::Garbled),
    ] {
        let record = one(move |talk, stream| {
            talk.say(|out| {
                start_response(out, stream, 200, &[("content-type", content)], Last::No);
                write_data(out, stream, body.as_bytes(), Last::No);
            });
            assert_eq!(talk.request(), None);
            assert_eq!(talk.cancelled, [stream]);
        });
        assert_eq!(record.outcome().kind(), kind, "{body}");
    }
}

#[test]
fn a_request_that_expires_costs_the_others_nothing() {
    let server = Server::plain(|peer| {
        let mut talk = Talk::new(peer, &[]);
        let (Some(mute), Some(spoken)) = (talk.request(), talk.request()) else { return };
        talk.say(|out| {
            begin(out, spoken);
            chunk(out, spoken, "one");
        });
        // The second is answered once the first is given up.
        while talk.cancelled.is_empty() {
            let Some(frame) = talk.frame() else { return };
            if frame.kind == Kind::RstStream {
                talk.cancelled.push(frame.stream);
            }
        }
        assert_eq!(talk.cancelled, [mute]);
        talk.say(|out| end(out, spoken));
        talk.peer.await_end();
    });
    let limit = Nanos::from_millis(40);
    let mut plan = Load::of(endpoint(&server)).plan;
    plan.limits.first_token = Some(limit);
    let batch = at_once(plan, &[2]);
    let expired = Outcome::Expired { phase: Phase::Headers, limit };
    assert_eq!(batch.requests[0].outcome, expired);
    assert_eq!(batch.requests[1].outcome.kind(), OutcomeKind::Finished);
    assert_eq!(server.accepted(), 1);
}

#[test]
fn a_large_request_goes_as_far_as_the_server_lets_it_and_may_be_answered_early() {
    const SIZE: usize = 4 << 20;
    let server = Server::plain(|peer| {
        let mut talk = Talk::new(peer, &[(4, 100_000), (5, 30_000)]);
        let mut size = 0;
        while let Some(frame) = talk.frame() {
            let Frame { kind: Kind::Data, stream, length, .. } = frame else { continue };
            size += length;
            if frame.has(flag::END_STREAM) {
                assert_eq!(size, SIZE);
                talk.say(|out| answer(out, stream, &["one"]));
            } else {
                let more = (length as u32).to_be_bytes();
                talk.say(|out| push_frame(out, Kind::WindowUpdate, 0, stream, &more));
            }
        }
    });
    let record = Load::of(endpoint(&server)).body(SIZE).run();
    assert!(record.all_finished(), "{:?}", record.rows);
    // One that has heard enough lets the rest unsent.
    let server = Server::plain(|peer| {
        let mut talk = Talk::new(peer, &[(4, 1000)]);
        while let Some(frame) = talk.frame() {
            if frame.kind == Kind::Headers {
                talk.say(|out| start_response(out, frame.stream, 413, &[], Last::Yes));
            }
        }
    });
    let record = Load::of(endpoint(&server)).body(SIZE).requests(2).run();
    for row in &record.rows {
        assert!(matches!(row.outcome, Outcome::Refused { status: 413, .. }), "{row:?}");
        assert_eq!(row.sent, None);
    }
    assert_eq!(server.accepted(), 1);
}

/// Has a server agree to these protocols.
fn agreeing(config: Arc<ServerConfig>, protocols: &[&str]) -> Arc<ServerConfig> {
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

#[test]
fn over_tls_both_sides_must_agree_to_http_2() {
    let authority = Authority::new();
    let to = |server: &Server| {
        let url = format!("https://{}", server.address());
        Endpoint::resolve(&url, &route(authority.roots())).unwrap()
    };
    for version in [&TLS12, &TLS13] {
        let config = agreeing(authority.certify("127.0.0.1", &[version], |_| {}), &["h2"]);
        let server = Server::secure(config, answering(&["one", " two"]));
        let record = Load::of(to(&server)).requests(20).slots(4).run();
        assert!(record.all_finished());
        assert_eq!((record.text(19), server.accepted()), ("one two", 1));
        let connect = record.rows[0].connect.unwrap();
        assert!(connect.tls > Nanos::ZERO && connect.tcp > Nanos::ZERO);
        let response = call(&to(&server), "GET", "/", &[], None, LONG).unwrap();
        assert_eq!(response.status, 200);
    }
    for protocols in [&[][..], &["http/1.1"]] {
        let config = agreeing(authority.certify("127.0.0.1", &[&TLS13], |_| {}), protocols);
        let server = Server::secure(config, always(streamed(&["one"])));
        let record = Load::of(to(&server)).run();
        let Outcome::Severed { phase: Phase::Connect, fault: TransportFault::Tls(_) } =
            record.outcome()
        else {
            panic!("{:?}", record.rows)
        };
        let error = call(&to(&server), "GET", "/", &[], None, LONG).unwrap_err();
        let asked = HttpVersion::Http2;
        assert!(matches!(error, CallError::Version { asked: a, .. } if a == asked), "{error:?}");
    }
}

#[test]
fn calls_are_the_same_over_http_2() {
    let server = Server::plain(|peer| {
        let mut talk = Talk::new(peer, &[]);
        while let Some(stream) = talk.request() {
            talk.say(|out| {
                let headers = [("content-type", "application/json"), ("date", "today")];
                start_response(out, stream, 200, &headers, Last::No);
                write_data(out, stream, b"{\"data\":", Last::No);
                write_data(out, stream, b"[]}", Last::Yes);
            });
        }
    });
    let response = call(&endpoint(&server), "GET", "/v1/models", &[], None, LONG).unwrap();
    assert_eq!((response.status, response.body), (200, b"{\"data\":[]}".to_vec()));
    assert_eq!(response.date.as_deref(), Some("today"));
    let server = Server::plain(answering(&["one", " two"]));
    let endpoint = endpoint(&server);
    let request = endpoint.request("POST", "/", &[], Some(b"{}"));
    let seen = probe(&endpoint, &request, Api::Chat, Delivery::Streamed, LONG).unwrap();
    assert_eq!((seen.outcome.kind(), seen.chunks), (OutcomeKind::Finished, 2));
    assert_eq!(seen.usage.unwrap().completion_tokens, 3);
}

#[test]
fn a_call_says_which_version_the_server_does_not_speak() {
    let mut said = Vec::new();
    write_response(&mut said, 400, &[], b"no");
    let one = Server::plain(move |mut peer| {
        peer.say(&said);
        peer.await_end();
    });
    let two = Server::plain(|peer| Talk::new(peer, &[]).peer.await_end());
    let cases = [(endpoint(&one), HttpVersion::Http2), (two.endpoint(), HttpVersion::Http1)];
    for (endpoint, expected) in cases {
        let error = call(&endpoint, "GET", "/", &[], None, LONG).unwrap_err();
        let CallError::Version { asked, .. } = error else { panic!("{error:?}") };
        assert_eq!(asked, expected);
    }
    let reset = Server::plain(|peer| {
        let mut talk = Talk::new(peer, &[]);
        let Some(stream) = talk.request() else { return };
        talk.say(|out| reset(out, stream, Code(2)));
        talk.peer.await_end();
    });
    let error = call(&endpoint(&reset), "GET", "/", &[], None, LONG).unwrap_err();
    let CallError::Severed { source } = error else { panic!("{error:?}") };
    assert_eq!(source.to_string(), "the server reset the stream: INTERNAL_ERROR");
}

#[test]
fn without_tls_http_2_goes_through_no_proxy() {
    let proxies = Proxies::named("http://127.0.0.1:9", "--proxy").unwrap();
    let route = Route { proxies, ..route(Roots::Unverified) };
    let error = Endpoint::resolve("http://h.example", &route).unwrap_err();
    assert!(matches!(error, EndpointError::PlainHttp2 { .. }), "{error:?}");
}

#[test]
fn what_is_in_flight_when_the_load_is_stopped_ends_as_it_should() {
    let (seen, heard) = channel();
    let server = Server::plain(move |peer| {
        let mut talk = Talk::new(peer, &[]);
        let Some(stream) = talk.request() else { return };
        talk.say(|out| {
            begin(out, stream);
            chunk(out, stream, "one");
        });
        seen.send(()).unwrap();
        talk.peer.await_end();
    });
    let mut worker = Worker::new(Load::of(endpoint(&server)).plan, Clock::start()).unwrap();
    let bytes = endpoint(&server).request("POST", "/", &[], Some(b"{}"));
    let mut batch = Batch::default();
    worker.send(Due::new(RequestId(0), worker.now()), Order { bytes, ..order() });
    while batch.chunks.is_empty() {
        worker.wait(Stamp::NEVER, &mut batch);
    }
    heard.recv().unwrap();
    worker.close(&mut |_, phase| severed(phase, TransportFault::Reset), &mut batch);
    assert_eq!(batch.requests[0].outcome, severed(Phase::Stream, TransportFault::Reset));
    assert_eq!(worker.in_flight(), 0);
}
