//! Values as a scenario file in YAML.

use std::fmt::Write as _;

use super::Value;
use crate::settings::{Form, Setting};

/// Writes one setting a line; the values of a repeated one as a list.
pub(super) fn write(values: &[Value]) -> String {
    let mut text = String::new();
    let mut listed = "";
    for value in values {
        let scalar = scalar(&value.text);
        let is_list = Setting::by_key(value.key).is_some_and(|s| s.form == Form::Repeated);
        let written = match (is_list, listed == value.key) {
            (false, _) => writeln!(text, "{}: {scalar}", value.key),
            (true, true) => writeln!(text, "  - {scalar}"),
            (true, false) => writeln!(text, "{}:\n  - {scalar}", value.key),
        };
        written.expect("a string takes all that is written to it");
        listed = value.key;
    }
    text
}

/// Writes a text plainly where YAML takes it as it stands, else in double quotes (YAML 1.2.2,
/// section 7.3.1).
fn scalar(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./()-".contains(c);
    let null = ["null", "Null", "NULL"].contains(&text);
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(is_plain) && !null
    {
        return text.to_owned();
    }
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            c if c.is_alphanumeric() => quoted.push(c),
            c => write!(quoted, "\\U{:08x}", u32::from(c))
                .expect("a string takes all that is written to it"),
        }
    }
    quoted.push('"');
    quoted
}
