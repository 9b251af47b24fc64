//! Several operating points side by side.
//!
//! A saturated point's rates are results, and its latencies are none: they are crossed, join no
//! line, and do not stretch the axis.

use infermark_measure::{Estimate, Interval, Point};

use super::{Chart, Span};
use crate::chart::{Axis, Bars, Draw, Group, Heat, Ink, Mark, Plot, Scale};
use crate::points::are_single;
use crate::subject::{KNEE, Load, Placed, Series};

/// The height of a chart over the load.
const HEIGHT: f64 = 270.0;

/// The most loads that a heat map shows of one series.
const COLUMNS_MAX: usize = 16;

/// The most runs that share a heat map: on a narrow page, too, there is room for their names.
const RUNS_MAX: usize = 6;

/// The percentiles that are drawn beside one another.
const PERCENTILES: [&str; 3] = ["p50", "p95", "p99"];

/// What stands below a chart with crosses.
pub(super) const CROSSED: &str = " ×: saturated, and no result.";

/// A figure of a point, as it is drawn.
type Value<'a> = &'a dyn Fn(&Series<'_>, &Placed<'_>) -> Option<f64>;

pub(super) fn charts(series: &[Series<'_>], load: Load) -> Vec<Chart> {
    let several = series.iter().any(|series| series.points.len() > 1);
    let mut charts = Vec::new();
    if several {
        charts.push(throughput_over_load(series, load));
        charts.push(match load {
            Load::Run => latency_over_runs(series),
            Load::Concurrency | Load::Rate | Load::Sessions | Load::InFlight => {
                latency_over_throughput(series)
            }
        });
        charts.extend(latency_over_load(series, load));
    } else {
        charts.push(throughput(series));
    }
    let is_one_curve = several && series.len() == 1;
    if load != Load::Run {
        charts.push(if is_one_curve { tails(&series[0], load) } else { latency(series) });
        charts.extend(several.then(|| scaling(series, load)));
    }
    charts.extend(if is_one_curve { cost_over_load(series, load) } else { cost(series) });
    charts.push(heat(series, load));
    charts
}

fn output(point: &Point) -> Option<f64> {
    point.rates.map(|rates| rates.output_tokens_per_s)
}

/// Whether a figure of a saturated point is a result.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Figure {
    /// It is, as a rate.
    Rate,
    /// It is not.
    Latency,
}

/// Draws a figure of each point over the load.
fn over_load(
    series: &[Series<'_>],
    load: Load,
    title: &str,
    kind: Figure,
    value: Value<'_>,
) -> Plot {
    let (mut marks, mut sane, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for (index, one) in series.iter().enumerate() {
        let (mut line, mut struck) = (Vec::new(), Vec::new());
        for placed in &one.points {
            let found = value(one, placed);
            let is_result = kind == Figure::Rate || !placed.point.saturated;
            line.extend(is_result.then_some((placed.at, found)));
            // Runs of the same load are no course of anything.
            line.extend((load == Load::Run).then_some((placed.at, None)));
            sane.extend(found.filter(|_| is_result));
            all.extend(found);
            let crossed = found.filter(|_| placed.point.saturated);
            struck.extend(crossed.map(|value| (placed.at, value)));
        }
        let (name, ink) = (one.name.clone(), Ink::Series(index));
        marks.push(Mark::Dots { name: name.clone(), ink, points: line });
        marks.push(Mark::Struck { name, ink, points: struck });
    }
    let heights = if sane.is_empty() { all } else { sane };
    Plot {
        label: format!("{title}, over {}", load.title()),
        height: HEIGHT,
        beside: None,
        x: Axis::new(load.title(), level(series, load)),
        y: Axis::new(title, Scale::from_zero(heights.into_iter())),
        marks,
    }
}

/// Says what crosses are, where there are any.
fn crossed(series: &[Series<'_>]) -> &'static str {
    let any = series.iter().any(|one| one.points.iter().any(|placed| placed.point.saturated));
    if any { CROSSED } else { "" }
}

/// Loads that were doubled lie on a logarithmic axis, others on a linear one.
fn level(series: &[Series<'_>], load: Load) -> Scale {
    let loads: Vec<f64> = series.iter().flat_map(|s| s.points.iter().map(|p| p.at)).collect();
    let low = loads.iter().copied().fold(f64::INFINITY, f64::min);
    let high = loads.iter().copied().fold(0.0, f64::max);
    if load == Load::Run {
        Scale::Whole { low: 0.5, high: high + 0.5 }
    } else if low > 0.0 && high / low >= 16.0 {
        Scale::log(loads.into_iter())
    } else {
        Scale::from_zero(loads.into_iter())
    }
}

fn throughput_over_load(series: &[Series<'_>], load: Load) -> Chart {
    let value: Value<'_> = &|_, placed| output(placed.point);
    let plot = over_load(series, load, "output tokens/s", Figure::Rate, value);
    let note = match load {
        Load::Run => "How far runs of the same load differ.",
        Load::Concurrency | Load::Rate | Load::Sessions | Load::InFlight => {
            "Where a line stops rising, more load only waits."
        }
    };
    let marked = if crossed(series).is_empty() { "" } else { " ×: saturated." };
    Chart::new("throughput", "Throughput", &format!("{note}{marked}"), plot)
}

fn throughput(series: &[Series<'_>]) -> Chart {
    let groups = series.iter().map(|series| {
        let value = series.points.first().and_then(|placed| output(placed.point));
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
    let at = |point: &Point| Some((output(point)?, point.latency.e2e_ms?));
    let mut marks = e2e_marks(series, &|placed| at(placed.point));
    let knee = match series {
        [one] => one.points.iter().find(|placed| placed.is_knee()),
        _ => None,
    };
    let knee = knee.and_then(|placed| output(placed.point));
    if let Some(at) = knee.filter(|_| series.len() == 1) {
        marks.push(Mark::Upright { name: KNEE.to_owned(), at });
    }
    let every = series.iter().flat_map(|one| &one.points);
    let rates = every.filter_map(|placed| at(placed.point).map(|(x, _)| x));
    let plot = Plot {
        label: "End-to-end latency over throughput".to_owned(),
        height: HEIGHT,
        beside: None,
        x: Axis::new("output tokens/s", Scale::from_zero(rates)),
        y: Axis::new("mean E2E, ms, with its 95 % interval", e2e_scale(series)),
        marks,
    };
    let power = " The knee is the point of the greatest power: requests/s ÷ mean E2E (Kleinrock).";
    let power = if knee.is_some() { power } else { "" };
    let note = format!("The further right and the lower, the better.{power}{}", crossed(series));
    Chart::new("latency-throughput", "Latency against throughput", &note, plot)
}

/// Draws the mean of E2E of each run, with its interval.
fn latency_over_runs(series: &[Series<'_>]) -> Chart {
    let mut marks = e2e_marks(series, &|placed| Some((placed.at, placed.point.latency.e2e_ms?)));
    for mark in &mut marks {
        if let Mark::Dots { points, .. } = mark {
            *points = points.iter().flat_map(|&(x, y)| [(x, y), (x, None)]).collect();
        }
    }
    let plot = Plot {
        label: "End-to-end latency of each run".to_owned(),
        height: HEIGHT,
        beside: None,
        x: Axis::new(Load::Run.title(), level(series, Load::Run)),
        y: Axis::new("mean E2E, ms, with its 95 % interval", e2e_scale(series)),
        marks,
    };
    let note = format!(
        "An interval says how sure one run is of its mean; how far runs differ, only runs \
         show.{}",
        crossed(series)
    );
    Chart::new("latency-runs", "Latency", &note, plot)
}

/// Draws means with their intervals, each where `at` says.
fn e2e_marks(
    series: &[Series<'_>],
    at: &dyn Fn(&Placed<'_>) -> Option<(f64, Estimate)>,
) -> Vec<Mark> {
    let mut marks = Vec::new();
    for (index, one) in series.iter().enumerate() {
        let (ink, name) = (Ink::Series(index), one.name.clone());
        let of = |saturated: bool| {
            let points = one.points.iter().filter(move |one| one.point.saturated == saturated);
            points.filter_map(at)
        };
        let ends = of(false).filter_map(|(x, estimate)| Some((x, estimate.mean_ci95?)));
        let intervals = ends.map(|(x, [low, high])| [x, low, high]).collect();
        let line = of(false).map(|(x, estimate)| (x, Some(estimate.mean))).collect();
        let struck = of(true).map(|(x, estimate)| (x, estimate.mean)).collect();
        marks.push(Mark::Intervals { ink, points: intervals });
        marks.push(Mark::Dots { name: name.clone(), ink, points: line });
        marks.push(Mark::Struck { name, ink, points: struck });
    }
    marks
}

/// Returns the axis for means of E2E and their intervals.
fn e2e_scale(series: &[Series<'_>]) -> Scale {
    let every = || series.iter().flat_map(|one| &one.points);
    let all_are_saturated = every().all(|placed| placed.point.saturated);
    let shown = every().filter(|placed| all_are_saturated || !placed.point.saturated);
    let highs = shown.filter_map(|placed| {
        let e2e = placed.point.latency.e2e_ms?;
        Some(e2e.mean_ci95.map_or(e2e.mean, |[_, high]| high))
    });
    Scale::from_zero(highs)
}

fn latency_over_load(series: &[Series<'_>], load: Load) -> Vec<Chart> {
    let chart = |key, title, axis, note: &str, value: fn(&Point) -> Option<f64>| {
        let figure: Value<'_> = &|_, placed| value(placed.point);
        let plot = over_load(series, load, axis, Figure::Latency, figure);
        let seen = series.iter().any(|s| s.points.iter().any(|p| value(p.point).is_some()));
        seen.then(|| Chart::new(key, title, &format!("{note}{}", crossed(series)), plot))
    };
    let ttft = chart(
        "ttft",
        "Time to first token",
        "TTFT, ms: p99, or the highest that is known",
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

/// Draws E2E percentiles of each series, at its highest load that is not saturated.
fn latency(series: &[Series<'_>]) -> Chart {
    let found = series.iter().map(|series| {
        let highest = series.points.iter().rev().find(|placed| !placed.point.saturated);
        percentiles(highest.and_then(|placed| placed.point.latency.e2e_ms))
    });
    let found: Vec<_> = found.collect();
    // A percentile that nobody has enough requests for has no place in the legend.
    let is_known = |place: &usize| found.iter().any(|values| values[*place].0.is_some());
    let shown: Vec<_> = (0..PERCENTILES.len()).filter(is_known).collect();
    let figure = match shown[..] {
        [only] => format!("E2E {}", PERCENTILES[only]),
        _ => "E2E".to_owned(),
    };
    let groups = series.iter().zip(&found).map(|(series, values)| Group {
        name: series.name.clone(),
        values: shown.iter().map(|&place| values[place]).collect(),
    });
    let bars = Bars {
        label: "End-to-end latency at the highest load".to_owned(),
        title: format!("{figure}, ms, at the highest load of each that is not saturated"),
        names: shown.iter().map(|&place| PERCENTILES[place].to_owned()).collect(),
        groups: groups.collect(),
        sign: String::new(),
    };
    let note = "Nearest-rank percentiles of E2E, with their 95 % intervals.";
    Chart::new("latency", "Latency", note, bars)
}

/// Draws E2E percentiles of one curve over the load.
fn tails(one: &Series<'_>, load: Load) -> Chart {
    let lines =
        PERCENTILES.map(|name| Series { name: name.to_owned(), points: one.points.clone() });
    let value: Value<'_> = &|line, placed| {
        let place = PERCENTILES.iter().position(|name| *name == line.name)?;
        percentiles(placed.point.latency.e2e_ms)[place].0
    };
    let plot = over_load(&lines, load, "E2E, ms", Figure::Latency, value);
    let note = format!("Nearest-rank percentiles of E2E.{}", crossed(&lines));
    Chart::new("latency", "Latency", &note, plot)
}

fn percentiles(estimate: Option<Estimate>) -> [(Option<f64>, Option<Interval>); 3] {
    let Some(e) = estimate else { return [(None, None); 3] };
    [(Some(e.p50), e.p50_ci95), (e.p95, e.p95_ci95), (e.p99, e.p99_ci95)]
}

/// Draws how much of a proportional rise in throughput was had.
fn scaling(series: &[Series<'_>], load: Load) -> Chart {
    let efficiency: Value<'_> = &|series, placed| {
        let first = series.points.first()?;
        let proportional = output(first.point)? * placed.at / first.at;
        (proportional > 0.0).then_some(100.0 * output(placed.point)? / proportional)
    };
    let title = "% of proportional to the lowest load";
    let mut plot = over_load(series, load, title, Figure::Rate, efficiency);
    // Its name has room above the line, where curves seldom are.
    let most = plot.marks.iter().flat_map(Mark::values).fold(105.0, f64::max);
    plot.y.scale = Scale::from_zero(std::iter::once(most));
    plot.marks.push(Mark::Level { name: "proportional".to_owned(), at: 100.0 });
    let marked = if crossed(series).is_empty() { "" } else { " ×: saturated." };
    let note = "Output tokens/s ÷ what they would be if they rose as the load does.";
    Chart::new("scaling", "Scaling efficiency", &format!("{note}{marked}"), plot)
}

/// Draws the cost of each point of one curve; nothing without a price.
fn cost_over_load(series: &[Series<'_>], load: Load) -> Option<Chart> {
    let costs = || series.iter().flat_map(|s| s.points.iter().filter_map(|p| p.point.cost));
    let currency = costs().next()?.currency;
    let value: Value<'_> = &|_, placed| {
        let cost = placed.point.cost.filter(|cost| cost.currency == currency);
        cost.and_then(|cost| cost.per_1m_output)
    };
    let title = format!("{} per 1M output tokens", currency.code());
    let plot = over_load(series, load, &title, Figure::Rate, value);
    let marked = if crossed(series).is_empty() { "" } else { " ×: saturated." };
    let note = format!("What a million output tokens cost at each load.{marked}");
    Some(Chart::new("cost", "Cost", &note, plot))
}

/// Draws the lowest cost of each series, saturation left out; nothing without a price.
fn cost(series: &[Series<'_>]) -> Option<Chart> {
    let costs = |series: &Series<'_>| {
        let sane = series.points.iter().filter(|placed| !placed.point.saturated);
        let costs = sane.filter_map(|placed| placed.point.cost);
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
    let note = "At the load of each, saturated ones left out, at which output tokens are cheapest.";
    Some(Chart::new("cost", "Cost", note, bars))
}

/// Draws E2E percentiles over the load, in a stronger colour where slower, one map for each series.
/// Series of one point each share maps.
fn heat(series: &[Series<'_>], load: Load) -> Chart {
    let scale = heat_scale(series);
    let share = series.len() > 1 && are_single(series);
    let parts: Vec<Box<dyn Draw>> = if share {
        let each = series.len().div_ceil(series.len().div_ceil(RUNS_MAX));
        let maps = series.chunks(each).zip((1..).step_by(each)).map(|(runs, first)| {
            let columns = runs.iter().map(|one| (one.name.clone(), &one.points[0]));
            let map = heat_map(["", "run"], columns.collect(), scale);
            Box::new(Heat { first, ..map }) as Box<dyn Draw>
        });
        maps.collect()
    } else {
        let maps = series.iter().map(|one| {
            let every = one.points.len().div_ceil(COLUMNS_MAX).max(1);
            let columns = one.points.iter().step_by(every).map(|placed| (placed.load(), placed));
            let map = heat_map([&one.name, load.title()], columns.collect(), scale);
            Box::new(map) as Box<dyn Draw>
        });
        maps.collect()
    };
    Chart {
        key: "heatmap",
        title: "Latency heat map".to_owned(),
        note: heat_note(series, if share { "run" } else { "load" }),
        span: Span::Full,
        parts,
    }
}

/// Returns one map: whose it is and what its columns are, and its columns.
fn heat_map(
    [name, columns_title]: [&str; 2],
    columns: Vec<(String, &Placed<'_>)>,
    scale: Scale,
) -> Heat {
    let of = |value: fn(&Estimate) -> Option<f64>| -> Vec<Option<f64>> {
        let estimates = columns.iter().map(|(_, placed)| placed.point.latency.e2e_ms);
        estimates.map(|estimate| estimate.as_ref().and_then(value)).collect()
    };
    let rows = vec![
        ("p50".to_owned(), of(|e| Some(e.p50))),
        ("p90".to_owned(), of(|e| e.p90)),
        ("p95".to_owned(), of(|e| e.p95)),
        ("p99".to_owned(), of(|e| e.p99)),
        ("max".to_owned(), of(|e| Some(e.max))),
    ];
    let [of_whom, whose] = match name {
        "" => [String::new(), String::new()],
        _ => [format!(" of {name}"), format!("{name}: ")],
    };
    Heat {
        label: format!("E2E percentiles{of_whom}"),
        title: format!("{whose}E2E, ms"),
        columns_title: columns_title.to_owned(),
        struck: columns.iter().map(|(_, placed)| placed.point.saturated).collect(),
        first: 1,
        columns: columns.into_iter().map(|(name, _)| name).collect(),
        rows,
        scale,
    }
}

/// Returns the scale of all results: what is struck out has no colour of its own.
fn heat_scale(series: &[Series<'_>]) -> Scale {
    let every = series.iter().flat_map(|one| &one.points);
    let results = every.filter(|placed| !placed.point.saturated);
    let estimates = results.filter_map(|placed| placed.point.latency.e2e_ms);
    Scale::log(estimates.flat_map(|estimate| [estimate.p50, estimate.max]))
}

fn heat_note(series: &[Series<'_>], by: &str) -> String {
    let struck = if crossed(series).is_empty() { "" } else { " Struck out: saturated." };
    format!("Percentile by {by}; the stronger the colour, the slower.{struck}")
}
