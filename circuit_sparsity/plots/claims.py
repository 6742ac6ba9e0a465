"""The claims as pictures: edges over target losses, and the frontier of loss and edges."""

from collections.abc import Sequence
from statistics import fmean

from plotly.graph_objects import Figure

from circuit_sparsity.claims import paper
from circuit_sparsity.claims.summary import Comparison, Point
from circuit_sparsity.plots.colours import Palette
from circuit_sparsity.plots.curves import Axis, Line, line_figure

_TARGET = Axis("target loss, nats per sequence", log=True)
_EDGES = Axis("edges, geometric mean over tasks", log=True)


def edges_figure(
    found: Sequence[Comparison], names: tuple[str, str], palette: Palette, with_paper: bool
) -> Figure:
    """Edges of both sides over the target; the paper's two lines beside them where asked for."""
    targets = [one.target for one in found]
    lines = [
        Line(names[0], targets, [fmean(one.larger.values()) for one in found]),
        Line(names[1], targets, [fmean(one.smaller.values()) for one in found]),
    ]
    if with_paper:
        for i, name in enumerate(("the paper's dense model", "the paper's sparse model")):
            lines.append(
                Line(name, list(paper.EDGES), [float(both[i]) for both in paper.EDGES.values()])
            )
    return line_figure(lines, _TARGET, _EDGES, palette)


def frontier_figure(points: Sequence[Point], palette: Palette) -> Figure:
    """A mark a model: held-out loss and geometric-mean edges."""
    lines = [Line(one.name, [one.edges], [one.loss], [one.name]) for one in points]
    x = Axis("edges at 0.15 nats, geometric mean over tasks", log=True)
    return line_figure(lines, x, Axis("held-out loss, nats per token"), palette)
