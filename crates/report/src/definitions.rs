//! What each figure means, beside the figure: quoted from docs/metrics.md.

/// One figure's name and meaning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Definition {
    /// As it is shown.
    pub(crate) name: &'static str,
    /// What the name stands for.
    pub(crate) long: &'static str,
    /// A piece of docs/metrics.md, without its marks of code.
    pub(crate) quote: &'static str,
}

const fn define(name: &'static str, long: &'static str, quote: &'static str) -> Definition {
    Definition { name, long, quote }
}

/// All that pages explain, in the order of docs/metrics.md.
pub(crate) const ALL: [Definition; 24] = [
    define("lag", "the generator's own lateness", "sent − due, less the time spent connecting"),
    define("TTFT", "time to first token", "first_token − due"),
    define("service TTFT", "time to first token from sending", "first_token − sent"),
    define("TTFA", "time to first answer token", "first_answer − due"),
    define("E2E", "end to end", "last_token − due, last_token − sent"),
    define("TPOT", "time per output token", "(last_token − first_token) / (output_tokens − 1)"),
    define("ICL", "inter-chunk latency", "each gap between successive, non-coalesced chunks"),
    define(
        "ITL",
        "inter-token latency",
        "each gap divided by the tokens of the chunk that ends it, weighted by those tokens",
    ),
    define("stall", "a request's longest pause", "the longest gap"),
    define(
        "output tok/s",
        "output tokens per second",
        "output tokens/s = tokens of chunks that arrived in the window ÷ (w1 − w0), whichever \
         request they belong to",
    ),
    define(
        "requests/s",
        "requests per second",
        "requests/s = requests whose end fell in the window ÷ (w1 − w0)",
    ),
    define(
        "input tok/s",
        "input tokens per second",
        "input tokens/s = prompt tokens of requests whose first_token fell in the window ÷ \
         (w1 − w0)",
    ),
    define(
        "in flight",
        "concurrency",
        "time average over the window of requests in flight (sent to end)",
    ),
    define("tok/s/user", "output tokens per second for each user", "tokens/s/user = 1 / mean tpot"),
    define(
        "tok/s/GPU",
        "output tokens per second for each GPU",
        "tokens/s/gpu = output tokens/s ÷ GPUs of the deployment, where stated",
    ),
    define(
        "percentile",
        "p50, p90, p95, p99, p99.9",
        "nearest rank on raw samples, no interpolation, so that every printed figure was observed",
    ),
    define("mean", "the mean and its interval", "with a 95 % interval from batch means"),
    define(
        "failure",
        "what is not a success",
        "Success = Finished with at least one output token and, under an exact-length policy, the \
         length that was asked for. Everything else is a failure.",
    ),
    define("goodput", "good requests per second", "good requests due in the window ÷ window"),
    define(
        "SLO",
        "service-level objective",
        "A bound is met when the whole 95 % interval of its statistic lies inside, missed when it \
         lies outside, else undecided",
    ),
    define(
        "capacity",
        "the highest load that meets the objectives",
        "the highest offered rate (open loop, Poisson) or concurrency (closed loop) at which every \
         bound is met, given as an interval [highest met, lowest missed]",
    ),
    define(
        "saturated",
        "more arrives than is answered",
        "Latency at a saturated point depends on how long one looks: it is shown struck out, never \
         as a result.",
    ),
    define(
        "energy",
        "joules per output token",
        "power integrated (trapezoid) over the window ÷ output tokens, only where power was \
         measured",
    ),
    define(
        "cost",
        "the price of a million tokens",
        "$ per 1M output tokens = price per hour ÷ (output tokens/s × 3600) × 10⁶",
    ),
];

/// Returns the definition of a name that has one.
pub(crate) fn of(name: &str) -> Option<&'static Definition> {
    ALL.iter().find(|definition| definition.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_is_a_quote() {
        let plain = |text: &str| -> String {
            let text = text.replace(['`', '*'], "");
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let page = plain(include_str!("../../../docs/metrics.md"));
        for definition in &ALL {
            assert!(page.contains(&plain(definition.quote)), "{definition:?}");
        }
    }
}
