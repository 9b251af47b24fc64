//! The server's role: reads requests and writes answers in the shapes of vLLM 0.32.
//!
//! Not here: the models that exist, token counts, time. Whoever serves decides those.

mod answer;
mod asked;

pub use answer::Answer;
pub use asked::{Asked, parse};

use serde::Serialize;

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

    /// Returns the body to answer with: `{"error": {"message", "type", "param", "code"}}`.
    ///
    /// # Panics
    ///
    /// Never: strings and numbers always serialize.
    pub fn body(&self) -> Vec<u8> {
        let error = Stated {
            message: &self.message,
            class: self.class,
            param: self.param,
            code: self.status,
        };
        serde_json::to_vec(&Body { error }).expect("strings and numbers always serialize")
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

#[cfg(test)]
mod tests;
