"""Models as points: their loss on text against how many edges their circuits have."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from plotly.graph_objects import Figure

from circuit_sparsity.plots.colours import Palette
from circuit_sparsity.plots.curves import Axis, Line, line_figure


@dataclass(frozen=True)
class ModelPoint:
    """One model; ``edges`` is a geometric mean over ``tasks`` tasks."""

    name: str
    loss: float  # nats per token of held-out text
    edges: float
    tasks: int


def on_frontier(points: Sequence[ModelPoint]) -> list[ModelPoint]:
    """The models that no other beats in both, from the lowest loss up.

    >>> a, b = ModelPoint("a", 1.0, 9.0, tasks=1), ModelPoint("b", 2.0, 3.0, tasks=1)
    >>> [point.name for point in on_frontier([ModelPoint("c", 3.0, 4.0, tasks=1), b, a])]
    ['a', 'b']
    """
    kept: list[ModelPoint] = []
    for point in sorted(points, key=lambda one: (one.loss, one.edges)):
        if not kept or point.edges < kept[-1].edges:
            kept.append(point)
    return kept


def frontier_figure(points: Sequence[ModelPoint], loss: str, palette: Palette) -> Figure:
    """Every model with its name beside it, and the frontier as a line through those on it."""
    best = on_frontier(points)
    log = all(point.edges > 0 for point in points)
    line = Line("frontier", [p.loss for p in best], [p.edges for p in best])
    names = [point.name for point in points]
    every = Line("models", [p.loss for p in points], [p.edges for p in points], names)
    edges = Axis("edges, geometric mean over tasks", log=log)
    figure = line_figure([line, every], Axis(loss), edges, palette)
    figure.update_traces(mode="lines", line={"dash": "dot", "color": palette.faint}, selector=0)
    figure.update_traces(
        mode="markers+text",
        text=[escape(name, quote=False) for name in names],
        textposition="top center",
        cliponaxis=False,
        marker={"size": 11, "color": palette.negative},
        selector=1,
    )
    middle = sum(point.loss for point in points) / len(points)
    spread = max((abs(point.loss - middle) for point in points), default=0.0) or 0.1 * middle
    figure.update_layout(
        showlegend=False,
        xaxis={"range": [middle - 1.4 * spread, middle + 1.4 * spread]},
    )
    return figure
