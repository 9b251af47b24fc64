//! JSON and numbers as Python's `json.dump` and `repr` write them, byte for byte.
//!
//! Deliberately not here: reading, for which any JSON parser does.

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::ser::Formatter;

/// A JSON value whose keys keep their order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Int(u64),
    Float(f64),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Json {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// Returns a float, or null for one that JSON has no word for.
    pub(crate) fn finite(value: f64) -> Self {
        if value.is_finite() { Self::Float(value) } else { Self::Null }
    }

    pub(crate) fn floats(values: impl IntoIterator<Item = f64>) -> Self {
        Self::List(values.into_iter().map(Self::Float).collect())
    }

    pub(crate) fn ints(values: impl IntoIterator<Item = u64>) -> Self {
        Self::List(values.into_iter().map(Self::Int).collect())
    }

    /// Writes the value as `json.dumps` does without arguments.
    pub(crate) fn dump(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Python);
        self.serialize(&mut serializer).expect("writing plain values to memory does not fail");
        bytes
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Int(value) => serializer.serialize_u64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    list.serialize_element(value)?;
                }
                list.end()
            }
            Self::Object(entries) => {
                let mut object = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    object.serialize_entry(key, value)?;
                }
                object.end()
            }
        }
    }
}

/// Python's spacing, numbers and escapes.
struct Python;

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn write_f64<W: ?Sized + Write>(&mut self, out: &mut W, value: f64) -> io::Result<()> {
        out.write_all(float(value).as_bytes())
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for c in fragment.chars() {
            if c.is_ascii() {
                out.write_all(&[c as u8])?;
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

/// Python's `repr` of a finite float: the shortest digits that read back, as a power of ten below
/// 1e-4 and from 1e16 on.
pub(crate) fn float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').expect("`e` formats with an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is an integer");
    if value == 0.0 || (-4..16).contains(&exponent) {
        return format!("{value:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_python_does() {
        for (value, repr) in [
            (0.0, "0.0"),
            (40.0, "40.0"),
            (8.823_000_825_941_563e-6, "8.823000825941563e-06"),
            (0.0001, "0.0001"),
            (1e16, "1e+16"),
            (123_456_789_012_345.6, "123456789012345.6"),
            (1e15, "1000000000000000.0"),
            (-2.5e-7, "-2.5e-07"),
            (1e100, "1e+100"),
        ] {
            assert_eq!(float(value), repr);
        }
    }

    #[test]
    fn text_is_ascii_and_spaced_as_by_python() {
        let object = Json::Object(vec![
            ("a\"\n".to_owned(), Json::text("é 😀")),
            ("b".to_owned(), Json::List(vec![Json::Null, Json::Int(3), Json::Float(0.5)])),
        ]);
        let expected = r#"{"a\"\n": "\u00e9 \ud83d\ude00", "b": [null, 3, 0.5]}"#;
        assert_eq!(String::from_utf8(object.dump()).unwrap(), expected);
    }
}
