"""A path through a circuit as a row of chips, from a token to the answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from circuit_sparsity.circuits.paths import Path
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.core.names import Node
from circuit_sparsity.plots.colours import Palette
from circuit_sparsity.plots.words import block_label, place_in_words, signed

_PARTS = {"q": "query", "k": "key", "v": "value"}


@dataclass(frozen=True)
class Chip:
    """One stop of a path: a few words, the whole story for hovering, and what leads to it."""

    text: str
    meaning: str
    by: str = ""  # a signed weight, or the link: "attention", "residual stream"


def chips(path: Path, config: GPTConfig, token: str, slope: float) -> tuple[Chip, ...]:
    """The token, each node with the weight into it, and what the end does to the answer.

    ``slope`` is what a unit of the last channel adds to the right answer's logit less the wrong's.
    """
    first, *others = path.nodes
    start = Chip(f"“{token}”", f"the token's embedding writes residual channel {first.channel}")
    stops = [_chip(first, config, "")]
    for node, join in zip(others, path.joins, strict=True):
        stops.append(_chip(node, config, join.by if join.weight is None else signed(join.weight)))
    end = Chip(
        f"{'for' if slope > 0 else 'against'} the right answer",
        f"the unembedding reads it: {signed(slope)} logits per unit for the right answer",
        signed(slope),
    )
    return (start, *stops, end)


def path_html(number: int, strength: float, stops: Sequence[Chip], palette: Palette) -> str:
    """The path's number and strength in nats, then its chips with arrows between; all escaped."""
    look = (
        f"border:1px solid {palette.faint};border-radius:1rem;padding:.05rem .6rem;"
        f"background:{palette.band};white-space:nowrap"
    )
    row = "".join(
        (f'<span style="color:{palette.faint}">{escape(stop.by)} →</span>' if at else "")
        + f'<span role="listitem" tabindex="0" title="{escape(stop.meaning)}" style="{look}">'
        + f"{escape(stop.text)}</span>"
        for at, stop in enumerate(stops)
    )
    return (
        f'<div class="circuit-path" style="font-size:.85rem;color:{palette.text};'
        f'margin-bottom:.5rem"><b>{number}. {strength:.4f} nats</b>'
        f'<div role="list" style="display:flex;flex-wrap:wrap;gap:.3rem .35rem;'
        f'align-items:center">{row}</div></div>'
    )


def _chip(node: Node, config: GPTConfig, by: str) -> Chip:
    return Chip(short(node, config), place_in_words(node, config), by)


def short(node: Node, config: GPTConfig) -> str:
    """A node in a few words.

    >>> short(Node.parse("0.attn.k:35"), GPTConfig(d_head=16))
    'key 3 of head 2, layer 0'
    >>> short(Node.parse("1.mlp.resid_delta:7"), GPTConfig())
    'MLP 1 writes 7'
    """
    place, channel = node.location, node.channel
    if place.kind in _PARTS:
        head, part = divmod(channel, config.d_head)
        return f"{_PARTS[place.kind]} {part} of head {head}, layer {place.layer}"
    if place.kind == "post_act":
        return f"neuron {channel} of {block_label(place)}"
    verb = {"act_in": " reads", "resid_delta": " writes"}.get(place.kind, "")
    return f"{block_label(place)}{verb} {channel}"
