//! How a value's text is read and written: one [`Codec`] for each kind of value, the same for
//! flags, environment and files.
//!
//! # Invariants
//!
//! - `parse(print(x)) = x` for every value that `parse` can yield.
//! - Every number has bounds, so that nothing downstream overflows.
//!
//! Deliberately not here: which values go together (`resolve`).

mod access;
mod class;
mod lengths;
mod load;
mod objectives;
mod price;
mod profile;
mod session;
mod source;
mod target;
mod time;

pub(crate) use access::{ENV_NAME, HEADER, TAG};
pub(crate) use class::{BETWEEN, CLASS, Named};
pub(crate) use lengths::LENGTHS;
pub(crate) use load::{ARRIVALS, RAMP, RATE, TIME_SCALE};
pub(crate) use objectives::SLO;
pub(crate) use price::{GPUS, PRICE};
pub(crate) use profile::PROFILE;
pub(crate) use session::{COUNTED, THINK_TIME, TURNS};
pub(crate) use source::{DATASET, Dataset, FileKind, TOKENIZER, TRACE};
pub(crate) use target::{METRIC_PAGE, PROXY, REPLICA, TARGET};
pub(crate) use time::{DURATION, SPAN};

use std::ops::Range;
use std::path::PathBuf;

use infermark_terms::{HttpVersion, OutputPolicy};

use crate::intent::{Api, Connections, Delivery, PromptForm, Verification, WindowChoice};
use crate::nearest::nearest;

/// How one kind of value is read and written.
pub(crate) struct Codec<T> {
    pub(crate) parse: fn(&str) -> Result<T, Fault>,
    pub(crate) print: fn(&T) -> String,
}

/// Why a text is not a value of its kind.
#[derive(Debug)]
pub(crate) struct Fault {
    /// What is wrong: a fragment.
    pub(crate) found: String,
    /// What would be right: completes "expected …".
    pub(crate) expected: String,
    /// What to do.
    pub(crate) hint: Option<String>,
    /// Whether the text may be quoted.
    pub(crate) echo: Echo,
    /// The stretch of the text that is wrong, in bytes, where it is not all of it.
    pub(crate) at: Option<Range<usize>>,
}

/// Whether a value's text may be quoted in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Echo {
    Shown,
    /// It may hold a secret.
    Withheld,
}

impl Fault {
    pub(crate) fn new(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            found: found.into(),
            expected: expected.into(),
            hint: None,
            echo: Echo::Shown,
            at: None,
        }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(crate) fn withheld(self) -> Self {
        Self { echo: Echo::Withheld, ..self }
    }
}

/// A whole number from `MIN` to `MAX`.
pub(crate) const fn count<const MIN: u64, const MAX: u64>() -> Codec<u64> {
    Codec { parse: parse_count::<MIN, MAX>, print: u64::to_string }
}

fn parse_count<const MIN: u64, const MAX: u64>(text: &str) -> Result<u64, Fault> {
    let expected = || format!("a whole number from {MIN} to {MAX}");
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::new("not a whole number", expected()));
    }
    match text.parse() {
        Ok(number) if number < MIN => Err(Fault::new("too small", expected())),
        Ok(number) if number <= MAX => Ok(number),
        // All digits, so it can only have been too large to parse.
        Ok(_) | Err(_) => Err(Fault::new("too large", expected())),
    }
}

/// Reads `name(a,b,…)` as the name and the trimmed arguments.
fn parse_call(text: &str) -> Option<(&str, Vec<&str>)> {
    let (name, rest) = text.split_once('(')?;
    let arguments = rest.strip_suffix(')')?;
    Some((name.trim(), arguments.split(',').map(str::trim).collect()))
}

/// Reads `a..b` as its two trimmed ends.
fn parse_range(text: &str) -> Option<(&str, &str)> {
    text.split_once("..").map(|(from, to)| (from.trim(), to.trim()))
}

fn choose<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, Fault> {
    if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == text) {
        return Ok(*choice);
    }
    let names: Vec<_> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
    let fault = Fault::new("no such choice", names.join(" or "));
    match nearest(text, choices.iter().map(|(name, _)| *name)) {
        Some(name) => Err(fault.hint(format!("did you mean `{name}`?"))),
        None => Err(fault),
    }
}

/// Returns the first name of `choice`.
fn name_of<T: PartialEq>(choice: &T, choices: &[(&str, T)]) -> String {
    let named = choices.iter().find(|(_, other)| other == choice);
    named.expect("every choice has a name").0.to_owned()
}

/// Yes or no, for settings whose meaning is no more than that.
pub(crate) const YES_NO: Codec<bool> = Codec {
    parse: |text| parse_answer(text, true, false),
    print: |answer| if *answer { YES } else { NO }.to_owned(),
};

/// The answer to "streamed?".
pub(crate) const DELIVERY: Codec<Delivery> = Codec {
    parse: |text| parse_answer(text, Delivery::Streamed, Delivery::Whole),
    print: |delivery| if *delivery == Delivery::Streamed { YES } else { NO }.to_owned(),
};

/// The answer to "insecure?".
pub(crate) const INSECURITY: Codec<Verification> = Codec {
    parse: |text| parse_answer(text, Verification::Off, Verification::Full),
    print: |verification| if *verification == Verification::Off { YES } else { NO }.to_owned(),
};

pub(crate) const HTTP2: Codec<HttpVersion> = Codec {
    parse: |text| parse_answer(text, HttpVersion::Http2, HttpVersion::Http1),
    print: |version| if *version == HttpVersion::Http2 { YES } else { NO }.to_owned(),
};

const YES: &str = "yes";
const NO: &str = "no";

fn parse_answer<T>(text: &str, yes: T, no: T) -> Result<T, Fault> {
    match text {
        YES | "true" => Ok(yes),
        NO | "false" => Ok(no),
        _ => Err(Fault::new("neither yes nor no", "`yes` or `no`")),
    }
}

/// An API, or nothing where it is to be found out.
pub(crate) const API: Codec<Option<Api>> =
    Codec { parse: |text| choose(text, &apis()), print: |api| name_of(api, &apis()) };

fn apis() -> Vec<(&'static str, Option<Api>)> {
    let named = Api::ALL.into_iter().map(|api| (api.name(), Some(api)));
    named.chain([("auto", None)]).collect()
}

const CONNECTION_POLICIES: [(&str, Connections); 3] = [
    ("keep-alive", Connections::KeepAlive),
    ("per-request", Connections::PerRequest),
    ("per-session", Connections::PerSession),
];

pub(crate) const CONNECTIONS: Codec<Connections> = Codec {
    parse: |text| choose(text, &CONNECTION_POLICIES),
    print: |policy| name_of(policy, &CONNECTION_POLICIES),
};

const FORMS: [(&str, PromptForm); 2] =
    [("text", PromptForm::Text), ("token-ids", PromptForm::TokenIds)];

pub(crate) const PROMPT_FORM: Codec<PromptForm> =
    Codec { parse: |text| choose(text, &FORMS), print: |form| name_of(form, &FORMS) };

const WINDOWS: [(&str, WindowChoice); 2] =
    [("given", WindowChoice::Given), ("detect", WindowChoice::Detect)];

pub(crate) const WINDOW: Codec<WindowChoice> =
    Codec { parse: |text| choose(text, &WINDOWS), print: |choice| name_of(choice, &WINDOWS) };

const POLICIES: [(&str, OutputPolicy); 3] = [
    ("exact", OutputPolicy::Exact),
    ("natural", OutputPolicy::Natural),
    ("nothing", OutputPolicy::Nothing),
];

pub(crate) const OUTPUT_POLICY: Codec<OutputPolicy> =
    Codec { parse: |text| choose(text, &POLICIES), print: |policy| name_of(policy, &POLICIES) };

/// One non-empty line.
pub(crate) const LINE: Codec<String> =
    Codec { parse: |text| parse_line(text).map(str::to_owned), print: String::clone };

pub(crate) const PATH: Codec<PathBuf> =
    Codec { parse: |text| parse_line(text).map(PathBuf::from), print: |path| print_path(path) };

fn parse_line(text: &str) -> Result<&str, Fault> {
    if text.is_empty() {
        return Err(Fault::new("empty", "a text"));
    }
    if text.contains(char::is_control) {
        return Err(Fault::new("a line end or control character", "one line of text"));
    }
    Ok(text)
}

fn print_path(path: &std::path::Path) -> String {
    path.to_str().expect("paths of a scenario were read from text").to_owned()
}

#[cfg(test)]
mod tests;
