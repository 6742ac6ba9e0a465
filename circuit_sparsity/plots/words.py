"""Places and numbers in words, short enough for a hover text."""

import math
from collections.abc import Sequence

from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.circuits.recipe import Recipe
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.core.names import FINAL_RESID, Location, Node

ROW_LABELS = {  # of the graph's rows
    "act_in": "reads",
    "q": "queries",
    "k": "keys",
    "v": "values",
    "resid_delta": "writes",
    "post_act": "neurons",
    "final_resid": "output",
}
_BLOCKS = {"attn": "attention", "mlp": "MLP"}
_HEAD_PARTS = {"q": "query", "k": "key", "v": "value"}
MINUS = "\N{MINUS SIGN}"


def block_label(location: Location) -> str:
    """
    >>> block_label(Location.parse("2.mlp.post_act"))
    'MLP 2'
    """
    if location.block is None:
        return "output"
    return f"{_BLOCKS[location.block]} {location.layer}"


def place_in_words(node: Node, config: GPTConfig) -> str:
    """What the node is, as a phrase.

    >>> place_in_words(Node.parse("3.mlp.post_act:180"), GPTConfig())
    'neuron 180 of the MLP in layer 3'
    >>> place_in_words(Node.parse("0.attn.q:35"), GPTConfig(d_head=16))
    'query channel 3 of attention head 2 in layer 0'
    """
    location, channel = node.location, node.channel
    if location == FINAL_RESID:
        return f"residual channel {channel} at the end, read by the unembedding"
    block = f"{_where(location)} in layer {location.layer}"
    if location.kind == "post_act":
        return f"neuron {channel} of {block}"
    if location.kind in _HEAD_PARTS:
        head, part = divmod(channel, config.d_head)
        return (
            f"{_HEAD_PARTS[location.kind]} channel {part} of attention head {head} "
            f"in layer {location.layer}"
        )
    if location.kind == "resid_delta":
        return f"what {block} writes to residual channel {channel}"
    if channel >= config.d_model:
        return f"what {block} reads from position channel {channel - config.d_model}"
    return f"what {block} reads from residual channel {channel}"


def what(parts: Sequence[Node | Edge]) -> str:
    """One part by name, several by number.

    >>> what([Node.parse("0.mlp.act_in:3")]), what([Node.parse("0.mlp.act_in:3")] * 2)
    ('0.mlp.act_in:3', '2 nodes')
    """
    if len(parts) == 1:
        return str(parts[0])
    nodes = sum(isinstance(part, Node) for part in parts)
    edges = len(parts) - nodes
    counts = ((nodes, "node"), (edges, "edge"))
    return " and ".join(f"{n} {name}{'s' * (n != 1)}" for n, name in counts if n)


def recipe_in_words(recipe: Recipe, parts: Sequence[Node | Edge], quote: str = "") -> str:
    """What a circuit is with a recipe; ``quote`` stands around the name of a single part.

    >>> recipe_in_words(Recipe.parse(["0.mlp.act_in:3*2"]), [Node.parse("0.mlp.act_in:3")])
    'with 0.mlp.act_in:3 scaled by 2'
    >>> recipe_in_words(Recipe.parse(["0.mlp.act_in:3"]), [Node.parse("0.mlp.act_in:3")], "`")
    'without `0.mlp.act_in:3`'
    """
    named = f"{quote}{what(parts)}{quote}" if len(parts) == 1 else what(parts)
    if all(step.level.how in ("mean", "zero") for step in recipe):
        return f"without {named}"
    return f"with {named} {recipe.steps[0].level.in_words if len(parts) == 1 else 'changed'}"


def stored_loss(value: float, change: bool = False) -> str:
    """A stored loss, or how it changes, in nats; what a file leaves out is "not stored".

    >>> stored_loss(0.25), stored_loss(0.25, change=True), stored_loss(math.nan)
    ('0.2500 nats', '+0.2500 nats', 'not stored')
    """
    if math.isnan(value):
        return "not stored"
    return f"{signed(value, 4) if change else f'{value:.4f}'} nats"


def signed(value: float, digits: int = 3) -> str:
    """A number that always shows its sign; zero has none.

    >>> signed(0.25), signed(-1.5, 1), signed(0.0001)
    ('+0.250', '−1.5', '0.000')
    """
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return f"{'+' if value > 0 else MINUS}{text}"


def _where(location: Location) -> str:
    return "the MLP" if location.block == "mlp" else "attention"
