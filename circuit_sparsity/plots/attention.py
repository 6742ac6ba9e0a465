"""Heat maps of one attention head: queries down, keys across, the sink in front of them."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from jaxtyping import Float
from plotly.graph_objects import Figure
from torch import Tensor

from circuit_sparsity.plots.colours import Palette
from circuit_sparsity.plots.tokens import show_token

_CELL, _LEAST, _MOST = 15, 300, 720  # pixels of a row, of a figure's height
_LABEL = 14  # letters


def label(token: bytes) -> str:
    """A token for Plotly, which reads some HTML: no letter of it is taken for markup.

    >>> label(b"<b>x")
    '&lt;b&gt;x'
    """
    text = show_token(token)
    return escape(text if len(text) <= _LABEL else text[: _LABEL - 1] + "…", quote=False)


def head_figure(
    tokens: Sequence[bytes],
    weights: Float[Tensor, "pos pos"],
    sink: Float[Tensor, " pos"] | None,
    palette: Palette,
    largest: float,
    signed: bool,
    what: str,
) -> Figure:
    """Cells from 0 (``signed``: from ``-largest``) to ``largest``; NaN cells are left blank."""
    names = [f"{i} {label(token)}" for i, token in enumerate(tokens, start=1)]
    rows = [[None if x != x else round(x, 5) for x in row] for row in weights.tolist()]
    if sink is not None:
        rows = [[round(x, 5), *row] for x, row in zip(sink.tolist(), rows, strict=True)]
    stops = palette.scale if signed else (palette.background, palette.scale[3], palette.scale[4])
    heat = {
        "type": "heatmap",
        "z": rows,
        "x": ["sink"] * (sink is not None) + names,
        "y": names,
        "zmin": -largest if signed else 0.0,
        "zmax": largest,
        "colorscale": [[i / (len(stops) - 1), colour] for i, colour in enumerate(stops)],
        "hovertemplate": f"query %{{y}}<br>key %{{x}}<br>{what} %{{z:.4f}}<extra></extra>",
        "hoverongaps": False,
        "colorbar": {"thickness": 10, "len": 0.9, "outlinewidth": 0},
    }
    return Figure(data=[heat], layout=_layout(len(tokens), palette))


def _layout(n: int, palette: Palette) -> dict[str, Any]:
    axis = {"type": "category", "showgrid": False, "tickfont": {"family": "monospace", "size": 10}}
    return {
        "height": min(max(n * _CELL + 130, _LEAST), _MOST),
        "margin": {"l": 8, "r": 0, "t": 8, "b": 8},
        "xaxis": {**axis, "title": {"text": "key"}, "tickangle": -90, "automargin": True},
        "yaxis": {
            **axis,
            "title": {"text": "query"},
            "autorange": "reversed",
            "automargin": True,
        },
        "font": {"color": palette.text},
        "paper_bgcolor": palette.background,
        "plot_bgcolor": palette.band,
    }


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
    layout = _bar_layout(palette, "share of attention")
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
    layout = _bar_layout(palette, f"log odds of {up} over {down}, nats")
    layout["xaxis"] |= {"type": "category"}
    layout["yaxis"] |= {"zeroline": True, "zerolinecolor": palette.faint}
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom"}
    return Figure(data=bars, layout=layout | {"barmode": "group", "legend": legend})


_MONO = {"family": "monospace", "size": 11}


def _edge(palette: Palette) -> dict[str, Any]:
    return {"width": 1, "color": palette.faint}


def _bar_layout(palette: Palette, what: str) -> dict[str, Any]:
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
