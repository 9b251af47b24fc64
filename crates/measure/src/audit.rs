//! The instrument's doubts about its own result: those of docs/metrics.md, section 9, that
//! follow from the plan and the rows alone.
//!
//! Not here: doubts that need the server's metrics (`CacheContaminated`, `CountsDisagree`:
//! `observe`), or knowledge of model and hardware (`BelowPhysics`: `physics`).

use infermark_terms::{
    Caveat, CaveatCode, Nanos, Outcome, OutputPolicy, RequestRow, StampSource, TransportFault,
    Trust,
};

use crate::concurrency::sweep;
use crate::figures::{self, TokenSource, is_finished, output_tokens};
use crate::percentile::Percentile;
use crate::plan::tenth_rank;
use crate::population::{Population, Roster};
use crate::saturation::Backlog;
use crate::span::Span;
use crate::{ArrivalLaw, Build, Found, LoadPlan, Point, PointPlan, Stamps, WindowPlan};

// Thresholds of docs/metrics.md, section 9.

/// `ClientBound`: "lag p99 > 5 % of TTFT p50".
const LAG_SHARE_MAX: f64 = 0.05;
/// From here on the lag is no blemish of the figures but their substance. Of a batch, whose lag is
/// the sending itself, only this much is held against the generator.
const LAG_SHARE_VOID: f64 = 0.5;
/// `ClientBound`: "or > 1 ms at low rates".
const LAG_MS_MAX: f64 = 1.0;
/// Rates of open loops below this are low: a generator then has nothing to do most of the time.
const LOW_RATE_RPS: f64 = 100.0;
/// `ClientBound`: "the whole 95 % interval of read delay p99 > 1 ms".
const READ_DELAY_MS_MAX: f64 = 1.0;
/// From this many requests in flight on, more threads may relieve the generator.
const THREADED_PEAK_MIN: u64 = 64;
/// `StimulusOff`: "achieved rate differs from the asked one by > 1 %".
const RATE_SHARE_MAX: f64 = 0.01;
/// `PromptLengthOff`, `OutputLengthOff`: "mean by > 1 %".
const LENGTH_SHARE_MAX: f64 = 0.01;
/// The Kolmogorov–Smirnov test fails below this probability.
const FIT_P_MIN: f64 = 0.001;
/// `StimulusOff` of a trace: how far its requests may be from its own instants, as a share of the
/// time between its first and last, and at least.
const TRACE_SHARE_MAX: f64 = 0.01;
const TRACE_SLACK_S: f64 = 0.05;
/// How far two stamps may contradict the timeline's order: the kernel's receive stamps and our
/// clock are two clocks, compared once in a while.
const ORDER_SLACK: Nanos = Nanos::from_millis(1);
/// With fewer successes not only the 99th percentile is missing: those that are given say little.
const SUCCESSES_MIN: u64 = 20;
/// `MixedSources`: up to this share of the clock's stamps are those of a process's first
/// connections, which may come before the kernel begins to stamp.
const CLOCK_SHARE_MAX: f64 = 0.1;
/// The fewest responses of which that share is judged.
const STAMPED_MIN: usize = 20;

/// What the audit looks at.
pub(crate) struct Evidence<'a> {
    pub(crate) plan: &'a PointPlan,
    /// The result, but for its verdict.
    pub(crate) point: &'a Point,
    pub(crate) roster: &'a Roster<'a>,
    pub(crate) population: &'a Population<'a>,
    pub(crate) saturation: Option<Backlog>,
    /// The lower end of the 95 % interval of the read delay's p99, in milliseconds.
    pub(crate) read_delay_low: Option<f64>,
}

/// Returns every doubt, in the order of docs/metrics.md, section 9.
pub(crate) fn audit(evidence: &Evidence<'_>) -> Vec<Caveat> {
    let checks = [
        limited_here,
        late_sends,
        late_reads,
        arrivals_missing,
        rate_off,
        law_off,
        trace_off,
        prompt_length_off,
        output_length_off,
        timeline_broken,
        latency_identity_broken,
        littles_law_broken,
        rate_above_concurrency,
        peak_below_mean,
        not_steady,
        saturated,
        too_few_samples,
        mixed_counts,
        mixed_stamps,
        debug_build,
    ];
    checks.iter().filter_map(|check| check(evidence)).collect()
}

/// A request that this machine could not carry says nothing of the server, and the server's load
/// was not the one that was asked for.
fn limited_here(evidence: &Evidence<'_>) -> Option<Caveat> {
    let members = evidence.population.members().iter();
    let mut limits = members.filter_map(|member| {
        let Outcome::Severed { fault, .. } = &member.row.outcome else { return None };
        matches!(fault, TransportFault::LocalLimit(_)).then_some(fault)
    });
    let first = limits.next()?;
    Some(Caveat {
        code: CaveatCode::ClientBound,
        lowers_to: Trust::Void,
        detail: format!(
            "this machine could not carry {} of the {} requests due in the window: {first}",
            1 + limits.count(),
            evidence.point.counts.due
        ),
        hint: "raise the limit of open files (`ulimit -n`) or, where ports ran out, their range; \
               else lower the load"
            .to_owned(),
    })
}

fn late_sends(evidence: &Evidence<'_>) -> Option<Caveat> {
    let latency = &evidence.point.latency;
    let (name, lag) = latency.lag_ms.as_ref()?.tail();
    // Answers that are not streamed have no TTFT: they are felt at their end.
    let felt = latency.ttft_ms.map(|ttft| ("TTFT", ttft)).or(latency.e2e_ms.map(|e| ("E2E", e)));
    let share = felt.map_or(0.0, |(_, felt)| lag / felt.p50);
    let open_rate = match evidence.plan.load {
        LoadPlan::Open { rate_rps, .. } => Some(rate_rps),
        LoadPlan::Trace { rate_rps, .. } => rate_rps,
        LoadPlan::Closed { .. } => None,
    };
    let late_at_leisure = open_rate.is_some_and(|rps| rps < LOW_RATE_RPS) && lag > LAG_MS_MAX;
    let lowers_to = match (share > LAG_SHARE_VOID, is_one_batch(evidence)) {
        (true, false) => Trust::Void,
        (true, true) => Trust::Doubtful,
        (false, false) if share > LAG_SHARE_MAX || late_at_leisure => Trust::Doubtful,
        (false, _) => return None,
    };
    let beside = felt.map_or(String::new(), |(figure, felt)| {
        format!(", beside a median {figure} of {:.3} ms", felt.p50)
    });
    let cap = match open_rate {
        Some(_) => "; where a concurrency cap held requests back, raise it or lower the rate",
        None => "",
    };
    Some(Caveat {
        code: CaveatCode::ClientBound,
        lowers_to,
        detail: format!("requests left late: {name} of the lag is {lag:.3} ms{beside}"),
        hint: format!("{}{cap}", relief(evidence)),
    })
}

/// Says whether all requests of a closed load were due at once, as in a throughput run: their lag
/// is then the sending of the batch.
fn is_one_batch(evidence: &Evidence<'_>) -> bool {
    let closed = matches!(evidence.plan.load, LoadPlan::Closed { .. });
    match evidence.population.members() {
        // Members are in the order of due.
        [first, .., last] => closed && first.row.due == last.row.due,
        _ => false,
    }
}

/// Reads that a hiccup of the machine delayed, all at once, are no proof that the generator is
/// short of time: those of a generator that is are late throughout, and so is the interval's end.
fn late_reads(evidence: &Evidence<'_>) -> Option<Caveat> {
    let (name, delay) = evidence.point.read_delay_ms.as_ref()?.tail();
    let surely = evidence.read_delay_low.unwrap_or(delay);
    (delay > READ_DELAY_MS_MAX && surely > READ_DELAY_MS_MAX).then(|| Caveat {
        code: CaveatCode::ClientBound,
        lowers_to: Trust::Doubtful,
        detail: format!("responses waited to be read: {name} of the read delay is {delay:.3} ms"),
        hint: relief(evidence).to_owned(),
    })
}

/// Says what may relieve the generator: a light load is carried by one thread.
fn relief(evidence: &Evidence<'_>) -> &'static str {
    match evidence.point.concurrency {
        Some(concurrency) if concurrency.peak >= THREADED_PEAK_MIN => {
            "free this machine's cores, or give the generator more threads"
        }
        _ => "free this machine's cores",
    }
}

/// Compares how many arrivals were sent in the window with how many were due in it. One more or
/// less is the window's edge.
fn arrivals_missing(evidence: &Evidence<'_>) -> Option<Caveat> {
    let sent = evidence.point.stimulus?.sent?;
    let due = evidence.point.counts.due;
    let missed = due.abs_diff(sent);
    (missed > 1 && missed as f64 > RATE_SHARE_MAX * due as f64).then(|| Caveat {
        code: CaveatCode::StimulusOff,
        lowers_to: Trust::Doubtful,
        detail: format!("{due} requests were due in the window and {sent} were sent in it"),
        hint: "see why requests were not sent or left late: refused connections, a concurrency \
               cap, or a generator short of cores"
            .to_owned(),
    })
}

/// Compares the rate at which constant arrivals were sent with the asked one: their gaps have no
/// spread to test.
fn rate_off(evidence: &Evidence<'_>) -> Option<Caveat> {
    let (rate_rps, _) = asked(evidence).filter(|&(_, law)| law == ArrivalLaw::Constant)?;
    let share = evidence.point.stimulus?.rate_share?;
    ((share - 1.0).abs() > RATE_SHARE_MAX).then(|| Caveat {
        code: CaveatCode::StimulusOff,
        lowers_to: Trust::Doubtful,
        detail: format!(
            "requests left at {:.3}/s, and {rate_rps}/s was asked for",
            share * rate_rps
        ),
        hint: "lower the rate, raise the concurrency cap, or free this machine's cores".to_owned(),
    })
}

/// Says where the gaps between arrivals do not follow the law that was asked for.
fn law_off(evidence: &Evidence<'_>) -> Option<Caveat> {
    let (rate_rps, law) = asked(evidence)?;
    let fit = evidence.point.stimulus?.gaps.filter(|fit| fit.p < FIT_P_MIN)?;
    let (percent, p) = (100.0 * fit.ks_distance, fit.p);
    Some(Caveat {
        code: CaveatCode::StimulusOff,
        lowers_to: Trust::Doubtful,
        detail: format!(
            "the gaps between arrivals differ from `{law}` at {rate_rps}/s by {percent:.1} % \
             (Kolmogorov–Smirnov p = {p:.1e})"
        ),
        hint: "measure for longer or from another seed; should it come again, report it as a \
               fault of infermark"
            .to_owned(),
    })
}

/// Compares when requests left with the trace's own instants, at each tenth of its requests. What
/// a run that was cut short no longer reached is not missed.
fn trace_off(evidence: &Evidence<'_>) -> Option<Caveat> {
    let LoadPlan::Trace { requests, deciles_s, .. } = evidence.plan.load else { return None };
    let (start, end) = match evidence.plan.window {
        WindowPlan::Span { start, end } => (start, end),
        WindowPlan::Whole { start } => (start, evidence.roster.rows().last()?.due),
    };
    let length_s = end.since(start).as_secs_f64();
    let last = requests.checked_sub(1)?;
    let slack_s = (TRACE_SHARE_MAX * (deciles_s[10] - deciles_s[0])).max(TRACE_SLACK_S);
    // By id, which is by due; the window that was found in the planned one does not matter.
    let rows = evidence.roster.rows();
    let rows = &rows[rows.partition_point(|row| row.due < start)..];
    let left_s = |rank: u64| {
        let row = rows.get(rank as usize)?;
        Some(row.sent.unwrap_or(row.due).since(start).as_secs_f64())
    };
    let reached = (0..).zip(deciles_s).filter(|(_, due_s)| due_s + slack_s < length_s);
    let mut off = reached.filter_map(|(tenth, due_s)| {
        let left_s = left_s(tenth_rank(tenth, last));
        left_s.is_none_or(|left_s| (left_s - due_s).abs() > slack_s).then_some((due_s, left_s))
    });
    let (due_s, left_s) = off.next()?;
    let left = left_s.map_or("never left".to_owned(), |left_s| format!("left at {left_s:.3} s"));
    Some(Caveat {
        code: CaveatCode::StimulusOff,
        lowers_to: Trust::Doubtful,
        detail: format!("a request that the trace has {due_s:.3} s into the window {left}"),
        hint: "see why requests left late: a concurrency cap, or a generator short of cores; \
               else lower the time scale"
            .to_owned(),
    })
}

/// Returns the rate and the law of an open loop.
fn asked(evidence: &Evidence<'_>) -> Option<(f64, ArrivalLaw)> {
    let LoadPlan::Open { rate_rps, arrivals, .. } = evidence.plan.load else { return None };
    Some((rate_rps, arrivals))
}

fn prompt_length_off(evidence: &Evidence<'_>) -> Option<Caveat> {
    let lengths = Lengths::of(evidence, |row| Some((row.asked_input?, row.usage?.prompt_tokens)));
    (lengths.excess()?.abs() > LENGTH_SHARE_MAX).then(|| Caveat {
        code: CaveatCode::PromptLengthOff,
        lowers_to: Trust::Doubtful,
        detail: format!("the server counted prompts of {lengths}"),
        hint: "give the model's own tokenizer, so that prompts are cut by the server's tokens"
            .to_owned(),
    })
}

/// Under a natural policy the asked length is a limit, so only more than that is off.
fn output_length_off(evidence: &Evidence<'_>) -> Option<Caveat> {
    let counted = |row: &RequestRow| {
        let (count, source) = output_tokens(row);
        (source != TokenSource::Chunks).then_some(count)
    };
    let lengths = Lengths::of(evidence, |row| Some((row.asked_output?, counted(row)?)));
    let excess = lengths.excess()?;
    let (off, hint) = match evidence.plan.output_policy {
        OutputPolicy::Exact => (
            lengths.ordered_differently > 0 || excess.abs() > LENGTH_SHARE_MAX,
            "the server may not know how to ignore the end of sequence, or the model's context \
             may be too short; ask for less, or for a natural length",
        ),
        OutputPolicy::Natural => (
            excess > LENGTH_SHARE_MAX,
            "the server exceeds the limit that it was given; see which name it knows the limit by",
        ),
        OutputPolicy::Nothing => return None,
    };
    off.then(|| Caveat {
        code: CaveatCode::OutputLengthOff,
        lowers_to: Trust::Doubtful,
        detail: format!("answers had {lengths}"),
        hint: hint.to_owned(),
    })
}

/// Asked and served lengths of the requests that finished, where both are known.
#[derive(Clone, Copy, Debug, Default)]
struct Lengths {
    requests: u64,
    asked: u64,
    served: u64,
    /// Requests whose length, by the server's own count, is not the asked one.
    ordered_differently: u64,
}

impl Lengths {
    fn of(
        evidence: &Evidence<'_>,
        asked_and_served: impl Fn(&RequestRow) -> Option<(u32, u32)>,
    ) -> Self {
        let mut sums = Self::default();
        for row in evidence.population.members().iter().map(|member| member.row) {
            if !is_finished(row) {
                continue;
            }
            if let Some((asked, served)) = asked_and_served(row) {
                sums.requests += 1;
                sums.asked += u64::from(asked);
                sums.served += u64::from(served);
                sums.ordered_differently += u64::from(row.usage.is_some() && asked != served);
            }
        }
        sums
    }

    /// Returns by which share the served mean exceeds the asked one.
    fn excess(self) -> Option<f64> {
        (self.asked > 0).then(|| self.served as f64 / self.asked as f64 - 1.0)
    }
}

impl std::fmt::Display for Lengths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mean = |sum: u64| sum as f64 / self.requests as f64;
        write!(
            f,
            "{:.2} tokens in the mean, and {:.2} were asked for; {} of {} differ",
            mean(self.served),
            mean(self.asked),
            self.ordered_differently,
            self.requests
        )
    }
}

/// `due ≤ sent ≤ first_byte ≤ first_token ≤ last_token ≤ end`. Of requests that finished: a server
/// may refuse one, and a connection break, before the last byte was sent.
fn timeline_broken(evidence: &Evidence<'_>) -> Option<Caveat> {
    let broken = |row: &RequestRow| {
        let later = [row.sent, row.first_byte, row.first_token, row.last_token, Some(row.end)];
        let mut before = row.due;
        later.into_iter().flatten().any(|at| {
            let contradiction = before.since(at);
            before = at;
            contradiction > ORDER_SLACK
        })
    };
    let rows = evidence.roster.rows().iter();
    let mut broken = rows.filter(|row| is_finished(row) && broken(row));
    let first = broken.next()?;
    Some(identity_broken(format!(
        "the instants of {} requests contradict their order, first of request {}",
        1 + broken.count(),
        first.id
    )))
}

/// "E2E = TTFT + TPOT·(n−1)", to the rounding of TPOT: half a nanosecond for each token.
fn latency_identity_broken(evidence: &Evidence<'_>) -> Option<Caveat> {
    let mut broken = evidence.population.successes().map(|member| member.row).filter(|row| {
        let figures = (figures::e2e(row), figures::ttft(row), figures::tpot(row));
        let (Some(e2e), Some(ttft), Some(tpot)) = figures else { return false };
        let tokens = u64::from(output_tokens(row).0);
        e2e.0.abs_diff((ttft + tpot * (tokens - 1)).0) > tokens
    });
    let first = broken.next()?;
    Some(identity_broken(format!(
        "E2E is not TTFT + TPOT·(n−1) for {} requests, first for request {}",
        1 + broken.count(),
        first.id
    )))
}

/// Little's law, L = λ·W, over all requests from the first `sent` to the last `end`: there it
/// holds exactly, since none is cut off. Both sides are multiplied by the length of the run.
fn littles_law_broken(evidence: &Evidence<'_>) -> Option<Caveat> {
    let rows = evidence.roster.rows();
    let run = Span::whole_run(rows.iter().copied())?;
    let sojourns: u128 =
        rows.iter().filter_map(|row| Some(u128::from(row.end.since(row.sent?).0))).sum();
    let area = sweep(rows, run).area;
    (area != sojourns).then(|| {
        identity_broken(format!(
            "Little's law fails: requests spent {sojourns} ns in flight, and {area} ns were counted"
        ))
    })
}

/// "rate ≤ concurrency/TPOT", of the tokens after the first, over all requests from the first
/// `sent` to the last `end`. Both sides are multiplied by the length of the run and by TPOT, whose
/// rounding is half a nanosecond for each token.
fn rate_above_concurrency(evidence: &Evidence<'_>) -> Option<Caveat> {
    let rows = evidence.roster.rows();
    let (mut answering, mut rounding) = (0_u128, 0_u128);
    for row in rows.iter().filter(|row| is_finished(row) && row.sent.is_some()) {
        let Some(tpot) = figures::tpot(row) else { continue };
        let gaps = u128::from(output_tokens(row).0) - 1;
        answering += u128::from(tpot.0) * gaps;
        rounding += gaps + 2 * u128::from(ORDER_SLACK.0);
    }
    let run = Span::whole_run(rows.iter().copied())?;
    let in_flight = sweep(rows, run).area;
    (answering > in_flight + rounding).then(|| {
        identity_broken(format!(
            "the rate exceeds concurrency ÷ TPOT: answers took {answering} ns from their first \
             token to their last, and their requests were in flight for {in_flight} ns"
        ))
    })
}

fn peak_below_mean(evidence: &Evidence<'_>) -> Option<Caveat> {
    let concurrency = evidence.point.concurrency?;
    (concurrency.mean > concurrency.peak as f64 * (1.0 + f64::EPSILON)).then(|| {
        identity_broken(format!(
            "the mean concurrency {} exceeds the peak {}",
            concurrency.mean, concurrency.peak
        ))
    })
}

fn identity_broken(detail: String) -> Caveat {
    Caveat {
        code: CaveatCode::IdentityBroken,
        lowers_to: Trust::Void,
        detail,
        hint: "the record contradicts itself: keep it and report it as a fault of infermark; \
               a machine whose clock was stepped during the run would explain it too"
            .to_owned(),
    }
}

/// "\"No steady state\" is a result, printed as such." (docs/metrics.md, section 4)
fn not_steady(evidence: &Evidence<'_>) -> Option<Caveat> {
    (evidence.point.window.found == Found::None).then(|| Caveat {
        code: CaveatCode::NotSteady,
        lowers_to: Trust::Doubtful,
        detail: "no steady state was found: these figures are over the whole load".to_owned(),
        hint: "measure for longer; a load that is too much for the server never becomes steady"
            .to_owned(),
    })
}

fn saturated(evidence: &Evidence<'_>) -> Option<Caveat> {
    let Backlog { what, arrived, ended } = evidence.saturation?;
    Some(Caveat {
        code: CaveatCode::Saturated,
        lowers_to: Trust::Doubtful,
        detail: format!(
            "in the second half of the load {arrived} {what} arrived and {ended} ended: \
             latencies hang on how long the load lasts"
        ),
        hint: match evidence.plan.load {
            LoadPlan::Trace { .. } => "replay the trace more slowly (`--time-scale`)".to_owned(),
            LoadPlan::Open { .. } | LoadPlan::Closed { .. } => "lower the rate".to_owned(),
        },
    })
}

fn too_few_samples(evidence: &Evidence<'_>) -> Option<Caveat> {
    let counts = &evidence.point.counts;
    let (detail, lowers_to) = if counts.due == 0 {
        ("no request was due in the window".to_owned(), Trust::Void)
    } else if counts.success == 0 {
        (format!("none of the {} requests due in the window succeeded", counts.due), Trust::Void)
    } else if counts.success < Percentile::P99.size_min() {
        let detail = format!("{} successes are too few for a 99th percentile", counts.success);
        // Without it, what is given still holds, with its interval.
        let few = counts.success < SUCCESSES_MIN;
        (detail, if few { Trust::Doubtful } else { Trust::Sound })
    } else {
        return None;
    };
    let hint = match (counts.success, counts.reasons.first()) {
        (0, Some(first)) => format!("see to the most frequent failure first: {}", first.reason),
        _ => format!("measure at least {} successes", Percentile::P99.size_min()),
    };
    Some(Caveat { code: CaveatCode::TooFewSamples, lowers_to, detail, hint })
}

/// "The source is stored for each request; a run with mixed sources says so" (docs/metrics.md,
/// section 2).
fn mixed_counts(evidence: &Evidence<'_>) -> Option<Caveat> {
    (evidence.point.tokens.source == Some(TokenSource::Mixed)).then(|| Caveat {
        code: CaveatCode::MixedSources,
        lowers_to: Trust::Doubtful,
        detail: "output tokens were not counted in the same way for all requests".to_owned(),
        hint: "have the server report usage, or give a tokenizer".to_owned(),
    })
}

fn mixed_stamps(evidence: &Evidence<'_>) -> Option<Caveat> {
    if evidence.point.stamps != Some(Stamps::Mixed) {
        return None;
    }
    let members = evidence.population.members().iter();
    let heard = || members.clone().filter(|member| member.row.first_byte.is_some());
    let all = heard().count();
    let clock = heard().filter(|member| member.row.stamps == StampSource::Clock).count();
    (all >= STAMPED_MIN && clock as f64 > CLOCK_SHARE_MAX * all as f64).then(|| Caveat {
        code: CaveatCode::MixedSources,
        lowers_to: Trust::Doubtful,
        detail: format!(
            "the arrivals of {clock} of {all} responses carry the clock's stamps, and the others \
             the kernel's"
        ),
        hint: "compare only runs whose stamps have one source".to_owned(),
    })
}

fn debug_build(evidence: &Evidence<'_>) -> Option<Caveat> {
    (evidence.plan.build == Build::Debug).then(|| Caveat {
        code: CaveatCode::DebugBuild,
        lowers_to: Trust::Doubtful,
        detail: "the generator was built without optimisation".to_owned(),
        hint: "build it with `cargo build --release`".to_owned(),
    })
}
