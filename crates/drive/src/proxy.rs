//! Which proxy leads to which server.
//!
//! | the server is asked over | through a proxy |
//! |---|---|
//! | `http` | in the absolute form, by the proxy itself [RFC 9112, section 3.2.2] |
//! | `https` | through a tunnel, so that the proxy sees nothing [RFC 9110, section 9.3.6] |
//!
//! The environment is read as curl and Go read it: `HTTPS_PROXY` or `HTTP_PROXY` by the server's
//! scheme, else `ALL_PROXY`; each in lower case first. `NO_PROXY` says which servers are asked
//! directly: names with all below them, addresses, networks such as `10.0.0.0/8`, each with a
//! port if it ends in one, or `*`. As in Go, loopback is never asked through a proxy of the
//! environment's: the proxy has a loopback of its own. A proxy that is named for the run takes
//! all, exceptions or not.
//!
//! # Invariants
//!
//! - A proxy's credentials go to the proxy, and are shown nowhere: not in errors, not by `Debug`.
//! - A variable that is never needed is never found fault with.
//!
//! Deliberately not here: SOCKS, and proxies that are spoken to over TLS.

use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

use crate::endpoint::Scheme;

/// Looks up a variable of the environment.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Which proxy leads to which server.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Proxies(Rules);

#[derive(Clone, Debug, PartialEq, Eq, Default)]
enum Rules {
    #[default]
    Direct,
    Named(Proxy),
    Environment {
        http: Option<Variable>,
        https: Option<Variable>,
        direct: String,
    },
}

/// A variable that names a proxy. Its text may hold a password.
#[derive(Clone, PartialEq, Eq)]
struct Variable {
    name: String,
    text: String,
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Variable").field(&self.name).finish()
    }
}

/// A proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
    /// What goes into `Proxy-Authorization`.
    authorization: Option<String>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proxy").field(&self.to_string()).finish()
    }
}

/// Its host and port, without its credentials.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Why a proxy cannot be used. What stands there may hold a password, and is not quoted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the proxy that `{place}` names cannot be used: {found}")]
pub struct ProxyError {
    /// Who names it: a variable, or a flag.
    pub place: String,
    /// What is wrong with it.
    pub found: &'static str,
}

/// The port of a proxy that names none. Curl's is 1080, browsers' and Go's 80.
const PROXY_PORT: u16 = 80;

impl Proxies {
    /// Asks every server directly.
    pub fn none() -> Self {
        Self(Rules::Direct)
    }

    /// Asks every server through this proxy, which `place` names.
    ///
    /// # Errors
    ///
    /// If the URL is not one of a proxy.
    pub fn named(url: &str, place: &str) -> Result<Self, ProxyError> {
        Ok(Self(Rules::Named(Proxy::parse(url, place)?)))
    }

    /// Asks servers as the environment says.
    pub fn of_environment(lookup: &Lookup<'_>) -> Self {
        let variable = |names: [&str; 2]| {
            let names = names.into_iter().flat_map(|name| [name.to_owned(), name.to_uppercase()]);
            names.into_iter().find_map(|name| {
                let text = lookup(&name).filter(|text| !text.is_empty())?;
                Some(Variable { name, text })
            })
        };
        let direct = ["no_proxy", "NO_PROXY"].into_iter().find_map(lookup).unwrap_or_default();
        Self(Rules::Environment {
            http: variable(["http_proxy", "all_proxy"]),
            https: variable(["https_proxy", "all_proxy"]),
            direct,
        })
    }

    /// Returns the proxy that leads to a server, if one does.
    pub(crate) fn lead(
        &self,
        scheme: Scheme,
        host: &str,
        port: u16,
    ) -> Result<Option<Proxy>, ProxyError> {
        let (variable, direct) = match (&self.0, scheme) {
            (Rules::Direct, _) => return Ok(None),
            (Rules::Named(proxy), _) => return Ok(Some(proxy.clone())),
            (Rules::Environment { http, direct, .. }, Scheme::Http) => (http, direct),
            (Rules::Environment { https, direct, .. }, Scheme::Https) => (https, direct),
        };
        let Some(variable) = variable else { return Ok(None) };
        if is_loopback(host) || is_direct(direct, host, port) {
            return Ok(None);
        }
        Proxy::parse(&variable.text, &variable.name).map(Some)
    }
}

impl Proxy {
    /// Reads `[http://][user:password@]host[:port][/]`.
    fn parse(text: &str, place: &str) -> Result<Self, ProxyError> {
        let wrong = |found| ProxyError { place: place.to_owned(), found };
        let rest = match text.trim().split_once("://") {
            None => text.trim(),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return Err(wrong("only proxies of the scheme `http` are spoken to")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, authority) = match rest.rsplit_once('@') {
            Some((credentials, authority)) => (Some(credentials), authority),
            None => (None, rest),
        };
        let unclear = || wrong("it is not of the form http://[user:password@]host[:port]");
        let (host, port) = host_and_port(authority).ok_or_else(unclear)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if host.is_empty() || !host.chars().all(plain) {
            return Err(unclear());
        }
        let port = port.map_or(Some(PROXY_PORT), |port| port.parse().ok()).ok_or_else(unclear)?;
        let authorization = match credentials {
            None => None,
            Some(credentials) => {
                let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
                let joined = [decoded(user), vec![b':'], decoded(password)].concat();
                Some(format!("Basic {}", base64(&joined)))
            }
        };
        Ok(Self { host: host.to_ascii_lowercase(), port, authorization })
    }

    /// Returns its name or address.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Returns its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the field that proves us to it. Its value is a secret.
    pub fn field(&self) -> Option<(String, String)> {
        Some(("Proxy-Authorization".to_owned(), self.authorization.clone()?))
    }
}

/// Takes a host and its port apart, and the brackets off an IPv6 address.
pub(crate) fn host_and_port(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(six) = text.strip_prefix('[') {
        let (host, rest) = six.split_once(']')?;
        return match rest {
            "" => Some((host, None)),
            rest => Some((host, Some(rest.strip_prefix(':')?))),
        };
    }
    match text.split_once(':') {
        // An IPv6 address without brackets has no port.
        Some((_, rest)) if rest.contains(':') => Some((text, None)),
        Some((host, port)) => Some((host, Some(port))),
        None => Some((text, None)),
    }
}

fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let local = name == "localhost" || name.ends_with(".localhost");
    local || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Says whether a list of exceptions holds this server.
fn is_direct(list: &str, host: &str, port: u16) -> bool {
    let entries = list.split(|c: char| c == ',' || c.is_whitespace());
    entries.filter(|entry| !entry.is_empty()).any(|entry| excepts(entry, host, port))
}

fn excepts(entry: &str, host: &str, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    let address: Option<IpAddr> = host.parse().ok();
    if let (Some((network, bits)), Some(address)) = (entry.split_once('/'), address) {
        let network: Option<IpAddr> = network.parse().ok();
        return network.zip(bits.parse().ok()).is_some_and(|(n, bits)| is_within(address, n, bits));
    }
    let Some((name, stated)) = host_and_port(entry) else { return false };
    if stated.is_some_and(|stated| stated.parse() != Ok(port)) {
        return false;
    }
    if let (Some(address), Ok(named)) = (address, name.parse::<IpAddr>()) {
        return address == named;
    }
    let lower = |text: &str| text.trim_end_matches('.').to_ascii_lowercase();
    let (name, host) = (lower(name.trim_start_matches("*.").trim_start_matches('.')), lower(host));
    !name.is_empty()
        && address.is_none()
        && host.strip_suffix(&name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Says whether an address is in the network of the first `bits` bits of another.
fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
            bits <= 32 && (address.to_bits() ^ network.to_bits()) & mask == 0
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0);
            bits <= 128 && (address.to_bits() ^ network.to_bits()) & mask == 0
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// Undoes percent-encoding [RFC 3986, section 2.1]. What is not encoded so stays as it is.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let pair = tail.get(..2).filter(|_| first == b'%');
        let byte = pair.and_then(|pair| {
            let text = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(text, 16).ok()
        });
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    bytes
}

/// Writes base 64 with padding [RFC 4648, section 4].
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |at| group.get(at).copied().map_or(0, u32::from);
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Proxies {
        Proxies::of_environment(&|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, text)| (*text).to_owned())
        })
    }

    fn shown(proxies: &Proxies, scheme: Scheme, host: &str) -> Option<String> {
        proxies.lead(scheme, host, 443).unwrap().map(|proxy| proxy.to_string())
    }

    #[test]
    fn the_scheme_chooses_the_variable_and_lower_case_comes_first() {
        let all = [
            ("HTTP_PROXY", "http://upper:1"),
            ("http_proxy", "http://lower:2"),
            ("HTTPS_PROXY", "secure:3/"),
            ("ALL_PROXY", "http://all:4"),
        ];
        let proxies = environment(&all);
        assert_eq!(shown(&proxies, Scheme::Http, "h").unwrap(), "lower:2");
        assert_eq!(shown(&proxies, Scheme::Https, "h").unwrap(), "secure:3");
        let rest = environment(&all[3..]);
        assert_eq!(shown(&rest, Scheme::Http, "h").unwrap(), "all:4");
        assert_eq!(shown(&rest, Scheme::Https, "h").unwrap(), "all:4");
        assert_eq!(shown(&environment(&[("http_proxy", "")]), Scheme::Http, "h"), None);
        assert_eq!(shown(&Proxies::none(), Scheme::Http, "h"), None);
    }

    #[test]
    fn loopback_is_asked_directly_unless_the_proxy_is_named_for_the_run() {
        let proxies = environment(&[("all_proxy", "http://p:1")]);
        let named = Proxies::named("http://p:1", "--proxy").unwrap();
        for host in ["localhost", "LOCALHOST", "a.localhost", "127.0.0.1", "127.9.9.9", "::1"] {
            assert_eq!(shown(&proxies, Scheme::Http, host), None, "{host}");
            assert_eq!(shown(&named, Scheme::Http, host).unwrap(), "p:1");
        }
        assert!(shown(&proxies, Scheme::Http, "128.0.0.1").is_some());
    }

    #[test]
    fn exceptions_are_names_with_all_below_them_addresses_networks_and_ports() {
        for (list, direct, proxied) in [
            ("*", &["any", "10.1.1.1"][..], &[][..]),
            ("b.com", &["b.com", "a.b.com", "B.COM", "b.com."], &["ab.com", "com", "b.com.org"]),
            (".b.com, *.c.org", &["a.b.com", "b.com", "x.c.org"], &["c.net"]),
            ("10.0.0.0/8 172.16.0.0/12", &["10.1.2.3", "172.31.0.1"], &["11.0.0.1", "172.32.0.1"]),
            ("0.0.0.0/0", &["10.1.2.3"], &["name", "fd00::1"]),
            ("10.0.0.0/33,10.0.0.0/x", &[], &["10.0.0.0"]),
            ("fd00::/8,fe80::1", &["fd12::1", "fe80::1"], &["fc00::1", "fe80::2"]),
            ("[fe80::1]:443", &["fe80::1"], &["fe80::2"]),
            ("10.0.0.1", &["10.0.0.1"], &["10.0.0.11", "110.0.0.1"]),
            ("h:443,g:80,.1", &["h"], &["g", "10.0.0.1"]),
            (" ,,", &[], &["h"]),
        ] {
            let proxies = environment(&[("https_proxy", "http://p:1"), ("NO_PROXY", list)]);
            for host in direct {
                assert_eq!(shown(&proxies, Scheme::Https, host), None, "{host} in {list}");
            }
            for host in proxied {
                assert!(shown(&proxies, Scheme::Https, host).is_some(), "{host} not in {list}");
            }
        }
    }

    #[test]
    fn credentials_go_into_the_field_and_are_shown_nowhere() {
        // RFC 7617, section 2, has this pair.
        let proxy = Proxy::parse("http://Aladdin:open%20sesame@P.example:3128", "X").unwrap();
        let (name, value) = proxy.field().unwrap();
        assert_eq!(name, "Proxy-Authorization");
        assert_eq!(value, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(proxy.to_string(), "p.example:3128");
        let url = "http://user:s3cr3t@p:1";
        let proxies = [
            Proxies::named(url, "--proxy").unwrap(),
            environment(&[("HTTP_PROXY", url), ("https_proxy", "socks5://user:s3cr3t@p:1")]),
        ];
        let shown = format!("{proxies:?} {:?}", proxies[1].lead(Scheme::Http, "h", 80));
        let error = proxies[1].lead(Scheme::Https, "h", 443).unwrap_err();
        let shown = format!("{shown} {error} {error:?}");
        assert!(!shown.contains("s3cr3t") && !shown.contains(&base64(b"user:s3cr3t")), "{shown}");
        assert!(shown.contains("`https_proxy`"), "{shown}");
    }

    #[test]
    fn base_64_is_that_of_the_standard() {
        let texts = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (length, expected) in texts.into_iter().enumerate() {
            assert_eq!(base64(&b"foobar"[..length]), expected);
        }
    }

    #[test]
    fn a_proxy_that_is_not_one_is_refused_without_being_quoted() {
        for (url, found) in [
            ("https://p:1", "scheme"),
            ("socks5h://p", "scheme"),
            ("http://", "form"),
            ("p:x", "form"),
            ("p:99999", "form"),
            ("http://p/path", "form"),
            ("[::1", "form"),
        ] {
            let error = Proxies::named(url, "--proxy").unwrap_err().to_string();
            assert!(error.contains("`--proxy`") && error.contains(found), "{url}: {error}");
        }
        assert_eq!(Proxy::parse("[fd00::1]:9", "X").unwrap().to_string(), "[fd00::1]:9");
        assert_eq!(Proxy::parse("p", "X").unwrap().to_string(), "p:80");
    }
}
