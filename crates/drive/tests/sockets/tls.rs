//! TLS: whom it believes, and that nothing else differs.

use std::path::PathBuf;
use std::sync::Arc;

use infermark_drive::{
    CallError, Endpoint, EndpointError, Identity, Roots, Route, TlsFault, TrustError, call,
};
use infermark_terms::{Outcome, Phase, StampSource, TransportFault};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tempfile::TempDir;

use crate::load::{LONG, Load};
use crate::server::{Peer, Server, always, event, head, once, streamed};

/// Authority over the tests' servers, with its certificate in a file.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    pub(crate) fn roots(&self) -> Roots {
        let extra: PathBuf = self.folder.path().join("ca.pem");
        Roots::Trusted { extra: vec![extra] }
    }

    /// Returns what a server of this name needs.
    pub(crate) fn certify(
        &self,
        name: &str,
        versions: &[&'static SupportedProtocolVersion],
        change: impl Fn(&mut CertificateParams),
    ) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate: CertificateDer<'static> =
            params.signed_by(&key, &self.issuer).unwrap().into();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Arc::new(config)
    }
}

/// A certificate that signs for itself, with its key.
struct Own {
    certificate: Certificate,
    key: KeyPair,
}

impl Own {
    /// Makes one for 127.0.0.1 that also claims to be an authority, as most of them do.
    fn new(change: impl Fn(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap(), key }
    }

    /// Returns a server that shows it, and a trust in nothing else.
    fn serve(&self, folder: &TempDir) -> (Server, Roots) {
        let path = folder.path().join("own.pem");
        std::fs::write(&path, self.certificate.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&BOTH)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key)
            .unwrap();
        let server = Server::secure(Arc::new(config), always(streamed(&["one"])));
        (server, Roots::Trusted { extra: vec![path] })
    }
}

const BOTH: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

pub(crate) fn endpoint(server: &Server, roots: &Roots) -> Endpoint {
    let route = Route::of(roots.clone());
    Endpoint::resolve(&format!("https://{}", server.address()), &route).unwrap()
}

/// Returns the server's certificate problem, as the load saw it.
fn complaint(server: &Server, roots: &Roots) -> String {
    let record = Load::of(endpoint(server, roots)).run();
    let Outcome::Severed { phase, fault: TransportFault::Tls(why) } = record.outcome() else {
        panic!("{:?}", record.outcome());
    };
    assert_eq!((*phase, record.rows[0].connected), (Phase::Connect, None));
    why.as_str().to_owned()
}

#[test]
fn a_trusted_server_serves_as_it_would_without_tls() {
    let authority = Authority::new();
    for version in BOTH {
        let config = authority.certify("127.0.0.1", &[version], |_| {});
        let server = Server::secure(config, always(streamed(&["one", "two"])));
        let load = Load::of(endpoint(&server, &authority.roots()));
        let record = load.requests(40).slots(2).run();
        assert!(record.all_finished());
        assert!((1..=2).contains(&server.accepted()));
        let connects: Vec<_> = record.rows.iter().filter_map(|row| row.connect).collect();
        assert_eq!(connects.len(), server.accepted());
        assert!(connects.iter().all(|phases| phases.tls.0 > 0 && phases.tcp.0 > 0));
        assert!(record.rows.iter().all(|row| record.text(row.id.0) == "onetwo"));
    }
}

#[test]
fn arrivals_over_tls_are_stamped_by_the_kernel_too() {
    let authority = Authority::new();
    let config = authority.certify("127.0.0.1", &BOTH, |_| {});
    let server = Server::secure(config, always(streamed(&["one"])));
    let endpoint = endpoint(&server, &authority.roots());
    let stamped = (0..1000).any(|_| {
        let record = Load::of(endpoint.clone()).requests(20).run();
        record.rows.last().unwrap().stamps == StampSource::Kernel
    });
    assert!(stamped);
}

#[test]
fn a_server_that_nobody_vouches_for_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let serve = |config| Server::secure(config, always(streamed(&["one"])));
    let unknown = serve(other.certify("127.0.0.1", &BOTH, |_| {}));
    let why = complaint(&unknown, &authority.roots());
    assert!(why.starts_with("invalid peer certificate"), "{why}");
    let elsewhere = serve(authority.certify("example.test", &BOTH, |_| {}));
    let why = complaint(&elsewhere, &authority.roots());
    assert!(why.contains("not valid for"), "{why}");
    let expired = serve(authority.certify("127.0.0.1", &BOTH, |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    }));
    let why = complaint(&expired, &authority.roots());
    assert!(why.contains("expired"), "{why}");
    for server in [unknown, elsewhere, expired] {
        let load = Load::of(endpoint(&server, &Roots::Unverified));
        assert!(load.run().all_finished());
    }
}

#[test]
fn a_server_without_tls_is_no_tls_server() {
    let server = Server::plain(|mut peer| {
        let _hello = peer.read(&mut [0; 1]);
        peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        peer.await_end();
    });
    assert!(!complaint(&server, &Roots::Unverified).is_empty());
    assert_eq!(fault(&endpoint(&server, &Roots::Unverified)), TlsFault::Plain);
    let server = Server::plain(|_| {});
    let record = Load::of(endpoint(&server, &Roots::Unverified)).run();
    let Outcome::Severed { phase: Phase::Connect, fault } = record.outcome() else { panic!() };
    assert!(matches!(fault, TransportFault::ClosedEarly | TransportFault::Reset));
}

#[test]
fn a_key_that_changes_between_requests_costs_no_connection() {
    let authority = Authority::new();
    let config = authority.certify("127.0.0.1", &[&TLS13], |_| {});
    let server = Server::secure(config, |mut peer| {
        while peer.request().is_some() {
            peer.say(&streamed(&["one"]));
            peer.session().refresh_traffic_keys().unwrap();
            peer.say(b"");
        }
    });
    let record = Load::of(endpoint(&server, &authority.roots())).requests(50).run();
    assert!(record.all_finished());
    assert_eq!(server.accepted(), 1);
}

#[test]
fn a_stream_that_tls_ends_early_is_severed() {
    let authority = Authority::new();
    let config = authority.certify("127.0.0.1", &BOTH, |_| {});
    let cut = || [head(), event("one")].concat();
    let severed = Outcome::Severed { phase: Phase::Stream, fault: TransportFault::ClosedEarly };
    // With the announcement that TLS asks for, on a connection that stays open, and without.
    let announced = Server::secure(config.clone(), move |mut peer: Peer| {
        if peer.request().is_some() {
            peer.say(&cut());
            peer.session().send_close_notify();
            peer.say(b"");
            peer.await_end();
        }
    });
    let dropped = Server::secure(config, once(cut()));
    for server in [announced, dropped] {
        let record = Load::of(endpoint(&server, &authority.roots())).run();
        assert_eq!(*record.outcome(), severed);
    }
}

#[test]
fn a_large_request_goes_through_tls_piece_by_piece() {
    let authority = Authority::new();
    let config = authority.certify("127.0.0.1", &BOTH, |_| {});
    let server = Server::secure(config, always(streamed(&["one"])));
    let load = Load::of(endpoint(&server, &authority.roots()));
    assert!(load.body(6 << 20).requests(2).run().all_finished());
    assert_eq!(server.accepted(), 1);
}

/// Returns why a call to a server failed over TLS.
fn fault(endpoint: &Endpoint) -> TlsFault {
    let error = call(endpoint, "GET", "/", &[], None, LONG).unwrap_err();
    assert!(matches!(error, CallError::Tls { .. }), "{error:?}");
    error.tls_fault().unwrap()
}

#[test]
fn a_server_that_signs_for_itself_is_believed_if_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let changes: [fn(&mut CertificateParams); 2] =
        [|_| {}, |params| params.is_ca = IsCa::ExplicitNoCa];
    for change in changes {
        let (server, given) = Own::new(change).serve(&folder);
        assert!(Load::of(endpoint(&server, &given)).requests(3).run().all_finished());
        let other = endpoint(&server, &Authority::new().roots());
        assert_eq!(fault(&other), TlsFault::Untrusted);
    }
    // Not one of the same names and another key.
    let (server, _) = Own::new(|_| {}).serve(&folder);
    let (_, other) = Own::new(|_| {}).serve(&folder);
    assert_eq!(fault(&endpoint(&server, &other)), TlsFault::Untrusted);
}

#[test]
fn a_certificate_that_is_given_still_has_to_be_of_that_name_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let expired = Own::new(|params| params.not_after = date_time_ymd(2002, 1, 1));
    let (server, given) = expired.serve(&folder);
    assert_eq!(fault(&endpoint(&server, &given)), TlsFault::Dates);
    let early = Own::new(|params| params.not_before = date_time_ymd(2999, 1, 1));
    let (server, given) = early.serve(&folder);
    assert_eq!(fault(&endpoint(&server, &given)), TlsFault::Dates);
    let elsewhere = Own::new(|params| {
        params.subject_alt_names =
            CertificateParams::new(vec!["example.test".to_owned()]).unwrap().subject_alt_names;
    });
    let (server, given) = elsewhere.serve(&folder);
    assert_eq!(fault(&endpoint(&server, &given)), TlsFault::Name);
}

#[test]
fn a_servers_own_certificate_from_an_authority_will_do_without_the_authority() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let own = Own { certificate: params.signed_by(&key, &authority.issuer).unwrap(), key };
    let (server, given) = own.serve(&folder);
    assert!(Load::of(endpoint(&server, &given)).run().all_finished());
}

/// Returns a server that asks for certificates of this authority.
fn asking(authority: &Authority) -> Server {
    let plain = authority.certify("127.0.0.1", &BOTH, |_| {});
    let mut roots = RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&BOTH)
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_cert_resolver(Arc::clone(&plain.cert_resolver));
    Server::secure(Arc::new(config), always(streamed(&["one"])))
}

/// Writes a client's certificate and its key into one file each.
fn identity(authority: &Authority) -> Identity {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    let at = |name: &str, text: String| {
        let path = authority.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let certificates = at("client.pem", certificate.pem());
    Identity { certificates, key: at("client.key", key.serialize_pem()) }
}

#[test]
fn a_server_that_asks_for_a_certificate_gets_the_one_that_was_given() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = asking(&authority);
    let url = format!("https://{}", server.address());
    let reach = |identity| {
        let route = Route { identity, ..Route::of(authority.roots()) };
        Endpoint::resolve(&url, &route).unwrap()
    };
    let known = reach(Some(identity(&authority)));
    assert!(Load::of(known.clone()).requests(3).run().all_finished());
    assert_eq!(call(&known, "GET", "/", &[], None, LONG).unwrap().status, 200);
    for unknown in [reach(None), reach(Some(identity(&other)))] {
        let record = Load::of(unknown).run();
        let Outcome::Severed { fault, .. } = record.outcome() else { panic!() };
        // A server that closes at once may do so before what it says is read.
        assert!(matches!(fault, TransportFault::Tls(_) | TransportFault::Reset), "{fault:?}");
    }
}

#[test]
fn our_own_certificate_must_be_readable_and_go_with_its_key() {
    let (one, two) = (Authority::new(), Authority::new());
    let (own, other) = (identity(&one), identity(&two));
    let refused = |identity| {
        let route = Route { identity: Some(identity), ..Route::of(one.roots()) };
        let error = Endpoint::resolve("https://127.0.0.1:1", &route).unwrap_err();
        let EndpointError::Trust(error) = error else { panic!("{error:?}") };
        error
    };
    let mixed = refused(Identity { key: other.key, ..own.clone() });
    assert!(matches!(mixed, TrustError::Identity { .. }), "{mixed:?}");
    let keyless = refused(Identity { key: own.certificates.clone(), ..own.clone() });
    assert!(matches!(keyless, TrustError::Key { .. }), "{keyless:?}");
    let bare = refused(Identity { certificates: own.key.clone(), ..own });
    assert!(matches!(bare, TrustError::Certificates { .. }), "{bare:?}");
}
