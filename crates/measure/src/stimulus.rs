//! How near the load that was sent came to the one that was asked for.
//!
//! Not here: how late single requests left, which is the lag, and the doubts that follow
//! (`audit`).

use infermark_terms::{RequestRow, Stamp};
use serde::{Deserialize, Serialize};

use crate::arrivals::{self, Fit};
use crate::population::{Population, Roster};
use crate::span::Span;
use crate::{ArrivalLaw, LoadPlan, RateCourse, concurrency};

/// The fewest gaps that are looked at.
const GAPS_MIN: usize = 50;
/// The most gaps that are tested. Of so many, a distance of 2 % fails; no finer fit is asked for.
const GAPS_MAX: usize = 10_000;
/// The plateau of a closed load is where at least this share of its slots is in use.
const PLATEAU_LEVEL: f64 = 0.95;

/// The audit of the stimulus, as figures. Each is absent where the load has no such thing, or too
/// little was seen of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stimulus {
    /// Requests sent in the window, of open loops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<u64>,
    /// "`sent_share` = requests sent in the window ÷ arrivals due in it" (docs/metrics.md,
    /// section 9), of open loops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_share: Option<f64>,
    /// "`rate_share` = rate at which requests left ÷ the asked one", of open loops at a steady
    /// rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_share: Option<f64>,
    /// How well the gaps between arrivals fit the asked law, where it has any spread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gaps: Option<GapsFit>,
    /// "`in_flight_share` = mean concurrency ÷ the asked one", of closed loops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight_share: Option<f64>,
    /// "`plateau_share` = share of the window in which at least 95 % of the asked concurrency was
    /// in flight", of closed loops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plateau_share: Option<f64>,
}

/// A Kolmogorov–Smirnov test of gaps between arrivals.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GapsFit {
    /// How many gaps were tested.
    pub n: u64,
    /// The statistic: the greatest distance between their distribution and the law's.
    pub ks_distance: f64,
    /// How probable so great a distance is where the law holds.
    pub p: f64,
}

impl Stimulus {
    /// Absent where nothing can be said.
    pub(crate) fn of(
        load: LoadPlan,
        roster: &Roster<'_>,
        population: &Population<'_>,
        window: Span,
    ) -> Option<Self> {
        let stimulus = match load {
            LoadPlan::Open { rate_rps, arrivals, course } => {
                let sent = sent_in(roster, window, |_| true);
                let begun = sent_in(roster, window, begins);
                let due = population.members().len();
                let steady = course == RateCourse::Steady;
                Self {
                    sent: Some(sent.len() as u64),
                    sent_share: (due > 0).then(|| sent.len() as f64 / due as f64),
                    rate_share: rate(&begun).filter(|_| steady).map(|rate| rate / rate_rps),
                    gaps: steady.then(|| gaps(population, arrivals, rate_rps)).flatten(),
                    ..Self::default()
                }
            }
            // When its requests left is compared with the trace itself, in the audit.
            LoadPlan::Trace { .. } => {
                let sent = sent_in(roster, window, |_| true).len() as u64;
                let due = population.members().len();
                Self {
                    sent: Some(sent),
                    sent_share: (due > 0).then(|| sent as f64 / due as f64),
                    ..Self::default()
                }
            }
            // A slot waits while the user of its session thinks.
            LoadPlan::Closed { .. }
                if population.members().iter().any(|m| m.row.turn.is_some()) =>
            {
                Self::default()
            }
            LoadPlan::Closed { concurrency } => {
                let asked = f64::from(concurrency);
                let enough = (asked * PLATEAU_LEVEL).ceil() as u64;
                let loaded = concurrency::in_window(roster.rows(), window);
                let plateau = || concurrency::nanos_at_least(enough, roster.rows(), window);
                Self {
                    in_flight_share: loaded.map(|loaded| loaded.mean / asked),
                    plateau_share: loaded.map(|_| plateau() as f64 / window.nanos() as f64),
                    ..Self::default()
                }
            }
        };
        (stimulus != Self::default()).then_some(stimulus)
    }
}

/// Says whether a request is an arrival of its own: it goes on from no answer.
fn begins(row: &RequestRow) -> bool {
    row.turn.is_none_or(|turn| turn.index == 0)
}

/// Returns when such requests were sent in the window.
fn sent_in(roster: &Roster<'_>, window: Span, which: fn(&RequestRow) -> bool) -> Vec<Stamp> {
    let sent = roster.rows().iter().filter(|row| which(row)).filter_map(|row| row.sent);
    sent.filter(|&at| window.contains(at)).collect()
}

/// Returns the rate a second from the first to the last.
fn rate(sent: &[Stamp]) -> Option<f64> {
    let gaps = sent.len().checked_sub(1).filter(|&gaps| gaps >= GAPS_MIN)?;
    let took = sent.iter().max()?.since(*sent.iter().min()?);
    Some(gaps as f64 / took.as_secs_f64())
}

/// Compares the gaps between due instants with the law that was asked for. Of sends, the gaps
/// would fail wherever the law is bursty: no sender leaves two requests within a microsecond. How
/// far sends are from due is the lag.
fn gaps(population: &Population<'_>, law: ArrivalLaw, rate_rps: f64) -> Option<GapsFit> {
    // Members are in the order of due.
    let begun: Vec<_> = population.members().iter().filter(|m| begins(m.row)).collect();
    let pairs = begun.windows(2);
    let gaps = pairs.map(|pair| pair[1].row.due.since(pair[0].row.due).as_secs_f64());
    let gaps: Vec<f64> = gaps.take(GAPS_MAX).collect();
    let n = gaps.len();
    let Fit { distance, p } =
        (n >= GAPS_MIN).then(|| arrivals::fit(gaps, law, rate_rps)).flatten()?;
    Some(GapsFit { n: n as u64, ks_distance: distance, p })
}
