//! Versioned, append-only run records.
