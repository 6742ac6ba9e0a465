"""Lines over nodes, runs or steps, and the levels that they are compared with."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from statistics import fmean
from typing import Any

from plotly.graph_objects import Figure

from circuit_sparsity.evidence.claims import values as paper
from circuit_sparsity.evidence.claims.summary import Comparison, FrontierPoint
from circuit_sparsity.explained.attack import Attack, Strength
from circuit_sparsity.plots.colours import Palette

_DASHES = ("solid", "dash", "dot", "dashdot")
_HEIGHT = 380
_MOST_DECADES = 3  # with marks at 2 and 5 too


@dataclass(frozen=True)
class Line:
    """Points joined in order; ``ids`` name them to whoever listens to clicks."""

    name: str
    x: Sequence[int | float]
    y: Sequence[int | float]
    ids: Sequence[str] = ()


@dataclass(frozen=True)
class Axis:
    """What an axis measures, with its unit."""

    title: str
    log: bool = False


def line_figure(
    lines: Sequence[Line],
    x: Axis,
    y: Axis,
    palette: Palette,
    levels: Mapping[str, float] | None = None,
    height: int = _HEIGHT,
    clickable: bool = False,
) -> Figure:
    """Each line with a mark at every point; ``levels`` are dotted horizontals with a name.

    Lines differ in dash and mark too, not in colour alone. On a logarithmic axis, what is not
    positive is left out. ``clickable`` is for a chart whose points are chosen by a click: the page
    says so too, but a moment after it has drawn the chart, and a click in between is lost.
    """
    levels = {name: level for name, level in (levels or {}).items() if level > 0 or not y.log}
    inks = (palette.negative, palette.positive, palette.attention, palette.ablated, palette.node)
    heights = [*levels.values(), *(value for line in lines for value in line.y)]
    data = [_trace(line, i, inks, x, y) for i, line in enumerate(lines)]
    layout = {
        "height": height,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "xaxis": _axis(x, palette, (value for line in lines for value in line.x)),
        "yaxis": _axis(y, palette, heights),
        "shapes": [_level(level, palette) for level in levels.values()],
        "annotations": [_name(name, level, y, palette) for name, level in levels.items()],
        "legend": {"orientation": "h", "y": -0.25, "yanchor": "top"},
        "showlegend": len(lines) > 1,
        "hovermode": "closest",
        "font": {"color": palette.text},
        "paper_bgcolor": palette.background,
        "plot_bgcolor": palette.background,
    }
    if clickable:
        layout |= {"clickmode": "event+select", "dragmode": "pan"}
    return Figure(data=data, layout=layout)


def _trace(line: Line, i: int, inks: Sequence[str], x: Axis, y: Axis) -> dict[str, Any]:
    named = f"<b>{escape(line.name, quote=False)}</b><br>"
    which = "%{customdata}<br>" if line.ids else ""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": escape(line.name, quote=False),
        "x": list(line.x),
        "y": [None if y.log and value <= 0 else value for value in line.y],
        "customdata": list(line.ids) or None,
        "line": {"color": inks[i % len(inks)], "dash": _DASHES[i // len(inks) % len(_DASHES)]},
        "marker": {"size": 8 if len(line.x) <= 60 else 4, "symbol": i % 8},
        "hovertemplate": f"{named}{which}{x.title}: %{{x:,}}<br>{y.title}: %{{y:.5g}}"
        "<extra></extra>",
    }


def _axis(axis: Axis, palette: Palette, values: Iterable[float]) -> dict[str, Any]:
    return {
        "title": {"text": axis.title},
        "type": "log" if axis.log else "linear",
        "gridcolor": palette.band,
        "linecolor": palette.faint,
        "zeroline": False,
        "automargin": True,
        "exponentformat": "none",
        "separatethousands": True,
        **(_ticks(values) if axis.log else {}),
    }


def _ticks(values: Iterable[float]) -> dict[str, Any]:
    """Marks at 1, 2 and 5 times powers of ten; Plotly writes all but the powers as one digit.

    >>> _ticks([0.004, 0.09])["ticktext"]
    ['0.002', '0.005', '0.01', '0.02', '0.05', '0.1', '0.2']
    """
    powers = [log10(value) for value in values if value > 0] or [0.0]
    low, high = floor(min(powers)), ceil(max(powers))
    steps = (1,) if high - low > _MOST_DECADES else (1, 2, 5)
    marks = [step * 10.0**power for power in range(low, high + 1) for step in steps]
    inside = [m for m in marks if min(powers) - 0.5 <= log10(m) <= max(powers) + 0.5]
    return {"tickvals": inside, "ticktext": [f"{mark:,.10g}" for mark in inside]}


def _level(level: float, palette: Palette) -> dict[str, Any]:
    line = {"color": palette.faint, "dash": "dot", "width": 1}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": level, "y1": level} | {
        "line": line
    }


def _name(name: str, level: float, axis: Axis, palette: Palette) -> dict[str, Any]:
    return {
        "xref": "paper",
        "x": 1,
        "xanchor": "right",
        "yanchor": "bottom",
        "y": log10(level) if axis.log else level,
        "text": escape(f"{name} {level:.4g}", quote=False),
        "showarrow": False,
        "font": {"color": palette.faint, "size": 12},
        "bgcolor": palette.background,  # a line may pass there
        "borderpad": 1,
    }


def attack_figure(attack: Attack, curve: Sequence[Strength], palette: Palette) -> Figure:
    """Four lines, model and circuit on each kind of prompt; a level at chance, 0.5."""
    x = [point.strength for point in curve]
    lines = [
        Line(f"{who}, {named}", x, [getattr(getattr(point, who), side) for point in curve])
        for side, named in zip(("positive", "negative"), attack.classes, strict=True)
        for who in ("model", "circuit")
    ]
    y = Axis("p(right answer), of two")
    return line_figure(lines, Axis(attack.strength), y, palette, {"chance": 0.5})


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


def frontier_figure(points: Sequence[FrontierPoint], palette: Palette) -> Figure:
    """A mark a model: held-out loss and geometric-mean edges."""
    lines = [Line(one.name, [one.edges], [one.loss], [one.name]) for one in points]
    x = Axis("edges at 0.15 nats, geometric mean over tasks", log=True)
    return line_figure(lines, x, Axis("held-out loss, nats per token"), palette)


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


def model_frontier_figure(points: Sequence[ModelPoint], loss: str, palette: Palette) -> Figure:
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
