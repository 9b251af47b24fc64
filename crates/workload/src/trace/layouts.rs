//! How each kind of trace is laid out in its file.

use std::io::{BufRead, Read};
use std::path::Path;

use infermark_terms::Nanos;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Recorded, Trace, TraceLayout};
use crate::dataset::{DatasetError, each_line};

/// Tokens of a block, where the trace does not say.
const BLOCK_TOKENS: u32 = 512;
/// Tokens of a block of Bailian's.
const BLOCK_TOKENS_BAILIAN: u32 = 16;

/// The longest input of a request, in tokens.
const INPUT_MAX: u64 = 10_000_000;

/// Nanoseconds of a millisecond and of a second.
const MILLIS: f64 = 1e6;
const SECONDS: f64 = 1e9;

/// The latest instant, in nanoseconds: of the year 2200, so that dates fit.
const INSTANT_MAX: f64 = 7.26e18;

/// A line of Mooncake's or Bailian's.
#[derive(Deserialize)]
struct Hashed {
    timestamp: f64,
    input_length: u64,
    output_length: u64,
    #[serde(default)]
    hash_ids: Vec<u64>,
}

/// A line of our own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    at_s: f64,
    input_tokens: u64,
    output_tokens: u64,
    #[serde(default)]
    blocks: Vec<u64>,
    block_tokens: Option<u32>,
}

/// Where an error is.
#[derive(Clone, Copy)]
struct At<'a> {
    path: &'a Path,
    line: u64,
    layout: TraceLayout,
}

impl At<'_> {
    fn wrong(self, reason: impl Into<String>) -> DatasetError {
        DatasetError::NotRecorded {
            path: self.path.to_path_buf(),
            line: self.line,
            layout: self.layout,
            reason: reason.into(),
        }
    }

    fn parse<T: DeserializeOwned>(self, line: &[u8]) -> Result<T, DatasetError> {
        serde_json::from_slice(line).map_err(|error| {
            // The library counts lines within this one.
            let text = error.to_string();
            self.wrong(text.split(" at line ").next().unwrap_or_default())
        })
    }

    fn instant(self, number: f64, unit: f64) -> Result<Nanos, DatasetError> {
        let nanos = number * unit;
        if (0.0..=INSTANT_MAX).contains(&nanos) {
            Ok(Nanos(nanos.round() as u64))
        } else {
            Err(self.wrong(format!("the instant {number} is out of bounds")))
        }
    }

    fn tokens(self, count: u64) -> Result<u32, DatasetError> {
        if count <= INPUT_MAX {
            Ok(count as u32)
        } else {
            Err(self.wrong(format!("{count} tokens are more than {INPUT_MAX}")))
        }
    }

    fn request(
        self,
        at: Nanos,
        input: u64,
        output: u64,
        blocks: Vec<u64>,
    ) -> Result<Recorded, DatasetError> {
        let (input, output) = (self.tokens(input)?, self.tokens(output)?);
        Ok(Recorded { at, input, output, blocks: blocks.into() })
    }
}

/// Reads one JSON object a line; the first says which layout it is.
pub(super) fn json_lines(path: &Path, reader: impl BufRead) -> Result<Trace, DatasetError> {
    let mut trace: Option<Trace> = None;
    each_line(path, reader, |line, bytes| {
        let trace = match &mut trace {
            Some(trace) => trace,
            None => trace.insert(begin(path, line, bytes)?),
        };
        let at = At { path, line, layout: trace.layout };
        let recorded = match trace.layout {
            TraceLayout::Infermark => {
                let own: Own = at.parse(bytes)?;
                if own.block_tokens.is_some_and(|tokens| tokens != trace.block_tokens) {
                    return Err(at.wrong("`block_tokens` is not that of the first line"));
                }
                let instant = at.instant(own.at_s, SECONDS)?;
                at.request(instant, own.input_tokens, own.output_tokens, own.blocks)?
            }
            TraceLayout::Mooncake => hashed(at, bytes, MILLIS)?,
            TraceLayout::Bailian | TraceLayout::Azure | TraceLayout::BurstGpt => {
                hashed(at, bytes, SECONDS)?
            }
        };
        trace.push(path, recorded)
    })?;
    trace.ok_or_else(|| DatasetError::EmptyTrace { path: path.to_path_buf(), skipped: 0 })
}

/// Begins a trace of the layout that its first line has.
fn begin(path: &Path, line: u64, bytes: &[u8]) -> Result<Trace, DatasetError> {
    let keys: Map<String, Value> = serde_json::from_slice(bytes)
        .map_err(|source| DatasetError::NotAnObject { path: path.to_path_buf(), line, source })?;
    let has = |key: &str| keys.contains_key(key);
    let (layout, block_tokens) = if has("at_s") {
        let said = keys.get("block_tokens").and_then(Value::as_u64);
        let said = said.and_then(|tokens| u32::try_from(tokens).ok());
        (TraceLayout::Infermark, said.unwrap_or(BLOCK_TOKENS))
    } else if has("timestamp") && has("input_length") && has("chat_id") {
        (TraceLayout::Bailian, BLOCK_TOKENS_BAILIAN)
    } else if has("timestamp") && has("input_length") {
        (TraceLayout::Mooncake, BLOCK_TOKENS)
    } else {
        let names = keys.into_iter().map(|(key, _)| key).collect();
        return Err(DatasetError::UnknownTrace { path: path.to_path_buf(), names });
    };
    if block_tokens == 0 {
        return Err(At { path, line, layout }.wrong("a block has at least one token"));
    }
    Ok(Trace { layout, requests: Vec::new(), block_tokens, skipped: 0 })
}

fn hashed(at: At<'_>, line: &[u8], unit: f64) -> Result<Recorded, DatasetError> {
    let Hashed { timestamp, input_length, output_length, hash_ids } = at.parse(line)?;
    at.request(at.instant(timestamp, unit)?, input_length, output_length, hash_ids)
}

/// Reads CSV with a header line, which says which layout it is.
pub(super) fn csv(path: &Path, reader: impl Read) -> Result<Trace, DatasetError> {
    let not_csv = |source| DatasetError::NotCsv { path: path.to_path_buf(), source };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(reader);
    let names = reader.headers().map_err(not_csv)?;
    let place =
        |wanted: &str| names.iter().position(|name| name.trim_start_matches('\u{feff}') == wanted);
    let columns = |names: [&str; 3]| {
        let [at, input, output] = names.map(place);
        Some([at?, input?, output?])
    };
    let azure = columns(["TIMESTAMP", "ContextTokens", "GeneratedTokens"]);
    let burst = columns(["Timestamp", "Request tokens", "Response tokens"]);
    let (layout, columns) = match (azure, burst) {
        (Some(columns), _) => (TraceLayout::Azure, columns),
        (None, Some(columns)) => (TraceLayout::BurstGpt, columns),
        (None, None) => {
            let names = names.iter().map(str::to_owned).collect();
            return Err(DatasetError::UnknownTrace { path: path.to_path_buf(), names });
        }
    };
    let mut trace = Trace { layout, requests: Vec::new(), block_tokens: BLOCK_TOKENS, skipped: 0 };
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(not_csv)? {
        let line = record.position().map_or(0, csv::Position::line);
        let at = At { path, line, layout };
        let [instant, input, output] = columns.map(|column| &record[column]);
        let instant = match layout {
            TraceLayout::Azure => date(at, instant)?,
            TraceLayout::BurstGpt
            | TraceLayout::Mooncake
            | TraceLayout::Bailian
            | TraceLayout::Infermark => {
                let wrong = |_| at.wrong(format!("`{instant}` is not a number of seconds"));
                at.instant(instant.parse().map_err(wrong)?, SECONDS)?
            }
        };
        let count = |text: &str| {
            text.parse().map_err(|_| at.wrong(format!("`{text}` is not a number of tokens")))
        };
        trace.push(path, at.request(instant, count(input)?, count(output)?, Vec::new())?)?;
    }
    Ok(trace)
}

/// Reads a date, of UTC where it does not say.
fn date(at: At<'_>, text: &str) -> Result<Nanos, DatasetError> {
    let wrong = || at.wrong(format!("`{text}` is not a date such as `2023-11-16 18:15:46.68`"));
    let civil = |text: &str| text.parse::<DateTime>()?.to_zoned(TimeZone::UTC);
    let instant = text.parse().or_else(|_| civil(text).map(|zoned| zoned.timestamp()));
    let instant: Timestamp = instant.map_err(|_| wrong())?;
    u64::try_from(instant.as_nanosecond()).map(Nanos).map_err(|_| wrong())
}
