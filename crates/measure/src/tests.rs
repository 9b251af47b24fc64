//! What several modules' tests share, and the laws of [`measure`] as a whole.

use infermark_terms::{
    CaveatCode, ChunkKind, ChunkRow, ConnectPhases, EventCounts, Excerpt, FinishReason, Nanos,
    Outcome, OutputPolicy, Phase, RequestId, RequestRow, ShedReason, Slo, Stamp, StampSource,
    TransportFault, Trust, Turn, Usage,
};
use proptest::prelude::*;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::population::{Population, Roster};
use crate::saturation::backlog;
use crate::span::Span;
use crate::{
    ArrivalLaw, Build, Decision, Estimate, Found, Latency, LoadPlan, Physics, Point, PointPlan,
    RateCourse, Ruling, Stamps, TokenSource, Window, WindowPlan, WindowSearch, measure,
};

/// Random numbers from a fixed seed.
pub(crate) struct Noise(Pcg64Mcg);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed))
    }

    /// Draws uniformly from (0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        ((self.0.next_u64() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    /// Draws from the exponential law of mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -self.uniform().ln()
    }

    /// Draws from the gamma law of mean 1 and this coefficient of variation, above 1: Ahrens and
    /// Dieter's algorithm GS (1974, Computing 12:223).
    pub(crate) fn gamma(&mut self, cv: f64) -> f64 {
        let shape = cv.powi(-2);
        let turn = 1.0 + shape / std::f64::consts::E;
        loop {
            let p = turn * self.uniform();
            let (draw, accepted) = if p <= 1.0 {
                let draw = p.powf(1.0 / shape);
                (draw, (-draw).exp())
            } else {
                let draw = -((turn - p) / shape).ln();
                (draw, draw.powf(shape - 1.0))
            };
            if self.uniform() <= accepted {
                return draw / shape;
            }
        }
    }
}

/// Returns a request that finished at once and saw nothing.
pub(crate) fn row(id: u64) -> RequestRow {
    RequestRow {
        id: RequestId(id),
        shard: 0,
        turn: None,
        class: None,
        due: Stamp::ZERO,
        connected: None,
        connect: None,
        sent: None,
        first_byte: None,
        first_token: None,
        first_answer: None,
        last_token: None,
        end: Stamp::ZERO,
        stamps: StampSource::Clock,
        outcome: Outcome::Finished { reason: FinishReason::Stop },
        asked_input: None,
        asked_output: None,
        usage: None,
        tokenized: None,
        chunks: 0,
        coalesced: 0,
        events: EventCounts::default(),
        bytes: 0,
        read_delay_max: None,
        address: None,
        attempts: 0,
    }
}

/// A chunk of a request: when, how many tokens, and whether an earlier chunk shared its read.
#[derive(Clone, Copy, Debug)]
struct Piece {
    at_ms: u64,
    tokens: Option<u32>,
    coalesced: bool,
}

const fn piece(at_ms: u64, tokens: u32) -> Piece {
    Piece { at_ms, tokens: Some(tokens), coalesced: false }
}

const fn joined(at_ms: u64, tokens: u32) -> Piece {
    Piece { at_ms, tokens: Some(tokens), coalesced: true }
}

const fn millis(ms: u64) -> Stamp {
    Stamp(ms * 1_000_000)
}

/// Rows of a run under construction.
#[derive(Clone, Debug, Default)]
struct Run {
    rows: Vec<RequestRow>,
    chunks: Vec<ChunkRow>,
}

impl Run {
    /// Adds a streamed answer of these pieces, which ended 10 ms after the last of them.
    fn streamed(
        &mut self,
        id: u64,
        [due, sent]: [u64; 2],
        usage: (u32, u32),
        pieces: &[Piece],
    ) -> &mut RequestRow {
        let (first, last) = (pieces[0].at_ms, pieces[pieces.len() - 1].at_ms);
        self.chunks.extend(pieces.iter().map(|piece| ChunkRow {
            request: RequestId(id),
            at: millis(piece.at_ms),
            kind: ChunkKind::Answer,
            tokens: piece.tokens,
            text_bytes: 4,
            coalesced: piece.coalesced,
            read_delay: Nanos::ZERO,
        }));
        self.rows.push(RequestRow {
            due: millis(due),
            sent: Some(millis(sent)),
            first_byte: Some(millis(first)),
            first_token: Some(millis(first)),
            first_answer: Some(millis(first)),
            last_token: Some(millis(last)),
            end: millis(last + 10),
            usage: Some(Usage {
                prompt_tokens: usage.0,
                completion_tokens: usage.1,
                ..Usage::default()
            }),
            chunks: pieces.len() as u32,
            coalesced: pieces.iter().filter(|piece| piece.coalesced).count() as u32,
            ..row(id)
        });
        self.rows.last_mut().expect("a row was pushed")
    }

    fn measure(&self, plan: &PointPlan) -> Point {
        measure(plan, &self.rows, self.chunks.iter().copied())
    }
}

fn assert_near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
}

fn plan(start_ms: u64, end_ms: u64) -> PointPlan {
    PointPlan {
        load: LoadPlan::Closed { concurrency: 2 },
        window: WindowPlan::Span { start: millis(start_ms), end: millis(end_ms) },
        output_policy: OutputPolicy::Natural,
        build: Build::Release,
        gpus: None,
        slo: Slo::default(),
        search: WindowSearch::Given,
    }
}

/// One request of the warm-up that reaches into the window, one within it, one refused, and one
/// that outlives it.
fn small_run() -> Run {
    let mut run = Run::default();
    let _ = run.streamed(0, [500, 501], (10, 2), &[piece(600, 1), piece(1100, 1)]);
    let pieces = [piece(1100, 1), piece(1120, 1), joined(1120, 1), piece(1150, 2)];
    run.streamed(1, [1000, 1002], (20, 5), &pieces).connect =
        Some(ConnectPhases { tcp: Nanos::from_millis(1), ..ConnectPhases::default() });
    run.rows.push(RequestRow {
        due: millis(2000),
        sent: Some(millis(2000)),
        end: millis(2005),
        outcome: Outcome::Refused { status: 429, message: Excerpt::new("slow down") },
        ..row(2)
    });
    let _ =
        run.streamed(9, [2500, 2500], (30, 3), &[piece(2700, 1), piece(2900, 1), piece(3100, 1)]);
    run
}

/// The rows of [`a_point`].
pub(crate) fn small_rows() -> Vec<RequestRow> {
    small_run().rows
}

/// Measures rows that were due in the first second.
pub(crate) fn measured(rows: &[RequestRow]) -> Point {
    measure(&plan(0, 1000), rows, [])
}

/// A point with a request in it, of which nobody reported anything.
pub(crate) fn a_point() -> Point {
    small_run().measure(&plan(1000, 3000))
}

#[test]
fn a_small_run_is_measured_as_by_hand() {
    let point = small_run().measure(&PointPlan { gpus: Some(2), ..plan(1000, 3000) });
    let shown = serde_json::to_string_pretty(&point).unwrap();
    assert_eq!(shown.trim(), include_str!("tests/small_run.json").trim(), "{shown}");
    let value = serde_json::to_value(&point).unwrap();
    assert_eq!(serde_json::from_value::<Point>(value).unwrap(), point);
}

#[test]
fn a_run_bounded_by_its_requests_is_measured_to_its_last_end() {
    let point = small_run()
        .measure(&PointPlan { window: WindowPlan::Whole { start: millis(900) }, ..plan(0, 0) });
    assert_eq!((point.window.start_s, point.window.end_s), (1.0, 3.110_000_001));
    // The end of the last request lies in the window too: with it, three ended there.
    let seconds = 2.110_000_001;
    let rates = point.rates.unwrap();
    assert_near(rates.requests_per_s * seconds, 3.0);
    assert_near(rates.output_tokens_per_s * seconds, 9.0);
}

#[test]
fn nothing_at_all_is_void_and_has_no_figures() {
    let point = Run::default().measure(&plan(0, 1000));
    assert_eq!(point.trust.verdict, Trust::Void);
    assert_eq!(point.latency, Latency::default());
    assert_eq!((point.window.whole_run, point.counts.failure_rate), (None, None));
    assert_eq!((point.stamps, point.tokens.input_mean), (None, None));
    let empty = small_run().measure(&plan(1000, 1000));
    assert_eq!((empty.rates, empty.concurrency), (None, None));
    assert!(!serde_json::to_string(&empty).unwrap().contains("null"));
}

#[test]
fn an_answer_that_is_not_streamed_has_no_first_token_and_counts_at_its_end() {
    let mut run = Run::default();
    run.rows.push(RequestRow {
        due: millis(0),
        sent: Some(millis(0)),
        first_byte: Some(millis(390)),
        end: millis(400),
        usage: Some(Usage { prompt_tokens: 7, completion_tokens: 50, ..Usage::default() }),
        ..row(0)
    });
    let point = run.measure(&plan(0, 1000));
    let latency = point.latency;
    assert_eq!((latency.ttft_ms, latency.tpot_ms, latency.stall_ms), (None, None, None));
    assert_eq!(latency.e2e_ms.map(|e2e| e2e.max), Some(400.0));
    let rates = point.rates.unwrap();
    assert_eq!((rates.output_tokens_per_s, rates.input_tokens_per_s), (50.0, Some(7.0)));
    assert_near(run.measure(&plan(0, 400)).rates.unwrap().output_tokens_per_s, 0.0);
}

#[test]
fn an_answer_that_came_in_one_read_has_no_time_per_token() {
    let mut run = Run::default();
    let _ = run.streamed(0, [0, 0], (1, 3), &[piece(100, 1), joined(100, 1), joined(100, 1)]);
    let point = run.measure(&plan(0, 1000));
    let latency = point.latency;
    assert_eq!((latency.tpot_ms, latency.icl_ms, latency.stall_ms), (None, None, None));
    assert_eq!(point.rates.unwrap().output_tokens_per_s_per_user, None);
    assert_eq!(latency.e2e_ms.map(|e2e| e2e.max), Some(100.0));
    assert_eq!(codes(&point), [CaveatCode::TooFewSamples], "no identity is broken");
    // Beside answers whose tokens were seen apart, it does not count.
    let _ = run.streamed(1, [0, 0], (1, 2), &[piece(100, 1), piece(150, 1)]);
    let point = run.measure(&plan(0, 1000));
    assert_eq!(point.latency.tpot_ms.map(|tpot| (tpot.n, tpot.min)), Some((1, 50.0)));
    assert_eq!(point.rates.unwrap().output_tokens_per_s_per_user, Some(20.0));
}

#[test]
fn tokens_of_unknown_chunks_are_spread_by_their_text_and_have_no_gaps() {
    let mut run = Run::default();
    let unknown = |at_ms| Piece { at_ms, tokens: None, coalesced: false };
    let pieces = [unknown(100), unknown(200), unknown(1200)];
    let _ = run.streamed(0, [0, 0], (1, 40), &pieces);
    run.chunks[1].text_bytes = 12;
    let point = run.measure(&plan(0, 1000));
    // 16 of 20 bytes arrived within the second.
    assert_near(point.rates.unwrap().output_tokens_per_s, 32.0);
    assert_eq!(point.latency.itl_ms, None);
    assert_eq!(point.latency.icl_ms.map(|icl| icl.n), Some(2));
    // Without the chunks: 900 of the 1100 ms between the first and the last.
    run.chunks.clear();
    let point = run.measure(&plan(0, 1000));
    assert_near(point.rates.unwrap().output_tokens_per_s, 40.0 * 900.0 / 1100.0);
    assert_eq!((point.latency.icl_ms, point.latency.stall_ms), (None, None));
    // As many chunks as tokens: each is one token.
    let mut run = Run::default();
    let _ = run.streamed(0, [0, 0], (1, 3), &pieces);
    assert_eq!(run.measure(&plan(0, 1000)).latency.itl_ms.map(|itl| itl.max), Some(1000.0));
    // But not where the tokens were counted by the chunks.
    run.rows[0].usage = None;
    let point = run.measure(&plan(0, 1000));
    assert_eq!(point.latency.itl_ms, None);
    assert_eq!(point.tokens.source, Some(TokenSource::Chunks));
}

#[test]
fn chunks_of_a_request_that_left_no_row_still_count_for_the_rate() {
    let mut run = small_run();
    run.rows.retain(|row| row.id != RequestId(9));
    let rates = run.measure(&plan(1000, 3000)).rates.unwrap();
    assert_near(rates.output_tokens_per_s, 4.0);
}

#[test]
fn an_ordered_length_that_was_not_served_is_a_failure() {
    let mut run = small_run();
    run.rows[1].asked_output = Some(6);
    let exact = PointPlan { output_policy: OutputPolicy::Exact, ..plan(1000, 3000) };
    let point = run.measure(&exact);
    assert_eq!((point.counts.finished, point.counts.success, point.counts.failed), (2, 1, 2));
    assert!(codes(&point).contains(&CaveatCode::OutputLengthOff));
    assert_eq!(run.measure(&plan(1000, 3000)).counts.success, 2);
    // A count that is not the server's own convicts nobody.
    run.rows[1].usage = None;
    assert_eq!(run.measure(&exact).counts.success, 2);
}

fn codes(point: &Point) -> Vec<CaveatCode> {
    point.trust.caveats.iter().map(|caveat| caveat.code).collect()
}

/// 200 requests, due at these instants, each 100 ms to the first of 11 tokens and 10 ms to each
/// further one.
fn even_run(dues_ms: impl IntoIterator<Item = f64>) -> Run {
    let mut run = Run::default();
    for (id, due_ms) in dues_ms.into_iter().enumerate() {
        let pieces: Vec<_> = (0..11).map(|k| piece(100 + 10 * k, 1)).collect();
        let from = run.chunks.len();
        let due = Nanos::from_secs_f64(due_ms / 1e3);
        let row = run.streamed(id as u64, [0, 0], (64, 11), &pieces);
        row.asked_input = Some(64);
        row.asked_output = Some(11);
        row.due = row.due + due;
        row.end = row.end + due;
        for at in [&mut row.sent, &mut row.first_byte, &mut row.first_token] {
            *at = at.map(|at| at + due);
        }
        for at in [&mut row.first_answer, &mut row.last_token] {
            *at = at.map(|at| at + due);
        }
        for chunk in &mut run.chunks[from..] {
            chunk.at = chunk.at + due;
        }
    }
    run
}

fn closed_run() -> Run {
    even_run((0..200).map(|k| f64::from(k) * 50.0))
}

fn open_plan(arrivals: ArrivalLaw) -> PointPlan {
    let load = LoadPlan::Open { rate_rps: 20.0, arrivals, course: RateCourse::Steady };
    PointPlan { load, ..plan(0, 10_000) }
}

/// The verdict and the codes of a run that would be sound but for `harm`.
fn verdict_after(harm: impl Fn(&mut RequestRow)) -> (Trust, Vec<CaveatCode>) {
    let mut run = closed_run();
    run.rows.iter_mut().for_each(harm);
    let point = run.measure(&plan(0, 10_000));
    (point.trust.verdict, codes(&point))
}

#[test]
fn a_run_without_blemish_is_sound() {
    assert_eq!(verdict_after(|_| {}), (Trust::Sound, vec![]));
}

#[test]
fn each_doubt_has_its_cause() {
    use CaveatCode::{ClientBound, IdentityBroken, MixedSources, OutputLengthOff, PromptLengthOff};
    let doubtful = |code| (Trust::Doubtful, vec![code]);
    let later = |ms| move |row: &mut RequestRow| row.sent = Some(row.due + Nanos::from_millis(ms));
    assert_eq!(verdict_after(later(4)), (Trust::Sound, vec![]));
    assert_eq!(verdict_after(later(6)), doubtful(ClientBound));
    assert_eq!(verdict_after(later(60)), (Trust::Void, vec![ClientBound]));
    let slow_reads = |row: &mut RequestRow| {
        row.stamps = StampSource::Kernel;
        row.read_delay_max = Some(Nanos::from_millis(2));
    };
    assert_eq!(verdict_after(slow_reads), (Trust::Sound, vec![]), "the chunks say otherwise");
    let mut run = closed_run();
    run.rows.iter_mut().for_each(slow_reads);
    run.chunks.clear();
    assert_eq!(codes(&run.measure(&plan(0, 10_000))), [ClientBound]);
    let ask = |input, output| {
        move |row: &mut RequestRow| {
            (row.asked_input, row.asked_output) = (Some(input), Some(output));
        }
    };
    assert_eq!(verdict_after(ask(66, 11)), doubtful(PromptLengthOff));
    assert_eq!(verdict_after(ask(64, 10)), doubtful(OutputLengthOff));
    assert_eq!(verdict_after(ask(64, 99)), (Trust::Sound, vec![]), "a limit was kept");
    let early = |row: &mut RequestRow| row.sent = row.first_token.map(|at| at + Nanos(2_000_000));
    assert!(verdict_after(early).1.contains(&IdentityBroken));
    let refused_early = |row: &mut RequestRow| {
        if row.id.0 == 7 {
            early(row);
            row.outcome = Outcome::Refused { status: 413, message: Excerpt::default() };
        }
    };
    assert_eq!(verdict_after(refused_early), (Trust::Sound, vec![]));
    let odd = |row: &mut RequestRow| {
        if row.id.0 == 7 {
            row.tokenized = row.usage.take().map(|usage| usage.completion_tokens);
        }
    };
    assert_eq!(verdict_after(odd), doubtful(MixedSources));
}

/// The details of the broken identities of a run that would be sound but for `harm`.
fn identities_after(harm: impl Fn(&mut RequestRow)) -> Vec<String> {
    let mut run = closed_run();
    run.rows.iter_mut().for_each(harm);
    let caveats = run.measure(&plan(0, 10_000)).trust.caveats.into_iter();
    let broken = caveats.filter(|caveat| caveat.code == CaveatCode::IdentityBroken);
    broken.inspect(|c| assert_eq!(c.lowers_to, Trust::Void)).map(|c| c.detail).collect()
}

#[test]
fn each_identity_that_rows_can_break_is_checked() {
    let says = |details: &[String], what: &str| details.iter().any(|d| d.contains(what));
    assert_eq!(identities_after(|_| {}), [""; 0]);
    // An answer before its question: E2E counts from `due`, and TTFT cannot be negative.
    let before = |row: &mut RequestRow| {
        if row.id.0 == 7 {
            row.first_token = Some(Stamp(row.due.0 - 5_000_000));
        }
    };
    let found = identities_after(before);
    assert!(says(&found, "instants of 1 requests"), "{found:?}");
    assert!(says(&found, "E2E is not TTFT + TPOT·(n−1) for 1 requests"), "{found:?}");
    // Answers that go on after their requests ended.
    let after = |row: &mut RequestRow| {
        row.last_token = Some(row.end + Nanos::from_millis(300));
    };
    let found = identities_after(after);
    assert!(says(&found, "the rate exceeds concurrency ÷ TPOT"), "{found:?}");
    let slightly = |row: &mut RequestRow| row.last_token = Some(row.end + Nanos::from_micros(900));
    assert_eq!(identities_after(slightly), [""; 0], "two clocks are that far apart");
}

#[test]
fn a_result_better_than_the_hardware_is_doubted() {
    let point = closed_run().measure(&plan(0, 10_000));
    let tpot = point.latency.tpot_ms.unwrap().mean;
    let rate = point.rates.unwrap().output_tokens_per_s;
    let fits = Physics { step_ms_min: tpot, output_tokens_per_s_max: rate };
    assert_eq!(fits.doubt(&point), None, "the bounds can be reached");
    let slower = Physics { step_ms_min: tpot * 1.01, ..fits };
    let doubt = slower.doubt(&point).unwrap();
    assert_eq!((doubt.code, doubt.lowers_to), (CaveatCode::BelowPhysics, Trust::Doubtful));
    assert!(doubt.detail.contains("a step took") && !doubt.detail.contains("tokens/s"));
    let weaker = Physics { output_tokens_per_s_max: rate * 0.99, ..fits };
    assert!(weaker.doubt(&point).unwrap().detail.contains("output tokens/s"));
    let mut guessing = point;
    guessing.tokens.per_chunk_mean = Some(2.0);
    assert_eq!(slower.doubt(&guessing), None, "two tokens came of one step");
}

#[test]
fn the_plan_itself_can_raise_doubts() {
    let debug = PointPlan { build: Build::Debug, ..plan(0, 10_000) };
    assert_eq!(codes(&closed_run().measure(&debug)), [CaveatCode::DebugBuild]);
    let few = closed_run().measure(&plan(0, 4_000));
    assert_eq!((few.counts.success, codes(&few)), (80, vec![CaveatCode::TooFewSamples]));
    assert_eq!(few.trust.verdict, Trust::Sound, "p99 is absent, and the rest holds");
    let verdict = |end_ms| {
        let point = closed_run().measure(&plan(0, end_ms));
        (point.counts.success, point.trust.verdict)
    };
    assert_eq!(verdict(1000), (20, Trust::Sound));
    assert_eq!(verdict(950), (19, Trust::Doubtful));
}

#[test]
fn a_limit_of_this_machine_voids_the_result() {
    let short = |row: &mut RequestRow| {
        if row.id.0 == 7 {
            let fault = TransportFault::LocalLimit(Excerpt::new("too many open files"));
            row.outcome = Outcome::Severed { phase: Phase::Connect, fault };
        }
    };
    assert_eq!(verdict_after(short), (Trust::Void, vec![CaveatCode::ClientBound]));
    let mut run = closed_run();
    run.rows.iter_mut().for_each(short);
    let point = run.measure(&plan(0, 10_000));
    assert!(point.trust.caveats[0].detail.contains("1 of the 200"));
    assert!(point.trust.caveats[0].hint.contains("`ulimit -n`"));
    assert_eq!(codes(&run.measure(&plan(400, 10_000))), [], "it was not due in the window");
}

#[test]
fn the_lag_of_a_batch_is_its_sending() {
    // One after the other, until all were sent.
    let lagging = |last_ms: f64| {
        let mut run = even_run((0..200).map(|_| 0.0));
        for row in &mut run.rows {
            let lag_ms = last_ms * row.id.0 as f64 / 199.0;
            row.sent = Some(row.due + Nanos::from_secs_f64(lag_ms / 1e3));
        }
        run
    };
    let verdict = |run: &Run| {
        let point = run.measure(&plan(0, 10_000));
        (point.trust.verdict, codes(&point))
    };
    assert_eq!(verdict(&lagging(40.0)), (Trust::Sound, vec![]));
    assert_eq!(verdict(&lagging(90.0)), (Trust::Doubtful, vec![CaveatCode::ClientBound]));
    let mut two_batches = lagging(40.0);
    two_batches.rows[0].due = millis(1);
    assert_eq!(verdict(&two_batches), (Trust::Doubtful, vec![CaveatCode::ClientBound]));
}

#[test]
fn the_hint_of_a_late_generator_fits_the_load() {
    let hint = |mut run: Run, plan: &PointPlan| {
        for row in &mut run.rows {
            row.sent = Some(row.due + Nanos::from_millis(10));
        }
        run.measure(plan).trust.caveats[0].hint.clone()
    };
    assert_eq!(hint(closed_run(), &plan(0, 10_000)), "free this machine's cores");
    let open = hint(closed_run(), &open_plan(ArrivalLaw::Constant));
    assert!(open.contains("concurrency cap") && !open.contains("threads"), "{open}");
    let crowd = hint(even_run((0..200).map(f64::from)), &plan(0, 10_000));
    assert!(crowd.contains("threads") && !crowd.contains("cap"), "{crowd}");
}

#[test]
fn the_stamps_of_the_first_connections_raise_no_doubt() {
    let stamped = |clock: u64, requests: usize| {
        let mut run = closed_run();
        run.rows.truncate(requests);
        for row in &mut run.rows {
            let late = row.id.0 >= clock;
            row.stamps = if late { StampSource::Kernel } else { StampSource::Clock };
        }
        let point = run.measure(&plan(0, 10_000));
        (point.stamps, codes(&point).contains(&CaveatCode::MixedSources))
    };
    assert_eq!(stamped(0, 200), (Some(Stamps::Kernel), false));
    assert_eq!(stamped(20, 200), (Some(Stamps::Mixed), false));
    assert_eq!(stamped(21, 200), (Some(Stamps::Mixed), true));
    assert_eq!(stamped(10, 19), (Some(Stamps::Mixed), false), "too few to judge");
    assert_eq!(stamped(200, 200), (Some(Stamps::Clock), false));
}

#[test]
fn where_all_fail_the_result_is_void_and_names_the_failure() {
    let mut run = closed_run();
    for row in &mut run.rows {
        row.outcome = Outcome::Expired { phase: Phase::Stream, limit: Nanos::from_secs(1) };
    }
    let point = run.measure(&plan(0, 10_000));
    assert_eq!(point.trust.verdict, Trust::Void);
    assert!(point.trust.caveats[0].hint.ends_with("no end within 1s, while streaming"));
    assert_eq!((point.counts.expired, point.counts.failure_rate), (200, Some(1.0)));
    assert_eq!((point.latency.ttft_ms, point.latency.icl_ms), (None, None));
    assert!(point.latency.lag_ms.is_some());
}

#[test]
fn arrivals_are_held_against_the_law_that_was_asked() {
    let mut noise = Noise::new(5);
    let mut at = 0.0;
    let poisson = even_run((0..200).map(|_| {
        at += noise.exponential() * 50.0;
        at
    }));
    let constant = closed_run();
    let doubts = |run: &Run, law| codes(&run.measure(&open_plan(law)));
    let off = [CaveatCode::StimulusOff];
    assert_eq!(doubts(&poisson, ArrivalLaw::Poisson), []);
    assert_eq!(doubts(&poisson, ArrivalLaw::Gamma { cv: 4.0 }), off);
    assert_eq!(doubts(&constant, ArrivalLaw::Constant), []);
    assert_eq!(doubts(&constant, ArrivalLaw::Poisson), off);
    let drifting = even_run((0..200).map(|k| f64::from(k) * 49.0));
    assert_eq!(doubts(&drifting, ArrivalLaw::Constant), off);
    // A sender takes a while for each request, so bursts leave as trains.
    let mut at = 0.0;
    let mut bursty = even_run((0..400).map(|_| {
        at += noise.gamma(3.0) * 50.0;
        at
    }));
    let mut free = Stamp::ZERO;
    for row in &mut bursty.rows {
        row.sent = row.sent.map(|at| at.max(free));
        free = row.sent.expect("it was sent") + Nanos(20_000);
    }
    assert_eq!(doubts(&bursty, ArrivalLaw::Gamma { cv: 3.0 }), []);
    assert_eq!(doubts(&bursty, ArrivalLaw::Poisson), off);
}

#[test]
fn reads_that_were_late_throughout_are_the_generators_and_one_hiccup_is_not() {
    // Of 200 requests these have one late read, the longest.
    let doubts = |is_late: fn(u64) -> bool| {
        let mut run = closed_run();
        run.chunks.clear();
        for row in &mut run.rows {
            row.stamps = StampSource::Kernel;
            row.read_delay_max = Some(Nanos::from_millis(if is_late(row.id.0) { 5 } else { 0 }));
        }
        let point = run.measure(&plan(0, 10_000));
        assert_eq!(point.read_delay_ms.unwrap().p99, Some(5.0));
        codes(&point)
    };
    assert_eq!(doubts(|id| id % 10 < 3), [CaveatCode::ClientBound]);
    assert_eq!(doubts(|id| (100..105).contains(&id)), []);
}

#[test]
fn the_stimulus_is_told_in_figures() {
    let open = closed_run().measure(&open_plan(ArrivalLaw::Constant)).stimulus.unwrap();
    assert_eq!((open.sent, open.sent_share), (Some(200), Some(1.0)));
    assert!((open.rate_share.unwrap() - 1.0).abs() < 1e-9, "{open:?}");
    assert_eq!((open.gaps, open.in_flight_share, open.plateau_share), (None, None, None));
    let poisson = closed_run().measure(&open_plan(ArrivalLaw::Poisson)).stimulus.unwrap();
    let fit = poisson.gaps.unwrap();
    // Gaps of the mean, all of them: the exponential law is at 1 - 1/e there.
    let farthest = 1.0 - (-1.0_f64).exp();
    assert!(fit.n == 199 && (fit.ks_distance - farthest).abs() < 1e-6 && fit.p < 1e-9, "{fit:?}");
    // One of two slots is in use throughout, and both for half of the time.
    let mut halved = Run::default();
    for (id, (from, to)) in [(0, 10_000), (0, 2_500), (5_000, 7_500)].into_iter().enumerate() {
        let mut row = row(id as u64);
        (row.due, row.sent, row.end) = (millis(from), Some(millis(from)), millis(to));
        halved.rows.push(row);
    }
    let closed = halved.measure(&plan(0, 10_000)).stimulus.unwrap();
    assert_eq!((closed.in_flight_share, closed.plateau_share), (Some(0.75), Some(0.5)));
    assert_eq!((closed.sent, closed.rate_share, closed.gaps), (None, None, None));
}

#[test]
fn arrivals_that_were_not_sent_are_missed() {
    let mut run = closed_run();
    for row in &mut run.rows[150..153] {
        row.outcome = Outcome::Shed { reason: ShedReason::ConcurrencyCap };
        row.sent = None;
    }
    let ramp =
        LoadPlan::Open { rate_rps: 20.0, arrivals: ArrivalLaw::Constant, course: RateCourse::Ramp };
    let point = run.measure(&PointPlan { load: ramp, ..plan(0, 10_000) });
    assert_eq!(codes(&point), [CaveatCode::StimulusOff]);
    assert_eq!(point.counts.shed, 3);
    assert_eq!(run.measure(&plan(0, 10_000)).trust.verdict, Trust::Sound, "slots have no rate");
}

#[test]
fn a_replay_is_held_against_the_traces_own_instants() {
    let dues: Vec<f64> = (0..200).map(|k| f64::from(k * k) / 4.0).collect();
    let run = even_run(dues.iter().copied());
    let instants: Vec<Nanos> = run.rows.iter().map(|row| row.due.since(Stamp::ZERO)).collect();
    let span = Nanos::from_secs(11);
    let load = LoadPlan::trace(&instants, 2.0, Some(span));
    let LoadPlan::Trace { requests, rate_rps, deciles_s, .. } = load else { panic!("a trace") };
    assert_eq!((requests, deciles_s[0]), (200, 0.0));
    assert_near(rate_rps.unwrap(), 200.0 / 11.0);
    assert_near(deciles_s[10], instants[199].as_secs_f64());
    let text = serde_json::to_string(&load).unwrap();
    assert_eq!(serde_json::from_str::<LoadPlan>(&text).unwrap(), load);

    let of = |run: &Run, end_ms| codes(&run.measure(&PointPlan { load, ..plan(0, end_ms) }));
    assert_eq!(of(&run, 11_000), []);
    // A run that was cut short is held against what it reached, one that was not against all.
    let mut short = run.clone();
    short.rows.retain(|row| row.due < millis(5_000));
    assert_eq!(of(&short, 5_000), []);
    assert_eq!(of(&short, 11_000), [CaveatCode::StimulusOff]);
    // Requests that are due later than the trace has them would show no lag.
    let mut late = run.clone();
    for row in &mut late.rows {
        row.due = row.due + Nanos::from_millis(200);
        row.sent = row.sent.map(|at| at + Nanos::from_millis(200));
    }
    assert!(of(&late, 11_000).contains(&CaveatCode::StimulusOff));
}

/// A random run: per request its due instant, its waits, its pieces as (gap in ms, tokens,
/// coalesced), and whether the tokens of its chunks are known.
fn any_run() -> impl Strategy<Value = Run> {
    let pieces = prop::collection::vec((1_u64..60, 1_u32..4, prop::bool::weighted(0.2)), 1..12);
    let request = (0_u64..3000, 0_u64..20, 1_u64..100, pieces, any::<bool>());
    prop::collection::vec(request, 0..60).prop_map(|requests| {
        let mut run = Run::default();
        for (index, (due, wait, think, steps, known)) in requests.into_iter().enumerate() {
            let mut at_ms = due + wait + think;
            let mut pieces = Vec::new();
            for (gap, tokens, coalesced) in steps {
                let coalesced = coalesced && !pieces.is_empty();
                at_ms += if coalesced { 0 } else { gap };
                pieces.push(Piece { at_ms, tokens: known.then_some(tokens), coalesced });
            }
            let total = pieces.iter().map(|piece| piece.tokens.unwrap_or(2)).sum();
            // Ids with gaps, not in the order of due.
            let id = index as u64 * 3 + 7;
            let row = run.streamed(id, [due, due + wait], (5, total), &pieces);
            if index % 7 == 3 {
                row.outcome = Outcome::Abandoned;
            }
        }
        run
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_rows_changes_nothing(run in any_run(), seed in any::<u64>()) {
        let mut noise = Noise::new(seed);
        let mut shuffled = run.clone();
        shuffled.rows.sort_by_cached_key(|_| (noise.uniform() * 1e9) as u64);
        // In the order of time, as a record has them: requests interleave.
        shuffled.chunks.sort_by_key(|chunk| chunk.at);
        prop_assert_eq!(shuffled.measure(&plan(500, 2500)), run.measure(&plan(500, 2500)));
    }

    #[test]
    fn several_objectives_in_one_pass_are_judged_as_each_alone(run in any_run()) {
        let slos = [
            "ttft:p50<=60ms,failure_rate<=10%",
            // The same figures with other limits, and limits of each request of their own.
            "ttft:p50<=40ms,itl:mean<=30ms,output_tokens_per_s>=20",
            "ttft<=50ms,good_share>=50%",
            "tpot<=20ms,good_share>=50%,goodput_rps>=2",
        ];
        let slos = slos.map(|slo| slo.parse::<Slo>().unwrap());
        let plan = plan(500, 2500);
        let alone = slos.clone().map(|slo| run.measure(&PointPlan { slo, ..plan.clone() }).slo);
        let together = super::rulings(&plan, &slos, &run.rows, run.chunks.iter().copied());
        prop_assert_eq!(&together[..], &alone[..]);
    }

    #[test]
    fn a_slower_clock_stretches_every_figure_alike(run in any_run(), factor in 2_u64..9) {
        let mut slow = run.clone();
        let stretch = |at: &mut Stamp| at.0 *= factor;
        for row in &mut slow.rows {
            for at in [&mut row.sent, &mut row.first_token, &mut row.last_token]
                .into_iter()
                .chain([&mut row.first_byte, &mut row.first_answer])
            {
                at.iter_mut().for_each(stretch);
            }
            stretch(&mut row.due);
            stretch(&mut row.end);
        }
        slow.chunks.iter_mut().for_each(|chunk| stretch(&mut chunk.at));
        let fast = run.measure(&plan(500, 2500));
        let slow = slow.measure(&plan(500 * factor, 2500 * factor));
        let times = factor as f64;
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-5 * a.abs().max(b.abs());
        let stretched = |fast: Option<Estimate>, slow: Option<Estimate>| match (fast, slow) {
            (None, None) => true,
            (Some(f), Some(s)) => {
                f.n == s.n
                    && near(f.mean * times, s.mean)
                    && near(f.p50 * times, s.p50)
                    && near(f.max * times, s.max)
            }
            _ => false,
        };
        prop_assert!(stretched(fast.latency.ttft_ms, slow.latency.ttft_ms));
        prop_assert!(stretched(fast.latency.tpot_ms, slow.latency.tpot_ms));
        prop_assert!(stretched(fast.latency.itl_ms, slow.latency.itl_ms));
        prop_assert!(stretched(fast.latency.e2e_ms, slow.latency.e2e_ms));
        let (fast_rates, slow_rates) = (fast.rates.unwrap(), slow.rates.unwrap());
        prop_assert!(near(fast_rates.output_tokens_per_s, slow_rates.output_tokens_per_s * times));
        prop_assert!(near(fast_rates.requests_per_s, slow_rates.requests_per_s * times));
        prop_assert!(near(fast.concurrency.unwrap().mean, slow.concurrency.unwrap().mean));
    }

    #[test]
    fn figures_agree_with_the_definitions_taken_literally(run in any_run()) {
        let point = run.measure(&plan(500, 2500));
        let within = |at: Stamp| millis(500) <= at && at < millis(2500);
        let due = run.rows.iter().filter(|row| within(row.due));
        prop_assert_eq!(point.counts.due, due.clone().count() as u64);
        let successes: Vec<_> =
            due.filter(|row| matches!(row.outcome, Outcome::Finished { .. })).collect();
        prop_assert_eq!(point.counts.success, successes.len() as u64);
        prop_assert!(!codes(&point).contains(&CaveatCode::IdentityBroken));

        let arrived: f64 = run
            .rows
            .iter()
            .flat_map(|row| {
                let even = f64::from(total(row)) / f64::from(row.chunks);
                run.chunks_of(row).into_iter().map(move |chunk| (chunk, even))
            })
            .filter(|(chunk, _)| within(chunk.at))
            .map(|(chunk, even)| chunk.tokens.map_or(even, f64::from))
            .sum();
        let rate = point.rates.unwrap().output_tokens_per_s;
        prop_assert!((rate * 2.0 - arrived).abs() < 1e-6);

        let (mut gaps, mut token_gaps) = (Vec::new(), Vec::new());
        for row in successes {
            for (gap, tokens) in run.gaps_of(row) {
                gaps.push(gap);
                let each = (gap as f64 / f64::from(tokens)).round() as u64;
                token_gaps.extend(std::iter::repeat_n(each, tokens as usize));
            }
        }
        for (estimate, mut values) in
            [(point.latency.icl_ms, gaps), (point.latency.itl_ms, token_gaps)]
        {
            values.sort_unstable();
            prop_assert_eq!(estimate.is_some(), !values.is_empty());
            let Some(estimate) = estimate else { continue };
            let mean = values.iter().sum::<u64>() as f64 / values.len() as f64 / 1e6;
            prop_assert!((estimate.mean - mean).abs() < 1e-9);
            let median = values[values.len().div_ceil(2) - 1] as f64 / 1e6;
            prop_assert!((estimate.p50 - median).abs() < 1e-9);
        }
    }
}

fn total(row: &RequestRow) -> u32 {
    row.usage.unwrap().completion_tokens
}

impl Run {
    fn chunks_of(&self, row: &RequestRow) -> Vec<ChunkRow> {
        self.chunks.iter().copied().filter(|chunk| chunk.request == row.id).collect()
    }

    /// Returns each observed gap with the tokens of the read that ended it, 0 for unknown.
    fn gaps_of(&self, row: &RequestRow) -> Vec<(u64, u32)> {
        let single = row.chunks == total(row);
        let mut reads: Vec<(Stamp, u32)> = Vec::new();
        for chunk in self.chunks_of(row) {
            let tokens = chunk.tokens.unwrap_or(u32::from(single));
            match reads.last_mut() {
                Some(read) if chunk.coalesced => read.1 += tokens,
                _ => reads.push((chunk.at, tokens)),
            }
        }
        reads.windows(2).map(|pair| (pair[1].0.since(pair[0].0).0, pair[1].1)).collect()
    }
}

/// Rulings on bounds over requests of these times to the first token, one every 10 ms.
fn rulings(ttfts_ms: &[f64], slo: &str) -> Vec<Ruling> {
    let mut run = even_run((0..ttfts_ms.len()).map(|k| k as f64 * 10.0));
    run.chunks.clear();
    for (row, ttft) in run.rows.iter_mut().zip(ttfts_ms) {
        row.first_token = Some(row.due + Nanos::from_secs_f64(ttft / 1e3));
        row.last_token = row.first_token.map(|at| at + Nanos::from_millis(90));
        row.end = row.last_token.expect("it was just set");
    }
    let end = 10 * ttfts_ms.len() as u64;
    let slo = slo.parse().unwrap();
    run.measure(&PointPlan { slo, ..plan(0, end) }).slo
}

fn only(ttfts_ms: &[f64], slo: &str) -> Ruling {
    let rulings = rulings(ttfts_ms, slo);
    assert_eq!(rulings.len(), 1);
    rulings[0]
}

/// Distinct values from 100 ms to 200 ms in no order.
fn spread(count: u32) -> Vec<f64> {
    (0..count).map(|k| 100.0 + 100.0 * (f64::from(k) * 0.618_034).fract()).collect()
}

#[test]
fn a_bound_is_met_or_missed_when_the_whole_interval_says_so() {
    let many = spread(1000);
    for (slo, verdict) in [
        ("ttft:mean<=160ms", Decision::Met),
        ("ttft:mean<=140ms", Decision::Missed),
        ("ttft:mean<=150ms", Decision::Undecided),
        ("ttft:p50<=160ms", Decision::Met),
        ("ttft:p50<=140ms", Decision::Missed),
        ("ttft:p99<=201ms", Decision::Met),
        ("ttft:p99<=199ms", Decision::Undecided),
        ("ttft:p99<=190ms", Decision::Missed),
        ("ttft:max<=200ms", Decision::Met),
        ("ttft:max<=199ms", Decision::Missed),
        ("failure_rate<=1%", Decision::Met),
        ("failure_rate<=0.1%", Decision::Undecided),
        ("failure_rate<=0%", Decision::Met),
        ("requests_per_s>=50", Decision::Met),
        ("requests_per_s>=150", Decision::Missed),
    ] {
        let ruling = only(&many, slo);
        assert_eq!(ruling.verdict, verdict, "{ruling:?}");
        let undecided = verdict == Decision::Undecided;
        assert!(ruling.more_requests.is_none() || undecided, "{ruling:?}");
        let inside = ruling.margin.is_none_or(|margin| margin >= 0.0);
        assert!(undecided || inside == (verdict == Decision::Met), "{ruling:?}");
    }
}

#[test]
fn a_clear_miss_needs_no_upper_end() {
    let few = spread(60);
    let missed = only(&few, "ttft:p99<=50ms");
    assert_eq!((missed.verdict, missed.value, missed.ci95[1]), (Decision::Missed, None, None));
    let open = only(&few, "ttft:p99<=300ms");
    assert_eq!((open.verdict, open.more_requests), (Decision::Undecided, Some(335)));
    let unseen = only(&few, "output_tokens_per_s_per_gpu>=1");
    assert_eq!((unseen.verdict, unseen.value), (Decision::Undecided, None));
}

#[test]
fn so_many_more_requests_do_decide() {
    for slo in ["ttft:p90<=191.5ms", "failure_rate<=0.1%"] {
        let open = only(&spread(610), slo);
        let more = open.more_requests.expect("it is open");
        let closed = only(&spread(610 + 2 * more as u32), slo);
        let verdicts = (open.verdict, closed.verdict);
        assert_eq!(verdicts, (Decision::Undecided, Decision::Met), "{open:?} {closed:?}");
        let short = only(&spread(610 + more as u32 / 3), slo);
        assert_eq!(short.verdict, Decision::Undecided, "{slo}: {more}");
    }
}

#[test]
fn the_worst_ruling_decides() {
    let of = |slo| Decision::of(&rulings(&spread(1000), slo));
    assert_eq!(of("ttft<=200ms"), None);
    assert_eq!(of("ttft:p50<=190ms,failure_rate<=1%"), Some(Decision::Met));
    assert_eq!(of("ttft:p50<=190ms,ttft:mean<=150ms"), Some(Decision::Undecided));
    assert_eq!(of("ttft:mean<=150ms,ttft:p50<=110ms"), Some(Decision::Missed));
}

#[test]
fn goodput_counts_requests_within_every_bound_over_all_arrivals() {
    let mut run = closed_run();
    for row in run.rows.iter_mut().take(50) {
        row.outcome = Outcome::Errored { message: Excerpt::default() };
    }
    for row in run.rows.iter_mut().skip(100) {
        row.first_token = row.first_token.map(|at| at + Nanos::from_millis(1));
    }
    let rates = |slo: &str| {
        let slo = slo.parse().unwrap();
        run.measure(&PointPlan { slo, ..plan(0, 10_000) }).rates.unwrap()
    };
    let ttft = run.rows[0].first_token.unwrap().since(run.rows[0].due);
    let good = rates(&format!("ttft<={ttft},itl:p99<=1s"));
    assert_eq!((good.good_share, good.goodput_rps), (Some(0.25), Some(5.0)));
    let tokens = f64::from(total(&run.rows[0]));
    assert_eq!(good.goodput_output_tokens_per_s, Some(5.0 * tokens));
    assert_eq!(rates("ttft:p99<=1s").goodput_rps, None, "nothing tells good from bad");
    assert_eq!(rates("good_share>=50%").good_share, Some(0.75), "successes are good");
    assert_eq!(rates("ttft<=1s,e2e<=1ms").good_share, Some(0.0));
    run.rows.iter_mut().for_each(|row| row.first_answer = None);
    let slo = "ttfa<=1s".parse().unwrap();
    let unseen = run.measure(&PointPlan { slo, ..plan(0, 10_000) });
    assert_eq!(unseen.rates.unwrap().good_share, None, "no request has the figure");
}

/// Requests that arrive at 20/s in the mean and are answered by one server in turn, each in
/// `load` of the mean gap between them in the mean.
fn queue(seed: u64, load: f64, count: u64) -> Run {
    let mut noise = Noise::new(seed);
    let (mut due, mut free) = (0.0, 0.0_f64);
    let mut run = Run::default();
    for id in 0..count {
        due += noise.exponential() * 0.05;
        free = free.max(due) + noise.exponential() * 0.05 * load;
        run.rows.push(answered(id, [due, free, free + 0.09]));
    }
    run
}

/// An answer of ten tokens, its instants in seconds.
fn answered(id: u64, instants: [f64; 3]) -> RequestRow {
    let [due, first, last] = instants.map(|at| Stamp::ZERO + Nanos::from_secs_f64(at));
    let usage = Usage { prompt_tokens: 10, completion_tokens: 10, ..Usage::default() };
    RequestRow {
        due,
        sent: Some(due),
        first_byte: Some(first),
        first_token: Some(first),
        last_token: Some(last),
        end: last,
        usage: Some(usage),
        chunks: 10,
        ..row(id)
    }
}

#[test]
fn a_saturated_queue_is_called_so_and_a_calm_one_is_not() {
    let plan = PointPlan {
        window: WindowPlan::Whole { start: Stamp::ZERO },
        ..open_plan(ArrivalLaw::Poisson)
    };
    // As `measure` does, without the other figures.
    let is_behind = |run: Run| {
        let roster = Roster::new(&run.rows);
        let window = Span::measured(plan.window, &run.rows);
        let population = Population::new(&roster, window, plan.output_policy);
        backlog(plan.load, &roster, &population).is_some()
    };
    let called = |load: f64| (0..100).filter(|&seed| is_behind(queue(seed, load, 1000))).count();
    assert!(called(0.5) <= 1);
    assert!(called(0.8) <= 1);
    assert!(called(1.3) >= 99);
    let point = queue(1, 1.3, 1000).measure(&plan);
    assert!(codes(&point).contains(&CaveatCode::Saturated));
    let closed = PointPlan { load: LoadPlan::Closed { concurrency: 9 }, ..plan };
    assert!(!queue(1, 1.3, 1000).measure(&closed).saturated, "it asks no more than is answered");
}

#[test]
fn a_trace_saturates_a_server_too_and_a_burst_at_its_end_does_not() {
    let measured = |run: &Run| {
        let dues: Vec<_> = run.rows.iter().map(|row| row.due.since(Stamp::ZERO)).collect();
        let load = LoadPlan::trace(&dues, 1.0, None);
        let window = WindowPlan::Whole { start: Stamp::ZERO };
        run.measure(&PointPlan { load, window, ..plan(0, 1) })
    };
    let called =
        |load: f64| (0..20).filter(|&seed| measured(&queue(seed, load, 1000)).saturated).count();
    assert_eq!([called(0.5), called(1.3)], [0, 20]);
    let caveats = measured(&queue(1, 1.3, 1000)).trust.caveats;
    let hint = &caveats.iter().find(|c| c.code == CaveatCode::Saturated).unwrap().hint;
    assert!(hint.contains("--time-scale"), "{hint}");
    // A fifth of all requests come in the last moment, and are answered one after another.
    let mut burst = queue(1, 0.5, 1000);
    let last = burst.rows[799].due.as_secs_f64();
    for (place, row) in burst.rows.iter_mut().enumerate().skip(800) {
        let (due, waits) = (last + 0.001 * place as f64, 0.025 * (place - 799) as f64);
        *row = answered(place as u64, [due, due + waits, due + waits + 0.09]);
    }
    assert!(!measured(&burst).saturated, "the server caught up with all that came before");
}

/// Requests that arrive at 40/s for 100 s and take 8 s each, so that the load is steady from 8 s
/// on, unless they come at a growing rate.
fn filling(seed: u64, growth: f64) -> Run {
    let mut noise = Noise::new(seed);
    let mut run = Run::default();
    let (mut due, mut id) = (0.0, 0);
    while due < 100.0 {
        let last = due + 8.0 + 0.1 * noise.uniform();
        run.rows.push(answered(id, [due, due + 0.2, last]));
        due += noise.exponential() / (40.0 * (1.0 + growth * due / 100.0));
        id += 1;
    }
    run
}

fn starts(windows: &[Window]) -> Vec<f64> {
    windows.iter().map(|window| window.start_s).collect()
}

/// Requests that arrive at 40/s for 100 s, whose answers take a second, more or less, and this many
/// times as long if they were due in the first 20 s.
fn slowed(seed: u64, slowdown: f64) -> Run {
    let mut noise = Noise::new(seed);
    let mut run = Run::default();
    let (mut due, mut id) = (0.0, 0);
    while due < 100.0 {
        let time = (0.5 + noise.uniform()) * if due < 20.0 { slowdown } else { 1.0 };
        run.rows.push(answered(id, [due, due + 0.2, due + 0.2 + time]));
        due += noise.exponential() / 40.0;
        id += 1;
    }
    run
}

#[test]
fn a_slight_transient_is_found_and_none_is_where_there_is_none() {
    let plan = PointPlan {
        window: WindowPlan::Whole { start: Stamp::ZERO },
        search: WindowSearch::Detect,
        ..open_plan(ArrivalLaw::Poisson)
    };
    for (slowdown, end) in [(1.08, 20.0), (1.0, 1.0)] {
        let windows: Vec<_> =
            (0..20).map(|seed| slowed(seed, slowdown).measure(&plan).window).collect();
        let near = |window: &&Window| {
            window.found == Found::Detected && (window.start_s - end).abs() <= 6.0
        };
        assert!(windows.iter().filter(near).count() >= 18, "{:?}", starts(&windows));
    }
}

#[test]
fn the_steady_state_begins_where_the_transient_ends() {
    let plan = PointPlan {
        window: WindowPlan::Whole { start: Stamp::ZERO },
        search: WindowSearch::Detect,
        ..open_plan(ArrivalLaw::Poisson)
    };
    let windows: Vec<_> = (0..20).map(|seed| filling(seed, 0.0).measure(&plan).window).collect();
    let near = |window: &&Window| {
        window.found == Found::Detected && (window.start_s - 8.0).abs() <= 0.1 * 100.0
    };
    assert!(windows.iter().filter(near).count() >= 18, "{:?}", starts(&windows));
    assert!(windows.iter().all(|window| window.start_s > 7.9), "{:?}", starts(&windows));
    // A warm-up of 3 s leaves 5 s to fill, however often sessions come back for another turn.
    let warmed = PointPlan {
        window: WindowPlan::Whole { start: Stamp::ZERO + Nanos::from_secs(3) },
        ..plan.clone()
    };
    let mut run = filling(1, 0.0);
    assert!(run.measure(&warmed).window.start_s > 7.9);
    for row in &mut run.rows {
        let (session, index) = (row.id.0 % 1000, (row.id.0 / 1000) as u32);
        row.turn = Some(Turn { session, index });
    }
    assert_eq!(run.measure(&plan).window.found, Found::None, "a session lasts for half the load");
    let rising = filling(1, 4.0).measure(&plan);
    assert_eq!(rising.window.found, Found::None);
    assert!(codes(&rising).contains(&CaveatCode::NotSteady));
    let few = PointPlan { search: WindowSearch::Detect, ..plan };
    assert_eq!(queue(1, 0.5, 200).measure(&few).window.found, Found::None, "too few to tell");
}

#[test]
fn each_turn_has_figures_of_its_own_and_those_after_the_32nd_share_one() {
    let mut run = closed_run();
    for row in &mut run.rows {
        let (session, index) = (row.id.0 / 40, (row.id.0 % 40) as u32);
        row.turn = Some(Turn { session, index });
    }
    // The second turn of the first session fails, and it is the only one of its kind.
    run.rows[1].outcome = Outcome::Refused { status: 429, message: Excerpt::new("slow down") };
    let point = run.measure(&plan(0, 20_000));
    let names: Vec<_> = point.turns.iter().map(|turn| turn.name.as_str()).collect();
    assert_eq!((names.len(), names[0], names[31], names[32]), (33, "1", "32", "33+"));
    let due: u64 = point.turns.iter().map(|turn| turn.counts.due).sum();
    assert_eq!((due, point.turns[32].counts.due), (point.counts.due, 8 * 5));
    assert_eq!((point.turns[1].counts.failed, point.turns[0].counts.failed), (1, 0));
    let ttft = |turn: &crate::Part| turn.latency.ttft_ms.unwrap();
    assert_eq!((ttft(&point.turns[0]).n, ttft(&point.turns[1]).n), (5, 4));
    let itl = point.turns[0].latency.itl_ms.unwrap();
    assert_eq!((itl.n, itl.mean), (5 * 10, 10.0));
    // Slots wait while users think, so how many are in flight says nothing of the load.
    assert_eq!(point.stimulus, None);
}

#[test]
fn the_gaps_of_a_turn_are_those_of_its_requests_measured_alone() {
    let mut run = Run::default();
    for id in 0..240 {
        let (begin, pace) = (50 * id, 10 + 5 * (id % 3) + id % 7);
        let pieces: Vec<_> = (0..5).map(|k| piece(begin + 40 + k * pace, 1)).collect();
        let row = run.streamed(id, [begin, begin], (8, 5), &pieces);
        row.turn = Some(Turn { session: id / 3, index: (id % 3) as u32 });
    }
    let all = run.measure(&plan(0, 20_000));
    let gaps = |latency: crate::Latency| (latency.itl_ms.unwrap(), latency.icl_ms.unwrap());
    for (index, turn) in (0..).zip(&all.turns) {
        let mut alone = run.clone();
        alone.rows.retain(|row| row.turn.unwrap().index == index);
        alone.chunks.retain(|chunk| chunk.request.0 % 3 == u64::from(index));
        let alone = alone.measure(&plan(0, 20_000));
        assert_eq!(gaps(turn.latency), gaps(alone.latency));
    }
    let means: Vec<_> = all.turns.iter().map(|turn| gaps(turn.latency).0.mean).collect();
    assert!(means.len() == 3 && means.is_sorted() && means[2] > means[0] + 5.0, "{means:?}");
}

#[test]
fn of_sessions_only_the_first_turns_follow_the_arrival_law() {
    let mut run = closed_run();
    let alone = run.measure(&open_plan(ArrivalLaw::Poisson)).stimulus.unwrap();
    for row in &mut run.rows {
        row.turn = Some(Turn { session: row.id.0, index: 0 });
    }
    for id in 1000..1050 {
        let mut later = run.rows[100].clone();
        (later.id, later.turn) = (RequestId(id), Some(Turn { session: 100, index: 1 }));
        run.rows.push(later);
    }
    let sessions = run.measure(&open_plan(ArrivalLaw::Poisson)).stimulus.unwrap();
    assert_eq!((sessions.gaps, sessions.rate_share), (alone.gaps, alone.rate_share));
    assert_eq!((alone.sent, sessions.sent), (Some(200), Some(250)));
}
