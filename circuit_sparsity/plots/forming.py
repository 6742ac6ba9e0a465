"""How many nodes are on at each place of a model, as bars in order of computation."""

from collections.abc import Mapping

from plotly.graph_objects import Figure

from circuit_sparsity.model import GPTConfig
from circuit_sparsity.names import Location
from circuit_sparsity.plots.colours import Palette

_BAR = 14  # pixels


def places_figure(
    nodes: Mapping[Location, tuple[int, ...]], config: GPTConfig, palette: Palette
) -> Figure:
    """A bar for each place from the bottom up: the nodes on, of as many as there are."""
    names = [str(place) for place in nodes]
    counts = [len(kept) for kept in nodes.values()]
    widths = [config.width(place) for place in nodes]
    bar = {
        "type": "bar",
        "orientation": "h",
        "y": names,
        "x": [max(count, 0.5) for count in counts],  # a logarithm has no 0
        "customdata": [f"{n:,} of {of:,}" for n, of in zip(counts, widths, strict=True)],
        "marker": {"color": palette.node},
        "hovertemplate": "%{y}: %{customdata} nodes on<extra></extra>",
    }
    layout = {
        "height": 70 + _BAR * len(names),
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "xaxis": {
            "title": {"text": "nodes on"},
            "type": "log",
            "range": [-0.31, 0.05 + _decades(max(widths))],
            "gridcolor": palette.band,
            "dtick": 1,
        },
        "yaxis": {"automargin": True, "tickfont": {"size": 10}, "dtick": 1},
        "bargap": 0.25,
        "font": {"color": palette.text},
        "paper_bgcolor": palette.background,
        "plot_bgcolor": palette.background,
        "showlegend": False,
    }
    return Figure(data=[bar], layout=layout)


def _decades(n: int) -> int:
    """The next power of ten's exponent, so that the axis keeps still.

    >>> _decades(1024), _decades(10)
    (4, 1)
    """
    return len(str(n - 1))
