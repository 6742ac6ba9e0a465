"""The released tokenizer for ``tiktoken``."""
