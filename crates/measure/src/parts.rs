//! Figures of a part of a point's requests: those of one turn.
//!
//! A part is measured as the whole is, over its own requests. Deliberately not here: gaps between
//! tokens and rates, which are the server's under all parts together.

use infermark_terms::Slo;
use serde::{Deserialize, Serialize};

use crate::Counts;
use crate::point::{Latency, Tokens};
use crate::population::{Member, Population};
use crate::ruling::Bench;
use crate::streams::Streams;

/// Turns that have figures of their own; those after them share the last.
const TURNS_MAX: u32 = 32;

/// The figures of a part of a point's requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Which part: of turns their number from 1, or `33+` for all from there on.
    pub name: String,
    /// How its requests due in the window ended.
    pub counts: Counts,
    /// Their latencies, but for the gaps between tokens and chunks.
    pub latency: Latency,
    /// Their token counts.
    pub tokens: Tokens,
}

impl Part {
    fn of(name: String, population: &Population<'_>, streams: &Streams) -> Self {
        let slo = Slo::default();
        let stall = |member: &Member<'_>| streams.stall(member.place);
        Self {
            name,
            counts: Counts::of(population),
            latency: Latency::of_requests(population, stall, &mut Bench::new(&slo)),
            tokens: Tokens::of(population),
        }
    }
}

/// Returns the figures of each turn that was due in the window.
pub(crate) fn turns(population: &Population<'_>, streams: &Streams) -> Vec<Part> {
    let turns = population.members().iter().filter_map(|member| member.row.turn);
    let Some(last) = turns.map(|turn| turn.index).max() else { return Vec::new() };
    let each = (0..=last.min(TURNS_MAX)).filter_map(|index| {
        let rest = index == TURNS_MAX;
        let part = population.part(|row| {
            row.turn.is_some_and(|turn| turn.index == index || rest && turn.index > index)
        });
        let name = format!("{}{}", index + 1, if rest { "+" } else { "" });
        (!part.members().is_empty()).then(|| Part::of(name, &part, streams))
    });
    each.collect()
}
