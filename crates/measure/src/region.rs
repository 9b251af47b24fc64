//! The region in which a machine's client was measured to be exact, and whether a load lies in it.
//!
//! A calibration measures loads of one generator thread. A load lies inside when some load that
//! held had at least as many streams *and* at least as many tokens a second: what costs less than
//! something that held is taken to hold, nothing else is.
//!
//! Not here: how the loads are measured (`calibrate`).

use serde::{Deserialize, Serialize};

/// Both p99 errors, of TTFT and of ITL, stay below this share of the truth.
pub const ERROR_MAX: f64 = 0.01;

/// The send rate that is kept holds while the p99 of lag stays below this, in milliseconds.
pub const SEND_LAG_MAX_MS: f64 = 1.0;

/// The regions of one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Regions {
    /// Over HTTP.
    pub plain: Region,
    /// Over TLS; absent where it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Region>,
}

/// Where one generator thread is exact.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// The greatest loads that held, one for each pace of a stream.
    pub reaches: Vec<Reach>,
    /// The highest rate of Poisson sends, in requests a second, whose lag stayed small; absent
    /// where it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sends_per_s: Option<f64>,
}

/// A load that held.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reach {
    /// Streams at once.
    pub streams: u32,
    /// Their tokens a second together, one token an event.
    pub tokens_per_s: f64,
}

/// A load as far as it is known: before a run only what is asked for, after it what was carried.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Burden {
    /// Streams at once, in the mean.
    pub streams: Option<f64>,
    /// Requests sent a second.
    pub sends_per_s: Option<f64>,
    /// Stream events a second.
    pub events_per_s: Option<f64>,
}

impl Region {
    /// Says what of a load, shared equally by so many threads, lies outside; nothing if nothing
    /// does.
    pub fn outside(&self, burden: &Burden, threads: u32) -> Option<String> {
        let each = |whole: f64| whole / f64::from(threads.max(1));
        let most = |of: fn(&Reach) -> f64| self.reaches.iter().map(of).fold(0.0, f64::max);
        let beyond = |what: &str, asked: Option<f64>, most: f64| {
            let asked = each(asked?);
            (asked > most).then(|| {
                format!("{asked:.0} {what} on each thread, of which {most:.0} were measured exact")
            })
        };
        let sends = burden.sends_per_s.zip(self.sends_per_s);
        beyond("streams", burden.streams, most(|reach| f64::from(reach.streams)))
            .or_else(|| beyond("tokens/s", burden.events_per_s, most(|reach| reach.tokens_per_s)))
            .or_else(|| beyond("requests/s", sends.map(|(asked, _)| asked), sends?.1))
            .or_else(|| {
                let (streams, events) = (each(burden.streams?), each(burden.events_per_s?));
                let held = |reach: &Reach| {
                    streams <= f64::from(reach.streams) && events <= reach.tokens_per_s
                };
                (!self.reaches.iter().any(held)).then(|| {
                    format!(
                        "{streams:.0} streams and {events:.0} tokens/s on each thread, which \
                         together were not measured exact"
                    )
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn region() -> Region {
        let reach = |streams, tokens_per_s| Reach { streams, tokens_per_s };
        let reaches = vec![reach(4000, 40_000.0), reach(1700, 85_000.0), reach(400, 80_000.0)];
        Region { reaches, sends_per_s: Some(3000.0) }
    }

    fn burden(streams: f64, events: f64) -> Burden {
        Burden { streams: Some(streams), events_per_s: Some(events), sends_per_s: None }
    }

    #[test]
    fn what_lies_outside_is_said_with_its_figures() {
        let said = |burden: Burden, threads| region().outside(&burden, threads);
        assert_eq!(
            said(burden(5000.0, 100.0), 1).unwrap(),
            "5000 streams on each thread, of which 4000 were measured exact"
        );
        assert_eq!(
            said(burden(10.0, 180_000.0), 2).unwrap(),
            "90000 tokens/s on each thread, of which 85000 were measured exact"
        );
        assert_eq!(
            said(burden(3000.0, 60_000.0), 1).unwrap(),
            "3000 streams and 60000 tokens/s on each thread, which together were not measured exact"
        );
        let sends = Burden { sends_per_s: Some(3001.0), ..Burden::default() };
        assert_eq!(
            said(sends, 1).unwrap(),
            "3001 requests/s on each thread, of which 3000 were measured exact"
        );
        assert_eq!(said(sends, 2), None);
        assert_eq!(said(Burden::default(), 1), None);
    }

    #[test]
    fn without_a_measured_send_rate_no_rate_lies_outside() {
        let region = Region { sends_per_s: None, ..region() };
        let sends = Burden { sends_per_s: Some(1e9), ..Burden::default() };
        assert_eq!(region.outside(&sends, 1), None);
        assert!(region.outside(&burden(3000.0, 60_000.0), 1).is_some());
    }

    proptest! {
        #[test]
        fn less_than_a_load_inside_is_inside(
            streams in 0.0..10_000.0, events in 0.0..200_000.0,
            less in 0.0..1.0, fewer in 0.0..1.0, threads in 1_u32..9,
        ) {
            let outside = |streams, events, threads| {
                region().outside(&burden(streams, events), threads).is_some()
            };
            if !outside(streams, events, threads) {
                prop_assert!(!outside(streams * less, events * fewer, threads));
                prop_assert!(!outside(streams, events, threads + 1));
            }
        }
    }
}
