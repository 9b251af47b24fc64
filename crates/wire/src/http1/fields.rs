//! What the header fields of a message say about its body and its connection.

use infermark_terms::{DecodeFault, Nanos};

use super::Keep;

/// What a body is said to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentType {
    /// Nothing is said.
    #[default]
    Unstated,
    /// `text/event-stream`.
    EventStream,
    /// `application/json`, or another type whose syntax is JSON.
    Json,
    /// `application/x-ndjson`, or another name for JSON texts line by line.
    JsonLines,
    /// Anything else, and anything compressed.
    Other,
}

/// The fields that matter for reading on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    /// `Content-Length`.
    pub(super) length: Option<u64>,
    /// `Transfer-Encoding: chunked`.
    pub(super) chunked: bool,
    pub(super) content: ContentType,
    pub(super) keep: Keep,
    /// `Keep-Alive: timeout=…`.
    pub(super) idle: Option<Nanos>,
}

impl Fields {
    /// Reads the fields of a message of HTTP/1.`minor`.
    ///
    /// # Errors
    ///
    /// [`DecodeFault::Framing`] when the body's length is not to be known: a content length that
    /// is no number or contradicts another, or a transfer coding other than `chunked`.
    pub(super) fn read(
        minor: Option<u8>,
        headers: &[httparse::Header<'_>],
    ) -> Result<Self, DecodeFault> {
        // RFC 9112, section 9.3: HTTP/1.1 connections persist unless said otherwise.
        let keep = if minor == Some(1) { Keep::Reuse } else { Keep::Close };
        let mut fields = Self {
            length: None,
            chunked: false,
            content: content_of(headers.iter().map(|field| (field.name.as_bytes(), field.value))),
            keep,
            idle: None,
        };
        for httparse::Header { name, value } in headers {
            let value = value.trim_ascii();
            if name.eq_ignore_ascii_case("content-length") {
                let length = whole_number(value).ok_or(DecodeFault::Framing)?;
                if fields.length.replace(length).is_some_and(|other| other != length) {
                    return Err(DecodeFault::Framing);
                }
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                if fields.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(DecodeFault::Framing);
                }
                fields.chunked = true;
            } else if name.eq_ignore_ascii_case("connection") {
                fields.keep = connection(value, fields.keep);
            } else if name.eq_ignore_ascii_case("keep-alive") {
                fields.idle = idle(value);
            }
        }
        Ok(fields)
    }
}

/// Returns what fields say of a body's content.
pub(crate) fn content_of<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> ContentType {
    let mut content = ContentType::default();
    let mut coded = false;
    for (name, value) in fields {
        let value = value.trim_ascii();
        if name.eq_ignore_ascii_case(b"content-type") {
            content = content_type(value);
        } else if name.eq_ignore_ascii_case(b"content-encoding") {
            coded |= !value.eq_ignore_ascii_case(b"identity");
        }
    }
    if coded { ContentType::Other } else { content }
}

/// The names under which servers send JSON line by line; none is registered.
const JSON_LINES: [&[u8]; 4] = [
    b"application/x-ndjson",
    b"application/ndjson",
    b"application/jsonl",
    b"application/x-jsonlines",
];

/// Reads a number that has nothing but digits.
pub(crate) fn whole_number(value: &[u8]) -> Option<u64> {
    // `parse` would accept a sign.
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(value).ok()?.parse().ok())?
}

fn content_type(value: &[u8]) -> ContentType {
    let media = value.split(|&byte| byte == b';').next().unwrap_or(value).trim_ascii();
    let suffix = media.len().saturating_sub(b"+json".len());
    if media.eq_ignore_ascii_case(b"text/event-stream") {
        ContentType::EventStream
    } else if media.eq_ignore_ascii_case(b"application/json")
        || media[suffix..].eq_ignore_ascii_case(b"+json")
    {
        ContentType::Json
    } else if JSON_LINES.iter().any(|name| media.eq_ignore_ascii_case(name)) {
        ContentType::JsonLines
    } else {
        ContentType::Other
    }
}

/// Reads the timeout of `Keep-Alive`, in seconds [RFC 2068, section 19.7.1.1]. What is no number is
/// no promise.
fn idle(value: &[u8]) -> Option<Nanos> {
    let mut parameters = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let seconds = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_at_checked(b"timeout=".len())?;
        name.eq_ignore_ascii_case(b"timeout=").then(|| whole_number(value))?
    })?;
    Some(Nanos(seconds.checked_mul(1_000_000_000)?))
}

fn connection(value: &[u8], keep: Keep) -> Keep {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).fold(keep, |keep, option| {
        if option.eq_ignore_ascii_case(b"close") {
            Keep::Close
        } else if option.eq_ignore_ascii_case(b"keep-alive") {
            Keep::Reuse
        } else {
            keep
        }
    })
}
