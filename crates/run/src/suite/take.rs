//! Takes a suite's points, one after another.

use infermark_scenario::settings;
use infermark_scenario::suite::{Changes, IDLE, Load, PEAK, Rates, Step, THROUGHPUT, Workload};

use super::script::{Script, over};
use super::verdict::{Standing, standing};
use super::{Batch, Judge, Length, NamedTarget, Placed};
use crate::RunError;
use crate::study::{Early, Order, Rig};
use crate::sweep::{short, turns_per_session};

/// The most trials of a search for a peak, and the requests of each: with 10 of 1000 over its limit
/// a 99th percentile is at it.
pub(super) const TRIALS_MAX: u32 = 14;
const TRIAL_REQUESTS: u64 = 1000;
const QUICK_TRIAL_REQUESTS: u64 = 40;
/// Where so many halvings find no rate that holds, none is looked for below.
const HALVINGS_MAX: u32 = 7;
/// What is asked for at once is short, and its beginning and end, when the target is not full,
/// make its rate too low: by a half at times, and never by so many doublings.
const DOUBLINGS_MAX: u32 = 3;
/// So many times a rate that the trials held is lowered where it does not hold for as long as the
/// suite asks: of a thousand requests chance leaves out what a whole run then shows.
const LOWERINGS_MAX: u32 = 3;
/// The least rate that is asked for, where a target carries next to nothing.
const RATE_MIN: f64 = 0.001;

/// Takes points.
pub(super) struct Bench<'a, 'r> {
    rig: &'r mut dyn Rig,
    script: &'r Script<'a>,
    judge: &'r Judge<'r>,
    taken: usize,
}

impl<'a, 'r> Bench<'a, 'r> {
    pub(super) fn new(rig: &'r mut dyn Rig, judge: &'r Judge<'r>, script: &'r Script<'a>) -> Self {
        Self { rig, script, judge, taken: 0 }
    }

    /// Takes all points.
    pub(super) fn batches(&mut self) -> Result<Vec<Batch<'a>>, RunError> {
        let script = self.script;
        let mut batches = Vec::new();
        for target in script.targets() {
            for workload in &script.suite.workloads {
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
                    points.extend(self.peak(target, workload, *precision, changes)?);
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
        let rates = self.script.affordable(rates);
        let mut step = |step: Step<'_>, label: &str, early| {
            let taken = changes.iter().filter(|(setting, _)| step.takes(setting));
            let changes: Changes = taken.cloned().chain([step.load()]).collect();
            self.take(target, workload, label, &changes, early)
        };
        let mut points = Vec::new();
        let mut least = 0.0;
        if let Rates::Between(_) = rates {
            points.push(step(Step::Idle, IDLE, Early::Never)?);
            least = arrivals_per_s(&points[0], &points[0]);
        }
        points.push(step(Step::Throughput, THROUGHPUT, Early::Never)?);
        let most = points.last().map_or(0.0, |flood| arrivals_per_s(flood, &points[0]));
        for rate in spread(rates, least, most) {
            let rate = format!("{rate}/s");
            let label = format!("rate {rate}");
            points.push(step(Step::Rate(&rate), &label, Early::WhenSaturated)?);
        }
        Ok(points)
    }

    /// Searches for the highest rate at which the checks of the peak hold, and measures it, lower
    /// where they do not hold for as long as is asked. After `LoadGen`'s `FindPeakPerformance`, but
    /// from where the target is when it is asked for all at once: from there the rate is doubled
    /// while it holds or halved until it does, and then the stretch between is halved. Where
    /// nothing of that finished there is no rate to begin at, and no peak.
    ///
    /// It is not the search for a capacity ([`crate::capacity`]): what holds here is a list of
    /// checks, which say yes or no of a trial of a given number of queries and not how far off it
    /// was, and the answer is one rate that is then measured in full, no interval.
    fn peak(
        &mut self,
        target: Option<&NamedTarget>,
        workload: &'a Workload,
        precision: f64,
        changes: &Changes,
    ) -> Result<Option<Placed>, RunError> {
        let trial = [(&settings::REQUESTS, self.trial_requests().to_string())];
        let mut flood = over(changes, &trial);
        flood.retain(|(setting, _)| Step::Throughput.takes(setting));
        flood.push(Step::Throughput.load());
        let flood = self.take(target, workload, "search at throughput", &flood, Early::Never)?;
        let mut between = Stretch::default();
        let mut tried = short(arrivals_per_s(&flood, &flood));
        for trial_index in 0..TRIALS_MAX {
            if tried <= 0.0 || between.is_enough(precision, trial_index) {
                break;
            }
            let rate = format!("{tried}/s");
            let label = format!("search at {rate}");
            let load = over(&over(changes, &trial), &[Step::Rate(&rate).load()]);
            let placed = self.take(target, workload, &label, &load, Early::WhenSaturated)?;
            // A trial is short: at a rate that is too much it may end before anything is late.
            let is_calm = !placed.taken.point.saturated;
            if is_calm && standing(workload, &placed, self.judge)? != Standing::Missed {
                between.low = Some(tried);
            } else {
                between.high = Some(tried);
            }
            tried = short(between.next());
        }
        let Some(found) = between.low.or(between.high) else { return Ok(None) };
        let lowerings = match (self.script.told.length, between.low) {
            (Length::Whole, Some(_)) => LOWERINGS_MAX,
            // A short run proves nothing, and where no rate held, the lowest was tried.
            (Length::Quick, _) | (Length::Whole, None) => 0,
        };
        let factor = 1.0 / (1.0 + precision);
        self.whole(target, workload, changes, [found, factor], lowerings).map(Some)
    }

    /// Measures a peak in full: at a rate, and where that looks too high for what is asked, at one
    /// that is so many times it, and so on.
    fn whole(
        &mut self,
        target: Option<&NamedTarget>,
        workload: &'a Workload,
        changes: &Changes,
        [mut rate, factor]: [f64; 2],
        mut lowerings: u32,
    ) -> Result<Placed, RunError> {
        loop {
            let text = format!("{}/s", rate.max(RATE_MIN));
            let load = over(changes, &[Step::Rate(&text).load()]);
            let label = format!("{PEAK} at {text}");
            let placed = self.take(target, workload, &label, &load, Early::Never)?;
            let placed = Placed { label: PEAK.to_owned(), ..placed };
            let lower = short(factor * rate);
            let is_least = lowerings == 0 || lower >= rate || lower < RATE_MIN;
            match standing(workload, &placed, self.judge)? {
                Standing::Missed | Standing::Exceeded if !is_least => {}
                Standing::Missed | Standing::Exceeded | Standing::Kept => return Ok(placed),
            }
            lowerings -= 1;
            rate = lower;
        }
    }

    fn trial_requests(&self) -> u64 {
        match self.script.told.length {
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
        let changes = self.script.settings(target, workload, load);
        let names = [
            target.map(|target| target.name.as_str()),
            (self.script.suite.workloads.len() > 1).then_some(workload.name.as_str()),
            Some(label),
        ];
        let names: Vec<_> = names.into_iter().flatten().collect();
        let order = Order { label: names.join(" · "), changes, early };
        let taken = self.rig.take(&order)?;
        self.taken += 1;
        Ok(Placed { index: self.taken - 1, label: label.to_owned(), taken })
    }
}

/// Between which rates a search for a peak is.
#[derive(Clone, Copy, Debug, Default)]
struct Stretch {
    /// The highest that holds.
    low: Option<f64>,
    /// The lowest that does not.
    high: Option<f64>,
}

impl Stretch {
    /// Says whether a search may end after so many trials: its ends are near each other, or there
    /// is no end to be found.
    fn is_enough(self, precision: f64, trials: u32) -> bool {
        match (self.low, self.high) {
            (Some(low), Some(high)) => high - low <= low * precision,
            (Some(_), None) => trials > DOUBLINGS_MAX,
            (None, Some(_)) => trials >= HALVINGS_MAX,
            (None, None) => false,
        }
    }

    /// Returns the rate to try next, once one was tried.
    fn next(self) -> f64 {
        match (self.low, self.high) {
            (Some(low), Some(high)) => f64::midpoint(low, high),
            (Some(low), None) => 2.0 * low,
            (None, Some(high)) => high / 2.0,
            (None, None) => 0.0,
        }
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

/// Returns how many arrivals a second a point carried, each of which has as many turns as at
/// `first`.
fn arrivals_per_s(placed: &Placed, first: &Placed) -> f64 {
    let turns = turns_per_session(&first.taken.point);
    placed.taken.point.rates.map_or(0.0, |rates| rates.requests_per_s / turns)
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

    /// Returns what is tried where rates hold up to this one, and where it ends.
    fn searched(first: f64, peak: f64) -> (Vec<f64>, Stretch) {
        let (mut between, mut tried, mut rates) = (Stretch::default(), first, Vec::new());
        while !between.is_enough(0.05, rates.len() as u32) {
            rates.push(tried);
            let end = if tried <= peak { &mut between.low } else { &mut between.high };
            *end = Some(tried);
            tried = between.next();
        }
        (rates, between)
    }

    #[test]
    fn a_peak_is_found_below_and_above_where_the_search_begins() {
        for (first, peak) in [(100.0, 93.0), (100.0, 31.0), (16.6, 30.0), (16.6, 16.6)] {
            let (rates, found) = searched(first, peak);
            let (low, high) = (found.low.unwrap(), found.high.unwrap());
            assert!(low <= peak && peak < high && high - low <= 0.05 * low, "{found:?}");
            assert!(rates.len() < TRIALS_MAX as usize, "{rates:?}");
        }
    }

    #[test]
    fn a_search_without_an_end_gives_up() {
        let (rates, found) = searched(10.0, 1e9);
        assert_eq!(rates, [10.0, 20.0, 40.0, 80.0]);
        assert_eq!((found.low, found.high), (Some(80.0), None));
        let (rates, found) = searched(64.0, 0.0);
        assert_eq!((rates.len(), found.low), (HALVINGS_MAX as usize, None));
    }
}
