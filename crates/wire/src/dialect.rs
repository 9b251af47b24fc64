//! The APIs that servers speak, and how an ask is put to each.
//!
//! [`Api`] is the one list of them. Each has a module that writes its requests and reads its
//! events; here is only what differs between them and concerns everybody.
//!
//! | | streams as | exact length asked by | usage stands | tokens of a chunk |
//! |---|---|---|---|---|
//! | `chat`, `completions` | SSE, `[DONE]` | `ignore_eos`, `min_tokens` | as asked | by usage |
//! | `responses` | SSE, last event | `ignore_eos` | last event | untold |
//! | `tgi` | SSE, `details` | nothing | last event | one |
//! | `triton` | SSE, end of body | `ignore_eos`, `min_tokens` | each event | told |
//! | `trtllm` | SSE, end of body | `min_tokens`, `min_length` | each event | told |
//! | `sglang` | SSE, `[DONE]` | `ignore_eos`, `min_new_tokens` | each event | by usage |
//! | `llamacpp` | SSE, `stop` | `ignore_eos` | each event | by usage |
//! | `ollama`, `ollama-generate` | JSON lines, `done` | nothing | last line | untold |
//! | `anthropic` | SSE, `message_stop` | nothing | first and last event | untold |
//! | `kserve` | never | `ignore_eos`, `min_tokens` | in the body | |
//! | `embeddings`, `pooling`, `rerank` | never | generates nothing | in the body | |
//!
//! Not here: framing ([`crate::http1`], [`crate::sse`], [`crate::lines`]), the course of a
//! response ([`crate::exchange`]).

use std::borrow::Cow;
use std::fmt::Write as _;

pub use infermark_terms::{Api, Delivery};
use infermark_terms::{Ask, DecodeFault, Prompt};

use crate::event::Event;
use crate::{anthropic, llamacpp, ollama, openai, pooling, responses, sglang, tgi, triton};

/// Returns the path to post to, under the server's base URL. Triton has the model in it.
pub fn path(api: Api, delivery: Delivery, model: &str) -> Cow<'static, str> {
    let model = || percent_encoded(model);
    match (api, delivery) {
        (Api::Chat, _) => "/v1/chat/completions".into(),
        (Api::Completions, _) => "/v1/completions".into(),
        (Api::Responses, _) => "/v1/responses".into(),
        (Api::Embeddings, _) => "/v1/embeddings".into(),
        (Api::Pooling, _) => "/pooling".into(),
        (Api::Rerank, _) => "/v1/rerank".into(),
        (Api::Tgi, Delivery::Streamed) => "/generate_stream".into(),
        (Api::Tgi, Delivery::Whole) | (Api::Sglang, _) => "/generate".into(),
        (Api::Triton | Api::Trtllm, Delivery::Streamed) => {
            format!("/v2/models/{}/generate_stream", model()).into()
        }
        (Api::Triton | Api::Trtllm, Delivery::Whole) => {
            format!("/v2/models/{}/generate", model()).into()
        }
        (Api::Kserve, _) => format!("/v2/models/{}/infer", model()).into(),
        (Api::Llamacpp, _) => "/completion".into(),
        (Api::Ollama, _) => "/api/chat".into(),
        (Api::OllamaGenerate, _) => "/api/generate".into(),
        (Api::Anthropic, _) => "/v1/messages".into(),
    }
}

/// Returns the headers that an API wants on every request.
pub const fn headers(api: Api) -> &'static [(&'static str, &'static str)] {
    if matches!(api, Api::Anthropic) { &[("anthropic-version", "2023-06-01")] } else { &[] }
}

/// How an API is read.
pub(crate) trait Spoken {
    /// Returns how an answer that is streamed is divided.
    fn framing(self) -> Framing;

    /// Says whether an answer may end with its body, unannounced.
    fn ends_with_body(self) -> bool;

    /// Says whether each event carries all the text so far.
    fn repeats_text(self) -> bool;

    /// Reads an event of a stream, or a whole answer.
    fn read(self, event: &[u8]) -> Result<Event<'_>, DecodeFault>;
}

impl Spoken for Api {
    fn framing(self) -> Framing {
        let lines = matches!(self, Self::Ollama | Self::OllamaGenerate);
        if lines { Framing::Lines } else { Framing::Events }
    }

    fn ends_with_body(self) -> bool {
        matches!(self, Self::Triton | Self::Trtllm)
    }

    fn repeats_text(self) -> bool {
        matches!(self, Self::Sglang)
    }

    fn read(self, event: &[u8]) -> Result<Event<'_>, DecodeFault> {
        match self {
            Self::Chat => openai::event::event(openai::Shape::Chat, event),
            Self::Completions => openai::event::event(openai::Shape::Completions, event),
            Self::Responses => responses::read(event),
            Self::Embeddings | Self::Pooling | Self::Rerank => pooling::read(event),
            Self::Tgi => tgi::read(event),
            Self::Triton | Self::Trtllm => triton::read(event),
            Self::Kserve => triton::infer::read(event),
            Self::Sglang => sglang::read(event),
            Self::Llamacpp => llamacpp::read(event),
            Self::Ollama | Self::OllamaGenerate => ollama::read(event),
            Self::Anthropic => anthropic::read(event),
        }
    }
}

/// How a stream is divided into events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Server-sent events.
    Events,
    /// One JSON text a line.
    Lines,
}

/// Which fields order an exact output length, beside the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthFields {
    /// `ignore_eos` and a least length (vLLM, `SGLang`).
    IgnoreEosAndMinTokens,
    /// `ignore_eos` (`llama.cpp`, `TensorRT-LLM`).
    IgnoreEos,
    /// None: servers that refuse fields beyond their own API's.
    LimitOnly,
}

/// Which usage a streamed answer is asked to carry. A whole one carries it unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageFields {
    /// None.
    None,
    /// On an event at the end (`stream_options.include_usage`).
    Final,
    /// On every event (`stream_options.continuous_usage_stats`).
    Continuous,
}

/// How to put an ask to one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Which API.
    pub api: Api,
    /// Whether answers are streamed.
    pub delivery: Delivery,
    /// The model's name, as the server lists it.
    pub model: String,
    /// How an exact output length is ordered.
    pub length: LengthFields,
    /// What usage is asked for, where the API leaves a choice.
    pub usage: UsageFields,
}

/// A prompt in a form that the API does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedPrompt {
    /// Token ids.
    #[error("`{0}` takes no token ids as a prompt")]
    Tokens(Api),
    /// A conversation.
    #[error("`{0}` takes no conversation as a prompt")]
    Messages(Api),
}

impl Dialect {
    /// Returns the path to post to, under the server's base URL.
    pub fn path(&self) -> Cow<'static, str> {
        path(self.api, self.delivery, &self.model)
    }

    /// Returns the request's body. Sampling is left to the server's defaults.
    ///
    /// # Errors
    ///
    /// When the API does not take prompts of this form.
    pub fn body(&self, ask: &Ask) -> Result<Vec<u8>, UnsupportedPrompt> {
        match self.api {
            Api::Chat | Api::Completions => openai::body(self, ask),
            Api::Responses => responses::body(self, ask),
            Api::Embeddings | Api::Pooling | Api::Rerank => pooling::body(self, ask),
            Api::Tgi => tgi::body(self, ask),
            Api::Triton | Api::Trtllm => triton::body(self, ask),
            Api::Kserve => triton::infer::body(self, ask),
            Api::Sglang => sglang::body(self, ask),
            Api::Llamacpp => llamacpp::body(self, ask),
            Api::Ollama | Api::OllamaGenerate => ollama::body(self, ask),
            Api::Anthropic => anthropic::body(self, ask),
        }
    }

    /// Returns the fields by which this ask's length is ordered.
    pub(crate) fn length_of(&self, ask: &Ask) -> LengthFields {
        let exact = ask.output_policy == infermark_terms::OutputPolicy::Exact;
        if exact && ask.output_tokens.is_some() { self.length } else { LengthFields::LimitOnly }
    }

    /// Says whether the answer is to be streamed.
    pub(crate) fn is_streamed(&self) -> bool {
        self.delivery == Delivery::Streamed
    }
}

/// A prompt that is text or a list of token ids, as JSON has either.
#[derive(serde::Serialize)]
#[serde(untagged)]
pub(crate) enum Input<'a> {
    Text(&'a str),
    Tokens(&'a [u32]),
}

/// One message as most APIs have it.
#[derive(serde::Serialize)]
pub(crate) struct Turn<'a> {
    pub(crate) role: &'a str,
    pub(crate) content: &'a str,
}

impl<'a> From<&'a infermark_terms::Message> for Turn<'a> {
    fn from(message: &'a infermark_terms::Message) -> Self {
        Self { role: &message.role, content: &message.content }
    }
}

/// A prompt as an API takes it.
pub(crate) trait Taken {
    /// Returns the prompt as text, or as token ids where they are taken.
    fn input(self, prompt: &Prompt) -> Result<Input<'_>, UnsupportedPrompt>;

    /// Returns the prompt as text.
    fn text(self, prompt: &Prompt) -> Result<&str, UnsupportedPrompt>;

    /// Returns the prompt as a conversation; a text is its one user message.
    fn turns(self, prompt: &Prompt) -> Result<Vec<Turn<'_>>, UnsupportedPrompt>;
}

impl Taken for Api {
    fn input(self, prompt: &Prompt) -> Result<Input<'_>, UnsupportedPrompt> {
        match prompt {
            Prompt::Text(text) => Ok(Input::Text(text)),
            Prompt::Tokens(ids) if self.takes_token_ids() => Ok(Input::Tokens(ids)),
            Prompt::Tokens(_) => Err(UnsupportedPrompt::Tokens(self)),
            Prompt::Messages(_) => Err(UnsupportedPrompt::Messages(self)),
        }
    }

    fn text(self, prompt: &Prompt) -> Result<&str, UnsupportedPrompt> {
        match self.input(prompt)? {
            Input::Text(text) => Ok(text),
            Input::Tokens(_) => Err(UnsupportedPrompt::Tokens(self)),
        }
    }

    fn turns(self, prompt: &Prompt) -> Result<Vec<Turn<'_>>, UnsupportedPrompt> {
        match prompt {
            Prompt::Text(text) => Ok(vec![Turn { role: "user", content: text }]),
            Prompt::Messages(all) => Ok(all.iter().map(Turn::from).collect()),
            Prompt::Tokens(_) => Err(UnsupportedPrompt::Tokens(self)),
        }
    }
}

/// Returns a request's body as bytes.
pub(crate) fn json(body: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("strings and numbers always serialize")
}

/// Returns a path segment with everything but unreserved characters (RFC 3986, 2.3) escaped.
fn percent_encoded(segment: &str) -> String {
    let mut path = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(byte.into());
        } else {
            write!(path, "%{byte:02X}").expect("writing to memory does not fail");
        }
    }
    path
}

#[cfg(test)]
mod tests;
