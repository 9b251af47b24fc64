//! Durations: a decimal number and a unit, exact to the nanosecond.

use infermark_terms::Nanos;

use super::{Codec, Fault};

/// The longest duration: a year. It keeps every sum of instants far from overflow.
const NANOS_MAX: u64 = 365 * 24 * 3_600 * 1_000_000_000;

/// The units, longest first, in nanoseconds.
const UNITS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A duration, zero allowed.
pub(crate) const SPAN: Codec<Nanos> = Codec { parse, print: |span| print(*span) };

/// A duration above zero.
pub(crate) const DURATION: Codec<Nanos> = Codec {
    parse: |text| match parse(text)? {
        Nanos::ZERO => Err(Fault::new("no time at all", "a duration above zero")),
        span => Ok(span),
    },
    print: |span| print(*span),
};

fn parse(text: &str) -> Result<Nanos, Fault> {
    let fault = |found| Fault::new(found, "a duration such as `30s`, `5m`, `1.5s` or `500ms`");
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..at], text[at..].trim_start());
    if number.is_empty() {
        return Err(fault("not a duration"));
    }
    if unit.is_empty() {
        return Err(fault("no unit").hint(format!("for seconds write `{number}s`")));
    }
    let Some((_, nanos)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(fault("not a number and a unit")
            .hint("the units are `h`, `m`, `s`, `ms`, `us` and `ns`"));
    };
    scale(number, *nanos).map(Nanos).map_err(fault)
}

/// Returns `number × unit`, exactly.
fn scale(number: &str, unit: u64) -> Result<u64, &'static str> {
    // So many digits of the largest unit still fit into 128 bits.
    const DIGITS_MAX: usize = 20;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
        return Err("not a number");
    }
    if whole.len() + fraction.len() > DIGITS_MAX {
        return Err("too many digits");
    }
    let digits: u128 = format!("{whole}{fraction}").parse().map_err(|_| "not a number")?;
    let (scaled, divisor) = (digits * u128::from(unit), 10_u128.pow(fraction.len() as u32));
    if scaled % divisor != 0 {
        return Err("finer than a nanosecond");
    }
    match u64::try_from(scaled / divisor) {
        Ok(nanos) if nanos <= NANOS_MAX => Ok(nanos),
        Ok(_) | Err(_) => Err("longer than a year"),
    }
}

/// Writes the duration as a whole number of the longest unit that divides it.
fn print(span: Nanos) -> String {
    match UNITS.iter().find(|(_, nanos)| span.0 != 0 && span.0.is_multiple_of(*nanos)) {
        Some((unit, nanos)) => format!("{}{unit}", span.0 / nanos),
        None => "0s".to_owned(),
    }
}
