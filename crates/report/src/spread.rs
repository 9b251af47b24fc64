//! How requests were spread over the addresses of a target, as rows.

use infermark_measure::Point;
use infermark_terms::CaveatCode;

use crate::figure::{ABSENT, count, percent};

/// Returns the headings.
pub(crate) fn heads() -> Vec<String> {
    ["address", "requests", "share"].map(str::to_owned).to_vec()
}

/// Returns what each address took.
pub(crate) fn rows(point: &Point) -> Vec<Vec<String>> {
    let row = point.addresses.iter().map(|one| {
        let share = one.share.map_or_else(|| ABSENT.to_owned(), percent);
        vec![one.address.to_string(), count(one.requests), share]
    });
    row.collect()
}

/// Returns what is to be said where one took all.
pub(crate) fn warnings(point: &Point) -> impl Iterator<Item = &str> {
    let caveats = point.trust.caveats.iter();
    caveats
        .filter(|caveat| caveat.code == CaveatCode::OneReplica)
        .map(|caveat| caveat.detail.as_str())
}
