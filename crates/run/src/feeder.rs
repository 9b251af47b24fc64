//! Builds requests ahead of time, on a thread beside each shard, so that building a prompt is no
//! part of sending it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};

use infermark_drive::{Endpoint, Order, Source, Stop};
use infermark_terms::{Due, RequestId, Shard};
use infermark_wire::Dialect;
use infermark_workload::Workload;

use crate::RunError;

/// Turns what is asked into the bytes that ask it.
pub(crate) struct Clerk {
    pub(crate) workload: Workload,
    pub(crate) dialect: Dialect,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Clerk {
    /// Returns the complete request of one arrival.
    pub(crate) fn order(&self, id: RequestId) -> Result<Order, RunError> {
        let ask = self.workload.ask(id)?;
        let body = self.dialect.body(&ask)?;
        Ok(Order {
            bytes: self.endpoint.request("POST", &self.dialect.path(), &self.headers, Some(&body)),
            asked_input: ask.input_tokens,
            asked_output: ask.output_tokens,
        })
    }
}

/// A shard's orders, built ahead by a thread of their own.
pub(crate) struct Feeder {
    ready: Receiver<(RequestId, Order)>,
    /// Orders that came before the arrival they belong to.
    early: BTreeMap<RequestId, Order>,
    stop: Stop,
}

impl Feeder {
    /// Starts building the orders of a shard, `ahead` of them at most. Returns once the first
    /// `first` are ready, so that a run does not begin late; the thread ends when the feeder is
    /// dropped, or with the error that stops it.
    pub(crate) fn start(
        clerk: Arc<Clerk>,
        shard: Shard,
        ahead: usize,
        first: u64,
        stop: Stop,
    ) -> std::io::Result<(Self, JoinHandle<Result<(), RunError>>)> {
        let (full, ready) = sync_channel(ahead);
        let thread = thread::Builder::new().name("orders".to_owned());
        let thread = thread.spawn(move || build(&clerk, shard, &full))?;
        let mut feeder = Self { ready, early: BTreeMap::new(), stop };
        for _ in 0..first {
            let Ok((id, order)) = feeder.ready.recv() else { break };
            let _: Option<Order> = feeder.early.insert(id, order);
        }
        Ok((feeder, thread))
    }
}

fn build(
    clerk: &Clerk,
    shard: Shard,
    full: &SyncSender<(RequestId, Order)>,
) -> Result<(), RunError> {
    let ids = (u64::from(shard.index())..).step_by(shard.count() as usize).map(RequestId);
    for id in ids {
        if full.send((id, clerk.order(id)?)).is_err() {
            break;
        }
    }
    Ok(())
}

impl Source for Feeder {
    fn take(&mut self, due: Due) -> Option<Order> {
        if let Some(order) = self.early.remove(&due.id) {
            return Some(order);
        }
        loop {
            match self.ready.try_recv() {
                Ok((id, order)) if id == due.id => return Some(order),
                Ok((id, order)) => {
                    let _: Option<Order> = self.early.insert(id, order);
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
