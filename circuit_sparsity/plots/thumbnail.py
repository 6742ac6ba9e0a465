"""A circuit as a small picture without words, for a card that leads to it."""

from circuit_sparsity.circuits.wiring import Wiring
from circuit_sparsity.plots.layout import GraphLayout

_WIDTH, _HEIGHT, _MARGIN = 220, 120, 8
# One picture for light and dark: these keep a contrast of 3 against both grounds.
_POSITIVE, _NEGATIVE, _LINK, _NODE = "#c26a1a", "#3a7fc1", "#8a93a3", "#7b8494"
_MOST = 400  # of the strongest edges


def thumbnail_svg(wiring: Wiring, layout: GraphLayout) -> str:
    """The circuit's nodes and its strongest edges as an SVG document of 220 by 120 units."""
    top = max((y for _, y in layout.places.values()), default=1.0) or 1.0

    def at(place: tuple[float, float]) -> tuple[float, float]:
        x, y = place
        return (
            round(_MARGIN + x * (_WIDTH - 2 * _MARGIN), 1),
            round(_HEIGHT - _MARGIN - y / top * (_HEIGHT - 2 * _MARGIN), 1),
        )

    places = {node: at(layout.places[node]) for node in wiring.nodes}
    edges = sorted(wiring.edges, key=lambda edge: -abs(edge.weight))[:_MOST]
    groups = {
        _LINK: (*wiring.residual, *wiring.attention)[:_MOST],
        _NEGATIVE: [edge for edge in edges if edge.weight < 0],
        _POSITIVE: [edge for edge in edges if edge.weight >= 0],
    }
    lines = [
        f'<path d="{"".join(_line(places[j.source], places[j.target]) for j in joins)}" '
        f'stroke="{ink}" stroke-width="{0.4 if ink == _LINK else 0.9}" fill="none" opacity=".7"/>'
        for ink, joins in groups.items()
        if joins
    ]
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="2.2"/>' for x, y in places.values())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        f'{"".join(lines)}<g fill="{_NODE}">{dots}</g></svg>'
    )


def _line(source: tuple[float, float], target: tuple[float, float]) -> str:
    return f"M{source[0]} {source[1]}L{target[0]} {target[1]}"
