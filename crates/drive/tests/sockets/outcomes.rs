//! Every way in which a request can end.

use std::net::TcpListener;
use std::sync::mpsc::sync_channel;

use infermark_drive::{Batch, Capture, Clock, Endpoint, Roots, Route, Stop, Worker};
use infermark_terms::{
    DecodeFault, FinishReason, Nanos, Outcome, Phase, RequestRow, TransportFault, Turn,
};
use infermark_terms::{OutcomeKind, ShedReason};

use crate::load::{Load, Record, ask};
use crate::server::{
    Peer, Server, always, event, framed, head, once, refusal, shut, streamed, tail, whole,
};

/// A body that no pair of socket buffers holds.
const HUGE: usize = 24 << 20;

/// Runs one request against a script.
fn one(script: impl Fn(Peer) + Send + Sync + 'static) -> Record {
    Load::of(Server::plain(script).endpoint()).run()
}

fn severed(phase: Phase, fault: TransportFault) -> Outcome {
    Outcome::Severed { phase, fault }
}

#[test]
fn a_streamed_answer_finishes_with_its_chunks_and_text() {
    let record = one(once(streamed(&["one", " two", " three"])));
    assert_eq!(*record.outcome(), Outcome::Finished { reason: FinishReason::Length });
    let row = &record.rows[0];
    assert_eq!((row.chunks, row.usage.unwrap().completion_tokens), (3, 3));
    assert_eq!((row.asked_input, row.asked_output), (Some(9), Some(3)));
    assert_eq!((row.events.empty, row.events.usage_only), (1, 1));
    assert!(row.first_answer == row.first_token && row.connect.is_some());
    assert_eq!(row.bytes, streamed(&["one", " two", " three"]).len() as u64);
    assert_eq!(record.text(0), "one two three");
    let lengths: Vec<_> = record.chunks.iter().map(|chunk| chunk.text_bytes).collect();
    assert_eq!(lengths, [3, 4, 6]);
}

#[test]
fn reasoning_is_captured_and_is_no_answer() {
    let thought = br#"data: {"choices":[{"index":0,"delta":{"reasoning_content":"h\u00e4"}}]}"#;
    let mut said = head();
    said.extend(framed(&[&thought[..], b"\n\n"].concat()));
    let thinking = Server::plain(once([&said[..], &tail()].concat()));
    let record = Load::of(thinking.endpoint()).run();
    assert_eq!((record.text(0), record.rows[0].chunks), ("hä", 1));
    assert_eq!(record.rows[0].first_answer, None);
    said.extend(event(", so"));
    let record = one(once([&said[..], &tail()].concat()));
    assert_eq!((record.text(0), record.rows[0].chunks), ("hä, so", 2));
    assert!(record.rows[0].first_answer.is_some());
}

#[test]
fn a_whole_answer_finishes_without_a_chunk() {
    let server = Server::plain(always(whole("all at once")));
    let record = Load::of(server.endpoint()).whole().run();
    assert_eq!(*record.outcome(), Outcome::Finished { reason: FinishReason::Stop });
    assert_eq!((record.rows[0].chunks, record.rows[0].first_token), (0, None));
    assert_eq!(record.rows[0].usage.unwrap().prompt_tokens, 5);
    assert_eq!(record.text(0), "all at once");
}

#[test]
fn the_answer_to_a_turn_is_kept_for_the_next_without_its_reasoning() {
    let delta = br#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}"#;
    let thought = framed(&[b"data: ", &delta[..], b"\n\n"].concat());
    let said = [head(), thought, event("the "), event("answer"), tail()].concat();
    for (answer, expected) in [(said, "the answer"), (refusal(429, "slow down"), "")] {
        let server = Server::plain(always(answer));
        let mut plan = Load::of(server.endpoint()).plan;
        plan.capture = Capture::Answer;
        let mut worker = Worker::new(plan, Clock::start()).unwrap();
        let mut batch = Batch::default();
        let turn = Turn { session: 4, index: 1 };
        ask(&mut worker, Some(turn), &mut batch);
        ask(&mut worker, None, &mut batch);
        let answers: Vec<_> = (!expected.is_empty())
            .then(|| (turn, expected.as_bytes().to_vec()))
            .into_iter()
            .collect();
        assert_eq!((&batch.answers, &batch.texts), (&answers, &Vec::new()));
        assert_eq!((batch.requests[0].turn, batch.requests[1].turn), (Some(turn), None));
    }
}

#[test]
fn texts_are_kept_only_where_they_are_wanted() {
    for (said, whole) in [(streamed(&["text"]), false), (whole("text"), true)] {
        let server = Server::plain(always(said));
        let mut load = Load::of(server.endpoint());
        load.plan.capture = Capture::Nothing;
        let record = if whole { load.whole().run() } else { load.run() };
        assert!(record.all_finished() && record.texts.is_empty());
    }
}

#[test]
fn refusals_say_why_and_keep_the_connection() {
    const STATUSES: [u16; 5] = [401, 404, 429, 503, 500];
    let server = Server::plain(|mut peer| {
        for status in STATUSES {
            if peer.request().is_some() {
                peer.say(&refusal(status, "no"));
            }
        }
        always(streamed(&["yes"]))(peer);
    });
    let record = Load::of(server.endpoint()).requests(6).run();
    for (row, status) in record.rows.iter().zip(STATUSES) {
        let Outcome::Refused { status: given, message } = &row.outcome else { panic!("{row:?}") };
        assert_eq!((*given, message.as_str()), (status, "no"));
    }
    assert_eq!(record.rows[5].outcome.kind(), OutcomeKind::Finished);
    assert_eq!(server.accepted(), 1);
    assert!(record.rows[1..].iter().all(|row| row.connect.is_none()));
}

#[test]
fn a_port_where_nobody_listens_is_severed_at_once() {
    let (_taken, address) = shut();
    let endpoint =
        Endpoint::resolve(&format!("http://{address}"), &Route::of(Roots::Unverified)).unwrap();
    let record = Load::of(endpoint).run();
    let refused = severed(Phase::Connect, TransportFault::ConnectionRefused);
    assert_eq!(*record.outcome(), refused);
    assert_eq!((record.rows[0].connected, record.rows[0].asked_output), (None, Some(3)));
}

#[test]
fn a_connection_that_closes_early_is_severed_in_its_phase() {
    let after = |said: Vec<u8>| one(once(said)).rows.remove(0);
    let early = TransportFault::ClosedEarly;
    assert_eq!(after(Vec::new()).outcome, severed(Phase::Headers, early.clone()));
    assert_eq!(after(b"HTT".to_vec()).outcome, severed(Phase::FirstToken, early.clone()));
    assert_eq!(after(head()).outcome, severed(Phase::FirstToken, early.clone()));
    let some = [head(), event("one"), event("two")].concat();
    assert_eq!(after(some).outcome, severed(Phase::Stream, early.clone()));
    let cut: RequestRow = after([head(), event("one"), event("two")[..30].to_vec()].concat());
    assert_eq!((cut.outcome, cut.chunks), (severed(Phase::Stream, early), 1));
}

#[test]
fn a_connection_that_is_reset_is_severed_in_its_phase() {
    let after = |said: Vec<u8>| {
        let record = one(move |mut peer: Peer| {
            if peer.request().is_some() {
                peer.say(&said);
                peer.reset();
            }
        });
        record.rows[0].outcome.clone()
    };
    let reset = TransportFault::Reset;
    assert_eq!(after(Vec::new()), severed(Phase::Headers, reset.clone()));
    assert_eq!(after(head()), severed(Phase::FirstToken, reset.clone()));
    assert_eq!(after([head(), event("one")].concat()), severed(Phase::Stream, reset));
}

#[test]
fn a_reset_while_the_request_is_written_is_severed_there() {
    let server = Server::plain(|mut peer| {
        let _some = peer.read(&mut [0]);
        peer.reset();
    });
    let record = Load::of(server.endpoint()).body(HUGE).run();
    assert_eq!(*record.outcome(), severed(Phase::Send, TransportFault::Reset));
    assert_eq!(record.rows[0].sent, None);
}

#[test]
fn a_refusal_of_a_request_that_is_only_half_read_is_heard() {
    let server = Server::plain(|mut peer| {
        let _some = peer.read(&mut [0]);
        peer.say(&refusal(413, "too large"));
        // What was not read makes the kernel reset the connection.
    });
    let record = Load::of(server.endpoint()).body(HUGE).requests(3).run();
    for row in &record.rows {
        assert!(matches!(row.outcome, Outcome::Refused { status: 413, .. }), "{row:?}");
    }
    assert_eq!(server.accepted(), 3);
}

#[test]
fn an_answer_that_begins_before_the_request_has_gone_keeps_its_order() {
    let server = Server::plain(|mut peer| {
        let mut some = [0; 1];
        let _some = peer.read(&mut some);
        peer.say(&[head(), event("one")].concat());
        // The rest of the request.
        let mut left = HUGE;
        let mut buffer = vec![0; 1 << 20];
        while left > 0 {
            left = left.saturating_sub(peer.read(&mut buffer).max(1));
        }
        peer.say(&[event("two"), tail()].concat());
        peer.await_end();
    });
    let record = Load::of(server.endpoint()).body(HUGE).run();
    assert_eq!(record.text(0), "onetwo");
    assert!(record.all_finished() && record.rows[0].sent.is_some());
}

#[test]
fn what_is_no_answer_is_garbled() {
    let html = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>";
    let excess = [streamed(&["one"]), b"HTTP/1.1 200 OK\r\n".to_vec()].concat();
    let cases = [
        (DecodeFault::Head, b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec()),
        (DecodeFault::ContentType, html.to_vec()),
        (DecodeFault::Framing, [head(), event("one"), b"xyz\r\n".to_vec()].concat()),
        (DecodeFault::Json, [head(), framed(b"data: {\"choices\":[}\n\n")].concat()),
        (DecodeFault::Shape, [head(), framed(b"data: {\"model\":\"m\"}\n\n")].concat()),
        (DecodeFault::EventStream, [head(), framed(&vec![b'x'; 2 << 20])].concat()),
        (DecodeFault::Excess, excess),
    ];
    for (fault, said) in cases {
        assert_eq!(*one(once(said)).outcome(), Outcome::Garbled { fault }, "{fault:?}");
    }
}

#[test]
fn an_error_inside_a_stream_is_errored_and_costs_the_connection() {
    let server = Server::plain(|mut peer| {
        if peer.number > 0 {
            return always(streamed(&["yes"]))(peer);
        }
        if peer.request().is_some() {
            peer.say(&[head(), event("one")].concat());
            peer.say(&framed(b"data: {\"error\":{\"message\":\"engine died\"}}\n\n"));
            peer.await_end();
        }
    });
    let record = Load::of(server.endpoint()).requests(2).run();
    let Outcome::Errored { message } = &record.rows[0].outcome else { panic!() };
    assert_eq!((message.as_str(), record.rows[0].chunks), ("engine died", 1));
    assert_eq!(record.rows[1].outcome.kind(), OutcomeKind::Finished);
    assert_eq!(server.accepted(), 2);
}

/// Asserts that a request expires in this phase. A machine that is busy elsewhere may need a
/// longer limit to get that far at all.
fn expires(phase: Phase, run: impl Fn(Nanos) -> Record) {
    for limit in [20, 200, 2_000, 20_000].map(Nanos::from_millis) {
        let record = run(limit);
        let Outcome::Expired { phase: reached, limit: given } = *record.outcome() else {
            panic!("{:?}", record.rows);
        };
        assert!(given == limit && reached <= phase, "{reached:?}");
        if reached == phase {
            return;
        }
    }
    panic!("no limit was long enough");
}

#[test]
fn a_server_that_goes_silent_makes_the_request_expire_in_its_phase() {
    let silent = |said: Vec<u8>| {
        Server::plain(move |mut peer: Peer| {
            if peer.request().is_some() {
                peer.say(&said);
                peer.await_end();
            }
        })
    };
    let cases = [
        (Phase::Headers, Vec::new()),
        (Phase::FirstToken, head()),
        (Phase::Stream, [head(), event("one")].concat()),
    ];
    for (phase, said) in cases {
        let server = silent(said);
        expires(phase, |limit| Load::of(server.endpoint()).timeout(limit).run());
    }
    // It accepts and never reads.
    let (hold, _unread) = sync_channel::<Peer>(16);
    let server = Server::plain(move |peer| hold.send(peer).unwrap());
    expires(Phase::Send, |limit| Load::of(server.endpoint()).body(HUGE).timeout(limit).run());
}

#[test]
fn each_stage_has_a_limit_of_its_own_that_no_longer_counts_in_the_next() {
    let cases = [
        (Phase::Headers, 1, Vec::new()),
        (Phase::FirstToken, 2, head()),
        (Phase::Stream, 3, [head(), event("one")].concat()),
    ];
    for (phase, share, said) in cases {
        let server = Server::plain(move |mut peer: Peer| {
            if peer.request().is_some() {
                peer.say(&said);
                peer.await_end();
            }
        });
        let ended = |unit: Nanos| {
            let mut load = Load::of(server.endpoint());
            let limits = &mut load.plan.limits;
            limits.header = Some(unit);
            limits.first_token = Some(Nanos(2 * unit.0));
            limits.idle = Some(Nanos(3 * unit.0));
            let record = load.run();
            let Outcome::Expired { phase, limit } = *record.outcome() else {
                panic!("{:?}", record.rows);
            };
            (phase, limit.0 / unit.0)
        };
        // A machine that is busy elsewhere may need longer limits to get that far at all.
        let mut units = [20, 200, 2_000].map(Nanos::from_millis).into_iter();
        assert!(units.any(|unit| ended(unit) == (phase, share)), "{phase:?}");
    }
}

#[test]
fn a_server_that_accepts_nobody_makes_the_request_expire_while_connecting() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // One connection that nobody accepts fills the queue; the kernel then ignores others.
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let _filling = std::net::TcpStream::connect(address).unwrap();
    let endpoint =
        Endpoint::resolve(&format!("http://{address}"), &Route::of(Roots::Unverified)).unwrap();
    expires(Phase::Connect, |limit| Load::of(endpoint.clone()).connect_timeout(limit).run());
}

#[test]
fn an_abort_abandons_what_is_in_flight() {
    let stop = Stop::default();
    let aborting = stop.clone();
    let server = Server::plain(move |mut peer: Peer| {
        if peer.request().is_some() {
            peer.say(&[head(), event("one")].concat());
            aborting.abort();
            peer.await_end();
        }
    });
    let record = Load { stop, ..Load::of(server.endpoint()) }.run();
    assert_eq!(*record.outcome(), Outcome::Abandoned);
    assert!(record.rows[0].sent.is_some());
}

#[test]
fn a_drain_lets_what_is_in_flight_end() {
    let stop = Stop::default();
    let draining = stop.clone();
    let server = Server::plain(move |mut peer: Peer| {
        while peer.request().is_some() {
            draining.drain();
            peer.say(&streamed(&["one"]));
        }
    });
    let load = Load { stop, ..Load::of(server.endpoint()).requests(1_000_000) };
    let shared = infermark_drive::Shared::new(1, load.stop.clone());
    let record = load.run_shard(infermark_drive::Clock::start(), &shared, 1);
    // One more may have left before the wish was heard.
    assert!(record.all_finished() && (1..=2).contains(&record.rows.len()));
}

#[test]
fn an_order_that_never_came_is_shed() {
    let stop = Stop::default();
    let aborting = stop.clone();
    let server = Server::plain(move |mut peer: Peer| {
        while peer.request().is_some() {
            peer.say(&streamed(&["one"]));
            // The client has read the answer and asks for nothing more.
            aborting.abort();
        }
    });
    let (_permit, permits) = sync_channel(1);
    let load = Load { stop, permits: Some(permits), ..Load::of(server.endpoint()).slots(2) };
    let record = load.requests(2).run();
    assert_eq!(record.rows[1].outcome, Outcome::Shed { reason: ShedReason::Late });
}
