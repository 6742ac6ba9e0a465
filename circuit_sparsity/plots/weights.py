"""Pictures of single weights: a histogram, and positions by channel."""

from collections.abc import Sequence

from jaxtyping import Float
from plotly.graph_objects import Figure
from torch import Tensor

from circuit_sparsity.nodes.firing import Counts
from circuit_sparsity.plots.colours import Palette


def counts_figure(counts: Counts, palette: Palette) -> Figure:
    """How many tokens have an activation in each bin; blue below zero, orange above."""
    edges = counts.edges
    centres = [(low + high) / 2 for low, high in zip(edges, edges[1:], strict=False)]
    spans = [f"{low:.3f} to {high:.3f}" for low, high in zip(edges, edges[1:], strict=False)]
    bars = {
        "type": "bar",
        "x": centres,
        "y": [count or None for count in counts.counts],
        "width": edges[1] - edges[0] if edges else 1.0,
        "customdata": spans,
        "marker": {"color": [palette.positive if x > 0 else palette.negative for x in centres]},
        "hovertemplate": "activation %{customdata}<br>%{y:,} tokens<extra></extra>",
    }
    return Figure(
        data=[bars],
        layout={
            "height": 240,
            "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
            "bargap": 0,
            "xaxis": {"title": {"text": "activation"}, "automargin": True, "zeroline": True}
            | {"zerolinecolor": palette.faint, "gridcolor": palette.band},
            "yaxis": {"title": {"text": "tokens, log scale"}, "type": "log", "automargin": True}
            | {"gridcolor": palette.band, "dtick": 1, "exponentformat": "none"},
            "font": {"color": palette.text},
            "paper_bgcolor": palette.background,
            "plot_bgcolor": palette.background,
        },
    )


def zeros_in_words(counts: Counts) -> str:
    """
    >>> zeros_in_words(Counts((), (), 3, 4))
    'exactly zero on 3 of 4 tokens (75.0%), which the bars leave out'
    """
    return (
        f"exactly zero on {counts.zeros:,} of {counts.total:,} tokens "
        f"({counts.share_of_zeros:.1%}), which the bars leave out"
    )


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
