"""``Ranking``: the nodes from the one to keep first to the one to keep last."""

import dataclasses
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from circuit_sparsity.circuits.found import Moment
from circuit_sparsity.pruning.settings import PruneSettings
from circuit_sparsity.store.atomic import write_atomically
from circuit_sparsity.store.health import check_content


@dataclass(frozen=True, eq=False)
class Ranking:
    """One score for each node: the circuit of n nodes is the n best, so circuits are nested."""

    scores: Float[Tensor, " node"]
    suggested: int  # nodes on when the search ended; where the bisection looks first
    settings: PruneSettings
    history: tuple[Moment, ...]
    seconds: float

    @cached_property
    def order(self) -> Int[Tensor, " node"]:
        """Nodes by falling score; of equal ones, the one computed first comes first."""
        return self.scores.argsort(descending=True, stable=True)


NESTED = "ranking.safetensors"  # in the circuit's folder
_SCORES = "scores"


@dataclass(frozen=True, eq=False)
class Nested:
    """The circuit of k nodes is the k best live ones; ``curve`` is the loss by k, before any
    refinement, as ``Cut.curve`` measures it."""

    ranking: Ranking
    curve: tuple[tuple[int, float], ...]  # nodes; nats per sequence


def write_nested(nested: Nested, folder: Path) -> Path:
    """Write ``ranking.safetensors`` into a circuit's folder, whole or not at all."""
    ranking = nested.ranking
    told = {
        "suggested": ranking.suggested,
        "settings": ranking.settings.to_dict(),
        "history": [dataclasses.asdict(moment) for moment in ranking.history],
        "seconds": ranking.seconds,
        "curve": [list(point) for point in nested.curve],
    }
    data = save({_SCORES: ranking.scores.float().cpu().contiguous()}, {"nested": json.dumps(told)})
    return write_atomically(folder / NESTED, lambda file: file.write(data))


def read_nested(folder: Path) -> Nested | None:
    """What ``write_nested`` wrote, or None where nothing lies; ValueError for a damaged file."""
    path = folder / NESTED
    if not path.is_file():
        return None
    check_content(path)
    try:
        with safe_open(path, framework="pt") as file:
            told, scores = json.loads(file.metadata()["nested"]), file.get_tensor(_SCORES)
        return _nested(told, scores)
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise ValueError(
            f"{path} ({path.stat().st_size} bytes) holds no ranking of nodes ({error}); delete it "
            "and prune again"
        ) from error


def _nested(told: dict, scores: Float[Tensor, " node"]) -> Nested:
    ranking = Ranking(
        scores,
        int(told["suggested"]),
        PruneSettings.from_dict(told["settings"]),
        tuple(Moment(**moment) for moment in told["history"]),
        float(told["seconds"]),
    )
    return Nested(ranking, tuple((int(k), float(loss)) for k, loss in told["curve"]))
