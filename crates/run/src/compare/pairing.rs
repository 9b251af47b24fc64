//! Which point of one side belongs to which of the other.

use std::collections::BTreeSet;

use super::side::{Load, Side, Spot};

/// Rates that differ by no more are the same load: as near as a run must come to the rate that it
/// was asked for (docs/metrics.md, section 9).
const RATE_TOLERANCE: f64 = 0.01;

/// The points of two sides, paired.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairs<'a> {
    /// What both sides have.
    pub pairs: Vec<[&'a Spot; 2]>,
    /// What only the baseline has, and only the candidate.
    pub unpaired: [Vec<&'a Spot>; 2],
}

/// Pairs the points of two sides by their loads, and by the settings that vary within either.
pub fn pair<'a>(baseline: &'a Side, candidate: &'a Side) -> Pairs<'a> {
    let telling = Telling::of([baseline, candidate]);
    let mut rest: Vec<&Spot> = candidate.spots.iter().collect();
    let (mut pairs, mut alone) = (Vec::new(), Vec::new());
    for spot in &baseline.spots {
        let near = rest
            .iter()
            .enumerate()
            .filter_map(|(at, other)| Some((at, telling.distance(spot, other)?)));
        let nearest = near.min_by(|one, other| one.1.total_cmp(&other.1));
        match nearest {
            Some((at, _)) => pairs.push([spot, rest.remove(at)]),
            None => alone.push(spot),
        }
    }
    Pairs { pairs, unpaired: [alone, rest] }
}

/// What tells points apart: what varies within a side.
struct Telling {
    keys: BTreeSet<String>,
    load: bool,
}

impl Telling {
    fn of(sides: [&Side; 2]) -> Self {
        let mut telling = Self { keys: BTreeSet::new(), load: false };
        for side in sides {
            let Some((first, others)) = side.spots.split_first() else { continue };
            telling.load |= others.iter().any(|other| other.load != first.load);
            let all = side.spots.iter().flat_map(|spot| spot.telling.keys());
            let varies = |key: &&String| {
                others.iter().any(|other| other.telling.get(*key) != first.telling.get(*key))
            };
            telling.keys.extend(all.filter(varies).cloned());
        }
        telling
    }

    /// Returns how far the loads lie from each other; nothing where the two do not belong
    /// together.
    fn distance(&self, one: &Spot, other: &Spot) -> Option<f64> {
        let same = |key: &String| one.telling.get(key) == other.telling.get(key);
        if !self.keys.iter().all(same) {
            return None;
        }
        match (one.load, other.load) {
            _ if !self.load => Some(0.0),
            (Load::Open(one), Load::Open(other)) => {
                let apart = (one - other).abs() / one.max(other);
                (apart <= RATE_TOLERANCE).then_some(apart)
            }
            (one, other) => (one == other).then_some(0.0),
        }
    }
}
