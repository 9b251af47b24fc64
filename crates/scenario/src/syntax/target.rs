//! Targets: base URLs, read without a dependency, since all that is needed of RFC 3986 is scheme,
//! host, port and a path prefix.

use std::net::Ipv6Addr;

use super::{Codec, Fault, parse_line};
use crate::intent::{MetricPage, ProxyChoice, Replica, Target};

/// What names the embedded engine.
const SIM: &str = "sim:";

/// A target. A URL is written with scheme and host in lower case, without a `/` or `/v1` at its
/// end.
pub(crate) const TARGET: Codec<Target> = Codec {
    parse: |text| {
        // A URL with either may hold a password or a key.
        let secretive = text.contains(['@', '?', '#']);
        parse(text).map_err(|fault| if secretive { fault.withheld() } else { fault })
    },
    print: |target| match target {
        Target::Url(url) => url.clone(),
        Target::Sim(engine) => format!("{SIM}{engine}"),
    },
};

/// A replica: a URL, and its weight where that is not 1.
pub(crate) const REPLICA: Codec<Replica> = Codec {
    parse: parse_replica,
    print: |Replica { url, weight }| match *weight {
        1.0 => url.clone(),
        weight => format!("{url}{WEIGHT_MARK}{weight}"),
    },
};

const WEIGHT_MARK: &str = ",weight=";

/// The greatest weight, and the least is 1 ÷ that.
const WEIGHT_MAX: f64 = 1000.0;

fn parse_replica(text: &str) -> Result<Replica, Fault> {
    let (url, weight) = match text.rsplit_once(WEIGHT_MARK) {
        Some((url, weight)) => (url.trim_end(), parse_weight(weight)?),
        None => (text, 1.0),
    };
    match (TARGET.parse)(url)? {
        Target::Url(url) => Ok(Replica { url, weight }),
        Target::Sim(_) => Err(Fault::new(
            "the embedded engine is no replica",
            "a base URL such as `http://localhost:8001`",
        )),
    }
}

fn parse_weight(text: &str) -> Result<f64, Fault> {
    let fits = |weight: &f64| (1.0 / WEIGHT_MAX..=WEIGHT_MAX).contains(weight);
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(fits).filter(|_| plain).ok_or_else(|| {
        Fault::new("the weight is no such number", "a number from 0.001 to 1000, such as `2`")
    })
}

const TARGET_PAGE: &str = "target";
const NO_PAGE: &str = "none";

/// A page of metrics, or that there be none; a URL without a path names `/metrics`.
pub(crate) const METRIC_PAGE: Codec<Option<MetricPage>> = Codec {
    parse: |text| match text {
        TARGET_PAGE => Ok(Some(MetricPage::Target)),
        NO_PAGE => Ok(None),
        _ => (TARGET.parse)(text).and_then(page_of).map(Some).map_err(|fault| Fault {
            expected: "a URL such as `http://localhost:9400/metrics`, `target` or `none`"
                .to_owned(),
            ..fault
        }),
    },
    print: |page| match page {
        Some(MetricPage::Url(url)) => url.clone(),
        Some(MetricPage::Target) => TARGET_PAGE.to_owned(),
        None => NO_PAGE.to_owned(),
    },
};

/// A proxy, or where to find it. One that is named here carries no credentials.
pub(crate) const PROXY: Codec<ProxyChoice> = Codec {
    parse: |text| match text {
        ENVIRONMENT => Ok(ProxyChoice::Environment),
        NO_PAGE => Ok(ProxyChoice::Direct),
        _ => parse_proxy(text).map(ProxyChoice::Url).map_err(|found| {
            Fault::new(found, "a URL such as `http://proxy:3128`, `environment` or `none`")
                .hint("a proxy's credentials stand in the URL of `HTTPS_PROXY`")
                .withheld()
        }),
    },
    print: |choice| match choice {
        ProxyChoice::Environment => ENVIRONMENT.to_owned(),
        ProxyChoice::Direct => NO_PAGE.to_owned(),
        ProxyChoice::Url(url) => url.clone(),
    },
};

const ENVIRONMENT: &str = "environment";

fn parse_proxy(text: &str) -> Result<String, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("no scheme")?;
    if !scheme.eq_ignore_ascii_case("http") {
        return Err("the scheme is not one of a proxy that is spoken to");
    }
    let authority = parse_authority(rest.strip_suffix('/').unwrap_or(rest))?;
    Ok(format!("http://{authority}"))
}

fn page_of(target: Target) -> Result<MetricPage, Fault> {
    match target {
        Target::Sim(_) => Err(fault("the embedded engine's page is `target`")),
        Target::Url(url) => {
            let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
            let bare = !rest.contains('/');
            Ok(MetricPage::Url(if bare { format!("{url}/metrics") } else { url }))
        }
    }
}

fn fault(found: impl Into<String>) -> Fault {
    Fault::new(found, "a base URL such as `http://localhost:8000`, or `sim:`")
}

fn parse(text: &str) -> Result<Target, Fault> {
    let text = parse_line(text)?;
    if let Some(engine) = text.strip_prefix(SIM) {
        return Ok(Target::Sim(engine.trim().to_owned()));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let fault = fault("no scheme");
        return Err(match text {
            "sim" => fault.hint("for the embedded engine write `sim:`"),
            _ if parse_authority(text.split('/').next().unwrap_or(text)).is_ok() => {
                fault.hint(format!("write `http://{text}`"))
            }
            _ => fault,
        });
    };
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "http" && scheme != "https" {
        return Err(fault("the scheme is not known").hint("`http` and `https` are spoken"));
    }
    if rest.contains('?') {
        return Err(fault("a query is not part of a base URL")
            .hint("give a key by `api_key_env`, or by a `header` with `env:VAR`"));
    }
    if rest.contains('#') {
        return Err(fault("a fragment is not part of a base URL"));
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(fault("a user name or password must not stand in a URL")
            .hint("give `Authorization: env:VAR` as `header`, or `api_key_env`"));
    }
    let (authority, path) = (parse_authority(authority).map_err(fault)?, parse_path(path)?);
    Ok(Target::Url(format!("{scheme}://{authority}{path}")))
}

/// Reads host and optional port; the host in lower case.
fn parse_authority(text: &str) -> Result<String, &'static str> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("`[` is not closed")?;
        let address: Ipv6Addr =
            host.parse().map_err(|_| "not an IPv6 address between `[` and `]`")?;
        (format!("[{address}]"), port)
    } else {
        let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        (host.to_ascii_lowercase(), port)
    };
    if host.is_empty() {
        return Err("no host");
    }
    if !host.starts_with('[')
        && !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    {
        return Err("not a host's name or address");
    }
    let Some(port) = port.strip_prefix(':') else {
        return if port.is_empty() { Ok(host) } else { Err("text after the address") };
    };
    match port.parse::<u16>() {
        Ok(number) if number > 0 && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(format!("{host}:{number}"))
        }
        Ok(_) | Err(_) => Err("not a port from 1 to 65535"),
    }
}

/// Reads the path, without what the API's paths begin with.
fn parse_path(text: &str) -> Result<&str, Fault> {
    let reserved = b"\"<>\\^`{|}";
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && !reserved.contains(&byte)) {
        return Err(fault("a character that a path cannot hold").hint("percent-encode it"));
    }
    let mut path = text.trim_end_matches('/');
    if path.ends_with("/completions") {
        return Err(fault("the path of one call, not a base URL")
            .hint("leave out `/v1/chat/completions` or `/v1/completions`, and give `api`"));
    }
    while let Some(rest) = path.strip_suffix("/v1") {
        path = rest.trim_end_matches('/');
    }
    Ok(path)
}
