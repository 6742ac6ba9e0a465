"""Heat maps of one attention head: queries down, keys across, the sink in front of them."""

from collections.abc import Sequence
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
