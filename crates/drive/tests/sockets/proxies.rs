//! Servers behind proxies: over TLS through a tunnel, else by the proxy itself.

use std::sync::{Arc, Mutex};

use infermark_drive::{CallError, Endpoint, Proxies, Route, call};
use infermark_terms::{Nanos, Outcome, Phase, TransportFault};
use infermark_wire::http1::Request;
use rustls::version::TLS13;

use crate::load::{LONG, Load};
use crate::server::{Peer, Server, always, once, streamed, whole};
use crate::tls::Authority;

/// What a proxy was asked.
type Asked = Arc<Mutex<Vec<Request>>>;

/// A proxy that tunnels to this server, whatever it is asked for.
fn tunnelling(server: &Server) -> (Server, Asked) {
    let (asked, to) = (Asked::default(), server.address());
    let notes = Arc::clone(&asked);
    let proxy = Server::plain(move |mut peer: Peer| {
        let Some(request) = peer.request() else { return };
        notes.lock().unwrap().push(request);
        peer.say(b"HTTP/1.1 200 Connection established\r\n\r\n");
        peer.relay(to);
    });
    (proxy, asked)
}

/// A server's endpoint behind a proxy that wants credentials.
fn behind(proxy: &Server, url: &str, route: Route) -> Endpoint {
    let proxies = Proxies::named(&format!("http://user:word@{}", proxy.address()), "--proxy");
    Endpoint::resolve(url, &Route { proxies: proxies.unwrap(), ..route }).unwrap()
}

/// The base 64 of `user:word`.
const CREDENTIALS: &str = "Basic dXNlcjp3b3Jk";

#[test]
fn a_server_over_tls_is_reached_through_a_tunnel_and_its_name_is_not_resolved_here() {
    let authority = Authority::new();
    let config = authority.certify("far.invalid", &[&TLS13], |_| {});
    let server = Server::secure(config, always(streamed(&["one", "two"])));
    let (proxy, asked) = tunnelling(&server);
    let route = Route::of(authority.roots());
    let endpoint = behind(&proxy, "https://far.invalid/base", route);
    assert_eq!(endpoint.proxy().unwrap().to_string(), proxy.address().to_string());
    let record = Load::of(endpoint).requests(20).slots(2).run();
    assert!(record.all_finished());
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), server.accepted());
    for request in asked.iter() {
        assert_eq!((&*request.method, &*request.path), ("CONNECT", "far.invalid:443"));
        assert_eq!(request.header("host"), Some("far.invalid:443"));
        assert_eq!(request.header("proxy-authorization"), Some(CREDENTIALS));
    }
    let connects: Vec<_> = record.rows.iter().filter_map(|row| row.connect).collect();
    assert!(connects.iter().all(|phases| phases.tls.0 > 0 && phases.tcp.0 > 0));
}

#[test]
fn a_call_goes_through_a_tunnel_too_and_the_server_never_sees_the_credentials() {
    let authority = Authority::new();
    let config = authority.certify("far.invalid", &[&TLS13], |_| {});
    let server = Server::secure(config, |mut peer: Peer| {
        while let Some(request) = peer.request() {
            let seen = request.header("proxy-authorization").unwrap_or("nothing");
            peer.say(&whole(&format!("{} {seen}", request.path)));
        }
    });
    let (proxy, _) = tunnelling(&server);
    let endpoint = behind(&proxy, "https://far.invalid:8443/base", Route::of(authority.roots()));
    let response = call(&endpoint, "GET", "/v1/models", &[], None, LONG).unwrap();
    let body = String::from_utf8(response.body).unwrap();
    assert!(body.contains("/base/v1/models nothing"), "{body}");
}

#[test]
fn a_server_without_tls_is_asked_of_the_proxy_in_the_absolute_form() {
    let asked = Asked::default();
    let notes = Arc::clone(&asked);
    let proxy = Server::plain(move |mut peer: Peer| {
        while let Some(request) = peer.request() {
            notes.lock().unwrap().push(request);
            peer.say(&streamed(&["one"]));
        }
    });
    let route = Route::of(infermark_drive::Roots::Unverified);
    let endpoint = behind(&proxy, "http://far.invalid:8000/base", route);
    assert!(Load::of(endpoint.clone()).requests(4).run().all_finished());
    let called = call(&endpoint, "GET", "/v1/models", &[], None, LONG).unwrap();
    assert_eq!(called.status, 200);
    let asked = asked.lock().unwrap();
    let paths: Vec<_> = asked.iter().map(|request| &*request.path).collect();
    let load = "http://far.invalid:8000/base/v1/chat/completions";
    assert_eq!(paths, [load, load, load, load, "http://far.invalid:8000/base/v1/models"]);
    for request in asked.iter() {
        assert_eq!(request.header("host"), Some("far.invalid:8000"));
        assert_eq!(request.header("proxy-authorization"), Some(CREDENTIALS));
    }
}

#[test]
fn a_proxy_that_refuses_or_babbles_or_is_silent_is_named() {
    let refusing = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno";
    let fault = |said: &str| {
        let proxy = Server::plain(once(said));
        let route = Route::of(infermark_drive::Roots::Unverified);
        let endpoint = behind(&proxy, "https://far.invalid", route);
        let record = Load::of(endpoint.clone()).run();
        let Outcome::Severed { phase: Phase::Connect, fault } = record.outcome().clone() else {
            panic!("{:?}", record.outcome());
        };
        (fault.to_string(), call(&endpoint, "GET", "/", &[], None, LONG).unwrap_err())
    };
    for (said, expected) in [
        (refusing, "the proxy answered 407"),
        ("SSH-2.0-OpenSSH_9.6\r\n\r\n", "the proxy's answer is not HTTP"),
    ] {
        let (found, error) = fault(said);
        assert_eq!(found, expected);
        let CallError::Tunnel { why, .. } = error else { panic!("{error:?}") };
        assert_eq!(why.as_str(), expected);
    }
    let (found, error) = fault("HTTP/1.1 200");
    assert_eq!(found, TransportFault::ClosedEarly.to_string());
    assert!(matches!(error, CallError::Severed { .. }), "{error:?}");

    let silent = Server::plain(|mut peer: Peer| peer.await_end());
    let route = Route::of(infermark_drive::Roots::Unverified);
    let endpoint = behind(&silent, "https://far.invalid", route);
    let limit = Nanos::from_millis(50);
    let record = Load::of(endpoint.clone()).connect_timeout(limit).run();
    assert_eq!(*record.outcome(), Outcome::Expired { phase: Phase::Connect, limit });
    let error = call(&endpoint, "GET", "/", &[], None, limit).unwrap_err();
    assert!(matches!(error, CallError::Late { .. }), "{error:?}");
}
