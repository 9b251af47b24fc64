//! Figures of a part of a point's requests: those of one turn, or of one class.
//!
//! A class is measured as the whole is, by its own objectives. Of a turn there are no gaps between
//! tokens, rates and objectives.

use infermark_terms::{ChunkRow, RequestRow};
use serde::{Deserialize, Serialize};

use crate::point::{Latency, Tokens};
use crate::population::{Member, Population};
use crate::ruling::Bench;
use crate::streams::Streams;
use crate::{
    ClassPlan, Counts, Point, PointPlan, Rates, Ruling, WindowPlan, WindowSearch, measure,
};

/// Turns that have figures of their own; those after them share the last.
const TURNS_MAX: u32 = 32;

/// The figures of a part of a point's requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Which part: a class's name; of turns their number from 1, or `33+` for all from there on.
    pub name: String,
    /// How its requests due in the window ended.
    pub counts: Counts,
    /// Their latencies; of turns without the gaps between tokens and chunks.
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

    fn of(name: String, population: &Population<'_>, streams: &Streams) -> Self {
        let stall = |member: &Member<'_>| streams.stall(member.place);
        Self {
            name,
            counts: Counts::of(population),
            latency: Latency::of_requests(population, stall, &mut Bench::new(&[])),
            tokens: Tokens::of(population),
            rates: None,
            slo: Vec::new(),
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
