//! What one request asks of the server, before any protocol.

use serde::{Deserialize, Serialize};

use crate::RequestId;

/// What one request asks: a prompt, and how long an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Which arrival of the run this is.
    pub id: RequestId,
    /// The input.
    pub prompt: Prompt,
    /// How many input tokens the server is expected to count, template included; absent where
    /// the workload cannot know.
    pub input_tokens: Option<u32>,
    /// How many tokens to generate; absent: as many as the server likes.
    pub output_tokens: Option<u32>,
    /// Whether the output length is an order or a limit.
    pub output_policy: OutputPolicy,
}

/// The input of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// Plain text: the whole prompt of `completions`, the one user message of `chat`.
    Text(String),
    /// Token ids, for servers that take them.
    Tokens(Vec<u32>),
    /// A conversation, oldest message first.
    Messages(Vec<Message>),
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant` or whatever the dataset says.
    pub role: String,
    /// The text.
    pub content: String,
}

/// Whether the asked output length is an order or a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputPolicy {
    /// Exactly so many tokens: end-of-sequence is ignored. Any other length is a failure.
    Exact,
    /// At most so many: the model stops when it likes.
    Natural,
    /// Nothing is generated: embeddings, ranks. Any answer will do.
    Nothing,
}
