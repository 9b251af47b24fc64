//! Parameters against the totals that the models' makers publish; configurations as published.

use super::*;

/// Billions of parameters as published with each model (all, active).
const PUBLISHED: [(&str, f64, f64); 30] = [
    ("llama-2-7b", 6.74, 6.74),
    ("llama-2-70b", 68.98, 68.98),
    ("codellama-34b", 33.74, 33.74),
    ("meta-llama/Llama-3.1-8B-Instruct", 8.03, 8.03),
    ("llama-3.1-70b", 70.55, 70.55),
    ("llama-3.1-405b", 405.85, 405.85),
    ("meta-llama/Llama-3.2-3B-Instruct", 3.21, 3.21),
    ("Qwen/Qwen2.5-3B-Instruct", 3.09, 3.09),
    ("Qwen/Qwen2.5-14B-Instruct", 14.77, 14.77),
    ("Qwen2-7B-Instruct", 7.62, 7.62),
    ("Qwen/Qwen3-8B", 8.19, 8.19),
    ("Qwen/Qwen3-14B", 14.77, 14.77),
    ("Qwen/Qwen3-32B-FP8", 32.76, 32.76),
    ("Qwen/Qwen3-30B-A3B", 30.53, 3.35),
    ("Qwen/Qwen3-235B-A22B", 235.09, 22.19),
    ("mistralai/Mistral-7B-Instruct-v0.2", 7.24, 7.24),
    ("mixtral-8x7b-v0-1", 46.70, 12.88),
    ("openai/gpt-oss-20b", 20.91, 3.61),
    ("openai/gpt-oss-120b", 116.83, 5.13),
    ("deepseek-ai/DeepSeek-R1-0528", 671.03, 37.55),
    ("phi-4", 14.66, 14.66),
    ("granite-3.1-8b-instruct", 8.17, 8.17),
    ("gemma-3-27b-it", 27.01, 27.01),
    ("glm-4.6", 352.8, 33.0),
    ("glm-4.5-air", 106.85, 12.6),
    ("moonshotai/Kimi-K2-Instruct", 1026.5, 32.9),
    ("MiniMax-M2", 228.7, 10.0),
    ("Qwen3-Coder-480B-A35B-Instruct-FP8", 480.2, 35.5),
    ("mistral-large", 122.6, 122.6),
    ("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", 32.76, 32.76),
];

#[test]
fn parameters_counted_from_the_shape_are_those_published() {
    for (name, total, active) in PUBLISHED {
        let shape = registry::find(name).unwrap_or_else(|| panic!("{name} is not known"));
        let found = shape.params() / 1e9;
        assert!((found / total - 1.0).abs() < 0.02, "{name}: {found:.2}, published {total}");
        // Makers count the input embedding as active or do not: half a billion either way.
        let found = shape.active_params() / 1e9;
        assert!((found - active).abs() < 0.06 * active + 0.5, "{name}: {found:.2} active");
    }
}

#[test]
fn names_in_the_registry_are_normal_and_unlike_each_other() {
    let mut names: Vec<_> = registry::all().into_iter().map(|shape| shape.name).collect();
    for name in &names {
        assert!(registry::find(name).is_some(), "{name} cannot be found by its own name");
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), registry::all().len());
}

#[test]
fn an_ending_sets_the_format_of_the_weights() {
    for (name, dtype) in [
        ("Qwen/Qwen3-8B-FP8", Dtype::Fp8),
        ("neuralmagic/Meta-Llama-3.1-8B-Instruct-FP8", Dtype::Fp8),
        ("Qwen2.5-7B-Instruct-AWQ", Dtype::Int4),
        ("Qwen2.5-7B-Instruct-GPTQ-Int4", Dtype::Int4),
        ("Qwen3-8B", Dtype::Bf16),
        ("gpt-oss-20b", Dtype::Mxfp4),
    ] {
        assert_eq!(registry::find(name).unwrap().weights, dtype, "{name}");
    }
    assert_eq!(registry::find("no-such-model"), None);
}

#[test]
fn a_dense_configuration_is_read() {
    let json = r#"{"hidden_size":4096,"intermediate_size":14336,"num_attention_heads":32,
        "num_hidden_layers":32,"num_key_value_heads":8,"vocab_size":128256,
        "tie_word_embeddings":false,"max_position_embeddings":131072}"#;
    let shape = ModelShape::from_config("llama-3.1-8b", json).unwrap();
    assert_eq!(shape, registry::find("llama-3.1-8b").unwrap());
}

#[test]
fn mixtures_windows_latent_attention_and_quantization_are_read() {
    let oss = r#"{"hidden_size":2880,"intermediate_size":2880,"num_attention_heads":64,
        "num_hidden_layers":2,"num_key_value_heads":8,"head_dim":64,"vocab_size":201088,
        "num_local_experts":32,"num_experts_per_tok":4,"sliding_window":128,
        "layer_types":["sliding_attention","full_attention"],
        "quantization_config":{"quant_method":"mxfp4"}}"#;
    let shape = ModelShape::from_config("oss", oss).unwrap();
    assert_eq!(shape.window, Some(Window { tokens: 128, layers: 1 }));
    assert_eq!(shape.weights, Dtype::Mxfp4);
    assert!(matches!(shape.feed_forward, FeedForward::Experts { experts: 32, active: 4, .. }));

    let deepseek = r#"{"hidden_size":7168,"intermediate_size":18432,"moe_intermediate_size":2048,
        "num_attention_heads":128,"num_hidden_layers":61,"num_key_value_heads":128,
        "vocab_size":129280,"n_routed_experts":256,"n_shared_experts":1,"num_experts_per_tok":8,
        "first_k_dense_replace":3,"q_lora_rank":1536,"kv_lora_rank":512,"qk_rope_head_dim":64,
        "qk_nope_head_dim":128,"v_head_dim":128,"max_position_embeddings":163840,
        "quantization_config":{"quant_method":"fp8"}}"#;
    let shape = ModelShape::from_config("deepseek-r1", deepseek).unwrap();
    assert_eq!(shape, registry::find("deepseek-r1").unwrap());
    assert!((shape.kv_bytes_per_layer(Dtype::Bf16) - 1152.0).abs() < 1e-9);
}

#[test]
fn a_configuration_without_a_dimension_is_refused_by_its_name() {
    let error = ModelShape::from_config("x", r#"{"hidden_size":8}"#).unwrap_err();
    assert_eq!(error, ConfigError::Missing { key: "num_hidden_layers" });
    assert!(matches!(ModelShape::from_config("x", "<html>"), Err(ConfigError::NotJson { .. })));
}
