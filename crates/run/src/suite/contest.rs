//! Several targets side by side, load by load, and which of them does most.

use infermark_measure::{Interval, Point};
use serde::{Deserialize, Serialize};

use super::Batch;

/// Targets under the loads of one workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contest {
    /// The workload.
    pub workload: String,
    /// The targets' names.
    pub targets: Vec<String>,
    /// The loads.
    pub rows: Vec<Row>,
    /// For each target, its greatest output rate over all loads, in tokens/s.
    pub peaks: Vec<f64>,
    /// The place of the target with the greatest of them; absent where two are equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub winner: Option<usize>,
    /// Whether the intervals bear the winner out.
    pub clear: Clear,
}

/// Whether intervals bear a winner out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clear {
    /// The winner's 95 % interval lies above that of every other.
    Yes,
    /// It overlaps with another's.
    No,
    /// There is no interval: too few requests.
    Unknown,
}

/// One load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What it is called.
    pub load: String,
    /// What each target did; absent where it was not measured.
    pub cells: Vec<Option<Cell>>,
}

/// What a target did under a load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The place of the point in the study.
    pub point: usize,
    /// Output tokens/s.
    pub output_tokens_per_s: f64,
    /// Its 95 % interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci95: Option<Interval>,
    /// The median of E2E latency, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e2e_p50_ms: Option<f64>,
    /// Successes ÷ arrivals.
    pub success_rate: f64,
    /// What a million output tokens cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_per_1m_output: Option<f64>,
}

impl Cell {
    fn of(index: usize, point: &Point) -> Self {
        let due = point.counts.due.max(1) as f64;
        Self {
            point: index,
            output_tokens_per_s: point.rates.map_or(0.0, |rates| rates.output_tokens_per_s),
            ci95: point.rates.and_then(|rates| rates.output_tokens_per_s_ci95),
            e2e_p50_ms: point.latency.e2e_ms.map(|e2e| e2e.p50),
            success_rate: point.counts.success as f64 / due,
            cost_per_1m_output: point.cost.and_then(|cost| cost.per_1m_output),
        }
    }
}

/// Returns a contest for each workload, if there are several targets.
pub(super) fn contests(batches: &[Batch<'_>]) -> Vec<Contest> {
    let mut names: Vec<String> = Vec::new();
    for target in batches.iter().filter_map(|batch| batch.target) {
        if !names.contains(&target.name) {
            names.push(target.name.clone());
        }
    }
    if names.len() < 2 {
        return Vec::new();
    }
    let mut workloads: Vec<&str> = Vec::new();
    for batch in batches {
        if !workloads.contains(&batch.workload.name.as_str()) {
            workloads.push(&batch.workload.name);
        }
    }
    workloads.into_iter().map(|workload| contest(workload, &names, batches)).collect()
}

fn contest(workload: &str, names: &[String], batches: &[Batch<'_>]) -> Contest {
    let of = |name: &str| {
        batches.iter().find(|batch| {
            batch.workload.name == workload && batch.target.is_some_and(|t| t.name == name)
        })
    };
    let sides: Vec<_> = names.iter().map(|name| of(name)).collect();
    let mut loads: Vec<&str> = Vec::new();
    for placed in sides.iter().flatten().flat_map(|batch| &batch.points) {
        if !loads.contains(&placed.label.as_str()) {
            loads.push(&placed.label);
        }
    }
    let cell = |side: Option<&Batch<'_>>, load: &str| {
        let placed = side?.points.iter().find(|placed| placed.label == load)?;
        Some(Cell::of(placed.index, &placed.taken.point))
    };
    let rows: Vec<_> = loads
        .iter()
        .map(|load| Row {
            load: (*load).to_owned(),
            cells: sides.iter().map(|side| cell(*side, load)).collect(),
        })
        .collect();
    let best: Vec<Option<Cell>> = (0..names.len()).map(|place| best(&rows, place)).collect();
    let peaks: Vec<f64> =
        best.iter().map(|cell| cell.map_or(0.0, |cell| cell.output_tokens_per_s)).collect();
    let top = peaks.iter().copied().fold(0.0, f64::max);
    let tops = peaks.iter().filter(|&&peak| peak >= top).count();
    let winner = (top > 0.0 && tops == 1).then(|| peaks.iter().position(|&peak| peak >= top));
    let winner = winner.flatten();
    Contest {
        workload: workload.to_owned(),
        targets: names.to_vec(),
        rows,
        peaks,
        winner,
        clear: winner.map_or(Clear::No, |winner| clear(&best, winner)),
    }
}

/// Returns a target's point with the greatest output rate.
fn best(rows: &[Row], place: usize) -> Option<Cell> {
    let cells = rows.iter().filter_map(|row| row.cells[place]);
    cells.max_by(|a, b| a.output_tokens_per_s.total_cmp(&b.output_tokens_per_s))
}

fn clear(best: &[Option<Cell>], winner: usize) -> Clear {
    let ends = |place: usize| best[place].and_then(|cell| cell.ci95);
    let Some([low, _]) = ends(winner) else { return Clear::Unknown };
    let mut others = (0..best.len()).filter(|&place| place != winner).map(ends);
    if others.clone().any(|other| other.is_none()) {
        return Clear::Unknown;
    }
    let above = others.all(|other| other.is_some_and(|[_, high]| low > high));
    if above { Clear::Yes } else { Clear::No }
}
