//! How latencies are distributed.

use infermark_measure::Details;
use infermark_measure::details::Curve;

use super::Chart;
use crate::chart::{Axis, Ink, Mark, Plot, Scale};

/// The height of both charts.
const HEIGHT: f64 = 280.0;

pub(super) fn charts(details: &Details) -> Vec<Chart> {
    if details.curves.is_empty() {
        return Vec::new();
    }
    let curves: Vec<_> = (0..)
        .zip(&details.curves)
        .map(|(index, (key, curve))| (name(key), Ink::Series(index), curve))
        .collect();
    let every = || curves.iter().flat_map(|(_, _, curve)| curve.points.iter().map(|p| p[1]));
    let millis = Axis::new("milliseconds, logarithmic", Scale::log(every()));
    let nines = curves.iter().map(|(_, _, curve)| nines(curve)).fold(1.0, f64::max);
    let line = |at: fn(&[f64; 2]) -> Option<(f64, f64)>| {
        move |(name, ink, curve): &(&str, Ink, &Curve)| Mark::Line {
            name: (*name).to_owned(),
            ink: *ink,
            points: curve.points.iter().filter_map(at).map(|(x, y)| (x, Some(y))).collect(),
        }
    };
    let shares = Plot {
        label: "Share of observations up to each latency".to_owned(),
        height: HEIGHT,
        beside: None,
        x: millis.clone(),
        y: Axis::new("share of observations up to it, %", Scale::exactly(0.0, 100.0)),
        marks: curves.iter().map(line(|[share, ms]| Some((*ms, share * 100.0)))).collect(),
    };
    let tail = Plot {
        label: "Latency at each percentile".to_owned(),
        height: HEIGHT,
        beside: None,
        x: Axis::new("percentile", Scale::Tail { nines }),
        y: millis,
        // The greatest has no percentile below 1.
        marks: curves
            .iter()
            .map(line(|[share, ms]| (*share < 1.0).then_some((*share, *ms))))
            .collect(),
    };
    vec![
        Chart::new(
            "latency-distribution",
            "Distribution",
            "The further left and the steeper, the faster and the steadier.",
            shares,
        ),
        Chart::new(
            "latency-percentiles",
            "Percentiles",
            "The tail that averages hide: each mark to the right is ten times rarer.",
            tail,
        ),
    ]
}

fn name(key: &str) -> &'static str {
    match key {
        "ttft_ms" => "TTFT",
        "tpot_ms" => "TPOT",
        "itl_ms" => "ITL",
        "icl_ms" => "ICL",
        _ => "E2E",
    }
}

/// Returns how far into the tail a curve is known.
fn nines(curve: &Curve) -> f64 {
    let last = curve.points.iter().rev().find(|point| point[0] < 1.0);
    last.map_or(1.0, |point| -(1.0 - point[0]).log10())
}
