//! Calls outside the load, against the same servers.

use infermark_drive::{CallError, Endpoint, Roots, Route, call, probe};
use infermark_terms::{DecodeFault, Nanos, Outcome, Phase, TransportFault};
use infermark_wire::{Api, Delivery};
use rustls::version::{TLS12, TLS13};

use crate::load::LONG;
use crate::server::{Peer, Server, always, event, head, once, refusal, shut, streamed, whole};
use crate::tls::{Authority, endpoint};

const SHORT: Nanos = Nanos::from_millis(50);

fn get(endpoint: &Endpoint, limit: Nanos) -> Result<(u16, String), CallError> {
    let response = call(endpoint, "GET", "/v1/models", &[], None, limit)?;
    Ok((response.status, String::from_utf8(response.body).unwrap()))
}

#[test]
fn a_call_brings_status_and_body() {
    let server = Server::plain(|mut peer| {
        while let Some(request) = peer.request() {
            let body = String::from_utf8(request.body.clone()).unwrap();
            let key = request.header("x-key").unwrap_or("none");
            let seen = format!("{} {} {key} {body}", request.method, request.path);
            peer.say(&refusal(404, &seen));
        }
    });
    let url = format!("http://{}/base/", server.address());
    let endpoint = Endpoint::resolve(&url, &Route::of(Roots::Unverified)).unwrap();
    let headers = [("X-Key".to_owned(), "secret".to_owned())];
    let response = call(&endpoint, "POST", "/x", &headers, Some(b"[1]"), LONG).unwrap();
    assert_eq!(response.status, 404);
    let body = String::from_utf8(response.body).unwrap();
    assert!(body.contains("POST /base/x secret [1]"), "{body}");
    let (status, body) = get(&endpoint, LONG).unwrap();
    assert!(status == 404 && body.contains("GET /base/v1/models none "));
    let until_close = Server::plain(once("HTTP/1.0 200 OK\r\n\r\nall of it"));
    assert_eq!(get(&until_close.endpoint(), LONG).unwrap(), (200, "all of it".to_owned()));
}

#[test]
fn a_call_goes_over_tls() {
    let authority = Authority::new();
    for version in [&TLS12, &TLS13] {
        let config = authority.certify("127.0.0.1", &[version], |_| {});
        let server = Server::secure(config, always(whole("hello")));
        let (status, body) = get(&endpoint(&server, &authority.roots()), LONG).unwrap();
        assert!(status == 200 && body.contains("hello"));
        let untrusting = endpoint(&server, &Authority::new().roots());
        let error = get(&untrusting, LONG).unwrap_err();
        assert!(matches!(error, CallError::Tls { .. }), "{error:?}");
    }
}

#[test]
fn a_call_that_fails_says_how() {
    let (_taken, shut) = shut();
    let endpoint =
        Endpoint::resolve(&format!("http://{shut}"), &Route::of(Roots::Unverified)).unwrap();
    let error = get(&endpoint, LONG).unwrap_err();
    assert!(matches!(error, CallError::Connect { address, .. } if address == shut), "{error:?}");

    let garbage = Server::plain(once("SSH-2.0-OpenSSH_9.6\r\n\r\n"));
    let error = get(&garbage.endpoint(), LONG).unwrap_err();
    assert!(matches!(error, CallError::Garbled { fault: DecodeFault::Head }), "{error:?}");

    // `protocol_version`, which most servers of TLS answer to anything else.
    let encrypted = Server::plain(once([21, 3, 3, 0, 2, 2, 70]));
    let error = get(&encrypted.endpoint(), LONG).unwrap_err();
    assert!(matches!(error, CallError::Encrypted { .. }), "{error:?}");

    for cut in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"] {
        let closing = Server::plain(once(cut));
        let error = get(&closing.endpoint(), LONG).unwrap_err();
        assert!(matches!(error, CallError::Severed { .. }), "{error:?}");
    }
    let resetting = Server::plain(|mut peer| {
        if peer.request().is_some() {
            peer.reset();
        }
    });
    let error = get(&resetting.endpoint(), LONG).unwrap_err();
    assert!(matches!(error, CallError::Severed { .. }), "{error:?}");
}

#[test]
fn a_call_takes_no_longer_than_its_limit() {
    let dribbling = Server::plain(|mut peer| {
        peer.say(b"HTTP/1.1 200 OK\r\n\r\n");
        // For as long as anybody listens.
        while peer.is_heard(b"x") {}
    });
    let silent_server = Server::plain(|mut peer: Peer| peer.await_end());
    for server in [&dribbling, &silent_server] {
        let error = get(&server.endpoint(), SHORT).unwrap_err();
        assert!(matches!(error, CallError::Late { limit: SHORT }), "{error:?}");
    }
    let error = get(&endpoint(&silent_server, &Roots::Unverified), SHORT).unwrap_err();
    assert!(matches!(error, CallError::Late { limit: SHORT }), "{error:?}");
}

#[test]
fn a_probe_says_how_the_measured_api_answers() {
    let sight = |said: Vec<u8>, delivery| {
        let server = Server::plain(once(said));
        let endpoint = server.endpoint();
        let bytes = endpoint.request("POST", "/", &[], Some(b"{}"));
        probe(&endpoint, &bytes, Api::Chat, delivery, LONG).unwrap()
    };
    let sighting = sight(streamed(&["one", "two"]), Delivery::Streamed);
    assert!(matches!(sighting.outcome, Outcome::Finished { .. }));
    assert_eq!((sighting.chunks, sighting.counted), (2, false));
    assert_eq!((sighting.usage.unwrap().completion_tokens, sighting.events.usage_only), (3, 1));
    let sighting = sight(whole("all"), Delivery::Whole);
    assert!(matches!(sighting.outcome, Outcome::Finished { .. }) && sighting.chunks == 0);
    let sighting = sight(refusal(401, "no"), Delivery::Streamed);
    assert!(matches!(sighting.outcome, Outcome::Refused { status: 401, .. }));
    let cut = sight([head(), event("one")].concat(), Delivery::Streamed);
    let fault = TransportFault::ClosedEarly;
    assert_eq!(cut.outcome, Outcome::Severed { phase: Phase::Stream, fault });
}
