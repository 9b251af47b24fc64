//! The server-sent-events grammar, incrementally.
//!
//! WHATWG HTML, section 9.2.6: lines end in LF, CRLF or CR; a blank line ends an event; several
//! `data` lines join with LF; a line that begins with a colon is a comment; one space after the
//! colon is no part of the value; a leading byte-order mark is skipped. `id`, `retry` and unknown
//! fields mean nothing to us. An event that the end of the body cuts off is not dispatched.
//!
//! # Invariants
//!
//! - However the bytes are split, even between CR and LF, the items are the same.
//! - An event whose bytes arrive together is borrowed from them, never copied.
//!
//! Not here: what the data means.

use infermark_terms::DecodeFault;

/// The longest line, and the longest event, in bytes.
pub const EVENT_MAX: usize = 1 << 20;

/// What a stream consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// An event. Its data may be empty, which servers use as a sign of life.
    Event {
        /// Its name, where it has one.
        name: Option<&'a [u8]>,
        /// Its data lines, joined with LF.
        data: &'a [u8],
    },
    /// A comment line.
    Comment,
}

/// Splits a stream into its items.
#[derive(Debug, Default)]
pub struct SseDecoder {
    /// The beginning of a line whose end has not arrived.
    line: Vec<u8>,
    event: Event,
    /// The last line ended in CR: a LF that follows belongs to it.
    after_cr: bool,
    /// The first line, which may begin with a byte-order mark, has been read.
    begun: bool,
}

/// The event that is being read.
#[derive(Debug, Default)]
struct Event {
    name: Vec<u8>,
    data: Vec<u8>,
    held: Held,
}

/// What has been seen of an event's data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Held {
    /// No data line.
    #[default]
    Nothing,
    /// One data line, which still lies in the bytes being fed, from here to there.
    Borrowed(usize, usize),
    /// Data lines, copied to `Event::data`.
    Copied,
}

impl SseDecoder {
    /// Returns a decoder at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes back to the beginning of a stream; keeps the buffers.
    pub fn reset(&mut self) {
        self.line.clear();
        self.event.clear();
        self.after_cr = false;
        self.begun = false;
    }

    /// Says whether an event has begun that no blank line has ended.
    pub fn is_pending(&self) -> bool {
        !self.line.is_empty() || self.event.held != Held::Nothing
    }

    /// Reads the next bytes and hands each item to `sink` as it becomes complete.
    ///
    /// # Errors
    ///
    /// [`DecodeFault::EventStream`] when a line or an event exceeds [`EVENT_MAX`]. The decoder
    /// must be reset then.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        sink: &mut impl FnMut(Item<'_>),
    ) -> Result<(), DecodeFault> {
        let mut at = 0;
        while at < bytes.len() {
            if std::mem::take(&mut self.after_cr) && bytes[at] == b'\n' {
                at += 1;
                continue;
            }
            let Some(length) = memchr::memchr2(b'\n', b'\r', &bytes[at..]) else {
                break;
            };
            let (start, end) = (at, at + length);
            at = end + 1;
            self.after_cr = bytes[end] == b'\r';
            if self.line.is_empty() {
                check(length)?;
                let start = start + self.mark(&bytes[start..end]);
                self.event.line(&bytes[start..end], Some(start), bytes, sink)?;
            } else {
                self.hold(&bytes[start..end])?;
                let line = std::mem::take(&mut self.line);
                let start = self.mark(&line);
                self.event.line(&line[start..], None, bytes, sink)?;
                self.line = line;
                self.line.clear();
            }
        }
        self.event.copy(bytes);
        self.hold(&bytes[at..])
    }

    /// Keeps the beginning of a line.
    fn hold(&mut self, bytes: &[u8]) -> Result<(), DecodeFault> {
        check(self.line.len() + bytes.len())?;
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    /// Returns the length of the byte-order mark with which the stream's first line may begin.
    fn mark(&mut self, line: &[u8]) -> usize {
        let first = !std::mem::replace(&mut self.begun, true);
        if first && line.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 }
    }
}

impl Event {
    fn clear(&mut self) {
        self.name.clear();
        self.data.clear();
        self.held = Held::Nothing;
    }

    /// Takes one line, without its end. It lies in `bytes`, those being fed, from `start` on;
    /// or elsewhere.
    fn line(
        &mut self,
        line: &[u8],
        start: Option<usize>,
        bytes: &[u8],
        sink: &mut impl FnMut(Item<'_>),
    ) -> Result<(), DecodeFault> {
        if line.is_empty() {
            self.dispatch(bytes, sink);
            return Ok(());
        }
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"" => sink(Item::Comment),
            b"data" => match (self.held, start) {
                (Held::Nothing, Some(start)) => {
                    let end = start + line.len();
                    self.held = Held::Borrowed(end - value.len(), end);
                }
                _ => self.append(value, bytes)?,
            },
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(value);
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds a data line by copying it.
    fn append(&mut self, value: &[u8], bytes: &[u8]) -> Result<(), DecodeFault> {
        self.copy(bytes);
        if self.held == Held::Copied {
            self.data.push(b'\n');
        }
        check(self.data.len() + value.len())?;
        self.data.extend_from_slice(value);
        self.held = Held::Copied;
        Ok(())
    }

    /// Copies what is borrowed from `bytes`, before they go.
    fn copy(&mut self, bytes: &[u8]) {
        if let Held::Borrowed(start, end) = self.held {
            self.data.extend_from_slice(&bytes[start..end]);
            self.held = Held::Copied;
        }
    }

    /// Ends the event at a blank line. One without data is none.
    fn dispatch(&mut self, bytes: &[u8], sink: &mut impl FnMut(Item<'_>)) {
        let name = (!self.name.is_empty()).then_some(self.name.as_slice());
        match self.held {
            Held::Nothing => {}
            Held::Borrowed(start, end) => sink(Item::Event { name, data: &bytes[start..end] }),
            Held::Copied => sink(Item::Event { name, data: &self.data }),
        }
        self.clear();
    }
}

fn check(length: usize) -> Result<(), DecodeFault> {
    if length > EVENT_MAX { Err(DecodeFault::EventStream) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
