"""The graph of a circuit with some nodes pointed at: they are large, full and named."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from html import escape
from types import MappingProxyType

from circuit_sparsity.circuits.wiring import Wiring
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.core.names import Node
from circuit_sparsity.plots.colours import Palette, shade
from circuit_sparsity.plots.graph import Figure, circuit_figure
from circuit_sparsity.plots.layout import GraphLayout
from circuit_sparsity.plots.marks import Part
from circuit_sparsity.plots.words import signed

_LARGE, _SMALL = 16, 9  # pixels
_LETTER, _LONGEST = 0.009, 28  # a letter of a caption as a share of the width; letters
_APART = 0.06  # of the width: marks of a row that are nearer have no room for names


def marked_figure(
    wiring: Wiring,
    layout: GraphLayout,
    config: GPTConfig,
    marked: Collection[Node],
    off: Collection[Node],
    palette: Palette,
) -> Figure:
    """`circuit_figure` with ``marked`` nodes full and large, the others hollow and small.

    Nodes that are switched ``off`` have the colour of ablation. Marks with room beside them have
    their channel's number above.
    """
    figure = circuit_figure(wiring, layout, config, palette)
    pointed = {*marked, *off}
    named = {node for node in pointed if _has_room(node, pointed, layout)}
    inks = [palette.ablated if node in off else palette.text for node in wiring.nodes]
    fills = [
        ink if node in pointed else palette.background
        for node, ink in zip(wiring.nodes, inks, strict=True)
    ]
    sizes = [_LARGE if node in pointed else _SMALL for node in wiring.nodes]
    figure.update_traces(
        mode="markers+text",
        text=[*(f"<b>{node.channel}</b>" if node in named else "" for node in wiring.nodes), ""],
        textposition="top center",
        textfont={"color": palette.text, "size": 12},
        marker={
            "color": [*fills, palette.background],
            "size": [*sizes, _SMALL],
            "line": {"width": 1.5, "color": [*inks, palette.text]},
        },
        selected=None,
        unselected=None,
        selector=0,
    )
    figure.update_layout(dragmode=False)
    return figure


def _has_room(node: Node, others: Collection[Node], layout: GraphLayout) -> bool:
    x, y = layout.places[node]
    row = [layout.places[other] for other in others if other != node]
    return not any(other_y == y and abs(other_x - x) < _APART for other_x, other_y in row)


@dataclass(frozen=True, eq=False)
class Shading:
    """A number of each node, and what it is: a line of the hover text begins with it."""

    values: Mapping[Node, float]
    name: str  # "activation on token 12"
    unit: str = ""

    @property
    def largest(self) -> float:
        """The end of the scale; its middle is zero."""
        return max(map(abs, self.values.values()), default=0.0)

    @property
    def words(self) -> str:
        """What the numbers are, with their unit."""
        return f"{self.name}, {self.unit}" if self.unit else self.name

    def line(self, node: Node) -> str:
        """The number in words."""
        if node not in self.values:
            return ""
        return f"<br>{self.name}: {signed(self.values[node], 4)} {self.unit}".rstrip()


def shaded_figure(
    wiring: Wiring,
    layout: GraphLayout,
    config: GPTConfig,
    colour: Shading,
    palette: Palette,
    picked: Collection[Part] = (),
    means: Mapping[Node, float] = MappingProxyType({}),
    more: Collection[Shading] = (),
    captions: Mapping[Node, str] = MappingProxyType({}),
    whole: Wiring | None = None,
) -> Figure:
    """`circuit_figure` with each node in the colour of its number, blue to orange.

    The hover text also tells ``more`` numbers, which colour nothing. ``captions``, the most
    important first, stand beside their nodes where they have room.
    """
    figure = circuit_figure(wiring, layout, config, palette, picked, means, whole)
    values, largest = colour.values, colour.largest
    colours = [shade(palette, values.get(node, 0.0), largest) for node in wiring.nodes]
    texts = [
        text + "".join(one.line(node) for one in (colour, *more))
        for node, text in zip(wiring.nodes, figure.to_dict()["data"][0]["hovertext"], strict=False)
    ]
    look = {"color": [*colours, palette.node], "line": {"width": 1, "color": palette.faint}}
    figure.update_traces(marker=look, hovertext=[*texts, ""], selector=0)
    scale = {"largest": largest, "colours": list(palette.scale), "words": colour.words}
    figure.update_layout(meta={"scale": scale})  # for pictures that are saved
    if captions:
        shown = with_room(captions, layout)
        named = [shown.get(node, "") for node in wiring.nodes]
        figure.update_traces(
            mode="markers+text",
            text=[*(escape(words, quote=False) for words in named), ""],
            textposition="top center",
            textfont={"color": palette.text, "size": 11},
            unselected={"textfont": {"color": palette.text}},
            cliponaxis=False,
            selector=0,
        )
    return figure


def with_room(captions: Mapping[Node, str], layout: GraphLayout) -> dict[Node, str]:
    """Those of ``captions`` that do not run into one before them, cut to a few words.

    >>> from circuit_sparsity.plots.layout import lay_out
    >>> one, other = Node.parse("0.mlp.act_in:3"), Node.parse("0.mlp.act_in:4")
    >>> placed = lay_out([one, other], [], 16)
    >>> len(with_room({one: "a reader's words", other: "others"}, placed))
    2
    """
    shown: dict[Node, str] = {}
    taken: list[tuple[float, float, float]] = []  # left, right, height
    for node, words in captions.items():
        if node not in layout.places:
            continue
        x, y = layout.places[node]
        words = words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…"
        half = _LETTER * len(words) / 2
        if not any(x - half < b and a < x + half and abs(y - h) < 1 for a, b, h in taken):
            taken.append((x - half, x + half, y))
            shown[node] = words
    return shown


def cost(deltas: Mapping[Node, float], label: str) -> Shading:
    """The rise of the loss without each node; ``label`` says where it is from: stored, or live."""
    return Shading(deltas, label, "nats when ablated")


SEEN_FROM = 0.02  # of the largest cost: crosses on cheaper edges are not drawn
_UNSEEN = "rgba(0,0,0,0)"


def stored_figure(
    wiring: Wiring,
    layout: GraphLayout,
    config: GPTConfig,
    nodes: Mapping[Node, float],
    edges: Mapping[str, float],
    palette: Palette,
    picked: Collection[Part] = (),
    whole: Wiring | None = None,
) -> Figure:
    """`shaded_figure` with a cross on each edge that costs something, on one scale with the nodes.

    ``nodes`` and ``edges`` (by name) are stored rises of the loss in nats per sequence; zero is the
    middle of the scale, the largest of all its end. Every edge tells its own on hovering.
    """
    figure = shaded_figure(
        wiring, layout, config, cost(nodes, "stored"), palette, picked, whole=whole
    )
    largest = max(map(abs, (*nodes.values(), *edges.values())), default=0.0)
    colours = [*(shade(palette, nodes[node], largest) for node in wiring.nodes), palette.node]
    figure.update_traces(marker={"color": colours}, selector=0)
    middles = figure.to_dict()["data"][1]
    costs = [edges[name] for name in middles["customdata"]]
    crosses = [
        shade(palette, rise, largest) if abs(rise) > SEEN_FROM * largest else _UNSEEN
        for rise in costs
    ]
    texts = [
        f"{text}<br>stored: {signed(rise, 4)} nats when ablated"
        for text, rise in zip(middles["hovertext"], costs, strict=True)
    ]
    look = {
        "size": 9,
        "color": crosses,
        "opacity": 1,
        "line": {"width": 0.5, "color": palette.faint},
    }
    figure.update_traces(
        marker=look, unselected={"marker": {"opacity": 0.75}}, hovertext=texts, selector=1
    )
    return figure
