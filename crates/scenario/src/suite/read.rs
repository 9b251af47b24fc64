//! A suite's text becomes a suite, or everything that is wrong with it, each with its line.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use infermark_terms::notation::{duration, share};
use infermark_terms::slo::{Bound, LatencyFigure, Slo, Statistic, Subject};
use infermark_terms::{Nanos, Seed};

use super::{
    At, Changes, Check, Claim, Load, Rates, Reference, Rule, Step, Suite, Tail, Targets, Workload,
};
use crate::file::yaml::{Branch, tree};
use crate::file::{Flaw, Scalar};
use crate::given::Given;
use crate::nearest::nearest;
use crate::problem::Problems;
use crate::resolve::{resolve, unfolded};
use crate::settings::{self, Form, SETTINGS, Setting};
use crate::slate::Slate;

/// The most workloads, loads of each, checks, references and claims.
const LIST_MAX: usize = 256;
/// What a load must have.
const A_LOAD: &str =
    "one of `concurrency`, `rate`, `ramp`, `throughput`, `trace`, `sweep` and `peak`";

/// The most rates of a sweep.
const RATES_MAX: u32 = 100;

const SUITE: [&str; 9] = [
    "suite",
    "title",
    "source",
    "notes",
    "targets",
    "scenario",
    "quick",
    "workloads",
    "references",
];
const WORKLOAD: [&str; 5] = ["name", "scenario", "quick", "loads", "checks"];
const CHECK: [&str; 6] = ["name", "slo", "early_stopping", "min_duration", "min_requests", "at"];
const REFERENCE: [&str; 4] = ["name", "about", "tolerance", "claims"];
const CLAIM: [&str; 3] = ["workload", "at", "figures"];

/// Reads a suite's text, which is YAML or JSON.
///
/// # Errors
///
/// Everything that is wrong with it, each with its line.
///
/// # Panics
///
/// Never: what is missing is among what is wrong.
pub fn parse_suite(path: &Path, text: &str) -> Result<Suite, Problems> {
    let mut reader = Reader { slate: Slate::of(path, text, "suite")? };
    let suite = match tree(text) {
        Ok(tree) => reader.suite(tree),
        Err(flaw) => {
            reader.slate.refuse("suite", None, flaw);
            None
        }
    };
    reader.slate.check()?;
    Ok(suite.expect("what is missing was noted"))
}

/// A suite being read. What cannot be read is noted, and reading goes on.
struct Reader {
    slate: Slate,
}

/// What a mapping holds, by its keys.
struct Fields {
    by_key: BTreeMap<String, (Range<usize>, Branch)>,
    /// Where the mapping begins.
    start: Range<usize>,
}

impl Fields {
    fn take(&mut self, key: &str) -> Option<Branch> {
        self.by_key.remove(key).map(|(_, branch)| branch)
    }

    /// Returns where a key stands, else where the mapping begins.
    fn span(&self, key: &str) -> Range<usize> {
        self.by_key.get(key).map_or(self.start.clone(), |(span, _)| span.clone())
    }
}

/// Settings as they were given, with their places.
type Givens = Vec<Given>;

impl Reader {
    fn refuse(&mut self, name: &str, flaw: Flaw) {
        self.slate.refuse(name, None, flaw);
    }

    /// Takes what is known out of a mapping, by its keys; what else stands there is left.
    fn fields(
        &mut self,
        branch: Branch,
        what: &str,
        known: impl Fn(&str) -> bool,
    ) -> Option<Fields> {
        let start = branch.span();
        let mut fields = Fields { by_key: BTreeMap::new(), start };
        match branch {
            Branch::Map(entries, _) => {
                for (key, value) in entries {
                    if !known(&key.text) {
                        continue;
                    }
                    let entry = (key.span.clone(), value);
                    if fields.by_key.insert(key.text.clone(), entry).is_some() {
                        let flaw = Flaw::new(key.span, "the key stands twice");
                        self.slate.refuse("key", Some(&key.text), flaw);
                    }
                }
            }
            Branch::Scalar(_) | Branch::List(..) | Branch::Empty(_) => {
                let flaw = Flaw::new(fields.start.clone(), "not a mapping");
                self.refuse(what, flaw.expected("`key: value` pairs"));
                return None;
            }
        }
        Some(fields)
    }

    /// Takes a mapping apart that has just these keys.
    fn exactly(&mut self, branch: Branch, what: &str, keys: &[&str]) -> Option<Fields> {
        if let Branch::Map(entries, _) = &branch {
            for (key, _) in entries.iter().filter(|(key, _)| !keys.contains(&key.text.as_str())) {
                self.slate.refuse_key(&key.text, key.span.clone(), keys);
            }
        }
        self.fields(branch, what, |key| keys.contains(&key))
    }

    fn scalar(&mut self, branch: Branch, name: &str) -> Option<Scalar> {
        match branch {
            Branch::Scalar(scalar) => return Some(scalar),
            Branch::Empty(span) => self.refuse(name, Flaw::new(span, "no value")),
            Branch::List(_, span) | Branch::Map(_, span) => {
                self.refuse(name, Flaw::new(span, "a list or mapping").expected("one text"));
            }
        }
        None
    }

    /// Returns the text of a key that may be absent.
    fn text(&mut self, fields: &mut Fields, key: &str) -> Option<Scalar> {
        let branch = fields.take(key)?;
        let scalar = self.scalar(branch, key)?;
        let text = scalar.text.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(Scalar { text, ..scalar })
    }

    /// Returns the text of a key that must be there.
    fn required(&mut self, fields: &mut Fields, key: &str) -> Option<Scalar> {
        if !fields.by_key.contains_key(key) {
            let flaw = Flaw::new(fields.start.clone(), format!("no `{key}`"));
            self.refuse(key, flaw.expected(&format!("`{key}: …`")));
        }
        let scalar = self.text(fields, key)?;
        if scalar.text.is_empty() {
            self.refuse(key, Flaw::new(scalar.span, "no text"));
            return None;
        }
        Some(scalar)
    }

    /// Returns the members of a list; a single value stands for a list of one.
    fn list(&mut self, branch: Option<Branch>, name: &str) -> Vec<Branch> {
        match branch {
            None => Vec::new(),
            Some(Branch::List(items, span)) => {
                if items.len() > LIST_MAX {
                    let flaw = Flaw::new(span, format!("{} members", items.len()));
                    self.refuse(name, flaw.expected(&format!("at most {LIST_MAX}")));
                    return Vec::new();
                }
                items
            }
            Some(Branch::Empty(span)) => {
                self.refuse(name, Flaw::new(span, "no value").expected("a list"));
                Vec::new()
            }
            Some(one @ (Branch::Scalar(_) | Branch::Map(..))) => vec![one],
        }
    }

    fn suite(&mut self, tree: Branch) -> Option<Suite> {
        let mut fields = self.exactly(tree, "suite", &SUITE)?;
        let name = self.required(&mut fields, "suite");
        let title = self.required(&mut fields, "title");
        let source = self.text(&mut fields, "source").map(|scalar| scalar.text);
        let notes = fields.take("notes");
        let notes = self.list(notes, "notes");
        let notes = notes.into_iter().filter_map(|note| self.scalar(note, "notes"));
        let notes = notes.map(|note| note.text.split_whitespace().collect::<Vec<_>>().join(" "));
        let notes = notes.collect();
        let targets = self.targets(&mut fields);
        let shared = self.givens(fields.take("scenario"), "scenario");
        let quick = self.givens(fields.take("quick"), "quick");
        let at = fields.span("workloads");
        let listed = fields.take("workloads");
        let listed = self.list(listed, "workloads");
        if listed.is_empty() {
            let flaw = Flaw::new(at, "no workloads").expected("a list of them");
            self.refuse("workloads", flaw);
        }
        let mut workloads: Vec<Workload> = Vec::new();
        for branch in listed {
            let span = branch.span();
            let Some(workload) = self.workload(branch, &shared, &quick) else { continue };
            if workloads.iter().any(|known| known.name == workload.name) {
                let flaw = Flaw::new(span, format!("a second workload `{}`", workload.name));
                self.refuse("workloads", flaw);
            }
            workloads.push(workload);
        }
        let listed = fields.take("references");
        let listed = self.list(listed, "references");
        let references = listed.into_iter().filter_map(|one| self.reference(one, &workloads));
        let references = references.collect();
        let (name, title) = (name?.text, title?.text);
        Some(Suite { name, title, source, notes, targets, workloads, references })
    }

    fn targets(&mut self, fields: &mut Fields) -> Targets {
        let Some(scalar) = self.text(fields, "targets") else { return Targets::One };
        match scalar.text.as_str() {
            "one" => Targets::One,
            "several" => Targets::Several,
            _ => {
                let flaw = Flaw::new(scalar.span, "no such choice").expected("`one` or `several`");
                self.slate.refuse("targets", Some(&scalar.text), flaw);
                Targets::One
            }
        }
    }

    /// Reads settings: the keys and texts of a scenario file, but for the target.
    fn givens(&mut self, branch: Option<Branch>, what: &str) -> Givens {
        let Some(branch) = branch else { return Vec::new() };
        let start = branch.span();
        let Branch::Map(entries, _) = branch else {
            let flaw = Flaw::new(start, "not a mapping").expected("settings, as in a scenario");
            self.refuse(what, flaw);
            return Vec::new();
        };
        let mut seen: Vec<String> = Vec::new();
        let mut givens = Vec::new();
        for (key, value) in entries {
            if seen.contains(&key.text) {
                let flaw = Flaw::new(key.span.clone(), "the key stands twice");
                self.slate.refuse("key", Some(&key.text), flaw);
            }
            seen.push(key.text.clone());
            givens.extend(self.setting(&key, value));
        }
        spelt_out(givens)
    }

    fn setting(&mut self, key: &Scalar, value: Branch) -> Givens {
        let allowed = |setting: &&Setting| **setting != settings::TARGET;
        let Some(setting) = Setting::by_key(&key.text).filter(allowed) else {
            let flaw = Flaw::new(key.span.clone(), "no such setting of a suite");
            let names = SETTINGS.iter().copied().filter(allowed).map(|setting| setting.key);
            let flaw = match nearest(&key.text, names) {
                Some(meant) => flaw.hint(&format!("did you mean `{meant}`?")),
                None => flaw,
            };
            self.slate.refuse("key", Some(&key.text), flaw);
            return Vec::new();
        };
        let values = match value {
            Branch::List(items, _) if setting.form == Form::Repeated => items,
            one @ (Branch::Scalar(_) | Branch::List(..) | Branch::Map(..) | Branch::Empty(_)) => {
                vec![one]
            }
        };
        let scalars = values.into_iter().filter_map(|value| self.scalar(value, setting.key));
        let scalars: Vec<_> = scalars.collect();
        let given = |scalar: Scalar| {
            Given::file(setting, scalar.text.trim().to_owned(), self.slate.spot(scalar.span))
        };
        scalars.into_iter().map(given).collect()
    }

    fn workload(
        &mut self,
        branch: Branch,
        shared: &[Given],
        shared_quick: &[Given],
    ) -> Option<Workload> {
        let mut fields = self.exactly(branch, "workload", &WORKLOAD)?;
        let name = self.required(&mut fields, "name");
        let own = self.givens(fields.take("scenario"), "scenario");
        let own_quick = self.givens(fields.take("quick"), "quick");
        let settings = over(shared, &own);
        let quick = over(shared_quick, &own_quick);
        let at = fields.span("loads");
        let listed = fields.take("loads");
        let listed = self.list(listed, "loads");
        if listed.is_empty() {
            self.refuse("loads", Flaw::new(at, "no loads").expected("a list of them"));
        }
        let mut loads: Vec<Load> = Vec::new();
        for branch in listed {
            let span = branch.span();
            let Some((load, givens)) = self.load(branch, &settings) else { continue };
            match load {
                Load::Point { .. } => self.try_out(&settings, &quick, &givens),
                Load::Sweep { .. } | Load::Peak { .. } => {
                    for step in [Step::Idle, Step::Throughput, Step::Rate("1/s")] {
                        let taken = givens.iter().filter(|given| step.takes(given.setting()));
                        let (setting, text) = step.load();
                        let load = Given::study(setting, text);
                        let taken: Vec<_> = taken.cloned().chain([load]).collect();
                        self.try_out(&settings, &quick, &taken);
                    }
                }
            }
            let labels = || loads.iter().flat_map(Load::labels);
            if let Some(label) = load.labels().iter().find(|label| labels().any(|l| l == **label)) {
                let flaw = Flaw::new(span, format!("a second load is called `{label}`"));
                self.refuse("loads", flaw.expected("a `name` of its own"));
            }
            loads.push(load);
        }
        let listed = fields.take("checks");
        let listed = self.list(listed, "checks");
        let checks = listed.into_iter().filter_map(|check| self.check(check, &loads)).collect();
        let (settings, quick) = (changes(&settings), changes(&quick));
        Some(Workload { name: name?.text, settings, quick, loads, checks })
    }

    /// Makes sure that the workload under this load is a scenario, quick or not.
    fn try_out(&mut self, settings: &[Given], quick: &[Given], load: &[Given]) {
        let whole = over(settings, load);
        for given in [whole.clone(), over(&whole, quick)] {
            if let Err(problems) = resolve(given, Seed(0)) {
                for problem in problems.as_slice() {
                    self.slate.note(problem.clone());
                }
            }
        }
    }

    /// Reads a load of a workload with these settings, among which its kind may be.
    fn load(&mut self, branch: Branch, settings: &[Given]) -> Option<(Load, Givens)> {
        let start = branch.span();
        let Branch::Map(entries, span) = branch else {
            let expected = "a mapping such as `concurrency: 8` or `sweep: 9`";
            self.refuse("loads", Flaw::new(start, "not a load").expected(expected));
            return None;
        };
        let of_ours = |key: &str| matches!(key, "name" | "sweep" | "peak");
        let (ours, others): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(key, _)| of_ours(&key.text));
        let is_known = others.iter().all(|(key, _)| Setting::by_key(&key.text).is_some());
        let givens = self.givens(Some(Branch::Map(others, span.clone())), "loads");
        let mut fields = self.fields(Branch::Map(ours, span), "loads", |_| true)?;
        let name = self.text(&mut fields, "name");
        let sweep = self.text(&mut fields, "sweep");
        let peak = self.text(&mut fields, "peak");
        let changes = changes(&givens);
        let load = match (sweep, peak) {
            (Some(_), Some(peak)) => {
                self.refuse("loads", Flaw::new(peak.span, "both a sweep and a peak"));
                return None;
            }
            (Some(sweep), None) => Load::Sweep { rates: self.rates(&sweep)?, changes },
            (None, Some(peak)) => Load::Peak { precision: self.share(&peak, "peak")?, changes },
            (None, None) => {
                let has_kind = givens.iter().chain(settings).any(|given| is_load(given.setting()));
                let label = self.label(name, &changes)?;
                let Some(label) = label.filter(|_| has_kind) else {
                    // A kind that is misspelt is refused as what it is.
                    if is_known {
                        self.refuse("loads", Flaw::new(start, "no load").expected(A_LOAD));
                    }
                    return None;
                };
                Load::Point { label, changes }
            }
        };
        Some((load, givens))
    }

    /// Returns what a load is called: by its name, else by its settings. Nothing where there is no
    /// such name; an outer nothing where there is a wrong one.
    #[expect(clippy::option_option, reason = "no name is not a wrong name")]
    fn label(&mut self, name: Option<Scalar>, changes: &Changes) -> Option<Option<String>> {
        match name {
            None => Some(label(changes)),
            Some(name) if ["", "any", "every"].contains(&name.text.as_str()) => {
                let flaw = Flaw::new(name.span, "no name of a load");
                let expected = "a name, but not `any` or `every`, which checks say of loads";
                self.slate.refuse("name", Some(&name.text), flaw.expected(expected));
                None
            }
            Some(name) => Some(Some(name.text)),
        }
    }

    fn rates(&mut self, scalar: &Scalar) -> Option<Rates> {
        let (count, share) = match scalar.text.split_once(" to ") {
            Some((count, share)) => (count, Some(share)),
            None => (scalar.text.as_str(), None),
        };
        let count = count.trim().parse().ok().filter(|count| (1..=RATES_MAX).contains(count));
        let share = share.map(percent);
        match (count, share) {
            (Some(count), None) => Some(Rates::Between(count)),
            (Some(count), Some(Some(share))) => Some(Rates::UpTo(count, share)),
            (None, _) | (_, Some(None)) => {
                let flaw = Flaw::new(scalar.span.clone(), "not a sweep");
                let expected = format!("up to {RATES_MAX} rates: `9`, or `10 to 120%`");
                self.slate.refuse("sweep", Some(&scalar.text), flaw.expected(&expected));
                None
            }
        }
    }

    fn share(&mut self, scalar: &Scalar, name: &str) -> Option<f64> {
        let share = percent(&scalar.text);
        if share.is_none() {
            let flaw =
                Flaw::new(scalar.span.clone(), "not a share").expected("a share such as `5%`");
            self.slate.refuse(name, Some(&scalar.text), flaw);
        }
        share
    }

    fn check(&mut self, branch: Branch, loads: &[Load]) -> Option<Check> {
        let start = branch.span();
        let mut fields = self.exactly(branch, "check", &CHECK)?;
        let name = self.required(&mut fields, "name");
        let at = self.at(&mut fields, loads);
        let mut rules = Vec::new();
        for key in &CHECK[1..5] {
            let Some(scalar) = self.text(&mut fields, key) else { continue };
            rules.extend(self.rule(key, &scalar));
        }
        if rules.len() != 1 && self.slate.is_clean() {
            let expected = "one of `slo`, `early_stopping`, `min_duration` and `min_requests`";
            let found = format!("{} rules", rules.len());
            self.refuse("checks", Flaw::new(start, found).expected(expected));
        }
        Some(Check { name: name?.text, rule: rules.pop()?, at: at? })
    }

    fn rule(&mut self, key: &str, scalar: &Scalar) -> Option<Rule> {
        match key {
            "slo" => self.slo(key, scalar).map(Rule::Bounds),
            "early_stopping" => {
                let slo = self.slo(key, scalar)?;
                let tails: Option<Vec<_>> = slo.bounds().iter().map(tail).collect();
                if tails.is_none() {
                    let flaw = Flaw::new(scalar.span.clone(), "not percentiles of each request")
                        .expected("`p90` to `p999` of `ttft`, `tpot`, `e2e` or the like");
                    self.slate.refuse(key, Some(&scalar.text), flaw);
                }
                tails.map(Rule::EarlyStopping)
            }
            "min_duration" => match duration(&scalar.text) {
                Ok(span) if span > Nanos::ZERO => Some(Rule::MinDuration(span)),
                Ok(_) | Err(_) => {
                    let flaw = Flaw::new(scalar.span.clone(), "not a duration");
                    self.slate.refuse(
                        key,
                        Some(&scalar.text),
                        flaw.expected("a duration such as `600s`"),
                    );
                    None
                }
            },
            _ => {
                let count = scalar.text.parse().ok().filter(|&count: &u64| count > 0);
                if count.is_none() {
                    let flaw = Flaw::new(scalar.span.clone(), "not a number of requests");
                    self.slate.refuse(
                        key,
                        Some(&scalar.text),
                        flaw.expected("a number such as `1000`"),
                    );
                }
                count.map(Rule::MinRequests)
            }
        }
    }

    fn slo(&mut self, key: &str, scalar: &Scalar) -> Option<Slo> {
        match scalar.text.parse() {
            Ok(slo) => Some(slo),
            Err(fault) => {
                self.slate.refuse_slo(key, scalar, fault);
                None
            }
        }
    }

    /// Reads of which points something must hold; of every one where nothing is said.
    fn at(&mut self, fields: &mut Fields, loads: &[Load]) -> Option<At> {
        let Some(scalar) = self.text(fields, "at") else { return Some(At::Every) };
        let labels: Vec<&str> = loads.iter().flat_map(Load::labels).collect();
        match scalar.text.as_str() {
            "any" => Some(At::Any),
            "every" => Some(At::Every),
            label if labels.contains(&label) => Some(At::Load(label.to_owned())),
            _ => {
                let named: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
                let expected = format!("`any`, `every`, or one of {}", named.join(", "));
                let flaw = Flaw::new(scalar.span, "no such load").expected(&expected);
                self.slate.refuse("at", Some(&scalar.text), flaw);
                None
            }
        }
    }

    fn reference(&mut self, branch: Branch, workloads: &[Workload]) -> Option<Reference> {
        let mut fields = self.exactly(branch, "reference", &REFERENCE)?;
        let name = self.required(&mut fields, "name");
        let about = self.text(&mut fields, "about").map(|scalar| scalar.text);
        let tolerance = self.required(&mut fields, "tolerance");
        let tolerance = tolerance.and_then(|scalar| self.share(&scalar, "tolerance"));
        let at = fields.span("claims");
        let listed = fields.take("claims");
        let listed = self.list(listed, "claims");
        if listed.is_empty() {
            self.refuse("claims", Flaw::new(at, "no claims").expected("a list of them"));
        }
        let claims = listed.into_iter().filter_map(|one| self.claim(one, workloads)).collect();
        Some(Reference { name: name?.text, about, tolerance: tolerance?, claims })
    }

    fn claim(&mut self, branch: Branch, workloads: &[Workload]) -> Option<Claim> {
        let mut fields = self.exactly(branch, "claim", &CLAIM)?;
        let scalar = self.required(&mut fields, "workload")?;
        let Some(workload) = workloads.iter().find(|known| known.name == scalar.text) else {
            let names: Vec<_> = workloads.iter().map(|known| format!("`{}`", known.name)).collect();
            let flaw = Flaw::new(scalar.span, "no such workload").expected(&names.join(", "));
            self.slate.refuse("workload", Some(&scalar.text), flaw);
            return None;
        };
        let at = self.at(&mut fields, &workload.loads);
        let text = self.required(&mut fields, "figures")?;
        let figures = self.slo("figures", &text)?;
        if let Some(bound) = figures.bounds().iter().find(|b| matches!(b.subject, Subject::Each(_)))
        {
            let found = format!("`{bound}` is no figure of a point");
            self.refuse(
                "figures",
                Flaw::new(text.span, found).expected("a statistic such as `ttft:mean`"),
            );
        }
        Some(Claim { workload: workload.name.clone(), at: at?, figures })
    }
}

/// Returns a bound that early stopping can test.
fn tail(bound: &Bound) -> Option<Tail> {
    let Subject::Latency(figure, statistic) = bound.subject else { return None };
    let share = match statistic {
        Statistic::P90 => 0.90,
        Statistic::P95 => 0.95,
        Statistic::P99 => 0.99,
        Statistic::P999 => 0.999,
        Statistic::Mean | Statistic::Min | Statistic::P50 | Statistic::Max => return None,
    };
    let each = !matches!(figure, LatencyFigure::Itl | LatencyFigure::Icl);
    each.then_some(Tail { figure, statistic, share, limit: bound.limit })
}

/// Reads a share in per cent: above 0, and at most 1000 %.
fn percent(text: &str) -> Option<f64> {
    share(text.trim()).filter(|share| *share > 0.0 && *share <= 10.0)
}

/// Returns the settings with those in place of a profile that it stands for, so that layers of a
/// suite replace one another setting by setting. What one layer says itself wins over its profile.
fn spelt_out(givens: Givens) -> Givens {
    let (profiles, said): (Givens, Givens) =
        givens.into_iter().partition(|given| unfolded(given).is_some());
    over(&profiles.iter().filter_map(unfolded).flatten().collect::<Vec<_>>(), &said)
}

/// Returns the first settings, with the second in place of those that both have.
fn over(below: &[Given], above: &[Given]) -> Givens {
    let kept = below.iter().filter(|given| {
        let key = given.setting().key;
        !above.iter().any(|other| other.setting().key == key)
    });
    kept.chain(above).cloned().collect()
}

fn changes(givens: &[Given]) -> Changes {
    givens.iter().map(|given| (given.setting(), given.text().to_owned())).collect()
}

/// Says whether a setting is a kind of load.
fn is_load(setting: &Setting) -> bool {
    let kinds = [
        &settings::CONCURRENCY,
        &settings::RATE,
        &settings::RAMP,
        &settings::THROUGHPUT,
        &settings::TRACE,
    ];
    kinds.into_iter().any(|kind| kind == setting)
}

/// Returns what a load is called that has no name of its own.
fn label(changes: &Changes) -> Option<String> {
    let text = |key: &str| {
        changes.iter().find(|(setting, _)| setting.key == key).map(|(_, text)| text.as_str())
    };
    let shown = |key| text(key).map(|text| format!("{key} {text}"));
    let throughput = text("throughput").map(|_| super::THROUGHPUT.to_owned());
    shown("concurrency").or_else(|| shown("rate")).or_else(|| shown("ramp")).or(throughput)
}
