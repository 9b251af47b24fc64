//! Instants: where they come from, and which chunks have one of their own.

use std::sync::Mutex;
use std::sync::mpsc::sync_channel;

use infermark_drive::{Clock, Shared, Stop};
use infermark_terms::StampSource;

use crate::load::Load;
use crate::server::{Peer, Server, always, event, head, once, streamed, tail};

#[test]
fn arrivals_are_stamped_by_the_kernel() {
    let server = Server::plain(always(streamed(&["one", "two"])));
    // The kernel begins to stamp some time after it was asked to.
    let stamped = (0..1000).any(|_| {
        let record = Load::of(server.endpoint()).requests(20).run();
        let row = record.rows.last().unwrap();
        assert_eq!(row.read_delay_max.is_some(), row.stamps == StampSource::Kernel);
        row.stamps == StampSource::Kernel
    });
    assert!(stamped);
}

#[test]
fn chunks_that_one_read_brought_share_an_instant() {
    let server = Server::plain(always(streamed(&["a", "b", "c", "d"])));
    let record = Load::of(server.endpoint()).requests(20).run();
    for row in &record.rows {
        assert_eq!((row.chunks, row.coalesced), (4, 3));
        assert_eq!(row.first_token, row.last_token);
    }
    let coalesced: Vec<_> = record.chunks[..4].iter().map(|chunk| chunk.coalesced).collect();
    assert_eq!(coalesced, [false, true, true, true]);
}

#[test]
fn chunks_that_come_one_by_one_have_instants_of_their_own() {
    let stop = Stop::default();
    let draining = stop.clone();
    // The other connection ticks, while somebody waits for it, after each of its answers. The
    // first tick may be of an answer from before the last event, and the second of a request from
    // before it; but whoever asks for the third answer has read the second, and so that event.
    let (tick, ticks) = sync_channel::<()>(0);
    let ticks = Mutex::new(ticks);
    let server = Server::plain(move |mut peer: Peer| {
        let mut slow = peer.number == 0;
        while peer.request().is_some() {
            if !std::mem::take(&mut slow) {
                peer.say(&streamed(&["tick"]));
                let _nobody = tick.try_send(());
                continue;
            }
            peer.say(&head());
            for text in ["a", "b", "c"] {
                peer.say(&event(text));
                ticks.lock().unwrap().iter().take(3).for_each(drop);
            }
            peer.say(&tail());
            draining.drain();
        }
    });
    let load = Load { stop, ..Load::of(server.endpoint()).requests(u64::MAX).slots(2) };
    let shared = Shared::new(1, load.stop.clone());
    let record = load.run_shard(Clock::start(), &shared, 1);
    assert!(record.all_finished());
    let slow = record.rows.iter().find(|row| row.chunks == 3).unwrap();
    assert_eq!(slow.coalesced, 0);
    let at: Vec<_> =
        record.chunks.iter().filter(|chunk| chunk.request == slow.id).map(|c| c.at).collect();
    assert!(at[0] < at[1] && at[1] < at[2]);
}

#[test]
fn a_response_that_comes_byte_by_byte_is_the_same_response() {
    let texts = ["one", " \u{e9}\u{1f600}", " three"];
    let server = Server::plain(move |mut peer: Peer| {
        while peer.request().is_some() {
            for byte in streamed(&texts) {
                peer.say(&[byte]);
            }
        }
    });
    let record = Load::of(server.endpoint()).requests(5).slots(2).run();
    assert!(record.all_finished());
    for row in &record.rows {
        assert_eq!((row.chunks, record.text(row.id.0)), (3, &*texts.concat()));
        assert_eq!(row.bytes, streamed(&texts).len() as u64);
    }
}

#[test]
fn a_long_stream_leaves_the_others_their_turn() {
    // One stream floods for as long as the others have not ended.
    let (told, telling) = sync_channel::<()>(64);
    let telling = Mutex::new(telling);
    let server = Server::plain(move |mut peer: Peer| {
        if peer.number > 0 {
            once(streamed(&["short"]))(peer);
            return told.send(()).unwrap();
        }
        if peer.request().is_some() {
            peer.say(&head());
            let flood = event("flood").repeat(200);
            let mut ended = 0;
            while ended < 9 {
                peer.say(&flood);
                ended += telling.lock().unwrap().try_iter().count();
            }
            peer.say(&tail());
        }
    });
    let record = Load::of(server.endpoint()).requests(10).slots(10).run();
    assert!(record.all_finished());
    assert_eq!(record.rows.iter().filter(|row| row.chunks == 1).count(), 9);
}
