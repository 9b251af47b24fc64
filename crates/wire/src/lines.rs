//! Streams of one JSON text a line, incrementally: what Ollama sends as `application/x-ndjson`.
//!
//! Lines end in LF, or CRLF; blank ones mean nothing. A last line may lack its end.
//!
//! # Invariants
//!
//! - However the bytes are split, the lines are the same.
//! - A line whose bytes arrive together is borrowed from them, never copied.

use infermark_terms::DecodeFault;

use crate::sse::EVENT_MAX;

/// Splits a stream into its lines.
#[derive(Debug, Default)]
pub struct LineDecoder {
    /// The beginning of a line whose end has not arrived.
    partial: Vec<u8>,
}

impl LineDecoder {
    /// Goes back to the beginning of a stream; keeps the buffer.
    pub fn reset(&mut self) {
        self.partial.clear();
    }

    /// Reads the next bytes and hands each line to `sink` as it becomes complete.
    ///
    /// # Errors
    ///
    /// [`DecodeFault::EventStream`] when a line exceeds [`EVENT_MAX`].
    pub fn feed(&mut self, bytes: &[u8], sink: &mut impl FnMut(&[u8])) -> Result<(), DecodeFault> {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            rest = after;
            if self.partial.is_empty() {
                check(line.len())?;
                give(line, sink);
            } else {
                check(self.partial.len() + line.len())?;
                self.partial.extend_from_slice(line);
                give(&self.partial, sink);
                self.partial.clear();
            }
        }
        check(self.partial.len() + rest.len())?;
        self.partial.extend_from_slice(rest);
        Ok(())
    }

    /// Hands out a last line that the stream's end has ended.
    pub fn finish(&mut self, sink: &mut impl FnMut(&[u8])) {
        give(&self.partial, sink);
        self.partial.clear();
    }
}

fn give(line: &[u8], sink: &mut impl FnMut(&[u8])) {
    let line = line.trim_ascii();
    if !line.is_empty() {
        sink(line);
    }
}

fn check(length: usize) -> Result<(), DecodeFault> {
    if length > EVENT_MAX { Err(DecodeFault::EventStream) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::laws::{cases, cut, cuts};

    fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
        let (mut decoder, mut lines) = (LineDecoder::default(), Vec::new());
        for piece in pieces {
            decoder.feed(piece, &mut |line| lines.push(line.to_vec())).unwrap();
        }
        decoder.finish(&mut |line| lines.push(line.to_vec()));
        lines
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn however_the_bytes_are_split_the_lines_are_the_same(
            text in "[ab\r\n ]{0,40}", lengths in cuts()
        ) {
            let whole: Vec<_> = text
                .split('\n')
                .map(|line| line.trim_ascii().as_bytes().to_vec())
                .filter(|line| !line.is_empty())
                .collect();
            prop_assert_eq!(read(cut(text.as_bytes(), &lengths)), whole);
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut decoder = LineDecoder::default();
        let bytes = vec![b'a'; EVENT_MAX];
        decoder.feed(&bytes, &mut |_| {}).unwrap();
        assert_eq!(decoder.feed(b"a", &mut |_| {}), Err(DecodeFault::EventStream));
    }
}
