//! A peer's figures as a table for people, in the peer's own words and units.

use crate::point::{Counts, Point};
use crate::stats::Stats;

/// Prints a point under a title.
pub fn page(title: &str, point: &Point) -> String {
    let mut page = format!("{title}\n");
    let Counts { completed, failed, incomplete } = point.counts;
    let known = [(completed, "completed"), (failed, "failed"), (incomplete, "incomplete")];
    let mut facts: Vec<_> =
        known.iter().filter_map(|(n, what)| n.map(|n| format!("{n} {what}"))).collect();
    facts.extend(point.duration_s.map(|seconds| format!("{} s", significant(seconds))));
    if !point.label.is_empty() {
        facts.insert(0, point.label.clone());
    }
    page += &(facts.join(" · ") + "\n\n");
    let rates: Vec<_> =
        point.rates.iter().map(|rate| vec![rate.name.clone(), significant(rate.value)]).collect();
    let heads = ["", "n", "mean", "std", "min", "p50", "p90", "p95", "p99", "max"];
    let mut figures = vec![heads.map(str::to_owned).to_vec()];
    figures.extend(point.figures.iter().map(|figure| {
        let name = format!("{}, {}", figure.name, figure.unit.symbol());
        [vec![name], columns(&figure.stats)].concat()
    }));
    page + &aligned(&rates) + "\n" + &aligned(&figures)
}

fn columns(stats: &Stats) -> Vec<String> {
    let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), significant);
    let count = stats.count.map_or_else(|| "–".to_owned(), |count| count.to_string());
    let at = |percentage| shown(stats.percentile(percentage));
    vec![
        count,
        shown(stats.mean),
        shown(stats.std),
        shown(stats.min),
        at(50.0),
        at(90.0),
        at(95.0),
        at(99.0),
        shown(stats.max),
    ]
}

/// Aligns columns: the first to the left, the others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// Formats to four significant digits.
fn significant(value: f64) -> String {
    let magnitude = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    let decimals = (3.0 - magnitude).clamp(0.0, 9.0) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::record;
    use crate::view::View;

    #[test]
    fn a_page_is_aligned_and_leaves_out_what_is_not_known() {
        let mut point = View::Mlperf.measure(&record());
        point.figures.truncate(1);
        point.figures[0].stats.percentiles.retain(|(percentage, _)| *percentage < 99.0);
        assert_eq!(
            page("MLPerf", &point),
            "MLPerf\n\
             2 completed · 1 failed · 1 incomplete · 0.3750 s\n\n\
             completed_samples_per_second  5.333\n\
             input_tokens_per_second       170.7\n\
             completed_tokens_per_second   21.33\n\
             total_tokens_per_second       192.0\n\n\
             \u{20}            n   mean    std    min    p50    p90    p95  p99    max\n\
             latency, ms  2  170.0  0.000  170.0  170.0  170.0  170.0    –  170.0\n"
        );
    }

    #[test]
    fn numbers_have_four_digits() {
        for (value, shown) in [(0.0, "0.000"), (1234.5, "1234"), (0.012_345, "0.01235")] {
            assert_eq!(significant(value), shown);
        }
    }
}
