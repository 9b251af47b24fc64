//! Writing messages, both roles.

use std::io::Write as _;

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The target: a path with its query, percent-encoded, or an absolute URL for a proxy.
    pub path: &'a str,
    /// The value of `Host`: the authority of the server's URL.
    pub host: &'a str,
    /// Further fields. They replace the defaults of the same name.
    pub headers: &'a [(String, String)],
}

impl RequestHead<'_> {
    /// The fields of every request that does not have its own.
    pub(crate) const DEFAULTS: [(&'static str, &'static str); 2] =
        [("Accept", "*/*"), ("User-Agent", concat!("infermark/", env!("CARGO_PKG_VERSION")))];
}

/// Returns a complete request: head, and body where there is a content type.
///
/// The defaults are `Accept: */*` and `User-Agent: infermark/<version>`. A line end or NUL in a
/// field's value is written as a space (RFC 9110, section 5.5), so that a value never ends its
/// field.
pub fn request(head: &RequestHead<'_>, content_type: Option<&str>, body: &[u8]) -> Vec<u8> {
    let RequestHead { method, path, host, headers } = head;
    let mut out = Vec::with_capacity(512 + body.len());
    push(&mut out, format_args!("{method} {path} HTTP/1.1\r\n"));
    let given = |name: &str| headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
    let defaults = [("Host", *host)].into_iter().chain(RequestHead::DEFAULTS);
    for (name, value) in defaults.filter(|(name, _)| !given(name)) {
        field(&mut out, name, value);
    }
    for (name, value) in *headers {
        field(&mut out, name, value);
    }
    if let Some(content_type) = content_type {
        if !given("Content-Type") {
            field(&mut out, "Content-Type", content_type);
        }
        push(&mut out, format_args!("Content-Length: {}\r\n", body.len()));
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(if content_type.is_some() { body } else { b"" });
    out
}

/// Appends a complete response. The length is stated; `headers` must not state it again.
pub fn write_response(out: &mut Vec<u8>, status: u16, headers: &[(&str, &str)], body: &[u8]) {
    response_head(out, status, headers);
    push(out, format_args!("Content-Length: {}\r\n\r\n", body.len()));
    out.extend_from_slice(body);
}

/// Makes a complete response the answer to a `HEAD` request, which has no body but says how long
/// it would be (RFC 9110, section 9.3.2).
pub fn drop_body(response: &mut Vec<u8>) {
    let end = b"\r\n\r\n";
    if let Some(at) = response.windows(end.len()).position(|window| window == end) {
        response.truncate(at + end.len());
    }
}

/// Appends the head of a response whose body comes in chunks.
pub fn start_chunked(out: &mut Vec<u8>, status: u16, headers: &[(&str, &str)]) {
    response_head(out, status, headers);
    out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
}

/// Appends one chunk. Nothing is written for no bytes: an empty chunk would end the body.
pub fn write_chunk(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    push(out, format_args!("{:x}\r\n", bytes.len()));
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends the end of a chunked body.
pub fn end_chunked(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

fn response_head(out: &mut Vec<u8>, status: u16, headers: &[(&str, &str)]) {
    push(out, format_args!("HTTP/1.1 {status} {}\r\n", reason(status)));
    for (name, value) in headers {
        field(out, name, value);
    }
}

fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    push(out, format_args!("{name}: "));
    let clean = |byte| if matches!(byte, b'\r' | b'\n' | 0) { b' ' } else { byte };
    out.extend(value.trim().bytes().map(clean));
    out.extend_from_slice(b"\r\n");
}

fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory does not fail");
}

/// Returns the reason phrase of the statuses that we send; it may be empty (RFC 9112, section 4).
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "",
    }
}
