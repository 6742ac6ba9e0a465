"""``Family``: what one run hands out, a circuit of every size, and its file beside a circuit.

A chain is an order of nodes: its circuit of k nodes is the first k, so its circuits are nested. A
family has one chain or several, and says which of them serves each size. Circuits are nested from
size to size but at the ``switches``, where another chain takes over.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.core.names import Location, Node
from circuit_sparsity.pruning.settings import PruneSettings
from circuit_sparsity.store.atomic import write_atomically

FAMILY = "family.json"  # in the circuit's folder
FORMAT = 1
STAY = (1.05, 0.005)  # a chain goes on while its loss is within this factor and sum of the best

Chain = tuple[Node, ...]  # from the node to keep first to the one to keep last


@dataclass(frozen=True)
class FamilyPoint:
    """The circuit of one size. Losses are means in nats per sequence."""

    k: int
    loss: float  # the larger of pruning and validation prompts: those that decided
    test_loss: float | None = None  # on prompts that decided nothing


@dataclass(frozen=True)
class Family:
    """Circuits of every size from 1 to ``most``, from one run of a task on a model."""

    model: str
    task: str
    means_hash: str  # of the reference means that everything outside is held at
    settings: PruneSettings
    chains: tuple[Chain, ...]
    serving: tuple[tuple[int, int], ...]  # (k, chain): from this size on, until the next
    points: tuple[FamilyPoint, ...]
    seconds: float

    def __post_init__(self) -> None:
        sizes = [k for k, _ in self.serving]
        if not self.chains or sizes[:1] != [1] or sizes != sorted(set(sizes)):
            raise ValueError(f"sizes are served from {sizes} on; expected 1 and then larger ones")
        for k, chain in self.serving:
            if not 0 <= chain < len(self.chains):
                raise ValueError(f"size {k} is served by chain {chain} of {len(self.chains)}")
        ends = [k - 1 for k in sizes[1:]] + [self.most]
        for (k, chain), end in zip(self.serving, ends, strict=True):
            if end > len(self.chains[chain]):
                raise ValueError(
                    f"sizes {k} to {end} are served by {len(self.chains[chain])} nodes"
                )
        for chain in self.chains:
            if len(set(chain)) != len(chain):
                raise ValueError("a chain names a node twice")

    @property
    def most(self) -> int:
        """The largest size that is there."""
        return len(self.chains[self.serving[-1][1]])

    @property
    def switches(self) -> tuple[int, ...]:
        """Sizes k whose circuit does not keep all nodes of the circuit of k - 1."""
        sizes = [k for k, _ in self.serving[1:]]
        return tuple(k for k in sizes if not set(self.nodes(k - 1)) <= set(self.nodes(k)))

    def nodes(self, k: int) -> Chain:
        """The k nodes of that size's circuit; ValueError for a size that is not there."""
        if not 1 <= k <= self.most:
            raise ValueError(
                f"a circuit of {k} nodes was asked for; the family of {self.model} on {self.task} "
                f"has those of 1 to {self.most}"
            )
        chain = next(chain for start, chain in reversed(self.serving) if start <= k)
        return self.chains[chain][:k]

    def circuit(self, k: int, like: Circuit) -> Circuit:
        """The circuit of k nodes, of the sweep that ``like`` is of."""
        by_place: dict[Location, tuple[int, ...]] = dict.fromkeys(like.nodes, ())
        for node in sorted(self.nodes(k), key=lambda node: (node.location, node.channel)):
            by_place[node.location] = (*by_place.get(node.location, ()), node.channel)
        names = self.model, self.task, like.sweep, f"k{k}"
        return Circuit(by_place, *names, means_hash=self.means_hash)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "format": FORMAT,
            "model": self.model,
            "task": self.task,
            "means_hash": self.means_hash,
            "settings": self.settings.to_dict(),
            "chains": [list(map(str, chain)) for chain in self.chains],
            "serving": [list(pair) for pair in self.serving],
            "points": [[point.k, point.loss, point.test_loss] for point in self.points],
            "seconds": self.seconds,
        }

    @classmethod
    def from_dict(cls, raw: Any) -> "Family":
        """From JSON values; ValueError when they are not those of a family."""
        if not isinstance(raw, Mapping) or raw.get("format") != FORMAT:
            raise ValueError(f"it is no family of format {FORMAT}")
        try:
            return cls(
                str(raw["model"]),
                str(raw["task"]),
                str(raw["means_hash"]),
                PruneSettings.from_dict(raw["settings"]),
                tuple(tuple(map(Node.parse, chain)) for chain in raw["chains"]),
                tuple((int(k), int(chain)) for k, chain in raw["serving"]),
                tuple(FamilyPoint(int(k), loss, test) for k, loss, test in raw["points"]),
                float(raw["seconds"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"a part of it is missing or of another kind ({error})") from error


def write_family(family: Family, folder: Path) -> Path:
    """Write ``family.json`` into a circuit's folder, whole or not at all."""
    data = json.dumps(family.to_dict(), separators=(",", ":")).encode()
    return write_atomically(folder / FAMILY, lambda file: file.write(data))


def read_family(folder: Path, circuit: Circuit | None = None) -> Family | None:
    """What ``write_family`` wrote, or None where nothing lies.

    ValueError for a damaged file, and for one that is not of the ``circuit``'s model, task and
    reference means.
    """
    path = folder / FAMILY
    if not path.is_file():
        return None
    try:
        family = Family.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:  # of JSON, of UTF-8 and of ours
        raise ValueError(
            f"{path} ({path.stat().st_size} bytes) holds no family of circuits: {error}; delete it "
            "and make it again with `python -m circuit_sparsity cut MODEL TASK SWEEP K --refine`"
        ) from error
    if circuit is not None:
        _check_belongs(family, circuit, path)
    return family


def _check_belongs(family: Family, circuit: Circuit, path: Path) -> None:
    mine = family.model, family.task, family.means_hash
    wanted = circuit.model, circuit.task, circuit.means_hash or family.means_hash
    if mine != wanted:
        raise ValueError(
            f"{path} is of {' · '.join(mine)}; expected {' · '.join(wanted)} (model, task, hash of "
            "the reference means): it was copied from elsewhere, delete it"
        )


def served(losses: Sequence[Mapping[int, float]]) -> tuple[tuple[int, int], ...]:
    """Which chain serves from which size on, by the loss of each at the sizes that it has.

    A chain goes on while it is about as good as the best: every change is a jump in the film. The
    first pair is for size 1; a change between two sizes comes at the larger, or where a chain ends.

    >>> served([{8: 0.5, 16: 0.2, 32: 0.1}, {8: 0.501, 16: 0.1, 32: 0.0}])
    ((1, 0), (16, 1))
    """
    factor, more = STAY
    found: list[tuple[int, int]] = []
    before = 0
    for k in sorted(set().union(*losses)):
        there = {chain: by_size[k] for chain, by_size in enumerate(losses) if k in by_size}
        best = min(there, key=there.__getitem__)
        now = found[-1][1] if found else best
        if not found or now not in there:
            found.append((before + 1, best))
        elif there[now] > factor * there[best] + more:
            found.append((k, best))
        before = k
    return tuple(found)


def sizes_up_to(most: int) -> tuple[int, ...]:
    """Sizes at which a family is measured: all to 16, then eight in every doubling.

    >>> sizes_up_to(20)
    (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19, 20)
    """
    steps = range(math.ceil(8 * math.log2(max(most, 1) / 16)) if most > 16 else 0)
    above = (round(16 * 2 ** (step / 8)) for step in steps)
    return tuple(sorted(k for k in {*range(1, 17), *above, most} if k <= most))
