"""What was measured for the claims: frozen values that JSON can hold."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

FORMAT = 1
TARGETS = (0.05, 0.1, 0.15, 0.25, 0.5)  # nats per sequence
MAIN = 0.15  # the target that most claims are about

Way = Literal["learned masks", "learned masks, refined", "attribution"]


@dataclass(frozen=True)
class EdgeCount:
    """The smallest circuit of one ranking that meets a target, or a stored one found for it."""

    model: str
    task: str
    way: Way  # refined: nodes that are not needed were taken out one by one
    seed: int
    target: float  # nats per sequence, met on evaluation and validation prompts
    nodes: int
    edges: int
    loss: float  # the worse of the two, in nats per sequence


@dataclass(frozen=True)
class Card:
    """A model's size and its held-out loss, off its card."""

    model: str
    nonzero: int  # parameters
    losses: Mapping[str, float]  # nats per token, by part of the held-out text
    bigrams: Mapping[str, float] = field(default_factory=dict)  # a bigram model's on the same text


@dataclass(frozen=True)
class Necessity:
    """Losses without a circuit and without random nodes, off the evidence beside it."""

    circuit: str
    model: str
    task: str
    edges: int
    necessity: float  # without the circuit, nats per sequence
    random: tuple[float, ...]  # without each random set of as many nodes
    prompts: str  # what both are measured on, in words


@dataclass(frozen=True)
class Missing:
    """What a claim lacks, why, and what would make it."""

    what: str
    why: str
    command: str = ""


@dataclass(frozen=True)
class Claims:
    """Everything measured for one sparse model, a dense one, and the models in cards."""

    sparse: str
    dense: str | None
    edges: tuple[EdgeCount, ...] = ()
    cards: tuple[Card, ...] = ()
    necessity: tuple[Necessity, ...] = ()
    missing: tuple[Missing, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, raw: Any) -> "Claims":
        """From JSON values; ValueError when they are not those of Claims."""
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise ValueError(f"no claims of format {FORMAT}; measure them again")
        try:
            return cls(
                raw["sparse"],
                raw["dense"],
                tuple(EdgeCount(**one) for one in raw["edges"]),
                tuple(Card(**one) for one in raw["cards"]),
                tuple(
                    Necessity(**{**one, "random": tuple(one["random"])}) for one in raw["necessity"]
                ),
                tuple(Missing(**one) for one in raw["missing"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the claims of models ({error}); measure them again") from error
