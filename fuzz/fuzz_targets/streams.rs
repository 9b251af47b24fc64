//! Fuzzes connections of HTTP/2: see `crates/wire/tests/wire/fuzzed.rs`.

#![no_main]

#[path = "../../crates/wire/tests/wire/fuzzed.rs"]
#[allow(dead_code, reason = "each target uses one of its laws")]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzed::streams(bytes));
