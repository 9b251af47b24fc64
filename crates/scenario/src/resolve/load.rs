//! Which kind of load holds: the strongest layer that asks for one decides.
//!
//! Settings of the load belong together, so a layer's kind of load replaces that of a weaker one
//! as a whole: `--rate 5/s` runs at that rate, also where a file says `concurrency: 8`. Within one
//! layer two kinds contradict each other.

use std::collections::BTreeMap;

use super::IN_FLIGHT_MAX;
use super::desk::Desk;
use crate::intent::{Load, RateCurve};
use crate::settings::{
    ARRIVALS, CONCURRENCY, MAX_CONCURRENCY, RAMP, RATE, Setting, THROUGHPUT, TIME_SCALE, TRACE,
};
use crate::syntax::{self, Dataset, FileKind, count};

/// Settings that ask for a kind of load.
static KINDS: [&Setting; 5] = [&CONCURRENCY, &RATE, &RAMP, &THROUGHPUT, &TRACE];

/// Settings that shape a load of some kinds.
static SHAPES: [&Setting; 3] = [&ARRIVALS, &MAX_CONCURRENCY, &TIME_SCALE];

/// The kinds that each layer asks for, by the layer's rank.
type Asked = BTreeMap<u8, Vec<&'static Setting>>;

/// Returns the load that the strongest layer asks for, or the default: the replay of the trace
/// that is the dataset, else one slot.
pub(super) fn load(desk: &mut Desk, dataset: Option<&Dataset>) -> Load {
    let asked = asked(desk);
    set_aside(desk, &asked);
    let slots = count::<1, IN_FLIGHT_MAX>();
    let concurrency = desk.one(&CONCURRENCY, &slots);
    let rate = desk.one(&RATE, &syntax::RATE).map(RateCurve::Steady);
    let ramp = desk.one(&RAMP, &syntax::RAMP);
    let throughput = desk.one_or_default(&THROUGHPUT, &syntax::YES_NO);
    let arrivals = desk.one(&ARRIVALS, &syntax::ARRIVALS);
    let max_concurrency = desk.one(&MAX_CONCURRENCY, &slots).map(|slots| slots as u32);
    let recorded = match dataset {
        Some(Dataset::File { kind: FileKind::Trace, path }) => Some(path.clone()),
        Some(Dataset::Synthetic | Dataset::Corpus | Dataset::File { .. }) | None => None,
    };
    let trace = desk.one(&TRACE, &syntax::TRACE);
    let speed = desk.one(&TIME_SCALE, &syntax::TIME_SCALE);
    let unasked = if recorded.is_some() { &TRACE } else { &CONCURRENCY };
    check(desk, &asked, unasked);

    if let Some(rate) = rate.or(ramp) {
        let arrivals = arrivals.unwrap_or_else(|| desk.default_of(&ARRIVALS, &syntax::ARRIVALS));
        return Load::Open { rate, arrivals, max_concurrency };
    }
    if throughput {
        return Load::Throughput { max_concurrency };
    }
    let unsaid = recorded.filter(|_| asked.is_empty());
    let trace = trace.or_else(|| Some(desk.fall_back(&TRACE, &syntax::TRACE, unsaid?)));
    if let Some(path) = trace {
        let speed = speed.unwrap_or_else(|| desk.default_of(&TIME_SCALE, &syntax::TIME_SCALE));
        return Load::Trace { path, speed, max_concurrency };
    }
    let concurrency = concurrency.unwrap_or_else(|| desk.default_of(&CONCURRENCY, &slots));
    Load::Closed { concurrency: concurrency as u32 }
}

/// Finds the kinds of load that each layer asks for. `throughput: no` asks for none.
fn asked(desk: &Desk) -> Asked {
    let mut asked = Asked::new();
    for kind in KINDS {
        for given in desk.layers(kind) {
            let is_no =
                *kind == THROUGHPUT && (syntax::YES_NO.parse)(&given.text).is_ok_and(|yes| !yes);
            let kinds = asked.entry(given.rank()).or_default();
            if !is_no && kinds.last() != Some(&kind) {
                kinds.push(kind);
            }
        }
    }
    asked.retain(|_, kinds| !kinds.is_empty());
    asked
}

/// Sets aside what layers weaker than the first that asks say about another kind of load. What
/// such a layer says without asking for a kind stays where it goes with the one that holds.
fn set_aside(desk: &mut Desk, asked: &Asked) {
    let Some((&decides, kinds)) = asked.first_key_value() else { return };
    let kind = kinds[0];
    for setting in KINDS.into_iter().chain(SHAPES) {
        desk.set_aside(setting, |rank| match asked.get(&rank) {
            _ if rank <= decides => false,
            Some(kinds) => kinds != &[kind],
            None => !goes_with(setting, kind),
        });
    }
}

/// Whether a setting of the load means something under this kind.
fn goes_with(setting: &Setting, kind: &Setting) -> bool {
    match setting {
        _ if *setting == ARRIVALS => *kind == RATE || *kind == RAMP,
        _ if *setting == MAX_CONCURRENCY => *kind != CONCURRENCY,
        _ if *setting == TIME_SCALE => *kind == TRACE,
        _ => true,
    }
}

/// Refuses layers that ask for several kinds, and what does not go with the kind that holds.
fn check(desk: &mut Desk, asked: &Asked, unasked: &'static Setting) {
    for (rank, kinds) in asked {
        if kinds.len() > 1 {
            let hint = "keep one of them";
            desk.refuse_within(*rank, kinds, "a run has one kind of load", hint);
        }
    }
    let kind = match asked.first_key_value().map(|(_, kinds)| &kinds[..]) {
        None => unasked,
        Some([kind]) => *kind,
        Some(_) => return,
    };
    if !goes_with(&MAX_CONCURRENCY, kind) {
        let found = "a closed loop never has more in flight than its slots";
        let hint = "cap `rate`, `ramp`, `throughput` or `trace`, or give `concurrency` alone";
        desk.rule_out(&MAX_CONCURRENCY, kind, found, hint);
    }
    if !goes_with(&ARRIVALS, kind) {
        let found = "only a rate or a ramp has a law of arrivals";
        desk.rule_out(&ARRIVALS, kind, found, "give `rate`, or leave `arrivals` out");
    }
    if !goes_with(&TIME_SCALE, kind) {
        let found = "only a trace has a time to scale";
        desk.rule_out(&TIME_SCALE, kind, found, "give `trace`, or leave `time_scale` out");
    }
}
