"""Places in a model and the nodes at them: parsed once, printed once, ordered as computed.

A *location* is a named tensor of the forward pass, such as ``3.mlp.post_act``; a *node* is one
channel of it, such as ``3.mlp.post_act:180``. The names are those of the released hooks.
"""

import re
from dataclasses import dataclass
from functools import total_ordering

ATTENTION_KINDS = ("act_in", "q", "k", "v", "resid_delta")
MLP_KINDS = ("act_in", "post_act", "resid_delta")
_LOCATION = re.compile(r"(\d+)\.(attn|mlp)\.([a-z_]+)")
_EXPECTED = (
    "expected LAYER.attn.(act_in|q|k|v|resid_delta), LAYER.mlp.(act_in|post_act|resid_delta) "
    "or final_resid"
)


@total_ordering
@dataclass(frozen=True)
class Location:
    """A place where nodes live. Sorts in the order in which the model computes it.

    >>> Location.parse("3.mlp.post_act")
    Location(layer=3, block='mlp', kind='post_act')
    >>> str(Location.parse("final_resid"))
    'final_resid'
    >>> str(min(FINAL_RESID, Location(1, "attn", "act_in"), Location(0, "mlp", "post_act")))
    '0.mlp.post_act'
    """

    layer: int | None
    block: str | None
    kind: str

    @classmethod
    def parse(cls, text: str) -> "Location":
        """The location a hook name such as ``"0.attn.q"`` speaks of; ValueError otherwise."""
        if text == "final_resid":
            return FINAL_RESID
        found = _LOCATION.fullmatch(text)
        if found is None or found[3] not in _kinds(found[2]):
            raise ValueError(f"not a location: {text!r}; {_EXPECTED}")
        return cls(int(found[1]), found[2], found[3])

    def __str__(self) -> str:
        return self.kind if self.layer is None else f"{self.layer}.{self.block}.{self.kind}"

    def __lt__(self, other: "Location") -> bool:
        return self._order < other._order

    @property
    def _order(self) -> tuple[int, int, int]:
        if self.layer is None or self.block is None:
            return (1 << 30, 0, 0)
        return (self.layer, int(self.block == "mlp"), _kinds(self.block).index(self.kind))

    @property
    def block_name(self) -> str:
        """``"3.mlp"`` for everything in that block, ``"final_resid"`` for the last place."""
        return self.kind if self.layer is None else f"{self.layer}.{self.block}"

    @property
    def reads_residual(self) -> bool:
        """Whether this place reads the residual stream (after a norm) or is its end."""
        return self.kind == "act_in" or self == FINAL_RESID

    @property
    def writes_residual(self) -> bool:
        return self.kind == "resid_delta"


FINAL_RESID = Location(None, None, "final_resid")


@total_ordering
@dataclass(frozen=True)
class Node:
    """One channel at one location.

    >>> node = Node.parse("3.mlp.post_act:180")
    >>> node.location.layer, node.channel, str(node)
    (3, 180, '3.mlp.post_act:180')
    """

    location: Location
    channel: int

    @classmethod
    def parse(cls, text: str) -> "Node":
        """The node that ``LOCATION:CHANNEL`` names; ValueError when it names none."""
        place, colon, channel = text.rpartition(":")
        if not colon or not channel.isdecimal():
            raise ValueError(
                f"not a node: {text!r}; expected LOCATION:CHANNEL such as 3.mlp.post_act:180"
            )
        return cls(Location.parse(place), int(channel))

    def __str__(self) -> str:
        return f"{self.location}:{self.channel}"

    def __lt__(self, other: "Node") -> bool:
        return (self.location, self.channel) < (other.location, other.channel)


def circuit_locations(n_layer: int) -> tuple[Location, ...]:
    """The places of a circuit in the order of computation: eight a layer and ``final_resid``."""
    layers = [
        Location(layer, block, kind)
        for layer in range(n_layer)
        for block in ("attn", "mlp")
        for kind in _kinds(block)
    ]
    return (*layers, FINAL_RESID)


def _kinds(block: str) -> tuple[str, ...]:
    return ATTENTION_KINDS if block == "attn" else MLP_KINDS
