"""The circuit's figure: every node and edge in it, and nothing that a click would change."""

import re

import pytest

from circuit_sparsity.circuits.wiring import Wiring, wiring
from circuit_sparsity.core.names import Node, circuit_locations
from circuit_sparsity.plots.colours import DARK, LIGHT
from circuit_sparsity.plots.graph import BINS, circuit_figure, legend_html, strength_bin
from circuit_sparsity.plots.heads import OUTLINE, heads_of
from circuit_sparsity.plots.layout import lay_out
from circuit_sparsity.plots.marks import ANCHOR
from tests.handmade import circuit_of, marked_model, sign_model
from tests.runtime.random_circuits import random_model


def figure_of(model, circuit, colours=LIGHT, picked=()):
    wired = wiring(circuit, model)
    joins = [(edge.source, edge.target) for edge in wired.edges]
    layout = lay_out(wired.nodes, joins, model.config.d_head)
    return circuit_figure(wired, layout, model.config, colours, picked), wired, layout


def paths(figure):
    drawn = [shape for shape in figure.layout.shapes if shape.type == "path"]
    return [shape for shape in drawn if not (shape.name or "").startswith(OUTLINE)]


def dense_circuit():
    """Every node of a small random model: 2 layers, some hundreds of edges."""
    model = random_model(3)
    nodes = tuple(
        f"{place}:{channel}"
        for place in circuit_locations(model.config.n_layer)
        for channel in range(0, model.config.width(place), 2)
    )
    return model, circuit_of(model.config, nodes)


def test_every_node_is_a_point_that_carries_its_name():
    made = sign_model()
    figure, _, layout = figure_of(made.model, made.circuit)
    points = figure.data[0]
    assert list(points.customdata) == [*made.nodes, ANCHOR]
    for name, x, y in zip(made.nodes, points.x, points.y, strict=False):
        wanted = layout.places[Node.parse(name)]
        assert abs(x - wanted[0]) < 1e-4
        assert y == wanted[1]


def test_names_are_plain_strings_so_that_a_click_gives_them_back():
    made = sign_model()
    figure, _, _ = figure_of(made.model, made.circuit)
    assert all(type(name) is str for name in figure.data[0].customdata)


def test_every_edge_and_link_is_one_line_of_a_path():
    model, circuit = dense_circuit()
    figure, wired, _ = figure_of(model, circuit)
    lines = sum(len(re.findall("M", shape.path)) for shape in paths(figure))
    assert len(wired.edges) > 300
    assert lines == len(wired.edges) + len(wired.residual) + len(wired.attention)


def test_edges_share_a_path_for_each_bin_and_sign():
    model, circuit = dense_circuit()
    figure, wired, _ = figure_of(model, circuit)
    strongest = max(abs(edge.weight) for edge in wired.edges)
    bins = {(strength_bin(e.weight, strongest), e.weight > 0) for e in wired.edges}
    assert len(paths(figure)) == len(bins) + 2  # residual and attention links
    assert len(bins) <= 2 * BINS


def test_negative_edges_are_told_apart_by_dash_as_well_as_colour():
    made = marked_model()
    figure, wired, _ = figure_of(made.model, made.circuit)
    assert all(edge.weight > 0 for edge in wired.edges)
    assert not [s for s in paths(figure) if s.line.color == LIGHT.negative]
    made.model.get_parameter("transformer.h.0.attn.c_attn.weight").mul_(-1)
    figure, _, _ = figure_of(made.model, made.circuit)
    negative = [s for s in paths(figure) if s.line.color == LIGHT.negative]
    assert negative
    assert all(shape.line.dash != "solid" for shape in negative)


def test_a_line_joins_the_places_of_its_two_nodes():
    made = sign_model()
    figure, wired, layout = figure_of(made.model, made.circuit)
    drawn = {
        tuple(map(float, re.split("[M,L]", line)[1:]))
        for shape in paths(figure)
        for line in re.findall("M[^M]+", shape.path)
    }
    for join in (*wired.edges, *wired.residual):
        ends = (*layout.places[join.source], *layout.places[join.target])
        assert any(
            max(abs(a - b) for a, b in zip(ends, line, strict=True)) < 0.006 for line in drawn
        )


def test_stronger_weights_are_thicker():
    assert [strength_bin(weight, 1.0) for weight in (0.001, 0.1, 0.3, 0.6, 1.0)] == [0, 2, 4, 6, 7]
    assert strength_bin(0.0, 0.0) == 0


def test_the_same_circuit_gives_the_same_figure():
    made = sign_model()
    first, _, _ = figure_of(made.model, made.circuit)
    again, _, _ = figure_of(made.model, made.circuit)
    assert first.to_json() == again.to_json()
    assert first.data[0].selectedpoints is None


def test_every_edge_has_a_point_in_its_middle_that_is_seen_when_picked():
    made = sign_model()
    figure, wired, layout = figure_of(made.model, made.circuit)
    middles, edge = figure.data[1], wired.edges[0]
    assert list(middles.customdata) == [str(edge) for edge in wired.edges]
    (x0, y0), (x1, y1) = (layout.places[end] for end in (edge.source, edge.target))
    assert middles.x[0] == pytest.approx((x0 + x1) / 2, abs=1e-3)
    assert middles.y[0] == pytest.approx((y0 + y1) / 2, abs=1e-2)
    assert (middles.marker.opacity, middles.selected.marker.opacity) == (0, 1)


def test_picks_from_outside_are_marked_together_with_the_anchor():
    made = sign_model()
    figure, _, _ = figure_of(made.model, made.circuit, picked=[Node.parse(made.nodes[2])])
    assert list(figure.data[0].selectedpoints) == [2, len(made.nodes)]


def test_an_empty_circuit_is_an_empty_graph():
    made = sign_model()
    figure, _, _ = figure_of(made.model, circuit_of(made.model.config, ()))
    assert list(figure.data[0].customdata) == [ANCHOR]


def test_hover_says_place_and_degrees():
    made = sign_model()
    figure, _, _ = figure_of(made.model, made.circuit, DARK)
    text = figure.data[0].hovertext[1]
    assert "0.mlp.post_act:0" in text
    assert "neuron 0 of the MLP in layer 0" in text
    assert "1 in, 1 out" in text


def test_each_head_is_outlined_around_its_own_channels_alone():
    model, circuit = dense_circuit()
    figure, wired, layout = figure_of(model, circuit)
    drawn = {s.name: s.path for s in figure.layout.shapes if (s.name or "").startswith(OUTLINE)}
    heads = heads_of(wired.nodes, model.config)
    assert set(drawn) == {f"head {layer}.{number}" for layer, number in heads}
    for (layer, number), inside in heads.items():
        corners = [tuple(map(float, one.split(","))) for one in
                   drawn[f"head {layer}.{number}"].strip("MZ").split("L")]  # fmt: skip
        for node in wired.nodes:
            if node.location.layer == layer and node.location.kind in ("q", "k", "v"):
                x, y = layout.places[node]
                row = [left for left, at in corners if abs(at - y) < 0.5]
                assert (min(row) < x < max(row)) == (node in inside)


def test_weak_edges_that_are_not_drawn_can_still_be_lit_up():
    model, circuit = dense_circuit()
    _, wired, layout = figure_of(model, circuit)
    strong = Wiring(wired.nodes, wired.edges[:10], wired.residual, wired.attention)
    figure = circuit_figure(strong, layout, model.config, LIGHT, whole=wired)
    lines = sum(len(re.findall("M", shape.path)) for shape in paths(figure))
    assert lines == 10 + len(wired.residual) + len(wired.attention)
    meta = figure.data[0].meta
    assert meta["partial"] is True
    assert len(meta["joins"]["from"]) == len(wired.edges) + len(wired.residual) + len(
        wired.attention
    )


def test_the_legend_names_every_kind_of_line_and_the_range_of_weights():
    text = legend_html(LIGHT, 0.02, 1.5)
    for words in ("positive", "negative", "residual channel", "attention head", "0.02 to 1.5"):
        assert words in text
    assert "|weight|" not in legend_html(LIGHT, 0.0, 0.0)
