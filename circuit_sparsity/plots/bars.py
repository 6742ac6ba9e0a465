"""Bars: where a head looks from one token, and what channels add to an answer."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from plotly.graph_objects import Figure

from circuit_sparsity.plots.attention import label
from circuit_sparsity.plots.colours import Palette


def look_figure(
    tokens: Sequence[bytes],
    weights: Sequence[float],
    sink: float | None,
    mark: int,
    palette: Palette,
) -> Figure:
    """One bar a token, the sink first, the token at index ``mark`` in full colour.

    ``weights`` are shares of the attention from the last token.
    """
    names = [f"{i} {label(token)}" for i, token in enumerate(tokens, start=1)]
    first = [] if sink is None else ["sink"]
    inks = [palette.positive if i == mark else palette.residual for i in range(len(tokens))]
    bars = {
        "type": "bar",
        "x": [*first, *names],
        "y": [*([] if sink is None else [sink]), *weights],
        "marker": {"color": [*([palette.band] * len(first)), *inks], "line": _edge(palette)},
        "hovertemplate": "%{x}<br>share of attention %{y:.3f}<extra></extra>",
    }
    layout = _layout(palette, "share of attention")
    layout["xaxis"] |= {"type": "category", "tickangle": -90, "tickfont": _MONO}
    layout["yaxis"]["range"] = [0, 1]
    return Figure(data=[bars], layout=layout)


def votes_figure(
    channels: Sequence[str],
    votes: Mapping[str, Sequence[float]],
    answers: tuple[str, str],
    palette: Palette,
) -> Figure:
    """A group of bars a channel, one for each of the two kinds of prompt in ``votes``.

    Upwards is for the first of ``answers``, downwards for the second; nats of log odds.
    """
    looks = ((palette.positive, ""), (palette.negative, "/"))
    bars = [
        {
            "type": "bar",
            "name": escape(name, quote=False),
            "x": list(channels),
            "y": list(values),
            "marker": {"color": ink, "pattern": {"shape": shape, "fillmode": "overlay"}},
            "hovertemplate": "%{x}<br>%{y:+.3f} nats<extra></extra>",
        }
        for (name, values), (ink, shape) in zip(votes.items(), looks, strict=True)
    ]
    up, down = (escape(answer, quote=False) for answer in answers)
    layout = _layout(palette, f"log odds of {up} over {down}, nats")
    layout["xaxis"] |= {"type": "category"}
    layout["yaxis"] |= {"zeroline": True, "zerolinecolor": palette.faint}
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom"}
    return Figure(data=bars, layout=layout | {"barmode": "group", "legend": legend})


_MONO = {"family": "monospace", "size": 11}


def _edge(palette: Palette) -> dict[str, Any]:
    return {"width": 1, "color": palette.faint}


def _layout(palette: Palette, what: str) -> dict[str, Any]:
    return {
        "height": 330,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "xaxis": {"automargin": True, "fixedrange": True},
        "yaxis": {
            "title": {"text": what},
            "automargin": True,
            "fixedrange": True,
            "gridcolor": palette.band,
        },
        "font": {"color": palette.text},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
    }
