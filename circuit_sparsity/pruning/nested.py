"""A run's ranking on disk: the nested circuits of every size, from one run, with their losses."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from circuit_sparsity.pruning.ranking import Moment, Ranking
from circuit_sparsity.pruning.settings import PruneSettings
from circuit_sparsity.store.atomic import write_atomically

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
    try:
        with safe_open(path, framework="pt") as file:
            told, scores = json.loads(file.metadata()["nested"]), file.get_tensor(_SCORES)
        return _nested(told, scores)
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
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
