//! Which API a server answers to, found out without anything being generated.
//!
//! Each API's endpoint is sent an empty object. A server that knows the endpoint says what is
//! missing (400 or 422), one that does not says that nothing is there (404, 405 or 501). The first
//! that is known is taken, in the order of [`ORDER`]: what most servers speak and says most first.

use infermark_terms::{Api, Delivery};
use infermark_wire::dialect::path;

use super::listing::Asking;
use crate::RunError;

/// In which order APIs are tried. `trtllm` and `kserve` share their endpoints with others, and
/// `pooling` and `rerank` stand beside `embeddings`: they must be asked for.
const ORDER: [Api; 11] = [
    Api::Chat,
    Api::Completions,
    Api::Tgi,
    Api::Triton,
    Api::Sglang,
    Api::Llamacpp,
    Api::Ollama,
    Api::OllamaGenerate,
    Api::Anthropic,
    Api::Responses,
    Api::Embeddings,
];

/// Finds the API.
///
/// # Errors
///
/// When the server cannot be reached, or answers to none.
pub(super) fn find(asking: Asking<'_>, model: &str) -> Result<Api, RunError> {
    for api in ORDER {
        let delivery = if api.streams() { Delivery::Streamed } else { Delivery::Whole };
        let response = asking.post(&path(api, delivery, model), b"{}")?;
        if knows(response.status) && speaks(api, &response.body) {
            return Ok(api);
        }
    }
    Err(RunError::NoApi { url: asking.endpoint.to_string() })
}

/// Says whether a status means that the endpoint is there.
const fn knows(status: u16) -> bool {
    matches!(status, 200..300 | 400 | 401 | 403 | 422 | 429 | 500 | 503)
}

/// TGI and `SGLang` share a path: TGI misses `inputs`.
fn speaks(api: Api, said: &[u8]) -> bool {
    api != Api::Sglang || !String::from_utf8_lossy(said).contains("`inputs`")
}
