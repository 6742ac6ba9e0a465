"""Circuits of several sizes in one fixed layout: a figure in which a script shows one at a time."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.circuits.wiring import Wiring
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.core.names import Location, Node
from circuit_sparsity.plots.colours import Palette
from circuit_sparsity.plots.graph import Figure, circuit_figure, edge_path, strength_bin
from circuit_sparsity.plots.layout import GraphLayout
from circuit_sparsity.plots.words import place_in_words

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


MOST_FRAMES = 30  # as many as a number of the browser has bits
_ABSENT = 0.06  # opacity of a node that a frame does not have


@dataclass(frozen=True, eq=False)
class Frame:
    """A circuit of the film and its loss, nats per sequence."""

    name: str  # the circuit's k
    circuit: Circuit
    loss: float


@dataclass(frozen=True, eq=False)
class Film:
    """Circuits from small to large, and the wiring and layout of all their nodes together."""

    frames: tuple[Frame, ...]
    wiring: Wiring
    layout: GraphLayout

    @cached_property
    def node_bits(self) -> Mapping[Node, int]:
        """For each node the frames that have it: bit i for frame i."""
        bits: dict[Node, int] = dict.fromkeys(self.wiring.nodes, 0)
        for i, frame in enumerate(self.frames):
            for node in frame.circuit.node_list:
                bits[node] |= 1 << i
        return bits

    def edge_bits(self, edge: Edge) -> int:
        """The frames that have both ends of an edge."""
        return self.node_bits[edge.source] & self.node_bits[edge.target]

    def edges_of(self, frame: int) -> int:
        """How many edges a frame has."""
        return sum(self.edge_bits(edge) >> frame & 1 for edge in self.wiring.edges)

    def entering(self, frame: int) -> int:
        """How many nodes a frame has that the one before has not."""
        return sum(bits >> (frame - 1) & 3 == 2 for bits in self._later(frame))

    def leaving(self, frame: int) -> int:
        """How many nodes the frame before has that this one has not."""
        return sum(bits >> (frame - 1) & 3 == 1 for bits in self._later(frame))

    def _later(self, frame: int) -> Sequence[int]:
        return list(self.node_bits.values()) if frame else ()


def film_figure(film: Film, config: GPTConfig, palette: Palette, first: int = 0) -> Figure:
    """All nodes and edges of the film; those of frame ``first`` are seen.

    The nodes' ``meta`` tells a script which frames have each node and each shape.
    """
    wiring, layout = film.wiring, film.layout
    bare = Wiring(wiring.nodes, (), (), ())
    figure = circuit_figure(bare, layout, config, palette)
    always = (1 << len(film.frames)) - 1
    paths, bits = _paths(film, palette)
    shapes = [*figure.to_dict()["layout"].get("shapes", ()), *paths]
    of_shapes = [always] * (len(shapes) - len(paths)) + bits
    of_nodes = [film.node_bits[node] for node in wiring.nodes]
    shown = [
        shape | {"visible": bool(of >> first & 1)}
        for shape, of in zip(shapes, of_shapes, strict=True)
    ]
    opacity = [1.0 if of >> first & 1 else _ABSENT for of in of_nodes]
    figure.update_layout(shapes=shown)
    figure.update_traces(
        selector=0,
        meta={
            "nodes": of_nodes,
            "shapes": of_shapes,
            "absent": _ABSENT,
            "ink": [palette.background, palette.text],
            "counts": [_count(film, i) for i in range(len(film.frames))],
        },
        hovertext=[*(_hover(film, node, config) for node in wiring.nodes), ""],
        marker={"opacity": [*opacity, 0.0]},
    )
    return figure


def _count(film: Film, i: int) -> str:
    frame = film.frames[i]
    said = f"{frame.circuit.size:,} nodes, {film.edges_of(i):,} edges, loss {frame.loss:.4f} nats"
    if i == 0:
        return said
    return f"{said} · {film.entering(i):,} nodes enter, {film.leaving(i):,} leave"


def _paths(film: Film, palette: Palette) -> tuple[list[dict[str, Any]], list[int]]:
    """Edges that look alike and are seen in the same frames share a path."""
    edges = film.wiring.edges
    strongest = max((abs(edge.weight) for edge in edges), default=0.0)
    groups: dict[tuple[int, int, bool], list[Edge]] = defaultdict(list)
    for edge in edges:
        if film.edge_bits(edge):
            key = (strength_bin(edge.weight, strongest), film.edge_bits(edge), edge.weight > 0)
            groups[key].append(edge)
    drawn = sorted(groups.items())
    paths = [
        edge_path(members, film.layout, palette, strength, positive, len(edges))
        for (strength, _, positive), members in drawn
    ]
    return paths, [bits for (_, bits, _), _ in drawn]


def _hover(film: Film, node: Node, config: GPTConfig) -> str:
    names = [frame.name for i, frame in enumerate(film.frames) if film.node_bits[node] >> i & 1]
    return f"<b>{node}</b><br>{place_in_words(node, config)}<br>in {', '.join(names)}"
