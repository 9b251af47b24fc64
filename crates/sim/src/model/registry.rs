//! The shapes of well-known models, from their published `config.json` files.
//!
//! Names are matched without an organisation, in lower case, and without endings such as
//! `-instruct`; an ending such as `-fp8` or `-awq` sets the format of the weights.

use super::{Attention, ChatFormat, Dtype, Embeddings, FeedForward, ModelShape, Window};

/// Returns the model of this name, such as `meta-llama/Llama-3.1-8B-Instruct` or
/// `qwen3-32b-fp8`, or `None` if it is not known.
pub fn find(name: &str) -> Option<ModelShape> {
    let (wanted, format) = normalize(name);
    let mut shape = all().into_iter().find(|shape| shape.name == wanted)?;
    if let Some(dtype) = format {
        shape.weights = dtype;
    }
    Some(shape)
}

/// Endings that say nothing of the shape.
const PLAIN_ENDINGS: [&str; 16] = [
    "-instruct",
    "-chat",
    "-it",
    "-hf",
    "-base",
    "-v0.1",
    "-v0.2",
    "-v0.3",
    "-0528",
    "-2507",
    "-2506",
    "-2501",
    "-thinking",
    "-0324",
    "-dynamic",
    "-block",
];

/// Endings that give the format of the weights.
const FORMAT_ENDINGS: [(&str, Dtype); 11] = [
    ("-fp8", Dtype::Fp8),
    ("-awq", Dtype::Int4),
    ("-gptq", Dtype::Int4),
    ("-gptq-int4", Dtype::Int4),
    ("-gptq-int8", Dtype::Int8),
    ("-int4", Dtype::Int4),
    ("-int8", Dtype::Int8),
    ("-w8a8", Dtype::Int8),
    ("-w4a16", Dtype::Int4),
    ("-bf16", Dtype::Bf16),
    ("-mxfp4", Dtype::Mxfp4),
];

fn normalize(name: &str) -> (String, Option<Dtype>) {
    let mut rest = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase().replace('_', ".");
    let mut format = None;
    loop {
        let before = rest.len();
        for ending in PLAIN_ENDINGS {
            if let Some(shorter) = rest.strip_suffix(ending) {
                rest = shorter.to_owned();
            }
        }
        for (ending, dtype) in FORMAT_ENDINGS {
            if let Some(shorter) = rest.strip_suffix(ending) {
                rest = shorter.to_owned();
                format = Some(format.unwrap_or(dtype));
            }
        }
        if rest.len() == before {
            break;
        }
    }
    let rest = rest.strip_prefix("meta-").unwrap_or(&rest).replace("-v0-1", "");
    let same = SAME_SHAPE.iter().find(|(name, _)| *name == rest);
    (same.map_or(rest, |(_, shape)| (*shape).to_owned()), format)
}

/// Models that were trained further from another and kept its shape.
const SAME_SHAPE: [(&str, &str); 8] = [
    ("deepseek-r1-distill-llama-8b", "llama-3.1-8b"),
    ("deepseek-r1-distill-llama-70b", "llama-3.3-70b"),
    ("deepseek-r1-distill-qwen-1.5b", "qwen2.5-1.5b"),
    ("deepseek-r1-distill-qwen-7b", "qwen2.5-7b"),
    ("deepseek-r1-distill-qwen-14b", "qwen2.5-14b"),
    ("deepseek-r1-distill-qwen-32b", "qwen2.5-32b"),
    ("qwen3-coder-30b-a3b", "qwen3-30b-a3b"),
    ("llama-3.1-nemotron-70b", "llama-3.1-70b"),
];

/// The dimensions of a dense model, in the order in which a `config.json` is read.
struct Dense {
    layers: u32,
    hidden: u32,
    intermediate: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    vocab: u32,
    context: u32,
}

fn dense(name: &str, embeddings: Embeddings, d: &Dense) -> ModelShape {
    ModelShape {
        name: name.to_owned(),
        layers: d.layers,
        hidden: d.hidden,
        vocab: d.vocab,
        embeddings,
        heads: d.heads,
        attention: Attention::Grouped { kv_heads: d.kv_heads, head_dim: d.head_dim },
        feed_forward: FeedForward::Dense { intermediate: d.intermediate },
        window: None,
        max_context: d.context,
        weights: Dtype::Bf16,
        chat: ChatFormat::Template,
    }
}

/// A dense model from its row of numbers: layers, hidden, intermediate, heads, KV heads, head
/// width, vocabulary, context.
fn row(name: &str, embeddings: Embeddings, n: [u32; 8]) -> ModelShape {
    let [layers, hidden, intermediate, heads, kv_heads, head_dim, vocab, context] = n;
    let dims = Dense { layers, hidden, intermediate, heads, kv_heads, head_dim, vocab, context };
    dense(name, embeddings, &dims)
}

/// The same with experts: experts, active, expert width, shared width, dense layers; the dense
/// layers' width is the row's intermediate.
fn experts(shape: ModelShape, n: [u32; 5]) -> ModelShape {
    let FeedForward::Dense { intermediate: dense_intermediate } = shape.feed_forward else {
        return shape;
    };
    let [experts, active, intermediate, shared_intermediate, dense_layers] = n;
    ModelShape {
        feed_forward: FeedForward::Experts {
            experts,
            active,
            intermediate,
            shared_intermediate,
            dense_layers,
            dense_intermediate,
        },
        ..shape
    }
}

/// Latent attention: query rank, KV rank, rope, nope, value width.
fn latent(shape: ModelShape, n: [u32; 5]) -> ModelShape {
    let [q_rank, kv_rank, rope_dim, nope_dim, value_dim] = n;
    ModelShape {
        attention: Attention::Latent { q_rank, kv_rank, rope_dim, nope_dim, value_dim },
        ..shape
    }
}

/// Every model of the registry.
pub fn all() -> Vec<ModelShape> {
    let mut shapes = llama_family();
    shapes.extend(qwen_family());
    shapes.extend(other_dense());
    shapes.extend(mixtures());
    shapes
}

fn llama_family() -> Vec<ModelShape> {
    use Embeddings::{Separate, Tied};
    vec![
        row("llama-2-7b", Separate, [32, 4096, 11008, 32, 32, 128, 32000, 4096]),
        row("llama-2-13b", Separate, [40, 5120, 13824, 40, 40, 128, 32000, 4096]),
        row("llama-2-70b", Separate, [80, 8192, 28672, 64, 8, 128, 32000, 4096]),
        row("codellama-34b", Separate, [48, 8192, 22016, 64, 8, 128, 32000, 16384]),
        row("llama-3-8b", Separate, [32, 4096, 14336, 32, 8, 128, 128_256, 8192]),
        row("llama-3-70b", Separate, [80, 8192, 28672, 64, 8, 128, 128_256, 8192]),
        row("llama-3.1-3b", Tied, [28, 3072, 8192, 24, 8, 128, 128_256, 131_072]),
        row("llama-3.1-8b", Separate, [32, 4096, 14336, 32, 8, 128, 128_256, 131_072]),
        row("llama-3.1-70b", Separate, [80, 8192, 28672, 64, 8, 128, 128_256, 131_072]),
        row("llama-3.1-405b", Separate, [126, 16384, 53248, 128, 8, 128, 128_256, 131_072]),
        row("llama-3.2-1b", Tied, [16, 2048, 8192, 32, 8, 64, 128_256, 131_072]),
        row("llama-3.2-3b", Tied, [28, 3072, 8192, 24, 8, 128, 128_256, 131_072]),
        row("llama-3.3-70b", Separate, [80, 8192, 28672, 64, 8, 128, 128_256, 131_072]),
    ]
}

fn qwen_family() -> Vec<ModelShape> {
    use Embeddings::{Separate, Tied};
    vec![
        row("qwen2-7b", Separate, [28, 3584, 18944, 28, 4, 128, 152_064, 32768]),
        row("qwen2.5-0.5b", Tied, [24, 896, 4864, 14, 2, 64, 151_936, 32768]),
        row("qwen2.5-1.5b", Tied, [28, 1536, 8960, 12, 2, 128, 151_936, 32768]),
        row("qwen2.5-3b", Tied, [36, 2048, 11008, 16, 2, 128, 151_936, 32768]),
        row("qwen2.5-7b", Separate, [28, 3584, 18944, 28, 4, 128, 152_064, 32768]),
        row("qwen2.5-14b", Separate, [48, 5120, 13824, 40, 8, 128, 152_064, 32768]),
        row("qwen2.5-32b", Separate, [64, 5120, 27648, 40, 8, 128, 152_064, 32768]),
        row("qwen2.5-72b", Separate, [80, 8192, 29568, 64, 8, 128, 152_064, 32768]),
        row("qwen3-0.6b", Tied, [28, 1024, 3072, 16, 8, 128, 151_936, 40960]),
        row("qwen3-1.7b", Tied, [28, 2048, 6144, 16, 8, 128, 151_936, 40960]),
        row("qwen3-4b", Tied, [36, 2560, 9728, 32, 8, 128, 151_936, 40960]),
        row("qwen3-8b", Separate, [36, 4096, 12288, 32, 8, 128, 151_936, 40960]),
        row("qwen3-14b", Separate, [40, 5120, 17408, 40, 8, 128, 151_936, 40960]),
        row("qwen3-32b", Separate, [64, 5120, 25600, 64, 8, 128, 151_936, 40960]),
        row("qwq-32b", Separate, [64, 5120, 27648, 40, 8, 128, 152_064, 40960]),
        experts(
            row("qwen3-30b-a3b", Separate, [48, 2048, 6144, 32, 4, 128, 151_936, 40960]),
            [128, 8, 768, 0, 0],
        ),
        experts(
            row("qwen3-235b-a22b", Separate, [94, 4096, 12288, 64, 4, 128, 151_936, 40960]),
            [128, 8, 1536, 0, 0],
        ),
        experts(
            row("qwen3-coder-480b-a35b", Separate, [62, 6144, 8192, 96, 8, 128, 151_936, 262_144]),
            [160, 8, 2560, 0, 0],
        ),
    ]
}

fn other_dense() -> Vec<ModelShape> {
    use Embeddings::{Separate, Tied};
    let mistral = row("mistral-7b", Separate, [32, 4096, 14336, 32, 8, 128, 32000, 32768]);
    let phi_mini = row("phi-3-mini", Separate, [32, 3072, 8192, 32, 32, 96, 32064, 4096]);
    let gemma = row("gemma-3-27b", Tied, [62, 5376, 21504, 32, 16, 128, 262_208, 131_072]);
    let gemma = ModelShape { window: Some(Window { tokens: 1024, layers: 52 }), ..gemma };
    vec![
        mistral,
        phi_mini,
        gemma,
        row("mistral-large", Separate, [88, 12288, 28672, 96, 8, 128, 32768, 131_072]),
        row("mistral-nemo-12b", Separate, [40, 5120, 14336, 32, 8, 128, 131_072, 131_072]),
        row("mistral-small-24b", Separate, [40, 5120, 32768, 32, 8, 128, 131_072, 32768]),
        row("phi-3-medium", Separate, [40, 5120, 17920, 40, 10, 128, 32064, 4096]),
        row("phi-4", Separate, [40, 5120, 17920, 40, 10, 128, 100_352, 16384]),
        row("granite-3.1-8b", Tied, [40, 4096, 12800, 32, 8, 128, 49155, 131_072]),
        row("granite-3.3-8b", Tied, [40, 4096, 12800, 32, 8, 128, 49159, 131_072]),
        row("yi-34b", Separate, [60, 7168, 20480, 56, 8, 128, 64000, 4096]),
        row("tinyllama-1.1b", Separate, [22, 2048, 5632, 32, 4, 64, 32000, 2048]),
    ]
}

fn kimi_k2() -> ModelShape {
    let dims = [61, 7168, 18432, 64, 64, 128, 163_840, 131_072];
    let shape = latent(row("kimi-k2", Embeddings::Separate, dims), [1536, 512, 64, 128, 128]);
    ModelShape { weights: Dtype::Fp8, ..experts(shape, [384, 8, 2048, 2048, 1]) }
}

fn mixtures() -> Vec<ModelShape> {
    use Embeddings::Separate;
    let mxfp4 = |shape: ModelShape, layers: u32| ModelShape {
        window: Some(Window { tokens: 128, layers: layers / 2 }),
        weights: Dtype::Mxfp4,
        chat: ChatFormat::Native,
        ..shape
    };
    let deepseek = |name: &str| {
        let shape = row(name, Separate, [61, 7168, 18432, 128, 128, 128, 129_280, 163_840]);
        let shape = latent(shape, [1536, 512, 64, 128, 128]);
        ModelShape { weights: Dtype::Fp8, ..experts(shape, [256, 8, 2048, 2048, 3]) }
    };
    let lite = row("deepseek-v2-lite", Separate, [27, 2048, 10944, 16, 16, 128, 102_400, 163_840]);
    vec![
        experts(
            row("mixtral-8x7b", Separate, [32, 4096, 14336, 32, 8, 128, 32000, 32768]),
            [8, 2, 14336, 0, 0],
        ),
        experts(
            row("mixtral-8x22b", Separate, [56, 6144, 16384, 48, 8, 128, 32768, 65536]),
            [8, 2, 16384, 0, 0],
        ),
        mxfp4(
            experts(
                row("gpt-oss-20b", Separate, [24, 2880, 2880, 64, 8, 64, 201_088, 131_072]),
                [32, 4, 2880, 0, 0],
            ),
            24,
        ),
        mxfp4(
            experts(
                row("gpt-oss-120b", Separate, [36, 2880, 2880, 64, 8, 64, 201_088, 131_072]),
                [128, 4, 2880, 0, 0],
            ),
            36,
        ),
        deepseek("deepseek-r1"),
        deepseek("deepseek-v3"),
        deepseek("deepseek-v3.1"),
        deepseek("deepseek-v3.2"),
        experts(latent(lite, [0, 512, 64, 128, 128]), [64, 6, 1408, 2816, 1]),
        kimi_k2(),
        experts(
            row("minimax-m2", Separate, [62, 3072, 1536, 48, 8, 128, 200_064, 196_608]),
            [256, 8, 1536, 0, 0],
        ),
        experts(
            row("glm-4.5", Separate, [92, 5120, 12288, 96, 8, 128, 151_552, 131_072]),
            [160, 8, 1536, 1536, 3],
        ),
        experts(
            row("glm-4.5-air", Separate, [46, 4096, 10944, 96, 8, 128, 151_552, 131_072]),
            [128, 8, 1408, 1408, 1],
        ),
        experts(
            row("glm-4.6", Separate, [92, 5120, 12288, 96, 8, 128, 151_552, 202_752]),
            [160, 8, 1536, 1536, 3],
        ),
    ]
}
