//! What a suite's points are asked with: what the suite says, but for what the user does.

use infermark_scenario::settings::{self, Setting};
use infermark_scenario::suite::{Changes, Load, Rates, Step, Suite, Workload};
use infermark_scenario::{Origin, Problems, Resolved};

use super::take::TRIALS_MAX;
use super::{Length, NamedTarget, Told};

/// How long all loads of a quick validation last together, in milliseconds. What comes before and
/// after each load takes the rest of a minute.
const QUICK_MS: u64 = 40_000;
/// The shortest load, and the longest wait for what is in flight at its end.
const QUICK_LOAD_MS_MIN: u64 = 500;
const QUICK_DRAIN: &str = "30s";
/// About as many points fit into a minute.
const QUICK_POINTS: u32 = 24;

/// What the shape of a dataset's prompts takes the place of.
const LENGTHS: [&Setting; 4] = [
    &settings::INPUT_TOKENS,
    &settings::PREFIX_TOKENS,
    &settings::PREFIX_GROUPS,
    &settings::PROMPT_FORM,
];

/// A suite, as it is measured.
pub(super) struct Script<'a> {
    pub(super) suite: &'a Suite,
    pub(super) told: &'a Told,
    /// Keys that the user set, which the suite therefore does not.
    users: Vec<&'static str>,
}

impl<'a> Script<'a> {
    pub(super) fn new(base: &Resolved, suite: &'a Suite, told: &'a Told) -> Self {
        let given = base.values.iter().filter(|value| value.origin != Origin::Default);
        let given = given.map(|value| value.key);
        let mut users: Vec<_> = given.filter(|key| *key != settings::TARGET.key).collect();
        if users.contains(&settings::DATASET.key) {
            users.extend(LENGTHS.map(|setting| setting.key));
        }
        Self { suite, told, users }
    }

    /// Returns the settings of the suite that the user set otherwise.
    pub(super) fn overridden(&self) -> Vec<String> {
        let quick = self.told.length == Length::Quick;
        let of_workload = |workload: &'a Workload| {
            let loads = workload.loads.iter().flat_map(Load::changes);
            let quick = workload.quick.iter().filter(move |_| quick);
            workload.settings.iter().chain(loads).chain(quick)
        };
        let all = || self.suite.workloads.iter().flat_map(of_workload);
        let set = |key: &&&str| all().any(|(setting, _)| setting.key == **key);
        self.users.iter().filter(set).map(|key| (*key).to_owned()).collect()
    }

    /// Returns the targets; nothing in place of the only one.
    pub(super) fn targets(&self) -> Vec<Option<&'a NamedTarget>> {
        match &self.told.targets[..] {
            [] => vec![None],
            several => several.iter().map(Some).collect(),
        }
    }

    /// Returns what a point of this load sets.
    pub(super) fn settings(
        &self,
        target: Option<&NamedTarget>,
        workload: &Workload,
        load: &Changes,
    ) -> Changes {
        let mut all = over(&workload.settings, load);
        if self.told.length == Length::Quick {
            // What the suite says of quickness itself stands.
            all = over(&self.hurried(&over(&all, &workload.quick)), &workload.quick);
        }
        all.retain(|(setting, _)| !self.users.contains(&setting.key));
        if let Some(target) = target {
            all.push((&settings::TARGET, target.target.clone()));
        }
        all
    }

    /// Returns a sweep of as many rates as there is time for.
    pub(super) fn affordable(&self, rates: Rates) -> Rates {
        if self.told.length == Length::Whole {
            return rates;
        }
        let loads = self.suite.workloads.iter().flat_map(|workload| &workload.loads);
        let sweeps = loads.filter(|load| matches!(load, Load::Sweep { .. })).count();
        let sweeps = (sweeps * self.told.targets.len().max(1)).max(1) as u32;
        // A sweep has two points beside its rates, or one.
        let most = (QUICK_POINTS / sweeps).saturating_sub(2).max(1);
        match rates {
            Rates::Between(count) => Rates::Between(count.min(most)),
            Rates::UpTo(count, share) => Rates::UpTo(count.min(most), share),
        }
    }

    /// Returns these settings, made quick.
    fn hurried(&self, given: &Changes) -> Changes {
        let points = |load: &Load| match load {
            Load::Point { .. } => 1,
            Load::Sweep { rates, .. } => match self.affordable(*rates) {
                Rates::Between(count) => u64::from(count) + 2,
                Rates::UpTo(count, _) => u64::from(count) + 1,
            },
            Load::Peak { .. } => u64::from(TRIALS_MAX) + 2,
        };
        let loads = self.suite.workloads.iter().flat_map(|workload| &workload.loads);
        let count = loads.map(points).sum::<u64>() * self.told.targets.len().max(1) as u64;
        let each = (QUICK_MS / count.max(1)).max(QUICK_LOAD_MS_MIN);
        let has = |setting: &Setting| given.iter().any(|(known, _)| **known == *setting);
        let mut hurried =
            vec![(&settings::WARMUP, "0s".to_owned()), (&settings::DRAIN, QUICK_DRAIN.to_owned())];
        // What is asked at once ends with its last request: cut short, nothing would have ended.
        if has(&settings::THROUGHPUT) && has(&settings::REQUESTS) {
            let kept = given.iter().filter(|(known, _)| **known != settings::DURATION);
            return over(&kept.cloned().collect::<Vec<_>>(), &hurried);
        }
        hurried.push((&settings::DURATION, format!("{each}ms")));
        over(given, &hurried)
    }
}

/// Returns a scenario for each target, workload and load of a suite, over what the user says: what
/// will be measured, as far as it is known before.
///
/// # Errors
///
/// Where what the user says does not go with what the suite does.
pub fn scenarios(base: &Resolved, suite: &Suite, told: &Told) -> Result<Vec<Resolved>, Problems> {
    let script = Script::new(base, suite, told);
    let mut scenarios = Vec::new();
    for target in script.targets() {
        for workload in &suite.workloads {
            for load in &workload.loads {
                let changes = match load {
                    Load::Point { changes, .. } => changes.clone(),
                    Load::Sweep { changes, .. } | Load::Peak { changes, .. } => {
                        over(changes, &[Step::Rate("1/s").load()])
                    }
                };
                scenarios.push(base.with(&script.settings(target, workload, &changes))?);
            }
        }
    }
    Ok(scenarios)
}

/// Returns the first settings, with the second in place of those that both have.
pub(super) fn over(
    below: &[(&'static Setting, String)],
    above: &[(&'static Setting, String)],
) -> Changes {
    let replaced = |key: &str| above.iter().any(|(setting, _)| setting.key == key);
    let kept = below.iter().filter(|(setting, _)| !replaced(setting.key));
    kept.chain(above).cloned().collect()
}
