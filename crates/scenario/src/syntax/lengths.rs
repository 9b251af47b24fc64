//! Distributions of lengths in tokens.

use infermark_terms::notation::decimal;

use super::{Codec, Fault, parse_call, parse_count, parse_range};
use crate::intent::Distribution;

/// The greatest length. No model's context is longer.
pub(crate) const TOKENS_MAX: u64 = 10_000_000;

/// Without bounds, lengths reach to this many times the mean: at a deviation as large as the
/// mean, that cuts less than 0.5 % of a lognormal's draws and none of a normal's.
const MEANS_MAX: f64 = 8.0;

/// Lengths in tokens.
pub(crate) const LENGTHS: Codec<Distribution> = Codec { parse, print };

fn fault(found: impl Into<String>) -> Fault {
    Fault::new(
        found,
        "a number of tokens, `uniform(1..1024)`, `normal(512,128)`, `normal(512,128,1..2048)` or \
         `lognormal(512,256)`",
    )
}

fn parse(text: &str) -> Result<Distribution, Fault> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return parse_tokens(text).map(Distribution::Fixed);
    }
    let (name, arguments) = parse_call(text).ok_or_else(|| fault("not a distribution"))?;
    match (name, &arguments[..]) {
        ("fixed", [tokens]) => parse_tokens(tokens).map(Distribution::Fixed),
        ("uniform", [bounds]) => {
            parse_bounds(bounds).map(|(min, max)| Distribution::Uniform { min, max })
        }
        ("normal", [mean, sd, bounds @ ..]) => parse_spread(mean, sd, bounds)
            .map(|(mean, sd, min, max)| Distribution::Normal { mean, sd, min, max }),
        ("lognormal", [mean, sd, bounds @ ..]) => parse_spread(mean, sd, bounds)
            .map(|(mean, sd, min, max)| Distribution::LogNormal { mean, sd, min, max }),
        ("fixed" | "uniform" | "normal" | "lognormal", _) => {
            Err(fault(format!("`{name}` takes other arguments")))
        }
        _ => Err(fault("no such distribution")),
    }
}

fn parse_tokens(text: &str) -> Result<u32, Fault> {
    parse_count::<1, TOKENS_MAX>(text).map(|tokens| tokens as u32)
}

fn parse_bounds(text: &str) -> Result<(u32, u32), Fault> {
    let (min, max) = parse_range(text).ok_or_else(|| fault("not a range such as `1..1024`"))?;
    let (min, max) = (parse_tokens(min)?, parse_tokens(max)?);
    if min <= max { Ok((min, max)) } else { Err(fault("the bounds are the wrong way round")) }
}

/// Reads mean, deviation and optional bounds, which include the mean, so that draws within them
/// are not rare.
fn parse_spread(mean: &str, sd: &str, bounds: &[&str]) -> Result<(f64, f64, u32, u32), Fault> {
    let number = |text| decimal(text).ok_or_else(|| fault(format!("`{text}` is no number")));
    let (mean, sd) = (number(mean)?, number(sd)?);
    if !(1.0..=TOKENS_MAX as f64).contains(&mean) || sd > TOKENS_MAX as f64 {
        return Err(fault(format!("a mean or deviation out of 1 to {TOKENS_MAX} tokens")));
    }
    let (min, max) = match bounds {
        [] => (1, (mean * MEANS_MAX).ceil().min(TOKENS_MAX as f64) as u32),
        [bounds] => parse_bounds(bounds)?,
        _ => return Err(fault("too many arguments")),
    };
    if (f64::from(min)..=f64::from(max)).contains(&mean) {
        Ok((mean, sd, min, max))
    } else {
        Err(fault("the mean is outside the bounds"))
    }
}

fn print(lengths: &Distribution) -> String {
    match lengths {
        Distribution::Fixed(tokens) => tokens.to_string(),
        Distribution::Uniform { min, max } => format!("uniform({min}..{max})"),
        Distribution::Normal { mean, sd, min, max } => format!("normal({mean},{sd},{min}..{max})"),
        Distribution::LogNormal { mean, sd, min, max } => {
            format!("lognormal({mean},{sd},{min}..{max})")
        }
    }
}
