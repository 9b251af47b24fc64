//! Several shards of one run.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use infermark_drive::{Clock, Shared, Stop};
use infermark_terms::{Outcome, Stamp, Window};

use crate::load::Load;
use crate::server::{Peer, Server, streamed};

#[test]
fn load_goes_on_until_the_window_of_every_shard_has_ended() {
    const OTHERS: u32 = 100;
    let clock = Clock::start();
    let (served, more) = (Arc::new(Mutex::new(0)), Arc::new(Condvar::new()));
    let first = AtomicU32::new(0);
    // The connection on which the first request comes gets its first answer late: after the
    // other shard has had so many.
    let target = Server::plain(move |mut peer: Peer| {
        while peer.request().is_some() {
            if first.fetch_add(1, Ordering::AcqRel) == 0 {
                let waiting = more.wait_while(served.lock().unwrap(), |served| *served < OTHERS);
                drop(waiting.unwrap());
            }
            peer.say(&streamed(&["one"]));
            *served.lock().unwrap() += 1;
            more.notify_all();
        }
    });
    let shared = Shared::new(2, Stop::default());
    // So short that the held request outlives it.
    let window = Window { start: Stamp::ZERO, end: Some(Stamp(1_000_000)) };
    let drive = |index| {
        let mut load = Load { window, ..Load::of(target.endpoint()).requests(u64::MAX) };
        load.plan.shard = index;
        load.run_shard(clock, &shared, 2)
    };
    let records = std::thread::scope(|scope| {
        let threads = [0, 1].map(|index| scope.spawn(move || drive(index)));
        threads.map(|thread| thread.join().unwrap())
    });
    let mut ids: Vec<_> = records.iter().flat_map(|r| r.rows.iter().map(|row| row.id)).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), records.iter().map(|record| record.rows.len()).sum::<usize>());
    let rows = || records.iter().flat_map(|record| &record.rows);
    for row in rows() {
        let finished = matches!(row.outcome, Outcome::Finished { .. });
        // Only what was due after the window may still be under way at the end.
        assert!(finished || row.outcome == Outcome::Abandoned && !window.holds(row.due), "{row:?}");
    }
    let last = rows().filter(|row| window.holds(row.due)).map(|row| row.end).max().unwrap();
    for (index, record) in (0..).zip(&records) {
        assert!(record.rows.iter().any(|row| row.end >= last));
        assert!(record.rows.iter().all(|row| row.shard == index));
    }
}
