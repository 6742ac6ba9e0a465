"""An edit's curve over its strength beside random controls, and effects in two models."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean
from typing import Any

from plotly.graph_objects import Figure

from circuit_sparsity.bridges.effects import Effects
from circuit_sparsity.bridges.transfer import AtStrength
from circuit_sparsity.plots.colours import Palette

_HEIGHT = 380


@dataclass(frozen=True)
class EditPoint:
    """Mean probability of the right answer in both models at one strength."""

    strength: float
    sparse: float
    dense: float


def transfer_figure(
    curve: Sequence[EditPoint],
    controls: Sequence[AtStrength],
    strength: float,
    palette: Palette,
) -> Figure:
    """p(right) over strength in both models; the controls as bands from least to most.

    A vertical line stands at ``strength``. Lines differ in dash and mark too.
    """
    xs = [point.strength for point in curve]
    data: list[dict[str, Any]] = []
    for name, field, ink in (
        ("random channels", "random_channels", palette.attention),
        ("random directions", "random_directions", palette.residual),
    ):
        draws = [(at.strength, getattr(at, field)) for at in controls]
        if draws:
            data += _band(f"{len(draws[0][1])} {name}", draws, ink)
    for name, ys, ink, dash in (
        ("sparse model", [point.sparse for point in curve], palette.positive, "dash"),
        ("dense model, over the bridge", [p.dense for p in curve], palette.negative, "solid"),
    ):
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "x": xs,
                "y": ys,
                "line": {"color": ink, "dash": dash},
                "marker": {"size": 8, "symbol": "square" if dash == "dash" else "circle"},
                "hovertemplate": f"<b>{name}</b><br>strength %{{x:g}}: p(right) %{{y:.3f}}"
                "<extra></extra>",
            }
        )
    layout = _layout(palette, "strength of the edit (1: the whole edit)", "p(right), mean")
    layout["yaxis"] |= {"range": [-0.02, 1.02]}
    layout["shapes"] = [
        _line(palette.faint, x0=0, x1=1, y0=0.5, y1=0.5, xref="paper"),
        _line(palette.text, x0=strength, x1=strength, y0=0, y1=1, yref="paper"),
    ]
    layout["annotations"] = [
        {
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "y": 0.5,
            "yanchor": "bottom",
            "text": "a guess",
            "showarrow": False,
            "font": {"color": palette.faint},
        }
    ]
    return Figure(data=data, layout=layout)


def effects_figure(found: Effects, palette: Palette) -> Figure:
    """A point a node: its effect in the sparse model against that in the dense one."""
    names = [escape(str(one.node)) for one in found.nodes]
    xs = [one.sparse for one in found.nodes]
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": xs,
            "y": ys,
            "customdata": names,
            "marker": {"color": ink, "symbol": symbol, "size": size},
            "hovertemplate": f"<b>%{{customdata}}</b>, {name}<br>sparse %{{x:+.4f}}, dense "
            "%{y:+.4f} nats<extra></extra>",
        }
        for name, ys, ink, symbol, size in (
            (
                "bridge with shuffled channels",
                [one.shuffled for one in found.nodes],
                palette.residual,
                "x-thin-open",
                7,
            ),
            ("bridge", [one.dense for one in found.nodes], palette.negative, "circle", 9),
        )
    ]
    layout = _layout(
        palette,
        "sparse model: rise in the loss, nats per sequence",
        "dense model: rise in the loss, nats per sequence",
    )
    ends = [min(0.0, *xs), max(0.0, *xs)]
    layout["shapes"] = [_line(palette.faint, x0=ends[0], x1=ends[1], y0=ends[0], y1=ends[1])]
    return Figure(data=data, layout=layout)


def _band(
    name: str, draws: Sequence[tuple[float, Sequence[float]]], ink: str
) -> list[dict[str, Any]]:
    """From the least to the most of the draws, and their mean as a dotted line."""
    xs = [strength for strength, _ in draws]
    low, high = ([end(values) for _, values in draws] for end in (min, max))
    edge = {"width": 0}
    shared = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "showlegend": False}
    return [
        {**shared, "x": xs, "y": low, "line": edge},
        {**shared, "x": xs, "y": high, "line": edge, "fill": "tonexty", "fillcolor": _faint(ink)},
        {
            "type": "scatter",
            "mode": "lines",
            "name": f"{name}, least to most",
            "x": xs,
            "y": [fmean(values) for _, values in draws],
            "line": {"color": ink, "dash": "dot"},
            "hovertemplate": f"<b>{name}, mean</b><br>strength %{{x:g}}: p(right) %{{y:.3f}}"
            "<extra></extra>",
        },
    ]


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.25)"


def _line(colour: str, **where: Any) -> dict[str, Any]:
    return {"type": "line", "line": {"color": colour, "dash": "dot", "width": 1}, **where}


def _layout(palette: Palette, x: str, y: str) -> dict[str, Any]:
    def axis(title: str) -> dict[str, Any]:
        return {
            "title": {"text": title},
            "gridcolor": palette.band,
            "linecolor": palette.faint,
            "zeroline": False,
            "automargin": True,
        }

    return {
        "height": _HEIGHT,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "xaxis": axis(x),
        "yaxis": axis(y),
        "legend": {"orientation": "h", "y": -0.25, "yanchor": "top"},
        "hovermode": "closest",
        "font": {"color": palette.text},
        "paper_bgcolor": palette.background,
        "plot_bgcolor": palette.background,
    }
