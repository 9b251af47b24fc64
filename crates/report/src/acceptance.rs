//! What came of a suite: its points, what was asked of them line by line, and targets side by
//! side; for a terminal.

use infermark_measure::Ruling;
use infermark_terms::Currency;

use crate::comparison::Passed;
use crate::curve::{CurveSheet, Dot, notes, points, title, trust};
use crate::figure::{ABSENT, figure, money, percent};
use crate::objectives::said;
use crate::page::{COLUMNS, Colour, Page, ROOM, Tone};
use crate::subject::Verdict;
use crate::text::{fit, flow, width, wrap};

/// What came of a suite, as far as a page shows it.
#[derive(Clone, Copy, Debug)]
pub struct AcceptanceSheet<'a> {
    /// The study; its own points are those that the lines are about, and doubts are looked for in.
    pub study: CurveSheet<'a>,
    /// What the suite is about.
    pub title: &'a str,
    /// What stands beside that: labels, and sentences.
    pub facts: &'a [(&'a str, Vec<String>)],
    /// Points that stand together.
    pub groups: &'a [DotGroup<'a>],
    /// What was asked.
    pub lines: &'a [AcceptanceLine<'a>],
    /// Targets side by side.
    pub contests: &'a [ContestTable],
    /// The worst of all lines.
    pub verdict: Passed,
}

/// Points that stand together: one workload on one target.
#[derive(Clone, Debug)]
pub struct DotGroup<'a> {
    /// What they have in common; empty where there is one group only.
    pub heading: String,
    /// The points.
    pub dots: Vec<Dot<'a>>,
}

/// One line of the verdict.
#[derive(Clone, Debug)]
pub struct AcceptanceLine<'a> {
    /// Whether it holds.
    pub verdict: Passed,
    /// What a person calls it, with its workload and target where there are several.
    pub name: String,
    /// What must hold.
    pub rule: &'a str,
    /// Where that was decided.
    pub place: String,
    /// What was found there.
    pub rulings: &'a [Ruling],
    /// What else there is to say.
    pub detail: Option<&'a str>,
}

/// Targets side by side under the loads of one workload.
#[derive(Clone, Debug)]
pub struct ContestTable {
    /// The workload; empty where there is one only.
    pub heading: String,
    /// The targets.
    pub targets: Vec<String>,
    /// A load, and what each target did.
    pub loads: Vec<(String, Vec<Option<ContestCell>>)>,
    /// Who does most, and by how much, in sentences.
    pub outcome: Vec<String>,
}

/// What a target did under a load.
#[derive(Clone, Copy, Debug)]
pub struct ContestCell {
    /// Output tokens/s.
    pub output_tokens_per_s: f64,
    /// The median of E2E latency, in milliseconds.
    pub e2e_p50_ms: Option<f64>,
    /// Successes ÷ arrivals.
    pub success_rate: f64,
    /// What a million output tokens cost.
    pub cost: Option<(Currency, f64)>,
}

impl AcceptanceLine<'_> {
    /// Says what was found, in sentences.
    pub fn found(&self) -> Vec<String> {
        let detail = self.detail.map(str::to_owned);
        let said: Vec<_> = self.rulings.iter().map(said).chain(detail).collect();
        match (self.place.is_empty(), said.split_first()) {
            (false, Some((first, others))) => {
                let first = format!("at {}: {first}", self.place);
                std::iter::once(first).chain(others.iter().cloned()).collect()
            }
            (true, Some(_)) | (_, None) => said,
        }
    }
}

/// Returns the page about a suite, each line ended by a line feed.
pub fn acceptance(sheet: &AcceptanceSheet<'_>, colour: Colour) -> String {
    let mut page = Page::new(colour);
    title(&mut page, &sheet.study);
    for line in wrap(sheet.title, COLUMNS) {
        page.line(Tone::Plain, &line);
    }
    page.gap();
    for (label, items) in sheet.facts {
        page.block(label, Tone::Plain, items.iter().flat_map(|item| wrap(item, ROOM)));
    }
    page.gap();
    for group in sheet.groups {
        if !group.heading.is_empty() {
            page.line(Tone::Strong, &fit(&group.heading, COLUMNS));
        }
        points(&mut page, &group.dots);
    }
    notes(&mut page, sheet.study.dots);
    page.gap();
    for contest in sheet.contests {
        side_by_side(&mut page, contest);
        page.gap();
    }
    for line in sheet.lines {
        let word = line.verdict.capitals();
        page.block(word, tone(line.verdict), wrap(&line.name, ROOM));
        page.block("", Tone::Faint, wrap(line.rule, ROOM));
        for found in line.found() {
            page.block("", Tone::Plain, wrap(&found, ROOM));
        }
    }
    page.gap();
    page.block("verdict", tone(sheet.verdict), [tally(sheet)]);
    trust(&mut page, sheet.study.dots);
    if let Some(record) = sheet.study.record {
        page.block("record", Tone::Plain, wrap(&record.display().to_string(), ROOM));
    }
    page.into_text()
}

const fn tone(passed: Passed) -> Tone {
    match passed {
        Passed::Yes => Tone::Good,
        Passed::No => Tone::Bad,
        Passed::Undecided => Tone::Warning,
    }
}

fn tally(sheet: &AcceptanceSheet<'_>) -> String {
    let counts = counts(&sheet.lines.iter().map(|line| line.verdict));
    format!("{}: {}", sheet.verdict.capitals(), counts)
}

/// Returns the worst of a suite's verdicts, and how many there are of each; nothing of none.
pub(crate) fn tally_of(verdicts: &[Verdict]) -> Option<(Passed, String)> {
    let all = || verdicts.iter().map(|line| line.passed);
    let has = |passed| all().any(|other| other == passed);
    let worst = [Passed::No, Passed::Undecided, Passed::Yes].into_iter().find(|one| has(*one))?;
    Some((worst, counts(&all())))
}

/// Says how many lines hold, do not, and cannot tell.
fn counts(lines: &(impl Iterator<Item = Passed> + Clone)) -> String {
    let of = |passed| lines.clone().filter(|line| *line == passed).count();
    let [passed, failed, open] = [Passed::Yes, Passed::No, Passed::Undecided].map(of);
    format!("{passed} passed, {failed} failed, {open} undecided")
}

/// The width of a load's name, and of each target's column.
const LOAD: usize = 17;
const TARGET: usize = 20;
/// The most targets beside each other.
const ACROSS: usize = (COLUMNS - LOAD) / (TARGET + 1);

fn side_by_side(page: &mut Page, contest: &ContestTable) {
    if !contest.heading.is_empty() {
        page.line(Tone::Strong, &fit(&contest.heading, COLUMNS));
    }
    for first in (0..contest.targets.len()).step_by(ACROSS) {
        let of = first..contest.targets.len().min(first + ACROSS);
        let names = contest.targets[of.clone()].iter().map(|name| fit(name, TARGET));
        page.line(Tone::Faint, &columns("tok/s (E2E p50)", names));
        for (load, cells) in &contest.loads {
            let shown = cells[of.clone()].iter().map(|cell| cell.map_or(ABSENT.into(), brief));
            page.line(Tone::Plain, &columns(load, shown));
        }
    }
    for sentence in &contest.outcome {
        for line in wrap(sentence, COLUMNS) {
            page.line(Tone::Plain, &line);
        }
    }
}

fn columns(head: &str, cells: impl Iterator<Item = String>) -> String {
    let pad = |text: &str, room: usize| " ".repeat(room.saturating_sub(width(text)));
    let head = fit(head, LOAD);
    let mut line = format!("{head}{}", pad(&head, LOAD));
    for cell in cells {
        line.extend([" ", &pad(&cell, TARGET), &cell]);
    }
    line
}

fn brief(cell: ContestCell) -> String {
    let e2e = cell.e2e_p50_ms.map_or(ABSENT.to_owned(), figure);
    format!("{} ({e2e} ms)", figure(cell.output_tokens_per_s))
}

impl ContestTable {
    /// Returns what stands above it.
    pub(crate) fn title(&self) -> String {
        let of =
            if self.heading.is_empty() { String::new() } else { format!(": {}", self.heading) };
        format!("Side by side{of}")
    }

    /// Returns its headings.
    pub(crate) fn heads(&self) -> Vec<String> {
        ["load".to_owned()].into_iter().chain(self.targets.iter().cloned()).collect()
    }

    /// Returns a row for each load, with all that is known of each target.
    pub(crate) fn rows(&self) -> Vec<Vec<String>> {
        let row = self.loads.iter().map(|(load, cells)| {
            let cells = cells.iter().map(|cell| cell.map_or(ABSENT.into(), whole));
            [load.clone()].into_iter().chain(cells).collect()
        });
        row.collect()
    }
}

/// Returns all that is known of a target under a load.
fn whole(cell: ContestCell) -> String {
    let cost = cell.cost.map(|(currency, cost)| format!("{}/1M", money(currency, cost)));
    let e2e = cell.e2e_p50_ms.map(|e2e| format!("p50 {} ms", figure(e2e)));
    let items = [
        Some(format!("{} tok/s", figure(cell.output_tokens_per_s))),
        e2e,
        Some(format!("{} ok", percent(cell.success_rate))),
        cost,
    ];
    flow(items.into_iter().flatten(), usize::MAX).concat()
}
