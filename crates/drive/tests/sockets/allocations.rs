//! A chunk costs no allocation once the buffers have grown.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use infermark_drive::{Batch, Capture, Carrier, Clock, Order, Worker};
use infermark_terms::{Due, RequestId};
use rustls::version::TLS13;

use crate::http2::{self, Talk, begin, chunk, end};
use crate::load::{Load, order, send};
use crate::server::{Peer, Server, event, head, tail};
use crate::tls::{Authority, endpoint};

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

/// Answers the n-th request with 2ⁿ times as many chunks as the first, each written on its own
/// and in two pieces.
fn doubling(mut peer: Peer) {
    let mut chunks = 50;
    while peer.request().is_some() {
        peer.say(&head());
        for _ in 0..chunks {
            let event = event("some \"text\"\n");
            let (begin, end) = event.split_at(event.len() / 2);
            peer.say(begin);
            peer.say(end);
        }
        peer.say(&tail());
        chunks *= 2;
    }
}

/// Returns how many allocations each of so many requests took, one after another.
fn allocations(mut worker: Worker, requests: u64, bytes: &[u8]) -> Vec<u64> {
    let mut batch = Batch::default();
    batch.chunks.reserve(1 << 16);
    batch.requests.reserve(16);
    let of = |id| {
        let before = CALLS.get();
        let due = Due::new(RequestId(id), worker.now());
        send(&mut worker, due, Order { bytes: bytes.to_vec(), ..order() }, &mut batch);
        CALLS.get() - before
    };
    let calls = (0..requests).map(of).collect();
    assert_eq!(batch.chunks.len(), (0..requests).map(|n| 50 << n).sum::<usize>());
    calls
}

#[test]
fn chunks_cost_no_allocation_once_the_buffers_have_grown() {
    let server = Server::plain(doubling);
    let mut plan = Load::of(server.endpoint()).plan;
    plan.capture = Capture::Nothing;
    let calls = allocations(Worker::new(plan, Clock::start()).unwrap(), 6, &order().bytes);
    // What the last one took is for the request itself: it has 1,600 chunks.
    assert!(calls[5] < 16, "{calls:?}");
}

/// Does the same over HTTP/2.
fn doubling_streams(peer: Peer) {
    let mut talk = Talk::new(peer, &[]);
    let mut chunks = 50;
    while let Some(stream) = talk.request() {
        talk.say(|out| begin(out, stream));
        for _ in 0..chunks {
            talk.say(|out| chunk(out, stream, "some \"text\"\n"));
        }
        talk.say(|out| end(out, stream));
        chunks *= 2;
    }
}

#[test]
fn chunks_over_http_2_cost_no_allocation_either() {
    let server = Server::plain(doubling_streams);
    let mut plan = Load::of(http2::endpoint(&server)).plan;
    plan.capture = Capture::Nothing;
    let bytes = plan.endpoints[0].request("POST", "/", &[], Some(b"{}"));
    let calls = allocations(Worker::new(plan, Clock::start()).unwrap(), 6, &bytes);
    assert!(calls[5] < 60, "{calls:?}");
}

#[test]
fn chunks_over_tls_cost_little_more_than_what_tls_takes() {
    let authority = Authority::new();
    let server = Server::secure(authority.certify("127.0.0.1", &[&TLS13], |_| {}), doubling);
    let mut plan = Load::of(endpoint(&server, &authority.roots())).plan;
    plan.capture = Capture::Nothing;
    let calls = allocations(Worker::new(plan, Clock::start()).unwrap(), 6, &order().bytes);
    // The library keeps what it decrypted in one buffer for each record, of which a chunk has two.
    assert!(calls[5] < 1600 * 3, "{calls:?}");
}
