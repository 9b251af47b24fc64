"""Writes a tiny Qwen2 model with random weights and a tokenizer of its own: make_tiny_model.py OUT_DIR

Run it with the Python of the environment that install.sh made. About 9 MB; what it generates is gibberish. The same
Python and packages give the same files: the weights are seeded, and the tokenizer is trained on Python's own library.
"""

import pathlib
import sys
import sysconfig

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

VOCABULARY = 8192
# Never shown in text. Their ids are their places here: 0 pads, 1 begins a message, 2 ends it and the sequence.
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# Shown, and the last ids: what encloses reasoning, for those of vLLM's parsers that look for it.
THINK = ["<think>", "</think>"]
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def corpus():
    for path in sorted(pathlib.Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        yield path.read_text(encoding="utf-8", errors="ignore")


def tokenizer():
    byte_level = Tokenizer(models.BPE())
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_level.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(THINK),
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    byte_level.train_from_iterator(corpus(), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=byte_level, eos_token=SPECIAL[2], pad_token=SPECIAL[0]
    )
    fast.add_tokens(THINK)
    assert len(fast) == VOCABULARY, "the training text gives as many tokens as were asked for"
    fast.chat_template = CHAT_TEMPLATE
    return fast


def model():
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=True,
    )
    return Qwen2ForCausalLM(config).to(torch.bfloat16)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: make_tiny_model.py OUT_DIR")
    out = pathlib.Path(sys.argv[1])
    tokenizer().save_pretrained(out)
    model().save_pretrained(out)
    print(f"wrote {out}")


main()
