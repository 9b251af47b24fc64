//! Builds requests ahead of time, on threads beside each shard, so that building a prompt is no
//! part of sending it.
//!
//! ```text
//!  openings: one request after another, ahead ──▶ ┌────────┐
//!                                                 │ Feeder │ ──▶ shard
//!  follow-ups: a turn, once it is answered ─────▶ └────────┘
//!       ▲                                             │ sent, answered, broken off
//!       └─────────────────────────────────────────────┘
//! ```
//!
//! What a session says next is known before the answer to its last turn: it is made while the
//! server answers, and the answer is put before it when it comes.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread::{self, JoinHandle};

use infermark_drive::{Endpoint, Order, Source, Stop};
use infermark_terms::{Ask, Due, Message, Prompt, RequestId, Shard, Turn};
use infermark_wire::Dialect;
use infermark_workload::{FollowUp, Mix, Workload, said};

use crate::RunError;
use crate::deal::Deal;

/// Turns what is asked into the bytes that ask it.
pub(crate) struct Clerk {
    /// One for each class; one where there are none.
    pub(crate) kinds: Vec<Kind>,
    /// Which class a request is of, where there are any.
    pub(crate) mix: Option<Mix>,
    /// The servers, the target first, and who of them gets which request.
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    pub(crate) deal: Deal,
    pub(crate) headers: Vec<(String, String)>,
}

/// What requests of one kind ask, and how.
pub(crate) struct Kind {
    pub(crate) workload: Workload,
    pub(crate) dialect: Dialect,
}

impl Clerk {
    /// Returns how many turns a session has.
    pub(crate) fn turns(&self, session: u64) -> u32 {
        self.kind(session).workload.turns(session)
    }

    /// Returns which class the request, or the session, of this number is of.
    fn class_of(&self, number: u64) -> Option<u32> {
        self.mix.as_ref().map(|mix| mix.class_of(number) as u32)
    }

    fn kind(&self, number: u64) -> &Kind {
        &self.kinds[self.class_of(number).unwrap_or(0) as usize]
    }

    /// Returns the complete request of one arrival, or of a session's first turn.
    pub(crate) fn order(&self, id: RequestId) -> Result<Order, RunError> {
        self.written(&self.kind(id.0).workload.ask(id)?, 0)
    }

    /// Writes what the request, or the session in this turn, of the ask's id asks.
    fn written(&self, ask: &Ask, turn: u32) -> Result<Order, RunError> {
        let Kind { dialect, .. } = self.kind(ask.id.0);
        let body = dialect.body(ask)?;
        let server = self.deal.server(ask.id);
        let endpoint = &self.endpoints[server as usize];
        Ok(Order {
            server,
            goes_on: turn + 1 < self.turns(ask.id.0),
            bytes: endpoint.request("POST", &dialect.path(), &self.headers, Some(&body)),
            asked_input: ask.input_tokens,
            asked_output: ask.output_tokens,
            class: self.class_of(ask.id.0),
        })
    }
}

/// How a shard's requests belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Talk {
    /// Each stands alone.
    Single,
    /// They are turns of sessions.
    Sessions,
}

/// A shard's orders, built ahead by threads of their own.
pub(crate) struct Feeder {
    clerk: Arc<Clerk>,
    openings: Receiver<(Turn, Order)>,
    /// Orders that came before they were asked for.
    early: BTreeMap<Turn, Order>,
    /// Where there are sessions.
    follow_ups: Option<FollowUps>,
    stop: Stop,
}

/// The way to the thread that leads sessions on, and the way back.
struct FollowUps {
    news: Sender<News>,
    ready: Receiver<(Turn, Order)>,
}

/// What happened to a session.
enum News {
    /// Its first turn was sent.
    Begun(u64),
    Answered(Turn, Vec<u8>),
    BrokenOff(Turn),
}

/// The threads that build a shard's orders. They end when its feeder is dropped, or with the error
/// that stops them.
pub(crate) type Building = Vec<JoinHandle<Result<(), RunError>>>;

impl Feeder {
    /// Starts building the orders of a shard, `ahead` of them at most. Returns once the first
    /// `first` are ready, so that a run does not begin late.
    pub(crate) fn start(
        clerk: &Arc<Clerk>,
        talk: Talk,
        shard: Shard,
        ahead: usize,
        first: u64,
        stop: Stop,
    ) -> io::Result<(Self, Building)> {
        let (full, openings) = sync_channel(ahead);
        let opener = Arc::clone(clerk);
        let mut building = vec![spawn("orders", move || build(&opener, shard, &full))?];
        let follow_ups = match talk {
            Talk::Single => None,
            Talk::Sessions => {
                let ((news, heard), (full, ready)) = (channel(), channel());
                let clerk = Arc::clone(clerk);
                building.push(spawn("turns", move || lead(&clerk, &heard, &full))?);
                Some(FollowUps { news, ready })
            }
        };
        let clerk = Arc::clone(clerk);
        let mut feeder = Self { clerk, openings, early: BTreeMap::new(), follow_ups, stop };
        for _ in 0..first {
            let Ok((turn, order)) = feeder.openings.recv() else { break };
            let _: Option<Order> = feeder.early.insert(turn, order);
        }
        Ok((feeder, building))
    }

    fn tell(&self, news: News) {
        if let Some(follow_ups) = &self.follow_ups {
            // A thread that died says why itself, and no order comes from it.
            drop(follow_ups.news.send(news));
        }
    }

    fn find(&mut self, turn: Turn) -> Option<Order> {
        if let Some(order) = self.early.remove(&turn) {
            return Some(order);
        }
        let ready = match &self.follow_ups {
            Some(follow_ups) if turn.index > 0 => &follow_ups.ready,
            Some(_) | None => &self.openings,
        };
        loop {
            match ready.try_recv() {
                Ok((other, order)) if other == turn => return Some(order),
                Ok((other, order)) => {
                    let _: Option<Order> = self.early.insert(other, order);
                }
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => {
                    // Building failed, and its thread says why. The run cannot go on.
                    self.stop.abort();
                    return None;
                }
            }
        }
    }
}

impl Source for Feeder {
    fn take(&mut self, due: Due) -> Option<Order> {
        let turn = due.turn.unwrap_or_else(|| opening(due.id.0));
        let order = self.find(turn)?;
        if turn.index == 0 {
            self.tell(News::Begun(turn.session));
        }
        Some(order)
    }

    fn answered(&mut self, turn: Turn, answer: Vec<u8>) {
        self.tell(News::Answered(turn, answer));
    }

    fn broken_off(&mut self, turn: Turn) {
        self.tell(News::BrokenOff(turn));
    }

    fn class_of(&self, due: Due) -> Option<u32> {
        self.clerk.class_of(due.turn.map_or(due.id.0, |turn| turn.session))
    }
}

/// Returns the first turn of a session, or the one of a request that stands alone.
fn opening(number: u64) -> Turn {
    Turn { session: number, index: 0 }
}

fn spawn(
    name: &str,
    work: impl FnOnce() -> Result<(), RunError> + Send + 'static,
) -> io::Result<JoinHandle<Result<(), RunError>>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Builds the openings of a shard, one after another.
fn build(clerk: &Clerk, shard: Shard, full: &SyncSender<(Turn, Order)>) -> Result<(), RunError> {
    for number in (u64::from(shard.index())..).step_by(shard.count() as usize) {
        if full.send((opening(number), clerk.order(RequestId(number))?)).is_err() {
            break;
        }
    }
    Ok(())
}

/// Leads sessions on: builds each turn after the first when the one before it is answered.
fn lead(
    clerk: &Clerk,
    heard: &Receiver<News>,
    full: &Sender<(Turn, Order)>,
) -> Result<(), RunError> {
    let mut sessions = BTreeMap::new();
    for news in heard {
        match news {
            News::Begun(session) => {
                if let Some(begun) = Session::begun(clerk, session)? {
                    let _: Option<Session> = sessions.insert(session, begun);
                }
            }
            News::Answered(turn, answer) => {
                let Some(session) = sessions.remove(&turn.session) else { continue };
                let (order, rest) = session.answered(clerk, &answer)?;
                if full.send((Turn { index: turn.index + 1, ..turn }, order)).is_err() {
                    break;
                }
                if let Some(rest) = rest.prepared(clerk)? {
                    let _: Option<Session> = sessions.insert(turn.session, rest);
                }
            }
            News::BrokenOff(turn) => {
                let _: Option<Session> = sessions.remove(&turn.session);
            }
        }
    }
    Ok(())
}

/// A session that goes on.
struct Session {
    /// All that was said and answered.
    history: Vec<Message>,
    /// The turn that comes when the last is answered.
    turn: Turn,
    next: FollowUp,
}

/// A session whose next turn is still to be made, if it has one.
struct Rest {
    history: Vec<Message>,
    turn: Turn,
}

impl Session {
    fn begun(clerk: &Clerk, session: u64) -> Result<Option<Self>, RunError> {
        let turn = Turn { session, index: 1 };
        if clerk.turns(session) <= turn.index {
            return Ok(None);
        }
        let history = said(clerk.kind(session).workload.ask(RequestId(session))?.prompt);
        Rest { history, turn }.prepared(clerk)
    }

    /// Returns the next turn's order, and what is left of the session.
    fn answered(self, clerk: &Clerk, answer: &[u8]) -> Result<(Order, Rest), RunError> {
        let Self { mut history, turn, next } = self;
        let content = String::from_utf8_lossy(answer).into_owned();
        history.push(Message { role: "assistant".to_owned(), content });
        history.extend(next.messages);
        let ask = Ask {
            id: RequestId(turn.session),
            prompt: Prompt::Messages(history),
            // The server's template may add to each message, and counts the answers anew.
            input_tokens: None,
            output_tokens: next.output_tokens,
            output_policy: next.output_policy,
        };
        let order = clerk.written(&ask, turn.index)?;
        let turn = Turn { index: turn.index + 1, ..turn };
        Ok((order, Rest { history: said(ask.prompt), turn }))
    }
}

impl Rest {
    /// Makes the next turn, if there is one.
    fn prepared(self, clerk: &Clerk) -> Result<Option<Session>, RunError> {
        let Self { history, turn } = self;
        if turn.index >= clerk.turns(turn.session) {
            return Ok(None);
        }
        let next = clerk.kind(turn.session).workload.follow_up(turn)?;
        Ok(Some(Session { history, turn, next }))
    }
}

#[cfg(test)]
mod tests;
