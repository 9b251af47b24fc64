//! What the listener answers at once, and which requests it admits to the engine.
//!
//! Shapes and words are vLLM 0.32's.

use infermark_terms::{FinishReason, Message, Prompt};
use infermark_wire::Api;
use infermark_wire::http1::Request;
use infermark_wire::server::{Asked, Endpoint, Refusal};
use serde::Deserialize;
use serde_json::{Value, json};

use super::words::{self, Opening, Voice};

/// What is served.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) model: String,
    pub(crate) version: String,
    pub(crate) max_model_len: u32,
    /// When the listener started, in seconds since 1970.
    pub(crate) created: u64,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// A prompt to answer, in the dialect that the path alone tells.
    Answer(Api),
    Models,
    Tokenize,
    Detokenize,
    Health,
    Metrics,
    Version,
}

impl Route {
    /// Finds where a request goes.
    pub(crate) fn of(method: &str, target: &str) -> Result<Self, Refusal> {
        let path = target.split('?').next().unwrap_or_default();
        let (expected, route) = match path {
            "/v1/models" => ("GET", Self::Models),
            "/tokenize" => ("POST", Self::Tokenize),
            "/detokenize" => ("POST", Self::Detokenize),
            "/health" => ("GET", Self::Health),
            "/metrics" => ("GET", Self::Metrics),
            "/version" => ("GET", Self::Version),
            other => match Endpoint::of(other) {
                Some(endpoint) => ("POST", Self::Answer(endpoint.api())),
                None => return Err(nothing_there(404, "Not Found")),
            },
        };
        // "All general-purpose servers MUST support the methods GET and HEAD" (RFC 9110, section
        // 9.1), and clients look with HEAD whether there are metrics.
        let allowed = method == expected || (method == "HEAD" && expected == "GET");
        if allowed { Ok(route) } else { Err(nothing_there(405, "Method Not Allowed")) }
    }
}

fn nothing_there(status: u16, message: &'static str) -> Refusal {
    Refusal { status, class: message, message: message.to_owned(), param: None }
}

/// A request that the engine may have.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    pub(crate) api: Api,
    pub(crate) asked: Asked,
    /// The prompt's tokens, template included.
    pub(crate) prompt: Vec<u32>,
    pub(crate) voice: Voice,
    /// The most tokens that may be generated.
    pub(crate) max_tokens: u32,
    /// How many will be.
    pub(crate) output_tokens: u32,
    pub(crate) finish: FinishReason,
}

impl Served {
    /// Reads a request for an answer and decides how long that will be.
    ///
    /// Without `ignore_eos` the model stops after [`Voice::natural_length`] tokens, but not
    /// before `min_tokens`.
    pub(crate) fn admit(&self, target: &str, body: &[u8]) -> Result<Admitted, Refusal> {
        let path = target.split('?').next().unwrap_or_default();
        let endpoint = Endpoint::of(path).ok_or_else(|| nothing_there(404, "Not Found"))?;
        let (api, asked) = endpoint.parse(body)?;
        self.check_model(asked.model.as_deref())?;
        let prompt = match &asked.prompt {
            Prompt::Text(text) => encode(text),
            Prompt::Tokens(ids) => ids.clone(),
            Prompt::Messages(messages) => words::encode_chat(messages, Opening::Answer),
        };
        let max_tokens = self.room(api, prompt.len(), asked.max_tokens)?;
        let voice = Voice::of(&prompt);
        let natural = voice.natural_length().max(asked.min_tokens);
        let (output_tokens, finish) = if asked.ignore_eos || natural >= max_tokens {
            (max_tokens, FinishReason::Length)
        } else {
            (natural, FinishReason::Stop)
        };
        Ok(Admitted { api, asked, prompt, voice, max_tokens, output_tokens, finish })
    }

    fn check_model(&self, model: Option<&str>) -> Result<(), Refusal> {
        match model {
            Some(model) if model != self.model => Err(Refusal::unknown_model(model)),
            _ => Ok(()),
        }
    }

    /// Returns how many tokens may be generated.
    fn room(&self, api: Api, prompt: usize, asked: Option<u32>) -> Result<u32, Refusal> {
        let limit = self.max_model_len;
        let beginning = format!("This model's maximum context length is {limit} tokens. However,");
        let room = (limit as usize).saturating_sub(prompt) as u32;
        if room == 0 {
            let message = format!(
                "{beginning} your prompt contains {prompt} input tokens, which exceeds this limit \
                 even without any output tokens. Please reduce the length of the input prompt."
            );
            return Err(Refusal::bad(Some("input_tokens"), message));
        }
        let completions = api == Api::Completions;
        let default = if completions { room.min(COMPLETIONS_DEFAULT) } else { room };
        let max_tokens = asked.unwrap_or(default);
        if max_tokens > room {
            let message = format!(
                "{beginning} you requested {max_tokens} output tokens and your prompt contains \
                 {prompt} input tokens, for a total of {} tokens. Please reduce the length of the \
                 input prompt or the number of requested output tokens.",
                prompt as u64 + u64::from(max_tokens)
            );
            return Err(Refusal::bad(Some("max_tokens"), message));
        }
        Ok(max_tokens)
    }

    /// Returns the body of `/v1/models`.
    pub(crate) fn models(&self) -> Value {
        json!({
            "object": "list",
            "data": [{
                "id": self.model,
                "object": "model",
                "created": self.created,
                "owned_by": "infermark",
                "root": self.model,
                "parent": null,
                "max_model_len": self.max_model_len,
                "permission": [],
            }],
        })
    }

    /// Returns the body of `/version`.
    pub(crate) fn version(&self) -> Value {
        json!({ "version": self.version })
    }

    /// Returns the body of `/tokenize`.
    pub(crate) fn tokenize(&self, request: &Request) -> Result<Value, Refusal> {
        let fields: Tokenize = read(&request.body)?;
        self.check_model(fields.model.as_deref())?;
        let ids = match (fields.prompt, fields.messages) {
            (Some(text), None) => encode(&text),
            (None, Some(messages)) => {
                let opens = fields.add_generation_prompt.unwrap_or(true);
                let opening = if opens { Opening::Answer } else { Opening::None };
                words::encode_chat(&messages, opening)
            }
            _ => return Err(Refusal::bad(None, "either `prompt` or `messages` must be given.")),
        };
        Ok(json!({
            "count": ids.len(),
            "max_model_len": self.max_model_len,
            "tokens": ids,
            "token_strs": null,
        }))
    }

    /// Returns the body of `/detokenize`.
    pub(crate) fn detokenize(&self, request: &Request) -> Result<Value, Refusal> {
        let fields: Detokenize = read(&request.body)?;
        self.check_model(fields.model.as_deref())?;
        Ok(json!({ "prompt": words::decode(&fields.tokens) }))
    }
}

/// What `completions` generates at most if nothing is asked, as with OpenAI.
const COMPLETIONS_DEFAULT: u32 = 16;

fn encode(text: &str) -> Vec<u32> {
    let mut ids = Vec::new();
    words::encode(text, &mut ids);
    ids
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::bad(None, format!("1 validation error: {error}")))
}

#[derive(Deserialize)]
struct Tokenize {
    model: Option<String>,
    prompt: Option<String>,
    messages: Option<Vec<Message>>,
    add_generation_prompt: Option<bool>,
}

#[derive(Deserialize)]
struct Detokenize {
    model: Option<String>,
    tokens: Vec<u32>,
}
