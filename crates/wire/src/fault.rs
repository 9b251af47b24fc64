//! What a server says when it fails.

use infermark_terms::Excerpt;
use serde_json::Value;

/// Returns the message of an error in JSON, in the shapes that servers use: OpenAI's and vLLM's
/// `{"error": {"message"}}`, vLLM's older `{"object": "error", "message"}`, TGI's
/// `{"error": "…"}`, that of `FastAPI`, `{"detail": …}`. `None` for anything else.
pub(crate) fn stated_error(body: &[u8]) -> Option<Excerpt> {
    let stated: Value = serde_json::from_slice(body).ok()?;
    let error = stated.get("error").filter(|error| !error.is_null());
    let messages = [error.and_then(|error| error.get("message")), error, stated.get("message")];
    let message = messages.into_iter().flatten().next().or_else(|| stated.get("detail"))?;
    Some(message.as_str().map_or_else(|| Excerpt::new(&message.to_string()), Excerpt::new))
}

/// Returns what a failed server said: its message, else the beginning of the body.
pub fn message(body: &[u8]) -> Excerpt {
    stated_error(body).unwrap_or_else(|| Excerpt::from_bytes(body))
}
