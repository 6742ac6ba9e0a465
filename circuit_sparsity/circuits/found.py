"""``Found``: how a circuit was found, as the search that found it tells."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

FOUND_HERE = "circuit_sparsity"  # a key of what is stored, in circuits that this project made


@dataclass(frozen=True)
class Moment:
    """A line of a search's history."""

    step: int  # optimiser steps done
    loss: float  # of the masked model on the prompts of that step, in nats per sequence
    nodes: int  # nodes on


@dataclass(frozen=True)
class Removal:
    """What went when nodes and edges were removed one by one, and what else could go.

    An edge that is spare is said to be so and not taken out of the circuit.
    """

    nodes_bisected: int | None  # that the ranking alone needed
    nodes_before: int  # with which removal began
    edges_before: int
    nodes: int  # that are left
    edges: int
    edges_needed: int  # of those, left when all spare ones are ablated together
    spare_edges: tuple[tuple[str, str], ...]  # source and target
    loss_without_spare_edges: float  # nats per sequence

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        spare = [list(ends) for ends in self.spare_edges]
        return {**dataclasses.asdict(self), "spare_edges": spare}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> "Removal":
        """From JSON values; KeyError, TypeError or ValueError for those of something else."""
        spare = tuple((str(source), str(target)) for source, target in told["spare_edges"])
        values: dict[str, Any] = {"nodes_bisected": None, **told, "spare_edges": spare}
        return cls(**values)


@dataclass(frozen=True)
class Found:
    """The settings and the results of the search that found a circuit.

    None and empty are what the search does not tell. Losses are mean two-way losses in nats per
    sequence, on the prompts that decided how many nodes stay.

    >>> found = Found.from_dict({"circuit_sparsity": "prune", "loss": 0.14, "lr": 3})
    >>> found.is_ours, found.loss, found.target, dict(found.other)
    (True, 0.14, None, {'lr': 3})
    """

    by: str | None = None  # which part of this project found it; None: others did
    settings: Mapping[str, Any] | None = None  # of ``PruneSettings.to_dict``
    seed: int | None = None
    target: float | None = None  # the loss that was asked for
    loss: float | None = None  # on other prompts of the pruning split
    validation_loss: float | None = None  # on the validation split
    live: int | None = None  # nodes that do not dangle
    model_nodes: int | None = None
    calibration: Mapping[str, float] | None = None  # scale and shift of the margins
    history: tuple[Moment, ...] = ()
    curve: tuple[tuple[int, float], ...] = ()  # nodes and loss of every size that was tried
    seconds: float | None = None
    start: str | None = None  # title of the circuit that the search began with
    minimality: Removal | None = None
    means_over: str | None = None  # the text of the means, in words, if they are not the model's
    # What others' files tell, whole.
    other: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        for name in ("settings", "calibration", "other"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, MappingProxyType(dict(value)))

    @property
    def is_ours(self) -> bool:
        """Whether this project made the circuit."""
        return self.by is not None

    @property
    def worst_loss(self) -> float | None:
        """The larger of the two losses that a target is met by; None where neither is told."""
        told = [loss for loss in (self.loss, self.validation_loss) if loss is not None]
        return max(told, default=None)

    def to_dict(self) -> dict[str, Any]:
        """JSON values, as a circuit's file holds them; ``from_dict`` reads them."""
        told: dict[str, Any] = {
            FOUND_HERE: self.by,
            "settings": None if self.settings is None else dict(self.settings),
            "calibration": None if self.calibration is None else dict(self.calibration),
            "history": [dataclasses.asdict(moment) for moment in self.history],
            "curve": [list(point) for point in self.curve],
            "minimality": None if self.minimality is None else self.minimality.to_dict(),
        }
        always = _ALWAYS if self.is_ours else ()
        kept: dict[str, Any] = {}
        for name in (FOUND_HERE, *_KEYS):
            value = told[name] if name in told else getattr(self, name)
            if name in always or (value is not None and value != []):
                kept[name] = value
        return kept | dict(self.other) if self.is_ours else dict(self.other) | kept

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Found":
        """What a file tells. A key that is not ours, or whose value is no such value, is other.

        Of a search that was not ours, all is other too, in the file's own order.
        Raises ValueError where a part that this project wrote cannot be read.
        """
        values: dict[str, Any] = {}
        other = {key: value for key, value in raw.items() if key != FOUND_HERE}
        for key, kind in _SIMPLE.items():
            value = other.get(key)
            if isinstance(value, kind) and not isinstance(value, bool):
                values[key] = value
        if FOUND_HERE in raw:
            values["by"] = str(raw[FOUND_HERE])
            try:
                values |= _nested(other)
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"what a circuit's file tells of its search cannot be read ({error}); "
                    "make the circuit again"
                ) from error
            other = {
                key: value
                for key, value in other.items()
                if key not in _KEYS or (key in _SIMPLE and key not in values)
            }
        return cls(**values, other=other)


# In the order in which files hold them.
_KEYS = tuple(one.name for one in dataclasses.fields(Found) if one.name not in ("by", "other"))
_ALWAYS = (FOUND_HERE, *_KEYS[: _KEYS.index("start")])
_SIMPLE: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("seed", "live", "model_nodes"), int),
    **dict.fromkeys(("target", "loss", "validation_loss", "seconds"), (int, float)),
    **dict.fromkeys(("start", "means_over"), str),
}


def _nested(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a ``Found``'s values that are records or lists."""
    history: Sequence[Mapping[str, Any]] = raw.get("history") or ()
    curve: Sequence[Sequence[float]] = raw.get("curve") or ()
    removal: Mapping[str, Any] | None = raw.get("minimality")
    return {
        "settings": raw.get("settings"),
        "calibration": raw.get("calibration"),
        "history": tuple(Moment(**line) for line in history),
        "curve": tuple((int(nodes), float(loss)) for nodes, loss in curve),
        "minimality": None if removal is None else Removal.from_dict(removal),
    }
