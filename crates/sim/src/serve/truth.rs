//! What a listener really did: one record for each request that asked for an answer.
//!
//! Instants are nanoseconds on `CLOCK_MONOTONIC`, so that a client on the same machine can be
//! compared with them; the header says how far the wall clock was from it.
//!
//! In a file, the first line is the header and each further line a record, in JSON. Records come
//! in the order in which requests ended.
//!
//! # Invariants
//!
//! - The same seed and the same requests in the same order give the same records, instants apart.
//! - Every request has one record, also one that was refused or given up.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use infermark_terms::OutcomeKind;
use serde::{Deserialize, Serialize};

/// The name of the records' form.
pub const SCHEMA: &str = "infermark.truth/1";

/// What holds for all records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TruthHeader {
    /// [`SCHEMA`].
    pub schema: String,
    /// The model that is served.
    pub model: String,
    /// The seed of faults and names.
    pub seed: u64,
    /// The listener's start.
    pub epoch_ns: u64,
    /// Wall-clock time less `CLOCK_MONOTONIC`, at the start.
    pub wall_offset_ns: i64,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TruthRecord {
    /// Its number, from 0, in order of arrival.
    pub index: u64,
    /// The answer's name, `chatcmpl-…` or `cmpl-…`; absent if it was refused unread.
    pub id: Option<String>,
    /// The value of its header `x-request-id`.
    pub x_request_id: Option<String>,
    /// When a read brought its first byte.
    pub first_byte_ns: u64,
    /// Its arrival at the engine: when a read brought its last byte, or when the request before
    /// it on the connection had ended, if that was later.
    pub arrival_ns: u64,
    /// When the response's head was handed to the kernel.
    pub head_ns: Option<u64>,
    /// The status of the response.
    pub status: u16,
    /// Input tokens, template included.
    pub prompt_tokens: u32,
    /// Those of them that the prefix cache held.
    pub cached_tokens: u32,
    /// Output tokens that were to be generated.
    pub output_tokens: u32,
    /// What the engine generated, step by step.
    pub tokens: Vec<TokenTruth>,
    /// The last usage that the client was told: input and output tokens.
    pub told: Option<(u32, u32)>,
    /// What was done wrong on purpose.
    pub faults: Vec<String>,
    /// How the request ends for a client that waits for the end.
    pub outcome: OutcomeKind,
    /// How it ended here.
    pub ending: Ending,
    /// When its last byte was handed to the kernel, or when it ended otherwise.
    pub end_ns: u64,
}

/// One step of an answer. In JSON: `[due, written, count]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, Option<u64>, u32)", into = "(u64, Option<u64>, u32)")]
pub struct TokenTruth {
    /// When the engine had it.
    pub due_ns: u64,
    /// When the write of its last byte had returned; absent if it was never written.
    pub written_ns: Option<u64>,
    /// How many tokens.
    pub count: u32,
}

impl From<(u64, Option<u64>, u32)> for TokenTruth {
    fn from((due_ns, written_ns, count): (u64, Option<u64>, u32)) -> Self {
        Self { due_ns, written_ns, count }
    }
}

impl From<TokenTruth> for (u64, Option<u64>, u32) {
    fn from(token: TokenTruth) -> Self {
        (token.due_ns, token.written_ns, token.count)
    }
}

/// How a request ended on the server's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The response was written to its end, whatever it said.
    Complete,
    /// The connection was reset on purpose.
    Reset,
    /// The connection was closed early on purpose.
    Truncated,
    /// The client closed the connection first.
    ClientClosed,
    /// The listener stopped.
    Stopped,
}

/// Takes the truth. It is called between tokens: it must not wait.
pub trait TruthSink: Send {
    /// Takes the header, before everything else.
    fn begin(&mut self, header: TruthHeader);

    /// Takes a record.
    fn record(&mut self, record: TruthRecord);

    /// Learns that there are no more, and waits until all are kept.
    ///
    /// # Errors
    ///
    /// If some could not be kept.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// How many records may wait to be written.
const QUEUE: usize = 4096;

/// Writes the truth as lines of JSON, on a thread of its own.
///
/// If the file is so slow that the queue is full, the listener waits: truth is worth more than
/// punctuality, and the truth shows the wait.
#[derive(Debug)]
pub struct JsonLines {
    queue: SyncSender<Line>,
    writer: JoinHandle<io::Result<()>>,
}

#[derive(Debug)]
enum Line {
    Header(TruthHeader),
    Record(TruthRecord),
}

impl JsonLines {
    /// Writes to a new file at this path.
    ///
    /// # Errors
    ///
    /// If it cannot be created.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::new(BufWriter::new(File::create(path)?))
    }

    /// Writes to `out`.
    ///
    /// # Errors
    ///
    /// If there can be no further thread.
    pub fn new(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, lines) = sync_channel(QUEUE);
        let writer = std::thread::Builder::new()
            .name("sim-truth".to_owned())
            .spawn(move || write(out, &lines))?;
        Ok(Self { queue, writer })
    }

    fn send(&self, line: Line) {
        // A writer that has failed hears no more; `finish` tells why.
        if let Err(TrySendError::Full(line)) = self.queue.try_send(line) {
            drop(self.queue.send(line));
        }
    }
}

fn write(mut out: impl Write, lines: &Receiver<Line>) -> io::Result<()> {
    for line in lines {
        match line {
            Line::Header(header) => serde_json::to_writer(&mut out, &header)?,
            Line::Record(record) => serde_json::to_writer(&mut out, &record)?,
        }
        out.write_all(b"\n")?;
    }
    out.flush()
}

impl TruthSink for JsonLines {
    fn begin(&mut self, header: TruthHeader) {
        self.send(Line::Header(header));
    }

    fn record(&mut self, record: TruthRecord) {
        self.send(Line::Record(record));
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let Self { queue, writer } = *self;
        drop(queue);
        match writer.join() {
            Ok(written) => written,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
