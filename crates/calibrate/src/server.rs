//! The exact server as a process: serves until its input ends, and tells what it did.
//!
//! It writes its address on a line. To each line `FROM TO`, instants in nanoseconds, it answers
//! with a line that holds the truth of that window.

use std::io::BufRead;
use std::sync::{Arc, Mutex, PoisonError};

use infermark_drive::priority::{Granted, prefer_latency};
use infermark_sim::latency::{FixedEngine, FixedLatency};
use infermark_sim::serve::truth::{TruthHeader, TruthRecord};
use infermark_sim::serve::{self, ServePlan, TruthSink, Wire};
use infermark_terms::Nanos;
use serde::{Deserialize, Serialize};

use crate::CalibrateError;
use crate::figures::{Spread, Truth};

/// The word that asks a program for this role.
pub const ROLE: &str = "serve";

/// What to serve.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Duty {
    /// From a request's arrival to its first token.
    pub ttft_ns: u64,
    /// From one token to the next.
    pub itl_ns: u64,
    /// Whether over TLS.
    pub scheme: Scheme,
}

/// Whether the wire is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

/// Keeps the truth in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<TruthRecord>>>);

impl TruthSink for Memory {
    fn begin(&mut self, _: TruthHeader) {}

    fn record(&mut self, record: TruthRecord) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }

    fn finish(self: Box<Self>) -> std::io::Result<()> {
        Ok(())
    }
}

/// Serves until standard input ends.
///
/// # Errors
///
/// If the system gives no port, thread or event queue, or the input asks for something else.
pub fn serve(duty: &Duty) -> Result<(), CalibrateError> {
    let latency = FixedLatency {
        ttft: Nanos(duty.ttft_ns),
        itl: Nanos(duty.itl_ns),
        prefill_per_token: Nanos::ZERO,
    };
    let memory = Memory::default();
    let plan = ServePlan {
        truth: Some(Box::new(memory.clone())),
        block_tokens: None,
        wire: match duty.scheme {
            Scheme::Http => Wire::Plain,
            Scheme::Https => Wire::Tls,
        },
        ..ServePlan::new("exact")
    };
    let _: Granted = prefer_latency();
    let lost = |source| CalibrateError::System { what: "server", source };
    let serving = serve::start(plan, Box::new(FixedEngine::new(latency))).map_err(lost)?;
    crate::say(&serving.address())?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(lost)?;
        let window =
            line.split_once(' ').and_then(|(from, to)| from.parse().ok().zip(to.parse().ok()));
        let Some((from, to)) = window else {
            return Err(CalibrateError::Said { role: ROLE.to_owned(), text: line });
        };
        let records = memory.0.lock().unwrap_or_else(PoisonError::into_inner);
        crate::say(&truth(&records, from, to))?;
    }
    Ok(())
}

fn truth(records: &[TruthRecord], from: u64, to: u64) -> Truth {
    let window = from..to;
    let (mut firsts, mut itl, mut late, mut tokens) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for record in records {
        let written = || record.tokens.iter().filter_map(|token| token.written_ns);
        tokens += written().filter(|at| window.contains(at)).count() as u64;
        if window.contains(&record.arrival_ns) {
            let number = record.x_request_id.as_deref().and_then(|name| name.parse().ok());
            firsts.extend(number.zip(written().next()));
            itl.extend(written().zip(written().skip(1)).map(|(a, b)| b - a));
            late.extend(record.tokens.iter().filter_map(|t| Some(t.written_ns? - t.due_ns)));
        }
    }
    let [itl, late] = [itl, late].map(Spread::of);
    Truth { tokens, firsts, itl, late }
}
