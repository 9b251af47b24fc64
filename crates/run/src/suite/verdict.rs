//! Which lines hold.

use infermark_measure::{Decision, Ruling, early};
use infermark_scenario::suite::{At, Check, PEAK, Reference, Rule, Tail, Workload};
use infermark_terms::Trust;
use infermark_terms::slo::{Bound, Side, Slo, Subject};

use super::{Batch, Judge, Length, Line, LineKind, Passed, Placed};
use crate::RunError;

/// What is asked of a batch's points.
struct Asked {
    kind: LineKind,
    name: String,
    rule: String,
    at: At,
    test: Test,
}

/// How it is tested: with the places of its objectives among all that points are judged by.
enum Test {
    Bounds(usize),
    Tails(usize, Vec<(Tail, usize)>),
    MinDuration(f64),
    MinRequests(u64),
}

/// What was found at a point.
struct Found {
    decision: Decision,
    rulings: Vec<Ruling>,
    detail: Option<String>,
}

/// Returns the lines of a batch.
pub(super) fn lines(
    batch: &Batch<'_>,
    reference: Option<&Reference>,
    judge: &Judge<'_>,
    length: Length,
) -> Result<Vec<Line>, RunError> {
    let mut slos = Vec::new();
    let checks = batch.workload.checks.iter().map(|check| asked(check, &mut slos));
    let mut all: Vec<Asked> = checks.collect();
    if let Some(reference) = reference {
        all.extend(claims(reference, &batch.workload.name, &mut slos));
    }
    let mut judged = Vec::new();
    for placed in &batch.points {
        judged.push(if slos.is_empty() { Vec::new() } else { judge(&placed.taken, &slos)? });
    }
    Ok(all.iter().map(|asked| line(asked, batch, &judged, length)).collect())
}

/// How what is asked of a peak stands at a rate, but for what only a longer run can keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// All is met, or what is not lacks nothing but requests.
    Kept,
    /// It is undecided, and some requests exceed a limit: fewer would at a lower rate.
    Exceeded,
    /// Something is missed. A run that nobody vouches for shows nothing, so that no peak is looked
    /// for above it.
    Missed,
}

/// Says how what is asked of the peak stands at a point.
pub(super) fn standing(
    workload: &Workload,
    placed: &Placed,
    judge: &Judge<'_>,
) -> Result<Standing, RunError> {
    if placed.taken.point.trust.verdict == Trust::Void {
        return Ok(Standing::Missed);
    }
    let mut slos = Vec::new();
    let of_peak = workload.checks.iter().filter(|check| match &check.at {
        At::Every => true,
        At::Any => false,
        At::Load(label) => label == PEAK,
    });
    let all: Vec<Asked> = of_peak.map(|check| asked(check, &mut slos)).collect();
    let judged = if slos.is_empty() { Vec::new() } else { judge(&placed.taken, &slos)? };
    let all = all.iter().map(|asked| match asked.test {
        Test::MinDuration(_) | Test::MinRequests(_) => Standing::Kept,
        Test::Bounds(_) | Test::Tails(..) => {
            let found = found(&asked.test, placed, &judged, Length::Whole);
            match found.decision {
                Decision::Met => Standing::Kept,
                Decision::Undecided if !found.rulings.iter().any(exceeds) => Standing::Kept,
                Decision::Undecided => Standing::Exceeded,
                Decision::Missed => Standing::Missed,
            }
        }
    });
    Ok(all.max().unwrap_or(Standing::Kept))
}

/// Says whether some of what was observed lies beyond a bound, of a percentile some requests.
fn exceeds(ruling: &Ruling) -> bool {
    ruling.verdict == Decision::Undecided
        && (ruling.beyond.is_some_and(|share| share > 0.0)
            || ruling.margin.is_some_and(|margin| margin < 0.0))
}

fn keep(slo: Slo, slos: &mut Vec<Slo>) -> usize {
    slos.push(slo);
    slos.len() - 1
}

fn asked(check: &Check, slos: &mut Vec<Slo>) -> Asked {
    let (rule, test) = match &check.rule {
        Rule::Bounds(slo) => (written(slo), Test::Bounds(keep(slo.clone(), slos))),
        Rule::EarlyStopping(tails) => {
            let bounds: Vec<_> = tails.iter().map(bound).collect();
            let all = slo_of(&bounds.iter().map(Bound::to_string).collect::<Vec<_>>().join(","));
            let rule = format!("{} with 99 % confidence", written(&all));
            let whole = keep(all, slos);
            let within = |tail: &Tail| {
                let each = Bound { subject: Subject::Each(tail.figure), limit: tail.limit };
                slo_of(&format!("{each},good_share>=99%"))
            };
            let parts = tails.iter().map(|tail| (*tail, keep(within(tail), slos)));
            (rule, Test::Tails(whole, parts.collect()))
        }
        Rule::MinDuration(span) => {
            let seconds = span.as_secs_f64();
            (format!("lasts {seconds} s or more"), Test::MinDuration(seconds))
        }
        Rule::MinRequests(count) => {
            (format!("{count} requests or more"), Test::MinRequests(*count))
        }
    };
    Asked { kind: LineKind::Check, name: check.name.clone(), rule, at: check.at.clone(), test }
}

fn bound(tail: &Tail) -> Bound {
    Bound { subject: Subject::Latency(tail.figure, tail.statistic), limit: tail.limit }
}

fn slo_of(text: &str) -> Slo {
    text.parse().expect("bounds read back as they are written")
}

fn written(slo: &Slo) -> String {
    slo.bounds().iter().map(Bound::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns what a reference claims of a workload, made easier by its tolerance.
fn claims(reference: &Reference, workload: &str, slos: &mut Vec<Slo>) -> Vec<Asked> {
    let claims = reference.claims.iter().filter(|claim| claim.workload == workload);
    let loosened = |bound: &Bound| {
        let limit = match bound.subject.side() {
            Side::AtMost => bound.limit * (1.0 + reference.tolerance),
            Side::AtLeast => bound.limit * (1.0 - reference.tolerance),
        };
        // To what can be written: a nanosecond, a millionth of a share or of a rate.
        Bound { limit: (limit * 1e6).round() / 1e6, ..*bound }
    };
    claims
        .map(|claim| {
            let bounds: Vec<_> =
                claim.figures.bounds().iter().map(|bound| loosened(bound).to_string()).collect();
            let slo = slo_of(&bounds.join(","));
            let percent = (reference.tolerance * 1e4).round() / 1e2;
            Asked {
                kind: LineKind::Reference,
                name: reference.name.clone(),
                rule: format!("published {}, {percent} % allowed", written(&claim.figures)),
                at: claim.at.clone(),
                test: Test::Bounds(keep(slo, slos)),
            }
        })
        .collect()
}

fn line(asked: &Asked, batch: &Batch<'_>, judged: &[Vec<Vec<Ruling>>], length: Length) -> Line {
    let of_these = batch.points.iter().zip(judged).filter(|(placed, _)| match &asked.at {
        At::Any | At::Every => true,
        At::Load(label) => placed.label == *label,
    });
    let found: Vec<_> = of_these
        .map(|(placed, rulings)| (placed, found(&asked.test, placed, rulings, length)))
        .collect();
    let chosen = match asked.at {
        At::Any => most_loaded(&found),
        At::Every | At::Load(_) => worst(&found),
    };
    let at = match &asked.at {
        At::Any => "any".to_owned(),
        At::Every => "every".to_owned(),
        At::Load(label) => label.clone(),
    };
    let mut line = Line {
        kind: asked.kind,
        target: batch.target.map(|target| target.name.clone()),
        workload: batch.workload.name.clone(),
        name: asked.name.clone(),
        rule: asked.rule.clone(),
        at,
        verdict: Passed::Undecided,
        load: None,
        rulings: Vec::new(),
        detail: Some("no such point was measured".to_owned()),
    };
    if let Some((placed, chosen)) = chosen {
        line.verdict = match chosen.decision {
            Decision::Met => Passed::Pass,
            Decision::Undecided => Passed::Undecided,
            Decision::Missed => Passed::Fail,
        };
        line.load = Some(placed.label.clone());
        line.rulings.clone_from(&chosen.rulings);
        line.detail.clone_from(&chosen.detail);
    }
    line
}

/// A point, and what was found there.
type Outcome<'a> = (&'a Placed, Found);

/// Returns the point that decides whether something holds of any: the one of the greatest rate at
/// which it does, else one of which nobody can tell, else the one that comes nearest.
fn most_loaded<'a, 'p>(found: &'a [Outcome<'p>]) -> Option<&'a Outcome<'p>> {
    let best = found.iter().map(|(_, found)| found.decision).min()?;
    let rank = |(placed, found): &&Outcome<'_>| match best {
        Decision::Met => placed.taken.point.rates.map_or(0.0, |rates| rates.requests_per_s),
        Decision::Undecided | Decision::Missed => margin(found),
    };
    let candidates = found.iter().filter(|(_, found)| found.decision == best);
    candidates.max_by(|a, b| rank(a).total_cmp(&rank(b)))
}

/// Returns the point that decides whether something holds of every one.
fn worst<'a, 'p>(found: &'a [Outcome<'p>]) -> Option<&'a Outcome<'p>> {
    let rank =
        |a: &Found, b: &Found| a.decision.cmp(&b.decision).then(margin(b).total_cmp(&margin(a)));
    found.iter().max_by(|(_, a), (_, b)| rank(a, b))
}

/// Returns how far inside its tightest bound a point lies; a bound of which that is not known
/// counts as the tightest.
fn margin(found: &Found) -> f64 {
    let margins = found.rulings.iter().map(|ruling| ruling.margin.unwrap_or(f64::NEG_INFINITY));
    margins.min_by(f64::total_cmp).unwrap_or(f64::NEG_INFINITY)
}

fn found(test: &Test, placed: &Placed, judged: &[Vec<Ruling>], length: Length) -> Found {
    let point = &placed.taken.point;
    // What was cut short for quickness' sake says nothing of how long it would have been.
    let plain = |holds: bool, detail: String| {
        let (decision, detail) = match (holds, length) {
            (true, _) => (Decision::Met, detail),
            (false, Length::Whole) => (Decision::Missed, detail),
            (false, Length::Quick) => (Decision::Undecided, format!("{detail}: quick, cut short")),
        };
        Found { decision, rulings: Vec::new(), detail: Some(detail) }
    };
    let mut found = match test {
        Test::Bounds(place) => {
            let rulings = judged[*place].clone();
            let decision = Decision::of(&rulings).unwrap_or(Decision::Undecided);
            Found { decision, rulings, detail: None }
        }
        Test::Tails(whole, parts) => tails(&judged[*whole], parts, placed, judged),
        Test::MinDuration(least) => {
            let seconds = point.window.end_s - point.window.start_s;
            plain(seconds >= *least, format!("{seconds:.1} s"))
        }
        Test::MinRequests(least) => {
            plain(point.counts.due >= *least, format!("{} requests", point.counts.due))
        }
    };
    if point.trust.verdict == Trust::Void {
        found.decision = Decision::Undecided;
        found.detail = Some("void: the instrument cannot vouch for this point".to_owned());
    }
    found
}

/// Tests percentiles by the rule of early stopping. A request that failed is over every limit.
fn tails(
    whole: &[Ruling],
    parts: &[(Tail, usize)],
    placed: &Placed,
    judged: &[Vec<Ruling>],
) -> Found {
    let due = placed.taken.point.counts.due;
    let mut rulings = whole.to_vec();
    let mut details = Vec::new();
    for (ruling, (tail, place)) in rulings.iter_mut().zip(parts) {
        let share = judged[*place].first().and_then(|ruling| ruling.value).unwrap_or(0.0);
        let within = (share * due as f64).round() as u64;
        let over = due.saturating_sub(within);
        let least = early::within_min(over, tail.share);
        // No number of further requests like these would do.
        let exceeded = share < tail.share;
        (ruling.verdict, ruling.more_requests) = match (exceeded, within >= least) {
            (true, _) => (Decision::Missed, None),
            (false, true) => (Decision::Met, None),
            (false, false) => (Decision::Undecided, Some(least - within)),
        };
        ruling.ci95 = [None, None];
        // So few would not do if all were within it.
        let is_long = due >= early::within_min(0, tail.share);
        ruling.beyond = is_long.then_some(over as f64 / due.max(1) as f64);
        details.push(format!(
            "{}: {over} of {due} over the limit, {least} within it are needed",
            bound(tail)
        ));
    }
    let decision = Decision::of(&rulings).unwrap_or(Decision::Undecided);
    Found { decision, rulings, detail: Some(details.join("; ")) }
}
