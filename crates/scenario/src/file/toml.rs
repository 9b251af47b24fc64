//! TOML as entries.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::{Entry, Flaw, Node, Scalar};

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
    let items: Result<Vec<_>, _> =
        array.iter().map(|item| scalar(item.get_ref(), item.span())).collect();
    match items {
        Ok(items) => Node::List(items),
        Err(flaw) => Node::Odd(flaw),
    }
}

fn scalar(value: &DeValue<'_>, span: Range<usize>) -> Result<Scalar, Flaw> {
    let text = match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(answer) => answer.to_string(),
        DeValue::Datetime(_) => return Err(Flaw::new(span, "a date").expected("a text")),
        DeValue::Array(_) | DeValue::Table(_) => {
            return Err(Flaw::new(span.start..span.start, "a table or a list in a list")
                .hint("a scenario file is flat: one `key = value` a line"));
        }
    };
    Ok(Scalar { text, span })
}
