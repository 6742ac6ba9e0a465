"""Names: parsed once, printed once, ordered as computed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from circuit_sparsity.core.hooks import Recorder
from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.core.names import FINAL_RESID, Location, Node, circuit_locations

LOCATIONS = st.sampled_from(circuit_locations(12))


@given(LOCATIONS, st.integers(0, 9999))
def test_what_is_printed_is_parsed_back(location, channel):
    node = Node(location, channel)
    assert Node.parse(str(node)) == node
    assert Location.parse(str(location)) == location


def test_locations_sort_in_the_order_in_which_a_model_computes_them():
    model = GPT(GPTConfig(8, 16, 3, 2, 4, 8, d_mlp=16))
    recorder = Recorder()
    model(torch.zeros(1, 4, dtype=torch.long), hook=recorder)
    computed = [name for name in recorder.tensors if name.split(".")[-1] not in _UNUSED]
    # The reference hooks k before q; a circuit's files list q first.
    computed = [
        name.replace(".k", ".Q").replace(".q", ".k").replace(".Q", ".q") for name in computed
    ]
    assert computed == [str(location) for location in circuit_locations(3)]
    assert sorted(circuit_locations(3)) == list(circuit_locations(3))


_UNUSED = ("resid_in", "resid_mid", "y")


@pytest.mark.parametrize("text", ["3.mlp.q", "attn.q", "3.mlp.post_act:", "x:3", "3.mlp:4", ""])
def test_what_is_no_node_says_what_one_looks_like(text):
    with pytest.raises(ValueError, match="expected L"):
        Node.parse(text)


def test_the_last_place_belongs_to_no_layer():
    assert FINAL_RESID.layer is None
    assert FINAL_RESID.block_name == "final_resid"
