//! The same truth over every wire: what the simulated engine did, told by the server's role of
//! each dialect and heard by the client's, at the engine's own instants in virtual time.

use infermark_measure::{Point, measure};
use infermark_scenario::settings::{self, Setting};
use infermark_scenario::{Given, resolve};
use infermark_terms::{
    Ask, ChunkRow, FinishReason, OutputPolicy, Prompt, RequestRow, Seed, Stamp, Usage,
};
use infermark_wire::exchange::{Exchange, Progress};
use infermark_wire::http1::{end_chunked, start_chunked, write_chunk};
use infermark_wire::server::{Answer, Asked, End, Endpoint, Part};
use infermark_wire::{Api, Delivery, Dialect, LengthFields, UsageFields};

use super::{Rehearsal, rehearse};

/// What one request's client hears, and when.
struct Client {
    exchange: Exchange,
    row: RequestRow,
    chunks: Vec<ChunkRow>,
}

impl Client {
    /// Asks what the engine was asked in `truth`.
    fn new(api: Api, truth: &RequestRow) -> Self {
        let row = RequestRow {
            first_byte: None,
            first_token: None,
            first_answer: None,
            last_token: None,
            usage: None,
            chunks: 0,
            ..truth.clone()
        };
        Self { exchange: Exchange::new(api, Delivery::Streamed), row, chunks: Vec::new() }
    }

    /// Hears bytes, as a connection does.
    fn hear(&mut self, bytes: &[u8], at: Stamp) {
        let Self { exchange, row, chunks } = self;
        let mut coalesced = false;
        let progress = exchange.receive(bytes, &mut |chunk| {
            let _: &mut Stamp = row.first_token.get_or_insert(at);
            let _: &mut Stamp = row.first_answer.get_or_insert(at);
            row.last_token = Some(at);
            row.chunks += 1;
            chunks.push(ChunkRow {
                request: row.id,
                at,
                kind: chunk.kind,
                tokens: chunk.tokens,
                text_bytes: chunk.text.len_utf8(),
                coalesced,
                read_delay: infermark_terms::Nanos::ZERO,
            });
            coalesced = true;
        });
        if let Progress::Ended(ended) = progress {
            row.outcome = ended.outcome;
            row.end = at;
            row.usage = exchange.usage();
        }
    }
}

/// Returns what a request of this API asks, as its server understands it.
fn asked(api: Api, truth: &RequestRow) -> Asked {
    let dialect = Dialect {
        api,
        delivery: Delivery::Streamed,
        model: "m".to_owned(),
        length: LengthFields::IgnoreEosAndMinTokens,
        usage: UsageFields::Continuous,
    };
    let ask = Ask {
        id: truth.id,
        prompt: Prompt::Text("x".to_owned()),
        input_tokens: truth.asked_input,
        output_tokens: truth.asked_output,
        output_policy: OutputPolicy::Exact,
    };
    let body = dialect.body(&ask).unwrap();
    Endpoint::of(&dialect.path()).unwrap().parse(&body).unwrap().1
}

/// Tells one request's answer over the wire of this API, and returns what was heard.
fn told(api: Api, truth: &RequestRow, chunks: &[&ChunkRow]) -> Client {
    let asked = asked(api, truth);
    let counted = truth.usage.unwrap();
    let so_far = |said| Usage { completion_tokens: said, cached_tokens: None, ..counted };
    let on_each = |said| (asked.usage == UsageFields::Continuous).then(|| so_far(said));
    let mut answer = Answer::new(api, &asked, truth.id.0, "m", 1);
    let mut client = Client::new(api, truth);
    let (mut events, mut wire) = (Vec::new(), Vec::new());
    start_chunked(&mut wire, 200, &[("Content-Type", answer.content_type())]);
    answer.opening(&mut events, on_each(0));
    write_chunk(&mut wire, &events);
    client.hear(&wire, truth.due);
    let mut said = 0;
    for (place, chunk) in chunks.iter().enumerate() {
        let tokens = chunk.tokens.unwrap();
        said += tokens;
        let text = "a ".repeat(tokens as usize);
        let ends: Vec<_> = (1..=tokens as usize).map(|token| token * 2).collect();
        let ids = vec![7; tokens as usize];
        let part = Part { text: &text, ends: &ends, ids: &ids, usage: on_each(said) };
        (events, wire) = (Vec::new(), Vec::new());
        if place + 1 == chunks.len() {
            let usage = (asked.usage != UsageFields::None).then(|| so_far(said));
            answer.last(&mut events, &part, &End { finish: &FinishReason::Length, usage });
            write_chunk(&mut wire, &events);
            end_chunked(&mut wire);
        } else {
            answer.part(&mut events, &part);
            write_chunk(&mut wire, &events);
        }
        client.hear(&wire, chunk.at);
    }
    client
}

/// Measures the truth as a client of this API hears it.
fn measured(api: Api, truth: &Rehearsal) -> Point {
    let (mut rows, mut heard) = (Vec::new(), Vec::new());
    for request in &truth.requests {
        let own = truth.chunks.iter().filter(|chunk| chunk.request == request.id);
        let client = told(api, request, &own.collect::<Vec<_>>());
        rows.push(client.row);
        heard.extend(client.chunks);
    }
    measure(&truth.plan, &rows, heard)
}

fn truth(load: (&'static Setting, &str)) -> Rehearsal {
    let given = [
        (&settings::TARGET, "sim:llama-3.1-8b@h100"),
        (&settings::OUTPUT_TOKENS, "uniform(1..24)"),
        (&settings::INPUT_TOKENS, "normal(512,200)"),
        (&settings::REQUESTS, "60"),
        load,
    ];
    let given = given.map(|(setting, text)| Given::flag(setting, text));
    rehearse(&resolve(given.to_vec(), Seed(11)).unwrap()).unwrap()
}

#[test]
fn the_same_truth_gives_the_same_figures_over_every_wire_to_the_nanosecond() {
    let streaming = Api::ALL.into_iter().filter(|api| api.streams());
    for load in [(&settings::CONCURRENCY, "12"), (&settings::RATE, "40/s")] {
        let truth = truth(load);
        let expected = measure(&truth.plan, &truth.requests, truth.chunks.clone());
        assert_eq!(expected.counts.success, 60);
        assert!(expected.latency.itl_ms.unwrap().max > expected.latency.itl_ms.unwrap().min);
        for api in streaming.clone() {
            let point = measured(api, &truth);
            assert_eq!(point.counts, expected.counts, "{api}");
            assert_eq!(point.latency, expected.latency, "{api}");
            assert_eq!(point.concurrency, expected.concurrency, "{api}");
            assert_eq!(point.window, expected.window, "{api}");
            assert_eq!(point.tokens.output_mean, expected.tokens.output_mean, "{api}");
            let rates = [point.rates.unwrap(), expected.rates.unwrap()];
            let [ours, theirs] =
                rates.map(|rates| (rates.requests_per_s, rates.output_tokens_per_s));
            assert_eq!(ours, theirs, "{api}");
        }
    }
}
