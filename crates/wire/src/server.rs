//! The server's role: reads requests and writes answers, in every dialect that streams.
//!
//! ```text
//!  path ─▶ Endpoint::of ─▶ parse ─▶ Asked
//!  Answer: opening ─▶ part ─▶ part ─▶ … ─▶ last        (streamed)
//!          whole                                       (not streamed)
//! ```
//!
//! Shapes are those of vLLM 0.32 for OpenAI's APIs and Anthropic's, and of each engine for its own.
//!
//! Not here: the models that exist, token counts, time. Whoever serves decides those.

use infermark_terms::{FinishReason, Prompt, Usage};
use serde::Serialize;

use crate::dialect::{Api, Delivery, Framing, Spoken as _, UsageFields};
use crate::{anthropic, llamacpp, ollama, openai, responses, sglang, tgi, triton};

/// What a request asks of the server. Fields that do not bear on load are left unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The model, where one is named.
    pub model: Option<String>,
    /// The input.
    pub prompt: Prompt,
    /// The most tokens to generate; absent: the API's own default.
    pub max_tokens: Option<u32>,
    /// How many tokens to generate before the model may stop.
    pub min_tokens: u32,
    /// Whether the model's wish to stop is overruled.
    pub ignore_eos: bool,
    /// Whether the answer is streamed.
    pub delivery: Delivery,
    /// What usage a streamed answer carries.
    pub usage: UsageFields,
    /// Whether each event carries its token ids.
    pub return_token_ids: bool,
    /// The priority, where the server schedules by it; lower goes first.
    pub priority: i64,
}

impl Asked {
    /// Returns a request for an answer to `prompt`, as long as the model likes.
    pub fn plain(prompt: Prompt, delivery: Delivery, usage: UsageFields) -> Self {
        Self {
            model: None,
            prompt,
            max_tokens: None,
            min_tokens: 0,
            ignore_eos: false,
            delivery,
            usage,
            return_token_ids: false,
            priority: 0,
        }
    }
}

/// Where a request for an answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint<'a> {
    api: Api,
    /// The delivery and the model that the path names.
    delivery: Option<Delivery>,
    model: Option<&'a str>,
}

impl<'a> Endpoint<'a> {
    /// Finds the endpoint of a path, without its query. Nothing: it answers no prompts.
    pub fn of(path: &'a str) -> Option<Self> {
        let api = |api| Some(Self { api, delivery: None, model: None });
        match path {
            "/v1/chat/completions" => api(Api::Chat),
            "/v1/completions" => api(Api::Completions),
            "/v1/responses" => api(Api::Responses),
            "/v1/messages" => api(Api::Anthropic),
            "/api/chat" => api(Api::Ollama),
            "/api/generate" => api(Api::OllamaGenerate),
            "/completion" | "/completions" => api(Api::Llamacpp),
            "/generate" => api(Api::Sglang),
            "/generate_stream" => {
                Some(Self { api: Api::Tgi, delivery: Some(Delivery::Streamed), model: None })
            }
            _ => {
                let (model, verb) = path.strip_prefix("/v2/models/")?.split_once('/')?;
                let delivery = match verb {
                    "generate" => Delivery::Whole,
                    "generate_stream" => Delivery::Streamed,
                    _ => return None,
                };
                Some(Self { api: Api::Triton, delivery: Some(delivery), model: Some(model) })
            }
        }
    }

    /// Reads the body of a request, and says by which API it asks: TGI and `SGLang` share a path.
    ///
    /// # Errors
    ///
    /// When it is no JSON object, lacks a prompt, or contradicts itself: status 400.
    pub fn parse(self, body: &[u8]) -> Result<(Api, Asked), Refusal> {
        let tgi = self.api == Api::Sglang && tgi::server::is_asked(body);
        let api = if tgi { Api::Tgi } else { self.api };
        let mut asked = role(api).parse(api, body)?;
        asked.delivery = match self.delivery {
            Some(delivery) => delivery,
            None if tgi => Delivery::Whole,
            None => asked.delivery,
        };
        asked.model = asked.model.or(self.model.map(ToOwned::to_owned));
        Ok((api, asked))
    }

    /// Returns the API that the path alone tells.
    pub fn api(self) -> Api {
        self.api
    }
}

/// Some tokens of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Their text, which may be empty.
    pub text: &'a str,
    /// Where in `text` each token ends: as many as there are tokens.
    pub ends: &'a [usize],
    /// Their ids.
    pub ids: &'a [u32],
    /// The counts so far, where they are told with every event.
    pub usage: Option<Usage>,
}

/// How an answer ends.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// Why the model stopped.
    pub finish: &'a FinishReason,
    /// The counts, where they are told.
    pub usage: Option<Usage>,
}

/// Writes one answer, streamed or whole. Everything is appended to the caller's buffer; events
/// are complete, with their framing.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(crate) api: Api,
    pub(crate) id: String,
    /// The model's name as a JSON string.
    pub(crate) model: Vec<u8>,
    pub(crate) created: u64,
    /// Whether events carry the ids of their tokens.
    pub(crate) token_ids: bool,
    /// The text so far, for dialects that repeat it.
    pub(crate) said: String,
    /// How many events have been written, for dialects that number them.
    pub(crate) number: u32,
}

impl Answer {
    /// Begins an answer to `asked`. `id` is the request's, `created` in seconds since 1970.
    ///
    /// # Panics
    ///
    /// Never: strings always serialize.
    pub fn new(api: Api, asked: &Asked, id: u64, model: &str, created: u64) -> Self {
        let prefix = match api {
            Api::Chat => "chatcmpl-",
            Api::Completions => "cmpl-",
            Api::Responses => "resp_",
            Api::Anthropic => "msg_",
            Api::Embeddings
            | Api::Pooling
            | Api::Rerank
            | Api::Tgi
            | Api::Triton
            | Api::Trtllm
            | Api::Kserve
            | Api::Sglang
            | Api::Llamacpp
            | Api::Ollama
            | Api::OllamaGenerate => "",
        };
        Self {
            api,
            id: format!("{prefix}{id:032x}"),
            model: serde_json::to_vec(model).expect("strings always serialize"),
            created,
            token_ids: asked.return_token_ids,
            said: String::new(),
            number: 0,
        }
    }

    /// Returns the answer's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the content type of a streamed answer.
    pub fn content_type(&self) -> &'static str {
        match self.api.framing() {
            Framing::Events => "text/event-stream; charset=utf-8",
            Framing::Lines => "application/x-ndjson",
        }
    }

    /// Says whether the events of one token all have the same length and differ in its text
    /// alone, as long as counts are not told with each.
    pub fn is_uniform(&self) -> bool {
        !self.token_ids && !matches!(self.api, Api::Tgi | Api::Sglang | Api::Responses)
    }

    /// Says whether an event's counts are those of its own tokens, and not those so far.
    pub fn counts_each(&self) -> bool {
        matches!(self.api, Api::Tgi | Api::Triton | Api::Trtllm)
    }

    /// Appends what comes before the first token; nothing in most dialects. `usage` has the counts
    /// so far, where they are told there.
    pub fn opening(&mut self, out: &mut Vec<u8>, usage: Option<Usage>) {
        role(self.api).opening(self, out, usage);
    }

    /// Appends an event with generated text.
    pub fn part(&mut self, out: &mut Vec<u8>, part: &Part<'_>) {
        role(self.api).part(self, out, part);
    }

    /// Appends the event of the last tokens, and all that ends the stream.
    pub fn last(&mut self, out: &mut Vec<u8>, part: &Part<'_>, end: &End<'_>) {
        role(self.api).last(self, out, part, end);
    }

    /// Appends an event that reports a fault in a stream that has begun, and ends the stream.
    pub fn fault(&self, out: &mut Vec<u8>, fault: &Refusal) {
        role(self.api).fault(self.api, out, fault);
    }

    /// Appends an event that is no valid JSON, and ends the stream.
    pub fn garbage(&self, out: &mut Vec<u8>) {
        self.framed(out, b"{\"id\":\xff\xfe{]");
        self.done(out);
    }

    /// Appends a sign of life.
    pub fn comment(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self.api.framing() {
            Framing::Events => b": keep-alive\n\n",
            Framing::Lines => b"\n",
        });
    }

    /// Appends the body of an answer that is not streamed.
    pub fn whole(&self, out: &mut Vec<u8>, text: &str, end: &End<'_>) {
        role(self.api).whole(self, out, text, end);
    }

    /// Appends `data` as one event.
    pub(crate) fn framed(&self, out: &mut Vec<u8>, data: &[u8]) {
        frame(self.api, out, data);
    }

    /// Appends the word that ends a stream, where there is one beside the last event.
    pub(crate) fn done(&self, out: &mut Vec<u8>) {
        done(self.api, out);
    }
}

/// Appends `data` as one event of a stream.
pub(crate) fn frame(api: Api, out: &mut Vec<u8>, data: &[u8]) {
    match api.framing() {
        Framing::Events => {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(data);
            out.extend_from_slice(b"\n\n");
        }
        Framing::Lines => {
            out.extend_from_slice(data);
            out.push(b'\n');
        }
    }
}

fn done(api: Api, out: &mut Vec<u8>) {
    if matches!(api, Api::Chat | Api::Completions | Api::Sglang) {
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

/// Appends an event with a name.
pub(crate) fn named(out: &mut Vec<u8>, name: &str, data: &[u8]) {
    for piece in [b"event: ", name.as_bytes(), b"\ndata: ", data, b"\n\n"] {
        out.extend_from_slice(piece);
    }
}

/// Appends a value as JSON.
pub(crate) fn json(out: &mut Vec<u8>, value: impl Serialize) {
    serde_json::to_writer(out, &value).expect("strings and numbers always serialize");
}

/// One dialect's way of serving.
pub(crate) trait Role: Sync {
    /// Reads the body of a request.
    fn parse(&self, api: Api, body: &[u8]) -> Result<Asked, Refusal>;

    /// Writes what comes before the first token.
    fn opening(&self, _answer: &mut Answer, _out: &mut Vec<u8>, _usage: Option<Usage>) {}

    /// Writes an event with tokens.
    fn part(&self, answer: &mut Answer, out: &mut Vec<u8>, part: &Part<'_>);

    /// Writes the event of the last tokens, and all that ends the stream.
    fn last(&self, answer: &mut Answer, out: &mut Vec<u8>, part: &Part<'_>, end: &End<'_>);

    /// Writes an answer that is not streamed.
    fn whole(&self, answer: &Answer, out: &mut Vec<u8>, text: &str, end: &End<'_>);

    /// Returns the body of a refusal.
    fn refusal(&self, refusal: &Refusal) -> Vec<u8> {
        let Refusal { message, class, param, status } = refusal;
        let error = Stated { message, class, param: *param, code: *status };
        to_vec(&Body { error })
    }

    /// Writes a report of a fault in a stream.
    fn fault(&self, api: Api, out: &mut Vec<u8>, fault: &Refusal) {
        frame(api, out, &self.refusal(fault));
        done(api, out);
    }
}

/// Returns a value as JSON.
pub(crate) fn to_vec(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings and numbers always serialize")
}

/// Reads the fields of a request.
pub(crate) fn fields<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::bad(None, format!("1 validation error: {error}")))
}

/// Returns what `stream` asks for.
pub(crate) fn delivery(streamed: Option<bool>, default: Delivery) -> Delivery {
    match streamed {
        Some(true) => Delivery::Streamed,
        Some(false) => Delivery::Whole,
        None => default,
    }
}

fn role(api: Api) -> &'static dyn Role {
    match api {
        Api::Chat | Api::Completions => &openai::server::OpenAi,
        Api::Responses => &responses::server::Responses,
        Api::Tgi => &tgi::server::Tgi,
        Api::Triton | Api::Trtllm => &triton::server::Triton,
        Api::Sglang => &sglang::server::Sglang,
        Api::Llamacpp => &llamacpp::server::LlamaCpp,
        Api::Ollama | Api::OllamaGenerate => &ollama::server::Ollama,
        Api::Anthropic => &anthropic::server::Anthropic,
        Api::Embeddings | Api::Pooling | Api::Rerank | Api::Kserve => {
            unreachable!("no endpoint of these is served")
        }
    }
}

/// Why a request is refused, in OpenAI's terms.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The class of error: `BadRequestError`, `NotFoundError`, …
    pub class: &'static str,
    /// What is wrong.
    pub message: String,
    /// The field that is wrong.
    pub param: Option<&'static str>,
}

impl Refusal {
    /// Returns the refusal of a request that cannot be served as it stands.
    pub fn bad(param: Option<&'static str>, message: impl Into<String>) -> Self {
        Self { status: 400, class: "BadRequestError", message: message.into(), param }
    }

    /// Returns the refusal of a model that is not served.
    pub fn unknown_model(model: &str) -> Self {
        let message = format!("The model `{model}` does not exist.");
        Self { status: 404, class: "NotFoundError", message, param: Some("model") }
    }

    /// Returns the refusal for want of room.
    pub fn overloaded(message: impl Into<String>) -> Self {
        Self { status: 503, class: "ServiceUnavailableError", message: message.into(), param: None }
    }

    /// Returns the report of a fault of the server itself.
    pub fn internal(message: impl Into<String>) -> Self {
        Self { status: 500, class: "InternalServerError", message: message.into(), param: None }
    }

    /// Returns the body to answer with, in the words of this API; OpenAI's are
    /// `{"error": {"message", "type", "param", "code"}}`.
    pub fn body(&self, api: Api) -> Vec<u8> {
        role(api).refusal(self)
    }
}

#[derive(Serialize)]
struct Body<'a> {
    error: Stated<'a>,
}

#[derive(Serialize)]
struct Stated<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    class: &'a str,
    param: Option<&'a str>,
    code: u16,
}

/// Returns an instant, in seconds since 1970, as RFC 3339 has it.
pub(crate) fn rfc3339(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Civil from days, in years that begin in March: Howard Hinnant, "chrono-compatible low-level
    // date algorithms".
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests;
