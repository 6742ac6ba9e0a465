"""The pages of one node: its card, activations, weights, head and vocabulary."""
