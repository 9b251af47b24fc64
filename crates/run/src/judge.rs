//! From the record to the result: the same way for a run that just ended and for one read back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use infermark_measure::{Point, PointPlan, WindowPlan, measure};
use infermark_store::{KeepChunks, RunFile, RunWriter, State, StoredRun, open};
use infermark_terms::{RequestId, RequestRow, Stamp};
use infermark_workload::Tokenizer;
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::load::Ended;
use crate::preflight::Preflight;

/// Chunks of a finished record that are kept.
const CHUNKS_KEPT: u64 = 50_000_000;

/// What it takes, beside the rows, to measure a record.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    #[serde(flatten)]
    pub(crate) point: PointPlan,
    #[serde(default)]
    pub(crate) preflight: Preflight,
}

/// A record and what it means.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Where the record is.
    pub dir: PathBuf,
    /// Its header, with the results.
    pub header: RunFile,
    /// The results.
    pub point: Point,
}

/// Reads a record back, complete or partial, and measures it.
///
/// # Errors
///
/// If it cannot be read.
pub fn measure_again(dir: &Path) -> Result<Measured, RunError> {
    let run = open(dir)?;
    let bad = |source| RunError::Header { dir: dir.to_owned(), source };
    let plan: Plan = serde_json::from_value(run.header.plan.clone()).map_err(bad)?;
    let partial = run.header.partial || matches!(run.state, State::Partial { .. });
    let rows = run.requests()?;
    let point = judge(&run, plan.point, &rows, if partial { Reach::Cut } else { Reach::Whole })?;
    let mut header = run.header;
    header.partial = partial;
    header.points = vec![value(&point)];
    Ok(Measured { dir: dir.to_owned(), header, point })
}

/// Measures what the recorder wrote and completes the record.
pub(crate) fn finish(
    mut writer: RunWriter,
    mut header: RunFile,
    plan: Plan,
    tokenizer: Option<&dyn Tokenizer>,
    ended: Ended,
) -> Result<Measured, RunError> {
    let dir = writer.dir().to_owned();
    let run = open(&dir)?;
    let mut rows = run.requests()?;
    if let Some(tokenizer) = tokenizer {
        let counted = count(&run, tokenizer, &mut rows)?;
        writer.append_requests(&counted)?;
        writer.flush()?;
    }
    let reach = if ended == Ended::Stopped { Reach::Cut } else { Reach::Whole };
    let point = judge(&run, plan.point, &rows, reach)?;
    header.partial = ended == Ended::Stopped;
    header.points = vec![value(&point)];
    let chunks: u64 = rows.iter().map(|row| u64::from(row.chunks)).sum();
    let keep = if chunks <= CHUNKS_KEPT { KeepChunks::Keep } else { KeepChunks::Drop };
    writer.finish(&header, keep)?;
    // As it was written, with what the store added.
    let header = open(&dir)?.header;
    Ok(Measured { dir, header, point })
}

/// Whether a record covers its planned window.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Whole,
    /// It ends early: so does the window, with the last arrival.
    Cut,
}

fn judge(
    run: &StoredRun,
    mut plan: PointPlan,
    rows: &[RequestRow],
    reach: Reach,
) -> Result<Point, RunError> {
    if let (WindowPlan::Span { start, end }, Reach::Cut) = (plan.window, reach) {
        let last = rows.iter().map(|row| row.due).max().unwrap_or(start);
        let end = end.min(Stamp(last.0 + 1)).max(start);
        plan.window = WindowPlan::Span { start, end };
    }
    let mut failure = None;
    let chunks = run.chunks()?.map_while(|row| row.map_err(|error| failure = Some(error)).ok());
    let point = measure(&plan, rows, chunks);
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(point),
    }
}

/// Counts the tokens of outputs whose server reported no usage, over their whole text.
fn count(
    run: &StoredRun,
    tokenizer: &dyn Tokenizer,
    rows: &mut [RequestRow],
) -> Result<Vec<RequestRow>, RunError> {
    let mut texts: BTreeMap<RequestId, Vec<u8>> = BTreeMap::new();
    for piece in run.texts()? {
        let piece = piece?;
        texts.entry(piece.request).or_default().extend_from_slice(&piece.text);
    }
    let mut counted = Vec::new();
    for row in rows.iter_mut().filter(|row| row.usage.is_none()) {
        if let Some(text) = texts.get(&row.id) {
            let tokens = tokenizer.count(&String::from_utf8_lossy(text));
            row.tokenized = Some(tokens.map_err(infermark_workload::WorkloadError::from)?);
            counted.push(row.clone());
        }
    }
    Ok(counted)
}

fn value(point: &Point) -> serde_json::Value {
    serde_json::to_value(point).expect("a point is plain data")
}
