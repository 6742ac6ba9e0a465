"""The graph of two circuits: every node once, on its side, with a mark of its side's own."""

import pytest

from circuit_sparsity.circuits.comparison import MEMBERSHIPS, Comparison
from circuit_sparsity.circuits.wiring import wiring
from circuit_sparsity.plots.colours import DARK, LIGHT, contrast
from circuit_sparsity.plots.compare import compare_figure
from circuit_sparsity.plots.curves import ModelPoint, model_frontier_figure, on_frontier
from tests.runtime.random_circuits import random_circuit, random_model


@pytest.fixture(scope="module")
def found() -> Comparison:
    model = random_model()
    return Comparison(*(wiring(random_circuit(model, 0.2, seed), model) for seed in (0, 1)))


@pytest.fixture(scope="module")
def traces(found):
    figure = compare_figure(found, random_model().config, LIGHT, ("<b>a</b>", "b"))
    return figure.to_dict()["data"]


def test_each_node_stands_once_and_on_its_side(found, traces):
    marks = [trace for trace in traces if trace["mode"] == "markers"]
    for side, trace in zip(MEMBERSHIPS, marks, strict=True):
        assert trace["customdata"] == list(map(str, found.nodes(side)))
        assert trace["legendgroup"] == side


def test_the_sides_differ_in_shape_and_dash_and_not_in_colour_alone(traces):
    marks = [trace for trace in traces if trace["mode"] == "markers"]
    fillings = [{s.partition("-open")[1:] for s in trace["marker"]["symbol"]} for trace in marks]
    assert fillings == [{("", "")}, {("-open", "")}, {("-open", "-dot")}]
    lines = [trace for trace in traces if trace["mode"] == "lines"]
    assert len({trace["line"]["dash"] for trace in lines}) == 3


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_the_marks_stand_out_from_the_background(found, palette):
    figure = compare_figure(found, random_model().config, palette)
    for trace in figure.to_dict()["data"]:
        colour = trace.get("marker", trace.get("line"))["color"]
        assert contrast(colour, palette.background) >= 3


def test_an_edge_is_drawn_between_its_nodes(found, traces):
    both = next(trace for trace in traces if trace["mode"] == "lines")
    assert len(both["x"]) == 3 * len(found.edges("both"))
    places = {}
    for trace in traces:
        if trace["mode"] == "markers":
            places |= dict(
                zip(trace["customdata"], zip(trace["x"], trace["y"], strict=True), strict=True)
            )
    first = found.edges("both")[0]
    assert (both["x"][0], both["y"][0]) == places[str(first.source)]
    assert (both["x"][1], both["y"][1]) == places[str(first.target)]


def test_names_of_circuits_are_escaped(traces):
    only_a = next(trace for trace in traces if trace.get("legendgroup") == "only A"
                  and trace["mode"] == "markers")  # fmt: skip
    assert "&lt;b&gt;a&lt;/b&gt;" in only_a["hovertext"][0]


def test_only_models_that_no_other_beats_are_on_the_frontier():
    known = ((1.0, 500.0), (1.1, 100.0), (1.2, 200.0), (1.0, 600.0), (0.9, 1000.0))
    points = [ModelPoint(f"m{i}", loss, edges, 2) for i, (loss, edges) in enumerate(known)]
    assert [point.name for point in on_frontier(points)] == ["m4", "m0", "m1"]
    line, marks = model_frontier_figure(points, "loss", LIGHT).to_dict()["data"]
    assert line["y"] == [1000, 500, 100]
    assert marks["text"] == ["m0", "m1", "m2", "m3", "m4"]


def test_one_model_alone_is_drawn():
    figure = model_frontier_figure([ModelPoint("starter", 2.5, 30.0, 2)], "loss", LIGHT).to_dict()
    low, high = figure["layout"]["xaxis"]["range"]
    assert low < 2.5 < high
