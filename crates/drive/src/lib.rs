//! Sends what is due, reads what comes back, and stamps both. The only hot path.
//!
//! ```text
//!            Step                    Order
//!  Dispatcher ────▶ shard::run ──────────────▶ Worker (epoll, sockets, TLS)
//!   (pure)   ◀────      │      ◀──────────────    │
//!            ended      ▼        rows, chunks     ▼
//!                     Outbox ──────────────▶ a writer thread, not ours
//! ```
//!
//! One OS thread carries one shard of the run: its own event loop, its own connections, its own
//! buffers. A request lives on one thread from first to last byte. Threads share one counter,
//! which holds the load up until every shard's window has ended, and nothing else.
//!
//! # Invariants
//!
//! - A stamp is taken before the bytes are looked at: by the kernel when they arrive, else by the
//!   clock when the read returns. Parsing comes after; tokenizing after the run.
//! - Every arrival that the pacer yields ends in exactly one row.
//! - There is no cap on connections but the load's own.
//! - A request is sent again only where nothing of an answer has come, and its row says so.
//!
//! Deliberately not here: what is asked and when (`workload`, `schedule`), what the rows mean
//! (`measure`), and where they are kept (`store`).

pub mod call;
pub mod carrier;
pub mod clock;
mod connection;
pub mod dispatch;
pub mod endpoint;
mod fetch;
mod flight;
mod mux;
mod pipe;
pub mod priority;
pub mod proxy;
mod rota;
pub mod shard;
mod socket;
mod thread;
mod tls;
pub mod trust;
mod tunnel;
mod worker;

pub use call::{CallError, Response, Sighting, call, probe};
pub use carrier::{Batch, Carrier, Order, Source};
pub use clock::Clock;
pub use dispatch::{Dispatcher, Step};
pub use endpoint::{Endpoint, EndpointError, Route, Scheme, shown};
pub use fetch::{FetchError, Fetched, Opening, fetch};
pub use proxy::{Proxies, Proxy, ProxyError};
pub use shard::{Gate, Outbox, Report, Shared, Stop, run};
pub use socket::keep_stamping;
pub use trust::{Identity, Roots, TlsFault, TrustError};
pub use worker::{Capture, Limits, Reuse, Worker, WorkerPlan};
