//! Which loads a calibration measures, and what comes of them.

use infermark_measure::region::{ERROR_MAX, Reach, Region, Regions, SEND_LAG_MAX_MS};
use serde::{Deserialize, Serialize};

use crate::search::{Search, Tried};
use crate::server::Scheme;
use crate::{CalibrateError, Load, Outcome};

/// The fewest requests of which a 99th percentile is given.
const REQUESTS_MIN: u64 = 100;

/// From one stream's beginning to the next's, all within [`RAMP_MAX_NS`], as closed loops do it.
const RAMP_GAP_NS: u64 = 1_000_000;
const RAMP_MAX_NS: u64 = 1_000_000_000;

/// The exact server's TTFT.
const TTFT_NS: u64 = 100_000_000;

/// A process that is busy for more of the window than this has no time to spare.
const BUSY_MAX: f64 = 0.9;

/// A server that sends less than this share of what a client could take in was not met by the load
/// that is named: its answers, and so the truth, are slower than planned.
const ACHIEVED_MIN: f64 = 0.97;

/// The search for streams begins here.
const STREAMS_START: u32 = 1024;

/// The search for a send rate begins here and ends there.
const SENDS_START: u32 = 2000;
const SENDS_MAX: u32 = 16_000;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// One pace, without TLS, coarsely.
    Quick,
    /// Three paces, TLS, within a tenth.
    Full,
}

impl Depth {
    /// How far apart what held and what failed may lie in the end.
    fn tolerance(self) -> f64 {
        match self {
            Self::Quick => 0.25,
            Self::Full => 0.1,
        }
    }

    /// The same of send rates.
    fn sends_tolerance(self) -> f64 {
        match self {
            Self::Quick => 1.0,
            Self::Full => 0.1,
        }
    }

    /// How often a load is measured that left both processes time to spare, before it counts as
    /// failed: neighbours on the machine may spoil a measurement, never mend one.
    fn tries(self) -> u32 {
        match self {
            Self::Quick => 2,
            Self::Full => 3,
        }
    }

    /// From the last stream's beginning to the window, and how long that is.
    fn times(self) -> (u64, f64) {
        match self {
            Self::Quick => (500_000_000, 1.0),
            Self::Full => (1_000_000_000, 2.0),
        }
    }

    /// How long a request takes, about.
    fn request_s(self) -> f64 {
        match self {
            Self::Quick => 0.8,
            Self::Full => 1.8,
        }
    }
}

/// What a load was about.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Kind {
    /// Streams of a closed loop, at this many tokens a second each.
    Streams {
        /// Streams.
        streams: u32,
        /// Tokens a second of each.
        pace: u32,
    },
    /// Poisson sends, this many a second.
    Sends {
        /// Requests a second.
        per_s: u32,
    },
}

/// One load, measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was asked for.
    pub load: Kind,
    /// Whether over TLS.
    pub scheme: Scheme,
    /// Whether it held.
    pub holds: bool,
    /// Tokens that the server sent a second.
    pub tokens_per_s: f64,
    /// CPU time of the client for each token, in microseconds.
    pub us_per_token: f64,
    /// The share of the window that the client's process ran.
    pub client_busy: f64,
    /// The same of the server's.
    pub server_busy: f64,
    /// The client's TTFT p50 ÷ the truth − 1.
    pub ttft_p50_error: f64,
    /// The same of TTFT p99.
    pub ttft_p99_error: f64,
    /// The same of ITL p99.
    pub itl_p99_error: f64,
    /// The client's lag, p99, in milliseconds.
    pub lag_p99_ms: f64,
    /// How late the server wrote its tokens, p99, in milliseconds.
    pub server_late_p99_ms: f64,
    /// The share of chunks that shared a read.
    pub coalesced_share: f64,
    /// Resident memory of the client for each stream, in bytes; absent of sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_stream: Option<f64>,
}

/// What happens during a calibration.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// This is measured now.
    Begun(Kind, Scheme),
    /// This was.
    Measured(&'a Row),
}

/// What a calibration found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// How much was measured.
    pub depth: Depth,
    /// Every load, in the order in which they were measured.
    pub rows: Vec<Row>,
    /// Where the client is exact.
    pub regions: Regions,
}

impl Findings {
    /// Returns the greatest tokens a second that held.
    pub fn most_tokens_per_s(&self, scheme: Scheme) -> Option<f64> {
        self.held(scheme).map(|row| row.tokens_per_s).max_by(f64::total_cmp)
    }

    /// Returns the loads of streams that held.
    pub fn held(&self, scheme: Scheme) -> impl Iterator<Item = &Row> {
        let streams = |row: &&Row| matches!(row.load, Kind::Streams { .. });
        self.rows.iter().filter(streams).filter(move |row| row.holds && row.scheme == scheme)
    }
}

/// Measures a load for so many seconds.
pub type Bench<'a> = dyn FnMut(Load, f64) -> Result<Outcome, CalibrateError> + 'a;

/// Calibrates: asks `bench` for one load after another, never for more than `streams_max`
/// streams, and tells `watch` what happens.
///
/// # Errors
///
/// If a load could not be measured.
pub fn calibrate(
    depth: Depth,
    streams_max: u32,
    bench: &mut Bench<'_>,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<Findings, CalibrateError> {
    let mut course = Course { depth, streams_max, bench, watch, rows: Vec::new() };
    let at_50 = course.seek_streams(50, Scheme::Http, STREAMS_START)?;
    let (mut plain, mut tls) = (vec![at_50], None);
    let sends = course.seek_sends()?;
    if depth == Depth::Full {
        plain.push(course.seek_streams(10, Scheme::Http, streams_max)?);
        let held = at_50.map_or(STREAMS_START, |reach| reach.streams);
        plain.push(course.seek_streams(200, Scheme::Http, held / 4)?);
        let reach = course.seek_streams(50, Scheme::Https, held / 4 * 3)?;
        tls = Some(Region { reaches: reach.into_iter().collect(), sends_per_s: None });
    }
    let plain = Region { reaches: plain.into_iter().flatten().collect(), sends_per_s: sends };
    Ok(Findings { depth, rows: course.rows, regions: Regions { plain, tls } })
}

struct Course<'a, 'b> {
    depth: Depth,
    streams_max: u32,
    bench: &'a mut Bench<'b>,
    watch: &'a mut dyn FnMut(Event<'_>),
    rows: Vec<Row>,
}

impl Course<'_, '_> {
    /// Finds the most streams of this pace that hold.
    fn seek_streams(
        &mut self,
        pace: u32,
        scheme: Scheme,
        start: u32,
    ) -> Result<Option<Reach>, CalibrateError> {
        let search = Search::new(start, self.streams_max, self.depth.tolerance());
        let held = self.seek(search, scheme, |streams| Kind::Streams { streams, pace })?;
        Ok(held.map(|(streams, tokens_per_s)| Reach { streams, tokens_per_s }))
    }

    /// Finds the highest rate of sends whose lag and whose error in TTFT stay small.
    fn seek_sends(&mut self) -> Result<Option<f64>, CalibrateError> {
        let search = Search::new(SENDS_START, SENDS_MAX, self.depth.sends_tolerance());
        let held = self.seek(search, Scheme::Http, |per_s| Kind::Sends { per_s })?;
        Ok(held.map(|(per_s, _)| f64::from(per_s)))
    }

    /// Returns the greatest load that held, with the tokens a second that it had.
    fn seek(
        &mut self,
        mut search: Search,
        scheme: Scheme,
        kind: impl Fn(u32) -> Kind,
    ) -> Result<Option<(u32, f64)>, CalibrateError> {
        let mut tokens_per_s = 0.0;
        while let Some(number) = search.next() {
            let row = self.measure(kind(number), scheme)?;
            if row.holds {
                tokens_per_s = row.tokens_per_s;
            }
            search.tell(number, if row.holds { Tried::Held } else { Tried::Failed });
        }
        Ok(search.held().map(|held| (held, tokens_per_s)))
    }

    /// Measures a load until it holds, is seen to be too much, or was measured often enough.
    fn measure(&mut self, kind: Kind, scheme: Scheme) -> Result<Row, CalibrateError> {
        let mut tries = 0;
        loop {
            tries += 1;
            (self.watch)(Event::Begun(kind, scheme));
            let (load, window_s) = load(kind, scheme, self.depth);
            let row = row(kind, scheme, &(self.bench)(load, window_s)?);
            (self.watch)(Event::Measured(&row));
            self.rows.push(row.clone());
            let full = row.client_busy.max(row.server_busy) > BUSY_MAX;
            if row.holds || full || tries == self.depth.tries() {
                return Ok(row);
            }
        }
    }
}

/// Makes the load, and says for how long it is measured.
fn load(kind: Kind, scheme: Scheme, depth: Depth) -> (Load, f64) {
    let (settle_ns, window_s) = depth.times();
    let load = match kind {
        Kind::Streams { streams, pace } => Load {
            streams,
            rate: 0.0,
            tokens: (f64::from(pace) * depth.request_s()) as u32,
            ttft_ns: TTFT_NS,
            itl_ns: 1_000_000_000 / u64::from(pace),
            warmup_ns: (u64::from(streams) * RAMP_GAP_NS).min(RAMP_MAX_NS) + settle_ns,
            scheme,
        },
        // Few tokens, so that it is the sends that cost. The warm-up opens as many connections as
        // the window needs: sends then go over open ones, as those of streams do.
        Kind::Sends { per_s } => Load {
            streams: 0,
            rate: f64::from(per_s),
            tokens: 4,
            ttft_ns: TTFT_NS,
            itl_ns: 5_000_000,
            warmup_ns: settle_ns,
            scheme,
        },
    };
    (load, window_s)
}

/// Judges what came of a load.
fn row(load: Kind, scheme: Scheme, outcome: &Outcome) -> Row {
    let Outcome { said, truth, .. } = outcome;
    let ms = |ns: u64| ns as f64 / 1e6;
    let [ttft_p50_error, ttft_p99_error, itl_p99_error] = outcome.errors();
    let lag_p99_ms = ms(said.lag.p99);
    let counted = said.failed == 0 && said.requests >= REQUESTS_MIN;
    let (holds, bytes_per_stream) = match load {
        Kind::Streams { streams, .. } => {
            let (idle, loaded) = said.resident;
            let bytes = loaded.saturating_sub(idle) as f64 / f64::from(streams);
            let exact = outcome.worst_error() < ERROR_MAX && outcome.achieved >= ACHIEVED_MIN;
            (counted && exact, Some(bytes))
        }
        // From due to the first token, connecting and all, beside what the server did.
        Kind::Sends { .. } => {
            let exact = ttft_p99_error.abs() < ERROR_MAX;
            (counted && exact && lag_p99_ms < SEND_LAG_MAX_MS, None)
        }
    };
    Row {
        load,
        scheme,
        holds,
        tokens_per_s: outcome.tokens_per_s,
        us_per_token: outcome.us_per_token,
        client_busy: outcome.busy,
        server_busy: outcome.server_busy,
        ttft_p50_error,
        ttft_p99_error,
        itl_p99_error,
        lag_p99_ms,
        server_late_p99_ms: ms(truth.late.p99),
        coalesced_share: said.coalesced as f64 / said.chunks.max(1) as f64,
        bytes_per_stream,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{Said, Spread, Truth};

    /// A machine that is exact up to so many tokens a second (TLS: half of it), and 3,000 sends.
    fn machine(limit: f64) -> impl FnMut(Load, f64) -> Result<Outcome, CalibrateError> {
        move |load, window_s| {
            let exact = match load.scheme {
                Scheme::Http => limit,
                Scheme::Https => limit / 2.0,
            };
            let full = load.offered() > exact;
            let late = if full { load.ttft_ns / 50 } else { 0 };
            let spread = |p99| Spread { count: 1000, p50: p99, p99, max: p99 };
            let lag = if load.rate > 3000.0 { 2_000_000 } else { 50_000 };
            Ok(Outcome {
                us_per_token: 8.0,
                busy: 0.5,
                server_busy: if full { 0.95 } else { 0.5 },
                achieved: 1.0,
                tokens_per_s: load.offered(),
                true_ttft: spread(load.ttft_ns),
                said: Said {
                    requests: (load.offered() * window_s) as u64,
                    ttft: spread(load.ttft_ns + late),
                    itl: spread(load.itl_ns),
                    lag: spread(lag),
                    resident: (1000, 1000 + u64::from(load.streams) * 2048),
                    ..Said::default()
                },
                truth: Truth { itl: spread(load.itl_ns), ..Truth::default() },
            })
        }
    }

    #[test]
    fn the_region_is_found_within_a_tenth() {
        for limit in [20_000.0, 61_000.0, 85_000.0, 150_000.0] {
            let found = calibrate(Depth::Full, 4096, &mut machine(limit), &mut |_| {}).unwrap();
            let near = |found: Option<f64>, limit: f64| {
                let found = found.expect("something holds");
                assert!(found <= limit && found > limit * 0.9, "{found} of {limit}");
            };
            near(found.most_tokens_per_s(Scheme::Http), limit);
            near(found.most_tokens_per_s(Scheme::Https), limit / 2.0);
            let plain = &found.regions.plain;
            near(plain.sends_per_s, 3000.0);
            // The slow pace meets the ceiling on streams first.
            let slow = plain.reaches.iter().max_by_key(|reach| reach.streams).unwrap();
            assert_eq!(slow.streams == 4096, limit > 40_000.0);
            assert!(found.held(Scheme::Http).all(|row| row.bytes_per_stream == Some(2048.0)));
        }
    }

    #[test]
    fn a_quick_calibration_measures_few_loads_and_no_tls() {
        let mut begun = 0;
        let found = calibrate(Depth::Quick, 4096, &mut machine(85_000.0), &mut |event| {
            begun += u32::from(matches!(event, Event::Begun(..)));
        });
        let found = found.unwrap();
        assert_eq!(found.regions.tls, None);
        assert!(begun <= 9 && found.rows.len() == begun as usize, "{begun} loads");
        let most = found.most_tokens_per_s(Scheme::Http).unwrap();
        assert!(most <= 85_000.0 && most > 85_000.0 / 1.25, "{most}");
    }

    #[test]
    fn a_machine_on_which_nothing_holds_has_an_empty_region() {
        let found = calibrate(Depth::Quick, 4096, &mut machine(0.0), &mut |_| {}).unwrap();
        assert_eq!(found.regions.plain.reaches, []);
        assert!(found.most_tokens_per_s(Scheme::Http).is_none());
    }

    #[test]
    fn a_load_that_the_server_itself_cannot_carry_does_not_hold() {
        let mut healthy = machine(1e9);
        let mut slow = |load: Load, window_s| {
            let achieved = (60_000.0 / load.offered()).min(1.0);
            Ok(Outcome { achieved, ..healthy(load, window_s)? })
        };
        let found = calibrate(Depth::Full, 4096, &mut slow, &mut |_| {}).unwrap();
        assert!(found.most_tokens_per_s(Scheme::Http).unwrap() <= 60_000.0 / 0.97);
    }

    #[test]
    fn a_rate_of_sends_at_which_the_client_errs_does_not_hold() {
        let mut healthy = machine(85_000.0);
        let mut erring = |load: Load, window_s| {
            let mut outcome = healthy(load, window_s)?;
            if load.rate > 1500.0 {
                outcome.said.ttft.p99 *= 10;
            }
            Ok(outcome)
        };
        let found = calibrate(Depth::Full, 4096, &mut erring, &mut |_| {}).unwrap();
        let sends = found.regions.plain.sends_per_s.unwrap();
        assert!(sends <= 1500.0 && sends > 1500.0 * 0.9, "{sends}");
    }

    #[test]
    fn one_spoilt_measurement_does_not_fail_a_load() {
        let mut healthy = machine(85_000.0);
        let mut count = 0;
        let mut spoilt = |load, window_s| {
            count += 1;
            let mut outcome = healthy(load, window_s)?;
            if count == 1 {
                outcome.said.failed = 1;
            }
            Ok(outcome)
        };
        let found = calibrate(Depth::Full, 4096, &mut spoilt, &mut |_| {}).unwrap();
        assert!(!found.rows[0].holds && found.rows[1].holds);
        assert!(found.most_tokens_per_s(Scheme::Http).unwrap() > 85_000.0 * 0.9);
    }
}
