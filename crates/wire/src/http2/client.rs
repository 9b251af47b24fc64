//! A connection from the client's side: frames in, what they say of each stream out.

use std::collections::{BTreeMap, VecDeque};

use ringline_h2::hpack::Decoder;
use thiserror::Error;

use super::STREAMS_EXPECTED;
use super::frame::{Code, FRAME_HEAD, Frame, Kind, PREFACE, flag, push_frame};
use super::head::Head;
use crate::http1::HEAD_MAX;

/// The largest window that the protocol knows (section 6.9.1).
const WINDOW_MAX: u32 = u32::MAX >> 1;

/// The window that everyone begins with.
const WINDOW_DEFAULT: u32 = 65_535;

/// Windows are opened again once so much of them is used up.
const WINDOW_REFILL: u32 = 1 << 30;

/// The longest frame that everyone takes, and that we take (section 4.2).
const FRAME_MAX: usize = 16_384;

/// How much of requests' bodies waits to be written at a time.
const OUT_MAX: usize = 256 << 10;

/// How much may wait to be written before a server that makes us answer is given up.
const ANSWERS_MAX: usize = 1 << 20;

/// The size of the server's header table that everyone begins with (section 6.5.2).
const TABLE: usize = 4096;

/// Hears what a server says. `T` is what the caller keeps of each stream.
pub trait Listener<T> {
    /// Hears the head of a response, which took so many bytes.
    fn head(&mut self, stream: &mut T, head: &Head<'_>, bytes: usize) -> Verdict;
    /// Hears a piece of its body, never none.
    fn body(&mut self, stream: &mut T, bytes: &[u8]) -> Verdict;
    /// Learns how a stream ended, by its own verdict or otherwise.
    fn ended(&mut self, stream: T, ending: Ending);
}

/// Whether a listener wants to hear more of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Open,
    /// It does not: the stream is cancelled.
    Over,
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The response is complete.
    Complete,
    /// The server has not looked at the request, and says so: it may be sent again (section 8.7).
    Refused(Vec<u8>),
    /// The server ended it for this reason. The request is there if nothing of an answer came.
    Reset(Code, Vec<u8>),
    /// The listener wanted no more of it.
    Cancelled,
    /// The response breaks the protocol.
    Malformed,
}

/// Why nothing more can be read from a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The server does not begin as HTTP/2 does.
    #[error("the server does not speak HTTP/2")]
    Preface,
    /// A frame that may not come, or not here.
    #[error("a frame breaks HTTP/2")]
    Protocol,
    /// A frame of a length that it may not have.
    #[error("a frame is of a wrong length")]
    FrameSize,
    /// A header block cannot be read.
    #[error("a header block cannot be read")]
    Compression,
    /// A window is opened wider than the protocol lets it.
    #[error("a window grows beyond its limit")]
    FlowControl,
    /// A head is longer than [`HEAD_MAX`], or the server makes us answer without end.
    #[error("the server sends too much")]
    Excess,
}

impl Fault {
    /// Returns what the server is told.
    fn code(self) -> Code {
        match self {
            Self::Preface | Self::Protocol => Code::PROTOCOL,
            Self::FrameSize => Code::FRAME_SIZE,
            Self::Compression => Code::COMPRESSION,
            Self::FlowControl => Code::FLOW_CONTROL,
            Self::Excess => Code::ENHANCE_YOUR_CALM,
        }
    }
}

/// The client's side of a connection.
pub struct Client<T> {
    out: Vec<u8>,
    /// How much of `out` was written.
    written: usize,
    /// How much was written before what is in `out`.
    gone: u64,
    input: Input,
    decoder: Decoder,
    /// The header block that is incomplete.
    block: Option<Block>,
    streams: BTreeMap<u32, Stream<T>>,
    /// The number of the next stream.
    next: u32,
    peer: Peer,
    /// What may still be sent on the connection.
    window: i64,
    /// What came since its window was last opened.
    taken: u32,
    /// The server takes no more streams, for this reason.
    leaving: Option<Code>,
    /// Streams whose bodies have not gone into `out` whole, by turns.
    hungry: VecDeque<u32>,
    /// Where in all that is written their requests end.
    ends: VecDeque<(u64, u32)>,
}

/// What the server said of itself.
struct Peer {
    /// Its `SETTINGS` have come.
    known: bool,
    streams_max: u32,
    window: u32,
    frame_max: usize,
}

/// The frame that is being read.
#[derive(Default)]
struct Input {
    begun: [u8; FRAME_HEAD],
    have: usize,
    frame: Option<Frame>,
    /// How many bytes of its payload have not come.
    left: usize,
    /// What has come, where it must be there whole.
    payload: Vec<u8>,
    /// How much padding ends it, once that is known.
    padding: Option<usize>,
}

/// A header block that comes in pieces.
struct Block {
    stream: u32,
    ends: bool,
    bytes: Vec<u8>,
}

/// One request and its response.
struct Stream<T> {
    held: T,
    /// The request. It is kept until a head comes, for as long as it may have to be sent again.
    order: Vec<u8>,
    /// How much of it went into `out`, or to where it has been thrown away.
    sent: usize,
    whole: usize,
    window: i64,
    /// The final head has come.
    answered: bool,
    /// How much of the body has come, and shall.
    body: u64,
    length: Option<u64>,
    /// What came since its window was last opened.
    taken: u32,
}

impl<T> Default for Client<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Client<T> {
    /// Begins a connection.
    pub fn new() -> Self {
        let mut out = PREFACE.to_vec();
        // ENABLE_PUSH, INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE (section 6.5.2)
        let settings = [(2_u16, 0), (4, WINDOW_MAX), (6, HEAD_MAX as u32)];
        let settings = settings.map(|(id, value)| setting(id, value)).concat();
        push_frame(&mut out, Kind::Settings, 0, 0, &settings);
        let more = WINDOW_MAX - WINDOW_DEFAULT;
        push_frame(&mut out, Kind::WindowUpdate, 0, 0, &more.to_be_bytes());
        Self {
            out,
            written: 0,
            gone: 0,
            input: Input::default(),
            decoder: Decoder::new(TABLE),
            block: None,
            streams: BTreeMap::new(),
            next: 1,
            peer: Peer {
                known: false,
                streams_max: STREAMS_EXPECTED,
                window: WINDOW_DEFAULT,
                frame_max: FRAME_MAX,
            },
            window: WINDOW_DEFAULT.into(),
            taken: 0,
            leaving: None,
            hungry: VecDeque::new(),
            ends: VecDeque::new(),
        }
    }

    /// Returns how many more streams may be opened now.
    pub fn room(&self) -> usize {
        let usable = self.leaving.is_none() && self.next <= WINDOW_MAX;
        let most = if usable { self.peer.streams_max as usize } else { 0 };
        most.saturating_sub(self.streams.len())
    }

    /// Returns why the server takes no more streams, if it said so.
    pub fn leaving(&self) -> Option<Code> {
        self.leaving
    }

    /// Returns how many streams are open.
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// Returns what is kept of the open streams, with their numbers.
    pub fn held(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        self.streams.iter_mut().map(|(&id, stream)| (id, &mut stream.held))
    }

    /// Opens a stream for a request as [`request`](super::request) writes it.
    ///
    /// # Panics
    ///
    /// If it is none.
    pub fn open(&mut self, order: Vec<u8>, held: T) -> u32 {
        let id = self.next;
        self.next += 2;
        let (length, _) = order.split_first_chunk::<4>().expect("an order begins with a length");
        let start = 4 + u32::from_be_bytes(*length) as usize;
        let empty = start == order.len();
        let mut pieces = order[4..start].chunks(self.peer.frame_max).peekable();
        let (mut kind, mut first) = (Kind::Headers, if empty { flag::END_STREAM } else { 0 });
        while let Some(piece) = pieces.next() {
            let last = if pieces.peek().is_none() { flag::END_HEADERS } else { 0 };
            push_frame(&mut self.out, kind, std::mem::take(&mut first) | last, id, piece);
            kind = Kind::Continuation;
        }
        let stream = Stream {
            held,
            whole: order.len(),
            order,
            sent: start,
            window: self.peer.window.into(),
            answered: false,
            body: 0,
            length: None,
            taken: 0,
        };
        let _: Option<_> = self.streams.insert(id, stream);
        self.hungry.push_back(id);
        self.pump();
        id
    }

    /// Ends a stream that is no longer wanted.
    pub fn cancel(&mut self, id: u32) -> Option<T> {
        let stream = self.streams.remove(&id)?;
        self.reset(id, Code::CANCEL);
        Some(stream.held)
    }

    /// Takes all streams with their requests: the connection has ended.
    pub fn take_all(&mut self) -> impl Iterator<Item = (T, Vec<u8>)> + use<T> {
        std::mem::take(&mut self.streams).into_values().map(|stream| (stream.held, stream.order))
    }

    /// Returns what is to be written.
    pub fn unsent(&self) -> &[u8] {
        &self.out[self.written..]
    }

    /// Notes that so much of it was.
    pub fn wrote(&mut self, count: usize) {
        self.written += count;
        // What lies before the rest is given back now and then: the rest may never be none.
        if self.written == self.out.len() || self.written >= OUT_MAX {
            self.gone += self.written as u64;
            drop(self.out.drain(..self.written));
            self.written = 0;
        }
        self.pump();
    }

    /// Returns what is kept of a stream whose request has just been written whole, one after
    /// another.
    pub fn departed(&mut self) -> Option<&mut T> {
        let position = self.gone + self.written as u64;
        while let Some(&(end, id)) = self.ends.front()
            && end <= position
        {
            let _: Option<_> = self.ends.pop_front();
            // Asked for twice, since a borrow that is returned lasts.
            if self.streams.contains_key(&id) {
                return self.streams.get_mut(&id).map(|stream| &mut stream.held);
            }
        }
        None
    }

    /// Reads the next bytes.
    ///
    /// # Errors
    ///
    /// Once the connection can no longer be read from. What tells the server so is unsent, and the
    /// streams that are left are still to be taken.
    pub fn feed(&mut self, bytes: &[u8], listener: &mut impl Listener<T>) -> Result<(), Fault> {
        let fed = self.frames(bytes, listener);
        if let Err(fault) = fed {
            let farewell = [[0; 4], fault.code().0.to_be_bytes()].concat();
            push_frame(&mut self.out, Kind::Goaway, 0, 0, &farewell);
        }
        fed
    }

    fn frames(&mut self, bytes: &[u8], listener: &mut impl Listener<T>) -> Result<(), Fault> {
        let mut rest = bytes;
        loop {
            let frame = match self.input.frame {
                Some(frame) => frame,
                None => match self.input.begin(&mut rest) {
                    Some(frame) => {
                        self.admit(frame)?;
                        frame
                    }
                    None => return Ok(()),
                },
            };
            let (piece, later) = rest.split_at(rest.len().min(self.input.left));
            rest = later;
            self.input.left -= piece.len();
            if frame.kind == Kind::Data {
                self.data(frame, piece, listener)?;
            } else if self.input.left == 0 && self.input.payload.is_empty() {
                self.whole(frame, piece, listener)?;
            } else {
                self.input.payload.extend_from_slice(piece);
                if self.input.left == 0 {
                    let payload = std::mem::take(&mut self.input.payload);
                    self.whole(frame, &payload, listener)?;
                }
            }
            if self.input.left > 0 {
                return Ok(());
            }
            self.input.frame = None;
        }
    }

    /// Decides whether a frame may come here.
    fn admit(&mut self, frame: Frame) -> Result<(), Fault> {
        if !self.peer.known && (frame.kind != Kind::Settings || frame.has(flag::ACK)) {
            return Err(Fault::Preface);
        }
        if frame.length > FRAME_MAX {
            return Err(Fault::FrameSize);
        }
        let continues =
            |block: &Block| frame.kind == Kind::Continuation && frame.stream == block.stream;
        match &self.block {
            Some(block) if !continues(block) => return Err(Fault::Protocol),
            None if frame.kind == Kind::Continuation => return Err(Fault::Protocol),
            Some(_) | None => {}
        }
        let ours = frame.stream % 2 == 1 && frame.stream < self.next;
        let fits = match frame.kind {
            Kind::Data | Kind::Headers | Kind::Continuation | Kind::RstStream => ours,
            Kind::Settings | Kind::Ping | Kind::Goaway => frame.stream == 0,
            Kind::WindowUpdate => frame.stream == 0 || ours,
            Kind::Priority | Kind::Unknown => true,
            Kind::PushPromise => false,
        };
        if !fits {
            return Err(Fault::Protocol);
        }
        if frame.kind == Kind::Data {
            self.spend(frame);
        }
        Ok(())
    }

    /// Counts what a `DATA` frame takes of the windows, and opens them again.
    fn spend(&mut self, frame: Frame) {
        let length = frame.length as u32;
        let out = &mut self.out;
        let mut refill = |taken: &mut u32, stream: u32| {
            *taken += length;
            if *taken >= WINDOW_REFILL {
                push_frame(out, Kind::WindowUpdate, 0, stream, &taken.to_be_bytes());
                *taken = 0;
            }
        };
        refill(&mut self.taken, 0);
        if let Some(stream) = self.streams.get_mut(&frame.stream)
            && !frame.has(flag::END_STREAM)
        {
            refill(&mut stream.taken, frame.stream);
        }
    }

    /// Takes a piece of a `DATA` frame; it may be empty if the frame is.
    fn data(
        &mut self,
        frame: Frame,
        piece: &[u8],
        listener: &mut impl Listener<T>,
    ) -> Result<(), Fault> {
        let Some(text) = self.input.unpad(frame, piece)? else { return Ok(()) };
        let id = frame.stream;
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        if !stream.answered {
            self.end(id, Ending::Malformed, listener);
            return Ok(());
        }
        stream.body += text.len() as u64;
        if !text.is_empty() && listener.body(&mut stream.held, text) == Verdict::Over {
            self.end(id, Ending::Cancelled, listener);
        } else if self.input.left == 0 && frame.has(flag::END_STREAM) {
            self.complete(id, listener);
        }
        Ok(())
    }

    /// Takes a frame that is there whole.
    fn whole(
        &mut self,
        frame: Frame,
        payload: &[u8],
        listener: &mut impl Listener<T>,
    ) -> Result<(), Fault> {
        let number = |bytes: &[u8]| bytes.first_chunk().map(|four| u32::from_be_bytes(*four));
        let short = Fault::FrameSize;
        match frame.kind {
            Kind::Headers => {
                let bytes = fragment(frame, payload)?.to_vec();
                let ends = frame.has(flag::END_STREAM);
                self.block = Some(Block { stream: frame.stream, ends, bytes });
                self.block_grew(frame, listener)?;
            }
            Kind::Continuation => {
                let block = self.block.as_mut().expect("a block was begun");
                block.bytes.extend_from_slice(payload);
                self.block_grew(frame, listener)?;
            }
            Kind::RstStream => {
                let code = number(payload).filter(|_| payload.len() == 4).ok_or(short)?;
                self.forsake(frame.stream, Code(code), listener);
            }
            Kind::Settings if frame.has(flag::ACK) => {
                return if payload.is_empty() { Ok(()) } else { Err(short) };
            }
            Kind::Settings => self.settle(payload)?,
            Kind::Ping if payload.len() != 8 => return Err(short),
            Kind::Ping if frame.has(flag::ACK) => {}
            Kind::Ping => self.answer(Kind::Ping, payload)?,
            Kind::Goaway => {
                let last = number(payload).ok_or(short)? & WINDOW_MAX;
                let code = payload.get(4..).and_then(number).ok_or(short)?;
                self.leave(last, Code(code), listener);
            }
            Kind::WindowUpdate => {
                let more = number(payload).filter(|_| payload.len() == 4).ok_or(short)?;
                self.widen(frame.stream, more & WINDOW_MAX)?;
            }
            Kind::Priority if payload.len() != 5 => return Err(short),
            Kind::Priority | Kind::Unknown => {}
            Kind::Data | Kind::PushPromise => unreachable!("neither gets here"),
        }
        Ok(())
    }

    /// Answers what the server wants answered.
    fn answer(&mut self, kind: Kind, payload: &[u8]) -> Result<(), Fault> {
        if self.unsent().len() > ANSWERS_MAX {
            return Err(Fault::Excess);
        }
        push_frame(&mut self.out, kind, flag::ACK, 0, payload);
        Ok(())
    }

    /// Takes the server's settings (section 6.5.2).
    fn settle(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(Fault::FrameSize);
        }
        if !self.peer.known {
            // No limit, unless the server says so.
            self.peer = Peer { known: true, streams_max: u32::MAX, ..self.peer };
        }
        for &[i0, i1, v0, v1, v2, v3] in settings {
            let value = u32::from_be_bytes([v0, v1, v2, v3]);
            match u16::from_be_bytes([i0, i1]) {
                3 => self.peer.streams_max = value,
                4 if value > WINDOW_MAX => return Err(Fault::FlowControl),
                4 => {
                    let more = i64::from(value) - i64::from(self.peer.window);
                    self.peer.window = value;
                    for stream in self.streams.values_mut() {
                        stream.window += more;
                        if stream.window > WINDOW_MAX.into() {
                            return Err(Fault::FlowControl);
                        }
                    }
                }
                5 if !(FRAME_MAX..1 << 24).contains(&(value as usize)) => {
                    return Err(Fault::Protocol);
                }
                5 => self.peer.frame_max = value as usize,
                // The size of a table that we do not use, and what is unknown.
                _ => {}
            }
        }
        self.answer(Kind::Settings, b"")?;
        self.pump();
        Ok(())
    }

    /// Opens a window of ours wider.
    fn widen(&mut self, stream: u32, more: u32) -> Result<(), Fault> {
        if more == 0 {
            return Err(Fault::Protocol);
        }
        let window = match stream {
            0 => Some(&mut self.window),
            id => self.streams.get_mut(&id).map(|stream| &mut stream.window),
        };
        if let Some(window) = window {
            *window += i64::from(more);
            if *window > WINDOW_MAX.into() {
                return Err(Fault::FlowControl);
            }
        }
        self.pump();
        Ok(())
    }

    /// Reads a header block once it is complete.
    fn block_grew(&mut self, frame: Frame, listener: &mut impl Listener<T>) -> Result<(), Fault> {
        let Some(block) = &self.block else { return Ok(()) };
        if block.bytes.len() > HEAD_MAX {
            return Err(Fault::Excess);
        }
        if !frame.has(flag::END_HEADERS) {
            return Ok(());
        }
        let Some(Block { stream: id, ends, bytes }) = self.block.take() else { return Ok(()) };
        let fields = self.decoder.decode(&bytes).map_err(|_| Fault::Compression)?;
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        if stream.answered {
            // Trailers end the response, and say nothing that we want to know.
            if ends {
                self.complete(id, listener);
            } else {
                self.end(id, Ending::Malformed, listener);
            }
            return Ok(());
        }
        match Head::of(&fields) {
            // An interim response. We never ask for another protocol.
            Some(head) if head.status < 200 && head.status != 101 && !ends => {}
            Some(head) if head.status >= 200 && head.length().is_ok() => {
                let bodiless = matches!(head.status, 204 | 304);
                stream.length = head.length().ok().flatten().filter(|_| !bodiless);
                stream.answered = true;
                if stream.sent == stream.whole {
                    stream.order = Vec::new();
                }
                if listener.head(&mut stream.held, &head, bytes.len()) == Verdict::Over {
                    self.end(id, Ending::Cancelled, listener);
                } else if ends {
                    self.complete(id, listener);
                }
            }
            Some(_) | None => self.end(id, Ending::Malformed, listener),
        }
        Ok(())
    }

    /// The server has said all on a stream.
    fn complete(&mut self, id: u32, listener: &mut impl Listener<T>) {
        let Some(stream) = self.streams.get(&id) else { return };
        if stream.length.is_some_and(|length| length != stream.body) {
            return self.end(id, Ending::Malformed, listener);
        }
        if stream.sent < stream.whole {
            // It answered before it had heard all, and wants to hear no more.
            self.reset(id, Code::CANCEL);
        }
        if let Some(stream) = self.streams.remove(&id) {
            listener.ended(stream.held, Ending::Complete);
        }
    }

    /// Ends a stream of our own accord.
    fn end(&mut self, id: u32, ending: Ending, listener: &mut impl Listener<T>) {
        let wanted = ending != Ending::Cancelled;
        self.reset(id, if wanted { Code::PROTOCOL } else { Code::CANCEL });
        if let Some(stream) = self.streams.remove(&id) {
            listener.ended(stream.held, ending);
        }
    }

    /// The server has ended a stream.
    fn forsake(&mut self, id: u32, code: Code, listener: &mut impl Listener<T>) {
        let Some(stream) = self.streams.remove(&id) else { return };
        if code == Code::REFUSED_STREAM {
            stream.refuse(code, listener);
        } else {
            listener.ended(stream.held, Ending::Reset(code, stream.order));
        }
    }

    /// The server takes no more streams, and has looked at none after `last`.
    fn leave(&mut self, last: u32, code: Code, listener: &mut impl Listener<T>) {
        self.leaving = Some(code);
        for (_, stream) in self.streams.split_off(&last.saturating_add(1)) {
            stream.refuse(code, listener);
        }
    }

    fn reset(&mut self, id: u32, code: Code) {
        push_frame(&mut self.out, Kind::RstStream, 0, id, &code.0.to_be_bytes());
    }

    /// Puts as much of the requests' bodies into `out` as the windows let.
    fn pump(&mut self) {
        for _ in 0..self.hungry.len() {
            let Some(id) = self.hungry.pop_front() else { return };
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            while stream.sent < stream.whole && self.out.len() - self.written < OUT_MAX {
                let window = stream.window.min(self.window);
                let most = usize::try_from(window).unwrap_or(0).min(self.peer.frame_max);
                if most == 0 {
                    break;
                }
                let piece = &stream.order[stream.sent..];
                let piece = &piece[..piece.len().min(most)];
                stream.sent += piece.len();
                let length = piece.len() as u64;
                stream.window = stream.window.saturating_sub_unsigned(length);
                self.window = self.window.saturating_sub_unsigned(length);
                let last = if stream.sent == stream.whole { flag::END_STREAM } else { 0 };
                push_frame(&mut self.out, Kind::Data, last, id, piece);
            }
            if stream.sent == stream.whole {
                self.ends.push_back((self.gone + self.out.len() as u64, id));
            } else {
                self.hungry.push_back(id);
            }
        }
    }
}

impl<T> Stream<T> {
    /// Ends it as one of which the server says that it has not looked at the request. What it has
    /// begun to answer it has looked at.
    fn refuse(self, code: Code, listener: &mut impl Listener<T>) {
        let Self { held, order, answered, .. } = self;
        let ending = if answered { Ending::Reset(code, order) } else { Ending::Refused(order) };
        listener.ended(held, ending);
    }
}

impl Input {
    /// Reads on in what a frame begins with; nothing while that is incomplete.
    fn begin(&mut self, rest: &mut &[u8]) -> Option<Frame> {
        let count = rest.len().min(FRAME_HEAD - self.have);
        let (begun, later) = rest.split_at(count);
        self.begun[self.have..self.have + count].copy_from_slice(begun);
        self.have += count;
        *rest = later;
        if self.have < FRAME_HEAD {
            return None;
        }
        let frame = Frame::read(self.begun);
        *self = Self {
            frame: Some(frame),
            left: frame.length,
            payload: std::mem::take(&mut self.payload),
            padding: (!frame.has(flag::PADDED)).then_some(0),
            ..Self::default()
        };
        self.payload.clear();
        Some(frame)
    }

    /// Returns what counts of a piece that was taken of a `DATA` frame; nothing while its padding
    /// is unknown.
    fn unpad<'a>(&mut self, frame: Frame, piece: &'a [u8]) -> Result<Option<&'a [u8]>, Fault> {
        let (padding, piece) = match (self.padding, piece.split_first()) {
            (Some(padding), _) => (padding, piece),
            (None, Some((&padding, piece))) => (usize::from(padding), piece),
            (None, None) if frame.length == 0 => return Err(Fault::FrameSize),
            (None, None) => return Ok(None),
        };
        if padding >= frame.length && padding > 0 {
            return Err(Fault::Protocol);
        }
        self.padding = Some(padding);
        // Of the padding, so much is in this piece.
        let beyond = padding.saturating_sub(self.left).min(piece.len());
        Ok(Some(&piece[..piece.len() - beyond]))
    }
}

/// Returns the header block's part of a `HEADERS` frame.
fn fragment(frame: Frame, payload: &[u8]) -> Result<&[u8], Fault> {
    let (padding, payload) = match payload.split_first() {
        _ if !frame.has(flag::PADDED) => (0, payload),
        Some((&padding, payload)) => (usize::from(padding), payload),
        None => return Err(Fault::FrameSize),
    };
    let priority = if frame.has(flag::PRIORITY) { 5 } else { 0 };
    let payload = payload.get(priority..).ok_or(Fault::FrameSize)?;
    let end = payload.len().checked_sub(padding).ok_or(Fault::Protocol)?;
    Ok(&payload[..end])
}

fn setting(id: u16, value: u32) -> [u8; 6] {
    let ([i0, i1], [v0, v1, v2, v3]) = (id.to_be_bytes(), value.to_be_bytes());
    [i0, i1, v0, v1, v2, v3]
}

#[cfg(test)]
mod tests;
