//! Simple loads and lengths, for predictions that need no scenario.
//!
//! A run's own pacers do as well; these exist so that calibration data, which state a rate or a
//! concurrency and mean lengths, can be replayed from this crate alone.

use infermark_terms::{Due, Nanos, Next, Pacer, RequestId, Seed, Stamp};

use crate::engine::{Job, JobId};

/// When requests are due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// So many slots, each sending its next request the moment the last ended.
    Closed {
        /// Slots.
        concurrency: u32,
    },
    /// Independent exponential gaps.
    Poisson {
        /// Requests per second.
        rate: f64,
    },
    /// Equal gaps.
    Constant {
        /// Requests per second.
        rate: f64,
    },
    /// All at once.
    Burst,
}

/// The arrivals of a load.
#[derive(Clone, Debug)]
pub struct Stream {
    load: Load,
    requests: u64,
    seed: Seed,
    sent: u64,
    open: u64,
    next: Stamp,
    freed: Vec<Stamp>,
}

impl Stream {
    /// Returns the arrivals of `requests` requests under this load.
    pub fn new(load: Load, requests: u64, seed: Seed) -> Self {
        let mut stream = Self {
            load,
            requests,
            seed: seed.named("arrivals"),
            sent: 0,
            open: 0,
            next: Stamp::ZERO,
            freed: Vec::new(),
        };
        stream.next = Stamp::ZERO + stream.gap();
        stream
    }

    /// The gap before arrival `sent`.
    fn gap(&self) -> Nanos {
        match self.load {
            Load::Poisson { rate } => {
                let gap = -(1.0 - self.seed.at(self.sent).unit()).ln() / rate;
                Nanos::from_secs_f64(gap)
            }
            Load::Constant { rate } if self.sent > 0 => Nanos::from_secs_f64(1.0 / rate),
            Load::Constant { .. } | Load::Closed { .. } | Load::Burst => Nanos::ZERO,
        }
    }

    fn send(&mut self, at: Stamp) -> Next {
        let id = RequestId(self.sent);
        self.sent += 1;
        self.open += 1;
        Next::Send(Due::new(id, at))
    }
}

impl Pacer for Stream {
    fn poll(&mut self, now: Stamp) -> Next {
        if self.sent == self.requests {
            return if self.open == 0 { Next::Done } else { Next::AwaitCompletion };
        }
        match self.load {
            Load::Burst => self.send(Stamp::ZERO),
            Load::Closed { concurrency } => {
                if let Some(at) = self.freed.pop() {
                    self.send(at)
                } else if self.sent < u64::from(concurrency) {
                    self.send(Stamp::ZERO)
                } else {
                    Next::AwaitCompletion
                }
            }
            Load::Poisson { .. } | Load::Constant { .. } => {
                if self.next > now {
                    return Next::Wait(self.next);
                }
                let due = self.next;
                let answer = self.send(due);
                self.next = due + self.gap();
                answer
            }
        }
    }

    fn completed(&mut self, _id: RequestId, at: Stamp) {
        self.open -= 1;
        if matches!(self.load, Load::Closed { .. }) {
            self.freed.push(at);
        }
    }

    fn take_held(&mut self, _now: Stamp) -> Vec<Due> {
        Vec::new()
    }
}

/// A distribution of lengths in tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lengths {
    /// Always this.
    Fixed(u32),
    /// Lognormal with this mean and coefficient of variation, cut at `max`, at least 1.
    Spread {
        /// The mean before cutting.
        mean: f64,
        /// Standard deviation ÷ mean before cutting.
        cv: f64,
        /// The greatest.
        max: u32,
    },
}

impl Lengths {
    /// Draws the length of one request.
    pub fn draw(self, seed: Seed) -> u32 {
        match self {
            Self::Fixed(tokens) => tokens,
            Self::Spread { mean, cv, max } => {
                let variance = (1.0 + cv * cv).ln();
                let (u, v) = (1.0 - seed.at(0).unit(), seed.at(1).unit());
                let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
                let length = (mean.ln() - variance / 2.0 + variance.sqrt() * normal).exp();
                length.round().clamp(1.0, f64::from(max)) as u32
            }
        }
    }

    /// Returns a job with lengths drawn for this request, its prompt unlike any other's.
    pub fn job(input: Self, output: Self, seed: Seed, request: RequestId) -> Job {
        Job {
            id: JobId(request.0),
            prompt_tokens: input.draw(seed.named("input").at(request.0)),
            output_tokens: output.draw(seed.named("output").at(request.0)),
            blocks: Vec::new(),
            priority: 0,
        }
    }
}
