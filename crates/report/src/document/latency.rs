//! The latencies of one point as a table, each figure with its definition.

use infermark_measure::{Estimate, LoadPlan, Point};

use super::{Html, count, defined, figure, heading, interval};
use crate::figure::ABSENT;

/// Writes the table, and what a reader must know of it.
pub(super) fn write(page: &mut Html, point: &Point) {
    let latency = &point.latency;
    let rows = [
        ("TTFT", latency.ttft_ms, ""),
        ("TPOT", latency.tpot_ms, ""),
        ("ITL", latency.itl_ms, ""),
        ("ICL", latency.icl_ms.filter(|_| latency.itl_ms.is_none()), ""),
        ("E2E", latency.e2e_ms, ""),
        ("service TTFT", latency.service_ttft_ms, "beside"),
        ("TTFA", latency.ttfa_ms.filter(|_| latency.ttfa_ms != latency.ttft_ms), "beside"),
        ("stall", latency.stall_ms, "beside"),
        ("lag", latency.lag_ms, "beside"),
    ];
    if rows.iter().all(|row| row.1.is_none()) {
        return;
    }
    heading(page, "Latency");
    let _: &mut Html =
        page.markup("<div class=\"scroll\"><table><thead><tr><th>milliseconds</th><th>n</th><th>");
    defined(page, "mean");
    let _: &mut Html = page.markup("</th><th>±</th><th>");
    defined(page, "percentile");
    let _: &mut Html = page.markup(
        " p50</th><th>p90</th><th>p95</th><th>p99</th><th>95 % interval of p99</th><th>p99.9</th>\
         <th>max</th></tr></thead><tbody>",
    );
    for (name, estimate, class) in rows {
        if let Some(estimate) = estimate {
            let _: &mut Html = page.open("tr", &[("class", class)]).markup("<td>");
            defined(page, name);
            let _: &mut Html = page.markup("</td>");
            // The generator's own lateness is a result under any load.
            let struck = point.saturated && name != "lag";
            line(page, &estimate, struck.then_some("s"));
            let _: &mut Html = page.close("tr");
        }
    }
    let _: &mut Html = page.markup("</tbody></table></div>");
    if point.saturated {
        super::struck_out(page);
    }
    let from = match point.load {
        LoadPlan::Closed { .. } => {
            "Closed loop: no arrival schedule exists; latency is from when a slot was free."
        }
        LoadPlan::Trace { .. } => {
            "Trace replay: latency is from when the trace had a request, however late it left."
        }
        LoadPlan::Open { .. } => {
            "Open loop: latency is from when a request was due, however late it left."
        }
    };
    let note = "± is the half width of the mean's 95 % interval. A dash: too few requests.";
    let _: &mut Html = page.element("p", &[("class", "faint")], &format!("{from} {note}"));
}

/// Writes the cells of a line, each in this element; how many there are is known in any case.
fn line(page: &mut Html, estimate: &Estimate, within: Option<&'static str>) {
    for (place, cell) in cells(estimate).into_iter().enumerate() {
        let _: &mut Html = page.markup("<td>");
        let _: &mut Html = match within.filter(|_| place > 0 && cell != ABSENT) {
            Some(tag) => page.element(tag, &[], &cell),
            None => page.text(&cell),
        };
        let _: &mut Html = page.markup("</td>");
    }
}

fn cells(e: &Estimate) -> [String; 10] {
    let optional = |value: Option<f64>| value.map_or(ABSENT.to_owned(), figure);
    [
        count(e.n),
        figure(e.mean),
        optional(e.mean_ci95.map(|[_, high]| high - e.mean)),
        figure(e.p50),
        optional(e.p90),
        optional(e.p95),
        optional(e.p99),
        e.p99_ci95.map_or(ABSENT.to_owned(), interval),
        optional(e.p999),
        figure(e.max),
    ]
}
