//! A list as columns: one line for each row, as wide as it needs to be.

use std::borrow::Cow;

use crate::figure::{ABSENT, count, figure};
use crate::text::{clean, is_plain, width};

/// One cell of a list.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Text, which may be foreign; to the left.
    Text(String),
    /// A whole number; to the right.
    Count(u64),
    /// A figure, in the unit that its heading names; to the right.
    Figure(f64),
    /// What is not there.
    Absent,
}

impl Cell {
    fn shown(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) if is_plain(text) => Cow::Borrowed(text),
            Self::Text(text) => Cow::Owned(clean(text)),
            Self::Count(number) => Cow::Owned(count(*number)),
            Self::Figure(value) => Cow::Owned(figure(*value)),
            Self::Absent => Cow::Borrowed(ABSENT),
        }
    }

    fn is_number(&self) -> bool {
        match self {
            Self::Count(_) | Self::Figure(_) => true,
            Self::Text(_) | Self::Absent => false,
        }
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Into::into)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Count(number)
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Figure(value)
    }
}

/// Returns rows below their headings, each line ended by a line feed. A column of which nothing
/// is there is left out. Every row has as many cells as there are headings.
pub fn columns(headings: &[&str], rows: &[Vec<Cell>]) -> String {
    let is_there = |column: &usize| rows.iter().any(|row| row[*column] != Cell::Absent);
    let kept: Vec<usize> = (0..headings.len()).filter(is_there).collect();
    let head = kept.iter().map(|&column| Cow::Borrowed(headings[column])).collect();
    let lines: Vec<Vec<Cow<'_, str>>> =
        [head].into_iter().chain(rows.iter().map(|row| shown(row, &kept))).collect();
    let widths: Vec<usize> = (0..kept.len())
        .map(|place| lines.iter().map(|line| width(&line[place])).max().unwrap_or(0))
        .collect();
    let numeric: Vec<bool> =
        kept.iter().map(|&column| rows.iter().any(|row| row[column].is_number())).collect();
    let mut text = String::new();
    for line in &lines {
        let from = text.len();
        for ((cell, wide), numeric) in line.iter().zip(&widths).zip(&numeric) {
            let gap = std::iter::repeat_n(' ', wide - width(cell));
            if *numeric {
                text.extend(gap);
                text.push_str(cell);
            } else {
                text.push_str(cell);
                text.extend(gap);
            }
            text.push_str("  ");
        }
        text.truncate(from + text[from..].trim_end().len());
        text.push('\n');
    }
    text
}

fn shown<'a>(row: &'a [Cell], kept: &[usize]) -> Vec<Cow<'a, str>> {
    kept.iter().map(|&column| row[column].shown()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_what_nobody_has_is_left_out() {
        let rows = [
            vec!["a".into(), Cell::Absent, 12_345.into(), "x".into()],
            vec!["模型\u{1b}[1m".into(), Cell::Absent, Cell::Absent, 0.5.into()],
        ];
        let text = columns(&["NAME", "GPU", "REQUESTS", "LAST"], &rows);
        assert_eq!(
            text,
            "NAME      REQUESTS    LAST\n\
             a           12,345       x\n\
             模型 [1m         –  0.5000\n"
        );
    }

    #[test]
    fn a_list_of_nothing_is_empty_but_for_its_line() {
        assert_eq!(columns(&["NAME"], &[]), "\n");
    }
}
