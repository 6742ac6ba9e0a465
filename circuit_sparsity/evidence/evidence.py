"""``Evidence``: every measure of one circuit in one frozen value, which JSON can hold."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.store import Store, paths
from circuit_sparsity.store.atomic import write_atomically

FORMAT = 1
FAR = 2.0  # times the target: a circuit whose loss is above does not carry over to these prompts


@dataclass(frozen=True)
class Control:
    """Circuits of the same size that should mean nothing, beside the real one on equal terms."""

    name: str
    prompts: str  # what all losses here are measured on, in words
    losses: tuple[float, ...]  # of each control circuit, in nats per sequence
    circuit_loss: float
    necessities: tuple[float, ...] = ()  # of the model with only that control ablated
    circuit_necessity: float | None = None

    @property
    def loss(self) -> float:
        return sum(self.losses) / len(self.losses)

    @property
    def necessity(self) -> float | None:
        return sum(self.necessities) / len(self.necessities) if self.necessities else None

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

    @property
    def troubles(self) -> tuple[str, ...]:
        """What speaks against the circuit: prompts it fails on, controls that look as good."""
        controls = tuple(trouble for one in self.controls if (trouble := one.trouble))
        return controls if self.strays is None else (self.strays, *controls)

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
            values["controls"] = tuple(Control(**_tuples(one)) for one in values["controls"])
            if values["stability"] is not None:
                values["stability"] = Stability(**_tuples(values["stability"]))
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"not the evidence of a circuit ({error}); measure it again"
            ) from error


def _tuples(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(x) if isinstance(x, list) else x for key, x in raw.items()}


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
                return Evidence.from_dict(json.loads(path.read_text(encoding="utf-8")))
            except ValueError as error:
                raise ValueError(f"{path} cannot be read: {error}; delete it") from error
    return None


def _name(circuit: Circuit) -> str:
    viz = paths.viz_name(circuit.model, circuit.task, circuit.sweep, circuit.k)
    return f"{viz.rsplit('/', 1)[0]}/{EVIDENCE}"
