"""The graph of a circuit with its nodes coloured by a number of each: a cost, an activation."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from circuit_sparsity.circuits.wiring import Wiring
from circuit_sparsity.model import GPTConfig
from circuit_sparsity.names import Node
from circuit_sparsity.plots.colours import Palette, shade
from circuit_sparsity.plots.graph import Figure, circuit_figure
from circuit_sparsity.plots.layout import Layout
from circuit_sparsity.plots.marks import Part
from circuit_sparsity.plots.words import signed


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

    def line(self, node: Node) -> str:
        """The number in words."""
        if node not in self.values:
            return ""
        return f"<br>{self.name}: {signed(self.values[node], 4)} {self.unit}".rstrip()


def shaded_figure(
    wiring: Wiring,
    layout: Layout,
    config: GPTConfig,
    colour: Shading,
    palette: Palette,
    picked: Collection[Part] = (),
    means: Mapping[Node, float] = MappingProxyType({}),
    more: Collection[Shading] = (),
) -> Figure:
    """`circuit_figure` with each node in the colour of its number, blue to orange.

    The hover text also tells ``more`` numbers, which colour nothing.
    """
    figure = circuit_figure(wiring, layout, config, palette, picked, means)
    values, largest = colour.values, colour.largest
    colours = [shade(palette, values.get(node, 0.0), largest) for node in wiring.nodes]
    texts = [
        text + "".join(one.line(node) for one in (colour, *more))
        for node, text in zip(wiring.nodes, figure.to_dict()["data"][0]["hovertext"], strict=False)
    ]
    look = {"color": [*colours, palette.node], "line": {"width": 1, "color": palette.faint}}
    figure.update_traces(marker=look, hovertext=[*texts, ""], selector=0)
    return figure


def cost(deltas: Mapping[Node, float], label: str) -> Shading:
    """The rise of the loss without each node; ``label`` says where it is from: stored, or live."""
    return Shading(deltas, label, "nats when ablated")
