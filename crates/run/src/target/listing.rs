//! What a server says that it serves, each kind in its own way.
//!
//! | asked | server |
//! |---|---|
//! | `GET /v1/models` | vLLM, `SGLang`, TGI, llama.cpp, Dynamo, Ollama, whoever speaks OpenAI |
//! | `POST /v2/repository/index` | Triton |
//! | `GET /api/tags` | Ollama |
//! | `GET /info` | TGI |
//!
//! Not here: which API is spoken (`probe`).

use std::fmt;

use infermark_drive::{Endpoint, Response, call};
use infermark_terms::{Excerpt, Nanos};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Headers;
use crate::RunError;

/// The software that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerKind {
    /// vLLM, or something that says it is.
    Vllm,
    /// infermark's own simulator.
    Infermark,
    /// `SGLang`.
    Sglang,
    /// llama.cpp's server.
    Llamacpp,
    /// Ollama.
    Ollama,
    /// Text Generation Inference.
    Tgi,
    /// Triton Inference Server.
    Triton,
    /// It does not say.
    Unknown,
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vllm => "vLLM",
            Self::Infermark => "infermark's simulator",
            Self::Sglang => "SGLang",
            Self::Llamacpp => "llama.cpp",
            Self::Ollama => "Ollama",
            Self::Tgi => "TGI",
            Self::Triton => "Triton",
            Self::Unknown => "a server that does not name itself,",
        })
    }
}

/// What is served.
pub(super) struct Listed {
    /// The first model.
    pub(super) first: String,
    pub(super) kind: ServerKind,
    /// The context of the model that is asked, where the list says.
    pub(super) context: Option<u32>,
}

/// A server that is asked.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) headers: &'a Headers,
    pub(crate) limit: Nanos,
}

impl Asking<'_> {
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.endpoint)
    }

    pub(crate) fn get(&self, path: &str) -> Result<Response, RunError> {
        call(self.endpoint, "GET", path, &self.headers.fields, None, self.limit)
            .map_err(|source| RunError::Unreachable { url: self.url(path), source })
    }

    pub(super) fn post(&self, path: &str, body: &[u8]) -> Result<Response, RunError> {
        call(self.endpoint, "POST", path, &self.headers.fields, Some(body), self.limit)
            .map_err(|source| RunError::Unreachable { url: self.url(path), source })
    }

    /// Returns the JSON of an answer with status 200.
    fn json(response: Result<Response, RunError>) -> Option<Value> {
        let response = response.ok().filter(|response| response.status == 200)?;
        serde_json::from_slice(&response.body).ok()
    }

    /// Asks for the list of models. A server that lists them nowhere must be told one.
    pub(super) fn models(&self, asked: Option<&str>) -> Result<Listed, RunError> {
        const PATH: &str = "/v1/models";
        let url = self.url(PATH);
        let response = self.get(PATH)?;
        match response.status {
            200 => {}
            404 | 405 | 501 => {
                let listed = self.elsewhere();
                return match (asked, listed) {
                    (Some(model), Some(listed)) => Ok(Listed { first: model.to_owned(), ..listed }),
                    (Some(model), None) => {
                        let (first, kind) = (model.to_owned(), ServerKind::Unknown);
                        Ok(Listed { first, kind, context: None })
                    }
                    (None, Some(listed)) => Ok(listed),
                    (None, None) => {
                        let (status, message) = (response.status, self.headers.stated(&response));
                        Err(RunError::Refused { url, status, message })
                    }
                };
            }
            status => {
                let message = self.headers.stated(&response);
                return Err(RunError::Refused { url, status, message });
            }
        }
        let body: Option<Value> = serde_json::from_slice(&response.body).ok();
        let Some(list) = body.as_ref().and_then(|body| body.get("data")).and_then(Value::as_array)
        else {
            let said = self.headers.veil.excerpt(&Excerpt::from_bytes(&response.body));
            let found = format!("`{said}`");
            return Err(RunError::NotTheApi { url, found });
        };
        let kind = self.kind(list.first());
        match (list.first().and_then(|model| text(model, "id")), asked) {
            (Some(first), asked) => {
                let context = context(list, asked.unwrap_or(&first));
                Ok(Listed { first, kind, context })
            }
            (None, Some(model)) => Ok(Listed { first: model.to_owned(), kind, context: None }),
            (None, None) => Err(RunError::NoModel { url }),
        }
    }

    /// Tells the software by whom the first model is said to be owned.
    fn kind(&self, first: Option<&Value>) -> ServerKind {
        match first.and_then(|model| text(model, "owned_by")).as_deref() {
            Some("vllm") => ServerKind::Vllm,
            Some("infermark") => ServerKind::Infermark,
            Some("sglang") => ServerKind::Sglang,
            Some("llamacpp") => ServerKind::Llamacpp,
            // Ollama names a library, TGI the owner of the model: both have a page of their own.
            _ if Self::json(self.get("/api/version")).is_some() => ServerKind::Ollama,
            _ if self.tgi().is_some() => ServerKind::Tgi,
            Some(_) | None => ServerKind::Unknown,
        }
    }

    /// Finds the models of a server that does not list them as OpenAI does.
    fn elsewhere(&self) -> Option<Listed> {
        let triton = || {
            let index = Self::json(self.post("/v2/repository/index", b"{}"))?;
            let ready = |model: &&Value| text(model, "state").is_none_or(|state| state == "READY");
            let first = index.as_array()?.iter().find(ready)?;
            let first = text(first, "name")?;
            Some(Listed { first, kind: ServerKind::Triton, context: None })
        };
        let ollama = || {
            let tags = Self::json(self.get("/api/tags"))?;
            let first = tags.get("models")?.as_array()?.first()?;
            let first = text(first, "name")?;
            Some(Listed { first, kind: ServerKind::Ollama, context: None })
        };
        let tgi = || Some(Listed { first: self.tgi()?, kind: ServerKind::Tgi, context: None });
        triton().or_else(ollama).or_else(tgi)
    }

    /// Returns the model that TGI says it serves.
    fn tgi(&self) -> Option<String> {
        let page = Self::json(self.get("/info"))?;
        let limits = ["max_input_tokens", "max_input_length"];
        let known = limits.into_iter().any(|key| page.get(key).is_some());
        text(&page, "model_id").filter(|_| known)
    }

    /// Asks for the server's version, which not every server tells.
    pub(super) fn version(&self) -> Option<String> {
        let pages = [
            ("/version", "version"),
            ("/api/version", "version"),
            ("/info", "version"),
            ("/v2", "version"),
            ("/props", "build_info"),
        ];
        pages.into_iter().find_map(|(path, key)| {
            let page = Self::json(self.get(path))?;
            Some(Excerpt::new(&text(&page, key)?).to_string())
        })
    }
}

/// Returns the context of a model in the list, in tokens (vLLM, `SGLang`).
fn context(list: &[Value], model: &str) -> Option<u32> {
    let entry = list.iter().find(|entry| text(entry, "id").as_deref() == Some(model))?;
    u32::try_from(entry.get("max_model_len")?.as_u64()?).ok()
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}
