//! An inference engine with ground truth.
//!
//! | module | what |
//! |---|---|
//! | [`engine`] | the interface of an engine; continuous batching as vLLM does it |
//! | [`latency`] | the simplest engine: latencies as given |
//! | [`model`], [`hardware`] | shapes of models; accelerators |
//! | [`deployment`] | what is deployed, split how, and whether it fits |
//! | [`cost`], [`efficiency`] | what a step costs; the calibrated constants |
//! | [`serve`] | an engine as an OpenAI-compatible server over loopback |
//! | [`spec`] | a deployment in one line, as after `sim:` |
//! | [`physics`] | what no engine exceeds on given hardware |
//! | [`predict`] | an engine under load in virtual time |
//! | [`validate`] | predictions against published measurements |
//!
//! Everything here but [`serve`] is a pure function of values: an [`engine::Engine`] is told the
//! time and says what happened and when it wants to be asked again. It never reads a clock, a file
//! or a socket.

pub mod cost;
pub mod deployment;
pub mod efficiency;
pub mod engine;
pub mod hardware;
pub mod latency;
pub mod model;
pub mod physics;
pub mod predict;
pub mod serve;
pub mod spec;
pub mod validate;
