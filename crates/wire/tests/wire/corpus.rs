//! The laws of `fuzzed`, over what becomes of the recorded responses when bytes are changed, lost
//! and repeated. Of the recordings as they are, `goldens` asserts more.

use std::fs;
use std::path::{Path, PathBuf};

use infermark_terms::{FinishReason, Outcome};

use crate::fuzzed;

/// Spoilt copies of each recording.
const COPIES: u64 = 2;

/// Longer recordings are cut: what is spoilt lies near the beginning as well as anywhere.
const LENGTH_MAX: usize = 1000;

/// There are few of whole connections.
const COPIES_OF_CONNECTIONS: u64 = 100;

/// A generator whose numbers are the same in every run (xorshift64*).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }
}

/// Changes, drops, repeats or inserts a few bytes, with a liking for those that mean something.
fn spoilt(original: &[u8], seed: u64) -> Vec<u8> {
    const LIKED: &[u8] = b"\r\n:\"\\{}[],0f \xff\x00\xc3";
    let mut draw = Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut bytes = original.to_vec();
    for _ in 0..=draw.below(4) {
        let at = draw.below(bytes.len());
        let liked = LIKED[draw.below(LIKED.len())];
        let end = (at + 1 + draw.below(40)).min(bytes.len());
        match draw.below(5) {
            0 => bytes.insert(at, liked),
            1 if at < bytes.len() => bytes[at] = liked,
            2 => drop(bytes.drain(at..end)),
            3 => {
                let again = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, again));
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

fn recordings(extension: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(extension) {
                paths.push(path);
            }
        }
    }
    paths.sort();
    assert!(!paths.is_empty(), "the recordings are there");
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Asserts a law of spoilt copies of every recording.
fn hold(extension: &str, law: impl Fn(&[u8])) {
    for (index, mut recording) in (0..).zip(recordings(extension)) {
        recording.truncate(LENGTH_MAX);
        for copy in 0..COPIES {
            law(&spoilt(&recording, index * COPIES + copy));
        }
    }
}

#[test]
fn no_response_makes_the_decoder_panic_or_depend_on_the_reads() {
    hold(".http", fuzzed::response);
}

#[test]
fn no_event_stream_makes_the_decoder_panic_or_depend_on_the_reads() {
    hold(".http", fuzzed::events);
}

#[test]
fn no_response_makes_an_exchange_panic_or_depend_on_the_reads() {
    hold(".http", fuzzed::exchange);
}

#[test]
fn no_request_makes_the_server_panic_or_depend_on_the_reads() {
    hold(".request.json", |body| {
        fuzzed::asked(body);
        let head = format!("POST /v1/x HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
        fuzzed::request(&[head.as_bytes(), body, head.as_bytes()].concat());
    });
    hold(".http", fuzzed::request);
}

#[test]
fn no_event_makes_an_answer_panic_or_depend_on_the_reads() {
    hold(".http", |recording| {
        let mut lines = recording.split(|&byte| byte == b'\n');
        if let Some(data) = lines.find_map(|line| line.strip_prefix(b"data: {")) {
            fuzzed::event(&[b"{", data].concat());
        }
    });
}

#[test]
fn no_connection_of_http_2_makes_the_client_panic_or_depend_on_the_reads() {
    for recording in recordings(".http2") {
        for copy in 0..COPIES_OF_CONNECTIONS {
            fuzzed::streams(&spoilt(&recording, copy));
        }
    }
}

#[test]
fn recorded_connections_of_http_2_bring_every_answer_whole() {
    for recording in recordings(".http2") {
        fuzzed::streams(&recording);
        let (heard, fault) = fuzzed::heard(&recording, usize::MAX);
        assert_eq!((heard.len(), fault), (3, None));
        for (outcome, chunks, tokens) in heard {
            assert_eq!(outcome, Some(Outcome::Finished { reason: FinishReason::Length }));
            assert_eq!((chunks.len(), tokens), (8, Some(8)));
        }
    }
}
