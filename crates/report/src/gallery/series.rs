//! Several operating points side by side.

use infermark_measure::{Estimate, Interval, Point};

use super::{Chart, Span};
use crate::chart::{Axis, Bars, Draw, Group, Heat, Ink, Mark, Plot, Scale};
use crate::subject::{Load, Series};

/// The height of a chart over the load.
const HEIGHT: f64 = 270.0;

/// The most loads that a heat map shows of one series.
const COLUMNS_MAX: usize = 16;

/// One point's place and value.
type Place = (f64, Option<f64>);

pub(super) fn charts(series: &[Series<'_>], load: Load) -> Vec<Chart> {
    let several = series.iter().any(|series| series.points.len() > 1);
    let mut charts = Vec::new();
    if several {
        charts.push(throughput_over_load(series, load));
        charts.push(latency_over_throughput(series));
        charts.extend(latency_over_load(series, load));
    } else {
        charts.push(throughput(series));
    }
    charts.push(latency(series));
    charts.extend(several.then(|| scaling(series, load)));
    charts.extend(cost(series));
    charts.push(heat(series, load));
    charts
}

fn output(point: &Point) -> Option<f64> {
    point.rates.map(|rates| rates.output_tokens_per_s)
}

/// Draws a figure of each point over the load.
fn over_load(
    series: &[Series<'_>],
    load: Load,
    title: &str,
    value: impl Fn(&Series<'_>, &Point) -> Option<f64>,
) -> Plot {
    let places: Vec<(String, Vec<Place>)> = series
        .iter()
        .map(|series| {
            let points = series.points.iter();
            let points = points.map(|(at, point)| (*at, value(series, point))).collect();
            (series.name.clone(), points)
        })
        .collect();
    let every = |of: fn(&Place) -> Option<f64>| {
        let values: Vec<f64> = places.iter().flat_map(|p| p.1.iter().filter_map(of)).collect();
        values
    };
    Plot {
        label: format!("{title}, over {}", load.title()),
        height: HEIGHT,
        beside: None,
        x: Axis::new(load.title(), level(&every(|place| Some(place.0)))),
        y: Axis::new(title, Scale::from_zero(every(|place| place.1).into_iter())),
        marks: lines(places),
    }
}

fn lines(places: Vec<(String, Vec<Place>)>) -> Vec<Mark> {
    let line = |(index, (name, points))| Mark::Dots { name, ink: Ink::Series(index), points };
    places.into_iter().enumerate().map(line).collect()
}

/// Loads that were doubled lie on a logarithmic axis, others on a linear one.
fn level(loads: &[f64]) -> Scale {
    let low = loads.iter().copied().fold(f64::INFINITY, f64::min);
    let high = loads.iter().copied().fold(0.0, f64::max);
    if low > 0.0 && high / low >= 16.0 {
        Scale::log(loads.iter().copied())
    } else {
        Scale::from_zero(loads.iter().copied())
    }
}

fn throughput_over_load(series: &[Series<'_>], load: Load) -> Chart {
    let plot = over_load(series, load, "output tokens/s", |_, point| output(point));
    let note = "Where a line stops rising, more load only waits.";
    Chart::new("throughput", "Throughput", note, plot)
}

fn throughput(series: &[Series<'_>]) -> Chart {
    let groups = series.iter().map(|series| {
        let value = series.points.first().and_then(|(_, point)| output(point));
        Group { name: series.name.clone(), values: vec![(value, None)] }
    });
    let bars = Bars {
        label: "Output tokens a second".to_owned(),
        title: "output tokens/s".to_owned(),
        names: Vec::new(),
        groups: groups.collect(),
        sign: String::new(),
    };
    Chart::new("throughput", "Throughput", "Output tokens a second over the window.", bars)
}

/// Draws a latency over throughput: the price of each further token. Intervals are those of the
/// statistic, at 95 %.
fn latency_over_throughput(series: &[Series<'_>]) -> Chart {
    let mut marks = Vec::new();
    let (mut xs, mut ys) = (Vec::new(), Vec::new());
    let (mut best, mut knee) = (0.0, None);
    for (index, one) in series.iter().enumerate() {
        let at = |point: &Point| Some((output(point)?, point.latency.e2e_ms?));
        let points: Vec<_> = one.points.iter().filter_map(|(_, point)| at(point)).collect();
        let ends = points.iter().filter_map(|(x, e)| Some((*x, e.mean_ci95?)));
        let intervals: Vec<[f64; 3]> = ends.map(|(x, [low, high])| [x, low, high]).collect();
        xs.extend(points.iter().map(|point| point.0));
        ys.extend(points.iter().map(|point| point.1.mean));
        ys.extend(intervals.iter().map(|interval| interval[2]));
        for (_, point) in &one.points {
            let power = point.rates.zip(point.latency.e2e_ms);
            let power = power.map_or(0.0, |(rates, e2e)| rates.requests_per_s / e2e.mean);
            if power > best {
                (best, knee) = (power, output(point));
            }
        }
        let ink = Ink::Series(index);
        let line = points.into_iter().map(|(x, estimate)| (x, Some(estimate.mean))).collect();
        marks.push(Mark::Intervals { ink, points: intervals });
        marks.push(Mark::Dots { name: one.name.clone(), ink, points: line });
    }
    if let Some(at) = knee.filter(|_| series.len() == 1) {
        marks.push(Mark::Upright { name: "knee".to_owned(), at });
    }
    let plot = Plot {
        label: "End-to-end latency over throughput".to_owned(),
        height: HEIGHT,
        beside: None,
        x: Axis::new("output tokens/s", Scale::from_zero(xs.into_iter())),
        y: Axis::new("mean E2E, ms, with its 95 % interval", Scale::from_zero(ys.into_iter())),
        marks,
    };
    let note = "The further right and the lower, the better. The knee is the point of the greatest \
                power: requests/s ÷ mean E2E (Kleinrock).";
    Chart::new("latency-throughput", "Latency against throughput", note, plot)
}

fn latency_over_load(series: &[Series<'_>], load: Load) -> Vec<Chart> {
    let chart = |key, title, axis, note, value: fn(&Point) -> Option<f64>| {
        let plot = over_load(series, load, axis, |_, point| value(point));
        let seen = series.iter().any(|s| s.points.iter().any(|p| value(p.1).is_some()));
        seen.then(|| Chart::new(key, title, note, plot))
    };
    let ttft = chart(
        "ttft",
        "Time to first token",
        "TTFT, ms: p99, or the highest percentile that so few requests allow",
        "What a user waits, from the instant at which the request was due.",
        |point| point.latency.ttft_ms.map(|estimate| estimate.tail().1),
    );
    let tpot = chart(
        "tpot",
        "Time per output token",
        "TPOT, ms, mean",
        "How fast an answer is written, once it has begun.",
        |point| point.latency.tpot_ms.map(|estimate| estimate.mean),
    );
    ttft.into_iter().chain(tpot).collect()
}

/// Draws E2E percentiles of each series, at its highest load.
fn latency(series: &[Series<'_>]) -> Chart {
    let groups = series.iter().map(|series| {
        let estimate = series.points.last().and_then(|(_, point)| point.latency.e2e_ms);
        Group { name: series.name.clone(), values: percentiles(estimate).to_vec() }
    });
    let bars = Bars {
        label: "End-to-end latency at the highest load".to_owned(),
        title: "E2E, ms, at the highest load of each".to_owned(),
        names: ["p50", "p95", "p99"].map(str::to_owned).to_vec(),
        groups: groups.collect(),
        sign: String::new(),
    };
    let note = "Nearest-rank percentiles of E2E, with their 95 % intervals.";
    Chart::new("latency", "Latency", note, bars)
}

fn percentiles(estimate: Option<Estimate>) -> [(Option<f64>, Option<Interval>); 3] {
    let Some(e) = estimate else { return [(None, None); 3] };
    [(Some(e.p50), e.p50_ci95), (e.p95, e.p95_ci95), (e.p99, e.p99_ci95)]
}

/// Draws how much of a proportional rise in throughput was had.
fn scaling(series: &[Series<'_>], load: Load) -> Chart {
    let efficiency = |series: &Series<'_>, point: &Point| {
        let (least, first) = series.points.first()?;
        let (at, _) = series.points.iter().find(|(_, other)| std::ptr::eq(*other, point))?;
        let proportional = output(first)? * at / least;
        (proportional > 0.0).then_some(100.0 * output(point)? / proportional)
    };
    let mut plot = over_load(series, load, "% of proportional to the lowest load", efficiency);
    plot.marks.push(Mark::Level { name: "proportional".to_owned(), at: 100.0 });
    let note = "Output tokens/s ÷ what they would be if they rose as the load does.";
    Chart::new("scaling", "Scaling efficiency", note, plot)
}

/// Draws the lowest cost of each series; nothing without a price.
fn cost(series: &[Series<'_>]) -> Option<Chart> {
    let costs = |series: &Series<'_>| {
        let costs = series.points.iter().filter_map(|(_, point)| point.cost);
        costs.min_by(|one, other| {
            let amount = |cost: &infermark_measure::Cost| cost.per_1m_output.unwrap_or(f64::MAX);
            amount(one).total_cmp(&amount(other))
        })
    };
    let currency = series.iter().find_map(costs)?.currency;
    let groups = series.iter().map(|series| {
        let cost = costs(series).filter(|cost| cost.currency == currency);
        let value = cost.and_then(|cost| cost.per_1m_output);
        Group { name: series.name.clone(), values: vec![(value, None)] }
    });
    let bars = Bars {
        label: "Cost of a million output tokens".to_owned(),
        title: format!("{} per 1M output tokens", currency.code()),
        names: Vec::new(),
        groups: groups.collect(),
        sign: currency.sign(),
    };
    let note = "At the load of each at which output tokens are cheapest.";
    Some(Chart::new("cost", "Cost", note, bars))
}

/// Draws E2E percentiles over the load, darker where slower, one map for each series.
fn heat(series: &[Series<'_>], load: Load) -> Chart {
    let maps = series.iter().map(|series| {
        let every = series.points.len().div_ceil(COLUMNS_MAX).max(1);
        let points: Vec<_> = series.points.iter().step_by(every).collect();
        let of = |value: fn(&Estimate) -> Option<f64>| -> Vec<Option<f64>> {
            points.iter().map(|(_, p)| p.latency.e2e_ms.as_ref().and_then(value)).collect()
        };
        let rows = vec![
            ("p50".to_owned(), of(|e| Some(e.p50))),
            ("p90".to_owned(), of(|e| e.p90)),
            ("p95".to_owned(), of(|e| e.p95)),
            ("p99".to_owned(), of(|e| e.p99)),
            ("max".to_owned(), of(|e| Some(e.max))),
        ];
        let columns = points.iter().map(|(at, _)| crate::chart::short(*at)).collect();
        Box::new(Heat {
            label: format!("E2E percentiles of {}", series.name),
            title: format!("{}: E2E, ms", series.name),
            columns_title: load.title().to_owned(),
            columns,
            rows,
        }) as Box<dyn Draw>
    });
    Chart {
        key: "heatmap",
        title: "Latency heat map".to_owned(),
        note: "Percentile by load; the darker, the slower.".to_owned(),
        span: Span::Full,
        parts: maps.collect(),
    }
}
