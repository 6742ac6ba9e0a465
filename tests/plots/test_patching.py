"""The patching map as a heat map shows the shares of the map, row by row."""

import pytest
import torch

from circuit_sparsity.core.names import Node
from circuit_sparsity.patching.map import PatchingMap
from circuit_sparsity.plots.patching import patching_figure

NODES = [Node.parse(f"0.mlp.post_act:{channel}") for channel in range(3)]
FOUND = PatchingMap(
    prompt=0,
    tokens=(5, 6),
    other_tokens=(5, 7),
    places=(0, 1),
    parts={str(node): (node,) for node in NODES},
    here=2.0,
    there=-2.0,
    log_odds=torch.tensor([[2.0, 0.0], [2.0, 2.0], [2.0, 3.0]]),
)


def test_rows_without_an_effect_are_left_out_and_the_others_are_shares():
    heat = patching_figure(FOUND, [b"x", b"<b>"]).data[0]
    assert list(heat.y) == [str(NODES[0]), str(NODES[2])]
    assert [list(row) for row in heat.z] == [[0.0, 0.5], [0.0, -0.25]]
    assert list(heat.x) == ["0 x", "1 &lt;b&gt;"]


def test_the_texts_are_those_of_the_prompt():
    with pytest.raises(ValueError, match="1 texts were given for the 2 tokens"):
        patching_figure(FOUND, [b"x"])
