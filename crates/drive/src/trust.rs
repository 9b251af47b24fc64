//! Which certificates prove a server, and which prove us.
//!
//! A certificate that the user gives is trusted in both ways: as an authority that vouches for
//! servers, and as the certificate of the very server that shows it, byte for byte. Servers that
//! sign for themselves mostly use one that claims to be an authority, which the rules for
//! authorities forbid a server to show [RFC 5280, section 4.2.1.9]; its name and dates are checked
//! all the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use infermark_terms::HttpVersion;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use thiserror::Error;

use crate::tls::ALPN_HTTP2;

/// Which certificates prove a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The system's trust store, and the PEM certificates of files beside it.
    Trusted {
        /// The files.
        extra: Vec<PathBuf>,
    },
    /// Any certificate is believed.
    Unverified,
}

/// What proves us to servers that ask for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// A PEM file with the certificate, and those between it and its authority.
    pub certificates: PathBuf,
    /// A PEM file with its private key; it may be the same.
    pub key: PathBuf,
}

/// Why certificates cannot be used.
#[derive(Debug, Error)]
pub enum TrustError {
    /// A certificate file cannot be read.
    #[error("cannot read certificates from {}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// The file of our private key cannot be read.
    #[error("cannot read a private key from {}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// Our certificate and our key do not go together, or one of them is of no known kind.
    #[error(
        "cannot use the certificate of {} with the key of {}", certificates.display(), key.display()
    )]
    Identity {
        /// The file of the certificate.
        certificates: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// Neither the system nor the files hold a certificate.
    #[error("found no trusted certificates on this system{}", beside(extra))]
    NoRoots {
        /// The files that were read besides.
        extra: Vec<PathBuf>,
    },
}

fn beside(extra: &[PathBuf]) -> String {
    extra.iter().fold(String::new(), |text, path| format!("{text}, nor in {}", path.display()))
}

/// Builds what a TLS client needs.
pub(crate) fn config(
    roots: &Roots,
    identity: Option<&Identity>,
    version: HttpVersion,
) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match roots {
        Roots::Unverified => Arc::new(Believer(Arc::clone(&provider))),
        Roots::Trusted { extra } => Arc::new(Judge::new(extra, &provider)?),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let agreed = |mut config: ClientConfig| {
        if version == HttpVersion::Http2 {
            config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
        }
        Arc::new(config)
    };
    let Some(identity) = identity else { return Ok(agreed(builder.with_no_client_auth())) };
    let chain = certificates(&identity.certificates)?;
    let key = PrivateKeyDer::from_pem_file(&identity.key)
        .map_err(|source| TrustError::Key { path: identity.key.clone(), source })?;
    let unfit = |source| TrustError::Identity {
        certificates: identity.certificates.clone(),
        key: identity.key.clone(),
        source,
    };
    builder.with_client_auth_cert(chain, key).map(agreed).map_err(unfit)
}

/// Reads the certificates of a PEM file, of which there must be some.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let unreadable = |source| TrustError::Certificates { path: path.to_owned(), source };
    let found = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
    let found = found.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    if found.is_empty() { Err(unreadable(pem::Error::NoItemsFound)) } else { Ok(found) }
}

/// Checks servers against authorities, and against the certificates that the user gave.
#[derive(Debug)]
struct Judge {
    given: Vec<CertificateDer<'static>>,
    authorities: Arc<WebPkiServerVerifier>,
}

impl Judge {
    /// Trusts the system's certificates, and those of files beside them.
    fn new(extra: &[PathBuf], provider: &Arc<CryptoProvider>) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        let _: (usize, usize) = roots.add_parsable_certificates(system.certs);
        let mut given = Vec::new();
        for path in extra {
            let found = certificates(path)?;
            if roots.add_parsable_certificates(found.iter().cloned()).0 == 0 {
                let source = pem::Error::NoItemsFound;
                return Err(TrustError::Certificates { path: path.clone(), source });
            }
            given.extend(found);
        }
        if roots.is_empty() {
            return Err(TrustError::NoRoots { extra: extra.to_vec() });
        }
        let authorities =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .build()
                .expect("there are roots, and no revocation lists");
        Ok(Self { given, authorities })
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = self.authorities.verify_server_cert(shown, intermediates, name, ocsp, now);
        match verdict {
            // The dates are looked at before who vouches, so here they are in order.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer
                | CertificateError::BadSignature
                | CertificateError::Other(_),
            )) if self.given.iter().any(|given| given == shown) => {
                verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// Believes any certificate, but still checks that the server holds its key.
#[derive(Debug)]
struct Believer(Arc<CryptoProvider>);

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Why TLS failed, as far as something can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// Nobody that is trusted vouches for the server's certificate.
    Untrusted,
    /// The server's certificate is not valid yet, or no longer.
    Dates,
    /// The server's certificate is for other names.
    Name,
    /// The server wants to see a certificate of ours, or another one.
    ClientCertificate,
    /// The server does not agree to the version of HTTP.
    Version,
    /// What the server says is not TLS.
    Plain,
    /// Anything else.
    Other,
}

impl TlsFault {
    /// Tells the fault from the error in which TLS ended.
    pub(crate) fn of(error: &rustls::Error) -> Self {
        use rustls::AlertDescription as Alert;
        use rustls::CertificateError as Bad;
        #[expect(clippy::wildcard_enum_match_arm, reason = "the enums are open")]
        match error {
            rustls::Error::InvalidCertificate(bad) => match bad {
                Bad::Expired
                | Bad::ExpiredContext { .. }
                | Bad::NotValidYet
                | Bad::NotValidYetContext { .. } => Self::Dates,
                Bad::NotValidForName | Bad::NotValidForNameContext { .. } => Self::Name,
                _ => Self::Untrusted,
            },
            rustls::Error::AlertReceived(
                Alert::CertificateRequired
                | Alert::BadCertificate
                | Alert::UnknownCA
                | Alert::CertificateUnknown
                | Alert::CertificateExpired
                | Alert::UnsupportedCertificate
                | Alert::AccessDenied,
            ) => Self::ClientCertificate,
            rustls::Error::AlertReceived(Alert::NoApplicationProtocol)
            | rustls::Error::NoApplicationProtocol => Self::Version,
            rustls::Error::InvalidMessage(_) => Self::Plain,
            _ => Self::Other,
        }
    }
}
