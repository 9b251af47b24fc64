//! Ends an open loop's point early once it is plainly saturated: what waits would only grow, and
//! latency would say how long one looked.
//!
//! The rule looks at the second half of the load so far. It fires where the requests in flight
//! rose there by more than a tenth of the arrivals and by more than chance explains, three looks
//! in a row.
//!
//! A loop that still fills rises too. Let r be the rise as a share of the arrivals, and k how
//! often what is in flight has been turned over in the last two thirds of the time. Under
//! overload in flight grows in a straight line and ends come at their greatest rate, so with the
//! load λ and the ends μ: r = 1 − μ/λ, k = ⅔ μ/(λ − μ), and r·k = ⅔ μ/λ, which exceeds ⅓ up to
//! twice the greatest rate. While M/M/∞ fills, r·k stays below 0.27; for equal service times it
//! is less. The verdict on the record is not made here (`measure`), and is the finer one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use infermark_drive::Stop;
use infermark_terms::Nanos;

use super::Ended;
use crate::{Progress, RunError, Watch};

/// Whether a point may end before its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Early {
    /// It lasts as long as its bounds say.
    Never,
    /// It ends once it is plainly saturated. For open loops.
    WhenSaturated,
}

/// How often the progress is looked at.
const EVERY: Duration = Duration::from_millis(200);
/// Requests in flight rise by at least this share of the arrivals.
const BEHIND_SHARE: f64 = 0.1;
/// The least of that share times the turnover, which a loop that still fills does not reach.
const TURNOVER_MIN: f64 = 1.0 / 3.0;
/// And by this many standard deviations: while a queue is never empty, arrivals and ends are
/// independent, and over n arrivals of a load that is just carried the difference varies by 2 n
/// if both are Poisson.
const BEHIND_DEVIATIONS: f64 = 4.0;
/// The fewest arrivals in the second half of which that can be said.
const ARRIVALS_MIN: f64 = 100.0;
/// Looks in a row that must agree.
const LOOKS: u32 = 3;

/// Looks at a run's progress until it is relieved, and stops the run where it should end.
pub(super) struct Sentry {
    relieved: Arc<AtomicBool>,
    looking: Option<JoinHandle<Ended>>,
}

impl Sentry {
    /// Begins to look.
    pub(super) fn post(early: Early, watch: Watch, stop: Stop) -> Result<Self, RunError> {
        let relieved = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&relieved);
        let look = move || {
            let mut trend = Trend::default();
            while !over.load(Ordering::Relaxed) {
                if trend.is_saturated(&watch.latest()) && !stop.is_asked() {
                    stop.drain();
                    return Ended::Saturated;
                }
                thread::park_timeout(EVERY);
            }
            Ended::Whole
        };
        let looking = match early {
            Early::Never => None,
            Early::WhenSaturated => {
                let builder = thread::Builder::new().name("sentry".to_owned());
                let thread = builder.spawn(look);
                Some(thread.map_err(|source| RunError::System { what: "thread", source })?)
            }
        };
        Ok(Self { relieved, looking })
    }

    /// Ends the looking, and says how the run ended.
    pub(super) fn relieve(self) -> Ended {
        self.relieved.store(true, Ordering::Relaxed);
        let Some(looking) = self.looking else { return Ended::Whole };
        looking.thread().unpark();
        looking.join().expect("looking does not panic")
    }
}

/// What was seen of a load so far.
#[derive(Default)]
struct Trend {
    seen: Vec<Seen>,
    agreed: u32,
}

#[derive(Clone, Copy)]
struct Seen {
    at: Nanos,
    in_flight: f64,
    ended: f64,
}

impl Trend {
    /// Says whether the load is plainly saturated, now that this is seen too.
    fn is_saturated(&mut self, progress: &Progress) -> bool {
        let now = Seen {
            at: progress.elapsed,
            in_flight: f64::from(progress.in_flight),
            ended: (progress.finished + progress.failed) as f64,
        };
        if self.seen.last().is_some_and(|last| last.at >= now.at) {
            return false;
        }
        self.seen.push(now);
        self.agreed = if self.falls_behind(now) { self.agreed + 1 } else { 0 };
        self.agreed >= LOOKS
    }

    fn falls_behind(&self, now: Seen) -> bool {
        let (third, half) = (self.at(now.at.0 / 3), self.at(now.at.0 / 2));
        let rise = now.in_flight - half.in_flight;
        let arrivals = now.ended - half.ended + rise;
        let chance = BEHIND_DEVIATIONS * (2.0 * arrivals.max(0.0)).sqrt();
        arrivals >= ARRIVALS_MIN
            && rise > chance.max(BEHIND_SHARE * arrivals)
            && rise * (now.ended - third.ended) > TURNOVER_MIN * arrivals * now.in_flight
    }

    /// Returns what was seen last up to this time.
    fn at(&self, nanos: u64) -> Seen {
        let later = self.seen.partition_point(|seen| seen.at.0 <= nanos);
        self.seen[later.saturating_sub(1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use infermark_terms::Seed;

    /// A queue of `servers` that each take `mean` seconds in the mean (exponential), under Poisson
    /// arrivals at `rate`; returns whether and when it was called saturated within `seconds`.
    fn called(rate: f64, servers: usize, mean: f64, seconds: f64, seed: Seed) -> Option<f64> {
        let draw = |name: &str, i: u64| -(1.0 - seed.named(name).at(i).unit()).ln();
        let mut free = vec![0.0_f64; servers];
        let (mut due, mut spans) = (0.0, Vec::new());
        for i in 0.. {
            due += draw("gap", i) / rate;
            if due > seconds {
                break;
            }
            let next = free.iter_mut().min_by(|a, b| a.total_cmp(b)).unwrap();
            *next = next.max(due) + mean * draw("service", i);
            spans.push((due, *next));
        }
        let mut trend = Trend::default();
        let looks = (seconds / 0.2) as u64;
        (1..=looks).map(|look| look as f64 * 0.2).find(|&now| {
            let ended = spans.iter().filter(|span| span.1 <= now).count();
            let due = spans.iter().filter(|span| span.0 <= now).count();
            trend.is_saturated(&Progress {
                elapsed: Nanos::from_secs_f64(now),
                finished: ended as u64,
                in_flight: (due - ended) as u32,
                ..Progress::default()
            })
        })
    }

    #[test]
    fn a_load_beyond_what_is_carried_ends_early_and_others_do_not() {
        // 16 servers of 1 s each carry 16 requests a second.
        let seeds = (0..40).map(Seed);
        let over = seeds.clone().filter_map(|seed| called(24.0, 16, 1.0, 60.0, seed));
        let early = over.filter(|&at| at < 50.0).count();
        assert_eq!(early, 40, "of 40 saturated loads were stopped");
        for rate in [8.0, 14.0, 15.2] {
            let wrong = seeds.clone().filter_map(|seed| called(rate, 16, 1.0, 60.0, seed)).count();
            assert!(wrong <= 1, "{wrong} of 40 were stopped at {rate}/s");
        }
    }

    #[test]
    fn a_loop_that_still_fills_is_not_saturated() {
        // As many servers as it takes, 20 s each: the first end after most have come.
        let wrong = (0..20).filter_map(|seed| called(20.0, 4000, 20.0, 60.0, Seed(seed))).count();
        assert_eq!(wrong, 0);
    }
}
