//! Rates, ramps and the laws of arrivals.

use infermark_terms::notation::decimal;

use super::{Codec, Fault, parse_call, parse_range};
use crate::intent::{Arrivals, RateCurve};

/// The bounds of a rate, in requests per second. The schedule computes instants in nanoseconds
/// up to some years from these.
const RATE_MIN: f64 = 1e-6;
const RATE_MAX: f64 = 1e6;

/// The bounds of a coefficient of variation. Beyond them gamma gaps are constant, or almost all
/// zero, for every purpose.
const CV_MIN: f64 = 0.01;
const CV_MAX: f64 = 20.0;

/// The bounds of a trace's speed: a day in less than a minute, a second in a quarter of an hour.
const SPEED_MIN: f64 = 0.001;
const SPEED_MAX: f64 = 10_000.0;

/// How many times as fast as it was recorded.
pub(crate) const TIME_SCALE: Codec<f64> =
    Codec { parse: parse_time_scale, print: |speed| format!("{speed}x") };

fn parse_time_scale(text: &str) -> Result<f64, Fault> {
    let fault = |found| Fault::new(found, "a time scale such as `2x` or `0.5x`");
    let Some(number) = text.strip_suffix('x') else {
        return match decimal(text) {
            Some(_) => Err(fault("no `x`").hint(format!("write `{text}x`"))),
            None => Err(fault("not a time scale")),
        };
    };
    let speed = decimal(number.trim()).ok_or_else(|| fault("not a number"))?;
    if (SPEED_MIN..=SPEED_MAX).contains(&speed) {
        Ok(speed)
    } else {
        let bounds = format!("a time scale from `{SPEED_MIN}x` to `{SPEED_MAX}x`");
        Err(Fault::new("the time scale is out of bounds", bounds))
    }
}

/// Requests per second.
pub(crate) const RATE: Codec<f64> = Codec { parse: parse_rate, print: |rate| print_rate(*rate) };

fn parse_rate(text: &str) -> Result<f64, Fault> {
    let fault = |found| Fault::new(found, "a rate such as `12/s`, `0.5/s` or `30/min`");
    let Some((number, unit)) = text.split_once('/') else {
        return match decimal(text) {
            Some(0.0) => Err(fault("no requests at all")),
            Some(_) => Err(fault("no unit").hint(format!("for so many a second write `{text}/s`"))),
            None => Err(fault("not a rate")),
        };
    };
    let per_unit = decimal(number.trim()).ok_or_else(|| fault("not a number"))?;
    let rate = match unit.trim() {
        "s" => per_unit,
        "min" => per_unit / 60.0,
        "h" => per_unit / 3600.0,
        _ => return Err(fault("no such unit").hint("the units are `/s`, `/min` and `/h`")),
    };
    match rate {
        0.0 => Err(fault("no requests at all")),
        rate if rate < RATE_MIN => Err(fault("less than a request in a million seconds")),
        rate if rate > RATE_MAX => Err(fault("more than a million requests per second")),
        rate => Ok(rate),
    }
}

fn print_rate(rate: f64) -> String {
    format!("{rate}/s")
}

/// A changing rate.
pub(crate) const RAMP: Codec<RateCurve> = Codec { parse: parse_ramp, print: print_ramp };

fn parse_ramp(text: &str) -> Result<RateCurve, Fault> {
    let fault = |found| Fault::new(found, "`linear(1/s..20/s)` or `exponential(1/s..64/s)`");
    let (name, arguments) = parse_call(text).ok_or_else(|| fault("not a ramp"))?;
    let curve: fn(f64, f64) -> RateCurve = match name {
        "linear" => |from, to| RateCurve::Linear { from, to },
        "exponential" => |from, to| RateCurve::Exponential { from, to },
        _ => return Err(fault("no such ramp")),
    };
    let [range] = arguments[..] else { return Err(fault("not one range")) };
    let (from, to) = parse_range(range).ok_or_else(|| fault("not a range of rates"))?;
    Ok(curve(parse_rate(from)?, parse_rate(to)?))
}

fn print_ramp(curve: &RateCurve) -> String {
    let range = |from: &f64, to: &f64| format!("{}..{}", print_rate(*from), print_rate(*to));
    match curve {
        RateCurve::Steady(rate) => print_rate(*rate),
        RateCurve::Linear { from, to } => format!("linear({})", range(from, to)),
        RateCurve::Exponential { from, to } => format!("exponential({})", range(from, to)),
    }
}

/// A law of arrivals.
pub(crate) const ARRIVALS: Codec<Arrivals> = Codec { parse: parse_arrivals, print: print_arrivals };

fn parse_arrivals(text: &str) -> Result<Arrivals, Fault> {
    let fault = |found: &str| Fault::new(found, "`constant`, `poisson` or `gamma(2.0)`");
    match text {
        "constant" => return Ok(Arrivals::Constant),
        "poisson" => return Ok(Arrivals::Poisson),
        "gamma" => return Err(fault("no coefficient of variation")),
        _ => {}
    }
    let Some(("gamma", arguments)) = parse_call(text) else {
        return Err(fault("no such law of arrivals"));
    };
    let cv = match arguments[..] {
        [cv] => decimal(cv).ok_or_else(|| fault("not a number"))?,
        _ => return Err(fault("not one coefficient of variation")),
    };
    if (CV_MIN..=CV_MAX).contains(&cv) {
        Ok(Arrivals::Gamma { cv })
    } else {
        Err(Fault::new(
            "the coefficient of variation is out of bounds",
            format!("`gamma` of {CV_MIN} to {CV_MAX}"),
        ))
    }
}

fn print_arrivals(arrivals: &Arrivals) -> String {
    match arrivals {
        Arrivals::Constant => "constant".to_owned(),
        Arrivals::Poisson => "poisson".to_owned(),
        Arrivals::Gamma { cv } => format!("gamma({cv})"),
    }
}
