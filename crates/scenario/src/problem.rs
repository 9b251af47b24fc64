//! What is wrong with a scenario, where, and what to do about it.
//!
//! A line of a file is quoted only up to the end of what the problem points at, and a value that
//! may hold a secret is never quoted: what we print may end up in a log.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use infermark_terms::Excerpt;

/// Everything wrong with a scenario; never empty.
#[derive(Clone, Debug)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Keeps `problems` if there are any.
    pub(crate) fn check(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }

    /// Returns them in the order in which they were found.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    /// Writes each problem, a blank line between them, without a line end after the last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{problem}")?;
        }
        Ok(())
    }
}

/// One thing wrong with a scenario.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Where: one place, or those that contradict each other.
    pub places: Vec<Place>,
    /// What is wrong there: a fragment.
    pub found: String,
    /// What would be right: a fragment that completes "expected …".
    pub expected: Option<String>,
    /// What to do: a fragment.
    pub hint: Option<String>,
}

impl Problem {
    fn title(&self) -> String {
        let names: Vec<_> = self.places.iter().map(|place| place.name.as_str()).collect();
        format!("{}: {}", names.join(" and "), self.found)
    }

    fn write_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.title())?;
        if let Some(expected) = &self.expected {
            write!(f, "; expected {expected}")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spots: Vec<_> = self.places.iter().filter_map(|place| place.spot.as_ref()).collect();
        if spots.is_empty() {
            return self.write_line(f);
        }
        let mut group = Group::with_title(Level::ERROR.primary_title(self.title()));
        for (index, spot) in spots.into_iter().enumerate() {
            let quote = spot.quote();
            let kind = if index == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
            let label = match &self.expected {
                Some(expected) if index == 0 => Some(format!("expected {expected}")),
                Some(_) | None => None,
            };
            group = group.element(
                Snippet::source(quote.text)
                    .line_start(quote.line)
                    .path(spot.source.path.display().to_string())
                    .annotation(kind.span(quote.span).label(label)),
            );
        }
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.with_name("hint").message(hint));
        }
        f.write_str(&Renderer::plain().render(&[group]))
    }
}

/// Where a value was given, and its text.
#[derive(Clone, Debug)]
pub struct Place {
    name: String,
    spot: Option<Spot>,
}

impl Place {
    /// Names a place, with the value's text in backticks unless it must not be shown.
    pub(crate) fn new(name: &str, text: Option<&str>, spot: Option<Spot>) -> Self {
        let name = match text {
            Some(text) => format!("{name} `{}`", Excerpt::new(text)),
            None => name.to_owned(),
        };
        Self { name, spot }
    }

    /// Returns the flag, variable or key, with the value in backticks where it may be shown.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the file, line and column (both from 1, the column in characters), if in a file.
    pub fn position(&self) -> Option<(&Path, usize, usize)> {
        let spot = self.spot.as_ref()?;
        let (line, column) = spot.position();
        Some((&spot.source.path, line, column))
    }
}

/// A file's text, shared by all that points into it.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    text: String,
}

impl Source {
    pub(crate) fn new(path: &Path, text: &str) -> Arc<Self> {
        Arc::new(Self { path: path.to_owned(), text: text.to_owned() })
    }
}

/// A stretch of one line of a file: `start ≤ end`, both on character boundaries.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    pub(crate) source: Arc<Source>,
    span: Range<usize>,
}

/// What is shown of a line, and the stretch pointed at.
struct Quote {
    text: String,
    line: usize,
    span: Range<usize>,
}

impl Spot {
    /// Points at `span` in bytes. A span that leaves the text, its line, or cuts a character is
    /// narrowed: parsers point past the end for what is missing there.
    pub(crate) fn new(source: &Arc<Source>, span: Range<usize>) -> Self {
        let text = &source.text;
        let start = text.floor_char_boundary(span.start);
        let line_end = text[start..].find(['\n', '\r']).map_or(text.len(), |at| start + at);
        let end = text.floor_char_boundary(span.end.clamp(start, line_end));
        Self { source: Arc::clone(source), span: start..end }
    }

    /// Points at the beginning only, so that what stands there is not quoted.
    pub(crate) fn start(&self) -> Self {
        Self { source: Arc::clone(&self.source), span: self.span.start..self.span.start }
    }

    /// Points at a stretch of the value `text` that stands here; at all of it where the file
    /// writes it otherwise, as with escapes.
    pub(crate) fn narrowed(&self, text: &str, part: &Range<usize>) -> Self {
        match self.source.text[self.span.clone()].find(text) {
            Some(at) => {
                let start = self.span.start + at;
                Self::new(&self.source, start + part.start..start + part.end)
            }
            None => self.clone(),
        }
    }

    fn line_start(&self) -> usize {
        self.source.text[..self.span.start].rfind('\n').map_or(0, |at| at + 1)
    }

    /// Returns line and column, both from 1, the column in characters.
    pub(crate) fn position(&self) -> (usize, usize) {
        let before = &self.source.text[..self.span.start];
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        (line, before[self.line_start()..].chars().count() + 1)
    }

    fn quote(&self) -> Quote {
        let start = self.line_start();
        let mut text = self.source.text[start..self.span.end].to_owned();
        let rest = self.source.text[self.span.end..].split(['\n', '\r']).next().unwrap_or("");
        // What closes a list or an object says nothing, so its lack need not be marked.
        if !rest.trim_matches(|c: char| c.is_whitespace() || ",]}".contains(c)).is_empty() {
            text.push('…');
        }
        Quote {
            text,
            line: self.position().0,
            span: self.span.start - start..self.span.end - start,
        }
    }
}
