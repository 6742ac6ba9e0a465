"""The model as released: names of places, hooks, forward pass, tokenizer, files of weights."""
