//! Connections: kept, reused, replaced, and as many as the load asks for.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Barrier, Mutex};

use infermark_drive::{Batch, Clock, Reuse, Worker};
use infermark_terms::{Nanos, Outcome, OutcomeKind, Phase, Turn};

use crate::load::{Load, converse, exchange};
use crate::server::{Peer, Server, always, once, streamed, whole};

#[test]
fn a_worker_knows_what_its_thread_did() {
    let server = Server::plain(always(streamed(&["one", "two"])));
    let record = Load::of(server.endpoint()).requests(20).slots(2).run();
    let effort = record.effort.unwrap();
    assert!((1..=2).contains(&effort.connections));
    assert_eq!(effort.opened, u64::from(effort.connections));
    assert!(effort.reads >= 20 && effort.waits > 0);
    assert!(effort.cpu > Nanos::ZERO && effort.spun < effort.wall);
}

#[test]
fn a_slot_uses_its_connection_again_and_again() {
    let server = Server::plain(always(streamed(&["one", "two"])));
    let record = Load::of(server.endpoint()).requests(50).run();
    assert!(record.all_finished());
    assert_eq!(server.accepted(), 1);
    assert!(record.rows[0].connect.is_some());
    assert!(record.rows[1..].iter().all(|row| row.connect.is_none() && row.connected.is_some()));
}

#[test]
fn slots_share_no_connection_and_open_no_more_than_they_need() {
    let server = Server::plain(always(streamed(&["one"])));
    let record = Load::of(server.endpoint()).requests(200).slots(7).run();
    assert!(record.all_finished());
    assert!((1..=7).contains(&server.accepted()));
}

#[test]
fn hundreds_of_requests_are_open_at_once() {
    const OPEN: usize = 300;
    let all_are_there = Arc::new(Barrier::new(OPEN));
    let server = Server::plain(move |mut peer: Peer| {
        if peer.request().is_some() {
            // No answer before every request has come.
            let _: std::sync::BarrierWaitResult = all_are_there.wait();
            peer.say(&streamed(&["together"]));
            peer.await_end();
        }
    });
    let record = Load::of(server.endpoint()).requests(OPEN as u64).slots(OPEN).run();
    assert!(record.all_finished());
    assert_eq!(server.accepted(), OPEN);
}

#[test]
fn a_server_that_says_close_gets_a_new_connection_each_time() {
    let close = |response: Vec<u8>| {
        let text = String::from_utf8(response).unwrap();
        text.replacen("\r\n", "\r\nConnection: close\r\n", 1).into_bytes()
    };
    let server = Server::plain(once(close(streamed(&["one"]))));
    let record = Load::of(server.endpoint()).requests(5).run();
    assert!(record.all_finished());
    assert_eq!(server.accepted(), 5);
    let server = Server::plain(once(close(whole("one"))));
    assert!(Load::of(server.endpoint()).whole().requests(5).run().all_finished());
    assert_eq!(server.accepted(), 5);
}

#[test]
fn each_request_has_a_connection_of_its_own_if_it_is_to() {
    let server = Server::plain(always(streamed(&["one"])));
    let mut load = Load::of(server.endpoint()).requests(20).slots(3);
    load.plan.reuse = Reuse::PerRequest;
    let record = load.run();
    assert!(record.all_finished());
    assert_eq!(server.accepted(), 20);
    assert!(record.rows.iter().all(|row| row.connect.is_some()));
    assert!(record.effort.unwrap().connections <= 3);
}

#[test]
fn a_session_has_a_connection_of_its_own_from_its_first_turn_to_its_last() {
    // Each answer is the number of its connection; the fourth loses patience after one.
    let server = Server::plain(|mut peer: Peer| {
        let number = peer.number;
        while peer.request().is_some() {
            peer.say(&streamed(&[&number.to_string()]));
            if number == 3 {
                return;
            }
        }
    });
    let mut plan = Load::of(server.endpoint()).plan;
    plan.reuse = Reuse::PerSession;
    let mut worker = Worker::new(plan, Clock::start()).unwrap();
    let mut batch = Batch::default();
    let course =
        [(1, 0, "0"), (2, 0, "1"), (1, 1, "0"), (2, 1, "1"), (1, 2, "0"), (3, 0, "2"), (4, 0, "3")];
    for (session, index, _) in course {
        let turns = if session == 3 { 1 } else { 3 };
        converse(&mut worker, Turn { session, index }, turns, &mut batch);
    }
    // The fourth session goes on elsewhere, and no session had another's connection.
    converse(&mut worker, Turn { session: 4, index: 1 }, 3, &mut batch);
    let heard: Vec<_> = batch.texts.iter().map(|(_, text)| text.as_slice()).collect();
    let expected = course.iter().map(|(.., number)| number.as_bytes()).chain([&b"4"[..]]);
    assert_eq!(heard, expected.collect::<Vec<_>>());
    assert_eq!(server.accepted(), 5);
}

#[test]
fn sessions_take_turns_at_a_servers_addresses() {
    let servers = [0; 2].map(|_| Server::plain(always(streamed(&["one"]))));
    let addresses: Vec<_> = servers.iter().map(Server::address).collect();
    let mut plan = Load::of(servers[0].endpoint().at(addresses.clone())).plan;
    plan.reuse = Reuse::PerSession;
    let mut worker = Worker::new(plan, Clock::start()).unwrap();
    let mut batch = Batch::default();
    // A turn on its session's own connection takes no turn at the addresses.
    for (session, index) in [(0, 0), (0, 1), (1, 0), (0, 2), (2, 0), (1, 1), (3, 0)] {
        converse(&mut worker, Turn { session, index }, 3, &mut batch);
    }
    let first = |session| {
        let mut rows = batch.requests.iter();
        rows.find(|row| row.turn.unwrap().session == session).unwrap().address.unwrap()
    };
    let [a, b] = [addresses[0], addresses[1]];
    assert_eq!([0, 1, 2, 3].map(first), [a, b, a, b]);
    for row in &batch.requests {
        assert_eq!(row.address, Some(first(row.turn.unwrap().session)));
    }
    assert_eq!(servers.map(|server| server.accepted()), [2, 2]);
}

#[test]
fn a_body_that_only_the_close_ends_is_complete() {
    let body = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"}}]}\n\n";
    let said = format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{body}");
    let server = Server::plain(once(format!("{said}data: [DONE]\n\n")));
    let record = Load::of(server.endpoint()).requests(3).run();
    assert!(record.all_finished());
    assert_eq!((server.accepted(), record.text(2)), (3, "one"));
}

#[test]
fn an_answer_is_complete_at_its_done_even_if_the_body_never_ends() {
    let whole = streamed(&["one"]);
    let unended = whole.strip_suffix(b"0\r\n\r\n").unwrap().to_vec();
    let server = Server::plain(move |mut peer: Peer| {
        if peer.request().is_some() {
            peer.say(&unended);
            peer.await_end();
        }
    });
    let record = Load::of(server.endpoint()).requests(2).run();
    assert!(record.all_finished());
    assert!(record.rows.iter().all(|row| row.last_token <= Some(row.end)));
    assert_eq!(server.accepted(), 2);
}

/// A script that reads a request, answers, closes its side, and lets the next request go once
/// the client has closed the other.
fn closing(permit: SyncSender<()>) -> impl Fn(Peer) + Send + Sync + 'static {
    let permit = Mutex::new(permit);
    move |mut peer| {
        if peer.request().is_some() {
            peer.say(&streamed(&["one"]));
            peer.finish();
            permit.lock().unwrap().send(()).unwrap();
        }
    }
}

#[test]
fn a_connection_that_the_server_closed_while_idle_costs_no_request() {
    let (permit, permits): (_, Receiver<()>) = sync_channel(16);
    let server = Server::plain(closing(permit));
    let load = Load { permits: Some(permits), ..Load::of(server.endpoint()).requests(5) };
    let record = load.run();
    assert!(record.all_finished());
    assert_eq!(server.accepted(), 5);
}

/// Returns what the kernel knows of the client's end of a connection: its state, and whether
/// something is to be read.
fn client_end(client: SocketAddr, server: SocketAddr) -> Option<(String, bool)> {
    let ends = [client, server].map(|address| format!("0100007F:{:04X}", address.port()));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let found = fields.into_iter().find(|fields| fields[1..3] == ends)?;
    let (_, unread) = found[4].split_once(':').unwrap();
    Some((found[3].to_owned(), unread.bytes().any(|digit| digit != b'0')))
}

#[test]
fn an_idle_connection_that_ended_or_spoke_since_it_was_last_looked_at_is_replaced() {
    const CLOSE_WAIT: &str = "08";
    type Act = fn(Peer);
    type Seen = fn(Option<(String, bool)>) -> bool;
    let cases: [(Act, Seen); 3] = [
        (|peer| peer.finish(), |end| end.is_some_and(|(state, _)| state == CLOSE_WAIT)),
        (|peer| peer.reset(), |end| end.is_none()),
        (
            |mut peer| {
                peer.say(b"HTTP/1.1 408 Request Timeout\r\n\r\n");
                peer.await_end();
            },
            |end| end.is_some_and(|(_, unread)| unread),
        ),
    ];
    for (act, seen) in cases {
        let (found, clients) = sync_channel(1);
        let (go, going) = sync_channel(1);
        let going = Mutex::new(going);
        let server = Server::plain(move |mut peer: Peer| {
            if peer.number > 0 {
                return always(streamed(&["two"]))(peer);
            }
            if peer.request().is_some() {
                found.send(peer.client()).unwrap();
                peer.say(&streamed(&["one"]));
                going.lock().unwrap().recv().unwrap();
                act(peer);
            }
        });
        let mut worker = Worker::new(Load::of(server.endpoint()).plan, Clock::start()).unwrap();
        let mut batch = Batch::default();
        exchange(&mut worker, 0, &mut batch);
        go.send(()).unwrap();
        let client = clients.recv().unwrap();
        while !seen(client_end(client, server.address())) {}
        exchange(&mut worker, 1, &mut batch);
        let kinds: Vec<_> = batch.requests.iter().map(|row| row.outcome.kind()).collect();
        assert_eq!(kinds, [OutcomeKind::Finished; 2]);
        assert_eq!(server.accepted(), 2);
    }
}

#[test]
fn a_failure_on_one_connection_leaves_the_others_alone() {
    let server = Server::plain(|mut peer| {
        let number = peer.number;
        if peer.request().is_none() {
            return;
        }
        match number % 3 {
            0 => peer.reset(),
            1 => {}
            _ => {
                peer.say(&streamed(&["one"]));
                always(streamed(&["one"]))(peer);
            }
        }
    });
    let record = Load::of(server.endpoint()).requests(300).slots(8).run();
    for row in &record.rows {
        if let Outcome::Severed { phase, .. } = row.outcome {
            assert_eq!(phase, Phase::Headers);
        }
    }
    assert!(record.rows.iter().any(|row| row.outcome.kind() == OutcomeKind::Finished));
}
