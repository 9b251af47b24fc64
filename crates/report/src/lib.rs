//! Estimates become bytes.
//!
//! [`table`] shows one run to a person, on one screen, [`curve`] a study, [`acceptance`] what came
//! of a suite, [`comparison_table`] two runs side by side; [`html`] shows one or several on a page
//! with charts, [`markdown`] in a merge request; [`csv()`] and [`xlsx`] hold every figure for other
//! programs. None decides or computes anything but what a reader's eye needs: every figure comes
//! from `measure`, every verdict too.
//!
//! # Invariants
//!
//! - No line is wider than [`COLUMNS`].
//! - What a server, a file or a user said never reaches the terminal with control characters, and
//!   never unbounded.
//! - A caveat is never left out, however many there are; a colour never says anything that the
//!   words do not.
//! - A figure that was not observed is shown as `–`, and the page says why.
//!
//! Not here: JSON, which is the serialised estimate itself; progress; terminals and their size.

mod acceptance;
mod chart;
mod columns;
mod comparison;
mod curve;
mod definitions;
mod document;
mod doubts;
mod figure;
mod gallery;
mod html;
mod latency;
mod ledger;
mod markdown;
mod objectives;
mod observed;
mod page;
mod parts;
mod points;
mod sheet;
mod spread;
mod subject;
mod table;
mod text;
mod workbook;

#[cfg(test)]
mod tests;

pub use acceptance::{
    AcceptanceLine, AcceptanceSheet, ContestCell, ContestTable, DotGroup, acceptance,
};
pub use columns::{Cell, columns};
pub use comparison::{
    Compared, ComparisonSheet, Differing, GateLine, Passed, PointSheet, change, change_interval,
    comparison_junit, comparison_markdown, comparison_table,
};
pub use curve::{CurveSheet, Dot, curve};
pub use document::html;
pub use figure::count;
pub use gallery::{png_files, svg_files};
pub use ledger::{csv, harmless};
pub use markdown::markdown;
pub use page::{COLUMNS, Colour};
pub use sheet::{Sheet, Source, State, Verification};
pub use subject::{KNEE, Origin, Place, Subject, Verdict};
pub use table::table;
pub use workbook::xlsx;
