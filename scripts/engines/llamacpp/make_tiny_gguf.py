"""Writes the tiny model of vllm/make_tiny_model.py as llama.cpp reads it: make_tiny_gguf.py MODEL_DIR OUT.gguf

The same weights, vocabulary and chat template, so that both engines count alike. Run it with the Python of the
environment that serve.sh made.
"""

import json
import pathlib
import struct
import sys

import numpy
from gguf import GGUFWriter, TokenType

# Names of a layer's tensors in the model, and in the file.
LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def tensors(path):
    """The tensors of a safetensors file of bfloat16 values, as 32-bit floats."""
    raw = path.read_bytes()
    (length,) = struct.unpack_from("<Q", raw)
    for name, told in json.loads(raw[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        assert told["dtype"] == "BF16", f"{name} is {told['dtype']}"
        begin, end = told["data_offsets"]
        bits = numpy.frombuffer(raw[8 + length + begin : 8 + length + end], dtype="<u2")
        yield name, (bits.astype("<u4") << 16).view("<f4").reshape(told["shape"])


def name_in_file(name):
    stem, kind = name.rsplit(".", 1)
    if stem in WHOLE:
        return f"{WHOLE[stem]}.{kind}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{LAYER[part]}.{kind}"


def write_tokenizer(out, model_dir):
    told = json.loads((model_dir / "tokenizer.json").read_text(encoding="utf-8"))
    added = {token["content"]: token for token in told["added_tokens"]}
    ids = {**told["model"]["vocab"], **{text: token["id"] for text, token in added.items()}}
    tokens = sorted(ids, key=ids.get)
    assert [ids[token] for token in tokens] == list(range(len(tokens))), "ids have no gaps"

    def kind(token):
        if token not in added:
            return TokenType.NORMAL
        return TokenType.CONTROL if added[token]["special"] else TokenType.USER_DEFINED

    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(tokens)
    out.add_token_types([kind(token) for token in tokens])
    out.add_token_merges([" ".join(pair) for pair in told["model"]["merges"]])
    out.add_chat_template((model_dir / "chat_template.jinja").read_text(encoding="utf-8"))


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: make_tiny_gguf.py MODEL_DIR OUT.gguf")
    model_dir, path = map(pathlib.Path, sys.argv[1:])
    config = json.loads((model_dir / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "qwen2", "the tiny model is a Qwen2"
    out = GGUFWriter(path, "qwen2")
    out.add_name("tiny")
    out.add_context_length(config["max_position_embeddings"])
    out.add_embedding_length(config["hidden_size"])
    out.add_block_count(config["num_hidden_layers"])
    out.add_feed_forward_length(config["intermediate_size"])
    out.add_head_count(config["num_attention_heads"])
    out.add_head_count_kv(config["num_key_value_heads"])
    out.add_layer_norm_rms_eps(config["rms_norm_eps"])
    out.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    write_tokenizer(out, model_dir)
    out.add_bos_token_id(config["bos_token_id"])
    out.add_eos_token_id(config["eos_token_id"])
    out.add_add_bos_token(False)
    for name, values in tensors(model_dir / "model.safetensors"):
        # Vectors stay at 32 bits, as llama.cpp wants them.
        out.add_tensor(name_in_file(name), values if values.ndim == 1 else values.astype("<f2"))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    print(f"wrote {path}")


main()
