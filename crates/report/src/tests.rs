//! Pages about whole runs: goldens of what a person sees, and laws over any run at all.

use std::path::Path;

use infermark_measure::{
    ArrivalLaw, Build, Client, Concurrency, Counts, Energy, Engine, Estimate, Finding, Found, Gpu,
    Latency, Limit, LoadPlan, Point, PointPlan, RateCourse, Rates, Reason, SourceReport, Telemetry,
    TokenSource, Tokens, Verdict, Window, WindowPlan, WindowSearch, attest, diagnose, measure,
};
use infermark_terms::{
    Caveat, CaveatCode, ChunkKind, ChunkRow, Currency, Effort, EventCounts, Excerpt, FinishReason,
    Nanos, Outcome, OutcomeKind, OutputPolicy, Phase, RequestId, RequestRow, ShedReason, Slo,
    Stamp, StampSource, TransportFault, Trust, Turn, Usage,
};
use proptest::prelude::*;

use crate::text::width;
use crate::{
    AcceptanceLine, AcceptanceSheet, COLUMNS, Colour, ContestCell, ContestTable, CurveSheet, Dot,
    DotGroup, Passed, Sheet, Source, State, Verification, acceptance, curve, table,
};

/// The lines of a screen on which a page of an ordinary run must fit.
const SCREEN: usize = 45;

/// Tokens of each answer.
const OUTPUT: u32 = 16;

/// A run under construction: requests that wait about 50 ms and then get a token every 10 ms.
pub(crate) struct Run {
    pub(crate) plan: PointPlan,
    pub(crate) rows: Vec<RequestRow>,
    pub(crate) chunks: Vec<ChunkRow>,
}

/// Returns a number from (0, 1), spread evenly over successive `k`.
fn spread(k: u64) -> f64 {
    (k as f64 * 0.618_033_988_749_895).fract().max(1e-3)
}

fn millis(ms: f64) -> Nanos {
    Nanos::from_secs_f64(ms / 1e3)
}

impl Run {
    /// `count` Poisson arrivals at 20/s after a warm-up of 5 s.
    pub(crate) fn open(count: u64) -> Self {
        let load = LoadPlan::Open {
            rate_rps: 20.0,
            arrivals: ArrivalLaw::Poisson,
            course: RateCourse::Steady,
        };
        let mut run = Self::empty(load);
        let mut due = Stamp::ZERO + Nanos::from_secs(5);
        for k in 0..count {
            due = due + millis(-spread(k).ln() * 50.0);
            run.answer(k, due, due + millis(0.02 + 0.1 * spread(3 * k)));
        }
        run
    }

    /// Two slots, each filled again at once.
    pub(crate) fn closed(count: u64) -> Self {
        let mut run = Self::empty(LoadPlan::Closed { concurrency: 2 });
        for k in 0..count {
            let due = Stamp::ZERO + Nanos::from_millis(250 * (k / 2) + k % 2);
            run.answer(k, due, due + millis(0.02));
        }
        run
    }

    fn empty(load: LoadPlan) -> Self {
        let plan = PointPlan {
            load,
            window: WindowPlan::Whole { start: Stamp::ZERO },
            output_policy: OutputPolicy::Exact,
            build: Build::Release,
            gpus: None,
            slo: Slo::default(),
            search: WindowSearch::Given,
        };
        Self { plan, rows: Vec::new(), chunks: Vec::new() }
    }

    fn answer(&mut self, id: u64, due: Stamp, sent: Stamp) {
        let first = sent + millis(45.0 + 10.0 * spread(7 * id));
        let mut last = first;
        for k in 0..u64::from(OUTPUT) {
            last = if k == 0 { first } else { last + millis(9.5 + spread(id + 13 * k)) };
            self.chunks.push(ChunkRow {
                request: RequestId(id),
                at: last,
                kind: ChunkKind::Answer,
                tokens: Some(1),
                text_bytes: 4,
                coalesced: false,
                read_delay: Nanos::from_micros(20),
            });
        }
        self.rows.push(RequestRow {
            id: RequestId(id),
            shard: 0,
            turn: None,
            class: None,
            due,
            connected: None,
            connect: None,
            sent: Some(sent),
            first_byte: Some(first),
            first_token: Some(first),
            first_answer: Some(first),
            last_token: Some(last),
            end: last,
            stamps: StampSource::Kernel,
            outcome: Outcome::Finished { reason: FinishReason::Length },
            asked_input: Some(128),
            asked_output: Some(OUTPUT),
            usage: Some(Usage {
                prompt_tokens: 128,
                completion_tokens: OUTPUT,
                ..Usage::default()
            }),
            tokenized: None,
            chunks: OUTPUT,
            coalesced: 0,
            events: EventCounts::default(),
            bytes: 4000,
            read_delay_max: Some(Nanos::from_micros(20)),
            address: None,
            attempts: 0,
        });
    }

    /// Makes every `nth` request end like this, without an answer.
    pub(crate) fn fail(mut self, nth: usize, outcome: &Outcome) -> Self {
        for row in self.rows.iter_mut().step_by(nth) {
            row.outcome = outcome.clone();
            (row.first_token, row.first_answer, row.last_token) = (None, None, None);
            (row.usage, row.chunks) = (None, 0);
            let id = row.id;
            self.chunks.retain(|chunk| chunk.request != id);
        }
        self
    }

    pub(crate) fn point(&self) -> Point {
        measure(&self.plan, &self.rows, self.chunks.iter().copied())
    }
}

fn refused() -> Outcome {
    Outcome::Refused { status: 429, message: Excerpt::new("too many requests") }
}

/// What was asked, as a command line would say it.
fn asked(load: &str) -> Vec<(&'static str, String)> {
    [
        ("load", load),
        ("for", "30s after 5s of warm-up"),
        ("input", "128 tokens, random words"),
        ("output", "16 tokens, exactly"),
        ("tokenizer", "/models/llama-3.1-8b"),
        ("seed", "42"),
    ]
    .map(|(label, value)| (label, value.to_owned()))
    .into()
}

fn sheet<'a>(point: &'a Point, asked: &'a [(&'a str, String)]) -> Sheet<'a> {
    Sheet {
        target: "http://10.0.0.5:8000",
        source: Source::Server,
        verification: Verification::Full,
        model: "meta-llama/Llama-3.1-8B-Instruct",
        api: "chat",
        server: Some("vLLM 0.32.0"),
        asked,
        state: State::Complete,
        beside: &[],
        record: Some(Path::new("infermark-runs/2026-03-01T12-00-00Z-7f3a")),
        point,
    }
}

/// Returns the page without colour, after checking that it fits its screen.
fn page(sheet: &Sheet<'_>) -> String {
    let page = table(sheet, Colour::Never);
    assert!(page.lines().count() <= SCREEN, "{page}");
    page
}

/// Returns the page of an open-loop run of this result.
fn open_page(point: &Point) -> String {
    page(&sheet(point, &asked("20/s, poisson")))
}

#[test]
fn a_run_in_sessions_has_a_row_for_each_turn() {
    let mut run = Run::closed(400);
    for row in &mut run.rows {
        let index = (row.id.0 % 14) as u32;
        row.turn = Some(Turn { session: row.id.0 / 14, index });
        let usage = row.usage.as_mut().expect("it was counted");
        (usage.prompt_tokens, usage.cached_tokens) = (128 * (index + 1), Some(128 * index));
    }
    let point = run.point();
    let page = table(&sheet(&point, &asked("2 slots")), Colour::Never);
    let (_, turns) = page.split_once("turn, ms").unwrap();
    let turns: Vec<_> = turns.lines().take(15).collect();
    insta::assert_snapshot!(turns.join("\n"));
}

#[test]
fn a_sound_open_loop_run() {
    let page = open_page(&Run::open(600).point());
    insta::assert_snapshot!(page);
}

#[test]
fn a_closed_loop_on_the_embedded_engine() {
    let point = Run::closed(200).point();
    let asked = asked("2 at a time");
    let page = page(&Sheet {
        target: "sim:ttft=50ms,itl=10ms",
        source: Source::Embedded("sim:ttft=50ms,itl=10ms"),
        model: "infermark-sim",
        server: None,
        ..sheet(&point, &asked)
    });
    insta::assert_snapshot!(page);
}

#[test]
fn a_prediction_says_first_that_it_is_one() {
    let point = Run::closed(200).point();
    let asked = asked("2 at a time");
    let beside = [
        ("server", vec!["KV memory 12 % at most, longest queue 0".to_owned()]),
        ("expect", vec!["TPOT 9.1 to 12.3 ms, nine times in ten".to_owned()]),
    ];
    let page = page(&Sheet {
        target: "sim:llama-3.1-8b@h100",
        source: Source::Predicted("llama-3.1-8b@h100"),
        model: "llama-3.1-8b",
        api: "",
        server: None,
        beside: &beside,
        record: None,
        ..sheet(&point, &asked)
    });
    insta::assert_snapshot!(page);
}

#[test]
fn a_run_whose_server_and_gpu_were_observed() {
    let mut point = Run::closed(200).point();
    point.server = Some(Telemetry {
        prompt_tokens_per_s: Some(254_149.0),
        generation_tokens_per_s: Some(1_291.4),
        running_mean: Some(63.2),
        waiting_share: Some(0.9),
        waiting_mean: Some(40.1),
        waiting_max: Some(111),
        kv_usage_max: Some(0.46),
        prefix_hit_rate: Some(0.981),
        preemptions: Some(0),
        draft_acceptance: None,
    });
    point.gpus = vec![Gpu {
        id: "GPU-2f1e4d3c-0b1a-4c2d-8e9f-0123456789ab".to_owned(),
        utilization_mean: Some(0.97),
        memory_used_max_bytes: Some(72.4e9),
        power_mean_watts: Some(612.5),
        power_limit_watts: Some(700.0),
        temperature_max_celsius: Some(71.0),
        sm_clock_mean_hertz: Some(1.83e9),
        throttled_share: Some(0.0),
    }];
    point.energy = Some(Energy {
        joules: 18_375.0,
        joules_per_output_token: Some(0.4743),
        idle_watts: Some(118.0),
    });
    point.telemetry = vec![SourceReport {
        source: "http://10.0.0.5:9400/metrics".to_owned(),
        scrapes: 32,
        failed: 2,
        first_failure: Some("it answered 503".to_owned()),
        resets: 0,
    }];
    point.diagnosis = diagnose(&point, Some(Engine::Vllm));
    insta::assert_snapshot!(page(&sheet(&point, &asked("2 at a time"))));
}

#[test]
fn a_run_in_which_all_failed() {
    let closed = Outcome::Severed { phase: Phase::Stream, fault: TransportFault::ClosedEarly };
    let late = Outcome::Expired { phase: Phase::FirstToken, limit: Nanos::from_secs(1) };
    let run = Run::open(200).fail(1, &refused()).fail(3, &closed).fail(7, &late);
    let run = run.fail(40, &Outcome::Shed { reason: ShedReason::Late });
    let run = run.fail(90, &Outcome::Errored { message: Excerpt::new("CUDA out of memory") });
    let page = open_page(&run.point());
    insta::assert_snapshot!(page);
}

#[test]
fn a_partial_run_over_an_unverified_connection() {
    let point = Run::open(300).fail(50, &Outcome::Abandoned).point();
    let asked = asked("20/s, poisson");
    let page = page(&Sheet {
        target: "https://inference.example.com/v1",
        state: State::Partial,
        verification: Verification::Off,
        ..sheet(&point, &asked)
    });
    insta::assert_snapshot!(page);
}

#[test]
fn a_run_of_few_requests() {
    let page = open_page(&Run::open(9).point());
    insta::assert_snapshot!(page);
}

#[test]
fn a_run_that_is_held_against_objectives() {
    let mut run = Run::open(600).fail(50, &refused());
    let slo = "ttft:p50<=60ms,ttft:p99<=50ms,itl:p99<=10.2ms,ttft:p999<=60ms,ttfa:max<=55ms,\
               failure_rate<=2.5%,output_tokens_per_s>=200,e2e<=200ms";
    run.plan.slo = slo.parse().unwrap();
    let page = open_page(&run.point());
    insta::assert_snapshot!(page);
}

#[test]
fn latencies_of_a_saturated_run_are_no_result() {
    let mut point = Run::open(300).point();
    (point.saturated, point.window.found) = (true, Found::None);
    insta::assert_snapshot!(open_page(&point));
    let asked = asked("20/s, poisson");
    let coloured = table(&sheet(&point, &asked), Colour::Always);
    assert!(coloured.contains("\x1b[9mTTFT"), "{coloured}");
}

#[test]
fn a_run_that_was_not_streamed() {
    let mut run = Run::open(120);
    run.chunks.clear();
    for row in &mut run.rows {
        (row.first_token, row.first_answer, row.last_token) = (None, None, None);
        row.chunks = 0;
    }
    let page = open_page(&run.point());
    insta::assert_snapshot!(page);
}

#[test]
fn a_run_whose_chunks_hide_their_tokens() {
    let mut run = Run::open(120);
    for row in &mut run.rows {
        row.chunks /= 2;
        row.first_answer = row.first_answer.map(|at| at + millis(30.0));
    }
    run.chunks = run.chunks.into_iter().step_by(2).collect();
    for chunk in &mut run.chunks {
        chunk.tokens = None;
    }
    let page = open_page(&run.point());
    insta::assert_snapshot!(page);
}

#[test]
fn a_run_of_very_large_and_very_small_figures() {
    let huge = Estimate { max: 1.8e13, ..estimate([2.5e6, 1.2e6, 9.1e6, 1.1e7]) };
    let tiny = estimate([2e-4, 1e-6, 3e-4, 0.0012]);
    let mut point = Run::open(600).point();
    point.latency = Latency {
        ttft_ms: Some(huge),
        tpot_ms: Some(tiny),
        itl_ms: Some(Estimate { n: 204_800_000, ..tiny }),
        e2e_ms: Some(Estimate { n: 1_024_000, ..huge }),
        lag_ms: Some(estimate([0.0, 0.0, 0.0, 0.0])),
        ..Latency::default()
    };
    point.rates = Some(Rates {
        requests_per_s: 0.000_4,
        input_tokens_per_s: Some(123_456_789.0),
        output_tokens_per_s: 98_765.4,
        total_tokens_per_s: Some(4e17),
        output_tokens_per_s_per_user: Some(0.07),
        output_tokens_per_s_per_gpu: Some(12_345.6),
        ..Rates::default()
    });
    let page = open_page(&point);
    insta::assert_snapshot!(page);
}

/// An estimate of this mean, median, 90th and 99th percentile, with wide intervals.
fn estimate([mean, p50, p90, p99]: [f64; 4]) -> Estimate {
    Estimate {
        n: 4096,
        mean,
        mean_ci95: Some([mean * 0.5, mean * 1.5]),
        min: 0.0,
        p50,
        p50_ci95: None,
        p90: Some(p90),
        p90_ci95: None,
        p95: None,
        p95_ci95: None,
        p99: Some(p99),
        p99_ci95: Some([p99 * 0.01, p99 * 123.0]),
        p999: None,
        max: p99 * 200.0,
    }
}

#[test]
fn every_caveat_stands_with_its_remedy() {
    let mut run = Run::open(60);
    run.plan.build = Build::Debug;
    for row in &mut run.rows {
        row.sent = row.sent.map(|at| at + millis(40.0));
        row.asked_input = Some(120);
    }
    let page = open_page(&run.point());
    insta::assert_snapshot!(page);
}

#[test]
fn the_generators_own_side_is_shown_with_its_limits() {
    let thread = |millis, queued| Effort {
        wall: Nanos::from_secs(10),
        cpu: Nanos::from_millis(millis),
        queued: Some(Nanos::from_millis(queued)),
        connections: 1500,
        ..Effort::default()
    };
    let mut point = Run::open(600).point();
    let client = |threads| Client { threads, room_files: Some(19_952), room_ports: Some(28_232) };
    attest(&mut point, &client(vec![thread(1234, 2)]));
    let light = open_page(&point);
    attest(&mut point, &client(vec![thread(5210, 4100), thread(6010, 0)]));
    insta::assert_snapshot!(format!("{light}\n{}", open_page(&point)));
}

#[test]
fn the_page_names_the_number_that_a_statistic_needs() {
    let text = |count| open_page(&Run::open(count).point());
    for (enough, phrase) in [(10, "p90 10"), (40, "± 40"), (100, "p99 100")] {
        assert!(text(enough - 1).contains(phrase), "{phrase}");
        assert!(!text(enough).contains(phrase), "{phrase}");
    }
    assert!(text(360).contains("−/+ about 370"));
    let page = text(600);
    let ttft = page.lines().find(|line| line.starts_with("TTFT")).unwrap();
    assert!(!ttft.contains('–'), "{ttft}");
}

#[test]
fn colour_adds_nothing_but_escapes() {
    let point = Run::open(150).fail(9, &refused()).point();
    let asked = asked("20/s, poisson");
    let sheet = Sheet { state: State::Partial, ..sheet(&point, &asked) };
    let painted = table(&sheet, Colour::Always);
    assert!(painted.contains("\x1b[1minfermark run"), "{painted}");
    let mut pieces = painted.split('\x1b');
    let mut stripped = pieces.next().unwrap().to_owned();
    for piece in pieces {
        stripped += piece.split_once('m').unwrap().1;
    }
    assert_eq!(stripped, table(&sheet, Colour::Never));
}

/// Text as it may come from anywhere, often hostile.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z/-]{0,200}",
        "(\u{1b}\\[[0-9;]{0,4}[mJH]|[a-z\u{7}\r\n\u{202e}\u{9b}模 ]){0,60}",
    ]
}

/// Milliseconds and rates of any size that a run can have.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), (-7.0..13.2_f64).prop_map(|exponent| 10_f64.powf(exponent))]
}

fn estimates() -> impl Strategy<Value = Option<Estimate>> {
    let interval = || prop::option::of([value(), value()]);
    let parts = (0_u64..1_000_000_000_000, [value(), value(), value()]);
    let tails = (prop::option::of(value()), prop::option::of(value()), interval(), interval());
    prop::option::of((parts, tails).prop_map(
        |((n, [mean, p50, max]), (p90, p99, mean_ci95, p99_ci95))| Estimate {
            n,
            p90,
            mean_ci95,
            p99_ci95,
            max,
            p99,
            ..estimate([mean, p50, 0.0, 0.0])
        },
    ))
}

fn points() -> impl Strategy<Value = Point> {
    let latency = prop::collection::vec(estimates(), 10).prop_map(|e| Latency {
        ttft_ms: e[0],
        service_ttft_ms: e[1],
        ttfa_ms: e[2],
        tpot_ms: e[3],
        itl_ms: e[4],
        icl_ms: e[5],
        e2e_ms: e[6],
        service_e2e_ms: e[7],
        lag_ms: e[8],
        stall_ms: e[9],
    });
    let rates = prop::option::of([value(), value(), value()]).prop_map(|rates| {
        rates.map(|[requests_per_s, output_tokens_per_s, other]| Rates {
            requests_per_s,
            input_tokens_per_s: Some(other),
            output_tokens_per_s,
            total_tokens_per_s: Some(other),
            output_tokens_per_s_per_user: Some(requests_per_s),
            output_tokens_per_s_per_gpu: Some(output_tokens_per_s),
            ..Rates::default()
        })
    });
    let counts = (any::<[u64; 10]>(), prop::collection::vec((text(), any::<u64>()), 0..6));
    let caveats = prop::collection::vec((text(), text()), 0..4);
    (latency, rates, counts, caveats, [value(), value()]).prop_map(
        |(latency, rates, (n, reasons), caveats, [start_s, mean])| Point {
            client: None,
            load: LoadPlan::Closed { concurrency: 1 },
            window: Window { start_s, end_s: mean, found: Found::Given, whole_run: None },
            counts: counts_of(n, reasons),
            latency,
            rates,
            concurrency: Some(Concurrency { mean, peak: n[0] }),
            stimulus: None,
            tokens: Tokens {
                input_mean: Some(mean),
                output_mean: Some(start_s),
                per_chunk_mean: Some(mean),
                source: Some(TokenSource::Chunks),
                cached_share: Some(start_s),
                coalesced_share: Some(mean),
                ..Tokens::default()
            },
            turns: Vec::new(),
            classes: Vec::new(),
            connect_ms: None,
            read_delay_ms: None,
            stamps: None,
            cost: None,
            saturated: false,
            slo: Vec::new(),
            server: None,
            gpus: Vec::new(),
            energy: None,
            client_host: None,
            telemetry: Vec::new(),
            diagnosis: Vec::new(),
            addresses: Vec::new(),
            trust: Verdict { verdict: Trust::Void, caveats: caveats_of(caveats) },
        },
    )
}

/// Points of whose server, GPU and pages of metrics anything was said.
fn observed_points() -> impl Strategy<Value = Point> {
    let said = (text(), text(), text());
    (points(), said, [value(), value()], any::<[u64; 2]>()).prop_map(|(point, said, [x, y], n)| {
        let (id, source, why) = said;
        let server = Telemetry {
            prompt_tokens_per_s: Some(x),
            waiting_max: Some(n[0]),
            kv_usage_max: Some(y),
            ..Telemetry::default()
        };
        let power_mean_watts = Some(x);
        Point {
            server: Some(server),
            gpus: vec![Gpu { id, power_mean_watts, power_limit_watts: Some(y), ..Gpu::default() }],
            energy: Some(Energy {
                joules: x,
                joules_per_output_token: Some(y),
                idle_watts: Some(x),
            }),
            telemetry: vec![SourceReport {
                source: source.clone(),
                scrapes: n[0],
                failed: n[1],
                first_failure: Some(why.clone()),
                resets: 0,
            }],
            diagnosis: vec![Finding { limit: Limit::Queue, evidence: source, hint: why }],
            ..point
        }
    })
}

fn counts_of(n: [u64; 10], reasons: Vec<(String, u64)>) -> Counts {
    Counts {
        sent_again: 0,
        due: n[0],
        success: n[1],
        failed: n[2],
        failure_rate: Some(n[3] as f64 / u64::MAX as f64),
        finished: n[3],
        refused: n[4],
        severed: n[5],
        garbled: n[6],
        errored: n[7],
        expired: n[8],
        shed: n[9],
        abandoned: n[0],
        reasons: reasons
            .into_iter()
            .map(|(reason, count)| Reason { outcome: OutcomeKind::Refused, reason, count })
            .collect(),
    }
}

fn caveats_of(texts: Vec<(String, String)>) -> Vec<Caveat> {
    let doubt = |(detail, hint)| Caveat {
        code: CaveatCode::OutputLengthOff,
        lowers_to: Trust::Void,
        detail,
        hint,
    };
    texts.into_iter().map(doubt).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_line_is_too_wide_and_nothing_foreign_controls_the_terminal(
        point in observed_points(),
        names in [text(), text(), text(), text(), text()],
        asked in prop::collection::vec(text(), 0..8),
    ) {
        let asked: Vec<_> = asked.into_iter().map(|value| ("label", value)).collect();
        let [target, embedded, model, api, record] = &names;
        let sheet = Sheet {
            target,
            source: Source::Embedded(embedded),
            verification: Verification::Off,
            model,
            api,
            server: Some(model),
            asked: &asked,
            state: State::Partial,
            beside: &[("server", vec![api.clone()])],
            record: Some(Path::new(record)),
            point: &point,
        };
        let page = table(&sheet, Colour::Never);
        for line in page.lines() {
            prop_assert!(width(line) <= COLUMNS, "{}", line);
            prop_assert!(!line.chars().any(char::is_control), "{:?}", line);
            prop_assert!(!line.contains('\u{202e}'), "{:?}", line);
        }
    }
}

/// Shows what came of a suite of two workloads on two targets.
fn with_acceptance<T>(show: impl FnOnce(&AcceptanceSheet<'_>) -> T) -> T {
    let mut run = Run::open(300);
    run.plan.slo = "ttft:p99<=1s,failure_rate<=0.1%".parse().unwrap();
    let point = run.point();
    let dot = |label| Dot { label, point: &point, mark: "", trust: &point.trust };
    let dots = [dot("vllm · concurrency 4"), dot("tgi · concurrency 4")];
    let group = |heading: &str| DotGroup {
        heading: heading.to_owned(),
        dots: vec![dot("concurrency 4"), dot("rate 8.16/s")],
    };
    let line = |verdict, name: &str, rulings, detail| AcceptanceLine {
        verdict,
        name: name.to_owned(),
        rule: "ttft:p99<=1s, failure_rate<=0.1%",
        place: "rate 8.16/s".to_owned(),
        rulings,
        detail,
    };
    let cell = |rate| {
        Some(ContestCell {
            output_tokens_per_s: rate,
            e2e_p50_ms: Some(2543.0),
            success_rate: 1.0,
            cost: Some((Currency::USD, 0.74)),
        })
    };
    let targets = ["vllm", "triton", "tgi", "<b>|four"].map(str::to_owned);
    let contest = ContestTable {
        heading: "sentences".to_owned(),
        targets: targets.to_vec(),
        loads: vec![("concurrency 4".to_owned(), vec![cell(560.7), cell(404.7), None, cell(1e9)])],
        outcome: vec!["winner: vllm, at its peak 1.39 × triton the output rate".to_owned()],
    };
    show(&AcceptanceSheet {
        study: CurveSheet {
            command: "infermark validate · serving",
            target: "http://localhost:8000",
            source: Source::Server,
            verification: Verification::Full,
            model: "m",
            server: None,
            asked: &[],
            state: State::Complete,
            dots: &dots,
            beside: &[],
            record: Some(Path::new("infermark-runs/x")),
        },
        title: "Engines side by side",
        facts: &[("source", vec!["a framework".to_owned()])],
        groups: &[group("vllm"), group("tgi")],
        lines: &[
            line(Passed::Yes, "vllm · chat", &point.slo, None),
            line(Passed::No, "tgi · chat", &point.slo[..1], Some("0 of 300 within the limit")),
            line(Passed::Undecided, "long enough", &[], Some("12.0 s")),
        ],
        contests: &[contest],
        verdict: Passed::No,
    })
}

#[test]
fn what_came_of_a_suite_stands_line_by_line() {
    let page = with_acceptance(|sheet| acceptance(sheet, Colour::Never));
    assert!(page.lines().all(|line| width(line) <= COLUMNS), "{page}");
    insta::assert_snapshot!(page);
}

#[test]
fn a_study_stands_as_a_table_with_each_doubt_once() {
    let (calm, mut full) = (Run::open(300).point(), Run::open(300).point());
    full.saturated = true;
    full.trust.verdict = Trust::Doubtful;
    let saturated = |detail: &str| Caveat {
        code: CaveatCode::Saturated,
        lowers_to: Trust::Doubtful,
        detail: detail.to_owned(),
        hint: "lower the rate".to_owned(),
    };
    // One point with the same doubt twice is no second one.
    full.trust.caveats = vec![saturated("completions fall behind"), saturated("waits grow")];
    let dots = [
        ("rate 5/s", &calm, ""),
        ("rate 20/s", &calm, "knee"),
        ("rate 40/s", &full, "over"),
        ("a label that is longer than its column", &full, "much too long"),
    ];
    let dots = dots.map(|(label, point, mark)| Dot { label, point, mark, trust: &point.trust });
    let page = curve(
        &CurveSheet {
            command: "infermark sweep",
            target: "http://localhost:8000",
            source: Source::Server,
            verification: Verification::Full,
            model: "m",
            server: Some("vLLM 0.32.0"),
            asked: &[("requests", "300".to_owned())],
            state: State::Partial,
            dots: &dots,
            beside: &[("knee", vec!["20/s".to_owned()])],
            record: Some(Path::new("infermark-runs/x")),
        },
        Colour::Never,
    );
    assert!(page.lines().all(|line| width(line) <= COLUMNS), "{page}");
    insta::assert_snapshot!(page);
}
