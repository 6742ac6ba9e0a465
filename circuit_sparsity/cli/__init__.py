"""The commands: each is a module of its own here, and printing is left to ``__main__``.

A command needs a line in ``COMMANDS`` and a module of its name (``-`` becomes ``_``) with
``add_arguments(parser)`` and ``run(arguments, say) -> Answer``. Only the module of the command that
was asked for is imported. So that ``--help``, completion and refusals are quick, a module imports
what computes (torch, numba, Streamlit, Optuna) inside the functions that need it.
"""

from collections.abc import Mapping
from types import MappingProxyType

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "app": "open the explorer in a browser",
        "list": "show models and circuits: where they are, how large, which licence, last use",
        "fetch": "download models and circuits from the container",
        "tasks": "show the tasks, examples of their prompts, and how well a model answers them",
        "evaluate": "run a circuit and its model on the task's prompts",
        "ablate": "ablate nodes and edges of a circuit and report the loss",
        "patch": "patch nodes at tokens from another prompt, or map every node and token",
        "interchange": "share of prompts whose answer flips when nodes are patched from the pair",
        "attribute": "what each token, write and layer of one prompt adds to its answer",
        "graph": "the attribution graph of a prompt, in the JSON that Neuronpedia opens",
        "train": "train a weight-sparse model from a settings file",
        "prune": "find a circuit: fewest nodes at a target loss, or exactly k nodes",
        "cut": "show a stored run's circuits of any number of nodes, with their losses",
        "sweep": "search over settings: the best circuit of each model, task and size",
        "evidence": "measure how real a circuit is, and store that beside it",
        "bridges": "show pairs of a sparse and a dense model that are joined by bridges",
        "bridge-train": "train bridges, with the sparse model or between two frozen ones",
        "bridge-evaluate": "measure a pair's bridges on held-out generated text, site by site",
        "bridge-transfer": "carry an edit of the sparse model's nodes over to the dense model",
        "claims": "measure the paper's claims on the models that are here",
        "table": "write a table of tasks by models: accuracy, loss, edges, necessity, control",
        "export": "write a circuit as CSV, JSON, GraphML, an offline page, or a numpy program",
        "verify": "read downloads again and compare their hashes",
        "clear": "delete downloads from this machine; what ships stays",
    }
)
