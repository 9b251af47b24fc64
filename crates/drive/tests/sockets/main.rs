//! The driver over real sockets, against servers that do exactly what a test says.
//!
//! Nothing here sleeps, and no test asks how long anything took: outcomes, counts and the order
//! of instants are asserted. `load` checks the laws that hold for every run.

#![expect(clippy::unwrap_used, reason = "all of it is test code, scripts of servers included")]

mod allocations;
mod calls;
mod connections;
mod http2;
mod load;
mod outcomes;
mod proxies;
mod retries;
mod server;
mod shards;
mod stamps;
mod tls;
