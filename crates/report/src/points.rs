//! Operating points as lines of one table: which figures stand beside one another.
//!
//! A column that no point has a value for is left out.

use infermark_measure::Point;

use crate::figure::{figure, money, percent};
use crate::ledger::verdict;
use crate::objectives;
use crate::subject::{Series, Subject};

/// One figure of every point.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    /// Whose statistic it is, such as TTFT; empty where the name says all.
    pub(crate) figure: &'static str,
    /// What it is called.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    value: fn(&Point) -> Option<String>,
}

/// What a column is to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A figure that stands whatever the load.
    Level,
    /// A latency in milliseconds, which is no result where the point is saturated.
    Latency,
    /// One of a few words: a verdict.
    Word,
}

impl Column {
    const fn new(
        figure: &'static str,
        name: &'static str,
        kind: Kind,
        value: fn(&Point) -> Option<String>,
    ) -> Self {
        Self { figure, name, kind, value }
    }

    /// Returns its heading in one line.
    pub(crate) fn head(&self) -> String {
        match self.kind {
            Kind::Latency => format!("{} {}, ms", self.figure, self.name),
            Kind::Level | Kind::Word => self.name.to_owned(),
        }
    }

    /// Returns a point's cell.
    pub(crate) fn cell(&self, point: &Point) -> Option<String> {
        (self.value)(point)
    }
}

const ALL: [Column; 13] = [
    Column::new("", "output tok/s", Kind::Level, |p| Some(figure(p.rates?.output_tokens_per_s))),
    Column::new("", "requests/s", Kind::Level, |p| Some(figure(p.rates?.requests_per_s))),
    Column::new("", "tok/s/user", Kind::Level, |p| {
        p.rates?.output_tokens_per_s_per_user.map(figure)
    }),
    Column::new("TTFT", "p50", Kind::Latency, |p| Some(figure(p.latency.ttft_ms?.p50))),
    Column::new("TTFT", "p99", Kind::Latency, |p| p.latency.ttft_ms?.p99.map(figure)),
    Column::new("TPOT", "mean", Kind::Latency, |p| Some(figure(p.latency.tpot_ms?.mean))),
    Column::new("E2E", "p50", Kind::Latency, |p| Some(figure(p.latency.e2e_ms?.p50))),
    Column::new("E2E", "p99", Kind::Latency, |p| p.latency.e2e_ms?.p99.map(figure)),
    Column::new("", "failed", Kind::Level, |p| p.counts.failure_rate.map(percent)),
    Column::new("", "J/token", Kind::Level, |p| p.energy?.joules_per_output_token.map(figure)),
    Column::new("", "per 1M output", Kind::Level, |p| {
        let cost = p.cost?;
        Some(money(cost.currency, cost.per_1m_output?))
    }),
    Column::new("", "objectives", Kind::Word, |p| {
        p.decision().map(|decision| objectives::name(decision).to_owned())
    }),
    Column::new("", "trust", Kind::Word, |p| Some(verdict(p.trust.verdict).to_owned())),
];

/// Returns the columns of a table of these points.
pub(crate) fn columns(subjects: &[Subject]) -> Vec<Column> {
    let points = || subjects.iter().flat_map(|subject| &subject.points);
    ALL.into_iter().filter(|column| points().any(|point| column.cell(point).is_some())).collect()
}

/// Says whether each series is a single point, so that its name is the point's.
pub(crate) fn are_single(series: &[Series<'_>]) -> bool {
    series.iter().all(|one| one.points.len() == 1)
}
