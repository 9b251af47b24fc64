//! Shapes of models: what a step must compute and read follows from them.
//!
//! A shape comes from a Hugging Face `config.json` ([`ModelShape::from_config`]) or from the
//! registry ([`registry`]). Parameters are counted from the shape, never copied from a model's
//! name. Left out: biases and norms (below 0.1 % of any model here) and vision towers.

use serde_json::Value;

pub mod registry;

/// A number format of weights or of the KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dtype {
    /// 16-bit float, either kind.
    Bf16,
    /// 8-bit float, weights and activations where the GPU can.
    Fp8,
    /// 8-bit integer, weights and activations where the GPU can.
    Int8,
    /// 4-bit weights with a scale for each group of 128: AWQ, GPTQ, W4A16.
    Int4,
    /// 4-bit float with a shared exponent for each group of 32 (OCP MX), as gpt-oss ships.
    Mxfp4,
}

impl Dtype {
    /// Returns bytes per value, scales included.
    pub fn bytes(self) -> f64 {
        match self {
            Self::Bf16 => 2.0,
            Self::Fp8 | Self::Int8 => 1.0,
            Self::Int4 => 0.5 + 2.5 / 128.0,
            Self::Mxfp4 => 0.5 + 1.0 / 32.0,
        }
    }

    /// Returns the name in options and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::Fp8 => "fp8",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
            Self::Mxfp4 => "mxfp4",
        }
    }

    /// Returns the format of this name, or `None`.
    pub fn of_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "bf16" | "bfloat16" | "fp16" | "float16" | "half" => Some(Self::Bf16),
            "fp8" | "fp8_e4m3" | "fp8_e5m2" => Some(Self::Fp8),
            "int8" | "w8a8" => Some(Self::Int8),
            "int4" | "w4a16" | "awq" | "gptq" | "nf4" => Some(Self::Int4),
            "mxfp4" => Some(Self::Mxfp4),
            _ => None,
        }
    }
}

/// What a model's layers look like.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelShape {
    /// Its short name.
    pub name: String,
    /// Decoder layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Vocabulary.
    pub vocab: u32,
    /// Whether the output matrix is the input embedding.
    pub embeddings: Embeddings,
    /// Query heads.
    pub heads: u32,
    /// How keys and values are made and kept.
    pub attention: Attention,
    /// What follows attention.
    pub feed_forward: FeedForward,
    /// Layers that see only the last tokens.
    pub window: Option<Window>,
    /// The longest sequence.
    pub max_context: u32,
    /// The format in which the model is published.
    pub weights: Dtype,
    /// How conversations become tokens.
    pub chat: ChatFormat,
}

/// How conversations become tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatFormat {
    /// A Jinja template is rendered, and the text tokenized: milliseconds of Python.
    Template,
    /// A native encoder makes tokens of messages (gpt-oss's Harmony).
    Native,
}

/// Whether the output matrix is the input embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Embeddings {
    /// One matrix serves both.
    Tied,
    /// Two matrices.
    Separate,
}

/// How keys and values are made and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// Multi-head, grouped-query or multi-query attention.
    Grouped {
        /// Key/value heads.
        kv_heads: u32,
        /// Width of a head.
        head_dim: u32,
    },
    /// Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434): one compressed vector per
    /// token and layer, whatever the number of heads.
    Latent {
        /// Rank of the query's compression; 0 where queries are not compressed.
        q_rank: u32,
        /// Rank of the key/value compression.
        kv_rank: u32,
        /// Width of the part of a head that carries positions.
        rope_dim: u32,
        /// Width of the rest of a query or key head.
        nope_dim: u32,
        /// Width of a value head.
        value_dim: u32,
    },
}

/// The feed-forward part of the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedForward {
    /// One gated block: three matrices of `hidden × intermediate`.
    Dense {
        /// Inner width.
        intermediate: u32,
    },
    /// A mixture of experts, each a gated block.
    Experts {
        /// Routed experts of a layer.
        experts: u32,
        /// Experts that each token visits.
        active: u32,
        /// Inner width of one expert.
        intermediate: u32,
        /// Inner width of what every token visits besides; 0 for none.
        shared_intermediate: u32,
        /// Leading layers that are dense instead.
        dense_layers: u32,
        /// Inner width of those.
        dense_intermediate: u32,
    },
}

/// Layers that see only the last tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many tokens they see.
    pub tokens: u32,
    /// How many layers do so.
    pub layers: u32,
}

/// Why a `config.json` does not give a shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The text is not JSON.
    #[error("the model's configuration is not valid JSON: {reason}")]
    NotJson {
        /// The parser's word.
        reason: String,
    },
    /// A number that is needed is absent or no whole number above 0.
    #[error("the model's configuration has no usable `{key}`")]
    Missing {
        /// The key.
        key: &'static str,
    },
}

impl ModelShape {
    /// Reads a Hugging Face `config.json`; `name` is what to call the model.
    ///
    /// # Errors
    ///
    /// When the text is not JSON, or a dimension is missing.
    pub fn from_config(name: &str, json: &str) -> Result<Self, ConfigError> {
        let root: Value = serde_json::from_str(json)
            .map_err(|e| ConfigError::NotJson { reason: e.to_string() })?;
        // Multimodal models keep the language model's dimensions one level down.
        let config = root.get("text_config").unwrap_or(&root);
        let need = |key: &'static str| number(config, key).ok_or(ConfigError::Missing { key });
        let layers = need("num_hidden_layers")?;
        let hidden = need("hidden_size")?;
        let heads = need("num_attention_heads")?;
        let tied = config.get("tie_word_embeddings").and_then(Value::as_bool);
        Ok(Self {
            name: name.to_owned(),
            layers,
            hidden,
            vocab: need("vocab_size")?,
            embeddings: match tied {
                Some(true) => Embeddings::Tied,
                Some(false) | None => Embeddings::Separate,
            },
            heads,
            attention: attention_of(config, hidden, heads)?,
            feed_forward: feed_forward_of(config)?,
            window: window_of(config, layers),
            max_context: number(config, "max_position_embeddings").unwrap_or(4_096),
            weights: weights_of(&root),
            chat: match config.get("model_type").and_then(Value::as_str) {
                Some("gpt_oss") => ChatFormat::Native,
                Some(_) | None => ChatFormat::Template,
            },
        })
    }

    /// Returns the parameters of one layer's attention.
    pub fn attention_params(&self) -> f64 {
        let (hidden, heads) = (f64::from(self.hidden), f64::from(self.heads));
        match self.attention {
            Attention::Grouped { kv_heads, head_dim } => {
                let width = heads * f64::from(head_dim);
                let kv = f64::from(kv_heads) * f64::from(head_dim);
                hidden * (2.0 * width + 2.0 * kv)
            }
            Attention::Latent { q_rank, kv_rank, rope_dim, nope_dim, value_dim } => {
                let (q_rank, kv_rank) = (f64::from(q_rank), f64::from(kv_rank));
                let (rope, nope, value) =
                    (f64::from(rope_dim), f64::from(nope_dim), f64::from(value_dim));
                let query = if q_rank > 0.0 {
                    hidden * q_rank + q_rank * heads * (nope + rope)
                } else {
                    hidden * heads * (nope + rope)
                };
                query
                    + hidden * (kv_rank + rope)
                    + kv_rank * heads * (nope + value)
                    + heads * value * hidden
            }
        }
    }

    /// Returns the parameters that every token visits in the feed-forward parts of all layers:
    /// dense blocks, shared experts, routers.
    pub fn shared_feed_forward_params(&self) -> f64 {
        let (hidden, layers) = (f64::from(self.hidden), f64::from(self.layers));
        match self.feed_forward {
            FeedForward::Dense { intermediate } => layers * 3.0 * hidden * f64::from(intermediate),
            FeedForward::Experts {
                experts,
                shared_intermediate,
                dense_layers,
                dense_intermediate,
                ..
            } => {
                let dense = f64::from(dense_layers);
                dense * 3.0 * hidden * f64::from(dense_intermediate)
                    + (layers - dense)
                        * hidden
                        * (3.0 * f64::from(shared_intermediate) + f64::from(experts))
            }
        }
    }

    /// Returns the parameters of one routed expert; 0 for a dense model.
    pub fn expert_params(&self) -> f64 {
        match self.feed_forward {
            FeedForward::Dense { .. } => 0.0,
            FeedForward::Experts { intermediate, .. } => {
                3.0 * f64::from(self.hidden) * f64::from(intermediate)
            }
        }
    }

    /// Returns the number of layers with routed experts.
    pub fn expert_layers(&self) -> f64 {
        match self.feed_forward {
            FeedForward::Dense { .. } => 0.0,
            FeedForward::Experts { dense_layers, .. } => f64::from(self.layers - dense_layers),
        }
    }

    /// Returns the parameters of the output matrix.
    pub fn head_params(&self) -> f64 {
        f64::from(self.vocab) * f64::from(self.hidden)
    }

    /// Returns all parameters.
    pub fn params(&self) -> f64 {
        let routed = match self.feed_forward {
            FeedForward::Dense { .. } => 0.0,
            FeedForward::Experts { experts, .. } => {
                self.expert_layers() * f64::from(experts) * self.expert_params()
            }
        };
        let embeddings = match self.embeddings {
            Embeddings::Tied => self.head_params(),
            Embeddings::Separate => 2.0 * self.head_params(),
        };
        self.body_params() + routed + embeddings
    }

    /// Returns the parameters that take part in one token's step.
    pub fn active_params(&self) -> f64 {
        let routed = match self.feed_forward {
            FeedForward::Dense { .. } => 0.0,
            FeedForward::Experts { active, .. } => {
                self.expert_layers() * f64::from(active) * self.expert_params()
            }
        };
        self.body_params() + routed + self.head_params()
    }

    /// Returns the bytes of all weights in this format; embeddings stay in 16 bits.
    pub fn weight_bytes(&self, dtype: Dtype) -> f64 {
        let embeddings = match self.embeddings {
            Embeddings::Tied => self.head_params(),
            Embeddings::Separate => 2.0 * self.head_params(),
        };
        let shared = self.body_params() * self.body_dtype(dtype).bytes();
        let routed = self.params() - embeddings - self.body_params();
        shared + routed * dtype.bytes() + embeddings * Dtype::Bf16.bytes()
    }

    /// Returns the format of everything but routed experts and embeddings. MXFP4 is only used
    /// for experts; the rest of such a model is in 16 bits.
    pub fn body_dtype(&self, dtype: Dtype) -> Dtype {
        match (dtype, self.feed_forward) {
            (Dtype::Mxfp4, FeedForward::Experts { .. }) => Dtype::Bf16,
            (other, _) => other,
        }
    }

    /// Returns the bytes that one token occupies in one layer's KV cache.
    pub fn kv_bytes_per_layer(&self, dtype: Dtype) -> f64 {
        let values = match self.attention {
            Attention::Grouped { kv_heads, head_dim } => 2.0 * f64::from(kv_heads * head_dim),
            Attention::Latent { kv_rank, rope_dim, .. } => f64::from(kv_rank + rope_dim),
        };
        values * dtype.bytes()
    }

    /// Attention of all layers, and what every token visits of the feed-forward parts.
    fn body_params(&self) -> f64 {
        f64::from(self.layers) * self.attention_params() + self.shared_feed_forward_params()
    }
}

fn number(config: &Value, key: &str) -> Option<u32> {
    config.get(key)?.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|&n| n > 0)
}

fn attention_of(config: &Value, hidden: u32, heads: u32) -> Result<Attention, ConfigError> {
    let Some(kv_rank) = number(config, "kv_lora_rank") else {
        let head_dim = number(config, "head_dim").unwrap_or(hidden / heads);
        let kv_heads = number(config, "num_key_value_heads").unwrap_or(heads);
        return Ok(Attention::Grouped { kv_heads, head_dim });
    };
    let need = |key: &'static str| number(config, key).ok_or(ConfigError::Missing { key });
    Ok(Attention::Latent {
        q_rank: number(config, "q_lora_rank").unwrap_or(0),
        kv_rank,
        rope_dim: need("qk_rope_head_dim")?,
        nope_dim: need("qk_nope_head_dim")?,
        value_dim: need("v_head_dim")?,
    })
}

fn feed_forward_of(config: &Value) -> Result<FeedForward, ConfigError> {
    let dense = number(config, "intermediate_size");
    let experts = ["num_local_experts", "num_experts", "n_routed_experts"]
        .iter()
        .find_map(|key| number(config, key))
        .filter(|&n| n > 1);
    let Some(experts) = experts else {
        let intermediate = dense.ok_or(ConfigError::Missing { key: "intermediate_size" })?;
        return Ok(FeedForward::Dense { intermediate });
    };
    let active = ["num_experts_per_tok", "experts_per_token", "top_k_experts"]
        .iter()
        .find_map(|key| number(config, key))
        .ok_or(ConfigError::Missing { key: "num_experts_per_tok" })?;
    let intermediate = number(config, "moe_intermediate_size")
        .or(dense)
        .ok_or(ConfigError::Missing { key: "moe_intermediate_size" })?;
    let shared = number(config, "shared_expert_intermediate_size")
        .or_else(|| number(config, "shared_intermediate_size"))
        .or_else(|| number(config, "n_shared_experts").map(|n| n * intermediate))
        .unwrap_or(0);
    Ok(FeedForward::Experts {
        experts,
        active,
        intermediate,
        shared_intermediate: shared,
        dense_layers: number(config, "first_k_dense_replace").unwrap_or(0),
        dense_intermediate: dense.unwrap_or(0),
    })
}

fn window_of(config: &Value, layers: u32) -> Option<Window> {
    let tokens = number(config, "sliding_window")?;
    if config.get("use_sliding_window").and_then(Value::as_bool) == Some(false) {
        return None;
    }
    let windowed = match config.get("layer_types").and_then(Value::as_array) {
        Some(kinds) => {
            kinds.iter().filter(|kind| kind.as_str() == Some("sliding_attention")).count() as u32
        }
        None => layers,
    };
    (windowed > 0).then_some(Window { tokens, layers: windowed })
}

fn weights_of(root: &Value) -> Dtype {
    let Some(quantization) = root.get("quantization_config") else {
        return Dtype::Bf16;
    };
    let method = quantization.get("quant_method").and_then(Value::as_str).unwrap_or_default();
    let bits = number(quantization, "bits").or_else(|| {
        let weights = quantization.pointer("/config_groups/group_0/weights")?;
        number(weights, "num_bits")
    });
    match (Dtype::of_name(method), bits) {
        (Some(Dtype::Int4), Some(8)) => Dtype::Int8,
        (Some(dtype), _) => dtype,
        (None, Some(4)) => Dtype::Int4,
        (None, Some(8)) => Dtype::Fp8,
        (None, _) => Dtype::Bf16,
    }
}

#[cfg(test)]
mod tests;
