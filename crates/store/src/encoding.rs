//! Numbers and byte strings as the journals write them.
//!
//! Integers are LEB128: seven bits a byte, least first, the top bit set on all but the last.
//! Differences are zigzag-coded first, so that small ones of either sign are short.

/// Appends an integer, 1 to 10 bytes.
pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends `value − from`; short where they are close.
pub(crate) fn put_difference(value: u64, from: u64, out: &mut Vec<u8>) {
    let difference = value.wrapping_sub(from).cast_signed();
    put_varint(((difference << 1) ^ (difference >> 63)).cast_unsigned(), out);
}

/// Appends a byte string with its length.
pub(crate) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Bytes yet to be read. Each reader answers nothing when they are not what it reads.
#[derive(Debug)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    /// Says whether all has been read.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads one byte.
    pub(crate) fn take_byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// Reads so many bytes.
    pub(crate) fn take_array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(bytes)
    }

    /// Reads an integer.
    pub(crate) fn take_varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.take_byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// Reads an integer of 32 bits.
    pub(crate) fn take_varint_u32(&mut self) -> Option<u32> {
        u32::try_from(self.take_varint()?).ok()
    }

    /// Reads what [`put_difference`] wrote, given the same `from`.
    pub(crate) fn take_difference(&mut self, from: u64) -> Option<u64> {
        let zigzag = self.take_varint()?;
        let difference = (zigzag >> 1) ^ (zigzag & 1).wrapping_neg();
        Some(from.wrapping_add(difference))
    }

    /// Reads a byte string.
    pub(crate) fn take_bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.take_varint()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_put_is_taken(value: u64, from: u64, bytes: Vec<u8>) {
            let mut out = Vec::new();
            put_varint(value, &mut out);
            put_difference(value, from, &mut out);
            put_bytes(&bytes, &mut out);
            let mut rest = Bytes(&out);
            prop_assert_eq!(rest.take_varint(), Some(value));
            prop_assert_eq!(rest.take_difference(from), Some(value));
            prop_assert_eq!(rest.take_bytes(), Some(&bytes[..]));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let mut rest = Bytes(&bytes);
            while rest.take_varint().is_some() {}
            while rest.take_bytes().is_some() {}
        }
    }

    #[test]
    fn the_encoding_is_pinned() {
        let mut out = Vec::new();
        put_varint(300, &mut out);
        put_difference(9, 10, &mut out);
        put_difference(11, 10, &mut out);
        put_bytes(b"ab", &mut out);
        assert_eq!(out, [0xac, 0x02, 1, 2, 2, b'a', b'b']);
    }

    #[test]
    fn an_integer_beyond_64_bits_is_refused() {
        let nine = [0xff; 9];
        let with_last = |last: u8| [&nine[..], &[last]].concat();
        assert_eq!(Bytes(&with_last(0x01)).take_varint(), Some(u64::MAX));
        assert_eq!(Bytes(&with_last(0x02)).take_varint(), None);
        assert_eq!(Bytes(&with_last(0x81)).take_varint(), None);
        assert_eq!(Bytes(&nine).take_varint(), None);
    }
}
