//! Whether requests are turns of sessions, and what goes with that.

use super::REQUESTS_MAX;
use super::desk::Desk;
use crate::intent::{Api, Counted, Load, Sessions, TurnCount};
use crate::settings::{API, CONCURRENCY_OF, DATASET, SESSIONS, Setting, THINK_TIME, TRACE, TURNS};
use crate::syntax::{self, Dataset, FileKind, count};

/// Settings that mean something in sessions alone.
static OF_SESSIONS: [&Setting; 3] = [&THINK_TIME, &CONCURRENCY_OF, &SESSIONS];

/// Returns what makes sessions of requests, where turns are asked for.
pub(super) fn sessions(
    desk: &mut Desk,
    load: &Load,
    dataset: &Dataset,
    api: Option<Api>,
) -> Option<Sessions> {
    let turns = desk.one(&TURNS, &syntax::TURNS);
    let think_time = desk.one(&THINK_TIME, &syntax::THINK_TIME);
    let counted = desk.one(&CONCURRENCY_OF, &syntax::COUNTED);
    let limit = desk.one(&SESSIONS, &count::<1, REQUESTS_MAX>());
    if !desk.is_given(&TURNS) {
        for setting in OF_SESSIONS {
            if desk.is_given(setting) {
                desk.refuse(&[setting], "there are no sessions", "give `turns` too");
            }
        }
        return None;
    }
    check(desk, load, dataset, api, turns);
    let closed = matches!(load, Load::Closed { .. } | Load::Throughput { .. });
    if !closed {
        let found = "only the slots of a closed loop hold sessions or requests";
        if desk.is_given(&CONCURRENCY_OF) {
            desk.refuse(&[&CONCURRENCY_OF], found, "leave it out");
        }
    }
    let think_time =
        think_time.unwrap_or_else(|| desk.default_of(&THINK_TIME, &syntax::THINK_TIME));
    let counted = match counted {
        Some(counted) => counted,
        None if closed => desk.default_of(&CONCURRENCY_OF, &syntax::COUNTED),
        None => Counted::Sessions,
    };
    Some(Sessions { turns: turns?, think_time, counted, limit })
}

/// Says whether such a file may hold conversations.
fn has_turns(kind: FileKind) -> bool {
    match kind {
        FileKind::ShareGpt | FileKind::Conversations | FileKind::Found => true,
        FileKind::Jsonl | FileKind::Csv | FileKind::Parquet | FileKind::Trace => false,
    }
}

/// Refuses what has no turns, and whom nothing was said before.
fn check(
    desk: &mut Desk,
    load: &Load,
    dataset: &Dataset,
    api: Option<Api>,
    turns: Option<TurnCount>,
) {
    if matches!(load, Load::Trace { .. }) {
        let found = "a trace says itself when each request is due";
        desk.rule_out(&TURNS, &TRACE, found, "give another load, or leave `turns` out");
    }
    if api.is_some_and(|api| !api.is_chat()) {
        let found = "this API takes one text, not a conversation";
        desk.rule_out(&TURNS, &API, found, "give `api` `chat`");
    }
    match dataset {
        Dataset::Synthetic | Dataset::Corpus => {
            if turns == Some(TurnCount::All) {
                let found = "this dataset has no conversations to have all the turns of";
                desk.rule_out(&TURNS, &DATASET, found, "give a number");
            }
        }
        Dataset::File { kind, .. } if has_turns(*kind) => {}
        Dataset::File { .. } => {
            let found = "this dataset's rows have one turn each";
            let hint = "give `sharegpt:PATH`, `conversations:PATH`, `synthetic` or `corpus`";
            desk.rule_out(&TURNS, &DATASET, found, hint);
        }
    }
}
