"""Stored costs in the graph: one scale for nodes and edges, and every number on hovering."""

import pytest

from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.circuits.wiring import Wiring
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.core.names import Node
from circuit_sparsity.plots.coloured_graph import stored_figure
from circuit_sparsity.plots.colours import palette, shade
from circuit_sparsity.plots.layout import lay_out

NODES = tuple(map(Node.parse, ("0.mlp.act_in:1", "0.mlp.post_act:2", "0.mlp.resid_delta:1")))
EDGES = (Edge(NODES[0], NODES[1], 0.5), Edge(NODES[1], NODES[2], -0.5))
CONFIG = GPTConfig(16, 64, 1, 2, 4, 8, d_mlp=16, rms_norm=True, tied_unembed=False)


@pytest.fixture
def drawn():
    wiring = Wiring(NODES, EDGES, (), ())
    layout = lay_out(NODES, [(edge.source, edge.target) for edge in EDGES], CONFIG.d_head)
    costs = dict(zip(NODES, (0.5, -0.25, 0.0), strict=True))
    of_edges = {str(EDGES[0]): 1.0, str(EDGES[1]): 0.001}
    figure = stored_figure(wiring, layout, CONFIG, costs, of_edges, palette("light"))
    return figure.to_dict()["data"]


def test_nodes_and_edges_share_a_scale_that_ends_at_the_largest_of_both(drawn):
    light = palette("light")
    shares = [shade(light, share, 1.0) for share in (0.5, -0.25, 0.0)]
    assert list(drawn[0]["marker"]["color"])[:3] == shares
    assert drawn[1]["marker"]["color"][0] == shade(light, 1.0, 1.0)


def test_an_edge_that_costs_next_to_nothing_has_no_cross_and_tells_its_cost(drawn):
    assert drawn[1]["marker"]["color"][1] == "rgba(0,0,0,0)"
    assert drawn[1]["hovertext"][1].endswith("stored: +0.0010 nats when ablated")
    assert "weight \N{MINUS SIGN}0.500" in drawn[1]["hovertext"][1]
    assert drawn[0]["hovertext"][0].endswith("stored: +0.5000 nats when ablated")
