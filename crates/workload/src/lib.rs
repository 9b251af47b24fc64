//! What is asked: synthetic prompts, datasets, tokenizers.
