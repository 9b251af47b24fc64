//! Gates: what a candidate must hold against a baseline, clause by clause, as a file says it.
//!
//! ```yaml
//! clauses:
//!   - tpot:mean <= +3%            # at most 3 % above the baseline's
//!   - output_tokens_per_s >= -5%  # at most 5 % below it
//!   - e2e:p50                     # not worse, as the comparison has it
//!   - ttft:p99 <= 200ms           # of the candidate alone
//! undecided: pass                 # or fail
//! ```
//!
//! A limit with a sign is relative to the baseline; of the failure rate it is in points. One
//! without is a bound, as objectives have them.
//!
//! Deliberately not here: whether a clause is kept, and which figures can be compared.

use std::path::Path;

use infermark_terms::notation::share;
use infermark_terms::slo::{Bound, Side, SloFault, Subject};

use crate::file::{Entry, Flaw, Node, Scalar, yaml};
use crate::problem::{Place, Problem, Problems};
use crate::slate::Slate;

/// The keys of a gate.
const KEYS: [&str; 2] = ["clauses", "undecided"];

/// What a candidate must hold.
#[derive(Clone, Debug)]
pub struct Gate {
    /// The clauses, in the order in which they were written; never none.
    pub clauses: Vec<Clause>,
    /// What becomes of a clause of which nobody can tell whether it is kept.
    pub undecided: Undecided,
}

/// What becomes of a clause of which nobody can tell whether it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// It lets the candidate pass.
    Pass,
    /// It does not.
    Fail,
}

/// One clause.
#[derive(Clone, Debug)]
pub struct Clause {
    /// As it was written.
    pub text: String,
    /// What it says.
    pub rule: Rule,
    /// Where it stands.
    pub place: Place,
}

/// What a clause says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// The candidate is not worse than the baseline.
    NotWorse(Subject),
    /// The figure changes by at most so much, as a share of the baseline, for the worse.
    Change {
        /// The figure.
        figure: Subject,
        /// How far it may go: above 0 it may grow, below it may shrink.
        limit: f64,
    },
    /// The candidate keeps a bound, whatever the baseline did.
    Bound(Bound),
}

impl Clause {
    /// Returns the problem that this clause has in the eyes of whoever compares.
    pub fn problem(&self, found: &str, expected: &str) -> Problems {
        Problems::from(Problem {
            places: vec![self.place.clone()],
            found: found.to_owned(),
            expected: Some(expected.to_owned()),
            hint: None,
        })
    }
}

/// Reads a gate's text, which is YAML or JSON.
///
/// # Errors
///
/// Everything that is wrong with it, each with its line.
pub fn parse_gate(path: &Path, text: &str) -> Result<Gate, Problems> {
    let mut reader = Reader { slate: Slate::of(path, text, "gate")? };
    let (entries, flaws) = yaml::entries(text);
    for flaw in flaws {
        // Its hint is about scenarios.
        reader.refuse("gate", None, Flaw { hint: None, ..flaw });
    }
    let (mut clauses, mut undecided) = (None, None);
    for Entry { key, span, value } in entries {
        let repeated = match key.as_str() {
            "clauses" => clauses.replace(reader.clauses(value)).is_some(),
            "undecided" => undecided.replace(reader.undecided(value)).is_some(),
            _ => {
                reader.slate.refuse_key(&key, span, &KEYS);
                continue;
            }
        };
        if repeated {
            reader.refuse("key", Some(&key), Flaw::new(span, "the key stands twice"));
        }
    }
    let clauses = clauses.unwrap_or_default();
    if clauses.is_empty() && reader.slate.is_clean() {
        let flaw = Flaw::new(0..0, "no clauses").expected("a list of them under `clauses:`");
        reader.refuse("gate", None, flaw);
    }
    reader.slate.check()?;
    Ok(Gate { clauses, undecided: undecided.unwrap_or(Undecided::Pass) })
}

/// A gate being read.
struct Reader {
    slate: Slate,
}

impl Reader {
    fn refuse(&mut self, name: &str, text: Option<&str>, flaw: Flaw) {
        self.slate.refuse(name, text, flaw);
    }

    fn clauses(&mut self, value: Node) -> Vec<Clause> {
        let items = match value {
            Node::List(items) => items,
            Node::Scalar(scalar) => vec![scalar],
            Node::Empty(span) => {
                let flaw = Flaw::new(span, "no clauses").expected("a list of them");
                self.refuse("clauses", None, flaw);
                return Vec::new();
            }
            Node::Odd(flaw) | Node::Maps(_, flaw) => {
                let flaw = Flaw { hint: None, ..flaw };
                self.refuse("clauses", None, flaw.expected("a list such as `- e2e:p50 <= +3%`"));
                return Vec::new();
            }
        };
        items.into_iter().filter_map(|item| self.clause(item)).collect()
    }

    fn clause(&mut self, Scalar { text, span }: Scalar) -> Option<Clause> {
        match rule(&text) {
            Ok(rule) => {
                let place = Place::new("clause", Some(&text), Some(self.slate.spot(span)));
                Some(Clause { text, rule, place })
            }
            Err(fault) => {
                self.slate.refuse_slo("clause", &Scalar { text, span }, fault);
                None
            }
        }
    }

    fn undecided(&mut self, value: Node) -> Undecided {
        let (span, text) = match value {
            Node::Scalar(scalar) => (scalar.span, Some(scalar.text)),
            Node::Empty(span) => (span, None),
            Node::List(items) => (items.first().map_or(0..0, |i| i.span.clone()), None),
            Node::Odd(flaw) | Node::Maps(_, flaw) => (flaw.span, None),
        };
        match text.as_deref() {
            Some("pass") => Undecided::Pass,
            Some("fail") => Undecided::Fail,
            text => {
                let flaw = Flaw::new(span, "no such choice").expected("`pass` or `fail`");
                self.refuse("undecided", text, flaw);
                Undecided::Pass
            }
        }
    }
}

/// Reads what a clause says.
fn rule(text: &str) -> Result<Rule, SloFault> {
    let mark = ["<=", "≤", ">=", "≥"].into_iter().find_map(|mark| Some((text.find(mark)?, mark)));
    let Some((at, mark)) = mark else {
        // As a bound, `<` alone is refused as what it is.
        return if text.contains(['<', '>', '=']) {
            text.parse().map(Rule::Bound)
        } else {
            text.parse().map(Rule::NotWorse)
        };
    };
    let rest = &text[at + mark.len()..];
    let limit = rest.trim();
    if !limit.starts_with(['+', '-', '−']) {
        return text.parse().map(Rule::Bound);
    }
    let figure: Subject = text[..at].parse()?;
    let fault = |at, found: &str, expected: String| SloFault {
        at,
        found: found.to_owned(),
        expected,
        hint: None,
        names: Vec::new(),
    };
    let start = at + mark.len() + (rest.len() - rest.trim_start().len());
    let span = start..start + limit.len();
    let side = if mark == "<=" || mark == "≤" { Side::AtMost } else { Side::AtLeast };
    if side != figure.side() {
        let expected = format!("`{figure} {}` and the change", figure.side());
        return Err(fault(at..at + mark.len(), "bounded from the wrong side", expected));
    }
    let mut unsigned = limit.chars();
    let sign = if unsigned.next() == Some('+') { 1.0 } else { -1.0 };
    let change = share(unsigned.as_str().trim_start());
    let change = change
        .filter(|change| *change <= 10.0)
        .ok_or_else(|| fault(span, "not a change", "a change such as `+3%` or `-5%`".to_owned()))?;
    Ok(Rule::Change { figure, limit: sign * change })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(text: &str) -> Gate {
        parse_gate(Path::new("gate.yaml"), text).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// Returns the line and what is wrong there.
    fn wrong(text: &str) -> (usize, String) {
        let problems = parse_gate(Path::new("gate.yaml"), text).expect_err(text);
        let first = &problems.as_slice()[0];
        (first.places[0].position().map_or(0, |(_, line, _)| line), first.to_string())
    }

    #[test]
    fn clauses_are_relative_by_their_sign() {
        let gate = gate(
            "# a gate\nclauses:\n  - tpot:mean <= +3%\n  - 'output_tokens_per_s >= -5%'\n  \
             - e2e:p50\n  - ttft:p99 <= 200ms\nundecided: fail\n",
        );
        assert_eq!(gate.undecided, Undecided::Fail);
        let rules: Vec<Rule> = gate.clauses.iter().map(|clause| clause.rule).collect();
        let figure = |name: &str| name.parse::<Subject>().unwrap();
        assert_eq!(
            rules,
            [
                Rule::Change { figure: figure("tpot:mean"), limit: 0.03 },
                Rule::Change { figure: figure("output_tokens_per_s"), limit: -0.05 },
                Rule::NotWorse(figure("e2e:p50")),
                Rule::Bound("ttft:p99<=200ms".parse().unwrap()),
            ]
        );
        assert_eq!(gate.clauses[1].place.position().map(|(_, line, _)| line), Some(4));
    }

    #[test]
    fn each_mistake_has_its_line() {
        for (text, line, part) in [
            ("clauses:\n  - tpot:mean <= +3\n", 2, "expected a change such as `+3%`"),
            ("clauses:\n  - e2e:p50\n  - tpott:mean\n", 3, "no such figure"),
            ("clauses:\n  - tpot:mean >= +3%\n", 2, "from the wrong side"),
            ("clauses:\n  - ttft:p99 <= 200\n", 2, "expected a duration"),
            ("clauses:\n  - e2e:p50\nundecided: maybe\n", 3, "expected `pass` or `fail`"),
            ("clauses:\n  - ttft:p99 < +3%\n", 2, "`<` is no bound"),
            ("clauses:\n  - tpot:mean <= +-3%\n", 2, "not a change"),
            ("clauses: {a: b}\n", 1, "expected a list such as"),
            ("clauses:\n  - e2e:p50\nundecided: [pass]\n", 3, "undecided: no such choice"),
            ("clause:\n  - e2e:p50\n", 1, "did you mean `clauses`?"),
            ("clauses:\n  - e2e:p50\nclauses: []\n", 3, "the key stands twice"),
            ("clauses:\n", 1, "no clauses"),
            ("", 1, "no clauses"),
            ("clauses:\n  - a: 1\n", 2, "a list or mapping in a list"),
        ] {
            let (found, message) = wrong(text);
            assert_eq!(found, line, "{message}");
            assert!(message.contains(part), "{message}");
        }
    }
}
