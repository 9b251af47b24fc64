//! Two runs side by side, or two studies point by point, for a terminal, a merge request and a
//! build server.

use std::mem;
use std::path::Path;

use infermark_measure::compare::{Comparison, Finding, Settings, Standing, Unit};
use infermark_terms::Trust;

use crate::figure::{figure, percent};
use crate::markdown::plain;
use crate::page::{COLUMNS, Colour, Page, ROOM, Tone};
use crate::text::{clean, fit, flow, width, wrap};

/// The width of a figure's name.
const NAME: usize = 19;

/// Of so few figures a page shows all, and of more, where there are several points, those that
/// changed.
const SHOWN_MAX: usize = 4;

/// One side of a comparison, as far as a page shows it.
#[derive(Clone, Copy, Debug)]
pub struct Compared<'a> {
    /// The directory that holds the record, or another tool's file.
    pub record: &'a Path,
    /// What tells it apart: the model, the load.
    pub names: &'a [String],
}

/// Something, beside the figures, in which the runs differ: its name, and both values.
pub type Differing<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

/// A comparison, as far as a page shows it.
#[derive(Clone, Copy, Debug)]
pub struct ComparisonSheet<'a> {
    /// What it is compared with.
    pub baseline: Compared<'a>,
    /// What is compared.
    pub candidate: Compared<'a>,
    /// What else differed, at all points.
    pub differing: &'a [Differing<'a>],
    /// The points that both sides have; at least one.
    pub points: &'a [PointSheet<'a>],
    /// The loads that only the baseline has, and only the candidate.
    pub unpaired: [&'a [String]; 2],
    /// How it was tested.
    pub settings: Settings,
}

/// One pair of points, as far as a page shows it.
#[derive(Clone, Copy, Debug)]
pub struct PointSheet<'a> {
    /// The load; absent where each side is but one point.
    pub load: Option<&'a str>,
    /// How far each side's figures can be trusted; absent where nobody knows.
    pub trust: [Option<Trust>; 2],
    /// Whether each side is saturated, so that latencies were not compared.
    pub saturated: [bool; 2],
    /// What was found.
    pub comparison: &'a Comparison,
    /// The clauses of a gate, where there is one.
    pub gate: &'a [GateLine],
}

/// One clause of a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateLine {
    /// The clause as it was written.
    pub clause: String,
    /// Whether the candidate passes.
    pub passed: Passed,
    /// Why.
    pub detail: String,
}

/// Whether a clause lets a candidate pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// Nobody can tell; the policy lets it pass.
    Undecided,
}

impl Passed {
    /// Returns it in a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Yes => "pass",
            Self::No => "FAIL",
            Self::Undecided => "undecided",
        }
    }

    /// Returns it in capitals: where it is what the page is for.
    pub const fn capitals(self) -> &'static str {
        match self {
            Self::Yes => "PASS",
            Self::No => "FAIL",
            Self::Undecided => "UNDECIDED",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Yes => Tone::Good,
            Self::No => Tone::Bad,
            Self::Undecided => Tone::Warning,
        }
    }
}

/// The two sides, as pages name them.
const SIDES: [&str; 2] = ["baseline", "candidate"];

/// Returns the page about a comparison, each line ended by a line feed.
pub fn comparison_table(sheet: &ComparisonSheet<'_>, colour: Colour) -> String {
    let mut page = Page::new(colour);
    page.line(Tone::Strong, "infermark compare");
    page.gap();
    for (at, side) in [sheet.baseline, sheet.candidate].into_iter().enumerate() {
        page.block(SIDES[at], Tone::Plain, wrap(&side.record.display().to_string(), ROOM));
        page.block("", Tone::Faint, flow(side.names.iter().cloned(), ROOM));
        for point in sheet.points.iter().filter(|point| point.load.is_none()) {
            let doubts = doubts(point, at);
            page.block("", Tone::Warning, doubts.iter().flat_map(|doubt| wrap(doubt, ROOM)));
        }
    }
    let mut label = "differs";
    for (name, one, other) in sheet.differing {
        let line = format!("{name}: {} → {}", said(*one), said(*other));
        page.block(label, Tone::Plain, wrap(&fit(&line, 2 * ROOM), ROOM));
        label = "";
    }
    let mut label = "only in";
    for (at, loads) in sheet.unpaired.iter().enumerate().filter(|(_, loads)| !loads.is_empty()) {
        let loads = format!("{}: {}", SIDES[at], loads.join(" · "));
        page.block(label, Tone::Warning, wrap(&loads, ROOM));
        label = "";
    }
    for point in sheet.points {
        page.gap();
        point_section(&mut page, point);
    }
    if sheet.points.iter().any(|point| !point.comparison.findings.is_empty()) {
        if sheet.points.iter().any(|point| point.load.is_some()) {
            page.gap();
        }
        for line in wrap(&method(sheet), COLUMNS) {
            page.line(Tone::Faint, &line);
        }
    }
    for point in sheet.points.iter().filter(|point| point.load.is_none()) {
        if !point.gate.is_empty() {
            page.gap();
        }
        gate(&mut page, point.gate);
    }
    page.into_text()
}

/// Says why one side's figures are doubtful, or cannot all be compared.
fn doubts(point: &PointSheet<'_>, side: usize) -> Vec<String> {
    let doubt = match point.trust[side] {
        Some(Trust::Sound) | None => None,
        Some(Trust::Doubtful) => Some("doubtful: its own report says why"),
        Some(Trust::Void) => Some("void: the instrument cannot vouch for it"),
    };
    let saturated = "saturated: latencies hang on how long one looks, and are not compared";
    let saturated = point.saturated[side].then_some(saturated);
    [doubt, saturated].into_iter().flatten().map(str::to_owned).collect()
}

fn said(value: Option<&str>) -> &str {
    value.unwrap_or("not there")
}

fn point_section(page: &mut Page, point: &PointSheet<'_>) {
    let findings = &point.comparison.findings;
    if let Some(load) = point.load {
        page.line(Tone::Strong, &fit(load, COLUMNS));
        for (at, side) in SIDES.iter().enumerate() {
            for doubt in doubts(point, at) {
                for line in wrap(&format!("{side} is {doubt}"), COLUMNS) {
                    page.line(Tone::Warning, &line);
                }
            }
        }
    } else if findings.is_empty() {
        page.line(Tone::Warning, "no figure that both sides have of 40 requests or more");
        return;
    } else {
        let head = ["figure", "baseline", "candidate", "change", "interval", "verdict"];
        page.line(Tone::Strong, &row(head.map(str::to_owned)));
    }
    // Where nothing is tested, nothing would be shown.
    let untested = point.comparison.unit == Unit::Nothing;
    let all = point.load.is_none() || untested || findings.len() <= SHOWN_MAX;
    let changed =
        |finding: &&Finding| all || matches!(finding.verdict, Standing::Better | Standing::Worse);
    for finding in findings.iter().filter(changed) {
        let tone = match finding.verdict {
            Standing::Better => Tone::Good,
            Standing::Worse => Tone::Bad,
            Standing::Same => Tone::Plain,
            Standing::CannotTell => Tone::Faint,
        };
        let mut cells = cells(finding);
        if width(&cells[0]) > NAME {
            // Another tool's names may be long: they have a line of their own.
            page.line(tone, &fit(&mem::take(&mut cells[0]), COLUMNS));
        }
        page.line(tone, &row(cells));
    }
    if point.load.is_some() {
        page.line(Tone::Faint, &tally(findings));
        gate(page, point.gate);
    }
}

/// Counts the verdicts.
fn tally(findings: &[Finding]) -> String {
    let all = [Standing::Better, Standing::Worse, Standing::Same, Standing::CannotTell];
    let counted = all.map(|verdict| {
        let count = findings.iter().filter(|finding| finding.verdict == verdict).count();
        (count > 0).then(|| format!("{count} {}", verdict.words()))
    });
    let counted: Vec<_> = counted.into_iter().flatten().collect();
    if counted.is_empty() { "nothing to compare".to_owned() } else { counted.join(" · ") }
}

fn row([figure, baseline, candidate, change, interval, verdict]: [String; 6]) -> String {
    format!("{figure:<NAME$} {baseline:>9} {candidate:>9} {change:>9} {interval:>17}  {verdict}")
}

fn cells(finding: &Finding) -> [String; 6] {
    let value = |value: f64| if finding.figure.is_share() { percent(value) } else { figure(value) };
    [
        finding.figure.to_string(),
        value(finding.baseline),
        value(finding.candidate),
        finding.change.map_or("–".to_owned(), change),
        change_interval(finding.change_ci95),
        finding.verdict.words().to_owned(),
    ]
}

/// Says what the intervals are.
fn method(sheet: &ComparisonSheet<'_>) -> String {
    let mut found = sheet.points.iter().filter(|point| !point.comparison.findings.is_empty());
    let units = match found.next().map_or(Unit::Nothing, |point| point.comparison.unit) {
        Unit::Batches => {
            "batches of neighbouring requests were permuted; how runs differ among themselves \
             takes repeats to know"
        }
        Unit::Pairs => {
            "both were asked the same requests, and batches of them were compared pair by pair; \
             how runs differ among themselves takes repeats to know"
        }
        Unit::Runs => "whole runs are the units (Student's t)",
        Unit::Nothing => {
            return "latencies in ms, by the tools' own definitions; figures without observations: \
                    how far chance goes nobody can tell, but of three runs or more on each side"
                .to_owned();
        }
    };
    let mut findings = sheet.points.iter().flat_map(|point| &point.comparison.findings);
    let is_open = findings.any(|finding| finding.change_ci95.contains(&None));
    let open =
        if is_open { ", and `?` is an end that too few observations cannot tell" } else { "" };
    format!(
        "latencies in ms; the change of the failure rate in points; the intervals hold together \
         with 95 % confidence{open}; better or worse: the interval excludes 0 and the change is {} \
         or more; {units}",
        percent(sheet.settings.floor)
    )
}

fn gate(page: &mut Page, lines: &[GateLine]) {
    if lines.is_empty() {
        return;
    }
    let mut label = "gate";
    for line in lines {
        let text = format!("{} · {} · {}", line.passed.word(), line.clause, line.detail);
        page.block(label, line.passed.tone(), wrap(&text, ROOM));
        label = "";
    }
}

/// Returns a change in per cent, or points, with its sign.
pub fn change(by: f64) -> String {
    let percent = 100.0 * by;
    let sign = match percent {
        p if p.abs() < 0.05 => "±",
        p if p < 0.0 => "−",
        _ => "+",
    };
    let size = percent.abs();
    match size {
        s if s >= 999.5 => format!("{sign}>999 %"),
        s if s >= 99.95 => format!("{sign}{s:.0} %"),
        s => format!("{sign}{s:.1} %"),
    }
}

/// Returns the interval of a change; `?` is an end that cannot be told.
pub fn change_interval([low, high]: [Option<f64>; 2]) -> String {
    let end = |end: Option<f64>| {
        end.map_or("?".to_owned(), |end| change(end).trim_end_matches(" %").to_owned())
    };
    format!("{} … {} %", end(low), end(high))
}

/// Returns a comparison in Markdown, for a merge request.
pub fn comparison_markdown(sheet: &ComparisonSheet<'_>) -> String {
    let mut lines = vec!["## infermark compare".to_owned(), String::new()];
    for (at, side) in [sheet.baseline, sheet.candidate].into_iter().enumerate() {
        let names: Vec<String> = side.names.iter().map(|name| plain(name)).collect();
        let alone = sheet.points.iter().filter(|point| point.load.is_none());
        let doubts: Vec<_> = alone.flat_map(|point| doubts(point, at)).collect();
        let record = plain(&side.record.display().to_string());
        let line = format!("- {}: {record} ({})", SIDES[at], names.join(" · "));
        let doubts = doubts.iter().map(|doubt| format!("**{doubt}**"));
        lines.push([line].into_iter().chain(doubts).collect::<Vec<_>>().join(" "));
    }
    for (at, loads) in sheet.unpaired.iter().enumerate().filter(|(_, loads)| !loads.is_empty()) {
        lines.push(format!("- only in the {}: {}", SIDES[at], plain(&loads.join(" · "))));
    }
    if !sheet.differing.is_empty() {
        lines.extend(["", "| differs | baseline | candidate |", "|---|---|---|"].map(String::from));
        lines.extend(sheet.differing.iter().map(|(name, one, other)| {
            format!("| {} | {} | {} |", plain(name), plain(said(*one)), plain(said(*other)))
        }));
    }
    for point in sheet.points {
        lines.extend(point_markdown(point));
    }
    lines.extend([String::new(), method(sheet)]);
    for point in sheet.points.iter().filter(|point| point.load.is_none()) {
        lines.extend(gate_markdown(point.gate));
    }
    lines.join("\n") + "\n"
}

fn point_markdown(point: &PointSheet<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(load) = point.load {
        lines.extend([String::new(), format!("### {}", plain(load))]);
        for (at, side) in SIDES.iter().enumerate() {
            let doubts = doubts(point, at).into_iter();
            lines
                .extend(doubts.flat_map(|doubt| [String::new(), format!("**{side} is {doubt}**")]));
        }
    }
    if point.comparison.findings.is_empty() {
        lines.extend([String::new(), tally(&[])]);
    } else {
        let head = "| figure | baseline | candidate | change | 95 % interval | verdict |";
        lines.extend(["", head, "|---|--:|--:|--:|--:|---|"].map(String::from));
    }
    for finding in &point.comparison.findings {
        let [figure, baseline, candidate, by, interval, verdict] = cells(finding);
        let loud = matches!(finding.verdict, Standing::Better | Standing::Worse);
        let verdict = if loud { format!("**{verdict}**") } else { verdict };
        let values = format!("{baseline} | {candidate} | {by} | {interval}");
        lines.push(format!("| {} | {values} | {verdict} |", plain(&figure)));
    }
    if point.load.is_some() {
        lines.extend(gate_markdown(point.gate));
    }
    lines
}

fn gate_markdown(gate: &[GateLine]) -> Vec<String> {
    if gate.is_empty() {
        return Vec::new();
    }
    let head = ["", "| gate | clause | why |", "|---|---|---|"].map(String::from);
    let lines = gate.iter().map(|line| {
        let (clause, why) = (plain(&line.clause), plain(&line.detail));
        format!("| {} | {clause} | {why} |", line.passed.word())
    });
    head.into_iter().chain(lines).collect()
}

/// Returns comparisons as `JUnit`'s XML, which build servers read: a suite for each candidate and
/// load, a case for each clause of the gate, or for each figure where there is no gate. Only a
/// gate makes cases fail.
pub fn comparison_junit(sheets: &[ComparisonSheet<'_>]) -> String {
    let open = ["<?xml version=\"1.0\" encoding=\"UTF-8\"?>", "<testsuites>"].map(String::from);
    let suites = sheets.iter().flat_map(|sheet| {
        sheet.points.iter().flat_map(|point| suite(sheet.candidate.record, point))
    });
    let close = ["</testsuites>".to_owned(), String::new()];
    open.into_iter().chain(suites).chain(close).collect::<Vec<_>>().join("\n")
}

fn suite(candidate: &Path, point: &PointSheet<'_>) -> Vec<String> {
    let cases: Vec<String> = if point.gate.is_empty() {
        point.comparison.findings.iter().map(figure_case).collect()
    } else {
        point.gate.iter().map(gate_case).collect()
    };
    let of = |passed| point.gate.iter().filter(|line| line.passed == passed).count();
    let load = point.load.map(|load| format!(" · {load}")).unwrap_or_default();
    let name = xml(&format!("{}{load}", candidate.display()));
    let open = format!(
        "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\">",
        cases.len(),
        of(Passed::No),
        of(Passed::Undecided)
    );
    [open].into_iter().chain(cases).chain(["  </testsuite>".to_owned()]).collect()
}

fn figure_case(finding: &Finding) -> String {
    let [figure, baseline, candidate, by, interval, verdict] = cells(finding);
    let said = xml(&format!("{verdict}: {baseline} → {candidate}, {by} ({interval})"));
    let figure = xml(&figure);
    format!("    <testcase name=\"{figure}\"><system-out>{said}</system-out></testcase>")
}

fn gate_case(line: &GateLine) -> String {
    let (name, why) = (xml(&line.clause), xml(&line.detail));
    let inner = match line.passed {
        Passed::Yes => format!("<system-out>{why}</system-out>"),
        Passed::No => format!("<failure message=\"{why}\"/>"),
        Passed::Undecided => format!("<skipped message=\"{why}\"/>"),
    };
    format!("    <testcase name=\"{name}\">{inner}</testcase>")
}

/// Makes foreign text harmless in XML.
fn xml(text: &str) -> String {
    let mut safe = String::new();
    for c in clean(text).chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use infermark_measure::compare::Figure;

    use super::*;

    fn finding(figure: &str, change: f64, verdict: Standing) -> Finding {
        Finding {
            figure: Figure::Ours(figure.parse().unwrap()),
            baseline: 100.0,
            candidate: 100.0 * (1.0 + change),
            change: Some(change),
            change_ci95: [Some(change - 0.01), None],
            verdict,
            n: [400, 400],
        }
    }

    #[derive(Clone, Copy)]
    enum Points {
        One,
        Several,
    }

    fn with<T>(points: Points, show: impl FnOnce(&ComparisonSheet<'_>) -> T) -> T {
        let comparison = Comparison {
            unit: Unit::Batches,
            findings: vec![
                finding("tpot:mean", 0.053, Standing::Worse),
                finding("ttft:p99", -0.0001, Standing::CannotTell),
                Finding {
                    baseline: 0.0,
                    candidate: 0.01,
                    change: Some(0.01),
                    ..finding("failure_rate", 0.0, Standing::Worse)
                },
            ],
        };
        let names = ["<script>|x".to_owned(), "concurrency 8".to_owned()];
        let side = |record| Compared { record: Path::new(record), names: &names };
        let line = |clause: &str, passed| GateLine {
            clause: clause.to_owned(),
            passed,
            detail: "+5.3 % (+4.3 … ? %) & more".to_owned(),
        };
        let gate = [
            line("tpot:mean <= +3%", Passed::No),
            line("ttft:p99 <= +10%", Passed::Undecided),
            line("ttft:mean", Passed::Yes),
        ];
        let trust = [Some(Trust::Sound), Some(Trust::Doubtful)];
        let saturated = [false; 2];
        let one =
            [PointSheet { load: None, trust, saturated, comparison: &comparison, gate: &gate }];
        let nothing = Comparison { unit: Unit::Nothing, findings: Vec::new() };
        let several = [
            PointSheet { load: Some("rate 4/s"), ..one[0] },
            PointSheet {
                load: Some("rate <9>/s"),
                trust: [None, Some(Trust::Void)],
                saturated: [false, true],
                comparison: &nothing,
                gate: &[],
            },
        ];
        let only = ["throughput".to_owned(), "rate 12/s".to_owned()];
        let sheet = ComparisonSheet {
            baseline: side("runs/a"),
            candidate: side("runs/b"),
            differing: &[("target.server.version", Some("0.31"), Some("0.32"))],
            points: match points {
                Points::One => &one,
                Points::Several => &several,
            },
            unpaired: match points {
                Points::One => [&[], &[]],
                Points::Several => [&only, &only[..1]],
            },
            settings: Settings::default(),
        };
        show(&sheet)
    }

    #[test]
    fn several_points_stand_one_below_the_other() {
        insta::assert_snapshot!(with(Points::Several, |sheet| {
            comparison_table(sheet, Colour::Never)
        }));
        insta::assert_snapshot!(with(Points::Several, comparison_markdown));
        insta::assert_snapshot!(with(Points::Several, |sheet| comparison_junit(&[*sheet])));
    }

    #[test]
    fn the_page_of_a_comparison() {
        insta::assert_snapshot!(with(Points::One, |sheet| comparison_table(sheet, Colour::Never)));
    }

    #[test]
    fn a_comparison_in_markdown() {
        insta::assert_snapshot!(with(Points::One, comparison_markdown));
    }

    #[test]
    fn a_comparison_for_build_servers() {
        insta::assert_snapshot!(with(Points::One, |sheet| comparison_junit(&[*sheet])));
    }

    #[test]
    fn a_change_has_its_sign() {
        let shown = [0.0512, -0.0512, 0.000_01, -3.0, 12.0, 1.2].map(change);
        assert_eq!(shown, ["+5.1 %", "−5.1 %", "±0.0 %", "−300 %", "+>999 %", "+120 %"]);
    }
}
