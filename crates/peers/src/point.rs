//! A peer's figures of one operating point, in the peer's own words, and as a point of `run.json`.
//!
//! A figure whose definition is one of infermark's carries infermark's key too; the others stand
//! under the peer's name alone, so that nobody compares what only sounds alike.

use serde_json::{Map, Value, json};

use crate::import::{number, stats};
use crate::record::Load;
use crate::stats::Stats;

/// One operating point, as a peer describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// The peer's name for it; empty if there is none.
    pub label: String,
    /// The load.
    pub load: Load,
    /// How long it took by the peer's own clock, in seconds.
    pub duration_s: Option<f64>,
    /// How the requests ended.
    pub counts: Counts,
    /// Single numbers.
    pub rates: Vec<Rate>,
    /// Distributions.
    pub figures: Vec<Figure>,
}

/// How requests ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered.
    pub completed: Option<u64>,
    /// Failed.
    pub failed: Option<u64>,
    /// Cut off by the end of the point.
    pub incomplete: Option<u64>,
}

/// A single number.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    /// The peer's name.
    pub name: String,
    /// infermark's key in `rates`, where the definition is that of `whole_run`.
    pub key: Option<&'static str>,
    /// The value.
    pub value: f64,
}

/// A distribution.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The peer's name.
    pub name: String,
    /// infermark's key in `latency`, where the definition is the same.
    pub key: Option<&'static str>,
    /// The unit of its values.
    pub unit: Unit,
    /// What is said of it.
    pub stats: Stats,
}

/// The unit of a distribution's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Tokens.
    Tokens,
}

impl Unit {
    const ALL: [Self; 3] = [Self::Milliseconds, Self::Seconds, Self::Tokens];

    /// Returns its symbol.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Tokens => "tokens",
        }
    }

    /// Returns how many of infermark's units it is: milliseconds for times.
    const fn in_ours(self) -> f64 {
        match self {
            Self::Seconds => 1000.0,
            Self::Milliseconds | Self::Tokens => 1.0,
        }
    }
}

impl Point {
    /// Returns a figure by the peer's name.
    pub fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }

    /// Returns a rate by the peer's name.
    pub fn rate(&self, name: &str) -> Option<f64> {
        self.rates.iter().find(|rate| rate.name == name).map(|rate| rate.value)
    }

    pub(crate) fn push_rate(&mut self, name: &str, key: Option<&'static str>, value: Option<f64>) {
        self.rates.extend(value.map(|value| Rate { name: name.to_owned(), key, value }));
    }

    pub(crate) fn push_figure(
        &mut self,
        name: &str,
        key: Option<&'static str>,
        unit: Unit,
        stats: Option<Stats>,
    ) {
        self.figures.extend(stats.map(|stats| Figure { name: name.to_owned(), key, unit, stats }));
    }

    /// Reads a point back from what [`to_json`](Self::to_json) made: all that was under `peer`.
    pub fn from_json(point: &Value) -> Self {
        let (counts, own) = (&point["counts"], &point["peer"]);
        let of = |key: &str| counts[key].as_u64();
        let rates = own["rates"].as_object().into_iter().flatten().filter_map(|(name, value)| {
            Some(Rate { name: name.clone(), key: None, value: number(value)? })
        });
        let figures = own["figures"].as_object().into_iter().flatten();
        let figures = figures.filter_map(|(name, said)| {
            let unit = Unit::ALL.into_iter().find(|unit| said["unit"] == unit.symbol())?;
            Some(Figure { name: name.clone(), key: None, unit, stats: stats(said)? })
        });
        Self {
            label: own["label"].as_str().unwrap_or_default().to_owned(),
            load: Load::default(),
            duration_s: number(&own["duration_s"]),
            counts: Counts {
                completed: of("finished"),
                failed: of("failed"),
                incomplete: of("abandoned"),
            },
            rates: rates.collect(),
            figures: figures.collect(),
        }
    }

    /// Returns the point as one of `run.json`: what it does not say is absent. Under `peer` is
    /// everything in the peer's own words and units.
    pub fn to_json(&self) -> Value {
        let Counts { completed, failed, incomplete } = self.counts;
        let mut counts = Map::new();
        let known = [completed, failed, incomplete];
        put(&mut counts, "due", completed.map(|_| known.iter().flatten().sum::<u64>()));
        put(&mut counts, "finished", completed);
        put(&mut counts, "failed", failed);
        put(&mut counts, "abandoned", incomplete);
        let mut latency = Map::new();
        for (key, figure) in self.figures.iter().filter_map(|f| Some((f.key?, f))) {
            let stats = figure.stats.scaled(figure.unit.in_ours());
            let _: Option<Value> = latency.insert(key.to_owned(), describe(&stats));
        }
        let mut rates = Map::new();
        let mut own_rates = Map::new();
        for rate in &self.rates {
            put(&mut own_rates, &rate.name, Some(rate.value));
            if let Some(key) = rate.key {
                put(&mut rates, key, Some(rate.value));
            }
        }
        let own = self.figures.iter().map(|figure| {
            let mut stats = describe(&figure.stats);
            stats["unit"] = figure.unit.symbol().into();
            if let Some(key) = figure.key {
                stats["key"] = key.into();
            }
            (figure.name.clone(), stats)
        });
        let figures: Map<_, _> = own.collect();
        json!({
            "load": load(self.load),
            "counts": counts,
            "latency": latency,
            "rates": rates,
            "peer": {
                "label": self.label,
                "duration_s": self.duration_s,
                "rates": own_rates,
                "figures": figures,
            },
        })
    }
}

fn load(load: Load) -> Value {
    match load {
        Load { rate: Some(rate), .. } => json!({ "kind": "open", "rate_rps": rate }),
        Load { concurrency: Some(slots), .. } => json!({ "kind": "closed", "concurrency": slots }),
        Load { .. } => Value::Null,
    }
}

fn put(map: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        let _: Option<Value> = map.insert(key.to_owned(), value.into());
    }
}

/// Writes a distribution with the keys of `run.json`, and those that it has not by their pattern.
fn describe(stats: &Stats) -> Value {
    let mut map = Map::new();
    put(&mut map, "n", stats.count);
    put(&mut map, "mean", stats.mean);
    put(&mut map, "std", stats.std);
    put(&mut map, "min", stats.min);
    put(&mut map, "max", stats.max);
    for &(percentage, value) in &stats.percentiles {
        put(&mut map, &percentile_key(percentage), Some(value));
    }
    Value::Object(map)
}

/// Returns `p50` for 50, `p999` for 99.9 and `p001` for 0.1.
fn percentile_key(percentage: f64) -> String {
    let tenths = (percentage * 10.0).round() as u32;
    if tenths.is_multiple_of(10) { format!("p{}", tenths / 10) } else { format!("p{tenths:03}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::record;
    use crate::view::View;

    #[test]
    fn a_point_of_a_run_reads_back_in_the_peers_words() {
        for view in View::ALL {
            let point = view.measure(&record());
            let json = point.to_json();
            let read = Point::from_json(&json);
            assert_eq!((read.counts, read.duration_s), (point.counts, point.duration_s));
            for figure in &point.figures {
                let stats = read.figure(&figure.name).unwrap().stats.clone();
                assert_eq!(stats, figure.stats, "{view:?} {}", figure.name);
            }
            for rate in &point.rates {
                assert_eq!(read.rate(&rate.name), Some(rate.value));
            }
        }
    }

    #[test]
    fn only_figures_with_our_definition_have_our_key() {
        let point = View::Guidellm.measure(&record()).to_json();
        let keys: Vec<_> = point["latency"].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["service_ttft_ms"]);
        assert_eq!(point["counts"]["due"], 4);
        assert_eq!(point["load"], json!({ "kind": "closed", "concurrency": 2 }));
        assert_eq!(point["peer"]["figures"]["time_per_output_token_ms"]["unit"], "ms");
    }

    #[test]
    fn percentiles_have_the_keys_of_run_json() {
        assert_eq!([50.0, 99.9].map(percentile_key), ["p50", "p999"]);
        let stats = Stats {
            mean: Some(1.0),
            percentiles: vec![(0.1, 0.5), (1.0, 0.7), (99.9, 2.0)],
            ..Stats::default()
        };
        assert_eq!(crate::import::stats(&describe(&stats)), Some(stats));
    }
}
