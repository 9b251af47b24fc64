//! What is wrong with one file, noted as it is read.
//!
//! Deliberately not here: what the file means.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use infermark_terms::slo::SloFault;

use crate::file::{FILE_BYTES_MAX, Flaw, Scalar};
use crate::nearest::nearest;
use crate::problem::{Place, Problem, Problems, Source, Spot};

/// A file, and what was found wrong with it so far.
pub(crate) struct Slate {
    source: Arc<Source>,
    problems: Vec<Problem>,
}

impl Slate {
    /// Begins with a file that is not too large to be a `what`.
    pub(crate) fn of(path: &Path, text: &str, what: &str) -> Result<Self, Problems> {
        let mut slate = Self { source: Source::new(path, text), problems: Vec::new() };
        if text.len() > FILE_BYTES_MAX {
            let flaw = Flaw::new(0..0, format!("the file has {} bytes", text.len()));
            slate.refuse(what, None, flaw.expected(&format!("at most {FILE_BYTES_MAX}")));
        }
        slate.check()?;
        Ok(slate)
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Returns everything that is wrong, by its place in the file.
    pub(crate) fn check(&mut self) -> Result<(), Problems> {
        let mut problems = std::mem::take(&mut self.problems);
        problems.sort_by_key(|problem| problem.places[0].position().map(|(_, l, c)| (l, c)));
        Problems::check(problems)
    }

    /// Points at a stretch of the file.
    pub(crate) fn spot(&self, span: Range<usize>) -> Spot {
        Spot::new(&self.source, span)
    }

    pub(crate) fn refuse(&mut self, name: &str, text: Option<&str>, flaw: Flaw) {
        let place = Place::new(name, text, Some(self.spot(flaw.span)));
        let Flaw { found, expected, hint, .. } = flaw;
        self.note(Problem { places: vec![place], found, expected, hint });
    }

    /// Notes a problem, once.
    pub(crate) fn note(&mut self, problem: Problem) {
        let said = problem.to_string();
        if !self.problems.iter().any(|known| known.to_string() == said) {
            self.problems.push(problem);
        }
    }

    /// Refuses a key that is none of those that there are.
    pub(crate) fn refuse_key(&mut self, key: &str, span: Range<usize>, keys: &[&str]) {
        let names: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
        let expected = match names.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => "no key".to_owned(),
        };
        let flaw = Flaw::new(span, "no such key").expected(&expected);
        let flaw = match nearest(key, keys.iter().copied()) {
            Some(meant) => flaw.hint(&format!("did you mean `{meant}`?")),
            None => flaw,
        };
        self.refuse("key", Some(key), flaw);
    }

    /// Refuses what is no objective, and points at what is wrong in it.
    pub(crate) fn refuse_slo(&mut self, name: &str, scalar: &Scalar, fault: SloFault) {
        let Scalar { text, span } = scalar;
        // Quotes and escapes may stand between the text and its place in the file.
        let at = if span.len() == text.len() {
            span.start + fault.at.start..span.start + fault.at.end
        } else {
            span.clone()
        };
        let flaw = Flaw::new(at, fault.found).expected(&fault.expected);
        self.refuse(name, Some(text), Flaw { hint: fault.hint, ..flaw });
    }
}
