//! Requests for an answer, from admission to the engine's last word on them.

use infermark_terms::{OutcomeKind, Stamp};
use infermark_wire::http1::Request;
use infermark_wire::openai::server::{Answer, Refusal};
use infermark_wire::openai::{Api, Delivery};

use super::Listener;
use crate::engine::{EngineEvent, EventKind, Job, JobId, RejectReason};
use crate::serve::faults::{Drawn, EndFault};
use crate::serve::metrics::{Course, JobEnd};
use crate::serve::outbox::Afterwards;
use crate::serve::reply::{self, Order, Reply, Said, TokenIds};
use crate::serve::routes::Admitted;
use crate::serve::truth::{Ending, TokenTruth, TruthRecord};
use crate::serve::words;

/// A request under way.
pub(super) struct Service {
    pub(super) reply: Reply,
    pub(super) record: TruthRecord,
    pub(super) course: Course,
    /// Whether the engine still has its job.
    pub(super) engaged: bool,
    /// Steps of the record that were put into the outbox, and those known to be written.
    put: usize,
    written: usize,
}

impl Service {
    /// Notes that the kernel has everything that was put so far.
    pub(super) fn wrote(&mut self, at_ns: u64) {
        if self.reply.has_begun() {
            let _: &mut u64 = self.record.head_ns.get_or_insert(at_ns);
        }
        for token in &mut self.record.tokens[self.written..self.put] {
            token.written_ns = Some(at_ns);
        }
        self.written = self.put;
    }
}

impl Listener {
    /// Takes a request for an answer.
    pub(super) fn ask(
        &mut self,
        index: u32,
        api: Api,
        request: &Request,
        first: Stamp,
        afterwards: Afterwards,
    ) {
        let number = self.summary.requests;
        self.summary.requests += 1;
        let faults = self.duty.faults.draw(self.duty.seed.named("faults"), number);
        let admitted = self.duty.served.admit(api, &request.body);
        let Some(connection) = self.slots[index as usize].connection.as_mut() else { return };
        let arrival = connection.last_read;
        let mut record = TruthRecord {
            index: number,
            id: None,
            x_request_id: request.header("x-request-id").map(ToOwned::to_owned),
            first_byte_ns: self.clock.monotonic_ns(first),
            arrival_ns: self.clock.monotonic_ns(arrival),
            head_ns: None,
            status: 200,
            prompt_tokens: 0,
            cached_tokens: 0,
            output_tokens: 0,
            tokens: Vec::new(),
            told: None,
            faults: Vec::new(),
            outcome: OutcomeKind::Refused,
            ending: Ending::Complete,
            end_ns: 0,
        };
        match admitted {
            Ok(admitted) => self.engage(index, api, admitted, faults, record, afterwards),
            Err(refusal) => {
                connection.parting = afterwards;
                reply::write_refusal(&mut connection.outbox, &refusal, afterwards);
                record.status = refusal.status;
                record.end_ns = self.clock.monotonic_ns(self.clock.now());
                self.keep(record);
            }
        }
    }

    /// Gives an admitted request to the engine, unless its fault spares that.
    fn engage(
        &mut self,
        index: u32,
        api: Api,
        admitted: Admitted,
        faults: Drawn,
        mut record: TruthRecord,
        afterwards: Afterwards,
    ) {
        let Admitted { asked, prompt, voice, max_tokens, output_tokens, finish } = admitted;
        let now = self.clock.now();
        let name = self.duty.seed.named("names").at(record.index).0;
        let created = self.clock.wall_secs(now);
        let answer = Answer::new(api, name, &self.duty.served.model, created);
        record.id = Some(answer_id(api, name));
        record.prompt_tokens = prompt.len() as u32;
        record.output_tokens = output_tokens;
        record.faults = faults.words();
        record.outcome = faults.outcome();
        let end = faults.end();
        if self.duty.truth.is_some() && asked.delivery == Delivery::Streamed {
            record.tokens.reserve_exact(output_tokens as usize);
        }
        let order = Order {
            delivery: asked.delivery,
            usage: asked.usage,
            token_ids: if asked.return_token_ids { TokenIds::Sent } else { TokenIds::Unsent },
            voice,
            prompt_tokens: record.prompt_tokens,
            output_tokens,
            finish,
            faults,
            afterwards,
        };
        let arrival = self.clock.engine_time(now);
        let course = Course {
            arrival,
            prompt_tokens: record.prompt_tokens,
            max_tokens,
            ..Course::default()
        };
        let engaged = !matches!(end, Some(EndFault::Status { .. } | EndFault::Html));
        let reply = Reply::new(order, answer);
        let service = Service { reply, record, course, engaged, put: 0, written: 0 };
        let id = JobId(self.token(index));
        let Some(connection) = self.connection(index) else { return };
        connection.service = Some(service);
        if engaged {
            let blocks = self.duty.block_tokens.map_or_else(Vec::new, |block| {
                words::block_hashes(&prompt, voice, output_tokens, block)
            });
            let prompt_tokens = prompt.len() as u32;
            let priority = asked.priority.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
            self.engine.submit(arrival, Job { id, prompt_tokens, output_tokens, blocks, priority });
            // A job that is turned away hears so now, before the response begins.
            self.work();
        }
        self.begin(index, end);
    }

    fn begin(&mut self, index: u32, end: Option<EndFault>) {
        let now = self.clock.now();
        let Some(connection) = self.slots[index as usize].connection.as_mut() else { return };
        let Some(service) = &mut connection.service else { return };
        if let Some(EndFault::Status { code, .. }) = end {
            let refusal = refusal_on_request(code);
            service.record.status = code;
            service.reply.refuse(&refusal, &mut connection.outbox, &mut self.scratch, now);
        } else {
            service.reply.begin(&mut connection.outbox, &mut self.scratch, now);
        }
    }

    /// Passes on what happened in the engine.
    pub(super) fn event(&mut self, event: &EngineEvent, now: Stamp) {
        let Some(index) = self.index(event.id.0) else { return };
        let Some(connection) = self.slots[index as usize].connection.as_mut() else { return };
        let Some(service) = connection.service.as_mut().filter(|service| service.engaged) else {
            return;
        };
        self.metrics.event(event, &mut service.course);
        match event.kind {
            EventKind::FirstScheduled { cached_tokens } => {
                service.record.cached_tokens = cached_tokens;
                service.reply.scheduled(cached_tokens);
            }
            EventKind::Tokens { count } => self.tokens(index, event.at, count, now),
            EventKind::Rejected { reason } => {
                service.engaged = false;
                self.metrics.ended(&service.course, JobEnd::Failed);
                let refusal = rejection(reason);
                let begun = service.reply.has_begun();
                service.record.outcome =
                    if begun { OutcomeKind::Errored } else { OutcomeKind::Refused };
                service.record.status = if begun { 200 } else { refusal.status };
                let out = &mut connection.outbox;
                service.reply.refuse(&refusal, out, &mut self.scratch, now);
                self.settle(index);
            }
            EventKind::Preempted | EventKind::Finished => {}
        }
    }

    /// Sends tokens that were due at `at` of the engine's time.
    fn tokens(&mut self, index: u32, at: Stamp, count: u32, now: Stamp) {
        let Some(connection) = self.slots[index as usize].connection.as_mut() else { return };
        let Some(service) = &mut connection.service else { return };
        let due = self.clock.real_time(at);
        if self.duty.truth.is_some() {
            let due_ns = self.clock.monotonic_ns(due);
            service.record.tokens.push(TokenTruth { due_ns, written_ns: None, count });
        }
        let out = &mut connection.outbox;
        let said = service.reply.tokens(count, out, &mut self.scratch, now);
        if let Said::All { tokens } = said {
            service.put = service.record.tokens.len();
            self.summary.tokens += u64::from(tokens);
            if out.is_clear() && service.reply.order().delivery == Delivery::Streamed {
                self.lateness.record(self.clock.now().since(due));
            }
        }
        let generated = service.course.generated >= service.reply.order().output_tokens;
        if generated || said == Said::Never {
            service.engaged = false;
            let end = if generated {
                JobEnd::of(&service.reply.order().finish)
            } else {
                self.engine.abort(self.clock.engine_time(now), JobId(self.token(index)));
                JobEnd::Aborted
            };
            let Some(connection) = self.slots[index as usize].connection.as_mut() else { return };
            let Some(service) = &mut connection.service else { return };
            self.metrics.ended(&service.course, end);
        }
        self.settle(index);
    }
}

fn answer_id(api: Api, name: u64) -> String {
    match api {
        Api::Chat => format!("chatcmpl-{name:032x}"),
        Api::Completions => format!("cmpl-{name:032x}"),
    }
}

fn rejection(reason: RejectReason) -> Refusal {
    match reason {
        RejectReason::QueueFull => Refusal::overloaded("The waiting queue is full."),
        RejectReason::TooLong => {
            Refusal::bad(None, "The request needs more memory than the engine has.")
        }
    }
}

fn refusal_on_request(status: u16) -> Refusal {
    let class = match status {
        429 => "RateLimitError",
        503 => "ServiceUnavailableError",
        500.. => "InternalServerError",
        _ => "BadRequestError",
    };
    Refusal { status, class, message: "Refused on request.".to_owned(), param: None }
}
