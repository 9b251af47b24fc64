//! How a request ended. What a server or a network does to a request is data, never an `Err`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Nanos;

/// How a request ended: exactly one for each arrival, also for those that could not be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// The response ended as the protocol says it should.
    Finished {
        /// Why generation stopped.
        reason: FinishReason,
    },
    /// The server said no: a status outside 200–299.
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said.
        message: Excerpt,
    },
    /// The connection failed, or the response stopped before its end.
    Severed {
        /// How far the request had come.
        phase: Phase,
        /// What failed.
        fault: TransportFault,
    },
    /// The server broke the protocol.
    Garbled {
        /// How.
        fault: DecodeFault,
    },
    /// The server reported an error inside a response that had begun as a success.
    Errored {
        /// What it said.
        message: Excerpt,
    },
    /// Our time limit passed.
    Expired {
        /// How far the request had come.
        phase: Phase,
        /// The limit.
        limit: Nanos,
    },
    /// The generator did not send it.
    Shed {
        /// Why not.
        reason: ShedReason,
    },
    /// We stopped while it was under way.
    Abandoned,
}

impl Outcome {
    /// Returns which of the eight this is.
    pub const fn kind(&self) -> OutcomeKind {
        match self {
            Self::Finished { .. } => OutcomeKind::Finished,
            Self::Refused { .. } => OutcomeKind::Refused,
            Self::Severed { .. } => OutcomeKind::Severed,
            Self::Garbled { .. } => OutcomeKind::Garbled,
            Self::Errored { .. } => OutcomeKind::Errored,
            Self::Expired { .. } => OutcomeKind::Expired,
            Self::Shed { .. } => OutcomeKind::Shed,
            Self::Abandoned => OutcomeKind::Abandoned,
        }
    }
}

/// The eight kinds of outcome, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is documented at the variant of `Outcome` of its name")]
pub enum OutcomeKind {
    Finished,
    Refused,
    Severed,
    Garbled,
    Errored,
    Expired,
    Shed,
    Abandoned,
}

impl OutcomeKind {
    /// All kinds, in the order in which they are printed.
    pub const ALL: [Self; 8] = [
        Self::Finished,
        Self::Refused,
        Self::Severed,
        Self::Garbled,
        Self::Errored,
        Self::Expired,
        Self::Shed,
        Self::Abandoned,
    ];

    /// Returns the name used in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Refused => "refused",
            Self::Severed => "severed",
            Self::Garbled => "garbled",
            Self::Errored => "errored",
            Self::Expired => "expired",
            Self::Shed => "shed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Why the server stopped generating.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// End of sequence or a stop string.
    Stop,
    /// The token limit.
    Length,
    /// A tool call.
    ToolCalls,
    /// A content filter.
    ContentFilter,
    /// Another reason, in the server's word.
    Other(Excerpt),
    /// The response ended properly without giving one.
    Unstated,
}

/// How far a request had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Name resolution, TCP or TLS.
    Connect,
    /// Writing the request.
    Send,
    /// Waiting for the first byte of the response.
    Headers,
    /// Waiting for the first chunk.
    FirstToken,
    /// Between chunks, or waiting for the end.
    Stream,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Send => "sending the request",
            Self::Headers => "waiting for the response",
            Self::FirstToken => "waiting for the first token",
            Self::Stream => "streaming",
        })
    }
}

/// What failed below the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransportFault {
    /// The host's name could not be resolved.
    NameUnknown,
    /// Nobody listens there.
    ConnectionRefused,
    /// The peer reset the connection.
    Reset,
    /// The peer closed the connection before the response was complete.
    ClosedEarly,
    /// TLS failed: its reason.
    Tls(Excerpt),
    /// This machine ran out of sockets, file descriptors or ports: the system's word.
    LocalLimit(Excerpt),
    /// Another error, in the system's words.
    Other(Excerpt),
}

impl fmt::Display for TransportFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameUnknown => f.write_str("the host name could not be resolved"),
            Self::ConnectionRefused => f.write_str("connection refused"),
            Self::Reset => f.write_str("the server reset the connection"),
            Self::ClosedEarly => {
                f.write_str("the server closed the connection before the response was complete")
            }
            Self::Tls(why) => write!(f, "TLS failed: {why}"),
            Self::LocalLimit(why) => write!(f, "a limit of this machine: {why}"),
            Self::Other(why) => why.fmt(f),
        }
    }
}

/// How a server broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecodeFault {
    /// The response's head is not HTTP/1.1.
    Head,
    /// The body's framing (chunk sizes, content length) is broken.
    Framing,
    /// The content type is not what was asked for, such as HTML.
    ContentType,
    /// An event stream's line is malformed or longer than the limit.
    EventStream,
    /// An event or body is not valid JSON.
    Json,
    /// Valid JSON of another shape than the API's.
    Shape,
    /// Bytes after the end of the response.
    Excess,
    /// The frames of HTTP/2 are broken, or are none.
    Frames,
}

impl fmt::Display for DecodeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "the response is not HTTP/1.1",
            Self::Framing => "the body's framing is broken",
            Self::ContentType => "the content type is not the one asked for",
            Self::EventStream => "the event stream is malformed",
            Self::Json => "the body is not valid JSON",
            Self::Shape => "the JSON is not of the API's shape",
            Self::Excess => "bytes follow the end of the response",
            Self::Frames => "the connection or the response breaks HTTP/2",
        })
    }
}

/// Why the generator did not send an arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShedReason {
    /// `--max-concurrency` held it back until the run closed.
    ConcurrencyCap,
    /// The generator itself could not keep up until the run closed.
    Late,
}

/// A short piece of what somebody else said: bounded, one line, no control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Excerpt(String);

impl Excerpt {
    /// The greatest number of characters kept.
    pub const CHARS_MAX: usize = 240;

    /// Keeps the beginning of `text`, its control characters and line ends as single spaces.
    pub fn new(text: &str) -> Self {
        let mut kept = String::new();
        let mut count = 0;
        for word in text.split(|c: char| c.is_control() || c == ' ').filter(|w| !w.is_empty()) {
            let gap = usize::from(!kept.is_empty());
            let room = Self::CHARS_MAX - count;
            if room <= gap {
                break;
            }
            if gap == 1 {
                kept.push(' ');
            }
            kept.extend(word.chars().take(room - gap));
            count = kept.chars().count();
        }
        Self(kept)
    }

    /// Keeps the beginning of `bytes`, read as UTF-8 where it is.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let bound = bytes.len().min(Self::CHARS_MAX * 4);
        Self::new(&String::from_utf8_lossy(&bytes[..bound]))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_bounded_line() {
        assert_eq!(Excerpt::new(" a\r\n\tb\u{1b}[31m  c ").as_str(), "a b [31m c");
        assert_eq!(Excerpt::new(&"x".repeat(1000)).as_str().len(), Excerpt::CHARS_MAX);
        assert_eq!(Excerpt::new(&"xy ".repeat(1000)).as_str().chars().count(), 239);
        assert_eq!(Excerpt::from_bytes(b"\xff\xfe").as_str(), "\u{fffd}\u{fffd}");
    }
}
