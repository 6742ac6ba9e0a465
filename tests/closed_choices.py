"""Asks for what no closed choice knows, where nobody checks types, and prints what is answered.

One line for each: what is known, then the message or the error's name.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial

from circuit_sparsity.circuits.positions import Positions
from circuit_sparsity.circuits.recipe import Level
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.opening import open_circuit, open_task
from circuit_sparsity.experiment.recipes import OtherPrompts
from circuit_sparsity.nodes.vocabulary import matrix
from circuit_sparsity.patching.inputs import attribute_inputs
from circuit_sparsity.patching.map import patching_map
from circuit_sparsity.pruning.settings import PruneSettings, preset
from circuit_sparsity.runtime.assemble import load_model
from circuit_sparsity.store import Store
from circuit_sparsity.tasks import TASKS

UNKNOWN = ("means", "Zero", "bogus", "", None, float("nan"), 0)


def questions(circuit: Experiment) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is known, and a call with something else."""
    node = circuit.part("0.attn.k:210")
    for fill in UNKNOWN:
        yield "mean, zero", partial(circuit.ablate, [node], fill)
        yield "mean, zero", partial(circuit.ablate_each, [node], fill=fill)
        yield "mean, zero", partial(circuit.compiled.margins_without, [[node]], fill)
        yield "mean, zero", partial(circuit.compiled.losses_without, [[node]], fill)
    task = TASKS["single_double_quote"]
    folder = Store.from_environment().path_of_model("starter")
    yield "mean, zero, set, scale", partial(Level, "bogus")
    yield "mean, zero, set, scale, pair, resample, prompt", partial(Level, "bogus")
    yield "all, range, last, differing, token", partial(Positions, "bogus")
    yield "node, head, block, location", partial(patching_map, circuit, 0, "bogus")
    methods = "replacement, occlusion, gradient, integrated, shapley"
    yield methods, partial(attribute_inputs, circuit, 0, methods=("bogus",))
    yield "own, pair, text, task", partial(OtherPrompts, "bogus")
    yield "embedding, unembedding", partial(matrix, circuit.model, "bogus")
    yield "auto, sparse, dense", partial(load_model, folder, engine="bogus")
    for field in ("method", "penalty", "objective"):
        yield "expected one of", partial(PruneSettings, **{field: "bogus"})
    yield "fast, published, quick, masks, full", partial(preset, "bogus")
    yield "prune, validation, test", partial(task.pairs, "bogus", 4, 0)
    yield "all, novel, familiar", partial(task.pairs, "test", 4, 0, "bogus")
    yield "single_double_quote", partial(open_task, "bogus")


if __name__ == "__main__":
    circuit = open_circuit("starter", "single_double_quote", "prune", "k44_seed0")
    for known, ask in questions(circuit):
        try:
            ask()
            answer = "taken without a word"
        except ValueError as error:
            answer = str(error)
        except Exception as error:
            answer = repr(error)
        print(json.dumps([known, answer]))  # noqa: T201
