//! What the pure parts of the hot path cost, each alone: `cargo bench -p infermark-bench`.
//!
//! `-- --instructions` counts instructions by Valgrind instead of timing: the same on a busy
//! machine as on a quiet one, so that a change of some per cent is a change of the code.
//!
//! Not here: sockets and whole processes (`scripts/bench.sh`).

use std::process::Command;

use anyhow::{Context, Result, ensure};
use infermark_calibrate::machine::now_ns;
use infermark_measure::{Build, LoadPlan, PointPlan, WindowPlan, WindowSearch, measure};
use infermark_scenario::intent::{Arrivals, Bounds, Load, RateCurve};
use infermark_schedule::pacer;
use infermark_terms::{
    ChunkKind, ChunkRow, EventCounts, FinishReason, Nanos, Next, Outcome, OutputPolicy, Prompt,
    RequestId, RequestRow, Seed, Shard, Stamp, StampSource, Usage,
};
use infermark_wire::http1::{end_chunked, start_chunked, write_chunk};
use infermark_wire::server::{Answer, Asked, End, Part as Event};
use infermark_wire::{Api, Delivery, Exchange, Progress, UsageFields};

/// Events of the response that is decoded.
const EVENTS: u32 = 1000;

/// Arrivals that are scheduled.
const ARRIVALS: u64 = 1000;

/// Requests of the record that is measured, and chunks of each.
const REQUESTS: u64 = 200;
const CHUNKS: u64 = 50;

/// How long each part is timed, at least, and how often: the quickest counts.
const TIMED_NS: u64 = 200_000_000;
const TIMES: usize = 5;

/// Something to be measured: a round does so many units of work.
struct Part {
    name: &'static str,
    unit: &'static str,
    units: f64,
    /// Bytes of a round, where that says something.
    bytes: Option<usize>,
    round: Box<dyn FnMut()>,
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--rounds", name, rounds] => run(name, rounds.parse()?),
        ["--instructions"] => parts().iter().try_for_each(instructions),
        [] => parts().iter_mut().try_for_each(time),
        _ => anyhow::bail!("usage: cargo bench -p infermark-bench [-- --instructions]"),
    }
}

fn parts() -> Vec<Part> {
    let response = response();
    // An event a read, as tokens come, and many at once, as they come when a client is behind.
    let event = response.len() / EVENTS as usize;
    vec![
        decode("decode, an event a read", response.clone(), event),
        decode("decode, 64 KiB a read", response, 64 << 10),
        Part {
            name: "schedule, Poisson",
            unit: "arrival",
            units: ARRIVALS as f64,
            bytes: None,
            round: Box::new(schedule),
        },
        measuring(),
    ]
}

/// A streamed chat in HTTP's chunked coding, as the server's role writes it.
fn response() -> Vec<u8> {
    let asked = Asked::plain(Prompt::Text(String::new()), Delivery::Streamed, UsageFields::Final);
    let model = "meta-llama/Llama-3.1-8B-Instruct";
    let mut answer = Answer::new(Api::Chat, &asked, 7, model, 1_763_800_000);
    let (mut out, mut event) = (Vec::new(), Vec::new());
    start_chunked(&mut out, 200, &[("Content-Type", "text/event-stream; charset=utf-8")]);
    for index in 1..=EVENTS {
        let part = Event { text: " token", ends: &[6], ids: &[index], usage: None };
        if index == EVENTS {
            let usage = Usage { completion_tokens: index, ..Usage::default() };
            let end = End { finish: &FinishReason::Length, usage: Some(usage) };
            answer.last(&mut event, &part, &end);
        } else {
            answer.part(&mut event, &part);
        }
        write_chunk(&mut out, &event);
        event.clear();
    }
    end_chunked(&mut out);
    out
}

/// HTTP, event stream and OpenAI events together, as the hot path reads them.
fn decode(name: &'static str, response: Vec<u8>, read: usize) -> Part {
    let mut exchange = Exchange::new(Api::Chat, Delivery::Streamed);
    let bytes = response.len();
    let round = move || {
        let (mut chunks, mut progress) = (0, Progress::Open);
        for piece in response.chunks(read) {
            progress = exchange.receive(piece, &mut |_| chunks += 1);
        }
        assert!(chunks == EVENTS && progress != Progress::Open, "the whole answer was read");
        exchange.reset();
    };
    let (units, bytes) = (f64::from(EVENTS), Some(bytes));
    Part { name, unit: "event", units, bytes, round: Box::new(round) }
}

/// An open loop's arrivals, one after another.
fn schedule() {
    let load = Load::Open {
        rate: RateCurve::Steady(1000.0),
        arrivals: Arrivals::Poisson,
        max_concurrency: None,
    };
    let bounds = Bounds {
        requests: Some(ARRIVALS),
        duration: None,
        warmup: Nanos::ZERO,
        drain: Nanos::ZERO,
    };
    let mut pacer = pacer(&load, &bounds, Stamp::ZERO, Seed(1), Shard::WHOLE);
    let (mut now, mut sent) = (Stamp::ZERO, 0);
    loop {
        match pacer.poll(now) {
            Next::Send(_) => sent += 1,
            Next::Wait(until) => now = until,
            Next::AwaitCompletion | Next::Done => break,
        }
    }
    assert_eq!(sent, ARRIVALS, "every arrival came");
}

/// A record's judgement: all figures of a point.
fn measuring() -> Part {
    let plan = PointPlan {
        load: LoadPlan::Closed { concurrency: 10 },
        window: WindowPlan::Whole { start: Stamp::ZERO },
        output_policy: OutputPolicy::Natural,
        build: Build::Release,
        gpus: None,
        slo: infermark_terms::slo::Slo::default(),
        search: WindowSearch::Given,
    };
    let rows: Vec<_> = (0..REQUESTS).map(row).collect();
    let chunks: Vec<_> =
        (0..REQUESTS).flat_map(|id| (0..CHUNKS).map(move |k| chunk(id, k))).collect();
    let round = move || {
        let point = measure(&plan, &rows, chunks.iter().copied());
        assert_eq!(point.counts.due, REQUESTS, "every request was measured");
    };
    Part {
        name: "measure, 50 chunks a request",
        unit: "chunk row",
        units: (REQUESTS * CHUNKS) as f64,
        bytes: None,
        round: Box::new(round),
    }
}

/// The instant of a request's chunk: out of step, so that no two figures are alike.
fn instant(id: u64, chunk: u64) -> Stamp {
    Stamp(
        id * 50_000_000 + 100_000_000 + chunk * 10_000_000 + (id * 7919 + chunk * 104_729) % 99_991,
    )
}

fn row(id: u64) -> RequestRow {
    let (due, first, last) = (Stamp(id * 50_000_000), instant(id, 0), instant(id, CHUNKS - 1));
    RequestRow {
        id: RequestId(id),
        shard: 0,
        turn: None,
        class: None,
        due,
        connected: Some(due),
        connect: None,
        sent: Some(due),
        first_byte: Some(first),
        first_token: Some(first),
        first_answer: Some(first),
        last_token: Some(last),
        end: last,
        stamps: StampSource::Kernel,
        outcome: Outcome::Finished { reason: FinishReason::Length },
        asked_input: None,
        asked_output: None,
        usage: Some(Usage { completion_tokens: CHUNKS as u32, ..Usage::default() }),
        tokenized: None,
        chunks: CHUNKS as u32,
        coalesced: 0,
        events: EventCounts::default(),
        bytes: 10_000,
        read_delay_max: None,
        address: None,
        attempts: 0,
    }
}

fn chunk(id: u64, chunk: u64) -> ChunkRow {
    ChunkRow {
        request: RequestId(id),
        at: instant(id, chunk),
        kind: ChunkKind::Answer,
        tokens: Some(1),
        text_bytes: 6,
        coalesced: false,
        read_delay: Nanos(20_000),
    }
}

/// Times a part, and prints what a unit of it costs.
fn time(part: &mut Part) -> Result<()> {
    let mut quickest = f64::MAX;
    for _ in 0..TIMES {
        let (start, mut rounds) = (now_ns(), 0_u32);
        while now_ns() - start < TIMED_NS {
            (part.round)();
            rounds += 1;
        }
        quickest = quickest.min((now_ns() - start) as f64 / f64::from(rounds));
    }
    let Part { name, unit, units, bytes, .. } = part;
    let speed = bytes.map(|bytes| format!(", {:.0} MB/s", bytes as f64 / quickest * 1e3));
    say(&format!(
        "{name:<30} {:>8.1} ns a {unit}, {:.2} million/s{}\n",
        quickest / *units,
        *units / quickest * 1e3,
        speed.unwrap_or_default()
    ))
}

/// Does so many rounds of a part, for the counter above.
fn run(name: &str, rounds: u32) -> Result<()> {
    let mut parts = parts();
    let part = parts.iter_mut().find(|part| part.name == name).context("no such part")?;
    (0..rounds).for_each(|_| (part.round)());
    Ok(())
}

/// Counts a part's instructions: those of three rounds less those of one, so that what a program
/// does beside falls out.
fn instructions(part: &Part) -> Result<()> {
    let count = |rounds: &str| -> Result<f64> {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(std::env::current_exe()?)
            .args(["--rounds", part.name, rounds])
            .output()
            .context("valgrind counts the instructions: is it installed?")?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{text}");
        let line = text.lines().find_map(|line| line.split_once("Collected : "));
        let (_, collected) = line.with_context(|| format!("no count in: {text}"))?;
        Ok(collected.trim().parse()?)
    };
    let each = (count("3")? - count("1")?) / 2.0 / part.units;
    say(&format!("{:<30} {each:>8.1} instructions a {}\n", part.name, part.unit))
}

fn say(text: &str) -> Result<()> {
    use std::io::Write;
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}
