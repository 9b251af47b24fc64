//! Misbehaviour on request: which faults there are, how often, and which a request gets.
//!
//! A plan is written as `stall=0.1:500ms,reset=every20,crlf`: names, each with how often it
//! strikes (a probability or every so many requests; nothing means always) and, after colons,
//! what it needs.
//!
//! | fault | argument | what the client sees |
//! |---|---|---|
//! | `stall` | duration, `1s` | nothing for so long in mid-answer, then all that was held back |
//! | `headers` | duration, `1s` | the response begins so much later |
//! | `coalesce` | tokens, `4` | so many tokens in each event |
//! | `role-only` | | the role's event long before the first token |
//! | `empty` | | an event without output in front of each |
//! | `comments` | | a comment in front of each event |
//! | `crlf` | | lines that end in CR LF |
//! | `no-usage` | | no usage, though asked for |
//! | `lying-usage` | | usage of twice the output tokens, and one |
//! | `split-utf8` | | non-ASCII text, each event cut within a character |
//! | `status` | code, `503`; wave, `1` | an error with `Retry-After`, that many requests in a row |
//! | `html` | | a page of HTML with a 200 |
//! | `reset` | | the connection reset in mid-answer |
//! | `truncate` | | the connection closed in mid-answer |
//! | `error` | | an error event in mid-answer, after a 200 |
//! | `garbage` | | in mid-answer, an event that is neither JSON nor UTF-8 |
//!
//! The last six end an answer. A request gets at most one of them: the first that is drawn in the
//! table's order. [`Drawn::outcome`] says what a client must make of it; under the other faults
//! requests finish.
//!
//! # Invariants
//!
//! What a request gets depends on the seed, the fault's name and the request's number alone: not
//! on the other faults, and not on time.

use std::fmt;
use std::str::FromStr;

use infermark_terms::{Nanos, OutcomeKind, Seed};

/// Which faults strike how often. The default is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultPlan {
    rules: Vec<(Fault, Chance)>,
}

/// A fault with its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Stall(Nanos),
    Headers(Nanos),
    Coalesce(u32),
    RoleOnly,
    Empty,
    Comments,
    Crlf,
    NoUsage,
    LyingUsage,
    SplitUtf8,
    End(EndFault),
}

/// A fault that ends an answer. The first in order goes before the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EndFault {
    Status { code: u16, run: u64 },
    Html,
    Reset,
    Truncate,
    Error,
    Garbage,
}

/// How often a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Chance {
    /// With this probability.
    Probability(f64),
    /// At every request whose number, from 1, is a multiple.
    Every(u64),
}

/// Why a text is no plan of faults.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseFaultsError {
    /// A fault that is not known.
    #[error("unknown fault `{name}`; known are {known}", known = Fault::NAMES.join(", "))]
    Unknown {
        /// Its name.
        name: String,
    },
    /// A fault that appears twice.
    #[error("`{name}` is given twice")]
    Twice {
        /// Its name.
        name: String,
    },
    /// How often is not said properly.
    #[error("`{value}` of `{name}` is neither a probability, 0 to 1, nor `every` with a number")]
    Chance {
        /// The fault.
        name: String,
        /// What was said.
        value: String,
    },
    /// An argument is not what the fault needs.
    #[error("`{value}` of `{name}` is not {expected}")]
    Argument {
        /// The fault.
        name: String,
        /// The argument.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// An argument that the fault does not take.
    #[error("`{name}` takes no argument `{value}`")]
    Excess {
        /// The fault.
        name: String,
        /// The argument.
        value: String,
    },
}

impl FromStr for FaultPlan {
    type Err = ParseFaultsError;

    fn from_str(text: &str) -> Result<Self, ParseFaultsError> {
        let mut plan = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, rest) = part.split_once('=').unwrap_or((part, "1"));
            let mut words = rest.split(':').map(str::trim);
            let chance = chance(name, words.next().unwrap_or_default())?;
            let fault = Fault::read(name, &mut words)?;
            if let Some(value) = words.next() {
                return Err(ParseFaultsError::Excess { name: name.into(), value: value.into() });
            }
            if plan.rules.iter().any(|(other, _)| other.name() == name) {
                return Err(ParseFaultsError::Twice { name: name.into() });
            }
            plan.rules.push((fault, chance));
        }
        Ok(plan)
    }
}

impl FaultPlan {
    /// Returns what the request with this number, from 0, gets.
    pub(crate) fn draw(&self, seed: Seed, index: u64) -> Drawn {
        let struck = self.rules.iter().filter(|(fault, chance)| {
            let seed = seed.named(fault.name());
            let begins = |index| chance.strikes(seed, index);
            // A wave that began at an earlier request may still last.
            (index.saturating_sub(fault.run() - 1)..=index).any(begins)
        });
        Drawn::new(struck.map(|&(fault, _)| fault), seed.named("place").at(index))
    }
}

impl Chance {
    fn strikes(self, seed: Seed, index: u64) -> bool {
        match self {
            Self::Probability(p) => seed.at(index).unit() < p,
            Self::Every(count) => (index + 1).is_multiple_of(count),
        }
    }
}

impl Fault {
    const NAMES: [&'static str; 16] = [
        "stall",
        "headers",
        "reset",
        "truncate",
        "status",
        "error",
        "garbage",
        "html",
        "coalesce",
        "role-only",
        "empty",
        "comments",
        "crlf",
        "no-usage",
        "lying-usage",
        "split-utf8",
    ];

    fn name(&self) -> &'static str {
        match self {
            Self::Stall(_) => "stall",
            Self::Headers(_) => "headers",
            Self::Coalesce(_) => "coalesce",
            Self::RoleOnly => "role-only",
            Self::Empty => "empty",
            Self::Comments => "comments",
            Self::Crlf => "crlf",
            Self::NoUsage => "no-usage",
            Self::LyingUsage => "lying-usage",
            Self::SplitUtf8 => "split-utf8",
            Self::End(EndFault::Status { .. }) => "status",
            Self::End(EndFault::Html) => "html",
            Self::End(EndFault::Reset) => "reset",
            Self::End(EndFault::Truncate) => "truncate",
            Self::End(EndFault::Error) => "error",
            Self::End(EndFault::Garbage) => "garbage",
        }
    }

    /// Returns for how many requests in a row it lasts once it strikes.
    fn run(&self) -> u64 {
        if let Self::End(EndFault::Status { run, .. }) = self { *run } else { 1 }
    }

    /// Reads a fault, its arguments from `words`.
    fn read<'a>(
        name: &str,
        words: &mut impl Iterator<Item = &'a str>,
    ) -> Result<Self, ParseFaultsError> {
        Ok(match name {
            "status" => Self::End(EndFault::Status {
                code: argument(name, words, "an error status, 400 to 599", 503, |word| {
                    word.parse().ok().filter(|code| (400..600).contains(code))
                })?,
                run: argument(name, words, "a number of requests, 1 to 1000", 1, |word| {
                    word.parse().ok().filter(|run| (1..=RUN_MAX).contains(run))
                })?,
            }),
            "html" => Self::End(EndFault::Html),
            "reset" => Self::End(EndFault::Reset),
            "truncate" => Self::End(EndFault::Truncate),
            "error" => Self::End(EndFault::Error),
            "garbage" => Self::End(EndFault::Garbage),
            "stall" => Self::Stall(argument(name, words, DURATION, ONE_SECOND, duration)?),
            "headers" => Self::Headers(argument(name, words, DURATION, ONE_SECOND, duration)?),
            "coalesce" => {
                Self::Coalesce(argument(name, words, "a number of tokens from 1", 4, |word| {
                    word.parse().ok().filter(|&tokens| tokens > 0)
                })?)
            }
            "role-only" => Self::RoleOnly,
            "empty" => Self::Empty,
            "comments" => Self::Comments,
            "crlf" => Self::Crlf,
            "no-usage" => Self::NoUsage,
            "lying-usage" => Self::LyingUsage,
            "split-utf8" => Self::SplitUtf8,
            _ => return Err(ParseFaultsError::Unknown { name: name.into() }),
        })
    }
}

/// As in a plan, without how often.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Self::Stall(span) | Self::Headers(span) = self {
            write!(f, ":{span}")?;
        }
        if let Self::Coalesce(tokens) = self {
            write!(f, ":{tokens}")?;
        }
        if let Self::End(EndFault::Status { code, .. }) = self {
            write!(f, ":{code}")?;
        }
        Ok(())
    }
}

const DURATION: &str = "a duration such as `500ms` (units: us, ms, s; at most an hour)";
const ONE_SECOND: Nanos = Nanos::from_secs(1);
/// The longest wave: drawing a request's faults looks back so far.
const RUN_MAX: u64 = 1_000;
/// The longest stall.
const HOUR: Nanos = Nanos::from_secs(3600);

fn argument<'a, T>(
    name: &str,
    words: &mut impl Iterator<Item = &'a str>,
    expected: &'static str,
    default: T,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, ParseFaultsError> {
    let Some(value) = words.next() else { return Ok(default) };
    read(value).ok_or_else(|| ParseFaultsError::Argument {
        name: name.into(),
        value: value.into(),
        expected,
    })
}

fn chance(name: &str, value: &str) -> Result<Chance, ParseFaultsError> {
    let read = if let Some(count) = value.strip_prefix("every") {
        count.trim().parse().ok().filter(|&n| n > 0).map(Chance::Every)
    } else {
        let probability = value.parse().ok().filter(|p| (0.0..=1.0).contains(p));
        probability.map(Chance::Probability)
    };
    read.ok_or_else(|| ParseFaultsError::Chance { name: name.into(), value: value.into() })
}

fn duration(text: &str) -> Option<Nanos> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit_at);
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    let span = Nanos::from_secs_f64(number.parse::<f64>().ok()? * scale);
    (span <= HOUR).then_some(span)
}

/// What one request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Drawn {
    /// Those that do not end the answer.
    faults: Vec<Fault>,
    end: Option<EndFault>,
    seed: Seed,
}

impl Drawn {
    fn new(struck: impl Iterator<Item = Fault>, seed: Seed) -> Self {
        let (mut faults, mut end) = (Vec::new(), None);
        for fault in struck {
            if let Fault::End(fault) = fault {
                end = Some(end.map_or(fault, |end: EndFault| end.min(fault)));
            } else {
                faults.push(fault);
            }
        }
        if matches!(end, Some(EndFault::Status { .. } | EndFault::Html)) {
            // Nothing of an answer is left to spoil but its beginning.
            faults.retain(|fault| matches!(fault, Fault::Headers(_)));
        }
        Self { faults, end, seed }
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// Returns the fault that ends the answer.
    pub(crate) fn end(&self) -> Option<EndFault> {
        self.end
    }

    pub(crate) fn headers(&self) -> Option<Nanos> {
        self.find(|fault| if let Fault::Headers(span) = fault { Some(span) } else { None })
    }

    pub(crate) fn stall(&self) -> Option<Nanos> {
        self.find(|fault| if let Fault::Stall(span) = fault { Some(span) } else { None })
    }

    /// Returns how many tokens share an event.
    pub(crate) fn tokens_per_event(&self) -> u32 {
        let found = self.find(|fault| if let Fault::Coalesce(n) = fault { Some(n) } else { None });
        found.unwrap_or(1)
    }

    fn find<T>(&self, pick: impl Fn(Fault) -> Option<T>) -> Option<T> {
        self.faults.iter().copied().find_map(pick)
    }

    /// Returns after how many of an answer's tokens its end comes too early: not before the first
    /// and not after the last, where there are that many.
    pub(crate) fn ends_after(&self, tokens: u32) -> u32 {
        place(self.seed.named("end"), tokens)
    }

    /// Returns after how many of an answer's tokens it stalls; likewise.
    pub(crate) fn stalls_after(&self, tokens: u32) -> u32 {
        place(self.seed.named("stall"), tokens)
    }

    /// Returns how a client must see the request end.
    pub(crate) fn outcome(&self) -> OutcomeKind {
        match self.end {
            None => OutcomeKind::Finished,
            Some(EndFault::Status { .. }) => OutcomeKind::Refused,
            Some(EndFault::Html | EndFault::Garbage) => OutcomeKind::Garbled,
            Some(EndFault::Reset | EndFault::Truncate) => OutcomeKind::Severed,
            Some(EndFault::Error) => OutcomeKind::Errored,
        }
    }

    /// Returns the faults in words.
    pub(crate) fn words(&self) -> Vec<String> {
        let all = self.faults.iter().copied().chain(self.end.map(Fault::End));
        all.map(|fault| fault.to_string()).collect()
    }
}

fn place(seed: Seed, tokens: u32) -> u32 {
    if tokens < 2 { 0 } else { 1 + (seed.0 % u64::from(tokens - 1)) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> FaultPlan {
        text.parse().unwrap()
    }

    fn drawn(text: &str, index: u64) -> Vec<String> {
        plan(text).draw(Seed(7), index).words()
    }

    #[test]
    fn a_plan_is_read_with_its_arguments_and_defaults() {
        assert_eq!(drawn("", 0), Vec::<String>::new());
        assert_eq!(
            drawn("stall=1:500ms, headers, status=0:429:3, coalesce=1:3, crlf,split-utf8", 0),
            ["stall:500ms", "headers:1s", "coalesce:3", "crlf", "split-utf8"]
        );
        for name in Fault::NAMES {
            assert_eq!(plan(name).rules[0].0.name(), name);
        }
    }

    #[test]
    fn a_bad_plan_is_refused_with_the_word_at_fault() {
        let message = |text: &str| text.parse::<FaultPlan>().unwrap_err().to_string();
        assert!(message("stal=1").starts_with("unknown fault `stal`; known are stall, headers,"));
        assert_eq!(message("crlf,crlf"), "`crlf` is given twice");
        let chance = "is neither a probability, 0 to 1, nor `every` with a number";
        for value in ["2", "-0.1", "every0", "everyx", "", "NaN"] {
            assert_eq!(
                message(&format!("reset={value}")),
                format!("`{value}` of `reset` {chance}")
            );
        }
        assert_eq!(message("status=1:200"), "`200` of `status` is not an error status, 400 to 599");
        assert_eq!(message("coalesce=1:0"), "`0` of `coalesce` is not a number of tokens from 1");
        assert!(message("stall=1:5").starts_with("`5` of `stall` is not a duration"));
        assert!(message("headers=1:2h").starts_with("`2h` of `headers` is not a duration"));
        assert_eq!(message("reset=1:now"), "`reset` takes no argument `now`");
    }

    #[test]
    fn a_probability_strikes_its_share_whatever_else_is_planned() {
        let hits = |text: &str| -> Vec<u64> {
            let plan = plan(text);
            (0..10_000).filter(|&i| plan.draw(Seed(3), i).end() == Some(EndFault::Reset)).collect()
        };
        let alone = hits("reset=0.1");
        // Six standard deviations of a binomial count.
        assert!(alone.len().abs_diff(1_000) < 180, "{}", alone.len());
        assert_eq!(alone, hits("garbage=0.5,crlf,reset=0.1"));
        assert_eq!(hits("reset=every2500"), [2_499, 4_999, 7_499, 9_999]);
    }

    #[test]
    fn a_wave_of_refusals_lasts_its_length() {
        let plan = plan("status=every10:429:3");
        let refused: Vec<_> = (0..25).filter(|&i| plan.draw(Seed(0), i).end().is_some()).collect();
        assert_eq!(refused, [9, 10, 11, 19, 20, 21]);
    }

    #[test]
    fn one_fault_ends_an_answer_and_a_refusal_leaves_nothing_to_spoil() {
        assert_eq!(drawn("garbage,error,reset,crlf", 0), ["crlf", "reset"]);
        assert_eq!(drawn("status,reset,stall,headers,empty", 0), ["headers:1s", "status:503"]);
    }

    #[test]
    fn an_answer_ends_early_only_between_its_tokens() {
        let plan = plan("reset");
        for index in 0..500 {
            let drawn = plan.draw(Seed(1), index);
            assert_eq!(drawn.ends_after(1), 0);
            assert_eq!(drawn.ends_after(2), 1);
            assert!((1..10).contains(&drawn.ends_after(10)));
            assert!((1..10).contains(&drawn.stalls_after(10)));
        }
    }
}
