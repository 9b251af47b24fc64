//! Frames: what every one of them begins with (RFC 9113, section 4.1), and their numbers.

/// What a client says first (section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The length of the beginning of a frame.
pub const FRAME_HEAD: usize = 9;

/// The flags of frames.
pub mod flag {
    /// Of `DATA` and `HEADERS`: nothing follows on the stream.
    pub const END_STREAM: u8 = 0x1;
    /// Of `SETTINGS` and `PING`: an answer to the peer's.
    pub const ACK: u8 = 0x1;
    /// Of `HEADERS` and `CONTINUATION`: the header block is complete.
    pub const END_HEADERS: u8 = 0x4;
    /// Of `DATA` and `HEADERS`: padding surrounds what counts.
    pub const PADDED: u8 = 0x8;
    /// Of `HEADERS`: five bytes of priority come first.
    pub const PRIORITY: u8 = 0x20;
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the frame of its name in RFC 9113, section 6")]
pub enum Kind {
    Data,
    Headers,
    Priority,
    RstStream,
    Settings,
    PushPromise,
    Ping,
    Goaway,
    WindowUpdate,
    Continuation,
    /// One that is to be ignored.
    Unknown,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Data,
        Self::Headers,
        Self::Priority,
        Self::RstStream,
        Self::Settings,
        Self::PushPromise,
        Self::Ping,
        Self::Goaway,
        Self::WindowUpdate,
        Self::Continuation,
    ];
}

/// The beginning of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// Its flags, to be read by its kind.
    pub flags: u8,
    /// The stream that it belongs to; 0 for the connection.
    pub stream: u32,
    /// How many bytes follow.
    pub length: usize,
}

impl Frame {
    /// Reads the beginning of a frame.
    pub fn read(bytes: [u8; FRAME_HEAD]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = bytes;
        Self {
            kind: Kind::ALL.get(usize::from(kind)).copied().unwrap_or(Kind::Unknown),
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & u32::MAX >> 1,
            length: u32::from_be_bytes([0, l0, l1, l2]) as usize,
        }
    }

    /// Says whether a flag is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Says whether bytes begin as a server of HTTP/2 begins: with its settings, or by hanging up.
pub fn begins(bytes: &[u8]) -> bool {
    let frame = bytes.first_chunk().map(|begun| Frame::read(*begun));
    frame.is_some_and(|frame| match frame.kind {
        Kind::Settings => frame.stream == 0 && frame.length % 6 == 0,
        Kind::Goaway => frame.stream == 0 && frame.length >= 8 && frame.length < 1 << 14,
        Kind::Data
        | Kind::Headers
        | Kind::Priority
        | Kind::RstStream
        | Kind::PushPromise
        | Kind::Ping
        | Kind::WindowUpdate
        | Kind::Continuation
        | Kind::Unknown => false,
    })
}

/// Appends a frame.
pub fn push_frame(out: &mut Vec<u8>, kind: Kind, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    // The kinds are declared in the order of their numbers.
    out.extend_from_slice(&[kind as u8, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Why a stream or a connection was ended (section 7).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Code(pub u32);

impl Code {
    /// In order.
    pub const NO_ERROR: Self = Self(0);
    /// The peer broke the protocol.
    pub const PROTOCOL: Self = Self(1);
    /// The peer sent more than it was let.
    pub const FLOW_CONTROL: Self = Self(3);
    /// A frame is of a wrong length.
    pub const FRAME_SIZE: Self = Self(6);
    /// Nothing of the stream was looked at.
    pub const REFUSED_STREAM: Self = Self(7);
    /// The stream is no longer wanted.
    pub const CANCEL: Self = Self(8);
    /// A header block cannot be read.
    pub const COMPRESSION: Self = Self(9);
    /// The peer makes too much work.
    pub const ENHANCE_YOUR_CALM: Self = Self(11);
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const NAMES: [&str; 14] = [
            "NO_ERROR",
            "PROTOCOL_ERROR",
            "INTERNAL_ERROR",
            "FLOW_CONTROL_ERROR",
            "SETTINGS_TIMEOUT",
            "STREAM_CLOSED",
            "FRAME_SIZE_ERROR",
            "REFUSED_STREAM",
            "CANCEL",
            "COMPRESSION_ERROR",
            "CONNECT_ERROR",
            "ENHANCE_YOUR_CALM",
            "INADEQUATE_SECURITY",
            "HTTP_1_1_REQUIRED",
        ];
        match NAMES.get(self.0 as usize) {
            Some(name) => f.write_str(name),
            None => write!(f, "code {}", self.0),
        }
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}
