"""The patching map as a heat map: parts down, tokens across."""

from collections.abc import Sequence

from plotly.graph_objects import Figure

from circuit_sparsity.patching.map import PatchingMap
from circuit_sparsity.plots.attention import label
from circuit_sparsity.plots.colours import LIGHT, Palette

_CELL, _LEAST, _MOST = 15, 300, 2600  # pixels of a row, of a figure's height


def patching_figure(
    found: PatchingMap, tokens: Sequence[bytes], palette: Palette = LIGHT, least: float = 0.02
) -> Figure:
    """Shares from −1 to 1: 0 is this prompt's answer, 1 the other's.

    ``tokens`` are the bytes of the prompt's tokens (``Tokenizer.token_bytes``). Rows in which no
    share reaches ``least`` are left out. Raises ValueError where ``tokens`` are not the prompt's.
    """
    if len(tokens) != len(found.tokens):
        raise ValueError(
            f"{len(tokens)} texts were given for the {len(found.tokens)} tokens of the prompt; "
            "expected one each"
        )
    share, names = found.share, list(found.parts)
    shown = [i for i in range(len(names)) if float(share[i].nan_to_num().abs().max()) >= least]
    heat = {
        "type": "heatmap",
        "z": [[round(x, 4) for x in row] for row in share[shown].nan_to_num().tolist()],
        "x": [f"{i} {label(token)}" for i, token in enumerate(tokens)],
        "y": [names[i] for i in shown],
        "zmin": -1.0,
        "zmax": 1.0,
        "colorscale": [[i / 4, colour] for i, colour in enumerate(palette.scale)],
        "hovertemplate": "%{y}<br>token %{x}<br>share %{z:.3f}<extra></extra>",
        "colorbar": {"title": {"text": "share"}, "thickness": 10, "outlinewidth": 0},
    }
    axis = {"type": "category", "showgrid": False, "tickfont": {"family": "monospace", "size": 10}}
    layout = {
        "height": min(max(len(shown) * _CELL + 130, _LEAST), _MOST),
        "margin": {"l": 8, "r": 0, "t": 8, "b": 8},
        "xaxis": {**axis, "title": {"text": "token"}, "tickangle": -90, "automargin": True},
        "yaxis": {**axis, "autorange": "reversed", "automargin": True},
        "font": {"color": palette.text},
        "paper_bgcolor": palette.background,
        "plot_bgcolor": palette.band,
    }
    return Figure(data=[heat], layout=layout)
