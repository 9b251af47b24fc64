//! The generator's side of a run: how busy its threads were, how long they waited for a core, and
//! how near it came to this machine's limits. It cannot be read off the rows.
//!
//! Not here: lag and read delay, which are in the rows (`audit`).

use infermark_terms::{Caveat, CaveatCode, Effort, Trust};
use serde::{Deserialize, Serialize};

use crate::Point;

/// `ClientBound`: "a generator thread busy, or waiting for a core, for > 85 % of the window".
const OCCUPIED_SHARE_MAX: f64 = 0.85;
/// From this share of the window on, waiting for a core is said to explain lag and read delay.
const QUEUED_SHARE_TOLD: f64 = 0.001;

/// What was seen of the generator, as the plan of a record keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// What each load thread did over the window.
    pub threads: Vec<Effort>,
    /// Connections that the limit on open files has room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_files: Option<u64>,
    /// Connections to one address that the range of local ports has room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_ports: Option<u64>,
}

/// The same as figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientFigures {
    /// Each load thread.
    pub threads: Vec<ThreadFigures>,
    /// Connections that were open at once: the sum of the threads' peaks.
    pub connections_peak: u64,
    /// Connections opened in the window.
    pub connections_opened: u64,
    /// Connections that the limit on open files has room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_files: Option<u64>,
    /// Connections to one address that the range of local ports has room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_ports: Option<u64>,
}

/// A load thread over the window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThreadFigures {
    /// "`busy` = CPU time of the thread, less `spin`, ÷ window" (docs/metrics.md, section 9).
    pub busy_share: f64,
    /// "`spin` = time awake ahead of something due, ÷ window".
    pub spin_share: f64,
    /// "`queued` = time ready to run and waiting for a core, ÷ window"; absent where the system
    /// does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_share: Option<f64>,
    /// Reads from sockets.
    pub reads: u64,
    /// Reads for each wait; absent without waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads_per_wait: Option<f64>,
}

impl ThreadFigures {
    /// Absent where the window is empty.
    fn of(effort: &Effort) -> Option<Self> {
        let wall = effort.wall.as_secs_f64();
        (wall > 0.0).then(|| Self {
            busy_share: effort.cpu.saturating_sub(effort.spun).as_secs_f64() / wall,
            spin_share: effort.spun.as_secs_f64() / wall,
            queued_share: effort.queued.map(|queued| queued.as_secs_f64() / wall),
            reads: effort.reads,
            reads_per_wait: (effort.waits > 0).then(|| effort.reads as f64 / effort.waits as f64),
        })
    }

    /// The share of the window in which the thread had something to do.
    fn occupied_share(&self) -> f64 {
        self.busy_share + self.queued_share.unwrap_or(0.0)
    }
}

impl ClientFigures {
    /// Absent where no thread saw any of the window.
    fn of(client: &Client) -> Option<Self> {
        let threads: Vec<_> = client.threads.iter().filter_map(ThreadFigures::of).collect();
        let efforts = || client.threads.iter();
        (!threads.is_empty()).then(|| Self {
            threads,
            connections_peak: efforts().map(|effort| u64::from(effort.connections)).sum(),
            connections_opened: efforts().map(|effort| effort.opened).sum(),
            room_files: client.room_files,
            room_ports: client.room_ports,
        })
    }

    /// Returns the thread that had the most to do.
    pub fn busiest(&self) -> Option<&ThreadFigures> {
        let by_occupation = |a: &&ThreadFigures, b: &&ThreadFigures| {
            a.occupied_share().total_cmp(&b.occupied_share())
        };
        self.threads.iter().max_by(by_occupation)
    }

    /// Returns the longest wait for a core, as a share of the window.
    pub fn queued_share(&self) -> Option<f64> {
        self.threads.iter().filter_map(|thread| thread.queued_share).max_by(f64::total_cmp)
    }
}

/// Adds to a point what was seen of the generator, and the doubts that follow.
pub fn attest(point: &mut Point, client: &Client) {
    point.client = ClientFigures::of(client);
    let Some(figures) = &point.client else { return };
    let caveats = &mut point.trust.caveats;
    if let Some(queued) = figures.queued_share().filter(|&share| share >= QUEUED_SHARE_TOLD) {
        let queued = 100.0 * queued;
        let why = format!("; a generator thread waited for a core for {queued:.1} % of the window");
        let lateness = |caveat: &&mut Caveat| {
            caveat.code == CaveatCode::ClientBound && caveat.lowers_to < Trust::Void
        };
        caveats.iter_mut().filter(lateness).for_each(|caveat| caveat.detail.push_str(&why));
    }
    // In the order of docs/metrics.md, section 9: after the doubts of the same kind.
    let place = caveats.partition_point(|caveat| caveat.code <= CaveatCode::ClientBound);
    if let Some(caveat) = occupied(figures) {
        caveats.insert(place, caveat);
    }
    let worst = caveats.iter().map(|caveat| caveat.lowers_to).max();
    point.trust.verdict = point.trust.verdict.max(worst.unwrap_or(Trust::Sound));
}

fn occupied(figures: &ClientFigures) -> Option<Caveat> {
    let over = |thread: &&ThreadFigures| thread.occupied_share() > OCCUPIED_SHARE_MAX;
    let busiest = figures.busiest().filter(over)?;
    let queued = busiest.queued_share.unwrap_or(0.0);
    let count = figures.threads.iter().filter(over).count();
    Some(Caveat {
        code: CaveatCode::ClientBound,
        lowers_to: Trust::Doubtful,
        detail: format!(
            "{count} of {} generator threads had no rest: the busiest worked for {:.0} % of the \
             window and waited for a core for {:.0} %",
            figures.threads.len(),
            100.0 * busiest.busy_share,
            100.0 * queued
        ),
        hint: if queued > busiest.busy_share / 4.0 {
            "other programs use the generator's cores: free them, or measure from another machine"
        } else {
            "give the generator more threads (`--threads`) where this machine has cores for them; \
             else lower the load"
        }
        .to_owned(),
    })
}

#[cfg(test)]
mod tests;
