//! Whether objectives are met (docs/metrics.md, section 7).
//!
//! "A bound is **met** when the whole 95 % interval of its statistic lies inside, **missed** when
//! it lies outside, else **undecided**, and the verdict says how many more requests would decide
//! it." One end of an interval is enough to be met or missed; high percentiles have their lower
//! end long before the upper.
//!
//! What is a fact about the window is judged as such: the least and the greatest value, and
//! limits that only a single exception could break (`failure_rate<=0%`, `good_share>=100%`).

use infermark_terms::Slo;
use infermark_terms::slo::{Bound, LatencyFigure, Level, Side, Statistic, Subject};
use serde::{Deserialize, Serialize};

use crate::batches::more_for_width;
use crate::estimate::{Distribution, millis};
use crate::goodput::Goodput;
use crate::percentile::Percentile;
use crate::rates::Spread;
use crate::{Counts, Estimate, Rates, share};

/// One bound, judged. Its value, interval and limit are in the unit of its figure: milliseconds,
/// a share from 0 to 1, or so many a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ruling {
    /// The bound.
    pub bound: Bound,
    /// The statistic; absent where it was not observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The ends of its 95 % interval, each absent (`null`) where it is not known.
    pub ci95: [Option<f64>; 2],
    /// Of a percentile, the share of the observations that exceed the limit. A means to judge
    /// several runs together, and no result of its own.
    #[serde(skip)]
    pub beyond: Option<f64>,
    /// The judgement.
    pub verdict: Decision,
    /// How far the value lies inside, as a share of the limit; below 0 outside. Absent without a
    /// value, and where the limit is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// How many more requests would decide it, should they be like those so far; absent where it
    /// is decided, or where no number would.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_requests: Option<u64>,
}

/// What became of a bound, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The deployment keeps it.
    Met,
    /// The measurement cannot tell.
    Undecided,
    /// The deployment does not keep it.
    Missed,
}

impl Decision {
    /// Returns the worst of several rulings: `Met` if all are met, `Missed` if any is missed.
    /// Nothing where there is none.
    pub fn of(rulings: &[Ruling]) -> Option<Self> {
        rulings.iter().map(|ruling| ruling.verdict).max()
    }
}

/// What is known of a bounded statistic.
#[derive(Clone, Copy, Debug, Default)]
struct Tested {
    value: Option<f64>,
    ends: [Option<f64>; 2],
    more: Option<u64>,
    beyond: Option<f64>,
}

impl Tested {
    /// A fact about the window, without an interval.
    fn fact(value: f64) -> Self {
        Self { value: Some(value), ends: [Some(value); 2], ..Self::default() }
    }

    fn rule(self, bound: Bound) -> Ruling {
        let limit = bound.limit;
        let [low, high] = self.ends;
        let (met, missed, inside) = match bound.subject.side() {
            Side::AtMost => (
                high.is_some_and(|high| high <= limit),
                low.is_some_and(|low| low > limit),
                self.value.map(|value| limit - value),
            ),
            Side::AtLeast => (
                low.is_some_and(|low| low >= limit),
                high.is_some_and(|high| high < limit),
                self.value.map(|value| value - limit),
            ),
        };
        let verdict = match (met, missed) {
            (true, _) => Decision::Met,
            (false, true) => Decision::Missed,
            (false, false) => Decision::Undecided,
        };
        Ruling {
            bound,
            value: self.value,
            ci95: self.ends,
            beyond: self.beyond,
            verdict,
            margin: inside.filter(|_| limit > 0.0).map(|inside| inside / limit),
            more_requests: self.more.filter(|_| verdict == Decision::Undecided),
        }
    }
}

/// The bench of one point: it judges the bounds of several objectives as their figures become
/// known.
pub(crate) struct Bench<'a> {
    slos: &'a [&'a Slo],
    latencies: Vec<(Bound, Tested)>,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(slos: &'a [&'a Slo]) -> Self {
        Self { slos, latencies: Vec::new() }
    }

    /// Returns the estimate of a latency, and judges the bounds on its statistics.
    pub(crate) fn estimate(
        &mut self,
        figure: LatencyFigure,
        sample: Option<impl Distribution>,
    ) -> Option<Estimate> {
        let sample = sample?;
        let estimate = Estimate::of(&sample);
        for bound in self.slos.iter().flat_map(|slo| slo.bounds()) {
            if let Subject::Latency(of, statistic) = bound.subject
                && of == figure
                && self.tested(bound).is_none()
            {
                let tested = test(&sample, &estimate, statistic, bound.limit);
                self.latencies.push((*bound, tested));
            }
        }
        Some(estimate)
    }

    fn tested(&self, bound: &Bound) -> Option<Tested> {
        self.latencies.iter().find(|(known, _)| known == bound).map(|(_, tested)| *tested)
    }

    /// Returns the ruling on every bound but those of each request, objective by objective, each
    /// in its order. Each objective has its own good requests, in the order of the objectives.
    pub(crate) fn rule(
        &self,
        goodputs: &[Option<Goodput>],
        levels: &Levels<'_>,
    ) -> Vec<Vec<Ruling>> {
        let ruled = self.slos.iter().zip(goodputs).map(|(slo, goodput)| {
            let goodput = goodput.as_ref();
            let known = levels.rates.zip(levels.seconds);
            let rates = known.map(|(rates, seconds)| rates.with_goodput(goodput, seconds));
            self.rule_one(slo, &Levels { rates, goodput, ..*levels })
        });
        ruled.collect()
    }

    fn rule_one(&self, slo: &Slo, levels: &Levels<'_>) -> Vec<Ruling> {
        let ruled = slo.bounds().iter().filter_map(|bound| {
            let tested = match bound.subject {
                Subject::Each(_) => return None,
                Subject::Latency(..) => self.tested(bound).unwrap_or_default(),
                Subject::Level(level) => levels.test(level, bound.limit),
            };
            Some(tested.rule(*bound))
        });
        ruled.collect()
    }
}

fn test(sample: &impl Distribution, e: &Estimate, statistic: Statistic, limit: f64) -> Tested {
    let nanos = (limit * 1e6).round() as u64;
    let percentile = |percentile: Percentile, value: Option<f64>| Tested {
        value,
        ends: sample.percentile_ends(percentile).map(|end| end.map(|end| millis(end as f64))),
        more: sample.more_to_decide(percentile, nanos),
        beyond: value.map(|_| sample.share_beyond(nanos)),
    };
    match statistic {
        Statistic::Mean => {
            let half = e.mean_ci95.map(|[_, high]| high - e.mean);
            Tested {
                value: Some(e.mean),
                ends: ends(e.mean_ci95),
                more: more_for_width(sample.requests(), half, (e.mean - limit).abs()),
                beyond: None,
            }
        }
        Statistic::Min => Tested::fact(e.min),
        Statistic::Max => Tested::fact(e.max),
        Statistic::P50 => percentile(Percentile::P50, Some(e.p50)),
        Statistic::P90 => percentile(Percentile::P90, e.p90),
        Statistic::P95 => percentile(Percentile::P95, e.p95),
        Statistic::P99 => percentile(Percentile::P99, e.p99),
        Statistic::P999 => percentile(Percentile::P999, e.p999),
    }
}

fn ends(interval: Option<[f64; 2]>) -> [Option<f64>; 2] {
    interval.map_or([None; 2], |ends| ends.map(Some))
}

/// What rates and shares are judged by.
#[derive(Clone, Copy)]
pub(crate) struct Levels<'a> {
    pub(crate) counts: &'a Counts,
    pub(crate) rates: Option<Rates>,
    pub(crate) spread: Option<Spread>,
    pub(crate) goodput: Option<&'a Goodput>,
    pub(crate) tpot_ms: Option<Estimate>,
    pub(crate) seconds: Option<f64>,
    pub(crate) gpus: Option<u32>,
}

impl Levels<'_> {
    fn test(&self, level: Level, limit: f64) -> Tested {
        self.test_known(level, limit).unwrap_or_default()
    }

    fn test_known(&self, level: Level, limit: f64) -> Option<Tested> {
        let rates = || self.rates;
        let half = |of: fn(&Spread) -> f64| self.spread.as_ref().map(of);
        Some(match level {
            Level::FailureRate => self.share(self.counts.failed, limit)?,
            Level::GoodShare => self.share(self.goodput?.requests, limit)?,
            Level::GoodputRps => self.rate(rates()?.goodput_rps?, self.goodput_width(0), limit),
            Level::GoodputOutputTokensPerS => {
                let rate = rates()?.goodput_output_tokens_per_s?;
                self.rate(rate, self.goodput_width(1), limit)
            }
            Level::RequestsPerS => self.rate(rates()?.requests_per_s, half(|s| s.requests), limit),
            Level::InputTokensPerS => {
                self.rate(rates()?.input_tokens_per_s?, half(|s| s.input), limit)
            }
            Level::OutputTokensPerS => {
                self.rate(rates()?.output_tokens_per_s, half(|s| s.output), limit)
            }
            Level::TotalTokensPerS => {
                self.rate(rates()?.total_tokens_per_s?, half(|s| s.total), limit)
            }
            Level::OutputTokensPerSPerGpu => {
                let gpus = f64::from(self.gpus?);
                let rate = rates()?.output_tokens_per_s_per_gpu?;
                self.rate(rate, half(|s| s.output).map(|half| half / gpus), limit)
            }
            Level::OutputTokensPerSPerUser => self.per_user(limit)?,
        })
    }

    /// Judges a share of all arrivals.
    fn share(&self, count: u64, limit: f64) -> Option<Tested> {
        let due = self.counts.due;
        let value = (due > 0).then(|| count as f64 / due as f64)?;
        if limit <= 0.0 || limit >= 1.0 {
            return Some(Tested::fact(value));
        }
        Some(Tested {
            value: Some(value),
            ends: share::interval(count as f64, due as f64).map(Some),
            more: share::more_to_decide(count, due, limit),
            beyond: None,
        })
    }

    fn rate(&self, value: f64, half: Option<f64>, limit: f64) -> Tested {
        Tested {
            value: Some(value),
            ends: ends(half.map(|half| [(value - half).max(0.0), value + half])),
            more: more_for_width(self.counts.due, half, (value - limit).abs()),
            beyond: None,
        }
    }

    fn goodput_width(&self, which: usize) -> Option<f64> {
        let wide = self.spread.and(self.goodput)?;
        Some(wide.half_widths()[which] / self.seconds?)
    }

    /// "`tokens/s/user` = 1 / mean `tpot`", and so the ends of its interval.
    fn per_user(&self, limit: f64) -> Option<Tested> {
        let tpot = self.tpot_ms?;
        let half = tpot.mean_ci95.map(|[_, high]| high - tpot.mean);
        let inverse = |[low, high]: [f64; 2]| [1000.0 / high, 1000.0 / low.max(0.0)];
        Some(Tested {
            value: Some(1000.0 / tpot.mean),
            ends: ends(tpot.mean_ci95.map(inverse)),
            more: more_for_width(self.counts.due, half, (tpot.mean - 1000.0 / limit).abs()),
            beyond: None,
        })
    }
}
