"""A path through a circuit, told from the token to the answer."""

from circuit_sparsity.circuits.paths import Path
from circuit_sparsity.circuits.wiring import Neighbour
from circuit_sparsity.model import GPTConfig
from circuit_sparsity.names import FINAL_RESID, Node
from circuit_sparsity.plots.words import block_label, signed

_PARTS = {"q": "query", "k": "key", "v": "value"}


def tell(path: Path, config: GPTConfig, token: str, slope: float) -> str:
    """One sentence: the token, each step with its weight, and what the end does to the answer.

    ``slope`` is what a unit of the last channel adds to the right answer's logit less the wrong's.
    """
    steps = [f"“{token}” writes residual channel {path.nodes[0].channel}"]
    steps.append(f"{block_label(path.nodes[0].location)} reads it")
    steps += [_step(join, config) for join in path.joins]
    raises = "for" if slope > 0 else "against"
    return (
        " → ".join(steps)
        + f" → the unembedding reads it as {raises} the right answer ({signed(slope)} a unit)"
    )


def short(node: Node, config: GPTConfig) -> str:
    """A node in a few words.

    >>> short(Node.parse("0.attn.k:35"), GPTConfig(d_head=16))
    'key 3 of head 2, layer 0'
    """
    place, channel = node.location, node.channel
    if place == FINAL_RESID:
        return f"final channel {channel}"
    if place.kind in _PARTS:
        head, part = divmod(channel, config.d_head)
        return f"{_PARTS[place.kind]} {part} of head {head}, layer {place.layer}"
    if place.kind == "post_act":
        return f"neuron {channel} of {block_label(place)}"
    return f"channel {channel}"


def _step(join: Neighbour, config: GPTConfig) -> str:
    node, by = join.node, "" if join.weight is None else f" ({signed(join.weight)})"
    kind = node.location.kind
    if join.by == "attention":
        return f"decides where {short(node, config)} is read"
    if kind == "resid_delta":
        return f"{block_label(node.location)} writes channel {node.channel}{by}"
    if join.by == "residual stream":
        end = node.location == FINAL_RESID
        return "it stays to the end" if end else f"{block_label(node.location)} reads it"
    return short(node, config) + by
