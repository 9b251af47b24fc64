//! Two runs side by side, for a terminal, a merge request and a build server.

use std::path::Path;

use infermark_measure::compare::{Comparison, Finding, Settings, Standing, Unit};
use infermark_terms::Trust;

use crate::figure::{figure, percent};
use crate::markdown::plain;
use crate::page::{COLUMNS, Colour, Page, ROOM, Tone};
use crate::text::{clean, fit, flow, wrap};

/// One run of a comparison, as far as a page shows it.
#[derive(Clone, Copy, Debug)]
pub struct Compared<'a> {
    /// The directory that holds the record.
    pub record: &'a Path,
    /// What tells it apart: the model, the load.
    pub names: &'a [String],
    /// How far its figures can be trusted.
    pub trust: Trust,
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
    /// What else differed.
    pub differing: &'a [Differing<'a>],
    /// What was found.
    pub comparison: &'a Comparison,
    /// How it was tested.
    pub settings: Settings,
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

/// Returns the page about a comparison, each line ended by a line feed.
pub fn comparison_table(sheet: &ComparisonSheet<'_>, colour: Colour) -> String {
    let mut page = Page::new(colour);
    page.line(Tone::Strong, "infermark compare");
    page.gap();
    for (label, side) in [("baseline", sheet.baseline), ("candidate", sheet.candidate)] {
        page.block(label, Tone::Plain, wrap(&side.record.display().to_string(), ROOM));
        page.block("", Tone::Faint, flow(side.names.iter().cloned(), ROOM));
        if let Some(doubt) = doubt(side.trust) {
            page.block("", Tone::Warning, [doubt.to_owned()]);
        }
    }
    let mut label = "differs";
    for (name, one, other) in sheet.differing {
        let line = format!("{name}: {} → {}", said(*one), said(*other));
        page.block(label, Tone::Plain, wrap(&fit(&line, 2 * ROOM), ROOM));
        label = "";
    }
    page.gap();
    findings(&mut page, sheet);
    gate(&mut page, sheet.gate);
    page.into_text()
}

fn doubt(trust: Trust) -> Option<&'static str> {
    match trust {
        Trust::Sound => None,
        Trust::Doubtful => Some("doubtful: its own report says why"),
        Trust::Void => Some("void: the instrument cannot vouch for it"),
    }
}

fn said(value: Option<&str>) -> &str {
    value.unwrap_or("not there")
}

fn findings(page: &mut Page, sheet: &ComparisonSheet<'_>) {
    if sheet.comparison.findings.is_empty() {
        page.line(Tone::Warning, "no figure that both sides have of 40 requests or more");
        return;
    }
    let head = ["figure", "baseline", "candidate", "change", "interval", "verdict"];
    page.line(Tone::Strong, &row(head.map(str::to_owned)));
    for finding in &sheet.comparison.findings {
        let tone = match finding.verdict {
            Standing::Better => Tone::Good,
            Standing::Worse => Tone::Bad,
            Standing::Same => Tone::Plain,
            Standing::CannotTell => Tone::Faint,
        };
        page.line(tone, &row(cells(finding)));
    }
    for line in wrap(&method(sheet), COLUMNS) {
        page.line(Tone::Faint, &line);
    }
}

fn row([figure, baseline, candidate, change, interval, verdict]: [String; 6]) -> String {
    format!("{figure:<19} {baseline:>9} {candidate:>9} {change:>9} {interval:>17}  {verdict}")
}

fn cells(finding: &Finding) -> [String; 6] {
    let value = |value: f64| if finding.is_share() { percent(value) } else { figure(value) };
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
    let units = match sheet.comparison.unit {
        Unit::Batches => {
            "batches of neighbouring requests were permuted; how runs differ among themselves \
             takes repeats to know"
        }
        Unit::Runs => "whole runs are the units (Student's t)",
    };
    let findings = &sheet.comparison.findings;
    let is_open = findings.iter().any(|finding| finding.change_ci95.contains(&None));
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
    page.gap();
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
    for (label, side) in [("baseline", sheet.baseline), ("candidate", sheet.candidate)] {
        let names: Vec<String> = side.names.iter().map(|name| plain(name)).collect();
        let doubt = doubt(side.trust).map(|doubt| format!(" **{doubt}**")).unwrap_or_default();
        let record = plain(&side.record.display().to_string());
        lines.push(format!("- {label}: {record} ({}){doubt}", names.join(" · ")));
    }
    if !sheet.differing.is_empty() {
        lines.extend(["", "| differs | baseline | candidate |", "|---|---|---|"].map(String::from));
        lines.extend(sheet.differing.iter().map(|(name, one, other)| {
            format!("| {} | {} | {} |", plain(name), plain(said(*one)), plain(said(*other)))
        }));
    }
    let head = "| figure | baseline | candidate | change | 95 % interval | verdict |";
    lines.extend(["", head, "|---|--:|--:|--:|--:|---|"].map(String::from));
    for finding in &sheet.comparison.findings {
        let [figure, baseline, candidate, by, interval, verdict] = cells(finding);
        let loud = matches!(finding.verdict, Standing::Better | Standing::Worse);
        let verdict = if loud { format!("**{verdict}**") } else { verdict };
        let values = format!("{baseline} | {candidate} | {by} | {interval}");
        lines.push(format!("| {figure} | {values} | {verdict} |"));
    }
    lines.extend([String::new(), method(sheet)]);
    if !sheet.gate.is_empty() {
        lines.extend(["", "| gate | clause | why |", "|---|---|---|"].map(String::from));
        lines.extend(sheet.gate.iter().map(|line| {
            let (clause, why) = (plain(&line.clause), plain(&line.detail));
            format!("| {} | {clause} | {why} |", line.passed.word())
        }));
    }
    lines.join("\n") + "\n"
}

/// Returns comparisons as `JUnit`'s XML, which build servers read: a suite for each candidate, a
/// case for each clause of the gate, or for each figure where there is no gate. Only a gate
/// makes cases fail.
pub fn comparison_junit(sheets: &[ComparisonSheet<'_>]) -> String {
    let open = ["<?xml version=\"1.0\" encoding=\"UTF-8\"?>", "<testsuites>"].map(String::from);
    let suites = sheets.iter().flat_map(suite);
    let close = ["</testsuites>".to_owned(), String::new()];
    open.into_iter().chain(suites).chain(close).collect::<Vec<_>>().join("\n")
}

fn suite(sheet: &ComparisonSheet<'_>) -> Vec<String> {
    let cases: Vec<String> = if sheet.gate.is_empty() {
        sheet.comparison.findings.iter().map(figure_case).collect()
    } else {
        sheet.gate.iter().map(gate_case).collect()
    };
    let of = |passed| sheet.gate.iter().filter(|line| line.passed == passed).count();
    let name = xml(&sheet.candidate.record.display().to_string());
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
    use super::*;

    fn finding(figure: &str, change: f64, verdict: Standing) -> Finding {
        Finding {
            figure: figure.parse().unwrap(),
            baseline: 100.0,
            candidate: 100.0 * (1.0 + change),
            change: Some(change),
            change_ci95: [Some(change - 0.01), None],
            verdict,
            n: [400, 400],
        }
    }

    fn with<T>(show: impl FnOnce(&ComparisonSheet<'_>) -> T) -> T {
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
        let side = |record, trust| Compared { record: Path::new(record), names: &names, trust };
        let line = |clause: &str, passed| GateLine {
            clause: clause.to_owned(),
            passed,
            detail: "+5.3 % (+4.3 … ? %) & more".to_owned(),
        };
        let sheet = ComparisonSheet {
            baseline: side("runs/a", Trust::Sound),
            candidate: side("runs/b", Trust::Doubtful),
            differing: &[("target.server.version", Some("0.31"), Some("0.32"))],
            comparison: &comparison,
            settings: Settings::default(),
            gate: &[
                line("tpot:mean <= +3%", Passed::No),
                line("ttft:p99 <= +10%", Passed::Undecided),
                line("ttft:mean", Passed::Yes),
            ],
        };
        show(&sheet)
    }

    #[test]
    fn the_page_of_a_comparison() {
        insta::assert_snapshot!(with(|sheet| comparison_table(sheet, Colour::Never)));
    }

    #[test]
    fn a_comparison_in_markdown() {
        insta::assert_snapshot!(with(comparison_markdown));
    }

    #[test]
    fn a_comparison_for_build_servers() {
        insta::assert_snapshot!(with(|sheet| comparison_junit(&[*sheet])));
    }

    #[test]
    fn a_change_has_its_sign() {
        let shown = [0.0512, -0.0512, 0.000_01, -3.0, 12.0, 1.2].map(change);
        assert_eq!(shown, ["+5.1 %", "−5.1 %", "±0.0 %", "−300 %", "+>999 %", "+120 %"]);
    }
}
