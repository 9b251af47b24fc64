//! A streamed chunk costs no allocation once the buffers have grown.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use infermark_terms::{FinishReason, Usage};
use infermark_wire::dialect::path;
use infermark_wire::http1::{end_chunked, start_chunked, write_chunk};
use infermark_wire::server::{Answer, Asked, End, Endpoint, Part};
use infermark_wire::{Api, Delivery, Exchange, Progress};

/// The system's allocator, counting the calls of each thread.
struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    CALLS.with(|calls| calls.set(calls.get() + 1));
}

#[expect(unsafe_code, reason = "an allocator is unsafe by nature; this one only passes on")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns a request that asks for counts with every event, where that can be asked.
fn asked(api: Api) -> Asked {
    let target = path(api, Delivery::Streamed, "m");
    let body = r#"{"model": "m", "messages": [{"role": "user", "content": "a"}], "prompt": "a",
        "text_input": "a", "inputs": "a", "text": "a", "input": "a", "max_tokens": 9,
        "stream": true, "stream_options": {"include_usage": true, "continuous_usage_stats": true},
        "return_num_input_tokens": true}"#;
    Endpoint::of(&target).expect("it is served").parse(body.as_bytes()).expect("it is a request").1
}

fn response(api: Api, chunks: u32) -> Vec<u8> {
    let mut answer = Answer::new(api, &asked(api), 7, "model", 1);
    let (mut out, mut event) = (Vec::new(), Vec::new());
    start_chunked(&mut out, 200, &[("content-type", answer.content_type())]);
    for index in 1..=chunks {
        let usage = Usage { completion_tokens: index, ..Usage::default() };
        let text = "some \"text\"\n";
        let part = Part { text, ends: &[text.len()], ids: &[index], usage: Some(usage) };
        if index == chunks {
            let end = End { finish: &FinishReason::Length, usage: Some(usage) };
            answer.last(&mut event, &part, &end);
        } else {
            answer.part(&mut event, &part);
        }
        write_chunk(&mut out, &event);
        event.clear();
    }
    end_chunked(&mut out);
    out
}

/// Reads a response in pieces of `length` and returns how many allocations that took.
fn allocations(exchange: &mut Exchange, bytes: &[u8], length: usize) -> u64 {
    let before = CALLS.get();
    let (mut chunks, mut tokens, mut text, mut ended) = (0_u32, 0, 0, false);
    for piece in bytes.chunks(length) {
        let progress = exchange.receive(piece, &mut |chunk| {
            chunks += 1;
            tokens += chunk.tokens.unwrap_or(1);
            text += chunk.text.len_utf8();
        });
        ended = progress != Progress::Open;
    }
    let calls = CALLS.get() - before;
    assert!(ended && chunks > 0);
    assert_eq!((tokens, text), (chunks, chunks * 12));
    exchange.reset();
    calls
}

#[test]
fn chunks_cost_no_allocation_after_the_first_response() {
    for api in Api::ALL.into_iter().filter(|api| api.streams()) {
        let bytes = response(api, 200);
        let mut exchange = Exchange::new(api, Delivery::Streamed);
        for length in [3, 100, 1000, 100_000] {
            let _warm_up = allocations(&mut exchange, &bytes, length);
            assert_eq!(allocations(&mut exchange, &bytes, length), 0, "{api} in reads of {length}");
        }
    }
}
