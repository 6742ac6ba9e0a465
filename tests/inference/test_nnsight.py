"""Models inside ``nnsight``, where that is installed: it reads and changes what modules give."""

import importlib.util

import pytest
import torch

from circuit_sparsity.core.model import GPT, GPTConfig

if importlib.util.find_spec("nnsight") is None:
    pytest.skip("LOUD SKIP: nnsight is not installed", allow_module_level=True)


def test_a_trace_reads_the_stream_and_changes_the_logits():
    from nnsight import NNsight

    torch.manual_seed(0)
    model, tokens = GPT(GPTConfig(16, 32, 2, 2, 4, 8, d_mlp=16)).eval(), torch.arange(6)[None]
    plain, cache = model.run_with_cache(tokens)
    wrapped = NNsight(model)
    with wrapped.trace(tokens):
        hidden = wrapped.transformer.h[0].output.save()
        logits = wrapped.output.save()
    assert torch.equal(hidden, cache["1.resid_in"])
    assert torch.equal(logits[0], plain)
    with wrapped.trace(tokens):
        wrapped.transformer.h[0].mlp.output[:] = 0
        changed = wrapped.output.save()
    without = model(tokens, hook=lambda name, x: 0 * x if name == "0.mlp.resid_delta" else x)[0]
    torch.testing.assert_close(changed[0], without)
