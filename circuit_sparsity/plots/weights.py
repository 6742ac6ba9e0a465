"""Pictures of single weights: a histogram, and positions by channel."""

from collections.abc import Sequence

from jaxtyping import Float
from plotly.graph_objects import Figure
from torch import Tensor

from circuit_sparsity.plots.colours import Palette

_BINS = 60


def histogram(weights: Sequence[float], palette: Palette, what: str) -> Figure:
    """How many weights lie where; zero is marked."""
    bars = {
        "type": "histogram",
        "x": list(weights),
        "nbinsx": _BINS,
        "marker": {"color": palette.negative},
        "hovertemplate": f"{what} %{{x}}<br>%{{y}} tokens<extra></extra>",
    }
    return Figure(
        data=[bars],
        layout={
            "height": 240,
            "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
            "xaxis": {"title": {"text": what}, "zerolinecolor": palette.text, "automargin": True},
            "yaxis": {
                "title": {"text": "tokens"},
                "gridcolor": palette.band,
                "automargin": True,
            },
            **_colours(palette),
        },
    )


def position_map(
    values: Float[Tensor, "pos channel"], channels: Sequence[int], palette: Palette
) -> Figure:
    """Positions across, channels down, zero in the middle of the scale."""
    largest = float(values.abs().max())
    heat = {
        "type": "heatmap",
        "z": [[round(x, 5) for x in column] for column in values.T.tolist()],
        "y": [f"channel {channel}" for channel in channels],
        "zmin": -largest,
        "zmax": largest,
        "colorscale": [[i / 4, colour] for i, colour in enumerate(palette.scale)],
        "hovertemplate": "%{y}<br>position %{x}<br>weight %{z:.4f}<extra></extra>",
        "colorbar": {"thickness": 10, "outlinewidth": 0},
    }
    return Figure(
        data=[heat],
        layout={
            "height": min(max(14 * len(channels) + 90, 240), 760),
            "margin": {"l": 8, "r": 0, "t": 8, "b": 8},
            "xaxis": {"title": {"text": "position, 0 is the first token"}, "automargin": True},
            "yaxis": {"type": "category", "autorange": "reversed", "automargin": True},
            **_colours(palette),
        },
    )


def _colours(palette: Palette) -> dict[str, object]:
    return {
        "font": {"color": palette.text},
        "paper_bgcolor": palette.background,
        "plot_bgcolor": palette.background,
    }
