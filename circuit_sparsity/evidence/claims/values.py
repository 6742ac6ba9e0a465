"""What Gao et al. 2025 (arXiv 2511.13653) report: the numbers that ours stand beside."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from circuit_sparsity.store import Store
from circuit_sparsity.store.atomic import write_atomically

# Fig. 2: geometric-mean edges over its tasks at a target loss (nats): of the dense, of the sparse
# model of equal pretraining loss. It tells none at .1 and .25.
EDGES: Mapping[float, tuple[int, int]] = MappingProxyType(
    {0.0015: (55_900, 3_260), 0.015: (10_200, 605), 0.05: (8_200, 386), 0.15: (5_800, 240)}
    | {0.5: (2_900, 128)}
)
# Fig. 3: width multiple and nonzero parameters; pretraining loss (nats per token), edges at 0.15.
FRONTIER: Mapping[str, tuple[float, int]] = MappingProxyType(
    {
        "1x, 0.9 M nonzero": (1.326, 1384),
        "1x, 7.4 M nonzero": (1.225, 4331),
        "4x, 0.9 M nonzero": (1.157, 595),
        "4x, 7.4 M nonzero": (0.988, 2026),
        "8x, 7.4 M nonzero": (0.950, 1905),
        "16x, 7.4 M nonzero": (0.942, 1082),
    }
)
# Fig. 31: edges at 0.15 by attribution alone, and by learned masks.
ATTRIBUTION, LEARNED = 97_000, 300
# Fig. 32: loss (nats) without the circuit, lowest and highest task; the same of random sets.
NECESSITY = (0.48, 0.68)
# Fig. 9: strength at which an edit brings the dense model to even odds, and all the way.
EVEN, WHOLE = 0.083, 0.15
RANDOM = (1e-7, 1e-6)


def ratio(target: float) -> float | None:
    """Dense over sparse edges in the paper at a target loss, None where it tells none.

    >>> round(ratio(0.15), 1)
    24.2
    """
    known = EDGES.get(target)
    return None if known is None else known[0] / known[1]


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
class ModelCard:
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
class HybridLosses:
    """Worst gaps over all sites of a pair, off its card: nats per token above the model's own."""

    sparse: str
    dense: str
    into_sparse: float  # of hybrids that begin in the dense model
    into_dense: float
    ridge_into_sparse: float  # the same with bridges by ridge regression alone
    ridge_into_dense: float
    tokens: int  # held out, that this was measured on


@dataclass(frozen=True)
class EditCurve:
    """Fig. 9: the class difference of a circuit's strongest read, carried to the dense model.

    Mean probabilities of the right answer over the task's test prompts, one a strength.
    """

    circuit: str
    sparse: str
    dense: str
    task: str
    node: str
    prompts: int
    strengths: tuple[float, ...]
    of_sparse: tuple[float, ...]
    of_dense: tuple[float, ...]
    random_channels: tuple[float, ...]  # in the dense model, means over the draws
    random_directions: tuple[float, ...]


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
    cards: tuple[ModelCard, ...] = ()
    necessity: tuple[Necessity, ...] = ()
    missing: tuple[Missing, ...] = ()
    hybrids: tuple[HybridLosses, ...] = ()
    edits: tuple[EditCurve, ...] = ()

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
                tuple(ModelCard(**one) for one in raw["cards"]),
                tuple(
                    Necessity(**{**one, "random": tuple(one["random"])}) for one in raw["necessity"]
                ),
                tuple(Missing(**one) for one in raw["missing"]),
                tuple(HybridLosses(**one) for one in raw.get("hybrids", ())),
                tuple(_edit_curve(one) for one in raw.get("edits", ())),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the claims of models ({error}); measure them again") from error


def _edit_curve(raw: Mapping[str, Any]) -> EditCurve:
    lists = {key: tuple(value) for key, value in raw.items() if isinstance(value, list)}
    return EditCurve(**{**raw, **lists})


CLAIMS = "claims.json"


def write_claims(claims: Claims, folder: Path) -> Path:
    """Write into ``folder``, whole or not at all."""
    text = json.dumps(claims.to_dict(), indent=1, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    return write_atomically(folder / CLAIMS, lambda file: file.write(text.encode()))


def read_claims(store: Store) -> Claims | None:
    """What was measured last, else what ships, else None; ValueError for a damaged file."""
    for folder in (store.folder, store.shipped):
        path = folder / CLAIMS
        if path.is_file():
            try:
                return Claims.from_dict(json.loads(path.read_text(encoding="utf-8")))
            except ValueError as error:
                raise ValueError(f"{path} cannot be read: {error}; delete it") from error
    return None
