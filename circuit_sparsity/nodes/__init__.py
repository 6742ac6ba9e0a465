"""One node looked at from all sides: weights, texts it fires on, effect on the vocabulary."""
