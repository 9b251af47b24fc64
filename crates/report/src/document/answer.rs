//! The answer: the figures that a reader came for.

use infermark_measure::{Estimate, Point};
use infermark_terms::OutcomeKind;

use super::{Html, Subject, count, defined, figure, interval, money, percent};
use crate::figure::ABSENT;
use crate::objectives;
use crate::subject::KNEE;
use crate::{Passed, acceptance};

/// A figure that stands out.
pub(crate) struct Tile {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) unit: &'static str,
    /// What else to know.
    pub(crate) more: String,
}

impl Tile {
    fn new(name: &'static str, value: String, unit: &'static str, more: String) -> Self {
        Self { name, value, unit, more }
    }

    /// Says whether it is a result: latencies of a saturated point are none.
    pub(crate) fn is_result(&self, point: &Point) -> bool {
        !point.saturated || !["TTFT", "TPOT", "E2E"].contains(&self.name)
    }
}

/// Writes the figures of one point that stand out.
pub(super) fn tiles(page: &mut Html, point: &Point) {
    let _: &mut Html = page.open("div", &[("class", "tiles")]);
    for tile in all_tiles(point) {
        let _: &mut Html = page.markup("<div class=\"tile\"><span>");
        defined(page, tile.name);
        let _: &mut Html = page.markup("</span><b>");
        let write = |page: &mut Html, text: &str| {
            let _: &mut Html =
                if tile.is_result(point) { page.text(text) } else { page.element("s", &[], text) };
        };
        write(page, &tile.value);
        let _: &mut Html = page.markup(" <i>").text(tile.unit).markup("</i></b><small>");
        write(page, &tile.more);
        let _: &mut Html = page.markup("</small></div>");
    }
    let _: &mut Html = page.close("div");
}

/// Returns the figures of a point that stand out.
pub(crate) fn all_tiles(point: &Point) -> Vec<Tile> {
    let mut tiles = Vec::new();
    if let Some(rates) = &point.rates {
        let per_user = rates.output_tokens_per_s_per_user;
        let more = per_user.map(|rate| format!("{} tok/s/user", figure(rate))).unwrap_or_default();
        tiles.push(Tile::new("output tok/s", figure(rates.output_tokens_per_s), "", more));
        let input = rates.input_tokens_per_s;
        let more = input.map(|rate| format!("{} input tok/s", figure(rate))).unwrap_or_default();
        tiles.push(Tile::new("requests/s", figure(rates.requests_per_s), "", more));
    }
    let latency = &point.latency;
    let figures = [("TTFT", latency.ttft_ms), ("TPOT", latency.tpot_ms), ("E2E", latency.e2e_ms)];
    for (name, estimate) in figures {
        let Some(estimate) = estimate else { continue };
        let (statistic, value) =
            if name == "TPOT" { ("mean", estimate.mean) } else { estimate.tail() };
        tiles.push(Tile::new(name, figure(value), "ms", beside(&estimate, statistic)));
    }
    let counts = &point.counts;
    let rate = counts.failure_rate.map_or(ABSENT.to_owned(), percent);
    let more = format!("{} of {} requests", count(counts.failed), count(counts.due));
    tiles.push(Tile::new("failure", rate, "", more));
    if let Some(concurrency) = point.concurrency {
        let more = format!("{} at most", count(concurrency.peak));
        tiles.push(Tile::new("in flight", figure(concurrency.mean), "", more));
    }
    tiles.extend(cost_tile(point));
    tiles.extend(energy_tile(point));
    tiles
}

fn energy_tile(point: &Point) -> Option<Tile> {
    let energy = point.energy?;
    let idle = energy.idle_watts.map(|watts| format!(" · {} W before the load", figure(watts)));
    let more = format!("{} J over the window{}", figure(energy.joules), idle.unwrap_or_default());
    Some(Tile::new("energy", figure(energy.joules_per_output_token?), "J per output token", more))
}

fn cost_tile(point: &Point) -> Option<Tile> {
    let cost = point.cost?;
    let (output, shown) = (cost.per_1m_output?, |amount| money(cost.currency, amount));
    let kinds =
        [(cost.per_1m_input, "input"), (cost.per_1m_total, "total"), (cost.per_1m_good, "good")];
    let kinds = kinds.into_iter().filter_map(|(amount, kind)| Some((amount?, kind)));
    let kinds = kinds.map(|(amount, kind)| format!("{} {kind}", shown(amount)));
    let per_thousand = format!("{} per 1K", shown(output / 1e3));
    let hour = format!("at {} an hour", shown(cost.per_hour));
    let more: Vec<_> = kinds.chain([per_thousand, hour]).collect();
    Some(Tile::new("cost", shown(output), "per 1M output", more.join(" · ")))
}

/// Says which statistic a tile shows, how sure it is, and what is usual.
fn beside(estimate: &Estimate, statistic: &str) -> String {
    let ends = match statistic {
        "mean" => estimate.mean_ci95,
        "p99" => estimate.p99_ci95,
        "p95" => estimate.p95_ci95,
        "p90" => estimate.p90_ci95,
        _ => estimate.p50_ci95,
    };
    let ends = ends.map(|ends| format!(", 95 %: {}", interval(ends)));
    let usual = (statistic != "p50").then(|| format!(" · p50 {}", figure(estimate.p50)));
    format!("{statistic}{}{}", ends.unwrap_or_default(), usual.unwrap_or_default())
}

/// Writes how each objective fared, where any were asked for.
pub(super) fn objectives(page: &mut Html, point: &Point) {
    let good = objectives::good_items(point);
    let bounded = objectives::rulings(point).next().is_some();
    if !bounded && good.is_empty() {
        return;
    }
    super::heading(page, "Objectives");
    if bounded {
        let _: &mut Html = page.markup("<table class=\"setup\"><tbody>");
    }
    for (class, ruling) in objectives::rulings(point) {
        let verdict = objectives::name(ruling.verdict);
        let _: &mut Html = page.markup("<tr><td>").element("span", &[("class", verdict)], verdict);
        let said = objectives::named(class, ruling);
        let _: &mut Html = page.markup("</td>").element("td", &[], &said).markup("</tr>");
    }
    if bounded {
        let _: &mut Html = page.markup("</tbody></table>");
    }
    if !good.is_empty() {
        let _: &mut Html = page.markup("<p>");
        defined(page, "goodput");
        let _: &mut Html = page.text(": ").text(&good.join(" · ")).markup("</p>");
    }
}

/// Writes how the requests ended, where some failed, and why.
pub(super) fn ends(page: &mut Html, point: &Point) {
    let counts = &point.counts;
    if counts.failed == 0 {
        return;
    }
    super::heading(page, "Outcomes");
    let kinds = [
        (OutcomeKind::Finished, counts.finished),
        (OutcomeKind::Refused, counts.refused),
        (OutcomeKind::Severed, counts.severed),
        (OutcomeKind::Garbled, counts.garbled),
        (OutcomeKind::Errored, counts.errored),
        (OutcomeKind::Expired, counts.expired),
        (OutcomeKind::Shed, counts.shed),
        (OutcomeKind::Abandoned, counts.abandoned),
    ];
    let happened = kinds.iter().filter(|kind| kind.1 > 0);
    let words = happened.map(|(kind, number)| format!("{} {}", count(*number), kind.name()));
    let words = words.collect::<Vec<_>>().join(" · ");
    let _: &mut Html = page.element("p", &[], &words);
    let _: &mut Html = page.markup(
        "<div class=\"scroll\"><table><thead><tr><th class=\"words\">why requests failed</th>\
         <th>outcome</th><th>requests</th></tr></thead><tbody>",
    );
    for reason in &counts.reasons {
        let _: &mut Html = page.markup("<tr>").element("td", &[("class", "words")], &reason.reason);
        let _: &mut Html = page.element("td", &[], reason.outcome.name());
        let _: &mut Html = page.element("td", &[], &count(reason.count)).markup("</tr>");
    }
    let _: &mut Html = page.markup("</tbody></table></div>");
}

/// Writes the verdict on a suite as a whole.
pub(super) fn tally(page: &mut Html, subject: &Subject) {
    let Some((passed, counts)) = acceptance::tally_of(&subject.verdicts) else { return };
    let class = match passed {
        Passed::Yes => "verdict sound",
        Passed::Undecided => "verdict doubtful",
        Passed::No => "verdict void",
    };
    let _: &mut Html = page.open("div", &[("class", class)]).markup("<p>");
    let words = format!(": {counts}.");
    let _: &mut Html = page.element("strong", &[], passed.capitals()).text(&words);
    let _: &mut Html = page.markup("</p></div>");
}

/// Writes the figures of the point that a study was for.
pub(super) fn sought(page: &mut Html, subject: &Subject) {
    for (point, heading) in all_sought(subject) {
        super::heading(page, &heading);
        tiles(page, point);
    }
}

/// Returns the points that a study was for, each with a heading: its knee, or the highest load that
/// it found to be carried.
pub(crate) fn all_sought(subject: &Subject) -> Vec<(&Point, String)> {
    let mut found = Vec::new();
    for (mark, heading) in [(KNEE, "At the knee"), ("capacity", "At capacity")] {
        let all = subject.points.iter().zip(&subject.places);
        let mut marked = all.filter(|(_, place)| place.mark == mark);
        // Several are too many to stand out: the table marks them.
        if let (Some((point, place)), None) = (marked.next(), marked.next()) {
            found.push((point, format!("{heading}: {}", place.label)));
        }
    }
    found
}

/// Returns what stands above what a study found.
pub(crate) fn findings_heading(subject: &Subject) -> &'static str {
    if subject.verdicts.is_empty() { "Findings" } else { "The suite" }
}

/// Writes what a study found.
pub(super) fn findings(page: &mut Html, subject: &Subject) {
    if subject.findings.is_empty() {
        return;
    }
    super::heading(page, findings_heading(subject));
    let _: &mut Html = page.markup("<table class=\"setup\"><tbody>");
    for group in subject.findings.chunk_by(|one, other| one.0 == other.0) {
        let _: &mut Html = page.markup("<tr><td>");
        defined(page, &group[0].0);
        let _: &mut Html = page.markup("</td><td>");
        for (_, finding) in group {
            let _: &mut Html = page.open("div", &[]).prose(finding).close("div");
        }
        let _: &mut Html = page.markup("</td></tr>");
    }
    let _: &mut Html = page.markup("</tbody></table>");
}

/// Writes what a suite asks, line by line, with its verdicts.
pub(super) fn verdicts(page: &mut Html, subject: &Subject) {
    if subject.verdicts.is_empty() {
        return;
    }
    super::heading(page, "What was asked");
    let _: &mut Html = page.markup("<table class=\"setup verdicts\"><tbody>");
    for line in &subject.verdicts {
        let class = match line.passed {
            Passed::Yes => "met",
            Passed::No => "missed",
            Passed::Undecided => "undecided",
        };
        let _: &mut Html = page.markup("<tr><td>");
        let _: &mut Html = page.element("span", &[("class", class)], line.passed.capitals());
        let _: &mut Html = page.markup("</td><td>").element("strong", &[], &line.name);
        let _: &mut Html = page.element("div", &[], &line.rule);
        for found in &line.found {
            let _: &mut Html = page.element("div", &[("class", "hint")], found);
        }
        let _: &mut Html = page.markup("</td></tr>");
    }
    let _: &mut Html = page.markup("</tbody></table>");
}

/// Writes what targets did under the same loads.
pub(super) fn contests(page: &mut Html, subject: &Subject) {
    for contest in &subject.contests {
        super::heading(page, &contest.title());
        super::table(page, &contest.heads(), &contest.rows());
        for sentence in &contest.outcome {
            let _: &mut Html = page.element("p", &[], sentence);
        }
    }
}
