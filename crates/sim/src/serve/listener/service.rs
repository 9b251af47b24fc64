//! Requests for an answer, from admission to the engine's last word on them.

use infermark_terms::{OutcomeKind, Stamp};
use infermark_wire::http1::Request;
use infermark_wire::server::{Answer, Refusal};
use infermark_wire::{Api, Delivery};

use super::Listener;
use crate::engine::{EngineEvent, EventKind, Job, JobId, RejectReason};
use crate::serve::faults::{Drawn, EndFault};
use crate::serve::metrics::{Course, JobEnd};
use crate::serve::outbox::Afterwards;
use crate::serve::reply::{self, Order, Reply, Said};
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
        let admitted = self.duty.served.admit(&request.path, &request.body);
        let Some(connection) = self.slots[index as usize].connection.as_mut() else { return };
        let arrival = connection.turn.max(self.past);
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
            Ok(admitted) => {
                let order = order(&admitted, faults, afterwards);
                self.engage(index, admitted, order, record, arrival);
            }
            Err(refusal) => {
                connection.parting = afterwards;
                connection.outbox.put(&reply::refusal(api, &refusal, afterwards));
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
        admitted: Admitted,
        order: Order,
        mut record: TruthRecord,
        arrival: Stamp,
    ) {
        let Admitted { api, asked, prompt, voice, max_tokens, output_tokens, .. } = admitted;
        let prompt_tokens = order.prompt_tokens;
        let name = self.duty.seed.named("names").at(record.index).0;
        let created = self.clock.wall_secs(arrival);
        let answer = Answer::new(api, &asked, name, &self.duty.served.model, created);
        record.id = Some(answer.id().to_owned());
        record.prompt_tokens = prompt_tokens;
        record.output_tokens = output_tokens;
        record.faults = order.faults.words();
        record.outcome = order.faults.outcome();
        if self.duty.truth.is_some() {
            record.tokens.reserve_exact(output_tokens as usize);
        }
        let end = order.faults.end();
        let engaged = !matches!(end, Some(EndFault::Status { .. } | EndFault::Html));
        let arrival = self.engine_time(arrival);
        let course = Course { arrival, prompt_tokens, max_tokens, ..Course::default() };
        let reply = Reply::new(order, answer);
        let service = Service { reply, record, course, engaged, put: 0, written: 0 };
        let id = JobId(self.token(index));
        let Some(connection) = self.connection(index) else { return };
        connection.service = Some(service);
        if engaged {
            let blocks = self.duty.block_tokens.map_or_else(Vec::new, |block| {
                words::block_hashes(&prompt, voice, output_tokens, block)
            });
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
        let end = generated.then(|| JobEnd::of(&service.reply.order().finish));
        let end = end.or((said == Said::Never).then_some(JobEnd::Aborted));
        if let Some(end) = end {
            service.engaged = false;
            self.metrics.ended(&service.course, end);
            if !generated {
                let present = self.engine_time(now);
                self.engine.abort(present, JobId(self.token(index)));
            }
        }
        self.settle(index);
    }
}

fn order(admitted: &Admitted, faults: Drawn, afterwards: Afterwards) -> Order {
    let Admitted { api, asked, prompt, voice, output_tokens, finish, .. } = admitted;
    Order {
        api: *api,
        delivery: asked.delivery,
        usage: asked.usage,
        voice: *voice,
        prompt_tokens: prompt.len() as u32,
        output_tokens: *output_tokens,
        finish: finish.clone(),
        faults,
        afterwards,
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
