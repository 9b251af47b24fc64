//! The listener: an engine as an OpenAI-compatible server, in real or scaled time.
//!
//! ```text
//!            bytes            Job                 EngineEvent          bytes
//!  sockets ────────▶ Listener ────▶ Box<dyn Engine> ────────▶ Reply ──────────▶ Outbox ▶ sockets
//!                       │     ◀──── next_instant() ── timer     │ faults
//!                       └──────────── TruthRecord ◀─────────────┘
//! ```
//!
//! It serves `/v1/chat/completions`, `/v1/completions`, `/v1/models`, `/tokenize`,
//! `/detokenize`, `/health`, `/metrics` and `/version` as vLLM does. It is the ruler against
//! which clients are measured: each token is written as soon as the engine has it, and what was
//! really done, when, can be had as the truth ([`truth`]).
//!
//! # Invariants
//!
//! - One thread, one event loop; nothing on it waits but the loop itself.
//! - A token costs one write and no allocation. A client that does not read delays no other.
//! - A client that closes its connection aborts its job.
//!
//! Not here: what takes how long (the engine), and anything beyond HTTP/1.1.

mod clock;
mod faults;
mod lateness;
mod listener;
mod metrics;
mod outbox;
mod reply;
mod routes;
mod tls;
pub mod truth;
pub mod words;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::thread::JoinHandle;

use infermark_terms::{Seed, Stamp};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{Backlog, listen};

use self::clock::Clock;
use self::listener::{Duty, Listener};
use self::routes::Served;
use crate::engine::Engine;

pub use self::faults::{FaultPlan, ParseFaultsError};
pub use self::lateness::Lateness;
pub use self::truth::{JsonLines, TruthSink};

/// What to serve, and how.
pub struct ServePlan {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// Whether the address may be one that other machines can reach.
    pub reach: Reach,
    /// The model's name.
    pub model: String,
    /// What `/version` says.
    pub version: String,
    /// The most tokens of prompt and answer together.
    pub max_model_len: u32,
    /// Tokens in a block of the engine's KV cache, for a prefix cache to recognise prompts;
    /// absent if the engine has none.
    pub block_tokens: Option<u32>,
    /// The seed of names and faults.
    pub seed: Seed,
    /// Misbehaviour.
    pub faults: FaultPlan,
    /// Takes the truth.
    pub truth: Option<Box<dyn TruthSink>>,
    /// How many times faster than real time the engine runs. Faults last in real time.
    pub time_scale: f64,
    /// Whether the wire is encrypted.
    pub wire: Wire,
}

/// Whether the wire is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// HTTP.
    Plain,
    /// HTTP over TLS, with a certificate made afresh that nobody vouches for.
    Tls,
}

/// Who may reach the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This machine: only loopback addresses are accepted.
    Loopback,
    /// Whoever can reach the address.
    Network,
}

impl ServePlan {
    /// Returns the plan of a well-behaved server on a free port of this machine.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            reach: Reach::Loopback,
            model: model.into(),
            version: concat!("infermark-sim-", env!("CARGO_PKG_VERSION")).to_owned(),
            max_model_len: 131_072,
            block_tokens: Some(16),
            seed: Seed(0),
            faults: FaultPlan::default(),
            truth: None,
            time_scale: 1.0,
            wire: Wire::Plain,
        }
    }
}

/// What a listener did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Connections accepted.
    pub connections: u64,
    /// Requests for an answer, refused ones included.
    pub requests: u64,
    /// Those of them whose connection ended first, by the client or by the stop.
    pub cut_off: u64,
    /// Tokens sent or put in line to be sent.
    pub tokens: u64,
    /// Bytes sent on connections that have ended.
    pub bytes: u64,
    /// From the instant at which the engine had a streamed event's last token to the return of
    /// the write that took the event. Events that a fault or a full socket held back are not
    /// counted.
    pub lateness: Lateness,
    /// Why some of the truth could not be kept, if so.
    pub truth_lost: Option<String>,
}

/// Starts a listener on a thread of its own.
///
/// # Errors
///
/// If the address cannot be bound, or is not a loopback address and [`Reach::Loopback`] is
/// planned; if the time scale is not a positive number; if the system gives no thread, timer,
/// event queue or, for TLS, random numbers.
pub fn start(plan: ServePlan, engine: Box<dyn Engine>) -> io::Result<Serving> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    if plan.reach == Reach::Loopback && !plan.address.ip().is_loopback() {
        return Err(invalid(format!("`{}` is not a loopback address", plan.address.ip())));
    }
    if !(plan.time_scale.is_finite() && plan.time_scale > 0.0) {
        return Err(invalid(format!("`{}` is not a time scale above 0", plan.time_scale)));
    }
    if plan.block_tokens == Some(0) || plan.max_model_len == 0 {
        return Err(invalid("a block and a context need at least one token".to_owned()));
    }
    let socket = TcpListener::bind(plan.address)?;
    // Again, with the longest queue that the system allows: a burst of connections must not
    // wait for retransmissions.
    listen(&socket, Backlog::MAXALLOWABLE)?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    let clock = Clock::start(plan.time_scale);
    let duty = Duty {
        served: Served {
            model: plan.model,
            version: plan.version,
            max_model_len: plan.max_model_len,
            created: clock.wall_secs(Stamp::ZERO),
        },
        seed: plan.seed,
        faults: plan.faults,
        truth: plan.truth,
        block_tokens: plan.block_tokens,
        tls: match plan.wire {
            Wire::Plain => None,
            Wire::Tls => Some(tls::self_signed()?),
        },
    };
    let listener = Listener::new(duty, engine, clock, socket, &stop)?;
    let thread =
        std::thread::Builder::new().name("sim-serve".to_owned()).spawn(move || listener.run())?;
    Ok(Serving { address, stop, thread: Some(thread) })
}

/// A listener that is running. It stops when it is dropped.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    stop: EventFd,
    thread: Option<JoinHandle<Summary>>,
}

impl Serving {
    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it: open connections are closed, the truth is completed.
    ///
    /// # Panics
    ///
    /// If the listener did.
    pub fn stop(mut self) -> Summary {
        let thread = self.thread.take().expect("it is taken only here and in drop");
        self.signal();
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn signal(&self) {
        // The count cannot overflow: it is raised once.
        let _: usize = self.stop.write(1).expect("an event counter takes a one");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.signal();
            // A panic of the listener is not passed on from here: one may be under way already.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests;
