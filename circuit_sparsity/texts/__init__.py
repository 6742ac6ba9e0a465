"""One text, or two that differ a little, read by a model, a circuit, and a circuit ablated."""
