//! Figures of a part of a point's requests: those of one turn, or of one class.
//!
//! A class is measured as the whole is, by its own objectives. Of a turn there are no rates and no
//! objectives.

use infermark_terms::{ChunkRow, RequestRow};
use serde::{Deserialize, Serialize};

use crate::point::{Latency, Tokens};
use crate::population::{Member, Population};
use crate::ruling::Bench;
use crate::streams::Streams;
use crate::{
    ClassPlan, Counts, Estimate, Point, PointPlan, Rates, Ruling, WindowPlan, WindowSearch, measure,
};

/// Turns that have figures of their own; those after them share the last.
const TURNS_MAX: usize = 32;

/// The figures of a part of a point's requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Which part: a class's name; of turns their number from 1, or `33+` for all from there on.
    pub name: String,
    /// How its requests due in the window ended.
    pub counts: Counts,
    /// Their latencies.
    pub latency: Latency,
    /// Their token counts.
    pub tokens: Tokens,
    /// Of a class, its rates over the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<Rates>,
    /// Of a class, whether its objectives are met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slo: Vec<Ruling>,
}

impl Part {
    /// Measures the requests of one class, over the window over which all were measured.
    ///
    /// `chunks` may be those of all requests; `class` is what its rows say.
    pub fn of_class(
        class: u32,
        plan: &ClassPlan,
        all: &PointPlan,
        point: &Point,
        requests: &[RequestRow],
        chunks: impl IntoIterator<Item = ChunkRow>,
    ) -> Self {
        let own: Vec<_> = requests.iter().filter(|row| row.class == Some(class)).cloned().collect();
        let mut ids: Vec<_> = own.iter().map(|row| row.id).collect();
        ids.sort_unstable();
        let chunks = chunks.into_iter().filter(|chunk| ids.binary_search(&chunk.request).is_ok());
        let [start, end] = point.window.span();
        let plan_of_class = PointPlan {
            slo: plan.slo.clone(),
            window: WindowPlan::Span { start, end },
            search: WindowSearch::Given,
            ..all.clone()
        };
        let Point { counts, latency, tokens, rates, slo, .. } =
            measure(&plan_of_class, &own, chunks);
        Self { name: plan.name.clone(), counts, latency, tokens, rates, slo }
    }

    fn of(name: String, population: &Population<'_>, streams: &mut Streams, slot: usize) -> Self {
        let stall = |member: &Member<'_>| streams.stall(member.place);
        let own = Latency::of_requests(population, stall, &mut Bench::new(&[]));
        let gaps = &mut streams.turns[slot];
        let between_chunks = gaps.observations().map(|gaps| Estimate::of(&gaps));
        let between_tokens = gaps.per_token().map(|gaps| Estimate::of(&gaps));
        Self {
            name,
            counts: Counts::of(population),
            latency: Latency { itl_ms: between_tokens, icl_ms: between_chunks, ..own },
            tokens: Tokens::of(population),
            rates: None,
            slo: Vec::new(),
        }
    }
}

/// Returns with which turns a request is counted, from 0; nothing where it is none.
pub(crate) fn turn_slot(row: &RequestRow) -> Option<usize> {
    row.turn.map(|turn| (turn.index as usize).min(TURNS_MAX))
}

/// Returns the figures of each turn that was due in the window.
pub(crate) fn turns(population: &Population<'_>, streams: &mut Streams) -> Vec<Part> {
    let each = (0..streams.turns.len()).filter_map(|slot| {
        let part = population.part(|row| turn_slot(row) == Some(slot));
        let name = format!("{}{}", slot + 1, if slot == TURNS_MAX { "+" } else { "" });
        (!part.members().is_empty()).then(|| Part::of(name, &part, streams, slot))
    });
    each.collect()
}
