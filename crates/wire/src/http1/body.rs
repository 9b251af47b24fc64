//! Where a body ends.
//!
//! ```text
//!  Size ──▶ Extension ──▶ SizeEnd ──▶ Data ──▶ DataCr ──▶ DataLf ──▶ Size …
//!     └───────────────────▲   └▶ Trailer ──▶ TrailerLine ──▶ TrailerEnd ──▶ Trailer …
//!                                   └▶ LastLf ──▶ Done
//! ```

use infermark_terms::DecodeFault;

use super::HEAD_MAX;

/// What is left of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Chunked),
    /// Everything until the connection closes.
    UntilClose,
}

/// A place in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunked {
    state: State,
    /// Bytes of the current extension, or of the trailers.
    spent: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { value: u64, digits: u32 },
    Extension { size: u64 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer,
    TrailerLine,
    TrailerEnd,
    LastLf,
    Done,
}

impl Body {
    /// The beginning of a chunked body.
    pub(super) const CHUNKED: Self =
        Self::Chunked(Chunked { state: State::Size { value: 0, digits: 0 }, spent: 0 });

    /// Says whether the body is complete.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.state == State::Done,
            Self::UntilClose => false,
        }
    }

    /// Hands the body's bytes among `bytes` to `sink` and returns how many of `bytes` belong to
    /// the body and its framing.
    ///
    /// # Errors
    ///
    /// [`DecodeFault::Framing`] when a chunk's frame is broken.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        sink: &mut impl FnMut(&[u8]),
    ) -> Result<usize, DecodeFault> {
        match self {
            Self::Length(left) => Ok(take(left, bytes, sink)),
            Self::Chunked(chunked) => chunked.feed(bytes, sink),
            Self::UntilClose => Ok(take(&mut { u64::MAX }, bytes, sink)),
        }
    }
}

/// Hands on at most `left` bytes and returns how many.
fn take(left: &mut u64, bytes: &[u8], sink: &mut impl FnMut(&[u8])) -> usize {
    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    if count > 0 {
        sink(&bytes[..count]);
    }
    *left -= count as u64;
    count
}

impl Chunked {
    fn feed(&mut self, bytes: &[u8], sink: &mut impl FnMut(&[u8])) -> Result<usize, DecodeFault> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Done {
            if let State::Data { left } = &mut self.state {
                at += take(left, &bytes[at..], sink);
                if *left == 0 {
                    self.state = State::DataCr;
                }
            } else {
                self.step(bytes[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    /// Takes one byte of the frame.
    fn step(&mut self, byte: u8) -> Result<(), DecodeFault> {
        self.state = match (self.state, byte) {
            (State::Size { value, digits: digits @ ..16 }, _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).expect("the byte is a digit");
                State::Size { value: (value << 4) | u64::from(digit), digits: digits + 1 }
            }
            (State::Size { value: size, digits: 1.. } | State::Extension { size }, b'\r') => {
                State::SizeEnd { size }
            }
            (State::Size { value: size, digits: 1.. }, b';' | b' ' | b'\t') => {
                State::Extension { size }
            }
            (State::Extension { .. } | State::TrailerLine, b'\n') => {
                return Err(DecodeFault::Framing);
            }
            (State::SizeEnd { size: 0 } | State::TrailerEnd, b'\n') => State::Trailer,
            (State::SizeEnd { size }, b'\n') => State::Data { left: size },
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                self.spent = 0;
                State::Size { value: 0, digits: 0 }
            }
            (State::Trailer, b'\r') => State::LastLf,
            (State::TrailerLine, b'\r') => State::TrailerEnd,
            (State::Extension { .. } | State::TrailerLine, _) => self.spend()?,
            (State::Trailer, b'!'..) => {
                let _trailer = self.spend()?;
                State::TrailerLine
            }
            (State::LastLf, b'\n') => State::Done,
            _ => return Err(DecodeFault::Framing),
        };
        Ok(())
    }

    /// Counts a byte that is skipped and stays where it is.
    fn spend(&mut self) -> Result<State, DecodeFault> {
        self.spent += 1;
        if self.spent > HEAD_MAX { Err(DecodeFault::Framing) } else { Ok(self.state) }
    }
}
