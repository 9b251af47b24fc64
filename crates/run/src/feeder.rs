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
//! What a session says next is known before the answer to its last turn. It is made while there is
//! nothing else to do, which is while the server answers; once the answer is there it is put before
//! it, and that is all that can keep a turn from leaving.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread::{self, JoinHandle};

use infermark_drive::{Endpoint, Order, Source, Stop};
use infermark_terms::{Ask, Due, Message, OutputPolicy, Prompt, RequestId, Shard, Turn};
use infermark_wire::{Api, Dialect, UnsupportedPrompt};
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
    /// How many tokens the model's context holds, where the server says.
    pub(crate) context: Option<u32>,
}

/// Room for what a server puts before a prompt of its own, in tokens.
const OPENING_TOKENS: u32 = 16;

impl Kind {
    /// Writes the body that asks it. Left out, the limit of `completions` is 16 tokens, so there
    /// what may end by itself and has no limit is given what is left of the context, where that is
    /// known: no token is less than a byte of the prompt. Nothing is ordered to fill it.
    fn body(&self, ask: &Ask) -> Result<Vec<u8>, UnsupportedPrompt> {
        let unlimited = self.dialect.api == Api::Completions
            && ask.output_policy == OutputPolicy::Natural
            && ask.output_tokens.is_none();
        let Some(context) = self.context.filter(|_| unlimited) else {
            return self.dialect.body(ask);
        };
        let input = match &ask.prompt {
            Prompt::Text(text) => text.len(),
            Prompt::Tokens(ids) => ids.len(),
            Prompt::Messages(_) => return self.dialect.body(ask),
        };
        let input = ask.input_tokens.unwrap_or(u32::try_from(input).unwrap_or(u32::MAX));
        let left = context.checked_sub(input.saturating_add(OPENING_TOKENS));
        self.dialect.body(&Ask { output_tokens: left.filter(|&left| left > 0), ..ask.clone() })
    }
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

    /// Returns what one arrival asks, or a session's first turn.
    fn ask(&self, id: RequestId) -> Result<Ask, RunError> {
        Ok(self.kind(id.0).workload.ask(id)?)
    }

    /// Returns what a turn after a session's first adds.
    fn follow_up(&self, turn: Turn) -> Result<FollowUp, RunError> {
        Ok(self.kind(turn.session).workload.follow_up(turn)?)
    }

    /// Writes what the request, or the session in this turn, of the ask's id asks.
    fn written(&self, ask: &Ask, turn: u32) -> Result<Order, RunError> {
        let kind = self.kind(ask.id.0);
        let (dialect, body) = (&kind.dialect, kind.body(ask)?);
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
    openings: Receiver<(Turn, Built)>,
    /// Orders that came before they were asked for.
    early: BTreeMap<Turn, Built>,
    /// Where there are sessions.
    follow_ups: Option<FollowUps>,
    stop: Stop,
}

/// The way to the thread that leads sessions on, and the way back.
struct FollowUps {
    news: Sender<News>,
    ready: Receiver<(Turn, Built)>,
}

/// An order that was built.
struct Built {
    order: Order,
    /// What a session's first turn says, where there are sessions.
    opening: Option<Vec<Message>>,
}

/// What happened to a session.
enum News {
    /// Its first turn was sent, and said this.
    Begun(u64, Vec<Message>),
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
        let mut building = vec![spawn("orders", move || build(&opener, talk, shard, &full))?];
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
            let Ok((turn, built)) = feeder.openings.recv() else { break };
            let _: Option<Built> = feeder.early.insert(turn, built);
        }
        Ok((feeder, building))
    }

    fn tell(&self, news: News) {
        if let Some(follow_ups) = &self.follow_ups {
            // A thread that died says why itself, and no order comes from it.
            drop(follow_ups.news.send(news));
        }
    }

    fn find(&mut self, turn: Turn) -> Option<Built> {
        if let Some(built) = self.early.remove(&turn) {
            return Some(built);
        }
        let ready = match &self.follow_ups {
            Some(follow_ups) if turn.index > 0 => &follow_ups.ready,
            Some(_) | None => &self.openings,
        };
        loop {
            match ready.try_recv() {
                Ok((other, built)) if other == turn => return Some(built),
                Ok((other, built)) => {
                    let _: Option<Built> = self.early.insert(other, built);
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
        let turn = due.turn.unwrap_or_else(|| first_turn(due.id.0));
        let Built { order, opening } = self.find(turn)?;
        if let Some(opening) = opening {
            self.tell(News::Begun(turn.session, opening));
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
fn first_turn(number: u64) -> Turn {
    Turn { session: number, index: 0 }
}

fn spawn(
    name: &str,
    work: impl FnOnce() -> Result<(), RunError> + Send + 'static,
) -> io::Result<JoinHandle<Result<(), RunError>>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Builds the openings of a shard, one after another.
fn build(
    clerk: &Clerk,
    talk: Talk,
    shard: Shard,
    full: &SyncSender<(Turn, Built)>,
) -> Result<(), RunError> {
    for number in (u64::from(shard.index())..).step_by(shard.count() as usize) {
        let ask = clerk.ask(RequestId(number))?;
        let order = clerk.written(&ask, 0)?;
        let opening = (talk == Talk::Sessions).then(|| said(ask.prompt));
        if full.send((first_turn(number), Built { order, opening })).is_err() {
            break;
        }
    }
    Ok(())
}

/// Leads sessions on until nobody tells of them any more: what is answered first, and what turns
/// say while nothing is.
fn lead(
    clerk: &Clerk,
    heard: &Receiver<News>,
    full: &Sender<(Turn, Built)>,
) -> Result<(), RunError> {
    let mut leader = Leader { clerk, full, sessions: BTreeMap::new(), unmade: VecDeque::new() };
    loop {
        let news = match heard.try_recv() {
            Err(TryRecvError::Empty) if leader.unmade.is_empty() => heard.recv().ok(),
            Err(TryRecvError::Empty) => {
                leader.make()?;
                continue;
            }
            Err(TryRecvError::Disconnected) => None,
            Ok(news) => Some(news),
        };
        let Some(news) = news else { return Ok(()) };
        leader.hear(news)?;
    }
}

/// Knows the sessions that go on.
struct Leader<'a> {
    clerk: &'a Clerk,
    full: &'a Sender<(Turn, Built)>,
    sessions: BTreeMap<u64, Session>,
    /// Sessions whose next turn may still have to be made.
    unmade: VecDeque<u64>,
}

/// A session that goes on.
struct Session {
    /// All that was said and answered.
    history: Vec<Message>,
    /// The turn that comes when the last is answered.
    turn: Turn,
    /// What it says, once that is made.
    next: Option<FollowUp>,
}

impl Leader<'_> {
    fn hear(&mut self, news: News) -> Result<(), RunError> {
        match news {
            News::Begun(session, history) => {
                self.keep(Session { history, turn: Turn { session, index: 1 }, next: None });
            }
            News::Answered(turn, answer) => {
                let Some(session) = self.sessions.remove(&turn.session) else { return Ok(()) };
                let turn = session.turn;
                let (order, session) = session.answered(self.clerk, &answer)?;
                // A shard that is done wants no more.
                drop(self.full.send((turn, Built { order, opening: None })));
                self.keep(session);
            }
            News::BrokenOff(turn) => {
                let _: Option<Session> = self.sessions.remove(&turn.session);
            }
        }
        Ok(())
    }

    /// Keeps a session, if it has a next turn.
    fn keep(&mut self, session: Session) {
        let Turn { session: number, index } = session.turn;
        if index < self.clerk.turns(number) {
            let _: Option<Session> = self.sessions.insert(number, session);
            self.unmade.push_back(number);
        }
    }

    /// Makes what the next turn says of the session that has waited longest for it.
    fn make(&mut self) -> Result<(), RunError> {
        let number = self.unmade.pop_front();
        if let Some(session) = number.and_then(|number| self.sessions.get_mut(&number))
            && session.next.is_none()
        {
            session.next = Some(self.clerk.follow_up(session.turn)?);
        }
        Ok(())
    }
}

impl Session {
    /// Returns the next turn's order, and the session after it.
    fn answered(self, clerk: &Clerk, answer: &[u8]) -> Result<(Order, Self), RunError> {
        let Self { mut history, turn, next } = self;
        let next = next.map_or_else(|| clerk.follow_up(turn), Ok)?;
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
        Ok((order, Self { history: said(ask.prompt), turn, next: None }))
    }
}

#[cfg(test)]
mod tests;
