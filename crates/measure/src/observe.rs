//! What was observed beside the client's own record, added to a point: the server's figures, the
//! GPUs', the doubts that follow from comparing both sides, and what limits the server.

use infermark_terms::{Caveat, CaveatCode, Metric, Outcome, RequestRow, Stamp, Trust, Usage};

use crate::diagnosis::diagnose;
use crate::span::Span;
use crate::telemetry::Observations;
use crate::{Engine, Point, SourceReport};

/// `CountsDisagree`: "client's token sum and the server's counter delta differ by > 0.5 %"
/// (docs/metrics.md, section 9).
const COUNTS_SHARE_MAX: f64 = 0.005;
/// `CacheContaminated`: "the server's prefix-cache hit rate exceeds the declared one by > 2
/// points".
const HIT_POINTS_MAX: f64 = 0.02;

/// Adds to a point what servers, GPUs and hosts said during its run, with the doubts that follow,
/// and says what limits the server.
///
/// `heard` is of the whole run. `shared_tokens` is how many input tokens the prompts share by
/// intent, the chat template's included; absent where that is not known, as of a dataset's
/// prompts. `server` is what the target says it is, for where its metrics do not tell.
pub fn observe(
    point: &mut Point,
    requests: &[RequestRow],
    heard: &Observations,
    shared_tokens: Option<u32>,
    server: Option<&str>,
) {
    let instant = |seconds: f64| Stamp((seconds * 1e9).round() as u64);
    let window = Span { start: instant(point.window.start_s), end: instant(point.window.end_s) };
    let output = point.rates.zip(window.seconds()).map(|(r, s)| r.output_tokens_per_s * s);
    point.server = heard.server(window);
    point.gpus = heard.gpus(window);
    point.energy = heard.energy(window, output);
    point.client_host = heard.client_host(window);
    point.telemetry = heard.sources();
    let doubts = [
        cache_contaminated(point, shared_tokens),
        began_anew(&point.telemetry).or_else(|| counts_disagree(heard, requests)),
    ];
    for doubt in doubts.into_iter().flatten() {
        point.trust.verdict = point.trust.verdict.max(doubt.lowers_to);
        point.trust.caveats.push(doubt);
    }
    let named = heard.engine_or(server);
    point.diagnosis = diagnose(point, named.and_then(Engine::named));
}

fn cache_contaminated(point: &Point, shared_tokens: Option<u32>) -> Option<Caveat> {
    let found = point.server?.prefix_hit_rate?;
    let declared = (f64::from(shared_tokens?) / point.tokens.input_mean?).min(1.0);
    (found > declared + HIT_POINTS_MAX).then(|| Caveat {
        code: CaveatCode::CacheContaminated,
        lowers_to: Trust::Doubtful,
        detail: format!(
            "the server found {:.1} % of the input tokens in its prefix cache, and the prompts \
             share {:.1} % by intent",
            100.0 * found,
            100.0 * declared
        ),
        hint: "were these prompts asked before? take another `--seed`, or restart the server"
            .to_owned(),
    })
}

fn began_anew(sources: &[SourceReport]) -> Option<Caveat> {
    let report = sources.iter().find(|report| report.resets > 0)?;
    Some(Caveat {
        code: CaveatCode::CountsDisagree,
        lowers_to: Trust::Doubtful,
        detail: format!(
            "the totals of {} fell {} times during the run",
            report.source, report.resets
        ),
        hint: "the server was restarted, or several answer under one address: name the page of \
               each with `--metrics`"
            .to_owned(),
    })
}

/// Compares the tokens of the whole run, which the server counted from before the first request
/// to after the last, with those that the answers' usage says.
fn counts_disagree(heard: &Observations, requests: &[RequestRow]) -> Option<Caveat> {
    let first = requests.iter().filter_map(|row| row.sent).min()?;
    let last = requests.iter().map(|row| row.end).max()?;
    let usages: Vec<Usage> = requests.iter().map(counted).collect::<Option<_>>()?;
    let sum = |pick: fn(&Usage) -> u32| usages.iter().map(|usage| u64::from(pick(usage))).sum();
    let sides: [(&str, u64, Metric); 2] = [
        ("input", sum(|usage| usage.prompt_tokens), Metric::PromptTokens),
        ("output", sum(|usage| usage.completion_tokens), Metric::GenerationTokens),
    ];
    sides.into_iter().find_map(|(what, client, metric)| {
        let server = heard.whole_rise(metric, first, last)?;
        let off = (server - client as f64).abs() > COUNTS_SHARE_MAX * client as f64;
        off.then(|| Caveat {
            code: CaveatCode::CountsDisagree,
            lowers_to: Trust::Doubtful,
            detail: format!(
                "the server counted {server:.0} {what} tokens during the run, and the answers' \
                 usage adds up to {client}"
            ),
            hint: "is anybody else using this server, or does `--metrics` name a part of it only?"
                .to_owned(),
        })
    })
}

/// Returns what the server counted of a request, as far as the client knows; nothing where it
/// cannot know, since the request broke off under way.
fn counted(row: &RequestRow) -> Option<Usage> {
    match row.outcome {
        Outcome::Finished { .. } => row.usage,
        Outcome::Refused { status, .. } if status < 500 => Some(Usage::default()),
        _ if row.sent.is_none() => Some(Usage::default()),
        Outcome::Refused { .. }
        | Outcome::Severed { .. }
        | Outcome::Garbled { .. }
        | Outcome::Errored { .. }
        | Outcome::Expired { .. }
        | Outcome::Shed { .. }
        | Outcome::Abandoned => None,
    }
}
