//! What came of a suite, for people.

use infermark_report::{
    AcceptanceLine, AcceptanceSheet, Colour, ContestCell, ContestTable, CurveSheet, Dot, DotGroup,
    Passed, Place, Verdict, acceptance,
};
use infermark_run::study::Studied;
use infermark_run::suite::{self, Clear, Contest, Length, Line, LineKind, Validation};

use crate::sheet;
use crate::study::dot;
use crate::whom::Whom;

/// Settings of which the suite says nothing, and the page therefore does.
const ASKED: [&str; 7] = ["api", "stream", "dataset", "tokenizer", "gpus", "price", "seed"];

/// Returns the page about a suite that was measured.
pub(crate) fn page(studied: &Studied, validation: &Validation, colour: Colour) -> String {
    let whom = Whom::of(&studied.header);
    let counting = (0..studied.points.len()).filter(|place| validation.rests_on(*place));
    let dots: Vec<_> = counting.map(|place| dot(&studied.points[place])).collect();
    let command = format!("infermark validate · {}", validation.suite);
    let facts = known(studied, validation);
    let groups = groups(studied, validation);
    let lines: Vec<_> = validation.lines.iter().map(|line| shown(line, validation)).collect();
    let contests = contests(studied, validation);
    let sheet = AcceptanceSheet {
        study: CurveSheet {
            command: &command,
            target: &whom.target,
            source: whom.source(),
            verification: whom.verification,
            model: &whom.model,
            server: whom.server.as_deref(),
            asked: &[],
            state: whom.state,
            dots: &dots,
            beside: &[],
            record: Some(&studied.dir),
        },
        title: &validation.title,
        facts: &facts,
        groups: &groups,
        lines: &lines,
        contests: &contests,
        verdict: passed(validation.verdict),
    };
    acceptance(&sheet, colour)
}

const fn passed(passed: suite::Passed) -> Passed {
    match passed {
        suite::Passed::Pass => Passed::Yes,
        suite::Passed::Undecided => Passed::Undecided,
        suite::Passed::Fail => Passed::No,
    }
}

/// Returns what a report tells of a suite beside its verdicts.
pub(crate) fn facts(
    studied: &Studied,
    validation: &Validation,
) -> Vec<(&'static str, Vec<String>)> {
    let mut facts = vec![("suite", vec![format!("{}: {}", validation.suite, validation.title)])];
    facts.extend(known(studied, validation));
    facts
}

/// Returns the points of a suite, by target and workload.
pub(crate) fn places(validation: &Validation) -> Vec<(usize, Place)> {
    let groups = validation.groups.iter().flat_map(|group| {
        let curve = names(group.target.as_deref(), &group.workload, validation).join(" · ");
        let points = group.points.iter();
        points.map(move |(point, label)| {
            let (label, curve) = (label.clone(), curve.clone());
            (*point, Place { label, curve, ..Place::default() })
        })
    });
    groups.collect()
}

/// Returns its targets side by side.
pub(crate) fn contests(studied: &Studied, validation: &Validation) -> Vec<ContestTable> {
    validation.contests.iter().map(|contest| table(contest, studied, validation)).collect()
}

/// Returns what was asked, line by line, with what was found.
pub(crate) fn verdicts(validation: &Validation) -> Vec<Verdict> {
    let lines = validation.lines.iter().map(|line| {
        let shown = shown(line, validation);
        Verdict {
            passed: shown.verdict,
            found: shown.found(),
            rule: shown.rule.to_owned(),
            name: shown.name,
        }
    });
    lines.collect()
}

fn known(studied: &Studied, validation: &Validation) -> Vec<(&'static str, Vec<String>)> {
    let plan = &studied.header.plan;
    let values = sheet::asked(&studied.header.scenario["values"]);
    let asked = values.into_iter().filter(|(key, _)| ASKED.contains(key));
    let asked: Vec<_> = asked.map(|(key, value)| format!("{key} {value}")).collect();
    let quick = (validation.length == Length::Quick)
        .then(|| "quick: each load was cut short, so nothing is accepted by this".to_owned());
    let changed = (!validation.overridden.is_empty()).then(|| {
        format!("not as the suite says, but as you do: {}", validation.overridden.join(", "))
    });
    let targets = plan["targets"].as_array().into_iter().flatten();
    let targets = targets.filter_map(|target| {
        Some(format!("{} = {}", target["name"].as_str()?, target["target"].as_str()?))
    });
    let references =
        (plan["reference"].is_null() && !validation.references.is_empty()).then(|| {
            format!("published results to compare with by `--reference`: {}", list(validation))
        });
    let all = [
        ("targets", targets.collect()),
        ("asked", vec![asked.join(" · ")]),
        ("source", validation.source.iter().cloned().collect()),
        ("note", validation.notes.iter().cloned().chain(references).collect()),
        ("but", quick.into_iter().chain(changed).collect::<Vec<_>>()),
    ];
    all.into_iter().filter(|(_, items)| items.iter().any(|item| !item.is_empty())).collect()
}

fn list(validation: &Validation) -> String {
    validation.references.join(", ")
}

/// Says whether a suite has several workloads, so that each must be named.
fn several_workloads(validation: &Validation) -> bool {
    validation.groups.iter().any(|group| group.workload != validation.groups[0].workload)
}

/// Joins what tells a workload on a target from the others.
fn names(target: Option<&str>, workload: &str, validation: &Validation) -> Vec<String> {
    let workload = several_workloads(validation).then(|| workload.to_owned());
    target.map(str::to_owned).into_iter().chain(workload).collect()
}

fn groups<'a>(studied: &'a Studied, validation: &'a Validation) -> Vec<DotGroup<'a>> {
    let groups = validation.groups.iter().map(|group| {
        let known = group.points.iter();
        let known = known.filter_map(|(place, label)| Some((studied.points.get(*place)?, label)));
        let dots = known.map(|(taken, label)| Dot { label, ..dot(taken) });
        DotGroup {
            heading: names(group.target.as_deref(), &group.workload, validation).join(" · "),
            dots: dots.collect(),
        }
    });
    groups.collect()
}

fn shown<'a>(line: &'a Line, validation: &Validation) -> AcceptanceLine<'a> {
    let mut name = names(line.target.as_deref(), &line.workload, validation);
    name.push(match line.kind {
        LineKind::Check => line.name.clone(),
        LineKind::Reference => format!("reference {}", line.name),
    });
    name.push(match line.at.as_str() {
        "any" => "at some load".to_owned(),
        "every" => "at every load".to_owned(),
        load => load.to_owned(),
    });
    AcceptanceLine {
        verdict: passed(line.verdict),
        name: name.join(" · "),
        rule: &line.rule,
        place: line.load.clone().filter(|load| *load != line.at).unwrap_or_default(),
        rulings: &line.rulings,
        detail: line.detail.as_deref(),
    }
}

fn table(contest: &Contest, studied: &Studied, validation: &Validation) -> ContestTable {
    let cell = |cell: &suite::Cell| {
        let cost = studied.points.get(cell.point).and_then(|taken| taken.point.cost);
        ContestCell {
            output_tokens_per_s: cell.output_tokens_per_s,
            e2e_p50_ms: cell.e2e_p50_ms,
            success_rate: cell.success_rate,
            cost: cost.and_then(|cost| Some((cost.currency, cost.per_1m_output?))),
        }
    };
    let rows = contest.rows.iter().map(|row| {
        (row.load.clone(), row.cells.iter().map(|known| known.as_ref().map(cell)).collect())
    });
    ContestTable {
        heading: names(None, &contest.workload, validation).concat(),
        targets: contest.targets.clone(),
        loads: rows.collect(),
        outcome: outcome(contest),
    }
}

/// Says who does most, and by how much.
fn outcome(contest: &Contest) -> Vec<String> {
    let Some(winner) = contest.winner else {
        return vec!["no winner: two or more have the same peak".to_owned()];
    };
    let (name, most) = (&contest.targets[winner], contest.peaks[winner]);
    let others = contest.targets.iter().zip(&contest.peaks).enumerate();
    let ratios = others.filter(|(place, _)| *place != winner).map(|(_, (other, peak))| {
        if *peak > 0.0 {
            format!("{:.2} × {other}", most / peak)
        } else {
            format!("{other} did nothing")
        }
    });
    let ratios: Vec<_> = ratios.collect();
    let sure = match contest.clear {
        Clear::Yes => "its 95 % interval lies above the others'",
        Clear::No => "but its 95 % interval overlaps with another's",
        Clear::Unknown => "of so few requests there is no interval, so this is what was observed",
    };
    let costs = contest.targets.iter().enumerate().filter_map(|(place, target)| {
        let cells = contest.rows.iter().filter_map(|row| row.cells[place]);
        let least = cells.filter_map(|cell| cell.cost_per_1m_output).min_by(f64::total_cmp)?;
        Some(format!("{target} {least:.2}"))
    });
    let costs: Vec<_> = costs.collect();
    let cost = (!costs.is_empty())
        .then(|| format!("a million output tokens cost, at the peak: {}", costs.join(" · ")));
    let won = format!("winner: {name}, at its peak {} the output rate; {sure}", ratios.join(", "));
    std::iter::once(won).chain(cost).collect()
}
