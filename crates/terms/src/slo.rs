//! Objectives: what a deployment is asked to achieve (docs/metrics.md, section 7).
//!
//! An [`Slo`] is a list of [`Bound`]s, written `ttft:p99<=200ms,failure_rate<=0.1%`. What is
//! bounded says from which side: latencies and failures from above, rates and shares of good
//! requests from below. So a bound needs no direction of its own, and one from the wrong side is
//! refused.
//!
//! # Invariants
//!
//! - A bound reads back as it is written: `parse(bound.to_string()) = bound`.
//! - A limit is in the unit of the figure's key in results: milliseconds, a share from 0 to 1, or
//!   so many a second.
//! - An objective bounds no subject twice.
//!
//! Deliberately not here: whether a bound is met (`measure`).

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Nanos;
use crate::notation::{decimal, duration, write_duration};

/// Bounds that hold together; empty where nobody asked for any.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "Vec<String>", try_from = "Vec<String>")]
pub struct Slo(Vec<Bound>);

impl Slo {
    /// Returns the bounds, in the order in which they were written.
    pub fn bounds(&self) -> &[Bound] {
        &self.0
    }

    /// Says whether nothing is bounded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the bounds that make each request good or bad.
    pub fn each(&self) -> impl Iterator<Item = (LatencyFigure, f64)> {
        self.0.iter().filter_map(|bound| match bound.subject {
            Subject::Each(figure) => Some((figure, bound.limit)),
            Subject::Latency(..) | Subject::Level(_) => None,
        })
    }

    /// Says whether requests are told apart into good and bad.
    pub fn tells_good_from_bad(&self) -> bool {
        self.0.iter().any(|bound| match bound.subject {
            Subject::Each(_) => true,
            Subject::Level(level) => level.is_goodput(),
            Subject::Latency(..) => false,
        })
    }

    /// Adds the bounds of another objective.
    ///
    /// # Errors
    ///
    /// The first subject that both bound.
    pub fn join(mut self, other: Self) -> Result<Self, Subject> {
        for bound in other.0 {
            if self.0.iter().any(|known| known.subject == bound.subject) {
                return Err(bound.subject);
            }
            self.0.push(bound);
        }
        Ok(self)
    }
}

/// One bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Bound {
    /// What is bounded.
    pub subject: Subject,
    /// How far it may go, in the unit of the subject.
    pub limit: f64,
}

/// What a bound is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Subject {
    /// A latency of each request: it makes requests good or bad.
    Each(LatencyFigure),
    /// A statistic of a latency.
    Latency(LatencyFigure, Statistic),
    /// A rate or a share.
    Level(Level),
}

/// From which side a subject is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It may be at most the limit.
    AtMost,
    /// It must be at least the limit.
    AtLeast,
}

/// The unit of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds; written as a duration.
    Millis,
    /// A share from 0 to 1; written in per cent.
    Share,
    /// So many a second; written as a plain number.
    PerSecond,
}

impl Subject {
    /// Returns the side from which it is bounded.
    pub const fn side(self) -> Side {
        match self {
            Self::Each(_) | Self::Latency(..) | Self::Level(Level::FailureRate) => Side::AtMost,
            Self::Level(_) => Side::AtLeast,
        }
    }

    /// Returns the unit of its limit.
    pub const fn unit(self) -> Unit {
        match self {
            Self::Each(_) | Self::Latency(..) => Unit::Millis,
            Self::Level(Level::FailureRate | Level::GoodShare) => Unit::Share,
            Self::Level(_) => Unit::PerSecond,
        }
    }
}

/// A latency of docs/metrics.md, section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "docs/metrics.md, section 3, defines each")]
pub enum LatencyFigure {
    Ttft,
    ServiceTtft,
    Ttfa,
    Tpot,
    Itl,
    Icl,
    E2e,
    ServiceE2e,
    Lag,
    Stall,
}

/// A statistic of many observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say all")]
pub enum Statistic {
    Mean,
    Min,
    P50,
    P90,
    P95,
    P99,
    P999,
    Max,
}

/// A rate or a share over the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "docs/metrics.md, sections 4 to 7, defines each")]
pub enum Level {
    FailureRate,
    GoodShare,
    GoodputRps,
    GoodputOutputTokensPerS,
    RequestsPerS,
    InputTokensPerS,
    OutputTokensPerS,
    TotalTokensPerS,
    OutputTokensPerSPerUser,
    OutputTokensPerSPerGpu,
}

impl Level {
    /// Says whether it counts good requests.
    pub const fn is_goodput(self) -> bool {
        matches!(self, Self::GoodShare | Self::GoodputRps | Self::GoodputOutputTokensPerS)
    }
}

const FIGURES: [(&str, LatencyFigure); 10] = [
    ("ttft", LatencyFigure::Ttft),
    ("service_ttft", LatencyFigure::ServiceTtft),
    ("ttfa", LatencyFigure::Ttfa),
    ("tpot", LatencyFigure::Tpot),
    ("itl", LatencyFigure::Itl),
    ("icl", LatencyFigure::Icl),
    ("e2e", LatencyFigure::E2e),
    ("service_e2e", LatencyFigure::ServiceE2e),
    ("lag", LatencyFigure::Lag),
    ("stall", LatencyFigure::Stall),
];

const STATISTICS: [(&str, Statistic); 8] = [
    ("mean", Statistic::Mean),
    ("min", Statistic::Min),
    ("p50", Statistic::P50),
    ("p90", Statistic::P90),
    ("p95", Statistic::P95),
    ("p99", Statistic::P99),
    ("p999", Statistic::P999),
    ("max", Statistic::Max),
];

const LEVELS: [(&str, Level); 10] = [
    ("failure_rate", Level::FailureRate),
    ("good_share", Level::GoodShare),
    ("goodput_rps", Level::GoodputRps),
    ("goodput_output_tokens_per_s", Level::GoodputOutputTokensPerS),
    ("requests_per_s", Level::RequestsPerS),
    ("input_tokens_per_s", Level::InputTokensPerS),
    ("output_tokens_per_s", Level::OutputTokensPerS),
    ("total_tokens_per_s", Level::TotalTokensPerS),
    ("output_tokens_per_s_per_user", Level::OutputTokensPerSPerUser),
    ("output_tokens_per_s_per_gpu", Level::OutputTokensPerSPerGpu),
];

/// Why a text is not an objective, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SloFault {
    /// The stretch of the text that is wrong, in bytes.
    pub at: Range<usize>,
    /// What is wrong there: a fragment.
    pub found: String,
    /// What would be right: completes "expected …".
    pub expected: String,
    /// What to do: a fragment.
    pub hint: Option<String>,
    /// The names that the stretch could have been, for a guess at what was meant.
    pub names: Vec<&'static str>,
}

impl fmt::Display for SloFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; expected {}", self.found, self.expected)
    }
}

impl std::error::Error for SloFault {}

impl FromStr for Slo {
    type Err = SloFault;

    /// Reads bounds with commas between.
    fn from_str(text: &str) -> Result<Self, SloFault> {
        let mut slo = Self::default();
        let mut start = 0;
        for part in text.split(',') {
            let bound = Piece { text: part, start }.trimmed().bound()?;
            slo = slo.join(Self(vec![bound])).map_err(|subject| {
                let piece = Piece { text: part, start }.trimmed();
                piece.fault(format!("`{subject}` is bounded twice"), "one bound for each figure")
            })?;
            start += part.len() + 1;
        }
        Ok(slo)
    }
}

impl FromStr for Bound {
    type Err = SloFault;

    fn from_str(text: &str) -> Result<Self, SloFault> {
        Piece { text, start: 0 }.trimmed().bound()
    }
}

impl FromStr for Subject {
    type Err = SloFault;

    fn from_str(text: &str) -> Result<Self, SloFault> {
        Piece { text, start: 0 }.trimmed().subject()
    }
}

/// A stretch of an objective's text.
#[derive(Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    /// Where it begins in the whole.
    start: usize,
}

impl Piece<'_> {
    fn fault(self, found: impl Into<String>, expected: impl Into<String>) -> SloFault {
        SloFault {
            at: self.start..self.start + self.text.len(),
            found: found.into(),
            expected: expected.into(),
            hint: None,
            names: Vec::new(),
        }
    }

    fn trimmed(self) -> Self {
        let ahead = self.text.len() - self.text.trim_start().len();
        Self { text: self.text.trim(), start: self.start + ahead }
    }

    /// Splits at the first of the marks, which belongs to neither part.
    fn split(self, marks: &[&'static str]) -> Option<(Self, &'static str, Self)> {
        let found = marks.iter().filter_map(|mark| Some((self.text.find(mark)?, *mark)));
        let (at, mark) = found.min_by_key(|(at, mark)| (*at, usize::MAX - mark.len()))?;
        let after = at + mark.len();
        let left = Self { text: &self.text[..at], start: self.start };
        let right = Self { text: &self.text[after..], start: self.start + after };
        Some((left.trimmed(), mark, right.trimmed()))
    }

    fn bound(self) -> Result<Bound, SloFault> {
        const EXAMPLE: &str = "a bound such as `ttft:p99<=200ms` or `failure_rate<=0.1%`";
        if self.text.is_empty() {
            return Err(self.fault("no bound", EXAMPLE));
        }
        let Some((subject, mark, limit)) = self.split(&["<=", "≤", ">=", "≥", "<", ">", "="])
        else {
            return Err(self.fault("no limit", EXAMPLE));
        };
        let subject = subject.subject()?;
        let side = match mark {
            "<=" | "≤" => Side::AtMost,
            ">=" | "≥" => Side::AtLeast,
            _ => return Err(self.fault(format!("`{mark}` is no bound"), "`<=` or `>=`")),
        };
        if side != subject.side() {
            let expected = format!("`{subject}{}` and the limit", subject.side());
            return Err(self.fault("bounded from the wrong side", expected));
        }
        Ok(Bound { subject, limit: limit.limit(subject.unit())? })
    }

    fn subject(self) -> Result<Subject, SloFault> {
        if let Some((figure, _, statistic)) = self.split(&[":"]) {
            if figure.level().is_some() {
                let expected = "a latency before the colon";
                return Err(figure.fault("only a latency has statistics", expected));
            }
            let latency = figure.latency()?;
            return Ok(Subject::Latency(latency, statistic.named("statistic", &STATISTICS)?));
        }
        if let Some(level) = self.level() {
            return Ok(Subject::Level(level));
        }
        let figure = self.latency()?;
        if matches!(figure, LatencyFigure::Itl | LatencyFigure::Icl) {
            let expected = format!("a statistic, as in `{}:p99`", self.text);
            let hint = "to bound every gap of a request, bound its `stall`, the longest gap";
            let fault = self.fault("a request has many gaps", expected);
            return Err(SloFault { hint: Some(hint.to_owned()), ..fault });
        }
        Ok(Subject::Each(figure))
    }

    fn level(self) -> Option<Level> {
        LEVELS.iter().find(|(name, _)| *name == self.text).map(|(_, level)| *level)
    }

    fn latency(self) -> Result<LatencyFigure, SloFault> {
        self.named("figure", &FIGURES).map_err(|mut fault| {
            fault.names.extend(LEVELS.map(|(name, _)| name));
            fault.expected = fault.names.join(", ");
            fault
        })
    }

    fn named<T: Copy>(self, kind: &str, table: &[(&'static str, T)]) -> Result<T, SloFault> {
        if let Some((_, value)) = table.iter().find(|(name, _)| *name == self.text) {
            return Ok(*value);
        }
        let names: Vec<_> = table.iter().map(|(name, _)| *name).collect();
        let fault = self.fault(format!("no such {kind}"), names.join(", "));
        Err(SloFault { names, ..fault })
    }

    fn limit(self, unit: Unit) -> Result<f64, SloFault> {
        match unit {
            Unit::Millis => match duration(self.text) {
                Ok(Nanos::ZERO) => Err(self.fault("no time at all", "a duration above zero")),
                Ok(span) => Ok(span.as_millis_f64()),
                Err(fault) => {
                    let hint = fault.hint;
                    Err(SloFault { hint, ..self.fault(fault.found, "a duration such as `200ms`") })
                }
            },
            Unit::Share => {
                let expected = "`0%` to `100%`, with six digits after the point at most";
                let number = self.text.strip_suffix('%').map(str::trim_end);
                let coarse = |text: &&str| {
                    text.split_once('.').is_none_or(|(_, fraction)| fraction.len() <= 6)
                };
                number
                    .filter(coarse)
                    .and_then(decimal)
                    .filter(|percent| *percent <= 100.0)
                    .map(|percent| percent / 100.0)
                    .ok_or_else(|| self.fault("not a share in per cent", expected))
            }
            Unit::PerSecond => decimal(self.text)
                .filter(|number| *number > 0.0 && *number <= 1e12)
                .ok_or_else(|| self.fault("not a number above 0", "a number such as `500`")),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtMost => "<=",
            Self::AtLeast => ">=",
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Each(figure) => f.write_str(name_of(figure, &FIGURES)),
            Self::Latency(figure, statistic) => {
                let (figure, statistic) =
                    (name_of(figure, &FIGURES), name_of(statistic, &STATISTICS));
                write!(f, "{figure}:{statistic}")
            }
            Self::Level(level) => f.write_str(name_of(level, &LEVELS)),
        }
    }
}

fn name_of<T: PartialEq>(value: &T, table: &[(&'static str, T)]) -> &'static str {
    let named = table.iter().find(|(_, other)| other == value);
    named.expect("every value has a name").0
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = match self.subject.unit() {
            Unit::Millis if self.limit.fract() != 0.0 => format!("{}ms", self.limit),
            Unit::Millis => write_duration(Nanos((self.limit * 1e6).round() as u64)),
            // Six digits after the point are all that can be read.
            Unit::Share => format!("{}%", (self.limit * 1e8).round() / 1e6),
            Unit::PerSecond => self.limit.to_string(),
        };
        write!(f, "{}{}{limit}", self.subject, self.subject.side())
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bounds: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&bounds.join(","))
    }
}

impl From<Bound> for String {
    fn from(bound: Bound) -> Self {
        bound.to_string()
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.to_string()
    }
}

impl TryFrom<String> for Subject {
    type Error = SloFault;

    fn try_from(text: String) -> Result<Self, SloFault> {
        text.parse()
    }
}

impl TryFrom<String> for Bound {
    type Error = SloFault;

    fn try_from(text: String) -> Result<Self, SloFault> {
        text.parse()
    }
}

impl From<Slo> for Vec<String> {
    fn from(slo: Slo) -> Self {
        slo.0.into_iter().map(String::from).collect()
    }
}

impl TryFrom<Vec<String>> for Slo {
    type Error = SloFault;

    fn try_from(texts: Vec<String>) -> Result<Self, SloFault> {
        if texts.is_empty() { Ok(Self::default()) } else { texts.join(",").parse() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fault(text: &str) -> (&str, SloFault) {
        let fault = text.parse::<Slo>().expect_err(text);
        (&text[fault.at.clone()], fault)
    }

    #[test]
    fn bounds_read_back_as_they_are_written() {
        let text = "ttft:p99<=200ms,itl:p99<=50ms,failure_rate<=0.1%,output_tokens_per_s>=500,\
                    e2e<=1500ms,good_share>=99.95%,requests_per_s>=0.25,stall<=1s,failure_rate<=0%,\
                    itl:p90<=10.25ms";
        for text in text.split(',') {
            assert_eq!(text.parse::<Slo>().unwrap().to_string(), text);
        }
        let spaced: Slo = " ttft:p99 ≤ 0.2 s , goodput_rps ≥ 5 ".parse().unwrap();
        assert_eq!(spaced.to_string(), "ttft:p99<=200ms,goodput_rps>=5");
        let json = serde_json::to_string(&spaced).unwrap();
        assert_eq!(json, r#"["ttft:p99<=200ms","goodput_rps>=5"]"#);
        assert_eq!(serde_json::from_str::<Slo>(&json).unwrap(), spaced);
        assert_eq!(serde_json::from_str::<Slo>("[]").unwrap(), Slo::default());
    }

    #[test]
    fn limits_are_in_the_unit_of_their_figure() {
        let limit = |text: &str| text.parse::<Bound>().unwrap().limit;
        let limits = ["ttft<=2s", "failure_rate<=0.1%", "output_tokens_per_s>=512.5"].map(limit);
        assert_eq!(limits.map(|limit| limit.to_string()), ["2000", "0.001", "512.5"]);
    }

    #[test]
    fn a_fault_points_at_the_part_that_is_wrong() {
        let (at, found) = fault("ttft:p99<=200ms, tftt:p99<=1s");
        assert_eq!((at, found.found.as_str()), ("tftt", "no such figure"));
        assert!(found.names.contains(&"ttft") && found.names.contains(&"requests_per_s"));
        assert_eq!(fault("ttft:p98<=1s").0, "p98");
        assert_eq!(fault("ttft:p99<=200").0, "200");
        assert_eq!(fault("ttft:p99<200ms").1.found, "`<` is no bound");
        assert_eq!(fault("ttft:p99>=200ms").1.expected, "`ttft:p99<=` and the limit");
        assert_eq!(fault("requests_per_s<=2").1.found, "bounded from the wrong side");
        assert_eq!(fault("requests_per_s:p99>=2").0, "requests_per_s");
        assert_eq!(fault("failure_rate<=0.001").0, "0.001");
        assert_eq!(fault("failure_rate<=101%").0, "101%");
        assert_eq!(fault("requests_per_s>=0").0, "0");
        assert_eq!(fault("ttft<=1s,").1.found, "no bound");
        assert_eq!(fault("ttft").1.found, "no limit");
        assert_eq!(fault("ttft<=1s, ttft <= 2s").0, "ttft <= 2s");
        assert!(fault("itl<=50ms").1.hint.unwrap().contains("`stall`"));
    }

    #[test]
    fn goodput_needs_to_tell_good_from_bad() {
        let tells = |text: &str| text.parse::<Slo>().unwrap().tells_good_from_bad();
        assert!(tells("ttft<=1s") && tells("good_share>=99%"));
        assert!(!tells("ttft:p99<=1s,failure_rate<=1%,requests_per_s>=1"));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_reads_prints_and_reads_again(text in near()) {
            match text.parse::<Slo>() {
                Ok(slo) => prop_assert_eq!(slo.to_string().parse(), Ok(slo)),
                Err(fault) => prop_assert!(text.get(fault.at).is_some()),
            }
        }
    }

    /// Texts close enough to objectives to come past the first checks.
    fn near() -> impl Strategy<Value = String> {
        let pieces = [
            "ttft",
            "itl",
            "failure_rate",
            "good_share",
            "requests_per_s",
            ":",
            "p99",
            "mean",
            "<=",
            ">=",
            "≤",
            "=",
            "200ms",
            "1.5s",
            "0.1%",
            "500",
            "0.123457%",
            "3.000001ms",
            "1us",
            ",",
            " ",
            "3.7",
            "é",
        ];
        prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..9)
            .prop_map(|pieces| pieces.concat())
    }
}
