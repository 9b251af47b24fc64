//! From the record to the result: the same way for a run that just ended and for one read back.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use infermark_measure::{Point, PointPlan, WindowPlan, measure};
use infermark_store::{KeepChunks, RunFile, RunWriter, State, StoredRun, open};
use infermark_terms::{ChunkRow, RequestId, RequestRow, Stamp};
use infermark_workload::{Tokenizer, WorkloadError, recount};
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
    let reach = if partial { Reach::Cut } else { Reach::Whole };
    let point = judge(&run, plan.point, &rows, reach, &mut Recounts::default())?;
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
    let mut recounts = match tokenizer {
        Some(tokenizer) => Recounts::make(&run, tokenizer, &rows)?,
        None => Recounts::default(),
    };
    writer.append_requests(&recounts.amend_requests(&mut rows))?;
    writer.flush()?;
    let reach = if ended == Ended::Stopped { Reach::Cut } else { Reach::Whole };
    let point = judge(&run, plan.point, &rows, reach, &mut recounts.clone())?;
    header.partial = ended == Ended::Stopped;
    header.points = vec![value(&point)];
    let chunks: u64 = rows.iter().map(|row| u64::from(row.chunks)).sum();
    let keep = if chunks <= CHUNKS_KEPT { KeepChunks::Keep } else { KeepChunks::Drop };
    writer.finish_amended(&header, keep, &mut |chunk| recounts.amend_chunk(chunk))?;
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
    recounts: &mut Recounts,
) -> Result<Point, RunError> {
    if let (WindowPlan::Span { start, end }, Reach::Cut) = (plan.window, reach) {
        let last = rows.iter().map(|row| row.due).max().unwrap_or(start);
        let end = end.min(Stamp(last.0 + 1)).max(start);
        plan.window = WindowPlan::Span { start, end };
    }
    let mut failure = None;
    let chunks = run.chunks()?.map_while(|row| row.map_err(|error| failure = Some(error)).ok());
    let chunks = chunks.map(|mut chunk| {
        recounts.amend_chunk(&mut chunk);
        chunk
    });
    let point = measure(&plan, rows, chunks);
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(point),
    }
}

/// Tokens of answers whose server reported no usage, counted after the run.
#[derive(Clone, Debug, Default)]
struct Recounts(BTreeMap<RequestId, VecDeque<u32>>);

impl Recounts {
    /// Counts each answer once, over its whole text, and deals the tokens to its chunks
    /// (docs/metrics.md, section 2: "never chunk by chunk").
    fn make(
        run: &StoredRun,
        tokenizer: &dyn Tokenizer,
        rows: &[RequestRow],
    ) -> Result<Self, RunError> {
        let uncounted = rows.iter().filter(|row| row.usage.is_none());
        let mut texts: BTreeMap<RequestId, Vec<u8>> =
            uncounted.map(|row| (row.id, Vec::new())).collect();
        for piece in run.texts()? {
            let piece = piece?;
            if let Some(text) = texts.get_mut(&piece.request) {
                text.extend_from_slice(&piece.text);
            }
        }
        let mut ends: BTreeMap<RequestId, Vec<usize>> = BTreeMap::new();
        for chunk in run.chunks()? {
            let chunk = chunk?;
            if texts.contains_key(&chunk.request) {
                let ends = ends.entry(chunk.request).or_default();
                ends.push(ends.last().copied().unwrap_or(0) + chunk.text_bytes as usize);
            }
        }
        let mut counts = BTreeMap::new();
        for (id, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            let text = String::from_utf8_lossy(&text);
            // An answer that was not streamed has one part: its whole.
            let ends = ends.remove(&id).unwrap_or_else(|| vec![text.len()]);
            let tokens = recount(tokenizer, &text, &ends).map_err(WorkloadError::from)?;
            let _: Option<VecDeque<u32>> = counts.insert(id, tokens.into());
        }
        Ok(Self(counts))
    }

    /// Enters the counts into the rows, and returns those that changed.
    fn amend_requests(&self, rows: &mut [RequestRow]) -> Vec<RequestRow> {
        let mut amended = Vec::new();
        for row in rows {
            if let Some(tokens) = self.0.get(&row.id) {
                row.tokenized = Some(tokens.iter().sum());
                amended.push(row.clone());
            }
        }
        amended
    }

    /// Enters the tokens of the next chunk of its request.
    fn amend_chunk(&mut self, chunk: &mut ChunkRow) {
        if let Some(tokens) = self.0.get_mut(&chunk.request) {
            chunk.tokens = tokens.pop_front();
        }
    }
}

fn value(point: &Point) -> serde_json::Value {
    serde_json::to_value(point).expect("a point is plain data")
}

#[cfg(test)]
mod tests {
    use super::*;
    use infermark_measure::{Build, LoadPlan};
    use infermark_terms::{
        ChunkKind, EventCounts, FinishReason, Nanos, Outcome, OutputPolicy, StampSource,
    };
    use infermark_workload::TokenizeError;

    /// A tokenizer to which every letter is a token.
    struct Letters;

    impl Tokenizer for Letters {
        fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
            Ok(text.bytes().map(u32::from).collect())
        }

        fn ends(&self, text: &str) -> Result<Vec<usize>, TokenizeError> {
            Ok((1..=text.len()).collect())
        }
    }

    fn row(id: u64) -> RequestRow {
        let at = |millis| Stamp::ZERO + Nanos::from_millis(millis);
        RequestRow {
            id: RequestId(id),
            shard: 0,
            due: at(1),
            connected: Some(at(1)),
            connect: None,
            sent: Some(at(1)),
            first_byte: Some(at(10)),
            first_token: Some(at(10)),
            first_answer: Some(at(10)),
            last_token: Some(at(30)),
            end: at(30),
            stamps: StampSource::Clock,
            outcome: Outcome::Finished { reason: FinishReason::Stop },
            asked_input: None,
            asked_output: None,
            usage: None,
            tokenized: None,
            chunks: 2,
            coalesced: 0,
            events: EventCounts::default(),
            bytes: 100,
            read_delay_max: None,
        }
    }

    fn chunk(id: u64, millis: u64, text_bytes: u32) -> ChunkRow {
        ChunkRow {
            request: RequestId(id),
            at: Stamp::ZERO + Nanos::from_millis(millis),
            kind: ChunkKind::Answer,
            tokens: None,
            text_bytes,
            coalesced: false,
            read_delay: Nanos::ZERO,
        }
    }

    #[test]
    fn outputs_without_usage_are_counted_once_and_dealt_to_their_chunks() {
        let dir = tempfile::tempdir().unwrap();
        let header = RunFile { id: "r".to_owned(), ..RunFile::default() };
        let mut writer = RunWriter::create(&dir.path().join("r"), &header).unwrap();
        writer.append_chunks(&[chunk(0, 10, 3), chunk(1, 10, 1), chunk(0, 30, 4)]).unwrap();
        writer.append_text(RequestId(0), b"one two").unwrap();
        writer.append_requests(&[row(0)]).unwrap();
        writer.flush().unwrap();
        let plan = Plan {
            point: PointPlan {
                load: LoadPlan::Closed { concurrency: 1 },
                window: WindowPlan::Whole { start: Stamp::ZERO },
                output_policy: OutputPolicy::Natural,
                build: Build::Debug,
                gpus: None,
            },
            preflight: Preflight::default(),
        };
        let header = RunFile { plan: serde_json::to_value(plan).unwrap(), ..header };
        let measured = finish(writer, header, plan, Some(&Letters), Ended::Itself).unwrap();
        assert_eq!(measured.point.tokens.output_mean, Some(7.0));
        assert!(measured.point.latency.itl_ms.is_none(), "an estimate times no token");
        let again = measure_again(&measured.dir).unwrap();
        assert_eq!(again.point, measured.point);
        let chunks = open(&measured.dir).unwrap().chunks().unwrap();
        let tokens: Vec<_> = chunks.map(|chunk| chunk.unwrap().tokens).collect();
        assert_eq!(tokens, [Some(3), None, Some(4)]);
    }
}
