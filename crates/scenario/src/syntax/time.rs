//! Durations: a decimal number and a unit, exact to the nanosecond.

use infermark_terms::{Nanos, notation};

use super::{Codec, Fault};

/// A duration, zero allowed.
pub(crate) const SPAN: Codec<Nanos> =
    Codec { parse, print: |span| notation::write_duration(*span) };

/// A duration above zero.
pub(crate) const DURATION: Codec<Nanos> = Codec {
    parse: |text| match parse(text)? {
        Nanos::ZERO => Err(Fault::new("no time at all", "a duration above zero")),
        span => Ok(span),
    },
    print: |span| notation::write_duration(*span),
};

fn parse(text: &str) -> Result<Nanos, Fault> {
    notation::duration(text).map_err(|fault| Fault {
        hint: fault.hint,
        ..Fault::new(fault.found, "a duration such as `30s`, `5m`, `1.5s` or `500ms`")
    })
}
