//! A JSON reader that builds nothing: it walks a text once and hands out slices of it.
//!
//! The whole text is checked against RFC 8259, also where nobody looks: a reader that ran to
//! [`Reader::finish`] without [`Malformed`] has seen valid JSON. Three choices of ours: nesting
//! deeper than [`DEPTH_MAX`] is malformed; an escaped surrogate without its other half is well
//! formed and reads as U+FFFD (servers that stream UTF-16 halves send it); a number may exceed
//! every machine type.
//!
//! A value of another type than expected is skipped and noted ([`Reader::is_misshapen`]), so that
//! malformed text is told from well-formed text of another shape.

use std::borrow::Cow;

/// How deep arrays and objects may nest; the same as `serde_json`.
const DEPTH_MAX: u32 = 127;

/// The text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

/// A place in a JSON text.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    depth: u32,
    misshapen: bool,
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `text`, which must be UTF-8.
    pub(crate) fn new(text: &'a [u8]) -> Result<Self, Malformed> {
        match std::str::from_utf8(text) {
            Ok(_) => Ok(Self::trusted(text)),
            Err(_) => Err(Malformed),
        }
    }

    /// Starts at the beginning of a text that is known to be UTF-8.
    pub(crate) fn trusted(text: &'a [u8]) -> Self {
        Self { text, at: 0, depth: 0, misshapen: false }
    }

    /// Checks that nothing follows.
    pub(crate) fn finish(&mut self) -> Result<(), Malformed> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { Err(Malformed) }
    }

    /// Says whether a value was of another type than expected.
    pub(crate) fn is_misshapen(&self) -> bool {
        self.misshapen
    }

    /// Notes that the text is of another shape than expected.
    pub(crate) fn mark_misshapen(&mut self) {
        self.misshapen = true;
    }

    /// Reads an object; `member` must read or skip each value. `None` for another type.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &[u8]) -> Result<(), Malformed>,
    ) -> Result<Option<()>, Malformed> {
        if !self.expects(Kind::Object)? {
            return Ok(None);
        }
        self.enter()?;
        if !self.closes(b'}') {
            loop {
                self.skip_space();
                self.byte(b'"')?;
                let key = self.string_tail()?;
                self.skip_space();
                self.byte(b':')?;
                member(self, &key.decoded())?;
                if !self.continues(b'}')? {
                    break;
                }
            }
        }
        self.depth -= 1;
        Ok(Some(()))
    }

    /// Reads an array and returns its length; `element` must read or skip each value. `None` for
    /// another type.
    pub(crate) fn array(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<Option<u32>, Malformed> {
        if !self.expects(Kind::Array)? {
            return Ok(None);
        }
        self.enter()?;
        let mut count = 0;
        if !self.closes(b']') {
            loop {
                element(self)?;
                count += 1;
                if !self.continues(b']')? {
                    break;
                }
            }
        }
        self.depth -= 1;
        Ok(Some(count))
    }

    /// Reads a string; `None` for another type.
    pub(crate) fn string(&mut self) -> Result<Option<RawString<'a>>, Malformed> {
        if !self.expects(Kind::String)? {
            return Ok(None);
        }
        self.at += 1;
        self.string_tail().map(Some)
    }

    /// Reads a whole number from 0 to 2³² − 1; `None` for another type.
    pub(crate) fn count(&mut self) -> Result<Option<u32>, Malformed> {
        if !self.expects(Kind::Number)? {
            return Ok(None);
        }
        let digits = self.number()?;
        let value = digits.iter().try_fold(0_u32, |value, byte| {
            let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
            value.checked_mul(10)?.checked_add(digit)
        });
        self.misshapen |= value.is_none();
        Ok(value)
    }

    /// Reads a whole number as [`count`](Self::count) does; a number of another make is `None`, and
    /// no fault of the shape.
    pub(crate) fn whole(&mut self) -> Result<Option<u32>, Malformed> {
        let misshapen = self.misshapen;
        let value = self.count()?;
        self.misshapen = misshapen;
        Ok(value)
    }

    /// Reads one count of an object of counts.
    pub(crate) fn count_in(&mut self, wanted: &[u8]) -> Result<Option<u32>, Malformed> {
        let mut count = None;
        let _object = self.object(|json, key| {
            if key == wanted {
                count = json.count()?;
                Ok(())
            } else {
                json.skip()
            }
        })?;
        Ok(count)
    }

    /// Reads a string; `None`, and no fault of the shape, for another type.
    pub(crate) fn text(&mut self) -> Result<Option<RawString<'a>>, Malformed> {
        if self.kind()? == Kind::String {
            return self.string();
        }
        self.skip()?;
        Ok(None)
    }

    /// Reads `true` or `false`; `None` for another type.
    pub(crate) fn flag(&mut self) -> Result<Option<bool>, Malformed> {
        let kind = self.kind()?;
        if kind != Kind::True && !self.expects(Kind::False)? {
            return Ok(None);
        }
        self.skip()?;
        Ok(Some(kind == Kind::True))
    }

    /// Says whether the next value is a string.
    pub(crate) fn is_string(&mut self) -> Result<bool, Malformed> {
        Ok(self.kind()? == Kind::String)
    }

    /// Says whether the next value is a number.
    pub(crate) fn is_number(&mut self) -> Result<bool, Malformed> {
        Ok(self.kind()? == Kind::Number)
    }

    /// Skips a value and says whether it was `null`.
    pub(crate) fn skip_null(&mut self) -> Result<bool, Malformed> {
        let null = self.kind()? == Kind::Null;
        self.skip()?;
        Ok(null)
    }

    /// Skips a value of any type.
    pub(crate) fn skip(&mut self) -> Result<(), Malformed> {
        match self.kind()? {
            Kind::Object => self.object(|json, _| json.skip()).map(drop),
            Kind::Array => self.array(Self::skip).map(drop),
            Kind::String => self.string().map(drop),
            Kind::Number => self.number().map(drop),
            Kind::True => self.word(b"true"),
            Kind::False => self.word(b"false"),
            Kind::Null => self.word(b"null"),
        }
    }

    /// Reads a value with `read` and returns its text beside what `read` returned.
    pub(crate) fn spanned<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<(&'a [u8], T), Malformed> {
        self.skip_space();
        let start = self.at;
        let value = read(self)?;
        Ok((&self.text[start..self.at], value))
    }

    /// Says whether the next value is of this type. Any other is skipped, and noted as misshapen
    /// unless it is `null`.
    fn expects(&mut self, wanted: Kind) -> Result<bool, Malformed> {
        let found = self.kind()?;
        if found == wanted {
            return Ok(true);
        }
        self.misshapen |= found != Kind::Null;
        self.skip()?;
        Ok(false)
    }

    fn kind(&mut self) -> Result<Kind, Malformed> {
        self.skip_space();
        match self.text.get(self.at) {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't') => Ok(Kind::True),
            Some(b'f') => Ok(Kind::False),
            Some(b'n') => Ok(Kind::Null),
            _ => Err(Malformed),
        }
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    /// Steps over the bracket that opens an array or object.
    fn enter(&mut self) -> Result<(), Malformed> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(Malformed) } else { Ok(()) }
    }

    /// Steps over `close` if it comes next: the array or object is empty.
    fn closes(&mut self, close: u8) -> bool {
        self.skip_space();
        let closes = self.text.get(self.at) == Some(&close);
        self.at += usize::from(closes);
        closes
    }

    /// Steps over a comma (another member follows) or `close` (none does).
    fn continues(&mut self, close: u8) -> Result<bool, Malformed> {
        self.skip_space();
        let next = self.text.get(self.at).copied().ok_or(Malformed)?;
        self.at += 1;
        match next {
            b',' => Ok(true),
            byte if byte == close => Ok(false),
            _ => Err(Malformed),
        }
    }

    fn byte(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.text.get(self.at) == Some(&byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(Malformed)
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Malformed> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(())
        } else {
            Err(Malformed)
        }
    }

    /// Reads `-? (0 | [1-9][0-9]*) (\. [0-9]+)? ([eE] [+-]? [0-9]+)?`.
    fn number(&mut self) -> Result<&'a [u8], Malformed> {
        let start = self.at;
        self.at += usize::from(self.text[self.at] == b'-');
        if self.byte(b'0').is_err() {
            self.digits()?;
        }
        if self.byte(b'.').is_ok() {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.text.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let count = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(Malformed) } else { Ok(()) }
    }

    /// Reads a string whose opening quote has been read.
    fn string_tail(&mut self) -> Result<RawString<'a>, Malformed> {
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at = string_stop(self.text, self.at);
            match self.text.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(Malformed),
            }
        }
        let raw = &self.text[start..self.at];
        self.at += 1;
        Ok(RawString { raw, escaped })
    }

    /// Steps over an escape.
    fn escape(&mut self) -> Result<(), Malformed> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let hex = self.text.get(self.at + 2..self.at + 6).ok_or(Malformed)?;
                if !hex.iter().all(u8::is_ascii_hexdigit) {
                    return Err(Malformed);
                }
                self.at += 6;
            }
            _ => return Err(Malformed),
        }
        Ok(())
    }
}

/// Returns the next place from `at` on of a quote, a backslash or a control character, or the
/// text's end. Eight bytes at a time, since this is where reading spends its time.
fn string_stop(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    // The high bit of each byte of `word` that is below `bound`. A borrow can mark a byte above
    // a marked one wrongly, never one below: the lowest mark is right.
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & HIGHS;
    while let Some(eight) = text[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*eight);
        let quote = below(word ^ (ONES * b'"' as u64), 1);
        let backslash = below(word ^ (ONES * b'\\' as u64), 1);
        let marks = quote | backslash | below(word, 0x20);
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let tail = text[at..].iter().position(|&byte| matches!(byte, b'"' | b'\\' | ..0x20));
    tail.map_or(text.len(), |found| at + found)
}

/// A string as it stands in the text, between its quotes, escapes and all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawString<'a> {
    raw: &'a [u8],
    escaped: bool,
}

impl<'a> RawString<'a> {
    /// Returns the string whose text between the quotes is `raw`, which was read before.
    pub(crate) fn trusted(raw: &'a [u8]) -> Self {
        Self { raw, escaped: memchr::memchr(b'\\', raw).is_some() }
    }

    /// Returns its text as it stands between the quotes.
    pub(crate) fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// Returns the number of bytes of the text that it stands for.
    pub(crate) fn len_utf8(self) -> usize {
        if !self.escaped {
            return self.raw.len();
        }
        let mut length = 0;
        self.pieces(|piece| length += piece.len());
        length
    }

    /// Appends the text that it stands for.
    pub(crate) fn append_to(self, out: &mut Vec<u8>) {
        self.pieces(|piece| out.extend_from_slice(piece));
    }

    /// Returns the text that it stands for; copies only where there are escapes.
    pub(crate) fn decoded(self) -> Cow<'a, [u8]> {
        if !self.escaped {
            return Cow::Borrowed(self.raw);
        }
        let mut text = Vec::new();
        self.append_to(&mut text);
        Cow::Owned(text)
    }

    /// Hands out the text piece by piece. The escapes are known to be valid.
    fn pieces(self, mut piece: impl FnMut(&[u8])) {
        let mut rest = self.raw;
        while let Some(at) = memchr::memchr(b'\\', rest) {
            piece(&rest[..at]);
            let (letter, after) = (rest[at + 1], &rest[at + 2..]);
            rest = after;
            match letter {
                b'b' => piece(b"\x08"),
                b'f' => piece(b"\x0c"),
                b'n' => piece(b"\n"),
                b'r' => piece(b"\r"),
                b't' => piece(b"\t"),
                b'u' => {
                    let (code, after) = code_point(after);
                    rest = after;
                    piece(code.encode_utf8(&mut [0; 4]).as_bytes());
                }
                plain => piece(&[plain]),
            }
        }
        piece(rest);
    }
}

/// Reads the four digits after `\u`, and the low surrogate that may follow; returns what is left.
fn code_point(text: &[u8]) -> (char, &[u8]) {
    let (first, rest) = (hex(&text[..4]), &text[4..]);
    if let 0xD800..0xDC00 = first
        && let Some(low) = rest.strip_prefix(b"\\u")
        && let second @ 0xDC00..0xE000 = hex(&low[..4])
    {
        let joined = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        return (char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER), &low[4..]);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), rest)
}

fn hex(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |value, &digit| {
        value * 16 + char::from(digit).to_digit(16).expect("the digits were checked")
    })
}

#[cfg(test)]
mod tests;
