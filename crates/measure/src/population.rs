//! Which requests the latency figures are over.

use infermark_terms::{Nanos, OutputPolicy, RequestId, RequestRow};

use crate::batches;
use crate::figures::{Failure, failure};
use crate::sample::Sample;
use crate::span::Span;

/// All rows of a run by id. Ids may have gaps, and are unique.
pub(crate) struct Roster<'a> {
    rows: Vec<&'a RequestRow>,
    ids: Vec<u64>,
}

impl<'a> Roster<'a> {
    pub(crate) fn new(requests: &'a [RequestRow]) -> Self {
        let mut rows: Vec<_> = requests.iter().collect();
        rows.sort_unstable_by_key(|row| row.id);
        let ids = rows.iter().map(|row| row.id.0).collect();
        Self { rows, ids }
    }

    pub(crate) fn rows(&self) -> &[&'a RequestRow] {
        &self.rows
    }

    /// Returns where in the roster a request stands.
    ///
    /// Ids ascend by at least one, so a request stands no further than its distance from the
    /// first id; in a run without gaps, exactly there.
    pub(crate) fn place(&self, id: RequestId) -> Option<usize> {
        let distance = id.0.checked_sub(*self.ids.first()?)?;
        let furthest = distance.min(self.ids.len() as u64 - 1) as usize;
        if self.ids[furthest] == id.0 {
            return Some(furthest);
        }
        self.ids[..furthest].binary_search(&id.0).ok()
    }
}

/// "**Latency figures** are over requests *due* in the window. One that outlives the drain limit
/// is `Expired`, a failure, and is counted, not dropped." (docs/metrics.md, section 4)
pub(crate) struct Population<'a> {
    members: Vec<Member<'a>>,
}

/// One request that was due in the window.
#[derive(Clone, Copy)]
pub(crate) struct Member<'a> {
    pub(crate) row: &'a RequestRow,
    /// Where it stands in the roster.
    pub(crate) place: usize,
    /// Why it is a failure; absent for a success.
    pub(crate) failure: Option<Failure<'a>>,
}

impl<'a> Population<'a> {
    pub(crate) fn new(roster: &Roster<'a>, window: Span, policy: OutputPolicy) -> Self {
        let mut members: Vec<_> = roster
            .rows()
            .iter()
            .enumerate()
            .filter(|(_, row)| window.contains(row.due))
            .map(|(place, row)| Member { row, place, failure: failure(row, policy) })
            .collect();
        members.sort_unstable_by_key(|member| (member.row.due, member.row.id));
        Self { members }
    }

    /// Returns the part of it that these are.
    pub(crate) fn part(&self, is_in: impl Fn(&RequestRow) -> bool) -> Self {
        Self { members: self.members.iter().filter(|member| is_in(member.row)).copied().collect() }
    }

    /// Returns all members, in the order in which they were due.
    pub(crate) fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// Returns the successes, in the order in which they were due.
    pub(crate) fn successes(&self) -> impl Iterator<Item = &Member<'a>> {
        self.members.iter().filter(|member| member.failure.is_none())
    }

    /// Returns the batch of the `index`-th member.
    pub(crate) fn batch(&self, index: usize) -> u8 {
        batches::batch_of(index, self.members.len())
    }

    /// Samples a figure of the successes that have it.
    pub(crate) fn over_successes(
        &self,
        figure: impl Fn(&RequestRow) -> Option<Nanos>,
    ) -> Option<Sample> {
        Sample::new(self.successes().filter_map(|m| figure(m.row)).map(|v| v.0).collect())
    }

    /// Samples a figure of all members that have it.
    pub(crate) fn over_all(&self, figure: impl Fn(&RequestRow) -> Option<Nanos>) -> Option<Sample> {
        Sample::new(self.members.iter().filter_map(|m| figure(m.row)).map(|v| v.0).collect())
    }
}
