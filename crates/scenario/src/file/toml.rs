//! TOML as entries.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Entry, Flaw, Node, Scalar, class_text};

/// Reads TOML; nothing but the faults of syntax where there are any.
pub(super) fn entries(text: &str) -> (Vec<Entry>, Vec<Flaw>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let flaws = errors.iter().map(|error| {
            let span = error.span().unwrap_or(0..0);
            Flaw::new(span, format!("not TOML: {}", error.message()))
        });
        return (Vec::new(), flaws.collect());
    }
    let mut entries: Vec<_> = table
        .into_inner()
        .into_iter()
        .map(|(key, value)| {
            let span = value.span();
            Entry {
                span: key.span(),
                key: key.into_inner().into_owned(),
                value: node(value.into_inner(), span),
            }
        })
        .collect();
    // The table is in the order of its keys; the file's own order is what errors follow.
    entries.sort_by_key(|entry| entry.span.start);
    (entries, Vec::new())
}

fn node(value: DeValue<'_>, span: Range<usize>) -> Node {
    let DeValue::Array(array) = value else {
        return match scalar(&value, span) {
            Ok(scalar) => Node::Scalar(scalar),
            Err(flaw) => Node::Odd(flaw),
        };
    };
    let maps = array.iter().map(|item| flat(item.get_ref().as_table()?, item.span()));
    let maps: Option<Vec<_>> = maps.collect();
    if let Some(maps) = maps.filter(|maps| !maps.is_empty()) {
        let flaw = odd(&maps[0].span);
        return Node::Maps(maps, flaw);
    }
    let items: Result<Vec<_>, _> =
        array.iter().map(|item| scalar(item.get_ref(), item.span())).collect();
    match items {
        Ok(items) => Node::List(items),
        Err(flaw) => Node::Odd(flaw),
    }
}

/// Reads a table of texts as a class is written; nothing if it holds anything else.
fn flat(table: &DeTable<'_>, span: Range<usize>) -> Option<Scalar> {
    let mut pairs: Vec<_> = table.iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    let read = |(key, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        let text = scalar(value.get_ref(), value.span()).ok()?.text;
        Some((key.get_ref().to_string(), text))
    };
    let pairs: Vec<_> = pairs.into_iter().map(read).collect::<Option<_>>()?;
    Some(Scalar { text: class_text(&pairs)?, span: span.start..span.start })
}

/// What is wrong with a value in a list that is none.
fn odd(span: &Range<usize>) -> Flaw {
    Flaw::new(span.start..span.start, "a table or a list in a list")
        .hint("a scenario file is flat: one `key = value` a line")
}

fn scalar(value: &DeValue<'_>, span: Range<usize>) -> Result<Scalar, Flaw> {
    let text = match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(answer) => answer.to_string(),
        DeValue::Datetime(_) => return Err(Flaw::new(span, "a date").expected("a text")),
        DeValue::Array(_) | DeValue::Table(_) => {
            return Err(odd(&span));
        }
    };
    Ok(Scalar { text, span })
}
