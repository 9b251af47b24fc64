//! How latencies are distributed.
//!
//! Those of a saturated run are no result, and their curves say so.

use infermark_measure::details::Curve;
use infermark_measure::{Details, Point};

use super::Chart;
use super::series::CROSSED;
use crate::chart::{Axis, Ink, Mark, Plot, Scale};

/// The title of the axis that both charts have.
const MILLIS: &str = "milliseconds, logarithmic";

/// The height of both charts.
const HEIGHT: f64 = 280.0;

pub(super) fn charts(point: &Point, details: &Details) -> Vec<Chart> {
    if details.curves.is_empty() {
        return Vec::new();
    }
    let curves: Vec<_> = (0..)
        .zip(&details.curves)
        .map(|(index, (key, curve))| (named(key, point), Ink::Series(index), curve))
        .collect();
    let every = || curves.iter().flat_map(|(_, _, curve)| curve.points.iter().map(|p| p[1]));
    let millis = Scale::log(every());
    let nines = curves.iter().map(|(_, _, curve)| nines(curve)).fold(1.0, f64::max);
    let line = |at: fn(&[f64; 2]) -> Option<(f64, f64)>| {
        move |(name, ink, curve): &(String, Ink, &Curve)| Mark::Line {
            name: name.clone(),
            ink: *ink,
            points: curve.points.iter().filter_map(at).map(|(x, y)| (x, Some(y))).collect(),
        }
    };
    // A picture that stands alone has no note below.
    let titled = |title: &str, scale| {
        let saturated = if point.saturated { " · saturated, no result" } else { "" };
        Axis::new(&format!("{title}{saturated}"), scale)
    };
    let shares = Plot {
        label: "Share of observations up to each latency".to_owned(),
        height: HEIGHT,
        beside: None,
        x: Axis::new(MILLIS, millis),
        y: titled("share of observations, %", Scale::exactly(0.0, 100.0)),
        marks: curves.iter().map(line(|[share, ms]| Some((*ms, share * 100.0)))).collect(),
    };
    let tail = Plot {
        label: "Latency at each percentile".to_owned(),
        height: HEIGHT,
        beside: None,
        x: Axis::new("percentile", Scale::Tail { nines }),
        y: titled(MILLIS, millis),
        // The greatest has no percentile below 1.
        marks: curves
            .iter()
            .map(line(|[share, ms]| (*share < 1.0).then_some((*share, *ms))))
            .collect(),
    };
    let chart = |key, title, note: &str, plot| {
        let crossed = if point.saturated { CROSSED } else { "" };
        Chart::new(key, title, &format!("{note}{crossed}"), plot)
    };
    vec![
        chart(
            "latency-distribution",
            "Distribution",
            "The further left and the steeper, the faster and the steadier.",
            shares,
        ),
        chart(
            "latency-percentiles",
            "Percentiles",
            "The tail that averages hide: each mark to the right is ten times rarer.",
            tail,
        ),
    ]
}

/// Returns the name of a curve, crossed where it is of a saturated run.
fn named(key: &str, point: &Point) -> String {
    let name = name(key);
    if point.saturated { format!("{name} ×") } else { name.to_owned() }
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
