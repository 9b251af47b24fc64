//! One operating point, measured.

use infermark_terms::slo::{LatencyFigure, Level, Subject};
use infermark_terms::{
    Caveat, ChunkRow, ConnectPhases, Nanos, Price, RequestRow, Slo, Stamp, StampSource, Trust,
};
use serde::{Deserialize, Serialize};

use crate::audit::{Evidence, audit};
use crate::details::{Curve, Sketch};
use crate::estimate::{Distribution, millis};
use crate::goodput::Goodput;
use crate::percentile::Percentile;
use crate::pool::Weighing;
use crate::population::{Member, Population, Roster};
use crate::rates::Spread;
use crate::ruling::{Bench, Levels};
use crate::sample::Sample;
use crate::span::Span;
use crate::streams::Streams;
use crate::{
    AddressShare, ClientFigures, ClientHost, Concurrency, Cost, Counts, Decision, Details, Energy,
    Estimate, Finding, Gpu, LoadPlan, Part, PointPlan, Rates, Ruling, SourceReport, Stimulus,
    Telemetry, TokenSource, WholeRun, WindowSearch, concurrency, figures, parts, rates, saturation,
    steady,
};

/// One operating point, measured. Its keys in JSON are a contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The load that was asked for.
    pub load: LoadPlan,
    /// The measured window.
    pub window: Window,
    /// How the requests due in the window ended.
    pub counts: Counts,
    /// Latencies, over requests due in the window.
    pub latency: Latency,
    /// Rates over the window; absent where it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<Rates>,
    /// Requests in flight over the window; absent where it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// How near the load that was sent came to the asked one; absent where nothing can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stimulus: Option<Stimulus>,
    /// Token counts.
    pub tokens: Tokens,
    /// The figures of each turn, over the sessions that came to it; empty where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub turns: Vec<Part>,
    /// The figures of each class; empty where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<Part>,
    /// How long connecting took, over the requests that opened a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_ms: Option<Estimate>,
    /// From the kernel's receive stamp to our clock after the read, over reads; absent without
    /// kernel stamps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_delay_ms: Option<Estimate>,
    /// Where the arrival instants come from; absent where nothing arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamps: Option<Stamps>,
    /// What tokens cost, where a price was stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// Whether more arrived than was answered, so that latencies hang on how long one looks.
    #[serde(default, skip_serializing_if = "is_false")]
    pub saturated: bool,
    /// Whether the objectives are met, one ruling for each bound but those of single requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slo: Vec<Ruling>,
    /// The generator's threads and limits; absent where nothing was seen of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientFigures>,
    /// The server's state and totals over the window, where it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Telemetry>,
    /// The GPUs that somebody reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<Gpu>,
    /// The energy of those whose power was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy: Option<Energy>,
    /// The generator's own host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_host: Option<ClientHost>,
    /// How well each source of telemetry could be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub telemetry: Vec<SourceReport>,
    /// What limits the server, the foremost first; empty where nobody told enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnosis: Vec<Finding>,
    /// What each address took of the requests, where there were several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressShare>,
    /// The verdict on the instrument.
    pub trust: Verdict,
}

impl Point {
    /// Adds what the tokens cost at this price.
    pub fn price(&mut self, price: Price) {
        self.cost = self.rates.as_ref().map(|rates| Cost::of(price, rates));
    }

    /// Returns a figure as objectives name it; nothing where it was not observed, or where each
    /// request has its own.
    pub fn value(&self, figure: Subject) -> Option<f64> {
        let level = match figure {
            Subject::Each(_) => return None,
            Subject::Latency(figure, statistic) => {
                return self.latency.of_figure(figure)?.statistic(statistic);
            }
            Subject::Level(level) => level,
        };
        let rates = self.rates;
        match level {
            Level::FailureRate => self.counts.failure_rate,
            Level::GoodShare => rates?.good_share,
            Level::GoodputRps => rates?.goodput_rps,
            Level::GoodputOutputTokensPerS => rates?.goodput_output_tokens_per_s,
            Level::RequestsPerS => Some(rates?.requests_per_s),
            Level::InputTokensPerS => rates?.input_tokens_per_s,
            Level::OutputTokensPerS => Some(rates?.output_tokens_per_s),
            Level::TotalTokensPerS => rates?.total_tokens_per_s,
            Level::OutputTokensPerSPerUser => rates?.output_tokens_per_s_per_user,
            Level::OutputTokensPerSPerGpu => rates?.output_tokens_per_s_per_gpu,
        }
    }

    /// Returns whether all objectives are met, those of classes too, any is missed, or it is
    /// undecided; nothing where none was given.
    pub fn decision(&self) -> Option<Decision> {
        let classes = self.classes.iter().filter_map(|class| Decision::of(&class.slo));
        classes.chain(Decision::of(&self.slo)).max()
    }
}

/// The measured window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Its first instant, in seconds since the run's epoch.
    pub start_s: f64,
    /// The first instant after it.
    pub end_s: f64,
    /// How it came about.
    pub found: Found,
    /// The same rates over the whole run; absent where nothing was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_run: Option<WholeRun>,
}

/// How the window came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Found {
    /// By the plan.
    Given,
    /// It is the steady stretch of what the plan gave.
    Detected,
    /// By the plan, in which no steady stretch was found.
    None,
}

/// Returns the window that is measured, and how it came about.
fn find(plan: &PointPlan, requests: &[RequestRow], roster: &Roster<'_>) -> (Span, Found) {
    let given = Span::measured(plan.window, requests);
    match plan.search {
        WindowSearch::Given => (given, Found::Given),
        WindowSearch::Detect => {
            let loaded = given.loaded(requests);
            match steady::beginning(plan.load, roster.rows(), loaded) {
                Some(start) => (Span { start, ..loaded }, Found::Detected),
                None => (given, Found::None),
            }
        }
    }
}

/// Latencies over the requests due in the window; all but `lag_ms` over successes. Each is absent
/// where it was not observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// From due to the first chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_ms: Option<Estimate>,
    /// From sent to the first chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_ttft_ms: Option<Estimate>,
    /// From due to the first chunk of answer text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttfa_ms: Option<Estimate>,
    /// Time per output token after the first, of answers that took more than one read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpot_ms: Option<Estimate>,
    /// Gaps between tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub itl_ms: Option<Estimate>,
    /// Gaps between chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icl_ms: Option<Estimate>,
    /// From due to the last chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e2e_ms: Option<Estimate>,
    /// From sent to the last chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_e2e_ms: Option<Estimate>,
    /// From due to sent, less connecting; over all requests that were sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_ms: Option<Estimate>,
    /// The longest gap of each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stall_ms: Option<Estimate>,
}

/// Token counts of the requests due in the window: means and shares over successes, totals over
/// all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tokens {
    /// Input tokens of a request, by the server's count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_mean: Option<f64>,
    /// Output tokens of a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_mean: Option<f64>,
    /// Output tokens ÷ chunks of streamed answers: above 1 with speculative decoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_chunk_mean: Option<f64>,
    /// Where the output counts come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<TokenSource>,
    /// All input tokens, by the server's count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_total: Option<u64>,
    /// All output tokens, of failures too.
    pub output_total: u64,
    /// The share of input tokens that the server took from a prefix cache, where it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_share: Option<f64>,
    /// The share of chunks that came in one read with an earlier one: gaps not observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coalesced_share: Option<f64>,
}

/// Where arrival instants come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stamps {
    /// The kernel's receive timestamps.
    Kernel,
    /// Our clock, after each read.
    Clock,
    /// Not the same for all requests.
    Mixed,
}

/// How far the figures can be trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The worst that any caveat lowers it to.
    pub verdict: Trust,
    /// Every doubt.
    pub caveats: Vec<Caveat>,
}

/// Measures one operating point.
///
/// `requests` are all rows of the run, warm-up and cool-down included, in any order, with unique
/// ids; `chunks` those of the requests, in the order of arrival within each request. Chunks may
/// be missing, where they were not kept: the figures that need them are then absent, and output
/// rates are estimated from the first and last chunk of each request.
pub fn measure(
    plan: &PointPlan,
    requests: &[RequestRow],
    chunks: impl IntoIterator<Item = ChunkRow>,
) -> Point {
    measure_in_detail(plan, requests, chunks).0
}

/// Judges one operating point by each of these objectives in place of its plan's, in one pass.
pub fn rulings(
    plan: &PointPlan,
    slos: &[Slo],
    requests: &[RequestRow],
    chunks: impl IntoIterator<Item = ChunkRow>,
) -> Vec<Vec<Ruling>> {
    weigh(plan, &slos.iter().collect::<Vec<_>>(), requests, chunks).2
}

/// Measures one operating point likewise, and draws it for a report, in the same pass.
pub fn measure_in_detail(
    plan: &PointPlan,
    requests: &[RequestRow],
    chunks: impl IntoIterator<Item = ChunkRow>,
) -> (Point, Details) {
    let (mut point, details, mut rulings) = weigh(plan, &[&plan.slo], requests, chunks);
    // There is one objective.
    point.slo = rulings.pop().unwrap_or_default();
    (point, details)
}

/// Measures and draws one operating point, and judges it by each of these objectives. The point
/// has the goodput of the first, and no rulings.
fn weigh(
    plan: &PointPlan,
    slos: &[&Slo],
    requests: &[RequestRow],
    chunks: impl IntoIterator<Item = ChunkRow>,
) -> (Point, Details, Vec<Vec<Ruling>>) {
    let run = Span::whole_run(requests.iter());
    let roster = &Roster::new(requests);
    let (window, found) = find(plan, requests, roster);
    let population = &Population::new(roster, window, plan.output_policy);
    let mut sketch = Sketch::new(roster);
    let chunks = chunks.into_iter().inspect(|chunk| sketch.take(chunk));
    let mut streams = Streams::read(roster, population, window, chunks);
    let rates = rates::in_window(roster, &streams, window);
    let whole_run = rates::in_whole_run(roster, &streams, run);
    let delays = streams.delays.observations();
    let read_delay_ms = delays.as_ref().map(Estimate::of);
    let read_delay_low = delays.and_then(|delays| delays.percentile_ends(Percentile::P99)[0]);
    let goodputs: Vec<_> = slos.iter().map(|slo| Goodput::of(slo, population, &streams)).collect();
    let mut bench = Bench::new(slos);
    let turns = parts::turns(population, &mut streams);
    let (latency, gaps) = Latency::of(population, streams, &mut bench);
    let counts = Counts::of(population);
    let spread = Spread::of(roster, window);
    let rates = rates.zip(window.seconds()).map(|(rates, seconds)| {
        rates
            .shared(latency.tpot_ms.map(|tpot| tpot.mean), plan.gpus)
            .with_spread(spread)
            .with_goodput(goodputs.first().and_then(Option::as_ref), seconds)
    });
    let levels = Levels {
        counts: &counts,
        rates,
        spread,
        goodput: None,
        tpot_ms: latency.tpot_ms,
        seconds: window.seconds(),
        gpus: plan.gpus,
    };
    let rulings = bench.rule(&goodputs, &levels);
    let saturation = saturation::backlog(plan.load, roster, population);
    let mut point = Point {
        load: plan.load,
        window: Window::of(window, found, whole_run),
        counts,
        rates,
        latency,
        concurrency: concurrency::in_window(roster.rows(), window),
        stimulus: Stimulus::of(plan.load, roster, population, window),
        tokens: Tokens::of(population),
        turns,
        classes: Vec::new(),
        connect_ms: connect_ms(population),
        read_delay_ms,
        stamps: Stamps::of(population),
        cost: None,
        saturated: saturation.is_some(),
        slo: Vec::new(),
        client: None,
        server: None,
        gpus: Vec::new(),
        energy: None,
        client_host: None,
        telemetry: Vec::new(),
        diagnosis: Vec::new(),
        addresses: Vec::new(),
        trust: Verdict::of(Vec::new()),
    };
    let read_delay_low = read_delay_low.map(|low| millis(low as f64));
    let evidence = Evidence { plan, point: &point, roster, population, saturation, read_delay_low };
    point.trust = Verdict::of(audit(&evidence));
    (point, Details::of(population, gaps, sketch.finish()), rulings)
}

fn connect_ms(population: &Population<'_>) -> Option<Estimate> {
    let connecting = population.over_all(|row| row.connect.map(ConnectPhases::total));
    connecting.map(|sample| Estimate::of(&sample))
}

impl Window {
    /// Returns its first instant, and the first after it.
    pub fn span(&self) -> [Stamp; 2] {
        [self.start_s, self.end_s].map(|seconds| Stamp((seconds * 1e9).round() as u64))
    }

    fn of(span: Span, found: Found, whole_run: Option<WholeRun>) -> Self {
        let (start_s, end_s) = (span.start.as_secs_f64(), span.end.as_secs_f64());
        Self { start_s, end_s, found, whole_run }
    }
}

impl Verdict {
    /// Returns the verdict that these doubts make.
    pub fn of(caveats: Vec<Caveat>) -> Self {
        let verdict = caveats.iter().map(|caveat| caveat.lowers_to).max().unwrap_or(Trust::Sound);
        Self { verdict, caveats }
    }
}

impl Latency {
    /// Returns the estimate of a latency.
    pub fn of_figure(&self, figure: LatencyFigure) -> Option<Estimate> {
        match figure {
            LatencyFigure::Ttft => self.ttft_ms,
            LatencyFigure::ServiceTtft => self.service_ttft_ms,
            LatencyFigure::Ttfa => self.ttfa_ms,
            LatencyFigure::Tpot => self.tpot_ms,
            LatencyFigure::Itl => self.itl_ms,
            LatencyFigure::Icl => self.icl_ms,
            LatencyFigure::E2e => self.e2e_ms,
            LatencyFigure::ServiceE2e => self.service_e2e_ms,
            LatencyFigure::Lag => self.lag_ms,
            LatencyFigure::Stall => self.stall_ms,
        }
    }

    /// Returns every estimate, each under its figure.
    pub(crate) fn each_mut(&mut self) -> [(LatencyFigure, &mut Option<Estimate>); 10] {
        [
            (LatencyFigure::Ttft, &mut self.ttft_ms),
            (LatencyFigure::ServiceTtft, &mut self.service_ttft_ms),
            (LatencyFigure::Ttfa, &mut self.ttfa_ms),
            (LatencyFigure::Tpot, &mut self.tpot_ms),
            (LatencyFigure::Itl, &mut self.itl_ms),
            (LatencyFigure::Icl, &mut self.icl_ms),
            (LatencyFigure::E2e, &mut self.e2e_ms),
            (LatencyFigure::ServiceE2e, &mut self.service_e2e_ms),
            (LatencyFigure::Lag, &mut self.lag_ms),
            (LatencyFigure::Stall, &mut self.stall_ms),
        ]
    }

    /// Estimates every figure, before a bench that judges those that are bounded. Returns the
    /// distribution of the gaps between tokens, else between chunks, beside.
    fn of(
        population: &Population<'_>,
        streams: Streams,
        bench: &mut Bench<'_>,
    ) -> (Self, Option<(&'static str, Curve)>) {
        use LatencyFigure as F;
        let stalls = |member: &Member<'_>| streams.stall(member.place);
        let own = Self::of_requests(population, stalls, bench);
        let mut gaps = streams.gaps;
        let between_chunks = bench.estimate(F::Icl, gaps.observations());
        let chunks = gaps.curve(Weighing::Once).map(|curve| ("icl_ms", curve));
        let between_tokens = bench.estimate(F::Itl, gaps.per_token());
        let latency = Self { icl_ms: between_chunks, itl_ms: between_tokens, ..own };
        let tokens = gaps.curve(Weighing::Tokens).map(|curve| ("itl_ms", curve));
        (latency, tokens.or(chunks))
    }

    /// Estimates likewise the figures of which each request has one.
    pub(crate) fn of_requests(
        population: &Population<'_>,
        stall: impl Fn(&Member<'_>) -> Option<Nanos>,
        bench: &mut Bench<'_>,
    ) -> Self {
        use LatencyFigure as F;
        let stalls =
            Sample::new(population.successes().filter_map(stall).map(|gap| gap.0).collect());
        let mut over = |figure, of: fn(&RequestRow) -> Option<Nanos>| {
            bench.estimate(figure, population.over_successes(of))
        };
        Self {
            ttft_ms: over(F::Ttft, figures::ttft),
            service_ttft_ms: over(F::ServiceTtft, figures::service_ttft),
            ttfa_ms: over(F::Ttfa, figures::ttfa),
            tpot_ms: over(F::Tpot, figures::tpot),
            e2e_ms: over(F::E2e, figures::e2e),
            service_e2e_ms: over(F::ServiceE2e, figures::service_e2e),
            lag_ms: bench.estimate(F::Lag, population.over_all(figures::lag)),
            stall_ms: bench.estimate(F::Stall, stalls),
            ..Self::default()
        }
    }
}

impl Tokens {
    pub(crate) fn of(population: &Population<'_>) -> Self {
        let (mut input, mut output, mut per_chunk) = (Ratio::NONE, Ratio::NONE, Ratio::NONE);
        let (mut cached, mut coalesced) = (Ratio::NONE, Ratio::NONE);
        let mut source = None;
        for row in population.successes().map(|member| member.row) {
            let (count, from) = figures::output_tokens(row);
            output.add(count, 1);
            per_chunk.add(if row.chunks > 0 { count } else { 0 }, row.chunks);
            coalesced.add(row.coalesced, row.chunks);
            source = Some(agreed(source, from, TokenSource::Mixed));
            if let Some(usage) = row.usage {
                input.add(usage.prompt_tokens, 1);
                if let Some(hits) = usage.cached_tokens {
                    cached.add(hits, usage.prompt_tokens);
                }
            }
        }
        let rows = || population.members().iter().map(|member| member.row);
        let prompts = || rows().filter_map(|row| row.usage).map(|u| u64::from(u.prompt_tokens));
        Self {
            input_mean: input.value(),
            output_mean: output.value(),
            per_chunk_mean: per_chunk.value(),
            source,
            input_total: prompts().next().map(|_| prompts().sum()),
            output_total: rows().map(|row| u64::from(figures::output_tokens(row).0)).sum(),
            cached_share: cached.value(),
            coalesced_share: coalesced.value(),
        }
    }
}

impl Stamps {
    fn of(population: &Population<'_>) -> Option<Self> {
        let heard = population.members().iter().filter(|m| m.row.first_byte.is_some());
        heard.fold(None, |all, member| {
            let one = match member.row.stamps {
                StampSource::Kernel => Self::Kernel,
                StampSource::Clock => Self::Clock,
            };
            Some(agreed(all, one, Self::Mixed))
        })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Returns what all so far and the next agree on, else `mixed`.
fn agreed<T: PartialEq + Copy>(so_far: Option<T>, next: T, mixed: T) -> T {
    if so_far.is_none_or(|so_far| so_far == next) { next } else { mixed }
}

/// A ratio of two sums.
#[derive(Clone, Copy, Debug)]
struct Ratio {
    above: u64,
    below: u64,
}

impl Ratio {
    const NONE: Self = Self { above: 0, below: 0 };

    fn add(&mut self, above: u32, below: u32) {
        self.above += u64::from(above);
        self.below += u64::from(below);
    }

    fn value(self) -> Option<f64> {
        (self.below > 0).then(|| self.above as f64 / self.below as f64)
    }
}
