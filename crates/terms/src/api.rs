//! The APIs by which servers are asked, and how their answers come.
//!
//! Not here: how each is spoken (`wire`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which API is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum Api {
    /// OpenAI `/v1/chat/completions`.
    Chat,
    /// OpenAI `/v1/completions`.
    Completions,
    /// OpenAI `/v1/responses`.
    Responses,
    /// OpenAI `/v1/embeddings`.
    Embeddings,
    /// vLLM `/pooling`.
    Pooling,
    /// Jina's and Cohere's `/v1/rerank`, as vLLM offers it.
    Rerank,
    /// TGI `/generate_stream` and `/generate`.
    Tgi,
    /// Triton's generate extension with the fields of its vLLM backend.
    Triton,
    /// Triton's generate extension with the fields of `TensorRT-LLM`'s ensemble.
    Trtllm,
    /// The v2 inference protocol of Triton and `KServe`, in JSON.
    Kserve,
    /// `SGLang` `/generate`.
    Sglang,
    /// llama.cpp `/completion`.
    Llamacpp,
    /// Ollama `/api/chat`.
    Ollama,
    /// Ollama `/api/generate`.
    OllamaGenerate,
    /// Anthropic `/v1/messages`.
    Anthropic,
}

impl Api {
    /// All of them, in the order of their documentation.
    pub const ALL: [Self; 15] = [
        Self::Chat,
        Self::Completions,
        Self::Responses,
        Self::Embeddings,
        Self::Pooling,
        Self::Rerank,
        Self::Tgi,
        Self::Triton,
        Self::Trtllm,
        Self::Kserve,
        Self::Sglang,
        Self::Llamacpp,
        Self::Ollama,
        Self::OllamaGenerate,
        Self::Anthropic,
    ];

    /// Returns its name, as options and records have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Responses => "responses",
            Self::Embeddings => "embeddings",
            Self::Pooling => "pooling",
            Self::Rerank => "rerank",
            Self::Tgi => "tgi",
            Self::Triton => "triton",
            Self::Trtllm => "trtllm",
            Self::Kserve => "kserve",
            Self::Sglang => "sglang",
            Self::Llamacpp => "llamacpp",
            Self::Ollama => "ollama",
            Self::OllamaGenerate => "ollama-generate",
            Self::Anthropic => "anthropic",
        }
    }

    /// Says whether answers can be streamed.
    pub const fn streams(self) -> bool {
        !matches!(self, Self::Embeddings | Self::Pooling | Self::Rerank | Self::Kserve)
    }

    /// Says whether anything is generated.
    pub const fn generates(self) -> bool {
        !matches!(self, Self::Embeddings | Self::Pooling | Self::Rerank)
    }

    /// Says whether an exact output length can be ordered, and not only limited.
    pub const fn orders_length(self) -> bool {
        self.generates()
            && !matches!(self, Self::Tgi | Self::Ollama | Self::OllamaGenerate | Self::Anthropic)
    }

    /// Says whether prompts go into a chat template.
    pub const fn is_chat(self) -> bool {
        matches!(self, Self::Chat | Self::Responses | Self::Ollama | Self::Anthropic)
    }

    /// Says whether a prompt may be token ids.
    pub const fn takes_token_ids(self) -> bool {
        matches!(
            self,
            Self::Completions | Self::Embeddings | Self::Pooling | Self::Sglang | Self::Llamacpp
        )
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Api {
    type Err = UnknownApi;

    fn from_str(name: &str) -> Result<Self, UnknownApi> {
        let found = Self::ALL.into_iter().find(|api| api.name() == name);
        found.ok_or_else(|| UnknownApi(name.to_owned()))
    }
}

/// A name that no API has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownApi(String);

impl fmt::Display for UnknownApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` names no API", self.0)
    }
}

impl std::error::Error for UnknownApi {}

impl From<Api> for &'static str {
    fn from(api: Api) -> Self {
        api.name()
    }
}

impl TryFrom<String> for Api {
    type Error = UnknownApi;

    fn try_from(name: String) -> Result<Self, UnknownApi> {
        name.parse()
    }
}

/// Whether answers are streamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Event by event.
    Streamed,
    /// One body at the end; there is no TTFT then.
    Whole,
}

/// Which version of HTTP carries the requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpVersion {
    /// HTTP/1.1: one request at a time on a connection.
    #[default]
    #[serde(rename = "1.1")]
    Http1,
    /// HTTP/2: many side by side.
    #[serde(rename = "2")]
    Http2,
}

impl fmt::Display for HttpVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_differ() {
        for api in Api::ALL {
            assert_eq!(api.name().parse(), Ok(api));
            assert_eq!(Api::ALL.into_iter().filter(|other| other.name() == api.name()).count(), 1);
        }
        assert!("Chat".parse::<Api>().is_err());
    }
}
