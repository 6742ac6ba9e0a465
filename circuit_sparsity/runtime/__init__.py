"""How models and circuits run: over compressed weights, masked, compiled, changed."""
