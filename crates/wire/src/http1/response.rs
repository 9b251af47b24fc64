//! Reading responses: the client's role.

use infermark_terms::{DecodeFault, Nanos};

use super::body::Body;
use super::fields::{ContentType, Fields};
use super::{BODY_MAX, FIELDS_MAX, HEAD_MAX, Keep};

/// What the head of a response says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status, never 100–199.
    pub status: u16,
    /// What the body is said to be.
    pub content: ContentType,
}

/// Takes a response as it is read.
pub trait BodySink {
    /// Takes the head, once, before any of the body.
    fn head(&mut self, head: ResponseHead);
    /// Takes the next bytes of the body, never none.
    fn body(&mut self, bytes: &[u8]);
}

/// Whether a message has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// More is to come.
    Open,
    /// It is complete.
    Complete,
}

/// Reads one response. 1xx responses before it are skipped.
#[derive(Debug)]
pub struct ResponseDecoder {
    state: State,
    /// The beginning of a head that has not arrived whole.
    partial: Vec<u8>,
    keep: Keep,
    idle: Option<Nanos>,
    bodiless: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    Body(Body),
    Done,
}

impl Default for ResponseDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl ResponseDecoder {
    /// Returns a decoder for the response to a request that is not `HEAD`.
    pub fn new() -> Self {
        Self {
            state: State::Head,
            partial: Vec::new(),
            keep: Keep::Close,
            idle: None,
            bodiless: false,
        }
    }

    /// Returns a decoder for the response to a `HEAD` request, which has no body.
    pub fn for_head() -> Self {
        Self { bodiless: true, ..Self::new() }
    }

    /// Gets ready for the response to the next request of the same kind; keeps the buffer.
    pub fn reset(&mut self) {
        self.state = State::Head;
        self.partial.clear();
        self.keep = Keep::Close;
        self.idle = None;
    }

    /// Says whether the connection may carry another request once this response is complete.
    pub fn keep(&self) -> Keep {
        match self.state {
            State::Done => self.keep,
            State::Head | State::Body(_) => Keep::Close,
        }
    }

    /// Returns how long the server keeps the connection open without a request, where it says so
    /// in `Keep-Alive: timeout=…`.
    pub fn idle(&self) -> Option<Nanos> {
        self.idle
    }

    /// Reads the next bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeFault::Head`], [`DecodeFault::Framing`]; [`DecodeFault::Excess`] for bytes after
    /// the response's end. What came before the fault has gone to `sink`.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut impl BodySink) -> Result<Message, DecodeFault> {
        let mut rest = bytes;
        loop {
            match &mut self.state {
                State::Head => match self.head(rest)? {
                    None => return Ok(Message::Open),
                    Some((used, head)) => {
                        rest = &rest[used..];
                        if let Some(head) = head {
                            sink.head(head);
                        }
                    }
                },
                State::Body(body) => {
                    let used = body.feed(rest, &mut |piece| sink.body(piece))?;
                    rest = &rest[used..];
                    if !body.is_done() {
                        return Ok(Message::Open);
                    }
                    self.state = State::Done;
                }
                State::Done if rest.is_empty() => return Ok(Message::Complete),
                State::Done => return Err(DecodeFault::Excess),
            }
        }
    }

    /// Learns that the peer has closed the connection, and says whether the response is complete
    /// by that.
    pub fn closed(&mut self) -> Message {
        match self.state {
            State::Done => Message::Complete,
            State::Body(Body::UntilClose) => {
                self.state = State::Done;
                Message::Complete
            }
            State::Head | State::Body(_) => Message::Open,
        }
    }

    /// Reads on in the head. Returns nothing while it is incomplete; else how many of `bytes`
    /// belong to it, and the head unless it is one to be skipped.
    fn head(&mut self, bytes: &[u8]) -> Result<Option<(usize, Option<ResponseHead>)>, DecodeFault> {
        let held = self.partial.len();
        let parsed = if held == 0 {
            parse(bytes)?
        } else {
            self.partial.extend_from_slice(bytes);
            parse(&self.partial)?
        };
        let Some((length, status, fields)) = parsed else {
            if held == 0 {
                self.partial.extend_from_slice(bytes);
            }
            return if self.partial.len() > HEAD_MAX { Err(DecodeFault::Head) } else { Ok(None) };
        };
        if length > HEAD_MAX {
            return Err(DecodeFault::Head);
        }
        self.partial.clear();
        let used = length - held;
        match status {
            // We never ask for another protocol.
            101 | ..100 => return Err(DecodeFault::Head),
            102..200 | 100 => return Ok(Some((used, None))),
            200.. => {}
        }
        // RFC 9112, section 6.3: how a response's body ends.
        let body = if self.bodiless || matches!(status, 204 | 304) {
            Body::Length(0)
        } else if fields.chunked {
            Body::CHUNKED
        } else {
            fields.length.map_or(Body::UntilClose, Body::Length)
        };
        self.idle = fields.idle;
        self.keep = if body == Body::UntilClose { Keep::Close } else { fields.keep };
        self.state = State::Body(body);
        Ok(Some((used, Some(ResponseHead { status, content: fields.content }))))
    }
}

/// Returns the head's length, its status and its fields; nothing if `bytes` ends before it does.
fn parse(bytes: &[u8]) -> Result<Option<(usize, u16, Fields)>, DecodeFault> {
    let mut headers = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(bytes).map_err(|_| DecodeFault::Head)? {
        httparse::Status::Partial => Ok(None),
        httparse::Status::Complete(length) => {
            let status = response.code.expect("a complete head has a status");
            let fields = Fields::read(response.version, response.headers)?;
            Ok(Some((length, status, fields)))
        }
    }
}

/// A response kept whole, for calls that are not measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// The head, once it has arrived.
    pub head: Option<ResponseHead>,
    /// The body, or its first [`BODY_MAX`] bytes.
    pub body: Vec<u8>,
}

impl BodySink for Collected {
    fn head(&mut self, head: ResponseHead) {
        self.head = Some(head);
    }

    fn body(&mut self, bytes: &[u8]) {
        let room = BODY_MAX - self.body.len();
        self.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}
