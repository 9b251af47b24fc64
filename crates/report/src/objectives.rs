//! Whether the objectives are met, a line for each bound.

use infermark_measure::{Decision, Point, Ruling};
use infermark_terms::slo::Unit;

use crate::figure::{ABSENT, count, distance, figure, percent};
use crate::page::{Page, ROOM, Tone};
use crate::text::{clean, flow, wrap};

/// Columns of a verdict, with the gap behind it.
const VERDICT: usize = 11;

/// Writes how each bound fared, and the good requests, where any were asked for.
pub(crate) fn write(page: &mut Page, point: &Point) {
    let mut label = "slo";
    for (class, ruling) in rulings(point) {
        let tone = match ruling.verdict {
            Decision::Met => Tone::Good,
            Decision::Missed => Tone::Bad,
            Decision::Undecided => Tone::Warning,
        };
        let verdict = name(ruling.verdict);
        let lines = wrap(&clean(&named(class, ruling)), ROOM - VERDICT);
        let verdicts = std::iter::once(verdict).chain(std::iter::repeat(""));
        let lines = lines.into_iter().zip(verdicts);
        page.block(label, tone, lines.map(|(line, verdict)| format!("{verdict:<VERDICT$}{line}")));
        label = "";
    }
    let good = good_items(point);
    if !good.is_empty() {
        page.block("goodput", Tone::Plain, flow(good, ROOM));
    }
}

/// Returns the rulings of a point: those over all requests, then those of each class with its
/// name.
pub(crate) fn rulings(point: &Point) -> impl Iterator<Item = (Option<&str>, &Ruling)> {
    let classes = point.classes.iter();
    let classes =
        classes.flat_map(|class| class.slo.iter().map(|r| (Some(class.name.as_str()), r)));
    point.slo.iter().map(|ruling| (None, ruling)).chain(classes)
}

/// Says how a bound fared, and for which class.
pub(crate) fn named(class: Option<&str>, ruling: &Ruling) -> String {
    match class {
        Some(class) => format!("{class}: {}", said(ruling)),
        None => said(ruling),
    }
}

/// Returns a verdict's name.
pub(crate) fn name(verdict: Decision) -> &'static str {
    match verdict {
        Decision::Met => "met",
        Decision::Missed => "missed",
        Decision::Undecided => "undecided",
    }
}

/// Says how a bound fared.
pub(crate) fn said(ruling: &Ruling) -> String {
    let unit = ruling.bound.subject.unit();
    let end = |end: Option<f64>| end.map_or_else(|| ABSENT.to_owned(), |end| number(end, unit));
    let [low, high] = ruling.ci95;
    let interval = match (low, high) {
        (None, None) => String::new(),
        (Some(low), Some(high)) if low >= high => String::new(),
        _ => format!(" [{}, {}]", end(low), end(high)),
    };
    let margin = ruling.margin.map_or(String::new(), |margin| {
        let side = if margin < 0.0 { "outside" } else { "inside" };
        format!(", {} % {side}", distance(1.0 + margin, 1.0))
    });
    let unit = match unit {
        Unit::Millis => " ms",
        Unit::Share => " %",
        Unit::PerSecond => "/s",
    };
    let figure = match ruling.value {
        Some(value) => format!("{}{interval}{unit}", end(Some(value))),
        None if interval.is_empty() => "not observed".to_owned(),
        // A percentile beyond what succeeded has an end all the same.
        None => format!("not observed,{interval}{unit}"),
    };
    format!("{}: {figure}{margin}{}", ruling.bound, more(ruling))
}

fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Millis | Unit::PerSecond => figure(value),
        Unit::Share => figure(100.0 * value),
    }
}

/// Says what would decide an undecided bound.
fn more(ruling: &Ruling) -> String {
    match (ruling.verdict, ruling.more_requests) {
        // There were enough, but too close together in time to be independent.
        (Decision::Undecided, Some(0)) => "; a longer run would decide it".to_owned(),
        (Decision::Undecided, Some(more)) => {
            format!("; about {} more requests would decide it", count(rounded(more)))
        }
        (Decision::Undecided, None) => "; no number of requests would decide it".to_owned(),
        (Decision::Met | Decision::Missed, _) => String::new(),
    }
}

/// Rounds up to two significant digits: it is a guess.
fn rounded(number: u64) -> u64 {
    let digits = number.max(1).ilog10();
    let grain = 10_u64.pow(digits.saturating_sub(1));
    number.div_ceil(grain) * grain
}

/// Returns how many requests were good, and how fast they came.
pub(crate) fn good_items(point: &Point) -> Vec<String> {
    let Some(rates) = &point.rates else { return Vec::new() };
    let items = [
        rates
            .good_share
            .map(|share| format!("{} of {} good", percent(share), count(point.counts.due))),
        rates.goodput_rps.map(|rate| format!("{} requests/s", figure(rate))),
        rates.goodput_output_tokens_per_s.map(|rate| format!("{} output tok/s", figure(rate))),
    ];
    items.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_of_which_only_an_end_is_known_is_told_with_it() {
        let ruling = |ci95| Ruling {
            bound: "ttft:p99<=50ms".parse().unwrap(),
            value: None,
            ci95,
            beyond: None,
            verdict: Decision::Missed,
            margin: None,
            more_requests: None,
        };
        assert_eq!(said(&ruling([None, None])), "ttft:p99<=50ms: not observed");
        let known = "ttft:p99<=50ms: not observed, [102.3, –] ms";
        assert_eq!(said(&ruling([Some(102.27), None])), known);
    }
}
