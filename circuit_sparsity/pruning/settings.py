"""How a circuit is looked for: every number that decides the result, in one frozen value."""

import dataclasses
import hashlib
import json
import math
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

METHODS = ("masks", "attribution")
PENALTIES = ("nodes", "log_nodes")
OBJECTIVES = ("task", "kl")
_AT_LEAST_ZERO = ("init_scale", "weight_decay", "k_coef", "steer")
_POSITIVE = (
    *("pairs", "evaluation_pairs", "learning_rate", "temperature", "grad_clip", "aim", "spare"),
    "one_by_one",
)
_FRACTIONS = ("warm_up", "inv_beta2", "beta1")


@dataclass(frozen=True)
class PruneSettings:
    """The same settings, prompts and model give the same circuit on the same device.

    Defaults are the ``fast`` preset. Numbers about the masks do not matter to ``attribution``.
    """

    method: str = "masks"  # what ranks the nodes: learned masks, or one pass of attribution
    seed: int = 0  # of the first masks and of the prompts of each step
    steps: int = 200  # optimiser steps
    pairs: int = 16  # prompt pairs a step, and at most those that attribution looks at
    evaluation_pairs: int = 64  # fixed pairs of each kind that decide how many nodes stay
    temperature: float = 1.0  # T of the backward pass of the gate, s(1 - s)/T
    init_bias: float = 0.1  # mean of the first mask parameters
    init_scale: float = 0.01  # their standard deviation
    learning_rate: float = 3e-3  # peak
    warm_up: float = 0.05  # fraction of the steps in which the rate rises to its peak
    beta1: float = 0.9  # AdamW
    inv_beta2: float = 0.05  # AdamW, 1 - beta2
    weight_decay: float = 1e-3  # AdamW, decoupled
    grad_clip: float = 1.0  # largest norm of the gradient
    penalty: str = "nodes"  # what k_coef multiplies: nodes on, or their natural logarithm
    k_coef: float = 1e-3  # nats of task loss that one node (or one unit of log k) may cost
    steer: float = 0.0  # by how much the logarithm of k_coef may move in a step, towards the goal
    aim: float = 0.6  # share of the target loss that steering holds the steps' loss at
    calibrate: bool = False  # fit a scale and a shift of the answers' logits before comparing
    minimal: bool = False  # then remove what is not needed, node by node, from at most 512 nodes
    spare: float = 2.0  # how many times as many nodes as would do that removal begins with
    one_by_one: int = 96  # up to so many parts, removal takes one at a time; of more, a sixteenth
    objective: str = "task"  # keep the right answer, or (kl) the two answers as the model has them
    bf16: bool = True  # compute steps of dense models in bfloat16; the final losses never are

    def __post_init__(self) -> None:
        for name, allowed in (
            ("method", METHODS),
            ("penalty", PENALTIES),
            ("objective", OBJECTIVES),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; expected one of {', '.join(allowed)}"
                )
        self._require(_AT_LEAST_ZERO + ("steps",), lambda x: x >= 0, "0 or more")
        self._require(_POSITIVE, lambda x: x > 0, "more than 0")
        self._require(_FRACTIONS, lambda x: 0 <= x <= 1, "between 0 and 1")

    def _require(self, names: tuple[str, ...], holds: Any, expected: str) -> None:
        for name in names:
            value = getattr(self, name)
            if not holds(value):
                raise ValueError(f"the pruning setting {name} is {value}; expected {expected}")

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "PruneSettings":
        """Settings from JSON values; an unknown key is a ValueError that names the known ones."""
        known = [one.name for one in dataclasses.fields(cls)]
        unknown = sorted(set(raw) - set(known))
        if unknown:
            raise ValueError(
                f"there is no pruning setting {', '.join(unknown)}; there are: {', '.join(known)}"
            )
        return cls(**raw)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @property
    def preset(self) -> str:
        """The preset that these settings are but for the seed, or six digits of their hash."""
        seedless = dataclasses.replace(self, seed=0)
        for name, preset in PRESETS.items():
            if preset == seedless:
                return name
        changed = {
            one.name: getattr(self, one.name)
            for one in dataclasses.fields(self)
            if one.name != "seed" and getattr(self, one.name) != one.default
        }
        return hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:6]


FAST = PruneSettings()
# The centres of the published search; it does not say how many steps a run takes.
PUBLISHED = PruneSettings(steps=1000, pairs=64, k_coef=1e-4, bf16=False)
QUICK = PruneSettings(method="attribution", pairs=64, minimal=True, spare=1.0, one_by_one=16)
# Fast masks with a price steered to the goal; full: then node by node, the smallest circuits.
MASKS = PruneSettings(steer=0.05)
FULL = dataclasses.replace(MASKS, minimal=True)
PRESETS: Mapping[str, PruneSettings] = types.MappingProxyType(
    {"fast": FAST, "published": PUBLISHED, "quick": QUICK, "masks": MASKS, "full": FULL}
)


def preset(name: str) -> PruneSettings:
    """The preset of that name; ValueError names the known ones."""
    if name not in PRESETS:
        raise ValueError(f"there is no pruning preset {name!r}; there are: {', '.join(PRESETS)}")
    return PRESETS[name]


TARGET_LOSS = 0.15  # nats per sequence, the paper's; chance is 0.693
_MEMORY = 0.9  # of the running mean of the steps' losses


@dataclass(frozen=True)
class Goal:
    """The fewest nodes that meet a loss, or the lowest loss of exactly ``k`` nodes."""

    target: float = TARGET_LOSS
    k: int | None = None

    @classmethod
    def of(cls, target: float | None, k: int | None) -> "Goal":
        """ValueError when both are given; the paper's target when neither is."""
        if target is not None and k is not None:
            raise ValueError(f"got a target loss ({target}) and a number of nodes ({k}); give one")
        return cls(TARGET_LOSS if target is None else target, k)


class Price:
    """``k_coef``, constant or steered: it rises while there are nodes to spare, and falls back.

    Nodes that are bought out too early are not ranked well, so the search should end where the
    goal is: with k nodes on, or at a loss a little below the target.
    """

    def __init__(
        self, goal: Goal, settings: PruneSettings, device: torch.device | str = "cpu"
    ) -> None:
        self._goal, self._settings = goal, settings
        start = math.log(settings.k_coef) if settings.k_coef else -math.inf
        # On the device, and moved without asking what is in them: a step waits for nothing.
        self._log = torch.tensor(start, dtype=torch.float64, device=device)
        self._loss: Tensor | None = None
        self._most = torch.zeros((), device=device)  # nodes that were ever on

    @property
    def k_coef(self) -> float:
        return float(self._log.exp())

    def per_node(self, nodes: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """What one more node costs: the derivative of the penalty by the number of nodes on."""
        price = self._log.exp().float()
        return price if self._settings.penalty == "nodes" else price / nodes.clamp(min=1)

    def see(self, loss: Float[Tensor, ""], nodes: Float[Tensor, ""]) -> None:
        """Move after a step that had this task loss with so many nodes on.

        Nothing moves while most nodes are still on: all gates start a little open, and that
        none has closed yet says nothing about the price.
        """
        if self._settings.steer == 0:
            return
        self._loss = loss if self._loss is None else _MEMORY * self._loss + (1 - _MEMORY) * loss
        self._most = torch.maximum(self._most, nodes)
        if self._goal.k is not None:
            spare = (nodes.clamp(min=1) / self._goal.k).log2()
        else:
            spare = 1 - self._loss / (self._settings.aim * self._goal.target)
        step = self._settings.steer * spare.clamp(-1.0, 1.0)
        self._log = self._log + torch.where(2 * nodes > self._most, 0.0, step)
