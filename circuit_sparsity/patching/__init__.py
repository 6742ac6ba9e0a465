"""One prompt under the lens: patching, interchange, attribution to inputs and to logits."""
