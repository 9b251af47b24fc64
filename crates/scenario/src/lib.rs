//! A file, the environment or flags become validated intent.
//!
//! [`intent`] says what a scenario *is*; the rest says how text becomes one, with an error that
//! points at the place for each unknown key, wrong unit and contradiction.
//!
//! Deliberately not here: reading flags (that is `cli`'s), opening datasets, contacting servers.

pub mod intent;
