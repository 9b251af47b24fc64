//! Scenario files: a flat mapping of settings, in YAML, TOML or JSON.
//!
//! ```text
//! text ─▶ yaml | toml ─▶ entries (key, value, spans) ─▶ the table of settings ─▶ Given
//! ```
//!
//! A file says no more than flags can: each value is handed on as text, and one parser reads it
//! whichever way it came. So anchors, merges and nesting have nothing to stand for, and are errors.
//!
//! The record of a run, `run.json`, is read too, for what was given to that run.

mod record;
mod toml;
pub(crate) mod yaml;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::given::Given;
use crate::nearest::nearest;
use crate::problem::{Place, Problem, Problems, Source, Spot};
use crate::settings::{CLASSES, Form, SETTINGS, Setting};
use crate::syntax::BETWEEN;

/// The greatest size of a scenario file, in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// The most problems that are looked for: who has more mends these first.
const PROBLEMS_MAX: usize = 20;

/// The most values that one setting can hold.
const LIST_MAX: usize = 256;

/// A line of a scenario file: a key and its value.
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) span: Range<usize>,
    pub(crate) value: Node,
}

/// A value as a format gives it.
pub(crate) enum Node {
    /// A text, number, truth value.
    Scalar(Scalar),
    /// A list of such.
    List(Vec<Scalar>),
    /// A list of mappings of such, each written as a class is; and what is odd about it where
    /// nothing but texts can stand in the list.
    Maps(Vec<Scalar>, Flaw),
    /// Nothing at all.
    Empty(Range<usize>),
    /// What no setting can be.
    Odd(Flaw),
}

pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) span: Range<usize>,
}

/// What is wrong at a place of the file.
pub(crate) struct Flaw {
    pub(crate) span: Range<usize>,
    pub(crate) found: String,
    pub(crate) expected: Option<String>,
    pub(crate) hint: Option<String>,
}

impl Flaw {
    pub(crate) fn new(span: Range<usize>, found: impl Into<String>) -> Self {
        Self { span, found: found.into(), expected: None, hint: None }
    }

    pub(crate) fn expected(self, expected: &str) -> Self {
        Self { expected: Some(expected.to_owned()), ..self }
    }

    pub(crate) fn hint(self, hint: &str) -> Self {
        Self { hint: Some(hint.to_owned()), ..self }
    }
}

/// Reads a scenario file's text. The extension of `path` says the format: `.yaml` or `.yml`,
/// `.toml`, `.json`. JSON may also be the record of a run: what it holds beside defaults is then
/// given by this file, and so is the seed, even if it was drawn.
///
/// # Errors
///
/// Everything that is wrong with the file as such, at once: its syntax, unknown and repeated
/// keys, values of a shape that the setting cannot have. What the values' texts mean is read by
/// [`resolve`](crate::resolve()).
pub fn parse_file(path: &Path, text: &str) -> Result<Vec<Given>, Problems> {
    let name = path.display().to_string();
    let refuse = |found: String, expected: &str| {
        Problems::from(Problem {
            places: vec![Place::new(&name, None, None)],
            found,
            expected: Some(expected.to_owned()),
            hint: None,
        })
    };
    if text.len() > FILE_BYTES_MAX {
        let found = format!("the file has {} bytes", text.len());
        return Err(refuse(found, &format!("at most {FILE_BYTES_MAX}")));
    }
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    let format = match extension.to_ascii_lowercase().as_str() {
        "yaml" | "yml" => Format::Yaml,
        "json" => Format::Json,
        "toml" => Format::Toml,
        _ => {
            let expected = "`.yaml`, `.yml`, `.toml` or `.json`";
            return Err(refuse("the extension names no format of scenario files".into(), expected));
        }
    };
    let mut sheet = Sheet::new(Source::new(path, text), format);
    let (entries, flaws) = match format {
        Format::Yaml => yaml::entries(text),
        Format::Json if record::is_record(text) => match record::values(text) {
            Ok(values) => {
                sheet.recall(values);
                (Vec::new(), Vec::new())
            }
            Err(flaw) => (Vec::new(), vec![flaw]),
        },
        Format::Json => yaml::entries_of_json(text),
        Format::Toml => toml::entries(text),
    };
    for flaw in flaws.into_iter().take(PROBLEMS_MAX) {
        sheet.refuse(&name, flaw);
    }
    for entry in entries {
        if sheet.problems.len() < PROBLEMS_MAX {
            sheet.enter(entry);
        }
    }
    // Readers find faults of syntax first; people read from top to bottom.
    sheet.problems.sort_by_key(|problem| problem.places[0].position().map(|(_, l, c)| (l, c)));
    Problems::check(sheet.problems)?;
    Ok(sheet.given)
}

/// How a scenario file is written.
#[derive(Clone, Copy)]
enum Format {
    Yaml,
    Json,
    Toml,
}

/// A file being read.
struct Sheet {
    source: Arc<Source>,
    format: Format,
    /// Where each key stood first.
    seen: BTreeMap<&'static str, Place>,
    given: Vec<Given>,
    problems: Vec<Problem>,
}

impl Sheet {
    fn new(source: Arc<Source>, format: Format) -> Self {
        Self { source, format, seen: BTreeMap::new(), given: Vec::new(), problems: Vec::new() }
    }

    fn spot(&self, span: Range<usize>) -> Spot {
        Spot::new(&self.source, span)
    }

    fn refuse(&mut self, name: &str, flaw: Flaw) {
        self.problems.push(Problem {
            places: vec![Place::new(name, None, Some(self.spot(flaw.span)))],
            found: flaw.found,
            expected: flaw.expected,
            hint: flaw.hint,
        });
    }

    /// Takes in what a record says was given.
    fn recall(&mut self, values: Vec<(String, Scalar)>) {
        for (key, scalar) in values {
            if let Some(setting) = Setting::by_key(&key) {
                self.give(setting, scalar);
            } else if self.problems.len() < PROBLEMS_MAX {
                let name = Place::new("key", Some(&key), None);
                let flaw = Flaw::new(scalar.span, "no such setting");
                let hint = "another version of infermark wrote this record";
                self.refuse(name.name(), flaw.hint(hint));
            }
        }
    }

    fn enter(&mut self, entry: Entry) {
        let Some(setting) = Setting::by_key(&entry.key) else {
            let known = SETTINGS.iter().map(|setting| setting.key);
            let flaw = Flaw::new(entry.span, "no such setting");
            let flaw = match (nearest(&entry.key, known), entry.value) {
                (Some(key), _) => flaw.hint(&format!("did you mean `{key}`?")),
                // Where the value is odd too, what makes it odd explains the key.
                (None, Node::Odd(odd) | Node::Maps(_, odd)) => Flaw { hint: odd.hint, ..flaw },
                (None, Node::Scalar(_) | Node::List(_) | Node::Empty(_)) => flaw,
            };
            let name = Place::new("key", Some(&entry.key), None);
            return self.refuse(name.name(), flaw);
        };
        let place = Place::new(setting.key, None, Some(self.spot(entry.span)));
        if let Some(first) = self.seen.get(setting.key) {
            return self.problems.push(Problem {
                places: vec![place, first.clone()],
                found: "the key stands twice".to_owned(),
                expected: None,
                hint: Some("keep one of them".to_owned()),
            });
        }
        let _ = self.seen.insert(setting.key, place);
        self.value(setting, entry.value);
    }

    fn value(&mut self, setting: &'static Setting, value: Node) {
        match value {
            Node::Scalar(scalar) => self.give(setting, scalar),
            Node::Maps(items, _) if *setting == CLASSES => self.value(setting, Node::List(items)),
            Node::Maps(_, odd) => self.value(setting, Node::Odd(odd)),
            Node::List(items) if setting.form == Form::Repeated && items.len() <= LIST_MAX => {
                for item in items {
                    self.give(setting, item);
                }
            }
            Node::List(items) => {
                let start = items.first().map_or(0..0, |item| item.span.start..item.span.start);
                let flaw = match setting.form {
                    Form::Repeated => Flaw::new(start, format!("{} values", items.len()))
                        .expected(&format!("at most {LIST_MAX}")),
                    Form::Positional | Form::Once | Form::Switch => {
                        Flaw::new(start, "a list").expected("one value")
                    }
                };
                self.refuse(setting.key, flaw);
            }
            Node::Empty(span) => {
                let flaw = Flaw::new(span, "no value").hint("leave the line out for the default");
                self.refuse(setting.key, flaw);
            }
            Node::Odd(flaw) if setting.form == Form::Repeated => {
                let hint = format!("write a list of texts, such as `{}`", self.list_of(setting));
                self.refuse(setting.key, flaw.hint(&hint));
            }
            Node::Odd(flaw) => self.refuse(setting.key, flaw),
        }
    }

    /// Shows how a repeated setting is written in this file's format.
    fn list_of(&self, setting: &Setting) -> String {
        let named = || match setting.value_name {
            "URL" => "http://host".to_owned(),
            name => name.to_lowercase(),
        };
        let (key, item) = (setting.key, setting.default.map_or_else(named, str::to_owned));
        match self.format {
            Format::Yaml if !item.contains(": ") => format!("{key}: [{item}]"),
            Format::Yaml => format!("{key}: [\"{item}\"]"),
            Format::Json => format!("\"{key}\": [\"{item}\"]"),
            Format::Toml => format!("{key} = [\"{item}\"]"),
        }
    }

    fn give(&mut self, setting: &'static Setting, scalar: Scalar) {
        let spot = self.spot(scalar.span);
        self.given.push(Given::file(setting, scalar.text, spot));
    }
}

/// Writes a mapping as a class is written, as far as that can be: a text that holds what stands
/// between its parts would be taken apart.
fn class_text(pairs: &[(String, String)]) -> Option<String> {
    let parts = pairs
        .iter()
        .map(|(key, value)| (!value.contains(BETWEEN)).then(|| format!("{key}={value}")));
    Some(parts.collect::<Option<Vec<_>>>()?.join(&format!("{BETWEEN} ")))
}

/// Makes a flaw of what serde says about a JSON text, headed by `what`.
fn flaw_of_json(text: &str, error: &serde_json::Error, what: &str) -> Flaw {
    let start: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    // Its columns count bytes from 1, and are 0 at the beginning of a line.
    let at = start + error.column().saturating_sub(1);
    // The place follows at the message's end, and is shown by us.
    let found = error.to_string();
    let found = found.split(" at line ").next().unwrap_or(&found);
    Flaw::new(at..at + 1, format!("{what}: {found}"))
}

#[cfg(test)]
mod tests;
