//! How numbers and durations are written, in settings and objectives alike.
//!
//! # Invariants
//!
//! - `duration(&write_duration(span)) = span` for every duration that [`duration`] can yield.
//! - A number is digits with an optional decimal point: no sign, exponent, infinity or NaN.

use crate::Nanos;

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

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurationFault {
    /// What is wrong: a fragment.
    pub found: &'static str,
    /// What to do: a fragment.
    pub hint: Option<String>,
}

impl DurationFault {
    const fn new(found: &'static str) -> Self {
        Self { found, hint: None }
    }
}

/// Reads a decimal number.
pub fn decimal(text: &str) -> Option<f64> {
    // Longer texts are no better numbers, and some would round to infinity.
    const CHARS_MAX: usize = 64;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let plain = text.len() <= CHARS_MAX && digits(whole) && digits(fraction);
    plain.then(|| text.parse().ok()).flatten()
}

/// Reads a share in per cent, such as `2.5%`, which is 0.025.
pub fn share(text: &str) -> Option<f64> {
    decimal(text.strip_suffix('%')?.trim()).map(|percent| percent / 100.0)
}

/// Reads a decimal number and a unit, such as `30s`, `5m`, `1.5s` or `500ms`, exactly.
///
/// # Errors
///
/// If the text is not so written, is finer than a nanosecond or longer than a year.
pub fn duration(text: &str) -> Result<Nanos, DurationFault> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..at], text[at..].trim_start());
    if number.is_empty() {
        return Err(DurationFault::new("not a duration"));
    }
    if unit.is_empty() {
        let hint = Some(format!("for seconds write `{number}s`"));
        return Err(DurationFault { hint, ..DurationFault::new("no unit") });
    }
    let Some((_, nanos)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        let hint = Some("the units are `h`, `m`, `s`, `ms`, `us` and `ns`".to_owned());
        return Err(DurationFault { hint, ..DurationFault::new("not a number and a unit") });
    };
    scale(number, *nanos).map(Nanos).map_err(DurationFault::new)
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

/// Writes a duration as a whole number of the longest unit that divides it.
pub fn write_duration(span: Nanos) -> String {
    match UNITS.iter().find(|(_, nanos)| span.0 != 0 && span.0.is_multiple_of(*nanos)) {
        Some((unit, nanos)) => format!("{}{unit}", span.0 / nanos),
        None => "0s".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_is_digits_with_an_optional_point() {
        assert_eq!(["12", "0.5", "007"].map(decimal), [Some(12.0), Some(0.5), Some(7.0)]);
        for wrong in ["", ".", "1.", ".5", "-1", "+1", "1e3", "inf", "NaN", "1.2.3", "１"] {
            assert_eq!(decimal(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_reads_back_as_it_is_written(nanos in 0..=NANOS_MAX) {
            prop_assert_eq!(duration(&write_duration(Nanos(nanos))), Ok(Nanos(nanos)));
        }
    }
}
