//! Two records side by side, point by point.
//!
//! ```text
//!  run, study, imported result ─▶ Side (spots) ─┐
//!                                               ├─▶ pair ─▶ contrast ─▶ Contrasted, one a load
//!  run, study, imported result ─▶ Side (spots) ─┘
//! ```
//!
//! A side's points of one load and one workload are repeats of each other. What two sides have
//! in common is paired by load and by whatever else varies within either side; what is the same
//! throughout a side pairs in any case, and is told among what differed.
//!
//! # Invariants
//!
//! - Latencies of a saturated point hang on how long one looks. They are not compared.
//! - Observations are compared with observations, quoted figures with quoted ones by the same
//!   definition. What has no observations on either side is never called better or worse, unless
//!   it was repeated.
//!
//! Deliberately not here: the tests (`measure::compare`), other tools' definitions, gates, and
//! words for people.

mod contrasted;
mod differences;
mod pairing;
mod quoted;
mod shared;
mod side;

pub use self::contrasted::{Contrasted, contrast};
pub use self::differences::{Difference, differences};
pub use self::pairing::{Pairs, pair};
pub use self::side::{Load, Side, Spot};

#[cfg(test)]
mod tests;
