"""The film: who is in which frame, in one layout that no frame moves."""

from dataclasses import replace

import pytest

from circuit_sparsity.circuits.wiring import wiring
from circuit_sparsity.plots.colours import LIGHT
from circuit_sparsity.plots.evidence import meter_html
from circuit_sparsity.plots.film import Film, Frame, film_figure
from circuit_sparsity.plots.layout import lay_out
from circuit_sparsity.plots.marks import neighbours
from tests.runtime.random_circuits import random_circuit, random_model


@pytest.fixture(scope="module")
def model():
    return random_model(4)


@pytest.fixture(scope="module")
def film(model):
    """Three frames: one part of a circuit, another one, and the whole."""
    whole = random_circuit(model, 0.3, 1)
    nodes = whole.node_list
    parts = (whole.without(nodes[::2]), whole.without(nodes[1::3]), whole)
    wired = wiring(whole, model)
    joins = [(edge.source, edge.target) for edge in wired.edges]
    layout = lay_out(wired.nodes, joins, model.config.d_head)
    frames = [Frame(str(i), replace(part, k=str(i)), 0.1 * i) for i, part in enumerate(parts)]
    return Film(tuple(frames), wired, layout)


def test_each_frame_has_the_nodes_and_edges_of_its_circuit(film, model):
    for i, frame in enumerate(film.frames):
        has = {node for node, bits in film.node_bits.items() if bits >> i & 1}
        assert has == set(frame.circuit.node_list)
        assert film.edges_of(i) == len(wiring(frame.circuit, model).edges)


def test_what_enters_and_leaves_is_the_difference_of_two_frames(film):
    one, two, three = (set(frame.circuit.node_list) for frame in film.frames)
    assert (film.entering(1), film.leaving(1)) == (len(two - one), len(one - two))
    assert (film.entering(2), film.leaving(2)) == (len(three - two), len(two - three))
    assert (film.entering(0), film.leaving(0)) == (0, 0)
    assert film.leaving(1) > 0


def test_places_are_the_same_in_every_frame_and_only_sight_differs(film, model):
    figures = [film_figure(film, model.config, LIGHT, first) for first in range(3)]
    assert len({figure.data[0].x for figure in figures}) == 1
    for i, figure in enumerate(figures):
        seen = [name for name, opacity in zip(
            figure.data[0].customdata, figure.data[0].marker.opacity, strict=True
        ) if opacity == 1]  # fmt: skip
        assert seen == [str(n) for n in film.wiring.nodes if film.node_bits[n] >> i & 1]
        drawn = "".join(s.path for s in figure.layout.shapes if s.type == "path" and s.visible)
        assert drawn.count("M") == film.edges_of(i)


def test_arrows_lead_to_the_strongest_neighbours_and_along_rows(film):
    wired, nodes = film.wiring, film.wiring.nodes
    ways = neighbours(wired, film.layout)
    for i, node in enumerate(nodes):
        for way, near in (("up", wired.out_of(node)), ("down", wired.into(node))):
            assert (ways[way][i] == -1) == (not near)
            if near:
                assert nodes[ways[way][i]] == near[0].node
        if ways["right"][i] >= 0:
            other = nodes[ways["right"][i]]
            assert ways["left"][ways["right"][i]] == i
            assert other.location == node.location
            assert film.layout.places[other][0] > film.layout.places[node][0]


def test_the_meter_says_its_number_and_stays_inside_its_bar():
    for value in (-3.0, 0.0, 0.5, 4.0):
        html = meter_html(LIGHT, value, 0.9)
        assert f"<b>{value:.3f}</b>" in html
        assert 'aria-valuenow="' in html
        places = [float(p.split("%")[0]) for p in html.split("left:")[1:]]
        assert all(0 <= place <= 100 for place in places)
