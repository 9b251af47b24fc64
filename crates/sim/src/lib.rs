//! An inference engine with ground truth.
//!
//! | module | what |
//! |---|---|
//! | [`engine`] | the interface of an engine, and the real one: continuous batching as vLLM does it |
//! | [`latency`] | the simplest engine: latencies as given |
//!
//! Everything here is a pure function of values: an [`engine::Engine`] is told the time and says
//! what happened and when it wants to be asked again. It never reads a clock, a file or a socket.

pub mod engine;
pub mod latency;
