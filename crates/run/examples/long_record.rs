//! Writes the record of a run of any length, from the simulator in virtual time.
//!
//! ```console
//! cargo run --release -p infermark-run --example long_record -- 1000000 /tmp/long
//! ```
//!
//! Each request has 200 chunks. The rows are those of a closed loop of 64 on a simulated server,
//! in stretches of 20,000 requests with seeds of their own, set one after another.

#![expect(clippy::print_stdout, reason = "it reports to whoever runs it")]

use std::error::Error;
use std::path::Path;

use infermark_run::predict::{Rehearsal, rehearse};
use infermark_scenario::settings::{self, Setting};
use infermark_scenario::{Given, resolve};
use infermark_store::{KeepChunks, RunFile, RunWriter};
use infermark_terms::{ChunkRow, Nanos, RequestId, RequestRow, Seed, Stamp};
use serde_json::json;

/// Requests that are simulated at a time.
const STRETCH: u64 = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [count, dir] = &words[..] else { return Err("expected: REQUESTS DIR".into()) };
    let count: u64 = count.parse()?;
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
    let mut writer = RunWriter::create(Path::new(dir), &header)?;
    let (mut from, mut begin, mut chunks) = (0, Nanos::ZERO, 0);
    let mut next = Some(first);
    while from < count {
        let size = STRETCH.min(count - from);
        let rows = match next.take() {
            Some(rows) => rows,
            None => stretch(from / STRETCH, size)?,
        };
        let end = rows.requests.iter().map(|row| row.end).max().unwrap_or(Stamp::ZERO);
        chunks += rows.chunks.len();
        append(&mut writer, rows, from, begin)?;
        (from, begin) = (from + size, begin + end.since(Stamp::ZERO));
    }
    writer.finish(&header, KeepChunks::Keep)?;
    println!("{count} requests and {chunks} chunks in {dir}");
    Ok(())
}

/// Simulates a stretch of the load.
fn stretch(index: u64, size: u64) -> Result<Rehearsal, Box<dyn Error>> {
    let requests = size.to_string();
    let asked: [(&'static Setting, &str); 5] = [
        (&settings::TARGET, "sim:llama-3.1-8b@h100"),
        (&settings::CONCURRENCY, "64"),
        (&settings::REQUESTS, &requests),
        (&settings::INPUT_TOKENS, "256"),
        (&settings::OUTPUT_TOKENS, "200"),
    ];
    let given = asked.into_iter().map(|(setting, text)| Given::flag(setting, text)).collect();
    let resolved = resolve(given, Seed(index)).map_err(|problems| problems.to_string())?;
    Ok(rehearse(&resolved)?)
}

/// Appends a stretch behind the requests and time of those before.
fn append(
    writer: &mut RunWriter,
    rows: Rehearsal,
    from: u64,
    begin: Nanos,
) -> Result<(), Box<dyn Error>> {
    let id = |id: RequestId| RequestId(id.0 + from);
    let at = |stamp: Stamp| stamp + begin;
    let chunks: Vec<ChunkRow> = rows
        .chunks
        .into_iter()
        .map(|chunk| ChunkRow { request: id(chunk.request), at: at(chunk.at), ..chunk })
        .collect();
    for part in chunks.chunks(1 << 16) {
        writer.append_chunks(part)?;
    }
    let requests: Vec<RequestRow> = rows
        .requests
        .into_iter()
        .map(|row| RequestRow {
            id: id(row.id),
            due: at(row.due),
            connected: row.connected.map(at),
            sent: row.sent.map(at),
            first_byte: row.first_byte.map(at),
            first_token: row.first_token.map(at),
            first_answer: row.first_answer.map(at),
            last_token: row.last_token.map(at),
            end: at(row.end),
            ..row
        })
        .collect();
    Ok(writer.append_requests(&requests)?)
}
