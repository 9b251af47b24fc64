//! Good requests: successes within every bound that an objective sets on each request.

use infermark_terms::slo::LatencyFigure;
use infermark_terms::{Nanos, Slo};

use crate::batches::{BATCHES, half_width_of_mean};
use crate::figures::{self, output_tokens};
use crate::population::{Member, Population};
use crate::streams::Streams;

/// The good requests of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Goodput {
    /// How many.
    pub(crate) requests: u64,
    /// Their output tokens.
    pub(crate) output_tokens: u64,
    /// Arrivals, good or not.
    pub(crate) arrivals: u64,
    /// Good requests and their output tokens in each batch of arrivals.
    batches: [[f64; BATCHES]; 2],
}

impl Goodput {
    /// Counts good requests. Absent where no bound tells good from bad, or where one is on a
    /// figure that no request has, as on TTFT where answers come whole.
    ///
    /// A single request without the figure breaks no bound: an answer of one token has no time
    /// per token after the first.
    pub(crate) fn of(slo: &Slo, population: &Population<'_>, streams: &Streams) -> Option<Self> {
        if !slo.tells_good_from_bad() {
            return None;
        }
        let observed = |figure| {
            population.successes().any(|member| latency(figure, member, streams).is_some())
        };
        if population.successes().next().is_some()
            && !slo.each().all(|(figure, _)| observed(figure))
        {
            return None;
        }
        let arrivals = population.members().len() as u64;
        let mut good =
            Self { requests: 0, output_tokens: 0, arrivals, batches: [[0.0; BATCHES]; 2] };
        for (index, member) in population.members().iter().enumerate() {
            let within = |(figure, limit): (LatencyFigure, f64)| {
                latency(figure, member, streams).is_none_or(|took| took.as_millis_f64() <= limit)
            };
            if member.failure.is_none() && slo.each().all(within) {
                let tokens = output_tokens(member.row).0;
                let batch = usize::from(population.batch(index));
                good.requests += 1;
                good.output_tokens += u64::from(tokens);
                good.batches[0][batch] += 1.0;
                good.batches[1][batch] += f64::from(tokens);
            }
        }
        Some(good)
    }

    /// Returns the share of good requests among all arrivals.
    pub(crate) fn share(&self) -> Option<f64> {
        (self.arrivals > 0).then(|| self.requests as f64 / self.arrivals as f64)
    }

    /// Returns half the width of the 95 % intervals of the numbers of good requests and of their
    /// tokens, given how many requests were due.
    pub(crate) fn half_widths(&self) -> [f64; 2] {
        self.batches.map(|batches| half_width_of_mean(&batches) * BATCHES as f64)
    }
}

/// Returns a latency of one request; of `itl` and `icl`, of which a request has many, none.
fn latency(figure: LatencyFigure, member: &Member<'_>, streams: &Streams) -> Option<Nanos> {
    let row = member.row;
    match figure {
        LatencyFigure::Ttft => figures::ttft(row),
        LatencyFigure::ServiceTtft => figures::service_ttft(row),
        LatencyFigure::Ttfa => figures::ttfa(row),
        LatencyFigure::Tpot => figures::tpot(row),
        LatencyFigure::E2e => figures::e2e(row),
        LatencyFigure::ServiceE2e => figures::service_e2e(row),
        LatencyFigure::Lag => figures::lag(row),
        LatencyFigure::Stall => streams.stall(member.place),
        LatencyFigure::Itl | LatencyFigure::Icl => None,
    }
}
