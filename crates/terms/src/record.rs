//! What was observed of each request and each chunk: the rows that `drive` writes, `store`
//! keeps and `measure` reads.
//!
//! The instants are those of docs/metrics.md, section 1, and absent where they did not happen.
//! Deliberately not here: anything derived, such as a latency.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{Nanos, Outcome, RequestId, Stamp, Turn};

/// One arrival and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    /// Which arrival.
    pub id: RequestId,
    /// Which generator thread carried it.
    pub shard: u32,
    /// Which turn of which session it is; absent where there are no sessions.
    pub turn: Option<Turn>,
    /// Which of the run's classes it is of, from 0; absent where there are none.
    pub class: Option<u32>,
    /// When the schedule said that it should leave.
    pub due: Stamp,
    /// When the connection that it used was ready.
    pub connected: Option<Stamp>,
    /// How long connecting took; absent on a reused connection.
    pub connect: Option<ConnectPhases>,
    /// When its last byte was handed to the kernel.
    pub sent: Option<Stamp>,
    /// When the first byte of the response arrived.
    pub first_byte: Option<Stamp>,
    /// When the first chunk arrived, reasoning included.
    pub first_token: Option<Stamp>,
    /// When the first chunk of answer text arrived.
    pub first_answer: Option<Stamp>,
    /// When the last chunk arrived.
    pub last_token: Option<Stamp>,
    /// When the response was complete, or when the outcome became known.
    pub end: Stamp,
    /// Where the arrival instants come from.
    pub stamps: StampSource,
    /// How it ended.
    pub outcome: Outcome,
    /// The input tokens that the workload meant the server to count.
    pub asked_input: Option<u32>,
    /// The output tokens that were asked for.
    pub asked_output: Option<u32>,
    /// The server's own count.
    pub usage: Option<Usage>,
    /// Our tokenizer's count of the whole output text, where it had to be made.
    pub tokenized: Option<u32>,
    /// Chunks: events that carry generated output.
    pub chunks: u32,
    /// Chunks that shared their read with an earlier chunk of the same request.
    pub coalesced: u32,
    /// Events that were no chunks.
    pub events: EventCounts,
    /// Bytes of the response, head included.
    pub bytes: u64,
    /// The longest time from a receive stamp of the kernel to our clock after the read.
    pub read_delay_max: Option<Nanos>,
    /// Whom the connection that it used led to: the server, or its proxy.
    pub address: Option<SocketAddr>,
    /// How often it was tried: 1 unless it had to be sent again; 0 if it never was, or where
    /// nobody counted.
    pub attempts: u32,
}

/// How long each part of connecting took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectPhases {
    /// Name resolution; zero where the address was known already.
    pub dns: Nanos,
    /// The TCP handshake.
    pub tcp: Nanos,
    /// The TLS handshake; zero without TLS.
    pub tls: Nanos,
}

impl ConnectPhases {
    /// Returns the sum of all phases.
    pub fn total(self) -> Nanos {
        self.dns + self.tcp + self.tls
    }
}

/// Where arrival instants come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StampSource {
    /// The kernel's receive timestamps.
    Kernel,
    /// Our clock, read after each read returned.
    Clock,
}

/// The server's own token counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Input tokens, template included.
    pub prompt_tokens: u32,
    /// Output tokens, reasoning included.
    pub completion_tokens: u32,
    /// Input tokens served from a prefix cache, where the server says.
    pub cached_tokens: Option<u32>,
    /// Output tokens that were reasoning, where the server says.
    pub reasoning_tokens: Option<u32>,
}

/// How many events of each kind that is no chunk were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventCounts {
    /// Events with a role and no output.
    pub role_only: u32,
    /// Events with choices and no output.
    pub empty: u32,
    /// Events with usage and no choices.
    pub usage_only: u32,
    /// Comments and keep-alives.
    pub comments: u32,
}

/// One chunk: a stream event that carries generated output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRow {
    /// Whose.
    pub request: RequestId,
    /// When it arrived.
    pub at: Stamp,
    /// What it carries.
    pub kind: ChunkKind,
    /// Its tokens, where known (continuous usage, token ids, logprobs); includes tokens of
    /// events without text since the previous chunk.
    pub tokens: Option<u32>,
    /// Its length in bytes of UTF-8 text.
    pub text_bytes: u32,
    /// Whether it shared its read with an earlier chunk of the same request: the gap before it
    /// was not observed.
    pub coalesced: bool,
    /// From the kernel's stamp to our clock after the read; zero without kernel stamps.
    pub read_delay: Nanos,
}

/// What a chunk carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChunkKind {
    /// Answer text.
    Answer,
    /// Reasoning text.
    Reasoning,
    /// Arguments of a tool call.
    ToolCall,
    /// Text of a refusal.
    Refusal,
}
