//! Heads: a request's as a header block, a response's as what its fields say.

use ringline_h2::HeaderField;
use ringline_h2::hpack::Encoder;

use crate::http1::{ContentType, RequestHead, content_of, whole_number};

/// Fields that speak of an HTTP/1.1 connection and may not stand in HTTP/2 (RFC 9113, section
/// 8.2.2), and those that have become pseudo-fields or are written by us.
const DROPPED: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te", "host"];

/// Returns a complete request, as [`Client::open`](super::Client::open) takes it: the length of
/// the header block in 4 bytes, the block, the body where there is a content type.
///
/// Defaults and fields are those of HTTP/1.1's [`request`](crate::http1::request); what is only for
/// its connections is left out.
pub fn request(
    scheme: &str,
    head: &RequestHead<'_>,
    content_type: Option<&str>,
    body: &[u8],
) -> Vec<u8> {
    let field = |name: &str, value: &str| HeaderField::new(name, clean(value));
    let given = |name: &str| {
        let found = head.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    };
    let mut fields = vec![
        field(":method", head.method),
        field(":scheme", scheme),
        field(":authority", given("host").unwrap_or(head.host)),
        field(":path", if head.path.is_empty() { "/" } else { head.path }),
    ];
    let content = content_type.map(|content_type| ("content-type", content_type));
    let defaults = RequestHead::DEFAULTS.into_iter().chain(content);
    for (name, value) in defaults.filter(|(name, _)| given(name).is_none()) {
        fields.push(field(&name.to_ascii_lowercase(), value));
    }
    for (name, value) in head.headers {
        let name = name.to_ascii_lowercase();
        if !DROPPED.contains(&name.as_str()) {
            fields.push(field(&name, value));
        }
    }
    let body = if content_type.is_some() { body } else { b"" };
    if content_type.is_some() {
        fields.push(field("content-length", &body.len().to_string()));
    }
    let mut out = Vec::with_capacity(512 + body.len());
    out.extend_from_slice(&[0; 4]);
    push_block(&mut out, &fields);
    let block = out.len() as u32 - 4;
    out[..4].copy_from_slice(&block.to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// Returns a field's value as it may be sent (section 8.2.1).
fn clean(value: &str) -> Vec<u8> {
    let clean = |byte| if matches!(byte, b'\r' | b'\n' | 0) { b' ' } else { byte };
    value.trim().bytes().map(clean).collect()
}

/// Appends a header block that neither needs nor leaves a table on the other side: it begins by
/// setting the table's size to nothing, which is always allowed.
pub(super) fn push_block(out: &mut Vec<u8>, fields: &[HeaderField]) {
    let mut encoder = Encoder::new(0);
    encoder.set_max_table_size(0, out);
    encoder.encode(fields, out);
}

/// The head of a response.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The status, never 100–199.
    pub status: u16,
    fields: &'a [HeaderField],
}

impl<'a> Head<'a> {
    /// Reads a header block's fields; nothing if they are no response's.
    pub(super) fn of(fields: &'a [HeaderField]) -> Option<Self> {
        let mut pseudo = fields.iter().filter(|field| field.name.starts_with(b":"));
        let (status, more) = (pseudo.next()?, pseudo.next());
        let fit = status.name == b":status" && status.value.len() == 3 && more.is_none();
        let status = whole_number(&status.value).filter(|_| fit)?;
        let status = u16::try_from(status).ok().filter(|status| *status >= 100)?;
        Some(Self { status, fields })
    }

    /// Returns its ordinary fields.
    fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let named = self.fields.iter().filter(|field| !field.name.starts_with(b":"));
        named.map(|field| (field.name.as_slice(), field.value.trim_ascii()))
    }

    /// Returns what the body is said to be.
    pub fn content(&self) -> ContentType {
        content_of(self.fields())
    }

    /// Returns how long the body is said to be; an error where that is no number.
    pub(super) fn length(&self) -> Result<Option<u64>, ()> {
        let mut lengths = self.fields().filter(|(name, _)| *name == b"content-length");
        lengths.next().map(|(_, value)| whole_number(value).ok_or(())).transpose()
    }

    /// Writes it as the head of an HTTP/1.1 response whose body comes in chunks: for those who
    /// read responses of either version and do not measure them.
    pub fn to_http1(&self) -> Vec<u8> {
        let mut out = format!("HTTP/1.1 {} \r\n", self.status).into_bytes();
        for (name, value) in self.fields().filter(|(name, _)| *name != b"content-length") {
            out.extend([name, b": ", value, b"\r\n"].concat());
        }
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        out
    }
}
