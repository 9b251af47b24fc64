//! Takes a suite's points, one after another.

use infermark_scenario::Origin;
use infermark_scenario::settings::{self, Setting};
use infermark_scenario::suite::{
    Changes, IDLE, Load, PEAK, Rates, Step, Suite, THROUGHPUT, Workload,
};

use super::verdict::holds;
use super::{Batch, Judge, Length, NamedTarget, Placed, Told};
use crate::RunError;
use crate::study::{Early, Ended, Order, Rig};
use crate::sweep::short;

/// How long all loads of a quick validation last together, in milliseconds. What comes before and
/// after each load takes the rest of a minute.
const QUICK_MS: u64 = 40_000;
/// The shortest load, and the longest wait for what is in flight at its end.
const QUICK_LOAD_MS_MIN: u64 = 500;
const QUICK_DRAIN: &str = "5s";
/// About as many points fit into a minute.
const QUICK_POINTS: u32 = 24;

/// The most trials of a search for a peak, and the requests of each: with 10 of 1000 over its limit
/// a 99th percentile is at it.
const TRIALS_MAX: u32 = 14;
const TRIAL_REQUESTS: u64 = 1000;
const QUICK_TRIAL_REQUESTS: u64 = 40;
/// Where so many halvings find no rate that holds, none is looked for below.
const HALVINGS_MAX: u32 = 7;
/// The least rate that is asked for, where a target carries next to nothing.
const RATE_MIN: f64 = 0.001;

/// What the shape of a dataset's prompts takes the place of.
const LENGTHS: [&Setting; 4] = [
    &settings::INPUT_TOKENS,
    &settings::PREFIX_TOKENS,
    &settings::PREFIX_GROUPS,
    &settings::PROMPT_FORM,
];

/// Takes points.
pub(super) struct Bench<'a, 'r> {
    rig: &'r mut dyn Rig,
    suite: &'a Suite,
    told: &'a Told,
    judge: &'r Judge<'r>,
    /// Keys that the user set, which the suite therefore does not.
    users: Vec<&'static str>,
    taken: usize,
}

impl<'a, 'r> Bench<'a, 'r> {
    pub(super) fn new(
        rig: &'r mut dyn Rig,
        judge: &'r Judge<'r>,
        suite: &'a Suite,
        told: &'a Told,
    ) -> Self {
        let values = rig.base().values.iter();
        let given = values.filter(|value| value.origin != Origin::Default).map(|value| value.key);
        let mut users: Vec<_> = given.filter(|key| *key != settings::TARGET.key).collect();
        if users.contains(&settings::DATASET.key) {
            users.extend(LENGTHS.map(|setting| setting.key));
        }
        Self { rig, suite, told, judge, users, taken: 0 }
    }

    /// Returns the settings of the suite that the user set otherwise.
    pub(super) fn overridden(&self) -> Vec<String> {
        let set = |key: &&str| {
            let workloads = self.suite.workloads.iter();
            workloads
                .flat_map(|workload| &workload.settings)
                .any(|(setting, _)| setting.key == *key)
        };
        self.users.iter().filter(|key| set(key)).map(|key| (*key).to_owned()).collect()
    }

    /// Takes all points.
    pub(super) fn batches(&mut self) -> Result<Vec<Batch<'a>>, RunError> {
        let (suite, told) = (self.suite, self.told);
        let targets: Vec<Option<&NamedTarget>> = match &told.targets[..] {
            [] => vec![None],
            several => several.iter().map(Some).collect(),
        };
        let mut batches = Vec::new();
        for target in targets {
            for workload in &suite.workloads {
                let points = self.points(target, workload)?;
                batches.push(Batch { target, workload, points });
            }
        }
        Ok(batches)
    }

    fn points(
        &mut self,
        target: Option<&NamedTarget>,
        workload: &'a Workload,
    ) -> Result<Vec<Placed>, RunError> {
        let mut points = Vec::new();
        for load in &workload.loads {
            match load {
                Load::Point { label, changes } => {
                    points.push(self.take(target, workload, label, changes, Early::Never)?);
                }
                Load::Sweep { rates, changes } => {
                    points.extend(self.sweep(target, workload, *rates, changes)?);
                }
                Load::Peak { precision, changes } => {
                    points.push(self.peak(target, workload, *precision, changes)?);
                }
            }
        }
        Ok(points)
    }

    fn sweep(
        &mut self,
        target: Option<&NamedTarget>,
        workload: &Workload,
        rates: Rates,
        changes: &Changes,
    ) -> Result<Vec<Placed>, RunError> {
        let rates = self.affordable(rates);
        let mut step = |step: Step<'_>, label: &str, early| {
            let taken = changes.iter().filter(|(setting, _)| step.takes(setting));
            let changes: Changes = taken.cloned().chain([step.load()]).collect();
            self.take(target, workload, label, &changes, early)
        };
        let mut points = Vec::new();
        let mut least = 0.0;
        if let Rates::Between(_) = rates {
            points.push(step(Step::Idle, IDLE, Early::Never)?);
            least = requests_per_s(&points[0]);
        }
        points.push(step(Step::Throughput, THROUGHPUT, Early::Never)?);
        let most = points.last().map_or(0.0, requests_per_s);
        for rate in spread(rates, least, most) {
            let rate = format!("{rate}/s");
            let label = format!("rate {rate}");
            points.push(step(Step::Rate(&rate), &label, Early::WhenSaturated)?);
        }
        Ok(points)
    }

    /// Searches for the highest rate at which the checks of the peak hold, and measures it. After
    /// `LoadGen`'s `FindPeakPerformance`, but from above: what a target does as fast as it can
    /// bounds the rate, which is halved until it holds; then the stretch between is halved.
    fn peak(
        &mut self,
        target: Option<&NamedTarget>,
        workload: &'a Workload,
        precision: f64,
        changes: &Changes,
    ) -> Result<Placed, RunError> {
        let trial = [(&settings::REQUESTS, self.trial_requests().to_string())];
        let mut flood = over(changes, &trial);
        flood.retain(|(setting, _)| Step::Throughput.takes(setting));
        flood.push(Step::Throughput.load());
        let flood = self.take(target, workload, "search at throughput", &flood, Early::Never)?;
        let mut high = short(requests_per_s(&flood));
        let mut low = None;
        let mut tried = high;
        for trial_index in 0..TRIALS_MAX {
            let near = low.is_some_and(|low: f64| high - low <= low * precision);
            let hopeless = low.is_none() && trial_index >= HALVINGS_MAX;
            if near || hopeless || tried <= 0.0 {
                break;
            }
            let rate = format!("{tried}/s");
            let label = format!("search at {rate}");
            let load = over(&over(changes, &trial), &[Step::Rate(&rate).load()]);
            let placed = self.take(target, workload, &label, &load, Early::WhenSaturated)?;
            let saturated = placed.taken.ended == Ended::Saturated;
            if !saturated && holds(workload, &placed, self.judge)? {
                low = Some(tried);
            } else {
                high = tried;
            }
            tried = short(low.map_or(high / 2.0, |low| f64::midpoint(low, high)));
        }
        let rate = format!("{}/s", low.unwrap_or(high).max(RATE_MIN));
        let load = over(changes, &[Step::Rate(&rate).load()]);
        self.take(target, workload, PEAK, &load, Early::Never)
    }

    fn trial_requests(&self) -> u64 {
        match self.told.length {
            Length::Whole => TRIAL_REQUESTS,
            Length::Quick => QUICK_TRIAL_REQUESTS,
        }
    }

    fn take(
        &mut self,
        target: Option<&NamedTarget>,
        workload: &Workload,
        label: &str,
        load: &Changes,
        early: Early,
    ) -> Result<Placed, RunError> {
        let mut all = workload.settings.clone();
        all = over(&all, load);
        if self.told.length == Length::Quick {
            all = self.hurried(&over(&all, &workload.quick));
        }
        all.retain(|(setting, _)| !self.users.contains(&setting.key));
        if let Some(target) = target {
            all.push((&settings::TARGET, target.target.clone()));
        }
        let names = [
            target.map(|target| target.name.as_str()),
            (self.suite.workloads.len() > 1).then_some(workload.name.as_str()),
            Some(label),
        ];
        let names: Vec<_> = names.into_iter().flatten().collect();
        let order = Order { label: names.join(" · "), changes: all, early };
        let taken = self.rig.take(&order)?;
        self.taken += 1;
        Ok(Placed { index: self.taken - 1, label: label.to_owned(), taken })
    }

    /// Returns a sweep of as many rates as there is time for.
    fn affordable(&self, rates: Rates) -> Rates {
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

/// Returns the rates of a sweep, as a person could ask for them. Where nothing finished there are
/// none, and where an idle target is as fast as a busy one they are all alike.
fn spread(rates: Rates, least: f64, most: f64) -> Vec<f64> {
    let count = rates.count();
    let (low, high, parts) = match rates {
        Rates::Between(_) => (least, most.max(least), count + 1),
        Rates::UpTo(_, share) => (0.0, most * share, count),
    };
    let part = |step: u32| short(low + (high - low) * f64::from(step) / f64::from(parts));
    let mut rates: Vec<_> = (1..=count).map(part).filter(|&rate| rate > 0.0).collect();
    rates.dedup();
    rates
}

/// Returns the first settings, with the second in place of those that both have.
fn over(below: &[(&'static Setting, String)], above: &[(&'static Setting, String)]) -> Changes {
    let replaced = |key: &str| above.iter().any(|(setting, _)| setting.key == key);
    let kept = below.iter().filter(|(setting, _)| !replaced(setting.key));
    kept.chain(above).cloned().collect()
}

fn requests_per_s(placed: &Placed) -> f64 {
    placed.taken.point.rates.map_or(0.0, |rates| rates.requests_per_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_lie_between_idle_and_throughput_or_up_to_a_share_of_it() {
        assert_eq!(spread(Rates::Between(3), 1.0, 5.0), [2.0, 3.0, 4.0]);
        assert_eq!(spread(Rates::UpTo(4, 1.2), 0.0, 10.0), [3.0, 6.0, 9.0, 12.0]);
        assert_eq!(spread(Rates::Between(3), 2.0, 1.5), [2.0]);
        assert!(spread(Rates::UpTo(3, 1.0), 0.0, 0.0).is_empty());
    }
}
