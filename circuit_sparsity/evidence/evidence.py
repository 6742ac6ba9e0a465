"""``Evidence``: every measure of one circuit in one frozen value, which JSON can hold."""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.evidence.adversary import Adversary
from circuit_sparsity.evidence.anchors import Anchors
from circuit_sparsity.evidence.reasons import HeadAgreement, Reasons, WriteAgreement
from circuit_sparsity.evidence.resample import Resampled
from circuit_sparsity.evidence.rest import PartOfRest, ShareOfRest
from circuit_sparsity.evidence.shortcuts import Shortcuts
from circuit_sparsity.evidence.specific import OnTask, Specific
from circuit_sparsity.experiment.experiment import faithfulness
from circuit_sparsity.store import Store, paths
from circuit_sparsity.store.atomic import write_atomically
from circuit_sparsity.store.health import check_content
from circuit_sparsity.tasks.task import CHANCE_LOSS

FORMAT = 1
FAR = 2.0  # times the target: a circuit whose loss is above does not carry over to these prompts
SOME = 0.01  # nats below a guess: a search that ends above has found nothing
EASY = 0.95  # share of test prompts that a guess without a model answers: too easy a task
SPARED = 0.5  # of the way from a guess to the model, that the model without the circuit may come


@dataclass(frozen=True)
class Control:
    """Circuits of the same size that should mean nothing, beside the real one on equal terms."""

    name: str
    prompts: str  # what all losses here are measured on, in words
    losses: tuple[float, ...]  # of each control circuit, in nats per sequence
    circuit_loss: float
    necessities: tuple[float, ...] = ()  # of the model with only that control ablated
    circuit_necessity: float | None = None
    best_loss: float | None = None  # that a search reached at any size, where one was made
    best_nodes: int | None = None  # its size

    @property
    def loss(self) -> float:
        return sum(self.losses) / len(self.losses)

    @property
    def necessity(self) -> float | None:
        return sum(self.necessities) / len(self.necessities) if self.necessities else None

    @property
    def failed(self) -> str | None:
        """Why a search for a control says nothing: it ended at a guess; None where it says much."""
        lowest = min(*self.losses, *([] if self.best_loss is None else [self.best_loss]), math.inf)
        if self.necessities or lowest < CHANCE_LOSS - SOME:
            return None
        return (
            f"{self.name}: the search ended at {lowest:.4f} nats, no better than a guess; that "
            "it found nothing says little about whether there was anything to find"
        )

    @property
    def trouble(self) -> str | None:
        """What is wrong when a control looks as good as the circuit; None when none does."""
        if min(self.losses) <= self.circuit_loss:
            return (
                f"{self.name}: a control has a loss of {min(self.losses):.4f} nats, the circuit "
                f"{self.circuit_loss:.4f}; so low a loss proves nothing here"
            )
        if self.circuit_necessity is not None and max(self.necessities) >= self.circuit_necessity:
            return (
                f"{self.name}: without a control the model's loss is {max(self.necessities):.4f} "
                f"nats, without the circuit {self.circuit_necessity:.4f}; it is no more necessary"
            )
        return None


@dataclass(frozen=True)
class CurvePoint:
    """The k best nodes of a ranking."""

    nodes: int
    loss: float  # nats per sequence
    faithfulness: float | None


@dataclass(frozen=True)
class Stability:
    """The circuits that pruning finds from several seeds."""

    seeds: tuple[int, ...]
    nodes: tuple[int, ...]  # of each seed's circuit
    losses: tuple[float, ...]  # of each, on the prompts that decided its size
    overlaps: tuple[float, ...]  # Jaccard, for each pair of seeds

    @property
    def overlap(self) -> float:
        return sum(self.overlaps) / len(self.overlaps)


@dataclass(frozen=True)
class Evidence:
    """What is known of a circuit. ``definitions.DEFINITIONS`` says what each measure means.

    None is what was not measured, or what is not defined: faithfulness and all that comes from it
    where model and empty circuit have about the same loss.
    """

    circuit: str
    prompts: str  # what is measured on, in words
    nodes: int
    edges: int
    learnable_nodes: int
    model_nodes: int
    model_loss: float
    empty_loss: float
    sufficiency: float
    necessity: float
    faithfulness: float | None
    completeness: float | None
    kl: float
    exact_match: float
    exact_match_full: float
    minimality: Mapping[str, float]  # by node
    relative_sparsity: float
    full_sparsity: float
    ranking: str | None = None  # what ordered the nodes of the curve, in words
    curve_prompts: str | None = None
    curve: tuple[CurvePoint, ...] = ()
    cpr: float | None = None
    cmd: float | None = None
    cpr_log: float | None = None
    cmd_log: float | None = None
    controls: tuple[Control, ...] = ()
    stability: Stability | None = None
    edges_needed: int | None = None  # where removal looked for spare edges
    loss_of_needed: float | None = None  # with the others ablated, in nats per sequence
    target: float | None = None  # nats per sequence, that the circuit was found for
    anchors: Anchors | None = None
    intervals: Mapping[str, tuple[float, float]] = field(
        default_factory=dict[str, tuple[float, float]]
    )  # 95%, by the name of the measure
    shortcuts: Shortcuts | None = None
    rest: PartOfRest | None = None
    resampled: Resampled | None = None
    adversary: Adversary | None = None
    reasons: Reasons | None = None
    specific: Specific | None = None

    @property
    def troubles(self) -> tuple[str, ...]:
        """What speaks against the circuit: prompts it fails on, controls that look as good."""
        further = (None if one is None else one.trouble for one in (self.rest, self.specific))
        found = (self.strays, self.spared, *(one.trouble for one in self.controls), *further)
        return tuple(trouble for trouble in found if trouble)

    @property
    def cautions(self) -> tuple[str, ...]:
        """What says less than it seems to: controls that failed, a task that a guess answers."""
        failed = tuple(words for one in self.controls if (words := one.failed))
        easy = self.shortcuts
        if easy is None or easy.best < EASY:
            return failed
        return (*failed, f"The task is answered without a model: {easy.words}")

    @property
    def spared(self) -> str | None:
        """What is wrong when the model hardly needs the circuit; None where it does.

        By loss, anchored at the best constant guess, which is a coin's in pairs of prompts.
        """
        guess = CHANCE_LOSS if self.anchors is None else self.anchors.constant_loss
        completeness = faithfulness(self.necessity, self.model_loss, guess)
        if completeness is None or completeness < SPARED:
            return None
        right = ""
        if self.anchors is not None:
            right = f" and answers {self.anchors.accuracies[2]:.0%} right"
        return (
            f"Without the circuit the model still has a loss of {self.necessity:.4f} nats{right} "
            f"(completeness {completeness:.2f}): it does not need this circuit"
        )

    @property
    def strays(self) -> str | None:
        """What is wrong when the loss here is far above what the circuit was found for."""
        if self.target is None or self.sufficiency <= FAR * self.target:
            return None
        return (
            f"The circuit was found for a loss of {self.target:g} nats, and its loss is "
            f"{self.sufficiency:.4f} on {self.prompts}: it does not carry over to them"
        )

    def control(self, name: str) -> Control | None:
        """The control of that name, if it was run."""
        return next((one for one in self.controls if one.name == name), None)

    def with_control(self, control: Control) -> "Evidence":
        """This evidence with a control added, in place of an older one of the same name."""
        others = tuple(one for one in self.controls if one.name != control.name)
        return dataclasses.replace(self, controls=(*others, control))

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, raw: Any) -> "Evidence":
        """From JSON values; ValueError when they are not those of an Evidence."""
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise ValueError(f"no evidence of format {FORMAT}; measure it again")
        try:
            values = {key: value for key, value in raw.items() if key != "format"}
            values["curve"] = tuple(CurvePoint(**point) for point in values["curve"])
            values["controls"] = tuple(Control(**_fields(one)) for one in values["controls"])
            for name, kind in _RECORDS.items():
                if values.get(name) is not None:
                    values[name] = kind(**_fields(values[name]))
            values["intervals"] = _fields(values.get("intervals", {}))
            return cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"not the evidence of a circuit ({error}); measure it again"
            ) from error


def _fields(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record from JSON values: lists are tuples, some of them of records."""
    return {key: _frozen(value, _INNER.get(key)) for key, value in raw.items()}


def _frozen(value: Any, inner: type | None = None) -> Any:
    if not isinstance(value, list):
        return value
    return tuple(inner(**_fields(one)) if inner is not None else _frozen(one) for one in value)


_RECORDS = {
    "stability": Stability,
    "anchors": Anchors,
    "shortcuts": Shortcuts,
    "rest": PartOfRest,
    "resampled": Resampled,
    "adversary": Adversary,
    "reasons": Reasons,
    "specific": Specific,
}
_INNER = {"shares": ShareOfRest, "heads": HeadAgreement, "writes": WriteAgreement, "tasks": OnTask}
EVIDENCE = "evidence.json"


def write_evidence(evidence: Evidence, store: Store, circuit: Circuit) -> Path:
    """Write into the user's folder, whole or not at all; what ships is not touched."""
    names = circuit.model, circuit.task, circuit.sweep, circuit.k
    if not (store.folder / paths.viz_name(*names)).is_file():
        store.viz_folder(*names, {"what": "evidence"})  # a folder of our own, not of downloads
    path = paths.inside(store.folder, _name(circuit))
    text = json.dumps(evidence.to_dict(), indent=1, allow_nan=False) + "\n"
    return write_atomically(path, lambda file: file.write(text.encode()))


def read_evidence(store: Store, circuit: Circuit) -> Evidence | None:
    """What was stored of a circuit, or None; ValueError for a damaged file."""
    for root in (store.folder, store.shipped):
        path = root / _name(circuit)
        if path.is_file():
            try:
                check_content(path)
                return Evidence.from_dict(json.loads(path.read_text(encoding="utf-8")))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{path} cannot be read: {error}; delete it") from error
    return None


def _name(circuit: Circuit) -> str:
    viz = paths.viz_name(circuit.model, circuit.task, circuit.sweep, circuit.k)
    return f"{viz.rsplit('/', 1)[0]}/{EVIDENCE}"
