//! Estimates become bytes: tables and JSON.
