//! Where the server is: its URL and addresses, and how to get there.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use infermark_terms::HttpVersion;
use infermark_wire::http1::{self, RequestHead};
use infermark_wire::http2;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use thiserror::Error;

use crate::proxy::{Proxies, Proxy, ProxyError, host_and_port};
use crate::trust::{self, Identity, Roots, TrustError};

/// A server, resolved: everything that connecting to it takes.
#[derive(Clone, Debug)]
pub struct Endpoint {
    url: String,
    authority: String,
    prefix: String,
    /// Host and port, as a proxy wants to know them.
    server: String,
    addresses: Vec<SocketAddr>,
    /// Those and their like where nobody listens.
    known: Vec<SocketAddr>,
    proxy: Option<Proxy>,
    secure: Option<Secure>,
    version: HttpVersion,
}

/// What connecting takes besides, over TLS.
#[derive(Clone, Debug)]
pub(crate) struct Secure {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

/// Whether the wire is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// Returns the port used where the URL names none.
    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// How to get to a server, beside its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which certificates prove it.
    pub roots: Roots,
    /// What proves us to it.
    pub identity: Option<Identity>,
    /// Which proxies lead to it.
    pub proxies: Proxies,
    /// Which HTTP is spoken there.
    pub version: HttpVersion,
}

impl Route {
    /// Returns the direct way, over HTTP/1.1, to a server that asks for no proof of ours.
    pub fn of(roots: Roots) -> Self {
        let version = HttpVersion::Http1;
        Self { roots, identity: None, proxies: Proxies::none(), version }
    }
}

/// Why a server's address cannot be used.
#[derive(Debug, Error)]
pub enum EndpointError {
    /// The URL is none of ours.
    #[error("`{url}` is not a URL of the form http://host[:port][/path]")]
    Url {
        /// As it may be shown.
        url: String,
    },
    /// The host has no address.
    #[error("cannot resolve host `{host}`")]
    Name {
        /// The host.
        host: String,
        /// The resolver's word.
        #[source]
        source: io::Error,
    },
    /// Certificates cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The proxy that leads there cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// A proxy leads to a server that is to be asked over HTTP/2 without TLS.
    #[error("a proxy leads to `{url}`, and takes HTTP/2 over TLS only")]
    PlainHttp2 {
        /// As it may be shown.
        url: String,
    },
}

impl Endpoint {
    /// Resolves a base URL such as `https://host:8000/prefix`. Of several addresses, only those
    /// where somebody listens are kept, if there are any, and of one family: a host's addresses of
    /// the other mostly lead to the same servers. Behind a proxy the addresses are the
    /// proxy's, and the server's name is for the proxy to resolve.
    ///
    /// # Errors
    ///
    /// If the URL is malformed, the host or its proxy unknown, or certificates cannot be read.
    pub fn resolve(url: &str, route: &Route) -> Result<Self, EndpointError> {
        let name = || EndpointError::Url { url: shown(url) };
        let parts = Parts::of(url).ok_or_else(name)?;
        let secure = match parts.scheme {
            Scheme::Http => None,
            Scheme::Https => Some(Secure {
                config: trust::config(&route.roots, route.identity.as_ref(), route.version)?,
                name: ServerName::try_from(parts.host.to_owned()).map_err(|_| name())?,
            }),
        };
        let proxy = route.proxies.lead(parts.scheme, parts.host, parts.port)?;
        let (host, port) = match &proxy {
            Some(_) if secure.is_none() && route.version == HttpVersion::Http2 => {
                return Err(EndpointError::PlainHttp2 { url: shown(url) });
            }
            Some(proxy) => (proxy.host(), proxy.port()),
            None => (parts.host, parts.port),
        };
        let (addresses, known) = reachable(addresses(host, port)?);
        let Parts { authority, prefix, .. } = parts;
        let bare = authority.strip_suffix(&format!(":{}", parts.port)).unwrap_or(authority);
        Ok(Self {
            url: url.to_owned(),
            authority: authority.to_owned(),
            prefix: prefix.to_owned(),
            server: format!("{bare}:{}", parts.port),
            addresses,
            known,
            proxy,
            secure,
            version: route.version,
        })
    }

    /// Writes a request to an API path such as `/v1/models`, for the version of HTTP that is spoken
    /// there. The body, if there is one, is JSON.
    pub fn request(
        &self,
        method: &str,
        api_path: &str,
        headers: &[(String, String)],
        body: Option<&[u8]>,
    ) -> Vec<u8> {
        let path = format!("{}{api_path}", self.prefix);
        // What goes through a tunnel is none of the proxy's business.
        let (path, field) = match self.proxy.as_ref().filter(|_| self.secure.is_none()) {
            Some(proxy) => (format!("http://{}{path}", self.authority), proxy.field()),
            None => (path, None),
        };
        let own: Vec<_>;
        let headers = match field {
            None => headers,
            Some(field) => {
                own = headers.iter().cloned().chain([field]).collect();
                &own
            }
        };
        let head = RequestHead { method, path: &path, host: &self.authority, headers };
        let (content, body) = (body.map(|_| "application/json"), body.unwrap_or_default());
        match self.version {
            HttpVersion::Http1 => http1::request(&head, content, body),
            HttpVersion::Http2 => {
                let scheme = if self.secure.is_some() { "https" } else { "http" };
                http2::request(scheme, &head, content, body)
            }
        }
    }

    /// Returns which HTTP is spoken there.
    pub fn version(&self) -> HttpVersion {
        self.version
    }

    /// Returns the same server at other addresses, for those who know them better than the
    /// resolver.
    ///
    /// # Panics
    ///
    /// If there are none.
    #[must_use]
    pub fn at(self, addresses: Vec<SocketAddr>) -> Self {
        assert!(!addresses.is_empty(), "a server is somewhere");
        Self { known: addresses.clone(), addresses, ..self }
    }

    /// Returns the addresses to connect to, the server's or its proxy's; never none.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns the addresses that its name has, also those of the same family where nobody
    /// listened.
    pub fn known(&self) -> &[SocketAddr] {
        &self.known
    }

    /// Returns the proxy that leads to the server.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// Returns the server's host and port.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    pub(crate) fn secure(&self) -> Option<&Secure> {
        self.secure.as_ref()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// Returns a URL as it may be shown: without a user's name and password, query and fragment, each
/// of which may hold a secret.
pub fn shown(url: &str) -> String {
    let bare = &url[..url.find(['?', '#']).unwrap_or(url.len())];
    let (scheme, rest) = bare.split_at(bare.find("://").map_or(0, |at| at + "://".len()));
    let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
    let secret = authority.rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}{}", &rest[secret..])
}

/// Returns a host's addresses, never none.
fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, EndpointError> {
    let unknown = |source| EndpointError::Name { host: host.to_owned(), source };
    let addresses: Vec<_> = (host, port).to_socket_addrs().map_err(unknown)?.collect();
    if addresses.is_empty() {
        return Err(unknown(io::Error::from(io::ErrorKind::NotFound)));
    }
    Ok(addresses)
}

/// The parts of a URL.
struct Parts<'a> {
    scheme: Scheme,
    authority: &'a str,
    host: &'a str,
    port: u16,
    prefix: &'a str,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = if let Some(rest) = url.strip_prefix("http://") {
            (Scheme::Http, rest)
        } else {
            (Scheme::Https, url.strip_prefix("https://")?)
        };
        let (authority, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = host_and_port(authority)?;
        let port = port.map_or(Some(scheme.default_port()), |text| text.parse().ok())?;
        let prefix = prefix.trim_end_matches('/');
        let odd = |c: char| c.is_whitespace() || c.is_control() || "@?#".contains(c);
        let bare_six = host.contains(':') && !authority.starts_with('[');
        let fits = !host.is_empty() && !bare_six && !rest.contains(odd);
        fits.then_some(Self { scheme, authority, host, port, prefix })
    }
}

/// How long each of several addresses may take to answer before it is passed over.
const REACH_LIMIT: Duration = Duration::from_secs(1);

/// Returns the addresses where somebody listens, and beside them all of their family; where nobody
/// does, all in both places. Names such as `localhost` often have an IPv6 address too, where most
/// servers do not listen; requests are dealt to the addresses in turn, so half of them would fail.
fn reachable(addresses: Vec<SocketAddr>) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
    if addresses.len() < 2 {
        return (addresses.clone(), addresses);
    }
    let answers = |address: &SocketAddr| TcpStream::connect_timeout(address, REACH_LIMIT).is_ok();
    let mut reached: Vec<_> = addresses.iter().copied().filter(answers).collect();
    let Some(first) = reached.first().copied() else { return (addresses.clone(), addresses) };
    let like = |other: &SocketAddr| other.is_ipv4() == first.is_ipv4();
    reached.retain(like);
    (reached, addresses.into_iter().filter(like).collect())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn parts(url: &str) -> Option<(Scheme, &str, u16, &str)> {
        Parts::of(url).map(|p| (p.scheme, p.host, p.port, p.prefix))
    }

    #[test]
    fn urls_come_apart() {
        use Scheme::{Http, Https};
        assert_eq!(parts("http://host"), Some((Http, "host", 80, "")));
        assert_eq!(parts("https://host/"), Some((Https, "host", 443, "")));
        assert_eq!(parts("http://10.0.0.1:8000/a/b/"), Some((Http, "10.0.0.1", 8000, "/a/b")));
        assert_eq!(parts("http://[::1]:8000"), Some((Http, "::1", 8000, "")));
        for wrong in
            ["", "host", "ftp://host", "http://", "http://h:x", "http://u:p@h", "http://h?q"]
        {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
        for wrong in
            ["http://::1", "http://::1:80", "http://[::1", "http://[::1]8000", "http://[::1]:x"]
        {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_url_is_shown_without_what_may_be_a_secret() {
        for (url, expected) in [
            ("http://host:1/a/b", "http://host:1/a/b"),
            ("https://user:s@cret@host/a?key=secret#more", "https://host/a"),
            ("user:secret@host", "host"),
            ("http://host/a@b", "http://host/a@b"),
            ("#secret", ""),
        ] {
            assert_eq!(shown(url), expected);
        }
        let route = Route::of(Roots::Unverified);
        let error = Endpoint::resolve("http://user:secret@host", &route).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn addresses_where_nobody_listens_are_passed_over() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listening = listener.local_addr().unwrap();
        // This listener is gone before anyone connects.
        let shut = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let six: SocketAddr = "[::1]:1".parse().unwrap();
        let of = |addresses: &[SocketAddr]| reachable(addresses.to_vec());
        assert_eq!(of(&[shut, listening]), (vec![listening], vec![shut, listening]));
        assert_eq!(of(&[six, shut, listening]), (vec![listening], vec![shut, listening]));
        assert_eq!(of(&[shut, six]), (vec![shut, six], vec![shut, six]));
        assert_eq!(of(&[shut]), (vec![shut], vec![shut]));
    }

    #[test]
    fn an_unknown_host_is_named() {
        let route = Route::of(Roots::Unverified);
        let error = Endpoint::resolve("http://nobody.invalid:1", &route).unwrap_err();
        assert_eq!(error.to_string(), "cannot resolve host `nobody.invalid`");
    }

    #[test]
    fn a_certificate_file_must_hold_certificates() {
        let route = Route::of(Roots::Trusted { extra: vec![PathBuf::from("Cargo.toml")] });
        let error = Endpoint::resolve("https://localhost", &route).unwrap_err();
        assert_eq!(error.to_string(), "cannot read certificates from Cargo.toml");
    }
}
