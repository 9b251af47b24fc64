//! A report as Markdown, for a merge request or a wiki: what a page tells, in its order. Verdict
//! and trust, the answer, the figures, how it was measured.
//!
//! # Invariant
//!
//! Foreign text is made harmless ([`plain`]): it makes no link, no mention, no emphasis and no
//! element.

use infermark_measure::{Estimate, Part, Point};
use infermark_terms::{Caveat, Trust};

use crate::acceptance::{self, ContestTable};
use crate::document::{self, date, facts, title};
use crate::doubts::{self, Said};
use crate::figure::{ABSENT, count, distance, figure};
use crate::objectives;
use crate::parts;
use crate::points::{Column, Kind, columns};
use crate::spread;
use crate::subject::{Load, Subject, names, series};
use crate::text::clean;

/// The latencies that are shown, by the names that people give them.
type Shown = (&'static str, fn(&Point) -> Option<Estimate>);
const SHOWN: [Shown; 6] = [
    ("TTFT", |p| p.latency.ttft_ms),
    ("TPOT", |p| p.latency.tpot_ms),
    ("ITL", |p| p.latency.itl_ms),
    ("ICL", |p| p.latency.icl_ms.filter(|_| p.latency.itl_ms.is_none())),
    ("E2E", |p| p.latency.e2e_ms),
    ("lag", |p| p.latency.lag_ms),
];

/// Returns the report on one subject, or on several, as Markdown.
pub fn markdown(subjects: &[Subject]) -> String {
    let mut page = Markdown(vec![format!("## {}", plain(&title(subjects)))]);
    for fact in facts(subjects) {
        page.paragraph(&format!("> **{}**", plain(&fact)));
    }
    match (subjects, subjects.first().and_then(Subject::only_point)) {
        ([subject], Some(point)) => one(&mut page, subject, point),
        _ => several(&mut page, subjects),
    }
    page.heading("How it was measured");
    page.0.extend(subjects.iter().map(setup));
    page.0.join("\n") + "\n"
}

/// Lines of Markdown.
struct Markdown(Vec<String>);

impl Markdown {
    fn paragraph(&mut self, text: &str) {
        self.0.extend(["", text].map(str::to_owned));
    }

    fn heading(&mut self, text: &str) {
        self.paragraph(&format!("### {text}"));
        self.0.push(String::new());
    }

    /// Writes a table whose first column is words, and whose others are figures. Cells are
    /// Markdown.
    fn table(&mut self, heads: &[String], rows: &[Vec<String>]) {
        let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
        let rule: String = "|---|".to_owned() + &"--:|".repeat(heads.len().saturating_sub(1));
        self.0.extend([line(heads), rule]);
        self.0.extend(rows.iter().map(|row| line(row)));
    }

    /// Writes a table of words. Cells are Markdown.
    fn words(&mut self, heads: &[&str], rows: &[Vec<String>]) {
        self.0.push(format!("| {} |", heads.join(" | ")));
        self.0.push("|---".repeat(heads.len()) + "|");
        self.0.extend(rows.iter().map(|row| format!("| {} |", row.join(" | "))));
    }

    fn verdict(&mut self, said: &Said, doubts: &[(String, &Caveat)]) {
        self.paragraph(&format!("**{}**: {}", said.word, said.words));
        if !doubts.is_empty() {
            self.0.push(String::new());
        }
        self.0.extend(doubts.iter().map(|(whose, caveat)| {
            let void = if caveat.lowers_to == Trust::Void { " (void)" } else { "" };
            let [detail, hint] =
                [&caveat.detail, &caveat.hint].map(|text| prose(text.trim_end_matches('.')));
            let whose = if whose.is_empty() { String::new() } else { format!(" {}", plain(whose)) };
            format!("- **{:?}**{whose}{void}: {detail}. Hint: {hint}.", caveat.code)
        }));
    }
}

/// Writes what there is to tell of one point.
fn one(page: &mut Markdown, subject: &Subject, point: &Point) {
    let caveats = subject.doubts(0).caveats.iter().map(|caveat| (String::new(), caveat));
    page.verdict(&doubts::of_only_point(subject), &caveats.collect::<Vec<_>>());
    page.heading("The answer");
    answer(page, point);
    let subjects = std::slice::from_ref(subject);
    rulings(page, subjects);
    let good = objectives::good_items(point);
    if !good.is_empty() {
        page.paragraph(&format!("goodput: {}", good.join(" · ")));
    }
    failures(page, point);
    latencies(page, subjects);
    for kind in parts::kinds(point) {
        page.heading(&format!("By {}", kind.name));
        let rows: Vec<_> = kind.parts.iter().map(|part| part_cells(point, part)).collect();
        page.table(&parts::heads(kind.name), &rows);
        page.paragraph(kind.note);
    }
    addresses(page, point);
    limits(page, point);
    findings(page, subject);
}

fn part_cells(point: &Point, part: &Part) -> Vec<String> {
    let cells = cells(&parts::row(part)).into_iter().enumerate();
    let shown = |(at, cell): (usize, String)| {
        if parts::is_result(point, at) { cell } else { struck(&cell) }
    };
    cells.map(shown).collect()
}

/// Writes what there is to tell of several points.
fn several(page: &mut Markdown, subjects: &[Subject]) {
    for (subject, name) in subjects.iter().zip(names(subjects)) {
        if let Some((passed, words)) = acceptance::tally_of(&subject.verdicts) {
            let whose = if subjects.len() == 1 { String::new() } else { plain(&name) + ": " };
            page.paragraph(&format!("{whose}**{}**: {words}.", passed.capitals()));
        }
    }
    let is_empty = subjects.iter().all(|subject| subject.points.is_empty());
    if !is_empty {
        page.verdict(&doubts::of_points(subjects), &doubts::all(subjects));
    }
    for (subject, name) in subjects.iter().zip(names(subjects)) {
        if subjects.len() > 1 {
            page.paragraph(&format!("**{}**", plain(&name)));
        }
        verdicts(page, subject);
        for contest in &subject.contests {
            side_by_side(page, contest);
        }
        for (point, heading) in document::sought(subject) {
            page.heading(&plain(&heading));
            answer(page, point);
        }
        findings(page, subject);
    }
    if is_empty {
        return;
    }
    page.heading("Points");
    points(page, subjects);
    if subjects.iter().all(|subject| subject.verdicts.is_empty()) {
        rulings(page, subjects);
    }
    latencies(page, subjects);
}

/// Writes the figures that stand out.
fn answer(page: &mut Markdown, point: &Point) {
    for tile in document::tiles(point) {
        let shown = |text: &str| {
            if tile.is_result(point) || text.is_empty() { text.to_owned() } else { struck(text) }
        };
        let value = shown(&format!("**{}**", tile.value));
        let parts = [value, tile.unit.to_owned(), beside(&shown(&tile.more))];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        page.0.push(format!("- {}: {}", tile.name, parts.join(" ")));
    }
}

fn beside(more: &str) -> String {
    if more.is_empty() { String::new() } else { format!("({more})") }
}

/// Writes how each objective fared, where any were asked for.
fn rulings(page: &mut Markdown, subjects: &[Subject]) {
    let many = subjects.iter().map(|subject| subject.points.len()).sum::<usize>() > 1;
    let mut rows = Vec::new();
    for (label, point) in labelled(subjects) {
        for (class, ruling) in objectives::rulings(point) {
            let verdict = format!("**{}**", objectives::name(ruling.verdict));
            let said = plain(&objectives::named(class, ruling));
            let point = many.then(|| plain(&label));
            rows.push([verdict].into_iter().chain(point).chain([said]).collect());
        }
    }
    if rows.is_empty() {
        return;
    }
    page.heading("Objectives");
    let heads: &[&str] = if many { &["verdict", "point", "found"] } else { &["verdict", "found"] };
    page.words(heads, &rows);
}

/// Returns each point with what to call it beside all others.
fn labelled(subjects: &[Subject]) -> Vec<(String, &Point)> {
    let single = subjects.len() == 1;
    let named = subjects.iter().zip(names(subjects)).flat_map(|(subject, name)| {
        subject.points.iter().enumerate().map(move |(index, point)| {
            let label = subject.full_label(index);
            (if single { label } else { format!("{name}, {label}") }, point)
        })
    });
    named.collect()
}

/// Writes why requests failed, where some did.
fn failures(page: &mut Markdown, point: &Point) {
    if point.counts.reasons.is_empty() {
        return;
    }
    page.heading("Why requests failed");
    let rows = point.counts.reasons.iter().map(|reason| {
        vec![plain(&reason.reason), reason.outcome.name().to_owned(), count(reason.count)]
    });
    let heads = ["why", "outcome", "requests"].map(str::to_owned);
    page.table(&heads, &rows.collect::<Vec<_>>());
}

/// Writes what each address took, where there were several.
fn addresses(page: &mut Markdown, point: &Point) {
    if point.addresses.is_empty() {
        return;
    }
    page.heading("By address");
    page.table(&spread::heads(), &spread::rows(point));
    for warning in spread::warnings(point) {
        page.paragraph(&format!("**{}**", plain(warning)));
    }
}

/// Writes what limits the server, and what servers and GPUs said of themselves.
fn limits(page: &mut Markdown, point: &Point) {
    let rows = document::said_of_themselves(point);
    if point.diagnosis.is_empty() && rows.is_empty() {
        return;
    }
    let known = !point.diagnosis.is_empty();
    page.heading(if known { "What limits the server" } else { "Server and client" });
    for finding in &point.diagnosis {
        let (evidence, hint) = (prose(&finding.evidence), prose(&finding.hint));
        let limit = finding.limit.name();
        page.0.push(format!("- **{limit}**: {evidence}. What would change it: {hint}."));
    }
    page.0.extend(rows.iter().map(|(who, said)| {
        let who = if who.is_empty() { String::new() } else { plain(who) + ": " };
        format!("- {who}{}", plain(said))
    }));
}

/// Writes what a study found.
fn findings(page: &mut Markdown, subject: &Subject) {
    if subject.findings.is_empty() {
        return;
    }
    page.heading(document::findings_heading(subject));
    let lines = subject.findings.iter();
    page.0.extend(lines.map(|(name, found)| format!("- **{}**: {}", plain(name), prose(found))));
}

/// Writes what a suite asks, line by line, with its verdicts.
fn verdicts(page: &mut Markdown, subject: &Subject) {
    if subject.verdicts.is_empty() {
        return;
    }
    page.heading("What was asked");
    let rows = subject.verdicts.iter().map(|line| {
        let found: Vec<_> = line.found.iter().map(|found| plain(found)).collect();
        let passed = format!("**{}**", line.passed.capitals());
        vec![passed, plain(&line.name), plain(&line.rule), found.join("<br>")]
    });
    page.words(&["verdict", "what", "rule", "found"], &rows.collect::<Vec<_>>());
}

/// Writes what targets did under the same loads.
fn side_by_side(page: &mut Markdown, contest: &ContestTable) {
    page.heading(&plain(&contest.title()));
    let heads = cells(&contest.heads());
    let rows: Vec<_> = contest.rows().iter().map(|row| cells(row)).collect();
    page.table(&heads, &rows);
    for sentence in &contest.outcome {
        page.paragraph(&plain(sentence));
    }
}

/// Writes a line for each point.
fn points(page: &mut Markdown, subjects: &[Subject]) {
    let (load, columns) = (Load::of(subjects), columns(subjects));
    let mut heads = vec![String::new(), load.title().to_owned()];
    heads.extend(columns.iter().map(Column::head));
    let mut rows = Vec::new();
    for one in series(subjects, load) {
        for placed in &one.points {
            let mark = placed.place.map(|place| place.mark.as_str());
            let marks = mark.into_iter().chain(placed.point.saturated.then_some("saturated"));
            let marks = marks.filter(|mark| !mark.is_empty()).map(plain);
            let label = [plain(&placed.label())].into_iter().chain(marks);
            let mut row = vec![plain(&one.name), label.collect::<Vec<_>>().join(", ")];
            row.extend(columns.iter().map(|column| match column.cell(placed.point) {
                None => ABSENT.to_owned(),
                Some(cell) if column.kind == Kind::Latency && placed.point.saturated => {
                    struck(&cell)
                }
                Some(cell) => plain(&cell),
            }));
            rows.push(row);
        }
    }
    page.table(&heads, &rows);
    saturated(page, subjects);
}

/// Says why figures are struck out, where some are.
fn saturated(page: &mut Markdown, subjects: &[Subject]) {
    if subjects.iter().any(|subject| subject.points.iter().any(|point| point.saturated)) {
        page.paragraph(
            "Struck out: saturated. What waits grows for as long as one looks, so those latencies \
             are no result.",
        );
    }
}

fn latencies(page: &mut Markdown, subjects: &[Subject]) {
    let heads = ["point", "figure", "n", "mean", "±", "p50", "p90", "p95", "p99", "p99.9", "max"];
    let optional = |value: Option<f64>| value.map_or(ABSENT.to_owned(), figure);
    let mut rows = Vec::new();
    for (label, point) in labelled(subjects) {
        for (figure_name, latency) in SHOWN {
            let Some(e) = latency(point) else { continue };
            let half = e.mean_ci95.map(|[_, high]| format!("{} %", distance(high, e.mean)));
            let percentiles = [e.p90, e.p95, e.p99, e.p999].map(optional);
            let half = half.unwrap_or_else(|| ABSENT.to_owned());
            let middle = [figure(e.mean), half, figure(e.p50)];
            let figures = [&middle[..], &percentiles, &[figure(e.max)]].concat();
            // The generator's own lateness is a result under any load.
            let is_result = !point.saturated || figure_name == "lag";
            let shown = |cell: &String| if is_result { cell.clone() } else { struck(cell) };
            let head = [plain(&label), figure_name.to_owned(), count(e.n)];
            rows.push(head.into_iter().chain(figures.iter().map(shown)).collect());
        }
    }
    if rows.is_empty() {
        return;
    }
    page.heading("Latency, ms");
    page.table(&heads.map(str::to_owned), &rows);
    page.paragraph("±: half the width of the mean's 95 % interval, as a share of the mean.");
    if subjects.len() == 1 && subjects[0].only_point().is_some() {
        saturated(page, subjects);
    }
}

/// Strikes a figure out.
fn struck(figure: &str) -> String {
    if figure == ABSENT { figure.to_owned() } else { format!("~~{figure}~~") }
}

fn cells(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| plain(text)).collect()
}

/// Returns where and how a subject was measured, on one line.
fn setup(subject: &Subject) -> String {
    let who = [Some(&subject.target), Some(&subject.model), subject.server.as_ref()];
    let who = who.into_iter().chain([subject.gpus.as_ref()]).flatten().cloned();
    let asked =
        subject.asked.iter().chain(&subject.setup).map(|(key, value)| format!("{key} {value}"));
    let parts = who.chain([date(&subject.created)]).chain(asked).filter(|part| !part.is_empty());
    let parts: Vec<_> = parts.map(|part| plain(&part)).collect();
    format!("- {}: {}", plain(&subject.id), parts.join(" · "))
}

/// Makes text of ours that may quote others harmless; what stands between backticks is set as code.
fn prose(text: &str) -> String {
    let text = clean(text);
    let parts = text.split('`').enumerate().map(|(index, part)| match index % 2 {
        1 if !part.trim().is_empty() => code(part),
        _ => plain_parts(part),
    });
    parts.collect()
}

/// Makes foreign text harmless, in a cell of a table too.
pub(crate) fn plain(text: &str) -> String {
    plain_parts(&clean(text))
}

/// Makes text harmless word by word: addresses and names that a forge would turn into links and
/// mentions are set as code, where it turns nothing into anything.
fn plain_parts(text: &str) -> String {
    let mut safe = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(ends_a_word).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if is_drawn_to(word) {
            safe += &code(word);
        } else {
            word.chars().for_each(|c| escape(c, &mut safe));
        }
        let mut after = after.chars();
        if let Some(c) = after.next() {
            escape(c, &mut safe);
        }
        rest = after.as_str();
    }
    safe
}

/// Says whether a character cannot stand in code, or ends a word.
fn ends_a_word(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '`' | '|' | '<' | '>' | ',' | '"' | '(' | ')')
}

/// Says whether forges make a link or a mention of a word.
fn is_drawn_to(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    word.contains('@') || lower.contains("://") || lower.contains("www.")
}

/// Sets text as code, in a cell of a table too, where a bar would end it all the same.
fn code(text: &str) -> String {
    format!("`{}`", text.replace(['`', '|'], " "))
}

fn escape(c: char, safe: &mut String) {
    match c {
        '<' => safe.push_str("&lt;"),
        '>' => safe.push_str("&gt;"),
        '&' => safe.push_str("&amp;"),
        // Not with a backslash: beside code it would be one backtick of two.
        '`' => safe.push_str("&#96;"),
        '\\' | '|' | '*' | '_' | '~' | '[' | ']' | '#' | '!' | '$' => safe.extend(['\\', c]),
        c => safe.push(c),
    }
}

#[cfg(test)]
pub(crate) mod tests;
