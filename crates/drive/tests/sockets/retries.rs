//! Requests that are sent again, and what they are spread over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use infermark_drive::{Batch, Clock, Worker};
use infermark_terms::{Outcome, OutcomeKind, Phase, TransportFault};
use rustls::version::{TLS12, TLS13};

use crate::load::{Load, Record, exchange_with};
use crate::server::{Peer, Server, always, head, shut, streamed};
use crate::tls::{Authority, endpoint};

/// Reads one request after another and answers them, but for the second on the first
/// connection, which it meets like this.
fn once_meeting(act: fn(Peer)) -> impl Fn(Peer) + Send + Sync + 'static {
    move |mut peer: Peer| {
        for turn in 0.. {
            if peer.request().is_none() {
                return;
            }
            if peer.number == 0 && turn == 1 {
                return act(peer);
            }
            peer.say(&streamed(&["one"]));
        }
    }
}

fn attempts(record: &Record) -> Vec<u32> {
    record.rows.iter().map(|row| row.attempts).collect()
}

#[test]
fn a_request_that_met_the_end_of_a_kept_connection_is_sent_again_on_a_new_one() {
    for act in [drop as fn(Peer), Peer::reset, Peer::finish] {
        let server = Server::plain(once_meeting(act));
        let record = Load::of(server.endpoint()).requests(4).run();
        assert!(record.all_finished());
        assert_eq!(attempts(&record), [1, 2, 1, 1]);
        assert_eq!(server.accepted(), 2);
        let row = &record.rows[1];
        assert!(row.connect.is_some() && row.due < row.sent.unwrap());
    }
    let authority = Authority::new();
    for version in [&TLS12, &TLS13] {
        let config = authority.certify("127.0.0.1", &[version], |_| {});
        let server = Server::secure(config, once_meeting(drop));
        let record = Load::of(endpoint(&server, &authority.roots())).requests(4).run();
        assert!(record.all_finished());
        assert_eq!((attempts(&record), server.accepted()), (vec![1, 2, 1, 1], 2));
    }
}

#[test]
fn a_large_request_that_was_half_written_is_sent_again_from_its_beginning() {
    let server = Server::plain(|mut peer: Peer| {
        let mut answered = 0;
        while peer.number > 0 || answered == 0 {
            let Some(request) = peer.request() else { return };
            assert_eq!(request.body.len(), 4 << 20);
            peer.say(&streamed(&["one"]));
            answered += 1;
        }
        // It takes the beginning of another, and goes.
        let _: usize = peer.read(&mut [0; 1024]);
    });
    let record = Load::of(server.endpoint()).body(4 << 20).requests(3).run();
    assert!(record.all_finished());
    assert_eq!(attempts(&record), [1, 2, 1]);
}

#[test]
fn a_new_connection_that_fails_costs_the_request_unless_it_may_be_sent_again() {
    let failing = |failures: usize| {
        let failed = AtomicUsize::new(0);
        move |mut peer: Peer| {
            if peer.request().is_some() && failed.fetch_add(1, Ordering::AcqRel) >= failures {
                peer.say(&streamed(&["one"]));
                peer.await_end();
            }
        }
    };
    for (failures, retries, kind) in
        [(1, 0, OutcomeKind::Severed), (2, 1, OutcomeKind::Severed), (2, 2, OutcomeKind::Finished)]
    {
        let server = Server::plain(failing(failures));
        let mut load = Load::of(server.endpoint());
        load.plan.retries = retries;
        let record = load.run();
        assert_eq!(record.outcome().kind(), kind);
        assert_eq!(attempts(&record), [retries + 1]);
        assert_eq!(server.accepted(), retries as usize + 1);
    }
}

#[test]
fn a_request_whose_answer_began_is_never_sent_again() {
    let server = Server::plain(|mut peer: Peer| {
        if peer.request().is_some() {
            peer.say(&head());
        }
    });
    let mut load = Load::of(server.endpoint());
    load.plan.retries = 5;
    let record = load.run();
    let fault = TransportFault::ClosedEarly;
    assert_eq!(*record.outcome(), Outcome::Severed { phase: Phase::FirstToken, fault });
    assert_eq!((attempts(&record), server.accepted()), (vec![1], 1));
}

#[test]
fn an_address_where_nobody_listens_is_tried_as_often_as_the_user_wishes() {
    let (_taken, address) = shut();
    let server = Server::plain(always(streamed(&["one"])));
    let endpoint = server.endpoint().at(vec![address]);
    let mut load = Load::of(endpoint.clone());
    load.plan.retries = 2;
    let record = load.run();
    let refused = TransportFault::ConnectionRefused;
    assert_eq!(*record.outcome(), Outcome::Severed { phase: Phase::Connect, fault: refused });
    assert_eq!((attempts(&record), record.rows[0].address), (vec![3], Some(address)));
    // With another address beside, the next try goes there.
    let mut load = Load::of(endpoint.at(vec![address, server.address()])).requests(4);
    load.plan.retries = 1;
    let record = load.run();
    assert!(record.all_finished());
    assert_eq!(attempts(&record), [2, 2, 2, 2]);
}

#[test]
fn a_request_is_not_sent_again_to_the_address_where_it_failed_if_there_is_another() {
    let (_taken, address) = shut();
    let server = Server::plain(always(streamed(&["one"])));
    let endpoint = server.endpoint().at(vec![address, server.address()]);
    // Requests that go meanwhile move the turns on: half of the second tries would fail too.
    let mut load = Load::of(endpoint).requests(40).slots(4);
    load.plan.retries = 1;
    let record = load.run();
    assert!(record.all_finished(), "{:?}", record.rows);
    assert!(attempts(&record).contains(&2));
}

#[test]
fn a_connection_is_not_used_for_longer_than_the_server_says_that_it_keeps_it() {
    let keeping = |seconds: &str| {
        let line = format!("\r\nKeep-Alive: max=100, timeout={seconds}\r\n");
        let text = String::from_utf8(streamed(&["one"])).unwrap();
        Server::plain(always(text.replacen("\r\n", &line, 1).into_bytes()))
    };
    for (seconds, connections) in [("0", 5), ("3600", 1), ("soon", 1)] {
        let server = keeping(seconds);
        let record = Load::of(server.endpoint()).requests(5).run();
        assert!(record.all_finished());
        assert_eq!(server.accepted(), connections, "timeout={seconds}");
    }
}

#[test]
fn requests_take_turns_at_a_servers_addresses_however_many_are_open() {
    let servers = [0; 3].map(|_| Server::plain(always(streamed(&["one"]))));
    let addresses: Vec<_> = servers.iter().map(Server::address).collect();
    for slots in [1, 5] {
        let load = Load::of(servers[0].endpoint().at(addresses.clone()));
        let record = load.requests(60).slots(slots).run();
        assert!(record.all_finished());
        let mut shares = BTreeMap::new();
        for row in &record.rows {
            *shares.entry(row.address.unwrap()).or_insert(0) += 1;
        }
        assert_eq!(shares.len(), 3);
        assert!(shares.values().all(|&share| share == 20), "{shares:?}");
    }
    assert!(servers.iter().all(|server| server.accepted() <= 6));
}

#[test]
fn an_order_goes_to_the_server_that_it_is_for() {
    let texts = ["one", "two"];
    let servers = texts.map(|text| Server::plain(always(streamed(&[text]))));
    let mut plan = Load::of(servers[0].endpoint()).plan;
    plan.endpoints.push(Arc::new(servers[1].endpoint()));
    let mut worker = Worker::new(plan, Clock::start()).unwrap();
    let mut batch = Batch::default();
    let order = [1, 0, 1, 1, 0];
    for (id, server) in order.into_iter().enumerate() {
        exchange_with(&mut worker, id as u64, server, &mut batch);
    }
    for (id, server) in order.into_iter().enumerate() {
        let address = Some(servers[server as usize].address());
        assert_eq!(batch.requests[id].address, address);
        assert_eq!(batch.texts[id].1, texts[server as usize].as_bytes());
    }
    assert!(servers.iter().all(|server| server.accepted() == 1));
}
