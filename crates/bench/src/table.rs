//! The tables that people read.

use anyhow::Result;

use infermark_calibrate::figures::Said;
use infermark_calibrate::server::Scheme;
use infermark_calibrate::{Launch, Load, Outcome, client, point};

use crate::{bare, write_out};

/// The loads of the comparison: streams, and tokens a second of each.
const LOADS: [(u32, u32); 4] = [(128, 50), (512, 50), (1024, 50), (4096, 10)];

/// The loads of plain HTTP against TLS.
const TLS_LOADS: [(u32, u32); 2] = [(128, 50), (512, 50)];

/// The ladder on which the limit is sought, in streams of 50 tokens a second.
const LADDER: [u32; 5] = [1280, 1440, 1600, 1760, 1920];

/// How long each load is measured.
const WINDOW_S: f64 = 5.0;

/// How often the cost is measured with each client, in turn.
const ROUNDS: usize = 3;

/// From the last stream's beginning to the window.
const SETTLE_NS: u64 = 2_000_000_000;

/// Which client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Bare,
    Infermark,
}

/// Measures a load with processes of this program.
fn measure(client: Client, load: Load, window_s: f64) -> Result<Outcome> {
    let launch = Launch { program: std::env::current_exe()?, words: Vec::new() };
    let role = match client {
        Client::Bare => bare::ROLE,
        Client::Infermark => client::ROLE,
    };
    Ok(point::measure(&launch, role, load, window_s)?)
}

/// A closed loop of streams with so many tokens a second each.
fn closed(streams: u32, per_second: u32) -> Load {
    Load {
        streams,
        rate: 0.0,
        // Requests of some three seconds.
        tokens: if per_second < 50 { per_second * 3 } else { 128 },
        ttft_ns: 100_000_000,
        itl_ns: 1_000_000_000 / u64::from(per_second),
        warmup_ns: u64::from(streams) * bare::STAGGER_NS + SETTLE_NS,
        scheme: Scheme::Http,
    }
}

/// Poisson arrivals.
fn open(rate: f64) -> Load {
    let (tokens, ttft_ns, itl_ns) = (16, 20_000_000, 5_000_000);
    Load { rate, tokens, ttft_ns, itl_ns, warmup_ns: SETTLE_NS, ..closed(0, 50) }
}

pub(crate) fn all() -> Result<()> {
    cost()?;
    tls()?;
    limit()?;
    memory()?;
    lag()
}

/// Prints the CPU time per token of both clients, by load.
pub(crate) fn cost() -> Result<()> {
    LOADS.iter().try_for_each(|&(streams, rate)| compare(streams, rate))
}

/// Prints one load with both clients.
pub(crate) fn compare(streams: u32, per_second: u32) -> Result<()> {
    let load = closed(streams, per_second);
    write_out(&format!("{streams} streams of {per_second} tok/s\n{HEAD}"))?;
    contest([("bare reader", Client::Bare, load), ("infermark", Client::Infermark, load)])
}

/// Prints the CPU time per token of infermark without TLS and with it, by load.
pub(crate) fn tls() -> Result<()> {
    for (streams, per_second) in TLS_LOADS {
        let plain = closed(streams, per_second);
        let secure = Load { scheme: Scheme::Https, ..plain };
        write_out(&format!("{streams} streams of {per_second} tok/s, infermark\n{HEAD}"))?;
        contest([("plain", Client::Infermark, plain), ("TLS", Client::Infermark, secure)])?;
    }
    Ok(())
}

/// Measures two in turn, and prints the ratio of what a token costs them.
fn contest(contenders: [(&str, Client, Load); 2]) -> Result<()> {
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let mut costs = [0.0; 2];
        for (cost, (name, client, load)) in costs.iter_mut().zip(contenders) {
            let outcome = measure(client, load, WINDOW_S)?;
            write_out(&row(name, &outcome))?;
            if client == Client::Infermark {
                write_out(&errors(&outcome))?;
            }
            *cost = outcome.us_per_token;
        }
        ratios.push(costs[1] / costs[0]);
    }
    ratios.sort_by(f64::total_cmp);
    let [low, .., high] = ratios[..] else { return Ok(()) };
    let middle = ratios[ratios.len() / 2];
    let [(first, ..), (second, ..)] = contenders;
    write_out(&format!("  {second} ÷ {first}: {middle:.2} ({low:.2} to {high:.2})\n\n"))
}

/// Prints how far both p99 errors stay below 1 %.
pub(crate) fn limit() -> Result<()> {
    write_out(&format!("the highest load, in streams of 50 tok/s\n{HEAD}"))?;
    let mut highest = 0.0_f64;
    for streams in LADDER {
        let ours = measure(Client::Infermark, closed(streams, 50), WINDOW_S)?;
        write_out(&row(&format!("{streams} streams"), &ours))?;
        write_out(&errors(&ours))?;
        if ours.worst_error() < 0.01 {
            highest = highest.max(ours.tokens_per_s);
        }
    }
    write_out(&format!("  both p99 errors below 1 % up to {highest:.0} tok/s\n\n"))
}

pub(crate) fn memory() -> Result<()> {
    let load = closed(4096, 10);
    let Said { resident: (idle, loaded), .. } = measure(Client::Infermark, load, 1.0)?.said;
    let each = (loaded - idle) as f64 / f64::from(load.streams) / 1024.0;
    write_out(&format!(
        "memory at {} streams: {each:.1} KiB a stream ({:.1} MiB idle, {:.1} MiB loaded)\n\n",
        load.streams,
        mib(idle),
        mib(loaded)
    ))
}

pub(crate) fn lag() -> Result<()> {
    let outcome = measure(Client::Infermark, open(1000.0), WINDOW_S)?;
    let lag = outcome.said.lag;
    write_out(&format!(
        "lag at 1,000 requests/s, Poisson: p50 {:.0} µs, p99 {:.0} µs, max {:.0} µs over {} \
         requests; process {:.0} % busy\n\n",
        us(lag.p50),
        us(lag.p99),
        us(lag.max),
        lag.count,
        outcome.busy * 100.0
    ))
}

const HEAD: &str = "                  µs/token   busy  server  achieved     tok/s  reads/wait\n";

fn row(name: &str, outcome: &Outcome) -> String {
    let Outcome { us_per_token, busy, server_busy, achieved, tokens_per_s, said, .. } = outcome;
    let reads = said.reads as f64 / said.waits.max(1) as f64;
    let (busy, server) = (busy * 100.0, server_busy * 100.0);
    format!(
        "  {name:<14}  {us_per_token:>8.2}  {busy:>4.0} %  {server:>4.0} %  {achieved:>8.4}  \
         {tokens_per_s:>8.0}  {reads:>10.2}\n"
    )
}

/// What infermark says beside what the server did.
fn errors(outcome: &Outcome) -> String {
    let Outcome { said, truth, true_ttft, .. } = outcome;
    let [p50, p99, itl] = outcome.errors();
    let pair = |name: &str, ours: u64, real: u64, error: f64| {
        format!("{name} {:.3} ({:.3}, {:+.2} %)  ", ms(ours), ms(real), error * 100.0)
    };
    format!(
        "    ms, with the truth and the error: {}{}{}\n    lag p99 {:.0} µs, read delay p99 {:.0} \
         µs, coalesced {:.2} %, failed {} of {}; server late p99 {:.0} µs, max {:.0} µs\n",
        pair("ttft p50", said.ttft.p50, true_ttft.p50, p50),
        pair("ttft p99", said.ttft.p99, true_ttft.p99, p99),
        pair("itl p99", said.itl.p99, truth.itl.p99, itl),
        us(said.lag.p99),
        us(said.read_delay.p99),
        said.coalesced as f64 / said.chunks.max(1) as f64 * 100.0,
        said.failed,
        said.requests,
        us(truth.late.p99),
        us(truth.late.max),
    )
}

fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}
