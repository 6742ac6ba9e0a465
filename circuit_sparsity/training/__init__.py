"""Training weight-sparse models: the corpus, the tokenizer and the loop."""
