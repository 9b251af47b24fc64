//! The settings of a run's record, `run.json`, so that a run can be made again from it.
//!
//! ```text
//! {"schema": "infermark.run/…", "scenario": {"values": [{"key", "text", "origin": {"layer"}}]}}
//! ```
//!
//! What nobody gave is left to the defaults again, but for the seed: one that was drawn is what
//! makes the run the same.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Flaw, Scalar};
use crate::settings;

/// How the name of a record's format begins.
const SCHEMA: &str = "infermark.run/";

/// The layer of what nobody gave, as [`Origin`](crate::Origin) is written.
const DEFAULT: &str = "default";

/// What tells a record from a scenario file.
#[derive(Deserialize)]
struct Mark {
    schema: String,
}

#[derive(Deserialize)]
struct Record<'t> {
    #[serde(borrow)]
    scenario: Scenario<'t>,
}

#[derive(Deserialize)]
struct Scenario<'t> {
    #[serde(borrow)]
    values: Vec<Value<'t>>,
}

#[derive(Deserialize)]
struct Value<'t> {
    key: String,
    /// As it stands in the file, to know where.
    #[serde(borrow)]
    text: &'t RawValue,
    origin: Origin,
}

#[derive(Deserialize)]
struct Origin {
    layer: String,
}

/// Whether a JSON text is the record of a run, of whatever version.
pub(super) fn is_record(text: &str) -> bool {
    serde_json::from_str::<Mark>(text).is_ok_and(|mark| mark.schema.starts_with(SCHEMA))
}

/// Reads the keys and texts of a record.
pub(super) fn values(text: &str) -> Result<Vec<(String, Scalar)>, Flaw> {
    let record: Record<'_> = serde_json::from_str(text)
        .map_err(|error| super::flaw_of_json(text, &error, "no resolved scenario in the record"))?;
    let values = record.scenario.values.into_iter();
    let given =
        values.filter(|value| value.origin.layer != DEFAULT || value.key == settings::SEED.key);
    given
        .map(|value| {
            let span = span(text, value.text.get());
            match serde_json::from_str(value.text.get()) {
                Ok(text) => Ok((value.key, Scalar { text, span })),
                Err(_) => Err(Flaw::new(span.start..span.start, "a value that is not a text")),
            }
        })
        .collect()
}

/// Returns where `piece`, a part of `text`, stands in it.
fn span(text: &str, piece: &str) -> Range<usize> {
    let start = piece.as_ptr().addr() - text.as_ptr().addr();
    start..start + piece.len()
}
