//! YAML and JSON as entries, or as a tree where a file nests. JSON is checked to be JSON, then read
//! as the YAML that it also is, since that keeps the place of each value.

use std::ops::Range;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, StrInput};
use serde::de::IgnoredAny;

use super::{Entry, Flaw, Node, Scalar, class_text};

/// A value with all that is in it.
pub(crate) enum Branch {
    /// A text, number, truth value.
    Scalar(Scalar),
    /// A list.
    List(Vec<Branch>, Range<usize>),
    /// A mapping, in the order in which it is written.
    Map(Vec<(Scalar, Branch)>, Range<usize>),
    /// Nothing at all.
    Empty(Range<usize>),
}

impl Branch {
    /// Returns where it begins.
    pub(crate) fn span(&self) -> Range<usize> {
        match self {
            Self::Scalar(scalar) => scalar.span.clone(),
            Self::List(_, span) | Self::Map(_, span) | Self::Empty(span) => span.clone(),
        }
    }
}

/// How deep a tree may be.
const DEPTH_MAX: usize = 8;

const FLAT: &str = "a scenario file is flat: one `key: value` a line";
const QUOTE: &str = "a text with a colon and a space must stand in quotes";

/// Reads YAML as far as it goes.
pub(crate) fn entries(text: &str) -> (Vec<Entry>, Vec<Flaw>) {
    let mut reader =
        Reader { parser: Parser::new_from_str(text), entries: Vec::new(), flaws: Vec::new() };
    if let Err(flaw) = reader.document() {
        reader.flaws.push(flaw);
    }
    (reader.entries, reader.flaws)
}

/// Reads YAML that nests.
pub(crate) fn tree(text: &str) -> Result<Branch, Flaw> {
    let mut reader =
        Reader { parser: Parser::new_from_str(text), entries: Vec::new(), flaws: Vec::new() };
    let first = reader.first()?;
    let tree = reader.branch(first, 0)?;
    reader.end()?;
    Ok(tree)
}

/// Reads JSON as far as it goes.
pub(super) fn entries_of_json(text: &str) -> (Vec<Entry>, Vec<Flaw>) {
    let Err(error) = serde_json::from_str::<IgnoredAny>(text) else { return entries(text) };
    (Vec::new(), vec![super::flaw_of_json(text, &error, "not JSON")])
}

/// An event, without what a scenario has no use for.
enum Token {
    Scalar {
        text: String,
        plain: bool,
    },
    List,
    Map,
    Close,
    Document,
    End,
    /// An anchor, alias or tag: what it is called.
    Fancy(&'static str),
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    entries: Vec<Entry>,
    flaws: Vec<Flaw>,
}

type Spanned<T> = (T, Range<usize>);

impl Reader<'_> {
    fn next(&mut self) -> Result<Spanned<Token>, Flaw> {
        match self.parser.next_event() {
            None => Ok((Token::End, 0..0)),
            Some(Ok((event, span))) => {
                Ok((simplify(event), span.byte_range().expect("a text has byte offsets")))
            }
            Some(Err(error)) => {
                let at = error.marker().byte_offset().expect("a text has byte offsets");
                let flaw = Flaw::new(at..at + 1, format!("not YAML: {}", error.info()));
                let colon = *error.kind() == ErrorKind::MappingValueNotAllowed;
                Err(if colon { flaw.hint(QUOTE) } else { flaw })
            }
        }
    }

    fn document(&mut self) -> Result<(), Flaw> {
        let (token, span) = self.first()?;
        match token {
            Token::Map => self.entries()?,
            Token::End => return Ok(()),
            Token::Scalar { text, plain } if plain && is_null(&text) => {}
            Token::Scalar { .. } | Token::List | Token::Close | Token::Document => {
                return Err(Flaw::new(span, "not a mapping").hint(FLAT));
            }
            Token::Fancy(what) => return Err(fancy(what, span)),
        }
        self.end()
    }

    /// Returns the first event of the document's content.
    fn first(&mut self) -> Result<Spanned<Token>, Flaw> {
        loop {
            match self.next()? {
                (Token::Document, _) => {}
                other => return Ok(other),
            }
        }
    }

    /// Makes sure that nothing follows the document.
    fn end(&mut self) -> Result<(), Flaw> {
        loop {
            match self.next()? {
                (Token::End, _) => return Ok(()),
                (Token::Document, _) => {}
                (_, span) => return Err(Flaw::new(span, "a second document").hint(FLAT)),
            }
        }
    }

    fn branch(&mut self, (token, span): Spanned<Token>, depth: usize) -> Result<Branch, Flaw> {
        if depth > DEPTH_MAX {
            return Err(Flaw::new(span, "nested too deep"));
        }
        Ok(match token {
            Token::Scalar { text, plain } if plain && is_null(&text) => Branch::Empty(span),
            Token::Scalar { text, .. } => Branch::Scalar(Scalar { text, span }),
            Token::List => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Token::Close | Token::End, _) => break,
                        item => items.push(self.branch(item, depth + 1)?),
                    }
                }
                Branch::List(items, span.start..span.start)
            }
            Token::Map => {
                let mut entries = Vec::new();
                loop {
                    let key = match self.next()? {
                        (Token::Close | Token::End, _) => break,
                        (Token::Scalar { text, .. }, span) => Scalar { text, span },
                        (Token::Fancy(what), span) => return Err(fancy(what, span)),
                        (Token::List | Token::Map | Token::Document, span) => {
                            return Err(Flaw::new(span, "not a key"));
                        }
                    };
                    let value = self.next()?;
                    entries.push((key, self.branch(value, depth + 1)?));
                }
                Branch::Map(entries, span.start..span.start)
            }
            Token::Fancy(what) => return Err(fancy(what, span)),
            Token::Close | Token::Document | Token::End => Branch::Empty(span),
        })
    }

    /// Reads what a mapping holds, its end included.
    fn entries(&mut self) -> Result<(), Flaw> {
        loop {
            let (key, span) = match self.next()? {
                (Token::Close | Token::End, _) => return Ok(()),
                (Token::Scalar { text, .. }, span) => (text, span),
                (Token::Fancy(what), span) => return Err(fancy(what, span)),
                (Token::List | Token::Map | Token::Document, span) => {
                    return Err(Flaw::new(span, "not a key").hint(FLAT));
                }
            };
            let value = self.value()?;
            self.entries.push(Entry { key, span, value });
        }
    }

    fn value(&mut self) -> Result<Node, Flaw> {
        Ok(match self.next()? {
            (Token::Scalar { text, plain }, span) if plain && is_null(&text) => Node::Empty(span),
            (Token::Scalar { text, .. }, span) => Node::Scalar(Scalar { text, span }),
            (Token::List, _) => self.list()?,
            (Token::Map, span) => {
                self.skip()?;
                Node::Odd(Flaw::new(span.start..span.start, "a mapping").hint(FLAT))
            }
            (Token::Fancy(what), span) => return Err(fancy(what, span)),
            (Token::Close | Token::Document | Token::End, span) => Node::Empty(span),
        })
    }

    fn list(&mut self) -> Result<Node, Flaw> {
        let mut items = Vec::new();
        let mut odd = None;
        // As long as there is nothing else.
        let mut maps = Some(Vec::new());
        loop {
            let (token, span) = self.next()?;
            let start = span.start..span.start;
            let map = match token {
                Token::Close | Token::End | Token::Document => break,
                Token::Scalar { text, .. } => {
                    items.push(Scalar { text, span });
                    maps = None;
                    continue;
                }
                Token::Fancy(what) => return Err(fancy(what, span)),
                Token::List => {
                    self.skip()?;
                    None
                }
                Token::Map => self.flat_map()?,
            };
            let map = map.map(|text| Scalar { text, span: start.clone() });
            maps = maps.zip(map).map(|(mut maps, map)| {
                maps.push(map);
                maps
            });
            let flaw = || Flaw::new(start, "a list or mapping in a list").hint(QUOTE);
            odd = odd.or_else(|| Some(flaw()));
        }
        Ok(match (odd, maps) {
            (None, _) => Node::List(items),
            (Some(flaw), Some(maps)) => Node::Maps(maps, flaw),
            (Some(flaw), None) => Node::Odd(flaw),
        })
    }

    /// Reads a mapping of texts whose beginning has been read, as a class is written; nothing if
    /// it holds anything else.
    fn flat_map(&mut self) -> Result<Option<String>, Flaw> {
        let mut pairs = Vec::new();
        let mut is_flat = true;
        loop {
            let key = match self.next()? {
                (Token::Scalar { text, .. }, _) => text,
                (Token::Fancy(what), span) => return Err(fancy(what, span)),
                (Token::Close | Token::End | Token::Document, _) => break,
                (Token::List | Token::Map, span) => return Err(Flaw::new(span, "not a key")),
            };
            match self.next()? {
                (Token::Scalar { text, .. }, _) => pairs.push((key, text)),
                (Token::Fancy(what), span) => return Err(fancy(what, span)),
                (Token::List | Token::Map, _) => {
                    self.skip()?;
                    is_flat = false;
                }
                (Token::Close | Token::Document | Token::End, _) => break,
            }
        }
        Ok(if is_flat { class_text(&pairs) } else { None })
    }

    /// Skips what is left of a list or mapping whose beginning has been read.
    fn skip(&mut self) -> Result<(), Flaw> {
        let mut depth = 1_usize;
        while depth > 0 {
            match self.next()?.0 {
                Token::List | Token::Map => depth += 1,
                Token::Close => depth -= 1,
                Token::End => return Ok(()),
                Token::Scalar { .. } | Token::Document | Token::Fancy(_) => {}
            }
        }
        Ok(())
    }
}

fn fancy(what: &str, span: Range<usize>) -> Flaw {
    Flaw::new(span.start..span.start, what).hint("write the value out")
}

/// Whether a plain scalar stands for no value (YAML 1.2.2, section 10.3.2).
fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library may add events; none concern us")]
fn simplify(event: Event<'_>) -> Token {
    match event {
        Event::Scalar(_, _, _, Some(_))
        | Event::SequenceStart(_, _, Some(_))
        | Event::MappingStart(_, _, Some(_)) => Token::Fancy("a tag"),
        Event::Scalar(text, style, 0, None) => {
            Token::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain }
        }
        Event::SequenceStart(_, 0, None) => Token::List,
        Event::MappingStart(_, 0, None) => Token::Map,
        Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) => {
            Token::Fancy("an anchor")
        }
        Event::Alias(_) => Token::Fancy("an alias"),
        Event::SequenceEnd | Event::MappingEnd => Token::Close,
        Event::StreamEnd => Token::End,
        _ => Token::Document,
    }
}
