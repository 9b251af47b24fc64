//! A file, the environment or flags become validated intent.
//!
//! ```text
//! flags ─────────────┐
//! environment ───────┼─▶ Given (text, origin) ─▶ resolve ─▶ Resolved (Scenario, values, tags)
//! file ─ parse_file ─┘                              └─────▶ Problems, each with its place
//! ```
//!
//! [`intent`] says what a scenario *is*, [`settings`] what can be said about it; the rest says how
//! text becomes one, with an error that points at the place for each unknown key, wrong unit and
//! contradiction. A flag is stronger than the environment, that than the file, that than the
//! default.
//!
//! # Invariants
//!
//! - A [`Scenario`](intent::Scenario) that [`resolve()`] returns makes sense as a whole.
//! - [`Resolved::to_yaml`] writes a file that resolves to the same scenario.
//! - No text makes anything here panic, and no error quotes what may be a secret.
//!
//! Deliberately not here: reading flags, variables and files (that is `cli`'s), opening datasets,
//! contacting servers.

mod file;
pub mod gate;
mod given;
pub mod intent;
mod nearest;
mod problem;
pub mod resolve;
pub mod settings;
mod slate;
pub mod suite;
mod syntax;

pub use file::{FILE_BYTES_MAX, parse_file};
pub use given::{Given, Origin};
pub use nearest::{closest, nearest};
pub use problem::{Place, Problem, Problems};
pub use resolve::{Resolved, Value, resolve};
pub use settings::{Form, Group, SETTINGS, Setting};
