//! The vocabulary that infermark's crates exchange.
//!
//! A type stands here only when two crates exchange it, and nothing here does more than
//! arithmetic: no clock, file, socket, task or unseeded randomness. Everything else belongs to
//! the crate whose idea it is.
//!
//! | module | words |
//! |---|---|
//! | [`time`] | [`Nanos`], [`Stamp`] |
//! | [`seed`] | [`Seed`] |
//! | [`api`] | [`Api`], [`Delivery`], [`HttpVersion`]: how servers are asked |
//! | [`ask`] | [`Ask`], [`Prompt`], [`OutputPolicy`]: what one request asks |
//! | [`pace`] | [`Pacer`], [`Next`], [`Due`], [`Turn`], [`Window`], [`Shard`]: when it is asked |
//! | [`outcome`] | [`Outcome`] and its parts: how it ended |
//! | [`record`] | [`RequestRow`], [`ChunkRow`]: what was observed |
//! | [`price`] | [`Price`], [`Currency`]: what an hour of a deployment costs |
//! | [`effort`] | [`Effort`]: what it took to carry them |
//! | [`telemetry`] | [`TelemetryRow`], [`Metric`]: what servers, GPUs and hosts say |
//! | [`caveat`] | [`Caveat`], [`Trust`]: how far the figures can be trusted |
//! | [`slo`] | [`Slo`], [`slo::Bound`]: what a deployment is asked to achieve |
//! | [`notation`] | how numbers and durations are written |

pub mod api;
pub mod ask;
pub mod caveat;
pub mod effort;
pub mod notation;
pub mod outcome;
pub mod pace;
pub mod price;
pub mod record;
pub mod seed;
pub mod slo;
pub mod telemetry;
pub mod time;

pub use api::{Api, Delivery, HttpVersion, UnknownApi};
pub use ask::{Ask, Message, OutputPolicy, Prompt};
pub use caveat::{Caveat, CaveatCode, Trust};
pub use effort::Effort;
pub use outcome::{
    DecodeFault, Excerpt, FinishReason, Outcome, OutcomeKind, Phase, ShedReason, TransportFault,
};
pub use pace::{Due, Next, Pacer, RequestId, Shard, Turn, Window};
pub use price::{Currency, NotAPrice, Price};
pub use record::{ChunkKind, ChunkRow, ConnectPhases, EventCounts, RequestRow, StampSource, Usage};
pub use seed::Seed;
pub use slo::Slo;
pub use telemetry::{Metric, MetricKind, TelemetryRow};
pub use time::{Nanos, Stamp};
