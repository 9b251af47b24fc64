//! Writes the record of a run of any length, from the simulator in virtual time, and measures it:
//! how long that takes, and how much memory, hangs on nothing but the record.
//! docs/performance.md has the results.
//!
//! ```console
//! cargo run --release -p infermark-run --example long_record -- write 1000000 target/long
//! /usr/bin/time -v target/release/examples/long_record measure target/long
//! ```
//!
//! Requests have 100 to 300 chunks each, and arrive at random: some 45 are in flight. The rows are
//! those of stretches of 20,000 requests with seeds of their own, set one after another.

#![expect(clippy::print_stdout, reason = "an experiment prints what it found")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use infermark_run::measure_again;
use infermark_run::predict::{Rehearsal, rehearse};
use infermark_scenario::settings::{self, Setting};
use infermark_scenario::{Given, resolve};
use infermark_store::{KeepChunks, RunFile, RunWriter};
use infermark_terms::{ChunkRow, Nanos, RequestId, RequestRow, Seed, Stamp};
use serde_json::json;

/// Requests that are simulated at a time.
const STRETCH: u64 = 20_000;

/// Chunks that are handed over at a time.
const BATCH: usize = 1 << 16;

#[expect(clippy::disallowed_methods, reason = "an experiment times itself")]
fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let began = Instant::now();
    let (done, chunks) = match words[..] {
        ["write", count, dir] => ("written", write(Path::new(dir), count.parse()?)?),
        ["measure", dir] => ("measured", measure(Path::new(dir))?),
        _ => return Err("expected: write REQUESTS DIR, or measure DIR".into()),
    };
    let seconds = began.elapsed().as_secs_f64();
    let rate = chunks as f64 / seconds / 1e6;
    println!("{done} in {seconds:.1} s: {rate:.2} million chunks a second");
    Ok(())
}

/// Measures a record, and returns how many chunks it has.
fn measure(dir: &Path) -> Result<u64, Box<dyn Error>> {
    let measured = measure_again(dir)?;
    let latency = &measured.point.latency;
    for (name, figure) in [("TTFT", latency.ttft_ms), ("ITL", latency.itl_ms)] {
        let Some(e) = figure else { return Err(format!("{name} is lost").into()) };
        println!("{name} n {} mean {:.4} p50 {:.4} p99 {:?}", e.n, e.mean, e.p50, e.p99);
    }
    Ok(measured.point.counts.due + latency.itl_ms.map_or(0, |itl| itl.n))
}

/// Writes a record of so many requests, and returns how many chunks it has.
fn write(dir: &Path, count: u64) -> Result<u64, Box<dyn Error>> {
    let first = stretch(0, STRETCH.min(count))?;
    let header = RunFile {
        id: "long".to_owned(),
        created: "1970-01-01T00:00:00Z".to_owned(),
        definitions: infermark_run::DEFINITIONS.to_owned(),
        target: json!({ "url": "sim:", "embedded": true, "model": "simulated" }),
        environment: json!({ "version": env!("CARGO_PKG_VERSION") }),
        plan: json!(first.plan),
        ..RunFile::default()
    };
    let mut writer = RunWriter::create(dir, &header)?;
    let (mut from, mut begin, mut chunks) = (0, Nanos::ZERO, 0);
    let mut next = Some(first);
    while from < count {
        let size = STRETCH.min(count - from);
        let rows = match next.take() {
            Some(rows) => rows,
            None => stretch(from / STRETCH, size)?,
        };
        let end = rows.requests.iter().map(|row| row.end).max().unwrap_or(Stamp::ZERO);
        chunks += rows.chunks.len() as u64;
        append(&mut writer, rows, from, begin)?;
        (from, begin) = (from + size, begin + end.since(Stamp::ZERO));
        println!("{from} of {count} requests, {chunks} chunks");
    }
    writer.finish(&header, KeepChunks::Keep)?;
    Ok(chunks)
}

/// Simulates a stretch of the load.
fn stretch(index: u64, size: u64) -> Result<Rehearsal, Box<dyn Error>> {
    let requests = size.to_string();
    let asked: [(&'static Setting, &str); 5] = [
        (&settings::TARGET, "sim:llama-3.1-8b@h100"),
        (&settings::RATE, "20/s"),
        (&settings::REQUESTS, &requests),
        (&settings::INPUT_TOKENS, "uniform(128..384)"),
        (&settings::OUTPUT_TOKENS, "uniform(100..300)"),
    ];
    let given = asked.into_iter().map(|(setting, text)| Given::flag(setting, text)).collect();
    let resolved = resolve(given, Seed(index)).map_err(|problems| problems.to_string())?;
    Ok(rehearse(&resolved)?)
}

/// Appends a stretch behind the requests and time of those before.
fn append(
    writer: &mut RunWriter,
    mut rows: Rehearsal,
    from: u64,
    begin: Nanos,
) -> Result<(), Box<dyn Error>> {
    let later = |stamp: Option<Stamp>| stamp.map(|stamp| stamp + begin);
    let chunk = |chunk: &ChunkRow| ChunkRow {
        request: RequestId(chunk.request.0 + from),
        at: chunk.at + begin,
        ..*chunk
    };
    for batch in rows.chunks.chunks(BATCH) {
        writer.append_chunks(&batch.iter().map(chunk).collect::<Vec<_>>())?;
    }
    for row in &mut rows.requests {
        let RequestRow { id, due, end, .. } = row;
        (id.0, *due, *end) = (id.0 + from, *due + begin, *end + begin);
        (row.connected, row.sent) = (later(row.connected), later(row.sent));
        (row.first_byte, row.first_token) = (later(row.first_byte), later(row.first_token));
        (row.first_answer, row.last_token) = (later(row.first_answer), later(row.last_token));
    }
    Ok(writer.append_requests(&rows.requests)?)
}
