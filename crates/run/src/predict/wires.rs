//! The same truth over every wire: what the simulated engine did, told by the server's role of
//! each dialect, over each version of HTTP, and heard by the client's, at the engine's own instants
//! in virtual time.

use infermark_measure::{Point, measure};
use infermark_scenario::settings::{self, Setting};
use infermark_scenario::{Given, resolve};
use infermark_terms::{
    Ask, ChunkRow, FinishReason, HttpVersion, Outcome, OutputPolicy, Prompt, RequestRow, Seed,
    Stamp, Usage,
};
use infermark_wire::exchange::{Chunk, Exchange, Progress};
use infermark_wire::http1::{RequestHead, ResponseHead, end_chunked, start_chunked, write_chunk};
use infermark_wire::http2::{
    Client as Streams, Ending, Head, Kind, Last, Listener, Verdict, push_frame, request,
    start_response, write_data,
};
use infermark_wire::server::{Answer, Asked, End, Endpoint, Part};
use infermark_wire::{Api, Delivery, Dialect, LengthFields, UsageFields};

use super::{Rehearsal, rehearse};

/// What one request's client hears, and when.
struct Client {
    exchange: Exchange,
    /// The connection, over HTTP/2.
    streams: Streams<()>,
    row: RequestRow,
    chunks: Vec<ChunkRow>,
}

/// The stream that the request is on, over HTTP/2.
const STREAM: u32 = 1;

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
        let mut streams = Streams::new();
        let head = RequestHead { method: "POST", path: "/", host: "h", headers: &[] };
        let _: u32 = streams.open(request("http", &head, None, b""), ());
        Self { exchange: Exchange::new(api, Delivery::Streamed), streams, row, chunks: Vec::new() }
    }

    /// Hears bytes, as a connection does.
    fn hear(&mut self, version: HttpVersion, bytes: &[u8], at: Stamp) {
        let Self { exchange, streams, row, chunks } = self;
        let mut note = Note { row, chunks, at, coalesced: false, outcome: None };
        match version {
            HttpVersion::Http1 => {
                let progress = exchange.receive(bytes, &mut |chunk| note.chunk(&chunk));
                let _: Verdict = note.progress(progress);
            }
            HttpVersion::Http2 => {
                streams.feed(bytes, &mut Ear { exchange, note: &mut note }).unwrap();
            }
        }
        if let Some(outcome) = note.outcome {
            row.outcome = outcome;
            row.end = at;
            row.usage = exchange.usage();
        }
    }
}

/// Notes what one read brings.
struct Note<'a> {
    row: &'a mut RequestRow,
    chunks: &'a mut Vec<ChunkRow>,
    at: Stamp,
    coalesced: bool,
    outcome: Option<Outcome>,
}

impl Note<'_> {
    fn chunk(&mut self, chunk: &Chunk<'_>) {
        let Self { row, at, .. } = self;
        let _: &mut Stamp = row.first_token.get_or_insert(*at);
        let _: &mut Stamp = row.first_answer.get_or_insert(*at);
        row.last_token = Some(*at);
        row.chunks += 1;
        self.chunks.push(ChunkRow {
            request: row.id,
            at: *at,
            kind: chunk.kind,
            tokens: chunk.tokens,
            text_bytes: chunk.text.len_utf8(),
            coalesced: self.coalesced,
            read_delay: infermark_terms::Nanos::ZERO,
        });
        self.coalesced = true;
    }

    fn progress(&mut self, progress: Progress) -> Verdict {
        let Progress::Ended(ended) = progress else { return Verdict::Open };
        self.outcome = Some(ended.outcome);
        Verdict::Over
    }
}

/// Hears a stream of HTTP/2.
struct Ear<'a, 'b> {
    exchange: &'a mut Exchange,
    note: &'a mut Note<'b>,
}

impl Listener<()> for Ear<'_, '_> {
    fn head(&mut self, (): &mut (), head: &Head<'_>, bytes: usize) -> Verdict {
        let head = ResponseHead { status: head.status, content: head.content() };
        self.note.progress(self.exchange.head(head, bytes))
    }

    fn body(&mut self, (): &mut (), bytes: &[u8]) -> Verdict {
        let Self { exchange, note } = self;
        let progress = exchange.body(bytes, &mut |chunk| note.chunk(&chunk));
        note.progress(progress)
    }

    fn ended(&mut self, (): (), ending: Ending) {
        assert_eq!(ending, Ending::Complete);
        let Self { exchange, note } = self;
        let ended = exchange.complete(&mut |chunk| note.chunk(&chunk));
        note.outcome = Some(ended.outcome);
    }
}

/// Frames a piece of an answer.
fn framed(version: HttpVersion, events: &[u8], last: Last) -> Vec<u8> {
    let mut wire = Vec::new();
    match version {
        HttpVersion::Http1 => {
            write_chunk(&mut wire, events);
            if last == Last::Yes {
                end_chunked(&mut wire);
            }
        }
        HttpVersion::Http2 => write_data(&mut wire, STREAM, events, last),
    }
    wire
}

/// Begins an answer.
fn begun(version: HttpVersion, content: &str) -> Vec<u8> {
    let (mut wire, headers) = (Vec::new(), [("Content-Type", content)]);
    match version {
        HttpVersion::Http1 => start_chunked(&mut wire, 200, &headers),
        HttpVersion::Http2 => {
            push_frame(&mut wire, Kind::Settings, 0, 0, b"");
            start_response(&mut wire, STREAM, 200, &headers, Last::No);
        }
    }
    wire
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
fn told(version: HttpVersion, api: Api, truth: &RequestRow, chunks: &[&ChunkRow]) -> Client {
    let asked = asked(api, truth);
    let counted = truth.usage.unwrap();
    let so_far = |said| Usage { completion_tokens: said, cached_tokens: None, ..counted };
    let on_each = |said| (asked.usage == UsageFields::Continuous).then(|| so_far(said));
    let mut answer = Answer::new(api, &asked, truth.id.0, "m", 1);
    let mut client = Client::new(api, truth);
    let (mut events, mut wire) = (Vec::new(), begun(version, answer.content_type()));
    answer.opening(&mut events, on_each(0));
    if !events.is_empty() {
        wire.extend(framed(version, &events, Last::No));
    }
    client.hear(version, &wire, truth.due);
    let mut said = 0;
    for (place, chunk) in chunks.iter().enumerate() {
        let tokens = chunk.tokens.unwrap();
        said += tokens;
        let text = "a ".repeat(tokens as usize);
        let ends: Vec<_> = (1..=tokens as usize).map(|token| token * 2).collect();
        let ids = vec![7; tokens as usize];
        let part = Part { text: &text, ends: &ends, ids: &ids, usage: on_each(said) };
        events = Vec::new();
        let last = if place + 1 == chunks.len() { Last::Yes } else { Last::No };
        if last == Last::Yes {
            let usage = (asked.usage != UsageFields::None).then(|| so_far(said));
            answer.last(&mut events, &part, &End { finish: &FinishReason::Length, usage });
        } else {
            answer.part(&mut events, &part);
        }
        client.hear(version, &framed(version, &events, last), chunk.at);
    }
    client
}

/// Measures the truth as a client of this API hears it.
fn measured(version: HttpVersion, api: Api, truth: &Rehearsal) -> Point {
    let (mut rows, mut heard) = (Vec::new(), Vec::new());
    for request in &truth.requests {
        let own = truth.chunks.iter().filter(|chunk| chunk.request == request.id);
        let client = told(version, api, request, &own.collect::<Vec<_>>());
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
    let both = |api| [HttpVersion::Http1, HttpVersion::Http2].map(|version| (version, api));
    let wires: Vec<_> = streaming.flat_map(both).collect();
    for load in [(&settings::CONCURRENCY, "12"), (&settings::RATE, "40/s")] {
        let truth = truth(load);
        let expected = measure(&truth.plan, &truth.requests, truth.chunks.clone());
        assert_eq!(expected.counts.success, 60);
        assert!(expected.latency.itl_ms.unwrap().max > expected.latency.itl_ms.unwrap().min);
        for &(version, api) in &wires {
            let point = measured(version, api, &truth);
            assert_eq!(point.counts, expected.counts, "{api}, {version}");
            assert_eq!(point.latency, expected.latency, "{api}, {version}");
            assert_eq!(point.concurrency, expected.concurrency, "{api}, {version}");
            assert_eq!(point.window, expected.window, "{api}, {version}");
            assert_eq!(point.tokens.output_mean, expected.tokens.output_mean, "{api}, {version}");
            let rates = [point.rates.unwrap(), expected.rates.unwrap()];
            let [ours, theirs] =
                rates.map(|rates| (rates.requests_per_s, rates.output_tokens_per_s));
            assert_eq!(ours, theirs, "{api}, {version}");
        }
    }
}
