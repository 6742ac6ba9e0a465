"""Open, run, ablate, prune and show the circuits of weight-sparse transformers.

Everything a notebook begins with is here; each name is imported when it is first used.

>>> from circuit_sparsity import open_circuit
>>> circuit = open_circuit("starter", "single_double_quote", "prune", "k44_seed0")
>>> round(circuit.ablate(["0.attn.k:210"]).delta, 2)  # rise of the loss, nats per sequence
0.57
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circuit_sparsity import evidence, export, plots, tasks
    from circuit_sparsity.circuits.circuit import Circuit
    from circuit_sparsity.circuits.recipe import Recipe
    from circuit_sparsity.core.names import Node
    from circuit_sparsity.experiment.opening import open_circuit
    from circuit_sparsity.patching.graph import attribution_graph
    from circuit_sparsity.patching.inputs import attribute_inputs
    from circuit_sparsity.patching.interchange import interchange, interchange_each
    from circuit_sparsity.patching.logits import direct_logits, logit_lens
    from circuit_sparsity.patching.map import class_map, patching_map
    from circuit_sparsity.patching.model_cells import strongest_in_model
    from circuit_sparsity.pruning.request import prune
    from circuit_sparsity.pruning.settings import PruneSettings
    from circuit_sparsity.runtime.assemble import load_model
    from circuit_sparsity.runtime.pretrained import from_pretrained
    from circuit_sparsity.store import Store

_FROM = {  # name: the module that defines it
    "Circuit": "circuits.circuit",
    "Node": "core.names",
    "PruneSettings": "pruning.settings",
    "Recipe": "circuits.recipe",
    "Store": "store",
    "attribute_inputs": "patching.inputs",
    "attribution_graph": "patching.graph",
    "class_map": "patching.map",
    "direct_logits": "patching.logits",
    "from_pretrained": "runtime.pretrained",
    "interchange": "patching.interchange",
    "interchange_each": "patching.interchange",
    "load_model": "runtime.assemble",
    "logit_lens": "patching.logits",
    "open_circuit": "experiment.opening",
    "patching_map": "patching.map",
    "prune": "pruning.request",
    "strongest_in_model": "patching.model_cells",
}
_ROOMS = ("evidence", "export", "plots", "tasks")

__all__ = [
    "Circuit",
    "Node",
    "PruneSettings",
    "Recipe",
    "Store",
    "attribute_inputs",
    "attribution_graph",
    "class_map",
    "direct_logits",
    "evidence",
    "export",
    "from_pretrained",
    "interchange",
    "interchange_each",
    "load_model",
    "logit_lens",
    "open_circuit",
    "patching_map",
    "plots",
    "prune",
    "strongest_in_model",
    "tasks",
]


def __getattr__(name: str) -> Any:
    if name in _FROM:
        return getattr(import_module(f"{__name__}.{_FROM[name]}"), name)
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"{__name__} has no {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
