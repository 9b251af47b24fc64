//! Reading requests: the server's role.

use infermark_terms::DecodeFault;

use super::body::Body;
use super::fields::Fields;
use super::{BODY_MAX, FIELDS_MAX, HEAD_MAX, Keep};

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// The target as sent, query included.
    pub path: String,
    /// Names as sent, values read as UTF-8 where they are.
    pub headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: Vec<u8>,
    /// What the client wants done with the connection afterwards.
    pub keep: Keep,
}

impl Request {
    /// Returns the value of the first header of this name, in whatever case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Why a request could not be read. The connection must be closed after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// The head is not HTTP/1.1.
    #[error("the request is not HTTP/1.1")]
    Head,
    /// The head exceeds [`HEAD_MAX`].
    #[error("the request's head is longer than {HEAD_MAX} bytes")]
    HeadTooLong,
    /// The body's framing is broken.
    #[error("the request's framing is broken")]
    Framing,
    /// The body exceeds [`BODY_MAX`].
    #[error("the request's body is longer than {BODY_MAX} bytes")]
    BodyTooLong,
}

impl RequestFault {
    /// Returns the status to answer with.
    pub const fn status(self) -> u16 {
        match self {
            Self::Head | Self::Framing => 400,
            Self::HeadTooLong => 431,
            Self::BodyTooLong => 413,
        }
    }
}

/// Reads the requests of one connection, one after another.
#[derive(Debug, Default)]
pub struct RequestDecoder {
    /// Bytes that have not been read yet.
    buffer: Vec<u8>,
    /// A request whose body is incomplete.
    current: Option<(Request, Body)>,
}

impl RequestDecoder {
    /// Returns a decoder for a fresh connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes; [`RequestDecoder::next_request`] reads them.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next request that has arrived whole, if one has. Call it until it returns
    /// nothing: clients may send several at once.
    ///
    /// # Errors
    ///
    /// When the bytes are no request or too many. Nothing can be read from the connection then.
    pub fn next_request(&mut self) -> Result<Option<Request>, RequestFault> {
        if self.current.is_none() {
            self.current = self.head()?;
        }
        let Some((request, body)) = &mut self.current else {
            return Ok(None);
        };
        let used = body
            .feed(&self.buffer, &mut |piece| request.body.extend_from_slice(piece))
            .map_err(|_| RequestFault::Framing)?;
        drop(self.buffer.drain(..used));
        if request.body.len() > BODY_MAX {
            return Err(RequestFault::BodyTooLong);
        }
        let done = body.is_done();
        Ok(self.current.take_if(|_| done).map(|(request, _)| request))
    }

    fn head(&mut self) -> Result<Option<(Request, Body)>, RequestFault> {
        let Some((length, request, fields)) = parse(&self.buffer)? else {
            let too_long = self.buffer.len() > HEAD_MAX;
            return if too_long { Err(RequestFault::HeadTooLong) } else { Ok(None) };
        };
        drop(self.buffer.drain(..length));
        let body = match fields.length {
            _ if fields.chunked => Body::CHUNKED,
            Some(length) if length > BODY_MAX as u64 => return Err(RequestFault::BodyTooLong),
            // RFC 9112, section 6.3: a request without a length has no body.
            length => Body::Length(length.unwrap_or(0)),
        };
        Ok(Some((request, body)))
    }
}

/// Returns the head's length, the request without its body, and its fields; nothing if `bytes`
/// ends before the head does.
fn parse(bytes: &[u8]) -> Result<Option<(usize, Request, Fields)>, RequestFault> {
    let mut headers = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Partial) => return Ok(None),
        Ok(httparse::Status::Complete(length)) => length,
        Err(httparse::Error::TooManyHeaders) => return Err(RequestFault::HeadTooLong),
        Err(_) => return Err(RequestFault::Head),
    };
    if length > HEAD_MAX {
        return Err(RequestFault::HeadTooLong);
    }
    let fields = Fields::read(request.version, request.headers)
        .map_err(|_: DecodeFault| RequestFault::Framing)?;
    let headers = request
        .headers
        .iter()
        .map(|header| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned()));
    let read = Request {
        method: request.method.unwrap_or_default().to_owned(),
        path: request.path.unwrap_or_default().to_owned(),
        headers: headers.collect(),
        body: Vec::new(),
        keep: fields.keep,
    };
    Ok(Some((length, read, fields)))
}
