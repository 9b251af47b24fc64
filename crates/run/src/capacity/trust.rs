//! How far the result of a search can be trusted: as far as the runs that it rests on.
//!
//! The idle run and the one as fast as it goes only say where to begin, and short runs far from
//! the capacity drop out. That loads beyond the capacity saturate is what was looked for, and no
//! doubt: the search judges itself what a saturated run says.

use infermark_measure::{Point, Verdict};
use infermark_terms::{CaveatCode, Trust};
use serde::Deserialize;

use super::Capacity;
use crate::study::Studied;

/// Returns, for each point of a search that came to its end, the doubts about it that concern the
/// result; nothing of any other study, nor of a search whose result rests on no run: why it found
/// nothing may stand in any of its points.
pub fn doubts(studied: &Studied) -> Option<Vec<Verdict>> {
    let found = Capacity::deserialize(studied.header.rest.get("capacity")?).ok()?;
    if found.rests_on.is_empty() {
        return None;
    }
    let all = studied.points.iter().enumerate().map(|(place, taken)| {
        let rests = found.rests_on.contains(&(place as u32));
        if rests { concerning(&taken.point) } else { Verdict::of(Vec::new()) }
    });
    Some(all.collect())
}

/// Returns how far those doubts go that say that the client, and not the target, set the limit.
pub(super) fn strain(point: &Point) -> Trust {
    let caveats = point.trust.caveats.iter();
    let own = [CaveatCode::ClientBound, CaveatCode::StimulusOff];
    let own = caveats.filter(|caveat| own.contains(&caveat.code));
    own.map(|caveat| caveat.lowers_to).max().unwrap_or(Trust::Sound)
}

/// Returns the doubts about a run that concern a search that rests on it.
pub(super) fn concerning(point: &Point) -> Verdict {
    let caveats = point.trust.caveats.iter();
    let caveats = caveats.filter(|caveat| caveat.code != CaveatCode::Saturated);
    Verdict::of(caveats.cloned().collect())
}
