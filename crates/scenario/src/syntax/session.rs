//! Sessions: how many turns, how long users think, what slots hold.

use infermark_terms::Nanos;

use super::{Codec, DURATION, Fault, LENGTHS, SPAN, choose, name_of, parse_call, parse_range};
use crate::intent::{Counted, Distribution, ThinkTime, TurnCount};

/// The most turns of a session.
const TURNS_MAX: u32 = 10_000;

/// How many turns a session has.
pub(crate) const TURNS: Codec<TurnCount> = Codec {
    parse: parse_turns,
    print: |turns| match turns {
        TurnCount::All => "all".to_owned(),
        TurnCount::Drawn(law) => (LENGTHS.print)(law),
    },
};

fn parse_turns(text: &str) -> Result<TurnCount, Fault> {
    let expected = "a number of turns, `uniform(2..6)`, another distribution, or `all`";
    if text == "all" {
        return Ok(TurnCount::All);
    }
    let law =
        (LENGTHS.parse)(text).map_err(|fault| Fault { expected: expected.into(), ..fault })?;
    let most = match law {
        Distribution::Fixed(max)
        | Distribution::Uniform { max, .. }
        | Distribution::Normal { max, .. }
        | Distribution::LogNormal { max, .. } => max,
    };
    if most > TURNS_MAX {
        return Err(Fault::new(format!("more than {TURNS_MAX} turns"), expected));
    }
    Ok(TurnCount::Drawn(law))
}

/// From an answer to the next turn.
pub(crate) const THINK_TIME: Codec<ThinkTime> = Codec { parse: parse_time, print: print_time };

fn parse_time(text: &str) -> Result<ThinkTime, Fault> {
    let fault = |found: &str| Fault::new(found, "`2s`, `uniform(1s..5s)` or `exponential(2s)`");
    let Some((name, arguments)) = parse_call(text) else {
        return (SPAN.parse)(text).map(ThinkTime::Fixed).map_err(|inner| fault(&inner.found));
    };
    let inner =
        |text: &str, codec: &Codec<Nanos>| (codec.parse)(text).map_err(|inner| fault(&inner.found));
    match (name, &arguments[..]) {
        ("uniform", [bounds]) => {
            let (min, max) = parse_range(bounds).ok_or_else(|| fault("not a range of times"))?;
            let (min, max) = (inner(min, &SPAN)?, inner(max, &SPAN)?);
            if min > max {
                return Err(fault("the bounds are the wrong way round"));
            }
            Ok(ThinkTime::Uniform { min, max })
        }
        ("exponential", [mean]) => {
            inner(mean, &DURATION).map(|mean| ThinkTime::Exponential { mean })
        }
        ("uniform" | "exponential", _) => Err(fault("it takes other arguments")),
        _ => Err(fault("no such distribution")),
    }
}

fn print_time(time: &ThinkTime) -> String {
    let shown = SPAN.print;
    match time {
        ThinkTime::Fixed(time) => shown(time),
        ThinkTime::Uniform { min, max } => format!("uniform({}..{})", shown(min), shown(max)),
        ThinkTime::Exponential { mean } => format!("exponential({})", shown(mean)),
    }
}

const COUNTS: [(&str, Counted); 2] =
    [("sessions", Counted::Sessions), ("requests", Counted::Requests)];

/// What a closed loop's slots hold.
pub(crate) const COUNTED: Codec<Counted> =
    Codec { parse: |text| choose(text, &COUNTS), print: |counted| name_of(counted, &COUNTS) };
