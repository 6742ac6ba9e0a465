"""Activations of single nodes: those of a whole run, from no more blocks than they take."""

import pytest
import torch

from circuit_sparsity.core.hooks import Recorder
from circuit_sparsity.core.names import FINAL_RESID, Location, Node
from circuit_sparsity.runtime.activations import node_activations
from tests.handmade import sign_model
from tests.inference.test_released_interface import small

TOKENS = torch.arange(12).reshape(2, 6)


@pytest.mark.parametrize("kind", ["attn.act_in", "attn.v", "mlp.post_act", "mlp.resid_delta"])
@pytest.mark.parametrize("layer", [0, 1])
def test_they_are_those_of_a_whole_run_and_later_blocks_are_not_run(kind: str, layer: int) -> None:
    model, recorder, seen = small(), Recorder(), set()
    with torch.no_grad():
        model(TOKENS, hook=recorder)
    node = Node(Location.parse(f"{layer}.{kind}"), 3)

    def watch(name: str, x: torch.Tensor) -> torch.Tensor:
        seen.add(name.split(".")[0])
        return x

    found = node_activations(model, [node], TOKENS, watch)[node]
    assert torch.equal(found, recorder.tensors[str(node.location)][..., 3])
    assert seen == {str(number) for number in range(layer + 1)}


def test_the_end_of_the_stream_takes_every_block() -> None:
    made = sign_model()
    node = Node(FINAL_RESID, 1)
    with torch.no_grad():
        expected = made.model.residual(made.batch.tokens)[0][..., 1]
    assert torch.equal(node_activations(made.model, [node], made.batch.tokens)[node], expected)
