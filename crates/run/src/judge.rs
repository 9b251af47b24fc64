//! From the record to the result: the same way for a run that just ended and for one read back.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use infermark_measure::{
    ClassPlan, Client, Details, Observations, Part, Physics, Point, PointPlan, Ruling, WindowPlan,
    WindowSearch, attest, measure_in_detail, observe, rulings, spread,
};
use infermark_store::{KeepChunks, RunFile, RunWriter, State, StoredRun, open};
use infermark_terms::{
    Caveat, CaveatCode, ChunkRow, Nanos, Price, RequestId, RequestRow, Slo, Stamp, TelemetryRow,
    Trust,
};
use infermark_workload::{Tokenizer, WorkloadError, recount};
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::calibration::Calibrated;
use crate::preflight::Preflight;
use crate::study::{Ended, ended};

/// An embedded engine that is later than this (p99) is no longer the engine it claims to be.
const ENGINE_LATENESS_MAX: Nanos = Nanos::from_millis(1);

/// What it takes, beside the rows, to measure a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    #[serde(flatten)]
    pub(crate) point: PointPlan,
    /// The most requests due in the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) requests: Option<u64>,
    /// When sending was stopped by the user's wish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stopped: Option<Stamp>,
    /// How late the embedded engine wrote its tokens: the 99th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) engine_lateness: Option<Nanos>,
    /// What an hour of the target costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) price: Option<Price>,
    /// Where the generator was exact, as far as it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) calibrated: Option<Calibrated>,
    /// What was seen of the generator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<Client>,
    #[serde(default)]
    pub(crate) preflight: Preflight,
    /// What the deployment cannot exceed, where model and GPUs are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) physics: Option<Physics>,
    /// How many input tokens the prompts share by intent, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shared_tokens: Option<u32>,
    /// The classes that requests are of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) classes: Vec<ClassPlan>,
    /// Every address that requests may go to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) addresses: Vec<SocketAddr>,
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
    /// What a report draws of them.
    pub details: Details,
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
    let (mut point, details) = judge(&run, &plan, &rows, reach, &mut Recounts::default())?;
    // What was stopped for it was too short for its rows to show it.
    point.saturated |= ended(&run.header) == Ended::Saturated;
    let mut header = run.header;
    header.partial = partial;
    header.points = vec![value(&point)];
    Ok(Measured { dir: dir.to_owned(), header, point, details })
}

/// Judges a record by each of these objectives, whatever it was held against when it was made.
/// `point` is what it measures to.
///
/// # Errors
///
/// If it cannot be read.
pub fn rule(dir: &Path, point: &Point, slos: &[Slo]) -> Result<Vec<Vec<Ruling>>, RunError> {
    let run = open(dir)?;
    let plan = plan_of(dir, &run.header, point)?;
    let rows = run.requests()?;
    with_chunks(&run, &mut Recounts::default(), |chunks| rulings(&plan, slos, &rows, chunks))
}

/// Returns the plan of a record, over the window that was measured, whichever way it was found.
pub(crate) fn plan_of(dir: &Path, header: &RunFile, point: &Point) -> Result<PointPlan, RunError> {
    let bad = |source| RunError::Header { dir: dir.to_owned(), source };
    let plan: Plan = serde_json::from_value(header.plan.clone()).map_err(bad)?;
    let [start, end] = point.window.span();
    let window = WindowPlan::Span { start, end };
    Ok(PointPlan { window, search: WindowSearch::Given, ..plan.point })
}

/// Measures what the recorder wrote and completes the record.
pub(crate) fn finish(
    mut writer: RunWriter,
    mut header: RunFile,
    plan: &Plan,
    tokenizer: Option<&dyn Tokenizer>,
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
    let reach = if plan.stopped.is_some() { Reach::Cut } else { Reach::Whole };
    let (point, details) = judge(&run, plan, &rows, reach, &mut recounts.clone())?;
    header.plan = serde_json::to_value(plan).expect("a plan is plain data");
    header.partial = plan.stopped.is_some();
    header.points = vec![value(&point)];
    // However many: without them nobody could measure the gaps again. They are never held at
    // once, and take some bytes each on the disk.
    let amend = &mut |chunk: &mut ChunkRow| recounts.amend_chunk(chunk);
    writer.finish_amended(&header, KeepChunks::Keep, amend)?;
    // As it was written, with what the store added.
    let header = open(&dir)?.header;
    Ok(Measured { dir, header, point, details })
}

/// Whether a record covers its planned window.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Whole,
    /// It ends early, and so does the window.
    Cut,
}

/// Returns the window that was really loaded.
///
/// A run that sent all its requests before the planned end is measured to the last of them, one
/// that was stopped until it was stopped, and one that was killed until the newest instant of
/// its record: after those there was no load.
fn loaded(plan: &Plan, rows: &[RequestRow], reach: Reach) -> WindowPlan {
    let WindowPlan::Span { start, end } = plan.point.window else { return plan.point.window };
    if reach == Reach::Cut {
        let newest = || rows.iter().map(|row| row.end).max().unwrap_or(start);
        let end = plan.stopped.unwrap_or_else(newest).min(end).max(start);
        return WindowPlan::Span { start, end };
    }
    let due = rows.iter().filter(|row| row.due >= start && row.due < end);
    let (mut count, mut last) = (0, start);
    for row in due {
        count += 1;
        last = last.max(row.end);
    }
    if plan.requests == Some(count) && last < end {
        return WindowPlan::Whole { start };
    }
    plan.point.window
}

fn judge(
    run: &StoredRun,
    plan: &Plan,
    rows: &[RequestRow],
    reach: Reach,
    recounts: &mut Recounts,
) -> Result<(Point, Details), RunError> {
    let window = loaded(plan, rows, reach);
    let planned = PointPlan { window, ..plan.point.clone() };
    // Each pass over the chunks uses the counts up.
    let counted = (!plan.classes.is_empty()).then(|| recounts.clone());
    let (mut point, mut details) =
        with_chunks(run, recounts, |chunks| measure_in_detail(&planned, rows, chunks))?;
    for (index, class) in (0..).zip(&plan.classes) {
        let mut recounts = counted.clone().unwrap_or_default();
        let part = with_chunks(run, &mut recounts, |chunks| {
            Part::of_class(index, class, &planned, &point, rows, chunks)
        })?;
        point.classes.push(part);
    }
    if let Some(client) = &plan.client {
        attest(&mut point, client);
    }
    doubt_engine(plan, &mut point);
    let outside = plan.calibrated.as_ref().and_then(|calibrated| calibrated.doubt(&point));
    let below = plan.physics.and_then(|physics| physics.doubt(&point));
    for caveat in [outside, below].into_iter().flatten() {
        point.trust.verdict = point.trust.verdict.max(caveat.lowers_to);
        point.trust.caveats.push(caveat);
    }
    let said: Vec<TelemetryRow> = run.telemetry()?.collect::<Result<_, _>>()?;
    let heard = Observations::collect(said);
    let named = run.header.target["server"]["name"].as_str();
    observe(&mut point, rows, &heard, plan.shared_tokens, named);
    details.hear(&heard);
    spread(&mut point, rows, &plan.addresses);
    if let Some(price) = plan.price {
        point.price(price);
    }
    Ok((point, details))
}

/// Goes through the chunks of a record.
fn with_chunks<T>(
    run: &StoredRun,
    recounts: &mut Recounts,
    go: impl FnOnce(&mut dyn Iterator<Item = ChunkRow>) -> T,
) -> Result<T, RunError> {
    let mut failure = None;
    let chunks = run.chunks()?.map_while(|row| row.map_err(|error| failure = Some(error)).ok());
    let mut chunks = chunks.map(|mut chunk| {
        recounts.amend_chunk(&mut chunk);
        chunk
    });
    let result = go(&mut chunks);
    failure.map_or(Ok(result), |error| Err(error.into()))
}

/// The embedded engine shares this machine with its client: say so where it could not keep up.
fn doubt_engine(plan: &Plan, point: &mut Point) {
    let Some(late) = plan.engine_lateness.filter(|late| *late > ENGINE_LATENESS_MAX) else {
        return;
    };
    let late = late.as_secs_f64() * 1e3;
    point.trust.verdict = point.trust.verdict.max(Trust::Doubtful);
    point.trust.caveats.push(Caveat {
        code: CaveatCode::ClientBound,
        lowers_to: Trust::Doubtful,
        detail: format!("the embedded engine wrote its tokens late: p99 {late:.3} ms"),
        hint: "lower the load, or free this machine's cores".to_owned(),
    });
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
    use infermark_measure::{Build, LoadPlan, WindowSearch};
    use infermark_terms::{
        ChunkKind, Effort, EventCounts, FinishReason, Outcome, OutputPolicy, Slo, StampSource,
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
            turn: None,
            class: None,
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
            address: None,
            attempts: 0,
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
    fn the_window_ends_where_the_load_did() {
        let (start, end) = (Stamp::ZERO, Stamp::ZERO + Nanos::from_secs(10));
        let span = |end| WindowPlan::Span { start, end };
        let point = PointPlan {
            load: LoadPlan::Closed { concurrency: 1 },
            window: span(end),
            output_policy: OutputPolicy::Natural,
            build: Build::Debug,
            gpus: None,
            slo: Slo::default(),
            search: WindowSearch::Given,
        };
        let preflight = Preflight::default();
        let plan = Plan {
            point,
            requests: None,
            stopped: None,
            engine_lateness: None,
            price: None,
            calibrated: None,
            client: None,
            preflight,
            physics: None,
            shared_tokens: None,
            classes: Vec::new(),
            addresses: Vec::new(),
        };
        let rows = [row(0), row(1)];
        assert_eq!(loaded(&plan, &rows, Reach::Whole), span(end));
        let quota = Plan { requests: Some(2), ..plan.clone() };
        assert_eq!(loaded(&quota, &rows, Reach::Whole), WindowPlan::Whole { start });
        let unspent = Plan { requests: Some(3), ..plan.clone() };
        assert_eq!(loaded(&unspent, &rows, Reach::Whole), span(end));
        assert_eq!(loaded(&plan, &rows, Reach::Cut), span(rows[0].end));
        let at = Stamp::ZERO + Nanos::from_secs(3);
        let stopped = Plan { stopped: Some(at), ..plan.clone() };
        assert_eq!(loaded(&stopped, &rows, Reach::Cut), span(at));
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
        let wall = Nanos::from_secs(1);
        let thread = Effort { wall, reads: 7, ..Effort::default() };
        let plan = Plan {
            point: PointPlan {
                load: LoadPlan::Closed { concurrency: 1 },
                window: WindowPlan::Whole { start: Stamp::ZERO },
                output_policy: OutputPolicy::Natural,
                build: Build::Debug,
                gpus: None,
                slo: Slo::default(),
                search: WindowSearch::Given,
            },
            requests: None,
            stopped: None,
            engine_lateness: None,
            price: None,
            calibrated: None,
            client: Some(Client { threads: vec![thread], ..Client::default() }),
            preflight: Preflight::default(),
            physics: None,
            shared_tokens: None,
            classes: Vec::new(),
            addresses: Vec::new(),
        };
        let header = RunFile { plan: serde_json::to_value(&plan).unwrap(), ..header };
        let measured = finish(writer, header, &plan, Some(&Letters)).unwrap();
        assert_eq!(measured.point.tokens.output_mean, Some(7.0));
        assert!(measured.point.latency.itl_ms.is_none(), "an estimate times no token");
        let again = measure_again(&measured.dir).unwrap();
        assert_eq!(again.point, measured.point);
        let client = again.point.client.unwrap();
        assert_eq!(client.threads[0].reads, 7, "the proof is part of the record");
        let chunks = open(&measured.dir).unwrap().chunks().unwrap();
        let tokens: Vec<_> = chunks.map(|chunk| chunk.unwrap().tokens).collect();
        assert_eq!(tokens, [Some(3), None, Some(4)]);
    }
}
