"""Positions of nodes: rows, columns, room between neighbours."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuit_sparsity.core.names import Node, circuit_locations
from circuit_sparsity.plots.layout import lay_out, spread


def some_nodes(seed: int, count: int, n_layer: int = 3) -> list[Node]:
    draw = random.Random(seed)
    places = circuit_locations(n_layer)
    return sorted({Node(draw.choice(places), draw.randrange(60)) for _ in range(count)})


def some_joins(nodes: list[Node], seed: int) -> list[tuple[Node, Node]]:
    draw = random.Random(seed)
    inner = [node for node in nodes if node.location.kind in ("q", "k", "v", "post_act")]
    reads = [node for node in nodes if node.location.kind == "act_in"]
    return [(draw.choice(reads), draw.choice(inner)) for _ in range(2 * len(inner))]


def test_rows_go_up_in_the_order_of_computation():
    layout = lay_out(some_nodes(0, 80), [], d_head=4)
    rows = [row.location for row in layout.rows]
    assert rows == sorted(rows)
    heights = [row.y for row in layout.rows]
    assert heights == sorted(set(heights))


def test_every_node_stands_on_its_row_inside_the_picture():
    nodes = some_nodes(1, 120)
    layout = lay_out(nodes, some_joins(nodes, 1), d_head=4)
    row_of = {row.location: row.y for row in layout.rows}
    assert set(layout.places) == set(nodes)
    for node, (x, y) in layout.places.items():
        assert 0 <= x <= 1
        assert y == row_of[node.location]


def test_no_two_nodes_share_a_place():
    nodes = some_nodes(2, 900)
    layout = lay_out(nodes, some_joins(nodes, 2), d_head=4)
    assert len(set(layout.places.values())) == len(nodes)


def test_the_same_circuit_is_laid_out_the_same_whatever_the_order_of_its_nodes():
    nodes = some_nodes(3, 100)
    joins = some_joins(nodes, 3)
    assert lay_out(nodes, joins, 4) == lay_out(nodes[::-1], joins, 4)


def test_a_residual_channel_alone_in_its_rows_is_a_vertical_line():
    names = ("0.attn.resid_delta:7", "1.mlp.act_in:7", "final_resid:7")
    layout = lay_out([Node.parse(name) for name in names], [], d_head=4)
    assert len({x for x, _ in layout.places.values()}) == 1


def test_a_neuron_stands_between_the_channels_it_is_joined_to():
    names = ("0.mlp.act_in:1", "0.mlp.act_in:2", "0.mlp.post_act:5")
    left, right, neuron = (Node.parse(name) for name in names)
    places = lay_out([left, right, neuron], [(left, neuron), (right, neuron)], d_head=4).places
    assert places[neuron][0] == pytest.approx((places[left][0] + places[right][0]) / 2)


def test_ordering_by_barycentre_removes_crossings_of_a_tangled_pair():
    a, b = Node.parse("0.mlp.act_in:1"), Node.parse("0.mlp.act_in:2")
    c, d = Node.parse("0.mlp.post_act:1"), Node.parse("0.mlp.post_act:2")
    places = lay_out([a, b, c, d], [(a, d), (b, c)], d_head=4).places
    assert (places[a][0] < places[b][0]) == (places[d][0] < places[c][0])


def test_bands_hold_their_rows_and_do_not_overlap():
    layout = lay_out(some_nodes(4, 120), [], d_head=4)
    for lower, upper in itertools.pairwise(layout.bands):
        assert lower.top < upper.bottom
    for row in layout.rows:
        (band,) = [band for band in layout.bands if band.bottom < row.y < band.top]
        assert band.name == row.location.block_name
    assert sum(band.rows for band in layout.bands) == len(layout.rows)


def test_an_empty_circuit_has_an_empty_picture():
    layout = lay_out([], [], d_head=4)
    assert layout.places == {}
    assert layout.height == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0.001, 0.1))
def test_spread_keeps_order_and_gap_inside_the_picture(places, gap):
    wanted = sorted(places)
    found = spread(wanted, gap)
    room = min(gap, 1 / len(wanted))
    assert all(b - a >= room - 1e-9 for a, b in itertools.pairwise(found))
    assert found[0] >= -1e-9
    assert found[-1] <= 1 + 1e-9


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20, unique=True))
def test_spread_moves_nothing_that_has_room(places):
    wanted = [place / 1000 for place in sorted(places)]
    assert spread(wanted, 1e-3) == pytest.approx(wanted)
