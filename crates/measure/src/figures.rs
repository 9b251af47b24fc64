//! The figures of one request. A figure that was not observed is absent.

use infermark_terms::{ConnectPhases, Nanos, Outcome, OutputPolicy, RequestRow, Stamp};
use serde::{Deserialize, Serialize};

/// Where a count of output tokens comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenSource {
    /// The server's usage.
    Server,
    /// Our tokenizer, over the whole output text.
    Tokenized,
    /// The number of chunks, for want of better.
    Chunks,
    /// Not the same for all requests.
    Mixed,
}

/// "**Output tokens** of a request: the server's `usage.completion_tokens` (which already
/// includes reasoning). Without usage: the tokenizer's count of the whole output text, marked
/// `tokenized`; without a tokenizer: the number of chunks, marked `chunks`" (docs/metrics.md,
/// section 2).
pub fn output_tokens(row: &RequestRow) -> (u32, TokenSource) {
    match (row.usage, row.tokenized) {
        (Some(usage), _) => (usage.completion_tokens, TokenSource::Server),
        (None, Some(count)) => (count, TokenSource::Tokenized),
        (None, None) => (row.chunks, TokenSource::Chunks),
    }
}

/// "`lag`: `sent − due`, less the time spent connecting: the generator's own lateness; never
/// hidden … Absent of a request that had to be sent again" (docs/metrics.md, section 3).
pub(crate) fn lag(row: &RequestRow) -> Option<Nanos> {
    if row.attempts > 1 {
        return None;
    }
    let connecting = row.connect.map_or(Nanos::ZERO, ConnectPhases::total);
    Some(row.sent?.since(row.due).saturating_sub(connecting))
}

/// "`ttft`: `first_token − due`: what a user waited" (docs/metrics.md, section 3).
pub(crate) fn ttft(row: &RequestRow) -> Option<Nanos> {
    Some(row.first_token?.since(row.due))
}

/// "`service_ttft`: `first_token − sent`: what most tools print" (docs/metrics.md, section 3).
pub(crate) fn service_ttft(row: &RequestRow) -> Option<Nanos> {
    Some(row.first_token?.since(row.sent?))
}

/// "`ttfa`: `first_answer − due`: time to first answer token" (docs/metrics.md, section 3).
pub(crate) fn ttfa(row: &RequestRow) -> Option<Nanos> {
    Some(row.first_answer?.since(row.due))
}

/// "`tpot`: `(last_token − first_token) / (output_tokens − 1)`, requests with ≥ 2 output tokens"
/// (docs/metrics.md, section 3), rounded to the nanosecond. Absent where one read brought the
/// first chunk and the last: the time between them was not observed.
pub(crate) fn tpot(row: &RequestRow) -> Option<Nanos> {
    let decode = row.last_token?.since(row.first_token?).0;
    let steps = u64::from(output_tokens(row).0.checked_sub(1).filter(|&steps| steps > 0)?);
    Some(Nanos((decode + steps / 2) / steps)).filter(|&tpot| tpot > Nanos::ZERO)
}

/// "`e2e`: `last_token − due`; non-streamed: `end` in place of `last_token`" (docs/metrics.md,
/// section 3).
pub(crate) fn e2e(row: &RequestRow) -> Option<Nanos> {
    Some(last(row)?.since(row.due))
}

/// "`service_e2e`: `last_token − sent`; non-streamed: `end` in place of `last_token`"
/// (docs/metrics.md, section 3).
pub(crate) fn service_e2e(row: &RequestRow) -> Option<Nanos> {
    Some(last(row)?.since(row.sent?))
}

/// Returns when the last of the output arrived.
fn last(row: &RequestRow) -> Option<Stamp> {
    row.last_token.or(is_whole(row).then_some(row.end))
}

/// Why a request is a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure<'a> {
    /// It did not finish.
    Unfinished(&'a Outcome),
    /// It finished without output.
    Empty,
    /// It finished with another number of tokens than was ordered.
    WrongLength,
}

/// "Success = `Finished` with at least one output token and, under an exact-length policy, the
/// length that was asked for. Everything else is a failure." (docs/metrics.md, section 6)
///
/// A length is held against a server only by the server's own count: tokenizing the text again
/// need not give the tokens that were generated, and chunks are not tokens.
pub(crate) fn failure(row: &RequestRow, policy: OutputPolicy) -> Option<Failure<'_>> {
    if !is_finished(row) {
        return Some(Failure::Unfinished(&row.outcome));
    }
    if policy == OutputPolicy::Nothing {
        return None;
    }
    let (count, source) = output_tokens(row);
    if count == 0 {
        return Some(Failure::Empty);
    }
    let judged = policy == OutputPolicy::Exact && source == TokenSource::Server;
    let wrong = judged && row.asked_output.is_some_and(|asked| asked != count);
    wrong.then_some(Failure::WrongLength)
}

/// Says whether the response ended as the protocol says.
pub(crate) fn is_finished(row: &RequestRow) -> bool {
    matches!(row.outcome, Outcome::Finished { .. })
}

/// Says whether an answer came as one body at the end: it has output and no chunks.
pub(crate) fn is_whole(row: &RequestRow) -> bool {
    is_finished(row) && row.chunks == 0
}
